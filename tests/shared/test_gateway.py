"""What only the gateway does, against a real server. ``test_store_contract`` has what both clients do."""

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core.retry import Retry
from testing_paths import Paths

from shared.errors import (
    BucketNotFound,
    ConditionFailed,
    ObjectNotFound,
    PermissionDenied,
    Unavailable,
)
from shared.gateway import Gateway
from shared.objects import ObjectRef


@pytest.fixture
def hasty(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gateway]:
    """A gateway that soon gives up."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    gateway = Gateway(retry_deadline=0.2, retry_initial=0.01)
    yield gateway
    gateway.close()


def there(paths: Paths, relative: str = "a") -> ObjectRef:
    return paths.migration.source_ref(relative)


def copy_to(paths: Paths, relative: str = "a") -> ObjectRef:
    return paths.migration.destination_ref(relative)


def test_what_only_the_gateway_does_knows_a_missing_bucket_too(paths: Paths, gateway: Gateway) -> None:
    """As in ``test_store_contract``."""
    nowhere = ObjectRef("no-such-bucket-here", "QPI_exports/a")
    for ask in (
        lambda: gateway.read(nowhere),
        lambda: gateway.read_version(nowhere),
        lambda: gateway.read_stored(nowhere),
        lambda: gateway.write(nowhere, b"", if_generation=0),
        lambda: gateway.check_bucket(nowhere.bucket, "QPI_exports/"),
    ):
        with pytest.raises(BucketNotFound, match="gs://no-such-bucket-here: no such bucket"):
            ask()
    assert gateway.read(there(paths)) is None


def test_a_deletion_whose_answer_is_lost_is_repeated_without_harm(paths: Paths, gateway: Gateway) -> None:
    """A retried delete without a condition could remove a newer object. (The fast client sends a batch once.)"""
    new = paths.put("a", b"two")
    paths.server.set_faults(rules=[{"method": "storage.objects.delete", "count": 1, "status": "reset_after"}])
    with pytest.raises(ObjectNotFound):
        gateway.delete(there(paths), if_generation=new)
    assert gateway.look(there(paths)) is None


def test_a_small_object_is_read_as_a_whole(paths: Paths, gateway: Gateway) -> None:
    """The state object is read like this."""
    paths.put("a", b'{"phase": "cut_over"}')
    assert gateway.read(there(paths)) == b'{"phase": "cut_over"}'


@pytest.mark.parametrize("data", [b'{"a": 1}', gzip.compress(b'{"a": 1}', mtime=0)])
@pytest.mark.parametrize("label", [None, "gzip"])
def test_an_object_is_read_as_it_is_stored(
    paths: Paths, gateway: Gateway, data: bytes, label: str | None
) -> None:
    """Whether it is gzip or not, and whatever its label says: nothing is unpacked on the way."""
    paths.put("a", data, content_encoding=label)
    assert gateway.read_stored(there(paths)) == data
    paths.delete("a")
    assert gateway.read_stored(there(paths)) is None


@pytest.mark.parametrize("ask", ["read", "read_version"])
def test_a_download_that_breaks_off_during_an_overwrite_starts_again(
    paths: Paths, gateway: Gateway, ask: str
) -> None:
    """Resuming it would ask for a generation that is gone, and read the 404 as an absent object."""
    generations = [paths.put("a", b"old" * 100_000)]
    paths.server.set_faults(rules=[{"method": "storage.objects.download", "count": 1, "status": "truncate"}])
    gateway._retry = Retry(
        gateway._retry._predicate,
        initial=0.01,
        on_error=lambda _: generations.append(paths.put("a", b"new" * 100_000)),
    )
    found = getattr(gateway, ask)(there(paths))
    assert len(generations) == 2
    assert found == (b"new" * 100_000 if ask == "read" else (generations[1], b"new" * 100_000))


def test_a_download_that_never_ends_is_unavailable(paths: Paths, hasty: Gateway) -> None:
    """Half the contents are none."""
    paths.put("a", b"x" * 100_000)
    paths.server.set_faults(
        rules=[{"method": "storage.objects.download", "count": None, "status": "truncate"}]
    )
    with pytest.raises(Unavailable, match="no answer within the time allowed"):
        hasty.read_version(there(paths))


def test_more_callers_than_connections_wait_their_turn(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pool blocks; it does not warn and open more (warnings are errors here)."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    paths.put("a")
    gateway = Gateway(connections=2)
    with ThreadPoolExecutor(8) as pool:
        states = list(pool.map(lambda _: gateway.look(there(paths)), range(40)))
    gateway.close()
    assert len({state.generation for state in states if state}) == 1


def test_an_upload_in_pieces_that_is_refused_is_this_project_s_error(paths: Paths, gateway: Gateway) -> None:
    """On condition that nothing is there, it writes once; a missing permission is called that."""
    at = paths.migration.own_ref("large")

    def write(data: bytes) -> None:
        with gateway.writing(at, content_type="text/plain", if_generation=0) as piece:
            piece(data)

    write(b"one")
    with pytest.raises(ConditionFailed):
        write(b"other")
    assert gateway.read(at) == b"one"
    paths.server.set_faults(rules=[{"method": "storage.objects.insert", "count": None, "status": 403}])
    with pytest.raises(PermissionDenied):
        write(b"third")


def test_a_bucket_s_policy_is_read_with_its_conditions(paths: Paths, gateway: Gateway) -> None:
    """Version 3: an older version leaves conditional bindings out. A refusal and an absent bucket are this project's errors."""
    bucket = paths.migration.destination.bucket
    paths.server.grant(bucket, {"roles/storage.objectViewer": "user:a@example.com"})
    assert gateway.bucket_policy(bucket)["bindings"] == [
        {"role": "roles/storage.objectViewer", "members": ["user:a@example.com"]}
    ]
    policy = paths.bucket("destination").get_iam_policy(requested_policy_version=3)
    limit = {"title": "path", "expression": 'resource.name.startsWith("x")'}
    policy.version = 3
    policy.bindings = [
        {"role": "roles/storage.objectUser", "members": {"user:b@example.com"}, "condition": limit}
    ]
    paths.bucket("destination").set_iam_policy(policy)
    (binding,) = gateway.bucket_policy(bucket)["bindings"]
    assert (binding["condition"], binding["members"]) == (limit, ["user:b@example.com"])
    with pytest.raises(BucketNotFound):
        gateway.bucket_policy("there-is-no-such-bucket")
    paths.server.set_faults(rules=[{"method": "storage.buckets.getIamPolicy", "count": None, "status": 403}])
    with pytest.raises(PermissionDenied):
        gateway.bucket_policy(bucket)
