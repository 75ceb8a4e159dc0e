"""What would still hold a deleted object: what the bucket's settings say of soft delete, versions and retention."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from shared.errors import PermissionDenied
from shared.gcs.api import AsyncApi
from shared.text import duration

__all__ = ["SafetyNet", "safety_net"]


@dataclass(frozen=True, slots=True)
class SafetyNet:
    """A bucket's settings, as far as they concern deletions.

    Attributes:
        soft_delete: How long deleted objects can be restored; zero where they cannot; None where nobody may know.
        versioning: Whether deleted objects stay as noncurrent versions.
        retention: How long objects may not be deleted; zero for no policy.
        why_unknown: Why nobody may know; else empty.
    """

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
                "Consider: gcloud storage buckets update --soft-delete-duration=30d"
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
    """Read a bucket's settings.

    Args:
        api: Whom to ask.
        bucket: Bucket name.

    Raises:
        StorageError: They could not be read; a missing permission (``storage.buckets.get``) is none of these.
    """
    try:
        found = await api.bucket(bucket, "softDeletePolicy,versioning,retentionPolicy")
    except PermissionDenied as error:
        return SafetyNet(None, why_unknown=error.detail)
    return SafetyNet(
        _seconds(found.get("softDeletePolicy"), "retentionDurationSeconds"),
        bool((found.get("versioning") or {}).get("enabled")),
        _seconds(found.get("retentionPolicy"), "retentionPeriod"),
    )


def _seconds(policy: Any, key: str) -> timedelta:
    return timedelta(seconds=int((policy or {}).get(key) or 0))
