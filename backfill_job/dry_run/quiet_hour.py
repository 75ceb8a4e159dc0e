"""The quietest hours of the week for the copy, from the times at which the listed objects were written. Pure.

A listing has paid for them. Each object tells only of its last write, so a name that is written again and again counts once. Only
the last `DAYS` whole days count: each hour of the week is in them equally often, and an older rhythm may be another one. All hours
are UTC, as on every screen; the consumer's hours come from its own file, in its own time zone.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, timedelta
from math import ceil
from typing import Any

from backfill_job.consumer import Consumer
from shared.report.charts import HOURS, WEEKDAYS
from shared.text import counted

__all__ = ["DAYS", "FEWEST_DAYS", "FEWEST_WRITES", "QuietHour", "Writes", "consumer_hours", "quietest"]

WEEK = len(WEEKDAYS) * HOURS
DAYS = 8 * len(WEEKDAYS)
"""Days that count: eight of each weekday."""

FEWEST_DAYS, FEWEST_WRITES = 14, WEEK
"""From fewer days, or fewer writes, nothing is said about the hours."""

EVENLY = 840
"""Every number of weeks up to eight divides it, so that the writes of an hour are compared without rounding."""


@dataclass(slots=True)
class Writes:
    """Writes by hour of the week. Memory does not grow with them.

    Attributes:
        today: The first day that does not count; UTC.
        counts: From Monday, 00:00 UTC.
        first: The first day with a write that counts, as in an object's time; empty without one.
    """

    today: date
    counts: list[int] = field(default_factory=lambda: [0] * WEEK)
    first: str = ""
    _weekdays: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        days = [self.today - timedelta(days=number) for number in range(DAYS, 0, -1)]
        self._weekdays = {day.isoformat(): day.weekday() for day in days}

    def add(self, created: str) -> None:
        """Count a write by its RFC 3339 time in UTC, as Cloud Storage gives it."""
        day = created[:10]
        weekday = self._weekdays.get(day)
        if weekday is not None:
            self.counts[weekday * HOURS + int(created[11:13])] += 1
            self.first = min(self.first or day, day)

    @property
    def days(self) -> int:
        """Days from the first write to yesterday."""
        return (self.today - date.fromisoformat(self.first)).days if self.first else 0

    @property
    def enough(self) -> bool:
        """Whether there is enough to say something about the hours."""
        return self.days >= FEWEST_DAYS and sum(self.counts) >= FEWEST_WRITES

    @property
    def rates(self) -> tuple[int, ...]:
        """Writes to expect in each hour of the week, times `EVENLY`; from at least a week."""
        first = date.fromisoformat(self.first)
        seen = [(first + timedelta(days=number)).weekday() for number in range(self.days)]
        weeks = [seen.count(weekday) for weekday in range(len(WEEKDAYS))]
        return tuple(count * EVENLY // weeks[hour // HOURS] for hour, count in enumerate(self.counts))

    def to_json(self) -> dict[str, Any]:
        """The table, for ``plan.json``."""
        days = [self.counts[first : first + HOURS] for first in range(0, WEEK, HOURS)]
        by_weekday = dict(zip(WEEKDAYS, days, strict=True))
        return {"days": self.days, "writes": sum(self.counts), "by_hour_utc": by_weekday}


def quietest(rates: Sequence[int], hours: int, but: Collection[int] = ()) -> int | None:
    """The first hour of the window with the fewest writes; of several, the earliest in the week, which begins again after its end.

    Args:
        rates: Of each hour of the week.
        hours: How long the window is.
        but: Hours that must not be in it.

    Returns:
        None where each window has such an hour.
    """
    windows = ([(start + hour) % WEEK for hour in range(hours)] for start in range(WEEK))
    free = [window for window in windows if not set(window) & set(but)]
    return min(free, key=lambda window: sum(rates[hour] for hour in window))[0] if free else None


def consumer_hours(consumer: Consumer, today: date) -> frozenset[int]:
    """The hours of the week in which the consumer's run is under way, in UTC, as they are in the week from today."""
    hours = set()
    for number in range(len(WEEKDAYS)):
        began, ended = consumer.run_on(today + timedelta(days=number))
        at = began.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        while at < ended:
            hours.add(at.weekday() * HOURS + at.hour)
            at += timedelta(hours=1)
    return frozenset(hours)


@dataclass(frozen=True, slots=True)
class QuietHour:
    """What a dry run says about the hours.

    Attributes:
        seconds: How long the copy takes, as estimated.
        consumer: Whose run the copy should not meet; None where that is not known.
    """

    writes: Writes
    seconds: float
    consumer: Consumer | None = None

    @property
    def lines(self) -> tuple[str, ...]:
        """One line, and a second one where the quietest hours meet the consumer's run."""
        writes = self.writes
        total, days = sum(writes.counts), counted(writes.days, "day")
        if not writes.enough:
            wanted = f"wants {FEWEST_WRITES} on {FEWEST_DAYS} whole days"
            return (f"Quietest hours: not known from {counted(total, 'write')} on {days}; {wanted}",)
        rates, hours = writes.rates, min(WEEK, max(1, ceil(self.seconds / 3_600)))
        start = quietest(rates, hours) or 0
        said = f"Quietest: {_window(start, hours)} UTC, {_expected(rates, start, hours)} (of {total:,} in {days})"
        if self.consumer is None or self.consumer.not_loaded:
            return (said,)
        busy = consumer_hours(self.consumer, writes.today)
        if not busy & {(start + hour) % WEEK for hour in range(hours)}:
            return (said,)
        beside = quietest(rates, hours, busy)
        if beside is None:
            return said, "  MEETS the consumer's run, as every window so long does"
        other = f"{_window(beside, hours)}, {_expected(rates, beside, hours)}"
        return said, f"  MEETS the consumer's run; beside it {other}"


def _window(start: int, hours: int) -> str:
    """``Sun 03:00 to 05:00``; from a day on, with both weekdays."""
    end = (start + hours) % WEEK
    first, last = (f"{WEEKDAYS[hour // HOURS][:3]} {hour % HOURS:02}:00" for hour in (start, end))
    return f"{first} to {last if hours >= HOURS else last[4:]}"


def _expected(rates: Sequence[int], start: int, hours: int) -> str:
    writes = sum(rates[(start + hour) % WEEK] for hour in range(hours))
    return f"about {counted(round(writes / EVENLY), 'write')}" if writes >= EVENLY else "under 1 write"
