"""The command ``gate`` on a real server with a real mirror: GO only when every check has passed on evidence."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from testing_commands import Commands, Ended, run_command, where
from testing_gate import FOLDER, everything_right, grant_access
from testing_paths import Paths

from demo.function import running_function
from local_gcs.waiting import HANGS, wait_until
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.objects import ObjectRef
from shared.phase import Phase


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
    commands.pauses = commands.mirrors_work
    arguments = everything_right(paths, commands)
    ended = commands.run("gate", *arguments)
    assert (ended.code, ended.err) == (0, ""), ended.out
    *_, verdict, following = ended.out.splitlines()
    assert re.fullmatch(r"GO: (\d+) of \1 passed\.", verdict)
    assert following.startswith("Next: python -m backfill_job cutover --source ")
    assert following.endswith(" --by NAME")
    content = gate_json(paths, commands)
    assert content["go"] is True
    assert {name for name, standing in standings(content).items() if standing != "PASS"} == {
        "loaded",
        "readers",
    }
    assert standings(content)["loaded"] == "NOT APPLICABLE", "no table of the consumer is named"
    assert standings(content)["readers"] == "NOT APPLICABLE", "no audit log is named"
    for side in ("source", "destination"):
        assert not [name for name in paths.names(side=side) if "canary" in name]

    checkout = commands.folder / "checkout" / "dag.py"
    checkout.write_text(f'OLD = "{paths.migration.source.uri}"\n')
    _no_go(paths, commands, arguments, "references")
    checkout.unlink()  # the gate has recorded it: a reader that is gone is not clean
    _no_go(paths, commands, arguments, "references")
    checkout.write_text(f'OLD = "{paths.migration.destination.uri}"\n')

    letters = commands.folder / "letters.json"
    letters.write_text('[{"ackId": "x"}]')
    _no_go(paths, commands, arguments, "dead letters")
    letters.write_text("[]")
    _no_go(paths, commands, arguments, "dead letters")
    count = paths.server.undelivered()
    letters.write_text(count.replace('"int64Value": "0"', '"int64Value": "1"'))
    _no_go(paths, commands, arguments, "dead letters")
    letters.write_text(re.sub(r'"endTime": "20\d\d', '"endTime": "2001', count))
    _no_go(paths, commands, arguments, "dead letters")
    letters.write_text(count)

    folder = paths.migration.destination
    paths.client.bucket(folder.bucket).blob("QPI_exports/stray").upload_from_string(b"x")
    _no_go(paths, commands, arguments, "mixed prefix")
    paths.client.bucket(folder.bucket).blob("QPI_exports/stray").delete()

    policy = paths.bucket("destination").get_iam_policy(requested_policy_version=3)
    policy.bindings = [{"role": "roles/storage.objectUser", "members": {"group:exporters@example.com"}}]
    paths.bucket("destination").set_iam_policy(policy)
    _no_go(paths, commands, arguments, "access")
    override = ("--override", "access", "--reason", "the exporter wrote there", "--by", "Ada")
    assert commands.run("gate", *arguments, *override).code == 0
    assert standings(gate_json(paths, commands))["access"] == "OVERRIDDEN"
    grant_access(paths)

    for side in ("source", "destination"):
        paths.delete(f"{FOLDER}user_id_7.jsonl", side=side)
    _no_go(paths, commands, arguments, "presence")


def _no_go(paths: Paths, commands: Commands, arguments: tuple[str, ...], name: str) -> None:
    ended = commands.run("gate", *arguments)
    assert ended.code == 1
    found = standings(gate_json(paths, commands))
    wrong = {check for check, standing in found.items() if standing in {"FAIL", "NOT RUN"}}
    assert wrong == {name}, ended.out
    (check,) = (each for each in gate_json(paths, commands)["checks"] if each["name"] == name)
    *_, verdict, following = ended.out.splitlines()
    assert check["next_step"].split()[0] in ended.out.partition(f" {name}: ")[2], "the next step is missing"
    assert re.fullmatch(r"NO-GO: \d+ of \d+ passed, 1 (failed|not run)\.", verdict)
    assert following.startswith("Next, when that is fixed: python -m backfill_job gate --source ")


def test_on_a_bare_migration_nothing_passes_by_default(paths: Paths, commands: Commands) -> None:
    """What could not be run is NO-GO, not skipped."""
    paths.put("qpi_answers_20240131/user_id_1.jsonl")
    ended = commands.run("gate")
    assert ended.code == 1
    found = standings(gate_json(paths, commands))
    assert {name for name, standing in found.items() if standing == "PASS"} == {
        "phase",
        "mixed prefix",
        *LIFECYCLE,
    }
    assert {name for name, standing in found.items() if standing == "NOT RUN"} == {
        "verification",
        "names",
        "mirror lag",
        "mirror alive",
        "canary",
        "dead letters",
        "references",
        "import test",
        "access",
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
    assert (found["phase"], found["sign-offs"], found["mixed prefix"]) == ("NOT RUN", "NOT RUN", "PASS")
    assert "not a migration's state" in " ".join(ended.out.split())


@pytest.mark.parametrize("text", ["{}", "[", '{"a": 1}', '{"timeSeries": []}'])
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


def test_after_the_deletion_the_gate_recommends_no_copy(paths: Paths, commands: Commands) -> None:
    """The legacy path is gone, and `migrate` cannot bring anything from it."""
    paths.put("a/1")
    assert commands.run("verify").code == 1
    commands.go(Phase.CUT_OVER, Phase.DELETING, Phase.DELETED)
    ended = commands.run("gate")
    assert standings(gate_json(paths, commands))["verification"] == "FAIL"
    assert "migrate" not in ended.out


@pytest.mark.parametrize(
    "arguments",
    [
        ("--canary", "-1"),
        ("--max-age", "x"),
        ("--import-days", "0"),
        ("--today", "today"),
        ("--repo", "/nowhere/at/all"),
        ("--writer", "exporter@app.iam.gserviceaccount.com"),
        ("--writer", "user:ada@example.com,"),
        ("--reader", "user:ada@example.com;group:b@example.com"),
        ("--reader", "allUsers"),
        ("--import-test", __file__),
    ],
)
def test_bad_arguments_are_one_line_and_exit_code_2(
    commands: Commands, arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """As for every command."""
    with pytest.raises(SystemExit) as ended:
        commands.run("gate", *arguments)
    assert ended.value.code == 2
    assert arguments[0] in capsys.readouterr().err


# --- what is left, and where it is looked for -------------------------------------------------------------------


def test_the_result_says_what_was_asked_and_how_it_came_out(paths: Paths, commands: Commands) -> None:
    """In ``--report`` as beside the state: the run, the limits, every check with its evidence and its next step."""
    paths.put("a/1")
    commands.run("gate", "--report", str(commands.folder / "r"), "--lag-max", "7", "--max-age", "60")
    content = gate_json(paths, commands)
    assert json.loads((commands.folder / "r" / "gate.json").read_bytes()) == {
        **content,
        "finished": json.loads((commands.folder / "r" / "gate.json").read_bytes())["finished"],
    }
    assert (content["format"], content["verdict"]) == ("qpi-exports-migration/gate/1", "NO-GO")
    assert (content["exit_code"], content["source"]) == (1, paths.migration.source.uri)
    assert (content["limits"]["lag_max"], content["limits"]["max_age"]) == (7.0, 60.0)
    failing = [check for check in content["checks"] if check["standing"] in {"FAIL", "NOT RUN"}]
    assert all(check["next_step"] for check in failing)
    assert content["failing"] == [check["name"] for check in failing]


def test_without_a_record_nothing_is_left(paths: Paths, commands: Commands) -> None:
    """``--no-record``: for whoever may only read."""
    paths.put("a/1")
    commands.run("gate", "--no-record")
    assert commands.gateway.read(paths.migration.own_ref("latest", "gate.json")) is None


def test_a_result_that_cannot_be_recorded_is_shown_and_no_go(paths: Paths, commands: Commands) -> None:
    """The table is not lost with it."""
    paths.put("a/1")
    paths.server.set_faults(rules=[{"method": "storage.objects.insert", "count": None, "status": 403}])
    ended = commands.run("gate", "--report", str(commands.folder / "r"))
    assert (ended.code, ended.err) == (1, "")
    found = standings(json.loads((commands.folder / "r" / "gate.json").read_bytes()))
    assert found["record"] == "NOT RUN"
    assert "\nNOT RUN  record: " in ended.out


def test_an_import_test_may_lie_elsewhere(paths: Paths, commands: Commands) -> None:
    """``--import-test`` DIR or gs://…/; a place without one is no pass."""
    paths.put("qpi_answers_20240131/user_id_1.jsonl")
    for place in (commands.folder / "r", f"gs://{paths.migration.destination.bucket}/reports"):
        commands.run("gate", "--import-test", str(place))
        assert standings(gate_json(paths, commands))["import test"] == "NOT RUN"
    (commands.folder / "r" / "import-test.json").write_text("{")
    bucket = paths.migration.destination.bucket
    commands.gateway.put(ObjectRef(bucket, "reports/import-test.json"), b"{")
    for place, said in (
        (str(commands.folder / "r"), str(commands.folder / "r")),
        (f"gs://{bucket}/reports", f"gs://{bucket}/reports/"),
    ):
        ended = commands.run("gate", "--import-test", place)
        assert "import-test.json: no JSON" in " ".join(ended.out.split())
        (check,) = (each for each in gate_json(paths, commands)["checks"] if each["name"] == "import test")
        assert check["evidence"].startswith(f"--import-test {said}: import-test.json: no JSON")


