"""The vocabulary of the structured log: every event of this project, with its severity and its fields.

Dashboards, alerts and log-based metrics name these events and fields, and tests check them against this module. An event
is one line. In the cloud it is one JSON object on stdout. Cloud Logging reads ``severity``, ``message``, ``time`` and
``logging.googleapis.com/*``; the rest becomes ``jsonPayload``. Locally it is one line of text.

Events travel through the standard library's logging, with their fields in the record's ``json_fields``, a name that
``google-cloud-logging`` uses too.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from shared.objects import time_text

__all__ = [
    "CONTEXT_FIELDS",
    "FIELD_TYPES",
    "LOGGER_NAME",
    "Event",
    "EventLog",
    "JsonFormatter",
    "TextFormatter",
]

LOGGER_NAME = "qpi_exports_migration"

MAX_TEXT = 4_000
"""Longest text value in an event, in characters; an entry may have 256 KiB (Cloud Logging quotas)."""


@dataclass(frozen=True, slots=True)
class _Spec:
    level: int
    meaning: str
    fields: frozenset[str]


def _spec(level: int, meaning: str, fields: str = "") -> _Spec:
    return _Spec(level, meaning, frozenset(fields.split()))


_FINISHED = (
    "exit_code summary listed copied already_equal superseded conflict erased failed excluded bytes elapsed_s copying_s "
    "class_a class_b"
)
_DELETED = "lines deleted already_gone overwritten_since destination_changed held failed bytes answers_lost"
_HANDLED = "outcome object event_id event_generation source_generation destination_generation bytes lag_s attempts phase because"


class Event(Enum):
    """Every event of the log. The value holds the severity, the sentence and the fields."""

    RUN_STARTED = _spec(logging.INFO, "run started", "mode source destination")
    PLAN_MADE = _spec(
        logging.INFO,
        "both sides compared, nothing changed",
        "objects bytes copy overwrite equal conflict erased extra excluded impossible",
    )
    PROGRESS = _spec(
        logging.INFO,
        "copying",
        "listed copied already_equal superseded conflict erased failed excluded bytes objects_per_s elapsed_s",
    )
    OBJECT_OVERWRITTEN = _spec(
        logging.INFO,
        "a different object at the destination was replaced",
        "object source_generation destination_generation replaced_generation",
    )
    OBJECT_CONFLICT = _spec(
        logging.WARNING,
        "both sides differ and the destination has the authority; left as it is",
        "object source_generation destination_generation",
    )
    OBJECT_STRAGGLER = _spec(
        logging.WARNING,
        "a new object arrived on the path that is not the source of truth; copied",
        "object source_generation destination_generation",
    )
    OBJECT_ERASED = _spec(
        logging.WARNING,
        "an object was deleted on the path that is the source of truth; it is not brought back",
        "object source_generation",
    )
    DELETION_FOLLOWED = _spec(
        logging.INFO,
        "a copy of a deleted source object was deleted",
        "object destination_generation",
    )
    OBJECT_FAILED = _spec(logging.ERROR, "an object could not be copied", "object error transient")
    VERIFICATION_DIFFERENCE = _spec(
        logging.ERROR,
        "the two sides differ",
        "object verdict differences source_generation destination_generation",
    )
    VERIFICATION_FINISHED = _spec(
        logging.INFO,
        "verified",
        "clean equal missing content_differs metadata_differs extra in_flight excluded erased crc32c_alone",
    )
    LEDGER_BROKEN = _spec(logging.CRITICAL, "not every listed object is accounted for", "listed accounted")
    RUN_STOPPED = _spec(logging.ERROR, "the run stopped before its end", "error")
    RUN_FINISHED = _spec(logging.INFO, "run finished", _FINISHED)
    EXECUTION_FINISHED = _spec(logging.INFO, "all tasks finished", _FINISHED)
    GATE_CHECKED = _spec(logging.INFO, "the cutover gate was checked", "go failing")
    CONSUMER_LOADED = _spec(
        logging.INFO,
        "the path was compared with the consumer's table",
        "days rows never partly twice clean summary",
    )
    CONSUMER_LOADED_NOTHING = _spec(
        logging.ERROR, "the consumer loaded nothing of a day that is on the path", "day rows summary"
    )
    DAY_GREEN = _spec(logging.INFO, "a day after the cutover is green", "day summary")
    DAY_NOT_GREEN = _spec(
        logging.WARNING,
        "a day after the cutover is not green; the green days before the deletion begin again",
        "day summary",
    )
    READERS_CHECKED = _spec(
        logging.INFO, "the audit log was read for who uses the legacy path", "clean summary"
    )
    OLD_PATH_READ = _spec(
        logging.ERROR,
        "a principal that is not acknowledged used the legacy path after the cutover",
        "principal summary",
    )
    CANARY_WRITTEN = _spec(
        logging.INFO, "a canary is written under the legacy prefix; it is removed again", "object"
    )
    HANDED_OVER = _spec(
        logging.INFO,
        "one path was brought up to date from the other",
        "phase done summary listed copied later_writes erased failed",
    )
    MIXED_PREFIX_FOUND = _spec(
        logging.ERROR,
        "the new bucket is used with the old prefix's case, which no consumer reads",
        "object",
    )
    DELETION_REFUSED = _spec(
        logging.WARNING, "a deletion was asked for and refused; nothing was deleted", "checks error"
    )
    CHECK_PASSED_OVER = _spec(
        logging.WARNING, "a check failed and was overridden", "check reason by evidence"
    )
    MANIFEST_WRITTEN = _spec(
        logging.INFO,
        "the deletion manifest was written and read back",
        "manifest sha256 objects bytes critical",
    )
    DELETION_PROGRESS = _spec(logging.INFO, "deleting", f"{_DELETED} objects_per_s elapsed_s")
    OBJECT_KEPT = _spec(
        logging.WARNING,
        "a legacy object of the manifest was not deleted",
        "object outcome error source_generation destination_generation",
    )
    DELETION_FINISHED = _spec(
        logging.INFO, "deletion finished", f"{_DELETED} exit_code summary manifest phase elapsed_s"
    )
    OBJECT_NOT_RESTORED = _spec(
        logging.ERROR, "a deleted object could not be brought back", "object outcome error source_generation"
    )
    UNDO_FINISHED = _spec(
        logging.INFO,
        "undo finished",
        "exit_code summary manifest selected there brought_back not_there elapsed_s",
    )
    STATE_CHANGED = _spec(logging.INFO, "the migration's state was changed", "phase what by")
    MIRRORED = _spec(logging.INFO, "event handled", _HANDLED)
    MIRROR_STRAGGLER = _spec(
        logging.WARNING, "a new object arrived on the path that is not the source of truth; copied", _HANDLED
    )
    MIRROR_CONFLICT = _spec(
        logging.WARNING, "both sides differ and the destination has the authority; left as it is", _HANDLED
    )
    MIRROR_RETRY = _spec(
        logging.WARNING,
        "event not handled yet; it will be delivered again",
        "object event_id event_generation age_s error",
    )
    MIRROR_PHASE_UNKNOWN = _spec(
        logging.ERROR,
        "the migration's record is missing or damaged, so the mirror does nothing; it will be delivered again",
        "object event_id event_generation age_s error",
    )
    MIRROR_DROPPED = _spec(
        logging.ERROR,
        "event given up; the sweeper has to bring this object",
        "outcome object event_id event_generation age_s error",
    )
    MIRROR_MISCONFIGURED = _spec(logging.CRITICAL, "the mirror cannot work as it is configured", "error")

    @property
    def event_name(self) -> str:
        """The text in the line's ``event`` field, which filters look for."""
        return self.name.lower()


