"""The consumer's table in BigQuery, compared with the path by one query, which only reads.

The path is a temporary external table of that query: nothing is loaded, and nothing is left. What the query may bill is bounded, and
said beforehand. It is BigQuery's estimate for the table and the listing's bytes for the path, which the estimate lacks. It is a
module of its own because BigQuery's client is optional.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from backfill_job.import_test.bigquery import (
    CLIENT_ERRORS,
    DIGEST_SQL,
    KEY_SQL,
    PATIENCE_SECONDS,
    TableName,
    judged,
    labels,
    schema_fields,
    translated,
)
from backfill_job.import_test.loaded import (
    MARGIN,
    NO_PATH,
    SAME_ROW,
    SIMPLE_NAME,
    FoundDay,
    PathDay,
    join_sql,
)
from backfill_job.run.stopping import Stop
from shared.errors import UnexpectedAnswer, UsageError
from shared.text import byte_count, counted

__all__ = ["BigQueryTable"]

MAX_URIS = 10_000
"""Source URIs of one query (BigQuery documentation, "Quotas: external tables")."""


class BigQueryTable:
    """A `TableEngine`.

    Args:
        most: Bytes that the query may bill.
        partition: The column by which the table is partitioned, where that is not the rows' time; empty for none.

    Raises:
        UsageError: The column has no simple name.
    """

    name = "bigquery"

    def __init__(
        self,
        client: bigquery.Client,
        table: TableName,
        *,
        most: int,
        partition: str,
        run: str,
        stop: Stop,
    ) -> None:
        if partition and not SIMPLE_NAME.fullmatch(partition):
            raise UsageError(f"--partition {partition!r} is not a column")
        self.table, self._name = str(table), table
        self._client, self._stop = client, stop
        self._most, self._partition = most, partition
        self._labels = labels("loaded", run)

    def scanned(self, days: Sequence[PathDay]) -> int | None:
        """See `TableEngine`; a dry run, which is free.

        Raises:
            UsageError: The scan would be larger than is allowed, or the table cannot be queried.
        """
        job = self._job(days, dry_run=True)
        scan = int(job.total_bytes_processed or 0)
        whole = scan + sum(day.size for day in days)
        if whole > self._most:
            raise UsageError(
                f"the query would scan about {byte_count(whole)}, and --maximum-bytes-billed allows {byte_count(self._most)}: "
                "ask for fewer days, name the --partition column, or allow more"
            )
        return scan

    def compare(self, days: Sequence[PathDay]) -> dict[date, FoundDay]:
        """See `TableEngine`.

        Raises:
            PermissionDenied, Unavailable, UnexpectedAnswer, UsageError, Interrupted: There is no verdict.
        """
        job = None
        try:
            with self._stop.raising():
                job = self._job(days, dry_run=False)
                rows = list(job.result(timeout=PATIENCE_SECONDS, retry=DEFAULT_RETRY))
        except CLIENT_ERRORS as error:
            if job is not None and job.error_result:
                found = judged(job.error_result, job.errors or (), self.table)
                why = f"BigQuery cannot read the path: {found.reason}"
                raise UnexpectedAnswer(self.table, why) from error
            raise translated(error, self.table) from error
        return {row["day"]: _found(row) for row in rows if row["day"] is not None}

    def again(self, day: PathDay) -> str:
        """See `TableEngine`."""
        table, scratch = self._name, f"reload_{self._name.name}_{day.day:%Y%m%d}"
        whole, target = f"`{table.dataset}.{scratch}`", f"`{table}`"
        project = f"--project_id={table.dataset.project}"
        like = f"CREATE TABLE {whole} LIKE {target} OPTIONS (expiration_timestamp = TIMESTAMP_ADD(CURRENT_TIMESTAMP(), INTERVAL 1 DAY))"
        insert = f"INSERT INTO {target} SELECT * FROM {whole} AS new WHERE NOT EXISTS (SELECT 1 FROM {target} AS t WHERE {SAME_ROW})"  # noqa: S608
        query = f"bq query {project} --use_legacy_sql=false"
        load = f"bq load {project} --noreplace --source_format=NEWLINE_DELIMITED_JSON"
        filled = f"{load} {table.dataset.name}.{scratch} '{day.folder.glob}'"
        return f"{query} '{like}' && {filled} && {query} '{insert}'"

    def _job(self, days: Sequence[PathDay], *, dry_run: bool) -> bigquery.QueryJob:
        there = [day for day in days if day.folder.files]
        if len(there) > MAX_URIS:
            raise UsageError(
                f"{counted(len(there), 'day')} with files; BigQuery reads {MAX_URIS:,} globs at once: ask for fewer days"
            )
        config = bigquery.QueryJobConfig(
            maximum_bytes_billed=self._most, use_query_cache=False, dry_run=dry_run, labels=self._labels
        )
        if there:
            path = bigquery.ExternalConfig(bigquery.SourceFormat.NEWLINE_DELIMITED_JSON)
            path.schema = schema_fields()
            path.source_uris = [day.folder.glob for day in there]
            path.max_bad_records = 0
            path.ignore_unknown_values = False
            config.table_definitions = {"path": path}
        try:
            return self._client.query(
                self._sql(days, there), job_config=config, job_id_prefix="loaded_", retry=DEFAULT_RETRY
            )
        except CLIENT_ERRORS as error:
            raise translated(error, self.table) from error

    def _sql(self, days: Sequence[PathDay], there: Sequence[PathDay]) -> str:
        first, last = days[0].day - MARGIN, days[-1].day + MARGIN
        after = last + timedelta(days=1)
        inside = f"submitted_at >= TIMESTAMP '{first} 00:00:00+00' AND submitted_at < TIMESTAMP '{after} 00:00:00+00'"
        path_rows = NO_PATH
        if there:
            cases = " ".join(
                f"WHEN STARTS_WITH(_FILE_NAME, '{_sql_text(day.folder.location.uri + day.folder.head)}') THEN DATE '{day.day}'"
                for day in there
            )
            path_rows = f"SELECT CASE {cases} END AS day, {KEY_SQL} AS k, {DIGEST_SQL} AS digest, NOT IFNULL({inside}, TRUE) AS outside FROM path"  # noqa: S608
        partition = f" AND {self._partition} >= '{days[0].day}'" if self._partition else ""
        table_rows = (
            f"SELECT DATE(submitted_at) AS day, {KEY_SQL} AS k, {DIGEST_SQL} AS digest FROM `{self._name}`"  # noqa: S608
            f" WHERE (submitted_at IS NULL OR ({inside})){partition}"
        )
        return join_sql(path_rows, table_rows, days[0].day, days[-1].day)


def _found(row: bigquery.Row) -> FoundDay:
    columns = ("row_count", "loaded_rows", "again", "changed", "outside", "table_only")
    counts: list[Any] = [int(row[column]) for column in columns]
    return FoundDay(*counts)


def _sql_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace("'", "\\'")
