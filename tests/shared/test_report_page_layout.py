"""Where things stand in the drawings: pure arithmetic."""

from datetime import date, timedelta
from typing import Any

import report_samples as samples
from hypothesis import given
from hypothesis import strategies as st

from shared.report.charts import (
    LAG_HEIGHT,
    VOLUME_HEIGHT,
    Cell,
    HeatMap,
    _binary_tick,
    _round_tick,
    heat_map,
    lag_chart,
    volume,
)
from shared.verification import DayState, DayTotals, Lag, LagBucket, Level, Remark

STATES = ["equal", "equal", "equal", "differing", "missing", "in_flight", "absent"]


def read_days(made: list[dict[str, Any]]) -> tuple[DayTotals, ...]:
    return samples.read(samples.verification(made)).days


days_strategy = st.builds(
    lambda first, states, sizes: read_days(
        [
            samples.day(first + timedelta(days=number), 0 if state == "absent" else size, state)
            for number, (state, size) in enumerate(zip(states, sizes, strict=False))
        ]
    ),
    st.dates(date(1, 1, 1), date(9998, 1, 1)),
    st.lists(st.sampled_from(STATES), min_size=1, max_size=120),
    st.lists(st.integers(1, 100_000), min_size=120, max_size=120),
)


def cells_of(drawn: HeatMap) -> list[tuple[int, int, Cell]]:
    """Every cell with its row and column."""
    return [
        (row, column, cell)
        for year in drawn.years
        for month in year.months
        if month
        for row, cells in enumerate(month.rows)
        for column, cell in enumerate(cells)
        if cell
    ]


@given(days_strategy)
def test_every_day_has_one_cell_in_its_weekday_s_row_and_its_week_s_column(
    days: tuple[DayTotals, ...],
) -> None:
    """Weeks start on Monday; only months without any object are left out."""
    drawn = heat_map(days, [])
    cells = cells_of(drawn)
    months = {(day.day.year, day.day.month) for day in days if day.day and day.verdict is not DayState.ABSENT}
    assert sorted(cell.day for _, _, cell in cells) == [
        day.day for day in days if day.day and (day.day.year, day.day.month) in months
    ]
    assert len({year for year, _ in months}) != 1 or None not in drawn.years[0].months
    for row, column, cell in cells:
        assert row == cell.day.weekday()
        monday_of_first = cell.day.replace(day=1).toordinal() - cell.day.replace(day=1).weekday()
        assert column == (cell.day.toordinal() - monday_of_first) // 7
    assert sum(drawn.states.values()) == len(days)
    numbers = [year.number for year in drawn.years]
    assert len(numbers) == len(set(numbers))


@given(days_strategy)
def test_darker_means_more_objects(days: tuple[DayTotals, ...]) -> None:
    """Equal days are shaded in the order of their counts, and the legend's ranges hold every one of them."""
    drawn = heat_map(days, [])
    sizes = {day.day: day.source.objects for day in days}
    shaded = [(sizes[cell.day], cell.look) for _, _, cell in cells_of(drawn) if cell.look.startswith("equal")]
    assert [look for _, look in sorted(shaded)] == sorted(look for _, look in shaded)
    ranges = {
        shade.look: [int(text.replace(",", "")) for text in shade.text.split("\u2013")]
        for shade in drawn.shades
    }
    for size, look in shaded:
        assert ranges[look][0] <= size <= ranges[look][-1]


def test_years_without_objects_are_one_line() -> None:
    """A mistyped date must not open centuries of empty cells."""
    first = date(2024, 12, 30)
    last = date(2062, 1, 2)
    states = {first + timedelta(days=number): "absent" for number in range(1, (last - first).days)}
    drawn = heat_map(read_days(samples.days(first, (last - first).days + 1, states)), [])
    assert [(year.number, bool(year.months)) for year in drawn.years] == [
        ("2024", True),
        ("2025\u20132061", False),
        ("2062", True),
    ]


def test_a_cell_says_all_there_is() -> None:
    """The state in words and by letter, both sides' counts, what became of the names, what was remarked."""
    when = date(2024, 3, 5)
    days = read_days([samples.day(when, 812, "missing"), samples.day(when + timedelta(days=1), 1)])
    remark = Remark(Level.CRITICAL, "jsonl_missing", when, "look\u202e here")
    (_, _, missing), (_, _, equal) = cells_of(heat_map(days, [remark]))
    assert missing.lines == (
        "Tuesday 5 March 2024: missing",
        "Source: 812 objects, 485.3 KiB",
        "Destination: 803 objects, 479.9 KiB",
        "803 equal, 9 missing",
        r"look\u202e here",
    )
    assert (missing.letter, missing.look) == ("M", "missing remarked")
    assert equal.lines == ("Wednesday 6 March 2024: equal", "1 object, 612 B on both sides")
    assert (equal.letter, equal.look) == ("", "equal s4")


