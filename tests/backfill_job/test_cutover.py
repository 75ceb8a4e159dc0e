"""The command ``cutover``: the gate, the phase, the wait, and what was written on the legacy path up to then."""

import json
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google_apis import Apis, serving
from hypothesis import given
from hypothesis import strategies as st
from testing_commands import Commands, run_command
from testing_gate import FOLDER, everybody_signs, everything_right
from testing_paths import Paths

from backfill_job.commands.cutover import first_pass_open
from backfill_job.run.phase_change import MARGIN_SECONDS
from demo.data import AIRFLOW, PROJECT, Audit
from demo.function import running_function
from mirror_function.event import EventKind, ObjectEvent
from mirror_function.mirror import MirrorOutcome
from mirror_function.mirror import mirror as mirror_event
from mirror_function.settings import MirrorSettings
from shared.gateway import Gateway
from shared.migration import Environment, Location, Migration, qpi_exports
from shared.phase import CACHE_SECONDS, Phase, PhaseReader
from shared.record import update
from shared.state import ComparisonRecord, Signatory, State
from shared.state_changes import Stamp, begun, compared, comparing, sign_off, with_phase, withdraw

NOW = ("--by", "Ada", "--yes", "--ungoverned")
WAITED = CACHE_SECONDS + MARGIN_SECONDS
NAME = f"{FOLDER}user_id_7.jsonl"


@pytest.fixture
def commands(paths: Paths, gateway: Gateway, tmp_path: Path) -> Commands:
    commands = Commands(paths, tmp_path, gateway)
    commands.pauses = commands.mirrors_work
    return commands


@pytest.fixture
def mirror(paths: Paths, tmp_path: Path) -> Iterator[None]:
    """A real mirror process; it arrives for the canary's sake."""
    with running_function(paths.server.url, paths.migration, tmp_path / "mirror.log") as function:
        subscriber = paths.server.add_subscriber(
            function.url, types=["finalized"], bucket=paths.migration.source.bucket
        )
        yield
        paths.server.remove_subscriber(subscriber)
        function.kill()  # does not take the time that an orderly end does


@pytest.mark.usefixtures("mirror")
def test_go_and_the_new_path_counts(paths: Paths, commands: Commands) -> None:
    """The gate's table, the phase on record, the wait, and what everybody does now; then again, for late writers."""
    arguments = (*NOW, *everything_right(paths, commands))
    ended = commands.run("cutover", *arguments)
    assert (ended.code, ended.err) == (0, ""), ended.out
    state = commands.decided
    assert (state.phase, state.history[-1].by) == (Phase.CUT_OVER, "Ada")
    assert commands.waited[-1] == WAITED
    lines = [line.strip() for line in ended.out.splitlines()]
    for earlier, later in (
        ("GO", "The phase is cut_over"),
        ("The phase is cut_over", "Every mirror must have seen"),
    ):
        assert next(n for n, line in enumerate(lines) if line.startswith(earlier)) < next(
            n for n, line in enumerate(lines) if line.startswith(later)
        )
    assert "2. The writer's team: switch to" in ended.out

    paths.put(NAME, b"a late writer's")
    again = commands.run("cutover", *NOW)
    assert again.code == 0
    assert "Already cut over, since" in again.out
    assert paths.read(NAME) == b"a late writer's"
    assert commands.decided == state


@pytest.mark.usefixtures("mirror")
def test_a_rule_in_the_way_stops_it_and_an_override_is_on_record(paths: Paths, commands: Commands) -> None:
    """In gate.json and in the state's history; a rule about the record cannot be overridden."""
    arguments = (*NOW, *everything_right(paths, commands))
    over = ("--override", "path-lifecycle", "--reason", "kept for ten years", "--by", "Ada")
    paths.set_rules({"age": 3_650})
    assert commands.run("cutover", *arguments, *over).code == 1
    assert commands.state.phase is Phase.DUAL_WRITE
    paths.set_rules({"age": 3_650, "matchesPrefix": ["qpi_exports/"]})
    assert commands.run("cutover", *arguments).code == 1
    assert commands.state.phase is Phase.DUAL_WRITE
    ended = commands.run("cutover", *arguments, *over)
    assert (ended.code, ended.err) == (0, ""), ended.out
    entry = commands.state.decisions[-1]
    assert entry.what.endswith("phase dual_write to cut_over; overridden path-lifecycle (kept for ten years)")
    contents = commands.gateway.read(paths.migration.own_ref("latest", "gate.json"))
    assert b'"reason": "kept for ten years"' in (contents or b"")


