"""The possible steps of a scope: which actor may go on, by which storage call, and which state follows.

A *state* is the versions on both sides, the writer's progress, the answers that each actor got so far, and the orphaned
calls. Those are still at work inside Cloud Storage after their clients gave up. A *step* advances one of them by one storage
call, or by one of the two steps of a rewrite. The world renames generations of the destination in the order in which a
state mentions them. They are opaque, so states that differ only in the numbers are the same state.
"""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from race_claims import Wrong, about_commit, about_end, about_quiet
from race_model import Condition, Place, Refusal, Version, deleted, put, read, read_pinned
from race_replay import Answer, Call, Copy, Delete, Ended, Look, Program, Put, Side, react
from race_scope import Scope

from shared.errors import Unavailable

__all__ = ["Act", "Rest", "Running", "State", "Step", "World"]

_FIRST = 50
"""Tokens from here on belong to the destination."""

_FRESH = 99
"""The token of a new version, until the world renames the state."""


class Rest(Enum):
    """An actor that takes no more steps."""

    DONE = "done"
    LOST = "lost"


class Running(NamedTuple):
    """An actor: the answers that it got, and the version that its pending rewrite has read."""

    history: tuple[Answer, ...] = ()
    taken: Version | None = None


class Orphan(NamedTuple):
    """A call that is still at work inside Cloud Storage although its client has given up."""

    call: Copy | Delete
    taken: Version | None


class State(NamedTuple):
    """All that determines the future."""

    written: int
    destination: Place
    actors: tuple[Running | Rest, ...]
    orphans: tuple[Orphan, ...]
    silences: int
    losses: int


class Act(Enum):
    """The kind of a step."""

    WRITES = "writes"
    GETS = "gets an answer"
    READS = "reads"
    COMMITS = "commits"
    COMMITS_REPEATS = "commits, the answer is lost, the client repeats the call"
    COMMITS_GIVES_UP = "commits, the answer is lost, the client gives up"
    HANGS_REPEATS = "hangs, the client repeats the call"
    HANGS_GIVES_UP = "hangs, the client gives up"
    GIVES_UP = "gets no answer and gives up"
    IS_LOST = "is lost"
    ORPHAN_READS = "a given-up rewrite reads"
    ORPHAN_COMMITS = "a given-up rewrite commits"
    ORPHAN_FAILS = "a given-up rewrite fails"


class Step(NamedTuple):
    """One step: the actor's number (-1 for the writer or an orphan), the act, and the state after it."""

    who: int
    act: Act
    call: Call | None
    answer: Answer
    after: State
    wrong: Wrong | None


class Turn(NamedTuple):
    """An actor's turn: the present state, the actor's number, its memory and its call."""

    state: State
    who: int
    memory: Running
    call: Call

    def left(self, memory: Running | Rest) -> State:
        """Give the state with another memory for this actor."""
        actors = self.state.actors
        return self.state._replace(actors=(*actors[: self.who], memory, *actors[self.who + 1 :]))

    def at(self, destination: Place) -> "Turn":
        """Give the turn with another destination."""
        return self._replace(state=self.state._replace(destination=destination))


