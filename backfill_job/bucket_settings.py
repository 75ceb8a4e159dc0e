"""What a bucket's settings mean for the migration: each setting that changes what a copy, a deletion or an undo can do.

A setting that stops the migration is FAIL. A setting that weakens a promise passes, and its advice names the promise.
`bucket_checks` and `lifecycle_checks` are pure. `safety_net` reads the settings that still hold a deleted object.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from backfill_job.check import SHOWN, Check, failed, passed, unavailable
from shared.errors import Cause, MigrationError, PermissionDenied
from shared.migration import Migration
from shared.text import duration, listed, shown

if TYPE_CHECKING:  # the deployment's check runs on a Python without packages
    from shared.gcs.api import AsyncApi

__all__ = [
    "LIFECYCLE_CHECKS",
    "PATH_LIFECYCLE",
    "RECORD",
    "RECORD_LIFECYCLE",
    "REQUESTER_PAYS",
    "Below",
    "Resource",
    "SafetyNet",
    "bucket_checks",
    "deleting_rules",
    "lifecycle_checks",
    "named_settings",
    "safety_net",
    "soft_delete_of",
]

Resource = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Below:
    """What is known of the objects below a prefix, as far as the conditions of a lifecycle rule ask for it.

    Attributes:
        endings: Each name ends with one of these; empty where a name may end with anything.
        custom_times: Whether an object may have a custom time.
    """

    prefix: str
    endings: tuple[str, ...] = ()
    custom_times: bool = True


REQUESTER_PAYS = "requester pays"
"""The end of a check's name."""

SOFT_DELETE = timedelta(days=7)
"""What the runbook wants of both buckets: somebody must notice before they are over."""

_NAMED = ("hierarchical namespace", "Autoclass", "rules that change the class")

_DIGITS = tuple("0123456789")

RECORD = Below("_migration/", (".json", ".jsonl", ".html", *_DIGITS), custom_times=False)
"""The records of the bucket's migrations, with their reports and manifests. The program gives none of them a custom time. A
version that it keeps in ``replaced/`` is named by its generation, and may have the original's (`_path_lifecycle`)."""


def _apart(texts: Any, overlap: Callable[[str], bool]) -> bool:
    """Whether a condition's list has texts, and an object can match none of them."""
    return (
        isinstance(texts, list)
        and bool(texts)
        and all(type(one) is str and not overlap(one) for one in texts)
    )


_NEVER: Mapping[str, Callable[[Any, Below], bool]] = {
    "isLive": lambda live, _: live is False,
    # A live version has no newer one. So 0 matches it, and 1 does not.
    "numNewerVersions": lambda newer, _: type(newer) is int and newer > 0,
    "daysSinceNoncurrentTime": lambda days, _: days is not None,
    "noncurrentTimeBefore": lambda day, _: day is not None,
    # An object without a custom time does not match these two.
    "customTimeBefore": lambda day, below: day is not None and not below.custom_times,
    "daysSinceCustomTime": lambda days, below: days is not None and not below.custom_times,
    "matchesPrefix": lambda texts, below: _apart(
        texts, lambda one: one.startswith(below.prefix) or below.prefix.startswith(one)
    ),
    "matchesSuffix": lambda texts, below: (
        bool(below.endings)
        and _apart(texts, lambda one: any(one.endswith(end) or end.endswith(one) for end in below.endings))
    ),
}
"""The conditions that can exclude a live object below a prefix, and when they do.

Source: Cloud Storage documentation, "Object Lifecycle Management", and the JSON API's reference of buckets. Every other
condition excludes nothing. ``age`` is met sooner or later. Objects from before the date of ``createdBefore`` may be there. A rule,
Autoclass or a person may change the class that ``matchesStorageClass`` names. Objects have any size. And a condition that is not
known here may mean anything."""

_DELETES_NOTHING = ("SetStorageClass", "AbortIncompleteMultipartUpload")
"""The actions that leave objects in place. An unknown action counts as deleting."""


def deleting_rules(bucket: Resource, below: Below) -> tuple[int, ...]:
    """The numbers, from 1, of a bucket's lifecycle rules that can delete a live object below a prefix, now or later. Pure.

    A rule acts on an object that meets all its conditions, so one condition that an object cannot meet is enough to exclude the
    rule. Where the bucket keeps versions, the rule makes a live object noncurrent, and it is absent for every reader.
    """
    return tuple(
        number
        for number, rule in enumerate(_setting(bucket, "lifecycle", "rule") or (), 1)
        if _setting(rule, "action", "type") not in _DELETES_NOTHING
        and not any(
            name in _NEVER and _NEVER[name](value, below)
            for name, value in (rule.get("condition") or {}).items()
        )
    )


RECORD_LIFECYCLE = "record-lifecycle"
PATH_LIFECYCLE = "path-lifecycle"

_LIMIT = (
    "limit the rule to other names with matchesPrefix, or remove it (one whose date has passed has done its work): "
    "gcloud storage buckets update gs://{} --lifecycle-file=FILE"
)


