"""Limits the rate of object writes as Cloud Storage asks, and slows down when it throttles many of them.

The source is Cloud Storage's documentation, "Request rate and access distribution guidelines". A client starts near or below
1,000 object writes a second to a bucket. Then it doubles the rate at most every 20 minutes, and slows down when errors come.

A task's rate is its share of the ramp, halved once for each storm of 429 and 503 answers. A storm is a share of the writes: one
refused write among hundreds waits by itself, in its own request, and slows no other::

    rate = min(start x 2^(age / 20 min), ceiling) / tasks / 2^behind

``age`` counts from the first write. It stops while the rate is behind after a storm, and a pause does not increase it. So the
ramp follows the writes and not the wall time. ``behind`` grows by one with each storm and shrinks by one a minute, because the
bucket soon accepts again what it accepted before.

A task that has no slot sleeps for a tick, and then sends all writes of the tick together. One wake-up for each write would cost
as much CPU time as the write.

The governor does not know the writes of other programs. Those of the mirror and the exporter to the same bucket come on top.
"""

from collections.abc import Callable
from math import inf, log, log1p, log2
from threading import Lock
from typing import Protocol

__all__ = [
    "DOUBLING_SECONDS",
    "FIRST_RATE",
    "Governor",
    "NullGovernor",
    "WriteGovernor",
    "seconds_under_ramp",
]

FIRST_RATE = 1_000.0
"""Object writes a second that a bucket accepts at first (the guidelines above)."""

DOUBLING_SECONDS = 1_200.0
"""Seconds until the rate may double (the guidelines above: no faster than every 20 minutes)."""

FLOOR = 1.0
"""Writes a second: storms push a task below this rate only if its share is below `DEEPEST` writes a second."""

DEEPEST = 8.0
"""Storms reduce a small share to an eighth of it. Otherwise a thousand tasks with small shares would never slow down."""

BURST_SECONDS = 0.1
"""How many seconds' worth of unused writes a task may make up for after a gap."""

TICK_SECONDS = 0.05
"""The shortest wait for a slot. It must be less than `BURST_SECONDS`, because the writes of a tick are made up for after it."""

STEP_SECONDS = 0.001
"""How long a slot's length holds. The ramp takes minutes, and working out the length for each write costs twice as much as the rest."""

TOLERATED_SHARE = 0.02
"""The share of throttled writes that is not a storm: a few names at their own limit, or a single busy server."""

STORM_WRITES = 5.0
"""Throttled writes beyond the tolerated share that make a storm; about the last 250 writes count."""

HALVING_SECONDS = 10.0
"""Answers to earlier requests still arrive after a halving. They do not count within this time."""

RECOVERY_SECONDS = 60.0
"""Seconds until the rate has recovered from one halving."""

PAUSE_SECONDS = 60.0
"""The most seconds by which a time without writes ages the ramp."""

MAX_DOUBLINGS = 40.0
"""The end of the ramp, at 10^15 writes a second, to limit the arithmetic."""


class WriteGovernor(Protocol):
    """Decides when a task may write the next object."""

    @property
    def rate(self) -> float:
        """Writes a second that this task may send now."""
        ...

    def reserve(self) -> float:
        """Take the next free slot for one write.

        Slots come at the present rate on average, and a caller cannot return one. So wait for a slot before reserving the
        next: a slot reserved far ahead would not heed a storm in between, nor its end.

        Returns:
            Seconds to wait before sending; 0.0 = at once.
        """
        ...

    def throttled(self, writes: int) -> None:
        """Note an answer 429 or 503 to so many writes."""
        ...


class NullGovernor:
    """No limit: every write at once, whatever the answers are."""

    @property
    def rate(self) -> float:
        """Without bound."""
        return inf

    def reserve(self) -> float:
        """Take a slot now."""
        return 0.0

    def throttled(self, writes: int) -> None:
        """Ignore it."""


