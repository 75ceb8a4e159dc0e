"""Where the migration stands: the phase, as the record in the new bucket gives it.

The record lies beside the migrated prefix, so no consumer's glob matches it::

    gs://<new bucket>/_migration/<name>/state.json                       the head: the whole state
                                       /history/00000001-dual_write.json  the first entry of the history
                                       /history/00000002-cut_over.json    the second; its name has the phase that holds since

An entry is created once and never changed, so one listing of the history gives the phase. The head gives it, too, and the two
must agree. So one object that is lost, edited or restored to an older version cannot set the phase back. The record
disagrees with itself then, and whatever overwrites or deletes stops. **Absence is never a phase:** without a record nothing is done.

The mirror reads only what this module checks, even if the rest of the head is damaged. Which side wins depends on the phase
alone, and a mirror that stopped over a damaged sign-off would lose events without need. So ``phase`` and ``history`` keep their
names and their meaning in every future version of the head. The operator's commands read all of it, strictly: `shared.record`.
"""

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from threading import Lock
from typing import Any, TypeVar

from shared.decision import Authority
from shared.erasures import Erasures, erasures_on_record
from shared.errors import PhaseUnknown
from shared.json_io import parse_json, shown_value
from shared.migration import Migration
from shared.objects import ObjectRef, ObjectState, parse_time, time_text
from shared.store import ListingStore, RecordStore
from shared.text import counted

__all__ = [
    "CACHE_SECONDS",
    "DELETION_BEGUN",
    "PAUSES",
    "VERSION_1_CHANGE",
    "HeadAhead",
    "Phase",
    "PhaseReader",
    "Recorded",
    "check_lengths",
    "damaged",
    "disagreement",
    "entry_name",
    "entry_named",
    "entry_ref",
    "head_and_phases",
    "history_ref",
    "listed_history",
    "not_begun",
    "phase_in",
    "phases_of",
    "read_phase",
    "recorded",
    "settled",
    "state_content",
    "state_ref",
]

_Value = TypeVar("_Value")

CACHE_SECONDS = 10.0
"""How long a mirror may use a phase that it has read. A cutover waits this long before it reports success."""

PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Seconds before each further read where the head is ahead of the history: a change writes one after the other."""

VERSION_1_CHANGE = r"phase (?P<was>[a-z_]+) to (?P<to>[a-z_]+)"
"""How version 1 told of a change of the phase."""

_ENTRY = re.compile(r"([0-9]{8})-([a-z_]+)\.json")


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
        return self is Phase.DUAL_WRITE or self is Phase.ROLLED_BACK

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


DELETION_BEGUN = frozenset({Phase.DELETING, Phase.DELETED})
"""The phases from which no cutover leads on: the legacy path is not complete any more."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the record says.

    Attributes:
        entries: How many entries the history has; 0 for a record of version 1, which has its history in the head alone.
        served: A moment at which this was so, by Cloud Storage's clock; None where no answer carried its time.
        proven_at: When the newest full comparison began that found both sides equal since the side decides that decides now;
            RFC 3339. None where there is none, or it cannot be told. `shared.decision.was_erased` says what it is for.
        erased: As `shared.erasures.Erasures.by_name`.
        first_cutover: When the first cutover was; aware. None where there was none, or there may have been one before. No client
            wrote at the new path before it.
    """

    phase: Phase
    entries: int
    served: datetime | None = None
    proven_at: str | None = None
    erased: Mapping[str, str] = field(default_factory=dict, hash=False)
    first_cutover: datetime | None = None


def state_ref(migration: Migration) -> ObjectRef:
    """The head of a migration's record."""
    return migration.own_ref("state.json")


def history_ref(migration: Migration) -> ObjectRef:
    """The folder of the entries of the history."""
    return migration.own_ref("history", "")


def entry_name(number: int, phase: Phase) -> str:
    """The file name of an entry; the first has the number 1."""
    return f"{number:08}-{phase.value}.json"


def entry_ref(migration: Migration, number: int, phase: Phase) -> ObjectRef:
    """The object of an entry of the history."""
    return migration.own_ref("history", entry_name(number, phase))


class HeadAhead(PhaseUnknown):
    """The head tells of more entries than the history has: a change is under way, stopped half way, or an entry is lost."""


