"""The migration itself, as two functions: `analyse` changes nothing, `execute` copies and verifies.

Both walk the same listings and the same plan; neither prints.
"""

import gc
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import Any

import uvloop

from backfill_job.analysis import Analysis
from backfill_job.async_api import AsyncApi
from backfill_job.bulk import Limits, carry_out_in_bulk
from backfill_job.clock import Clock
from backfill_job.copying import Result
from backfill_job.fast_listing import list_pages
from backfill_job.findings import Findings
from backfill_job.governor import WriteGovernor
from backfill_job.ledger import Account, Balance, Ledger
from backfill_job.march import Pair, march_pages
from backfill_job.plan import PlanLine, plan
from backfill_job.reports import ObjectLines, side
from backfill_job.sharding import KeyRange, ranges
from backfill_job.stopping import Stop
from backfill_job.verification import MAX_FINDINGS, SETTLED_VERDICTS, Comparison, Verification
from shared.decision import Authority
from shared.errors import (
    BucketNotFound,
    Interrupted,
    MigrationError,
    PermissionDenied,
    StorageError,
    UsageError,
)
from shared.events_log import Event, EventLog
from shared.gateway import Gateway
from shared.migration import Migration

__all__ = ["ExitCode", "Run", "RunResult", "analyse", "check_start", "execute", "refuse_empty"]


LISTING_CONNECTIONS = 8
"""Connections beside those of the objects under way, so that listings never wait for them."""

MAX_NAMES_SHOWN = 20

START_PATIENCE = 10.0
"""Seconds over which transient faults are tolerated before anything has begun; an operator is waiting."""


class ExitCode(IntEnum):
    """How a command ends."""

    DONE = 0
    NOT_RIGHT = 1
    CANNOT_START = 2


@dataclass(frozen=True, slots=True)
class Run:
    """What a run works with.

    Attributes:
        migration: What is asked.
        gateway: Where both sides live.
        log: Where events go.
        clock: The time and the waiting; waiting ends in an error when somebody asks to stop.
        lines: ``objects.jsonl``, where asked for.
        allow_empty: Whether a source without a single object is all right.
        endpoint: Scheme and host of a local Cloud Storage; None for Google's.
        limits: How much is done at once.
        governor: Says when the next object may be written.
        grace: How long after its last change a source object may take to arrive before it counts as missing.
        stop: Whether somebody asked the process to stop.
        ranges: The part of the key space that this process works on; by default all of it.
    """

    migration: Migration
    gateway: Gateway
    log: EventLog
    clock: Clock
    lines: ObjectLines | None
    allow_empty: bool
    endpoint: str | None
    limits: Limits
    governor: WriteGovernor
    grace: timedelta
    stop: Stop
    ranges: tuple[KeyRange, ...] = ranges(())


@dataclass(frozen=True, slots=True)
class RunResult:
    """How an execution ended.

    Attributes:
        balance: The books.
        verification: What both sides look like afterwards; None when the run stopped before.
        stopped: Why it stopped before its end, else None.
        copying: How long the listing and copying took, without the verification.
    """

    balance: Balance
    verification: Verification | None
    stopped: MigrationError | None
    copying: timedelta

    @property
    def exit_code(self) -> ExitCode:
        """0 only when everything was copied, balances, and was verified."""
        if self.stopped is not None:
            denied = isinstance(self.stopped, (PermissionDenied, BucketNotFound))
            nothing_done = not self.balance.counts[Account.COPIED]
            return ExitCode.CANNOT_START if denied and nothing_done else ExitCode.NOT_RIGHT
        proven = self.verification is not None and self.verification.clean
        return ExitCode.DONE if self.balance.clean and proven else ExitCode.NOT_RIGHT

    @property
    def summary(self) -> str:
        """The end of the run in one sentence."""
        counts = self.balance.counts
        booked = ", ".join(
            f"{counts[account]:,} {account.value.replace('_', ' ')}" for account in Account if counts[account]
        )
        books = f"{self.balance.listed:,} objects listed: {booked or 'nothing to do'}"
        if not self.balance.holds:
            books += f"; THE BOOKS DO NOT BALANCE ({self.balance.accounted:,} accounted for)"
        if self.stopped is not None:
            return f"{books}; stopped: {self.stopped}"
        if self.verification is None:
            return f"{books}; not verified"
        if self.verification.clean:
            return f"{books}; verified: both sides are equal"
        wrong = ", ".join(
            f"{count:,} {verdict.value.replace('_', ' ')}"
            for verdict, count in self.verification.counts.items()
            if count and verdict not in SETTLED_VERDICTS
        )
        return f"{books}; NOT EQUAL: {wrong}"

    def screen_lines(self) -> list[str]:
        """What the operator reads at the end: the summary, the first differing names, and what to do."""
        lines = [self.summary]
        findings = self.verification.findings if self.verification else ()
        lines += [f"  {finding}" for finding in findings[:MAX_NAMES_SHOWN]]
        if len(findings) > MAX_NAMES_SHOWN:
            lines.append(
                f"  ... and more; all are in the log and in run.json's differences (the first {MAX_FINDINGS:,})"
            )
        if self.exit_code is not ExitCode.DONE:
            lines.append(
                "Nothing is lost: what was copied stays, the source is untouched. Run the same command again."
            )
        return lines

    def to_json(self) -> dict[str, Any]:
        """The result for ``run.json``."""
        verification = None
        if self.verification is not None:
            verification = {
                **self.verification.to_json(),
                "differences": [finding.to_json() for finding in self.verification.findings],
            }
        return {
            "exit_code": int(self.exit_code),
            "summary": self.summary,
            "copying_s": round(self.copying.total_seconds(), 3),
            "ledger": {**self.balance.to_json(), "holds": self.balance.holds},
            "verification": verification,
            "stopped": None if self.stopped is None else str(self.stopped),
        }


