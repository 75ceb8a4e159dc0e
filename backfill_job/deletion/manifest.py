"""The deletion manifest: every generation that may be deleted, and nothing that was not proven equal. Its format; pure.

A manifest is two files:

- The *lines* (``….jsonl``) name one legacy object each, in the order of the names. A line has its generation, size, checksums and
  metadata, and the generation at the destination that was found equal. Each line is canonical JSON.
- The *head* (``….json``) says which deletion they are for, what was counted and what was overridden. It binds the lines by their
  length and SHA-256. It also has the SHA-256 of every chunk of at most 1,000 lines, so a program can read and trust a chunk alone.

The migration's state holds the head's own SHA-256. A manifest is read strictly: a damaged one, another migration's and a newer
program's are refused with a reason.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from hashlib import sha256
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

import orjson

from backfill_job.checks import Override
from backfill_job.copying.diff import DiffLine
from shared.decision import ABSENT
from shared.errors import UsageError
from shared.json_io import OTHER_FORM, convert, parse_format, reason
from shared.migration import Location, Migration
from shared.objects import Metadata, ObjectState
from shared.text import counted

__all__ = [
    "CHUNK_LINES",
    "FORMAT",
    "Chunk",
    "ChunkIndex",
    "Manifest",
    "ManifestLine",
    "chunk_lines",
    "erased_line",
    "line_of",
    "line_row",
    "read_manifest",
]

_Value = TypeVar("_Value")

FORMAT = "qpi-exports-migration/deletion-manifest/1"
"""The format of the head. A manifest of another format is refused."""

CHUNK_LINES = 1_000
"""Lines of a chunk, which is read, deleted and recorded as one."""

_METADATA = tuple(each.name for each in fields(Metadata) if each.name != "custom")


class ManifestLine(NamedTuple):
    """One object that may be deleted.

    Attributes:
        name: Below the prefixes.
        generation: The legacy generation that was found equal.
        size: Bytes.
        crc32c: Base64 of the big-endian checksum.
        md5: Base64; None for composite objects.
        created: RFC 3339 time at which the legacy generation was finalized.
        metadata: An undo must restore it with the object.
        destination_generation: The generation at the destination that was found equal. 0 for an object that was erased
            there, and that a person named.
    """

    name: str
    generation: int
    size: int
    crc32c: str
    md5: str | None
    created: str
    metadata: Metadata
    destination_generation: int

    @staticmethod
    def of(name: str, source: ObjectState, crc32c: str, destination_generation: int) -> "ManifestLine":
        """The line of a legacy object, whose checksum is known."""
        return ManifestLine(
            name,
            source.generation,
            source.size,
            crc32c,
            source.md5,
            source.created,
            source.metadata,
            destination_generation,
        )

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
    """Consecutive lines.

    Attributes:
        offset: Bytes of the lines before it.
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
        name: The head's file name; that of the lines has an ``l`` more.
        made: RFC 3339 UTC time at which it was written.
        objects: Lines, and so objects that may be deleted.
        size: Bytes of all objects.
        critical: Objects that are JSONL data.
        length: Bytes of the lines.
        sha256: Of the lines.
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
        """The head as a file's contents; the same head gives the same bytes."""
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
    """Divides lines into chunks while they are written.

    Attributes:
        chunks: The full ones; after `close` all.
        length: Bytes of these chunks.
    """

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.length = 0
        self.lines = 0
        self._whole = sha256()
        self._rows: list[bytes] = []
        self._first = self._last = ""

    def add(self, name: str, row: bytes) -> None:
        """Add a line. Raises `ValueError` where its name does not come after the one before."""
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
        """End the last chunk, and return the SHA-256 of all lines."""
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


def line_of(finding: DiffLine) -> ManifestLine:
    """The line of a name that was found equal; raises `ValueError` for any other."""
    source, destination = finding.source, finding.destination
    if source is None or destination is None or finding.differing or source.crc32c is None:
        raise ValueError(f"{finding} is not proven equal")
    return ManifestLine.of(finding.relative, source, source.crc32c, destination.generation)


def erased_line(relative: str, source: ObjectState) -> ManifestLine:
    """The line of an object that was erased at the destination, and that a person named.

    Raises:
        ValueError: Its checksum is unknown.
    """
    if source.crc32c is None:
        raise ValueError(f"{relative!r} has no checksum")
    return ManifestLine.of(relative, source, source.crc32c, ABSENT)


def line_row(line: ManifestLine) -> bytes:
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
    """The metadata fields that are set."""
    content: dict[str, Any] = {key: value for key in _METADATA if (value := getattr(metadata, key))}
    if metadata.custom:
        content["custom"] = dict(metadata.custom)
    return content


