"""The whole story under fire, from the first dry run to the undo, with real processes. ``make soak MINUTES=30`` makes it longer."""

import os
import secrets
import sys
from pathlib import Path as File

import pytest
from story_facts import Path, World
from story_history import told
from story_judges import Fault, judge
from story_operator import Stopped
from story_plot import tell
from story_report import Report, summed_up
from story_stage import SOAKS, Stage, started
from story_world import gathered, lines_about

from local_gcs.waiting import HANGS, NothingMoved

SECONDS = float(os.environ.get("SOAK_SECONDS", "0"))
RATE = float(os.environ.get("SOAK_RATE", "300"))
SEED = int(os.environ.get("SOAK_SEED") or (secrets.randbelow(10**6) if SECONDS else 1))
AGAIN = f"make soak MINUTES={SECONDS / 60:.0f} SEED={SEED}"


@pytest.mark.timeout(SECONDS * 10 + 8 * HANGS)  # only for what hangs: every wait inside is for progress
def test_the_whole_story_loses_nothing(tmp_path: File, capsys: pytest.CaptureFixture[str]) -> None:
    """Every acknowledged upload is where it belongs, the consumer has each row once, counts add up, every alert can fire."""
    with capsys.disabled():
        sys.stdout.write(f"\nthe whole story, seed {SEED}; again with: {AGAIN}\nits folder: {tmp_path}\n")
    with started(tmp_path, SEED, RATE) as stage:
        try:
            tell(stage, SECONDS, accidents=SOAKS)
        except (Stopped, NothingMoved) as error:
            error.add_note(
                "\n".join([f"seed {SEED}; again with: {AGAIN}", "the last that was done:", *_last(stage)])
            )
            raise
        stats = stage.server.stats()
        world = gathered(stage)
        report = summed_up(stage, world, stats)
        faults = judge(world)
        said = told(world, faults, lambda name: lines_about(stage, name)) if faults else ""
    (tmp_path / "story.json").write_text(report.to_json())
    with capsys.disabled():
        sys.stdout.write(f"{report}\n")
    assert not faults, f"seed {SEED}; again with: {AGAIN}\n{said}"
    _was_a_storm(report)
    _a_sabotage_is_found(stage, world)


def _last(stage: Stage) -> list[str]:
    return [f"  {each.at:%H:%M:%S.%f} {each.what}"[:200] for each in stage.operator.happenings[-15:]]


def _was_a_storm(report: Report) -> None:
    """A run in which little went wrong proves little."""
    for kind in ("429", "503", "reset", "truncated"):
        assert report.faults[kind] > 0, kind
    for fate in ("duplicated", "dropped", "failed"):
        assert report.events[fate] > 0, fate
    for victim in ("backfill task", "deletion"):
        assert report.kills[victim] > 0, victim
    assert report.kills.get("forward", 0) + report.kills.get("reverse", 0) > 0
    every = ("head lost", "entry lost", "newer objects when the laptop woke", "names erased")
    all_of_them = every if SOAKS else ()
    for accident in ("events refused", "mistaken pairs", *all_of_them):
        assert report.accidents[accident] > 0, accident
    assert report.found["handovers"] >= 4
    assert report.found["deleted"] > 0
    assert report.consumer["nights"] > 0


def _a_sabotage_is_found(stage: Stage, world: World) -> None:
    """One object is removed from the new path, in what was gathered of the real run; the judges find it."""
    name = next(
        name
        for name, uploads in world.uploads.items()
        if len(uploads) > 1
        and not uploads[-1].forgotten
        and all(world.live(name, path) == uploads[-1].checksum for path in Path)
    )
    without = [each for each in world.versions[name] if not (each.live and each.path is Path.NEW)]
    robbed = World(
        uploads=world.uploads,
        versions={**world.versions, name: without},
        happenings=world.happenings,
        imports=world.imports,
    )
    faults = [fault for fault in judge(robbed) if fault.judge == "belongs" and fault.name == name]
    assert faults == [Fault("belongs", name, "its last version is not on the new path: legacy")]
    said = told(robbed, faults, lambda name: lines_about(stage, name))
    assert f"What happened to {name}:" in said
    assert "acknowledged on the" in said
    assert "legacy path: generation" in said
