"""What every command of the operator shares: its surroundings, its arguments about the migration, its exit codes."""

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TextIO

from backfill_job.clock import Clock, system_clock
from backfill_job.job import ExitCode
from backfill_job.stopping import leave_in_time
from shared.errors import MigrationError, UsageError
from shared.migration import DEFAULT_EXCLUDES, Environment, Location, Migration, qpi_exports

__all__ = ["Surroundings", "add_migration_arguments", "in_one_line", "migration_from"]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a command reads from and writes to besides Cloud Storage.

    Attributes:
        environ: The environment.
        stdin: Where answers come from.
        stdout: Where results go.
        stderr: Where errors go.
        clock: The time and the waiting.
        words: The command's arguments as they were typed, for processes that are to do the same.
        stopping: Called when somebody asks the process to stop.
    """

    environ: Mapping[str, str]
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    clock: Clock
    words: tuple[str, ...] = ()
    stopping: Callable[[], None] = lambda: None

    @staticmethod
    def of_process(words: Sequence[str]) -> "Surroundings":
        """The surroundings of this process, which has been given these arguments for the command."""
        return Surroundings(
            os.environ, sys.stdin, sys.stdout, sys.stderr, system_clock(), tuple(words), leave_in_time
        )


def in_one_line(
    command: str,
    surroundings: Surroundings,
    work: Callable[[], int],
    *,
    cannot_start: tuple[type[MigrationError], ...] = (UsageError,),
) -> int:
    """Run a command's work; an error of this project becomes one line and an exit code, never a traceback.

    Args:
        command: The command's name, which begins the line.
        surroundings: The command's.
        work: What it does; gives the exit code.
        cannot_start: Errors that mean that nothing was done.

    Returns:
        The exit code.
    """
    try:
        return work()
    except MigrationError as error:
        print(f"{command}: {error}", file=surroundings.stderr)
        return ExitCode.CANNOT_START if isinstance(error, cannot_start) else ExitCode.NOT_RIGHT


def add_migration_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say what is migrated: read them with `migration_from`."""
    what = parser.add_argument_group("what is migrated")
    what.add_argument(
        "--env",
        choices=[environment.value for environment in Environment],
        help="the QPI preset: gs://data-bucket-ENV/QPI_exports/ to gs://de-bigquery-data-export-ENV/qpi_exports/",
    )
    what.add_argument("--source", metavar="gs://BUCKET/PREFIX/", help="instead of the preset's source")
    what.add_argument(
        "--destination", metavar="gs://BUCKET/PREFIX/", help="instead of the preset's destination"
    )
    what.add_argument(
        "--exclude",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave behind names below the prefix that match this shell pattern; without '/' it also matches the "
        "last part of a name; may be repeated",
    )
    what.add_argument(
        "--no-default-excludes",
        action="store_true",
        help=f"do not leave behind {', '.join(DEFAULT_EXCLUDES)}",
    )


def migration_from(arguments: argparse.Namespace) -> Migration:
    """Read what is migrated.

    Raises:
        UsageError: The arguments do not say it, or ask for something impossible.
    """
    excludes = (*(() if arguments.no_default_excludes else DEFAULT_EXCLUDES), *arguments.exclude)
    source = None if arguments.source is None else Location.parse(arguments.source)
    destination = None if arguments.destination is None else Location.parse(arguments.destination)
    if arguments.env is not None:
        preset = qpi_exports(Environment(arguments.env), excludes)
        return Migration(source or preset.source, destination or preset.destination, excludes, preset.label)
    if source is None or destination is None:
        raise UsageError(
            "say what to migrate: --env dev, --env stg or --env prod, or both --source and --destination"
        )
    return Migration(source, destination, excludes)
