"""Entries of Cloud Storage's audit log, as Cloud Logging gives them, and a fortnight with seven principals; the tests use them, too."""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from shared.migration import Migration

__all__ = ["AIRFLOW", "JOB", "PERSON", "PROJECT", "Audit", "a_fortnight", "written"]

PROJECT = "data-platform-dev"
JOB = f"qpi-exports-backfill-dev@{PROJECT}.iam.gserviceaccount.com"
AIRFLOW = "airflow@example-composer-dev.iam.gserviceaccount.com"
PERSON = "ada@example.com"
EXTERNAL_TABLE = "bqcx-442188550395-jujw@gcp-sa-bigquery-condel.iam.gserviceaccount.com"
DELETED = (
    "deleted:serviceAccount:old-loader@example-app-dev.iam.gserviceaccount.com?uid=123456789012345678901"
)
IMPERSONATED = "reports@example-bi-dev.iam.gserviceaccount.com"
SCHEDULER = "dataflow@example-app-dev.iam.gserviceaccount.com"
GSUTIL = "apitools Python/3.6.8 gsutil/4.67 (darwin) analytics/enabled interactive/True command/cp google-cloud-sdk/356.0.0"

SWEEPS = timedelta(hours=6)
"""How often the migration's own job lists the bucket in the log."""


class Audit:
    """Makes entries about one migration's legacy bucket."""

    def __init__(self, migration: Migration) -> None:
        self.bucket, self.prefix = migration.source.bucket, migration.source.prefix

    def entry(
        self,
        at: datetime,
        principal: str,
        name: str | None = None,
        *,
        method: str = "get",
        agent: str = "",
        code: int = 0,
        bucket: str = "",
        **authentication: Any,
    ) -> dict[str, Any]:
        """One entry.

        Args:
            name: The object's, below the prefix; None for a listing of the bucket.
            code: Of the answer, by ``google.rpc.Code``.
            bucket: Another one than the legacy bucket.
            authentication: Further fields of ``authenticationInfo``.
        """
        bucket = bucket or self.bucket
        resource = f"projects/_/buckets/{bucket}"
        email = {"principalEmail": principal} if principal else {}
        return {
            "protoPayload": {
                "@type": "type.googleapis.com/google.cloud.audit.AuditLog",
                "status": {"code": code} if code else {},
                "authenticationInfo": {**email, **authentication},
                "requestMetadata": {"callerIp": "203.0.113.7", "callerSuppliedUserAgent": agent},
                "serviceName": "storage.googleapis.com",
                "methodName": f"storage.objects.{'list' if name is None else method}",
                "resourceName": resource if name is None else f"{resource}/objects/{self.prefix}{name}",
            },
            "insertId": "1a2b3c",
            "resource": {"type": "gcs_bucket", "labels": {"bucket_name": bucket, "project_id": PROJECT}},
            "timestamp": at.isoformat(timespec="microseconds").replace("+00:00", "123Z"),
            "severity": "INFO",
            "logName": f"projects/{PROJECT}/logs/cloudaudit.googleapis.com%2Fdata_access",
        }

    def sweeps(self, begins: datetime, ends: datetime) -> Iterator[dict[str, Any]]:
        """The listings of the migration's own job, which prove that the log was on."""
        while begins < ends:
            yield self.entry(begins, JOB, agent="qpi-exports")
            begins += SWEEPS
        yield self.entry(ends, JOB, agent="qpi-exports")


def a_fortnight(audit: Audit, now: datetime) -> list[dict[str, Any]]:
    """What seven principals did, the newest first, as ``gcloud logging read`` gives it."""
    found = [*audit.sweeps(now - timedelta(days=14), now)]
    for number in range(1, 15):
        night = now - timedelta(days=number)
        folder = f"qpi_answers_{night:%Y%m%d}/"
        found += [audit.entry(night, AIRFLOW, agent="apache-airflow/2.9.1 gcloud-python/2.16.0,gzip(gfe)")]
        found += [audit.entry(night, AIRFLOW, f"{folder}user_id_{user}.jsonl") for user in range(3)]
        found += [audit.entry(night, JOB, f"{folder}user_id_0.jsonl", agent="qpi-exports")]
    party = {"firstPartyPrincipal": {"principalEmail": "bob@example.com"}}
    query = {"originalPrincipal": "user:analyst@example.com"}
    day, hour = timedelta(days=1), timedelta(hours=1)
    found += [
        audit.entry(now - 3 * day, PERSON, agent=GSUTIL),
        audit.entry(now - 3 * day, PERSON, "qpi_questions_20240101.csv", agent=GSUTIL),
        audit.entry(
            now - 2 * day, EXTERNAL_TABLE, "qpi_answers_20240101.jsonl", serviceDelegationHistory=query
        ),
        audit.entry(now - 9 * day, DELETED, "old/.DS_Store", code=7),
        audit.entry(
            now - 5 * hour, IMPERSONATED, "x/y", method="create", serviceAccountDelegationInfo=[party]
        ),
        audit.entry(now - 2 * hour, SCHEDULER, agent="Google-Cloud-Scheduler"),
        audit.entry(now - 1 * hour, "cron@elsewhere.example.com", "a", bucket="another-bucket"),
    ]
    return sorted(found, key=lambda one: str(one["timestamp"]), reverse=True)


def written(path: Path, entries: Sequence[dict[str, Any]]) -> Path:
    """The entries in a file, as ``--format=json`` writes them."""
    path.write_text(json.dumps(entries, indent=2) + "\n")
    return path
