"""The bulk lane: copies the lines of the diff that need a copy, many at once, with one conditional rewrite for each object.

The listings show both sides, so one request copies an object (``shared.first_rewrite``). The lane decides nothing itself.
Every other outcome goes to `replicate`, which looks at the object again: a failed precondition, an unfinished rewrite, no
answer. So a diff of any age is safe to act on. A line that needs no copy is recorded as it is.

`backfill_job.run.workers` draws one line for each free worker, so memory holds only the lines under way.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from math import inf
from typing import Any, NamedTuple, TypeGuard

from backfill_job.copying.counts import Account
from backfill_job.copying.diff import DiffLine, Verdict
from backfill_job.copying.governor import NullGovernor, WriteGovernor
from backfill_job.run.clock import Clock
from backfill_job.run.stopping import Stop
from backfill_job.run.workers import work
from shared.authority import AuthoritySource, Known
from shared.decision import Authority
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
from shared.first_rewrite import LARGEST, first_rewrite
from shared.gcs.api import AsyncApi, Pacing
from shared.migration import Migration
from shared.objects import ObjectState, parse_time
from shared.replicate import UNTRIED, LastSeen, Replication, Unsettled, replicate
from shared.store import DeletingStore, ObjectStore
from shared.verification import SideFacts

__all__ = [
    "UNFINISHED",
    "LaneLimits",
    "Pace",
    "Result",
    "concerns_all",
    "copy_lines",
    "impossible",
    "object_record",
    "replicated",
    "without_copy",
]

SETTLING_SECONDS = 5.0
"""The age from which a version counts as a later write; the check needs a request for each object. A mirror may have made
the version as a late copy. By this age that mirror has looked again and copied what clients wrote meanwhile (decision 0016)."""

MOST_WAITS = 3
"""How often the lane waits for a version that is too young. Clocks may differ, and clients may write the object again."""

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


def without_copy(line: DiffLine, migration: Migration) -> Result | None:
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
    """Replicate the object of a line by the rule, whatever the listings showed. A failure of Cloud Storage is a result, too.

    Args:
        settled_before: What the new path has had since before this moment is not a later write; see `replicate`.

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


@dataclass(frozen=True, slots=True)
class LaneLimits:
    """How much the lane does at once, and how long it takes to end.

    Attributes:
        threads: How many of them `replicate` may handle at once.
        largest: Bytes of the largest object that the lane copies itself. A larger one goes to `replicate`, because between
            locations or storage classes it takes several calls.
        finish_within: Seconds that objects under way may take after a stop.
    """

    in_flight: int = 256
    threads: int = 8
    largest: int = LARGEST
    finish_within: float = 5.0


async def copy_lines(
    batches: AsyncGenerator[Iterable[DiffLine], None],
    api: AsyncApi,
    store: ObjectStore,
    migration: Migration,
    authority: AuthoritySource,
    *,
    report: Callable[[Result], None],
    stop: Stop,
    clock: Clock,
    governor: WriteGovernor | None = None,
    limits: LaneLimits | None = None,
    settled_before: datetime | None = None,
    deletes: DeletingStore | None = None,
    storage_class: str = "",
) -> None:
    """Copy the objects of a diff that need a copy.

    Args:
        batches: The diff in parts, without lines of objects that only the destination has. The lane draws line by line,
            and closes it at the end.
        store: Everything else; used from several threads.
        authority: Which side wins where the two differ; read for every line.
        report: Receives the result of every line drawn, in no order, in the event loop's thread.
        governor: Decides when the lane may send the next rewrite; None for no limit.
        deletes: See `replicate`. Costs one more look at the source for each copy.

    Raises:
        PermissionDenied, BucketNotFound, PhaseChanged, PhaseUnknown: The failure concerns more than one object, so the lane
            does not try the rest. It has reported the results of all objects under way before.
        MigrationError: What `batches` raises, or `Interrupted` after a stop. The lane reports the objects under way first.
            Those that take longer than `LaneLimits.finish_within` after a stop fail: they may or may not have been copied.
    """
    limits = limits or LaneLimits()
    pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="replicate")
    waiting = ThreadPoolExecutor(limits.in_flight, thread_name_prefix="settling")
    pace = Pace(governor or NullGovernor())
    rule = _Rule(pool, waiting, store, migration, authority, clock, settled_before, deletes, storage_class)
    rewriter = _Rewriter(api, rule, pace, limits.largest)

    async def copy(line: DiffLine) -> None:
        try:
            result = await rewriter.copied(line)
        except asyncio.CancelledError:
            report(_unfinished(line))
            raise
        report(result)
        if concerns_all(result.error):
            raise result.error

    try:
        async with aclosing(batches), aclosing(_to_copy(batches, migration, pace, report, stop)) as lines:
            await work(
                lines,
                copy,
                workers=limits.in_flight,
                stop=stop,
                after_stop=limits.finish_within,
                after_failure=inf,
            )
    finally:
        # Does not wait for a call that hangs beyond its time. The call is conditional, so it may end either way.
        pool.shutdown(wait=False, cancel_futures=True)
        waiting.shutdown(wait=False, cancel_futures=True)


