"""The command ``rollback`` on a real server: nothing that was written on the new path is lost on the way back."""

import json
from pathlib import Path

import pytest
from testing_commands import Commands
from testing_paths import Paths

from backfill_job.run.phase_change import MARGIN_SECONDS
from shared.phase import CACHE_SECONDS, Phase

NOW = ("--by", "Ada", "--yes", "--ungoverned")
WAITED = CACHE_SECONDS + MARGIN_SECONDS


def both(paths: Paths, name: str, data: bytes = b"old") -> None:
    """An object that was migrated."""
    paths.put(name, data)
    paths.put(name, data, side="destination")


def test_what_was_written_on_the_new_path_comes_back(paths: Paths, commands: Commands) -> None:
    """New objects, overwritten ones, and nothing else; then the phase, on record, and what to do now."""
    both(paths, "a/1")
    both(paths, "a/2")
    commands.go(Phase.CUT_OVER)
    paths.put("a/2", b"answered again", side="destination", metadata={"k": "v"})
    paths.put("a/3", b"new", side="destination")
    ended = commands.run("rollback", *NOW)
    assert (ended.code, ended.err) == (0, "")
    assert {name: paths.read(name, side="source") for name in paths.names(side="source")} == {
        "a/1": b"old",
        "a/2": b"answered again",
        "a/3": b"new",
    }
    blob = paths.bucket("source").get_blob("QPI_exports/a/2")
    assert blob.metadata == {"k": "v"}
    state = commands.state
    assert (state.phase, state.decisions[-1].by) == (Phase.ROLLED_BACK, "Ada")
    assert commands.waited.count(WAITED) == 1
    assert "The writer's team: go back to" in ended.out


def test_a_rehearsal_shows_what_would_come_back_and_changes_nothing(
    paths: Paths, commands: Commands, tmp_path: Path
) -> None:
    """``--dry-run`` needs neither a name nor a yes."""
    both(paths, "a/1")
    commands.go(Phase.CUT_OVER)
    paths.put("a/1", b"answered again", side="destination")
    paths.put("a/2", b"new", side="destination")
    paths.server.reset_stats()
    ended = commands.run("rollback", "--dry-run", "--report", str(tmp_path / "r"))
    assert (ended.code, ended.err) == (0, "")
    assert paths.requests("storage.objects.rewrite") == 0
    assert commands.state.phase is Phase.CUT_OVER
    steps = json.loads((tmp_path / "r" / "rollback-plan.json").read_text())["findings"]["steps"]
    assert (steps["copy"]["objects"], steps["overwrite"]["objects"]) == (1, 1)
    assert f"from  {paths.migration.destination.uri}" in ended.out


def test_a_later_write_on_the_legacy_path_stays_and_is_named(paths: Paths, commands: Commands) -> None:
    """A late writer's word is the later one: it stays where it belongs after the rollback."""
    both(paths, "a/1")
    commands.go(Phase.CUT_OVER)
    paths.put("a/1", b"on the new path", side="destination")
    paths.put("a/1", b"later, on the legacy path")
    ended = commands.run("rollback", *NOW)
    assert ended.code == 0
    assert paths.read("a/1", side="source") == b"later, on the legacy path"
    assert "later on the legacy path: a/1" in ended.out


def test_the_log_and_the_report_have_the_figures_of_the_screen(
    paths: Paths, commands: Commands, tmp_path: Path
) -> None:
    """Of one object brought over, two left because of a later write, and one that could not be replaced; then without it."""
    for name in ("a/1", "a/2", "a/3", "a/4"):
        both(paths, name)
    commands.go(Phase.CUT_OVER)
    paths.put("a/5", b"new", side="destination")
    for name in ("a/1", "a/2"):
        paths.put(name, b"on the new path", side="destination")
        paths.put(name, b"later, on the legacy path")
    paths.put("a/4", b"answered again", side="destination")
    held = paths.bucket("source").blob("QPI_exports/a/4")
    for hold, copied, done in ((True, 1, False), (False, 1, True)):
        held.temporary_hold = hold
        held.patch()
        ended = commands.run("rollback", "--refresh", "--ungoverned", "--report", str(tmp_path / "r"))
        left = "2 left because the other path holds a later write"
        end = "proven name by name" if done else "1 FAILED: the log says why"
        summary = f"5 objects looked at, {copied} brought over, {left}; {end}"
        assert (ended.code, ended.out.splitlines()[1]) == (int(not done), summary)
        figures = f"listed=5 copied={copied} later_writes=2 erased=0 failed={int(not done)}"
        (line,) = (each for each in ended.log.splitlines() if " handed_over: " in each)
        assert line.endswith(f' phase="cut_over" done={str(done).lower()} summary="{summary}" {figures}')
        report = json.loads((tmp_path / "r" / "rollback.json").read_text())
        assert (report["phase"], sorted(report["handover"]["later"])) == ("cut_over", ["a/1", "a/2"])
        told = (
            f"{name}={report['handover'][name]}"
            for name in ("listed", "copied", "later_writes", "erased", "failed")
        )
        assert (" ".join(told), report["handover"]["done"], report["handover"]["summary"]) == (
            figures,
            done,
            summary,
        )


