"""The command as a process of its own: the ways to call it, and what a kill leaves behind."""

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from testing_commands import without_log
from testing_paths import Paths

from local_gcs.waiting import HANGS, wait_until

ROOT = Path(__file__).parent.parent.parent
PYTHON = sys.executable

WAYS = {
    "module": [PYTHON, "-m", "backfill_job", "migrate"],
    "script": [PYTHON, str(ROOT / "backfill_job" / "migrate_qpi_exports.py")],
    "command": [str(Path(PYTHON).with_name("migrate_qpi_exports"))],
}


SLOWLY = ("--max-writes-per-second", "100")
"""Leaves a slow machine seconds to interrupt the command in the middle."""


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
    assert (done.returncode, without_log(done.stderr)) == (0, "")
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


def test_after_a_kill_only_the_rest_is_copied(paths: Paths, tmp_path: Path) -> None:
    """kill -9 in the middle, the same command again: counted in rewrites, and verified."""
    total = 1_000
    paths.server.fill(paths.migration.source.bucket, total, prefix=paths.migration.source.prefix)
    paths.server.set_faults(latency_ms=20)
    command = [*WAYS["module"], *arguments(paths, "--execute", "--yes", "--report", "r")]
    with subprocess.Popen(
        [*command, *SLOWLY], env=environ(paths), cwd=tmp_path, stdout=subprocess.DEVNULL
    ) as process:
        paths.wait_for_requests("storage.objects.rewrite", total // 4, process.poll)
        process.send_signal(signal.SIGKILL)
    paths.server.clear_faults()
    copied = paths.settled()
    assert 0 < copied < total
    assert not (tmp_path / "r" / "run.json").exists()
    paths.server.reset_stats()
    done = subprocess.run(
        command, env=environ(paths), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, without_log(done.stderr)) == (0, "")
    assert paths.requests("storage.objects.rewrite") == total - copied
    assert f"{total - copied:,} copied, {copied:,} already equal" in done.stdout
    assert (tmp_path / "r" / "run.json").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_good_order(paths: Paths, tmp_path: Path, number: signal.Signals) -> None:
    """What is under way is finished and booked, nothing more is taken, and no traceback is shown."""
    total = 6_000
    paths.server.fill(paths.migration.source.bucket, total, prefix=paths.migration.source.prefix)
    command = [*WAYS["module"], *arguments(paths, "--execute", "--yes", "--report", "r", *SLOWLY)]
    with subprocess.Popen(
        command, env=environ(paths), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        paths.wait_for_requests("storage.objects.rewrite", 100, process.poll)
        process.send_signal(number)
        out, err = process.communicate(timeout=HANGS)
    assert (process.returncode, without_log(err)) == (1, "")
    assert f"stopped by {number.name} before its end" in out
    run = json.loads((tmp_path / "r" / "run.json").read_text())
    assert run["ledger"]["holds"]
    assert 0 < run["ledger"]["copied"] == len(paths.names()) < total
    assert run["verification"] is None


def test_a_signal_in_the_dry_run_is_one_line(paths: Paths, tmp_path: Path) -> None:
    """Nothing was changed, and it says so."""
    paths.server.fill(paths.migration.source.bucket, 20_000, prefix=paths.migration.source.prefix)
    paths.server.set_faults(latency_ms=300)
    with subprocess.Popen(
        [*WAYS["module"], *arguments(paths)],
        env=environ(paths),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        paths.wait_for_requests("storage.objects.list", 3, process.poll)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=HANGS)
    assert (process.returncode, without_log(err)) == (
        1,
        "migrate_qpi_exports: stopped by SIGINT before its end\n",
    )


def test_ctrl_c_at_the_question_is_one_line(paths: Paths, tmp_path: Path) -> None:
    """On a real terminal, where the question waits for ever."""
    paths.put("a", b"one")
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*WAYS["module"], *arguments(paths, "--execute")],
        env=environ(paths),
        cwd=tmp_path,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        screen = ""
        while "[yes/no]" not in screen:
            screen += os.read(ours, 4096).decode(errors="replace")
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=HANGS) == 1
        screen = os.read(ours, 4096).decode(errors="replace")
    os.close(ours)
    assert "migrate_qpi_exports: stopped by SIGINT before its end" in screen
    assert "Traceback" not in screen
    assert paths.names() == []


