"""Another pair over the same objects: what overwrites or deletes refuses to begin, and names the other migration."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from testing_commands import Commands, Ended, run_command
from testing_deletion import Scene, day
from testing_paths import Paths

from backfill_job.run.overlaps import refuse_overlaps
from shared.errors import UsageError
from shared.gateway import Gateway
from shared.phase import Phase

COPY = ("--execute", "--yes", "--ungoverned")
NOW = ("--by", "Ada", "--yes", "--ungoverned")
DAY = "qpi_answers_20240101/"
CHANGES = ("insert", "rewrite", "delete", "restore", "compose", "copy", "patch", "update")
"""The methods of Cloud Storage that change objects."""


@dataclass
class World:
    """The test's own pair, and what else lies in its two buckets."""

    paths: Paths
    commands: Commands

    def uri(self, side: str, prefix: str) -> str:
        return f"gs://{getattr(self.paths.migration, side).bucket}/{prefix}"

    def put(self, side: str, name: str, contents: bytes) -> None:
        self.paths.bucket(side).blob(name).upload_from_string(contents)

    def record(self, source: str, destination: str, phase: Phase | str) -> str:
        """A migration's record, in the form of version 1, which is a head alone; gives its URI."""
        phase = phase.value if isinstance(phase, Phase) else phase
        bucket, _, prefix = destination.removeprefix("gs://").partition("/")
        name = f"_migration/{prefix.rstrip('/')}/state.json"
        contents = json.dumps({"version": 1, "source": source, "destination": destination, "phase": phase})
        self.paths.client.bucket(bucket).blob(name).upload_from_string(contents)
        return f"gs://{bucket}/{name}"

    def of_the_day(self, phase: Phase = Phase.DUAL_WRITE) -> str:
        """The record of one day's own pair."""
        source, destination = (
            self.uri("source", f"QPI_exports/{DAY}"),
            self.uri("destination", f"qpi_exports/{DAY}"),
        )
        return self.record(source, destination, phase)

    def everything(self) -> dict[str, tuple[int, int]]:
        """Every object in both buckets, with its generation and metageneration."""
        return {
            f"{blob.bucket.name}/{blob.name}": (blob.generation, blob.metageneration)
            for side in ("source", "destination")
            for blob in self.paths.bucket(side).list_blobs()
        }

    def changes(self) -> int:
        return sum(self.paths.requests(f"storage.objects.{method}") for method in CHANGES)

    def migrate(self, source: str, destination: str) -> Ended:
        """Execute a pair of one's own choosing."""
        logs = ("--log-dir", str(self.commands.folder / "logs"))
        pair = ("--source", source, "--destination", destination)
        return run_command("migrate", *pair, *COPY, "--grace", "0", *logs)


@pytest.fixture
def world(paths: Paths, commands: Commands) -> World:
    return World(paths, commands)


class TestWhatWasLost:
    """The scripts that overwrote 5 of 5 newer objects, and ended with exit code 0."""

    @pytest.fixture(autouse=True)
    def after_the_cutover(self, world: World) -> Iterator[None]:
        """Each test puts 5 newer objects where the mistaken pair copies to."""
        names = [f"{DAY}user_id_{number}.jsonl" for number in range(5)]
        for name in names:
            for side in ("source", "destination"):
                world.paths.put(name, b"old", side=side)
        world.commands.go(Phase.CUT_OVER)
        for name in names:
            for side in ("source", "destination"):
                world.paths.put(name, f"newer, {side}".encode(), side=side)
        before = world.everything()
        world.paths.server.reset_stats()
        yield
        assert world.changes() == 0
        assert world.everything() == before
        assert {world.paths.read(name) for name in names} == {b"newer, destination"}
        assert {world.paths.read(name, side="source") for name in names} == {b"newer, source"}

    def test_one_day_s_prefix_as_a_pair_of_its_own(self, world: World) -> None:
        """The real pair is its parent."""
        source, destination = (
            world.uri("source", f"QPI_exports/{DAY}"),
            world.uri("destination", f"qpi_exports/{DAY}"),
        )
        ended = world.migrate(source, destination)
        assert ended.code == 2
        real = world.paths.migration
        for said in (
            world.uri("destination", "_migration/qpi_exports/state.json"),
            f"{real.source.uri} to {real.destination.uri}, in phase cut_over",
            "Nothing was done; use that pair, with --since",
        ):
            assert said in ended.err
        logs = ("--log-dir", str(world.commands.folder / "logs"))
        dry = run_command("migrate", "--source", source, "--destination", destination, *logs)
        assert dry.code == 0
        assert "It would be REFUSED: gs://" in dry.out

    def test_the_pair_reversed_by_hand(self, world: World) -> None:
        """The real pair's new path is its source."""
        real = world.paths.migration
        ended = world.migrate(real.destination.uri, real.source.uri)
        assert ended.code == 2
        assert f"{real.source.uri} to {real.destination.uri}, in phase cut_over" in ended.err
        assert "use the command `rollback` of that migration" in ended.err

    def test_one_day_s_prefix_reversed(self, world: World) -> None:
        """Both mistakes at once."""
        source, destination = (
            world.uri("destination", f"qpi_exports/{DAY}"),
            world.uri("source", f"QPI_exports/{DAY}"),
        )
        assert world.migrate(source, destination).code == 2


