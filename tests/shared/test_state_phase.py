"""The phase as the mirror reads it: head and history together, briefly remembered by two clocks, and never guessed."""

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier, Event

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_makers import (
    HEAD,
    INITIAL,
    MIGRATION,
    OWN,
    START,
    MemoryStore,
    in_phase,
    no_pause,
    objects_of,
    stamp,
)
from testing_paths import Paths

from shared.decision import Authority
from shared.errors import PhaseUnknown, Unavailable
from shared.gateway import Gateway
from shared.objects import ObjectRef
from shared.phase import CACHE_SECONDS, PAUSES, Phase, PhaseReader, Recorded, entry_name, read_phase
from shared.record import update
from shared.state import Signatory, State
from shared.state_changes import Stamp, sign_off, with_phase

FIRST, SECOND = (f"{OWN}history/{entry_name(number, Phase.DUAL_WRITE)}" for number in (1, 2))


class PhaseObjects(MemoryStore):
    """A record of one entry, or a head that was put there; or a problem in which reading it ends."""

    def __init__(self, record: State | bytes | Exception = INITIAL) -> None:
        super().__init__(record if isinstance(record, State) else None)
        self.problem = record if isinstance(record, Exception) else None
        self.reads = 0
        if isinstance(record, bytes):
            self.contents = MemoryStore({**objects_of(INITIAL), HEAD: record}).contents

    def now(self, state: State) -> None:
        """Somebody changes the record."""
        self.contents = MemoryStore(state).contents

    def read(self, at: ObjectRef) -> bytes | None:
        assert at.name == HEAD
        self.reads += 1
        if self.problem is not None:
            raise self.problem
        return super().read(at)


def after(phase: Phase) -> State:
    return with_phase(INITIAL, phase, stamp("c2"))


class Clock:
    """A monotonic clock."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_without_a_record_there_is_no_phase() -> None:
    """Absence is never a phase: the mirror does nothing before the migration begins, and after its record is lost."""
    with pytest.raises(
        PhaseUnknown, match=r"there is no record of this migration.*`backfill_job begin`"
    ) as caught:
        read_phase(MemoryStore(), MIGRATION)
    assert caught.value.transient


@pytest.mark.parametrize("phase", Phase)
def test_the_phase_is_read_whatever_else_is_damaged(phase: Phase) -> None:
    """The mirror loses no events over a damaged sign-off, or over a form from a newer program."""
    for rest in (
        {},
        {"signoffs": "spoilt"},
        {"version": 99, "more": [1]},
        {"source": MIGRATION.source.uri, "since": "yesterday"},
    ):
        head = json.dumps({**rest, "phase": phase.value, "history": [{"spoilt": True}]}).encode()
        store = MemoryStore({**objects_of(in_phase(phase)), HEAD: head})
        assert read_phase(store, MIGRATION) == Recorded(phase, 1, START)


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"[]",
        b"{}",
        b'"cut_over"',
        b'{"history": [1], "phase": null}',
        b'{"history": [1], "phase": "Dual_write"}',
        b'{"history": [1], "phase": ["dual_write"]}',
        b'{"history": [1], "phase": "dual_write"',
        b'{"history": [1], "phase": "dual_write", "phase": "dual_write"}',
        b'{"history": [1], "phase": "dual_write", "more": {"a": 1, "a": 2}}',
        b'{"history": [1], "phase": "dual_write", "more": ' + b"[" * 100_000,
        b'\xef\xbb\xbf{"history": [1], "phase": "dual_write"}',
        '{"history": [1], "phase": "dual_write"}'.encode("utf-16"),
        b'{"phase": "dual_write"}',
        b'{"history": null, "phase": "dual_write"}',
        b'{"history": {"1": 1}, "phase": "dual_write"}',
    ],
    ids=range(16),
)
def test_what_names_no_phase_clearly_is_an_error_that_another_try_may_mend(contents: bytes) -> None:
    """The mirror does nothing until the record is repaired."""
    with pytest.raises(PhaseUnknown, match="not a migration's state") as caught:
        read_phase(PhaseObjects(contents), MIGRATION)
    assert caught.value.transient
    assert caught.value.uri == "gs://export-dev/_migration/qpi_exports/state.json"


@given(st.binary())
def test_no_bytes_are_taken_for_a_phase(contents: bytes) -> None:
    """No traceback, no guess."""
    with pytest.raises(PhaseUnknown):
        read_phase(PhaseObjects(contents), MIGRATION)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_another_migration_s_phase_is_not_this_one_s(side: str) -> None:
    """A copy of another environment's state would let the mirror overwrite after the cutover."""
    contents = json.dumps({"phase": "dual_write", "history": [1], side: "gs://another/one/"}).encode()
    with pytest.raises(
        PhaseUnknown, match=f"the state of another migration: its {side} is 'gs://another/one/'"
    ):
        read_phase(PhaseObjects(contents), MIGRATION)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "the head tells of 2 entries, and the history has 0"),
        (["00000001-dual_write.json"], "the head tells of 2 entries, and the history has 1"),
        (["00000002-cut_over.json"], "entry 1 of the history is not there, and 00000002-cut_over.json is"),
        (
            ["00000001-dual_write.json", "00000002-dual_write.json"],
            "the head says cut_over, and the last entry of the history dual_write",
        ),
        (
            ["00000001-dual_write.json", "00000002-cut_over.json", "00000002-dual_write.json"],
            "history/00000002-dual_write.json is there, and another entry 2 is, too",
        ),
        (
            ["00000001-dual_write.json", "00000002-cut_over.json", "00000003-dual_write.json"],
            "the head tells of 2 entries, and the history has 3",
        ),
        (
            ["00000001-dual_write.json", "00000002-cut_over.json", "notes.txt"],
            "history/notes.txt is not an entry of the history; remove it",
        ),
        (["00000001-dual_write.json", "00000002-later.json"], "00000002-later.json is not an entry"),
        (["00000000-dual_write.json", "00000001-cut_over.json"], "00000000-dual_write.json is not an entry"),
        (["00000001-dual_write.json", "2-cut_over.json"], "2-cut_over.json is not an entry"),
    ],
    ids=range(10),
)
def test_a_history_that_disagrees_with_its_head_gives_no_phase(names: list[str], said: str) -> None:
    """A gap, a double, a foreign object, an entry of another phase: the line says which."""
    head = after(Phase.CUT_OVER).to_json()
    store = MemoryStore({HEAD: head, **{f"{OWN}history/{name}": b"{}" for name in names}})
    with pytest.raises(PhaseUnknown, match=said) as caught:
        read_phase(store, MIGRATION, no_pause)
    assert caught.value.transient
    assert "Nothing is overwritten or deleted" in str(caught.value)


