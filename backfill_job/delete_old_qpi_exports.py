"""The command ``delete_old_qpi_exports``: delete from the legacy path what is proven equal at the new one.

The default is the dry run, which changes nothing. Also ``python -m backfill_job delete``. Before anything is deleted, a manifest of
every generation is written and read back. An object that is not in the manifest, or has changed since, stays.
"""

import argparse
import math
import sys
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__" and find_spec("backfill_job") is None:
    # Run as a file, by a Python in which the project is not installed: every import below would fail.
    sys.stderr.write(
        "delete_old_qpi_exports: this Python lacks the project's packages: run `make setup` once, "
        "then .venv/bin/delete_old_qpi_exports with the same arguments\n"
    )
    sys.exit(2)

from backfill_job.consumer import add_consumer_argument
from backfill_job.copying.options import add_pace_arguments
from backfill_job.deletion.flow import Consent, delete
from backfill_job.deletion.prepare import OVERRIDABLE
from backfill_job.run.arguments import (
    add_by_argument,
    add_checkout_arguments,
    add_override_arguments,
    add_session_arguments,
    directory,
    from_one,
    is_number,
    overrides_from,
)
from backfill_job.run.command import (
    BEFORE_ANYTHING,
    Command,
    ProcessIO,
    add_audit_log_argument,
    add_migration_arguments,
    migration_from,
)
from backfill_job.run.settings import Settings
from shared.errors import UsageError
from shared.green_days import GREEN_DAYS

__all__ = ["COMMAND", "check_arguments"]

NAME = "delete_old_qpi_exports"

IN_FLIGHT = 1_600
"""Objects under way at once: sixteen batches."""

EXAMPLES = """
examples:
  delete_old_qpi_exports --env dev --repo ../dags      what would go; changes nothing
  delete_old_qpi_exports --env dev --repo ../dags --confirm-delete
  delete_old_qpi_exports --env dev --confirm-delete --resume gs://.../manifest.json

without a terminal, --confirm-delete wants --confirm-text DELETE_QPI_EXPORTS and --expect-objects N, as the dry run shows N

exit codes:
  0  nothing stands in the way; deletion: everything in the manifest is deleted
  1  something stands in the way, or was kept; the last lines say what
  2  refused, not confirmed or could not start: nothing was deleted
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    add_migration_arguments(parser)
    mode = parser.add_argument_group("what is done")
    which = mode.add_mutually_exclusive_group()
    which.add_argument(
        "--dry-run", action="store_true", help="show what would go, change nothing (the default)"
    )
    which.add_argument(
        "--confirm-delete", action="store_true", help="delete, once everything was checked and confirmed"
    )
    mode.add_argument("--details", action="store_true", help="show each day, folders, layouts and each check")
    goes_on = mode.add_mutually_exclusive_group()
    goes_on.add_argument(
        "--resume", metavar="MANIFEST", help="go on with a deletion: the manifest's file or gs:// name"
    )
    goes_on.add_argument(
        "--anew", action="store_true", help="verify again, and delete what an earlier deletion has left"
    )
    mode.add_argument(
        "--prepare",
        action="store_true",
        help="with --confirm-delete: check, confirm, write the manifest and change the phase, and delete nothing yet; "
        "the tasks of a job then do with --resume",
    )
    mode.add_argument(
        "--tasks",
        type=from_one,
        default=1,
        metavar="N",
        help="share the deletions between N processes of this machine, as the tasks of a Cloud Run job do",
    )
    _add_check_arguments(parser)
    add_pace_arguments(parser, in_flight=IN_FLIGHT)
    add_session_arguments(parser, in_parts=False)
    parser.add_argument(
        "--manifest-dir",
        type=directory,
        metavar="DIR",
        help="where the manifest goes on this machine (default: here); it always goes beside the new path too",
    )


def _add_check_arguments(parser: argparse.ArgumentParser) -> None:
    checks = parser.add_argument_group("what must hold, and who says so")
    checks.add_argument(
        "--soak-days",
        type=_days,
        default=timedelta(days=GREEN_DAYS),
        metavar="DAYS",
        help="how many green days in a row there must be since the cutover (`verify` records each), and how long the last "
        "late write must be ago (default 7; 0 wants neither)",
    )
    checks.add_argument(
        "--repo",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="a checkout of the consumers' code, in which nothing may refer to the legacy path; may be repeated",
    )
    add_checkout_arguments(checks)
    add_audit_log_argument(checks)
    add_consumer_argument(checks)
    add_override_arguments(checks, OVERRIDABLE, "the state and the manifest")
    checks.add_argument(
        "--erased",
        type=Path,
        metavar="LIST",
        help="also delete these legacy objects, which were deleted at the new path since; a file with one name below the "
        "prefix a line; wants --by",
    )
    add_by_argument(checks, "who deletes (default: the account's name here)")
    checks.add_argument(
        "--confirm-text",
        metavar="TEXT",
        help="without a terminal: the text that must be typed on one: DELETE_QPI_EXPORTS, or DELETE_ and the pair's name",
    )
    checks.add_argument(
        "--expect-objects",
        type=from_one,
        metavar="N",
        help="without a terminal: how many objects the manifest must have; the dry run shows it",
    )


def _run(arguments: argparse.Namespace, io: ProcessIO) -> int:
    settings = Settings.from_environ(io.environ)
    check_arguments(arguments, settings, io)
    return delete(NAME, arguments, io, settings)


def check_arguments(arguments: argparse.Namespace, settings: Settings, io: ProcessIO) -> None:
    """Refuse arguments that contradict each other, before the first request, with a `UsageError`."""
    overrides_from(arguments)
    if arguments.erased and (arguments.resume or not arguments.by):
        raise UsageError("--erased wants --by WHO, and is for a new manifest: without --resume")
    if arguments.confirm_delete:
        _check_deletion(arguments, settings, io)
    else:
        _check_dry_run(arguments, settings)


def _check_dry_run(arguments: argparse.Namespace, settings: Settings) -> None:
    for given, name in ((arguments.resume, "--resume"), (arguments.prepare, "--prepare")):
        if given:
            raise UsageError(f"{name} is for --confirm-delete; without it nothing is changed")
    if settings.task_count > 1 or arguments.tasks > 1:
        raise UsageError("a dry run shows the whole at once; run it as one task")


def _check_deletion(arguments: argparse.Namespace, settings: Settings, io: ProcessIO) -> None:
    """Refuse contradictory arguments and an incomplete confirmation, before the first request to Cloud Storage."""
    if arguments.prepare and (arguments.resume or arguments.tasks > 1):
        raise UsageError("--prepare makes a manifest and deletes nothing: without --resume and --tasks")
    if settings.task_count > 1 and not arguments.resume:
        raise UsageError(
            "one process makes the manifest: run --confirm-delete --prepare as one task, then the tasks with "
            "--confirm-delete --resume MANIFEST"
        )
    consent = Consent(arguments.confirm_text, arguments.expect_objects)
    if consent.said or not io.stdin.isatty():
        consent.check(migration_from(arguments).deletion_text)


def _days(text: str) -> timedelta:
    """Read a number of days from 0. Only 0 itself is 0, which wants no soak at all."""
    days = float(text) if is_number(text) else math.nan
    if not 0 <= days <= 3_650:  # noqa: PLR2004 -- ten years; also refuses nan
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of days from 0")
    return max(timedelta(days=days), timedelta.resolution) if days else timedelta()


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run, cannot_start=BEFORE_ANYTHING)


if __name__ == "__main__":
    sys.exit(COMMAND.main())
