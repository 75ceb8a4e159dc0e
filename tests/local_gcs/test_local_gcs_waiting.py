"""Waiting for progress, on a clock that only the test moves."""

import asyncio

import pytest

from local_gcs.waiting import LONGEST_STEP, NothingMoved, Patience, wait_until, wait_until_async


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_as_long_as_it_moves_no_time_is_too_long() -> None:
    """A machine a thousand times too slow is no failure."""
    clock = Clock()
    patience = Patience("the copy", still=60, monotonic=clock)
    for copied in range(1_000):
        for _ in range(10):
            patience.saw(copied, copied)
            clock.now += LONGEST_STEP


def test_what_stands_still_is_given_up_and_named() -> None:
    """After the stated time without a change, whatever else has changed."""
    clock = Clock()
    patience = Patience("the delivery", still=60, monotonic=clock)
    patience.saw(7, {"delivered": 7, "failed": 0})
    for failed in range(12):
        clock.now += LONGEST_STEP
        patience.saw(7, {"delivered": 7, "failed": failed})
    clock.now += LONGEST_STEP
    with pytest.raises(NothingMoved, match=r"the delivery: nothing has moved for 60 s; .*'failed': 12"):
        patience.saw(7, {"delivered": 7, "failed": 12})


def test_a_laptop_that_slept_has_not_waited() -> None:
    """An hour between two looks is one look."""
    clock = Clock()
    patience = Patience("the delivery", still=60, monotonic=clock)
    for _ in range(12):
        patience.saw(7, 7)
        clock.now += 3_600


def test_both_waits_return_what_they_saw_and_give_up() -> None:
    """With a thread's sleep, and with an event loop's."""
    seen = iter(range(10))
    assert wait_until(lambda: next(seen), lambda count: count == 3, "three", poll=0) == 3
    assert asyncio.run(wait_until_async(lambda: next(seen), lambda count: count == 6, "six", poll=0)) == 6
    with pytest.raises(NothingMoved, match="stands at 7"):
        wait_until(lambda: 7, lambda _: False, "never", still=0)
    with pytest.raises(NothingMoved, match="stands at 7"):
        asyncio.run(wait_until_async(lambda: 7, lambda _: False, "never", still=0))
