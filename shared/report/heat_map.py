"""The calendar heat map: days as cells, laid out by year, month, week and weekday. Pure.

Weeks start on Monday; a month's rows are the weekdays and its columns its weeks, so that months wrap onto the next line
on a narrow screen and nothing has to be scrolled sideways. Equal days are shaded by how many objects they hold, in
four steps at the quartiles; every other state has a colour and a letter of its own.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from shared.report.figures import byte_count, counted
from shared.report.names import visible
from shared.report.wording import STATE_LETTERS, STATE_WORDS, VERDICT_WORDS
from shared.verification import Day, DayState, Remark, Side, Verdict

__all__ = ["Cell", "HeatMap", "Month", "Shade", "Year", "heat_map"]

SHADES = 4
MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@dataclass(frozen=True, slots=True)
class Cell:
    """One day.

    Attributes:
        day: Which; also the cell's anchor.
        look: CSS classes: its state, its shade, whether somebody remarked on it.
        letter: What stands in it; empty for equal and absent days.
        lines: All there is to say: for the tooltip, the keyboard and screen readers.
    """

    day: date
    look: str
    letter: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Month:
    """One month; `rows` has seven rows, Monday first, with a place a week, None for other months' days."""

    name: str
    short: str
    rows: tuple[tuple[Cell | None, ...], ...]


@dataclass(frozen=True, slots=True)
class Year:
    """One year that has objects, or a stretch of years in between that have none.

    Attributes:
        number: Which.
        summary: Its days by state, in words.
        months: January to December, None before the first day and after the last; empty for a stretch.
    """

    number: str
    summary: str
    months: tuple[Month | None, ...]


@dataclass(frozen=True, slots=True)
class Shade:
    """A step of the legend: equal days with this many objects."""

    look: str
    text: str


@dataclass(frozen=True, slots=True)
class HeatMap:
    """All of it.

    Attributes:
        years: In order.
        shades: The steps that occur.
        states: Days by state.
    """

    years: tuple[Year, ...]
    shades: tuple[Shade, ...]
    states: Mapping[DayState, int]


def heat_map(days: Sequence[Day], remarks: Sequence[Remark]) -> HeatMap:
    """Lay out the days.

    Args:
        days: Consecutive days.
        remarks: What was remarked on some of them.

    Returns:
        The heat map.
    """
    sizes = sorted(day.source.objects for day in days if day.verdict is DayState.EQUAL)
    bounds = _quartiles(sizes)
    remarked: dict[date, list[str]] = {}
    for remark in remarks:
        if remark.day is not None:
            remarked.setdefault(remark.day, []).append(remark.text)
    years: dict[int, list[Day]] = {}
    for day in days:
        if day.day is not None:
            years.setdefault(day.day.year, []).append(day)
    return HeatMap(
        tuple(_years(years, bounds, remarked)),
        _shades(sizes, bounds),
        Counter(day.verdict for day in days),
    )


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
    years: Mapping[int, list[Day]], bounds: Sequence[int], remarked: Mapping[date, list[str]]
) -> list[Year]:
    laid_out: list[Year] = []
    empty: list[int] = []
    for number, days in years.items():
        if all(day.verdict is DayState.ABSENT for day in days) and not any(
            day.day in remarked for day in days
        ):
            empty.append(number)
            continue
        laid_out += _stretch(empty)
        empty = []
        laid_out.append(Year(str(number), _summary(days), _months(days, bounds, remarked)))
    return laid_out + _stretch(empty)


def _stretch(empty: Sequence[int]) -> list[Year]:
    """Years without any object as one line: a mistyped date must not open centuries of empty cells."""
    if not empty:
        return []
    number = str(empty[0]) if len(empty) == 1 else f"{empty[0]}–{empty[-1]}"  # noqa: RUF001 -- a range
    return [Year(number, "no objects on either side", ())]


def _summary(days: Sequence[Day]) -> str:
    states = Counter(day.verdict for day in days)
    parts = [f"{states[state]:,} {STATE_WORDS[state]}" for state in DayState if states[state]]
    return f"{counted(len(days), 'day')}: {', '.join(parts)}"


def _months(
    days: Sequence[Day], bounds: Sequence[int], remarked: Mapping[date, list[str]]
) -> tuple[Month | None, ...]:
    months: dict[int, list[Cell]] = {}
    for day in days:
        if day.day is not None:
            months.setdefault(day.day.month, []).append(
                _cell(day, day.day, bounds, remarked.get(day.day, []))
            )
    return tuple(_month(months[number]) if number in months else None for number in range(1, 13))


def _month(cells: Sequence[Cell]) -> Month:
    first = cells[0].day.replace(day=1)
    rows: list[list[Cell | None]] = [[None] * (_week(cells[-1].day, first) + 1) for _ in WEEKDAYS]
    for cell in cells:
        rows[cell.day.weekday()][_week(cell.day, first)] = cell
    name = MONTHS[first.month - 1]
    return Month(f"{name} {first.year}", name[:3], tuple(map(tuple, rows)))


def _week(day: date, first: date) -> int:
    """Which of its month's columns a day is in."""
    return (day.day - 1 + first.weekday()) // len(WEEKDAYS)


def _cell(day: Day, when: date, bounds: Sequence[int], remarks: Sequence[str]) -> Cell:
    looks = [day.verdict.value.replace("_", "-")]
    if day.verdict is DayState.EQUAL:
        step = next(number for number, bound in enumerate(bounds) if day.source.objects <= bound)
        looks.append(_shade(step, bounds))
    if remarks:
        looks.append("remarked")
    title = f"{WEEKDAYS[when.weekday()]} {when.day} {MONTHS[when.month - 1]} {when.year}"
    lines = [f"{title}: {STATE_WORDS[day.verdict]}", *_sides(day), *map(visible, remarks)]
    return Cell(when, " ".join(looks), STATE_LETTERS[day.verdict], tuple(lines))


def _sides(day: Day) -> list[str]:
    if day.verdict is DayState.ABSENT:
        return ["No objects on either side"]
    one, other = _side(day.source), _side(day.destination)
    if day.verdict is DayState.EQUAL:
        # What the second look settled may have changed between the two listings.
        both = one if one == other else f"{one} at the source, {other} at the destination"
        return [f"{both} on both sides" if one == other else both, *_excluded(day)]
    counts = [
        f"{number:,} {VERDICT_WORDS[verdict]}"
        for verdict in Verdict
        if (number := day.verdicts.get(verdict, 0))
    ]
    return [f"Source: {one}", f"Destination: {other}", ", ".join(counts)]


def _excluded(day: Day) -> list[str]:
    number = day.verdicts.get(Verdict.EXCLUDED, 0)
    return [f"{number:,} excluded"] if number else []


def _side(side: Side) -> str:
    return f"{counted(side.objects, 'object')}, {byte_count(side.bytes)}"
