"""Several updaters of the state at once: every interleaving of their requests, with answers that get lost.

`update` runs unchanged. Its store answers from a recorded history and stops it at the first request without an answer.
The explorer gives each possible answer and runs it again. So an updater's whole memory is a tuple of answers, and the
explorer visits each state of the world once.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import pytest
from state_makers import MIGRATION, run_record, stamp
from testing_paths import Paths

from shared import state_changes
from shared.decision import ABSENT
from shared.errors import ConditionFailed, MigrationError, Unavailable, UsageError
from shared.gateway import Gateway
from shared.objects import ObjectRef
from shared.phase import Phase
from shared.record import read_state, update
from shared.state import Signatory, State
from shared.state_changes import sign_off, with_phase, with_run, withdraw

Change = Callable[[State], State]

# --- the world ------------------------------------------------------------------------------------------------


class Written(NamedTuple):
    """A write that an updater asks for."""

    data: bytes
    if_generation: int


class Asked(BaseException):
    """The updater waits for an answer; not an Exception, so that nothing can swallow it."""

    def __init__(self, write: Written | None) -> None:
        self.write = write


class Replayed:
    """Answers from a history, then stops the updater."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self._answers = iter(answers)

    def _answer(self, write: Written | None) -> Any:
        try:
            answer = next(self._answers)
        except StopIteration:
            raise Asked(write) from None
        if isinstance(answer, type):
            raise answer("gs://export-dev/state.json", "as the explorer will have it")
        return answer

    def read_version(self, _: ObjectRef) -> tuple[int, bytes] | None:
        return self._answer(None)

    def write(self, _: ObjectRef, data: bytes, *, if_generation: int) -> None:
        self._answer(Written(data, if_generation))


class World(NamedTuple):
    """What is stored, and what each updater has been answered. Generations are unique and not ordered."""

    stored: tuple[int, bytes] | None
    writes: int
    faults: int
    answers: tuple[tuple[Any, ...], ...]


@dataclass
class Explored:
    worlds: int
    ends: list[tuple[State, tuple[State | MigrationError, ...]]]


class Explorer:
    """Explores all that can happen to some changes that are made at once.

    Args:
        changes: One for each updater.
        faults: How many answers get lost in one history, at most.
        conditional: Whether the store heeds the condition; False shows that the exploration can fail.
        start: What is stored at first.
    """

    def __init__(
        self, *changes: Change, faults: int, conditional: bool = True, start: State | None = None
    ) -> None:
        self._changes = changes
        self._conditional = conditional
        self._first = World(
            None if start is None else (5_000, start.to_json()), 0, faults, tuple(() for _ in changes)
        )
        self._progress = lru_cache(None)(self._run)

    def _run(self, number: int, answers: tuple[Any, ...]) -> State | MigrationError | Asked:
        try:
            return update(Replayed(answers), MIGRATION, self._changes[number])
        except (Asked, MigrationError) as stopped:
            return stopped

    def explore(self) -> Explored:
        known, frontier, ends = {self._first}, deque([self._first]), []
        while frontier:
            world = frontier.popleft()
            following = [
                after
                for number, answers in enumerate(world.answers)
                if isinstance(asked := self._progress(number, answers), Asked)
                for after in self._answered(world, number, asked.write)
            ]
            if not following:
                results = tuple(
                    self._progress(number, answers) for number, answers in enumerate(world.answers)
                )
                ends.append((stored_state(world), results))
            for after in following:
                check_step(world, after)
                if after not in known:
                    known.add(after)
                    frontier.append(after)
        return Explored(len(known), ends)

    def _answered(self, world: World, number: int, write: Written | None) -> list[World]:
        def told(answer: Any, *, faults: int = 0, written: bool = False) -> World:
            answers = list(world.answers)
            answers[number] = (*answers[number], answer)
            after = world._replace(faults=world.faults - faults, answers=tuple(answers))
            if written and write is not None:
                stored = ((world.writes * 7_919 + 11) % 4_001 + 1, write.data)
                after = after._replace(stored=stored, writes=world.writes + 1)
            return after

        if write is None:
            return [told(world.stored)]
        live = ABSENT if world.stored is None else world.stored[0]
        if self._conditional and write.if_generation != live:
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