OURS = ("a/b/c/", "x/y/z/")
"""The prefixes of the pair in the table below."""


@pytest.mark.parametrize(
    ("source", "destination", "phase", "goes"),
    [
        # Beside ours: other objects.
        ("source:a/b/d/", "destination:x/y/w/", "cut_over", True),
        ("source:a/b/c/", "destination:x/y/zz/", "cut_over", True),
        ("source:a/b/c/", "destination:x/Y/z/", "cut_over", True),
        ("third:a/", "source:a/b/cc/", "cut_over", True),
        ("third:x/y/z/", "destination:a/b/c/", "cut_over", True),
        # Parents, children, and a neighbour's pair into our path.
        ("source:a/b/", "destination:x/y/", "dual_write", False),
        ("source:a/", "destination:x/", "cut_over", False),
        ("source:a/b/c/d/", "destination:x/y/z/d/", "dual_write", False),
        ("source:a/b/c/d/e/f/", "destination:x/y/z/d/e/f/", "deleting", False),
        ("source:elsewhere/", "destination:x/y/z/d/", "rolled_back", False),
        ("source:a/b/", "destination:x/y/", "deleted", False),
        ("third:a/", "destination:x/y/z/d/", "deleted", False),
        # Reversed, wholly or in part.
        ("destination:x/y/z/", "source:a/b/c/", "dual_write", False),
        ("destination:x/y/z/", "source:a/b/c/", "cut_over", False),
        ("destination:x/y/z/", "source:a/b/c/", "deleted", False),
        ("destination:x/", "source:a/", "deleted", False),
        # Chains: the other filled our source.
        ("third:a/", "source:a/b/c/", "deleted", True),
        ("third:a/", "source:a/b/", "deleted", True),
        ("third:a/", "source:a/b/c/d/", "deleted", True),
        ("third:a/", "source:a/b/c/", "deleting", False),
        ("third:a/", "source:a/b/c/", "cut_over", False),
        ("third:a/", "source:a/b/", "dual_write", False),
    ],
)
def test_which_records_stop_an_execution(
    world: World, source: str, destination: str, phase: str, goes: bool
) -> None:
    """By names alone: a parent, a child or an equal of one of our prefixes, except the end of a chain before us."""
    world.put("source", "a/b/c/1", b"one")

    def uri(text: str) -> str:
        side, _, prefix = text.partition(":")
        return f"gs://third-bucket/{prefix}" if side == "third" else world.uri(side, prefix)

    at = world.record(uri(source), uri(destination), phase)
    before = world.everything()
    ended = world.migrate(world.uri("source", OURS[0]), world.uri("destination", OURS[1]))
    if goes:
        assert (ended.code, ended.err) == (0, "")
    else:
        assert ended.code == 2
        assert f"{at} is the record of another migration" in ended.err
        assert f"{uri(source)} to {uri(destination)}, in phase {phase}" in ended.err
        assert world.everything() == before


