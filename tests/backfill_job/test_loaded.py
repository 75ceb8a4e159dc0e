"""The command ``loaded``: the path against the consumer's own table, in a DuckDB file and against a stub of BigQuery."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import duckdb
import pytest
from test_import_test_bigquery import Stub, stub
from test_import_test_duckdb import line
from testing_commands import Ended, run_command, where
from testing_paths import Paths, json_lines

from shared.errors import UsageError
from shared.gateway import Gateway
from shared.loaded import RECORD_NAME, LoadedDay, LoadedVerdict, read_loaded
from shared.phase import Phase

__all__ = ["stub"]

TODAY = datetime.now(UTC).date()
NOON = datetime.combine(TODAY, time(12), UTC)
COLUMNS = (
    "user_id VARCHAR, submitted_at TIMESTAMP, answers STRUCT(question_id VARCHAR, answer_ids VARCHAR[])[]"
)
TYPES = (
    "{user_id: 'VARCHAR', submitted_at: 'TIMESTAMPTZ', "
    "answers: 'STRUCT(question_id VARCHAR, answer_ids VARCHAR[])[]'}"
)
Loaded = Callable[..., Ended]


class Warehouse:
    """The consumer's table, and a consumer who loads a day into it without looking."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.run(f"CREATE TABLE qpi ({COLUMNS}, loaded_at TIMESTAMP DEFAULT current_timestamp)")

    def run(self, sql: str) -> None:
        with duckdb.connect(str(self.file)) as database:
            database.execute("SET TimeZone = 'UTC'")
            database.execute(sql)

    def load(self, *rows: bytes) -> None:
        file = self.file.with_suffix(".jsonl")
        file.write_bytes(b"".join(rows))
        self.run(f"INSERT INTO qpi BY NAME SELECT * FROM read_json('{file}', columns = {TYPES})")  # noqa: S608 -- the test's own names


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse.duckdb")


@pytest.fixture
def loaded(paths: Paths, gateway: Gateway, warehouse: Warehouse, tmp_path: Path) -> Loaded:
    def run(*arguments: str) -> Ended:
        table = ("--database", str(warehouse.file), "--table", "qpi")
        words = (*where(paths), *table, "--report", str(tmp_path), *arguments)
        return run_command("loaded", *words, now=lambda: NOON)

    return run


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


def row(day: date, user: str, *answers: tuple[str, list[str]]) -> bytes:
    moment = datetime.combine(day, time(12), UTC)
    return line((user, int(moment.timestamp() * 1_000_000), list(answers)))


def put(paths: Paths, day: date, *rows: bytes, side: str = "source") -> None:
    for number, each in enumerate(rows):
        paths.put(f"qpi_answers_{day:%Y%m%d}/user_id_{number}.jsonl", each, side=side)


def verdicts(tmp_path: Path) -> dict[date, tuple[str, int, int, int]]:
    found = read_loaded((tmp_path / RECORD_NAME).read_bytes(), "it")
    return {day.day: (day.verdict.value, day.rows, day.loaded, day.table_only) for day in found.days}


def test_each_day_is_loaded_once_never_in_part_or_twice(
    paths: Paths, loaded: Loaded, warehouse: Warehouse, tmp_path: Path
) -> None:
    """By rows; exit code 1, a line for each day that is not right, and the command that loads what is missing."""

    def a(day: date) -> bytes:
        return row(day, "a")

    def b(day: date) -> bytes:
        return row(day, "b")

    for day in map(ago, (9, 8, 7, 6, 5)):
        put(paths, day, a(day), b(day))
    warehouse.load(a(ago(9)), b(ago(9)), row(ago(9), "c"))
    warehouse.load(a(ago(8)))
    warehouse.load(a(ago(7)), b(ago(7)), b(ago(7)))
    warehouse.load(row(ago(5), "a", ("Q1", [])), b(ago(5)))
    ended = loaded("--last", "9")
    assert (ended.code, ended.err) == (1, ""), ended.out
    assert verdicts(tmp_path) == {
        ago(9): ("once", 2, 2, 1),
        ago(8): ("partly", 2, 1, 0),
        ago(7): ("twice", 2, 2, 0),
        ago(6): ("never", 2, 0, 0),
        ago(5): ("partly", 2, 1, 1),
        **{ago(number): ("nothing", 0, 0, 0) for number in (4, 3, 2, 1)},
    }
    text = " ".join(ended.out.split())
    assert (
        f"{ago(6)} NEVER LOADED: none of 2 rows is in the table; 2 files arrived after the night's run began"
        in text
    )
    assert (
        f"{ago(5)} loaded in part: 1 of 2 rows not in the table; of 1 the table has another version" in text
    )
    assert f"{ago(7)} LOADED TWICE: 2 rows on the path, 1 more in the table" in text
    assert "4 of 9 days not loaded as they should be" in text


