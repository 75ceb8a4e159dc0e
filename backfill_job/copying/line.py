"""Acts on one line of the diff: records it as it is, or replicates its object by the rule.

This module decides nothing. A line that needs no copy is recorded. For every other line the replication rule looks at the
object again, so a diff of any age is safe to act on. ``backfill_job.copying.lane`` does this for many lines at once.
"""

from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple, TypeGuard

from backfill_job.copying.counts import Account
from backfill_job.copying.diff import DiffLine, Verdict
from shared.authority import AuthoritySource
from shared.errors import (
    BucketNotFound,
    Cause,
    NotSettled,
    PermissionDenied,
    PhaseChanged,
    PhaseUnknown,
    StorageError,
    UsageError,
)
from shared.migration import Migration
from shared.objects import ObjectState
from shared.replicate import UNTRIED, LastSeen, Unsettled, replicate
from shared.store import DeletingStore, ObjectStore
from shared.verification import SideFacts

__all__ = ["UNFINISHED", "Result", "concerns_all", "impossible", "object_record", "replicated", "settled"]

UNFINISHED = "stopped before an answer came; it may or may not have been copied. Run the same command again"

_SETTLED = {Verdict.EQUAL: Account.ALREADY_EQUAL, Verdict.EXCLUDED: Account.EXCLUDED}


class Result(NamedTuple):
    """What happened to one listed object.

    A named tuple, because a run makes one for every object: a third of a frozen dataclass's time.

    Attributes:
        source: The source version it is about; for a failure the listed one.
        destination: The destination version that holds the content; for a conflict the one in the way.
        replaced: The different version that the copy replaced, if the diff saw one.
        error: Why it failed, else None.
    """

    relative: str
    account: Account
    source: ObjectState | None
    destination: ObjectState | None
    replaced: ObjectState | None = None
    straggler: bool = False
    error: StorageError | str | None = None

    @property
    def cause(self) -> Cause:
        """Why it failed, to group the failures of a run."""
        if isinstance(self.error, StorageError):
            return self.error.cause
        return Cause.STOPPED if self.error == UNFINISHED else Cause.NAME


def concerns_all(error: StorageError | str | None) -> TypeGuard[StorageError]:
    """Whether a failure concerns more than its object, so that the run does not try the rest."""
    return isinstance(error, (PermissionDenied, BucketNotFound, PhaseChanged, PhaseUnknown))


def impossible(line: DiffLine, migration: Migration) -> str:
    """Why an object cannot have its name at the destination; empty where it can."""
    if line.source is None or line.destination is not None:
        return ""
    try:
        migration.destination_name(line.relative)
    except UsageError as error:
        return str(error)
    return ""


def settled(line: DiffLine, migration: Migration) -> Result | None:
    """Record a line that needs no copy; None for a line that needs one."""
    account = _SETTLED.get(line.verdict)
    why = "" if account else impossible(line, migration)
    if account is None and not why:
        return None
    return Result(line.relative, account or Account.FAILED, line.source, line.destination, error=why or None)


def replicated(
    line: DiffLine,
    store: ObjectStore,
    migration: Migration,
    authority: AuthoritySource,
    *,
    after: Unsettled = UNTRIED,
    settling: Callable[[ObjectState], float] | None = None,
    settled_before: datetime | None = None,
    deletes: DeletingStore | None = None,
    storage_class: str = "",
) -> Result:
    """Replicate the object of a line by the rule, whatever the listings showed, and record the result.

    Args:
        settled_before: What the new path has had since before this moment is not a later write; see `replicate`.

    Returns:
        The result. A failure of Cloud Storage is a result, too.

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
            after=after,
            keep=lambda version: migration.kept_ref(line.relative, version.generation),
            settling=settling,
            erased=lambda: authority.erasures().of(line.relative),
            settled_before=None if migration.is_reversed else settled_before,
            source_settled_before=settled_before if migration.is_reversed else None,
            deletes=deletes,
            storage_class=storage_class,
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
    sides = {"source": SideFacts.of(source), "destination": SideFacts.of(destination)}
    return {"name": relative, "outcome": outcome, **sides}
