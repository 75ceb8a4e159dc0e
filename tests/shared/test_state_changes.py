"""What may become of the state: phases, sign-offs, runs; and what `update` makes sure of."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import product

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
    run_record,
    run_records,
    stamp,
    states,
)

from shared.decision import Authority
from shared.errors import ConditionFailed, Contended, PhaseUnknown, Unavailable, UsageError
from shared.objects import ObjectRef
from shared.phase import PAUSES, Phase
from shared.record import read_state, update
from shared.state import (
    EntryKind,
    HistoryEntry,
    PrincipalUse,
    ReadersRecord,
    RunRecord,
    SeenPrincipal,
    Signatory,
    SignOff,
    State,
    foreign_readers,
)
from shared.state_changes import (
    MAX_NOTE,
    MAX_PRINCIPAL,
    MAX_PRINCIPALS,
    MAX_RUNS,
    MAX_WHO,
    Stamp,
    begun,
    deletion_goes_on,
    reader_acknowledged,
    readers_seen,
    sign_off,
    with_phase,
    with_run,
    withdraw,
)

WAYS = {
    (Phase.DUAL_WRITE, Phase.CUT_OVER),
    (Phase.CUT_OVER, Phase.ROLLED_BACK),
    (Phase.ROLLED_BACK, Phase.CUT_OVER),
    (Phase.CUT_OVER, Phase.DELETING),
    (Phase.DELETING, Phase.DELETED),
}


# --- phases ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("phase", "following"), list(product(Phase, Phase)))
def test_the_phases_have_five_ways_and_no_others(phase: Phase, following: Phase) -> None:
    """What is deleted does not come back, and nothing is deleted before the cutover."""
    state = in_phase(phase)
    if following is phase:
        assert with_phase(state, following, stamp()) is state
    elif (phase, following) in WAYS:
        moved = with_phase(state, following, stamp("c9", "Ada", 5))
        entry = moved.history[-1]
        at = stamp(minutes=5).at
        assert entry == HistoryEntry(at, "Ada", "c9", EntryKind.PHASE, following, phase, before=entry.before)
        assert entry.what == f"phase {phase.value} to {following.value}"
        history = (*state.history, entry)
        assert moved == replace(state, phase=following, since=at, history=history)
    else:
        with pytest.raises(
            UsageError, match=f"is in phase {phase.value}.* can follow, not {following.value}"
        ):
            with_phase(state, following, stamp())


def test_a_way_that_does_not_exist_is_answered_with_those_that_do() -> None:
    """The operator sees where the migration stands, since when, and what is possible."""
    with pytest.raises(UsageError) as caught:
        with_phase(in_phase(Phase.CUT_OVER), Phase.DELETED, stamp())
    assert str(caught.value) == (
        "the migration is in phase cut_over since 2025-03-01T08:30:00Z; rolled_back or deleting can follow, not deleted"
    )
    with pytest.raises(UsageError, match=r"in phase deleted since .*; nothing can follow, not cut_over"):
        with_phase(in_phase(Phase.DELETED), Phase.CUT_OVER, stamp())


def test_reverse_replication_runs_between_cutover_and_deletion_only() -> None:
    """Before it the new path has no writers; later the legacy path is gone. After a rollback the mirror only creates."""
    assert {phase: phase.reverse_authority for phase in Phase if phase.reverse_authority} == {
        Phase.CUT_OVER: Authority.LATER_WRITE,
        Phase.ROLLED_BACK: Authority.DESTINATION,
    }


def test_a_rollback_voids_the_sign_offs_and_says_whose() -> None:
    """They were given for the cutover that is taken back."""
    state = sign_off(sign_off(INITIAL, Signatory.DATA, stamp("1")), Signatory.QPI_TEAM, stamp("2", "Bob"))
    state = with_phase(state, Phase.CUT_OVER, stamp("3"))
    assert len(state.signoffs) == 2
    state = with_phase(state, Phase.ROLLED_BACK, stamp("4"))
    assert (state.signoffs, state.missing_signoffs) == ((), tuple(Signatory))
    assert state.history[-1].what == (
        "phase cut_over to rolled_back; to be signed anew: data by Ada, qpi-team by Bob"
    )
    assert [entry.change for entry in state.history] == ["begun", "1", "2", "3", "4"]
    assert state.history[-1].void == ("data by Ada", "qpi-team by Bob")


# --- sign-offs ------------------------------------------------------------------------------------------------


def test_a_sign_off_keeps_who_when_and_why() -> None:
    """And the history says it too."""
    state = sign_off(INITIAL, Signatory.DEVELOPMENT, stamp("c1", " Ada \n"), " looks good ")
    assert state.signoffs == (SignOff(Signatory.DEVELOPMENT, "Ada", START, "looks good"),)
    (_, entry) = state.history
    assert (entry.at, entry.by, entry.change, entry.kind) == (START, "Ada", "c1", EntryKind.SIGN_OFF)
    assert entry.what == "sign-off development: looks good"
    assert Signatory.DEVELOPMENT not in state.missing_signoffs


def test_signing_twice_counts_once() -> None:
    """The first sign-off stands; the history tells of both."""
    once = sign_off(INITIAL, Signatory.DATA, stamp("c1"))
    twice = sign_off(once, Signatory.DATA, stamp("c2", minutes=9), "still")
    assert twice.signoffs == once.signoffs
    assert [entry.what for entry in twice.history[1:]] == [
        "sign-off data",
        "sign-off data again, the one of 2025-03-01T08:30:00Z stands: still",
    ]


def test_a_withdrawal_takes_back_that_person_s_sign_off_only() -> None:
    """Others who signed for the same, and the same person's other sign-offs, stay."""
    state = sign_off(INITIAL, Signatory.DATA, stamp("c1"))
    state = sign_off(state, Signatory.DATA, stamp("c2", "Bob"))
    state = sign_off(state, Signatory.OPERATIONS, stamp("c3"))
    state = withdraw(state, Signatory.DATA, stamp("c4", minutes=1), "a day is missing")
    assert [(signoff.name, signoff.by) for signoff in state.signoffs] == [
        (Signatory.DATA, "Bob"),
        (Signatory.OPERATIONS, "Ada"),
    ]
    assert state.history[-1].what == "sign-off data of 2025-03-01T08:30:00Z withdrawn: a day is missing"
    assert len(state.history) == 5


