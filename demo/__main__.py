"""The whole migration on one machine, without any cloud account: ``make demo``.

Starts a local Cloud Storage, fills it with made-up exports, and runs the operator's own commands against it, each printed
before it runs. Ends with what was left behind, and where to look.
"""

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console

import local_gcs
from demo.loading import load
from local_gcs.demo_data import generate
from shared.migration import Environment, qpi_exports

__all__ = ["main"]

MIGRATION = qpi_exports(Environment.DEV)
VERDICTS = ("equal", "missing", "content_differs", "metadata_differs", "extra", "in_flight")


@dataclass(frozen=True, slots=True)
class _Stage:
    """Where the story is told."""

    console: Console
    server: local_gcs.LocalServer
    report: Path

    def say(self, heading: str, text: str) -> None:
        self.console.rule(f"[bold]{heading}", align="left")
        self.console.print(text, markup=False)

    def run(self, *arguments: str) -> None:
        """Print an operator's command and run it as a process of its own.

        Raises:
            SystemExit: It did not end with 0; with its exit code.
        """
        command = ["migrate_qpi_exports", "--env", MIGRATION.label, *arguments]
        self.console.print(f"\n$ {shlex.join(command)}\n", style="bold", markup=False, highlight=False)
        sys.stdout.flush()
        program = [
            sys.executable,
            "-m",
            "backfill_job",
            "migrate",
            *command[1:],
            "--log-dir",
            str(self.report),
        ]
        environ = {**os.environ, "STORAGE_EMULATOR_HOST": self.server.url}
        code = subprocess.run(program, env=environ, check=False).returncode
        if code:
            self.console.print(f"\nThe command ended with exit code {code}; the demo stops here.")
            raise SystemExit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Tell the story; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m demo", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--objects", type=int, default=20_000, metavar="N", help="objects to migrate (default 20,000)"
    )
    parser.add_argument(
        "--report", type=Path, default=Path("demo-report"), metavar="DIR", help="default: demo-report"
    )
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    terminal = sys.stdout.isatty()
    console = Console(width=None if terminal else 100, highlight=False)
    with local_gcs.running(buckets=[MIGRATION.source.bucket, MIGRATION.destination.bucket]) as server:
        stage = _Stage(console, server, arguments.report)
        _tell(stage, arguments.objects)
    console.print(f"\nThe whole took {time.monotonic() - began:.0f} seconds.")
    return 0


def _tell(stage: _Stage, objects: int) -> None:
    stage.say(
        "1. A local Cloud Storage, and years of exports in it",
        f"{stage.server.url}, in memory; gone when this ends",
    )
    today = datetime.now(UTC).date()
    loaded = load(stage.server.url, MIGRATION.source, generate(objects, until=today))
    stage.console.print(f"{loaded:,} objects under {MIGRATION.source.uri}", markup=False)

    stage.say("2. The dry run", "What is there, and what would be copied. Changes nothing.")
    stage.run("--report", str(stage.report / "dry-run"))

    stage.say(
        "3. The execution", "Copies server-side, then lists both sides again and compares them name by name."
    )
    stage.server.reset_stats()
    stage.run("--execute", "--yes", "--report", str(stage.report / "execute"))
    requests = stage.server.stats()["methods"]

    stage.say(
        "4. The same once more",
        "Everything is there already, so nothing is copied. A killed run is resumed like this.",
    )
    stage.server.reset_stats()
    stage.run("--execute", "--yes", "--report", str(stage.report / "again"))
    again = stage.server.count("storage.objects.rewrite")

    stage.say("5. What happened", "")
    run = json.loads((stage.report / "execute" / "run.json").read_text())
    books, found = run["ledger"], run["verification"]
    for line in (
        f"from         {run['source']}",
        f"to           {run['destination']}",
        f"listed       {books['listed']:,} objects",
        f"copied       {books['copied']:,} objects, {books['bytes']:,} bytes, in {run['elapsed_s']:.0f} s",
        f"left behind  {books['excluded']:,} (.DS_Store)",
        f"books        {'balance' if books['holds'] else 'DO NOT BALANCE'}",
        f"verified     {', '.join(f'{found[verdict]:,} {verdict}' for verdict in VERDICTS)}",
        "requests     " + ", ".join(f"{requests[name]['count']:,} {name}" for name in sorted(requests)),
        f"second run   {again} copies",
        f"reports      {stage.report}/ (plan.json, run.json, objects.jsonl, logs)",
    ):
        stage.console.print(line, markup=False)


if __name__ == "__main__":
    sys.exit(main())