ROLLBACK = "to bring objects back, use the command `rollback` of that migration"
UNDO = "to bring objects back, use the command `undo` with the manifest of that migration"
TRUTH = "that one copies in the other direction, and its source is the source of truth"
FIRST = "finish that migration first, to its phase deleted"
PARENT = "use that pair, with --since for the newest days or --exclude for what to leave out"
PART = "that one is about a part of these objects, and has a phase of its own: end it, or retire its record"


@pytest.mark.parametrize(
    ("source", "destination", "phase", "instead"),
    [
        ("source:a/b/", "destination:x/y/", "cut_over", PARENT),
        ("source:a/b/c/d/", "destination:x/y/z/d/", "cut_over", PART),
        ("third:a/", "source:a/b/c/", "cut_over", FIRST),
        ("third:a/", "source:a/b/", "dual_write", FIRST),
        ("destination:x/y/z/", "source:a/b/c/", "dual_write", TRUTH),
        ("destination:x/y/z/", "source:a/b/c/", "cut_over", ROLLBACK),
        ("destination:x/", "source:a/", "rolled_back", ROLLBACK),
        ("destination:x/y/z/", "source:a/b/c/", "deleting", UNDO),
        ("destination:x/y/z/", "source:a/b/c/", "deleted", UNDO),
    ],
)
def test_a_refusal_says_what_to_do_instead(
    world: World, source: str, destination: str, phase: str, instead: str
) -> None:
    """By how the two lie to each other, and by what the other one's phase allows."""
    world.put("source", "a/b/c/1", b"one")
    uris = []
    for text in (source, destination):
        side, _, prefix = text.partition(":")
        uris.append(f"gs://third-bucket/{prefix}" if side == "third" else world.uri(side, prefix))
    world.record(uris[0], uris[1], phase)
    ended = world.migrate(world.uri("source", OURS[0]), world.uri("destination", OURS[1]))
    assert ended.code == 2
    assert f"Nothing was done; {instead} (see docs/runbook.md" in ended.err


def test_a_whole_bucket_is_the_parent_of_every_prefix_in_it(world: World) -> None:
    """Its own kind of source: each record in it is about some of its objects."""
    world.put("source", "1", b"one")
    at = world.record("gs://third-bucket/a/", world.uri("source", "deep/down/"), Phase.CUT_OVER)
    ended = world.migrate(world.uri("source", ""), world.uri("destination", "x/"))
    assert ended.code == 2
    assert at in ended.err
    world.record("gs://third-bucket/a/", world.uri("source", "deep/down/"), Phase.DELETED)
    assert world.migrate(world.uri("source", ""), world.uri("destination", "x/")).code == 0


def test_both_paths_in_one_bucket(world: World) -> None:
    """The records of both are looked for in it."""
    world.put("source", "a/1", b"one")
    world.record(world.uri("source", "b/c/"), world.uri("source", "a/c/"), Phase.CUT_OVER)
    assert world.migrate(world.uri("source", "a/"), world.uri("source", "b/")).code == 2
    assert world.migrate(world.uri("source", "a/c/"), world.uri("source", "d/")).code == 2


def test_a_command_that_begins_can_ask_the_same(world: World, gateway: Gateway) -> None:
    """With a gateway and no run."""
    migration = world.paths.migration
    refuse_overlaps(migration, gateway, os.environ)
    at = world.of_the_day()
    with pytest.raises(UsageError, match=re.escape(at)):
        refuse_overlaps(migration, gateway, os.environ)


def test_a_retired_record_is_no_record(world: World) -> None:
    """A trial's, renamed as the runbook says; both parts of it."""
    world.paths.put("1")
    world.of_the_day()
    bucket, folder = world.paths.bucket("destination"), f"_migration/qpi_exports/{DAY}"
    world.put("destination", f"{folder}history/00000001-dual_write.json", b"{}")
    runbook = (Path(__file__).parents[2] / "docs" / "runbook.md").read_text()
    moves = re.findall(
        r"^gcloud storage mv gs://BUCKET/_migration/P/(\S+) gs://BUCKET/_migration/P/(\S+)$",
        runbook,
        re.MULTILINE,
    )
    assert len(moves) == 2
    for name, retired in moves:
        assert world.commands.run("migrate", *COPY).code == 2
        for blob in list(bucket.list_blobs(prefix=folder + name)):
            bucket.rename_blob(blob, blob.name.replace(folder + name, folder + retired))
    assert world.commands.run("migrate", *COPY).code == 0


