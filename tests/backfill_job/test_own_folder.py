"""``_migration/`` where one of the paths is a whole bucket: the objects in it are never data, in whatever direction."""

import asyncio
import json
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from foreign_tools import gcloud_environment
from testing_commands import Commands, run_command
from testing_deletion import Scene, day
from testing_paths import Paths

from backfill_job.verify.case_siblings import case_siblings
from mirror_function.event import EventKind, ObjectEvent
from mirror_function.mirror import MirrorOutcome, mirror
from mirror_function.settings import MirrorSettings
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi
from shared.migration import Location, Migration
from shared.objects import ObjectState
from shared.phase import Phase, PhaseReader

ROOT = Path(__file__).parent.parent.parent
COPY = ("--execute", "--yes", "--ungoverned")
NOW = ("--by", "Ada", "--yes", "--ungoverned")
RECORD = "_migration/other/state.json"
KEPT = "_migration/other/replaced/1/17"
NAMES = (day(1), day(2), "_migrations/1", "_migration", "a/_migration/1")
"""Data: names that only look like the folder's."""


@pytest.fixture
def paths(paths: Paths) -> Paths:
    """The whole legacy bucket is the source. An older migration filled a part of it, and has ended."""
    bucket = paths.migration.source.bucket
    whole = replace(paths, migration=Migration(Location(bucket, ""), paths.migration.destination))
    record = {
        "version": 1,
        "source": "gs://before-that/",
        "destination": f"gs://{bucket}/other/",
        "phase": "deleted",
    }
    whole.begin()
    whole.put(RECORD, json.dumps(record).encode())
    whole.put(KEPT, b"kept")
    whole.server.reset_stats()
    return whole


@pytest.fixture
def commands(paths: Paths, gateway: Gateway, tmp_path: Path) -> Commands:
    return Commands(paths, tmp_path, gateway)


@pytest.fixture
def scene(paths: Paths, commands: Commands, tmp_path: Path) -> Scene:
    return Scene(paths, commands, tmp_path)


def states(paths: Paths) -> dict[str, ObjectState | None]:
    """The older migration's own objects, in the legacy bucket."""
    return {name: paths.look(name, side="source") for name in (RECORD, KEPT)}


