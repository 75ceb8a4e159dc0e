"""A record of which an object is lost, edited, set back or doubled: what readers refuse, and what `begin` mends.

The promise: one such fault never sets the phase back. A reader gives the newest phase, or refuses. Two faults: see below.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_makers import (
    HEAD,
    INITIAL,
    MIGRATION,
    OWN,
    MemoryStore,
    chains,
    in_phase,
    no_pause,
    objects_of,
    run_record,
    stamp,
)
from testing_paths import Paths

from shared.errors import PhaseUnknown, UsageError
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.objects import ObjectRef
from shared.phase import Phase, PhaseReader, entry_name, read_phase
from shared.record import Begin, RecordStanding, begin, changeable, read_record, read_state, update
from shared.state import Signatory, State
from shared.state_changes import sign_off, with_phase, with_run

HISTORY = f"{OWN}history/"


@dataclass(frozen=True)
class Fault:
    """One object of a record that is not what it was."""

    what: str
    name: str
    states: list[State]
    objects: dict[str, bytes]

    @property
    def newest(self) -> State:
        return self.states[-1]

    @property
    def store(self) -> MemoryStore:
        return MemoryStore(self.objects)


def edited(draw: st.DrawFn, data: bytes) -> bytes:
    """Contents of which some field is another, or which are something else."""
    content: Any = json.loads(data)
    inner = content
    while True:
        key = draw(st.sampled_from(list(inner) if isinstance(inner, dict) else range(len(inner))))
        if not (isinstance(inner[key], dict | list) and inner[key] and draw(st.booleans())):
            break
        inner = inner[key]
    others = [phase.value for phase in Phase] + [None, 1, 2, "", "Bob", "2025-03-01T08:30:00Z", []]
    match draw(st.sampled_from(["set", "set", "out", "bytes"])):
        case "set":
            inner[key] = draw(st.sampled_from(others))
        case "out":
            del inner[key]
        case _:
            return draw(st.binary(max_size=20))
    return (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode()


@st.composite
def faults(draw: st.DrawFn, *kinds: str) -> Fault:
    """A history, and one fault of one object of its record."""
    states = draw(chains())
    objects = objects_of(states[-1])
    name = draw(st.sampled_from(sorted(objects)))
    what = draw(st.sampled_from(kinds or ("lost", "edited", "older", "doubled")))
    match what:
        case "lost":
            del objects[name]
        case "edited":
            objects[name] = edited(draw, objects[name])
        case "older":
            name = HEAD
            objects[name] = draw(st.sampled_from(states)).to_json()
        case "doubled":
            numbers, phases = st.integers(0, len(states[-1].history) + 2), st.sampled_from(Phase)
            copies = st.builds(entry_name, numbers, phases) | st.sampled_from(["copy.json", "x/state.json"])
            copy = draw(copies.map(HISTORY.__add__).filter(lambda copy: copy not in objects))
            objects[copy], name = objects[name], copy
    return Fault(what, name, states, objects)


# --- one fault: what readers say ------------------------------------------------------------------------------


@given(faults())
def test_one_fault_never_sets_the_phase_back_for_the_mirror(fault: Fault) -> None:
    """It reads the newest phase, or none."""
    try:
        found = read_phase(fault.store, MIGRATION, no_pause)
    except PhaseUnknown:
        return
    assert (found.phase, found.entries) == (fault.newest.phase, len(fault.newest.history))


@given(faults())
def test_one_fault_never_sets_the_state_back_for_an_operator(fault: Fault) -> None:
    """He reads the whole history, or none. Only runs can be missing, or be others: no entry proves them."""
    try:
        record = read_record(fault.store, MIGRATION, no_pause)
    except PhaseUnknown:
        return
    assert record.standing is RecordStanding.WHOLE
    assert replace(record.state, runs=()) == replace(fault.newest, runs=())


@given(faults())
def test_no_change_is_made_to_a_record_with_a_fault(fault: Fault) -> None:
    """It is refused without a write, or made on top of the whole history."""
    store = fault.store
    try:
        state = update(store, MIGRATION, lambda now: with_run(now, run_record("new")), pause=no_pause)
    except PhaseUnknown:
        assert store.writes == []
    else:
        assert state.history == fault.newest.history


@given(faults("lost", "doubled"))
def test_an_object_that_is_lost_or_doubled_stops_everybody(fault: Fault) -> None:
    """The mirror, operators and changes alike, and the error is one that another try may mend."""
    for act in (
        lambda: read_phase(fault.store, MIGRATION, no_pause),
        lambda: read_record(fault.store, MIGRATION, no_pause),
        lambda: PhaseReader(fault.store, MIGRATION, lambda: 0.0, no_pause).phase(),
        lambda: update(fault.store, MIGRATION, lambda now: now, pause=no_pause),
    ):
        with pytest.raises(PhaseUnknown) as caught:
            act()
        assert caught.value.transient


# --- one fault: what `begin` does -----------------------------------------------------------------------------


@given(faults("lost"))
def test_begin_writes_what_was_lost_with_the_same_bytes(fault: Fault) -> None:
    """An entry from the head, the head from the entries. Only the runs of a lost head are lost."""
    newest = replace(fault.newest, runs=()) if fault.name == HEAD else fault.newest
    store, confirmed = fault.store, None
    if fault.name == HEAD:
        with pytest.raises(UsageError, match=f"say so: --phase {newest.phase.value}"):
            begin(store, MIGRATION, stamp("asks"))
        assert store.writes == []
        confirmed = newest.phase
    assert begin(store, MIGRATION, stamp("mends"), confirmed) == (Begin.MENDED, newest)
    assert store.data == objects_of(newest)
    assert begin(store, MIGRATION, stamp("again")) == (Begin.AS_IT_WAS, newest)


@given(faults("older"))
def test_begin_brings_an_older_head_up_to_its_history(fault: Fault) -> None:
    """The entries are newer than it; the runs are those that it has."""
    older = json.loads(fault.objects[HEAD])
    store = fault.store
    done, state = begin(store, MIGRATION, stamp("mends"))
    assert replace(state, runs=()) == replace(fault.newest, runs=())
    assert json.loads(state.to_json())["runs"] == older["runs"]
    assert store.data == objects_of(state)
    assert (done is Begin.MENDED) == (len(older["history"]) < len(fault.newest.history))


@given(faults("edited", "doubled"))
def test_begin_refuses_what_was_edited_or_doubled_and_names_the_object(fault: Fault) -> None:
    """It cannot tell what is right, so a person decides; or the fault is one that the rest of the record proves wrong."""
    store = fault.store
    try:
        _, state = begin(store, MIGRATION, stamp("mends"))
    except PhaseUnknown as error:
        assert store.writes == []
        named, said = fault.name.removeprefix(OWN), str(error)
        assert "state.json" in said
        # A changed entry may show in the one after it; a changed head, in the entry that it no longer proves.
        assert named in said or (fault.what == "edited" and (fault.name == HEAD or "history/" in said))
    else:
        assert replace(state, runs=()) == replace(fault.newest, runs=())
        assert store.data == objects_of(state)


@given(faults())
def test_begin_never_begins_anew_where_a_migration_was_under_way(fault: Fault) -> None:
    """Whatever the fault, and whatever phase is named."""
    for phase in (None, *Phase):
        store = fault.store
        try:
            done, state = begin(store, MIGRATION, stamp("mends"), phase)
        except (PhaseUnknown, UsageError):
            assert store.writes == []
        else:
            assert done is not Begin.BEGUN
            assert phase in {None, state.phase}
            assert state.history == fault.newest.history


# --- several faults: what holds, and what does not --------------------------------------------------------------


@given(chains(), st.data())
def test_whatever_is_lost_no_reader_reads_on(states: list[State], data: st.DataObject) -> None:
    """Any number of objects, up to all."""
    objects = objects_of(states[-1])
    lost = data.draw(st.sets(st.sampled_from(sorted(objects)), min_size=1))
    store = MemoryStore({name: contents for name, contents in objects.items() if name not in lost})
    with pytest.raises(PhaseUnknown):
        read_phase(store, MIGRATION, no_pause)
    with pytest.raises(PhaseUnknown):
        read_state(store, MIGRATION, no_pause)


CUT_OVER = with_phase(sign_off(INITIAL, Signatory.DATA, stamp("c1")), Phase.CUT_OVER, stamp("c2"))
ENTRIES = [name for name in objects_of(CUT_OVER) if name != HEAD]


def without(*lost: str) -> MemoryStore:
    return MemoryStore({name: data for name, data in objects_of(CUT_OVER).items() if name not in lost})


def test_all_entries_lost_are_made_again_from_the_head() -> None:
    """Each of them, since the head holds the whole history."""
    store = without(*ENTRIES)
    assert begin(store, MIGRATION, stamp("m")) == (Begin.MENDED, CUT_OVER)
    assert store.data == objects_of(CUT_OVER)


@pytest.mark.parametrize("entry", ENTRIES[:2])
def test_the_head_and_an_earlier_entry_lost_are_for_a_person(entry: str) -> None:
    """The line says which entry."""
    with pytest.raises(
        PhaseUnknown,
        match=f"entry {int(entry.removeprefix(HISTORY)[:8])} of the history is in neither, and history/0000000",
    ):
        begin(without(HEAD, entry), MIGRATION, stamp("m"))


def test_the_whole_record_lost_is_begun_again_only_with_a_phase_that_a_person_names() -> None:
    """Where something shows that the migration was under way: an object at the new path, or one of its own."""
    for name in ("qpi_exports/a", f"{OWN}late-writes/1", f"{OWN}replaced/a/1", f"{OWN}delete_old.json"):
        store = MemoryStore({name: b""})
        with pytest.raises(UsageError, match=rf"gs://export-dev/{name} is there.*--phase cut_over"):
            begin(store, MIGRATION, stamp("b"))
        assert store.writes == []
        done, state = begin(store, MIGRATION, stamp("b"), Phase.CUT_OVER)
        assert (done, state.phase) == (Begin.BEGUN, Phase.CUT_OVER)
    for name in (f"{OWN}runs/1/verification.json", f"{OWN}latest/verification.json", "other/x"):
        store = MemoryStore({name: b""})
        assert begin(store, MIGRATION, stamp("b"))[0] is Begin.BEGUN


def test_a_beginning_asks_for_nothing_twice() -> None:
    """Requests follow each other, so each costs a round trip: head, entries, own folder, new path, and two writes."""
    store = MemoryStore({})
    begin(store, MIGRATION, stamp("b"))
    assert store.requests == 6


def test_a_record_without_its_head_and_its_newest_entry_is_mended_only_where_a_person_confirms_the_phase() -> (
    None
):
    """Two faults: nothing that is left tells of the newest entry, so a person has to. Nobody reads on before that."""
    store = without(HEAD, ENTRIES[-1])
    with pytest.raises(PhaseUnknown):
        read_phase(store, MIGRATION, no_pause)
    with pytest.raises(UsageError, match="If a newer entry may be lost, too, restore it"):
        begin(store, MIGRATION, stamp("m"))
    with pytest.raises(UsageError, match="its phase is dual_write"):
        begin(store, MIGRATION, stamp("m"), Phase.CUT_OVER)
    assert begin(store, MIGRATION, stamp("m"), Phase.DUAL_WRITE)[1].phase is Phase.DUAL_WRITE


def test_limit_a_head_and_its_history_set_back_together_are_seen_only_by_who_saw_the_later_one() -> None:
    """KNOWN LIMIT of two faults: a new process cannot know. One that runs on refuses."""
    now = [0.0]
    store = MemoryStore(CUT_OVER)
    reader = PhaseReader(store, MIGRATION, lambda: now[0])
    assert reader.phase() is Phase.CUT_OVER
    store.contents = MemoryStore(INITIAL).contents
    now[0] += 100
    with pytest.raises(PhaseUnknown, match="it was set back"):
        reader.phase()
    assert read_phase(store, MIGRATION, no_pause).phase is Phase.DUAL_WRITE


def test_limit_a_newest_entry_that_is_edited_in_head_and_object_alike_is_believed() -> None:
    """KNOWN LIMIT of two faults: no later entry holds its digest yet. It cannot name a phase that does not follow."""
    forged = with_phase(
        sign_off(INITIAL, Signatory.DATA, stamp("c1")), Phase.CUT_OVER, stamp("c2", "Mallory")
    )
    assert read_state(MemoryStore(forged), MIGRATION).history[-1].by == "Mallory"
    back = replace(CUT_OVER.history[-1], phase=Phase.DELETED)
    wrong = CUT_OVER.folded((*CUT_OVER.history[:-1], replace(back, was=Phase.ROLLED_BACK)))
    with pytest.raises(PhaseUnknown, match="sets a phase that does not follow"):
        read_state(MemoryStore(wrong), MIGRATION)


# --- whose record it is ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["source", "destination"])
def test_another_migration_s_record_is_neither_read_nor_mended(side: str) -> None:
    """A copy of another environment's record."""
    other = replace(MIGRATION, **{side: Location("another", "one/")}, home=MIGRATION.destination)
    store = MemoryStore(INITIAL)
    for act in (
        lambda: read_phase(store, other),
        lambda: read_state(_at_home(store), other),
        lambda: begin(_at_home(store), other, stamp("b")),
    ):
        with pytest.raises(PhaseUnknown, match=f"the state of another migration: its {side} is"):
            act()
    del store.contents[HEAD]
    with pytest.raises(
        PhaseUnknown, match=f"00000001-dual_write.json is not an entry of this migration .its {side} is not"
    ):
        begin(_at_home(store), other, stamp("b"))
    assert store.writes == []


