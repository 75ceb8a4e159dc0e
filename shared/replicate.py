"""`replicate`: one object, synchronously, by the rule in ``shared.decision``: look, decide, copy, look again.

The mirror calls it for every event; the backfill for every object that differs. Nobody else copies. A copy includes
proving it: what the store answers must be the same as what was seen at the source.

Whose word counts is asked *after* each look: then whoever writes only once a change of phase must be known everywhere is
never judged by the phase before it, however long the look took.

Elsewhere than where the source's word counts, a copy would stand in the way of the version that was written while it was under way:
it looks later, or it is there first. So the source is looked at once more after each such copy, and what we made ourselves may be
replaced. Where the later write counts, a destination that holds what the source has held is taken for a copy,
not for a write, whether its answer came or was lost. What remains of such doubts must not cost anybody's data: whatever
else is replaced there is *kept* first, as a copy beside the migration's state (``docs/decisions/0016``).

What lies at the source may be a late copy, too: one that the other way's mirror made, and is about to look at again. Whoever can wait
says when a version is old enough for that to be over.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from shared.decision import ABSENT, Action, Authority, decide
from shared.errors import ConditionFailed, Contended, CopyNotProven, NotSettled, ObjectNotFound
from shared.objects import CONTENT_DIFFERENCES, Difference, ObjectRef, ObjectState, differences, same
from shared.store import ObjectStore

__all__ = ["DEFAULT_ATTEMPTS", "LastSeen", "Outcome", "Replication", "replicate"]

DEFAULT_ATTEMPTS = 10
"""Each lost attempt means that somebody else wrote this very object meanwhile; Cloud Storage takes about one write a
second to one name, so ten in a row is a fault and not a busy writer."""


class Outcome(Enum):
    """What became of one object."""

    COPIED = "copied"
    ALREADY_EQUAL = "already_equal"
    SUPERSEDED = "superseded"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class LastSeen:
    """Both sides as somebody saw them earlier: a listing, or an event. May be out of date; the conditions catch that."""

    source: ObjectState | None
    destination: ObjectState | None


@dataclass(frozen=True, slots=True)
class Replication:
    """What became of one object, with the evidence.

    Attributes:
        outcome: What became of it.
        source: The source version it is about; None when there was none (superseded).
        destination: The destination as last seen; when copied or equal, the version that holds the source's content.
        straggler: Copied although the destination has the authority: a writer still uses the old path.
        attempts: Looks and copies it took, for the log.
    """

    outcome: Outcome
    source: ObjectState | None
    destination: ObjectState | None
    straggler: bool = False
    attempts: int = 1


def replicate(
    store: ObjectStore,
    source: ObjectRef,
    destination: ObjectRef,
    authority: Authority | Callable[[], Authority],
    *,
    last_seen: LastSeen | None = None,
    keep: Callable[[ObjectState], ObjectRef] | None = None,
    settling: Callable[[ObjectState], float] | None = None,
    max_attempts: int = DEFAULT_ATTEMPTS,
) -> Replication:
    """Make the destination the same as the source, unless somebody's newer word stands against it.

    Safe to run any number of times, at once, from anywhere: two conditions on every copy keep the destination from
    going backwards.

    Args:
        store: Where both live.
        source: The object to replicate.
        destination: Where its copy belongs.
        authority: Whose word counts where the two differ; a function is asked after every look.
        last_seen: Both sides as seen earlier. Saves the two looks when a copy is due; anything else is looked at again.
        keep: Says where to keep a destination version before it is replaced; wanted where the later write may count.
        settling: Seconds until a source version is old enough to be taken for a later write; None: all are.
        max_attempts: After so many looks that led nowhere, give up.

    Returns:
        The outcome and both versions it is about.

    Raises:
        Contended: The object kept changing (transient).
        CopyNotProven: The copy's answer is not the source that was seen.
        NotSettled: It would be taken for a later write, and is too young for that. Nothing of it was done.
        StorageError: The store's own, see `ObjectStore`.
        ValueError: The later write counts, and nobody said where to keep what is replaced.
    """
    seen = last_seen if last_seen is not None and _calls_for_copy(last_seen, _now(authority)) else None
    ours: Replication | None = None
    held = [] if last_seen is None or last_seen.source is None else [last_seen.source]
    for attempt in range(1, max_attempts + 1):
        now = seen or LastSeen(store.look(source), store.look(destination))
        seen = None
        whose = _now(authority)
        is_ours = ours is not None and now.destination == ours.destination
        over_copy = is_ours or (whose is Authority.LATER_WRITE and _is_copy(now.destination, held))
        decision = decide(now.source, now.destination, whose)
        if decision.action is Action.CONFLICT and over_copy:
            decision = decide(now.source, now.destination, Authority.SOURCE)
        if now.source is None or decision.action is not Action.COPY:
            return _settled(decision.action, now, ours, attempt)
        if whose is Authority.LATER_WRITE and decision.because and not over_copy:
            _check_settled(source, now.source, settling)
        held.append(now.source)
        _check_progress(now, ours, destination)
        if whose is Authority.LATER_WRITE and decision.because and not is_ours:
            _keep(store, destination, now.destination, keep)
        try:
            copy = store.copy(
                source,
                destination,
                if_source=decision.source_generation,
                if_destination=decision.destination_generation,
            )
        except (ConditionFailed, ObjectNotFound):
            continue
        differing = differences(now.source, copy)
        if CONTENT_DIFFERENCES.intersection(differing):
            raise _not_proven(destination, differing)
        ours = Replication(Outcome.COPIED, now.source, copy, decision.straggler, attempt)
        # Where the source's word counts, whoever wrote it anew has an event of their own, which may overwrite.
        watches = whose is not Authority.SOURCE
        if not differing and not (watches and _moved_on(store, source, now.source)):
            return ours
        # Else look again at both. Where the copy differs, its contents are proven all the same: the source's metadata
        # was changed between the look and the copy.
    raise Contended(source.uri, f"changed under each of {max_attempts} attempts to copy it; try again later")


def _now(authority: Authority | Callable[[], Authority]) -> Authority:
    return authority() if callable(authority) else authority


def _is_copy(destination: ObjectState | None, held: Sequence[ObjectState]) -> bool:
    """Tell whether the destination holds what the source is known to have held: then it is a copy, however late it was made."""
    return destination is not None and any(same(version, destination) for version in held)


def _keep(
    store: ObjectStore,
    at: ObjectRef,
    version: ObjectState | None,
    keep: Callable[[ObjectState], ObjectRef] | None,
) -> None:
    """Keep a version that is about to be replaced on condition that it is still there.

    If a condition fails here, it has been kept already, or is not there any more; then the copy's condition fails, too.
    """
    if keep is None or version is None:
        raise ValueError("where the later write counts, say where to keep what is replaced")
    with suppress(ConditionFailed, ObjectNotFound):
        store.copy(at, keep(version), if_source=version.generation, if_destination=ABSENT)


def _check_settled(
    at: ObjectRef, version: ObjectState, settling: Callable[[ObjectState], float] | None
) -> None:
    """Refuse a version that is too young to be taken for a later write.

    Raises:
        NotSettled: It is.
    """
    seconds = 0.0 if settling is None else settling(version)
    if seconds > 0:
        raise NotSettled(at.uri, seconds)


def _moved_on(store: ObjectStore, source: ObjectRef, copied: ObjectState) -> bool:
    """Tell whether somebody wrote to the source while it was copied."""
    return store.look(source) != copied


def _calls_for_copy(last_seen: LastSeen, authority: Authority) -> bool:
    return decide(last_seen.source, last_seen.destination, authority).action is Action.COPY


def _settled(action: Action, now: LastSeen, ours: Replication | None, attempts: int) -> Replication:
    """Name what a look without a copy to make means, given the copy we made on the way, if any."""
    if action is Action.CONFLICT:
        return Replication(Outcome.CONFLICT, now.source, now.destination, attempts=attempts)
    if action is Action.NOTHING:
        return Replication(Outcome.SUPERSEDED, None, now.destination, attempts=attempts)
    if ours is not None and ours.destination == now.destination:
        return Replication(Outcome.COPIED, now.source, now.destination, ours.straggler, attempts)
    return Replication(Outcome.ALREADY_EQUAL, now.source, now.destination, attempts=attempts)


def _check_progress(now: LastSeen, ours: Replication | None, destination: ObjectRef) -> None:
    """Refuse to copy the same version with the same metadata over our own copy of it: that would not end.

    Raises:
        CopyNotProven: Our last copy was of just this, nobody wrote since, and still the two differ.
    """
    if ours is None or now.destination is None or now.destination != ours.destination:
        return
    if now.source == ours.source and now.source is not None:
        raise _not_proven(destination, differences(now.source, now.destination))


def _not_proven(destination: ObjectRef, differing: tuple[Difference, ...]) -> CopyNotProven:
    names = ", ".join(difference.value for difference in differing)
    return CopyNotProven(
        destination.uri,
        f"copied, but the copy differs from the source that was seen in: {names}. Compare the two objects by hand",
    )
