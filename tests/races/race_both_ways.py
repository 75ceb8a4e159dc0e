"""Both paths with writers, both mirrors, and an operator who cuts over and back: one object's name, step by step.

Here production code is the whole mirror, not only `replicate`: it takes an event, reads the phase, begins in the event loop, and
goes on by the rule.
A *pass* is what the operator's commands do to one object. It is `replicate` in one direction, where the later write wins,
with a listing of any age.

As in ``race_world`` each actor's memory is the answers that it got, and a rewrite is two steps. Each commit makes an event
for the mirror of that side. Reading the phase is a call like every other. Until the operator has waited out the mirrors'
caches, the answer may be the phase before. Calls do not lose their answers here; ``race_world`` covers that.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from race_event_loop import whole_mirror
from race_model import (
    Condition,
    Place,
    Refusal,
    Version,
    deleted,
    moment,
    number,
    object_state,
    put,
    read,
    token,
)

from mirror_function.event import EventKind, ObjectEvent
from mirror_function.settings import MirrorSettings
from shared.decision import Authority
from shared.erasures import NO_ERASURES, Erasures
from shared.errors import ConditionFailed, Contended, NotSettled, ObjectNotFound
from shared.migration import Location, Migration
from shared.objects import ObjectRef, ObjectState
from shared.phase import Phase
from shared.replicate import LastSeen, replicate

__all__ = [
    "LEGACY",
    "NEW",
    "SETTINGS",
    "Act",
    "Move",
    "Pass",
    "Remove",
    "ReplayedStore",
    "Settled",
    "Side",
    "Story",
    "Upload",
    "World",
    "walk",
]


class Side(Enum):
    """One of the two paths."""

    LEGACY = "legacy"
    NEW = "new"

    @property
    def other(self) -> "Side":
        """The path on the other side."""
        return Side.NEW if self is Side.LEGACY else Side.LEGACY


LEGACY, NEW = Side.LEGACY, Side.NEW
MIGRATION = Migration(Location("legacy", "QPI_exports/"), Location("new", "qpi_exports/"))
NAME = "q.jsonl"
REFS = {LEGACY: MIGRATION.source_ref(NAME), NEW: MIGRATION.destination_ref(NAME)}
SIDES = {ref: side for side, ref in REFS.items()}
SETTINGS = {LEGACY: MirrorSettings(MIGRATION), NEW: MirrorSettings(MIGRATION, reverse=True)}


class Move(NamedTuple):
    """The operator changes the phase."""

    to: Phase


class Settled(NamedTuple):
    """The operator has waited: every mirror has read the new phase."""


class Pass(NamedTuple):
    """The operator updates one path from the other, and waits for the end."""

    source: Side


Act = Move | Settled | Pass


class Upload(NamedTuple):
    """A writer writes.

    Attributes:
        after: The operator has done so many acts by then.
        before: The number of the act that waits for the upload, counted from 0.
        stray: Not a writer's: something else that should not be there.
    """

    side: Side
    data: str
    after: int = 0
    before: int = 99
    stray: bool = False


class Remove(NamedTuple):
    """Somebody deletes what is live on one path.

    Attributes:
        after, before: As in `Upload`.
        late: The event tells a time so many ticks after the deletion.
    """

    side: Side
    after: int = 0
    before: int = 99
    late: int = 0


@dataclass(frozen=True, slots=True)
class Story:
    """The script of a walk.

    Attributes:
        acts: The operator's acts, in this order.
        uploads: The writers' uploads and deletions, in this order.
        losses: The number of events that may get lost.
        across: A mirror's work on an event may last across a change of phase, and longer than a pass waits.
        deletes: The mirror follows deletions at the legacy path.
        deliver: A mirror's work on an event; mutants replace it.
    """

    acts: tuple[Act, ...]
    uploads: tuple[Upload | Remove, ...]
    losses: int = 0
    across: bool = True
    deletes: bool = False
    deliver: "Callable[[ObjectEvent, MirrorSettings, ReplayedStore], object]" = (
        lambda event, settings, store: whole_mirror(event, settings, store, store)
    )


class Look(NamedTuple):
    """Reading one side."""

    at: Side


class Copy(NamedTuple):
    """A rewrite to the other side."""

    source: Side
    if_source: Condition
    if_destination: Condition


class Delete(NamedTuple):
    """The deletion of a live version."""

    at: Side
    if_generation: Condition


class Keep(NamedTuple):
    """A copy of a version before another replaces it."""

    at: Side
    if_generation: Condition


class Ask(NamedTuple):
    """Reading the phase."""


class Wait(NamedTuple):
    """A version is too young: wait as long as a mirror's work on an event usually takes."""


