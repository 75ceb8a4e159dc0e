"""The whole migration on one machine, without any cloud account: ``make demo``.

Starts a local Cloud Storage, fills it with made-up exports, and runs the operator's own commands against it, each printed
before it runs. The end says what is left behind, and where to look.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from aiohttp import ClientError
from rich.console import Console

import local_gcs
from demo.stage import MIGRATION, Stage, Stopped
from demo.story import tell
from monitoring.preview.__main__ import draw
from shared.command_line import OneLineParser, as_program, one_line
from shared.text import duration

__all__ = ["main"]

FEWEST = 1_000
"""Objects: fewer, over sixty days, are not a history."""

HIGHEST_RATE = 1_000
"""Uploads a second: more than one machine writes, mirrors and delivers events for."""

QUIET_SECONDS = 90
"""Roughly what the demo takes on two quiet cores, whatever the number of objects."""
OBJECTS_A_SECOND = 300
"""Roughly how fast two quiet cores bring an object through all chapters."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo; returns the exit code."""
    parser = OneLineParser(prog="python -m demo", description=__doc__.splitlines()[0] if __doc__ else "")
    objects, report = "objects to migrate (default 3,000)", "default: demo-report"
    rate = "the live writer's uploads a second (default 20); fewer while the mirror lags"
    parser.add_argument("--objects", type=int, default=3_000, metavar="N", help=objects)
    parser.add_argument("--rate", type=float, default=20.0, metavar="N", help=rate)
    parser.add_argument("--report", type=Path, default=Path("demo-report"), metavar="DIR", help=report)
    arguments = parser.parse_args(argv)
    if arguments.objects < FEWEST:
        parser.error(f"argument --objects: {arguments.objects} are too few; at least {FEWEST:,} are wanted")
    if not 0 < arguments.rate <= HIGHEST_RATE:
        parser.error(f"argument --rate: {arguments.rate:g} is not above 0 and at most {HIGHEST_RATE:,}")
    try:
        arguments.report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --report: {arguments.report} cannot be made ({error.strerror})")
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    try:
        _run(console, arguments.report, arguments.objects, arguments.rate)
    except BrokenPipeError:
        raise  # `as_program` ends quietly where the reader has gone
    except (Stopped, OSError, RuntimeError, ClientError) as error:
        # What a process, the machine or the local server can do to the demo; each says what it was.
        sys.stdout.flush()
        sys.stderr.write(
            f"\nThe demo stops here: {one_line(str(error) or type(error).__name__)}\n"
            f"The commands' logs are in {arguments.report}/. Nothing else on this machine was changed.\n"
        )
        return 1
    return 0


def _run(console: Console, report: Path, objects: int, rate: float) -> None:
    minutes = max(1, round((QUIET_SECONDS + objects / OBJECTS_A_SECOND) / 60))
    console.print(
        f"This takes about {minutes} {'minute' if minutes == 1 else 'minutes'} on two quiet cores, and longer on a busy machine. Each command is shown before it runs."
    )
    began, started = time.monotonic(), time.time()
    with local_gcs.running(buckets=[MIGRATION.source.bucket, MIGRATION.destination.bucket]) as server:
        stage = Stage(console, server, report)
        summary = [*tell(stage, objects, rate)]
    # Logs of an earlier demo may lie in the same folder.
    logs = [path for path in sorted(report.glob("*.log")) if path.stat().st_mtime >= started]
    (report / "dashboard.html").write_text(draw(logs), encoding="utf-8")
    stage.say("14. What happened")
    for line in (
        *summary,
        f"reports      {report}/ (a folder for each step, the mirrors' logs, the commands' logs)",
        f"look at      {report}/verify/report.html",
        f"             {report}/dashboard.html, the operator's dashboard over this run",
    ):
        stage.print(line)
    console.print(f"\nThe demo took {duration(time.monotonic() - began)}.")


if __name__ == "__main__":
    sys.exit(as_program(main))