@pytest.mark.usefixtures("mirror")
def test_of_two_cutovers_at_once_none_loses_its_override(paths: Paths, commands: Commands) -> None:
    """The other one changed the phase after this one's look: what this one overrides is not on record, so it refuses."""
    arguments = (*NOW, *everything_right(paths, commands))
    paths.set_rules({"age": 3_650, "matchesPrefix": ["qpi_exports/"]})

    def other(seconds: float) -> None:
        if commands.state.phase is Phase.DUAL_WRITE:
            commands.go(Phase.CUT_OVER)
        commands.mirrors_work(seconds)

    commands.pauses = other
    over = ("--override", "path-lifecycle", "--reason", "kept for ten years", "--by", "Ada")
    ended = commands.run("cutover", *arguments, *over)
    assert (ended.code, len(ended.err.splitlines())) == (2, 1), ended
    assert "another command changed the phase to cut_over meanwhile, and what this one overrides" in ended.err
    assert commands.state.decisions[-1].by == "test"


@pytest.mark.usefixtures("mirror")
def test_what_was_written_until_everybody_had_seen_it_is_brought_over(
    paths: Paths, commands: Commands
) -> None:
    """An overwrite whose event finds the new phase is a conflict for the mirror, and no loss."""
    arguments = (*NOW, *everything_right(paths, commands))

    def overwrite(seconds: float) -> None:
        if seconds == WAITED:
            paths.put(NAME, b"answered again, just then")
        commands.mirrors_work(seconds)

    commands.pauses = overwrite
    assert commands.run("cutover", *arguments).code == 0
    assert paths.read(NAME) == b"answered again, just then"


@pytest.mark.parametrize("gather", [(), ("--no-gather",), ("--no-record",)])
def test_no_go_changes_nothing(paths: Paths, commands: Commands, gather: tuple[str, ...]) -> None:
    """Exit code 1, and the phase is as it was; where it made evidence itself, that is on record, as typed by hand."""
    paths.put("a/1")
    before = commands.state
    ended = commands.run("cutover", *NOW, *gather)
    assert ended.code == 1
    *_, verdict, following = ended.out.splitlines()
    assert re.fullmatch(r"NO-GO: .* not run\. Nothing was changed\.", verdict)
    assert following.startswith("Next, when that is fixed: python -m backfill_job cutover --source ")
    assert commands.decided == replace(before, runs=())
    assert [run.command for run in commands.state.runs] == ([] if gather else ["verify"])
    assert WAITED not in commands.waited


@pytest.mark.usefixtures("mirror")
def test_what_the_gate_would_miss_is_made_first(paths: Paths, commands: Commands) -> None:
    """A verification, an import test and a canary: on record and in files as if a person had typed them, one line each."""
    arguments = everything_right(paths, commands, evidence=False)
    reports = commands.folder / "reports"
    ended = commands.run("cutover", *NOW, *arguments, "--report", str(reports))
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert re.findall(r"(?m)^(verify|import-test): done in [\d.]+ m?s$", ended.out) == [
        "verify",
        "import-test",
    ]
    assert "readers: NOT LOOKED AT: no audit log is named (--audit-log, or AUDIT_LOG" in ended.out
    assert "names compared" not in ended.out.partition("Canary gs://")[0], (
        "the commands' own screens are left out"
    )
    verified = commands.state.newest_verification
    assert verified is not None
    assert (verified.command, verified.equal) == ("verify", True)
    for name in ("latest/verification.json", "latest/import-test.json", f"certificates/{verified.run}.json"):
        assert commands.gateway.read(paths.migration.own_ref(*name.split("/"))), name
    made = {str(file.relative_to(reports)) for file in reports.rglob("*.*")}
    assert made >= {"gate.json", "cutover.json", "verify/verification.json", "verify/report.html"}
    assert "import-test/import-test.json" in made
    (log,) = (commands.folder / "logs").glob("verify_*.log")
    assert "verification_finished" in log.read_text()
    assert "verification_finished" not in ended.log.partition("gate_checked")[0], "each has its own log"
    content = json.loads((reports / "gate.json").read_text())
    assert {each["standing"] for each in content["checks"] if each["name"] not in {"loaded", "readers"}} == {
        "PASS"
    }


