"""Deletes what a manifest's lines name: these generations, while the destination still is what was proven equal.

Only `run` imports it. It is a module of its own because no other deletes what a manifest names.

A task settles its chunks, several at once. For each batch of at most 100 lines it works so::

    wait for the governor ─▶ look at the destination ─▶ read the phase ─▶ one batch of conditional deletions ─▶ read each answer
            ▲                                                                                                     │
            └────────────────────────── lines without a certain answer, after a pause ◀───────────────────────────┘

- The *source* condition (``ifGenerationMatch``) makes a deletion hit the manifest's generation or nothing. A newer object is
  safe, however often the request is repeated and however late a lost request arrives. The request names no version
  (``generation``): on a versioned bucket that would delete a version for good.
- The *destination* is looked at right before every try. One listing covers the lines' range, and each name that the listing
  does not show as it should be gets a look of its own. Cloud Storage cannot tie the two buckets together, so the length
  of one request lies between that look and the deletion; see decision 20.
- The *phase* must be one of a deletion. It is read after that look, as in every pass.
- A batch's status 200 says nothing about its parts. A part without a certain answer is sent again. If the object is gone then,
  either this run's earlier request deleted it or another process did. The result says which is known.
- A task has the chunks whose number, modulo the number of tasks, is its own. So neighbours go to different tasks, and the tasks
  agree on the manifest only.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise, takewhile
from math import inf

from backfill_job.copying.counts import Counts
from backfill_job.copying.governor import WriteGovernor
from backfill_job.copying.lane import concerns_all
from backfill_job.deletion.manifest import Manifest, ManifestLine
from backfill_job.deletion.manifest_store import LinesSource, read_lines
from backfill_job.deletion.records import ChunkRecords, LineOutcome, LineResult, chunk_record, count_line
from backfill_job.run.failures import Failures
from backfill_job.run.stopping import Stop
from backfill_job.run.workers import work
from shared.answers import names_object
from shared.authority import AuthoritySource, current_authority
from shared.decision import ABSENT, was_erased
from shared.errors import (
    Cause,
    ConditionFailed,
    Interrupted,
    ObjectNotFound,
    ObjectProtected,
    StorageError,
    UnexpectedAnswer,
)
from shared.gcs.api import MOST_CALLS, AsyncApi, Pacing, PartAnswer, RetryPolicy
from shared.gcs.listing import first_name, list_pages
from shared.migration import Migration
from shared.objects import ObjectState
from shared.text import counted

__all__ = ["Deleter", "Deletion", "Waiting", "own_chunks"]

CHUNKS_AT_ONCE = 4

TOO_MANY = 429
"""The one transient status that says that nothing was done."""

STOPPED = "stopped before it was deleted; go on with --resume"


@dataclass(frozen=True, slots=True)
class Waiting:
    """How a deleter waits: for the governor's slots, and between tries."""

    governor: WriteGovernor
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    dice: random.Random = field(default_factory=random.Random)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    monotonic: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class _Try:
    """A line that is not settled yet."""

    line: ManifestLine
    asked: bool = False
    said: str = ""
    cause: Cause | None = None


