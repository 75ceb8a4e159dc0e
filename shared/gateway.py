"""The gateway to Cloud Storage: the only module that imports ``google.cloud.storage``.

It keeps the promises of ``shared.store`` over the network, and holds the retry and connection policies in one place:

- A rewrite always goes into a fresh blob, so it sends no request body and Cloud Storage copies the source's metadata.
  A loaded blob would send its own, stale metadata as the body and replace it (reference, "Objects: rewrite").
- The source blob never carries a generation. The client would send it as ``sourceGeneration``, which names a version,
  live or not; the rule requires the live one.
- The client repeats a rewrite after a lost answer. That is safe because the rewrite is conditional; its 412 then only
  means "look again".
- The client's background look-up of bucket metadata (since 3.11) is off. It needs a permission that nothing else here
  needs, and the logs would show a request that this project did not make.

Every error leaves as one of this project's own. A 404 means "absent" only if it is about the object.
"""

import http.client
import io
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from shared.address import address_of
from shared.answers import as_listing, error_for, is_transient, names_object, no_answer, said_by
from shared.errors import (
    BucketNotFound,
    ObjectNotFound,
    PermissionDenied,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
    UsageError,
)
from shared.objects import RESOURCE_FIELDS, ObjectRef, ObjectState
from shared.operations import OperationsCounter
from shared.server_time import ServerTime
from shared.storage_class import resource_like
from shared.store import ListingPage

__all__ = ["Gateway"]

_Found = TypeVar("_Found")

PAGE_SIZE = 1000
"""The most objects that Cloud Storage lists in one answer."""

UPLOAD_CHUNK = 8 * 1024 * 1024
"""Bytes in one request of an upload in pieces; a multiple of 256 KiB ("Resumable uploads": chunk size)."""

SLOWEST = 64 * 1024
"""Bytes a second. An answer gets one more second for each that many bytes, so a large one has the time that it needs."""


