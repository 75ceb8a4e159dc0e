"""The live writer: uploads submissions at a steady rate, overwrites some, and remembers what was acknowledged.

A user's submissions come one after the other, each with new contents. An upload whose answer is an error or is lost is
repeated until it is acknowledged, as the QPI system does; only then counts what it said.
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import quote
from zlib import crc32

import aiohttp

from local_gcs.demo_data import DemoObject, one_submission
from shared.migration import Location

__all__ = ["Acknowledged", "LiveWriter", "live_writer"]

LANES = 32
"""Uploads under way at once. A user belongs to one lane, so the same name is never written twice at a time."""

PAUSE = 0.05
"""Seconds before an upload is repeated."""

BEHIND = 1.0
"""Seconds' worth of uploads that are made up for when the storage was slow; more would be a burst."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """One upload that Cloud Storage said it has.

    Attributes:
        item: What was uploaded.
        location: Where to.
        at: When the answer came, UTC.
    """

    item: DemoObject
    location: Location
    at: datetime


class LiveWriter:
    """Writes in a thread of its own until it is stopped.

    Args:
        url: The local Cloud Storage's.
        location: Where to.
        rate: Uploads a second.
        overwrites: The share of uploads that may repeat a user of the same day.
        regulars: How many users those are.
        days: Over how many days, the last one today.
        seed: Another seed, other users.
        day: Says under which day the next submission is filed, instead of `days`.
        told: Told every upload that was acknowledged, in the writer's thread.

    Attributes:
        rate: Uploads a second; may be changed while it writes.
        overwrites: The share of uploads that may repeat a user; may be changed while it writes.
        acknowledged: What each object holds by the last answer, by name below the prefix.
        uploads: Uploads acknowledged.
        repeated: Uploads repeated because of an error or a lost answer.
        submitted: How many submissions of each object wait to be uploaded and acknowledged.
        under_way: Where each object goes that is being uploaded.
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
    ) -> None:
        self._url = url
        self._location = location
        self._switched: tuple[Location, float] = (location, 0.0)
        self.rate = rate
        self.overwrites = overwrites
        self._regulars = regulars
        self._days = days
        self._day = day or self._one_of_the_last_days
        self._told = told
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
        """Write to another place from now on: all users, or a share of them first.

        Args:
            location: Where to.
            share: The share of users who switch; always the same ones. The others stay where they are.
        """
        self._switched = (location, share)
        if share >= 1.0:
            self._location = location

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_writing(self) -> bool:
        """Whether it has begun and not ended."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End, when everything begun is acknowledged.

        Raises:
            RuntimeError: It had ended before, by an error.
        """
        self._stop.set()
        self._thread.join()
        if self._failure is not None:
            raise RuntimeError("the writer broke down") from self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._write())
        except BaseException as error:  # noqa: BLE001 -- handed to whoever stops the writer
            self._failure = error

    async def _write(self) -> None:
        lanes = [asyncio.Queue[DemoObject](4) for _ in range(LANES)]
        connector = aiohttp.TCPConnector(limit=LANES)
        timeout = aiohttp.ClientTimeout(total=30)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            workers = [asyncio.create_task(self._lane(session, lane)) for lane in lanes]
            last, due = time.monotonic(), 0.0
            while not self._stop.is_set():
                await asyncio.sleep(0.01)
                now = time.monotonic()
                due = min(due + (now - last) * self.rate, max(1.0, self.rate * BEHIND))
                last = now
                while due >= 1 and not self._stop.is_set():
                    item = self._next()
                    self.submitted[item.relative] += 1
                    await lanes[crc32(item.relative.encode()) % LANES].put(item)
                    due -= 1
            for lane in lanes:
                await lane.join()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _next(self) -> DemoObject:
        rng, now = self._rng, datetime.now(UTC)
        day = self._day()
        again = rng.random() < self.overwrites
        user = rng.randrange(1, self._regulars + 1) if again else rng.randrange(1_000_000, 9_999_999)
        return one_submission(rng, day, user, now)

    def _one_of_the_last_days(self) -> date:
        return (datetime.now(UTC) - timedelta(days=self._rng.randrange(self._days))).date()

    async def _lane(self, session: aiohttp.ClientSession, lane: "asyncio.Queue[DemoObject]") -> None:
        while True:
            item = await lane.get()
            location = self.under_way[item.relative] = self._location_of(item.relative)
            await self._upload(session, item, location)
            self.acknowledged[item.relative] = item.data
            self.uploads += 1
            self._told(Acknowledged(item, location, datetime.now(UTC)))
            del self.under_way[item.relative]
            self.submitted[item.relative] -= 1
            if not self.submitted[item.relative]:
                del self.submitted[item.relative]
            lane.task_done()

    async def _upload(self, session: aiohttp.ClientSession, item: DemoObject, location: Location) -> None:
        name = quote(location.prefix + item.relative, safe="")
        address = f"{self._url}/upload/storage/v1/b/{location.bucket}/o?uploadType=media&name={name}"
        headers = {"Content-Type": item.content_type}
        while True:
            try:
                async with session.post(address, data=item.data, headers=headers) as answer:
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
