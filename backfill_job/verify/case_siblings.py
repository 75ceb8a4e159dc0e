"""Finds a silent failure in the data: objects beside the destination prefix, under a name that differs only by case.

A writer that uses the old prefix's case in the new bucket writes where no reader looks. To Cloud Storage both are valid
names, so nothing reports an error.
"""

import uvloop

from backfill_job.run.run import Run, open_api
from shared.errors import PermissionDenied
from shared.events_log import Event, EventLog
from shared.gcs.api import AsyncApi
from shared.gcs.listing import case_siblings
from shared.migration import Migration
from shared.verification import Level, Remark

__all__ = ["MIXED", "mixed_prefixes", "mixed_prefixes_of"]

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
