"""Carrying out a plan: what differs goes to `replicate` on a pool of threads, everything is accounted for in order.

Nothing is decided here. Lines whose step needs no copy are booked as they stand; all others are looked at again by
the replication rule, which makes a plan of any age safe.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from backfill_job.ledger import Account
from backfill_job.plan import PlanLine, Step
from shared.decision import Authority
from shared.errors import BucketNotFound, MigrationError, PermissionDenied, StorageError
from shared.migration import Migration
from shared.objects import ObjectState
from shared.replicate import Glance, replicate
from shared.store import ObjectStore

__all__ = ["Result", "carry_out"]

WINDOW = 1024
"""Lines under way or waiting for an earlier one to finish: bounds the memory, and keeps the results in the plan's order
while a large object takes its time."""

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


def carry_out(
    lines: Iterable[PlanLine],
    store: ObjectStore,
    migration: Migration,
    authority: Authority,
    *,
    threads: int,
) -> Iterator[Result]:
    """Do what a plan says.

    Args:
        lines: The plan; lines about objects that only the destination has must have been taken out.
        store: Where both sides live; used from several threads.
        migration: What is asked.
        authority: Whose word counts where the two sides differ.
        threads: Objects replicated at once.

    Yields:
        A result for every line taken, in the plan's order.

    Raises:
        PermissionDenied, BucketNotFound: It concerns more than one object, so the rest is not tried; the results of
            everything under way have been yielded before.
        MigrationError: Whatever the lines raise: a listing that failed, a stop. The same holds.
    """
    window: deque[Result | Future[Result]] = deque()
    ended: MigrationError | None = None
    with ThreadPoolExecutor(threads, thread_name_prefix="replicate") as pool:
        try:
            for line in lines:
                window.append(_settled(line) or pool.submit(_replicated, line, store, migration, authority))
                while len(window) >= WINDOW or (window and _is_done(window[0])):
                    result = _finished(window.popleft())
                    yield result
                    _check_worth_going_on(result)
        except MigrationError as error:
            ended = error
        while window:
            yield _finished(window.popleft())
    if ended is not None:
        raise ended


def _check_worth_going_on(result: Result) -> None:
    if isinstance(result.error, (PermissionDenied, BucketNotFound)):
        raise result.error


def _settled(line: PlanLine) -> Result | None:
    account = _SETTLED.get(line.step)
    if account is None:
        return None
    return Result(line.relative, account, line.source, line.destination, error=line.note or None)


def _replicated(line: PlanLine, store: ObjectStore, migration: Migration, authority: Authority) -> Result:
    try:
        done = replicate(
            store,
            migration.source_ref(line.relative),
            migration.destination_ref(line.relative),
            authority,
            glance=Glance(line.source, line.destination),
        )
    except StorageError as error:
        return Result(line.relative, Account.FAILED, line.source, line.destination, error=error)
    account = Account.of(done.outcome)
    replaced = line.destination if account is Account.COPIED else None
    return Result(line.relative, account, done.source, done.destination, replaced, done.straggler)


def _is_done(entry: Result | Future[Result]) -> bool:
    return isinstance(entry, Result) or entry.done()


def _finished(entry: Result | Future[Result]) -> Result:
    return entry if isinstance(entry, Result) else entry.result()
