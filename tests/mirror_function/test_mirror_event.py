"""Reading events: by key, not strictly, and never a guess."""

import base64
import contextlib
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_function.event import MESSAGE_TYPE, EventKind, object_named, read_event, unwrapped
from shared.errors import UsageError
from shared.objects import differences

NOW = datetime(2025, 11, 22, 9, tzinfo=UTC)
ATTRIBUTES = {
    "id": "123451234512345",
    "type": "google.cloud.storage.object.v1.finalized",
    "source": "//storage.googleapis.com/projects/_/buckets/src-bucket",
    "subject": "objects/not%20this.txt",
    "time": "2025-11-22T08:26:40.123Z",
}
DATA = {
    "kind": "storage#object",
    "name": "a/b ü#.txt",
    "bucket": "src-bucket",
    "generation": "1763800000123456",
    "metageneration": "1",
    "size": "352",
    "crc32c": "rTVTeQ==",
    "timeFinalized": "2025-11-22T08:26:40.123Z",
    "selfLink": "https://example.invalid/x",
}


@pytest.mark.parametrize("kind", EventKind)
def test_an_event_says_what_happened_to_which_version(kind: EventKind) -> None:
    """Unknown fields are not an error; live events have more than the published schema."""
    event = read_event({**ATTRIBUTES, "type": f"google.cloud.storage.object.v1.{kind.value}"}, DATA, NOW)
    assert (event.kind, event.id, event.bucket) == (kind, "123451234512345", "src-bucket")
    assert (event.state.generation, event.state.size) == (1763800000123456, 352)


def test_the_name_comes_from_the_body_only() -> None:
    """Headers are not percent-decoded reliably on the way."""
    assert read_event(ATTRIBUTES, DATA, NOW).state.name == "a/b ü#.txt"


def test_integers_may_be_numbers() -> None:
    """Google's own samples hold both."""
    event = read_event(ATTRIBUTES, {**DATA, "generation": 17, "size": 0}, NOW)
    assert (event.state.generation, event.state.size) == (17, 0)


@pytest.mark.parametrize(
    ("attributes", "data"),
    [
        (ATTRIBUTES, None),
        (ATTRIBUTES, b"\x00\x01"),
        (ATTRIBUTES, "text"),
        (ATTRIBUTES, []),
        (ATTRIBUTES, {}),
        (ATTRIBUTES, {**DATA, "name": ""}),
        (ATTRIBUTES, {**DATA, "bucket": None}),
        (ATTRIBUTES, {**DATA, "generation": "newest"}),
        (ATTRIBUTES, {**DATA, "generation": float("inf")}),
        (ATTRIBUTES, {**DATA, "generation": 0}),
        (ATTRIBUTES, {**DATA, "size": None}),
        (ATTRIBUTES, {**DATA, "metadata": ["no", "mapping"]}),
        (ATTRIBUTES, {**DATA, "metadata": {"k": 1}}),
        (ATTRIBUTES, {**DATA, "crc32c": 7}),
        (ATTRIBUTES, {**DATA, "contexts": ["no", "mapping"]}),
        (ATTRIBUTES, {**DATA, "contexts": {"custom": {"k": {"value": 7}}}}),
        (ATTRIBUTES, {**DATA, "name": "a\ud800"}),
        (ATTRIBUTES, {**DATA, "name": "a\nb"}),
        (ATTRIBUTES, {**DATA, "name": ".."}),
        (ATTRIBUTES, {**DATA, "name": "x" * 1025}),
        (ATTRIBUTES, {**DATA, "generation": 2**63}),
        (ATTRIBUTES, {**DATA, "size": -1}),
        (ATTRIBUTES, {**DATA, "timeCreated": "yesterday"}),
        (ATTRIBUTES, {**DATA, "timeCreated": "2025-11-22T08:26:40"}),
        (ATTRIBUTES, {**DATA, "timeCreated": "9999-12-31T23:59:59Z"}),
        (ATTRIBUTES, {**DATA, "timeCreated": "0001-01-01T00:00:00+14:00"}),
        (ATTRIBUTES, {**DATA, "timeCreated": 7}),
        ({**ATTRIBUTES, "time": "2999-01-01T00:00:00Z"}, DATA),
        ({**ATTRIBUTES, "type": "google.cloud.pubsub.topic.v1.messagePublished"}, DATA),
        ({**ATTRIBUTES, "type": ""}, DATA),
        ({**ATTRIBUTES, "time": "yesterday"}, DATA),
        ({}, DATA),
    ],
)
def test_what_is_no_object_event_is_refused(attributes: dict[str, Any], data: Any) -> None:
    """With the reason, and with one kind of error."""
    with pytest.raises(UsageError, match="not an event about a Cloud Storage object"):
        read_event(attributes, data, NOW)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*DATA, "metadata", "md5Hash", "timeCreated"]), json_values))
