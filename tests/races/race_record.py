"""What surrounds the rule, step by step: the record, the cached phase, clocks, long passes and a second pair.

Production code runs as it is: `mirror`, `replicate`, `PhaseReader`, `update`, `begin`, `InPhases`, `refuse_overlaps`. A store
answers its calls from a history, and stops it at the first call without an answer. The explorer gives the answer and runs it again.

A *process* has a local clock, the newest ``Date`` that it was answered, and a `PhaseReader`. Its *actors* are threads that share
them. Cloud Storage serves a call in one step. Where an actor is *slow*, the answer arrives in a later step. Time passes in the
steps that the scope names; a process may sleep through one, and then its local clock stands still.

One object is migrated. A copy is one step here: ``race_world`` has the rewrite in two.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from enum import Enum
from functools import lru_cache
from math import floor
from typing import Any, NamedTuple

import google_crc32c

from shared.errors import ConditionFailed, MigrationError, ObjectNotFound
from shared.migration import Location, Migration
from shared.objects import Metadata, ObjectRef, ObjectState
from shared.phase import Phase, PhaseReader, Recorded, entry_ref, history_ref, state_ref
from shared.record import read_record
from shared.server_time import ServerTime
from shared.state import State
from shared.state_changes import Stamp, begun, with_phase
from shared.store import ListingPage

__all__ = [
    "LEGACY",
    "MIGRATION",
    "NEW",
    "START",
    "Actor",
    "Claim",
    "Client",
    "Damage",
    "RecordWorld",
    "Scope",
    "Store",
    "Stored",
    "key",
    "objects",
    "recorded_state",
    "shown_state",
    "stamp",
    "state_of",
]

MIGRATION = Migration(Location("legacy", "data/q/"), Location("new", "exports/q/"))
LEGACY = ObjectRef("legacy", "data/q/day/o.jsonl")
NEW = ObjectRef("new", "exports/q/day/o.jsonl")
START = datetime(2025, 3, 1, tzinfo=UTC)
_crc32c: Callable[[bytes], int] = google_crc32c.value


class Claim(Enum):
    """What holds in every interleaving."""

    NOT_LOST = "the last acknowledged write is on one of the paths, or kept"
    NO_DOUBT = "nothing is copied where the record was not whole for longer than a phase may be cached"
    STAYS_GONE = "what a deletion deleted does not come back"
    ON_RECORD = "a change that was acknowledged is, or was, an entry of the history"
    READABLE = "in the end the record is whole"


class Wrong(NamedTuple):
    """A claim that does not hold."""

    claim: Claim
    sentence: str


class Damage(Enum):
    """What happens to the record, without any program of ours."""

    ONE = "one object is lost, edited, or goes back to an older version"
    HEAD_BACK = "the head goes back to an older version"
    FOLDER = "the whole folder is removed"
    SET_BACK = "the whole record goes back to an older version"


class Stored(NamedTuple):
    """An object's live version.

    Attributes:
        created: Counts the writes of data; 0 for the record's objects.
    """

    generation: int
    data: bytes
    created: int = 0


Objects = tuple[tuple[str, Stored], ...]


class Client(NamedTuple):
    """A client's write.

    Attributes:
        after: The actor whose success it awaits, such as the cutover; empty for none.
    """

    at: ObjectRef
    data: bytes
    after: str = ""


@dataclass(frozen=True)
class Actor:
    """A thread of a process.

    Attributes:
        program: What it runs; gets its store.
        process: The process it belongs to; its own by default. Only named processes have clocks.
        slow: Its answers may arrive long after Cloud Storage made them.
        after: The actors that must have ended before.
        mortal: It may stop at any step.
        acknowledges: The change that is on record when it succeeds; empty for none.
    """

    name: str
    program: "Callable[[Store], object]"
    process: str = ""
    slow: bool = False
    after: tuple[str, ...] = ()
    mortal: bool = False
    acknowledges: str = ""


@dataclass(frozen=True)
class Scope:
    """A few actors and what may happen to them.

    Attributes:
        objects: What is stored at first.
        last: The last write that a client made before.
        ticks: Seconds by which time goes on, one after the other.
        naps: How many of the ticks a process may sleep through.
        damages: What may happen to the record, in this order.
        undamaged_until: The actor that has ended before any damage; empty for none.
        prompt: A copy is served before time goes on. Else it may be served long after it was asked for.
        dates: Whether answers carry a ``Date``.
        pairs: Every migration whose process reads a phase: process by migration; others read that of `MIGRATION`.
    """

    objects: Objects
    last: bytes
    actors: tuple[Actor, ...]
    claims: frozenset[Claim]
    clients: tuple[Client, ...] = ()
    ticks: tuple[float, ...] = ()
    naps: int = 0
    damages: tuple[Damage, ...] = ()
    undamaged_until: str = ""
    prompt: bool = False
    dates: bool = True
    pairs: tuple[tuple[str, Migration], ...] = ()


NOTHING_READ = Recorded(Phase.DUAL_WRITE, 0)
"""What a `PhaseReader` starts with."""


class Process(NamedTuple):
    """What the threads of a process share."""

    local: float = 0.0
    newest: datetime | None = None
    cache: Any = None
    last: Any = NOTHING_READ


class Thread(NamedTuple):
    """An actor's state.

    Attributes:
        memory: The number of its history; -1 when it has stopped.
        flight: An answer under way, and its ``Date``; None for none.
        since: When it came to its wait, or where `Claim.NO_DOUBT` is claimed, when its last look was served.
    """

    memory: int = 0
    flight: Any = None
    since: float = 0.0


class World(NamedTuple):
    """A state of everything.

    Attributes:
        last: What a client wrote last.
        writes: How many there were; gives the generations.
        damaged: When the record was damaged; negative before.
        heads: Every version of the head.
        gone: Whether the deletion has deleted the legacy object.
        noted: The changes that have, or had, an entry of their own.
    """

    objects: Objects
    last: bytes
    processes: tuple[Process, ...]
    threads: tuple[Thread, ...]
    clock: float = 0.0
    ticks: int = 0
    naps: int = 0
    writes: int = 100
    damages: int = 0
    damaged: float = -1.0
    clients: int = 0
    heads: tuple[bytes, ...] = ()
    gone: bool = False
    noted: frozenset[str] = frozenset()


class Step(NamedTuple):
    """One step, and the claim that it breaks."""

    said: str
    after: World
    wrong: Wrong | None = None


class Read(NamedTuple):
    at: str


class List(NamedTuple):
    prefix: str


class Write(NamedTuple):
    at: str
    data: bytes
    if_generation: int


class Copy(NamedTuple):
    source: str
    destination: str
    if_source: int
    if_destination: int


class Delete(NamedTuple):
    at: str
    if_generation: int


class Wait(NamedTuple):
    seconds: float


class Acquire(NamedTuple):
    pass


class Refusal(Enum):
    FAILED = "precondition failed"
    NOT_FOUND = "not found"


class Entry(NamedTuple):
    """An answer, with its ``Date``, and what the process knew when it arrived."""

    answer: Any
    process: Process
    date: datetime | None = None


class Asked(BaseException):
    """The program waits for an answer."""

    def __init__(self, call: Any) -> None:
        self.call = call


class Result(NamedTuple):
    """Where a program stands after a history.

    Attributes:
        call: What it waits for; None when it has ended.
        error: Why it failed; None if it did not.
    """

    call: Any
    error: MigrationError | None
    cache: Any
    last: Any
    holds: bool


def key(at: ObjectRef) -> str:
    """An object's key in the model."""
    return f"{at.bucket}/{at.name}"


