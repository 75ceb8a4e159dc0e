"""What every piece of work on both prefixes is given: what is asked, where it lives, how much of it, and who may stop it."""

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from enum import IntEnum

from backfill_job.async_api import AsyncApi
from backfill_job.clock import Clock
from backfill_job.sharding import KeyRange, ranges
from backfill_job.stopping import Stop
from backfill_job.tunnel import Proxy
from shared.errors import StorageError, UsageError
from shared.events_log import EventLog
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.ruling import Ruling

__all__ = ["ExitCode", "Job", "check_start", "open_api", "refuse_empty", "spare_the_collector"]

LISTING_CONNECTIONS = 16
"""Connections beside those of the objects under way, so that listings never wait for them."""

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
        gateway: Where both sides live.
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
    gateway: Gateway
    log: EventLog
    clock: Clock
    allow_empty: bool
    endpoint: str | None
    grace: timedelta
    stop: Stop
    ruling: Ruling
    proxy: Proxy | None = None
    ranges: tuple[KeyRange, ...] = ranges(())


def open_api(job: Job, in_flight: int = 0) -> AsyncApi:
    """The fast client, with connections for listings and for so many objects under way."""
    return AsyncApi(
        endpoint=job.endpoint,
        connections=in_flight + LISTING_CONNECTIONS,
        operations=job.gateway.operations,
        proxy=job.proxy,
    )


def check_start(job: Job) -> None:
    """Find out whether both sides can be listed, before anything is done, and whether there is anything.

    Raises:
        UsageError: One of them cannot; or the source is empty, and that was not allowed.
    """

    def holds_objects(location: Location) -> bool:
        return job.gateway.check_bucket(location.bucket, location.prefix, patience=START_PATIENCE)

    with ThreadPoolExecutor(2, thread_name_prefix="check") as pool:
        checks = [
            pool.submit(holds_objects, side) for side in (job.migration.destination, job.migration.source)
        ]
    try:
        there = [check.result() for check in checks]
    except StorageError as error:
        raise UsageError(f"cannot start: {error}") from error
    if not there[-1]:
        refuse_empty(job)


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
