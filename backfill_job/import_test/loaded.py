"""The path against the consumer's own table, day by day: what was loaded once, never, in part, or twice. Pure.

A row of the path was loaded when the table has the same row. The same are ``user_id``, ``submitted_at`` and the fingerprint of
everything in it (`compare` has its definition). A row that is on the path twice must be in the table twice. The verdict over a day::

    =================================================  ==============  ======
    rows of the path                                   verdict         right
    =================================================  ==============  ======
    no file                                            ``nothing``     yes
    cannot be read, or their times were not looked for ``not_judged``  no
    none is in the table                               ``never``       no
    some are not in the table                          ``partly``      no
    some are in the table more often than on the path  ``twice``       no
    all are in the table, once                         ``once``        yes
    =================================================  ==============  ======

Where not a single row was compared, nothing is right. Rows that only the table has are counted by the day of their time. A user who
answered again after the night leaves one. They do not change the verdict.

`join_sql` is the query of both engines. It gives counts, and no row leaves the engine.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Protocol

from rich.table import Table

from backfill_job.consumer import Consumer
from backfill_job.import_test.day import Folder
from backfill_job.import_test.results import day_table
from shared.loaded import LoadedDay, loaded_verdict
from shared.objects import parse_time
from shared.text import counted

__all__ = [
    "MARGIN",
    "NO_PATH",
    "FoundDay",
    "PathDay",
    "TableEngine",
    "join_sql",
    "loaded_day",
    "loaded_table",
]

MARGIN = timedelta(days=3)
"""How far before and after the days the table's rows are looked for, by their time: a client's clock may be wrong."""


SAME_ROW = (
    "t.user_id IS NOT DISTINCT FROM new.user_id AND t.submitted_at IS NOT DISTINCT FROM new.submitted_at"
)
"""Whether a row of the table has the user and the time of a new one, in the SQL of both engines."""

SIMPLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,299}")
"""A table's or column's name that needs no escaping in the SQL of either engine."""


@dataclass(frozen=True, slots=True)
class PathDay:
    """A day of the path, as it was listed.

    Attributes:
        late: Files that were written after the night's run began, so that it did not load them.
    """

    day: date
    folder: Folder
    late: int

    @staticmethod
    def of(day: date, folder: Folder, consumer: Consumer) -> "PathDay":
        """Count the files that came after the night."""
        began, _ = consumer.night_of(day)
        return PathDay(day, folder, sum(parse_time(each.created) > began for each in folder.files.values()))

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(each.size for each in self.folder.files.values())


@dataclass(frozen=True, slots=True)
class FoundDay:
    """What an engine found of a day.

    Attributes:
        loaded: How many of them are in the table.
        again: Rows that the table has beyond those of the path.
        changed: Rows not loaded whose user and time the table has, with other contents.
        outside: Rows not loaded whose time is outside of what was looked for.
        table_only: Rows with a time of this day that only the table has.
        problem: Why the path's rows could not be read; else empty.
    """

    rows: int = 0
    loaded: int = 0
    again: int = 0
    changed: int = 0
    outside: int = 0
    table_only: int = 0
    problem: str = ""


class TableEngine(Protocol):
    """Compares the path with a table; both attributes are for people."""

    @property
    def name(self) -> str:
        """The engine."""
        ...

    @property
    def table(self) -> str:
        """The consumer's table."""
        ...

    def scanned(self, days: Sequence[PathDay]) -> int | None:
        """Bytes of the table that `compare` will scan, by the engine's own estimate; None where they cost nothing."""
        ...

    def compare(self, days: Sequence[PathDay]) -> dict[date, FoundDay]:
        """Compare; what is not in the result has no row on either side.

        Raises:
            MigrationError: There is no verdict.
        """
        ...

    def again(self, day: PathDay) -> str:
        """The command that loads what the table lacks of a day, and nothing twice."""
        ...


