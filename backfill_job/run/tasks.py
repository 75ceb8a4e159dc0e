"""Cuts the key space into ranges: for one process, or so that all tasks of one execution agree on their parts.

*The map.* A prefix under write looks different to each task that lists it. So tasks share one object, the `ShardMap`. The first
task discovers the partitions and writes the map, on the precondition that none exists; all tasks read it. A task that starts
again reads the same map.

*Splitting a large folder.* Before any listing, `splitting_names` finds names that cut one folder into pieces, with few requests.
Cloud Storage gives the first name after any other, and nothing about what lies between. So this module treats the folder's
names as a tree of their characters and walks it level by level. Each branch costs one small request and is a place to cut.
Branches differ in size. But there are many more pieces than tasks, and neighbours, which are about equal, go to different tasks
(``backfill_job.run.key_ranges``). A wrong guess costs balance between tasks, never an object.

Only `open_run` imports this module; it is one because its subject, the shared map, has tests and a file form of its own.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from itertools import pairwise

from backfill_job.run.key_ranges import KeyRange, Partition, assign, boundaries_for, ranges, samples_wanted
from backfill_job.run.late_gateway import ask
from backfill_job.run.run import Run, open_api
from backfill_job.run.since import without_older_days
from shared.decision import ABSENT
from shared.errors import ConditionFailed, UnexpectedAnswer, UsageError
from shared.gcs.api import AsyncApi
from shared.gcs.listing import first_name, top_level
from shared.json_io import convert, parse_json, shown_value
from shared.migration import Location, Migration

__all__ = [
    "VERSION",
    "ShardMap",
    "known_on_both",
    "splitting_names",
    "task_ranges",
]

VERSION = 1
"""The version of the map's form; a map of another version is refused."""

PROBES = 32
"""Requests under way at once while a task makes the map."""

LEVELS = 64
"""Characters after which the search treats all names as equal."""

BRANCHES = 4_000
"""The most branches of one folder; no execution needs more pieces."""

LAST_CHARACTER = chr(0x10FFFF)
FIRST_SURROGATE, AFTER_SURROGATES = 0xD800, 0xE000


_Listed = Callable[[], Sequence[tuple[Sequence[str], bool]]]
"""Gives the names right below each side, and whether these are all of them (`top_level`)."""


def task_ranges(run: Run, since: datetime | None) -> tuple[KeyRange, ...]:
    """The part of the key space that belongs to this process, in the order to work on it; perhaps none.

    Several tasks take their parts from the map that they share. A process of its own takes the whole key space, in pieces,
    because it lists several at once.

    Args:
        since: Leaves out the names of days that ended more than a day before; None for all names.

    Raises:
        UsageError: The map is damaged or another execution's.
        StorageError: A listing failed, or the map cannot be written or read.
    """
    listed = cache(lambda: ask(open_api(run), partial(_top_levels, run.migration)))
    if run.settings.task_count > 1:
        mine = _agreed_ranges(run, listed)
    else:
        mine = ranges(boundaries_for([Partition(start) for start in _starts(listed)], 1))
    return mine if since is None else without_older_days(mine, known_on_both(listed()), since)


def _agreed_ranges(run: Run, listed: _Listed) -> tuple[KeyRange, ...]:
    execution, tasks = run.settings.execution, run.settings.task_count
    at = run.migration.own_ref("runs", execution, "shards.json")
    text = run.store.read(at)
    if text is None:
        partitions = ask(open_api(run, PROBES), partial(_partitions, run.migration, _starts(listed), tasks))
        text = ShardMap(execution, tasks, boundaries_for(partitions, tasks)).to_json()
        try:
            run.store.write(at, text, if_generation=ABSENT)
        except ConditionFailed:  # another task was faster, or our answer was lost: use the existing map
            text = run.store.read(at)
    if text is None:
        raise UnexpectedAnswer(
            at.uri, "the tasks' shard map was deleted while they read it; start the execution again"
        )
    try:
        return ShardMap.from_json(text, run=execution, tasks=tasks).ranges_of(run.settings.task_index)
    except UsageError as error:
        raise UsageError(f"{at.uri}: {error}; start a new execution, which makes its own") from error


