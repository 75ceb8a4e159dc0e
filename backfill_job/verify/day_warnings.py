"""What a person should know about the compared days, beside whether they are equal; and the lines of it on a screen. Pure.

Only one thing here is *critical*: a day with JSONL data at the source and less of it at the destination. It fails the
verification whatever else holds.

The module is not called ``warnings``, because that name would hide the standard library's. It is a module
of its own because its rules are tested without a command.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from statistics import median

from backfill_job.verify.day_counts import DayCounts
from backfill_job.verify.late_writes import LateWrites
from shared.partitions import gaps
from shared.phase import Phase
from shared.text import counted
from shared.verification import DayTotals, Level, Remark, Verdict

__all__ = ["day_warnings", "remark_lines"]

NEIGHBOURS = 7
"""Days on either side that a day's count is compared with."""

FAR = 5
"""A day with this many times more objects than its neighbours' median, or this many times fewer, is far outside."""

WORTH_COMPARING = 20
"""Objects below which a median says nothing."""


MAX_SHOWN = 3
"""Warnings and notes on a screen, beside everything critical."""


def remark_lines(remarks: Sequence[Remark]) -> list[str]:
    """What a screen shows of remarks: what is critical first, and then a few of the others."""
    critical = [each for each in remarks if each.level is Level.CRITICAL]
    others = [each for each in remarks if each.level is not Level.CRITICAL]
    lines = [f"  {each.level.value}: {each.text}" for each in (*critical, *others[:MAX_SHOWN])]
    more = len(others) - MAX_SHOWN
    return [*lines, f"  ... and {counted(more, 'more remark')}; the report has them"] if more > 0 else lines


def day_warnings(counts: DayCounts, today: date, phase: Phase = Phase.CUT_OVER) -> list[Remark]:
    """Look at all days.

    Args:
        today: Days after this one are in the future; UTC, as the names of the exports are.
        phase: What to do about a late write depends on it.

    Returns:
        Remarks, the most serious first, in the order of the days.
    """
    days = {day: counts.days[day] for day in sorted(filter(None, counts.days))}
    everything = [*days.values(), counts.day(None)]
    found = [
        *_jsonl_missing(everything),
        *_missing_days(days, today),
        *_odd_dates(days, counts.impossible_dates, today),
        *_outliers(days, today),
        *_empty_jsonl(everything),
        *_late_writes(counts.late, phase),
    ]
    order = list(Level)
    return sorted(found, key=lambda remark: order.index(remark.level))


def _jsonl_missing(everything: Iterable[DayTotals]) -> Iterator[Remark]:
    for count in everything:
        ours, theirs = count.source.jsonl, count.destination.jsonl
        if theirs + count.verdicts.get(Verdict.ERASED, 0) < ours:
            when = f"{count.day or 'without a day'}"
            yield Remark(
                Level.CRITICAL,
                "jsonl_missing",
                count.day,
                f"{when}: {counted(ours, 'JSONL file')} at the source, {theirs:,} at the destination",
            )


def _missing_days(days: Mapping[date, DayTotals], today: date) -> Iterator[Remark]:
    with_data = [day for day, count in days.items() if count.source.jsonl and day <= today]
    for gap in gaps(with_data):
        stretch = (
            f"{gap.first}" if gap.days == 1 else f"{gap.first} to {gap.last} ({counted(gap.days, 'day')})"
        )
        yield Remark(Level.WARNING, "missing_day", gap.first, f"{stretch}: no JSONL data at the source")


def _odd_dates(
    days: Mapping[date, DayTotals], impossible: Mapping[str, int], today: date
) -> Iterator[Remark]:
    for text, objects in sorted(impossible.items()):
        yield Remark(
            Level.WARNING,
            "impossible_date",
            None,
            f"{text}: no calendar has this day; {counted(objects, 'object')}",
        )
    for day, count in days.items():
        # A day's difference: somewhere on earth it is tomorrow already.
        if day > today + timedelta(days=1):
            objects = max(count.source.objects, count.destination.objects)
            yield Remark(
                Level.WARNING, "future_date", day, f"{day}: in the future; {counted(objects, 'object')}"
            )


def _outliers(days: Mapping[date, DayTotals], today: date) -> Iterator[Remark]:
    past = [(day, count.source.objects) for day, count in days.items() if day < today]
    for place, (day, objects) in enumerate(past):
        around = past[max(0, place - NEIGHBOURS) : place] + past[place + 1 : place + 1 + NEIGHBOURS]
        counts = [count for other, count in around if abs((other - day).days) <= NEIGHBOURS]
        usual = median(counts) if counts else 0
        if usual >= WORTH_COMPARING and not usual / FAR <= objects <= usual * FAR:
            text = (
                f"{day}: {counted(objects, 'object')} at the source, where its neighbours have {usual:,.0f}"
            )
            yield Remark(Level.WARNING, "outlier", day, text)


def _late_writes(late: LateWrites, phase: Phase) -> Iterator[Remark]:
    if late.newest:
        names = ", ".join(map(repr, late.names[:3]))
        verb = "was" if late.objects == 1 else "were"
        what = f"{counted(late.objects, 'object')} {verb}" if late.objects else "something was"
        such = f", such as {names}" if names else ""
        text = (
            f"{what} written on the legacy path after the cutover of {late.since}, last at {late.newest}{such}: "
            f"somebody has not switched{_or_an_undo(phase)}"
        )
        yield Remark(Level.WARNING, "late_writes", None, text)


def _or_an_undo(phase: Phase) -> str:
    who = "Find out who (the bucket's audit log)"
    if phase is Phase.CUT_OVER:
        return f". {who}, then run the cutover command again"
    return f", or an undo restored what was there. {who}; the new path decides, and `delete` shows what is left to delete"


def _empty_jsonl(everything: Iterable[DayTotals]) -> Iterator[Remark]:
    for count in everything:
        ours, theirs = count.source.empty_jsonl, count.destination.empty_jsonl
        if ours or theirs:
            when = f"{count.day or 'without a day'}"
            text = f"{when}: {ours:,} empty JSONL files at the source, {theirs:,} at the destination"
            yield Remark(Level.NOTE, "empty_jsonl", count.day, text)
