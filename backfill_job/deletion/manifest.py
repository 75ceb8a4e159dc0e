"""The deletion manifest: every generation that may be deleted, and nothing that was not proven equal. Its form; pure.

Two files. The *lines* (``….jsonl``) name one legacy object each, in the order of the names: its generation, size, checksums
and metadata, and the generation at the destination that was found equal to it. Canonical JSON, one a line. The *head*
(``….json``) says which deletion they are for, what was counted and overridden, and binds the lines: their length and SHA-256,
and those of every chunk of at most 1,000 lines, so that each can be read and trusted alone. The head's own SHA-256
stands in the migration's state. ``manifest_reading`` reads both.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from typing import Any, NamedTuple

import orjson

from backfill_job.checks import Override
from backfill_job.copying.diff import Finding
from shared.migration import Migration
from shared.objects import Metadata, ObjectState

__all__ = [
    "CHUNK_LINES",
    "FORMAT",
    "Chunk",
    "ChunkIndex",
    "Line",
    "Manifest",
    "line_of",
    "line_row",
]

FORMAT = "qpi-exports-migration/deletion-manifest/1"
"""Of the form. Another program's form is never guessed at."""

CHUNK_LINES = 1_000
"""Lines of a chunk; what is read, settled and recorded at once."""

_METADATA = tuple(each.name for each in fields(Metadata) if each.name != "custom")


class Line(NamedTuple):
    """One object that may be deleted.

    Attributes:
        name: Its name below the prefixes.
        generation: The legacy generation that was found equal.
        size: Bytes.
        crc32c: Base64 of the big-endian checksum.
        md5: Base64, None for composite objects.
        created: RFC 3339 time at which the legacy generation was finalized.
        metadata: What an undo must bring back with it.
        destination_generation: The generation at the destination that was found equal to it.
    """

    name: str
    generation: int
    size: int
    crc32c: str
    md5: str | None
    created: str
    metadata: Metadata
    destination_generation: int

    @property
    def state(self) -> ObjectState:
        """The legacy object as it was, for comparisons."""
        return ObjectState(
            self.name,
            self.generation,
            1,
            self.size,
            self.crc32c,
            self.md5,
            self.created,
            self.created,
            self.metadata,
        )


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of the lines.

    Attributes:
        offset: Bytes of the lines before it.
        length: Its bytes.
        lines: How many lines it has.
        first: The name in its first line.
        last: The name in its last line.
        sha256: Of its bytes, as 64 hexadecimal digits.
    """

    offset: int
    length: int
    lines: int
    first: str
    last: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest's head.

    Attributes:
        name: The head's file name; the lines' is the same with an ``l`` more.
        run: Which run made it.
        made: When, RFC 3339 UTC.
        by: Who had it made.
        migration: What it is about.
        objects: Lines, and so objects that may be deleted.
        size: Their bytes together.
        critical: How many of them are JSONL data.
        length: Bytes of the lines.
        sha256: Of the lines.
        chunks: The lines in parts, in their order; leaves nothing out.
        overrides: Checks that were overridden.
        facts: What else was found, for people: days, kinds, verification, checks, what is left behind.
    """

    name: str
    run: str
    made: str
    by: str
    migration: Migration
    objects: int
    size: int
    critical: int
    length: int
    sha256: str
    chunks: tuple[Chunk, ...]
    overrides: tuple[Override, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lines_name(self) -> str:
        """The file name of the lines."""
        return f"{self.name}l"

    def following(self, number: int) -> str:
        """The first name after a chunk; empty for the last one."""
        return self.chunks[number + 1].first if number + 1 < len(self.chunks) else ""

    def to_json(self) -> bytes:
        """The head as the contents of a file; the same head gives the same bytes."""
        migration = self.migration
        content = {
            "format": FORMAT,
            "name": self.name,
            "run": self.run,
            "made": self.made,
            "by": self.by,
            "env": migration.label,
            "source": migration.source.uri,
            "destination": migration.destination.uri,
            "excludes": list(migration.excludes),
            "objects": self.objects,
            "bytes": self.size,
            "critical": self.critical,
            "overrides": [asdict(override) for override in self.overrides],
            "facts": dict(self.facts),
            "lines": {"name": self.lines_name, "bytes": self.length, "sha256": self.sha256},
            "chunks": [asdict(chunk) for chunk in self.chunks],
        }
        return json.dumps(content, ensure_ascii=False, indent=1).encode() + b"\n"


class ChunkIndex:
    """Cuts lines into chunks while they are written.

    Attributes:
        chunks: Those that are full, and after `close` all.
        length: Bytes so far.
        lines: Lines so far.
    """

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.length = 0
        self.lines = 0
        self._whole = sha256()
        self._rows: list[bytes] = []
        self._first = self._last = ""

    def add(self, name: str, row: bytes) -> None:
        """Take in a line.

        Raises:
            ValueError: Its name does not come after the one before.
        """
        if self.lines and name <= self._last:
            raise ValueError(f"{name!r} came after {self._last!r}")
        if not self._rows:
            self._first = name
        self._rows.append(row)
        self._last = name
        self.lines += 1
        if len(self._rows) == CHUNK_LINES:
            self._cut()

    def close(self) -> str:
        """End the last chunk; gives the SHA-256 of all lines."""
        if self._rows:
            self._cut()
        return self._whole.hexdigest()

    def _cut(self) -> None:
        part = b"".join(self._rows)
        self._whole.update(part)
        self.chunks.append(
            Chunk(self.length, len(part), len(self._rows), self._first, self._last, sha256(part).hexdigest())
        )
        self.length += len(part)
        self._rows = []


def line_of(finding: Finding) -> Line:
    """The line of a name that was found equal.

    Raises:
        ValueError: It was not.
    """
    source, destination = finding.source, finding.destination
    if source is None or destination is None or finding.differing or source.crc32c is None:
        raise ValueError(f"{finding} is not proven equal")
    return Line(
        finding.relative,
        source.generation,
        source.size,
        source.crc32c,
        source.md5,
        source.created,
        source.metadata,
        destination.generation,
    )


def line_row(line: Line) -> bytes:
    """A line as the file has it: canonical JSON (keys sorted, no spaces, UTF-8) and a line feed."""
    content = {
        "name": line.name,
        "generation": str(line.generation),
        "size": line.size,
        "crc32c": line.crc32c,
        "md5": line.md5,
        "created": line.created,
        "metadata": _plain(line.metadata),
        "destination_generation": str(line.destination_generation),
    }
    return orjson.dumps(content, option=orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def _plain(metadata: Metadata) -> dict[str, Any]:
    """What is set of an object's metadata."""
    content: dict[str, Any] = {key: value for key in _METADATA if (value := getattr(metadata, key))}
    if metadata.custom:
        content["custom"] = dict(metadata.custom)
    return content
