"""Every part does its work with just its rights: the real commands, on a storage that refuses everything else.

And with no more than it needs: each right it is given is made use of.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

import pytest
from guarded_storage import Guard, guarding
from testing_commands import Commands, Ended, run_command, where
from testing_deletion import Scene
from testing_paths import Paths

from backfill_job.bucket_settings import RECORD
from backfill_job.gate.canary import canary_name, fly
from backfill_job.rights import RIGHTS, Part
from backfill_job.run.clock import Clock
from mirror_function.event import read_event
from mirror_function.mirror import Mirrored, MirrorOutcome, mirror
from mirror_function.settings import MirrorSettings
from shared.errors import PermissionDenied
from shared.gateway import Gateway
from shared.late_marks import mark_late_write
from shared.phase import Phase, PhaseReader, state_ref
from shared.record import update
from shared.report.loading import read_status
from shared.state import Signatory
from shared.state_changes import Stamp, sign_off

NAME = "qpi_answers_20240101/user_id_{}.jsonl"
CANARY = canary_name("test", "0")
ONE = b'{"user_id":"1","submitted_at":"2024-01-01T00:00:00Z","answers":[]}\n'
TWO = b'{"user_id":"2","submitted_at":"2024-01-01T00:00:00Z","answers":[]}\n'


@pytest.fixture
def guard(paths: Paths, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guard]:
    """From here on only the test's own gateway and client go around the guard."""
    guard = Guard(Part.OPERATOR, paths.migration, paths.server.url.removeprefix("http://"))
    with guarding(guard) as url:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
        yield guard


@pytest.fixture
def commands(paths: Paths, gateway: Gateway, guard: Guard, tmp_path: Path) -> Commands:
    return Commands(paths, tmp_path, gateway)


class Stage:
    """One part at work."""

    def __init__(self, paths: Paths, commands: Commands, guard: Guard, folder: Path) -> None:
        self.paths = paths
        self.commands = commands
        self.guard = guard
        self.folder = folder
        self.scene = Scene(paths, commands, folder)
        at = paths.migration.own_ref("reports", "x", "")
        self.report = ("--report", f"gs://{at.bucket}/{at.name}")
        self._end_of_a_chain()

    def _end_of_a_chain(self) -> None:
        """The record of a migration that filled the legacy path and has ended: it is read, and lets everything go on."""
        to = self.paths.migration.source
        record = {
            "version": 1,
            "source": "gs://before-that/a/",
            "destination": to.uri,
            "phase": Phase.DELETED.value,
        }
        blob = self.paths.bucket("source").blob(f"_migration/{to.prefix}state.json")
        blob.upload_from_string(json.dumps(record))

    def good(self, ended: Ended) -> None:
        assert (ended.code, ended.err) == (0, ""), (self.guard.refused, ended.out)

    def fill(self) -> None:
        """One object that is equal, one that differs, one that is new."""
        for number in (1, 2, 3):
            self.paths.put(NAME.format(number), ONE)
        self.paths.put(NAME.format(1), ONE, side="destination")
        self.paths.put(NAME.format(2), TWO, side="destination")

    def event(
        self, name: str, *, reverse: bool = False, meanwhile: Callable[[], None] = lambda: None
    ) -> Mirrored:
        """The function at an object's event, which comes after something else."""
        side = "destination" if reverse else "source"
        blob = self.paths.bucket(side).get_blob(getattr(self.paths.migration, side).prefix + name)
        attributes = {
            "id": "e",
            "type": "google.cloud.storage.object.v1.finalized",
            "time": datetime.now(UTC).isoformat(),
        }
        event = read_event(attributes, blob._properties, datetime.now(UTC))
        meanwhile()
        clock = count()
        with closing(Gateway(retry_deadline=60.0, retry_initial=0.01)) as gateway:
            phases = PhaseReader(gateway, self.paths.migration, lambda: float(next(clock) * 1_000))
            settings = MirrorSettings(self.paths.migration, reverse=reverse)
            done = mirror(event, settings, gateway, phases)
            if done.late is not None:
                mark_late_write(gateway, self.paths.migration, done.late, event.state)
        return done


