"""The migration's state while its legacy path is deleted: which manifest is under way, on whose word, and when it is done.

The manifest's name and SHA-256 stand in the state's history, in the entry that begins the deletion. So nobody goes on with a
manifest that was changed since, or that no deletion was ever begun with.
"""

import uuid
from collections.abc import Callable
from dataclasses import replace

from backfill_job.deletion.manifest import Manifest
from backfill_job.run.run import Run
from shared.errors import UsageError
from shared.events_log import Event
from shared.phase import Phase
from shared.state import HistoryEntry, RunRecord, State
from shared.state_changes import Begun, Stamp, begun_manifests, update, with_phase, with_run

__all__ = ["BEGINS_IN", "GOES_ON_IN", "Begun", "begin", "begun_manifests", "finish"]

BEGINS_IN = frozenset({Phase.CUT_OVER})
"""Where a first deletion begins."""

GOES_ON_IN = frozenset({Phase.DELETING, Phase.DELETED})
"""Where a deletion goes on, or a further one is about what the first one left."""


def begin(run: Run, manifest: Manifest, sha256: str, *, anew: bool) -> State:
    """Write down that a deletion begins, and with which manifest. Before anything is deleted.

    Args:
        run: Of which migration.
        manifest: The manifest, written and read back.
        sha256: Its head's.
        anew: Whether an earlier deletion left something, which this one is about.

    Returns:
        The state.

    Raises:
        UsageError: The phase is another by now; nothing was changed.
        StorageError: It may or may not have been written.
    """
    stamp = Stamp(uuid.uuid4().hex, manifest.by, run.clock.now())
    note = f"manifest {manifest.name} sha256 {sha256} of {manifest.objects:,} objects" + "".join(
        f"; passed over {each.check} ({each.reason})" for each in manifest.overrides
    )

    def change(state: State) -> State:
        if state.phase not in (GOES_ON_IN if anew else BEGINS_IN):
            raise UsageError(
                f"the phase is {state.phase.value} by now: somebody else changed it; nothing was deleted"
            )
        if anew:
            entry = HistoryEntry(stamp.at, stamp.by, f"deletion goes on; {note}", stamp.change)
            return replace(state, history=(*state.history, entry))
        moved = with_phase(state, Phase.DELETING, stamp)
        entry = replace(moved.history[-1], what=f"{moved.history[-1].what}; {note}")
        return replace(moved, history=(*moved.history[:-1], entry))

    return _changed(run, change, stamp)


def finish(run: Run, by: str, record: RunRecord, *, done: bool) -> State:
    """Write down how a deletion ended; the phase is ``deleted`` where nothing of its manifest is left.

    Args:
        run: Of which migration.
        by: Who had it done.
        record: The run.
        done: Whether every line of the manifest is settled.

    Returns:
        The state.

    Raises:
        StorageError: It may or may not have been written.
    """
    stamp = Stamp(uuid.uuid4().hex, by, run.clock.now())

    def change(state: State) -> State:
        noted = with_run(state, record)
        return with_phase(noted, Phase.DELETED, stamp) if done else noted

    return _changed(run, change, stamp)


def _changed(run: Run, change: Callable[[State], State], stamp: Stamp) -> State:
    state = update(run.gateway, run.migration, change)
    for entry in state.history:
        if entry.change == stamp.change:
            run.log.emit(Event.STATE_CHANGED, phase=state.phase.value, what=entry.what, by=entry.by)
    return state
