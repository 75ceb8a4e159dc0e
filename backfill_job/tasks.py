"""The key space cut into pieces: for one process, or so that several tasks of one execution agree on who works on what.

Tasks share nothing but the map of the key space (``backfill_job.shard_map``): whoever comes first discovers the partitions
and writes it down, on condition that nobody has; all read it. A task that is started again reads the same map.
"""

import asyncio

import uvloop

from backfill_job.job import Job, open_api
from backfill_job.probing import splitting_names
from backfill_job.settings import Settings
from backfill_job.shard_map import ShardMap
from backfill_job.sharding import KeyRange, Partition, boundaries_for, ranges, samples_wanted
from shared.decision import ABSENT
from shared.errors import ConditionFailed, UnexpectedAnswer, UsageError
from shared.gcs.listing import discover, top_level

__all__ = ["agreed_ranges", "all_ranges", "top_level_names"]

PROBES = 32
"""Requests under way at once while the map is made."""


def agreed_ranges(job: Job, settings: Settings) -> tuple[KeyRange, ...]:
    """Find out which part of the key space is this task's.

    Args:
        job: What is asked, and where the map lies.
        settings: Which task of which execution this is.

    Returns:
        Its ranges, in the order to work on them; there may be none.

    Raises:
        UsageError: The map is damaged or another execution's.
        StorageError: It could not be made, written or read.
    """
    run, tasks = settings.execution, settings.task_count
    at = job.migration.own_ref("runs", run, "shards.json")
    text = job.gateway.read(at)
    if text is None:
        ours = ShardMap(run, tasks, boundaries_for(uvloop.run(_partitions(job, tasks)), tasks))
        text = ours.to_json()
        try:
            job.gateway.write(at, text, if_generation=ABSENT)
        except ConditionFailed:  # another task was faster, or our answer was lost: what is there counts
            text = job.gateway.read(at)
    if text is None:
        raise UnexpectedAnswer(
            at.uri, "the tasks' shard map was deleted while they read it; start the execution again"
        )
    try:
        return ShardMap.from_json(text, run=run, tasks=tasks).ranges_of(settings.task_index)
    except UsageError as error:
        raise UsageError(f"{at.uri}: {error}; start a new execution, which makes its own") from error


def all_ranges(job: Job) -> tuple[KeyRange, ...]:
    """Cut the whole key space for one process, which lists several pieces of it at once.

    Args:
        job: What is asked.

    Returns:
        Its ranges.

    Raises:
        StorageError: It is not known what there is.
    """
    return ranges(boundaries_for(uvloop.run(_partitions(job, 1)), 1))


def top_level_names(job: Job) -> tuple[str, ...]:
    """The folders and the objects right below the prefixes, of both sides, in order; as far as both are known.

    Raises:
        StorageError: It is not known what there is.
    """
    return uvloop.run(_top_level(job))


async def _top_level(job: Job) -> tuple[str, ...]:
    async with open_api(job) as api:
        sides = await asyncio.gather(
            *(top_level(api, location) for location in (job.migration.source, job.migration.destination))
        )
    known = min((names[-1] for names, complete in sides if not complete and names), default=None)
    names = sorted({name for found, _ in sides for name in found})
    return tuple(name for name in names if known is None or name <= known)


async def _partitions(job: Job, tasks: int) -> list[Partition]:
    """What a look at both sides finds: folders, with names to split them at where several tasks make that worthwhile."""
    source, destination = job.migration.source, job.migration.destination
    async with open_api(job, PROBES) as api:
        found = await asyncio.gather(*(discover(api, location) for location in (source, destination)))
        # Whatever lies before the first folder goes with it; a prefix without folders is one partition.
        starts = sorted({prefix for side in found for prefix in side}) or [""]
        partitions = [Partition(start) for start in starts]
        if tasks == 1:
            return partitions
        wanted = samples_wanted(partitions, tasks)
        names = await asyncio.gather(
            *(splitting_names(api, source, start, count) for start, count in wanted.items())
        )
    samples = dict(zip(wanted, names, strict=True))
    return [Partition(start, samples=samples.get(start, ())) for start in starts]
