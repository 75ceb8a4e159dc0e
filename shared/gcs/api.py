"""What callers ask of Cloud Storage, as verbs. No other module writes a path of the JSON API.

A 404 means an absent object only where the bucket is there. Both clients use one rule: the error response says "No such
object", or else the bucket is asked. `shared.gateway` does the same (decision 11; one contract suite tests both).
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, NamedTuple, Self, Unpack
from urllib.parse import quote

import orjson

from shared.answers import names_object, no_answer
from shared.errors import BucketNotFound, ObjectNotFound, StorageError, UnexpectedAnswer
from shared.gcs.json_client import (
    JSON_BODY,
    OK,
    UNPACED,
    ClientOptions,
    JsonClient,
    Pacing,
    RetryPolicy,
    listing_object,
    refusal,
    slows_all,
)
from shared.gcs.resources import Rewrite, read_rewrite
from shared.gcs.wire import STORED, Answer
from shared.migration import Location
from shared.objects import RESOURCE_FIELDS, ObjectRef, ObjectState, crc32c_of
from shared.storage_class import resource_like
from shared.text import counted

__all__ = [
    "CONTENT_TYPE",
    "MOST_CALLS",
    "UNPACED",
    "AsyncApi",
    "Pacing",
    "PartAnswer",
    "RetryPolicy",
    "Rewrite",
    "batch_body",
    "batch_parts",
    "encoded",
]

BASE_PATH = "/storage/v1"
BATCH_PATH = "/batch/storage/v1"
UPLOAD_PATH = "/upload/storage/v1"
DOWNLOAD_PATH = "/download/storage/v1"
PAGE_SIZE = 1000
"""The most objects that Cloud Storage lists at once."""
AS_STORED = "Accept-Encoding: gzip\r\n"
"""Without it Cloud Storage decompresses objects with ``Content-Encoding: gzip`` and ignores a range (documentation,
"Transcoding of gzip-compressed files")."""

_ONE_SEGMENT_BUT_FOR_SLASHES = re.compile(r"[A-Za-z0-9_.~/-]*")


def encoded(text: str) -> str:
    """Percent-encode a name or value, so that it is one segment of a path or one value of a query."""
    if _ONE_SEGMENT_BUT_FOR_SLASHES.fullmatch(text):  # nearly every name, at a fifth of quote's time
        return text.replace("/", "%2F")
    return quote(text, safe="")


_FORM = "projection=noAcl&prettyPrint=false"
_RESOURCE = f"{_FORM}&fields={encoded(RESOURCE_FIELDS)}"
_REWRITE = f"{_FORM}&fields={encoded(f'done,rewriteToken,resource({RESOURCE_FIELDS})')}"


class PartAnswer(NamedTuple):
    """The answer to one deletion of a batch.

    Attributes:
        status: Its own HTTP status; 0 where its answer is unreadable: it may or may not have had its effect.
        error: None for a success.
    """

    status: int
    error: StorageError | None


class AsyncApi:
    """The JSON API. An asynchronous context manager; belongs to one event loop. `JsonClient` explains the other options.

    `billing_project` pays for the requests to a requester-pays bucket; empty for none.

    Every verb repeats its request after transient faults, except `delete_batch`. Every verb raises `BucketNotFound` where
    a bucket is missing, and `StorageError` for every other answer that is not a success.

    Raises:
        UsageError: There are no credentials, or the endpoint is not an address.
    """

    def __init__(self, *, billing_project: str = "", **options: Unpack[ClientOptions]) -> None:
        self._payer = f"&userProject={encoded(billing_project)}" if billing_project else ""
        self._client = JsonClient(**options)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, trace)

    async def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        try:
            answer = await self._client.json("GET", f"{_path(at)}?{_RESOURCE}{self._payer}", at.uri)
        except ObjectNotFound as error:
            await self._require_buckets(error, at.bucket)
            return None
        return ObjectState.of(answer, at.name)

    async def rewrite(
        self,
        source: ObjectRef,
        destination: ObjectRef,
        *,
        if_source: int,
        if_destination: int,
        like: ObjectState | None = None,
        token: str = "",
        pacing: Pacing = UNPACED,
    ) -> Rewrite:
        """Send one call of a copy (`ObjectStore.copy`). Most copies need one; large or far ones need several.

        `token` is the previous call's; it is empty for the first call.
        """
        target = (
            f"{_path(source)}/rewriteTo{_objects(destination.bucket)}{encoded(destination.name)}"
            f"?ifSourceGenerationMatch={if_source}&ifGenerationMatch={if_destination}&{_REWRITE}{self._payer}"
        )
        if token:
            target += f"&rewriteToken={encoded(token)}"
        body = b""
        if like is not None:
            target += f"&ifSourceMetagenerationMatch={like.metageneration}"
            body = orjson.dumps(resource_like(like))
        try:
            return await self._client.exchange(
                "POST",
                target,
                source.uri,
                partial(read_rewrite, uri=source.uri, name=destination.name),
                pacing=pacing,
                headers=JSON_BODY if body else "",
                body=body,
            )
        except ObjectNotFound as error:
            await self._require_buckets(error, source.bucket, destination.bucket)
            raise

    async def copy(
        self,
        source: ObjectRef,
        destination: ObjectRef,
        *,
        if_source: int,
        if_destination: int,
        like: ObjectState | None = None,
        pacing: Pacing = UNPACED,
    ) -> ObjectState:
        """See `ObjectStore.copy`. Takes as many calls as needed, each under the same preconditions."""
        token = ""
        while True:
            made = await self.rewrite(
                source,
                destination,
                if_source=if_source,
                if_destination=if_destination,
                like=like,
                token=token,
                pacing=pacing,
            )
            if made.copy is not None:
                return made.copy
            token = made.token
            if not token:
                raise UnexpectedAnswer(source.uri, "a copy that is not done, and cannot be gone on with")

    async def restore(self, at: ObjectRef, generation: int, pacing: Pacing = UNPACED) -> ObjectState:
        """Restore a soft-deleted generation as the live version, where there is none.

        Raises:
            ConditionFailed: There is a live version; perhaps it is this restoration, whose answer was lost.
            ObjectNotFound: That generation is not soft-deleted (any more).
        """
        target = f"{_path(at)}/restore?generation={generation}&ifGenerationMatch=0&{_RESOURCE}{self._payer}"
        try:
            return ObjectState.of(await self._client.json("POST", target, at.uri, pacing), at.name)
        except ObjectNotFound as error:
            await self._require_buckets(error, at.bucket)
            raise

    async def read_range(
        self, at: ObjectRef, generation: int, *, first: int, size: int, whole: bool = False
    ) -> bytes:
        """Read bytes of one version of an object, as they are stored. Holds no more than what is asked for.

        Args:
            generation: Which version, so that all parts are of the same.
            size: How many bytes, at least 1; exactly these are returned.
            whole: These are all of the object's bytes, so no range is asked for.

        Raises:
            ObjectNotFound: That version is not there (any more).
            UnexpectedAnswer: The answer is longer than what was asked for, or another part.
        """
        headers = AS_STORED if whole else f"{AS_STORED}Range: bytes={first}-{first + size - 1}\r\n"

        def part(answer: Answer) -> bytes:
            if (answer.status == OK) is not whole:
                raise UnexpectedAnswer(
                    at.uri, f"a part was asked for, and the answer is none ({answer.status})"
                )
            if len(answer.body) != size:
                raise UnexpectedAnswer(
                    at.uri, f"{counted(size, 'byte')} were asked for, {len(answer.body):,} came"
                )
            return answer.body

        target = f"{_path(at)}?generation={generation}&alt=media{self._payer}"
        try:
            return await self._client.exchange("GET", target, at.uri, part, headers=headers, most=size)
        except ObjectNotFound as error:
            await self._require_buckets(error, at.bucket)
            raise

    async def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        """See `ContentsStore.read_version`. One request, so that generation and contents belong together."""

        def version(answer: Answer) -> tuple[int, bytes]:
            generation = next((text for name, text in answer.stored if name == STORED[0]), "")
            if answer.status != OK or not generation.isdigit():
                raise UnexpectedAnswer(at.uri, "its contents came without the generation they belong to")
            sums = [text for name, text in answer.stored if name == STORED[1] and "crc32c=" in text]
            if sums and f"crc32c={crc32c_of(answer.body)}" not in sums[0]:
                raise ValueError("what arrived does not match its checksum")
            return int(generation), answer.body

        target = f"{DOWNLOAD_PATH}{_objects(at.bucket)}{encoded(at.name)}?alt=media{self._payer}"
        try:
            return await self._client.exchange("GET", target, at.uri, version, headers=AS_STORED)
        except ObjectNotFound as error:
            await self._require_buckets(error, at.bucket)
            return None

    async def insert(self, at: ObjectRef, data: bytes, *, if_generation: int) -> ObjectState:
        """See `ContentsStore.write`; gives the version that was made. The content type is JSON."""
        target = (
            f"{UPLOAD_PATH}{_objects(at.bucket).rstrip('/')}?uploadType=media&name={encoded(at.name)}"
            f"&ifGenerationMatch={if_generation}&{_RESOURCE}{self._payer}"
        )
        try:
            answer = await self._client.json("POST", target, at.uri, body=data)
        except ObjectNotFound as error:
            await self._require_buckets(error, at.bucket)
            raise
        return ObjectState.of(answer, at.name)

    async def delete_batch(
        self, location: Location, deletions: Sequence[tuple[str, int]], pacing: Pacing = UNPACED
    ) -> list[PartAnswer]:
        """Delete live versions below a location in one request, sent once. Each has its own precondition and answer.

        Args:
            deletions: At most `MOST_CALLS` names below the prefix, each with the generation that its live version must
                have. No version is named: on a versioned bucket that would delete it for good.

        Returns:
            The answer to each, in their order. The request's success says nothing about any of them.

        Raises:
            Unavailable: There is no answer; any of the deletions may have happened.
            StorageError: The request was refused as a whole.
        """
        folder = _path(ObjectRef(location.bucket, location.prefix))
        body = batch_body(
            [
                ("DELETE", f"{folder}{encoded(name)}?ifGenerationMatch={generation}{self._payer}")
                for name, generation in deletions
            ]
        )
        answer = await self._client.post_once(
            BATCH_PATH, location.uri, CONTENT_TYPE, body, pacing, writes=len(deletions)
        )
        try:
            parts = batch_parts(answer, len(deletions))
        except ValueError as error:
            raise no_answer(error, location.uri) from error
        answers = [
            _part_answer(part, location.uri + name) for part, (name, _) in zip(parts, deletions, strict=True)
        ]
        if refused := sum(slows_all(part.status, part.error) for part in answers):
            pacing.throttled(refused)
        return await self._with_missing_bucket(answers, location.bucket)

    async def list_page(
        self,
        bucket: str,
        prefix: str,
        fields: str,
        *,
        start: str = "",
        end: str = "",
        token: str = "",
        limit: int = PAGE_SIZE,
        more: str = "",
        read: Callable[[Answer], Any] = listing_object,
    ) -> Any:
        """Send one request of a listing, and give its answer. ``shared.gcs.listing`` makes whole listings of it.

        Args:
            prefix: As in `ListingStore.list_pages`, and so are `start` and `end`.
            fields: What the answer holds (Cloud Storage documentation, "Partial responses").
            token: The previous answer's ``nextPageToken``; empty for the first page.
            limit: The most objects in the answer.
            more: Further parameters of the query, each with ``&`` before it.
            read: Reads the answer; gives its JSON object by default. A ValueError means that it is incomplete.
        """
        target = (
            f"{BASE_PATH}/b/{encoded(bucket)}/o?prefix={encoded(prefix)}&fields={encoded(fields)}"
            f"&maxResults={limit}&{_FORM}{more}{self._payer}"
        )
        for name, value in (("startOffset", start), ("endOffset", end), ("pageToken", token)):
            if value:
                target += f"&{name}={encoded(value)}"
        try:
            return await self._client.exchange("GET", target, f"gs://{bucket}/{prefix}", read)
        except ObjectNotFound as error:
            raise _no_bucket(bucket, error) from error

    async def bucket(self, name: str, fields: str) -> dict[str, Any]:
        """Read fields of a bucket's configuration, as the JSON API has it."""
        target = f"{BASE_PATH}/b/{encoded(name)}?fields={encoded(fields)}&prettyPrint=false{self._payer}"
        try:
            return await self._client.json("GET", target, f"gs://{name}")
        except ObjectNotFound as error:
            raise _no_bucket(name, error) from error

    async def _require_buckets(self, error: ObjectNotFound, *buckets: str) -> None:
        """Make sure that a 404 is about an object, and not about one of the buckets."""
        if not names_object(error.detail):
            for bucket in buckets:
                await self.list_page(bucket, "", "kind", limit=1)

    async def _with_missing_bucket(self, answers: list[PartAnswer], bucket: str) -> list[PartAnswer]:
        """The answers, with the bucket's own error for each 404 that may be about the bucket."""
        unclear = [
            part.error
            for part in answers
            if isinstance(part.error, ObjectNotFound) and not names_object(part.error.detail)
        ]
        if unclear:
            try:
                await self._require_buckets(unclear[0], bucket)
            except StorageError as problem:
                return [part._replace(error=problem) if part.error in unclear else part for part in answers]
        return answers


