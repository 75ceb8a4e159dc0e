"""A command on a laptop that sleeps in the middle of it: ``python story_sleeper.py LOOKS COMMAND ...``.

When the command looks at the age of its phase for the LOOKS-th time, it stops itself with SIGSTOP, until the test sends SIGCONT.

SIGSTOP alone is not a suspension: CLOCK_MONOTONIC goes on, and the command would see by its own clock that its phase is old. On
a laptop that sleeps, the clock stands still as well. So this program replaces ``time.monotonic`` before it imports the command.
Its clock subtracts the time of the stop, which it measures right before and right after. The rest is the same as on the
laptop: no thread runs, connections and memory stay as they are, and the time of day is later.

One thing is different. uvloop's timers use a clock of their own, which counts the stop. So a request that was under way can
be over its limit at once, and is repeated.
"""

import runpy
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PHASE = "shared.phase"
"""The module whose looks at the clock are counted: it looks before it uses a phase that it has read before."""


class SleepersClock:
    """A monotonic clock that stands still while the process is stopped; it stops the process itself.

    Args:
        real: The clock that goes on.
        looks: At which look of `PHASE` it stops the process.
    """

    def __init__(self, real: Callable[[], float], looks: int) -> None:
        self._real = real
        self._left = looks
        self._slept = 0.0
        self._one = threading.Lock()

    def __call__(self) -> float:
        """Seconds that only grow, without those of the stop."""
        with self._one:
            if sys._getframe(1).f_globals["__name__"] == PHASE:
                self._left -= 1
                if not self._left:
                    self._sleep()
            return self._real() - self._slept

    def _sleep(self) -> None:
        began = self._real()
        # Sent to this very thread, it stops the process before the call returns.
        signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)
        self._slept = self._real() - began


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    time.monotonic = SleepersClock(time.monotonic, int(sys.argv.pop(1)))
    runpy.run_module("backfill_job", run_name="__main__", alter_sys=True)