class Governor:
    """One task's share of a bucket's ramp. Thread-safe.

    In any window of W seconds it allows at most (W + `BURST_SECONDS`) x the highest rate in the window, plus one, writes.

    Args:
        tasks: How many tasks share the ramp.
        start: Writes a second at first, all tasks together.
        doubling: Seconds in which the ramp doubles.
        ceiling: The most writes a second of all tasks together; None for the ramp alone.

    Raises:
        ValueError: A value is not above zero.
    """

    def __init__(
        self,
        monotonic: Callable[[], float],
        *,
        tasks: int = 1,
        start: float = FIRST_RATE,
        doubling: float = DOUBLING_SECONDS,
        ceiling: float | None = None,
    ) -> None:
        bound = inf if ceiling is None else ceiling
        # The form of the condition also refuses a NaN.
        if not (tasks >= 1 and start > 0 and doubling > 0 and bound > 0):
            raise ValueError(
                f"{tasks} tasks from {start} writes/s, doubling in {doubling} s, up to {ceiling}/s: no such ramp"
            )
        self._monotonic = monotonic
        self._tasks = tasks
        self._start = start
        self._doubling = doubling
        self._ceiling = bound
        self._lock = Lock()
        # The time of the next four values; None before the first write.
        self._at: float | None = None
        self._age = 0.0
        self._behind = 0.0
        self._length = 0.0
        self._slot = 0.0
        self._refused = 0.0
        self._halved_at = -inf

    @property
    def rate(self) -> float:
        """Writes a second that this task may send now."""
        with self._lock:
            return self._rate(*self._ramp(self._monotonic()))

    def reserve(self) -> float:
        """Take the next free slot for one write; gives the seconds to wait before sending."""
        with self._lock:
            now = self._monotonic()
            if self._at is None or now - self._at >= STEP_SECONDS:
                self._move_to(now)
            # A task makes up for unused slots, up to a burst.
            slot = max(self._slot, now - BURST_SECONDS)
            self._slot = slot + self._length
            self._refused = max(0.0, self._refused - TOLERATED_SHARE)
            return max(slot - now, TICK_SECONDS) if slot > now else 0.0

    def throttled(self, writes: int) -> None:
        """Halve the rate if this makes a storm, unless it was halved a moment ago."""
        with self._lock:
            now = self._monotonic()
            if now - self._halved_at < HALVING_SECONDS:
                return
            self._refused += writes
            if self._refused < STORM_WRITES:
                return
            self._refused, self._halved_at = 0.0, now
            self._move_to(now)
            share = self._share(self._age)
            self._behind = min(self._behind + 1, log2(share / _floor(share)))
            self._length = 1 / self._rate(self._age, self._behind)

    def _move_to(self, now: float) -> None:
        if self._at is None:
            self._slot = now
        self._age, self._behind = self._ramp(now)
        self._length = 1 / self._rate(self._age, self._behind)
        self._at = now

    def _ramp(self, now: float) -> tuple[float, float]:
        """The age of the ramp in seconds, and by how many halvings the rate is behind it."""
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        recovering = min(elapsed, self._behind * RECOVERY_SECONDS)
        age = self._age + min(elapsed - recovering, PAUSE_SECONDS)
        return age, max(0.0, self._behind - recovering / RECOVERY_SECONDS)

    def _share(self, age: float) -> float:
        ramp = self._start * 2 ** min(age / self._doubling, MAX_DOUBLINGS)
        return min(ramp, self._ceiling) / self._tasks

    def _rate(self, age: float, behind: float) -> float:
        return self._share(age) * 2**-behind


def seconds_under_ramp(
    writes: int, *, start: float = FIRST_RATE, doubling: float = DOUBLING_SECONDS, cap: float = inf
) -> float:
    """Seconds for ramped-up writes without a storm: the inverse of the ramp's integral.

    Args:
        cap: The most writes a second, such as the client's own limit.

    Raises:
        ValueError: A rate or period is not above zero, or `writes` is below zero.
    """
    if min(start, doubling, cap) <= 0 or writes < 0:
        raise ValueError(
            f"{writes} writes from {start}/s, doubling in {doubling} s, up to {cap}/s: no such ramp"
        )
    if start >= cap:
        return writes / cap
    time_constant = doubling / log(2)
    on_the_ramp = (cap - start) * time_constant
    if writes <= on_the_ramp:
        return time_constant * log1p(writes / (start * time_constant))
    return doubling * log2(cap / start) + (writes - on_the_ramp) / cap


def _floor(share: float) -> float:
    return min(FLOOR, share / DEEPEST)
