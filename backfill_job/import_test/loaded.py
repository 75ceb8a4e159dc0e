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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Literal, Protocol

from msgspec import Meta
from rich import box
from rich.table import Table

from backfill_job.consumer import Consumer
from backfill_job.import_test.compare import DEFINITION
from backfill_job.import_test.day import Folder
from shared.errors import UsageError
from shared.json_io import Count, decode
from shared.objects import parse_time
from shared.text import counted, listed

__all__ = [
    "MARGIN",
    "NO_PATH",
    "RECORD_NAME",
    "Found",
    "LoadedDay",
    "LoadedRecord",
    "LoadedVerdict",
    "PathDay",
    "TableEngine",
    "join_sql",
    "loaded_day",
    "loaded_table",
    "read_loaded",
]

KIND: Literal["loaded"] = "loaded"
RECORD_NAME = "loaded.json"
REPORT_SCHEMA: Literal[1] = 1

MARGIN = timedelta(days=3)
"""How far before and after the days the table's rows are looked for, by their time: a client's clock may be wrong."""

WEEK = 7


class LoadedVerdict(Enum):
    """How a day of the path stands in the consumer's table."""

    NOTHING = "nothing"
    NOT_JUDGED = "not_judged"
    NEVER = "never"
    PARTLY = "partly"
    TWICE = "twice"
    ONCE = "once"

    @property
    def right(self) -> bool:
        """Whether nothing is wrong with the day."""
        return self in {LoadedVerdict.ONCE, LoadedVerdict.NOTHING}


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
class Found:
    """What an engine found of a day.

    Attributes:
        rows: Rows of the path.
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

    def compare(self, days: Sequence[PathDay]) -> dict[date, Found]:
        """Compare; what is not in the result has no row on either side.

        Raises:
            MigrationError: There is no verdict.
        """
        ...

    def again(self, day: PathDay) -> str:
        """The command that loads what the table lacks of a day, and nothing twice."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedDay:
    """The verdict over a day, and the figures behind it."""

    day: date
    verdict: LoadedVerdict
    files: Count
    late: Count
    rows: Count
    loaded: Count
    again: Count
    changed: Count
    table_only: Count
    problem: str = ""

    @property
    def sentence(self) -> str:
        """The day as a person reads it."""
        missing = self.rows - self.loaded
        late = f"; {counted(self.late, 'file')} arrived after the night's run began" if self.late else ""
        changed = f"; of {self.changed:,} the table has another version" if self.changed else ""
        again = f"; {counted(self.again, 'row')} too many" if self.again else ""
        match self.verdict:
            case LoadedVerdict.NOTHING:
                said = "nothing on the path"
            case LoadedVerdict.NOT_JUDGED:
                said = f"not judged: {self.problem}"
            case LoadedVerdict.NEVER:
                said = f"NEVER LOADED: none of {counted(self.rows, 'row')} is in the table{changed}{late}"
            case LoadedVerdict.PARTLY:
                said = f"loaded in part: {missing:,} of {counted(self.rows, 'row')} not in the table{changed}{late}{again}"
            case LoadedVerdict.TWICE:
                said = (
                    f"LOADED TWICE: {counted(self.rows, 'row')} on the path, {self.again:,} more in the table"
                )
            case LoadedVerdict.ONCE:
                said = f"loaded once: {counted(self.rows, 'row')}"
        only = f" ({counted(self.table_only, 'row')} only in the table)" if self.table_only else ""
        return said + only


def loaded_day(path: PathDay, found: Found) -> LoadedDay:
    """Judge a day; the table is above."""
    if not found.problem and found.outside:
        away = f"{counted(found.outside, 'row')} with a time more than {MARGIN.days} days away"
        found = replace(found, problem=away)
    return LoadedDay(
        path.day,
        _verdict(found),
        len(path.folder.files),
        path.late,
        found.rows,
        found.loaded,
        found.again,
        found.changed,
        found.table_only,
        found.problem,
    )


def _verdict(found: Found) -> LoadedVerdict:
    if found.problem:
        return LoadedVerdict.NOT_JUDGED
    if not found.rows:
        return LoadedVerdict.NOTHING
    if not found.loaded:
        return LoadedVerdict.NEVER
    if found.loaded < found.rows:
        return LoadedVerdict.PARTLY
    return LoadedVerdict.TWICE if found.again else LoadedVerdict.ONCE


# --- the query --------------------------------------------------------------------------------------------------

NO_PATH = "SELECT CAST(NULL AS DATE) AS day, '' AS k, '' AS digest, FALSE AS outside FROM (SELECT 1 AS one) AS nothing WHERE one = 0"
"""The path's rows where there is no file."""


