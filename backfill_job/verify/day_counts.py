"""Counts both sides of every day while the diff streams by: objects, bytes, JSONL files, a digest for each side; and the mirror's lag.

The digest of a set of objects is the sum, modulo 2**256, of the SHA-256 of each object's line. The line is
``SIZE CRC32C NAME`` in UTF-8, one space between. The size is in decimal, and the checksum is as the API gives it (``-`` where it
gives none). The name is the one below the prefix. The digest does not depend on the order, so tasks add theirs up. A missing object, a
second one or another one changes it. It does not protect against an attacker who chooses names and contents so that two
sets look alike.

No figure includes the names that were left out on request (``--exclude``), or those of migrations' own objects. An object without a day in its name is undated.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Any

from msgspec import to_builtins

from backfill_job.copying.diff import DiffLine
from backfill_job.verify.late_writes import BroughtBack, LateWrites
from shared.json_io import Count, Number, convert
from shared.objects import ObjectState, is_later, parse_time
from shared.partitions import classify
from shared.verification import NO_OBJECTS, DayTotals, Lag, LagBucket, SideTotals, Verdict, digest_of

__all__ = ["DayCounts", "LagCounts", "line_digest", "side_of"]


def line_digest(relative: str, state: ObjectState) -> int:
    """What an object adds to its side's digest."""
    line = f"{state.size} {state.crc32c or '-'} {relative}"
    return int.from_bytes(sha256(line.encode()).digest(), "big")


_Part = tuple[list[tuple[int, int, bool]], list[tuple[int, int, bool]], Counter[Verdict]]
"""Of some objects of a day: the source's and the destination's for `side_of`, and the verdicts."""


def side_of(objects: Collection[tuple[int, int, bool]]) -> SideTotals:
    """One side of some objects: of each the size, the digest, and whether it is JSONL data."""
    jsonl = [size for size, _, critical in objects if critical]
    return SideTotals(
        len(objects),
        sum(size for size, _, _ in objects),
        len(jsonl),
        jsonl.count(0),
        digest_of(digest for _, digest, _ in objects),
    )


STEP = math.log(1.1)

SMALLEST = 0.001
"""Seconds; Cloud Storage's times have milliseconds."""

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0)
"""Upper bounds of the classes that a report shows, in seconds."""


@dataclass(slots=True)
class LagCounts:
    """How far the copies are behind their sources. Mergeable, and small for any number of objects.

    The lag of an object is its copy's creation minus its own, both by Cloud Storage's clock. It tells about the mirror only for
    objects written since the mirror runs, because the backfill copies objects of any age. So objects count from a moment on.

    Each lag falls into a class a tenth wide. A percentile is the upper bound of its class, so it is up to a tenth too large.
    Percentiles of parts do not add up, but classes do; so tasks hand these on, and `lag` makes the report of them.

    Attributes:
        since: The moment, as an RFC 3339 time; empty where no lag is wanted.
        negative: Objects whose copy is older than they are: contents that came back, or the same uploaded again.
        largest: Seconds.
    """

    since: str
    classes: Counter[int] = field(default_factory=Counter)
    negative: int = 0
    largest: float = 0.0

    def add(self, source: ObjectState, destination: ObjectState) -> None:
        """Count an object that is the same on both sides, if it is young enough and its times are readable."""
        if not is_later(source.created, self.since):
            return
        try:
            lag = (parse_time(destination.created) - parse_time(source.created)).total_seconds()
        except ValueError:
            return
        if lag < 0:
            self.negative += 1
            return
        self.largest = max(self.largest, lag)
        self.classes[math.ceil(math.log(max(lag, SMALLEST)) / STEP)] += 1

    @property
    def objects(self) -> int:
        """How many were counted."""
        return sum(self.classes.values())

    def percentile(self, percent: float) -> float:
        """The lag in seconds that this many percent of the objects do not exceed, up to a tenth too large; 0 without objects."""
        wanted = math.ceil(self.objects * percent / 100)
        seen = 0
        for number in sorted(self.classes):
            seen += self.classes[number]
            if seen >= wanted:
                return min(_upper(number), self.largest)
        return 0.0

    def lag(self) -> Lag:
        """What a report shows."""
        counts: Counter[float | None] = Counter()
        for number, objects in self.classes.items():
            upper = min(_upper(number), self.largest)
            counts[next((bound for bound in BUCKETS if upper <= bound), None)] += objects
        return Lag(
            since=parse_time(self.since),
            objects=self.objects,
            buckets=tuple(LagBucket(bound, counts[bound]) for bound in (*BUCKETS, None)),
            p50_s=round(self.percentile(50), 3),
            p90_s=round(self.percentile(90), 3),
            p99_s=round(self.percentile(99), 3),
            max_s=round(self.largest, 3),
            negative=self.negative,
        )

    def to_json(self) -> dict[str, Any]:
        """Everything, to be merged with others'."""
        classes = {str(number): objects for number, objects in sorted(self.classes.items())}
        return {"since": self.since, "classes": classes, "negative": self.negative, "largest": self.largest}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "LagCounts":
        """Read what `to_json` gave. Raises one of `OTHER_FORM` for something else."""
        classes = convert(dict[str, Count], content["classes"])
        return LagCounts(
            convert(str, content["since"]),
            Counter({int(number): objects for number, objects in classes.items()}),
            convert(Count, content["negative"]),
            convert(Number, content["largest"]),
        )

    @staticmethod
    def merged(parts: Sequence["LagCounts"]) -> "LagCounts":
        """Those of several tasks together, at least one, which counted from the same moment on."""
        return LagCounts(
            parts[0].since,
            sum((part.classes for part in parts), Counter()),
            sum(part.negative for part in parts),
            max(part.largest for part in parts),
        )