LEGACY_KEY, NEW_KEY = key(LEGACY), key(NEW)
DATA = {LEGACY_KEY, NEW_KEY}
HEAD, HISTORY = key(state_ref(MIGRATION)), key(history_ref(MIGRATION))


@lru_cache(100_000)
def shown_state(at: str, stored: Stored) -> ObjectState:
    """An object as the gateway shows it."""
    moment = f"2024-01-01T00:{stored.created // 60:02}:{stored.created % 60:02}Z"
    return ObjectState(
        name=at.partition("/")[2],
        generation=stored.generation,
        metageneration=1,
        size=len(stored.data),
        crc32c=base64.b64encode(_crc32c(stored.data).to_bytes(4, "big")).decode(),
        md5=base64.b64encode(hashlib.md5(stored.data, usedforsecurity=False).digest()).decode(),
        created=moment,
        updated=moment,
        metadata=Metadata(content_type="application/jsonl", custom={}),
    )


class Store:
    """Answers a program's calls from its history, and stops it at the first call without an answer."""

    def __init__(self, migration: Migration, entries: Sequence[Entry], *, threads: bool) -> None:
        self._entries = iter(entries)
        self.local = 0.0
        self.holds = False
        self.server_time = ServerTime(lambda: START)
        self.phases = PhaseReader(self, migration, lambda: self.local, self.pause)
        if threads:
            self.phases._reading = _Lock(self)  # type: ignore[assignment]

    def ask(self, call: Any) -> Any:
        """The answer to a call."""
        entry = next(self._entries, None)
        if entry is None:
            raise Asked(call)
        self.recall(entry.process)
        if entry.date is not None:
            self.server_time._here.text = format_datetime(entry.date, usegmt=True)
        if isinstance(entry.answer, Refusal):
            error = ObjectNotFound if entry.answer is Refusal.NOT_FOUND else ConditionFailed
            raise error(str(call[0]), entry.answer.value)
        return entry.answer

    def recall(self, process: Process) -> None:
        """Take over what the process knows."""
        self.local, self.server_time._newest = process.local, process.newest
        self.phases._read, self.phases._last = process.cache, process.last

    def read(self, at: ObjectRef) -> bytes | None:
        found = self.ask(Read(key(at)))
        return None if found is None else found.data

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        found = self.ask(Read(key(at)))
        return None if found is None else (found.generation, found.data)

    def look(self, at: ObjectRef) -> ObjectState | None:
        found = self.ask(Read(key(at)))
        return None if found is None else shown_state(key(at), found)

    def list_pages(self, bucket: str, prefix: str, **_: str) -> Iterator[ListingPage]:
        yield ListingPage([shown_state(at, each) for at, each in self.ask(List(f"{bucket}/{prefix}"))])

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        self.ask(Write(key(at), data, if_generation))

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        made = self.ask(Copy(key(source), key(destination), if_source, if_destination))
        return shown_state(key(destination), made)

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        self.ask(Delete(key(at), if_generation))

    def pause(self, _: float) -> None:
        """Other steps may come before the next call anyway."""

    def wait(self, seconds: float) -> None:
        """As long as a change of the phase waits."""
        self.ask(Wait(seconds))


