"""What must hold before a deletion, each check by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backfill_job.deletion.checks import (
    CheckName,
    late_writes_check,
    passed_over,
    phase_check,
    references_check,
    signoffs_check,
    soak_check,
    verification_check,
)
from backfill_job.deletion.survey import BLOCKING, Survey
from backfill_job.late_writes import LateWrites, cutover_of
from backfill_job.verdict import Finding, Verdict
from backfill_job.verify.compare import Compared
from backfill_job.verify.day_counts import DayCounts
from shared.errors import UsageError
from shared.migration import Location, Migration
from shared.objects import Metadata, ObjectState
from shared.phase import Phase
from shared.state import Signatory, State
from shared.state_changes import Stamp, sign_off, with_phase
from shared.verification import NameDifference

MIGRATION = Migration(Location("legacy", "QPI_exports/"), Location("new", "qpi_exports/"))
NOW = datetime(2027, 3, 1, tzinfo=UTC)
WEEK = timedelta(days=7)


def stamp(change: str, days_ago: float = 30) -> Stamp:
    return Stamp(change, "Ada", NOW - timedelta(days=days_ago))


def cut_over(days_ago: float = 30, *, signed: int = 4) -> State:
    state = State.initial(MIGRATION)
    for name in list(Signatory)[:signed]:
        state = sign_off(state, name, stamp(name.value, days_ago))
    return with_phase(state, Phase.CUT_OVER, stamp("c", days_ago))


@pytest.mark.parametrize("phase", Phase)
def test_only_the_phase_that_is_wanted_passes(phase: Phase) -> None:
    """And every other says what to do."""
    state = replace(State.initial(MIGRATION), phase=phase)
    for wanted in Phase:
        check = phase_check(state, {wanted})
        assert check.passed is (phase is wanted)
        assert check.passed or check.to_do


def test_the_soaking_begins_with_the_last_cutover() -> None:
    """Whatever came before it, and whatever was noted since."""
    state = with_phase(cut_over(30), Phase.ROLLED_BACK, stamp("r", 20))
    state = with_phase(state, Phase.CUT_OVER, stamp("c2", 3))
    state = with_phase(state, Phase.DELETING, stamp("d", 1))
    assert cutover_of(state) == NOW - timedelta(days=3)
    assert cutover_of(State.initial(MIGRATION)) is None


@pytest.mark.parametrize(("days_ago", "passed"), [(7, True), (6.999, False), (0, False), (-1, False)])
def test_it_soaks_for_as_many_days_as_are_asked_for(days_ago: float, *, passed: bool) -> None:
    """To the second; and says when it will have."""
    check = soak_check(NOW - timedelta(days=days_ago), WEEK, NOW)
    assert check.passed is passed
    assert passed or "wait until 2027-03-" in check.to_do
    assert not soak_check(None, timedelta(), NOW).passed


def state(created: str, crc32c: str = "AAAA==") -> ObjectState:
    return ObjectState("n", 7, 1, 3, crc32c, None, created, created, Metadata())


SINCE = "2027-02-01T00:00:00.000Z"


@pytest.mark.parametrize(
    ("source", "destination", "late"),
    [
        ("2027-01-31T23:59:59.999Z", "2027-02-01T00:00:01.000Z", False),
        ("2027-02-01T00:00:00.001Z", "2027-02-01T00:00:01.000Z", True),
        ("2027-02-02T00:00:00.000Z", "2027-02-01T23:59:59.000Z", False),
        ("2027-02-02T00:00:00.000Z", "2027-01-02T00:00:00.000Z", True),
        ("2027-02-02T00:00:00.000Z", None, True),
    ],
    ids=[
        "before the cutover",
        "after it, and copied forward",
        "the reverse mirror's copy",
        "an old object uploaded again, just so",
        "not copied yet",
    ],
)
def test_a_late_write_is_told_from_what_the_reverse_mirror_brought(
    source: str, destination: str | None, *, late: bool
) -> None:
    """By Cloud Storage's own times of both objects."""
    found = LateWrites(SINCE)
    there = None if destination is None else state(destination)
    found.add(Finding("n", Verdict.EQUAL, state(source), there))
    assert (found.objects, found.names) == ((1, ["n"]) if late else (0, []))


def test_a_different_object_is_no_copy() -> None:
    """Whatever its times."""
    found = LateWrites(SINCE)
    newer, older = state("2027-02-03T00:00:00.000Z"), state("2027-02-02T00:00:00.000Z", "BBBB==")
    found.add(Finding("n", Verdict.CONTENT_DIFFERS, newer, older))
    assert found.objects == 1


