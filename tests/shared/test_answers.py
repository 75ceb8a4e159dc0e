"""What an answer means, for both clients: permanence follows from the reason, and only a failed precondition is a race."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testing_http import HASTY, serving_requests
from testing_paths import Paths
from testing_stores import FastStore, Store, open_store

from shared.answers import MEANINGS, error_for, is_transient, said_by
from shared.errors import (
    Cause,
    ConditionFailed,
    ObjectProtected,
    PermissionDenied,
    Refused,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
)
from shared.gateway import Gateway
from shared.gcs import api as gcs_api
from shared.gcs.api import AsyncApi, Pacing
from shared.migration import Location
from shared.objects import ObjectRef
from shared.phase import Phase
from shared.record import update
from shared.state_changes import Stamp, with_phase

ROWS: list[tuple[int, str, str, type[StorageError], Cause]] = [
    (400, "invalid", "Cloud KMS key is disabled", Refused, Cause.KEY),
    (403, "forbidden", "Permission denied on Cloud KMS key. Please ensure …", Refused, Cause.KEY),
    (400, "cloudKmsDisabledKey", "The key is disabled", Refused, Cause.KEY),
    (
        400,
        "required",
        "Bucket is a requester pays bucket but no user project provided",
        PermissionDenied,
        Cause.PAYER,
    ),
    (400, "userProjectMissing", "no user project", PermissionDenied, Cause.PAYER),
    (403, "userProjectAccountProblem", "The billing account is disabled", PermissionDenied, Cause.BILLING),
    (409, "conflict", "The request conflicts with another", Unavailable, Cause.CONFLICT),
    (409, "anythingElse", "odd", Unavailable, Cause.CONFLICT),
    (
        403,
        "forbidden",
        "Object is under active Temporary hold and cannot be deleted, overwritten",
        ObjectProtected,
        Cause.HOLD,
    ),
    (403, "forbidden", "Object 'b/o' is under active Event-Based hold and …", ObjectProtected, Cause.HOLD),
    (
        403,
        "retentionPolicyNotMet",
        "Object is subject to bucket retention policy",
        ObjectProtected,
        Cause.RETENTION,
    ),
    (403, "forbidden", "The account lacks it", PermissionDenied, Cause.PERMISSION),
    (
        403,
        "forbidden",
        "Request is prohibited by organization's policy",
        PermissionDenied,
        Cause.ORGANIZATION,
    ),
    (403, "rateLimitExceeded", "too fast", Unavailable, Cause.NO_ANSWER),
    (403, "usageLimits.userRateLimitExceeded", "too fast", Unavailable, Cause.NO_ANSWER),
    (403, "quotaExceeded", "Bandwidth exceeds the quota", Refused, Cause.REFUSED),
    (403, "countryBlocked", "access from this country is restricted", Refused, Cause.REFUSED),
    (403, "accessNotConfigured", "Access Not Configured.", Refused, Cause.REFUSED),
    (403, "forbidden", "Cloud Storage API has not been used in project 1 before", Refused, Cause.REFUSED),
    (403, "accountDisabled", "The account is disabled", PermissionDenied, Cause.BILLING),
    (403, "forbidden", "The billing account for the owning project is …", PermissionDenied, Cause.BILLING),
    (403, "orgPolicyConstraintFailed", "Constraint x violated", PermissionDenied, Cause.ORGANIZATION),
    (403, "insufficientPermissions", "Insufficient Permission", PermissionDenied, Cause.PERMISSION),
    (403, "objectUnderActiveHold", "It is held", ObjectProtected, Cause.HOLD),
    (400, "invalid", "User project specified in the request is invalid.", PermissionDenied, Cause.PAYER),
    (400, "invalid", "Invalid argument.", Refused, Cause.REFUSED),
    (405, "methodNotAllowed", "Not this method", Refused, Cause.REFUSED),
    (408, "uploadBrokenConnection", "It broke", Unavailable, Cause.NO_ANSWER),
    (411, "lengthRequired", "No length", Refused, Cause.REFUSED),
    (413, "uploadTooLarge", "Too large", Refused, Cause.REFUSED),
    (416, "requestedRangeNotSatisfiable", "Not in this range", Refused, Cause.REFUSED),
    (499, "clientClosedRequest", "The client gave it up", Refused, Cause.REFUSED),
    (500, "backendError", "Backend Error", Unavailable, Cause.NO_ANSWER),
    (504, "gatewayTimeout", "Gateway Timeout", Unavailable, Cause.NO_ANSWER),
    (
        412,
        "orgPolicyConstraintFailed",
        "Constraint constraints/gcp.restrictTLSVersion violated",
        Refused,
        Cause.ORGANIZATION,
    ),
    (412, "softDeletePolicyNotSet", "soft delete policy is required", Refused, Cause.SOFT_DELETE),
    (412, "neverHeardOf", "in its own words", Refused, Cause.REFUSED),
    (412, "conditionNotMet", "At least one of the pre-conditions …", ConditionFailed, Cause.CHANGED),
    (501, "notImplemented", "Not implemented", Refused, Cause.REFUSED),
    (429, "rateLimitExceeded", "The rate is too high", Unavailable, Cause.NO_ANSWER),
    (
        429,
        "rateLimitExceeded",
        "The object b/o exceeded the rate limit for object mutation operations (create, update, …",
        Unavailable,
        Cause.OBJECT_RATE,
    ),
    (404, "notFound", "Cloud KMS key projects/p/keyRings/r/cryptoKeys/k not found", Refused, Cause.REFUSED),
    (404, "notFound", "The requested project was not found.", Refused, Cause.REFUSED),
    (418, "teapot", "short and stout", Refused, Cause.REFUSED),
    (410, "gone", "It is gone", Refused, Cause.REFUSED),
]
"""An answer's status, reason and message; what it means, and why."""

