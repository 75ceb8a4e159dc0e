"""The command ``delete_old_qpi_exports``, as its user meets it."""

import argparse
import io
import json
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from testing_commands import run_command, where
from testing_deletion import CONFIRM, PASS, Scene, day

from backfill_job import delete_old_qpi_exports
from backfill_job.deletion import prepare
from backfill_job.deletion.flow import OF_THE_MANIFEST
from backfill_job.deletion.manifest import Manifest
from backfill_job.deletion.manifest_store import cloud_ref, upload
from backfill_job.run.clock import system_clock
from backfill_job.run.command import ProcessIO
from backfill_job.run.local_tasks import with_options, without_options
from backfill_job.run.phase_change import MARGIN_SECONDS
from backfill_job.run.settings import Settings
from shared.command_line import OneLineParser
from shared.gateway import Gateway
from shared.late_marks import mark_late_write
from shared.phase import CACHE_SECONDS, Phase
from shared.record import update
from shared.state import Light, PrincipalUse, ReadersRecord, SeenPrincipal, State
from shared.state_changes import Stamp, readers_seen

NAMES = (day(1), day(1, 2), day(2), "README", "qpi_answers_20230101.jsonl")
DELETE = "storage.objects.delete"

AGAIN = "Next, when that is fixed: python -m backfill_job delete"


def test_what_was_proven_is_deleted_and_the_phase_is_deleted(scene: Scene) -> None:
    """The manifest first; then exactly its lines; the new path is not touched, nor what lies beside the prefix."""
    scene.both(*NAMES)
    beside = scene.paths.bucket("source").blob("QPI_exports_old/keep")
    beside.upload_from_string(b"keep")
    scene.cut_over()
    before = scene.paths.names()
    ended = scene.delete(5)
    assert (ended.code, ended.err) == (0, "")
    assert scene.paths.names(side="source") == []
    assert beside.exists()
    assert scene.paths.names() == before
    assert scene.phase is Phase.DELETED
    assert scene.commands.waited == [CACHE_SECONDS + MARGIN_SECONDS]
    assert "5 objects: 5 deleted" in ended.out
    assert scene.paths.bucket("source").exists()


def test_the_manifest_names_every_generation_with_what_an_undo_needs(scene: Scene) -> None:
    """Here and beside the new path, the same bytes; its SHA-256 stands in the state."""
    scene.both(*NAMES, metadata={"k": "v"})
    scene.paths.put(".DS_Store", b"finder")
    scene.cut_over()
    states = {
        name: [scene.paths.look(name, side=side) for side in ("source", "destination")] for name in NAMES
    }
    assert scene.delete(5).code == 0
    head, lines = scene.manifest(), scene.lines()
    assert [line["name"] for line in lines] == sorted(NAMES)
    for line in lines:
        source, destination = states[line["name"]]
        assert source is not None
        assert destination is not None
        assert line == {
            "name": source.name.removeprefix("QPI_exports/"),
            "generation": str(source.generation),
            "size": source.size,
            "crc32c": source.crc32c,
            "md5": source.md5,
            "created": source.created,
            "metadata": {"content_type": "application/json", "custom": {"k": "v"}},
            "destination_generation": str(destination.generation),
        }
    assert (head["objects"], head["critical"], head["by"]) == (5, 4, "Ada")
    assert head["facts"]["left_never_migrated"] == 1
    assert head["facts"]["days"]["2024-01-01"]["jsonl"] == 2
    assert head["overrides"] == [
        {
            "check": "references",
            "reason": "no code in this test",
            "by": "Ada",
            "evidence": "no checkout of the consumers was named",
        }
    ]
    for name in (head["name"], head["lines"]["name"]):
        assert (scene.folder / name).read_bytes() == scene.own_bytes(f"deletions/{name}")
    said = next(entry.what for entry in scene.commands.state.history if "manifest" in entry.what)
    assert sha256(scene.own_bytes(f"deletions/{head['name']}")).hexdigest() in said
    assert "overridden references (no code in this test)" in said
    assert (
        sha256(scene.own_bytes(f"deletions/{head['lines']['name']}")).hexdigest() == head["lines"]["sha256"]
    )


