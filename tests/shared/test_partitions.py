"""QPI naming."""

import hashlib
import re
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.partitions import (
    DAY_PATTERN,
    LAYOUTS,
    LAYOUTS_VERSION,
    Classified,
    Gap,
    Layout,
    ObjectKind,
    answers_folder,
    classify,
    file_type,
    gaps,
)

DAY = date(2024, 1, 31)

# Pieces of real names, so that generated names come near to the layouts.
WORDS = st.sampled_from(("qpi_", "QPI_", "answers_", "questions_", "user_id_", "20240131", "20240231", "7"))
MARKS = st.sampled_from((".jsonl", ".JSONL", ".csv", "/", "é", "\n", " ", "#", "."))
NAMES = st.text(max_size=60) | st.lists(WORDS | MARKS, max_size=8).map("".join)
DAYS = st.dates(date(1, 1, 1), date(9999, 12, 31))
CLOSE_DAYS = st.lists(st.dates(date(2024, 1, 1), date(2024, 4, 30)), max_size=30)

ROWS = [
    ("qpi_answers_20240131/user_id_7.jsonl", 900, Classified(ObjectKind.ANSWERS, DAY, critical=True)),
    ("qpi_answers_20240131.jsonl", 900, Classified(ObjectKind.FLAT_ANSWERS, DAY, critical=True)),
    ("qpi_questions_20240131.csv", 900, Classified(ObjectKind.QUESTIONS, DAY, critical=False)),
    ("", 0, Classified(ObjectKind.PLACEHOLDER, None, critical=False)),
    ("qpi_answers_20240131/", 0, Classified(ObjectKind.PLACEHOLDER, DAY, critical=False)),
    ("qpi_answers_20240131/sub/", 0, Classified(ObjectKind.PLACEHOLDER, DAY, critical=False)),
    ("backup/", 0, Classified(ObjectKind.PLACEHOLDER, None, critical=False)),
    ("qpi_answers_20240131/", 5, Classified(ObjectKind.STRAY, DAY, critical=False)),
    ("qpi_answers_20240131/user_id_x.jsonl", 9, Classified(ObjectKind.STRAY, DAY, critical=True)),
    ("qpi_answers_20240131/user_id_7.jsonl\n", 9, Classified(ObjectKind.STRAY, DAY, critical=False)),
    ("qpi_answers_20240131/user_id_٣.jsonl", 9, Classified(ObjectKind.STRAY, DAY, critical=True)),
    ("qpi_answers_20240131/sub/user_id_7.jsonl", 9, Classified(ObjectKind.STRAY, DAY, critical=True)),
    ("qpi_answers_20240131/.DS_Store", 9, Classified(ObjectKind.STRAY, DAY, critical=False)),
    ("QPI_answers_20240131/user_id_7.jsonl", 9, Classified(ObjectKind.UNKNOWN, None, critical=True)),
    ("old/qpi_answers_20240131/user_id_7.jsonl", 9, Classified(ObjectKind.UNKNOWN, None, critical=True)),
    ("qpi_answers_2024013/user_id_7.jsonl", 9, Classified(ObjectKind.UNKNOWN, None, critical=True)),
    ("qpi_answers_20240131.JSONL", 9, Classified(ObjectKind.UNKNOWN, None, critical=True)),
    ("", 5, Classified(ObjectKind.UNKNOWN, None, critical=False)),
    ("qpi_answers_20240231/user_id_7.jsonl", 9, Classified(ObjectKind.UNKNOWN, None, True, "20240231")),
    ("qpi_answers_00000101.jsonl", 9, Classified(ObjectKind.UNKNOWN, None, True, "00000101")),
    ("qpi_questions_20241301.csv", 9, Classified(ObjectKind.UNKNOWN, None, False, "20241301")),
    ("qpi_answers_20240231/", 0, Classified(ObjectKind.PLACEHOLDER, None, False, "20240231")),
]


@pytest.mark.parametrize(("relative", "size", "expected"), ROWS)
def test_layouts(relative: str, size: int, expected: Classified) -> None:
    """Every known layout, and every near miss of one, is told apart."""
    assert classify(relative, size) == expected


@given(NAMES, st.integers(0, 2**40))
def test_any_text_classifies(relative: str, size: int) -> None:
    """Any text has a kind; a day and an impossible date exclude each other, and known layouts other than placeholders have a day."""
    found = classify(relative, size)

    assert not (found.day and found.impossible_date)
    if found.kind not in {ObjectKind.PLACEHOLDER, ObjectKind.UNKNOWN}:
        assert found.day is not None
    if found.kind is ObjectKind.UNKNOWN:
        assert found.day is None


