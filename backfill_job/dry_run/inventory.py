"""What both sides hold and what is planned, in figures. Counts line by line, in memory that does not grow with the lines.

The totals and the steps count every listed object. The description of the data (days, kinds, file types, sizes, reserved keys)
leaves out excluded objects, and counts those by file name instead. The tests check two sums. The steps other than EXTRA add up
to the source. The days and the undated objects add up to the source without the excluded objects; so do the kinds, and so do
the file types.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import astuple, dataclass, field
from datetime import date
from math import ceil
from typing import Any

from msgspec import to_builtins

from backfill_job.dry_run.plan import PlanLine, PlanStep
from backfill_job.dry_run.quiet_hour import Writes
from shared.objects import Difference, ObjectState, reserved_keys
from shared.partitions import Gap, ObjectKind, classify, file_type, gaps
from shared.storage_class import MINIMUM_DAYS

__all__ = [
    "NAMES",
    "OTHERS",
    "OUTSIDE_NAMES",
    "TOP_LEVEL",
    "Colder",
    "Count",
    "Inventory",
    "Named",
    "Outside",
    "Period",
    "Reserved",
    "Sample",
    "Sizes",
]

NAMES = 100
"""Names kept of objects to overwrite, in conflict, extra or impossible."""

OUTSIDE_NAMES = 20
"""Names kept of objects outside the known layouts, and of strays."""

GROUPS = 1_000
"""File types, folders and other groups counted one by one; later ones count together, as `OTHERS`."""

OTHERS = "(others)"
TOP_LEVEL = "(top level)"


@dataclass(slots=True)
class Count:
    """Objects and their bytes."""

    objects: int = 0
    bytes: int = 0

    def add(self, size: int) -> None:
        """Count one object."""
        self.objects += 1
        self.bytes += size


@dataclass(slots=True)
class Colder(Count):
    """Source objects in a class colder than the standard class.

    Attributes:
        early_byte_days: Bytes times the days for which their storage is billed even if they are deleted today.
    """

    early_byte_days: int = 0


@dataclass(slots=True)
class Period:
    """Source objects of a day or month, and the steps planned for them.

    Attributes:
        objects: All of them, with placeholders.
        jsonl: Those with JSONL data.
        bytes: Their size at the source.
        copy: To copy to names where the destination has nothing.
        overwrite: To copy over something different.
        conflict: Different, and left as they are.
    """

    objects: int = 0
    jsonl: int = 0
    bytes: int = 0
    copy: int = 0
    overwrite: int = 0
    equal: int = 0
    conflict: int = 0

    @property
    def differs(self) -> int:
        """Objects that differ at the destination."""
        return self.overwrite + self.conflict

    def add(self, size: int, step: PlanStep, *, critical: bool) -> None:
        """Count one object."""
        self.objects += 1
        self.jsonl += critical
        self.bytes += size
        self.copy += step is PlanStep.COPY
        self.overwrite += step is PlanStep.OVERWRITE
        self.equal += step is PlanStep.EQUAL
        self.conflict += step is PlanStep.CONFLICT

    def __add__(self, other: "Period") -> "Period":
        return Period(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Sample:
    """One name, and how its two sides differ, or why it is impossible; the latter may be empty."""

    relative: str
    because: tuple[str, ...] = ()


@dataclass(slots=True)
class Named:
    """A count of names, and the first of them in order; they may come in any order."""

    total: int = 0
    first: list[Sample] = field(default_factory=list)

    def offer(self, relative: str, because: tuple[str, ...] = (), *, limit: int = NAMES) -> None:
        """Count a name, and keep it if it is among the first, of which `limit` are kept."""
        self.total += 1
        if len(self.first) == limit:
            if relative > self.first[-1].relative:
                return
            self.first.pop()
        insort(self.first, Sample(relative, because), key=lambda sample: sample.relative)


@dataclass(frozen=True, slots=True)
class Outside:
    """Source objects outside every known layout: the first by name, and all by top-level folder."""

    named: Named
    folders: Mapping[str, Count]


@dataclass(frozen=True, slots=True)
class Reserved:
    """How many objects of each side have a metadata key that Google's tools add to copies."""

    source: int = 0
    destination: int = 0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the source objects are.

    Attributes:
        smallest: Bytes of the smallest object; 0 without objects.
        histogram: Objects by the number of bits of their size: 0, 1, 2 to 3, 4 to 7, 8 to 15 … bytes.
    """

    smallest: int
    largest: int
    total: int
    histogram: tuple[int, ...]

    @property
    def objects(self) -> int:
        """How many there are."""
        return sum(self.histogram)

    @property
    def empty(self) -> int:
        """How many have 0 bytes."""
        return self.histogram[0] if self.histogram else 0

    @property
    def mean(self) -> float:
        """Bytes on average."""
        return self.total / self.objects if self.objects else 0.0

    @staticmethod
    def bounds(bits: int) -> tuple[int, int]:
        """The smallest and the largest size, in bytes, at an index of the histogram."""
        return (1 << bits - 1, (1 << bits) - 1) if bits else (0, 0)

    def quantile(self, share: float) -> float:
        """Estimate the size that a share of the objects does not exceed; 0.5 for the median.

        Returns:
            Bytes, in the same power of two as the true value, as if sizes were spread evenly between its bounds.
        """
        rank, before = max(1, ceil(share * self.objects)), 0
        for bits, count in enumerate(self.histogram):
            if before + count >= rank:
                low, high = self.bounds(bits)
                inside = low + (high - low) * (rank - before) / count
                return min(max(inside, self.smallest), self.largest)
            before += count
        return 0.0


_Groups = dict[str, Count]


class Inventory:
    """What both sides hold. The lines may come in any order, and the inventory does not keep them.

    Attributes:
        today: Later days are in the future; UTC, like the names of the exports.
        steps: The planned steps, in source bytes (EXTRA: destination bytes). EXCLUDED counts source objects only.
        named: Names to overwrite, in conflict, extra at the destination, or impossible.
        protected: Names to overwrite whose destination object has a hold or is retained today: the copy will be refused.
        held: Names whose source object has a hold or is retained today: its deletion will be refused.
        colder: Source objects to copy that lie in a colder class, by class.
        strays: Objects in a day's folder that do not belong there.
        unproven: Objects equal by crc32c alone, at whose destination an older object is. While the source wins they are copied
            again; later, they are compared by their bytes.
        buckets: The settings of both buckets, as the JSON API shows them; None where they are not known.
        request_seconds: How long a request to Cloud Storage takes; None where that was not measured.
        writes: When the described source objects were written.
    """

    def __init__(self, today: date) -> None:
        self.today = today
        self.source, self.destination = Count(), Count()
        self.steps = {step: Count() for step in PlanStep}
        steps = (PlanStep.OVERWRITE, PlanStep.CONFLICT, PlanStep.ERASED, PlanStep.EXTRA, PlanStep.IMPOSSIBLE)
        self.named = {step: Named() for step in steps}
        self.protected = Named()
        self.held = Named()
        self.colder: dict[str, Colder] = {}
        self.strays = Named()
        self.unproven = Count()
        self.buckets: tuple[Mapping[str, Any], Mapping[str, Any]] | None = None
        self.request_seconds: float | None = None
        self.writes = Writes(today)
        self._outside = Named()
        self._periods: defaultdict[date | None, Period] = defaultdict(Period)
        self._impossible_dates: _Groups = {}
        self._kinds: _Groups = {}
        self._file_types: _Groups = {}
        self._folders: _Groups = {}
        self._excluded: _Groups = {}
        self._reserved: tuple[_Groups, _Groups] = ({}, {})
        self._smallest, self._largest = -1, 0
        self._histogram: Counter[int] = Counter()

    def add(self, line: PlanLine) -> None:
        """Count one line."""
        relative, step, source, destination = line.relative, line.step, line.source, line.destination
        if source is not None:
            self.source.add(source.size)
            self.steps[step].add(source.size)
        if destination is not None:
            self.destination.add(destination.size)
            if step is PlanStep.EXTRA:
                self.steps[step].add(destination.size)
        if step is PlanStep.EXCLUDED:
            if source is not None:
                _count(self._excluded, line.note or relative.rpartition("/")[2] or relative, source.size)
            return
        if step in self.named:
            because = tuple(what.value for what in line.because)
            self.named[step].offer(relative, because or ((line.note,) if line.note else ()))
            replaced = destination if step is PlanStep.OVERWRITE else None
            if replaced is not None and (why := replaced.protection(self.today)):
                self.protected.offer(relative, (why,))
        for state, found in zip((source, destination), self._reserved, strict=True):
            _count_reserved(state, found)
        if source is not None:
            self.writes.add(source.created)
            self._describe(line, source.size)
            self._describe_version(relative, step, source)

    def _describe_version(self, relative: str, step: PlanStep, source: ObjectState) -> None:
        """Count what a copy reads from a colder class, and what a deletion will leave."""
        if source.held and (protection := source.protection(self.today)):
            self.held.offer(relative, (protection,))
        kept = MINIMUM_DAYS.get(source.storage_class)
        if kept is not None and step in {PlanStep.COPY, PlanStep.OVERWRITE}:
            since = source.class_updated or source.created
            age = (self.today - date.fromisoformat(since[:10])).days if since else kept
            colder = self.colder.setdefault(source.storage_class, Colder())
            colder.add(source.size)
            colder.early_byte_days += source.size * max(0, kept - age)

    def _describe(self, line: PlanLine, size: int) -> None:
        relative, step = line.relative, line.step
        if line.because == (Difference.CRC32C_ALONE,):
            self.unproven.add(size)
        what = classify(relative, size)
        self._periods[what.day].add(size, step, critical=what.critical)
        _count(self._kinds, what.kind.value, size)
        _count(self._file_types, file_type(relative), size)
        self._histogram[size.bit_length()] += 1
        self._largest = max(self._largest, size)
        self._smallest = size if self._smallest < 0 else min(self._smallest, size)
        if what.impossible_date:
            _count(self._impossible_dates, what.impossible_date, size)
        if what.kind is ObjectKind.UNKNOWN:
            folder, slash, _ = relative.partition("/")
            _count(self._folders, folder + slash if slash else TOP_LEVEL, size)
            self._outside.offer(relative, limit=OUTSIDE_NAMES)
        elif what.kind is ObjectKind.STRAY:
            self.strays.offer(relative, limit=OUTSIDE_NAMES)

    @property
    def days(self) -> dict[date, Period]:
        """The periods by day, in order, for layouts with a day."""
        return {day: self._periods[day] for day in sorted(filter(None, self._periods))}

    @property
    def undated(self) -> Period:
        """The objects without a day."""
        return self._periods.get(None, Period())

    @property
    def months(self) -> Mapping[str, Period]:
        """The days by month (``2024-01``), in order."""
        months: defaultdict[str, Period] = defaultdict(Period)
        for day, period in self.days.items():
            months[day.isoformat()[:7]] += period
        return dict(months)

    @property
    def data_days(self) -> tuple[date, ...]:
        """The days with JSONL data, in order, without future ones."""
        return tuple(day for day, period in self.days.items() if period.jsonl and day <= self.today)

    @property
    def gaps(self) -> tuple[Gap, ...]:
        """Days without a JSONL object between the first and the last with one, without future days."""
        return gaps(self.data_days)

    @property
    def missing(self) -> int:
        """How many days the gaps have."""
        return sum(gap.days for gap in self.gaps)

    @property
    def future_days(self) -> tuple[date, ...]:
        """Days after today."""
        return tuple(day for day in self.days if day > self.today)

    @property
    def impossible_dates(self) -> Mapping[str, Count]:
        """Dates in names that do not exist in the calendar."""
        return _ordered(self._impossible_dates)

    @property
    def kinds(self) -> Mapping[ObjectKind, Count]:
        """The objects by layout."""
        return {ObjectKind(kind): count for kind, count in _ordered(self._kinds).items()}

    @property
    def file_types(self) -> Mapping[str, Count]:
        """The objects by extension."""
        return _ordered(self._file_types)

    @property
    def excluded(self) -> Mapping[str, Count]:
        """Excluded source objects, by the last part of their names; those that are never data by the reason."""
        return _ordered(self._excluded)

    @property
    def outside(self) -> Outside:
        """Objects outside every known layout."""
        return Outside(self._outside, _ordered(self._folders))

    @property
    def reserved(self) -> Mapping[str, Reserved]:
        """Metadata keys that the comparison ignores because Google's tools add them."""
        source, destination = self._reserved
        none = Count()
        return {
            key: Reserved(source.get(key, none).objects, destination.get(key, none).objects)
            for key in sorted(source.keys() | destination.keys())
        }

    @property
    def sizes(self) -> Sizes:
        """How large the source objects are."""
        described = self.source.bytes - self.steps[PlanStep.EXCLUDED].bytes
        width = max(self._histogram, default=-1) + 1
        histogram = tuple(self._histogram[bits] for bits in range(width))
        return Sizes(max(self._smallest, 0), self._largest, described, histogram)

    def to_json(self) -> dict[str, Any]:
        """All figures, and those derived from them, for ``plan.json``."""
        data_days = self.data_days
        rare = {"protected": self.protected.total, "held": self.held.total}
        rare |= {"colder": len(self.colder), "unproven": self.unproven.objects}
        names = [*_IN_JSON, *(name for name, number in rare.items() if number)]
        return {
            **{name: to_builtins(getattr(self, name)) for name in names},
            "writes": self.writes.to_json(),
            "months": to_builtins(self.months),
            "first_day": data_days[0].isoformat() if data_days else None,
            "last_day": data_days[-1].isoformat() if data_days else None,
            "missing_days": self.missing,
            "sizes": {
                **to_builtins(self.sizes),
                "mean": round(self.sizes.mean, 1),
                "median": round(self.sizes.quantile(0.5)),
                "p99": round(self.sizes.quantile(0.99)),
                "empty": self.sizes.empty,
            },
        }


_IN_JSON = (
    *("today", "source", "destination", "steps", "days", "undated", "gaps", "future_days"),
    *("impossible_dates", "kinds", "file_types", "outside", "strays", "sizes"),
    *("named", "reserved", "excluded"),
)


def _count(groups: _Groups, key: str, size: int) -> None:
    """Count by a text: the first `GROUPS` texts one by one, the rest together."""
    total = groups.get(key)
    if total is None:
        total = groups.setdefault(key if len(groups) < GROUPS else OTHERS, Count())
    total.add(size)


def _count_reserved(state: ObjectState | None, found: _Groups) -> None:
    if state is not None and state.metadata.custom:
        for key in reserved_keys(state):
            _count(found, key, state.size)


def _ordered(groups: _Groups) -> dict[str, Count]:
    return dict(sorted(groups.items(), key=lambda item: (-item[1].objects, item[0])))
