"""The mirror's entry: takes a CloudEvent, writes one structured line. The root's ``main.py`` re-exports it.

It answers with an error status where Eventarc should deliver the event again, and with success everywhere else. An event
that can never be handled must not come back for 24 hours.

The framework serves the entry in one event loop, because it is registered with ``functions_framework.aio``. It is registered for
HTTP requests, not for CloudEvents. Otherwise the framework would refuse a raw Pub/Sub push, and a body that is not an event. The
log would not say so. The first event makes the clients, in the worker that serves it, because the server's parent
process also imports this module, before it forks.
"""

import asyncio
import functools
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import functions_framework.aio
from cloudevents.exceptions import GenericException, InvalidRequiredFields, MissingRequiredFields
from cloudevents.http import from_http
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response

from mirror_function.event import MESSAGE_TYPE, ObjectEvent, object_named, read_event, unwrapped
from mirror_function.mirror import (
    Mirrored,
    MirrorOutcome,
    is_worth_another_delivery,
    mirror,
    mirror_at_once,
)
from mirror_function.settings import MirrorSettings
from shared.erasures import Erasures
from shared.errors import MigrationError, PhaseUnknown, UsageError
from shared.events_log import LOGGER_NAME, Event, EventLog, JsonFormatter
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.json_client import way_from
from shared.late_marks import mark_late_write
from shared.objects import ObjectRef
from shared.phase import Phase, PhaseReader
from shared.replicate import Unsettled

__all__ = ["mirror_object", "start_logging", "trace_fields"]

_Value = TypeVar("_Value")

DROPPED = MirrorOutcome.DROPPED.value

RETRY_INITIAL = 0.2
"""Seconds that a client waits at most before the first repetition of a request."""

REQUEST_TIMEOUT = 60.0
"""Seconds without an answer after which one request counts as lost."""

BAD_REQUEST, METHOD_NOT_ALLOWED, UNAVAILABLE = 400, 405, 503


@dataclass(frozen=True, slots=True)
class _Worker:
    """What one worker process keeps from its first event on."""

    settings: MirrorSettings
    api: AsyncApi
    gateway: Gateway
    phases: PhaseReader
    threads: ThreadPoolExecutor

    async def phase(self) -> tuple[Phase, Erasures]:
        """The phase and the erasures of one look; a thread reads them where they have to be read. Raises as `PhaseReader.phase`."""
        known = self.phases.known_with_erasures(reverse=self.settings.reverse)
        if known is None:
            known = await self._on_thread(lambda: self.phases.with_erasures(reverse=self.settings.reverse))
        return known

    async def handled(self, event: ObjectEvent) -> Mirrored:
        """Handle an event. Raises `MigrationError` where the event failed."""
        return await mirror_at_once(
            event,
            self.settings,
            self.api,
            read_phase=self.phase,
            otherwise=lambda after: self._on_thread(self._by_the_rule, event, after),
        )

    async def close(self) -> None:
        """Close the connections. A worker process keeps them until it ends."""
        self.threads.shutdown()
        self.gateway.close()
        await self.api.__aexit__(None, None, None)

    async def _on_thread(self, work: Callable[..., _Value], *arguments: Any) -> _Value:
        return await asyncio.get_running_loop().run_in_executor(self.threads, work, *arguments)

    def _by_the_rule(self, event: ObjectEvent, after: Unsettled) -> Mirrored:
        done = mirror(event, self.settings, self.gateway, self.phases, after)
        if done.late is not None:
            mark_late_write(self.gateway, self.settings.migration, done.late, event.state)
        return done


