"""Damaged and foreign files: refused with a reason, whoever reads them; and no other object is ever deleted or restored."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
import report_samples
from fuzzing import Ended, assert_civil, examples, run_words
from hypothesis import given
from hypothesis import strategies as st
from testing_commands import where
from testing_damage import damaged, spelled_out
from testing_deletion import Scene, day

from backfill_job.deletion.manifest import chunk_lines, read_manifest
from backfill_job.gate.dead_letters import COUNT, read_dead_letters
from backfill_job.gate.evidence import read_verification_record
from backfill_job.gate.import_record import read_import_record
from backfill_job.references.scan import scan
from backfill_job.run.reports import ReportDirectory, read_report
from backfill_job.run.tasks import ShardMap
from backfill_job.verify.certificate import read_certificate
from deploy.values import read_values
from monitoring.preview.entries import read_log
from shared.errors import MigrationError
from shared.migration import Environment, Location, Migration, qpi_exports
from shared.phase import Phase
from shared.record import state_from_head
from shared.report.next_steps import CommandTarget
from shared.state import Signatory, State
from shared.state_changes import Stamp, begun, sign_off

ROOT = Path(__file__).parent.parent.parent

READERS = {
    "mirror_function/event.py": "messages, not files: tests/mirror_function/test_mirror_event.py",
    "shared/answers.py": "answers of the service, not files: tests/shared/test_answers.py",
    "shared/gcs/json_client.py": "answers of the service, not files: tests/shared/test_gcs_client.py",
    "mirror_function/handler.py": "messages, not files: tests/fuzz/test_fuzz_events.py",
    "backfill_job/smoke/clients.py": "answers of the service, not files",
    "deploy/facts.py": "answers of gcloud, not files: tests/deploy/test_deploy_check.py refuses each of them",
    "backfill_job/verify/certificate.py": "certificate",
    "backfill_job/contents/lines.py": "exports, not ours: tests/backfill_job/test_contents_lines.py",
    "backfill_job/deletion/manifest.py": "manifest, lines",
    "backfill_job/deletion/manifest_store.py": "its own rows, just written",
    "backfill_job/deletion/records.py": "test_a_damaged_record",
    "backfill_job/gate/dead_letters.py": "dead letters",
    "backfill_job/references/patch.py": "asks only whether an edited file still parses",
    "backfill_job/copying/by_bytes.py": "proofs: tests/backfill_job/test_by_bytes.py damages them",
    "backfill_job/run/overlaps.py": "other migrations' records: tests/backfill_job/test_overlaps.py",
    "backfill_job/run/reports.py": "task report",
    "backfill_job/run/tasks.py": "shard map",
    "shared/json_io.py": "the parser itself",
    "shared/late_marks.py": "test_a_damaged_mark",
    "shared/phase.py": "state",
    "shared/record.py": "the entries of the history: tests/shared/test_record.py edits each of them",
    "shared/verification.py": "verification",
    "monitoring/files.py": "our own files: tests/monitoring/test_monitoring_files.py",
    "monitoring/vocabulary.py": "log",
    "monitoring/preview/entries.py": "log",
}
"""Every module that parses JSON or YAML, and where it is fuzzed."""


def test_every_module_that_parses_is_known_here() -> None:
    """A new reader is fuzzed, or says why not."""
    found = {
        path.relative_to(ROOT).as_posix()
        for package in ("backfill_job", "shared", "mirror_function", "monitoring", "deploy")
        for path in (ROOT / package).rglob("*.py")
        if re.search(
            r"(json\.loads?|parse_json|parse_format|yaml\.\w*load)\(|_StrictLoader\b|json_io import .*\bdecode\b",
            path.read_text(),
        )
    }
    assert found == {*READERS}


MIGRATION = Migration(Location("legacy", "QPI_exports/"), Location("new", "qpi_exports/"))


def signed_state() -> bytes:
    state = begun(
        State.initial(MIGRATION), Phase.DUAL_WRITE, Stamp("b", "Ada", datetime(2026, 1, 1, tzinfo=UTC))
    )
    for name in Signatory:
        stamp = Stamp(f"s-{name.value}", "Ada", datetime(2026, 1, 1, tzinfo=UTC))
        state = sign_off(state, name, stamp)
    return state.to_json()


def read_state_faithfully(data: bytes, _folder: Path) -> None:
    """What is read is all there is: nothing is dropped, nothing is guessed."""
    state = state_from_head(data, MIGRATION)
    assert json.loads(state.to_json()) == json.loads(data)


def in_file(name: str, read: Callable[[Path], object]) -> Callable[[bytes, Path], object]:
    def reading(data: bytes, folder: Path) -> object:
        (folder / name).write_bytes(data)
        return read(folder / name)

    return reading


def report_of(path: Path) -> None:
    report = read_report(ReportDirectory(path.parent), path.name)
    assert isinstance(report, dict)


VERIFIED = report_samples.verification(report_samples.days(date(2026, 11, 1), 2))


def verification() -> bytes:
    return json.dumps(VERIFIED).encode()


def target() -> CommandTarget:
    return CommandTarget(
        VERIFIED["env"], VERIFIED["source"], VERIFIED["destination"], tuple(VERIFIED["excludes"])
    )


LETTERS = [{"ackId": "a", "message": {"attributes": {"objectId": "QPI_exports/x.jsonl"}, "data": "e30="}}]

COUNTED = {
    "timeSeries": [
        {
            "metric": {"type": COUNT},
            "points": [{"interval": {"endTime": "2026-11-23T05:15:00Z"}, "value": {"int64Value": "0"}}],
        }
    ]
}

LOG = b"""{"severity": "INFO", "time": "2026-11-23T05:15:00.000Z", "message": "run started", "event": "run_started", "run": "r", \
"env": "dev", "mode": "execute", "source": "gs://legacy/QPI_exports/", "destination": "gs://new/qpi_exports/"}"""

CODE = b"""import config
BUCKET = f"data-bucket-{config.ENV}"
def load(day: str) -> str:
    return "gs://" + BUCKET + f"/QPI_exports/qpi_answers_{day}/*.jsonl"
