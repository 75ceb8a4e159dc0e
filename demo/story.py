"""The chapters of the demo, in the order of the runbook: from a full legacy path to an empty one, and one day back.

Nothing here depends on the machine's speed. The writer slows down while the mirror lags. On a busy machine a command may end
with 1, because an object is still on its way or the mirror was slow. Then the demo explains it and follows the advice.

A module of its own because `demo.__main__` holds the command line.
"""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from demo.data import PROJECT, Audit, a_fortnight, generate, written
from demo.function import FunctionProcess, running_function
from demo.stage import MIGRATION, TABLE, Stage, night
from demo.writer import LiveWriter, live_writer, upload_all
from local_gcs.waiting import wait_until
from shared.migration import Location
from shared.state import Signatory
from shared.text import counted

__all__ = ["tell"]

VERDICTS = ("equal", "missing", "content_differs", "metadata_differs", "extra", "in_flight")
MIRROR_CHECKS = {"mirror lag", "mirror alive", "canary"}
"""Checks of the gate that a slow machine can fail. Every other failed check is a fault."""
OPERATOR = "Ada Lovelace"
EXPORTER, DAGS = (
    "serviceAccount:exporter@app.iam.gserviceaccount.com",
    "serviceAccount:dags@app.iam.gserviceaccount.com",
)
WEEK = 7
"""Days that the gate wants in the consumer's table."""
FEW = 20
"""Uploads, and users who answer again, that are enough to show something."""
CONFIG = '''\
"""Where the exports are."""

QPI_BUCKET = "data-bucket-dev"
'''
DAG = '''\
"""Loads yesterday's exports."""

from config import QPI_BUCKET

SOURCE = f"gs://{QPI_BUCKET}/QPI_exports/qpi_answers_{{{{ ds_nodash }}}}/*.jsonl"
'''
"""A consumer as people write it: the bucket in one file, the prefix in another."""


@dataclass(frozen=True, slots=True)
class Mirrors:
    """Both directions of the function, each a process of its own, and when they began."""

    forward: FunctionProcess
    reverse: FunctionProcess
    since: datetime


def tell(stage: Stage, objects: int, rate: float) -> Iterator[str]:
    """Run all chapters, with the live writer's uploads a second while the mirror keeps up; gives what happened by line."""
    url = stage.server.url
    stage.say(
        "1. A local Cloud Storage, and years of exports in it", f"{url}, in memory; gone when this ends"
    )
    loaded = upload_all(url, MIGRATION.source, generate(objects, until=datetime.now(UTC).date()))
    stage.print(f"{counted(loaded, 'object')} under {MIGRATION.source.uri}")
    with _both_mirrors(stage) as mirrors:
        _move(stage, mirrors, rate)
        _prove(stage, mirrors)
        checkout = _change_code(stage)
        _play_outage(stage)
        _cut_over(stage, mirrors, checkout, rate)
        manifest = _delete(stage, checkout)
        _undo(stage, manifest)
    return _summary(stage, manifest)


@contextmanager
def _both_mirrors(stage: Stage) -> Iterator[Mirrors]:
    """Run both for the length of a block, on the events of their buckets."""
    stage.say(
        "2. The mirrors",
        "From now on, every object that is written to the legacy path also arrives at the new path. A second mirror works in the other direction; it copies nothing until the cutover.",
    )
    stage.run("begin", "--by", "demo")
    since = datetime.now(UTC)
    with ExitStack() as running:

        def begin(name: str, bucket: str, environ: Mapping[str, str]) -> FunctionProcess:
            log = stage.report / f"{name}.log"
            log.unlink(missing_ok=True)
            function = running.enter_context(running_function(stage.server.url, MIGRATION, log, environ))
            stage.server.add_subscriber(function.url, types=["finalized"], bucket=bucket, form="mixed")
            return function

        forward = begin("mirror", MIGRATION.source.bucket, {})
        reverse = begin("reverse-mirror", MIGRATION.destination.bucket, {"MIRROR_REVERSE": "true"})
        yield Mirrors(forward, reverse, since)


