"""The gateway to Cloud Storage: the only module that imports ``google.cloud.storage``.

It keeps the promises of ``shared.store`` over the network, and has the retry and connection policies in one place:

- Rewrites always go into a fresh blob, so that no request body is sent and Cloud Storage copies the source's metadata;
  a loaded blob would send its own, stale, as the body and replace it (Cloud Storage reference, "Objects: rewrite").
- The source blob never carries a generation: that would be sent as ``sourceGeneration`` and name a version, live or
  not, where the rule asks for the live one.
- A rewrite is repeated after a lost answer, which is safe because it is conditional; its 412 then only means "look".
- The client's look-up of bucket metadata in the background (since 3.11) is off: it needs a permission nobody else here
  needs, and shows as a request nobody made.

Errors leave as this project's own. A 404 is "absent" only when it is about the object.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import requests
from google.api_core import exceptions as api
from google.auth import exceptions as auth
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption, InvalidResponse
from google.cloud.storage.retry import DEFAULT_RETRY
from requests.adapters import HTTPAdapter

from shared.answers import error_for, names_object, no_answer
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
from shared.store import ListingPage

__all__ = ["Gateway"]

PAGE_SIZE = 1000
"""The most that Cloud Storage gives at once."""

UPLOAD_CHUNK = 8 * 1024 * 1024
"""Bytes of one request of an upload in pieces; a multiple of 256 KiB ("Resumable uploads": chunk size)."""


class Gateway:
    """Cloud Storage through the official client; a `DeletingStore`, a `ListingStore` and a `ContentsStore`.

    Safe to share between threads.

    Credentials are the environment's (Application Default Credentials), or none at ``STORAGE_EMULATOR_HOST``.

    Args:
        connections: How many requests may be under way at once; more callers wait for a free connection.
        retry_deadline: Seconds over which a request is repeated after a transient fault.
        retry_initial: Seconds before the first repetition; doubled each time up to a minute.
        request_timeout: Seconds without an answer after which one request counts as lost. Rewrites of large objects
            need at least 30 (Cloud Storage reference, "Objects: rewrite").
        operations: Told every request; None for a counter of its own.

    Attributes:
        operations: Counts the requests that were answered, as they are billed.

    Raises:
        UsageError: No credentials are to be had.
    """

    def __init__(
        self,
        *,
        connections: int = 10,
        retry_deadline: float = 120.0,
        retry_initial: float = 1.0,
        request_timeout: float = 60.0,
        operations: OperationsCounter | None = None,
    ) -> None:
        os.environ.setdefault("DISABLE_GCS_PYTHON_CLIENT_OTEL_BUCKET_METADATA", "true")
        self._retry = DEFAULT_RETRY.with_timeout(retry_deadline).with_delay(initial=retry_initial)
        self._timeout = request_timeout
        try:
            self._client = storage.Client(project=None)
        except auth.DefaultCredentialsError as error:
            raise UsageError(
                f"no Google Cloud credentials ({error}); try: gcloud auth application-default login"
            ) from error
        adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections, pool_block=True)
        for scheme in ("https://", "http://"):
            self._client._http.mount(scheme, adapter)  # noqa: SLF001 -- the only way to a pool of this size
        self.operations = operations or OperationsCounter()
        self._client._http.hooks["response"].append(self._count)  # noqa: SLF001 -- where every answer comes by

    def close(self) -> None:
        """Give the connections back."""
        self._client._http.close()  # noqa: SLF001 -- Client.close() leaves the pool open
        self._client.close()

    def _count(self, answer: requests.Response, **_: Any) -> None:
        self.operations.count(answer.request.method or "", answer.request.path_url)

    def look(self, at: ObjectRef) -> ObjectState | None:
        """See `ObjectStore.look`."""
        blob = self._client.bucket(at.bucket).blob(at.name)
        try:
            blob.reload(projection="noAcl", timeout=self._timeout, retry=self._retry)
        except _CLIENT_ERRORS as error:
            try:
                raise self._translated(error, at.uri, at.bucket) from error
            except ObjectNotFound:
                return None
        return ObjectState.from_resource(blob._properties)  # noqa: SLF001 -- the resource as answered, all at once

    def copy(
        self, source: ObjectRef, destination: ObjectRef, *, if_source: int, if_destination: int
    ) -> ObjectState:
        """See `ObjectStore.copy`. Large or far copies take several calls, under the same conditions each."""
        original = self._client.bucket(source.bucket).blob(source.name)
        copy = self._client.bucket(destination.bucket).blob(destination.name)
        token = None
        try:
            while True:
                token, _, _ = copy.rewrite(
                    original,
                    token=token,
                    if_source_generation_match=if_source,
                    if_generation_match=if_destination,
                    timeout=self._timeout,
                    retry=self._retry,
                )
                if token is None:
                    return ObjectState.from_resource(copy._properties)  # noqa: SLF001 -- as in look()
        except _CLIENT_ERRORS as error:
            raise self._translated(error, source.uri, source.bucket, destination.bucket) from error

    def delete(self, at: ObjectRef, *, if_generation: int) -> None:
        """See `DeletingStore.delete`. The blob carries no generation: that would delete a version for good."""
        blob = self._client.bucket(at.bucket).blob(at.name)
        try:
            blob.delete(if_generation_match=if_generation, timeout=self._timeout, retry=self._retry)
        except _CLIENT_ERRORS as error:
            raise self._translated(error, at.uri, at.bucket) from error

    def read(self, at: ObjectRef) -> bytes | None:
        """See `shared.phase.StateStore.read`."""
        found = self.read_version(at)
        return None if found is None else found[1]

    def read_stored(self, at: ObjectRef) -> bytes | None:
        """Read an object's bytes as they are stored: what is labelled gzip stays packed, whether it is gzip or not.

        Returns:
            The bytes; None only when the bucket is there and has no such object.

        Raises:
            StorageError: Anything else.
        """
        found = self._read_version(at, stored=True)
        return None if found is None else found[1]

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        """See `ContentsStore.read_version`.

        Every attempt is one request for the whole, repeated here and not by the download: a download that broke off
        is resumed by the client from the generation it began with, whose 404, once somebody has overwritten it, would
        be read as "there is no such object". Contents and generation header are of one answer.
        """
        return self._read_version(at, stored=False)

    def _read_version(self, at: ObjectRef, *, stored: bool) -> tuple[int, bytes] | None:
        def attempt() -> tuple[int, bytes]:
            blob = self._client.bucket(at.bucket).blob(at.name)
            contents = bytes(blob.download_as_bytes(timeout=self._timeout, retry=None, raw_download=stored))
            if blob.generation is None:
                raise UnexpectedAnswer(at.uri, "its contents came without the generation they belong to")
            return int(blob.generation), contents

        try:
            found: tuple[int, bytes] = self._retry(attempt)()
        except DataCorruption as error:
            raise Unavailable(at.uri, f"what arrived does not match its checksum ({error})") from error
        except _CLIENT_ERRORS as error:
            try:
                raise self._translated(error, at.uri, at.bucket) from error
            except ObjectNotFound:
                return None
        return found

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        """See `ContentsStore.write`. It is written as JSON."""
        blob = self._client.bucket(at.bucket).blob(at.name)
        try:
            blob.upload_from_string(
                data,
                content_type="application/json",
                if_generation_match=if_generation,
                timeout=self._timeout,
                retry=self._retry,
            )
        except _CLIENT_ERRORS as error:
            raise self._translated(error, at.uri, at.bucket) from error

    def put(self, at: ObjectRef, data: bytes, *, content_type: str = "application/json") -> None:
        """Write a small object as a whole, over whatever is there: for reports, of which the last one counts.

        Args:
            at: Where.
            data: Its contents.
            content_type: Their type.

        Raises:
            StorageError: It may or may not have been written.
        """
        blob = self._client.bucket(at.bucket).blob(at.name)
        try:
            blob.upload_from_string(data, content_type=content_type, timeout=self._timeout, retry=self._retry)
        except _CLIENT_ERRORS as error:
            raise self._translated(error, at.uri, at.bucket) from error

    @contextmanager
    def writing(
        self, at: ObjectRef, *, content_type: str, if_generation: int | None = None
    ) -> Iterator[Callable[[bytes], object]]:
        """Write an object of any length in pieces; it appears when the block ends, and not after an error in it.

        Args:
            at: Where.
            content_type: Its type.
            if_generation: The live generation must be this; 0 = it must be absent; None for whatever is there.

        Yields:
            To be called with each piece; about 8 MiB are held.

        Raises:
            ConditionFailed: Something else is there; or it was our own write, repeated after a lost answer. Read it.
            StorageError: It was not written.
        """
        blob = self._client.bucket(at.bucket).blob(at.name)
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
        try:
            listing = self._client.list_blobs(
                bucket,
                prefix=prefix or None,
                start_offset=start or None,
                end_offset=end or None,
                page_size=PAGE_SIZE,
                fields=f"items({RESOURCE_FIELDS}),nextPageToken",
                timeout=self._timeout,
                retry=self._retry,
            )
            for page in listing.pages:
                objects = [ObjectState.from_resource(blob._properties) for blob in page]  # noqa: SLF001 -- as in look()
                if objects:
                    yield ListingPage(objects)
        except _CLIENT_ERRORS as error:
            raise self._listing_error(error, bucket, prefix) from error

    def check_bucket(self, bucket: str, prefix: str, *, patience: float = 10.0) -> bool:
        """Find out before the work starts whether a prefix can be listed.

        Args:
            bucket: Bucket name.
            prefix: Where listing is to be tried; permission may be limited to it.
            patience: Seconds over which transient faults are tolerated.

        Returns:
            Whether it holds any object.

        Raises:
            BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: It cannot.
        """
        retry = self._retry.with_timeout(patience)
        try:
            listing = self._client.list_blobs(
                bucket, prefix=prefix or None, max_results=1, timeout=patience, retry=retry
            )
            return next(iter(listing), None) is not None
        except _CLIENT_ERRORS as error:
            raise self._listing_error(error, bucket, prefix) from error

    def permitted(self, bucket: str, name: str, permissions: Sequence[str]) -> frozenset[str]:
        """Ask which permissions the account in use holds.

        Args:
            bucket: Bucket name.
            name: An object's name in it; empty for the bucket itself.
            permissions: Those to ask about.

        Returns:
            Those of them that it holds there.

        Raises:
            ObjectNotFound, StorageError: The service would not say.
        """
        at = self._client.bucket(bucket)
        asked = at.blob(name) if name else at
        try:
            held = asked.test_iam_permissions(list(permissions), timeout=self._timeout, retry=self._retry)
        except _CLIENT_ERRORS as error:
            if not name:
                raise self._listing_error(error, bucket, "") from error
            raise self._translated(error, f"gs://{bucket}/{name}", bucket) from error
        return frozenset(held) & frozenset(permissions)

    def bucket_resource(self, bucket: str) -> Mapping[str, Any]:
        """A bucket's configuration, as the JSON API shows it.

        Raises:
            BucketNotFound, PermissionDenied, StorageError: It cannot be read.
        """
        at = self._client.bucket(bucket)
        try:
            at.reload(timeout=self._timeout, retry=self._retry)
        except _CLIENT_ERRORS as error:
            raise self._listing_error(error, bucket, "") from error
        return dict(at._properties)  # noqa: SLF001 -- as in look()

    def _listing_error(self, error: Exception, bucket: str, prefix: str) -> StorageError:
        cause = error.cause if isinstance(error, api.RetryError) else error
        if isinstance(cause, api.NotFound):
            return BucketNotFound(f"gs://{bucket}", f"no such bucket ({_said(cause)})")
        return self._translated(error, f"gs://{bucket}/{prefix}")

    def _translated(self, error: Exception, uri: str, *buckets: str) -> StorageError:
        """Say the client's error in this project's terms.

        Args:
            error: What the client raised.
            uri: What was asked about.
            buckets: The buckets that a 404 may be about.
        """
        cause = error.cause if isinstance(error, api.RetryError) and error.cause is not None else error
        if isinstance(cause, InvalidResponse):  # how an upload in pieces says that it was refused
            cause = api.from_http_response(cause.response)  # type: ignore[no-untyped-call]
        match cause:
            case api.NotFound():
                return self._not_found(cause, uri, buckets)
            case api.GoogleAPICallError() if cause.code is not None:
                return error_for(int(cause.code), _reasons(cause), _said(cause), uri)
            case auth.GoogleAuthError() if not cause.retryable and not isinstance(cause, auth.TransportError):
                return PermissionDenied(
                    uri, f"the credentials were refused and could not be renewed ({cause})"
                )
            case _:
                return no_answer(cause, uri)

    def _not_found(self, error: api.NotFound, uri: str, buckets: tuple[str, ...]) -> StorageError:
        """Tell a missing object from a missing bucket: both are 404, and only the first may be read as "absent".

        Where the words do not say it, the buckets are asked.
        """
        said = _said(error)
        if not names_object(said):
            for bucket in buckets:
                try:
                    self.check_bucket(bucket, "")
                except StorageError as problem:
                    return problem
        return ObjectNotFound(uri, f"no such object ({said})")


_CLIENT_ERRORS = (
    api.GoogleAPICallError,
    api.RetryError,
    auth.GoogleAuthError,
    requests.RequestException,
    ConnectionError,
    InvalidResponse,
)
"""Everything the client raises for an answer, or for none (its own documentation, "Retries")."""


def _said(error: api.GoogleAPICallError) -> str:
    """What the service said, without the client's repetition of the request."""
    return next((str(entry["message"]) for entry in error.errors if entry.get("message")), str(error.message))


def _reasons(error: api.GoogleAPICallError) -> set[str]:
    return {str(entry.get("reason")) for entry in error.errors}
