"""The BigQuery engine: the DAG's own load job, into a temporary table. This module never names the real table.

Each load takes these steps. A table is made with the exact schema, labels and an expiry, *before* anything is loaded, so a
killed run leaves nothing for long. A load job fills it (``WRITE_EMPTY``, no unknown field, no bad record). One query with a
bound on its bytes sums it up. The table is deleted, whatever happened. Loads are free; the query reads one day.

BigQuery's error about a bad row may quote the row. Those are people's answers, so every message loses what it quotes.

It is a module of its own because BigQuery's client is optional.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import TimeoutError as JobTimeout
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import requests
from google.api_core import exceptions as api
from google.api_core.retry import Retry
from google.auth import exceptions as auth
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.retry import DEFAULT_RETRY

from backfill_job.contents.rows import SCHEMA, Field
from backfill_job.import_test.compare import DIGITS, LANES, MODULUS, Fingerprint, Loaded, NotLoadable
from backfill_job.import_test.day import Folder
from backfill_job.run.clock import Clock
from backfill_job.run.stopping import Stop
from shared.answers import error_for, no_answer
from shared.errors import MigrationError, PermissionDenied, Unavailable, UnexpectedAnswer, UsageError
from shared.text import shown

__all__ = [
    "CLIENT_ERRORS",
    "DIGEST_SQL",
    "KEY_SQL",
    "PATIENCE_SECONDS",
    "BigQueryEngine",
    "Dataset",
    "connect",
    "judged",
    "schema_fields",
    "translated",
]

LIFETIME = timedelta(hours=24)
"""BigQuery deletes a table after this time, if this engine could not."""

MAX_BYTES_BILLED = 10 * 1024**3
"""A day has a few hundred megabytes at most. BigQuery refuses a query beyond this and bills nothing."""

EMULATOR = "BIGQUERY_EMULATOR_HOST"
"""The variable by which the official client finds an emulator, which needs no credentials."""

_DATASET = re.compile(r"([a-z0-9][a-z0-9.:-]*)\.([A-Za-z0-9_]{1,1024})")
_TABLE = re.compile(rf"{_DATASET.pattern}\.([A-Za-z0-9_-]{{1,1024}})")


@dataclass(frozen=True, slots=True)
class Dataset:
    """The dataset for temporary tables.

    Attributes:
        project: The project that contains it, and that runs and pays for the jobs.
    """

    project: str
    name: str

    @staticmethod
    def parse(text: str) -> "Dataset":
        """Read ``PROJECT.DATASET``.

        Raises:
            UsageError: It is something else.
        """
        match = _DATASET.fullmatch(text)
        if match is None:
            raise UsageError(f"--dataset {text!r} is not a dataset; PROJECT.DATASET is wanted")
        return Dataset(*match.groups())

    def __str__(self) -> str:
        return f"{self.project}.{self.name}"


@dataclass(frozen=True, slots=True)
class TableName:
    """A table or a view."""

    dataset: Dataset
    name: str

    @staticmethod
    def parse(text: str) -> "TableName":
        """Read ``PROJECT.DATASET.TABLE``.

        Raises:
            UsageError: It is something else.
        """
        match = _TABLE.fullmatch(text)
        if match is None:
            raise UsageError(f"--table {text!r} is not a table; PROJECT.DATASET.TABLE is wanted")
        return TableName(Dataset(match[1], match[2]), match[3])

    def __str__(self) -> str:
        return f"{self.dataset}.{self.name}"


def connect(dataset: Dataset, location: str | None, environ: Mapping[str, str]) -> bigquery.Client:
    """Make a client with the environment's credentials, or without any for an emulator.

    Args:
        dataset: Its project runs the jobs.
        location: Where jobs run, such as ``EU``; None lets BigQuery find out.

    Raises:
        UsageError: There are no credentials.
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
        dataset: In the location of both buckets.
        stop: A stop also interrupts the wait for a job.
        note: Called with what an operator should know although the test goes on.
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
        self._labels = labels("import-test", run)
        self._clock = clock
        self._stop = stop
        self._note = note
        self._retry = retry

    def load(self, folder: Folder, table: str) -> Loaded | NotLoadable:
        """See `Engine.load`.

        Raises:
            UsageError: The dataset does not exist, or the objects cannot be loaded into it from their location.
            PermissionDenied, Unavailable, UnexpectedAnswer, Interrupted: There is no verdict.
        """
        name = f"import_test_{self._labels['run']}_{table}"
        with self._table(name) as full_name:
            problem = self._load(folder, full_name, job_id=name)
            return problem or self._sums(full_name)

    @contextmanager
    def _table(self, name: str) -> Iterator[str]:
        full_name = f"{self._dataset}.{name}"
        table = bigquery.Table(full_name, schema=schema_fields())
        table.expires = self._clock.now() + LIFETIME
        table.labels = self._labels
        try:
            # After a lost answer the retry finds the table there; no other run uses this name.
            self._client.create_table(table, exists_ok=True, retry=self._retry)
        except api.NotFound as error:
            raise UsageError(
                f"there is no BigQuery dataset {self._dataset} ({_said_by(error)}); create one in the buckets' location"
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
                f"the temporary table {full_name} could not be deleted ({_said_by(error)}); BigQuery deletes it {hours} hours "
                "after its creation"
            )

    def _load(self, folder: Folder, full_name: str, job_id: str) -> NotLoadable | None:
        config = bigquery.LoadJobConfig(
            schema=schema_fields(),
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            write_disposition=bigquery.WriteDisposition.WRITE_EMPTY,
            create_disposition=bigquery.CreateDisposition.CREATE_NEVER,
            ignore_unknown_values=False,
            max_bad_records=0,
            labels=self._labels,
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
        except api.Conflict:
            # The answer was lost and the request repeated; no other run has a job of this name.
            return self._client.get_job(job_id, retry=self._retry)

    def _sums(self, full_name: str) -> Loaded:
        config = bigquery.QueryJobConfig(
            maximum_bytes_billed=MAX_BYTES_BILLED, use_query_cache=False, labels=self._labels
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


def labels(purpose: str, run: str) -> dict[str, str]:
    """The labels of a run's jobs and tables, in the form that BigQuery takes."""
    return {"purpose": purpose, "run": re.sub(r"[^a-z0-9_]", "_", run.lower())[:63]}


def schema_fields(fields: Iterable[Field] = SCHEMA) -> list[bigquery.SchemaField]:
    """A schema, by default the preset's."""
    return [
        bigquery.SchemaField(
            each.name,
            each.type.value,
            mode="REPEATED" if each.repeated else "NULLABLE",
            fields=schema_fields(each.fields),
        )
        for each in fields
    ]


def bigquery_sql(table: str) -> str:
    """The query that gives ``row_count``, ``users`` and ``lane_0`` to ``lane_7`` (`compare` has the definition).

    Args:
        table: ``PROJECT.DATASET.TABLE``, without a backquote in it.
    """
    lanes = ", ".join(
        f"IFNULL(MOD(SUM(CAST(CONCAT('0x', SUBSTR(digest, {1 + lane * DIGITS}, {DIGITS})) AS INT64)), {MODULUS}), 0)"
        f" AS lane_{lane}"
        for lane in range(LANES)
    )
    return f"""
WITH digests AS (SELECT user_id, {DIGEST_SQL} AS digest FROM `{table}`)
SELECT COUNT(*) AS row_count, COUNT(DISTINCT user_id) AS users, {lanes}
FROM digests
"""  # noqa: S608 -- the table's name is made of checked parts


KEY_SQL = """CONCAT(
    IFNULL(CONCAT(CAST(BYTE_LENGTH(user_id) AS STRING), ':', user_id), '-'),
    IFNULL(CAST(UNIX_MICROS(submitted_at) AS STRING), '-'), ';')"""
"""User and time of a row, as the text that the fingerprint begins with."""

DIGEST_SQL = f"""TO_HEX(SHA256(CONCAT({KEY_SQL},
    CAST(ARRAY_LENGTH(answers) AS STRING), ';',
    ARRAY_TO_STRING(ARRAY(
      SELECT CONCAT(
        IFNULL(CONCAT(CAST(BYTE_LENGTH(answer.question_id) AS STRING), ':', answer.question_id), '-'),
        CAST(ARRAY_LENGTH(answer.answer_ids) AS STRING), ';',
        ARRAY_TO_STRING(ARRAY(
          SELECT CONCAT(CAST(BYTE_LENGTH(answer_id) AS STRING), ':', answer_id)
          FROM UNNEST(answer.answer_ids) AS answer_id WITH OFFSET AS place ORDER BY place), ''))
      FROM UNNEST(answers) AS answer WITH OFFSET AS place ORDER BY place), ''))))"""  # noqa: S608 -- no value of anybody's
"""The SHA-256 of a row."""


# --- what errors mean ----------------------------------------------------------------------------------------

PATIENCE_SECONDS = 1_800.0
"""How long a job may take. A day loads in a minute or two, but these jobs queue with the DAG's own."""

CLIENT_ERRORS = (
    api.GoogleAPICallError,
    api.RetryError,
    auth.GoogleAuthError,
    requests.RequestException,
    ConnectionError,
    JobTimeout,
)
"""Everything that the client raises for an answer, for a missing answer, and for a job that does not end."""

_QUOTED = re.compile(r"(?!(?<=n)'t\b)(['\"`])(?:.*\1|.*)", re.DOTALL)
"""From the first quote that is not an apostrophe to the last. A value may contain quotes, and may be cut short."""

_VALUE = re.compile(r"\b(Value|value is)\b:?.*", re.DOTALL)
_MAX_SAID = 500

_TRANSIENT_REASONS = frozenset(
    {"backendError", "internalError", "jobBackendError", "jobInternalError", "rateLimitExceeded"}
    | {"jobRateLimitExceeded", "quotaExceeded", "stopped", "tableUnavailable", "timeout"}
)
_REFUSED_REASONS = frozenset({"accessDenied", "billingNotEnabled", "blocked", "policyViolation"})


def judged(result: Mapping[str, Any], errors: Iterable[Mapping[str, Any]], glob: str) -> NotLoadable:
    """What a failed load job means: the folder cannot be loaded, or the question has no answer.

    Args:
        result: The job's ``errorResult``: what ended it.
        errors: The job's ``errors``: everything that it found.

    Raises:
        MigrationError: The job failed for a reason that is not in the folder.
    """
    reason = str(result.get("reason"))
    about_objects = [
        error for error in (result, *errors) if str(error.get("location", "")).startswith("gs://")
    ]
    if reason == "notFound":
        return NotLoadable(f"{glob}: {_redacted(str(result.get('message', '')))}")
    if reason == "invalid" and about_objects:
        # The first error says that there were too many errors; the last one says which.
        last = about_objects[-1]
        return NotLoadable(f"{shown(str(last['location']))}: {_redacted(str(last.get('message', '')))}")
    raise _for_reason(reason, _redacted(str(result.get("message", ""))), glob)


def _for_reason(reason: str, said: str, about: str) -> MigrationError:
    if reason in _TRANSIENT_REASONS:
        return Unavailable(about, f"BigQuery's job failed, another try can help ({reason}: {said})")
    if reason in _REFUSED_REASONS:
        return PermissionDenied(about, f"BigQuery's job was refused ({reason}: {said})")
    if reason == "invalid":
        return UsageError(
            f"BigQuery cannot load {about} into this dataset ({said}); dataset and buckets must be in one location"
        )
    return UnexpectedAnswer(about, f"BigQuery's job failed ({reason}: {said})")


def translated(error: Exception, about: str) -> MigrationError:
    """Map an error of the client to one of this project; `about` is the table or the objects of the request."""
    cause = error.cause if isinstance(error, api.RetryError) and error.cause is not None else error
    match cause:
        case api.GoogleAPICallError() if cause.code is not None:
            reasons = {str(entry.get("reason")) for entry in cause.errors}
            if not reasons.isdisjoint(_TRANSIENT_REASONS):
                return Unavailable(about, f"BigQuery does not take it now ({_said_by(cause)})")
            if isinstance(cause, api.NotFound):
                return UnexpectedAnswer(about, f"BigQuery does not know it ({_said_by(cause)})")
            return error_for(int(cause.code), reasons, _said_by(cause), about)
        case auth.GoogleAuthError() if not cause.retryable and not isinstance(cause, auth.TransportError):
            return PermissionDenied(about, f"the credentials were refused and could not be renewed ({cause})")
        case JobTimeout():
            why = f"BigQuery's job did not end within {PATIENCE_SECONDS / 60:.0f} minutes"
            return Unavailable(about, why)
        case _:
            return no_answer(cause, about)


def _said_by(error: Exception) -> str:
    """BigQuery's message, without the client's copy of the request and without values."""
    entries: list[dict[str, Any]] = list(getattr(error, "errors", None) or ())
    said = next((str(entry["message"]) for entry in entries if entry.get("message")), str(error))
    return _redacted(said)


def _redacted(said: str) -> str:
    """A message on one line, without what it quotes from the data."""
    return " ".join(_VALUE.sub(r"\1: …", _QUOTED.sub("'…'", said)).split())[:_MAX_SAID]
