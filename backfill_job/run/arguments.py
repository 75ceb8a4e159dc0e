"""The arguments that all commands on both prefixes share, and their texts as values.

A reader raises `argparse.ArgumentTypeError` with one clear line for a text that is none.
"""

import argparse
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

from backfill_job.run.logs import LogFormat
from backfill_job.run.since import moment_of
from shared.errors import UsageError
from shared.migration import Location

__all__ = [
    "add_canary_argument",
    "add_log_arguments",
    "add_session_arguments",
    "directory",
    "from_one",
    "is_there",
    "report_place",
    "seconds",
    "since",
    "up_to",
]

MOST_DIGITS = 9
"""Of a number of things: more is a mistake, or would be counted to."""

LONGEST = timedelta(days=3_650)
"""Seconds are subtracted from the present: what leads out of the calendar is a mistake."""

SHOWN = 60
"""Characters shown of a value that is not what it should be."""


def add_session_arguments(parser: argparse.ArgumentParser, *, in_parts: bool = True) -> None:
    """Add the arguments that every command on both prefixes has, after those about the migration.

    Args:
        parser: Gets them.
        in_parts: Whether the command can be shared between tasks, or narrowed; else it is always about everything.
    """
    how = parser.add_argument_group("how")
    how.add_argument("--allow-empty", action="store_true", help="a source without objects is no error")
    how.add_argument(
        "--grace",
        type=seconds,
        default=timedelta(seconds=60),
        metavar="SECONDS",
        help="how long after its last change an object may take to arrive before it counts as missing (default 60)",
    )
    if in_parts:
        _add_part_arguments(how)
    else:
        parser.set_defaults(tasks=1, since=None)
    out = parser.add_argument_group("what it leaves")
    out.add_argument(
        "--report", type=report_place, metavar="DIR|gs://…/", help="where reports go; see the README"
    )
    add_log_arguments(parser)


def add_canary_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--canary [SECONDS]``, a `timedelta`; None where it is not given."""
    parser.add_argument(
        "--canary",
        nargs="?",
        type=seconds,
        const=timedelta(seconds=60),
        metavar="SECONDS",
        help="write one object under the legacy prefix, see it arrive within so long (default 60), remove it again",
    )


def _add_part_arguments(how: argparse._ArgumentGroup) -> None:
    how.add_argument(
        "--tasks",
        type=from_one,
        default=1,
        metavar="N",
        help="share the work between N processes of this machine, as the tasks of a Cloud Run job do",
    )
    how.add_argument(
        "--since",
        type=since,
        metavar="TIMESTAMP|DURATION",
        help="leave out the days before this one, by their names: 2026-11-01, 36h, 7d; what has no day is never left out",
    )


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that say where log lines go."""
    out = parser.add_argument_group("logs")
    out.add_argument(
        "--log-dir", type=directory, metavar="DIR", help="where the log file goes (default: here)"
    )
    out.add_argument(
        "--log-format",
        choices=[log_format.value for log_format in LogFormat],
        help="lines on stdout: text, or json for Cloud Logging (the default in a Cloud Run job)",
    )


def directory(text: str) -> Path:
    """Read a directory; it need not be there."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} is no local directory")
    path = Path(text)
    if is_there(path) and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file, a directory is wanted")
    return path


def is_there(path: Path) -> bool:
    """Tell whether there is anything at a path; one that cannot be asked for, of 300 letters say, is a wrong argument."""
    try:
        return path.exists()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error


def report_place(text: str) -> Path | Location:
    """Read where reports go: a directory, or a Cloud Storage prefix."""
    if not text.startswith("gs://"):
        return directory(text)
    try:
        return Location.parse(text if text.endswith("/") else text + "/")
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def since(text: str) -> Callable[[datetime], datetime]:
    """Read a time or a duration; see `backfill_job.run.since.moment_of`."""
    try:
        return moment_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time (2026-11-01, 2026-11-01T06:00:00Z) nor a duration (90m, 36h, 7d)"
        ) from None


def seconds(text: str) -> timedelta:
    """Read a number of seconds from 0."""
    try:
        duration = timedelta(seconds=float(text))
    except (ValueError, OverflowError):
        duration = timedelta(seconds=-1)
    if not timedelta() <= duration <= LONGEST:
        raise argparse.ArgumentTypeError(f"{_short(text)} is no number of seconds from 0 to ten years")
    return duration


def from_one(text: str) -> int:
    """Read a whole number from 1; below a billion."""
    if not text.isdecimal() or len(text) > MOST_DIGITS or int(text) < 1:
        raise argparse.ArgumentTypeError(
            f"{_short(text)} is no whole number from 1 to {10**MOST_DIGITS - 1:,}"
        )
    return int(text)


def up_to(most: int) -> Callable[[str], int]:
    """Make the reader of a whole number from 1 to another one."""

    def read(text: str) -> int:
        if not text.isdecimal() or len(text) > MOST_DIGITS or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{_short(text)} is no whole number from 1 to {most:,}")
        return int(text)

    return read


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
