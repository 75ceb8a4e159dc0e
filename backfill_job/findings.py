"""What an analysis found: figures and bounded samples, for the screen and for ``plan.json``.

Two identities hold, and the tests keep them: the steps other than EXTRA add up to `Findings.source`; and the days together
with what has none, like the kinds and like the file types, add up to it without the excluded objects.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import astuple, dataclass, fields, is_dataclass
from datetime import date
from enum import Enum
from math import ceil
from typing import Any

from backfill_job.plan import Step
from shared.partitions import Gap, Kind

__all__ = ["Count", "Findings", "Named", "Outside", "Period", "Reserved", "Sample", "Sizes"]


@dataclass(frozen=True, slots=True)
class Count:
    """Objects and their bytes."""

    objects: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Period:
    """Source objects of a day or month, and what is planned for them.

    Attributes:
        objects: All of them, placeholders included.
        jsonl: Those that are JSONL data.
        bytes: Their size at the source.
        copy: To be copied to where nothing is.
        overwrite: To be copied over something different.
        equal: Already there.
        conflict: Different, and left alone.
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
        """Objects that the destination has, but different."""
        return self.overwrite + self.conflict

    def __add__(self, other: "Period") -> "Period":
        return Period(*(one + two for one, two in zip(astuple(self), astuple(other), strict=True)))


@dataclass(frozen=True, slots=True)
class Sample:
    """One name, and why it is shown.

    Attributes:
        relative: The name below the prefix.
        because: How its two sides differ, or why it is impossible; often empty.
    """

    relative: str
    because: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Named:
    """How many there are, and the first of them by name."""

    total: int = 0
    first: tuple[Sample, ...] = ()


@dataclass(frozen=True, slots=True)
class Outside:
    """Source objects outside every known layout: the first by name, and all by top-level folder."""

    named: Named
    folders: Mapping[str, Count]


@dataclass(frozen=True, slots=True)
class Reserved:
    """How many objects carry a metadata key that Google's tools stamp on copies."""

    source: int = 0
    destination: int = 0


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the source objects are.

    Attributes:
        smallest: Bytes of the smallest; 0 when there are none.
        largest: Bytes of the largest.
        total: Bytes of all.
        histogram: How many have a size of 0, 1, 2 to 3, 4 to 7, 8 to 15 … bytes: by the number of bits of their size.
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
        """How many have no bytes."""
        return self.histogram[0] if self.histogram else 0

    @property
    def mean(self) -> float:
        """Bytes on average."""
        return self.total / self.objects if self.objects else 0.0

    @staticmethod
    def bounds(bits: int) -> tuple[int, int]:
        """The smallest and the largest size, in bytes, that the histogram counts at an index."""
        return (1 << bits - 1, (1 << bits) - 1) if bits else (0, 0)

    def quantile(self, share: float) -> float:
        """Estimate the size that a share of the objects does not exceed.

        Args:
            share: Between 0 and 1; 0.5 for the median.

        Returns:
            Bytes: within the true value's power of two, between its bounds as if sizes were spread evenly there.
        """
        rank, before = max(1, ceil(share * self.objects)), 0
        for bits, count in enumerate(self.histogram):
            if before + count >= rank:
                low, high = self.bounds(bits)
                inside = low + (high - low) * (rank - before) / count
                return min(max(inside, self.smallest), self.largest)
            before += count
        return 0.0


@dataclass(frozen=True, slots=True)
class Findings:
    """What an analysis found.

    Attributes:
        today: The day it was made; later ones are in the future.
        source: Everything listed at the source.
        destination: Everything listed at the destination.
        steps: What is planned, in source bytes (EXTRA: destination bytes). EXCLUDED counts source objects only.
        days: By day, in order, for the layouts that have one.
        undated: What belongs to no day.
        gaps: Days without any JSONL object between the first and the last that have one, future ones left aside.
        future_days: Days after today.
        impossible_dates: Dates in names that no calendar has.
        kinds: By layout.
        file_types: By extension.
        outside: What lies outside every known layout.
        strays: What lies in a day's folder and does not belong there.
        sizes: How large the objects are.
        named: By name: what would be overwritten, is in conflict, extra at the destination, or impossible.
        reserved: Metadata keys that the comparison leaves out because Google's tools stamp them.
        excluded: Source objects left behind, by the last part of their names.
    """

    today: date
    source: Count
    destination: Count
    steps: Mapping[Step, Count]
    days: Mapping[date, Period]
    undated: Period
    gaps: tuple[Gap, ...]
    future_days: tuple[date, ...]
    impossible_dates: Mapping[str, Count]
    kinds: Mapping[Kind, Count]
    file_types: Mapping[str, Count]
    outside: Outside
    strays: Named
    sizes: Sizes
    named: Mapping[Step, Named]
    reserved: Mapping[str, Reserved]
    excluded: Mapping[str, Count]

    @property
    def months(self) -> Mapping[str, Period]:
        """The days by month (``2024-01``), in order."""
        months: defaultdict[str, Period] = defaultdict(Period)
        for day, period in self.days.items():
            months[day.isoformat()[:7]] += period
        return dict(months)

    @property
    def data_days(self) -> tuple[date, ...]:
        """The days that have JSONL data, in order, future ones left aside."""
        return tuple(day for day, period in self.days.items() if period.jsonl and day <= self.today)

    @property
    def missing(self) -> int:
        """How many days are missing."""
        return sum(gap.days for gap in self.gaps)

    def to_json(self) -> dict[str, Any]:
        """Everything found under its name here, with what is derived from it; for ``plan.json``."""
        data_days = self.data_days
        return {
            **_plain(self),
            "months": _plain(self.months),
            "first_day": data_days[0].isoformat() if data_days else None,
            "last_day": data_days[-1].isoformat() if data_days else None,
            "missing_days": self.missing,
            "sizes": {
                **_plain(self.sizes),
                "mean": round(self.sizes.mean, 1),
                "median": round(self.sizes.quantile(0.5)),
                "p99": round(self.sizes.quantile(0.99)),
                "empty": self.sizes.empty,
            },
        }


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    return value.isoformat() if isinstance(value, date) else value
