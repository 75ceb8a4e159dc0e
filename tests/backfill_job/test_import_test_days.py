"""Which days an import test is asked for."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.import_test.day import MAX_DAYS, chosen_days
from shared.errors import UsageError

TODAY = date(2024, 3, 2)


def days(
    *dates: str, first: str | None = None, last: str | None = None, last_days: str | None = None
) -> list[str]:
    return [str(day) for day in chosen_days(dates, first, last, last_days, today=TODAY)]


def test_dates_come_in_order_and_once() -> None:
    """--date may be repeated; a day is tested once."""
    assert days("20240102", "20231231", "20240102") == ["2023-12-31", "2024-01-02"]
    twenty = [f"202401{number:02}" for number in range(1, 21)]
    assert days(*reversed(twenty)) == [f"2024-01-{number:02}" for number in range(1, 21)]


def test_a_range_has_both_its_ends_and_leap_days() -> None:
    """--from and --to are inclusive."""
    expected = ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert days(first="20240228", last="20240301") == expected
    assert days(first="20240228", last="20240228") == ["2024-02-28"]


def test_the_last_days_end_yesterday() -> None:
    """Today is still being written, so --last leaves it out."""
    assert days(last_days="3") == ["2024-02-28", "2024-02-29", "2024-03-01"]
    assert days(last_days="1") == ["2024-03-01"]


@given(st.dates(min_value=date(1000, 1, 1), max_value=date(9899, 12, 31)))
def test_every_calendar_day_is_read_as_itself(day: date) -> None:
    """As the screens show it, and as it stands in the names."""
    assert chosen_days([f"{day}"], None, None, None, today=TODAY) == (day,)
    assert chosen_days([f"{day:%Y%m%d}"], None, None, None, today=TODAY) == (day,)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024",
        "20240230",
        "20241301",
        "2024-1-01",
        "2024-02-30",
        "20240101 ",
        "٢٠٢٤٠١٠١",
        "00000101",
        "00010101",
        "99991231",
        "20240101x",
        "today",
    ],
)
def test_what_is_no_day_is_refused_by_name(text: str) -> None:
    """One line names the option and the form wanted."""
    with pytest.raises(UsageError, match=r"--date .* is not a day; write it as --date 2024-01-31"):
        days(text)
    with pytest.raises(UsageError, match="--to"):
        days(first="20240101", last=text)


@pytest.mark.parametrize("text", ["0", "-1", "", "1.5", "x", str(MAX_DAYS + 1), "9" * 5_000, "٣"])
def test_what_is_no_number_of_days_is_refused(text: str) -> None:
    """--last takes 1 up to the most that one run tests."""
    with pytest.raises(UsageError, match="--last"):
        days(last_days=text)


def test_exactly_one_way_to_say_it_is_wanted() -> None:
    """None, two of them, and half a range are refused."""
    with pytest.raises(UsageError, match="say which days"):
        days()
    with pytest.raises(UsageError, match="say which days"):
        days("20240101", last_days="3")
    with pytest.raises(UsageError, match="say which days"):
        days("20240101", first="20240101", last="20240102")
    with pytest.raises(UsageError, match="belong together"):
        days(first="20240101")
    with pytest.raises(UsageError, match="belong together"):
        days(last="20240101")


def test_a_range_the_wrong_way_round_or_without_measure_is_refused() -> None:
    """A mistyped year does not test a thousand years."""
    with pytest.raises(UsageError, match="comes after"):
        days(first="20240102", last="20240101")
    with pytest.raises(UsageError, match="at most 5,000"):
        days(first="02240101", last="20240101")
    last = date(2000, 1, 1) + timedelta(MAX_DAYS - 1)
    assert len(days(first="20000101", last=f"{last:%Y%m%d}")) == MAX_DAYS
