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
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from rich.console import Console

import local_gcs
from demo.function import FunctionProcess, running_function
from demo.loading import load
from demo.writer import LiveWriter, live_writer
from local_gcs.demo_data import generate
from shared.migration import Environment, qpi_exports

__all__ = ["main"]

MIGRATION = qpi_exports(Environment.DEV)
LOGGING = {"migrate", "verify", "certify"}
"""Commands that leave a log file."""
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

    def print(self, line: str) -> None:
        self.console.print(line, markup=False)

    def migrate(self, *arguments: str) -> None:
        """Run ``migrate_qpi_exports`` as an operator would; see `run`."""
        self.run("migrate", "--env", MIGRATION.label, *arguments, shown="migrate_qpi_exports")

    def run(self, command: str, *arguments: str, shown: str = "") -> None:
        """Print an operator's command and run it as a process of its own.

        Raises:
            SystemExit: It did not end with 0; with its exit code.
        """
        words = [*([shown] if shown else ["python", "-m", "backfill_job", command]), *arguments]
        self.console.print(f"\n$ {shlex.join(words)}\n", style="bold", markup=False, highlight=False)
        sys.stdout.flush()
        program = [sys.executable, "-m", "backfill_job", command, *arguments]
        if command in LOGGING:
            program += ["--log-dir", str(self.report)]
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
        "--rate", type=float, default=50.0, metavar="N", help="the live writer's uploads a second"
    )
    parser.add_argument(
        "--report", type=Path, default=Path("demo-report"), metavar="DIR", help="default: demo-report"
    )
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    console = Console(width=None if sys.stdout.isatty() else 100, highlight=False)
    arguments.report.mkdir(parents=True, exist_ok=True)
    with local_gcs.running(buckets=[MIGRATION.source.bucket, MIGRATION.destination.bucket]) as server:
        _tell(_Stage(console, server, arguments.report), arguments.objects, arguments.rate)
    console.print(f"\nThe whole took {time.monotonic() - began:.0f} seconds.")
    return 0


def _tell(stage: _Stage, objects: int, rate: float) -> None:
    url = stage.server.url
    stage.say(
        "1. A local Cloud Storage, and years of exports in it", f"{url}, in memory; gone when this ends"
    )
    loaded = load(url, MIGRATION.source, generate(objects, until=datetime.now(UTC).date()))
    stage.print(f"{loaded:,} objects under {MIGRATION.source.uri}")

    log = stage.report / "mirror.log"
    log.unlink(missing_ok=True)
    stage.say(
        "2. The mirror",
        "Every object written from now on arrives at the new path, too. It runs until the deletion.",
    )
    mirroring = datetime.now(UTC)
    with running_function(url, MIGRATION, log) as function:
        stage.server.add_subscriber(function.url, types=["finalized"], bucket=MIGRATION.source.bucket)
        with live_writer(url, MIGRATION.source, rate=rate) as writer:
            stage.print(
                f"The writer goes on: {rate:.0f} submissions a second, some by users who answer again."
            )
            _migrate(stage)
        stage.server.wait_for_events()
        _show_mirror(stage, function, writer)

    stage.say(
        "5. The sweeper", "The same command, on a schedule: heals whatever a mirror may miss. Here, nothing."
    )
    stage.migrate("--execute", "--yes", "--report", str(stage.report / "sweep"))
    _prove(stage, mirroring)
    _sum_up(stage)


def _prove(stage: _Stage, mirroring: datetime) -> None:
    env, folder = ("--env", MIGRATION.label), str(stage.report / "verify")
    stage.say(
        "6. The proof",
        "Both paths compared name by name, one JSONL object in ten read back, a certificate, and a report to look at.",
    )
    since = mirroring.isoformat(timespec="seconds")
    stage.run("verify", *env, "--contents", "sample:10", "--mirror-since", since, "--report", folder)
    stage.print("\nSomebody else recomputes the certificate:")
    stage.run("certify", "--check", str(stage.report / "verify" / "certificate.json"))
    stage.say("7. The import", "What the DAG does with yesterday, on both paths.")
    stage.run("import-test", *env, "--last", "1", "--report", str(stage.report / "import-test"))


def _migrate(stage: _Stage) -> None:
    stage.say("3. The dry run", "What is there, and what would be copied. Changes nothing.")
    stage.migrate("--report", str(stage.report / "dry-run"))
    stage.say(
        "4. The execution",
        "Copies the history server-side while the writer writes, then compares name by name.",
    )
    stage.migrate("--execute", "--yes", "--report", str(stage.report / "execute"))


def _show_mirror(stage: _Stage, function: FunctionProcess, writer: LiveWriter) -> None:
    lines = [line for line in function.lines() if line.get("event", "").startswith("mirror")]
    outcomes = Counter(line["outcome"] for line in lines if "outcome" in line)
    lags = sorted(line["lag_s"] for line in lines if line.get("lag_s") is not None)
    stage.print("")
    stage.print(
        f"The writer uploaded {writer.uploads:,} submissions meanwhile: {len(writer.acknowledged):,} objects."
    )
    stage.print(
        "The mirror handled " + ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common())
    )
    if lags:
        stage.print(f"Lag from upload to copy: median {median(lags):.3f} s, longest {lags[-1]:.3f} s")


def _sum_up(stage: _Stage) -> None:
    backfill, sweep = (
        json.loads((stage.report / name / "run.json").read_text()) for name in ("execute", "sweep")
    )
    books, found = backfill["ledger"], sweep["verification"]
    stage.say("8. What happened", "")
    for line in (
        f"from         {backfill['source']}",
        f"to           {backfill['destination']}",
        f"backfill     {books['copied']:,} of {books['listed']:,} objects copied in {backfill['elapsed_s']:.0f} s",
        f"mirror       {books['already_equal']:,} of them were there already, by the mirror; {books['excluded']} excluded",
        f"sweep        {sweep['ledger']['copied']:,} objects copied",
        f"verified     {', '.join(f'{found[verdict]:,} {verdict}' for verdict in VERDICTS)}",
        f"reports      {stage.report}/ (dry-run, execute, sweep, import-test, mirror.log, logs)",
        f"look at      {stage.report}/verify/report.html",
    ):
        stage.print(line)


if __name__ == "__main__":
    sys.exit(main())
