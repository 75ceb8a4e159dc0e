"""An operator's command as a value: its help, its arguments and its work; and the process in which it runs."""

import argparse
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import IntEnum
from functools import partial
from typing import TextIO

from backfill_job.run.clock import Clock, system_clock
from backfill_job.run.late_console import LateConsole
from backfill_job.run.logs import LogFormat, logging_to
from backfill_job.run.operator_values import fill_in
from backfill_job.run.settings import Settings
from backfill_job.run.stopping import leave_in_time
from shared.command_line import OneLineParser, as_program, one_line
from shared.errors import BucketNotFound, MigrationError, PermissionDenied, UsageError
from shared.migration import (
    DEFAULT_EXCLUDES,
    PRESET_NAME,
    UNNAMED,
    Environment,
    Location,
    Migration,
    qpi_exports,
)

__all__ = [
    "BEFORE_ANYTHING",
    "RARE",
    "Command",
    "ExitCode",
    "ProcessIO",
    "add_audit_log_argument",
    "add_billing_argument",
    "add_migration_arguments",
    "add_name_argument",
    "migration_from",
    "refuse_two_pairs",
]

BEFORE_ANYTHING = (UsageError, BucketNotFound, PermissionDenied)
"""`Command.cannot_start` of a command whose first requests can raise these errors."""


_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]{0,99}")
_LABEL = re.compile(r"[a-z][a-z0-9_-]{0,38}")
_TAKEN = {UNNAMED, PRESET_NAME, *(environment.value for environment in Environment)}
"""Names that say something else."""

_RARE = (
    "--no-default-excludes --billing-project --exclude --begin --include-erased --follow-deletions --in-flight "
    "--max-writes-per-second --ungoverned --allow-empty --grace --tasks --log-dir --log-format --max-age --lag-p50 --lag-p99 "
    "--lag-max --import-days --today --no-record --mirror-since --prepare --manifest-dir --expect-objects --confirm-text "
    "--name --storage-class --consumer --loaded-table --no-mirror --nights --partition --maximum-bytes-billed --path "
    "--dataset --location --anew --part --reason --rehearse --erased --only --resume --port --import-test --soak-days "
    "--impersonate --project --skip --env-file --accept --storage-class --no-gather --audit-log --own"
)
RARE = frozenset(_RARE.split())
"""Options that few need: ``--help-all`` explains them."""

WIDTH = 100
"""Columns of a table outside a terminal."""


class ExitCode(IntEnum):
    """The exit codes of every command."""

    DONE = 0
    NOT_RIGHT = 1
    CANNOT_START = 2


@dataclass(frozen=True, slots=True)
class ProcessIO:
    """The process: what a command reads from and writes to besides Cloud Storage.

    Attributes:
        words: The command's arguments as the operator typed them, for child processes with the same command.
        stopping: Called when a signal asks the process to stop.
        only_progress: Whether another command runs this one, which then shows its progress and no text.
    """

    environ: Mapping[str, str]
    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    clock: Clock
    words: tuple[str, ...] = ()
    stopping: Callable[[], None] = lambda: None
    only_progress: bool = False

    def console(self, width: int = WIDTH) -> LateConsole:
        """Prints for the operator on stdout; `width` columns outside a terminal."""
        return LateConsole(self.stdout, width, only_progress=self.only_progress)

    @property
    def in_a_job(self) -> bool:
        """Whether this is a task of a Cloud Run job, where every line on stdout is an event, and nothing is for a person."""
        return bool(Settings.from_environ(self.environ).cloud_run_job)

    def log_format(self, wanted: str | None) -> LogFormat:
        """The form of the log's lines; None where none was asked for. With JSON every line on stdout is one object."""
        return LogFormat(wanted or ("json" if self.in_a_job else "text"))

    def lines_of_a_job(self) -> AbstractContextManager[None]:
        """In a Cloud Run job, the log's lines go to stdout while the block runs; elsewhere nothing is logged."""
        return logging_to(self.stdout, LogFormat.JSON) if self.in_a_job else nullcontext()

    def run_name(self, migration: Migration) -> str:
        """A name for a run that begins now; no other run has it."""
        return f"{migration.label}-{self.clock.now():%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"

    @staticmethod
    def of_process(words: Sequence[str]) -> "ProcessIO":
        """The present process, with the arguments of its command."""
        return ProcessIO(
            os.environ, sys.stdin, sys.stdout, sys.stderr, system_clock(), tuple(words), leave_in_time
        )