class _Lock:
    """A lock that a process's threads share: taking it is a call."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def __enter__(self) -> None:
        self._store.ask(Acquire())
        self._store.holds = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not Asked:
            self._store.holds = False


def stamp(change: str) -> Stamp:
    """A change's stamp."""
    return Stamp(change, "Ada", START)


def state_of(migration: Migration, *phases: Phase) -> State:
    """The state of a migration that went through phases."""
    state = begun(State.initial(migration), phases[0], stamp("begun before"))
    for number, phase in enumerate(phases[1:]):
        state = with_phase(state, phase, stamp(f"before {number}"))
    return state


def recorded_state(migration: Migration, state: State) -> dict[ObjectRef, bytes]:
    """The objects of a whole record."""
    entries = {
        entry_ref(migration, number, each.phase): state.entry_bytes(each)
        for number, each in enumerate(state.history, 1)
    }
    return {state_ref(migration): state.to_json(), **entries}


def objects(*contents: dict[ObjectRef, bytes]) -> Objects:
    """What is stored at first; data is as old as its place in the order."""
    every = {key(at): data for each in contents for at, data in each.items()}
    return tuple(
        sorted(
            (at, Stored(number, data, number if at in DATA else 0))
            for number, (at, data) in enumerate(every.items(), 1)
        )
    )


