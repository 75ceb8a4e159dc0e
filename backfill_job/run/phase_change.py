"""Moving the migration to another phase: recorded, and waited for until everybody has seen it."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from backfill_job.run.run import Run
from shared.errors import MigrationError, StorageError
from shared.events_log import Event
from shared.phase import CACHE_SECONDS, Phase
from shared.state import State
from shared.state_changes import Stamp, update, with_phase

__all__ = ["change_phase", "phase_changed", "wait_until_seen"]

MARGIN_SECONDS = 1.0
"""Waited beyond the mirrors' cache, for clocks that tick apart."""


class NotFinished(MigrationError):
    """The phase was changed, and what belongs to it was not finished."""


def change_phase(run: Run, phase: Phase, by: str, check: Callable[[State], None] = lambda _: None) -> State:
    """Change the phase, on record.

    Args:
        run: Of which migration.
        phase: Where to.
        by: Who does it.
        check: Raises where the state that is there does not allow it; asked when the change is made.

    Returns:
        The state; as it was if it is in that phase already.

    Raises:
        UsageError: It is not allowed, or no way leads there. Nothing was changed.
        StorageError: It may or may not have been changed.
    """
    stamp = Stamp(uuid.uuid4().hex, by, run.clock.now())

    def changed(state: State) -> State:
        if state.phase is not phase:
            check(state)
        return with_phase(state, phase, stamp)

    try:
        state = update(run.gateway, run.migration, changed)
    except StorageError as error:
        raise NotFinished(
            f"{error}. The phase may have been changed or not: `status` shows it; then give the same command again"
        ) from error
    for entry in state.history:
        if entry.change == stamp.change:
            run.log.emit(Event.STATE_CHANGED, phase=state.phase.value, what=entry.what, by=entry.by)
    return state


@contextmanager
def phase_changed(phase: Phase, go_on: str = "give the same command again to finish") -> Iterator[None]:
    """Say of whatever goes wrong in the block that the phase has been changed before.

    Args:
        phase: What it was changed to.
        go_on: What to do then.

    Raises:
        NotFinished: Something went wrong.
    """
    try:
        yield
    except MigrationError as error:
        raise NotFinished(f"{error}. The phase IS {phase.value} already; {go_on}") from error


def wait_until_seen(run: Run) -> None:
    """Wait until no mirror and no job can believe in the phase before.

    Raises:
        Interrupted: Somebody stopped it.
    """
    seconds = CACHE_SECONDS + MARGIN_SECONDS
    run.console.print(f"Waiting {seconds:.0f} seconds, until every mirror must have seen it …")
    run.clock.sleep(seconds)
