"""The JSON API of Cloud Storage, asynchronously: one request, its repetitions, its errors.

For the two things the backfill does by the million, reading listings and sending conditional rewrites; the official
client spends several times as long on each. Both may be repeated safely: a read changes nothing, and a rewrite carries
conditions. Errors leave as the gateway would say them (``shared.answers``).
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import orjson

from backfill_job.access import Access, AccessSource, anonymous, application_default
from backfill_job.wire import NoAnswer, Wire
from shared.answers import error_for, is_transient, no_answer
from shared.errors import StorageError
from shared.operations import OperationsCounter

__all__ = ["AsyncApi", "Pacing", "RetryPolicy", "encoded"]

GOOGLE = "https://storage.googleapis.com"
BASE_PATH = "/storage/v1"
SUCCESSES = frozenset({200, 206})
"""An answer in full, and the piece that was asked for."""
UNAUTHORIZED = 401
THROTTLED = frozenset({429, 503})
"""Answers by which the service asks for fewer requests (Cloud Storage documentation, "Request rate guidelines")."""
USER_AGENT = "User-Agent: qpi-exports-migration\r\n"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a request is repeated after a transient fault: exponential backoff with full jitter.

    Attributes:
        deadline: Seconds after which no repetition begins any more.
        initial: Seconds that the first repetition waits at most; doubled each time.
        maximum: Seconds that any repetition waits at most.
    """

    deadline: float = 120.0
    initial: float = 1.0
    maximum: float = 60.0

    def wait(self, repetition: int, dice: random.Random) -> float:
        """How long to wait before a repetition, in seconds.

        Args:
            repetition: Which, from 0.
            dice: Where chance comes from.
        """
        return dice.uniform(0.0, min(self.maximum, self.initial * 2.0 ** min(repetition, 32)))


async def _at_once() -> None:
    return


def _nobody_told() -> None:
    return


@dataclass(frozen=True, slots=True)
class Pacing:
    """Whoever limits the rate of a kind of request.

    Attributes:
        admit: Awaited before each repetition; whoever sends a request asks for its first sending.
        throttled: Told of each answer that asks for fewer requests (429, 503).
    """

    admit: Callable[[], Awaitable[None]] = _at_once
    throttled: Callable[[], None] = _nobody_told


UNPACED = Pacing()

_Content = TypeVar("_Content")