def backfill(stage: Stage) -> None:
    """Begins the migration, as the deployment does before it deploys a mirror; then the job's own arguments.

    Each twice: what the job leaves the first time, it replaces the second. Copies come too late.
    """
    stage.paths.forget()
    for said in ("Begun.", "Nothing to do: the record is whole."):
        ended = run_command("begin", *where(stage.paths), "--by", "Ada")
        stage.good(ended)
        assert said in ended.out
    stage.fill()
    stage.paths.server.set_faults(rules=[{"method": "storage.objects.rewrite", "count": 6, "status": 412}])
    for _ in range(2):
        stage.good(stage.commands.run("migrate", "--execute", "--yes", "--ungoverned", *stage.report))
    bucket = stage.paths.client.get_bucket(stage.paths.migration.source.bucket)
    bucket.soft_delete_policy.retention_duration_seconds = 604_800
    bucket.patch()
    stage.paths.delete(NAME.format(1))
    ended = stage.commands.run("migrate", "--execute", "--yes", "--ungoverned", "--follow-deletions")
    stage.good(ended)
    assert "1 deletion followed" in ended.out


def verify(stage: Stage) -> None:
    """With the contents; twice, as above. And the import test, which runs in the same account."""
    for side in ("source", "destination"):
        stage.paths.put(NAME.format(1), ONE, side=side)
    for _ in range(2):
        stage.good(stage.commands.run("verify", "--contents", "all", *stage.report))
    stage.good(stage.commands.run("import-test", "--date", "20240101"))


def forward(stage: Stage) -> None:
    """New, changed, gone again; and after the cutover three late writers, two of whose marks fall into one minute even when it ends meanwhile."""
    name = NAME.format(1)
    for contents in (ONE, TWO):
        stage.paths.put(name, contents)
        assert stage.event(name).outcome is MirrorOutcome.COPIED
    stage.paths.put(name, ONE)
    assert stage.event(name, meanwhile=lambda: stage.paths.delete(name)).outcome is MirrorOutcome.SUPERSEDED
    stage.commands.go(Phase.CUT_OVER)
    for number in (2, 3, 4):
        stage.paths.put(NAME.format(number), ONE)
        assert stage.event(NAME.format(number)).late


def way_back(stage: Stage) -> None:
    """The reverse mirror's new and changed objects, and a rollback."""
    stage.fill()
    stage.commands.go(Phase.CUT_OVER)
    stage.paths.put(NAME.format(4), ONE, side="destination")
    assert stage.event(NAME.format(4), reverse=True).outcome is MirrorOutcome.COPIED
    stage.paths.put(NAME.format(1), TWO, side="destination")
    assert stage.event(NAME.format(1), reverse=True).outcome is MirrorOutcome.COPIED
    stage.good(stage.commands.run("rollback", "--by", "Ada", "--yes", "--ungoverned"))


def status(stage: Stage) -> None:
    """The page's reads, when there is no state yet and when there is one."""
    for phase in (Phase.CUT_OVER, Phase.ROLLED_BACK):
        with closing(Gateway(retry_deadline=60.0)) as gateway:
            assert read_status(gateway, stage.paths.migration, datetime.now(UTC)).unreadable == ()
        stage.commands.go(phase)