@functools.cache
def _worker() -> _Worker:
    """Configure this worker.

    Raises:
        UsageError: The environment does not say what to do, or has no credentials. The cache does not keep the error:
            the next event tries again.
    """
    settings = MirrorSettings.from_environ(os.environ)
    gateway = Gateway(
        connections=settings.connections,
        billing_project=settings.billing_project,
        retry_deadline=settings.retry_deadline,
        retry_initial=RETRY_INITIAL,
        request_timeout=REQUEST_TIMEOUT,
    )
    api = AsyncApi(
        connections=settings.connections,
        billing_project=settings.billing_project,
        retry=RetryPolicy(deadline=settings.retry_deadline, initial=RETRY_INITIAL),
        timeout=REQUEST_TIMEOUT,
        server_time=gateway.server_time,
        **way_from(os.environ),
    )
    phases = PhaseReader(gateway, settings.migration, time.monotonic)
    threads = ThreadPoolExecutor(settings.connections, thread_name_prefix="mirror")
    return _Worker(settings, api, gateway, phases, threads)


@functions_framework.aio.http
async def mirror_object(request: Request) -> Response:
    """Answer one request, which should be a delivery."""
    start_logging()
    if request.method != "POST":
        return _answer("events are posted", METHOD_NOT_ALLOWED)
    try:
        body = await request.body()
    except ClientDisconnect:  # a part of the event came; all of it comes again
        return _answer("the body broke off", BAD_REQUEST)
    try:
        event = from_http(request.headers, body)
    except (MissingRequiredFields, InvalidRequiredFields) as error:
        found = _pushed_or_incomplete(request.headers, body)
        if found is None:
            return _answer(f"not a CloudEvent: {error}"[:1000], BAD_REQUEST)
        return await _deliver(request, *found)
    except _UNREADABLE as error:
        _drop(
            EventLog(),
            _in_headers(request.headers),
            None,
            f"the request cannot be read: {type(error).__name__}",
        )
        # A complete body that is not an event does not change. Whatever else it was may have been a fault on the way.
        return (
            _answer("dropped\n")
            if isinstance(error, GenericException)
            else _answer("unreadable", BAD_REQUEST)
        )
    return await _deliver(request, event.get_attributes(), event.get_data())


_UNREADABLE = (GenericException, ValueError, TypeError, LookupError, AttributeError, RecursionError)
"""What the reader of CloudEvents raises: the first for a complete body that is not an event, the others for what it does not expect."""


def _answer(text: str, status: int = 200) -> Response:
    """An answer; the text may have a lone surrogate from a forged event."""
    return PlainTextResponse(text.encode("utf-8", "backslashreplace"), status)


async def _deliver(request: Request, attributes: Mapping[str, Any], data: Any) -> Response:
    """Handle the event of an object, or the Pub/Sub message that carries one. 503 where it should be delivered again."""
    try:
        worker = _worker()
    except UsageError as error:
        EventLog().emit(Event.MIRROR_MISCONFIGURED, error=str(error))
        return _answer(str(error), UNAVAILABLE)
    log = EventLog(trace_fields(request.headers, worker.settings.project))
    attributes, data = unwrapped(attributes, data)
    try:
        event = read_event(attributes, data, datetime.now(UTC))
    except UsageError as error:
        _drop(log, attributes, data, str(error))
        return _answer("OK")
    return await _handle(event, worker, log)


def _drop(log: EventLog, attributes: Mapping[str, Any], data: Any, why: str) -> None:
    """Say that an event is given up, and which object it is about where that can be told."""
    log.emit(
        Event.MIRROR_DROPPED,
        outcome=DROPPED,
        event_id=str(attributes.get("id")),
        error=why,
        **({"object": named} if (named := object_named(attributes, data)) else {}),
    )


