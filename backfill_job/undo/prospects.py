"""What can be brought back, and how: one line of the manifest and what is there now. Pure.

=====================  =====================================  ==========  =============================================
legacy path            soft-deleted generation                new path    what can be done
=====================  =====================================  ==========  =============================================
the same object        any                                    any         nothing: it is there
another object         any                                    any         nothing: it is never overwritten
nothing                the manifest's, with its checksums     any         restored, exactly as it was
nothing                none                                   the same    copied back, on condition that both stay so
nothing                none                                   other       nothing: it is lost, but for backups
=====================  =====================================  ==========  =============================================
"""

from dataclasses import dataclass
from enum import Enum

from backfill_job.deletion.manifest import Line
from shared.objects import CONTENT_DIFFERENCES, ObjectState, differences, same

__all__ = ["Prospect", "SoftDeleted", "Way", "prospect"]


class Way(Enum):
    """What can be done about a line."""

    THERE = "there"
    SOFT_DELETE = "soft_delete"
    NEW_PATH = "new_path"
    OCCUPIED = "occupied"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class SoftDeleted:
    """A soft-deleted generation.

    Attributes:
        state: The object as it was.
        until: RFC 3339 time at which it will be gone for good; empty where the service does not say.
    """

    state: ObjectState
    until: str


@dataclass(frozen=True, slots=True)
class Prospect:
    """What can be done about a line, with the evidence.

    Attributes:
        line: The line.
        way: What can be done.
        until: Until when soft delete holds it; empty where it does not.
        same_at_new_path: Whether the new path has the same object now.
        new_path: The object at the new path as seen; None when absent.
        because: Why nothing can be done, for a person; empty where something can.
    """

    line: Line
    way: Way
    until: str
    same_at_new_path: bool
    new_path: ObjectState | None
    because: str = ""


def prospect(
    line: Line,
    legacy: ObjectState | None,
    soft_deleted: SoftDeleted | None,
    new_path: ObjectState | None,
    *,
    no_shelf: str = "",
) -> Prospect:
    """Say what can be done, by the table above.

    Args:
        line: What was deleted.
        legacy: The live legacy object; None when absent.
        soft_deleted: The soft-deleted generation that the line names; None when there is none (any more).
        new_path: The live object at the new path; None when absent.
        no_shelf: Why soft-deleted generations could not be listed; empty where they could.
    """
    was = line.state
    there_too = new_path is not None and same(was, new_path)
    held = soft_deleted is not None and same(was, soft_deleted.state)
    until = soft_deleted.until if soft_deleted is not None and held else ""

    def way(which: Way, because: str = "") -> Prospect:
        return Prospect(line, which, until, there_too, new_path, because)

    if legacy is not None:
        differing = differences(was, legacy)
        if not differing:
            return way(Way.THERE)
        names = ", ".join(difference.value for difference in differing)
        return way(
            Way.OCCUPIED, f"another object is there, which is not overwritten (it differs in: {names})"
        )
    if held:
        return way(Way.SOFT_DELETE)
    if there_too:
        return way(Way.NEW_PATH)
    shelf = (
        f"what soft delete holds cannot be listed ({no_shelf})"
        if no_shelf
        else "soft delete holds it no more"
        if soft_deleted is None
        else "what soft delete holds is not what the manifest says"
    )
    return way(Way.LOST, _why_lost(was, shelf, new_path))


def _why_lost(was: ObjectState, shelf: str, new_path: ObjectState | None) -> str:
    if new_path is None:
        return f"{shelf}, and the new path has none"
    differing = differences(was, new_path)
    names = ", ".join(difference.value for difference in differing)
    what = "something else" if CONTENT_DIFFERENCES.intersection(differing) else "the same with other metadata"
    return f"{shelf}, and the new path has {what} (differs in: {names})"
