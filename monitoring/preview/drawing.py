"""A chart's lines and stacked bars as places in a drawing 100 units wide and high, the axis's end at a round number. Pure."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Bar", "Drawing", "Series", "draw", "round_end"]

COLOURS = 8
"""Series of one chart that have a colour of their own; the style sheet defines as many."""

GAP = 0.15
"""Of a bar's place."""


@dataclass(frozen=True, slots=True)
class Series:
    """What is drawn in one colour.

    Attributes:
        values: One a step; None where there is nothing to say.
        stacked: A bar on top of the others', not a line.
    """

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
    """All of it.

    Attributes:
        end: The axis's end.
        bars: The bars.
        paths: SVG paths of lines, with their colours.
        marks: Heights of horizontal marks that are within the axis.
    """

    end: float
    bars: tuple[Bar, ...]
    paths: tuple[tuple[str, int], ...]
    marks: tuple[float, ...]


def draw(series: Sequence[Series], marks: Sequence[float] = ()) -> Drawing:
    """Place series; each has as many values as the others.

    Args:
        series: In the order of their colours.
        marks: Values of horizontal marks.
    """
    steps = len(series[0].values) if series else 1
    stacks = [sum(one.values[step] or 0.0 for one in series if one.stacked) for step in range(steps)]
    lines = [value for one in series if not one.stacked for value in one.values if value is not None]
    end = round_end(max([*stacks, *lines, 0.0]))
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
                bars.append(
                    Bar(
                        _short((step + GAP / 2) * width),
                        _short(top),
                        _short(width * (1 - GAP)),
                        _short(height),
                        colour,
                    )
                )
                floors[step] += value
    return Drawing(
        end, tuple(bars), tuple(paths), tuple(_short(100 - 100 * at / end) for at in marks if at <= end)
    )


def round_end(highest: float) -> float:
    """The next of 1, 2, 5, 10, 20 … that is no less; 1 where there is nothing to speak of."""
    if highest < sys.float_info.min:  # of less there is no power of ten
        return 1.0
    size = 10.0 ** math.floor(math.log10(highest))
    return next(size * factor for factor in (1, 2, 5, 10, 20) if size * factor >= highest)


def _path(values: Sequence[float | None], width: float, end: float) -> str:
    """Moves to a value after nothing, and draws to one after a value; one alone is a dot."""
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
