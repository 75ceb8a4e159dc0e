"""The arguments that all commands on both prefixes share, and the readers of their values.

A reader raises `argparse.ArgumentTypeError` with one clear line for a text that it does not accept.
"""

import argparse
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Self

from backfill_job.run.logs import LogFormat
from backfill_job.run.since import moment_of
from shared.errors import UsageError
from shared.migration import Location
from shared.state import UNFIT
from shared.state_changes import MAX_NOTE, MAX_WHO
from shared.text import counted, shown_value

__all__ = [
    "add_by_argument",
    "add_canary_argument",
    "add_log_arguments",
    "add_override_arguments",
    "add_session_arguments",
    "day",
    "day_in",
    "directory",
    "from_one",
    "is_number",
    "is_there",
    "members",
    "overrides_from",
    "report_place",
    "seconds",
    "since",
    "up_to",
]

MOST_DIGITS = 9
"""Digits of a count; a larger number is a mistake."""

_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")

LONGEST = timedelta(days=3_650)
"""The longest duration. Commands subtract it from the present, and the result must be a date."""

SHOWN = 60
"""Characters that an error shows of a wrong value."""


def add_session_arguments(parser: argparse.ArgumentParser, *, in_parts: bool = True) -> None:
    """Add the arguments that every command on both prefixes has, after those about the migration.

    Args:
        in_parts: Whether tasks can share the command's work and --since can narrow it. Otherwise it covers all names.
    """
    how = parser.add_argument_group("how")
    how.add_argument("--allow-empty", action="store_true", help="accept a source without objects")
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
        "--report", type=report_place, metavar="DIR|gs://…/", help="where reports go; see docs/commands.md"
    )
    add_log_arguments(parser)


def add_checkout_arguments(group: argparse._ActionsContainer) -> None:
    """Add ``--skip`` and ``--env-file``, which say how the consumers' code is looked at."""
    group.add_argument(
        "--skip",
        action="append",
        default=[],
        metavar="GLOB",
        help="leave out files and folders of the code whose name or path matches; may be repeated; the result names them",
    )
    group.add_argument(
        "--env-file",
        type=Path,
        metavar="FILE",
        help="the settings with which the code is deployed, NAME=value on each line: they decide instead of a default",
    )


def add_canary_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--canary [SECONDS]``: a `timedelta`, or None."""
    parser.add_argument(
        "--canary",
        nargs="?",
        type=seconds,
        const=timedelta(seconds=60),
        metavar="SECONDS",
        help="write one object under the legacy prefix, wait so long for its copy (default 60), remove both again",
    )


def add_override_arguments(group: argparse._ArgumentGroup, names: Sequence[str], recorded: str) -> None:
    """Add ``--override CHECK=TEXT`` and ``--reason``; the command itself adds ``--by``. Read them with `overrides_from`.

    Args:
        names: The checks that a person may override.
        recorded: Where the reason is recorded, for the help.
    """
    group.add_argument(
        "--override",
        action="append",
        type=_Overriding,
        choices=names,
        default=[],
        metavar="CHECK=TEXT",
        help=f"override a failing check: {', '.join(names)}; wants --by; may be repeated",
    )
    group.add_argument(
        "--reason",
        metavar="TEXT",
        help=f"why, for --no-mirror, or for each --override CHECK without its own; goes into {recorded}",
    )


class _Overriding(str):
    """The name of a check to override; `reason` is what stands behind its ``=``, None without one."""

    __slots__ = ("reason",)
    reason: str | None

    def __new__(cls, text: str) -> Self:
        name, given, reason = text.partition("=")
        made = super().__new__(cls, name)
        made.reason = reason if given else None
        return made


def add_by_argument(
    group: argparse._ActionsContainer, what: str, *, required: bool = False, default: str | None = None
) -> None:
    """Add ``--by``: a person, and not the word that stands for one in a printed command; `what` says what the person does."""
    said = f"{what}, up to {MAX_WHO} characters"
    group.add_argument("--by", required=required, default=default, type=_person, metavar="WHO", help=said)


def _person(text: str) -> str:
    if text.strip() in {"NAME", "WHO"}:
        raise argparse.ArgumentTypeError(f"{text.strip()} stands for a name: say who it is")
    return text


def overrides_from(arguments: argparse.Namespace) -> dict[str, str]:
    """The reasons for the checks to override, by the check's name. ``--no-mirror`` shares its reason with none of them.

    Raises:
        UsageError: A reason or the name is missing, or is not one line of plain text.
    """
    shared, by, no_mirror = arguments.reason, arguments.by, vars(arguments).get("no_mirror")
    own = {f"--override {each}": each.reason for each in arguments.override}
    for what, text in {"--reason": shared, "--by": by, **own}.items():
        most = MAX_WHO if what == "--by" else MAX_NOTE
        if text is not None and (not text.strip() or len(text) > most or UNFIT.search(text)):
            raise UsageError(f"{what} wants one line of plain text, 1 to {counted(most, 'character')}")
        if text in {"...", "TEXT"}:
            raise UsageError(f"{what} {text!r} stands for a text in printed commands; say why")
    if len({(each, each.reason) for each in arguments.override}) > len({*arguments.override}):
        raise UsageError("--override names a check twice; give each once, with one reason")
    without = [each for each in arguments.override if each.reason is None]
    for option, given in (("--override", without), ("--no-mirror", no_mirror)):
        if given and not (shared and by):
            raise UsageError(f"{option} goes on record: say why and who, with --reason TEXT --by WHO")
    if own and not by:
        raise UsageError("--override goes on record: say who, with --by WHO")
    if no_mirror and without:
        raise UsageError(
            f"--reason says why no mirror runs; say why you override {without[0]}: --override {without[0]}=TEXT"
        )
    return {each: each.reason or shared for each in arguments.override}


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
        help="leave out the days before this one, by their names: 2026-11-01, 36h, 7d; names without a day are always included",
    )


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments for the place and the form of log lines."""
    out = parser.add_argument_group("logs")
    out.add_argument(
        "--log-dir", type=directory, metavar="DIR", help="where the log file goes (default: here)"
    )
    out.add_argument(
        "--log-format",
        choices=[log_format.value for log_format in LogFormat],
        help="lines on stdout: text, or json for Cloud Logging (the default in a Cloud Run job)",
    )


