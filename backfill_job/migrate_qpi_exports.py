"""The command ``migrate_qpi_exports``: copy one Cloud Storage prefix to another, and prove it.

The default is the dry run, which changes nothing. Also ``python -m backfill_job migrate``.
"""

import argparse
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from rich.console import Console

from backfill_job.bulk import Limits
from backfill_job.clock import Clock
from backfill_job.command import Surroundings, add_migration_arguments, directory, migration_from
from backfill_job.estimate import Estimate, Work, estimate
from backfill_job.findings import Findings
from backfill_job.governor import Governor, NullGovernor, WriteGovernor
from backfill_job.logs import LogFormat, log_file_path, logging_to
from backfill_job.migrate import ExitCode, Run, analyse, check_start, execute, refuse_empty
from backfill_job.overview import render
from backfill_job.progress import showing_progress
from backfill_job.reports import ObjectLines, ReportDirectory
from backfill_job.settings import Settings
from backfill_job.stopping import Stop, stopping_on_signals
from backfill_job.tasks import agreed_ranges, run_tasks
from shared.errors import MigrationError, UsageError
from shared.events_log import Event, EventLog
from shared.gateway import Gateway
from shared.migration import Migration

__all__ = ["add_arguments", "main", "run"]

COMMAND = "migrate_qpi_exports"
WIDTH = 100
"""Columns of an overview that does not go to a terminal."""

OBJECTS_PER_SECOND = 5_000.0
"""What one task can copy; measured, see docs/performance.md. The governor allows less at first."""

GATEWAY_CONNECTIONS = 32
"""For what the fast lane could not settle, and for second looks."""

EXAMPLES = """
examples:
  migrate_qpi_exports --env dev                       what is there, what would be copied; changes nothing
  migrate_qpi_exports --env dev --report reports/dev  the same, with plan.json and objects.jsonl
  migrate_qpi_exports --env dev --execute             copy and verify, after a question
  migrate_qpi_exports --env dev --execute --yes       the same without a terminal, as in a Cloud Run job

exit codes:
  0  done (after --execute: everything copied and both sides verified equal)
  1  ended, but something is not right; the last line says what
  2  could not start: arguments, bucket, permission, or not confirmed
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add_migration_arguments(parser)
    how = parser.add_argument_group("how")
    mode = how.add_mutually_exclusive_group()
    mode.add_argument("--dry-run", action="store_true", help="analyse and change nothing (the default)")
    mode.add_argument("--execute", action="store_true", help="copy what differs, then verify")
    how.add_argument(
        "--yes", action="store_true", help="do not ask before copying; needed without a terminal"
    )
    how.add_argument("--allow-empty", action="store_true", help="a source without objects is no error")
    how.add_argument(
        "--tasks",
        type=_from_one,
        default=1,
        metavar="N",
        help="share the work between N processes of this machine, as the tasks of a Cloud Run job do; needs --yes",
    )
    how.add_argument(
        "--in-flight",
        type=_from_one,
        default=256,
        metavar="N",
        help="objects under way at once (default 256)",
    )
    how.add_argument(
        "--max-writes-per-second",
        type=_from_one,
        metavar="N",
        help="never write faster than this. Without it the rate follows Cloud Storage's guideline: 1,000 a second at "
        "first, doubling every 20 minutes; throttling answers halve it",
    )
    how.add_argument(
        "--ungoverned",
        action="store_true",
        help="write as fast as it goes; for a local server, or a bucket known to take it",
    )
    how.add_argument(
        "--grace",
        type=_seconds,
        default=timedelta(seconds=60),
        metavar="SECONDS",
        help="how long after its last change an object may take to arrive before it counts as missing (default 60)",
    )
    out = parser.add_argument_group("what it leaves")
    out.add_argument(
        "--report", type=directory, metavar="DIR", help="write plan.json or run.json, and objects.jsonl"
    )
    out.add_argument(
        "--log-dir", type=directory, metavar="DIR", help="where the log file goes (default: here)"
    )
    out.add_argument(
        "--log-format",
        choices=[log_format.value for log_format in LogFormat],
        help="lines on stdout: text, or json for Cloud Logging (the default in a Cloud Run job)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with this process's arguments and surroundings; returns its exit code."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__.splitlines()[0] if __doc__ else None)
    add_arguments(parser)
    return run(parser.parse_args(argv), Surroundings.of_process())


def run(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    """Run the command.

    Args:
        arguments: Parsed by a parser with this command's arguments.
        surroundings: What it reads from and writes to.

    Returns:
        The exit code; every error of this project has been said in one line by then.
    """
    try:
        return _run(arguments, surroundings)
    except MigrationError as error:
        print(f"{COMMAND}: {error}", file=surroundings.stderr)
        return ExitCode.CANNOT_START if isinstance(error, UsageError) else ExitCode.NOT_RIGHT


@dataclass(frozen=True, slots=True)
class _Session:
    """One run of the command, ready to start."""

    job: Run
    report: ReportDirectory | None
    console: Console
    surroundings: Surroundings
    ask: bool


def _run(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    settings = Settings.from_environ(surroundings.environ)
    migration = migration_from(arguments)
    _check_arguments(arguments, settings, surroundings)
    started = surroundings.clock.now()
    if arguments.tasks > 1:
        command = [sys.executable, "-m", "backfill_job", "migrate", *_one_task(arguments)]
        execution = f"local-{started:%Y%m%dT%H%M%S.%fZ}"
        return run_tasks(command, arguments.tasks, execution, surroundings.environ)
    log = EventLog(
        {"run": _run_name(settings, migration, started), "env": migration.label, **_task(settings)}
    )
    with (
        stopping_on_signals() as stop,
        _output(arguments, settings, surroundings, migration.label, started) as console,
    ):
        try:
            with closing(Gateway(connections=GATEWAY_CONNECTIONS)) as gateway:
                job = _job(
                    arguments,
                    surroundings,
                    migration=migration,
                    gateway=gateway,
                    log=log,
                    stop=stop,
                    tasks=settings.task_count,
                )
                check_start(job)
                if settings.task_count > 1:
                    job = _share(job, settings)
                report = _report(arguments, settings)
                session = _Session(job, report, console, surroundings, ask=not arguments.yes)
                return _execute(session) if arguments.execute else _dry_run(session)
        except MigrationError as error:
            log.emit(Event.RUN_STOPPED, error=str(error))
            raise


def _job(
    arguments: argparse.Namespace,
    surroundings: Surroundings,
    *,
    migration: Migration,
    gateway: Gateway,
    log: EventLog,
    stop: Stop,
    tasks: int,
) -> Run:
    def sleep(seconds: float) -> None:
        surroundings.clock.sleep(seconds)
        stop.check()

    return Run(
        migration=migration,
        gateway=gateway,
        log=log,
        clock=Clock(surroundings.clock.now, sleep),
        lines=None,
        allow_empty=arguments.allow_empty,
        endpoint=surroundings.environ.get("STORAGE_EMULATOR_HOST"),
        limits=Limits(in_flight=arguments.in_flight),
        governor=_governor(arguments, tasks),
        grace=arguments.grace,
        stop=stop,
    )


def _share(job: Run, settings: Settings) -> Run:
    """Narrow a job to this task's part; whether there is anything at all is looked at before."""
    source = job.migration.source
    if next(job.gateway.list_pages(source.bucket, source.prefix), None) is None:
        refuse_empty(job)
    mine = agreed_ranges(settings, job.migration, job.gateway, job.endpoint)
    return replace(job, ranges=mine, allow_empty=True)


