"""The two clients of Cloud Storage, asked for the same things: the fast one that copies, and Google's.

Both are asked as the commands ask them: through their verbs where there are any. Where Google's client has more than the gateway
needs (composing, patching, a batch), `Gateway.ask` asks it. Here are also what was asked and answered, and the accounts: a spoilt one
for each client, and one that is impersonated.
"""

import asyncio
import json
import re
from collections.abc import Callable, Collection, Coroutine, Iterator, Mapping, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from google.auth.credentials import Credentials

from backfill_job.run.google_apis import APIS
from shared.answers import is_transient
from shared.errors import UnexpectedAnswer, UsageError
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.gcs.credentials import SCOPE, AccessSource, Grant
from shared.gcs.listing import ended_versions, held_versions
from shared.migration import Location
from shared.objects import OBJECT_FIELDS, ObjectRef, ObjectState

__all__ = [
    "Client",
    "Exchanges",
    "FastClient",
    "GoogleClient",
    "SpoiltAccess",
    "SpoiltCredentials",
    "Written",
    "impersonated",
    "opened_clients",
]

SPOILT = "spoilt"
"""A token that no service accepts."""


_Answer = TypeVar("_Answer")


class Written(NamedTuple):
    """What is written of an object: its bytes, and fields of its resource."""

    data: bytes
    fields: dict[str, Any]


class FastClient:
    """The fast client, one request at a time. Every method raises `StorageError`."""

    name = "fast client"

    def __init__(self, api: AsyncApi, runner: asyncio.Runner) -> None:
        self._api, self._runner = api, runner

    def _run(self, request: Coroutine[Any, Any, _Answer]) -> _Answer:
        return self._runner.run(request)

    def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        return self._run(self._api.look(at))

    def pages(self, folder: Location, limit: int, start: str = "", end: str = "") -> list[list[ObjectState]]:
        """All pages of a listing, with at most `limit` objects each; the bounds are complete names."""
        pages: list[list[ObjectState]] = []
        token = ""
        while token or not pages:
            page = partial(self._api.list_page, folder.bucket, folder.prefix, "items,nextPageToken")
            answer = self._run(page(start=start, end=end, token=token, limit=limit))
            pages.append([ObjectState.from_resource(item) for item in answer.get("items", ())])
            token = answer.get("nextPageToken", "")
        return pages

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        """See `ObjectStore.copy`."""
        copy = self._api.copy(source, destination, if_source=if_source, if_destination=if_destination)
        return self._run(copy)

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

        return self._run(listed())

    def ended(self, at: ObjectRef) -> list[tuple[ObjectState, str]]:
        """See `ended_versions`."""
        return self._run(ended_versions(self._api, at))

    def restore(self, at: ObjectRef, generation: int) -> ObjectState:
        """See `AsyncApi.restore`."""
        return self._run(self._api.restore(at, generation))

    def read_range(
        self, at: ObjectRef, generation: int, first: int, size: int, *, whole: bool = False
    ) -> bytes:
        """See `AsyncApi.read_range`."""
        return self._run(self._api.read_range(at, generation, first=first, size=size, whole=whole))


class GoogleClient:
    """Google's client. It also writes, composes, patches and uploads."""

    name = "Google's client"

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.look = gateway.look
        self.copy = gateway.copy

    def pages(self, folder: Location, limit: int, start: str = "", end: str = "") -> list[list[ObjectState]]:
        """See `FastClient`."""

        def listed(bucket: Any) -> list[list[ObjectState]]:
            bounds = {"start_offset": start or None, "end_offset": end or None}
            listing = bucket.client.list_blobs(bucket, prefix=folder.prefix, page_size=limit, **bounds)
            return [[_state(blob) for blob in page] for page in listing.pages]

        return self.gateway.ask(folder.bucket, folder.uri, listed)

    def delete_batch(self, folder: Location, deletions: Sequence[tuple[str, int]]) -> None:
        """See `FastClient`."""

        def deleted(bucket: Any) -> None:
            with bucket.client.batch(raise_exception=False):
                for name, generation in deletions:
                    bucket.blob(folder.prefix + name).delete(if_generation_match=generation)

        self.gateway.ask(folder.bucket, folder.uri, deleted)

    def soft_deleted(self, at: ObjectRef) -> list[tuple[ObjectState, str]]:
        """See `FastClient`."""

        def listed(bucket: Any) -> list[tuple[ObjectState, str]]:
            listing = bucket.client.list_blobs(bucket, prefix=at.name, soft_deleted=True)
            found = [blob for blob in listing if blob.name == at.name]
            return [(_state(blob), blob._properties.get("hardDeleteTime", "")) for blob in found]  # noqa: SLF001 -- as in _state

        return self.gateway.ask(at.bucket, at.uri, listed)

    def restore(self, at: ObjectRef, generation: int) -> ObjectState:
        """See `FastClient`."""
        conditions = {"generation": generation, "if_generation_match": 0}
        return self.gateway.ask(
            at.bucket, at.uri, lambda bucket: _state(bucket.restore_blob(at.name, **conditions))
        )

    def read_range(
        self, at: ObjectRef, generation: int, first: int, size: int, *, whole: bool = False
    ) -> bytes:
        """See `FastClient`."""
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