def loaded_day(path: PathDay, found: FoundDay) -> LoadedDay:
    """Judge a day; the table is above."""
    if not found.problem and found.outside:
        away = f"{counted(found.outside, 'row')} with a time more than {MARGIN.days} days away"
        found = replace(found, problem=away)
    verdict = loaded_verdict(found.rows, found.loaded, found.again, found.problem)
    counts = (found.rows, found.loaded, found.again, found.changed, found.table_only)
    return LoadedDay(path.day, verdict, len(path.folder.files), path.late, *counts, found.problem)


# --- the query --------------------------------------------------------------------------------------------------

NO_PATH = "SELECT CAST(NULL AS DATE) AS day, '' AS k, '' AS digest, FALSE AS outside FROM (SELECT 1 AS one) AS nothing WHERE one = 0"
"""The path's rows where there is no file."""


def join_sql(path_rows: str, table_rows: str, first: date, last: date) -> str:
    """The query that gives a line of counts for each day; `FoundDay` has the columns.

    Args:
        path_rows: A query for ``day``, ``k`` (user and time), ``digest`` and ``outside`` of each row of the path.
        table_rows: A query for ``day``, ``k`` and ``digest`` of each row of the table.
        first: The first day of which the table's own rows are counted; `last` the last.
    """
    return f"""
WITH path_rows AS ({path_rows}),
table_rows AS ({table_rows}),
p AS (SELECT day, digest, outside, MIN(k) AS k, COUNT(*) AS n FROM path_rows GROUP BY day, digest, outside),
t AS (SELECT digest, MIN(day) AS day, COUNT(*) AS n FROM table_rows GROUP BY digest),
keys AS (SELECT DISTINCT k FROM table_rows),
ranked AS (
  SELECT p.day, p.n, p.k, p.outside, COALESCE(t.n, 0) AS held,
    SUM(p.n) OVER (PARTITION BY p.digest ORDER BY p.day) - p.n AS earlier,
    SUM(p.n) OVER (PARTITION BY p.digest) AS total,
    ROW_NUMBER() OVER (PARTITION BY p.digest ORDER BY p.day) AS place
  FROM p LEFT JOIN t ON p.digest = t.digest),
judged AS (
  SELECT day, n, k, outside, LEAST(n, GREATEST(0, held - earlier)) AS found,
    CASE WHEN place = 1 THEN GREATEST(0, held - total) ELSE 0 END AS too_many
  FROM ranked),
days AS (
  SELECT day, SUM(n) AS n, SUM(found) AS found, SUM(too_many) AS too_many,
    SUM(CASE WHEN keys.k IS NULL THEN 0 ELSE n - found END) AS changed,
    SUM(CASE WHEN outside THEN n - found ELSE 0 END) AS outside
  FROM judged LEFT JOIN keys ON judged.k = keys.k GROUP BY day),
table_days AS (
  SELECT t.day, SUM(t.n) AS n FROM t LEFT JOIN (SELECT DISTINCT digest FROM p) AS known ON t.digest = known.digest
  WHERE known.digest IS NULL AND t.day BETWEEN DATE '{first}' AND DATE '{last}' GROUP BY t.day)
SELECT COALESCE(days.day, table_days.day) AS day, COALESCE(days.n, 0) AS row_count, COALESCE(found, 0) AS loaded_rows,
  COALESCE(too_many, 0) AS again, COALESCE(changed, 0) AS changed, COALESCE(outside, 0) AS outside,
  COALESCE(table_days.n, 0) AS table_only
FROM days FULL JOIN table_days ON days.day = table_days.day
ORDER BY 1
"""  # noqa: S608 -- queries of ours, and dates


# --- the report -------------------------------------------------------------------------------------------------


def loaded_table(days: Sequence[LoadedDay]) -> Table:
    """The days as a table for a console of 100 columns."""
    table = day_table("files", "after the night", "rows", "loaded", "too many", "only in the table")
    for each in days:
        figures = (each.files, each.late, each.rows, each.loaded, each.again, each.table_only)
        table.add_row(f"{each.day}", each.verdict.value.replace("_", " "), *(f"{n:,}" for n in figures))
    return table
