"""The HTTP server: reads a request whole, lets the API answer it at once, and sends the answer whole or broken.

Below ``/_local/`` a test or a demo asks the server itself. These requests are not counted, and no fault hits them.

| path | GET | POST | DELETE |
|---|---|---|---|
| ``stats`` | counts | reset | reset |
| ``faults`` | the plan | replace it | clear it |
| ``fill`` | | bulk fill | |
| ``clock`` | the time | turn it on: ``{"seconds": n}`` | |
| ``lifecycle`` | | apply the lifecycle rules now | |
| ``subscribers`` | all | add | remove (``?id=``), or all |
| ``events`` | counts | | |
| ``dead-letters`` | all | | remove them |
| ``dead-letters/replay`` | | send again | |

A bulk fill makes many objects at once for benchmarks and demos, without events; the same seed makes the same objects. Names
are those of the migration's subject, ``PREFIX qpi_answers_YYYYMMDD/user_id_N.jsonl``, spread evenly over days. Contents are
lines of JSON of the wanted size. Only a bounded number of them is distinct, which saves a million checksums.

Apart from `__main__`, the command line, because tests make a server without one.
"""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import partial
from random import Random
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from typing import Annotated, Any

import msgspec
import orjson
from aiohttp import web

from local_gcs.api import Api
from local_gcs.calls import Reply, Transfer, Whole, parse_object, parse_query, refused_reply, stated
from local_gcs.errors import RequestRefused, not_found
from local_gcs.events import DeliveryRetries, Publisher, Subscription
from local_gcs.faults import FaultPlan, Faults
from local_gcs.model import Storage
from local_gcs.objects import Attributes, Content, ordered, stamp, unordered
from local_gcs.rewrites import Rewriter

__all__ = ["CannotStart", "Fill", "Options", "serve"]

LONGEST_TURN = 100 * 366 * 24 * 3600


class Turn(msgspec.Struct, forbid_unknown_fields=True):
    """How far to turn the clock on."""

    seconds: Annotated[float, msgspec.Meta(ge=0, lt=LONGEST_TURN)]


