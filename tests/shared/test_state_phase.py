"""The phase as the mirror reads it: alone, briefly remembered, and never guessed."""

import json
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from hypothesis import given
from hypothesis import strategies as st
from state_makers import MIGRATION, START
from testing_paths import Paths

from shared.decision import Authority
from shared.errors import PhaseUnknown, Unavailable
from shared.gateway import Gateway
from shared.objects import ObjectRef
from shared.phase import CACHE_SECONDS, Phase, PhaseReader, read_phase, state_ref
from shared.record import update
from shared.state import Signatory, State
from shared.state_changes import Stamp, sign_off, with_phase


class Contents:
    """An object's contents, or what reading them ends in."""

    def __init__(self, contents: bytes | Exception | None = None) -> None:
        self.contents = contents
        self.reads = 0

    def read(self, at: ObjectRef) -> bytes | None:
        assert at == state_ref(MIGRATION)
        self.reads += 1
        if isinstance(self.contents, Exception):
            raise self.contents
        return self.contents


def with_text(phase: str) -> bytes:
    return json.dumps({"phase": phase}).encode()


def test_without_a_state_the_migration_is_in_its_first_phase() -> None:
    """The mirror starts before anybody has decided anything."""
    assert read_phase(Contents(None), MIGRATION) is Phase.DUAL_WRITE


@pytest.mark.parametrize("phase", Phase)
def test_the_phase_is_read_whatever_else_is_damaged(phase: Phase) -> None:
    """The mirror loses no events over a damaged sign-off, or over a form from a newer program."""
    for rest in (
        {},
        {"signoffs": "spoilt", "history": None},
        {"version": 99, "more": [1]},
        {"source": MIGRATION.source.uri, "since": "yesterday"},
    ):
        contents = json.dumps({**rest, "phase": phase.value}).encode()
        assert read_phase(Contents(contents), MIGRATION) is phase


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"[]",
        b"{}",
        b'"cut_over"',
        b'{"phase": null}',
        b'{"phase": "Cut_over"}',
        b'{"phase": ["cut_over"]}',
        b'{"phase": "cut_over"',
        b'{"phase": "cut_over", "phase": "dual_write"}',
        b'{"phase": "cut_over", "more": {"a": 1, "a": 2}}',
        b'{"phase": "cut_over", "more": ' + b"[" * 100_000,
        b'\xef\xbb\xbf{"phase": "cut_over"}',
        '{"phase": "cut_over"}'.encode("utf-16"),
    ],
    ids=range(13),
)
def test_what_names_no_phase_clearly_is_an_error_that_another_try_may_mend(contents: bytes) -> None:
    """The mirror does nothing until the state is repaired."""
    with pytest.raises(PhaseUnknown, match="not a migration's state") as caught:
        read_phase(Contents(contents), MIGRATION)
    assert caught.value.transient
    assert caught.value.uri == "gs://export-dev/_migration/qpi_exports/state.json"


@given(st.binary())
def test_no_bytes_are_taken_for_a_phase(contents: bytes) -> None:
    """No traceback, no guess."""
    with pytest.raises(PhaseUnknown):
        read_phase(Contents(contents), MIGRATION)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_another_migration_s_phase_is_not_this_one_s(side: str) -> None:
    """A copy of another environment's state would let the mirror overwrite after the cutover."""
    contents = json.dumps({"phase": "dual_write", side: "gs://another/one/"}).encode()
    with pytest.raises(
        PhaseUnknown, match=f"the state of another migration: its {side} is 'gs://another/one/'"
    ):
        read_phase(Contents(contents), MIGRATION)


def test_the_phase_is_read_at_most_once_in_a_while() -> None:
    """And again when the time is up, measured from before the read."""
    now = [100.0]
    store = Contents(with_text("dual_write"))
    reader = PhaseReader(store, MIGRATION, lambda: now[0])
    assert reader.phase() is Phase.DUAL_WRITE
    store.contents = with_text("cut_over")
    now[0] += CACHE_SECONDS - 0.001
    assert (reader.phase(), store.reads) == (Phase.DUAL_WRITE, 1)
    now[0] += 0.001
    assert (reader.phase(), store.reads) == (Phase.CUT_OVER, 2)


def test_what_is_known_is_told_without_reading() -> None:
    """For those who must not wait."""
    now = [100.0]
    store = Contents(with_text("cut_over"))
    reader = PhaseReader(store, MIGRATION, lambda: now[0])
    assert (reader.known(), store.reads) == (None, 0)
    reader.phase()
    assert (reader.known(), store.reads) == (Phase.CUT_OVER, 1)
    now[0] += CACHE_SECONDS
    assert (reader.known(), store.reads) == (None, 1)


def test_threads_share_one_read() -> None:
    """One of those who wait reads, the others take what it found."""
    at_once = Barrier(8)
    store = Contents(with_text("cut_over"))
    reader = PhaseReader(store, MIGRATION, lambda: 0.0)

    def ask(_: int) -> Phase:
        at_once.wait()
        return reader.phase()

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(8))) == {Phase.CUT_OVER}
    assert store.reads == 1


def test_a_phase_that_cannot_be_read_again_is_not_remembered_for_longer() -> None:
    """A cutover waits for the cache and no longer."""
    now = [100.0]
    store = Contents(with_text("dual_write"))
    reader = PhaseReader(store, MIGRATION, lambda: now[0])
    reader.phase()
    now[0] += CACHE_SECONDS
    for problem in (Unavailable("gs://b/o", "no answer"), b"damaged"):
        store.contents = problem
        with pytest.raises((Unavailable, PhaseUnknown)):
            reader.phase()
    store.contents = with_text("rolled_back")
    assert reader.phase() is Phase.ROLLED_BACK


def test_whose_word_counts_follows_from_the_phase() -> None:
    """The legacy path's before the cutover, the new one's after it; after a rollback the later write."""
    assert {phase: phase.forward_authority for phase in Phase} == {
        Phase.DUAL_WRITE: Authority.SOURCE,
        Phase.CUT_OVER: Authority.DESTINATION,
        Phase.ROLLED_BACK: Authority.LATER_WRITE,
        Phase.DELETING: Authority.DESTINATION,
        Phase.DELETED: Authority.DESTINATION,
    }


def test_the_mirror_reads_what_the_operator_writes(paths: Paths, gateway: Gateway) -> None:
    """On a real server, through the same object."""

    def change(state: State) -> State:
        signed = sign_off(state, Signatory.DATA, Stamp("c1", "Ada", START))
        return with_phase(signed, Phase.CUT_OVER, Stamp("c2", "Ada", START))

    reader = PhaseReader(gateway, paths.migration, lambda: 0.0)
    update(gateway, paths.migration, change)
    assert reader.phase() is Phase.CUT_OVER
