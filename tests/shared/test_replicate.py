"""The replication rule against a real server, with everything that would break it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from testing_paths import Paths

from shared.decision import Authority
from shared.errors import Contended, CopyNotProven, PermissionDenied
from shared.gateway import Gateway
from shared.objects import ObjectRef, ObjectState, parse_time, same
from shared.replicate import LastSeen, Outcome, Replication, replicate
from shared.store import ObjectStore

NAME = "qpi_answers_20240101/user_id_7.jsonl"


def run(
    paths: Paths,
    store: ObjectStore,
    authority: Authority | Callable[[], Authority] = Authority.SOURCE,
    last_seen: LastSeen | None = None,
) -> Replication:
    migration = paths.migration
    return replicate(
        store,
        migration.source_ref(NAME),
        migration.destination_ref(NAME),
        authority,
        last_seen=last_seen,
        keep=lambda version: migration.kept_ref(NAME, version.generation),
        max_attempts=5,
    )


def last_seen(paths: Paths) -> LastSeen:
    return LastSeen(paths.look(NAME, side="source"), paths.look(NAME))


@dataclass
class Interfered:
    """The real gateway, with something happening between the looks and each copy."""

    gateway: Gateway
    before_copy: Callable[[], object]
    answered: Callable[[ObjectState], ObjectState] = lambda state: state

    def look(self, at: ObjectRef) -> ObjectState | None:
        return self.gateway.look(at)

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        self.before_copy()
        return self.answered(
            self.gateway.copy(source, destination, if_source=if_source, if_destination=if_destination)
        )


def once(action: Callable[[], object]) -> Callable[[], object]:
    pending = [action]
    return lambda: pending.pop()() if pending else None


def test_a_new_object_is_copied_with_its_metadata(paths: Paths, gateway: Gateway) -> None:
    """S and nothing: copy if (S, 0)."""
    generation = paths.put(
        NAME, b"one", metadata={"owner": "qpi"}, cache_control="no-store", content_language="fr"
    )
    done = run(paths, gateway)
    copy = paths.look(NAME)
    assert (done.outcome, done.source and done.source.generation) == (Outcome.COPIED, generation)
    assert copy is not None
    assert done.source is not None
    assert same(done.source, copy)
    assert done.destination == copy


def test_an_equal_object_costs_no_copy(paths: Paths, gateway: Gateway) -> None:
    """S and the same: already equal."""
    paths.put(NAME, b"one")
    run(paths, gateway)
    before = paths.look(NAME)
    paths.server.reset_stats()
    assert run(paths, gateway).outcome is Outcome.ALREADY_EQUAL
    assert paths.requests("storage.objects.rewrite") == 0
    assert paths.look(NAME) == before


def test_a_different_object_is_replaced_while_the_source_has_the_authority(
    paths: Paths, gateway: Gateway
) -> None:
    """S and different, before the cutover: copy if (S, D). The old copy's metadata does not survive."""
    paths.put(NAME, b"old", side="destination", metadata={"stale": "yes"}, cache_control="private")
    paths.put(NAME, b"new", metadata={"fresh": "yes"})
    assert run(paths, gateway).outcome is Outcome.COPIED
    copy = paths.look(NAME)
    assert copy is not None
    assert paths.read(NAME) == b"new"
    assert (dict(copy.metadata.custom), copy.metadata.cache_control) == ({"fresh": "yes"}, None)


def test_a_difference_in_metadata_alone_is_a_difference(paths: Paths, gateway: Gateway) -> None:
    """The consumer may read the content type too."""
    paths.put(NAME, b"one", content_type="application/json")
    paths.put(NAME, b"one", side="destination", content_type="text/plain")
    assert run(paths, gateway).outcome is Outcome.COPIED
    copy = paths.look(NAME)
    assert copy is not None
    assert copy.metadata.content_type == "application/json"


def test_nothing_is_replaced_while_the_destination_has_the_authority(paths: Paths, gateway: Gateway) -> None:
    """S and different, after the cutover: conflict, never overwritten."""
    paths.put(NAME, b"late writer")
    paths.put(NAME, b"new truth", side="destination")
    assert run(paths, gateway, Authority.DESTINATION).outcome is Outcome.CONFLICT
    assert paths.read(NAME) == b"new truth"


def test_a_straggler_is_copied_and_called_one(paths: Paths, gateway: Gateway) -> None:
    """S and nothing, after the cutover: copied, and the operators hear of the late writer."""
    paths.put(NAME, b"late writer")
    done = run(paths, gateway, Authority.DESTINATION)
    assert (done.outcome, done.straggler) == (Outcome.COPIED, True)


