"""Handles one event, without HTTP or a clock of its own: takes an event, returns what became of it.

`handler` is its only importer. It is a module of its own so that the race tests can run it without HTTP.

`mirror_at_once` runs in the event loop. Where the source wins, it handles what takes few requests, and `settle` does that:

- a new object: a copy, if the source still has the event's version and the destination is absent;
- an event that comes twice: a failed precondition, and a look at the destination;
- an overwrite: these two, and a copy over what the look found.

For everything else it calls `mirror` on a thread, which goes on from there by `replicate`: it looks at both sides.

Why does a look at the destination settle an event, without a look at the source? The destination is the same as the event's
version, and was made after it. So every copy of an older version began before the destination was made, and its precondition
fails (`shared.decision`). A newer version has an event of its own. But where deletions are followed, the destination may be
left of a deleted source. There both sides are looked at.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum

from mirror_function.event import EventKind, ObjectEvent
from mirror_function.settings import MirrorSettings
from shared.decision import Action, Authority, decide
from shared.erasures import Erasures
from shared.errors import ConditionFailed, MigrationError, ObjectNotFound, PhaseChanged, StorageError
from shared.first_rewrite import first_rewrite
from shared.gcs.api import AsyncApi
from shared.migration import Migration
from shared.objects import ObjectRef, ObjectState, is_later, parse_time, same
from shared.phase import Phase, PhaseReader
from shared.replicate import (
    UNTRIED,
    DeleteOutcome,
    LastSeen,
    Outcome,
    Replication,
    Unsettled,
    propagate_delete,
    replicate,
)
from shared.store import DeletingStore

__all__ = ["MirrorOutcome", "Mirrored", "is_worth_another_delivery", "mirror", "mirror_at_once", "settle"]


class MirrorOutcome(Enum):
    """What became of one event."""

    COPIED = "copied"
    ALREADY_EQUAL = "already_equal"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"
    DELETED = "deleted"
    ERASED = "erased"
    IGNORED = "ignored"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Mirrored:
    """What became of one event, with the evidence.

    Attributes:
        source: The source version that was looked at or copied; None if it was absent, or no look was needed.
        lag: Seconds from the source version's finalization to the copy's; None without a copy.
        straggler: A late writer: copied although the destination has the authority.
        phase: The phase at that time; None if the mirror ignored the event before it read the phase.
        because: Why the mirror ignored or kept the object, in a few words.
        late: The name below the prefix, if a client wrote at the legacy path although the destination has the authority.
    """

    outcome: MirrorOutcome
    source: ObjectState | None = None
    destination: ObjectState | None = None
    lag: float | None = None
    straggler: bool = False
    attempts: int = 0
    phase: Phase | None = None
    because: str = ""
    late: str | None = None


async def mirror_at_once(
    event: ObjectEvent,
    settings: MirrorSettings,
    api: AsyncApi,
    *,
    read_phase: Callable[[], Awaitable[tuple[Phase, Erasures]]],
    otherwise: Callable[[Unsettled], Awaitable[Mirrored]],
) -> Mirrored:
    """Handle one event in the event loop, as far as that takes few requests. Duplicates are safe, in any order, any number at once.

    Args:
        read_phase: Gives the phase and the erasures of one look, as `PhaseReader.with_erasures` does. Must not block the event loop.
        otherwise: Calls `mirror` for this event, on a thread. Receives what was attempted before.

    Raises:
        MigrationError: The event failed; `is_worth_another_delivery` says whether to try again.
    """
    relative = _followed(event, settings)
    if isinstance(relative, Mirrored):
        return relative
    if event.kind is not EventKind.FINALIZED or not event.complete or settings.reverse:
        return await otherwise(UNTRIED)
    phase, _ = await read_phase()

    async def authority() -> Authority | None:
        now, erasures = await read_phase()
        winner = settings.authority(now)
        return None if erasures.named(relative) else winner

    source, destination = settings.way.source_ref(relative), settings.way.destination_ref(relative)
    # A name that was erased on record is the rule's business.
    done = await settle(api, source, destination, event.state, authority, follows_deletions=settings.deletes)
    if isinstance(done, Unsettled):
        return await otherwise(done)
    return _replicated(done, event, phase)


async def settle(
    api: AsyncApi,
    source: ObjectRef,
    destination: ObjectRef,
    version: ObjectState,
    authority: Callable[[], Awaitable[Authority | None]],
    *,
    follows_deletions: bool,
) -> Replication | Unsettled:
    """Bring an event's version to the destination with at most three requests, if the source wins.

    Args:
        authority: Which side wins; read before the first copy, and again after the look at the destination. None where the
            rule has to decide.

    Returns:
        What became of the event. Where something is left to do, what `replicate` needs to go on.

    Raises:
        StorageError: As `first_rewrite`, but never a failed precondition or an absent source.
    """
    try:
        seen = LastSeen(version, None)
        return await first_rewrite(
            api, source, destination, seen, await authority(), follows_deletions=follows_deletions
        )
    except ObjectNotFound:
        return Unsettled(1)
    except ConditionFailed:
        if follows_deletions:
            return Unsettled(1)
    there = await api.look(destination)
    winner = await authority()
    if there is None or winner is not Authority.SOURCE:
        return Unsettled(1)
    if decide(version, there, winner).action is Action.EQUAL:
        return Replication(Outcome.ALREADY_EQUAL, version, there, attempts=2)
    if is_later(there.created, version.created):  # perhaps the copy of a later version: the source tells
        return Unsettled(1)
    try:
        seen = LastSeen(version, there)
        done = await first_rewrite(api, source, destination, seen, winner, follows_deletions=False)
    except (ConditionFailed, ObjectNotFound):
        return Unsettled(2)
    return done._replace(attempts=done.attempts + 1)


def mirror(
    event: ObjectEvent,
    settings: MirrorSettings,
    store: DeletingStore,
    phases: PhaseReader,
    after: Unsettled = UNTRIED,
) -> Mirrored:
    """Handle one event by the rule, from what was attempted before. Safe as `mirror_at_once` is.

    Raises:
        MigrationError: The event failed; `is_worth_another_delivery` says whether to try again.
    """
    relative = _followed(event, settings)
    if isinstance(relative, Mirrored):
        return relative
    if event.kind is EventKind.FINALIZED:
        return _finalized(event, relative, settings, store, phases, after=after)
    return _deleted(event, relative, settings, store, phases)


def _followed(event: ObjectEvent, settings: MirrorSettings) -> str | Mirrored:
    """The object's name below the prefix; or why the event is ignored, whatever the phase."""
    migration = settings.way
    if event.bucket != migration.source.bucket:
        return Mirrored(MirrorOutcome.IGNORED, because="another bucket")
    if not event.state.name.startswith(migration.source.prefix):
        return Mirrored(MirrorOutcome.IGNORED, because="outside the prefix")
    relative = migration.relative(event.state.name)
    if migration.is_excluded(relative):
        because = "a migration's own object" if migration.is_own(relative) else "excluded"
        return Mirrored(MirrorOutcome.IGNORED, because=because)
    follows = {EventKind.FINALIZED} | ({EventKind.DELETED, EventKind.ARCHIVED} if settings.deletes else set())
    if event.kind not in follows:
        return Mirrored(MirrorOutcome.IGNORED, because=f"{event.kind.value} events are not followed")
    return relative


