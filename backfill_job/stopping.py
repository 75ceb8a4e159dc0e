"""Ctrl-C and SIGTERM: stop taking work, finish what is under way, say so.

Nothing depends on the signal arriving: a killed run loses nothing either. A second signal ends the process at once.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

from shared.errors import Interrupted

__all__ = ["Stop", "stopping_on_signals"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


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


@contextmanager
def stopping_on_signals() -> Iterator[Stop]:
    """Turn the first SIGINT or SIGTERM into a `Stop` while the block runs. Only in a process's main thread.

    Yields:
        To be checked before taking more work.
    """
    stop = Stop()
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, _frame: FrameType | None) -> None:
        stop.by = signal.Signals(number).name
        for each in SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if stop.at_once:
            stop.check()

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
