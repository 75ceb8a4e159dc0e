"""The gateway's promises, against a real server: policies, and errors in the project's own terms."""

import gzip
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from google.api_core.retry import Retry
from testing_paths import Paths

from shared.errors import (
    BucketNotFound,
    ConditionFailed,
    ObjectNotFound,
    ObjectProtected,
    PermissionDenied,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
)
from shared.gateway import Gateway
from shared.objects import ObjectRef, same


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


def test_an_absent_object_is_none(paths: Paths, gateway: Gateway) -> None:
    """The bucket is there and has no such object."""
    assert gateway.look(there(paths)) is None
    assert gateway.read(there(paths)) is None


def test_a_missing_bucket_is_an_error_and_never_an_absent_object(paths: Paths, gateway: Gateway) -> None:
    """Both are 404; reading the second as the first is how the last migration went wrong."""
    nowhere = ObjectRef("no-such-bucket-here", "QPI_exports/a")
    generation = paths.put("a")
    for ask in (
        lambda: gateway.look(nowhere),
        lambda: gateway.read(nowhere),
        lambda: gateway.read_version(nowhere),
        lambda: gateway.read_stored(nowhere),
        lambda: gateway.write(nowhere, b"", if_generation=0),
        lambda: list(gateway.list_pages(nowhere.bucket, "QPI_exports/")),
        lambda: gateway.check_bucket(nowhere.bucket, "QPI_exports/"),
        lambda: gateway.copy(nowhere, copy_to(paths), if_source=1, if_destination=0),
        lambda: gateway.copy(there(paths), nowhere, if_source=generation, if_destination=0),
        lambda: gateway.delete(nowhere, if_generation=1),
    ):
        with pytest.raises(BucketNotFound, match="gs://no-such-bucket-here: no such bucket"):
            ask()


def test_a_404_in_other_words_is_only_absent_if_the_bucket_answers(paths: Paths, gateway: Gateway) -> None:
    """Where the words do not say what is missing, the bucket is asked."""
    paths.put("a")
    strange = {"method": "storage.objects.get", "count": None, "status": 404, "message": "Gone fishing"}
    paths.server.set_faults(rules=[strange])
    assert gateway.look(there(paths)) is None
    denied = {"method": "storage.objects.list", "count": None, "status": 403}
    paths.server.set_faults(rules=[strange, denied])
    with pytest.raises(PermissionDenied):
        gateway.look(there(paths))


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (401, "authError", PermissionDenied),
        (403, "forbidden", PermissionDenied),
        (403, "retentionPolicyNotMet", ObjectProtected),
        (403, "objectUnderActiveHold", ObjectProtected),
        (412, "conditionNotMet", ConditionFailed),
        (429, "rateLimitExceeded", Unavailable),
        (500, "internalError", Unavailable),
        (503, "backendError", Unavailable),
        (504, "gatewayTimeout", Unavailable),
        (400, "invalid", UnexpectedAnswer),
        (409, "conflict", UnexpectedAnswer),
    ],
)
def test_an_answer_is_said_in_the_project_s_terms(
    paths: Paths, hasty: Gateway, status: int, reason: str, expected: type[StorageError]
) -> None:
    """Which object, what it means, and whether another try can help."""
    paths.put("a")
    rule = {"count": None, "status": status, "reason": reason, "message": "the service's own words"}
    paths.server.set_faults(rules=[rule])
    with pytest.raises(StorageError, match=r"the service's own words|not the one expected|refused") as caught:
        hasty.copy(there(paths), copy_to(paths), if_source=1, if_destination=0)
    assert type(caught.value) is expected
    assert caught.value.uri == there(paths).uri
    assert caught.value.transient is (expected is Unavailable)


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "truncate"])
def test_no_answer_is_unavailable(paths: Paths, hasty: Gateway, fault: str) -> None:
    """A dead connection or half an answer is no answer."""
    paths.put("a")
    paths.server.set_faults(rules=[{"method": "storage.objects.get", "count": None, "status": fault}])
    with pytest.raises(Unavailable, match="no answer within the time allowed"):
        hasty.look(there(paths))


