"""The log's vocabulary as the files and the preview need it: which fields an event has, and whether a line keeps to it."""

import functools
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from monitoring.log_filter import SEVERITIES, Comparison
from shared.events_log import CONTEXT_FIELDS, FIELD_TYPES, Event
from shared.json_io import parse_json

__all__ = ["MAX_LINE", "event_fields", "events_named", "is_number", "line_problems"]

MAX_LINE = 100 * 1_024
"""Bytes of a line, at most: an entry may have 256 KiB, with what Cloud Logging adds."""

LIBRARY = "message"
"""The event of a line that another library wrote; its other field is the logger's name."""

OWN = frozenset({"severity", "time", "message", "event"})


@functools.cache
def event_fields() -> Mapping[str, frozenset[str]]:
    """Fields by event, those of the context included."""
    known = {event.event_name: event.value.fields | CONTEXT_FIELDS for event in Event}
    return {**known, LIBRARY: frozenset({"logger"})}


def events_named(compared: Iterable[Comparison]) -> set[str]:
    """The events that a filter's comparisons name."""
    return {value for one in compared if one.field == "jsonPayload.event" for value in one.values}


def is_number(field: str) -> bool:
    """Whether a field can be a distribution's value."""
    return FIELD_TYPES.get(field, (str,))[0] in {int, float}


def line_problems(text: str) -> list[str]:
    """What is wrong with a line of the structured log: against the vocabulary and Cloud Logging's limits.

    Args:
        text: The line, without its line break.

    Returns:
        A sentence a fault; none when the line is as it should be.
    """
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_LINE:
        return [f"the line has {size:,} bytes, more than {MAX_LINE:,}"]
    try:
        line = parse_json(text)
    except ValueError:
        return ["the line is no JSON"]
    if not isinstance(line, dict):
        return ["the line is no JSON object"]
    return [*_own_problems(line), *_field_problems(line)]


def _own_problems(line: Mapping[str, Any]) -> list[str]:
    found = [f"no {name}" for name in sorted(OWN) if not isinstance(line.get(name), str)]
    if line.get("severity") not in SEVERITIES:
        found.append(f"severity {line.get('severity')!r} is none of Cloud Logging's")
    if isinstance(line.get("time"), str) and not _is_moment(line["time"]):
        found.append(f"time {line['time']!r} is no moment")
    event = line.get("event")
    if isinstance(event, str) and event not in event_fields():
        found.append(f"no event is called {event}")
    return found


def _field_problems(line: Mapping[str, Any]) -> list[str]:
    known = event_fields().get(str(line.get("event")), frozenset())
    found = []
    for name, value in line.items():
        if name in OWN or name.startswith("logging.googleapis.com/"):
            continue
        if name not in known:
            found.append(f"{line.get('event')} has no field {name}")
        elif value is not None and name in FIELD_TYPES and not _fits(value, FIELD_TYPES[name]):
            found.append(f"{name} is {value!r}")
    return found


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    # A truth value is an integer to Python, and is none in JSON.
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)
