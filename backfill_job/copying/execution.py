"""The migration itself, as functions: `analyse` changes nothing, `copy` copies, `execute` copies and verifies.

All walk the same listings and the same plan; neither prints.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import uvloop

from backfill_job.copying.compare import Compared, Comparison, log_comparison
from backfill_job.copying.diff import Finding, Pair, Verdict, diff, judged
from backfill_job.copying.governor import WriteGovernor
from backfill_job.copying.lane import Limits, carry_out_in_bulk
from backfill_job.copying.line import Result
from backfill_job.copying.result import RunResult
from backfill_job.counts import COPY, Account, Counts, nothing_written
from backfill_job.dry_run.estimate import Work
from backfill_job.dry_run.inventory import Inventory
from backfill_job.dry_run.plan import PlanLine, plan
from backfill_job.run.reports import Lines, side
from backfill_job.run.run import Run, open_api, refuse_empty, tune_gc
from shared.decision import Authority
from shared.errors import BucketNotFound, Interrupted, MigrationError, PermissionDenied, StorageError
from shared.events_log import Event
from shared.objects import ObjectState

__all__ = ["Means", "analyse", "copy", "execute"]


@dataclass(frozen=True, slots=True)
class Means:
    """How an execution copies.

    Attributes:
        limits: How much is done at once.
        governor: Says when the next object may be written.
        progress: Gets the counts while they grow.
        lines: ``objects.jsonl``, where asked for.
        told: Told the result of every object that called for more than a look at the listings.
    """

    limits: Limits
    governor: WriteGovernor
    progress: Callable[[Counts[Account]], None]
    lines: Lines | None = None
    told: Callable[[Result], None] = lambda _: None


def analyse(run: Run, lines: Lines | None = None) -> Inventory:
    """Compare both sides and say what an execution would do. Changes nothing.

    Args:
        run: What to work with.
        lines: ``objects.jsonl``, where asked for.

    Returns:
        What was found.

    Raises:
        UsageError: The source is empty, and that was not allowed.
        Interrupted: Somebody stopped it.
        StorageError: A listing failed; there is no analysis.
    """
    tune_gc()
    findings = Inventory(today=run.clock.now().date())
    uvloop.run(_analyse(run, findings, lines))
    if not findings.source.objects:
        refuse_empty(run)
    steps = {step.value: count.objects for step, count in findings.steps.items()}
    run.log.emit(Event.PLAN_MADE, objects=findings.source.objects, bytes=findings.source.bytes, **steps)
    return findings


async def _analyse(run: Run, findings: Inventory, lines: Lines | None) -> None:
    async with open_api(run) as api, aclosing(diff(api, run.migration, run.ranges)) as parts:
        async for pairs in parts:
            run.stop.check()
            authority = await _whose(run)
            for line in plan(judged(pairs, run.migration), run.migration, authority):
                findings.add(line)
                if lines is not None:
                    lines.write(_plan_record(line))


def execute(run: Run, means: Means) -> RunResult:
    """Copy what differs, then verify.

    Args:
        run: What to work with.
        means: How to copy.

    Returns:
        How it ended, also when it stopped before its end.

    Raises:
        UsageError: The source is empty, and that was not allowed.
    """
    execution = _Execution(run, means)
    copying, error = execution.carry_out()
    if error is not None:
        return execution.result(copying, error=error)
    try:
        if not nothing_written(execution.counts):
            execution.comparison = Comparison(run.migration)
            uvloop.run(execution.compare())
        # Else the listings that the plan was made of are listings after the work, too.
        verification = execution.comparison.result(run.store, grace=run.grace, clock=run.clock)
    except (StorageError, Interrupted) as error:
        return execution.result(copying, error=error)
    log_comparison(run.log, run.migration, verification)
    return execution.result(copying, verification=verification)


def copy(run: Run, means: Means) -> RunResult:
    """Copy what differs, and verify nothing.

    Args:
        run: What to work with.
        means: How to copy.

    Returns:
        How it ended, also when it stopped before its end.

    Raises:
        UsageError: The source is empty, and that was not allowed.
    """
    execution = _Execution(run, means)
    copying, error = execution.carry_out()
    return execution.result(copying, error=error)


@dataclass(slots=True)
class _Execution:
    """What one execution keeps while it runs."""

    run: Run
    means: Means
    counts: Counts[Account] = field(default_factory=lambda: Counts(COPY))
    comparison: Comparison = field(init=False)
    work: Work = field(init=False)

    def __post_init__(self) -> None:
        self.work = Work(ranges=len(self.run.ranges))
        self.comparison = Comparison(self.run.migration)

    def carry_out(self) -> tuple[float, MigrationError | None]:
        """Copy what differs; gives the seconds that took, and why it stopped before its end.

        Raises:
            UsageError: The source is empty, and that was not allowed.
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
        async with open_api(self.run, self.means.limits.in_flight) as api:
            await carry_out_in_bulk(
                self._batches(diff(api, self.run.migration, self.run.ranges)),
                api,
                self.run.store,
                self.run.migration,
                self.run.ruling,
                report=self._report,
                stop=self.run.stop,
                clock=self.run.clock,
                governor=self.means.governor,
                limits=self.means.limits,
            )

    async def compare(self) -> None:
        """List both sides again."""
        run = self.run
        async with open_api(run) as api, aclosing(diff(api, run.migration, run.ranges)) as parts:
            async for pairs in parts:
                run.stop.check()
                self.comparison.add([*judged(pairs, run.migration)])

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
            isinstance(error, (PermissionDenied, BucketNotFound)),
            copying,
            self.work,
            self.run.operations.total(),
        )

    async def _batches(
        self, parts: AsyncGenerator[Iterable[Pair], None]
    ) -> AsyncGenerator[Iterable[Finding], None]:
        """Count what is listed, settle what is equal, and pass the rest on."""
        run = self.run
        async with aclosing(parts):
            async for pairs in parts:
                findings = [*judged(pairs, run.migration)]
                self.comparison.add(findings)
                self.work += Work.of_diff(findings)
                equal = [finding for finding in findings if finding.verdict is Verdict.EQUAL]
                self._settle(equal)
                if len(equal) < len(findings):
                    yield self._rest(findings)

    def _rest(self, findings: Sequence[Finding]) -> Iterator[Finding]:
        """What is not equal; it counts as listed when it is drawn, so that the counts of a stopped run balance."""
        for finding in findings:
            # What only the destination has is the verification's business.
            if finding.verdict is not Verdict.EQUAL and finding.source is not None:
                self.counts.list(1)
                yield finding

    def _settle(self, equal: Sequence[Finding]) -> None:
        self.counts.list(len(equal))
        self.counts.add(Account.ALREADY_EQUAL, objects=len(equal))
        if self.means.lines is not None:
            for relative, _, source, destination, _ in equal:
                self.means.lines.write(_record(relative, Account.ALREADY_EQUAL.value, source, destination))
        self.means.progress(self.counts)

    def _report(self, result: Result) -> None:
        self.counts.add(result.account, result.source.size if result.source else 0)
        if self.means.lines is not None:
            self.means.lines.write(_result_record(result))
        _tell(self.run, result)
        self.means.told(result)
        self.means.progress(self.counts)