def _path(at: ObjectRef) -> str:
    return f"{BASE_PATH}{_objects(at.bucket)}{encoded(at.name)}"


@lru_cache(maxsize=16)
def _objects(bucket: str) -> str:
    """The path of a bucket's objects. Cached, because every copy needs two: it saves 0.6 of 2.0 microseconds."""
    return f"/b/{encoded(bucket)}/o/"


def _no_bucket(bucket: str, error: ObjectNotFound) -> BucketNotFound:
    return BucketNotFound(f"gs://{bucket}", error.detail.replace("no such object", "no such bucket", 1))


def _part_answer(part: tuple[int, bytes] | None, uri: str) -> PartAnswer:
    if part is None:
        return PartAnswer(0, no_answer("the batch's answer has no part for it that can be read", uri))
    status, body = part
    if OK <= status < OK + 100:
        if body.strip():  # a deletion answers with nothing (reference, "Objects: delete")
            return PartAnswer(0, no_answer("the answer to the deletion is not one", uri))
        return PartAnswer(status, None)
    return PartAnswer(status, refusal(status, body, uri))


# The form of a batch request: ``multipart/mixed`` of ``application/http`` parts (Cloud Storage documentation, "Batch requests").
# The answers come in any order; each repeats its call's ``Content-ID``. A part that is missing, repeated or unreadable counts as
# no answer.

