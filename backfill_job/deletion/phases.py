"""The migration's state during a deletion: which manifest is under way, who wants it, and when it is done.

The entry of the state's history that begins a deletion has the manifest's name and SHA-256. So a deletion cannot go on with a
manifest that was changed since, or that no deletion was begun with.
"""

from backfill_job.checks import on_record
from backfill_job.deletion.manifest import Manifest
from backfill_job.run.phase_change import update_state
from backfill_job.run.run import Run
from shared.errors import UsageError
from shared.phase import Phase
from shared.state import BegunDeletion, RunRecord, State
from shared.state_changes import deletion_goes_on, with_phase, with_run

__all__ = ["BEGINS_IN", "GOES_ON_IN", "begin_deletion", "finish"]

BEGINS_IN = frozenset({Phase.CUT_OVER})
"""Where a first deletion begins."""

GOES_ON_IN = frozenset({Phase.DELETING, Phase.DELETED})
"""Where a deletion goes on, or a further one is about what the first one left."""


def begin_deletion(run: Run, manifest: Manifest, sha256: str, *, anew: bool) -> State:
    """Record that a deletion begins, and its manifest. Called before anything is deleted.

    Args:
        anew: Whether it deletes what an earlier deletion has left.

    Raises:
        UsageError: The phase has changed; nothing was written.
        StorageError: The state may or may not have been written.
    """
    stamp = run.stamp(manifest.by)
    details = {
        "manifest": BegunDeletion(manifest.name, sha256, manifest.objects),
        "overridden": on_record(manifest.overrides),
    }

    def change(state: State) -> State:
        if state.phase not in (GOES_ON_IN if anew else BEGINS_IN):
            raise UsageError(
                f"the phase is {state.phase.value} now: another command changed it; nothing was deleted"
            )
        if anew:
            return deletion_goes_on(state, stamp, **details)
        return with_phase(state, Phase.DELETING, stamp, **details)

    return update_state(run, change, stamp)


def finish(run: Run, by: str, record: RunRecord, *, done: bool) -> State:
    """Record how a deletion ended. The phase becomes ``deleted`` where every line of its manifest is settled.

    Raises:
        StorageError: The state may or may not have been written.
    """
    stamp = run.stamp(by)

    def change(state: State) -> State:
        noted = with_run(state, record)
        return with_phase(noted, Phase.DELETED, stamp) if done else noted

    return update_state(run, change, stamp)
