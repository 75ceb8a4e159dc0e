"""Lines of a command's log file, which are text, made into those that it would have written as JSON. Pure.

A log file is what a local run leaves even where nobody thought of ``--log-format json``. Its lines say the same: `TextFormatter` writes
each field as JSON, after a sentence that the vocabulary knows.
"""

import json
import logging
import re
from typing import Any

from monitoring.vocabulary import LIBRARY
from shared.events_log import Event, JsonFormatter

__all__ = ["json_line"]

_START = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z) ([A-Z]+) +([a-z_]+): ")
_FIELD = re.compile(r" ([a-z][a-z0-9_]*)=")
_MEANINGS = {event.event_name: event.value.meaning for event in Event}


def json_line(text: str) -> str | None:
    """The line as JSON; None when it is no line of a log file.

    Args:
        text: As `shared.events_log.TextFormatter` writes it.
    """
    start = _START.match(text)
    if start is None:
        return None
    moment, severity, event = start.groups()
    rest = text[start.end() :]
    # A library's sentence is not known; its one field comes last.
    message = rest.rpartition(" logger=")[0] if event == LIBRARY else _MEANINGS.get(event, "")
    fields = _fields(rest[len(message) :]) if message and rest.startswith(message) else None
    if fields is None:
        return None
    about = {"msg": message, "levelname": severity, "json_fields": {"event": event, **fields}}
    line = json.loads(JsonFormatter().format(logging.makeLogRecord(about)))
    return json.dumps({**line, "time": moment}, ensure_ascii=False)


def _fields(text: str) -> dict[str, Any] | None:
    """``  a=1 b="x"``, read; None when there is something else."""
    found: dict[str, Any] = {}
    decoder, at = json.JSONDecoder(), 0
    while at < len(text):
        name = _FIELD.match(text, at)
        if name is None:
            return None
        try:
            found[name[1]], at = decoder.raw_decode(text, name.end())
        except ValueError:
            return None
    return found