def test_the_dry_run_is_the_default_and_shows_what_would_go(scene: Scene, tmp_path: Path) -> None:
    """Critical data first; days, bytes, folders; every check; and nothing is changed anywhere."""
    scene.both(*NAMES)
    scene.paths.put("a/.DS_Store", b"finder")
    scene.paths.put("only/new", b"x", side="destination")
    scene.cut_over(days_ago=30)
    scene.paths.server.reset_stats()
    ended = scene.run("--soak-days", "0", "--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (0, "")
    methods = set(scene.paths.server.stats()["methods"])
    assert methods == {"storage.objects.list", "storage.objects.download", "storage.buckets.get"}
    text = " ".join(ended.out.split())
    for said in (
        "month days objects JSONL bytes",
        "2024-01 2 3 3 ",
        "(no day) 1 0 ",
        "CRITICAL: 4 JSONL objects",
        "PASS 8 checks; not applicable: readers (--details)",
        "Would be left, never migrated: 1 object",
        "At the new path only, not concerned: 1 object",
        "soft delete holds deleted objects for 7 d",
        "--expect-objects 5",
    ):
        assert said in text
    plan = json.loads((tmp_path / "r" / "deletion-plan.json").read_text())
    assert (plan["objects"], plan["critical_jsonl"]["objects"], plan["folders"]) == (5, 4, 2)
    assert sorted(scene.folder.glob("qpi_exports_deletion*")) == []
    assert scene.own_names("deletions/") == []


def test_a_dry_run_says_everything_that_would_refuse_and_what_to_do(scene: Scene) -> None:
    """Exit code 1: something stands in the way."""
    scene.both(day(1))
    scene.paths.put(day(2), b"only here")
    ended = scene.commands.run("delete")
    assert (ended.code, ended.err) == (1, "")
    for check in ("phase", "soak", "verification", "references", "sign-offs"):
        assert re.search(rf"(?m)^(FAIL   |NOT RUN)  {check}: .*\n {{9}}", ended.out), check
    *_, verdict, following = ended.out.splitlines()
    assert verdict == "BLOCKED by 5 checks. Nothing was deleted."
    assert following.startswith("Next: python -m backfill_job status --source ")


def missing(scene: Scene) -> None:
    scene.paths.put(day(9), b"only here")


def differing(scene: Scene) -> None:
    scene.paths.put(day(1), b"newer", side="destination")


def other_metadata(scene: Scene) -> None:
    scene.paths.put(day(1), scene.paths.read(day(1)), side="destination", content_type="text/plain")


def no_phase(scene: Scene) -> None:
    scene.commands.go(Phase.ROLLED_BACK)


@pytest.mark.parametrize(
    ("spoil", "arguments", "said"),
    [
        (missing, (), "verification: 1 equal; NOT EQUAL: 1 missing"),
        (differing, (), "verification: 0 equal; NOT EQUAL: 1 content differs"),
        (other_metadata, (), "verification: 0 equal; NOT EQUAL: 1 metadata differs"),
        (no_phase, (), "phase: rolled_back"),
        (lambda _: None, ("--soak-days", "31"), "soak: cut over"),
        (lambda scene: scene.watched("GG."), ("--soak-days", "3"), "soak: cut over"),
        (lambda scene: scene.watched("G"), ("--soak-days", "1"), "late-writes: 1 object written there"),
    ],
    ids=["missing", "differs", "metadata", "phase", "soak", "two green days", "late write"],
)
def test_nothing_is_deleted_while_one_check_fails(
    scene: Scene, spoil: Callable[[Scene], object], arguments: tuple[str, ...], said: str
) -> None:
    """Exit code 2, a verdict and a next command; no object and no decision on record has changed, and there is no manifest."""
    scene.both(day(1))
    scene.cut_over()
    spoil(scene)
    before, names = scene.commands.decided, scene.paths.names(side="source")
    scene.paths.server.reset_stats()
    ended = scene.delete(1, *arguments)
    assert ended.code == 2
    *_, verdict, following = ended.out.splitlines()
    assert re.fullmatch(r"BLOCKED by \d checks?\. Nothing was deleted\.", verdict)
    again = "Next: python -m backfill_job status" if scene.phase.before_cutover else AGAIN
    assert following.startswith(f"{again} --source ")
    assert said in ended.words
    assert ended.err == ""
    assert f"refused; nothing was deleted: {said}" in ended.log or f"; {said}" in ended.log
    assert (scene.commands.decided, scene.paths.names(side="source")) == (before, names)
    assert scene.paths.requests(DELETE) == 0
    folder = scene.paths.migration.own_ref("deletions", "").name
    assert not list(scene.paths.bucket("destination").list_blobs(prefix=folder))
    assert sorted(path.name for path in scene.folder.iterdir()) == ["logs"]


def test_sign_offs_and_references_refuse_too(scene: Scene, tmp_path: Path) -> None:
    """A person overrides them by name, with a reason, on record."""
    scene.both(day(1))
    scene.cut_over(signed=False)
    said = (
        "--confirm-text",
        CONFIRM,
        "--expect-objects",
        "1",
        "--manifest-dir",
        str(tmp_path),
        "--soak-days",
        "0",
    )
    ended = scene.commands.run("delete", "--confirm-delete", *said)
    assert ended.code == 2
    assert "references: no checkout of the consumers was named" in ended.words
    assert "sign-offs: missing: qpi-team" in ended.words
    ended = scene.delete(1, "--override", "sign-offs")
    assert (ended.code, scene.phase) == (0, Phase.DELETED)
    what = next(entry.what for entry in scene.commands.state.history if "manifest" in entry.what)
    assert "; overridden references (no code in this test); overridden sign-offs (no code" in what


def test_a_rule_that_can_delete_the_record_refuses_and_nothing_overrides_it(scene: Scene) -> None:
    """Nothing is deleted, nothing is changed."""
    scene.both(day(1))
    scene.cut_over()
    scene.paths.set_rules({"age": 90})
    ended = scene.delete(1, "--override", "path-lifecycle")
    assert (ended.code, scene.phase, scene.paths.names(side="source")) == (2, Phase.CUT_OVER, [day(1)])
    assert "FAIL record-lifecycle: rule 1" in ended.words
    assert "OVERRIDE path-lifecycle: " in ended.words
    assert "BLOCKED by 1 check." in ended.words


def test_a_rule_on_the_new_path_refuses_unless_it_is_overridden_on_record(scene: Scene) -> None:
    """In the state and in the manifest, as every override; a resumption knows it."""
    scene.both(day(1), day(2))
    scene.cut_over()
    scene.paths.set_rules({"age": 90, "matchesPrefix": ["qpi_exports/"]})
    assert (scene.run("--soak-days", "0").code, scene.delete(2).code) == (1, 2)
    scene.commands.pauses = lambda _: scene.paths.put(day(1), b"a late writer") and None
    assert scene.delete(2, "--override", "path-lifecycle").code == 1
    (said,) = [entry.what for entry in scene.commands.state.history if "manifest" in entry.what]
    assert "; overridden path-lifecycle (no code in this test)" in said
    assert [one["check"] for one in scene.manifest()["overrides"]] == ["references", "path-lifecycle"]
    assert "path-lifecycle" in scene.resume(2).out
    assert scene.resume(2).code == 1


def test_a_rule_that_came_during_a_deletion_stops_its_resumption(scene: Scene) -> None:
    """The record says what was deleted; so it must be safe before anything more is."""
    manifest, _ = kept_by_a_late_writer(scene)
    scene.paths.set_rules({"age": 90, "matchesPrefix": ["_migration/"]})
    ended = scene.delete(2, "--resume", manifest)
    assert (ended.code, "FAIL record-lifecycle: rule 1" in ended.words) == (2, True)


def test_who_came_during_a_deletion_stops_its_resumption(scene: Scene) -> None:
    """A principal that nobody acknowledged reads what is left; a person may override it, as at the beginning."""
    manifest, _ = kept_by_a_late_writer(scene)
    now = datetime.now(UTC)

    def seen(state: State) -> State:
        look = ReadersRecord(
            now - timedelta(days=40),
            now - timedelta(days=40),
            now,
            (SeenPrincipal("x", PrincipalUse.READ, 1, now),),
        )
        return readers_seen(state, Stamp("look", "readers", now), look)

    update(scene.commands.gateway, scene.paths.migration, seen)
    ended = scene.delete(2, "--resume", manifest)
    assert (ended.code, "FAIL readers: 1 principal used the legacy path" in ended.words) == (2, True)
    ended = scene.delete(2, "--resume", manifest, "--override", "readers")
    assert (ended.code, "OVERRIDE readers: 1 principal" in ended.words) == (1, True), ended.out


def test_a_new_bucket_whose_settings_may_not_be_read_refuses(scene: Scene) -> None:
    """Not known is not safe."""
    scene.both(day(1))
    scene.cut_over()
    rule = {"method": "storage.buckets.get", "count": None, "status": 403}
    bucket = scene.paths.migration.destination.bucket
    scene.paths.server.set_faults(rules=[{**rule, "bucket": bucket}])
    ended = scene.delete(1, "--override", "path-lifecycle")
    assert (ended.code, scene.phase, "permission denied" in ended.words) == (2, Phase.CUT_OVER, True)


@pytest.mark.parametrize("check", ["verification", "phase", "record-lifecycle", "manifest", "everything"])
def test_what_must_hold_cannot_be_overridden(
    scene: Scene, capsys: pytest.CaptureFixture[str], check: str
) -> None:
    """There is no such argument."""
    with pytest.raises(SystemExit) as ended:
        scene.run("--override", check)
    assert ended.value.code == 2
    assert "invalid choice" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--override", "soak"), "say why and who"),
        (("--override", "soak", "--reason", "x"), "say why and who"),
        (("--override", "soak", "--reason", "a\nb", "--by", "Ada"), "--reason wants one line"),
        (("--override", "soak=x"), "say who, with --by WHO"),
        (("--override", "soak=", "--by", "Ada"), "--override soak wants one line"),
        (("--by", " "), "--by wants one line"),
        (("--resume", "x.json"), "--resume is for --confirm-delete"),
        (("--prepare",), "--prepare is for --confirm-delete"),
        (("--tasks", "2"), "run it as one task"),
        (("--confirm-delete",), "--confirm-text DELETE_QPI_EXPORTS and --expect-objects N are wanted"),
        (("--confirm-delete", "--confirm-text", CONFIRM), "--expect-objects N are wanted"),
        (("--confirm-delete", "--expect-objects", "3"), "not confirmed; nothing was deleted"),
        (
            ("--confirm-delete", "--confirm-text", "delete", "--expect-objects", "3"),
            "must be DELETE_QPI_EXPORTS",
        ),
        (("--confirm-delete", "--prepare", "--resume", "x"), "without --resume and --tasks"),
    ],
    ids=range(14),
)
def test_arguments_that_make_no_sense_are_one_line_before_anything_is_asked(
    scene: Scene, arguments: tuple[str, ...], said: str
) -> None:
    """Exit code 2."""
    scene.paths.server.reset_stats()
    ended = scene.commands.run("delete", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ended.err.count("\n") == 1
    assert scene.paths.server.stats()["methods"] == {}


def test_another_number_than_expected_deletes_nothing(scene: Scene) -> None:
    """Somebody looked at another dry run."""
    scene.both(day(1))
    scene.cut_over()
    ended = scene.delete(2)
    assert (ended.code, scene.phase) == (2, Phase.CUT_OVER)
    assert "--expect-objects says 2, there is 1" in ended.err
    assert scene.paths.names(side="source") == [day(1)]


@pytest.mark.parametrize(
    ("typed", "done"),
    [
        (f"{CONFIRM}\nyes\n", True),
        (f"{CONFIRM}\nmaybe\nYES\n", True),
        (f"{CONFIRM}\ny\nyes\n", True),
        (f"{CONFIRM}\ny\n", False),
        (f"delete\n{CONFIRM}\nyes\n", True),
        (f"delete\nagain\n{CONFIRM}\nyes\n", False),
        (f"{CONFIRM}\nno\n", False),
        (f"{CONFIRM}\n", False),
        ("delete_qpi_exports\nyes\n", False),
        ("yes\nyes\n", False),
        ("", False),
    ],
)
def test_on_a_terminal_the_text_is_typed_and_then_yes(scene: Scene, typed: str, *, done: bool) -> None:
    """Anything else changes nothing."""
    scene.both(day(1), "b")
    scene.cut_over()
    ended = scene.run("--confirm-delete", "--soak-days", "0", "--ungoverned", typed=typed)
    assert ended.code == (0 if done else 2)
    assert "this deletes 2 objects, 1 of them critical, from" in ended.out
    assert (f"Environment {scene.paths.migration.label}: delete 2 objects now?" in ended.out) is (
        CONFIRM in typed.split("\n")[:2]
    )
    assert ("Please type yes in full" in ended.out) is ("\ny\n" in typed)
    assert (f"Expected {CONFIRM}, and read delete." in ended.out) is typed.startswith("delete\n")
    assert (scene.paths.names(side="source") == []) is done
    assert done or "not confirmed" in ended.err
    assert done or scene.own_names() == []


def test_what_changes_between_the_manifest_and_the_deletion_is_kept_and_told(
    scene: Scene, tmp_path: Path
) -> None:
    """Exit code 1, the phase stays; each kept object has its outcome in the books, the report and the log."""
    scene.both(*(day(number) for number in range(1, 6)))
    scene.cut_over()

    def meanwhile(_: float) -> None:
        scene.paths.put(day(1), b"a late writer")
        scene.paths.put(day(2), b"the new writer", side="destination")
        blob = scene.paths.bucket("source").blob("QPI_exports/" + day(3))
        blob.temporary_hold = True
        blob.patch()
        scene.paths.delete(day(4))
        scene.paths.put(day(6), b"came after the manifest")
        scene.commands.pauses = lambda _: None

    scene.commands.pauses = meanwhile
    ended = scene.delete(5, "--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (1, "")
    assert scene.phase is Phase.DELETING
    assert scene.paths.names(side="source") == [day(1), day(2), day(3), day(6)]
    summary = "5 objects: 1 deleted, 1 already gone, 1 overwritten since, 1 destination changed, 1 held"
    assert summary in ended.out
    assert f"overwritten since {day(1)}: " in ended.out
    assert f"--resume {scene.manifest_uri}" in ended.out
    rows = [json.loads(row) for row in (tmp_path / "r" / "objects.jsonl").read_text().splitlines()]
    assert {row["name"]: row["outcome"] for row in rows} == {
        day(1): "overwritten_since",
        day(2): "destination_changed",
        day(3): "held",
        day(4): "already_gone",
        day(5): "deleted",
    }
    report = json.loads((tmp_path / "r" / "deletion.json").read_text())
    assert (report["exit_code"], report["phase"], report["chunks_left"]) == (1, "deleting", 1)
    (log,) = (scene.folder / "logs").glob("delete_old_qpi_exports_custom_*.log")
    assert log.read_text().count("object_kept:") == 3
    assert scene.commands.state.runs[-1].exit_code == 1


@pytest.mark.parametrize("which", ["", "l"])
def test_a_manifest_that_is_not_what_was_written_deletes_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    """Something else lies there right after the upload; reading back finds it, and the phase is not changed either."""
    scene.both(day(1), day(2))
    scene.cut_over()

    def spoilt_upload(gateway: Gateway, manifest: Manifest, folder: Path) -> None:
        upload(gateway, manifest, folder)
        at = cloud_ref(manifest.migration, f"{manifest.name}{which}")
        gateway.put(at, (gateway.read(at) or b"").replace(b"20240101", b"20230101"))

    monkeypatch.setattr(prepare, "upload", spoilt_upload)
    ended = scene.delete(2)
    assert ended.code == 1
    assert "nothing was deleted" in ended.err
    assert scene.phase is Phase.CUT_OVER
    assert scene.paths.names(side="source") == [day(1), day(2)]


def test_a_manifest_that_cannot_be_uploaded_deletes_nothing(scene: Scene) -> None:
    """It must be in both places before anything goes."""
    scene.both(day(1))
    scene.cut_over()
    scene.paths.server.set_faults(rules=[{"method": "storage.objects.insert", "count": None, "status": 403}])
    ended = scene.delete(1)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "permission denied" in ended.err
    scene.paths.server.clear_faults()
    assert scene.paths.names(side="source") == [day(1)]


def test_a_listing_that_breaks_off_deletes_nothing(scene: Scene) -> None:
    """There is no verdict."""
    scene.fill(2_500)
    scene.cut_over()
    rule = {"method": "storage.objects.list", "skip": 6, "count": None, "status": 403}
    scene.paths.server.set_faults(rules=[rule])
    assert scene.delete(2_500).code == 2
    scene.paths.server.clear_faults()
    assert len(scene.paths.names(side="source")) == 2_500


def test_the_end_says_what_is_left_and_on_a_terminal_how_much_was_settled_before(scene: Scene) -> None:
    """What was never migrated is counted; the question of a resumption says what earlier runs settled."""
    scene.both(day(1), day(2), day(3))
    for name in (".DS_Store", "a/.DS_Store"):
        scene.paths.put(name, b"finder")
    scene.cut_over()
    blob = scene.paths.bucket("source").blob("QPI_exports/" + day(2))
    blob.temporary_hold = True
    blob.patch()
    first = scene.delete(3)
    assert (first.code, "Left, as never migrated" in first.out) == (1, False)
    blob.temporary_hold = False
    blob.patch()
    resumption = ("--confirm-delete", "--ungoverned", "--resume", scene.manifest_uri)
    ended = scene.run(*resumption, typed=f"{CONFIRM}\nyes\n")
    assert ended.code == 0
    assert "this deletes 3 objects (2 of them settled already), 3 of them critical, from " in ended.words
    assert "\nLeft, as never migrated: 2 objects.\n" in ended.out
    assert "DELETED: every line of the manifest is settled; the phase is deleted." in ended.out


def test_of_many_objects_that_are_kept_the_screen_shows_some_and_counts_the_rest(scene: Scene) -> None:
    """Twenty by name, in the order of the manifest; the log has each."""
    names = [day(1, user) for user in range(101, 124)]
    scene.both(*names)
    scene.cut_over()
    for name in names:
        blob = scene.paths.bucket("source").blob("QPI_exports/" + name)
        blob.temporary_hold = True
        blob.patch()
    ended = scene.delete(23)
    shown = re.findall(r"^  held (\S+): ", ended.out, re.MULTILINE)
    assert (ended.code, shown) == (1, names[:20])
    assert "\n  ... and 3 more; the log has them\n" in ended.out
    assert ended.log.count(" object_kept: ") == 23


@pytest.mark.parametrize(
    ("environ", "arguments", "by"),
    [
        ({"CLOUD_RUN_JOB": "backfill", "USER": "root"}, (), "backfill"),
        ({"USER": "ada", "LOGNAME": "eve"}, (), "ada"),
        ({"LOGNAME": "eve"}, (), "eve"),
        ({}, (), "unknown"),
        ({"USER": "ada"}, ("--by", " Grace "), "Grace"),
    ],
    ids=["a job", "a user", "a login", "none of them", "a name"],
)
def test_the_manifest_says_who_deletes(
    scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    environ: dict[str, str],
    arguments: tuple[str, ...],
    by: str,
) -> None:
    """The name that is given; else the job's, the user's, or that it is not known."""
    for name in ("CLOUD_RUN_JOB", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    scene.both(day(1))
    scene.cut_over()
    folder = ("--manifest-dir", str(scene.folder), "--repo", str(scene.folder / "code"))
    (scene.folder / "code").mkdir()
    (scene.folder / "code" / "a.py").write_text(f'P = "{scene.paths.migration.destination.uri}"\n')
    said = ("--confirm-text", CONFIRM, "--expect-objects", "1", "--soak-days", "0", "--ungoverned")
    ended = scene.commands.run("delete", "--confirm-delete", *folder, *said, *arguments)
    assert ended.code == 0, ended.out + ended.err
    assert scene.manifest()["by"] == by
    (begun,) = (each for each in scene.commands.state.history if "phase cut_over to deleting" in each.what)
    assert begun.by == by


def test_a_deletion_that_was_begun_is_resumed_and_not_begun_again(scene: Scene) -> None:
    """A plain delete names the manifest; the resumption wants the consent again, and finishes."""
    scene.both(day(1), day(2), day(3))
    scene.cut_over()
    blob = scene.paths.bucket("source").blob("QPI_exports/" + day(2))
    blob.temporary_hold = True
    blob.patch()
    assert (scene.delete(3).code, scene.phase) == (1, Phase.DELETING)
    plain = scene.delete(1)
    assert plain.code == 2
    confirmed = f"--resume {scene.manifest_uri} --confirm-text DELETE_QPI_EXPORTS --expect-objects 3"
    assert f"--confirm-delete {confirmed}" in plain.err
    wrong = scene.resume(1)
    assert (wrong.code, "--expect-objects says 1, there are 3" in wrong.err) == (2, True)
    assert scene.commands.run("delete", "--confirm-delete", "--resume", scene.manifest_uri).code == 2
    blob.temporary_hold = False
    blob.patch()
    scene.paths.server.reset_stats()
    ended = scene.resume(3)
    assert (ended.code, ended.err) == (0, "")
    assert scene.paths.requests(DELETE) == 1
    assert "1 object: 1 deleted\nwith earlier runs: 3 objects: 3 deleted" in ended.out
    assert (scene.phase, scene.paths.names(side="source")) == (Phase.DELETED, [])


def test_the_local_copy_of_the_manifest_resumes_as_well(scene: Scene) -> None:
    """Either of the two."""
    scene.both(day(1))
    scene.cut_over()
    assert scene.delete(1, "--prepare").code == 0
    assert scene.paths.names(side="source") == [day(1)]
    assert scene.phase is Phase.DELETING
    local = next(scene.folder.glob("qpi_exports_deletion_manifest_*.json"))
    assert scene.delete(1, "--resume", str(local)).code == 0
    assert (scene.phase, scene.paths.names(side="source")) == (Phase.DELETED, [])


def spoilt(scene: Scene, change: Callable[[dict[str, Any]], object]) -> str:
    head = scene.manifest()
    change(head)
    path = scene.folder / "spoilt.json"
    path.write_text(json.dumps(head))
    return str(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda head: head.update(by="Eve"), "was changed since"),
        (
            lambda head: head.update(name="other.json", lines={**head["lines"], "name": "other.jsonl"}),
            "belongs to none of this migration's deletions",
        ),
        (lambda head: head.update(source="gs://another/QPI_exports/"), "is about gs://another/QPI_exports/"),
        (lambda head: head.update(objects=9), "is a damaged deletion manifest"),
    ],
    ids=["changed", "never begun", "foreign", "damaged"],
)
def test_only_the_manifest_that_the_state_names_is_resumed(
    scene: Scene, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """Exit code 2; nothing is deleted."""
    scene.both(day(1))
    scene.cut_over()
    scene.delete(1, "--prepare")
    ended = scene.delete(1, "--resume", spoilt(scene, change))
    assert ended.code == 2
    assert said in ended.err
    assert scene.paths.names(side="source") == [day(1)]


def test_lines_that_were_changed_since_delete_nothing(scene: Scene) -> None:
    """The head is the state's, and its lines are not the head's."""
    scene.both(day(1), day(2))
    scene.cut_over()
    scene.delete(2, "--prepare")
    name = scene.manifest_uri.partition("/_migration/qpi_exports/")[2]
    blob = scene.paths.bucket("destination").blob(scene.own(f"{name}l"))
    blob.upload_from_string(blob.download_as_bytes().replace(b"_2024", b"_2023"))
    ended = scene.resume(2)
    assert ended.code == 1
    assert "was changed since the manifest was written" in ended.err
    assert "Go on: python -m backfill_job delete " in ended.err
    assert scene.paths.names(side="source") == [day(1), day(2)]


def test_what_a_deletion_left_is_verified_and_deleted_anew(scene: Scene) -> None:
    """A late writer's object was copied forward; a further manifest takes it, and the phase is deleted at last."""
    scene.both(day(1), day(2))
    scene.cut_over()
    scene.commands.pauses = lambda _: scene.both(day(1), metadata={"late": "yes"}) and None
    assert (scene.delete(2).code, scene.phase) == (1, Phase.DELETING)
    scene.commands.pauses = lambda _: None
    dry = scene.run("--soak-days", "0", "--anew")
    assert (dry.code, "READY: 1 object would be deleted." in dry.out) == (0, True)
    ended = scene.delete(1, "--anew", "--manifest-dir", str(scene.folder / "anew"))
    assert (ended.code, ended.err, scene.phase) == (0, "", Phase.DELETED), ended
    assert scene.paths.names(side="source") == []
    assert sum("manifest" in entry.what for entry in scene.commands.state.history) == 2


def test_anew_is_for_a_deletion_that_was_begun(scene: Scene) -> None:
    """In phase cut_over there is none."""
    scene.both(day(1))
    scene.cut_over()
    ended = scene.delete(1, "--anew")
    assert (ended.code, "no deletion was begun" in ended.err) == (2, True)


def test_a_missing_permission_to_delete_stops_it_and_says_how_it_goes_on(scene: Scene) -> None:
    """Exit code 1: the phase was changed, nothing was deleted."""
    scene.both(*(day(number) for number in range(1, 4)))
    scene.cut_over()
    rule = {"method": DELETE, "bucket": scene.paths.migration.source.bucket, "count": None, "status": 403}
    scene.paths.server.set_faults(rules=[rule])
    ended = scene.delete(3, "--report", str(scene.folder / "r"))
    scene.paths.server.clear_faults()
    assert (ended.code, ended.err) == (1, "")
    assert "stopped: gs://" in ended.out
    report = json.loads((scene.folder / "r" / "deletion.json").read_text())
    assert f"stopped: {report['stopped']}\n" in ended.out
    assert "permission denied" in ended.out
    assert len(scene.paths.names(side="source")) == 3
    assert scene.resume(3).code == 0


def test_tasks_of_a_job_settle_their_chunks_and_the_last_one_ends_it(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One process prepares; the tasks resume, in any order, and share nothing."""
    scene.fill(3_100)
    scene.cut_over()
    assert scene.delete(3_100, "--prepare").code == 0
    monkeypatch.setenv("CLOUD_RUN_TASK_COUNT", "3")
    monkeypatch.setenv("CLOUD_RUN_EXECUTION", "e-1")
    for index in "201":
        monkeypatch.setenv("CLOUD_RUN_TASK_INDEX", index)
        assert scene.phase is Phase.DELETING
        ended = scene.resume(3_100, "--report", str(scene.folder / "r"))
        assert (ended.code, ended.err) == (0, ""), ended.out
    assert (scene.phase, scene.paths.names(side="source")) == (Phase.DELETED, [])
    whole = json.loads((scene.folder / "r" / "deletion.json").read_text())
    assert (whole["this_process"]["deleted"], whole["chunks_left"], whole["exit_code"]) == (3_100, 0, 0)
    assert len(list(scene.folder.glob("r/task-*-of-00003/deletion.json"))) == 3


def test_the_report_of_all_tasks_has_the_worst_of_each(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """One task keeps an object, and another one ends last: the sum says what was kept, why, and that it is not right."""
    names = scene.fill(3_100)
    scene.cut_over()
    hold = scene.paths.bucket("source").blob(f"{scene.paths.migration.source.prefix}{names[0]}")
    hold.temporary_hold = True
    hold.patch()
    assert scene.delete(3_100, "--prepare").code == 0
    monkeypatch.setenv("CLOUD_RUN_TASK_COUNT", "3")
    monkeypatch.setenv("CLOUD_RUN_EXECUTION", "e-1")
    ended = []
    for index in "201":
        monkeypatch.setenv("CLOUD_RUN_TASK_INDEX", index)
        ended.append(scene.resume(3_100, "--report", str(scene.folder / "r")))
    assert [each.code for each in ended] == [0, 1, 0]
    last = "Other tasks have not finished, or left something; the last one sums up."
    assert [each.out.splitlines()[-1] for each in ended] == [last] * 3
    parts = [json.loads(path.read_text()) for path in scene.folder.glob("r/task-*-of-00003/deletion.json")]
    whole = json.loads((scene.folder / "r" / "deletion.json").read_text())
    assert (whole["exit_code"], whole["tasks"], whole["chunks_left"], whole["phase"]) == (1, 3, 1, "deleting")
    assert whole["this_process"] == whole["manifest_so_far"]
    assert (whole["this_process"]["lines"], whole["this_process"]["deleted"]) == (3_100, 3_099)
    assert whole["elapsed_s"] == max(part["elapsed_s"] for part in parts)
    (failure,) = whole["failures"]
    assert [failure] == [each for part in parts for each in part.get("failures", ())]
    (kept,) = whole["kept"]
    assert names[0] in kept


def test_a_task_makes_no_manifest(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says which command does."""
    monkeypatch.setenv("CLOUD_RUN_TASK_COUNT", "3")
    monkeypatch.setenv("CLOUD_RUN_EXECUTION", "e-1")
    ended = scene.delete(1)
    assert (ended.code, "one process makes the manifest" in ended.err) == (2, True)


def test_the_reverse_mirror_s_copies_do_not_begin_the_soaking_anew(scene: Scene) -> None:
    """What was written at the new path after the cutover, and brought back."""
    scene.cut_over(days_ago=8)
    scene.watched("GGGGGGG")
    scene.paths.put(day(1), b"one", side="destination")
    scene.paths.put(day(1), b"one")
    assert scene.run("--soak-days", "7").code == 0
    scene.paths.put(day(2), b"one")
    scene.paths.put(day(2), b"one", side="destination")
    assert scene.run("--soak-days", "7").code == 1
    ended = scene.delete(2, "--soak-days", "7")
    assert ended.code == 2
    said = rf"FAIL late-writes: 1 object written there since the cutover, last at \S+ \S+ UTC: {day(2)} "
    assert re.search(said, ended.words)


def test_the_verification_of_the_seventh_day_allows_the_deletion(scene: Scene) -> None:
    """Each verification records its day, with its comparison; a part that is red ends the row, also on the same day."""
    scene.cut_over(days_ago=8)
    for side in ("destination", "source"):  # written at the new path, and brought back
        scene.paths.put(day(1), b"one", side=side)
    scene.watched("GGGGGG.")
    refused = scene.run()
    said = " ".join(refused.out.split())
    assert (refused.code, "6 green days in a row" in said) == (1, True), refused.out
    assert "records a day, by a schedule or by hand python -m backfill_job verify --source gs:" in said
    entries = len(scene.commands.state.history)
    verified = scene.commands.run("verify")
    assert verified.code == 0
    assert len(scene.commands.state.history) == entries + 2
    assert {part.name: part.light for part in scene.commands.state.history[-1].day} == {
        "verified equal": Light.GREEN,
        "mirror alive": Light.GREEN,
        "no late writer": Light.GREEN,
        "no foreign reader": Light.NOT_APPLICABLE,
        "consumer loaded": Light.NOT_APPLICABLE,
    }
    applicable = "green: verified equal, mirror alive, no late writer"
    assert f": green ({applicable}; not applicable: no foreign reader, consumer loaded)" in verified.out
    (today,) = re.findall(r"^Day (\S+): green ", verified.out, re.MULTILINE)
    (line,) = (each for each in verified.log.splitlines() if " day_green: " in each)
    parts = f"{applicable}; not applicable: no foreign reader, consumer loaded"
    assert line.endswith(f' day="{today}" summary="{parts}"')
    assert scene.run().code == 0
    assert "\n7 green days in a row (" in run_command("status", *where(scene.paths)).out
    scene.paths.put(day(2), b"late")
    verified = scene.commands.run("verify")
    assert "\n  verified equal: 1 missing: " in verified.out
    assert "; no late writer: somebody wrote at the legacy path, last at 20" in verified.out
    (line,) = (each for each in verified.log.splitlines() if " day_not_green: " in each)
    assert ' day="20' in line
    assert ' summary="verified equal: 1 missing: ' in line, "why, and not only which parts"
    assert "0 green days in a row" in " ".join(scene.run("--override", "late-writes").out.split())


@pytest.mark.parametrize("arguments", [("--no-record",), ("--since", "1d")], ids=" ".join)
def test_a_verification_that_is_not_on_record_records_no_day(
    scene: Scene, arguments: tuple[str, ...]
) -> None:
    """Nor does one of a part of the names; nor one before the cutover."""
    scene.both(day(1))
    scene.commands.run("verify")
    assert not scene.commands.state.history[-1].day
    scene.cut_over(days_ago=8)
    scene.commands.run("verify", *arguments)
    assert not any(entry.day for entry in scene.commands.state.history)


def test_the_help_names_what_can_be_overridden(capsys: pytest.CaptureFixture[str]) -> None:
    """And shows the commands to type."""
    with pytest.raises(SystemExit):
        delete_old_qpi_exports.COMMAND.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "soak, late-writes, names, erased, references, readers, sign-offs" in text
    assert "--confirm-delete --resume gs://" in text
    assert PASS[1] in text


def test_a_mark_of_the_mirror_begins_the_soaking_anew(scene: Scene, gateway: Gateway) -> None:
    """Also where the data no longer shows the late write."""
    scene.cut_over(days_ago=8)
    scene.watched("GGGGGGG")
    for side in ("destination", "source"):
        scene.paths.put(day(1), b"one", side=side)
    written = gateway.look(scene.paths.migration.source_ref(day(1)))
    assert written is not None
    mark_late_write(gateway, scene.paths.migration, day(1), written)
    ended = scene.delete(1, "--soak-days", "7")
    assert (ended.code, "late-writes: the mirror saw a write there at 20" in ended.words) == (2, True)


@pytest.mark.parametrize(
    ("settings", "said", "in_the_plan"),
    [
        (
            {"softDeletePolicy": {"retentionDurationSeconds": 0}},
            (
                "Afterwards: soft delete is OFF: an undo could only copy back from the new path. Consider: gcloud storage "
                "buckets update gs://{legacy} --soft-delete-duration=30d."
            ),
            {"soft_delete_s": 0.0, "versioning": False, "retention_s": 0.0},
        ),
        (
            {"versioning": {"enabled": True}, "retentionPolicy": {"retentionPeriod": 7200}},
            (
                "Afterwards: soft delete holds deleted objects for 7 d; versioning keeps them as noncurrent versions "
                "too; a retention policy of 2 h keeps younger objects from being deleted."
            ),
            {"soft_delete_s": 604800.0, "versioning": True, "retention_s": 7200.0},
        ),
        (
            None,
            "Afterwards: not known whether soft delete is on (permission denied (The caller does not have the needed permission.)).",
            {"soft_delete_s": None, "versioning": False, "retention_s": 0.0},
        ),
    ],
    ids=["off", "versions and retention", "may not be read"],
)
def test_what_would_still_hold_a_deleted_object_is_said_before(
    scene: Scene, tmp_path: Path, settings: dict[str, Any] | None, said: str, in_the_plan: dict[str, Any]
) -> None:
    """By the legacy bucket's settings; that they may not be read is said, and refuses nothing."""
    scene.both(day(1))
    scene.cut_over()
    bucket = scene.paths.bucket("source")
    if settings is None:
        rule = {"method": "storage.buckets.get", "bucket": bucket.name, "count": None, "status": 403}
        scene.paths.server.set_faults(rules=[rule])
    else:
        scene.paths.client._connection.api_request("PATCH", f"/b/{bucket.name}", data=settings)
    ended = scene.run("--soak-days", "0", "--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (0, "")
    assert said.format(legacy=bucket.name) in " ".join(ended.out.split())
    plan = json.loads((tmp_path / "r" / "deletion-plan.json").read_text())
    assert plan["safety_net"] == in_the_plan


def kept_by_a_late_writer(scene: Scene) -> tuple[str, str]:
    """A deletion that kept one of two lines; gives its manifest and the name of its chunk's record."""
    scene.both(day(1), day(2))
    scene.cut_over()
    scene.commands.pauses = lambda _: scene.paths.put(day(1), b"a late writer") and None
    assert scene.delete(2).code == 1
    scene.commands.pauses = lambda _: None
    (record,) = (name for name in scene.own_names() if name.endswith("/000000.json"))
    return scene.manifest_uri, record


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content.pop("books"), "books is missing"),
        (lambda content: content["books"].update(deleted=5), "its counts do not balance"),
        (lambda content: content["books"].update(lines=7, deleted=6), "its counts do not balance"),
        (lambda content: content.update(kept=[]), "its counts do not balance"),
    ],
    ids=["a part is missing", "a sum that is wrong", "another number of lines", "what was kept is missing"],
)
def test_a_record_that_was_changed_settles_nothing(
    scene: Scene, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    """It would let a line pass for deleted; the resumption refuses it, names it, and deletes nothing."""
    manifest, record = kept_by_a_late_writer(scene)
    blob = scene.paths.bucket("destination").blob(record)
    content = json.loads(blob.download_as_bytes())
    change(content)
    blob.upload_from_string(json.dumps(content))
    ended = scene.delete(2, "--resume", manifest)
    assert (ended.code, ended.err.count("\n")) == (1, 1)
    why = f"not the record of a chunk ({said}); remove it: its lines are then tried again"
    assert f"{record}: {why}" in ended.err
    assert (scene.phase, scene.paths.names(side="source")) == (Phase.DELETING, [day(1)])


def test_another_manifest_s_record_settles_nothing(scene: Scene) -> None:
    """Every line is asked for again, and those that are gone count as already gone."""
    manifest, record = kept_by_a_late_writer(scene)
    blob = scene.paths.bucket("destination").blob(record)
    content = json.loads(blob.download_as_bytes())
    blob.upload_from_string(json.dumps({**content, "manifest_sha256": "0" * 64}))
    ended = scene.delete(2, "--resume", manifest)
    assert ended.code == 1
    assert "2 objects: 1 already gone, 1 overwritten since" in ended.out


class SomebodyElse:
    """A terminal at which the operator confirms while somebody else does something."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.meanwhile = meanwhile
        self.answers = [f"{CONFIRM}\n", "yes\n"]

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        if len(self.answers) == 1:
            self.meanwhile()
        return self.answers.pop(0)


def test_a_phase_that_changes_while_the_operator_confirms_deletes_nothing(scene: Scene) -> None:
    """A rollback in that moment makes the legacy path the source of truth."""
    scene.both(day(1))
    scene.cut_over()
    terminal = SomebodyElse(lambda: scene.commands.go(Phase.ROLLED_BACK))
    words = (
        *PASS,
        "--manifest-dir",
        str(scene.folder),
        "--confirm-delete",
        "--soak-days",
        "0",
        "--ungoverned",
    )
    ended = scene.commands.run("delete", *words, stdin=terminal)
    assert ended.code == 2
    assert "the phase is rolled_back now: another command changed it; nothing was deleted" in ended.err
    assert (scene.phase, scene.paths.names(side="source")) == (Phase.ROLLED_BACK, [day(1)])
    assert not any("manifest" in entry.what for entry in scene.commands.state.history)


def test_a_resumption_looks_at_the_consumers_code_where_it_is_named(scene: Scene, tmp_path: Path) -> None:
    """What was overridden when it was begun needs no new reason; what is found now refuses."""
    manifest, _ = kept_by_a_late_writer(scene)
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "dag.py").write_text(f'OLD = "{scene.paths.migration.source.uri}"\n')
    said = ("--confirm-text", CONFIRM, "--expect-objects", "2", "--manifest-dir", str(scene.folder))
    words = ("--confirm-delete", "--ungoverned", *said, "--resume", manifest)
    ended = scene.commands.run("delete", *words, "--repo", str(checkout))
    assert ended.code == 1
    assert "\nOVERRIDE references: " in ended.out


@pytest.mark.parametrize(("months", "heading", "rows"), [(12, "month", 12), (13, "year", 2)])
def test_the_dry_run_fits_25_lines_of_80_columns(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, months: int, heading: str, rows: int
) -> None:
    """By month up to twelve of them, else by year; --details has each day. No object is left out of the sum."""
    monkeypatch.setenv("COLUMNS", "80")
    days = [f"{2024 + number // 12}{1 + number % 12:02}15" for number in range(months)]
    scene.both(*(f"qpi_answers_{each}/user_id_{user}.jsonl" for each in days for user in (1, 2)))
    scene.soak()
    checkout = scene.folder / "dags"
    checkout.mkdir()
    (checkout / "config.py").write_text(f'PATH = "{scene.paths.migration.destination.uri}"\n')
    words = (*where(scene.paths), "--grace", "0", "--soak-days", "0", "--repo", str(checkout))
    shown = run_command("delete", *words, "--log-dir", str(scene.folder / "logs"), typed="")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", shown.out)
    lines = [line for line in plain.splitlines() if "STORAGE_EMULATOR_HOST" not in line]
    table = [line.split() for line in lines if re.match(r"20\d\d", line)]
    assert (shown.code, len(table), sum(int(row[2]) for row in table)) == (0, rows, 2 * months)
    assert any(line.startswith(heading) for line in lines)
    assert len(lines) <= 25, plain
    assert max(map(len, lines[1:-1])) <= 80
    details = scene.run("--soak-days", "0", "--details").out
    assert len(re.findall(r"(?m)^20\d\d-\d\d-15 +2 +2 ", details)) == months


@pytest.mark.parametrize(("days", "wants"), [("1e-12", True), ("1e-300", True), ("0", False), ("-0", False)])
def test_a_soak_is_not_rounded_to_none(days: str, *, wants: bool) -> None:
    """A part of a day wants a whole green day; only 0 wants none."""
    parser = argparse.ArgumentParser()
    delete_old_qpi_exports.add_arguments(parser)
    assert (parser.parse_args([f"--soak-days={days}"]).soak_days > timedelta()) is wants


@pytest.mark.parametrize("days", ["soon", "-1", "nan", "inf", "3651", "+1", "1_0", " 1"])
def test_a_time_to_soak_that_is_none_is_refused(
    scene: Scene, capsys: pytest.CaptureFixture[str], days: str
) -> None:
    """Nobody gets around the soak by a number that compares with nothing."""
    with pytest.raises(SystemExit) as ended:
        scene.run(f"--soak-days={days}")
    assert ended.value.code == 2
    assert f"{days!r} is not a number of days from 0" in capsys.readouterr().err


def parser() -> OneLineParser:
    made = OneLineParser()
    delete_old_qpi_exports.add_arguments(made)
    return made


OPTIONS = [action for action in parser()._actions if action.option_strings and action.dest != "help"]
VALUES = {
    "--env": "dev",
    "--report": "r",
    "--erased": "list",
    "--manifest-dir": ".",
    "--log-dir": ".",
    "--repo": ".",
    "--resume": "m",
    "--confirm-text": CONFIRM,
    "--source": "gs://old/a/",
    "--destination": "gs://new/a/",
    "--name": "billing",
}
"""Values where "1" is not one."""
OF_THE_PREPARING_PROCESS = {"--dry-run", "--prepare", "--resume"}
"""They do not go with ``--tasks``, except ``--resume``, which the tasks get with the manifest that was made."""


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.option_strings[0])
def test_tasks_get_every_option_and_refuse_none(option: argparse.Action) -> None:
    """An option goes to the tasks as it was typed, or says what the manifest holds. A new option is asked for here by itself."""
    name = option.option_strings[0]
    if name in OF_THE_PREPARING_PROCESS:
        return
    value = option.choices[0] if isinstance(option.choices, Sequence) else VALUES.get(name, "1")
    given = (name,) if option.nargs == 0 else (name, str(value))
    text = CONFIRM
    pair: tuple[str, ...] = ("--env", "dev")
    if name in {"--name", "--source", "--destination"}:
        pair = ("--source", "gs://old/a/", "--destination", "gs://new/a/")
        text = "DELETE_BILLING" if name == "--name" else "DELETE_A"
    said = ("--confirm-delete", "--confirm-text", text, "--expect-objects", "1", "--by", "Ada")
    others = without_options((*pair, *said, "--reason", "why", "--tasks", "2"), {name: len(given) - 1})
    typed = (*others, *given, *given)
    more = ("--resume", "m", "--confirm-text", text, "--expect-objects", "7")
    kept = with_options(typed, more, OF_THE_MANIFEST)
    task = parser().parse_args(kept)
    process = ProcessIO({}, io.StringIO(), io.StringIO(), io.StringIO(), system_clock())
    settings = Settings.from_environ({"CLOUD_RUN_EXECUTION": "e", "CLOUD_RUN_TASK_COUNT": "2"})
    delete_old_qpi_exports.check_arguments(task, settings, process)
    assert (name in kept) is (name not in OF_THE_MANIFEST)
    assert (task.erased, task.anew, task.expect_objects) == (None, False, 7)


def test_what_was_overridden_at_the_beginning_stays_the_word_of_who_did_it(scene: Scene) -> None:
    """A resumption needs no name, so it is not "by unknown"."""
    scene.both("a/1", "a/2")
    scene.cut_over(signed=False)
    over = ("--override", "sign-offs", "--reason", "they are on holiday", "--by", "Ada")
    hold = scene.paths.bucket("source").blob("QPI_exports/a/1")
    hold.temporary_hold = True
    hold.patch()
    assert scene.delete(2, *over).code == 1
    said = ("--confirm-text", CONFIRM, "--expect-objects", "2")
    ended = scene.commands.run(
        "delete", "--confirm-delete", "--ungoverned", "--resume", scene.manifest_uri, *said
    )
    assert "by Ada: they are on holiday" in ended.out


def test_after_an_undo_no_advice_is_about_the_old_manifest(scene: Scene) -> None:
    """It cannot delete what is there again; --anew can. Verify, status and migrate say how things are."""
    names = [f"qpi_answers_2024010{number}/user_id_1.jsonl" for number in range(1, 4)]
    scene.both(*names)
    scene.cut_over()
    assert scene.delete(3).code == 0
    manifest = scene.manifest_uri
    assert scene.undo(manifest, "--only", names[0], "--execute").code == 0
    ended = scene.commands.run("delete", "--soak-days", "0", *PASS)
    assert (ended.code, "--resume" in ended.out, "--confirm-delete --anew" in ended.out) == (0, False, True)
    refused = scene.delete(1)
    assert (refused.code, "--resume" in refused.err, "--anew" in refused.err) == (2, False, True)
    verified = scene.commands.run("verify")
    assert "2 names at the new path only, as a deletion leaves them; 1 object at gs://" in verified.out
    migrated = scene.commands.run("migrate", "--execute", "--yes", "--ungoverned")
    assert migrated.code == 0, migrated.out
    assert (
        "verified: 1 name of the legacy path equal, 2 at the new path only since the deletion" in migrated.out
    )
    assert "the two sides differ" not in migrated.out
    shown = run_command("status", *where(scene.paths)).out
    assert "Since then 1 object came to the legacy path again" in shown
    assert "When what it brought back is no longer needed, see what a further deletion would take." in shown
    scene.paths.put(names[1], b"another")
    assert scene.commands.run("migrate", "--execute", "--yes", "--ungoverned").code == 1
