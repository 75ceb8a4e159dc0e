"""What was deleted on the path that decides what exists does not come back; what cannot be told is filled."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testing_commands import Commands, Ended
from testing_deletion import CONFIRM, Scene, day
from testing_paths import Paths

from backfill_job.verify.certificate import read_certificate
from mirror_function.event import EventKind, ObjectEvent
from mirror_function.mirror import Mirrored, MirrorOutcome, mirror
from mirror_function.settings import MirrorSettings
from shared.phase import Phase, PhaseReader, read_phase
from shared.record import update
from shared.state import ComparisonRecord
from shared.state_changes import Stamp, compared, comparing
from shared.verification import said_of_many_erased, too_many_erased

HELD = "a/erased"
OTHERS = ("a/1", "a/2")
AGAIN = ("--by", "Ada", "--yes", "--ungoverned")


def prove(commands: Commands, **changes: Any) -> None:
    """Record a full comparison that found both sides equal, and began now."""
    migration, began = commands.paths.migration, datetime.now(UTC)
    found = replace(
        ComparisonRecord(str(began), "run", "verify", began, 3, 0, 0, migration.excludes), **changes
    )
    update(
        commands.gateway, migration, lambda state: comparing(state, Stamp(str(began), "verify", began), "run")
    )
    stamp = Stamp(f"{began} ended", "verify", began)
    update(commands.gateway, migration, lambda state: compared(state, stamp, found))


def both(paths: Paths, *names: str) -> None:
    for name in names:
        for side in ("source", "destination"):
            paths.put(name, name.encode(), side=side)


def sweep(commands: Commands, *arguments: str) -> Ended:
    report = str(commands.folder / "r")
    return commands.run("migrate", "--execute", "--yes", "--ungoverned", "--report", report, *arguments)


def content(commands: Commands, name: str = "run.json") -> Any:
    return json.loads((commands.folder / "r" / name).read_text())


def reader(commands: Commands) -> PhaseReader:
    return PhaseReader(commands.gateway, commands.paths.migration, lambda: 0.0)


def delivered(commands: Commands, name: str, *, reverse: bool = False) -> Mirrored:
    """What the mirror makes of the event of the version that is there, however late it comes."""
    paths = commands.paths
    state = paths.look(name, side="destination" if reverse else "source")
    assert state is not None
    settings = MirrorSettings(paths.migration, reverse=reverse)
    event = ObjectEvent("e", EventKind.FINALIZED, settings.way.source.bucket, state, datetime.now(UTC))
    return mirror(event, settings, commands.gateway, reader(commands))


@pytest.fixture
def proven(paths: Paths, commands: Commands) -> Commands:
    """Three objects on both sides, cut over, and then a comparison that found them equal."""
    both(paths, HELD, *OTHERS)
    commands.go(Phase.CUT_OVER)
    prove(commands)
    return commands


@pytest.fixture
def erased(proven: Commands) -> Commands:
    """One of them was deleted on the new path since."""
    proven.paths.delete(HELD, side="destination")
    return proven


def test_the_sweep_leaves_what_was_erased_and_names_it(erased: Commands) -> None:
    """In an account of its own that balances; on the screen, in the log and in the report."""
    paths = erased.paths
    for number in range(100):  # one of 103 objects is a request, and not a rule
        both(paths, f"b/{number}")
    ended = sweep(erased)
    assert (ended.code, ended.err) == (0, "")
    assert HELD not in paths.names()
    assert HELD in paths.names(side="source")
    report = content(erased)
    assert (report["ledger"]["erased"], report["ledger"]["listed"], report["ledger"]["holds"]) == (
        1,
        103,
        True,
    )
    assert (report["verification"]["erased"], report["verification"]["missing"]) == (1, 0)
    assert report["verification"]["erased_names"] == [HELD]
    assert "1 erased" in report["summary"]
    assert f"1 object erased since, on the new path after a proven comparison: {HELD}" in ended.out
    logged = [line for line in ended.log.splitlines() if "object_erased" in line]
    assert [paths.migration.source_ref(HELD).uri in line for line in logged] == [True]
    found = erased.state.history[-1].comparison
    assert found is not None
    assert (found.equal, found.erased, found.compared) == (True, 1, 102)


def test_more_than_one_in_a_hundred_is_a_rule_or_an_accident(erased: Commands) -> None:
    """Nothing is brought back on a guess, and the run does not end in success."""
    ended = sweep(erased)
    assert (ended.code, ended.err) == (1, "")
    assert "NOT EQUAL: 1 erased" in ended.out
    assert (
        "That is more than one per cent of 3 names: a person must say that each was a request." in ended.out
    )
    assert HELD not in erased.paths.names()
    found = erased.state.history[-1].comparison
    assert found is not None
    assert not found.equal


def test_a_verification_of_too_many_erased_is_not_clean(erased: Commands) -> None:
    """Its report and its exit code say so."""
    ended = erased.run("verify", "--report", str(erased.folder / "r"))
    assert (ended.code, ended.err) == (1, "")
    report = content(erased, "verification.json")
    assert (report["clean"], report["counts"]["erased"], report["differences_total"]) == (False, 1, 1)
    assert "Not equal: 1 erased since" in (erased.folder / "r" / "report.html").read_text()
    assert "verification_difference" in ended.log


def test_the_dry_run_says_what_was_erased(erased: Commands) -> None:
    """As the execution does."""
    ended = erased.run("migrate", "--report", str(erased.folder / "r"))
    assert ended.code == 0
    steps = content(erased, "plan.json")["findings"]["steps"]
    assert (steps["erased"]["objects"], steps["copy"]["objects"]) == (1, 0)
    assert "ERASED since" in ended.out


def test_a_person_can_include_what_was_erased(erased: Commands) -> None:
    """``--include-erased`` copies it as everything else."""
    ended = sweep(erased, "--include-erased")
    assert (ended.code, ended.err) == (0, "")
    assert erased.paths.read(HELD) == HELD.encode()


def test_a_cutover_run_again_leaves_what_was_erased(erased: Commands) -> None:
    """Its pass counts it, and names it."""
    ended = erased.run("cutover", *AGAIN, "--report", str(erased.folder / "r"))
    assert (ended.code, ended.err) == (0, "")
    assert HELD not in erased.paths.names()
    assert f"erased since, on the new path: {HELD}" in ended.out
    report = content(erased, "cutover.json")["handover"]
    assert (report["erased"], report["erased_names"], report["ledger"]["holds"]) == (1, [HELD], True)


def test_a_late_event_brings_nothing_back(erased: Commands) -> None:
    """An event of before the comparison is delivered again: it is no straggler. A look at both sides, and no write."""
    done = delivered(erased, HELD)
    assert (done.outcome, done.straggler, done.late) == (MirrorOutcome.ERASED, False, None)
    assert "deleted at the destination" in done.because
    assert HELD not in erased.paths.names()


def test_a_new_object_still_takes_one_request(proven: Commands) -> None:
    """The mirror knows from the phase's own answer since when an absence is an erasure."""
    paths = proven.paths
    paths.put("a/new", b"late writer")
    state = paths.look("a/new", side="source")
    assert state is not None
    settings, phases = MirrorSettings(paths.migration), reader(proven)
    phases.phase()
    event = ObjectEvent("e", EventKind.FINALIZED, paths.migration.source.bucket, state, datetime.now(UTC))
    paths.server.reset_stats()
    done = mirror(event, settings, proven.gateway, phases)
    assert (done.outcome, done.straggler) == (MirrorOutcome.COPIED, True)
    assert paths.requests("storage.objects.rewrite") == 1
    assert paths.requests("storage.objects.get") == 1  # the look after a straggler's copy
    assert set(paths.server.stats()["methods"]) == {"storage.objects.rewrite", "storage.objects.get"}


