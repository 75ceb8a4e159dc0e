"""Where the migration stands, as everybody reads it: the phase in the state object.

``gs://<new bucket>/_migration/<name>/state.json`` is the only state that the parts share. It lies outside the migrated
prefix, so that no consumer's glob sees it. Without it the migration is in its first phase.
"""

import json
from collections.abc import Callable
from enum import Enum
from typing import Protocol

from shared.decision import Authority
from shared.errors import PhaseUnknown
from shared.migration import Migration
from shared.objects import ObjectRef

__all__ = ["CACHE_SECONDS", "Phase", "PhaseReader", "StateStore", "read_phase", "state_ref"]

CACHE_SECONDS = 10.0
"""How long a mirror may go on with a phase it has read. A cutover waits this out before it reports success."""


class Phase(Enum):
    """Where the migration stands."""

    DUAL_WRITE = "dual_write"
    CUT_OVER = "cut_over"
    ROLLED_BACK = "rolled_back"
    DELETING = "deleting"
    DELETED = "deleted"

    @property
    def forward_authority(self) -> Authority:
        """Whose word counts in forward replication: the legacy path's before the cutover, the new path's after it."""
        if self in {Phase.DUAL_WRITE, Phase.ROLLED_BACK}:
            return Authority.SOURCE
        return Authority.DESTINATION


class StateStore(Protocol):
    """Reading small objects as a whole."""

    def read(self, at: ObjectRef) -> bytes | None:
        """Read an object's contents.

        Returns:
            Its bytes; None only when the bucket is there and has no such object.

        Raises:
            StorageError: Anything else.
        """
        ...


def state_ref(migration: Migration) -> ObjectRef:
    """Where a migration's state lies."""
    return migration.own_ref("state.json")


def read_phase(store: StateStore, migration: Migration) -> Phase:
    """Read the phase.

    Returns:
        The phase; `Phase.DUAL_WRITE` when there is no state object yet.

    Raises:
        PhaseUnknown: It is not what it should be. That is never taken for a phase.
        StorageError: It could not be read.
    """
    at = state_ref(migration)
    text = store.read(at)
    if text is None:
        return Phase.DUAL_WRITE
    try:
        return Phase(json.loads(text)["phase"])
    except (ValueError, KeyError, TypeError) as error:
        raise PhaseUnknown(
            at.uri, f"not a migration's state ({error!r}); restore it, or ask who changed it"
        ) from error


class PhaseReader:
    """Reads the phase, at most once every `CACHE_SECONDS`.

    Args:
        store: Where the state lies.
        migration: Whose state.
        monotonic: Seconds that only grow.
    """

    def __init__(self, store: StateStore, migration: Migration, monotonic: Callable[[], float]) -> None:
        self._store = store
        self._migration = migration
        self._monotonic = monotonic
        self._read: tuple[float, Phase] | None = None

    def phase(self) -> Phase:
        """The phase, at most `CACHE_SECONDS` old.

        Raises:
            StorageError: It had to be read and could not be.
        """
        now = self._monotonic()
        if self._read is None or now - self._read[0] >= CACHE_SECONDS:
            # The age counts from before the read: what is read may be as old as the moment it was asked for.
            self._read = (now, read_phase(self._store, self._migration))
        return self._read[1]
