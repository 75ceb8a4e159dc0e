"""Follows deletions whose events left a copy: deletes extras at the destination that are proven copies of deleted sources.

`execution` is its only importer. It is a module of its own because it is the only one there that deletes.

An extra alone proves nothing: somebody may have written it. So an extra is deleted only where the source's bucket still holds a
deleted or overwritten version of that name. That version (soft-deleted or noncurrent) has the same contents, and is older than
the extra. `propagate_delete` does the rest: it looks at both sides again, and reads the authority after that. Every other extra
stays, and the verification reports it.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from math import inf

from backfill_job.copying.diff import DiffLine
from backfill_job.run.stopping import Stop
from backfill_job.run.workers import work
from shared.authority import AuthoritySource
from shared.decision import Authority
from shared.gcs.api import AsyncApi
from shared.gcs.listing import ended_versions
from shared.migration import Migration
from shared.objects import CONTENT_DIFFERENCES, ObjectState, differences, is_later, parse_time
from shared.replicate import DeletePropagation, propagate_delete
from shared.store import DeletingStore

__all__ = ["MOST_EXTRAS", "follow_deletions"]

MOST_EXTRAS = 10_000
"""Extras that one process asks about. With more, these are not the traces of a few lost copies; the rest is reported."""

AT_ONCE = 16

_EVER = datetime.max.replace(tzinfo=UTC)


async def follow_deletions(
    extras: Sequence[DiffLine],
    api: AsyncApi,
    store: DeletingStore,
    migration: Migration,
    authority: AuthoritySource,
    *,
    told: Callable[[str, DeletePropagation], None],
    stop: Stop,
) -> None:
    """Delete those extras that are proven copies of deleted sources. Any number of runs may do so at once.

    Args:
        api: Lists the versions of the source's bucket.
        store: Used from several threads.
        authority: Which side wins; read for every extra.
        told: Receives the name and the outcome of each extra that is a proven copy.

    Raises:
        StorageError: An extra could not be followed; the others may or may not have been.
        Interrupted: A stop was requested; the extras under way have ended.
    """

    async def follow(line: DiffLine) -> None:
        versions = await ended_versions(api, migration.source_ref(line.relative))
        done = await asyncio.to_thread(_followed, line, versions, store, migration, authority)
        if done is not None:
            told(line.relative, done)

    # What is under way ends in any case, so that nothing is deleted unseen.
    await work(extras, follow, workers=AT_ONCE, stop=stop, after_stop=inf, after_failure=inf)


def _followed(
    line: DiffLine,
    versions: Sequence[tuple[ObjectState, str]],
    store: DeletingStore,
    migration: Migration,
    authority: AuthoritySource,
) -> DeletePropagation | None:
    """Follow the deletion of one source; None where nothing proves that the extra is a copy of it."""
    proof = _proof(line.destination, versions)
    winner = authority.current()
    if proof is None or winner is Authority.DESTINATION:
        return None
    version, ended = proof

    def still() -> Authority:
        """A change of the authority ends it: what counts as later depends on it."""
        return winner if authority.current() is winner else Authority.DESTINATION

    return propagate_delete(
        store,
        migration.source_ref(line.relative),
        migration.destination_ref(line.relative),
        version,
        # While the legacy path wins, the new path has no writers, so a later copy is a late one. Elsewhere it may be a write.
        _EVER if winner is Authority.SOURCE else parse_time(ended),
        authority=still,
        keep=lambda there: migration.kept_ref(line.relative, there.generation),
    )


def _proof(
    extra: ObjectState | None, versions: Sequence[tuple[ObjectState, str]]
) -> tuple[ObjectState, str] | None:
    """The version that ended last of those with the extra's contents that are older than it; None where there is none."""
    fitting = [
        (version, ended)
        for version, ended in versions
        if extra is not None
        and not CONTENT_DIFFERENCES.intersection(differences(version, extra))
        and is_later(extra.created, version.created)
    ]
    return max(fitting, key=lambda each: parse_time(each[1]), default=None)
