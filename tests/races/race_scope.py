"""The scope of an exploration: a writer's script, the actors that follow it, and the number of faults."""

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from race_event_loop import InLoop, at_once
from race_model import Place, Refusal, Version, deleted, moment, object_state, patched, put
from race_replay import DESTINATION, SOURCE, Program, ReplayingStore, keep

from mirror_function.mirror import settle
from shared.decision import Authority
from shared.errors import StorageError
from shared.first_rewrite import first_rewrite
from shared.objects import ObjectRef, ObjectState
from shared.replicate import (
    UNTRIED,
    DeletePropagation,
    LastSeen,
    Replication,
    Unsettled,
    propagate_delete,
    replicate,
)

__all__ = [
    "Actor",
    "Delete",
    "Label",
    "Replicate",
    "Scope",
    "Upload",
    "Write",
    "backfill",
    "deliveries",
    "lane",
    "new_writer",
    "removals",
    "script",
    "sweep",
]


@dataclass(frozen=True, slots=True)
class Upload:
    """The writer creates or overwrites the source."""

    data: str
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Delete:
    """The writer deletes the source."""


@dataclass(frozen=True, slots=True)
class Label:
    """The writer changes the source's metadata in place: no new generation, no finalize event."""

    metadata: str


Write = Upload | Delete | Label
Replicate = Callable[..., Replication]
Settle = Callable[..., Awaitable[Replication | Unsettled]]
Propagate = Callable[[ReplayingStore, ObjectRef, ObjectRef, ObjectState, datetime], DeletePropagation | None]


@dataclass(frozen=True, slots=True)
class Actor:
    """One run of one program.

    Attributes:
        name: For the reader of a counterexample.
        program: Its work. Runs of the same program share one function.
        after: It may start once the writer has done so many of its writes.
        event: It is an event's delivery, which may be lost.
        repeated: Without an answer it gives up and runs again from the start: another delivery, or a job's retry.
        last: It is the sweep, which starts when all others have ended.
    """

    name: str
    program: Program
    after: int = 0
    event: bool = False
    repeated: bool = True
    last: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """The scope of an exploration.

    Attributes:
        sources: The source after each of the writer's writes, see `script`; the first one is empty.
        before: So many writes happened before the start; they have no events.
        copied: The destination starts with a copy of this version; None for an absent destination.
        silences: The number of answers that may get lost.
        losses: The number of events that may get lost.
        hangs: A call without an answer may also be carried out later.
        follows: Deletions are followed: in the end no copy of a deleted source is left.
        always_sweep: A sweep ends every run, not only those that lost an event.
        store: Carries the actors' calls to the model; mutants distort it.
    """

    sources: tuple[Place, ...]
    actors: tuple[Actor, ...]
    before: int = 0
    copied: Version | None = None
    authority: Authority = Authority.SOURCE
    silences: int = 0
    losses: int = 0
    hangs: bool = True
    follows: bool = False
    always_sweep: bool = False
    store: type[ReplayingStore] = ReplayingStore

    @property
    def writes(self) -> int:
        """The number of writes in the script."""
        return len(self.sources) - 1


def script(*writes: Write, versioned: bool = False) -> tuple[Place, ...]:
    """Compute the source before the first write, and after each."""
    places = [Place(versioned=versioned)]
    for count, write in enumerate(writes, start=1):
        before = places[-1]
        match write:
            case Upload(data, metadata):
                after = put(before, Version(count, count, data, metadata, created=2 * count))
            case Delete():
                after = deleted(before)
            case Label(metadata):
                after = patched(before, metadata, count)
        assert not isinstance(after, Refusal), f"write {count} is impossible"
        places.append(after)
    return tuple(places)