@pytest.mark.parametrize(
    ("name", "contents", "check"),
    [
        ("verification.json", b"{", "verification"),
        ("verification.json", b"[]", "verification"),
        ("verification.json", b'{"format": "qpi-exports-migration/verification/2"}', "verification"),
        ("import-test.json", b"null", "import test"),
        ("import-test.json", b"\xff", "import test"),
    ],
)
def test_damaged_evidence_is_not_run(
    paths: Paths, commands: Commands, name: str, contents: bytes, check: str
) -> None:
    """It is never read as "there is none", nor as anything else."""
    paths.put("a/1")
    commands.gateway.put(paths.migration.own_ref("latest", name), contents)
    assert commands.run("gate").code == 1
    (found,) = [one for one in gate_json(paths, commands)["checks"] if one["name"] == check]
    assert (found["standing"], f"latest/{name}: " in found["evidence"]) == ("NOT RUN", True)


@pytest.mark.parametrize(
    ("rule", "names"),
    [
        (
            {"method": "storage.objects.download", "name_prefix": "_migration/qpi_exports/state"},
            {"phase", "verification", "names", "references", "readers", "sign-offs"},
        ),
        (
            {"method": "storage.objects.download", "name_prefix": "_migration/qpi_exports/latest/v"},
            {"verification"},
        ),
        (
            {"method": "storage.objects.download", "name_prefix": "_migration/qpi_exports/latest/i"},
            {"import test"},
        ),
        ({"method": "storage.objects.list", "name_prefix": "qpi_exports/qpi_answers_"}, {"presence"}),
    ],
)
def test_a_storage_error_hits_only_the_checks_that_need_the_answer(
    paths: Paths, commands: Commands, rule: dict[str, Any], names: set[str]
) -> None:
    """Not run, with the error as evidence."""
    paths.put("qpi_answers_20240131/user_id_1.jsonl")
    paths.server.set_faults(rules=[{**rule, "count": None, "status": 403}])
    assert commands.run("gate").code == 1
    paths.server.clear_faults()
    checks = gate_json(paths, commands)["checks"]
    assert {one["name"] for one in checks if "permission denied" in one["evidence"]} == names
    assert {one["standing"] for one in checks if one["name"] in names} == {"NOT RUN"}


