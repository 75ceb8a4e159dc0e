"""What is asked: locations, and the names in between."""

import re
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UsageError
from shared.migration import Environment, Location, Migration, matches_any, qpi_exports
from shared.objects import ObjectRef

names = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n"), max_size=120)


def test_the_preset_changes_the_bucket_and_the_case_of_the_prefix() -> None:
    """The nine days of silence began with the old prefix's case."""
    migration = qpi_exports(Environment.PROD)
    assert migration.source.uri == "gs://data-bucket-prod/QPI_exports/"
    assert migration.destination.uri == "gs://de-bigquery-data-export-prod/qpi_exports/"
    assert migration.label == "prod"


@given(names)
def test_a_name_is_mapped_byte_for_byte_and_back(relative: str) -> None:
    """Whatever follows the prefix stays as it is."""
    migration = qpi_exports(Environment.DEV)
    source, destination = migration.source_ref(relative), migration.destination_ref(relative)
    assert source.name.encode() == b"QPI_exports/" + relative.encode()
    assert destination.name.encode() == b"qpi_exports/" + relative.encode()
    assert migration.relative(source.name) == relative


def test_a_sibling_of_the_prefix_is_not_under_it() -> None:
    """``QPI_exports_old/`` starts with the same letters and is another prefix."""
    with pytest.raises(ValueError, match="not under"):
        qpi_exports(Environment.DEV).relative("QPI_exports_old/x")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("data-bucket/p/", "not a Cloud Storage prefix"),
        ("s3://b/p/", "not a Cloud Storage prefix"),
        ("gs://", "not a Cloud Storage prefix"),
        ("gs://bucket", "not a Cloud Storage prefix"),
        ("gs:///p/", "not a Cloud Storage prefix"),
        ("gs://bucket/p", "write gs://bucket/p/"),
        ("gs://Bucket/p/", "not a bucket name"),
        ("gs://b/p/", "not a bucket name"),
        ("gs://bucket/a\nb/", "line break"),
        ("gs://bucket/\ud800/", "not valid Unicode"),
    ],
)
def test_what_is_no_prefix_is_refused_with_the_reason(text: str, reason: str) -> None:
    """Bad input gets one clear line."""
    with pytest.raises(UsageError, match=reason):
        Location.parse(text)


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("gs://bucket/a/", "gs://bucket/a/"),
        ("gs://bucket/a/", "gs://bucket/a/b/"),
        ("gs://bucket/a/b/", "gs://bucket/a/"),
        ("gs://bucket/", "gs://bucket/a/"),
    ],
)
def test_a_location_within_the_other_is_refused(source: str, destination: str) -> None:
    """Copies would be copied again."""
    with pytest.raises(UsageError, match="within each other"):
        Migration(Location.parse(source), Location.parse(destination))


@pytest.mark.parametrize("inside", ["_migration/", "_migration/other/", "_migration/undo-rehearsal/x/"])
def test_a_prefix_among_migrations_own_objects_is_refused_on_either_side(inside: str) -> None:
    """A copy to there could replace the phase of another migration."""
    ours, theirs = Location("bucket", inside), Location("other", "a/")
    for pair in ((ours, theirs), (theirs, ours)):
        with pytest.raises(UsageError, match="where migrations keep their own objects"):
            Migration(*pair)


@pytest.mark.parametrize("beside", ["_migrations/", "_Migration/", "a/_migration/", "_migration_/"])
def test_a_prefix_that_only_looks_like_it_is_allowed(beside: str) -> None:
    """Names are compared byte for byte."""
    assert Migration(Location("bucket", beside), Location("other", "a/")).source.prefix == beside


def test_a_rehearsal_takes_place_in_a_scratch_folder_of_the_legacy_bucket() -> None:
    """The one source that lies there; only the rehearsal of an undo makes it."""
    migration = qpi_exports(Environment.DEV)
    stage = migration.rehearsal("_migration/undo-rehearsal/x/")
    assert stage.source_ref("1").uri == "gs://data-bucket-dev/_migration/undo-rehearsal/x/1"
    assert (stage.destination, stage.excludes, stage.label) == (migration.destination, (), "dev")