def _upper(number: int) -> float:
    return math.exp(number * STEP)


@dataclass(slots=True)
class DayCounts:
    """Everything that a verification counts. Memory grows with the number of days.

    Attributes:
        days: By day; None for what has no day in its name.
        impossible_dates: Objects by eight digits that should be a date and are not.
        metadata_differences: Names by what differs in their metadata.
        held: Source objects under a hold or a retention time.
    """

    lag: LagCounts = field(default_factory=lambda: LagCounts(""))
    days: dict[date | None, DayTotals] = field(default_factory=dict)
    impossible_dates: Counter[str] = field(default_factory=Counter)
    metadata_differences: Counter[str] = field(default_factory=Counter)
    held: int = 0
    late: LateWrites = field(default_factory=LateWrites)
    back: BroughtBack = field(default_factory=BroughtBack)

    def add(self, findings: Iterable[DiffLine]) -> None:
        """Count names that are judged for good."""
        parts: defaultdict[date | None, _Part] = defaultdict(lambda: ([], [], Counter()))
        for finding in findings:
            if finding.verdict is not Verdict.EXCLUDED:
                self._add(finding, parts)
        for day, (source, destination, verdicts) in parts.items():
            self.add_day(DayTotals.of(day, side_of(source), side_of(destination), verdicts))

    def _add(self, finding: DiffLine, parts: Mapping[date | None, _Part]) -> None:
        relative, verdict, source, destination, differing = finding
        self.late.add(finding)
        self.back.add(finding)
        there = source or destination
        what = classify(relative, there.size if there else 0)
        if what.impossible_date:
            self.impossible_dates[what.impossible_date] += 1
        ours, theirs, verdicts = parts[what.day]
        verdicts[verdict] += 1
        digest = line_digest(relative, source) if source else 0
        if source is not None:
            ours.append((source.size, digest, what.critical))
            self.held += source.held
        if destination is not None:
            their_digest = digest if verdict is Verdict.EQUAL else line_digest(relative, destination)
            theirs.append((destination.size, their_digest, what.critical))
            if verdict is Verdict.EQUAL and source is not None:
                self.lag.add(source, destination)
        if verdict is Verdict.METADATA_DIFFERS:
            self.metadata_differences.update(difference.value for difference in differing)

    def add_day(self, part: DayTotals) -> None:
        """Count a part of a day."""
        self.days[part.day] = self.day(part.day) + part

    def day(self, day: date | None) -> DayTotals:
        """What was counted of a day, or of what has none."""
        return self.days.get(day) or DayTotals.of(day, NO_OBJECTS, NO_OBJECTS, {})

    def dated(self) -> list[DayTotals]:
        """The days with objects, in order."""
        return [self.days[day] for day in sorted(filter(None, self.days))]

    def total(self) -> DayTotals:
        """All days and what has none."""
        return sum(self.days.values(), DayTotals.of(None, NO_OBJECTS, NO_OBJECTS, {}))

    def to_json(self) -> dict[str, Any]:
        """Everything, to be merged with others'."""
        return {
            "lag": self.lag.to_json(),
            "days": {str(day.day): _part_json(day) for day in self.dated()},
            "undated": _part_json(self.day(None)),
            "impossible_dates": dict(sorted(self.impossible_dates.items())),
            "metadata_differences": dict(sorted(self.metadata_differences.items())),
            "held": self.held,
            "late": to_builtins(self.late),
            "back": to_builtins(self.back),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "DayCounts":
        """Read what `to_json` gave. Raises one of `OTHER_FORM` for something else."""
        found = DayCounts(
            LagCounts.from_json(content["lag"]),
            impossible_dates=Counter(convert(dict[str, Count], content["impossible_dates"])),
            metadata_differences=Counter(convert(dict[str, Count], content["metadata_differences"])),
            held=convert(Count, content["held"]),
            late=convert(LateWrites, content["late"]),
            back=convert(BroughtBack, content["back"]),
        )
        found.add_day(_part(None, content["undated"]))
        for day, part in content["days"].items():
            found.add_day(_part(date.fromisoformat(day), part))
        return found

    @staticmethod
    def merged(parts: Sequence["DayCounts"]) -> "DayCounts":
        """Those of several tasks together."""
        whole = DayCounts(
            LagCounts.merged([part.lag for part in parts]),
            late=LateWrites.merged(part.late for part in parts),
            back=BroughtBack.merged(part.back for part in parts),
        )
        for part in parts:
            for day in part.days.values():
                whole.add_day(day)
            whole.impossible_dates += part.impossible_dates
            whole.metadata_differences += part.metadata_differences
            whole.held += part.held
        return whole


def _part_json(day: DayTotals) -> dict[str, Any]:
    """Both sides, and how many names have which verdict: what another task cannot work out."""
    content = to_builtins(day)
    return {key: content[key] for key in ("source", "destination", "verdicts")}


def _part(day: date | None, content: Mapping[str, Any]) -> DayTotals:
    source, destination = (convert(SideTotals, content[side]) for side in ("source", "destination"))
    return DayTotals.of(day, source, destination, convert(dict[Verdict, Count], content["verdicts"]))
