"""One run of a command on both prefixes: what it has at hand while it runs, from the first look to the last report."""

import argparse
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from backfill_job.cloud_reports import ReportPrefix
from backfill_job.command import Surroundings
from backfill_job.job import Job, check_start
from backfill_job.late_gateway import LateGateway
from backfill_job.logs import LogFormat, log_file_path, logging_to
from backfill_job.reports import Lines, ReportDirectory, Reports, json_bytes
from backfill_job.settings import Settings
from backfill_job.shard_reports import complete_set, part_name
from backfill_job.sharding import KeyRange
from backfill_job.since import without_older_days
from backfill_job.stopping import Stop, stopping_on_signals, until_stopped
from backfill_job.tasks import agreed_ranges, all_ranges, top_level_names
from shared.errors import BucketNotFound, MigrationError, PermissionDenied, UsageError
from shared.events_log import Event, EventLog
from shared.gcs.json_client import GOOGLE_HOST
from shared.gcs.wire import proxy_for
from shared.migration import Location, Migration
from shared.operations import OperationsCounter
from shared.phase import PhaseReader
from shared.ruling import ByPhase
from shared.state import State, read_state

__all__ = ["Session", "opened", "reports_at"]

WIDTH = 100
"""Columns of an overview that does not go to a terminal."""

GATEWAY_CONNECTIONS = 32
"""For what the fast lane could not settle, and for second looks."""


