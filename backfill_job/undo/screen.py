"""What an operator reads of an undo: what can be brought back and until when, what was, and what comes next. Pure."""

from collections.abc import Sequence

from rich import box
from rich.table import Column, Table
from rich.text import Text

from backfill_job.undo.prospects import Prospect, Way
from backfill_job.undo.restoring import UndoOutcome
from backfill_job.undo.undoing import Outlook, Undone
from shared.migration import Migration
from shared.phase import Phase
from shared.text import byte_count, counted, shown

__all__ = ["MAX_OBJECTS", "end_lines", "next_steps", "object_lines", "outlook_table"]

MAX_OBJECTS = 20
"""Objects that are shown one by one."""

MAX_SHOWN = 20

_WAYS = (
    (Way.SOFT_DELETE, "can be restored from soft delete"),
    (Way.NEW_PATH, "can be copied back from the new path"),
    (Way.THERE, "is there, unchanged"),
    (Way.OCCUPIED, "ANOTHER object is there; it is never overwritten"),
    (Way.LOST, "LOST: neither soft delete nor the new path has it"),
)


def outlook_table(outlook: Outlook) -> Table:
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
        if not outlook.ways[way] and way in {Way.OCCUPIED, Way.LOST, Way.THERE}:
            continue
        until = outlook.first_until if way is Way.SOFT_DELETE else ""
        table.add_row(Text(words), f"{outlook.ways[way]:,}", byte_count(outlook.sizes[way]), until)
    table.add_row(Text("(the new path has the same)"), f"{outlook.same_at_new_path:,}", "", "")
    return table


def object_lines(some: Sequence[Prospect], outlook: Outlook) -> list[str]:
    """What can be said of the first objects, one by one.

    Args:
        some: They.
        outlook: Of all.
    """
    lines = []
    for each in some:
        shelf = f"soft delete holds it until {each.until}" if each.until else "soft delete does not hold it"
        twin = "the new path has the same" if each.same_at_new_path else "the new path has NOT the same"
        lines.append(f"  {shown(each.line.name)}: {shelf}; {twin}")
    more = outlook.selected - len(lines)
    return [*lines, f"  ... and {more:,} more; --report has each"] if more > 0 else lines


def end_lines(outlook: Outlook, undone: Undone | None) -> list[str]:
    """What is to be said after the table.

    Args:
        outlook: What could be done.
        undone: What was; None in a dry run.
    """
    lines = []
    if outlook.first_until:
        lines.append(
            f"Soft delete lets the first of them go at {outlook.first_until}, the last at {outlook.last_until}."
        )
    if outlook.no_shelf:
        lines.append(f"Soft-deleted objects cannot be listed: {shown(outlook.no_shelf)}")
    names = outlook.hopeless if undone is None else undone.names
    lines += [f"  {name}" for name in names[:MAX_SHOWN]]
    if len(names) > MAX_SHOWN:
        lines.append(f"  ... and {len(names) - MAX_SHOWN:,} more; --report has them")
    if undone is None:
        return [*lines, "Nothing was changed. To bring back what can be: the same command with --execute."]
    counts = undone.outcomes
    lines.append(
        f"{counted(counts[UndoOutcome.RESTORED], 'object')} restored, {counts[UndoOutcome.COPIED_BACK]:,} copied back, "
        f"{counts[UndoOutcome.THERE]:,} there before; looked at afterwards: {undone.there:,} of {outlook.selected:,} are "
        "what the manifest says."
    )
    return lines


def next_steps(phase: Phase, migration: Migration) -> list[str]:
    """What the phase means for what is back; an undo does not change it."""
    if phase not in {Phase.DELETING, Phase.DELETED}:
        return [f"The phase is {phase.value}, as before."]
    counts = f"{shown(migration.destination.uri)} is still the path that counts"
    return [
        f"The phase stays {phase.value}: {counts}, and nothing that is back at the legacy path overwrites it.",
        "What came back has new generations: to delete it again, verify and write a new manifest (delete --anew).",
    ]
