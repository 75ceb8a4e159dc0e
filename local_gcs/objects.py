"""What is stored: one version of an object, as a value that never changes.

A rewrite shares `Content` and `Attributes` with its source, so a copy costs no bytes and no checksum.
"""

import hashlib
from base64 import b64encode
from dataclasses import dataclass

import google_crc32c

__all__ = ["NO_ATTRIBUTES", "NO_HOLDS", "Attributes", "Content", "Draft", "Holds", "ObjectVersion"]


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a version and their checksums, computed once.

    Attributes:
        data: The bytes.
        size: How many.
        crc32c: Base64 of the big-endian CRC32C.
        md5: Base64 of the MD5; None for a composite object, which has none.
        components: How many components a composite object has.
    """

    data: bytes
    size: int
    crc32c: str
    md5: str | None
    components: int | None = None

    @classmethod
    def of(cls, data: bytes, *, components: int | None = None) -> "Content":
        """The content with these bytes."""
        checksum = b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()
        md5 = None if components else b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        return cls(data, len(data), checksum, md5, components)


@dataclass(frozen=True, slots=True)
class Attributes:
    """The metadata that a rewrite without a body carries over (Cloud Storage reference, "Objects: rewrite")."""

    content_type: str | None = None
    content_encoding: str | None = None
    content_disposition: str | None = None
    content_language: str | None = None
    cache_control: str | None = None
    custom_time: str | None = None
    metadata: dict[str, str] | None = None


NO_ATTRIBUTES = Attributes()


@dataclass(frozen=True, slots=True)
class Holds:
    """What keeps a version from being deleted or replaced (Cloud Storage documentation, "Object holds").

    Attributes:
        temporary: A temporary hold is set.
        event_based: An event-based hold is set.
        retention_start: When an event-based hold was released: a bucket's retention period counts from then.
    """

    temporary: bool | None = None
    event_based: bool | None = None
    retention_start: str | None = None


NO_HOLDS = Holds()


@dataclass(frozen=True, slots=True)
class Draft:
    """What a client says about a version it wants: the editable part of an object resource."""

    attributes: Attributes = NO_ATTRIBUTES
    storage_class: str | None = None
    holds: Holds = NO_HOLDS


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One generation of one object.

    Attributes:
        bucket: Bucket name.
        name: Object name.
        generation: Unique over all objects.
        metageneration: 1 when created, one more with each change of metadata.
        content: Bytes and checksums.
        attributes: What a copy carries over.
        storage_class: Such as ``STANDARD``.
        time_created: When this generation came to be.
        updated: When its metadata last changed.
        holds: Holds on it.
        retention_expires: Until when a bucket's retention policy protects it.
        time_deleted: When it stopped being the live version.
        soft_delete_time: When it was soft-deleted.
        hard_delete_time: When it will be gone for good.
    """

    bucket: str
    name: str
    generation: int
    metageneration: int
    content: Content
    attributes: Attributes
    storage_class: str
    time_created: str
    updated: str
    holds: Holds = NO_HOLDS
    retention_expires: str | None = None
    time_deleted: str | None = None
    soft_delete_time: str | None = None
    hard_delete_time: str | None = None
