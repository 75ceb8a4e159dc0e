"""The HTTP server: reads a request whole, lets the API answer it at once, and sends the answer whole or broken.

Apart from `__main__`, the command line, because tests make a server without one.
"""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket

from aiohttp import web

from local_gcs.api import Api
from local_gcs.calls import Reply, Wire
from local_gcs.errors import Refused
from local_gcs.events import Publisher, RetryPolicy, Subscription
from local_gcs.faults import FaultPlan, Faults
from local_gcs.local_api import Clock, LocalApi
from local_gcs.model import Storage
from local_gcs.objects import ordered, unordered
from local_gcs.rewrites import Rewriter

__all__ = ["CannotStart", "Options", "serve"]

LARGEST_BODY = 1024**3
LONGEST_LINE = 32 * 1024
"""A rewrite names two objects of 1,024 bytes, each byte percent-encoded as three."""
LOCAL = "/_local/"
QUICK = 0.2
"""Seconds a request under way may take when the server stops."""


class CannotStart(Exception):
    """The server cannot start; the message gives the reason."""


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the server, by their names on the command line, which explains them."""

    host: str = "127.0.0.1"
    port: int = 4443
    project: str = "test"
    buckets: Sequence[str] = ()
    generations: str = "unordered"
    seed: int = 0
    events: Sequence[str] = ()
    faults: FaultPlan = field(default_factory=FaultPlan)
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    until_stdin_closes: bool = False


class Server:
    """One server and its parts; `base_url` is the address at which it listens."""

    def __init__(self, options: Options, base_url: str) -> None:
        in_order = options.generations == "ordered"
        supply = ordered(lambda: time.time_ns() // 1000) if in_order else unordered(options.seed)
        clock = Clock(lambda: datetime.now(UTC))
        self.storage = Storage(now=clock, generations=supply)
        self._faults = Faults(options.seed, lambda: clock().timestamp())
        rewriter = Rewriter(self.storage)
        self._api = Api(self.storage, rewriter, self._faults, base_url=base_url, project=options.project)
        self.publisher = Publisher(renderer=self._api.renderer, faults=self._faults, policy=options.retry)
        self._local = LocalApi(
            self._api, self.storage, clock, rewriter=rewriter, faults=self._faults, publisher=self.publisher
        )
        self._local.apply_faults(options.faults)
        self.storage.listeners.append(self.publisher.publish)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        if "Expect" in request.headers:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await request.read() if request.body_exists else b""
        target = request.raw_path
        if target.startswith(LOCAL):
            return _response(self._local.dispatch(request.method, target[len(LOCAL) :], body))
        if self._faults.latency:
            await asyncio.sleep(self._faults.delay())
        reply = self._api.dispatch(request.method, target, request.headers, body)
        while reply.rest is not None:
            await asyncio.sleep(reply.pause)
            reply = reply.rest()
        if reply.wire is Wire.WHOLE:
            return _response(reply)
        return await _broken(request, reply)


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.content_type, **reply.headers} if reply.body else reply.headers
    return web.Response(body=reply.body, status=reply.status, headers=headers)


async def _broken(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Sends nothing, or a part of the answer, and ends the connection."""
    response = _response(reply)
    transport = request.transport
    if transport is None:
        return response
    if reply.wire is Wire.RESET or not reply.body:
        transport.abort()
        return response
    half = web.StreamResponse(status=reply.status, headers=response.headers)
    half.content_length = len(reply.body)
    await half.prepare(request)
    await half.write(reply.body[: len(reply.body) // 2 if reply.cut is None else reply.cut])
    transport.close()
    return half


async def serve(options: Options, announce: Callable[[str], None]) -> None:
    """Serves until SIGTERM or SIGINT; `announce` is called with the address once the server listens.

    Raises:
        CannotStart: The address is taken, or a bucket or subscriber cannot be made.
    """
    with closing(_listener(options)) as listener:
        host = f"[{options.host}]" if ":" in options.host else options.host
        url = f"http://{host}:{listener.getsockname()[1]}"
        server = Server(options, url)
        await server.publisher.start()
        try:
            await _run(server, options, listener, lambda: announce(url))
        finally:
            await server.publisher.stop()


async def _run(server: Server, options: Options, listener: socket, announce: Callable[[], None]) -> None:
    try:
        for name in options.buckets:
            server.storage.create_bucket({"name": name})
        for address in options.events:
            server.publisher.subscribe(Subscription.of({"url": address}))
    except Refused as refused:
        raise CannotStart(refused.message) from refused
    stop = _stop_signal(options)
    runner = web.ServerRunner(_web_server(server), shutdown_timeout=QUICK)
    await runner.setup()
    try:
        await web.SockSite(runner, listener, backlog=1024).start()
        # Stored objects live long and form no cycles, so a search for garbage among them is wasted.
        gc.set_threshold(50_000, 20, 1000)
        gc.freeze()
        announce()
        await stop.wait()
    finally:
        await runner.cleanup()


def _web_server(server: Server) -> web.Server:
    loop = asyncio.get_running_loop()
    return web.Server(
        server.handle,
        request_factory=partial(web.BaseRequest, loop=loop, client_max_size=LARGEST_BODY),
        access_log=None,
        auto_decompress=False,
        max_line_size=LONGEST_LINE,
        max_field_size=LONGEST_LINE,
    )


def _listener(options: Options) -> socket:
    """A listening socket. It is made first, so that a taken port is known before anything else happens."""
    listener = socket(AF_INET6 if ":" in options.host else AF_INET, SOCK_STREAM)
    try:
        # A port of a server that has just stopped can be used at once; a port in use cannot.
        listener.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        listener.bind((options.host, options.port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        where = f"{options.host}:{options.port}"
        raise CannotStart(f"cannot listen on {where}: {error.strerror or error}") from error
    return listener


def _stop_signal(options: Options) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def read_input() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            stop.set()

    if options.until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), read_input)
    return stop
