"""Counts of objects by what became of them, for a copy, a deletion and an undo.

Every object that was listed must be accounted for exactly once::

    copy      listed = copied + already_equal + superseded + conflict + erased + failed + excluded
    deletion  lines  = deleted + already_gone + overwritten_since + destination_changed + held + failed
    undo      selected = there + restored + copied_back + erased + occupied + lost + failed

Listed objects and outcomes are counted at different places, so that the identity can fail. A run whose counts do not balance does
not end in success.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Generic, TypeVar

from shared.replicate import Outcome

__all__ = ["COPY", "Account", "Counting", "Counts", "nothing_written"]

_Outcome = TypeVar("_Outcome", bound=Enum)


@dataclass(frozen=True, slots=True)
class Counting(Generic[_Outcome]):
    """Which outcomes are counted, and under which names.

    Attributes:
        done: Outcomes of objects that the run wrote or deleted; their bytes are added up.
        not_right: Outcomes after which something is left to do.
        listed: The name of the total in logs and reports.
        answers_lost: Whether reports have the number of lost answers.
    """

    outcomes: type[_Outcome]
    done: frozenset[_Outcome]
    not_right: frozenset[_Outcome]
    listed: str = "listed"
    answers_lost: bool = False

    def read(self, content: Mapping[str, Any]) -> "Counts[_Outcome]":
        """Read what `Counts.to_json` gave. Raises one of `OTHER_FORM` for something else."""
        return Counts(
            self,
            int(content[self.listed]),
            Counter({outcome: int(content[outcome.value]) for outcome in self.outcomes}),
            int(content["bytes"]),
            int(content["answers_lost"]) if self.answers_lost else 0,
        )

    def merged(self, parts: "Iterable[Counts[_Outcome]]") -> "Counts[_Outcome]":
        """The counts of several tasks or chunks as one."""
        whole = Counts(self)
        for part in parts:
            whole.listed += part.listed
            whole.by_outcome.update(part.by_outcome)
            whole.bytes += part.bytes
            whole.answers_lost += part.answers_lost
        return whole


@dataclass(slots=True)
class Counts(Generic[_Outcome]):
    """Counts that grow while a run works. Not thread-safe: one thread counts.

    Attributes:
        bytes: Bytes of the objects that the run wrote or deleted.
        answers_lost: Objects that a request deleted whose answer was lost.
    """

    counting: Counting[_Outcome]
    listed: int = 0
    by_outcome: Counter[_Outcome] = field(default_factory=Counter)
    bytes: int = 0
    answers_lost: int = 0

    def list(self, objects: int) -> None:
        """Count objects whose outcome is not known yet."""
        self.listed += objects

    def add(self, outcome: _Outcome, size: int = 0, *, objects: int = 1) -> None:
        """Count what became of listed objects; `size` is their bytes."""
        self.by_outcome[outcome] += objects
        if outcome in self.counting.done:
            self.bytes += size

    @property
    def accounted(self) -> int:
        """Objects that have an outcome."""
        return self.by_outcome.total()

    @property
    def holds(self) -> bool:
        """Whether every listed object is accounted for exactly once."""
        return self.listed == self.accounted

    @property
    def done(self) -> int:
        """Objects that the run wrote or deleted."""
        return sum(self.by_outcome[outcome] for outcome in self.counting.done)

    @property
    def not_right(self) -> int:
        """Objects for which something is left to do."""
        return sum(self.by_outcome[outcome] for outcome in self.counting.not_right)

    @property
    def clean(self) -> bool:
        """Whether every listed object is accounted for, and nothing is left to do."""
        return self.holds and not self.not_right

    @property
    def said(self) -> str:
        """The outcomes as a person reads them; empty where there are none."""
        return ", ".join(
            f"{self.by_outcome[outcome]:,} {outcome.value.replace('_', ' ')}"
            for outcome in self.counting.outcomes
            if self.by_outcome[outcome]
        )

    @property
    def imbalance(self) -> str:
        """What a summary adds where the counts do not balance; else empty."""
        return "" if self.holds else f"; THE COUNTS DO NOT BALANCE ({self.accounted:,} accounted for)"

    def outcomes_json(self) -> dict[str, int]:
        """Every outcome's count under its name."""
        return {outcome.value: self.by_outcome[outcome] for outcome in self.counting.outcomes}

    def to_json(self) -> dict[str, int]:
        """The figures under the names that logs and reports use."""
        return {
            self.counting.listed: self.listed,
            **self.outcomes_json(),
            "bytes": self.bytes,
            **({"answers_lost": self.answers_lost} if self.counting.answers_lost else {}),
        }


class Account(Enum):
    """What became of an object that the source listing gave."""

    # A member is equal to itself alone, and Enum's own hash takes ten times as long.
    __hash__ = object.__hash__

    COPIED = "copied"
    ALREADY_EQUAL = "already_equal"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"
    ERASED = "erased"
    FAILED = "failed"
    EXCLUDED = "excluded"

    @staticmethod
    def of(outcome: Outcome) -> "Account":
        """The account of a replication's outcome."""
        return Account(outcome.value)


COPY = Counting(Account, frozenset({Account.COPIED}), frozenset({Account.FAILED, Account.CONFLICT}))
"""How a copy counts."""


def nothing_written(counts: Counts[Account]) -> bool:
    """Whether nothing was copied or left open: every object is equal by the listings, excluded, or was erased."""
    settled = (Account.ALREADY_EQUAL, Account.EXCLUDED, Account.ERASED)
    return counts.accounted == sum(counts.by_outcome[account] for account in settled)
