"""The verification that is made of what was compared: clean only where everything is."""

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from backfill_job.contents.check import ContentsTally, ProblemSide
from backfill_job.contents.rows import ProblemKind
from backfill_job.copying.compare import Compared
from backfill_job.verify.day_counts import DayCounts, LagCounts
from backfill_job.verify.result import VerifyResult, verification
from shared.operations import Operations
from shared.verification import (
    NO_OBJECTS,
    ContentsFound,
    DayState,
    DayTotals,
    Level,
    Remark,
    Severity,
    Verdict,
    Verification,
    read_verification,
)

NOW = datetime(2026, 11, 20, 12, 0, 0, 123_456, tzinfo=UTC)
IDENTITY: dict[str, Any] = {
    "run": "r",
    "env": "dev",
    "source": "gs://a/x/",
    "destination": "gs://b/y/",
    "excludes": [],
    "started": "2026-11-20T11:00:00.000+00:00",
    "tasks": 1,
}
ERROR, NOT_JUDGED, WARNING = (
    next(kind for kind in ProblemKind if kind.severity is severity)
    for severity in (Severity.ERROR, Severity.NOT_JUDGED, Severity.WARNING)
)


def made(
    *remarks: Remark, contents: ContentsFound | None = None, counts: DayCounts | None = None, **wrong: int
) -> Verification:
    found = {**dict.fromkeys(Verdict, 0), Verdict.EQUAL: 1}
    found.update({Verdict(name): number for name, number in wrong.items()})
    counted = counts or DayCounts(LagCounts("2026-11-20T10:00:00.000Z"))
    result = VerifyResult(Compared(found, (), NOW), counted, contents, Operations())
    return verification(IDENTITY, result, remarks, finished=NOW, grace=timedelta(minutes=1))


def read(side: ProblemSide, kind: ProblemKind) -> ContentsFound:
    """Contents with one problem."""
    tally = ContentsTally()
    tally.book("x.jsonl", side, {kind: 1}, ())
    return tally.result("all", 1.0)


@pytest.mark.parametrize("verdict", ["missing", "content_differs", "metadata_differs", "extra", "in_flight"])
def test_one_name_that_is_not_equal_is_not_clean(verdict: str) -> None:
    """Whichever verdict it has; an excluded name was not compared."""
    found = made(**{verdict: 1})
    assert (found.clean, found.exit_code, found.differences_total) == (False, 1, 1)
    assert made(excluded=1).clean


@pytest.mark.parametrize(
    ("level", "clean"), [(Level.CRITICAL, False), (Level.WARNING, True), (Level.NOTE, True)]
)
def test_something_critical_is_not_clean(level: Level, *, clean: bool) -> None:
    """Although every name is equal."""
    found = made(Remark(level, "x", None, "t"))
    assert (found.clean, found.exit_code) == (clean, 0 if clean else 1)


@pytest.mark.parametrize(
    ("contents", "clean"),
    [
        (read(ProblemSide.MIGRATION, ERROR), False),
        (read(ProblemSide.MIGRATION, NOT_JUDGED), False),
        (read(ProblemSide.MIGRATION, WARNING), True),
        (read(ProblemSide.SOURCE, ERROR), True),
    ],
    ids=["the copy's error", "not judged in the copy", "the copy's warning", "the source's error"],
)
def test_contents_that_the_copy_broke_are_not_clean(contents: ContentsFound, *, clean: bool) -> None:
    """What is wrong at the source already is the source's."""
    found = made(contents=contents)
    assert (found.clean, found.exit_code) == (clean, 0 if clean else 1)
    assert read_verification(json.dumps(found.to_json()).encode(), "v.json") == found


@pytest.mark.parametrize(
    ("verdicts", "state"),
    [
        ([], DayState.ABSENT),
        ([Verdict.EQUAL], DayState.EQUAL),
        ([Verdict.EQUAL, Verdict.IN_FLIGHT], DayState.IN_FLIGHT),
        ([Verdict.EQUAL, Verdict.IN_FLIGHT, Verdict.EXTRA], DayState.DIFFERING),
        ([Verdict.EQUAL, Verdict.IN_FLIGHT, Verdict.METADATA_DIFFERS], DayState.DIFFERING),
        ([Verdict.EQUAL, Verdict.IN_FLIGHT, Verdict.CONTENT_DIFFERS], DayState.DIFFERING),
        ([*Verdict], DayState.MISSING),
    ],
)
def test_a_day_is_as_bad_as_its_worst_name(verdicts: list[Verdict], state: DayState) -> None:
    """Missing is worse than differing, and differing is worse than in flight."""
    parts = [DayTotals.of(date(2026, 11, 1), NO_OBJECTS, NO_OBJECTS, {verdict: 1}) for verdict in verdicts]
    assert sum(parts, DayTotals.of(date(2026, 11, 1), NO_OBJECTS, NO_OBJECTS, {})).verdict is state


def test_what_is_made_is_what_is_read_back() -> None:
    """As precise as its file, times included."""
    found = made()
    assert found.finished == NOW.replace(microsecond=123_000)
    assert read_verification(json.dumps(found.to_json()).encode(), "v.json") == found
