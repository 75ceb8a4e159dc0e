"""The consumer's file: what it says, and what a wrong one ends with."""

from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import pytest
from test_import_test_duckdb import Held
from testing_commands import Commands

from backfill_job.consumer import PRESET, consumer_of, read_consumer, split_glob
from backfill_job.contents.rows import SCHEMA
from backfill_job.import_test.compare import Loaded, NotLoadable
from backfill_job.import_test.duckdb import VALUES, EmbeddedEngine
from backfill_job.run.stopping import Stop
from shared.errors import UsageError
from shared.migration import Environment, Location, Migration, qpi_exports

DAY = date(2024, 2, 1)
PARQUET = '[load]\nglob = "{YYYY}/*.parquet"\nformat = "parquet"\nkey = "customer"\n'
CSV = (
    '[load]\nglob = "{YYYY-MM-DD}.csv"\nformat = "csv"\n'
    'schema = [{name = "customer", type = "STRING"}, {name = "at", type = "TIMESTAMP"}]\n'
)


def written(folder: Path, text: str) -> Path:
    file = folder / "consumer.toml"
    file.write_text(text)
    return file


def test_the_preset_is_what_the_dag_does() -> None:
    """The exact schema of the row rules; presence of today, load of yesterday; each line is judged as BigQuery would."""
    qpi = read_consumer(PRESET)
    assert qpi.of_qpi
    assert [column.name for column in qpi.load.schema] == [field.name for field in SCHEMA]
    assert qpi.presence_folder(DAY) == "qpi_answers_20240201/"
    assert qpi.loaded_glob(qpi.day_of_run(DAY)) == "qpi_answers_20240131/*.jsonl"
    assert qpi.night_of(date(2024, 1, 31)) == (
        datetime(2024, 2, 1, 2, tzinfo=UTC),
        datetime(2024, 2, 1, 6, tzinfo=UTC),
    )
    assert (qpi.is_critical("a/B.JSONL"), qpi.is_critical("a.csv"), qpi.critical_kind) == (
        True,
        False,
        "JSONL",
    )


@pytest.mark.parametrize(
    ("glob", "parts"),
    [
        ("a/b/*.jsonl", ("a/b/", "", ".jsonl")),
        ("a/part-*.gz", ("a/", "part-", ".gz")),
        ("2024*", ("", "2024", "")),
        ("a/b.csv", ("a/", "b.csv", "")),
    ],
)
def test_a_glob_has_a_folder_a_head_and_a_tail(glob: str, parts: tuple[str, str, str]) -> None:
    assert split_glob(glob) == parts


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "Invalid value"),
        ("\xff", "consumer.toml"),
        ('name = "x"\n', "load"),
        ('name = "X y"\n[load]\nformat = "none"\nreason = "x"\n', "name"),
        ('name = "x"\ncritcal = ["*"]\n' + PARQUET, "critcal"),
        ('name = "x"\n[load]\nformat = "avro"\nglob = "*"\n', "avro"),
        ('name = "x"\n[load]\nformat = "none"\n', "load.reason is missing"),
        ('name = "x"\n[load]\nformat = "none"\nreason = "x"\nglob = "*"\n', "no load.glob"),
        ('name = "x"\n[load]\nformat = "csv"\nglob = "*.csv"\n', "load.schema is missing"),
        ('name = "x"\n[load]\nformat = "parquet"\n', "load.glob is missing"),
        ('name = "x"\n' + PARQUET.replace("{YYYY}", "{YEAR}"), "{YEAR} is none of"),
        ('name = "x"\n' + PARQUET.replace("{YYYY}/", "*/"), "more than one asterisk"),
        ('name = "x"\n' + PARQUET.replace("{YYYY}/", "gs://a/"), "not a name below"),
        ('name = "x"\n[presence]\nfolder = "a"\n' + PARQUET, "does not end in '/'"),
        ('name = "x"\n[presence]\nfolder = "*/a/"\n' + PARQUET, "has an asterisk"),
        ('name = "x"\n[presence]\nfolder = "{YYYY/"\n' + PARQUET, "a brace without its other one"),
        ('name = "x"\ncritical = []\n' + PARQUET, "length >= 1"),
        ('name = "x"\n' + CSV.replace('"STRING"', '"STRING", mode = "REPEATD"'), "REPEATD"),
        ('name = "x"\n' + CSV.replace('"at"', '"Customer"'), "is there twice"),
        ('name = "x"\n' + CSV + 'key = "custommer"\n', "custommer is not a column"),
        ('name = "x"\n' + CSV + 'time = "when"\n', "when is not a column"),
        ('name = "x"\n' + PARQUET + '[[upstream]]\nglob = "gs://lake"\n', "names no object"),
        ('name = "x"\n' + PARQUET + '[[upstream]]\nglob = "gs://"\n', "names no object"),
        ('name = "undescribed"\n' + PARQUET, "without a file"),
    ],
)
def test_a_wrong_file_is_one_line_and_exit_code_2(
    commands: Commands, tmp_path: Path, text: str, says: str
) -> None:
    """It names the file and what is wrong; nothing was started."""
    file = tmp_path / "consumer.toml"
    file.write_bytes(text.encode("latin-1"))
    for command in ("gate", "delete", "import-test"):
        days = ("--last", "1") if command == "import-test" else ()
        ended = commands.run(command, "--consumer", str(file), *days)
        assert (ended.code, ended.err.count("\n")) == (2, 1), ended.err
        assert "the consumer's file" in ended.err
        assert says in ended.err


