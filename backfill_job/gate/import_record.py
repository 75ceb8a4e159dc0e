"""Reads an import test's report strictly, for the gate: complete and consistent, or not at all. Pure."""

from dataclasses import dataclass
from datetime import date, datetime

from backfill_job.import_test.compare import Verdict
from backfill_job.import_test.results import KIND, REPORT_SCHEMA
from shared.errors import UsageError
from shared.report.fields import Fields
from shared.strict_json import parse_json

__all__ = ["ImportRecord", "ImportedDay", "read_import_record"]


@dataclass(frozen=True, slots=True)
class ImportedDay:
    """A day's test.

    Attributes:
        empty: Whether neither path has an object of the day.
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
        finished: When it ended; aware.
        passed: Whether it is complete and every day passes.
        error: What ended it early; None where nothing did.
    """

    legacy: str
    new: str
    finished: datetime
    passed: bool
    error: str | None
    days: tuple[ImportedDay, ...]


def read_import_record(contents: bytes, where: str) -> ImportRecord:
    """Read an import test's report.

    Args:
        where: The name of the file, for errors.

    Raises:
        UsageError: It is not such a report, is damaged, or contradicts itself.
    """
    try:
        fields = Fields.of(parse_json(contents), "the import test")
        return _record(fields)
    except UsageError as error:
        raise UsageError(f"{where}: {error}; run import-test again") from error
    except ValueError as error:
        raise UsageError(f"{where}: not JSON ({error}); run import-test again") from error


def _record(fields: Fields) -> ImportRecord:
    if fields.text("kind") != KIND:
        raise fields.wrong("kind", f"{KIND!r}")
    if fields.count("schema") != REPORT_SCHEMA:
        raise fields.wrong("schema", f"{REPORT_SCHEMA}, which this program reads,")
    allow_empty = fields.flag("allow_empty")
    days = tuple(_day(one, allow_empty=allow_empty) for one in fields.each("days"))
    error = fields.optional("error", fields.text)
    asked, tested = fields.texts("asked"), [one.day.isoformat() for one in days]
    whole = bool(asked) and list(asked) == tested
    if fields.flag("complete") is not whole:
        raise fields.wrong("complete", str(whole).lower())
    passed = whole and error is None and all(one.passed for one in days)
    if fields.flag("passed") is not passed:
        raise fields.wrong("passed", str(passed).lower())
    return ImportRecord(
        fields.text("legacy"), fields.text("new"), fields.moment("finished"), passed, error, days
    )


def _day(fields: Fields, *, allow_empty: bool) -> ImportedDay:
    verdict = fields.choice("verdict", Verdict)
    there = [fields.inner(side).flag("present") for side in ("legacy", "new")]
    empty = verdict is Verdict.ABSENT and not any(there)
    passed = (verdict is Verdict.EQUAL and all(there)) or (empty and allow_empty)
    if fields.flag("passed") is not passed:
        raise fields.wrong("passed", f"{str(passed).lower()}, as its verdict is {verdict.value},")
    return ImportedDay(fields.day("day"), passed, empty, fields.moment("tested"))