LIFECYCLE = ("record-lifecycle", "path-lifecycle")


@pytest.mark.parametrize(
    ("condition", "wrong"),
    [
        ({"age": 365}, LIFECYCLE),
        ({"age": 365, "matchesPrefix": ["_migration/"]}, LIFECYCLE[:1]),
        ({"age": 365, "matchesPrefix": ["qpi_exports/"]}, LIFECYCLE[1:]),
        ({"numNewerVersions": 3}, ()),
    ],
    ids=str,
)
def test_a_rule_that_can_delete_is_no_go_and_only_the_one_about_the_path_can_be_overridden(
    paths: Paths, commands: Commands, condition: dict[str, Any], wrong: tuple[str, ...]
) -> None:
    """The record of the override is complete, and the other check stays as it is."""
    paths.put("a/1")
    paths.set_rules(condition)
    commands.run("gate")
    found = standings(gate_json(paths, commands))
    assert {name for name in LIFECYCLE if found[name] == "FAIL"} == {*wrong}
    over = ("--override", "path-lifecycle", "--reason", "it is agreed", "--by", "Ada")
    ended = commands.run("gate", *over)
    checks = {one["name"]: one for one in gate_json(paths, commands)["checks"]}
    assert checks["record-lifecycle"]["standing"] == found["record-lifecycle"]
    path = checks["path-lifecycle"]
    if "path-lifecycle" not in wrong:
        assert (path["standing"], "override" in path) == ("PASS", False)
        return
    assert path["standing"] == "OVERRIDDEN"
    assert path["override"] == {
        "check": "path-lifecycle",
        "reason": "it is agreed",
        "by": "Ada",
        "evidence": path["evidence"],
    }
    assert "path-lifecycle" not in gate_json(paths, commands)["failing"]
    assert "by Ada: it is agreed" in ended.out
    (log,) = [log for log in (commands.folder / "logs").glob("*") if "check_passed_over" in log.read_text()]
    assert '"it is agreed"' in log.read_text()