def test_what_the_second_pass_brings_over_counts_as_well(paths: Paths, commands: Commands) -> None:
    """One object is refused in the first pass, and copied in the second one."""
    both(paths, "a/1")
    commands.go(Phase.CUT_OVER)
    for name in ("a/1", "a/2", "a/3"):
        paths.put(name, b"on the new path", side="destination")
    rule = {"method": "storage.objects.rewrite", "name_prefix": "qpi_exports/a/2", "count": 1, "status": 400}
    paths.server.set_faults(rules=[rule])
    ended = commands.run("rollback", "--refresh", "--ungoverned")
    assert (ended.code, ended.out.splitlines()[1]) == (
        0,
        "3 objects looked at, 3 brought over; proven name by name",
    )
    assert ended.log.count(" object_failed: ") == 1


@pytest.mark.parametrize("arguments", [NOW, ("--refresh", "--ungoverned")])
def test_what_the_new_path_had_before_the_first_cutover_replaces_nothing(
    paths: Paths, commands: Commands, arguments: tuple[str, ...]
) -> None:
    """No client wrote it: a wrong object there is no later write. What is missing at the legacy path comes all the same."""
    paths.put("a/1", b"right")
    paths.put("a/1", b"wrong", side="destination")
    paths.put("a/2", b"only there", side="destination")
    commands.go(Phase.CUT_OVER)
    ended = commands.run("rollback", *arguments)
    assert ended.code == 0, ended.out
    assert "later on the legacy path: a/1" in ended.out
    assert (paths.read("a/1", side="source"), paths.read("a/2", side="source")) == (b"right", b"only there")


def test_what_is_replaced_is_kept(paths: Paths, commands: Commands) -> None:
    """Beside the state, outside both prefixes."""
    both(paths, "a/1")
    generation = paths.put("a/1", b"by whom?")
    commands.go(Phase.CUT_OVER)
    paths.put("a/1", b"answered again", side="destination")
    assert commands.run("rollback", *NOW).code == 0
    kept = paths.migration.kept_ref("a/1", generation)
    assert commands.gateway.read(kept) == b"by whom?"
    assert kept.name.startswith("_migration/")


def test_given_again_it_brings_back_what_late_writers_wrote(paths: Paths, commands: Commands) -> None:
    """In phase rolled_back already: no change on record, and what was written on the new path since comes back."""
    both(paths, "a/1")
    commands.go(Phase.CUT_OVER, Phase.ROLLED_BACK)
    history = commands.state.decisions
    paths.put("a/1", b"late", side="destination")
    paths.put("a/2", b"late and new", side="destination")
    ended = commands.run("rollback", *NOW)
    assert ended.code == 0
    assert "Already rolled back" in ended.out
    assert (paths.read("a/1", side="source"), paths.read("a/2", side="source")) == (b"late", b"late and new")
    assert commands.state.decisions == history


def test_what_is_written_while_it_waits_comes_back_too(paths: Paths, commands: Commands) -> None:
    """The last pass is made after the mirrors have seen the phase."""
    both(paths, "a/1")
    commands.go(Phase.CUT_OVER)
    commands.pauses = lambda _: paths.put("a/2", b"meanwhile", side="destination") and None
    assert commands.run("rollback", *NOW).code == 0
    assert paths.read("a/2", side="source") == b"meanwhile"


@pytest.mark.parametrize(
    ("phases", "reason"),
    [
        ((), "there was no cutover"),
        ((Phase.CUT_OVER, Phase.DELETING), "python -m backfill_job undo --source gs://"),
        ((Phase.CUT_OVER, Phase.DELETING, Phase.DELETED), "python -m backfill_job undo --source gs://"),
    ],
)
def test_only_a_cutover_can_be_rolled_back(
    paths: Paths,
    commands: Commands,
    phases: tuple[Phase, ...],
    reason: str,
) -> None:
    """From any other phase it does not start, and says why."""
    both(paths, "a/1")
    commands.go(*phases)
    before = commands.state
    for arguments in (NOW, ("--dry-run",)):
        ended = commands.run("rollback", *arguments)
        assert ended.code == 2
        assert reason in ended.err
        assert ended.err.count("\n") == 1
    assert commands.state == before


def test_without_a_name_or_a_terminal_it_does_not_start(paths: Paths, commands: Commands) -> None:
    """One clear line, exit code 2."""
    both(paths, "a/1")
    assert commands.run("rollback", "--yes").err == (
        "rollback: say who decides: --by WHO (or --dry-run for a rehearsal)\n"
    )
    ended = commands.run("rollback", "--by", "Ada")
    assert (ended.code, "no terminal; add --yes" in ended.err) == (2, True)


