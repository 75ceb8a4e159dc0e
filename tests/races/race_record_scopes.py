"""The programs and the scopes of `race_record`: what surrounds the rule, and may go wrong around it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any, Self

import pytest
from race_event_loop import whole_mirror
from race_explorer import Exploration, explore_world
from race_record import (
    LEGACY,
    MIGRATION,
    NEW,
    Actor,
    Claim,
    Client,
    Damage,
    RecordWorld,
    Scope,
    Store,
    Stored,
    key,
    objects,
    recorded_state,
    shown_state,
    stamp,
    state_of,
)

from backfill_job.copying.catch_up import BRINGS_BACK_IN
from backfill_job.deletion.phases import GOES_ON_IN
from backfill_job.run import late_gateway, overlaps
from backfill_job.run.phase_change import MARGIN_SECONDS
from mirror_function.event import EventKind, ObjectEvent
from mirror_function.settings import MirrorSettings
from shared.authority import AuthoritySource, ByPhase, InPhases
from shared.decision import Authority
from shared.migration import Location, Migration
from shared.objects import ObjectRef, same
from shared.phase import CACHE_SECONDS, Phase, state_ref
from shared.record import begin, update
from shared.replicate import LastSeen, replicate
from shared.state import Signatory
from shared.state_changes import sign_off, with_phase

NAME = MIGRATION.relative(LEGACY.name)
BACK = MIGRATION.reversed()
URI = state_ref(MIGRATION).uri
WAIT = CACHE_SECONDS + MARGIN_SECONDS

DUAL, CUT = (Phase.DUAL_WRITE,), (Phase.DUAL_WRITE, Phase.CUT_OVER)


def record(*phases: Phase) -> dict[ObjectRef, bytes]:
    return recorded_state(MIGRATION, state_of(MIGRATION, *phases))


# --- programs ----------------------------------------------------------------------------------------------------


def event_of(at: ObjectRef, data: bytes, generation: int) -> ObjectEvent:
    """The event of a version that was there from the beginning."""
    state = shown_state(key(at), Stored(generation, data, generation))
    return ObjectEvent(
        id="e1",
        kind=EventKind.FINALIZED,
        bucket=at.bucket,
        time=datetime(2024, 1, 1, tzinfo=UTC),
        state=state,
    )


def delivery(event: ObjectEvent, settings: MirrorSettings | None = None) -> Callable[[Store], object]:
    """The mirror's work on an event."""
    of = settings or MirrorSettings(MIGRATION)
    return lambda store: whole_mirror(event, of, store, store.phases)


def other_event(store: Store) -> object:
    """An event of another object, of which only the phase matters."""
    return store.phases.phase()


def other_look(store: Store) -> object:
    """A look at another object."""
    return store.look(LEGACY)


def one_pass(
    authority: Callable[[Store], AuthoritySource], way: Migration = MIGRATION
) -> Callable[[Store], object]:
    """What a command does with one object: it lists both sides, and replicates."""

    def program(store: Store) -> object:
        here, there = way.source_ref(NAME), way.destination_ref(NAME)
        seen = LastSeen(store.look(here), store.look(there))
        keep = lambda version: MIGRATION.kept_ref(NAME, version.generation)  # noqa: E731
        return replicate(store, here, there, authority(store).current, last_seen=seen, keep=keep)

    return program


def by_phase(store: Store) -> AuthoritySource:
    return ByPhase(store.phases, lambda phase: phase.forward_authority)


def only_in(allowed: frozenset[Phase]) -> Callable[[Store], AuthoritySource]:
    return lambda store: InPhases(store.phases, allowed, Authority.LATER_WRITE, URI)


sweep = one_pass(by_phase)
refresh = one_pass(only_in(BRINGS_BACK_IN), BACK)
catch_up = one_pass(only_in(frozenset({Phase.CUT_OVER})))


def moves(phase: Phase, seconds: float = WAIT) -> Callable[[Store], object]:
    """A command that changes the phase, and waits."""

    def program(store: Store) -> object:
        update(
            store, MIGRATION, lambda state: with_phase(state, phase, stamp(phase.value)), pause=store.pause
        )
        store.wait(seconds)
        return None

    return program


