"""HTTP/1.1 to one host over kept connections, directly or through a proxy; only what the JSON API needs.

A migration sends millions of requests, and their CPU time is most of its cost: aiohttp needs 90 microseconds for one, this
module 10. The price: no redirects, cookies or compression, no streamed bodies, no HTTP/2. httptools parses; asyncio
(uvloop in the job) does sockets and TLS.

A connection carries one request at a time. Any fault on it (it breaks, the answer is incomplete, the time is up) ends the
connection and raises `NoAnswer`. The caller decides whether to send again.

The proxy is the one that the environment names, as other programs read it: ``HTTPS_PROXY`` (or ``https_proxy``), and
``NO_PROXY`` for hosts without one. The proxy opens a tunnel (``CONNECT``, RFC 9110 section 9.3.6) and cannot read it.
"""

import asyncio
import base64
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from math import inf
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit

import httptools

from shared.address import address_of
from shared.errors import UsageError

__all__ = ["STORED", "Answer", "AnswerTooLong", "NoAnswer", "Proxy", "Wire", "proxy_for"]

SHORTEST_BOUND = 64 * 1024
"""Bytes that every answer may have, so that an error response can give its reason."""

LONGEST_PROXY_ANSWER = 16 * 1024
"""Bytes of a proxy's answer after which it counts as no answer."""


STORED = (b"x-goog-generation", b"x-goog-hash")
"""Headers about the version whose contents an answer holds (Cloud Storage reference, "HTTP headers")."""

LOOKS = 20
"""How often the pool looks for late answers within the time that an answer has."""

_LENGTHS = frozenset(map(len, STORED))


class Answer(NamedTuple):
    """An answer that arrived complete.

    Attributes:
        date: Its ``Date`` header; empty without one.
        stored: Its headers `STORED`, in lower case; several of one name are possible.
    """

    status: int
    body: bytes
    date: str = ""
    stored: tuple[tuple[bytes, str], ...] = ()


class NoAnswer(Exception):
    """No answer came, or only a part of one; the request may or may not have had its effect."""


class AnswerTooLong(NoAnswer):
    """The answer was longer than allowed, so it was not read to its end. Sending again would not help."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens, and the authorization it wants (empty for none; never shown)."""

    host: str
    port: int
    authorization: str = ""

    def __repr__(self) -> str:
        return f"Proxy({self.host}:{self.port})"


def proxy_for(host: str, environ: Mapping[str, str]) -> Proxy | None:
    """Find the proxy that the environment names for an https host; None for none.

    Raises:
        UsageError: The environment names a proxy that cannot be used.
    """
    named = environ.get("https_proxy") or environ.get("HTTPS_PROXY") or ""
    exempt = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
    if not named:
        return None
    # Imported here, because it brings a web client along.
    from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # noqa: PLC0415 -- typeshed has the platform's only

    if proxy_bypass_environment(host, {"no": exempt}):
        return None
    parts = urlsplit(named if "://" in named else f"http://{named}")
    try:
        port = parts.port or 80
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        raise UsageError("HTTPS_PROXY names no proxy that can be used; http://HOST:PORT is wanted")
    authorization = ""
    if parts.username:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return Proxy(parts.hostname, port, authorization)


