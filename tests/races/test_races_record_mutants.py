"""The scopes of ``race_record`` find each mutant of what surrounds the rule; ``pytest -rP`` shows each counterexample."""

from dataclasses import replace
from typing import Any

import pytest
from race_record import MIGRATION, Claim, Scope, Store
from race_record_scopes import BACK as WAY_BACK
from race_record_scopes import (
    CHILD,
    CLOCKS,
    LEGACY_EVENT,
    NAME,
    PAIRS,
    PASSES,
    RECORD,
    REVERSED,
    begin_of,
    explored,
    moves,
    one_pass,
    pair_begins,
    pair_copies,
    refuse,
)

import shared.phase
import shared.record
from mirror_function.settings import MirrorSettings
from shared.authority import Always
from shared.decision import ABSENT, Authority
from shared.errors import ConditionFailed
from shared.phase import Phase, PhaseReader, Recorded, entry_ref, listed_history, phases_of, state_ref
from shared.replicate import LastSeen, replicate
from shared.server_time import ServerTime

real_recorded, real_write = shared.phase.recorded, shared.record._write


@pytest.fixture(autouse=True)
def _one_more_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared.phase, "PAUSES", (0.0,))


def test_absence_read_as_the_first_phase_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is removed, and an event that comes again overwrites."""

    def absent_is_dual_write(contents: Any, listed: Any, migration: Any) -> Recorded:
        if contents is None and not listed:
            return Recorded(Phase.DUAL_WRITE, 0)
        return real_recorded(contents, listed, migration)

    monkeypatch.setattr(shared.phase, "recorded", absent_is_dual_write)
    _finds(RECORD["cut over, an event, the folder is removed"], Claim.NOT_LOST)


def test_a_lost_head_read_as_the_first_phase_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One object is lost."""

    def lost_head_is_dual_write(contents: Any, listed: Any, migration: Any) -> Recorded:
        if contents is None:
            return Recorded(Phase.DUAL_WRITE, len(listed))
        return real_recorded(contents, listed, migration)

    monkeypatch.setattr(shared.phase, "recorded", lost_head_is_dual_write)
    _finds(RECORD["cut over, an event twice, a part of the record is damaged"], Claim.NOT_LOST)


def test_the_head_alone_believed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head is edited."""

    def head_alone(contents: bytes, listed: Any, migration: Any) -> Recorded:
        if contents is None:
            return real_recorded(contents, listed, migration)
        content = shared.phase.state_content(contents, migration)
        return Recorded(shared.phase.phase_in(content, migration), len(content["history"]))

    monkeypatch.setattr(shared.phase, "recorded", head_alone)
    _finds(RECORD["cut over, an event twice, a part of the record is damaged"], Claim.NOT_LOST)


def test_the_history_alone_believed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last entry is lost."""

    def history_alone(contents: Any, listed: Any, migration: Any) -> Recorded:
        if not listed:
            return real_recorded(contents, listed, migration)
        return Recorded(phases_of(listed, migration)[-1], len(listed))

    monkeypatch.setattr(shared.phase, "recorded", history_alone)
    _finds(RECORD["cut over, a sweep, a part of the record is damaged"], Claim.NOT_LOST)


def test_a_damaged_record_for_which_the_last_phase_is_used_on_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader that goes on with what it knew acts in doubt."""
    real = PhaseReader._read_anew

    def goes_on(reader: PhaseReader) -> Recorded:
        try:
            return real(reader)
        except shared.phase.PhaseUnknown:
            if reader._read is None:
                raise
            return reader._read[1]

    monkeypatch.setattr(PhaseReader, "_read_anew", goes_on)
    _finds(RECORD["a copy is due, the record is damaged"], Claim.NO_DOUBT)


def test_the_entry_written_before_the_head_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes at once leave two entries with one number, without any damage."""

    def entry_first(store: Any, migration: Any, state: Any, generation: int, kept: int) -> None:
        for number, entry in enumerate(state.history[kept:], kept + 1):
            at = entry_ref(migration, number, entry.phase)
            try:
                store.write(at, state.entry_bytes(entry), if_generation=ABSENT)
            except ConditionFailed:
                continue
        store.write(state_ref(migration), state.to_json(), if_generation=generation)

    monkeypatch.setattr(shared.record, "_write", entry_first)
    _finds(RECORD["a cutover and a sign-off at once"], Claim.READABLE)


def test_an_entry_of_another_change_taken_for_our_own_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The head goes back between two changes: the second one is acknowledged, and on record nowhere."""

    def never_compared(store: Any, *arguments: Any) -> None:
        try:
            real_write(store, *arguments)
        except shared.record.PhaseUnknown:
            return

    monkeypatch.setattr(shared.record, "_write", never_compared)
    _finds(RECORD["two sign-offs at once, the head goes back"], Claim.ON_RECORD)


def test_fewer_entries_than_were_seen_before_accepted_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Head and history are set back together: only a process that has seen more can tell."""

    def forgetful(reader: PhaseReader) -> Recorded:
        now = reader._monotonic()
        found = shared.phase.read_phase(reader._store, reader._migration, reader._pause)
        reader._read = (now, found)
        return found

    monkeypatch.setattr(PhaseReader, "_read_anew", forgetful)
    _finds(RECORD["a process that has seen the cutover, the record is set back"], Claim.NOT_LOST)


