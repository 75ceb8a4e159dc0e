"""QPI exports as a real bucket has them, invented from a seed: the same seed gives the same bytes. And the bucket's audit log.

In order of time: first flat files, then a folder a day with one small object for each submission. Working days have more of
them than weekends. Two days are missing. There are placeholders, a ``.DS_Store`` and a stray note. The caller uploads them.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

from shared.migration import Migration

__all__ = [
    "AIRFLOW",
    "JOB",
    "PERSON",
    "PROJECT",
    "Audit",
    "DemoObject",
    "a_fortnight",
    "generate",
    "one_submission",
    "written",
]

MISSING_DAYS = 2
"""Number of days with folders on which the writer did not run."""
PLACEHOLDER_DAYS = 5
"""Number of days whose folder was made by hand before the first upload."""
STRAY_NAME = "backup/notes (final) é #2.txt"
JSON_TYPE = "application/json"

_WEEKDAYS = (1.0, 1.15, 1.1, 1.05, 0.9, 0.45, 0.5)
_QUESTIONS = 120
_FEWEST_ANSWERS, _MOST_ANSWERS = 3, 26
_USERS = 900_000
_DS_STORE = b"\x00\x00\x00\x01Bud1" + bytes(6_140)


@dataclass(frozen=True, slots=True)
class DemoObject:
    """One object to upload; its name below the prefix is empty for the prefix's own placeholder. The time is in UTC."""

    relative: str
    data: bytes
    content_type: str
    created: datetime


def generate(
    objects: int = 20_000, seed: int = 1, days: int = 60, *, until: date, flat_days: int = 21
) -> Iterator[DemoObject]:
    """Invents an export, the oldest object first.

    Args:
        objects: The exact number of objects.
        days: Number of days with a folder. Two more between them are missing.
        until: The last day with a folder.
        flat_days: Number of days with flat files, right before the first folder.

    Raises:
        ValueError: Too few days for two gaps, or too few objects for the days.
    """
    rng = Random(f"qpi-{seed}")
    fixed = 3 + 2 * flat_days + min(PLACEHOLDER_DAYS, days)
    if days < MISSING_DAYS + 1:
        raise ValueError(f"{days} days have no room for {MISSING_DAYS} missing ones between them")
    if objects < fixed + days:
        raise ValueError(f"{objects} objects are too few for {days} days: at least {fixed + days} are wanted")
    first = until - timedelta(days + MISSING_DAYS - 1)
    # Never neighbours and never at an end, so every seed gives two gaps.
    missing = {number + 1 for number in rng.sample(range(0, days, 2), MISSING_DAYS)}
    folders = [first + timedelta(n) for n in range(days + MISSING_DAYS) if n not in missing]
    made_by_hand = set(rng.sample(folders, min(PLACEHOLDER_DAYS, days)))

    yield from _flat_era(rng, first - timedelta(flat_days), flat_days)
    for day, submissions in zip(folders, _shares(rng, folders, objects - fixed), strict=True):
        if day in made_by_hand:
            yield _placeholder(_folder(day), _at(day, 0))
        yield from _submissions(rng, day, submissions)
    yield DemoObject(".DS_Store", _DS_STORE, "application/octet-stream", _at(until, 86_390))
    yield DemoObject(STRAY_NAME, b"Do not delete before asking.\n", "text/plain", _at(until, 86_395))


def one_submission(rng: Random, day: date, user_id: int, moment: datetime) -> DemoObject:
    """Invents the object that the writer uploads when a user submits the questionnaire at a moment, filed under a day.

    It is one line of JSON of about 200 to 2,000 bytes. A second submission of a user on one day has the same name.
    """
    name = f"{_folder(day)}user_id_{user_id}.jsonl"
    return DemoObject(name, _line(rng, user_id, moment), JSON_TYPE, moment)


def _submissions(rng: Random, day: date, number: int) -> Iterator[DemoObject]:
    moments = sorted(_at(day, rng.triangular(6 * 3_600, 86_380, 19 * 3_600)) for _ in range(number))
    for user_id, moment in zip(rng.sample(range(1, _USERS), number), moments, strict=True):
        yield one_submission(rng, day, user_id, moment)


def _flat_era(rng: Random, first: date, days: int) -> Iterator[DemoObject]:
    yield _placeholder("", _at(first, 0))
    for number in range(days):
        day = first + timedelta(number)
        exported = _at(day, 86_340)
        lines = (_line(rng, rng.randrange(1, _USERS), _at(day, rng.uniform(0, 86_000))) for _ in range(20))
        questions = "".join(f"Q{n:03},{rng.choice('ABCD')},{day}\n" for n in range(1, _QUESTIONS + 1))
        yield DemoObject(f"qpi_answers_{day:%Y%m%d}.jsonl", b"".join(lines), JSON_TYPE, exported)
        table = f"question_id,category,valid_from\n{questions}".encode()
        yield DemoObject(f"qpi_questions_{day:%Y%m%d}.csv", table, "text/csv", exported)


def _line(rng: Random, user_id: int, moment: datetime) -> bytes:
    asked = sorted(rng.sample(range(1, _QUESTIONS + 1), rng.randint(_FEWEST_ANSWERS, _MOST_ANSWERS)))
    answers = [{"question_id": f"Q{one:03}", "answer_ids": _answers(rng, one)} for one in asked]
    submission = {"user_id": str(user_id), "submitted_at": moment.isoformat(), "answers": answers}
    return json.dumps(submission).encode() + b"\n"


def _answers(rng: Random, question: int) -> list[str]:
    chosen = rng.sample("abcde", rng.choice((1, 1, 1, 1, 2, 3)))
    return [f"a{question:03}{letter}" for letter in sorted(chosen)]


def _shares(rng: Random, days: list[date], objects: int) -> list[int]:
    """Spreads the objects over the days, at least one each; the largest fractions get the remainders."""
    weights = [_WEEKDAYS[day.weekday()] * rng.lognormvariate(0, 0.12) for day in days]
    spare = objects - len(days)
    exact = [spare * weight / sum(weights) for weight in weights]
    shares = [1 + int(share) for share in exact]
    by_fraction = sorted(range(len(days)), key=lambda number: int(exact[number]) - exact[number])
    for number in by_fraction[: objects - sum(shares)]:
        shares[number] += 1
    return shares


def _placeholder(relative: str, created: datetime) -> DemoObject:
    return DemoObject(relative, b"", "text/plain", created)


def _folder(day: date) -> str:
    return f"qpi_answers_{day:%Y%m%d}/"


def _at(day: date, seconds: float) -> datetime:
    return datetime.combine(day, time(), UTC) + timedelta(milliseconds=int(seconds * 1_000))


# --- the legacy bucket's audit log ----------------------------------------------------------------------------

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
    """Makes entries of Cloud Storage's audit log about one migration's legacy bucket, as Cloud Logging gives them."""

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
