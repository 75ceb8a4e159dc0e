"""*Same*: the project's only notion of equality."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local_gcs.discovery import google
from shared.errors import UnexpectedAnswer
from shared.objects import (
    NOT_COMPARED,
    OBJECT_FIELDS,
    RESOURCE_FIELDS,
    Difference,
    FieldUse,
    LastWrite,
    Metadata,
    ObjectState,
    differences,
    last_write,
    parse_time,
    reserved_keys,
    same,
)

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
        (metadata(contexts={"team": "a"}), Difference.CONTEXTS),
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


def leaves(shape: object, path: str) -> Iterator[str]:
    """The paths of a schema's fields that have no fields of their own."""
    shape = google().resolved(shape)
    if isinstance(shape, dict):
        for name, part in shape.items():
            yield from leaves(part, f"{path}.{name}" if path else name)
    else:
        yield path


def test_every_field_of_an_object_has_a_use() -> None:
    """Held against Google's discovery document: a new field of theirs fails here, and is not equal unseen."""
    known = {*leaves(google().schemas["Object"], "")}
    for path in known:
        covering = [name for name in OBJECT_FIELDS if path == name or path.startswith(f"{name}.")]
        assert len(covering) == 1, f"{path}: say in OBJECT_FIELDS whether it is compared"
    for name in OBJECT_FIELDS:
        wanted = name if "goog-reserved" not in name else "metadata."
        assert any(f"{path}.".startswith(wanted) for path in known), f"Google has no {name}"


def test_what_is_compared_is_read_and_counts() -> None:
    """A difference in any compared field makes two objects differ, from the resource on; in no other field it does."""
    resource: dict[str, Any] = {"name": "n", "generation": "1", "size": "1", "crc32c": "a"}
    plain = ObjectState.from_resource(resource)
    changed: dict[str, Any] = {
        "size": "2",
        "customTime": "2024-01-01T00:00:00Z",
        "metadata": {"k": "v"},
        "metadata.goog-reserved-*": {"goog-reserved-file-mtime": "1"},
        "contexts.custom.*.value": {"custom": {"team": {"value": "a"}}},
        "contexts.custom.*.extendedDataTypeUrl": None,
        "contexts.custom.*.createTime": None,
        "contexts.custom.*.updateTime": None,
        "temporaryHold": True,
        "eventBasedHold": True,
        "generation": "2",
        "metageneration": "2",
        "md5Hash": None,
        "name": None,
    }
    for path, use in OBJECT_FIELDS.items():
        top, value = path.partition(".")[0], changed.get(path, "other")
        if value is None:
            continue
        assert (top in RESOURCE_FIELDS.split(",")) or use is not FieldUse.COMPARED, path
        other = ObjectState.from_resource({**resource, top: value})
        assert bool(differences(plain, other)) is (use is FieldUse.COMPARED), path


def test_a_contexts_times_and_extended_data_are_its_copys_own() -> None:
    """Of a context, the key and the value count."""

    def contexts(**payload: str) -> ObjectState:
        custom = {"team": {"value": "a", **payload}}
        return ObjectState.from_resource(
            {"name": "n", "generation": "1", "size": "1", "crc32c": "a", "contexts": {"custom": custom}}
        )

    assert same(contexts(), contexts(createTime="x", updateTime="y", extendedDataTypeUrl="z"))
    assert differences(contexts(), contexts(value="b")) == (Difference.CONTEXTS,)


def test_what_a_client_sets_and_the_comparison_leaves_out_has_words() -> None:
    """Verdict, report and certificate name it."""
    left_out = {
        path for path, use in OBJECT_FIELDS.items() if use in {FieldUse.CARRIED, FieldUse.NOT_CARRIED}
    }
    assert left_out == NOT_COMPARED.keys()


@pytest.mark.parametrize(
    "contexts", [[], {"custom": ["x"]}, {"custom": {"k": "v"}}, {"custom": {"k": {"value": 1}}}]
)
def test_contexts_of_another_form_are_refused(contexts: object) -> None:
    """Like everything else that cannot be read; an absent value is empty."""
    resource = {"name": "n", "generation": "1", "size": "1"}
    assert ObjectState.from_resource({**resource, "contexts": {"custom": {"k": {}}}}).metadata.contexts == {
        "k": ""
    }
    if contexts:
        with pytest.raises(UnexpectedAnswer, match="not an object resource"):
            ObjectState.from_resource({**resource, "contexts": contexts})


CREATED, T1, T2 = "2024-01-01T00:00:00.000Z", "2024-01-02T00:00:00.000Z", "2024-01-03T00:00:00.000Z"


@pytest.mark.parametrize(
    ("metageneration", "updated", "class_updated", "earliest", "latest"),
    [
        (1, CREATED, CREATED, CREATED, CREATED),  # never changed
        (2, T1, CREATED, T1, T1),  # a client changed the metadata
        (2, T1, "", T1, T1),  # the service does not say when the class changed
        (2, T1, T1, CREATED, CREATED),  # the service changed the class, and nothing else happened
        (1, T1, T1, CREATED, CREATED),
        (
            3,
            T1,
            T1,
            CREATED,
            T1,
        ),  # it changed the class after another change: it is not known by whom, and when
        (3, T2, T1, T2, T2),  # a client changed the metadata after that
        (2, T1, T2, T1, T1),  # the class changed without moving `updated`
        (2, "2024-01-02T01:00:00+01:00", T1, CREATED, CREATED),  # one moment, written in two ways
    ],
)
def test_what_the_service_changes_is_not_a_write(
    metageneration: int, updated: str, class_updated: str, earliest: str, latest: str
) -> None:
    """Every row that `last_write` describes."""
    state = STATE._replace(
        metageneration=metageneration, created=CREATED, updated=updated, class_updated=class_updated
    )
    assert last_write(state) == LastWrite(earliest, latest)
