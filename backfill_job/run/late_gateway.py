"""Both clients of one process: the fast one, and the gateway, which opens at the first call that needs it.

The import of the official client takes about 0.7 seconds of CPU time. A run over ten thousand objects takes as much. So the
migration's record, the phase and single objects go through the fast client. The gateway does the rest: reports at Cloud
Storage, deletions, rights, the settings of buckets.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from threading import Lock, local
from typing import TYPE_CHECKING, TypeVar

import uvloop

from shared.errors import UnexpectedAnswer
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.json_client import way_from
from shared.gcs.listing import list_pages
from shared.migration import Location
from shared.objects import ObjectRef, ObjectState, crc32c_of
from shared.operations import OperationsCounter
from shared.server_time import ServerTime
from shared.store import ListingPage

if TYPE_CHECKING:
    from shared.gateway import Gateway

__all__ = ["REQUEST_TIMEOUT", "BlockingApi", "LateGateway", "ask"]

_Value = TypeVar("_Value")

REQUEST_TIMEOUT = 60.0
"""Seconds without an answer after which a request counts as lost. A rewrite needs at least 30 (Cloud Storage reference,
"Objects: rewrite")."""


def ask(api: AsyncApi, question: Callable[[AsyncApi], Awaitable[_Value]]) -> _Value:
    """Ask something through a fast client, which is open for this question alone. Not within an event loop."""

    async def asked() -> _Value:
        async with api:
            return await question(api)

    return uvloop.run(asked())


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
        """See `ContentsStore.read`."""
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


class LateGateway:
    """A `DeletingStore` and a `RecordStore`. Thread-safe.

    Args:
        billing_project: Pays for the requests to a requester-pays bucket; empty for none.

    Attributes:
        endpoint: Scheme and host of a local Cloud Storage; None for Google's.

    Raises:
        UsageError: The environment names a proxy that cannot be used.
    """

    def __init__(
        self,
        environ: Mapping[str, str],
        connections: int,
        operations: OperationsCounter,
        server_time: ServerTime,
        billing_project: str = "",
    ) -> None:
        self._way = way_from(environ)
        self.endpoint = self._way["endpoint"]
        self._billing_project = billing_project
        self._connections = connections
        self._operations = operations
        self.server_time = server_time
        self._opening = Lock()
        self._gateway: Gateway | None = None
        self._blocking = BlockingApi(lambda: self.fast(1))

    def fast(self, connections: int, *, patience: float | None = None) -> AsyncApi:
        """A fast client for one event loop; `patience` is seconds of retries after transient faults, None for the default."""
        return AsyncApi(
            retry=RetryPolicy() if patience is None else RetryPolicy(deadline=patience),
            timeout=patience or REQUEST_TIMEOUT,
            connections=connections,
            operations=self._operations,
            server_time=self.server_time,
            billing_project=self._billing_project,
            **self._way,
        )

    def opened(self) -> "Gateway":
        """The gateway itself; opens it if needed. Raises `UsageError` where there are no credentials."""
        with self._opening:
            if self._gateway is None:
                from shared.gateway import Gateway  # noqa: PLC0415 -- slow to import, see above

                self._gateway = Gateway(
                    connections=self._connections,
                    operations=self._operations,
                    server_time=self.server_time,
                    billing_project=self._billing_project,
                )
            return self._gateway

    @property
    def _records(self) -> "BlockingApi | Gateway":
        """The client for small objects. A thread that runs an event loop cannot run a second one, so it has the gateway."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return self._blocking
        return self.opened()

    def close(self) -> None:
        """Close the connections."""
        self._blocking.close()
        if self._gateway is not None:
            self._gateway.close()

    def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        return self._records.look(at)

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
        return self._records.copy(
            source, destination, if_source=if_source, if_destination=if_destination, like=like
        )

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        """See `DeletingStore.delete`."""
        self.opened().delete(at, if_generation=if_generation)

    def read(self, at: ObjectRef) -> bytes | None:
        """See `ContentsStore.read`."""
        return self._records.read(at)

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        """See `ContentsStore.read_version`."""
        return self._records.read_version(at)

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        """See `ContentsStore.write`."""
        self._records.write(at, data, if_generation=if_generation)

    def list_pages(
        self, bucket: str, prefix: str, *, start: str = "", end: str = ""
    ) -> Iterator[ListingPage]:
        """See `ListingStore.list_pages`."""
        return self._records.list_pages(bucket, prefix, start=start, end=end)
