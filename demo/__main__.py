"""The whole migration on one machine, without any cloud account: ``make demo``.

Starts a local Cloud Storage, fills it with made-up exports, and runs the operator's own commands against it, each printed
before it runs: from the first dry run over the cutover to the deletion, and the undo of one day. Ends with what was left
behind, and where to look.
"""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

import local_gcs
from demo.leaving import change_code, cut_over, delete, sum_up_leaving, undo
from demo.moving import both_mirrors, fill, move, prove, sum_up_move
from demo.stage import MIGRATION, Stage
from monitoring.preview.__main__ import draw
from shared.command_line import OneLineParser, as_program

__all__ = ["main"]

FEWEST = 1_000
"""Objects: fewer, over sixty days, are no history to speak of."""

HIGHEST_RATE = 1_000
"""Uploads a second: more than one machine writes, mirrors and tells of."""


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the story; returns the exit code."""
    parser = OneLineParser(prog="python -m demo", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--objects", type=int, default=20_000, metavar="N", help="objects to migrate (default 20,000)"
    )
    parser.add_argument(
        "--rate", type=float, default=50.0, metavar="N", help="the live writer's uploads a second"
    )
    parser.add_argument(
        "--report", type=Path, default=Path("demo-report"), metavar="DIR", help="default: demo-report"
    )
    arguments = parser.parse_args(argv)
    if arguments.objects < FEWEST:
        parser.error(f"argument --objects: {arguments.objects} are too few; at least {FEWEST:,} are wanted")
    if not 0 < arguments.rate <= HIGHEST_RATE:
        parser.error(f"argument --rate: {arguments.rate:g} is not above 0 and at most {HIGHEST_RATE:,}")
    try:
        arguments.report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"argument --report: {arguments.report} cannot be made ({error.strerror})")
    began = time.monotonic()
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    with local_gcs.running(buckets=[MIGRATION.source.bucket, MIGRATION.destination.bucket]) as server:
        _tell(Stage(console, server, arguments.report), arguments.objects, arguments.rate)
    console.print(f"\nThe whole took {time.monotonic() - began:.0f} seconds.")
    return 0


def _tell(stage: Stage, objects: int, rate: float) -> None:
    began = time.time()
    fill(stage, objects)
    with both_mirrors(stage) as mirrors:
        move(stage, mirrors, rate)
        prove(stage, mirrors)
        checkout = change_code(stage)
        cut_over(stage, mirrors, checkout, rate)
        manifest = delete(stage, checkout)
        undo(stage, manifest)
    # Logs of an earlier demo may lie in the same folder.
    logs = [path for path in sorted(stage.report.glob("*.log")) if path.stat().st_mtime >= began]
    (stage.report / "dashboard.html").write_text(draw(logs), encoding="utf-8")
    stage.say("13. What happened", "")
    for line in (
        *sum_up_move(stage),
        *sum_up_leaving(manifest),
        f"reports      {stage.report}/ (a folder for each step, the mirrors' logs, the commands' logs)",
        f"look at      {stage.report}/verify/report.html",
        f"             {stage.report}/dashboard.html, the operator's dashboard over this run",
    ):
        stage.print(line)


if __name__ == "__main__":
    sys.exit(as_program(main))
