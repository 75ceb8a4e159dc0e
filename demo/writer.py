"""The live writer: uploads submissions at a steady rate, overwrites some, and remembers what was acknowledged.

A user's submissions come one after the other, each with new contents. An upload whose answer is an error or is lost is
repeated until it is acknowledged, as the QPI system does; only then counts what it said.
"""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from urllib.parse import quote
from zlib import crc32

import aiohttp

from local_gcs.demo_data import DemoObject, one_submission
from shared.migration import Location

__all__ = ["LiveWriter", "live_writer"]

LANES = 32
"""Uploads under way at once. A user belongs to one lane, so the same name is never written twice at a time."""

PAUSE = 0.05
"""Seconds before an upload is repeated."""


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
    ) -> None:
        self._url = url
        self._location = location
        self._switched: tuple[Location, float] = (location, 0.0)
        self._rate = rate
        self._overwrites = overwrites
        self._regulars = regulars
        self._days = days
        self._rng = Random(f"writer-{seed}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="writer")
        self._failure: BaseException | None = None
        self.acknowledged: dict[str, bytes] = {}
        self.uploads = 0
        self.repeated = 0

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
            began = time.monotonic()
            sent = 0
            while not self._stop.is_set():
                await asyncio.sleep(0.01)
                while sent < (time.monotonic() - began) * self._rate and not self._stop.is_set():
                    item = self._next()
                    await lanes[hash(item.relative) % LANES].put(item)
                    sent += 1
            for lane in lanes:
                await lane.join()
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    def _next(self) -> DemoObject:
        rng, now = self._rng, datetime.now(UTC)
        day = (now - timedelta(days=rng.randrange(self._days))).date()
        again = rng.random() < self._overwrites
        user = rng.randrange(1, self._regulars + 1) if again else rng.randrange(1_000_000, 9_999_999)
        return one_submission(rng, day, user, now)

    async def _lane(self, session: aiohttp.ClientSession, lane: "asyncio.Queue[DemoObject]") -> None:
        while True:
            item = await lane.get()
            await self._upload(session, item)
            self.acknowledged[item.relative] = item.data
            self.uploads += 1
            lane.task_done()

    async def _upload(self, session: aiohttp.ClientSession, item: DemoObject) -> None:
        address = self._address(item.relative)
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

    def _address(self, relative: str) -> str:
        location, share = self._switched
        if crc32(relative.encode()) / 2**32 >= share:
            location = self._location
        name = quote(location.prefix + relative, safe="")
        return f"{self._url}/upload/storage/v1/b/{location.bucket}/o?uploadType=media&name={name}"


@contextmanager
def live_writer(url: str, location: Location, **how: Any) -> Iterator[LiveWriter]:
    """Write for the length of a block; `LiveWriter` explains the arguments."""
    writer = LiveWriter(url, location, **how)
    writer.start()
    try:
        yield writer
    finally:
        writer.stop()