async def _top_levels(migration: Migration, api: AsyncApi) -> Sequence[tuple[Sequence[str], bool]]:
    return await asyncio.gather(
        *(top_level(api, location) for location in (migration.source, migration.destination))
    )


def known_on_both(sides: Sequence[tuple[Sequence[str], bool]]) -> tuple[str, ...]:
    """The names of several listings together, in order, up to the first place where one of them was cut short.

    Args:
        sides: The names of each listing, in order; and whether these are all of its names.
    """
    # Of a listing that was cut short before its first name, nothing is known.
    known = min((found[-1] if found else "" for found, complete in sides if not complete), default=None)
    names = sorted({name for found, _ in sides for name in found})
    return tuple(name for name in names if known is None or name <= known)


def _starts(listed: _Listed) -> list[str]:
    """The folders of both sides. Names before the first one go with it; a prefix without folders is one partition."""
    return sorted({name for names, _ in listed() for name in names if name.endswith("/")}) or [""]


async def _partitions(
    migration: Migration, starts: Sequence[str], tasks: int, api: AsyncApi
) -> list[Partition]:
    """The folders, with the names at which to split large ones."""
    wanted = samples_wanted([Partition(start) for start in starts], tasks)
    names = await asyncio.gather(
        *(splitting_names(api, migration.source, start, count) for start, count in wanted.items())
    )
    samples = dict(zip(wanted, names, strict=True))
    return [Partition(start, samples=samples.get(start, ())) for start in starts]


@dataclass(frozen=True, slots=True)
class ShardMap:
    """The boundaries that all tasks of one execution use.

    Attributes:
        run: The execution.
        tasks: How many tasks it has.
        boundaries: Where one range ends and the next begins, ascending.

    Raises:
        UsageError: The values are not a valid map.
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
        # Starts with the empty name, so that the loop finds an empty boundary, too.
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
        """Read what `to_json` of any task of this execution wrote.

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
        content = parse_json(text)
    except ValueError as error:
        raise UsageError(f"shard map that is not JSON: {error}") from error
    try:
        return convert(ShardMap, content)
    except ValueError as error:
        raise UsageError(
            "shard map without version, run, tasks and boundaries, with something else, or with boundaries that are not "
            f"names: damaged ({error})"
        ) from error


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise UsageError(f"shard map with the boundary {name!r}, which no object name can be") from None


async def splitting_names(api: AsyncApi, location: Location, folder: str, wanted: int) -> tuple[str, ...]:
    """Find names that cut a folder into pieces.

    Args:
        api: Lists the folder.
        location: The prefix that holds the folder.
        folder: Its name below the prefix, with the final ``/``; empty for the prefix itself.
        wanted: How many names at least, where there are as many.

    Returns:
        Names below the prefix, ascending. They are beginnings of object names, and not always objects.

    Raises:
        StorageError: A listing failed.
    """
    level = [folder]
    for _ in range(LEVELS):
        below = await asyncio.gather(*(_branches(api, location, stem) for stem in level))
        following = [branch for branches in below for branch in branches]
        if not following or len(following) > BRANCHES:
            break
        level = following
        if len(level) > wanted:
            break
    return tuple(level[1:])


async def _branches(api: AsyncApi, location: Location, stem: str) -> list[str]:
    """The beginnings of names that extend `stem` by one character, in order."""
    branches: list[str] = []
    end = _after(stem)
    start = stem + "\0"
    while (name := await first_name(api, location, start, end)) is not None:
        branches.append(name[: len(stem) + 1])
        start = _after(branches[-1])
        if not start:
            break
    return branches


def _after(stem: str) -> str:
    """The first name after all that begin with `stem`; empty when no name can come after them."""
    while stem.endswith(LAST_CHARACTER):
        stem = stem[:-1]
    if not stem:
        return ""
    following = ord(stem[-1]) + 1
    return stem[:-1] + chr(AFTER_SURROGATES if following == FIRST_SURROGATE else following)