async def _diff(run: Run, api: AsyncApi) -> AsyncGenerator[Iterable[Pair], None]:
    """Compare both sides, range by range."""
    source, destination = run.migration.source, run.migration.destination
    for part in run.ranges:
        from_start, from_end = part.below(source.prefix)
        to_start, to_end = part.below(destination.prefix)
        ours = list_pages(api, source, start=from_start, end=from_end)
        theirs = list_pages(api, destination, start=to_start, end=to_end)
        async with aclosing(march_pages(ours, theirs)) as parts:
            async for pairs in parts:
                yield pairs


def _api(run: Run) -> AsyncApi:
    return AsyncApi(endpoint=run.endpoint, connections=run.limits.in_flight + LISTING_CONNECTIONS)


def check_start(run: Run) -> None:
    """Find out whether both sides can be listed, before anything is done.

    Raises:
        UsageError: One of them cannot.
    """
    for location in (run.migration.source, run.migration.destination):
        try:
            run.gateway.check_bucket(location.bucket, location.prefix, patience=START_PATIENCE)
        except StorageError as error:
            raise UsageError(f"cannot start: {error}") from error


def analyse(run: Run) -> Findings:
    """Compare both sides and say what an execution would do. Changes nothing.

    Args:
        run: What to work with.

    Returns:
        What was found.

    Raises:
        UsageError: The source is empty, and that was not allowed.
        Interrupted: Somebody stopped it.
        StorageError: A listing failed; there is no analysis.
    """
    _spare_the_collector()
    analysis = Analysis(today=run.clock.now().date())
    uvloop.run(_analyse(run, analysis))
    findings = analysis.result()
    if not findings.source.objects:
        refuse_empty(run)
    steps = {step.value: count.objects for step, count in findings.steps.items()}
    run.log.emit(Event.PLAN_MADE, objects=findings.source.objects, bytes=findings.source.bytes, **steps)
    return findings


async def _analyse(run: Run, analysis: Analysis) -> None:
    async with _api(run) as api, aclosing(_diff(run, api)) as diff:
        async for pairs in diff:
            run.stop.check()
            for line in plan(pairs, run.migration, Authority.SOURCE):
                analysis.add(line)
                if run.lines is not None:
                    run.lines.write(_plan_record(line))


