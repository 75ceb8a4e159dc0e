"""The results of an import test: the report ``import-test.json``, and the lines that a person reads. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from rich import box
from rich.table import Table

from backfill_job.import_test.compare import DEFINITION, ImportDay, ImportVerdict, PathLoad
from shared.errors import MigrationError
from shared.migration import Migration
from shared.text import counted

__all__ = ["KIND", "REPORT_NAME", "REPORT_SCHEMA", "Results", "day_table", "details", "table_of"]

KIND = "import-test"
REPORT_NAME = "import-test.json"

REPORT_SCHEMA = 1
"""Raised when a field of the report changes its meaning or is removed."""

SHOWN_DIGITS = 12
"""Of a fingerprint: enough to see that two differ. The report has all of them."""

NAMES = 5
"""File names shown of a day whose rows differ. The report has more."""


@dataclass(slots=True)
class Results:
    """A run of the command.

    Attributes:
        consumer: The consumer's identity; empty where it is not known.
    """

    run: str
    engine: str
    migration: Migration
    asked: tuple[date, ...]
    allow_empty: bool
    started: datetime
    days: list[ImportDay] = field(default_factory=list)
    consumer: str = ""

    @property
    def wrong(self) -> list[ImportDay]:
        """The days that do not pass."""
        return [day for day in self.days if not day.passed(allow_empty=self.allow_empty)]

    def to_json(self, finished: datetime, error: MigrationError | None) -> dict[str, Any]:
        """The report; `error` is what ended the run before its last day."""
        complete = len(self.days) == len(self.asked)
        return {
            "schema": REPORT_SCHEMA,
            "kind": KIND,
            "run": self.run,
            "engine": self.engine,
            "consumer": self.consumer,
            "fingerprint_definition": DEFINITION,
            "legacy": self.migration.source.uri,
            "new": self.migration.destination.uri,
            "asked": [day.isoformat() for day in self.asked],
            "allow_empty": self.allow_empty,
            "started": self.started.isoformat(),
            "finished": finished.isoformat(),
            "complete": complete,
            "passed": complete and error is None and not self.wrong,
            "error": None if error is None else str(error),
            "days": [
                {**day.to_json(), "passed": day.passed(allow_empty=self.allow_empty)} for day in self.days
            ],
        }

    def conclusion(self) -> str:
        """The last line."""
        tested = counted(len(self.days), "day")
        if self.wrong:
            return f"{tested} tested; {len(self.wrong):,} not right, see above."
        empty = sum(day.verdict is ImportVerdict.ABSENT for day in self.days)
        if empty == len(self.days):
            return f"{tested} tested; nothing was compared: no object on either path, as allowed."
        but = f" ({empty:,} without any object on either path, as allowed)" if empty else ""
        return f"{tested} tested; the new path gives what the legacy path gives{but}."


def day_table(*figures: str) -> Table:
    """A table of days and their verdicts, with columns for figures."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("day", "verdict"):
        table.add_column(heading, no_wrap=True)
    for heading in figures:
        table.add_column(heading, justify="right")
    return table


def table_of(days: Sequence[ImportDay]) -> Table:
    """The results as a table for a console of 100 columns.

    A cell has one figure if both paths give the same, otherwise ``legacy / new``.
    """
    table = day_table("objects", "rows", "users", "fingerprint")
    for day in days:
        table.add_row(
            day.day.isoformat(),
            day.verdict.value.replace("_", " "),
            _cell(day, lambda load: f"{load.objects:,}"),
            _cell(day, lambda load: f"{load.loaded.rows:,}" if load.loaded else "-"),
            _cell(day, lambda load: f"{load.loaded.users:,}" if load.loaded else "-"),
            _cell(day, lambda load: load.loaded.fingerprint.digits[:SHOWN_DIGITS] if load.loaded else "-"),
        )
    return table


def details(days: Sequence[ImportDay]) -> list[str]:
    """What is wrong with the days that are not equal, with the names of the first files that differ."""
    lines = []
    for day in days:
        if day.verdict is not ImportVerdict.EQUAL:
            lines.append(f"{day.day.isoformat()} {day.sentence}")
            examples = day.names.examples[:NAMES]
            lines += [f"    {example}" for example in examples]
            rest = day.names.missing + day.names.extra + day.names.differing - len(examples)
            lines += [f"    … and {counted(rest, 'more file')}"] if rest else []
    return lines


def _cell(day: ImportDay, of: Callable[[PathLoad], str]) -> str:
    legacy, new = of(day.legacy), of(day.new)
    return legacy if legacy == new else f"{legacy} / {new}"
