"""The embedded engine: DuckDB, which reads through the project's own gateway. It needs no BigQuery.

Objects are read concurrently, as they are stored. Each line is judged by `backfill_job.contents.rows`, as `verify --contents`
judges it, because DuckDB alone would accept a number as a text and would drop unknown fields. The rows go to a temporary
file, and DuckDB loads them from there into a table of the schema's types. Table and file are in a temporary directory that
is deleted with the engine. Memory is bounded, whatever the size of the day.

Files in another form than the preset's are not judged line by line. DuckDB reads them as they are, and the fingerprint is over each
row's JSON (`VALUES`). What BigQuery would refuse of them is not known here.

It is a module of its own because DuckDB is optional.
"""

import json
import shutil
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Protocol, Self

import duckdb

from backfill_job.consumer import Column, Consumer, Format
from backfill_job.contents.lines import ContentsReport
from backfill_job.contents.reader import LIMITS, ReadLimits, StoredBytes
from backfill_job.contents.rows import SCHEMA, Field, Row, Type
from backfill_job.import_test.compare import (
    DEFINITION,
    DIGITS,
    LANES,
    MODULUS,
    Fingerprint,
    Loaded,
    NotJudged,
    NotLoadable,
    Outcome,
)
from backfill_job.import_test.day import Folder
from backfill_job.import_test.loaded import SIMPLE_NAME
from backfill_job.run.stopping import Stop
from shared.errors import CannotWrite, UsageError
from shared.objects import ObjectRef, ObjectState
from shared.text import shown
from shared.verification import Severity

__all__ = ["DIGEST_SQL", "KEY_SQL", "EmbeddedEngine", "ReadingStore", "no_room", "values_columns"]

MAX_OBJECTS_AHEAD = 256
MAX_BYTES_AHEAD = 64 * 1024 * 1024
"""What is read ahead of its turn, at most. A single larger object is read alone."""

MAX_LINE_BYTES = 16 * 1024 * 1024
"""DuckDB's longest JSON object. No row is longer. The longest line that is judged has 2 MiB, and a row takes at most six
times as much as its line (`_without_nulls`)."""

MEMORY = "512MB"

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    # DuckDB downloads nothing: the package contains what is needed.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": MEMORY,
    "preserve_insertion_order": "false",
}


class ReadingStore(Protocol):
    """Reading whole objects."""

    def read_stored(self, at: ObjectRef) -> bytes | None:
        """An object's bytes as they are stored; None only when there is no such object."""
        ...


