"""Copies the objects that differ between the two listings (`copy`), and verifies the copies (`execute`). They print only what they wait for.

It also follows deletions whose events left a copy, where that is asked for. An extra alone proves nothing: somebody may have written it. So
an extra is deleted only where the source's bucket still holds a deleted or overwritten version of that name. That version
(soft-deleted or noncurrent) has the same contents, and is older than the extra. `propagate_delete` does the rest: it looks at
both sides again, and reads the authority after that. Every other extra stays, and the verification reports it.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any

import uvloop

from backfill_job.copying.by_bytes import AT_ONCE, ByBytes
from backfill_job.copying.compare import Compared, Comparison, log_comparison
from backfill_job.copying.counts import COPY, Account, Counts, nothing_written
from backfill_job.copying.diff import DiffLine, Verdict, Work, diff
from backfill_job.copying.lane import Result, concerns_all, copy_lines, object_record
from backfill_job.copying.options import CopyOptions
from backfill_job.copying.result import RunResult
from backfill_job.run.failures import Failures
from backfill_job.run.run import Run, open_api, refuse_empty, tune_gc
from backfill_job.run.workers import work
from shared.decision import Authority
from shared.errors import Interrupted, MigrationError, StorageError
from shared.events_log import Event
from shared.gcs.api import AsyncApi
from shared.gcs.listing import ended_versions
from shared.objects import CONTENT_DIFFERENCES, ObjectState, differences, is_later, parse_time
from shared.replicate import DeleteOutcome, DeletePropagation, propagate_delete

__all__ = ["copy", "execute"]

MOST_EXTRAS = 10_000
"""Extras that one process asks about. With more, these are not the traces of a few lost copies; the rest is reported."""

EXTRAS_AT_ONCE = 16

_EVER = datetime.max.replace(tzinfo=UTC)


def execute(run: Run, options: CopyOptions) -> RunResult:
    """Copy what differs, then verify. Also returns when it stops before its end.

    Raises:
        UsageError: The source is empty, and the run does not allow that.
    """
    execution = _Execution(run, options)
    copying, error = execution.copy_all()
    if error is not None:
        return execution.result(copying, error=error)
    try:
        if options.follow_deletions and execution.extras:
            uvloop.run(execution.follow())
        if execution.followed or not nothing_written(execution.counts):
            execution.comparison = Comparison(run.migration, run.served(), known=execution.by_bytes.known)
            uvloop.run(execution.compare())
        # A run that wrote nothing is its own verification (decision 0012).
        verification = execution.comparison.result(
            run.store, grace=run.grace, clock=run.clock, authority=run.authority, say=run.say
        )
    except (StorageError, Interrupted) as error:
        return execution.result(copying, error=error)
    log_comparison(run.log, run.migration, verification, extras=not options.after_deletion)
    return execution.result(copying, verification=verification)


def copy(run: Run, options: CopyOptions, *, last: bool = False) -> RunResult:
    """Copy what differs. Also returns when it stops before its end.

    The result has a comparison of its listing where the pass wrote nothing, or is the last one: the answers prove what it
    copied. It looks again at each name that differed, and waits for none.

    Raises:
        UsageError: The source is empty, and the run does not allow that.
    """
    execution = _Execution(run, options)
    copying, error = execution.copy_all()
    if error is not None or not (last or nothing_written(execution.counts)):
        return execution.result(copying, error=error)
    try:
        compared = execution.comparison.result(
            run.store, grace=timedelta(), clock=run.clock, authority=run.authority
        )
    except (StorageError, Interrupted) as error:
        return execution.result(copying, error=error)
    return execution.result(copying, verification=compared)


@dataclass(slots=True)
class _Execution:
    """The state of one execution while it runs."""

    run: Run
    options: CopyOptions
    counts: Counts[Account] = field(default_factory=lambda: Counts(COPY))
    comparison: Comparison = field(init=False)
    work: Work = field(init=False)
    by_bytes: ByBytes = field(init=False)
    extras: list[DiffLine] = field(default_factory=list)
    followed: int = 0
    failures: Failures = field(default_factory=Failures)

    def __post_init__(self) -> None:
        self.work = Work(ranges=len(self.run.ranges))
        self.by_bytes = ByBytes(self.run, self.run.authority, record=True)
        self.comparison = Comparison(self.run.migration, self.run.served(), known=self.by_bytes.known)

    def copy_all(self) -> tuple[float, MigrationError | None]:
        """Copy what differs. Returns the seconds that took, and why it stopped before its end.

        Raises:
            UsageError: The source is empty, and the run does not allow that.
        """
        tune_gc()
        run, began, error = self.run, self.run.clock.now(), None
        try:
            uvloop.run(self.copy())
        except (StorageError, Interrupted) as stopped:
            error = stopped
        copying = (run.clock.now() - began).total_seconds()
        counts = self.counts
        if error is None and not counts.holds:
            run.log.emit(Event.LEDGER_BROKEN, listed=counts.listed, accounted=counts.accounted)
        if error is None and not counts.listed:
            refuse_empty(run)
        return copying, error

    async def copy(self) -> None:
        """List both sides, and copy what differs."""
        async with open_api(self.run, self.options.limits.in_flight) as api:
            await copy_lines(
                self._batches(api, diff(api, self.run.migration, self.run.ranges)),
                api,
                self.run.store,
                self.run.migration,
                self.run.authority,
                report=self._report,
                stop=self.run.stop,
                clock=self.run.clock,
                governor=self.options.governor,
                limits=self.options.limits,
                settled_before=self.options.settled_before,
                deletes=self.run.store if self.options.follow_deletions else None,
                storage_class=self.options.storage_class,
            )
        await self.by_bytes.flush()

    async def follow(self) -> None:
        """Delete those extras that are proven copies of deleted sources. Any number of runs may do so at once."""
        run = self.run

        async def follow(line: DiffLine) -> None:
            versions = await ended_versions(api, run.migration.source_ref(line.relative))
            done = await asyncio.to_thread(_followed, run, line, versions)
            if done is not None and done.outcome is DeleteOutcome.DELETED and done.destination is not None:
                self.followed += 1
                name, generation = (
                    run.migration.destination_ref(line.relative).uri,
                    done.destination.generation,
                )
                run.log.emit(Event.DELETION_FOLLOWED, object=name, destination_generation=generation)

        async with open_api(run) as api:
            # What is under way ends in any case, so that nothing is deleted unseen.
            await work(
                self.extras,
                follow,
                workers=EXTRAS_AT_ONCE,
                stop=run.stop,
                after_stop=inf,
                after_failure=inf,
            )

    async def compare(self) -> None:
        """List both sides again."""
        run = self.run
        async with open_api(run, AT_ONCE) as api, aclosing(diff(api, run.migration, run.ranges)) as parts:
            async for lines in parts:
                run.stop.check()
                self.comparison.add(await self.by_bytes.settled(api, [*lines]))
        await self.by_bytes.flush()

    def result(
        self, copying: float, *, verification: Compared | None = None, error: MigrationError | None = None
    ) -> RunResult:
        """Sum up."""
        if error is not None:
            self.run.log.emit(Event.RUN_STOPPED, error=str(error))
        return RunResult(
            self.counts,
            verification,
            str(error or ""),
            isinstance(error, StorageError) and concerns_all(error),
            copying,
            self.work,
            self.run.operations.total(),
            followed=self.followed,
            after_deletion=self.options.after_deletion,
            failures=self.failures.all(),
            stopped_by=error.cause if isinstance(error, StorageError) else None,
        )

    async def _batches(
        self, api: AsyncApi, parts: AsyncGenerator[Iterable[DiffLine], None]
    ) -> AsyncGenerator[Iterable[DiffLine], None]:
        """Count what is listed, record what is equal, and pass on the rest."""
        async with aclosing(parts):
            async for part in parts:
                lines = await self.by_bytes.settled(api, [*part])
                self.comparison.add(lines)
                self.work += Work.of_diff(lines)
                self._note_extras(lines)
                equal = [line for line in lines if line.verdict is Verdict.EQUAL]
                self._settle(equal)
                if len(equal) < len(lines):
                    yield self._rest(lines)

    def _note_extras(self, lines: Sequence[DiffLine]) -> None:
        if self.options.follow_deletions and len(self.extras) < MOST_EXTRAS:
            found = [line for line in lines if line.verdict is Verdict.EXTRA]
            self.extras += found[: MOST_EXTRAS - len(self.extras)]

    def _rest(self, lines: Sequence[DiffLine]) -> Iterator[DiffLine]:
        """The lines that are not equal. Each counts as listed when the lane draws it, so the counts of a stopped run balance."""
        for line in lines:
            # Names that only the destination has concern the verification, not the copy.
            if line.verdict is not Verdict.EQUAL and line.source is not None:
                self.counts.list(1)
                yield line

    def _settle(self, equal: Sequence[DiffLine]) -> None:
        self.counts.list(len(equal))
        self.counts.add(Account.ALREADY_EQUAL, objects=len(equal))
        if self.options.lines is not None:
            for relative, _, source, destination, _ in equal:
                self.options.lines.write(
                    object_record(relative, Account.ALREADY_EQUAL.value, source, destination)
                )
        self.options.progress(self.counts)

    def _report(self, result: Result) -> None:
        self.counts.add(result.account, result.source.size if result.source else 0)
        if result.account is Account.FAILED:
            self.failures.note(result.relative, result.cause, result.error)
        if self.options.lines is not None:
            self.options.lines.write(_result_record(result))
        _tell(self.run, result)
        self.options.told(result)
        self.options.progress(self.counts)


def _result_record(result: Result) -> dict[str, Any]:
    return {
        **object_record(result.relative, result.account.value, result.source, result.destination),
        **({"error": str(result.error)} if result.error else {}),
    }


_LOGGED = frozenset({Account.FAILED, Account.CONFLICT, Account.ERASED})


def _tell(run: Run, result: Result) -> None:
    """Log the results that an operator must know of; most are not logged."""
    if not (result.account in _LOGGED or result.straggler or result.replaced is not None):
        return
    name = run.migration.source_ref(result.relative).uri
    generations = {
        "source_generation": result.source.generation if result.source else None,
        "destination_generation": result.destination.generation if result.destination else None,
    }
    if result.account is Account.FAILED:
        transient = isinstance(result.error, StorageError) and result.error.transient
        run.log.emit(Event.OBJECT_FAILED, object=name, error=str(result.error), transient=transient)
    elif result.account is Account.CONFLICT:
        run.log.emit(Event.OBJECT_CONFLICT, object=name, **generations)
    elif result.account is Account.ERASED:
        run.log.emit(
            Event.OBJECT_ERASED, object=name, source_generation=result.source and result.source.generation
        )
    elif result.straggler:
        run.log.emit(Event.OBJECT_STRAGGLER, object=name, **generations)
    elif result.replaced is not None:
        replaced = result.replaced.generation
        run.log.emit(Event.OBJECT_OVERWRITTEN, object=name, **generations, replaced_generation=replaced)


def _followed(
    run: Run, line: DiffLine, versions: Sequence[tuple[ObjectState, str]]
) -> DeletePropagation | None:
    """Follow the deletion of one source; None where nothing proves that the extra is a copy of it."""
    migration, authority = run.migration, run.authority
    proof = _proof(line.destination, versions)
    winner = authority.current()
    if proof is None or winner is Authority.DESTINATION:
        return None
    version, ended = proof

    def still() -> Authority:
        """A change of the authority ends it: what counts as later depends on it."""
        return winner if authority.current() is winner else Authority.DESTINATION

    return propagate_delete(
        run.store,
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
