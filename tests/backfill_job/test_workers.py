"""The pool of workers: what is drawn, what is under way, and how it ends."""

import asyncio
import gc
from collections.abc import AsyncGenerator, Iterator
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.run.stopping import Stop
from backfill_job.run.workers import STOP_POLL, work
from shared.errors import Interrupted


class Items:
    """Numbers, and how many of them were drawn."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.drawn = 0

    def __iter__(self) -> Iterator[int]:
        for item in range(self.number):
            self.drawn += 1
            yield item

    async def later(self) -> AsyncGenerator[int, None]:
        for item in self:
            await asyncio.sleep(0)
            yield item


@given(st.integers(0, 30), st.integers(1, 8), st.booleans())
def test_every_item_is_done_once_and_no_more_at_once_than_workers(
    number: int, workers: int, later: bool
) -> None:
    """Of an iterable and of an asynchronous one; an item is drawn only when a worker is free for it."""
    items, done, under_way, most = Items(number), [], 0, 0

    async def do(item: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        assert items.drawn - len(done) <= workers
        for _ in range(item % 3):
            await asyncio.sleep(0)
        under_way -= 1
        done.append(item)

    asyncio.run(work(items.later() if later else items, do, workers=workers))
    assert sorted(done) == list(range(number))
    assert most <= workers


def test_results_come_in_the_order_of_completion() -> None:
    """A slow item holds up no other."""
    done: list[int] = []

    async def do(item: int) -> None:
        while item == 0 and len(done) < 9:
            await asyncio.sleep(0)
        done.append(item)

    asyncio.run(work(range(10), do, workers=2))
    assert done == [*range(1, 10), 0]


def test_a_failure_cancels_what_is_under_way() -> None:
    """And nothing more is drawn; the failure is raised when all have ended."""
    items, cancelled = Items(100), []

    async def do(item: int) -> None:
        if item == 3:
            await asyncio.sleep(0)
            raise ValueError("three")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    with pytest.raises(ValueError, match="three"):
        asyncio.run(work(items, do, workers=4))
    assert (items.drawn, sorted(cancelled)) == (4, [0, 1, 2])


def test_after_a_failure_the_others_may_finish() -> None:
    """With ``after_failure``: they report as ever, no other item is drawn, and the first failure is raised."""
    items, done = Items(100), []

    async def do(item: int) -> None:
        while items.drawn < 4:
            await asyncio.sleep(0)
        if item in {1, 2}:
            raise ValueError(str(item))
        for _ in range(5):
            await asyncio.sleep(0)
        done.append(item)

    with pytest.raises(ValueError, match="1"):
        asyncio.run(work(items, do, workers=4, after_failure=inf))
    assert (items.drawn, sorted(done)) == (4, [0, 3])


def test_items_that_cannot_be_drawn_end_it() -> None:
    """A listing that fails: what was drawn before may finish, or is cancelled."""

    async def broken() -> AsyncGenerator[int, None]:
        yield 1
        raise ValueError("not sorted")

    for after_failure, expected in ((inf, [1]), (0.0, [])):
        done = []

        async def do(item: int, done: list[int] = done) -> None:
            for _ in range(5):
                await asyncio.sleep(0)
            done.append(item)

        with pytest.raises(ValueError, match="not sorted"):
            asyncio.run(work(broken(), do, workers=2, after_failure=after_failure))
        assert done == expected


def test_a_stop_cancels_workers_that_hang() -> None:
    """Without ``after_stop``; each may still say what became of its item."""
    stop, items, cancelled = Stop(), Items(100), []

    async def do(item: int) -> None:
        stop.by = "SIGTERM"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    with pytest.raises(Interrupted, match="SIGTERM"):
        asyncio.run(work(items, do, workers=3, stop=stop))
    assert cancelled == [0]
    assert items.drawn == 1


def test_after_a_stop_items_under_way_may_finish() -> None:
    """With ``after_stop``; it is still an interruption, because items are left."""
    stop, items, done = Stop(), Items(100), []

    async def do(item: int) -> None:
        await asyncio.sleep(0)
        stop.by = "SIGTERM"
        await asyncio.sleep(0)
        done.append(item)

    with pytest.raises(Interrupted):
        asyncio.run(work(items, do, workers=3, stop=stop, after_stop=inf))
    assert (items.drawn, sorted(done)) == (3, [0, 1, 2])


@pytest.mark.parametrize("after_stop", [inf, 1000.0])
def test_after_a_stop_items_have_the_whole_of_their_time(after_stop: float) -> None:
    """Also those that take longer than it takes to notice the stop."""
    stop, done = Stop(), []

    async def do(item: int) -> None:
        stop.by = "SIGTERM"
        await asyncio.sleep(3 * STOP_POLL)
        done.append(item)

    with pytest.raises(Interrupted):
        asyncio.run(work(range(9), do, workers=1, stop=stop, after_stop=after_stop))
    assert done == [0]


def test_what_does_not_finish_in_its_time_after_a_stop_is_cancelled() -> None:
    """The time is an upper bound, for all of them together."""
    stop, cancelled = Stop(), []

    async def do(item: int) -> None:
        stop.by = "SIGTERM"
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    with pytest.raises(Interrupted):
        asyncio.run(work(range(9), do, workers=1, stop=stop, after_stop=0.15))
    assert cancelled == [0]


def test_a_stop_that_comes_when_everything_is_done_interrupts_nothing() -> None:
    """Nothing was left out."""
    stop, done, ended = Stop(), [], asyncio.Event()

    async def items() -> AsyncGenerator[int, None]:
        yield 1
        ended.set()

    async def do(item: int) -> None:
        await ended.wait()
        stop.by = "SIGTERM"
        done.append(item)

    asyncio.run(work(items(), do, workers=2, stop=stop, after_stop=inf))
    assert done == [1]


def test_a_stop_before_the_first_item_draws_nothing() -> None:
    """What is drawn has to be accounted for."""
    items = Items(5)

    async def do(_: int) -> None:
        raise AssertionError

    with pytest.raises(Interrupted):
        asyncio.run(work(items, do, workers=2, stop=Stop(by="SIGINT")))
    assert items.drawn == 0


def test_a_caller_that_is_cancelled_leaves_no_worker_behind() -> None:
    """Every item under way is cancelled, and the cancellation goes on."""
    started, cancelled = [], []

    async def do(item: int) -> None:
        started.append(item)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append(item)

    async def main() -> None:
        task = asyncio.create_task(work(range(9), do, workers=3))
        while len(started) < 3:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert sorted(cancelled) == [0, 1, 2]
    gc.collect()  # a task whose exception was not retrieved would warn now


def test_items_that_come_together_start_together() -> None:
    """In one turn of the event loop: a turn for each would cost as much as the item."""
    turns, started = 0, []

    async def items() -> AsyncGenerator[int, None]:
        for _ in range(3):
            await asyncio.sleep(0)  # meanwhile every other worker waits
        for item in range(8):
            yield item

    async def do(_: int) -> None:
        started.append(turns)
        await asyncio.sleep(0)

    async def main() -> None:
        nonlocal turns
        task = asyncio.create_task(work(items(), do, workers=8))
        while not task.done():
            turns += 1
            await asyncio.sleep(0)

    asyncio.run(main())
    assert len(started) == 8
    assert max(started) - min(started) <= 1  # the worker that draws starts its own at once


def test_an_item_that_comes_together_with_a_cancellation_is_not_lost() -> None:
    """`do` receives the item, and then the cancellation."""
    cancelled = []

    async def items() -> AsyncGenerator[int, None]:
        for _ in range(3):
            await asyncio.sleep(0)
        yield 1
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.Event().wait()

    async def do(item: int) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(item)
            raise

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(work(items(), do, workers=2))
    assert cancelled == [1]
