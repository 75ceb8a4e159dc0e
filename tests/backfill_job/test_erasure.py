"""The command ``erasure``: it finds every place where a name still is, deletes what may be deleted, and nothing brings it back."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from testing_commands import Commands, Ended, run_command, where
from testing_deletion import Scene, day
from testing_paths import Paths, json_lines

from backfill_job.deletion.erasing import Means, erase
from backfill_job.deletion.traces import Held, Trace, TracePlace, Traces
from mirror_function.event import EventKind, ObjectEvent
from mirror_function.mirror import MirrorOutcome, mirror
from mirror_function.settings import MirrorSettings
from shared.erasures import Erasures, name_digest
from shared.errors import Contended
from shared.objects import ObjectState
from shared.phase import Phase, PhaseReader, state_ref
from shared.state import EntryKind

HERS = "qpi_answers_20240101/user_id_7.jsonl"
OTHER = "qpi_answers_20240101/user_id_77.jsonl"
BY = ("--execute", "--by", "Ada")


def erasure(
    paths: Paths, *arguments: str, sleep: Callable[[float], None] = lambda _: None, **environ: str
) -> Ended:
    return run_command("erasure", *where(paths), *arguments, sleep=sleep, environ=environ)


def content(ended: Ended) -> Any:
    assert ended.err == ""
    return json.loads(ended.out)


def places(found: Any) -> list[tuple[str, str]]:
    return [(each["place"], each["held"]) for each in found["traces"]]


def both(paths: Paths, *names: str) -> None:
    for name in names:
        for side in ("source", "destination"):
            paths.put(name, name.encode(), side=side)


def event(paths: Paths, commands: Commands, state: ObjectState, *, reverse: bool = False) -> MirrorOutcome:
    """What the mirror makes of a version's event, however late it comes."""
    settings = MirrorSettings(paths.migration, reverse=reverse)
    phases = PhaseReader(commands.gateway, paths.migration, lambda: 0.0)
    told = ObjectEvent("e", EventKind.FINALIZED, settings.way.source.bucket, state, datetime.now(UTC))
    return mirror(told, settings, commands.gateway, phases).outcome


pytestmark = pytest.mark.usefixtures("gateway")  # it says where Cloud Storage is


@pytest.fixture
def hers(paths: Paths) -> Paths:
    """A name on both paths, with other versions of all kinds, beside one of another person."""
    both(paths, HERS, OTHER)
    migration = paths.migration
    paths.bucket("destination").blob(migration.kept_ref(HERS, 5).name).upload_from_string(b"kept")
    paths.bucket("destination").blob(migration.own_ref("deletions", "m.jsonl").name).upload_from_string(
        json.dumps({"name": HERS}) + "\n"
    )
    paths.bucket("destination").blob(migration.own_ref("runs", "x", "o.jsonl").name).upload_from_string(
        json.dumps({"name": OTHER}) + "\n"
    )
    bucket = paths.bucket("source")
    bucket.versioning_enabled = True
    bucket.patch()
    paths.put(HERS, b"second", side="source")
    return paths


def test_a_look_names_every_place_and_changes_nothing(hers: Paths) -> None:
    """A line for each; of the other person nothing, although that name begins in the same way."""
    before = hers.server.stats()["methods"]
    ended = erasure(hers, HERS)
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split()[:3] for line in ended.out.splitlines() if "path " in line or "copy " in line]
    assert rows == [
        ["legacy", "path", "live"],
        ["legacy", "path", "noncurrent"],
        ["new", "path", "live"],
        ["kept", "copy", "live"],
    ]
    told = [line for line in ended.out.splitlines()[:11] if not line.startswith("  gs://")]
    assert max(map(len, told)) <= 80, "the addresses stand on lines of their own, whole"
    assert re.search(rf"(?m)^  {hers.migration.source_ref(HERS).uri}#[0-9]+$", ended.out)
    assert "m.jsonl" in ended.out
    assert "user_id_77" not in ended.out
    assert "o.jsonl" not in ended.out
    assert "1 name: 4 versions can be deleted; what stays: 1 object that only names it." in ended.out
    assert ended.out.splitlines()[-1].endswith(" --execute --by NAME")
    wrote = set(hers.server.stats()["methods"]) - set(before)  # no request that changes anything
    assert wrote <= {"storage.objects.list", "storage.objects.get", "storage.objects.download"}


