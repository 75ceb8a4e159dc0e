"""Which task copies which names, and in which order. Pure functions: every task computes the same result.

The key space holds all names below the prefix, in the order of their UTF-8 bytes. Object names have no surrogates, so this is
the order of Python's texts. Boundaries cut the key space into ranges without a gap. So each name, also one that appears later,
belongs to exactly one range and one task.

Cloud Storage spreads load by key range ("Request rate and access distribution guidelines": avoid sequential names). So
neighbouring ranges go to different tasks, a task never continues with the neighbour of its last range, and tasks start at
different places.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, gcd

__all__ = [
    "KeyRange",
    "Partition",
    "assign",
    "balance",
    "boundaries_for",
    "owner",
    "ranges",
    "samples_wanted",
]

SPLIT = 16
"""A partition above a 16th of a task's fair share is split, so that one range more or less makes little difference."""

JOIN = 64
"""The most ranges of a task, where partitions are many and small."""

WEEK_AND_PAIRS = 14
"""Folders come in weeks, and sometimes in pairs. No task may get the same weekday, or every second folder, each time."""

GOLDEN = (5**0.5 - 1) / 2
"""Multiples of the golden ratio, modulo 1, keep neighbouring numbers far apart."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """A piece of the key space.

    Attributes:
        start: Its first name; empty for no bound.
        end: The first name after it; empty for no bound.

    Raises:
        ValueError: The range is empty.
    """

    start: str
    end: str

    def __post_init__(self) -> None:
        if self.end and self.start >= self.end:
            raise ValueError(f"no name lies from {self.start!r} on and before {self.end!r}")

    def __contains__(self, name: str) -> bool:
        return self.start <= name and (not self.end or name < self.end)

    def below(self, prefix: str) -> tuple[str, str]:
        """The bounds as complete names, for a listing of the prefix; empty for no bound."""
        return prefix + self.start if self.start else "", prefix + self.end if self.end else ""


@dataclass(frozen=True, slots=True)
class Partition:
    """A folder, or a stretch of objects between folders.

    Attributes:
        start: The folder (``qpi_answers_20240101/``), or the first name of the stretch. It ends at the next one's start.
        objects: About how many objects it holds; None when unknown.
        samples: Names in it, in any order, evenly spread over its objects, at which it can be split.
    """

    start: str
    objects: int | None = None
    samples: tuple[str, ...] = ()


def ranges(boundaries: Sequence[str]) -> tuple[KeyRange, ...]:
    """Cut the whole key space at boundaries, which come in any order, repeated or not.

    Returns:
        One range more than there are different boundaries, in the order of the names.
    """
    cuts = sorted({*boundaries} - {""})
    return tuple(KeyRange(start, end) for start, end in zip(["", *cuts], [*cuts, ""], strict=True))


def samples_wanted(partitions: Sequence[Partition], tasks: int) -> dict[str, int]:
    """Which partitions to split, before any names in them are known.

    Returns:
        By the partition's start, how many evenly spread names in it are needed.
    """
    sizes = _sizes(partitions)
    return {start: pieces - 1 for start, pieces in _pieces(sizes, tasks).items() if pieces > 1}


def boundaries_for(partitions: Sequence[Partition], tasks: int) -> tuple[str, ...]:
    """Choose boundaries: one partition a range, but big ones split and many small ones joined.

    It splits a partition above a 16th of a task's fair share at its samples, as far as there are any. It joins neighbours
    where a task would have more than 64 ranges.

    Args:
        partitions: In any order, each start once. An unknown size counts as the mean of the known ones.
        tasks: How many tasks share the work.

    Returns:
        Boundaries, ascending; none for a single range.

    Raises:
        ValueError: There are no tasks.
    """
    sizes = _sizes(partitions)
    pieces = _pieces(sizes, tasks)
    samples = {partition.start: partition.samples for partition in partitions}
    parts: list[tuple[str, float]] = []
    for start, following in pairwise([*sizes, ""]):
        inside = [name for name in samples[start] if start < name and (not following or name < following)]
        starts = [start, *_spread(sorted({*inside}), pieces[start] - 1)]
        parts += [(each, sizes[start] / len(starts)) for each in starts]
    # Without the first start, because names before it go with it.
    return tuple(_joined(parts, tasks * JOIN))[1:]


def assign(tiles: Sequence[KeyRange], index: int, count: int) -> tuple[KeyRange, ...]:
    """A task's ranges, in the order to work on them.

    Ranges are dealt like cards, one for each task and round. Each round starts with another task, so that no task gets all
    Sundays. Neighbouring ranges go to different tasks, within and between the rounds.

    Args:
        tiles: All ranges, in the order of the names.
        index: Which task, from 0.
        count: How many tasks there are.

    Returns:
        Its ranges. Consecutive ones are at least a fifth of all ranges apart in the order of the names, and tasks start at
        different places.

    Raises:
        ValueError: There is no such task.
    """
    if not 0 <= index < count:
        raise ValueError(f"no task {index} of {count}")
    shift = _shift(count)
    mine = [
        tiles[place]
        for first in range(0, len(tiles), count)
        if (place := first + (index - first // count * shift) % count) < len(tiles)
    ]
    order = sorted(range(len(mine)), key=lambda number: number * GOLDEN % 1)
    begin = len(mine) * index // count
    return tuple(mine[number] for number in order[begin:] + order[:begin])


def owner(tiles: Sequence[KeyRange], name: str, count: int) -> int:
    """The task that a name belongs to.

    Args:
        tiles: All ranges, in the order of the names.
        name: Any name below the prefix.
        count: How many tasks there are.

    Returns:
        Its index, from 0.

    Raises:
        ValueError: There are no tasks.
    """
    if count < 1:
        raise ValueError(f"{count} tasks own nothing")
    place = bisect_right(tiles, name, key=lambda tile: tile.start) - 1
    return (place + place // count * _shift(count)) % count


def balance(sizes: Sequence[float]) -> float:
    """How evenly tasks share the work.

    Returns:
        The largest share over the mean. 1.0 is even; 1.5 means that the run takes 1.5 times as long as an even one.
    """
    total = sum(sizes)
    return max(sizes) * len(sizes) / total if total else 1.0


def _shift(count: int) -> int:
    """By how many tasks each round starts later than the round before.

    A task's places are ``count - shift`` apart. Where possible, this number has no factor in common with a week or a pair. A
    shift of ``count - 1`` would give the end of one round and the start of the next to one task.
    """
    fitting = (shift for shift in range(1, count - 1) if gcd(count - shift, WEEK_AND_PAIRS) == 1)
    # No shift fits up to three tasks. One and two have no choice; with three, a shift of 2 would give it neighbours.
    return next(fitting, count // 3)


def _sizes(partitions: Sequence[Partition]) -> dict[str, float]:
    """About how many objects each partition holds, by its start, in the order of the names."""
    known = [partition.objects for partition in partitions if partition.objects is not None]
    mean = max(1.0, sum(known) / len(known)) if known else 1.0
    # An empty partition may fill up.
    return {
        partition.start: mean if partition.objects is None else max(1.0, partition.objects)
        for partition in sorted(partitions, key=lambda partition: partition.start)
    }


def _pieces(sizes: dict[str, float], tasks: int) -> dict[str, int]:
    if tasks < 1:
        raise ValueError(f"{tasks} tasks share nothing")
    largest = sum(sizes.values()) / (tasks * SPLIT)
    # A rounding error above a whole number does not justify another piece.
    return {start: ceil(size / largest - 1e-9) for start, size in sizes.items()}


def _spread(names: Sequence[str], wanted: int) -> list[str]:
    """`wanted` of the names, evenly spread; all, if there are fewer."""
    if wanted >= len(names):
        return list(names)
    step = (len(names) + 1) / (wanted + 1)
    return [names[round(number * step) - 1] for number in range(1, wanted + 1)]


def _joined(parts: Sequence[tuple[str, float]], most: int) -> Iterator[str]:
    """The starts of the parts, or of at most `most` groups of neighbours of about the same size."""
    if len(parts) <= most:
        yield from (start for start, _ in parts)
        return
    group_size = sum(size for _, size in parts) / most
    before, last = 0.0, -1
    for start, size in parts:
        group = int((before + size / 2) / group_size)
        if group != last:
            yield start
        before, last = before + size, group