class Deleter:
    """Settles lines of one migration's manifest. Belongs to one event loop.

    Args:
        authority: Raises where the phase is not one of a deletion.

    Attributes:
        error: Why the rest is not tried: a missing permission or bucket, or the phase; None as long as nothing stops it.
    """

    def __init__(
        self, api: AsyncApi, migration: Migration, authority: AuthoritySource, waiting: Waiting, stop: Stop
    ) -> None:
        self._api = api
        self._migration = migration
        self._authority = authority
        self._waiting = waiting
        self._stop = stop
        self._turn = asyncio.Lock()
        self._pacing = Pacing(throttled=waiting.governor.throttled)
        self.error: StorageError | None = None

    async def settle(self, lines: Sequence[ManifestLine], following: str) -> list[LineResult]:
        """Delete what some lines name. A failure of Cloud Storage is a result, and never raised.

        Args:
            lines: At most 100, in the order of their names.
            following: The first name after them in the manifest; empty for none.

        Returns:
            The results, in any order.
        """
        if len(lines) > MOST_CALLS:
            raise ValueError(f"{counted(len(lines), 'line')}; a batch has at most {MOST_CALLS}")
        waiting = self._waiting
        end = waiting.monotonic() + waiting.retry.deadline
        tries = [_Try(line) for line in lines]
        results: list[LineResult] = []
        repetition = 0
        while tries:
            if not await self._slots(len(tries)) or self.error is not None:
                return results + [_unfinished(each, str(self.error or STOPPED)) for each in tries]
            settled, tries = await self._round(tries, following)
            results += settled
            if tries:
                pause = waiting.retry.wait(repetition, waiting.dice)
                if waiting.monotonic() + pause >= end:
                    return results + [_unfinished(each, each.said) for each in tries]
                await waiting.sleep(pause)
                repetition += 1
        return results

    async def _slots(self, count: int) -> bool:
        """Wait for `count` of the governor's slots, one after the other; False after a request to stop."""
        async with self._turn:
            for _ in range(count):
                if self._stop.by:
                    return False
                pause = self._waiting.governor.reserve()
                if pause > 0:
                    await self._waiting.sleep(pause)
        return not self._stop.by

    async def _round(self, tries: Sequence[_Try], following: str) -> tuple[list[LineResult], list[_Try]]:
        """Look at the destination, send a batch and read its answers; returns what is settled, and the rest."""
        try:
            results, go = await self._rechecked(tries, following)
            await current_authority(self._authority)
        except StorageError as error:
            self._note(error)
            return [_unfinished(replace(each, cause=error.cause), str(error)) for each in tries], []
        if not go:
            return results, []
        answers = await self._sent(go)
        again: list[_Try] = []
        for each, answer in zip(go, answers, strict=True):
            done = await self._read(each, answer)
            if isinstance(done, LineResult):
                results.append(done)
            else:
                again.append(done)
        return results, again

    async def _rechecked(self, tries: Sequence[_Try], following: str) -> tuple[list[LineResult], list[_Try]]:
        """Separate the lines whose destination still is the generation proven equal from the others."""
        there = await self._listed(tries, following)
        results: list[LineResult] = []
        go: list[_Try] = []
        for each in tries:
            wanted = each.line.destination_generation
            if there.get(each.line.name, ABSENT) == wanted:
                go.append(each)
                continue
            now = await self._api.look(self._migration.destination_ref(each.line.name))
            if (ABSENT if now is None else now.generation) == wanted:
                go.append(each)
            else:
                results.append(await self._not_deleted(each, now))
        return results, go

    async def _listed(self, tries: Sequence[_Try], following: str) -> dict[str, int]:
        """The generations at the destination in the lines' range."""
        destination = self._migration.destination
        first, last = tries[0].line.name, tries[-1].line.name
        end = destination.prefix + following if following else ""
        found: dict[str, int] = {}
        pages = list_pages(self._api, destination, start=destination.prefix + first, end=end)
        async with aclosing(pages):
            async for page in pages:
                found.update((name, state.generation) for name, state in page)
                if page[-1][0] >= last:
                    break
        return found

    async def _not_deleted(self, each: _Try, now: ObjectState | None) -> LineResult:
        """The result of a line whose destination is not what was proven equal."""
        what = "nothing is there" if now is None else f"generation {now.generation} is there"
        detail = f"at the new path {what}, {_was_there(each.line)}; the legacy object was not deleted"
        if each.asked:
            # An earlier request may have deleted it, before the destination changed.
            source = await self._api.look(self._migration.source_ref(each.line.name))
            if source is None:
                return LineResult(each.line, LineOutcome.DELETED, "its answer was lost", answer_lost=True)
            if source.generation != each.line.generation:
                return LineResult(each.line, LineOutcome.OVERWRITTEN_SINCE, _overwritten(source.generation))
        elif now is None and await self._is_erased(each.line):
            return LineResult(each.line, LineOutcome.ALREADY_GONE)
        return LineResult(each.line, LineOutcome.DESTINATION_CHANGED, detail)

    async def _is_erased(self, line: ManifestLine) -> bool:
        """Whether a person has erased the name on record, and the legacy object is gone."""
        known = await asyncio.to_thread(self._authority.erasures)
        if not was_erased(line.state, None, known.on_record(line.name)):
            return False
        return await self._api.look(self._migration.source_ref(line.name)) is None

    async def _sent(self, go: Sequence[_Try]) -> list[PartAnswer]:
        """Send one batch; where the batch as a whole fails, its error is the answer to each part."""
        deletions = [(each.line.name, each.line.generation) for each in go]
        try:
            return await self._api.delete_batch(self._migration.source, deletions, self._pacing)
        except StorageError as error:
            if not error.transient and not concerns_all(error):
                # A proxy that answers 404, for example, must not be read as 404 for every object.
                error = UnexpectedAnswer(error.uri, f"the batch was refused as a whole: {error.detail}")
            return [PartAnswer(0, error)] * len(go)

    async def _read(self, each: _Try, answer: PartAnswer) -> LineResult | _Try:
        """What an answer means; a new try where it is not certain."""
        line = each.line
        match answer.error:
            case None:
                return LineResult(line, LineOutcome.DELETED)
            case ConditionFailed():
                return LineResult(line, LineOutcome.OVERWRITTEN_SINCE, _overwritten(None))
            case ObjectProtected() as error:
                return LineResult(line, LineOutcome.HELD, error.detail, cause=error.cause)
            case ObjectNotFound() as error:
                return await self._gone(each, error)
            case StorageError(transient=True) as error:
                asked = each.asked or answer.status != TOO_MANY
                return replace(each, asked=asked, said=str(error), cause=error.cause)
            case error:
                self._note(error)
                return LineResult(line, LineOutcome.FAILED, str(error), cause=error.cause)

    async def _gone(self, each: _Try, error: ObjectNotFound) -> LineResult:
        """What a 404 means: the object is gone, unless the message is not the service's own and a listing shows the object."""
        if not names_object(error.detail):
            try:
                listed = await first_name(self._api, self._migration.source, each.line.name, "")
            except StorageError as problem:
                self._note(problem)
                return LineResult(each.line, LineOutcome.FAILED, str(problem), cause=problem.cause)
            if listed == each.line.name:
                return LineResult(
                    each.line, LineOutcome.FAILED, f"{error}; but it is listed", cause=Cause.ODD_ANSWER
                )
        if each.asked:
            return LineResult(each.line, LineOutcome.DELETED, "its answer was lost", answer_lost=True)
        return LineResult(each.line, LineOutcome.ALREADY_GONE)

    def _note(self, error: StorageError) -> None:
        if concerns_all(error):
            self.error = self.error or error


