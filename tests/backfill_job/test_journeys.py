"""Whole journeys through the commands, compared with what they showed, logged, reported and left before.

Each stands for a class of faults that single assertions let live: a figure that is not added up, two fields exchanged, a line that
is not said, an event on a run that was good.
"""

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from testing_deletion import CONFIRM, PASS, Scene, day
from testing_gate import everything_right
from testing_journey import Journey
from testing_paths import Paths

import local_gcs
from demo.function import running_function
from shared.gateway import Gateway
from shared.partitions import answers_folder
from shared.phase import Phase
from shared.state import Signatory

Begin = Callable[[str], Journey]
NOW = ("--by", "Ada", "--yes", "--ungoverned")
COPY = ("--execute", "--yes", "--ungoverned")


@pytest.fixture
def begin(
    server: local_gcs.LocalServer,
    paths: Paths,
    gateway: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Begin:
    # Paths are relative, so that the names of temporary folders do not move what is wrapped on a screen.
    monkeypatch.chdir(tmp_path)
    return lambda name: Journey.of(name, server, paths, gateway, Path())


def scene_of(on: Journey) -> Scene:
    return Scene(on.paths, on.commands, on.folder)


def delete(
    on: Journey, objects: int, *arguments: str, checks: tuple[str, ...] = PASS, soak: str = "0"
) -> int:
    said = ("--confirm-text", CONFIRM, "--expect-objects", str(objects), "--manifest-dir", str(on.folder))
    words = ("--confirm-delete", "--ungoverned", "--soak-days", soak, *said, *checks)
    return on.run("delete", *words, *arguments).code


def test_a_migration_from_the_first_look_to_its_verification(begin: Begin) -> None:
    """Copies, an overwrite, what only the new path has, what is excluded, odd names."""
    on = begin("migrate")
    on.put(day(1), b'{"user_id":"1"}\n')
    on.put(day(1, 2), b'{"user_id":"2"}\n' * 3)
    on.put("qpi_answers_20240102/", b"")
    on.put("plain [bold]text[/bold].txt", b"text", content_type="text/plain", metadata={"k": "v"})
    on.put(".DS_Store", b"finder")
    on.both("same", day(3))
    on.put("differs", b"source")
    on.put("differs", b"destination, older", side="destination")
    on.put("only new", b"x", side="destination")
    on.run("smoke", report=False)
    on.run("status", report=False)
    on.run("migrate")
    on.run("migrate", *COPY)
    on.run("migrate", *COPY)
    on.run("verify")
    on.run("status", report=False)
    on.storage()
    on.compare()


def test_a_good_run_from_the_copy_to_the_undo_logs_what_it_must_and_nothing_bad(
    begin: Begin, paths: Paths, gateway: Gateway, tmp_path: Path
) -> None:
    """Migrate, verify, gate, cutover, delete, undo: every event of the log, and not one of WARNING or above."""
    on = begin("good")
    on.commands.pauses = on.commands.mirrors_work
    on.put(day(1), b'{"user_id":"1"}\n')
    on.run("migrate")
    on.run("migrate", *COPY)
    (asked,) = (fields for event, fields in on.events if event == "run_finished")
    (report,) = Path().glob("*/run.json")
    operations = json.loads(report.read_text())["operations"]
    assert operations == {"class_a": asked["class_a"], "class_b": asked["class_b"]}
    assert operations["class_a"] > operations["class_b"] > 0
    arguments = everything_right(on.paths, on.commands)
    for log in (on.folder / "logs").glob("*"):
        log.rename(on.folder / f"before {log.name}")
    on.note()
    with running_function(on.paths.server.url, on.paths.migration, tmp_path / "mirror.log") as function:
        subscriber = on.paths.server.add_subscriber(
            function.url, types=["finalized"], bucket=on.paths.migration.source.bucket
        )
        on.run("gate", *arguments)
        on.run("cutover", *NOW, *arguments)
        on.paths.server.remove_subscriber(subscriber)
        function.kill()
    on.run("verify")
    on.run("rollback", "--dry-run")
    repo = arguments[:2]
    on.run("delete", "--soak-days", "0", *repo)
    assert delete(on, 9, "--by", "Ada", checks=repo) == 0
    manifest = scene_of(on).manifest_uri
    on.run("undo", manifest)
    on.run("undo", manifest, "--execute", "--yes")
    on.run("status", report=False)
    on.storage()
    assert {fields["severity"] for _, fields in on.events} == {"INFO"}
    events = Counter(event for event, _ in on.events)
    for as_time_goes_by in ("progress", "deletion_progress"):
        assert events.pop(as_time_goes_by) >= 1
    assert events == {
        "run_started": 10,
        "day_green": 1,
        "plan_made": 2,
        "run_finished": 1,
        "verification_finished": 4,
        "canary_written": 2,
        "gate_checked": 2,
        "state_changed": 3,
        "handed_over": 1,
        "manifest_written": 1,
        "deletion_finished": 1,
        "undo_finished": 1,
    }
    on.compare()


def test_a_gate_where_everything_is_wrong(begin: Begin) -> None:
    """Each check with its evidence and what to do about it."""
    on = begin("no-go")
    on.run("gate")
    on.both(day(1))
    on.put(day(2), b"missing")
    today = datetime.now(UTC).date()
    for side in ("source", "destination"):
        on.put(f"{answers_folder(today)}x.txt", b"x", side=side)
    new = on.paths.bucket("destination")
    new.blob("QPI_Exports/wrong case").upload_from_string(b"x")
    checkout = on.folder / "checkout"
    checkout.mkdir()
    (checkout / "dag.py").write_text(f'OLD = "{on.paths.migration.source.uri}"\n')
    letters = on.folder / "letters.json"
    letters.write_text("[]")
    on.run("verify")
    on.run("signoff", "data", "--by", "Ada", "--note", "looked at", report=False)
    on.run("gate", "--repo", str(checkout), "--dead-letters", str(letters))
    on.run("cutover", *NOW)
    on.commands.go(Phase.CUT_OVER)
    on.run("gate", "--canary", "1")
    on.run("status", report=False)
    on.storage()
    on.compare()


def test_what_both_sides_write_between_cutover_and_rollback(begin: Begin) -> None:
    """Conflicts, late writes, later writes on either path: each is named, counted and kept."""
    on = begin("both-ways")
    on.both(day(1), day(2), day(3), "README")
    on.run("verify")
    on.commands.go(Phase.CUT_OVER)
    on.put(day(1), b"written late on the legacy path")
    on.put(day(4), b"new and late")
    on.put(day(2), b"first on the legacy path")
    on.put(day(2), b"then on the new one", side="destination")
    on.put(day(5), b"new on the new path, only", side="destination")
    on.run("migrate")
    on.run("migrate", *COPY)
    on.run("verify")
    on.run("cutover", *NOW)
    on.run("verify")
    on.put(day(3), b"new path")
    on.put(day(3), b"new path, later", side="destination")
    on.put("README", b"on the new path", side="destination")
    on.put("README", b"later on the legacy path")
    on.run("rollback", "--dry-run")
    on.run("rollback", "--refresh", "--ungoverned")
    on.run("rollback", *NOW)
    on.run("rollback", *NOW)
    on.run("status", report=False)
    on.storage()
    on.compare()


def test_a_deletion_that_is_refused_then_interfered_with_and_undone(begin: Begin) -> None:
    """Every refusal, every outcome of a line, the resumption, another verification, and every way back."""
    on = begin("delete")
    on.both(*(day(number) for number in range(1, 7)), "notes", metadata={"k": "v"})
    on.put("only here", b"legacy only")
    on.put(".DS_Store", b"finder")
    on.run("delete")
    assert delete(on, 1) == 2
    on.paths.delete("only here")
    for name in Signatory:
        on.run("signoff", name.value, "--by", "Ada", report=False)
    on.commands.go(Phase.CUT_OVER)
    on.put("late", b"late")
    on.put("late", b"late", side="destination")
    on.run("delete", "--soak-days", "1", "--override", "late-writes", "--reason", "a test", "--by", "Ada")
    passed = (*PASS, "--override", "late-writes", "--override", "soak")
    assert delete(on, 1, checks=passed) == 2

    def meanwhile(_: float) -> None:
        on.put(day(1), b"a late writer")
        on.put(day(2), b"the new writer", side="destination")
        blob = on.paths.bucket("source").blob("QPI_exports/" + day(3))
        blob.temporary_hold = True
        blob.patch()
        on.paths.delete(day(4))
        on.put(day(9), b"came after the manifest")
        on.commands.pauses = lambda _: None

    on.commands.pauses = meanwhile
    assert delete(on, 8, checks=passed) == 1
    manifest = scene_of(on).manifest_uri
    assert delete(on, 8, "--resume", manifest, checks=()) == 1
    blob = on.paths.bucket("source").blob("QPI_exports/" + day(3))
    blob.temporary_hold = False
    blob.patch()
    assert delete(on, 8, "--resume", manifest, checks=()) == 1
    on.run("status", report=False)
    on.put(day(6), b"newer", side="destination")
    on.put("late", b"somebody's")
    on.run("undo", manifest)
    on.run("undo", manifest, "--only", "qpi_answers_20240105/*", "--execute", "--yes")
    on.run("undo", manifest, "--execute", "--yes")
    on.storage()
    on.compare()


def test_a_deletion_without_soft_delete_and_its_undo(begin: Begin) -> None:
    """What only the new path holds can be copied back, and what it does not hold is lost."""
    on = begin("no-soft-delete")
    bucket = on.paths.bucket("source")
    bucket.reload()
    bucket.soft_delete_policy.retention_duration_seconds = 0
    bucket.versioning_enabled = True
    bucket.patch()
    on.both(day(1), day(2), day(3), "notes")
    scene_of(on).cut_over(days_ago=30)
    on.run("delete", "--soak-days", "0")
    on.run(
        "undo",
        "--rehearse",
        *("--source", on.paths.migration.source.uri),
        *("--destination", on.paths.migration.destination.uri),
    )
    assert delete(on, 4) == 0
    manifest = scene_of(on).manifest_uri
    on.put(day(2), b"newer", side="destination")
    on.paths.delete(day(3), side="destination")
    on.put("notes", b"notes", side="destination", content_type="text/plain")
    on.run("undo", manifest)
    on.run("undo", manifest, "--execute", "--yes")
    on.storage()
    on.compare()


def test_two_tasks_share_a_migration_a_verification_and_a_deletion(begin: Begin) -> None:
    """Each has its part of the figures; the last puts the whole together."""
    on = begin("tasks")
    on.both(day(1), day(2))
    on.put(day(3), b"new")
    on.put("README", b"readme")
    on.put("other", b"x", side="destination")
    for number in range(2):
        on.run_task(number, 2, "migrate", *COPY)
    on.paths.delete("other", side="destination")
    on.put("README", b"changed since")
    for number in range(2):
        on.run_task(number, 2, "verify", "--since", "2024-01-02")
    on.put("README", b"changed since", side="destination")
    on.run("verify")
    scene_of(on).cut_over(days_ago=30)
    said = (
        "--confirm-text",
        CONFIRM,
        "--expect-objects",
        "4",
        "--manifest-dir",
        str(on.folder),
        "--soak-days",
        "0",
    )
    on.run("delete", *PASS, *said, "--confirm-delete", "--prepare")
    manifest = scene_of(on).manifest_uri
    for number in range(2):
        on.run_task(number, 2, "delete", "--confirm-delete", "--ungoverned", *said, "--resume", manifest)
    on.storage()
    on.compare()


def test_a_copy_that_fails_halfway(begin: Begin) -> None:
    """An object that is refused, a permission that is missing, a source without objects: what is said and counted."""
    on = begin("faults")
    on.run("migrate")
    on.run("migrate", *COPY)
    on.run("verify")
    on.put(day(1), b"one")
    rewrite = {"method": "storage.objects.rewrite", "count": None}
    # One object only: how far the listings are when a permission turns out to be missing differs from run to run.
    on.paths.server.set_faults(rules=[{**rewrite, "status": 403}])
    on.run("migrate", *COPY, "--in-flight", "1")
    on.put(day(2), b"two")
    on.paths.server.set_faults(rules=[{**rewrite, "status": 400, "name_prefix": f"QPI_exports/{day(1)}"}])
    on.run("migrate", *COPY)
    on.paths.server.clear_faults()
    on.run("migrate", *COPY)
    on.storage()
    on.compare()
