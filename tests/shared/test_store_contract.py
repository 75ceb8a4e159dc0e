"""What both clients of Cloud Storage promise (``shared.store``), tested once for both against a real server.

The parameter is the gateway (``shared.gateway``) or the fast client (``shared.gcs``).
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest
from testing_http import NAMES
from testing_paths import Paths
from testing_stores import Store, open_store

from local_gcs.waiting import wait_until
from shared.errors import (
    BucketNotFound,
    ConditionFailed,
    ObjectNotFound,
    ObjectProtected,
    PermissionDenied,
    Refused,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
)
from shared.objects import ObjectRef, same

KINDS = ["gateway", "fast"]
NOWHERE = ObjectRef("no-such-bucket-here", "QPI_exports/a")
MIB = 1024 * 1024


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    store = open_store(kind, paths.server.url)
    yield store
    store.close()


@pytest.fixture
def hasty(kind: str, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """One that soon gives up."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    store = open_store(kind, paths.server.url, deadline=0.2)
    yield store
    store.close()


def there(paths: Paths, relative: str = "a") -> ObjectRef:
    return paths.migration.source_ref(relative)


def copy_to(paths: Paths, relative: str = "a") -> ObjectRef:
    return paths.migration.destination_ref(relative)


def test_an_absent_object_is_none(paths: Paths, store: Store) -> None:
    """The bucket is there and has no such object."""
    assert store.look(there(paths)) is None


def test_an_object_is_seen_as_it_is(paths: Paths, store: Store) -> None:
    """Under any name, with what a copy carries."""
    for name in NAMES:
        paths.put(name, name.encode(), metadata={"k": "v"}, content_language="fr")
        state = store.look(there(paths, name))
        assert state == paths.look(name, side="source")


MISSING: dict[str, Callable[[Store, Paths, int], object]] = {
    "look": lambda store, *_: store.look(NOWHERE),
    "list": lambda store, *_: list(store.list_pages(NOWHERE.bucket, "QPI_exports/")),
    "copy from": lambda store, paths, _: store.copy(NOWHERE, copy_to(paths), if_source=1, if_destination=0),
    "copy to": lambda store, paths, generation: store.copy(
        there(paths), NOWHERE, if_source=generation, if_destination=0
    ),
    "delete": lambda store, *_: store.delete(NOWHERE, if_generation=1),
    "read": lambda store, *_: store.read(NOWHERE),
    "write": lambda store, *_: store.write(NOWHERE, b"", if_generation=0),
}


@pytest.mark.parametrize("verb", MISSING)
def test_a_missing_bucket_is_an_error_and_never_an_absent_object(
    paths: Paths, store: Store, verb: str
) -> None:
    """Both are 404; reading the second as the first is how the last migration went wrong."""
    generation = paths.put("a")
    with pytest.raises(BucketNotFound, match=r"gs://no-such-bucket-here: no such bucket \(The specified"):
        MISSING[verb](store, paths, generation)


def test_a_404_in_other_words_is_only_absent_if_the_bucket_answers(paths: Paths, store: Store) -> None:
    """Where the words do not say what is missing, the bucket is asked."""
    generation = paths.put("a")
    strange = {"count": None, "status": 404, "message": "Gone fishing"}
    methods = ("get", "rewrite", "delete")
    rules = [{**strange, "method": f"storage.objects.{method}"} for method in methods]
    paths.server.set_faults(rules=rules)
    assert store.look(there(paths)) is None
    with pytest.raises(ObjectNotFound, match="Gone fishing"):
        store.copy(there(paths), copy_to(paths), if_source=generation, if_destination=0)
    with pytest.raises(ObjectNotFound, match="Gone fishing"):
        store.delete(there(paths), if_generation=generation)
    denied = {"method": "storage.objects.list", "count": None, "status": 403}
    paths.server.set_faults(rules=[*rules, denied])
    for ask in (
        lambda: store.look(there(paths)),
        lambda: store.copy(there(paths), copy_to(paths), if_source=generation, if_destination=0),
        lambda: store.delete(there(paths), if_generation=generation),
    ):
        with pytest.raises(PermissionDenied):
            ask()


