"""What a person should know about the days."""

from dataclasses import replace
from datetime import date, timedelta

from backfill_job.verify.day_counts import DayCounts
from backfill_job.verify.day_warnings import day_warnings
from shared.verification import NO_OBJECTS, DayTotals

TODAY = date(2024, 3, 10)


def days(counts: dict[str | None, tuple[int, int]], *, empty: int = 0, **more: object) -> list[str]:
    counted = DayCounts(**more)  # type: ignore[arg-type]
    for text, (ours, theirs) in counts.items():
        day = None if text is None else date.fromisoformat(text)
        source, destination = (
            replace(NO_OBJECTS, objects=number, jsonl=number, empty_jsonl=min(empty, number))
            for number in (ours, theirs)
        )
        counted.add_day(DayTotals.of(day, source, destination, {}))
    return [
        f"{found.level.value} {found.kind} {found.day}: {found.text}"
        for found in day_warnings(counted, TODAY)
    ]


def test_two_equal_sides_without_gaps_need_no_remark() -> None:
    """Silence is good news."""
    assert days({"2024-03-08": (30, 30), "2024-03-09": (30, 30), "2024-03-10": (3, 3), None: (2, 2)}) == []


def test_fewer_jsonl_files_are_critical_whatever_else_holds() -> None:
    """Also for those without a day; more at the destination is not."""
    assert days({"2024-03-09": (3, 2), "2024-03-10": (2, 3), None: (1, 0)}) == [
        "critical jsonl_missing 2024-03-09: 2024-03-09: 3 JSONL files at the source, 2 at the destination",
        "critical jsonl_missing None: without a day: 1 JSONL file at the source, 0 at the destination",
    ]


def test_missing_days_are_named_in_stretches() -> None:
    """Between the first and the last day that has data."""
    assert days({"2024-03-01": (1, 1), "2024-03-03": (1, 1), "2024-03-07": (1, 1)}) == [
        "warning missing_day 2024-03-02: 2024-03-02: no JSONL data at the source",
        "warning missing_day 2024-03-04: 2024-03-04 to 2024-03-06 (3 days): no JSONL data at the source",
    ]


def test_dates_that_cannot_be_are_named() -> None:
    """Tomorrow can be today somewhere; the day after cannot."""
    found = days({"2024-03-11": (1, 1), "2024-03-12": (1, 1)}, impossible_dates={"20240231": 4})
    assert found == [
        "warning impossible_date None: 20240231: no calendar has this day; 4 objects",
        "warning future_date 2024-03-12: 2024-03-12: in the future; 1 object",
    ]


def test_a_day_far_outside_its_neighbours_is_named() -> None:
    """Five times their median or a fifth; not today, which has only begun, and not among small counts."""

    def month(odd: int, usual: int) -> dict[str | None, tuple[int, int]]:
        counts = {(TODAY - timedelta(days=number)).isoformat(): (usual, usual) for number in range(10)}
        return {**counts, "2024-03-05": (odd, odd), "2024-03-10": (1, 1)}

    assert days(month(500, 100)) == []
    assert days(month(20, 100)) == []
    assert days(month(501, 100)) == [
        "warning outlier 2024-03-05: 2024-03-05: 501 objects at the source, where its neighbours have 100"
    ]
    assert days(month(19, 100)) == [
        "warning outlier 2024-03-05: 2024-03-05: 19 objects at the source, where its neighbours have 100"
    ]
    assert days(month(1, 19)) == []


def test_empty_files_are_a_note() -> None:
    """They load as no rows."""
    assert days({"2024-03-09": (3, 3)}, empty=2) == [
        "note empty_jsonl 2024-03-09: 2024-03-09: 2 empty JSONL files at the source, 2 at the destination"
    ]