@pytest.mark.parametrize(
    ("source", "name", "own"),
    [
        ("", "_migration/a/state.json", True),
        ("", "_migration/x", True),
        ("", "_migration", False),
        ("", "_migrations/x", False),
        ("", "a/_migration/x", False),
        ("a/", "_migration/a/state.json", False),
    ],
)
def test_what_is_never_data_where_a_path_is_a_whole_bucket(source: str, name: str, own: bool) -> None:
    """In both directions, and whatever ``--exclude`` says."""
    migration = Migration(Location("bucket", source), Location("other", "b/"), ())
    for way in (migration, migration.reversed()):
        assert (way.is_own(name), way.is_excluded(name)) == (own, own)


def test_another_prefix_of_the_same_bucket_is_allowed() -> None:
    """Beside is not within."""
    migration = Migration(Location.parse("gs://bucket/a/"), Location.parse("gs://bucket/ab/"))
    assert migration.destination_ref("x") == ObjectRef("bucket", "ab/x")


def test_a_whole_bucket_is_no_destination() -> None:
    """The migration's own state must lie outside of what it migrates."""
    with pytest.raises(UsageError, match="whole bucket"):
        Migration(Location.parse("gs://bucket/a/"), Location.parse("gs://other/"))


def test_a_name_too_long_at_the_destination_is_refused() -> None:
    """1,024 bytes of UTF-8 are allowed."""
    migration = Migration(Location.parse("gs://bucket/a/"), Location.parse("gs://other/longer/"))
    fits = "é" * ((1024 - len("longer/")) // 2)
    assert migration.destination_ref(fits).name == "longer/" + fits
    with pytest.raises(UsageError, match="1025 bytes"):
        migration.destination_ref(fits + "é")


@pytest.mark.parametrize(
    ("relative", "excluded"),
    [
        (".DS_Store", True),
        ("qpi_answers_20240101/.DS_Store", True),
        ("qpi_answers_20240101/user_id_1.jsonl", False),
        ("tmp/x", True),
        ("deep/tmp/x", False),
        ("a/b.bak", True),
        (".ds_store", False),
    ],
)
def test_excludes_match_the_whole_name_or_its_last_part(relative: str, excluded: bool) -> None:
    """A pattern without a slash also matches the last part of a name."""
    migration = qpi_exports(Environment.DEV, (".DS_Store", "tmp/*", "*.bak"))
    assert migration.is_excluded(relative) is excluded


def test_what_a_later_write_replaces_is_kept_where_the_runbook_says() -> None:
    """In ``replaced``, below the new path's own folder, under its name and generation; a long name by its SHA-256."""
    migration = qpi_exports(Environment.DEV)
    kept = migration.kept_ref("qpi_answers_20240101/user_id_1.jsonl", 17)
    assert kept.uri == (
        "gs://de-bigquery-data-export-dev/_migration/qpi_exports/replaced/qpi_answers_20240101/user_id_1.jsonl/17"
    )
    assert migration.reversed().kept_ref("qpi_answers_20240101/user_id_1.jsonl", 17) == kept
    long = "x" * 1010
    assert migration.kept_ref(long, 17).name == (
        f"_migration/qpi_exports/replaced/{sha256(long.encode()).hexdigest()}/17"
    )


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("", "empty"),
        ("[", "'[[]'"),
        ("a/[b", "'[[]'"),
        ("[]", "'[[]'"),
        ("[!]", "'[[]'"),
        ("[a][", "'[[]'"),
        ("a\n", "line break"),
        ("\udcff", "Unicode"),
    ],
)
def test_a_pattern_that_cannot_mean_what_was_meant_is_refused(pattern: str, why: str) -> None:
    """In the arguments, in the mirror's settings, wherever patterns are."""
    with pytest.raises(UsageError, match=re.escape(why)) as refused:
        Migration(Location("old", "x/"), Location("new", "y/"), (".DS_Store", pattern))
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError):
        matches_any((pattern,), "a")


@pytest.mark.parametrize(
    ("pattern", "name"),
    [("[[]", "["), ("[]]", "]"), ("[!]]", "["), ("[]a]x", "ax"), ("]", "]"), ("a[[]b[!c]", "a[bd")],
)
def test_a_closed_class_is_a_pattern(pattern: str, name: str) -> None:
    """As `fnmatch` reads it."""
    assert matches_any((pattern,), name)
