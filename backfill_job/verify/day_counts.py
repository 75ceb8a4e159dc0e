"""Counts both sides of every day while the diff streams by: objects, bytes, JSONL files, and a digest for each side.

The digest of a set of objects is the sum, modulo 2**256, of the SHA-256 of each object's line. The line is
``SIZE CRC32C NAME`` in UTF-8: the size in decimal, the checksum as the API gives it (``-`` where it gives none), the name
below the prefix, one space between. The digest does not depend on the order, so tasks add theirs up. A missing object, a
second one or another one changes it. It does not protect against an attacker who chooses names and contents so that two
sets look alike.

No figure includes the names that were left out on request (``--exclude``), or those of migrations' own objects. An object without a day in its name is undated.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Any

from msgspec import to_builtins

from backfill_job.copying.diff import DiffLine
from backfill_job.verify.lag import LagCounts
from backfill_job.verify.late_writes import LateWrites
from shared.json_io import Count, convert
from shared.objects import ObjectState
from shared.partitions import classify
from shared.verification import Day, DayState, Side, Verdict

__all__ = ["DayCount", "DayCounts", "SideCount", "line_digest"]

MODULUS = 2**256

_WORST_FIRST = (
    (Verdict.MISSING, DayState.MISSING),
    (Verdict.CONTENT_DIFFERS, DayState.DIFFERING),
    (Verdict.METADATA_DIFFERS, DayState.DIFFERING),
    (Verdict.EXTRA, DayState.DIFFERING),
    (Verdict.IN_FLIGHT, DayState.IN_FLIGHT),
)


def line_digest(relative: str, state: ObjectState) -> int:
    """What an object adds to its side's digest."""
    line = f"{state.size} {state.crc32c or '-'} {relative}"
    return int.from_bytes(sha256(line.encode()).digest(), "big")


@dataclass(slots=True)
class SideCount:
    """One side of a day, while it is counted; `Side` is the result.

    Attributes:
        digest: See the top of this file.
    """

    objects: int = 0
    bytes: int = 0
    jsonl: int = 0
    empty_jsonl: int = 0
    digest: int = 0

    def add(self, size: int, digest: int, *, jsonl: bool) -> None:
        """Count one object."""
        self.objects += 1
        self.bytes += size
        self.digest = (self.digest + digest) % MODULUS
        if jsonl:
            self.jsonl += 1
            self.empty_jsonl += not size

    def __add__(self, other: "SideCount") -> "SideCount":
        return SideCount(
            self.objects + other.objects,
            self.bytes + other.bytes,
            self.jsonl + other.jsonl,
            self.empty_jsonl + other.empty_jsonl,
            (self.digest + other.digest) % MODULUS,
        )

    def side(self) -> Side:
        """The figures as a report shows them."""
        return Side(self.objects, self.bytes, self.jsonl, self.empty_jsonl, f"{self.digest:064x}")

    def to_json(self) -> dict[str, Any]:
        """The figures; the digest as 64 hexadecimal digits."""
        content: dict[str, Any] = to_builtins(self.side())
        return content

    @staticmethod
    def from_json(content: object) -> "SideCount":
        """Read what `to_json` gave.

        Raises:
            ValueError: It is something else.
        """
        return SideCount.of(convert(Side, content))

    @staticmethod
    def of(side: Side) -> "SideCount":
        """The figures of a report, to be added to others."""
        return SideCount(side.objects, side.bytes, side.jsonl, side.empty_jsonl, int(side.digest, 16))


