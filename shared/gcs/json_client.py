"""One request to the JSON API: retries, authorization, errors, counting. ``api`` has the verbs.

Every request may be repeated safely: a read changes nothing, and every write carries preconditions. Only ``api`` and
``listing`` import this module; it is one of its own because it does not know which requests there are.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, NamedTuple, Self, TypedDict, TypeVar

import orjson

from shared.answers import as_listing, error_for, no_answer, said_by
from shared.errors import Cause, StorageError, UnexpectedAnswer
from shared.gcs.credentials import AccessSource, Anonymous, ApplicationDefault, CurrentGrant
from shared.gcs.wire import Answer, AnswerTooLong, NoAnswer, Proxy, Wire, proxy_for
from shared.operations import OperationsCounter
from shared.server_time import ServerTime
from shared.text import counted

__all__ = [
    "OK",
    "UNPACED",
    "ClientOptions",
    "Heard",
    "JsonClient",
    "Pacing",
    "RetryPolicy",
    "json_object",
    "listing_object",
    "refusal",
    "slows_all",
    "way_from",
]

GOOGLE_HOST = "storage.googleapis.com"
OK = 200
PARTIAL_CONTENT = 206
SUCCESSES = frozenset({OK, PARTIAL_CONTENT})
UNAUTHORIZED = 401
THROTTLED = frozenset({429, 503})
"""Answers by which the service asks for fewer requests (Cloud Storage documentation, "Request rate guidelines")."""
JSON_BODY = "Content-Type: application/json\r\n"
USER_AGENT = "User-Agent: qpi-exports-migration\r\n"

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a request is repeated after a transient fault: exponential backoff with full jitter.

    Attributes:
        deadline: Seconds after which no repetition begins.
        initial: Seconds that the first repetition waits at most; doubled each time.
        maximum: Seconds that any repetition waits at most.
    """

    deadline: float = 120.0
    initial: float = 1.0
    maximum: float = 60.0

    def wait(self, repetition: int, dice: random.Random) -> float:
        """Seconds to wait before a repetition, counted from 0."""
        return dice.uniform(0.0, min(self.maximum, self.initial * 2.0 ** min(repetition, 32)))


async def _at_once() -> None:
    return


def _ignored(_writes: int) -> None:
    return


@dataclass(frozen=True, slots=True)
class Pacing:
    """Limits the rate of a kind of request.

    Attributes:
        admit: Awaited before each repetition. The caller awaits its own limit before the first sending.
        throttled: Called with the number of writes that were asked to be fewer (429, 503). Answers about one object name do
            not count.
    """

    admit: Callable[[], Awaitable[None]] = _at_once
    throttled: Callable[[int], None] = _ignored


UNPACED = Pacing()


class _Failure(NamedTuple):
    """How a sending failed: its HTTP status (0 for no answer), and the error that it means."""

    status: int
    error: StorageError


Heard = Callable[[str, str, int, bytes], None]
"""Gets each answer: the request's method and target, the status, the body."""


class ClientOptions(TypedDict, total=False):
    """What callers of ``api`` may choose; `JsonClient` explains each, and has the defaults."""

    endpoint: str | None
    access: AccessSource | None
    connections: int
    timeout: float
    retry: RetryPolicy | None
    operations: OperationsCounter | None
    server_time: ServerTime | None
    proxy: Proxy | None
    heard: Heard | None


class ConnectionOptions(TypedDict):
    """Those of the options that say which Cloud Storage, and how to reach it."""

    endpoint: str | None
    proxy: Proxy | None


def way_from(environ: Mapping[str, str]) -> ConnectionOptions:
    """Which Cloud Storage the environment names, and the proxy on the way to Google's. Raises as `proxy_for`."""
    endpoint = environ.get("STORAGE_EMULATOR_HOST")
    return {"endpoint": endpoint, "proxy": None if endpoint else proxy_for(GOOGLE_HOST, environ)}