def is_worth_another_delivery(
    error: MigrationError, event: ObjectEvent, now: datetime, give_up_after: float
) -> bool:
    """Tell whether Eventarc should deliver a failed event again.

    It should after every failure of Cloud Storage: somebody may mend whatever the answer names, and no event may be lost
    silently until then. It should not after `give_up_after` seconds from the event's time: then the event is dropped, and an
    alert fires. An event that is wrong itself, or has an impossible name, is dropped at once.
    """
    return isinstance(error, StorageError) and (now - event.time).total_seconds() < give_up_after


def _finalized(
    event: ObjectEvent,
    relative: str,
    settings: MirrorSettings,
    store: DeletingStore,
    phases: PhaseReader,
    *,
    after: Unsettled,
) -> Mirrored:
    phase = phases.phase()
    # Before the cutover is reported, the new path has only the forward mirror's copies.
    ignored = Mirrored(
        MirrorOutcome.IGNORED, phase=phase, because="nothing is brought back to the legacy path in this phase"
    )
    if settings.authority(phase) is None:
        return ignored
    way = settings.way
    source, destination = way.source_ref(relative), way.destination_ref(relative)

    def authority() -> Authority:
        now = phases.phase()
        winner = settings.authority(now)
        if winner is None:  # a deletion has begun, and what it deleted must not come back
            raise PhaseChanged(source.uri, f"the phase is {now.value} now, and nothing is brought back in it")
        return winner

    try:
        done = replicate(
            store,
            source,
            destination,
            authority,
            last_seen=LastSeen(event.state, None) if event.complete else None,
            after=after,
            keep=_keep(way, relative),
            erased=lambda: phases.erasures(reverse=settings.reverse).of(relative),
            source_settled_before=phases.first_cutover() if settings.reverse else None,
            deletes=store if settings.deletes else None,
        )
    except PhaseChanged:
        return replace(ignored, phase=phases.phase())
    found = _replicated(done, event, phase)
    if done.outcome is Outcome.ERASED:
        found = replace(
            found, because="it was deleted at the destination after a proven comparison, or erased by name"
        )
    no_more = not settings.reverse and phase.forward_authority is Authority.DESTINATION
    return replace(found, late=relative) if no_more and _is_late(done, event.state) else found