SOURCE, DESTINATION = "QPI_exports/a", "qpi_exports/a"


@pytest.fixture(params=["gateway", "fast"])
def hasty(request: pytest.FixtureRequest, paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    store = open_store(request.param, paths.server.url, deadline=0.1)
    yield store
    store.close()


@pytest.mark.parametrize("row", ROWS, ids=[f"{row[0]}-{row[1]}" for row in ROWS])
def test_both_clients_read_every_row(
    paths: Paths, hasty: Store, row: tuple[int, str, str, type[StorageError], Cause]
) -> None:
    """For a copy, and for a deletion: the fast client deletes by the parts of a batch."""
    status, reason, message, error, cause = row
    generation = paths.put("a")
    refused = {"count": None, "status": status, "reason": reason, "message": message}
    methods = ("storage.objects.rewrite", "storage.objects.delete")
    paths.server.set_faults(rules=[{**refused, "method": method} for method in methods])
    source = ObjectRef(paths.migration.source.bucket, SOURCE)
    asked = (
        lambda: hasty.copy(
            source,
            ObjectRef(paths.migration.destination.bucket, DESTINATION),
            if_source=generation,
            if_destination=0,
        ),
        lambda: hasty.delete(source, if_generation=generation),
    )
    for ask in asked:
        with pytest.raises(StorageError) as caught:
            ask()
        assert (type(caught.value), caught.value.cause) == (error, cause)
        assert caught.value.transient is (error is Unavailable)
        assert message in str(caught.value) or error is ConditionFailed
        assert "\n" not in str(caught.value)


def test_a_refusal_is_not_asked_for_again(paths: Paths, hasty: Store) -> None:
    """501: the service did nothing, and would do nothing the next time."""
    rule = {"method": "storage.objects.rewrite", "count": None, "status": 501, "reason": "notImplemented"}
    paths.server.set_faults(rules=[rule])
    paths.server.reset_stats()
    with pytest.raises(Refused):
        hasty.copy(
            ObjectRef(paths.migration.source.bucket, SOURCE),
            ObjectRef(paths.migration.destination.bucket, DESTINATION),
            if_source=1,
            if_destination=0,
        )
    assert paths.requests("storage.objects.rewrite") == 1


RACE = "At least one of the pre-conditions you specified did not hold."
BODIES = [
    (f"<Error><Code>PreconditionFailed</Code><Message>{RACE}</Message></Error>", ConditionFailed),
    (
        "<?xml version='1.0'?><Error><Code>OrgPolicyConstraintFailed</Code><Message>Constraint x</Message></Error>",
        Refused,
    ),
    (RACE, ConditionFailed),
    (json.dumps({"error": {"code": 412, "status": "FAILED_PRECONDITION", "message": RACE}}), ConditionFailed),
    ('{"error": {"code": 412, "status": "FAILED_PRECONDITION", "message": "soft delete is off"}}', Refused),
    ('{"error": {"code": 412, "errors": [], "message": "something else"}}', Refused),
    ('{"error": "text"}', UnexpectedAnswer),
    ("[]", Refused),
    ("null", Refused),
    ("", Refused),
    ("Precondition Failed", Refused),
]


@pytest.mark.parametrize(("body", "error"), BODIES)
def test_a_412_is_a_race_only_if_its_body_says_so(
    paths: Paths, hasty: Store, body: str, error: type[StorageError]
) -> None:
    """In JSON of either form, in XML, and as text. A refusal is quoted."""
    generation = paths.put("a")
    paths.server.set_faults(
        rules=[{"method": "storage.objects.rewrite", "count": None, "status": 412, "body": body}]
    )
    with pytest.raises(StorageError) as caught:
        hasty.copy(
            ObjectRef(paths.migration.source.bucket, SOURCE),
            ObjectRef(paths.migration.destination.bucket, DESTINATION),
            if_source=generation,
            if_destination=0,
        )
    # The official client fails at a body that it does not know, and does not say with which status.
    assert type(caught.value) in {error, Refused if error is UnexpectedAnswer else error}


PAGE = "<!DOCTYPE html>\n<html><title>{0}</title>\n<p>No such object, says the proxy.</html>"


@pytest.mark.parametrize(
    ("status", "error", "cause"),
    [
        *((status, UnexpectedAnswer, Cause.ODD_ANSWER) for status in (400, 403, 404, 407, 412, 413)),
        *((status, Unavailable, Cause.NO_ANSWER) for status in (408, 429, 500, 502, 503, 504)),
        (409, Unavailable, Cause.CONFLICT),
    ],
)
def test_a_page_of_a_proxy_says_nothing_of_the_object(
    paths: Paths, hasty: Store, status: int, error: type[StorageError], cause: Cause
) -> None:
    """Not that it is absent, and not that the account lacks a permission. It is quoted on one line."""
    generation = paths.put("a")
    source = ObjectRef(paths.migration.source.bucket, SOURCE)
    methods = ("get", "list", "rewrite", "delete")
    paths.server.set_faults(
        rules=[
            {
                "method": f"storage.objects.{method}",
                "count": None,
                "status": status,
                "body": PAGE.format(status),
            }
            for method in methods
        ]
    )
    destination = ObjectRef(paths.migration.destination.bucket, DESTINATION)
    for ask in (
        lambda: hasty.look(source),
        lambda: list(hasty.list_pages(source.bucket, "")),
        lambda: hasty.copy(source, destination, if_source=generation, if_destination=0),
        lambda: hasty.delete(source, if_generation=generation),
    ):
        with pytest.raises(StorageError) as caught:
            ask()
        assert (type(caught.value), caught.value.cause) == (error, cause)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "body", ["{}", '{"done": true}', "[]", "null", '"text"', '{"done": true, "resource": {}}']
)
def test_a_success_without_what_it_should_hold_is_one_clear_line(
    paths: Paths, hasty: Store, body: str
) -> None:
    """The official client reads bodies without a check, and would end in a traceback."""
    rule = {"method": "storage.objects.rewrite", "count": None, "status": 200, "body": body}
    look = {"method": "storage.objects.get", "count": None, "status": 200, "body": body}
    paths.server.set_faults(rules=[rule, look])
    source = ObjectRef(paths.migration.source.bucket, SOURCE)
    with pytest.raises(StorageError) as caught:
        hasty.copy(
            source, ObjectRef(paths.migration.destination.bucket, DESTINATION), if_source=1, if_destination=0
        )
    assert isinstance(caught.value, UnexpectedAnswer | Unavailable)
    assert "\n" not in str(caught.value)
    with pytest.raises(StorageError):
        hasty.look(source)


