"""Who is asking: the headers that authorize a request, renewed before they expire and never twice at once.

Asking for a new token blocks (it is a request to the metadata server, or a file and a request), so it happens in a
thread, while requests go on with the token at hand as long as it is valid.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from typing import Any, Protocol

from shared.errors import PermissionDenied, StorageError, Unavailable, UsageError

__all__ = ["Access", "AccessSource", "Grant", "anonymous", "application_default"]

SCOPE = "https://www.googleapis.com/auth/devstorage.read_write"
"""Reading and writing objects (Cloud Storage documentation, "Authentication": OAuth scopes)."""

RENEW_AHEAD = 225.0
"""Seconds before its expiry at which a token is renewed; the metadata server hands out a new one from 300 on."""

PAUSE = 10.0
"""Seconds between two renewals that nobody waits for: a failed one must not be repeated with every request."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Headers that authorize a request, for some time.

    Attributes:
        headers: To be sent with the request.
        expires: When they lose their force, in seconds since the epoch; infinite for never.
    """

    headers: Mapping[str, str]
    expires: float = math.inf


class AccessSource(Protocol):
    """Where grants come from."""

    def fetch(self) -> Grant:
        """Get a new grant. Blocks; called in a thread, by one at a time.

        Raises:
            google.auth.exceptions.GoogleAuthError: There is none to be had now.
        """
        ...


class _Anonymous:
    def fetch(self) -> Grant:
        return Grant({})


class _ApplicationDefault:
    def __init__(self) -> None:
        # Loaded by whoever needs credentials: at a local Cloud Storage nobody does, and it takes its time.
        import google.auth  # noqa: PLC0415
        from google.auth.exceptions import DefaultCredentialsError  # noqa: PLC0415
        from google.auth.transport.requests import Request  # noqa: PLC0415

        self._request = Request
        self._credentials: Any  # the library's types stop half way
        try:
            self._credentials, _ = google.auth.default(scopes=[SCOPE])
        except DefaultCredentialsError as error:
            raise UsageError(
                f"no Google Cloud credentials ({error}); try: gcloud auth application-default login"
            ) from error

    def fetch(self) -> Grant:
        self._credentials.refresh(self._request())
        headers: dict[str, str] = {}
        self._credentials.apply(headers)
        expiry = self._credentials.expiry
        # The library keeps this time in UTC without saying so.
        return Grant(headers, math.inf if expiry is None else expiry.replace(tzinfo=UTC).timestamp())


def anonymous() -> AccessSource:
    """Nobody in particular: for the local Cloud Storage."""
    return _Anonymous()


def application_default() -> AccessSource:
    """The environment's credentials (Application Default Credentials).

    Raises:
        UsageError: There are none.
    """
    return _ApplicationDefault()


class Access:
    """The grant at hand, renewed while requests go on. Belongs to one event loop.

    Args:
        source: Where grants come from.
        now: The time in seconds since the epoch.
    """

    def __init__(self, source: AccessSource, now: Callable[[], float]) -> None:
        self._source = source
        self._now = now
        self._grant = Grant({}, -math.inf)
        self._renewal: asyncio.Task[None] | None = None
        self._renew_from = -math.inf

    async def headers(self, uri: str) -> Mapping[str, str]:
        """The headers for a request that is sent now.

        Args:
            uri: What the request is about, for errors.

        Raises:
            PermissionDenied, Unavailable: The grant at hand has expired, and there is no new one.
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
        """Renew a grant that was refused (401), unless that has happened already.

        Args:
            headers: Those that were refused.
            uri: What the request was about, for errors.

        Returns:
            Whether there are other headers to try.

        Raises:
            PermissionDenied, Unavailable: There is no new grant.
        """
        if headers is self._grant.headers:
            await self._renewed(uri)
        return self._grant.headers != headers

    async def close(self) -> None:
        """Wait for a renewal under way; a thread cannot be called off."""
        if self._renewal is not None:
            await asyncio.wait({self._renewal})

    def _begin(self) -> asyncio.Task[None]:
        if self._renewal is None or self._renewal.done():
            self._renewal = asyncio.create_task(self._renew())
            # A failure that nobody waits for is no news: the next renewal comes, and waiters get theirs.
            self._renewal.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._renewal

    async def _renew(self) -> None:
        self._grant = await asyncio.to_thread(self._source.fetch)
        self._renew_from = max(self._grant.expires - RENEW_AHEAD, self._now() + PAUSE)
        # One that expires within the pause must not be used beyond its time.
        self._renew_from = min(self._renew_from, self._grant.expires)

    async def _renewed(self, uri: str) -> None:
        try:
            # Several wait for the one renewal; one of them being cancelled must not end it.
            await asyncio.shield(self._begin())
        except Exception as error:
            ours = _translated(error, uri)
            if ours is None:
                raise
            raise ours from error


def _translated(error: Exception, uri: str) -> StorageError | None:
    """An error of the credentials' library as ours; None for any other."""
    from google.auth import exceptions as auth  # noqa: PLC0415 -- loaded when there is one to be told apart

    if isinstance(error, auth.TransportError):
        return Unavailable(
            uri, f"no answer about the credentials within the time allowed; last error: {error}"
        )
    if not isinstance(error, auth.GoogleAuthError):
        return None
    if error.retryable:
        return Unavailable(uri, f"no answer within the time allowed; last error: {error}")
    return PermissionDenied(uri, f"the credentials were refused and could not be renewed ({error})")
