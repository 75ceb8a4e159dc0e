"""Log lines as Cloud Logging would hold them: read from files, with the resource that each would have been written on.

A line is JSON, or the text of a log file. A local line does not say which resource wrote it. The mirror's events are the function's, all others a job's; a line of another
library belongs to whoever wrote the line before it in the same file.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from monitoring.preview.text_lines import json_line
from monitoring.values import Values
from monitoring.vocabulary import LIBRARY, line_problems
from shared.errors import UsageError
from shared.json_io import parse_json
from shared.migration import Location

__all__ = ["Entry", "Log", "read_log"]

JOB, FUNCTION = "cloud_run_job", "cloud_run_revision"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        at: Seconds since 1970.
        severity: One of Cloud Logging's.
        message: The sentence.
        payload: What becomes ``jsonPayload``.
        resource: The monitored resource's type.
        labels: Its labels.
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
    """What was read.

    Attributes:
        entries: By time.
        values: What a project's values would be, as far as the lines tell.
        strangers: Lines that are none of this project's log, by why.
    """

    entries: tuple[Entry, ...]
    values: Values
    strangers: Mapping[str, int]


def read_log(paths: Sequence[Path]) -> Log:
    """Read files of JSON lines, or of a log file's text lines.

    Args:
        paths: The files; the job's and the function's.

    Raises:
        UsageError: A file cannot be read, or none has a line of this project's log.
    """
    parsed: list[tuple[Path, dict[str, Any]]] = []
    strangers: dict[str, int] = {}
    for path in paths:
        try:
            # Not splitlines: a name may hold characters that it takes for line breaks.
            texts = path.read_text(encoding="utf-8", errors="replace").split("\n")
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}") from error
        for text in texts:
            if not text.strip():
                continue
            line = json_line(text) or text
            problems = line_problems(line)
            if problems:
                strangers[problems[0]] = strangers.get(problems[0], 0) + 1
            else:
                parsed.append((path, parse_json(line)))
    if not parsed:
        names = ", ".join(map(str, paths))
        raise UsageError(
            f"{names}: no line of the structured log in it; give log files of the commands or of the mirror"
        )
    values = _values([line for _, line in parsed])
    return Log(tuple(sorted(_entries(parsed, values), key=lambda entry: entry.at)), values, strangers)


def _entries(parsed: Iterable[tuple[Path, dict[str, Any]]], values: Values) -> Iterable[Entry]:
    last: dict[Path, str] = {}
    for path, line in parsed:
        event = line["event"]
        if event != LIBRARY:
            last[path] = FUNCTION if event.startswith("mirror") else JOB
        resource = last.get(path, JOB)
        payload = {key: value for key, value in line.items() if key not in {"severity", "time", "message"}}
        at = datetime.fromisoformat(line["time"]).timestamp()
        labels = (
            {"job_name": f"{values.jobs}backfill"}
            if resource == JOB
            else {"service_name": _service(line, values)}
        )
        yield Entry(at, line["severity"], line["message"], payload, resource, labels)


def _service(line: Mapping[str, Any], values: Values) -> str:
    """The mirror, or the one that mirrors back: its events are the new path's."""
    back = str(line.get("object", "")).startswith(f"gs://{values.destination_bucket}/")
    return values.reverse_service if back else values.mirror_service


def _values(lines: Sequence[Mapping[str, Any]]) -> Values:
    """What the lines tell of the project; the rest has names that nobody takes for a real project's.

    Other environments' lines may lie beside: the one with most lines is meant.
    """
    environments = Counter(str(line["env"]) for line in lines if line.get("env"))
    env = environments.most_common(1)[0][0] if environments else "local"
    ours = [line for line in lines if line.get("env") == env]
    started = next((line for line in ours if line["event"] == "run_started"), {})
    source = Location.parse(started.get("source") or "gs://legacy-bucket/legacy/")
    destination = Location.parse(started.get("destination") or "gs://new-bucket/new/")
    return Values(
        env=env,
        project="local-preview",
        region="local",
        source_bucket=source.bucket,
        source_prefix=source.prefix,
        destination_bucket=destination.bucket,
        mirror_service="qpi-exports-mirror",
        reverse_service="qpi-exports-reverse",
        jobs="qpi-exports-",
        tasks=max((int(line["tasks"]) for line in ours if line.get("tasks")), default=1),
        deletion_account="deletion@local-preview.iam.gserviceaccount.com",
        runbook="docs/runbook-alerts.md",
    )
