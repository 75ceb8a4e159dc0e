"""The days after the cutover, as the record has them: green, red, not proven, or missing. Pure.

After the cutover, a verification of all names records how it found the parts of its day. They are: verified equal, mirror alive, no late
writer, no foreign reader, consumer loaded. Each part is green, red, not known, or not applicable. A day is a calendar day in UTC, by Cloud
Storage's time at which the comparison began::

    ==========  ==========================================================================
    a day is    when
    ==========  ==========================================================================
    red         a part was red in one of its verifications; mended the same day, it stays red
    green       in one of its verifications every part was green or not applicable
    not proven  it has verifications, and is neither
    missing     it has none
    ==========  ==========================================================================

Days in a row end today, or yesterday while today has no verification. Each day that is not green ends a row. The day of the cutover counts
only where it is whole. What began before the cutover never counts: the order of the history says so, without a clock.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum

from shared.phase import Phase
from shared.state import DayPart, EntryKind, Light, State
from shared.text import counted

__all__ = [
    "EQUAL",
    "GREEN_DAYS",
    "KEY",
    "GreenDays",
    "SoakDay",
    "Square",
    "day_of",
    "green_days",
    "judged_before",
    "parts_before",
    "square_of",
]

EQUAL = "verified equal"
"""The part that is always applicable."""

GREEN_DAYS = 7
"""Green days in a row that the deletion asks for, unless a person says another number."""

SHOWN = 14
"""Days of a row on a screen and on the page."""


class Square(Enum):
    """How a day stands; the value is the word for people."""

    GREEN = "green"
    RED = "red"
    NOT_PROVEN = "not proven"
    MISSING = "missing"


LETTERS = {Square.GREEN: "G", Square.RED: "R", Square.NOT_PROVEN: "?", Square.MISSING: "."}

KEY = ", ".join(f"{letter} {square.value}" for square, letter in LETTERS.items())


@dataclass(frozen=True, slots=True)
class SoakDay:
    """One day after the cutover, with the parts of the verification that decided it; none where it is missing."""

    day: date
    square: Square
    parts: tuple[DayPart, ...] = ()

    @property
    def why(self) -> str:
        """What is not green, in words; empty for a green day."""
        wanted = {Square.RED: Light.RED, Square.NOT_PROVEN: Light.NOT_KNOWN}.get(self.square)
        return "; ".join(f"{part.name}: {part.evidence}" for part in self.parts if part.light is wanted)


@dataclass(frozen=True, slots=True)
class GreenDays:
    """The days from the first whole one after the cutover up to today, or up to yesterday while today has no verification."""

    days: tuple[SoakDay, ...] = ()

    @property
    def in_a_row(self) -> int:
        """How many green days there are at the end, without another day between."""
        return next(
            (number for number, each in enumerate(reversed(self.days)) if each.square is not Square.GREEN),
            len(self.days),
        )

    @property
    def shown(self) -> tuple[SoakDay, ...]:
        """The last of them, for people."""
        return self.days[-SHOWN:]

    @property
    def letters(self) -> str:
        """The days as letters, oldest first, such as ``GGRG.G``; `KEY` explains them."""
        return "".join(LETTERS[each.square] for each in self.shown)

    @property
    def said(self) -> str:
        """``2 green days in a row (2026-11-20 to 2026-11-28: GGRG.GG)``."""
        row = f"{counted(self.in_a_row, 'green day')} in a row"
        if not self.days:
            return f"{row}: no whole day since the cutover"
        return f"{row} ({self.shown[0].day} to {self.days[-1].day}: {self.letters})"


def green_days(state: State, now: datetime) -> GreenDays:
    """The days of a migration that was cut over; none where it was not.

    Args:
        now: The present time by Cloud Storage's clock, aware. After a deletion began, its beginning counts instead, because
            no day is recorded from then on.
    """
    number = state.cutover_entry
    if number is None:
        return GreenDays()
    began = next(
        (entry.at for entry in state.history[number:] if entry.phase in {Phase.DELETING, Phase.DELETED}), now
    )
    today, found = day_of(min(began, now)), dict[date, list[tuple[DayPart, ...]]]()
    for at, parts in _judged(state):
        found.setdefault(day_of(at), []).append(parts)
    first = _first_whole_day(state.history[number].at)
    last = today if today in found else today - timedelta(days=1)
    days = (first + timedelta(days=step) for step in range((last - first).days + 1))
    return GreenDays(tuple(_of_day(day, found.get(day, [])) for day in days))


def judged_before(state: State, day: date) -> datetime | None:
    """When the newest verification of an earlier day began that recorded its day, since the cutover; None without one."""
    return max((at for at, _ in _judged(state) if day_of(at) < day), default=None)


def parts_before(state: State, day: date) -> frozenset[str]:
    """The names of the parts that were applicable on an earlier day since the cutover: their evidence may not just be absent."""
    return frozenset(
        part.name
        for at, parts in _judged(state)
        for part in parts
        if day_of(at) < day and part.light is not Light.NOT_APPLICABLE
    )


def square_of(parts: tuple[DayPart, ...]) -> Square:
    """How a day with one verification stands."""
    lights = {part.light for part in parts}
    if Light.RED in lights:
        return Square.RED
    equal = any(part.name == EQUAL and part.light is Light.GREEN for part in parts)
    return Square.GREEN if equal and lights <= {Light.GREEN, Light.NOT_APPLICABLE} else Square.NOT_PROVEN


def _judged(state: State) -> Iterator[tuple[datetime, tuple[DayPart, ...]]]:
    """The verifications that began and ended since the cutover, and before a deletion: when each began, and its parts."""
    number = state.cutover_entry
    history = () if number is None else state.history[number + 1 :]
    begun = {entry.change for entry in history if entry.kind is EntryKind.COMPARING}
    for entry in history:
        found = entry.comparison
        if entry.day and found is not None and found.begun in begun and entry.phase is Phase.CUT_OVER:
            yield found.began, entry.day


def _of_day(day: date, verifications: list[tuple[DayPart, ...]]) -> SoakDay:
    """The red verification decides, or else the green one, or else the last."""
    if not verifications:
        return SoakDay(day, Square.MISSING)
    squares = [square_of(parts) for parts in verifications]
    for square in (Square.RED, Square.GREEN):
        if square in squares:
            return SoakDay(day, square, verifications[squares.index(square)])
    return SoakDay(day, squares[-1], verifications[-1])


def _first_whole_day(cutover: datetime) -> date:
    at = cutover.astimezone(UTC)
    return at.date() if at.time() == time() else at.date() + timedelta(days=1)


def day_of(moment: datetime) -> date:
    """The calendar day of an aware moment, in UTC."""
    return moment.astimezone(UTC).date()
