"""The command ``certify``: recompute a certificate from both paths as they are now, and compare. Changes nothing."""

import argparse
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import uvloop

from backfill_job.arguments import add_log_arguments
from backfill_job.command import Command, Surroundings
from backfill_job.diff import diff
from backfill_job.job import ExitCode, Job, open_api, spare_the_collector
from backfill_job.session import Session, opened
from backfill_job.verdict import judged
from backfill_job.verify.certificate import Certificate, changes, data_of, read_certificate
from backfill_job.verify.day_counts import DayCounts
from shared.errors import UsageError

__all__ = ["COMMAND"]

NAME = "certify"

MAX_SHOWN = 50

EXAMPLES = """
examples:
  python -m backfill_job certify --check certificate.json

exit codes:
  0  both paths hold what the certificate says
  1  they do not, or it could not be found out; the last line says which
  2  could not start: the file is not a certificate or was changed, bucket, permission
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--check",
        type=Path,
        required=True,
        metavar="FILE",
        help="the certificate; it says which two prefixes it is about",
    )
    add_log_arguments(parser)
    parser.set_defaults(tasks=1, since=None, grace=timedelta(), allow_empty=True, report=None)


def _run(arguments: argparse.Namespace, surroundings: Surroundings) -> int:
    try:
        contents = arguments.check.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {arguments.check}: {error.strerror}") from error
    stated = read_certificate(contents, str(arguments.check))
    with opened(NAME, arguments, surroundings, migration=stated.migration, mode="check") as session:
        return _check(session, stated)


def _check(session: Session, stated: Certificate) -> ExitCode:
    spare_the_collector()
    counts = uvloop.run(_counted(session.job))
    now = data_of(session.job.migration, counts)
    found = changes(stated.data, now)
    for line in found[:MAX_SHOWN]:
        session.say(f"  {line}")
    if len(found) > MAX_SHOWN:
        session.say(f"  ... and {len(found) - MAX_SHOWN:,} more")
    if found:
        session.say(
            f"NOT what {stated.run.get('run', 'the run')} certified: {len(found):,} lines differ. Objects written since "
            "change their own days; any other day needs looking into"
        )
        return ExitCode.NOT_RIGHT
    session.say(f"Both paths hold what the certificate says: data SHA-256 {stated.data_sha256}")
    return ExitCode.DONE


async def _counted(job: Job) -> DayCounts:
    """Count both sides as listed, without second looks: a certificate is about what is there."""
    counts = DayCounts()
    async with open_api(job) as api, aclosing(diff(api, job.migration, job.ranges)) as parts:
        async for pairs in parts:
            job.stop.check()
            counts.add(judged(pairs, job.migration))
    return counts


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
