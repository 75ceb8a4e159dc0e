"""Authorization headers for requests, renewed before they expire and never twice at once.

A renewal blocks: it asks the metadata server or reads a file. So it runs in a thread, and requests go on with the
current token while that is valid. Only ``json_client`` imports this module; it is one of its own because it knows nothing of HTTP.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Protocol

from shared.answers import no_answer
from shared.errors import PermissionDenied, StorageError, Unavailable, UsageError

__all__ = ["AccessSource", "Anonymous", "ApplicationDefault", "CurrentGrant", "Grant"]

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
"""Reading and writing objects (Cloud Storage documentation, "Authentication": OAuth scopes)."""

RENEW_AHEAD = 225.0
"""Seconds before its expiry at which a token is renewed. The metadata server gives a new one from 300 on."""

PAUSE = 10.0
"""Seconds between two renewals in the background, so that a failed one is not repeated with every request."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Headers that authorize requests until ``expires`` (seconds since the epoch; infinite for never)."""

    headers: Mapping[str, str]
    expires: float = math.inf


class AccessSource(Protocol):
    """Where grants come from."""

    def fetch(self) -> Grant:
        """Get a new grant. Blocks; called in a thread, one call at a time.

        Raises:
            google.auth.exceptions.GoogleAuthError: There is none now.
        """
        ...


class Anonymous:
    """No credentials, for a local Cloud Storage."""

    def fetch(self) -> Grant:
        """See `AccessSource.fetch`."""
        return Grant({})


class ApplicationDefault:
    """The environment's credentials (Application Default Credentials). Raises `UsageError` where there are none."""

    def __init__(self) -> None:
        # Imported here because it is slow, and a local Cloud Storage needs no credentials.
        import google.auth  # noqa: PLC0415
        from google.auth.exceptions import DefaultCredentialsError  # noqa: PLC0415
        from google.auth.transport.requests import Request  # noqa: PLC0415

        self._request = Request
        self._credentials: Any  # the library is only partly typed
        try:
            self._credentials, _ = google.auth.default(scopes=[SCOPE])
        except DefaultCredentialsError as error:
            raise UsageError(
                f"no Google Cloud credentials ({error}); try: gcloud auth application-default login"
            ) from error

    def fetch(self) -> Grant:
        """See `AccessSource.fetch`."""
        self._credentials.refresh(self._request())
        headers: dict[str, str] = {}
        self._credentials.apply(headers)
        expiry = self._credentials.expiry
        # The library's time is UTC without a time zone.
        return Grant(headers, math.inf if expiry is None else expiry.replace(tzinfo=UTC).timestamp())


class CurrentGrant:
    """The current grant, renewed while requests go on. Belongs to one event loop. `now` gives seconds since the epoch."""

    def __init__(self, source: AccessSource, now: Callable[[], float]) -> None:
        self._source = source
        self._now = now
        self._grant = Grant({}, -math.inf)
        self._renewal: asyncio.Task[None] | None = None
        self._renew_from = -math.inf

    def valid(self) -> Mapping[str, str] | None:
        """The headers for a request that is sent now, without waiting; None where `headers` has something to do."""
        return self._grant.headers if self._now() < self._renew_from else None

    async def headers(self, uri: str) -> Mapping[str, str]:
        """The headers for a request that is sent now. Errors name `uri`.

        Raises:
            PermissionDenied, Unavailable: The current grant has expired, and there is no new one.
        """
        now = self._now()
        if now >= self._renew_from:
            if now >= self._grant.expires:
                await self._renewed(uri)
            else:
                self._renew_from = now + PAUSE
                self._begin()
        return self._grant.headers

    async def refused(self, headers: Mapping[str, str], uri: str) -> bool:
        """Renew the grant whose headers were refused (401), unless another request has done so.

        Returns:
            Whether there are other headers to try.

        Raises:
            PermissionDenied, Unavailable: There is no new grant.
        """
        if headers is self._grant.headers:
            await self._renewed(uri)
        return self._grant.headers != headers

    async def close(self) -> None:
        """Wait for a renewal that is running: a thread cannot be cancelled."""
        if self._renewal is not None:
            await asyncio.wait({self._renewal})

    def _begin(self) -> asyncio.Task[None]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
            # Marks a failure as seen: requests that wait get it, and without one the next renewal tries again.
            self._renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._renewal

    async def _renew(self) -> None:
        self._grant = await asyncio.to_thread(self._source.fetch)
        self._renew_from = max(self._grant.expires - RENEW_AHEAD, self._now() + PAUSE)
        # A grant that expires within the pause must not be used after its expiry.
        self._renew_from = min(self._renew_from, self._grant.expires)

    async def _renewed(self, uri: str) -> None:
        try:
            # Several requests wait for one renewal; cancelling one of them must not end it.
            await asyncio.shield(self._begin())
        except Exception as error:
            ours = _translated(error, uri)
            if ours is None:
                raise
            raise ours from error


def _translated(error: Exception, uri: str) -> StorageError | None:
    """An error of the credentials' library as ours; None for any other error."""
    from google.auth import exceptions as auth  # noqa: PLC0415 -- as above: only after an error

    if isinstance(error, auth.TransportError):
        return Unavailable(
            uri, f"no answer about the credentials within the time allowed; last error: {error}"
        )
    if not isinstance(error, auth.GoogleAuthError):
        return None
    if error.retryable:
        return no_answer(error, uri)
    return PermissionDenied(uri, f"the credentials were refused and could not be renewed ({error})")
