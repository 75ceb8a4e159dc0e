"""Reading what was compared: JSONL objects are read back, their checksum is computed, and their lines are checked.

Equal objects have the same bytes on both sides, so one is read, the destination's, which the consumer will read; what is
wrong in it is the source's own. Where the two differ, both are read, and what only the destination has is the migration's
doing. A version that is gone when its turn comes was overwritten meanwhile: it is counted, and judged by the next run.

Samples are drawn by the SHA-256 of the name: whoever asks for the same share reads the same objects.
"""

import asyncio
import time
import zlib
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from typing import Any

import google_crc32c

from backfill_job.async_api import AsyncApi, encoded
from backfill_job.jsonl import ContentsOf, LineChecker, Severity, severity_of, unpacked
from backfill_job.verdict import Finding, Verdict
from shared.errors import ObjectNotFound
from shared.migration import Migration
from shared.objects import ObjectRef, ObjectState
from shared.partitions import classify

__all__ = ["ContentsCheck", "Sampling", "check_contents"]

PIECE = 4 * 1024 * 1024
"""Bytes of a large object that are read at once."""

LARGE_AT_ONCE = 4
"""Objects of more than a piece that are read at once; the others do not wait for them."""

MAX_EXAMPLES = 100

SHARE = 2**64


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which objects are read.

    Attributes:
        mode: As asked: ``none``, ``sample:P``, ``all``.
        percent: The share of the names.
        in_flight: Objects read at once.
    """

    mode: str
    percent: float
    in_flight: int = 64

    @staticmethod
    def parse(text: str) -> "Sampling":
        """Read ``none``, ``all``, or ``sample:P``.

        Raises:
            ValueError: It is something else.
        """
        if text in {"none", "all"}:
            return Sampling(text, 0.0 if text == "none" else 100.0)
        kind, _, share = text.partition(":")
        try:
            percent = float(share)
        except ValueError:
            percent = -1.0
        if kind != "sample" or not 0 < percent <= 100:  # noqa: PLR2004 -- percent
            raise ValueError(f"{text!r} is neither none, all, nor sample:P with P percent, such as sample:1")
        return Sampling(text, percent)

    @property
    def nothing(self) -> bool:
        """Whether nothing is read at all."""
        return not self.percent

    def takes(self, relative: str) -> bool:
        """Whether a name is drawn."""
        drawn = int.from_bytes(sha256(relative.encode()).digest()[:8], "big")
        return drawn < self.percent / 100 * SHARE


@dataclass(slots=True)
class _Count:
    objects: int = 0
    lines: int = 0


@dataclass(slots=True)
class ContentsCheck:
    """What reading showed.

    Attributes:
        mode: What was asked for.
        objects: How many were read to their end.
        rows: Rows in them.
        bytes: Bytes read.
        changed: Objects that were overwritten or deleted before they could be read.
        seconds: How long it took.
        source: Problems by kind that the source has, too.
        migration: Problems by kind that only the destination has.
        examples: The first of them.
    """

    mode: str
    objects: int = 0
    rows: int = 0
    bytes: int = 0
    changed: int = 0
    seconds: float = 0.0
    source: dict[str, _Count] = field(default_factory=dict)
    migration: dict[str, _Count] = field(default_factory=dict)
    examples: list[dict[str, Any]] = field(default_factory=list)

    @property
    def migration_errors(self) -> int:
        """Objects that the migration broke."""
        return sum(
            count.objects for kind, count in self.migration.items() if severity_of(kind) is Severity.ERROR
        )

    def add(self, relative: str, read: ContentsOf, blame: Mapping[str, int], side: str, size: int) -> None:
        """Count one object.

        Args:
            relative: Its name below the prefix.
            read: What it holds.
            blame: Its problems by kind that are put down to `side`.
            side: ``source`` or ``migration``.
            size: Bytes read.
        """
        self.objects += 1
        self.rows += read.rows
        self.bytes += size
        problems = self.source if side == "source" else self.migration
        for kind, lines in blame.items():
            count = problems.setdefault(kind, _Count())
            count.objects += 1
            count.lines += lines
        for problem in read.problems:
            if problem.kind in blame and len(self.examples) < MAX_EXAMPLES:
                self.examples.append({"name": relative, "side": side, **asdict(problem)})

    def to_json(self) -> dict[str, Any]:
        """The figures for a report, and to be merged with others'."""
        return {
            "mode": self.mode,
            "objects": self.objects,
            "rows": self.rows,
            "bytes": self.bytes,
            "changed": self.changed,
            "seconds": round(self.seconds, 3),
            "objects_per_s": round(self.objects / self.seconds, 1) if self.seconds else 0.0,
            "source_problems": _problems(self.source),
            "migration_problems": _problems(self.migration),
            "examples": self.examples,
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "ContentsCheck":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: It is something else.
        """
        source, migration = (
            {
                kind: _Count(int(count["objects"]), int(count["lines"]))
                for kind, count in content[whose].items()
            }
            for whose in ("source_problems", "migration_problems")
        )
        return ContentsCheck(
            content["mode"],
            int(content["objects"]),
            int(content["rows"]),
            int(content["bytes"]),
            int(content["changed"]),
            float(content["seconds"]),
            source,
            migration,
            list(content["examples"]),
        )

    @staticmethod
    def merged(parts: Sequence["ContentsCheck"]) -> "ContentsCheck":
        """What several tasks read."""
        whole = ContentsCheck(parts[0].mode)
        for part in parts:
            whole.objects += part.objects
            whole.rows += part.rows
            whole.bytes += part.bytes
            whole.changed += part.changed
            whole.seconds = max(whole.seconds, part.seconds)
            for ours, theirs in ((whole.source, part.source), (whole.migration, part.migration)):
                for kind, count in theirs.items():
                    sum_ = ours.setdefault(kind, _Count())
                    sum_.objects += count.objects
                    sum_.lines += count.lines
            whole.examples += part.examples[: MAX_EXAMPLES - len(whole.examples)]
        return whole


async def check_contents(
    batches: AsyncIterator[Sequence[Finding]], api: AsyncApi, migration: Migration, sampling: Sampling
) -> ContentsCheck:
    """Read the JSONL objects of a diff, as far as they are drawn.

    Args:
        batches: The diff, judged; drawn from no faster than it is read.
        api: Whom to ask.
        migration: What is asked.
        sampling: Which objects are read, and how many at once.

    Returns:
        What reading showed.

    Raises:
        StorageError: An object could not be read, or the diff failed: there is no verdict.
    """
    found = ContentsCheck(sampling.mode)
    began = time.monotonic()
    waiting: asyncio.Queue[Finding | None] = asyncio.Queue(maxsize=sampling.in_flight)
    reader = _Reader(api, migration, found)

    async def work() -> None:
        while (finding := await waiting.get()) is not None:
            await reader.read(finding)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(sampling.in_flight):
                group.create_task(work())
            async for findings in batches:
                for finding in _drawn(findings, sampling):
                    await waiting.put(finding)
            for _ in range(sampling.in_flight):
                await waiting.put(None)
    except BaseExceptionGroup as errors:
        # Several may fail at once; each is reason enough.
        raise errors.exceptions[0] from errors
    found.seconds = time.monotonic() - began
    return found


def _drawn(findings: Iterable[Finding], sampling: Sampling) -> Iterable[Finding]:
    for finding in findings:
        there = finding.source or finding.destination
        if finding.verdict is Verdict.EXCLUDED or there is None or not sampling.takes(finding.relative):
            continue
        if classify(finding.relative, there.size).critical:
            yield finding


class _Reader:
    """Reads one name at a time for each of its callers, and books what it shows."""

    def __init__(self, api: AsyncApi, migration: Migration, found: ContentsCheck) -> None:
        self._api = api
        self._migration = migration
        self._found = found
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)

    async def read(self, finding: Finding) -> None:
        relative, verdict, source, destination, _ = finding
        same_bytes = verdict in {Verdict.EQUAL, Verdict.METADATA_DIFFERS}
        try:
            theirs = ours = None
            if destination is not None:
                theirs = await self._contents(self._migration.destination_ref(relative), destination)
            if source is not None and not same_bytes:
                ours = await self._contents(self._migration.source_ref(relative), source)
        except ObjectNotFound:
            self._found.changed += 1
            return
        if ours is not None and source is not None:
            self._found.add(relative, ours, ours.kinds, "source", source.size)
        if theirs is not None and destination is not None:
            own = Counter() if ours is None else ours.kinds
            side = "source" if same_bytes else "migration"
            blame = {kind: lines for kind, lines in theirs.kinds.items() if same_bytes or kind not in own}
            self._found.add(relative, theirs, blame, side, destination.size)

    async def _contents(self, at: ObjectRef, state: ObjectState) -> ContentsOf:
        """Read one version whole.

        Raises:
            ObjectNotFound: It is not there any more.
        """
        path = f"/b/{encoded(at.bucket)}/o/{encoded(at.name)}?alt=media&generation={state.generation}"
        check = _Check(state)
        if state.size <= PIECE:
            check.feed(await self._api.read(path, at.uri))
            return check.end()
        async with self._large:
            for start in range(0, state.size, PIECE):
                piece = range(start, min(start + PIECE, state.size))
                check.feed(await self._api.read(path, at.uri, piece=piece))
        return check.end()


class _Check:
    """One object's bytes on their way: size and checksum as stored, lines as the consumer sees them."""

    def __init__(self, state: ObjectState) -> None:
        self._state = state
        self._lines = LineChecker()
        self._size = 0
        self._crc32c = 0
        packed = (state.metadata.content_encoding or "").lower() == "gzip"
        self._unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16) if packed else None
        self._readable = True

    def feed(self, piece: bytes) -> None:
        """Take in the next piece."""
        self._size += len(piece)
        self._crc32c = google_crc32c.extend(self._crc32c, piece)
        if self._unpacker is None:
            self._lines.feed(piece)
        elif self._readable:
            try:
                unpacked(self._lines, self._unpacker, piece)
            except zlib.error:
                self._readable = False
                self._lines.note("not_gzip", "its content encoding says gzip, its bytes do not")

    def end(self) -> ContentsOf:
        """Say what came of it."""
        if self._size != self._state.size:
            self._lines.note("size_read", f"{self._size:,} bytes came, {self._state.size:,} are listed")
        elif self._state.crc32c != b64encode(self._crc32c.to_bytes(4, "big")).decode():
            self._lines.note("checksum_read", "what was read has another crc32c than what is listed")
        if self._unpacker is not None and self._readable and not self._unpacker.eof:
            self._lines.note("not_gzip", "the packed contents break off")
        return self._lines.end()


def _problems(counts: Mapping[str, _Count]) -> dict[str, Any]:
    return {
        kind: {**asdict(count), "severity": severity_of(kind).value} for kind, count in sorted(counts.items())
    }
