"""The function's entry: a CloudEvent in, one structured line out.

What Eventarc should deliver again is answered with an error status, everything else with success: a poisoned event
must not come back for 24 hours. Clients are made at the first event, in the worker that serves it; the module is also
imported by the server's parent process, before it forks.
"""

import functools
import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import flask
import functions_framework
from cloudevents.http import CloudEvent
from werkzeug.exceptions import ServiceUnavailable

from mirror_function.event import ObjectEvent, read_event
from mirror_function.logs import start_logging, trace_fields
from mirror_function.mirror import Mirrored, MirrorOutcome, is_worth_another_delivery, mirror
from mirror_function.settings import MirrorSettings
from mirror_function.unreadable import entered
from shared.errors import MigrationError, UsageError
from shared.events_log import Event, EventLog
from shared.gateway import Gateway
from shared.late_marks import mark_late_write
from shared.objects import ObjectRef
from shared.phase import PhaseReader

__all__ = ["mirror_object"]

DROPPED = MirrorOutcome.DROPPED.value


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
        UsageError: The environment does not say what to do, or there are no credentials. Not kept: the next event
            tries again.
    """
    settings = MirrorSettings.from_environ(os.environ)
    gateway = Gateway(
        connections=settings.connections,
        retry_deadline=settings.retry_deadline,
        retry_initial=0.2,
        request_timeout=60.0,
    )
    return _Worker(settings, gateway, PhaseReader(gateway, settings.migration, time.monotonic))


@functions_framework.cloud_event
def mirror_object(cloud_event: CloudEvent) -> None:
    """Handle one delivery.

    Raises:
        ServiceUnavailable: Deliver it again.
    """
    entered()
    start_logging()
    try:
        worker = _worker()
    except UsageError as error:
        EventLog().emit(Event.MIRROR_MISCONFIGURED, error=str(error))
        raise ServiceUnavailable(str(error)) from error
    log = EventLog(trace_fields(dict(flask.request.headers), worker.settings.project))
    attributes = cloud_event.get_attributes()
    try:
        event = read_event(attributes, cloud_event.get_data())
    except UsageError as error:
        log.emit(Event.MIRROR_DROPPED, outcome=DROPPED, event_id=str(attributes.get("id")), error=str(error))
        return
    _handle(event, worker, log)


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
            log.emit(Event.MIRROR_RETRY, **failed)
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
