"""One version of one object as Cloud Storage shows it, and whether two of them are the same.

*Same* is the project's only notion of equality. Size and crc32c are equal, md5 is equal where both have one, and the
metadata that a server-side copy carries is equal. A checksum that one side lacks is a difference, never an agreement.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import Enum
from functools import lru_cache
from typing import Any, NamedTuple

from shared.errors import UnexpectedAnswer

__all__ = [
    "CONTENT_DIFFERENCES",
    "RESOURCE_FIELDS",
    "Difference",
    "Metadata",
    "ObjectRef",
    "ObjectState",
    "differences",
    "is_before",
    "is_later",
    "parse_time",
    "reserved_keys",
    "same",
    "time_text",
]

RESERVED_PREFIXES = ("goog-reserved-", "x-goog-reserved-")
"""Custom metadata that Google's own tools add to copies (``gcloud storage rsync``: ``goog-reserved-file-mtime``)."""

RESOURCE_FIELDS = (
    "name,generation,metageneration,size,crc32c,md5Hash,timeCreated,updated,contentType,contentEncoding,"
    "contentDisposition,contentLanguage,cacheControl,customTime,metadata,temporaryHold,eventBasedHold,"
    "retentionExpirationTime"
)
"""The fields of an object resource that `ObjectState.from_resource` reads, in the form of a listing's projection."""


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
    """

    content_type: str | None = None
    content_encoding: str | None = None
    content_disposition: str | None = None
    content_language: str | None = None
    cache_control: str | None = None
    custom_time: str | None = None
    custom: Mapping[str, str] = field(default_factory=dict)


class ObjectState(NamedTuple):
    """One version of one object, as seen at some moment.

    A named tuple, because listings make millions of them: it takes a third of a frozen dataclass's time.

    Attributes:
        name: The complete object name.
        generation: Identifies this version. Code compares it only for equality: Google promises uniqueness, not order.
        metageneration: Counts metadata changes of this version.
        size: Bytes.
        crc32c: Base64 of the big-endian checksum; None if the service did not give it.
        md5: Base64; None for composite objects.
        created: RFC 3339 time at which this version was finalized.
        updated: RFC 3339 time of its last metadata change.
        metadata: The metadata that a copy must carry.
        hold: Which hold forbids replacing or deleting it; empty for none. A copy does not inherit it.
        retained_until: RFC 3339 time until which a retention policy forbids that; empty for none.
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
            UnexpectedAnswer: The name, generation or size is missing, or a number is not one.
        """
        try:
            get = resource.get
            name = resource["name"]
            return ObjectState(
                name,
                int(resource["generation"]),
                int(get("metageneration") or 1),
                int(resource["size"]),
                get("crc32c") or None,
                get("md5Hash") or None,
                get("timeCreated") or "",
                get("updated") or "",
                _metadata(get),
                _hold(get) if get("temporaryHold") or get("eventBasedHold") else "",
                get("retentionExpirationTime") or "",
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            given: Any = resource
            what = given if isinstance(given, Mapping) else {}
            raise UnexpectedAnswer(
                f"gs://{what.get('bucket', '?')}/{what.get('name', '?')}",
                f"not an object resource ({error!r} in {sorted(what)})",
            ) from error


def _hold(get: Callable[[str], Any]) -> str:
    kinds = (("temporaryHold", "temporary hold"), ("eventBasedHold", "event-based hold"))
    return ", ".join(words for key, words in kinds if get(key))


class Difference(Enum):
    """One property in which two objects differ."""

    SIZE = "size"
    CRC32C = "crc32c"
    CRC32C_UNKNOWN = "crc32c unknown"
    MD5 = "md5"
    CONTENT_TYPE = "content type"
    CONTENT_ENCODING = "content encoding"
    CONTENT_DISPOSITION = "content disposition"
    CONTENT_LANGUAGE = "content language"
    CACHE_CONTROL = "cache control"
    CUSTOM_TIME = "custom time"
    CUSTOM_METADATA = "custom metadata"


CONTENT_DIFFERENCES = frozenset(
    {Difference.SIZE, Difference.CRC32C, Difference.CRC32C_UNKNOWN, Difference.MD5}
)
"""The differences in contents; the others are metadata."""

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
    time, custom = get("customTime"), get("metadata")
    if time or custom:
        return Metadata(*plain, time or None, custom or {})
    return _shared_metadata(*plain)


_shared_metadata = lru_cache(1024)(Metadata)


def differences(one: ObjectState, other: ObjectState) -> tuple[Difference, ...]:
    """Name every property in which two objects differ, contents first; empty when they are the same.

    It does not compare names, generations, times and holds: a copy has its own.
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