def test_what_was_not_signed_cannot_be_withdrawn() -> None:
    """After a mistyped name the sign-off would stay, and the person would not know."""
    with pytest.raises(UsageError, match=r"Ada has not signed off data.*; signed by: no one"):
        withdraw(INITIAL, Signatory.DATA, stamp())
    state = sign_off(INITIAL, Signatory.DATA, stamp("c1", "Adah"))
    with pytest.raises(UsageError, match=r"signed by: Adah$"):
        withdraw(state, Signatory.DATA, stamp("c2"))
    with pytest.raises(UsageError, match=r"signed by: no one$"):
        withdraw(state, Signatory.OPERATIONS, stamp("c2", "Adah"))


@pytest.mark.parametrize("phase", Phase)
@pytest.mark.parametrize("act", [sign_off, withdraw])
def test_sign_offs_are_for_a_cutover_that_is_ahead(phase: Phase, act: Callable[..., State]) -> None:
    """After the cutover a sign-off has no effect."""
    state = replace(in_phase(phase), signoffs=(SignOff(Signatory.DATA, "Ada", START),))
    if phase in {Phase.DUAL_WRITE, Phase.ROLLED_BACK}:
        assert len(act(state, Signatory.DATA, stamp()).history) == 2
    else:
        with pytest.raises(UsageError, match=f"in phase {phase.value} since .* it has taken place"):
            act(state, Signatory.DATA, stamp())


@pytest.mark.parametrize(
    "unfit", ["a\nb", "a\rb", "a\x1b[2Jb", "a\x00b", "a\x85b", "a\u2028b", "a\u202eb", "a\udc80b", "a\x7fb"]
)
@pytest.mark.parametrize("act", [sign_off, withdraw])
def test_names_and_notes_are_one_line_of_plain_text(unfit: str, act: Callable[..., State]) -> None:
    """They are shown on other people's terminals."""
    state = replace(INITIAL, signoffs=(SignOff(Signatory.DATA, "Ada", START),))
    code = f"U\\+{ord(unfit[1]):04X}"
    with pytest.raises(UsageError, match=f"the name of who it is holds the character {code}"):
        act(state, Signatory.DATA, stamp(by=unfit))
    with pytest.raises(UsageError, match=f"the note holds the character {code}"):
        act(state, Signatory.DATA, stamp(), unfit)


