"""Narrowing a sweep to recent days."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.run.key_ranges import KeyRange, ranges
from backfill_job.run.since import begun_by, moment_of, without_older_days
from backfill_job.run.tasks import known_on_both
from shared.errors import UsageError
from shared.partitions import LAYOUTS, Layout, classify

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

days = st.dates(date(1, 1, 1), date(9999, 12, 31))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
dated = st.builds(Layout.name, st.sampled_from(LAYOUTS), days, st.integers(0, 10**9), texts)
near_misses = st.sampled_from(
    [
        "qpi_answers_2026-11-23.jsonl",
        "qpi_answers_1 final.jsonl",
        "qpi_answers_20261199/x",
        "qpi_answers_20240101",
    ]
)
names = st.one_of(dated, texts, near_misses, dated.map(lambda name: name[:-1]))


def top_level_of(names: list[str]) -> list[str]:
    """What a listing with a delimiter gives."""
    return sorted({name[: name.index("/") + 1] if "/" in name else name for name in names})


@given(st.lists(names, max_size=8), st.lists(names, max_size=20), days)
def test_only_names_of_days_before_the_day_before_are_left_out(
    boundaries: list[str], there: list[str], since: date
) -> None:
    """Whatever the pieces: a recent day and every name without a day are in exactly one, an older day is in none."""
    moment = datetime(since.year, since.month, since.day, 5, tzinfo=UTC)
    left = without_older_days(ranges(boundaries), top_level_of(there), moment)
    for name in there:
        day = classify(name, 1).day
        expected = day is None or day >= max(since, date(1, 1, 2)) - timedelta(days=1)
        assert sum(name in piece for piece in left) == (1 if expected else 0), name


def test_neighbours_of_older_days_are_left_out_in_one_piece() -> None:
    """So that years of days cost no request each."""
    old = [LAYOUTS[0].name(date(2020, 1, 1) + timedelta(days=number)) for number in range(2_000)]
    left = without_older_days(ranges(()), top_level_of(old), NOW)
    assert left == (KeyRange("", "qpi_answers_20200101/"), KeyRange("qpi_answers_202506220", ""))


@pytest.mark.parametrize(
    ("sides", "expected"),
    [
        ([(["a/", "c"], True), (["b"], True)], ("a/", "b", "c")),
        ([(["a/", "b"], False), (["c"], True)], ("a/", "b")),
        ([([], False), (["c"], True)], ()),
        ([([], True), (["c"], True)], ("c",)),
    ],
)
def test_behind_the_end_of_a_listing_that_was_cut_short_nothing_is_known(
    sides: list[tuple[list[str], bool]], expected: tuple[str, ...]
) -> None:
    """Not even which names lie there: so nothing behind it is left out of a sweep."""
    assert known_on_both(sides) == expected


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T06:00:00Z", datetime(2026, 11, 1, 6, tzinfo=UTC)),
        ("2026-11-01T06:00:00+02:00", datetime(2026, 11, 1, 4, tzinfo=UTC)),
        ("90m", NOW - timedelta(minutes=90)),
        ("36h", NOW - timedelta(hours=36)),
        ("1.5d", NOW - timedelta(hours=36)),
        ("2w", NOW - timedelta(weeks=2)),
        ("999999999d", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_time_or_a_duration(text: str, meaning: datetime) -> None:
    """A duration ends now, and may be longer than the calendar."""
    assert moment_of(text)(NOW) == meaning


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "7",
        "d",
        "-7d",
        "2026-13-01",
        "7 d",
        "9999999999d",
        "999999999w",
        "0001-01-01T00:00:00+14:00",
    ],
)
def test_what_is_neither_is_refused(text: str) -> None:
    """Never guessed at."""
    with pytest.raises(ValueError, match=r"."):
        moment_of(text)


@pytest.mark.parametrize("text", ["9999-12-31", "2026-11-24T12:00:01Z", "9999-12-31T23:59:59Z"])
def test_what_has_not_begun_anywhere_is_refused(text: str) -> None:
    """A sweep since then would look at nothing, and a lag since then would be of nothing."""
    with pytest.raises(UsageError, match=r"--since .* is in the future"):
        begun_by("--since", moment_of(text), NOW)


@pytest.mark.parametrize("text", ["2026-11-24", "2026-11-24T12:00:00Z", "0s", "0001-01-01"])
def test_somewhere_on_earth_it_is_tomorrow_already(text: str) -> None:
    """A day's difference is no mistake."""
    assert begun_by("--since", moment_of(text), NOW) == moment_of(text)(NOW)