def test_what_was_mirrored_back_and_then_erased_does_not_come_back(commands: Commands) -> None:
    """It was written on the new path after the cutover; the legacy path holds the reverse mirror's copy."""
    paths = commands.paths
    both(paths, *OTHERS)
    commands.go(Phase.CUT_OVER)
    paths.put(HELD, b"new", side="destination")
    assert delivered(commands, HELD, reverse=True).outcome is MirrorOutcome.COPIED
    prove(commands)
    paths.delete(HELD, side="destination")
    assert delivered(commands, HELD).outcome is MirrorOutcome.ERASED
    sweep(commands)
    commands.run("cutover", *AGAIN)
    assert HELD not in paths.names()


def test_written_just_before_the_cutover_and_not_copied_yet_is_not_erased(commands: Commands) -> None:
    """The comparison that found both sides equal was before the cutover."""
    both(commands.paths, *OTHERS)
    commands.paths.put(HELD, b"just before")
    prove(commands)
    commands.go(Phase.CUT_OVER)
    assert delivered(commands, HELD).outcome is MirrorOutcome.COPIED
    commands.paths.delete(HELD, side="destination")
    sweep(commands)
    assert commands.paths.read(HELD) == b"just before"


def test_a_hole_of_before_the_second_cutover_is_filled(erased: Commands) -> None:
    """After a rollback the legacy path decided, and holds it."""
    erased.go(Phase.ROLLED_BACK, Phase.CUT_OVER)
    ended = erased.run("cutover", *AGAIN)
    assert (ended.code, ended.err) == (0, "")
    assert erased.paths.read(HELD) == HELD.encode()