def test_a_head_that_is_gone_gives_no_phase() -> None:
    """However whole the history is: the head is what serialises the changes."""
    store = MemoryStore(INITIAL)
    del store.contents[HEAD]
    with pytest.raises(PhaseUnknown, match="the history has 1 entry, and the head is gone"):
        read_phase(store, MIGRATION)


def test_a_change_that_is_under_way_is_waited_for_by_reading_again() -> None:
    """The head is written first, so the history is one entry behind for a moment."""
    later = objects_of(sign_off(INITIAL, Signatory.DATA, stamp("c2")))

    class UnderWay(MemoryStore):
        def answer(self) -> None:
            super().answer()
            if self.requests == 5:
                self.put(SECOND, later[SECOND])

    store = UnderWay({name: data for name, data in later.items() if name != SECOND})
    waited: list[float] = []
    assert read_phase(store, MIGRATION, waited.append) == Recorded(Phase.DUAL_WRITE, 2, START)
    assert (store.requests, waited) == (6, [*PAUSES[:2]])


def test_only_a_change_that_may_be_under_way_is_worth_another_read() -> None:
    """Each event of a mirror without a record would otherwise list the history again and again."""
    torn = objects_of(after(Phase.CUT_OVER))
    del torn[f"{OWN}history/00000002-cut_over.json"]
    for objects, requests in (
        (torn, 2 * len(PAUSES) + 2),
        ({}, 2),
        ({FIRST: b""}, 2),
        ({**objects_of(INITIAL), HEAD: b"damaged"}, 2),
        ({**objects_of(INITIAL), SECOND: b""}, 2),
    ):
        store = MemoryStore(objects)
        with pytest.raises(PhaseUnknown):
            read_phase(store, MIGRATION, no_pause)
        assert store.requests == requests


# --- the cached phase -----------------------------------------------------------------------------------------


