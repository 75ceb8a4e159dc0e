"""What becomes of a plan's line: booked as it stands, or replicated by the rule.

Nothing is decided here. Lines whose step needs no copy are booked as they stand; all others are looked at again by
the replication rule, which makes a plan of any age safe. ``backfill_job.bulk`` does it for many at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

from backfill_job.ledger import Account
from backfill_job.plan import PlanLine, Step
from shared.errors import BucketNotFound, NotSettled, PermissionDenied, StorageError
from shared.migration import Migration
from shared.objects import ObjectState
from shared.replicate import Glance, replicate
from shared.ruling import Ruling
from shared.store import ObjectStore

__all__ = ["Result", "concerns_all", "replicated", "settled"]

_SETTLED = {
    Step.EQUAL: Account.ALREADY_EQUAL,
    Step.EXCLUDED: Account.EXCLUDED,
    Step.IMPOSSIBLE: Account.FAILED,
}


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


def settled(line: PlanLine) -> Result | None:
    """Book a line that calls for no copy as it stands; None for one that does."""
    account = _SETTLED.get(line.step)
    if account is None:
        return None
    return Result(line.relative, account, line.source, line.destination, error=line.note or None)


def replicated(
    line: PlanLine,
    store: ObjectStore,
    migration: Migration,
    ruling: Ruling,
    settling: Callable[[ObjectState], float] | None = None,
) -> Result:
    """Replicate the object of a line by the rule, whatever the plan says, and book what became of it.

    Args:
        line: The object, as listed on both sides.
        store: Where both sides live.
        migration: What is asked.
        ruling: Whose word counts where the two sides differ.
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
            ruling.ask,
            glance=Glance(line.source, line.destination),
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