class RecordWorld:
    """The steps of a scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        names = list(dict.fromkeys(actor.process or actor.name for actor in scope.actors))
        self._process = [names.index(actor.process or actor.name) for actor in scope.actors]
        self._clocked = [any(actor.process == name for actor in scope.actors) for name in names]
        self._shared = [self._process.count(number) > 1 for number in range(len(names))]
        self._names = names
        self._numbers = {actor.name: number for number, actor in enumerate(scope.actors)}
        self._pairs = dict(scope.pairs)
        self._memories: list[tuple[int, Entry] | None] = [None]
        self._known: dict[tuple[int, int, Entry], int] = {}
        self._results: dict[tuple[int, int], Result] = {}
        self._doubts = Claim.NO_DOUBT in scope.claims

    def start(self) -> World:
        """The first state."""
        heads = tuple(stored.data for at, stored in self.scope.objects if at == key(state_ref(MIGRATION)))
        return World(
            self.scope.objects,
            self.scope.last,
            tuple(Process() for _ in self._names),
            tuple(Thread() for _ in self.scope.actors),
            heads=heads,
        )

    def steps(self, world: World) -> Iterator[Step]:
        """Every step that is possible next."""
        for number, actor in enumerate(self.scope.actors):
            yield from self._actor_steps(world, number, actor)
        yield from self._client_steps(world)
        yield from self._time_steps(world)
        until = self.scope.undamaged_until
        if world.damages < len(self.scope.damages) and (not until or self._over(world, until)):
            yield from _damages(world, self.scope.damages[world.damages])

    def quiet(self, world: World) -> Wrong | None:
        """Check a state in which nothing more happens."""
        if Claim.READABLE in self.scope.claims:
            try:
                read_record(_Now(world.objects), MIGRATION, lambda _: None)  # type: ignore[arg-type]
            except MigrationError as error:
                return Wrong(Claim.READABLE, str(error))
        return None

    def ended(self, world: World, name: str) -> Result | None:
        """How an actor ended; None if it has not."""
        number = self._numbers[name]
        thread = world.threads[number]
        if thread.flight is not None or thread.memory < 0:
            return None
        result = self._results.get((number, thread.memory))
        return result if result is not None and result.call is None else None

    def _actor_steps(self, world: World, number: int, actor: Actor) -> Iterator[Step]:
        thread = world.threads[number]
        if thread.memory < 0:
            return
        if thread.flight is not None:
            yield self._arrived(world, number, actor)
            return
        if thread.memory == 0:
            if not all(self._over(world, name) for name in actor.after):
                return
            world = self._remember(world, number, None, None)
            thread = world.threads[number]
        result = self._results[number, thread.memory]
        if result.call is None:
            return
        if actor.mortal:
            stopped = _with_thread(world, number, Thread(-1))
            yield Step(f"{actor.name}: stops", stopped)
        yield from self._served(world, number, actor, result.call)

    def _over(self, world: World, name: str) -> bool:
        thread = world.threads[self._numbers[name]]
        return thread.memory < 0 or self.ended(world, name) is not None

    def _served(self, world: World, number: int, actor: Actor, call: Any) -> Iterator[Step]:
        thread = world.threads[number]
        if isinstance(call, Wait) and world.clock < thread.since + call.seconds:
            return
        if isinstance(call, Acquire):
            if self._locked(world, number):
                return
            yield Step(f"{actor.name}: takes the lock", self._remember(world, number, None, None))
            return
        said = f"{actor.name}: {_told(call)}"
        wrong = self._doubtful(world, number, call)
        answer, after = _serve(world, call)
        if isinstance(call, Delete) and answer is None and call.at == LEGACY_KEY:
            after = after._replace(gone=True)
        if self._doubts and isinstance(call, Read | List) and not _own(call[0]):
            after = _with_thread(after, number, thread._replace(since=world.clock))
        date = START + timedelta(seconds=floor(world.clock)) if self.scope.dates else None
        if isinstance(call, Wait):
            date = None
        said += f" -> {_answered(answer)}"
        wrong = wrong or _lost(after)
        if actor.slow and not isinstance(call, Wait):
            flying = after.threads[number]._replace(flight=(answer, date))
            yield Step(f"{said} (under way)", _with_thread(after, number, flying), wrong)
            return
        after = self._remember(after, number, answer, date)
        yield Step(said, after, wrong or self._acknowledged(after, number, actor))

    def _arrived(self, world: World, number: int, actor: Actor) -> Step:
        answer, date = world.threads[number].flight
        after = self._remember(world, number, answer, date)
        return Step(f"{actor.name}: the answer arrives", after, self._acknowledged(after, number, actor))

    def _remember(self, world: World, number: int, answer: Any, date: datetime | None) -> World:
        """Add an answer to an actor's history, run it on, and note what its process knows then."""
        at = self._process[number]
        process, thread = world.processes[at], world.threads[number]
        if date is not None and self._clocked[at] and (process.newest is None or date > process.newest):
            process = process._replace(newest=date)
        entry = Entry(answer, process, date) if self._clocked[at] else Entry(answer, Process())
        memory = self._known.setdefault((number, thread.memory, entry), len(self._memories))
        if memory == len(self._memories):
            self._memories.append((thread.memory, entry))
            self._results[number, memory] = self._run(number, memory)
        result = self._results[number, memory]
        if self._clocked[at]:
            process = process._replace(cache=result.cache, last=result.last)
        since = world.clock if isinstance(result.call, Wait) else thread.since if self._doubts else 0.0
        if thread.memory == 0 and self._doubts:
            since = world.clock
        processes = (*world.processes[:at], process, *world.processes[at + 1 :])
        return _with_thread(world._replace(processes=processes), number, Thread(memory, None, since))

    def _run(self, number: int, memory: int) -> Result:
        entries: list[Entry] = []
        while memory:
            found = self._memories[memory]
            assert found is not None
            memory, entry = found
            entries.append(entry)
        entries.reverse()
        actor, at = self.scope.actors[number], self._process[number]
        migration = self._pairs.get(self._names[at], MIGRATION)
        store = Store(migration, entries[1:], threads=self._shared[at])
        store.recall(entries[0].process)
        call = error = None
        try:
            actor.program(store)
        except Asked as asked:
            call = asked.call
        except MigrationError as raised:
            error = raised
        return Result(call, error, store.phases._read, store.phases._last, store.holds)

    def _locked(self, world: World, number: int) -> bool:
        """Whether another thread of the process holds the lock."""
        for other, thread in enumerate(world.threads):
            if other != number and self._process[other] == self._process[number] and thread.memory > 0:
                result = self._results[other, thread.memory]
                if result.holds and result.call is not None:
                    return True
        return False

    def _doubtful(self, world: World, number: int, call: Any) -> Wrong | None:
        if not (self._doubts and isinstance(call, Copy) and call.destination in DATA and world.damaged >= 0):
            return None
        refused = _serve(world, call)[0]
        age = world.threads[number].since - world.damaged
        if isinstance(refused, Refusal) or age < 11:
            return None
        return Wrong(Claim.NO_DOUBT, f"a copy, {age:.0f} seconds after the record was damaged")

    def _acknowledged(self, world: World, number: int, actor: Actor) -> Wrong | None:
        result = self._results[number, world.threads[number].memory]
        if not actor.acknowledges or result.call is not None or result.error is not None:
            return None
        if actor.acknowledges in world.noted:
            return None
        return Wrong(Claim.ON_RECORD, f"{actor.name} succeeded, and its change is not in the record")

    def _copying(self, world: World) -> bool:
        """Whether a copy is asked for, and not served."""
        return any(
            thread.memory > 0 and isinstance(self._results[number, thread.memory].call, Copy)
            for number, thread in enumerate(world.threads)
            if thread.flight is None
        )

    def _client_steps(self, world: World) -> Iterator[Step]:
        if world.clients == len(self.scope.clients):
            return
        client = self.scope.clients[world.clients]
        if client.after:
            ended = self.ended(world, client.after)
            if ended is None or ended.error is not None:
                return
        after = _put(world, key(client.at), client.data)
        yield Step(
            f"client: writes {client.data.decode()!r} at {client.at.uri}",
            after._replace(clients=world.clients + 1, last=client.data),
        )

    def _time_steps(self, world: World) -> Iterator[Step]:
        if world.ticks == len(self.scope.ticks) or (self.scope.prompt and self._copying(world)):
            return
        seconds = self.scope.ticks[world.ticks]
        clocked = [number for number, has in enumerate(self._clocked) if has]
        sleepers: list[int | None] = [None, *(clocked if world.naps < self.scope.naps else ())]
        for sleeper in sleepers:
            processes = tuple(
                each._replace(local=each.local + seconds)
                if self._clocked[number] and number != sleeper
                else each
                for number, each in enumerate(world.processes)
            )
            said = f"time: {seconds:.0f} seconds pass"
            if sleeper is not None:
                said += f", and {self._names[sleeper]} sleeps"
            yield Step(
                said,
                world._replace(
                    clock=world.clock + seconds,
                    ticks=world.ticks + 1,
                    naps=world.naps + (sleeper is not None),
                    processes=processes,
                ),
            )


