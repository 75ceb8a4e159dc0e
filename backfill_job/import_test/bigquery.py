"""The BigQuery engine: the DAG's own load job, into a table of ours that expires. The real table is never named here.

For each load: a table is made with the exact schema, labels and an expiry, *before* anything is loaded, so that a killed run
leaves nothing for long; a load job fills it (``WRITE_EMPTY``, unknown fields refused, no bad record allowed); one query with
a bound on its bytes sums it up; and the table is deleted, whatever happened. Loads are free; the query reads a day.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

from google.api_core.exceptions import Conflict, NotFound
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from backfill_job.clock import Clock
from backfill_job.import_test.bigquery_errors import (
    CLIENT_ERRORS,
    PATIENCE_SECONDS,
    judged,
    said_by,
    translated,
)
from backfill_job.import_test.comparison import Loaded, NotLoadable
from backfill_job.import_test.fingerprint import LANES, Fingerprint, bigquery_sql
from backfill_job.import_test.folders import Folder
from backfill_job.schema import SCHEMA, Field
from backfill_job.stopping import Stop
from shared.errors import UsageError

__all__ = ["BigQueryEngine", "Dataset", "connect"]

LIFETIME = timedelta(hours=24)
"""After which BigQuery deletes a table that nobody deleted."""

MAX_BYTES_BILLED = 10 * 1024**3
"""A day is some hundred megabytes at most; a query past this is refused by BigQuery, and nothing is billed."""

EMULATOR = "BIGQUERY_EMULATOR_HOST"
"""The variable by which the official client finds an emulator; there are no credentials there."""

_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]*")
_DATASET = re.compile(r"[A-Za-z0-9_]{1,1024}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Where temporary tables go.

    Attributes:
        project: The project that holds it, and that runs and pays for the jobs.
        name: The dataset's name.
    """

    project: str
    name: str

    @staticmethod
    def parse(text: str) -> "Dataset":
        """Read ``PROJECT.DATASET``.

        Raises:
            UsageError: It is something else.
        """
        project, _, name = text.rpartition(".")
        if not (_PROJECT.fullmatch(project) and _DATASET.fullmatch(name)):
            raise UsageError(f"--dataset {text!r} is no dataset; PROJECT.DATASET is wanted")
        return Dataset(project, name)

    def __str__(self) -> str:
        return f"{self.project}.{self.name}"


def connect(dataset: Dataset, location: str | None, environ: Mapping[str, str]) -> bigquery.Client:
    """Make a client with the environment's credentials, or none for an emulator.

    Args:
        dataset: Its project runs the jobs.
        location: Where jobs run, such as ``EU``; None to let BigQuery find out.
        environ: The process's environment.

    Raises:
        UsageError: No credentials are to be had.
    """
    credentials = AnonymousCredentials() if environ.get(EMULATOR) else None  # type: ignore[no-untyped-call]
    try:
        return bigquery.Client(project=dataset.project, credentials=credentials, location=location)
    except auth.DefaultCredentialsError as error:
        raise UsageError(
            f"no Google Cloud credentials ({error}); try: gcloud auth application-default login"
        ) from error


