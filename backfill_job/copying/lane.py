"""The bulk lane: one conditional rewrite an object, many at once, for the lines of the diff that call for a copy.

Both sides are known from the listings, so a copy takes one request. Its conditions, its proof and everything that is
not a plain success are the replication rule's: `decide` gives the two generations, `differences` compares the answer
with the source that was seen, and whatever else comes (a failed condition, an answer that is not done, no answer) goes
to `replicate`, which looks again. The lane decides nothing itself.

A worker takes a line, sends its rewrite and reports, then takes the next: what is under way is all that is held.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass

from backfill_job.copying.counts import Account
from backfill_job.copying.diff import Finding
from backfill_job.copying.governor import NullGovernor, WriteGovernor
from backfill_job.copying.line import Result, concerns_all, replicated, settled
from backfill_job.run.clock import Clock
from backfill_job.run.stopping import Stop
from shared.authority import AuthoritySource
from shared.decision import Action, Authority, decide
from shared.errors import MigrationError, NotSettled, StorageError
from shared.gcs.api import AsyncApi, Pacing
from shared.migration import Migration
from shared.objects import ObjectState, differences, parse_time
from shared.store import ObjectStore

__all__ = ["Limits", "carry_out_in_bulk"]

MIB = 1024 * 1024
STOP_POLL = 0.1
"""Seconds after which a stop is noticed even if every request hangs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the lane does at once, and how long it takes to end.

    Attributes:
        in_flight: Objects under way at once.
        threads: How many of them may be with `replicate` at once.
        largest: Bytes of the largest object that is copied here. A larger one goes to `replicate`: between locations
            or storage classes it takes several calls.
        finish_within: Seconds that what is under way may take after a stop.
    """

    in_flight: int = 256
    threads: int = 8
    largest: int = 64 * MIB
    finish_within: float = 5.0


SETTLING_SECONDS = 5.0
"""How old a version must be to be taken for a later write: by then the mirror that may have made it, as a late copy, has looked
again at what it copied, and brought over what was written meanwhile (``docs/decisions/0016``). It needs a request for each."""

MOST_WAITS = 3
"""So often a version that turns out too young is waited for; the clocks may tick apart, and the object may be written again."""


async def carry_out_in_bulk(
    batches: AsyncGenerator[Iterable[Finding], None],
    api: AsyncApi,
    store: ObjectStore,
    migration: Migration,
    authority: AuthoritySource,
    *,
    report: Callable[[Result], None],
    stop: Stop,
    clock: Clock,
    governor: WriteGovernor | None = None,
    limits: Limits | None = None,
) -> None:
    """Copy what the lines of a diff call for.

    Args:
        batches: The diff in parts, which are drawn from line by line; lines about objects that only the destination
            has must have been taken out. Closed at the end.
        api: For the rewrites.
        store: For everything else; used from several threads.
        migration: What is asked.
        authority: Whose word counts where the two sides differ; asked for every line.
        report: Told the result of every line taken, in no order, in the event loop's thread.
        stop: Whether somebody asked to stop.
        clock: The time and the waiting.
        governor: Says when the next rewrite may be sent; None for no bound.
        limits: How much at once.

    Raises:
        PermissionDenied, BucketNotFound: It concerns more than one object, so the rest is not tried; the results of
            everything under way have been reported before.
        MigrationError: Whatever the lines raise: a listing that failed, a stop. The same holds. What is still under
            way `Limits.finish_within` seconds after a stop is reported as failed: it may or may not have been copied.
    """
    limits = limits or Limits()
    pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="replicate")
    waiting = ThreadPoolExecutor(limits.in_flight, thread_name_prefix="settling")
    try:
        async with aclosing(batches):
            pace = _Pace(governor or NullGovernor())
            rule = _Rule(pool, waiting, store, migration, authority, clock)
            rewriter = _Rewriter(api, rule, pace, limits.largest)
            await _Lane(batches, rewriter, report, stop, pace).run(limits)
    finally:
        # A call that hangs beyond its time is not waited for; it is conditional, so it may end as it likes.
        pool.shutdown(wait=False, cancel_futures=True)
        waiting.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _Rule:
    """`replicate`, on threads; those that wait are others, so that nobody waits for them."""

    pool: ThreadPoolExecutor
    waiting: ThreadPoolExecutor
    store: ObjectStore
    migration: Migration
    authority: AuthoritySource
    clock: Clock

    async def replicated(self, line: Finding) -> Result:
        """Replicate one object, when it is old enough to be judged."""
        for _ in range(MOST_WAITS):
            try:
                return await self._replicated(line, self._settling)
            except NotSettled as young:
                await asyncio.get_running_loop().run_in_executor(
                    self.waiting, self.clock.sleep, young.seconds
                )
        return await self._replicated(line)

    async def _replicated(
        self, line: Finding, settling: Callable[[ObjectState], float] | None = None
    ) -> Result:
        return await asyncio.get_running_loop().run_in_executor(
            self.pool, replicated, line, self.store, self.migration, self.authority, settling
        )

    def _settling(self, version: ObjectState) -> float:
        """Seconds until a version is `SETTLING_SECONDS` old, by clocks that may tick apart."""
        age = (self.clock.now() - parse_time(version.updated)).total_seconds()
        return min(SETTLING_SECONDS, SETTLING_SECONDS - age)

    async def whose(self) -> Authority:
        """Whose word counts now.

        Raises:
            StorageError: It had to be read and could not be.
        """
        known = self.authority.known()
        if known is not None:
            return known
        return await asyncio.get_running_loop().run_in_executor(self.pool, self.authority.current)


class _Pace:
    """The governor's slots, given out one after the other: one reserved far ahead would know nothing of a storm."""

    def __init__(self, governor: WriteGovernor) -> None:
        self._governor = governor
        self._turn = asyncio.Lock()

    async def slot(self) -> None:
        """Wait for the next slot."""
        async with self._turn:
            wait = self._governor.reserve()
            if wait > 0:
                await asyncio.sleep(wait)

    def throttled(self) -> None:
        """Pass on that the service asked for fewer writes."""
        self._governor.throttled()