def test_a_bucket_whose_settings_may_not_be_read_is_not_run(paths: Paths, commands: Commands) -> None:
    """Both checks block, and no reason helps where the record may be in danger."""
    paths.put("a/1")
    bucket = paths.migration.destination.bucket
    rule = {"method": "storage.buckets.get", "bucket": bucket, "count": None, "status": 403}
    paths.server.set_faults(rules=[rule])
    commands.run("gate", "--override", "path-lifecycle", "--reason", "it is agreed", "--by", "Ada")
    paths.server.clear_faults()
    checks = {one["name"]: one for one in gate_json(paths, commands)["checks"]}
    assert [checks[name]["standing"] for name in LIFECYCLE] == ["NOT RUN", "OVERRIDDEN"]
    assert "permission denied" in checks["record-lifecycle"]["evidence"]


@pytest.mark.parametrize("command", ["gate", "cutover"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("--override", "path-lifecycle"),
        ("--override", "path-lifecycle", "--reason", "a\nb"),
        ("--override", "path-lifecycle=...", "--by", "Ada"),
        ("--override", "access=a", "--override", "access", "--reason", "b", "--by", "Ada"),
    ],
)
def test_an_override_without_a_reason_is_refused_before_anything_is_read(
    paths: Paths, commands: Commands, command: str, arguments: tuple[str, ...]
) -> None:
    """It goes on record; so one line of text, and a name."""
    by = ("--by", "Ada", "--yes") if command == "cutover" else ()
    ended = commands.run(command, *arguments, *by)
    assert (ended.code, ended.out) == (2, "")
    assert re.search("--reason|say why|a check twice", ended.err)
    assert paths.server.stats()["methods"] == {}


