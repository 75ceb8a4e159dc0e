"""Every interleaving of a few actors, breadth-first, with a memory of the states already seen.

Two interleavings that lead to the same state have the same future, so the explorer visits each state once. A step may
break a claim (``race_claims``); the shortest history that does is the counterexample. Walks at random cover larger scopes.
"""

import gc
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any

from race_claims import Claim, Wrong
from race_scope import Scope
from race_story import told
from race_world import Step, World

__all__ = ["IN_DEPTH", "Exploration", "explore", "explore_world", "walk"]

IN_DEPTH = os.environ.get("RACES") == "deep"
"""``make test-deep``: scopes that take minutes and gigabytes, and four times as many walks."""


@dataclass(frozen=True, slots=True)
class Exploration:
    """The result of an exploration.

    Attributes:
        states: The number of different states.
        steps: The number of steps between them.
        interleavings: The number of different complete runs; 0 after an early stop.
        wrong: The first broken claim; None if all hold.
        history: The shortest way there, one line for each step.
    """

    states: int
    steps: int
    interleavings: int
    seconds: float
    wrong: Wrong | None = None
    history: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Print the counts, or the counterexample."""
        if self.wrong is None:
            return (
                f"{self.states:,} states, {self.steps:,} steps, {self.interleavings:.2g} interleavings, "
                f"{self.seconds:.1f} s: every claim holds"
            )
        return "\n".join((*self.history, f"=> {self.wrong.sentence}"))


@contextmanager
def _without_collection() -> Iterator[None]:
    """Switch the garbage collector off: it would scan millions of tuples again and again and find no garbage."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def explore(scope: Scope, *, seek: Claim | None = None) -> Exploration:
    """Explore a scope, nearest states first, until a claim breaks or no state is left.

    Args:
        seek: Look only for a break of this claim; None for any.
    """
    return explore_world(World(scope), partial(told, scope), seek)


@_without_collection()
def explore_world(world: Any, tell: Callable[[Any], str], seek: Enum | None = None) -> Exploration:
    """Explore any world with `start`, `steps` and `quiet`; `tell` gives a step's line."""
    began = time.perf_counter()
    start = world.start()
    known = {start: 0}
    trail: list[tuple[int, Step | None]] = [(0, None)]
    successors: list[list[int]] = []
    frontier = deque([start])

    def found(parent: int, step: Step | None, wrong: Wrong) -> Exploration:
        steps = sum(map(len, successors))
        seconds = time.perf_counter() - began
        return Exploration(len(known), steps, 0, seconds, wrong, _history(tell, trail, parent, step))

    while frontier:
        state = frontier.popleft()
        number = len(successors)
        following: list[int] = []
        for step in world.steps(state):
            if step.wrong is not None and seek in (None, step.wrong.claim):
                return found(number, step, step.wrong)
            after = known.setdefault(step.after, len(known))
            if after == len(trail):
                trail.append((number, step._replace(after=start)))
                frontier.append(step.after)
            following.append(after)
        successors.append(following)
        if not following:
            wrong = world.quiet(state)
            if wrong is not None and seek in (None, wrong.claim):
                return found(number, None, wrong)
    runs = _count_runs(successors)
    return Exploration(len(known), sum(map(len, successors)), runs, time.perf_counter() - began)


def _count_runs(successors: list[list[int]]) -> int:
    """Count the ways from the start to an end. Fails on a cycle, because then some run never ends."""
    awaited = [0] * len(successors)
    for following in successors:
        for after in following:
            awaited[after] += 1
    ways = [1] + [0] * (len(successors) - 1)
    ready, runs, visited = [0], 0, 0
    while ready:
        number = ready.pop()
        visited += 1
        if not successors[number]:
            runs += ways[number]
        for after in successors[number]:
            ways[after] += ways[number]
            awaited[after] -= 1
            if not awaited[after]:
                ready.append(after)
    assert visited == len(successors), "some run never ends"
    return runs


def walk(world: World, choose: Callable[[int], int]) -> tuple[Wrong | None, tuple[str, ...]]:
    """Follow one interleaving to its end, or to the first claim that breaks.

    Args:
        choose: Gets the number of possible steps, and picks one by its index.

    Returns:
        The broken claim, if any, and the history, one line for each step.
    """
    state = world.start()
    steps: list[Step] = []
    wrong: Wrong | None = None
    while wrong is None:
        possible = list(world.steps(state))
        if not possible:
            wrong = world.quiet(state)
            break
        step = possible[choose(len(possible))]
        steps.append(step)
        state, wrong = step.after, step.wrong
    return wrong, tuple(told(world.scope, step) for step in steps)


def _history(
    tell: Callable[[Any], str], trail: list[tuple[int, Step | None]], number: int, last: Step | None
) -> tuple[str, ...]:
    steps = [] if last is None else [last]
    while number:
        number, step = trail[number]
        assert step is not None
        steps.append(step)
    return tuple(tell(step) for step in reversed(steps))