def test_a_name_of_a_pair_is_none_of_another_meaning(commands: Commands) -> None:
    """Not an environment's, which would be typed as the preset's."""
    for name in ("dev", "custom", "qpi_exports", "Ä", "a b", "-x"):
        with pytest.raises(SystemExit):
            commands.run("gate", f"--name={name}")


@pytest.mark.parametrize(
    ("prefix", "label", "text"),
    [
        ("QPI_exports/", "custom", "DELETE_QPI_EXPORTS"),
        ("a/invoices-2019/", "custom", "DELETE_INVOICES_2019"),
        ("", "custom", "DELETE_OLD_BUCKET"),
        ("a/", "billing-archive", "DELETE_BILLING_ARCHIVE"),
    ],
)
def test_what_is_typed_names_the_pair(prefix: str, label: str, text: str) -> None:
    pair = Migration(Location("old-bucket", prefix), Location("new-bucket", "x/"), label=label)
    assert pair.deletion_text == text
    assert {qpi_exports(each).deletion_text for each in Environment} == {"DELETE_QPI_EXPORTS"}


def load(folder: Path, text: str, *objects: bytes) -> object:
    """What the embedded engine makes of the objects."""
    consumer = read_consumer(written(folder, 'name = "x"\n' + text))
    held = Held(objects)
    with EmbeddedEngine(held, readers=2, stop=Stop(), consumer=consumer) as engine:
        return engine.load(held.folder, "t")


def parquet(folder: Path, values: str) -> bytes:
    file = folder / "rows.parquet"
    duckdb.sql(f"COPY (SELECT * FROM (VALUES {values}) AS t(customer, amount)) TO '{file}' (FORMAT parquet)")  # noqa: S608
    return file.read_bytes()


def test_parquet_is_compared_by_its_rows(tmp_path: Path) -> None:
    """In other files and another order: the same; one value changed: not the same."""
    one = load(tmp_path, PARQUET, parquet(tmp_path, "('a', 1), ('b', 2), ('a', 3)"))
    assert isinstance(one, Loaded)
    assert (one.rows, one.users, one.fingerprint.definition) == (3, 2, VALUES)
    apart = load(tmp_path, PARQUET, parquet(tmp_path, "('a', 3), ('b', 2)"), parquet(tmp_path, "('a', 1)"))
    assert apart == one
    assert load(tmp_path, PARQUET, parquet(tmp_path, "('a', 1), ('b', 2), ('a', 4)")) != one
    torn = load(tmp_path, PARQUET, parquet(tmp_path, "('a', 1)")[:-9])
    assert isinstance(torn, NotLoadable)


def test_csv_has_the_types_of_the_schema(tmp_path: Path) -> None:
    """Two spellings of one moment are one row; a text where a time is cannot be loaded, and is not quoted."""
    head = b"customer,at\n"
    one = load(tmp_path, CSV, head + b"a,2024-01-01 12:00:00+00\n")
    assert one == load(tmp_path, CSV, head + b"a,2024-01-01 14:00:00+02\n")
    wrong = load(tmp_path, CSV, head + b"a,secret\n")
    assert isinstance(wrong, NotLoadable)
    assert "secret" not in wrong.reason


def test_a_type_that_is_not_known_cannot_start(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="GEOGRAPHY"):
        load(tmp_path, CSV.replace("TIMESTAMP", "GEOGRAPHY"), b"")


def test_a_pair_has_the_preset_only_where_its_layout_lies(commands: Commands) -> None:
    """On either path; a named file always counts."""
    paths, gateway = commands.paths, commands.gateway
    assert not consumer_of(None, paths.migration, gateway).described
    paths.put("qpi_answers_20240131/user_id_1.jsonl", side="destination")
    assert consumer_of(None, paths.migration, gateway).name == "qpi"
