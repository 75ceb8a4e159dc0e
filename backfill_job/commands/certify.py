"""The command ``certify``: recompute a certificate from both paths as they are now, and compare. Changes nothing.

A digest in the file finds accidents. That the certificate is true, only this recomputation from the buckets shows.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import aclosing
from datetime import timedelta
from pathlib import Path

import uvloop

from backfill_job.copying.by_bytes import AT_ONCE, ByBytes
from backfill_job.copying.diff import diff
from backfill_job.copying.progress import counting
from backfill_job.run.arguments import add_log_arguments
from backfill_job.run.command import Command, ExitCode, ProcessIO, add_billing_argument
from backfill_job.run.ending import command_line, next_line
from backfill_job.run.open_run import opened
from backfill_job.run.run import Run, open_api, tune_gc
from backfill_job.verify.certificate import Certificate, data_of, read_certificate
from backfill_job.verify.day_counts import DayCounts
from shared.errors import UsageError
from shared.objects import Difference
from shared.text import counted, listed, shown, without_names
from shared.verification import said_of_counts

__all__ = ["COMMAND"]

NAME = "certify"

MAX_SHOWN = 50

MAX_DAYS = 5

UNPROVEN = {(Difference.CRC32C_ALONE,), (Difference.BYTES,)}
"""How the lines differ whose checksums are equal."""

EXAMPLES = """
examples:
  python -m backfill_job certify --check certificate.json

exit codes:
  0  both paths hold what the certificate says, and it says that they are equal
  1  they do not, this is not known, or they are not equal; the last line says which
  2  could not start: the file is not a certificate, contradicts itself or was edited; bucket, permission
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument(
        "--check",
        type=_file,
        required=True,
        metavar="FILE",
        help="the certificate; it names the two prefixes",
    )
    add_billing_argument(parser)
    add_log_arguments(parser)
    parser.set_defaults(tasks=1, since=None, grace=timedelta(), allow_empty=True, report=None)


def _file(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name of the certificate's file is empty")
    return Path(text)


def _run(arguments: argparse.Namespace, io: ProcessIO) -> int:
    try:
        contents = arguments.check.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {arguments.check}: {error.strerror}") from error
    stated = read_certificate(contents, str(arguments.check))
    with opened(
        NAME, arguments, io, migration=stated.data.migration, mode="check", changes_objects=False
    ) as run:
        code = _check(run, stated)
        following = "status" if code is ExitCode.DONE else "verify"
        run.say(next_line(command_line(run.migration, following)))
        return code


def _check(run: Run, stated: Certificate) -> ExitCode:
    tune_gc()
    total = stated.data.total.source.objects
    with counting(run.console, "comparing", total=total) as add:
        counts, differing = uvloop.run(_counted(run, add))
    found = stated.changes(data_of(run.migration, counts))
    run.say(*(f"  {line}" for line in found[:MAX_SHOWN]))
    if len(found) > MAX_SHOWN:
        run.say(f"  ... and {len(found) - MAX_SHOWN:,} more")
    if found:
        run.say(
            f"NOT what {shown(stated.run.run)} certified: {counted(len(found), 'line')} not the same. Objects written since "
            "change their own days; check every other day"
        )
        return ExitCode.NOT_RIGHT
    if differing:
        run.say(
            f"NOT proven: the checksums of {counted(differing, 'name')} are equal, there is no md5, and the bytes differ or have "
            "changed meanwhile. `verify` names them"
        )
        return ExitCode.NOT_RIGHT
    if not counts.days:
        run.say("The certificate is about nothing, and neither path holds an object: this proves nothing")
        return ExitCode.NOT_RIGHT
    run.say(*(f"  {line}" for line in _said(stated)))
    held = f"Both paths hold what the certificate says: data SHA-256 {stated.data_sha256}"
    days = stated.unequal_days
    if days:
        run.say(f"NOT EQUAL, on {counted(len(days), 'day')}: {listed(days, MAX_DAYS)}. {held}")
        return ExitCode.NOT_RIGHT
    if not stated.run.clean:
        run.say(f"NOT clean, although sizes and crc32c are equal: {_unclean(stated)}. {held}")
        return ExitCode.NOT_RIGHT
    run.say(held)
    return ExitCode.DONE


def _said(stated: Certificate) -> Iterator[str]:
    """What the certificate leaves out, and what its days say about the two sides."""
    data = stated.data
    sides = f"{shown(data.source)} and {shown(data.destination)}"
    yield ", ".join(filter(None, [sides, without_names(data.excludes)]))
    yield f"not compared: {', '.join(map(shown, stated.not_compared))}"
    if not stated.unequal_days:
        yield "both sides are equal: names, sizes and crc32c of every object that is not left out"


def _unclean(stated: Certificate) -> str:
    """Why a verification was not clean whose days are equal, as far as its certificate says."""
    wrong = {verdict: count for verdict, count in stated.run.counts.items() if not verdict.settled}
    return said_of_counts(wrong) or "its report has a critical remark, or problems of contents"


async def _counted(run: Run, add: Callable[[int], None]) -> tuple[DayCounts, int]:
    """Count both sides as listed, without second looks, because a certificate is about the present objects.

    Also gives the number of names whose checksums are equal and prove nothing, and whose bytes do not prove it either.
    """
    counts, differing = DayCounts(), 0
    by_bytes = ByBytes(run, None, record=False)
    async with open_api(run, AT_ONCE) as api, aclosing(diff(api, run.migration, run.ranges)) as parts:
        async for lines in parts:
            run.stop.check()
            found = await by_bytes.settled(api, [*lines])
            counts.add(found)
            differing += sum(line.differing in UNPROVEN for line in found)
            add(len(found))
    return counts, differing


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