@pytest.mark.parametrize(
    ("reason", "message"),
    [("orgPolicyConstraintFailed", "Constraint x violated"), ("somethingNew", "in its own words")],
)
def test_a_refused_write_of_the_state_is_said_in_its_own_words(
    paths: Paths, gateway: Gateway, reason: str, message: str
) -> None:
    """A 412 of another kind does not mean that somebody else changed or deleted the state."""
    paths.server.set_faults(
        rules=[
            {
                "method": "storage.objects.insert",
                "count": None,
                "status": 412,
                "reason": reason,
                "message": message,
            }
        ]
    )
    stamp = Stamp("change-1", "me", datetime(2026, 11, 28, tzinfo=UTC))
    with pytest.raises(Refused, match=message):
        update(gateway, paths.migration, lambda state: with_phase(state, Phase.CUT_OVER, stamp))


def test_the_limit_of_one_object_s_name_does_not_slow_the_others(paths: Paths) -> None:
    """Neither as the answer to one request, nor in a batch. A throttling of the bucket does."""
    told: list[int] = []
    pacing = Pacing(throttled=told.append)
    store = FastStore(paths.server.url, deadline=0.0, initial=0.01)
    source = ObjectRef(paths.migration.source.bucket, SOURCE)

    def throttle(message: str) -> None:
        rule = {"count": None, "status": 429, "message": message}
        paths.server.set_faults(
            rules=[{**rule, "method": f"storage.objects.{verb}"} for verb in ("rewrite", "delete")]
        )
        with pytest.raises(Unavailable):
            store.run(lambda api: api.rewrite(source, source, if_source=1, if_destination=0, pacing=pacing))
        store.run(lambda api: api.delete_batch(Location(source.bucket, ""), [(SOURCE, 1)] * 2, pacing))

    throttle("The object b/o exceeded the rate limit for object mutation operations (create, …")
    assert told == []
    throttle("The rate of requests is too high.")
    assert told == [1, 2]
    store.close()


