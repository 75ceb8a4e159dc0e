"""One version of one object as Cloud Storage shows it, and whether two of them are the same.

*Same* is the project's only notion of equality. Size and crc32c are equal, md5 is equal where both have one, and the
metadata that a server-side copy carries is equal. A checksum that one side lacks is a difference, never an agreement.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Any, NamedTuple

from shared.errors import UnexpectedAnswer

__all__ = [
    "CONTENT_DIFFERENCES",
    "LEFT_OUT",
    "NOT_COMPARED",
    "OBJECT_FIELDS",
    "RESOURCE_FIELDS",
    "Difference",
    "FieldUse",
    "LastWrite",
    "Metadata",
    "ObjectRef",
    "ObjectState",
    "crc32c_of",
    "differences",
    "is_before",
    "is_later",
    "last_write",
    "parse_time",
    "proves",
    "reserved_keys",
    "same",
    "shared_metadata",
    "time_text",
]

RESERVED_PREFIXES = ("goog-reserved-", "x-goog-reserved-")
"""Custom metadata that Google's own tools add to copies (``gcloud storage rsync``: ``goog-reserved-file-mtime``)."""

RESOURCE_FIELDS = (
    "name,generation,metageneration,size,crc32c,md5Hash,timeCreated,updated,contentType,contentEncoding,"
    "contentDisposition,contentLanguage,cacheControl,customTime,metadata,contexts,temporaryHold,eventBasedHold,"
    "retentionExpirationTime,timeStorageClassUpdated,storageClass"
)
"""The fields of an object resource that `ObjectState.from_resource` reads, in the form of a listing's projection."""


class FieldUse(Enum):
    """What the project makes of one field of the object resource."""

    COMPARED = "compared"
    CARRIED = "carried by a copy, not compared"
    NOT_CARRIED = "not carried by a copy, not compared"
    SERVICE = "set by the service"


OBJECT_FIELDS: Mapping[str, FieldUse] = MappingProxyType(
    {
        name: use
        for use, names in {
            FieldUse.COMPARED: (
                "name size crc32c md5Hash contentType contentEncoding contentDisposition contentLanguage cacheControl "
                "customTime metadata contexts.custom.*.value"
            ),
            FieldUse.CARRIED: "contexts.custom.*.extendedDataTypeUrl metadata.goog-reserved-*",
            FieldUse.NOT_CARRIED: (
                "acl storageClass temporaryHold eventBasedHold retention customerEncryption kmsKeyName"
            ),
            FieldUse.SERVICE: (
                "bucket componentCount contexts.custom.*.createTime contexts.custom.*.updateTime etag generation "
                "hardDeleteTime id kind mediaLink metageneration owner restoreToken retentionExpirationTime selfLink "
                "softDeleteTime timeCreated timeDeleted timeFinalized timeStorageClassUpdated updated"
            ),
        }.items()
        for name in names.split()
    }
)
"""Every field of Google's object resource, by its path. A field stands for all that is below it, unless that is listed.

A test holds the table against Google's discovery document. So a new field of Google's cannot count as equal unseen. What a
rewrite without a body carries: Cloud Storage reference, "Objects: rewrite", and "Use object contexts".
"""

NOT_COMPARED: Mapping[str, str] = MappingProxyType(
    {
        "contexts.custom.*.extendedDataTypeUrl": "extended data of object contexts",
        "metadata.goog-reserved-*": "custom metadata of Google's own tools",
        "acl": "access control lists",
        "storageClass": "storage class",
        "temporaryHold": "holds and retention",
        "eventBasedHold": "holds and retention",
        "retention": "holds and retention",
        "customerEncryption": "encryption keys",
        "kmsKeyName": "encryption keys",
    }
)
"""What a client can set and the comparison leaves out, in words."""

