"""The contents check of a verification: whether a BigQuery load takes the objects of the destination.

Objects that are equal on both sides have the same bytes. So only the destination is read, because the consumer will read
it, and every problem is the *source's*: it was there before the copy. Of objects that differ, both sides are read. Only
what the destination has and the source does not have is the *migration's*. Bytes that do not have the checksum of the
destination's listing are the migration's, too.

A sample is drawn by a hash of the name. Two people who check the same names at the same percentage read the same
objects, and a smaller sample is part of a larger one.

An object that changed or vanished after the listing counts as *changed* and is not judged. A read that fails ends the
check without a verdict.

Results of key ranges and tasks add up to the result of the whole, in any order. Counts are added; of the examples, the
first few by name stay for each kind and side.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from enum import Enum
from hashlib import blake2b

from backfill_job.contents.lines import ContentsReport, LineProblem
from backfill_job.contents.reader import LIMITS, ObjectRead, ReadLimits, read_back
from backfill_job.contents.rows import ProblemKind
from backfill_job.copying.diff import DiffLine
from backfill_job.run.stopping import Stop
from backfill_job.run.workers import work
from shared.errors import UsageError
from shared.gcs.api import AsyncApi
from shared.migration import Migration
from shared.objects import CONTENT_DIFFERENCES, ObjectState, differences
from shared.partitions import classify
from shared.verification import ContentsFound, Example, Problem

__all__ = ["ContentsScope", "ContentsTally", "ProblemSide", "check_contents", "merged_contents"]

EXAMPLES_OF_A_KIND = 5
"""Examples of each kind and side that a result shows. All problems are counted."""

_ORDER = {kind.value: number for number, kind in enumerate(ProblemKind)}


class ProblemSide(Enum):
    """Where a problem arose."""

    SOURCE = "source"
    """The source has it; a copy keeps it."""
    MIGRATION = "migration"
    """Only the destination has it."""


class ContentsTally:
    """Counts while a check runs; its memory does not grow with the objects."""

    def __init__(self) -> None:
        self._objects = self._rows = self._bytes = self._changed = 0
        self._problems: dict[ProblemSide, dict[str, Problem]] = {side: {} for side in ProblemSide}
        self._examples: tuple[Example, ...] = ()

    def changed(self) -> None:
        """Count an object that changed or vanished."""
        self._changed += 1

    def checked(self, rows: int, size: int) -> None:
        """Count an object that was judged; `size` is the bytes read for it, of one side or of both."""
        self._objects += 1
        self._rows += rows
        self._bytes += size

    def book(
        self, name: str, side: ProblemSide, counts: Mapping[ProblemKind, int], examples: Iterable[LineProblem]
    ) -> None:
        """Count the problems of the object `name`: its lines by kind, and the first of them."""
        if not counts:
            return
        found = {kind.value: Problem(1, lines, kind.severity) for kind, lines in counts.items()}
        self._problems[side] = _added(self._problems[side], found)
        more = (Example(name, side.value, each.line, each.kind, each.detail) for each in examples)
        self._examples = _kept((*self._examples, *more))

    def add(self, part: ContentsFound) -> None:
        """Count what another check found.

        Raises:
            KeyError: It has a kind of problem that this program does not know.
        """
        self._objects += part.objects
        self._rows += part.rows
        self._bytes += part.bytes
        self._changed += part.changed
        for side, found in (
            (ProblemSide.SOURCE, part.source_problems),
            (ProblemSide.MIGRATION, part.migration_problems),
        ):
            self._problems[side] = _added(self._problems[side], found)
        self._examples = _kept((*self._examples, *part.examples))

    def result(self, mode: str, seconds: float) -> ContentsFound:
        """The result of everything counted so far."""
        return ContentsFound(
            mode=mode,
            clean=all(problem.loads for problems in self._problems.values() for problem in problems.values()),
            objects=self._objects,
            rows=self._rows,
            bytes=self._bytes,
            changed=self._changed,
            seconds=round(seconds, 3),
            objects_per_s=round(self._objects / seconds, 1) if seconds > 0 else 0.0,
            source_problems=self._problems[ProblemSide.SOURCE],
            migration_problems=self._problems[ProblemSide.MIGRATION],
            examples=self._examples,
        )


def merged_contents(parts: Sequence[ContentsFound]) -> ContentsFound | None:
    """The result of several checks, which counts them as one after the other; None without any.

    Raises:
        ValueError: They have different scopes.
        KeyError: See `ContentsTally.add`.
    """
    if not parts:
        return None
    whole, mode = ContentsTally(), parts[0].mode
    for part in parts:
        if part.mode != mode:
            raise ValueError(f"contents checked as {mode} and as {part.mode} do not add up")
        whole.add(part)
    return whole.result(mode, sum(part.seconds for part in parts))


def _added(one: Mapping[str, Problem], other: Mapping[str, Problem]) -> dict[str, Problem]:
    """The sum of each kind, in the order of the kinds."""
    found = {**one, **other} | {kind: one[kind] + other[kind] for kind in one.keys() & other.keys()}
    return dict(sorted(found.items(), key=lambda item: _ORDER[item[0]]))


def _kept(examples: Iterable[Example]) -> tuple[Example, ...]:
    """The first few of each kind and side, in the order of the names."""
    room: Counter[tuple[str, str]] = Counter()
    kept = []
    for example in sorted(examples):
        place = (example.side, example.kind)
        room[place] += 1
        if room[place] <= EXAMPLES_OF_A_KIND:
            kept.append(example)
    return tuple(kept)


HASH_BITS = 64

_Chosen = tuple[str, ObjectState, ObjectState]
"""A name below the prefix, with its state at the source and at the destination."""


@dataclass(frozen=True, slots=True)
class ContentsScope:
    """Which objects are checked.

    Attributes:
        percent: How many of a hundred: 0 for none, 100 for all.
    """

    percent: Decimal

    @staticmethod
    def parse(text: str) -> "ContentsScope":
        """Read ``none``, ``sample:P`` with P in percent, or ``all``.

        Raises:
            UsageError: It is something else.
        """
        if text in {"none", "all"}:
            return ContentsScope(Decimal(100 if text == "all" else 0))
        kind, _, number = text.partition(":")
        try:
            percent = Decimal(number)
        except InvalidOperation:
            percent = Decimal(0)
        if kind != "sample" or not percent.is_finite() or not 0 < percent <= 100:  # noqa: PLR2004 -- percent
            raise UsageError(
                f"{text!r} does not say what to check: none, all, or sample:P with P percent, "
                "above 0 and at most 100, such as sample:0.5"
            )
        return ContentsScope(percent)

    def __str__(self) -> str:
        """As `parse` reads it."""
        if self.percent in {0, 100}:
            return "all" if self.percent else "none"
        return f"sample:{self.percent.normalize():f}"

    def takes(self, relative: str) -> bool:
        """Whether a name below the prefix belongs to it."""
        if self.percent in {0, 100}:
            return bool(self.percent)
        place = int.from_bytes(blake2b(relative.encode(), digest_size=HASH_BITS // 8).digest(), "big")
        return bool(place * 100 < self.percent * 2**HASH_BITS)


async def check_contents(
    batches: AsyncGenerator[Iterable[DiffLine], None],
    api: AsyncApi,
    migration: Migration,
    scope: ContentsScope,
    *,
    stop: Stop,
    limits: ReadLimits = LIMITS,
    monotonic: Callable[[], float] = time.monotonic,
) -> ContentsFound:
    """Check the contents of the JSONL objects that are on both sides. Holds only the objects under way.

    Args:
        batches: Names with both sides' states, in parts, as `merge_pages` gives them. Names that are on one side only,
            excluded, not JSONL or outside the scope are left out. Closed at the end.

    Raises:
        Interrupted: A stop was requested.
        StorageError: A listing or a read failed, or this account may not read: there is no verdict.
    """
    began = monotonic()
    tally = ContentsTally()
    reader = _SideReader(api, migration, limits, tally)
    async with aclosing(batches), aclosing(_chosen(batches, migration, scope)) as chosen:
        await work(chosen, reader.check, workers=limits.in_flight, stop=stop)
    return tally.result(str(scope), monotonic() - began)


async def _chosen(
    batches: AsyncGenerator[Iterable[DiffLine], None], migration: Migration, scope: ContentsScope
) -> AsyncGenerator[_Chosen, None]:
    async for batch in batches:
        for relative, _, source, destination, _ in batch:
            if source is None or destination is None or not classify(relative, destination.size).critical:
                continue
            if scope.takes(relative) and not migration.is_excluded(relative):
                yield relative, source, destination


class _SideReader:
    """Reads the sides of one name, and counts each problem for the side that it belongs to."""

    def __init__(self, api: AsyncApi, migration: Migration, limits: ReadLimits, tally: ContentsTally) -> None:
        self._api = api
        paths = {ProblemSide.SOURCE: migration.source, ProblemSide.MIGRATION: migration.destination}
        self._buckets = {side: path.bucket for side, path in paths.items()}
        self._limits = limits
        self._large = asyncio.Semaphore(limits.large_in_flight)
        self._tally = tally

    async def check(self, chosen: _Chosen) -> None:
        """Check one name."""
        relative, source, destination = chosen
        theirs = await self._read(ProblemSide.MIGRATION, destination)
        if theirs is not None and CONTENT_DIFFERENCES.isdisjoint(differences(source, destination)):
            # Equal by checksum, unless the bytes that were read do not have that checksum.
            side = ProblemSide.SOURCE if theirs.proven else ProblemSide.MIGRATION
            self._tally.checked(theirs.report.rows, theirs.size)
            self._tally.book(relative, side, theirs.report.counts, theirs.report.examples)
            return
        ours = None if theirs is None else await self._read(ProblemSide.SOURCE, source)
        if theirs is None or ours is None:
            self._tally.changed()
            return
        self._tally.checked(theirs.report.rows, theirs.size + ours.size)
        self._tally.book(relative, ProblemSide.SOURCE, ours.report.counts, ours.report.examples)
        self._tally.book(relative, ProblemSide.MIGRATION, *_only_in(theirs.report, ours.report))

    async def _read(self, side: ProblemSide, state: ObjectState) -> ObjectRead | None:
        if not self._limits.is_large(state):
            return await read_back(self._api, self._buckets[side], state, self._limits)
        async with self._large:
            return await read_back(self._api, self._buckets[side], state, self._limits)


def _only_in(
    theirs: ContentsReport, ours: ContentsReport
) -> tuple[dict[ProblemKind, int], tuple[LineProblem, ...]]:
    """What the destination has and the source does not have: the lines of each kind beyond the source's."""
    more = dict(Counter(theirs.counts) - Counter(ours.counts))
    known = {(problem.line, problem.kind) for problem in ours.examples}
    kinds = {kind.value for kind in more}
    new = (each for each in theirs.examples if (each.line, each.kind) not in known)
    return more, tuple(each for each in new if each.kind in kinds)
