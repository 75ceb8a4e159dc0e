"""How an execution copies: how much at once, how fast, and who is told. Read from the command line here, for every command that writes."""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass

from backfill_job.copying.counts import Account, Counts
from backfill_job.copying.governor import Governor, NullGovernor, WriteGovernor
from backfill_job.copying.lane import Limits
from backfill_job.copying.line import Result
from backfill_job.run.arguments import from_one, up_to
from backfill_job.run.reports import Lines

__all__ = ["CopyOptions", "add_pace_arguments", "governor_from"]

MOST_IN_FLIGHT = 10_000
"""Objects under way at once: each has a connection and a task of its own, and a process is given so many files."""


@dataclass(frozen=True, slots=True)
class CopyOptions:
    """How an execution copies.

    Attributes:
        limits: How much is done at once.
        governor: Says when the next object may be written.
        progress: Gets the counts while they grow.
        lines: ``objects.jsonl``, where asked for.
        told: Told the result of every object that called for more than a look at the listings.
    """

    limits: Limits
    governor: WriteGovernor
    progress: Callable[[Counts[Account]], None]
    lines: Lines | None = None
    told: Callable[[Result], None] = lambda _: None


def add_pace_arguments(parser: argparse.ArgumentParser, *, in_flight: int = 256) -> None:
    """Add the arguments that say how fast objects are written.

    Args:
        parser: Gets them.
        in_flight: Objects under way at once where nobody says.
    """
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
        "first, doubling every 20 minutes; throttling answers halve it",
    )
    pace.add_argument(
        "--ungoverned",
        action="store_true",
        help="write as fast as it goes; for a local server, or a bucket known to take it",
    )


def governor_from(arguments: argparse.Namespace, tasks: int) -> WriteGovernor:
    """Read how fast may be written.

    Args:
        arguments: With those of `add_pace_arguments`.
        tasks: How many tasks share the rate.
    """
    if arguments.ungoverned:
        return NullGovernor()
    return Governor(time.monotonic, tasks=tasks, ceiling=arguments.max_writes_per_second)
