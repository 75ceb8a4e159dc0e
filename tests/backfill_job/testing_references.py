"""A realistic repository of DAGs, as the tests of the reference scanner write it."""

from pathlib import Path

from backfill_job.references.patch import propose
from backfill_job.references.scan import scan
from shared.migration import Environment, qpi_exports

MIGRATIONS = [qpi_exports(environment) for environment in Environment]

SETTINGS = '''"""Names that more than one DAG needs."""

import os

ENV = os.environ.get("COMPOSER_ENV", "dev")
DATA_BUCKET = f"data-bucket-{ENV}"
EXPORT_BUCKET = f"de-bigquery-data-export-{ENV}"
ML_BUCKET = f"data-bucket-ml-temp-{ENV}"
'''

IMPORT_QPI = '''"""Nightly import of the QPI exports from gs://data-bucket-prod/QPI_exports/."""

from airflow import DAG
from airflow.operators.empty import EmptyOperator
from airflow.operators.python import BranchPythonOperator
from airflow.providers.google.cloud.hooks.gcs import GCSHook
from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator

from orchestration.dags.config.settings import DATA_BUCKET

# The writer fills QPI_exports/ all day.
ANSWERS = "qpi_answers_{{ ds_nodash }}"


def _answers_are_there(ds_nodash: str, **_: object) -> str:
    found = GCSHook().list(DATA_BUCKET, prefix=f"QPI_exports/qpi_answers_{ds_nodash}/", max_results=1)
    return "load_answers" if found else "empty"


with DAG("import_qpi", schedule="0 3 * * *") as dag:
    check = BranchPythonOperator(task_id="check_qpi_exports", python_callable=_answers_are_there)
    load = GCSToBigQueryOperator(
        task_id="load_answers",
        bucket=DATA_BUCKET,
        source_objects=[f"QPI_exports/{ANSWERS}/*.jsonl"],
        destination_project_dataset_table="raw.qpi_answers_v4",
        source_format="NEWLINE_DELIMITED_JSON",
    )
    check >> [load, EmptyOperator(task_id="empty")]
'''

IMPORT_EVENTS = '''"""Another DAG that reads the same bucket."""

from airflow.providers.google.cloud.transfers.gcs_to_bigquery import GCSToBigQueryOperator

from orchestration.dags.config.settings import DATA_BUCKET, ML_BUCKET

events = GCSToBigQueryOperator(task_id="events", bucket=DATA_BUCKET, source_objects=["events/{{ ds }}/*.json"])
features = GCSToBigQueryOperator(task_id="features", bucket=ML_BUCKET, source_objects=["QPI_historical/*"])
'''

JOB = '''"""Counts yesterday's answers; runs outside of Airflow."""

import os

from google.cloud import storage

BUCKET = os.environ.get("QPI_BUCKET", "data-bucket-" + os.environ["ENV"])
PREFIX = "QPI_exports"


def count(bucket_name: str, prefix: str) -> int:
    client = storage.Client()
    return sum(1 for _ in client.list_blobs(bucket_name, prefix=prefix))


if __name__ == "__main__":
    print(count(BUCKET, f"{PREFIX}/qpi_answers_20240101/"))
'''

SQL = """-- The old path was gs://data-bucket-prod/QPI_exports/.
LOAD DATA INTO raw.qpi_exports
FROM FILES (format = 'JSON', uris = ['gs://data-bucket-{{ params.env }}/QPI_exports/*.jsonl']);
"""

YAML = """jobs:
  - name: qpi
    bucket: data-bucket-prod
    prefix: QPI_exports/  # trailing slash matters
  - name: models
    bucket: data-bucket-ml-temp-prod
    prefix: QPI_historical/
"""

SHELL = """#!/bin/sh
set -eu
BUCKET="data-bucket-$ENV"
gcloud storage ls "gs://${BUCKET}/QPI_exports/"
"""

TREE = {
    "orchestration/dags/config/settings.py": SETTINGS,
    "orchestration/dags/jobs/import/import_qpi.py": IMPORT_QPI,
    "orchestration/dags/jobs/import/import_events.py": IMPORT_EVENTS,
    "jobs/count_answers.py": JOB,
    "sql/load.sql": SQL,
    "config/jobs.yaml": YAML,
    "bin/look.sh": SHELL,
    "docs/qpi.md": "The exports lie in `gs://data-bucket-prod/QPI_exports/`.\n",
}


def write_tree(root: Path, tree: dict[str, str]) -> Path:
    """Write files below a folder; gives the folder."""
    for name, text in tree.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


def classes(root: Path) -> list[str]:
    """The classes of everything found, in order; with where it stands if that is not code."""
    return [
        finding.kind.value + ("" if finding.place.value == "code" else f"/{finding.place.value}")
        for finding in scan([root], MIGRATIONS).findings
    ]


def printed(root: Path) -> list[str]:
    """Every finding in code as one line."""
    return [
        f"{finding.path.relative_to(root)}:{finding.line} {finding.kind.value} {finding.expression} -> "
        + " ".join(f"{bucket}/{prefix}" for bucket in finding.buckets for prefix in finding.prefixes)
        for finding in scan([root], MIGRATIONS).findings
        if finding.place.value == "code"
    ]


def apply_changes(root: Path) -> tuple[int, list[str]]:
    """Write what a patch would change; gives how many findings it changes, and why it leaves the others."""
    proposal = propose(scan([root], MIGRATIONS))
    for path, (before, after) in proposal.contents.items():
        assert path.read_bytes() == before
        path.write_bytes(after)
    return len(proposal.changes), list(proposal.refusals.values())
