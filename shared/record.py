"""The migration's record in the new bucket: read it, change it, begin it, mend it.

The record is a head and the entries of its history, each an object of its own (`shared.phase` has the picture). A change is
written in two steps: first the head, on condition that its generation is still the one read; that decides between several
programs. Then the new entry, on condition that it does not exist. A reader reads again while the two disagree, and gives up
after a few times. Then a program stopped between the steps, or a part of the record was lost, edited or set back.

- *No change is lost.* `update` applies its pure function again, to the newer state, where another program was faster.
- *No change is made twice.* A write whose answer was lost fails its own repetition. Where the head is what was written, the entry
  is written, too. Else `update` looks whether the newer state holds the entry or run that its own write added. Each entry
  carries the id of its change.
- *Every decision stays on record.* An entry is never changed, and `update` refuses a function that takes one out.
- *A record is never made by the way.* `update` changes a record that exists. Only `begin` makes one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from shared.decision import ABSENT
from shared.errors import ConditionFailed, Contended, PhaseUnknown, UsageError
from shared.json_io import convert, parse_json, shown_value
from shared.migration import LATE_WRITES, Migration
from shared.objects import ObjectRef, ObjectState, crc32c_of
from shared.phase import (
    Phase,
    check_lengths,
    damaged,
    disagreement,
    entry_named,
    entry_ref,
    head_and_phases,
    history_ref,
    listed_history,
    not_begun,
    phase_in,
    settled,
    state_content,
    state_ref,
)
from shared.state import VERSION, HistoryEntry, State, check_folded, utc_text
from shared.state_changes import Stamp, begun
from shared.state_v1 import state_of_version_1
from shared.store import RecordStore
from shared.text import counted

__all__ = [
    "TRIES",
    "Begin",
    "Record",
    "RecordStanding",
    "begin",
    "changeable",
    "not_adopted",
    "read_record",
    "read_state",
    "require_begun",
    "state_from_head",
    "update",
]

TRIES = 30
"""An update gives up after so many attempts. At each of them another program's change was faster."""


class RecordStanding(Enum):
    """How far a migration's record is there."""

    NONE = "none"
    VERSION_1 = "version 1"
    WHOLE = "whole"


@dataclass(frozen=True, slots=True)
class Record:
    """The record as it was read; where there is none, the initial state and 0 as the head's generation."""

    standing: RecordStanding
    state: State
    generation: int

    @property
    def exists(self) -> bool:
        """Whether there is one."""
        return self.standing is not RecordStanding.NONE


def read_record(
    store: RecordStore, migration: Migration, pause: Callable[[float], None] = time.sleep
) -> Record:
    """Read the whole record, strictly; also tells that there is none.

    Args:
        pause: Waits for so many seconds, where another program's change may be under way.

    Raises:
        PhaseUnknown: It is damaged, disagrees with itself, or is another migration's or a newer program's.
        StorageError: It could not be read.
    """

    def read() -> Record:
        listed = listed_history(store, migration)
        return _checked_record(store.read_version(state_ref(migration)), listed, migration)

    return settled(read, pause)


def read_state(
    store: RecordStore, migration: Migration, pause: Callable[[float], None] = time.sleep
) -> State:
    """Read the state of a migration that has begun; also one of version 1. `pause` as in `read_record`.

    Raises:
        PhaseUnknown: There is no record; or as in `read_record`.
        StorageError: It could not be read.
    """
    record = read_record(store, migration, pause)
    if record.standing is RecordStanding.NONE:
        raise not_begun(migration)
    return record.state


def require_begun(store: RecordStore, migration: Migration) -> None:
    """Require that a migration has begun, of any version of the record, before something goes on record.

    Raises:
        UsageError: There is no record.
        PhaseUnknown, StorageError: As in `read_record`.
    """
    if not read_record(store, migration).exists:
        raise UsageError(str(not_begun(migration)))


def changeable(record: Record, migration: Migration) -> State:
    """The state of a record that may be changed, and whose phase allows overwriting and deleting.

    Raises:
        PhaseUnknown: There is no record, or it is of version 1.
    """
    match record.standing:
        case RecordStanding.NONE:
            raise not_begun(migration)
        case RecordStanding.VERSION_1:
            raise not_adopted(migration)
        case RecordStanding.WHOLE:
            return record.state


def state_from_head(contents: bytes, migration: Migration) -> State:
    """Read a head alone, of either version, and check it against its own history.

    Raises:
        PhaseUnknown: It is damaged, contradicts itself, or is another migration's or a newer program's.
    """
    return _state_in(state_content(contents, migration), migration)


