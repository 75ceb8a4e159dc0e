"""Moves the migration to another phase: records it, and waits until every mirror and job must have seen it.

Another command may change the phase at any time. So a command that worked for long reads it again, before it reports anything.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from backfill_job.run.clock import waiting
from backfill_job.run.run import Run
from shared.errors import MigrationError, StorageError, UsageError
from shared.events_log import Event
from shared.migration import Location
from shared.phase import CACHE_SECONDS, Phase, PhaseReader
from shared.record import update
from shared.state import Overridden, State
from shared.state_changes import Stamp, with_phase
from shared.text import shown

__all__ = [
    "NotFinished",
    "PhaseAfter",
    "change_phase",
    "phase_after",
    "phase_changed",
    "source_of_truth",
    "update_state",
    "wait_until_seen",
]

MARGIN_SECONDS = 1.0
"""Extra wait beyond the mirrors' cache time, because clocks may differ."""


class NotFinished(MigrationError):
    """Something was changed already, and the command is not finished. So the exit code is 1, whatever stopped it."""


@dataclass(frozen=True, slots=True)
class PhaseAfter:
    """The phase after work that began in a certain phase.

    Attributes:
        now: The phase after the work; None where it could not be read.
        problem: Why it could not be read; else empty.
    """

    began: Phase
    now: Phase | None
    problem: str = ""

    @property
    def same(self) -> bool:
        """Whether the phase is known, and is the one in which the work began."""
        return self.now is self.began

    @property
    def name(self) -> str:
        """The phase, for a report."""
        return "unknown" if self.now is None else self.now.value

    def line(self, done: str) -> str:
        """The phase for the operator; where it changed, also what was `done` before ("5 objects were brought over")."""
        if self.same:
            return f"The phase is {self.name}, as before."
        if self.now is None:
            return f"The phase was {self.began.value}, and cannot be read now ({self.problem}). Before that, {done}."
        return (
            f"The phase was {self.began.value}, and is {self.name} now: another command changed it. "
            f"Before this one saw that, {done}."
        )


def source_of_truth(at: Location, other: Location, *, mirror: bool, again: str = "") -> str:
    """What a person agrees to who changes the phase: which path decides from now on."""
    follows = f"{shown(other.uri)} follows it" if mirror else "no mirror runs"
    return f"From now on {shown(at.uri)} is the source of truth{again}, and {follows}."


def phase_after(run: Run, began: Phase) -> PhaseAfter:
    """Read the phase again, after work that began in a certain phase. A failure is part of the result."""
    try:  # with a new reader, because that of the run may use what it read a moment ago
        return PhaseAfter(began, PhaseReader(run.store, run.migration, run.clock.monotonic).phase())
    except StorageError as error:
        return PhaseAfter(began, None, str(error))


def change_phase(
    run: Run,
    phase: Phase,
    by: str,
    check: Callable[[State], None] = lambda _: None,
    overridden: tuple[Overridden, ...] = (),
) -> State:
    """Change the phase in the state, with an entry in its history. Atomic.

    Args:
        check: Raises where the present state does not allow the change; runs on the very state that is changed.
        overridden: The checks that a person overrode for it; the history keeps them.

    Returns:
        The new state; the present one if it is in that phase already.

    Raises:
        UsageError: The change is not allowed, or the present phase does not lead there. Nothing was changed.
        NotFinished: The phase may or may not have been changed.
    """
    run.state()  # refuses a damaged record before anything may be changed: the operator may have taken long to confirm
    stamp = run.stamp(by)

    def changed(state: State) -> State:
        if state.phase is not phase:
            check(state)
        elif overridden and all(entry.change != stamp.change for entry in state.history):
            raise UsageError(
                f"another command changed the phase to {phase.value} meanwhile, and what this one overrides is not on record for it. "
                "This one changed nothing: run it again"
            )
        return with_phase(state, phase, stamp, overridden=overridden)

    try:
        return update_state(run, changed, stamp)
    except StorageError as error:
        raise NotFinished(
            f"{error}. The phase may have been changed or not: `status` shows it; then run the same command again"
        ) from error


def update_state(run: Run, change: Callable[[State], State], stamp: Stamp) -> State:
    """Change the state (`shared.record.update`), and log the entry that the change with this stamp added, if it added one."""
    state = update(run.store, run.migration, change)
    for entry in state.history:
        if entry.change == stamp.change:
            run.log.emit(Event.STATE_CHANGED, phase=state.phase.value, what=entry.what, by=entry.by)
    return state


@contextmanager
def phase_changed(
    run: Run, phases: Collection[Phase], go_on: str = "run the same command again to finish"
) -> Iterator[None]:
    """Add to each error of the block that the phase is changed already, and what to do. Reads the phase again for that.

    Args:
        phases: What the phase may be after the change.
        go_on: What to do where it still is one of them.

    Raises:
        NotFinished: The block raised an error of this project.
    """
    try:
        yield
    except MigrationError as error:
        began = next(iter(phases))
        after = phase_after(run, began)
        if after.now in phases:
            raise NotFinished(f"{error}. The phase IS {after.name} already; {go_on}") from error
        if after.now is None:
            raise NotFinished(
                f"{error}. The phase was changed to {began.value}, and cannot be read now; {go_on}"
            ) from error
        raise NotFinished(
            f"{error}. The phase was changed to {began.value}, and is {after.name} now: another command changed it; "
            "`status` says what to do"
        ) from error


def wait_until_seen(run: Run) -> None:
    """Wait until the cached phase of every mirror and job must have expired.

    Raises:
        Interrupted: A signal stopped it.
    """
    seconds = CACHE_SECONDS + MARGIN_SECONDS
    run.say(waiting(seconds, run.clock, "Every mirror must have seen the phase"))
    run.clock.sleep(seconds)