def test_names_and_notes_have_bounds() -> None:
    """The change must name a person, and the state does not hold reports."""
    assert sign_off(INITIAL, Signatory.DATA, stamp(by="x" * MAX_WHO), "y" * MAX_NOTE).signoffs
    for by in ("", "  ", "\n", "x" * (MAX_WHO + 1)):
        with pytest.raises(
            UsageError, match=rf"the name of who it is has \d+ characters; 1 to {MAX_WHO} are wanted"
        ):
            sign_off(INITIAL, Signatory.DATA, stamp(by=by))
    with pytest.raises(UsageError, match="the note has 1,001 characters; 0 to 1,000 are wanted"):
        sign_off(INITIAL, Signatory.DATA, stamp(), "y" * (MAX_NOTE + 1))


# --- runs -----------------------------------------------------------------------------------------------------


def test_a_run_is_recorded_once() -> None:
    """Two tasks may both complete a set."""
    state = with_run(INITIAL, run_record())
    assert state.runs == (run_record(),)
    assert with_run(state, run_record()) is state
    assert with_run(state, run_record(exit_code=1)).runs == (run_record(), run_record(exit_code=1))


def test_the_newest_runs_are_kept_and_the_newest_certificate_with_them() -> None:
    """However many sweeps there were since the verification that the gate asks for."""
    state = with_run(INITIAL, run_record("old", certificate_sha256="a" * 64))
    state = with_run(state, run_record("verified", certificate_sha256="b" * 64))
    for number in range(MAX_RUNS + 50):
        state = with_run(state, run_record(f"sweep-{number}"))
    kept = [f"sweep-{number}" for number in range(51, MAX_RUNS + 50)]
    assert [run.run for run in state.runs] == ["verified", *kept]
    state = with_run(state, run_record("again", certificate_sha256="c" * 64))
    assert [run.run for run in state.runs] == [*kept, "again"]
    assert state.certified == run_record("again", certificate_sha256="c" * 64)


def test_a_run_that_quotes_odd_names_is_recorded_all_the_same() -> None:
    """A run must not fail at its end because an object is called what it is called."""
    odd = "gs://b/\x1b[2J\n\udc80: " + "x" * 10_000
    (run,) = with_run(INITIAL, RunRecord(odd, odd, START, 1, odd, odd)).runs
    for text in (run.run, run.command, run.summary, run.report or ""):
        assert text.startswith("gs://b/�[2J��: xxx")
        assert (len(text), text[-1]) == (MAX_NOTE, "…")
    assert read_state(MemoryStore(with_run(INITIAL, run)), MIGRATION).runs == (run,)


def test_a_record_that_no_program_should_make_is_refused() -> None:
    """A certificate is a SHA-256, and a time means a moment."""
    for digest in ("", "A" * 64, "a" * 63):
        with pytest.raises(ValueError, match="is not a SHA-256"):
            with_run(INITIAL, run_record(certificate_sha256=digest))
    naive = datetime(2025, 3, 1)  # noqa: DTZ001 -- the point
    with pytest.raises(ValueError, match="has no time zone"):
        with_run(INITIAL, run_record(finished=naive))
    with pytest.raises(ValueError, match="has no time zone"):
        sign_off(INITIAL, Signatory.DATA, Stamp("c1", "Ada", naive))


# --- who used the legacy path --------------------------------------------------------------------------------------


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def look(begins: float, ends: float, **last: float) -> ReadersRecord:
    """A look at the audit log that proves these days, with principals and the day on which each was last seen."""
    seen = (SeenPrincipal(name, PrincipalUse.READ, 1, day(at)) for name, at in last.items())
    return ReadersRecord(day(begins), day(begins), day(ends), tuple(seen))