def test_every_row_has_its_source_and_its_fix() -> None:
    """A row without a source is a guess; a failure without a next step leaves an operator alone."""
    assert all(row.source for row in MEANINGS)
    assert all(cause.fix or cause.again for cause in Cause)
    assert not any(cause.fix and cause.again for cause in Cause)


def test_what_a_status_alone_says() -> None:
    """The clients repeat these."""
    assert [status for status in range(400, 600) if is_transient(status)] == [
        408,
        409,
        429,
        500,
        *range(502, 600),
    ]
    assert type(error_for(302, [], "elsewhere", "gs://b/o")) is UnexpectedAnswer


def test_the_words_of_an_answer_are_found_in_every_form() -> None:
    """A body that is not one of Google's is quoted in part."""
    assert said_by(json.dumps({"error": {"errors": [{"reason": "r", "message": "m"}]}}).encode()) == (
        "m",
        ["r"],
    )
    assert said_by(b"<Error><Code>A</Code><Message>m</Message></Error>") == ("m", ["A"])
    assert said_by(b"\xff" * 300)[1] == []
    assert said_by(b"[" * 100_000)[1] == []


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["error", "errors", "message", "reason"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(
    JSON_VALUES.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=300), st.integers(300, 599)
)
def test_whatever_the_body_is_the_answer_is_one_of_our_errors(body: bytes, status: int) -> None:
    """No body ends in a traceback, and none but the words of a failed precondition makes a 412 a race."""
    message, reasons = said_by(body)
    error = error_for(status, reasons, message, "gs://b/o")
    assert isinstance(error, StorageError)
    assert error.transient is (type(error) is Unavailable)
    if type(error) is ConditionFailed:
        assert b"onditionNotMet" in body or b"reconditionFailed" in body or RACE.encode()[-30:] in body


HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"


