"""Reads what the status page shows from Cloud Storage: the migration's state, its latest verification, and what `loaded` found last.

It reads small objects of the migration's own, and nothing else. What cannot be read or understood is neither there nor
not there: it is passed on as unreadable, with the reason.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from shared.errors import StorageError, UsageError
from shared.loaded import LoadedRecord, read_latest_loaded
from shared.migration import Migration
from shared.record import RecordStanding, read_record
from shared.report.next_steps import CommandTarget
from shared.state import State
from shared.store import RecordStore
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
        loaded: What `loaded` found last in the consumer's table; None where it never ran. No verdict depends on it.
    """

    target: CommandTarget
    state: State | Unreadable | None
    verification: Verification | Unreadable | None
    refreshed: datetime
    loaded: LoadedRecord | Unreadable | None = None

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
        """What could not be read of the state and the verification, and why. Without them nothing is known."""
        return tuple(part.why for part in (self.state, self.verification) if isinstance(part, Unreadable))


def read_status(store: RecordStore, migration: Migration, now: datetime) -> Status:
    """Read all of it: each part is read strictly, or None for "not there", or unreadable."""
    return Status(
        CommandTarget.of(migration),
        _known(lambda: _read_state(store, migration)),
        _known(lambda: read_latest_verification(store, migration)),
        now,
        _known(lambda: read_latest_loaded(store, migration)),
    )


def _read_state(store: RecordStore, migration: Migration) -> State | None:
    record = read_record(store, migration)
    return None if record.standing is RecordStanding.NONE else record.state


def _known(read: Callable[[], _Value]) -> _Value | Unreadable:
    try:
        return read()
    except (StorageError, UsageError) as error:
        return Unreadable(str(error))