class AsyncApi:
    """The JSON API. An asynchronous context manager; belongs to one event loop.

    Args:
        endpoint: Scheme and host of a local Cloud Storage, which is asked anonymously; None for Google's.
        access: Where authorization comes from; None for the environment's (Application Default Credentials), or
            nobody's at an `endpoint`.
        connections: Requests under way at once; more callers wait for a free connection.
        timeout: Seconds without an answer after which one sending counts as lost. Rewrites need at least 30 (Cloud
            Storage reference, "Objects: rewrite").
        retry: How transient faults are met.
        dice: Where the backoff's chance comes from.
        sleep: Waits for so many seconds.
        monotonic: Seconds that only grow.
        now: The time in seconds since the epoch, for the expiry of tokens.
        operations: Told every request that is sent.

    Raises:
        UsageError: No credentials are to be had.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        access: AccessSource | None = None,
        connections: int = 264,
        timeout: float = 60.0,
        retry: RetryPolicy | None = None,
        dice: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        operations: OperationsCounter | None = None,
    ) -> None:
        self._wire = Wire(endpoint or GOOGLE, connections=connections, timeout=timeout)
        self._access = Access(access or (anonymous() if endpoint else application_default()), now)
        self._retry = retry or RetryPolicy()
        self._dice = dice or random.Random()
        self._sleep = sleep
        self._monotonic = monotonic
        self._operations = operations or OperationsCounter()
        self._granted: Mapping[str, str] = {}
        self._header_lines = USER_AGENT

    async def __aenter__(self) -> Self:
        """Open the pool of connections."""
        await self._wire.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._access.close()
        await self._wire.__aexit__(kind, error, traceback)

    async def request(self, method: str, path: str, uri: str, pacing: Pacing = UNPACED) -> dict[str, Any]:
        """Send one request, again after transient faults, and give the answer's JSON object.

        Args:
            method: ``GET`` or ``POST``; a body is never sent.
            path: What follows ``/storage/v1``, query included, all percent-encoded (`encoded`).
            uri: What it is about, as ``gs://bucket/name``, for errors.
            pacing: Whoever limits the rate.

        Returns:
            The parsed answer of a 200.

        Raises:
            StorageError: Any other answer, or none within the time allowed. A 404 is `ObjectNotFound`, whatever it is
                about.
        """
        return await self._asked(_Request(method, BASE_PATH + path, uri), _json_object, pacing)

    async def read(self, path: str, uri: str, *, piece: range | None = None) -> bytes:
        """Read an object's contents as they are stored, again after transient faults.

        Args:
            path: What follows ``/storage/v1``, percent-encoded; its query names the generation and says ``alt=media``.
            uri: What it is about, as ``gs://bucket/name``, for errors.
            piece: The bytes to read; None for all of them. A shorter answer is given as it is.

        Returns:
            The bytes.

        Raises:
            StorageError: There is no such version any more (`ObjectNotFound`), or anything else.
        """
        # Without it, gzip'd contents would come unpacked ("Transcoding of gzip-compressed files").
        more = "Accept-Encoding: gzip\r\n"
        if piece is not None:
            more += f"Range: bytes={piece.start}-{piece.stop - 1}\r\n"
        return await self._asked(_Request("GET", BASE_PATH + path, uri, more), bytes, UNPACED)

    async def _asked(
        self, request: "_Request", reader: Callable[[bytes], _Content], pacing: Pacing
    ) -> _Content:
        """Send a request until it is answered, or there is no sense in it any more."""
        uri = request.uri
        end = self._monotonic() + self._retry.deadline
        repetition = 0
        renewed = False
        while True:
            headers = await self._access.headers(uri)
            answer = await self._sent(request, reader, headers)
            if not isinstance(answer, _Failure):
                return answer
            if answer.status == UNAUTHORIZED and not renewed:
                renewed = True
                if await self._access.refused(headers, uri):
                    continue
            if answer.status in THROTTLED:
                pacing.throttled()
            wait = self._retry.wait(repetition, self._dice)
            if not answer.transient or self._monotonic() + wait >= end:
                raise answer.error
            await self._sleep(wait)
            await pacing.admit()
            repetition += 1

    async def _sent(
        self, request: "_Request", reader: Callable[[bytes], _Content], headers: Mapping[str, str]
    ) -> "_Content | _Failure":
        """Send it once."""
        self._operations.count(request.method, request.target)
        try:
            answer = await self._wire.send(
                request.method, request.target, self._lines(headers) + request.headers
            )
        except NoAnswer as error:
            return _Failure(0, transient=True, error=no_answer(error, request.uri))
        if answer.status not in SUCCESSES:
            return _refusal(answer.status, answer.body, request.uri)
        try:
            return reader(answer.body)
        except ValueError as error:
            return _Failure(answer.status, transient=True, error=no_answer(error, request.uri))

    def _lines(self, headers: Mapping[str, str]) -> str:
        """The header lines of a request; made anew only when the grant is a new one."""
        if headers is not self._granted:
            self._granted = headers
            self._header_lines = USER_AGENT + "".join(
                f"{name}: {value}\r\n" for name, value in headers.items()
            )
        return self._header_lines


def encoded(text: str) -> str:
    """Percent-encode a name or value so that it is one segment of a path, or one value of a query."""
    return quote(text, safe="")


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from error
    if not isinstance(parsed, dict):
        raise ValueError("no JSON object")  # noqa: TRY004 -- of the answer's value, not of an argument's type
    return parsed


@dataclass(frozen=True, slots=True)
class _Request:
    """What is asked.

    Attributes:
        method: HTTP method.
        target: Path from the root, and query.
        uri: What it is about.
        headers: Header lines of its own, each ending in CRLF.
    """

    method: str
    target: str
    uri: str
    headers: str = ""


@dataclass(frozen=True, slots=True)
class _Failure:
    """How a sending failed.

    Attributes:
        status: The HTTP status, 0 when there was no answer.
        transient: Whether the same request may succeed later.
        error: What it means.
    """

    status: int
    transient: bool
    error: StorageError


def _refusal(status: int, body: bytes, uri: str) -> _Failure:
    message, reasons = _said(body)
    return _Failure(
        status, is_transient(status), error_for(status, reasons, message or f"status {status}", uri)
    )


def _said(body: bytes) -> tuple[str, list[str]]:
    """What the service said and its reasons, as far as the body of a refusal has them.

    Google's JSON errors are ``{"error": {"message": …, "errors": [{"reason": …, "message": …}]}}``; a proxy's are not.
    """
    try:
        error = orjson.loads(body)["error"]
        entries = [entry for entry in error.get("errors", ()) if isinstance(entry, dict)]
        message = next((entry["message"] for entry in entries if entry.get("message")), None)
        return str(message or error["message"]), [str(entry.get("reason")) for entry in entries]
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return body[:200].decode(errors="replace"), []
