"""The books of a run."""

from hypothesis import given
from hypothesis import strategies as st

from backfill_job.copying.catch_up import Handover
from backfill_job.copying.result import RunResult
from backfill_job.copying.work import Work
from backfill_job.deletion.outcomes import Books
from backfill_job.deletion.outcomes import Outcome as LineOutcome
from backfill_job.ledger import Account, Ledger
from backfill_job.run.command import ExitCode
from shared.operations import Operations
from shared.replicate import Outcome


@given(st.lists(st.tuples(st.sampled_from(Account), st.integers(0, 1000))))
def test_the_books_balance_when_every_listed_object_is_booked_once(
    entries: list[tuple[Account, int]],
) -> None:
    """listed = copied + already_equal + superseded + conflict + failed + excluded."""
    ledger = Ledger()
    for account, size in entries:
        ledger.list(1)
        ledger.book(account, size)
    balance = ledger.balance()
    assert balance.holds
    assert balance.copied_bytes == sum(size for account, size in entries if account is Account.COPIED)
    assert balance.clean == (not {account for account, _ in entries} & {Account.FAILED, Account.CONFLICT})


def test_an_object_booked_nowhere_breaks_the_books() -> None:
    """Silence about an object is not success."""
    ledger = Ledger()
    ledger.list(1)
    assert not ledger.balance().holds
    assert not ledger.balance().clean


def test_an_object_booked_twice_breaks_the_books() -> None:
    """Nor is counting one twice."""
    ledger = Ledger()
    ledger.list(1)
    ledger.book(Account.COPIED, 1)
    ledger.book(Account.COPIED, 1)
    assert not ledger.balance().holds


def test_every_outcome_of_the_rule_has_its_account() -> None:
    """A new outcome without an account would fail here, not in production."""
    assert [Account.of(outcome).value for outcome in Outcome] == [outcome.value for outcome in Outcome]


def test_books_that_do_not_balance_say_so_in_every_summary() -> None:
    """A copy, a handover, a deletion: none of them passes for done, and each gives both numbers."""
    ledger = Ledger()
    ledger.list(5)
    ledger.book(Account.COPIED, 10)
    balance = ledger.balance()
    run = RunResult(balance, None, "", False, 1.0, Work(), Operations(0, 0))
    assert (
        run.summary == "5 objects listed: 1 copied; THE BOOKS DO NOT BALANCE (1 accounted for); not verified"
    )
    assert run.exit_code is not ExitCode.DONE
    handover = Handover(1, run, ())
    assert not handover.done
    assert handover.summary == (
        "5 objects looked at, 1 brought over; THE BOOKS DO NOT BALANCE (1 accounted for)"
    )
    counts = dict.fromkeys(LineOutcome, 0) | {LineOutcome.DELETED: 3}
    books = Books(4, counts, 30, 2)
    assert not books.holds
    assert books.summary == (
        "4 lines: 3 deleted (2 of the deletions by a request whose answer was lost); "
        "THE BOOKS DO NOT BALANCE (3 accounted for)"
    )
    whole = Books.merged([books, Books.from_json(books.to_json())])
    assert (whole.lines, whole.counts[LineOutcome.DELETED], whole.deleted_bytes, whole.answers_lost) == (
        8,
        6,
        60,
        4,
    )
