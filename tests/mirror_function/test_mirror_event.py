"""Reading events: by key, not strictly, and never a guess."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror_function.event import EventKind, read_event
from shared.errors import UsageError
from shared.objects import differences

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
    event = read_event({**ATTRIBUTES, "type": f"google.cloud.storage.object.v1.{kind.value}"}, DATA)
    assert (event.kind, event.id, event.bucket) == (kind, "123451234512345", "src-bucket")
    assert (event.state.generation, event.state.size) == (1763800000123456, 352)


def test_the_name_comes_from_the_body_only() -> None:
    """Headers are not percent-decoded reliably on the way."""
    assert read_event(ATTRIBUTES, DATA).state.name == "a/b ü#.txt"


def test_integers_may_be_numbers() -> None:
    """Google's own samples hold both."""
    event = read_event(ATTRIBUTES, {**DATA, "generation": 17, "size": 0})
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
        ({**ATTRIBUTES, "type": "google.cloud.pubsub.topic.v1.messagePublished"}, DATA),
        ({**ATTRIBUTES, "type": ""}, DATA),
        ({**ATTRIBUTES, "time": "yesterday"}, DATA),
        ({}, DATA),
    ],
)
def test_what_is_no_object_event_is_refused(attributes: dict[str, Any], data: Any) -> None:
    """With the reason, and with one kind of error."""
    with pytest.raises(UsageError, match="not an event about a Cloud Storage object"):
        read_event(attributes, data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=8), values, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*DATA, "metadata", "md5Hash", "timeCreated"]), json_values))
def test_no_body_whatever_ends_in_another_error(changes: dict[str, Any]) -> None:
    """A poisoned event must be recognised as one, not crash the function."""
    with contextlib.suppress(UsageError):
        event = read_event(ATTRIBUTES, {**DATA, **changes})
        differences(event.state, event.state)


def test_a_deletion_has_the_time_of_the_object_where_the_event_tells_it() -> None:
    """Else that of the event, which is not earlier."""
    deleted = {**ATTRIBUTES, "type": "google.cloud.storage.object.v1.deleted"}
    told = read_event(deleted, {**DATA, "timeDeleted": "2025-11-22T08:26:39.5Z"})
    assert told.deleted_at.isoformat() == "2025-11-22T08:26:39.500000+00:00"
    assert read_event(deleted, DATA).deleted_at == told.time
    with pytest.raises(UsageError):
        read_event(deleted, {**DATA, "timeDeleted": "yesterday"})
