"""The books of a run."""

from hypothesis import given
from hypothesis import strategies as st

from backfill_job.ledger import Account, Ledger
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
