"""Comparisons on record: the newest that has ended counts, whichever command made it, and no file speaks for itself."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from testing_commands import Commands, run_command, where, without_log
from testing_deletion import Scene
from testing_gate import everybody_signs
from testing_paths import Paths

from shared.objects import ObjectRef
from shared.phase import Phase
from shared.report.loading import read_status
from shared.report.page import render_status
from shared.state import ComparisonRecord, EntryKind
from shared.verification import latest_verification_ref

NAMES = tuple(f"qpi_answers_202401{day:02}/user_id_1.jsonl" for day in range(1, 21))
COPY = ("--execute", "--yes", "--ungoverned")
NOW = ("--by", "Ada", "--yes", "--ungoverned")


def both(paths: Paths, *names: str, data: bytes = b"{}\n") -> None:
    for name in names:
        for side in ("source", "destination"):
            paths.put(name, data, side=side)


def check(commands: Commands, name: str = "verification", *arguments: str) -> dict[str, Any]:
    """One of the gate's checks."""
    commands.run("gate", *arguments)
    contents = commands.gateway.read(commands.paths.migration.own_ref("latest", "gate.json"))
    (found,) = (each for each in json.loads(contents or b"")["checks"] if each["name"] == name)
    return dict(found)


def status(paths: Paths) -> str:
    return run_command("status", *where(paths)).out


def newest(commands: Commands) -> ComparisonRecord:
    found = commands.state.newest_comparison
    assert found is not None
    return found


def file_of(commands: Commands) -> ObjectRef:
    return latest_verification_ref(commands.paths.migration)


def contents_of(commands: Commands) -> bytes:
    contents = commands.gateway.read(file_of(commands))
    assert contents is not None
    return contents


# --- two verifications and a writer ---------------------------------------------------------------------------


def in_a_process(paths: Paths, *words: str) -> int:
    """Run a command in a process of its own; gives its exit code."""
    line = [sys.executable, "-m", "backfill_job", *words, *where(paths), "--grace", "0"]
    environ = {**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url}
    return subprocess.run(line, env=environ, capture_output=True, check=False).returncode


def interleaved(
    paths: Paths,
    commands: Commands,
    spoil: Callable[[], object],
    afterwards: Callable[[], object] = lambda: None,
) -> tuple[int, int]:
    """Verification A stands still after its listing; meanwhile an object is spoilt, and B compares and records. Then A ends."""
    both(paths, *NAMES)
    paths.put("late.jsonl")
    others: list[int] = []

    def meanwhile(_seconds: float) -> None:
        if not others:
            both(paths, "late.jsonl")
            spoil()
            others.append(in_a_process(paths, "verify", "--log-dir", str(commands.folder)))
            afterwards()

    commands.pauses = meanwhile
    first = commands.run("verify", "--grace", "600")
    return first.code, others[0]


def test_a_verification_that_ends_late_does_not_speak_for_what_came_after_its_listing(
    paths: Paths, commands: Commands
) -> None:
    """A began first and finds both sides equal; B began later and does not. B counts, and its file stays."""
    first, second = interleaved(paths, commands, lambda: paths.put(NAMES[0], b"other\n", side="destination"))
    assert (first, second) == (0, 1)
    found = check(commands)
    assert (found["standing"], "NOT EQUAL: 1 content differs" in found["evidence"]) == ("FAIL", True)
    assert json.loads(contents_of(commands))["clean"] is False
    assert [each.equal for each in commands.state.comparisons] == [True, False]
    assert [entry.comparison.equal for entry in commands.state.history if entry.comparison] == [False, True]


def test_and_the_other_way_round(paths: Paths, commands: Commands) -> None:
    """A finds something wrong when it looks again, after B ended: B began later, and counts; its file stays."""
    first, second = interleaved(paths, commands, lambda: None, lambda: paths.delete("late.jsonl"))
    assert (first, second) == (1, 0)
    assert check(commands)["standing"] == "PASS"
    assert json.loads(contents_of(commands))["clean"] is True
    assert [entry.comparison.equal for entry in commands.state.history if entry.comparison] == [True, False]


