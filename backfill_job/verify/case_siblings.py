"""Finds a silent failure in the data: objects beside the destination prefix, under a name that differs only by case.

A writer that uses the old prefix's case in the new bucket writes where no reader looks. To Cloud Storage both are valid
names, so nothing reports an error.
"""

import uvloop

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

    async def found() -> list[Remark]:
        async with open_api(run) as api:
            return await mixed_prefixes(api, run.migration, run.log)

    return uvloop.run(found())


async def mixed_prefixes(api: AsyncApi, migration: Migration, log: EventLog | None = None) -> list[Remark]:
    """What a verification, a dry run and the status say of prefixes with the destination's name in another case.

    Raises:
        StorageError: It is not known, for another reason than a missing permission.
    """
    try:
        siblings = await case_siblings(api, migration.destination)
    except PermissionDenied as error:
        return [Remark(Level.WARNING, MIXED, None, f"not known whether there is a mixed prefix: {error}")]
    found = [sibling for sibling in siblings if sibling != migration.source]
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


async def case_siblings(api: AsyncApi, location: Location) -> tuple[Location, ...]:
    """Find the prefixes that differ from a location only by the case of its last part, in order.

    Args:
        api: The fast client.
        location: A prefix; not a whole bucket.

    Raises:
        StorageError: It is not known; for example, there is no permission to list the prefix's parent.
    """
    parent, _, last = location.prefix.rstrip("/").rpartition("/")
    above = Location(location.bucket, f"{parent}/" if parent else "")
    found, _ = await top_level(api, above)
    return tuple(
        Location(location.bucket, above.prefix + name)
        for name in found
        if name != f"{last}/"
        and name.casefold() == f"{last}/".casefold()
        and above.prefix + name != OWN_FOLDER  # migrations' own objects, not data
    )