async def _handle(event: ObjectEvent, worker: _Worker, log: EventLog) -> Response:
    about: dict[str, Any] = {
        "object": ObjectRef(event.bucket, event.state.name).uri,
        "event_id": event.id,
        "event_generation": event.state.generation,
    }
    try:
        done = await worker.handled(event)
    except MigrationError as error:
        now = datetime.now(UTC)
        failed = {**about, "age_s": round((now - event.time).total_seconds(), 3), "error": str(error)}
        if is_worth_another_delivery(error, event, now, worker.settings.give_up_after):
            unknown = isinstance(error, PhaseUnknown)
            log.emit(Event.MIRROR_PHASE_UNKNOWN if unknown else Event.MIRROR_RETRY, **failed)
            return _answer(str(error), UNAVAILABLE)
        log.emit(Event.MIRROR_DROPPED, outcome=DROPPED, **failed)
    else:
        log.emit(_line(done), **about, **_evidence(done))
    return _answer("OK")


def _line(done: Mirrored) -> Event:
    if done.straggler:
        return Event.MIRROR_STRAGGLER
    return Event.MIRROR_CONFLICT if done.outcome is MirrorOutcome.CONFLICT else Event.MIRRORED


def _evidence(done: Mirrored) -> dict[str, Any]:
    return {
        "outcome": done.outcome.value,
        "source_generation": done.source.generation if done.source else None,
        "destination_generation": done.destination.generation if done.destination else None,
        "bytes": done.source.size if done.source else None,
        "lag_s": None if done.lag is None else round(done.lag, 3),
        "attempts": done.attempts,
        "phase": done.phase.value if done.phase else None,
        **({"because": done.because} if done.because else {}),
    }


def _in_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    return {key[3:]: value for key, value in headers.items() if key.startswith("ce-")}


def _pushed_or_incomplete(headers: Mapping[str, str], body: bytes) -> tuple[Mapping[str, Any], Any] | None:
    """The attributes and the data of a raw Pub/Sub push, or of a CloudEvent that lacks a required attribute; None for neither.

    An event without an identity, for example, says all that a copy needs. If it were refused, it would come for a day and
    then be lost, and no line would name its object.
    """
    try:
        parsed = json.loads(body) if body else None
    except (ValueError, RecursionError):
        parsed = body
    message = parsed.get("message") if isinstance(parsed, dict) else None
    if isinstance(message, dict):
        given = message.get("messageId") or message.get("message_id")
        return {"type": MESSAGE_TYPE, "id": given}, {"message": message}
    if in_headers := _in_headers(headers):
        return in_headers, parsed
    if not isinstance(parsed, dict):
        return None
    if "type" in parsed and "data" in parsed:
        return parsed, parsed["data"]
    # What names an object and does not say what happened to it: it is dropped, and the log has the name.
    inner = parsed.get("data")
    carried = inner if isinstance(inner, dict) else parsed
    return ({}, carried) if carried.get("name") and carried.get("bucket") else None


class _Stdout(logging.Handler):
    """Writes each record as one line in one call to the stdout of *that* moment.

    The functions framework replaces stdout while it serves a request, to label lines with the execution. A line written
    in pieces would become several log entries.
    """

    def emit(self, record: logging.LogRecord) -> None:
        sys.stdout.write(self.format(record) + "\n")
        sys.stdout.flush()


@functools.cache
def start_logging() -> None:
    """Send this process's log to stdout as JSON lines, once. Without this the framework drops all lines below warning."""
    handler = _Stdout()
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.getLogger(LOGGER_NAME).setLevel(logging.INFO)


def trace_fields(headers: Mapping[str, str], project: str) -> dict[str, str]:
    """The fields by which Cloud Logging ties a line to its request (Cloud Logging documentation, "Structured logging").

    Args:
        headers: The request's; ``X-Cloud-Trace-Context: TRACE/SPAN;o=1`` or ``traceparent: 00-TRACE-SPAN-01``.

    Returns:
        The fields; none where the project or the trace is unknown.
    """
    trace = headers.get("X-Cloud-Trace-Context", "").partition("/")[0]
    if not trace:
        parts = headers.get("Traceparent", "").split("-")
        trace = parts[1] if len(parts) > 1 else ""
    if not project or not trace:
        return {}
    return {"logging.googleapis.com/trace": f"projects/{project}/traces/{trace}"}
