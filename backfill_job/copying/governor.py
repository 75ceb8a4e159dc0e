"""How fast object writes are sent: as fast as Cloud Storage asks for, and slower when it says so.

Cloud Storage documentation, "Request rate and access distribution guidelines": start near or below 1,000 object writes
a second to a bucket, then ramp up no faster than doubling every 20 minutes; when errors come, slow down.

A task's rate is its share of the ramp, halved once for every storm of 429 and 503 answers::

    rate = min(start x 2^(age / 20 min), ceiling) / tasks / 2^behind

``age`` counts from the first write. It stands still while the rate is still behind because of a storm, and a pause does not
make it older, so that the ramp is one of writes and not of wall time. ``behind`` grows by one a storm and shrinks by one a
minute: what the bucket took before, it will soon take again.

Nobody else's writes are known here. What the mirror and the exporter write to the same bucket comes on top.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, log, log1p, log2
from threading import Lock
from typing import Protocol

__all__ = [
    "DOUBLING_SECONDS",
    "FIRST_RATE",
    "Governor",
    "NullGovernor",
    "Simulation",
    "WriteGovernor",
    "seconds_under_ramp",
    "simulate",
]

FIRST_RATE = 1_000.0
"""Object writes a second that a bucket takes at first (the guidelines above)."""

DOUBLING_SECONDS = 1_200.0
"""How soon the rate may double (the guidelines above: no faster than every 20 minutes)."""

FLOOR = 1.0
"""Writes a second below which storms push no task that has a share worth halving three times."""

DEEPEST = 8.0
"""A task of many has a small share; storms take it down to an eighth of that, or a thousand such tasks would never slow down."""

BURST_SECONDS = 0.1
"""How much may be made up for after a moment of sending nothing, in seconds' worth of writes."""

HALVING_SECONDS = 10.0
"""Answers to what was sent before a halving still arrive after it; within this time they do not halve again."""

RECOVERY_SECONDS = 60.0
"""How long one halving takes to be made good."""

PAUSE_SECONDS = 60.0
"""A longer time without a write ages the ramp by this much only."""

MAX_DOUBLINGS = 40.0
"""Where the ramp ends for the sake of arithmetic: at 10^15 writes a second."""

STEPS = 120
"""Steps of a simulation in the time of one doubling."""


class WriteGovernor(Protocol):
    """Says when the next object may be written."""

    @property
    def rate(self) -> float:
        """Writes a second that this task may send now."""
        ...

    def reserve(self) -> float:
        """Take the next free slot for one write.

        Slots are given out at the rate of this moment, and are not taken back. So wait a slot out before reserving the
        next: slots reserved far ahead would know nothing of a storm in between, nor of its end.

        Returns:
            Seconds to wait before sending; 0.0 = at once.
        """
        ...

    def throttled(self) -> None:
        """Take note of an answer 429 or 503 to a write."""
        ...


class NullGovernor:
    """No governor: everything at once, whatever the answers are."""

    @property
    def rate(self) -> float:
        """Without bound."""
        return inf

    def reserve(self) -> float:
        """Take a slot now."""
        return 0.0

    def throttled(self) -> None:
        """Take no note."""


