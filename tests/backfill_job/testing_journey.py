"""Records what a series of commands shows, logs, reports and leaves, with what differs from run to run replaced.

A journey is compared with its file in `journeys/`. To write the files anew: ``JOURNEYS=write``; then read the difference.
"""

import difflib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any

from google.api_core.exceptions import Conflict
from testing_commands import Commands, Ended, run_command, where
from testing_paths import Paths

import local_gcs
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.objects import ObjectState

__all__ = ["Journey", "events_of", "journey_paths"]

FOLDER = Path(__file__).parent / "journeys"

_EVENT = re.compile(r"(?P<time>\d\S+) (?P<severity>[A-Z]+) +(?P<event>[a-z_]+): (?P<rest>.*)")
_FIELD = re.compile(r"(?:^| )([a-z_0-9]+)=(?=[\"\[{0-9tfn-])")
_NAMED = re.compile(r" +(missing|extra|content differs|metadata differs|later on the|conflict|overwrite) ")
_EXACT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d")
_SUCH_AS = re.compile(r"'[^']*'(?:, '[^']*')+")
_PATTERNS = (
    (
        r"p50 \d[^Z]*? over\s+(\d+)\s+objects?\s+since\s+\d{4}-\d\d-\d\d\s+\d\d:\d\d\s+UTC",
        r"p50 # over \1 since #",
    ),
    (r"(?<!\d)\d{8}T\d{6}(?:\d{3})?Z(?:-[0-9a-f]{6}\b)?", "<stamp>"),
    (r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?: ?UTC|Z|\+00:00)?", "<time>"),
    (
        r"holds the first until <time>, the last until <time>",
        "holds them until <time>",
    ),  # in one minute, or in two
    (r"until \d\d:\d\d:\d\d UTC", "until <time>"),
    (r"since \d\d:\d\dZ", "since <time>"),
    (r"\b[0-9a-f]{64}\b", "<sha256>"),
    (r"\b[0-9a-f]{32}\b", "<unique>"),
    (r"(?<=[-_/])[0-9a-f]{8}(?=\.txt)", "<token>"),
    (r'("?(?:elapsed_s|copying_s|objects_per_s|class_a|class_b|lag_s)"?[=:] ?)-?[\d.]+', r"\1#"),
    (r"\b\d+(?:\.\d+)? m?s\b", "# s"),
    (r"\b\d+(?:\.\d+)? objects/s\b", "# objects/s"),
    (r"at up to [\d,]*# objects/s", "at up to # objects/s"),
    (r"Limited by: .*", "Limited by: #"),
    (r"(limited by   ).*(?:\n {15}.*)?", r"\1#"),  # the latency of this machine may decide
    (r"\d+ counted(?: \([^)]*\))?", "# counted"),
    (r"by the same prices \([^)]*\)", "by the same prices (#)"),
    (r"not known from [\d,]+ writes? on \d+ days?", "not known from #"),  # of yesterday, around midnight
    (r"(?<=[Dd]ay )\d{4}-\d\d-\d\d|(?<=day=\")\d{4}-\d\d-\d\d", "<day>"),
    (r"in a row \([^)]*\)", "in a row (#)"),  # a second day, around midnight
    (r"in a row: no whole day since the cutover", "in a row (#)"),
    (r"http://127\.0\.0\.1:\d+", "<server>"),
    (r"(?m)^(?:  )?(?!2024)\d{4}-\d\d  .*\n", ""),  # the last week is in one month, or in two
    (r', "(?!2024)\d{4}-\d\d": \{[^}]*\}', ""),
)


def journey_paths(server: local_gcs.LocalServer, paths: Paths, name: str) -> Paths:
    """A pair of prefixes whose names are the same in every run, and as long as every other's."""
    pair = (
        Location(f"journey-{name}-legacy", "QPI_exports/"),
        Location(f"journey-{name}-new", "qpi_exports/"),
    )
    for location in pair:
        try:
            paths.client.create_bucket(location.bucket)
        except Conflict:
            bucket = paths.client.bucket(location.bucket)
            for blob in bucket.list_blobs():
                blob.delete()
    return Paths(server, paths.client, Migration(*pair))


def events_of(log: str) -> list[tuple[str, dict[str, Any]]]:
    """The events of a log file, each with its severity and its fields."""
    found = []
    for line in log.splitlines():
        match = _EVENT.match(line)
        assert match is not None, line
        parts = _FIELD.split(match["rest"])
        values = dict(zip(parts[1::2], (json.loads(part) for part in parts[2::2]), strict=True))
        found.append((match["event"], {"severity": match["severity"], "sentence": parts[0], **values}))
    return found