def signs(who: str) -> Callable[[Store], object]:
    return lambda store: update(
        store,
        MIGRATION,
        lambda state: sign_off(state, Signatory.DATA, replace(stamp(who), by=who)),
        pause=store.pause,
    )


def begins(phase: Phase | None = None) -> Callable[[Store], object]:
    return lambda store: begin(store, MIGRATION, stamp("begin"), phase)


def deletes(store: Store) -> object:
    """A deletion of the legacy object: manifest, phase, wait, delete."""
    legacy, new = store.look(LEGACY), store.look(NEW)
    if legacy is None or new is None or not same(legacy, new):
        return None
    update(
        store,
        MIGRATION,
        lambda state: with_phase(state, Phase.DELETING, stamp("deleting")),
        pause=store.pause,
    )
    store.wait(WAIT)
    InPhases(store.phases, GOES_ON_IN, Authority.DESTINATION, URI).current()
    store.delete(LEGACY, if_generation=legacy.generation)
    return None


# --- other pairs -------------------------------------------------------------------------------------------------

PARENT = Migration(Location("legacy", "data/"), Location("new", "exports/"))
CHILD = Migration(Location("legacy", "data/q/day/"), Location("new", "exports/q/day/"))
REVERSED = Migration(Location("new", "exports/q/"), Location("legacy", "data/q/"))

_ENVIRON = {"STORAGE_EMULATOR_HOST": "http://the.model"}


class _Api:
    """Stands for the fast client: only its listings of names are asked, and the model answers them."""

    def __init__(self, **_: object) -> None:
        pass

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        pass


@contextmanager
def _listing_from(store: Store) -> Iterator[None]:
    """Let `refuse_overlaps` list names in the model: one call for each folder."""
    listed: dict[Location, list[str]] = {}

    async def names(_: _Api, folder: Location, glob: str) -> list[str]:
        if folder not in listed:
            (page,) = store.list_pages(folder.bucket, folder.prefix)
            listed[folder] = [each.name for each in page.objects]
        return [name for name in listed[folder] if fnmatchcase(name, glob.replace("**/", "*"))]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(overlaps, "AsyncApi", _Api)
        patched.setattr(overlaps, "matching_names", names)
        patched.setattr(late_gateway.uvloop, "run", _driven)
        patched.setattr(overlaps.asyncio, "gather", _one_after_the_other)
        yield


async def _one_after_the_other(*works: Any) -> list[Any]:
    try:
        return [await each for each in works]
    finally:
        for each in works:
            each.close()


def _driven(work: Any) -> Any:
    """Run a coroutine that never waits."""
    try:
        work.send(None)
    except StopIteration as ended:
        return ended.value
    raise AssertionError("it waits")


def refuse(pair: Migration, store: Store) -> None:
    """The question that every command asks first that overwrites or deletes."""
    with _listing_from(store):
        overlaps.refuse_overlaps(pair, store, _ENVIRON)


def begin_of(pair: Migration, store: Store) -> object:
    """`begin`, in the first phase."""
    return begin(store, pair, stamp(f"begin {pair.source.uri}"), Phase.DUAL_WRITE)


def pair_begins(pair: Migration, *, asks: bool = True) -> Callable[[Store], object]:
    """The command ``begin``, by an operator who names the first phase."""

    def program(store: Store) -> object:
        if asks:
            refuse(pair, store)
        begin_of(pair, store)
        if asks:
            refuse(pair, store)
        return None

    return program


def pair_copies(pair: Migration, *, asks: bool = True) -> Callable[[Store], object]:
    """The command ``migrate --execute`` for one object."""
    name = pair.relative(LEGACY.name if pair.source.bucket == LEGACY.bucket else NEW.name)

    def program(store: Store) -> object:
        if asks:
            refuse(pair, store)
        store.phases.phase()
        here, there = pair.source_ref(name), pair.destination_ref(name)
        seen = LastSeen(store.look(here), store.look(there))
        return replicate(store, here, there, by_phase(store).current, last_seen=seen)

    return program


