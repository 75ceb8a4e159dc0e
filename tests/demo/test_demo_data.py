"""The made-up export has everything that the real one has."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from itertools import pairwise
from random import Random
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.data import DemoObject, generate, one_submission
from shared.partitions import ObjectKind, classify, gaps

UNTIL = date(2025, 6, 30)


@pytest.fixture(scope="module")
def export() -> list[DemoObject]:
    return list(generate(4_000, until=UNTIL))


def kinds(objects: list[DemoObject]) -> Counter[ObjectKind]:
    return Counter(classify(item.relative, len(item.data)).kind for item in objects)


def submissions(objects: list[DemoObject]) -> list[DemoObject]:
    return [item for item in objects if classify(item.relative, len(item.data)).kind is ObjectKind.ANSWERS]


def test_same_seed_same_bytes(export: list[DemoObject]) -> None:
    """The same arguments give the same objects in the same order; another seed gives others."""
    assert list(generate(4_000, until=UNTIL)) == export
    assert list(generate(4_000, seed=2, until=UNTIL)) != export


@settings(deadline=None)
@given(st.integers(110, 900), st.integers(0, 50), st.integers(3, 60), st.integers(0, 21))
def test_exactly_as_many_as_asked(objects: int, seed: int, days: int, flat_days: int) -> None:
    """The number of objects is exact, no name comes twice, and two days are missing, for any seed and span."""
    found = list(generate(objects, seed, days, until=UNTIL, flat_days=flat_days))

    assert len({item.relative for item in found}) == len(found) == objects
    in_folders = {classify(item.relative, 1).day for item in submissions(found)} - {None}
    assert len(in_folders) == days
    assert [gap.days for gap in gaps(day for day in in_folders if day)] == [1, 1]


def test_every_layout_is_there(export: list[DemoObject]) -> None:
    """Folders, flat answers, questions, placeholders (the prefix's own among them), a .DS_Store and a stray note."""
    found, names = kinds(export), {item.relative for item in export}

    assert found[ObjectKind.ANSWERS] == 4_000 - 21 - 21 - 6 - 2
    assert (found[ObjectKind.FLAT_ANSWERS], found[ObjectKind.QUESTIONS]) == (21, 21)
    assert (found[ObjectKind.PLACEHOLDER], found[ObjectKind.UNKNOWN], found[ObjectKind.STRAY]) == (6, 2, 0)
    assert {"", ".DS_Store", "backup/notes (final) é #2.txt"} <= names


def test_exactly_two_days_are_missing(export: list[DemoObject]) -> None:
    """From the first flat file to the last folder every day has answers but two, which leave nothing behind."""
    days = {classify(item.relative, len(item.data)).day for item in export} - {None}

    assert max(day for day in days if day) == UNTIL
    assert sum(gap.days for gap in gaps(day for day in days if day)) == 2
    assert len(days) == 60 + 21


def test_placeholders_stand_for_days_with_data(export: list[DemoObject]) -> None:
    """A folder's placeholder never hides a missing day: its day has submissions too."""
    with_answers = {classify(item.relative, 1).day for item in submissions(export)}
    placeholders = [item for item in export if not item.data and item.relative]

    assert len(placeholders) == 5
    assert {classify(item.relative, 0).day for item in placeholders} <= with_answers


def test_submissions_are_what_the_consumer_loads(export: list[DemoObject]) -> None:
    """One line of JSON with the schema's fields and types, for the user and day in its name, at the time of its upload."""
    for item in submissions(export):
        assert item.content_type == "application/json"
        assert item.data.count(b"\n") == 1
        row = json.loads(item.data)
        assert sorted(row) == ["answers", "submitted_at", "user_id"]
        assert item.relative.endswith(f"/user_id_{row['user_id']}.jsonl")
        submitted = datetime.fromisoformat(row["submitted_at"])
        assert submitted == item.created
        assert submitted.date() == classify(item.relative, 1).day
        for answer in row["answers"]:
            assert sorted(answer) == ["answer_ids", "question_id"]
            assert isinstance(answer["question_id"], str)
            assert answer["answer_ids"]
            assert all(isinstance(answer_id, str) for answer_id in answer["answer_ids"])


def test_flat_files_hold_several_lines(export: list[DemoObject]) -> None:
    """Flat answers are newline-delimited JSON of many users, flat questions are CSV."""
    flat = {item.relative: item for item in export if "/" not in item.relative}

    rows = [json.loads(line) for line in flat["qpi_answers_20250429.jsonl"].data.splitlines()]
    assert len(rows) == 20
    assert flat["qpi_questions_20250429.csv"].content_type == "text/csv"
    assert flat["qpi_questions_20250429.csv"].data.startswith(b"question_id,")


def test_sizes_are_in_range(export: list[DemoObject]) -> None:
    """Submissions have 200 to 2,000 bytes and use much of that range."""
    sizes = [len(item.data) for item in submissions(export)]

    assert min(sizes) >= 200
    assert max(sizes) <= 2_000
    assert max(sizes) - min(sizes) > 900


def test_working_days_are_busier(export: list[DemoObject]) -> None:
    """Weekends have about half as many submissions as working days, and no two days follow a fixed pattern."""
    per_day = Counter(item.created.date() for item in submissions(export))

    weekend = mean(number for day, number in per_day.items() if day.weekday() >= 5)
    working = mean(number for day, number in per_day.items() if day.weekday() < 5)
    assert 0.3 < weekend / working < 0.7
    assert len(set(per_day.values())) > 20


def test_the_oldest_come_first(export: list[DemoObject]) -> None:
    """Objects come in the order in which they were uploaded, in UTC."""
    assert all(one.created <= other.created for one, other in pairwise(export))
    assert {item.created.tzinfo for item in export} == {UTC}


def test_answering_again_overwrites() -> None:
    """A user's second submission of a day has the first one's name and other bytes."""
    rng, noon = Random(7), datetime(2025, 6, 30, 12, tzinfo=UTC)

    first = one_submission(rng, UNTIL, 42, noon)
    second = one_submission(rng, UNTIL, 42, noon.replace(hour=13))

    assert first.relative == second.relative == "qpi_answers_20250630/user_id_42.jsonl"
    assert first.data != second.data


class Shortest(Random):
    """The dice that give the smallest submission."""

    def randint(self, a: int, b: int) -> int:
        return min(a, b)

    def choice(self, seq: Sequence[int]) -> int:  # type: ignore[override]
        return min(seq)


class Longest(Random):
    """The dice that give the largest submission."""

    def randint(self, a: int, b: int) -> int:
        return max(a, b)

    def choice(self, seq: Sequence[int]) -> int:  # type: ignore[override]
        return max(seq)


@pytest.mark.parametrize(("rng", "user_id"), [(Shortest(1), 1), (Longest(1), 10**7)])
def test_no_dice_give_another_size(rng: Random, user_id: int) -> None:
    """The smallest and the largest submission possible are still between 200 and 2,000 bytes."""
    found = one_submission(rng, UNTIL, user_id, datetime(2025, 6, 30, 23, 59, 59, 999_999, tzinfo=UTC))

    assert 200 <= len(found.data) <= 2_000


@pytest.mark.parametrize(("objects", "days"), [(100, 2), (109, 60), (0, 10)])
def test_too_little_is_refused(objects: int, days: int) -> None:
    """An export that could not hold its days and gaps is refused."""
    with pytest.raises(ValueError, match="days"):
        list(generate(objects, days=days, until=UNTIL))