def test_a_listing_that_breaks_off_raises_after_the_pages_that_came(paths: Paths, hasty: Gateway) -> None:
    """It is never cut short silently."""
    paths.server.fill(paths.migration.source.bucket, 2_500, prefix="QPI_exports/")
    paths.server.set_faults(
        rules=[{"method": "storage.objects.list", "skip": 2, "count": None, "status": 503}]
    )
    pages = hasty.list_pages(paths.migration.source.bucket, "QPI_exports/")
    assert [len(next(pages).objects), len(next(pages).objects)] == [1_000, 1_000]
    with pytest.raises(Unavailable):
        next(pages)


def test_a_listing_gives_every_object_in_order_with_what_a_look_gives(paths: Paths, gateway: Gateway) -> None:
    """Listing and look read the same fields; a comparison of the two would differ otherwise."""
    names = ["é", "a b", "z#1", "A", "a/b", "", "0%?"]
    for name in names:
        paths.put(name, name.encode(), metadata={"k": "v"}, cache_control="no-store", content_language="fr")
    paths.bucket("source").blob("QPI_exports_old/x").upload_from_string(b"sibling")
    (page,) = gateway.list_pages(paths.migration.source.bucket, "QPI_exports/")
    assert [state.name for state in page.objects] == [f"QPI_exports/{name}" for name in sorted(names)]
    for state in page.objects:
        assert state == gateway.look(ObjectRef(paths.migration.source.bucket, state.name))


def test_a_listing_can_be_bounded(paths: Paths, gateway: Gateway) -> None:
    """From start (inclusive) to end (exclusive), as complete names."""
    for name in "abcd":
        paths.put(name)
    bucket = paths.migration.source.bucket
    pages = gateway.list_pages(bucket, "QPI_exports/", start="QPI_exports/b", end="QPI_exports/d")
    assert [state.name for page in pages for state in page.objects] == ["QPI_exports/b", "QPI_exports/c"]
    assert list(gateway.list_pages(bucket, "QPI_exports/e")) == []


def test_nothing_is_asked_that_was_not_asked_for(paths: Paths, gateway: Gateway) -> None:
    """The client's background look at the bucket would need a permission that nobody here has."""
    paths.put("a")
    paths.server.reset_stats()
    state = gateway.look(there(paths))
    assert state is not None
    gateway.copy(there(paths), copy_to(paths), if_source=state.generation, if_destination=0)
    methods = {name: count["count"] for name, count in paths.server.stats()["methods"].items()}
    assert methods == {"storage.objects.get": 1, "storage.objects.rewrite": 1}


def test_a_copy_under_wrong_conditions_does_nothing(paths: Paths, gateway: Gateway) -> None:
    """Each of the two conditions alone stops it."""
    generation = paths.put("a", b"source")
    existing = paths.put("a", b"destination", side="destination")
    for if_source, if_destination in (
        (generation + 1, existing),
        (generation, existing + 1),
        (generation, 0),
    ):
        with pytest.raises(ConditionFailed):
            gateway.copy(there(paths), copy_to(paths), if_source=if_source, if_destination=if_destination)
    assert paths.read("a") == b"destination"
    copy = gateway.copy(there(paths), copy_to(paths), if_source=generation, if_destination=existing)
    source = gateway.look(there(paths))
    assert source is not None
    assert same(source, copy)


def test_a_copy_of_nothing_says_so(paths: Paths, gateway: Gateway) -> None:
    """The source object is gone."""
    with pytest.raises(ObjectNotFound):
        gateway.copy(there(paths), copy_to(paths), if_source=1, if_destination=0)


