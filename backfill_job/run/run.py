"""One run of a command on both prefixes: everything that it has at hand, from the first look to the last report."""

import asyncio
import gc
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import uvloop
from rich.console import Console

from backfill_job.run.clock import Clock
from backfill_job.run.command import ProcessIO
from backfill_job.run.key_ranges import KeyRange
from backfill_job.run.late_gateway import LateGateway
from backfill_job.run.reports import Lines, Reports, json_bytes
from backfill_job.run.settings import Settings
from backfill_job.run.stopping import Stop
from backfill_job.run.task_reports import complete_set, part_name
from shared.authority import AuthoritySource
from shared.errors import BucketNotFound, PermissionDenied, StorageError, UsageError
from shared.events_log import EventLog
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.listing import first_name
from shared.gcs.wire import Proxy
from shared.migration import Migration
from shared.operations import OperationsCounter
from shared.state import State, read_state

if TYPE_CHECKING:
    from shared.gateway import Gateway

__all__ = ["Run", "check_start", "open_api", "refuse_empty", "tune_gc"]

LISTING_CONNECTIONS = 16
"""Connections beside those of the objects under way, so that listings never wait for them."""

REQUEST_TIMEOUT = 60.0
"""Seconds without an answer after which a request counts as lost. Rewrites need at least 30 (Cloud Storage reference,
"Objects: rewrite")."""

START_PATIENCE = 10.0
"""Seconds over which transient faults are tolerated before anything has begun; an operator is waiting."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a command works with.

    Attributes:
        command: Its name, as in the names of its log files.
        migration: What is asked.
        started: When it began.
        io: The process: environment, streams, clock.
        settings: Which task of which execution this is.
        console: For people; mute where lines are JSON.
        log: Where events go.
        reports: Where the reports of the whole run go; None where none are wanted.
        store: Where both sides live, for what is looked at or copied one by one.
        operations: Counts what is asked of Cloud Storage, as it is billed.
        clock: The time and the waiting; the waiting ends in `Interrupted` after a signal.
        stop: Whether a signal asked the process to stop.
        authority: Which side is the source of truth where the two differ.
        ranges: The part of the key space that this process works on.
        allow_empty: Whether a source without a single object is accepted.
        grace: How long after its last change a source object may take to arrive before it counts as missing.
        endpoint: Scheme and host of a local Cloud Storage; None for Google's.
        proxy: Through which Google's is reached; None for none.
    """

    command: str
    migration: Migration
    started: datetime
    io: ProcessIO
    settings: Settings
    console: Console
    log: EventLog
    reports: Reports | None
    store: LateGateway
    operations: OperationsCounter
    clock: Clock
    stop: Stop
    authority: AuthoritySource
    ranges: tuple[KeyRange, ...]
    allow_empty: bool
    grace: timedelta
    endpoint: str | None
    proxy: Proxy | None

    @property
    def gateway(self) -> "Gateway":
        """Everything else that Cloud Storage can do, through the official client."""
        return self.store.opened()

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
            return read_state(self.gateway, self.migration)
        except (PermissionDenied, BucketNotFound) as error:
            raise UsageError(f"cannot start: {error}") from error

    def identity(self) -> dict[str, Any]:
        """Which run a report is of."""
        migration = self.migration
        return {
            "run": self.log.context["run"],
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


def open_api(run: Run, in_flight: int = 0, *, patience: float | None = None) -> AsyncApi:
    """The fast client, with connections for listings and for so many objects under way.

    Args:
        run: What to work with.
        in_flight: Objects under way at once.
        patience: Seconds over which transient faults are tolerated; None for the usual.
    """
    return AsyncApi(
        retry=RetryPolicy() if patience is None else RetryPolicy(deadline=patience),
        timeout=patience or REQUEST_TIMEOUT,
        endpoint=run.endpoint,
        connections=in_flight + LISTING_CONNECTIONS,
        operations=run.operations,
        proxy=run.proxy,
    )


def check_start(run: Run) -> None:
    """Find out whether both sides can be listed, before anything is done, and whether there is anything.

    Raises:
        UsageError: One of them cannot; or the source is empty, and that was not allowed.
    """
    try:
        source, _ = uvloop.run(_first_names(run))
    except StorageError as error:
        raise UsageError(f"cannot start: {error}") from error
    if source is None:
        refuse_empty(run)


async def _first_names(run: Run) -> list[str | None]:
    """The first name on either side, None where there is none; a look that takes little patience."""
    async with open_api(run, patience=START_PATIENCE) as api:
        sides = (run.migration.source, run.migration.destination)
        return await asyncio.gather(*(first_name(api, side, "", "") for side in sides))


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


def tune_gc() -> None:
    """Look for garbage less often: a run makes millions of small objects and no cycles, and finds nothing."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