async def _whose(run: Run) -> Authority:
    """Whose word counts now."""
    known = run.ruling.known()
    return await asyncio.to_thread(run.ruling.ask) if known is None else known


def _record(
    relative: str, outcome: str, source: ObjectState | None, destination: ObjectState | None
) -> dict[str, Any]:
    """A line of ``objects.jsonl``."""
    return {"name": relative, "outcome": outcome, "source": side(source), "destination": side(destination)}


def _plan_record(line: PlanLine) -> dict[str, Any]:
    return {
        **_record(line.relative, line.step.value, line.source, line.destination),
        **({"because": [difference.value for difference in line.because]} if line.because else {}),
        **({"note": line.note} if line.note else {}),
    }


def _result_record(result: Result) -> dict[str, Any]:
    return {
        **_record(result.relative, result.account.value, result.source, result.destination),
        **({"error": str(result.error)} if result.error else {}),
    }


def _tell(run: Run, result: Result) -> None:
    """Write to the log what an operator must hear of: seldom anything."""
    failed_or_conflict = result.account in {Account.FAILED, Account.CONFLICT}
    if not (failed_or_conflict or result.straggler or result.replaced is not None):
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
    elif result.straggler:
        run.log.emit(Event.OBJECT_STRAGGLER, object=name, **generations)
    elif result.replaced is not None:
        replaced = result.replaced.generation
        run.log.emit(Event.OBJECT_OVERWRITTEN, object=name, **generations, replaced_generation=replaced)
