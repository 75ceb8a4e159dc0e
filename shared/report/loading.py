"""Reads what the status page shows from Cloud Storage: the migration's state and its latest verification.

Two small objects of the migration's own are read, and nothing else. What cannot be read or made sense of is neither there
nor not there: it is handed on as unreadable, with the reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.errors import StorageError, UsageError
from shared.migration import Migration
from shared.objects import ObjectRef
from shared.phase import StateStore, state_ref
from shared.report.advice import Target
from shared.report.page import Unreadable
from shared.report.reading import read_state, read_verification, require_migration
from shared.strict_json import parse_json

__all__ = ["StatusData", "latest_verification_ref", "read_status"]


@dataclass(frozen=True, slots=True)
class StatusData:
    """What the status page is about.

    Attributes:
        target: Which migration.
        state: The state object's contents, parsed; None when there is no such object.
        verification: The latest verification, parsed; None when there is none.
        refreshed: When they were read; aware.
    """

    target: Target
    state: Mapping[str, Any] | Unreadable | None
    verification: Mapping[str, Any] | Unreadable | None
    refreshed: datetime

    @property
    def unreadable(self) -> tuple[str, ...]:
        """What could not be read, and why."""
        return tuple(part.why for part in (self.state, self.verification) if isinstance(part, Unreadable))


def latest_verification_ref(migration: Migration) -> ObjectRef:
    """Where a migration's latest verification lies."""
    return migration.own_ref("latest", "verification.json")


def read_status(store: StateStore, migration: Migration, now: datetime) -> StatusData:
    """Read the state and the latest verification.

    Args:
        store: Where they lie.
        migration: Whose.
        now: The current time; aware.

    Returns:
        Both, each either parsed and of the right form, or None for "not there", or unreadable.
    """
    return StatusData(
        Target(migration.label, migration.source.uri, migration.destination.uri, migration.excludes),
        _read(store, state_ref(migration), "the state", read_state, migration),
        _read(store, latest_verification_ref(migration), "the verification", read_verification, migration),
        now,
    )


def _read(
    store: StateStore,
    at: ObjectRef,
    what: str,
    read: Callable[[Mapping[str, Any]], object],
    migration: Migration,
) -> Mapping[str, Any] | Unreadable | None:
    try:
        contents = store.read(at)
        if contents is None:
            return None
        content = parse_json(contents)
        read(content)
        require_migration(content, what, migration.source.uri, migration.destination.uri)
    except StorageError as error:
        return Unreadable(str(error))
    except UsageError as error:
        return Unreadable(f"{at.uri}: {error}")
    except ValueError as error:
        return Unreadable(f"{at.uri}: no JSON ({error}); restore it, or write it again")
    return dict(content)
