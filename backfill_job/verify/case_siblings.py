"""Finds a silent failure in the data: objects beside the destination prefix, under a name that differs only by case.

A writer that uses the old prefix's case in the new bucket writes where no reader looks. To Cloud Storage both are valid
names, so nothing reports an error.
"""

import asyncio

from backfill_job.run.late_gateway import ask
from backfill_job.run.run import Run, open_api
from shared.errors import PermissionDenied
from shared.events_log import Event, EventLog
from shared.gcs.api import AsyncApi
from shared.gcs.listing import top_level
from shared.migration import OWN_FOLDER, Location, Migration
from shared.verification import Level, Remark

__all__ = ["MIXED", "case_siblings", "mixed_prefixes", "mixed_prefixes_of"]

MIXED = "mixed_prefix"
"""The kind of these remarks."""


def mixed_prefixes_of(run: Run) -> list[Remark]:
    """The `mixed_prefixes` of a run's migration; the log has them, too."""
    return ask(open_api(run), lambda api: mixed_prefixes(api, run.migration, run.log))


async def mixed_prefixes(api: AsyncApi, migration: Migration, log: EventLog | None = None) -> list[Remark]:
    """What a verification, a dry run and the status say of prefixes with the destination's name in another case.

    Raises:
        StorageError: It is not known, for another reason than a missing permission.
    """
    try:
        found = await case_siblings(api, migration)
    except PermissionDenied as error:
        return [Remark(Level.WARNING, MIXED, None, f"not known whether there is a mixed prefix: {error}")]
    for sibling in found:
        if log is not None:
            log.emit(Event.MIXED_PREFIX_FOUND, object=sibling.uri)
    return [
        Remark(
            Level.CRITICAL,
            MIXED,
            None,
            f"{sibling.uri} holds objects: the destination's name in another case, where no reader looks. "
            "Find out who writes there, and copy what is missing",
        )
        for sibling in found
    ]


async def case_siblings(api: AsyncApi, migration: Migration) -> tuple[Location, ...]:
    """Find the prefixes that differ from the destination only by case, in order; it lists each part's folder.

    Returns:
        Without the source, and without the migrations' own folder.

    Raises:
        StorageError: It is not known; for example, there is no permission to list above the prefix.
    """
    destination, same = migration.destination, [""]
    for part in destination.prefix.rstrip("/").split("/"):
        above = [Location(destination.bucket, prefix) for prefix in same]
        found = await asyncio.gather(*(top_level(api, each) for each in above))
        same = [
            each.prefix + name
            for each, (names, _) in zip(above, found, strict=True)
            for name in names
            if name.casefold() == f"{part}/".casefold()
        ]
    others = (Location(destination.bucket, prefix) for prefix in same if prefix != OWN_FOLDER)
    return tuple(each for each in others if each not in {destination, migration.source})
