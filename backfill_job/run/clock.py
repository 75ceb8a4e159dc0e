"""The time and the waiting, as a value that tests can replace."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

__all__ = ["Clock", "system_clock", "waiting"]


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, aware, and the waiting."""

    now: Callable[[], datetime]
    sleep: Callable[[float], None]
    monotonic: Callable[[], float] = time.monotonic


def system_clock() -> Clock:
    """The machine's clock."""
    return Clock(lambda: datetime.now(UTC), time.sleep)


def waiting(seconds: float, clock: Clock, why: str) -> str:
    """The line that tells an operator what a command waits for, and until when."""
    return f"{why}: waiting until {clock.now() + timedelta(seconds=seconds):%H:%M:%S} UTC"
