"""Long passes ask for the phase at every object: what is deleted meanwhile stays deleted, and the last lines are true."""

import os
import subprocess
import sys
from pathlib import Path

from testing_commands import run_command, where
from testing_deletion import CONFIRM, PASS, Scene, day

from shared.decision import ABSENT
from shared.phase import Phase

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
    assert (ended.returncode, ended.stderr) == (0, "")
    assert scene.paths.names(side="source") == []


def test_a_refresh_across_a_deletion_brings_nothing_back(scene: Scene, tmp_path: Path) -> None:
    """It listed 301 objects to copy. Meanwhile the mirror copied them, and another process deleted the legacy path."""
    young, names = day(1), [day(2, user) for user in range(MISSED)]
    scene.paths.put(young, b"old", side="source")
    scene.cut_over()
    for name in (young, *names):
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
    assert "The phase was cut_over, and is deleted now" in ended.out.splitlines()[-2], ended.out
