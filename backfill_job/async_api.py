"""The JSON API of Cloud Storage, asynchronously: one request, its repetitions, its errors.

For the few things that are done by the million, reading listings, sending conditional rewrites, reading contents, and
batches of conditional deletions; the official client spends several times as long on each. All may be repeated safely: a
read changes nothing, and everything else carries conditions. Errors leave as the gateway would say them (``shared.answers``).
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import orjson

from backfill_job.access import Access, AccessSource, anonymous, application_default
from backfill_job.batching import CONTENT_TYPE, BatchCall, batch_body, batch_parts
from backfill_job.tunnel import Proxy
from backfill_job.wire import Answer, AnswerTooLong, NoAnswer, Wire
from shared.answers import error_for, is_transient, no_answer
from shared.errors import StorageError, UnexpectedAnswer
from shared.operations import OperationsCounter

__all__ = ["GOOGLE_HOST", "AsyncApi", "Pacing", "PartAnswer", "RetryPolicy", "encoded"]

GOOGLE_HOST = "storage.googleapis.com"
GOOGLE = f"https://{GOOGLE_HOST}"
BASE_PATH = "/storage/v1"
BATCH_PATH = "/batch/storage/v1"
OK = 200
PARTIAL_CONTENT = 206
SUCCESSES = frozenset({OK, PARTIAL_CONTENT})
UNAUTHORIZED = 401
THROTTLED = frozenset({429, 503})
"""Answers by which the service asks for fewer requests (Cloud Storage documentation, "Request rate guidelines")."""
USER_AGENT = "User-Agent: qpi-exports-migration\r\n"
AS_STORED = "Accept-Encoding: gzip\r\n"
"""Without it Cloud Storage unpacks what has ``Content-Encoding: gzip``, and takes no notice of a range (documentation,
"Transcoding of gzip-compressed files")."""

_Read = TypeVar("_Read")


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


@dataclass(frozen=True, slots=True)
class PartAnswer:
    """What became of one call of a batch.

    Attributes:
        status: Its own HTTP status; 0 where the answer has none that can be read: it may or may not have had its effect.
        error: What a status that is no success means; None for a success.
    """

    status: int
    error: StorageError | None


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
        proxy: Through which to connect; None for none.

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
        proxy: Proxy | None = None,
    ) -> None:
        self._wire = Wire(endpoint or GOOGLE, connections=connections, timeout=timeout, proxy=proxy)
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
        return await self._answered(method, path, uri, pacing, _json_object)

    async def media(
        self, path: str, uri: str, *, first: int, size: int, whole: bool, pacing: Pacing = UNPACED
    ) -> bytes:
        """Read the contents of an object, or a part of them, as they are stored. Holds no more than what is asked for.

        Args:
            path: What follows ``/storage/v1``, up to the object's name (`encoded`); its query should name a generation, so
                that all parts are of one version.
            uri: The object, as ``gs://bucket/name``, for errors.
            first: Which byte to begin with.
            size: How many bytes to read, at least 1.
            whole: Whether these are all the object's bytes; then no range is asked for.
            pacing: Whoever limits the rate.

        Returns:
            Exactly these bytes.

        Raises:
            ObjectNotFound: There is no such object, version or bucket.
            UnexpectedAnswer: The answer is longer than what was asked for, or another part.
            StorageError: Any other answer, or none within the time allowed.
        """
        more = AS_STORED if whole else f"{AS_STORED}Range: bytes={first}-{first + size - 1}\r\n"
        wanted = OK if whole else PARTIAL_CONTENT

        def part(answer: Answer) -> bytes:
            if answer.status != wanted:
                raise UnexpectedAnswer(uri, f"a part was asked for, and the answer is none ({answer.status})")
            if len(answer.body) != size:
                raise UnexpectedAnswer(uri, f"{size:,} bytes were asked for, {len(answer.body):,} came")
            return answer.body

        separator = "&" if "?" in path else "?"
        return await self._answered(
            "GET", f"{path}{separator}alt=media", uri, pacing, part, more=more, most=size
        )

    async def batch(self, calls: Sequence[BatchCall], uri: str, pacing: Pacing = UNPACED) -> list[PartAnswer]:
        """Send several calls in one request, once. The batch's success is no success of any of its calls.

        Args:
            calls: At most 100 (Cloud Storage documentation, "Batch requests"); done in any order.
            uri: What they are about, for errors of the whole.
            pacing: Told of answers that ask for fewer requests; never asked.

        Returns:
            The answer to each call, in their order.

        Raises:
            Unavailable: There is no answer; any of the calls may have had its effect.
            StorageError: The batch was refused as a whole.
        """
        body = batch_body([(call.method, BASE_PATH + call.path) for call in calls])
        answer = await self._sent_once(BATCH_PATH, uri, CONTENT_TYPE, body)
        if isinstance(answer, _Failure):
            if answer.status in THROTTLED:
                pacing.throttled()
            raise answer.error
        try:
            parts = batch_parts(answer.body, len(calls))
        except ValueError as error:
            raise no_answer(error, uri) from error
        answers = [_part_answer(part, call.uri) for part, call in zip(parts, calls, strict=True)]
        if any(part.status in THROTTLED for part in answers):
            pacing.throttled()
        return answers

    async def _sent_once(self, target: str, uri: str, more: str, body: bytes) -> "Answer | _Failure":
        """Post a body; again only where the authorization had to be renewed."""
        headers = await self._access.headers(uri)
        answer = await self._sent("POST", target, uri, self._lines(headers) + more, body=body)
        if answer.status == UNAUTHORIZED and await self._access.refused(headers, uri):
            headers = await self._access.headers(uri)
            answer = await self._sent("POST", target, uri, self._lines(headers) + more, body=body)
        return answer

    async def _answered(
        self,
        method: str,
        path: str,
        uri: str,
        pacing: Pacing,
        read: Callable[[Answer], _Read],
        *,
        more: str = "",
        most: int | None = None,
    ) -> _Read:
        """Send a request until there is an answer, and read it.

        Args:
            method: The HTTP method.
            path: What follows ``/storage/v1``.
            uri: What it is about.
            pacing: Whoever limits the rate.
            read: Makes something of a success; raises ValueError for half an answer, which is asked for again.
            more: Further header lines.
            most: Bytes that the answer may have; None for no bound.
        """
        target = BASE_PATH + path
        end = self._monotonic() + self._retry.deadline
        repetition = 0
        renewed = False
        while True:
            headers = await self._access.headers(uri)
            answer = await self._sent(method, target, uri, self._lines(headers) + more, most=most)
            if isinstance(answer, Answer):
                try:
                    return read(answer)
                except ValueError as error:
                    answer = _Failure(answer.status, transient=True, error=no_answer(error, uri))
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
        self, method: str, target: str, uri: str, lines: str, *, most: int | None = None, body: bytes = b""
    ) -> "Answer | _Failure":
        """Send it once."""
        if target != BATCH_PATH:  # whose calls are deletions, which are free
            self._operations.count(method, target)
        try:
            answer = await self._wire.send(method, target, lines, most, body)
        except AnswerTooLong as error:
            return _Failure(0, transient=False, error=UnexpectedAnswer(uri, f"{error} ({most:,} bytes)"))
        except NoAnswer as error:
            return _Failure(0, transient=True, error=no_answer(error, uri))
        if answer.status not in SUCCESSES:
            return _refusal(answer.status, answer.body, uri)
        return answer

    def _lines(self, headers: Mapping[str, str]) -> str:
        """The header lines of a request; made anew only when the grant is a new one."""
        if headers is not self._granted:
            self._granted = headers
            self._header_lines = USER_AGENT + "".join(
                f"{name}: {value}\r\n" for name, value in headers.items()
            )
        return self._header_lines


def _json_object(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        ValueError: It has none.
    """
    try:
        parsed = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from error
    if isinstance(parsed, dict):
        return parsed
    raise ValueError("no JSON object")


def encoded(text: str) -> str:
    """Percent-encode a name or value so that it is one segment of a path, or one value of a query."""
    return quote(text, safe="")


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


def _part_answer(part: "tuple[int, bytes] | None", uri: str) -> PartAnswer:
    if part is None:
        return PartAnswer(0, no_answer("the batch's answer has no part for it that can be read", uri))
    status, body = part
    if OK <= status < OK + 100:
        return PartAnswer(status, None)
    return PartAnswer(status, _refusal(status, body, uri).error)


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
