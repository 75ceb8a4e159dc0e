"""*Same*: the project's only notion of equality."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UnexpectedAnswer
from shared.objects import Difference, Metadata, ObjectState, differences, parse_time, reserved_keys, same

STATE = ObjectState(
    name="QPI_exports/qpi_answers_20240101/user_id_7.jsonl",
    generation=17,
    metageneration=1,
    size=350,
    crc32c="rTVTeQ==",
    md5="kF8MuJ5+CTJxvyhHS1xzRg==",
    created="2024-01-01T10:00:00Z",
    updated="2024-01-01T10:00:00Z",
    metadata=Metadata(content_type="application/json", custom={"owner": "qpi"}),
)


def metadata(**changes: object) -> ObjectState:
    return STATE._replace(metadata=replace(STATE.metadata, **changes))  # type: ignore[arg-type]


def test_a_copy_is_the_same_although_its_name_generation_and_times_are_its_own() -> None:
    """What a copy cannot keep is not compared."""
    copy = STATE._replace(name="qpi_exports/x", generation=3, metageneration=9, created="", updated="")
    assert differences(STATE, copy) == ()


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (STATE._replace(size=351), Difference.SIZE),
        (STATE._replace(crc32c="AAAAAA=="), Difference.CRC32C),
        (STATE._replace(crc32c=None), Difference.CRC32C_UNKNOWN),
        (STATE._replace(md5="AAAA"), Difference.MD5),
        (metadata(content_type="text/plain"), Difference.CONTENT_TYPE),
        (metadata(content_type=None), Difference.CONTENT_TYPE),
        (metadata(content_encoding="gzip"), Difference.CONTENT_ENCODING),
        (metadata(content_disposition="inline"), Difference.CONTENT_DISPOSITION),
        (metadata(content_language="fr"), Difference.CONTENT_LANGUAGE),
        (metadata(cache_control="no-store"), Difference.CACHE_CONTROL),
        (metadata(custom_time="2024-01-01T00:00:00Z"), Difference.CUSTOM_TIME),
        (metadata(custom={"owner": "else"}), Difference.CUSTOM_METADATA),
        (metadata(custom={}), Difference.CUSTOM_METADATA),
    ],
)
def test_every_respect_in_which_two_objects_differ_is_named(other: ObjectState, expected: Difference) -> None:
    """Each field that a copy carries counts, from either side."""
    assert differences(STATE, other) == (expected,)
    assert differences(other, STATE) == (expected,)


def test_two_unknown_checksums_are_not_the_same() -> None:
    """An unknown checksum proves nothing."""
    unknown = STATE._replace(crc32c=None)
    assert not same(unknown, unknown)


def test_an_md5_that_one_side_lacks_is_no_difference() -> None:
    """Composite objects have no md5; size and crc32c decide."""
    assert same(STATE, STATE._replace(md5=None))


@pytest.mark.parametrize("key", ["goog-reserved-file-mtime", "x-goog-reserved-source"])
def test_metadata_stamped_by_googles_tools_is_left_out_and_reported(key: str) -> None:
    """An earlier `gcloud storage rsync` may have stamped a copy; its stamps are not a difference."""
    stamped = metadata(custom={"owner": "qpi", key: "1700000000"})
    assert same(STATE, stamped)
    assert reserved_keys(stamped) == (key,)


def test_custom_times_are_compared_as_times() -> None:
    """The same moment may be written with or without fractions and offsets."""
    one, other = (
        metadata(custom_time="2024-01-02T03:04:05Z"),
        metadata(custom_time="2024-01-02T04:04:05.000+01:00"),
    )
    assert same(one, other)


@given(generation=st.integers(1, 2**63 - 1), size=st.integers(0, 2**50), as_text=st.booleans())
def test_a_resource_is_read_whether_its_integers_are_texts_or_numbers(
    generation: int, size: int, as_text: bool
) -> None:
    """The API sends texts, Google's own event samples hold both."""
    kind = str if as_text else int
    state = ObjectState.from_resource({"name": "n", "generation": kind(generation), "size": kind(size)})
    assert (state.generation, state.size, state.metadata) == (generation, size, Metadata())


@pytest.mark.parametrize(
    "resource",
    [
        {},
        {"name": "n", "size": "1"},
        {"name": "n", "generation": "x", "size": "1"},
        {"name": "n", "generation": 1, "size": None},
    ],
)
def test_something_else_is_no_object_resource(resource: dict[str, object]) -> None:
    """What cannot be read is refused, not guessed."""
    with pytest.raises(UnexpectedAnswer, match="not an object resource"):
        ObjectState.from_resource(resource)


def test_an_empty_text_counts_as_unset() -> None:
    """Cloud Storage makes no difference between them either."""
    resource = {"name": "n", "generation": "1", "size": "0", "contentEncoding": "", "md5Hash": ""}
    state = ObjectState.from_resource(resource)
    assert (state.metadata.content_encoding, state.md5) == (None, None)


def test_a_time_without_an_offset_is_refused() -> None:
    """A local time would be off by hours."""
    with pytest.raises(ValueError, match="no time zone"):
        parse_time("2024-01-02T03:04:05")
