"""The writer: a history at once, or live at a rate that the mirrors carry; some users answer again.

A user's submissions come one after the other, each with new contents. An upload that fails, or whose answer is lost, is
repeated until it is acknowledged, as the QPI system does. Only an acknowledged upload counts.

The machine's speed decides how much mirrors can do. So the live writer slows down as events wait for them, and stops at a
bound: what waits longer would only make every verification longer.

Apart from `story`, because the end-to-end tests and the benchmark write with it, too.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import quote
from zlib import crc32

import aiohttp

from demo.data import DemoObject, one_submission
from local_gcs.waiting import wait_until
from shared.migration import Location

__all__ = ["Acknowledged", "LiveWriter", "live_writer", "upload_all"]

LOADS_AT_ONCE = 64
LANES = 32
"""Live uploads under way at once. A user belongs to one lane, so two uploads of one name never overlap."""
PAUSE = 0.05
"""Seconds before an upload is repeated."""
BEHIND = 1.0
"""Seconds' worth of uploads that the writer makes up for after a pause; more would be a burst."""
MOST_PENDING = 50
"""Events that wait for the mirrors when the writer stops; below it slows down in proportion."""
LOOK = 0.2
"""Seconds between two looks at what waits for the mirrors."""


def upload_all(url: str, location: Location, objects: Iterable[DemoObject]) -> int:
    """Upload objects below a prefix; returns how many.

    Raises:
        aiohttp.ClientError: The server refused one, or is gone.
    """
    return asyncio.run(_load(url, location, objects))


