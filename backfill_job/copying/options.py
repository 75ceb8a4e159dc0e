"""How a run copies: how many objects at once, how fast, and where results go; and the arguments for it."""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from backfill_job.copying.counts import Account, Counts
from backfill_job.copying.governor import Governor, NullGovernor, WriteGovernor
from backfill_job.copying.lane import LaneLimits, Result
from backfill_job.run.arguments import from_one, up_to
from backfill_job.run.reports import Lines

__all__ = ["CopyOptions", "add_pace_arguments", "governor_from"]

MOST_IN_FLIGHT = 10_000
"""Objects under way at once. Each needs a connection and a task, and a process may open only so many files."""


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How a run copies.

    Attributes:
        lines: ``objects.jsonl``; None where the run leaves none.
        told: Receives the result of every object that needed more than the listings.
        follow_deletions: Whether copies of deleted sources are deleted. These are copies that the run makes itself, and
            extras for which the source's bucket still holds the deleted version.
        storage_class: The class of every copy; empty for each source's own.
    """

    limits: LaneLimits
    governor: WriteGovernor
    progress: Callable[[Counts[Account]], None]
    lines: Lines | None = None
    told: Callable[[Result], None] = lambda _: None
    settled_before: datetime | None = None
    follow_deletions: bool = False
    storage_class: str = ""
    after_deletion: bool = False


def add_pace_arguments(parser: argparse.ArgumentParser, *, in_flight: int = 256) -> None:
    """Add the arguments that limit how fast a command writes objects."""
    pace = parser.add_argument_group("how fast")
    pace.add_argument(
        "--in-flight",
        type=up_to(MOST_IN_FLIGHT),
        default=in_flight,
        metavar="N",
        help=f"objects under way at once (default {in_flight:,})",
    )
    pace.add_argument(
        "--max-writes-per-second",
        type=from_one,
        metavar="N",
        help="never write faster than this. Without it the rate follows Cloud Storage's guideline: 1,000 a second at "
        "first, doubling every 20 minutes; throttling of more than one write in 50 halves it",
    )
    pace.add_argument(
        "--ungoverned",
        action="store_true",
        help="write as fast as it goes; for a local server, or a bucket known to take it",
    )


def governor_from(arguments: argparse.Namespace, tasks: int) -> WriteGovernor:
    """Make the governor that the arguments of `add_pace_arguments` ask for; so many tasks share its rate."""
    if arguments.ungoverned:
        return NullGovernor()
    return Governor(time.monotonic, tasks=tasks, ceiling=arguments.max_writes_per_second)
