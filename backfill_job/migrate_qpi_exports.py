"""The command ``migrate_qpi_exports``: copy one Cloud Storage prefix to another, and prove it.

The default is the dry run, which changes nothing. Also ``python -m backfill_job migrate``.
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from importlib.util import find_spec
from typing import Any

if __name__ == "__main__" and find_spec("backfill_job") is None:
    # Run as a file, by a Python in which the project is not installed: every import below would fail.
    sys.stderr.write(
        "migrate_qpi_exports: this Python lacks the project's packages: run `make setup` once, "
        "then .venv/bin/migrate_qpi_exports with the same arguments\n"
    )
    sys.exit(2)

from backfill_job.consumer import add_consumer_argument, named_consumer
from backfill_job.copying.execution import execute
from backfill_job.copying.lane import LaneLimits
from backfill_job.copying.on_record import OnRecord, begin_comparison
from backfill_job.copying.options import CopyOptions, add_pace_arguments, governor_from
from backfill_job.copying.progress import showing_progress
from backfill_job.copying.result import RunResult
from backfill_job.dry_run.analyse import analyse
from backfill_job.dry_run.estimate import (
    Estimate,
    EstimatedFigure,
    beside_actual,
    estimate,
    estimate_by_bytes,
    work_of,
)
from backfill_job.dry_run.inventory import Inventory
from backfill_job.dry_run.plan import PlanStep
from backfill_job.dry_run.quiet_hour import QuietHour
from backfill_job.run.arguments import add_session_arguments
from backfill_job.run.command import Command, ExitCode, ProcessIO, add_migration_arguments, migration_from
from backfill_job.run.ending import command_line, next_line, same_command, say_verdict
from backfill_job.run.local_tasks import run_as_tasks
from backfill_job.run.open_run import opened, say_overlaps
from backfill_job.run.overlaps import refuse_overlaps
from backfill_job.run.questions import confirm_by_yes
from backfill_job.run.reports import of_this_version
from backfill_job.run.run import Run, recorded_phase
from backfill_job.run.settings import Settings
from backfill_job.run.since import narrowed_to
from backfill_job.verify.case_siblings import mixed_prefixes_of
from backfill_job.verify.day_warnings import remark_lines
from shared.authority import Always, ByPhase
from shared.decision import Authority
from shared.errors import UsageError
from shared.events_log import Event
from shared.phase import DELETION_BEGUN, Phase
from shared.record import Begin, begin
from shared.report.next_steps import shown_command
from shared.storage_class import CLASSES
from shared.text import counted, shown

__all__ = ["COMMAND"]

NAME = "migrate_qpi_exports"

LONG = 60.0
"""Seconds from which a run shows where the estimate was far off; ``run.json`` has all of it."""

OBJECTS_PER_SECOND = 5_000.0
"""Objects a second that one task can copy; measured, see docs/performance.md. The governor allows less at first."""

EXAMPLES = """
examples:
  migrate_qpi_exports --env dev                       what would be copied
  migrate_qpi_exports --env dev --report reports/dev  the same, with its files
  migrate_qpi_exports --env dev --execute             copy and verify
  migrate_qpi_exports --env dev --execute --yes       the same in a Cloud Run job
  migrate_qpi_exports --env dev --execute --yes --since 3d    sweep the last days

exit codes:
  0  done (after --execute: everything copied and both sides verified equal)
  1  ended, but something is not right; the last line says what
  2  could not start: arguments, bucket, permission, or not confirmed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    mode = parser.add_argument_group("what is done")
    which = mode.add_mutually_exclusive_group()
    which.add_argument("--dry-run", action="store_true", help="analyse and change nothing (the default)")
    which.add_argument("--execute", action="store_true", help="copy what differs, then verify")
    mode.add_argument(
        "--details", action="store_true", help="a longer dry run: kinds, sizes, layouts, names, operations"
    )
    mode.add_argument(
        "--begin",
        action="store_true",
        help="with --execute: begin the migration although objects are at the destination; what differs is overwritten",
    )
    mode.add_argument(
        "--include-erased",
        action="store_true",
        help="also copy what was deleted on the new path since a proven comparison; else it is named and left",
    )
    mode.add_argument(
        "--follow-deletions",
        action="store_true",
        help="with --execute: delete at the destination what is a proven copy of a deleted source object (soft-deleted or "
        "noncurrent versions prove it), where the mirror follows deletions (MIRROR_DELETES=true); every other extra stays",
    )
    mode.add_argument(
        "--storage-class",
        choices=CLASSES,
        default="",
        help="with --execute: the storage class of every copy; without it a copy keeps its source's class",
    )
    mode.add_argument(
        "--yes", action="store_true", help="do not ask before copying; needed without a terminal"
    )
    add_consumer_argument(mode)
    add_pace_arguments(parser)
    add_session_arguments(parser)


