"""A rehearsal of the undo, before anything is deleted: one sample object, in a scratch prefix of the legacy bucket.

A copy of the sample takes the steps of a deletion and an undo. It is deleted on condition of its generation, found among the
soft-deleted objects and restored. Then it is deleted again, and copied back from the new path. So a missing permission or setting
shows before it is too late. The scratch copy is removed; what soft delete keeps of it expires. Only ``undo --rehearse`` uses it. It
is a module of its own because it deletes and restores by itself, without a manifest.
"""

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

from backfill_job.checks import Check, Standing
from backfill_job.copying.diff import diff
from backfill_job.deletion.manifest import ManifestLine
from backfill_job.rights import REHEARSAL_FOLDER
from backfill_job.run.key_ranges import KeyRange
from backfill_job.undo.options import restore_option, soft_deleted
from backfill_job.undo.restore import Restorer, UndoOutcome
from shared.decision import ABSENT
from shared.errors import MigrationError, ObjectNotFound, UsageError
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi, Pacing
from shared.gcs.listing import HeldVersion
from shared.migration import Migration
from shared.objects import ObjectRef, ObjectState, parse_time, same
from shared.text import counted, minute_text

__all__ = ["Rehearsed", "rehearse"]


@dataclass(frozen=True, slots=True)
class Rehearsed:
    """How a rehearsal ended; `left` says why the scratch copy could not be removed, and is empty where it was."""

    works: bool
    left: str = ""


async def rehearse(
    api: AsyncApi, gateway: Gateway, migration: Migration, token: str, tell: Callable[[Check], None]
) -> Rehearsed:
    """Rehearse.

    Args:
        token: Makes the scratch prefix unique.

    Raises:
        UsageError: There is no place for the scratch prefix, or no object to rehearse with.
        MigrationError: A step could not be tried.
    """
    if not migration.source.prefix:
        raise UsageError(
            f"{migration.source.uri} is a whole bucket: there is no place outside of it for a rehearsal"
        )
    name, original, twin = await _sample(api, migration)
    # The scratch prefix takes the place of the legacy path.
    stage = migration.rehearsal(f"{REHEARSAL_FOLDER}{token}/")
    at = stage.source_ref(name)
    copy = gateway.copy(migration.source_ref(name), at, if_source=original.generation, if_destination=ABSENT)
    tell(
        _step(
            "copy a sample to a scratch prefix",
            same(original, copy),
            f"{at.uri}, {counted(copy.size, 'byte')}",
        )
    )
    rehearsal = _Rehearsal(api, gateway, stage, tell)
    try:
        by_restoring = await rehearsal.by_soft_delete(
            ManifestLine.of(name, copy, copy.crc32c or "", twin.generation)
        )
        by_copy = await rehearsal.by_copying(name, twin)
    finally:
        left = _removed(gateway, at)
    return Rehearsed(by_restoring or by_copy, left)


def _removed(gateway: Gateway, at: ObjectRef) -> str:
    """Remove the scratch copy; returns what to do where that failed, else an empty text."""
    try:
        there = gateway.look(at)
        if there is not None:
            gateway.delete(at, if_generation=there.generation)
    except ObjectNotFound:
        pass  # a repetition of the request, after its answer was lost
    except MigrationError as error:
        return f"{error}; to remove it: gcloud storage rm '{at.uri}'"
    return ""


async def _sample(api: AsyncApi, migration: Migration) -> tuple[str, ObjectState, ObjectState]:
    """A name that is the same on both sides."""
    async with aclosing(diff(api, migration, (KeyRange("", ""),), at_once=1)) as parts:
        async for lines in parts:
            for relative, _, source, destination, _ in lines:
                if source is None or destination is None or migration.is_excluded(relative):
                    continue
                if same(source, destination) and not source.held:
                    return relative, source, destination
    raise UsageError(
        f"no object of {migration.source.uri} is the same at {migration.destination.uri}: nothing to rehearse with"
    )


@dataclass(frozen=True, slots=True)
class _Rehearsal:
    """A rehearsal with its scratch copy."""

    api: AsyncApi
    gateway: Gateway
    stage: Migration
    tell: Callable[[Check], None]

    async def by_soft_delete(self, line: ManifestLine) -> bool:
        """Delete the copy and restore it; leaves it deleted."""
        at = self.stage.source_ref(line.name)
        self.gateway.delete(at, if_generation=line.generation)
        self.tell(_step("delete it, on condition of its generation", self.gateway.look(at) is None))
        held, why = await self._held(line)
        detail = (
            why
            if held is None
            else f"until {minute_text(parse_time(held.until)) if held.until else 'a time that is not said'}"
        )
        self.tell(_step("find it among the soft-deleted", held is not None, detail))
        if held is None:
            return False
        done = await Restorer(self.api, self.stage, Pacing(), None).bring_back(
            restore_option(line, None, held, None)
        )
        now = self.gateway.look(at)
        passed = done.outcome is UndoOutcome.RESTORED and now is not None and same(line.state, now)
        self.tell(_step("restore it, and compare", passed, done.detail))
        if now is not None:
            self.gateway.delete(at, if_generation=now.generation)
        return passed

    async def by_copying(self, name: str, twin: ObjectState) -> bool:
        """Copy it back from the new path."""
        line, at = (
            ManifestLine.of(name, twin, twin.crc32c or "", twin.generation),
            self.stage.source_ref(name),
        )
        found = restore_option(line, self.gateway.look(at), None, twin)
        done = await Restorer(self.api, self.stage, Pacing(), None).bring_back(found)
        now = self.gateway.look(at)
        passed = done.outcome is UndoOutcome.COPIED_BACK and now is not None and same(line.state, now)
        self.tell(_step("copy it back from the new path, and compare", passed, done.detail))
        return passed

    async def _held(self, line: ManifestLine) -> tuple[HeldVersion | None, str]:
        """The soft-deleted generation of a line, or why there is none."""
        found, unavailable = await soft_deleted(self.api, self.stage.source, [line])
        if held := found.get((line.name, line.generation)):
            return held, ""
        return None, unavailable or "soft delete is off: only copying back from the new path would be left"


def _step(what: str, passed: bool, detail: str = "") -> Check:
    return Check(what, Standing.PASS if passed else Standing.FAIL, detail)
