"""Places a chart's lines and stacked bars in a drawing 100 units wide and high; the axis ends at a round number. Pure.

A module of its own although only `tiles` imports it: it is geometry alone, and property tests try it with any numbers.
"""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["COLOURS", "Bar", "Drawing", "Series", "draw", "round_end"]

COLOURS = 8
"""Series of one chart with a colour of their own; the style sheet defines as many."""

GAP = 0.15
"""Part of a bar's place that stays empty."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn in one colour: bars stacked on the others', or a line. A step without a value has None."""

    values: tuple[float | None, ...]
    stacked: bool


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle."""

    x: float
    y: float
    width: float
    height: float
    colour: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """A whole drawing, and the axis's end.

    Attributes:
        paths: SVG paths of lines, with their colours.
        marks: Heights of the horizontal marks that lie within the axis.
    """

    end: float
    bars: tuple[Bar, ...]
    paths: tuple[tuple[str, int], ...]
    marks: tuple[float, ...]


def draw(series: Sequence[Series], marks: Sequence[float] = ()) -> Drawing:
    """Place series of the same length, in the order of their colours, and horizontal marks at the values `marks`."""
    steps = len(series[0].values) if series else 1
    stacks = [sum(one.values[step] or 0.0 for one in series if one.stacked) for step in range(steps)]
    heights = [value for one in series if not one.stacked for value in one.values if value is not None]
    end = round_end(max([*stacks, *heights, 0.0]))
    width, bars, paths = 100 / steps, list[Bar](), list[tuple[str, int]]()
    floors = [0.0] * steps
    for number, one in enumerate(series):
        colour = number % COLOURS
        if not one.stacked:
            paths.append((_path(one.values, width, end), colour))
            continue
        for step, value in enumerate(one.values):
            if value:
                height = 100 * value / end
                top = 100 - 100 * floors[step] / end - height
                left, across = (step + GAP / 2) * width, width * (1 - GAP)
                bars.append(Bar(_short(left), _short(top), _short(across), _short(height), colour))
                floors[step] += value
    within = tuple(_short(100 - 100 * at / end) for at in marks if at <= end)
    return Drawing(end, tuple(bars), tuple(paths), within)


def round_end(highest: float) -> float:
    """The least of 1, 2, 5, 10, 20 … and their tenths that is not below `highest`; 1 for zero."""
    if highest < sys.float_info.min:  # smaller numbers have no power of ten
        return 1.0
    size = 10.0 ** math.floor(math.log10(highest))
    return next(size * factor for factor in (1, 2, 5, 10, 20) if size * factor >= highest)


def _path(values: Sequence[float | None], width: float, end: float) -> str:
    """Moves to a value after a gap, and draws to a value after a value; one alone is a dot."""
    parts = []
    before: float | None = None
    for step, value in enumerate(values):
        if value is not None:
            at = f"{_short((step + 0.5) * width)} {_short(100 - 100 * value / end)}"
            parts.append(f"L{at}" if before is not None else f"M{at}h.01")
        before = value
    return "".join(parts)


def _short(number: float) -> float:
    return round(number, 2)