def stored_state(world: World) -> State:
    return State.initial(MIGRATION) if world.stored is None else State.from_json(world.stored[1], MIGRATION)


def check_step(before: World, after: World) -> None:
    """Nothing that was ever written down is lost by a later write."""
    if before.stored != after.stored:
        was, now = stored_state(before), stored_state(after)
        assert now.history[: len(was.history)] == was.history, "a change was lost"
        assert set(was.runs) <= set(now.runs), "a run was lost"


def check_ends(explored: Explored, made: list[Callable[[State], int]]) -> None:
    """Each change is made once if that was reported, and at most once if the answer was lost.

    Args:
        explored: What was found.
        made: For each updater, how often a state holds its change.
    """
    for state, results in explored.ends:
        for count, result in zip(made, results, strict=True):
            if isinstance(result, State):
                assert (count(result), count(state)) == (1, 1), "reported, and not there just once"
            else:
                assert isinstance(result, Unavailable), result
                assert count(state) <= 1, "made twice"


def noted(change: str) -> Callable[[State], int]:
    return lambda state: [entry.change for entry in state.history].count(change)


def signing(change: str, name: Signatory = Signatory.DATA, by: str = "Ada") -> Change:
    return lambda state: sign_off(state, name, stamp(change, by))


# --- what holds -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [None, State.initial(MIGRATION)], ids=["first-change", "later"])
def test_two_at_once_with_lost_answers_lose_nothing_and_do_nothing_twice(start: State | None) -> None:
    """Two operators, as many lost answers as can be, every interleaving."""
    changes = signing("a", by="Ada"), signing("b", by="Bob")
    explored = Explorer(*changes, faults=4, start=start).explore()
    check_ends(explored, [noted("a"), noted("b")])
    assert explored.worlds > 100


def test_the_same_person_at_two_terminals_signs_once() -> None:
    """The history tells of both, the sign-off is one."""
    explored = Explorer(signing("a"), signing("b"), faults=2).explore()
    check_ends(explored, [noted("a"), noted("b")])
    assert {len(state.signoffs) for state, _ in explored.ends} == {0, 1}


def test_three_at_once_with_lost_answers_lose_nothing_and_do_nothing_twice() -> None:
    """Three operators, as many lost answers as can be, every interleaving."""
    explored = Explorer(*(signing(name, by=name) for name in "abc"), faults=4).explore()
    check_ends(explored, [noted(name) for name in "abc"])
    assert explored.worlds > 10_000


