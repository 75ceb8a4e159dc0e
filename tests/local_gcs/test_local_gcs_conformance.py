"""The conformance probe, asked of a real server process."""

import subprocess
import sys
from pathlib import Path

import pytest

import local_gcs
from local_gcs.waiting import HANGS

PROBE = Path(__file__).parents[2].parent / "shared" / "conformance" / "probe.py"


@pytest.mark.skipif(not PROBE.exists(), reason=f"the conformance probe is not at {PROBE}")
def test_every_row_of_the_probe_says_yes() -> None:
    """The server conforms in every row, the optional ones included."""
    with local_gcs.running() as server:
        probe = subprocess.run(
            [sys.executable, str(PROBE), "--url", server.url, "--races", "100"],
            capture_output=True,
            text=True,
            timeout=HANGS,
            check=False,
        )
    rows = [line.split("|") for line in probe.stdout.splitlines() if line.count("|") >= 2]
    short = ["|".join(row) for row in rows if row[1].strip() != "yes" and not row[0].startswith("TOTAL")]
    assert short == []
    assert probe.returncode == 0, probe.stdout + probe.stderr
    assert len(rows) > 60