def _state_in(content: Mapping[str, Any], migration: Migration) -> State:
    if content.get("version") != 1:
        return State.from_content(content, migration)
    phase_in(content, migration)
    try:
        return state_of_version_1(content)
    except ValueError as error:
        raise damaged(migration, str(error)) from error


def update(
    store: RecordStore,
    migration: Migration,
    change: Callable[[State], State],
    *,
    tries: int = TRIES,
    pause: Callable[[float], None] = time.sleep,
) -> State:
    """Change the state so that no change is lost and none is made twice.

    Args:
        change: Returns the new state, or the same state if there is nothing to change. It must be pure: `update`
            applies it again after each faster change. It checks all that must hold at the moment of the change.

    Returns:
        A state that holds the change; other programs may have changed it since.

    Raises:
        UsageError: `change` raised it: the change does not fit the present state. Nothing is written.
        PhaseUnknown: There is no record, it is of version 1, or as in `read_record`. Nothing is written; only where an
            answer was lost, and another program then changed the record, it may have been.
        Contended: Another program was faster at each attempt.
        StorageError: The record could not be read or written. Without an answer, it may have been written.
        ValueError: `change` breaks a rule above; a fault of the program.
    """
    before = after = None
    for number in range(tries + 1):
        record = read_record(store, migration, pause)
        now = changeable(record, migration)
        if before is not None and after is not None and _holds(now, before, after):
            return now
        if number == tries:  # the last read only checks our own last write, whose answer may be lost
            break
        before, after = now, change(now)
        if after == before:
            return after
        _check_kept(before, after)
        try:
            _write(store, migration, after, record.generation, len(before.history))
        except ConditionFailed:
            continue
        return after
    raise _contended(migration, tries)


def _contended(migration: Migration, tries: int) -> Contended:
    return Contended(
        state_ref(migration).uri,
        f"others changed it during each of {tries} tries; run the same command again",
    )


class Begin(Enum):
    """What `begin` did."""

    BEGUN = "begun"
    ADOPTED = "adopted"
    MENDED = "mended"
    AS_IT_WAS = "as it was"


def begin(
    store: RecordStore,
    migration: Migration,
    stamp: Stamp,
    phase: Phase | None = None,
) -> tuple[Begin, State]:
    """Begin a migration, adopt one of version 1, or mend a record of which a part was lost.

    A whole record stays as it is. Nothing is guessed. A lost entry is written again from
    the head, whose digests prove it. A lost or older head is made again from the entries. The runs of a lost head are lost.

    Args:
        phase: The phase of a migration without any record, or without its head: a person confirms what the entries say.
            None: it begins only where the destination and the migration's own folder are empty, so that nothing shows that it
            was under way.

    Raises:
        UsageError: The phase has to be named first, or is not the record's. Nothing was written.
        PhaseUnknown: What is left of the record contradicts itself. Nothing was written.
        Contended: Another program was faster at each attempt.
        StorageError: It could not be read or written; begin again.
    """
    first: Begin | None = None
    for _ in range(TRIES):
        done, state, generation = _due(store, migration, stamp, phase)
        if done is not Begin.AS_IT_WAS:
            first = first or done
            try:
                _write(store, migration, state, generation, 0)
            except ConditionFailed:  # another program was faster
                continue
        ours = first is Begin.MENDED or any(entry.change == stamp.change for entry in state.history)
        return (first or done) if ours else Begin.AS_IT_WAS, state
    raise _contended(migration, TRIES)


def _due(
    store: RecordStore, migration: Migration, stamp: Stamp, phase: Phase | None
) -> tuple[Begin, State, int]:
    """What there is to do, the state as it should be, and the generation of the head that is there."""
    at = state_ref(migration)
    head = store.read_version(at)
    listed = listed_history(store, migration)
    if head is None and not listed:
        try:
            _check_may_begin(store, migration, phase)
        except UsageError:
            if store.read_version(at) is None:
                raise
            return _due(store, migration, stamp, phase)  # another program has begun it, and copies already
        state = begun(State.initial(migration), phase or Phase.DUAL_WRITE, stamp)
        return Begin.BEGUN, state, ABSENT
    if head is None and store.read_version(at) is not None:
        return _due(store, migration, stamp, phase)  # another program has begun it between the two reads
    done, state = _mended(store, migration, head, listed, stamp)
    if phase not in {None, state.phase}:
        raise UsageError(f"{at.uri}: its phase is {state.phase.value}; a phase is never set by hand")
    if head is None and phase is None:
        # Without the head nothing tells whether the newest entry was lost, too.
        raise UsageError(
            f"{at.uri} is gone. The {counted(len(state.history), 'entry')} beside it end in phase {state.phase.value}, since "
            f"{utc_text(state.history[-1].at)}. If a newer entry may be lost, too, restore it (soft delete or versioning "
            f"keeps it); if not, say so: --phase {state.phase.value}"
        )
    return done, state, ABSENT if head is None else head[0]


