"""The two clients of Cloud Storage, asked for the same things: the fast one that copies, and Google's.

Both are asked as the commands ask them: through their verbs where there are any. Where Google's client has more than the gateway
needs (composing, patching, a batch), `Gateway.ask` asks it. Here are also the two spoilt accounts, one for each client.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import aclosing, contextmanager
from typing import Any, NamedTuple

from google.auth.credentials import Credentials

from shared.errors import UnexpectedAnswer
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.gcs.credentials import AccessSource, Grant
from shared.gcs.listing import ended_versions, held_versions
from shared.migration import Location
from shared.objects import ObjectRef, ObjectState

__all__ = ["Client", "Fast", "Google", "SpoiltAccess", "SpoiltCredentials", "Written", "opened"]

SPOILT = "spoilt"
"""A token that no service accepts."""


class Written(NamedTuple):
    """What is written of an object: its bytes, and fields of its resource."""

    data: bytes
    fields: dict[str, Any]


class Fast:
    """The fast client, one request at a time. Every method raises `StorageError`."""

    name = "fast client"

    def __init__(self, api: AsyncApi, runner: asyncio.Runner) -> None:
        self._api = api
        self._run: Callable[[Coroutine[Any, Any, Any]], Any] = runner.run

    def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        found: ObjectState | None = self._run(self._api.look(at))
        return found

    def pages(self, folder: Location, limit: int, start: str = "", end: str = "") -> list[list[ObjectState]]:
        """All pages of a listing, with at most `limit` objects each; the bounds are complete names."""
        pages: list[list[ObjectState]] = []
        token = ""
        while token or not pages:
            page = self._api.list_page(
                folder.bucket,
                folder.prefix,
                "items,nextPageToken",
                start=start,
                end=end,
                token=token,
                limit=limit,
            )
            answer = self._run(page)
            pages.append([ObjectState.from_resource(item) for item in answer.get("items", ())])
            token = answer.get("nextPageToken", "")
        return pages

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        """See `ObjectStore.copy`."""
        made: ObjectState = self._run(
            self._api.copy(source, destination, if_source=if_source, if_destination=if_destination)
        )
        return made

    def delete_batch(self, folder: Location, deletions: Sequence[tuple[str, int]]) -> None:
        """Delete names below a folder, each on condition of its generation, in one request."""
        self._run(self._api.delete_batch(folder, deletions))

    def soft_deleted(self, at: ObjectRef) -> list[tuple[ObjectState, str]]:
        """The soft-deleted generations of an object, and until when each is held."""

        async def listed() -> list[tuple[ObjectState, str]]:
            folder = Location(at.bucket, at.name[: at.name.rfind("/") + 1])
            async with aclosing(held_versions(self._api, folder, soft_deleted=True)) as pages:
                return [
                    (each.state, each.until)
                    async for page in pages
                    for each in page
                    if each.state.name == at.name
                ]

        found: list[tuple[ObjectState, str]] = self._run(listed())
        return found

    def ended(self, at: ObjectRef) -> list[tuple[ObjectState, str]]:
        """See `ended_versions`."""
        found: list[tuple[ObjectState, str]] = self._run(ended_versions(self._api, at))
        return found

    def restore(self, at: ObjectRef, generation: int) -> ObjectState:
        """See `AsyncApi.restore`."""
        restored: ObjectState = self._run(self._api.restore(at, generation))
        return restored

    def read_range(
        self, at: ObjectRef, generation: int, first: int, size: int, *, whole: bool = False
    ) -> bytes:
        """See `AsyncApi.read_range`."""
        part: bytes = self._run(self._api.read_range(at, generation, first=first, size=size, whole=whole))
        return part


class Google:
    """Google's client. It also writes, composes, patches and uploads."""

    name = "Google's client"

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.look = gateway.look
        self.copy = gateway.copy

    def pages(self, folder: Location, limit: int, start: str = "", end: str = "") -> list[list[ObjectState]]:
        """See `Fast`."""

        def listed(bucket: Any) -> list[list[ObjectState]]:
            bounds = {"start_offset": start or None, "end_offset": end or None}
            listing = bucket.client.list_blobs(bucket, prefix=folder.prefix, page_size=limit, **bounds)
            return [[_state(blob) for blob in page] for page in listing.pages]

        return self.gateway.ask(folder.bucket, folder.uri, listed)

    def delete_batch(self, folder: Location, deletions: Sequence[tuple[str, int]]) -> None:
        """See `Fast`."""

        def deleted(bucket: Any) -> None:
            with bucket.client.batch(raise_exception=False):
                for name, generation in deletions:
                    bucket.blob(folder.prefix + name).delete(if_generation_match=generation)

        self.gateway.ask(folder.bucket, folder.uri, deleted)

    def soft_deleted(self, at: ObjectRef) -> list[tuple[ObjectState, str]]:
        """See `Fast`."""

        def listed(bucket: Any) -> list[tuple[ObjectState, str]]:
            listing = bucket.client.list_blobs(bucket, prefix=at.name, soft_deleted=True)
            return [
                (_state(blob), blob._properties.get("hardDeleteTime", ""))  # noqa: SLF001 -- as in _state
                for blob in listing
                if blob.name == at.name
            ]

        return self.gateway.ask(at.bucket, at.uri, listed)

    def restore(self, at: ObjectRef, generation: int) -> ObjectState:
        """See `Fast`."""

        def restored(bucket: Any) -> ObjectState:
            return _state(bucket.restore_blob(at.name, generation=generation, if_generation_match=0))

        return self.gateway.ask(at.bucket, at.uri, restored)

    def read_range(
        self, at: ObjectRef, generation: int, first: int, size: int, *, whole: bool = False
    ) -> bytes:
        """See `Fast`."""
        bounds = {} if whole else {"start": first, "end": first + size - 1}

        def read(bucket: Any) -> bytes:
            blob = bucket.blob(at.name, generation=generation)
            return bytes(blob.download_as_bytes(raw_download=True, **bounds))

        return self.gateway.ask(at.bucket, at.uri, read)

    def write(self, at: ObjectRef, written: Written) -> ObjectState:
        """Write an absent object with fields of its resource."""

        def write(bucket: Any) -> ObjectState:
            blob = _with(bucket.blob(at.name), written.fields)
            blob.upload_from_string(written.data, content_type="application/json", if_generation_match=0)
            return _state(blob)

        return self.gateway.ask(at.bucket, at.uri, write)

    def compose(self, at: ObjectRef, parts: Sequence[ObjectRef]) -> ObjectState:
        """Join objects into an absent one, within Cloud Storage."""

        def compose(bucket: Any) -> ObjectState:
            blob = bucket.blob(at.name)
            blob.compose([bucket.blob(part.name) for part in parts], if_generation_match=0)
            return _state(blob)

        return self.gateway.ask(at.bucket, at.uri, compose)

    def patch(self, at: ObjectRef, fields: dict[str, Any], *, if_metageneration: int) -> ObjectState:
        """Change fields of an object's resource."""

        def patch(bucket: Any) -> ObjectState:
            blob = _with(bucket.blob(at.name), fields)
            blob.patch(if_metageneration_match=if_metageneration)
            return _state(blob)

        return self.gateway.ask(at.bucket, at.uri, patch)

    def upload(self, at: ObjectRef, data: bytes) -> None:
        """Upload an absent object in pieces, as a manifest is."""
        with self.gateway.writing(at, content_type="application/json", if_generation=0) as write:
            write(data)