def test_no_body_whatever_ends_in_another_error(changes: dict[str, Any]) -> None:
    """A poisoned event must be recognised as one, not crash the function."""
    with contextlib.suppress(UsageError):
        event = read_event(ATTRIBUTES, {**DATA, **changes}, NOW)
        differences(event.state, event.state)


def test_a_deletion_has_the_time_of_the_object_where_the_event_tells_it() -> None:
    """Else that of the event, which is not earlier."""
    deleted = {**ATTRIBUTES, "type": "google.cloud.storage.object.v1.deleted"}
    told = read_event(deleted, {**DATA, "timeDeleted": "2025-11-22T08:26:39.5Z"}, NOW)
    assert told.deleted_at.isoformat() == "2025-11-22T08:26:39.500000+00:00"
    assert read_event(deleted, DATA, NOW).deleted_at == told.time
    with pytest.raises(UsageError):
        read_event(deleted, {**DATA, "timeDeleted": "yesterday"}, NOW)


def test_the_event_of_a_held_object_is_an_event() -> None:
    """Flags are not texts."""
    event = read_event(ATTRIBUTES, {**DATA, "temporaryHold": True, "eventBasedHold": False}, NOW)
    assert event.state.hold == "temporary hold"


def test_clocks_may_differ_by_minutes() -> None:
    """Only what lies far in the future is forged."""
    assert read_event(ATTRIBUTES, {**DATA, "timeCreated": "2025-11-22T09:10:00Z"}, NOW).complete


