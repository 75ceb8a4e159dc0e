"""One run of a command on both prefixes: everything that the command uses, from the first look to the last report."""

import asyncio
import gc
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from backfill_job.run.clock import Clock
from backfill_job.run.command import ProcessIO
from backfill_job.run.key_ranges import KeyRange
from backfill_job.run.late_console import LateConsole
from backfill_job.run.late_gateway import LateGateway, ask
from backfill_job.run.reports import Lines, Reports, complete_set, json_bytes, part_name
from backfill_job.run.settings import Settings
from backfill_job.run.stopping import Stop
from shared.authority import AuthoritySource
from shared.errors import (
    BucketNotFound,
    PermissionDenied,
    PhaseUnknown,
    StorageError,
    UsageError,
)
from shared.events_log import EventLog
from shared.gcs.api import AsyncApi
from shared.gcs.listing import first_name
from shared.migration import OWN_FOLDER, Location, Migration
from shared.operations import OperationsCounter
from shared.phase import Phase, PhaseReader, Recorded, listed_history, recorded, settled, state_ref
from shared.record import Record, changeable, not_adopted, read_record
from shared.report.next_steps import CommandTarget
from shared.state import RunRecord, State
from shared.state_changes import Stamp

if TYPE_CHECKING:
    from shared.gateway import Gateway

__all__ = ["Run", "check_start", "open_api", "recorded_phase", "refuse_empty", "tune_gc"]

LISTING_CONNECTIONS = 16
"""Connections beyond those of the objects under way, so that listings never wait for objects."""

START_PATIENCE = 10.0
"""Seconds of retries after transient faults before the work begins, because an operator is waiting."""

