"""The first half of the story: the history is moved while it is written, and proven to have arrived."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from demo.function import FunctionProcess, running_function
from demo.loading import load
from demo.stage import MIGRATION, Stage
from demo.writer import LiveWriter, live_writer
from local_gcs.demo_data import generate

__all__ = ["Mirrors", "both_mirrors", "fill", "move", "prove", "sum_up_move"]

VERDICTS = ("equal", "missing", "content_differs", "metadata_differs", "extra", "in_flight")


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Both directions of the function, each a process of its own.

    Attributes:
        forward: From the legacy path to the new one.
        reverse: From the new path to the legacy one, after the cutover.
        since: When they began.
    """

    forward: FunctionProcess
    reverse: FunctionProcess
    since: datetime


def fill(stage: Stage, objects: int) -> None:
    """Years of exports at the legacy path."""
    url = stage.server.url
    stage.say(
        "1. A local Cloud Storage, and years of exports in it", f"{url}, in memory; gone when this ends"
    )
    loaded = load(url, MIGRATION.source, generate(objects, until=datetime.now(UTC).date()))
    stage.print(f"{loaded:,} objects under {MIGRATION.source.uri}")


@contextmanager
def both_mirrors(stage: Stage) -> Iterator[Mirrors]:
    """Run them for the length of a block, on the events of their buckets."""
    stage.say(
        "2. The mirrors",
        "Every object written from now on arrives at the new path, too. They run until the end; the one back waits for the cutover.",
    )
    since = datetime.now(UTC)
    with ExitStack() as running:
        functions = []
        for name, bucket, environ in (
            ("mirror", MIGRATION.source.bucket, {}),
            ("reverse-mirror", MIGRATION.destination.bucket, {"MIRROR_REVERSE": "true"}),
        ):
            log = stage.report / f"{name}.log"
            log.unlink(missing_ok=True)
            function = running.enter_context(running_function(stage.server.url, MIGRATION, log, environ))
            stage.server.add_subscriber(function.url, types=["finalized"], bucket=bucket)
            functions.append(function)
        forward, reverse = functions
        yield Mirrors(forward, reverse, since)


def move(stage: Stage, mirrors: Mirrors, rate: float) -> None:
    """Dry run, execution and sweep; a writer writes on meanwhile."""
    with live_writer(stage.server.url, MIGRATION.source, rate=rate) as writer:
        stage.print(f"The writer goes on: {rate:.0f} submissions a second, some by users who answer again.")
        stage.say("3. The dry run", "What is there, and what would be copied. Changes nothing.")
        stage.migrate("--report", str(stage.report / "dry-run"))
        stage.say(
            "4. The execution",
            "Copies the history server-side while the writer writes, then compares name by name.",
        )
        stage.migrate("--execute", "--yes", "--report", str(stage.report / "execute"))
    stage.server.wait_for_events()
    _show_mirror(stage, mirrors.forward, writer)
    stage.say(
        "5. The sweeper", "The same command, on a schedule: heals whatever a mirror may miss. Here, nothing."
    )
    stage.migrate("--execute", "--yes", "--report", str(stage.report / "sweep"))


def prove(stage: Stage, mirrors: Mirrors) -> None:
    """Verification with contents, certificate, import test."""
    folder = str(stage.report / "verify")
    stage.say(
        "6. The proof",
        "Both paths compared name by name, one JSONL object in ten read back, a certificate, and a report to look at.",
    )
    since = mirrors.since.isoformat(timespec="milliseconds")
    stage.run("verify", "--contents", "sample:10", "--mirror-since", since, "--report", folder)
    stage.print("\nSomebody else recomputes the certificate:")
    stage.run("certify", "--check", str(stage.report / "verify" / "certificate.json"), env=False)
    stage.say("7. The import", "What the DAG does with the last seven days, on both paths.")
    stage.run("import-test", "--last", "7", "--report", str(stage.report / "import-test"))


def sum_up_move(stage: Stage) -> Iterator[str]:
    """What the first half came to, line by line, from the reports it left."""
    backfill, sweep = (
        json.loads((stage.report / name / "run.json").read_text()) for name in ("execute", "sweep")
    )
    books, found = backfill["ledger"], sweep["verification"]
    yield f"from         {backfill['source']}"
    yield f"to           {backfill['destination']}"
    yield f"backfill     {books['copied']:,} of {books['listed']:,} objects copied in {backfill['elapsed_s']:.0f} s"
    yield f"mirror       {books['already_equal']:,} of them were there already, by the mirror; {books['excluded']} excluded"
    yield f"sweep        {sweep['ledger']['copied']:,} objects copied"
    yield f"verified     {', '.join(f'{found[verdict]:,} {verdict}' for verdict in VERDICTS)}"


def _show_mirror(stage: Stage, function: FunctionProcess, writer: LiveWriter) -> None:
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
