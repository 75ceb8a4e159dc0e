"""What a person should know about the days that were compared, beside their being equal or not. Pure.

*Critical* is one thing only: a day with JSONL data at the source and less of it at the destination. It fails the
verification whatever else holds.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import date, timedelta
from enum import Enum
from statistics import median
from typing import Any

from backfill_job.late_writes import LateWrites
from backfill_job.tallies import DayTally, Tallies
from shared.partitions import gaps

__all__ = ["Level", "Remark", "remarks"]

NEIGHBOURS = 7
"""Days on either side that a day's count is held against."""

FAR = 5
"""A day with so many times as many objects as its neighbours' median, or as few, is far outside."""

WORTH_COMPARING = 20
"""Objects below which a median says nothing."""


class Level(Enum):
    """How much a remark weighs."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing worth knowing.

    Attributes:
        level: How much it weighs.
        kind: Which kind of thing.
        day: The day it is about, as an ISO date; None when it is about none or several.
        text: For people.
    """

    level: Level
    kind: str
    day: str | None
    text: str

    def to_json(self) -> dict[str, Any]:
        """The remark for a report."""
        return {**asdict(self), "level": self.level.value}


def remarks(tallies: Tallies, today: date) -> list[Remark]:
    """Look at all days.

    Args:
        tallies: What was counted.
        today: Days after this one are in the future; UTC, as the names of the exports are.

    Returns:
        Remarks, the weightiest first, in the order of the days.
    """
    days = {day: tallies.days[day] for day in sorted(filter(None, tallies.days))}
    found = [
        *_jsonl_missing(days, tallies.days.get(None, DayTally())),
        *_missing_days(days, today),
        *_odd_dates(days, tallies.impossible_dates, today),
        *_outliers(days, today),
        *_empty_jsonl(days, tallies.days.get(None, DayTally())),
        *_late_writes(tallies.late),
    ]
    order = list(Level)
    return sorted(found, key=lambda remark: order.index(remark.level))


def _jsonl_missing(days: Mapping[date, DayTally], undated: DayTally) -> Iterator[Remark]:
    for day, tally in (*days.items(), (None, undated)):
        ours, theirs = tally.source.jsonl, tally.destination.jsonl
        if theirs < ours:
            when = f"{day}" if day else "without a day"
            yield Remark(
                Level.CRITICAL,
                "jsonl_missing",
                day.isoformat() if day else None,
                f"{when}: {ours:,} JSONL files at the source, {theirs:,} at the destination",
            )


def _missing_days(days: Mapping[date, DayTally], today: date) -> Iterator[Remark]:
    with_data = [day for day, tally in days.items() if tally.source.jsonl and day <= today]
    for gap in gaps(with_data):
        stretch = f"{gap.first}" if gap.days == 1 else f"{gap.first} to {gap.last} ({gap.days:,} days)"
        yield Remark(
            Level.WARNING, "missing_day", gap.first.isoformat(), f"{stretch}: no JSONL data at the source"
        )


def _odd_dates(days: Mapping[date, DayTally], impossible: Mapping[str, int], today: date) -> Iterator[Remark]:
    for text, objects in sorted(impossible.items()):
        yield Remark(
            Level.WARNING, "impossible_date", None, f"{text}: no calendar has this day; {objects:,} objects"
        )
    for day, tally in days.items():
        # A day's difference: somewhere on earth it is tomorrow already.
        if day > today + timedelta(days=1):
            objects = max(tally.source.objects, tally.destination.objects)
            yield Remark(
                Level.WARNING, "future_date", day.isoformat(), f"{day}: in the future; {objects:,} objects"
            )


def _outliers(days: Mapping[date, DayTally], today: date) -> Iterator[Remark]:
    past = [(day, tally.source.objects) for day, tally in days.items() if day < today]
    for place, (day, objects) in enumerate(past):
        around = past[max(0, place - NEIGHBOURS) : place] + past[place + 1 : place + 1 + NEIGHBOURS]
        counts = [count for other, count in around if abs((other - day).days) <= NEIGHBOURS]
        usual = median(counts) if counts else 0
        if usual >= WORTH_COMPARING and not usual / FAR <= objects <= usual * FAR:
            text = f"{day}: {objects:,} objects at the source, where its neighbours have {usual:,.0f}"
            yield Remark(Level.WARNING, "outlier", day.isoformat(), text)


def _late_writes(late: LateWrites) -> Iterator[Remark]:
    if late.newest:
        names = ", ".join(map(repr, late.names[:3]))
        what = f"{late.objects:,} objects were" if late.objects else "something was"
        such = f", such as {names}" if names else ""
        text = (
            f"{what} written on the legacy path after the cutover of {late.since}, last at {late.newest}{such}: "
            "somebody has not switched. Find out who (the bucket's audit log), and give the cutover command again after"
        )
        yield Remark(Level.WARNING, "late_writes", None, text)


def _empty_jsonl(days: Mapping[date, DayTally], undated: DayTally) -> Iterator[Remark]:
    for day, tally in (*days.items(), (None, undated)):
        ours, theirs = tally.source.empty_jsonl, tally.destination.empty_jsonl
        if ours or theirs:
            when = f"{day}" if day else "without a day"
            text = f"{when}: {ours:,} empty JSONL files at the source, {theirs:,} at the destination"
            yield Remark(Level.NOTE, "empty_jsonl", day.isoformat() if day else None, text)