def chunk_lines(manifest: Manifest, number: int, data: bytes) -> list[ManifestLine]:
    """Read a chunk, whose number counts from 0, from its bytes.

    Raises:
        UsageError: The chunk is not what the head says, or names what may not be deleted.
    """
    chunk = manifest.chunks[number]
    where = f"{manifest.lines_name}, chunk {number}"
    if sha256(data).hexdigest() != chunk.sha256:
        raise UsageError(
            f"{where} was changed since the manifest was written (its SHA-256 is another); nothing of it is "
            "deleted or restored. Use the other copy of the manifest"
        )
    try:
        lines = [_line(row) for row in data.splitlines()]
    except OTHER_FORM as error:
        raise UsageError(f"{where} is damaged ({reason(error)})") from error
    names = [line.name for line in lines]
    ascending = all(one < other for one, other in pairwise(names))
    if (len(names), names[:1], names[-1:]) != (chunk.lines, [chunk.first], [chunk.last]) or not ascending:
        raise UsageError(f"{where} has other names than the manifest says")
    for name in names:
        if manifest.migration.is_excluded(name):
            raise UsageError(f"{where} names {name!r}, which was never migrated")
    return lines


def read_manifest(contents: bytes, place: str) -> Manifest:
    """Read a head. Raises `UsageError` where it is not a manifest, comes from a newer program, or is damaged."""
    content = parse_format(contents, place, "deletion manifest", FORMAT)
    try:
        manifest = _manifest(content)
        _check(manifest, content)
    except (*OTHER_FORM, UsageError) as error:
        raise UsageError(f"{place} is a damaged deletion manifest ({reason(error)})") from error
    return manifest


def _manifest(content: dict[str, Any]) -> Manifest:
    lines = content["lines"]
    return Manifest(
        name=_typed(content["name"], str),
        run=_typed(content["run"], str),
        made=_typed(content["made"], str),
        by=_typed(content["by"], str),
        migration=Migration(
            Location.parse(content["source"]),
            Location.parse(content["destination"]),
            tuple(_typed(each, str) for each in content["excludes"]),
            _typed(content["env"], str),
        ),
        objects=_typed(content["objects"], int),
        size=_typed(content["bytes"], int),
        critical=_typed(content["critical"], int),
        length=_typed(lines["bytes"], int),
        sha256=_typed(lines["sha256"], str),
        chunks=convert(tuple[Chunk, ...], content["chunks"]),
        overrides=convert(tuple[Override, ...], content["overrides"]),
        facts=_typed(content["facts"], dict),
    )


def _check(manifest: Manifest, content: dict[str, Any]) -> None:
    """Check that the chunks hold every line once and in order."""
    if content["lines"]["name"] != manifest.lines_name or "/" in manifest.name:
        raise ValueError(f"its lines are called {content['lines']['name']!r}")
    if manifest.name != manifest.name.strip() or not manifest.name.endswith(".json"):
        raise ValueError(f"it is called {manifest.name!r}")
    offset, lines, last = 0, 0, None
    for number, chunk in enumerate(manifest.chunks):
        whole = chunk.offset == offset and chunk.length > 0 and 0 < chunk.lines <= CHUNK_LINES
        if not whole or chunk.first > chunk.last or (last is not None and chunk.first <= last):
            raise ValueError(f"chunk {number} does not follow the one before")
        offset, lines, last = offset + chunk.length, lines + chunk.lines, chunk.last
    if (offset, lines) != (manifest.length, manifest.objects):
        raise ValueError(
            f"its chunks are {counted(lines, 'line')} and {counted(offset, 'byte')}, where {manifest.objects:,} and "
            f"{manifest.length:,} are stated"
        )


def _line(row: bytes) -> ManifestLine:
    content = orjson.loads(row)
    there = content["destination_generation"]
    return ManifestLine(
        _typed(content["name"], str),
        _number(content["generation"]),
        _typed(content["size"], int),
        _typed(content["crc32c"], str),
        None if content["md5"] is None else _typed(content["md5"], str),
        _typed(content["created"], str),
        Metadata(**content["metadata"]),
        ABSENT if there == "0" else _number(there),
    )


def _number(text: Any) -> int:
    """A generation. 0 would mean "no object" in a condition."""
    if not isinstance(text, str) or not text.isdecimal() or int(text) == 0:
        raise ValueError(f"{text!r} is not a generation")
    return int(text)


def _typed(value: Any, kind: type[_Value]) -> _Value:
    if type(value) is not kind:  # not isinstance(): true would be a number
        raise ValueError(f"{value!r} where {kind.__name__} was expected")
    return value
