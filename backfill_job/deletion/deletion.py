"""Settles a manifest, chunk after chunk, several at once; what is under way is all that is held.

A task has the chunks whose number it is, modulo the number of tasks: neighbours go to different tasks, and nobody has to
agree on anything but the manifest.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from backfill_job.deletion.deleter import Deleter
from backfill_job.deletion.manifest import Line, Manifest
from backfill_job.deletion.manifest_places import LinesSource, read_lines
from backfill_job.deletion.outcomes import DeletionLedger, LineResult
from backfill_job.deletion.records import ChunkRecord, ChunkRecords, recorded
from backfill_job.run.stopping import Stop
from shared.errors import MigrationError
from shared.gcs.api import MOST_CALLS

__all__ = ["Deletion", "own_chunks"]

CHUNKS_AT_ONCE = 4


def own_chunks(chunks: int, index: int, count: int) -> range:
    """The numbers of a task's chunks."""
    return range(index, chunks, count)


@dataclass(slots=True)
class Deletion:
    """One process's part of a deletion.

    Attributes:
        manifest: What is to be deleted.
        lines: Where its lines are read.
        records: What became of its chunks.
        deleter: Settles lines.
        batches: Limits the batches under way.
        report: Told the result of every line.
        stop: Whether somebody asked to stop.
        ledger: The books.
    """

    manifest: Manifest
    lines: LinesSource
    records: ChunkRecords
    deleter: Deleter
    batches: asyncio.Semaphore
    report: Callable[[LineResult], None]
    stop: Stop
    ledger: DeletionLedger

    async def carry_out(self, numbers: range) -> None:
        """Settle chunks; those that are settled already are passed over.

        Args:
            numbers: Which.

        Raises:
            UsageError: The manifest was changed.
            StorageError: A chunk could not be read or recorded; the results of everything under way were reported before.
        """
        waiting = iter([number for number in numbers if not self.records.settled(number)])
        workers = [asyncio.create_task(self._work(waiting)) for _ in range(CHUNKS_AT_ONCE)]
        done = await asyncio.gather(*workers, return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                raise error

    async def _work(self, waiting: Iterator[int]) -> None:
        for number in waiting:
            if self.stop.by or self.deleter.error is not None:
                return
            try:
                await self._settle(number)
            except MigrationError:
                for _ in waiting:  # nobody takes another
                    pass
                raise

    async def _settle(self, number: int) -> None:
        whole = await read_lines(self.lines, self.manifest, number)
        todo, before = self.records.todo(number, whole)
        self.ledger.take(len(todo))
        follows = {line.name: following.name for line, following in pairwise(whole)} | {
            whole[-1].name: self.manifest.following(number)
        }
        parts = [todo[first : first + MOST_CALLS] for first in range(0, len(todo), MOST_CALLS)]
        results = await asyncio.gather(*(self._batch(part, follows[part[-1].name]) for part in parts))
        record: ChunkRecord = recorded(number, (each for part in results for each in part), before)
        await self.records.write(record)

    async def _batch(self, part: list[Line], following: str) -> list[LineResult]:
        async with self.batches:
            results = await self.deleter.settle(part, following)
        for result in results:
            self.ledger.book(result)
            self.report(result)
        return results
