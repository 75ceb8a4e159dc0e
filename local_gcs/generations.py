"""Generation numbers: unique over all objects, and by default in no order.

Cloud Storage documentation, "Object versioning" and "Request preconditions": there is no guarantee that generation
numbers increase for successive versions, only that each new version has a unique generation number. A tool that
compares them is wrong, and the default here shows it.
"""

from collections.abc import Callable, Iterator
from itertools import count
from random import Random

__all__ = ["Generations", "ordered", "unordered"]

Generations = Iterator[int]
"""An endless supply of unique 16-digit numbers; ``next`` gives one."""

FIRST = 10**15
"""The smallest number given out: Google's have 16 digits."""
BITS = 52
"""``FIRST + 2**BITS`` is below ``2**53``: every number survives a client that reads JSON numbers as doubles."""
MASK = (1 << BITS) - 1


def unordered(seed: int) -> Generations:
    """Unique numbers in a seeded order that tells nothing about age.

    Each step of the mixing (odd multiplication modulo a power of two, xor with an own right shift) can be undone, so
    two counters never give the same number; nothing has to be remembered.

    Args:
        seed: Same seed, same numbers.
    """
    random = Random(seed)
    start, first, second = (
        random.getrandbits(BITS),
        random.getrandbits(BITS) | 1,
        random.getrandbits(BITS) | 1,
    )
    for n in count(start):
        mixed = (n * first) & MASK
        mixed ^= mixed >> 27
        mixed = (mixed * second) & MASK
        yield FIRST + (mixed ^ (mixed >> 26))


def ordered(microseconds: Callable[[], int]) -> Generations:
    """Increasing numbers that look like microseconds, for tools that expect them.

    Args:
        microseconds: The time since 1970 in microseconds.
    """
    last = 0
    while True:
        last = max(last + 1, microseconds())
        yield last
