"""What became of each chunk of a manifest, written down when it is settled.

So a deletion goes on where it was, and whoever settles the last chunk can tell what became of all, whichever task and run
settled the others.

One small object a chunk, beside the manifest. A chunk that was under way when a run was killed has none; its lines are asked
for again, and those that are gone by then count as already gone. A chunk with lines that were kept is tried
again with those lines only.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from backfill_job.deletion.manifest import Line, Manifest
from backfill_job.deletion.manifest_places import cloud_ref
from backfill_job.deletion.outcomes import KEPT, SETTLED, Books, LineResult, Outcome
from shared.errors import UnexpectedAnswer
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.gcs.listing import list_pages
from shared.json_io import OTHER_FORM, reason
from shared.migration import Location
from shared.objects import ObjectRef

__all__ = ["ChunkRecord", "ChunkRecords", "recorded"]

AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Kept:
    """A line whose object is there, or may be.

    Attributes:
        name: Its name.
        outcome: What became of it.
        detail: Why.
    """

    name: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True, slots=True)
class ChunkRecord:
    """What became of a chunk.

    Attributes:
        number: Which chunk, from 0.
        books: Its lines by outcome, of all runs together.
        kept: Its lines that are not settled.
    """

    number: int
    books: Books
    kept: tuple[Kept, ...] = ()


def recorded(number: int, results: Iterable[LineResult], before: ChunkRecord | None) -> ChunkRecord:
    """The record of a chunk after its lines, or those that an earlier run had kept, were tried.

    Args:
        number: Which chunk.
        results: What became of the lines that were tried.
        before: What an earlier run wrote down; None where the whole chunk was tried.
    """
    tried = list(results)
    counts = dict.fromkeys(Outcome, 0)
    size = lost = 0
    if before is not None:
        counts |= {outcome: before.books.counts[outcome] for outcome in SETTLED}
        size, lost = before.books.deleted_bytes, before.books.answers_lost
    for result in tried:
        counts[result.outcome] += 1
        lost += result.answer_lost
        size += result.line.size if result.outcome is Outcome.DELETED else 0
    lines = len(tried) if before is None else before.books.lines
    kept = (
        Kept(result.line.name, result.outcome, result.detail) for result in tried if result.outcome in KEPT
    )
    return ChunkRecord(number, Books(lines, counts, size, lost), tuple(kept))


class ChunkRecords:
    """The records of one manifest's chunks.

    Args:
        api: Reads them.
        gateway: Writes them.
        manifest: Whose chunks.
        sha256: The manifest's; a record of another one counts for nothing.
    """

    def __init__(self, api: AsyncApi, gateway: Gateway, manifest: Manifest, sha256: str) -> None:
        self._api = api
        self._gateway = gateway
        self._manifest = manifest
        self._sha256 = sha256
        folder = cloud_ref(manifest.migration, manifest.name.removesuffix(".json"))
        self._folder = Location(folder.bucket, f"{folder.name}/")
        self._known: dict[int, ChunkRecord] = {}

    async def load(self) -> dict[int, ChunkRecord]:
        """Read all there are, by chunk.

        Raises:
            StorageError: They could not be read.
        """
        names = []
        async for page in list_pages(self._api, self._folder):
            names += [(name, state.size, state.generation) for name, state in page]
        found: dict[int, ChunkRecord] = {}
        for first in range(0, len(names), AT_ONCE):
            some = names[first : first + AT_ONCE]
            for record in await asyncio.gather(*(self._read(*each) for each in some)):
                if record is not None:
                    found[record.number] = record
        self._known = found
        return found

    def todo(self, number: int, lines: Sequence[Line]) -> tuple[list[Line], ChunkRecord | None]:
        """The lines of a chunk that are to be tried, and what an earlier run wrote down."""
        before = self._known.get(number)
        if before is None:
            return list(lines), None
        kept = {each.name for each in before.kept}
        return [line for line in lines if line.name in kept], before

    def settled(self, number: int) -> bool:
        """Whether nothing is left to do in a chunk."""
        record = self._known.get(number)
        return record is not None and not record.kept

    async def write(self, record: ChunkRecord) -> None:
        """Write a record down, over an earlier one.

        Raises:
            StorageError: It may or may not have been written.
        """
        content = {
            "manifest_sha256": self._sha256,
            "chunk": record.number,
            "books": record.books.to_json(),
            "kept": [
                {"name": each.name, "outcome": each.outcome.value, "detail": each.detail}
                for each in record.kept
            ],
        }
        at = ObjectRef(self._folder.bucket, f"{self._folder.prefix}{record.number:06}.json")
        await asyncio.to_thread(self._gateway.put, at, orjson.dumps(content))
        self._known[record.number] = record

    async def _read(self, name: str, size: int, generation: int) -> ChunkRecord | None:
        """Read one; None for one that is not this manifest's."""
        at = ObjectRef(self._folder.bucket, self._folder.prefix + name)
        data = await self._api.read_range(at, generation, first=0, size=size, whole=True)
        try:
            record = self._record(orjson.loads(data))
        except OTHER_FORM as error:
            raise UnexpectedAnswer(
                at.uri,
                f"no record of a chunk ({reason(error)}); remove it: its lines are then asked for again",
            ) from error
        return record

    def _record(self, content: dict[str, Any]) -> ChunkRecord | None:
        if content["manifest_sha256"] != self._sha256:
            return None
        number = int(content["chunk"])
        kept = tuple(Kept(each["name"], Outcome(each["outcome"]), each["detail"]) for each in content["kept"])
        books = Books.from_json(content["books"])
        if not books.holds or books.kept != len(kept) or books.lines != self._manifest.chunks[number].lines:
            raise ValueError("its books do not balance")
        return ChunkRecord(number, books, kept)
