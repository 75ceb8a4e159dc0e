"""Several programs at the record at once: every interleaving of their requests, with answers that get lost and programs that stop.

`update`, `begin` and `read_phase` run unchanged. Their store answers from a recorded history and stops them at the first request
without an answer. The explorer gives each possible answer and runs them again. So a program's whole memory is a tuple of
answers, and the explorer visits each state of the world once.

The record is several objects, so a change is several requests: a listing, a read, the head, the entry. A program that never gets
another answer is one that was killed. So every world that the explorer reaches is also the world after a crash, and `begin` has
to make its record whole.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import pytest
from state_makers import (
    HEAD,
    INITIAL,
    MIGRATION,
    OWN,
    MemoryStore,
    listing_pages,
    no_pause,
    objects_of,
    run_record,
    stamp,
    state_of,
)
from testing_paths import Paths

from shared import phase as phase_module
from shared import record as record_module
from shared.decision import ABSENT
from shared.errors import ConditionFailed, MigrationError, PhaseUnknown, Unavailable, UsageError
from shared.gateway import Gateway
from shared.migration import Migration
from shared.objects import ObjectRef
from shared.phase import Phase, Recorded, entry_ref, listed_history, phases_of, read_phase, state_ref
from shared.record import Begin, Record, begin, read_record, read_state, state_from_head, update
from shared.server_time import ServerTime
from shared.state import Signatory, State
from shared.state_changes import sign_off, with_phase, with_run, withdraw
from shared.store import ListingPage

Change = Callable[[State], State]
Program = Callable[[Any], Any]

# --- the world ------------------------------------------------------------------------------------------------


class Asks(NamedTuple):
    """A request: a listing below a name, a read of a name, or a write with data and condition."""

    name: str
    listing: bool = False
    data: bytes | None = None
    if_generation: int = ABSENT


class Asked(BaseException):
    """The program waits for an answer; not an Exception, so that nothing can swallow it."""

    def __init__(self, request: Asks) -> None:
        self.request = request


class Replayed:
    """Answers from a history, then stops the program."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self._answers = iter(answers)
        self.server_time = ServerTime()

    def _answer(self, request: Asks) -> Any:
        try:
            answer = next(self._answers)
        except StopIteration:
            raise Asked(request) from None
        if isinstance(answer, type):
            raise answer(f"gs://export-dev/{request.name}", "as the explorer will have it")
        return answer

    def read(self, at: ObjectRef) -> bytes | None:
        found = self.read_version(at)
        return found and found[1]

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        return self._answer(Asks(at.name))

    def list_pages(
        self, _bucket: str, prefix: str, *, start: str = "", end: str = ""
    ) -> Iterator[ListingPage]:
        assert (start, end) == ("", "")
        yield from listing_pages([state_of(*each) for each in self._answer(Asks(prefix, listing=True))])

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        self._answer(Asks(at.name, data=data, if_generation=if_generation))


class World(NamedTuple):
    """The objects, by name; and what each program has been answered. Generations are unique and not ordered."""

    objects: tuple[tuple[str, int, bytes], ...]
    writes: int
    faults: int
    answers: tuple[tuple[Any, ...], ...]

    @property
    def data(self) -> dict[str, bytes]:
        return {name: data for name, _, data in self.objects}


def history_of(data: dict[str, bytes]) -> list[str]:
    """The changes that the head tells of, in their order."""
    return [entry.change for entry in head_of(data).history] if HEAD in data else []


@lru_cache(None)
def _head(contents: bytes) -> State:
    return state_from_head(contents, MIGRATION)


def head_of(data: dict[str, bytes]) -> State:
    return _head(data[HEAD])


@dataclass
class Explored:
    worlds: int
    ends: list[tuple[dict[str, bytes], tuple[Any, ...]]]
    mended: int


