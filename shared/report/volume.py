"""Volume per month: both sides added up by month, and laid out as one panel of bars a year. Pure.

Panels share their scale, so that years can be compared. Places are percentages across and pixels down: text keeps its size
whatever the width of the screen.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date

from shared.report.figures import byte_count, count
from shared.report.wording import STATE_WORDS
from shared.verification import Day, DayState

__all__ = ["Bar", "Month", "Panel", "Scale", "Volume", "volume"]

HEIGHT = 110
"""Pixels of the tallest bar's place."""

SLOT = 100 / 12
"""Percent of a panel's width for a month."""

BAR = 3.0
"""Percent of a panel's width for a bar."""

CHARACTER = 7
"""Pixels across of a character of an axis, at most."""

UNEQUAL = (DayState.DIFFERING, DayState.MISSING, DayState.IN_FLIGHT)

LETTERS = "JFMAMJJASOND"


@dataclass(frozen=True, slots=True)
class Month:
    """One month's totals.

    Attributes:
        first: Its first day.
        source_objects: At the source.
        source_bytes: Of those.
        destination_objects: At the destination.
        destination_bytes: Of those.
        unequal: Days that are not equal, by state in words; empty when all are.
    """

    first: date
    source_objects: int
    source_bytes: int
    destination_objects: int
    destination_bytes: int
    unequal: str

    @property
    def name(self) -> str:
        """``2024-01``."""
        return self.first.isoformat()[:7]

    @property
    def agrees(self) -> bool:
        """Whether both sides have as much, and every day is equal."""
        return (
            not self.unequal
            and self.source_objects == self.destination_objects
            and self.source_bytes == self.destination_bytes
        )


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        side: ``source`` or ``destination``.
        x: Percent from the left.
        y: Pixels from the top.
        height: Pixels.
        text: What it stands for.
    """

    side: str
    x: float
    y: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A year of one measure.

    Attributes:
        year: Which.
        label: The year's totals in words.
        bars: Two a month that has any.
        letters: The months' letters and where they stand, in percent.
        marks: Where a month does not agree, in percent.
    """

    year: int
    label: str
    bars: tuple[Bar, ...]
    letters: tuple[tuple[str, float], ...]
    marks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """One measure.

    Attributes:
        name: ``objects`` or ``bytes``.
        ticks: The lines' texts and places, in pixels from the top.
        axis: Pixels across for those texts.
        panels: A year each.
    """

    name: str
    ticks: tuple[tuple[str, float], ...]
    axis: int
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    """Both measures, and the months they are made of."""

    months: tuple[Month, ...]
    scales: tuple[Scale, ...]
    height: int = HEIGHT


def volume(days: Sequence[Day]) -> Volume:
    """Add up days by month and lay them out. Months without an object on either side are left out."""
    by_month: dict[date, list[Day]] = {}
    for day in days:
        if day.day is not None and day.verdict is not DayState.ABSENT:
            by_month.setdefault(day.day.replace(day=1), []).append(day)
    months = tuple(_month(first, by_month[first]) for first in sorted(by_month))
    return Volume(
        months,
        (
            _scale(
                "objects",
                [_Pair(month, month.source_objects, month.destination_objects) for month in months],
                count,
                _round_tick,
            ),
            _scale(
                "bytes",
                [_Pair(month, month.source_bytes, month.destination_bytes) for month in months],
                byte_count,
                _binary_tick,
            ),
        ),
    )


@dataclass(frozen=True, slots=True)
class _Pair:
    """One month's two figures of one measure."""

    month: Month
    source: int
    destination: int


def _month(first: date, days: Sequence[Day]) -> Month:
    states = Counter(day.verdict for day in days)
    return Month(
        first,
        sum(day.source.objects for day in days),
        sum(day.source.bytes for day in days),
        sum(day.destination.objects for day in days),
        sum(day.destination.bytes for day in days),
        ", ".join(f"{states[state]:,} {STATE_WORDS[state]}" for state in UNEQUAL if states[state]),
    )


def _scale(
    name: str, pairs: Sequence[_Pair], text: Callable[[int], str], tick: Callable[[int], int]
) -> Scale:
    highest = max((max(pair.source, pair.destination) for pair in pairs), default=0)
    step = tick(highest)
    top = step * max(1, -(-highest // step))
    years: dict[int, list[_Pair]] = {}
    for pair in pairs:
        years.setdefault(pair.month.first.year, []).append(pair)
    ticks = tuple((text(value), HEIGHT - HEIGHT * value / top) for value in range(step, top + 1, step))
    return Scale(
        name,
        ticks,
        CHARACTER * max(len(words) for words, _ in ticks),
        tuple(_panel(year, of_year, top, text) for year, of_year in years.items()),
    )


def _panel(year: int, pairs: Sequence[_Pair], top: int, text: Callable[[int], str]) -> Panel:
    bars = []
    for pair in pairs:
        for number, (side, value) in enumerate((("source", pair.source), ("destination", pair.destination))):
            height = HEIGHT * value / top
            # A single object among millions is still there.
            height = max(height, 1.0) if value else 0.0
            x = (pair.month.first.month - 1) * SLOT + SLOT / 2 - BAR + number * BAR
            bars.append(
                Bar(
                    side,
                    round(x, 2),
                    round(HEIGHT - height, 1),
                    round(height, 1),
                    f"{pair.month.name}, {side}: {text(value)}",
                )
            )
    source, destination = sum(pair.source for pair in pairs), sum(pair.destination for pair in pairs)
    return Panel(
        year,
        f"{text(source)} on both sides" if source == destination else f"{text(source)} / {text(destination)}",
        tuple(bars),
        tuple((letter, round((number + 0.5) * SLOT, 2)) for number, letter in enumerate(LETTERS)),
        tuple(round((pair.month.first.month - 0.5) * SLOT, 2) for pair in pairs if not pair.month.agrees),
    )


def _round_tick(highest: int) -> int:
    """A step of 1, 2 or 5 times a power of ten that cuts the height in at most five."""
    power = 1
    while highest > 5 * 5 * power:
        power *= 10
    return next(step for step in (power, 2 * power, 5 * power) if highest <= 5 * step)


def _binary_tick(highest: int) -> int:
    """The same in units of 1,024."""
    unit = 1
    while highest >= 1_024 * unit:
        unit *= 1_024
    return _round_tick(-(-highest // unit)) * unit
