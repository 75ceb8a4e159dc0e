"""A bucket: its configuration, its lifecycle rules, and its object versions on three shelves.

The shelves are separate, so deleted versions never cost a live operation anything.

A lifecycle rule says which versions a bucket deletes or moves to another storage class, and when (Cloud Storage documentation,
"Object Lifecycle Management"). All conditions of a rule must hold; Delete takes precedence over SetStorageClass. Google applies rules
at a time of its own; here a test asks for it, with a clock that it can turn.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from heapq import merge
from itertools import groupby
from typing import Any

import msgspec
from sortedcontainers import SortedDict

from local_gcs.calls import Whole
from local_gcs.discovery import check_fields, check_names, google, not_modelled
from local_gcs.errors import RequestRefused, invalid
from local_gcs.objects import ObjectVersion, check_bucket_name, check_storage_class, parse_moment

__all__ = [
    "DELETE",
    "Bucket",
    "BucketSettings",
    "LifecycleRule",
    "Shelf",
    "due_action",
    "locked_resource",
    "new_resource",
    "parse_lifecycle",
    "patched_resource",
]


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """One rule: moves a version to a storage class, or deletes it (None), if all conditions, by Google's names, hold."""

    storage_class: str | None
    conditions: Mapping[str, Any]

    def applies(self, version: ObjectVersion, now: datetime, newer: int) -> bool:
        """Whether all conditions hold for a version, of whose name there are so many newer versions."""
        return all(
            CONDITIONS[name].holds(wanted, version, now, newer) for name, wanted in self.conditions.items()
        )


DELETE = "Delete"
CHEAPEST_FIRST = ("ARCHIVE", "COLDLINE", "NEARLINE", "STANDARD")


def due_action(
    rules: tuple[LifecycleRule, ...], version: ObjectVersion, now: datetime, newer: int
) -> str | None:
    """The action that is due: `DELETE`, the storage class of lowest price at rest to move to, or None."""
    due = {rule.storage_class or DELETE for rule in rules if rule.applies(version, now, newer)}
    if DELETE in due:
        return DELETE
    classes = [name for name in CHEAPEST_FIRST if name in due] or sorted(due)
    return classes[0] if classes and classes[0] != version.storage_class else None


def parse_lifecycle(lifecycle: Any) -> tuple[LifecycleRule, ...]:
    """The rules of a bucket resource. Refuses with 400: a rule is malformed, or not modelled."""
    try:
        return tuple(_rule(rule) for rule in (lifecycle or {}).get("rule") or ())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise invalid(f"Invalid lifecycle configuration: {error}", location="lifecycle") from error


def _rule(rule: Mapping[str, Any]) -> LifecycleRule:
    kind, storage_class = rule["action"]["type"], rule["action"].get("storageClass")
    given = {name: wanted for name, wanted in rule["condition"].items() if wanted is not None}
    if kind not in {"Delete", "SetStorageClass"}:
        raise not_modelled(f"the lifecycle action {kind}", location="lifecycle")
    for name in sorted(given.keys() - CONDITIONS.keys()):
        raise not_modelled(f"the lifecycle condition {name}", location="lifecycle")
    if not given or (kind == "SetStorageClass") != bool(storage_class):
        raise ValueError("a rule has a condition, and SetStorageClass has a storage class")
    conditions = {name: CONDITIONS[name].parse(wanted) for name, wanted in given.items()}
    return LifecycleRule(check_storage_class(storage_class) if storage_class else None, conditions)


@dataclass(frozen=True, slots=True)
class _Condition:
    """The kind of a wanted value, and a test of it, a version, the present time and the number of newer versions."""

    kind: Any
    holds: Callable[[Any, ObjectVersion, datetime, int], bool]

    def parse(self, value: object) -> Any:
        """The wanted value from JSON, where a number may be text; ValueError for a wrong one."""
        return msgspec.convert(value, self.kind, strict=self.kind is not Whole)


def _old(time: str | None, days: int, now: datetime) -> bool:
    return time is not None and now - parse_moment(time) >= timedelta(days=days)


