"""Following a deletion, with the races that would delete a live object's copy."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from testing_paths import Paths

from shared.decision import Authority
from shared.errors import Contended
from shared.gateway import Gateway
from shared.objects import ObjectRef, ObjectState
from shared.replicate import DeleteOutcome, DeletePropagation, propagate_delete, replicate
from shared.store import DeletingStore

NAME = "qpi_answers_20240101/user_id_7.jsonl"


@dataclass
class Interfered:
    """The real gateway, with something happening before its deletions."""

    gateway: Gateway
    before_delete: list[Callable[[], object]] = field(default_factory=list)

    def look(self, at: ObjectRef) -> ObjectState | None:
        return self.gateway.look(at)

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        return self.gateway.copy(source, destination, if_source=if_source, if_destination=if_destination)

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        if self.before_delete:
            self.before_delete.pop(0)()
        self.gateway.delete(at, if_generation=if_generation)


def mirrored(paths: Paths, gateway: Gateway, data: bytes = b"one") -> ObjectState:
    paths.put(NAME, data)
    replicate(
        gateway, paths.migration.source_ref(NAME), paths.migration.destination_ref(NAME), Authority.SOURCE
    )
    state = paths.look(NAME, side="source")
    assert state is not None
    return state


def follow(paths: Paths, store: DeletingStore, deleted: ObjectState) -> DeletePropagation:
    migration = paths.migration
    source, destination = migration.source_ref(NAME), migration.destination_ref(NAME)
    return propagate_delete(store, source, destination, deleted, max_attempts=3)


def test_the_copy_of_the_deleted_version_goes(paths: Paths, gateway: Gateway) -> None:
    """An erasure reaches both copies."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    assert follow(paths, gateway, deleted).outcome is DeleteOutcome.DELETED
    assert paths.names() == []


def test_an_object_written_again_with_the_same_contents_is_brought_back(
    paths: Paths, gateway: Gateway
) -> None:
    """Its own event found the old copy equal, just before the deletion; no other event would copy it."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    done = follow(paths, Interfered(gateway, [lambda: mirrored(paths, gateway)]), deleted)
    assert done.outcome is DeleteOutcome.REPLICATED
    assert paths.read(NAME) == b"one"


def test_an_object_written_again_with_other_contents_is_not_deleted(paths: Paths, gateway: Gateway) -> None:
    """The destination's generation changed, so the condition fails, and the next look sees the live source."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    done = follow(paths, Interfered(gateway, [lambda: mirrored(paths, gateway, b"two")]), deleted)
    assert done.outcome is DeleteOutcome.REPLICATED
    assert paths.read(NAME) == b"two"


def test_a_lost_answer_of_the_deletion_is_looked_into(paths: Paths, gateway: Gateway) -> None:
    """It happened; its repetition found nothing there."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    paths.server.set_faults(rules=[{"method": "storage.objects.delete", "count": 1, "status": "reset_after"}])
    assert follow(paths, gateway, deleted).outcome is DeleteOutcome.ALREADY_GONE


def test_a_destination_that_never_rests_ends_in_a_transient_error(paths: Paths, gateway: Gateway) -> None:
    """It is bounded, and can be tried again."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    store = Interfered(gateway, [lambda: paths.put(NAME, b"one", side="destination")] * 3)
    with pytest.raises(Contended):
        follow(paths, store, deleted)


def test_a_source_that_is_written_after_the_last_look_is_brought_back(paths: Paths, gateway: Gateway) -> None:
    """Its own event came before the old copy was deleted, and found that equal: nothing else would bring it."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    done = follow(paths, Interfered(gateway, [lambda: paths.put(NAME, b"one")]), deleted)
    assert done.outcome is DeleteOutcome.REPLICATED
    assert (paths.names(), paths.read(NAME)) == ([NAME], b"one")