async def _load(url: str, location: Location, objects: Iterable[DemoObject]) -> int:
    waiting = iter(objects)

    async def upload(session: aiohttp.ClientSession) -> int:
        done = 0
        for item in waiting:  # shared by all: each takes the next one
            async with _upload(session, url, location, item) as answer:
                answer.raise_for_status()
            done += 1
        return done

    connector = aiohttp.TCPConnector(limit=LOADS_AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:
        return sum(await asyncio.gather(*(upload(session) for _ in range(LOADS_AT_ONCE))))


def _upload(
    session: aiohttp.ClientSession, url: str, location: Location, item: DemoObject
) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
    name = quote(location.prefix + item.relative, safe="")
    address = f"{url}/upload/storage/v1/b/{location.bucket}/o?uploadType=media&name={name}"
    return session.post(address, data=item.data, headers={"Content-Type": item.content_type})


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One upload that Cloud Storage acknowledged, and when its answer came (UTC)."""

    item: DemoObject
    location: Location
    at: datetime


class LiveWriter:
    """Writes in a thread of its own until it is stopped.

    Args:
        rate: Uploads a second while no event waits; may be changed, as may `overwrites` and `most_pending`.
        overwrites: The share of uploads by a user who answers again.
        regulars: How many users answer again.
        days: Over how many days, the last one today.
        day: Returns the day under which the next submission is filed, instead of `days`.
        told: Called with every acknowledged upload, in the writer's thread.
        pending: Returns how many events wait for the mirrors. Without it the writer never slows down.
        most_pending: So many waiting events stop the writer.

    Attributes:
        acknowledged: The acknowledged contents of each object, by name below the prefix.
        uploads: Uploads acknowledged.
        repeated: Uploads repeated because of an error or a lost answer.
        submitted: How many submissions of each object wait to be uploaded and acknowledged.
        under_way: The location of each object that is being uploaded.
    """

    def __init__(
        self,
        url: str,
        location: Location,
        *,
        rate: float,
        overwrites: float = 0.3,
        regulars: int = 200,
        days: int = 3,
        seed: int = 1,
        day: Callable[[], date] | None = None,
        told: Callable[[Acknowledged], None] = lambda _: None,
        pending: Callable[[], int] | None = None,
        most_pending: int = MOST_PENDING,
    ) -> None:
        self._url, self._location = url, location
        self._switched: tuple[Location, float] = (location, 0.0)
        self.rate, self.overwrites, self.most_pending = rate, overwrites, most_pending
        self._regulars, self._days = regulars, days
        self._day = day or self._one_of_the_last_days
        self._told, self._pending = told, pending
        self._carried = 1.0 if pending is None else 0.0  # of the rate, as far as the mirrors carry it
        self._turns = 0
        self._rng = Random(f"writer-{seed}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer")
        self._failure: BaseException | None = None
        self.acknowledged: dict[str, bytes] = {}
        self.uploads = 0
        self.repeated = 0
        self.submitted: Counter[str] = Counter()
        self.under_way: dict[str, Location] = {}

    def switch(self, location: Location, *, share: float = 1.0) -> None:
        """Write to another place from now on: all users, or a share of them, always the same ones, first."""
        self._switched = (location, share)
        if share >= 1.0:
            self._location = location

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def rest(self) -> None:
        """Set the rate to 0 and wait until every submission is acknowledged.

        Raises:
            RuntimeError: The writer has ended by an error.
            NothingMoved: Nothing is acknowledged any more.
        """
        self.rate, before = 0.0, self._turns

        def look() -> tuple[int, int, int]:
            if not self.is_writing:
                raise RuntimeError("the writer has ended") from self._failure
            return self._turns, len(self.submitted), self.uploads

        # The turn under way may still work with the old rate; the second one after it does not.
        wait_until(
            look,
            lambda counts: counts[0] >= before + 2 and not counts[1],
            "the writer's submissions (turns, waiting, acknowledged)",
            progress=lambda counts: counts[2],
        )

    @property
    def is_writing(self) -> bool:
        """Whether it has begun and has not ended."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End, when everything begun is acknowledged.

        Raises:
            RuntimeError: The writer had ended before, by an error.
        """
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError("the writer broke down") from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._write())
        except BaseException as error:  # noqa: BLE001 -- `stop` raises it again
            self._failure = error

    async def _write(self) -> None:
        lanes = [asyncio.Queue[DemoObject](4) for _ in range(LANES)]
        connector, timeout = aiohttp.TCPConnector(limit=LANES), aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            workers = [asyncio.create_task(self._lane(session, lane)) for lane in lanes]
            workers += [asyncio.create_task(self._pace(self._pending))] if self._pending else []
            last, due = time.monotonic(), 0.0
            while not self._stop.is_set():
                await asyncio.sleep(0.01)
                now, rate = time.monotonic(), self.rate * self._carried
                due = min(due + (now - last) * rate, max(1.0, rate * BEHIND))
                last = now
                while due >= 1 and not self._stop.is_set():
                    item = self._next()
                    self.submitted[item.relative] += 1
                    await lanes[crc32(item.relative.encode()) % LANES].put(item)
                    due -= 1
                self._turns += 1
                for failed in (worker for worker in workers if worker.done()):
                    failed.result()  # raises what ended it
            for lane in lanes:
                await lane.join()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _pace(self, pending: Callable[[], int]) -> None:
        while True:
            waiting = await asyncio.to_thread(pending)
            self._carried = max(0.0, 1.0 - waiting / max(1, self.most_pending))
            await asyncio.sleep(LOOK)

    def _next(self) -> DemoObject:
        rng, now, day = self._rng, datetime.now(UTC), self._day()
        again = rng.random() < self.overwrites
        user = rng.randrange(1, self._regulars + 1) if again else rng.randrange(1_000_000, 9_999_999)
        return one_submission(rng, day, user, now)

    def _one_of_the_last_days(self) -> date:
        return (datetime.now(UTC) - timedelta(days=self._rng.randrange(self._days))).date()

    async def _lane(self, session: aiohttp.ClientSession, lane: "asyncio.Queue[DemoObject]") -> None:
        while True:
            item = await lane.get()
            location = self.under_way[item.relative] = self._location_of(item.relative)
            await self._until_acknowledged(session, item, location)
            self.acknowledged[item.relative] = item.data
            self.uploads += 1
            self._told(Acknowledged(item, location, datetime.now(UTC)))
            del self.under_way[item.relative]
            self.submitted[item.relative] -= 1
            if not self.submitted[item.relative]:
                del self.submitted[item.relative]
            lane.task_done()

    async def _until_acknowledged(
        self, session: aiohttp.ClientSession, item: DemoObject, location: Location
    ) -> None:
        while True:
            try:
                async with _upload(session, self._url, location, item) as answer:
                    await answer.read()
                    if answer.status == 200:  # noqa: PLR2004 -- OK
                        return
            except (aiohttp.ClientError, TimeoutError):
                pass
            self.repeated += 1
            await asyncio.sleep(PAUSE)

    def _location_of(self, relative: str) -> Location:
        location, share = self._switched
        return location if crc32(relative.encode()) / 2**32 < share else self._location


@contextmanager
def live_writer(url: str, location: Location, **how: Any) -> Iterator[LiveWriter]:
    """Write for the length of a block; `LiveWriter` explains the arguments."""
    writer = LiveWriter(url, location, **how)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()