class Gateway:
    """Cloud Storage through the official client; a `DeletingStore` and a `RecordStore`.

    Threads may share it.

    Credentials come from the environment (Application Default Credentials); ``STORAGE_EMULATOR_HOST`` needs none.

    Args:
        connections: How many requests may be under way at once; further callers wait for a free connection.
        retry_deadline: Seconds for which the client repeats a request after a transient fault.
        retry_initial: Seconds before the first repetition; doubled each time up to a minute.
        request_timeout: Seconds after which one request counts as lost if its whole answer has not come; see `SLOWEST`.
            Rewrites of large objects need at least 30 (Cloud Storage reference, "Objects: rewrite").
        server_time: Notes the time of every answer; None for one of its own.
        billing_project: Pays for the requests to a requester-pays bucket; empty for none.
        credentials: The account, as a `google.auth.credentials.Credentials`; None for the environment's.

    Raises:
        UsageError: The environment has no credentials, or ``STORAGE_EMULATOR_HOST`` is not an address.
    """

    def __init__(
        self,
        *,
        connections: int = 10,
        retry_deadline: float = 120.0,
        retry_initial: float = 1.0,
        request_timeout: float = 60.0,
        operations: OperationsCounter | None = None,
        server_time: ServerTime | None = None,
        billing_project: str = "",
        credentials: Any = None,
    ) -> None:
        self._payer = billing_project or None
        if local := os.environ.get("STORAGE_EMULATOR_HOST"):
            address_of(local)
        self._retry = (
            DEFAULT_RETRY.with_predicate(_can_succeed_later)
            .with_timeout(retry_deadline)
            .with_delay(initial=retry_initial)
        )
        self._timeout = request_timeout
        try:
            self._client = storage.Client(project=None, credentials=credentials)
        except auth.DefaultCredentialsError as error:
            raise UsageError(
                f"no Google Cloud credentials ({error}); try: gcloud auth application-default login"
            ) from error
        # After a 404 its cache would ask for the bucket in a thread of its own, without the project that pays.
        self._client._bucket_metadata_cache = None  # noqa: SLF001
        adapter = _Adapter(pool_connections=connections, pool_maxsize=connections, pool_block=True)
        for scheme in ("https://", "http://"):
            self._client._http.mount(scheme, adapter)  # noqa: SLF001 -- the only way to a pool of this size
        self.operations = operations or OperationsCounter()
        self.server_time = server_time or ServerTime()
        self._client._http.hooks["response"].append(self._count)  # noqa: SLF001 -- sees every answer

    def close(self) -> None:
        """Close the connections."""
        self._client._http.close()  # noqa: SLF001 -- Client.close() leaves the pool open
        self._client.close()

    def _bucket(self, name: str) -> storage.Bucket:
        """A bucket, without a request. The client takes the project that pays from it for every request."""
        return self._client.bucket(name, user_project=self._payer)

    def _count(self, answer: requests.Response, **_: Any) -> None:
        self.operations.count(answer.request.method or "", answer.request.path_url)
        self.server_time.note(answer.headers.get("Date", ""))

    def listen(self, heard: Callable[[str, str, int, bytes], None]) -> None:
        """Let a function hear every answer from now on: method, target, status, body; without contents."""

        def hear(answer: requests.Response, **_: Any) -> None:
            target = answer.request.path_url
            contents = answer.ok and "alt=media" in target  # the client still has to read them
            heard(
                answer.request.method or "", target, answer.status_code, b"" if contents else answer.content
            )

        self._client._http.hooks["response"].append(hear)  # noqa: SLF001 -- as in the constructor

    def ask(self, bucket: str, uri: str, work: Callable[[storage.Bucket], _Found]) -> _Found:
        """Ask for what no other method does, with Google's client: only ``smoke --wire`` and the tests of permissions do.

        Raises:
            StorageError: As every method does.
        """
        try:
            return work(self._bucket(bucket))
        except (DataCorruption, *_ANSWERS) as error:
            raise self._translated(error, uri, bucket) from error

    def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        blob = self._bucket(at.bucket).blob(at.name)
        try:
            with self._translating(at.uri, at.bucket):
                blob.reload(projection="noAcl", timeout=self._timeout, retry=self._retry)
        except ObjectNotFound:
            return None
        return ObjectState.of(blob._properties, at.name)  # noqa: SLF001 -- the whole resource as answered

    def copy(
        self,
        source: ObjectRef,
        destination: ObjectRef,
        *,
        if_source: int,
        if_destination: int,
        like: ObjectState | None = None,
    ) -> ObjectState:
        """See `ObjectStore.copy`. A large or far copy takes several calls, each under the same conditions."""
        original = self._bucket(source.bucket).blob(source.name)
        copy = self._bucket(destination.bucket).blob(destination.name)
        body = {} if like is None else resource_like(like)
        token = None
        with self._translating(source.uri, source.bucket, destination.bucket):
            while True:
                copy._properties = {**copy._properties, **body}  # noqa: SLF001 -- an answer replaces them
                token, _, _ = copy.rewrite(
                    original,
                    token=token,
                    if_source_generation_match=if_source,
                    if_source_metageneration_match=None if like is None else like.metageneration,
                    if_generation_match=if_destination,
                    timeout=self._timeout,
                    retry=self._retry,
                )
                if token is None:
                    return ObjectState.of(copy._properties, destination.name)  # noqa: SLF001 -- as in look()

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        """See `DeletingStore.delete`. The blob carries no generation, which would delete a version permanently."""
        blob = self._bucket(at.bucket).blob(at.name)
        with self._translating(at.uri, at.bucket):
            blob.delete(if_generation_match=if_generation, timeout=self._timeout, retry=self._retry)

    def delete_version(self, at: ObjectRef, generation: int) -> None:
        """Delete a noncurrent version. Its generation never becomes live again, so the deletion needs no other condition.

        Raises:
            ObjectNotFound: It is absent; perhaps after our own deletion, repeated after a lost answer.
            StorageError: Every other failure; it may or may not have been deleted.
        """
        blob = self._bucket(at.bucket).blob(at.name, generation=generation)
        with self._translating(at.uri, at.bucket):
            blob.delete(timeout=self._timeout, retry=self._retry)

    def read(self, at: ObjectRef) -> bytes | None:
        """See `ContentsStore.read`."""
        found = self.read_version(at)
        return None if found is None else found[1]

    def read_stored(self, at: ObjectRef) -> bytes | None:
        """Read an object's bytes as they are stored: an object that is labelled gzip stays packed.

        Returns:
            The bytes; None only if the bucket exists and the object does not.

        Raises:
            StorageError: Anything else.
        """
        found = self._read_version(at, stored=True)
        return None if found is None else found[1]

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        """See `ContentsStore.read_version`.

        Every attempt is one request for the whole object, and the retry is here, not in the client's download. The
        client resumes a broken download from its first generation. After an overwrite that gives a 404, which would
        read as "the object is absent". Contents and generation header come from one answer.
        """
        return self._read_version(at, stored=False)

    def _read_version(self, at: ObjectRef, *, stored: bool) -> tuple[int, bytes] | None:
        def attempt() -> tuple[int, bytes]:
            blob = self._bucket(at.bucket).blob(at.name)
            contents = bytes(blob.download_as_bytes(timeout=self._timeout, retry=None, raw_download=stored))
            if blob.generation is None:
                raise UnexpectedAnswer(at.uri, "its contents came without the generation they belong to")
            return int(blob.generation), contents

        try:
            with self._translating(at.uri, at.bucket):
                found: tuple[int, bytes] = self._retry(attempt)()
        except DataCorruption as error:
            raise Unavailable(at.uri, f"what arrived does not match its checksum ({error})") from error
        except ObjectNotFound:
            return None
        return found

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        """See `ContentsStore.write`. The content type is JSON."""
        self._upload(at, data, if_generation, "application/json")

    def _upload(self, at: ObjectRef, data: bytes, if_generation: int | None, content_type: str) -> None:
        blob = self._bucket(at.bucket).blob(at.name)
        with self._translating(at.uri, at.bucket):
            blob.upload_from_string(
                data,
                content_type=content_type,
                if_generation_match=if_generation,
                timeout=self._timeout,
                retry=self._retry,
            )
            ObjectState.of(blob._properties, at.name)  # noqa: SLF001 -- as in look()

    def put(self, at: ObjectRef, data: bytes, *, content_type: str = "application/json") -> None:
        """Write a small object as a whole, without a condition: for reports, where the last write wins.

        Raises:
            StorageError: It may or may not have been written.
        """
        self._upload(at, data, None, content_type)

    @contextmanager
    def writing(
        self, at: ObjectRef, *, content_type: str, if_generation: int | None = None
    ) -> Iterator[Callable[[bytes], object]]:
        """Write an object of any length in pieces; it appears when the block ends, and not after an error in it.

        Args:
            if_generation: The live generation must be this; 0 = it must be absent; None for no condition.

        Yields:
            A function to call with each piece; it buffers about 8 MiB.

        Raises:
            ConditionFailed: Another version is live; or it is our own write, repeated after a lost answer. Read it.
            StorageError: It was not written.
        """
        blob = self._bucket(at.bucket).blob(at.name)
        try:
            with blob.open(
                "wb",
                chunk_size=UPLOAD_CHUNK,
                content_type=content_type,
                if_generation_match=if_generation,
                timeout=self._timeout,
                retry=self._retry,
            ) as file:
                yield file.write
        except _CLIENT_ERRORS as error:
            raise self._translated(error, at.uri, at.bucket) from error

    def list_pages(
        self, bucket: str, prefix: str, *, start: str = "", end: str = ""
    ) -> Iterator[ListingPage]:
        """See `ListingStore.list_pages`."""
        with self._listing(bucket, prefix):
            listing = self._client.list_blobs(
                self._bucket(bucket),
                prefix=prefix or None,
                start_offset=start or None,
                end_offset=end or None,
                page_size=PAGE_SIZE,
                fields=f"items({RESOURCE_FIELDS}),nextPageToken",
                timeout=self._timeout,
                retry=self._retry,
            )
            for page in _checked(listing).pages:
                objects = [ObjectState.from_resource(blob._properties) for blob in page]  # noqa: SLF001 -- as in look()
                if not all(each.name.startswith(prefix) for each in objects):
                    raise UnexpectedAnswer(f"gs://{bucket}/{prefix}", "the listing has another name")
                if objects:
                    yield ListingPage(objects)

    def check_bucket(self, bucket: str, prefix: str, *, patience: float = 10.0) -> bool:
        """List a prefix once, before the work starts.

        Args:
            patience: Seconds for which the client retries transient faults.

        Returns:
            Whether the prefix has any object.

        Raises:
            BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: The prefix cannot be listed.
        """
        retry = self._retry.with_timeout(patience)
        with self._listing(bucket, prefix):
            listing = self._client.list_blobs(
                self._bucket(bucket), prefix=prefix or None, max_results=1, timeout=patience, retry=retry
            )
            return next(iter(_checked(listing)), None) is not None

    def permitted(self, bucket: str, name: str, permissions: Sequence[str]) -> frozenset[str]:
        """Ask which of these permissions the account in use holds.

        Args:
            name: An object's name in the bucket; empty for the bucket itself.

        Raises:
            ObjectNotFound, StorageError: The service does not say.
        """
        at = self._bucket(bucket)
        asked = at.blob(name) if name else at
        with self._translating(f"gs://{bucket}/{name}", bucket) if name else self._listing(bucket):
            held = asked.test_iam_permissions(list(permissions), timeout=self._timeout, retry=self._retry)
        return frozenset(held) & frozenset(permissions)

    def bucket_resource(self, bucket: str) -> Mapping[str, Any]:
        """A bucket's configuration, as the JSON API shows it.

        Raises:
            BucketNotFound, PermissionDenied, StorageError: It cannot be read.
        """
        at = self._bucket(bucket)
        with self._listing(bucket):
            at.reload(timeout=self._timeout, retry=self._retry)
        return dict(at._properties)  # noqa: SLF001 -- as in look()

    def bucket_policy(self, bucket: str) -> Mapping[str, Any]:
        """A bucket's IAM policy, as the JSON API shows it, conditions included.

        Raises:
            BucketNotFound, PermissionDenied, StorageError: It cannot be read.
        """
        at = self._bucket(bucket)
        with self._listing(bucket):
            found = at.get_iam_policy(requested_policy_version=3, timeout=self._timeout, retry=self._retry)
        return dict(found.to_api_repr())

    @contextmanager
    def _listing(self, bucket: str, prefix: str = "") -> Iterator[None]:
        """Raise this project's errors for the client's; a 404 is about the bucket."""
        try:
            yield
        except _ANSWERS as error:
            meant = self._translated(error, f"gs://{bucket}/{prefix}")
            if isinstance(meant, ObjectNotFound):
                why = meant.detail.replace("no such object", "no such bucket", 1)
                raise BucketNotFound(f"gs://{bucket}", why) from error
            raise meant from error

    @contextmanager
    def _translating(self, uri: str, *buckets: str) -> Iterator[None]:
        """Raise this project's errors for the client's; see `_translated`."""
        try:
            yield
        except _ANSWERS as error:
            raise self._translated(error, uri, *buckets) from error

    def _translated(self, error: Exception, uri: str, *buckets: str) -> StorageError:
        """Map the client's error to this project's own; `buckets` are those that a 404 may be about."""
        cause = error.cause if isinstance(error, api.RetryError) and error.cause is not None else error
        if isinstance(cause, InvalidResponse):  # an upload in pieces was refused
            cause = api.from_http_response(cause.response)  # type: ignore[no-untyped-call]
        match cause:
            case api.GoogleAPICallError() if cause.code is not None:
                said, reasons = _said(cause)
                meant = error_for(int(cause.code), reasons, said, uri)
                return self._not_found(meant, buckets) if isinstance(meant, ObjectNotFound) else meant
            case auth.GoogleAuthError() if not cause.retryable and not isinstance(cause, auth.TransportError):
                return PermissionDenied(
                    uri, f"the credentials were refused and could not be renewed ({cause})"
                )
            case requests.RequestException() | ConnectionError():
                return no_answer(cause, uri)
            case KeyError() | TypeError() | ValueError() | AttributeError():
                return UnexpectedAnswer(uri, f"an answer without what it should hold ({cause!r})")
            case _:
                return no_answer(cause, uri)

    def _not_found(self, error: ObjectNotFound, buckets: tuple[str, ...]) -> StorageError:
        """Tell a missing object from a missing bucket: both are 404, and only the first may be read as "absent".

        If the message does not tell them apart, look at the buckets.
        """
        if not names_object(error.detail):
            for bucket in buckets:
                try:
                    self.check_bucket(bucket, "")
                except StorageError as problem:
                    return problem
        return error