def _check_may_begin(store: RecordStore, migration: Migration, phase: Phase | None) -> None:
    """Refuse to begin where a migration may be under way, unless a person names the phase.

    A person can't name the first phase where the migration's own objects prove that there was a cutover.
    """
    if phase not in {None, Phase.DUAL_WRITE}:
        return
    # Runs and their latest results prove nothing: a verification or a dry run may come before the beginning.
    harmless, proof = (
        tuple(migration.own_ref(name, "").name for name in names)
        for names in (("runs", "latest", "reports"), ("deletions", LATE_WRITES, "replaced"))
    )
    own = migration.own_ref("")
    names = [each.name for page in store.list_pages(own.bucket, own.name) for each in page.objects]
    for name in names:
        if name.startswith(proof):
            raise UsageError(
                f"{ObjectRef(own.bucket, name).uri} is there, which only a cutover or what follows it leaves: the record is "
                "lost. Restore it (soft delete or versioning keeps it); or name the phase that holds with "
                "`backfill_job begin`, such as --phase cut_over"
            )
    if phase is not None:
        return
    destination = migration.destination
    there = [name for name in names if not name.startswith(harmless)]
    for page in () if there else store.list_pages(destination.bucket, destination.prefix):
        there += [each.name for each in page.objects]
        if there:
            break
    if there:
        raise UsageError(
            f"{ObjectRef(own.bucket, there[0]).uri} is there, and {state_ref(migration).uri} is not: the migration may be "
            "under way, and its record lost. Restore it (soft delete or versioning keeps it); or name the phase "
            "with `backfill_job begin`: --phase dual_write where the legacy path is still the source of truth, and "
            "what differs at the new path may be overwritten; --phase cut_over after a cutover"
        )


def _mended(
    store: RecordStore,
    migration: Migration,
    head: tuple[int, bytes] | None,
    listed: Sequence[ObjectState],
    stamp: Stamp,
) -> tuple[Begin, State]:
    """What the record should be, from all that is left of it."""
    state = None if head is None else state_from_head(head[1], migration)
    if state is not None and state.version == 1:
        if listed:
            raise disagreement(
                migration, "the head was set back to version 1; restore the newest version of it"
            )
        state = replace(state, version=VERSION)
        return Begin.ADOPTED, begun(state, state.phase, stamp, "adopted from version 1")
    there = _entries(store, migration, listed)
    told = {} if state is None else dict(enumerate(state.history, 1))
    known = {**{number: entry for number, (_, entry, _) in there.items()}, **told}
    missing = [number for number in range(1, max(known) + 1) if number not in known]
    if missing:
        name = next(name for number, (name, _, _) in sorted(there.items()) if number > missing[0])
        raise disagreement(
            migration,
            f"entry {missing[0]} of the history is in neither, and history/{name} is there; restore the one, or remove the "
            "other where it was added",
        )
    whole = replace(state or State.initial(migration), history=())
    for number, entry in sorted(known.items()):
        whole = whole.with_entry(entry)
        proven = whole.entry_bytes(entry)
        name, found, contents = there.get(number, ("", entry, proven))
        if whole.history[-1] != entry or contents != proven:
            said = (
                f"{shown_value(found.what)}, and {shown_value(entry.what)} in the head"
                if number in told
                else "no other"
            )
            raise disagreement(
                migration,
                f"{history_ref(migration).uri}{name} is not the entry that the rest of the record proves (it says {said}). "
                "Restore it or the head, whichever was changed; where the head is right, remove it, and begin again",
            )
    try:
        check_folded(whole)
    except ValueError as error:
        raise disagreement(migration, str(error)) from error
    as_it_was = whole == state and there.keys() == told.keys()
    return Begin.AS_IT_WAS if as_it_was else Begin.MENDED, whole