@dataclass
class Journey:
    """Commands on one pair of prefixes, and the record of them.

    Attributes:
        name: The journey's, and its file's.
        paths: The pair.
        commands: What runs the commands.
        folder: For reports and manifests.
        record: What was seen so far.
        events: Every event logged so far, in order.
    """

    name: str
    paths: Paths
    commands: Commands
    folder: Path
    record: list[str] = field(default_factory=list)
    events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    labels: dict[str, str] = field(default_factory=dict)

    @staticmethod
    def of(
        name: str, server: local_gcs.LocalServer, paths: Paths, gateway: Gateway, folder: Path
    ) -> "Journey":
        """Begin one."""
        own = journey_paths(server, paths, name)
        own.begin()
        return Journey(name, own, Commands(own, folder, gateway), folder)

    def put(self, name: str, data: bytes = b"{}\n", *, side: str = "source", **more: Any) -> None:
        """Upload an object, whose generation and time get a name of their own in the record."""
        self.paths.put(name, data, side=side, **more)
        self.note(side)
        state = self.paths.look(name, side=side)
        assert state is not None
        # Copies have only `<time>`: two of them may be made in one millisecond.
        self.labels[state.created] = self.labels[str(state.generation)].replace("generation", "time", 1)

    def both(self, *names: str, **more: Any) -> None:
        """Put an object, the same on both sides."""
        for name in names:
            for side in ("source", "destination"):
                self.put(name, f'{{"user_id":"{name}"}}\n'.encode(), side=side, **more)

    def note(self, *sides: str) -> None:
        """Give names to the generations and times of what is there now, as far as they have none."""
        for side in sides or ("source", "destination"):
            location = getattr(self.paths.migration, side)
            for blob in self.paths.bucket(side).list_blobs(prefix=location.prefix):
                state = ObjectState.from_resource(blob._properties)
                version = f"{side} {state.name[len(location.prefix) :]}"
                number = 1 + sum(
                    label.startswith(f"<generation of {version} ") for label in self.labels.values()
                )
                if str(state.generation) not in self.labels:
                    self.labels[str(state.generation)] = f"<generation of {version} {number}>"

    def run_task(self, number: int, count: int, command: str, *arguments: str) -> Ended:
        """Run one of several tasks of an execution, as Cloud Run does, and record it."""
        environ = {
            "CLOUD_RUN_JOB": "job",
            "CLOUD_RUN_EXECUTION": f"{command}-1",
            "CLOUD_RUN_TASK_INDEX": str(number),
            "CLOUD_RUN_TASK_COUNT": str(count),
        }
        return self.run(
            command, *arguments, "--log-format", "text", reports=f"tasks of {command}", environ=environ
        )

    def run(
        self,
        command: str,
        *arguments: str,
        report: bool = True,
        typed: str | None = None,
        reports: str = "",
        environ: Mapping[str, str] = MappingProxyType({}),
    ) -> Ended:
        """Run a command, and record it."""
        place = self.folder / (reports or f"r{len(self.record)}")
        logs = self.folder / "logs"
        before = set(logs.glob("*"))
        more = ("--report", str(place)) if report else ()
        ended = self._ended(command, (*arguments, *more), typed, environ)
        self.note()
        assert not _EXACT.search(ended.out), "a screen shows a time to the minute"
        self.record.append(f"$ {command} {' '.join(arguments)}\nexit code {ended.code}\n")
        self._add("screen", _rows(ended.out))
        self._add("errors", ended.err)
        for log in sorted({*logs.glob("*")} - before):
            events = events_of(log.read_text())
            self.events += events
            self._add("log", "\n".join(_in_order(events)))
            log.rename(self.folder / f"{len(self.record)}.log")
        if report:
            for file in sorted(place.rglob("*.json*")):
                self._add(str(file.relative_to(place)), _json_text(file))
        return ended

    def _ended(
        self, command: str, arguments: tuple[str, ...], typed: str | None, environ: Mapping[str, str]
    ) -> Ended:
        logs = ("--log-dir", str(self.folder / "logs"))
        if command in {"status", "signoff", "smoke"}:
            return run_command(command, *where(self.paths), *arguments, typed=typed)
        if command == "undo":
            return run_command(command, *arguments, *logs, "--ungoverned", typed=typed)
        if environ:
            words = (*where(self.paths), *logs, "--grace", "0", *arguments)
            return run_command(command, *words, environ=environ, sleep=lambda _: None)
        return self.commands.run(command, *arguments, typed=typed)

    def storage(self) -> None:
        """Record what both sides hold, and the migration's own objects."""
        self.note()
        lines = []
        for side in ("source", "destination"):
            for blob in self.paths.bucket(side).list_blobs():
                state = ObjectState.from_resource(blob._properties)
                own = state.name.startswith("_migration/")
                facts = (
                    ""
                    if own
                    else f" {state.size} {state.md5} {blob.content_type} {blob.metadata or ''}".rstrip()
                )
                lines.append(f"{side} {state.name}{facts}")
        # Two certificates of one second have one name.
        self._add(
            "storage",
            "\n".join(
                sorted({re.sub(r"\d{8}T\d{6,9}Z(?:-[0-9a-f]{6}\b)?", "<stamp>Z", line) for line in lines})
            ),
        )

    def state(self) -> None:
        """Record the migration's state."""
        at = self.paths.migration.own_ref("state.json")
        self._add("state.json", json.dumps(json.loads(self.commands.gateway.read(at) or b"{}"), indent=1))

    def compare(self) -> None:
        """Compare the record with the journey's file."""
        text = self._plain("\n".join(self.record))
        file = FOLDER / f"{self.name}.txt"
        if os.environ.get("JOURNEYS") == "write":
            FOLDER.mkdir(exist_ok=True)
            file.write_text(text)
        expected = file.read_text()
        difference = "\n".join(
            difflib.unified_diff(expected.splitlines(), text.splitlines(), "expected", "is", lineterm="")
        )
        assert text == expected, difference

    def _add(self, title: str, text: str) -> None:
        if text.strip():
            self.record.append(f"--- {title}\n{text.rstrip()}\n")

    def _plain(self, text: str) -> str:
        text = text.replace(self.paths.server.url, "<server>")
        text = re.sub(r"\b\d{16}\b", lambda match: self.labels.get(match[0], "<generation>"), text)
        times = r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
        text = re.sub(times, lambda match: self.labels.get(match[0], "<time>"), text)
        for pattern, by in _PATTERNS:
            text = re.sub(pattern, by, text)
        text = _SUCH_AS.sub(lambda match: ", ".join(sorted(match[0].split(", "))), text)
        today = datetime.now(UTC).date()
        gap = (today - FIRST).days - 8  # without the last week, which has data
        text = re.sub(rf"\b(?:{gap:,}|{gap})\b", "<gap>", text)
        for number in range(-1, 40):
            day = today - timedelta(days=number)
            name = f"<today - {number}>" if number else "<today>"
            text = text.replace(f"{day:%Y-%m-%d}", name).replace(f"{day:%Y%m%d}", name)
        return text


