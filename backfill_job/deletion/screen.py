"""What an operator reads of a deletion: what would go, critical data first, and every check that blocks.

Every text that comes from a bucket goes through `shared.text.shown` and into a `rich.text.Text`, which has no markup.
Only `flow` imports it. It is a module of its own because it is pure, so that tests read it without storage.
"""

from collections.abc import Iterator, Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Column, Table
from rich.text import Text

from backfill_job.bucket_settings import SafetyNet
from backfill_job.checks import Check, blocking
from backfill_job.deletion.survey import Survey
from backfill_job.dry_run.inventory import Period
from backfill_job.dry_run.screen import HELD, span_table
from shared.migration import Migration
from shared.text import byte_count, counted, listed, shown

__all__ = ["blocking_line", "deletion_overview"]


def deletion_overview(
    found: Survey, net: SafetyNet, migration: Migration, *, title: str, details: bool = False
) -> RenderableType:
    """Lay out what a deletion would take: at most 22 lines of 80 columns where nothing stands out, more with `details`."""
    return Group(
        Text(title, style="bold"),
        Text(f"from      {shown(migration.source.uri)}"),
        Text(f"equal at  {shown(migration.destination.uri)}"),
        *(_days(found) if details else _months(found)),
        _critical(found),
        *map(Text, _figures(found, details=details)),
        Text(f"Afterwards: {net.summary}."),
    )


def blocking_line(checks: Sequence[Check]) -> str:
    """Every check that blocks, in one line; empty where there is none."""
    return "; ".join(f"{check.name}: {check.evidence}" for check in blocking(checks))


def _critical(found: Survey) -> Text:
    consumer = found.consumer
    noun = "JSONL object" if consumer is None else f"{consumer.critical_kind} object"
    if not found.critical:
        return Text(f"Nothing critical: none of these is a {noun}.")
    what = "" if consumer is None else f": {shown(consumer.critical_is)}"
    return Text(
        f"CRITICAL: {counted(found.critical, noun)}, {byte_count(found.critical_size)}{what}",
        style="bold red",
    )


def _figures(found: Survey, *, details: bool) -> Iterator[str]:
    there = found.counts.total().source.objects
    if details or there != found.equal:
        yield f"Would be deleted: {counted(found.equal, 'object')}, {byte_count(found.size)}"
    if details:
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


def _months(found: Survey) -> Iterator[RenderableType]:
    """What is at the legacy path, by month or year."""
    sides = {day.day: day.source for day in found.counts.dated() if day.source.objects and day.day}
    days = {day: Period(side.objects, side.jsonl, side.bytes) for day, side in sides.items()}
    undated = found.counts.day(None).source
    if days:
        yield span_table(days, Period(undated.objects, undated.jsonl, undated.bytes), HELD)


def _days(found: Survey) -> Iterator[RenderableType]:
    """What is at the legacy path, day by day."""
    table = Table(
        Column("day", no_wrap=True),
        *(Column(name, justify="right", no_wrap=True) for name in ("objects", "JSONL", "bytes")),
        box=box.SIMPLE,
        show_edge=False,
        pad_edge=False,
        header_style="",
    )
    for day in (*found.counts.dated(), found.counts.day(None)):
        side = day.source
        if side.objects:
            name = str(day.day or "undated")
            table.add_row(name, f"{side.objects:,}", f"{side.jsonl:,}", byte_count(side.bytes))
    yield table