class Fill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of a bulk fill.

    Attributes:
        size: Approximate size of each object in bytes.
        days: Number of date partitions; 0 for none.
        seed: The same seed makes the same objects.
        distinct: Number of different contents.
        composite: Whether every object is a composite one, which has no md5.
    """

    bucket: str
    count: Whole
    prefix: str = ""
    size: int = 350
    days: Whole = 1
    first_day: date = date(2024, 1, 1)
    seed: int = 0
    distinct: Annotated[int, msgspec.Meta(ge=1)] = 1000
    content_type: str = "application/json"
    metadata: dict[str, str] | None = None
    composite: bool = False


def fill(storage: Storage, wanted: Fill) -> int:
    """Stores the objects and gives their number. Refuses with 404, or 409 if a name is taken: nothing is stored."""
    random = Random(wanted.seed)
    contents = [_content(random, wanted.size) for _ in range(min(wanted.distinct, wanted.count))]
    if wanted.composite:
        contents = [Content.of(content.data, components=1) for content in contents]
    attributes = Attributes(content_type=wanted.content_type, metadata=wanted.metadata or None)
    objects = ((name, contents[n % len(contents)], attributes) for n, name in enumerate(_names(wanted)))
    number = storage.load(storage.bucket(wanted.bucket), objects)
    # These objects stay. A garbage collection that visits a million of them would stop the server for a second.
    gc.freeze()
    return number


def _names(wanted: Fill) -> Iterator[str]:
    """The names; the days alternate."""
    days = [wanted.first_day + timedelta(days=day) for day in range(wanted.days)]
    folders = [f"{wanted.prefix}qpi_answers_{day:%Y%m%d}/" for day in days] or [wanted.prefix]
    for n in range(wanted.count):
        yield f"{folders[n % len(folders)]}user_id_{n}.jsonl"


def _content(random: Random, size: int) -> Content:
    """One answered questionnaire as a line of JSON."""
    answers: list[dict[str, Any]] = []
    user = str(random.randrange(10**7))
    line = {"user_id": user, "submitted_at": "2024-01-01T00:00:00Z", "answers": answers}
    most = 10
    while not answers or len(orjson.dumps(line)) + 1 < size:
        question = f"q{random.randrange(100)}"
        answers.append({"question_id": question, "answer_ids": [str(random.randrange(most))]})
        most = 10**6
    return Content.of(orjson.dumps(line) + b"\n")


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
    retry: DeliveryRetries = field(default_factory=DeliveryRetries)
    until_stdin_closes: bool = False


class Server:
    """One server and its parts; `base_url` is the address at which it listens."""

    def __init__(self, options: Options, base_url: str) -> None:
        in_order = options.generations == "ordered"
        supply = ordered(lambda: time.time_ns() // 1000) if in_order else unordered(options.seed)
        self._ahead = timedelta()
        self.storage = storage = Storage(now=self._now, generations=supply)
        self._faults = faults = Faults(options.seed, lambda: self._now().timestamp())
        self._rewriter = Rewriter(storage)
        self._api = api = Api(storage, self._rewriter, faults, base_url=base_url, project=options.project)
        self.publisher = publisher = Publisher(renderer=api.renderer, faults=faults, policy=options.retry)
        self._own: dict[tuple[str, str], Callable[[Mapping[str, Any]], Any]] = {
            ("GET", "stats"): lambda _: api.stats.snapshot(),
            ("POST", "stats"): lambda _: api.stats.clear(),
            ("DELETE", "stats"): lambda _: api.stats.clear(),
            ("GET", "faults"): lambda _: faults.snapshot(),
            ("POST", "faults"): lambda plan: self._apply_faults(FaultPlan.of(plan)),
            ("DELETE", "faults"): lambda _: self._apply_faults(None),
            ("POST", "fill"): lambda wanted: {"objects": fill(storage, stated(Fill, wanted))},
            ("GET", "clock"): lambda _: {"time": storage.now()},
            ("POST", "clock"): lambda turn: self._turn_clock(stated(Turn, turn)),
            ("POST", "lifecycle"): lambda _: storage.run_lifecycle(),
            ("GET", "subscribers"): lambda _: publisher.subscribers(),
            ("POST", "subscribers"): lambda wanted: publisher.subscribe(Subscription.of(wanted)),
            ("DELETE", "subscribers"): lambda query: {"removed": publisher.unsubscribe(query.get("id"))},
            ("GET", "events"): lambda _: publisher.counts(),
            ("GET", "dead-letters"): lambda _: {"items": publisher.dead_letters()},
            ("DELETE", "dead-letters"): lambda _: {"forgotten": publisher.forget_dead_letters()},
            ("POST", "dead-letters/replay"): lambda _: {"replayed": publisher.replay()},
        }
        """Each takes the JSON body of a request or, where there is none, its query."""
        self._apply_faults(options.faults)
        self.storage.listeners.append(self.publisher.publish)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answers one request."""
        if "Expect" in request.headers:
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await request.read() if request.body_exists else b""
        target = request.raw_path
        if target.startswith(LOCAL):
            return _response(self._answer_own(request.method, target[len(LOCAL) :], body))
        if self._faults.latency:
            await asyncio.sleep(self._faults.delay())
        reply = self._api.dispatch(request.method, target, request.headers, body)
        while reply.rest is not None:
            await asyncio.sleep(reply.pause)
            reply = reply.rest()
        if reply.wire is Transfer.WHOLE:
            return _response(reply)
        return await _broken(request, reply)

    def _answer_own(self, verb: str, target: str, body: bytes) -> Reply:
        """Answers a request to the server itself; the target is the path below ``/_local/`` and the query."""
        path, _, query = target.partition("?")
        try:
            method = self._own.get((verb, path))
            if method is None:
                raise not_found()
            return Reply(body=orjson.dumps(method(parse_object(body) if body else parse_query(query))))
        except RequestRefused as refused:
            return refused_reply(refused)

    def _now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def _turn_clock(self, turn: Turn) -> dict[str, Any]:
        self._ahead += timedelta(seconds=turn.seconds)
        return {"time": stamp(self._now())}

    def _apply_faults(self, plan: FaultPlan | None) -> dict[str, Any]:
        """Puts all parts of a plan into force; None removes all faults."""
        plan = self._faults.replace(plan)
        self._rewriter.limit = plan.max_rewrite_bytes_per_call
        self._rewriter.gap = self._faults.rewrite_gap if plan.rewrite_gap_ms else float
        return self._faults.snapshot()


def _response(reply: Reply) -> web.Response:
    headers = {"Content-Type": reply.content_type, **reply.headers} if reply.body else reply.headers
    return web.Response(body=reply.body, status=reply.status, headers=headers)


async def _broken(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    """Sends nothing, or a part of the answer, and ends the connection."""
    response = _response(reply)
    transport = request.transport
    if transport is None:
        return response
    if reply.wire is Transfer.RESET or not reply.body:
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
    except RequestRefused as refused:
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