class _Now:
    """What is stored now, for a check at the end."""

    def __init__(self, stored: Objects) -> None:
        self._stored = dict(stored)

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        found = self._stored.get(key(at))
        return None if found is None else (found.generation, found.data)

    def list_pages(self, bucket: str, prefix: str) -> Iterator[ListingPage]:
        found = ((at, each) for at, each in self._stored.items() if at.startswith(f"{bucket}/{prefix}"))
        yield ListingPage([shown_state(*each) for each in found])


def _serve(world: World, call: Any) -> tuple[Any, World]:
    """Cloud Storage's answer to a call, and the world after it."""
    stored = dict(world.objects)
    match call:
        case Read(at):
            return stored.get(at), world
        case List(prefix):
            return tuple(each for each in world.objects if each[0].startswith(prefix)), world
        case Write(at, data, if_generation):
            fits = _generation(stored, at) == if_generation
            return (None, _put(world, at, data)) if fits else (Refusal.FAILED, world)
        case Copy():
            return _copied(world, call)
        case Delete(at, if_generation):
            fits = _generation(stored, at) == if_generation
            return (None, _without(world, at)) if fits else (Refusal.FAILED, world)
        case _:
            return None, world


def _copied(world: World, call: Copy) -> tuple[Any, World]:
    stored = dict(world.objects)
    if call.source not in stored:
        return Refusal.NOT_FOUND, world
    now = (_generation(stored, call.source), _generation(stored, call.destination))
    if now != (call.if_source, call.if_destination):
        return Refusal.FAILED, world
    after = _put(world, call.destination, stored[call.source].data)
    return dict(after.objects)[call.destination], after