def join_sql(path_rows: str, table_rows: str, first: date, last: date) -> str:
    """The query that gives a line of counts for each day; `Found` has the columns.

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
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("day", "verdict"):
        table.add_column(heading, no_wrap=True)
    for heading in ("files", "after the night", "rows", "loaded", "too many", "only in the table"):
        table.add_column(heading, justify="right")
    for each in days:
        figures = (each.files, each.late, each.rows, each.loaded, each.again, each.table_only)
        table.add_row(
            each.day.isoformat(), each.verdict.value.replace("_", " "), *(f"{n:,}" for n in figures)
        )
    return table


_LETTERS = {
    LoadedVerdict.ONCE: "o",
    LoadedVerdict.NEVER: "N",
    LoadedVerdict.PARTLY: "p",
    LoadedVerdict.TWICE: "2",
    LoadedVerdict.NOTHING: ".",
    LoadedVerdict.NOT_JUDGED: "?",
}


def calendar(days: Sequence[LoadedDay]) -> list[str]:
    """The days as a calendar: a line a week from Monday, a letter a day."""
    by_week: dict[date, list[str]] = {}
    for each in days:
        monday = each.day - timedelta(days=each.day.weekday())
        by_week.setdefault(monday, [" "] * WEEK)[each.day.weekday()] = _LETTERS[each.verdict]
    key = ", ".join(f"{letter} {verdict.value.replace('_', ' ')}" for verdict, letter in _LETTERS.items())
    return [
        f"week from    MTWTFSS   ({key})",
        *(f"{week}   {''.join(by_week[week])}" for week in sorted(by_week)),
    ]


@dataclass(frozen=True, slots=True)
class LoadedRecord:
    """A run of the command, as its file has it.

    Attributes:
        path: The path that was read, ``gs://bucket/prefix/``; `legacy` and `new` are the migration's.
        table: The consumer's table, as the operator named it.
        consumer: The consumer's identity.
        passed: It finished, compared at least one row, and every day is right.
    """

    run: str
    engine: str
    consumer: str
    legacy: str
    new: str
    path: str
    table: str
    started: Annotated[datetime, Meta(tz=True)]
    finished: Annotated[datetime, Meta(tz=True)]
    days: tuple[LoadedDay, ...]
    passed: bool
    fingerprint_definition: str = DEFINITION
    schema: Literal[1] = REPORT_SCHEMA
    kind: Literal["loaded"] = KIND

    @property
    def wrong(self) -> list[LoadedDay]:
        """The days that are not right."""
        return [day for day in self.days if not day.verdict.right]

    @property
    def never(self) -> list[LoadedDay]:
        """The days of which nothing is in the table."""
        return [day for day in self.days if day.verdict is LoadedVerdict.NEVER]

    @property
    def right(self) -> bool:
        """Whether at least one row was compared, and every day is right."""
        return any(day.loaded for day in self.days) and not self.wrong

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        days = counted(len(self.days), "day")
        if self.wrong:
            names = listed((f"{day.day} {day.verdict.value.replace('_', ' ')}" for day in self.wrong), 3)
            return f"{len(self.wrong):,} of {days} not loaded as they should be: {names}"
        if not self.right:
            return f"{days} without a row on the path: nothing was compared"
        rows = sum(day.rows for day in self.days)
        return f"{days} loaded once, {counted(rows, 'row')}"

    def to_json(self) -> dict[str, Any]:
        """The record as its file has it, with what people read."""
        return {
            "schema": self.schema,
            "kind": self.kind,
            "run": self.run,
            "engine": self.engine,
            "fingerprint_definition": self.fingerprint_definition,
            "consumer": self.consumer,
            "legacy": self.legacy,
            "new": self.new,
            "path": self.path,
            "table": self.table,
            "started": self.started.isoformat(),
            "finished": self.finished.isoformat(),
            "passed": self.passed,
            "summary": self.summary,
            "calendar": calendar(self.days),
            "days": [_day_json(day) for day in self.days],
        }


def _day_json(day: LoadedDay) -> dict[str, Any]:
    return {
        "day": day.day.isoformat(),
        "verdict": day.verdict.value,
        "sentence": day.sentence,
        **{
            name: getattr(day, name)
            for name in ("files", "late", "rows", "loaded", "again", "changed", "table_only")
        },
        "problem": day.problem,
    }


def read_loaded(contents: bytes, where: str) -> LoadedRecord:
    """Read a record: strictly, completely and without contradiction, or not at all.

    Args:
        where: The file's name, for errors.

    Raises:
        UsageError: It is another file, is damaged, or contradicts itself.
    """
    try:
        found = decode(LoadedRecord, contents, where, written=None)
        _check(found, where)
    except UsageError as error:
        raise UsageError(f"{error}; run `loaded` again") from error
    return found


def _check(found: LoadedRecord, where: str) -> None:
    for day in found.days:
        verdict = _verdict(Found(day.rows, day.loaded, day.again, day.changed, problem=day.problem))
        if day.verdict is not verdict or day.loaded > day.rows:
            raise UsageError(
                f"{where}: {day.day} is {day.verdict.value}, and its figures say {verdict.value}"
            )
    if found.passed is not found.right:
        raise UsageError(f"{where}: passed is {found.passed}, and its days say {found.right}")