FIRST = date(2024, 1, 1)
"""The day of the oldest objects."""


def _rows(text: str) -> str:
    """A screen without the log's lines; lines that name differences, which come as the listings did, in their order."""
    rows = [line.rstrip() for line in text.splitlines() if not _EVENT.match(line)]
    at = 0
    while at < len(rows):
        end = at
        while end < len(rows) and _NAMED.match(rows[end]):
            end += 1
        rows[at:end] = sorted(rows[at:end])
        at = end + 1
    return "\n".join(rows)


def _in_order(events: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """The events as lines; those of objects, which several workers log, in the order of the objects."""
    lines = []
    for event, fields in events:
        if event in {"progress", "deletion_progress"}:
            continue
        values = {key: value for key, value in fields.items() if key not in {"severity", "sentence"}}
        lines.append(
            (fields.get("object", ""), f"{fields['severity']} {event}: {fields['sentence']} {_json(values)}")
        )
    at = 0
    while at < len(lines):
        end = at + 1
        while end < len(lines) and lines[at][0] and lines[end][0]:
            end += 1
        yield from (line for _, line in sorted(lines[at:end]))
        at = end


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, ensure_ascii=False)


def _json_text(file: Path) -> str:
    if file.suffix == ".jsonl":
        return "\n".join(sorted(file.read_text().splitlines()))
    content = _in_order_of_names(json.loads(file.read_text()))
    for varying in ("lag", "operations", "estimate", "seconds"):
        content.pop(varying, None)
    content.get("tallies", {}).pop("lag", None)
    return "\n".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in content.items())


def _in_order_of_names(content: Any) -> Any:
    """A report whose lists of names, which come as the listings did, are in the names' order."""
    if isinstance(content, dict):
        return {key: _in_order_of_names(value) for key, value in content.items()}
    if isinstance(content, list):
        named = bool(content) and all(
            isinstance(each, str) or (isinstance(each, dict) and {"name", "relative"} & {*each})
            for each in content
        )
        values = [_in_order_of_names(each) for each in content]
        if named and not any(isinstance(each, dict) and "standing" in each for each in content):
            return sorted(values, key=json.dumps)
        return values
    return content
