"""One name on both paths, with people who erase it, rules that remove it, comparisons on record, and copiers of any kind.

Production code is `replicate`, `decide`, the reading of the newest proof from a head, and the command ``erasure`` but for its
listings. Every order of the steps is
walked. A copy is several steps, as in ``race_both_ways``: two looks, the question for phase and proof, the read, the commit. A
comparison is four: it begins, it looks at either path, and it is recorded. Each write and each beginning has a time of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from race_both_ways import MIGRATION, REFS, SIDES, Side
from race_model import Version, number, object_state

import shared.phase
from backfill_job.deletion.erasing import Means, erase
from backfill_job.deletion.traces import Held, Trace, TracePlace, Traces
from shared.decision import ABSENT, Authority, ErasedBefore
from shared.erasures import Erasures, erasures_on_record
from shared.errors import ConditionFailed, Contended, ObjectNotFound, StorageError
from shared.objects import ObjectRef, ObjectState, time_text
from shared.phase import Phase
from shared.replicate import replicate
from shared.state import Erasure

__all__ = [
    "LEGACY",
    "NEW",
    "Compare",
    "Copy",
    "Delete",
    "Erase",
    "Move",
    "Patch",
    "Scope",
    "Write",
    "explore",
    "proof",
]

LEGACY, NEW = Side.LEGACY, Side.NEW


class Write(NamedTuple):
    """A writer writes."""

    side: Side


class Patch(NamedTuple):
    """A writer changes the metadata of what is there."""

    side: Side


class Delete(NamedTuple):
    """Somebody deletes what is there: a person where that path decides, a rule where it follows."""

    side: Side


class Move(NamedTuple):
    """The operator changes the phase."""

    to: Phase


class Compare(NamedTuple):
    """A full comparison of both paths."""


class Erase(NamedTuple):
    """The command ``erasure``, which a person runs for this name."""


class Copy(NamedTuple):
    """A mirror's event, a sweep or a pass, from one path to the other."""

    source: Side


Act = Write | Patch | Delete | Move | Compare | Copy | Erase
History = tuple[tuple[tuple[str, Any], ...], ...]
Proof = Callable[[list[dict[str, Any]]], str | None]


def proof(history: list[dict[str, Any]]) -> str | None:
    """The proof as `shared.phase` reads it."""
    return shared.phase._proven_at(history, MIGRATION)


@dataclass(frozen=True, slots=True)
class Scope:
    """What happens, in any order.

    Attributes:
        threads: Each one's acts happen in their order; those of different ones, in any.
        proof: When the newest proof began, from the entries of the history; mutants replace it.
        records: Whether an erasure goes on record; mutants change it.
        waits: Whether an erasure waits until every copier knows the record; mutants change it.
    """

    threads: tuple[tuple[Act, ...], ...]
    proof: Proof = proof
    records: bool = True
    waits: bool = True


class _Unanswered(BaseException):
    def __init__(self, call: tuple[Any, ...]) -> None:
        super().__init__(call)
        self.call = call


class _Store:
    """Replays answers, and stops at the first call without one."""

    def __init__(self, answers: tuple[Any, ...]) -> None:
        self._answers = iter(answers)
        self._erased = ErasedBefore()

    def _answer(self, *call: Any) -> Any:
        try:
            return next(self._answers)
        except StopIteration:
            raise _Unanswered(call) from None

    def look(self, at: ObjectRef) -> ObjectState | None:
        seen = self._answer("look", SIDES[at])
        return None if seen is None else object_state(seen, at.name)

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        if destination not in SIDES:  # keeps what is replaced
            raise ConditionFailed(destination.uri, "it is kept")
        taken = self._answer("read", SIDES[source], if_source)
        if taken is None:
            raise ObjectNotFound(source.uri, "it is another, or gone")
        made = self._answer("commit", SIDES[destination], taken, if_destination)
        if made is None:
            raise ConditionFailed(destination.uri, "somebody was faster")
        return object_state(made, destination.name)

    def authority(self, source: Side) -> Authority:
        authority, self._erased = self._answer("ask", source)
        return Authority(authority)

    def erased(self) -> ErasedBefore:
        return self._erased

    def traces(self) -> Traces:
        """Both paths, as the command sees them."""
        found = []
        for place, side in ((TracePlace.LEGACY, LEGACY), (TracePlace.NEW, NEW)):
            seen = self.look(REFS[side])
            if seen is not None:
                found.append(Trace("n", place, REFS[side], Held.LIVE, seen))
        return Traces(tuple(found))

    def delete(self, some: Sequence[Trace]) -> Iterator[StorageError | None]:
        for each in some:
            done = self._answer("delete", SIDES[each.at], each.state.generation)
            yield None if done else ConditionFailed(each.at.uri, "it is another, or gone")

    def record(self, erasure: Erasure) -> None:
        self._answer("record", time_text(erasure.before), erasure.names)

    def wait(self) -> None:
        self._answer("wait")

    def phase(self) -> Phase:
        return Phase(self._answer("phase"))