def test_a_prefix_that_reads_like_a_pattern(world: World) -> None:
    """It is never part of a glob."""
    odd = "a[1]{x,y}*?/"
    world.put("source", f"{odd}1", b"one")
    world.record(world.uri("source", odd), world.uri("destination", f"{odd}day/"), Phase.CUT_OVER)
    assert world.migrate(world.uri("source", odd), world.uri("destination", odd)).code == 2


@pytest.mark.parametrize(
    "name",
    [
        "replaced/qpi_answers_20240101/state.json/1700000000000000",
        "replaced/x/history/00000001-cut_over.json/17",
        "replaced/00000001-cut_over.json/17",
        "reports/history/run.json",
        "certificates/state.jsonl",
        "history/00000001-dual_write.json",
    ],
)
def test_what_is_no_record_of_another(world: World, name: str) -> None:
    """Kept versions, reports, and our own history."""
    world.paths.put("1")
    world.put("destination", f"_migration/qpi_exports/{name}", b"{}")
    ended = world.commands.run("migrate", *COPY)
    assert "another migration" not in ended.err


def test_a_record_is_found_behind_many_kept_versions(world: World) -> None:
    """The service filters the names; a page without a match is not the end."""
    world.paths.put("1")
    bucket = world.paths.migration.destination.bucket
    world.paths.server.fill(bucket, 2_500, prefix="_migration/qpi_exports/a/replaced/")
    world.record(
        world.uri("source", "QPI_exports/z/"), world.uri("destination", "qpi_exports/z/"), Phase.CUT_OVER
    )
    assert world.commands.run("migrate", *COPY).code == 2


class TestNotKnown:
    """A record that overlaps and cannot be read, or contradicts itself: refused as well."""

    CHILD = f"_migration/qpi_exports/{DAY}"

    def refused(self, world: World) -> str:
        world.paths.put("1")
        before = world.everything()
        ended = world.commands.run("migrate", *COPY)
        assert ended.code == 2
        assert world.everything() == before
        return ended.err

    @pytest.mark.parametrize(
        "change",
        [
            {"phase": "paused"},
            {"phase": None},
            {"source": 1},
            {"source": "nowhere"},
            {"destination": "gs://third-bucket/qpi_exports/"},
            {"destination": None},
        ],
    )
    def test_damaged(self, world: World, change: dict[str, Any]) -> None:
        """Whatever field it is."""
        at = world.of_the_day()
        content = json.loads(
            world.paths.bucket("destination").blob(f"{self.CHILD}state.json").download_as_bytes()
        )
        world.put("destination", f"{self.CHILD}state.json", json.dumps({**content, **change}).encode())
        assert (
            f"{at} is the record of another migration over the same objects, and its phase is not known"
            in (self.refused(world))
        )

    @pytest.mark.parametrize("contents", [b"", b"[]", b"{", b"null", b'"x"', b'{"phase":"deleted"}'])
    def test_not_a_record_s_form(self, world: World, contents: bytes) -> None:
        """One clear line, and no traceback."""
        world.put("destination", f"{self.CHILD}state.json", contents)
        assert "damaged" in self.refused(world)

    def test_without_a_head(self, world: World) -> None:
        """The history is a trace, too."""
        world.put("destination", f"{self.CHILD}history/00000001-dual_write.json", b"{}")
        assert "its history is there, and the head is gone" in self.refused(world)

    def test_a_head_that_its_history_contradicts(self, world: World) -> None:
        """A head that was set to ``deleted`` by hand does not open the way, with a history or without one."""
        source, destination = "gs://third-bucket/a/", world.uri("source", "QPI_exports/")
        folder = "_migration/QPI_exports/"
        head = {"version": 2, "source": source, "destination": destination, "phase": "deleted"}
        for entries in (0, 2, 4):
            world.put(
                "source", f"{folder}state.json", json.dumps({**head, "history": [{}] * entries}).encode()
            )
            assert f"{folder}state.json is the record of another" in self.refused(world)
            if not entries:
                for entry in ("00000001-dual_write", "00000002-cut_over"):
                    world.put("source", f"{folder}history/{entry}.json", b"{}")
                assert "is not known" in self.refused(world)
        world.put("source", f"{folder}history/00000004-deleted.json", b"{}")
        assert "is not known" in self.refused(world)
        world.put("source", f"{folder}history/00000003-deleting.json", b"{}")
        assert world.commands.run("migrate", *COPY).code == 0

    @pytest.mark.parametrize("method", ["download", "list"])
    def test_not_permitted(self, world: World, method: str) -> None:
        """Neither the listing nor the reading may be refused."""
        world.of_the_day()
        prefix = "_migration/qpi_exports/" if method == "list" else f"{self.CHILD}state.json"
        world.paths.server.set_faults(
            rules=[
                {"method": f"storage.objects.{method}", "name_prefix": prefix, "count": None, "status": 403}
            ]
        )
        assert "cannot start" in self.refused(world)

    def test_of_other_objects(self, world: World) -> None:
        """A damaged record that does not overlap is not our concern."""
        world.paths.put("1")
        world.put("destination", "_migration/other/state.json", b"{")
        assert world.commands.run("migrate", *COPY).code == 0


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("migrate", COPY),
        ("cutover", NOW),
        ("rollback", NOW),
        ("rollback", ("--refresh", "--ungoverned")),
        ("delete", ("--confirm-delete", "--confirm-text", "DELETE_QPI_EXPORTS", "--expect-objects", "1")),
    ],
)
def test_every_command_that_overwrites_or_deletes_asks(
    world: World, command: str, arguments: tuple[str, ...]
) -> None:
    """Before it writes anything, reports included."""
    world.paths.put(day(1))
    world.paths.put(day(1), side="destination")
    world.commands.go(Phase.CUT_OVER)
    at = world.of_the_day()
    before = world.everything()
    reports = ("--report", world.uri("destination", "reports/"))
    ended = world.commands.run(command, *arguments, *reports)
    assert ended.code == 2
    assert at in ended.err
    assert world.everything() == before