def operator(stage: Stage) -> None:
    """The smoke test with the wire, the buckets' policies, the canary, and a cutover that brings over what was written last."""
    stage.fill()
    stage.good(run_command("smoke", *where(stage.paths), "--wire", str(stage.folder / "wire.json")))
    stage.guard.refused.clear()  # it tried what it should not hold
    migration, unguarded = stage.paths.migration, stage.commands.gateway

    def bring(_: float) -> None:
        source, destination = migration.source_ref(CANARY), migration.destination_ref(CANARY)
        seen = unguarded.look(source)
        if seen is not None and unguarded.look(destination) is None:
            unguarded.copy(source, destination, if_source=seen.generation, if_destination=0)

    with closing(Gateway(retry_deadline=60.0)) as gateway:
        for side in (migration.source, migration.destination):
            assert gateway.bucket_resource(side.bucket)["name"] == side.bucket
            assert not gateway.bucket_policy(side.bucket).get("bindings")
        clock = Clock(lambda: datetime.now(UTC), bring)
        flight = fly(gateway, migration, CANARY, limit=60, clock=clock, pause=lambda _: None)
        assert (flight.problem, flight.left) == ("", ()), stage.guard.refused
        for name in Signatory:
            stamp = Stamp(name.value, "Ada", datetime.now(UTC))
            update(gateway, migration, lambda state, name=name, stamp=stamp: sign_off(state, name, stamp, ""))
    stage.commands.go(Phase.CUT_OVER)
    stage.good(stage.commands.run("cutover", "--by", "Ada", "--yes", "--ungoverned"))


def deletion(stage: Stage) -> None:
    """The rehearsal of an undo, a deletion, and its undo."""
    names = [NAME.format(number) for number in (1, 2)]
    stage.scene.both(*names)
    stage.scene.cut_over()
    where = (
        "--source",
        stage.paths.migration.source.uri,
        "--destination",
        stage.paths.migration.destination.uri,
    )
    stage.good(stage.scene.undo("--rehearse", *where))
    stage.good(stage.scene.delete(2))
    stage.good(stage.scene.undo(stage.scene.manifest_uri, "--execute"))
    assert stage.paths.names(side="source") == names


WORK = {
    Part.BACKFILL: backfill,
    Part.VERIFY: verify,
    Part.DELETION: deletion,
    Part.MIRROR: forward,
    Part.REVERSE: way_back,
    Part.STATUS: status,
    Part.OPERATOR: operator,
}


@pytest.mark.parametrize("part", Part, ids=lambda part: part.value)
def test_a_part_can_do_its_work_and_holds_no_right_in_vain(
    part: Part, paths: Paths, commands: Commands, guard: Guard, tmp_path: Path
) -> None:
    """Nothing it asks for is refused, and every permission of every right is asked for.

    And what it leaves below ``_migration/`` is named as the check of the lifecycle rules assumes, without a custom time.
    """
    guard.part = part
    WORK[part](Stage(paths, commands, guard, tmp_path))
    assert guard.refused == []
    held = {
        (right, permission) for right in RIGHTS if right.part is part for permission in right.role.permissions
    }
    assert held - guard.used == set()
    own = [*paths.bucket("destination").list_blobs(prefix=RECORD.prefix)]
    assert [blob.name for blob in own if not blob.name.endswith(RECORD.endings)] == []
    assert [blob.name for blob in own if blob.custom_time] == []


@pytest.mark.parametrize("phase", ["dual_write", "cut_over"])
def test_the_backfill_s_account_adopts_a_migration_of_an_older_version(
    paths: Paths, guard: Guard, phase: str
) -> None:
    """As the deployment does in an upgrade: the phase stays, and a mirror of the older version reads it where it was.

    The next build changes nothing.
    """
    guard.part = Part.BACKFILL
    at = state_ref(paths.migration)
    cutover = {
        "at": "2026-11-01T00:00:00Z",
        "by": "Ada",
        "what": "phase dual_write to cut_over",
        "change": "c",
    }
    history = [cutover] if phase == "cut_over" else []
    old = {
        "version": 1,
        "source": paths.migration.source.uri,
        "destination": paths.migration.destination.uri,
        "phase": phase,
        "since": cutover["at"] if history else None,
        "signoffs": [],
        "runs": [],
        "history": history,
    }
    paths.forget()
    head = paths.client.bucket(at.bucket).blob(at.name)
    head.upload_from_string(json.dumps(old))
    for said in ("Adopted, from version 1 of the record.", "Nothing to do: the record is whole."):
        ended = run_command("begin", *where(paths), "--by", "build")
        assert (ended.code, ended.err, guard.refused) == (0, "", [])
        assert (said in ended.out, f"phase {phase}" in ended.out) == (True, True)
    found = paths.client.bucket(at.bucket).blob(at.name).download_as_bytes()
    assert json.loads(found)["phase"] == phase