def test_the_result_as_json(hers: Paths) -> None:
    """One line, with every field of the table."""
    found = content(erasure(hers, HERS, "--json"))
    assert (found["names"], found["phase"], found["executed"]) == ([HERS], "dual_write", False)
    assert places(found) == [
        ("legacy_path", "live"),
        ("legacy_path", "noncurrent"),
        ("new_path", "live"),
        ("kept_copy", "live"),
        ("names_it", "live"),
    ]
    state = hers.look(HERS)
    assert state is not None
    new = found["traces"][2]
    assert (new["generation"], new["bytes"], new["created"]) == (
        str(state.generation),
        state.size,
        state.created,
    )


def test_an_erasure_leaves_soft_deleted_versions_and_what_names_it(hers: Paths, commands: Commands) -> None:
    """Each version goes by its generation. The record has a digest, and never the name."""
    waited: list[float] = []
    done = content(erasure(hers, HERS, *BY, "--json", sleep=waited.append))
    assert (done["done"], len(done["removed"]), waited) == (True, 4, [11.0])
    assert {held for place, held in places(done) if place != "names_it"} == {"soft_deleted"}
    assert all(each["soft_deleted_until"] for each in done["traces"] if each["held"] == "soft_deleted")
    assert (hers.names(side="source"), hers.names()) == ([OTHER], [OTHER])
    entry = commands.state.history[-1]
    assert (entry.kind, entry.by, entry.what) == (EntryKind.ERASURE, "Ada", "erasure of 1 name")
    assert entry.erasure is not None
    assert entry.erasure.names == (name_digest(HERS),)
    assert b"user_id" not in (commands.gateway.read(state_ref(hers.migration)) or b"")


def test_in_the_job_an_erasure_is_a_line_of_the_log(hers: Paths) -> None:
    """It says who erased, and not what."""
    ended = erasure(hers, HERS, *BY, "--json", CLOUD_RUN_JOB="job")
    (line,) = [line for line in json_lines(ended.out) if line.get("event") == "state_changed"]
    assert (line["phase"], line["what"], line["by"]) == ("dual_write", "erasure of 1 name", "Ada")
    assert "user_id" not in json.dumps(line)


def test_an_erasure_run_again_records_nothing_more(hers: Paths, commands: Commands) -> None:
    """What is left is what no request can delete; a person reads until when."""
    erasure(hers, HERS, *BY)
    entries = len(commands.state.history)
    again = erasure(hers, HERS, *BY)
    assert (again.code, len(commands.state.history)) == (0, entries)
    assert "Deleted: no version." in again.out
    assert "Nothing is left but 4 soft-deleted versions (the last until 20" in again.out
    assert "and 1 object that only names it." in again.out
    assert "no version anywhere" not in again.out


def test_a_word_that_only_stands_in_a_report_is_said_to_have_no_version(
    hers: Paths, commands: Commands
) -> None:
    """It may be a field's name; nobody takes it for an erased person."""
    commands.run("verify")
    looked = erasure(hers, "crc32c_alone")
    assert looked.code == 0
    assert "1 name has no version anywhere, and only reports have the text: crc32c_alone." in looked.out


@pytest.mark.parametrize("phase", Phase)
def test_in_every_phase_it_goes_from_both_paths_and_nothing_brings_it_back(
    paths: Paths, commands: Commands, phase: Phase
) -> None:
    """Neither a late event in either direction, nor the sweep, also with --include-erased, nor the phase's own pass."""
    paths.begin(phase)
    both(paths, HERS, OTHER)
    states = [paths.look(HERS, side=side) for side in ("source", "destination")]
    assert erasure(paths, HERS, *BY).code == 0
    for state, reverse in zip(states, (False, True), strict=True):
        assert state is not None
        assert event(paths, commands, state, reverse=reverse) not in {
            MirrorOutcome.COPIED,
            MirrorOutcome.CONFLICT,
        }
    passes = {Phase.CUT_OVER: "cutover", Phase.ROLLED_BACK: "rollback"}
    commands.run("migrate", "--execute", "--yes", "--ungoverned", "--include-erased")
    if phase in passes:
        commands.run(passes[phase], "--by", "Ada", "--yes", "--ungoverned")
    assert (paths.names(side="source"), paths.names()) == ([OTHER], [OTHER])