def looked(state: State, *looks: ReadersRecord) -> State:
    for one in looks:
        state = readers_seen(state, stamp(f"look {len(state.history)}", "readers"), one)
    return state


def seen_since(state: State, since: float) -> list[str] | None:
    found = foreign_readers(state, day(since))
    return None if found is None else sorted(each.name for each in found)


@pytest.mark.parametrize(
    ("looks", "since", "seen"),
    [
        ([], 0, None),
        ([look(0, 7)], 0, []),
        ([look(0, 7)], 6.9, []),
        ([look(0, 7)], 7, None),
        ([look(1, 7)], 0, None),
        ([look(1, 7, dag=3)], 0, ["dag"]),
        ([look(0, 7, dag=3)], 4, []),
        ([look(0, 3), look(3, 5), look(5, 7)], 0, []),
        ([look(0, 3), look(3.1, 7)], 0, None),
        ([look(5, 7), look(0, 5)], 0, []),
        ([look(0, 3, dag=2), look(3, 7, ada=6)], 0, ["ada", "dag"]),
        ([look(0, 3, dag=2), look(0, 7, dag=6)], 5, ["dag"]),
        ([look(0, 7, dag=6), look(0, 3, dag=2)], 5, ["dag"]),
    ],
)
def test_an_empty_answer_counts_for_the_time_that_the_looks_prove(
    looks: list[ReadersRecord], since: float, seen: list[str] | None
) -> None:
    """A principal that was seen counts in any case; that none was seen, only where the looks join without a hole."""
    assert seen_since(looked(INITIAL, *looks), since) == seen


def test_a_principal_is_acknowledged_until_the_source_of_truth_changes() -> None:
    """Who reads the legacy path by right before the cutover is the danger after it; a deletion changes nothing of that."""
    state = looked(INITIAL, look(0, 1, dag=0.5, ada=0.6))
    state = reader_acknowledged(state, stamp("ack"), "dag", "until the cutover")
    assert seen_since(state, 0) == ["ada"]
    assert state.history[-1].what == "acknowledged on the legacy path dag: until the cutover"
    state = with_phase(state, Phase.CUT_OVER, stamp("cut over"))
    assert (state.readers, seen_since(state, 0)) == ((), None)
    with pytest.raises(
        UsageError, match="no such principal is on record in this phase; to be acknowledged: none"
    ):
        reader_acknowledged(state, stamp("ack 2"), "dag")
    state = looked(state, look(0, 2, dag=1.5))
    assert seen_since(state, 1) == ["dag"]
    with pytest.raises(UsageError, match=r"--acknowledge da: .*to be acknowledged: dag"):
        reader_acknowledged(state, stamp("ack 2"), "da")
    state = reader_acknowledged(state, stamp("ack 2"), "dag")
    state = with_phase(state, Phase.DELETING, stamp("delete"))
    assert seen_since(state, 1) == []


def test_a_look_has_bounds_and_its_times_an_order() -> None:
    """What a foreign log holds does not make the state large, or unreadable."""
    full = look(0, 1, **{f"p{number}": 0 for number in range(MAX_PRINCIPALS)})
    assert len(looked(INITIAL, full).readers[0].principals) == MAX_PRINCIPALS
    for wrong in (
        look(0, 1, **{f"p{number}": 0 for number in range(MAX_PRINCIPALS + 1)}),
        look(0, 1, **{"a\n": 0}),
    ):
        with pytest.raises(UsageError):
            looked(INITIAL, wrong)
    with pytest.raises(UsageError, match="301 characters"):
        looked(INITIAL, look(0, 1, **{"p" * (MAX_PRINCIPAL + 1): 0}))
    with pytest.raises(ValueError, match="the log was asked from"):
        looked(INITIAL, look(1, 0))


# --- everything at once ---------------------------------------------------------------------------------------

people = st.sampled_from(["Ada", "Bob", "Zoë"])