class _Rewriter:
    """Copies the object of a line with one request, or has it replicated."""

    def __init__(self, api: AsyncApi, rule: _Rule, pace: _Pace, largest: int) -> None:
        self.migration = rule.migration
        self._api = api
        self._rule = rule
        self._pacing = Pacing(pace.slot, pace.throttled)
        self._largest = largest

    async def copied(self, line: Finding) -> Result:
        """Copy one object."""
        source = line.source
        try:
            authority = await self._rule.whose()
        except StorageError:
            return await self._rule.replicated(line)
        decision = decide(source, line.destination, authority)
        if source is None or decision.action is not Action.COPY or source.size > self._largest:
            return await self._rule.replicated(line)
        if authority is not Authority.SOURCE:  # takes more than one request
            return await self._rule.replicated(line)
        try:
            copy, _ = await self._api.rewrite(
                self.migration.source_ref(line.relative),
                self.migration.destination_ref(line.relative),
                if_source=decision.source_generation,
                if_destination=decision.destination_generation,
                pacing=self._pacing,
            )
        except StorageError:
            copy = None
        if copy is None or differences(source, copy):
            return await self._rule.replicated(line)
        return Result(line.relative, Account.COPIED, source, copy, line.destination, decision.straggler)


class _Lane:
    """The workers, the plan they draw from, and the end."""

    def __init__(
        self,
        batches: AsyncGenerator[Iterable[Finding], None],
        rewriter: _Rewriter,
        report: Callable[[Result], None],
        stop: Stop,
        pace: _Pace,
    ) -> None:
        self._batches = batches
        self._rewriter = rewriter
        self._report = report
        self._stop = stop
        self._pace = pace
        self._lines: Iterator[Finding] = iter(())
        self._taking = asyncio.Lock()
        self._ended = False
        self._error: MigrationError | None = None

    async def run(self, limits: Limits) -> None:
        """Work until the plan, or the patience after a stop, is at its end."""
        workers = {asyncio.create_task(self._work()) for _ in range(limits.in_flight)}
        try:
            await self._watch(workers, limits.finish_within)
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)
        if self._error is not None:
            raise self._error

    async def _watch(self, workers: set[asyncio.Task[None]], finish_within: float) -> None:
        loop = asyncio.get_running_loop()
        deadline: float | None = None
        while workers:
            done, workers = await asyncio.wait(
                workers, timeout=STOP_POLL, return_when=asyncio.FIRST_EXCEPTION
            )
            for worker in done:
                worker.result()
            if deadline is None and self._stop.by:
                deadline = loop.time() + finish_within
            if workers and deadline is not None and loop.time() >= deadline:
                # Raises, and so leaves the workers to be cancelled.
                self._stop.check()

    async def _work(self) -> None:
        while (line := await self._take()) is not None:
            try:
                result = await self._rewriter.copied(line)
            except asyncio.CancelledError:
                self._report(_unfinished(line))
                raise
            self._report(result)
            if concerns_all(result.error):
                self._end(result.error)

    async def _take(self) -> Finding | None:
        """The next line to copy, at the governor's pace; None at the end. One worker at a time stands here."""
        async with self._taking:
            try:
                line = await self._next()
            except MigrationError as error:
                self._end(error)
                return None
            if line is not None:
                try:
                    await self._pace.slot()
                except asyncio.CancelledError:
                    self._report(_unfinished(line))
                    raise
            return line

    async def _next(self) -> Finding | None:
        while not self._ended:
            # A line that was drawn is accounted for: so the stop is looked at before one is drawn.
            self._stop.check()
            line = next(self._lines, None)
            if line is None:
                await self._draw()
            elif (result := settled(line, self._rewriter.migration)) is not None:
                self._report(result)
            else:
                return line
        return None

    async def _draw(self) -> None:
        try:
            self._lines = iter(await anext(self._batches))
        except StopAsyncIteration:
            self._ended = True

    def _end(self, error: MigrationError) -> None:
        self._ended = True
        self._error = self._error or error


def _unfinished(line: Finding) -> Result:
    error = "stopped before an answer came; it may or may not have been copied. Run the same command again"
    return Result(line.relative, Account.FAILED, line.source, line.destination, error=error)