Client = Fast | Google
"""Both answer the same questions."""


def _with(blob: Any, fields: dict[str, Any]) -> Any:
    for name, value in fields.items():
        blob._patch_property(name, value)  # noqa: SLF001 -- the only way to object contexts as the API has them
    return blob


def _state(blob: Any) -> ObjectState:
    if not blob._properties.get("size"):  # noqa: SLF001 -- the whole resource as answered
        raise UnexpectedAnswer(f"gs://{blob.bucket.name}/{blob.name}", "an answer without the object")
    return ObjectState.from_resource(blob._properties)  # noqa: SLF001 -- as above


@contextmanager
def opened(api: AsyncApi) -> Iterator[Fast]:
    """The fast client while the block runs. Not within an event loop."""
    with asyncio.Runner() as runner:
        fast = Fast(runner.run(_entered(api)), runner)
        try:
            yield fast
        finally:
            runner.run(api.__aexit__(None, None, None))


async def _entered(api: AsyncApi) -> AsyncApi:
    return await api.__aenter__()


class SpoiltAccess:
    """An account of the fast client whose first token is spoilt; with None every one is."""

    def __init__(self, then: AccessSource | None) -> None:
        self._then = then
        self._first = True

    def fetch(self) -> Grant:
        """See `AccessSource.fetch`."""
        if self._then is None or self._first:
            self._first = False
            return Grant({"authorization": f"Bearer {SPOILT}"})
        return self._then.fetch()


class SpoiltCredentials(Credentials):
    """An account of Google's client whose first token is spoilt; with None every one is.

    A subclass, because the client takes no other credentials.
    """

    def __init__(self, then: Callable[[], str] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the library has no types
        self._then = then
        self.token = SPOILT

    def refresh(self, request: Any) -> None:  # noqa: ARG002 -- the library calls it
        """Take the next token."""
        if self._then is not None:
            self.token = self._then()
