"""What became of a manifest's lines, and the books of it.

``lines = deleted + already_gone + overwritten_since + destination_changed + held + failed``. Lines taken and outcomes are
counted at different places, so that the identity can fail.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

from backfill_job.deletion.manifest import Line

__all__ = ["KEPT", "SETTLED", "Books", "DeletionLedger", "LineResult", "Outcome"]


class Outcome(Enum):
    """What became of a line."""

    DELETED = "deleted"
    ALREADY_GONE = "already_gone"
    OVERWRITTEN_SINCE = "overwritten_since"
    DESTINATION_CHANGED = "destination_changed"
    HELD = "held"
    FAILED = "failed"


SETTLED = frozenset({Outcome.DELETED, Outcome.ALREADY_GONE})
"""The generation is not live any more: nothing is left to do."""

KEPT = frozenset(Outcome) - SETTLED
"""The legacy object is there, or may be."""


class LineResult(NamedTuple):
    """What became of a line.

    Attributes:
        line: The line.
        outcome: What became of it.
        detail: Why, for a person; empty where the outcome says it all.
        answer_lost: Deleted by a request of this run whose answer was lost: found gone when asked again.
    """

    line: Line
    outcome: Outcome
    detail: str = ""
    answer_lost: bool = False


@dataclass(frozen=True, slots=True)
class Books:
    """The books at some moment.

    Attributes:
        lines: Lines that were taken.
        counts: Lines by outcome; every outcome is there.
        deleted_bytes: Bytes of the objects deleted.
        answers_lost: Deletions whose answer was lost.
    """

    lines: int
    counts: dict[Outcome, int]
    deleted_bytes: int = 0
    answers_lost: int = 0

    @property
    def accounted(self) -> int:
        """Lines booked anywhere."""
        return sum(self.counts.values())

    @property
    def holds(self) -> bool:
        """Whether every line taken is accounted for exactly once."""
        return self.lines == self.accounted

    @property
    def kept(self) -> int:
        """Legacy objects that are there, or may be."""
        return sum(self.counts[outcome] for outcome in KEPT)

    @property
    def summary(self) -> str:
        """The books in one sentence."""
        booked = ", ".join(
            f"{self.counts[outcome]:,} {outcome.value.replace('_', ' ')}"
            for outcome in Outcome
            if self.counts[outcome]
        )
        text = f"{self.lines:,} lines: {booked or 'nothing done'}"
        if self.answers_lost:
            text += f" ({self.answers_lost:,} of the deletions by a request whose answer was lost)"
        if not self.holds:
            text += f"; THE BOOKS DO NOT BALANCE ({self.accounted:,} accounted for)"
        return text

    def to_json(self) -> dict[str, int]:
        """The figures under the names that logs and reports use."""
        return {
            "lines": self.lines,
            **{outcome.value: self.counts[outcome] for outcome in Outcome},
            "bytes": self.deleted_bytes,
            "answers_lost": self.answers_lost,
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Books":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        counts = {outcome: int(content[outcome.value]) for outcome in Outcome}
        return Books(int(content["lines"]), counts, int(content["bytes"]), int(content["answers_lost"]))

    @staticmethod
    def merged(parts: Iterable["Books"]) -> "Books":
        """Several as one."""
        lines = size = lost = 0
        counts: Counter[Outcome] = Counter()
        for part in parts:
            lines, size, lost = (
                lines + part.lines,
                size + part.deleted_bytes,
                lost + part.answers_lost,
            )
            counts.update(part.counts)
        return Books(lines, {outcome: counts[outcome] for outcome in Outcome}, size, lost)


class DeletionLedger:
    """Keeps the books. Not thread-safe: one thread books."""

    def __init__(self) -> None:
        self._lines = self._bytes = self._lost = 0
        self._counts: Counter[Outcome] = Counter()

    def take(self, lines: int) -> None:
        """Count lines that are about to be settled."""
        self._lines += lines

    def book(self, result: LineResult) -> None:
        """Book what became of a line."""
        self._counts[result.outcome] += 1
        self._lost += result.answer_lost
        if result.outcome is Outcome.DELETED:
            self._bytes += result.line.size

    def books(self) -> Books:
        """The books now."""
        counts = {outcome: self._counts[outcome] for outcome in Outcome}
        return Books(self._lines, counts, self._bytes, self._lost)