def test_the_command_it_prints_loads_what_is_missing_and_nothing_twice(
    paths: Paths, loaded: Loaded, warehouse: Warehouse
) -> None:
    """The part after the pipe, with what ``gcloud storage cat`` would give it; run twice, for safety."""
    day = ago(3)
    rows = row(day, "a"), row(day, "b'", ("Q1", ["x"])).replace(b"+00:00", b"+02:00")
    put(paths, day, *rows)
    warehouse.load(rows[0])
    ended = loaded("--last", "3")
    (command,) = [each for each in ended.out.splitlines() if "load what is missing" in each]
    cat, _, load = command.partition(": ")[2].partition(" | ")
    assert (
        cat
        == f"gcloud storage cat 'gs://{paths.migration.source.bucket}/QPI_exports/qpi_answers_{day:%Y%m%d}/*.jsonl'"
    )
    sql = load.partition(" ")[2].partition(" ")[2]
    script = "import duckdb, shlex, sys\nduckdb.connect(sys.argv[1]).execute(shlex.split(sys.argv[2])[0])\n"
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", script, str(warehouse.file), sql],
            input=b"".join(rows),
            check=True,
            capture_output=True,
        )
    again = loaded("--last", "3")
    assert again.code == 0, again.out


def test_rows_with_times_of_another_zone_are_looked_at_before_they_are_loaded_again(
    paths: Paths, loaded: Loaded, warehouse: Warehouse
) -> None:
    """The table has every row, two hours later: the command alone would load each a second time."""
    day = ago(3)
    put(paths, day, row(day, "a"))
    warehouse.load(row(day, "a"))
    warehouse.run("UPDATE qpi SET submitted_at = submitted_at + INTERVAL 2 HOURS")
    ended = loaded("--last", "3")
    assert ended.code == 1
    assert "look first: the table has other rows of this day" in ended.out


def test_a_view_is_compared_and_no_command_loads_into_it(
    paths: Paths, loaded: Loaded, warehouse: Warehouse
) -> None:
    """A view of a table takes no rows, so its table is asked for."""
    day = ago(3)
    put(paths, day, row(day, "a"), row(day, "b"))
    warehouse.load(row(day, "a"))
    warehouse.run("CREATE VIEW Recent AS FROM qpi")
    ended = loaded("--table", "recent", "--last", "3")
    assert "loaded in part: 1 of 2 rows" in ended.out
    assert "recent is a view; run this command again with --table" in ended.out
    assert "INSERT" not in ended.out


@pytest.mark.parametrize(
    ("rows", "says"), [(1, "NEVER LOADED: its 1 row is not in"), (2, "NEVER LOADED: none of 2 rows is in")]
)
def test_a_day_that_was_never_loaded_is_said_in_its_number(rows: int, says: str) -> None:
    """One row is not "none of 1"."""
    day = LoadedDay(ago(1), LoadedVerdict.NEVER, 1, 0, rows, 0, 0, 0, 0)
    assert day.sentence.startswith(f"{says} the table")


def test_where_nothing_was_compared_nothing_is_right(loaded: Loaded) -> None:
    """An empty path is the outage itself."""
    ended = loaded("--last", "3")
    assert ended.code == 1
    assert "nothing was compared" in ended.out