class EmbeddedEngine:
    """An `Engine` in this process; a context manager.

    Args:
        store: Read from by several threads at once.
        consumer: What it loads; None for the preset's rows.

    Attributes:
        database: The temporary database, in which `keep` makes tables.

    Raises:
        CannotWrite: The temporary directory has no room.
        UsageError: The consumer's schema has a type that is not known here.
    """

    name = "duckdb"

    def __init__(
        self,
        store: ReadingStore,
        *,
        readers: int,
        stop: Stop,
        limits: ReadLimits = LIMITS,
        consumer: Consumer | None = None,
    ) -> None:
        self._values = None if consumer is None or consumer.of_qpi else values_sql(consumer)
        self._store = store
        self._limits = limits
        self._readers = readers
        self._stop = stop
        try:
            self._directory = TemporaryDirectory(prefix="import-test-")
            path = Path(self._directory.name)
            config = {**_CONFIG, "temp_directory": str(path / "spill")}
            self.database = duckdb.connect(str(path / "import_test.duckdb"), config=config)
            self.database.execute("SET TimeZone = 'UTC'")
        except (OSError, duckdb.Error) as error:
            raise no_room(error) from error
        self._spool = path / "rows.jsonl"
        self._files = path / "files"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.database.close()
        self._directory.cleanup()

    def load(self, folder: Folder, table: str) -> Outcome:
        """See `Engine.load`.

        Raises:
            StorageError: An object could not be read.
            CannotWrite: The temporary directory has no room for the day.
            Interrupted: A stop was requested.
        """
        with self._room():
            if self._values is not None:
                return self._load_values(folder, self._values)
            return self._spool_rows(folder) or self._sums(table)

    @contextmanager
    def _room(self) -> Iterator[None]:
        """A piece of work in the temporary directory. It leaves no spooled rows."""
        try:
            yield
        except (OSError, duckdb.Error) as error:
            raise no_room(error) from error
        finally:
            with suppress(OSError):
                self._spool.unlink(missing_ok=True)

    def _load_values(self, folder: Folder, sql: str) -> Outcome:
        self._files.mkdir()
        try:
            with closing(self._contents(folder)) as contents:
                for number, (uri, _, data) in enumerate(contents):
                    self._stop.check()
                    if data is None:
                        return NotLoadable(f"{uri} was deleted while it was read")
                    (self._files / f"{number:09}").write_bytes(data)
            found = self.database.execute(sql, [str(self._files / "*")]).fetchone()
        except _UNREADABLE as error:  # its message may quote data
            return NotLoadable(f"{shown(folder.glob)}: DuckDB cannot read it ({type(error).__name__})")
        finally:
            shutil.rmtree(self._files)
        return _loaded(found, VALUES)

    def _spool_rows(self, folder: Folder) -> NotLoadable | NotJudged | None:
        """Write the rows of all files to the temporary file, up to the first line that is not loadable.

        Returns:
            Why the load would fail, or else why it is not known; None where every line loads.
        """
        not_judged: NotJudged | None = None
        packed: dict[bool, str] = {}
        with (
            self._spool.open("w", encoding="utf-8", newline="\n") as spool,
            closing(self._contents(folder)) as contents,
        ):

            def write(row: Row) -> None:
                spool.write(json.dumps(_without_nulls(row), ensure_ascii=False, separators=(",", ":")) + "\n")

            for uri, state, data in contents:
                self._stop.check()
                if data is None:
                    return NotLoadable(f"{uri} was deleted while it was read")
                reading = StoredBytes(state, self._limits, write)
                for _ in reading.take(data):
                    self._stop.check()
                report = reading.report()
                if reason := _reason(uri, report, Severity.ERROR):
                    return NotLoadable(reason)
                if data:
                    packed.setdefault(reading.packed, uri)
                reason = _reason(uri, report, Severity.NOT_JUDGED)
                not_judged = not_judged or (NotJudged(reason) if reason else None)
        if len(packed) > 1:
            return NotLoadable(f"{packed[True]} is gzip and {packed[False]} is not; one load cannot mix them")
        return not_judged

    def _contents(self, folder: Folder) -> Generator[tuple[str, ObjectState, bytes | None], None, None]:
        """Read several files at once. They come in the listing's order, so the first problem is always the same."""
        waiting: deque[tuple[ObjectState, Future[bytes | None]]] = deque()
        ahead = 0

        def at(state: ObjectState) -> ObjectRef:
            return ObjectRef(folder.location.bucket, state.name)

        pool = ThreadPoolExecutor(self._readers, thread_name_prefix="import-test")
        try:
            for state in folder.files.values():
                while waiting and (ahead + state.size > MAX_BYTES_AHEAD or len(waiting) >= MAX_OBJECTS_AHEAD):
                    first, data = waiting.popleft()
                    yield shown(at(first).uri), first, data.result()
                    ahead -= first.size
                waiting.append((state, pool.submit(self._store.read_stored, at(state))))
                ahead += state.size
            while waiting:
                first, data = waiting.popleft()
                yield shown(at(first).uri), first, data.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def keep(self, folder: Folder, table: str) -> NotLoadable | NotJudged | None:
        """Load the preset's rows of a folder into a new temporary table, which stays; gives why that is not possible.

        Raises:
            StorageError, CannotWrite, Interrupted: As in `load`.
        """
        with self._room():
            problem = self._spool_rows(folder)
            if problem is None:
                self._fill(table)
        return problem

    def _sums(self, table: str) -> Loaded:
        try:
            self._fill(table)
            found = self.database.execute(duckdb_sql(table)).fetchone()
        finally:
            self.database.execute(f'DROP TABLE IF EXISTS "{table}"')
        return _loaded(found, DEFINITION)

    def _fill(self, table: str) -> None:
        """Make a temporary table of the spooled rows. It never outlives the connection."""
        columns = ", ".join(f'"{field.name}" {_duckdb_type(field)}' for field in SCHEMA)
        times = {field.name for field in SCHEMA if field.type is Type.TIMESTAMP}
        values = ", ".join(
            f"make_timestamp({each.name})" if each.name in times else each.name for each in SCHEMA
        )
        kinds = {each.name: "BIGINT" if each.name in times else _duckdb_type(each) for each in SCHEMA}
        typed = ", ".join(f"{name}: '{kind}'" for name, kind in kinds.items())
        self.database.execute(f'CREATE TEMPORARY TABLE "{table}" ({columns})')
        self.database.execute(
            f"INSERT INTO \"{table}\" SELECT {values} FROM read_json(?, format = 'newline_delimited', columns = {{{typed}}},"  # noqa: S608 -- names of ours
            f" maximum_object_size = {MAX_LINE_BYTES + 1})",
            [str(self._spool)],
        )