def settled(read: Callable[[], _Value], pause: Callable[[float], None]) -> _Value:
    """Read the record, and again after a pause while a change seems to be under way.

    Raises:
        PhaseUnknown: As `read` does; `HeadAhead` only where it lasts.
    """
    for seconds in PAUSES:
        try:
            return read()
        except HeadAhead:
            pause(seconds)
    return read()


def read_phase(
    store: RecordStore, migration: Migration, pause: Callable[[float], None] = time.sleep
) -> Recorded:
    """Read the phase: one listing of the history, then one read of the head.

    `Recorded.served` is the time of the listing's own answer. The newest answer of another thread may be later
    than the listing. Between the two the phase may have changed, and the head may have been set back.

    Raises:
        PhaseUnknown: There is no record, or it is damaged, disagrees with itself, or is another migration's. The reader
            never guesses a phase.
        StorageError: The record could not be read.
    """

    def read() -> Recorded:
        listed = listed_history(store, migration)
        served = store.server_time.newest_here()
        contents = store.read(state_ref(migration))
        return replace(recorded(contents, listed, migration), served=served)

    return settled(read, pause)


def listed_history(store: ListingStore, migration: Migration) -> list[ObjectState]:
    """The objects of the history, in the order of their numbers."""
    folder = history_ref(migration)
    return [each for page in store.list_pages(folder.bucket, folder.name) for each in page.objects]


def recorded(contents: bytes | None, listed: Sequence[ObjectState], migration: Migration) -> Recorded:
    """What head and history say together. Raises `PhaseUnknown` as in `read_phase`."""
    if contents is None and not listed:
        raise not_begun(migration)
    content, phases = head_and_phases(contents, listed, migration)
    head, entries = phase_in(content, migration), content.get("history")
    if content.get("version") == 1:
        _check_version_1(head, entries, migration)
        return Recorded(head, 0)
    if not isinstance(entries, list):
        raise damaged(migration, f"its history is {shown_value(entries)}")
    check_lengths(len(entries), len(phases), migration)
    if head is not phases[-1]:
        raise disagreement(
            migration, f"the head says {head.value}, and the last entry of the history {phases[-1].value}"
        )
    return Recorded(
        head,
        len(phases),
        proven_at=_proven_at(entries, migration),
        erased=erasures_on_record(entries),
        first_cutover=_first_cutover(entries),
    )


def head_and_phases(
    contents: bytes | None, listed: Sequence[ObjectState], migration: Migration
) -> tuple[dict[str, Any], list[Phase]]:
    """The fields of the head, and the phase after each entry of the history.

    Raises:
        PhaseUnknown: The head is gone or cannot be read, or has version 1 beside a history; or as in `phases_of`.
    """
    phases = phases_of(listed, migration)
    if contents is None:
        raise disagreement(
            migration, f"the history has {counted(len(phases), 'entry')}, and the head is gone"
        )
    content = state_content(contents, migration)
    if content.get("version") == 1 and phases:
        raise disagreement(
            migration, f"the head has version 1, and the history has {counted(len(phases), 'entry')}"
        )
    return content, phases


def _proven_at(history: Sequence[Any], migration: Migration) -> str | None:
    """`Recorded.proven_at` from the entries of a head; never raises, because the mirror must not stop over such an entry.

    A comparison that left out names which this migration does not leave out says nothing about those names, so it does not
    count. The phases ``cut_over``, ``deleting`` and ``deleted`` are one here: the new path decides in all of them.
    """
    entries = [each if isinstance(each, Mapping) else {} for each in history]
    decides = [_new_path_decides(each) for each in entries]
    since = max(
        (
            number
            for number, each in enumerate(entries)
            if each.get("kind") == "begun" or number == 0 or decides[number] is not decides[number - 1]
        ),
        default=0,
    )
    begun = {each.get("change") for each in entries[since:] if each.get("kind") == "comparing"}
    found = (_equal_since(each.get("comparison"), begun, migration) for each in entries[since:])
    return max(filter(None, found), default=None)


