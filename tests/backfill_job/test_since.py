"""Narrowing a sweep to recent days."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.sharding import ranges
from backfill_job.since import moment_of, without_older_days
from shared.partitions import classify

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)

days = st.dates(date(1, 1, 1), date(9999, 12, 31))
dated = st.tuples(
    days, st.sampled_from(["qpi_answers_{}/user_id_1.jsonl", "qpi_answers_{}.jsonl", "qpi_questions_{}.csv"])
).map(lambda pair: pair[1].format(pair[0].isoformat().replace("-", "")))
names = st.one_of(dated, st.text(st.characters(exclude_categories=["Cs"]), max_size=20))


@given(st.lists(names, max_size=8), names, days)
def test_only_names_of_days_before_the_day_before_are_left_out(
    boundaries: list[str], name: str, since: date
) -> None:
    """Whatever the pieces: a recent day and a name without a day are in exactly one, an older day is in none."""
    moment = datetime(since.year, since.month, since.day, 5, tzinfo=UTC)
    left = without_older_days(ranges(boundaries), moment)
    day = classify(name, 1).day
    # Where no calendar has the date, it may be left out like its neighbours.
    if classify(name, 1).impossible_date or (
        name.startswith(("qpi_answers_", "qpi_questions_")) and day is None
    ):
        return
    expected = day is None or day >= max(since, date(1, 1, 2)) - timedelta(days=1)
    assert sum(name in piece for piece in left) == (1 if expected else 0)


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
    "text", ["", "yesterday", "7", "d", "-7d", "2026-13-01", "7 d", "9999999999d", "999999999w"]
)
def test_what_is_neither_is_refused(text: str) -> None:
    """Never guessed at."""
    with pytest.raises(ValueError, match=r"."):
        moment_of(text)
