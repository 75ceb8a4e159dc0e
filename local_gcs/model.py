"""The storage itself: pure and in memory. Every method is atomic, because none of them waits.

It has no I/O and no clock of its own: the caller gives time and generation numbers. A listener that is appended to
`Storage.listeners` is called with each change at the moment of the change.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Any

from local_gcs.buckets import (
    DELETE,
    Bucket,
    BucketSettings,
    due_action,
    locked_resource,
    new_resource,
    patched_resource,
)
from local_gcs.errors import RequestRefused, bucket_missing, invalid, not_modified, object_missing
from local_gcs.objects import (
    NO_HOLDS,
    NONE,
    Attributes,
    Conditions,
    Content,
    Contexts,
    Draft,
    Generations,
    ObjectVersion,
    check_object_name,
    later,
    stamp,
)

__all__ = ["ChangeKind", "ComposeSource", "ObjectChange", "Storage", "require_metageneration"]

MOST_COMPONENTS = 32


class ChangeKind(Enum):
    """A kind of change; the value is the last word of the event's type."""

    FINALIZED = "finalized"
    DELETED = "deleted"
    ARCHIVED = "archived"
    METADATA_UPDATED = "metadataUpdated"


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """One change; the version is that after it."""

    kind: ChangeKind
    version: ObjectVersion
    time: str


@dataclass(frozen=True, slots=True)
class ComposeSource:
    """One part of a composed object: an object in the same bucket, whose live version has None as generation."""

    name: str
    generation: int | None = None
    conditions: Conditions = NONE


