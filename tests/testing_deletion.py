"""A migration that is ready to have its legacy path deleted, for the tests of the deletion and of the undo."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from testing_commands import Commands, Ended, run_command
from testing_paths import Paths

from shared.green_days import EQUAL
from shared.objects import ObjectState
from shared.phase import Phase
from shared.record import update
from shared.state import ComparisonRecord, DayPart, Light, Signatory, State
from shared.state_changes import Stamp, compared, comparing, sign_off, with_phase

CONFIRM = "DELETE_QPI_EXPORTS"
PASS = ("--override", "references", "--reason", "no code in this test", "--by", "Ada")
"""There is no consumers' code in these tests."""


def day(number: int, user: int = 1) -> str:
    return f"qpi_answers_202401{number:02}/user_id_{user}.jsonl"


@dataclass
class Scene:
    """A pair of prefixes, and the commands that are run on it."""

    paths: Paths
    commands: Commands
    folder: Path

    def both(self, *names: str, **attributes: Any) -> None:
        """Put an object, the same on both sides; each has contents of its own."""
        for name in names:
            for side in ("source", "destination"):
                self.paths.put(name, f'{{"user_id":"{name}"}}\n'.encode(), side=side, **attributes)

    def fill(self, count: int) -> list[str]:
        """Fill both sides with the same objects; gives their names."""
        migration = self.paths.migration
        for location in (migration.source, migration.destination):
            self.paths.server.fill(location.bucket, count, prefix=location.prefix, size=100)
        return self.paths.names(side="source")

    def cut_over(self, *, days_ago: float = 30, signed: bool = True) -> None:
        """Sign off and cut over, long ago."""
        gateway, migration = self.commands.gateway, self.paths.migration
        at = datetime.now(UTC) - timedelta(days=days_ago)
        for name in Signatory if signed else ():

            def sign(state: State, name: Signatory = name) -> State:
                return sign_off(state, name, Stamp(f"s-{name.value}", "Ada", at))

            update(gateway, migration, sign)
        update(gateway, migration, lambda state: with_phase(state, Phase.CUT_OVER, Stamp("c", "Ada", at)))

    def watched(self, letters: str) -> None:
        """Record a day for each letter, the last of them today: ``G`` green, ``R`` red, ``?`` not proven, ``.`` nothing."""
        now, excludes = datetime.now(UTC), self.paths.migration.excludes

        def record(state: State) -> State:
            for number, letter in zip(range(len(letters) - 1, -1, -1), letters, strict=True):
                light = {"G": Light.GREEN, "R": Light.RED, "?": Light.NOT_KNOWN}.get(letter)
                at, change = now - timedelta(days=number), f"day-{letters}-{number}"
                if light is not None:
                    found = ComparisonRecord(change, "run", "verify", at, 1, 0, 0, excludes)
                    state = comparing(state, Stamp(change, "verify", at), "run")
                    parts = (DayPart(EQUAL, light, "as the test wants it"),)
                    state = compared(state, Stamp(f"{change}-ended", "verify", at), found, parts)
            return state

        update(self.commands.gateway, self.paths.migration, record)

    def soak(self) -> "Scene":
        """Cut over after what is there was written; a late write comes after this."""
        self.cut_over(days_ago=0)
        return self

    def run(self, *arguments: str, typed: str | None = None) -> Ended:
        return self.commands.run("delete", *PASS, "--manifest-dir", str(self.folder), *arguments, typed=typed)

    def delete(self, objects: int, *arguments: str) -> Ended:
        """Delete without a terminal; the soaking is over at once."""
        said = ("--confirm-text", self.paths.migration.deletion_text, "--expect-objects", str(objects))
        return self.run("--confirm-delete", "--ungoverned", "--soak-days", "0", *said, *arguments)

    def resume(self, objects: int, *arguments: str) -> Ended:
        return self.delete(objects, "--resume", self.manifest_uri, *arguments)

    def undo(self, *arguments: str) -> Ended:
        """Undo without a terminal; the manifest says what is migrated."""
        yes = ("--yes",) if "--execute" in arguments else ()
        return run_command("undo", *arguments, *yes, "--log-dir", str(self.folder / "logs"), "--ungoverned")

    @property
    def phase(self) -> Phase:
        return self.commands.state.phase

    @property
    def manifest_uri(self) -> str:
        """The newest manifest, as the state names it."""
        names = re.findall(r"manifest (\S+\.json) sha256", self.commands.state.history[-1].what)
        if not names:
            names = [
                found
                for entry in self.commands.state.history
                for found in re.findall(r"manifest (\S+\.json) sha256", entry.what)
            ]
        return f"gs://{self.paths.migration.destination.bucket}/{self.own('deletions/' + names[-1])}"

    def own(self, name: str) -> str:
        """The name of one of the migration's own objects."""
        return f"_migration/qpi_exports/{name}"

    def own_bytes(self, name: str) -> bytes:
        return bytes(self.paths.bucket("destination").blob(self.own(name)).download_as_bytes())

    def own_names(self, folder: str = "deletions/") -> list[str]:
        return [blob.name for blob in self.paths.bucket("destination").list_blobs(prefix=self.own(folder))]

    def manifest(self) -> dict[str, Any]:
        bucket, _, name = self.manifest_uri.removeprefix("gs://").partition("/")
        content: dict[str, Any] = json.loads(self.paths.client.bucket(bucket).blob(name).download_as_bytes())
        return content

    def lines(self) -> list[dict[str, Any]]:
        bucket, _, name = self.manifest_uri.removeprefix("gs://").partition("/")
        data = self.paths.client.bucket(bucket).blob(f"{name}l").download_as_bytes()
        return [json.loads(line) for line in data.splitlines()]

    def legacy(self) -> dict[str, tuple[bytes, ObjectState]]:
        """Every legacy object, but for what no undo can bring back: generations and times."""
        found = {}
        for name in self.paths.names(side="source"):
            state = self.paths.look(name, side="source")
            assert state is not None
            plain = state._replace(generation=0, metageneration=0, created="", updated="", class_updated="")
            found[name] = (self.paths.read(name, side="source"), plain)
        return found