def dripping(whole: bytes, stop: threading.Event) -> Iterator[str]:
    """A server whose answers come byte by byte; gives its address."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(0.05)

    def drip(line: socket.socket) -> None:
        with line, suppress(OSError):
            line.recv(65536)
            line.sendall(whole)
            while not stop.wait(0.01):
                line.sendall(b" ")

    def serve() -> None:
        while not stop.is_set():
            with suppress(TimeoutError):
                line, _ = listener.accept()
                threading.Thread(target=drip, args=(line,)).start()

    server = threading.Thread(target=serve)
    server.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    stop.set()
    server.join()
    listener.close()


@pytest.mark.parametrize("whole", [b"HTTP/1.1 200 OK\r\nX: ", HEAD], ids=["headers", "body"])
@pytest.mark.parametrize("kind", ["gateway", "fast"])
def test_an_answer_that_drips_has_one_deadline(
    kind: str, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time, and the answer never does. Without a deadline for the whole this test would not end."""
    at = ObjectRef("b", "o")
    with contextmanager(dripping)(whole, threading.Event()) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        if kind == "gateway":
            gateway = Gateway(retry_deadline=0.1, retry_initial=0.01, request_timeout=0.3)
            with closing(gateway), pytest.raises(Unavailable):
                gateway.look(at)
            return

        async def look() -> None:
            async with AsyncApi(endpoint=url, timeout=0.3, retry=HASTY) as api:
                await api.look(at)

        with pytest.raises(Unavailable, match=r"no answer within 0\.3 s"):
            asyncio.run(look())


def test_a_large_answer_has_the_time_that_it_needs(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes moves the deadline; nothing is cut."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    data = bytes(range(256)) * 4 * 1024 * 8
    paths.put("large", data)
    with closing(Gateway(request_timeout=30.0)) as gateway:
        assert gateway.read(ObjectRef(paths.migration.source.bucket, "QPI_exports/large")) == data


def test_both_clients_name_the_project_that_pays_in_every_request(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every verb of each, the parts of a batch included, at a bucket that refuses requests without one."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    source, destination = (
        ObjectRef(side.bucket, side.prefix + "a")
        for side in (paths.migration.source, paths.migration.destination)
    )
    generation = paths.put("a", b"0123")
    for at in (source, destination):
        bucket = paths.client.bucket(at.bucket)
        bucket.requester_pays = True
        bucket.patch()
    with (
        closing(Gateway(retry_deadline=0.1)) as without,
        pytest.raises(PermissionDenied, match="--billing-project"),
    ):
        without.look(source)
    with closing(Gateway(retry_deadline=0.1, billing_project="who-pays")) as gateway:
        assert gateway.look(source) is not None
        made = gateway.copy(source, destination, if_source=generation, if_destination=0)
        assert [len(page.objects) for page in gateway.list_pages(source.bucket, "")] == [1]
        assert gateway.check_bucket(source.bucket, "")
        assert gateway.read(source) == b"0123"
        gateway.put(ObjectRef(source.bucket, "report"), b"{}")
        gateway.write(ObjectRef(source.bucket, "state"), b"{}", if_generation=0)
        with gateway.writing(ObjectRef(source.bucket, "long"), content_type="text/plain") as write:
            write(b"x")
        gateway.permitted(source.bucket, "", ["storage.objects.list"])
        gateway.permitted(source.bucket, source.name, ["storage.objects.get"])
        assert gateway.bucket_resource(source.bucket)["name"] == source.bucket
        gateway.delete(destination, if_generation=made.generation)

    async def ask() -> None:
        async with AsyncApi(endpoint=paths.server.url, retry=HASTY, billing_project="who-pays") as api:
            assert await api.look(source) is not None
            copy = await api.copy(source, destination, if_source=generation, if_destination=0)
            assert await api.read_range(source, generation, first=1, size=2) == b"12"
            assert (await api.list_page(source.bucket, "", "items(name)"))["items"]
            assert (await api.bucket(source.bucket, "name"))["name"] == source.bucket
            place = Location(destination.bucket, "")
            (part,) = await api.delete_batch(place, [(destination.name, copy.generation)])
            assert part.error is None
            assert (await api.restore(destination, copy.generation)).size == 4

    asyncio.run(ask())


RESOURCE = {
    "kind": "storage#object",
    "name": SOURCE,
    "generation": "5",
    "size": "3",
    "crc32c": "AAAAAA==",
    "timeCreated": "2026-11-20T10:00:00Z",
}
ERROR = {"error": {"code": 503, "message": "try later", "errors": [{"reason": "backendError"}]}}
NO_LISTINGS = [
    ERROR,
    RESOURCE,
    {"items": None},
    {"items": {}},
    {"items": [RESOURCE], "nextPageToken": 5},
    {"kind": "storage#objects", "items": "none"},
    {"done": False},
]
NO_OBJECTS = [
    {},
    ERROR,
    {**RESOURCE, "name": "QPI_exports/another"},
    {**RESOURCE, "generation": "0"},
    {**RESOURCE, "generation": "-5"},
    {**RESOURCE, "size": "-1"},
    {**RESOURCE, "size": 3.5},
]


@pytest.fixture(params=["gateway", "fast"])
def told(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Store, list[str]]]:
    """A client, and the one answer that it gets to everything."""
    body: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            data = body[0].encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = _answer  # noqa: N815 -- the names are the server's

        def log_message(self, *_: object) -> None:
            pass

    with serving_requests(Handler) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        store = open_store(request.param, url, deadline=0.05)
        yield store, body
        store.close()