def own_chunks(chunks: int, index: int, count: int) -> range:
    """The numbers of a task's chunks: `index` is the task's, `count` that of all tasks."""
    return range(index, chunks, count)


@dataclass(slots=True)
class Deletion:
    """One process's part of a deletion. It holds only the chunks under way, and `batches` limits those."""

    manifest: Manifest
    lines: LinesSource
    records: ChunkRecords
    deleter: Deleter
    batches: asyncio.Semaphore
    report: Callable[[LineResult], None]
    stop: Stop
    counts: Counts[LineOutcome]
    failures: Failures

    async def carry_out(self, numbers: range) -> None:
        """Settle chunks, and skip those that are settled already.

        Raises:
            UsageError: The manifest was changed.
            StorageError: A chunk could not be read or recorded; the results of everything under way were reported before.
        """
        unsettled = [number for number in numbers if not self.records.settled(number)]
        with suppress(Interrupted):  # the result says what stopped it
            await work(
                takewhile(lambda _: self.deleter.error is None, unsettled),
                self._settle,
                workers=CHUNKS_AT_ONCE,
                stop=self.stop,
                after_stop=inf,
                after_failure=inf,
            )

    async def _settle(self, number: int) -> None:
        whole = await read_lines(self.lines, self.manifest, number)
        todo, before = self.records.todo(number, whole)
        self.counts.list(len(todo))
        follows = {line.name: following.name for line, following in pairwise(whole)} | {
            whole[-1].name: self.manifest.following(number)
        }
        parts = [todo[first : first + MOST_CALLS] for first in range(0, len(todo), MOST_CALLS)]
        results = await asyncio.gather(*(self._batch(part, follows[part[-1].name]) for part in parts))
        await self.records.write(chunk_record(number, (each for part in results for each in part), before))

    async def _batch(self, part: list[ManifestLine], following: str) -> list[LineResult]:
        async with self.batches:
            results = await self.deleter.settle(part, following)
        for result in results:
            count_line(self.counts, result)
            if result.cause is not None:
                self.failures.note(result.line.name, result.cause, result.detail)
            self.report(result)
        return results


def _was_there(line: ManifestLine) -> str:
    wanted = line.destination_generation
    return "it was erased there before" if wanted == ABSENT else f"generation {wanted} was proven equal"


def _overwritten(generation: int | None) -> str:
    what = "another generation" if generation is None else f"generation {generation}"
    return f"{what} is there: somebody wrote there since the manifest; it was not deleted"


def _unfinished(each: _Try, said: str) -> LineResult:
    may = "; it may have been deleted all the same" if each.asked else ""
    return LineResult(each.line, LineOutcome.FAILED, f"{said}{may}", cause=each.cause or Cause.STOPPED)
