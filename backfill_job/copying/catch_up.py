"""Brings one path up to date from the other while clients may write to either: the later write wins.

A cutover does this from the legacy path to the new one, a rollback the other way. An older version never replaces a newer
one, and `shared.replicate` keeps each replaced version. Names that still differ, because the other path holds the later
write, are in the result.

A pass belongs to certain phases. It reads the phase for each object, after the look at it, also where it would create the
object. In any other phase it stops: a deletion may have begun, and what it deletes must not come back.

The catch-up proves itself. After the first pass it lists both sides once more. It looks at each name that still differs, and
copies it if needed; the answer proves each copy. So it is done when the second pass has no failure and accounts for every object.
"""

import argparse
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from backfill_job.copying.counts import Account, nothing_written
from backfill_job.copying.execution import copy
from backfill_job.copying.lane import LaneLimits, Result
from backfill_job.copying.on_record import OnRecord
from backfill_job.copying.options import CopyOptions, governor_from
from backfill_job.copying.progress import showing_progress
from backfill_job.copying.result import RunResult
from backfill_job.run.run import Run
from shared.authority import InPhases
from shared.decision import Authority
from shared.events_log import Event
from shared.phase import Phase, state_ref
from shared.text import counted, shown

__all__ = ["BRINGS_BACK_IN", "CatchUp", "catch_up", "reversed_run"]

BRINGS_BACK_IN = frozenset({Phase.CUT_OVER, Phase.ROLLED_BACK})
"""The phases in which the legacy path may be brought up to date from the new one."""

MAX_NAMES = 1_000
"""Names kept of objects whose later write is on the other path; the result counts all, and the log names them."""

MAX_NAMES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class CatchUp:
    """How a catch-up ended.

    Attributes:
        proof: The last pass: it found nothing left to do, or says why it could not.
        later: Names, below the prefixes, of objects whose later write is on the other path; `MAX_NAMES` at most.
        erased: Names of objects that were erased on the other path; `MAX_NAMES` at most.
    """

    copied: int
    proof: RunResult
    later: tuple[str, ...]
    erased: tuple[str, ...] = ()

    @property
    def done(self) -> bool:
        """Whether the other path holds every object, in the same or in a later version."""
        balance = self.proof.balance
        failed = balance.by_outcome[Account.FAILED] or self.nothing
        return not self.proof.stopped and balance.holds and not failed

    @property
    def nothing(self) -> bool:
        """Whether all names were excluded: that proves nothing. `copy` refuses an empty path that is not expected."""
        balance = self.proof.balance
        return balance.listed > 0 and balance.listed == balance.by_outcome[Account.EXCLUDED]

    @property
    def later_writes(self) -> int:
        """How many objects the other path holds in a later version."""
        return self.proof.balance.by_outcome[Account.CONFLICT]

    @property
    def brought(self) -> str:
        """What it copied, as part of a sentence."""
        return f"{counted(self.copied, 'object')} {'was' if self.copied == 1 else 'were'} brought over"

    @property
    def summary(self) -> str:
        """The result in one sentence."""
        balance = self.proof.balance
        said = f"{counted(balance.listed, 'object')} looked at, {self.copied:,} brought over"
        if self.later_writes:
            said += f", {self.later_writes:,} left because the other path holds a later write"
        if erased := balance.by_outcome[Account.ERASED]:
            said += f", {erased:,} not brought over because it was erased since"
        if self.proof.stopped:
            return f"{said}; stopped: {self.proof.stopped}"
        if not balance.holds:
            return f"{said}{balance.imbalance}"
        if balance.by_outcome[Account.FAILED]:
            return f"{said}; {balance.by_outcome[Account.FAILED]:,} FAILED: the log says why"
        if self.nothing:
            return f"{said}; NOTHING WAS COMPARED: all names are excluded. Check --exclude"
        return f"{said}; {'proven name by name' if balance.listed else 'the path is empty, as --allow-empty says'}"

    def figures(self) -> dict[str, bool | int | str]:
        """The figures under the names that the log uses."""
        balance = self.proof.balance
        return {
            "done": self.done,
            "summary": self.summary,
            "listed": balance.listed,
            "copied": self.copied,
            "later_writes": self.later_writes,
            "erased": balance.by_outcome[Account.ERASED],
            "failed": balance.by_outcome[Account.FAILED],
        }

    def to_json(self) -> dict[str, Any]:
        """The content for a report."""
        return {
            **self.figures(),
            "later": list(self.later),
            "erased_names": list(self.erased),
            "ledger": {**self.proof.balance.to_json(), "holds": self.proof.balance.holds},
        }

    def record(self, run: Run, phase: str, other_path: str) -> None:
        """Write the command's report, log the figures, and print the summary with the later writes on the other path.

        Args:
            other_path: The path from which nothing is copied where it has the later write.
        """
        run.write(f"{run.command}.json", {"phase": phase, "handover": self.to_json()})
        run.log.emit(Event.HANDED_OVER, phase=phase, **self.figures())
        run.say(self.summary)
        for name in self.later[:MAX_NAMES_SHOWN]:
            run.say(f"  later on {other_path}: {shown(name)}")
        for name in self.erased[:MAX_NAMES_SHOWN]:
            run.say(f"  erased since, on {other_path}: {shown(name)}")


