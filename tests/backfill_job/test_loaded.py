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
from testing_paths import Paths

from backfill_job.import_test.loaded import RECORD_NAME, read_loaded
from shared.errors import UsageError
from shared.gateway import Gateway
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
        self.run(f"INSERT INTO qpi BY NAME SELECT * FROM read_json('{file}', columns = {TYPES})")


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
    rows = row(day, "a"), row(day, "b'", ("Q1", ["x"]))
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
    script = (
        "import duckdb, shlex, sys\n"
        "duckdb.connect(sys.argv[1]).execute(\"SET TimeZone = 'UTC'\").execute(shlex.split(sys.argv[2])[0])\n"
    )
    for _ in range(2):
        subprocess.run(
            [sys.executable, "-c", script, str(warehouse.file), sql],
            input=b"".join(rows),
            check=True,
            capture_output=True,
        )
    again = loaded("--last", "3")
    assert again.code == 0, again.out


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
        (("--database", "/nowhere/at.all"), "there is no such file"),
        (("--location", "EU"), "for BigQuery"),
        (("--from", "20240102", "--to", "20240101"), "comes after"),
    ],
)
def test_what_cannot_start_is_one_line(loaded: Loaded, arguments: tuple[str, ...], said: str) -> None:
    ended = loaded(*arguments)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert said in ended.err
