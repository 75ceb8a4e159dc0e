"""Reads an import test's report for the gate: strictly, completely and without contradiction, or not at all. Pure."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta

from backfill_job.import_test.compare import Verdict
from shared.errors import UsageError
from shared.json_io import decode

__all__ = ["ImportRecord", "ImportedDay", "read_import_record"]

_Moment = Annotated[datetime, Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class ImportedDay:
    """The test of one day.

    Attributes:
        empty: Whether both paths have no object of this day.
        tested: When; aware.
    """

    day: date
    passed: bool
    empty: bool
    tested: datetime


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """What an import test recorded.

    Attributes:
        legacy: The legacy path, ``gs://bucket/prefix/``.
        new: The new path.
        finished: When; aware.
        passed: It finished, and every day passed.
        error: What stopped it; None where it finished.
    """

    legacy: str
    new: str
    finished: datetime
    passed: bool
    error: str | None
    days: tuple[ImportedDay, ...]


@dataclass(frozen=True, slots=True)
class _Side:
    present: bool


@dataclass(frozen=True, slots=True)
class _Day:
    day: date
    verdict: Verdict
    passed: bool
    tested: _Moment
    legacy: _Side
    new: _Side


@dataclass(frozen=True, slots=True)
class _File:
    """The fields that the gate reads; `backfill_job.commands.import_test` writes more."""

    schema: Literal[1]
    kind: Literal["import-test"]
    legacy: str
    new: str
    asked: tuple[str, ...]
    allow_empty: bool
    finished: _Moment
    complete: bool
    passed: bool
    error: str | None
    days: tuple[_Day, ...]


def read_import_record(contents: bytes, where: str) -> ImportRecord:
    """Read an import test's report.

    Args:
        where: The file's name, for errors.

    Raises:
        UsageError: It is another file, is damaged, or contradicts itself.
    """
    try:
        return _record(decode(_File, contents, where, written=None), where)
    except UsageError as error:
        raise UsageError(f"{error}; run import-test again") from error


def _record(file: _File, where: str) -> ImportRecord:
    days = tuple(
        _day(day, f"{where}: days[{number}].passed", file.allow_empty) for number, day in enumerate(file.days)
    )
    whole = bool(file.asked) and list(file.asked) == [day.day.isoformat() for day in days]
    _require(file.complete, whole, f"{where}: complete")
    passed = whole and file.error is None and all(day.passed for day in days)
    _require(file.passed, passed, f"{where}: passed")
    return ImportRecord(file.legacy, file.new, file.finished, passed, file.error, days)


def _day(day: _Day, where: str, allow_empty: bool) -> ImportedDay:
    there = [day.legacy.present, day.new.present]
    empty = day.verdict is Verdict.ABSENT and not any(there)
    passed = (day.verdict is Verdict.EQUAL and all(there)) or (empty and allow_empty)
    _require(day.passed, passed, where)
    return ImportedDay(day.day, passed, empty, day.tested)


def _require(stated: bool, follows: bool, where: str) -> None:
    if stated is not follows:
        raise UsageError(f"{where} is {str(stated).lower()}, and the other fields say {str(follows).lower()}")
