"""Where everything is in the pages' drawings: the calendar heat map, the volume per month, the mirror's lag, the week's hours. Pure.

- *Heat map*: days as cells, by year, month, week and weekday. Weeks start on Monday. A month's rows are the weekdays and its
  columns its weeks, so months wrap on a narrow screen. Equal days are shaded by their number of objects, in four steps at the
  quartiles. Every other state has its own colour and letter.
- *Volume*: both sides' totals by month, one panel of bars a year. Panels share their scale, so years can be compared.
- *Hours*: the hours of a week, a row a weekday, shaded as in the heat map.
- *Lag*: a histogram with its percentiles marked. All bars are equally wide, because the buckets' bounds are about logarithmic.
  A percentile's mark is within its bucket where the logarithm says.

Places are percentages across and pixels down, so text keeps its size on a screen of any width.

Apart from `page` because it is arithmetic with tests of its own.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from operator import attrgetter
from typing import TypeVar

from shared.report.figures import byte_count, count, counted, seconds, seconds_short
from shared.report.wording import STATE_LETTERS, STATE_WORDS, VERDICT_WORDS, visible
from shared.verification import DayState, DayTotals, Lag, LagBucket, Remark, SideTotals, Verdict

__all__ = [
    "HOURS",
    "WEEKDAYS",
    "Cell",
    "HeatMap",
    "HourMap",
    "LagChart",
    "Volume",
    "heat_map",
    "hour_map",
    "lag_chart",
    "volume",
]

SHADES = 4
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = 24

Key = TypeVar("Key")
Value = TypeVar("Value")


def _grouped(pairs: Iterable[tuple[Key, Value]]) -> dict[Key, list[Value]]:
    """The values of each key, in their order."""
    groups: dict[Key, list[Value]] = {}
    for key, value in pairs:
        groups.setdefault(key, []).append(value)
    return groups


def _dated(days: Iterable[DayTotals]) -> list[tuple[date, DayTotals]]:
    return [(day.day, day) for day in days if day.day is not None]


def _tally(numbers: Mapping[Key, int], words: Mapping[Key, str], of: Iterable[Key]) -> str:
    """``3 equal, 1 missing``: what there is at least one of."""
    return ", ".join(f"{numbers[key]:,} {words[key]}" for key in of if numbers.get(key))


@dataclass(frozen=True, slots=True)
class Cell:
    """One day.

    Attributes:
        look: CSS classes: its state, its shade, whether it has a remark.
        letter: Empty for equal and absent days.
        lines: The whole text for the tooltip, the keyboard and screen readers.
    """

    day: date
    look: str
    letter: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CalendarMonth:
    """One month; `rows` has seven rows, Monday first, with a place a week, None for other months' days."""

    name: str
    short: str
    rows: tuple[tuple[Cell | None, ...], ...]


@dataclass(frozen=True, slots=True)
class CalendarYear:
    """One year that has objects, or a stretch of years in between without objects.

    The months are January to December, None where there is nothing to draw. A year that stands alone has only what is
    drawn. A stretch has none.
    """

    number: str
    summary: str
    months: tuple[CalendarMonth | None, ...]


@dataclass(frozen=True, slots=True)
class Shade:
    """A step of the legend: equal days with this many objects."""

    look: str
    text: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """The whole heat map, with the steps that occur and the number of days by state."""

    years: tuple[CalendarYear, ...]
    shades: tuple[Shade, ...]
    states: Mapping[DayState, int]


def heat_map(days: Sequence[DayTotals], remarks: Sequence[Remark]) -> HeatMap:
    """Lay out consecutive days."""
    sizes = sorted(day.source.objects for day in days if day.verdict is DayState.EQUAL)
    bounds = _quartiles(sizes)
    remarked = _grouped((remark.day, remark.text) for remark in remarks if remark.day is not None)
    years = _grouped((when.year, (when, day)) for when, day in _dated(days))
    states = Counter(day.verdict for day in days)
    drawn = (*_years(years, bounds, remarked),)
    if sum(bool(year.months) for year in drawn) == 1:  # no other year to stand under
        drawn = tuple(replace(year, months=tuple(filter(None, year.months))) for year in drawn)
    return HeatMap(drawn, _shades(sizes, bounds), states)


