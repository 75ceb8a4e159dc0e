"""Operations, money, time and storage."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testing_ramp import simulate

from backfill_job.copying.diff import Work
from backfill_job.dry_run.estimate import PRICES, Cost, Limit, beside_actual, estimate

COUNTS = st.integers(0, 10**10)
WORKS = st.builds(Work, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
FIELDS = (
    "source_objects",
    "destination_objects",
    "new_objects",
    "replaced_objects",
    "second_copy_bytes",
)


def test_operations_are_counted_one_by_one() -> None:
    """A rewrite a copy, a list request a page, pass and side, one a side for the folders, and two reads for each copy in a hundred."""
    found = estimate(Work(20_001, 4_000, 16_000, 500, 0), speed=1_000)

    assert found.dry_run == Cost(class_a=2 + 21 + 4, class_b=0, dollars=27 * 0.005 / 1_000)
    assert (found.execute.class_a, found.execute.class_b) == (2 + (21 + 4) + 16_500 + (21 + 20), 165 * 2)
    assert found.execute.dollars == pytest.approx(16_568 * 0.005 / 1_000 + 330 * 0.0004 / 1_000)


def test_ten_million_objects_cost_fifty_dollars() -> None:
    """The rewrites of ten million objects dominate: fifty dollars and ten cents of listing."""
    found = estimate(Work(10_000_000, 0, 10_000_000, 0, 10 * 2**30), speed=1_000)

    assert found.execute.dollars == pytest.approx(50 + 0.15 + 0.08, abs=0.01)
    assert found.storage_dollars == pytest.approx(0.20)


def test_an_empty_side_still_costs_a_request() -> None:
    """Finding nothing takes one list request a side and pass."""
    found = estimate(Work(0, 0, 0, 0, 0), speed=1_000)

    assert (found.dry_run.class_a, found.execute.class_a, found.execute.class_b) == (4, 6, 0)
    assert found.seconds == 0


def test_every_range_that_is_listed_by_itself_takes_its_requests() -> None:
    """A page of each, however few objects there are; and more where a range has more than a page."""
    few = estimate(Work(800, 0, 800, 0, 0, ranges=60), speed=1_000)
    many = estimate(Work(90_000, 0, 90_000, 0, 0, ranges=60), speed=1_000)

    assert (few.dry_run.class_a, few.execute.class_a) == (2 + 60 + 60, 2 + 60 + 60 + 800 + 60 + 60)
    assert many.dry_run.class_a == 2 + 120 + 60


def test_the_price_table_is_the_only_place_of_prices() -> None:
    """Doubled prices double every amount."""
    work = Work(5_000, 10, 4_000, 3, 10**9)
    cheap = estimate(work, speed=10)
    dear = {
        name: replace(price, region=price.region * 2, multi=price.multi * 2) for name, price in PRICES.items()
    }

    found = estimate(work, speed=10, prices=dear)

    assert found.dry_run.dollars == pytest.approx(2 * cheap.dry_run.dollars)
    assert found.execute.dollars == pytest.approx(2 * cheap.execute.dollars)
    assert found.storage_dollars == pytest.approx(2 * cheap.storage_dollars)
    for twice, once in zip(found.charges, cheap.charges, strict=True):
        assert (twice.region, twice.multi) == pytest.approx((2 * once.region, 2 * once.multi))


def test_everything_that_costs_is_named() -> None:
    """Four million copies are four million events to the reverse mirror. Class A costs twice in several regions."""
    found = estimate(Work(4_000_000, 0, 4_000_000, 0, 2 * 2**30), speed=1_000)
    charges = {charge.what.strip(): charge for charge in found.charges}

    assert charges["Class A operations"].region == pytest.approx(20.06, abs=0.01)
    assert charges["Class A operations"].multi == 2 * charges["Class A operations"].region
    assert charges["the reverse mirror's invocations"].region == pytest.approx(4 * 0.40)
    assert charges["its CPU seconds"].region == pytest.approx(4_000_000 * 0.01 * 0.000024)
    assert charges["its memory, GiB seconds"].units == 20_000
    # Cloud Run writes a line about each request, too.
    assert charges["its log lines"].region == pytest.approx(4_000_000 * 2_000 / 2**30 * 0.5)
    assert (
        charges["replication within several regions"].region,
        charges["replication within several regions"].multi,
    ) == (
        0,
        pytest.approx(2 * 0.02),
    )
    assert charges["the job's task seconds"].units == pytest.approx(found.seconds + 80)
    assert charges["the job's task seconds"].region == pytest.approx(
        charges["the job's task seconds"].units * 0.00002
    )
    assert charges["the events' messages"].region == pytest.approx(4_000_000 * 4_000 / 2**40 * 40)
    assert charges["of an Archive source"].region == pytest.approx(0.10)
    assert {charge.what for charge in estimate(Work(0, 0, 0, 0, 0), speed=1).charges} == {
        charge.what for charge in found.charges
    }


@given(WORKS, st.sampled_from(FIELDS), st.integers(0, 10**9), st.floats(0.5, 1e5))
def test_more_work_never_takes_less(work: Work, field: str, more: int, speed: float) -> None:
    """More of anything never makes an operation count, an amount or the time smaller."""
    less = estimate(work, speed=speed)
    found = estimate(replace(work, **{field: getattr(work, field) + more}), speed=speed)

    assert found.dry_run.class_a >= less.dry_run.class_a
    assert found.execute.class_a >= less.execute.class_a
    assert found.execute.class_b >= less.execute.class_b
    assert found.execute.dollars >= less.execute.dollars
    assert found.seconds >= less.seconds
    assert found.storage_dollars >= less.storage_dollars


def test_tasks_share_the_work() -> None:
    """Four tasks copy what the bucket allows in a quarter of one task's time."""
    work = Work(4_000, 0, 4_000, 0, 0)

    assert estimate(work, speed=100).seconds == 40
    assert estimate(work, speed=100, tasks=4).seconds == 10