def _generation(stored: dict[str, Stored], at: str) -> int:
    return stored[at].generation if at in stored else 0


def _put(world: World, at: str, data: bytes) -> World:
    made = Stored(world.writes, data, world.writes if at in DATA else 0)
    stored = tuple(sorted({**dict(world.objects), at: made}.items()))
    heads, noted = world.heads, world.noted
    if at.startswith(HISTORY):
        noted = noted | {json.loads(data)["change"]}
    if at == key(state_ref(MIGRATION)) and data not in heads:
        heads = (*heads, data)
    return world._replace(objects=stored, writes=world.writes + 1, heads=heads, noted=noted)


def _without(world: World, *keys: str) -> World:
    return world._replace(objects=tuple(each for each in world.objects if each[0] not in keys))


def _with_thread(world: World, number: int, thread: Thread) -> World:
    return world._replace(threads=(*world.threads[:number], thread, *world.threads[number + 1 :]))


def _own(at: str) -> bool:
    return "/_migration/" in at


def _lost(world: World) -> Wrong | None:
    held = {stored.data for at, stored in world.objects if at in DATA or "/replaced/" in at}
    if world.last not in held:
        return Wrong(Claim.NOT_LOST, f"{world.last.decode()!r}, which was written last, is lost")
    if world.gone and any(at == LEGACY_KEY for at, _ in world.objects):
        return Wrong(Claim.STAYS_GONE, "the deleted object is back")
    return None