def _run(arguments: argparse.Namespace, io: ProcessIO) -> int:
    settings = Settings.from_environ(io.environ)
    _check_arguments(arguments, settings, io)
    migration = migration_from(arguments)
    if arguments.tasks > 1 and settings.task_count == 1:
        again = shown_command("migrate", *io.words)
        show = partial(_composed_lines, again=again, status=command_line(migration, "status"))
        return run_as_tasks("migrate", arguments, io, migration=migration, report="run.json", show=show)
    mode = "execute" if arguments.execute else "dry-run"
    with opened(
        NAME,
        arguments,
        io,
        migration=migration,
        mode=mode,
        changes_objects=arguments.execute,
        in_tasks=True,
    ) as run:
        if arguments.include_erased:
            run = _including_erased(run)  # noqa: PLW2901
        return _execute(run, arguments) if arguments.execute else _dry_run(run, arguments)


def _check_arguments(arguments: argparse.Namespace, settings: Settings, io: ProcessIO) -> None:
    named_consumer(arguments)  # a wrong file is refused before anything is listed
    if arguments.follow_deletions and not arguments.execute:
        raise UsageError("--follow-deletions deletes at the destination; it is for --execute")
    if settings.task_count > 1 and not arguments.execute:
        raise UsageError("a dry run shows the whole at once; run it as one task")
    if arguments.begin and not arguments.execute:
        raise UsageError("--begin is for --execute; a dry run begins nothing")
    if arguments.begin and (arguments.follow_deletions or arguments.since is not None):
        raise UsageError(
            "--begin is for the first run, which copies everything: leave --since and --follow-deletions out"
        )
    if arguments.tasks > 1 and not (arguments.execute and arguments.yes):
        raise UsageError("--tasks is for --execute --yes: several processes cannot ask one question")
    if arguments.execute and not arguments.yes and not io.stdin.isatty():
        raise UsageError("--execute asks before it copies, and there is no terminal to ask on; add --yes")


def _dry_run(run: Run, arguments: argparse.Namespace) -> ExitCode:
    begun = recorded_phase(run) is not None
    with run.object_lines() as lines:
        findings = analyse(run if begun else _from_the_beginning(run), lines)
    narrowed = narrowed_to(arguments.since, run.started)
    costs = _show(findings, run, arguments, "Dry run: nothing is changed.", narrowed)
    if run.own_reports is not None:
        _write_hours(run, _quiet(findings, costs, arguments))
    _write(
        run,
        "plan.json",
        {
            "mode": "dry-run",
            "findings": findings.to_json(),
            "estimate": costs.to_json(),
            **(
                {"by_bytes": asdict(estimate_by_bytes(findings.unproven))}
                if findings.unproven.objects
                else {}
            ),
        },
    )
    if say_overlaps(run):
        return ExitCode.DONE
    begin_too = not begun and findings.destination.objects > 0
    if begin_too:
        run.say(
            "No migration has begun, and the destination is not empty: --begin allows to overwrite what differs."
        )
    if begun and not findings.steps[PlanStep.COPY].objects + findings.steps[PlanStep.OVERWRITE].objects:
        run.say(next_line(command_line(run.migration, "verify")))
    else:
        execute = ("--execute", *(("--begin",) if begin_too else ()))
        run.say(next_line(command_line(run.migration, "migrate", *execute)))
    return ExitCode.DONE


def _begin(run: Run, arguments: argparse.Namespace) -> None:
    """Begin a migration that has no record: by itself only where nothing shows that it was under way.

    Raises:
        UsageError: It may be under way, and ``--begin`` is not given; the screen shows what would be overwritten.
    """
    phase = Phase.DUAL_WRITE if arguments.begin else None
    try:
        done, state = begin(run.store, run.migration, run.stamp(), phase)
    except UsageError as error:
        if arguments.begin:
            raise
        findings = analyse(_from_the_beginning(run))
        _show(findings, run, arguments, "No migration has begun. If it began now:")
        raise UsageError(f"cannot start: {error}; or begin it with this run: --begin") from error
    # Another pair may have begun at the same moment.
    refuse_overlaps(run.migration, run.store, run.io.environ)
    if done is not Begin.AS_IT_WAS:  # else another task has begun it
        run.log.emit(Event.STATE_CHANGED, phase=state.phase.value, what=state.history[-1].what, by=NAME)