@given(
    st.lists(
        st.tuples(st.sampled_from([sign_off, withdraw]), st.sampled_from(Signatory), people)
        | st.tuples(st.just(with_phase), st.sampled_from(Phase), people)
        | st.tuples(st.just(with_run), run_records, people),
        max_size=25,
    )
)
def test_whatever_is_done_in_whatever_order_the_books_stay_true(
    steps: list[tuple[Callable[..., State], ...]],
) -> None:
    """The history only grows, by one entry a change; a refusal changes nothing; the form can hold all of it."""
    store = MemoryStore(INITIAL)
    for number, (act, what, who) in enumerate(steps):
        before = read_state(store, MIGRATION)
        extra = () if act is with_run else (stamp(f"c{number}", who, number),)
        try:
            after = update(store, MIGRATION, lambda state: act(state, what, *extra))  # noqa: B023 -- called at once
        except UsageError:
            after = before
        assert read_state(store, MIGRATION) == after
        assert store.data == objects_of(after)
        added = after.history[len(before.history) :]
        assert after.history[: len(before.history)] == before.history
        assert len(added) == (after != before and act is not with_run)
        assert all((entry.change, entry.by) == (f"c{number}", who) for entry in added)
        assert after.phase is before.phase or (before.phase, after.phase) in WAYS
        if after.phase is Phase.ROLLED_BACK is not before.phase:
            assert after.signoffs == ()


# --- update ---------------------------------------------------------------------------------------------------


def signing(change: str = "c1") -> Callable[[State], State]:
    return lambda now: sign_off(now, Signatory.DATA, stamp(change))


@given(states())
def test_a_change_of_nothing_writes_nothing(state: State) -> None:
    """The generation stays, so no other program has to read again."""
    store = MemoryStore(state)
    assert update(store, MIGRATION, lambda now: with_phase(now, state.phase, stamp())) == state
    assert store.writes == []


def test_a_change_writes_the_head_and_then_its_entry() -> None:
    """The head decides between several programs; the entry is created on condition that it is not there."""
    store = MemoryStore(INITIAL)
    state = update(store, MIGRATION, signing())
    assert store.writes == [HEAD, f"{OWN}history/00000002-dual_write.json"]
    assert (read_state(store, MIGRATION), store.data) == (state, objects_of(state))


def test_a_run_is_recorded_in_the_head_alone() -> None:
    """A sweeper on a schedule does not make the history grow."""
    store = MemoryStore(INITIAL)
    update(store, MIGRATION, lambda now: with_run(now, run_record()))
    assert store.writes == [HEAD]


def test_a_change_does_not_begin_a_migration() -> None:
    """Only `begin` makes a record; a sign-off for a mistyped pair would make one, and stop the real migration."""
    store = MemoryStore()
    with pytest.raises(PhaseUnknown, match="there is no record of this migration"):
        update(store, MIGRATION, signing())
    assert store.data == {}


def test_a_damaged_state_is_left_as_it_is() -> None:
    """It is evidence."""
    store = MemoryStore({**objects_of(INITIAL), HEAD: b'{"phase": "cut_over"}'})
    with pytest.raises(PhaseUnknown):
        update(store, MIGRATION, signing())
    assert (store.data[HEAD], store.writes) == (b'{"phase": "cut_over"}', [])


def test_a_refused_change_writes_nothing() -> None:
    """The refusal is the answer."""
    store = MemoryStore(in_phase(Phase.DELETED))
    with pytest.raises(UsageError):
        update(store, MIGRATION, signing())
    assert store.writes == []


class Restless(MemoryStore):
    """Another program is always faster: before every write, something happens."""

    def __init__(self, happens: Callable[["Restless"], None], state: State = INITIAL) -> None:
        super().__init__(state)
        self.happens = happens

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        self.happens(self)
        super().write(at, data, if_generation=if_generation)


def other_run(store: MemoryStore) -> None:
    state = with_run(read_state(store, MIGRATION), run_record(f"other-{store.generation}"))
    store.put(HEAD, state.to_json())


def test_an_update_ends_when_another_program_is_always_faster() -> None:
    """With an error that says to try again; what the others wrote is there."""
    store = Restless(other_run)
    with pytest.raises(Contended, match="others changed it during each of 3 tries") as caught:
        update(store, MIGRATION, signing(), tries=3)
    assert caught.value.transient
    state = read_state(store, MIGRATION)
    assert (len(state.runs), state.history) == (3, INITIAL.history)