def _at_home(store: MemoryStore) -> MemoryStore:
    return store


def test_what_may_be_changed_has_begun_and_has_a_history() -> None:
    """An operator's command that overwrites or deletes asks for `begin` otherwise."""
    with pytest.raises(PhaseUnknown, match=r"`backfill_job begin` begins it"):
        changeable(read_record(MemoryStore(), MIGRATION), MIGRATION)
    assert changeable(read_record(MemoryStore(INITIAL), MIGRATION), MIGRATION) == INITIAL


def test_a_phase_is_never_set_by_hand() -> None:
    """`--phase` is for a record that is not there."""
    store = MemoryStore(CUT_OVER)
    with pytest.raises(UsageError, match=r"its phase is cut_over; a phase is never set by hand"):
        begin(store, MIGRATION, stamp("b"), Phase.DUAL_WRITE)
    assert begin(store, MIGRATION, stamp("b"), Phase.CUT_OVER) == (Begin.AS_IT_WAS, CUT_OVER)
    assert store.writes == []


@pytest.mark.parametrize("phase", [None, *Phase])
def test_a_migration_is_begun_on_record_with_who_and_when(phase: Phase | None) -> None:
    """One entry, and the head."""
    store = MemoryStore()
    done, state = begin(store, MIGRATION, stamp("begun", "Eve"), phase)
    assert (done, state) == (Begin.BEGUN, in_phase(phase or Phase.DUAL_WRITE))
    assert store.data == objects_of(state)