def _checked(listing: Any) -> Any:
    """The client's listing, which raises a ValueError for an answer that is not one. The client reads it as an empty page."""
    start = listing._page_start  # noqa: SLF001 -- sees each answer before its objects

    def check(iterator: Any, page: Any, answer: Any) -> Any:
        as_listing(answer)
        return start(iterator, page, answer)

    listing._page_start = check  # noqa: SLF001 -- as above
    return listing


class _Adapter(HTTPAdapter):
    """Connections on which an answer has one deadline.

    The client's own timeout starts again with each byte. An answer that drips would keep a thread for hours.
    """

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """See `HTTPAdapter.init_poolmanager`."""
        super().init_poolmanager(*arguments, **options)
        self._set_deadlines(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        """See `HTTPAdapter.proxy_manager_for`."""
        manager = super().proxy_manager_for(proxy, **options)
        self._set_deadlines(manager)
        return manager

    @staticmethod
    def _set_deadlines(manager: Any) -> None:
        manager.pool_classes_by_scheme = {
            scheme: type(pool.__name__, (pool,), {"ConnectionCls": _with_deadline(pool.ConnectionCls)})
            for scheme, pool in manager.pool_classes_by_scheme.items()
        }


def _with_deadline(connection: type) -> type:
    return type(connection.__name__, (connection,), {"response_class": _Answer})


class _Answer(http.client.HTTPResponse):
    """An answer that must have come within the socket's timeout as a whole."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        seconds = sock.gettimeout()
        if seconds is not None:
            self.fp.close()
            self.fp = io.BufferedReader(_Timed(sock, seconds))


class _Timed(io.RawIOBase):
    """Reads from a socket until a deadline, which moves by a second for each `SLOWEST` bytes."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        super().__init__()
        self._socket = sock
        self._from = sock.makefile("rb", buffering=0)
        self._deadline = time.monotonic() + seconds

    def readable(self) -> bool:
        """See `io.RawIOBase.readable`."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """See `io.RawIOBase.readinto`. Raises `TimeoutError` where the deadline has passed."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer did not come as a whole within the time allowed")
        self._socket.settimeout(left)
        count = self._from.readinto(buffer)
        self._deadline += (count or 0) / SLOWEST
        return count

    def close(self) -> None:
        """See `io.RawIOBase.close`."""
        self._from.close()
        super().close()