@given(NAMES, st.integers(0, 2**40))
def test_jsonl_is_never_overlooked(relative: str, size: int) -> None:
    """An object is critical exactly when its file type is JSONL, whatever its layout, date or size."""
    assert classify(relative, size).critical == (file_type(relative) == ".jsonl")


@given(NAMES, st.integers(1, 2**40))
def test_sizes_matter_only_for_placeholders(relative: str, size: int) -> None:
    """The same name with another size is the same, unless an empty object of that name is a placeholder."""
    empty = classify(relative, 0)

    if empty.kind is ObjectKind.PLACEHOLDER:
        assert not relative or relative.endswith("/")
        assert classify(relative, size).kind in {ObjectKind.STRAY, ObjectKind.UNKNOWN}
    else:
        assert classify(relative, size) == empty


@given(st.sampled_from(LAYOUTS), DAYS, st.integers(0, 10**18))
def test_each_layout_names_its_own_kind_and_day(layout: Layout, day: date, number: int) -> None:
    """The table says what a name is, and how an object of a day is named."""
    found = classify(layout.name(day, number, "notes.txt"), 700)

    assert (found.kind, found.day, found.impossible_date) == (layout.kind, day, "")
    assert re.fullmatch(DAY_PATTERN, layout.name(day, number))


def test_a_changed_table_of_layouts_has_a_new_version() -> None:
    """With another table, an object may belong to another day. Raise the version, and write the new table's digest here."""
    table = repr([(layout.pattern, layout.kind.value) for layout in LAYOUTS])
    assert (LAYOUTS_VERSION, hashlib.sha256(table.encode()).hexdigest()[:16]) == (1, "c271ee585b9c75ba")


@given(DAYS, st.integers(0, 10**18))
def test_names_round_trip(day: date, user_id: int) -> None:
    """A user's name in a day's folder is classified as that day's answers, and the folder as that day's placeholder."""
    name = f"{answers_folder(day)}user_id_{user_id}.jsonl"

    assert classify(name, 700) == Classified(ObjectKind.ANSWERS, day, critical=True)
    assert classify(answers_folder(day), 0) == Classified(ObjectKind.PLACEHOLDER, day, critical=False)


@given(st.text("0123456789", min_size=8, max_size=8))
def test_every_date_is_taken_or_shown(digits: str) -> None:
    """Eight digits in a date's place give either that day or an impossible date, never silence."""
    found = classify(f"qpi_answers_{digits}/user_id_1.jsonl", 1)

    shown = found.impossible_date or (found.day.isoformat().replace("-", "") if found.day else None)
    assert shown == digits


@pytest.mark.parametrize(
    ("relative", "expected"),
    [
        ("qpi_answers_20240131/user_id_7.jsonl", ".jsonl"),
        ("A.CSV", ".csv"),
        (".DS_Store", ".ds_store"),
        ("archive.tar.gz", ".gz"),
        ("README", "(none)"),
        ("dotted.folder/README", "(none)"),
        ("ends in a dot.", "(none)"),
        ("backup/", "folder/"),
        ("", "folder/"),
    ],
)
def test_file_types(relative: str, expected: str) -> None:
    """A file's type is the extension of its last part, in lower case."""
    assert file_type(relative) == expected


@given(CLOSE_DAYS)
def test_missing_days_fill_the_gaps(days: list[date]) -> None:
    """The days that are there and the missing ones together are every day from the first to the last, once."""
    missing = [gap.first + timedelta(number) for gap in gaps(days) for number in range(gap.days)]

    span = [] if not days else [min(days) + timedelta(n) for n in range((max(days) - min(days)).days + 1)]
    assert sorted([*set(days), *missing]) == span


@given(CLOSE_DAYS)
def test_gaps_are_as_long_as_they_can_be(days: list[date]) -> None:
    """Both neighbours of a gap are there."""
    for gap in gaps(days):
        assert {gap.first - timedelta(1), gap.last + timedelta(1)} <= set(days)


def test_a_mistyped_year_is_one_gap() -> None:
    """A gap of thousands of years is one stretch with its number of days."""
    found = gaps([date(1, 1, 1), date(9999, 12, 31)])

    assert found == (Gap(date(1, 1, 2), date(9999, 12, 30)),)
    assert found[0].days == 3_652_057
