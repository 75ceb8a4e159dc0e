"""What a bucket's settings mean for the migration: each setting that changes what a copy, a deletion or an undo can do.

A setting that stops the migration is FAIL. A setting that weakens a promise passes, and its advice names the promise.
`bucket_checks` is pure. `safety_net` reads the settings that still hold a deleted object.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from backfill_job.checks import Check, failed, passed
from shared.errors import PermissionDenied
from shared.gcs.api import AsyncApi
from shared.text import duration

__all__ = ["SafetyNet", "bucket_checks", "safety_net"]

Resource = Mapping[str, Any]


def bucket_checks(legacy: Resource, new: Resource) -> Iterator[Check]:
    """Check both buckets, as the JSON API shows them."""
    yield _location(legacy, new)
    yield _storage_class(legacy, new)
    for side, resource in (("legacy", legacy), ("new", new)):
        yield _uniform_access(side, resource)
        yield _requester_pays(side, resource)
        yield _protection(side, resource)
        yield _key(side, resource)
        yield _lifecycle(side, resource)
    yield _soft_delete(legacy)
    yield _versioning(legacy)


def _location(legacy: Resource, new: Resource) -> Check:
    places = [f"{one.get('location')} ({one.get('locationType')})" for one in (legacy, new)]
    if places[0] == places[1]:
        return passed("location", f"both in {places[0]}: a copy is one request and no transfer")
    seen = f"{places[0]} and {places[1]}: every copy is a transfer between locations, which is billed, and a large object takes several calls"
    return passed("location", seen, "see the estimate of the dry run; triggers lie with their buckets")


def _storage_class(legacy: Resource, new: Resource) -> Check:
    old, fresh = (str(one.get("storageClass", "")) for one in (legacy, new))
    if old in {"STANDARD", ""}:
        return passed("storage class", f"{old or 'STANDARD'} to {fresh}")
    seen = f"{old} to {fresh}: reading for the copy, and deleting or replacing before the class's minimum age, are billed"
    return passed("storage class", seen, "add it to the estimate of the dry run")


def _uniform_access(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: uniform access"
    configuration = resource.get("iamConfiguration") or {}
    if (configuration.get("uniformBucketLevelAccess") or {}).get("enabled"):
        return passed(name, "on: permissions can be limited to a prefix")
    seen = "off: permissions cannot be limited to a prefix, and access lists of single objects are not copied"
    step = f"gcloud storage buckets update gs://{resource.get('name')} --uniform-bucket-level-access, once no reader relies on access lists"
    return failed(name, seen, step)


def _requester_pays(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: requester pays"
    if not (resource.get("billing") or {}).get("requesterPays"):
        return passed(name, "off")
    seen = "on: requests that name no project to bill are refused, and this software names none"
    return failed(
        name,
        seen,
        f"gcloud storage buckets update gs://{resource.get('name')} --no-requester-pays",
    )


def _protection(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: retention and holds"
    period = int((resource.get("retentionPolicy") or {}).get("retentionPeriod") or 0)
    hold = bool(resource.get("defaultEventBasedHold"))
    if not period and not hold:
        return passed(name, "neither a retention policy nor a default hold")
    what = (
        f"objects are protected for {duration(period)}" if period else "new objects get an event-based hold"
    )
    if side == "new":
        seen = f"{what}: a second answer of the same day could not replace the first, nor the migration's state change"
        return failed(name, seen, "take another bucket, or remove the protection until the migration is done")
    seen = f"{what}: until then the deletion is refused, and a rollback cannot replace what was changed"
    return passed(name, seen, "delete after that time, or have the owner of the bucket decide")


def _key(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: encryption"
    key = (resource.get("encryption") or {}).get("defaultKmsKeyName")
    if not key:
        return passed(name, "Google's keys")
    seen = f"{key}: where Cloud Storage may not use the key, every read or copy is refused"
    return passed(name, seen, f"gcloud storage service-agent --authorize-cmek={key}")


def _lifecycle(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: lifecycle"
    rules = (resource.get("lifecycle") or {}).get("rule") or ()
    deleting = [rule for rule in rules if (rule.get("action") or {}).get("type") == "Delete"]
    if not deleting:
        return passed(name, "no rule deletes")
    seen = f"{len(deleting)} of its rules delete: on either side that shows as a difference, and copies begin with a new age"
    return passed(name, seen, "see that no rule is about the migrated prefixes")


def _soft_delete(legacy: Resource) -> Check:
    name = "legacy bucket: soft delete"
    seconds = int((legacy.get("softDeletePolicy") or {}).get("retentionDurationSeconds") or 0)
    if seconds:
        return passed(name, f"a deletion can be undone from it for {duration(seconds)}")
    seen = "off: after the deletion only the new path can bring an object back, with another generation and creation time"
    step = f"gcloud storage buckets update gs://{legacy.get('name')} --soft-delete-duration=7d, before the deletion"
    return passed(name, seen, step)


def _versioning(legacy: Resource) -> Check:
    name = "legacy bucket: versioning"
    if not (legacy.get("versioning") or {}).get("enabled"):
        return passed(name, "off: what is deleted is gone, but for soft delete")
    seen = "on: the deletion leaves noncurrent versions, which are kept and billed"
    return passed(name, seen, "remove them by a lifecycle rule when the undo is no longer wanted")


@dataclass(frozen=True, slots=True)
class SafetyNet:
    """The settings of a bucket that still hold a deleted object.

    Attributes:
        bucket: Its name.
        soft_delete: How long deleted objects can be restored; zero where they cannot; None where this is not known.
        versioning: Whether deleted objects stay as noncurrent versions.
        retention: How long objects may not be deleted; zero where there is no policy.
        why_unknown: Why the settings are not known; else empty.
    """

    bucket: str
    soft_delete: timedelta | None
    versioning: bool = False
    retention: timedelta = timedelta()
    why_unknown: str = ""

    @property
    def summary(self) -> str:
        """What an operator should know before deleting."""
        parts = []
        if self.soft_delete is None:
            parts.append(f"not known whether soft delete is on ({self.why_unknown})")
        elif self.soft_delete:
            parts.append(
                f"soft delete holds deleted objects for {duration(self.soft_delete.total_seconds())}"
            )
        else:
            parts.append(
                "soft delete is OFF: an undo could only copy back from the new path. "
                f"Consider: gcloud storage buckets update gs://{self.bucket} --soft-delete-duration=30d"
            )
        if self.versioning:
            parts.append("versioning keeps them as noncurrent versions too")
        if self.retention:
            held = duration(self.retention.total_seconds())
            parts.append(f"a retention policy of {held} keeps younger objects from being deleted")
        return "; ".join(parts)

    def to_json(self) -> dict[str, Any]:
        """The settings for a report."""
        return {
            "soft_delete_s": None if self.soft_delete is None else self.soft_delete.total_seconds(),
            "versioning": self.versioning,
            "retention_s": self.retention.total_seconds(),
        }


async def safety_net(api: AsyncApi, bucket: str) -> SafetyNet:
    """Read a bucket's settings. Without ``storage.buckets.get`` they are not known, which is not an error.

    Raises:
        StorageError: They could not be read.
    """
    try:
        found = await api.bucket(bucket, "softDeletePolicy,versioning,retentionPolicy")
    except PermissionDenied as error:
        return SafetyNet(bucket, None, why_unknown=error.detail)
    return SafetyNet(
        bucket,
        _seconds(found.get("softDeletePolicy"), "retentionDurationSeconds"),
        bool((found.get("versioning") or {}).get("enabled")),
        _seconds(found.get("retentionPolicy"), "retentionPeriod"),
    )


def _seconds(policy: Any, key: str) -> timedelta:
    return timedelta(seconds=int((policy or {}).get(key) or 0))
