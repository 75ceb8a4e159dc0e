"""Both clients of Cloud Storage as one kind of store, for the tests of what both promise."""

from typing import Protocol

from backfill_job.run.late_gateway import BlockingApi
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.migration import Location
from shared.objects import ObjectRef
from shared.store import ContentsStore, DeletingStore, ListingStore


class Store(DeletingStore, ListingStore, ContentsStore, Protocol):
    """What both clients do."""

    def read(self, at: ObjectRef) -> bytes | None: ...

    def close(self) -> None: ...


class FastStore(BlockingApi):
    """The fast client, called without ``await``; it deletes in batches only."""

    def __init__(self, url: str, *, deadline: float, initial: float) -> None:
        super().__init__(
            lambda: AsyncApi(endpoint=url, retry=RetryPolicy(deadline=deadline, initial=initial))
        )

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        (part,) = self.run(lambda api: api.delete_batch(Location(at.bucket, ""), [(at.name, if_generation)]))
        if part.error is not None:
            raise part.error


def open_store(kind: str, url: str, *, deadline: float = 5.0, initial: float = 0.01) -> Store:
    """One of the two; the gateway finds the server by ``STORAGE_EMULATOR_HOST``."""
    if kind == "gateway":
        return Gateway(retry_deadline=deadline, retry_initial=initial)
    return FastStore(url, deadline=deadline, initial=initial)
