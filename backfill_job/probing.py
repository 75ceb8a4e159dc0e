"""Names that cut one folder into pieces, found with few requests: how a giant partition is split before anybody has listed it.

Cloud Storage gives the first name after any other, and nothing else about what lies in between. So the folder's names are
taken for a tree of their characters, which is walked level by level: every branch costs one small request, and every branch
is a place to cut at. Branches are not equally heavy; but there are many more pieces than tasks, and neighbours, which are
about alike, go to different tasks (``backfill_job.sharding``). What a wrong guess costs is balance, never an object.
"""

import asyncio

from shared.gcs.api import AsyncApi
from shared.gcs.listing import first_name
from shared.migration import Location

__all__ = ["splitting_names"]

LEVELS = 64
"""Characters after which names are taken for all alike."""

BRANCHES = 4_000
"""Branches looked at in one folder; more pieces than that are never wanted."""

LAST_CHARACTER = chr(0x10FFFF)
FIRST_SURROGATE, AFTER_SURROGATES = 0xD800, 0xE000


async def splitting_names(api: AsyncApi, location: Location, folder: str, wanted: int) -> tuple[str, ...]:
    """Find names at which a folder falls into pieces.

    Args:
        api: Whom to ask.
        location: Where the folder is.
        folder: The folder below the prefix, with its final ``/``; empty for the prefix itself.
        wanted: How many names at least, where there are as many.

    Returns:
        Names below the prefix, ascending; beginnings of objects' names, not always objects themselves.

    Raises:
        StorageError: A listing failed.
    """
    level = [folder]
    for _ in range(LEVELS):
        below = await asyncio.gather(*(_branches(api, location, stem) for stem in level))
        following = [branch for branches in below for branch in branches]
        if not following or len(following) > BRANCHES:
            break
        level = following
        if len(level) > wanted:
            break
    return tuple(level[1:])


async def _branches(api: AsyncApi, location: Location, stem: str) -> list[str]:
    """The beginnings of names that are one character longer than `stem`, in order."""
    branches: list[str] = []
    end = _after(stem)
    start = stem + "\0"
    while (name := await first_name(api, location, start, end)) is not None:
        branches.append(name[: len(stem) + 1])
        start = _after(branches[-1])
        if not start:
            break
    return branches


def _after(stem: str) -> str:
    """The first name after all that begin with `stem`; empty when nothing can come after them."""
    while stem.endswith(LAST_CHARACTER):
        stem = stem[:-1]
    if not stem:
        return ""
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(AFTER_SURROGATES if following == FIRST_SURROGATE else following)