@dataclass(slots=True)
class DayCount:
    """A day, or what has none, while it is counted; `Day` is the result.

    Attributes:
        verdicts: Names by the verdict's value.
    """

    source: SideCount = field(default_factory=SideCount)
    destination: SideCount = field(default_factory=SideCount)
    verdicts: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "DayCount") -> "DayCount":
        return DayCount(
            self.source + other.source, self.destination + other.destination, self.verdicts + other.verdicts
        )

    def day(self, day: date | None) -> Day:
        """The figures as a report shows them."""
        return Day(
            day=day,
            source=self.source.side(),
            destination=self.destination.side(),
            verdicts={Verdict(name): count for name, count in sorted(self.verdicts.items())},
            verdict=self._state(),
        )

    def _state(self) -> DayState:
        if not self.verdicts.total():
            return DayState.ABSENT
        worst = (state for verdict, state in _WORST_FIRST if self.verdicts[verdict.value])
        return next(worst, DayState.EQUAL)

    def to_json(self) -> dict[str, Any]:
        """Both sides, and how many names have which verdict."""
        return {
            "source": self.source.to_json(),
            "destination": self.destination.to_json(),
            "verdicts": dict(sorted(self.verdicts.items())),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "DayCount":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        verdicts = convert(dict[Verdict, Count], content["verdicts"])
        source, destination = (SideCount.from_json(content[side]) for side in ("source", "destination"))
        return DayCount(
            source, destination, Counter({verdict.value: count for verdict, count in verdicts.items()})
        )


@dataclass(slots=True)
class DayCounts:
    """Everything that a verification counts. Memory grows with the number of days.

    Attributes:
        lag: How far the mirror is behind.
        days: By day; None for what has no day in its name.
        impossible_dates: Objects by eight digits that should be a date and are not.
        metadata_differences: Names by what differs in their metadata.
        held: Source objects under a hold or a retention time.
        late: Writes on the legacy path after the cutover.
    """

    lag: LagCounts = field(default_factory=lambda: LagCounts(""))
    days: defaultdict[date | None, DayCount] = field(default_factory=lambda: defaultdict(DayCount))
    impossible_dates: Counter[str] = field(default_factory=Counter)
    metadata_differences: Counter[str] = field(default_factory=Counter)
    held: int = 0
    late: LateWrites = field(default_factory=LateWrites)

    def add(self, findings: Iterable[DiffLine]) -> None:
        """Count names that are judged for good."""
        for finding in findings:
            if finding.verdict is not Verdict.EXCLUDED:
                self._add(finding)

    def _add(self, finding: DiffLine) -> None:
        relative, verdict, source, destination, differing = finding
        self.late.add(finding)
        there = source or destination
        what = classify(relative, there.size if there else 0)
        if what.impossible_date:
            self.impossible_dates[what.impossible_date] += 1
        day = self.days[what.day]
        day.verdicts[verdict.value] += 1
        digest = line_digest(relative, source) if source else 0
        if source is not None:
            day.source.add(source.size, digest, jsonl=what.critical)
            self.held += source.held
        if destination is not None:
            theirs = digest if verdict is Verdict.EQUAL else line_digest(relative, destination)
            day.destination.add(destination.size, theirs, jsonl=what.critical)
            if verdict is Verdict.EQUAL and source is not None:
                self.lag.add(source, destination)
        if verdict is Verdict.METADATA_DIFFERS:
            self.metadata_differences.update(difference.value for difference in differing)

    def total(self) -> DayCount:
        """All days and what has none."""
        return sum(self.days.values(), DayCount())

    def to_json(self) -> dict[str, Any]:
        """Everything, to be merged with others'."""
        return {
            "lag": self.lag.to_json(),
            "days": {day.isoformat(): self.days[day].to_json() for day in sorted(filter(None, self.days))},
            "undated": self.days[None].to_json(),
            "impossible_dates": dict(sorted(self.impossible_dates.items())),
            "metadata_differences": dict(sorted(self.metadata_differences.items())),
            "held": self.held,
            "late": self.late.to_json(),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "DayCounts":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: It is something else.
        """
        found = DayCounts(
            LagCounts.from_json(content["lag"]),
            impossible_dates=Counter(convert(dict[str, Count], content["impossible_dates"])),
            metadata_differences=Counter(convert(dict[str, Count], content["metadata_differences"])),
            held=convert(Count, content["held"]),
            late=LateWrites.from_json(content["late"]),
        )
        found.days[None] = DayCount.from_json(content["undated"])
        for day, count in content["days"].items():
            found.days[date.fromisoformat(day)] = DayCount.from_json(count)
        return found

    @staticmethod
    def merged(parts: Sequence["DayCounts"]) -> "DayCounts":
        """Those of several tasks together."""
        whole = DayCounts(
            LagCounts.merged(part.lag for part in parts), late=LateWrites.merged(part.late for part in parts)
        )
        for part in parts:
            for day, count in part.days.items():
                whole.days[day] += count
            whole.impossible_dates += part.impossible_dates
            whole.metadata_differences += part.metadata_differences
            whole.held += part.held
        return whole