def test_a_piecewise_copy_whose_source_changes_half_way_is_given_up(paths: Paths, gateway: Gateway) -> None:
    """The conditions hold for every call, so no copy is made of two versions."""
    generation = paths.put("a", bytes(3 * 1024 * 1024))
    paths.server.set_faults(
        max_rewrite_bytes_per_call=1024 * 1024,
        latency_ms=50,
    )
    with ThreadPoolExecutor(1) as pool:
        copying = pool.submit(
            gateway.copy, there(paths), copy_to(paths), if_source=generation, if_destination=0
        )
        while paths.requests("storage.objects.rewrite") < 1:
            pass
        paths.put("a", b"newer")
        with pytest.raises((ConditionFailed, ObjectNotFound)):
            copying.result()
    assert gateway.look(copy_to(paths)) is None


def test_a_delete_is_conditional_and_its_repetition_harmless(paths: Paths, gateway: Gateway) -> None:
    """A retried delete without a condition could remove a newer object."""
    old = paths.put("a", b"one")
    new = paths.put("a", b"two")
    with pytest.raises(ConditionFailed):
        gateway.delete(there(paths), if_generation=old)
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


def test_contents_come_with_the_generation_they_belong_to(paths: Paths, gateway: Gateway) -> None:
    """One request, so that nobody can overwrite in between."""
    assert gateway.read_version(there(paths)) is None
    for contents in (b"one", b"", b"two"):
        generation = paths.put("a", contents)
        paths.server.reset_stats()
        assert gateway.read_version(there(paths)) == (generation, contents)
        assert paths.requests("storage.objects.download") == 1


def test_a_generation_and_its_contents_belong_together_whoever_writes_meanwhile(
    paths: Paths, gateway: Gateway
) -> None:
    """A condition on the generation would protect somebody else's contents otherwise."""
    written = {paths.put("a", b"0"): b"0"}
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: [gateway.read_version(there(paths)) for _ in range(60)])
        number = 0
        while not reading.done():
            number += 1
            written[paths.put("a", b"%d" % number)] = b"%d" % number
        found = reading.result()
    assert [version for version in found if version is None or written[version[0]] != version[1]] == []


@pytest.mark.parametrize("ask", ["read", "read_version"])
def test_a_download_that_breaks_off_while_somebody_overwrites_starts_again(
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


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (
            {"x-goog-generation": "1", "x-goog-hash": "crc32c=AAAAAA==,md5=AAAAAAAAAAAAAAAAAAAAAA=="},
            Unavailable,
        ),
        ({}, UnexpectedAnswer),
    ],
    ids=["wrong-checksum", "no-generation"],
)
def test_contents_that_cannot_be_trusted_are_an_error(
    headers: dict[str, str], expected: type[StorageError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something between the service and us changed them, or took away what they belong to."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in {**headers, "Content-Length": "2"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.handle_request).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        gateway = Gateway(retry_deadline=0.2, retry_initial=0.01)
        with pytest.raises(expected):
            gateway.read_version(ObjectRef("bucket", "name"))
        gateway.close()


def test_a_write_is_conditional(paths: Paths, gateway: Gateway) -> None:
    """Absent, then exactly the generation that was read."""
    gateway.write(there(paths), b"one", if_generation=0)
    with pytest.raises(ConditionFailed):
        gateway.write(there(paths), b"two", if_generation=0)
    first = gateway.read_version(there(paths))
    assert first is not None
    gateway.write(there(paths), b"two", if_generation=first[0])
    with pytest.raises(ConditionFailed):
        gateway.write(there(paths), b"three", if_generation=first[0])
    assert gateway.read(there(paths)) == b"two"


def test_a_write_whose_answer_is_lost_fails_its_own_condition(paths: Paths, gateway: Gateway) -> None:
    """It was written; who needs to know looks."""
    paths.server.set_faults(rules=[{"method": "storage.objects.insert", "count": 1, "status": "reset_after"}])
    with pytest.raises(ConditionFailed):
        gateway.write(there(paths), b"one", if_generation=0)
    assert gateway.read(there(paths)) == b"one"


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