class Explorer:
    """Explores all that can happen to some programs that run at once.

    Args:
        programs: Each makes its requests of the store that it is given.
        faults: How many answers get lost in one history, at most.
        conditional: Whether the store heeds the condition; False shows that the exploration can fail.
        start: What is stored at first: a whole record, or nothing.
        crashes: Whether `begin` is tried on every record that there is on the way.
    """

    def __init__(
        self,
        *programs: Program,
        faults: int,
        conditional: bool = True,
        start: State | None = INITIAL,
        crashes: bool = True,
    ) -> None:
        self._programs = programs
        self._conditional = conditional
        self._crashes = crashes
        stored = sorted(objects_of(start).items()) if start else []
        objects = tuple((name, 5_000 + number, data) for number, (name, data) in enumerate(stored))
        self._first = World(objects, 0, faults, tuple(() for _ in programs))
        self._progress = lru_cache(None)(self._run)
        self._mended: set[tuple[tuple[str, bytes], ...]] = set()

    def _run(self, number: int, answers: tuple[Any, ...]) -> Any:
        try:
            return self._programs[number](Replayed(answers))
        except (Asked, MigrationError) as stopped:
            return stopped

    def explore(self) -> Explored:
        known, frontier, ends = {self._first}, deque([self._first]), []
        while frontier:
            world = frontier.popleft()
            self._check_crash(world)
            following = [
                after
                for number, answers in enumerate(world.answers)
                if isinstance(asked := self._progress(number, answers), Asked)
                for after in self._answered(world, number, asked.request)
            ]
            if not following:
                results = tuple(
                    self._progress(number, answers) for number, answers in enumerate(world.answers)
                )
                ends.append((world.data, results))
            for after in following:
                check_step(world, after)
                if after not in known:
                    known.add(after)
                    frontier.append(after)
        return Explored(len(known), ends, len(self._mended))

    def _answered(self, world: World, number: int, request: Asks) -> list[World]:
        def told(answer: Any, *, faults: int = 0, written: bool = False) -> World:
            answers = list(world.answers)
            answers[number] = (*answers[number], answer)
            after = world._replace(faults=world.faults - faults, answers=tuple(answers))
            if written and request.data is not None:
                generation = (world.writes * 7_919 + 11) % 4_001 + 1
                others = [each for each in world.objects if each[0] != request.name]
                objects = tuple(sorted([*others, (request.name, generation, request.data)]))
                after = after._replace(objects=objects, writes=world.writes + 1)
            return after

        if request.listing:
            return [told(tuple(each for each in world.objects if each[0].startswith(request.name)))]
        live = next(
            ((generation, data) for name, generation, data in world.objects if name == request.name), None
        )
        if request.data is None:
            return [told(live)]
        if self._conditional and request.if_generation != (live[0] if live else ABSENT):
            return [told(ConditionFailed)]
        found = [told(None, written=True)]
        if world.faults:
            # It was written: its repetition fails, or no answer ever comes. Or it was not, and none comes either.
            found += [
                told(ConditionFailed, faults=1, written=True),
                told(Unavailable, faults=1, written=True),
                told(Unavailable, faults=1),
            ]
        return found

    def _check_crash(self, world: World) -> None:
        """If all programs were killed here, `begin` makes the record whole, and every change is there exactly once."""
        known = tuple((name, data) for name, _, data in world.objects)
        if not self._crashes or known in self._mended or HEAD not in dict(known):
            return
        self._mended.add(known)
        store = MemoryStore(world.data)
        done, state = begin(store, MIGRATION, stamp("mends", "Eve"))
        assert store.data == objects_of(state), "not whole"
        assert [entry.change for entry in state.history] == history_of(world.data), "not what was written"
        assert done in {Begin.MENDED, Begin.AS_IT_WAS}
        assert (done is Begin.AS_IT_WAS) == (world.data == store.data)