def members(text: str) -> list[str]:
    """Read accounts as a policy names them, with commas between them."""
    found = text.split(",")
    for member in found:
        if not re.fullmatch(r"(?:group|user|serviceAccount):[^\s,;]+", member):
            raise argparse.ArgumentTypeError(
                f"{shown_value(member)} is not serviceAccount:…, user:… or group:…"
            )
    return found


def day(text: str) -> date:
    """Read a day, as `day_in` does."""
    found = day_in(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{_short(text)} is not a day; write it as 2026-12-05")
    return found


def day_in(text: str) -> date | None:
    """The day in a text: ``2026-12-05``, or ``20261205`` as in the names of the exports; None for anything else."""
    if re.fullmatch(r"\d{4}-\d\d-\d\d|\d{8}", text, re.ASCII):
        with suppress(ValueError):
            return date.fromisoformat(text)
    return None


def directory(text: str) -> Path:
    """Read a directory, which may be absent."""
    if "://" in text:
        raise argparse.ArgumentTypeError(f"{text} is not a local directory")
    path = Path(text)
    if is_there(path) and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file, not a directory")
    return path


def is_there(path: Path) -> bool:
    """Whether a path exists. A path that the system refuses, such as a name of 300 letters, is a wrong argument."""
    try:
        return path.exists()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error.strerror}") from error


def report_place(text: str) -> Path | Location:
    """Read the place for reports: a directory, or a Cloud Storage prefix."""
    if not text.startswith("gs://"):
        return directory(text)
    try:
        return Location.parse(text if text.endswith("/") else text + "/")
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def since(text: str) -> Callable[[datetime], datetime]:
    """Read a time or a duration, as `backfill_job.run.since.moment_of` does."""
    try:
        return moment_of(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither a time (2026-11-01, 2026-11-01T06:00:00Z) nor a duration (90m, 36h, 7d)"
        ) from None


def seconds(text: str) -> timedelta:
    """Read a number of seconds, at least 0."""
    try:
        duration = timedelta(seconds=float(text) if is_number(text) else -1)
    except (ValueError, OverflowError):
        duration = timedelta(seconds=-1)
    if not timedelta() <= duration <= LONGEST:
        raise argparse.ArgumentTypeError(f"{_short(text)} is not a number of seconds from 0 to ten years")
    return duration


def is_number(text: str) -> bool:
    """Whether a text is a number in the digits 0 to 9, as ``0.5`` or ``1e-3``. Python also reads ``+1``, ``1_000`` and spaces."""
    return _NUMBER.fullmatch(text) is not None


def up_to(most: int) -> Callable[[str], int]:
    """Make a reader of a whole number from 1 to `most`."""

    def read(text: str) -> int:
        if not (text.isascii() and text.isdecimal()) or len(text) > MOST_DIGITS or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{_short(text)} is not a whole number from 1 to {most:,}")
        return int(text)

    return read


from_one = up_to(10**MOST_DIGITS - 1)
"""Reads a whole number from 1; below a billion."""


def _short(text: str) -> str:
    return repr(text if len(text) <= SHOWN else f"{text[:SHOWN]}…")