def test_a_pass_that_copied_is_newer_than_an_earlier_verification(paths: Paths, commands: Commands) -> None:
    """Equal after the copy; and not equal again where a later copy could not repair it."""
    both(paths, *NAMES)
    paths.put("missing.jsonl")
    assert commands.run("verify").code == 1
    assert check(commands)["standing"] == "FAIL"
    assert commands.run("migrate", *COPY).code == 0
    found = check(commands)
    assert found["standing"] == "PASS", found
    assert "21 names compared by migrate_qpi_exports: both sides are equal" in found["evidence"]
    paths.put("extra.jsonl", side="destination")
    assert commands.run("migrate", *COPY).code == 1
    found = check(commands)
    assert found["standing"] == "FAIL"
    assert "NOT EQUAL: 1 (1 only at the new path)" in found["evidence"]


def test_one_that_did_not_end_is_named_and_the_one_before_it_counts(paths: Paths, commands: Commands) -> None:
    """It proves nothing, but a person should know of it."""
    both(paths, *NAMES)
    assert commands.run("verify").code == 0
    rule = {"method": "storage.objects.insert", "name_prefix": "_migration/qpi_exports/certificates/"}
    paths.server.set_faults(rules=[{**rule, "count": None, "status": 403}])
    assert commands.run("verify").code == 1
    paths.server.clear_faults()
    found = check(commands)
    assert found["standing"] == "PASS"
    assert "a later comparison, by verify (run custom-" in found["evidence"]
    assert "has not ended" in found["evidence"]
    assert "not ended: the comparison by verify" in status(paths)
    assert commands.run("verify").code == 0
    assert "has not ended" not in check(commands)["evidence"]


# --- the file must be the one on record -----------------------------------------------------------------------


def tampered(commands: Commands) -> None:
    content = json.loads(contents_of(commands))
    commands.gateway.put(file_of(commands), json.dumps({**content, "grace_s": 1.0}, indent=2).encode())


def replayed(commands: Commands) -> None:
    before = contents_of(commands)
    assert commands.run("verify").code == 0
    commands.gateway.put(file_of(commands), before)


def of_another_pair(commands: Commands) -> None:
    text = contents_of(commands).decode().replace("QPI_exports/", "OTHER/")
    commands.gateway.put(file_of(commands), text.encode())


def narrowed(commands: Commands) -> None:
    """As it would be on a report of ``--since``; that command itself leaves the latest as it is."""
    before = contents_of(commands)
    assert commands.run("verify", "--since", "3650d").code == 0
    assert contents_of(commands) == before
    content = json.loads(before)
    content |= {"narrowed": "since 2016-01-01 00:00 only", "certificate": None}
    commands.gateway.put(file_of(commands), json.dumps(content, indent=2).encode())


def removed(commands: Commands) -> None:
    (commands.paths.bucket("destination").blob(file_of(commands).name)).delete()


@pytest.mark.parametrize("change", [tampered, replayed, of_another_pair, narrowed, removed])
def test_a_file_that_is_not_the_one_on_record_is_refused(
    paths: Paths, commands: Commands, change: Callable[[Commands], None]
) -> None:
    """The next verification puts it right."""
    both(paths, *NAMES)
    assert commands.run("verify").code == 0
    assert check(commands)["standing"] == "PASS"
    change(commands)
    for name in ("verification", "mirror lag"):
        assert check(commands, name)["standing"] == "NOT RUN"
    assert "run verify again" in check(commands)["evidence"]
    assert commands.run("verify").code == 0
    assert check(commands)["standing"] == "PASS"


def test_replaying_a_whole_older_record_does_not_help(paths: Paths, commands: Commands) -> None:
    """An older file with the older head: the history has more entries, and the record is not whole."""
    both(paths, *NAMES)
    assert commands.run("verify").code == 0
    head = commands.paths.migration.own_ref("state.json")
    before = (commands.gateway.read(head), contents_of(commands))
    paths.put(NAMES[0], b"other\n")
    assert commands.run("verify").code == 1
    for at, contents in zip((head, file_of(commands)), before, strict=True):
        commands.gateway.put(at, contents or b"")
    found = check(commands)
    assert (found["standing"], "not whole" in found["evidence"]) == ("NOT RUN", True)


def test_a_file_without_any_record_is_refused(paths: Paths, commands: Commands) -> None:
    """Written by a program that recorded no comparison, or by a person."""
    both(paths, *NAMES)
    assert commands.run("verify").code == 0
    paths.begin()
    found = check(commands)
    assert (found["standing"], "no verification on record" in found["evidence"]) == ("NOT RUN", True)
    assert check(commands, "mirror lag")["standing"] == "NOT RUN"


# --- every full comparison ------------------------------------------------------------------------------------


