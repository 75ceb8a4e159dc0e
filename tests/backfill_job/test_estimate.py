"""Operations, money, time and storage."""

from dataclasses import replace
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.estimate import PRICES, Cost, Work, estimate, seconds_under_ramp

COUNTS = st.integers(0, 10**10)
RATES = st.floats(0.5, 1e6)

WORKS = st.builds(Work, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
FIELDS = (
    "source_objects",
    "destination_objects",
    "new_objects",
    "replaced_objects",
    "second_copy_bytes",
)


def test_operations_are_counted_one_by_one() -> None:
    """A rewrite a copy, a list request a page, pass and side, and two reads for each copy in a hundred."""
    found = estimate(Work(20_001, 4_000, 16_000, 500, 0), speed=1_000)

    assert found.dry_run == Cost(class_a=21 + 4, class_b=0, dollars=25 * 0.005 / 1_000)
    assert (found.execute.class_a, found.execute.class_b) == ((21 + 4) + 16_500 + (21 + 20), 165 * 2)
    assert found.execute.dollars == pytest.approx(16_566 * 0.005 / 1_000 + 330 * 0.0004 / 1_000)


def test_ten_million_objects_cost_fifty_dollars() -> None:
    """The rewrites of ten million objects dominate: fifty dollars and ten cents of listing."""
    found = estimate(Work(10_000_000, 0, 10_000_000, 0, 10 * 2**30), speed=1_000)

    assert found.execute.dollars == pytest.approx(50 + 0.15 + 0.08, abs=0.01)
    assert found.storage_dollars == pytest.approx(0.20)


def test_an_empty_side_still_costs_a_request() -> None:
    """Finding nothing takes one list request a side and pass."""
    found = estimate(Work(0, 0, 0, 0, 0), speed=1_000)

    assert (found.dry_run.class_a, found.execute.class_a, found.execute.class_b) == (2, 4, 0)
    assert found.seconds == 0


def test_the_price_table_is_the_only_place_of_prices() -> None:
    """Doubled prices double every amount."""
    work = Work(5_000, 10, 4_000, 3, 10**9)
    cheap = estimate(work, speed=10)
    dear = replace(PRICES, class_a=PRICES.class_a * 2, class_b=PRICES.class_b * 2, storage=PRICES.storage * 2)

    found = estimate(work, speed=10, prices=dear)

    assert found.dry_run.dollars == pytest.approx(2 * cheap.dry_run.dollars)
    assert found.execute.dollars == pytest.approx(2 * cheap.execute.dollars)
    assert found.storage_dollars == pytest.approx(2 * cheap.storage_dollars)


@pytest.mark.parametrize(
    ("writes", "seconds"),
    [
        (0, 0),
        (1_000, 1),
        (1_200_000, 1_200),
        (1_200_000 + 2_000, 1_201),
        (1_200_000 + 2_400_000 + 4_000, 2_401),
    ],
)
def test_the_ramp(writes: int, seconds: float) -> None:
    """A bucket takes 1,000 writes/s for twenty minutes, 2,000 for the next twenty, and so on."""
    assert seconds_under_ramp(writes) == seconds


def test_the_slower_of_bucket_and_client_counts_at_every_moment() -> None:
    """A client of 1,500 objects/s is held back to 1,000 in the first twenty minutes and then goes at its own speed."""
    assert seconds_under_ramp(1_200_000 + 15_000, cap=1_500) == 1_210


@given(COUNTS, RATES, st.floats(1, 1e5), RATES)
def test_never_faster_than_the_ramp(writes: int, start: float, doubling: float, cap: float) -> None:
    """What is written in the time found, at the highest rate allowed in each period, is what was asked for."""
    seconds = seconds_under_ramp(writes, start=start, doubling=doubling, cap=cap)

    written, left, rate = 0.0, seconds, start
    while left > 0 and rate < cap:
        written += rate * min(left, doubling)
        left, rate = left - doubling, rate * 2
    assert written + max(left, 0) * cap == pytest.approx(writes, rel=1e-6, abs=1e-6)


@given(COUNTS, RATES, RATES)
def test_neither_bucket_nor_client_is_outrun(writes: int, start: float, cap: float) -> None:
    """It takes at least as long as the ramp without a client, and as the client without a ramp."""
    seconds = seconds_under_ramp(writes, start=start, cap=cap)

    assert seconds >= seconds_under_ramp(writes, start=start, cap=inf) * (1 - 1e-9)
    assert seconds >= writes / cap * (1 - 1e-9)


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


@pytest.mark.parametrize(
    ("writes", "start", "doubling", "cap"), [(1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0), (-1, 1, 1, 1)]
)
def test_impossible_ramps_are_refused(writes: int, start: float, doubling: float, cap: float) -> None:
    """A ramp that never ends or runs backwards is refused."""
    with pytest.raises(ValueError, match="no such ramp"):
        seconds_under_ramp(writes, start=start, doubling=doubling, cap=cap)


def test_negative_work_is_refused() -> None:
    """Counts below zero are a caller's mistake."""
    with pytest.raises(ValueError, match="less than zero"):
        Work(-1, 0, 0, 0, 0)


def test_json_says_what_it_is_based_on() -> None:
    """The price table's date and source go with the figures."""
    found = estimate(Work(1, 0, 1, 0, 1), speed=1).to_json()

    assert found["prices"]["as_of"] == "2025"
    assert found["prices"]["source"] == "cloud.google.com/storage/pricing-examples"
    assert found["execute"]["class_a"] == 1 + 4