@pytest.mark.parametrize(
    ("newest", "passed"), [("2027-02-22T00:00:00.000Z", True), ("2027-02-22T00:00:01.000Z", False)]
)
def test_a_late_write_begins_the_soaking_anew(newest: str, *, passed: bool) -> None:
    """Its writer was still using the legacy path."""
    check = late_writes_check(LateWrites(SINCE, 2, ["a", "b"], newest), WEEK, NOW)
    assert check.passed is passed
    assert "2 objects written there since the cutover" in check.evidence
    assert passed or "find the writer" in check.to_do


def survey(**counts: int) -> Survey:
    found = Survey(DayCounts(), LateWrites(""), equal=counts.pop("equal", 5))
    verdicts = {verdict: counts.get(verdict.value, 0) for verdict in Verdict}
    found.compared = Compared(verdicts, (NameDifference("x", Verdict.MISSING, (), None, None),))
    return found


@pytest.mark.parametrize("verdict", BLOCKING)
def test_one_legacy_object_that_is_not_proven_equal_stands_in_the_way(verdict: Verdict) -> None:
    """Of millions."""
    check = verification_check(survey(**{verdict.value: 1}), MIGRATION)
    assert not check.passed
    assert f"1 {verdict.value.replace('_', ' ')}" in check.evidence


def test_what_was_never_migrated_or_is_only_at_the_new_path_does_not() -> None:
    """There is nothing of it to be deleted."""
    assert verification_check(survey(extra=3, excluded=2), MIGRATION).passed
    assert not verification_check(survey(equal=0), MIGRATION).passed


@dataclass
class Scanned:
    clean: bool
    blocking: Sequence[object] = ()
    errors: Sequence[object] = ()
    files: int = 3


def test_references_must_have_been_looked_for_and_found_clean(tmp_path: Path) -> None:
    """No checkout, no scanner, a folder that is not there, or an empty one: not clean."""

    def check(found: Scanned | UsageError, *repos: Path) -> tuple[bool, str, str]:
        def scan(paths: Sequence[Path], migrations: Sequence[Migration]) -> Scanned:
            assert (paths, migrations) == (repos, [MIGRATION])
            if isinstance(found, UsageError):
                raise found
            return found

        done = references_check(repos, MIGRATION, scan)
        return done.passed, done.evidence, done.to_do

    assert check(Scanned(clean=True), tmp_path)[0]
    passed, evidence, to_do = check(Scanned(clean=False, blocking=[1, 2], errors=[3]), tmp_path)
    assert (passed, "2 findings" in evidence, "1 file unreadable" in evidence) == (False, True, True)
    assert "python -m backfill_job references" in to_do
    assert not check(Scanned(clean=True, files=0), tmp_path)[0]
    assert check(Scanned(clean=True))[2] == "name a checkout of the consumers' code with --repo PATH"
    assert check(UsageError("no such folder"), tmp_path)[:2] == (False, "no such folder")
    assert not references_check([tmp_path], MIGRATION, None).passed


@pytest.mark.parametrize("signed", range(5))
def test_everybody_must_have_signed(signed: int) -> None:
    """And whoever has not is named."""
    check = signoffs_check(cut_over(signed=signed))
    assert check.passed is (signed == 4)
    assert all(name.value in check.evidence for name in list(Signatory)[signed:])


def test_only_some_checks_can_be_passed_over_and_only_where_they_fail() -> None:
    """Neither the verification nor the phase, whatever somebody says."""
    failing = [
        phase_check(State.initial(MIGRATION), {Phase.CUT_OVER}),
        soak_check(NOW, WEEK, NOW),
        verification_check(survey(missing=1), MIGRATION),
        references_check([], MIGRATION, None),
        signoffs_check(State.initial(MIGRATION)),
    ]
    reasons = dict.fromkeys(CheckName, "because")
    passed = passed_over(failing, reasons, "Ada")
    assert [check.name for check in passed if check.refuses] == [CheckName.PHASE, CheckName.VERIFICATION]
    override = passed[1].override
    assert override is not None
    assert (override.check, override.by, override.reason) == ("soak", "Ada", "because")
    assert "cut over 2027-03-01" in override.evidence
    holding = [soak_check(NOW - WEEK, WEEK, NOW)]
    assert passed_over(holding, reasons, "Ada")[0].override is None