def test_a_404_that_names_the_object_asks_nothing_else(paths: Paths, store: Store) -> None:
    """Listing needs a permission of its own."""
    paths.server.reset_stats()
    assert store.look(there(paths)) is None
    with pytest.raises(ObjectNotFound):
        store.copy(there(paths), copy_to(paths), if_source=1, if_destination=0)
    with pytest.raises(ObjectNotFound):
        store.delete(there(paths), if_generation=1)
    assert paths.requests("storage.objects.list") == 0


ANSWERS = [
    (401, "authError", PermissionDenied),
    (403, "forbidden", PermissionDenied),
    (403, "retentionPolicyNotMet", ObjectProtected),
    (403, "objectUnderActiveHold", ObjectProtected),
    (412, "conditionNotMet", ConditionFailed),
    (429, "rateLimitExceeded", Unavailable),
    (500, "internalError", Unavailable),
    (502, "backendError", Unavailable),
    (503, "backendError", Unavailable),
    (504, "gatewayTimeout", Unavailable),
    (400, "invalid", Refused),
    (409, "conflict", Unavailable),
]


@pytest.mark.parametrize(("status", "reason", "expected"), ANSWERS)
def test_an_answer_is_said_in_the_project_s_terms(
    paths: Paths, hasty: Store, status: int, reason: str, expected: type[StorageError]
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


@pytest.mark.parametrize(("status", "reason"), [answer[:2] for answer in ANSWERS if answer[0] != 401])
def test_both_say_an_answer_in_the_same_words(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, status: int, reason: str
) -> None:
    """A reader of the log need not know which of the two asked."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    paths.server.set_faults(
        rules=[{"count": None, "status": status, "reason": reason, "message": "its words"}]
    )
    said = set()
    for kind in KINDS:
        store = open_store(kind, paths.server.url, deadline=0.1)
        with pytest.raises(StorageError) as caught:
            store.copy(there(paths), copy_to(paths), if_source=1, if_destination=0)
        said.add(str(caught.value))
        store.close()
    assert len(said) == 1


@pytest.mark.parametrize("fault", ["reset_before", "reset_after", "truncate"])
def test_no_answer_is_unavailable(paths: Paths, hasty: Store, fault: str) -> None:
    """A dead connection or half an answer does not count as an answer."""
    paths.put("a")
    paths.server.set_faults(rules=[{"method": "storage.objects.get", "count": None, "status": fault}])
    with pytest.raises(Unavailable, match="no answer within the time allowed"):
        hasty.look(there(paths))


@pytest.mark.parametrize("fault", [408, 429, 500, 503, "reset_before", "truncate"])
def test_a_transient_fault_is_met_by_the_same_request_later(
    paths: Paths, store: Store, fault: int | str
) -> None:
    """Whatever is asked, a few of them are not noticed."""
    generation = paths.put("a")
    rules = [
        {"method": f"storage.objects.{method}", "count": 2, "status": fault}
        for method in ("get", "rewrite", "list")
    ]
    paths.server.set_faults(rules=rules if fault != "truncate" else [rules[0], rules[2]])
    assert store.copy(there(paths), copy_to(paths), if_source=generation, if_destination=0).size == 3
    assert store.look(copy_to(paths)) is not None
    assert len(list(store.list_pages(paths.migration.source.bucket, ""))) == 1


def test_a_listing_that_breaks_off_raises_after_the_pages_that_came(paths: Paths, hasty: Store) -> None:
    """It is never cut short silently."""
    paths.server.fill(paths.migration.source.bucket, 2_500, prefix="QPI_exports/")
    paths.server.set_faults(
        rules=[{"method": "storage.objects.list", "skip": 2, "count": None, "status": 503}]
    )
    pages = hasty.list_pages(paths.migration.source.bucket, "QPI_exports/")
    assert [len(next(pages).objects), len(next(pages).objects)] == [1_000, 1_000]
    with pytest.raises(Unavailable):
        next(pages)


def test_a_listing_gives_every_object_in_order_with_what_a_look_gives(paths: Paths, store: Store) -> None:
    """Listing and look read the same fields; a comparison of the two would differ otherwise."""
    for name in (names := [*NAMES, "é", "z#1", "A", "a/b", "", "0%?"]):
        paths.put(name, name.encode(), metadata={"k": "v"}, cache_control="no-store", content_language="fr")
    paths.bucket("source").blob("QPI_exports_old/x").upload_from_string(b"sibling")
    (page,) = store.list_pages(paths.migration.source.bucket, "QPI_exports/")
    in_order = sorted(names, key=lambda name: name.encode())
    assert [state.name for state in page.objects] == [f"QPI_exports/{name}" for name in in_order]
    for state in page.objects:
        assert state == store.look(ObjectRef(paths.migration.source.bucket, state.name))


def test_a_listing_can_be_bounded(paths: Paths, store: Store) -> None:
    """From start (inclusive) to end (exclusive), as complete names."""
    for name in ("a", "b &=%", "c", "d"):
        paths.put(name)
    bucket = paths.migration.source.bucket
    pages = store.list_pages(bucket, "QPI_exports/", start="QPI_exports/b &=%", end="QPI_exports/d")
    assert [state.name for page in pages for state in page.objects] == [
        "QPI_exports/b &=%",
        "QPI_exports/c",
    ]
    assert list(store.list_pages(bucket, "QPI_exports/", start="QPI_exports/e")) == []
    assert list(store.list_pages(bucket, "QPI_exports/e/")) == []


def test_nothing_is_asked_that_was_not_asked_for(paths: Paths, store: Store) -> None:
    """The official client's background look at the bucket would need a permission that no account here has."""
    paths.put("a")
    paths.server.reset_stats()
    state = store.look(there(paths))
    assert state is not None
    store.copy(there(paths), copy_to(paths), if_source=state.generation, if_destination=0)
    methods = {name: count["count"] for name, count in paths.server.stats()["methods"].items()}
    assert methods == {"storage.objects.get": 1, "storage.objects.rewrite": 1}


def test_a_copy_under_wrong_conditions_does_nothing(paths: Paths, store: Store) -> None:
    """Each of the two conditions alone stops it."""
    generation = paths.put("a", b"source")
    existing = paths.put("a", b"destination", side="destination")
    for if_source, if_destination in (
        (generation + 1, existing),
        (generation, existing + 1),
        (generation, 0),
    ):
        with pytest.raises(ConditionFailed):
            store.copy(there(paths), copy_to(paths), if_source=if_source, if_destination=if_destination)
    assert paths.read("a") == b"destination"
    copy = store.copy(there(paths), copy_to(paths), if_source=generation, if_destination=existing)
    source = store.look(there(paths))
    assert source is not None
    assert same(source, copy)
    assert copy == store.look(copy_to(paths))


def test_a_copy_whose_answer_is_lost_fails_its_own_condition(paths: Paths, store: Store) -> None:
    """It was made; the caller looks to find out."""
    generation = paths.put("a", b"source")
    paths.server.set_faults(
        rules=[{"method": "storage.objects.rewrite", "count": 1, "status": "reset_after"}]
    )
    with pytest.raises(ConditionFailed):
        store.copy(there(paths), copy_to(paths), if_source=generation, if_destination=0)
    assert paths.read("a") == b"source"


def test_a_copy_of_nothing_says_so(paths: Paths, store: Store) -> None:
    """The source object is gone."""
    with pytest.raises(ObjectNotFound):
        store.copy(there(paths), copy_to(paths), if_source=1, if_destination=0)


def test_a_copy_in_several_calls_is_one_copy(paths: Paths, store: Store) -> None:
    """Large or far copies take several; the last gives the object."""
    generation = paths.put("a", bytes(3 * MIB))
    paths.server.set_faults(max_rewrite_bytes_per_call=MIB)
    copy = store.copy(there(paths), copy_to(paths), if_source=generation, if_destination=0)
    assert copy.size == 3 * MIB
    assert paths.requests("storage.objects.rewrite") == 3


def test_a_piecewise_copy_whose_source_changes_half_way_is_given_up(paths: Paths, store: Store) -> None:
    """The conditions hold for every call, so no copy is made of two versions."""
    generation = paths.put("a", bytes(3 * MIB))
    paths.server.set_faults(max_rewrite_bytes_per_call=MIB, latency_ms=50)
    with ThreadPoolExecutor(1) as pool:
        copying = pool.submit(
            store.copy, there(paths), copy_to(paths), if_source=generation, if_destination=0
        )
        wait_until(
            lambda: paths.requests("storage.objects.rewrite"), lambda count: count >= 1, "the first part"
        )
        paths.put("a", b"newer")
        with pytest.raises((ConditionFailed, ObjectNotFound)):
            copying.result()
    assert store.look(copy_to(paths)) is None


def test_a_delete_is_conditional(paths: Paths, store: Store) -> None:
    """On the live generation; what is there since stays."""
    old = paths.put("a", b"one")
    new = paths.put("a", b"two")
    with pytest.raises(ConditionFailed):
        store.delete(there(paths), if_generation=old)
    assert paths.read("a", side="source") == b"two"
    store.delete(there(paths), if_generation=new)
    assert store.look(there(paths)) is None
    with pytest.raises(ObjectNotFound):
        store.delete(there(paths), if_generation=new)


def test_what_is_held_is_protected_and_no_missing_permission(paths: Paths, store: Store) -> None:
    """A hold or a retention policy is about the object, not about the account."""
    generation = paths.put("a")
    blob = paths.bucket("source").blob("QPI_exports/a")
    blob.temporary_hold = True
    blob.patch()
    with pytest.raises(ObjectProtected):
        store.delete(there(paths), if_generation=generation)
    assert store.look(there(paths)) is not None


def test_contents_come_with_the_generation_they_belong_to(paths: Paths, store: Store) -> None:
    """One request, so that no write can happen in between."""
    assert store.read_version(there(paths)) is None
    for contents in (b"one", b"", b"two"):
        generation = paths.put("a", contents)
        paths.server.reset_stats()
        assert store.read_version(there(paths)) == (generation, contents)
        assert paths.requests("storage.objects.download") == 1


def test_a_generation_and_its_contents_belong_together_during_other_writes(
    paths: Paths, store: Store
) -> None:
    """Otherwise a condition on the generation protects other contents."""
    written = {paths.put("a", b"0"): b"0"}
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(lambda: [store.read_version(there(paths)) for _ in range(60)])
        number = 0
        while not reading.done():
            number += 1
            written[paths.put("a", b"%d" % number)] = b"%d" % number
        found = reading.result()
    assert [version for version in found if version is None or written[version[0]] != version[1]] == []


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
    headers: dict[str, str], expected: type[StorageError], monkeypatch: pytest.MonkeyPatch, kind: str
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
        Thread(target=server.serve_forever).start()  # a client may ask again
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
        store = open_store(kind, f"http://127.0.0.1:{server.server_port}", deadline=0.2)
        with pytest.raises(expected):
            store.read_version(ObjectRef("bucket", "name"))
        store.close()
        server.shutdown()


def test_a_write_is_conditional(paths: Paths, store: Store) -> None:
    """Absent, then exactly the generation that was read."""
    store.write(there(paths), b"one", if_generation=0)
    with pytest.raises(ConditionFailed):
        store.write(there(paths), b"two", if_generation=0)
    first = store.read_version(there(paths))
    assert first is not None
    store.write(there(paths), b"two", if_generation=first[0])
    with pytest.raises(ConditionFailed):
        store.write(there(paths), b"three", if_generation=first[0])
    assert store.read(there(paths)) == b"two"


def test_a_write_whose_answer_is_lost_fails_its_own_condition(paths: Paths, store: Store) -> None:
    """It was written; who needs to know looks."""
    paths.server.set_faults(rules=[{"method": "storage.objects.insert", "count": 1, "status": "reset_after"}])
    with pytest.raises(ConditionFailed):
        store.write(there(paths), b"one", if_generation=0)
    assert store.read(there(paths)) == b"one"


def test_a_copy_like_its_source_names_the_class_and_has_all_metadata(paths: Paths, store: Store) -> None:
    """A body replaces all that a rewrite would carry, so it holds all of it; other metadata than was seen is a race."""
    carried = {"metadata": {"k": "v"}, "cache_control": "no-store", "content_language": "fr"}
    paths.put(
        "a", b"x", **carried, content_disposition="inline", custom_time=datetime(2024, 1, 1, tzinfo=UTC)
    )
    seen = paths.look("a", side="source")
    assert seen is not None
    wanted = seen._replace(storage_class="ARCHIVE")

    copy = store.copy(there(paths), copy_to(paths), if_source=seen.generation, if_destination=0, like=wanted)

    assert (copy.storage_class, copy.metadata) == ("ARCHIVE", seen.metadata)
    with pytest.raises(ConditionFailed):
        store.copy(
            there(paths),
            copy_to(paths),
            if_source=seen.generation,
            if_destination=copy.generation,
            like=wanted._replace(metageneration=7),
        )
