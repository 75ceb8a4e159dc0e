"""What must hold before a deletion, each check by itself."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from backfill_job.bucket_settings import lifecycle_checks
from backfill_job.checks import Check, Standing, attempted, blocking, marked, overridden, references_check
from backfill_job.copying.compare import Compared
from backfill_job.copying.diff import DiffLine, Verdict
from backfill_job.deletion.prepare import (
    OVERRIDABLE,
    deletion_phase_check,
    deletion_signoffs_check,
    late_writes_check,
    soak_check,
    verification_check,
)
from backfill_job.deletion.survey import Survey
from backfill_job.references.scan import Checkouts
from backfill_job.verify.day_counts import DayCounts
from backfill_job.verify.late_writes import LateWrites, cutover_of
from shared.green_days import EQUAL
from shared.migration import Location, Migration
from shared.objects import Metadata, ObjectState
from shared.phase import Phase
from shared.state import ComparisonRecord, DayPart, Light, Signatory, State
from shared.state_changes import Stamp, compared, comparing, sign_off, with_phase
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


def watched(days_ago: float, green: int) -> State:
    """Cut over so long ago, and then so many green days up to today."""
    state = cut_over(days_ago)
    for number in range(green - 1, -1, -1):
        at = stamp(f"v{number}", number)
        found = ComparisonRecord(at.change, "run", "verify", at.at, 1, 0, 0, ())
        parts = (DayPart(EQUAL, Light.GREEN, "x"),)
        state = compared(comparing(state, at, "run"), stamp(f"e{number}", number), found, parts)
    return state


@pytest.mark.parametrize("phase", Phase)
def test_only_the_phase_that_is_wanted_passes(phase: Phase) -> None:
    """And every other says what to do."""
    state = replace(State.initial(MIGRATION), phase=phase)
    for wanted in Phase:
        check = deletion_phase_check(state, {wanted})
        assert check.passed is (phase is wanted)
        assert check.passed or check.next_step


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
    check = soak_check(watched(days_ago, 7), MIGRATION, WEEK, NOW)
    assert check.passed is passed
    assert passed or "wait until 2027-03-" in check.next_step or "--soak-days 0" in check.next_step
    assert not soak_check(State.initial(MIGRATION), MIGRATION, timedelta(), NOW).passed


def test_without_a_daily_verification_the_command_is_there() -> None:
    """One line: the command to run each day, or the option that wants no green days; once a deletion began, only that."""
    check = soak_check(watched(30, 0), MIGRATION, WEEK, NOW)
    pair = "--source gs://legacy/QPI_exports/ --destination gs://new/qpi_exports/"
    assert "; 0 green days in a row (2027-02-15 to 2027-02-28: ..............); wants 7 (" in check.evidence
    assert check.next_step == (
        f"a verification once a day records a day, by a schedule or by hand: python -m backfill_job verify {pair}; "
        "or run it with --soak-days 0, which wants neither green days nor a pause after a late write"
    )
    begun = with_phase(watched(30, 6), Phase.DELETING, stamp("d", 0))
    assert (
        soak_check(begun, MIGRATION, WEEK, NOW).next_step
        == "run it with --soak-days 0, which wants neither green days nor a pause after a late write"
    )
    assert soak_check(begun, MIGRATION, timedelta(days=6), NOW + timedelta(days=90)).passed


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
    found.add(DiffLine("n", Verdict.EQUAL, state(source), there))
    assert (found.objects, found.names) == ((1, ["n"]) if late else (0, []))


def test_a_different_object_is_no_copy() -> None:
    """Whatever its times."""
    found = LateWrites(SINCE)
    newer, older = state("2027-02-03T00:00:00.000Z"), state("2027-02-02T00:00:00.000Z", "BBBB==")
    found.add(DiffLine("n", Verdict.CONTENT_DIFFERS, newer, older))
    assert found.objects == 1


@pytest.mark.parametrize(
    ("newest", "passed"), [("2027-02-22T00:00:00.000Z", True), ("2027-02-22T00:00:01.000Z", False)]
)
def test_a_late_write_begins_the_soaking_anew(newest: str, *, passed: bool) -> None:
    """Its writer was still using the legacy path."""
    check = late_writes_check(LateWrites(SINCE, 2, ["a", "b"], newest), WEEK, NOW)
    assert check.passed is passed
    assert "2 objects written there since the cutover" in check.evidence
    assert passed or "find the writer" in check.next_step


def survey(**counts: int) -> Survey:
    found = Survey(DayCounts(), LateWrites(""), equal=counts.pop("equal", 5))
    verdicts = {verdict: counts.get(verdict.value, 0) for verdict in Verdict}
    found.compared = Compared(verdicts, (NameDifference("x", Verdict.MISSING, (), None, None),), NOW)
    return found


@pytest.mark.parametrize(
    "verdict", [Verdict.MISSING, Verdict.CONTENT_DIFFERS, Verdict.METADATA_DIFFERS, Verdict.IN_FLIGHT]
)
def test_one_legacy_object_that_is_not_proven_equal_stands_in_the_way(verdict: Verdict) -> None:
    """Of millions."""
    check = verification_check(survey(**{verdict.value: 1}), MIGRATION, Phase.CUT_OVER)
    assert not check.passed
    assert f"1 {verdict.value.replace('_', ' ')}" in check.evidence


def test_what_was_never_migrated_or_is_only_at_the_new_path_does_not() -> None:
    """There is nothing of it to be deleted."""
    assert verification_check(survey(extra=3, excluded=2), MIGRATION, Phase.CUT_OVER).passed
    assert not verification_check(survey(equal=0), MIGRATION, Phase.CUT_OVER).passed


def looked_at(*repos: Path) -> Check:
    return references_check(Checkouts(repos).scan(MIGRATION), State.initial(MIGRATION))


def test_a_scan_that_cannot_be_made_is_not_run_and_blocks(tmp_path: Path) -> None:
    """No checkout, or one that is not there."""
    gone = tmp_path / "gone"
    for repos, why in (((), "no checkout of the consumers was named"), ((gone,), f"{gone} does not exist")):
        check = attempted("references", lambda repos=repos: looked_at(*repos))
        assert (check.standing, why in check.evidence, check.blocks) == (Standing.NOT_RUN, True, True), check


@pytest.mark.parametrize("signed", range(5))
def test_everybody_must_have_signed(signed: int) -> None:
    """And whoever has not is named."""
    check = deletion_signoffs_check(cut_over(signed=signed), MIGRATION)
    assert check.passed is (signed == 4)
    assert all(name.value in check.evidence for name in list(Signatory)[signed:])


def test_only_some_checks_can_be_overridden_and_only_where_they_block() -> None:
    """Neither the verification nor the phase, whatever somebody says."""
    failing = marked(
        [
            deletion_phase_check(State.initial(MIGRATION), {Phase.CUT_OVER}),
            soak_check(cut_over(0), MIGRATION, WEEK, NOW),
            verification_check(survey(missing=1), MIGRATION, Phase.CUT_OVER),
            looked_at(),
            deletion_signoffs_check(State.initial(MIGRATION), MIGRATION),
            *lifecycle_checks({"lifecycle": {"rule": [{"action": {"type": "Delete"}}]}}, MIGRATION),
        ],
        OVERRIDABLE,
    )
    reasons = dict.fromkeys([*OVERRIDABLE, "phase", "verification", "record-lifecycle"], "because")
    found = overridden(failing, reasons, "Ada")
    assert [check.name for check in blocking(found)] == ["phase", "verification", "record-lifecycle"]
    assert {check.standing for check in found if not check.blocks} == {Standing.OVERRIDDEN}
    override = found[1].override
    assert override is not None
    assert (override.check, override.by, override.reason) == ("soak", "Ada", "because")
    assert "cut over 2027-03-01" in override.evidence
    passing = marked([soak_check(watched(7, 7), MIGRATION, WEEK, NOW)], OVERRIDABLE)
    assert overridden(passing, reasons, "Ada") == passing