"""

SAMPLES: dict[str, tuple[Callable[[], bytes], Callable[[bytes, Path], object]]] = {
    "state": (signed_state, read_state_faithfully),
    "shard map": (
        ShardMap("r", 2, ("a", "b")).to_json,
        lambda data, _: ShardMap.from_json(data, run="r", tasks=2),
    ),
    "verification": (
        verification,
        lambda data, _: read_verification_record(data, "verification.json", target()),
    ),
    "dead letters": (lambda: json.dumps(LETTERS).encode(), in_file("letters.json", read_dead_letters)),
    "counted dead letters": (
        lambda: json.dumps(COUNTED).encode(),
        in_file("letters.json", read_dead_letters),
    ),
    "task report": (lambda: b'{"run": "r", "mode": "execute"}', in_file("run.json", report_of)),
    "log": (lambda: LOG, in_file("run.log", lambda path: read_log([path]))),
    "deploy values": (
        (ROOT / "deploy" / "dev.env").read_bytes,
        in_file("dev.env", lambda path: read_values(Environment.DEV, path.parent)),
    ),
    "consumers' code": (
        lambda: CODE,
        in_file("dag.py", lambda path: scan([path.parent], [qpi_exports(Environment.DEV)])),
    ),
    "consumers' notebook": (
        lambda: json.dumps({"cells": [{"cell_type": "code", "source": CODE.decode().splitlines()}]}).encode(),
        in_file("dag.ipynb", lambda path: scan([path.parent], [qpi_exports(Environment.DEV)])),
    ),
    "consumers' YAML": (
        lambda: (
            b"bucket: data-bucket-dev\nprefix: QPI_exports/\npaths:\n  - gs://data-bucket-dev/QPI_exports/x\n"
        ),
        in_file("dag.yaml", lambda path: scan([path.parent], [qpi_exports(Environment.DEV)])),
    ),
}


NAMED = {
    "state": "gs://new/_migration/",
    "verification": "verification.json",
    "dead letters": "letters.json",
    "counted dead letters": "letters.json",
    "task report": "run.json",
    "log": "run.log",
    "deploy values": "dev.env",
}
"""How an error names what it is about; the caller of the others does."""


def refused_or_read(read: Callable[[bytes, Path], object], data: bytes, folder: Path, name: str) -> None:
    try:
        read(spelled_out(data), folder)
    except MigrationError as error:
        reason = str(error)
    else:
        return
    assert reason.strip()
    assert len(reason) < 2_000, reason[:300]
    assert name in reason, reason


def refused_or_read_however_damaged(
    sample: bytes, read: Callable[[bytes, Path], object], folder: Path, name: str = ""
) -> None:
    @examples(60)
    @given(damaged(sample))
    def check(data: bytes) -> None:
        refused_or_read(read, data, folder, name)

    check()


@pytest.mark.parametrize("what", SAMPLES)
def test_a_damaged_file_is_refused_with_a_reason_or_read(what: str, tmp_path: Path) -> None:
    """Never another error, and never a page of it."""
    sample, read = SAMPLES[what]
    read(sample(), tmp_path)  # itself it can be read
    refused_or_read_however_damaged(sample(), read, tmp_path, NAMED.get(what, ""))


@dataclass
class Left:
    """What a real verification, import test, and deletion left."""

    scene: Scene
    folder: Path

    def put(self, name: str, data: bytes) -> None:
        """Write one of the migration's own objects, whatever is there."""
        self.scene.paths.bucket("destination").blob(self.scene.own(name)).upload_from_string(data)

    def run(self, command: str, *words: str) -> Ended:
        found = run_words(command, [*words, "--log-dir", str(self.folder / "logs")])
        assert_civil(found)
        return found