def test_the_phase_is_read_at_most_once_in_a_while() -> None:
    """And again when the time is up, measured from before the read."""
    now, store = Clock(), PhaseObjects()
    reader = PhaseReader(store, MIGRATION, now)
    assert reader.phase() is Phase.DUAL_WRITE
    store.now(after(Phase.CUT_OVER))
    now.now += CACHE_SECONDS - 0.001
    assert (reader.phase(), store.reads) == (Phase.DUAL_WRITE, 1)
    now.now += 0.001
    assert (reader.phase(), store.reads) == (Phase.CUT_OVER, 2)


def test_what_is_known_is_told_without_reading() -> None:
    """For those who must not wait."""
    now, store = Clock(), PhaseObjects(in_phase(Phase.CUT_OVER))
    reader = PhaseReader(store, MIGRATION, now)

    def known() -> tuple[object, ...]:
        return reader.known(), reader.known_with_erasures(reverse=False), store.reads

    assert known() == (None, None, 0)
    erasures = reader.erasures(reverse=False)
    assert known() == (Phase.CUT_OVER, (Phase.CUT_OVER, erasures), 1)
    now.now += CACHE_SECONDS
    assert known() == (None, None, 1)


def test_threads_share_one_read() -> None:
    """One of those who wait reads, the others take what it found."""
    at_once = Barrier(8)
    store = PhaseObjects(in_phase(Phase.CUT_OVER))
    reader = PhaseReader(store, MIGRATION, lambda: 0.0)

    def ask(_: int) -> Phase:
        at_once.wait()
        return reader.phase()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {Phase.CUT_OVER}
    assert store.reads == 1


def test_a_phase_that_cannot_be_read_again_is_not_remembered_for_longer() -> None:
    """A cutover waits for the cache and no longer."""
    now, store = Clock(), PhaseObjects()
    reader = PhaseReader(store, MIGRATION, now)
    reader.phase()
    now.now += CACHE_SECONDS
    store.problem = Unavailable("gs://b/o", "no answer")
    with pytest.raises(Unavailable):
        reader.phase()
    store.problem = None
    store.put(HEAD, b"damaged")
    with pytest.raises(PhaseUnknown):
        reader.phase()
    store.now(with_phase(after(Phase.CUT_OVER), Phase.ROLLED_BACK, stamp("c3")))
    assert reader.phase() is Phase.ROLLED_BACK


@pytest.mark.parametrize(
    "older",
    [INITIAL, in_phase(Phase.ROLLED_BACK), sign_off(INITIAL, Signatory.DATA, stamp("c2"))],
    ids=["shorter", "begun-again", "same-length"],
)
def test_a_process_does_not_go_back_behind_what_it_has_read(older: State) -> None:
    """A record that was set back as a whole, head and history, is refused by whoever saw the later one."""
    now, store = Clock(), PhaseObjects(after(Phase.CUT_OVER))
    reader = PhaseReader(store, MIGRATION, now)
    assert reader.phase() is Phase.CUT_OVER
    store.now(older)
    for _ in range(2):
        now.now += CACHE_SECONDS
        with pytest.raises(
            PhaseUnknown, match="2 entries and the phase cut_over were read before: it was set back"
        ):
            reader.phase()
        assert reader.known() is None
    store.now(with_phase(after(Phase.CUT_OVER), Phase.DELETING, stamp("c3")))
    assert reader.phase() is Phase.DELETING


# --- by two clocks --------------------------------------------------------------------------------------------


def test_a_laptop_that_slept_through_a_cutover_reads_the_phase_again() -> None:
    """Its monotonic clock stood still. The look after the sleep brought Cloud Storage's time, and that counts."""
    now, store = Clock(), PhaseObjects()
    reader = PhaseReader(store, MIGRATION, now)
    assert reader.phase() is Phase.DUAL_WRITE
    store.now(after(Phase.CUT_OVER))
    store.clock = START + timedelta(hours=1)
    store.answer()  # the look at the destination, or any other answer, of either client
    assert (reader.known(), store.reads) == (None, 1)
    assert (reader.phase(), store.reads) == (Phase.CUT_OVER, 2)


def test_the_local_clock_counts_where_cloud_storage_gives_no_newer_time() -> None:
    """A process that was idle for long has had no answer since; a store may send no ``Date`` at all."""
    for clock in (START, None):
        now, store = Clock(), PhaseObjects()
        store.clock = clock
        reader = PhaseReader(store, MIGRATION, now)
        reader.phase()
        store.now(after(Phase.CUT_OVER))
        now.now += CACHE_SECONDS
        assert (reader.phase(), store.reads) == (Phase.CUT_OVER, 2)


