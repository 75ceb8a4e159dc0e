"""What can be brought back, and how: one line of the manifest, and what is there now.

The first row that fits decides::

    =====================  =====================================  ==========  =============================================
    legacy path            soft-deleted generation                new path    what can be done
    =====================  =====================================  ==========  =============================================
    the same object        any                                    any         nothing: it is there
    another object         any                                    any         nothing: it is never overwritten
    nothing                any                                    erased      nothing, unless erased objects are included
    nothing                the manifest's, with its checksums     any         restored, exactly as it was
    nothing                none                                   the same    copied back, on condition that both stay so
    nothing                none                                   other       nothing: it is lost, except from backups
    =====================  =====================================  ==========  =============================================

*Erased*: somebody deleted it at the new path, which decides what exists (`shared.decision.was_erased`); or the deletion took it
because a person named it as erased.

`restore_option` is this table, and pure. `restore_options` lists what is there for one chunk of a manifest: three listings side by side, of the
chunk's range of names only.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from enum import Enum

from backfill_job.copying.diff import Page
from backfill_job.deletion.manifest import ManifestLine
from shared.authority import AuthoritySource
from shared.decision import ABSENT, was_erased
from shared.erasures import NO_ERASURES, Erasures
from shared.errors import ConditionFailed, Refused, UnexpectedAnswer
from shared.gcs.api import AsyncApi
from shared.gcs.listing import HeldVersion, held_versions, list_pages
from shared.migration import Location, Migration
from shared.objects import CONTENT_DIFFERENCES, ObjectState, differences, same

__all__ = [
    "RestoreOption",
    "RestoreWay",
    "live",
    "restore_option",
    "restore_options",
    "soft_deleted",
]


class RestoreWay(Enum):
    """What can be done about a line."""

    THERE = "there"
    SOFT_DELETE = "soft_delete"
    NEW_PATH = "new_path"
    ERASED = "erased"
    OCCUPIED = "occupied"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class RestoreOption:
    """What can be done about a line, with the evidence.

    Attributes:
        until: RFC 3339 time until which soft delete holds it; empty where it does not.
        new_path: The object at the new path; None when absent.
        because: Why nothing can be done, for a person; empty where something can.
    """

    line: ManifestLine
    way: RestoreWay
    until: str
    same_at_new_path: bool
    new_path: ObjectState | None
    because: str = ""


def restore_option(
    line: ManifestLine,
    legacy: ObjectState | None,
    soft_deleted: HeldVersion | None,
    new_path: ObjectState | None,
    *,
    soft_delete_unavailable: str = "",
    erasures: Erasures = NO_ERASURES,
    include_erased: bool = False,
) -> RestoreOption:
    """Say what can be done, by the table above.

    Args:
        legacy: The live legacy object; None when absent.
        soft_deleted: The soft-deleted generation that the line names; None when absent.
        new_path: The live object at the new path; None when absent.
        soft_delete_unavailable: Why soft-deleted generations could not be listed; empty where they could.
        erasures: Since when an absence at the new path is an erasure.
        include_erased: Whether what was erased is brought back, too; not what was erased by name on record.
    """
    was = line.state
    there_too = new_path is not None and same(was, new_path)
    held = soft_deleted is not None and same(was, soft_deleted.state)
    until = soft_deleted.until if soft_deleted is not None and held else ""

    def way(which: RestoreWay, because: str = "") -> RestoreOption:
        return RestoreOption(line, which, until, there_too, new_path, because)

    if legacy is not None:
        differing = differences(was, legacy)
        if not differing:
            return way(RestoreWay.THERE)
        names = ", ".join(difference.value for difference in differing)
        return way(
            RestoreWay.OCCUPIED, f"another object is there, which is not overwritten (it differs in: {names})"
        )
    # Whatever the new path holds now: what was written there since the erasure is another object.
    if was_erased(was, None, erasures.on_record(line.name)):
        return way(RestoreWay.ERASED, "it was erased by name, which is on record")
    if held and not include_erased and soft_deleted is not None:
        named = line.destination_generation == ABSENT and new_path is None
        if named or was_erased(soft_deleted.state, new_path, erasures.of(line.name)):
            return way(
                RestoreWay.ERASED,
                "it was deleted at the new path after a proven comparison; --include-erased restores it",
            )
    if held:
        return way(RestoreWay.SOFT_DELETE)
    if there_too:
        return way(RestoreWay.NEW_PATH)
    gone = (
        f"what soft delete holds cannot be listed ({soft_delete_unavailable})"
        if soft_delete_unavailable
        else "soft delete holds it no more"
        if soft_deleted is None
        else "what soft delete holds is not what the manifest says"
    )
    return way(RestoreWay.LOST, _why_lost(was, gone, new_path))


def _why_lost(was: ObjectState, gone: str, new_path: ObjectState | None) -> str:
    if new_path is None:
        return f"{gone}, and the new path has none"
    differing = differences(was, new_path)
    names = ", ".join(difference.value for difference in differing)
    what = "something else" if CONTENT_DIFFERENCES.intersection(differing) else "the same with other metadata"
    return f"{gone}, and the new path has {what} (differs in: {names})"


async def restore_options(
    api: AsyncApi,
    migration: Migration,
    lines: Sequence[ManifestLine],
    following: str,
    *,
    authority: AuthoritySource,
    include_erased: bool,
) -> tuple[list[RestoreOption], str]:
    """List what is there for some lines, and say what can be done about each; see `restore_option`.

    Args:
        lines: Of one chunk, in order; at least one.
        following: The first name after the chunk; empty for none.

    Returns:
        The options, in the order of the lines; and why soft-deleted objects cannot be listed, empty where they can.

    Raises:
        StorageError: A listing failed: nothing is known.
    """
    legacy, new_path, (held, unavailable) = await asyncio.gather(
        live(api, migration.source, lines, following),
        live(api, migration.destination, lines, following),
        soft_deleted(api, migration.source, lines, following),
    )
    erasures = await asyncio.to_thread(authority.erasures)
    options = [
        restore_option(
            line,
            legacy.get(line.name),
            held.get((line.name, line.generation)),
            new_path.get(line.name),
            soft_delete_unavailable=unavailable,
            erasures=erasures,
            include_erased=include_erased,
        )
        for line in lines
    ]
    return options, unavailable


async def live(
    api: AsyncApi, location: Location, lines: Sequence[ManifestLine], following: str
) -> dict[str, ObjectState]:
    """The live objects with the names of some lines; see `restore_options`."""
    wanted = {line.name for line in lines}
    found: dict[str, ObjectState] = {}
    pages = list_pages(api, location, start=location.prefix + lines[0].name, end=_end(location, following))
    async with aclosing(_up_to(pages, lines[-1].name)) as some:
        async for page in some:
            found.update((name, state) for name, state in page if name in wanted)
    return found


async def _up_to(pages: AsyncGenerator[Page, None], last: str) -> AsyncGenerator[Page, None]:
    """Pages up to the first one that reaches a name."""
    async with aclosing(pages):
        async for page in pages:
            yield page
            if page[-1][0] >= last:
                return


async def soft_deleted(
    api: AsyncApi, location: Location, lines: Sequence[ManifestLine], following: str = ""
) -> tuple[dict[tuple[str, int], HeldVersion], str]:
    """The soft-deleted generations that lines name, or why they cannot be listed; see `restore_options`."""
    wanted = {(line.name, line.generation) for line in lines}
    found: dict[tuple[str, int], HeldVersion] = {}
    start, last, skip = location.prefix + lines[0].name, lines[-1].name, len(location.prefix)
    try:
        pages = held_versions(api, location, soft_deleted=True, start=start, end=_end(location, following))
        async with aclosing(pages):
            async for page in pages:
                for each in page:
                    key = each.state.name[skip:], each.state.generation
                    if key in wanted:
                        found[key] = each
                if page and page[-1].state.name[skip:] > last:
                    break
    except (UnexpectedAnswer, Refused, ConditionFailed) as error:
        # A bucket whose soft delete is off refuses this listing. The new path may still have the objects.
        return {}, error.detail
    return found, ""


def _end(location: Location, following: str) -> str:
    return location.prefix + following if following else ""