class JsonClient:
    """Sends requests. An asynchronous context manager; belongs to one event loop.

    Args:
        endpoint: Scheme and host of a local Cloud Storage, which needs no credentials; None for Google's.
        access: Where authorization comes from; None for the environment's (Application Default Credentials), or for
            no credentials at an `endpoint`.
        connections: Requests under way at once; more callers wait.
        timeout: Seconds without an answer after which one sending counts as lost. Rewrites need at least 30 (Cloud
            Storage reference, "Objects: rewrite").
        proxy: None to connect directly.
        heard: Hears every answer; None where no caller listens.
        now: The time in seconds since the epoch, for the expiry of tokens.

    Raises:
        UsageError: There are no credentials, or `endpoint` is not an address.
    """

    def __init__(
        self,
        *,
        endpoint: str | None = None,
        access: AccessSource | None = None,
        connections: int = 264,
        timeout: float = 60.0,
        retry: RetryPolicy | None = None,
        operations: OperationsCounter | None = None,
        server_time: ServerTime | None = None,
        proxy: Proxy | None = None,
        heard: Heard | None = None,
        dice: random.Random | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        monotonic: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        base = endpoint or f"https://{GOOGLE_HOST}"
        self._wire = Wire(base, connections=connections, timeout=timeout, proxy=proxy)
        self._access = CurrentGrant(access or (Anonymous() if endpoint else ApplicationDefault()), now)
        self._retry = retry or RetryPolicy()
        self._dice = dice or random.Random()
        self._sleep = sleep
        self._monotonic = monotonic
        self._operations = operations or OperationsCounter()
        self._server_time = server_time or ServerTime()
        self._heard = heard
        self._granted: Mapping[str, str] = {}
        self._header_lines = USER_AGENT

    async def __aenter__(self) -> Self:
        await self._wire.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._access.close()
        await self._wire.__aexit__(kind, error, trace)

    def json(
        self, method: str, target: str, uri: str, pacing: Pacing = UNPACED, *, body: bytes = b""
    ) -> Coroutine[Any, Any, dict[str, Any]]:
        """Send a request, and give the JSON object of its answer; `body` is JSON. Otherwise as `exchange`."""
        headers = JSON_BODY if body else ""
        return self.exchange(method, target, uri, json_object, pacing=pacing, headers=headers, body=body)

    async def exchange(
        self,
        method: str,
        target: str,
        uri: str,
        read: Callable[[Answer], _Read],
        *,
        pacing: Pacing = UNPACED,
        headers: str = "",
        most: int | None = None,
        body: bytes = b"",
    ) -> _Read:
        """Send a request, again after transient faults, and read its answer.

        Args:
            target: Path and query, percent-encoded.
            uri: What it is about, as ``gs://bucket/name``, for errors.
            read: Reads a success. A ValueError means an incomplete answer: the request is repeated.
            most: Bytes that the answer may have; None for no bound.
            body: What is sent; `headers` say its type.

        Raises:
            StorageError: Any other answer, or none within the time allowed. Every 404 is `ObjectNotFound` here.
        """
        end = self._monotonic() + self._retry.deadline
        repetition = 0
        renewed = False
        while True:
            if (granted := self._access.valid()) is None:
                granted = await self._access.headers(uri)
            self._operations.count(method, target)
            answer = await self._sent(
                method, target, uri, self._lines(granted) + headers, most=most, body=body
            )
            if isinstance(answer, Answer):
                try:
                    return read(answer)
                except ValueError as error:
                    answer = _Failure(answer.status, no_answer(error, uri))
            if answer.status == UNAUTHORIZED and not renewed:
                renewed = True
                if await self._access.refused(granted, uri):
                    continue
            if slows_all(answer.status, answer.error):
                pacing.throttled(1)
            wait = self._retry.wait(repetition, self._dice)
            if not answer.error.transient or self._monotonic() + wait >= end:
                raise answer.error
            await self._sleep(wait)
            await pacing.admit()
            repetition += 1

    async def post_once(
        self, target: str, uri: str, headers: str, body: bytes, pacing: Pacing, *, writes: int
    ) -> bytes:
        """Post a batch once, and give the answer's body. Not counted, because the calls of a batch are deletions, which are free.

        It is sent again only after the authorization was renewed.

        Args:
            writes: How many writes the body holds.

        Raises:
            Unavailable: There is no answer; the request may or may not have had its effect.
            StorageError: It was refused.
        """
        granted = await self._access.headers(uri)
        answer = await self._sent("POST", target, uri, self._lines(granted) + headers, body=body)
        if answer.status == UNAUTHORIZED and await self._access.refused(granted, uri):
            granted = await self._access.headers(uri)
            answer = await self._sent("POST", target, uri, self._lines(granted) + headers, body=body)
        if isinstance(answer, Answer):
            return answer.body
        if slows_all(answer.status, answer.error):
            pacing.throttled(writes)
        raise answer.error

    async def _sent(
        self, method: str, target: str, uri: str, lines: str, *, most: int | None = None, body: bytes = b""
    ) -> Answer | _Failure:
        """Send it once."""
        try:
            answer = await self._wire.send(method, target, lines, most, body)
        except AnswerTooLong as error:
            return _Failure(0, UnexpectedAnswer(uri, f"{error} ({counted(most or 0, 'byte')})"))
        except NoAnswer as error:
            return _Failure(0, no_answer(error, uri))
        self._server_time.note(answer.date)
        if self._heard is not None:
            self._heard(method, target, answer.status, answer.body)
        if answer.status not in SUCCESSES:
            return _Failure(answer.status, refusal(answer.status, answer.body, uri))
        return answer

    def _lines(self, headers: Mapping[str, str]) -> str:
        """The header lines of a request; made only once for each grant."""
        if headers is not self._granted:
            self._granted = headers
            self._header_lines = USER_AGENT + "".join(
                f"{name}: {value}\r\n" for name, value in headers.items()
            )
        return self._header_lines


def json_object(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer. Raises `ValueError` where it has none."""
    if answer.status != OK:
        raise ValueError(f"a part of an answer ({answer.status})")
    try:
        parsed = orjson.loads(answer.body)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"no JSON: {error}") from error
    if isinstance(parsed, dict):
        return parsed
    raise ValueError("no JSON object")


def listing_object(answer: Answer) -> dict[str, Any]:
    """The JSON object of a listing's answer. Raises `ValueError` where it is not one."""
    return as_listing(json_object(answer))


def refusal(status: int, body: bytes, uri: str) -> StorageError:
    """The error that an answer without success means (``shared.answers``)."""
    message, reasons = said_by(body)
    return error_for(status, reasons, message, uri)


def slows_all(status: int, error: StorageError | None) -> bool:
    """Whether an answer asks for fewer requests of every kind, and not only for fewer writes to one object name."""
    return status in THROTTLED and (error is None or error.cause is not Cause.OBJECT_RATE)
