"""The command, as its user meets it: days, engines, table, report, exit codes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import storage
from test_import_test_bigquery import Stub, job_error, stub
from test_import_test_duckdb import A, line
from testing_commands import Ended, run_command, where
from testing_paths import Paths

import local_gcs
from backfill_job import __main__ as commands
from backfill_job.import_test import results
from local_gcs.waiting import HANGS
from shared.migration import Location, Migration

__all__ = ["stub"]

ROOT = Path(__file__).parent.parent.parent
B = ("8", 0, [])


Command = Callable[..., Ended]


@pytest.fixture
def import_test(paths: Paths, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs the command on the test's own pair of prefixes."""
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", paths.server.url)

    def run(*arguments: str, destination: str = "", pauses: Callable[[], object] = lambda: None) -> Ended:
        elsewhere = ("--destination", destination) if destination else ()
        quick = () if "--grace" in arguments else ("--grace", "0")
        words = (*where(paths), *elsewhere, *quick, *arguments)
        return run_command("import-test", *words, sleep=lambda _: pauses() and None)

    return run


def put(paths: Paths, day: str, name: str, data: bytes, *sides: str) -> None:
    for side in sides or ("source", "destination"):
        paths.put(f"qpi_answers_{day}/{name}", data, side=side)


def report(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((path / results.REPORT_NAME).read_text())
    return content


# --- days and exit codes --------------------------------------------------------------------------------------


def test_an_equal_day_ends_with_0_and_a_line_of_figures(import_test: Command, paths: Paths) -> None:
    """import-test --date: what the DAG would import is the same from both paths."""
    put(paths, "20240131", "user_id_7.jsonl", line(A))
    put(paths, "20240131", "user_id_8.jsonl", line(B))
    ended = import_test("--date", "20240131")
    assert (ended.code, ended.err) == (0, "")
    (figures,) = [text.split() for text in ended.out.splitlines() if text.strip().startswith("2024-01-31")]
    assert figures[:5] == ["2024-01-31", "equal", "2", "2", "2"]
    assert ended.out.splitlines()[-2] == "1 day tested; the new path gives what the legacy path gives."


def test_an_empty_new_path_ends_with_1(import_test: Command, paths: Paths) -> None:
    """The DAG ends green here; this does not, --allow-empty or not."""
    put(paths, "20240131", "user_id_7.jsonl", line(A), "source")
    for arguments in ((), ("--allow-empty",)):
        ended = import_test("--date", "20240131", *arguments)
        assert ended.code == 1
        assert "2024-01-31 absent on the new path, where the legacy path has 1 object" in ended.out
        assert ended.out.splitlines()[-2] == "1 day tested; 1 not right, see above."


def test_a_day_on_neither_path_ends_with_1_unless_that_is_allowed(import_test: Command) -> None:
    """Nothing equals nothing, and proves nothing: it has to be allowed, and is said even then."""
    refused = import_test("--date", "20240131")
    assert refused.code == 1
    assert "absent on both sides" in refused.out
    allowed = import_test("--date", "20240131", "--allow-empty")
    assert allowed.code == 0
    assert "1 day tested; nothing was compared: no object on either path, as allowed." in allowed.out


def test_one_wrong_day_of_several_ends_with_1(import_test: Command, paths: Paths, tmp_path: Path) -> None:
    """Every day is tested, whatever the one before gave; the report has them all."""
    put(paths, "20240130", "user_id_7.jsonl", line(A))
    put(paths, "20240131", "user_id_7.jsonl", line(A), "source")
    put(paths, "20240131", "user_id_7.jsonl", line(B), "destination")
    put(paths, "20240201", "user_id_7.jsonl", b'{"user_id":["7"]}')
    put(paths, "20240202", "user_id_7.jsonl", line(A))
    ended = import_test("--from", "20240130", "--to", "20240202", "--report", str(tmp_path / "r"))
    assert ended.code == 1
    assert ended.out.splitlines()[-2] == "4 days tested; 2 not right, see above."
    assert "2024-01-31 differs: 1 user" not in ended.out
    assert "2024-01-31 differs: as many rows on both sides (1), but not the same" in ended.out
    assert "    different user_id_7.jsonl" in ended.out
    found = report(tmp_path / "r")
    verdicts = [(day["day"], day["verdict"], day["passed"]) for day in found["days"]]
    assert verdicts == [
        ("2024-01-30", "equal", True),
        ("2024-01-31", "differs", False),
        ("2024-02-01", "not_loadable", False),
        ("2024-02-02", "equal", True),
    ]
    assert (found["complete"], found["passed"], found["error"]) == (True, False, None)


def test_the_report_says_who_was_compared_when_and_how(
    import_test: Command, paths: Paths, tmp_path: Path
) -> None:
    """What a gate needs: a schema version, the paths, the engine, the fingerprint's definition, the days asked for."""
    put(paths, "20240131", "user_id_7.jsonl", line(A))
    assert import_test("--date", "20240131", "--report", str(tmp_path / "r")).code == 0
    found = report(tmp_path / "r")
    assert found["run"].startswith("custom-")
    assert datetime.fromisoformat(found["started"]) <= datetime.fromisoformat(found["days"][0]["tested"])
    assert datetime.fromisoformat(found["days"][0]["tested"]) <= datetime.fromisoformat(found["finished"])
    assert found.pop("consumer").startswith("qpi ")
    del found["run"], found["started"], found["finished"], found["days"]
    assert found == {
        "schema": 1,
        "kind": "import-test",
        "engine": "duckdb",
        "fingerprint_definition": "rows-1",
        "legacy": paths.migration.source.uri,
        "new": paths.migration.destination.uri,
        "asked": ["2024-01-31"],
        "allow_empty": False,
        "complete": True,
        "passed": True,
        "error": None,
    }


def test_an_error_halfway_leaves_a_report_that_does_not_pass(
    import_test: Command, paths: Paths, tmp_path: Path
) -> None:
    """A listing that fails ends the run with 1 and one line; the days that are done stay on record, and the run does not pass."""
    for day in ("20240130", "20240131"):
        put(paths, day, "user_id_7.jsonl", line(A))
    # Two listings at the start, four a day.
    paths.server.set_faults(rules=[{"method": "storage.objects.list", "skip": 6, "count": 1, "status": 403}])
    ended = import_test("--from", "20240130", "--to", "20240131", "--report", str(tmp_path / "r"))
    assert ended.code == 1
    assert ended.err.count("\n") == 1
    assert "permission denied" in ended.err
    found = report(tmp_path / "r")
    assert [day["verdict"] for day in found["days"]] == ["equal"]
    assert (found["complete"], found["passed"]) == (False, False)
    assert "permission denied" in found["error"]


def test_a_day_that_keeps_changing_ends_with_1(import_test: Command, paths: Paths) -> None:
    """In flight is not equal."""
    put(paths, "20240131", "user_id_7.jsonl", line(A))
    put(paths, "20240131", "user_id_8.jsonl", line(B), "source")
    ended = import_test("--date", "20240131", "--grace", "3600")
    assert ended.code == 1
    assert "2024-01-31 in flight:" in ended.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "say which days"),
        (("--date", "2024-1-31"), "--date '2024-1-31' is not a day; write it as --date 2024-01-31"),
        (("--date", "20240230"), "is not a day"),
        (("--from", "20240101"), "belong together"),
        (("--last", "many"), "--last 'many'"),
        (("--date", "20240131", "--grace", "-1"), "--grace '-1'"),
        (("--date", "20240131", "--grace", "nan"), "--grace 'nan'"),
        (("--date", "20240131", "--grace", "1_0"), "--grace '1_0'"),
        (("--date", "20240131", "--grace", "+1"), "--grace '+1'"),
        (("--date", "20240131", "--engine", "bigquery"), "needs --dataset"),
        (("--date", "20240131", "--dataset", "scratch"), "PROJECT.DATASET is wanted"),
        (("--date", "20240131", "--dataset", "p.d", "--engine", "duckdb"), "for --engine bigquery"),
        (("--date", "20240131", "--location", "EU"), "for --engine bigquery"),
    ],
)
def test_a_wrong_question_ends_with_2_and_one_line(
    import_test: Command, arguments: tuple[str, ...], says: str
) -> None:
    """Nothing is started."""
    ended = import_test(*arguments)
    assert (ended.code, ended.out) == (2, "")
    assert says in ended.err
    assert ended.err.count("\n") == 1


