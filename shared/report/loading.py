"""Reads what the status page shows from Cloud Storage: the migration's state and its latest verification.

It reads small objects of the migration's own, and nothing else. What cannot be read or understood is neither there nor
not there: it is passed on as unreadable, with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol, TypeVar

from shared.errors import StorageError, UsageError
from shared.migration import Migration
from shared.phase import StateStore
from shared.record import RecordStore, Standing, read_record
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
        state: None when there is no record: no migration has begun, or its record is lost.
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


class StatusStore(RecordStore, StateStore, Protocol):
    """What the status page reads from."""


def read_status(store: StatusStore, migration: Migration, now: datetime) -> Status:
    """Read the state and the latest verification: each is read strictly, or None for "not there", or unreadable."""
    target = Target.of(migration)
    state = _known(lambda: _read_state(store, migration))
    return Status(target, state, _known(lambda: read_latest_verification(store, migration)), now)


def _read_state(store: StatusStore, migration: Migration) -> State | None:
    record = read_record(store, migration)
    return None if record.standing is Standing.NONE else record.state


def _known(read: Callable[[], _Value]) -> _Value | Unreadable:
    try:
        return read()
    except (StorageError, UsageError) as error:
        return Unreadable(str(error))
