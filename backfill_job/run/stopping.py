"""Ctrl-C and SIGTERM: take no more work, finish the work under way, and report that.

A run that is killed without a signal loses nothing either. A second signal ends the process at once.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from backfill_job.run.clock import Clock
from shared.errors import Interrupted

__all__ = ["Stop", "leave_in_time", "stopping_on_signals", "until_stopped"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)

LEAVE_WITHIN = 8.0
"""Seconds; Cloud Run kills a task ten seconds after its SIGTERM (Cloud Run documentation, "Container runtime contract")."""


@dataclass(slots=True)
class Stop:
    """Whether a signal asked this process to stop.

    Attributes:
        by: The signal's name; empty before one comes.
        at_once: Whether the signal itself raises, while the process waits for input and cannot check.
    """

    by: str = ""
    at_once: bool = False

    def check(self) -> None:
        """Raise `Interrupted` after a signal asked to stop."""
        if self.by:
            raise Interrupted(f"stopped by {self.by} before its end")

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let the signal raise `Interrupted` while the block waits for input."""
        self.check()
        self.at_once = True
        try:
            yield
        finally:
            self.at_once = False


def until_stopped(clock: Clock, stop: Stop) -> Clock:
    """The same clock, whose waiting raises `Interrupted` after a stop request."""

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        stop.check()

    return Clock(clock.now, sleep, clock.monotonic)


def leave_in_time() -> None:
    """End the process `LEAVE_WITHIN` seconds from now, even if a thread hangs then, for example in a network call.

    This loses nothing: every copy has preconditions, and the next run copies the rest or finds it equal.
    """
    timer = threading.Timer(LEAVE_WITHIN, os._exit, (1,))
    timer.daemon = True
    timer.start()


@contextmanager
def stopping_on_signals(stopping: Callable[[], None] = lambda: None) -> Iterator[Stop]:
    """Turn the first SIGINT or SIGTERM into a `Stop` while the block runs. Only in a process's main thread.

    Args:
        stopping: Called when the signal comes.

    Yields:
        The stop, to check before taking more work.
    """
    stop = Stop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, _frame: FrameType | None) -> None:
        stop.by = signal.Signals(number).name
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        stopping()
        if stop.at_once:
            stop.check()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