@pytest.mark.parametrize(("typed", "code"), [("ROLL BACK custom\n", 0), ("yes\n", 2), ("", 2)])
def test_the_confirmation_is_typed(
    paths: Paths,
    commands: Commands,
    typed: str,
    code: int,
) -> None:
    """The text names what is rolled back; anything else changes nothing."""
    both(paths, "a/1")
    commands.go(Phase.CUT_OVER)
    paths.put("a/1", b"new", side="destination")
    ended = commands.run("rollback", "--by", "Ada", "--ungoverned", typed=typed)
    assert ended.code == code
    phase = commands.state.phase
    assert phase is (Phase.CUT_OVER if code else Phase.ROLLED_BACK)
    assert paths.read("a/1", side="source") == (b"old" if code else b"new")


def test_an_object_that_cannot_be_brought_back_stops_it_before_the_phase(
    paths: Paths, commands: Commands
) -> None:
    """A hold on the legacy object: exit code 1, still cut over, and everything else is back."""
    both(paths, "a/1")
    both(paths, "a/2")
    blob = paths.bucket("source").get_blob("QPI_exports/a/1")
    blob.temporary_hold = True
    blob.patch()
    commands.go(Phase.CUT_OVER)
    paths.put("a/1", b"new", side="destination")
    paths.put("a/2", b"new", side="destination")
    ended = commands.run("rollback", *NOW)
    assert ended.code == 1
    assert "1 FAILED" in ended.out
    assert "the phase is still cut_over" in ended.out
    assert "1 object failed: a hold forbids it." in ended.out
    assert "When that is mended, run the same command again." in ended.out
    assert commands.state.phase is Phase.CUT_OVER
    assert paths.read("a/2", side="source") == b"new"


def test_a_fault_after_the_phase_was_changed_says_so(paths: Paths, commands: Commands) -> None:
    """The last pass fails: the line says which phase it is, and that the same command finishes it."""
    both(paths, "a/1")
    commands.go(Phase.CUT_OVER)

    def lose_the_permission(_seconds: float) -> None:
        paths.server.set_faults(
            rules=[{"method": "storage.objects.list", "bucket": paths.migration.source.bucket, "status": 403}]
        )

    commands.pauses = lose_the_permission
    ended = commands.run("rollback", *NOW)
    paths.server.clear_faults()
    assert ended.code == 1
    assert commands.state.phase is Phase.ROLLED_BACK
    assert "NOT FINISHED" in ended.out + ended.err
    commands.pauses = lambda _: None
    assert commands.run("rollback", *NOW).code == 0


def test_a_refresh_brings_what_the_reverse_mirror_missed_and_changes_no_phase(
    paths: Paths, commands: Commands
) -> None:
    """Neither a name nor a yes is wanted; the way to equal paths before a deletion when an event was lost."""
    both(paths, "a/1")
    both(paths, "a/2")
    commands.go(Phase.CUT_OVER)
    paths.put("a/1", b"answered again", side="destination")
    paths.put("a/3", b"new", side="destination")
    paths.put("a/2", b"by a late writer")
    before = commands.decided
    ended = commands.run("rollback", "--refresh", "--ungoverned")
    assert (ended.code, ended.err) == (0, "")
    assert {name: paths.read(name, side="source") for name in paths.names(side="source")} == {
        "a/1": b"answered again",
        "a/2": b"by a late writer",
        "a/3": b"new",
    }
    assert commands.decided == before
    assert WAITED not in commands.waited
    assert "later on the legacy path: a/2" in ended.out
    assert "The phase is cut_over, as before." in ended.out


def test_a_pass_that_compared_nothing_changes_no_phase(paths: Paths, commands: Commands) -> None:
    """All names are excluded: nothing is proven, so the migration does not go back."""
    both(paths, "a/1")
    commands.go(Phase.CUT_OVER)
    for arguments in (("--refresh", "--ungoverned"), NOW):
        ended = commands.run("rollback", *arguments, "--exclude", "*")
        assert ended.code == 1
        assert "NOTHING WAS COMPARED: all names are excluded" in ended.out
    assert commands.state.phase is Phase.CUT_OVER


def test_what_only_the_legacy_path_has_is_named_before_it_comes_back(
    paths: Paths, commands: Commands
) -> None:
    """It may have been erased at the new path: after the rollback the legacy path decides."""
    both(paths, "a/1")
    both(paths, "a/2")
    commands.go(Phase.CUT_OVER)
    assert commands.run("verify").code == 0
    paths.delete("a/2", side="destination")
    rehearsed = commands.run("rollback", "--dry-run")
    assert "1 object only at gs://" in rehearsed.out
    ended = commands.run("rollback", *NOW)
    assert "1 object only at gs://" in ended.out
    assert "QPI_exports/: a/2. It was deleted at the new path, or never came there." in ended.out
    assert "so it comes to the new path again" in ended.out
