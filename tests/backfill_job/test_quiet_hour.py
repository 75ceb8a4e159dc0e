"""The quietest hours of the week for a copy, from the times of the writes that a listing shows."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.consumer import PRESET, Consumer, Format, Load, Nightly, read_consumer
from backfill_job.dry_run.quiet_hour import (
    DAYS,
    FEWEST_DAYS,
    FEWEST_WRITES,
    WEEK,
    QuietHour,
    Writes,
    consumer_hours,
    quietest,
)
from shared.errors import UsageError
from shared.migration import Environment, qpi_exports
from shared.report.page import render_hours

TODAY = date(2026, 11, 29)
"""A Sunday."""


def history(rhythm: Callable[[datetime], int], *, days: int = DAYS, until: date = TODAY) -> Writes:
    """So many writes in each hour of the days before a day."""
    found = Writes(TODAY)
    for number in range(days):
        for hour in range(24):
            at = datetime.combine(until - timedelta(days=number + 1), time(hour, 30), UTC)
            for _ in range(rhythm(at)):
                found.add(f"{at:%Y-%m-%dT%H:%M:%S.000Z}")
    return found


def by_day(at: datetime) -> int:
    """Users answer by day, fewer at night, and the fewest on Sunday mornings."""
    night = 2 if at.hour in {4, 5} else 8
    return 40 if 8 <= at.hour < 22 else night - (at.weekday() == 6 and at.hour == 5)


def test_a_daily_rhythm_names_its_quietest_hours() -> None:
    """With the writes to expect meanwhile; the night's import is in the way, and the next best is beside it."""
    writes, consumer = history(by_day), read_consumer(PRESET)
    assert sum(writes.counts) == 35_160
    assert QuietHour(writes, 300, consumer).lines == (
        "Quietest: Sun 05:00 to 06:00 UTC, about 1 write (of 35,160 in 56 days)",
        "  MEETS the consumer's run; beside it Mon 00:00 to 01:00, about 8 writes",
    )
    assert QuietHour(writes, 3_601).lines == (
        "Quietest: Sun 04:00 to 06:00 UTC, about 3 writes (of 35,160 in 56 days)",
    )
    nightly = QuietHour(writes, 7 * 3_600, consumer).lines[0]
    assert nightly.startswith("Quietest: Sat 23:00 to 06:00 UTC, about 43 writes")
    long = QuietHour(writes, 30 * 3_600, consumer).lines
    assert (long[0][:33], long[1]) == (
        "Quietest: Sat 00:00 to Sun 06:00 ",
        "  MEETS the consumer's run, as every window so long does",
    )
    assert all(len(line) <= 80 for line in long)


def test_what_is_old_or_of_today_does_not_count() -> None:
    """A rhythm of last year may be another one, and today has hours that are still to come."""
    old = history(by_day, until=TODAY - timedelta(days=DAYS))
    assert (sum(old.counts), old.days) == (0, 0)
    ahead = history(by_day, days=1, until=TODAY + timedelta(days=1))
    assert sum(ahead.counts) == 0
    ahead.add("")
    assert sum(ahead.counts) == 0


@pytest.mark.parametrize(
    ("days", "each", "known"),
    [
        (FEWEST_DAYS - 1, 9, False),
        (FEWEST_DAYS, 1, True),
        (DAYS, 0, False),
        (FEWEST_DAYS, 0, False),
    ],
)
def test_little_history_says_nothing_of_the_hours(days: int, each: int, *, known: bool) -> None:
    """Only from how many days and writes; the numbers wanted are on the screen."""
    (said,) = QuietHour(history(lambda at: max(each, at.hour == 1), days=days), 60).lines
    assert known is said.startswith("Quietest: ")
    if not known:
        assert said.endswith(f"on {days} days; wants {FEWEST_WRITES} on {FEWEST_DAYS} whole days")


def test_fewer_weeks_of_a_weekday_make_no_hour_quieter() -> None:
    """15 days have one weekday three times: the writes of an hour are per week."""
    writes = history(lambda _: 1, days=15)
    assert set(writes.rates) == {840}


@given(
    rates=st.lists(st.integers(0, 5), min_size=WEEK, max_size=WEEK),
    hours=st.integers(1, WEEK),
    but=st.sets(st.integers(0, WEEK - 1), max_size=6),
)
def test_no_other_window_has_fewer_writes(rates: list[int], hours: int, but: set[int]) -> None:
    """Also across the end of the week; and none that is allowed is left out."""
    twice = rates + rates
    allowed = [
        start for start in range(WEEK) if not any((start + hour) % WEEK in but for hour in range(hours))
    ]
    found = quietest(rates, hours, but)
    assert (found is None) is (not allowed)
    if found is not None:
        sums = {start: sum(twice[start : start + hours]) for start in allowed}
        assert found == min(start for start in allowed if sums[start] == min(sums.values()))


def test_the_consumer_s_hours_are_of_its_time_zone() -> None:
    """23:30 to 01:15 in Paris is 22:30 to 00:15 UTC in winter; an hour that is touched counts."""
    load = Load(Format.JSONL, glob="*")
    paris = Consumer("x", load, run=Nightly(time(23, 30), time(1, 15), "Europe/Paris"))
    assert {hour % 24 for hour in consumer_hours(paris, TODAY)} == {22, 23, 0}
    assert len(consumer_hours(paris, TODAY)) == 3 * 7
    began, ended = paris.night_of(date(2026, 7, 1))
    assert (f"{began:%d %H:%M}", f"{ended:%d %H:%M}") == ("02 21:30", "02 23:15")
    utc = read_consumer(PRESET)
    assert {hour % 24 for hour in consumer_hours(utc, TODAY)} == {2, 3, 4, 5}


@pytest.mark.parametrize(
    ("there", "instead", "said"),
    [
        ('"UTC"', '"Paris"', r"run\.time_zone: Paris is not a time zone"),
        (
            "02:00:00",
            '"02:00:00+02:00"',
            r"run\.at: 02:00:00\+02:00 has an offset; write a time of run\.time_zone",
        ),
        ("06:00:00", '"06:00:00Z"', r"run\.done: 06:00:00\+00:00 has an offset"),
    ],
)
def test_a_time_that_is_not_of_a_time_zone_is_refused(
    tmp_path: Path, there: str, instead: str, said: str
) -> None:
    """One line that names it. An offset would be left out, or would not compare with a time without one."""
    file = tmp_path / "c.toml"
    file.write_text(PRESET.read_text().replace(there, instead, 1))
    with pytest.raises(UsageError, match=said):
        read_consumer(file)


def test_the_page_shades_the_hours_and_names_each() -> None:
    """In words, too; the warning is a reason below the title."""
    writes = history(by_day)
    lines = QuietHour(writes, 300, read_consumer(PRESET)).lines
    page = render_hours(qpi_exports(Environment.DEV), writes.counts, lines, known=True)
    assert page.count('title="') == WEEK
    assert 'class="equal s4" title="Monday, 08:00 to 09:00 UTC: 320 writes"' in page
    assert '<h1 id="verdict">Quietest: Sun 05:00 to 06:00 UTC' in page
    assert "<p>MEETS the consumer&#39;s run; beside it" in page
    empty = render_hours(qpi_exports(Environment.DEV), [0] * WEEK, ["Quietest hours: not known"], known=False)
    assert empty.count('class="absent"') == WEEK