class BigQueryEngine:
    """An `Engine` that is BigQuery.

    Args:
        client: Whom to ask.
        dataset: Where temporary tables go; in the location of both buckets.
        run: A name for this run, in the tables' names and labels.
        clock: For the tables' expiry.
        stop: Whether somebody asked the process to stop; it does so while a job is waited for.
        note: Told what an operator should know though the test goes on.
        retry: How requests are repeated after a transient fault.
    """

    name = "bigquery"

    def __init__(
        self,
        client: bigquery.Client,
        dataset: Dataset,
        *,
        run: str,
        clock: Clock,
        stop: Stop,
        note: Callable[[str], None],
        retry: Retry = DEFAULT_RETRY.with_timeout(120.0),  # noqa: B008 -- immutable
    ) -> None:
        self._client = client
        self._dataset = dataset
        self._run = re.sub(r"[^a-z0-9_]", "_", run.lower())[:63]
        self._clock = clock
        self._stop = stop
        self._note = note
        self._retry = retry

    def load(self, folder: Folder, table: str) -> Loaded | NotLoadable:
        """See `Engine.load`.

        Raises:
            UsageError: There is no such dataset, or it cannot be loaded into from there.
            PermissionDenied: This account may not.
            Unavailable, UnexpectedAnswer: BigQuery did not give what was asked for.
            Interrupted: Somebody stopped it.
        """
        name = f"import_test_{self._run}_{table}"
        with self._table(name) as full_name:
            problem = self._load(folder, full_name, job_id=name)
            return problem or self._sums(full_name)

    @contextmanager
    def _table(self, name: str) -> Iterator[str]:
        """A table for the length of a block."""
        full_name = f"{self._dataset}.{name}"
        table = bigquery.Table(full_name, schema=_schema())
        table.expires = self._clock.now() + LIFETIME
        table.labels = self._labels()
        try:
            # Where an answer was lost the repetition finds the table there; nobody else has this name.
            self._client.create_table(table, exists_ok=True, retry=self._retry)
        except NotFound as error:
            raise UsageError(
                f"there is no BigQuery dataset {self._dataset} ({said_by(error)}); create one in the buckets' location"
            ) from error
        except CLIENT_ERRORS as error:
            raise translated(error, full_name) from error
        try:
            yield full_name
        finally:
            self._drop(full_name)

    def _drop(self, full_name: str) -> None:
        try:
            self._client.delete_table(full_name, not_found_ok=True, retry=self._retry)
        except CLIENT_ERRORS as error:
            hours = LIFETIME // timedelta(hours=1)
            self._note(
                f"the temporary table {full_name} could not be deleted ({said_by(error)}); BigQuery deletes it {hours} hours "
                "after its creation"
            )

    def _load(self, folder: Folder, full_name: str, job_id: str) -> NotLoadable | None:
        config = bigquery.LoadJobConfig(
            schema=_schema(),
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            write_disposition=bigquery.WriteDisposition.WRITE_EMPTY,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            ignore_unknown_values=False,
            max_bad_records=0,
            labels=self._labels(),
        )
        job = None
        try:
            with self._stop.raising():
                job = self._started(folder.glob, full_name, config, job_id)
                job.result(timeout=PATIENCE_SECONDS, retry=self._retry)
        except CLIENT_ERRORS as error:
            if job is not None and job.error_result:
                return judged(job.error_result, job.errors or (), folder.glob)
            raise translated(error, folder.glob) from error
        return None

    def _started(
        self, glob: str, full_name: str, config: bigquery.LoadJobConfig, job_id: str
    ) -> bigquery.LoadJob:
        try:
            return self._client.load_table_from_uri(
                glob, full_name, job_config=config, job_id=job_id, retry=self._retry
            )
        except Conflict:
            # An answer was lost and the request repeated: nobody else has a job of this name.
            return self._client.get_job(job_id, retry=self._retry)

    def _sums(self, full_name: str) -> Loaded:
        config = bigquery.QueryJobConfig(
            maximum_bytes_billed=MAX_BYTES_BILLED, use_query_cache=False, labels=self._labels()
        )
        try:
            with self._stop.raising():
                job = self._client.query(
                    bigquery_sql(full_name),
                    job_config=config,
                    job_id_prefix="import_test_",
                    retry=self._retry,
                )
                (row,) = job.result(timeout=PATIENCE_SECONDS, retry=self._retry)
        except CLIENT_ERRORS as error:
            raise translated(error, full_name) from error
        lanes = [int(row[f"lane_{number}"]) for number in range(LANES)]
        return Loaded(int(row["row_count"]), int(row["users"]), Fingerprint.of_lanes(lanes))

    def _labels(self) -> dict[str, str]:
        return {"purpose": "import-test", "run": self._run}


def _schema() -> list[bigquery.SchemaField]:
    return [_schema_field(field) for field in SCHEMA]


def _schema_field(field: Field) -> bigquery.SchemaField:
    return bigquery.SchemaField(
        field.name,
        field.type.value,
        mode="REPEATED" if field.repeated else "NULLABLE",
        fields=tuple(_schema_field(inner) for inner in field.fields),
    )