class World:
    """The steps of a scope. Caches the reaction of each program to each history, because replays are slow."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self._reactions: dict[tuple[Program, tuple[Answer, ...]], tuple[Call | Ended, Wrong | None]] = {}

    def start(self) -> State:
        """Give the state before the first step."""
        scope = self.scope
        there = scope.copied
        live = None if there is None else there._replace(token=_FIRST, metageneration=1)
        return State(
            scope.before, Place(live), (Running(),) * len(scope.actors), (), scope.silences, scope.losses
        )

    def steps(self, state: State) -> Iterator[Step]:
        """Enumerate the possible next steps; none at quiescence."""
        if state.written < self.scope.writes:
            after = state._replace(written=state.written + 1)
            yield Step(-1, Act.WRITES, None, self.scope.sources[after.written].live, after, None)
        for who, memory in enumerate(state.actors):
            if isinstance(memory, Running) and self._may_run(who, state):
                call, _ = self._reaction(who, memory.history)
                assert not isinstance(call, Ended)
                yield from self._turn(Turn(state, who, memory, call))
        for index in range(len(state.orphans)):
            yield self._orphan(state, index)

    def quiet(self, state: State) -> Wrong | None:
        """Judge a state without a possible step."""
        source = self.scope.sources[state.written].live
        scope = self.scope
        return about_quiet(source, state.destination.live, scope.authority, follows=scope.follows)

    def _may_run(self, who: int, state: State) -> bool:
        actor = self.scope.actors[who]
        if state.written < actor.after:
            return False
        return not actor.last or self._sweep_is_due(who, state)

    def _sweep_is_due(self, who: int, state: State) -> bool:
        others = (memory for other, memory in enumerate(state.actors) if other != who)
        if state.written < self.scope.writes or state.orphans:
            return False
        return all(isinstance(memory, Rest) for memory in others) and (
            self.scope.always_sweep or Rest.LOST in state.actors
        )

    def _turn(self, turn: Turn) -> Iterator[Step]:
        actor, state = self.scope.actors[turn.who], turn.state
        if actor.event and state.losses and turn.memory == Running():
            after = turn.left(Rest.LOST)._replace(losses=state.losses - 1)
            yield Step(turn.who, Act.IS_LOST, None, None, after, None)
        match turn.call:
            case Look(Side.SOURCE):
                yield self._get(turn, self.scope.sources[state.written].live)
            case Look(Side.DESTINATION):
                yield self._get(turn, state.destination.live)
            case Copy() as call:
                yield from self._copy(turn, call)
            case Delete() as call:
                yield from self._delete(turn, call)
            case Put(data):
                written = put(state.destination, Version(_FRESH, 0, data, created=_now(state)))
                assert isinstance(written, Place)
                yield self._get(turn.at(written), written.live)
        if state.silences and actor.repeated:
            yield self._give_up(turn, Act.GIVES_UP)

    def _copy(self, turn: Turn, call: Copy) -> Iterator[Step]:
        """Take the next of a rewrite's two steps, or lose its answer."""
        if turn.state.silences and self.scope.hangs:
            yield from self._hang(turn, call)
        if turn.memory.taken is None:
            taken = self._read(turn.state, call)
            if isinstance(taken, Refusal):
                yield self._get(turn, taken)
            else:
                after = turn.left(turn.memory._replace(taken=taken))
                yield Step(turn.who, Act.READS, call, taken, after, None)
            return
        destination, wrong = self._committed(turn.state, call, turn.memory.taken)
        if isinstance(destination, Refusal):
            yield self._get(turn, destination)
        else:
            yield from self._took_effect(turn.at(destination), wrong)

    def _delete(self, turn: Turn, call: Delete) -> Iterator[Step]:
        if turn.state.silences and self.scope.hangs:
            yield from self._hang(turn, call)
        destination = deleted(turn.state.destination, call.if_generation)
        if isinstance(destination, Refusal):
            yield self._get(turn, destination)
        else:
            yield from self._took_effect(turn.at(destination), None)

    def _took_effect(self, turn: Turn, wrong: Wrong | None) -> Iterator[Step]:
        """Answer a call that changed the destination, or lose the answer."""
        state, live = turn.state, turn.state.destination.live
        yield self._get(turn, live, wrong, Act.COMMITS)
        if state.silences:
            after = _canonical(turn.left(turn.memory._replace(taken=None)))
            after = after._replace(silences=state.silences - 1)
            yield Step(turn.who, Act.COMMITS_REPEATS, turn.call, live, after, wrong)
            yield self._give_up(turn, Act.COMMITS_GIVES_UP, wrong)

    def _hang(self, turn: Turn, call: Copy | Delete) -> Iterator[Step]:
        """Orphan a call: its client repeats it, or gives up."""
        state = turn.state._replace(orphans=(*turn.state.orphans, Orphan(call, turn.memory.taken)))
        alone = turn._replace(state=state)
        after = alone.left(turn.memory._replace(taken=None))._replace(silences=state.silences - 1)
        yield Step(turn.who, Act.HANGS_REPEATS, call, turn.memory.taken, after, None)
        yield self._give_up(alone, Act.HANGS_GIVES_UP)

    def _orphan(self, state: State, index: int) -> Step:
        """Advance an orphaned call."""
        call, taken = state.orphans[index]
        destination: Place | Refusal
        others = state.orphans[:index] + state.orphans[index + 1 :]
        if isinstance(call, Copy) and taken is None:
            found = self._read(state, call)
            if not isinstance(found, Refusal):
                after = state._replace(orphans=(*others, Orphan(call, found)))
                return Step(-1, Act.ORPHAN_READS, call, found, _canonical(after), None)
            destination, wrong = found, None
        elif isinstance(call, Delete):
            destination, wrong = deleted(state.destination, call.if_generation), None
        else:
            assert taken is not None
            destination, wrong = self._committed(state, call, taken)
        if isinstance(destination, Refusal):
            after = _canonical(state._replace(orphans=others))
            return Step(-1, Act.ORPHAN_FAILS, call, destination, after, None)
        after = _canonical(state._replace(orphans=others, destination=destination))
        return Step(-1, Act.ORPHAN_COMMITS, call, destination.live, after, wrong)

    def _read(self, state: State, call: Copy) -> Version | Refusal:
        source = self.scope.sources[state.written]
        return (read_pinned if call.pinned else read)(source, call.if_source)

    def _committed(self, state: State, call: Copy, taken: Version) -> tuple[Place | Refusal, Wrong | None]:
        version = taken._replace(token=_FRESH, created=_now(state), metageneration=1)
        destination = put(state.destination, version, call.if_destination)
        if isinstance(destination, Refusal):
            return destination, None
        return destination, about_commit(
            state.destination.live, version, self.scope.authority, self.scope.copied
        )

    def _get(self, turn: Turn, answer: Answer, wrong: Wrong | None = None, act: Act = Act.GETS) -> Step:
        """Give an actor its answer, and judge its result if that was the last one."""
        history = (*turn.memory.history, answer)
        reaction, untrue = self._reaction(turn.who, history)
        if isinstance(reaction, Ended):
            wrong = wrong or untrue
            after = _canonical(turn.left(Rest.DONE))
        else:
            after = turn.left(Running(history))
            if act is Act.COMMITS:
                after = _canonical(after)
        return Step(turn.who, act, turn.call, answer, after, wrong)

    def _give_up(self, turn: Turn, act: Act, wrong: Wrong | None = None) -> Step:
        """Let an actor without an answer give up; its event is delivered again, or its job runs again.

        The bulk lane does not give up there, but goes on by the rule.
        """
        history = (*turn.memory.history, Refusal.UNAVAILABLE)
        reaction, _ = self._reaction(turn.who, history)
        assert not isinstance(reaction, Ended) or isinstance(reaction.error, Unavailable), reaction
        after = _canonical(turn.left(Running() if isinstance(reaction, Ended) else Running(history)))
        after = after._replace(silences=after.silences - 1)
        seen = turn.state.destination.live if act is Act.COMMITS_GIVES_UP else turn.memory.taken
        return Step(turn.who, act, turn.call, seen, after, wrong)

    def _reaction(self, who: int, history: tuple[Answer, ...]) -> tuple[Call | Ended, Wrong | None]:
        """What a program does after some answers, and what is untrue in its result if that ends it."""
        program = self.scope.actors[who].program
        known = self._reactions.get((program, history))
        if known is None:
            reaction = react(program, self.scope.store(history))
            ended = isinstance(reaction, Ended)
            wrong = about_end(self.scope.sources, history, reaction) if ended else None
            known = self._reactions[program, history] = reaction, wrong
        return known