def message(attributes: dict[str, Any], data: Any = None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A Pub/Sub message as the framework gives it to the function."""
    encoded = (
        data
        if data is None or isinstance(data, str)
        else base64.b64encode(json.dumps(data).encode()).decode()
    )
    body = {
        "attributes": attributes,
        "messageId": "m-1",
        "publishTime": "2025-11-22T08:26:41Z",
        "data": encoded,
    }
    return {"type": MESSAGE_TYPE, "id": "m-1", "time": "2025-11-22T08:26:42Z"}, {"message": body}


CARRIED = {f"ce-{key}": value for key, value in ATTRIBUTES.items()}
NOTIFIED = {
    "eventType": "OBJECT_FINALIZE",
    "bucketId": "src-bucket",
    "objectId": "a/b ü#.txt",
    "objectGeneration": "1763800000123456",
    "eventTime": "2025-11-22T08:26:40.123Z",
    "payloadFormat": "JSON_API_V1",
}


@pytest.mark.parametrize("carried", [CARRIED, NOTIFIED], ids=["ce", "notification"])
def test_an_event_in_a_message_is_that_event(carried: dict[str, Any]) -> None:
    """Eventarc falls back to a message for names that a header cannot carry."""
    event = read_event(*unwrapped(*message(carried, DATA)), NOW)
    assert (event.kind, event.state.name, event.state.size) == (EventKind.FINALIZED, DATA["name"], 352)
    assert event.complete


@pytest.mark.parametrize(
    "kind", ["OBJECT_FINALIZE", "OBJECT_DELETE", "OBJECT_ARCHIVE", "OBJECT_METADATA_UPDATE"]
)
def test_a_notification_without_data_names_its_object(kind: str) -> None:
    """``payloadFormat`` NONE: the attributes are all that comes."""
    event = read_event(*unwrapped(*message({**NOTIFIED, "eventType": kind})), NOW)
    assert (event.bucket, event.state.name, event.complete) == ("src-bucket", "a/b ü#.txt", False)
    assert (event.state.generation, event.id) == (1763800000123456, "m-1")


@pytest.mark.parametrize("data", [None, "", {}, "bnVsbA=="])
def test_a_cloud_event_in_a_message_without_data_names_its_object(data: Any) -> None:
    """Its attributes are exact: no header carried them. An empty body is none."""
    carried = {**CARRIED, "ce-subject": "objects/a/ b\u2028 "}
    event = read_event(*unwrapped(*message(carried, data)), NOW)
    assert (event.bucket, event.state.name, event.state.generation) == ("src-bucket", "a/ b\u2028 ", 0)
    assert not event.complete


@pytest.mark.parametrize("filler", ["", ".", "..", "...", "\u00ff\u00fe~~???>>>"])
def test_a_message_s_data_are_read_in_every_form_of_base64(filler: str) -> None:
    """Either alphabet, without padding, or broken into lines: all are valid in the JSON of Protocol Buffers, or were seen."""
    text = json.dumps({**DATA, "etag": filler}, ensure_ascii=False).encode()
    standard, url = base64.b64encode(text).decode(), base64.urlsafe_b64encode(text).decode()
    for data in (standard, url, standard.rstrip("="), url.rstrip("="), base64.encodebytes(text).decode()):
        event = read_event(*unwrapped(*message(CARRIED, data)), NOW)
        assert (event.state.name, event.complete) == (DATA["name"], True)


@pytest.mark.parametrize(
    ("carried", "changes", "expected"),
    [
        ({key.upper(): value for key, value in CARRIED.items()}, {}, ATTRIBUTES["id"]),
        ({key.title(): value for key, value in CARRIED.items()}, {}, ATTRIBUTES["id"]),
        ({key: value for key, value in CARRIED.items() if key not in {"ce-id", "ce-time"}}, {}, "m-1"),
        ({key: value for key, value in NOTIFIED.items() if key != "eventTime"}, {}, "m-1"),
        (NOTIFIED, {"messageId": None, "message_id": "m-2"}, "m-2"),
        (
            {key: value for key, value in NOTIFIED.items() if key != "eventTime"},
            {"publishTime": None, "publish_time": "2025-11-22T08:26:41z"},
            "m-1",
        ),
    ],
)
def test_what_a_message_s_attributes_lack_the_message_says(
    carried: dict[str, Any], changes: dict[str, Any], expected: str
) -> None:
    """Pub/Sub sends its own fields in two cases; names of attributes come in any case."""
    attributes, body = message(carried, DATA)
    body["message"] |= changes
    event = read_event(*unwrapped({**attributes, "time": ""}, body), NOW)
    assert (event.id, event.state.name) == (expected, DATA["name"])
    assert event.time.date().isoformat() == "2025-11-22"


def test_an_event_without_a_checksum_only_names_its_object() -> None:
    """A copy by it could never be proven, and would be made again at each delivery: the source tells."""
    body = {key: value for key, value in DATA.items() if key != "crc32c"}
    assert not read_event(ATTRIBUTES, body, NOW).complete


@pytest.mark.parametrize(
    ("carried", "data"),
    [
        (CARRIED, "!!!"),
        (CARRIED, base64.b64encode(b"[1").decode()),
        ({**NOTIFIED, "eventType": "OBJECT_SOMETHING"}, DATA),
        ({**NOTIFIED, "eventTime": "never"}, DATA),
        ({**NOTIFIED, "objectGeneration": "x"}, None),
        (NOTIFIED, {**DATA, "name": "a\ud800"}),
    ],
)
def test_what_is_odd_in_a_message_is_refused_and_named(carried: dict[str, Any], data: Any) -> None:
    """The log says which object is not mirrored."""
    attributes, body = unwrapped(*message(carried, data))
    with pytest.raises(UsageError):
        read_event(attributes, body, NOW)
    assert object_named(attributes, body).startswith("gs://src-bucket/")


def test_another_message_stays_what_it_is() -> None:
    """It says of no object what happened to it; the log names the one that its data describe."""
    for carried in ({}, {"who": "knows"}, None, "none"):
        given = message(carried, DATA)  # type: ignore[arg-type]  # as a sender may have it
        assert unwrapped(*given) == given
        assert object_named(*given) == "gs://src-bucket/a/b ü#.txt"
        assert object_named(*message(carried, ["x"])) == ""  # type: ignore[arg-type]  # as above


ENVELOPE = {**ATTRIBUTES, "specversion": "1.0"}


@pytest.mark.parametrize(
    "contents", [{"data": DATA}, {"data_base64": base64.b64encode(json.dumps(DATA).encode()).decode()}]
)
@pytest.mark.parametrize("carried", [{}, {"content-type": "application/cloudevents+json"}])
def test_a_whole_event_in_a_message_s_data_is_that_event(
    carried: dict[str, str], contents: dict[str, Any]
) -> None:
    """The structured form of CloudEvents' Pub/Sub binding: no attribute says what it is."""
    event = read_event(*unwrapped(*message(carried, {**ENVELOPE, **contents})), NOW)
    assert (event.kind, event.id, event.state.name) == (EventKind.FINALIZED, ATTRIBUTES["id"], DATA["name"])


def test_a_notification_s_attributes_may_be_in_lower_case() -> None:
    """As a CloudEvent's may."""
    lowered = {key.lower(): value for key, value in NOTIFIED.items()}
    event = read_event(*unwrapped(*message(lowered)), NOW)
    assert (event.kind, event.state.name) == (EventKind.FINALIZED, DATA["name"])
    assert event.time.isoformat() == "2025-11-22T08:26:40.123000+00:00"


@pytest.mark.parametrize("time", [None, ""])
def test_an_event_without_a_time_has_its_object_s(time: str | None) -> None:
    """``time`` is optional in CloudEvents: the event is complete without it, and must not be lost."""
    body = {**DATA, "timeCreated": "2025-11-22T08:00:00Z", "updated": "2025-11-22T08:20:00Z"}
    event = read_event({**ATTRIBUTES, "time": time}, body, NOW)
    assert event.time.isoformat() == "2025-11-22T08:20:00+00:00"
    with pytest.raises(UsageError):
        read_event({**ATTRIBUTES, "time": time}, DATA, NOW)


def test_a_time_of_creation_that_is_null_is_none() -> None:
    """As a missing one is."""
    event = read_event(ATTRIBUTES, {**DATA, "timeCreated": None}, NOW)
    assert event.state.created == event.time.isoformat()


def test_the_event_of_an_audit_log_is_refused_and_named() -> None:
    """Its subject is longer."""
    subject = "storage.googleapis.com/projects/_/buckets/src-bucket/objects/a/objects/b"
    written = {**ATTRIBUTES, "type": "google.cloud.audit.log.v1.written", "subject": subject}
    with pytest.raises(UsageError):
        read_event(written, {"protoPayload": {}}, NOW)
    assert object_named(written, {"protoPayload": {}}) == "gs://src-bucket/a/objects/b"


def test_the_message_that_eventarc_sent_is_read() -> None:
    """As it was seen: the name ends in a space."""
    pushed = {
        **CARRIED,
        "ce-subject": "objects/QPI_exports/qpi_answers_20261120/user_id_2.jsonl ",
        "ce-source": "//storage.googleapis.com/projects/_/buckets/data-bucket-dev",
    }
    name = "QPI_exports/qpi_answers_20261120/user_id_2.jsonl "
    event = read_event(*unwrapped(*message(pushed, {**DATA, "name": name, "bucket": "data-bucket-dev"})), NOW)
    assert (event.bucket, event.state.name) == ("data-bucket-dev", name)
