"""What became of a manifest's lines, and the record of each chunk that says so.

There is one small object for each chunk, beside the manifest. It is written when the chunk's lines have been tried. So a deletion
can resume, and the task that settles the last chunk knows the whole result, whichever task and run settled the others.

A chunk that a killed run was working on has no record. Its lines are tried again, and those that are gone by then count as already
gone. Where a record has lines that were kept, only those lines are tried again.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import orjson

from backfill_job.copying.counts import Counting, Counts
from backfill_job.deletion.manifest import Manifest, ManifestLine
from backfill_job.deletion.manifest_store import cloud_ref
from backfill_job.run.workers import work
from shared.errors import Cause, UnexpectedAnswer
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.gcs.listing import list_pages
from shared.json_io import OTHER_FORM, reason
from shared.migration import Location
from shared.objects import ObjectRef
from shared.text import counted

__all__ = [
    "DELETION",
    "KEPT",
    "SETTLED",
    "ChunkRecord",
    "ChunkRecords",
    "LineOutcome",
    "LineResult",
    "chunk_record",
    "count_line",
    "deletion_summary",
]

AT_ONCE = 32


class LineOutcome(Enum):
    """What became of a line."""

    DELETED = "deleted"
    ALREADY_GONE = "already_gone"
    OVERWRITTEN_SINCE = "overwritten_since"
    DESTINATION_CHANGED = "destination_changed"
    HELD = "held"
    FAILED = "failed"


SETTLED = frozenset({LineOutcome.DELETED, LineOutcome.ALREADY_GONE})
"""The generation is not live any more: nothing is left to do."""

KEPT = frozenset(LineOutcome) - SETTLED
"""The legacy object is there, or may be."""

DELETION = Counting(LineOutcome, frozenset({LineOutcome.DELETED}), KEPT, listed="lines", answers_lost=True)
"""How a deletion counts."""


class LineResult(NamedTuple):
    """What became of a line.

    Attributes:
        detail: The reason, for a person; empty where the outcome is enough.
        cause: Why it is kept, where Cloud Storage said so.
        answer_lost: A request of this run deleted it and its answer was lost: a repetition found it gone.
    """

    line: ManifestLine
    outcome: LineOutcome
    detail: str = ""
    answer_lost: bool = False
    cause: Cause | None = None


def count_line(counts: Counts[LineOutcome], result: LineResult) -> None:
    """Count what became of a line."""
    counts.add(result.outcome, result.line.size)
    counts.answers_lost += result.answer_lost


def deletion_summary(counts: Counts[LineOutcome]) -> str:
    """The counts in one sentence."""
    lost = (
        f" ({counts.answers_lost:,} of the deletions by a request whose answer was lost)"
        if counts.answers_lost
        else ""
    )
    return f"{counted(counts.listed, 'object')}: {counts.said or 'nothing done'}{lost}{counts.imbalance}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A line whose object is there, or may be; `detail` says why."""

    name: str
    outcome: LineOutcome
    detail: str


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """What became of a chunk.

    Attributes:
        number: From 0.
        counts: Its lines by outcome, of all runs together.
        kept: Its lines that are not settled.
    """

    number: int
    counts: Counts[LineOutcome]
    kept: tuple[Kept, ...] = ()


def chunk_record(number: int, results: Iterable[LineResult], before: ChunkRecord | None) -> ChunkRecord:
    """The record of a chunk after its lines were tried; with `before`, only those that an earlier run had kept."""
    tried = list(results)
    counts = Counts(DELETION, len(tried))
    if before is not None:
        settled = {outcome: before.counts.by_outcome[outcome] for outcome in SETTLED}
        counts = Counts(
            DELETION,
            before.counts.listed,
            Counter(settled),
            before.counts.bytes,
            before.counts.answers_lost,
        )
    for result in tried:
        count_line(counts, result)
    kept = (
        Kept(result.line.name, result.outcome, result.detail) for result in tried if result.outcome in KEPT
    )
    return ChunkRecord(number, counts, tuple(kept))


class ChunkRecords:
    """The records of one manifest's chunks. A record of another head, by its SHA-256, is ignored."""

    def __init__(self, api: AsyncApi, gateway: Gateway, manifest: Manifest, sha256: str) -> None:
        self._api = api
        self._gateway = gateway
        self._manifest = manifest
        self._sha256 = sha256
        folder = cloud_ref(manifest.migration, manifest.name.removesuffix(".json"))
        self._folder = Location(folder.bucket, f"{folder.name}/")
        self._known: dict[int, ChunkRecord] = {}

    async def load(self) -> dict[int, ChunkRecord]:
        """Read all records, by chunk. Raises `StorageError` where one could not be read."""
        names = []
        async for page in list_pages(self._api, self._folder):
            names += [(name, state.size, state.generation) for name, state in page]
        found: dict[int, ChunkRecord] = {}

        async def read(each: tuple[str, int, int]) -> None:
            record = await self._read(*each)
            if record is not None:
                found[record.number] = record

        await work(names, read, workers=AT_ONCE)
        self._known = found
        return found

    def todo(
        self, number: int, lines: Sequence[ManifestLine]
    ) -> tuple[list[ManifestLine], ChunkRecord | None]:
        """The lines of a chunk that must be tried, and the record of an earlier run."""
        before = self._known.get(number)
        if before is None:
            return list(lines), None
        kept = {each.name for each in before.kept}
        return [line for line in lines if line.name in kept], before

    def settled(self, number: int) -> bool:
        """Whether every line of a chunk is settled."""
        record = self._known.get(number)
        return record is not None and not record.kept

    async def write(self, record: ChunkRecord) -> None:
        """Write a record, over an earlier one. Raises `StorageError`; then it may or may not have been written."""
        content = {
            "manifest_sha256": self._sha256,
            "chunk": record.number,
            "books": record.counts.to_json(),
            "kept": [
                {"name": each.name, "outcome": each.outcome.value, "detail": each.detail}
                for each in record.kept
            ],
        }
        at = ObjectRef(self._folder.bucket, f"{self._folder.prefix}{record.number:06}.json")
        await asyncio.to_thread(self._gateway.put, at, orjson.dumps(content))
        self._known[record.number] = record

    async def _read(self, name: str, size: int, generation: int) -> ChunkRecord | None:
        """Read one; None for a record of another manifest."""
        at = ObjectRef(self._folder.bucket, self._folder.prefix + name)
        data = await self._api.read_range(at, generation, first=0, size=size, whole=True)
        try:
            record = self._record(orjson.loads(data))
        except OTHER_FORM as error:
            raise UnexpectedAnswer(
                at.uri,
                f"not the record of a chunk ({reason(error)}); remove it: its lines are then tried again",
            ) from error
        return record

    def _record(self, content: dict[str, Any]) -> ChunkRecord | None:
        if content["manifest_sha256"] != self._sha256:
            return None
        number = int(content["chunk"])
        kept = tuple(
            Kept(each["name"], LineOutcome(each["outcome"]), each["detail"]) for each in content["kept"]
        )
        counts = DELETION.read(content["books"])
        lines = self._manifest.chunks[number].lines
        if not counts.holds or counts.not_right != len(kept) or counts.listed != lines:
            raise ValueError("its counts do not balance")
        return ChunkRecord(number, counts, kept)