async def _to_copy(
    batches: AsyncGenerator[Iterable[DiffLine], None],
    migration: Migration,
    pace: "Pace",
    report: Callable[[Result], None],
    stop: Stop,
) -> AsyncGenerator[DiffLine, None]:
    """The lines that need a copy, at the governor's pace; reports the others itself."""
    async for batch in batches:
        lines = iter(batch)
        while True:
            # Before drawing a line, because every line drawn must be accounted for.
            stop.check()
            line = next(lines, None)
            if line is None:
                break
            if (result := without_copy(line, migration)) is not None:
                report(result)
                continue
            try:
                await pace.slot()
            except asyncio.CancelledError:
                report(_unfinished(line))
                raise
            yield line


def _unfinished(line: DiffLine) -> Result:
    return Result(line.relative, Account.FAILED, line.source, line.destination, error=UNFINISHED)


class Pace:
    """Gives out the governor's slots one after the other: a slot reserved far ahead would not heed a later storm."""

    def __init__(self, governor: WriteGovernor) -> None:
        self._governor = governor
        self._turn = asyncio.Lock()
        self.throttled = governor.throttled

    async def slot(self) -> None:
        """Wait for the next slot."""
        if self._turn.locked():
            async with self._turn:
                if (wait := self._governor.reserve()) > 0:
                    await asyncio.sleep(wait)
        # Where the slot is free, no lock is taken: it would cost as much as the slot.
        elif (wait := self._governor.reserve()) > 0:
            async with self._turn:
                await asyncio.sleep(wait)


@dataclass(frozen=True, slots=True)
class _Rule:
    """Calls `replicate` on threads. Waiting for a young version has threads of its own, so it delays no other object."""

    pool: ThreadPoolExecutor
    waiting: ThreadPoolExecutor
    store: ObjectStore
    migration: Migration
    authority: AuthoritySource
    clock: Clock
    settled_before: datetime | None
    deletes: DeletingStore | None
    storage_class: str

    async def replicated(self, line: DiffLine, after: Unsettled) -> Result:
        """Replicate one object, as soon as its version is old enough."""
        for _ in range(MOST_WAITS):
            try:
                return await self._replicated(line, after, self._settling)
            except NotSettled as young:
                await asyncio.get_running_loop().run_in_executor(
                    self.waiting, self.clock.sleep, young.seconds
                )
        return await self._replicated(line, after)

    async def _replicated(
        self, line: DiffLine, after: Unsettled, settling: Callable[[ObjectState], float] | None = None
    ) -> Result:
        by_the_rule = partial(
            replicated,
            after=after,
            settling=settling,
            settled_before=self.settled_before,
            deletes=self.deletes,
            storage_class=self.storage_class,
        )
        return await asyncio.get_running_loop().run_in_executor(
            self.pool, by_the_rule, line, self.store, self.migration, self.authority
        )

    def _settling(self, version: ObjectState) -> float:
        """Seconds until a version is `SETTLING_SECONDS` old; the clocks may differ."""
        age = (self.clock.now() - parse_time(version.updated)).total_seconds()
        return min(SETTLING_SECONDS, SETTLING_SECONDS - age)

    async def read(self) -> Known:
        """Which side is the source of truth now, where the phase has to be read.

        Raises:
            StorageError: That failed.
        """

        def known() -> Known:
            return Known(self.authority.current(), self.authority.erasures())

        return await asyncio.get_running_loop().run_in_executor(self.pool, known)


class _Rewriter:
    """Copies the object of a line with one request, or has it replicated."""

    def __init__(self, api: AsyncApi, rule: _Rule, pace: Pace, largest: int) -> None:
        self._migration = rule.migration
        self._api = api
        self._rule = rule
        self._pacing = Pacing(pace.slot, pace.throttled)
        self._largest = largest
        self._names_all = False

    async def copied(self, line: DiffLine) -> Result:
        """Copy one object."""
        rule = self._rule
        try:
            known = rule.authority.known() or await rule.read()
            erased = known.erasures.named(line.relative)
            done = UNTRIED if erased else await self._first_rewrite(line, known.authority)
        except StorageError:
            done = UNTRIED
        if isinstance(done, Unsettled):
            return await rule.replicated(line, done)
        self._names_all = self._names_all or done.attempts > 1
        return Result(line.relative, Account.COPIED, done.source, done.destination, line.destination)

    def _first_rewrite(
        self, line: DiffLine, winner: Authority
    ) -> Coroutine[Any, Any, Replication | Unsettled]:
        """`first_rewrite` itself: a coroutine around it would cost at every switch."""
        return first_rewrite(
            self._api,
            self._migration.source_ref(line.relative),
            self._migration.destination_ref(line.relative),
            LastSeen(line.source, line.destination),
            winner,
            follows_deletions=self._rule.deletes is not None,
            largest=self._largest,
            storage_class=self._rule.storage_class,
            names_class=self._names_all,
            pacing=self._pacing,
        )