_CLIENT_ERRORS = (
    api.GoogleAPICallError,
    api.RetryError,
    auth.GoogleAuthError,
    requests.RequestException,
    ConnectionError,
    InvalidResponse,
)
"""Everything that the client raises for an answer, or without one (its own documentation, "Retries")."""


_ANSWERS = (*_CLIENT_ERRORS, KeyError, TypeError, ValueError, AttributeError)
"""Also what the client raises for a success whose body lacks what it should hold: it reads bodies without a check."""


def _can_succeed_later(error: Exception) -> bool:
    """Whether the client repeats a request: after the errors that it knows, and those of ``shared.answers``."""
    if isinstance(error, api.GoogleAPICallError) and error.code is not None:
        said, reasons = _said(error)
        return error_for(int(error.code), reasons, said, "").transient
    if isinstance(error, InvalidResponse):
        return is_transient(int(error.response.status_code))
    return bool(_known_to_client(error))


_known_to_client = DEFAULT_RETRY._predicate  # noqa: SLF001 -- there is no other way to add to it


def _said(error: api.GoogleAPICallError) -> tuple[str, list[str]]:
    """The service's message and reasons. The client's own message repeats the request, and of an upload it has no reasons."""
    answer = error.response
    if isinstance(answer, requests.Response):
        return said_by(answer.content)
    reasons = [str(entry["reason"]) for entry in error.errors if entry.get("reason")]
    return str(error.message), reasons