@given(WORKS, st.floats(0.5, 1e5), st.integers(1, 100))
def test_more_tasks_never_take_longer(work: Work, speed: float, tasks: int) -> None:
    """Tasks add their speeds, and the bucket's ramp stays the floor."""
    one, many = estimate(work, speed=speed), estimate(work, speed=speed, tasks=tasks)

    assert many.speed == pytest.approx(speed * tasks)
    assert many.seconds <= one.seconds * (1 + 1e-9)
    assert many.seconds >= many.ramp_seconds * (1 - 1e-9)
    assert many.execute == one.execute


@pytest.mark.parametrize(("speed", "tasks"), [(0.0, 1), (-1.0, 1), (1.0, 0)])
def test_impossible_speeds_are_refused(speed: float, tasks: int) -> None:
    """Nobody, or anybody at no speed, would take forever, which is no estimate."""
    with pytest.raises(ValueError, match="copy nothing"):
        estimate(Work(1, 0, 1, 0, 1), speed=speed, tasks=tasks)


def test_negative_work_is_refused() -> None:
    """Counts below zero are a caller's mistake."""
    with pytest.raises(ValueError, match="below zero"):
        Work(-1, 0, 0, 0, 0)


def test_json_says_what_it_is_based_on() -> None:
    """The price table's date and source go with the figures."""
    found = estimate(Work(1, 0, 1, 0, 1), speed=1).to_json()

    assert {price["as_of"] for price in found["prices"].values()} == {"2025"}
    assert found["prices"]["class_a"]["source"] == "cloud.google.com/storage/pricing"
    assert all(price["source"].startswith("cloud.google.com/") for price in found["prices"].values())
    assert found["execute"]["class_a"] == 1 + 4 + 2


def copies(number: int) -> Work:
    return Work(number, 0, number, 0, 0)


@pytest.mark.parametrize(
    ("objects", "speed", "tasks"),
    [
        (0, 500, 1),
        (1_000, 500, 1),
        (300_000, 500, 1),
        (300_001, 500, 3),
        (5_000_000, 500, 8),
        (5_000_000, 2_000, 2),
        (5_000_000, 4_000, 1),
        (100_000_000, 500, 100),
        (100_000_000, 2_000, 30),
    ],
)
def test_recommended_tasks(objects: int, speed: float, tasks: int) -> None:
    """What one task does in ten minutes is one task's; beyond, as many as keep up with the ramp, up to a hundred."""
    assert estimate(copies(objects), speed=speed).recommended_tasks == tasks


def test_a_ceiling_makes_tasks_useless() -> None:
    """Where 1,500 writes/s are never exceeded, three tasks of 500 objects/s are all that helps, and take that long."""
    found = estimate(copies(5_000_000), speed=500, tasks=10, ceiling=1_500)

    assert (found.recommended_tasks, found.speed) == (3, 1_500)
    assert found.seconds == found.recommended_seconds > 5_000_000 / 1_500
    assert found.one_task_seconds == 10_000


