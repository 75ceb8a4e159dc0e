"""The time and the waiting, as a value that tests can replace; and the text form of a time."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Clock", "system_clock", "time_text"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The time and the waiting.

    Attributes:
        now: Gives the current time, aware.
        sleep: Waits for a number of seconds.
        monotonic: Seconds that only grow.
    """

    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    monotonic: Callable[[], float] = time.monotonic


def system_clock() -> Clock:
    """The machine's clock."""
    return Clock(lambda: datetime.now(UTC), time.sleep)


def time_text(moment: datetime) -> str:
    """An aware time in the form that Cloud Storage uses: RFC 3339, UTC, milliseconds, ``Z``. Such texts sort like the times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