def test_where_the_later_write_counts_what_it_replaces_is_kept(paths: Paths, gateway: Gateway) -> None:
    """Contents and metadata of the version that was there, beside the migration's state."""
    generation = paths.put(NAME, b"earlier", side="destination", metadata={"by": "somebody"})
    paths.put(NAME, b"later")
    assert run(paths, gateway, Authority.LATER_WRITE).outcome is Outcome.COPIED
    assert paths.read(NAME) == b"later"
    kept = gateway.look(paths.migration.kept_ref(NAME, generation))
    assert kept is not None
    assert dict(kept.metadata.custom) == {"by": "somebody"}
    assert gateway.read(paths.migration.kept_ref(NAME, generation)) == b"earlier"


def test_keeping_what_is_kept_already_does_not_stand_in_the_way(paths: Paths, gateway: Gateway) -> None:
    """A delivery that came so far, and was repeated."""
    generation = paths.put(NAME, b"earlier", side="destination")
    paths.put(NAME, b"later")
    destination = paths.migration.destination_ref(NAME)
    kept = paths.migration.kept_ref(NAME, generation)
    gateway.copy(destination, kept, if_source=generation, if_destination=0)
    assert run(paths, gateway, Authority.LATER_WRITE).outcome is Outcome.COPIED
    assert paths.read(NAME) == b"later"


def test_what_cannot_be_kept_is_not_replaced(paths: Paths, gateway: Gateway) -> None:
    """Keeping fails: so does the whole, and the destination stays."""
    paths.put(NAME, b"earlier", side="destination")
    paths.put(NAME, b"later")
    with pytest.raises(ValueError, match="where to keep"):
        replicate(
            gateway,
            paths.migration.source_ref(NAME),
            paths.migration.destination_ref(NAME),
            Authority.LATER_WRITE,
        )
    paths.server.set_faults(rules=[{"method": "storage.objects.rewrite", "count": 1, "status": 403}])
    with pytest.raises(PermissionDenied):
        run(paths, gateway, Authority.LATER_WRITE)
    assert paths.read(NAME) == b"earlier"


def test_a_later_destination_is_left_where_the_later_write_counts(paths: Paths, gateway: Gateway) -> None:
    """A conflict, as under the destination's authority."""
    paths.put(NAME, b"earlier")
    paths.put(NAME, b"later", side="destination")
    assert run(paths, gateway, Authority.LATER_WRITE).outcome is Outcome.CONFLICT
    assert paths.read(NAME) == b"later"


def test_a_version_written_during_the_copy_is_not_taken_for_the_earlier_one(
    paths: Paths, gateway: Gateway
) -> None:
    """Where the later write wins, it looks at the source again after a copy, because the copy looks later than it is."""
    paths.put(NAME, b"one")
    overwritten = once(lambda: paths.put(NAME, b"two"))

    def answered(copy: ObjectState) -> ObjectState:
        overwritten()
        return copy

    store = Interfered(gateway, lambda: None, answered)
    assert run(paths, store, Authority.LATER_WRITE).outcome is Outcome.COPIED
    assert paths.read(NAME) == b"two"


def test_the_authority_is_read_after_the_look(paths: Paths, gateway: Gateway) -> None:
    """The phase changes while it looks: what it has seen is judged by the phase after it."""
    paths.put(NAME, b"legacy")
    seen = last_seen(paths)
    paths.put(NAME, b"first write on the new path", side="destination")
    whose = iter([Authority.SOURCE, Authority.SOURCE, Authority.DESTINATION])
    done = run(paths, gateway, lambda: next(whose), LastSeen(seen.source, None))
    assert done.outcome is Outcome.CONFLICT
    assert paths.read(NAME) == b"first write on the new path"


def test_a_source_that_is_gone_is_superseded(paths: Paths, gateway: Gateway) -> None:
    """Nothing and anything: nothing to do; the destination stays."""
    paths.put(NAME, b"kept", side="destination")
    assert run(paths, gateway).outcome is Outcome.SUPERSEDED
    assert paths.read(NAME) == b"kept"


def test_a_good_last_look_saves_both_looks(paths: Paths, gateway: Gateway) -> None:
    """What the listing or the event said is tried first: one request for the ordinary new object."""
    paths.put(NAME, b"one")
    seen = last_seen(paths)
    paths.server.reset_stats()
    assert run(paths, gateway, last_seen=seen).outcome is Outcome.COPIED
    assert (paths.requests("storage.objects.get"), paths.requests("storage.objects.rewrite")) == (0, 1)