def _from_the_beginning(run: Run) -> Run:
    """The run as it would be in the first phase, where the legacy path is the source of truth."""
    return replace(run, authority=Always(Authority.SOURCE))


def _including_erased(run: Run) -> Run:
    return replace(
        run, authority=ByPhase(run.phases, lambda phase: phase.forward_authority, include_erased=True)
    )


def _execute(run: Run, arguments: argparse.Namespace) -> ExitCode:
    recorded = recorded_phase(run)
    begun = recorded is not None
    expected: int | None = None
    if not arguments.yes:
        findings = analyse(run if begun else _from_the_beginning(run))
        _show(findings, run, arguments, "Before anything is copied:")
        if not begun and not arguments.begin and findings.destination.objects:
            raise UsageError(
                f"cannot start: there is no record of a migration, and {shown(run.migration.destination.uri)} holds "
                f"{counted(findings.destination.objects, 'object')}. Nothing was copied. --begin begins the migration with this run "
                "and overwrites what differs; where one was under way, `begin` mends its record"
            )
        confirm_by_yes(run, f"{_question(findings)} Both paths stay as they are for their users.")
        expected = findings.source.objects
    if not begun:
        _begin(run, arguments)
    elif arguments.begin:
        run.say(
            "--begin changes nothing: the migration has begun already. `status` shows since when, and its phase."
        )
    # Without a place for reports no task can say what all tasks found together.
    whole = arguments.since is None and (run.settings.task_count == 1 or run.reports is not None)
    comparing = begin_comparison(run) if whole else None
    now = run.io.clock.now
    began = now()
    with (
        run.object_lines() as lines,
        showing_progress(run.console, run.log, total=expected) as progress,
    ):
        limits = LaneLimits(in_flight=arguments.in_flight)
        governor = governor_from(arguments, run.settings.task_count)
        result = execute(
            run,
            CopyOptions(
                limits,
                governor,
                progress,
                lines,
                follow_deletions=arguments.follow_deletions,
                storage_class=arguments.storage_class,
                after_deletion=recorded is not None and recorded.phase in DELETION_BEGUN,
            ),
        )
    result = replace(result, narrowed=narrowed_to(arguments.since, run.started))
    result = _allowing_nothing(result, arguments, part=run.settings.task_count > 1)
    if comparing is not None and run.settings.task_count == 1:
        result = comparing.ended_with(result)
    elapsed = round((now() - began).total_seconds(), 3)
    _write(run, "run.json", _run_report(result, elapsed, arguments))
    _tell_finished(run, result, elapsed)
    run.say(*result.screen_lines())
    for compared in _compared(result, arguments, tasks=1):
        if elapsed > LONG and compared.far_off:
            run.say(f"  {compared}")
    say_verdict(run.console, result.summary, good=result.exit_code is ExitCode.DONE)
    if run.settings.task_count == 1:
        run.say(_next(result, same_command(run, "migrate"), command_line(run.migration, "status")))
    # Each task ends with its own exit code. What only the whole shows, the last task adds.
    return max(result.exit_code, _compose(run, arguments, comparing))


def _question(findings: Inventory) -> str:
    """What the operator is asked: how many objects are copied, and how many are overwritten."""
    copy, overwrite = findings.steps[PlanStep.COPY].objects, findings.steps[PlanStep.OVERWRITE].objects
    if not copy and not overwrite:
        return "Nothing is to be copied. Compare the two paths?"
    if not overwrite:
        return f"Copy {counted(copy, 'object')}?"
    return f"Copy {copy:,} and overwrite {counted(overwrite, 'object')}?"


def _allowing_nothing(result: RunResult, arguments: argparse.Namespace, *, part: bool) -> RunResult:
    """The result, which may have nothing to compare: a part of the names, or empty paths where the operator expects them."""
    found = result.verification
    expected = arguments.allow_empty or arguments.since is not None
    return replace(result, may_be_empty=part or (expected and found is not None and not found.names))


def _compose(run: Run, arguments: argparse.Namespace, comparing: OnRecord | None) -> ExitCode:
    """Combine the tasks' reports, if this task completed the set. 1 where the comparison is not right or not on record."""
    parts = run.all_parts("run.json")
    if parts is None:
        return ExitCode.DONE
    with of_this_version("run.json"):
        combined = RunResult.merged([RunResult.from_json(part) for part in parts])
        elapsed = max(float(part["elapsed_s"]) for part in parts)
    combined = _allowing_nothing(combined, arguments, part=False)
    whole = combined if comparing is None else comparing.ended_with(combined)
    run.write_whole("run.json", _run_report(whole, elapsed, arguments, tasks=len(parts)))
    _tell_finished(run, whole, elapsed, composed=True)
    right = whole.stopped == combined.stopped and not whole.compared_nothing
    return ExitCode.DONE if right else ExitCode.NOT_RIGHT