CONTEXT_FIELDS = frozenset({"run", "env", "task", "tasks"})
"""The fields that an `EventLog`'s context may have, besides Cloud Logging's own ``logging.googleapis.com/*``."""

_TEXTS = (
    "run env day mode source destination object verdict phase what by summary error outcome event_id because "
    "source_generation destination_generation replaced_generation event_generation check reason evidence manifest sha256 principal"
)
_COUNTS = (
    "task tasks objects bytes copy overwrite equal conflict extra excluded impossible listed copied already_equal "
    "superseded erased failed missing content_differs metadata_differs in_flight crc32c_alone accounted exit_code class_a class_b "
    "later_writes attempts lines deleted already_gone overwritten_since destination_changed held answers_lost "
    "selected there brought_back not_there critical days rows never partly twice"
)
FIELD_TYPES: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(_TEXTS.split(), (str,)),
    **dict.fromkeys(_COUNTS.split(), (int,)),
    **dict.fromkeys(("objects_per_s", "elapsed_s", "copying_s", "lag_s", "age_s"), (int, float)),
    **dict.fromkeys(("transient", "clean", "go", "done"), (bool,)),
    **dict.fromkeys(("differences", "failing", "checks"), (list,)),
}
"""The types of each field, the same in every event; any field may also be null."""


