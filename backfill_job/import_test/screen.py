"""The import test's results as a person reads them: a line a day, then what is wrong with those that are not equal."""

from collections.abc import Callable, Sequence

from rich import box
from rich.table import Table

from backfill_job.import_test.comparison import ImportDay, Load, Loaded, Verdict
from backfill_job.wording import counted

__all__ = ["details", "table_of"]

DIGITS = 12
"""Of a fingerprint: enough to see that two differ. The report has all of them."""

NAMES = 5
"""File names shown of a day whose rows differ; the report has more."""


def table_of(days: Sequence[ImportDay]) -> Table:
    """Lay out the results as a table for a console of 100 columns.

    Args:
        days: The results, in order.

    Returns:
        The table. Where both paths gave the same a cell has it once, otherwise ``legacy / new``.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("day", "verdict"):
        table.add_column(heading, no_wrap=True)
    for heading in ("objects", "rows", "users", "fingerprint"):
        table.add_column(heading, justify="right")
    for day in days:
        table.add_row(
            day.day.isoformat(),
            day.verdict.value.replace("_", " "),
            _cell(day, lambda load: f"{load.objects:,}"),
            _cell(day, lambda load: f"{load.outcome.rows:,}" if isinstance(load.outcome, Loaded) else "-"),
            _cell(day, lambda load: f"{load.outcome.users:,}" if isinstance(load.outcome, Loaded) else "-"),
            _cell(
                day,
                lambda load: (
                    load.outcome.fingerprint.digits[:DIGITS] if isinstance(load.outcome, Loaded) else "-"
                ),
            ),
        )
    return table


def details(days: Sequence[ImportDay]) -> list[str]:
    """Say what is wrong with the days that are not equal, and name the first files that the listings disagree about.

    Args:
        days: The results, in order.

    Returns:
        Lines for a person.
    """
    lines = []
    for day in days:
        if day.verdict is not Verdict.EQUAL:
            lines.append(f"{day.day.isoformat()} {day.sentence}")
            examples = day.names.examples[:NAMES]
            lines += [f"    {example}" for example in examples]
            rest = day.names.missing + day.names.extra + day.names.differing - len(examples)
            lines += [f"    … and {counted(rest, 'more file')}"] if rest else []
    return lines


def _cell(day: ImportDay, of: Callable[[Load], str]) -> str:
    legacy, new = of(day.legacy), of(day.new)
    return legacy if legacy == new else f"{legacy} / {new}"
