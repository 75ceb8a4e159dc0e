"""Runs a deletion whose manifest is written and confirmed: this process's chunks, and the phase ``deleted`` at the end of all.

Only `flow` imports it: what comes before the first deletion is there, what comes after it is here.
"""

import asyncio
import shlex
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import uvloop

from backfill_job.copying.counts import Counts
from backfill_job.copying.governor import WriteGovernor
from backfill_job.copying.progress import ProgressCounts, showing
from backfill_job.deletion.delete import Deleter, Deletion, Waiting, own_chunks
from backfill_job.deletion.manifest import Manifest
from backfill_job.deletion.manifest_store import FoundManifest, LinesSource, read_lines
from backfill_job.deletion.phases import GOES_ON_IN, finish
from backfill_job.deletion.records import (
    DELETION,
    KEPT,
    ChunkRecord,
    ChunkRecords,
    LineOutcome,
    LineResult,
    deletion_summary,
)
from backfill_job.run.command import ExitCode
from backfill_job.run.ending import next_line, say_verdict
from backfill_job.run.failures import Failure, Failures, merged_failures, next_step
from backfill_job.run.phase_change import phase_after
from backfill_job.run.reports import Lines, of_this_version
from backfill_job.run.run import Run, open_api
from shared.authority import InPhases
from shared.decision import Authority
from shared.events_log import Event
from shared.gcs.api import MOST_CALLS, AsyncApi
from shared.gcs.listing import list_pages
from shared.phase import Phase, state_ref
from shared.text import counted, shown

__all__ = [
    "REPORT",
    "SUBCOMMAND",
    "DeletionResult",
    "composed_lines",
    "run_deletion",
    "settled_before",
]

SUBCOMMAND = "delete"
REPORT = "deletion.json"

MAX_SHOWN = 20


@dataclass(frozen=True, slots=True)
class DeletionResult:
    """How a process's part of a deletion ended, and the whole as far as it is known.

    Attributes:
        counts: What this process did.
        whole: What became of the manifest so far, by all runs and tasks.
        chunks_left: Chunks without a record, or with lines that were kept.
        kept: Some of the lines that were kept, as a person reads them.
        stopped: Why it stopped before its end; empty where it did not.
        own_done: Whether all of this process's chunks are settled.
        back: Objects of settled lines that are at the legacy path again: an undo or a writer put them there.
        failures: Why this process kept lines, as far as Cloud Storage said so: one entry for each cause.
    """

    counts: Counts[LineOutcome]
    whole: Counts[LineOutcome]
    chunks_left: int
    kept: tuple[str, ...]
    stopped: str
    own_done: bool
    back: int = 0
    failures: tuple[Failure, ...] = ()

    @property
    def done(self) -> bool:
        """Whether every line of the manifest is settled, and the legacy path holds none of its objects again."""
        return not self.chunks_left and not self.stopped and not self.back

    def exit_code(self, tasks: int) -> ExitCode:
        """0 only when everything is settled: of several tasks, everything that is this process's."""
        right = self.own_done and not self.back if tasks > 1 else self.done
        return ExitCode.DONE if right and not self.stopped and self.counts.holds else ExitCode.NOT_RIGHT

    def to_json(self) -> dict[str, Any]:
        """The result for a report."""
        return {
            "this_process": self.counts.to_json(),
            "manifest_so_far": self.whole.to_json(),
            "chunks_left": self.chunks_left,
            "kept": list(self.kept),
            "stopped": self.stopped or None,
            **({"back": self.back} if self.back else {}),
            **({"failures": [each.to_json() for each in self.failures]} if self.failures else {}),
        }


def settled_before(run: Run, found: FoundManifest) -> int:
    """How many lines of a manifest earlier runs have settled."""

    async def load() -> int:
        async with open_api(run) as api:
            records = ChunkRecords(api, run.gateway, found.manifest, found.sha256)
            return sum(record.counts.listed - len(record.kept) for record in (await records.load()).values())

    return uvloop.run(load())