def test_a_day_that_cannot_be_read_stops_no_other(
    paths: Paths, loaded: Loaded, warehouse: Warehouse, tmp_path: Path
) -> None:
    """It is not judged, and never right."""
    put(paths, ago(2), row(ago(2), "a"))
    put(paths, ago(1), b"no json\n")
    warehouse.load(row(ago(2), "a"))
    assert loaded("--last", "2").code == 1
    assert {day: found[0] for day, found in verdicts(tmp_path).items()} == {
        ago(2): "once",
        ago(1): "not_judged",
    }


def test_a_row_filed_under_two_days_must_be_there_twice(
    paths: Paths, loaded: Loaded, warehouse: Warehouse, tmp_path: Path
) -> None:
    """And a row whose clock was days away is not called missing."""
    same, far = row(ago(2), "a"), row(ago(60), "b")
    put(paths, ago(2), same)
    put(paths, ago(1), same, far)
    warehouse.load(same)
    assert loaded("--last", "2").code == 1
    assert verdicts(tmp_path) == {ago(2): ("once", 1, 1, 0), ago(1): ("not_judged", 2, 0, 0)}


def test_before_the_cutover_the_legacy_path_counts_and_after_it_the_new_one(
    paths: Paths, loaded: Loaded, warehouse: Warehouse
) -> None:
    """The source of truth in the phase; --path names the other."""
    put(paths, ago(1), row(ago(1), "a"))
    put(paths, ago(1), row(ago(1), "b"), side="destination")
    warehouse.load(row(ago(1), "a"))
    assert loaded("--last", "1").code == 0
    assert loaded("--last", "1", "--path", "new").code == 1
    paths.begin(Phase.CUT_OVER)
    assert loaded("--last", "1").code == 1


def test_the_record_is_strict_and_a_damaged_one_is_refused(
    paths: Paths, loaded: Loaded, warehouse: Warehouse, tmp_path: Path, gateway: Gateway
) -> None:
    """Beside the state, the same as in the report; a verdict that its figures contradict is no evidence."""
    put(paths, ago(1), row(ago(1), "a"))
    warehouse.load(row(ago(1), "a"))
    assert loaded("--last", "1").code == 0
    contents = (tmp_path / RECORD_NAME).read_bytes()
    assert gateway.read(paths.migration.own_ref("latest", RECORD_NAME)) == contents
    for old, new in (
        (b'"loaded": 1', b'"loaded": 0'),
        (b'"passed": true', b'"passed": false'),
        (b'"kind": "loaded"', b'"kind": "x"'),
    ):
        with pytest.raises(UsageError, match="run `loaded` again"):
            read_loaded(contents.replace(old, new), "it")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--table", "nothing"), "nothing"),
        (("--table", "a b"), "is not a table"),
        (("--table", "a.b.c"), "is not a table"),
        (("--database", "/nowhere/at.all"), "there is no such file"),
        (("--location", "EU"), "for BigQuery"),
        (("--partition", "day"), "for BigQuery"),
        (("--from", "20240102", "--to", "20240101"), "comes after"),
    ],
)
def test_what_cannot_start_is_one_line(loaded: Loaded, arguments: tuple[str, ...], said: str) -> None:
    ended = loaded(*arguments)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert said in ended.err


# --- BigQuery ---------------------------------------------------------------------------------------------------

TABLE = "my-project.warehouse.qpi"


@pytest.fixture
def in_bigquery(
    paths: Paths, gateway: Gateway, stub: Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Loaded:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stub.url)
    stub.types = {"day": "DATE"}
    stub.scanned = 3_000_000
    answer(stub, ago(1), row_count=2, loaded_rows=2)
    put(paths, ago(1), row(ago(1), "a"), row(ago(1), "b"))

    def run(*arguments: str) -> Ended:
        words = (*where(paths), "--table", TABLE, "--report", str(tmp_path), "--last", "1", *arguments)
        return run_command("loaded", *words, now=lambda: NOON)

    return run


def answer(stub: Stub, day: date, **counts: int) -> None:
    """What the query answers."""
    names = ("row_count", "loaded_rows", "again", "changed", "outside", "table_only")
    stub.row = {"day": day.isoformat(), **{name: counts.get(name, 0) for name in names}}  # type: ignore[dict-item]