def test_begin_over_what_is_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder is removed, and `begin` makes it the first phase again."""
    monkeypatch.setattr(shared.record, "_check_may_begin", lambda *_: None)
    _finds(RECORD["cut over, an event, the folder is removed, begin"], Claim.NOT_LOST)


def test_the_local_clock_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process sleeps through the cutover."""
    monkeypatch.setattr(PhaseReader, "_age", lambda reader, began, _: reader._monotonic() - began)
    _finds(CLOCKS["a mirror with a cached phase that sleeps"], Claim.NOT_LOST)
    _finds(CLOCKS["a command with a cached phase that sleeps"], Claim.NOT_LOST)


def test_the_server_s_clock_alone_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers carry no time, so that a phase never gets old."""

    def by_answers(reader: PhaseReader, _: float, found: Recorded) -> float:
        newest = reader._store.server_time.newest()
        return 0.0 if newest is None or found.served is None else (newest - found.served).total_seconds()

    monkeypatch.setattr(PhaseReader, "_age", by_answers)
    _finds(CLOCKS["answers without a time"], Claim.NOT_LOST)


def test_the_time_taken_after_the_head_s_read_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread's newer answer makes an old phase look new."""

    def taken_late(store: Store, migration: Any, _: Any) -> Recorded:
        listed = listed_history(store, migration)
        found = shared.phase.recorded(store.read(state_ref(migration)), listed, migration)
        return replace(found, served=store.server_time.newest())

    monkeypatch.setattr(shared.phase, "read_phase", taken_late)
    _finds(CLOCKS["answers that arrive late, a sleep, another thread"], Claim.NOT_LOST)


def test_the_time_of_another_thread_s_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Taken before the head's read, but after a newer answer; and the head goes back between."""
    monkeypatch.setattr(ServerTime, "newest_here", ServerTime.newest)
    _finds(CLOCKS["a late listing, a sleep, another thread, and the head goes back"], Claim.NOT_LOST)


def asked_before_the_look(store: Store) -> object:
    """A mirror that asks for the phase, looks, and judges by what it was told."""
    authority = MirrorSettings(MIGRATION).authority(store.phases.phase())
    here, there = MIGRATION.source_ref(NAME), MIGRATION.destination_ref(NAME)
    return replicate(store, here, there, authority, last_seen=LastSeen(LEGACY_EVENT.state, None))  # type: ignore[arg-type]


def test_the_phase_read_before_the_look_is_found() -> None:
    """The look takes as long as a cutover."""
    _finds(
        _with(CLOCKS["a mirror with a cached phase, a cutover that waits"], "mirror", asked_before_the_look),
        Claim.NOT_LOST,
    )


@pytest.mark.parametrize(
    "name", ["a refresh across a deletion", "a refresh with a cached phase, a sleep, a deletion"]
)
def test_a_pass_that_does_not_ask_for_the_phase_is_found(name: str) -> None:
    """A refresh brings a deleted object back."""
    always = one_pass(lambda _: Always(Authority.LATER_WRITE), WAY_BACK)
    _finds(_with(PASSES[name], "refresh", always), Claim.STAYS_GONE)


def test_a_way_back_that_creates_after_a_deletion_has_begun_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mirror's second look comes after the deletion."""

    def may_create(settings: MirrorSettings, phase: Phase) -> Authority | None:
        return phase.reverse_authority or Authority.DESTINATION

    monkeypatch.setattr(MirrorSettings, "authority", may_create)
    _finds(PASSES["an event on the way back, across a deletion"], Claim.STAYS_GONE)


def test_a_cutover_that_does_not_wait_is_found() -> None:
    """A mirror still has the phase before."""
    hasty = moves(Phase.CUT_OVER, seconds=0)
    _finds(
        _with(CLOCKS["a mirror with a cached phase, a cutover that waits"], "cutover", hasty), Claim.NOT_LOST
    )


def test_a_deletion_that_does_not_wait_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh still has the phase before."""
    monkeypatch.setattr(Store, "wait", lambda *_: None)
    _finds(PASSES["a refresh with a cached phase, a sleep, a deletion"], Claim.STAYS_GONE)


@pytest.mark.parametrize(
    "name",
    [
        "a child begins in the same minute",
        "the reversed pair begins in the same minute",
        "a child begins after the cutover",
        "a parent begins after the cutover",
        "the reversed pair begins before the cutover",
    ],
)
def test_a_pair_that_does_not_look_for_others_is_found(name: str) -> None:
    """It is in its first phase, whatever the other one's is."""
    scope = PAIRS[name]
    pair = dict(scope.pairs)["other"]
    scope = _with(scope, "other begin", pair_begins(pair, asks=False))
    _finds(_with(scope, "other copies", pair_copies(pair, asks=False)), Claim.NOT_LOST)


@pytest.mark.parametrize("pair", [CHILD, REVERSED])
def test_a_copy_that_does_not_ask_again_is_found(pair: Any) -> None:
    """It relies on what `begin` found."""
    scope = PAIRS[
        "a child begins in the same minute"
        if pair is CHILD
        else "the reversed pair begins in the same minute"
    ]
    scope = _with(scope, "other begin", _asks_before(pair))
    _finds(_with(scope, "other copies", pair_copies(pair, asks=False)), Claim.NOT_LOST)


def _asks_before(pair: Any) -> Any:
    def program(store: Store) -> object:
        refuse(pair, store)
        return begin_of(pair, store)

    return program


def _with(scope: Scope, name: str, program: Any) -> Scope:
    """The scope with another program in an actor's place."""
    return replace(
        scope,
        actors=tuple(replace(each, program=program) if each.name == name else each for each in scope.actors),
    )


def _finds(scope: Scope, claim: Claim) -> None:
    found = explored(scope, claim)
    assert found.wrong is not None, "the mutant lives"
    print(f"{found.states} states, {len(found.history)} steps")  # noqa: T201 -- for pytest -rP
