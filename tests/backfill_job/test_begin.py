"""The command ``begin`` as its user meets it, and what ``migrate`` and ``verify`` do before a migration has begun."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from testing_commands import Commands, Ended, run_command, where
from testing_paths import Paths, json_lines

from shared.errors import PhaseUnknown
from shared.gateway import Gateway
from shared.objects import parse_time
from shared.phase import Phase, read_phase, state_ref
from shared.record import read_state, update
from shared.state import EntryKind, RunRecord, State
from shared.state_changes import with_run
from shared.text import minute_text

ROOT = Path(__file__).parent.parent.parent
NAME = "qpi_answers_20240101/user_id_7.jsonl"
BY = ("--by", "Ada")

Begins = Callable[..., Ended]


@pytest.fixture
def begin(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Begins:
    """Runs the command on the test's own pair of prefixes, which has no record yet."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)
    paths.forget()

    def run(*arguments: str, typed: str | None = None, **environ: str) -> Ended:
        return run_command("begin", *where(paths), *BY, *arguments, typed=typed, environ=environ)

    return run


def own(paths: Paths) -> dict[str, bytes]:
    """The migration's own objects, by the last parts of their names."""
    folder = paths.migration.own_ref("").name
    blobs = paths.bucket("destination").list_blobs(prefix="_migration/")
    return {blob.name.removeprefix(folder): blob.download_as_bytes() for blob in blobs}


def lose(paths: Paths, name: str) -> None:
    at = paths.migration.own_ref(*name.split("/"))
    paths.client.bucket(at.bucket).blob(at.name).delete()


# --- beginning ------------------------------------------------------------------------------------------------


def test_a_new_migration_begins_on_record(paths: Paths, gateway: Gateway, begin: Begins) -> None:
    """``begin --by Ada``, before anything is deployed. Objects at the legacy path are what is to be migrated."""
    paths.put(NAME)
    ended = begin()
    assert (ended.code, ended.err) == (0, "")
    state = read_state(gateway, paths.migration)
    (entry,) = state.decisions
    assert (state.phase, entry.by, entry.kind) == (Phase.DUAL_WRITE, "Ada", EntryKind.BEGUN)
    since = minute_text(parse_time(json.loads(state.to_json())["since"]))
    migration = paths.migration
    assert ended.out.splitlines() == [
        "Begun.",
        f"{migration.source.uri} to {migration.destination.uri}: phase dual_write since {since}",
        f"Next: python -m backfill_job migrate {' '.join(where(paths))}",
    ]
    assert [*own(paths)] == ["history/00000001-dual_write.json", "state.json"]


def test_run_again_it_changes_nothing(paths: Paths, begin: Begins) -> None:
    """So a deployment may always run it."""
    begin()
    before = own(paths)
    ended = begin()
    assert (ended.code, ended.out.splitlines()[0]) == (0, "Nothing to do: the record is whole.")
    assert own(paths) == before


def test_in_cloud_run_it_writes_one_event(paths: Paths, begin: Begins) -> None:
    """Where every line on stdout is an event; and none where nothing changed."""
    (line,) = json_lines(begin(CLOUD_RUN_JOB="begin").out)
    assert (line["event"], line["phase"], line["by"]) == ("state_changed", "dual_write", "Ada")
    assert line["what"] == "Begun: migration begun in phase dual_write"
    assert begin(CLOUD_RUN_JOB="begin").out == ""


def test_a_destination_that_is_not_empty_needs_a_phase(paths: Paths, begin: Begins) -> None:
    """The migration may have been under way, and its record lost: the line says which object shows it, and what to do."""
    paths.put(NAME, side="destination")
    ended = begin()
    assert (ended.code, ended.out, own(paths)) == (2, "", {})
    new = paths.migration.destination
    assert ended.err.startswith(
        f"begin: {new.uri}{NAME} is there, and gs://{new.bucket}/_migration/qpi_exports/state.json is not"
    )
    assert "--phase dual_write where the legacy path is still the source of truth" in ended.err
    assert "--phase cut_over after a cutover" in ended.err


@pytest.mark.parametrize("phase", ["dual_write", "cut_over", "rolled_back"])
def test_a_person_names_the_phase_of_a_record_that_was_lost(
    paths: Paths, gateway: Gateway, begin: Begins, phase: str
) -> None:
    """What the mirror obeys from then on."""
    paths.put(NAME, side="destination")
    ended = begin("--phase", phase)
    assert (ended.code, ended.out.splitlines()[0]) == (0, "Begun.")
    assert read_phase(gateway, paths.migration).phase is Phase(phase)


