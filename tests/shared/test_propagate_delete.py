"""Following a deletion, with the races that would delete a live object's copy."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from testing_paths import Paths

from shared.decision import Authority
from shared.errors import Contended
from shared.gateway import Gateway
from shared.objects import ObjectRef, ObjectState, parse_time, same
from shared.replicate import (
    DeleteOutcome,
    DeletePropagation,
    LastSeen,
    Outcome,
    propagate_delete,
    replicate,
)
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


NEVER, EVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


def follow(
    paths: Paths, store: DeletingStore, deleted: ObjectState, *, at: datetime = EVER, **options: Any
) -> DeletePropagation:
    migration = paths.migration
    source, destination = migration.source_ref(NAME), migration.destination_ref(NAME)
    return propagate_delete(store, source, destination, deleted, at, max_attempts=3, **options)


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


def test_what_was_written_after_the_deletion_stays(paths: Paths, gateway: Gateway) -> None:
    """A deletion is a write, and this one is the earlier."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    there = paths.look(NAME)
    assert there is not None
    for at in (parse_time(there.created), NEVER):
        assert follow(paths, gateway, deleted, at=at).outcome is DeleteOutcome.OVERRIDDEN
    assert paths.look(NAME) == there
    after = parse_time(there.created) + timedelta(milliseconds=1)
    assert follow(paths, gateway, deleted, at=after).outcome is DeleteOutcome.DELETED


def test_what_was_relabelled_after_the_deletion_stays(paths: Paths, gateway: Gateway) -> None:
    """A change of its metadata is a write, too."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    there = paths.look(NAME)
    assert there is not None
    blob = paths.bucket("destination").blob(there.name)
    blob.metadata = {"label": "later"}
    blob.patch()
    moment = parse_time(there.created) + timedelta(microseconds=1)
    assert follow(paths, gateway, deleted, at=moment).outcome is DeleteOutcome.OVERRIDDEN


def test_the_authority_is_read_after_the_look_at_the_destination(paths: Paths, gateway: Gateway) -> None:
    """A writer of the new path writes only after every mirror knows the phase: so the copy that was seen is theirs."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    asked: list[str] = []

    class Watched(Interfered):
        def look(self, at: ObjectRef) -> ObjectState | None:
            asked.append("source" if at == paths.migration.source_ref(NAME) else "destination")
            return super().look(at)

    def authority() -> Authority:
        asked.append("authority")
        return Authority.DESTINATION

    done = follow(paths, Watched(gateway), deleted, authority=authority)
    assert (done.outcome, asked) == (DeleteOutcome.NOT_FOLLOWED, ["source", "destination", "authority"])
    assert paths.read(NAME) == b"one"


def test_where_the_later_write_counts_the_version_is_kept_first(paths: Paths, gateway: Gateway) -> None:
    """The new path may hold a write of its own, although it equals what was deleted."""
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)

    def keep(version: ObjectState) -> ObjectRef:
        return paths.migration.kept_ref(NAME, version.generation)

    done = follow(paths, gateway, deleted, authority=Authority.LATER_WRITE, keep=keep)
    assert done.outcome is DeleteOutcome.DELETED
    assert done.destination is not None
    kept = gateway.look(keep(done.destination))
    assert kept is not None
    assert same(kept, done.destination)
    with pytest.raises(ValueError, match="say where to keep"):
        follow(paths, gateway, mirrored_and_deleted(paths, gateway), authority=Authority.LATER_WRITE)
    assert paths.read(NAME) == b"one"


def mirrored_and_deleted(paths: Paths, gateway: Gateway) -> ObjectState:
    deleted = mirrored(paths, gateway)
    paths.delete(NAME)
    return deleted


@dataclass
class DeletedMeanwhile(Interfered):
    """A source that is deleted while a copy of it is made."""

    paths: Paths | None = None

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        made = super().copy(source, destination, if_source=if_source, if_destination=if_destination)
        if self.paths is not None:
            self.paths.delete(NAME)
        return made


@pytest.mark.parametrize("following", [True, False])
def test_a_copy_of_a_source_that_was_deleted_meanwhile_is_taken_back(
    paths: Paths, gateway: Gateway, following: bool
) -> None:
    """The deletion's own event came before the copy; without followed deletions the copy stays."""
    paths.put(NAME, b"one")
    store = DeletedMeanwhile(gateway, paths=paths)
    source, destination = paths.migration.source_ref(NAME), paths.migration.destination_ref(NAME)
    done = replicate(store, source, destination, Authority.SOURCE, deletes=store if following else None)
    assert (done.taken_back is not None, paths.names()) == (following, [] if following else [NAME])
    assert done.outcome is (Outcome.SUPERSEDED if following else Outcome.COPIED)


def test_a_second_delivery_takes_back_what_the_first_one_copied(paths: Paths, gateway: Gateway) -> None:
    """The first one lost the answer to its copy, and the source was deleted."""
    version = mirrored_and_deleted(paths, gateway)
    source, destination = paths.migration.source_ref(NAME), paths.migration.destination_ref(NAME)
    for authority, left in ((Authority.DESTINATION, [NAME]), (Authority.SOURCE, [])):
        replicate(gateway, source, destination, authority, last_seen=LastSeen(version, None), deletes=gateway)
        assert paths.names() == left