AFTER_OWN_FOLDER = OWN_FOLDER[:-1] + chr(ord("/") + 1)
"""The first name that can come after all names in ``_migration/``."""


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that a command uses.

    Attributes:
        settings: Which task of which execution this is.
        console: Prints for the operator; prints nothing where lines are JSON.
        reports: The place for the reports of the whole run; None for no reports.
        store: Both clients: looks at and copies single objects of both sides, reads and writes the record.
        started: When it began, by Cloud Storage's clock.
        clock: Cloud Storage's time, for everything that has an age, and the waiting, which raises `Interrupted` after a
            signal. The operator's own clock, for durations, is that of `io`.
        phases: Reads the phase, at most once in a few seconds.
        authority: Which side is the source of truth where the two differ.
        grace: How long after its last change a source object may take to arrive before it counts as missing.
    """

    command: str
    migration: Migration
    started: datetime
    io: ProcessIO
    settings: Settings
    console: LateConsole
    log: EventLog
    reports: Reports | None
    store: LateGateway
    operations: OperationsCounter
    clock: Clock
    stop: Stop
    phases: PhaseReader
    authority: AuthoritySource
    ranges: tuple[KeyRange, ...]
    allow_empty: bool
    grace: timedelta

    @property
    def gateway(self) -> "Gateway":
        """All other operations on Cloud Storage, through the official client. Its import is slow."""
        return self.store.opened()

    @property
    def own_reports(self) -> Reports | None:
        """The place for this process's reports: one of several tasks has its own part."""
        if self.reports is None or self.settings.task_count == 1:
            return self.reports
        return self.reports.part(part_name(self.settings.task_index, self.settings.task_count))

    @property
    def place(self) -> str | None:
        """The place where the operator finds the reports afterwards; None where it does not outlive the run."""
        return None if self.reports is None or self.settings.passing_reports else self.reports.place

    @property
    def name(self) -> str:
        """The run's name, which the tasks of an execution share."""
        return str(self.log.context["run"])

    def stamp(self, by: str = "") -> Stamp:
        """A change of the state that is made now, by the command where no person makes it."""
        return Stamp.new(by or self.command, self.now())

    def run_record(self, exit_code: int, summary: str, *, command: str = "") -> RunRecord:
        """What the state keeps of the run, which ends now."""
        command = command or self.command
        return RunRecord(self.name, command, self.clock.now(), int(exit_code), summary, self.place)

    def say(self, *lines: str) -> None:
        """Print lines for the operator without wrapping or markup."""
        self.console.say(*lines)

    def object_lines(self) -> AbstractContextManager[Lines | None]:
        """``objects.jsonl`` of this process's reports, for one block; None where it would not outlive the run."""
        if self.own_reports is None or self.place is None:
            return nullcontext()
        return self.own_reports.lines("objects.jsonl")

    def now(self) -> datetime:
        """The time by Cloud Storage's clock; by this machine's before the first answer."""
        return self.store.server_time.now()

    def served(self) -> datetime:
        """A time by Cloud Storage's clock that has passed: what a listing that begins now shows is of this moment or later."""
        newest, now = self.store.server_time.newest(), self.now()
        return now if newest is None else min(newest, now)

    def record(self) -> Record:
        """Read the migration's record before any work; also tells that there is none.

        Raises:
            UsageError: This account may not read it, or it is damaged, so the command cannot start.
            StorageError: It cannot be read.
        """
        try:
            return read_record(self.store, self.migration)
        except (PermissionDenied, BucketNotFound, PhaseUnknown) as error:
            raise UsageError(f"cannot start: {error}") from error

    def state(self) -> State:
        """Read the state of a migration that has begun, before any work. Only `begin` takes one of version 1 over.

        Raises:
            UsageError: There is no record, or it is of version 1; or as in `record`.
            StorageError: It cannot be read.
        """
        found = self.record()
        try:
            return changeable(found, self.migration)
        except PhaseUnknown as error:
            raise UsageError(f"cannot start: {error}") from error

    def identity(self) -> dict[str, Any]:
        """The fields that name the run in a report."""
        migration = self.migration
        return {
            "run": self.name,
            "env": migration.label,
            "source": migration.source.uri,
            "destination": migration.destination.uri,
            "excludes": list(migration.excludes),
            "started": self.started.isoformat(timespec="milliseconds"),
            "tasks": self.settings.task_count,
        }

    def write(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one of this process's reports, if there is a place for them."""
        if self.own_reports is not None:
            self.own_reports.write(name, json_bytes({**self.identity(), **content}))

    def all_parts(self, name: str) -> list[Mapping[str, Any]] | None:
        """The reports of all tasks, if this is one of several and the set is complete; else None."""
        if self.reports is None or self.settings.task_count == 1:
            return None
        return complete_set(self.reports, name, self.settings)

    def write_whole(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a combined report of all tasks."""
        if self.reports is not None:
            self.reports.write(name, json_bytes({**self.identity(), **content}))


def open_api(run: Run, in_flight: int = 0, *, patience: float | None = None) -> AsyncApi:
    """The fast client, with connections for listings and `in_flight` objects. `patience` as in `LateGateway.fast`."""
    return run.store.fast(in_flight + LISTING_CONNECTIONS, patience=patience)


def check_start(run: Run) -> None:
    """Check before any work that both sides can be listed, and that the source has objects.

    Raises:
        UsageError: A side cannot be listed; or the source is empty, and the run does not allow that.
    """
    try:
        source, _ = ask(open_api(run, patience=START_PATIENCE), lambda api: _first_names(api, run.migration))
    except StorageError as error:
        raise UsageError(f"cannot start: {error}") from error
    if source is None:
        refuse_empty(run)


def recorded_phase(run: Run) -> Recorded | None:
    """What the record says of the phase, for a run that may write; None where there is no record.

    Raises:
        UsageError: The record is damaged, of version 1, or may not be read, so the command cannot start.
        StorageError: It cannot be read.
    """
    migration = run.migration

    def read() -> Recorded | None:
        listed = listed_history(run.store, migration)
        contents = run.store.read(state_ref(migration))
        return None if contents is None and not listed else recorded(contents, listed, migration)

    try:
        found = settled(read, time.sleep)
        if found is not None and not found.entries:
            raise not_adopted(migration)
    except (PermissionDenied, BucketNotFound, PhaseUnknown) as error:
        raise UsageError(f"cannot start: {error}") from error
    return found


async def _first_names(api: AsyncApi, migration: Migration) -> list[str | None]:
    """The first name on each side, None where there is none."""
    sides = (migration.source, migration.destination)
    return await asyncio.gather(*(_first_of_data(api, side, migration) for side in sides))


async def _first_of_data(api: AsyncApi, side: Location, migration: Migration) -> str | None:
    first = await first_name(api, side, "", "")
    if first is not None and migration.is_own(first):
        return await first_name(api, side, AFTER_OWN_FOLDER, "")
    return first


def refuse_empty(run: Run) -> None:
    """Refuse an empty source: raises `UsageError` where the run does not allow one."""
    if not run.allow_empty:
        if _deleted(run):
            raise UsageError(
                f"{run.migration.source.uri} holds no objects, because the phase is deleted: there is nothing to compare or to "
                f"copy. What was deleted can be brought back: {CommandTarget.of(run.migration).command('undo')}"
            )
        raise UsageError(
            f"{run.migration.source.uri} holds no objects; if that is expected, say --allow-empty, "
            "else look for a typo (names are case-sensitive)"
        )


def _deleted(run: Run) -> bool:
    """Whether the record says that the legacy path was deleted; a record that cannot be read says nothing."""
    try:
        found = recorded_phase(run)
    except (StorageError, UsageError):
        return False
    return found is not None and found.phase is Phase.DELETED


def tune_gc() -> None:
    """Tune the garbage collector: a run makes millions of small objects and no cycles, so frequent collections find nothing."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
