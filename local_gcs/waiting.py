"""Waiting for progress: go on while the counts move, give up when they have stood still for a stated time.

How long a thing takes depends on the machine, so no wait here has a limit of its own. The caller hands over a function that
returns counts, such as events delivered or objects copied. As long as the counts change, the wait goes on. When they have not
changed for `STILL` seconds, the wait ends with `NothingMoved`, which says what it waited for and where the counts stand.

The demo, the tests and `local_gcs.process` use this module; none of them calls ``time.sleep`` in a loop.
"""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["HANGS", "POLL", "STILL", "NothingMoved", "Patience", "wait_until", "wait_until_async"]

Counts = TypeVar("Counts")

STILL = 180.0
"""Seconds without any change after which a wait gives up. A machine ten times too slow still changes a count in this time."""
HANGS = 1_800.0
"""Seconds after which something that has no counts, such as one process or one request, is taken for hung."""
POLL = 0.02
"""Seconds between two looks."""
LONGEST_STEP = 5.0
"""Seconds that the time between two looks counts at most: a look may be slow, and a laptop may sleep."""


class NothingMoved(TimeoutError):
    """What is awaited has stood still for too long; the message says where it stands."""


class Patience:
    """Compares each look with the one before, and gives up when nothing has changed for `still` seconds."""

    def __init__(
        self, what: str, *, still: float = STILL, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._most = still
        self._monotonic = monotonic
        self._last: object = None
        self._looked = monotonic()
        self._still = 0.0

    def saw(self, progress: object, counts: object) -> None:
        """Note what a look has found: what is compared with the look before, and everything, for the message.

        Raises:
            NothingMoved: There has been no progress for too long.
        """
        now = self._monotonic()
        moved = progress != self._last
        self._still = 0.0 if moved else self._still + min(now - self._looked, LONGEST_STEP)
        self._last, self._looked = progress, now
        if self._still > self._most:
            raise NothingMoved(f"{self._what}: nothing has moved for {self._most:g} s; it stands at {counts}")


def wait_until(
    look: Callable[[], Counts],
    done: Callable[[Counts], object],
    what: str,
    *,
    progress: Callable[[Counts], object] = lambda counts: counts,
    still: float = STILL,
    poll: float = POLL,
) -> Counts:
    """Wait until what is looked at is as wanted, and give the counts then.

    Args:
        look: Returns the counts. It may raise to end the wait, for example when a process has ended.
        progress: The part of the counts whose change is progress; all of them unless it is given.
        still: Seconds without progress after which to give up.
        poll: Seconds between two looks.

    Raises:
        NothingMoved: There has been no progress for too long.
    """
    patience = Patience(what, still=still)
    while not done(counts := look()):
        patience.saw(progress(counts), counts)
        time.sleep(poll)
    return counts


async def wait_until_async(
    look: Callable[[], Counts],
    done: Callable[[Counts], object],
    what: str,
    *,
    progress: Callable[[Counts], object] = lambda counts: counts,
    still: float = STILL,
    poll: float = POLL,
) -> Counts:
    """Does the same as `wait_until`, for code that shares an event loop with what it waits for."""
    patience = Patience(what, still=still)
    while not done(counts := look()):
        patience.saw(progress(counts), counts)
        await asyncio.sleep(poll)
    return counts
