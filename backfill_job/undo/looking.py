"""What is there now, for a chunk of a manifest: three listings side by side, of its range of names only."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from backfill_job.copying.diff import Page
from backfill_job.deletion.manifest import Line
from backfill_job.undo.prospects import Prospect, SoftDeleted, prospect
from shared.errors import ConditionFailed, UnexpectedAnswer
from shared.gcs.api import AsyncApi
from shared.gcs.listing import list_pages, list_soft_deleted
from shared.migration import Location, Migration
from shared.objects import ObjectState

__all__ = ["Now", "legacy_now", "look", "prospects"]


@dataclass(frozen=True, slots=True)
class Now:
    """What is there of some lines, by name below the prefixes.

    Attributes:
        legacy: Live legacy objects.
        soft_deleted: Soft-deleted legacy generations, by name and generation.
        new_path: Live objects at the new path.
        no_shelf: Why the soft-deleted ones cannot be listed; empty where they can.
    """

    legacy: dict[str, ObjectState]
    soft_deleted: dict[tuple[str, int], SoftDeleted]
    new_path: dict[str, ObjectState]
    no_shelf: str = ""


async def look(api: AsyncApi, migration: Migration, lines: Sequence[Line], following: str) -> Now:
    """List what is there of some lines.

    Args:
        api: Whom to ask.
        migration: What the manifest is about.
        lines: Lines of one chunk, in order; at least one.
        following: The first name after the chunk; empty for none.

    Raises:
        StorageError: A listing failed: nothing is known.
    """
    legacy, new_path, (shelf, no_shelf) = await asyncio.gather(
        _live(api, migration.source, lines, following),
        _live(api, migration.destination, lines, following),
        _shelf(api, migration.source, lines, following),
    )
    return Now(legacy, shelf, new_path, no_shelf)


async def legacy_now(
    api: AsyncApi, migration: Migration, lines: Sequence[Line], following: str
) -> dict[str, ObjectState]:
    """List the live legacy objects of some lines; see `look`."""
    return await _live(api, migration.source, lines, following)


def prospects(lines: Sequence[Line], now: Now) -> list[Prospect]:
    """What can be done about each of some lines."""
    return [
        prospect(
            line,
            now.legacy.get(line.name),
            now.soft_deleted.get((line.name, line.generation)),
            now.new_path.get(line.name),
            no_shelf=now.no_shelf,
        )
        for line in lines
    ]


async def _live(
    api: AsyncApi, location: Location, lines: Sequence[Line], following: str
) -> dict[str, ObjectState]:
    wanted = {line.name for line in lines}
    found: dict[str, ObjectState] = {}
    pages = list_pages(api, location, start=location.prefix + lines[0].name, end=_end(location, following))
    async with aclosing(_up_to(pages, lines[-1].name)) as some:
        async for page in some:
            found.update((name, state) for name, state in page if name in wanted)
    return found


async def _up_to(pages: AsyncGenerator[Page, None], last: str) -> AsyncGenerator[Page, None]:
    """Pages up to the one that holds, or passes, a name."""
    async with aclosing(pages):
        async for page in pages:
            yield page
            if page[-1][0] >= last:
                return


async def _shelf(
    api: AsyncApi, location: Location, lines: Sequence[Line], following: str
) -> tuple[dict[tuple[str, int], SoftDeleted], str]:
    """The soft-deleted generations that lines name, and why there are none to be listed."""
    wanted = {(line.name, line.generation) for line in lines}
    found: dict[tuple[str, int], SoftDeleted] = {}
    start, last = location.prefix + lines[0].name, lines[-1].name
    try:
        pages = list_soft_deleted(api, location, start=start, end=_end(location, following))
        async with aclosing(pages):
            async for page in pages:
                for name, state, until in page:
                    if (name, state.generation) in wanted:
                        found[name, state.generation] = SoftDeleted(state, until)
                if page[-1][0] > last:
                    break
    except (UnexpectedAnswer, ConditionFailed) as error:
        # A bucket whose soft delete is off refuses this listing; the new path may still help.
        return {}, error.detail
    return found, ""


def _end(location: Location, following: str) -> str:
    return location.prefix + following if following else ""
