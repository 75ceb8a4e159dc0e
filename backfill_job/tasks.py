"""Several tasks of one execution: how they agree on who works on what, and how a laptop runs them.

Tasks share nothing but the map of the key space (``backfill_job.shard_map``): whoever comes first discovers the partitions
and writes it down, on condition that nobody has; all read it. A task that is started again reads the same map.
"""

import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import FrameType

import uvloop

from backfill_job.async_api import AsyncApi
from backfill_job.fast_listing import discover
from backfill_job.settings import Settings
from backfill_job.shard_map import ShardMap
from backfill_job.sharding import KeyRange, Partition, boundaries_for
from shared.decision import ABSENT
from shared.errors import ConditionFailed, UnexpectedAnswer
from shared.gateway import Gateway
from shared.migration import Migration

__all__ = ["agreed_ranges", "run_tasks"]


def agreed_ranges(
    settings: Settings, migration: Migration, gateway: Gateway, endpoint: str | None
) -> tuple[KeyRange, ...]:
    """Find out which part of the key space is this task's.

    Args:
        settings: Which task of which execution this is.
        migration: What is asked.
        gateway: Where the map lies.
        endpoint: Scheme and host of a local Cloud Storage; None for Google's.

    Returns:
        Its ranges, in the order to work on them; there may be none.

    Raises:
        UsageError: The map is damaged or another execution's.
        StorageError: It could not be made, written or read.
    """
    at = migration.own_ref("runs", settings.execution, "shards.json")
    text = gateway.read(at)
    if text is None:
        boundaries = boundaries_for(uvloop.run(_partitions(migration, endpoint)), settings.task_count)
        ours = ShardMap(settings.execution, settings.task_count, boundaries)
        with suppress(
            ConditionFailed
        ):  # another task was faster, or our answer was lost: what is there counts
            gateway.write(at, ours.to_json(), if_generation=ABSENT)
        text = gateway.read(at)
    if text is None:
        raise UnexpectedAnswer(
            at.uri, "the tasks' shard map was deleted while they read it; start the execution again"
        )
    return ShardMap.from_json(text, run=settings.execution, tasks=settings.task_count).ranges_of(
        settings.task_index
    )


async def _partitions(migration: Migration, endpoint: str | None) -> list[Partition]:
    async with AsyncApi(endpoint=endpoint, connections=2) as api:
        found = [await discover(api, location) for location in (migration.source, migration.destination)]
    return [Partition(prefix) for prefix in sorted({prefix for side in found for prefix in side.prefixes})]


def run_tasks(arguments: Sequence[str], count: int, execution: str, environ: Mapping[str, str]) -> int:
    """Run the tasks of an execution as processes of this machine, the way Cloud Run would.

    Args:
        arguments: The command of one task, program first.
        count: How many tasks.
        execution: What they do together.
        environ: Their environment, but for what makes them tasks.

    Returns:
        The worst exit code; a signal is passed on to all.
    """
    tasks = [
        subprocess.Popen(
            arguments,
            env={
                **environ,
                "CLOUD_RUN_EXECUTION": execution,
                "CLOUD_RUN_TASK_INDEX": str(index),
                "CLOUD_RUN_TASK_COUNT": str(count),
            },
            start_new_session=True,  # a terminal's Ctrl-C would reach them twice
        )
        for index in range(count)
    ]

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for task in tasks:
            task.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        # A task that a signal ended has a negative code; it is as bad as any.
        return max(abs(task.wait()) for task in tasks)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
