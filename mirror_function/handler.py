"""The mirror's entry: takes a CloudEvent, writes one structured line. The root's ``main.py`` re-exports it.

It answers with an error status where Eventarc should deliver the event again, and with success everywhere else. An event
that can never be handled must not come back for 24 hours. The first event makes the clients, in the worker that serves
it, because the server's parent process also imports this module, before it forks.
"""

import functools
import logging
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import flask
import functions_framework
from cloudevents.exceptions import GenericException
from cloudevents.http import CloudEvent
from werkzeug.exceptions import BadRequest, HTTPException, ServiceUnavailable
from werkzeug.wrappers import Response

from mirror_function.event import MESSAGE_TYPE, ObjectEvent, object_named, read_event, unwrapped
from mirror_function.mirror import Mirrored, MirrorOutcome, is_worth_another_delivery, mirror
from mirror_function.settings import MirrorSettings
from shared.errors import MigrationError, PhaseUnknown, UsageError
from shared.events_log import LOGGER_NAME, Event, EventLog, JsonFormatter
from shared.gateway import Gateway
from shared.late_marks import mark_late_write
from shared.objects import ObjectRef
from shared.phase import PhaseReader

__all__ = ["answer_unreadable", "entered", "mirror_object", "start_logging", "trace_fields"]

DROPPED = MirrorOutcome.DROPPED.value

_ENTERED = "qpi_exports_entered"


@dataclass(frozen=True, slots=True)
class _Worker:
    """What one worker process keeps from its first event on."""

    settings: MirrorSettings
    gateway: Gateway
    phases: PhaseReader


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
        retry_initial=0.2,
        request_timeout=60.0,
    )
    return _Worker(settings, gateway, PhaseReader(gateway, settings.migration, time.monotonic))


@functions_framework.cloud_event
def mirror_object(cloud_event: CloudEvent) -> None:
    """Handle one delivery.

    Raises:
        ServiceUnavailable: Eventarc should deliver it again.
    """
    entered()
    _deliver(cloud_event.get_attributes(), cloud_event.get_data())


def _deliver(attributes: Mapping[str, Any], data: Any) -> None:
    """Handle the event of an object, or the Pub/Sub message that carries one.

    Raises:
        ServiceUnavailable: It should be delivered again.
    """
    start_logging()
    try:
        worker = _worker()
    except UsageError as error:
        EventLog().emit(Event.MIRROR_MISCONFIGURED, error=str(error))
        raise ServiceUnavailable(str(error)) from error
    log = EventLog(trace_fields(dict(flask.request.headers), worker.settings.project))
    attributes, data = unwrapped(attributes, data)
    try:
        event = read_event(attributes, data, datetime.now(UTC))
    except UsageError as error:
        _drop(log, attributes, data, str(error))
        return
    _handle(event, worker, log)


def _drop(log: EventLog, attributes: Mapping[str, Any], data: Any, why: str) -> None:
    """Say that an event is given up, and which object it is about where that can be told."""
    log.emit(
        Event.MIRROR_DROPPED,
        outcome=DROPPED,
        event_id=str(attributes.get("id")),
        error=why,
        **({"object": named} if (named := object_named(attributes, data)) else {}),
    )


def _handle(event: ObjectEvent, worker: _Worker, log: EventLog) -> None:
    about: dict[str, Any] = {
        "object": ObjectRef(event.bucket, event.state.name).uri,
        "event_id": event.id,
        "event_generation": event.state.generation,
    }
    try:
        done = mirror(event, worker.settings, worker.gateway, worker.phases)
        if done.late is not None:
            mark_late_write(worker.gateway, worker.settings.migration, done.late, event.state)
    except MigrationError as error:
        now = datetime.now(UTC)
        failed = {**about, "age_s": round((now - event.time).total_seconds(), 3), "error": str(error)}
        if is_worth_another_delivery(error, event, now, worker.settings.give_up_after):
            unknown = isinstance(error, PhaseUnknown)
            log.emit(Event.MIRROR_PHASE_UNKNOWN if unknown else Event.MIRROR_RETRY, **failed)
            raise ServiceUnavailable(str(error)) from error
        log.emit(Event.MIRROR_DROPPED, outcome=DROPPED, **failed)
        return
    log.emit(_line(done), **about, **_evidence(done))


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


def entered() -> None:
    """Note that the framework has called a function: a later error is the function's, not the request's."""
    setattr(flask.g, _ENTERED, True)


def answer_unreadable(error: Exception) -> HTTPException | Response:
    """Answer an error that reached the framework.

    The framework reads body and headers before it calls the function. It would answer an error there with 500 and a
    traceback, and Eventarc would deliver the same body for a day. ``main.py`` registers this handler, because the
    framework takes error handlers while it loads that file.

    Returns:
        The error itself if it is an answer. 400 for an incomplete body: the next delivery may be complete. Success for
        a complete body that is not an event: another delivery could not change that.

    Raises:
        Exception: The function raised it: the framework logs it and answers 500.
    """
    if flask.g.get(_ENTERED):
        if isinstance(error, HTTPException):
            return error
        raise error
    if isinstance(error, HTTPException):
        return _pushed() or error
    start_logging()
    why = f"the request cannot be read: {type(error).__name__}"
    headers = {
        key.lower()[3:]: value for key, value in flask.request.headers if key.lower().startswith("ce-")
    }
    _drop(EventLog(), headers, None, why)
    complete = isinstance(error, GenericException)  # of cloudevents, which reads complete bodies only
    return Response("dropped\n", mimetype="text/plain") if complete else BadRequest(why)


def _pushed() -> HTTPException | Response | None:
    """Handle a raw Pub/Sub push that the framework refuses: one without data, as notifications may be.

    Returns:
        The answer; None where the request is not a push.
    """
    request = flask.request
    body = request.get_json(silent=True) if request.method == "POST" else None
    if not isinstance(body, Mapping) or not isinstance(body.get("message"), Mapping):
        return None
    entered()
    message = body["message"]
    attributes = {
        "type": MESSAGE_TYPE,
        "id": message.get("messageId"),
        "time": message.get("publishTime") or "",
    }
    try:
        _deliver(attributes, {"message": message})
    except HTTPException as error:
        return error
    return Response("OK", mimetype="text/plain")


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
        project: The Google Cloud project of the trace.

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
