"""What every piece of work on both prefixes is given: what is asked, where it lives, how much of it, and who may stop it."""

import asyncio
import gc
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum
from typing import TYPE_CHECKING

import uvloop

from backfill_job.clock import Clock
from backfill_job.late_gateway import LateGateway
from backfill_job.sharding import KeyRange, ranges
from backfill_job.stopping import Stop
from shared.errors import StorageError, UsageError
from shared.events_log import EventLog
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.listing import first_name
from shared.gcs.wire import Proxy
from shared.migration import Migration
from shared.operations import OperationsCounter
from shared.ruling import Ruling

if TYPE_CHECKING:
    from shared.gateway import Gateway

__all__ = ["ExitCode", "Job", "check_start", "open_api", "refuse_empty", "spare_the_collector"]

LISTING_CONNECTIONS = 16
"""Connections beside those of the objects under way, so that listings never wait for them."""

REQUEST_TIMEOUT = 60.0
"""Seconds without an answer after which a request counts as lost. Rewrites need at least 30 (Cloud Storage reference,
"Objects: rewrite")."""

START_PATIENCE = 10.0
"""Seconds over which transient faults are tolerated before anything has begun; an operator is waiting."""


class ExitCode(IntEnum):
    """How a command ends."""

    DONE = 0
    NOT_RIGHT = 1
    CANNOT_START = 2


@dataclass(frozen=True, slots=True)
class Job:
    """What a process works with.

    Attributes:
        migration: What is asked.
        store: Where both sides live, for what is looked at or copied one by one.
        operations: Counts what is asked of Cloud Storage, as it is billed.
        log: Where events go.
        clock: The time and the waiting; waiting ends in an error when somebody asks to stop.
        allow_empty: Whether a source without a single object is all right.
        endpoint: Scheme and host of a local Cloud Storage; None for Google's.
        proxy: Through which Google's is reached; None for none.
        grace: How long after its last change a source object may take to arrive before it counts as missing.
        stop: Whether somebody asked the process to stop.
        ruling: Whose word counts where the two sides differ.
        ranges: The part of the key space that this process works on; by default all of it.
    """

    migration: Migration
    store: LateGateway
    operations: OperationsCounter
    log: EventLog
    clock: Clock
    allow_empty: bool
    endpoint: str | None
    grace: timedelta
    stop: Stop
    ruling: Ruling
    proxy: Proxy | None = None
    ranges: tuple[KeyRange, ...] = ranges(())

    @property
    def gateway(self) -> "Gateway":
        """Everything else that Cloud Storage can do, through the official client."""
        return self.store.opened()


def open_api(job: Job, in_flight: int = 0, *, patience: float | None = None) -> AsyncApi:
    """The fast client, with connections for listings and for so many objects under way.

    Args:
        job: What to work with.
        in_flight: Objects under way at once.
        patience: Seconds over which transient faults are tolerated; None for the usual.
    """
    return AsyncApi(
        retry=RetryPolicy() if patience is None else RetryPolicy(deadline=patience),
        timeout=patience or REQUEST_TIMEOUT,
        endpoint=job.endpoint,
        connections=in_flight + LISTING_CONNECTIONS,
        operations=job.operations,
        proxy=job.proxy,
    )


def check_start(job: Job) -> None:
    """Find out whether both sides can be listed, before anything is done, and whether there is anything.

    Raises:
        UsageError: One of them cannot; or the source is empty, and that was not allowed.
    """
    try:
        source, _ = uvloop.run(_first_names(job))
    except StorageError as error:
        raise UsageError(f"cannot start: {error}") from error
    if source is None:
        refuse_empty(job)


async def _first_names(job: Job) -> list[str | None]:
    """The first name on either side, None where there is none; a look that takes little patience."""
    async with open_api(job, patience=START_PATIENCE) as api:
        sides = (job.migration.source, job.migration.destination)
        return await asyncio.gather(*(first_name(api, side, "", "") for side in sides))


def refuse_empty(job: Job) -> None:
    """Refuse a source without a single object, unless that was allowed.

    Raises:
        UsageError: It was not.
    """
    if not job.allow_empty:
        raise UsageError(
            f"{job.migration.source.uri} holds no objects; if that is expected, say --allow-empty, "
            "else look for a typo (names are case-sensitive)"
        )


def spare_the_collector() -> None:
    """Look for garbage less often: a run makes millions of small objects and no cycles, and finds nothing."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