def _first_cutover(history: Sequence[Any]) -> datetime | None:
    """`Recorded.first_cutover` from the entries of a head; never raises, as `_proven_at` does not."""
    try:
        number, first = next(
            each for each in enumerate(history) if each[1]["phase"] != Phase.DUAL_WRITE.value
        )
        known = number > 0 and first["kind"] == "phase" and first["phase"] == Phase.CUT_OVER.value
        return parse_time(first["at"]) if known else None
    except (StopIteration, KeyError, TypeError, ValueError, OverflowError):
        return None


def _new_path_decides(entry: Mapping[str, Any]) -> bool | None:
    name = entry.get("phase")
    return next((not phase.before_cutover for phase in Phase if phase.value == name), None)


def _equal_since(comparison: Any, begun: set[Any], migration: Migration) -> str | None:
    """When a comparison began, if it found both sides equal and is one of those that had `begun`."""
    try:
        equal = comparison["wrong"] == 0 < comparison["compared"] and comparison["begun"] in begun
        covers = set(comparison["excludes"]) <= set(migration.excludes)
        return time_text(parse_time(comparison["began"])) if equal and covers else None
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def _check_version_1(head: Phase, history: object, migration: Migration) -> None:
    """Check a phase of version 1 against the sentences of its own history, as far as they can be read."""
    entries = history if isinstance(history, list) else []
    sentences = (str(each.get("what")) for each in entries if isinstance(each, dict))
    changes = [found["to"] for each in sentences if (found := re.match(VERSION_1_CHANGE, each))]
    if changes and head.value != changes[-1]:
        raise damaged(migration, f"phase is {head.value}, and its own history ends in {changes[-1]}")


def check_lengths(told: int, listed: int, migration: Migration) -> None:
    """Check that the head tells of as many entries as the history has.

    Raises:
        PhaseUnknown: It does not; `HeadAhead` where it tells of more.
    """
    if told == listed and told:
        return
    error = disagreement(migration, f"the head tells of {told} entries, and the history has {listed}")
    raise HeadAhead(error.uri, error.detail) if told > listed else error


def phases_of(listed: Sequence[ObjectState], migration: Migration) -> list[Phase]:
    """The phase after each entry of the history, by the entries' names.

    Raises:
        PhaseUnknown: A number is missing or stands there twice, or a name is not an entry's.
    """
    phases: list[Phase] = []
    for each in listed:
        number, phase = entry_named(each, migration)
        if number != len(phases) + 1:
            name = each.name.removeprefix(history_ref(migration).name)
            if number <= len(phases):
                raise disagreement(migration, f"history/{name} is there, and another entry {number} is, too")
            raise disagreement(
                migration, f"entry {len(phases) + 1} of the history is not there, and {name} is"
            )
        phases.append(phase)
    return phases


def entry_named(listed: ObjectState, migration: Migration) -> tuple[int, Phase]:
    """The number of an entry and the phase after it, by its object's name.

    Raises:
        PhaseUnknown: The name is not an entry's.
    """
    name = listed.name.removeprefix(history_ref(migration).name)
    found = _ENTRY.fullmatch(name)
    for phase in Phase:
        if found is not None and found[2] == phase.value and int(found[1]):
            return int(found[1]), phase
    raise disagreement(
        migration, f"history/{name} is not an entry of the history; remove it, or keep it elsewhere"
    )


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
    """The error for a damaged head: `what` is wrong, and what to do."""
    return PhaseUnknown(
        state_ref(migration).uri,
        f"not a migration's state: {what}; restore the version before (soft delete or versioning keeps it), "
        "or ask who changed it. Or remove it where history/ beside it is whole: `backfill_job begin` makes it again",
    )


def disagreement(migration: Migration, what: str) -> PhaseUnknown:
    """The error for a record of which a part is lost or was changed: `what` is wrong, and what to do."""
    return PhaseUnknown(
        state_ref(migration).uri,
        f"the migration's record is not whole: {what}. Nothing is overwritten or deleted until it is. "
        "`backfill_job begin` for this migration mends it from what is left, or says which object to restore "
        "(soft delete or versioning keeps it)",
    )