def test_each_command_that_compares_everything_records_it(paths: Paths, commands: Commands) -> None:
    """Execution, verification, cutover, refresh, rollback: begun and ended, in the phase that it saw."""
    both(paths, *NAMES[:2])
    paths.put(NAMES[2])

    def recorded(command: str, *arguments: str, times: int = 1) -> ComparisonRecord:
        before = len(commands.state.history)
        ended = commands.run(command, *arguments)
        assert (ended.code, ended.err) == (0, "")
        entries = [
            each
            for each in commands.state.history[before:]
            if each.kind in {EntryKind.COMPARING, EntryKind.COMPARED}
        ]
        assert [each.kind for each in entries] == [EntryKind.COMPARING, EntryKind.COMPARED] * times
        assert all(
            found.compared == 3 and found.equal
            for found in filter(None, (each.comparison for each in entries))
        )
        return newest(commands)

    assert recorded("migrate", *COPY).command == "migrate_qpi_exports"
    assert recorded("migrate", *COPY).data_sha256 is None
    assert recorded("verify").file_sha256 is not None
    everybody_signs(commands)
    commands.go(Phase.CUT_OVER)
    assert commands.state.equal_since_phase is None
    assert recorded("cutover", *NOW).command == "cutover"
    assert commands.state.equal_since_phase == newest(commands)
    assert recorded("rollback", "--refresh", "--ungoverned").command == "rollback"
    assert recorded("rollback", *NOW, times=2).command == "rollback"
    assert commands.state.in_this_phase(newest(commands))
    assert [commands.state.in_this_phase(each) for each in commands.state.comparisons[-2:]] == [False, True]


def test_a_run_is_of_a_phase_by_the_order_of_the_history(paths: Paths, commands: Commands) -> None:
    """Cloud Storage's answers have whole seconds: a verification right after the beginning looks older than the phase."""
    paths.put("a/1")
    commands.run("migrate", *COPY)
    commands.run("verify")
    state, early = commands.state, commands.state.since
    assert early is not None
    early -= timedelta(seconds=1)
    assert state.ran_in_this_phase(newest(commands).run, early)
    assert not state.ran_in_this_phase("a run of version 1", early)
    everybody_signs(commands)
    commands.go(Phase.CUT_OVER)
    assert not commands.state.ran_in_this_phase(newest(commands).run, datetime.now(UTC) + timedelta(days=1))


def test_a_pass_counts_what_it_leaves_out(paths: Paths, commands: Commands) -> None:
    """What only the new path has, and what holds the later write; seen from the new path and from the legacy path."""
    both(paths, *NAMES)
    commands.go(Phase.CUT_OVER)
    paths.put("new.jsonl", side="destination")
    paths.put(NAMES[0], b"later\n", side="destination")
    assert commands.run("cutover", *NOW).code == 0
    found = newest(commands)
    assert (found.compared, found.wrong, found.extra, found.equal) == (21, 2, 1, False)
    paths.put("only legacy.jsonl")
    assert commands.run("rollback", "--refresh", "--ungoverned").code == 0
    found = newest(commands)
    assert (found.compared, found.wrong, found.extra) == (22, 1, 0)


def test_a_comparison_of_a_part_and_one_that_is_not_to_be_recorded_are_not(
    paths: Paths, commands: Commands
) -> None:
    """Neither a beginning nor an end is left."""
    both(paths, *NAMES)
    for command, *arguments in (
        ("verify", "--no-record"),
        ("verify", "--since", "3650d"),
        ("migrate", *COPY, "--since", "3650d"),
        ("migrate",),
    ):
        assert commands.run(command, *arguments).code == 0
    assert not [
        each for each in commands.state.history if each.kind in {EntryKind.COMPARING, EntryKind.COMPARED}
    ]


def test_nothing_is_recorded_for_a_pair_that_has_not_begun(paths: Paths, commands: Commands) -> None:
    """A verification may come first; it says that it is not recorded."""
    both(paths, *NAMES)
    paths.forget()
    ended = commands.run("verify")
    assert (ended.code, "not recorded: this migration has no record yet" in ended.out) == (0, True)
    assert commands.gateway.read(file_of(commands)) is None


