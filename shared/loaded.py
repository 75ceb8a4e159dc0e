"""What `loaded` leaves beside the state: the path against the consumer's own table, day by day. Pure.

The command makes the record (`backfill_job.import_test.loaded` has the table of verdicts). The gate, `status` and the status page
read it, strictly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Literal

from msgspec import Meta

from shared.errors import UsageError
from shared.json_io import Count, decode_checked
from shared.migration import Migration
from shared.store import ContentsStore
from shared.text import counted, listed

__all__ = [
    "RECORD_NAME",
    "LoadedDay",
    "LoadedRecord",
    "LoadedVerdict",
    "calendar",
    "loaded_verdict",
    "read_latest_loaded",
    "read_loaded",
]

KIND: Literal["loaded"] = "loaded"
RECORD_NAME = "loaded.json"
REPORT_SCHEMA: Literal[1] = 1

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
        of_rows = "its 1 row is not" if self.rows == 1 else f"none of {counted(self.rows, 'row')} is"
        match self.verdict:
            case LoadedVerdict.NOTHING:
                said = "nothing on the path"
            case LoadedVerdict.NOT_JUDGED:
                said = f"not judged: {self.problem}"
            case LoadedVerdict.NEVER:
                said = f"NEVER LOADED: {of_rows} in the table{changed}{late}"
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


def loaded_verdict(rows: int, loaded: int, again: int, problem: str) -> LoadedVerdict:
    """Judge a day by its figures, as `LoadedDay` has them."""
    if problem:
        return LoadedVerdict.NOT_JUDGED
    if not rows:
        return LoadedVerdict.NOTHING
    if not loaded:
        return LoadedVerdict.NEVER
    if loaded < rows:
        return LoadedVerdict.PARTLY
    return LoadedVerdict.TWICE if again else LoadedVerdict.ONCE


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
    fingerprint_definition: str
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
            they = "it" if len(self.days) == 1 else "they"
            return f"{len(self.wrong):,} of {days} not loaded as {they} should be: {names}"
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


def read_latest_loaded(store: ContentsStore, migration: Migration) -> LoadedRecord | None:
    """Read a migration's latest record; None when there is none. Raises `UsageError` or `StorageError` as it is read."""
    at = migration.own_ref("latest", RECORD_NAME)
    contents = store.read(at)
    return None if contents is None else read_loaded(contents, at.uri)


def read_loaded(contents: bytes, where: str) -> LoadedRecord:
    """Read a record: strictly, completely and without contradiction, or not at all.

    Raises:
        UsageError: It is another file, is damaged, or contradicts itself.
    """
    return decode_checked(LoadedRecord, contents, where, _check, "`loaded`")


def _check(found: LoadedRecord, where: str) -> None:
    for day in found.days:
        verdict = loaded_verdict(day.rows, day.loaded, day.again, day.problem)
        if day.verdict is not verdict or day.loaded > day.rows:
            raise UsageError(
                f"{where}: {day.day} is {day.verdict.value}, and its figures say {verdict.value}"
            )
    if found.passed is not found.right:
        raise UsageError(f"{where}: passed is {found.passed}, and its days say {found.right}")