class Waited(NamedTuple):
    """That time has passed."""


Call = Look | Copy | Delete | Keep | Ask | Wait
Answer = Version | Refusal | Phase | Waited | None
Program = Callable[["ReplayedStore"], object]


class _Unanswered(BaseException):
    def __init__(self, call: Call) -> None:
        super().__init__(call)
        self.call = call


class ReplayedStore:
    """Replays the recorded answers of storage and phase; stops the code at the first call without an answer."""

    def __init__(self, history: tuple[Answer, ...], first_cutover: datetime | None = None) -> None:
        self._answers = iter(history)
        self._first_cutover = first_cutover

    def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        seen = self._answer(Look(SIDES[at]))
        assert seen is None or isinstance(seen, Version)
        return None if seen is None else object_state(seen, at.name)

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        """See `ObjectStore.copy`."""
        call: Copy | Keep = Keep(SIDES[source], token(if_source))
        if destination in SIDES:
            call = Copy(SIDES[source], token(if_source), token(if_destination))
        answer = self._answer(call)
        if isinstance(answer, Refusal):
            error = ObjectNotFound if answer is Refusal.NOT_FOUND else ConditionFailed
            raise error(destination.uri, answer.value)
        assert isinstance(answer, Version)
        return object_state(answer, destination.name)

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        """See `DeletingStore.delete`."""
        answer = self._answer(Delete(SIDES[at], token(if_generation)))
        if isinstance(answer, Refusal):
            error = ObjectNotFound if answer is Refusal.NOT_FOUND else ConditionFailed
            raise error(at.uri, answer.value)

    def phase(self) -> Phase:
        """See `PhaseReader.phase`."""
        answer = self._answer(Ask())
        assert isinstance(answer, Phase)
        return answer

    def erasures(self, *, reverse: bool) -> Erasures:  # noqa: ARG002 -- the same in both directions
        """See `PhaseReader.erasures`. These stories record none; ``race_erased`` has them."""
        return NO_ERASURES

    def first_cutover(self) -> datetime | None:
        """See `PhaseReader.first_cutover`: known with the phase, and never another one."""
        return self._first_cutover

    def wait(self) -> None:
        """Wait until the calls under way have ended, unless they hang."""
        self._answer(Wait())

    def _answer(self, call: Call) -> Answer:
        try:
            return next(self._answers)
        except StopIteration:
            raise _Unanswered(call) from None


@dataclass(slots=True)
class Actor:
    """A delivery or a pass."""

    name: str
    program: Program
    event: bool
    first_cutover: Callable[[], datetime | None]
    history: tuple[Answer, ...] = ()
    taken: Version | None = None

    def asks(self) -> Call | None:
        """The call that it waits for; None when it has ended."""
        try:
            self.program(ReplayedStore(self.history, self.first_cutover()))
        except _Unanswered as stopped:
            return stopped.call
        except Contended as error:
            raise AssertionError(f"{self.name} gave up") from error
        return None


