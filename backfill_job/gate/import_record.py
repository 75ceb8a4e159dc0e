"""Reads an import test's report for the gate: strictly, completely and without contradiction, or not at all. Pure."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Literal

from msgspec import Meta

from backfill_job.import_test.compare import ImportVerdict
from shared.errors import UsageError
from shared.json_io import decode_checked

__all__ = ["ImportRecord", "ImportedDay", "read_import_record"]

_Moment = Annotated[datetime, Meta(tz=True)]


@dataclass(frozen=True, slots=True)
class _Side:
    present: bool


@dataclass(frozen=True, slots=True)
class ImportedDay:
    """The test of one day; `tested` says when."""

    day: date
    verdict: ImportVerdict
    passed: bool
    tested: _Moment
    legacy: _Side
    new: _Side

    @property
    def empty(self) -> bool:
        """Whether both paths have no object of this day."""
        return self.verdict is ImportVerdict.ABSENT and not (self.legacy.present or self.new.present)


@dataclass(frozen=True, slots=True)
class ImportRecord:
    """The fields that the gate reads; `backfill_job.import_test.results` writes more.

    Attributes:
        legacy: The legacy path, ``gs://bucket/prefix/``, as is the new one.
        passed: It finished, and every day passed.
        error: What stopped it; None where it finished.
        consumer: The identity of the consumer that it tried; empty in a report of an older version.
    """

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
    days: tuple[ImportedDay, ...]
    consumer: str = ""


def read_import_record(contents: bytes, where: str) -> ImportRecord:
    """Read an import test's report.

    Args:
        where: The file's name, for errors.

    Raises:
        UsageError: It is another file, is damaged, or contradicts itself.
    """
    return decode_checked(ImportRecord, contents, where, _check, "import-test")


def _check(found: ImportRecord, where: str) -> None:
    for number, day in enumerate(found.days):
        equal = day.verdict is ImportVerdict.EQUAL and day.legacy.present and day.new.present
        passed = equal or (day.empty and found.allow_empty)
        _require(day.passed, passed, f"{where}: days[{number}].passed")
    whole = bool(found.asked) and list(found.asked) == [day.day.isoformat() for day in found.days]
    _require(found.complete, whole, f"{where}: complete")
    passed = whole and found.error is None and all(day.passed for day in found.days)
    _require(found.passed, passed, f"{where}: passed")


def _require(stated: bool, follows: bool, where: str) -> None:
    if stated is not follows:
        raise UsageError(f"{where} is {str(stated).lower()}, and the other fields say {str(follows).lower()}")