LEFT_OUT = tuple(dict.fromkeys(NOT_COMPARED.values()))
"""The words of `NOT_COMPARED`, each once. The verdict, the report and the certificate name them."""


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The name of an object, independent of its versions; `name` is complete and not percent-encoded."""

    bucket: str
    name: str

    @property
    def uri(self) -> str:
        """``gs://bucket/name``, for people and logs."""
        return f"gs://{self.bucket}/{self.name}"


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata that a rewrite without a body carries over (Cloud Storage reference, "Objects: rewrite").

    An empty text counts as unset, as Cloud Storage treats it.

    Attributes:
        contexts: The value of each object context. Its times are the service's own.
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_disposition: str | None = None
    content_language: str | None = None
    cache_control: str | None = None
    custom_time: str | None = None
    custom: Mapping[str, str] = field(default_factory=dict)
    contexts: Mapping[str, str] = field(default_factory=dict)


class ObjectState(NamedTuple):
    """One version of one object, as seen at some moment.

    A named tuple, because listings make millions of them: it takes a third of a frozen dataclass's time.

    Attributes:
        generation: Identifies this version. Code compares it only for equality: Google promises uniqueness, not order.
        metageneration: Counts metadata changes of this version.
        size: Bytes.
        crc32c: Base64 of the big-endian checksum; None if the service did not give it.
        md5: Base64; None for composite objects.
        created: RFC 3339 time at which this version was finalized.
        updated: RFC 3339 time of its last metadata change, by a client or by the service; see `last_write`.
        hold: Which hold forbids replacing or deleting it; empty for none. A copy does not inherit it.
        retained_until: RFC 3339 time until which a retention policy forbids that; empty for none.
        class_updated: RFC 3339 time of its last change of storage class; empty where the service does not say.
        storage_class: Empty where the service does not say.
    """

    name: str
    generation: int
    metageneration: int
    size: int
    crc32c: str | None
    md5: str | None
    created: str
    updated: str
    metadata: Metadata
    hold: str = ""
    retained_until: str = ""
    class_updated: str = ""
    storage_class: str = ""

    @property
    def held(self) -> bool:
        """Whether it has a hold or a retention time. The time may have passed."""
        return bool(self.hold or self.retained_until)

    def protection(self, today: date) -> str:
        """What forbids replacing or deleting it on a day (UTC), in words; empty for nothing."""
        if self.hold:
            return self.hold
        kept = self.retained_until >= today.isoformat()  # of one form, so texts sort as times do
        return f"retained until {self.retained_until}" if kept else ""

    @staticmethod
    def from_resource(resource: Mapping[str, Any]) -> "ObjectState":
        """Read an object resource of the JSON API: the answer to a look or a listing, or an event's body.

        Args:
            resource: The parsed JSON. Integers arrive as texts from the API, and as texts or numbers in events.

        Raises:
            UnexpectedAnswer: The name, generation or size is missing, or a number is not one, or not possible.
        """
        try:
            get = resource.get
            name = resource["name"]
            return ObjectState(
                name,
                _whole(resource["generation"], 1),
                int(get("metageneration") or 1),
                _whole(resource["size"], 0),
                get("crc32c") or None,
                get("md5Hash") or None,
                get("timeCreated") or "",
                get("updated") or "",
                _metadata(get),
                _hold(get) if get("temporaryHold") or get("eventBasedHold") else "",
                get("retentionExpirationTime") or "",
                get("timeStorageClassUpdated") or "",
                get("storageClass") or "",
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            given: Any = resource
            what = given if isinstance(given, Mapping) else {}
            raise UnexpectedAnswer(
                f"gs://{what.get('bucket', '?')}/{what.get('name', '?')}",
                f"not an object resource ({error!r} in {sorted(what)})",
            ) from error

    @staticmethod
    def of(resource: Mapping[str, Any], name: str) -> "ObjectState":
        """Read the resource of one object that was asked for.

        Raises:
            UnexpectedAnswer: As `from_resource`; or it is of another object.
        """
        state = ObjectState.from_resource(resource)
        if state.name != name:
            where = f"gs://{resource.get('bucket', '?')}/{name}"
            raise UnexpectedAnswer(where, f"the answer is about another object ({state.name!r})")
        return state


def _whole(value: Any, least: int) -> int:
    """A whole number of a resource. Generation 0 would mean "absent" as a condition."""
    number = int(value)
    if number < least or (isinstance(value, float) and value != number):
        raise ValueError(f"{value!r} is not possible")
    return number


def _hold(get: Callable[[str], Any]) -> str:
    kinds = (("temporaryHold", "temporary hold"), ("eventBasedHold", "event-based hold"))
    return ", ".join(words for key, words in kinds if get(key))


class Difference(Enum):
    """One property in which two objects differ."""

    SIZE = "size"
    CRC32C = "crc32c"
    CRC32C_UNKNOWN = "crc32c unknown"
    MD5 = "md5"
    CRC32C_ALONE = "crc32c alone, and older than the source"
    BYTES = "bytes"
    CONTENT_TYPE = "content type"
    CONTENT_ENCODING = "content encoding"
    CONTENT_DISPOSITION = "content disposition"
    CONTENT_LANGUAGE = "content language"
    CACHE_CONTROL = "cache control"
    CUSTOM_TIME = "custom time"
    CUSTOM_METADATA = "custom metadata"
    CONTEXTS = "object contexts"


CONTENT_DIFFERENCES = frozenset(
    {
        Difference.SIZE,
        Difference.CRC32C,
        Difference.CRC32C_UNKNOWN,
        Difference.MD5,
        Difference.CRC32C_ALONE,
        Difference.BYTES,
    }
)
"""The differences in contents; the others are metadata. `differences` finds neither `CRC32C_ALONE` (see `proves`) nor `BYTES`."""

_METADATA_FIELDS = (
    (Difference.CONTENT_TYPE, "content_type"),
    (Difference.CONTENT_ENCODING, "content_encoding"),
    (Difference.CONTENT_DISPOSITION, "content_disposition"),
    (Difference.CONTENT_LANGUAGE, "content_language"),
    (Difference.CACHE_CONTROL, "cache_control"),
)


def _metadata(get: Callable[[str], Any]) -> Metadata:
    """The metadata of a resource. Objects with equal metadata share one value: several times as fast as one for each."""
    plain = (
        get("contentType") or None,
        get("contentEncoding") or None,
        get("contentDisposition") or None,
        get("contentLanguage") or None,
        get("cacheControl") or None,
    )
    time, custom, contexts = get("customTime"), get("metadata"), get("contexts")
    if time or custom or contexts:
        return Metadata(*plain, time or None, custom or {}, _context_values(contexts or {}))
    return shared_metadata(*plain)


def _context_values(contexts: Mapping[str, Any]) -> dict[str, str]:
    """The values of the resource's object contexts; a context without a value counts as empty."""
    values = {key: context.get("value") or "" for key, context in (contexts.get("custom") or {}).items()}
    if not all(isinstance(value, str) for value in values.values()):
        raise TypeError("the value of an object context is not a text")
    return values


shared_metadata = lru_cache(1024)(Metadata)
"""Metadata of an object that has nothing else than the first five."""


def differences(one: ObjectState, other: ObjectState) -> tuple[Difference, ...]:
    """Name every property in which two objects differ, contents first; empty when they are the same.

    It does not compare names, generations, times and holds: a copy has its own. `OBJECT_FIELDS` says what becomes of each
    field.
    """
    found = []
    if one.size != other.size:
        found.append(Difference.SIZE)
    if one.crc32c is None or other.crc32c is None:
        found.append(Difference.CRC32C_UNKNOWN)
    elif one.crc32c != other.crc32c:
        found.append(Difference.CRC32C)
    if one.md5 is not None and other.md5 is not None and one.md5 != other.md5:
        found.append(Difference.MD5)
    if one.metadata is not other.metadata and one.metadata != other.metadata:
        found.extend(_metadata_differences(one.metadata, other.metadata))
    return tuple(found)


def same(one: ObjectState, other: ObjectState) -> bool:
    """Tell whether two objects are the same: `differences` is empty."""
    return not differences(one, other)


def proves(source: ObjectState, copy: ObjectState) -> bool:
    """Tell whether the checksums prove that a copy which is the same as its source has the same bytes.

    A crc32c has 32 bits, so an overwritten version may have the same one. Without an md5 on both sides, it proves only a copy
    that is younger than its source: every copy is of the live version (``docs/decisions/0028``).
    """
    if source.md5 is not None and copy.md5 is not None:
        return True
    return not source.size or is_later(copy.created, source.created)


def reserved_keys(state: ObjectState) -> tuple[str, ...]:
    """List the custom metadata keys that the comparison ignores because Google's tools add them."""
    return tuple(sorted(key for key in state.metadata.custom if key.startswith(RESERVED_PREFIXES)))


def parse_time(text: str) -> datetime:
    """Read an RFC 3339 time of Cloud Storage as an aware datetime.

    Raises:
        ValueError: The text is not such a time, or has no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no time zone")
    return moment


def time_text(moment: datetime) -> str:
    """An aware time in the form that Cloud Storage uses: RFC 3339, UTC, milliseconds, ``Z``. Such texts sort like the times."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class LastWrite(NamedTuple):
    """Between which RFC 3339 times a client last changed a version or its metadata; equal where that is known."""

    earliest: str
    latest: str


def last_write(state: ObjectState) -> LastWrite:
    """Tell when a client last changed a version, its metadata included.

    The service moves ``updated``, too, when it changes the storage class: by a lifecycle rule, or by Autoclass. A client
    changes the class only with a rewrite, which makes a new version. So a class that changed after the creation, at the
    time of ``updated``, is the service's change, and hides when a client last changed something. If the metadata changed
    only that once, by its metageneration, then the creation was the last write. Otherwise it is not known.

    Limits: another change by the service that moves ``updated`` counts as a client's. So does a hold that a client sets.
    Google does not document whether a change of class raises the metageneration. If it does not, one change by a client
    just before goes unseen. What the later write replaces is kept in any case (``docs/decisions/0016``).
    """
    by_service = is_later(state.class_updated, state.created) and not (
        is_later(state.updated, state.class_updated) or is_later(state.class_updated, state.updated)
    )
    if not by_service:
        return LastWrite(state.updated, state.updated)
    once = state.metageneration <= _CREATED_AND_CHANGED_ONCE
    return LastWrite(state.created, state.created if once else state.updated)


_CREATED_AND_CHANGED_ONCE = 2
"""A metageneration: 1 is the creation's."""


def is_later(one: str, other: str) -> bool:
    """Tell whether one RFC 3339 time is after another. A time that cannot be read is not after anything."""
    if len(one) == len(other) and one.endswith("Z") and other.endswith("Z"):
        return one > other  # one form, so texts sort as times do; a hot path
    try:
        return parse_time(one) > parse_time(other)
    except ValueError:
        return False


def is_before(state: ObjectState, moment: datetime) -> bool:
    """Tell whether a version was created and last updated before a moment (aware). Not if a time cannot be read."""
    try:
        return parse_time(state.created) < moment and parse_time(state.updated) < moment
    except ValueError:
        return False


def _metadata_differences(one: Metadata, other: Metadata) -> list[Difference]:
    found = [what for what, name in _METADATA_FIELDS if getattr(one, name) != getattr(other, name)]
    if not _same_time(one.custom_time, other.custom_time):
        found.append(Difference.CUSTOM_TIME)
    if _unreserved(one.custom) != _unreserved(other.custom):
        found.append(Difference.CUSTOM_METADATA)
    if one.contexts != other.contexts:
        found.append(Difference.CONTEXTS)
    return found


def _same_time(one: str | None, other: str | None) -> bool:
    if one == other:
        return True
    if one is None or other is None:
        return False
    try:
        return parse_time(one) == parse_time(other)
    except ValueError:
        return False


def _unreserved(custom: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in custom.items() if not key.startswith(RESERVED_PREFIXES)}


def crc32c_of(contents: bytes) -> str:
    """The checksum of contents as Cloud Storage gives it (reference, "Objects": crc32c)."""
    import google_crc32c  # noqa: PLC0415 -- the deployment imports this module on a Python without packages

    return base64.b64encode(google_crc32c.value(contents).to_bytes(4, "big")).decode()