def _loaded(found: tuple[int, ...] | None, definition: str) -> Loaded:
    assert found is not None  # noqa: S101 -- an aggregate has one row
    rows, users, *lanes = (int(number) for number in found)
    assert len(lanes) == LANES  # noqa: S101 -- what the query asks for
    return Loaded(rows, users, replace(Fingerprint.of_lanes(lanes), definition=definition))


def _reason(uri: str, report: ContentsReport, severity: Severity) -> str:
    """The first problem of a severity as a person reads it; empty where there is none."""
    problem = report.first(severity)
    if problem is None:
        return ""
    line = f" line {problem.line}" if problem.line else ""
    return f"{uri}{line}: {problem.kind.replace('_', ' ')}: {problem.detail}"


def _without_nulls(row: Row) -> Row:
    """A row without the fields that are NULL, which DuckDB reads as NULL: shorter where a line says almost nothing."""
    answers = [
        {name: value for name, value in answer.items() if value is not None} for answer in row["answers"]
    ]
    return {name: value for name, value in row.items() if value is not None} | {"answers": answers}


def _duckdb_type(field: Field) -> str:
    """DuckDB's name for a column's type. BigQuery's TIMESTAMP is an instant; here a TIMESTAMP is always in UTC."""
    if field.type is Type.RECORD:
        kind = f"STRUCT({', '.join(f'{inner.name} {_duckdb_type(inner)}' for inner in field.fields)})"
    else:
        kind = {Type.STRING: "VARCHAR", Type.TIMESTAMP: "TIMESTAMP"}[field.type]
    return kind + ("[]" if field.repeated else "")


def duckdb_sql(table: str) -> str:
    """The query that gives row count, users and the sums of the lanes of a table, whose name has no quote (see `compare`)."""
    return f"""
WITH digests AS (SELECT user_id, {DIGEST_SQL} AS digest FROM "{table}")
SELECT count(*) AS row_count, count(DISTINCT user_id) AS users, {_LANES_SQL}
FROM digests
"""  # noqa: S608 -- the table's name is one of ours


KEY_SQL = """concat(
    coalesce(strlen(user_id) || ':' || user_id, '-'),
    coalesce(epoch_us(submitted_at)::VARCHAR, '-'), ';')"""
"""User and time of a row, as the text that the fingerprint begins with."""

DIGEST_SQL = f"""sha256(concat({KEY_SQL},
    len(coalesce(answers, [])), ';',
    array_to_string(list_transform(answers, lambda answer: concat(
      coalesce(strlen(answer.question_id) || ':' || answer.question_id, '-'),
      len(coalesce(answer.answer_ids, [])), ';',
      array_to_string(list_transform(answer.answer_ids, lambda answer_id: strlen(answer_id) || ':' || answer_id), '')
    )), '')))"""
"""The SHA-256 of a row. A NULL list of a table counts as an empty one, because BigQuery has no other."""

