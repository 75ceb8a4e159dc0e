"""The cutover gate: GO only when every check has passed on evidence, on a real server with a real mirror."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testing_commands import Commands
from testing_gate import FOLDER, everything_right
from testing_paths import Paths

from backfill_job.gate.checks import (
    Check,
    Limits,
    Standing,
    alive_check,
    import_test_check,
    lag_check,
    presence_check,
    verification_check,
)
from backfill_job.gate.run import GateResult
from demo.function import running_function
from shared.gateway import Gateway
from shared.phase import Phase
from shared.report.advice import Target
from shared.report.facts import Certificate, Lag, Level, NameVerdict, Remark, Verification
from shared.report.reading import read_verification


@pytest.fixture
def commands(paths: Paths, gateway: Gateway, tmp_path: Path) -> Commands:
    return Commands(paths, tmp_path, gateway)


@pytest.fixture
def mirror(paths: Paths, tmp_path: Path) -> Iterator[None]:
    """A real mirror process, fed by the server's events of the legacy bucket."""
    with running_function(paths.server.url, paths.migration, tmp_path / "mirror.log") as function:
        subscriber = paths.server.add_subscriber(
            function.url, types=["finalized"], bucket=paths.migration.source.bucket
        )
        yield
        paths.server.remove_subscriber(subscriber)
        function.kill()  # does not take the time that an orderly end does


def gate_json(paths: Paths, commands: Commands) -> dict[str, Any]:
    contents = commands.gateway.read(paths.migration.own_ref("latest", "gate.json"))
    assert contents is not None
    return dict(json.loads(contents))


def standings(content: dict[str, Any]) -> dict[str, str]:
    return {check["name"]: check["standing"] for check in content["checks"]}


@pytest.mark.usefixtures("mirror")
def test_go_when_everything_is_right_and_what_breaks_is_no_go(paths: Paths, commands: Commands) -> None:
    """GO, exit code 0, the result on record, the canary gone; then one thing after the other breaks it."""
    commands.pauses = lambda seconds: time.sleep(min(seconds, 0.05))
    arguments = everything_right(paths, commands)
    ended = commands.run("gate", *arguments)
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert ended.out.splitlines()[-2] == "GO"
    content = gate_json(paths, commands)
    assert content["go"] is True
    assert set(standings(content).values()) == {"pass"}
    for side in ("source", "destination"):
        assert not [name for name in paths.names(side=side) if "canary" in name]

    checkout = commands.folder / "checkout" / "dag.py"
    checkout.write_text(f'OLD = "{paths.migration.source.uri}"\n')
    _no_go(paths, commands, arguments, "references")
    checkout.unlink()

    letters = commands.folder / "letters.json"
    letters.write_text('[{"ackId": "x"}]')
    _no_go(paths, commands, arguments, "dead letters")
    letters.write_text("[]")
    os.utime(letters, (0, 0))
    _no_go(paths, commands, arguments, "dead letters")
    os.utime(letters)

    folder = paths.migration.destination
    paths.client.bucket(folder.bucket).blob("QPI_exports/stray").upload_from_string(b"x")
    _no_go(paths, commands, arguments, "mixed prefix")
    paths.client.bucket(folder.bucket).blob("QPI_exports/stray").delete()

    for side in ("source", "destination"):
        paths.delete(f"{FOLDER}user_id_7.jsonl", side=side)
    _no_go(paths, commands, arguments, "presence")


def _no_go(paths: Paths, commands: Commands, arguments: tuple[str, ...], name: str) -> None:
    ended = commands.run("gate", *arguments)
    assert ended.code == 1
    wrong = {check for check, standing in standings(gate_json(paths, commands)).items() if standing != "pass"}
    assert wrong == {name}, ended.out
    assert f"\n  {name}: " in ended.out, "the next step is missing"
    assert "NO-GO: 1 check did not pass" in ended.out


def test_on_a_bare_migration_nothing_passes_by_default(paths: Paths, commands: Commands) -> None:
    """What could not be run is NO-GO, not skipped."""
    paths.put("a/1")
    ended = commands.run("gate")
    assert ended.code == 1
    found = standings(gate_json(paths, commands))
    assert {name for name, standing in found.items() if standing == "pass"} == {"phase", "mixed prefix"}
    assert {name for name, standing in found.items() if standing == "NOT RUN"} == {
        "verification",
        "mirror lag",
        "mirror alive",
        "canary",
        "dead letters",
        "references",
        "import test",
    }