@pytest.mark.parametrize("lost", [[HEAD], [*objects_of(INITIAL)]], ids=["head", "all"])
def test_a_state_that_is_deleted_meanwhile_is_not_begun_anew(lost: list[str]) -> None:
    """Its phase would be the first again, and the mirror would overwrite."""

    def vanish(store: MemoryStore) -> None:
        for name in lost:
            store.contents.pop(name, None)

    store = Restless(vanish)
    with pytest.raises(PhaseUnknown, match=r"the head is gone|its record is lost"):
        update(store, MIGRATION, signing())
    assert HEAD not in store.contents


class AnswersLost(MemoryStore):
    """Everything that is written is written, and answered as a repetition would be."""

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        super().write(at, data, if_generation=if_generation)
        raise ConditionFailed(at.uri, "our own")


def test_an_update_recognises_its_own_write_even_at_its_last_try() -> None:
    """An operator who is told "try again" would do it twice. The entry is written, too, and exactly once."""
    store = AnswersLost(INITIAL)
    state = update(store, MIGRATION, signing(), tries=1)
    assert (read_state(store, MIGRATION), store.data) == (state, objects_of(state))
    assert store.writes == [HEAD, f"{OWN}history/00000002-dual_write.json"]


@pytest.mark.parametrize("written", [0, 1])
def test_a_write_without_an_answer_is_an_error(written: int) -> None:
    """It may have been written; the error claims neither. Whoever reads a half written change is refused."""

    def no_answer(store: MemoryStore) -> None:
        if len(store.writes) == written:
            raise Unavailable("gs://b/o", "no answer")

    store = Restless(no_answer)
    with pytest.raises(Unavailable):
        update(store, MIGRATION, signing())
    assert len(store.writes) == written
    if written:
        with pytest.raises(PhaseUnknown, match="the head tells of 2 entries, and the history has 1"):
            update(MemoryStore(store.data), MIGRATION, signing("c2"), pause=no_pause)
    else:
        assert read_state(store, MIGRATION) == INITIAL


def test_an_update_waits_longer_each_time_for_another_program_s_entry() -> None:
    """Between the two writes of a change is one request's time."""
    torn = objects_of(sign_off(INITIAL, Signatory.DATA, stamp()))
    entry = f"{OWN}history/00000002-dual_write.json"
    store, waited = MemoryStore({name: data for name, data in torn.items() if name != entry}), []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            store.put(entry, torn[entry])

    assert update(store, MIGRATION, signing("c2"), pause=wait).history[-1].change == "c2"
    assert waited == [*PAUSES[:3]]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: replace(state, history=()), "must keep the state's history"),
        (lambda state: replace(state, history=state.history[::-1]), "must keep the state's history"),
        (lambda state: replace(state, phase=Phase.DUAL_WRITE, since=None), "must leave an entry"),
        (lambda state: replace(state, runs=()), "must leave an entry"),
        (lambda state: sign_off(state, Signatory.DATA, stamp("1")), "an id of its own"),
        (
            lambda state: replace(with_run(state, run_record("x")), phase=Phase.DUAL_WRITE),
            "phase is dual_write, and its own history ends in rolled_back",
        ),
        (
            lambda state: begun(state, Phase.DUAL_WRITE, stamp("5")),
            "entry 6 of its history sets a phase that does not follow",
        ),
        (
            lambda state: deletion_goes_on(state, stamp("5"), note="two\nlines"),
            "note is 'two",
        ),
    ],
    ids=["cut", "reordered", "unsaid", "only-less", "same-id", "with-a-run", "begun-again", "unreadable"],
)
def test_a_change_that_would_spoil_the_history_is_refused(
    change: Callable[[State], State], said: str
) -> None:
    """A fault of the program, found before it is written."""
    state = sign_off(sign_off(INITIAL, Signatory.DATA, stamp("1")), Signatory.DATA, stamp("2"))
    state = with_phase(with_run(state, run_record()), Phase.CUT_OVER, stamp("3"))
    state = with_phase(state, Phase.ROLLED_BACK, stamp("4"))
    store = MemoryStore(state)
    with pytest.raises(ValueError, match=said):
        update(store, MIGRATION, change)
    assert store.writes == []