def test_an_undo_asks_too(world: World, scene: Scene) -> None:
    """The dry run still says what could be brought back."""
    scene.both(day(1))
    scene.cut_over()
    assert scene.delete(1).code == 0
    manifest = scene.manifest_uri
    at = world.of_the_day()
    assert scene.undo(manifest).code == 0
    ended = scene.undo(manifest, "--execute")
    assert ended.code == 2
    assert at in ended.err
    assert world.paths.names(side="source") == []


@pytest.mark.parametrize("command", ["migrate", "verify", "rollback --dry-run", "delete"])
def test_what_only_reads_goes_on(world: World, command: str) -> None:
    """Where two migrations are about the same objects, an operator must be able to look."""
    world.paths.put(day(1))
    world.paths.put(day(1), side="destination")
    world.commands.go(Phase.CUT_OVER)
    world.of_the_day()
    ended = world.commands.run(*command.split())
    assert ended.code in {0, 1}
    assert ended.err == ""


def records(world: World) -> dict[str, tuple[int, int]]:
    """All heads and entries in both buckets."""
    return {
        name: version
        for name, version in world.everything().items()
        if name.endswith("/state.json") or "/history/" in name
    }


@pytest.mark.parametrize(
    "command",
    [
        "verify --grace 0",
        "import-test --date 20240101",
        "gate",
        "status",
        "smoke",
        "migrate",
        "delete",
    ],
)
def test_a_look_never_makes_a_record(world: World, command: str) -> None:
    """A mistaken pair of one that is under way: its record would stop the real migration."""
    name = f"{DAY}user_id_1.jsonl"
    for side in ("source", "destination"):
        world.paths.put(
            name, b'{"user_id":"1","submitted_at":"2024-01-01T00:00:00Z","answers":[]}\n', side=side
        )
    words = (
        "--source",
        world.uri("source", "QPI_exports/"),
        "--destination",
        world.uri("destination", f"qpi_exports/{DAY}"),
    )
    logs = (
        ()
        if command.split(maxsplit=1)[0] in {"import-test", "status", "smoke"}
        else ("--log-dir", str(world.commands.folder))
    )
    before = records(world)
    assert run_command(*command.split(), *words, *logs).code in {0, 1, 2}
    assert records(world) == before
