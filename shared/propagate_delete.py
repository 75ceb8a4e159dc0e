"""`propagate_delete`: a deletion at the source, followed at the destination. Optional: an erasure request must reach both.

A delete event is no order to delete. An overwrite announces the deletion of the version it replaced; events come late
and more than once. So the live source is looked at first:

- There is one: nothing was deleted, or it was written again. It is replicated, like after any other event.
- There is none, and the destination holds the contents of the version that was deleted: it is deleted, on condition that
  it is still the generation seen.
- There is none, and the destination holds something else: it stays, and is reported.

A source written again *with the same contents* between look and deletion is found equal by its own event before the
deletion commits. So after a deletion the source is looked at once more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from shared.decision import Authority
from shared.errors import ConditionFailed, Contended, ObjectNotFound
from shared.objects import CONTENT_DIFFERENCES, ObjectRef, ObjectState, differences
from shared.replicate import DEFAULT_ATTEMPTS, Replication, replicate
from shared.store import DeletingStore

__all__ = ["DeleteOutcome", "DeletePropagation", "propagate_delete"]


class DeleteOutcome(Enum):
    """What became of a deletion."""

    DELETED = "deleted"
    ALREADY_GONE = "already_gone"
    KEPT = "kept"
    REPLICATED = "replicated"


@dataclass(frozen=True, slots=True)
class DeletePropagation:
    """What became of a deletion, with the evidence.

    Attributes:
        outcome: DELETED: the destination's copy of the deleted version was deleted. ALREADY_GONE: the destination has
            nothing there. KEPT: it has something else. REPLICATED: there is a live source, see `replication`.
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
    *,
    authority: Authority | Callable[[], Authority] = Authority.SOURCE,
    keep: Callable[[ObjectState], ObjectRef] | None = None,
    max_attempts: int = DEFAULT_ATTEMPTS,
) -> DeletePropagation:
    """Follow a deletion at the source, unless somebody wrote there again. Not while the destination has the authority.

    Args:
        store: Where both live.
        source: The object whose deletion was announced.
        destination: Where its copy belongs.
        deleted: The version that was deleted, as the event shows it.
        authority: Whose word counts should there be a live source, as in `replicate`.
        keep: As in `replicate`.
        max_attempts: After so many looks that led nowhere, give up.

    Returns:
        The outcome.

    Raises:
        Contended: The destination kept changing (transient).
        StorageError: The store's own, see `DeletingStore`.
    """

    def replicated() -> DeletePropagation:
        done = replicate(store, source, destination, authority, keep=keep)
        return DeletePropagation(DeleteOutcome.REPLICATED, done.destination, done)

    for _ in range(max_attempts):
        if store.look(source) is not None:
            return replicated()
        there = store.look(destination)
        if there is None:
            return DeletePropagation(DeleteOutcome.ALREADY_GONE, None)
        if CONTENT_DIFFERENCES.intersection(differences(deleted, there)):
            return DeletePropagation(DeleteOutcome.KEPT, there)
        try:
            store.delete(destination, if_generation=there.generation)
        except (ConditionFailed, ObjectNotFound):
            continue
        if store.look(source) is not None:
            return replicated()
        return DeletePropagation(DeleteOutcome.DELETED, there)
    raise Contended(
        destination.uri, f"changed under each of {max_attempts} attempts to delete it; try again later"
    )