def test_without_a_mirror_the_canary_does_not_arrive_and_is_removed(paths: Paths, commands: Commands) -> None:
    """It waits for as long as it was told, and leaves nothing."""
    paths.put("a/1")
    commands.run("gate", "--canary", "0")
    found = standings(gate_json(paths, commands))
    assert (found["canary"], found["mirror alive"]) == ("FAIL", "FAIL")
    assert paths.names(side="source") == ["a/1"]


def test_a_canary_that_cannot_be_removed_is_named(paths: Paths, commands: Commands) -> None:
    """NO-GO, with the object's name: somebody has to remove it."""
    paths.put("a/1")
    paths.server.set_faults(rules=[{"method": "storage.objects.delete", "count": None, "status": 403}])
    ended = commands.run("gate", "--canary", "0")
    paths.server.clear_faults()
    assert ended.code == 1
    (left,) = [name for name in paths.names(side="source") if name.startswith("_canary/")]
    assert left in ended.out.replace("\n", "").replace(" ", "")


def test_an_excluded_canary_is_not_run(paths: Paths, commands: Commands) -> None:
    """It could never arrive; that says nothing about the mirror."""
    paths.put("a/1")
    commands.run("gate", "--canary", "0", "--exclude", "_canary/*")
    assert standings(gate_json(paths, commands))["canary"] == "NOT RUN"


def test_a_check_that_breaks_stops_no_other(paths: Paths, commands: Commands) -> None:
    """The state is damaged: those who need it are not run, with the reason; the others are."""
    paths.put("a/1")
    at = paths.migration.own_ref("state.json")
    commands.gateway.put(at, b"{}")
    ended = commands.run("gate")
    found = standings(gate_json(paths, commands))
    assert (found["phase"], found["sign-offs"], found["mixed prefix"]) == ("NOT RUN", "NOT RUN", "pass")
    assert "not a migration's state" in " ".join(ended.out.split())


@pytest.mark.parametrize("text", ["{}", "[", '{"a": 1}'])
def test_a_foreign_dead_letter_file_is_not_run(paths: Paths, commands: Commands, text: str) -> None:
    """Nothing is read into it."""
    paths.put("a/1")
    file = commands.folder / "letters.json"
    file.write_text(text)
    commands.run("gate", "--dead-letters", str(file))
    assert standings(gate_json(paths, commands))["dead letters"] == "NOT RUN"


def test_after_the_cutover_there_is_no_cutover_ahead(paths: Paths, commands: Commands) -> None:
    """The phase is a check like the others."""
    paths.put("a/1")
    commands.go(Phase.CUT_OVER)
    commands.run("gate")
    assert standings(gate_json(paths, commands))["phase"] == "FAIL"