def test_the_deployment_begins_nothing_where_a_record_may_be_lost(paths: Paths, guard: Guard) -> None:
    """Objects at the new path and no record: a person must name the phase, and nothing is written."""
    guard.part = Part.BACKFILL
    paths.forget()
    paths.put(NAME.format(1), ONE, side="destination")
    ended = run_command("begin", *where(paths), "--by", "build")
    assert (ended.code, "--phase dual_write" in ended.err) == (2, True)
    assert [*paths.bucket("destination").list_blobs(prefix=RECORD.prefix)] == []


def test_the_guard_refuses(paths: Paths, commands: Commands, guard: Guard) -> None:
    """In the verification's account an execution copies nothing and says why; else these tests would prove nothing."""
    guard.part = Part.VERIFY
    paths.put(NAME.format(1), ONE)
    ended = commands.run("migrate", "--execute", "--yes", "--ungoverned")
    assert ended.code != 0
    assert ("storage.objects.create", paths.migration.destination.bucket) in {
        need[:2] for need in guard.refused
    }
    assert paths.names() == []


def test_the_backfill_s_account_cannot_delete_on_the_legacy_path(paths: Paths, guard: Guard) -> None:
    """Not even when asked to."""
    guard.part = Part.BACKFILL
    generation = paths.put(NAME.format(1), ONE)
    with closing(Gateway(retry_deadline=60.0)) as gateway, pytest.raises(PermissionDenied):
        gateway.delete(paths.migration.source_ref(NAME.format(1)), if_generation=generation)
    assert paths.names(side="source") == [NAME.format(1)]


def smoked(stage: Stage, part: Part) -> tuple[int, dict[str, tuple[str, str]]]:
    """The smoke test's exit code; standing and advice of each check."""
    said = run_command("smoke", *where(stage.paths), "--json", "--part", part.value)
    assert said.err == ""
    return said.code, {
        check["name"]: (check["standing"], check["next_step"]) for check in json.loads(said.out)["checks"]
    }


@pytest.mark.parametrize("part", Part, ids=lambda part: part.value)
@pytest.mark.parametrize("filled", [True, False], ids=["asked", "tried"])
def test_smoke_finds_every_account_fit_and_no_other_in_its_place(
    part: Part, filled: bool, commands: Commands, guard: Guard, tmp_path: Path
) -> None:
    """Nothing missing, nothing too much; another account is one or the other.

    With an object in every place that can be asked about; and with none, where requests are tried that cannot succeed.
    """
    stage = Stage(commands.paths, commands, guard, tmp_path)
    if filled:
        fill_every_place(stage)
    else:
        commands.paths.forget()
    parts = [*Part]
    for other in (part, parts[parts.index(part) - 1]):
        guard.part = other
        code, found = smoked(stage, part)
        rights = {name: seen for name, seen in found.items() if name.startswith("rights on")}
        assert (set(rights.values()) == {("PASS", "")}) == (other is part), (other, rights)
        assert code == int("FAIL" in {standing for standing, _ in found.values()})


def fill_every_place(stage: Stage) -> None:
    """An object in every area."""
    paths = stage.paths
    stage.fill()
    paths.put(CANARY)
    own = paths.migration.own_ref("")
    for bucket, name in (
        (paths.migration.source.bucket, "_migration/undo-rehearsal/x"),
        (own.bucket, f"{own.name}state"),
        (own.bucket, f"{own.name}late-writes/x"),
        (own.bucket, f"{own.name}smoke/x"),
    ):
        paths.client.bucket(bucket).blob(name).upload_from_string(b"")
