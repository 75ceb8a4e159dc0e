"""The canary: one object, written under the legacy prefix to see it arrive at the new path.

Its name lies in a folder of its own, ``_canary/``, which no consumer's glob and no presence check can match: those begin with
``qpi_answers_``. Both copies are removed again, whatever happened, each on condition that it is the one seen.
"""

from dataclasses import dataclass
from datetime import datetime

from backfill_job.clock import Clock
from shared.decision import ABSENT
from shared.errors import ConditionFailed, MigrationError, ObjectNotFound, UsageError
from shared.gateway import Gateway
from shared.migration import Migration
from shared.objects import ObjectRef, same

__all__ = ["Flight", "fly"]

FOLDER = "_canary/"
POLL_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Flight:
    """What became of a canary.

    Attributes:
        name: Where it was written.
        arrived_after: Seconds until its copy was seen; None when it was not.
        left: Objects that could not be removed again, as ``gs://bucket/name``, with the reason.
    """

    name: str
    arrived_after: float | None
    left: tuple[str, ...]


def fly(gateway: Gateway, migration: Migration, run: str, clock: Clock, limit: float) -> Flight:
    """Write a canary, wait for its copy, and remove both.

    Args:
        gateway: Where both paths live.
        migration: From where to where the mirror brings it.
        run: This run's name; the canary's, too.
        clock: The time and the waiting.
        limit: Seconds it may take.

    Returns:
        What became of it.

    Raises:
        UsageError: It would be excluded from the migration, and so never arrive.
        StorageError: It could not be written or looked for.
        Interrupted: Somebody stopped it; it has been removed.
    """
    relative = f"{FOLDER}{run}.txt"
    if migration.is_excluded(relative):
        raise UsageError(f"{relative} is excluded from the migration, so no canary can arrive")
    source, destination = migration.source_ref(relative), migration.destination_ref(relative)
    arrived_after: float | None = None
    left: list[str] = []
    try:
        gateway.write(source, f"canary of {run}\n".encode(), if_generation=ABSENT)
        arrived_after = _arrival(gateway, source, destination, clock, limit)
    finally:
        # The source first: then no delivery can bring the copy again.
        left += [problem for at in (source, destination) if (problem := _removed(gateway, at))]
    return Flight(source.uri, arrived_after, tuple(left))


def _arrival(
    gateway: Gateway, source: ObjectRef, destination: ObjectRef, clock: Clock, limit: float
) -> float | None:
    began: datetime = clock.now()
    written = gateway.look(source)
    waited = 0.0
    while written is not None:
        copy = gateway.look(destination)
        waited = (clock.now() - began).total_seconds()
        if copy is not None and same(written, copy):
            return waited
        if waited >= limit:
            break
        clock.sleep(POLL_SECONDS)
    return None


def _removed(gateway: Gateway, at: ObjectRef) -> str:
    """Remove an object if it is there; gives what stands in the way, empty for nothing."""
    try:
        there = gateway.look(at)
        if there is not None:
            gateway.delete(at, if_generation=there.generation)
    except ObjectNotFound:
        return ""
    except (ConditionFailed, MigrationError) as error:
        return f"{at.uri} ({error})"
    return ""