def check_step(before: World, after: World) -> None:
    """Nothing that was ever written down is lost by a later write, and no entry changes."""
    if before.objects == after.objects:
        return
    was, now = before.data, after.data
    assert all(now[name] == data for name, data in was.items() if name != HEAD), "an entry was changed"
    if HEAD in was:
        told = history_of(was)
        assert history_of(now)[: len(told)] == told, "a change was lost"
        assert set(head_of(was).runs) <= set(head_of(now).runs), "a run was lost"


def check_ends(explored: Explored, made: list[Callable[[State], int]]) -> None:
    """Each change is made once if that was reported, and at most once if the answer was lost.

    Where a program stopped between its two writes, the others are refused until `begin` has completed it.

    Args:
        explored: What was found.
        made: For each updater, how often a state holds its change.
    """
    for data, results in explored.ends:
        state = head_of(data)
        torn = data != objects_of(state)
        assert not torn or any(isinstance(result, Unavailable) for result in results)
        for count, result in zip(made, results, strict=False):
            if isinstance(result, State):
                assert (count(result), count(state)) == (1, 1), "reported, and not there just once"
            else:  # no answer came; or each time that it read, another change was half written
                assert isinstance(result, Unavailable | PhaseUnknown), result
                assert count(state) <= 1, "made twice"


def noted(change: str) -> Callable[[State], int]:
    return lambda state: [entry.change for entry in state.history].count(change)


def changing(change: Change) -> Program:
    return lambda store: update(store, MIGRATION, change, pause=no_pause)


def signing(change: str, name: Signatory = Signatory.DATA, by: str = "Ada") -> Program:
    return changing(lambda state: sign_off(state, name, stamp(change, by)))


def moving(phase: Phase, change: str) -> Program:
    return changing(lambda state: with_phase(state, phase, stamp(change, "Grace")))


@pytest.fixture(autouse=True)
def _few_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """More reads of a record that does not change show nothing new."""
    monkeypatch.setattr(phase_module, "PAUSES", (0.0,))


# --- what holds: several changes -------------------------------------------------------------------------------


def test_two_at_once_with_lost_answers_lose_nothing_and_do_nothing_twice() -> None:
    """Two operators, as many lost answers as can be, every interleaving."""
    explored = Explorer(signing("a", by="Ada"), signing("b", by="Bob"), faults=4).explore()
    check_ends(explored, [noted("a"), noted("b")])
    assert explored.worlds > 1_000
    assert explored.mended == 9, "no change, one or two, in both orders; the last one whole or half written"


def test_the_same_person_at_two_terminals_signs_once() -> None:
    """The history tells of both, the sign-off is one."""
    explored = Explorer(signing("a"), signing("b"), faults=2).explore()
    check_ends(explored, [noted("a"), noted("b")])
    assert {len(head_of(data).signoffs) for data, _ in explored.ends} == {0, 1}


def test_three_at_once_with_a_lost_answer_lose_nothing_and_do_nothing_twice() -> None:
    """Three operators, every interleaving."""
    explored = Explorer(*(signing(name, by=name) for name in "abc"), faults=1).explore()
    check_ends(explored, [noted(name) for name in "abc"])
    assert explored.worlds > 10_000


def test_three_at_once_an_operator_a_run_and_the_cutover() -> None:
    """Changes of every kind, one lost answer."""
    record = run_record(certificate_sha256="a" * 64)
    explored = Explorer(
        signing("a"),
        changing(lambda state: with_run(state, record)),
        moving(Phase.CUT_OVER, "c"),
        faults=1,
    ).explore()
    refused = [results[0] for _, results in explored.ends if isinstance(results[0], UsageError)]
    assert refused, "a sign-off that comes after the cutover is refused"
    explored.ends = [end for end in explored.ends if not isinstance(end[1][0], UsageError)]
    check_ends(explored, [noted("a"), lambda state: state.runs.count(record), noted("c")])
    assert explored.worlds > 2_000


