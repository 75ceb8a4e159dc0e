"""Opens a run: logging, signals, the gateway, a first look at both sides, this task's part of the key space, the reports."""

import argparse
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from backfill_job.run.command import ProcessIO
from backfill_job.run.key_ranges import ranges
from backfill_job.run.late_console import LateConsole
from backfill_job.run.late_gateway import LateGateway
from backfill_job.run.logs import LogFormat, logging_to, new_log_file
from backfill_job.run.overlaps import refuse_overlaps
from backfill_job.run.reports import ReportDirectory, ReportPrefix, Reports
from backfill_job.run.run import Run, check_start
from backfill_job.run.settings import Settings
from backfill_job.run.since import begun_by
from backfill_job.run.stopping import stopping_on_signals, until_stopped
from backfill_job.run.tasks import task_ranges
from shared.authority import ByPhase
from shared.errors import MigrationError, UsageError
from shared.events_log import Event, EventLog
from shared.migration import OWN_FOLDER, Location, Migration
from shared.operations import OperationsCounter
from shared.phase import PhaseReader
from shared.server_time import ServerTime

__all__ = ["opened", "reports_at", "say_overlaps"]

WIDTH = 100
"""Columns of an overview outside a terminal."""

GATEWAY_CONNECTIONS = 32
"""Connections for objects that the fast lane could not copy, and for second looks."""


@contextmanager
def opened(
    command: str,
    arguments: argparse.Namespace,
    io: ProcessIO,
    *,
    migration: Migration,
    mode: str,
    changes_objects: bool,
    in_tasks: bool = False,
) -> Iterator[Run]:
    """Open a run, and close it after the block.

    Args:
        command: The command's name, as in the names of its log files.
        arguments: With those of `add_session_arguments`.
        io: The command's process.
        migration: The two prefixes.
        mode: What the command will do, for the log.
        changes_objects: Whether it may overwrite or delete objects, so that no other migration may be about them.
        in_tasks: Whether several tasks may share the work. Otherwise a task of several is refused.

    Raises:
        UsageError: The run cannot start.
        MigrationError: The block raised it; the log has it, too.
    """
    settings = Settings.from_environ(io.environ)
    if settings.task_count > 1 and not in_tasks:
        raise UsageError(
            f"{command} covers all names, and this is one of {settings.task_count} tasks; run it as one task (--tasks=1)"
        )
    if arguments.tasks > 1 and arguments.tasks != settings.task_count:
        raise UsageError("this is a task of a job already; give the job more tasks instead of --tasks")
    started = io.clock.now()
    name = settings.execution or io.run_name(migration)
    task = {"task": settings.task_index, "tasks": settings.task_count} if settings.task_count > 1 else {}
    log = EventLog({"run": name, "env": migration.label, **task})
    with (
        stopping_on_signals(io.stopping) as stop,
        _output(f"{command}_{migration.label}", started, arguments, io, settings) as console,
    ):
        try:
            operations = OperationsCounter()
            server_time = ServerTime(io.clock.now)
            with closing(
                LateGateway(
                    io.environ, GATEWAY_CONNECTIONS, operations, server_time, migration.billing_project
                )
            ) as store:
                reports = reports_at(arguments.report, store, migration)
                phases = PhaseReader(store, migration, io.clock.monotonic)
                run = Run(
                    command=command,
                    migration=migration,
                    started=started,
                    io=io,
                    settings=settings,
                    console=console,
                    log=log,
                    reports=reports,
                    store=store,
                    operations=operations,
                    clock=until_stopped(replace(io.clock, now=store.server_time.now), stop),
                    stop=stop,
                    phases=phases,
                    authority=ByPhase(phases, lambda phase: phase.forward_authority),
                    ranges=ranges(()),
                    allow_empty=arguments.allow_empty,
                    grace=arguments.grace,
                )
                check_start(run)
                if changes_objects:
                    refuse_overlaps(migration, store, io.environ, operations)
                run = replace(
                    run,
                    started=run.now(),
                    ranges=task_ranges(
                        run, arguments.since and begun_by("--since", arguments.since, run.clock.now())
                    ),
                    allow_empty=run.allow_empty or bool(task) or arguments.since is not None,
                )
                if store.endpoint and console.is_terminal:
                    console.say(f"Not Google's Cloud Storage, but {store.endpoint} (STORAGE_EMULATOR_HOST).")
                _begin(run, mode)
                yield run
        except MigrationError as error:
            log.emit(Event.RUN_STOPPED, error=str(error))
            raise


def say_overlaps(run: Run) -> bool:
    """Say at the end of a rehearsal that the command itself would be refused, because of another migration's record.

    Returns:
        Whether it would.
    """
    try:
        refuse_overlaps(run.migration, run.store, run.io.environ, run.operations)
    except UsageError as error:
        run.say(f"It would be REFUSED: {error}")
        return True
    return False


def reports_at(place: Path | Location | None, store: LateGateway, migration: Migration) -> Reports | None:
    """Open the place for reports.

    Args:
        place: A directory or a Cloud Storage prefix; None for no reports.
        store: Writes to a Cloud Storage prefix.
        migration: Its prefixes must not hold the reports.

    Raises:
        UsageError: The migration would copy the reports, or the directory cannot be made.
    """
    if place is None:
        return None
    if isinstance(place, Path):
        return ReportDirectory(place)
    for location in (migration.source, migration.destination):
        if location.contains(place):
            raise UsageError(
                f"--report {place.uri} lies in {location.uri}, which is migrated; choose another"
            )
    parts = place.prefix.split("/")
    if parts[0] == OWN_FOLDER.rstrip("/") and not {"reports", "runs"}.intersection(parts[1:]):
        raise UsageError(
            f"--report {place.uri} lies among the records of migrations; choose {OWN_FOLDER}reports/, or another prefix"
        )
    return ReportPrefix(store.opened(), place)


def _begin(run: Run, mode: str) -> None:
    """Log the start, and check before any work that reports can be written."""
    source, destination = run.migration.source.uri, run.migration.destination.uri
    run.log.emit(Event.RUN_STARTED, mode=mode, source=source, destination=destination)
    try:
        run.write("started.json", {"mode": mode})
    except MigrationError as error:
        raise UsageError(f"cannot start: {error}") from error


@contextmanager
def _output(
    name: str,
    started: datetime,
    arguments: argparse.Namespace,
    io: ProcessIO,
    settings: Settings,
) -> Iterator[LateConsole]:
    """Start the logging, name the log file, and give the operator's console; with JSON lines it prints nothing."""
    log_format = io.log_format(arguments.log_format)
    directory_wanted = arguments.log_dir or (None if io.in_a_job else Path())
    part = f"_task{settings.task_index}" if settings.task_count > 1 else ""
    file = directory_wanted and new_log_file(directory_wanted, name + part, started)
    as_json = log_format is LogFormat.JSON
    console = LateConsole(io.stdout, WIDTH, quiet=as_json, only_progress=io.only_progress)
    stream = io.stdout if as_json else None if io.stderr.isatty() else io.stderr
    with logging_to(stream, log_format, file=file):
        if file is not None:
            console.say(f"log: {file}")
        yield console
