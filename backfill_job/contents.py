"""The contents check of a verification: whether the destination's objects are what a BigQuery load takes.

Names that are equal on both sides have the same bytes, so one side is read, the destination, which is what the consumer
will read; what is wrong with them was wrong at the source and is the *source's* problem. Of names that differ both
sides are read, and only what the destination has and the source has not is the *migration's*. So is a destination whose
bytes are not those that its listing speaks of.

A sample is drawn by a hash of the name: two people who check the same names at the same percentage read the same
objects, and a smaller sample is part of a larger one.

An object that changed or vanished since it was listed is counted as *changed* and not judged. A read that fails ends the
check: there is no verdict.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from hashlib import blake2b

from backfill_job.contents_report import ContentsCheck, Side, Tally
from backfill_job.jsonl import ContentsReport, Problem
from backfill_job.load_rules import ProblemKind
from backfill_job.march import Pair
from backfill_job.read_back import LIMITS, Limits, Reading, read_back
from backfill_job.stopping import Stop
from shared.errors import UsageError
from shared.gcs.api import AsyncApi
from shared.migration import Migration
from shared.objects import CONTENT_DIFFERENCES, ObjectState, differences
from shared.partitions import classify

__all__ = ["Scope", "check_contents"]

HASH_BITS = 64
STOP_POLL = 0.1
"""Seconds after which a stop is noticed even if every request hangs."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Of which objects the contents are checked.

    Attributes:
        percent: How many of a hundred; 0 for none, 100 for all.
    """

    percent: Decimal

    @staticmethod
    def parse(text: str) -> "Scope":
        """Read ``none``, ``sample:P`` with P in percent, or ``all``.

        Raises:
            UsageError: It is something else.
        """
        if text in {"none", "all"}:
            return Scope(Decimal(100 if text == "all" else 0))
        kind, _, number = text.partition(":")
        try:
            percent = Decimal(number)
        except InvalidOperation:
            percent = Decimal(0)
        if kind != "sample" or not percent.is_finite() or not 0 < percent <= 100:  # noqa: PLR2004 -- percent
            raise UsageError(
                f"{text!r} says not what is to be checked: none, all, or sample:P with P percent, "
                "above 0 and at most 100, such as sample:0.5"
            )
        return Scope(percent)

    def __str__(self) -> str:
        """As `parse` reads it."""
        if self.percent in {0, 100}:
            return "all" if self.percent else "none"
        return f"sample:{self.percent.normalize():f}"

    def takes(self, relative: str) -> bool:
        """Tell whether a name below the prefix belongs to it."""
        if self.percent in {0, 100}:
            return bool(self.percent)
        place = int.from_bytes(blake2b(relative.encode(), digest_size=HASH_BITS // 8).digest(), "big")
        return bool(place * 100 < self.percent * 2**HASH_BITS)


async def check_contents(
    batches: AsyncGenerator[Iterable[Pair], None],
    api: AsyncApi,
    migration: Migration,
    scope: Scope,
    *,
    stop: Stop,
    limits: Limits = LIMITS,
    monotonic: Callable[[], float] = time.monotonic,
) -> ContentsCheck:
    """Check the contents of the JSONL objects that are on both sides. Holds what is under way only.

    Args:
        batches: Names with both sides' states, in parts, as `march_pages` gives them; those that are on one side only,
            excluded, no JSONL or not in the scope are passed over. Closed at the end.
        api: For the reading.
        migration: What is asked.
        scope: Which objects.
        stop: Whether somebody asked to stop.
        limits: How much at once.
        monotonic: Seconds that only grow.

    Returns:
        What was found.

    Raises:
        Interrupted: Somebody asked to stop.
        StorageError: A listing or a read failed, or this account may not read: there is no verdict.
    """
    began = monotonic()
    tally = Tally()
    async with aclosing(batches):
        reader = _Reader(api, migration, limits, tally)
        await _Check(batches, _Choice(migration, scope), reader, stop).run(limits.in_flight)
    return tally.result(str(scope), monotonic() - began)


@dataclass(frozen=True, slots=True)
class _Choice:
    """Which names are checked."""

    migration: Migration
    scope: Scope

    def wanted(self, pair: Pair) -> tuple[str, ObjectState, ObjectState] | None:
        """A name that is to be checked with its two sides; None for another."""
        relative, source, destination = pair.relative, pair.source, pair.destination
        if (
            source is None
            or destination is None
            or not classify(relative, destination.size).critical
            or not self.scope.takes(relative)
            or self.migration.is_excluded(relative)
        ):
            return None
        return relative, source, destination


class _Reader:
    """Reads the sides of one name, and books what is wrong with them where it belongs."""

    def __init__(self, api: AsyncApi, migration: Migration, limits: Limits, tally: Tally) -> None:
        self._api = api
        self._buckets = {
            Side.SOURCE: migration.source.bucket,
            Side.MIGRATION: migration.destination.bucket,
        }
        self._limits = limits
        self._large = asyncio.Semaphore(limits.large_in_flight)
        self._tally = tally

    async def check(self, relative: str, source: ObjectState, destination: ObjectState) -> None:
        """Check one name."""
        theirs = await self._read(Side.MIGRATION, destination)
        if theirs is None:
            self._tally.changed()
            return
        if CONTENT_DIFFERENCES.isdisjoint(differences(source, destination)):
            # Proven equal by checksum, unless these are not the bytes that the checksum is of.
            side = Side.SOURCE if theirs.proven else Side.MIGRATION
            self._tally.checked(theirs.report.rows, theirs.size)
            self._tally.book(relative, side, theirs.report.counts, theirs.report.examples)
            return
        ours = await self._read(Side.SOURCE, source)
        if ours is None:
            self._tally.changed()
            return
        self._tally.checked(theirs.report.rows, theirs.size + ours.size)
        self._tally.book(relative, Side.SOURCE, ours.report.counts, ours.report.examples)
        self._tally.book(relative, Side.MIGRATION, *_only_in(theirs.report, ours.report))

    async def _read(self, side: Side, state: ObjectState) -> Reading | None:
        if not self._limits.is_large(state):
            return await read_back(self._api, self._buckets[side], state, self._limits)
        async with self._large:
            return await read_back(self._api, self._buckets[side], state, self._limits)


def _only_in(
    theirs: ContentsReport, ours: ContentsReport
) -> tuple[dict[ProblemKind, int], tuple[Problem, ...]]:
    """What the destination has and the source has not: the lines of each kind beyond the source's."""
    more = dict(Counter(theirs.counts) - Counter(ours.counts))
    known = {(problem.line, problem.kind) for problem in ours.examples}
    kinds = {kind.value for kind in more}
    return more, tuple(
        problem
        for problem in theirs.examples
        if problem.kind in kinds and (problem.line, problem.kind) not in known
    )