def test_a_phase_without_a_time_is_read_again_once_the_answers_have_one() -> None:
    """Its age cannot be told by Cloud Storage's clock."""
    now, store = Clock(), PhaseObjects()
    store.clock = None
    reader = PhaseReader(store, MIGRATION, now)
    reader.phase()
    assert reader.known() is Phase.DUAL_WRITE
    store.clock = START
    store.answer()
    assert reader.known() is None
    reader.phase()
    assert reader.known() is Phase.DUAL_WRITE


def test_a_look_that_was_answered_before_the_sleep_may_use_the_phase_of_before_the_sleep() -> None:
    """The phase was so when the object was looked at; the copy's conditions fail where somebody wrote since."""
    now, store = Clock(), PhaseObjects()
    reader = PhaseReader(store, MIGRATION, now)
    reader.phase()
    store.clock = START + timedelta(seconds=CACHE_SECONDS - 1)
    store.answer()
    store.now(after(Phase.CUT_OVER))  # while it sleeps; there is no answer since
    assert (reader.phase(), store.reads) == (Phase.DUAL_WRITE, 1)
    store.clock = START + timedelta(hours=1)
    store.answer()
    assert (reader.phase(), store.reads) == (Phase.CUT_OVER, 2)


@pytest.mark.parametrize(("seconds", "known"), [(CACHE_SECONDS - 1, Phase.DUAL_WRITE), (CACHE_SECONDS, None)])
def test_the_age_by_cloud_storage_s_clock_has_the_same_bound(seconds: float, known: Phase | None) -> None:
    """A ``Date`` has whole seconds: both are cut off, so no age counts as less than its whole seconds."""
    store = PhaseObjects()
    reader = PhaseReader(store, MIGRATION, lambda: 0.0)
    reader.phase()
    store.clock = START + timedelta(seconds=seconds)
    store.answer()
    assert reader.known() is known


def test_a_sleep_between_the_two_reads_of_the_record_makes_the_phase_old_at_once() -> None:
    """What the head said is true now; but it is not remembered as if it had been read after the sleep."""
    store = PhaseObjects()

    def sleeps() -> None:
        store.clock = START + timedelta(hours=1) if store.requests == 1 else store.clock
        MemoryStore.answer(store)

    store.answer = sleeps  # type: ignore[method-assign]
    reader = PhaseReader(store, MIGRATION, lambda: 0.0)
    assert reader.phase() is Phase.DUAL_WRITE
    assert reader.known() is None


def test_an_older_answer_in_another_thread_does_not_make_the_phase_young_again() -> None:
    """One thread looks after the sleep; an answer from before it arrives later, in another thread."""
    store = PhaseObjects()
    reader = PhaseReader(store, MIGRATION, lambda: 0.0)
    reader.phase()
    told, looked = Event(), Event()

    def late() -> None:
        told.wait()
        store.server_time.note("Sat, 01 Mar 2025 08:30:01 GMT")
        looked.set()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(late)
        store.clock = START + timedelta(hours=1)
        store.answer()
        told.set()
        looked.wait()
        done.result()
    assert reader.known() is None


def test_which_side_wins_follows_from_the_phase() -> None:
    """The legacy path before the cutover, the new one after it; after a rollback the later write."""
    assert {phase: phase.forward_authority for phase in Phase} == {
        Phase.DUAL_WRITE: Authority.SOURCE,
        Phase.CUT_OVER: Authority.DESTINATION,
        Phase.ROLLED_BACK: Authority.LATER_WRITE,
        Phase.DELETING: Authority.DESTINATION,
        Phase.DELETED: Authority.DESTINATION,
    }


def test_the_mirror_reads_what_the_operator_writes(paths: Paths, gateway: Gateway) -> None:
    """On a real server, through the same objects; the answers' own time is noted."""

    def change(state: State) -> State:
        signed = sign_off(state, Signatory.DATA, Stamp("c1", "Ada", START))
        return with_phase(signed, Phase.CUT_OVER, Stamp("c2", "Ada", START))

    reader = PhaseReader(gateway, paths.migration, lambda: 0.0)
    update(gateway, paths.migration, change)
    assert reader.phase() is Phase.CUT_OVER
    found = read_phase(gateway, paths.migration)
    assert (found.entries, found.served) == (3, gateway.server_time.newest())
    assert found.served is not None