# --- on a real server -----------------------------------------------------------------------------------------


def lose(paths: Paths, at: ObjectRef) -> None:
    paths.client.bucket(at.bucket).blob(at.name).delete()


def edit(paths: Paths, at: ObjectRef) -> None:
    blob = paths.client.bucket(at.bucket).blob(at.name)
    blob.upload_from_string(blob.download_as_bytes().replace(b"cut_over", b"dual_write"))


def double(paths: Paths, at: ObjectRef) -> None:
    bucket = paths.client.bucket(at.bucket)
    bucket.copy_blob(
        bucket.blob(at.name), bucket, at.name.replace("cut_over", "dual_write").replace("state", "st")
    )


def set_back(paths: Paths, at: ObjectRef) -> None:
    bucket = paths.client.bucket(at.bucket)
    first = bucket.blob(at.name).download_as_bytes()
    assert b"cut_over" in first
    blob = bucket.blob(at.name)
    blob.upload_from_string(paths.first_head)  # type: ignore[attr-defined]


CASES: list[tuple[str, Callable[[Paths, ObjectRef], None], str | None, str | None]] = [
    ("state.json", lose, "the head is gone", None),
    (
        "state.json",
        edit,
        "says dual_write",
        r"00000002-cut_over.json.*cut_over', and 'phase dual_write to dual_write' in the head",
    ),
    ("history/00000001-dual_write.json", lose, "entry 1 of the history is not there", None),
    ("history/00000002-cut_over.json", lose, "the head tells of 2 entries, and the history has 1", None),
    ("history/00000002-cut_over.json", edit, None, "00000002-cut_over.json"),
    (
        "history/00000002-cut_over.json",
        double,
        "another entry 2 is, too",
        "00000002-dual_write.json|another entry 2",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=[f"{c[1].__name__}-{c[0][-20:]}" for c in CASES])
def test_on_a_real_server_one_fault_stops_everybody_or_changes_nothing(
    case: tuple[str, Callable[[Paths, ObjectRef], None], str | None, str | None],
    paths: Paths,
    gateway: Gateway,
) -> None:
    """After a cutover: the mirror reads cut_over or nothing; `begin` mends it with the same bytes, or says which object."""
    name, fault, said, refused = case
    migration = paths.migration
    state = update(gateway, migration, lambda now: with_phase(now, Phase.CUT_OVER, stamp("cut")))
    before = own_objects(paths)
    fault(paths, migration.own_ref(*name.split("/")))
    if said is None:
        assert read_phase(gateway, migration, no_pause).phase is Phase.CUT_OVER
    else:
        with pytest.raises(PhaseUnknown, match=said):
            read_phase(gateway, migration, no_pause)
    for act in (
        lambda: read_record(gateway, migration, no_pause),
        lambda: update(gateway, migration, lambda now: with_run(now, run_record()), pause=no_pause),
    ):
        with pytest.raises(PhaseUnknown):
            act()
    if refused is None:
        confirmed = Phase.CUT_OVER if name == "state.json" else None
        assert begin(gateway, migration, stamp("mends"), confirmed) == (Begin.MENDED, state)
        assert own_objects(paths) == before
    else:
        with pytest.raises(PhaseUnknown, match=refused):
            begin(gateway, migration, stamp("mends"))


def own_objects(paths: Paths) -> dict[str, bytes]:
    bucket = paths.bucket("destination")
    return {blob.name: blob.download_as_bytes() for blob in bucket.list_blobs(prefix="_migration/")}


def test_an_older_head_that_soft_delete_kept_is_brought_up_to_the_history(
    paths: Paths, gateway: Gateway
) -> None:
    """What "restore the version before" does, done to a whole record."""
    migration: Migration = paths.migration
    at = migration.own_ref("state.json")
    older = gateway.read(at)
    assert older is not None
    state = update(gateway, migration, lambda now: with_phase(now, Phase.CUT_OVER, stamp("cut")))
    gateway.put(at, older)
    with pytest.raises(PhaseUnknown, match="the head tells of 1 entries, and the history has 2"):
        read_phase(gateway, migration, no_pause)
    assert begin(gateway, migration, stamp("mends")) == (Begin.MENDED, state)
    assert read_phase(gateway, migration, no_pause).phase is Phase.CUT_OVER