@pytest.mark.parametrize("name", ["record-lifecycle", "verification", "canary"])
def test_no_other_check_of_the_gate_can_be_overridden(
    commands: Commands, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """There is no such argument."""
    with pytest.raises(SystemExit):
        commands.run("gate", "--override", name, "--reason", "x", "--by", "Ada")
    assert "invalid choice" in capsys.readouterr().err


# --- in other phases, and with other data -----------------------------------------------------------------------


def test_after_the_cutover_no_canary_is_written_and_late_writes_are_shown(
    paths: Paths, commands: Commands
) -> None:
    """It would be taken for a late writer's; those are named, from a verification since."""
    paths.put("a/1")
    commands.go(Phase.CUT_OVER)
    commands.run("gate", "--canary")
    found = standings(gate_json(paths, commands))
    assert (found["phase"], found["canary"], found["late writes"]) == ("FAIL", "NOT RUN", "NOT RUN")
    assert commands.run("verify").code == 1
    commands.run("gate")
    assert standings(gate_json(paths, commands))["late writes"] == "PASS"
    paths.put("a/late")
    assert commands.run("verify").code == 1
    ended = commands.run("gate")
    assert standings(gate_json(paths, commands))["late writes"] == "FAIL"
    assert "'a/late'" in ended.out
    assert paths.names(side="source") == ["a/1", "a/late"]


def test_the_mixed_prefix_is_found_by_the_verification_and_by_the_gate(
    paths: Paths, commands: Commands
) -> None:
    """Also where every name is equal; both name it, the gate with an object."""
    for side in ("source", "destination"):
        paths.put("a/1", side=side)
    paths.bucket("destination").blob("QPI_exports/qpi_answers_20240101/x.jsonl").upload_from_string(b"x")
    assert commands.run("verify").code == 1
    commands.run("gate")
    checks = {check["name"]: check for check in gate_json(paths, commands)["checks"]}
    assert (checks["verification"]["standing"], checks["mixed prefix"]["standing"]) == ("FAIL", "FAIL")
    assert "in another case" in checks["verification"]["evidence"]
    assert "such as 'QPI_exports/qpi_answers_20240101/x.jsonl'" in checks["mixed prefix"]["evidence"]


def test_the_dry_run_and_the_status_look_for_the_mixed_prefix_themselves(
    paths: Paths, commands: Commands
) -> None:
    """In the words of the verification, also where the latest one is older, and not once it is gone."""
    for side in ("source", "destination"):
        paths.put("a/1", side=side)
    assert commands.run("verify").code == 0
    stray = paths.bucket("destination").blob("QPI_exports/qpi_answers_20240101/x.jsonl")
    said = "critical: gs://.*/QPI_exports/ holds objects: the destination's name in another case"
    for command in ("migrate",), ("migrate", "--details"), ("status",):
        stray.upload_from_string(b"x")
        assert re.search(said, " ".join(run_command(*command, *where(paths)).out.split())), command
        stray.delete()
        assert "in another case" not in run_command(*command, *where(paths)).out, command
    stray.upload_from_string(b"x")
    commands.run("verify")
    assert run_command("status", *where(paths)).out.count("in another case") == 1


def test_a_verification_with_other_patterns_is_not_this_migration_s(paths: Paths, commands: Commands) -> None:
    """What it left out, nobody has compared."""
    for side in ("source", "destination"):
        paths.put("a/1", side=side)
    paths.put("b/1")
    assert commands.run("verify", "--exclude", "b/*").code == 0
    commands.run("gate")
    assert standings(gate_json(paths, commands))["verification"] == "FAIL"
    commands.run("gate", "--exclude", "b/*")
    assert standings(gate_json(paths, commands))["verification"] == "PASS"


def test_after_a_rollback_with_both_mirrors_the_canary_arrives_and_nothing_of_it_comes_back(
    paths: Paths, commands: Commands, tmp_path: Path
) -> None:
    """The reverse mirror brings what is new on the new path back to the legacy one; every event comes twice, in any order."""
    commands.pauses = commands.mirrors_work
    paths.put("a/1")
    commands.go(Phase.CUT_OVER, Phase.ROLLED_BACK)
    both = (("source", {}), ("destination", {"MIRROR_REVERSE": "true"}))
    with ExitStack() as stack:
        subscribers = []
        for side, environ in both:
            log = tmp_path / f"{side}.log"
            function = stack.enter_context(running_function(paths.server.url, paths.migration, log, environ))
            stack.callback(function.kill)
            bucket = getattr(paths.migration, side).bucket
            subscribers.append(
                paths.server.add_subscriber(function.url, types=["finalized"], bucket=bucket, concurrency=4)
            )
        paths.server.set_faults(
            seed=3, rewrite_gap_ms=20, events={"duplicate": 1, "delay_ms": 100, "reorder": True}
        )
        commands.run("gate", "--canary", "20")
        paths.server.wait_for_events()
        assert standings(gate_json(paths, commands))["canary"] == "PASS"
        for subscriber in subscribers:
            paths.server.remove_subscriber(subscriber)
    for side, _ in both:
        assert not [name for name in paths.names(side=side) if "canary" in name]


def test_ctrl_c_while_it_waits_for_the_canary_removes_it(paths: Paths, tmp_path: Path) -> None:
    """As a process: exit code 1, one line, nothing left."""
    paths.put("a/1")
    migration = paths.migration
    where = ["--source", migration.source.uri, "--destination", migration.destination.uri]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "backfill_job",
            "gate",
            *where,
            "--canary",
            "3600",
            "--log-dir",
            str(tmp_path),
        ],
        env={**os.environ, "STORAGE_EMULATOR_HOST": paths.server.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            wait_until(
                lambda: process.poll() is not None or len(paths.names(side="source")) == 2,
                bool,
                "the canary",
                still=HANGS,
            )
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=HANGS)
        finally:
            process.kill()
    assert (process.returncode, err.splitlines()[-1]) == (1, "gate: stopped by SIGINT before its end")
    assert "/_canary/" in out
    assert "GO" not in out.replace("QPI", "")
    assert paths.names(side="source") == ["a/1"]