def _now(state: State) -> int:
    """The time at the destination: after the source's last write, before its next."""
    return 2 * state.written + 1


def _canonical(state: State) -> State:
    """Rename the destination's generations in the order in which the state mentions them."""
    names: dict[int, int] = {}
    live = state.destination.live
    if live is not None:
        names[live.token] = _FIRST
    for memory in state.actors:
        if isinstance(memory, Running):
            for answer in memory.history:
                if isinstance(answer, Version) and answer.token >= _FIRST:
                    names.setdefault(answer.token, _FIRST + len(names))
    for call, _ in state.orphans:
        condition = _condition(call)
        if condition is not None and condition >= _FIRST:
            names.setdefault(condition, _FIRST + len(names))
    if all(old == new for old, new in names.items()):
        return state
    return _renamed(state, names)


def _renamed(state: State, names: dict[int, int]) -> State:
    def answer(one: Answer) -> Answer:
        return one._replace(token=names.get(one.token, one.token)) if isinstance(one, Version) else one

    def memory(one: Running | Rest) -> Running | Rest:
        return Running(tuple(map(answer, one.history)), one.taken) if isinstance(one, Running) else one

    def orphan(one: Orphan) -> Orphan:
        condition = _condition(one.call)
        renamed = condition and names.get(condition, condition)
        if isinstance(one.call, Delete):
            return one._replace(call=Delete(renamed))
        return one._replace(call=one.call._replace(if_destination=renamed))

    live = state.destination.live
    destination = state.destination._replace(live=live and live._replace(token=names[live.token]))
    return state._replace(
        destination=destination,
        actors=tuple(map(memory, state.actors)),
        orphans=tuple(map(orphan, state.orphans)),
    )


def _condition(call: Copy | Delete) -> Condition:
    return call.if_generation if isinstance(call, Delete) else call.if_destination
