"""Several asynchronous workers on one stream of items: the pool that this package uses.

`work` draws one item after the other and does each with one of N workers. Only the items under way are held, so memory
does not grow with the stream. There are no results to collect: `do` reports its own result as soon as it has one, which
is the order of completion.

The end comes in one of four ways:

- The stream ends: `work` returns when the last item is done.
- A worker fails, or drawing fails: `work` draws no more items. Items under way have ``after_failure`` seconds.
- A stop is requested: `work` draws no more items. Items under way have ``after_stop`` seconds.
- The caller is cancelled: `work` cancels every item under way.

One worker draws at a time. It hands items to the workers that wait until no worker waits, and then does the next item itself. So
the items that come together also start together, in one turn of the event loop.

`do` receives every item that is drawn. It receives `asyncio.CancelledError` when its time is over, and may report the item as
unfinished. `work` raises the first failure, and only when no worker runs any more.
"""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from math import inf
from typing import Generic, TypeVar

from backfill_job.run.stopping import Stop

__all__ = ["work"]

STOP_POLL = 0.1
"""Seconds after which a stop is noticed even if every worker hangs."""

_Item = TypeVar("_Item")
_Workers = set[asyncio.Task[None]]


async def work(
    items: Iterable[_Item] | AsyncIterable[_Item],
    do: Callable[[_Item], Awaitable[None]],
    *,
    workers: int,
    stop: Stop | None = None,
    after_stop: float = 0.0,
    after_failure: float = 0.0,
) -> None:
    """Do every item.

    Args:
        items: Drawn from one at a time. The caller closes an asynchronous generator.
        stop: Looked at before each item is drawn, and every `STOP_POLL` seconds.
        after_stop: Seconds that items under way may take after a stop; `math.inf` to wait for them.
        after_failure: Seconds that the other items under way may take after a failure; `math.inf` to wait for them.

    Raises:
        Interrupted: A stop was requested before the end of the items, or items were cancelled for it.
        Exception: The first that `items` or `do` raised.
    """
    await _Pool(items, do, stop or Stop()).run(workers, after_stop, after_failure)


async def _each(items: Iterable[_Item]) -> AsyncGenerator[_Item, None]:
    for item in items:
        yield item


def _first_failure(tasks: _Workers) -> asyncio.Task[tuple[_Workers, _Workers]]:
    """A task that ends with the first of these that fails, or with the last of them; it gives the ended and the others."""
    return asyncio.create_task(asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION))


class _Pool(Generic[_Item]):
    """The workers and what they draw from."""

    def __init__(
        self,
        items: Iterable[_Item] | AsyncIterable[_Item],
        do: Callable[[_Item], Awaitable[None]],
        stop: Stop,
    ) -> None:
        self._items: AsyncIterator[_Item] = aiter(items if isinstance(items, AsyncIterable) else _each(items))
        self._do = do
        self._stop = stop
        self._drawing = False
        self._waiting: deque[asyncio.Future[tuple[_Item, ...]]] = deque()
        self._ended = False
        self._failure: BaseException | None = None
        self._interrupted = False

    async def run(self, workers: int, after_stop: float, after_failure: float) -> None:
        tasks = {asyncio.create_task(self._work()) for _ in range(workers)}
        try:
            await self._watch(tasks, after_stop, after_failure)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if self._failure is not None:
            raise self._failure
        if self._interrupted:
            self._stop.check()

    async def _watch(self, tasks: _Workers, after_stop: float, after_failure: float) -> None:
        """Wait for the workers to end, or for the end of their time."""
        now = asyncio.get_running_loop().time
        stopped_at = failed_at = inf
        # Each look waits for this one task: to wait for every worker costs CPU time for every worker at every look.
        ended = _first_failure(tasks)
        try:
            while tasks:
                await asyncio.wait({ended}, timeout=STOP_POLL)
                if ended.done():
                    _, tasks = ended.result()
                    ended = _first_failure(tasks) if tasks else ended
                stopped_at = min(stopped_at, now()) if self._stop.by else inf
                failed_at = min(failed_at, now()) if self._failure is not None else inf
                if now() >= min(stopped_at + after_stop, failed_at + after_failure):
                    self._interrupted = self._interrupted or bool(tasks)
                    return
        finally:
            ended.cancel()

    async def _work(self) -> None:
        try:
            while item := (await self._handed() if self._drawing else await self._own()):
                await self._do(*item)
        except BaseException as error:
            if not isinstance(error, asyncio.CancelledError):
                self._failure = self._failure or error
            raise
        finally:
            # However this worker ended, no other worker draws another item.
            self._ended = True

    async def _own(self) -> tuple[_Item, ...]:
        """Draw for every worker that waits, and then for this one; empty where there is nothing left to draw.

        While workers wait, one of them draws. So each of them gets an item, or hears of the end.
        """
        self._drawing = True
        item: tuple[_Item, ...] = ()
        try:
            while (item := await self._drawn()) and (turn := self._next_turn()):
                turn.set_result(item)
                item = ()
            return item
        finally:
            self._drawing = False
            while not item and (turn := self._next_turn()):
                turn.set_result(())

    async def _drawn(self) -> tuple[_Item, ...]:
        if self._ended:
            return ()
        if self._stop.by:
            self._interrupted = True
            return ()
        try:
            return (await anext(self._items),)
        except StopAsyncIteration:
            return ()

    def _next_turn(self) -> "asyncio.Future[tuple[_Item, ...]] | None":
        """The worker that has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():  # else it was cancelled
                return turn
        return None

    async def _handed(self) -> tuple[_Item, ...]:
        """Wait for an item from the worker that draws."""
        turn: asyncio.Future[tuple[_Item, ...]] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or turn.cancelled() or not turn.result():
                raise
            # An item came together with the cancellation: `do` receives both.
            task.cancel()
            return turn.result()
