"""What the formula of the estimate is compared with: several governors on a clock that does not wait."""

from dataclasses import dataclass
from math import inf

from backfill_job.copying.governor import DOUBLING_SECONDS, FIRST_RATE, PAUSE_SECONDS, Governor

__all__ = ["simulate"]

STEPS = 120
"""Steps of a simulation in one doubling time."""


@dataclass(frozen=True, slots=True)
class Simulation:
    """A run of several tasks without a storm.

    Attributes:
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
    """Simulate tasks that share objects evenly, each with a real `Governor`, on a fake clock and without a storm.

    Each step sends at the rate of its start, so the result is a little slower than the governors are.

    Args:
        client_speed: Objects a second that one task can send.

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
        # The rate stays the same from here, so the rest needs no steps.
        if left <= together * step or min(rates) >= fastest:
            seconds = now + left / together
            return Simulation(seconds, peak, objects / seconds)
        left -= together * step
        now += step


def _sending(governor: Governor, client_speed: float) -> float:
    governor.reserve()
    return min(governor.rate, client_speed)
