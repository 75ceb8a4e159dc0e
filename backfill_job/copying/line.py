"""Records a line of the diff, or replicates it by the rule.

Nothing is decided here. A line that needs no copy is recorded as it is. Every other one is looked at again by the replication
rule, so a diff of any age is safe to act on. ``backfill_job.copying.lane`` does it for many at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeGuard

from backfill_job.copying.counts import Account
from backfill_job.copying.diff import Finding, Verdict
from backfill_job.run.reports import side
from shared.authority import AuthoritySource
from shared.errors import BucketNotFound, NotSettled, PermissionDenied, StorageError, UsageError
from shared.migration import Migration
from shared.objects import ObjectState
from shared.replicate import LastSeen, replicate
from shared.store import ObjectStore

__all__ = ["Result", "concerns_all", "impossible", "object_record", "replicated", "settled"]

_SETTLED = {Verdict.EQUAL: Account.ALREADY_EQUAL, Verdict.EXCLUDED: Account.EXCLUDED}


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one listed object.

    Attributes:
        relative: Its name below the prefixes.
        account: Where it is booked.
        source: The source version it is about; for failures the one listed.
        destination: The destination version that holds the content; for conflicts the one in the way.
        replaced: The different version that the copy replaced, if the plan saw one.
        straggler: See `shared.replicate.Replication`.
        error: Why it failed, else None.
    """

    relative: str
    account: Account
    source: ObjectState | None
    destination: ObjectState | None
    replaced: ObjectState | None = None
    straggler: bool = False
    error: StorageError | str | None = None


def concerns_all(error: StorageError | str | None) -> TypeGuard[StorageError]:
    """Tell whether a failure concerns more than its object, so that the rest need not be tried."""
    return isinstance(error, (PermissionDenied, BucketNotFound))


def impossible(line: Finding, migration: Migration) -> str:
    """Why an object cannot have its name at the destination; empty where it can."""
    if line.source is None or line.destination is not None:
        return ""
    try:
        migration.destination_ref(line.relative)
    except UsageError as error:
        return str(error)
    return ""


def settled(line: Finding, migration: Migration) -> Result | None:
    """Record a line that needs no copy as it is; None for one that does."""
    account, why = _SETTLED.get(line.verdict), ""
    if account is None:
        why = impossible(line, migration)
        account = Account.FAILED if why else None
    if account is None:
        return None
    return Result(line.relative, account, line.source, line.destination, error=why or None)


def replicated(
    line: Finding,
    store: ObjectStore,
    migration: Migration,
    authority: AuthoritySource,
    settling: Callable[[ObjectState], float] | None = None,
) -> Result:
    """Replicate the object of a line by the rule, whatever the listings showed, and record the result.

    Args:
        line: The object, as listed on both sides.
        store: Where both sides live.
        migration: What is asked.
        authority: Whose word counts where the two sides differ.
        settling: See `replicate`.

    Returns:
        The result; failures of Cloud Storage are results too.

    Raises:
        NotSettled: See `replicate`.
    """
    try:
        done = replicate(
            store,
            migration.source_ref(line.relative),
            migration.destination_ref(line.relative),
            authority.current,
            last_seen=LastSeen(line.source, line.destination),
            keep=lambda version: migration.kept_ref(line.relative, version.generation),
            settling=settling,
        )
    except NotSettled:
        raise
    except StorageError as error:
        return Result(line.relative, Account.FAILED, line.source, line.destination, error=error)
    account = Account.of(done.outcome)
    replaced = line.destination if account is Account.COPIED else None
    return Result(line.relative, account, done.source, done.destination, replaced, done.straggler)


def object_record(
    relative: str, outcome: str, source: ObjectState | None, destination: ObjectState | None
) -> dict[str, Any]:
    """A line of ``objects.jsonl``."""
    return {"name": relative, "outcome": outcome, "source": side(source), "destination": side(destination)}