@pytest.fixture
def left(scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Left:
    monkeypatch.chdir(tmp_path)
    scene.both(day(1), day(2))
    return Left(scene, tmp_path)


def deleted(left: Left) -> Path:
    """Delete both objects; gives the manifest's head."""
    left.scene.soak()
    found = left.scene.delete(2)
    assert found.code == 0, found.out + found.err
    (head,) = left.folder.glob("*manifest*.json")
    return head


def test_a_damaged_certificate_import_test_or_manifest_is_refused_with_a_reason_or_read(left: Left) -> None:
    """As a real verification, import test and deletion left them."""
    pair = where(left.scene.paths)
    assert left.run("verify", *pair, "--grace", "0", "--report", str(left.folder / "v")).code == 0
    tested = run_words(
        "import-test", [*pair, "--date", "20240101", "--grace", "0", "--report", str(left.folder / "i")]
    )
    assert "report:" in tested.out, tested.err
    head = deleted(left)
    manifest = read_manifest(head.read_bytes(), "m.json")
    lines = head.with_suffix(".jsonl").read_bytes()
    readers: list[tuple[bytes, Callable[[bytes, Path], object]]] = [
        (
            (left.folder / "v" / "certificate.json").read_bytes(),
            lambda data, _: read_certificate(data, "c.json"),
        ),
        (
            (left.folder / "i" / "import-test.json").read_bytes(),
            lambda data, _: read_import_record(data, "i.json"),
        ),
        (head.read_bytes(), lambda data, _: read_manifest(data, "m.json")),
        (lines, lambda data, _: chunk_lines(manifest, 0, data)),
    ]
    for (sample, read), name in zip(readers, ("c.json", "i.json", "m.json", "manifest"), strict=True):
        read(sample, left.folder)  # itself it can be read
        refused_or_read_however_damaged(sample, read, left.folder, name)


def test_a_damaged_manifest_never_brings_back_or_deletes_another_object(left: Left) -> None:
    """Whatever of it was changed: it is refused, or both paths hold nothing but what they held at some time."""
    paths = left.scene.paths
    paths.put("qpi_answers_20240103/user_id_3.jsonl", b"stays\n")
    before = left.scene.legacy()
    stays = {name: before[name] for name in before if "user_id_3" in name}
    paths.delete("qpi_answers_20240103/user_id_3.jsonl")
    head = deleted(left)
    paths.put("qpi_answers_20240103/user_id_3.jsonl", b"stays\n")
    new = {name: paths.read(name) for name in paths.names()}
    lines, uri = head.with_suffix(".jsonl"), left.scene.manifest_uri
    sample = {head: head.read_bytes(), lines: lines.read_bytes()}

    @examples(25)
    @given(
        st.sampled_from([*sample]).flatmap(lambda file: st.tuples(st.just(file), damaged(sample[file]))),
        st.sampled_from(["undo", "delete"]),
        st.booleans(),
    )
    def check(change: tuple[Path, bytes], command: str, in_cloud: bool) -> None:
        changed, data = change
        for file, whole in sample.items():
            contents = spelled_out(data) if file == changed else whole
            file.write_bytes(contents)
            if in_cloud:
                left.put(f"deletions/{file.name}", contents)
        place = uri if in_cloud else str(head)
        if command == "undo":
            found = left.run("undo", place, "--execute", "--yes", "--ungoverned")
        else:
            said = (
                "--confirm-delete",
                "--resume",
                place,
                "--confirm-text",
                "DELETE_QPI_EXPORTS",
                "--expect-objects",
                "2",
            )
            more = (
                "--override",
                "references",
                "--reason",
                "no code in this test",
                "--by",
                "Ada",
                "--ungoverned",
            )
            found = left.run("delete", *where(paths), *said, *more, "--soak-days", "0", "--grace", "0")
        now = left.scene.legacy()
        assert {name: now.get(name) for name in stays} == stays, found
        assert now.items() <= before.items(), found
        assert {name: paths.read(name) for name in paths.names()} == new, found
        if found.code == 2:
            assert now == stays, found
        for name in now.keys() - stays.keys():
            paths.delete(name)

    check()


def test_a_damaged_state_is_refused_by_whoever_reads_it_and_nothing_is_changed(left: Left) -> None:
    """Every command that asks for the phase; a phase is never guessed."""
    left.scene.cut_over()
    sample = left.scene.own_bytes("state.json")
    paths, pair = left.scene.paths, where(left.scene.paths)
    before = [paths.names(side=side) for side in ("source", "destination")]
    commands = [
        ("status",),
        ("migrate", "--execute", "--yes", "--ungoverned"),
        ("verify", "--grace", "0"),
        ("signoff", "data", "--by", "Ada"),
        ("rollback", "--dry-run"),
        ("gate",),
        ("delete", "--soak-days", "0"),
    ]

    @examples(25)
    @given(damaged(sample), st.sampled_from(commands))
    def check(data: bytes, command: tuple[str, ...]) -> None:
        contents = spelled_out(data)
        left.put("state.json", contents)
        logs = () if command[0] in {"status", "signoff"} else ("--log-dir", str(left.folder / "logs"))
        found = run_words(command[0], [*command[1:], *pair, *logs])
        assert_civil(found)
        if command[0] != "signoff" or found.code:
            assert not {*left.scene.own_bytes("state.json")} ^ {*contents} or found.code == 0, found
        assert [paths.names(side=side) for side in ("source", "destination")] == before, found

    check()


def test_a_damaged_record_or_mark_or_verification_is_refused_or_counts_for_nothing(left: Left) -> None:
    """By the deletion that goes on, by status, and by the look for late writes."""
    pair = where(left.scene.paths)
    assert left.run("verify", *pair, "--grace", "0").code == 0
    head = deleted(left)
    own = "_migration/qpi_exports/"
    samples = {
        name.removeprefix(own): left.scene.own_bytes(name.removeprefix(own))
        for folder in ("deletions/", "latest/")
        for name in left.scene.own_names(folder)
        if name.endswith("000000.json") or "latest/" in name
    }
    samples["late-writes/20260101T0000Z.json"] = (
        b'{"object": "x", "generation": "1", "created": "2026-01-01T00:00:00Z"}'
    )
    assert len(samples) >= 3, samples
    new = left.scene.paths.names()

    @examples(25)
    @given(st.sampled_from([*samples]).flatmap(lambda name: st.tuples(st.just(name), damaged(samples[name]))))
    def check(change: tuple[str, bytes]) -> None:
        for name, whole in samples.items():
            left.put(name, spelled_out(change[1]) if name == change[0] else whole)
        said = (
            "--confirm-delete",
            "--resume",
            left.scene.manifest_uri,
            "--confirm-text",
            "DELETE_QPI_EXPORTS",
        )
        more = ("--override", "references", "--reason", "no code in this test", "--by", "Ada", "--ungoverned")
        days = ("--soak-days", "0", "--grace", "0", "--expect-objects", "2")
        left.run("delete", *pair, *said, *more, *days)
        assert_civil(run_words("status", pair))
        left.run("gate", *pair, "--grace", "0", "--no-record")
        assert left.scene.paths.names() == new

    check()
    assert head.exists()


@pytest.mark.parametrize(("command", "report"), [("migrate", "run.json"), ("verify", "shard.json")])
def test_a_damaged_task_report_is_refused_or_counts_for_nothing(
    left: Left, command: str, report: str
) -> None:
    """By the task that completes the set; nothing is composed of halves."""
    pair = where(left.scene.paths)
    said = ("--execute", "--yes", "--ungoverned") if command == "migrate" else ()

    def run_task(number: int) -> Ended:
        tasks = {"COUNT": "2", "INDEX": str(number)}
        environ = {"CLOUD_RUN_EXECUTION": "e", **{f"CLOUD_RUN_TASK_{key}": tasks[key] for key in tasks}}
        words = [*said, *pair, "--grace", "0", "--report", str(left.folder / "r")]
        found = run_words(command, [*words, "--log-dir", str(left.folder / "logs")], environ=environ)
        assert_civil(found)
        return found

    assert run_task(0).code == 0
    part = left.folder / "r" / "task-00000-of-00002" / report
    sample = part.read_bytes()
    assert run_task(1).code == 0

    @examples(25)
    @given(damaged(sample))
    def check(data: bytes) -> None:
        part.write_bytes(spelled_out(data))
        found = run_task(1)
        assert found.code == 0 or report in found.out + found.err, found

    check()


def test_what_lies_in_a_checkout_beside_files_is_passed_by(tmp_path: Path) -> None:
    """Pipes that nobody writes to, sockets, links in circles and into nothing."""
    (tmp_path / "dag.py").write_bytes(CODE)
    os.mkfifo(tmp_path / "pipe.py")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "circle.py").symlink_to("circle.py")
    found: Any = scan([tmp_path], [qpi_exports(Environment.DEV)])
    assert {Path(one.path).name for one in found.findings} == {"dag.py"}