def _before(time: str | None, day: date) -> bool:
    return time is not None and parse_moment(time).date() < day


CONDITIONS: Mapping[str, _Condition] = {
    "age": _Condition(Whole, lambda days, v, now, _: _old(v.time_created, days, now)),
    "createdBefore": _Condition(date, lambda day, v, _now, _: _before(v.time_created, day)),
    "customTimeBefore": _Condition(date, lambda day, v, _now, _: _before(v.attributes.custom_time, day)),
    "daysSinceCustomTime": _Condition(
        Whole, lambda days, v, now, _: _old(v.attributes.custom_time, days, now)
    ),
    "daysSinceNoncurrentTime": _Condition(Whole, lambda days, v, now, _: _old(v.time_deleted, days, now)),
    "isLive": _Condition(bool, lambda live, v, _now, _: live is (v.time_deleted is None)),
    "matchesPrefix": _Condition(tuple[str, ...], lambda texts, v, _now, _: v.name.startswith(texts)),
    "matchesStorageClass": _Condition(tuple[str, ...], lambda texts, v, _now, _: v.storage_class in texts),
    "matchesSuffix": _Condition(tuple[str, ...], lambda texts, v, _now, _: v.name.endswith(texts)),
    "noncurrentTimeBefore": _Condition(date, lambda day, v, _now, _: _before(v.time_deleted, day)),
    "numNewerVersions": _Condition(Whole, lambda wanted, _v, _now, newer: newer >= wanted),
    "sizeAboveBytes": _Condition(Whole, lambda size, v, _now, _: v.content.size > size),
    "sizeBelowBytes": _Condition(Whole, lambda size, v, _now, _: v.content.size < size),
}
"""Each condition that is modelled, by Google's name."""


# --- lifecycle rules ------------------------------------------------------------------------------------------

WEEK = 7 * 24 * 3600
SHORTEST_SOFT_DELETE = WEEK
LONGEST_SOFT_DELETE = 90 * 24 * 3600
SET_BY_SERVICE = frozenset(
    {"etag", "generation", "hardDeleteTime", "id", "kind", "locationType", "metageneration", "name", "owner"}
    | {"projectNumber", "satisfiesPZI", "satisfiesPZS", "selfLink", "softDeleteTime"}
    | {"timeCreated", "updated"}
)
"""Fields of a bucket resource that a request may repeat and cannot change."""
REPLACED = frozenset(
    {"billing", "cors", "defaultEventBasedHold", "labels", "lifecycle"}
    | {"logging", "retentionPolicy", "versioning"}
)
"""Fields that have an effect, or are shown, and that an update removes if it does not name them."""
KEPT = frozenset(
    {"customPlacementConfig", "iamConfiguration", "location", "rpo"}
    | {"softDeletePolicy", "storageClass", "website"}
)
"""Further fields that a request may set."""
TAKEN = REPLACED | KEPT | SET_BY_SERVICE
MULTI_REGIONS = frozenset({"ASIA", "EU", "US"})
DUAL_REGIONS = frozenset({"ASIA1", "EUR4", "EUR5", "EUR7", "EUR8", "NAM4"})


