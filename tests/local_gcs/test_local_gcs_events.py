"""Events, received by a real HTTP server."""

import base64
import json
from collections import Counter
from collections.abc import Iterator

import pytest
from local_gcs_lab import Http, Subscriber
from requests import Session

import local_gcs
from local_gcs.events import DeliveryRetries

TYPE = "google.cloud.storage.object.v1."


@pytest.fixture(autouse=True)
def _unsubscribed(server: local_gcs.LocalServer, http: Http) -> Iterator[None]:
    yield
    http.ask("DELETE", "/_local/subscribers")
    http.ask("DELETE", "/_local/dead-letters")


def test_binary_cloudevent(
    http: Http, bucket: str, server: local_gcs.LocalServer, subscriber: Subscriber
) -> None:
    """An event is a CloudEvent in binary mode whose body is the object resource."""
    server.add_subscriber(subscriber.url)
    stored = http.put(bucket, 'd/é "%b').json()
    server.wait_for_events()
    [(headers, body)] = subscriber.seen
    assert body == stored
    assert (type(body["generation"]), type(body["size"])) == (str, str)
    assert {name: text for name, text in headers.items() if name.startswith("ce-") and name != "ce-id"} == {
        "ce-specversion": "1.0",
        "ce-type": TYPE + "finalized",
        "ce-source": f"//storage.googleapis.com/projects/_/buckets/{bucket}",
        "ce-subject": "objects/d/%C3%A9%20%22%25b",
        "ce-time": stored["timeCreated"],
        "ce-bucket": bucket,
    }
    assert headers["content-type"] == "application/json"
    assert headers["ce-id"].isdigit()


@pytest.mark.parametrize("name", ["a", "ends in a space ", "tab\t", "é"])
@pytest.mark.parametrize("form", ["push", "mixed", "notification"])
def test_an_event_in_another_form(
    http: Http, bucket: str, server: local_gcs.LocalServer, subscriber: Subscriber, *, form: str, name: str
) -> None:
    """A raw push has the exact name in an attribute, and the resource as its data."""
    server.add_subscriber(subscriber.url, form=form)
    stored = http.put(bucket, name).json()
    server.wait_for_events()
    [(headers, body)] = subscriber.seen
    if (form, name) == ("mixed", "a"):
        assert (body, headers["ce-subject"]) == (stored, "objects/a")
        return
    assert not [key for key in headers if key.lower().startswith("ce-")]
    message = body["message"]
    assert json.loads(base64.b64decode(message["data"])) == stored
    assert message["messageId"].isdigit()
    attributes = message["attributes"]
    if form == "notification":
        assert (attributes["eventType"], attributes["bucketId"]) == ("OBJECT_FINALIZE", bucket)
        assert (attributes["objectId"], attributes["objectGeneration"]) == (name, stored["generation"])
    else:
        assert (attributes["ce-type"], attributes["ce-subject"]) == (TYPE + "finalized", f"objects/{name}")


def test_a_subscriber_of_an_unknown_form_is_refused(http: Http, subscriber: Subscriber) -> None:
    """A misspelt form would test nothing."""
    wanted = {"url": subscriber.url, "form": "pigeon"}
    assert http.ask("POST", "/_local/subscribers", json=wanted).status_code == 400


def test_filters(
    http: Http, bucket: str, other: str, server: local_gcs.LocalServer, subscriber: Subscriber
) -> None:
    """A subscriber hears of the types and the bucket it asked for, and of nothing any more once removed."""
    identifier = server.add_subscriber(subscriber.url, types=["finalized", "metadataUpdated"], bucket=bucket)
    http.put(other, "a")
    http.put(bucket, "a")
    http.put(bucket, "a")
    http.ask("PATCH", f"/storage/v1/b/{bucket}/o/a", json={"contentType": "text/x"})
    http.object("DELETE", bucket, "a")
    server.wait_for_events()
    seen = Counter(
        (headers["ce-bucket"], headers["ce-type"].removeprefix(TYPE)) for headers, _ in subscriber.seen
    )
    assert seen == {(bucket, "finalized"): 2, (bucket, "metadataUpdated"): 1}
    server.remove_subscriber(identifier)
    http.put(bucket, "b")
    assert server.events()["pending"] == 0
    assert len(subscriber.seen) == 3


def test_rewrite_tells_the_destination(
    http: Http, bucket: str, other: str, server: local_gcs.LocalServer, subscriber: Subscriber
) -> None:
    """A copy is news of its destination; a copy that a condition stopped is no news."""
    http.put(bucket, "a")
    server.add_subscriber(subscriber.url)
    http.rewrite((bucket, "a"), (other, "b"), ifGenerationMatch=0)
    http.rewrite((bucket, "a"), (other, "b"), ifGenerationMatch=0)
    server.wait_for_events()
    assert [(headers["ce-bucket"], body["name"]) for headers, body in subscriber.seen] == [(other, "b")]


def test_failures_are_redelivered(
    http: Http, bucket: str, server: local_gcs.LocalServer, subscriber: Subscriber
) -> None:
    """An error status or a hang-up brings the same event again, with the same id and body."""
    server.add_subscriber(subscriber.url)
    before = server.events()
    subscriber.answers = [500, 0]
    http.put(bucket, "a")
    after = server.wait_for_events()
    assert len(subscriber.seen) == 3
    assert len(set(subscriber.identifiers)) == 1
    assert subscriber.seen[0][1] == subscriber.seen[2][1]
    assert (after["delivered"] - before["delivered"], after["failed"] - before["failed"]) == (1, 2)


