"""A bucket: its configuration and three shelves of object versions.

The shelves are apart so that what is deleted never costs a live operation anything.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge
from itertools import groupby
from typing import Any

from sortedcontainers import SortedDict

from local_gcs.errors import invalid
from local_gcs.objects import ObjectVersion, check_bucket_name

__all__ = ["Bucket", "Settings", "Shelf", "new_resource", "patched_resource"]

WEEK = 7 * 24 * 3600
SHORTEST_SOFT_DELETE = WEEK
LONGEST_SOFT_DELETE = 90 * 24 * 3600
FIXED = {
    "kind",
    "id",
    "name",
    "projectNumber",
    "metageneration",
    "timeCreated",
    "updated",
    "selfLink",
    "etag",
}
"""Fields of a bucket resource that no request changes."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a bucket's configuration means for its objects.

    Attributes:
        versioning: Replaced and deleted live versions stay as noncurrent ones.
        soft_delete_seconds: How long deleted versions can be restored; 0 turns soft delete off.
        retention_seconds: How long a new version may not be deleted or replaced; 0 for no policy.
        storage_class: The class of objects that name none.
        event_based_hold: New objects get an event-based hold.
    """

    versioning: bool
    soft_delete_seconds: int
    retention_seconds: int
    storage_class: str
    event_based_hold: bool

    @classmethod
    def of(cls, resource: dict[str, Any]) -> "Settings":
        """The settings that a bucket resource states.

        Raises:
            Refused: 400; a field has the wrong shape.
        """
        try:
            return cls(
                versioning=bool((resource.get("versioning") or {}).get("enabled")),
                soft_delete_seconds=int(
                    (resource.get("softDeletePolicy") or {}).get("retentionDurationSeconds") or 0
                ),
                retention_seconds=int((resource.get("retentionPolicy") or {}).get("retentionPeriod") or 0),
                storage_class=str(resource.get("storageClass") or "STANDARD"),
                event_based_hold=bool(resource.get("defaultEventBasedHold")),
            )
        except (AttributeError, TypeError, ValueError) as error:
            raise invalid(f"Invalid bucket resource: {error}") from error


class Shelf:
    """Versions that are no longer live, by name, several a name."""

    __slots__ = ("_by_name",)

    def __init__(self) -> None:
        self._by_name: SortedDict[str, dict[int, ObjectVersion]] = SortedDict()

    def __bool__(self) -> bool:
        return bool(self._by_name)

    def add(self, version: ObjectVersion) -> None:
        """Keep a version, or replace the record of the same generation."""
        versions = self._by_name.get(version.name)
        if versions is None:
            versions = self._by_name[version.name] = {}
        versions[version.generation] = version

    def get(self, name: str, generation: int) -> ObjectVersion | None:
        """One version; None when it is not here."""
        versions = self._by_name.get(name)
        return versions.get(generation) if versions else None

    def remove(self, version: ObjectVersion) -> None:
        """Forget a version that is here."""
        versions = self._by_name[version.name]
        del versions[version.generation]
        if not versions:
            del self._by_name[version.name]

    def of(self, name: str) -> list[ObjectVersion]:
        """All versions of a name, in no order."""
        return list(self._by_name.get(name, {}).values())

    def names(self, low: str, high: str | None, *, inclusive: bool) -> Iterator[str]:
        """Names from `low` up to, without, `high`, in order."""
        found: Iterator[str] = self._by_name.irange(low, high, inclusive=(inclusive, False))
        return found


@dataclass(slots=True)
class Bucket:
    """One bucket.

    Attributes:
        name: Bucket name.
        resource: Its resource as the JSON API shows it, without links.
        settings: What the resource means for objects.
        live: The live version of each name, sorted by name.
        noncurrent: Replaced and deleted versions of a versioned bucket.
        soft_deleted: Versions that can still be restored.
        policy: Its IAM policy.
        notifications: Its notification configurations, by id.
    """

    name: str
    resource: dict[str, Any]
    settings: Settings
    live: "SortedDict[str, ObjectVersion]" = field(default_factory=SortedDict)
    noncurrent: Shelf = field(default_factory=Shelf)
    soft_deleted: Shelf = field(default_factory=Shelf)
    policy: dict[str, Any] = field(default_factory=dict)
    notifications: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def metageneration(self) -> int:
        """1 when created, one more with each change of configuration."""
        return int(self.resource["metageneration"])

    def live_names(self, low: str, high: str | None, *, inclusive: bool) -> Iterator[str]:
        """Names of live objects from `low` up to, without, `high`, in order."""
        found: Iterator[str] = self.live.irange(low, high, inclusive=(inclusive, False))
        return found

    def all_names(self, low: str, high: str | None, *, inclusive: bool) -> Iterator[str]:
        """Names of objects that have a live or a noncurrent version, in order, each once."""
        both = merge(
            self.live_names(low, high, inclusive=inclusive),
            self.noncurrent.names(low, high, inclusive=inclusive),
        )
        return (name for name, _ in groupby(both))


def new_resource(body: dict[str, Any], *, now: str) -> dict[str, Any]:
    """The resource of a new bucket: what was asked for over Google's defaults.

    Args:
        body: The resource of the request.
        now: Creation time.

    Raises:
        Refused: 400; the name cannot be one.
    """
    name = check_bucket_name(body.get("name"))
    location = str(body.get("location") or "US").upper()
    resource: dict[str, Any] = {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "projectNumber": "1",
        "generation": "1",
        "metageneration": "1",
        "timeCreated": now,
        "updated": now,
        "locationType": "multi-region" if location in {"US", "EU", "ASIA"} else "region",
        "storageClass": "STANDARD",
        "iamConfiguration": {
            "bucketPolicyOnly": {"enabled": True},
            "uniformBucketLevelAccess": {"enabled": True},
            "publicAccessPrevention": "inherited",
        },
        "softDeletePolicy": {"retentionDurationSeconds": str(WEEK)},
    }
    resource |= {key: value for key, value in body.items() if key not in FIXED and value is not None}
    resource["location"] = location
    return _checked(resource, now=now)


def patched_resource(resource: dict[str, Any], changes: dict[str, Any], *, now: str) -> dict[str, Any]:
    """A bucket resource after a patch; null removes a field, and a label.

    Raises:
        Refused: 400; the result makes no sense.
    """
    patched = dict(resource)
    for key, value in changes.items():
        if key in FIXED:
            continue
        if key == "labels" and isinstance(value, dict):
            merged = (resource.get("labels") or {}) | value
            patched["labels"] = {label: text for label, text in merged.items() if text is not None}
        elif value is None:
            patched.pop(key, None)
        else:
            patched[key] = value
    if changes.get("softDeletePolicy", ...) is None:
        patched["softDeletePolicy"] = {"retentionDurationSeconds": "0"}
    patched["metageneration"] = str(int(resource["metageneration"]) + 1)
    patched["updated"] = now
    return _checked(patched, now=now)


def _checked(resource: dict[str, Any], *, now: str) -> dict[str, Any]:
    """The resource with policies in the form the service shows them."""
    settings = Settings.of(resource)
    seconds = settings.soft_delete_seconds
    if seconds and not SHORTEST_SOFT_DELETE <= seconds <= LONGEST_SOFT_DELETE:
        raise invalid("Soft delete retention duration must be 0, or between 7 and 90 days.")
    if isinstance(resource.get("softDeletePolicy"), dict):
        resource["softDeletePolicy"] = {"effectiveTime": now} | resource["softDeletePolicy"]
        resource["softDeletePolicy"]["retentionDurationSeconds"] = str(seconds)
    if isinstance(resource.get("retentionPolicy"), dict):
        resource["retentionPolicy"] = {"effectiveTime": now} | resource["retentionPolicy"]
        resource["retentionPolicy"]["retentionPeriod"] = str(settings.retention_seconds)
    return resource