def test_what_a_rule_removed_from_the_legacy_path_is_put_back_by_a_rollback(proven: Commands) -> None:
    """After the cutover the legacy path only follows: an absence there is a gap."""
    proven.paths.delete(HELD, side="source")
    ended = proven.run("rollback", *AGAIN)
    assert (ended.code, ended.err) == (0, "")
    assert proven.paths.read(HELD, side="source") == HELD.encode()


def test_the_reverse_mirror_fills_a_gap_on_the_legacy_path(proven: Commands) -> None:
    """The same, object by object."""
    proven.paths.delete(HELD, side="source")
    assert delivered(proven, HELD, reverse=True).outcome is MirrorOutcome.COPIED


def test_after_a_rollback_the_legacy_path_decides(proven: Commands) -> None:
    """What was deleted there since a comparison of this phase does not come back from the new path; what is new there does."""
    paths = proven.paths
    proven.go(Phase.ROLLED_BACK)
    prove(proven)
    paths.delete(HELD, side="source")
    paths.put("a/late", b"late writer on the new path", side="destination")
    assert delivered(proven, HELD, reverse=True).outcome is MirrorOutcome.ERASED
    ended = proven.run("rollback", *AGAIN)
    assert (ended.code, ended.err) == (0, "")
    assert paths.names(side="source") == ["a/1", "a/2", "a/late"]
    assert f"erased since, on the legacy path: {HELD}" in ended.out
    found = proven.state.history[-1].comparison
    assert found is not None
    assert not found.equal  # the next cutover would bring it back: the gate must not pass


def test_what_was_erased_on_the_legacy_path_before_the_rollback_is_a_gap(proven: Commands) -> None:
    """A comparison of the phase before says nothing about deletions on the path that decides now."""
    proven.paths.delete(HELD, side="source")
    proven.go(Phase.ROLLED_BACK)
    assert delivered(proven, HELD, reverse=True).outcome is MirrorOutcome.COPIED


@pytest.mark.parametrize("phases", [(), (Phase.DELETING,), (Phase.DELETING, Phase.DELETED)])
def test_a_deletion_that_begins_changes_nothing_about_it(erased: Commands, phases: tuple[Phase, ...]) -> None:
    """The new path decides before and after: the comparison of before the deletion still counts."""
    erased.go(*phases)
    assert delivered(erased, HELD).outcome is MirrorOutcome.ERASED