def pair_cuts_over(store: Store) -> object:
    """The command ``cutover`` of `MIGRATION`."""
    refuse(MIGRATION, store)
    return moves(Phase.CUT_OVER)(store)


# --- scopes ------------------------------------------------------------------------------------------------------

A, N = b"a", b"n"
LEGACY_EVENT = event_of(LEGACY, A, 1)
BOTH, OVERWRITTEN = {LEGACY: A, NEW: A}, {LEGACY: A, NEW: N}
SAFE = frozenset({Claim.NOT_LOST, Claim.NO_DOUBT})
NOT_LOST = frozenset({Claim.NOT_LOST})
AFTER_CUTOVER = Client(NEW, N, after="cutover")

MIRROR = Actor("mirror", delivery(LEGACY_EVENT), process="mirror")
SWEEP = Actor("sweep", sweep, process="sweep")
CUTOVER = Actor("cutover", moves(Phase.CUT_OVER), acknowledges="cut_over")
BEGIN = Actor("begin", begins())


def pair_scope(pair: Migration, *, reverse: bool = False) -> Scope:
    """Both migrations begin in the same minute."""
    return Scope(
        objects(BOTH),
        A,
        (
            Actor("begin", pair_begins(MIGRATION)),
            Actor("cutover", pair_cuts_over, after=("begin",)),
            Actor("other begin", pair_begins(pair)),
            Actor("other copies", pair_copies(pair), process="other", after=("other begin",)),
        ),
        NOT_LOST,
        clients=(Client(LEGACY, b"bb", after="begin"),) if reverse else (AFTER_CUTOVER,),
        ticks=(12,),
        pairs=(("other", pair),),
    )


def late_pair_scope(pair: Migration, *phases: Phase, stored: dict[ObjectRef, bytes] | None = None) -> Scope:
    """The other pair begins when `MIGRATION` is in some phase."""
    reverse = pair == REVERSED
    return Scope(
        objects(BOTH if reverse else OVERWRITTEN, record(*phases)),
        A if reverse else N,
        (
            Actor("other begin", pair_begins(pair)),
            Actor("other copies", pair_copies(pair), process="other", after=("other begin",)),
        ),
        NOT_LOST,
        clients=(Client(LEGACY, b"bb"),) if reverse else (),
        pairs=(("other", pair),),
    )


