"""Cloud Storage's own time, from the ``Date`` header of its answers (RFC 9110, section 6.6.1).

A local clock can be wrong, and a monotonic clock stands still while a laptop sleeps. Cloud Storage's clock does neither.
"""

from contextlib import suppress
from datetime import datetime
from email.utils import parsedate_to_datetime

__all__ = ["ServerTime"]


class ServerTime:
    """The newest time that an answer carried. Both clients of a process note their answers here; threads may share it."""

    def __init__(self) -> None:
        self._text = ""
        self._newest: datetime | None = None

    def note(self, date: str) -> None:
        """Note the ``Date`` header of an answer; an empty or unreadable one is left out."""
        if date == self._text:  # the header has whole seconds, so most answers repeat it
            return
        with suppress(ValueError, TypeError):
            moment = parsedate_to_datetime(date)
            if moment.tzinfo is not None and (self._newest is None or moment > self._newest):
                self._newest = moment
            self._text = date

    def newest(self) -> datetime | None:
        """The newest time noted, in whole seconds, aware; None before the first answer."""
        return self._newest