@pytest.mark.parametrize(
    "changes",
    [{"wrong": 1}, {"wrong": 1, "extra": 1}, {"compared": 0}, {"excludes": ("a/*",)}],
    ids=["unequal", "extra", "of nothing", "of a part"],
)
def test_where_no_comparison_tells_data_win(commands: Commands, changes: dict[str, Any]) -> None:
    """Only one that found both sides equal, and that covers the name, does."""
    both(commands.paths, HELD)
    commands.go(Phase.CUT_OVER)
    prove(commands, **changes)
    commands.paths.delete(HELD, side="destination")
    assert reader(commands).erasures(reverse=False).proven_at is None
    assert delivered(commands, HELD).outcome is MirrorOutcome.COPIED


@pytest.mark.parametrize("how", ["written", "metadata"])
def test_what_changed_after_the_comparison_is_data(proven: Commands, how: str) -> None:
    """A late writer wrote it again, or changed its metadata: it may have been absent on the new path by then."""
    paths = proven.paths
    if how == "written":
        paths.put(HELD, b"again")
    else:
        blob = paths.bucket("source").blob(paths.migration.source.prefix + HELD)
        blob.metadata = {"k": "v"}
        blob.patch()
    paths.delete(HELD, side="destination")
    sweep(proven)
    assert HELD in paths.names()


@pytest.mark.parametrize("damage", [None, {}, [], "text", {"began": 1}, {"excludes": 1}])
def test_an_entry_that_cannot_be_read_tells_nothing(proven: Commands, damage: object) -> None:
    """The mirror reads the head leniently: it works on, and data win."""
    migration = proven.paths.migration
    at = migration.own_ref("state.json")
    head = json.loads(proven.gateway.read(at) or b"")
    entry = head["history"][-1]
    whole = isinstance(damage, dict) and damage
    entry["comparison"] = {**entry["comparison"], **damage} if whole else damage  # type: ignore[dict-item]
    proven.gateway.put(at, json.dumps(head).encode())
    found = read_phase(proven.gateway, migration)
    assert (found.phase, found.proven_at) == (Phase.CUT_OVER, None)


def test_a_verification_names_what_was_erased_and_is_the_next_proof(erased: Commands) -> None:
    """So what is written after the first erasure, and erased after the next comparison, does not come back either."""
    paths, second = erased.paths, "b/7"
    for number in range(100):
        both(paths, f"b/{number}")
    prove_by_verify(erased)
    paths.delete(second, side="destination")
    report = content(erased, "verification.json")
    assert (report["clean"], report["counts"]["erased"], report["counts"]["missing"]) == (True, 1, 0)
    certified = read_certificate((erased.folder / "r" / "certificate.json").read_bytes(), "certificate")
    assert certified.unequal_days == ("undated",)  # it says what lies there
    assert "Equal: nothing missing" in (erased.folder / "r" / "report.html").read_text()
    assert [HELD in remark["text"] for remark in report["remarks"] if remark["kind"] == "erased"] == [True]
    assert delivered(erased, second).outcome is MirrorOutcome.ERASED


def prove_by_verify(commands: Commands) -> None:
    """Verify; by Cloud Storage's clock it began after everything that is there: its header has whole seconds."""
    paths = commands.paths
    newest = max(
        datetime.fromisoformat(state.updated)
        for name in paths.names(side="source")
        if (state := paths.look(name, side="source")) is not None
    )
    while (commands.gateway.server_time.newest() or newest) <= newest + timedelta(seconds=0.001):
        commands.gateway.read(paths.migration.own_ref("state.json"))
    ended = commands.run("verify", "--report", str(commands.folder / "r"))
    assert (ended.code, ended.err) == (0, "")


# The deletion and the undo.