def test_a_bucket_that_is_not_there_ends_with_2(import_test: Command) -> None:
    """Before any day is tested."""
    ended = import_test("--date", "20240131", destination="gs://nowhere-at-all/qpi_exports/")
    assert (ended.code, ended.out) == (2, "")
    assert "gs://nowhere-at-all: no such bucket" in ended.err


# --- engines --------------------------------------------------------------------------------------------------


def test_an_engine_that_is_not_installed_is_named_with_what_installs_it(
    import_test: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are optional; exit code 2 and one line."""
    for module, ours, arguments, says in (
        ("duckdb", "duckdb", (), "DuckDB is not installed; install it in the checkout with: pip install"),
        (
            "google.cloud.bigquery",
            "bigquery",
            ("--dataset", "p.d"),
            "google-cloud-bigquery is not installed; install it in the checkout with: pip install",
        ),
    ):
        monkeypatch.delitem(sys.modules, f"backfill_job.import_test.{ours}", raising=False)
        monkeypatch.setattr("builtins.__import__", _without(module))
        ended = import_test("--date", "20240131", *arguments)
        monkeypatch.undo()
        assert ended.code == 2
        assert says in ended.err
        assert ended.err.count("\n") == 1


def _without(missing: str) -> Callable[..., Any]:
    """An import that does not find one distribution."""
    real = __import__

    def found(name: str, globals_: Any = None, locals_: Any = None, names: Any = (), level: int = 0) -> Any:
        wanted = {name, *(f"{name}.{one}" for one in names or ())}
        if missing in wanted:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return real(name, globals_, locals_, names, level)

    return found


def test_neither_engine_is_imported_until_it_is_wanted() -> None:
    """The other commands start as fast as before, and where neither is installed."""
    code = (
        "import sys, backfill_job.__main__\n"
        "heavy = {'duckdb', 'google.cloud.bigquery'} & {*sys.modules}\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_dataset_makes_bigquery_the_engine(
    import_test: Command, paths: Paths, stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """--dataset alone says it; tables carry the run's name, and the report the engine."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stub.url)
    put(paths, "20240131", "user_id_7.jsonl", line(A))
    ended = import_test("--date", "20240131", "--dataset", "my-project.scratch", "--report", str(tmp_path))
    assert (ended.code, ended.err) == (0, "")
    found = report(tmp_path)
    assert found["engine"] == "bigquery"
    assert found["days"][0]["legacy"]["rows"] == found["days"][0]["new"]["rows"] == 3
    loads = [job["configuration"]["load"] for job in stub.sent("POST", "jobs$")[::2]]
    assert [load["sourceUris"] for load in loads] == [
        [f"{getattr(paths.migration, side).uri}qpi_answers_20240131/*.jsonl"]
        for side in ("source", "destination")
    ]
    run = found["run"].lower().replace("-", "_")
    assert [load["destinationTable"]["tableId"] for load in loads] == [
        f"import_test_{run}_{side}_qpi_answers_20240131_1" for side in ("legacy", "new")
    ]
    assert stub.tables == {}


def test_a_load_that_bigquery_refuses_ends_with_1_and_its_reason(
    import_test: Command, paths: Paths, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the DAG's load would fail."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stub.url)
    put(paths, "20240131", "user_id_7.jsonl", line(A))
    bad = {"reason": "invalid", "location": "gs://b/user_id_7.jsonl", "message": "No such field: extra."}
    stub.load_status = job_error("invalid", bad)
    ended = import_test("--date", "20240131", "--dataset", "my-project.scratch")
    assert ended.code == 1
    assert "not loadable on both sides: gs://b/user_id_7.jsonl: No such field: extra." in ended.out


def test_a_dataset_that_is_not_there_ends_with_2(
    import_test: Command, paths: Paths, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the operator has to make first."""
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stub.url)
    put(paths, "20240131", "user_id_7.jsonl", line(A))
    stub.faults["POST", "tables$"] = [(404, "notFound", "Not found: Dataset my-project:scratch")]
    ended = import_test("--date", "20240131", "--dataset", "my-project.scratch")
    assert ended.code == 2
    assert "there is no BigQuery dataset my-project.scratch" in ended.err


# --- as a process ---------------------------------------------------------------------------------------------


def test_it_is_a_command_of_the_job(capsys: pytest.CaptureFixture[str]) -> None:
    """python -m backfill_job import-test --help."""
    with pytest.raises(SystemExit) as ended:
        commands.main(["import-test", "--help"])
    assert ended.value.code == 0
    assert "--date YYYY-MM-DD" in capsys.readouterr().out


def test_ctrl_c_while_bigquery_works_deletes_the_table_and_says_so(
    paths: Paths, stub: Stub, tmp_path: Path
) -> None:
    """A process that waits for a job hears the signal at once, cleans up and ends with 1."""
    put(paths, "20240131", "user_id_7.jsonl", line(A))
    stub.load_status = {"state": "RUNNING"}
    environ = {
        **os.environ,
        "STORAGE_EMULATOR_HOST": paths.server.url,
        "BIGQUERY_EMULATOR_HOST": stub.url,
    }
    where = ["--source", paths.migration.source.uri, "--destination", paths.migration.destination.uri]
    what = ["--date", "20240131", "--dataset", "my-project.scratch", "--report", str(tmp_path)]
    with subprocess.Popen(
        [sys.executable, "-m", "backfill_job", "import-test", *where, *what],
        env=environ,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert stub.asked.wait(HANGS)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=HANGS)
        finally:
            process.kill()
    assert process.returncode == 1
    assert err == "import-test: stopped by SIGINT before its end\n"
    assert (stub.tables, len(stub.sent("DELETE"))) == ({}, 1)
    found = report(tmp_path)
    assert (found["complete"], found["passed"], found["days"]) == (False, False, [])


# --- a whole night --------------------------------------------------------------------------------------------

TODAY = datetime.now(UTC).date()
NIGHT = {
    name: (TODAY - timedelta(days=days)).strftime("%Y%m%d")
    for name, days in (("before", 2), ("day", 1), ("run", 0))
}


def test_a_whole_night_is_played_on_both_paths(import_test: Command, paths: Paths, tmp_path: Path) -> None:
    """Presence of the run's day, the load of the day before, the rows it appends; the gate's evidence stays as it is."""
    for day in ("day", "run"):
        put(paths, NIGHT[day], "user_id_7.jsonl", line(A))
    ended = import_test("--run-date", NIGHT["run"], "--nights", "1", "--report", str(tmp_path / "r"))
    assert ended.code == 0, ended.out + ended.err
    assert "legacy path: loads 1 file; new path: loads 1 file." in ended.out
    assert "Rows appended: 1 from the legacy path, 1 from the new path." in ended.out
    found = json.loads((tmp_path / "r" / "import-night.json").read_text())
    assert (found["right"], found["rows"], len(found["before"])) == (True, [1, 1], 1)
    assert not [
        name for name in paths.client.list_blobs(paths.migration.destination.bucket) if "latest" in name.name
    ]


def test_a_night_without_an_upload_of_its_own_day_is_lost(import_test: Command, paths: Paths) -> None:
    """On the legacy path the run loads; on the new one it takes the Empty branch and ends green."""
    put(paths, NIGHT["day"], "user_id_7.jsonl", line(A))
    put(paths, NIGHT["run"], "user_id_7.jsonl", line(A), "source")
    ended = import_test("--run-date", NIGHT["run"], "--nights", "1")
    assert ended.code == 1
    assert "new path: nothing of its day, so it ends green and loads nothing; 1 file LOST" in ended.out
    assert "Rows appended: 1 from the legacy path, 0 from the new path." in ended.out


def test_a_night_without_anything_to_load_proves_nothing(import_test: Command) -> None:
    """As a mistyped year: both paths take the same branch, and no row was compared."""
    words = ("--run-date", NIGHT["run"], "--nights", "1")
    ended = import_test(*words)
    assert (ended.code, ended.err) == (1, "")
    assert "nothing was compared" in ended.out
    assert import_test(*words, "--allow-empty").code == 0


def test_a_past_night_goes_by_what_lay_there_when_its_run_began(monkeypatch: pytest.MonkeyPatch) -> None:
    """The day's file was there; the first of the run's own day came after 02:00: the run ended green, and the day is lost."""
    tomorrow = TODAY + timedelta(days=1)
    with local_gcs.running() as server:
        client = storage.Client(
            project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.url}
        )
        paths = Paths(
            server, client, Migration(Location("legacy", "QPI_exports/"), Location("new", "qpi_exports/"))
        )
        for bucket in ("legacy", "new"):
            client.create_bucket(bucket)
        put(paths, f"{TODAY:%Y%m%d}", "user_id_7.jsonl", line(A))
        server.turn_clock(2 * 86_400)
        put(paths, f"{tomorrow:%Y%m%d}", "user_id_7.jsonl", line(A))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        after = tomorrow + timedelta(days=1)
        words = (*where(paths), "--run-date", f"{after:%Y%m%d}", "--nights", "1", "--grace", "0")
        ended = run_command("import-test", *words)
    assert ended.code == 1
    assert (
        f"  run of {tomorrow}, which loads {TODAY}: legacy path: nothing of its day before {after}"
        in ended.out
    )
    assert "1 past night: 0 with different branches; 1 lost on the legacy path" in ended.out


def test_an_upstream_that_fails_loads_nothing(import_test: Command, paths: Paths, tmp_path: Path) -> None:
    """On the path that lacks it; a glob in another bucket is the same for both."""
    file = tmp_path / "consumer.toml"
    more = '[[upstream]]\nglob = "parquet/{YYYYMMDD}/*.parquet"\n'
    file.write_text((ROOT / "consumers" / "qpi.toml").read_text() + more)
    for day in ("day", "run"):
        put(paths, NIGHT[day], "user_id_7.jsonl", line(A))
    paths.put(f"parquet/{NIGHT['run']}/1.parquet", b"x")
    words = ("--run-date", NIGHT["run"], "--nights", "1", "--consumer", str(file))
    ended = import_test(*words)
    assert ended.code == 1
    assert (
        f"qpi_exports/parquet/{NIGHT['run']}/*.parquet matches nothing, so nothing is loaded; 1 file LOST"
        in ended.out
    )
    file.write_text(
        file.read_text().replace(
            'glob = "parquet/', f'glob = "gs://{paths.migration.source.bucket}/QPI_exports/parquet/'
        )
    )
    assert import_test(*words).code == 0