class State(NamedTuple):
    """Everything at one moment.

    Attributes:
        done: How many acts of each thread are done.
        under_way: The answers so far of each thread's act.
        owed: The last write, if it is not deleted since on the path that decides: something must be there in the end.
        erased: A person deleted it after a proof; it must not come back.
        going: What the command ``erasure`` has seen, by the contents.
        gone: The same, after the command has ended: nowhere may it come back.
    """

    legacy: Version | None
    new: Version | None
    phase: Phase
    history: History
    clock: int
    done: tuple[int, ...]
    under_way: tuple[tuple[Any, ...], ...]
    owed: str = ""
    erased: bool = False
    going: frozenset[str] = frozenset()
    gone: frozenset[str] = frozenset()

    def at(self, side: Side) -> Version | None:
        return self.legacy if side is LEGACY else self.new

    def put(self, side: Side, version: Version | None, **more: Any) -> "State":
        return self._replace(**{side.value: version}, **more)

    @property
    def decides(self) -> Side:
        return LEGACY if self.phase.before_cutover else NEW


def explore(scope: Scope) -> str | None:
    """Walk through every order.

    Returns:
        What went wrong first; None where nothing did.
    """
    threads = scope.threads
    none = tuple(() for _ in threads)
    first = {"kind": "begun", "phase": "dual_write", "change": "b"}
    start = State(None, None, Phase.DUAL_WRITE, (_frozen(first),), 2, tuple(0 for _ in threads), none)
    seen, waiting = {start}, [start]
    while waiting:
        state = waiting.pop()
        ended = True
        for following, wrong in _steps(scope, state):
            ended = False
            if wrong:
                return wrong
            if following not in seen:
                seen.add(following)
                waiting.append(following)
        if ended and (wrong := _swept(scope, state)):
            return wrong
    return None


def _swept(scope: Scope, state: State) -> str:
    """What is wrong after a last sweep to the path that decides; empty for nothing."""
    last = len(scope.threads)
    state = state._replace(done=(*state.done, 0), under_way=(*state.under_way, ()))
    while not state.done[last]:
        state, wrong = _copied(scope, state, last, state.decides.other)
        if wrong:
            return wrong
    lost = state.owed and state.at(state.decides) is None
    return "the last write is not on the path that decides" if lost else ""


def _steps(scope: Scope, state: State) -> Iterator[tuple[State, str]]:
    for thread, acts in enumerate(scope.threads):
        if state.done[thread] < len(acts):
            found = _step(scope, state, thread, acts[state.done[thread]])
            if found is not None:
                yield found


def _step(scope: Scope, state: State, thread: int, act: Act) -> tuple[State, str] | None:
    """One step of a thread; None where it has to wait."""
    match act:
        case Write(side) | Patch(side):
            before = state.at(side)
            if isinstance(act, Patch) and before is None:
                return _ended(state, thread), ""
            made = _written(state, before if isinstance(act, Patch) else None)
            written = state.put(side, made, clock=state.clock + 2, owed=made.data, erased=False)
            return _ended(written, thread), ""
        case Delete(side):
            return _deleted(state, thread, side)
        case Move(to):
            entry = {"kind": "phase", "phase": to.value, "change": f"p{len(state.history)}"}
            return _ended(state._replace(phase=to, history=(*state.history, _frozen(entry))), thread), ""
        case Compare():
            return _compared(state, thread), ""
        case Copy(source):
            return _copied(scope, state, thread, source)
        case Erase():
            return _erased(scope, state, thread)


def _deleted(state: State, thread: int, side: Side) -> tuple[State, str] | None:
    if state.at(side) is None:
        return None  # nobody deletes what is not there
    if side is not state.decides:
        return _ended(state.put(side, None), thread), ""
    other, proven_at = state.at(side.other), proof(_thawed(state.history))
    # A copy that is under way since before may still commit: nothing ties it to what is recorded meanwhile.
    quiet = not any(state.under_way)
    proven = other is not None and proven_at is not None and quiet
    if other is not None and proven:
        was = object_state(other, "n")
        proven = max(was.created, was.updated) < str(proven_at)
    return _ended(state.put(side, None, owed="", erased=proven), thread), ""


def _compared(state: State, thread: int) -> State:
    so_far = state.under_way[thread]
    if not so_far:
        change = f"c{len(state.history)}"
        entry = {"kind": "comparing", "phase": state.phase.value, "change": change}
        began = (change, object_state(Version(1, 0, "", created=state.clock), "n").created)
        begun = state._replace(history=(*state.history, _frozen(entry)), clock=state.clock + 2)
        return _answered(begun, thread, began)
    if len(so_far) < 3:
        seen = state.at(LEGACY if len(so_far) == 1 else NEW)
        return _answered(state, thread, None if seen is None else (seen.data, seen.metadata))
    (change, began), *sides = so_far
    wrong = int(sides[0] != sides[1])
    comparison = _frozen({"begun": change, "began": began, "compared": 2, "wrong": wrong, "excludes": ()})
    entry = {"kind": "compared", "phase": state.phase.value, "change": f"{change}e", "comparison": comparison}
    return _ended(state._replace(history=(*state.history, _frozen(entry))), thread)


