"""What an operator reads of a deletion: what would go, critical data first, and every check that blocks.

Every text that comes from a bucket goes through `shared.text.shown` and into a `rich.text.Text`, which has no markup.
"""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from backfill_job.bucket_settings import SafetyNet
from backfill_job.checks import Check, blocking
from backfill_job.deletion.survey import Survey
from shared.migration import Migration
from shared.text import byte_count, counted, listed, shown

__all__ = ["overview", "refusal"]

DAYS_SHOWN = 8
"""Days shown at either end of a long list."""


def overview(found: Survey, net: SafetyNet, migration: Migration, *, title: str) -> RenderableType:
    """Lay out what a deletion would take.

    Args:
        found: What may be deleted.
        net: What would still hold it.
        migration: The paths.
        title: The first line.
    """
    return Group(
        Text(title, style="bold"),
        Text(f"{shown(migration.source.uri)}, proven equal at {shown(migration.destination.uri)}"),
        Panel(_critical(found), title="CRITICAL DATA", border_style="red", title_align="left"),
        *map(Text, _figures(found)),
        Text(""),
        _days(found),
        Text(f"Afterwards: {net.summary}."),
        Text(""),
    )


def refusal(checks: Sequence[Check]) -> str:
    """Every check that blocks, in one line; empty where there is none."""
    return "; ".join(f"{check.name}: {check.evidence}" for check in blocking(checks))


def _critical(found: Survey) -> Text:
    consumer = found.consumer
    noun = "JSONL object" if consumer is None else f"{consumer.critical_kind} object"
    if not found.critical:
        return Text(f"No {noun} is among them.")
    what = "" if consumer is None else f": {shown(consumer.critical_is)}"
    return Text(
        f"{counted(found.critical, noun)}, {byte_count(found.critical_size)}{what}",
        style="bold",
    )


def _figures(found: Survey) -> Iterator[str]:
    days = sorted(day for day in found.counts.days if day is not None)
    span = f", {days[0]} to {days[-1]}" if days else ""
    yield f"Would be deleted: {counted(found.equal, 'object')}, {byte_count(found.size)}"
    yield f"  days: {len(days):,}{span}"
    yield f"  folders that would be empty: {len(found.folders):,}"
    kinds = ", ".join(f"{count:,} {kind.value}" for kind, count in found.kinds.most_common())
    yield f"  layouts: {kinds or 'none'}"
    if found.counts.held:
        yield f"  under a hold or retention time, which refuses deletion: {counted(found.counts.held, 'object')}"
    if found.left:
        yield f"Would be left, never migrated: {counted(found.left, 'object')}"
    if found.erased_left:
        names = listed(map(shown, found.compared.erased), 3)
        yield f"Would be left, erased at the new path since: {counted(found.erased_left, 'object')}, of {names}"
    if found.erased:
        yield f"Would be deleted, erased at the new path since: {counted(len(found.erased), 'object')} of the list"
    if found.extra:
        yield f"At the new path only, not concerned: {counted(found.extra, 'object')}"
    if found.late.objects:
        names = listed(map(shown, found.late.names), 3)
        yield f"Written at the legacy path since the cutover: {counted(found.late.objects, 'object')}: {names}"


def _days(found: Survey) -> Table:
    table = Table(
        Column("day", no_wrap=True),
        *(Column(name, justify="right", no_wrap=True) for name in ("JSONL", "objects", "bytes")),
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        header_style="",
    )
    rows = [(str(day.day), day.source) for day in found.counts.dated() if day.source.objects]
    undated = found.counts.day(None).source
    if undated.objects:
        rows.append(("undated", undated))
    hidden = rows[DAYS_SHOWN:-DAYS_SHOWN] if len(rows) > 2 * DAYS_SHOWN + 1 else []
    for number, (day, side) in enumerate(rows):
        if hidden and number == DAYS_SHOWN:
            more = sum(side.objects for _, side in hidden)
            table.add_row(f"… {len(hidden):,} days", "", f"{more:,}", "")
        if hidden and DAYS_SHOWN <= number < len(rows) - DAYS_SHOWN:
            continue
        table.add_row(day, f"{side.jsonl:,}", f"{side.objects:,}", byte_count(side.bytes))
    return table
