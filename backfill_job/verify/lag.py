"""How far the copies are behind their sources, from the two objects' own times. Mergeable, and small for any number of objects.

The lag of an object is its copy's creation minus its own, both by Cloud Storage's clock. It tells about the mirror only for
objects written since the mirror runs, because the backfill copies objects of any age. So objects count from a moment on.

Each lag falls into a class a tenth wide. A percentile is the upper bound of its class, so it is up to a tenth too large.
Percentiles of parts do not add up, but classes do; so tasks hand these on, and `LagCounts.lag` makes the report of them.

This is a module of its own, although only `day_counts` imports it: percentiles of a histogram have nothing to do with days.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.json_io import Count, Number, convert
from shared.objects import ObjectState, is_later, parse_time
from shared.verification import Lag, LagBucket

__all__ = ["LagCounts"]

STEP = math.log(1.1)

SMALLEST = 0.001
"""Seconds; Cloud Storage's times have milliseconds."""

BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0, 3_600.0)
"""Upper bounds of the classes that a report shows, in seconds."""


@dataclass(slots=True)
class LagCounts:
    """Lags of the objects that were written since some moment.

    Attributes:
        since: The moment, as an RFC 3339 time; empty where no lag is wanted.
        classes: Objects by class.
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
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
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