Client = FastClient | GoogleClient
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
def opened_clients(api: AsyncApi) -> Iterator[FastClient]:
    """The fast client while the block runs. Not within an event loop."""
    with asyncio.Runner() as runner:
        fast = FastClient(runner.run(api.__aenter__()), runner)
        try:
            yield fast
        finally:
            runner.run(api.__aexit__(None, None, None))


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


# --- what was asked and answered ------------------------------------------------------------------------------

LONGEST = 20_000
"""Characters of a body that is not JSON."""

_KNOWN = frozenset(path.partition(".")[0] for path in OBJECT_FIELDS)

_TOKENS = re.compile(
    r"""((?:pageToken|rewriteToken|restoreToken|upload_id)=)[^&\s"]+|("(?:nextPageToken|rewriteToken|restoreToken)":\s*")[^"]+"""
)
_ACCOUNT = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|principal(?:Set)?://[^\s\"\\]+")
_PAYER = re.compile(r"(userProject=)[^&\s]+")
_CALL = re.compile(rb"HTTP/1\.[01] (\d{3})")


@dataclass
class Exchanges:
    """What was asked of Cloud Storage and what it answered, as ``wire.json`` has it; `begin` starts the exchanges of the next probe.

    Somebody sends that file to others. So it has no contents, no tokens, no names of accounts, and neither the bucket's name nor the
    folder's. A request's body and headers are not noted at all.

    Attributes:
        bucket: Its name is written as ``BUCKET``.
        folder: The scratch folder's name is written as ``SCRATCH/``.
        unknown: Fields of the object resource that `OBJECT_FIELDS` does not have.
    """

    bucket: str
    folder: str
    noted: list[dict[str, Any]] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    _probe: str = ""
    _client: str = ""
    _statuses: list[int] = field(default_factory=list)

    def begin(self, probe: str, client: str) -> None:
        """The following exchanges are of this probe, through this client."""
        self._probe, self._client, self._statuses = probe, client, []

    def heard(self, method: str, target: str, status: int, body: bytes) -> None:
        """Note an answer."""
        calls = [int(call) for call in _CALL.findall(body)] if target.startswith("/batch/") else []
        self._statuses += [status, *calls]
        self.noted.append(
            {
                "probe": self._probe,
                "client": self._client,
                "method": method,
                "target": self.redacted(target),
                "status": status,
                "body": self._body(target, status, body),
            }
        )

    def statuses(self, *, each: Collection[str] = ()) -> str:
        """The statuses of the probe's exchanges without transient ones; equal ones in a row count once, unless `each` names the probe."""
        final = [status for status in self._statuses if not is_transient(status)] or self._statuses
        return " ".join(
            str(status)
            for number, status in enumerate(final)
            if self._probe in each or not number or final[number - 1] != status
        )

    def redacted(self, text: str) -> str:
        """The text without names and tokens."""
        for name, shown in ((self.folder, "SCRATCH/"), (self.bucket, "BUCKET")):
            text = text.replace(quote(name, safe=""), shown.replace("/", "%2F")).replace(quote(name), shown)
            text = text.replace(name, shown)
        text = _TOKENS.sub(lambda found: f"{found[1] or found[2]}TOKEN", text)
        return _ACCOUNT.sub("ACCOUNT", _PAYER.sub(r"\1PROJECT", text))

    def _body(self, target: str, status: int, body: bytes) -> Any:
        if "alt=media" in target and status < 300:  # noqa: PLR2004 -- a success
            return "contents: not noted"
        text = body.decode(errors="replace")
        try:
            answer = json.loads(self.redacted(text)) if text else None
        except ValueError:
            return self.redacted(text)[:LONGEST]
        if isinstance(answer, dict) and answer.get("kind") == "storage#object":
            self.unknown |= answer.keys() - _KNOWN
        return answer


CLOUD = "https://www.googleapis.com/auth/cloud-platform"
"""The scope in which tokens of other accounts can be asked for."""


def impersonated(account: str, environ: Mapping[str, str]) -> Any:
    """Credentials of a service account, for `Gateway`. Its first request asks for the token.

    Raises:
        UsageError: There are no credentials of one's own.
    """
    import google.auth  # noqa: PLC0415 -- slow, and most runs impersonate no account
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415 -- as above
    from google.auth.impersonated_credentials import Credentials  # noqa: PLC0415 -- as above
    from google.oauth2.credentials import Credentials as Token  # noqa: PLC0415 -- as above

    path = f"/v1/projects/-/serviceAccounts/{account}:generateAccessToken"
    try:
        own: Any = Token("local") if APIS in environ else google.auth.default(scopes=[CLOUD])[0]  # type: ignore[no-untyped-call]
    except GoogleAuthError as error:
        raise UsageError(f"no Google Cloud credentials ({error})") from error
    base = environ.get(APIS) or "https://iamcredentials.googleapis.com"
    return Credentials(own, account, [SCOPE], iam_endpoint_override=base + path)  # type: ignore[no-untyped-call]