def run_deletion(
    run: Run,
    found: FoundManifest,
    governor: WriteGovernor,
    *,
    in_flight: int,
    by: str,
    unfinished: Sequence[str],
) -> ExitCode:
    """Delete this process's part, and sum up.

    Args:
        unfinished: Where something is left: the command that goes on, and that of the dry run.

    Raises:
        MigrationError: Something stopped it; the same manifest can be resumed.
    """
    clock = run.io.clock
    began = clock.now()
    counts = Counts(DELETION)
    with run.object_lines() as file:
        result = uvloop.run(_delete(run, found, governor, in_flight=in_flight, counts=counts, lines=file))
    if not counts.holds:
        run.log.emit(Event.LEDGER_BROKEN, listed=counts.listed, accounted=counts.accounted)
    tasks = run.settings.task_count
    code = result.exit_code(tasks)
    if result.done or tasks == 1:
        record = run.run_record(code, deletion_summary(result.whole), command=SUBCOMMAND)
        phase = finish(run, by, record, done=result.done).phase.value
    else:
        phase = phase_after(run, Phase.DELETING).name
    elapsed = round((clock.now() - began).total_seconds(), 3)
    report = _report(found, result, phase, elapsed, int(code))
    run.write(REPORT, report)
    run.log.emit(
        Event.DELETION_FINISHED,
        **counts.to_json(),
        exit_code=int(code),
        summary=deletion_summary(counts),
        manifest=found.place,
        phase=phase,
        elapsed_s=elapsed,
    )
    _compose(run)
    *lines, verdict, last = _screen_lines(
        result, report, tasks, unfinished=unfinished, billing_project=run.migration.billing_project
    )
    for line in lines:
        run.say(line)
    say_verdict(run.console, verdict, good=code is ExitCode.DONE)
    run.say(last)
    return code


