"""The gateway, opened at the first call that needs it.

The import of the official client takes about 0.7 seconds of CPU time. A run that finds nothing to copy compares 20,000 names
in less. Most runs of a sweeper are such runs, and they need only the fast client.
"""

from collections.abc import Iterator
from threading import Lock
from typing import TYPE_CHECKING

from shared.objects import ObjectRef, ObjectState
from shared.operations import OperationsCounter
from shared.server_time import ServerTime
from shared.store import ListingPage

if TYPE_CHECKING:
    from shared.gateway import Gateway

__all__ = ["LateGateway"]


class LateGateway:
    """A `DeletingStore` and a `PhaseStore` that opens the gateway at the first call. Thread-safe."""

    def __init__(
        self,
        connections: int,
        operations: OperationsCounter,
        server_time: ServerTime,
        billing_project: str = "",
    ) -> None:
        self._billing_project = billing_project
        self._connections = connections
        self._operations = operations
        self.server_time = server_time
        self._opening = Lock()
        self._gateway: Gateway | None = None

    def opened(self) -> "Gateway":
        """The gateway itself; opens it if needed.

        Raises:
            UsageError: There are no credentials.
        """
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

    def close(self) -> None:
        """Close the connections, if the gateway is open."""
        if self._gateway is not None:
            self._gateway.close()

    def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        return self.opened().look(at)

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        """See `ObjectStore.copy`."""
        return self.opened().copy(source, destination, if_source=if_source, if_destination=if_destination)

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        """See `DeletingStore.delete`."""
        self.opened().delete(at, if_generation=if_generation)

    def read(self, at: ObjectRef) -> bytes | None:
        """See `PhaseStore.read`."""
        return self.opened().read(at)

    def list_pages(
        self, bucket: str, prefix: str, *, start: str = "", end: str = ""
    ) -> Iterator[ListingPage]:
        """See `ListingStore.list_pages`."""
        return self.opened().list_pages(bucket, prefix, start=start, end=end)