def test_a_last_look_that_sees_no_copy_to_make_is_not_believed(paths: Paths, gateway: Gateway) -> None:
    """An old listing may say equal, absent or in conflict; only a fresh look settles that."""
    paths.put(NAME, b"one")
    run(paths, gateway)
    stale = last_seen(paths)
    paths.put(NAME, b"two")
    assert run(paths, gateway, last_seen=stale).outcome is Outcome.COPIED
    assert run(paths, gateway, last_seen=LastSeen(None, None)).outcome is Outcome.ALREADY_EQUAL
    assert paths.read(NAME) == b"two"


def test_a_stale_last_look_never_puts_an_older_version_over_a_newer_one(
    paths: Paths, gateway: Gateway
) -> None:
    """The listing is a day old; the mirror has long copied what came since."""
    paths.put(NAME, b"one")
    stale = last_seen(paths)
    paths.put(NAME, b"two")
    run(paths, gateway)
    assert run(paths, gateway, last_seen=stale).outcome is Outcome.ALREADY_EQUAL
    assert paths.read(NAME) == b"two"


def test_contents_that_came_back_are_copied_again(paths: Paths, gateway: Gateway) -> None:
    """The equal destination is older than the source: a copy of what was in between may still be under way."""
    paths.put(NAME, b"a")
    run(paths, gateway)
    first = paths.look(NAME)
    paths.put(NAME, b"b")
    paths.put(NAME, b"a")
    assert run(paths, gateway).outcome is Outcome.COPIED
    again = paths.look(NAME)
    assert first is not None
    assert again is not None
    assert again.generation != first.generation
    assert run(paths, gateway).outcome is Outcome.ALREADY_EQUAL


def test_a_source_overwritten_in_between_is_copied_in_its_newer_version(
    paths: Paths, gateway: Gateway
) -> None:
    """The source condition fails, it looks again, and the outcome names the version that was copied."""
    paths.put(NAME, b"one")
    store = Interfered(gateway, once(lambda: paths.put(NAME, b"two")))
    done = run(paths, store)
    live = paths.look(NAME, side="source")
    assert (done.outcome, done.source, done.attempts) == (Outcome.COPIED, live, 2)
    assert paths.read(NAME) == b"two"


def test_a_source_deleted_in_between_is_superseded(paths: Paths, gateway: Gateway) -> None:
    """A deleted source is not a failure."""
    paths.put(NAME, b"one")
    assert run(paths, Interfered(gateway, once(lambda: paths.delete(NAME)))).outcome is Outcome.SUPERSEDED
    assert paths.names() == []


def test_a_destination_written_in_between_is_looked_at_again(paths: Paths, gateway: Gateway) -> None:
    """The mirror was faster: the destination condition fails, and what it copied is found equal."""
    paths.put(NAME, b"one")
    store = Interfered(gateway, once(lambda: run(paths, gateway)))
    assert run(paths, store).outcome is Outcome.ALREADY_EQUAL


def test_the_live_source_is_asked_for_even_on_a_versioned_bucket(paths: Paths, gateway: Gateway) -> None:
    """A noncurrent version can still be read there; copying it would put the destination back."""
    bucket = paths.bucket("source")
    bucket.reload()
    bucket.versioning_enabled = True
    bucket.patch()
    paths.put(NAME, b"one")
    store = Interfered(gateway, once(lambda: paths.put(NAME, b"two")))
    assert run(paths, store).outcome is Outcome.COPIED
    assert paths.read(NAME) == b"two"


def test_a_lost_answer_is_looked_into_and_is_no_conflict(paths: Paths, gateway: Gateway) -> None:
    """The rewrite took effect, its answer was lost, its repetition got a 412: equal means success."""
    paths.put(NAME, b"one")
    paths.server.set_faults(
        rules=[{"method": "storage.objects.rewrite", "count": 1, "status": "reset_after"}]
    )
    assert run(paths, gateway).outcome is Outcome.ALREADY_EQUAL
    assert paths.read(NAME) == b"one"


def test_throttling_and_faults_of_the_service_are_outlasted(paths: Paths, gateway: Gateway) -> None:
    """429 and 503 on every kind of request it makes."""
    paths.put(NAME, b"one")
    paths.server.set_faults(
        rules=[
            {"method": "storage.objects.get", "count": 2, "status": 503},
            {"method": "storage.objects.rewrite", "count": 2, "status": 429},
        ]
    )
    assert run(paths, gateway).outcome is Outcome.COPIED


