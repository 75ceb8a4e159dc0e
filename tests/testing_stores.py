"""Both clients of Cloud Storage as one kind of store, for the tests of what both promise."""

import asyncio
from collections.abc import Coroutine, Iterator
from threading import Thread
from typing import Any, Protocol, TypeVar

from shared.gateway import Gateway
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.listing import list_pages
from shared.migration import Location
from shared.objects import ObjectRef, ObjectState
from shared.store import DeletingStore, ListingPage

T = TypeVar("T")


class Store(DeletingStore, Protocol):
    """What both clients do."""

    def list_pages(
        self, bucket: str, prefix: str, *, start: str = "", end: str = ""
    ) -> Iterator[ListingPage]: ...

    def close(self) -> None: ...


class FastStore:
    """The fast client, called without ``await``: its loop runs in a thread of its own."""

    def __init__(self, url: str, *, deadline: float, initial: float) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.api = AsyncApi(endpoint=url, retry=RetryPolicy(deadline=deadline, initial=initial))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def close(self) -> None:
        self.run(self.api.__aexit__(None, None, None))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def look(self, at: ObjectRef) -> ObjectState | None:
        return self.run(self.api.look(at))

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        return self.run(
            self.api.copy(source, destination, if_source=if_source, if_destination=if_destination)
        )

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        (part,) = self.run(self.api.delete_batch(Location(at.bucket, ""), [(at.name, if_generation)]))
        if part.error is not None:
            raise part.error

    def list_pages(
        self, bucket: str, prefix: str, *, start: str = "", end: str = ""
    ) -> Iterator[ListingPage]:
        pages = list_pages(self.api, Location(bucket, prefix), start=start, end=end)
        while (page := self.run(_next(pages))) is not None:
            yield ListingPage([state for _, state in page])


async def _next(pages: Any) -> Any:
    return await anext(pages, None)


def open_store(kind: str, url: str, *, deadline: float = 5.0, initial: float = 0.01) -> Store:
    """One of the two; the gateway finds the server by ``STORAGE_EMULATOR_HOST``."""
    if kind == "gateway":
        return Gateway(retry_deadline=deadline, retry_initial=initial)
    return FastStore(url, deadline=deadline, initial=initial)
