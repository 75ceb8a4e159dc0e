"""The books of a run: every source object listed is accounted for exactly once.

``listed = copied + already_equal + superseded + conflict + failed + excluded``. Listing and outcomes are counted at
different places, so that the identity can fail; a run whose books do not balance does not end in success.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from shared.replicate import Outcome

__all__ = ["Account", "Balance", "Ledger"]


class Account(Enum):
    """Where a listed object is booked."""

    COPIED = "copied"
    ALREADY_EQUAL = "already_equal"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"
    FAILED = "failed"
    EXCLUDED = "excluded"

    @staticmethod
    def of(outcome: Outcome) -> "Account":
        """The account of a replication's outcome."""
        return Account(outcome.value)


@dataclass(frozen=True, slots=True)
class Balance:
    """The books at some moment.

    Attributes:
        listed: Source objects that the listing gave.
        counts: Objects by account; every account is there.
        copied_bytes: Bytes of the objects copied.
    """

    listed: int
    counts: dict[Account, int]
    copied_bytes: int

    @property
    def accounted(self) -> int:
        """Objects booked anywhere."""
        return sum(self.counts.values())

    @property
    def holds(self) -> bool:
        """Whether every listed object is accounted for exactly once."""
        return self.listed == self.accounted

    @property
    def clean(self) -> bool:
        """Whether the books balance and nothing failed or is in conflict."""
        return self.holds and not self.counts[Account.FAILED] and not self.counts[Account.CONFLICT]

    @property
    def nothing_written(self) -> bool:
        """Whether every object was settled by the listings alone: equal there, or excluded."""
        return self.accounted == self.counts[Account.ALREADY_EQUAL] + self.counts[Account.EXCLUDED]

    def to_json(self) -> dict[str, int]:
        """The figures under the names that logs and reports use."""
        return {
            "listed": self.listed,
            **{account.value: self.counts[account] for account in Account},
            "bytes": self.copied_bytes,
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Balance":
        """Read what `to_json` gave.

        Raises:
            KeyError: It is something else.
        """
        counts = {account: int(content[account.value]) for account in Account}
        return Balance(int(content["listed"]), counts, int(content["bytes"]))

    @staticmethod
    def merged(parts: Iterable["Balance"]) -> "Balance":
        """The books of several tasks as one."""
        all_parts = list(parts)
        return Balance(
            sum(part.listed for part in all_parts),
            {account: sum(part.counts[account] for part in all_parts) for account in Account},
            sum(part.copied_bytes for part in all_parts),
        )


class Ledger:
    """Keeps the books of one run. Not thread-safe: one thread books."""

    def __init__(self) -> None:
        self._listed = 0
        self._counts: Counter[Account] = Counter()
        self._copied_bytes = 0

    def list(self, objects: int) -> None:
        """Count objects that the source listing gave."""
        self._listed += objects

    def book(self, account: Account, size: int = 0, *, objects: int = 1) -> None:
        """Book what became of listed objects.

        Args:
            account: Where.
            size: Bytes of what was copied.
            objects: How many.
        """
        self._counts[account] += objects
        if account is Account.COPIED:
            self._copied_bytes += size

    def balance(self) -> Balance:
        """The books now."""
        return Balance(
            self._listed, {account: self._counts[account] for account in Account}, self._copied_bytes
        )