def _damages(world: World, kind: Damage) -> Iterator[Step]:
    done = world._replace(
        damages=world.damages + 1, damaged=world.clock if world.damaged < 0 else world.damaged
    )
    record = {at: stored for at, stored in world.objects if at == HEAD or at.startswith(HISTORY)}
    match kind:
        case Damage.FOLDER:
            yield Step("damage: the folder is removed", _without(done, *record))
        case Damage.SET_BACK:
            entries = sorted(at for at in record if at != HEAD)
            if HEAD in record and len(entries) > 1 and len(world.heads) > 1:
                older = _put(_without(done, entries[-1]), HEAD, world.heads[-2])
                yield Step("damage: head and history are set back", older)
        case Damage.HEAD_BACK:
            yield from _older_heads(world, done)
        case Damage.ONE:
            yield from _one_damaged(world, done, record)


def _one_damaged(world: World, done: World, record: dict[str, Stored]) -> Iterator[Step]:
    for at in record:
        yield Step(f"damage: {at} is lost", _without(done, at))
    if HEAD in record:
        yield from _older_heads(world, done)
        for edited in _edits(record[HEAD].data):
            yield Step("damage: the head is edited", _put(done, HEAD, edited))
    entries = sorted(at for at in record if at != HEAD)
    if entries:
        last = entries[-1]
        renamed = f"{HISTORY}{last.removeprefix(HISTORY)[:8]}-dual_write.json"
        if renamed != last:
            moved = _put(_without(done, last), renamed, record[last].data)
            yield Step("damage: the last entry is renamed", moved)


def _older_heads(world: World, done: World) -> Iterator[Step]:
    now = dict(world.objects).get(HEAD)
    for version, older in enumerate(world.heads, 1):
        if now is not None and older != now.data:
            yield Step(f"damage: the head goes back to version {version}", _put(done, HEAD, older))


@lru_cache(1000)
def _edits(head: bytes) -> tuple[bytes, ...]:
    """The head with the first phase instead of its own: in one place, and wherever the last change stands."""
    content = json.loads(head)
    if content["phase"] == "dual_write":
        return ()
    one = {**content, "phase": "dual_write"}
    last = {**content["history"][-1], "phase": "dual_write"}
    both = {**one, "since": last["at"], "history": [*content["history"][:-1], last]}
    return tuple((json.dumps(each, indent=2) + "\n").encode() for each in (one, both))


def _told(call: Any) -> str:
    match call:
        case Read(at) | List(at) | Write(at, _, _) | Delete(at, _):
            return f"{type(call).__name__.lower()} {at}"
        case Copy(source, destination, _, _):
            return f"copy {source} to {destination}"
        case _:
            return type(call).__name__.lower()


def _answered(answer: Any) -> str:
    match answer:
        case Stored(generation, data, _):
            text = data.decode()
            return repr(text) if len(text) < 20 else f"generation {generation}"
        case tuple():
            return ", ".join(at.rpartition("/")[2] for at, _ in answer) or "nothing"
        case Refusal():
            return answer.value
        case _:
            return "absent" if answer is None else str(answer)