@pytest.mark.parametrize(("phase", "side"), [(Phase.DUAL_WRITE, "source"), (Phase.CUT_OVER, "destination")])
def test_the_side_that_decides_goes_first(paths: Paths, phase: Phase, side: str) -> None:
    """A stop between the two deletions leaves the copy, which nothing reads and nothing copies."""
    paths.begin(phase)
    both(paths, HERS)
    erasure(paths, HERS, *BY)
    gone = []
    for each in ("source", "destination"):
        found = paths.bucket(each).list_blobs(prefix=getattr(paths.migration, each).prefix, soft_deleted=True)
        gone += [(blob.soft_delete_time, each) for blob in found]
    assert [each for _, each in sorted(gone)] == [side, *({"source", "destination"} - {side})]


def test_a_copy_that_was_under_way_is_found_and_goes(paths: Paths, commands: Commands) -> None:
    """The mirror did not know the record yet: its copy is younger than the moment on record, and goes on record, too."""
    paths.put(HERS, b"hers")
    waits: list[float] = []

    def copied(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            paths.put(HERS, b"hers", side="destination")

    done = content(erasure(paths, HERS, *BY, "--json", sleep=copied))
    assert (done["done"], len(done["removed"]), waits) == (True, 2, [11.0, 11.0])
    assert paths.names() == []
    moments = [entry.erasure.before for entry in commands.state.history if entry.erasure]
    assert moments == sorted(moments)
    assert len(moments) == 2


def test_what_is_written_meanwhile_stays_and_is_reported(paths: Paths, commands: Commands) -> None:
    """It is another object: data win. The mirror and the sweep copy it as every other write."""
    both(paths, HERS)

    def written(_seconds: float) -> None:
        paths.put(HERS, b"again")

    ended = erasure(paths, HERS, *BY, sleep=written)
    assert (ended.code, ended.err) == (1, "")
    assert "was written at 20" in ended.out
    assert "Something is LEFT" in ended.out
    assert (paths.names(side="source"), paths.names()) == ([HERS], [])
    state = paths.look(HERS, side="source")
    assert state is not None
    assert event(paths, commands, state) is MirrorOutcome.COPIED
    assert erasure(paths, HERS, *BY).code == 0  # a person says that this one is to go, too
    assert (paths.names(side="source"), paths.names()) == ([], [])


def test_a_version_that_may_not_be_deleted_is_named_with_the_reason(paths: Paths) -> None:
    """A hold; everything else goes."""
    both(paths, HERS)
    blob = paths.bucket("destination").blob(paths.migration.destination.prefix + HERS)
    blob.temporary_hold = True
    blob.patch()
    ended = erasure(paths, HERS, *BY)
    assert ended.code == 1
    assert f"NOT DELETED: {paths.migration.destination_ref(HERS).uri}" in ended.out
    assert "hold" in ended.out
    assert paths.names(side="source") == []


def test_a_pattern_finds_what_any_place_holds(hers: Paths) -> None:
    """Live on one path only, soft-deleted, or kept: all of one person, and no one else's."""
    soft, kept = "qpi_answers_20240102/user_id_7.jsonl", "qpi_answers_20240103/user_id_7.jsonl"
    hers.put(soft, side="destination")
    hers.delete(soft, side="destination")
    hers.bucket("destination").blob(hers.migration.kept_ref(kept, 6).name).upload_from_string(b"kept")
    found = content(erasure(hers, "--match", "user_id_7.jsonl", "--json"))
    assert found["names"] == [HERS, soft, kept]
    found = content(erasure(hers, "--match", "qpi_answers_20240102/*", "--json"))
    assert found["names"] == [soft]
    assert "--execute --by NAME --expect-names 3" in erasure(hers, "--match", "user_id_7.jsonl").out
    ended = erasure(hers, "--match", "user_id_7.jsonl", *BY, "--expect-names", "2")
    assert (ended.code, "matches 3 names, and --expect-names says 2" in ended.err) == (2, True)
    assert erasure(hers, "--match", "user_id_7.jsonl", *BY, "--expect-names", "3").code == 0
    assert (hers.names(side="source"), hers.names()) == ([OTHER], [OTHER])


def test_a_bucket_without_soft_delete_holds_nothing_that_is_deleted(paths: Paths) -> None:
    """It refuses that listing. Then nothing is left at all."""
    for side in ("source", "destination"):
        where_it_is = f"/b/{paths.bucket(side).name}"
        policy = {"softDeletePolicy": {"retentionDurationSeconds": "0"}}
        paths.client._connection.api_request("PATCH", where_it_is, data=policy)
    both(paths, HERS)
    assert "1 name: 2 versions can be deleted, and nothing else stays." in erasure(paths, HERS).out
    done = erasure(paths, HERS, *BY).out
    assert "Deleted: 2 versions." in done
    assert "Nothing is left.\n" in done
    assert content(erasure(paths, HERS, *BY, "--json"))["traces"] == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "name what is to be found"),
        (("--match", ""), "--match wants a shell pattern"),
        (("--match", "nothing/*"), "matches no name on either path"),
        (("never/there",), "1 name never there, or gone without a trace: never/there"),
        (("",), "is not the name of an object"),
        (("a\nb",), "is not the name of an object"),
        (("gs://other/x",), "lies neither below"),
        (("x", "--execute"), "--execute wants --by WHO"),
        (("x", "--execute", "--by", " "), "--execute wants --by WHO"),
        (("x", "--execute", "--by", "a\tb"), "--by wants one line"),
        (("--match", "*", *BY), "wants --expect-names N"),
    ],
)
def test_what_it_refuses(paths: Paths, arguments: tuple[str, ...], says: str) -> None:
    """One clear line, and nothing was changed."""
    ended = erasure(paths, *arguments)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert says in ended.err