def execute(run: Run, progress: Callable[[Ledger], None]) -> RunResult:
    """Copy what differs, then verify.

    Args:
        run: What to work with.
        progress: Told the books after every object.

    Returns:
        How it ended, also when it stopped before its end.

    Raises:
        UsageError: The source is empty, and that was not allowed.
    """
    ledger = Ledger()

    def report(result: Result) -> None:
        ledger.book(result.account, result.source.size if result.source else 0)
        _tell(run, result)
        progress(ledger)

    before = Comparison(run.migration)
    _spare_the_collector()
    began = run.clock.now()
    try:
        uvloop.run(_copy(run, ledger, before, report))
    except (StorageError, Interrupted) as error:
        return _stopped(run, ledger, error, run.clock.now() - began)
    copying = run.clock.now() - began
    balance = ledger.balance()
    if not balance.holds:
        run.log.emit(Event.LEDGER_BROKEN, listed=balance.listed, accounted=balance.accounted)
    if not balance.listed:
        refuse_empty(run)
    try:
        # Where nothing was written, the listings that the plan was made of are listings after the work, too.
        comparison = before if balance.nothing_written else uvloop.run(_compare(run))
        verification = comparison.result(run.gateway, grace=run.grace, clock=run.clock)
    except (StorageError, Interrupted) as error:
        return _stopped(run, ledger, error, copying)
    _tell_verification(run, verification)
    return RunResult(balance, verification, None, copying)


async def _copy(run: Run, ledger: Ledger, before: Comparison, report: Callable[[Result], None]) -> None:
    async with _api(run) as api:
        await carry_out_in_bulk(
            _batches(run, api, ledger, before),
            api,
            run.gateway,
            run.migration,
            Authority.SOURCE,
            report=report,
            stop=run.stop,
            governor=run.governor,
            limits=run.limits,
        )


async def _batches(
    run: Run, api: AsyncApi, ledger: Ledger, before: Comparison
) -> AsyncGenerator[Iterable[PlanLine], None]:
    async with aclosing(_diff(run, api)) as diff:
        async for pairs in diff:
            compared = _compared(pairs, before)
            yield _listed_lines(plan(compared, run.migration, Authority.SOURCE), ledger)


def _compared(pairs: Iterable[Pair], comparison: Comparison) -> Iterator[Pair]:
    for pair in pairs:
        comparison.add(pair)
        yield pair


async def _compare(run: Run) -> Comparison:
    comparison = Comparison(run.migration)
    async with _api(run) as api, aclosing(_diff(run, api)) as diff:
        async for pairs in diff:
            run.stop.check()
            for pair in pairs:
                comparison.add(pair)
    return comparison


def _spare_the_collector() -> None:
    """Look for garbage less often: a run makes millions of small objects and no cycles, and finds nothing."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _stopped(run: Run, ledger: Ledger, error: MigrationError, copying: timedelta) -> RunResult:
    run.log.emit(Event.RUN_STOPPED, error=str(error))
    return RunResult(ledger.balance(), None, error, copying)


def refuse_empty(run: Run) -> None:
    """Refuse a source without a single object, unless that was allowed.

    Raises:
        UsageError: It was not.
    """
    if not run.allow_empty:
        raise UsageError(
            f"{run.migration.source.uri} holds no objects; if that is expected, say --allow-empty, "
            "else look for a typo (names are case-sensitive)"
        )


def _listed_lines(lines: Iterable[PlanLine], ledger: Ledger) -> Iterator[PlanLine]:
    """Count what the source listing gave, and pass it on; what only the destination has is verification's business."""
    for line in lines:
        if line.source is not None:
            ledger.list_one()
            yield line


def _plan_record(line: PlanLine) -> dict[str, Any]:
    return {
        "name": line.relative,
        "outcome": line.step.value,
        "source": side(line.source),
        "destination": side(line.destination),
        **({"because": [difference.value for difference in line.because]} if line.because else {}),
        **({"note": line.note} if line.note else {}),
    }


def _result_record(result: Result) -> dict[str, Any]:
    return {
        "name": result.relative,
        "outcome": result.account.value,
        "source": side(result.source),
        "destination": side(result.destination),
        **({"error": str(result.error)} if result.error else {}),
    }


def _tell(run: Run, result: Result) -> None:
    """Write a result to ``objects.jsonl``, and to the log what an operator must hear of: seldom anything."""
    if run.lines is not None:
        run.lines.write(_result_record(result))
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


def _tell_verification(run: Run, verification: Verification) -> None:
    for finding in verification.findings:
        run.log.emit(
            Event.VERIFICATION_DIFFERENCE,
            object=run.migration.source_ref(finding.relative).uri,
            verdict=finding.verdict.value,
            differences=[difference.value for difference in finding.differing],
            source_generation=finding.source.generation if finding.source else None,
            destination_generation=finding.destination.generation if finding.destination else None,
        )
    run.log.emit(Event.VERIFICATION_FINISHED, **verification.to_json())