@pytest.mark.parametrize(
    "arguments", [("--canary", "-1"), ("--max-age", "x"), ("--import-days", "0"), ("--today", "today")]
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    commands: Commands, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """As for every command."""
    with pytest.raises(SystemExit) as ended:
        commands.run("gate", *arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


# --- the judgements, as pure functions --------------------------------------------------------------------------

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
TARGET = Target("custom", "gs://legacy/QPI_exports/", "gs://new/qpi_exports/")
LIMITS = Limits()
LAG = Lag(NOW - timedelta(hours=1), 10, (), 0.2, 0.3, 0.4, 0.5, 0)


@pytest.fixture
def verification(paths: Paths, commands: Commands) -> Verification:
    """A clean one, as the command left it, but finished an hour before `NOW`."""
    for side in ("source", "destination"):
        paths.put("a/1", side=side)
    assert commands.run("verify").code == 0
    contents = commands.gateway.read(paths.migration.own_ref("latest", "verification.json"))
    assert contents is not None
    return replace(read_verification(json.loads(contents)), finished=NOW - timedelta(hours=1))


def test_a_verification_must_be_whole_clean_and_fresh(verification: Verification) -> None:
    """Anything less does not pass, and says what to do."""

    def standing(**changes: Any) -> Standing:
        check = verification_check(replace(verification, **changes), TARGET, NOW, LIMITS)
        assert check.standing is Standing.PASS or check.next_step
        return check.standing

    assert standing() is Standing.PASS
    assert standing(certificate=Certificate("a", "b")) is Standing.PASS
    assert verification_check(None, TARGET, NOW, LIMITS).standing is Standing.NOT_RUN
    for changes in (
        {"finished": NOW - LIMITS.max_age - timedelta(seconds=1)},
        {"finished": NOW + timedelta(seconds=1)},
        {"certificate": None},
        {"clean": False},
        {"exit_code": 1},
        {"counts": dict.fromkeys(NameVerdict, 0)},
        {"remarks": (Remark(Level.CRITICAL, "mixed_prefix", None, "here"),)},
        {"remarks": (Remark(Level.WARNING, "late_writes", None, "somebody"),)},
    ):
        assert standing(**changes) is Standing.FAIL, changes


@pytest.mark.parametrize(("which", "seconds"), [("p50", 5.1), ("p99", 60.1), ("max", 300.1)])
def test_a_lag_over_its_limit_fails(which: str, seconds: float) -> None:
    """Each of the three has its own."""
    assert lag_check(LAG, LIMITS).standing is Standing.PASS
    check = lag_check(replace(LAG, **{which: seconds}), LIMITS)
    assert (check.standing, f"{which} over" in check.evidence) == (Standing.FAIL, True)


def test_without_objects_there_is_no_lag_to_judge() -> None:
    """No evidence is no pass."""
    empty = replace(LAG, objects=0, p50=None, p90=None, p99=None, max=None)
    assert {lag_check(lag, LIMITS).standing for lag in (None, empty)} == {Standing.NOT_RUN}


def test_a_mirror_is_alive_by_its_canary_or_by_what_arrived_lately() -> None:
    """A failed canary outweighs what arrived before."""
    arrived, lost = Check("canary", Standing.PASS, ""), Check("canary", Standing.FAIL, "", "look")
    old = replace(LAG, since=NOW - timedelta(days=2))
    assert alive_check(None, None, arrived, NOW, LIMITS).standing is Standing.PASS
    assert alive_check(LAG, NOW, lost, NOW, LIMITS).standing is Standing.FAIL
    assert alive_check(LAG, NOW, None, NOW, LIMITS).standing is Standing.PASS
    assert alive_check(old, NOW, None, NOW, LIMITS).standing is Standing.NOT_RUN
    assert alive_check(None, None, None, NOW, LIMITS).standing is Standing.NOT_RUN


def report(**changes: Any) -> dict[str, Any]:
    days = [NOW.date() - timedelta(days=number) for number in range(1, 8)]
    return {
        "schema": 1,
        "legacy": TARGET.source,
        "new": TARGET.destination,
        "finished": (NOW - timedelta(hours=1)).isoformat(),
        "complete": True,
        "days": [{"day": day.isoformat(), "passed": True} for day in days],
        **changes,
    }


def test_an_import_test_must_cover_the_last_days() -> None:
    """Of this migration, complete, fresh, every day equal."""
    assert import_test_check(report(), TARGET, NOW, LIMITS).standing is Standing.PASS
    unequal = [*report()["days"][1:], {"day": report()["days"][0]["day"], "passed": False}]
    for changes in (
        {"days": report()["days"][1:]},
        {"days": unequal},
        {"legacy": "gs://other/QPI_exports/"},
        {"complete": False},
        {"finished": (NOW - timedelta(days=1)).isoformat()},
    ):
        assert import_test_check(report(**changes), TARGET, NOW, LIMITS).standing is Standing.FAIL, changes
    assert import_test_check(None, TARGET, NOW, LIMITS).standing is Standing.NOT_RUN


@given(
    st.dictionaries(
        st.sampled_from(["schema", "legacy", "new", "finished", "complete", "days"]),
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=5)
        | st.lists(st.dictionaries(st.text(max_size=3), st.none())),
        min_size=1,
    )
)
def test_a_damaged_import_test_never_passes(damage: dict[str, Any]) -> None:
    """Whatever stands there instead."""
    content = report(**damage)
    if content == report():
        return
    assert import_test_check(content, TARGET, NOW, LIMITS).standing is not Standing.PASS


def test_presence_names_the_trap() -> None:
    """Empty on the new path only: the DAG would end green without a row."""
    assert presence_check("gs://new/x/", objects_there=True, objects_legacy=False).standing is Standing.PASS
    trap = presence_check("gs://new/x/", objects_there=False, objects_legacy=True)
    assert (trap.standing, "Empty branch" in trap.evidence) == (Standing.FAIL, True)
    assert presence_check("gs://new/x/", objects_there=False, objects_legacy=False).standing is Standing.FAIL


@given(st.lists(st.sampled_from(Standing), max_size=12))
def test_go_only_if_every_check_passed(found: list[Standing]) -> None:
    """And never without any."""
    result = GateResult(tuple(Check(str(number), standing, "") for number, standing in enumerate(found)))
    assert result.go is (bool(found) and set(found) == {Standing.PASS})
