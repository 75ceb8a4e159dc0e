"""One path brought up to date from the other while either may be written: the later write counts.

A cutover does it from the legacy path to the new one, a rollback the other way. Nothing is replaced by anything older, and
what is replaced is kept (`shared.replicate`). What stays different, because the other path holds the later write, is named.

It is its own proof: after the copying both sides are listed once more, and what still differs is looked at, and copied, one
by one, each copy proven by its answer. So it is done when the second pass failed nowhere and its counts balance.
"""

from dataclasses import dataclass, replace
from typing import Any

from backfill_job.copying.counts import Account, nothing_written
from backfill_job.copying.execution import copy
from backfill_job.copying.line import Result
from backfill_job.copying.options import CopyOptions
from backfill_job.copying.result import RunResult
from backfill_job.run.run import Run
from shared.authority import Always
from shared.decision import Authority
from shared.text import counted

__all__ = ["Handover", "bring_over"]

MAX_NAMES = 1_000
"""Names kept of objects whose later write is on the other path; all are counted, and logged."""


@dataclass(frozen=True, slots=True)
class Handover:
    """What became of it.

    Attributes:
        copied: Objects brought over.
        proof: The pass that found nothing left to do, or why it could not.
        later: Names, below the prefixes, of objects of which the other path holds a later write; `MAX_NAMES` at most.
    """

    copied: int
    proof: RunResult
    later: tuple[str, ...]

    @property
    def done(self) -> bool:
        """Whether every object is on the other path, the same or in a later version."""
        balance = self.proof.balance
        return not self.proof.stopped and balance.holds and not balance.by_outcome[Account.FAILED]

    @property
    def later_writes(self) -> int:
        """How many objects the other path holds in a later version."""
        return self.proof.balance.by_outcome[Account.CONFLICT]

    @property
    def summary(self) -> str:
        """What became of it, in a sentence."""
        balance = self.proof.balance
        counts = f"{counted(balance.listed, 'object')} looked at, {self.copied:,} brought over"
        if self.later_writes:
            counts += f", {self.later_writes:,} left because the other path holds a later write"
        if self.proof.stopped:
            return f"{counts}; stopped: {self.proof.stopped}"
        if not balance.holds:
            return f"{counts}{balance.imbalance}"
        if balance.by_outcome[Account.FAILED]:
            return f"{counts}; {balance.by_outcome[Account.FAILED]:,} FAILED: the log says why"
        return f"{counts}; proven name by name"

    def figures(self) -> dict[str, bool | int | str]:
        """The figures under the names that the log uses."""
        balance = self.proof.balance
        return {
            "done": self.done,
            "summary": self.summary,
            "listed": balance.listed,
            "copied": self.copied,
            "later_writes": self.later_writes,
            "failed": balance.by_outcome[Account.FAILED],
        }

    def to_json(self) -> dict[str, Any]:
        """For a report."""
        return {
            **self.figures(),
            "later": list(self.later),
            "ledger": {**self.proof.balance.to_json(), "holds": self.proof.balance.holds},
        }


def reversed_run(run: Run) -> Run:
    """The job on the way back, where the later write counts."""
    return replace(run, migration=run.migration.reversed(), authority=Always(Authority.LATER_WRITE))


def bring_over(run: Run, options: CopyOptions) -> Handover:
    """Bring what is at the source to the destination, unless a later write is there.

    Args:
        run: What to work with; whatever its authority, the later write wins.
        options: How to copy.

    Returns:
        What became of it, also when it stopped before its end.

    Raises:
        UsageError: The source is empty, and that was not allowed.
    """
    run = replace(run, authority=Always(Authority.LATER_WRITE))
    result, later = _pass(run, options)
    copied = result.balance.done
    if not result.stopped and not nothing_written(result.balance):
        # Else the listings that the pass was made of are listings after the work, too.
        result, later = _pass(run, options)
        copied += result.balance.done
    return Handover(copied, result, later)


def _pass(run: Run, options: CopyOptions) -> tuple[RunResult, tuple[str, ...]]:
    later: list[str] = []

    def told(result: Result) -> None:
        if result.account is Account.CONFLICT and len(later) < MAX_NAMES:
            later.append(result.relative)

    return copy(run, replace(options, told=told)), tuple(later)
