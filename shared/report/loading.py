"""Reads what the status page shows from Cloud Storage: the migration's state and its latest verification.

It reads two small objects of the migration's own, and nothing else. What cannot be read or understood is neither there nor
not there: it is passed on as unreadable, with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from shared.errors import StorageError, UsageError
from shared.migration import Migration
from shared.phase import StateStore, state_ref
from shared.report.next_steps import Target
from shared.state import State
from shared.verification import Verification, read_latest_verification

__all__ = ["Status", "Unreadable", "read_status"]

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Something that could not be read: neither there nor not there. One line says what it is and what happened."""

    why: str


@dataclass(frozen=True, slots=True)
class Status:
    """What the status page is about.

    Attributes:
        state: None when there is no state object yet.
        verification: The latest; None when there is none.
        refreshed: When they were read; aware.
    """

    target: Target
    state: State | Unreadable | None
    verification: Verification | Unreadable | None
    refreshed: datetime

    @property
    def known_state(self) -> State | None:
        """The state, the initial one where nothing was written down yet; None where it could not be read."""
        if isinstance(self.state, Unreadable):
            return None
        return self.state or State(self.target.source, self.target.destination)

    @property
    def known_verification(self) -> Verification | None:
        """The latest verification; None where there is none, or it could not be read."""
        return None if isinstance(self.verification, Unreadable) else self.verification

    @property
    def unreadable(self) -> tuple[str, ...]:
        """What could not be read, and why."""
        return tuple(part.why for part in (self.state, self.verification) if isinstance(part, Unreadable))


def read_status(store: StateStore, migration: Migration, now: datetime) -> Status:
    """Read the state and the latest verification: each is read strictly, or None for "not there", or unreadable."""
    target = Target(migration.label, migration.source.uri, migration.destination.uri, migration.excludes)
    state = _known(lambda: _read_state(store, migration))
    return Status(target, state, _known(lambda: read_latest_verification(store, migration)), now)


def _read_state(store: StateStore, migration: Migration) -> State | None:
    contents = store.read(state_ref(migration))
    return None if contents is None else State.from_json(contents, migration)


def _known(read: Callable[[], _Value]) -> _Value | Unreadable:
    try:
        return read()
    except (StorageError, UsageError) as error:
        return Unreadable(str(error))
