"""The counts of a copy, a catch-up and a deletion must balance."""

import json
from collections import Counter
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from backfill_job.copying.catch_up import CatchUp
from backfill_job.copying.compare import Compared
from backfill_job.copying.counts import COPY, Account, Counts
from backfill_job.copying.diff import Work
from backfill_job.copying.result import RunResult
from backfill_job.deletion.records import DELETION, LineOutcome, deletion_summary
from backfill_job.run.command import ExitCode
from backfill_job.run.failures import Failure
from shared.errors import Cause
from shared.operations import Operations
from shared.replicate import Outcome
from shared.verification import Verdict

BEGAN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@given(st.lists(st.tuples(st.sampled_from(Account), st.integers(0, 1000))))
def test_the_counts_balance_when_every_listed_object_is_counted_once(
    entries: list[tuple[Account, int]],
) -> None:
    """listed = copied + already_equal + superseded + conflict + failed + excluded."""
    counts = Counts(COPY)
    for account, size in entries:
        counts.list(1)
        counts.add(account, size)
    assert counts.holds
    assert counts.bytes == sum(size for account, size in entries if account is Account.COPIED)
    assert counts.clean == (not {account for account, _ in entries} & {Account.FAILED, Account.CONFLICT})


def test_an_object_without_an_outcome_breaks_the_counts() -> None:
    """Silence about an object is not success."""
    counts = Counts(COPY)
    counts.list(1)
    assert not counts.holds
    assert not counts.clean


def test_an_object_counted_twice_breaks_the_counts() -> None:
    """Nor is counting one twice."""
    counts = Counts(COPY)
    counts.list(1)
    counts.add(Account.COPIED, 1)
    counts.add(Account.COPIED, 1)
    assert not counts.holds


def test_every_outcome_of_the_rule_has_its_account() -> None:
    """A new outcome without an account would fail here, not in production."""
    assert [Account.of(outcome).value for outcome in Outcome] == [outcome.value for outcome in Outcome]


def test_counts_that_do_not_balance_say_so_in_every_summary() -> None:
    """A copy, a catch-up, a deletion: none of them passes for done, and each gives both numbers."""
    counts = Counts(COPY)
    counts.list(5)
    counts.add(Account.COPIED, 10)
    run = RunResult(counts, None, "", False, 1.0, Work(), Operations(0, 0))
    assert (
        run.summary == "5 objects listed: 1 copied; THE COUNTS DO NOT BALANCE (1 accounted for); not verified"
    )
    assert run.exit_code is not ExitCode.DONE
    caught_up = CatchUp(1, run, ())
    assert not caught_up.done
    assert caught_up.summary == (
        "5 objects looked at, 1 brought over; THE COUNTS DO NOT BALANCE (1 accounted for)"
    )
    lines = Counts(DELETION, 4, Counter({LineOutcome.DELETED: 3}), 30, 2)
    assert not lines.holds
    assert deletion_summary(lines) == (
        "4 objects: 3 deleted (2 of the deletions by a request whose answer was lost); "
        "THE COUNTS DO NOT BALANCE (3 accounted for)"
    )
    whole = DELETION.merged([lines, DELETION.read(lines.to_json())])
    assert (whole.listed, whole.by_outcome[LineOutcome.DELETED], whole.bytes, whole.answers_lost) == (
        8,
        6,
        60,
        4,
    )


def advice(
    verdicts: dict[Verdict, int],
    *,
    conflicts: int = 0,
    failed: int = 0,
    stopped: str = "",
    stopped_by: Cause | None = None,
    failures: tuple[Failure, ...] = (),
) -> str:
    counts = Counts(COPY)
    failed += sum(failure.objects for failure in failures)
    equal = 7 - conflicts - failed
    for account, objects in (
        (Account.ALREADY_EQUAL, equal),
        (Account.CONFLICT, conflicts),
        (Account.FAILED, failed),
    ):
        counts.list(objects)
        counts.add(account, objects=objects)
    found = Compared({**dict.fromkeys(Verdict, 0), **verdicts}, (), BEGAN)
    result = RunResult(
        counts,
        None if stopped else found,
        stopped,
        False,
        1.0,
        Work(),
        Operations(0, 0),
        failures=failures,
        stopped_by=stopped_by,
    )
    assert RunResult.from_json(json.loads(json.dumps(result.to_json()))) == result
    assert result.exit_code is ExitCode.NOT_RIGHT
    return "\n".join(result.screen_lines())


AGAIN = "Run the same command again."


def test_the_same_command_is_advised_only_where_it_helps() -> None:
    """After the cutover it replaces nothing on the new path and removes nothing there: conflicts and new exports stay."""
    for helps in (
        advice({}, stopped="SIGTERM"),
        advice({Verdict.MISSING: 1}, failed=1),
        advice({Verdict.MISSING: 1, Verdict.EXTRA: 1}),
        advice({Verdict.IN_FLIGHT: 1}),
        advice({Verdict.CONTENT_DIFFERS: 2}, conflicts=1),
        advice({Verdict.METADATA_DIFFERS: 1}),
    ):
        assert AGAIN in helps
    conflict = advice({Verdict.CONTENT_DIFFERS: 1, Verdict.METADATA_DIFFERS: 1}, conflicts=2)
    assert AGAIN not in conflict
    assert "2 objects in conflict" in conflict
    assert "In phase cut_over, `cutover` run again" in conflict
    new_exports = advice({Verdict.EXTRA: 3})
    assert AGAIN not in new_exports
    assert "3 objects only at the destination" in new_exports


def test_what_failed_is_grouped_by_cause_and_the_next_step_fits_it() -> None:
    """The same command helps by itself only where nothing has to be mended first."""
    held = Failure(Cause.HOLD, 3, "gs://b/a: a hold or a retention policy forbids it (…)")
    lost = Failure(Cause.NO_ANSWER, 2, "gs://b/c: no answer")
    only_held = advice({Verdict.CONTENT_DIFFERS: 3}, failures=(held,))
    assert AGAIN not in only_held
    assert "3 objects failed: a hold forbids it. For example gs://b/a: a hold" in only_held
    assert Cause.HOLD.fix in only_held
    assert "When that is mended, run the same command again." in only_held
    both = advice({Verdict.CONTENT_DIFFERS: 3, Verdict.MISSING: 2}, failures=(lost, held))
    assert AGAIN in both
    assert both.index("3 objects failed") < both.index("2 objects failed: no answer")
    assert AGAIN in advice({Verdict.MISSING: 4}, failures=(held,))
    denied = advice({}, stopped="permission denied", stopped_by=Cause.PERMISSION)
    assert AGAIN not in denied
    assert Cause.PERMISSION.fix in denied
    assert AGAIN in advice({}, stopped="no answer", stopped_by=Cause.NO_ANSWER)


def test_failures_of_several_tasks_are_added_up() -> None:
    """One entry for each cause, with an example of the first task that has one."""
    parts = [
        RunResult(
            Counts(COPY),
            None,
            "",
            False,
            1.0,
            Work(),
            Operations(0, 0),
            failures=(Failure(Cause.HOLD, number, f"example {number}"),),
            stopped_by=Cause.PERMISSION if number == 2 else None,
        )
        for number in (1, 2)
    ]
    whole = RunResult.merged(parts)
    assert whole.failures == (Failure(Cause.HOLD, 3, "example 1"),)
    assert whole.stopped_by is Cause.PERMISSION
