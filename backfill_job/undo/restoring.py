"""Brings objects back, one conditional request each, and looks whether they are what they were.

Both requests say that the legacy name must be absent (``ifGenerationMatch=0``): whatever somebody put there since stays. A
restoration names the soft-deleted generation. A copy from the new path says that this still is the generation seen
equal to the manifest's checksums. A request whose answer was lost fails its own repetition; then the legacy object is looked at.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from backfill_job.async_api import AsyncApi, Pacing, encoded
from backfill_job.copying import concerns_all
from backfill_job.deletion.manifest import Line
from backfill_job.undo.prospects import Prospect, Way
from shared.errors import ConditionFailed, ObjectNotFound, StorageError, UnexpectedAnswer
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
                found = await self._look(line)
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
        path = (
            f"{self._object(line)}/restore?generation={line.generation}&ifGenerationMatch=0&projection=noAcl"
        )
        return ObjectState.from_resource(await self._post(path, line))

    async def _copy_back(self, prospect: Prospect) -> ObjectState:
        """Copy from the new path; large or far copies take several calls, under the same conditions each."""
        line, there = prospect.line, prospect.new_path
        if there is None:
            raise ObjectNotFound(self._uri(line), "the new path has none")
        source = self._migration.source
        origin = self._migration.destination_ref(line.name)
        path = (
            f"/b/{encoded(origin.bucket)}/o/{encoded(origin.name)}"
            f"/rewriteTo/b/{encoded(source.bucket)}/o/{encoded(source.prefix + line.name)}"
            f"?ifSourceGenerationMatch={there.generation}&ifGenerationMatch=0&projection=noAcl"
        )
        token = ""
        while True:
            answer = await self._post(f"{path}&rewriteToken={encoded(token)}" if token else path, line)
            if answer.get("done") is True:
                return ObjectState.from_resource(answer.get("resource") or {})
            token = str(answer.get("rewriteToken") or "")
            if not token:
                raise UnexpectedAnswer(self._uri(line), "a copy that is not done, and cannot be gone on with")

    async def _look(self, line: Line) -> ObjectState | None:
        try:
            return ObjectState.from_resource(
                await self._api.request("GET", f"{self._object(line)}?projection=noAcl", self._uri(line))
            )
        except ObjectNotFound:
            return None

    async def _post(self, path: str, line: Line) -> dict[str, Any]:
        return await self._api.request("POST", path, self._uri(line), self._pacing)

    def _object(self, line: Line) -> str:
        at = self._migration.source_ref(line.name)
        return f"/b/{encoded(at.bucket)}/o/{encoded(at.name)}"

    def _uri(self, line: Line) -> str:
        return self._migration.source_ref(line.name).uri