def _record_lifecycle(new: Resource, _: Migration) -> Check:
    rules = deleting_rules(new, RECORD)
    if not rules:
        return passed(RECORD_LIFECYCLE, f"no rule of the new bucket deletes below {RECORD.prefix}")
    seen = (
        f"{_told(new, rules)} of the new bucket can delete the migration's record below {RECORD.prefix}; "
        "without it the source of truth is unknown"
    )
    return failed(RECORD_LIFECYCLE, seen, _LIMIT.format(new.get("name")))


def _path_lifecycle(new: Resource, migration: Migration) -> Check:
    replaced = Below(migration.own_ref("replaced", "").name, _DIGITS)
    kept = set(deleting_rules(new, replaced)) - set(deleting_rules(new, RECORD))
    found = kept.union(deleting_rules(new, Below(migration.destination.prefix)))
    where = shown(migration.destination.uri)
    if not found:
        return passed(PATH_LIFECYCLE, f"no rule of the new bucket deletes in {where}")
    seen = (
        f"{_told(new, tuple(sorted(found)))} of the new bucket can delete objects of {where}, or versions that were kept; "
        "copies begin with a new age"
    )
    return failed(PATH_LIFECYCLE, seen, _LIMIT.format(new.get("name")))


LIFECYCLE_CHECKS: Mapping[str, Callable[[Resource, Migration], Check]] = {
    RECORD_LIFECYCLE: _record_lifecycle,
    PATH_LIFECYCLE: _path_lifecycle,
}
"""The checks of the new bucket's lifecycle rules, by name."""


def lifecycle_checks(new: Resource | MigrationError, migration: Migration) -> tuple[Check, ...]:
    """Check the new bucket's lifecycle rules. Pure.

    Args:
        new: The bucket, as the JSON API shows it; or why it cannot be read, which makes both checks NOT RUN.
    """
    return tuple(
        unavailable(name, new) if isinstance(new, MigrationError) else check(new, migration)
        for name, check in LIFECYCLE_CHECKS.items()
    )


def _told(bucket: Resource, numbers: tuple[int, ...]) -> str:
    rules = bucket["lifecycle"]["rule"]
    conditions = {
        number: shown(json.dumps(rules[number - 1].get("condition"), ensure_ascii=False))
        for number in numbers
    }
    return listed((f"rule {number} {condition}" for number, condition in conditions.items()), SHOWN)


def bucket_checks(legacy: Resource, new: Resource, migration: Migration) -> Iterator[Check]:
    """Check both buckets, as the JSON API shows them."""
    yield _location(legacy, new)
    yield _storage_class(legacy, new)
    for side, resource in (("legacy", legacy), ("new", new)):
        yield _uniform_access(side, resource)
        yield _hierarchical_namespace(side, resource)
        yield _autoclass(side, resource)
        yield _class_rules(side, resource)
        yield _requester_pays(side, resource)
        yield _protection(side, resource)
        yield _key(side, resource)
    yield _legacy_lifecycle(legacy, migration)
    yield from lifecycle_checks(new, migration)
    yield _soft_delete("legacy", legacy)
    yield _soft_delete("new", new)
    yield _versioning(legacy)


def named_settings(legacy: Resource, new: Resource, migration: Migration) -> tuple[Check, ...]:
    """The checks of both buckets that a dry run shows: what stands in the way, and what is not copied or costs more.

    Not requester pays: what could list the bucket has a project that pays.
    """
    return tuple(
        check
        for check in bucket_checks(legacy, new, migration)
        if not check.name.endswith(REQUESTER_PAYS)
        and (check.blocks or (check.next_step and check.name.partition(": ")[2] in _NAMED))
    )


def _location(legacy: Resource, new: Resource) -> Check:
    places = [f"{one.get('location')} ({one.get('locationType')})" for one in (legacy, new)]
    if places[0] == places[1]:
        return passed("location", f"both in {places[0]}: a copy is one request and no transfer")
    seen = f"{places[0]} and {places[1]}: every copy is a transfer between locations, which is billed, and a large object takes several calls"
    return passed(
        "location",
        seen,
        "the dry run's estimate leaves the transfer out: cloud.google.com/storage/pricing, network",
    )


def _storage_class(legacy: Resource, new: Resource) -> Check:
    old, fresh = (str(one.get("storageClass", "")) for one in (legacy, new))
    if old in {"STANDARD", ""}:
        return passed("storage class", f"{old or 'STANDARD'} to {fresh}")
    seen = f"{old} to {fresh}: reading for the copy, and deleting or replacing before the class's minimum age, are billed"
    return passed(
        "storage class",
        seen,
        "see the estimate of the dry run; a copy keeps its source's class, see --storage-class",
    )


def _setting(resource: Resource, *path: str) -> Any:
    """A setting by its path; None where it is absent, or what it is a part of."""
    found: Any = resource
    for key in path:
        found = (found or {}).get(key)
    return found