@contextmanager
def _writer(stage: Stage, rate: float, **how: Any) -> Iterator[LiveWriter]:
    """A writer that slows down while the mirror lags."""
    pending: Callable[[], int] = lambda: stage.server.events()["pending"]  # noqa: E731 -- one expression
    with live_writer(stage.server.url, MIGRATION.source, rate=rate, pending=pending, **how) as writer:
        yield writer


def _rest(stage: Stage, writer: LiveWriter) -> None:
    """The writer pauses, and everything it wrote arrives."""
    writer.rest()
    stage.server.wait_for_events()


def _move(stage: Stage, mirrors: Mirrors, rate: float) -> None:
    """Dry run, execution and sweep, while a writer writes."""
    with _writer(stage, rate, regulars=FEW) as writer:
        stage.print(
            f"A writer uploads {counted(rate, 'submission')} a second, fewer while the mirror lags. Some users answer again."
        )
        stage.say("3. The dry run", "What is there, and what would be copied. It changes nothing.")
        stage.migrate("--report", str(stage.report / "dry-run"))
        stage.say(
            "4. The execution",
            "Copies the history server-side while the writer writes, then compares name by name.",
        )
        _execute(stage, "execute", lambda: _rest(stage, writer))
        _rest(stage, writer)
    _show_mirror(stage, mirrors.forward, writer)
    stage.say(
        "5. The sweeper",
        "The same command on a schedule copies what a mirror has missed. Here it finds nothing to copy.",
    )
    _execute(stage, "sweep", stage.server.wait_for_events)


def _execute(stage: Stage, name: str, rest: Callable[[], object]) -> None:
    """Copy and verify, and again where objects were still on their way."""
    folder = stage.report / name

    def again() -> bool:
        found = _read(folder / "run.json")["verification"]
        if found is None:
            return False
        late = sum(found[verdict] for verdict in VERDICTS) - found["equal"] - found["extra"]
        stage.print(
            f"\n{late:,} of the writer's newest objects {'was' if late == 1 else 'were'} still on the way. This is normal under a live writer, and nothing is lost. The writer pauses, and we run the same command again, as you would."
        )
        rest()
        return True

    stage.migrate("--execute", "--yes", "--report", str(folder), again=again)


def _show_mirror(stage: Stage, function: FunctionProcess, writer: LiveWriter) -> None:
    lines = [line for line in function.lines() if line.get("event", "").startswith("mirror")]
    outcomes = Counter(line["outcome"] for line in lines if "outcome" in line)
    lags = sorted(line["lag_s"] for line in lines if line.get("lag_s") is not None)
    written = f"{counted(writer.uploads, 'submission')}: {counted(len(writer.acknowledged), 'object')}."
    handled = ", ".join(f"{count:,} {outcome}" for outcome, count in outcomes.most_common())
    stage.print(f"\nMeanwhile the writer uploaded {written}\nThe mirror handled {handled}")
    if lags:
        stage.print(f"Lag from upload to copy: median {median(lags):.3f} s, longest {lags[-1]:.3f} s")


def _prove(stage: Stage, mirrors: Mirrors) -> None:
    """Verification with contents, certificate, import test."""
    stage.say(
        "6. The proof",
        "Compares both paths name by name, reads one JSONL object in ten, writes a certificate and a report.",
    )
    _verify(stage, "verify", mirrors.since)
    stage.print("\nA second person recomputes the certificate:")
    stage.run("certify", "--check", str(stage.report / "verify" / "certificate.json"), env=False)
    stage.say("7. The import", "What the DAG does with the last seven days, on both paths.")
    stage.run("import-test", "--last", "7", "--report", str(stage.report / "import-test"))


def _verify(stage: Stage, name: str, since: datetime) -> None:
    words = ("--contents", "sample:10", "--mirror-since", since.isoformat(timespec="milliseconds"))
    stage.run("verify", *words, "--report", str(stage.report / name))


