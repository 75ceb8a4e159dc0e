"""The consumer's table in a DuckDB file, compared with the path in this process: the path's rows as `duckdb` judges them.

The file is attached read-only. Of the path's rows only digests stay, in the engine's temporary database. It is a module of its own
because DuckDB is optional.
"""

import shlex
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import duckdb

from backfill_job.consumer import Consumer
from backfill_job.import_test.duckdb import DIGEST_SQL, KEY_SQL, EmbeddedEngine, no_room, values_columns
from backfill_job.import_test.loaded import MARGIN, SAME_ROW, SIMPLE_NAME, FoundDay, PathDay, join_sql
from backfill_job.run.stopping import Stop
from shared.errors import UsageError
from shared.text import shown

__all__ = ["DuckDbTable"]


class DuckDbTable:
    """A `TableEngine`.

    Args:
        table: ``TABLE`` or ``SCHEMA.TABLE`` in it.

    Raises:
        UsageError: There is no such file or table, or it lacks a column.
    """

    name = "duckdb"

    def __init__(
        self, engine: EmbeddedEngine, database: Path, table: str, consumer: Consumer, stop: Stop
    ) -> None:
        parts = table.split(".")
        if len(parts) > 2 or not all(map(SIMPLE_NAME.fullmatch, parts)):  # noqa: PLR2004 -- a schema and its table
            raise UsageError(
                f"--table {table!r} is not a table of a DuckDB file; TABLE or SCHEMA.TABLE is wanted"
            )
        if not database.is_file():
            raise UsageError(f"--database {database}: there is no such file")
        self.table = f"{database}: {table}"
        self._engine, self._file, self._name = engine, database, table
        self._consumer, self._stop = consumer, stop
        self._schema = ".".join(f'"{part}"' for part in parts)
        quoted = str(database).replace("'", "''")
        try:
            engine.database.execute(f"ATTACH '{quoted}' AS consumer (TYPE duckdb, READ_ONLY)")
            engine.database.execute(
                f"SELECT {KEY_SQL}, {DIGEST_SQL} FROM consumer.{self._schema} LIMIT 0"  # noqa: S608 -- checked names
            )
            views = "SELECT count(*) FROM duckdb_views() WHERE database_name = 'consumer' AND lower(view_name) = ?"
            self._is_view = engine.database.execute(views, [parts[-1].lower()]).fetchall() != [(0,)]
        except duckdb.Error as error:
            why = str(error).splitlines()[0]
            raise UsageError(f"--database {database} --table {table}: {why}") from error

    def scanned(self, days: Sequence[PathDay]) -> int | None:
        """See `TableEngine`: a file costs nothing."""
        del days
        return None

    def compare(self, days: Sequence[PathDay]) -> dict[date, FoundDay]:
        """See `TableEngine`.

        Raises:
            StorageError, CannotWrite, Interrupted: There is no verdict.
        """
        try:
            return self._compared(days)
        except duckdb.Error as error:
            raise no_room(error) from error

    def _compared(self, days: Sequence[PathDay]) -> dict[date, FoundDay]:
        database, found = self._engine.database, {}
        first, last = days[0].day - MARGIN, days[-1].day + MARGIN
        database.execute(
            "CREATE OR REPLACE TEMPORARY TABLE digests (day DATE, k VARCHAR, digest VARCHAR, outside BOOLEAN)"
        )
        for day in days:
            self._stop.check()
            if not day.folder.files:
                continue
            problem = self._engine.keep(day.folder, "rows_of_day")
            if problem is not None:
                found[day.day] = FoundDay(problem=problem.reason)
                continue
            database.execute(
                f"INSERT INTO digests SELECT DATE '{day.day}', {KEY_SQL}, {DIGEST_SQL},"  # noqa: S608 -- names of ours
                f" coalesce(submitted_at::DATE NOT BETWEEN DATE '{first}' AND DATE '{last}', false) FROM rows_of_day"
            )
            database.execute("DROP TABLE rows_of_day")
        table_rows = (
            f"SELECT submitted_at::DATE AS day, {KEY_SQL} AS k, {DIGEST_SQL} AS digest FROM consumer.{self._schema}"  # noqa: S608
            f" WHERE submitted_at IS NULL OR submitted_at::DATE BETWEEN DATE '{first}' AND DATE '{last}'"
        )
        query = join_sql("SELECT * FROM digests", table_rows, days[0].day, days[-1].day)
        for day, *counts in database.execute(query).fetchall():
            if day is not None and day not in found:
                found[day] = FoundDay(*counts)
        return found

    def again(self, day: PathDay) -> str:
        """See `TableEngine`; of a view, which takes no rows, what to do instead."""
        if self._is_view:
            return f"{self._name} is a view; run this command again with --table and the table behind it"
        columns = values_columns(self._consumer)
        sql = (
            f"SET TimeZone = 'UTC'; INSERT INTO {self._schema} BY NAME SELECT * FROM read_json('/dev/stdin', format = 'newline_delimited', "  # noqa: S608
            f"columns = {{{columns}}}) AS new WHERE NOT EXISTS (FROM {self._schema} AS t WHERE {SAME_ROW})"
        )
        cat = shlex.join(["gcloud", "storage", "cat", shown(day.folder.glob)])
        return f"{cat} | {shlex.join(['duckdb', str(self._file), sql])}"
