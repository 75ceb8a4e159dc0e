"""The time and the waiting, handed in so that tests own them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

__all__ = ["Clock", "system_clock"]


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