@dataclass(frozen=True, slots=True)
class Command:
    """One of the operator's commands.

    Attributes:
        name: Starts the lines of its errors and the names of its files.
        description: ``The command ``name``: what it does.``, and more; the help shows the first line.
        cannot_start: Errors after which nothing was changed, so that the exit code is 2.
    """

    name: str
    description: str
    examples: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    work: Callable[[argparse.Namespace, ProcessIO], int]
    cannot_start: tuple[type[MigrationError], ...] = (UsageError,)

    @property
    def summary(self) -> str:
        """What it does, in one line."""
        what = self.description.partition("\n")[0].partition(": ")[2]
        return what[:1].upper() + what[1:]

    def prepare(self, parser: argparse.ArgumentParser) -> None:
        """Add the help and the arguments of this command to a parser."""
        parser.formatter_class = partial(argparse.RawDescriptionHelpFormatter, max_help_position=26)
        parser.epilog = self.examples
        self.add_arguments(parser)

    def run(self, arguments: argparse.Namespace, io: ProcessIO) -> int:
        """Run it; an error of this project becomes one line and an exit code, never a traceback."""
        try:
            fill_in(arguments)
            return int(self.work(arguments, io))
        except MigrationError as error:
            print(f"{self.name}: {one_line(str(error))}", file=io.stderr)
            return ExitCode.CANNOT_START if isinstance(error, self.cannot_start) else ExitCode.NOT_RIGHT

    def main(self, argv: Sequence[str] | None = None) -> int:
        """Run it as a program of its own, in this process; by default with the process's arguments."""
        parser = OneLineParser(prog=self.name, description=self.summary, rare=RARE, version=True)
        self.prepare(parser)
        words = sys.argv[1:] if argv is None else argv
        return as_program(lambda: self.run(parser.parse_args(words), ProcessIO.of_process(words)))


def add_migration_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the two prefixes; `migration_from` reads them."""
    what = parser.add_argument_group("what is migrated")
    what.add_argument(
        "--env",
        choices=[environment.value for environment in Environment],
        help="the QPI exports of this environment",
    )
    what.add_argument(
        "--source", metavar="gs://…/", help="without --env: the legacy path, gs://BUCKET/PREFIX/"
    )
    what.add_argument(
        "--destination", metavar="gs://…/", help="with --source: the new path, gs://BUCKET/PREFIX/"
    )
    add_name_argument(what)
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
    add_billing_argument(what)


def add_audit_log_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--audit-log PROJECT``: an id; empty for none."""
    parser.add_argument(
        "--audit-log",
        type=_project,
        default="",
        metavar="PROJECT",
        help="the legacy bucket's project, where Data Access logs of Cloud Storage are on",
    )


def add_billing_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--billing-project``: an id; empty for none."""
    parser.add_argument(
        "--billing-project",
        type=_project,
        default="",
        metavar="PROJECT",
        help="the project that pays for requests to a requester-pays bucket; sent with every request",
    )


def add_name_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--name``: a pair's label; None without one."""
    parser.add_argument(
        "--name",
        dest="pair",
        type=_label,
        metavar="NAME",
        help="a pair's own name, in log files, reports and the state's runs, and in what is typed to delete it (DELETE_NAME)",
    )


def _label(text: str) -> str:
    if not _LABEL.fullmatch(text) or text in _TAKEN:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a pair's name: a letter, then up to 38 letters, digits, '-' or '_', in lower case, and none of "
            f"{', '.join(sorted(_TAKEN))}"
        )
    return text


def _project(text: str) -> str:
    if text and not _PROJECT.fullmatch(text):  # argparse reads the default, too
        raise argparse.ArgumentTypeError(f"{text!r} is not the id of a project")
    return text


def refuse_two_pairs(arguments: argparse.Namespace) -> None:
    """Refuse ``--env`` with ``--source`` or ``--destination``.

    Raises:
        UsageError: They stand together.
    """
    if arguments.env is not None and {arguments.source, arguments.destination} != {None}:
        raise UsageError(
            f"--env {arguments.env} names both paths already: leave out --source and --destination, or --env"
        )


def migration_from(arguments: argparse.Namespace) -> Migration:
    """Read the migration from the arguments of `add_migration_arguments`.

    Raises:
        UsageError: They name no migration, or an impossible one.
    """
    refuse_two_pairs(arguments)  # first: what is wrong with a path does not matter then
    excludes = (*(() if arguments.no_default_excludes else DEFAULT_EXCLUDES), *arguments.exclude)
    source = None if arguments.source is None else Location.parse(arguments.source)
    destination = None if arguments.destination is None else Location.parse(arguments.destination)
    label = arguments.pair or UNNAMED
    if arguments.env is not None:
        if arguments.pair is not None:
            raise UsageError("--name is for a pair of prefixes: --env names its environment's pair already")
        preset = qpi_exports(Environment(arguments.env), excludes)
        source, destination, label = preset.source, preset.destination, preset.label
    if source is None or destination is None:
        raise UsageError(
            "say what to migrate: --env dev, --env stg or --env prod, or both --source and --destination"
        )
    return Migration(source, destination, excludes, label, billing_project=arguments.billing_project)
