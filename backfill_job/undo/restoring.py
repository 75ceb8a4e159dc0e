"""Brings objects back, one conditional request each, and looks whether they are what they were.

Both requests say that the legacy name must be absent (``ifGenerationMatch=0``): whatever somebody put there since stays. A
restoration names the soft-deleted generation. A copy from the new path says that this still is the generation seen
equal to the manifest's checksums. A request whose answer was lost fails its own repetition; then the legacy object is looked at.
"""

from dataclasses import dataclass
from enum import Enum

from backfill_job.copying.line import concerns_all
from backfill_job.undo.prospects import Prospect, Way
from shared.decision import ABSENT
from shared.errors import ConditionFailed, ObjectNotFound, StorageError
from shared.gcs.api import AsyncApi, Pacing
from shared.migration import Migration
from shared.objects import ObjectState, same

__all__ = ["Restored", "Restorer", "UndoOutcome"]


class UndoOutcome(Enum):
    """What became of a line."""

    THERE = "there"
    RESTORED = "restored"
    COPIED_BACK = "copied_back"
    OCCUPIED = "occupied"
    LOST = "lost"
    FAILED = "failed"


_NOTHING_TO_DO = {
    Way.THERE: UndoOutcome.THERE,
    Way.OCCUPIED: UndoOutcome.OCCUPIED,
    Way.LOST: UndoOutcome.LOST,
}


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of a line.

    Attributes:
        prospect: What could be done.
        outcome: What was.
        detail: Why not, for a person; else empty.
    """

    prospect: Prospect
    outcome: UndoOutcome
    detail: str = ""


class Restorer:
    """Brings back what a manifest of one migration names. Belongs to one event loop.

    Args:
        api: Whom to ask.
        migration: What the manifest is about.
        pacing: Asked before every write.

    Attributes:
        error: Why the rest need not be tried: a permission or a bucket that is missing; None as long as nothing is.
    """

    def __init__(self, api: AsyncApi, migration: Migration, pacing: Pacing) -> None:
        self._api = api
        self._migration = migration
        self._pacing = pacing
        self.error: StorageError | None = None

    async def bring_back(self, prospect: Prospect) -> Restored:
        """Do what can be done about a line. Never raises for Cloud Storage's sake: failures are results."""
        outcome = _NOTHING_TO_DO.get(prospect.way)
        if outcome is not None:
            return Restored(prospect, outcome, prospect.because)
        if self.error is not None:
            return Restored(prospect, UndoOutcome.FAILED, str(self.error))
        try:
            return await self._brought_back(prospect)
        except StorageError as error:
            if concerns_all(error):
                self.error = error
            return Restored(prospect, UndoOutcome.FAILED, str(error))

    async def _brought_back(self, prospect: Prospect) -> Restored:
        await self._pacing.admit()
        line = prospect.line
        ways = {UndoOutcome.RESTORED: self._restore, UndoOutcome.COPIED_BACK: self._copy_back}
        if prospect.way is Way.NEW_PATH:
            del ways[UndoOutcome.RESTORED]
        elif not prospect.same_at_new_path:
            del ways[UndoOutcome.COPIED_BACK]
        problem: StorageError | None = None
        for outcome, act in ways.items():
            try:
                made = await act(prospect)
            except ConditionFailed as error:
                # Somebody is there; or it was this request, repeated after its answer was lost.
                found = await self._api.look(self._migration.source_ref(line.name))
                if found is not None:
                    if same(line.state, found):
                        return Restored(prospect, outcome)
                    return Restored(
                        prospect,
                        UndoOutcome.OCCUPIED,
                        "somebody wrote there meanwhile; it is not overwritten",
                    )
                problem = error
            except ObjectNotFound as error:
                problem = error  # soft delete let go of it meanwhile, or the new path did
            else:
                if same(line.state, made):
                    return Restored(prospect, outcome)
                return Restored(prospect, UndoOutcome.FAILED, "what came back is not what the manifest says")
        return Restored(
            prospect, UndoOutcome.FAILED, f"it changed since it was looked at; run it again ({problem})"
        )

    async def _restore(self, prospect: Prospect) -> ObjectState:
        line = prospect.line
        return await self._api.restore(self._migration.source_ref(line.name), line.generation, self._pacing)

    async def _copy_back(self, prospect: Prospect) -> ObjectState:
        """Copy from the new path; large or far copies take several calls, under the same conditions each."""
        line, there = prospect.line, prospect.new_path
        legacy = self._migration.source_ref(line.name)
        if there is None:
            raise ObjectNotFound(legacy.uri, "the new path has none")
        return await self._api.copy(
            self._migration.destination_ref(line.name),
            legacy,
            if_source=there.generation,
            if_destination=ABSENT,
            pacing=self._pacing,
        )