def _one_task(arguments: argparse.Namespace) -> list[str]:
    """The command line of one task: what was asked, without what makes it several."""
    words = [
        "--execute" if arguments.execute else "--dry-run",
        "--yes",
        "--in-flight",
        str(arguments.in_flight),
    ]
    words += ["--grace", str(arguments.grace.total_seconds())]
    for name in ("env", "source", "destination", "report", "log_dir", "log_format", "max_writes_per_second"):
        value = getattr(arguments, name)
        words += [] if value is None else [f"--{name.replace('_', '-')}={value}"]
    for name in ("no_default_excludes", "allow_empty", "ungoverned"):
        words += [f"--{name.replace('_', '-')}"] if getattr(arguments, name) else []
    return words + [f"--exclude={pattern}" for pattern in arguments.exclude]


def _run_name(settings: Settings, migration: Migration, started: datetime) -> str:
    return settings.execution or f"{migration.label}-{started:%Y%m%dT%H%M%SZ}"


def _task(settings: Settings) -> dict[str, int]:
    return {"task": settings.task_index, "tasks": settings.task_count} if settings.task_count > 1 else {}


def _report(arguments: argparse.Namespace, settings: Settings) -> ReportDirectory | None:
    if arguments.report is None:
        return None
    part = f"task-{settings.task_index:05}-of-{settings.task_count:05}" if settings.task_count > 1 else ""
    return ReportDirectory(arguments.report / part)


def _governor(arguments: argparse.Namespace, tasks: int) -> WriteGovernor:
    if arguments.ungoverned:
        return NullGovernor()
    return Governor(time.monotonic, tasks=tasks, ceiling=arguments.max_writes_per_second)


def _check_arguments(arguments: argparse.Namespace, settings: Settings, surroundings: Surroundings) -> None:
    if settings.task_count > 1 and not arguments.execute:
        raise UsageError("a dry run shows the whole at once; run it as one task")
    if arguments.tasks > 1 and not (arguments.execute and arguments.yes):
        raise UsageError("--tasks is for --execute --yes: several processes cannot ask one question")
    if arguments.tasks > 1 and settings.task_count > 1:
        raise UsageError("this is a task of a job already; give the job more tasks instead of --tasks")
    if arguments.execute and not arguments.yes and not surroundings.stdin.isatty():
        raise UsageError("--execute asks before it copies, and there is no terminal to ask on; add --yes")


