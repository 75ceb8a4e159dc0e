"""Long passes ask for the phase at every object: what is deleted meanwhile stays deleted, and the last lines are true."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from testing_commands import Ended, run_command, where, without_log
from testing_deletion import CONFIRM, PASS, Scene, day

from backfill_job.run.phase_change import MARGIN_SECONDS
from shared.decision import ABSENT
from shared.phase import CACHE_SECONDS, Phase

WAITED = CACHE_SECONDS + MARGIN_SECONDS
MISSED = 300
"""Objects that the reverse mirror missed, so that a refresh has them to copy."""


def bring_back(scene: Scene, name: str) -> None:
    """Copy one object to the legacy path, as the reverse mirror does."""
    migration, gateway = scene.paths.migration.reversed(), scene.commands.gateway
    source, destination = migration.source_ref(name), migration.destination_ref(name)
    theirs, ours = gateway.look(source), gateway.look(destination)
    assert theirs is not None
    gateway.copy(
        source,
        destination,
        if_source=theirs.generation,
        if_destination=ABSENT if ours is None else ours.generation,
    )


def delete_elsewhere(scene: Scene, objects: int) -> None:
    """Delete the legacy path, with another process."""
    said = ("--confirm-delete", "--confirm-text", CONFIRM, "--expect-objects", str(objects))
    ended = subprocess.run(
        [
            *(sys.executable, "-m", "backfill_job", "delete", *where(scene.paths), "--grace", "0"),
            *(*PASS, "--soak-days", "0", "--ungoverned", *said),
        ],
        env={**os.environ, "STORAGE_EMULATOR_HOST": scene.paths.server.url},
        cwd=scene.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, without_log(ended.stderr)) == (0, "")
    assert scene.paths.names(side="source") == []


def test_a_refresh_across_a_deletion_brings_nothing_back(scene: Scene, tmp_path: Path) -> None:
    """It listed 301 objects to copy. Meanwhile the mirror copied them, and another process deleted the legacy path."""
    young, names = day(1, 0), [day(1, user + 1) for user in range(MISSED)]
    scene.paths.put(young, b"old", side="source")
    scene.cut_over()
    for name in (*names, young):  # the young one last, so that it is young when the refresh looks at it
        scene.paths.put(name, f"{name} is new".encode(), side="destination")
    held: list[float] = []

    def hold(seconds: float) -> None:
        """The refresh waits for its first object, which is too young."""
        held.append(seconds)
        if len(held) == 1:
            for name in (young, *names):
                bring_back(scene, name)
            delete_elsewhere(scene, 1 + MISSED)

    ended = run_command(
        *("rollback", *where(scene.paths), "--refresh", "--ungoverned", "--in-flight", "1"),
        *("--log-dir", str(tmp_path / "logs")),
        sleep=hold,
    )
    assert held
    assert scene.paths.names(side="source") == []
    assert scene.phase is Phase.DELETED
    assert (ended.code, ended.err) == (1, "")
    assert "The phase was cut_over, and is deleted now" in ended.out


def test_a_cutover_run_again_across_a_deletion_writes_nothing(scene: Scene) -> None:
    """Not even an object that the new path lacks: the pass stops, and says in which phase it stands."""
    scene.both(day(1))
    scene.cut_over()
    scene.paths.put(day(2), b"late")
    scene.commands.pauses = lambda _: scene.commands.go(Phase.DELETING)
    ended = scene.commands.run("cutover", "--by", "Ada", "--yes", "--ungoverned")
    assert (ended.code, ended.err) == (1, "")
    assert scene.paths.names() == [day(1)]
    assert "and this pass writes only in phase cut_over" in ended.out
    assert (
        "NOT FINISHED: no writer may switch now.\nNext: python -m backfill_job status --source " in ended.out
    )
    assert (
        "The phase was cut_over, and is deleting now: another command changed it. Before this one saw that, 0 objects "
        "were brought over."
    ) in ended.out.splitlines()
    assert "What to do now" not in ended.out


class Answers(io.StringIO):
    """A terminal at which a person takes so long that something else happens meanwhile."""

    def __init__(self, meanwhile: Callable[[], None]) -> None:
        super().__init__("ROLL BACK custom\n")
        self.meanwhile = meanwhile

    def isatty(self) -> bool:
        return True

    def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
        self.meanwhile()
        return super().readline(-1 if size is None else size)


def test_a_rollback_that_a_deletion_overtakes_brings_nothing_back(scene: Scene) -> None:
    """The deletion began while the operator typed."""
    scene.both(day(1))
    scene.cut_over()
    scene.paths.put(day(2), b"new", side="destination")
    terminal = Answers(lambda: scene.commands.go(Phase.DELETING))
    ended = scene.commands.run("rollback", "--by", "Ada", "--ungoverned", stdin=terminal)
    assert (ended.code, ended.err) == (1, "")
    assert scene.paths.names(side="source") == [day(1)]
    assert scene.phase is Phase.DELETING
    assert "NOT rolled back.\nNext: python -m backfill_job status --source " in ended.out
    assert "is deleting now" in ended.out


def test_the_last_pass_of_a_rollback_stops_where_somebody_cuts_over_again(scene: Scene) -> None:
    """The legacy path is not the source of truth any more, so the next steps of a rollback would be wrong."""
    scene.both(day(1))
    scene.cut_over()
    scene.paths.put(day(2), b"new", side="destination")

    def meanwhile(_seconds: float) -> None:
        scene.paths.put(day(3), b"newer", side="destination")
        scene.commands.go(Phase.CUT_OVER)

    scene.commands.pauses = meanwhile
    ended = scene.commands.run("rollback", "--by", "Ada", "--yes", "--ungoverned")
    assert (ended.code, ended.err) == (1, "")
    assert scene.paths.names(side="source") == [day(1), day(2)]
    assert "The phase was rolled_back, and is cut_over now" in ended.out
    assert "What to do now" not in ended.out


def refreshed(scene: Scene, meanwhile: Callable[[], object], *more: str) -> Ended:
    """Refresh one object that is young, and another one after it; `meanwhile` happens as it waits for the first."""
    young = day(1, 0)  # the listing of a folder shows it first
    scene.paths.put(young, b"old")
    scene.cut_over()
    scene.paths.put(day(1, 1), b"new, too", side="destination")
    scene.paths.put(young, b"new", side="destination")
    held: list[float] = []

    def hold(seconds: float) -> None:
        held.append(seconds)
        if len(held) == 1:
            meanwhile()

    ended = run_command(
        *("rollback", *where(scene.paths), "--refresh", "--ungoverned", "--in-flight", "1"),
        *("--log-dir", str(scene.folder / "logs"), *more),
        sleep=hold,
    )
    assert held
    return ended


def test_a_refresh_goes_on_after_a_rollback_and_says_that_the_phase_changed(scene: Scene) -> None:
    """Both phases allow it. The operator still has to know that the legacy path is the source of truth again."""
    ended = refreshed(scene, lambda: scene.commands.go(Phase.ROLLED_BACK))
    assert (ended.code, ended.err) == (1, "")
    assert scene.paths.read(day(1, 0), side="source") == b"new"
    assert scene.paths.read(day(1, 1), side="source") == b"new, too"
    assert (
        "The phase was cut_over, and is rolled_back now: another command changed it. Before this one saw that, 2 objects "
        "were brought over."
    ) in ended.out.splitlines()


def test_a_refresh_whose_record_is_lost_stops_and_says_so(scene: Scene, tmp_path: Path) -> None:
    """It never reports a phase that it did not read."""
    at = scene.paths.migration.own_ref("state.json")
    damage = scene.paths.bucket("destination").blob(at.name)
    report = tmp_path / "r"
    ended = refreshed(
        scene,
        lambda: damage.upload_from_string(b"{"),
        "--report",
        str(report),
    )
    assert (ended.code, ended.err) == (1, "")
    assert scene.paths.read(day(1, 0), side="source") == b"old"
    assert scene.paths.names(side="source") == [day(1, 0)]
    assert "The phase was cut_over, and cannot be read now" in ended.out
    assert json.loads((report / "rollback.json").read_text())["phase"] == "unknown"
    assert "as before" not in ended.out


AHEAD, RIGHT, BEHIND = timedelta(days=8), timedelta(), timedelta(days=-8)


@pytest.mark.parametrize("wrong_by", [AHEAD, RIGHT, BEHIND], ids=["ahead", "right", "behind"])
@pytest.mark.parametrize("way", ["first", "resumed", "another"])
def test_a_deletion_waits_until_every_job_has_seen_it(scene: Scene, way: str, wrong_by: timedelta) -> None:
    """Each way deletes only after the wait, whatever the operator's clock says about the age of the phase."""
    scene.both(day(1))
    scene.cut_over(days_ago=60)
    more: tuple[str, ...] = ()
    if way == "resumed":
        assert scene.delete(1, "--prepare").code == 0
        more = ("--resume", scene.manifest_uri)
    if way == "another":
        assert scene.delete(1).code == 0
        scene.both(day(1))
        more = ("--anew",)
    there: list[list[str]] = []
    ended = run_command(
        *("delete", *where(scene.paths), *PASS, "--manifest-dir", str(scene.folder), "--ungoverned"),
        *("--confirm-delete", "--soak-days", "0", "--confirm-text", CONFIRM, "--expect-objects", "1"),
        *("--override", "late-writes", "--grace", "0", "--log-dir", str(scene.folder / "logs"), *more),
        now=lambda: datetime.now(UTC) + wrong_by,
        sleep=lambda seconds: there.append(scene.paths.names(side="source")) if seconds == WAITED else None,
    )
    assert (ended.code, ended.err) == (0, "")
    assert there == [[day(1)]]
    assert scene.paths.names(side="source") == []


def test_only_an_analysis_uses_an_authority_that_no_phase_changes() -> None:
    """Everything that writes asks for the phase."""
    root = Path(__file__).parent.parent.parent
    uses = {
        str(path.relative_to(root))
        for folder in ("backfill_job", "shared", "mirror_function")
        for path in (root / folder).rglob("*.py")
        if "Always(" in path.read_text()
    }
    assert uses == {"backfill_job/migrate_qpi_exports.py"}