def test_a_cutover_and_a_withdrawal_at_once_never_both_succeed() -> None:
    """What must hold when a change is made is looked at where it is made, not before."""

    def cut_over(state: State) -> State:
        if Signatory.DATA in state.missing_signoffs:
            raise UsageError("not signed off")
        return with_phase(state, Phase.CUT_OVER, stamp("cut"))

    signed = sign_off(INITIAL, Signatory.DATA, stamp("first"))
    explored = Explorer(
        changing(cut_over),
        changing(lambda state: withdraw(state, Signatory.DATA, stamp("back"))),
        faults=3,
        start=signed,
    ).explore()
    outcomes = set()
    for data, results in explored.ends:
        state = head_of(data)
        cut, withdrawn = noted("cut")(state), noted("back")(state)
        assert cut + withdrawn <= 1
        outcomes.add((cut, withdrawn))
        for count, result in ((cut, results[0]), (withdrawn, results[1])):
            assert count == 1 if isinstance(result, State) else isinstance(result, Unavailable) or count == 0
    assert outcomes == {(0, 0), (0, 1), (1, 0)}


def test_a_rollback_on_top_of_a_cutover_whose_answer_was_lost_is_not_undone() -> None:
    """The cutover finds itself in the history; applied again, it would cut over twice."""
    explored = Explorer(moving(Phase.CUT_OVER, "cut"), moving(Phase.ROLLED_BACK, "back"), faults=2).explore()
    assert all(noted("cut")(head_of(data)) <= 1 for data, _ in explored.ends)
    both = [head_of(data) for data, _ in explored.ends if noted("back")(head_of(data))]
    assert both
    assert {state.phase for state in both} == {Phase.ROLLED_BACK}


# --- what holds: readers ---------------------------------------------------------------------------------------


def reading_twice(store: Replayed) -> list[Recorded | Record | None]:
    """A mirror and then an operator; None where the record could not be read."""
    found: list[Recorded | Record | None] = []
    for read in (read_phase, read_record):
        try:
            found.append(read(store, MIGRATION, no_pause))
        except PhaseUnknown:
            found.append(None)
    return found


def test_no_reader_sees_a_phase_that_was_not_written_or_that_is_older_than_one_seen_before() -> None:
    """At every point of a cutover and a rollback, also while they are written and where an answer is lost."""
    explored = Explorer(
        moving(Phase.CUT_OVER, "cut"),
        moving(Phase.ROLLED_BACK, "back"),
        reading_twice,
        faults=1,
        crashes=False,
    ).explore()
    phases = {1: Phase.DUAL_WRITE, 2: Phase.CUT_OVER, 3: Phase.ROLLED_BACK}
    seen = set()
    for _, (_, _, (mirror, operator)) in explored.ends:
        first = None if mirror is None else mirror.entries
        second = None if operator is None else len(operator.state.history)
        assert mirror is None or mirror.phase is phases[mirror.entries]
        assert second is None or operator.state.phase is phases[second]
        assert first is None or second is None or first <= second
        seen.add((first, second))
    assert seen >= {(1, 1), (1, 2), (1, 3), (2, 3), (3, 3), (None, 2), (1, None), (None, None)}


# --- what holds: beginning --------------------------------------------------------------------------------------


def beginning(change: str, phase: Phase | None = None) -> Program:
    return lambda store: begin(store, MIGRATION, stamp(change, change), phase)


@pytest.mark.parametrize("faults", [0, 1])
def test_two_that_begin_at_once_begin_one_migration(faults: int) -> None:
    """Three tasks of a first run do; one says that it was the one."""
    explored = Explorer(beginning("a"), beginning("b"), faults=faults, start=None).explore()
    for data, results in explored.ends:
        began = [result for result in results if isinstance(result, tuple)]
        if not faults:
            (other,) = [done for done, _ in began if done is not Begin.BEGUN]
            assert other in {Begin.AS_IT_WAS, Begin.MENDED}, "mended between the two writes of the first"
            assert data == objects_of(head_of(data))
        assert [done for done, _ in began].count(Begin.BEGUN) <= 1
        for done, state in began:
            assert data == objects_of(state), "whole when reported"
            assert done is not Begin.BEGUN or state.history[0].change == (
                "a" if results[0] == (done, state) else "b"
            )
        if len(began) < 2:
            assert any(isinstance(result, Unavailable) for result in results)
        assert len(history_of(data)) <= 1