RECORD = {
    "cut over, an event twice, a part of the record is damaged": Scope(
        objects(OVERWRITTEN, record(*CUT)),
        N,
        (MIRROR, replace(MIRROR, name="mirror again", after=("mirror",))),
        SAFE,
        ticks=(12,),
        damages=(Damage.ONE,),
    ),
    "cut over, a sweep, a part of the record is damaged": Scope(
        objects(OVERWRITTEN, record(*CUT)), N, (SWEEP,), SAFE, ticks=(12,), damages=(Damage.ONE,)
    ),
    "a copy is due, the record is damaged": Scope(
        objects({LEGACY: A}, record(*DUAL)),
        A,
        (
            Actor("earlier", other_event, process="mirror"),
            replace(MIRROR, after=("earlier",)),
        ),
        SAFE,
        ticks=(12,),
        damages=(Damage.ONE,),
    ),
    "cut over, an event, the folder is removed": Scope(
        objects(OVERWRITTEN, record(*CUT)), N, (MIRROR, SWEEP), SAFE, ticks=(12,), damages=(Damage.FOLDER,)
    ),
    "a cutover, an event, a part of the record is damaged": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (CUTOVER, MIRROR),
        SAFE,
        clients=(AFTER_CUTOVER,),
        ticks=(12,),
        damages=(Damage.ONE,),
    ),
    "cut over, an event, a damage, begin": Scope(
        objects(OVERWRITTEN, record(*CUT)), N, (MIRROR, BEGIN), NOT_LOST, damages=(Damage.ONE,)
    ),
    "cut over, an event, the folder is removed, begin": Scope(
        objects(OVERWRITTEN, record(*CUT)), N, (MIRROR, BEGIN), NOT_LOST, damages=(Damage.FOLDER,)
    ),
    "a cutover that may stop, the head goes back, begin, an event": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (replace(CUTOVER, mortal=True), BEGIN, MIRROR),
        NOT_LOST,
        clients=(AFTER_CUTOVER,),
        ticks=(12,),
        damages=(Damage.HEAD_BACK,),
    ),
    "a process that has seen the cutover, the record is set back": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (
            CUTOVER,
            Actor("earlier", other_event, process="mirror", after=("cutover",)),
            replace(MIRROR, after=("earlier",)),
        ),
        NOT_LOST,
        clients=(AFTER_CUTOVER,),
        ticks=(12, 12),
        damages=(Damage.SET_BACK,),
        undamaged_until="earlier",
    ),
    "two sign-offs at once, the head goes back": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (
            Actor("sign-off", signs("Grace"), acknowledges="Grace"),
            Actor("second sign-off", signs("Joan"), acknowledges="Joan"),
        ),
        frozenset({Claim.ON_RECORD}),
        damages=(Damage.HEAD_BACK,),
    ),
    "two begin at once, in different phases": Scope(
        objects({LEGACY: A}),
        A,
        (BEGIN, Actor("other begin", begins(Phase.CUT_OVER))),
        frozenset({Claim.READABLE}),
    ),
    "a cutover and a sign-off at once": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (CUTOVER, Actor("sign-off", signs("Grace"), acknowledges="Grace")),
        frozenset({Claim.ON_RECORD, Claim.READABLE}),
        ticks=(12,),
    ),
    "a cutover that stops half way, begin": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (replace(CUTOVER, mortal=True), replace(BEGIN, after=("cutover",))),
        frozenset({Claim.ON_RECORD, Claim.READABLE}),
        ticks=(12,),
    ),
    "a cutover that may stop, begin twice": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (replace(CUTOVER, mortal=True), BEGIN, Actor("begin again", begins(), after=("cutover", "begin"))),
        frozenset({Claim.ON_RECORD, Claim.READABLE}),
        ticks=(12,),
    ),
}
"""A record that can be lost, edited or set back, at any step; commands and mirror go on."""

EARLIER = Actor("earlier", other_event, process="mirror")

CLOCKS = {
    "a mirror with a cached phase, a cutover that waits": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (CUTOVER, EARLIER, MIRROR),
        NOT_LOST,
        clients=(AFTER_CUTOVER,),
        ticks=(6, 6),
    ),
    "a mirror with a cached phase that sleeps": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (CUTOVER, EARLIER, MIRROR),
        NOT_LOST,
        clients=(AFTER_CUTOVER,),
        ticks=(6, 6),
        naps=2,
    ),
    "answers without a time": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (CUTOVER, EARLIER, MIRROR),
        NOT_LOST,
        clients=(AFTER_CUTOVER,),
        ticks=(6, 6),
        dates=False,
    ),
    "answers that arrive late, a sleep, another thread": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (
            CUTOVER,
            replace(EARLIER, slow=True),
            Actor("other look", other_look, process="mirror"),
            MIRROR,
        ),
        NOT_LOST,
        clients=(AFTER_CUTOVER,),
        ticks=(12,),
        naps=1,
    ),
    "a late listing, a sleep, another thread, and the head goes back": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (
            CUTOVER,
            replace(EARLIER, slow=True),
            Actor("other look", other_look, process="mirror", after=("cutover",)),
            replace(MIRROR, after=("earlier",)),
        ),
        NOT_LOST,
        clients=(AFTER_CUTOVER,),
        ticks=(12,),
        naps=1,
        damages=(Damage.HEAD_BACK,),
        undamaged_until="cutover",
    ),
    "a command with a cached phase that sleeps": Scope(
        objects(BOTH, record(*DUAL)),
        A,
        (
            CUTOVER,
            Actor("earlier", other_event, process="sweep"),
            replace(SWEEP, slow=True, after=("earlier",)),
        ),
        NOT_LOST,
        clients=(AFTER_CUTOVER,),
        ticks=(12,),
        naps=1,
    ),
}
"""Caches that can be stale, clocks that stop, answers that arrive late."""

