"""What a plan says, in numbers: counted while it streams by, in memory that does not grow with the number of objects.

The totals and the steps count every object listed. What describes the data (days, kinds, file types, sizes, reserved
keys) leaves out the excluded objects, which are counted by file name instead. `backfill_job.findings` says what comes out.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from backfill_job.findings import Count, Findings, Named, Outside, Period, Reserved, Sample, Sizes
from backfill_job.plan import PlanLine, Step
from shared.objects import ObjectState, reserved_keys
from shared.partitions import Kind, classify, file_type, gaps

__all__ = ["NAMES", "OTHERS", "OUTSIDE_NAMES", "TOP_LEVEL", "Analysis"]

NAMES = 100
"""Names kept of what would be overwritten, and of what is in conflict, extra or impossible."""

OUTSIDE_NAMES = 20
"""Names kept of objects outside the known layouts, and of strays."""

GROUPS = 1_000
"""File types, folders and the like counted one by one; what comes after them is counted together, as `OTHERS`."""

OTHERS = "(others)"
TOP_LEVEL = "(top level)"

_NAMED_STEPS = (Step.OVERWRITE, Step.CONFLICT, Step.EXTRA, Step.IMPOSSIBLE)


class Analysis:
    """Counts the lines of one plan. Their order does not matter, and what they hold is not kept.

    Args:
        today: Days after this one are in the future; UTC, as the names of the exports are.
    """

    def __init__(self, today: date) -> None:
        self._today = today
        self._source, self._destination = _Sum(), _Sum()
        self._steps = {step: _Sum() for step in Step}
        self._days: defaultdict[date | None, _PeriodSum] = defaultdict(_PeriodSum)
        self._impossible_dates: _Groups = _Groups()
        self._kinds: _Groups = _Groups()
        self._file_types: _Groups = _Groups()
        self._outside = _First(OUTSIDE_NAMES)
        self._folders: _Groups = _Groups()
        self._strays = _First(OUTSIDE_NAMES)
        self._smallest, self._largest = -1, 0
        self._histogram: Counter[int] = Counter()
        self._named = {step: _First(NAMES) for step in _NAMED_STEPS}
        self._reserved: tuple[_Groups, _Groups] = (_Groups(), _Groups())
        self._excluded: _Groups = _Groups()

    def add(self, line: PlanLine) -> None:
        """Count one line."""
        relative, step, source, destination = line.relative, line.step, line.source, line.destination
        if source is not None:
            self._source.add(source.size)
            self._steps[step].add(source.size)
        if destination is not None:
            self._destination.add(destination.size)
            if step is Step.EXTRA:
                self._steps[step].add(destination.size)
        if step is Step.EXCLUDED:
            if source is not None:
                self._excluded.add(relative.rpartition("/")[2] or relative, source.size)
            return
        if step in self._named:
            because = tuple(what.value for what in line.because)
            self._named[step].offer(relative, because or ((line.note,) if line.note else ()))
        for state, found in zip((source, destination), self._reserved, strict=True):
            _add_reserved(state, found)
        if source is not None:
            self._describe(relative, source.size, step)

    def result(self) -> Findings:
        """What the lines so far add up to."""
        days = {day: self._days[day].period() for day in sorted(filter(None, self._days))}
        with_data = [day for day, period in days.items() if period.jsonl and day <= self._today]
        return Findings(
            today=self._today,
            source=self._source.count(),
            destination=self._destination.count(),
            steps={step: total.count() for step, total in self._steps.items()},
            days=days,
            undated=self._days[None].period(),
            gaps=gaps(with_data),
            future_days=tuple(day for day in days if day > self._today),
            impossible_dates=self._impossible_dates.counts(),
            kinds={Kind(kind): count for kind, count in self._kinds.counts().items()},
            file_types=self._file_types.counts(),
            outside=Outside(self._outside.named(), self._folders.counts()),
            strays=self._strays.named(),
            sizes=self._sizes(),
            named={step: first.named() for step, first in self._named.items()},
            reserved=self._reserved_keys(),
            excluded=self._excluded.counts(),
        )

    def _describe(self, relative: str, size: int, step: Step) -> None:
        what = classify(relative, size)
        self._days[what.day].add(size, step, critical=what.critical)
        self._kinds.add(what.kind.value, size)
        self._file_types.add(file_type(relative), size)
        self._histogram[size.bit_length()] += 1
        self._largest = max(self._largest, size)
        self._smallest = size if self._smallest < 0 else min(self._smallest, size)
        if what.impossible_date:
            self._impossible_dates.add(what.impossible_date, size)
        if what.kind is Kind.UNKNOWN:
            folder, slash, _ = relative.partition("/")
            self._folders.add(folder + slash if slash else TOP_LEVEL, size)
            self._outside.offer(relative)
        elif what.kind is Kind.STRAY:
            self._strays.offer(relative)

    def _sizes(self) -> Sizes:
        described = self._source.bytes - self._steps[Step.EXCLUDED].bytes
        width = max(self._histogram, default=-1) + 1
        histogram = tuple(self._histogram[bits] for bits in range(width))
        return Sizes(max(self._smallest, 0), self._largest, described, histogram)

    def _reserved_keys(self) -> Mapping[str, Reserved]:
        source, destination = (groups.counts() for groups in self._reserved)
        none = Count()
        return {
            key: Reserved(source.get(key, none).objects, destination.get(key, none).objects)
            for key in sorted(source.keys() | destination.keys())
        }


def _add_reserved(state: ObjectState | None, found: "_Groups") -> None:
    if state is not None and state.metadata.custom:
        for key in reserved_keys(state):
            found.add(key, state.size)


@dataclass(slots=True)
class _Sum:
    objects: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        self.objects += 1
        self.bytes += size

    def count(self) -> Count:
        return Count(self.objects, self.bytes)


@dataclass(slots=True)
class _PeriodSum:
    objects: int = 0
    jsonl: int = 0
    bytes: int = 0
    steps: Counter[Step] = field(default_factory=Counter)

    def add(self, size: int, step: Step, *, critical: bool) -> None:
        self.objects += 1
        self.jsonl += critical
        self.bytes += size
        self.steps[step] += 1

    def period(self) -> Period:
        planned = (self.steps[step] for step in (Step.COPY, Step.OVERWRITE, Step.EQUAL, Step.CONFLICT))
        return Period(self.objects, self.jsonl, self.bytes, *planned)


class _Groups:
    """Sums by some text; those of the first `GROUPS` texts one by one, the rest together."""

    def __init__(self) -> None:
        self._sums: dict[str, _Sum] = {}

    def add(self, key: str, size: int) -> None:
        total = self._sums.get(key)
        if total is None:
            total = self._sums.setdefault(key if len(self._sums) < GROUPS else OTHERS, _Sum())
        total.add(size)

    def counts(self) -> dict[str, Count]:
        """By number of objects, the most first."""
        ordered = sorted(self._sums.items(), key=lambda item: (-item[1].objects, item[0]))
        return {key: total.count() for key, total in ordered}


class _First:
    """Counts names and keeps the first few of them, whatever order they come in."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._total = 0
        self._kept: list[tuple[str, tuple[str, ...]]] = []

    def offer(self, relative: str, because: tuple[str, ...] = ()) -> None:
        self._total += 1
        if len(self._kept) == self._limit:
            if relative > self._kept[-1][0]:
                return
            self._kept.pop()
        insort(self._kept, (relative, because))

    def named(self) -> Named:
        return Named(self._total, tuple(Sample(*kept) for kept in self._kept))
