"""Moves the migration to another phase: records it, and waits until every mirror and job must have seen it."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backfill_job.run.run import Run
from shared.errors import MigrationError, StorageError
from shared.events_log import Event
from shared.phase import CACHE_SECONDS, Phase
from shared.record import update
from shared.state import State
from shared.state_changes import Stamp, with_phase

__all__ = ["change_phase", "phase_changed", "wait_until_seen"]

MARGIN_SECONDS = 1.0
"""Extra wait beyond the mirrors' cache time, because clocks may differ."""


class NotFinished(MigrationError):
    """The phase is changed, but the work that belongs to the change is not finished."""


def change_phase(run: Run, phase: Phase, by: str, check: Callable[[State], None] = lambda _: None) -> State:
    """Change the phase in the state, with an entry in its history. Atomic.

    Args:
        run: The run of the migration.
        phase: The new phase.
        by: Who decides.
        check: Raises where the present state does not allow the change; runs on the very state that is changed.

    Returns:
        The new state; the present one if it is in that phase already.

    Raises:
        UsageError: The change is not allowed, or the present phase does not lead there. Nothing was changed.
        NotFinished: The phase may or may not have been changed.
    """
    run.state()  # for a time that is Cloud Storage's own, and of now: the operator may have taken long to confirm
    stamp = Stamp(uuid.uuid4().hex, by, run.now())

    def changed(state: State) -> State:
        if state.phase is not phase:
            check(state)
        return with_phase(state, phase, stamp)

    try:
        state = update(run.gateway, run.migration, changed)
    except StorageError as error:
        raise NotFinished(
            f"{error}. The phase may have been changed or not: `status` shows it; then run the same command again"
        ) from error
    for entry in state.history:
        if entry.change == stamp.change:
            run.log.emit(Event.STATE_CHANGED, phase=state.phase.value, what=entry.what, by=entry.by)
    return state


@contextmanager
def phase_changed(phase: Phase, go_on: str = "run the same command again to finish") -> Iterator[None]:
    """Add to each error of the block that the phase is changed already, and what to do.

    Raises:
        NotFinished: The block raised an error of this project.
    """
    try:
        yield
    except MigrationError as error:
        raise NotFinished(f"{error}. The phase IS {phase.value} already; {go_on}") from error


def wait_until_seen(run: Run) -> None:
    """Wait until the cached phase of every mirror and job must have expired.

    Raises:
        Interrupted: A signal stopped it.
    """
    seconds = CACHE_SECONDS + MARGIN_SECONDS
    run.console.print(f"Waiting {seconds:.0f} seconds, until every mirror must have seen it …")
    run.clock.sleep(seconds)
