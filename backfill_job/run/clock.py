"""The time and the waiting, handed in so that tests own them; and how a time is written."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Clock", "system_clock", "time_text"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The time and the waiting.

    Attributes:
        now: The current time, aware.
        sleep: Waits for so many seconds.
    """

    now: Callable[[], datetime]
    sleep: Callable[[float], None]


def system_clock() -> Clock:
    """The machine's own."""
    return Clock(lambda: datetime.now(UTC), time.sleep)


def time_text(moment: datetime) -> str:
    """An aware time in the form of Cloud Storage's own: RFC 3339, UTC, milliseconds, ``Z``. Such texts sort as the times do."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
