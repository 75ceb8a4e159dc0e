"""HTTP/1.1 to one host, over connections that are kept: the least that the JSON API needs, at the least cost.

General HTTP clients were measured first, CPU time a request in one process: aiohttp 90 microseconds, this 10; where a
migration sends millions of requests, that is most of its cost. The price is what is not here: no redirects, no cookies, no
compression, no streaming of bodies, HTTP/1.1 only. httptools parses, asyncio (uvloop in the job) does the sockets and TLS.

A connection carries one request at a time. Whatever goes wrong on it (it dies, half an answer comes, time is up) ends the
connection and raises `NoAnswer`; whether to send again is the caller's business.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httptools

from backfill_job.tunnel import Proxy, tunnelled
from shared.errors import UsageError

__all__ = ["Answer", "AnswerTooLong", "NoAnswer", "Wire"]

SHORTEST_BOUND = 64 * 1024
"""Bytes that any answer may have, so that a refusal can say why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that arrived whole.

    Attributes:
        status: HTTP status.
        body: The body.
    """

    status: int
    body: bytes


class NoAnswer(Exception):
    """No answer came, or only a part of one; the request may or may not have had its effect."""


class AnswerTooLong(NoAnswer):
    """The answer was longer than it may be, so it was not taken to its end. Sending again would not help."""


class Wire:
    """A pool of connections to one host. An asynchronous context manager; belongs to one event loop.

    Args:
        base: Scheme and host, such as ``https://storage.googleapis.com``.
        connections: How many there may be; more callers wait for a free one, first come, first served.
        timeout: Seconds for connecting, and for an answer.
        proxy: Through which to connect; None for none.

    Raises:
        UsageError: `base` is no address.
    """

    def __init__(self, base: str, *, connections: int, timeout: float, proxy: Proxy | None = None) -> None:
        parts = urlsplit(base)
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or parts.path.strip("/"):
            raise UsageError(f"{base!r} is no address; http://HOST:PORT or https://HOST is wanted")
        self._host = parts.hostname
        self._port = port or (443 if parts.scheme == "https" else 80)
        self._ssl = ssl.create_default_context() if parts.scheme == "https" else None
        self._host_header = parts.netloc.rpartition("@")[2]
        self._limit = connections
        self._timeout = timeout
        self._proxy = proxy
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in list(self._open):
            connection.drop("the pool was closed")
        loop = asyncio.get_running_loop()
        next_turn = loop.create_future()  # in which the transports close
        loop.call_soon(next_turn.set_result, None)
        await next_turn

    async def send(
        self, method: str, target: str, headers: str = "", most: int | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request.

        Args:
            method: ``GET``, ``POST`` …
            target: Path and query, percent-encoded.
            headers: Further header lines, each ending in CRLF.
            most: Bytes that the answer's body may have, or `SHORTEST_BOUND` if that is more; None for no bound. What
                arrives beyond it is not held.
            body: The request's body, whole; its type is one of the headers.

        Returns:
            The answer, whatever its status.

        Raises:
            AnswerTooLong: Its body is longer than `most`; the connection is over.
            NoAnswer: There is none.
        """
        length = "" if method == "GET" else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._host_header}\r\n{length}{headers}\r\n"
        request = head.encode("latin-1") + body
        await self._turn()
        try:
            connection = self._idle.pop() if self._idle else await self._connected()
            answer = await connection.exchange(request, self._timeout, most)
            if connection.usable:
                self._idle.append(connection)
            return answer
        finally:
            self._pass_on()

    async def _turn(self) -> None:
        """Wait until a connection may be used."""
        if self._taken < self._limit:
            self._taken += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give a place to whoever has waited longest; it is free for nobody else meanwhile."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken -= 1

    async def _connected(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._timeout):
                if self._proxy is None:
                    _, connection = await loop.create_connection(
                        lambda: _Connection(self._forget), self._host, self._port, ssl=self._ssl
                    )
                else:
                    _, connection = await loop.create_connection(
                        lambda: _Connection(self._forget),
                        sock=await tunnelled(self._proxy, self._host, self._port),
                        ssl=self._ssl,
                        server_hostname=self._host if self._ssl else None,
                    )
        except (OSError, TimeoutError) as error:
            raise NoAnswer(f"cannot connect to {self._host_header}: {str(error) or 'time is up'}") from error
        self._open.add(connection)
        return connection

    def _forget(self, connection: "_Connection") -> None:
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)


class _Connection(asyncio.Protocol):
    """One connection: a request out, an answer in, and again."""

    def __init__(self, on_end: Callable[["_Connection"], None]) -> None:
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._body: list[bytes] = []
        self._room: int | None = None
        self._keeps = True

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        return self._keeps and self._transport is not None

    async def exchange(self, request: bytes, timeout: float, most: int | None) -> Answer:  # noqa: ASYNC109 -- a timer is cheaper than a scope
        """Send a request and wait for its answer.

        Raises:
            AnswerTooLong, NoAnswer: There is none; the connection is over.
        """
        if self._transport is None:
            raise NoAnswer("the connection was closed")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._answer = answer
        self._room = None if most is None else max(most, SHORTEST_BOUND)
        timer = loop.call_later(timeout, self.drop, f"no answer within {timeout:g} s")
        self._transport.write(request)
        try:
            return await answer
        except asyncio.CancelledError:
            self.drop("the request was given up")
            raise
        finally:
            timer.cancel()
            self._answer = None

    def drop(self, reason: str) -> None:
        """End the connection; whoever waits for an answer gets none."""
        self._keeps = False
        self._fail(NoAnswer(reason))
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # create_connection gives a Transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._fail(NoAnswer(f"the connection was lost ({exc})" if exc else "the connection was closed"))
        self._on_end(self)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.drop(f"no HTTP answer ({error})")

    # What the parser calls.

    def on_message_begin(self) -> None:
        self._body = []

    def on_body(self, body: bytes) -> None:
        if self._room is not None:
            self._room -= len(body)
            if self._room < 0:
                self._body.clear()
                self._fail(AnswerTooLong("the answer is longer than what was asked for"))
                self.drop("")  # nobody waits any more
                return
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004 -- an interim answer; the answer proper follows
            return
        self._keeps = self._keeps and self._parser.should_keep_alive()
        answer = self._answer
        if answer is None:
            self.drop("an answer that nobody asked for")
        elif not answer.done():
            answer.set_result(Answer(status, b"".join(self._body)))
        if not self._keeps and self._transport is not None:
            self._transport.close()

    def _fail(self, error: NoAnswer) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)
