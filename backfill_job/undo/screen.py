"""What an operator reads of an undo: what can be brought back and until when, what was brought back, and what comes next.

It is a module of its own because it is pure, so that tests read it without storage.
"""

from collections.abc import Sequence

from rich import box
from rich.table import Column, Table
from rich.text import Text

from backfill_job.deletion.phases import GOES_ON_IN, command_line
from backfill_job.run.failures import next_step
from backfill_job.run.phase_change import PhaseAfter
from backfill_job.undo.options import RestoreOption, Way
from backfill_job.undo.restore import RestorePlan, UndoOutcome, UndoResult
from shared.migration import Migration
from shared.text import byte_count, counted, shown

__all__ = ["MAX_OBJECTS", "end_lines", "next_steps", "object_lines", "plan_table"]

MAX_OBJECTS = 20
"""Objects that are shown one by one."""

MAX_SHOWN = 20

_WAYS = (
    (Way.SOFT_DELETE, "can be restored from soft delete"),
    (Way.NEW_PATH, "can be copied back from the new path"),
    (Way.THERE, "is there, unchanged"),
    (Way.ERASED, "was erased at the new path since; --include-erased brings it back"),
    (Way.OCCUPIED, "ANOTHER object is there; it is never overwritten"),
    (Way.LOST, "LOST: neither soft delete nor the new path has it"),
)


_ONLY_WHERE_SOME = frozenset({Way.ERASED, Way.OCCUPIED, Way.LOST, Way.THERE})


def plan_table(plan: RestorePlan) -> Table:
    """Lay out what can be done."""
    table = Table(
        Column("of the manifest's objects", overflow="fold"),
        Column("objects", justify="right", no_wrap=True),
        Column("bytes", justify="right", no_wrap=True),
        Column("until", no_wrap=True),
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        header_style="",
    )
    for way, words in _WAYS:
        if not plan.counts.by_outcome[way] and way in _ONLY_WHERE_SOME:
            continue
        until = plan.first_until if way is Way.SOFT_DELETE else ""
        table.add_row(Text(words), f"{plan.counts.by_outcome[way]:,}", byte_count(plan.sizes[way]), until)
    table.add_row(Text("(the new path has the same)"), f"{plan.same_at_new_path:,}", "", "")
    return table


def object_lines(some: Sequence[RestoreOption], plan: RestorePlan) -> list[str]:
    """What can be done about each of the first objects; `plan` is about all."""
    lines = []
    for each in some:
        shelf = f"soft delete holds it until {each.until}" if each.until else "soft delete does not hold it"
        twin = "the new path has the same" if each.same_at_new_path else "the new path has NOT the same"
        lines.append(f"  {shown(each.line.name)}: {shelf}; {twin}")
    more = plan.selected - len(lines)
    return [*lines, f"  ... and {more:,} more; --report has each"] if more > 0 else lines


def end_lines(plan: RestorePlan, result: UndoResult | None, execute: str) -> list[str]:
    """What comes after the table.

    Args:
        plan: What could be done.
        result: What was done; None in a dry run.
        execute: The command that brings back what can be brought back.
    """
    lines = []
    if plan.first_until:
        lines.append(
            f"Soft delete lets the first of them go at {plan.first_until}, the last at {plan.last_until}."
        )
    if plan.soft_delete_unavailable:
        lines.append(f"Soft-deleted objects cannot be listed: {shown(plan.soft_delete_unavailable)}")
    names = plan.hopeless if result is None else result.names
    lines += [f"  {name}" for name in names[:MAX_SHOWN]]
    if len(names) > MAX_SHOWN:
        lines.append(f"  ... and {len(names) - MAX_SHOWN:,} more; --report has them")
    if result is None:
        return [*lines, f"Nothing was changed. To bring back what can be: {execute}"]
    counts = result.counts.by_outcome
    lines.append(
        f"{counted(counts[UndoOutcome.RESTORED], 'object')} restored, {counts[UndoOutcome.COPIED_BACK]:,} copied back, "
        f"{counts[UndoOutcome.THERE]:,} there before; looked at afterwards: {result.there:,} of {plan.selected:,} are "
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


def next_steps(after: PhaseAfter, result: UndoResult, migration: Migration) -> list[str]:
    """What the phase means for the objects that are back; an undo does not change it."""
    phase = after.now
    if not after.same or phase not in GOES_ON_IN:
        return [after.line(f"{counted(result.counts.done, 'object')} came back")]
    truth = f"{shown(migration.destination.uri)} is still the source of truth"
    return [
        f"The phase stays {phase.value}: {truth}, and nothing that is back at the legacy path overwrites it.",
        f"What came back has new generations. What a new deletion would take, shows: {command_line(migration, 'delete')}",
    ]