@given(st.integers(1, 2**62))
def test_an_axis_has_one_to_five_round_steps(highest: int) -> None:
    """Of 1, 2 or 5 times a power of ten, or that in units of 1,024."""
    for tick in (_round_tick, _binary_tick):
        step = tick(highest)
        assert 1 <= -(-highest // step) <= 5
    assert str(_round_tick(highest)).rstrip("0") in {"1", "2", "5"}


@given(days_strategy)
def test_bars_are_as_high_as_their_months_are_large(days: tuple[DayTotals, ...]) -> None:
    """Both sides on one scale, over all years; nothing that is there is drawn as nothing."""
    drawn = volume(days)
    assert sum(month.source_objects for month in drawn.months) == sum(day.source.objects for day in days)
    assert sum(month.destination_bytes for month in drawn.months) == sum(
        day.destination.bytes for day in days
    )
    for scale in drawn.scales:
        bars = [bar for panel in scale.panels for bar in panel.bars]
        assert len(bars) == 2 * len(drawn.months)
        for bar in bars:
            assert bar.y >= 0
            assert round(bar.y + bar.height, 1) == VOLUME_HEIGHT
            assert 0 <= bar.x <= bar.x + drawn.bar <= 100
    heights = [bar.height for panel in drawn.scales[0].panels for bar in panel.bars]
    sizes = [size for month in drawn.months for size in (month.source_objects, month.destination_objects)]
    for height, size in zip(heights, sizes, strict=True):
        assert (height > 0) is (size > 0)
        # Proportional, but for rounding, and for what is too small to be seen otherwise.
        assert abs(height - max(heights) * size / max(sizes)) < 0.2 or height == 1.0


def test_a_month_that_is_not_equal_is_marked() -> None:
    """Even when both sides have as much: contents may differ."""
    states = {date(2024, 2, 3): "differing"}
    drawn = volume(read_days(samples.days(date(2024, 1, 1), 91, states)))
    assert [month.agrees for month in drawn.months] == [True, False, True]
    assert drawn.months[1].unequal == "1 differing"
    assert drawn.scales[0].panels[0].marks == (50.0,)


def test_only_months_with_objects_are_drawn() -> None:
    """In the calendar and in the volume: from the first month of any year to the last, so that years stand under each other."""
    days = samples.days(date(2023, 11, 20), 12) + samples.days(date(2024, 9, 1), 10)
    gap = samples.days(
        date(2023, 12, 2), 274, {date(2023, 12, 2) + timedelta(number): "absent" for number in range(274)}
    )
    found = read_days([*days[:12], *gap, *days[12:]])
    drawn, bars = heat_map(found, []), volume(found).scales[0].panels
    assert [[month.name for month in year.months if month] for year in drawn.years] == [
        ["November 2023", "December 2023"],
        ["September 2024"],
    ]
    assert [panel.letters for panel in bars] == [(("N", 62.5), ("D", 87.5)), (("S", 12.5),)]


def made_lag(bounds: list[float | None], objects: list[int], **values: float | None) -> Lag:
    file = samples.lag(
        buckets=[
            {"up_to_s": bound, "objects": number} for bound, number in zip(bounds, objects, strict=True)
        ],
        **values,
    )
    found = samples.read(samples.clean(1) | {"lag": file}).lag
    assert found is not None
    return found


@given(st.lists(st.floats(0.001, 1e6), min_size=2, max_size=2), st.floats(0.0, 1e5))
def test_a_longer_lag_stands_further_right(lags: list[float], longest: float) -> None:
    """Whatever bucket it is in; and always within the drawing."""
    shorter, longer = sorted(lags)
    lag = made_lag(
        [0.1, 1.0, 60.0, None],
        [1, 2, 3, 4],
        p50_s=shorter,
        p90_s=longer,
        p99_s=None,
        max_s=max(longest, longer),
    )
    one, other = lag_chart(lag).marks
    assert 0 <= one.x <= other.x <= 100


def test_a_percentile_stands_in_its_bucket() -> None:
    """At its bounds exactly, between them by the logarithm."""
    lag = made_lag([1.0, 100.0, None], [5, 4, 1], p50_s=1.0, p90_s=10.0, p99_s=100.0, max_s=1000.0)
    assert [round(mark.x * 3 / 100, 2) for mark in lag_chart(lag).marks] == [1.0, 1.5, 2.0]


def test_the_histogram_s_bars_are_its_buckets() -> None:
    """In order, as high as they are full, with their share in words that never round to none or to all."""
    drawn = lag_chart(made_lag([0.1, 60.0, None], [1, 100_000, 50_000]))
    assert [(bar.range, bar.objects, bar.share) for bar in drawn.bars] == [
        ("up to 100 ms", 1, "under 0.1 %"),
        ("100 ms to 1 min", 100_000, "66.7 %"),
        ("over 1 min", 50_000, "33.3 %"),
    ]
    assert [bar.height for bar in drawn.bars] == [1.0, LAG_HEIGHT, LAG_HEIGHT / 2]
    nearly = lag_chart(made_lag([0.1, None], [99_999, 1]))
    assert [bar.share for bar in nearly.bars] == ["over 99.9 %", "under 0.1 %"]
    assert LagBucket(None, 1) == made_lag([0.1, None], [99_999, 1]).buckets[1]