@dataclass(frozen=True, slots=True)
class Session:
    """What a command has at hand.

    Attributes:
        command: Its name, as in the names of its log files.
        job: What to work with.
        reports: Where reports go, those of the whole run; None where nobody wants them.
        console: For people; mute where lines are JSON.
        surroundings: Streams and clock.
        settings: Which task of which execution this is.
        started: When it began.
    """

    command: str
    job: Job
    reports: Reports | None
    console: Console
    surroundings: Surroundings
    settings: Settings
    started: datetime

    @property
    def own_reports(self) -> Reports | None:
        """Where this process's reports go: of several tasks each has a part of its own."""
        if self.reports is None or self.settings.task_count == 1:
            return self.reports
        return self.reports.part(part_name(self.settings.task_index, self.settings.task_count))

    @property
    def place(self) -> str | None:
        """Where the reports of the whole run are found afterwards; None where nobody wants them."""
        return None if self.reports is None or self.settings.passing_reports else self.reports.place

    def say(self, text: str) -> None:
        """Print a line for people, as it is, however long."""
        self.console.print(text, markup=False, soft_wrap=True)

    def object_lines(self) -> AbstractContextManager[Lines | None]:
        """``objects.jsonl`` of this process's reports, for the length of a block; None where nobody would find it."""
        if self.own_reports is None or self.place is None:
            return nullcontext()
        return self.own_reports.lines("objects.jsonl")

    def state(self) -> State:
        """Read the migration's state before anything is done.

        Raises:
            UsageError: This account may not: it cannot start.
            StorageError: It could not be read, or is damaged.
        """
        try:
            return read_state(self.job.gateway, self.job.migration)
        except (PermissionDenied, BucketNotFound) as error:
            raise UsageError(f"cannot start: {error}") from error

    def identity(self) -> dict[str, Any]:
        """Which run a report is of."""
        migration = self.job.migration
        return {
            "run": self.job.log.context["run"],
            "env": migration.label,
            "source": migration.source.uri,
            "destination": migration.destination.uri,
            "excludes": list(migration.excludes),
            "started": self.started.isoformat(timespec="milliseconds"),
            "tasks": self.settings.task_count,
        }

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of this process's reports, where they are wanted."""
        if self.own_reports is not None:
            self.own_reports.write(name, json_bytes({**self.identity(), **content}))

    def all_parts(self, name: str) -> list[Mapping[str, Any]] | None:
        """The reports of all tasks, where this is one of several and the set is complete; else None."""
        if self.reports is None or self.settings.task_count == 1:
            return None
        return complete_set(self.reports, name, self.settings)

    def write_whole(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a report of all tasks together."""
        if self.reports is not None:
            self.reports.write(name, json_bytes({**self.identity(), **content}))


@contextmanager
def opened(
    command: str,
    arguments: argparse.Namespace,
    surroundings: Surroundings,
    *,
    migration: Migration,
    mode: str,
    in_tasks: bool = False,
) -> Iterator[Session]:
    """Start a run: logging, signals, the gateway, a first look at both sides, this task's part, and the reports.

    Args:
        command: The command's name, as in the names of its log files.
        arguments: With those of `add_session_arguments`.
        surroundings: What the command reads from and writes to.
        migration: What is asked.
        mode: What it is about to do, for the log.
        in_tasks: Whether several tasks may share the work; else each would take its part for the whole.

    Yields:
        The run, ready to work.

    Raises:
        UsageError: It cannot start.
        MigrationError: Whatever the block raises; it has been logged.
    """
    settings = Settings.from_environ(surroundings.environ)
    if settings.task_count > 1 and not in_tasks:
        raise UsageError(
            f"{command} is about the whole, and this is one of {settings.task_count} tasks; run it as one task (--tasks=1)"
        )
    if arguments.tasks > 1 and arguments.tasks != settings.task_count:
        raise UsageError("this is a task of a job already; give the job more tasks instead of --tasks")
    started = surroundings.clock.now()
    name = settings.execution or f"{migration.label}-{started:%Y%m%dT%H%M%SZ}"
    task = {"task": settings.task_index, "tasks": settings.task_count} if settings.task_count > 1 else {}
    log = EventLog({"run": name, "env": migration.label, **task})
    with (
        stopping_on_signals(surroundings.stopping) as stop,
        _output(f"{command}_{migration.label}", started, arguments, surroundings, settings) as console,
    ):
        try:
            operations = OperationsCounter()
            with closing(LateGateway(GATEWAY_CONNECTIONS, operations)) as store:
                reports = reports_at(arguments.report, store, migration)
                job = _job(
                    arguments,
                    surroundings,
                    migration=migration,
                    store=store,
                    operations=operations,
                    log=log,
                    stop=stop,
                )
                check_start(job)
                job = replace(
                    job,
                    ranges=_ranges(job, settings, arguments),
                    allow_empty=job.allow_empty or bool(task) or arguments.since is not None,
                )
                session = Session(command, job, reports, console, surroundings, settings, started)
                if job.endpoint and console.is_terminal:
                    console.print(
                        f"Not Google's Cloud Storage, but {job.endpoint} (STORAGE_EMULATOR_HOST).",
                        markup=False,
                    )
                _begin(session, mode)
                yield session
        except MigrationError as error:
            log.emit(Event.RUN_STOPPED, error=str(error))
            raise


def _job(
    arguments: argparse.Namespace,
    surroundings: Surroundings,
    *,
    migration: Migration,
    store: LateGateway,
    operations: OperationsCounter,
    log: EventLog,
    stop: Stop,
) -> Job:
    endpoint = surroundings.environ.get("STORAGE_EMULATOR_HOST")
    return Job(
        migration=migration,
        store=store,
        operations=operations,
        log=log,
        clock=until_stopped(surroundings.clock, stop),
        allow_empty=arguments.allow_empty,
        endpoint=endpoint,
        proxy=None if endpoint else proxy_for(GOOGLE_HOST, surroundings.environ),
        grace=arguments.grace,
        stop=stop,
        ruling=ByPhase(PhaseReader(store, migration, time.monotonic), lambda phase: phase.forward_authority),
    )


def _ranges(job: Job, settings: Settings, arguments: argparse.Namespace) -> tuple[KeyRange, ...]:
    """The part of the key space that is this process's."""
    mine = agreed_ranges(job, settings) if settings.task_count > 1 else all_ranges(job)
    if arguments.since is None:
        return mine
    return without_older_days(mine, top_level_names(job), arguments.since(job.clock.now()))


def reports_at(place: Path | Location | None, store: LateGateway, migration: Migration) -> Reports | None:
    """Open the place where reports go.

    Args:
        place: A directory or a Cloud Storage prefix; None where nobody wants reports.
        store: Writes to the latter.
        migration: What is asked.

    Raises:
        UsageError: Reports would be migrated, or the directory cannot be made.
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
    return ReportPrefix(store.opened(), place)


def _begin(session: Session, mode: str) -> None:
    """Say that it starts, and find out before any work whether reports can be written."""
    source, destination = session.job.migration.source.uri, session.job.migration.destination.uri
    session.job.log.emit(Event.RUN_STARTED, mode=mode, source=source, destination=destination)
    try:
        session.write("started.json", {"mode": mode})
    except MigrationError as error:
        raise UsageError(f"cannot start: {error}") from error


@contextmanager
def _output(
    name: str,
    started: datetime,
    arguments: argparse.Namespace,
    surroundings: Surroundings,
    settings: Settings,
) -> Iterator[Console]:
    """Start the logging, and give the console for people; in JSON form it is mute."""
    in_cloud_run = bool(settings.cloud_run_job)
    log_format = LogFormat(arguments.log_format or ("json" if in_cloud_run else "text"))
    directory_wanted = arguments.log_dir or (None if in_cloud_run else Path())
    part = f"_task{settings.task_index}" if settings.task_count > 1 else ""
    file = directory_wanted and log_file_path(directory_wanted, name + part, started)
    terminal = surroundings.stdout.isatty() and log_format is LogFormat.TEXT
    console = Console(
        file=surroundings.stdout,
        width=None if terminal else WIDTH,
        quiet=log_format is LogFormat.JSON,
        highlight=False,
    )
    level = logging.WARNING if terminal else logging.INFO
    with logging_to(surroundings.stdout, log_format, stream_level=level, file=file):
        yield console
    if file is not None:
        console.print(f"log: {file}", markup=False, soft_wrap=True)