class Governor:
    """One task's share of a bucket's ramp. Thread-safe.

    In any window of W seconds at most (W + `BURST_SECONDS`) x the highest rate in it, plus one, writes are let through.

    Args:
        monotonic: Seconds that only grow.
        tasks: How many tasks share the ramp.
        start: Writes a second at first, all tasks together.
        doubling: Seconds in which the ramp doubles.
        ceiling: Writes a second that all tasks together never exceed; None for no bound but the ramp.

    Raises:
        ValueError: One of them is not above zero.
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
        # Written so that a NaN is refused too.
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
        # When the next three were true; None before the first write.
        self._at: float | None = None
        self._age = 0.0
        self._behind = 0.0
        self._slot = 0.0
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
            self._move_to(now)
            # A slot left unused is made up for, but not for longer than a burst.
            slot = max(self._slot, now - BURST_SECONDS)
            self._slot = slot + 1 / self._rate(self._age, self._behind)
            return max(0.0, slot - now)

    def throttled(self) -> None:
        """Halve the rate, unless it was halved a moment ago."""
        with self._lock:
            now = self._monotonic()
            if now - self._halved_at < HALVING_SECONDS:
                return
            self._halved_at = now
            self._move_to(now)
            share = self._share(self._age)
            self._behind = min(self._behind + 1, log2(share / _floor(share)))

    def _move_to(self, now: float) -> None:
        if self._at is None:
            self._slot = now
        self._age, self._behind = self._ramp(now)
        self._at = now

    def _ramp(self, now: float) -> tuple[float, float]:
        """The ramp's age in seconds, and how many halvings the rate is behind it."""
        elapsed = 0.0 if self._at is None else max(0.0, now - self._at)
        recovering = min(elapsed, self._behind * RECOVERY_SECONDS)
        age = self._age + min(elapsed - recovering, PAUSE_SECONDS)
        return age, max(0.0, self._behind - recovering / RECOVERY_SECONDS)

    def _share(self, age: float) -> float:
        ramp = self._start * 2 ** min(age / self._doubling, MAX_DOUBLINGS)
        return min(ramp, self._ceiling) / self._tasks

    def _rate(self, age: float, behind: float) -> float:
        return self._share(age) * 2**-behind


@dataclass(frozen=True, slots=True)
class Simulation:
    """How a run of several tasks goes where no storm comes.

    Attributes:
        seconds: How long it takes.
        peak_rate: The most writes a second, all tasks together.
        mean_rate: Writes a second on average, all tasks together.
    """

    seconds: float
    peak_rate: float
    mean_rate: float


def simulate(
    objects: int,
    tasks: int,
    *,
    client_speed: float,
    start: float = FIRST_RATE,
    doubling: float = DOUBLING_SECONDS,
    ceiling: float | None = None,
) -> Simulation:
    """Let tasks with a real `Governor` each work through evenly shared objects, on a fake clock, without a storm.

    Every step sends at the rate of its beginning, so the result is a little slower than the governors are.

    Args:
        objects: Objects to be written.
        tasks: How many tasks share them.
        client_speed: Objects a second that one task can send.
        start: Writes a second at first, all tasks together.
        doubling: Seconds in which the ramp doubles.
        ceiling: Writes a second that all tasks together never exceed; None for no bound but the ramp.

    Returns:
        Time and rates.

    Raises:
        ValueError: Objects are below zero, or another figure is not above zero.
    """
    if objects < 0 or not client_speed > 0:
        raise ValueError(f"{objects} objects at {client_speed} objects/s: no such run")
    now = 0.0
    governors = [
        Governor(lambda: now, tasks=tasks, start=start, doubling=doubling, ceiling=ceiling)
        for _ in range(tasks)
    ]
    if not objects:
        return Simulation(0.0, 0.0, 0.0)
    step = min(doubling / STEPS, PAUSE_SECONDS)
    fastest = min(client_speed, inf if ceiling is None else ceiling / tasks)
    left, peak = float(objects), 0.0
    while True:
        rates = [_sending(governor, client_speed) for governor in governors]
        together = sum(rates)
        peak = max(peak, together)
        # From here on nothing changes any more, so the rest needs no steps.
        if left <= together * step or min(rates) >= fastest:
            seconds = now + left / together
            return Simulation(seconds, peak, objects / seconds)
        left -= together * step
        now += step


def seconds_under_ramp(
    writes: int, *, start: float = FIRST_RATE, doubling: float = DOUBLING_SECONDS, cap: float = inf
) -> float:
    """How long ramped-up writes take where no storm comes: the ramp's integral, turned around. `simulate` finds the same.

    Args:
        writes: Object writes.
        start: Writes a second at first.
        doubling: Seconds until the rate has doubled, and doubles again.
        cap: Writes a second that are never exceeded, such as what the client can do.

    Returns:
        Seconds.

    Raises:
        ValueError: A rate or period is not above zero, or there are fewer than no writes.
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


def _sending(governor: Governor, client_speed: float) -> float:
    governor.reserve()
    return min(governor.rate, client_speed)