async def _delete(
    run: Run,
    found: FoundManifest,
    governor: WriteGovernor,
    *,
    in_flight: int,
    counts: Counts[LineOutcome],
    lines: Lines | None,
) -> DeletionResult:
    settings, manifest = run.settings, found.manifest
    batches = max(1, in_flight // MOST_CALLS)
    async with open_api(run, batches) as api:
        records = ChunkRecords(api, run.gateway, manifest, found.sha256)
        before = await records.load()
        source = await found.lines(api, run.gateway)
        uri = state_ref(run.migration).uri
        authority = InPhases(run.phases, GOES_ON_IN, Authority.DESTINATION, uri)
        deleter = Deleter(api, manifest.migration, authority, Waiting(governor), run.stop)
        own = own_chunks(len(manifest.chunks), settings.task_index, settings.task_count)
        todo = sum(
            manifest.chunks[number].lines if number not in before else len(before[number].kept)
            for number in own
        )
        tell = partial(run.log.emit, Event.DELETION_PROGRESS)
        with showing(run.console, "deleting", tell, total=todo) as update:
            show = partial(update, partial(ProgressCounts.of, counts))
            deletion = Deletion(
                manifest,
                source,
                records,
                deleter,
                asyncio.Semaphore(batches),
                _reporting(run, lines, show),
                run.stop,
                counts,
                Failures(),
            )
            await deletion.carry_out(own)
            show()
        stopped = f"stopped by {run.stop.by}" if run.stop.by else str(deleter.error or "")
        result = _result(manifest, await records.load(), deletion, own, stopped)
        # Lines that an earlier run settled may have been undone since; those that this run settled are gone.
        return (
            replace(result, back=await _back_again(api, manifest, source))
            if before and result.done
            else result
        )


async def _back_again(api: AsyncApi, manifest: Manifest, source: LinesSource) -> int:
    """How many of a manifest's names are at the legacy path."""
    firsts = [chunk.first for chunk in manifest.chunks]
    there: defaultdict[int, set[str]] = defaultdict(set)
    async for page in list_pages(api, manifest.migration.source):
        for name, _ in page:
            there[bisect_right(firsts, name) - 1].add(name)
    found = 0
    for number in sorted(there.keys() - {-1}):
        names = there.pop(number)
        found += sum(line.name in names for line in await read_lines(source, manifest, number))
    return found


def _reporting(run: Run, lines: Lines | None, show: Callable[[], None]) -> Callable[[LineResult], None]:
    """Puts the result of every line into the report, and into the log where the object was kept."""

    def report(result: LineResult) -> None:
        line = result.line
        if lines is not None:
            lines.write(
                {
                    "name": line.name,
                    "generation": str(line.generation),
                    "outcome": result.outcome.value,
                    **({"detail": result.detail} if result.detail else {}),
                }
            )
        if result.outcome in KEPT:
            run.log.emit(
                Event.OBJECT_KEPT,
                object=run.migration.source_ref(line.name).uri,
                outcome=result.outcome.value,
                error=result.detail,
                source_generation=line.generation,
                destination_generation=line.destination_generation,
            )
        show()

    return report


def _result(
    manifest: Manifest, records: Mapping[int, ChunkRecord], deletion: Deletion, own: range, stopped: str
) -> DeletionResult:
    settled = {number for number, record in records.items() if not record.kept}
    kept = [
        f"{each.outcome.value.replace('_', ' ')} {shown(each.name)}: {each.detail}"
        for _, record in sorted(records.items())
        for each in record.kept
    ]
    return DeletionResult(
        deletion.counts,
        DELETION.merged(record.counts for record in records.values()),
        len(manifest.chunks) - len(settled),
        tuple(kept[:MAX_SHOWN]),
        stopped,
        settled.issuperset(own),
        failures=deletion.failures.all(),
    )


def _report(
    found: FoundManifest, result: DeletionResult, phase: str, elapsed: float, code: int
) -> dict[str, Any]:
    return {
        "manifest": found.place,
        "manifest_sha256": found.sha256,
        "phase": phase,
        "exit_code": code,
        "elapsed_s": elapsed,
        "left_never_migrated": found.manifest.facts.get("left_never_migrated", 0),
        **result.to_json(),
    }


def _compose(run: Run) -> None:
    """Put the tasks' reports together, if this task's report completes the set."""
    parts = run.all_parts(REPORT)
    if parts is None:
        return
    with of_this_version(REPORT):
        last = min(parts, key=lambda part: int(part["chunks_left"]))
        counts = DELETION.merged(DELETION.read(part["this_process"]) for part in parts)
        back = max(int(part.get("back", 0)) for part in parts)
        failures = merged_failures(
            Failure.from_json(each) for part in parts for each in part.get("failures", ())
        )
        whole = {
            **last,
            "this_process": counts.to_json(),
            "exit_code": max(int(part["exit_code"]) for part in parts),
            "elapsed_s": max(float(part["elapsed_s"]) for part in parts),
            "tasks": len(parts),
            **({"back": back} if back else {}),
            **({"failures": [each.to_json() for each in failures]} if failures else {}),
        }
    run.write_whole(REPORT, whole)


def composed_lines(
    report: Mapping[str, Any], *, unfinished: Sequence[str], billing_project: str
) -> list[str]:
    """What an operator reads of the report of all tasks; `unfinished` where something is left."""
    counts = DELETION.read(report["manifest_so_far"])
    return [
        f"all {report['tasks']} tasks together: {deletion_summary(counts)}",
        *(f"  {each}" for each in report["kept"]),
        *_ending(report, unfinished, billing_project),
    ]


def _screen_lines(
    result: DeletionResult,
    report: Mapping[str, Any],
    tasks: int,
    *,
    unfinished: Sequence[str],
    billing_project: str,
) -> list[str]:
    lines = [deletion_summary(result.counts)]
    if result.whole != result.counts and tasks == 1:
        lines.append(f"with earlier runs: {deletion_summary(result.whole)}")
    lines += [f"  {each}" for each in result.kept]
    kept = result.whole.not_right
    if kept > len(result.kept):
        lines.append(f"  ... and {kept - len(result.kept):,} more; the log has them")
    if result.stopped:
        lines.append(f"stopped: {result.stopped}")
    if tasks > 1 and not result.done and not result.back:
        return [*lines, "Other tasks have not finished, or left something; the last one sums up."]
    return [*lines, *_ending(report, unfinished, billing_project)]


def _ending(report: Mapping[str, Any], unfinished: Sequence[str], billing_project: str) -> Iterator[str]:
    """The last lines: how it ended, and the next command."""
    command, dry_run = unfinished
    phase, place = str(report["phase"]), str(report["manifest"])
    if report["chunks_left"] or report["stopped"]:
        failures = tuple(map(Failure.from_json, report.get("failures", ())))
        waits = bool(failures) and all(not failure.cause.again for failure in failures)
        *why, _ = next_step(failures, again=not waits)
        yield from why
        yield f"For what changed since the manifest, compare again; the dry run says how to go on: {dry_run}"
        yield f"NOT FINISHED: the phase stays {phase}. What was deleted stays deleted; nothing else was touched."
        yield next_line(command, fix_first=waits)
        return
    if back := int(report.get("back", 0)):
        yield (
            f"NOT DELETED: {counted(back, 'object')} of the manifest's names {'is' if back == 1 else 'are'} at the legacy path "
            "again: an undo brought them back, or a writer wrote them. A manifest deletes only the versions that it names, and "
            f"these are gone. The phase stays {phase}."
        )
        yield next_line(dry_run)
        return
    if left := int(report["left_never_migrated"]):
        yield f"Left, as never migrated: {counted(left, 'object')}."
    yield f"Keep the manifest: {shown(place)}. The next command shows what can be brought back, and until when."
    yield "Leave the forward mirror on: what a forgotten writer still uploads is copied to the new path, and alerted."
    yield f"DELETED: every line of the manifest is settled; the phase is {phase}."
    payer = ("--billing-project", billing_project) if billing_project else ()
    yield next_line(shlex.join(("python", "-m", "backfill_job", "undo", place, *payer)))