@pytest.mark.parametrize("content", NO_LISTINGS, ids=json.dumps)
def test_a_success_that_is_no_listing_is_not_an_empty_one(
    told: tuple[Store, list[str]], content: dict[str, object]
) -> None:
    """A listing error that is read as "nothing there" is how the last migration went wrong."""
    store, body = told
    body.append(json.dumps(content))
    with pytest.raises((UnexpectedAnswer, Unavailable)):
        list(store.list_pages("bucket-one", "QPI_exports/"))


@pytest.mark.parametrize("content", NO_OBJECTS, ids=json.dumps)
def test_a_success_that_is_not_about_the_object_is_none(
    told: tuple[Store, list[str]], content: dict[str, object]
) -> None:
    """Of a look, of a copy and of a write; generation 0 would mean "absent" in the next condition."""
    store, body = told
    at = ObjectRef("bucket-one", SOURCE)
    body.append(json.dumps(content))
    for ask in (lambda: store.look(at), lambda: store.write(at, b"{}", if_generation=0)):
        with pytest.raises(UnexpectedAnswer):
            ask()
    body[0] = json.dumps({"done": True, "totalBytesRewritten": "3", "objectSize": "3", "resource": content})
    with pytest.raises(UnexpectedAnswer):
        store.copy(ObjectRef("bucket-two", "x"), at, if_source=1, if_destination=0)


def test_a_listing_that_names_what_lies_elsewhere_is_refused(told: tuple[Store, list[str]]) -> None:
    """Its names would be cut at the wrong place."""
    store, body = told
    body.append(json.dumps({"items": [{**RESOURCE, "name": "elsewhere/a"}]}))
    with pytest.raises(UnexpectedAnswer):
        list(store.list_pages("bucket-one", "QPI_exports/"))


@pytest.mark.parametrize("page", ["<!-- a proxy --><html>", "<?xml version='1.0'?>\n<!DOCTYPE html><html>"])
def test_a_page_with_something_before_it_is_a_page(page: str) -> None:
    """A 404 of it is not an absent object."""
    assert type(error_for(404, [], f"{page}No such object</html>", "gs://b/o")) is UnexpectedAnswer


@pytest.mark.parametrize(
    ("status", "body", "deleted"), [(204, b"", True), (200, b"", True), (200, b"<html>", False)]
)
def test_a_part_of_a_batch_that_has_contents_is_no_deletion(status: int, body: bytes, deleted: bool) -> None:
    """A deletion answers with nothing. What has contents may or may not have deleted."""
    part = gcs_api._part_answer((status, body), "gs://b/o")
    assert (part.error is None, part.status) == (deleted, status if deleted else 0)