def _change_code(stage: Stage) -> Path:
    """Find and change what reads the legacy path; returns the consumers' checkout."""
    checkout, patch = stage.report / "dags", (stage.report / "references.patch").resolve()
    shutil.rmtree(checkout, ignore_errors=True)
    checkout.mkdir()
    (checkout / "config.py").write_text(CONFIG)
    (checkout / "import_qpi.py").write_text(DAG)
    stage.say(
        "8. The consumers' code",
        f"Which code still reads the legacy path? A small checkout is in {checkout}. Its DAG has the bucket in one file and the prefix in another.",
    )
    stage.print(f"\nIn {checkout}:")
    stage.run("references", ".", "--patch", str(patch), env=False, expected=1, folder=checkout)
    stage.print(
        f"\n{patch} holds the exact change, for `git apply`. The consumers' team merges it at the cutover; the demo does it now:"
    )
    stage.print(f"\n$ git apply {patch}\n")
    subprocess.run(["git", "apply", str(patch)], cwd=checkout, check=True)
    stage.run("references", str(checkout), env=False)
    log = written(stage.report / "audit-log.json", a_fortnight(Audit(MIGRATION), datetime.now(UTC)))
    stage.print(f"\nNo checkout shows who else reads. {log} is an invented audit log of the last two weeks:")
    stage.run("readers", "--log-file", str(log), "--audit-log", PROJECT, expected=1)
    return checkout


def _play_outage(stage: Stage) -> None:
    """The outage that this software was made against: new bucket, old prefix, green and empty runs; caught twice."""
    stage.say(
        "9. The outage, played",
        "Somebody switches the bucket and forgets the prefix. First catch: the scan of the code, before anything is merged.",
    )
    checkout, database = stage.report / "dags-half-switched", stage.report / "warehouse.duckdb"
    shutil.rmtree(checkout, ignore_errors=True)
    checkout.mkdir()
    database.unlink(missing_ok=True)
    half = Location(MIGRATION.destination.bucket, MIGRATION.source.prefix)
    (checkout / "config.py").write_text(CONFIG.replace(MIGRATION.source.bucket, half.bucket))
    (checkout / "import_qpi.py").write_text(DAG)
    stage.run("references", str(checkout), env=False, expected=1)
    stage.print(
        "\nNo one ran the scan, and it was merged. Until last week the nightly job read the legacy path; last night it read "
        f"{half.uri}. Its log:\n"
    )
    today = datetime.now(UTC).date()
    for ago in range(WEEK - 1, -1, -1):
        path = half if ago == 0 else MIGRATION.source
        stage.print(f"  {night(stage.server.url, path, today - timedelta(days=ago), database)}")
    stage.print("\nSecond catch, the next morning: `loaded` looks into the consumer's own table.")
    first, last = (f"{today - timedelta(days=ago):%Y%m%d}" for ago in (WEEK, 1))
    words = ("--database", str(database), "--table", TABLE, "--from", first, "--to", last)
    stage.run("loaded", *words, expected=1)
    stage.print("\nThe job's code is corrected, and last night's run repeated:\n")
    stage.print(f"  {night(stage.server.url, MIGRATION.source, today, database)}")
    stage.run("loaded", *words)


def _cut_over(stage: Stage, mirrors: Mirrors, checkout: Path, rate: float) -> None:
    """Sign-offs, gate and cutover; the writer switches late."""
    letters = stage.report / "dead-letters.json"
    letters.write_text(stage.server.undelivered())
    # The buckets' owners grant it; without that the gate says NO-GO.
    stage.server.grant(
        MIGRATION.destination.bucket,
        {"roles/storage.objectUser": EXPORTER, "roles/storage.objectViewer": DAGS},
    )
    stage.server.grant(MIGRATION.source.bucket, {"roles/storage.objectViewer": DAGS})
    accounts = ("--writer", EXPORTER, "--reader", DAGS)
    ready = ("--repo", str(checkout), "--canary", "--dead-letters", str(letters), *accounts)
    with _writer(stage, rate, overwrites=0.05, days=1, seed=2) as writer:

        def ask(command: str, *arguments: str) -> None:
            folder = stage.report / command
            words = (command, *arguments, *ready, "--report", str(folder))
            stage.run(*words, again=lambda: _measure_again(stage, writer, folder, rate))

        stage.say("10. Sign-offs and the gate", "Four teams agree; then every check, with its evidence.")
        for team in Signatory:
            stage.run("signoff", team.value, "--by", OPERATOR)
        ask("gate")
        stage.say(
            "11. The cutover",
            "Asks the gate again, changes the phase, and waits until every mirror has seen it. The writer still writes to the legacy path.",
        )
        ask("cutover", "--by", OPERATOR, "--yes")
        writer.switch(MIGRATION.destination)
        _let_write(writer, rate)
    stage.server.wait_for_events()
    back = [line for line in mirrors.reverse.lines() if line.get("outcome") == "copied"]
    stage.print(
        f"\nThe writer has switched to the new path; the reverse mirror copied {counted(len(back), 'object')} to the legacy path."
    )
    stage.print(
        "\nThe writer also wrote to the legacy path after the phase had changed. The same command copies what is left of that:"
    )
    stage.run("cutover", "--by", OPERATOR, "--yes")