def test_tasks_on_one_machine_share_the_work(paths: Paths, tmp_path: Path) -> None:
    """``--tasks 3``: three processes, three logs, everything copied and verified, each by one of them."""
    paths.server.fill(paths.migration.source.bucket, 600, prefix=paths.migration.source.prefix, days=20)
    paths.server.reset_stats()
    odd = ["--exclude", "a b*", "--report", "r", "--ungoverned", "--tasks", "3"]
    done = subprocess.run(
        [*WAYS["module"], *arguments(paths, "--execute", "--yes", *odd)],
        env=environ(paths),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, without_log(done.stderr)) == (0, "")
    assert len(paths.names()) == paths.requests("storage.objects.rewrite") == 600
    runs = [json.loads(path.read_text()) for path in tmp_path.glob("r/task-*-of-00003/run.json")]
    assert sum(run["ledger"]["copied"] for run in runs) == 600
    assert all(run["verification"]["clean"] for run in runs)
    whole = json.loads((tmp_path / "r" / "run.json").read_text())
    assert (whole["ledger"]["copied"], whole["verification"]["equal"], whole["exit_code"]) == (600, 600, 0)
    assert whole["operations"]["class_a"] == sum(run["operations"]["class_a"] for run in runs)
    assert (
        "all 3 tasks together:\n600 objects listed: 600 copied; verified: both sides are equal\n"
        in done.stdout
    )
    assert len({path.name.partition("_task")[2][0] for path in tmp_path.glob("*_task?_*.log")}) == 3


def test_a_signal_reaches_every_task(paths: Paths, tmp_path: Path) -> None:
    """Nobody goes on alone."""
    paths.server.fill(paths.migration.source.bucket, 6_000, prefix=paths.migration.source.prefix, days=20)
    with subprocess.Popen(
        [*WAYS["module"], *arguments(paths, "--execute", "--yes", "--tasks", "2", *SLOWLY)],
        env=environ(paths),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        # Both have begun: each writes its log only when it hears signals.
        paths.wait_for_requests("storage.objects.rewrite", 1, process.poll)
        wait_until(
            lambda: sum(bool(log.read_text()) for log in tmp_path.glob("*_task?_*.log")),
            lambda begun: begun == 2 or process.poll() is not None,
            "the tasks' logs",
            still=HANGS,
        )
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=HANGS)
    assert process.returncode == 1
    assert out.count("stopped by SIGTERM before its end") >= 2
    assert len(paths.names()) < 6_000


def test_tasks_without_a_report_are_summed_up_all_the_same(paths: Paths, tmp_path: Path) -> None:
    """And a difference in one of them is the whole's."""
    paths.server.fill(paths.migration.source.bucket, 60, prefix=paths.migration.source.prefix, days=6)
    paths.put("extra", side="destination")
    done = subprocess.run(
        [*WAYS["command"], *arguments(paths, "--execute", "--yes", "--ungoverned", "--tasks=2")],
        env=environ(paths),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, without_log(done.stderr)) == (1, "")
    _, _, together = done.stdout.partition("all 2 tasks together:\n")
    assert together.startswith("  extra 'extra'\n")
    *_, verdict, following = together.splitlines()
    assert verdict == "60 objects listed: 60 copied; NOT EQUAL: 1 extra"
    assert following.startswith("Next: python -m backfill_job status --source ")


def test_a_task_that_cannot_start_does_not_say_so_for_the_others(paths: Paths, tmp_path: Path) -> None:
    """Exit code 2 would mean that nothing was done, and the other task has copied its part."""
    paths.server.fill(paths.migration.source.bucket, 60, prefix=paths.migration.source.prefix, days=6)
    paths.server.set_faults(rules=[{"method": "storage.objects.list", "count": 1, "status": 403}])
    done = subprocess.run(
        [*WAYS["command"], *arguments(paths, "--execute", "--yes", "--ungoverned", "--tasks=2")],
        env=environ(paths),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "cannot start" in done.stderr
    assert "not every task left its report" in done.stderr
    assert paths.names()


def test_what_hangs_does_not_hold_up_a_stop(paths: Paths, tmp_path: Path) -> None:
    """A call in a thread that gets no answer: Cloud Run's ten seconds are not waited for, the report is there."""
    for number in range(20):
        paths.put(f"{number}", b"one")
    # The fast lane gives them up to threads, which ask again and again.
    refused = {"method": "storage.objects.rewrite", "count": None, "status": 412}
    # Not in the bucket that holds the state: the phase is read.
    source = paths.migration.source.bucket
    faulty = {"method": "storage.objects.get", "bucket": source, "count": None, "status": 503}
    paths.server.set_faults(rules=[refused, faulty])
    command = [*WAYS["module"], *arguments(paths, "--execute", "--yes", "--report", "r", "--ungoverned")]
    with subprocess.Popen(
        command, env=environ(paths), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        # All are under way then: each thread has asked more than once.
        paths.wait_for_requests("storage.objects.get", 24, process.poll)
        # From here on no request gets an answer for so long that the test would fail.
        paths.server.set_faults(latency_ms=2_000 * HANGS)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=HANGS)
    paths.server.clear_faults()
    assert (process.returncode, without_log(err)) == (1, "")
    run = json.loads((tmp_path / "r" / "run.json").read_text())
    assert run["ledger"]["holds"]
    assert run["ledger"]["failed"] == run["ledger"]["listed"] == 20
