"""The second half of the story: consumers and writer change over, the legacy path is deleted, and one day is brought back."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from demo.moving import Mirrors
from demo.stage import MIGRATION, Stage
from demo.writer import live_writer
from shared.state import Signatory

__all__ = ["change_code", "cut_over", "delete", "sum_up_leaving", "undo"]

OPERATOR = "Ada Lovelace"
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


def change_code(stage: Stage) -> Path:
    """Find and change what reads the legacy path; gives the consumers' checkout."""
    checkout = stage.report / "dags"
    shutil.rmtree(checkout, ignore_errors=True)
    checkout.mkdir()
    (checkout / "config.py").write_text(CONFIG)
    (checkout / "import_qpi.py").write_text(DAG)
    stage.say(
        "8. The consumers' code",
        f"Who still reads the legacy path? A small checkout is in {checkout}; its DAG has the bucket in one file, the prefix in another.",
    )
    patch = checkout / "references.patch"
    subprocess.run(["git", "init", "-q"], cwd=checkout, check=True)
    stage.run("references", str(checkout), "--patch", str(patch), env=False, expected=1)
    stage.print(f"\n$ git apply {patch}\n\nThe change, as in a branch that is merged at the cutover:")
    stage.print(patch.read_text())
    subprocess.run(["git", "apply", patch.name], cwd=checkout, check=True)
    patch.unlink()
    stage.run("references", str(checkout), env=False)
    return checkout


def cut_over(stage: Stage, mirrors: Mirrors, checkout: Path, rate: float) -> None:
    """Sign-offs, gate and cutover, while a writer writes who switches late."""
    letters = stage.report / "dead-letters.json"
    letters.write_text("[]")
    ready = ("--repo", str(checkout), "--canary", "--dead-letters", str(letters))
    with live_writer(
        stage.server.url, MIGRATION.source, rate=rate, overwrites=0.05, days=1, seed=2
    ) as writer:
        stage.say("9. Sign-offs and the gate", "Four teams agree; then every check, with its evidence.")
        for team in Signatory:
            stage.run("signoff", team.value, "--by", OPERATOR)
        stage.run("gate", *ready)
        stage.say(
            "10. The cutover",
            "The gate again, the phase, and the wait until every mirror has seen it. The writer still writes to the legacy path.",
        )
        stage.run("cutover", "--by", OPERATOR, "--yes", *ready)
        before = len(writer.acknowledged)
        writer.switch(MIGRATION.destination)
        while len(writer.acknowledged) < before + rate:
            stage.wait(0.1)
    stage.server.wait_for_events()
    back = [line for line in mirrors.reverse.lines() if line.get("outcome") == "copied"]
    stage.print(
        f"\nThe writer has switched to the new path; the mirror back brought {len(back):,} objects to the legacy one."
    )
    stage.print(
        "\nWhat it wrote to the legacy path after the phase had changed is brought over by the same command:"
    )
    stage.run("cutover", "--by", OPERATOR, "--yes")


def delete(stage: Stage, checkout: Path) -> Path:
    """A refusal, then a deletion; gives its manifest."""
    stage.say(
        "11. The deletion",
        "First a rehearsal of its undo, with one object. Then a dry run, which says what would refuse: seven days of watching are not over.",
    )
    stage.run("undo", "--rehearse")
    plan = stage.report / "deletion-plan"
    stage.delete("--repo", str(checkout), "--report", str(plan), expected=1)
    objects = json.loads((plan / "deletion-plan.json").read_text())["objects"]
    stage.print("\nWho knows better has to say so, and it is written down:")
    stage.delete(
        *(
            "--repo",
            str(checkout),
            "--manifest-dir",
            str(stage.report),
            "--report",
            str(stage.report / "deletion"),
        ),
        *(
            "--override",
            "soak",
            "--override",
            "late-writes",
            "--reason",
            "a demo has no week",
            "--by",
            OPERATOR,
        ),
        *("--confirm-delete", "--confirm-text", "DELETE_QPI_EXPORTS", "--expect-objects", str(objects)),
    )
    return max(stage.report.glob("qpi_exports_deletion_manifest_*.json"))


def undo(stage: Stage, manifest: Path) -> None:
    """Yesterday comes back."""
    day = f"qpi_answers_{datetime.now(UTC).date() - timedelta(days=1):%Y%m%d}/*"
    stage.say("12. The undo", "One day is wanted back at the legacy path, after all.")
    stage.run("undo", str(manifest), "--only", day)
    stage.run("undo", str(manifest), "--only", day, "--execute", "--report", str(stage.report / "undo"))
    stage.run("status")


def sum_up_leaving(manifest: Path) -> Iterator[str]:
    """What the second half came to, line by line."""
    deleted = json.loads(manifest.read_text())
    yield f"deleted      {deleted['objects']:,} objects, by {manifest}"