def test_in_bigquery_it_is_one_bounded_query_that_reads_the_path_as_an_external_table(
    paths: Paths, in_bigquery: Loaded, stub: Stub, tmp_path: Path
) -> None:
    """A free estimate first, said before the query; then one job, a SELECT; nothing is created, loaded or left."""
    ended = in_bigquery()
    assert (ended.code, ended.err) == (0, ""), ended.out
    assert verdicts(tmp_path) == {ago(1): ("once", 2, 2, 0)}
    assert "of which BigQuery scans 2.9 MiB" in ended.out.partition("verdict")[0]
    assert {(method, path.partition("?")[0].split("/")[1]) for method, path, _ in stub.requests} <= {
        ("POST", "jobs"),
        ("GET", "jobs"),
        ("GET", "queries"),
    }
    dry, real = stub.sent("POST", "jobs")
    assert dry["configuration"]["dryRun"] is True
    assert "dryRun" not in real["configuration"] or not real["configuration"]["dryRun"]
    query = real["configuration"]["query"]
    assert query["maximumBytesBilled"] == str(10 * 1024**3)
    external = query["tableDefinitions"]["path"]
    assert external["sourceUris"] == [
        f"gs://{paths.migration.source.bucket}/QPI_exports/qpi_answers_{ago(1):%Y%m%d}/*.jsonl"
    ]
    assert (external["sourceFormat"], external["maxBadRecords"]) == ("NEWLINE_DELIMITED_JSON", 0)
    assert f"`{TABLE}`" in query["query"]
    first, after = ago(1) - timedelta(days=3), ago(1) + timedelta(days=4)
    assert (
        f"submitted_at >= TIMESTAMP '{first} 00:00:00+00' AND submitted_at < TIMESTAMP '{after}"
        in query["query"]
    )


def test_a_scan_that_would_be_too_large_does_not_start(in_bigquery: Loaded, stub: Stub) -> None:
    """By BigQuery's own estimate and the listing; BigQuery would refuse it, too."""
    ended = in_bigquery("--maximum-bytes-billed", "3000000")
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "--maximum-bytes-billed allows" in ended.err
    assert len(stub.sent("POST", "jobs")) == 1


def test_a_day_that_is_missing_in_bigquery_has_the_commands_that_load_it(
    in_bigquery: Loaded, stub: Stub
) -> None:
    """Into a table that expires, then only what is missing."""
    answer(stub, ago(1), row_count=2)
    ended = in_bigquery("--partition", "loaded_on")
    assert ended.code == 1
    assert "NEVER LOADED: none of 2 rows" in ended.out
    scratch = f"warehouse.reload_qpi_{ago(1):%Y%m%d}"
    assert (
        f"bq load --project_id=my-project --noreplace --source_format=NEWLINE_DELIMITED_JSON {scratch} 'gs://"
        in ended.out
    )
    assert f"INSERT INTO `{TABLE}` SELECT * FROM `my-project.{scratch}` AS new WHERE NOT EXISTS" in ended.out  # noqa: S608 -- the test's own names
    assert f" AND loaded_on >= '{ago(1)}'" in stub.sent("POST", "jobs")[-1]["configuration"]["query"]["query"]


@pytest.mark.parametrize("more", [("--table", "qpi"), ("--partition", "a b")])
def test_a_name_that_is_none_never_gets_into_the_query(
    in_bigquery: Loaded, stub: Stub, more: tuple[str, ...]
) -> None:
    ended = in_bigquery(*more)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert stub.requests == []


def test_in_the_job_an_empty_night_is_an_event_with_an_alert(
    in_bigquery: Loaded, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line of JSON for the run, and one of severity ERROR for each day of which nothing was loaded."""
    monkeypatch.setenv("CLOUD_RUN_JOB", "verify")
    monkeypatch.setenv("CLOUD_RUN_EXECUTION", "verify-x")
    answer(stub, ago(1), row_count=2)
    ended = in_bigquery()
    events = {each["event"]: each for each in json_lines(ended.out)}
    assert (events["consumer_loaded"]["never"], events["consumer_loaded"]["clean"]) == (1, False)
    nothing = events["consumer_loaded_nothing"]
    assert (nothing["severity"], nothing["day"], nothing["rows"]) == ("ERROR", str(ago(1)), 2)