@pytest.mark.parametrize("refused", [0, 403])
def test_the_look_at_the_audit_log_is_made_first_too(
    paths: Paths, gateway: Gateway, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: int
) -> None:
    """The same record as `readers --record` leaves by hand; where the service refuses, the gate says why."""
    preset = Paths(paths.server, paths.client, qpi_exports(Environment.DEV))
    for side in (preset.migration.source, preset.migration.destination):
        if not paths.client.bucket(side.bucket).exists():
            paths.client.create_bucket(side.bucket)
    preset.begin()
    preset.put("a")
    audit, now = Audit(preset.migration), datetime.now(UTC)
    night = now - timedelta(hours=9)
    log = [*audit.sweeps(now - timedelta(days=9), now), audit.entry(night, AIRFLOW, "a")]
    with serving(Apis(log, refused=refused)) as address:
        monkeypatch.setenv("QPI_EXPORTS_APIS", address)
        logs = ("--log-dir", str(tmp_path), "--grace", "0")
        ended = run_command("cutover", "--env", "dev", *NOW, *logs, "--audit-log", PROJECT)
    commands = Commands(preset, tmp_path, gateway)
    looks = [entry for entry in commands.state.history if entry.readers is not None]
    assert ended.code == 1
    if not refused:
        (look,) = looks
        assert (look.by, "1 foreign principal on the legacy path" in look.what) == ("readers", True)
        assert "readers: done in" in ended.out
        assert f"{AIRFLOW} (read 1, last" in ended.words
    else:
        assert looks == []
        assert "readers: NOT DONE, see below" in ended.out
        assert "could not be made here: logging.googleapis.com answers 403" in ended.words