def test_a_copy_of_several_calls_is_finished(paths: Paths, gateway: Gateway) -> None:
    """Between locations Cloud Storage copies piece by piece, with a token."""
    data = bytes(range(256)) * 4096 * 3
    paths.put(NAME, data)
    paths.server.set_faults(max_rewrite_bytes_per_call=1024 * 1024)
    assert run(paths, gateway).outcome is Outcome.COPIED
    assert paths.requests("storage.objects.rewrite") == 3
    assert paths.read(NAME) == data


def test_a_writer_who_never_rests_ends_in_a_transient_error(paths: Paths, gateway: Gateway) -> None:
    """It is bounded, says so, and can be tried again."""
    paths.put(NAME, b"0")
    counter = iter(range(1, 100))
    store = Interfered(gateway, lambda: paths.put(NAME, b"%d" % next(counter)))
    with pytest.raises(Contended, match="changed under each of 5 attempts") as caught:
        run(paths, store)
    assert caught.value.transient


def test_metadata_patched_in_between_is_copied_too(paths: Paths, gateway: Gateway) -> None:
    """A patch keeps the generation, so no condition fails; the copy's answer shows it."""
    paths.put(NAME, b"one", metadata={"v": "1"})

    def patch() -> None:
        blob = paths.bucket("source").get_blob(paths.migration.source_ref(NAME).name)
        blob.metadata = {"v": "2"}
        blob.patch()

    done = run(paths, Interfered(gateway, once(patch)))
    copy = paths.look(NAME)
    assert done.outcome is Outcome.COPIED
    assert copy is not None
    assert dict(copy.metadata.custom) == {"v": "2"}


def test_a_copy_whose_answer_shows_other_contents_is_not_called_copied(
    paths: Paths, gateway: Gateway
) -> None:
    """A copy includes proving it."""
    paths.put(NAME, b"one")
    store = Interfered(gateway, lambda: None, lambda state: state._replace(crc32c="AAAAAA=="))
    with pytest.raises(CopyNotProven, match="differs from the source that was seen in: crc32c"):
        run(paths, store)


def test_an_unknown_checksum_is_not_called_copied(paths: Paths, gateway: Gateway) -> None:
    """A checksum that the answer lacks proves nothing."""
    paths.put(NAME, b"one")
    store = Interfered(gateway, lambda: None, lambda state: state._replace(crc32c=None))
    with pytest.raises(CopyNotProven, match="crc32c unknown"):
        run(paths, store)


def test_metadata_that_will_not_be_carried_is_not_copied_for_ever(paths: Paths, gateway: Gateway) -> None:
    """The same version over its own copy a second time would not end."""
    paths.put(NAME, b"one", metadata={"v": "1"})

    def without_metadata() -> None:
        blob = paths.bucket("destination").get_blob(paths.migration.destination_ref(NAME).name)
        if blob is not None:
            blob.metadata = {"v": None}
            blob.patch()

    class Losing(Interfered):
        def copy(
            self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
        ) -> ObjectState:
            super().copy(source, destination, if_source=if_source, if_destination=if_destination)
            without_metadata()
            state = self.gateway.look(destination)
            assert state is not None
            return state

    with pytest.raises(CopyNotProven, match="custom metadata"):
        run(paths, Losing(gateway, lambda: None))


def test_what_was_there_before_a_moment_is_not_a_later_write(paths: Paths, gateway: Gateway) -> None:
    """It is replaced and kept, if it was created and last updated before that. A write since then stays."""
    paths.put(NAME, b"right")
    paths.put(NAME, b"wrong", side="destination")
    wrong = paths.look(NAME)
    assert wrong is not None
    migration, moment = paths.migration, parse_time(wrong.updated)

    def run_pass(settled_before: datetime) -> Replication:
        return replicate(
            gateway,
            migration.source_ref(NAME),
            migration.destination_ref(NAME),
            Authority.LATER_WRITE,
            keep=lambda version: migration.kept_ref(NAME, version.generation),
            settled_before=settled_before,
        )

    assert run_pass(moment).outcome is Outcome.CONFLICT
    blob = paths.bucket("destination").blob(wrong.name)
    blob.content_type = "text/plain"
    blob.patch()
    assert run_pass(moment + timedelta(microseconds=1)).outcome is Outcome.CONFLICT
    assert run_pass(moment + timedelta(hours=1)).outcome is Outcome.COPIED
    assert paths.read(NAME) == b"right"
    kept = migration.kept_ref(NAME, wrong.generation)
    assert gateway.read(kept) == b"wrong"


