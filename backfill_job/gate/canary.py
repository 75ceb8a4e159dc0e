"""The canary: one object, written under the legacy prefix to see it arrive on the new path.

Its name lies in a folder of its own, ``_canary/``. The consumer's globs and presence checks begin with ``qpi_answers_``, so
they never match it. No other object ever has this name, so an object with it, on either path, is the canary or its copy.

The canary always removes both again: the source first, so that no event can bring the copy again. After a rollback the mirror
also copies new writes back, so an event under way may bring either again. And a copy that began before the removal may end
after it. So the canary looks at both places again after a pause, until both are empty.
"""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

from backfill_job.rights import CANARY_FOLDER
from backfill_job.run.clock import Clock
from shared.decision import ABSENT
from shared.errors import (
    ConditionFailed,
    Interrupted,
    MigrationError,
    ObjectNotFound,
    StorageError,
    UnexpectedAnswer,
)
from shared.gateway import Gateway
from shared.migration import Migration
from shared.objects import ObjectRef, ObjectState, differences, parse_time

__all__ = ["Flight", "canary_name", "fly", "removal"]

POLL_SECONDS = 0.5

SETTLE_SECONDS = 2.0
"""The pause before the next look at what it removed, for events and copies under way."""

ROUNDS = 5
"""After so many removals, another program must be writing the object again, and not an event under way."""


@dataclass(frozen=True, slots=True)
class Flight:
    """The result of a canary.

    Attributes:
        uri: Where it was written.
        arrived: Seconds from its creation to its copy's, by Cloud Storage's clock; None when no copy came in time.
        problem: Why its arrival is unknown; empty where it is known.
        left: What could not be removed again, as ``gs://bucket/name``.
        why_left: Why not; empty where nothing is left.
    """

    uri: str
    arrived: float | None
    problem: str = ""
    left: tuple[str, ...] = ()
    why_left: str = ""


def canary_name(run: str, token: str) -> str:
    """A canary's name below the prefix: the run's name finds it in the log, the token makes it unique."""
    return f"{CANARY_FOLDER}{run}-{token}.txt"


def fly(
    gateway: Gateway,
    migration: Migration,
    relative: str,
    *,
    limit: float,
    clock: Clock,
    pause: Callable[[float], None],
) -> Flight:
    """Write a canary, wait for its copy, and remove both.

    Args:
        gateway: Holds both paths.
        migration: The path where the canary is written, and the path where the mirror copies it.
        relative: Its name below the prefix; the migration must not exclude it.
        limit: Seconds it may take.
        clock: The time, and the waiting for the copy; may raise `Interrupted`.
        pause: The waiting during the removal, which a signal must not end.

    Raises:
        Interrupted: A signal stopped it. The canary is removed, or the message names what is left.
    """
    source, destination = migration.source_ref(relative), migration.destination_ref(relative)
    arrived, problem = None, ""
    try:
        arrived = _arrival(gateway, source, destination, clock, limit)
    except StorageError as error:
        problem = str(error)
    except Interrupted as error:
        left, why = _remove(gateway, source, destination, pause)
        if left:
            raise Interrupted(f"{error}; the canary could not be removed ({why}): {removal(left)}") from error
        raise
    except BaseException:
        _remove(gateway, source, destination, pause)
        raise
    left, why = _remove(gateway, source, destination, pause)
    return Flight(source.uri, arrived, problem, left, why)


def removal(left: Iterable[str]) -> str:
    """The command that removes what is left."""
    return " ".join(["gcloud storage rm", *(f"'{uri}'" for uri in left)])


def _arrival(
    gateway: Gateway, source: ObjectRef, destination: ObjectRef, clock: Clock, limit: float
) -> float | None:
    written = _write(gateway, source)
    began, waited = clock.now(), 0.0
    while True:
        copy = gateway.look(destination)
        if copy is not None:
            return _in_time(written, copy, destination, limit)
        # The greater of the two, because a clock may stand still, and a look may take long.
        if max(waited, (clock.now() - began).total_seconds()) > limit:
            return None
        clock.sleep(POLL_SECONDS)
        waited += POLL_SECONDS


def _write(gateway: Gateway, at: ObjectRef) -> ObjectState:
    # A failed precondition is our own write, repeated after a lost answer: no other program knows the name.
    with suppress(ConditionFailed):
        gateway.write(at, f"{at.name}\n".encode(), if_generation=ABSENT)
    written = gateway.look(at)
    if written is None:
        raise UnexpectedAnswer(at.uri, "gone right after it was written; find out who deletes there")
    return written


def _in_time(written: ObjectState, copy: ObjectState, at: ObjectRef, limit: float) -> float | None:
    differing = ", ".join(one.value for one in differences(written, copy))
    if differing:
        raise UnexpectedAnswer(at.uri, f"the canary arrived, but not as it was written ({differing})")
    try:
        took = (parse_time(copy.created) - parse_time(written.created)).total_seconds()
    except ValueError as error:
        raise UnexpectedAnswer(
            at.uri, f"the canary arrived at a time that cannot be read ({error})"
        ) from error
    return max(took, 0.0) if took <= limit else None


def _remove(
    gateway: Gateway, source: ObjectRef, destination: ObjectRef, pause: Callable[[float], None]
) -> tuple[tuple[str, ...], str]:
    """Remove both until neither appears again; gives what is left, and why."""
    for number in range(ROUNDS):
        absent = True
        problems: dict[str, str] = {}
        for at in (source, destination):
            try:
                absent = _removed(gateway, at) and absent
            except MigrationError as error:
                problems[at.uri] = str(error)
        if problems:
            return tuple(problems), "; ".join(problems.values())
        if number and absent:
            return (), ""
        pause(SETTLE_SECONDS)
    return (source.uri, destination.uri), "something brings it again whenever it is removed"


def _removed(gateway: Gateway, at: ObjectRef) -> bool:
    """Remove it; tells whether it was absent already."""
    there = gateway.look(at)
    if there is None:
        return True
    with suppress(ConditionFailed, ObjectNotFound):  # the next look tells
        gateway.delete(at, if_generation=there.generation)
    return False