def test_a_source_that_differs_from_the_destination_in_case_only_is_no_mixed_prefix(
    paths: Paths, commands: Commands, gateway: Gateway, tmp_path: Path
) -> None:
    """Both in one bucket: the legacy prefix is where it belongs, and a third spelling is not."""
    bucket = paths.migration.destination.bucket
    own = Paths(
        paths.server,
        paths.client,
        Migration(Location(bucket, "QPI_exports/"), Location(bucket, "qpi_exports/")),
    )
    own.put("a/1")
    here = Commands(own, tmp_path, gateway)
    here.run("gate")
    found = {check["name"]: check for check in gate_json(own, here)["checks"]}
    assert found["mixed prefix"] == {
        "name": "mixed prefix",
        "standing": "PASS",
        "evidence": f"nothing but gs://{bucket}/qpi_exports/, in any case",
        "next_step": "",
    }
    paths.client.bucket(bucket).blob("Qpi_Exports/stray").upload_from_string(b"x")
    here.run("gate")
    found = {check["name"]: check for check in gate_json(own, here)["checks"]}
    assert found["mixed prefix"]["standing"] == "FAIL"
    assert f"gs://{bucket}/Qpi_Exports/ (such as 'Qpi_Exports/stray')" in found["mixed prefix"]["evidence"]
    assert "QPI_exports/" not in found["mixed prefix"]["evidence"]


def advice(ended: Ended) -> dict[str, str]:
    """What to do, by check that blocks: the lines under it, in one."""
    blocks = re.findall(r"(?m)^(?:FAIL   |NOT RUN)  ([^:]+):.*\n((?: {9}.*\n)+)", ended.out)
    return {name: " ".join(lines.split()) for names, lines in blocks for name in names.split(", ")}


def test_without_any_record_it_says_how_to_begin(paths: Paths, commands: Commands) -> None:
    """The whole command, to paste."""
    paths.put("a/1")
    paths.forget()
    ended = commands.run("gate", "--no-record")
    assert "\nNOT RUN  phase, verification, " in f"\n{ended.out}", "what is the same is said once"
    steps = advice(ended)
    for name in ("phase", "verification", "names", "sign-offs"):
        assert " python -m backfill_job begin --source gs://" in steps[name], name
    assert " python -m backfill_job verify --source gs://" in steps["mirror lag"]


def test_a_lag_of_before_this_phase_does_not_count(paths: Paths, commands: Commands) -> None:
    """A rollback compares both paths, so the verification passes; the mirror was measured before it."""
    for number in range(3):
        for side in ("source", "destination"):
            paths.put(f"a/{number}", side=side)
    assert commands.run("verify").code == 0
    assert standings(gate_json_after(paths, commands))["mirror lag"] == "PASS"
    commands.go(Phase.CUT_OVER)
    assert commands.run("rollback", "--by", "Ada", "--yes", "--ungoverned").code == 0
    found = standings(gate_json_after(paths, commands))
    assert (found["verification"], found["mirror lag"], found["mirror alive"]) == (
        "PASS",
        "NOT RUN",
        "NOT RUN",
    )
    assert commands.run("verify").code == 0
    assert standings(gate_json_after(paths, commands))["mirror lag"] == "NOT RUN", "the pass brought them all"
    for side in ("source", "destination"):
        paths.put("a/3", side=side)
    assert commands.run("verify").code == 0
    assert standings(gate_json_after(paths, commands))["mirror lag"] == "PASS"


def test_a_lag_that_was_measured_long_ago_does_not_count(paths: Paths, commands: Commands) -> None:
    """An execution is the newest comparison; the verification that measured the lag is older than --max-age."""
    for side in ("source", "destination"):
        paths.put("a/1", side=side)
    assert commands.run("verify").code == 0
    assert commands.run("migrate", "--execute", "--yes", "--ungoverned").code == 0
    commands.run("gate", "--max-age", "0.001")
    check = next(each for each in gate_json(paths, commands)["checks"] if each["name"] == "mirror lag")
    assert (check["standing"], "too long ago" in check["evidence"]) == ("NOT RUN", True)


def test_after_the_cutover_it_advises_no_canary(paths: Paths, commands: Commands) -> None:
    """A canary would be refused there."""
    paths.put("a/1")
    commands.go(Phase.CUT_OVER)
    steps = advice(commands.run("gate", "--no-record"))
    for name in ("canary", "mirror alive", "mirror lag"):
        assert steps[name].endswith("nothing: there is no cutover ahead")


def gate_json_after(paths: Paths, commands: Commands) -> dict[str, Any]:
    commands.run("gate")
    return gate_json(paths, commands)
