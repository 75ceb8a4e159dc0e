"""Ages count by Cloud Storage's clock: an operator's clock that is 8 days ahead or behind changes no verdict."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from test_gate import gate_json, standings
from testing_commands import Commands
from testing_deletion import Scene, day
from testing_gate import everything_right
from testing_paths import Paths

from local_gcs.waiting import wait_until
from shared.objects import parse_time
from shared.partitions import answers_folder

AHEAD, BEHIND = timedelta(days=8), timedelta(days=-8)
BOTH_WAYS = pytest.mark.parametrize("wrong_by", [AHEAD, BEHIND], ids=["ahead", "behind"])
WHOLE_SECONDS = timedelta(seconds=1)
NEARLY_NOW = timedelta(minutes=30)


def wrong(by: timedelta) -> Callable[[], datetime]:
    """An operator's clock."""
    return lambda: datetime.now(UTC) + by


@pytest.mark.parametrize(
    ("wrong_by", "days_ago", "standing"),
    [(AHEAD, 0, "FAIL"), (AHEAD, 8, "PASS"), (BEHIND, 6, "FAIL"), (BEHIND, 8, "PASS")],
)
def test_the_soaking_is_by_cloud_storage_s_time(
    scene: Scene, tmp_path: Path, wrong_by: timedelta, days_ago: float, standing: str
) -> None:
    """8 days ahead passed the soak on the day of the cutover."""
    scene.both(day(1))
    scene.cut_over(days_ago=days_ago)
    scene.watched("GGGGGGG"[: max(1, int(days_ago))])
    scene.commands.now = wrong(wrong_by)
    scene.run("--report", str(tmp_path / "r"))
    checks = json.loads((tmp_path / "r" / "deletion-plan.json").read_text())["checks"]
    assert {each["name"]: each["standing"] for each in checks}["soak"] == standing


@BOTH_WAYS
def test_a_late_write_of_now_is_of_now(scene: Scene, tmp_path: Path, wrong_by: timedelta) -> None:
    """It begins the soaking anew."""
    scene.both(day(1))
    scene.cut_over(days_ago=30)
    scene.paths.put(day(2), b"late")
    scene.commands.now = wrong(wrong_by)
    scene.run("--report", str(tmp_path / "r"))
    checks = json.loads((tmp_path / "r" / "deletion-plan.json").read_text())["checks"]
    assert {each["name"]: each["standing"] for each in checks}["late-writes"] == "FAIL"


@BOTH_WAYS
def test_evidence_has_cloud_storage_s_time_and_is_judged_by_it(
    paths: Paths, commands: Commands, wrong_by: timedelta
) -> None:
    """Verified and tested with a wrong clock, judged with a right one; and the other way round."""
    arguments = everything_right(paths, commands)[:2]  # without a mirror, no canary
    yesterday = f"{datetime.now(UTC).date() - timedelta(days=1):%Y%m%d}"
    week = f"{datetime.now(UTC).date() - timedelta(days=7):%Y%m%d}"
    letters = commands.folder / "letters.json"
    judged = ("verification", "import test", "dead letters")
    for made, gate in ((wrong_by, timedelta()), (timedelta(), wrong_by)):
        commands.now = wrong(made)
        assert commands.run("verify").code == 0
        assert commands.run("import-test", "--from", week, "--to", yesterday).code == 0
        letters.write_text(paths.server.undelivered())
        # Cloud Storage's answers have whole seconds, and evidence of the future is none.
        next_second = datetime.now(UTC) + WHOLE_SECONDS
        wait_until(lambda: datetime.now(UTC), next_second.__lt__, "the next second")
        commands.now = wrong(gate)
        commands.run("gate", *arguments, "--dead-letters", str(letters))
        found = standings(gate_json(paths, commands))
        assert {name: found[name] for name in judged} == dict.fromkeys(judged, "PASS"), made
        assert abs(parse_time(gate_json(paths, commands)["started"]) - datetime.now(UTC)) < NEARLY_NOW
    assert abs(commands.state.runs[-1].finished - datetime.now(UTC)) < NEARLY_NOW


@BOTH_WAYS
def test_an_object_of_now_has_its_time_to_arrive(
    paths: Paths, commands: Commands, wrong_by: timedelta
) -> None:
    """The mirror brings it while verify waits."""
    paths.put("a/1")
    commands.now = wrong(wrong_by)
    commands.pauses = lambda _: paths.put("a/1", side="destination") and None
    assert commands.run("verify", "--grace", "60").code == 0
    assert len(commands.waited) == 1


@BOTH_WAYS
def test_a_version_of_now_is_young(scene: Scene, wrong_by: timedelta) -> None:
    """A refresh waits until it can tell a later write from a late copy."""
    scene.paths.put(day(1), b"old")
    scene.cut_over()
    scene.paths.put(day(1), b"new", side="destination")
    scene.commands.now = wrong(wrong_by)
    assert scene.commands.run("rollback", "--refresh", "--ungoverned").code == 0
    assert scene.commands.waited
    assert scene.paths.read(day(1), side="source") == b"new"


@BOTH_WAYS
def test_the_last_days_are_cloud_storage_s(
    paths: Paths, commands: Commands, tmp_path: Path, wrong_by: timedelta
) -> None:
    """A sweep of three days includes yesterday, and leaves out what is six days old."""
    today = datetime.now(UTC).date()
    for days_ago in (1, 6):
        paths.put(f"{answers_folder(today - timedelta(days=days_ago))}user_id_7.jsonl")
    commands.now = wrong(wrong_by)
    ended = commands.run("migrate", "--since", "3d", "--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (0, "")
    plan = json.loads((tmp_path / "r" / "plan.json").read_text())
    assert plan["findings"]["steps"]["copy"]["objects"] == 1