def _entries(
    store: RecordStore, migration: Migration, listed: Sequence[ObjectState]
) -> dict[int, tuple[str, HistoryEntry, bytes]]:
    """The entries that have objects, by their numbers; each with name and contents of its object."""
    found: dict[int, tuple[str, HistoryEntry, bytes]] = {}
    for each in listed:
        at = ObjectRef(history_ref(migration).bucket, each.name)
        number, phase = entry_named(each, migration)
        if number in found:
            raise disagreement(
                migration,
                f"{at.uri} and {found[number][0]} are there, and one entry {number} can be; remove the one that was added",
            )
        contents = (store.read_version(at) or (ABSENT, b""))[1]
        try:
            entry = _entry(contents, migration)
        except ValueError as error:
            raise disagreement(
                migration,
                f"{at.uri} is not an entry of this migration ({error}); restore it. Where the head is right, remove it, "
                "and begin again",
            ) from error
        if entry.phase is not phase:
            raise disagreement(migration, f"{at.uri} holds the entry of another name; remove it")
        found[number] = each.name.removeprefix(history_ref(migration).name), entry, contents
    return found


def _entry(contents: bytes, migration: Migration) -> HistoryEntry:
    """Read the contents of an entry's object."""
    content = parse_json(contents)
    if not isinstance(content, Mapping):
        raise ValueError("not a JSON object")  # noqa: TRY004 -- of the file, not of the program
    ours = {"source": migration.source.uri, "destination": migration.destination.uri}
    for key, uri in ours.items():
        if content.get(key) != uri:
            raise ValueError(f"its {key} is not {uri}")
    fields = {key: value for key, value in content.items() if key not in ours}
    return convert(HistoryEntry, fields, HistoryEntry.content)


def _checked_record(
    head: tuple[int, bytes] | None, listed: Sequence[ObjectState], migration: Migration
) -> Record:
    """The record, where head and history agree."""
    if head is None and not listed:
        return Record(RecordStanding.NONE, State.initial(migration), ABSENT)
    generation, contents = head or (ABSENT, None)
    content, phases = head_and_phases(contents, listed, migration)
    state = _state_in(content, migration)
    if state.version == 1:
        return Record(RecordStanding.VERSION_1, state, generation)
    check_lengths(len(state.history), len(phases), migration)
    for number, (entry, phase, each) in enumerate(zip(state.history, phases, listed, strict=True), 1):
        contents = state.entry_bytes(entry)
        if entry.phase is not phase or each.crc32c != crc32c_of(contents):
            raise disagreement(migration, f"entry {number} of the history is not what the head tells")
    return Record(RecordStanding.WHOLE, state, generation)


def _write(store: RecordStore, migration: Migration, state: State, generation: int, kept: int) -> None:
    """Write the head, then the entries after the first `kept`.

    Raises:
        ConditionFailed: Another program changed the head. Nothing was written; or it was, and is changed again by now.
        PhaseUnknown: The head was written, and another change has the entry's place: the head had been set back.
        StorageError: The record may be half written; `begin` completes it.
        ValueError: No program could read it again, so nothing was written.
    """
    head = state.to_json()
    try:
        State.from_content(parse_json(head), migration)
    except PhaseUnknown as error:
        raise ValueError(f"a state that cannot be read back: {error.detail}") from error
    try:
        store.write(state_ref(migration), head, if_generation=generation)
    except ConditionFailed:
        found = store.read_version(state_ref(migration))
        if found is None or found[1] != head:  # else it is our own write, repeated after a lost answer
            raise
    for number, entry in enumerate(state.history[kept:], kept + 1):
        at, contents = entry_ref(migration, number, entry.phase), state.entry_bytes(entry)
        try:
            store.write(at, contents, if_generation=ABSENT)
        except ConditionFailed:
            found = store.read_version(at)
            if found is None or found[1] != contents:  # else it is our own, repeated, or a mended one
                raise disagreement(
                    migration, f"entry {number} of the history is not what the head tells"
                ) from None


def _holds(now: State, before: State, after: State) -> bool:
    """Tell whether the present state has what a write added to `before`."""
    added = {entry.change for entry in after.history} - {entry.change for entry in before.history}
    return added <= {entry.change for entry in now.history} and set(after.runs) - set(before.runs) <= set(
        now.runs
    )


def _check_kept(before: State, after: State) -> None:
    if after.history[: len(before.history)] != before.history:
        raise ValueError("a change must keep the state's history")
    if after.history == before.history and set(after.runs) <= set(before.runs):
        raise ValueError("a change must leave an entry in the state's history, or a run")
    if len({entry.change for entry in after.history}) < len(after.history):
        raise ValueError("each change needs an id of its own")


def not_adopted(migration: Migration) -> PhaseUnknown:
    """The error for a record of version 1, which only `begin` takes over."""
    return PhaseUnknown(
        state_ref(migration).uri,
        "the migration's record was written by an older program (version 1), which kept no history beside it; "
        "`backfill_job begin` for this migration adopts it first",
    )