_LANES_SQL = ", ".join(
    f"coalesce(sum(('0x' || substr(digest, {1 + lane * DIGITS}, {DIGITS}))::BIGINT) % {MODULUS}, 0) AS lane_{lane}"
    for lane in range(LANES)
)

VALUES = "values-1"
"""The fingerprint's definition for rows of other forms: the SHA-256 of the row as DuckDB writes it as JSON."""

_UNREADABLE = (
    duckdb.DataError,
    duckdb.InvalidInputException,
    duckdb.BinderException,
    duckdb.NotSupportedError,
)
"""What DuckDB raises for a file that is not in the consumer's form."""

_READERS = {
    Format.PARQUET: "read_parquet(?)",
    Format.CSV: "read_csv(?, auto_detect = false, header = {header}, columns = {{{texts}}})",
    Format.JSONL: "read_json(?, format = 'newline_delimited', columns = {{{columns}}})",
}

_TYPES = {
    "STRING": "VARCHAR", "BYTES": "BLOB", "INT64": "BIGINT", "INTEGER": "BIGINT", "FLOAT64": "DOUBLE", "FLOAT": "DOUBLE",
    "BOOL": "BOOLEAN", "BOOLEAN": "BOOLEAN", "DATE": "DATE", "TIME": "TIME", "DATETIME": "TIMESTAMP", "TIMESTAMP": "TIMESTAMPTZ",
    "NUMERIC": "DECIMAL(38, 9)",
}  # fmt: skip
"""BigQuery's types and DuckDB's. DuckDB's JSON reader drops the offset of a plain TIMESTAMP."""


def values_sql(consumer: Consumer) -> str:
    """The query that sums up the rows of files in the consumer's form; its parameter is the files' glob.

    Raises:
        UsageError: A column has a type that is not known here, or no simple name.
    """
    load = consumer.load
    texts = ", ".join(f"'{_simple(each.name)}': 'VARCHAR'" for each in load.schema)
    header = str(load.csv_header).lower()
    rows = _READERS[load.format].format(columns=values_columns(consumer), texts=texts, header=header)
    fields = "*"
    if load.format is Format.CSV:
        # DuckDB's reader makes NULL of a text that is not a time; a cast refuses it.
        casts = (f'CAST("{each.name}" AS {_type_of(each)}) AS "{each.name}"' for each in load.schema)
        fields = ", ".join(casts)
    users = f'count(DISTINCT "{_simple(load.key)}")' if load.key else "count(DISTINCT digest)"
    return f"""
WITH files AS (SELECT {fields} FROM {rows}),
digests AS (SELECT *, sha256(to_json(files)::VARCHAR) AS digest FROM files)
SELECT count(*) AS row_count, {users} AS users, {_LANES_SQL}
FROM digests
"""  # noqa: S608 -- checked names


def values_columns(consumer: Consumer) -> str:
    """The consumer's schema as DuckDB's readers take it.

    Raises:
        UsageError: As in `values_sql`.
    """
    return ", ".join(f"'{_simple(each.name)}': '{_type_of(each)}'" for each in consumer.load.schema)


def _simple(name: str) -> str:
    if not SIMPLE_NAME.fullmatch(name):
        raise UsageError(f"the consumer's column {name!r} has no simple name (letters, digits, '_')")
    return name


def _type_of(column: Column) -> str:
    if column.type in {"RECORD", "STRUCT"}:
        kind = f"STRUCT({', '.join(f'{_simple(each.name)} {_type_of(each)}' for each in column.fields)})"
    elif column.type in _TYPES:
        kind = _TYPES[column.type]
    else:
        why = f"has type {column.type!r}; known: {', '.join(_TYPES)}"
        raise UsageError(f"the consumer's column {column.name!r} {why}")
    return kind + ("[]" if column.mode == "REPEATED" else "")


def no_room(error: Exception) -> CannotWrite:
    """The error for a temporary directory in which the engine cannot work."""
    # Only the first line: later lines may quote data.
    return CannotWrite(
        f"the embedded engine cannot work in the temporary directory (TMPDIR says where): {str(error).splitlines()[0]}"
    )