@dataclass(frozen=True, slots=True)
class EventLog:
    """Writes events; each line also has the fields of `context`, such as the run."""

    context: Mapping[str, Any] = field(default_factory=dict)
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger(LOGGER_NAME))

    def emit(self, event: Event, **fields: Any) -> None:
        """Write one event.

        Args:
            fields: Its fields; generations as integers. The line has them as texts, because they exceed the integers
                that JSON readers keep exact.

        Raises:
            TypeError: The event does not have one of the fields.
        """
        unknown = fields.keys() - event.value.fields
        if unknown:
            raise TypeError(f"{event.event_name} has no field {', '.join(sorted(unknown))}")
        payload = {
            "event": event.event_name,
            **self.context,
            **{key: _plain(key, fields[key]) for key in fields},
        }
        self.logger.log(event.value.level, event.value.meaning, extra={"json_fields": payload})


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, as Cloud Logging reads it from stdout."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        fields = dict(getattr(record, "json_fields", None) or {"event": "message", "logger": record.name})
        message = record.getMessage()
        if record.exc_info:
            message += "\n" + self.formatException(record.exc_info)
        line = {
            "severity": record.levelname,
            "time": _moment(record),
            "message": message if "event" not in fields else _sentence(message, fields),
            **fields,
        }
        text = json.dumps(line, ensure_ascii=False, default=str)
        # A name in a forged event may have a lone surrogate, which no stream can encode. This is JSON's own escape for it.
        return text.encode("utf-8", "backslashreplace").decode()


class TextFormatter(logging.Formatter):
    """One line of text for each record, for people and grep: time, severity, event, sentence, ``field=value`` …."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter.format`."""
        fields = dict(getattr(record, "json_fields", None) or {"event": "message", "logger": record.name})
        event = fields.pop("event")
        values = " ".join(
            f"{key}={json.dumps(fields[key], ensure_ascii=False, default=str)}" for key in fields
        )
        text = _seen(
            f"{_moment(record)} {record.levelname:<8} {event}: {record.getMessage()} {values}".rstrip()
        )
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


def _plain(key: str, value: Any) -> Any:
    if key.endswith("_generation") and value is not None:
        return str(value)
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return value[: MAX_TEXT - 1] + "…"
    return value


def _sentence(message: str, fields: Mapping[str, Any]) -> str:
    """Add the object, and the error or similar, to the sentence: the lists of log viewers show only the message."""
    subject = fields.get("object")
    reason = fields.get("error") or fields.get("summary") or fields.get("what") or fields.get("mode")
    return " ".join(part for part in (f"{subject}:" if subject else "", message) if part) + (
        f": {reason}" if reason else ""
    )


def _seen(text: str) -> str:
    """Escape, as JSON does, what moves a cursor, begins a line, turns the reading direction, or is invisible."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in text)


def _moment(record: logging.LogRecord) -> str:
    return time_text(datetime.fromtimestamp(record.created, UTC))