def test_two_that_begin_at_once_in_different_phases_do_not_both_succeed() -> None:
    """The one that was slower is told which phase holds."""
    explored = Explorer(
        beginning("a", Phase.DUAL_WRITE), beginning("b", Phase.CUT_OVER), faults=1, start=None
    ).explore()
    refused = 0
    for _, results in explored.ends:
        began = [result for result in results if isinstance(result, tuple)]
        assert len(began) <= 1
        refused += any(isinstance(result, UsageError) for result in results)
    assert refused


def test_beginning_again_disturbs_no_change() -> None:
    """An operator mends a record while a cutover is written, whose answers get lost."""
    explored = Explorer(moving(Phase.CUT_OVER, "cut"), beginning("b"), faults=2).explore()
    for data, (cut, began) in explored.ends:
        count = noted("cut")(head_of(data))
        assert count == 1 if isinstance(cut, State) else count <= 1
        assert isinstance(cut, State | Unavailable)
        if isinstance(began, tuple):
            done, state = began
            assert done in {Begin.AS_IT_WAS, Begin.MENDED}
            assert noted("b")(state) == 0
    assert {began[0] for _, (_, began) in explored.ends if isinstance(began, tuple)} == {
        Begin.AS_IT_WAS,
        Begin.MENDED,
    }


@pytest.mark.parametrize("lost", [HEAD, f"{OWN}history/00000001-dual_write.json"])
def test_two_that_mend_at_once_mend_it_once(lost: str) -> None:
    """With the same bytes, whoever writes them."""
    signed = sign_off(INITIAL, Signatory.DATA, stamp("first"))
    explorer = Explorer(beginning("a"), beginning("b"), faults=1, start=signed, crashes=False)
    first = explorer._first
    explorer._first = first._replace(objects=tuple(each for each in first.objects if each[0] != lost))
    for data, results in explorer.explore().ends:
        if any(isinstance(result, tuple) for result in results):
            assert data == objects_of(signed)


# --- and that the exploration would find what does not -----------------------------------------------------------


def write_entries(store: Any, migration: Migration, state: State, kept: int) -> None:
    for number, entry in enumerate(state.history[kept:], kept + 1):
        with suppress(ConditionFailed):
            at = entry_ref(migration, number, entry.phase)
            store.write(at, state.entry_bytes(entry), if_generation=ABSENT)