def test_nothing_of_it_is_copied_or_verified(paths: Paths, commands: Commands, tmp_path: Path) -> None:
    """The dry run counts it as left behind and says why; the execution copies the rest, and both sides are equal."""
    for name in NAMES:
        paths.put(name)
    dry = commands.run("migrate", "--report", str(tmp_path / "dry"))
    assert dry.code == 0
    plan = json.loads((tmp_path / "dry" / "plan.json").read_text())["findings"]
    assert plan["excluded"]["objects of migrations in _migration/"]["objects"] == 2
    lines = [json.loads(line) for line in (tmp_path / "dry" / "objects.jsonl").read_text().splitlines()]
    assert {line["name"] for line in lines if line["outcome"] == "excluded"} == {RECORD, KEPT}
    done = commands.run("migrate", *COPY)
    assert (done.code, done.err) == (0, "")
    assert sorted(paths.names()) == sorted(NAMES)
    verified = commands.run("verify", "--report", str(tmp_path / "r"))
    assert (verified.code, verified.err) == (0, "")
    certificate = json.loads((tmp_path / "r" / "certificate.json").read_text())
    assert certificate["data"]["total"]["source"]["objects"] == len(NAMES)
    file = str(tmp_path / "r" / "certificate.json")
    check = run_command("certify", "--check", file, "--log-dir", str(tmp_path / "logs"))
    assert (check.code, check.err) == (0, "")
    by_hand = subprocess.run(
        [ROOT / "docs" / "recompute-certificate.sh", file],
        env=gcloud_environment(paths.server.url, tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )
    assert by_hand.stdout.startswith(
        f"same: data SHA-256 {certificate['data_sha256']}\nboth sides are equal"
    ), by_hand


def test_the_way_back_replaces_no_record(paths: Paths, commands: Commands) -> None:
    """An object of the new path would become the older migration's state, or a state where there is none."""
    paths.put("1")
    paths.put("1", side="destination")
    forged = b'{"source": "gs://x/", "destination": "gs://y/", "phase": "dual_write"}'
    commands.go(Phase.CUT_OVER)
    for name in (RECORD, "_migration/new/state.json"):
        paths.put(name, forged, side="destination")
    paths.put("2", side="destination")
    before = states(paths)
    refreshed = commands.run("rollback", "--refresh", "--ungoverned")
    assert (refreshed.code, refreshed.err) == (0, "")
    back = commands.run("rollback", *NOW)
    assert (back.code, back.err) == (0, "")
    assert states(paths) == before
    assert sorted(paths.names(side="source")) == sorted([RECORD, KEPT, "1", "2"])


def test_names_in_it_at_the_new_path_are_not_extra(paths: Paths, commands: Commands) -> None:
    """They are not data on either side, so nobody has to move them away."""
    paths.put("1")
    paths.put("1", side="destination")
    paths.put(RECORD, b"other contents", side="destination")
    assert commands.run("verify").code == 0


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("kind", [EventKind.FINALIZED, EventKind.DELETED])
def test_the_mirror_ignores_its_events(
    paths: Paths, gateway: Gateway, kind: EventKind, reverse: bool
) -> None:
    """In both directions, and before it reads the phase."""
    side = "destination" if reverse else "source"
    paths.put(RECORD, b"forged", side=side)
    state = paths.look(RECORD, side=side)
    assert state is not None
    event = ObjectEvent("e", kind, getattr(paths.migration, side).bucket, state, datetime.now(UTC))
    paths.server.reset_stats()
    settings = MirrorSettings(paths.migration, deletes=not reverse, reverse=reverse)
    done = mirror(event, settings, gateway, PhaseReader(gateway, paths.migration, lambda: 0.0))
    assert (done.outcome, done.because) == (MirrorOutcome.IGNORED, "a migration's own object")
    assert not paths.server.stats()["methods"]


def test_a_deletion_leaves_it_and_an_undo_knows_nothing_of_it(paths: Paths, scene: Scene) -> None:
    """Not in the manifest, although the new path has the very same."""
    scene.both(day(1))
    for name in (RECORD, KEPT):
        paths.put(name, paths.read(name, side="source"), side="destination")
    scene.cut_over()
    before = states(paths)
    ended = scene.delete(1)
    assert (ended.code, ended.err) == (0, "")
    assert [line["name"] for line in scene.lines()] == [day(1)]
    assert states(paths) == before
    assert paths.names(side="source") == [KEPT, RECORD]
    undone = scene.undo(scene.manifest_uri, "--execute")
    assert (undone.code, undone.err) == (0, "")
    assert states(paths) == before


def test_a_bucket_with_nothing_else_is_empty(paths: Paths, commands: Commands) -> None:
    """A typo in the bucket's name shows; what comes after the folder by name counts."""
    ended = commands.run("migrate")
    assert ended.code == 2
    assert "holds no objects" in ended.err
    paths.put("_migration0")
    assert commands.run("migrate").code == 0


def test_it_is_no_sibling_by_case(paths: Paths) -> None:
    """The folder beside a destination that is called almost the same holds no objects that somebody wrote by mistake."""

    elsewhere = Location("elsewhere", "a/")

    async def siblings(prefix: str) -> list[str]:
        async with AsyncApi(endpoint=paths.server.url) as api:
            found = await case_siblings(
                api, Migration(elsewhere, Location(paths.migration.source.bucket, prefix))
            )
        return [sibling.prefix for sibling in found]

    paths.put("a/_migration/1")
    assert asyncio.run(siblings("_Migration/")) == []
    paths.put("A/_MIGRATION/1")
    assert asyncio.run(siblings("a/_Migration/")) == ["A/_MIGRATION/", "a/_migration/"]