@dataclass(frozen=True, slots=True)
class BucketSettings:
    """The effect of a bucket's configuration on its objects.

    Attributes:
        versioning: Replaced and deleted live versions stay as noncurrent ones.
        soft_delete_seconds: Seconds for which a deleted version can be restored; 0 turns soft delete off.
        retention_seconds: Seconds for which a new version may not be deleted or replaced; 0 for no policy.
        storage_class: The class of objects that name none.
        event_based_hold: New objects get an event-based hold.
    """

    versioning: bool
    soft_delete_seconds: int
    retention_seconds: int
    storage_class: str
    event_based_hold: bool
    requester_pays: bool
    lifecycle: tuple[LifecycleRule, ...]

    @classmethod
    def of(cls, resource: dict[str, Any]) -> "BucketSettings":
        """The settings that a bucket resource states. Refuses with 400: a field has the wrong shape, or is not modelled."""

        def stated(policy: str, name: str) -> Any:
            return (resource.get(policy) or {}).get(name)

        lifecycle = parse_lifecycle(resource.get("lifecycle"))
        try:
            return cls(
                versioning=bool(stated("versioning", "enabled")),
                soft_delete_seconds=int(stated("softDeletePolicy", "retentionDurationSeconds") or 0),
                retention_seconds=int(stated("retentionPolicy", "retentionPeriod") or 0),
                storage_class=check_storage_class(str(resource.get("storageClass") or "STANDARD")),
                event_based_hold=bool(resource.get("defaultEventBasedHold")),
                requester_pays=bool(stated("billing", "requesterPays")),
                lifecycle=lifecycle,
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise invalid(f"Invalid bucket resource: {error}") from error


class Shelf:
    """Versions that are no longer live: by name, any number of each."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: SortedDict[str, dict[int, ObjectVersion]] = SortedDict()

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def add(self, version: ObjectVersion) -> None:
        """Keeps a version, in place of an older record of the same generation."""
        self._by_name.setdefault(version.name, {})[version.generation] = version

    def get(self, name: str, generation: int) -> ObjectVersion | None:
        """One version; None if it is absent."""
        found: ObjectVersion | None = self._by_name.get(name, {}).get(generation)
        return found

    def remove(self, version: ObjectVersion) -> None:
        """Forgets a version of this shelf."""
        versions = self._by_name[version.name]
        del versions[version.generation]
        if not versions:
            del self._by_name[version.name]

    def of(self, name: str) -> list[ObjectVersion]:
        """All versions of a name, in any order."""
        return list(self._by_name.get(name, {}).values())

    def __iter__(self) -> Iterator[ObjectVersion]:
        for versions in self._by_name.values():
            yield from versions.values()

    def names(self, low: str, high: str | None, *, inclusive: bool) -> Iterator[str]:
        """Names from `low` up to `high`, without `high`, in order."""
        found: Iterator[str] = self._by_name.irange(low, high, inclusive=(inclusive, False))
        return found


@dataclass(slots=True)
class Bucket:
    """One bucket.

    Attributes:
        resource: The bucket resource of the JSON API, without links.
        live: The live version of each name, sorted by name.
        policy: The IAM policy, which is kept and not enforced.
    """

    name: str
    resource: dict[str, Any]
    settings: BucketSettings
    live: "SortedDict[str, ObjectVersion]" = field(default_factory=SortedDict)
    noncurrent: Shelf = field(default_factory=Shelf)
    soft_deleted: Shelf = field(default_factory=Shelf)
    policy: dict[str, Any] = field(default_factory=dict)
    notifications: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def metageneration(self) -> int:
        """1 at creation, one more with each change of configuration."""
        return int(self.resource["metageneration"])

    def live_names(self, low: str, high: str | None, *, inclusive: bool) -> Iterator[str]:
        """Names of live objects from `low` up to `high`, without `high`, in order."""
        found: Iterator[str] = self.live.irange(low, high, inclusive=(inclusive, False))
        return found

    def all_names(self, low: str, high: str | None, *, inclusive: bool) -> Iterator[str]:
        """Names of objects with a live or a noncurrent version, in order, each once."""
        live = self.live_names(low, high, inclusive=inclusive)
        both = merge(live, self.noncurrent.names(low, high, inclusive=inclusive))
        return (name for name, _ in groupby(both))


def new_resource(body: dict[str, Any], *, now: str) -> dict[str, Any]:
    """The resource of a new bucket: the request over Google's defaults. Refuses with 400: a name or a field is wrong."""
    _check_body(body)
    name = check_bucket_name(body.get("name"))
    resource: dict[str, Any] = {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "projectNumber": "1",
        "generation": "1",
        "metageneration": "1",
        "timeCreated": now,
        "updated": now,
        "storageClass": "STANDARD",
        "iamConfiguration": {
            "bucketPolicyOnly": {"enabled": True},
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "inherited",
        },
        "softDeletePolicy": {"retentionDurationSeconds": str(WEEK)},
    }
    resource |= _merged({}, {key: value for key, value in body.items() if key not in SET_BY_SERVICE})
    resource["location"] = str(body.get("location") or "US").upper()
    resource["locationType"] = _location_type(resource)
    return _checked(resource, {}, now=now)


def _location_type(resource: dict[str, Any]) -> str:
    if resource["location"] in DUAL_REGIONS or "customPlacementConfig" in resource:
        return "dual-region"
    return "multi-region" if resource["location"] in MULTI_REGIONS else "region"


def patched_resource(
    resource: dict[str, Any], changes: dict[str, Any], *, now: str, whole: bool = False
) -> dict[str, Any]:
    """A bucket resource after a patch with the body of a request: null removes a field, and an object is merged.

    In a `whole` update an object that is named replaces the old one, and most fields that are not named are removed.
    Refuses with 400 for an invalid result, or 403 if it shortens or removes a locked retention policy.
    """
    _check_body(changes)
    changes = {key: value for key, value in changes.items() if key not in SET_BY_SERVICE}
    if changes.get("location") not in {None, resource["location"], resource["location"].lower()}:
        raise invalid("The location of a bucket cannot be changed.", location="location")
    changes.pop("location", None)
    if whole:
        base = {key: value for key, value in resource.items() if key not in REPLACED | changes.keys()}
        patched = base | _merged({}, changes)
    else:
        patched = _merged(resource, changes)
    if changes.get("softDeletePolicy", ...) is None:
        patched["softDeletePolicy"] = {"retentionDurationSeconds": "0"}
    patched["metageneration"] = str(int(resource["metageneration"]) + 1)
    patched["updated"] = now
    return _checked(patched, resource, now=now)


def locked_resource(resource: dict[str, Any], *, now: str) -> dict[str, Any]:
    """A bucket resource whose retention policy is locked. Refuses with 400: it has no retention policy."""
    if not BucketSettings.of(resource).retention_seconds:
        raise invalid(f"Bucket '{resource['name']}' does not have a retention policy.")
    changed = patched_resource(resource, {}, now=now)
    changed["retentionPolicy"]["isLocked"] = True
    return changed


def _check_body(body: dict[str, Any]) -> None:
    check_fields(body, "Bucket", TAKEN)
    check_names({name: body[name] for name in body.keys() - SET_BY_SERVICE}, google().schemas["Bucket"])


def _merged(old: Any, changes: Any) -> Any:
    """A JSON value after a patch (RFC 7396). A patch of nothing is the value without its nulls."""
    if not isinstance(changes, dict):
        return changes
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in changes.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged


def _checked(resource: dict[str, Any], before: dict[str, Any], *, now: str) -> dict[str, Any]:
    """The resource with policies in the form in which the service shows them."""
    old_retention, retention = before.get("retentionPolicy") or {}, resource.get("retentionPolicy")
    if isinstance(retention, dict):
        resource["retentionPolicy"] = {**retention, "isLocked": bool(old_retention.get("isLocked"))}
    settings = BucketSettings.of(resource)
    seconds = settings.soft_delete_seconds
    if seconds and not SHORTEST_SOFT_DELETE <= seconds <= LONGEST_SOFT_DELETE:
        raise invalid("Soft delete retention duration must be 0, or between 7 and 90 days.")
    if old_retention.get("isLocked") and settings.retention_seconds < int(old_retention["retentionPeriod"]):
        verb = "reduce the retention duration of" if settings.retention_seconds else "remove"
        message = f"Cannot {verb} a locked Retention Policy for bucket '{resource['name']}'."
        raise RequestRefused(403, "forbidden", message)
    for field_name, period, number in (
        ("softDeletePolicy", "retentionDurationSeconds", seconds),
        ("retentionPolicy", "retentionPeriod", settings.retention_seconds),
    ):
        if isinstance(resource.get(field_name), dict):
            old = before.get(field_name) or {}
            since = old["effectiveTime"] if old.get(period) == str(number) else now
            resource[field_name] = {**resource[field_name], "effectiveTime": since, period: str(number)}
    if isinstance(resource.get("retentionPolicy"), dict) and not resource["retentionPolicy"]["isLocked"]:
        del resource["retentionPolicy"]["isLocked"]
    return resource