def test_an_erasure_is_about_a_person_and_not_about_a_path(paths: Paths) -> None:
    """The most names that it takes, and one more."""
    names = [f"never/{number}" for number in range(2_001)]
    ended = erasure(paths, *names)
    assert (ended.code, "2,001 names; one erasure takes at most 2,000, because" in ended.err) == (2, True)
    assert "2,000 names never there" in erasure(paths, *names[1:]).err


def test_without_a_record_the_phase_is_not_known(paths: Paths) -> None:
    """Nothing would keep a mirror from bringing it back."""
    both(paths, HERS)
    paths.forget()
    ended = erasure(paths, HERS, *BY)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "there is no record of this migration" in ended.err
    assert paths.names() == [HERS]


def test_a_name_that_is_being_written_is_not_erased_half_way(paths: Paths) -> None:
    """No two looks agree, so no moment separates what was seen from what was not."""
    paths.put(HERS)

    def look() -> Traces:
        paths.put(HERS)
        state = paths.look(HERS, side="source")
        assert state is not None
        return Traces((Trace(HERS, TracePlace.LEGACY, paths.migration.source_ref(HERS), Held.LIVE, state),))

    def never(*_: Any) -> Any:
        raise AssertionError("nothing may be recorded or deleted")

    with pytest.raises(Contended, match="stop its writer"):
        erase(look(), Erasures(), Means(look, never, never, never, never))


def test_an_address_on_either_path_is_a_name(hers: Paths) -> None:
    """As `gcloud storage ls` prints it."""
    for at in (hers.migration.source_ref(HERS), hers.migration.destination_ref(HERS)):
        assert content(erasure(hers, at.uri, "--json"))["names"] == [HERS]


def test_an_undo_leaves_what_was_erased_by_name(scene: Scene) -> None:
    """Soft delete holds the legacy object, and the manifest names it; also where a newer one is on the new path."""
    scene.both(day(1), day(2))
    scene.cut_over()
    assert scene.delete(2).code == 0
    assert erasure(scene.paths, day(1), *BY).code == 0
    scene.paths.put(day(1), b"written again", side="destination")
    for more in ((), ("--include-erased",)):
        ended = scene.undo(scene.manifest_uri, "--execute", *more)
        assert scene.paths.names(side="source") == [day(2)], ended.out
    assert f"erased {day(1)}: it was erased by name, which is on record" in ended.out


def test_a_deletion_goes_on_after_an_erasure(scene: Scene) -> None:
    """The manifest names an object that is gone: that is what the deletion wants."""
    scene.both(day(1), day(2), day(3))
    scene.cut_over()
    assert scene.delete(3, "--prepare").code == 0
    assert erasure(scene.paths, day(1), *BY).code == 0
    ended = scene.resume(3)
    assert (ended.code, ended.err) == (0, "")
    assert scene.paths.names(side="source") == []
    assert scene.phase is Phase.DELETED