class _Check:
    """The workers, the names they draw from, and the end."""

    def __init__(
        self,
        batches: AsyncGenerator[Iterable[Pair], None],
        choice: _Choice,
        reader: _Reader,
        stop: Stop,
    ) -> None:
        self._batches = batches
        self._choice = choice
        self._reader = reader
        self._stop = stop
        self._pairs: Iterator[Pair] = iter(())
        self._drawing = asyncio.Lock()
        self._ended = False

    async def run(self, in_flight: int) -> None:
        """Work to the end of the names, or to the first error."""
        workers = {asyncio.create_task(self._work()) for _ in range(in_flight)}
        waiting = workers
        try:
            while waiting:
                done, waiting = await asyncio.wait(
                    waiting, timeout=STOP_POLL, return_when=asyncio.FIRST_EXCEPTION
                )
                for worker in done:
                    worker.result()
                self._stop.check()
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self) -> None:
        while (pair := await self._next()) is not None:
            relative, source, destination = pair
            await self._reader.check(relative, source, destination)

    async def _next(self) -> tuple[str, ObjectState, ObjectState] | None:
        """The next name to check; None at the end. One worker at a time draws."""
        async with self._drawing:
            while not self._ended:
                for pair in self._pairs:
                    if (wanted := self._choice.wanted(pair)) is not None:
                        return wanted
                self._stop.check()
                batch = await anext(self._batches, None)
                self._ended = batch is None
                self._pairs = iter(batch or ())
            return None
