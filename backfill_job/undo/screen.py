"""What an operator reads of an undo: what can be brought back and until when, what was brought back, and what comes next.

It is a module of its own because it is pure, so that tests read it without storage.
"""

from collections import Counter
from datetime import date

from rich.table import Table
from rich.text import Text

from backfill_job.deletion.phases import GOES_ON_IN
from backfill_job.dry_run.screen import figures_table
from backfill_job.run.failures import next_step
from backfill_job.run.phase_change import PhaseAfter
from backfill_job.undo.options import RestoreWay
from backfill_job.undo.restore import RestorePlan, UndoOutcome, UndoResult
from shared.migration import Migration
from shared.objects import parse_time
from shared.text import byte_count, counted, minute_text, shown

__all__ = ["day_lines", "end_lines", "phase_meaning", "plan_table", "verdict"]

MAX_DAYS = 31
"""Days that are shown one by one."""

MAX_SHOWN = 20
"""Objects that cannot be brought back, or were not."""

_WAYS = (
    (RestoreWay.SOFT_DELETE, "can be restored from soft delete"),
    (RestoreWay.NEW_PATH, "can be copied back from the new path"),
    (RestoreWay.THERE, "is there, unchanged"),
    (RestoreWay.ERASED, "was erased at the new path since; --include-erased brings it back"),
    (RestoreWay.OCCUPIED, "ANOTHER object is there; it is never overwritten"),
    (RestoreWay.LOST, "LOST: neither soft delete nor the new path has it"),
)


_IN_SHORT = {
    RestoreWay.SOFT_DELETE: "in soft delete",
    RestoreWay.NEW_PATH: "at the new path",
    RestoreWay.THERE: "there",
    RestoreWay.ERASED: "erased since",
    RestoreWay.OCCUPIED: "OCCUPIED",
    RestoreWay.LOST: "LOST",
}

_ONLY_WHERE_SOME = frozenset({RestoreWay.ERASED, RestoreWay.OCCUPIED, RestoreWay.LOST, RestoreWay.THERE})


def plan_table(plan: RestorePlan) -> Table:
    """Lay out what can be done."""
    table = figures_table("of the manifest's objects", "objects", "bytes")
    for way, words in _WAYS:
        if not plan.counts.by_outcome[way] and way in _ONLY_WHERE_SOME:
            continue
        table.add_row(Text(words), f"{plan.counts.by_outcome[way]:,}", byte_count(plan.sizes[way]))
    table.add_row(Text("(the new path has the same)"), f"{plan.same_at_new_path:,}", "")
    return table


def day_lines(plan: RestorePlan) -> list[str]:
    """What can be done about each day's objects; the last days, where there are many."""
    days = sorted(plan.days, key=lambda day: day or date.min)
    lines = [_day_line(day, plan.days[day], plan.until.get(day, "")) for day in days[-MAX_DAYS:]]
    more = len(days) - len(lines)
    return [f"  … {counted(more, 'earlier day')}; --report has each object", *lines] if more else lines


def _day_line(day: date | None, ways: Counter[RestoreWay], until: str) -> str:
    parts = [f"{ways[way]:,} {said}" for way, said in _IN_SHORT.items() if ways[way]]
    held = f" (until {_moment(until)})" if until else ""
    return f"  {day or 'undated'}: {counted(ways.total(), 'object')}, {', '.join(parts)}{held}"


def _moment(text: str) -> str:
    """A time of Cloud Storage for the operator, to the minute that has begun."""
    return minute_text(parse_time(text))


def verdict(plan: RestorePlan, result: UndoResult | None) -> str:
    """How it ended, in one line."""
    if result is not None:
        mark = "DONE" if result.done else "NOT ALL"
        said = f"{mark}: {result.there:,} of {counted(plan.selected, 'object')} there again"
        listed = (
            f"; {result.as_listed:,} erased before, as the deletion's list says" if result.as_listed else ""
        )
        return f"{said}{listed}."
    ways = plan.counts.by_outcome
    can = ways[RestoreWay.SOFT_DELETE] + ways[RestoreWay.NEW_PATH]
    mark = "READY" if plan.possible else "NOT ALL"
    return (
        f"{mark}: {can:,} of {counted(plan.selected, 'object')} can be brought back; already there: {ways[RestoreWay.THERE]:,}. "
        "Nothing was changed."
    )


def end_lines(plan: RestorePlan, result: UndoResult | None) -> list[str]:
    """What comes after the table; `result` is None in a dry run."""
    lines = []
    if plan.first_until:
        first, last = _moment(plan.first_until), _moment(plan.last_until)
        held = f"them until {first}" if first == last else f"the first until {first}, the last until {last}"
        lines.append(f"Soft delete holds {held}.")
    if plan.soft_delete_unavailable:
        lines.append(f"Soft-deleted objects cannot be listed: {shown(plan.soft_delete_unavailable)}")
    names = plan.hopeless if result is None else result.names
    lines += [f"  {name}" for name in names[:MAX_SHOWN]]
    if len(names) > MAX_SHOWN:
        lines.append(f"  ... and {len(names) - MAX_SHOWN:,} more; --report has them")
    if result is None:
        return lines
    counts = result.counts.by_outcome
    before = counts[UndoOutcome.THERE] - result.meanwhile
    others = f", {result.meanwhile:,} brought back by another command meanwhile" if result.meanwhile else ""
    lines.append(
        f"{counted(counts[UndoOutcome.RESTORED], 'object')} restored, {counts[UndoOutcome.COPIED_BACK]:,} copied back, "
        f"{before:,} there before{others}; looked at afterwards: {result.there:,} of {plan.selected:,} are "
        f"what the manifest says{result.counts.imbalance}."
        + (f" {result.left:,} erased since, and not brought back." if result.left else "")
    )
    if result.not_there:
        failures = result.failures.all()
        again = sum(each.objects for each in failures) < result.not_there - _hopeless(result)
        again = again or any(each.cause.again for each in failures)
        lines += next_step(failures, again=again)
    return lines


def _hopeless(result: UndoResult) -> int:
    """Lines that no undo brings back: nothing holds them any more, or somebody wrote there."""
    counts = result.counts.by_outcome
    return counts[UndoOutcome.LOST] + counts[UndoOutcome.OCCUPIED]


def phase_meaning(after: PhaseAfter, result: UndoResult, migration: Migration) -> list[str]:
    """What the phase means for the objects that are back; an undo does not change it."""
    phase = after.now
    if not after.same or phase not in GOES_ON_IN:
        return [after.line(f"{counted(result.counts.done, 'object')} came back")]
    truth = f"{shown(migration.destination.uri)} is still the source of truth"
    return [
        f"The phase stays {phase.value}: {truth}, and nothing that is back at the legacy path overwrites it.",
        "What came back has new generations. A dry run of the deletion shows what a new one would take.",
    ]
