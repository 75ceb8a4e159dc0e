"""Both sides of every day, counted while the diff streams by: objects, bytes, JSONL files, and a digest for each side.

The digest of a set of objects is the sum, modulo 2**256, of the SHA-256 of each object's line, which is
``SIZE CRC32C NAME`` in UTF-8: the size in decimal, the checksum as the API gives it (``-`` where it gives none), the name
below the prefix, one space between. It does not depend on the order, so tasks add theirs up; and no object can be missing,
twice, or another one without changing it, but by an accident that does not happen. It is no defence against somebody who
may choose names and contents at will in order to make two sets look alike.

Names that were left out on request (``--exclude``) are in no figure. What has no day in its name counts as undated.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from typing import Any

from backfill_job.lag import Lag
from backfill_job.late_writes import LateWrites
from backfill_job.verdict import Finding, Verdict
from shared.objects import ObjectState
from shared.partitions import classify

__all__ = ["DayTally", "SideTally", "Tallies", "line_digest"]

MODULUS = 2**256


def line_digest(relative: str, state: ObjectState) -> int:
    """What an object adds to its side's digest."""
    line = f"{state.size} {state.crc32c or '-'} {relative}"
    return int.from_bytes(sha256(line.encode()).digest(), "big")


@dataclass(slots=True)
class SideTally:
    """One side of a day.

    Attributes:
        objects: How many.
        bytes: Their sizes together.
        jsonl: How many of them are JSONL data.
        empty_jsonl: How many of those are empty.
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

    def __add__(self, other: "SideTally") -> "SideTally":
        return SideTally(
            self.objects + other.objects,
            self.bytes + other.bytes,
            self.jsonl + other.jsonl,
            self.empty_jsonl + other.empty_jsonl,
            (self.digest + other.digest) % MODULUS,
        )

    def to_json(self) -> dict[str, Any]:
        """The figures; the digest as 64 hexadecimal digits."""
        return {
            "objects": self.objects,
            "bytes": self.bytes,
            "jsonl": self.jsonl,
            "empty_jsonl": self.empty_jsonl,
            "digest": f"{self.digest:064x}",
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "SideTally":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        objects, size, jsonl, empty = (
            int(content[name]) for name in ("objects", "bytes", "jsonl", "empty_jsonl")
        )
        return SideTally(objects, size, jsonl, empty, int(content["digest"], 16))


@dataclass(slots=True)
class DayTally:
    """A day, or what has none."""

    source: SideTally = field(default_factory=SideTally)
    destination: SideTally = field(default_factory=SideTally)
    verdicts: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "DayTally") -> "DayTally":
        return DayTally(
            self.source + other.source, self.destination + other.destination, self.verdicts + other.verdicts
        )

    def to_json(self) -> dict[str, Any]:
        """Both sides, and how many names have which verdict."""
        return {
            "source": self.source.to_json(),
            "destination": self.destination.to_json(),
            "verdicts": dict(sorted(self.verdicts.items())),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "DayTally":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        verdicts = Counter({Verdict(name).value: int(count) for name, count in content["verdicts"].items()})
        source, destination = (SideTally.from_json(content[side]) for side in ("source", "destination"))
        return DayTally(source, destination, verdicts)


@dataclass(slots=True)
class Tallies:
    """Everything that a verification counts. Memory grows with the number of days.

    Attributes:
        lag: How far the mirror is behind.
        days: By day; None for what has no day in its name.
        impossible_dates: Objects by eight digits that should be a date and are none.
        metadata_differences: Names by what differs in their metadata.
        held: Source objects under a hold or a retention time.
        late: Writes on the legacy path after the cutover.
    """

    lag: Lag
    days: defaultdict[date | None, DayTally] = field(default_factory=lambda: defaultdict(DayTally))
    impossible_dates: Counter[str] = field(default_factory=Counter)
    metadata_differences: Counter[str] = field(default_factory=Counter)
    held: int = 0
    late: LateWrites = field(default_factory=LateWrites)

    def add(self, findings: Iterable[Finding]) -> None:
        """Count names that are judged for good."""
        for finding in findings:
            if finding.verdict is not Verdict.EXCLUDED:
                self._add(finding)

    def _add(self, finding: Finding) -> None:
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

    def total(self) -> DayTally:
        """All days and what has none."""
        return sum(self.days.values(), DayTally())

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
    def from_json(content: Mapping[str, Any]) -> "Tallies":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError, AttributeError: It is something else.
        """
        found = Tallies(
            Lag.from_json(content["lag"]),
            impossible_dates=Counter(content["impossible_dates"]),
            metadata_differences=Counter(content["metadata_differences"]),
            held=int(content["held"]),
            late=LateWrites.from_json(content["late"]),
        )
        found.days[None] = DayTally.from_json(content["undated"])
        for day, tally in content["days"].items():
            found.days[date.fromisoformat(day)] = DayTally.from_json(tally)
        return found

    @staticmethod
    def merged(parts: Sequence["Tallies"]) -> "Tallies":
        """Those of several tasks together."""
        whole = Tallies(
            Lag.merged(part.lag for part in parts), late=LateWrites.merged(part.late for part in parts)
        )
        for part in parts:
            for day, tally in part.days.items():
                whole.days[day] += tally
            whole.impossible_dates += part.impossible_dates
            whole.metadata_differences += part.metadata_differences
            whole.held += part.held
        return whole
