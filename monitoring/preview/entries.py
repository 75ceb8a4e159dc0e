"""Reads log files into entries, as Cloud Logging would hold them, with the resource that each would have been written on.

A line is JSON, or the text of a command's log file, which a local run always leaves. There `TextFormatter` writes each field as JSON
after a sentence that the vocabulary knows. A local line does not name its resource: the mirror's events are the function's, all others are a
job's. A line of another library belongs to the resource of the line before it in the same file.
"""

import json
import logging
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from monitoring.files import ProjectValues
from monitoring.vocabulary import LIBRARY, line_problems
from shared.env_file import deployed_name
from shared.errors import UsageError
from shared.events_log import Event, JsonFormatter
from shared.json_io import parse_json
from shared.migration import Location

__all__ = ["Log", "LogEntry", "json_line", "read_log"]

JOB, FUNCTION = "cloud_run_job", "cloud_run_revision"

_START = re.compile(r"(\d{4}-\d\d-\d\dT[\d:.]+Z) ([A-Z]+) +([a-z_]+): ")
_FIELD = re.compile(r" ([a-z][a-z0-9_]*)=")
_MEANINGS = {event.event_name: event.value.meaning for event in Event}


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry.

    Attributes:
        at: Seconds since 1970.
        payload: What becomes ``jsonPayload``, without the message.
        labels: Those of the monitored resource, whose type is `resource`.
    """

    at: float
    severity: str
    message: str
    payload: Mapping[str, Any]
    resource: str
    labels: Mapping[str, str]

    def tree(self) -> dict[str, Any]:
        """The entry as filters see it."""
        return {
            "severity": self.severity,
            "jsonPayload": {**self.payload, "message": self.message},
            "resource": {"type": self.resource, "labels": self.labels},
        }


@dataclass(frozen=True, slots=True)
class Log:
    """What was read, by time.

    Attributes:
        values: A project's values, as far as the lines tell them.
        strangers: Number of lines left out, by reason.
    """

    entries: tuple[LogEntry, ...]
    values: ProjectValues
    strangers: Mapping[str, int]


def read_log(paths: Sequence[Path]) -> Log:
    """Read files of JSON lines or text lines.

    Raises:
        UsageError: A file cannot be read, or none has a line of this project's log.
    """
    parsed: list[tuple[Path, dict[str, Any]]] = []
    strangers: Counter[str] = Counter()
    for path in paths:
        try:
            # Not splitlines: a name may hold characters that it takes for line breaks.
            texts = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        for text in filter(str.strip, texts):
            line = json_line(text) or text
            problems = line_problems(line)
            if problems:
                strangers[problems[0]] += 1
            else:
                parsed.append((path, parse_json(line)))
    if not parsed:
        names = ", ".join(map(str, paths))
        raise UsageError(
            f"{names}: no line of the structured log in it; give log files of the commands or of the mirror"
        )
    values = _values([line for _, line in parsed])
    return Log(tuple(sorted(_entries(parsed, values), key=lambda entry: entry.at)), values, strangers)


def json_line(text: str) -> str | None:
    """A line that `shared.events_log.TextFormatter` wrote, as `JsonFormatter` would have; None for any other text."""
    start = _START.match(text)
    if start is None:
        return None
    moment, severity, event = start.groups()
    rest = text[start.end() :]
    # The vocabulary does not know a library's sentence; its one field comes last.
    message = rest.rpartition(" logger=")[0] if event == LIBRARY else _MEANINGS.get(event, "")
    fields = _fields(rest[len(message) :]) if message and rest.startswith(message) else None
    if fields is None:
        return None
    about = {"msg": message, "levelname": severity, "json_fields": {"event": event, **fields}}
    line = json.loads(JsonFormatter().format(logging.makeLogRecord(about)))
    return json.dumps({**line, "time": moment}, ensure_ascii=False)


def _fields(text: str) -> dict[str, Any] | None:
    """``  a=1 b="x"``, read; None where something else stands."""
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


def _entries(parsed: Iterable[tuple[Path, dict[str, Any]]], values: ProjectValues) -> Iterable[LogEntry]:
    last: dict[Path, str] = {}
    for path, line in parsed:
        event = line["event"]
        if event != LIBRARY:
            last[path] = FUNCTION if event.startswith("mirror") else JOB
        resource = last.get(path, JOB)
        payload = {key: value for key, value in line.items() if key not in {"severity", "time", "message"}}
        at = datetime.fromisoformat(line["time"]).timestamp()
        labels = {"service_name": _service(line, values)}
        if resource == JOB:
            labels = {"job_name": deployed_name("backfill", values.env)}
        yield LogEntry(at, line["severity"], line["message"], payload, resource, labels)


def _service(line: Mapping[str, Any], values: ProjectValues) -> str:
    """The mirror; or the mirror back, whose events are the new path's."""
    back = str(line.get("object", "")).startswith(f"gs://{values.destination_bucket}/")
    return values.reverse_service if back else values.mirror_service


def _values(lines: Sequence[Mapping[str, Any]]) -> ProjectValues:
    """What the lines tell of the project; the rest gets the names that the deployment gives, in a project that does not exist.

    Lines of several environments may lie together: the environment with most lines is drawn.
    """
    environments = Counter(str(line["env"]) for line in lines if line.get("env"))
    env = environments.most_common(1)[0][0] if environments else "local"
    ours = [line for line in lines if line.get("env") == env]
    started = next((line for line in ours if line["event"] == "run_started"), {})
    source = Location.parse(started.get("source") or "gs://legacy-bucket/legacy/")
    destination = Location.parse(started.get("destination") or "gs://new-bucket/new/")
    tasks = max((int(line["tasks"]) for line in ours if line.get("tasks")), default=1)
    paths = (source, destination)
    return ProjectValues.of(env, "local-preview", "local", "docs/runbook-alerts.md", paths=paths, tasks=tasks)