DELETION = Actor("deletion", deletes, process="deletion")
NEW_EVENT = event_of(NEW, A, 2)
GONE = frozenset({Claim.STAYS_GONE})

PASSES = {
    "a refresh across a deletion": Scope(
        objects(BOTH, record(*CUT)),
        A,
        (DELETION, Actor("refresh", refresh, process="refresh")),
        GONE,
        ticks=(12,),
    ),
    "a refresh with a cached phase, a sleep, a deletion": Scope(
        objects(BOTH, record(*CUT)),
        A,
        (
            DELETION,
            Actor("earlier", other_event, process="refresh"),
            Actor("refresh", refresh, process="refresh", after=("earlier",)),
        ),
        GONE,
        ticks=(12,),
        naps=1,
    ),
    "a sweep across a deletion": Scope(
        objects(BOTH, record(*CUT)), A, (DELETION, SWEEP), GONE | NOT_LOST, ticks=(12,)
    ),
    "an event on the way back, across a deletion": Scope(
        objects(BOTH, record(*CUT)),
        A,
        (
            DELETION,
            Actor(
                "mirror back", delivery(NEW_EVENT, MirrorSettings(MIGRATION, reverse=True)), process="back"
            ),
        ),
        GONE,
        ticks=(12,),
        prompt=True,
    ),
    "a sweep across a cutover": Scope(
        objects(BOTH, record(*DUAL)), A, (CUTOVER, SWEEP), NOT_LOST, clients=(AFTER_CUTOVER,), ticks=(6, 6)
    ),
    "a catch-up across a rollback": Scope(
        objects(OVERWRITTEN, record(*CUT)),
        N,
        (
            Actor("rollback", moves(Phase.ROLLED_BACK), acknowledges="rolled_back"),
            Actor("catch-up", catch_up, process="catch-up"),
            MIRROR,
        ),
        NOT_LOST,
        clients=(Client(LEGACY, b"bb", after="rollback"),),
        ticks=(12,),
    ),
}
"""A pass that spans a change of the phase."""

PAIRS = {
    "a child begins in the same minute": pair_scope(CHILD),
    "a parent begins in the same minute": pair_scope(PARENT),
    "the reversed pair begins in the same minute": pair_scope(REVERSED, reverse=True),
    "a child begins after the cutover": late_pair_scope(CHILD, *CUT),
    "a parent begins after the cutover": late_pair_scope(PARENT, *CUT),
    "the reversed pair begins before the cutover": late_pair_scope(REVERSED, *DUAL),
}
"""A second pair over the same objects."""

LIMITS = {
    "head and last entry are lost or set back together": replace(
        RECORD["a process that has seen the cutover, the record is set back"], undamaged_until="cutover"
    ),
    "a copy on the way back that hangs across a deletion": replace(
        PASSES["an event on the way back, across a deletion"], prompt=False
    ),
}
"""Known limits."""

FINER = {
    "a cutover, an event, a part of the record is damaged, in finer steps of time": replace(
        RECORD["a cutover, an event, a part of the record is damaged"], ticks=(6, 6)
    ),
    "a mirror with a cached phase, a cutover that waits, in finer steps of time": replace(
        CLOCKS["a mirror with a cached phase, a cutover that waits"], ticks=(6, 6, 6)
    ),
}

DEEP = {
    *FINER,
    "a cutover that may stop, the head goes back, begin, an event",
    "a mirror with a cached phase that sleeps",
    "answers that arrive late, a sleep, another thread",
    "a parent begins in the same minute",
    "the reversed pair begins in the same minute",
}
"""The larger ones."""

SCOPES = {**RECORD, **CLOCKS, **PASSES, **PAIRS, **FINER}


def explored(scope: Scope, seek: Claim | None = None) -> Exploration:
    """Explore a scope, and print what was found."""
    found = explore_world(RecordWorld(scope), lambda step: step.said, seek)
    print(found)  # noqa: T201 -- the counts, for pytest -rP
    return found
