"""Ctrl-C and SIGTERM: stop taking work, finish what is under way, say so.

Nothing depends on the signal arriving: a killed run loses nothing either. A second signal ends the process at once.
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
    """Whether somebody asked this process to stop.

    Attributes:
        by: The signal's name, empty as long as nobody did.
        at_once: Whether the signal itself raises, where the process waits for somebody and would never check.
    """

    by: str = ""
    at_once: bool = False

    def check(self) -> None:
        """Go on, unless somebody asked to stop.

        Raises:
            Interrupted: Somebody did.
        """
        if self.by:
            raise Interrupted(f"stopped by {self.by} before its end")

    @contextmanager
    def raising(self) -> Iterator[None]:
        """Let the signal raise `Interrupted` while the block waits for somebody."""
        self.check()
        self.at_once = True
        try:
            yield
        finally:
            self.at_once = False


def until_stopped(clock: Clock, stop: Stop) -> Clock:
    """The same clock, whose waiting ends in `Interrupted` when somebody has asked to stop."""

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        stop.check()

    return Clock(clock.now, sleep)


def leave_in_time() -> None:
    """End the process `LEAVE_WITHIN` seconds from now, whatever hangs then: a thread in a call to the network, say.

    Nothing is lost by it: every copy is conditional, and what was not booked is copied or found equal by the next run.
    """
    timer = threading.Timer(LEAVE_WITHIN, os._exit, (1,))
    timer.daemon = True
    timer.start()


@contextmanager
def stopping_on_signals(stopping: Callable[[], None] = lambda: None) -> Iterator[Stop]:
    """Turn the first SIGINT or SIGTERM into a `Stop` while the block runs. Only in a process's main thread.

    Args:
        stopping: Called when it comes.

    Yields:
        To be checked before taking more work.
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