@contextmanager
def _output(
    arguments: argparse.Namespace,
    settings: Settings,
    surroundings: Surroundings,
    label: str,
    started: datetime,
) -> Iterator[Console]:
    """Start the logging, and give the console for people; in JSON form it is mute."""
    in_cloud_run = bool(settings.cloud_run_job)
    log_format = LogFormat(arguments.log_format or ("json" if in_cloud_run else "text"))
    directory_wanted = arguments.log_dir or (None if in_cloud_run else Path())
    name = f"{label}_task{settings.task_index}" if settings.task_count > 1 else label
    file = directory_wanted and log_file_path(directory_wanted, COMMAND, name, started)
    terminal = surroundings.stdout.isatty() and log_format is LogFormat.TEXT
    level = logging.WARNING if terminal else logging.INFO
    console = Console(
        file=surroundings.stdout,
        width=None if terminal else WIDTH,
        quiet=log_format is LogFormat.JSON,
        highlight=False,
    )
    with logging_to(surroundings.stdout, log_format, stream_level=level, file=file):
        yield console
    if file is not None:
        console.print(f"log: {file}", markup=False, soft_wrap=True)


def _dry_run(session: _Session) -> ExitCode:
    _say_started(session, "dry-run")
    with _object_lines(session.report) as lines:
        findings = analyse(replace(session.job, lines=lines))
    costs = _show(findings, session, "Dry run: nothing is changed.")
    content = {"findings": findings.to_json(), "estimate": costs.to_json()}
    _write(session, "plan.json", {**_identity(session, "dry-run"), **content})
    session.console.print("\nNothing was changed. To copy: the same command with --execute.")
    return ExitCode.DONE


def _execute(session: _Session) -> ExitCode:
    _say_started(session, "execute")
    expected: int | None = None
    if session.ask:
        findings = analyse(session.job)
        _show(findings, session, "Before anything is copied:")
        _confirm(session)
        expected = findings.source.objects
    now = session.surroundings.clock.now
    began = now()
    with (
        _object_lines(session.report) as lines,
        showing_progress(session.console, session.job.log, total=expected) as progress,
    ):
        result = execute(replace(session.job, lines=lines), progress)
    elapsed = round((now() - began).total_seconds(), 3)
    _write(session, "run.json", {**_identity(session, "execute"), "elapsed_s": elapsed, **result.to_json()})
    session.job.log.emit(
        Event.RUN_FINISHED,
        exit_code=int(result.exit_code),
        summary=result.summary,
        elapsed_s=elapsed,
        copying_s=round(result.copying.total_seconds(), 3),
        **result.balance.to_json(),
    )
    for line in result.screen_lines():
        session.console.print(line, markup=False, soft_wrap=True)
    return result.exit_code


def _say_started(session: _Session, mode: str) -> None:
    job = session.job
    source, destination = job.migration.source.uri, job.migration.destination.uri
    job.log.emit(
        Event.RUN_STARTED, mode=mode, source=source, destination=destination, in_flight=job.limits.in_flight
    )


def _show(findings: Findings, session: _Session, title: str) -> Estimate:
    """Print the overview; gives the estimate in it."""
    costs = estimate(Work.of(findings), speed=OBJECTS_PER_SECOND)
    session.console.print(render(findings, costs, session.job.migration, title=title))
    return costs


def _confirm(session: _Session) -> None:
    """Ask yes or no until the answer is one of them.

    Raises:
        UsageError: The answer is no, or there is none.
        Interrupted: Somebody would rather stop.
    """
    console, stdin = session.console, session.surroundings.stdin
    while True:
        console.print(
            "Copy now? Both paths stay as they are for their users. [yes/no] ", end="", markup=False
        )
        with session.job.stop.raising():
            answer = stdin.readline()
        if answer.strip().lower() == "yes":
            return
        if not answer or answer.strip().lower() == "no":
            raise UsageError("not confirmed; nothing was changed")


def _write(session: _Session, name: str, content: dict[str, Any]) -> None:
    if session.report is not None:
        session.console.print(
            f"report: {session.report.write_json(name, content)}", markup=False, soft_wrap=True
        )


def _identity(session: _Session, mode: str) -> dict[str, Any]:
    migration = session.job.migration
    return {
        "run": session.job.log.context["run"],
        "mode": mode,
        "source": migration.source.uri,
        "destination": migration.destination.uri,
        "excludes": list(migration.excludes),
    }


def _object_lines(report: ReportDirectory | None) -> AbstractContextManager[ObjectLines | None]:
    return nullcontext() if report is None else report.objects()


def _from_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number from 1")
    return int(text)


def _seconds(text: str) -> timedelta:
    try:
        duration = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        duration = timedelta(seconds=-1)
    if duration < timedelta():
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds from 0")
    return duration


if __name__ == "__main__":
    sys.exit(main())
