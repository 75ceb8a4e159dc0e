"""The mirror's lag as a histogram with its percentiles marked. Pure.

Bars are as wide as each other whatever their buckets' bounds, which are about logarithmic; a percentile's mark stands within
its bucket where the logarithm says. Places as in `shared.report.volume`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from shared.report.figures import seconds, seconds_short
from shared.verification import Lag, LagBucket

__all__ = ["LagBar", "LagChart", "LagMark", "lag_chart"]

HEIGHT = 150
"""Pixels of the tallest bar's place."""

GAP = 0.12
"""Of a bucket's width."""


@dataclass(frozen=True, slots=True)
class LagBar:
    """One bucket.

    Attributes:
        x: Percent from the left.
        width: Percent.
        y: Pixels from the top.
        height: Pixels.
        bound: The axis's text at its right end; empty for the last one, where the axis ends.
        bound_x: Where that stands, in percent.
        range: Its bounds in words.
        objects: In it.
        share: Of all, in words.
    """

    x: float
    width: float
    y: float
    height: float
    bound: str
    bound_x: float
    range: str
    objects: int
    share: str


@dataclass(frozen=True, slots=True)
class LagMark:
    """One percentile.

    Attributes:
        name: ``p50``.
        text: Its lag.
        x: Percent from the left.
        row: Which of the rows above the bars its text stands in, so that texts do not cover each other.
        at_end: Its text ends at the mark instead of beginning there.
    """

    name: str
    text: str
    x: float
    row: int
    at_end: bool


@dataclass(frozen=True, slots=True)
class LagChart:
    """All of it."""

    bars: tuple[LagBar, ...]
    marks: tuple[LagMark, ...]
    height: int = HEIGHT


def lag_chart(lag: Lag) -> LagChart:
    """Lay out the distribution."""
    total = sum(bucket.objects for bucket in lag.buckets)
    highest = max((bucket.objects for bucket in lag.buckets), default=0)
    width = 100 / max(1, len(lag.buckets))
    bars, lower = [], 0.0
    for number, bucket in enumerate(lag.buckets):
        height = max(HEIGHT * bucket.objects / highest, 1.0) if bucket.objects else 0.0
        bars.append(
            LagBar(
                x=round(number * width + width * GAP / 2, 2),
                width=round(width * (1 - GAP), 2),
                y=round(HEIGHT - height, 1),
                height=round(height, 1),
                bound=""
                if bucket.up_to_s is None or number == len(lag.buckets) - 1
                else seconds_short(bucket.up_to_s),
                bound_x=round((number + 1) * width, 2),
                range=_range(lower, bucket.up_to_s),
                objects=bucket.objects,
                share=_share(bucket.objects, total),
            )
        )
        lower = bucket.up_to_s if bucket.up_to_s is not None else lower
    named = (("p50", lag.p50_s), ("p90", lag.p90_s), ("p99", lag.p99_s))
    marks = tuple(
        LagMark(name, seconds(value), place, row, at_end=place > 60)  # noqa: PLR2004 -- percent
        for row, (name, value) in enumerate(named)
        if value is not None
        for place in [_place(value, lag.buckets, lag.max_s)]
    )
    return LagChart(tuple(bars), marks)


def _range(lower: float, upper: float | None) -> str:
    if upper is None:
        return f"over {seconds(lower)}" if lower else "any"
    return f"{seconds(lower)} to {seconds(upper)}" if lower else f"up to {seconds(upper)}"


def _share(objects: int, total: int) -> str:
    if not objects:
        return "0 %"
    percent = 100 * objects / total
    if percent >= 99.95 and objects < total:  # noqa: PLR2004 -- would be rounded to all of them
        return "over 99.9 %"
    return f"{percent:.1f} %" if percent >= 0.1 else "under 0.1 %"  # noqa: PLR2004 -- would be rounded to nothing


def _place(value: float, buckets: Sequence[LagBucket], longest: float | None) -> float:
    """Where a lag stands, in percent from the left."""
    width = 100 / max(1, len(buckets))
    lower = 0.0
    for number, bucket in enumerate(buckets):
        upper = bucket.up_to_s if bucket.up_to_s is not None else max(longest or 0.0, value, lower)
        if value <= upper:
            return round((number + _within(value, lower, upper)) * width, 2)
        lower = upper
    return 100.0


def _within(value: float, lower: float, upper: float) -> float:
    """Where a lag stands between its bucket's bounds, from 0 to 1."""
    if value <= lower or upper <= lower:
        return 0.0
    if lower <= 0:
        return value / upper
    return (math.log(value) - math.log(lower)) / (math.log(upper) - math.log(lower))