def _quartiles(sizes: Sequence[int]) -> tuple[int, ...]:
    """The upper bounds of the shades, rising."""
    if not sizes:
        return ()
    return tuple(sorted({sizes[(len(sizes) - 1) * step // SHADES] for step in range(1, SHADES + 1)}))


def _shades(sizes: Sequence[int], bounds: Sequence[int]) -> tuple[Shade, ...]:
    shades, lowest = [], sizes[0] if sizes else 0
    for number, bound in enumerate(bounds):
        text = f"{lowest:,}" if lowest == bound else f"{lowest:,}–{bound:,}"  # noqa: RUF001 -- a range
        shades.append(Shade(f"equal {_shade(number, bounds)}", text))
        lowest = bound + 1
    return tuple(shades)


def _shade(number: int, bounds: Sequence[int]) -> str:
    """The class of a step: the last is always the darkest."""
    return f"s{SHADES - len(bounds) + number + 1}"


def _years(
    years: Mapping[int, list[tuple[date, DayTotals]]],
    bounds: Sequence[int],
    remarked: Mapping[date, list[str]],
) -> Iterator[CalendarYear]:
    empty: list[int] = []
    for number, days in years.items():
        if all(day.verdict is DayState.ABSENT and when not in remarked for when, day in days):
            empty.append(number)
            continue
        yield from _stretch(empty)
        empty = []
        states = Counter(day.verdict for _, day in days)
        summary = f"{counted(len(days), 'day')}: {_tally(states, STATE_WORDS, DayState)}"
        shown = {when.month for when, day in days if day.verdict is not DayState.ABSENT or when in remarked}
        months = _grouped(
            (when.month, _cell(day, when, bounds, remarked.get(when, [])))
            for when, day in days
            if when.month in shown
        )
        laid_out = (_calendar_month(months[month]) if month in months else None for month in range(1, 13))
        yield CalendarYear(str(number), summary, tuple(laid_out))
    yield from _stretch(empty)


def _stretch(empty: Sequence[int]) -> list[CalendarYear]:
    """Years without any object as one line: a mistyped date must not make centuries of empty cells."""
    if not empty:
        return []
    number = str(empty[0]) if len(empty) == 1 else f"{empty[0]}–{empty[-1]}"  # noqa: RUF001 -- a range
    return [CalendarYear(number, "no objects on either side", ())]


def _calendar_month(cells: Sequence[Cell]) -> CalendarMonth:
    first = cells[0].day.replace(day=1)
    rows: list[list[Cell | None]] = [[None] * (_week(cells[-1].day, first) + 1) for _ in WEEKDAYS]
    for cell in cells:
        rows[cell.day.weekday()][_week(cell.day, first)] = cell
    name = MONTHS[first.month - 1]
    return CalendarMonth(f"{name} {first.year}", name[:3], tuple(map(tuple, rows)))


def _week(day: date, first: date) -> int:
    """The column of a day in its month."""
    return (day.day - 1 + first.weekday()) // len(WEEKDAYS)


def _cell(day: DayTotals, when: date, bounds: Sequence[int], remarks: Sequence[str]) -> Cell:
    looks = [day.verdict.value.replace("_", "-")]
    if day.verdict is DayState.EQUAL:
        step = next(number for number, bound in enumerate(bounds) if day.source.objects <= bound)
        looks.append(_shade(step, bounds))
    if remarks:
        looks.append("remarked")
    title = f"{WEEKDAYS[when.weekday()]} {when.day} {MONTHS[when.month - 1]} {when.year}"
    lines = [f"{title}: {STATE_WORDS[day.verdict]}", *_sides(day), *map(visible, remarks)]
    return Cell(when, " ".join(looks), STATE_LETTERS[day.verdict], tuple(lines))


def _sides(day: DayTotals) -> list[str]:
    if day.verdict is DayState.ABSENT:
        return ["No objects on either side"]
    one, other = _side(day.source), _side(day.destination)
    if day.verdict is DayState.EQUAL:
        # What the second look settled may have changed between the two listings.
        both = f"{one} on both sides" if one == other else f"{one} at the source, {other} at the destination"
        return [both, *filter(None, [_tally(day.verdicts, VERDICT_WORDS, [Verdict.EXCLUDED])])]
    return [f"Source: {one}", f"Destination: {other}", _tally(day.verdicts, VERDICT_WORDS, Verdict)]


@dataclass(frozen=True, slots=True)
class HourMap:
    """The hours of a week; `rows` has a weekday with the look and the text of each of its hours."""

    rows: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
    shades: tuple[Shade, ...]


def hour_map(counts: Sequence[int]) -> HourMap:
    """Lay out counts by hour of the week, from Monday, 00:00 UTC. Hours without any have no shade."""
    sizes = sorted(filter(None, counts))
    bounds = _quartiles(sizes)

    def cell(number: int) -> tuple[str, str]:
        there, hour = counts[number], number % HOURS
        look = next((_shade(step, bounds) for step, bound in enumerate(bounds) if there <= bound), "")
        said = f"{WEEKDAYS[number // HOURS]}, {hour:02}:00 to {(hour + 1) % HOURS:02}:00 UTC: {counted(there, 'write')}"
        return f"equal {look}" if there else "absent", said

    rows = (
        (name[:3], tuple(map(cell, range(day * HOURS, (day + 1) * HOURS))))
        for day, name in enumerate(WEEKDAYS)
    )
    return HourMap(tuple(rows), _shades(sizes, bounds))


def _side(side: SideTotals) -> str:
    return f"{counted(side.objects, 'object')}, {byte_count(side.bytes)}"


VOLUME_HEIGHT, LAG_HEIGHT = 110, 150
"""Pixels of the tallest bar's place."""
BAR, WIDEST = 0.36, 12.0
"""A bar's part of a month's place, and the percent of a panel that it has at most."""
CHARACTER = 7
"""Pixels across of a character of an axis, at most."""
LAG_GAP = 0.12
"""The part of a bucket's width that stays free."""
UNEQUAL = (DayState.DIFFERING, DayState.MISSING, DayState.IN_FLIGHT)
LETTERS = "JFMAMJJASOND"


@dataclass(frozen=True, slots=True)
class MonthVolume:
    """One month's totals; `unequal` has the days that are not equal, by state in words, and is empty when all are."""

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
        source = self.source_objects, self.source_bytes
        return not self.unequal and source == (self.destination_objects, self.destination_bytes)


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar, of the side ``source`` or ``destination``; the text says what it stands for."""

    side: str
    x: float
    y: float
    height: float
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A year of one measure; `marks` has the places of the months that do not agree."""

    year: int
    label: str
    bars: tuple[Bar, ...]
    letters: tuple[tuple[str, float], ...]
    marks: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Scale:
    """One measure, ``objects`` or ``bytes``, with a panel a year; `axis` is pixels across for the texts of its lines."""

    name: str
    ticks: tuple[tuple[str, float], ...]
    axis: int
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Volume:
    """Both measures, the months they are made of, and the percent of a panel that a bar is wide."""

    months: tuple[MonthVolume, ...]
    scales: tuple[Scale, ...]
    bar: float
    height: int = VOLUME_HEIGHT


def volume(days: Sequence[DayTotals]) -> Volume:
    """Add up days by month and lay them out. Months without an object on either side are left out."""
    by_month = _grouped(
        (when.replace(day=1), day) for when, day in _dated(days) if day.verdict is not DayState.ABSENT
    )
    months = tuple(_month_volume(first, by_month[first]) for first in sorted(by_month))
    scales = (
        _scale("objects", months, count, _round_tick),
        _scale("bytes", months, byte_count, _binary_tick),
    )
    return Volume(months, scales, round(0.9 * _Slots.of(months).bar, 2))


def _month_volume(first: date, days: Sequence[DayTotals]) -> MonthVolume:
    return MonthVolume(
        first,
        sum(day.source.objects for day in days),
        sum(day.source.bytes for day in days),
        sum(day.destination.objects for day in days),
        sum(day.destination.bytes for day in days),
        _tally(Counter(day.verdict for day in days), STATE_WORDS, UNEQUAL),
    )


def _scale(
    name: str, months: Sequence[MonthVolume], text: Callable[[int], str], tick: Callable[[int], int]
) -> Scale:
    both = attrgetter(f"source_{name}", f"destination_{name}")
    highest = max((max(both(month)) for month in months), default=0)
    step = tick(highest)
    top = step * max(1, -(-highest // step))
    ticks = tuple(
        (text(value), VOLUME_HEIGHT - VOLUME_HEIGHT * value / top) for value in range(step, top + 1, step)
    )
    years = _grouped((month.first.year, (month, both(month))) for month in months)
    slots = _Slots.of(months)
    panels = tuple(_panel(year, figures, top, text, slots) for year, figures in years.items())
    return Scale(name, ticks, CHARACTER * max(len(words) for words, _ in ticks), panels)


@dataclass(frozen=True, slots=True)
class _Slots:
    """The places of months, from the first month of any year that has objects to the last; `width` is in percent of a panel."""

    first: int
    width: float

    @staticmethod
    def of(months: Sequence[MonthVolume]) -> "_Slots":
        numbers = [month.first.month for month in months] or [1]
        return _Slots(min(numbers), 100 / (max(numbers) - min(numbers) + 1))

    @property
    def bar(self) -> float:
        return min(BAR * self.width, WIDEST)

    def middle(self, month: date) -> float:
        return (month.month - self.first + 0.5) * self.width


def _panel(
    year: int,
    figures: Sequence[tuple[MonthVolume, tuple[int, int]]],
    top: int,
    text: Callable[[int], str],
    slots: _Slots,
) -> Panel:
    """The panel of months, each with its figure at the source and at the destination."""
    bars = []
    for month, values in figures:
        for number, (side, value) in enumerate(zip(("source", "destination"), values, strict=True)):
            height = _height(VOLUME_HEIGHT, value, top)
            x = round(slots.middle(month.first) + (number - 1) * slots.bar, 2)
            words = f"{month.name}, {side}: {text(value)}"
            bars.append(Bar(side, x, round(VOLUME_HEIGHT - height, 1), height, words))
    source, destination = (sum(values[side] for _, values in figures) for side in (0, 1))
    return Panel(
        year,
        f"{text(source)} on both sides" if source == destination else f"{text(source)} / {text(destination)}",
        tuple(bars),
        tuple((LETTERS[month.first.month - 1], round(slots.middle(month.first), 2)) for month, _ in figures),
        tuple(round(slots.middle(month.first), 2) for month, _ in figures if not month.agrees),
    )


def _height(full: int, value: int, top: int) -> float:
    """The height of a bar, to a tenth: its top follows from that, so no bar floats. A single object among millions is still there."""
    return round(max(full * value / top, 1.0), 1) if value else 0.0


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


@dataclass(frozen=True, slots=True)
class LagBar:
    """One bucket; `bound` is the axis's text at its right end, empty for the last one, where the axis ends."""

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
    """One percentile, such as ``p50``, and its lag as text.

    Attributes:
        row: The row of its text above the bars, so that texts do not cover each other.
        at_end: Its text ends at the mark instead of beginning there.
    """

    name: str
    text: str
    x: float
    row: int
    at_end: bool


@dataclass(frozen=True, slots=True)
class LagChart:
    """The whole histogram."""

    bars: tuple[LagBar, ...]
    marks: tuple[LagMark, ...]
    height: int = LAG_HEIGHT


def lag_chart(lag: Lag) -> LagChart:
    """Lay out the distribution."""
    total = sum(bucket.objects for bucket in lag.buckets)
    highest = max((bucket.objects for bucket in lag.buckets), default=0)
    width = 100 / max(1, len(lag.buckets))
    bars, lower = [], 0.0
    for number, bucket in enumerate(lag.buckets):
        height = _height(LAG_HEIGHT, bucket.objects, highest)
        upper, is_last = bucket.up_to_s, number == len(lag.buckets) - 1
        bars.append(
            LagBar(
                x=round(number * width + width * LAG_GAP / 2, 2),
                width=round(width * (1 - LAG_GAP), 2),
                y=round(LAG_HEIGHT - height, 1),
                height=height,
                bound="" if upper is None or is_last else seconds_short(upper),
                bound_x=round((number + 1) * width, 2),
                range=_range(lower, upper),
                objects=bucket.objects,
                share=_share(bucket.objects, total),
            )
        )
        lower = lower if upper is None else upper
    marks = []
    for row, (name, value) in enumerate((("p50", lag.p50_s), ("p90", lag.p90_s), ("p99", lag.p99_s))):
        if value is not None:
            place = _place(value, lag.buckets, lag.max_s)
            marks.append(LagMark(name, seconds(value), place, row, at_end=place > 60))  # noqa: PLR2004 -- percent
    return LagChart(tuple(bars), tuple(marks))


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
    """The place of a lag."""
    width, lower = 100 / max(1, len(buckets)), 0.0
    for number, bucket in enumerate(buckets):
        upper = bucket.up_to_s if bucket.up_to_s is not None else max(longest or 0.0, value, lower)
        if value <= upper:
            return round((number + _within(value, lower, upper)) * width, 2)
        lower = upper
    return 100.0


def _within(value: float, lower: float, upper: float) -> float:
    """The place of a lag between its bucket's bounds, from 0 to 1."""
    if value <= lower or upper <= lower:
        return 0.0
    if lower <= 0:
        return value / upper
    return (math.log(value) - math.log(lower)) / (math.log(upper) - math.log(lower))