MOST_CALLS = 100
"""Calls that one batch may have (the documentation above)."""

_BOUNDARY = "batch_of_calls"
"""No call contains it: names are percent-encoded."""

CONTENT_TYPE = f"Content-Type: multipart/mixed; boundary={_BOUNDARY}\r\n"

_CONTENT_ID = re.compile(
    rb"^content-id:[ \t]*<?response-[^\r\n]*?\+(\d{1,9})>?[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n")
_BLANK = re.compile(rb"\r?\n\r?\n")


def batch_body(calls: Sequence[tuple[str, str]]) -> bytes:
    """Write calls, each a method and a target, as the body of a request with the header line `CONTENT_TYPE`.

    Raises:
        ValueError: There are none, or more than `MOST_CALLS`.
    """
    if not 0 < len(calls) <= MOST_CALLS:
        raise ValueError(f"{counted(len(calls), 'call')}; a batch has 1 to {MOST_CALLS}")
    parts = (
        f"--{_BOUNDARY}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <call+{number}>\r\n\r\n{method} {target} HTTP/1.1\r\n\r\n\r\n"
        for number, (method, target) in enumerate(calls)
    )
    return ("".join(parts) + f"--{_BOUNDARY}--\r\n").encode("latin-1")


def batch_parts(body: bytes, count: int) -> list[tuple[int, bytes] | None]:
    """Read the body of the answer to a batch of `count` calls.

    Returns:
        Status and body of each call's answer, in the order of the calls; None for a call without a readable answer.

    Raises:
        ValueError: The final boundary is missing, so a part of the answer was lost.
    """
    mark = body.lstrip(b"\r\n").partition(b"\n")[0].rstrip()
    pieces = (b"\n" + body).split(b"\n" + mark)
    if not mark.startswith(b"--") or len(mark) <= len(b"--") or not pieces[-1].startswith(b"--"):
        raise ValueError("not a whole multipart answer")
    found: dict[int, tuple[int, bytes] | None] = {}
    for piece in pieces[1:-1]:
        number, answer = _part(piece)
        if number is not None:
            found[number] = None if number in found else answer
    return [found.get(number) for number in range(count)]


def _part(piece: bytes) -> tuple[int | None, tuple[int, bytes] | None]:
    """The number of the call that a part answers, and its status and body."""
    head, _, rest = _split(piece)
    identifier = _CONTENT_ID.search(head)
    if identifier is None:
        return None, None
    status = _STATUS.match(rest)
    if status is None:
        return int(identifier[1]), None
    _, _, body = _split(rest)
    return int(identifier[1]), (int(status[1]), body.rstrip(b"\r\n"))


def _split(text: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut at the first empty line."""
    blank = _BLANK.search(text)
    return (text, b"", b"") if blank is None else (text[: blank.start()], blank[0], text[blank.end() :])
