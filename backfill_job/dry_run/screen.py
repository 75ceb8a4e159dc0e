"""Shows a dry run on a screen: what a copy would replace, the data by month or year, the estimate; with details, all of it.

Each text from a bucket goes through `shared.text.shown` into a `rich.text.Text`, which does not interpret markup. So an object
named ``[bold]x`` appears under that name, and a name cannot move the cursor. Colour adds nothing to the words.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Column, Table
from rich.text import Text

from backfill_job.bucket_settings import named_settings
from backfill_job.dry_run.estimate import (
    AT_MOST,
    Cost,
    Estimate,
    Limit,
    estimate_by_bytes,
    estimate_colder,
    sources,
)
from backfill_job.dry_run.inventory import Count, Inventory, Named, Period, Sizes
from backfill_job.dry_run.plan import PlanStep
from backfill_job.run.late_console import wrapped
from shared.migration import Migration
from shared.partitions import Gap
from shared.text import byte_count, counted, dollars, duration, listed, shown

__all__ = ["HELD", "PLANNED", "figures_table", "overview", "render", "span_table"]

ROWS = 20
"""Rows of a table of groups, and days of a list, on the screen; it counts the rest."""

FEW = 5
"""Names of objects outside the known layouts on the screen, when no object is inside one."""

CENT = 0.01
"""US dollars from which the details name a charge by itself."""

MONTHS = 12
"""Rows of the short overview's table; where there are more months, it has years."""

FEWEST = 1
"""Stretches of missing days in the short overview, so that they fit on a line."""

SHORT = 3
"""Names of a kind in the short overview."""

BAR = 40
"""Characters of a histogram's longest bar."""

_STEPS = (
    (PlanStep.COPY, "to copy, new there"),
    (PlanStep.OVERWRITE, "to OVERWRITE"),
    (PlanStep.EQUAL, "already equal"),
    (PlanStep.CONFLICT, "in CONFLICT, left alone"),
    (PlanStep.ERASED, "ERASED since, not copied"),
    (PlanStep.IMPOSSIBLE, "IMPOSSIBLE names"),
    (PlanStep.EXCLUDED, "excluded"),
)
_ALWAYS = (PlanStep.COPY, PlanStep.EQUAL)

_ALARMS = (
    (PlanStep.OVERWRITE, "would be OVERWRITTEN at the destination, which has something different"),
    (PlanStep.CONFLICT, "in CONFLICT: different at the destination, which has the last word; left alone"),
    (PlanStep.ERASED, "ERASED since: deleted at the destination, which has the last word; not copied"),
    (PlanStep.IMPOSSIBLE, "IMPOSSIBLE to copy"),
)

_LIMITS = {
    Limit.GUIDELINE: "Cloud Storage's guideline; 1,000 writes/s at first, doubling every 20 minutes, however many tasks there are",
    Limit.CLIENT: "the client; --tasks N, or a job with more tasks, copies faster",
    Limit.LATENCY: "the latency; a request takes {:.0f} ms, and a greater --in-flight or more tasks copy faster",
    Limit.CEILING: "--max-writes-per-second",
}

_PROTECTED = "will be REFUSED: a hold or a retention policy protects what the destination has"


