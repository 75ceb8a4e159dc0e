"""Copies one object with one conditional rewrite, in the event loop: the usual case of both lanes.

An event or two listings show both sides, so one request copies an object where the source wins. `replicate` handles
everything else, on a thread: it looks at the object again. This module decides nothing itself. `decide` gives the
preconditions, and `differences` compares the answer with the source that was seen.
"""

from shared.decision import Action, Authority, decide
from shared.gcs.api import UNPACED, AsyncApi, Pacing
from shared.objects import CONTENT_DIFFERENCES, ObjectRef, ObjectState, differences
from shared.replicate import UNTRIED, LastSeen, Outcome, Replication, Unsettled, not_proven
from shared.storage_class import another_class, in_class, named_class

__all__ = ["LARGEST", "first_rewrite"]

LARGEST = 64 * 1024 * 1024
"""Bytes of the largest object that one rewrite copies. A larger one takes several calls between locations or storage classes."""


async def first_rewrite(
    api: AsyncApi,
    source: ObjectRef,
    destination: ObjectRef,
    seen: LastSeen,
    winner: Authority | None,
    *,
    follows_deletions: bool,
    largest: int = LARGEST,
    storage_class: str = "",
    names_class: bool = False,
    pacing: Pacing = UNPACED,
) -> Replication | Unsettled:
    """Copy an object as it was seen, if the source wins and a copy is due.

    Args:
        seen: Both sides as listings or an event showed them. They may be out of date: the preconditions catch that.
        winner: Which side wins, read after the look at the destination. Where it is not the source, nothing is sent: a copy
            takes more requests there, and an absence may be an erasure. None for a name that was erased on record.
        follows_deletions: Deletions at the source are followed. So a copy costs one more look: at the source.
        largest: Bytes of the largest object to copy here.
        storage_class: The class of the copy; empty for the source's.
        names_class: The destination's default class is not the standard one, so each copy names its class. Otherwise a copy
            that turns out to have another class is made again: the result has two attempts.

    Returns:
        The copy, if nothing is left to do. Otherwise what `replicate` needs to go on.

    Raises:
        ConditionFailed: A side has another generation. `replicate` has to look.
        ObjectNotFound: The source is absent.
        CopyNotProven: The copy's answer differs from the source that was seen.
        StorageError: Every other failure; the copy may or may not have happened.
    """
    version = seen.source
    if version is None or version.size > largest or winner is not Authority.SOURCE:
        return UNTRIED
    decision = decide(version, seen.destination, winner)
    if decision.action is not Action.COPY:
        return UNTRIED
    wanted = in_class(version, storage_class)
    named, over, attempts = names_class or named_class(wanted), decision.destination_generation, 0
    while True:
        copy, _ = await api.rewrite(
            source,
            destination,
            if_source=decision.source_generation,
            if_destination=over,
            like=wanted if named else None,
            pacing=pacing,
        )
        attempts += 1
        if copy is None:  # not done: it takes several calls
            return Unsettled(attempts)
        if named or not another_class(wanted, copy):
            break
        named, over = True, copy.generation
    differing = differences(version, copy)
    if differing and CONTENT_DIFFERENCES.intersection(differing):
        raise not_proven(destination, differing)
    made = Replication(Outcome.COPIED, version, copy, attempts=attempts)
    # The end of this version may have come before this copy, and its event, too. Then no event takes the copy back.
    if differing or (follows_deletions and _has_ended(version, await api.look(source))):
        return Unsettled(attempts, made)
    return made


def _has_ended(version: ObjectState, live: ObjectState | None) -> bool:
    """Tell whether a version was deleted or overwritten."""
    return live is None or live.generation != version.generation