def test_dead_letters_and_replay(
    http: Http, bucket: str, server: local_gcs.LocalServer, subscriber: Subscriber
) -> None:
    """After its last attempt an event is kept as a dead letter, and a replay delivers it with its old id."""
    server.add_subscriber(subscriber.url)
    subscriber.answers = [503] * 3
    stored = http.put(bucket, "a").json()
    server.wait_for_events()
    [letter] = server.dead_letters()
    assert (letter["attempts"], letter["error"], letter["body"]) == (3, "status 503", stored)
    assert server.replay_dead_letters() == 1
    server.wait_for_events()
    assert server.dead_letters() == []
    assert len(subscriber.seen) == 4
    assert set(subscriber.identifiers) == {letter["headers"]["ce-id"]}


def test_unreachable_subscriber(http: Http, bucket: str, server: local_gcs.LocalServer) -> None:
    """Nobody listening is a failure like any other."""
    server.add_subscriber("http://127.0.0.1:9/")
    http.put(bucket, "a")
    server.wait_for_events()
    [letter] = server.dead_letters()
    assert "ClientConnectorError" in letter["error"]
    assert http.ask("DELETE", "/_local/dead-letters").json() == {"forgotten": 1}


def test_pauses_double() -> None:
    """Pauses double from the first to the longest."""
    policy = DeliveryRetries(first_pause=0.1, longest_pause=1.0)
    assert [policy.pause(failed) for failed in (1, 2, 3, 4, 5, 1000)] == [0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


def test_duplicates(http: Http, bucket: str, server: local_gcs.LocalServer, subscriber: Subscriber) -> None:
    """A duplicated event comes again with the same id."""
    server.add_subscriber(subscriber.url)
    server.set_faults(events={"duplicate": 2})
    for name in "abc":
        http.put(bucket, name)
    server.wait_for_events()
    assert sorted(Counter(subscriber.identifiers).values()) == [3, 3, 3]
    assert Counter(subscriber.names) == {"a": 3, "b": 3, "c": 3}


def test_drops(http: Http, bucket: str, server: local_gcs.LocalServer, subscriber: Subscriber) -> None:
    """A dropped event never comes, and is counted."""
    server.add_subscriber(subscriber.url)
    before = server.events()["dropped"]
    server.set_faults(seed=1, events={"drop": 0.5})
    for number in range(40):
        http.put(bucket, f"n{number}")
    server.wait_for_events()
    dropped = server.events()["dropped"] - before
    assert 5 < dropped < 35
    assert len(subscriber.seen) == 40 - dropped


@pytest.mark.parametrize("faults", [{"reorder": True}, {"delay_ms": 50}])
def test_disorder(
    http: Http, bucket: str, server: local_gcs.LocalServer, subscriber: Subscriber, faults: dict[str, object]
) -> None:
    """Reordered or delayed events all come, but not in the order of what happened."""
    server.add_subscriber(subscriber.url, concurrency=1)
    server.set_faults(events=faults)
    names = [f"n{number:02}" for number in range(40)]
    for name in names:
        http.put(bucket, name)
    server.wait_for_events()
    assert sorted(subscriber.names) == names
    assert subscriber.names != names


def test_order_without_faults(
    http: Http, bucket: str, server: local_gcs.LocalServer, subscriber: Subscriber
) -> None:
    """One delivery at a time and no faults: events come as things happened."""
    server.add_subscriber(subscriber.url, concurrency=1)
    names = [f"n{number:02}" for number in range(30)]
    for name in names:
        http.put(bucket, name)
    server.wait_for_events()
    assert subscriber.names == names


def test_subscribers_from_the_command_line(subscriber: Subscriber) -> None:
    """``--events`` subscribes to everything from the first moment."""
    with local_gcs.running(
        buckets=["bucket"], events=[subscriber.url], faults={"events": {"duplicate": 1}}
    ) as own:
        own.fill("bucket", 5)
        with Session() as session:
            Http(own.url, session).put("bucket", "a")
        own.wait_for_events()
    assert subscriber.names == ["a", "a"]


def test_waiting_gives_up(
    http: Http, bucket: str, server: local_gcs.LocalServer, subscriber: Subscriber
) -> None:
    """Waiting for quiet ends with an error if it never comes."""
    server.add_subscriber(subscriber.url)
    server.set_faults(events={"delay_ms": 3_600_000}, seed=2)
    http.put(bucket, "a")
    with pytest.raises(TimeoutError, match="still pending"):
        server.wait_for_events(still=0.05)


@pytest.mark.parametrize(
    "wanted",
    [{}, {"url": "ftp://x"}, {"url": "http://x", "types": ["created"]}, {"url": "http://x", "kind": "x"}],
)
def test_misspelt_subscribers(http: Http, wanted: dict[str, object]) -> None:
    """A subscription that is not understood is refused."""
    assert http.ask("POST", "/_local/subscribers", json=wanted).status_code == 400