def test_a_source_of_before_a_moment_replaces_nothing_and_fills_what_is_missing(
    paths: Paths, gateway: Gateway
) -> None:
    """Also where the destination is the same as what the source held before: that is the original then, and not a copy."""
    paths.put(NAME, b"right", side="destination")
    paths.put(NAME, b"right")
    copy = paths.look(NAME, side="source")
    paths.put(NAME, b"wrong")
    wrong = paths.look(NAME, side="source")
    assert copy is not None and wrong is not None  # noqa: PT018 -- for the types

    def run_pass(moment: datetime) -> Outcome:
        return replicate(
            gateway,
            paths.migration.source_ref(NAME),
            paths.migration.destination_ref(NAME),
            Authority.LATER_WRITE,
            last_seen=LastSeen(copy, None),
            keep=lambda version: paths.migration.kept_ref(NAME, version.generation),
            source_settled_before=moment,
        ).outcome

    after = parse_time(wrong.updated) + timedelta(hours=1)
    assert (run_pass(after), paths.read(NAME)) == (Outcome.CONFLICT, b"right")
    paths.delete(NAME, side="destination")
    assert (run_pass(after), paths.read(NAME)) == (Outcome.COPIED, b"wrong")
    paths.put(NAME, b"right", side="destination")
    paths.put(NAME, b"written since")
    assert (run_pass(parse_time(wrong.updated)), paths.read(NAME)) == (Outcome.COPIED, b"written since")


def test_such_a_moment_changes_nothing_where_a_side_wins(paths: Paths, gateway: Gateway) -> None:
    """Where the new path wins, its objects stay."""
    paths.put(NAME, b"legacy")
    paths.put(NAME, b"new", side="destination")
    done = replicate(
        gateway,
        paths.migration.source_ref(NAME),
        paths.migration.destination_ref(NAME),
        Authority.DESTINATION,
        settled_before=datetime.max.replace(tzinfo=UTC),
    )
    assert (done.outcome, paths.read(NAME)) == (Outcome.CONFLICT, b"new")


def patch(paths: Paths, side: str, **changes: str) -> None:
    """A client changes the metadata, later than all before."""
    time.sleep(0.002)
    blob = paths.bucket(side).get_blob(getattr(paths.migration, side).prefix + NAME)
    for name, value in changes.items():
        setattr(blob, name, value)
    blob.patch()


def change_class(paths: Paths, side: str) -> None:
    """The service moves a side's objects to another storage class, by a lifecycle rule."""
    bucket = paths.bucket(side)
    rule = {"action": {"type": "SetStorageClass", "storageClass": "NEARLINE"}, "condition": {"age": 0}}
    paths.client._connection.api_request("PATCH", f"/b/{bucket.name}", data={"lifecycle": {"rule": [rule]}})
    time.sleep(0.002)
    paths.server.run_lifecycle()
    paths.client._connection.api_request("PATCH", f"/b/{bucket.name}", data={"lifecycle": None})


def test_a_destination_whose_class_the_service_changed_is_not_the_later_write(
    paths: Paths, gateway: Gateway
) -> None:
    """The source's change of metadata before that still reaches it."""
    paths.put(NAME, b"one")
    assert run(paths, gateway).outcome is Outcome.COPIED
    patch(paths, "source", cache_control="no-store")
    change_class(paths, "destination")
    before = last_seen(paths)
    assert before.source is not None
    assert before.destination is not None
    assert before.destination.updated > before.source.updated
    assert run(paths, gateway, Authority.LATER_WRITE).outcome is Outcome.COPIED
    after = paths.look(NAME)
    assert after is not None
    assert after.metadata.cache_control == "no-store"


def test_a_source_whose_class_the_service_changed_is_not_the_later_write(
    paths: Paths, gateway: Gateway
) -> None:
    """What a client changed at the destination stays, and the difference is reported."""
    paths.put(NAME, b"one")
    assert run(paths, gateway).outcome is Outcome.COPIED
    patch(paths, "destination", cache_control="no-store")
    change_class(paths, "source")
    assert run(paths, gateway, Authority.LATER_WRITE).outcome is Outcome.CONFLICT
    after = paths.look(NAME)
    assert after is not None
    assert after.metadata.cache_control == "no-store"
    # A client's own change after that is a write.
    patch(paths, "source", content_type="text/plain")
    assert run(paths, gateway, Authority.LATER_WRITE).outcome is Outcome.COPIED


def test_a_class_change_after_an_unknown_change_overwrites_nothing(paths: Paths, gateway: Gateway) -> None:
    """It hides which change was the last of a client: the difference is reported."""
    paths.put(NAME, b"one")
    assert run(paths, gateway).outcome is Outcome.COPIED
    patch(paths, "destination", cache_control="private")
    patch(paths, "source", cache_control="no-store")
    change_class(paths, "destination")
    assert run(paths, gateway, Authority.LATER_WRITE).outcome is Outcome.CONFLICT
