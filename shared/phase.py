"""Where the migration stands: the phase in the state object, which every part reads.

``gs://<new bucket>/_migration/<name>/state.json`` is the only state that the parts share. It lies outside the migrated
prefix, so no consumer's glob matches it. Without it the migration is in its first phase.

This module checks what every reader of the state needs: one unambiguous JSON object, of this migration, with a known
``phase``. The mirror reads only that, even if the rest is damaged. Which side wins depends on the phase
alone, and a mirror that stopped over a damaged sign-off would lose events without need. So ``phase`` keeps its name and its
meaning in every future version of the form. The operator's commands change the state, so they read all of it, strictly:
`shared.state`.
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
"""How long a mirror may use a phase that it has read. A cutover waits this long before it reports success."""


class Phase(Enum):
    """Where the migration stands."""

    DUAL_WRITE = "dual_write"
    CUT_OVER = "cut_over"
    ROLLED_BACK = "rolled_back"
    DELETING = "deleting"
    DELETED = "deleted"

    @property
    def before_cutover(self) -> bool:
        """Whether a cutover lies ahead: the legacy path is the source of truth, and the mirror copies its new objects."""
        return self in {Phase.DUAL_WRITE, Phase.ROLLED_BACK}

    @property
    def forward_authority(self) -> Authority:
        """Which side wins in forward replication (legacy path to new path).

        The legacy path before the cutover, the new path after it. After a rollback the later write: late writers still
        use the new path, and an older version must not overwrite their writes.
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
        """Which side wins in reverse replication (new path to legacy path); None in phases without reverse replication.

        After the cutover the later write, because late writers still use the legacy path; so a rollback loses nothing.
        After a rollback late writers use the new path: the mirror copies back what they create, and overwrites nothing.
        """
        return {Phase.CUT_OVER: Authority.LATER_WRITE, Phase.ROLLED_BACK: Authority.DESTINATION}.get(self)


class StateStore(Protocol):
    """Reads small objects as a whole."""

    def read(self, at: ObjectRef) -> bytes | None:
        """Read an object's contents.

        Returns:
            Its bytes; None only if the bucket exists and the object does not.

        Raises:
            StorageError: Anything else.
        """
        ...


def state_ref(migration: Migration) -> ObjectRef:
    """The object that holds a migration's state."""
    return migration.own_ref("state.json")


def read_phase(store: StateStore, migration: Migration) -> Phase:
    """Read the phase, and nothing else of the state.

    Returns:
        The phase; `Phase.DUAL_WRITE` when there is no state object yet.

    Raises:
        PhaseUnknown: The state is damaged, or another migration's. The reader never guesses a phase.
        StorageError: The state could not be read.
    """
    contents = store.read(state_ref(migration))
    if contents is None:
        return Phase.DUAL_WRITE
    return phase_in(state_content(contents, migration), migration)


def state_content(contents: bytes, migration: Migration) -> dict[str, Any]:
    """Parse the state object's contents as far as all versions of the form agree.

    Returns:
        Its fields; only ``source`` and ``destination`` are checked, and they may be missing.

    Raises:
        PhaseUnknown: The contents are not an unambiguous JSON object, or another migration's state.
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
    """Get the phase from a state's fields.

    Raises:
        PhaseUnknown: The phase is missing, or this program does not know it.
    """
    name = content.get("phase")
    for phase in Phase:
        if phase.value == name:
            return phase
    raise damaged(migration, f"phase is {shown_value(name)}" if "phase" in content else "it names no phase")


def damaged(migration: Migration, what: str) -> PhaseUnknown:
    """The error for a damaged state: `what` is wrong, and what to do."""
    return PhaseUnknown(
        state_ref(migration).uri,
        f"not a migration's state: {what}; restore the version before (soft delete or versioning keeps it), "
        "or ask who changed it",
    )


class PhaseReader:
    """Reads the phase, at most once every `CACHE_SECONDS`; any number of threads may use it.

    Args:
        monotonic: A clock in seconds that never goes back.
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
            StorageError: The phase had to be read, and the read failed.
        """
        return self.known() or self._known_or_read()

    def known(self) -> Phase | None:
        """The phase as read at most `CACHE_SECONDS` ago; None if it has to be read. Never waits."""
        read = self._read
        if read is None or self._monotonic() - read[0] >= CACHE_SECONDS:
            return None
        return read[1]

    def _known_or_read(self) -> Phase:
        with self._reading:  # one thread reads, the others use its result
            return self.known() or self._read_anew()

    def _read_anew(self) -> Phase:
        # The age counts from before the read: the answer may be as old as the request.
        now = self._monotonic()
        phase = read_phase(self._store, self._migration)
        self._read = (now, phase)
        return phase