@pytest.mark.parametrize("name", ["late-writes/x", "replaced/a/1", "delete_old_qpi_exports_dev_1.json"])
def test_what_a_migration_leaves_beside_its_record_shows_that_it_was_under_way(
    paths: Paths, begin: Begins, name: str
) -> None:
    """Also where the new path is empty."""
    at = paths.migration.own_ref(*name.split("/"))
    paths.client.bucket(at.bucket).blob(at.name).upload_from_string(b"{}")
    assert begin().code == 2
    assert f"{at.uri} is there" in begin().err


def test_a_phase_is_not_set_by_hand(paths: Paths, begin: Begins) -> None:
    """There is a command for every change of it."""
    begin()
    before = own(paths)
    ended = begin("--phase", "cut_over")
    assert (ended.code, own(paths)) == (2, before)
    assert "its phase is dual_write; a phase is never set by hand" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--phase", "finished"), "invalid choice: 'finished'"),
        (("--by", "A\nB"), "the name of who it is holds the character U+000A"),
        (("--by", " "), "the name of who it is has 0 characters"),
        (("--destination", "gs://no-such-bucket-anywhere/x/"), "no such bucket"),
        (("--destination", "gs://no-prefix/"), "is a whole bucket"),
    ],
)
def test_wrong_arguments_write_nothing(
    paths: Paths, begin: Begins, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2 and one line."""
    try:
        ended = begin(*arguments)
        code, err = ended.code, ended.err
    except SystemExit as stopped:
        code, err = stopped.code, capsys.readouterr().err
    assert (code, own(paths)) == (2, {})
    assert said in err


def test_without_permission_nothing_is_written(paths: Paths, begin: Begins) -> None:
    """Exit code 2; the line names what could not be read."""
    for method in ("storage.objects.get", "storage.objects.insert"):
        paths.server.set_faults(rules=[{"method": method, "status": 403, "count": 1}])
        ended = begin()
        paths.server.clear_faults()
        assert (ended.code, ended.out) == (2, ""), ended
        assert ended.err.count("\n") == 1
        assert own(paths) == {}


def test_many_that_begin_at_once_begin_one_migration(paths: Paths, gateway: Gateway, begin: Begins) -> None:
    """Each says that the record is whole; the history has one entry."""
    with ThreadPoolExecutor(6) as pool:
        ended = list(pool.map(lambda _: begin(), range(6)))
    assert {each.code for each in ended} == {0}, [each.err for each in ended]
    assert [each.out.splitlines()[0] for each in ended].count("Begun.") == 1
    assert len(read_state(gateway, paths.migration).decisions) == 1


def test_an_answer_that_is_lost_half_way_is_made_good_by_the_client(
    paths: Paths, gateway: Gateway, begin: Begins
) -> None:
    """The head is written, the answer lost; the repetition fails, and the entry is written all the same."""
    paths.server.set_faults(rules=[{"method": "storage.objects.insert", "count": 1, "status": "reset_after"}])
    ended = begin()
    paths.server.clear_faults()
    assert (ended.code, ended.out.splitlines()[0]) == (0, "Begun.")
    assert len(read_state(gateway, paths.migration).decisions) == 1


# --- adopting -------------------------------------------------------------------------------------------------


def test_a_record_of_version_1_is_adopted(paths: Paths, gateway: Gateway, begin: Begins) -> None:
    """A migration under way is upgraded: until then the mirror reads on, and whatever overwrites asks for `begin`."""
    migration, at = paths.migration, state_ref(paths.migration)
    paths.put(NAME)
    old = {
        "version": 1,
        "source": migration.source.uri,
        "destination": migration.destination.uri,
        "phase": "cut_over",
        "since": "2025-03-01T08:31:00Z",
        "signoffs": [],
        "runs": [],
        "history": [
            {
                "at": "2025-03-01T08:31:00Z",
                "by": "Grace",
                "what": "phase dual_write to cut_over",
                "change": "c2",
            }
        ],
    }
    gateway.put(at, json.dumps(old).encode())
    assert read_phase(gateway, migration).phase is Phase.CUT_OVER
    refused = run_command("migrate", *where(paths), "--execute", "--yes")
    assert refused.code == 2
    assert "written by an older program (version 1)" in refused.err
    assert "`backfill_job begin`" in refused.err
    assert paths.names() == []
    ended = begin()
    assert (ended.code, ended.out.splitlines()) == (
        0,
        [
            "Adopted, from version 1 of the record.",
            f"{migration.source.uri} to {migration.destination.uri}: phase cut_over since 2025-03-01 08:31 UTC",
            f"Next: python -m backfill_job status {' '.join(where(paths))}",
        ],
    )
    assert [*own(paths)] == [
        "history/00000001-cut_over.json",
        "history/00000002-cut_over.json",
        "state.json",
    ]
    assert read_phase(gateway, migration).phase is Phase.CUT_OVER


# --- mending --------------------------------------------------------------------------------------------------


@pytest.fixture
def cut_over(paths: Paths, commands: Commands, gateway: Gateway, begin: Begins) -> State:
    """A migration after its cutover, with a run on record, and a newer version at the new path."""
    begin()
    commands.go(Phase.CUT_OVER)
    paths.put(NAME, b"old")
    paths.put(NAME, b"newer", side="destination")
    return commands.state


@pytest.mark.parametrize(
    "lost", ["history/00000001-dual_write.json", "history/00000002-cut_over.json", "state.json"]
)
def test_an_object_that_was_lost_is_written_again(
    paths: Paths, gateway: Gateway, begin: Begins, cut_over: State, lost: str
) -> None:
    """With the same bytes."""
    before = own(paths)
    lose(paths, lost)
    ended = begin()
    if lost == "state.json":
        assert (ended.code, "say so: --phase cut_over" in ended.err) == (2, True)
        ended = begin("--phase", "cut_over")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "Mended: what was lost is written again.")
    since = minute_text(parse_time(json.loads(before["state.json"])["since"]))
    assert f"phase cut_over since {since}" in ended.out
    assert own(paths) == before
    assert read_state(gateway, paths.migration) == cut_over


def test_an_older_head_is_brought_up_to_the_history(
    paths: Paths, gateway: Gateway, begin: Begins, cut_over: State
) -> None:
    """A person restored the version before."""
    older = State.initial(paths.migration).folded(cut_over.history[:1])
    gateway.put(state_ref(paths.migration), older.to_json())
    assert begin().code == 0
    assert read_state(gateway, paths.migration) == cut_over


def contradictions(cut_over: State) -> dict[str, tuple[str, bytes, str]]:
    last = cut_over.entry_bytes(cut_over.history[-1])
    return {
        "edited": ("00000002-cut_over.json", last.replace(b'"test"', b'"Bob"'), "00000002-cut_over.json"),
        "spoilt": (
            "00000001-dual_write.json",
            b"{",
            "00000001-dual_write.json is not an entry of this migration",
        ),
        "doubled": ("00000003-cut_over.json", last, "00000003-cut_over.json is not the entry"),
        "foreign": ("notes.txt", b"notes", "history/notes.txt is not an entry of the history"),
        "set back": (
            "00000003-dual_write.json",
            last,
            "00000003-dual_write.json holds the entry of another name",
        ),
        "another's": (
            "00000002-cut_over.json",
            last.replace(b"gs://legacy", b"gs://others"),
            "00000002-cut_over.json is not an entry of this migration (its source is not gs://legacy",
        ),
    }


@pytest.mark.parametrize("what", ["edited", "spoilt", "doubled", "foreign", "set back", "another's"])
def test_a_record_that_contradicts_itself_is_for_a_person(
    paths: Paths, gateway: Gateway, begin: Begins, cut_over: State, what: str
) -> None:
    """Exit code 2, nothing is written, and the line names the object."""
    name, data, said = contradictions(cut_over)[what]
    gateway.put(paths.migration.own_ref("history", name), data)
    before = own(paths)
    ended = begin()
    assert (ended.code, ended.out, own(paths)) == (2, "", before)
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_another_migration_s_head_is_left_alone(
    paths: Paths, gateway: Gateway, begin: Begins, cut_over: State
) -> None:
    """A mistyped source: the record at this destination is another migration's."""
    before = own(paths)
    ended = begin("--source", f"gs://{paths.migration.source.bucket}/other/")
    assert (ended.code, own(paths)) == (2, before)
    assert "the state of another migration: its source is" in ended.err
    assert "check --source and --destination" in ended.err


# --- `migrate` before a migration has begun -------------------------------------------------------------------


@pytest.fixture
def fresh(commands: Commands, begin: Begins) -> Commands:
    """The commands on a pair whose migration has not begun."""
    return commands


def test_a_first_run_begins_by_itself_where_the_destination_is_empty(
    paths: Paths, fresh: Commands, gateway: Gateway
) -> None:
    """Nothing can be overwritten there."""
    paths.put(NAME, b"one")
    ended = fresh.run("migrate", "--execute", "--yes")
    assert (ended.code, ended.err) == (0, "")
    assert (paths.names(), paths.read(NAME)) == ([NAME], b"one")
    (entry,) = fresh.state.decisions
    assert (entry.kind, entry.phase, entry.by) == (EntryKind.BEGUN, Phase.DUAL_WRITE, "migrate_qpi_exports")
    assert fresh.run("migrate", "--execute", "--yes").code == 0
    assert fresh.state.decisions == (entry,)


def test_a_first_run_shows_what_would_be_overwritten_and_asks_for_begin(
    paths: Paths, fresh: Commands
) -> None:
    """Whether it is a migration under way whose record was lost, nothing can tell but a person."""
    paths.put(NAME, b"old")
    paths.put(NAME, b"newer", side="destination")
    ended = fresh.run("migrate", "--execute", "--yes")
    assert (ended.code, paths.read(NAME), own(paths)) == (2, b"newer", {})
    assert "No migration has begun. If it began now:" in ended.out
    assert f"{paths.migration.destination.uri}{NAME} is there" in ended.err
    assert "--begin" in ended.err
    ended = fresh.run("migrate", "--execute", "--yes", "--begin")
    assert (ended.code, paths.read(NAME)) == (0, b"old")
    assert fresh.state.phase is Phase.DUAL_WRITE


def test_a_dry_run_before_the_beginning_changes_nothing(paths: Paths, fresh: Commands) -> None:
    """And shows what the first run would do."""
    paths.put(NAME, b"one")
    ended = fresh.run("migrate")
    assert (ended.code, paths.names(), own(paths)) == (0, [], {})
    assert "Next: python -m backfill_job migrate --source gs://" in ended.out


def test_a_verification_before_the_beginning_makes_no_record(paths: Paths, fresh: Commands) -> None:
    """A mistaken pair's would stop the real migration."""
    paths.put(NAME, b"one")
    paths.put(NAME, b"one", side="destination")
    ended = fresh.run("verify")
    assert ended.code == 0
    assert "not recorded: this migration has no record yet" in ended.out
    assert not any(name.startswith(("state.json", "history/")) for name in own(paths))


def as_process(paths: Paths, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "backfill_job", command, *where(paths), *arguments],
        env={**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def test_three_tasks_on_a_fresh_pair_begin_one_migration(paths: Paths, fresh: Commands) -> None:
    """The slower ones find what the first one has copied already, and go on."""
    names = [f"qpi_answers_2024010{day}/user_id_{user}.jsonl" for day in range(1, 8) for user in range(5)]
    for name in names:
        paths.put(name)
    done = as_process(paths, "migrate", "--execute", "--yes", "--grace", "0", "--tasks", "3")
    assert (done.returncode, paths.names()) == (0, names), done.stderr
    assert len(fresh.state.decisions) == 1


# --- issue: the state object gone meant `dual_write` -----------------------------------------------------------


def test_after_a_cutover_a_run_overwrites_nothing_when_the_head_is_gone(
    paths: Paths, commands: Commands, begin: Begins, cut_over: State
) -> None:
    """A lifecycle rule or a person deleted ``state.json``. It overwrote 5 of 5 newer versions once, with exit code 0."""
    names = [f"qpi_answers_2024010{day}/user_id_7.jsonl" for day in range(1, 6)]
    for name in names:
        paths.put(name, b"old")
        paths.put(name, b"newer", side="destination")
    lose(paths, "state.json")
    ended = commands.run("migrate", "--execute", "--yes", "--since", "30d")
    assert ended.code == 2
    assert "the history has 2 entries, and the head is gone" in ended.err
    assert "`backfill_job begin`" in ended.err
    assert {paths.read(name) for name in names} == {b"newer"}
    for refused in (("rollback", "--by", "Ada"), ("cutover", "--by", "Ada")):
        assert commands.run(*refused, "--yes").code == 2
    assert begin("--phase", "cut_over").code == 0
    assert commands.run("migrate", "--execute", "--yes", "--since", "30d").code in {0, 1}
    assert {paths.read(name) for name in names} == {b"newer"}


def test_after_a_cutover_a_run_overwrites_nothing_when_the_whole_record_is_gone(
    paths: Paths, commands: Commands, cut_over: State
) -> None:
    """Nothing begins by itself over objects that are there."""
    paths.forget()
    ended = commands.run("migrate", "--execute", "--yes", "--since", "30d")
    assert (ended.code, paths.read(NAME), own(paths)) == (2, b"newer", {})


def test_a_run_is_recorded_on_top_of_the_history(paths: Paths, gateway: Gateway, cut_over: State) -> None:
    """Runs change the head alone; the history's objects stay as they are."""
    before = own(paths)
    run = RunRecord("r", "verify", cut_over.history[-1].at, 0, "equal")
    update(gateway, paths.migration, lambda state: with_run(state, run))
    after = own(paths)
    assert after.pop("state.json") != before.pop("state.json")
    assert after == before


# --- found by a person who had not seen the code ------------------------------------------------------------------


@pytest.mark.parametrize("more", [("--since", "30d"), ("--follow-deletions",)])
def test_a_first_run_copies_everything_and_deletes_nothing(
    paths: Paths, fresh: Commands, more: tuple[str, ...]
) -> None:
    """A run that began anew and followed deletions took the only copies for late ones."""
    paths.put(NAME, b"the only copy", side="destination")
    ended = fresh.run("migrate", "--execute", "--yes", "--begin", "--allow-empty", *more)
    assert (ended.code, paths.names()) == (2, [NAME])
    assert "--begin is for the first run" in ended.err


@pytest.mark.parametrize("trace", ["deletions/d.json", "late-writes/20260101T0000Z.json", "replaced/a/1"])
def test_a_lost_record_is_never_begun_anew_where_something_proves_a_cutover(
    paths: Paths, fresh: Commands, begin: Begins, trace: str
) -> None:
    """Not even where a person says so; the phase that holds can be named."""
    paths.put(NAME, b"old")
    paths.put(NAME, b"newer", side="destination")
    paths.bucket("destination").blob(paths.migration.own_ref(trace).name).upload_from_string(b"{}")
    for ended in (fresh.run("migrate", "--execute", "--yes", "--begin"), begin("--phase", "dual_write")):
        assert (ended.code, paths.read(NAME)) == (2, b"newer")
        assert "only a cutover" in ended.err
    assert begin("--phase", "cut_over").code == 0


def test_no_report_lies_among_the_records(paths: Paths, commands: Commands) -> None:
    """A dry run's report in another migration's history stopped that migration."""
    place = f"gs://{paths.migration.destination.bucket}/_migration/other/history/"
    ended = commands.run("migrate", "--report", place)
    assert (ended.code, "lies among the records of migrations" in ended.err) == (2, True)


def test_the_mirror_reads_no_phase_of_version_1_that_its_own_history_denies(
    paths: Paths, gateway: Gateway
) -> None:
    """An edit of the phase alone; and the phase of an honest head is read."""
    paths.forget()
    head = {
        "version": 1,
        "source": paths.migration.source.uri,
        "destination": paths.migration.destination.uri,
        "phase": "dual_write",
        "history": [{"what": "phase dual_write to cut_over"}],
    }
    gateway.put(state_ref(paths.migration), json.dumps(head).encode())
    with pytest.raises(PhaseUnknown, match="its own history ends in cut_over"):
        read_phase(gateway, paths.migration)
    gateway.put(state_ref(paths.migration), json.dumps({**head, "phase": "cut_over"}).encode())
    assert read_phase(gateway, paths.migration).phase is Phase.CUT_OVER


@pytest.mark.parametrize("host", ["garbage", "http://", "ftp://a", "http://x y", " "])
@pytest.mark.parametrize("command", ["begin", "status", "signoff"])
def test_an_address_that_is_none_is_one_line_and_2(
    paths: Paths, monkeypatch: pytest.MonkeyPatch, host: str, command: str
) -> None:
    """Whichever command it is, before any request."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", host)
    words = {"begin": BY, "status": (), "signoff": ("data", *BY)}[command]
    ended = run_command(command, *words, *where(paths))
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert f"{host!r} is not an address" in ended.err


def test_begin_on_a_begun_migration_is_said(paths: Paths, commands: Commands) -> None:
    """It changes nothing, and is no error."""
    paths.put(NAME)
    ended = commands.run("migrate", "--execute", "--yes", "--begin")
    assert ended.code == 0
    assert "--begin changes nothing: the migration has begun already." in ended.out