def test_three_at_once_an_operator_a_run_and_the_cutover() -> None:
    """Changes of every kind, two lost answers."""
    record = run_record(certificate_sha256="a" * 64)
    explored = Explorer(
        signing("a"),
        lambda state: with_run(state, record),
        lambda state: with_phase(state, Phase.CUT_OVER, stamp("c", "Grace")),
        faults=2,
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

    signed = sign_off(State.initial(MIGRATION), Signatory.DATA, stamp("first"))
    explored = Explorer(
        cut_over,
        lambda state: withdraw(state, Signatory.DATA, stamp("back")),
        faults=3,
        start=signed,
    ).explore()
    outcomes = set()
    for state, results in explored.ends:
        cut, withdrawn = noted("cut")(state), noted("back")(state)
        assert cut + withdrawn <= 1
        outcomes.add((cut, withdrawn))
        for count, result in ((cut, results[0]), (withdrawn, results[1])):
            assert count == 1 if isinstance(result, State) else isinstance(result, Unavailable) or count == 0
    assert outcomes == {(0, 0), (0, 1), (1, 0)}


def test_a_rollback_on_top_of_a_cutover_whose_answer_was_lost_is_not_undone() -> None:
    """The cutover finds itself in the history; applied again, it would cut over twice."""
    cutover = stamp("cut", "Grace")
    explored = Explorer(
        lambda state: with_phase(state, Phase.CUT_OVER, cutover),
        lambda state: with_phase(state, Phase.ROLLED_BACK, stamp("back", "Bob")),
        faults=2,
    ).explore()
    assert all(noted("cut")(state) <= 1 for state, _ in explored.ends)
    both = [state for state, _ in explored.ends if noted("back")(state)]
    assert both
    assert {state.phase for state in both} == {Phase.ROLLED_BACK}


# --- and that the exploration would find what does not -----------------------------------------------------------


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
    monkeypatch.setattr(state_changes, "_holds", recognises)
    explorer = Explorer(signing("a"), signing("b", by="Bob"), faults=1)
    with pytest.raises(ValueError, match="each change needs an id of its own"):
        explorer.explore()


def test_without_the_condition_a_change_would_be_lost() -> None:
    """Two who read the same state write two different ones."""
    explorer = Explorer(signing("a"), signing("b", by="Bob"), faults=0, conditional=False)
    with pytest.raises(AssertionError, match="a change was lost"):
        explorer.explore()


# --- on a real server -----------------------------------------------------------------------------------------


def test_many_operators_at_once_on_a_real_server_lose_nothing(paths: Paths, gateway: Gateway) -> None:
    """Sixteen threads; of the writes, every fifth answer is lost."""
    paths.server.set_faults(
        rules=[
            {"method": "storage.objects.insert", "skip": skip, "count": 1, "status": "reset_after"}
            for skip in range(0, 40, 5)
        ]
    )
    names = [f"operator-{number}" for number in range(16)]
    migration = paths.migration

    def sign(by: str) -> State:
        return update(
            gateway, migration, lambda state: sign_off(state, Signatory.DATA, stamp(by, by)), tries=100
        )

    with ThreadPoolExecutor(len(names)) as pool:
        states = list(pool.map(sign, names))
    paths.server.clear_faults()
    final = read_state(gateway, migration)
    assert sorted(entry.change for entry in final.history) == sorted(names)
    assert sorted(signoff.by for signoff in final.signoffs) == sorted(names)
    for name, state in zip(names, states, strict=True):
        assert noted(name)(state) == 1


def test_a_write_with_another_on_top_before_its_answer_was_lost_is_recognised(
    paths: Paths, gateway: Gateway
) -> None:
    """The client repeats the write, is told that the condition fails, and by then Bob's change is there too."""
    migration = paths.migration
    pending: list[Change] = [signing("b", by="Bob")]

    class Interfered:
        """The gateway; another program writes after our first write, whose answer was lost."""

        def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
            return gateway.read_version(at)

        def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
            gateway.write(at, data, if_generation=if_generation)
            if pending:
                update(gateway, migration, pending.pop())
                raise ConditionFailed(at.uri, "the repetition's answer")

    state = update(Interfered(), migration, signing("a"))
    assert [entry.change for entry in state.history] == ["a", "b"]
    assert read_state(gateway, migration) == state


def test_a_hand_made_state_is_taken_if_it_is_exact(paths: Paths, gateway: Gateway) -> None:
    """Mending a damaged state by hand must be possible."""
    mended = replace(State.initial(paths.migration), phase=Phase.CUT_OVER, since=stamp().at)
    at = paths.migration.own_ref("state.json")
    paths.client.bucket(at.bucket).blob(at.name).upload_from_string(mended.to_json())
    state = update(gateway, paths.migration, lambda now: with_phase(now, Phase.ROLLED_BACK, stamp()))
    assert read_state(gateway, paths.migration) == state
    assert paths.names() == []