def _copied(scope: Scope, state: State, thread: int, source: Side) -> tuple[State, str]:
    answers = state.under_way[thread]
    store = _Store(answers)
    try:
        if state.phase.reverse_authority is None and source is NEW and not answers:
            return _ended(state, thread), ""
        replicate(
            store,  # type: ignore[arg-type]
            REFS[source],
            REFS[source.other],
            lambda: store.authority(source),
            keep=lambda version: MIGRATION.kept_ref("n", version.generation),
            erased=store.erased,
        )
    except _Unanswered as stopped:
        return _served(scope, state, thread, stopped.call)
    return _ended(state, thread), ""


def _erased(scope: Scope, state: State, thread: int) -> tuple[State, str] | None:
    store = _Store(state.under_way[thread])
    try:
        first = store.traces()
        if not first.data:
            return None  # nobody erases what is not there
        done = erase(
            first, Erasures(), Means(store.traces, store.record, store.wait, store.phase, store.delete)
        )
    except _Unanswered as stopped:
        return _served_erasure(scope, state, thread, stopped.call)
    except Contended:  # it is written all the time, and the command says so
        return _ended(state._replace(going=frozenset()), thread), ""
    left = {live.data for live in (state.legacy, state.new) if live is not None}
    wrong = "it is called done, and something is left" if done.done and left & state.going else ""
    return _ended(state._replace(going=frozenset(), gone=state.gone | state.going), thread), wrong


def _served_erasure(
    scope: Scope, state: State, thread: int, call: tuple[Any, ...]
) -> tuple[State, str] | None:
    match call:
        case ("record", before, names):
            erasure = _frozen({"before": before, "names": names if scope.records else ()})
            entry = {
                "kind": "erasure",
                "phase": state.phase.value,
                "change": f"e{len(state.history)}",
                "erasure": erasure,
            }
            seen = frozenset(each.data for each in state.under_way[thread] if isinstance(each, Version))
            more = state._replace(history=(*state.history, _frozen(entry)), going=state.going or seen)
            return _answered(more, thread, None), ""
        case ("wait",):
            if scope.waits and any(map(_decides_without_the_record, state.under_way)):
                return None
            return _answered(state, thread, None), ""
        case ("phase",):
            return _answered(state, thread, state.phase.value), ""
        case ("delete", side, generation):
            live = state.at(side)
            if live is None or number(live.token) != generation:
                return _answered(state, thread, False), ""
            owed = "" if live.data == state.owed else state.owed
            wrong = "" if live.data in state.going else "the erasure deletes a later write"
            return _answered(state.put(side, None, owed=owed), thread, True), wrong
    return _served(scope, state, thread, call)


def _decides_without_the_record(answers: tuple[Any, ...]) -> bool:
    """Whether a copier that is under way has asked, and did not hear of an erasure by name."""
    return any(
        type(each) is tuple and isinstance(each[1], ErasedBefore) and not each[1].by_name for each in answers
    )


def _served(scope: Scope, state: State, thread: int, call: tuple[Any, ...]) -> tuple[State, str]:
    match call:
        case ("look", side):
            return _answered(state, thread, state.at(side)), ""
        case ("ask", source):
            reverse = source is NEW
            authority = state.phase.reverse_authority if reverse else state.phase.forward_authority
            history = _thawed(state.history)
            proven_at = scope.proof(history) if source is not state.decides else None
            by_name = erasures_on_record(history)
            moments = Erasures(proven_at, by_name).of("n")
            return _answered(state, thread, ((authority or Authority.DESTINATION).value, moments)), ""
        case ("read", side, generation):
            live = state.at(side)
            return _answered(state, thread, live if live and number(live.token) == generation else None), ""
        case (_, side, taken, generation):
            live = state.at(side)
            if generation != (ABSENT if live is None else number(live.token)):
                return _answered(state, thread, None), ""
            wrong = "an erased object came back" if state.erased and side is state.decides else ""
            wrong = "what was erased by name came back" if taken.data in state.gone else wrong
            made = Version(state.clock, 0, taken.data, taken.metadata, created=state.clock)
            return _answered(state.put(side, made, clock=state.clock + 2), thread, made), wrong
    raise AssertionError(call)


def _written(state: State, before: Version | None) -> Version:
    if before is None:
        return Version(state.clock, 0, f"v{state.clock}", created=state.clock)
    # `object_state` gives a patched version the time of twice its `write`.
    return before._replace(metadata=f"m{state.clock}", metageneration=2, write=state.clock // 2)


def _answered(state: State, thread: int, answer: Any) -> State:
    under_way = list(state.under_way)
    under_way[thread] = (*under_way[thread], answer)
    return state._replace(under_way=tuple(under_way))


def _ended(state: State, thread: int) -> State:
    under_way, done = list(state.under_way), list(state.done)
    under_way[thread], done[thread] = (), done[thread] + 1
    return state._replace(under_way=tuple(under_way), done=tuple(done))


def _frozen(entry: dict[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(entry.items()))


def _thawed(history: History) -> list[dict[str, Any]]:
    entries = [dict(entry) for entry in history]
    for entry in entries:
        for field in ("comparison", "erasure"):
            if field in entry:
                entry[field] = dict(entry[field])
    return entries
