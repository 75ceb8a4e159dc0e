"""The command as a process of its own: the ways to call it, and what a kill leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import Paths

ROOT = Path(__file__).parent.parent.parent
PYTHON = sys.executable

WAYS = {
    "module": [PYTHON, "-m", "backfill_job", "migrate"],
    "script": [PYTHON, str(ROOT / "backfill_job" / "migrate_qpi_exports.py")],
    "command": [str(Path(PYTHON).with_name("migrate_qpi_exports"))],
}


def arguments(paths: Paths, *more: str) -> list[str]:
    migration = paths.migration
    return [
        "--source",
        migration.source.uri,
        "--destination",
        migration.destination.uri,
        "--grace",
        "0",
        *more,
    ]


def environ(paths: Paths) -> dict[str, str]:
    return {**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url}


@pytest.mark.parametrize("way", WAYS)
def test_three_ways_to_call_it_are_the_same_command(paths: Paths, tmp_path: Path, way: str) -> None:
    """From any folder, as users' scripts and the job's image do."""
    paths.put("a", b"one")
    done = subprocess.run(
        [*WAYS[way], *arguments(paths, "--execute", "--yes")],
        env=environ(paths),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert paths.names() == ["a"]
    assert "verified: both sides are equal" in done.stdout


@pytest.mark.parametrize("way", WAYS)
def test_every_way_has_a_help_with_examples(tmp_path: Path, way: str) -> None:
    """And a bad argument is exit code 2."""
    done = subprocess.run([*WAYS[way], "--help"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "migrate_qpi_exports --env dev --execute" in done.stdout
    wrong = subprocess.run(
        [*WAYS[way], "--enw", "dev"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr


def settled(paths: Paths) -> int:
    """Objects at the destination, when the last requests of the killed process have had their effect."""
    seen = -1
    while (now := len(paths.names())) != seen:
        seen = now
        time.sleep(0.2)
    return seen


def test_after_a_kill_only_the_rest_is_copied(paths: Paths, tmp_path: Path) -> None:
    """kill -9 in the middle, the same command again: counted in rewrites, and verified."""
    total = 1_000
    paths.server.fill(paths.migration.source.bucket, total, prefix=paths.migration.source.prefix)
    paths.server.set_faults(latency_ms=20)
    command = [*WAYS["module"], *arguments(paths, "--execute", "--yes", "--report", "r")]
    with subprocess.Popen(command, env=environ(paths), cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        while paths.requests("storage.objects.rewrite") < total // 4:
            assert process.poll() is None, "it finished before it could be killed"
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    paths.server.clear_faults()
    copied = settled(paths)
    assert 0 < copied < total
    assert not (tmp_path / "r" / "run.json").exists()
    paths.server.reset_stats()
    done = subprocess.run(
        command, env=environ(paths), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert paths.requests("storage.objects.rewrite") == total - copied
    assert f"{total - copied:,} copied, {copied:,} already equal" in done.stdout
    assert (tmp_path / "r" / "run.json").exists()
