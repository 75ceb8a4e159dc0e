"""The deletion as processes of their own: the ways to call it, kills, and tasks on one machine."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from testing_commands import where, without_log
from testing_deletion import CONFIRM, PASS, Scene, day

from local_gcs.waiting import HANGS
from shared.phase import Phase

ROOT = Path(__file__).parent.parent.parent
WAYS = {
    "module": [sys.executable, "-m", "backfill_job", "delete"],
    "script": [sys.executable, str(ROOT / "backfill_job" / "delete_old_qpi_exports.py")],
    "command": [str(Path(sys.executable).with_name("delete_old_qpi_exports"))],
}


SOAKED = ("--grace", "0", *PASS, "--soak-days", "0")
SLOWLY = ("--max-writes-per-second", "500")
"""Leaves a slow machine seconds to interrupt the command in the middle."""


def line(scene: Scene, objects: int, *more: str) -> list[str]:
    said = ["--confirm-delete", "--confirm-text", CONFIRM, "--expect-objects", str(objects)]
    return [*WAYS["module"], *where(scene.paths), *SOAKED, "--ungoverned", *said, *more]


def environ(scene: Scene) -> dict[str, str]:
    return {**os.environ, "STORAGE_EMULATOR_HOST": scene.paths.server.url}


def done(scene: Scene, command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=environ(scene), cwd=folder, capture_output=True, text=True, check=False
    )


def begun(scene: Scene, objects: int) -> str:
    """Prepare a deletion; gives the manifest."""
    scene.cut_over()
    assert scene.delete(objects, "--prepare").code == 0
    return scene.manifest_uri


@pytest.mark.parametrize("way", WAYS)
def test_three_ways_to_call_it_are_the_same_command(scene: Scene, tmp_path: Path, way: str) -> None:
    """From any folder; its log is called as the user's script called it."""
    scene.both(day(1))
    scene.cut_over()
    ended = done(scene, [*WAYS[way], *where(scene.paths), *SOAKED], tmp_path)
    assert (ended.returncode, without_log(ended.stderr)) == (0, "")
    assert "1 object would be deleted" in ended.stdout
    assert len(scene.paths.names(side="source")) == 1
    (log,) = tmp_path.glob("*.log")
    assert re.fullmatch(r"delete_old_qpi_exports_custom_\d{8}T\d{6}Z\.log", log.name)


def test_after_a_kill_the_manifest_goes_on(scene: Scene, tmp_path: Path) -> None:
    """kill -9 in the middle; a writer uses the pause; the resumption deletes the rest, and not the writer's."""
    total = 6_000
    names = scene.fill(total)
    manifest = begun(scene, total)
    scene.paths.server.set_faults(latency_ms=30)
    scene.paths.server.reset_stats()
    command = line(scene, total, "--resume", manifest)
    with subprocess.Popen(
        [*command, *SLOWLY], env=environ(scene), cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as process:
        scene.paths.wait_for_requests("storage.objects.delete", total // 4, process.poll)
        process.send_signal(signal.SIGKILL)
    scene.paths.server.clear_faults()
    left = scene.paths.settled(side="source")
    assert 0 < left < total
    assert scene.phase is Phase.DELETING
    gone = sorted({*names} - {*scene.paths.names(side="source")})
    scene.paths.put(gone[0], b"written again")
    scene.paths.put(names[-1], b"written over")
    ended = done(scene, command, tmp_path)
    assert (ended.returncode, without_log(ended.stderr)) == (1, "")
    assert sorted(scene.paths.names(side="source")) == sorted([gone[0], names[-1]])
    assert scene.paths.read(gone[0], side="source") == b"written again"
    assert scene.paths.read(names[-1], side="source") == b"written over"
    books = re.search(
        r"6,000 objects: ([\d,]+) deleted(?:, ([\d,]+) already gone)?, (\d) overwritten since", ended.stdout
    )
    assert books is not None, ended.stdout
    numbers = [int((group or "0").replace(",", "")) for group in books.groups()]
    assert sum(numbers) == total
    assert numbers[2] in {1, 2}  # a line that was settled before the kill is not asked for again
    assert len(scene.paths.names()) == total


def test_a_signal_ends_it_in_good_order(scene: Scene, tmp_path: Path) -> None:
    """What is under way is finished and written down; the books balance; the resumption does the rest."""
    total = 6_000
    scene.fill(total)
    manifest = begun(scene, total)
    scene.paths.server.set_faults(latency_ms=30)
    scene.paths.server.reset_stats()
    command = line(scene, total, "--resume", manifest, "--report", "r")
    with subprocess.Popen(
        [*command, *SLOWLY],
        env=environ(scene),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        scene.paths.wait_for_requests("storage.objects.delete", total // 4, process.poll)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=HANGS)
    scene.paths.server.clear_faults()
    assert (process.returncode, without_log(err)) == (1, "")
    assert "stopped: stopped by SIGTERM" in out
    report = json.loads((tmp_path / "r" / "deletion.json").read_text())["this_process"]
    left = len(scene.paths.names(side="source"))
    assert report["deleted"] == total - left > 0
    assert report["lines"] == report["deleted"] + report["failed"]
    ended = done(scene, command, tmp_path)
    assert (ended.returncode, without_log(ended.stderr)) == (0, "")
    assert f"{total:,} objects: {total:,} deleted" in ended.stdout
    assert (scene.phase, scene.paths.names(side="source")) == (Phase.DELETED, [])


def test_tasks_on_one_machine_share_the_work(scene: Scene, tmp_path: Path) -> None:
    """``--tasks 2``: one consent, two processes, two logs, one sum."""
    scene.fill(3_000)
    manifest = begun(scene, 3_000)
    ended = done(scene, line(scene, 3_000, "--resume", manifest, "--tasks", "2"), tmp_path)
    assert (ended.returncode, without_log(ended.stderr)) == (0, "")
    assert "all 2 tasks together: 3,000 objects: 3,000 deleted" in ended.stdout
    assert (scene.phase, scene.paths.names(side="source")) == (Phase.DELETED, [])
    assert len({path.name.partition("_task")[2][0] for path in tmp_path.glob("*_task?_*.log")}) == 2