def _uniform_access(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: uniform access"
    if _setting(resource, "iamConfiguration", "uniformBucketLevelAccess", "enabled"):
        seen = (
            "on: permissions can be limited to a prefix; managed folders and their permissions are not copied"
        )
        return passed(name, seen)
    seen = (
        "off: permissions cannot be limited to a prefix, and access lists of single objects are not copied. "
        "See first that no reader relies on them"
    )
    step = f"gcloud storage buckets update gs://{resource.get('name')} --uniform-bucket-level-access"
    return failed(name, seen, step)


def _hierarchical_namespace(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: hierarchical namespace"
    if not _setting(resource, "hierarchicalNamespace", "enabled"):
        return passed(name, "off")
    seen = (
        "on: folders are resources of their own; empty ones, and the permissions on folders, are not copied"
    )
    step = f"see which are needed: gcloud storage folders list gs://{resource.get('name')}"
    return passed(name, seen, step)


def _autoclass(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: Autoclass"
    if not _setting(resource, "autoclass", "enabled"):
        return passed(name, "off")
    if side == "new":
        seen = "on: every copy begins in the standard class"
        return passed(name, seen, "--storage-class has no effect there")
    seen = "on: the service changes the classes of objects; a read for the copy moves an object back to the standard class"
    return passed(name, seen, "expect the price of the standard class for what was read")


def _class_rules(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: rules that change the class"
    rules = enumerate(_setting(resource, "lifecycle", "rule") or (), 1)
    found = tuple(number for number, rule in rules if _setting(rule, "action", "type") == "SetStorageClass")
    if not found:
        return passed(name, "none")
    seen = f"{_told(resource, found)} change the storage class of objects; the comparison counts them, and does not fail"
    return passed(name, seen, "expect the class's retrieval and its minimum age in the costs")


def _requester_pays(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: requester pays"
    if not _setting(resource, "billing", "requesterPays"):
        return passed(name, "off")
    seen = "on: requests that name no project to bill are refused; --billing-project names one"
    return failed(name, seen, Cause.PAYER.fix)


def _protection(side: str, resource: Resource) -> Check:
    name = f"{side} bucket: retention and holds"
    period = int(_setting(resource, "retentionPolicy", "retentionPeriod") or 0)
    if not period and not resource.get("defaultEventBasedHold"):
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
    key = _setting(resource, "encryption", "defaultKmsKeyName")
    if not key:
        return passed(name, "Google's keys")
    seen = f"{key}: where Cloud Storage may not use the key, every read or copy is refused"
    return passed(name, seen, f"gcloud storage service-agent --authorize-cmek={key}")


def _legacy_lifecycle(legacy: Resource, migration: Migration) -> Check:
    name, where = "legacy bucket: lifecycle", shown(migration.source.uri)
    rules = deleting_rules(legacy, Below(migration.source.prefix))
    if not rules:
        return passed(name, f"no rule deletes in {where}")
    seen = (
        f"{_told(legacy, rules)} can delete objects of {where}: what it deletes there stays on the new path"
    )
    return passed(name, seen, f"see that no rule deletes in {where} before the migration is done")


def soft_delete_of(resource: Resource) -> timedelta:
    """For how long a bucket's deleted objects can be restored; zero where they cannot."""
    return timedelta(seconds=int(_setting(resource, "softDeletePolicy", "retentionDurationSeconds") or 0))


def _soft_delete(side: str, resource: Resource) -> Check:
    name, held = f"{side} bucket: soft delete", soft_delete_of(resource)
    how_long = duration(held.total_seconds())
    step = f"gcloud storage buckets update gs://{resource.get('name')} --soft-delete-duration=7d"
    if side == "new":
        step = f"before the first copy: {step}"
        on = f"a lost object, the migration's record included, can be restored for {how_long}"
        off = "off: what is overwritten or deleted there is gone, the migration's record included"
    else:
        step = f"before the deletion: {step}"
        on = f"a deletion can be undone from it for {how_long}"
        off = "off: after the deletion only the new path can bring an object back, with another generation and creation time"
    return passed(name, on if held else off, "" if held >= SOFT_DELETE else step)


def _versioning(legacy: Resource) -> Check:
    name = "legacy bucket: versioning"
    if not _setting(legacy, "versioning", "enabled"):
        return passed(name, "off: what is deleted is gone, but for soft delete")
    seen = "on: the deletion leaves noncurrent versions, which are kept and billed"
    return passed(name, seen, "remove them by a lifecycle rule when the undo is no longer wanted")


@dataclass(frozen=True, slots=True)
class SafetyNet:
    """The settings of a bucket that still hold a deleted object.

    Attributes:
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


async def safety_net(api: "AsyncApi", bucket: str) -> SafetyNet:
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
        soft_delete_of(found),
        bool(_setting(found, "versioning", "enabled")),
        timedelta(seconds=int(_setting(found, "retentionPolicy", "retentionPeriod") or 0)),
    )
