"""Cloud Storage's own time, from the ``Date`` header of its answers (RFC 9110, section 6.6.1).

A local clock can be wrong, and a monotonic clock stands still while a laptop sleeps. Cloud Storage's clock does neither.
"""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from threading import Lock, local

__all__ = ["ServerTime"]

AGREES = (timedelta(seconds=-3), timedelta(seconds=1))
"""A difference to the local clock that the header's whole seconds and the way of the answer explain."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class ServerTime:
    """The newest time that an answer carried. Both clients of a process note their answers here; threads may share it.

    Args:
        clock: This machine's clock, aware.
    """

    def __init__(self, clock: Callable[[], datetime] = _utc_now) -> None:
        self._clock = clock
        self._text = ""
        self._newest: datetime | None = None
        self._ahead = timedelta()
        self._noting = Lock()
        self._here = local()

    def note(self, date: str) -> None:
        """Note the ``Date`` header of an answer; an empty or unreadable one is left out."""
        if date:
            self._here.text = date
        if date == self._text:  # the header has whole seconds, so most answers repeat it
            return
        with self._noting, suppress(ValueError, TypeError):  # an older answer never replaces a newer one
            moment = parsedate_to_datetime(date)
            if moment.tzinfo is not None and (self._newest is None or moment > self._newest):
                ahead = moment - self._clock()
                self._ahead = timedelta() if AGREES[0] < ahead < AGREES[1] else ahead
                self._newest = moment
            self._text = date

    def newest(self) -> datetime | None:
        """The newest time noted, in whole seconds, aware; None before the first answer."""
        return self._newest

    def newest_here(self) -> datetime | None:
        """The time of the last answer that this thread noted; None before the first. Other threads do not change it."""
        with suppress(ValueError, TypeError):
            moment = parsedate_to_datetime(getattr(self._here, "text", ""))
            return moment if moment.tzinfo is not None else None
        return None

    def now(self) -> datetime:
        """The present time by Cloud Storage's clock: this machine's, put right by the newest answer."""
        return self._clock() + self._ahead