def overview(
    findings: Inventory,
    estimate: Estimate,
    migration: Migration,
    *,
    title: str = "Dry run: nothing is changed.",
    narrowed: str = "",
    quiet: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> RenderableType:
    """Lay out the short overview for a console of 80 columns: at most 23 lines where nothing stands out.

    Args:
        quiet: See `backfill_job.dry_run.quiet_hour.QuietHour.lines`.
        narrowed: See `backfill_job.run.since.narrowed_to`.
        remarks: What to look at first, beside the names.
    """
    title += f" Names {narrowed}." if narrowed else ""
    if not findings.source.objects:
        return _nothing_there(findings, migration, narrowed)
    parts: list[RenderableType] = list(_question(migration, title))[:-1]  # without the blank line
    parts += map(_remark, remarks)
    for named, words in _alarms(findings):
        parts += [Text(f"{counted(named.total, 'object')} {words}:", "bold red"), *_names(named, SHORT)]
    if findings.days:
        parts += _partitions(findings)
    parts += [*_gaps(findings, FEWEST), *_aside(findings), *_colder(findings)]
    parts += [*_settings(findings, migration), *_by_bytes(findings)]
    copying = f"About {duration(estimate.seconds)} to copy, {dollars(estimate.once_dollars)}"
    parts.append(Text(f"{copying}; the second copy {dollars(estimate.storage_dollars)} a month"))
    if estimate.limit is not None:
        parts.append(Text(f"Limited by: {_LIMITS[estimate.limit].partition(';')[0]}"))
    parts += map(Text, quiet)
    counts = {step: count.objects for step, count in findings.steps.items()}
    said = f"{counts[PlanStep.COPY]:,} to copy, {counts[PlanStep.OVERWRITE]:,} to overwrite"
    said += f", {counts[PlanStep.EQUAL]:,} equal, {counts[PlanStep.EXCLUDED]:,} excluded"
    parts.append(Text(f"Plan: {said}.", "bold red" if counts[PlanStep.OVERWRITE] else "bold green"))
    return Group(*parts)


def _remark(text: str) -> Text:
    """A remark, wrapped as every other sentence: an address in it is not broken."""
    return Text(wrapped(text), "bold red", no_wrap=True, overflow="ignore")


def _aside(findings: Inventory) -> Iterator[Text]:
    """What the details list, counted in one line each."""
    outside, strays, extra = findings.outside.named, findings.strays, findings.named[PlanStep.EXTRA]
    for named, words in (
        (outside, "outside every known layout"),
        (strays, "in a day's folder, but not one of its submissions"),
        (extra, "only at the destination, left alone"),
        (findings.held, "held at the source, a deletion will leave them"),
    ):
        if named.total:
            yield Text(f"{counted(named.total, 'object')} {words} (--details)")


def render(
    findings: Inventory,
    estimate: Estimate,
    migration: Migration,
    *,
    title: str = "Dry run: nothing is changed.",
    names: int = 20,
    narrowed: str = "",
    quiet: Sequence[str] = (),
    remarks: Sequence[str] = (),
) -> RenderableType:
    """Lay out an overview for a console of 100 columns, with at most `names` names of a kind; the rest as in `overview`."""
    title += f" Names {narrowed}." if narrowed else ""
    if not findings.source.objects:
        return _nothing_there(findings, migration, narrowed)
    parts: list[RenderableType] = [
        *_question(migration, title),
        *map(_remark, remarks),
        *_alarm(findings, names),
        _headline(findings),
    ]
    for heading, body in (
        *_sections(findings, estimate, names),
        ("Writes by hour", [*map(Text, quiet)]),
        ("Settings of the buckets", list(_settings(findings, migration))),
    ):
        if body:
            parts += [Text(f"\n{heading}", "bold"), *(Padding.indent(part, 2) for part in body)]
    return Group(*parts)


def _nothing_there(findings: Inventory, migration: Migration, narrowed: str) -> Text:
    there = findings.destination.objects
    check = "check the bucket and the prefix, whose case counts"
    return Text(
        f"{shown(migration.source.uri)} holds no objects{f' {narrowed}' if narrowed else f': {check}'}."
        + (f" The destination holds {counted(there, 'object')}." if there else "")
    )


def _question(migration: Migration, title: str) -> Iterator[RenderableType]:
    yield Text(title, "bold")
    yield Text(f"from  {shown(migration.source.uri)}")
    yield Text(f"to    {shown(migration.destination.uri)}")
    yield Text()


def _alarms(findings: Inventory) -> list[tuple[Named, str]]:
    """The names to look at first, and what is true of them."""
    found = [(findings.named[step], words) for step, words in _ALARMS if findings.named[step].total]
    if findings.protected.total:
        found.insert(1, (findings.protected, _PROTECTED))
    return found


def _alarm(findings: Inventory, names: int) -> Iterator[RenderableType]:
    found = _alarms(findings)
    if not found:
        yield Text("Nothing would be overwritten, nothing is in conflict.\n", "green")
        return
    body: list[RenderableType] = []
    for named, words in found:
        body += [Text(f"{counted(named.total, 'object')} {words}:", "bold red"), *_names(named, names)]
    yield Panel(Group(*body), title=Text(" LOOK HERE FIRST ", "bold red"), box=box.HEAVY, border_style="red")


def _headline(findings: Inventory) -> Table:
    table = figures_table("", "objects", "bytes")
    _add(table, "at the source", *_count(findings.source))
    for step, words in _STEPS:
        if step in _ALWAYS or findings.steps[step].objects:
            _add(table, f"  {words}", *_count(findings.steps[step]))
    _add(table, "at the destination", *_count(findings.destination))
    if findings.steps[PlanStep.EXTRA].objects:
        _add(table, "  only there", *_count(findings.steps[PlanStep.EXTRA]))
    return table


def _sections(
    findings: Inventory, estimate: Estimate, names: int
) -> Iterator[tuple[str, Sequence[RenderableType]]]:
    outside, strays, extra = findings.outside, findings.strays, findings.named[PlanStep.EXTRA]
    # Without QPI data all objects are outside, and the folders say more than the names.
    outsiders = names if findings.days else min(names, FEW)
    kinds = {kind.value: count for kind, count in findings.kinds.items()}
    yield "Date partitions", _partitions(findings, months=len(findings.months))
    yield "Gaps", list(_gaps(findings))
    both = _beside(_groups("kind", kinds), _groups("type", findings.file_types))
    yield "Kinds and file types", [both] if kinds else ()
    yield "Sizes", _sizes(findings.sizes) if findings.sizes.objects else ()
    strangers = [_groups("folder", outside.folders), *_names(outside.named, outsiders)]
    total = outside.named.total
    yield f"Outside every known layout: {counted(total, 'object')}", strangers if total else ()
    stray = f"In a day's folder, but not one of its submissions: {counted(strays.total, 'object')}"
    yield stray, list(_names(strays, names))
    yield "Excluded, left behind", (_groups("name", findings.excluded),) if findings.excluded else ()
    yield "Metadata keys of Google's tools, not compared", _reserved(findings)
    yield f"Only at the destination, left alone: {counted(extra.total, 'object')}", list(_names(extra, names))
    held = f"Held at the source, a deletion will leave them: {counted(findings.held.total, 'object')}"
    yield held, list(_names(findings.held, names))
    yield "Estimate", [*_estimate(estimate), *_colder(findings), *_by_bytes(findings)]


def _settings(findings: Inventory, migration: Migration) -> Iterator[RenderableType]:
    for check in () if findings.buckets is None else named_settings(*findings.buckets, migration):
        yield Text(f"{check.name}: {shown(check.evidence)}. {shown(check.next_step)}")


def _partitions(findings: Inventory, *, months: int = MONTHS) -> Sequence[RenderableType]:
    if not findings.days:
        return [Text("None: no name has a date where QPI exports have it.")]
    return [span_table(findings.days, findings.undated, PLANNED, months=months)]


Columns = Sequence[tuple[str, Callable[[Period], str]]]

HELD: Columns = (
    ("objects", lambda period: f"{period.objects:,}"),
    ("JSONL", lambda period: f"{period.jsonl:,}"),
    ("bytes", lambda period: byte_count(period.bytes)),
)
"""What a path holds."""

PLANNED: Columns = (
    *HELD,
    ("to copy", lambda period: f"{period.copy:,}"),
    ("equal", lambda period: f"{period.equal:,}"),
    ("differs", lambda period: f"{period.differs:,}"),
)
"""The same, and what a copy would do."""


def span_table(
    days: Mapping[date, Period], undated: Period, columns: Columns, *, months: int = MONTHS
) -> Table:
    """Lay out the days, in order, by month; by year where there are more than so many months.

    Args:
        undated: What has no day in its name.
        columns: The heading of each column after the days, and what it shows.
    """
    by_year = len({day.isoformat()[:7] for day in days}) > months
    width, heading = (4, "year") if by_year else (7, "month")
    days_of = Counter(day.isoformat()[:width] for day in days)
    spans: defaultdict[str, Period] = defaultdict(Period)
    for day, period in days.items():
        spans[day.isoformat()[:width]] += period
    table = figures_table(heading, "days", *(name for name, _ in columns))
    for span, period in spans.items():
        _add(table, span, f"{days_of[span]:,}", *(cell(period) for _, cell in columns))
    if undated.objects:
        _add(table, "(no day)", "", *(cell(undated) for _, cell in columns))
    total = sum(days.values(), undated)
    table.show_footer = True
    footer = ("total", f"{len(days):,}", *(cell(total) for _, cell in columns))
    for column, text in zip(table.columns, footer, strict=True):
        column.footer = Text(text)
    return table


def _gaps(findings: Inventory, rows: int = ROWS) -> Iterator[RenderableType]:
    data = findings.data_days
    if data and findings.gaps:
        stretches = listed(map(_stretch, findings.gaps), rows)
        days = counted(findings.missing, "day")
        between = f" between {data[0]} and {data[-1]}" if rows > FEWEST else ""  # the table says it
        yield Text(f"MISSING {days}{between}: {stretches}")
    elif data:
        one = f"There is one day, {data[0]}: no other one could be missing."
        yield Text(one if len(data) == 1 else f"No day is missing between {data[0]} and {data[-1]}.")
    without = [day for day, period in findings.days.items() if not period.jsonl]
    if hollow := [day for day in without if day not in findings.future_days]:
        empty = listed(map(str, hollow), rows)
        yield Text(f"{counted(len(hollow), 'day')} with objects but no JSONL: {empty}")
    if findings.future_days:
        future = listed(map(str, findings.future_days), rows)
        days = counted(len(findings.future_days), "day")
        yield Text(f"{days} in the FUTURE (after {findings.today}): {future}")
    if findings.impossible_dates:
        found = findings.impossible_dates.items()
        dates = (f"{text} ({counted(count.objects, 'object')})" for text, count in found)
        yield Text(f"Dates that no calendar has: {listed(dates, rows)}")


def _sizes(sizes: Sizes) -> Sequence[RenderableType]:
    bars = Table.grid(Column(justify="right"), Column(), Column(justify="right"), padding=(0, 2))
    most = max(sizes.histogram)
    for bits, count in enumerate(sizes.histogram):
        if count:
            low, high = sizes.bounds(bits)
            label = f"{low:,} to {high:,}" if low < high else f"{low:,}"
            _add(bars, label, "█" * (-(-count * BAR // most)), f"{count:,}")
    median, p99 = sizes.quantile(0.5), sizes.quantile(0.99)
    said = f"{sizes.smallest:,} to {counted(sizes.largest, 'byte')}, mean {sizes.mean:,.0f}"
    return [Text(f"{said}, median about {median:,.0f}, p99 about {p99:,.0f}, {sizes.empty:,} empty"), bars]


def _reserved(findings: Inventory) -> Sequence[RenderableType]:
    if not findings.reserved:
        return ()
    table = figures_table("key", "at the source", "at the destination")
    for key, found in findings.reserved.items():
        _add(table, shown(key), f"{found.source:,}", f"{found.destination:,}")
    return [table]


def _estimate(estimate: Estimate) -> Sequence[RenderableType]:
    table = Table.grid(padding=(0, 2))
    _add(table, "dry run", _cost(estimate.dry_run))
    _add(table, "execute", f"{_cost(estimate.execute)}, with verification")
    copying = f"about {duration(estimate.seconds)} at up to {estimate.speed:,.0f} objects/s"
    _add(table, "copying", f"{copying}; the bucket alone: {duration(estimate.ramp_seconds)}")
    if estimate.limit is not None:
        _add(table, "limited by", _LIMITS[estimate.limit].format((estimate.request_seconds or 0.0) * 1_000))
    _add(table, "listing", f"about {duration(estimate.listing_seconds)} meanwhile, and again to verify")
    tasks, one = estimate.recommended_tasks, duration(estimate.one_task_seconds)
    many = f"{tasks} recommended: about {duration(estimate.recommended_seconds)}; one alone: {one}"
    _add(table, "tasks", "one is enough" if tasks == 1 else many)
    storage = f"{byte_count(estimate.second_copy_bytes)}, {dollars(estimate.storage_dollars)} a month while both are kept"
    _add(table, "second copy", storage)
    return [table, *_charges(estimate)]


def _charges(estimate: Estimate) -> Iterator[RenderableType]:
    """Everything that costs a cent or more, in a table; then the rest, and the date and source of each price."""
    charges = [charge for charge in estimate.charges if charge.what not in AT_MOST]
    dear = [charge for charge in charges if charge.multi >= CENT]
    if dear:
        costs = figures_table("what it costs", "how much", "in one region", "in several")
        for charge in dear:
            amount = byte_count(int(charge.units)) if charge.in_bytes else f"{charge.units:,.0f}"
            _add(costs, charge.what, amount, dollars(charge.region), dollars(charge.multi))
        yield Text()
        yield costs
    cheap = [charge.what for charge in charges if charge not in dear]
    if cheap:
        short = "operations, tasks, replication, events, functions, log lines, storage"
        names = ", ".join(cheap) if dear else short
        yield Text(f"Under $0.01 each: {names}", "dim")
    for day, pages in sources(estimate.prices).items():
        yield Text(f"Prices of {day}: {', '.join(pages)}", "dim")


def _colder(findings: Inventory) -> Iterator[RenderableType]:
    for storage_class, found in findings.colder.items():
        retrieval, early_deletion = estimate_colder(storage_class, found)
        yield Text(
            f"{counted(found.objects, 'object')} to copy in class {shown(storage_class)}, {byte_count(found.bytes)}: their retrieval "
            f"costs {dollars(retrieval)} more. Deleting them today would cost {dollars(early_deletion)}. "
            "The copies keep the class; --storage-class names another one."
        )


def _by_bytes(findings: Inventory) -> Iterator[RenderableType]:
    if not findings.unproven.objects:
        return
    cost = estimate_by_bytes(findings.unproven)
    yield Text(
        f"Equal by crc32c alone, without md5, and older at the destination: {counted(cost.objects, 'object')}, "
        f"{byte_count(cost.bytes)}. In phase dual_write they are copied again. In the other phases both sides are read, once: "
        f"{cost.requests:,} Class B operations, {dollars(cost.dollars)}, about {duration(cost.seconds)} with one task."
    )


def _names(named: Named, limit: int) -> Iterator[RenderableType]:
    for sample in named.first[:limit]:
        because = f"  ({shown(', '.join(sample.because))})" if sample.because else ""
        yield Padding.indent(Text(f"{shown(sample.relative) or '(the prefix itself)'}{because}"), 2)
    more = named.total - min(limit, len(named.first))
    if more:
        yield Text(f"  … and {more:,} more")


def _groups(heading: str, groups: Mapping[str, Count]) -> Table:
    table = figures_table(heading, "objects", "bytes")
    for key, count in list(groups.items())[:ROWS]:
        _add(table, shown(key), *_count(count))
    if len(groups) > ROWS:
        rest = list(groups.values())[ROWS:]
        together = Count(sum(count.objects for count in rest), sum(count.bytes for count in rest))
        _add(table, f"… {len(rest):,} more", *_count(together))
    return table


def figures_table(*headings: str) -> Table:
    """A table whose first column is text and whose others are numbers."""
    first, *others = (Text(heading) for heading in headings)
    columns = [
        Column(first, overflow="fold"),
        *(Column(other, justify="right", no_wrap=True) for other in others),
    ]
    return Table(
        *columns, box=box.SIMPLE, show_edge=False, pad_edge=False, header_style="", footer_style="bold"
    )


def _add(table: Table, *cells: str) -> None:
    table.add_row(*map(Text, cells))


def _beside(*tables: Table) -> Table:
    grid = Table.grid(padding=(0, 6, 0, 0))
    grid.add_row(*tables)
    return grid


def _count(count: Count) -> tuple[str, str]:
    return f"{count.objects:,}", byte_count(count.bytes)


def _cost(cost: Cost) -> str:
    reads = f" and {cost.class_b:,} Class B" if cost.class_b else ""
    return f"{cost.class_a:,} Class A{reads} operations, {dollars(cost.dollars)}"


def _stretch(gap: Gap) -> str:
    return f"{gap.first}" if gap.days == 1 else f"{gap.first} to {gap.last} ({gap.days:,})"