def deliveries(
    sources: tuple[Place, ...],
    *,
    before: int = 0,
    twice: Iterable[int] = (),
    authority: Authority = Authority.SOURCE,
    replicate: Replicate = replicate,
    settle: Settle = settle,
    follows: bool = False,
) -> Iterator[Actor]:
    """Give the mirror's runs: one for each finalize event, two for each event that comes twice. In any order, at once.

    Each begins in the event loop and goes on by the rule, as the mirror does. Its first attempt is one conditional copy without
    a look. The event has the written version, and the destination of a new object is absent. With `follows` the mirror also
    follows deletions.
    """
    for count in range(before + 1, len(sources)):
        version = sources[count].live
        if version is None or version.token != count:
            continue
        event = object_state(version, SOURCE.name)
        program = _delivery(settle, replicate, authority, event, follows=follows)
        for again in range(1 + (count in twice)):
            name = f"mirror of v{count}" + " again" * again
            yield Actor(name, program, after=count, event=True)


def backfill(
    name: str = "backfill",
    *,
    destination_first: bool = False,
    authority: Authority = Authority.SOURCE,
    replicate: Replicate = replicate,
    last: bool = False,
) -> Actor:
    """Give a run of the backfill: two listings, each of any age when `replicate` starts, in either order."""

    def program(store: ReplayingStore) -> Replication:
        if destination_first:
            there = store.look(DESTINATION)
            last_seen = LastSeen(store.look(SOURCE), there)
        else:
            here = store.look(SOURCE)
            last_seen = LastSeen(here, store.look(DESTINATION))
        return replicate(store, SOURCE, DESTINATION, authority, last_seen=last_seen, keep=keep)

    return Actor(name, program, last=last)


def lane(*, follows: bool = False) -> Actor:
    """Give the bulk lane's work on one line: two listings, one rewrite in the event loop, and the rule for what is left."""

    def program(store: ReplayingStore) -> Replication:
        seen = LastSeen(store.look(SOURCE), store.look(DESTINATION))
        try:
            work = first_rewrite(
                InLoop(store),  # type: ignore[arg-type]
                SOURCE,
                DESTINATION,
                seen,
                Authority.SOURCE,
                follows_deletions=follows,
            )
            done = at_once(work)
        except StorageError:
            done = UNTRIED
        if isinstance(done, Replication):
            return done
        deletes = store if follows else None
        return replicate(
            store, SOURCE, DESTINATION, Authority.SOURCE, last_seen=seen, after=done, deletes=deletes
        )

    return Actor("lane", program)


def sweep(*, authority: Authority = Authority.SOURCE, replicate: Replicate = replicate) -> Actor:
    """Give the sweep that repairs the effects of lost events: the backfill, after all others."""
    return backfill("sweep", authority=authority, replicate=replicate, last=True)


def new_writer(data: str) -> Actor:
    """Give a writer that already uses the new path."""

    def program(store: ReplayingStore) -> None:
        store.put(data)

    return Actor("new-path writer", program, repeated=False)


def removals(
    sources: tuple[Place, ...], *, before: int = 0, propagate: Propagate = propagate_delete
) -> Iterator[Actor]:
    """Give the mirror's runs for delete events: one for each version that an overwrite or a deletion ended."""
    for count in range(before + 1, len(sources)):
        ended, live = sources[count - 1].live, sources[count].live
        if ended is not None and (live is None or live.token != ended.token):
            program = _propagation(propagate, object_state(ended, SOURCE.name), moment(2 * count))
            yield Actor(f"mirror of v{ended.write}'s end", program, after=count, event=True)


def _delivery(
    settle: Settle, replicate: Replicate, authority: Authority, event: ObjectState, *, follows: bool
) -> Program:
    async def winner() -> Authority:
        return authority

    def program(store: ReplayingStore) -> Replication:
        done = at_once(settle(InLoop(store), SOURCE, DESTINATION, event, winner, follows_deletions=follows))
        if isinstance(done, Replication):
            return done
        following = {"deletes": store} if follows else {}
        seen = LastSeen(event, None)
        return replicate(
            store, SOURCE, DESTINATION, authority, last_seen=seen, after=done, keep=keep, **following
        )

    return program


def _propagation(propagate: Propagate, ended: ObjectState, at: datetime) -> Program:
    def program(store: ReplayingStore) -> DeletePropagation | None:
        return propagate(store, SOURCE, DESTINATION, ended, at)

    return program