def test_what_cannot_be_made_is_no_go_with_the_reason(
    paths: Paths, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine of the import test is not installed: the gate says so, with the command."""
    arguments = everything_right(paths, commands, evidence=False)
    monkeypatch.delitem(sys.modules, "backfill_job.import_test.duckdb", raising=False)
    monkeypatch.setitem(sys.modules, "duckdb", None)
    ended = commands.run("cutover", *NOW, *arguments)
    assert (ended.code, commands.state.phase) == (1, Phase.DUAL_WRITE)
    assert "import-test: NOT DONE, see below" in ended.out
    assert (
        "there is no import test on record; it could not be made here: DuckDB is not installed" in ended.words
    )
    assert "python -m backfill_job import-test --source " in ended.words


@pytest.mark.usefixtures("mirror")
def test_a_sign_off_taken_back_at_the_last_moment_stops_it(paths: Paths, commands: Commands) -> None:
    """Consent is looked at when the phase is changed, not only by the gate: the sign-off goes while the operator types."""
    arguments = everything_right(paths, commands)

    class Typing:
        """A terminal on which somebody takes a while."""

        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            stamp = Stamp("w", "Ada", commands.state.signoffs[0].at)
            update(commands.gateway, paths.migration, lambda state: withdraw(state, Signatory.DATA, stamp))
            return "CUT OVER custom\n"

    ended = commands.run("cutover", "--by", "Ada", *arguments, stdin=Typing())
    assert ended.code == 2
    assert "a sign-off was taken back meanwhile; missing: data. Nothing was changed" in ended.err
    assert commands.state.phase is Phase.DUAL_WRITE


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize(
    ("typed", "phase"), [("CUT OVER custom\n", Phase.CUT_OVER), ("yes\n", Phase.DUAL_WRITE)]
)
def test_the_confirmation_is_typed(paths: Paths, commands: Commands, typed: str, phase: Phase) -> None:
    """After the gate's GO; anything else changes nothing."""
    ended = commands.run("cutover", "--by", "Ada", *everything_right(paths, commands), typed=typed)
    assert ended.code == (0 if phase is Phase.CUT_OVER else 2)
    assert commands.state.phase is phase


@pytest.mark.usefixtures("mirror")
def test_a_fault_after_the_phase_was_changed_says_so(paths: Paths, commands: Commands) -> None:
    """No writer may switch yet; the same command finishes it."""
    arguments = (*NOW, *everything_right(paths, commands))

    def fault(seconds: float) -> None:
        if seconds == WAITED:
            paths.server.set_faults(
                rules=[
                    {"method": "storage.objects.list", "bucket": paths.migration.source.bucket, "status": 403}
                ]
            )
        commands.mirrors_work(seconds)

    commands.pauses = fault
    ended = commands.run("cutover", *arguments)
    paths.server.clear_faults()
    commands.pauses = lambda _: None
    assert ended.code == 1
    assert "no writer may switch yet" in ended.out
    assert "switch to" not in ended.out
    assert commands.state.phase is Phase.CUT_OVER
    assert commands.run("cutover", *NOW).code == 0


@pytest.mark.usefixtures("mirror")
def test_a_stop_while_it_waits_says_which_phase_it_is(paths: Paths, commands: Commands) -> None:
    """Ctrl-C during the eleven seconds."""
    arguments = (*NOW, *everything_right(paths, commands))

    def interrupt(seconds: float) -> None:
        if seconds == WAITED:
            signal.raise_signal(signal.SIGINT)
        commands.mirrors_work(seconds)

    commands.pauses = interrupt
    ended = commands.run("cutover", *arguments)
    assert ended.code == 1
    assert "The phase IS cut_over already; run the same command again" in ended.err
    assert ended.err.count("\n") == 1


@pytest.mark.usefixtures("mirror")
def test_after_a_rollback_everybody_signs_anew(paths: Paths, commands: Commands) -> None:
    """The gate misses the sign-offs; with them the second cutover takes place."""
    arguments = (*NOW, *everything_right(paths, commands))
    assert commands.run("cutover", *arguments).code == 0
    assert commands.run("rollback", *NOW).code == 0
    ended = commands.run("cutover", *arguments)
    assert (ended.code, "missing: qpi-team" in ended.out) == (1, True)
    everybody_signs(commands)
    assert commands.run("cutover", *arguments).code == 0


@pytest.mark.parametrize("arguments", [(), ("--by", "Ada")])
def test_without_a_name_or_a_terminal_it_does_not_start(
    paths: Paths, commands: Commands, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """One clear line, exit code 2."""
    paths.put("a/1")
    if not arguments:
        with pytest.raises(SystemExit) as ended:
            commands.run("cutover")
        assert (ended.value.code, "--by" in capsys.readouterr().err) == (2, True)
    else:
        result = commands.run("cutover", *arguments)
        assert (result.code, "no terminal; add --yes" in result.err) == (2, True)


@pytest.mark.parametrize(
    "phases", [(Phase.CUT_OVER, Phase.DELETING), (Phase.CUT_OVER, Phase.DELETING, Phase.DELETED)]
)
def test_from_a_deletion_there_is_no_cutover(
    paths: Paths, commands: Commands, phases: tuple[Phase, ...]
) -> None:
    """It does not start."""
    paths.put("a/1")
    commands.go(*phases)
    ended = commands.run("cutover", *NOW)
    assert (ended.code, "there is no cutover from there" in ended.err) == (2, True)


@pytest.mark.usefixtures("mirror")
def test_the_first_cutover_replaces_a_wrong_object_that_appeared_after_the_verification(
    paths: Paths, commands: Commands
) -> None:
    """Nobody writes on the new path before the report: it is not a later write. What is written after the change is one."""
    arguments = (*NOW, *everything_right(paths, commands))
    right = paths.read(NAME, side="source")
    paths.put(NAME, b"wrong", side="destination")
    wrong = paths.look(NAME)
    assert wrong is not None
    paths.put("early/1", b"legacy")
    paths.put("early/1", b"a hasty writer's", side="destination")

    event = ObjectEvent(
        "e-1", EventKind.FINALIZED, paths.bucket("destination").name, wrong, datetime.now(UTC)
    )
    brought_back = []

    def write_on_the_new_path(seconds: float) -> None:
        if seconds == WAITED:
            paths.put("early/1", b"written after the change", side="destination")
            # The wrong object's event is late: the reverse mirror handles it in the new phase.
            phases = PhaseReader(commands.gateway, paths.migration, lambda: 0.0)
            settings = MirrorSettings(paths.migration, reverse=True)
            brought_back.append(mirror_event(event, settings, commands.gateway, phases).outcome)
        commands.mirrors_work(seconds)

    commands.pauses = write_on_the_new_path
    ended = commands.run("cutover", *arguments)
    assert ended.code == 0, ended.out
    assert brought_back == [MirrorOutcome.CONFLICT]
    assert (paths.read(NAME), paths.read(NAME, side="source")) == (right, right)
    assert commands.gateway.read(paths.migration.kept_ref(NAME, wrong.generation)) == b"wrong"
    assert paths.read("early/1") == b"written after the change"


def test_the_first_pass_goes_by_the_legacy_path_until_it_is_proven(paths: Paths, commands: Commands) -> None:
    """A pass that found something unequal is on record, too, and proves nothing: the next one still goes by the legacy path."""
    for side in ("source", "destination"):
        paths.put("a/1", b"right", side=side)
    paths.put(NAME, b"right")
    paths.put(NAME, b"wrong", side="destination")
    assert commands.run("verify").code == 1
    commands.go(Phase.CUT_OVER)
    paths.server.set_faults(
        rules=[
            {
                "method": "storage.objects.rewrite",
                "count": None,
                "status": 400,
                "name_prefix": f"QPI_exports/{NAME}",
            }
        ]
    )
    assert commands.run("cutover", *NOW).code == 1
    paths.server.clear_faults()
    newest = commands.state.newest_comparison
    assert newest is not None
    assert (newest.command, newest.equal, first_pass_open(commands.state)) == ("cutover", False, True)
    assert commands.run("cutover", *NOW).code == 0
    assert (paths.read(NAME), first_pass_open(commands.state)) == (b"right", False)


KINDS = ("cut over", "roll back", "sign", "compare", "equal", "unequal", "nothing")


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3)), max_size=14))
def test_the_pass_is_open_from_the_first_cutover_to_an_equal_comparison_that_began_after_it(
    told: list[tuple[str, int]],
) -> None:
    """In whichever order comparisons begin and end, and whatever their times; the oracle follows the words above."""
    migration = Migration(Location("legacy", "a/"), Location("new", "b/"))
    at = datetime(2026, 1, 1, tzinfo=UTC)
    state = begun(State.initial(migration), Phase.DUAL_WRITE, Stamp("begun", "test", at))
    under_way: list[tuple[str, int]] = []
    cutovers, changes, proven = 0, 0, False
    for number, (what, which) in enumerate(told):
        stamp = Stamp(f"c{number}", "test", at)
        match what:
            case "cut over" if state.phase is not Phase.CUT_OVER:
                state = with_phase(state, Phase.CUT_OVER, stamp)
                cutovers, changes, proven = cutovers + 1, changes + 1, False
            case "roll back" if state.phase is Phase.CUT_OVER:
                state = with_phase(state, Phase.ROLLED_BACK, stamp)
                changes, proven = changes + 1, False
            case "sign" if state.phase is not Phase.CUT_OVER:
                state = sign_off(state, Signatory.DATA, stamp)
            case "compare":
                state = comparing(state, stamp, f"run {number}")
                under_way.append((stamp.change, changes))
            case "equal" | "unequal" | "nothing" if under_way:
                change, began_in = under_way.pop(which % len(under_way))
                wrong, names = int(what == "unequal"), int(what != "nothing")
                # Its time says nothing about the phase: it is in whole seconds.
                found = ComparisonRecord(
                    change, "run", "verify", at - timedelta(seconds=which), names, wrong, 0, ()
                )
                state = compared(state, stamp, found)
                proven = proven or (what == "equal" and began_in == changes)
        assert (state.equal_since_phase is not None) is proven
        assert first_pass_open(state) is (state.phase is Phase.CUT_OVER and cutovers == 1 and not proven)


def test_only_the_first_cutover_s_pass_goes_by_the_legacy_path(paths: Paths, commands: Commands) -> None:
    """Not a later one's, and not that of a migration which began on record after a cutover."""
    paths.put("a/1")
    opened = []
    for phase in (Phase.DUAL_WRITE, Phase.CUT_OVER, Phase.ROLLED_BACK, Phase.CUT_OVER):
        if phase is not Phase.DUAL_WRITE:
            commands.go(phase)
        opened.append(first_pass_open(commands.state))
    assert opened == [False, True, False, False]
    for phase in (Phase.CUT_OVER, Phase.ROLLED_BACK):
        at = datetime.now(UTC)
        paths.write_record(begun(State.initial(paths.migration), phase, Stamp("begun", "test", at)))
        assert not first_pass_open(commands.state)
    commands.go(Phase.CUT_OVER)
    assert not first_pass_open(commands.state)
