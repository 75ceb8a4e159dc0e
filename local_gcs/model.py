"""The storage itself: pure, in memory, every method atomic because none of them waits.

No I/O and no clock of its own: time and generation numbers are given. Whoever wants to know of changes (the events)
appends a listener, which is told of each change at the moment it happens.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from local_gcs.buckets import Bucket, Settings, new_resource, patched_resource
from local_gcs.errors import Refused, bucket_missing, invalid, object_missing
from local_gcs.objects import (
    NONE,
    Attributes,
    Conditions,
    Content,
    Draft,
    Generations,
    ObjectVersion,
    check_object_name,
    later,
    stamp,
)

__all__ = ["Change", "ChangeKind", "ComposeSource", "Storage"]

MOST_COMPONENTS = 32


class ChangeKind(Enum):
    """What happened to a version; the value is the last word of the event's type."""

    FINALIZED = "finalized"
    DELETED = "deleted"
    ARCHIVED = "archived"
    METADATA_UPDATED = "metadataUpdated"


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one version.

    Attributes:
        kind: What happened.
        version: The version as it is after the change.
        time: When.
    """

    kind: ChangeKind
    version: ObjectVersion
    time: str


@dataclass(frozen=True, slots=True)
class ComposeSource:
    """One part of a composed object.

    Attributes:
        name: Its object name, in the same bucket.
        generation: Which version; None for the live one.
        conditions: What must hold of it.
    """

    name: str
    generation: int | None = None
    conditions: Conditions = NONE


class Storage:
    """All buckets and objects.

    Args:
        now: The current time, in UTC.
        generations: Where generation numbers come from.
    """

    def __init__(self, *, now: Callable[[], datetime], generations: Generations) -> None:
        self._now = now
        self._generations = generations
        self.buckets: dict[str, Bucket] = {}
        self.listeners: list[Callable[[Change], None]] = []

    def now(self) -> str:
        """The current time as Cloud Storage writes it."""
        return stamp(self._now())

    # ---------------------------------------------------------------- buckets

    def bucket(self, name: str) -> Bucket:
        """A bucket.

        Raises:
            Refused: 404.
        """
        try:
            return self.buckets[name]
        except KeyError:
            raise bucket_missing() from None

    def create_bucket(self, body: dict[str, Any]) -> Bucket:
        """Make a bucket from a bucket resource.

        Raises:
            Refused: 409, it exists; 400, the resource makes no sense.
        """
        resource = new_resource(body, now=self.now())
        name = resource["name"]
        if name in self.buckets:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise Refused(409, "conflict", message)
        bucket = self.buckets[name] = Bucket(name, resource, Settings.of(resource))
        return bucket

    def patch_bucket(self, name: str, changes: dict[str, Any], conditions: Conditions = NONE) -> Bucket:
        """Change a bucket's configuration.

        Raises:
            Refused: 404, 412, or 400.
        """
        bucket = self.bucket(name)
        _require_metageneration(bucket, conditions)
        bucket.resource = patched_resource(bucket.resource, changes, now=self.now())
        before, bucket.settings = bucket.settings, Settings.of(bucket.resource)
        if before.retention_seconds != bucket.settings.retention_seconds:
            for key, version in bucket.live.items():
                bucket.live[key] = self._retained(bucket, version)
        return bucket

    def delete_bucket(self, name: str, conditions: Conditions = NONE) -> None:
        """Remove an empty bucket.

        Raises:
            Refused: 404, 412, or 409 while it holds live or noncurrent versions.
        """
        bucket = self.bucket(name)
        _require_metageneration(bucket, conditions)
        if bucket.live or bucket.noncurrent:
            raise Refused(409, "conflict", "The bucket you tried to delete is not empty.")
        del self.buckets[name]

    # ---------------------------------------------------------------- reading

    def find(self, bucket: Bucket, name: str, generation: int | None = None) -> ObjectVersion:
        """The live version of an object, or the named one.

        Raises:
            Refused: 404.
        """
        version: ObjectVersion | None = bucket.live.get(name)
        if generation is not None and (version is None or version.generation != generation):
            version = bucket.noncurrent.get(name, generation)
        if version is None:
            raise object_missing(bucket.name, name)
        return version

    def find_soft_deleted(self, bucket: Bucket, name: str, generation: int | None) -> ObjectVersion:
        """A version that can still be restored.

        Raises:
            Refused: 404; 400 when no generation is named.
        """
        if generation is None and bucket.soft_deleted.of(name):
            raise invalid("Generation must be specified.", location="generation", reason="required")
        version = bucket.soft_deleted.get(name, generation or 0)
        if version is None or (version.hard_delete_time or "") <= self.now():
            raise object_missing(bucket.name, name)
        return version

    # ---------------------------------------------------------------- writing

    def insert(
        self, bucket_name: str, name: str, content: Content, draft: Draft, conditions: Conditions = NONE
    ) -> ObjectVersion:
        """Store an object.

        Raises:
            Refused: 400 for the name, 404 for the bucket, 412, or 403 while a hold or retention protects what is there.
        """
        bucket = self.bucket(bucket_name)
        check_object_name(name)
        conditions.require(bucket.live.get(name))
        return self.put(bucket, name, content, draft)

    def put(
        self,
        bucket: Bucket,
        name: str,
        content: Content,
        draft: Draft,
    ) -> ObjectVersion:
        """Make a new live version; conditions have been checked, protection has not.

        Raises:
            Refused: 403 while a hold or retention protects what is there.
        """
        previous = bucket.live.get(name)
        if previous is not None:
            self._require_unprotected(bucket, previous, replacing=True)
        now = self.now()
        version = ObjectVersion(
            bucket.name,
            name,
            next(self._generations),
            1,
            content,
            draft.attributes,
            draft.storage_class or bucket.settings.storage_class,
            now,
            now,
            draft.holds,
        )
        if bucket.settings.event_based_hold and draft.holds.event_based is None:
            version = replace(version, holds=replace(draft.holds, event_based=True))
        if bucket.settings.retention_seconds:
            version = self._retained(bucket, version)
        bucket.live[name] = version
        if previous is not None:
            self._shelve(bucket, previous, now)
        self._tell(ChangeKind.FINALIZED, version, now)
        return version

    def load(self, bucket: Bucket, objects: Iterable[tuple[str, Content, Attributes]]) -> int:
        """Store many new objects at once, without events; for benchmarks and demos.

        Returns:
            How many.

        Raises:
            Refused: 409; a name is taken. Nothing has been stored then.
        """
        now, storage_class, generations = self.now(), bucket.settings.storage_class, self._generations
        fresh = {
            name: ObjectVersion(
                bucket.name, name, next(generations), 1, content, attributes, storage_class, now, now
            )
            for name, content, attributes in objects
        }
        if bucket.live and not bucket.live.keys().isdisjoint(fresh):
            raise Refused(409, "conflict", "Some of these objects exist.")
        bucket.live.update(fresh)
        return len(fresh)

    def patch(
        self,
        bucket_name: str,
        name: str,
        change: Callable[[ObjectVersion], Draft],
        *,
        generation: int | None = None,
        conditions: Conditions = NONE,
    ) -> ObjectVersion:
        """Change the metadata of a version; its generation stays, its metageneration goes up.

        Args:
            bucket_name: Bucket name.
            name: Object name.
            change: Gives the new metadata from the present version.
            generation: Which version; None for the live one.
            conditions: What must hold of it.

        Raises:
            Refused: 404, 412, or whatever `change` raises.
        """
        bucket = self.bucket(bucket_name)
        version = self.find(bucket, name, generation)
        conditions.require(version)
        draft = change(version)
        now = self.now()
        holds = draft.holds
        if version.holds.event_based and not holds.event_based:
            holds = replace(holds, retention_start=now)
        patched = self._retained(
            bucket,
            replace(
                version,
                metageneration=version.metageneration + 1,
                attributes=draft.attributes,
                holds=holds,
                # A metadata change is never as old as what it changes, however fast it follows.
                updated=now if now > version.updated else later(version.updated, seconds=0.001),
            ),
        )
        if version.time_deleted:
            bucket.noncurrent.add(patched)
        else:
            bucket.live[name] = patched
        self._tell(ChangeKind.METADATA_UPDATED, patched, now)
        return patched

    def delete(
        self, bucket_name: str, name: str, *, generation: int | None = None, conditions: Conditions = NONE
    ) -> None:
        """Delete an object, or one version of it.

        Cloud Storage reference, "Objects: delete": without a generation the live version becomes noncurrent in a
        versioned bucket; with one, that version is deleted. Soft delete keeps what is deleted for its time.

        Raises:
            Refused: 404, 412, or 403 while a hold or retention protects it.
        """
        bucket = self.bucket(bucket_name)
        version = self.find(bucket, name, generation)
        conditions.require(version)
        archiving = bucket.settings.versioning and generation is None
        self._require_unprotected(bucket, version, replacing=archiving)
        now = self.now()
        if version.time_deleted:
            bucket.noncurrent.remove(version)
        else:
            del bucket.live[name]
        if archiving:
            self._shelve(bucket, version, now)
        else:
            self._soft_delete(bucket, version, now)

    def restore(
        self, bucket_name: str, name: str, *, generation: int | None, conditions: Conditions = NONE
    ) -> ObjectVersion:
        """Make a soft-deleted version live again, with a new generation; it stays on the soft-deleted shelf.

        Args:
            bucket_name: Bucket name.
            name: Object name.
            generation: The soft-deleted generation.
            conditions: What must hold of the live version, if any.

        Raises:
            Refused: 404, 412, 400 without a generation, or 403 while a hold or retention protects what is live.
        """
        bucket = self.bucket(bucket_name)
        lost = self.find_soft_deleted(bucket, name, generation)
        conditions.require(bucket.live.get(name))
        return self.put(bucket, name, lost.content, Draft(lost.attributes, lost.storage_class))

    def compose(
        self,
        bucket_name: str,
        name: str,
        sources: list[ComposeSource],
        draft: Draft,
        conditions: Conditions = NONE,
    ) -> ObjectVersion:
        """Make an object of the contents of others, which has no MD5 (Cloud Storage reference, "Objects: compose").

        Raises:
            Refused: 404, 412, 400 for none or more than 32 sources, or 403 for a protected destination.
        """
        if not 1 <= len(sources) <= MOST_COMPONENTS:
            raise invalid("The number of source components must be between 1 and 32.")
        bucket = self.bucket(bucket_name)
        check_object_name(name)
        parts = []
        for source in sources:
            part = self.find(bucket, source.name, source.generation)
            source.conditions.require(part)
            parts.append(part.content)
        conditions.require(bucket.live.get(name))
        components = sum(part.components or 1 for part in parts)
        content = Content.of(b"".join(part.data for part in parts), components=components)
        return self.put(bucket, name, content, draft)

    def move(
        self,
        bucket_name: str,
        name: str,
        new_name: str,
        *,
        source_conditions: Conditions = NONE,
        conditions: Conditions = NONE,
    ) -> ObjectVersion:
        """Rename an object within its bucket (Cloud Storage reference, "Objects: move").

        Raises:
            Refused: 404, 412, 400 for the name, or 403 while a hold or retention protects either object.
        """
        bucket = self.bucket(bucket_name)
        source = self.find(bucket, name)
        check_object_name(new_name)
        if new_name == name:
            raise invalid("The source and destination object must differ.")
        source_conditions.require(source)
        conditions.require(bucket.live.get(new_name))
        self._require_unprotected(bucket, source, replacing=bucket.settings.versioning)
        moved = self.put(bucket, new_name, source.content, Draft(source.attributes, source.storage_class))
        self.delete(bucket_name, name)
        return moved

    # ---------------------------------------------------------------- inside

    def _tell(self, kind: ChangeKind, version: ObjectVersion, time: str) -> None:
        for listener in self.listeners:
            listener(Change(kind, version, time))

    def _shelve(self, bucket: Bucket, version: ObjectVersion, now: str) -> None:
        """Put away a version that has just stopped being live."""
        if bucket.settings.versioning:
            archived = replace(version, time_deleted=now)
            bucket.noncurrent.add(archived)
            self._tell(ChangeKind.ARCHIVED, archived, now)
        else:
            self._soft_delete(bucket, version, now)

    def _soft_delete(self, bucket: Bucket, version: ObjectVersion, now: str) -> None:
        """Put away a version that has been deleted, for as long as the bucket's policy says."""
        seconds = bucket.settings.soft_delete_seconds
        if seconds:
            bucket.soft_deleted.add(
                replace(version, soft_delete_time=now, hard_delete_time=later(now, seconds=seconds))
            )
        if self.listeners:
            self._tell(ChangeKind.DELETED, replace(version, time_deleted=now), now)

    def _require_unprotected(self, bucket: Bucket, version: ObjectVersion, *, replacing: bool) -> None:
        """Refuse to delete or replace what a hold or a retention policy protects.

        A version that only becomes noncurrent is not lost, so retention lets it; a hold does not.
        """
        holds = version.holds
        if holds.temporary or holds.event_based:
            kind = "Temporary" if holds.temporary else "Event-Based"
            message = (
                f"Object '{version.bucket}/{version.name}' is under active {kind} hold and cannot be deleted, "
                "overwritten or archived until hold is removed."
            )
            raise Refused(403, "objectUnderActiveHold", message)
        expires = version.retention_expires
        if expires and expires > self.now() and not (replacing and bucket.settings.versioning):
            message = (
                f"Object '{version.bucket}/{version.name}' is subject to bucket's retention policy or object "
                f"retention and cannot be deleted or overwritten until {expires}"
            )
            raise Refused(403, "retentionPolicyNotMet", message)

    @staticmethod
    def _retained(bucket: Bucket, version: ObjectVersion) -> ObjectVersion:
        """The version with the time until which the bucket's retention policy protects it."""
        seconds = bucket.settings.retention_seconds
        if not seconds or version.holds.event_based:
            return replace(version, retention_expires=None) if version.retention_expires else version
        start = version.holds.retention_start or version.time_created
        return replace(version, retention_expires=later(start, seconds=seconds))


def _require_metageneration(bucket: Bucket, conditions: Conditions) -> None:
    """Check metageneration conditions on a bucket."""
    wanted, unwanted = conditions.metageneration_match, conditions.metageneration_not_match
    if wanted not in {None, bucket.metageneration} or unwanted == bucket.metageneration:
        raise Refused(
            412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."
        )