def not_begun(migration: Migration) -> PhaseUnknown:
    """The error for a migration without any record."""
    return PhaseUnknown(
        state_ref(migration).uri,
        "there is no record of this migration, so nothing is overwritten or deleted. If it is new, "
        "`backfill_job begin` begins it. If it was under way, its record is lost: restore _migration/ "
        "(soft delete or versioning keeps it)",
    )


class PhaseReader:
    """Reads the phase, at most once every `CACHE_SECONDS`; any number of threads may use it.

    A phase counts as old by two clocks, and the larger age counts. The local clock stands still while a laptop sleeps. So
    the second clock is Cloud Storage's: the time of the newest answer less the time at which the phase was so. The newest
    answer is not older than the look for which the phase is asked.

    Args:
        store: Shares its `ServerTime` with every client whose looks the phase is for.
        pause: Waits while a change of the record is under way; takes seconds.
    """

    def __init__(
        self,
        store: RecordStore,
        migration: Migration,
        monotonic: Callable[[], float],
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._pause = pause
        self._store = store
        self._migration = migration
        self._monotonic = monotonic
        self._read: tuple[float, Recorded] | None = None
        self._last = Recorded(Phase.DUAL_WRITE, 0)
        self._erasures: tuple[Recorded, bool, Erasures] | None = None
        self._reading = Lock()

    def phase(self) -> Phase:
        """The phase, at most `CACHE_SECONDS` old.

        Raises:
            PhaseUnknown: As in `read_phase`; or the record is older than one that was read before.
            StorageError: The phase had to be read, and the read failed.
        """
        return self._now().phase

    def known(self) -> Phase | None:
        """The phase as read at most `CACHE_SECONDS` ago; None if it has to be read. Never waits."""
        found = self._fresh()
        return None if found is None else found.phase

    def known_with_erasures(self, *, reverse: bool) -> tuple[Phase, Erasures] | None:
        """What `phase` and `erasures` say by one look at what is known; None if it has to be read. Never waits."""
        found = self._fresh()
        return None if found is None else (found.phase, self._erasures_of(found, reverse=reverse))

    def erasures(self, *, reverse: bool) -> Erasures:
        """Since when an absence at a way's destination is an erasure; `reverse` for the way to the legacy path. Raises as `phase`."""
        return self.with_erasures(reverse=reverse)[1]

    def with_erasures(self, *, reverse: bool) -> tuple[Phase, Erasures]:
        """`phase` and `erasures`, of one look. Raises as `phase`."""
        found = self._now()
        return found.phase, self._erasures_of(found, reverse=reverse)

    def first_cutover(self) -> datetime | None:
        """`Recorded.first_cutover`. Raises as `phase`."""
        return self._now().first_cutover

    def _fresh(self) -> Recorded | None:
        """What was read at most `CACHE_SECONDS` ago."""
        read = self._read
        return None if read is None or self._age(*read) >= CACHE_SECONDS else read[1]

    def _now(self) -> Recorded:
        if (known := self._fresh()) is not None:
            return known
        with self._reading:  # one thread reads, the others use its result
            return self._fresh() or self._read_anew()

    def _erasures_of(self, found: Recorded, *, reverse: bool) -> Erasures:
        made = self._erasures  # made once for each read, because a run asks for every object
        if made is None or made[0] is not found or made[1] is not reverse:
            decides = found.phase.before_cutover is reverse
            erasures = Erasures(found.proven_at if decides else None, found.erased)
            self._erasures = made = (found, reverse, erasures)
        return made[2]

    def _age(self, began: float, found: Recorded) -> float:
        local, newest = self._monotonic() - began, self._store.server_time.newest()
        if newest is None:
            return local
        if found.served is None:  # the answers carry their time since then only
            return CACHE_SECONDS
        return max(local, (newest - found.served).total_seconds())

    def _read_anew(self) -> Recorded:
        # The age counts from before the read: the answer may be as old as the request.
        now = self._monotonic()
        found = read_phase(self._store, self._migration, self._pause)
        last = self._last
        if found.entries < last.entries or (found.entries == last.entries > 0 and found.phase != last.phase):
            raise disagreement(
                self._migration,
                f"it has {found.entries} entries and the phase {found.phase.value}, and {last.entries} entries and "
                f"the phase {last.phase.value} were read before: it was set back",
            )
        self._last = found
        self._read = (now, found)
        return found
