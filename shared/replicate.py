"""Replicates one object by the rule in ``shared.decision``: look, decide, copy, look again. Also follows deletions.

Both lanes first try one rewrite in the event loop (``shared.first_rewrite``). They call `replicate` for each object that this
does not settle. A copy includes its proof: the store's answer must be the same as the version seen at the source.

`replicate` reads the authority *after* each look. A writer switches paths only after every mirror knows the new phase.
So the rule never judges what that writer wrote by the phase before, however long the look took.

Unless the source wins, a copy can block a version that was written during the copy: the copy looks later, or is there
first. So `replicate` looks at the source again after each such copy, and may replace its own copy.

Where the later write wins, a destination that is the same as a version which the source has held counts as a copy. It
does not count as a write, even if the answer to the copy was lost. The remaining doubts must not lose data. So `replicate`
*keeps* any other version before it replaces it, as a copy beside the migration's state (``docs/decisions/0016``).

The version at the source may itself be a late copy by the opposite mirror, which looks again after its copy. A caller
that can wait says with `settling` when a version is old enough.

`propagate_delete` follows a deletion at the source. It is optional: an erasure request must reach both sides. A delete
event alone does not delete anything. An overwrite also announces the deletion of the version it replaced, and events come
late and more than once. So `propagate_delete` looks at the source first, then at the destination, and then reads the
authority:

- The source is live: it was not deleted, or was written again. `propagate_delete` replicates it, as after any event.
- The destination wins: it stays. A writer of the new path writes only after every mirror knows that phase.
- The destination has other contents than the deleted version: it stays, and the outcome reports it.
- The destination was written after the deletion: it stays. A deletion is a write, and this one is the earlier.
- Else `propagate_delete` deletes the destination, on condition that its generation is still the one seen. Where the later
  write wins, it keeps the version first.

A writer may create the source again *with the same contents* between look and deletion. The new source's own event may then
find both sides equal before the deletion commits. So `propagate_delete` looks at the source again after a deletion.

A copy that commits after its source was deleted is also later than the deletion. So `replicate` takes it back where deletions
are followed: it looks at the source after each copy. If the source is gone, it deletes its own copy.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import NamedTuple

from shared.decision import ABSENT, Action, Authority, Decision, ErasedBefore, decide
from shared.errors import ConditionFailed, Contended, CopyNotProven, NotSettled, ObjectNotFound
from shared.objects import (
    CONTENT_DIFFERENCES,
    Difference,
    ObjectRef,
    ObjectState,
    differences,
    is_before,
    proves,
    same,
)
from shared.storage_class import another_class, in_class, named_class
from shared.store import DeletingStore, ObjectStore

__all__ = [
    "DEFAULT_ATTEMPTS",
    "UNTRIED",
    "DeleteOutcome",
    "DeletePropagation",
    "LastSeen",
    "Outcome",
    "Replication",
    "Unsettled",
    "not_proven",
    "propagate_delete",
    "replicate",
]

DEFAULT_ATTEMPTS = 10
"""An attempt fails when another client writes the same object during it. Cloud Storage accepts about one write a second
to one name, so ten failures in a row mean a fault and not a busy writer."""


class Outcome(Enum):
    """What became of one object."""

    COPIED = "copied"
    ALREADY_EQUAL = "already_equal"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"
    ERASED = "erased"


class LastSeen(NamedTuple):
    """Both sides as a listing or an event showed them. They may be out of date: the conditions catch that.

    This and the next two are named tuples, because a run makes them for every object: a third of a frozen dataclass's time.
    """

    source: ObjectState | None
    destination: ObjectState | None


class Replication(NamedTuple):
    """What became of one object, with the evidence.

    Attributes:
        source: The source version that the outcome is about; None when there was none (superseded).
        destination: The destination as last seen; when copied or equal, the version with the source's content.
        straggler: Copied although the destination has the authority: a writer still uses the old path.
        taken_back: The copy that was deleted, because its source was deleted while it was made; None where there is none.
    """

    outcome: Outcome
    source: ObjectState | None
    destination: ObjectState | None
    straggler: bool = False
    attempts: int = 1
    taken_back: ObjectState | None = None


class Unsettled(NamedTuple):
    """What a caller attempted by itself before `replicate`, which goes on from there.

    Attributes:
        attempts: The number of attempts. After the first one, both sides have to be looked at.
        copy: The copy that the caller made, if any.
    """

    attempts: int = 0
    copy: Replication | None = None


UNTRIED = Unsettled()


def replicate(
    store: ObjectStore,
    source: ObjectRef,
    destination: ObjectRef,
    authority: Authority | Callable[[], Authority],
    *,
    last_seen: LastSeen | None = None,
    was: ObjectState | None = None,
    after: Unsettled = UNTRIED,
    keep: Callable[[ObjectState], ObjectRef] | None = None,
    settling: Callable[[ObjectState], float] | None = None,
    erased: Callable[[], ErasedBefore] = ErasedBefore,
    settled_before: datetime | None = None,
    source_settled_before: datetime | None = None,
    deletes: DeletingStore | None = None,
    storage_class: str = "",
    max_attempts: int = DEFAULT_ATTEMPTS,
) -> Replication:
    """Make the destination the same as the source, unless the authority forbids it.

    Any number of calls may run at once, from anywhere: two conditions on every copy keep the destination from going
    backwards.

    Args:
        authority: Which side wins where the two differ; a function is called after every look.
        last_seen: Both sides as seen earlier. Saves the two looks when a copy is due; otherwise `replicate` looks again.
        was: A version that the source has held before, if the caller knows one.
        after: What the caller attempted by itself, from `last_seen`.
        keep: Says where to keep a destination version before it is replaced; required where the later write may win.
        settling: Seconds until a source version is old enough to count as a later write; None: every version is.
        erased: As in `shared.decision.was_erased`; called after every look, and after `authority`.
        settled_before: A destination that was created and last updated before this moment (aware) is not a later write,
            whatever its time. None where only the times of the two sides count.
        source_settled_before: The same for the source: such a version replaces nothing.
        deletes: The store again, where deletions at the source are followed; None where they are not.
        storage_class: The class of the copy; empty for the source's.

    Raises:
        Contended: The object changed during each of `max_attempts` attempts (transient).
        CopyNotProven: The copy's answer differs from the source that was seen.
        NotSettled: The version would count as a later write, and is too young. Nothing was changed for it.
        StorageError: The store's own, see `ObjectStore`.
        ValueError: The later write wins, and `keep` is missing.
    """
    first = last_seen if not after.attempts else None
    seen = first if first is not None and _calls_for_copy(first, authority, erased) else None
    ours = after.copy
    held = [version for version in (last_seen.source if last_seen else None, was) if version is not None]
    for attempt in range(after.attempts + 1, max_attempts + 1):
        now = seen or LastSeen(store.look(source), store.look(destination))
        seen = None
        winner = _now(authority)
        is_ours = ours is not None and now.destination == ours.destination
        left = now.destination if now.source is None and _is_leftover(now, held, winner, ours) else None
        if deletes is not None and left is not None:
            if _deleted(deletes, destination, left, winner, keep) and store.look(source) is None:
                return Replication(Outcome.SUPERSEDED, None, None, attempts=attempt, taken_back=left)
            continue
        over_copy = is_ours or (winner is Authority.LATER_WRITE and _is_copy(now.destination, held))
        settled = winner is Authority.LATER_WRITE and _was_there(now.destination, settled_before)
        older = _replaces_nothing(now, winner, source_settled_before)
        judged = Authority.DESTINATION if older else winner
        decision = _decision(now, judged, erased(), no_write=not older and (over_copy or settled))
        if now.source is None or decision.action is not Action.COPY:
            return _settled(decision.action, now, ours, attempt)
        # A version that the checksums do not prove to be equal may be another one.
        doubtful = decision.because or (
            now.destination is not None and not proves(now.source, now.destination)
        )
        replaces = winner is Authority.LATER_WRITE and doubtful
        if replaces and not over_copy:
            _check_settled(source, now.source, settling)
        held.append(now.source)
        _check_progress(now, ours, destination)
        if replaces and not is_ours:
            _keep(store, destination, now.destination, keep)
        try:
            copy = _copied(store, source, destination, decision, in_class(now.source, storage_class))
        except (ConditionFailed, ObjectNotFound):
            continue
        differing = differences(now.source, copy)
        if CONTENT_DIFFERENCES.intersection(differing):
            raise not_proven(destination, differing)
        ours = Replication(Outcome.COPIED, now.source, copy, decision.straggler, attempt)
        # Where the source wins, a new write has an event of its own, which may overwrite this copy. A deletion has one, too,
        # which may have come before this copy.
        looks_again = winner is not Authority.SOURCE or deletes is not None
        if not differing and not (looks_again and _moved_on(store, source, now.source)):
            return ours
        # Else look at both again. If only metadata differs, the contents are proven: the source's metadata changed
        # between the look and the copy.
    raise Contended(source.uri, f"changed under each of {max_attempts} attempts to copy it; try again later")


def _copied(
    store: ObjectStore, source: ObjectRef, destination: ObjectRef, decision: Decision, wanted: ObjectState
) -> ObjectState:
    """Copy under the decision's conditions. Where the bucket's default class is another one, copy again with the class named."""
    named, over = named_class(wanted), decision.destination_generation
    if not named:
        copy = store.copy(source, destination, if_source=decision.source_generation, if_destination=over)
        if not another_class(wanted, copy):
            return copy
        over = copy.generation
    return store.copy(
        source, destination, if_source=decision.source_generation, if_destination=over, like=wanted
    )


def _decision(now: LastSeen, winner: Authority, erased: ErasedBefore, *, no_write: bool) -> Decision:
    """Decide by the rule; a destination that is `no_write` of its own is not in the way."""
    decision = decide(now.source, now.destination, winner, erased)
    if decision.action is Action.CONFLICT and no_write:
        return decide(now.source, now.destination, Authority.SOURCE)
    return decision


def _replaces_nothing(now: LastSeen, winner: Authority, settled_before: datetime | None) -> bool:
    """Tell whether the source cannot be a later write, and something is at the destination."""
    return (
        winner is Authority.LATER_WRITE
        and now.destination is not None
        and _was_there(now.source, settled_before)
    )


def _now(authority: Authority | Callable[[], Authority]) -> Authority:
    return authority() if callable(authority) else authority


def _is_copy(destination: ObjectState | None, held: Sequence[ObjectState]) -> bool:
    """Tell whether the destination is the same as a known version of the source: then it is a copy, however late."""
    return destination is not None and any(same(version, destination) for version in held)


def _is_leftover(
    now: LastSeen, held: Sequence[ObjectState], winner: Authority, ours: Replication | None
) -> bool:
    """Tell whether the destination is a copy that should go, if its source was deleted.

    Where the source wins, the destination has no writers, so a known version there is a copy. Elsewhere only this call's
    own copy is one for certain. Where the destination wins, deletions are not followed.
    """
    if winner is Authority.SOURCE and _is_copy(now.destination, held):
        return True
    is_ours = ours is not None and now.destination == ours.destination
    return is_ours and winner is not Authority.DESTINATION


def _deleted(
    store: DeletingStore,
    at: ObjectRef,
    version: ObjectState,
    winner: Authority,
    keep: Callable[[ObjectState], ObjectRef] | None,
) -> bool:
    """Delete a version, and keep it first where the later write wins. False if it was not live any more."""
    if winner is Authority.LATER_WRITE:
        _keep(store, at, version, keep)
    try:
        store.delete(at, if_generation=version.generation)
    except (ConditionFailed, ObjectNotFound):
        return False
    return True


def _was_there(version: ObjectState | None, moment: datetime | None) -> bool:
    """Tell whether a version was created and last updated before a moment."""
    return moment is not None and version is not None and is_before(version, moment)


def _keep(
    store: ObjectStore,
    at: ObjectRef,
    version: ObjectState | None,
    keep: Callable[[ObjectState], ObjectRef] | None,
) -> None:
    """Keep a version that is about to be replaced or deleted.

    If a condition fails here, the version is kept already, or is no longer live. In the second case the condition of the
    copy or of the deletion fails, too.
    """
    if keep is None or version is None:
        raise ValueError("where the later write wins, say where to keep what is replaced")
    with suppress(ConditionFailed, ObjectNotFound):
        store.copy(at, keep(version), if_source=version.generation, if_destination=ABSENT)


def _check_settled(
    at: ObjectRef, version: ObjectState, settling: Callable[[ObjectState], float] | None
) -> None:
    """Raise `NotSettled` for a version that is too young to count as a later write."""
    seconds = 0.0 if settling is None else settling(version)
    if seconds > 0:
        raise NotSettled(at.uri, seconds)


def _moved_on(store: ObjectStore, source: ObjectRef, copied: ObjectState) -> bool:
    """Tell whether the source changed during the copy."""
    return store.look(source) != copied


def _calls_for_copy(
    last_seen: LastSeen, authority: Authority | Callable[[], Authority], erased: Callable[[], ErasedBefore]
) -> bool:
    winner = _now(authority)
    return decide(last_seen.source, last_seen.destination, winner, erased()).action is Action.COPY


def _settled(action: Action, now: LastSeen, ours: Replication | None, attempts: int) -> Replication:
    """Name the outcome of a look that leads to no further copy; `ours` is the copy that this call made, if any."""
    if action is Action.CONFLICT:
        return Replication(Outcome.CONFLICT, now.source, now.destination, attempts=attempts)
    if action is Action.ERASED:
        return Replication(Outcome.ERASED, now.source, now.destination, attempts=attempts)
    if action is Action.NOTHING:
        return Replication(Outcome.SUPERSEDED, None, now.destination, attempts=attempts)
    if ours is not None and ours.destination == now.destination:
        return Replication(Outcome.COPIED, now.source, now.destination, ours.straggler, attempts)
    return Replication(Outcome.ALREADY_EQUAL, now.source, now.destination, attempts=attempts)


def _check_progress(now: LastSeen, ours: Replication | None, destination: ObjectRef) -> None:
    """Refuse to copy the same version with the same metadata over our own copy of it: that would not end."""
    if ours is None or now.destination is None or now.destination != ours.destination:
        return
    if now.source == ours.source and now.source is not None:
        raise not_proven(destination, differences(now.source, now.destination))


def not_proven(destination: ObjectRef, differing: tuple[Difference, ...]) -> CopyNotProven:
    """The error for a copy whose answer differs from the source that was seen."""
    names = ", ".join(difference.value for difference in differing)
    return CopyNotProven(
        destination.uri,
        f"copied, but the copy differs from the source that was seen in: {names}. Compare the two objects by hand",
    )


class DeleteOutcome(Enum):
    """What became of a deletion."""

    DELETED = "deleted"
    ALREADY_GONE = "already_gone"
    KEPT = "kept"
    OVERRIDDEN = "overridden"
    NOT_FOLLOWED = "not_followed"
    REPLICATED = "replicated"


@dataclass(frozen=True, slots=True)
class DeletePropagation:
    """What became of a deletion, with the evidence.

    Attributes:
        outcome: DELETED: the destination's copy of the deleted version was deleted. ALREADY_GONE: the destination is
            absent. KEPT: it has other contents. OVERRIDDEN: it was written after the deletion. NOT_FOLLOWED: it wins now.
            REPLICATED: the source is live, see `replication`.
        destination: The destination as last seen before; None when absent.
        replication: What became of the live source, if there was one.
    """

    outcome: DeleteOutcome
    destination: ObjectState | None
    replication: Replication | None = None


def propagate_delete(
    store: DeletingStore,
    source: ObjectRef,
    destination: ObjectRef,
    deleted: ObjectState,
    deleted_at: datetime,
    *,
    authority: Authority | Callable[[], Authority] = Authority.SOURCE,
    keep: Callable[[ObjectState], ObjectRef] | None = None,
    max_attempts: int = DEFAULT_ATTEMPTS,
) -> DeletePropagation:
    """Follow a deletion at the source, unless the source was written again. Not while the destination has the authority.

    Args:
        deleted_at: When it was deleted; aware. What was written at the destination later stays.
        authority: Which side wins; a function is called after every look at the destination.
        keep: As in `replicate`.

    Raises:
        Contended: The destination changed during each of `max_attempts` attempts (transient).
        StorageError: The store's own, see `DeletingStore`.
        ValueError: The later write wins, and `keep` is missing.
    """

    def replicated() -> DeletePropagation:
        done = replicate(store, source, destination, authority, was=deleted, keep=keep, deletes=store)
        return DeletePropagation(DeleteOutcome.REPLICATED, done.destination, done)

    for _ in range(max_attempts):
        if store.look(source) is not None:
            return replicated()
        there = store.look(destination)
        winner = _now(authority)
        stays = _stays(there, deleted, deleted_at, winner)
        if there is None or stays is not None:
            return DeletePropagation(stays or DeleteOutcome.ALREADY_GONE, there)
        if not _deleted(store, destination, there, winner, keep):
            continue
        if store.look(source) is not None:
            return replicated()
        return DeletePropagation(DeleteOutcome.DELETED, there)
    raise Contended(
        destination.uri, f"changed under each of {max_attempts} attempts to delete it; try again later"
    )


def _stays(
    there: ObjectState | None, deleted: ObjectState, deleted_at: datetime, winner: Authority
) -> DeleteOutcome | None:
    """Why the destination stays as it is; None where the deletion is to be followed."""
    if winner is Authority.DESTINATION:
        return DeleteOutcome.NOT_FOLLOWED
    if there is None:
        return DeleteOutcome.ALREADY_GONE
    if CONTENT_DIFFERENCES.intersection(differences(deleted, there)):
        return DeleteOutcome.KEPT
    return None if is_before(there, deleted_at) else DeleteOutcome.OVERRIDDEN