class Wire:
    """A pool of connections to one host. An asynchronous context manager; belongs to one event loop.

    Args:
        base: Scheme and host, such as ``https://storage.googleapis.com``.
        connections: The most that are open at once; more callers wait, first come, first served.
        timeout: Seconds for connecting, and for an answer. A late answer is found by a twentieth of it too late.
        proxy: None to connect directly.

    Raises:
        UsageError: `base` is not an address.
    """

    def __init__(self, base: str, *, connections: int, timeout: float, proxy: Proxy | None = None) -> None:
        parts = address_of(base)
        self._host = str(parts.hostname)
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._ssl = _trusted() if parts.scheme == "https" else None
        self._host_header = parts.netloc.rpartition("@")[2]
        self._limit = connections
        self._timeout = timeout
        self._proxy = proxy
        self._open: set[_Connection] = set()
        self._idle: list[_Connection] = []
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._taken = 0
        # One timer for all requests, because a timer for each costs a tenth of the request.
        self._look: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for connection in list(self._open):
            connection.drop("the pool was closed")
        if self._look is not None:
            self._look.cancel()
            self._look = None
        loop = asyncio.get_running_loop()
        next_turn = loop.create_future()  # the transports close in the loop's next turn
        loop.call_soon(next_turn.set_result, None)
        await next_turn

    async def send(
        self, method: str, target: str, headers: str = "", most: int | None = None, body: bytes = b""
    ) -> Answer:
        """Send a request, and give its answer, whatever the status.

        Args:
            target: Path and query, percent-encoded.
            headers: Further header lines, each ending in CRLF; the body's type is one of them.
            most: Bytes that the answer's body may have (at least `SHORTEST_BOUND`); None for no bound. More is not held.

        Raises:
            AnswerTooLong: The body is longer than `most`; the connection is closed.
            NoAnswer: There is none.
        """
        length = "" if method == "GET" else f"Content-Length: {len(body)}\r\n"
        head = f"{method} {target} HTTP/1.1\r\nHost: {self._host_header}\r\n{length}{headers}\r\n"
        request = head.encode("latin-1") + body
        if self._taken < self._limit:
            self._taken += 1
        else:
            await self._turn()
        try:
            connection = self._idle.pop() if self._idle else await self._connected()
            loop = asyncio.get_running_loop()
            sent = connection.ask(request, loop.create_future(), loop.time() + self._timeout, most)
            if self._look is None:
                self._look = loop.call_later(self._timeout / LOOKS, self._drop_late)
            try:
                answer = await sent
            except asyncio.CancelledError:
                connection.drop("the request was given up")
                raise
            if connection.usable:
                self._idle.append(connection)
            return answer
        finally:
            self._pass_on()

    def _drop_late(self) -> None:
        """Drop the connections whose answer is late, and look again later while any is awaited."""
        loop = asyncio.get_running_loop()
        now, awaited = loop.time(), False
        for connection in list(self._open):
            if connection.due <= now:
                connection.drop(f"no answer within {self._timeout:g} s")
            awaited = awaited or connection.due < inf
        self._look = loop.call_later(self._timeout / LOOKS, self._drop_late) if awaited else None

    async def _turn(self) -> None:
        """Wait until a connection may be used."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Give the place to the caller that has waited longest; no other can take it in between."""
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
                        sock=await _tunnel(self._proxy, self._host, self._port),
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
    """One connection: one request out, its answer in, then the next. `due` is infinite where none is awaited."""

    def __init__(self, on_end: Callable[["_Connection"], None]) -> None:
        self._on_end = on_end
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[Answer] | None = None
        self._body: list[bytes] = []
        self._date = ""
        self._stored: list[tuple[bytes, str]] = []
        self._room: int | None = None
        self._keeps = True
        self.due = inf

    @property
    def usable(self) -> bool:
        """Whether another request may be sent on it."""
        return self._keeps and self._transport is not None

    def ask(
        self, request: bytes, answer: "asyncio.Future[Answer]", due: float, most: int | None
    ) -> "asyncio.Future[Answer]":
        """Send a request; gives `answer`, which gets the answer, `AnswerTooLong` or `NoAnswer`.

        Raises:
            NoAnswer: The connection is closed.
        """
        if self._transport is None:
            raise NoAnswer("the connection was closed")
        self._answer, self.due = answer, due
        self._room = None if most is None else max(most, SHORTEST_BOUND)
        self._transport.write(request)
        return answer

    def drop(self, reason: str) -> None:
        """Close the connection; a request that waits for its answer gets `NoAnswer`."""
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

    # The parser calls the following.

    def on_message_begin(self) -> None:
        self._body = []
        self._date = ""
        self._stored = []

    def on_header(self, name: bytes, value: bytes) -> None:
        length = len(name)  # the cheap test first
        if length == 4 and name.lower() == b"date":  # noqa: PLR2004 -- of "date"
            self._date = value.decode("latin-1")
        elif length in _LENGTHS and (known := name.lower()) in STORED:
            self._stored.append((known, value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        if self._room is not None:
            self._room -= len(body)
            if self._room < 0:
                self._body.clear()
                self._fail(AnswerTooLong("the answer is longer than what was asked for"))
                self.drop("")  # no request waits any more
                return
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if status < 200:  # noqa: PLR2004 -- an interim answer; the final one follows
            return
        self._keeps = self._keeps and self._parser.should_keep_alive()
        answer = self._awaited()
        if answer is None:
            self.drop("an answer without a request")
        elif not answer.done():
            answer.set_result(Answer(status, b"".join(self._body), self._date, tuple(self._stored)))
        if not self._keeps and self._transport is not None:
            self._transport.close()

    def _fail(self, error: NoAnswer) -> None:
        answer = self._awaited()
        if answer is not None and not answer.done():
            answer.set_exception(error)

    def _awaited(self) -> "asyncio.Future[Answer] | None":
        """The answer that a request waits for; none is awaited from now on."""
        answer, self._answer, self.due = self._answer, None, inf
        return answer


@cache
def _trusted() -> ssl.SSLContext:
    """The certificates that this machine trusts. Their reading takes longer than a connection, and a run opens several clients."""
    return ssl.create_default_context()


async def _tunnel(proxy: Proxy, host: str, port: int) -> socket.socket:
    """Connect to a host through a proxy: gives a connected socket, as if it led to the host."""
    loop = asyncio.get_running_loop()
    (family, kind, protocol, _, address), *_ = await loop.getaddrinfo(
        proxy.host, proxy.port, type=socket.SOCK_STREAM
    )
    connection = socket.socket(family, kind, protocol)
    try:
        connection.setblocking(False)
        await loop.sock_connect(connection, address)
        wanted = f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        if proxy.authorization:
            wanted += f"Proxy-Authorization: {proxy.authorization}\r\n"
        await loop.sock_sendall(connection, f"{wanted}\r\n".encode("latin-1"))
        await _accepted(connection, proxy)
    except BaseException:
        connection.close()
        raise
    return connection


async def _accepted(connection: socket.socket, proxy: Proxy) -> None:
    """Wait until the proxy accepts."""
    loop = asyncio.get_running_loop()
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        # Byte by byte: what follows the proxy's answer is the host's.
        byte = await loop.sock_recv(connection, 1)
        answer += byte
        if not byte or len(answer) > LONGEST_PROXY_ANSWER:
            raise OSError(f"the proxy {proxy.host}:{proxy.port} gave no answer")
    status = answer.split(b"\r\n", 1)[0].decode("latin-1")
    if status.split(" ")[1:2] != ["200"]:
        raise OSError(f"the proxy {proxy.host}:{proxy.port} refuses: {status!r}")