@pytest.mark.parametrize(("command", "arguments"), [("verify", ()), ("migrate", COPY)])
def test_the_tasks_of_one_execution_record_one_comparison(
    paths: Paths, commands: Commands, command: str, arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """The first of them records that it begins; the one that combines the reports records what all found."""
    both(paths, *NAMES)
    line = [
        sys.executable,
        "-m",
        "backfill_job",
        command,
        *where(paths),
        *arguments,
        "--grace",
        "0",
        "--tasks",
        "3",
    ]
    environ = {**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url}
    done = subprocess.run(line, env=environ, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, without_log(done.stderr)) == (0, "")
    entries = [
        each for each in commands.state.history if each.kind in {EntryKind.COMPARING, EntryKind.COMPARED}
    ]
    assert [each.kind for each in entries] == [EntryKind.COMPARING, EntryKind.COMPARED]
    assert (newest(commands).compared, newest(commands).equal) == (20, True)
    assert commands.state.in_this_phase(newest(commands))
    assert check(commands)["standing"] == "PASS"


@pytest.mark.parametrize(
    ("command", "arguments"),
    [("migrate", COPY), ("cutover", NOW), ("rollback", ("--refresh", "--ungoverned"))],
)
def test_a_comparison_that_cannot_be_recorded_is_an_error_of_the_command(
    paths: Paths, commands: Commands, command: str, arguments: tuple[str, ...]
) -> None:
    """Exit code 1, and the reason; the comparison stays without an end."""
    both(paths, *NAMES)
    commands.go(*() if command == "migrate" else (Phase.CUT_OVER,))
    rule = {"method": "storage.objects.insert", "name_prefix": "_migration/qpi_exports/state", "skip": 1}
    paths.server.set_faults(rules=[{**rule, "count": None, "status": 403}])
    ended = commands.run(command, *arguments)
    paths.server.clear_faults()
    assert ended.code == 1
    assert "the comparison could not be recorded" in ended.out
    assert commands.state.newest_comparison is None
    assert commands.state.unfinished_comparison is not None


# --- how many names -------------------------------------------------------------------------------------------


def test_a_listing_with_few_names_fails_until_a_person_says_that_it_is_right(
    paths: Paths, commands: Commands
) -> None:
    """Both sides lost three of twenty: equal, and no GO. A second listing that agrees with the first changes nothing."""
    both(paths, *NAMES)
    assert commands.run("verify").code == 0
    assert check(commands, "names")["evidence"] == "20 names; no comparison before this one is on record"
    for name in NAMES[:2]:
        for side in ("source", "destination"):
            paths.delete(name, side=side)
    assert commands.run("verify").code == 0
    assert check(commands, "names")["standing"] == "PASS"
    for side in ("source", "destination"):
        paths.delete(NAMES[2], side=side)
        paths.delete(NAMES[3], side=side)
    for _ in range(2):
        assert commands.run("verify").code == 0
        found = check(commands, "names")
        assert found["standing"] == "FAIL"
        assert found["evidence"] == "16 names; the comparison before showed 18: less than 90 % of them"
        assert check(commands)["standing"] == "PASS"
    over = ("--override", "names", "--reason", "cleaned up", "--by", "Ada")
    assert check(commands, "names", *over)["standing"] == "OVERRIDDEN"


def test_other_patterns_set_no_measure_and_do_not_count(paths: Paths, commands: Commands) -> None:
    """A comparison of less is neither the newest of this migration nor a reason to miss names."""
    both(paths, *NAMES)
    assert commands.run("verify").code == 0
    assert commands.run("verify", "--exclude", "*1[0-9]/*").code == 0
    found = check(commands)
    assert (found["standing"], "it left out" in found["evidence"]) == ("FAIL", True)
    assert commands.run("verify").code == 0
    assert check(commands)["standing"] == check(commands, "names")["standing"] == "PASS"


def test_the_deletion_records_what_it_compared_and_misses_names(scene: Scene) -> None:
    """The dry run changes nothing. With a person's reason on record the names that are there are the measure."""
    scene.both(*NAMES)
    assert scene.commands.run("verify").code == 0
    scene.cut_over(days_ago=0)
    for name in NAMES[:4]:
        for side in ("source", "destination"):
            scene.paths.delete(name, side=side)
    before = scene.commands.state
    dry = scene.run("--soak-days", "0")
    assert dry.code == 1
    assert "16 names; the comparison before showed 20: less than 90 % of them" in " ".join(dry.out.split())
    assert scene.commands.state == before
    refused = scene.delete(16)
    assert (refused.code, "names: 16 names; the comparison before showed 20" in refused.words) == (2, True)
    record = newest(scene.commands)
    assert (record.command, record.compared, record.equal) == ("delete_old_qpi_exports", 16, True)
    assert record.data_sha256 is not None
    assert scene.delete(16).code == 2
    ended = scene.delete(16, "--override", "names")
    assert (ended.code, ended.err) == (0, "")
    assert scene.commands.state.names_before(None, scene.paths.migration.excludes) == 16


def test_a_comparison_of_a_part_proves_nothing_about_the_whole(scene: Scene) -> None:
    """A pattern that leaves out what differs made GO, the cutover and the deletion of a whole pair."""
    scene.both(*NAMES)
    commands = scene.commands
    assert commands.run("verify").code == 0
    scene.paths.put(NAMES[1], b"newest")
    part = ("--exclude", NAMES[1])
    assert commands.run("verify", *part).code == 0
    assert f"without names like {NAMES[1]}" in status(scene.paths)
    names = check(commands, "names", *part)
    assert (names["standing"], "which an earlier comparison had" in names["evidence"]) == ("FAIL", True)
    scene.cut_over(days_ago=0)
    refused = scene.delete(1, *part)
    assert (refused.code, "which an earlier comparison had" in refused.words) == (2, True)


# --- the status -----------------------------------------------------------------------------------------------


def test_after_an_execution_the_status_says_what_it_compared(paths: Paths, commands: Commands) -> None:
    """ "Never verified" stands only where no comparison is on record; comparisons are no changes by people."""
    paths.put(NAMES[0])
    assert "Never verified" in status(paths)
    assert commands.run("migrate", *COPY).code == 0
    out = status(paths)
    assert "Never verified" not in out
    assert "Equal: nothing missing, nothing differs" in out
    assert "1 name compared by migrate_qpi_exports: both sides are equal" in out
    assert len(out.partition("latest changes:")[2].partition("\n\n")[0].strip().splitlines()) == 1
    paths.put("extra.jsonl", side="destination")
    assert commands.run("migrate", *COPY).code == 1
    assert "Not equal: 1 name" in status(paths)


def test_after_a_cutover_new_exports_are_no_fault(paths: Paths, commands: Commands) -> None:
    """What only the new path has is to come back; anything else that differs is said as such, and the page says the same."""
    both(paths, *NAMES)
    commands.go(Phase.CUT_OVER)
    paths.put("new.jsonl", side="destination")
    assert commands.run("cutover", *NOW).code == 0
    assert "Only the new path has 1 object" in status(paths)
    assert commands.run("rollback", "--refresh", "--ungoverned").code == 0
    assert "Equal: nothing missing, nothing differs" in status(paths)
    paths.put(NAMES[0], b"later\n", side="destination")
    assert commands.run("cutover", *NOW).code == 0
    data = read_status(commands.gateway, paths.migration, datetime.now(UTC))
    page = render_status(data, datetime.now(UTC))
    assert "Not equal: 1 name" in page
    assert "comparison begun by" not in page
    assert "Verify: it names what differs (1 name)." in page


def test_after_a_complete_deletion_the_status_tells_what_was_equal_before_it(scene: Scene) -> None:
    """Whatever a verification found long before."""
    scene.both(*NAMES[1:])
    scene.paths.put(NAMES[0])
    assert scene.commands.run("verify").code == 1
    assert scene.commands.run("migrate", *COPY).code == 0
    scene.cut_over(days_ago=0)
    scene.paths.put("new export.jsonl", side="destination")
    assert scene.delete(20).code == 0
    out = status(scene.paths)
    assert "The legacy path is deleted" in out
    assert "delete_old_qpi_exports compared 20 legacy objects: all were equal at the new path" in out


# --- which one is the newest ----------------------------------------------------------------------------------


def test_the_newest_is_the_one_that_began_last_in_whichever_order_they_ended(
    paths: Paths, commands: Commands
) -> None:
    """Also where both began within one second, which is as exact as Cloud Storage's time is."""
    both(paths, *NAMES)
    for _ in range(2):
        assert commands.run("verify").code == 0
    state = commands.state
    first, second = state.comparisons
    swapped = [replace(entry, before="") for entry in state.history]
    ends = [number for number, entry in enumerate(swapped) if entry.kind is EntryKind.COMPARED]
    swapped[ends[0]], swapped[ends[1]] = swapped[ends[1]], swapped[ends[0]]
    history = replace(state, history=())
    for entry in swapped:
        history = history.with_entry(entry)
    assert history.comparisons == (first, second)
    assert history.newest_verification == second