class World:
    """The state of a walk. It only goes forward."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._places = {LEGACY: Place(), NEW: Place()}
        self._phases = [Phase.DUAL_WRITE]
        self._acts = self._uploads = self._lost = self._clock = self._tokens = 0
        self._passing: Actor | None = None
        self._last: Version | None = None
        self._first_cutover: datetime | None = None
        self._proven = False
        self.kept: set[str] = set()
        self.late_copies = 0
        self.actors: list[Actor] = []
        self.told: list[str] = []

    @property
    def over(self) -> bool:
        """Whether no step is possible any more."""
        return not any(True for _ in self.steps())

    def steps(self) -> Iterator[Callable[[], None]]:
        """The steps that are possible next."""
        to_come = self._story.uploads[self._uploads :]
        awaited = any(upload.before <= self._acts for upload in to_come)
        begun = any(actor.event and actor.history for actor in self.actors)
        waits = begun and not self._story.across
        if self._acts < len(self._story.acts) and self._passing is None and not awaited:
            act = self._story.acts[self._acts]
            if not (waits and isinstance(act, Move | Settled)):
                yield self._act
        if to_come and to_come[0].after <= self._acts:
            yield self._upload
        for actor in self.actors:
            call = actor.asks()
            assert call is not None
            if isinstance(call, Ask):
                for phase in self._phases:
                    yield lambda actor=actor, phase=phase: self._get(actor, phase)  # type: ignore[misc]
            elif isinstance(call, Wait):
                if not waits:
                    yield lambda actor=actor: self._get(actor, Waited())  # type: ignore[misc]
            else:
                yield lambda actor=actor, call=call: self._serve(actor, call)  # type: ignore[misc]
            if actor.event and not actor.history and self._lost < self._story.losses:
                yield lambda actor=actor: self._lose(actor)  # type: ignore[misc]

    def wrong(self) -> str | None:
        """Describe a lost last write; None while it is on a path, or kept."""
        if self._last is None or self._last.data in {*self.kept, self.holds(LEGACY), self.holds(NEW)}:
            return None
        return f"{self._last.data!r}, which was written last, is on neither path, nor kept"

    def holds(self, side: Side) -> str | None:
        """The contents on one path."""
        live = self._places[side].live
        return None if live is None else live.data

    def _act(self) -> None:
        act = self._story.acts[self._acts]
        self.told.append(f"operator: {act}")
        match act:
            case Move(to):
                self._clock += 1
                if to is Phase.CUT_OVER and self._first_cutover is None:
                    self._first_cutover = moment(self._clock)
                self._phases.append(to)
                self._acts += 1
            case Settled():
                self._phases = self._phases[-1:]
                self._acts += 1
            case Pass(source):
                # The cutover's pass goes by the legacy path until it is proven.
                opens = self._first_cutover if source is NEW or not self._proven else None
                self._passing = self._actor(f"pass from {source.value}", _pass(source, opens), event=False)
                self.actors.append(self._passing)

    def _upload(self) -> None:
        upload = self._story.uploads[self._uploads]
        self._uploads += 1
        if isinstance(upload, Remove):
            self._remove(upload)
            return
        version = self._version(upload.data, self._uploads)
        self._last = self._last if upload.stray else version
        self._put(upload.side, version, None, f"writer on {upload.side.value}")

    def _remove(self, removal: Remove) -> None:
        """Delete, as a person does. The deletion ends the claim about the last write if that is what it deletes."""
        self._clock += 1
        gone = self._places[removal.side].live
        if gone is None:
            return
        if self._last is not None and self._last.write == gone.write:
            self._last = None
        self._end(removal.side, None, f"person on {removal.side.value}", removal.late)

    def _end(self, side: Side, condition: Condition, who: str, late: int = 0) -> Refusal | None:
        gone, after = self._places[side].live, deleted(self._places[side], condition)
        if isinstance(after, Refusal):
            return after
        assert gone is not None
        self._places[side] = after
        self.told.append(f"{who}: {gone.data!r} is deleted on the {side.value} path")
        event = _event(side, gone, EventKind.DELETED, self._clock + late)
        self._mirror(f"mirror of the end of {gone.data!r} on {side.value}", side, event)
        return None

    def _serve(self, actor: Actor, call: Call) -> None:
        if isinstance(call, Delete):
            self._clock += 1
            self._get(actor, self._end(call.at, call.if_generation, actor.name))
        elif isinstance(call, Look):
            self._get(actor, self._places[call.at].live)
        elif isinstance(call, Keep):
            kept = read(self._places[call.at], call.if_generation)
            if isinstance(kept, Version):
                self.kept.add(kept.data)
            self._get(actor, kept)
        elif isinstance(call, Copy) and actor.taken is None:
            taken = read(self._places[call.source], call.if_source)
            if isinstance(taken, Refusal):
                self._get(actor, taken)
            else:
                actor.taken = taken
                self.told.append(f"{actor.name} begins to copy {taken.data!r}")
        elif isinstance(call, Copy) and actor.taken is not None:
            version = self._version(actor.taken.data, actor.taken.write)
            self.late_copies += self._places[call.source].live != actor.taken
            actor.taken = None
            done = self._put(call.source.other, version, call.if_destination, actor.name)
            self._get(actor, version if done else Refusal.CONDITION_FAILED)

    def _put(self, side: Side, version: Version, condition: Condition, who: str) -> bool:
        after = put(self._places[side], version, condition)
        if isinstance(after, Refusal):
            return False
        overwritten, self._places[side] = self._places[side].live, after
        self.told.append(f"{who}: {version.data!r} is on the {side.value} path")
        self._mirror(f"mirror of {version.data!r} on {side.value}", side, _event(side, version))
        if self._story.deletes and overwritten is not None:
            event = _event(side, overwritten, EventKind.DELETED, version.created)
            self._mirror(f"mirror of the end of {overwritten.data!r} on {side.value}", side, event)
        return True

    def _mirror(self, name: str, side: Side, event: ObjectEvent) -> None:
        deliver, settings = self._story.deliver, SETTINGS[side]
        if self._story.deletes and side is LEGACY:
            settings = replace(settings, deletes=True)
        actor = self._actor(name, lambda store: deliver(event, settings, store), event=True)
        if actor.asks() is not None:
            self.actors.append(actor)

    def _actor(self, name: str, program: Program, *, event: bool) -> Actor:
        return Actor(name, program, event, lambda: self._first_cutover)

    def _version(self, data: str, write: int) -> Version:
        self._clock += 1
        self._tokens += 1
        return Version(self._tokens, write, data, created=self._clock)

    def _get(self, actor: Actor, answer: Answer) -> None:
        actor.history += (answer,)
        shown = answer.data if isinstance(answer, Version) else getattr(answer, "value", answer)
        self.told.append(f"{actor.name} gets {shown!r}")
        if actor.asks() is None:
            self.actors.remove(actor)
            if actor is self._passing:
                self._proven = self._proven or self._story.acts[self._acts] == Pass(LEGACY)
                self._passing = None
                self._acts += 1

    def _lose(self, actor: Actor) -> None:
        self._lost += 1
        self.actors.remove(actor)
        self.told.append(f"{actor.name} is lost")


def walk(story: Story, choose: Callable[[int], int]) -> World:
    """Follow one interleaving to its end.

    Args:
        choose: Gets the number of possible steps, and picks one by its index.

    Raises:
        AssertionError: At some step the last write was on neither path, and not kept.
    """
    world = World(story)
    while steps := list(world.steps()):
        steps[choose(len(steps))]()
        wrong = world.wrong()
        assert wrong is None, "\n".join((*world.told, f"=> {wrong}"))
    return world


def _pass(source: Side, settled_before: datetime | None) -> Program:
    def program(store: ReplayedStore) -> object:
        here, there = REFS[source], REFS[source.other]
        seen = LastSeen(store.look(here), store.look(there))
        judged: list[int] = []

        def settling(version: ObjectState) -> float:
            known = version.generation in judged
            judged.append(version.generation)
            return 0.0 if known else 1.0

        while True:
            try:
                return replicate(
                    store,
                    here,
                    there,
                    Authority.LATER_WRITE,
                    last_seen=seen,
                    keep=_keep,
                    settling=settling,
                    settled_before=settled_before if source is LEGACY else None,
                    source_settled_before=settled_before if source is NEW else None,
                )
            except NotSettled:
                store.wait()

    return program


def _keep(version: ObjectState) -> ObjectRef:
    return MIGRATION.kept_ref(NAME, version.generation)


def _event(
    side: Side, version: Version, kind: EventKind = EventKind.FINALIZED, tick: int | None = None
) -> ObjectEvent:
    ref = REFS[side]
    return ObjectEvent(
        id=f"e{number(version.token)}",
        kind=kind,
        bucket=ref.bucket,
        time=moment(version.created if tick is None else tick),
        state=object_state(version, ref.name),
    )
