"""Writer, mirror, backfill and sweep as real processes, under fire. ``make soak MINUTES=30`` runs it for longer."""

import os
import sys
from pathlib import Path

import pytest
from mirror_scenario import run

SECONDS = float(os.environ.get("SOAK_SECONDS", "15"))
RATE = float(os.environ.get("SOAK_RATE", "200"))
SEED = int(os.environ.get("SOAK_SEED", "1"))


@pytest.mark.timeout(SECONDS + 900)
def test_nothing_is_lost_stale_or_put_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Events duplicated, delayed, reordered and lost; 5 % 503, 1 % lost answers; the function killed; then one sweep."""
    report = run(tmp_path, seconds=SECONDS, rate=RATE, seed=SEED)
    with capsys.disabled():
        sys.stdout.write(f"\n{report}\n")
    assert (report.lost, report.stale, report.backwards) == ([], [], []), report
    assert report.uploads > SECONDS * RATE * 0.5
    assert report.events["dropped"] > 0
    assert report.events["duplicated"] > 0
    assert report.kills >= 2
    assert report.swept["failed"] == report.swept["conflict"] == 0
    assert report.swept["copied"] > 0, "no event was lost, so the sweep proved nothing"
