"""What a bucket's settings mean for the migration: every setting that changes what a copy, a deletion or an undo can do.

Pure: bucket resources in, checks out. A setting that stops the migration is FAIL. A setting that changes one of its promises passes,
and its advice says which promise.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from backfill_job.checks import Check, failed, passed
from shared.text import duration

__all__ = ["bucket_checks"]

Resource = Mapping[str, Any]


def bucket_checks(legacy: Resource, new: Resource) -> Iterator[Check]:
    """Judge both buckets.

    Args:
        legacy: The legacy bucket, as the JSON API shows it.
        new: The new one.
    """
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
    step = f"gcloud storage buckets update gs://{resource.get('name')} --uniform-bucket-level-access, once nobody relies on access lists"
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
