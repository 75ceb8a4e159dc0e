"""The embedded engine: DuckDB, reading through the project's own gateway. For tests, for the demo, and without BigQuery.

Objects are read concurrently, checked row by row against the exact schema (`rows`: DuckDB alone would take a number for a
text), written to a temporary file and loaded from there into a table of the schema's types. Table and file lie in a
temporary directory that goes with the engine; memory is bounded whatever the day holds.
"""

import json
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Protocol, Self

import duckdb

from backfill_job.import_test.comparison import Loaded, NotLoadable
from backfill_job.import_test.fingerprint import LANES, Fingerprint, duckdb_sql
from backfill_job.import_test.folders import Folder
from backfill_job.import_test.rows import BadLine, rows_of
from backfill_job.schema import SCHEMA, Field, Type
from backfill_job.stopping import Stop
from backfill_job.wording import shown
from shared.errors import CannotWrite
from shared.objects import ObjectRef

__all__ = ["EmbeddedEngine", "ReadingStore"]

MAX_OBJECTS_AHEAD = 256
MAX_BYTES_AHEAD = 64 * 1024 * 1024
"""What is read ahead of its turn, at most; a single larger object is read alone."""

MAX_LINE_BYTES = 16 * 1024 * 1024
"""DuckDB's longest JSON object; a larger limit would cost memory for every thread."""

MEMORY = "512MB"

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    # Nothing is fetched from anywhere: what is needed comes with the package.
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "memory_limit": MEMORY,
    "preserve_insertion_order": "false",
}


class ReadingStore(Protocol):
    """Reading whole objects."""

    def read(self, at: ObjectRef) -> bytes | None:
        """Give an object's contents, None only when there is none."""
        ...


class EmbeddedEngine:
    """An `Engine` in this process; a context manager.

    Args:
        store: Whom to read from, by several threads at once.
        readers: Objects read at once.
        stop: Whether somebody asked the process to stop.

    Raises:
        CannotWrite: There is no room for it.
    """

    name = "duckdb"

    def __init__(self, store: ReadingStore, *, readers: int, stop: Stop) -> None:
        self._store = store
        self._readers = readers
        self._stop = stop
        try:
            self._directory = TemporaryDirectory(prefix="import-test-")
            path = Path(self._directory.name)
            config = {**_CONFIG, "temp_directory": str(path / "spill")}
            self._database = duckdb.connect(str(path / "import_test.duckdb"), config=config)
        except (OSError, duckdb.Error) as error:
            raise _no_room(error) from error
        self._spool = path / "rows.jsonl"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._database.close()
        self._directory.cleanup()

    def load(self, folder: Folder, table: str) -> Loaded | NotLoadable:
        """See `Engine.load`.

        Raises:
            StorageError: An object could not be read.
            CannotWrite: There is no room for the day.
            Interrupted: Somebody stopped it.
        """
        try:
            problem = self._spool_rows(folder)
            return problem or self._sums(table)
        except (OSError, duckdb.Error) as error:
            raise _no_room(error) from error
        finally:
            with suppress(OSError):
                self._spool.unlink(missing_ok=True)

    def _spool_rows(self, folder: Folder) -> NotLoadable | None:
        """Write the rows of all files to the temporary file, up to the first that is none."""
        with (
            self._spool.open("w", encoding="utf-8", newline="\n") as spool,
            closing(self._contents(folder)) as contents,
        ):
            for uri, data in contents:
                self._stop.check()
                if data is None:
                    return NotLoadable(f"{uri} was deleted while it was read")
                for number, row in enumerate(rows_of(data), 1):
                    if isinstance(row, BadLine):
                        return NotLoadable(f"{uri} line {row.number}: {row.why}")
                    line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
                    if len(line.encode()) > MAX_LINE_BYTES:
                        return NotLoadable(
                            f"{uri} row {number} is longer than the embedded engine takes; use --engine bigquery"
                        )
                    spool.write(line + "\n")
        return None

    def _contents(self, folder: Folder) -> Generator[tuple[str, bytes | None], None, None]:
        """Read the files, several at once; give them in the listing's order, so that the first problem is always the same."""
        waiting: deque[tuple[str, int, Future[bytes | None]]] = deque()
        ahead = 0
        pool = ThreadPoolExecutor(self._readers, thread_name_prefix="import-test")
        try:
            for state in folder.files.values():
                while waiting and (ahead + state.size > MAX_BYTES_AHEAD or len(waiting) >= MAX_OBJECTS_AHEAD):
                    uri, size, data = waiting.popleft()
                    yield uri, data.result()
                    ahead -= size
                at = ObjectRef(folder.location.bucket, state.name)
                waiting.append((shown(at.uri), state.size, pool.submit(self._store.read, at)))
                ahead += state.size
            while waiting:
                uri, _, data = waiting.popleft()
                yield uri, data.result()
        finally:
            pool.shutdown(cancel_futures=True)

    def _sums(self, table: str) -> Loaded:
        database = self._database
        columns = ", ".join(f'"{field.name}" {_duckdb_type(field)}' for field in SCHEMA)
        spooled = {
            field.name: "BIGINT" if field.type is Type.TIMESTAMP else _duckdb_type(field) for field in SCHEMA
        }
        values = ", ".join(
            f"make_timestamp({field.name})" if field.type is Type.TIMESTAMP else field.name
            for field in SCHEMA
        )
        typed = ", ".join(f"{name}: '{kind}'" for name, kind in spooled.items())
        # A temporary table never outlives the connection.
        database.execute(f'CREATE TEMPORARY TABLE "{table}" ({columns})')
        try:
            database.execute(
                f"INSERT INTO \"{table}\" SELECT {values} FROM read_json(?, format = 'newline_delimited', columns = {{{typed}}},"  # noqa: S608 -- names of ours
                f" maximum_object_size = {MAX_LINE_BYTES + 1})",
                [str(self._spool)],
            )
            found = database.execute(duckdb_sql(table)).fetchone()
        finally:
            database.execute(f'DROP TABLE "{table}"')
        assert found is not None  # noqa: S101 -- an aggregate has one row
        rows, users, *lanes = (int(number) for number in found)
        assert len(lanes) == LANES  # noqa: S101 -- what the query asks for
        return Loaded(rows, users, Fingerprint.of_lanes(lanes))


def _duckdb_type(field: Field) -> str:
    """DuckDB's name for a column's type. BigQuery's TIMESTAMP is an instant; here it is a TIMESTAMP that is always UTC."""
    if field.type is Type.RECORD:
        kind = f"STRUCT({', '.join(f'{inner.name} {_duckdb_type(inner)}' for inner in field.fields)})"
    else:
        kind = {Type.STRING: "VARCHAR", Type.TIMESTAMP: "TIMESTAMP"}[field.type]
    return kind + ("[]" if field.repeated else "")


def _no_room(error: Exception) -> CannotWrite:
    # The first line only: later ones may show data.
    return CannotWrite(
        f"the embedded engine cannot work in the temporary directory (TMPDIR says where): {str(error).splitlines()[0]}"
    )
