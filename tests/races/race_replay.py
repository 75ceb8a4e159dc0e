"""Runs production code one storage call at a time, without threads.

A `ReplayingStore` answers the first calls from a recorded history and stops the code at the first call without an answer.
To let an actor take a step, the explorer appends one possible answer to its history and runs the actor's function again
from the start. So the code under test is the unchanged production code, and an actor's whole memory is a tuple of answers.
"""

from collections.abc import Callable
from enum import Enum
from typing import NamedTuple

from race_model import Condition, Refusal, Version, number, object_state, token

from shared.errors import ConditionFailed, ObjectNotFound, StorageError, Unavailable
from shared.objects import ObjectRef, ObjectState
from shared.replicate import DeletePropagation, Replication

__all__ = [
    "DESTINATION",
    "SOURCE",
    "Answer",
    "Call",
    "Copy",
    "Delete",
    "Ended",
    "Look",
    "Program",
    "Put",
    "ReplayingStore",
    "Side",
    "keep",
    "react",
    "shown",
    "shown_source",
]


class Side(Enum):
    """The side on which an object lies."""

    SOURCE = "source"
    DESTINATION = "destination"


SOURCE = ObjectRef("legacy", "analytics/qpi_exports/q.jsonl")
DESTINATION = ObjectRef("new", "qpi_exports/q.jsonl")

_REFS = {Side.SOURCE: SOURCE, Side.DESTINATION: DESTINATION}
_SIDES = {ref: side for side, ref in _REFS.items()}
_ERRORS: dict[Refusal, type[StorageError]] = {
    Refusal.CONDITION_FAILED: ConditionFailed,
    Refusal.NOT_FOUND: ObjectNotFound,
    Refusal.UNAVAILABLE: Unavailable,
}


_IGNORED = object_state(Version(1, 0, ""), DESTINATION.name)


def keep(version: ObjectState) -> ObjectRef:
    """Where `replicate` keeps a version before it replaces it."""
    return ObjectRef("new", f"_migration/replaced/{version.generation}")


class Look(NamedTuple):
    """Reading one side; a listing reads it the same way."""

    at: Side


class Copy(NamedTuple):
    """A rewrite, source to destination. `pinned` names ``sourceGeneration`` instead of the live version."""

    if_source: Condition
    if_destination: Condition
    pinned: bool = False


class Delete(NamedTuple):
    """Deleting the destination."""

    if_generation: Condition


class Put(NamedTuple):
    """An upload to the destination, by a writer that already uses the new path."""

    data: str


Call = Look | Copy | Delete | Put
Answer = Version | Refusal | None


class Ended(NamedTuple):
    """An actor has ended: its result, or the error that it raised instead, and the calls that it made."""

    result: Replication | DeletePropagation | None
    error: StorageError | None
    calls: tuple[Call, ...]


class _Unanswered(BaseException):
    """The code waits for the answer to a call. Not an `Exception`, so that no code catches it."""

    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.call = call


class ReplayingStore:
    """An `ObjectStore` that has answers up to some point, and stops the code there."""

    def __init__(self, history: tuple[Answer, ...]) -> None:
        self._answers = iter(history)
        self.calls: list[Call] = []

    def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        return self._state(Look(_SIDES[at]), at)

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        """See `ObjectStore.copy`."""
        if source == DESTINATION:  # a copy to keep: changes neither side
            return _IGNORED
        assert (source, destination) == (SOURCE, DESTINATION)
        return self._copied(Copy(token(if_source), token(if_destination)))

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        """Delete a live object if it still has this generation."""
        assert at == DESTINATION
        self._answer(Delete(token(if_generation)), at)

    def put(self, data: str) -> None:
        """Write to the destination unconditionally, like a writer that already uses the new path."""
        self._answer(Put(data), DESTINATION)

    def _copied(self, call: Copy) -> ObjectState:
        state = self._state(call, DESTINATION)
        assert state is not None
        return state

    def _state(self, call: Call, at: ObjectRef) -> ObjectState | None:
        answer = self._answer(call, at)
        return None if answer is None else object_state(answer, at.name)

    def _answer(self, call: Call, at: ObjectRef) -> Version | None:
        try:
            answer = next(self._answers)
        except StopIteration:
            raise _Unanswered(call) from None
        self.calls.append(call)
        if isinstance(answer, Refusal):
            raise _ERRORS[answer](at.uri, answer.value)
        return answer


Program = Callable[[ReplayingStore], Replication | DeletePropagation | None]
"""An actor's work, as an ordinary function over a store."""


def react(program: Program, store: ReplayingStore) -> Call | Ended:
    """Run a program until it makes a call without an answer, or ends."""
    try:
        return Ended(program(store), None, tuple(store.calls))
    except _Unanswered as stopped:
        return stopped.call
    except StorageError as error:
        return Ended(None, error, tuple(store.calls))


def shown(version: Version | None) -> str:
    """Name a version for a reader."""
    if version is None:
        return "nothing"
    if version.write == 0:
        return f"{version.data!r} of its own"
    label = f" labelled {version.metadata}" if version.metadata else ""
    return f"v{version.write}={version.data}{label}"


def shown_source(version: Version | None) -> str:
    """Name a source version with the generation that production code sees."""
    return shown(version) + ("" if version is None else f" (g{number(version.token)})")