@pytest.mark.parametrize(
    "recognises",
    [lambda *_: False, lambda now, _, after: now == after],
    ids=["never", "only-if-nothing-came-after"],
)
def test_without_recognising_its_own_write_a_change_would_be_made_twice(
    recognises: Callable[..., bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Comparing the contents is not enough: another program may have written on top of them.

    It is found out before it is written, because a change that is made twice has the same id twice.
    """
    monkeypatch.setattr(record_module, "_holds", recognises)
    explorer = Explorer(signing("a"), beginning("m"), signing("b", by="Bob"), faults=1, crashes=False)
    with pytest.raises(ValueError, match="each change needs an id of its own"):
        explorer.explore()


def test_without_completing_its_own_write_a_lost_answer_would_leave_the_record_half_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One answer of the head's write that gets lost would stop every mirror."""

    def head_first(store: Any, migration: Migration, state: State, generation: int, kept: int) -> None:
        store.write(state_ref(migration), state.to_json(), if_generation=generation)
        write_entries(store, migration, state, kept)

    monkeypatch.setattr(record_module, "_write", head_first)
    explored = Explorer(signing("a"), faults=1).explore()
    with pytest.raises(AssertionError):
        check_ends(explored, [noted("a")])


def test_without_the_condition_a_change_would_be_lost() -> None:
    """Two who read the same state write two different ones."""
    explorer = Explorer(signing("a"), signing("b", by="Bob"), faults=0, conditional=False, crashes=False)
    with pytest.raises(AssertionError, match="a change was lost"):
        explorer.explore()


def test_with_the_entry_before_the_head_a_phase_would_be_read_that_nobody_decided(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The head's condition decides between two; an entry that comes first is there whoever wins."""

    def entry_first(store: Any, migration: Migration, state: State, generation: int, kept: int) -> None:
        write_entries(store, migration, state, kept)
        store.write(state_ref(migration), state.to_json(), if_generation=generation)

    monkeypatch.setattr(record_module, "_write", entry_first)
    explorer = Explorer(moving(Phase.CUT_OVER, "cut"), signing("a", by="Bob"), faults=0)
    with pytest.raises((AssertionError, PhaseUnknown)):
        check_ends(explorer.explore(), [noted("cut"), noted("a")])


def test_a_reader_of_the_history_alone_would_see_a_phase_older_than_one_seen_before() -> None:
    """The head tells of a cutover already, and its entry is not there yet: to read on is what fails closed."""

    def alone(store: Replayed) -> list[Phase]:
        head = _head(store.read(state_ref(MIGRATION)) or b"")
        return [head.phase, phases_of(listed_history(store, MIGRATION), MIGRATION)[-1]]

    explored = Explorer(moving(Phase.CUT_OVER, "cut"), alone, faults=0, crashes=False).explore()
    assert [Phase.CUT_OVER, Phase.DUAL_WRITE] in [found for _, (_, found) in explored.ends]


# --- on a real server -----------------------------------------------------------------------------------------


def test_many_operators_at_once_on_a_real_server_lose_nothing(paths: Paths, gateway: Gateway) -> None:
    """Twelve threads; of the writes, every fifth answer is lost."""
    paths.server.set_faults(
        rules=[
            {"method": "storage.objects.insert", "skip": skip, "count": 1, "status": "reset_after"}
            for skip in range(0, 40, 5)
        ]
    )
    names = [f"operator-{number}" for number in range(12)]
    migration = paths.migration

    def sign(by: str) -> State:
        while True:
            try:
                return update(
                    gateway,
                    migration,
                    lambda state: sign_off(state, Signatory.DATA, stamp(by, by)),
                    tries=100,
                )
            except PhaseUnknown:  # between the writes of others, each time that it read; nothing was written
                continue

    with ThreadPoolExecutor(len(names)) as pool:
        states = list(pool.map(sign, names))
    paths.server.clear_faults()
    final = read_state(gateway, migration)
    assert sorted(entry.change for entry in final.history[1:]) == sorted(names)
    assert sorted(signoff.by for signoff in final.signoffs) == sorted(names)
    for name, state in zip(names, states, strict=True):
        assert noted(name)(state) == 1


def test_a_write_with_another_on_top_before_its_answer_was_lost_is_recognised(
    paths: Paths, gateway: Gateway
) -> None:
    """The client repeats a write, is told that the condition fails, and by then Eve has mended it and Bob changed it."""
    migration = paths.migration

    class Interfered:
        """The gateway; others write after our first write, whose answer was lost."""

        server_time = gateway.server_time
        read_version = staticmethod(gateway.read_version)
        list_pages = staticmethod(gateway.list_pages)

        def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
            gateway.write(at, data, if_generation=if_generation)
            assert begin(gateway, migration, stamp("m", "Eve"))[0] is Begin.MENDED
            update(gateway, migration, lambda state: sign_off(state, Signatory.DATA, stamp("b", "Bob")))
            raise ConditionFailed(at.uri, "the repetition's answer")

    state = update(Interfered(), migration, lambda state: sign_off(state, Signatory.DATA, stamp("a")))
    assert [entry.change for entry in state.history] == ["begun", "a", "b"]
    assert read_state(gateway, migration) == state