def _measure_again(stage: Stage, writer: LiveWriter, folder: Path, rate: float) -> bool:
    """After a NO-GO that only says that the mirror was slow: measure it again, as the gate advises."""
    report = folder / "gate.json"
    checks = _read(report)["checks"] if report.exists() else []
    bad = {check["name"] for check in checks if check["standing"].lower() in {"fail", "not run", "not_run"}}
    if not bad or not bad <= MIRROR_CHECKS:
        return False
    stage.print(
        "\nThe mirror was slow while this machine was busy, so the gate says NO-GO: nothing was changed. We do what its screen says: let the mirror catch up, verify with a later --mirror-since, and ask again."
    )
    _rest(stage, writer)
    since = datetime.now(UTC)
    _let_write(writer, rate / 4)
    _rest(stage, writer)
    _verify(stage, "verify-again", since)
    writer.rate = rate
    return True


def _let_write(writer: LiveWriter, rate: float) -> None:
    """Until it has written a few more objects."""
    writer.rate = rate
    wanted = writer.uploads + FEW
    wait_until(lambda: writer.uploads, lambda uploads: uploads >= wanted, "the writer's uploads")


def _delete(stage: Stage, checkout: Path) -> Path:
    """A refusal, then a deletion; returns its manifest."""
    stage.say(
        "12. The deletion",
        "First a rehearsal of its undo, with one object. Then a dry run, which lists what refuses the deletion: seven days of watching are not over.",
    )
    stage.run("undo", "--rehearse")
    plan = stage.report / "deletion-plan"
    stage.delete("--repo", str(checkout), "--report", str(plan), expected=1)
    objects = _read(plan / "deletion-plan.json")["objects"]
    stage.print("\nAn operator can override such a check with a reason; the reason is recorded:")
    stage.delete(
        *("--repo", str(checkout), "--manifest-dir", str(stage.report)),
        *("--report", str(stage.report / "deletion")),
        *("--override", "soak", "--override", "late-writes"),
        *("--reason", "a demo has no week", "--by", OPERATOR),
        *("--confirm-delete", "--confirm-text", "DELETE_QPI_EXPORTS", "--expect-objects", str(objects)),
    )
    return max(stage.report.glob("qpi_exports_deletion_manifest_*.json"))


def _undo(stage: Stage, manifest: Path) -> None:
    day = f"qpi_answers_{datetime.now(UTC).date() - timedelta(days=1):%Y%m%d}/*"
    stage.say("13. The undo", "One day is needed at the legacy path again.")
    stage.run("undo", str(manifest), "--only", day)
    stage.run(
        "undo", str(manifest), "--only", day, "--execute", "--yes", "--report", str(stage.report / "undo")
    )
    stage.run("status")


def _summary(stage: Stage, manifest: Path) -> Iterator[str]:
    """What happened, line by line, from the reports that the commands left."""
    backfill, sweep = (_read(stage.report / name / "run.json") for name in ("execute", "sweep"))
    books, found = backfill["ledger"], sweep["verification"]
    yield f"from         {backfill['source']}"
    yield f"to           {backfill['destination']}"
    yield f"backfill     {books['copied']:,} of {counted(books['listed'], 'object')} copied in {backfill['elapsed_s']:.0f} s"
    yield f"mirror       {books['already_equal']:,} of them were there already, by the mirror; {books['excluded']} excluded"
    yield f"sweep        {counted(sweep['ledger']['copied'], 'object')} copied"
    yield f"verified     {', '.join(f'{found[verdict]:,} {verdict}' for verdict in VERDICTS)}"
    yield f"deleted      {counted(_read(manifest)['objects'], 'object')}, by {manifest}"


def _read(path: Path) -> Any:
    return json.loads(path.read_text())