def _run_report(
    result: RunResult, elapsed: float, arguments: argparse.Namespace, *, tasks: int = 1
) -> dict[str, Any]:
    return {
        "mode": "execute",
        "elapsed_s": elapsed,
        **result.to_json(),
        "estimate": [compared.to_json() for compared in _compared(result, arguments, tasks=tasks)],
    }


def _compared(result: RunResult, arguments: argparse.Namespace, *, tasks: int) -> list[EstimatedFigure]:
    """The estimate from the listings beside the actual figures; without the time if the run was ungoverned."""
    expected = estimate(
        result.work, speed=OBJECTS_PER_SECOND, tasks=tasks, ceiling=arguments.max_writes_per_second
    )
    found = beside_actual(expected, result.operations.class_a, result.operations.class_b, result.copying_s)
    return [line for line in found if not (line.what == "seconds" and arguments.ungoverned)]


def _composed_lines(report: Mapping[str, Any], *, again: str, status: str) -> list[str]:
    """The lines for the operator from the report of all tasks; `again` and `status` are commands."""
    compared = [EstimatedFigure(**line) for line in report["estimate"]]
    result = RunResult.from_json(report)
    off = (f"  {each}" for each in compared if report["elapsed_s"] > LONG and each.far_off)
    return [
        f"all {report['tasks']} tasks together:",
        *result.screen_lines(),
        *off,
        result.summary,
        _next(result, again, status),
    ]


def _next(result: RunResult, again: str, status: str) -> str:
    """The last line: this command again where that helps, at once or after what stands above is fixed; else `status`."""
    done = result.exit_code is ExitCode.DONE
    if not done and (result.again_helps or result.failures or result.stopped_by):
        return next_line(again, fix_first=not result.again_helps)
    return next_line(status)


def _tell_finished(run: Run, result: RunResult, elapsed: float, *, composed: bool = False) -> None:
    run.log.emit(
        Event.EXECUTION_FINISHED if composed else Event.RUN_FINISHED,
        exit_code=int(result.exit_code),
        summary=result.summary,
        elapsed_s=elapsed,
        copying_s=round(result.copying_s, 3),
        class_a=result.operations.class_a,
        class_b=result.operations.class_b,
        **result.balance.to_json(),
    )


def _show(
    findings: Inventory, run: Run, arguments: argparse.Namespace, title: str, narrowed: str = ""
) -> Estimate:
    """Print the overview, with `--details` all of it; gives its estimate."""
    from backfill_job.dry_run.screen import overview, render  # noqa: PLC0415 -- slow to import, and a run without questions draws nothing

    costs = estimate(
        work_of(findings, len(run.ranges)),
        speed=OBJECTS_PER_SECOND,
        ceiling=arguments.max_writes_per_second,
        in_flight=arguments.in_flight,
        request_seconds=findings.request_seconds,
    )
    layout = render if arguments.details else overview
    # A part of the names does not show the week's writes.
    quiet = () if narrowed or not findings.source.objects else _quiet(findings, costs, arguments).lines
    remarks = remark_lines(mixed_prefixes_of(run))
    run.console.show(
        layout(
            findings,
            costs,
            run.migration,
            title=title,
            narrowed=narrowed,
            quiet=quiet,
            remarks=remarks,
        )
    )
    return costs


def _quiet(findings: Inventory, costs: Estimate, arguments: argparse.Namespace) -> QuietHour:
    return QuietHour(findings.writes, max(costs.seconds, costs.listing_seconds), named_consumer(arguments))


def _write_hours(run: Run, quiet: QuietHour) -> None:
    """Draw the writes by hour, as a page of the dry run's report."""
    from shared.report.page import render_hours  # noqa: PLC0415 -- slow to import, and only a report needs it

    page = render_hours(run.migration, quiet.writes.counts, quiet.lines, known=quiet.writes.enough)
    if run.own_reports is not None:
        run.own_reports.write("writes.html", page.encode(), content_type="text/html")


def _write(run: Run, name: str, content: dict[str, Any]) -> None:
    run.write(name, content)
    if run.own_reports is not None and run.place is not None:
        run.say(f"report: {run.own_reports.place}")


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)


if __name__ == "__main__":
    sys.exit(COMMAND.main())
