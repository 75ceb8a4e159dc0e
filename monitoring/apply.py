"""Creates or updates a project's log-based metrics, dashboard and alert policies from the files.

    python -m monitoring.apply --env dev --project my-project --region europe-west1 --runbook https://…/runbook-alerts.md --dry-run

`--dry-run` prints what would change and changes nothing; it needs the right to read only. Applied a second time it changes nothing.
It never touches what this software did not make, and it never deletes: a resource without a file is named as left over.
"""

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import TextIO

from monitoring.checks import problems
from monitoring.differences import ResourceAction, ResourceChange, changes
from monitoring.files import ProjectValues, Resources, load_files
from monitoring.services import MonitoredProject, Services, wanted_of
from shared.command_line import OneLineParser, as_program, one_line
from shared.env_file import DEPLOYED, deployed_name
from shared.errors import MigrationError, UsageError
from shared.migration import Environment

__all__ = ["add_value_arguments", "main", "resources_of"]

RUNBOOK = Path("docs") / "runbook-alerts.md"

CANNOT_START = 2

Sleep = Callable[[float], None]


def main(
    argv: Sequence[str] | None = None,
    connect: Callable[[], Services] = Services.of_surroundings,
    stdout: TextIO | None = None,
    sleep: Sleep = time.sleep,
) -> int:
    """Run the command; returns 0 done, 1 a service refused or did not answer, 2 cannot start.

    It calls `connect` for the clients after the files have passed the checks, and prints the differences to `stdout`.
    """
    description, _, rest = (__doc__ or "").partition("\n\n")
    parser = OneLineParser(
        prog="python -m monitoring.apply",
        description=description,
        epilog=rest,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_value_arguments(parser)
    parser.add_argument(
        "--channel",
        action="append",
        default=[],
        metavar="projects/P/notificationChannels/N",
        help="tell this notification channel of incidents; may be repeated",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the differences, change nothing")
    arguments = parser.parse_args(argv)
    try:
        _apply(arguments, connect, stdout or sys.stdout, sleep)
    except MigrationError as error:
        sys.stderr.write(f"monitoring.apply: {one_line(str(error))}\n")
        return CANNOT_START if isinstance(error, UsageError) else 1
    return 0


def add_value_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name the project and the environment; `resources_of` reads them."""
    group = parser.add_argument_group("which project and environment")
    group.add_argument("--env", required=True, choices=[environment.value for environment in Environment])
    group.add_argument("--project", required=True, metavar="ID")
    group.add_argument("--region", required=True, help="where the job and the function run")
    read = "where docs/runbook-alerts.md can be read"
    group.add_argument("--runbook", required=True, metavar="URL", help=read)
    mirror, reverse, deletion = (deployed_name(part, "ENV") for part in ("mirror", "reverse", "deletion"))
    for name, metavar, help_text, default in (
        ("--mirror-service", "NAME", "the function", mirror),
        ("--reverse-service", "NAME", "the function that mirrors back", reverse),
        ("--jobs", "PREFIX", "what the jobs' names begin with", DEPLOYED),
    ):
        group.add_argument(name, default="", metavar=metavar, help=f"{help_text} (default: {default})")
    tasks = "tasks of an execution of the backfill (default: 1)"
    group.add_argument("--tasks", type=int, default=1, metavar="N", help=tasks)
    deletes = f"who deletes the legacy path (default: {deletion}@PROJECT.iam.gserviceaccount.com)"
    group.add_argument("--deletion-account", default="", metavar="EMAIL", help=deletes)


def resources_of(arguments: argparse.Namespace) -> Resources:
    """Read the files with the arguments' values, and check them.

    Raises:
        UsageError: A file has a fault; the first ones are named.
    """
    where = (arguments.env, arguments.project, arguments.region, arguments.runbook)
    given = ("mirror_service", "reverse_service", "jobs", "deletion_account")
    names = {name: getattr(arguments, name) for name in given}
    values = ProjectValues.of(*where, tasks=arguments.tasks, **names)
    resources = load_files(values.by_name())
    found = problems(resources, _runbook())
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""  # noqa: PLR2004 -- a line's worth
        raise UsageError(f"the files are not right: {'; '.join(found[:3])}{more}")
    return resources


def _runbook() -> str:
    path = Path(str(files("monitoring"))).parent / RUNBOOK
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); run this in a checkout") from error


def _apply(
    arguments: argparse.Namespace, connect: Callable[[], Services], stdout: TextIO, sleep: Sleep
) -> None:
    resources = resources_of(arguments)
    channels = tuple(arguments.channel)
    for channel in channels:
        if not channel.startswith("projects/") or "/notificationChannels/" not in channel:
            raise UsageError(f"--channel {channel} is not projects/P/notificationChannels/N")
    project = MonitoredProject(connect(), arguments.project, arguments.env, sleep)
    found = changes(wanted_of(resources, arguments.env, channels), project.existing())
    for change in found:
        _tell(change, stdout)
        if (
            not arguments.dry_run
            and change.wanted
            and change.action in {ResourceAction.CREATE, ResourceAction.UPDATE}
        ):
            project.put(change.wanted, change.existing)
    counts = Counter(change.action for change in found)
    summary = ", ".join(f"{counts[action]} {action.value}" for action in ResourceAction if counts[action])
    print(f"{summary}{'; nothing was changed' if arguments.dry_run else ''}", file=stdout)


def _tell(change: ResourceChange, stdout: TextIO) -> None:
    if change.action is ResourceAction.LEFT_OVER and change.existing is not None:
        print(f"left over: {change.existing.name}; no file makes it any more: delete it by hand", file=stdout)
    elif change.action is not ResourceAction.NOTHING and change.wanted is not None:
        print(f"{change.action.value} {change.wanted.kind} {change.wanted.key}", file=stdout)
        for line in change.lines():
            print(f"  {line}", file=stdout)


if __name__ == "__main__":
    sys.exit(as_program(main))