@given(WORKS, st.floats(0.5, 1e5), st.none() | st.floats(1, 1e5))
def test_the_recommendation_is_neither_too_few_nor_too_many(
    work: Work, speed: float, ceiling: float | None
) -> None:
    """More tasks than recommended save nothing; one less costs time, unless one is enough."""
    found = estimate(work, speed=speed, ceiling=ceiling)
    tasks = found.recommended_tasks
    more = estimate(work, speed=speed, tasks=tasks + 1, ceiling=ceiling)

    assert 1 <= tasks <= 100
    assert found.recommended_seconds <= found.one_task_seconds
    if tasks > 1:
        less = estimate(work, speed=speed, tasks=tasks - 1, ceiling=ceiling)
        assert less.seconds > found.recommended_seconds
    if 1 < tasks < 100:
        assert more.seconds == pytest.approx(found.recommended_seconds)


def test_the_recommended_time_is_what_governors_take() -> None:
    """Eight tasks with a governor each take the time that the estimate names, and one task the other."""
    found = estimate(copies(5_000_000), speed=500)

    together = simulate(5_000_000, found.recommended_tasks, client_speed=500)
    assert found.recommended_seconds == pytest.approx(together.seconds, rel=0.005)
    assert found.one_task_seconds == simulate(5_000_000, 1, client_speed=500).seconds


def test_an_impossible_ceiling_is_refused() -> None:
    """Nothing is ever copied at no writes a second."""
    with pytest.raises(ValueError, match="no such ramp"):
        estimate(copies(1), speed=1, ceiling=0)


def test_the_estimate_beside_what_it_came_to() -> None:
    """Operations, price and time are compared line by line, with how far the estimate was off."""
    found = estimate(copies(1_000), speed=100)

    lines = beside_actual(found, class_a=1_030, class_b=5, seconds=12.5)

    assert [str(line) for line in lines] == [
        "Class A operations: 1,006 estimated, 1,030 counted (+2.4 %)",
        "Class B operations: 20 estimated, 5 counted (-75.0 %)",
        "operations cost: under $0.01 estimated, under $0.01 by the same prices (+2.3 %)",
        "copying: 10 s estimated, 12 s taken (+25.0 %)",
    ]
    assert lines[0].to_json() == {"what": "class_a", "estimated": 1_006, "actual": 1_030}
    assert lines[2].actual == pytest.approx((1_030 * 0.005 + 5 * 0.0004) / 1_000)


def test_what_was_expected_to_take_nothing_has_no_percentage() -> None:
    """Against an estimate of nothing there is no percentage, and no division by zero."""
    found = estimate(copies(0), speed=100)

    assert str(beside_actual(found, 4, 2, 1.0)[1]) == "Class B operations: 0 estimated, 2 counted"


@pytest.mark.parametrize(
    ("objects", "seconds", "asked", "limit"),
    [
        (0, 0.001, {}, None),
        (100_000, 0.001, {}, Limit.GUIDELINE),
        (100_000, None, {}, Limit.GUIDELINE),
        (100_000, 0.5, {}, Limit.LATENCY),
        (100_000, 0.5, {"tasks": 10}, Limit.GUIDELINE),
        (100_000, 0.5, {"in_flight": 2_560}, Limit.GUIDELINE),
        (100_000_000, 0.01, {}, Limit.CLIENT),
        (100_000, 0.01, {"ceiling": 100.0}, Limit.CEILING),
    ],
)
def test_the_estimate_says_what_limits_the_run(
    objects: int, seconds: float | None, asked: dict[str, Any], limit: Limit | None
) -> None:
    """The guideline on the ramp; above it the client, or fewer requests than the latency needs."""
    found = estimate(
        copies(objects), **{"speed": 5_000, "in_flight": 256, "request_seconds": seconds, **asked}
    )

    assert found.limit is limit
    assert found.to_json()["limit"] == (limit and limit.value)


def test_the_latency_lengthens_the_estimate() -> None:
    """256 requests of half a second are 512 objects a second."""
    found = estimate(copies(51_200), speed=5_000, in_flight=256, request_seconds=0.5)

    assert found.seconds == pytest.approx(100)