def ready(scene: Scene, objects: int = 100) -> Commands:
    """Proven after the cutover, and one object erased."""
    scene.both(day(1), day(2), *(f"b/{number}" for number in range(objects)))
    scene.cut_over()
    prove(scene.commands)
    scene.paths.delete(day(1), side="destination")
    return scene.commands


def test_a_deletion_leaves_what_was_erased(scene: Scene) -> None:
    """It is not equal, and it does not stand in the way."""
    ready(scene)
    ended = scene.delete(101)
    assert (ended.code, ended.err) == (0, "")
    assert scene.paths.names(side="source") == [day(1)]
    assert f"Would be left, erased at the new path since: 1 object, of {day(1)}" in ended.out
    assert scene.manifest()["facts"]["erased"] == {"left": 1, "named": [], "names": [day(1)]}
    assert scene.phase is Phase.DELETED


def test_a_person_names_what_was_erased_and_it_goes_for_good(scene: Scene, tmp_path: Path) -> None:
    """The manifest says who; an undo leaves it, unless it is included."""
    ready(scene)
    names = tmp_path / "erased.txt"
    names.write_text(f"{day(1)}\n")
    ended = scene.delete(102, "--erased", str(names))
    assert (ended.code, ended.err) == (0, "")
    assert scene.paths.names(side="source") == []
    assert (scene.manifest()["by"], scene.manifest()["facts"]["erased"]["named"]) == ("Ada", [day(1)])
    assert scene.undo(scene.manifest_uri, "--execute").code == 0
    assert day(1) not in scene.paths.names(side="source")
    assert scene.undo(scene.manifest_uri, "--execute", "--include-erased").code == 0
    assert day(1) in scene.paths.names(side="source")


def test_a_name_that_was_not_erased_is_refused(scene: Scene, tmp_path: Path) -> None:
    """A list is about what was erased, and about nothing else."""
    ready(scene)
    names = tmp_path / "erased.txt"
    names.write_text(f"{day(2)}\n")
    ended = scene.delete(101, "--erased", str(names))
    assert ended.code == 2
    assert "--erased names 1 object not erased at the new path" in ended.words
    assert len(scene.paths.names(side="source")) == 102


def test_one_of_a_few_stands_in_the_way_until_a_person_says_that_it_was_a_request(
    scene: Scene, tmp_path: Path
) -> None:
    """The line says what it is, and its advice leads to the end: an override, and the list with it."""
    ready(scene, objects=10)
    ended = scene.delete(11)
    assert ended.code == 2
    said = "That is more than one per cent of 12 names: a person must say that each was a request"
    assert said in ended.words
    wrong = tmp_path / "wrong.txt"
    wrong.write_text(f"{day(2)}\n")
    both = scene.delete(11, "--erased", str(wrong)).words
    assert "--erased names 1 object not erased at the new path" in both, (
        "an override covers what the line says"
    )
    assert said in both
    assert "`--erased LIST` with it deletes those of the list" in ended.words
    assert len(scene.paths.names(side="source")) == 12
    names = tmp_path / "erased.txt"
    names.write_text(f"{day(1)}\n")
    ended = scene.delete(12, "--erased", str(names), "--override", "erased", "--reason", "a request")
    assert (ended.code, ended.err) == (0, "")
    assert scene.paths.names(side="source") == []
    for execute in ((), ("--execute",), ("--execute",)):
        back = scene.undo(scene.manifest_uri, *execute)
        assert back.code == 0, "what a person listed stays away, and that is right"
    assert "DONE: 11 of 12 objects there again; 1 erased before, as the deletion's list says." in back.out


@pytest.mark.parametrize(
    ("erased", "names", "many", "says"),
    [
        (1, 50, True, "a person must say"),
        (10, 999, True, "a person must say"),
        (11, 1_000, True, "a rule or an accident"),
        (101, 10**6, True, "a rule or an accident"),
        (1, 100, False, ""),
        (100, 10_000, False, ""),
    ],
)
def test_what_is_said_fits_the_number(erased: int, names: int, says: str, *, many: bool) -> None:
    """One of fifty is not called an accident. It still is not passed in silence."""
    assert too_many_erased(erased, names) is many
    assert says in said_of_many_erased(erased, names)


