"""A laptop that slept through a cutover, alone and at once: the sweep on it overwrote 68 of 400 newer objects."""

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from testing_commands import where
from testing_paths import Paths

from demo.data import DemoObject
from demo.writer import upload_all
from local_gcs.waiting import HANGS, wait_until
from shared.phase import CACHE_SECONDS, Phase

SLEEPER = Path(__file__).with_name("story_sleeper.py")
OBJECTS = 400
LOOKS = 20
OLD = timedelta(seconds=CACHE_SECONDS + 2)
"""A phase is too old by then; `Date` has whole seconds."""


def put(paths: Paths, side: str, data: bytes) -> None:
    """Write every object on one side."""
    now = datetime.now(UTC)
    objects = [
        DemoObject(f"qpi_answers_20240101/user_id_{number}.jsonl", data, "application/json", now)
        for number in range(OBJECTS)
    ]
    upload_all(paths.server.url, getattr(paths.migration, side), objects)


def test_a_sweep_that_slept_through_the_cutover_overwrites_nothing_newer(
    paths: Paths, tmp_path: Path
) -> None:
    """It has listed 400 objects that differ. Its own clock says that the phase was read a moment ago."""
    put(paths, "destination", b"first")
    put(paths, "source", b"second")
    words = (
        "migrate",
        *where(paths),
        "--execute",
        "--yes",
        "--ungoverned",
        "--in-flight",
        "3",
        "--grace",
        "0",
    )
    process = subprocess.Popen(
        [sys.executable, str(SLEEPER), str(LOOKS), *words, "--log-dir", str(tmp_path)],
        env={**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            how = os.WSTOPPED | os.WEXITED | os.WNOWAIT
            slept = os.waitid(os.P_PID, process.pid, how)
            assert slept is not None
            assert slept.si_status == signal.SIGSTOP
            paths.begin(Phase.CUT_OVER)
            put(paths, "destination", b"newer")
            due = datetime.now(UTC) + OLD
            wait_until(lambda: datetime.now(UTC), due.__lt__, "a phase that is too old")
            process.send_signal(signal.SIGCONT)
            said = process.communicate(timeout=HANGS)[0]
        finally:
            process.kill()
    assert process.returncode == 1, said
    there = [paths.read(name) for name in paths.names()]
    assert there.count(b"newer") == OBJECTS, said