def reversed_run(run: Run) -> Run:
    """The run from the new path back to the legacy path, where the later write wins."""
    return _later_write_in(replace(run, migration=run.migration.reversed()), BRINGS_BACK_IN)


def catch_up(
    run: Run,
    arguments: argparse.Namespace,
    allowed: frozenset[Phase],
    begun: OnRecord,
    *,
    settled_before: datetime | None = None,
) -> CatchUp:
    """Copy what is at the source to the destination, unless the destination holds a later write. Shows its progress.

    The later write wins, whatever the run's own authority is. Also returns when it stops before its end.

    Args:
        allowed: The phases that allow it. Where the phase becomes another one, it stops, and the result says so.
        begun: The comparison that its last pass makes; it records what that found.
        settled_before: What the new path has had since before this moment is not a later write. Where it differs, a pass to
            the new path replaces and keeps it, and a pass from there leaves it. None where only the later write counts.

    Raises:
        UsageError: The source is empty, and the run does not allow that.
    """
    run = _later_write_in(run, allowed)
    with showing_progress(run.console, run.log, total=None) as progress:
        options = CopyOptions(
            LaneLimits(in_flight=arguments.in_flight),
            governor_from(arguments, 1),
            progress,
            settled_before=settled_before,
        )
        result, later, erased = _pass(run, options)
        copied = result.balance.done
        if not result.stopped and not nothing_written(result.balance):
            # A pass that wrote nothing is its own second pass (decision 0012).
            result, later, erased = _pass(run, options, last=True)
            copied += result.balance.done
    done = CatchUp(copied, result, later, erased)
    back = run.migration.source != begun.run.migration.source
    return replace(
        done,
        proof=begun.ended_with(result, back=back, exit_code=int(not done.done), summary=done.summary),
    )


def _later_write_in(run: Run, allowed: frozenset[Phase]) -> Run:
    """The run, where the later write wins, and which writes only in some phases."""
    uri = state_ref(run.migration).uri
    reverse = run.migration.is_reversed
    return replace(run, authority=InPhases(run.phases, allowed, Authority.LATER_WRITE, uri, reverse))


def _pass(
    run: Run, options: CopyOptions, *, last: bool = False
) -> tuple[RunResult, tuple[str, ...], tuple[str, ...]]:
    """One pass; also the names of objects that the other path holds in a later version, and of erased ones."""
    names: dict[Account, list[str]] = {Account.CONFLICT: [], Account.ERASED: []}

    def told(result: Result) -> None:
        some = names.get(result.account)
        if some is not None and len(some) < MAX_NAMES:
            some.append(result.relative)

    result = copy(run, replace(options, told=told), last=last)
    return result, tuple(names[Account.CONFLICT]), tuple(names[Account.ERASED])