def _is_late(done: Replication, written: ObjectState) -> bool:
    """Tell whether a client wrote a version at the legacy path, and not the reverse mirror.

    The reverse mirror's copy is younger than its original, and may be older than the version after that.
    """
    source, destination = done.source, done.destination
    if source is None or destination is None:
        return False
    match done.outcome:
        case Outcome.CONFLICT:
            return not is_later(destination.created, source.created)
        case Outcome.ALREADY_EQUAL:
            # An earlier delivery made the copy, and may have ended before it left its mark; or a sweep made it.
            # The event may lack metadata that both sides have, such as object contexts; the generation tells it, too.
            is_copy = written.generation == source.generation or same(written, destination)
            return is_copy and is_later(destination.created, written.created)
        case _:
            return done.straggler


def _deleted(
    event: ObjectEvent, relative: str, settings: MirrorSettings, store: DeletingStore, phases: PhaseReader
) -> Mirrored:
    phase = phases.phase()
    # After the cutover operators delete the legacy path; the new path must not follow.
    ignored = Mirrored(
        MirrorOutcome.IGNORED, phase=phase, because="deletions are not followed after the cutover"
    )
    if phase.forward_authority is Authority.DESTINATION:
        return ignored
    migration = settings.migration
    source, destination = migration.source_ref(relative), migration.destination_ref(relative)
    done = propagate_delete(
        store,
        source,
        destination,
        event.state,
        event.deleted_at,
        authority=lambda: phases.phase().forward_authority,
        keep=_keep(migration, relative),
    )
    match done.outcome:
        case DeleteOutcome.REPLICATED if done.replication is not None:
            return _replicated(done.replication, event, phase)
        case DeleteOutcome.DELETED:
            return Mirrored(MirrorOutcome.DELETED, None, done.destination, phase=phase)
        case DeleteOutcome.KEPT:
            because = "the destination holds something else than the version that was deleted"
            return Mirrored(MirrorOutcome.CONFLICT, None, done.destination, phase=phase, because=because)
        case DeleteOutcome.OVERRIDDEN:
            because = "the destination was written after the deletion"
            return Mirrored(MirrorOutcome.SUPERSEDED, None, done.destination, phase=phase, because=because)
        case DeleteOutcome.NOT_FOLLOWED:
            return replace(ignored, phase=phases.phase())
        case _:
            return Mirrored(MirrorOutcome.SUPERSEDED, phase=phase, because="already gone")


def _keep(way: Migration, relative: str) -> Callable[[ObjectState], ObjectRef]:
    return lambda version: way.kept_ref(relative, version.generation)


def _replicated(done: Replication, event: ObjectEvent, phase: Phase) -> Mirrored:
    if done.taken_back is not None:
        because = "its source was deleted while it was copied"
        return Mirrored(MirrorOutcome.DELETED, None, done.taken_back, phase=phase, because=because)
    outcome = MirrorOutcome(done.outcome.value)
    source, destination = done.source, done.destination
    lag = None
    if done.outcome is Outcome.COPIED and source is not None and destination is not None:
        with suppress(ValueError):  # an answer without a time: the copy is good all the same
            lag = (parse_time(destination.created) - parse_time(source.created)).total_seconds()
    elif (
        done.outcome is Outcome.ALREADY_EQUAL
        and source is not None
        and event.state.generation not in {0, source.generation}
    ):
        outcome = MirrorOutcome.SUPERSEDED
    return Mirrored(outcome, source, destination, lag, done.straggler, done.attempts, phase)
