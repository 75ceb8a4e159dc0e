"""The fast client for callers that do not await: the migration's record, the phase, and single objects.

The official client does the same, but its import alone costs more CPU time than a run over ten thousand objects.
`backfill_job.run.late_gateway` is the only importer. It is a module of its own because both clients keep one contract, and
the tests of that contract use it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from threading import Lock, local
from typing import TypeVar

import uvloop

from shared.errors import UnexpectedAnswer
from shared.gcs.api import AsyncApi
from shared.gcs.listing import list_pages
from shared.migration import Location
from shared.objects import ObjectRef, ObjectState, crc32c_of
from shared.store import ListingPage

__all__ = ["BlockingApi"]

_Value = TypeVar("_Value")


class BlockingApi:
    """An `ObjectStore`, a `ListingStore` and a `ContentsStore`. Thread-safe.

    Each thread has its own event loop and connections. So an answer's time is noted in the thread that asked for it
    (`ServerTime.newest_here`).

    Args:
        make: Makes a client; called once in each thread.
    """

    def __init__(self, make: Callable[[], AsyncApi]) -> None:
        self._make = make
        self._here = local()
        self._adding = Lock()
        self._opened: list[tuple[asyncio.AbstractEventLoop, AsyncApi]] = []

    def run(self, work: Callable[[AsyncApi], Awaitable[_Value]]) -> _Value:
        """Do some work with this thread's client."""

        async def done() -> _Value:
            return await work(api)

        loop, api = self._own()
        return loop.run_until_complete(done())

    def _own(self) -> tuple[asyncio.AbstractEventLoop, AsyncApi]:
        if not hasattr(self._here, "pair"):
            self._here.pair = (uvloop.new_event_loop(), self._make())
            with self._adding:
                self._opened.append(self._here.pair)
        pair: tuple[asyncio.AbstractEventLoop, AsyncApi] = self._here.pair
        return pair

    def close(self) -> None:
        """Close the connections, but not those of a call that still waits for its answer."""
        with self._adding:
            opened, self._opened = self._opened, []
        for loop, api in opened:
            if not loop.is_running():
                loop.run_until_complete(api.__aexit__(None, None, None))
                loop.close()

    def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        return self.run(lambda api: api.look(at))

    def copy(
        self,
        source: ObjectRef,
        destination: ObjectRef,
        *,
        if_source: int,
        if_destination: int,
        like: ObjectState | None = None,
    ) -> ObjectState:
        """See `ObjectStore.copy`."""
        return self.run(
            lambda api: api.copy(
                source, destination, if_source=if_source, if_destination=if_destination, like=like
            )
        )

    def read(self, at: ObjectRef) -> bytes | None:
        """See `shared.phase.StateStore.read`."""
        found = self.read_version(at)
        return None if found is None else found[1]

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        """See `ContentsStore.read_version`."""
        return self.run(lambda api: api.read_version(at))

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        """See `ContentsStore.write`. The content type is JSON."""
        made = self.run(lambda api: api.insert(at, data, if_generation=if_generation))
        if made.crc32c != crc32c_of(data):
            raise UnexpectedAnswer(at.uri, "what was written does not match the checksum of what was sent")

    def list_pages(
        self, bucket: str, prefix: str, *, start: str = "", end: str = ""
    ) -> Iterator[ListingPage]:
        """See `ListingStore.list_pages`."""
        pages = list_pages(self._own()[1], Location(bucket, prefix), start=start, end=end)
        try:
            while (page := self.run(lambda _: anext(pages, None))) is not None:
                yield ListingPage([state for _, state in page])
        finally:
            self.run(lambda _: pages.aclose())