class Storage:
    """All buckets and objects; a request to a bucket in `requester_pays` must name the project that pays."""

    def __init__(self, *, now: Callable[[], datetime], generations: Generations) -> None:
        self._now = now
        self._generations = generations
        self.buckets: dict[str, Bucket] = {}
        self.requester_pays: set[str] = set()
        self.listeners: list[Callable[[ObjectChange], None]] = []

    def now(self) -> str:
        """The current time as Cloud Storage writes it."""
        return stamp(self._now())

    # ---------------------------------------------------------------- buckets

    def bucket(self, name: str) -> Bucket:
        """A bucket. Refuses with 404."""
        try:
            return self.buckets[name]
        except KeyError:
            raise bucket_missing() from None

    def create_bucket(self, body: dict[str, Any]) -> Bucket:
        """Makes a bucket from a bucket resource. Refuses with 409, it exists; 400, the resource is invalid."""
        resource = new_resource(body, now=self.now())
        name = resource["name"]
        if name in self.buckets:
            message = "Your previous request to create the named bucket succeeded and you already own it."
            raise RequestRefused(409, "conflict", message)
        bucket = self.buckets[name] = Bucket(name, resource, BucketSettings.of(resource))
        self._note_payer(bucket)
        return bucket

    def patch_bucket(
        self, name: str, changes: dict[str, Any], conditions: Conditions = NONE, *, whole: bool = False
    ) -> Bucket:
        """Changes a bucket; see `buckets.patched_resource`. Refuses with 404, 412, 403 for a locked policy, or 400."""
        bucket = self.bucket(name)
        require_metageneration(bucket, conditions)
        self._reconfigure(bucket, patched_resource(bucket.resource, changes, now=self.now(), whole=whole))
        return bucket

    def lock_retention(self, name: str, conditions: Conditions) -> Bucket:
        """Locks a bucket's retention policy for good. Refuses with 404, 412, or 400 without a policy."""
        bucket = self.bucket(name)
        require_metageneration(bucket, conditions)
        self._reconfigure(bucket, locked_resource(bucket.resource, now=self.now()))
        return bucket

    def _reconfigure(self, bucket: Bucket, resource: dict[str, Any]) -> None:
        before, settings = bucket.settings, BucketSettings.of(resource)
        bucket.resource, bucket.settings = resource, settings
        self._note_payer(bucket)
        if before.retention_seconds != settings.retention_seconds:
            for key, version in bucket.live.items():
                bucket.live[key] = self._retained(bucket, version)

    def _note_payer(self, bucket: Bucket) -> None:
        if bucket.settings.requester_pays:
            self.requester_pays.add(bucket.name)
        else:
            self.requester_pays.discard(bucket.name)

    def delete_bucket(self, name: str, conditions: Conditions = NONE) -> None:
        """Removes an empty bucket. Refuses with 404, 412, or 409 while it has live or noncurrent versions."""
        bucket = self.bucket(name)
        require_metageneration(bucket, conditions)
        if bucket.live or bucket.noncurrent:
            raise RequestRefused(409, "conflict", "The bucket you tried to delete is not empty.")
        del self.buckets[name]
        self.requester_pays.discard(name)

    # ---------------------------------------------------------------- reading

    def destination(self, bucket_name: str, name: str, conditions: Conditions) -> Bucket:
        """The bucket to write an object to. Refuses with 404 for the bucket, 400 for the name, or 412."""
        bucket = self.bucket(bucket_name)
        check_object_name(name)
        conditions.require(bucket.live.get(name))
        return bucket

    def find(
        self, bucket: Bucket, name: str, generation: int | None = None, conditions: Conditions = NONE
    ) -> ObjectVersion:
        """The live version of an object, or the named one. Refuses with 404 or 412."""
        version: ObjectVersion | None = bucket.live.get(name)
        if generation is not None and (version is None or version.generation != generation):
            version = bucket.noncurrent.get(name, generation)
        if version is None:
            raise object_missing(bucket.name, name)
        conditions.require(version)
        return version

    def find_soft_deleted(self, bucket: Bucket, name: str, generation: int | None) -> ObjectVersion:
        """A version that can still be restored. Refuses with 404; 400 without a generation."""
        if generation is None:
            raise invalid("Generation must be specified.", location="generation", reason="required")
        version = bucket.soft_deleted.get(name, generation)
        if version is None or (version.hard_delete_time or "") <= self.now():
            raise object_missing(bucket.name, name)
        return version

    # ---------------------------------------------------------------- writing

    def insert(
        self, bucket_name: str, name: str, content: Content, draft: Draft, conditions: Conditions = NONE
    ) -> ObjectVersion:
        """Stores an object. Refuses as `destination` and `put` do."""
        return self.put(self.destination(bucket_name, name, conditions), name, content, draft)

    def put(self, bucket: Bucket, name: str, content: Content, draft: Draft) -> ObjectVersion:
        """Makes a new live version; the caller has checked conditions. Refuses with 403 while the old one is protected."""
        previous = bucket.live.get(name)
        if previous is not None:
            self._require_unprotected(bucket, previous, replacing=True)
        now = self.now()
        kept = (content, draft.attributes, draft.storage_class or bucket.settings.storage_class)
        version = ObjectVersion(bucket.name, name, next(self._generations), 1, *kept, now, now, draft.holds)
        if draft.contexts:
            version = replace(version, contexts=_stamped(draft.contexts, now))
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
        """Stores new objects, without events, and gives their number. Refuses with 409 if one exists: none is stored."""
        now, storage_class, generations = self.now(), bucket.settings.storage_class, self._generations
        fresh = {
            name: ObjectVersion(
                bucket.name, name, next(generations), 1, content, attributes, storage_class, now, now
            )
            for name, content, attributes in objects
        }
        if bucket.live and not bucket.live.keys().isdisjoint(fresh):
            raise RequestRefused(409, "conflict", "Some of these objects exist.")
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
        """Changes the metadata of a version to what `change` makes of it. Refuses with 404, 412, or as `change` does."""
        bucket = self.bucket(bucket_name)
        version = self.find(bucket, name, generation, conditions)
        draft, now = change(version), self.now()
        released = version.holds.event_based and not draft.holds.event_based
        patched = replace(
            version,
            attributes=draft.attributes,
            holds=replace(draft.holds, retention_start=now if released else version.holds.retention_start),
            contexts=_stamped(draft.contexts, now),
            # A metadata change is never as old as the version that it changes, even if it follows at once.
            updated=now if now > version.updated else later(version.updated, seconds=0.001),
        )
        return self._update(bucket, self._retained(bucket, patched), now)

    def _update(self, bucket: Bucket, version: ObjectVersion, now: str) -> ObjectVersion:
        """Puts a changed record, one metageneration later, in the place of the old one of the same generation."""
        version = replace(version, metageneration=version.metageneration + 1)
        if version.time_deleted:
            bucket.noncurrent.add(version)
        else:
            bucket.live[version.name] = version
        self._tell(ChangeKind.METADATA_UPDATED, version, now)
        return version

    def delete(
        self, bucket_name: str, name: str, *, generation: int | None = None, conditions: Conditions = NONE
    ) -> None:
        """Deletes an object, or one version of it.

        Cloud Storage reference, "Objects: delete": without a generation the live version becomes noncurrent in a
        versioned bucket; with one, that version is deleted. Soft delete keeps a deleted version for its time. Refuses
        with 404, 412, or 403 while a hold or retention protects it.
        """
        bucket = self.bucket(bucket_name)
        version = self.find(bucket, name, generation, conditions)
        self._remove(bucket, version, archiving=generation is None)

    def _remove(self, bucket: Bucket, version: ObjectVersion, *, archiving: bool) -> None:
        """Takes a version off its shelf. It is deleted, or becomes noncurrent if it may and can. Refuses with 403."""
        archiving = archiving and bucket.settings.versioning and not version.time_deleted
        self._require_unprotected(bucket, version, replacing=archiving)
        now = self.now()
        if version.time_deleted:
            bucket.noncurrent.remove(version)
        else:
            del bucket.live[version.name]
        if archiving:
            self._shelve(bucket, version, now)
        else:
            self._soft_delete(bucket, version, now)

    def restore(
        self, bucket_name: str, name: str, *, generation: int | None, conditions: Conditions = NONE
    ) -> ObjectVersion:
        """Makes a soft-deleted version live again, with a new generation; the soft-deleted version stays as well.

        The conditions are about the live version, if there is one. Refuses with 404, 412, 400 without a generation,
        or 403 while a hold or retention protects the live version.
        """
        bucket = self.bucket(bucket_name)
        lost = self.find_soft_deleted(bucket, name, generation)
        conditions.require(bucket.live.get(name))
        return self.put(bucket, name, lost.content, replace(lost.draft, holds=NO_HOLDS))

    def compose(
        self,
        bucket_name: str,
        name: str,
        sources: list[ComposeSource],
        draft: Draft,
        conditions: Conditions = NONE,
        *,
        delete_sources: bool = False,
        drop_contexts: bool = False,
    ) -> ObjectVersion:
        """Joins objects into one, which has no MD5 (Cloud Storage reference, "Objects: compose").

        Object contexts of the sources are merged and the last source wins, unless the draft has its own. Refuses
        with 404, 412, 400 for none or more than 32 sources, or 403 for a protected destination.
        """
        if not 1 <= len(sources) <= MOST_COMPONENTS:
            raise invalid("The number of source components must be between 1 and 32.")
        bucket = self.bucket(bucket_name)
        check_object_name(name)
        parts = [self.find(bucket, part.name, part.generation, part.conditions) for part in sources]
        conditions.require(bucket.live.get(name))
        if delete_sources:
            for part in parts:
                self._require_unprotected(bucket, part, replacing=bucket.settings.versioning)
        components = sum(part.content.components or 1 for part in parts)
        content = Content.of(b"".join(part.content.data for part in parts), components=components)
        if draft.contexts is None and not drop_contexts:
            merged = {key: context for part in parts for key, context in (part.contexts or {}).items()}
            draft = replace(draft, contexts=merged or None)
        composed = self.put(bucket, name, content, draft)
        if delete_sources:
            for part in {part.name: part for part in parts if part.name != name}.values():
                self._remove(bucket, part, archiving=True)
        return composed

    def move(
        self,
        bucket_name: str,
        name: str,
        new_name: str,
        *,
        source_conditions: Conditions = NONE,
        conditions: Conditions = NONE,
    ) -> ObjectVersion:
        """Renames in a bucket (Cloud Storage reference, "Objects: move"). Refuses with 404, 412, 400 or 403."""
        bucket = self.bucket(bucket_name)
        source = self.find(bucket, name)
        check_object_name(new_name)
        if new_name == name:
            raise invalid("The source and destination object must differ.")
        source_conditions.require(source)
        conditions.require(bucket.live.get(new_name))
        self._require_unprotected(bucket, source, replacing=bucket.settings.versioning)
        moved = self.put(bucket, new_name, source.content, replace(source.draft, holds=NO_HOLDS))
        self.delete(bucket_name, name)
        return moved

    def run_lifecycle(self) -> dict[str, int]:
        """Applies all lifecycle rules once, and counts versions deleted and moved; holds and retention still protect."""
        counts = {"deleted": 0, "moved": 0}
        for bucket in self.buckets.values():
            for version, newer in self._with_newer(bucket) if bucket.settings.lifecycle else ():
                action = due_action(bucket.settings.lifecycle, version, self._now(), newer)
                if action == DELETE:
                    counts["deleted"] += self._expire(bucket, version)
                elif action:
                    now = self.now()
                    moved = replace(version, storage_class=action, class_since=now, updated=now)
                    self._update(bucket, moved, now)
                    counts["moved"] += 1
        return counts

    @staticmethod
    def _with_newer(bucket: Bucket) -> list[tuple[ObjectVersion, int]]:
        """Every live and noncurrent version, with the number of newer versions of its name."""
        found: list[tuple[ObjectVersion, int]] = [(version, 0) for version in bucket.live.values()]
        by_name: dict[str, list[ObjectVersion]] = {}
        for version in bucket.noncurrent:
            by_name.setdefault(version.name, []).append(version)
        for name, versions in by_name.items():
            # Sorting is stable: versions of one millisecond keep the order in which they became noncurrent.
            newest_first = sorted(versions, key=lambda v: v.time_deleted or "")[::-1]
            found += [(version, n + (name in bucket.live)) for n, version in enumerate(newest_first)]
        return found

    def _expire(self, bucket: Bucket, version: ObjectVersion) -> bool:
        """Deletes a version by rule; whether that was possible."""
        try:
            self._remove(bucket, version, archiving=True)
        except RequestRefused:
            return False
        return True

    # ---------------------------------------------------------------- inside

    def _tell(self, kind: ChangeKind, version: ObjectVersion, time: str) -> None:
        for listener in self.listeners:
            listener(ObjectChange(kind, version, time))

    def _shelve(self, bucket: Bucket, version: ObjectVersion, now: str) -> None:
        if bucket.settings.versioning:
            archived = replace(version, time_deleted=now)
            bucket.noncurrent.add(archived)
            self._tell(ChangeKind.ARCHIVED, archived, now)
        else:
            self._soft_delete(bucket, version, now)

    def _soft_delete(self, bucket: Bucket, version: ObjectVersion, now: str) -> None:
        seconds = bucket.settings.soft_delete_seconds
        if seconds:
            gone = replace(version, soft_delete_time=now, hard_delete_time=later(now, seconds=seconds))
            bucket.soft_deleted.add(gone if version.time_deleted else replace(gone, time_deleted=now))
        if self.listeners:
            self._tell(ChangeKind.DELETED, replace(version, time_deleted=now), now)

    def _require_unprotected(self, bucket: Bucket, version: ObjectVersion, *, replacing: bool) -> None:
        """Refuses to delete or replace a version that a hold or a retention policy protects.

        Retention permits that a version becomes noncurrent, because it is not lost; a hold does not permit it.
        """
        holds = version.holds
        if holds.temporary or holds.event_based:
            kind = "Temporary" if holds.temporary else "Event-Based"
            message = (
                f"Object '{version.bucket}/{version.name}' is under active {kind} hold and cannot be deleted, "
                "overwritten or archived until hold is removed."
            )
            raise RequestRefused(403, "objectUnderActiveHold", message)
        expires = version.retention_expires
        if expires and expires > self.now() and not (replacing and bucket.settings.versioning):
            message = (
                f"Object '{version.bucket}/{version.name}' is subject to bucket's retention policy or object "
                f"retention and cannot be deleted or overwritten until {expires}"
            )
            raise RequestRefused(403, "retentionPolicyNotMet", message)

    @staticmethod
    def _retained(bucket: Bucket, version: ObjectVersion) -> ObjectVersion:
        """The version with the time until which the bucket's retention policy protects it."""
        seconds = bucket.settings.retention_seconds
        if not seconds or version.holds.event_based:
            return replace(version, retention_expires=None) if version.retention_expires else version
        start = version.holds.retention_start or version.time_created
        return replace(version, retention_expires=later(start, seconds=seconds))


def _stamped(contexts: Contexts | None, now: str) -> Contexts | None:
    """Object contexts, with the present time where one has none yet."""
    if not contexts:
        return None
    return {key: {"createTime": now, "updateTime": now} | dict(context) for key, context in contexts.items()}


def require_metageneration(bucket: Bucket, conditions: Conditions, *, reading: bool = False) -> None:
    """Refuses with 412 unless the metageneration conditions hold; with 304 for a failed not-match while reading."""
    wanted, unwanted = conditions.metageneration_match, conditions.metageneration_not_match
    if reading and unwanted == bucket.metageneration:
        raise not_modified()
    if wanted not in {None, bucket.metageneration} or unwanted == bucket.metageneration:
        raise RequestRefused(
            412, "conditionNotMet", "At least one of the pre-conditions you specified did not hold."
        )
