"""The boundaries that all tasks of one execution agree on, as the contents of an object.

A prefix that is written to looks different to every task that discovers it. So whoever comes first writes its boundaries down,
on condition that nobody has, and the others read them.
"""

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from backfill_job.sharding import KeyRange, assign, ranges
from shared.errors import UsageError
from shared.json_io import parse_json, shown_value

__all__ = ["VERSION", "ShardMap"]

VERSION = 1
"""Of the form. Another program's form is never guessed at."""


@dataclass(frozen=True, slots=True)
class ShardMap:
    """The boundaries that all tasks of one execution work with.

    Attributes:
        run: Which execution it is.
        tasks: How many tasks it has.
        boundaries: Where one range ends and the next begins, ascending.

    Raises:
        UsageError: It is not such a map.
    """

    run: str
    tasks: int
    boundaries: tuple[str, ...]
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise UsageError(
                f"shard map of version {shown_value(self.version)}; this program knows version {VERSION}"
            )
        if not self.run or self.tasks < 1:
            raise UsageError(
                f"shard map of run {shown_value(self.run)} with {shown_value(self.tasks)} tasks: no such execution"
            )
        # The empty name before them, so that an empty boundary is found out too.
        for one, other in pairwise(("", *self.boundaries)):
            if one >= other:
                raise UsageError(
                    f"shard map whose boundaries do not ascend: {shown_value(other)} comes after {shown_value(one)}"
                )
            _check_name(other)

    def ranges_of(self, index: int) -> tuple[KeyRange, ...]:
        """A task's ranges, in the order to work on them."""
        return assign(ranges(self.boundaries), index, self.tasks)

    def to_json(self) -> bytes:
        """The map as the contents of an object; the same map gives the same bytes."""
        content = {
            "version": self.version,
            "run": self.run,
            "tasks": self.tasks,
            "boundaries": list(self.boundaries),
        }
        return json.dumps(content, indent=0).encode()

    @staticmethod
    def from_json(text: bytes | str, *, run: str, tasks: int) -> "ShardMap":
        """Read what `to_json` wrote, by whichever task.

        Args:
            text: An object's contents.
            run: The execution that the reader belongs to.
            tasks: How many tasks it has, as the reader knows it.

        Raises:
            UsageError: It is damaged, or another execution's.
        """
        found = _read(text)
        if (found.run, found.tasks) != (run, tasks):
            raise UsageError(
                f"shard map of run {shown_value(found.run)} with {shown_value(found.tasks)} tasks, where {run!r} with {tasks} was expected"
            )
        return found


def _read(text: bytes | str) -> ShardMap:
    try:
        content: Any = parse_json(text)
    except ValueError as error:
        raise UsageError(f"shard map that is no JSON: {error}") from error
    if not isinstance(content, dict) or {*content} != {"version", "run", "tasks", "boundaries"}:
        raise UsageError("shard map without version, run, tasks and boundaries, or with something else")
    version, run, tasks, boundaries = (content[key] for key in ("version", "run", "tasks", "boundaries"))
    # type() and not isinstance(): true is no number of tasks.
    if type(version) is not int or type(tasks) is not int or not isinstance(run, str):
        raise UsageError(
            f"shard map of version {shown_value(version)}, run {shown_value(run)}, {shown_value(tasks)} tasks: damaged"
        )
    if not isinstance(boundaries, list) or not all(isinstance(name, str) for name in boundaries):
        raise UsageError("shard map whose boundaries are no names")
    return ShardMap(run, tasks, tuple(boundaries), version)


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"shard map with the boundary {name!r}, which no object name can be") from None
