"""Where the migration stands, as everybody reads it: the phase in the state object.

``gs://<new bucket>/_migration/<name>/state.json`` is the only state that the parts share. It lies outside the migrated
prefix, so that no consumer's glob sees it. Without it the migration is in its first phase.

Here is what every reader of the state's form has in common: it is one JSON object, unambiguous, of this migration, and its
``phase`` is one of the known ones. The mirror reads no more than that, and reads it whatever else is damaged: whose word
counts depends on the phase alone, and a mirror that stopped over a spoilt sign-off would lose events for nothing. So
``phase`` keeps its name and its meaning in every future version of the form. The operator's commands change the state
and therefore read all of it, strictly: `shared.state`.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from threading import Lock
from typing import Any, Protocol

from shared.decision import Authority
from shared.errors import PhaseUnknown
from shared.json_io import parse_json, shown_value
from shared.migration import Migration
from shared.objects import ObjectRef

__all__ = [
    "CACHE_SECONDS",
    "Phase",
    "PhaseReader",
    "StateStore",
    "damaged",
    "phase_in",
    "read_phase",
    "state_content",
    "state_ref",
]

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
    def before_cutover(self) -> bool:
        """Whether a cutover lies ahead: the legacy path counts, and the mirror brings what is written there."""
        return self in {Phase.DUAL_WRITE, Phase.ROLLED_BACK}

    @property
    def forward_authority(self) -> Authority:
        """Whose word counts in forward replication (legacy path to new path).

        The legacy path's before the cutover, the new path's after it. After a rollback the later write: late writers
        still use the new path, and what they wrote there must not be overwritten by something older.
        """
        match self:
            case Phase.DUAL_WRITE:
                return Authority.SOURCE
            case Phase.ROLLED_BACK:
                return Authority.LATER_WRITE
            case _:
                return Authority.DESTINATION

    @property
    def reverse_authority(self) -> Authority | None:
        """Whose word counts in reverse replication (new path to legacy path); None where nothing is replicated back.

        After the cutover, so that a rollback loses nothing: the later write, because late writers still use the legacy
        path. After a rollback late writers use the new path: what they create is brought back, nothing is overwritten.
        """
        return {Phase.CUT_OVER: Authority.LATER_WRITE, Phase.ROLLED_BACK: Authority.DESTINATION}.get(self)


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
    """Read the phase, whatever else the state holds.

    Returns:
        The phase; `Phase.DUAL_WRITE` when there is no state object yet.

    Raises:
        PhaseUnknown: It is not what it should be. That is never taken for a phase.
        StorageError: It could not be read.
    """
    contents = store.read(state_ref(migration))
    if contents is None:
        return Phase.DUAL_WRITE
    return phase_in(state_content(contents, migration), migration)


def state_content(contents: bytes, migration: Migration) -> dict[str, Any]:
    """Take the state object's contents for what every version of its form is.

    Args:
        contents: What lies there.
        migration: Whose state it should be.

    Returns:
        Its fields; only ``source`` and ``destination`` have been looked at, and they may be missing.

    Raises:
        PhaseUnknown: It is no unambiguous JSON object, or another migration's state.
    """
    try:
        content = parse_json(contents)
    except ValueError as error:
        raise damaged(migration, f"no JSON ({error})") from error
    if not isinstance(content, dict):
        raise damaged(migration, f"{shown_value(content)} where an object was expected")
    for key, ours in (("source", migration.source.uri), ("destination", migration.destination.uri)):
        if content.get(key, ours) != ours:
            raise PhaseUnknown(
                state_ref(migration).uri,
                f"the state of another migration: its {key} is {shown_value(content[key])}, this one's is {ours}; "
                "check --source and --destination, or restore this migration's state",
            )
    return content


def phase_in(content: Mapping[str, Any], migration: Migration) -> Phase:
    """Give the phase that a state's fields name.

    Raises:
        PhaseUnknown: They name none, or one that this program does not know.
    """
    name = content.get("phase")
    for phase in Phase:
        if phase.value == name:
            return phase
    raise damaged(migration, f"phase is {shown_value(name)}" if "phase" in content else "it names no phase")


def damaged(migration: Migration, what: str) -> PhaseUnknown:
    """Say that a state is not what it should be, and what to do.

    Args:
        migration: Whose state.
        what: What is wrong with it.

    Returns:
        The error to raise.
    """
    return PhaseUnknown(
        state_ref(migration).uri,
        f"not a migration's state: {what}; restore the version before (soft delete or versioning keeps it), "
        "or ask who changed it",
    )


class PhaseReader:
    """Reads the phase, at most once every `CACHE_SECONDS`; for any number of threads.

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
        self._reading = Lock()

    def phase(self) -> Phase:
        """The phase, at most `CACHE_SECONDS` old.

        Raises:
            StorageError: It had to be read and could not be.
        """
        return self.known() or self._known_or_read()

    def known(self) -> Phase | None:
        """The phase as it was read at most `CACHE_SECONDS` ago; None where it would have to be read. Never waits."""
        read = self._read
        if read is None or self._monotonic() - read[0] >= CACHE_SECONDS:
            return None
        return read[1]

    def _known_or_read(self) -> Phase:
        with self._reading:  # one reads, the others take what it found
            return self.known() or self._read_anew()

    def _read_anew(self) -> Phase:
        # The age counts from before the read: what is read may be as old as the moment it was asked for.
        now = self._monotonic()
        phase = read_phase(self._store, self._migration)
        self._read = (now, phase)
        return phase