def test_the_list_wants_a_name(scene: Scene, tmp_path: Path) -> None:
    """Who names them is on record."""
    said = ("--confirm-delete", "--confirm-text", CONFIRM, "--expect-objects", "1")
    ended = scene.commands.run("delete", *said, "--erased", str(tmp_path / "x"))
    assert (ended.code, "--erased wants --by WHO" in ended.err) == (2, True)


@pytest.mark.parametrize(
    ("contents", "why"),
    [
        (None, "cannot be read (No such file or directory)"),
        (b"\xff", "is not a text in UTF-8"),
        (b"\xef\xbb\xbf\r\n\n", "holds no name: one below the prefix a line, as `verify` shows it"),
        (b"[]", "is JSON; write one name below the prefix a line, as `verify` shows it"),
        (b'[\n  "a",\n  "b"\n]\n', "is JSON; write one name below the prefix a line, as `verify` shows it"),
        (b'a\n{"name": "b"}\n', "is JSON; write one name below the prefix a line, as `verify` shows it"),
        (b"a\ngs://b/x/a\n", "holds the address gs://b/x/a: leave out the bucket and the prefix"),
    ],
)
def test_a_list_that_cannot_be_read_is_named(
    scene: Scene, tmp_path: Path, contents: bytes | None, why: str
) -> None:
    """One line, and nothing is compared."""
    ready(scene, objects=1)
    names = tmp_path / "erased.txt"
    if contents is not None:
        names.write_bytes(contents)
    scene.paths.server.reset_stats()
    ended = scene.delete(1, "--erased", str(names))
    assert (ended.code, ended.err) == (2, f"delete_old_qpi_exports: --erased: {names} {why}\n")
    assert scene.paths.server.stats()["methods"] == {}


def test_an_undo_leaves_what_was_erased_since_and_can_include_it(scene: Scene) -> None:
    """Soft delete holds it; the new path decides."""
    scene.both(day(1), *(f"b/{number}" for number in range(100)))
    scene.cut_over()
    prove(scene.commands)
    assert scene.delete(101).code == 0
    scene.paths.delete(day(1), side="destination")
    planned = scene.undo(scene.manifest_uri)
    assert planned.code == 0
    assert f"erased {day(1)}: it was deleted at the new path" in planned.out
    report = scene.folder / "undo"
    ended = scene.undo(scene.manifest_uri, "--execute", "--report", str(report))
    assert (ended.code, ended.err) == (0, "")
    books = json.loads((report / "undo.json").read_text())["undone"]
    assert (books["there"], books["not_there"], books["erased"]) == (100, 0, 1)
    assert len(scene.paths.names(side="source")) == 100
    assert day(1) not in scene.paths.names(side="source")
    assert "1 erased since, and not brought back" in ended.out
    assert f"erased {day(1)}: it was deleted at the new path" in ended.out
    assert scene.undo(scene.manifest_uri, "--execute", "--include-erased").code == 0
    assert day(1) in scene.paths.names(side="source")


def test_an_undo_after_an_accident_on_the_new_path_is_not_called_done(scene: Scene) -> None:
    """Everything is gone there: that is what an undo is for."""
    scene.both(day(1), day(2))
    scene.cut_over()
    prove(scene.commands, compared=2)
    assert scene.delete(2).code == 0
    for name in (day(1), day(2)):
        scene.paths.delete(name, side="destination")
    assert scene.undo(scene.manifest_uri, "--execute").code == 1
    assert scene.undo(scene.manifest_uri, "--execute", "--include-erased").code == 0
    assert len(scene.paths.names(side="source")) == 2
