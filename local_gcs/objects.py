"""Object versions as values that never change, with their names, times, generations and preconditions.

- *Names.* Python compares `str` by code point and UTF-8 compares by byte, which is the same order: a valid name has no
  surrogates. So sorted `str` is the order of a Cloud Storage listing.
- *Times* are kept as RFC 3339 text, UTC, with milliseconds. All have the same width, so they compare as times do. Only a
  custom time keeps the form in which the client gave it.
- *Generations.* Google guarantees unique generation numbers, not increasing ones (Cloud Storage documentation, "Object
  versioning" and "Request preconditions"). A tool that compares them is wrong, and the unordered default shows it.
- *Preconditions* (same documentation). An absent object has generation 0 and no metageneration. So
  ``ifGenerationMatch=0`` asks for absence, and ``ifMetagenerationMatch`` never holds for an absent object.

A rewrite shares `Content` and `Attributes` with its source, so a copy costs no bytes and no checksum.
"""

import hashlib
import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from urllib.parse import unquote_to_bytes

import google_crc32c

from local_gcs.errors import condition_failed, invalid, not_modified

__all__ = [
    "NONE",
    "NO_ATTRIBUTES",
    "NO_HOLDS",
    "OF_OBJECT",
    "OF_SOURCE",
    "Attributes",
    "Conditions",
    "Content",
    "Contexts",
    "Draft",
    "Generations",
    "Holds",
    "ObjectVersion",
    "check_bucket_name",
    "check_object_name",
    "check_storage_class",
    "custom_time",
    "decode_segment",
    "integer",
    "later",
    "ordered",
    "parse_conditions",
    "parse_moment",
    "stamp",
    "successor",
    "unordered",
]

# -------------------------------------------------------------------- names

LONGEST = 1024
ACME = ".well-known/acme-challenge/"
LAST = 0x10FFFF
SURROGATES = range(0xD800, 0xE000)
BUCKET = re.compile(r"(?!goog)[a-z0-9](?:[a-z0-9_.-]{1,220}[a-z0-9])")


def check_object_name(name: str) -> str:
    """Gives the name back if an object may have it (Cloud Storage documentation, "Object naming guidelines").

    Refuses with 400: it is empty, longer than 1,024 bytes of UTF-8, ``.`` or ``..``, has a line break, or begins with
    ``.well-known/acme-challenge/``.
    """
    if not name:
        raise invalid("Required parameter: name", location="name", reason="required")
    if name in {".", ".."} or "\n" in name or "\r" in name or name.startswith(ACME):
        raise invalid(f"Invalid object name: {name!r}", location="name")
    # A code point takes at most four bytes, so most names need no encoding to be measured.
    if len(name) * 4 > LONGEST and len(name.encode()) > LONGEST:
        raise invalid("The maximum object length is 1024 characters, but got a longer name.", location="name")
    return name


def check_bucket_name(name: object) -> str:
    """Gives a permitted name back (Cloud Storage documentation, "Bucket naming guidelines"). Refuses with 400."""
    if not isinstance(name, str) or not BUCKET.fullmatch(name):
        raise invalid(f"Invalid bucket name: {name!r}", location="name")
    return name


def decode_segment(segment: str) -> str:
    """Decodes a percent-encoded path segment or query value. Refuses with 400: it, or a lone surrogate, is not UTF-8."""
    if "%" not in segment and segment.isascii():
        return segment
    try:
        return unquote_to_bytes(segment.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError as error:
        raise invalid("A name is not valid UTF-8.") from error


def successor(prefix: str) -> str | None:
    """The first string after every string that starts with a prefix; None if there is none."""
    for position in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[position]) + 1
        if following in SURROGATES:
            following = SURROGATES.stop
        if following <= LAST:
            return prefix[:position] + chr(following)
    return None


# -------------------------------------------------------------------- times


RFC_3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.(?P<fraction>\d{1,9}))?(?P<zone>Z|[+-]\d\d:\d\d)")
MICROSECONDS = 6
"""Digits of a fraction of a second that the service keeps."""


def stamp(moment: datetime) -> str:
    """A moment in UTC as text, such as ``2024-01-02T03:04:05.678Z``."""
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def parse_moment(text: str) -> datetime:
    """The moment that a text names; UTC if it names no zone.

    Raises:
        ValueError: It is not RFC 3339.
    """
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def custom_time(text: str) -> str:
    """A custom time as the service shows it: as the client gave it, in UTC and to the microsecond.

    Raises:
        ValueError: It is not RFC 3339 with a date, a time and a zone.
    """
    given = RFC_3339.fullmatch(text)
    if not given:
        raise ValueError(text)
    moment = parse_moment(text)
    if given["zone"] == "Z" and len(given["fraction"] or "") <= MICROSECONDS:
        return text
    return moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds")[:-6] + "Z"


def later(text: str, *, seconds: float) -> str:
    """The time so many seconds after another."""
    return stamp(parse_moment(text) + timedelta(seconds=seconds))


# -------------------------------------------------------------------- generations

Generations = Iterator[int]
"""Gives unique 16-digit numbers without end."""

FIRST = 10**15
"""The smallest number given out: Google's have 16 digits."""
BITS = 52
"""``FIRST + 2**BITS`` is below ``2**53``: every number survives a client that reads JSON numbers as doubles."""
MASK = (1 << BITS) - 1


def unordered(seed: int) -> Generations:
    """Unique numbers in an order that says nothing about age; the same seed gives the same numbers.

    Each step of the mixing (odd multiplication modulo a power of two, xor with an own right shift) can be undone. So two
    counters never give the same number, and the function remembers none.
    """
    random = Random(seed)
    start, first, second = (random.getrandbits(BITS) for _ in range(3))
    first, second = first | 1, second | 1
    for n in count(start):
        mixed = (n * first) & MASK
        mixed ^= mixed >> 27
        mixed = (mixed * second) & MASK
        yield FIRST + (mixed ^ (mixed >> 26))


def ordered(microseconds: Callable[[], int]) -> Generations:
    """Increasing numbers that look like microseconds since 1970, for tools that expect them."""
    last = 0
    while True:
        last = max(last + 1, microseconds())
        yield last


# -------------------------------------------------------------------- objects


@dataclass(frozen=True, slots=True)
class Content:
    """The bytes of a version and their checksums, computed once.

    Attributes:
        crc32c: Base64, big-endian.
        md5: Base64; None for a composite object, which has none.
        components: Number of components of a composite object; None for any other.
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
    """Holds, which protect a version from deletion and replacement (Cloud Storage documentation, "Object holds").

    Attributes:
        retention_start: Time at which an event-based hold was released. A retention period counts from then.
    """

    temporary: bool | None = None
    event_based: bool | None = None
    retention_start: str | None = None


NO_HOLDS = Holds()


Contexts = Mapping[str, Mapping[str, str]]
"""Object contexts by key: ``value``, ``createTime`` and ``updateTime`` (Cloud Storage documentation, "Object contexts").

In a draft a missing time stands for the time of the write.
"""

STORAGE_CLASSES = frozenset(
    {"STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE"}
    | {"MULTI_REGIONAL", "REGIONAL", "DURABLE_REDUCED_AVAILABILITY"}
)


def check_storage_class(name: str) -> str:
    """Gives the storage class back if there is one of that name. Refuses with 400."""
    if name not in STORAGE_CLASSES:
        raise invalid(f"Invalid argument: unknown storage class {name!r}.", location="storageClass")
    return name


@dataclass(frozen=True, slots=True)
class Draft:
    """The editable part of an object resource, as a client gives it.

    Attributes:
        storage_class: None for the default of the bucket.
        contexts: None if the client names none.
    """

    attributes: Attributes = NO_ATTRIBUTES
    storage_class: str | None = None
    holds: Holds = NO_HOLDS
    contexts: Contexts | None = None


@dataclass(frozen=True, slots=True)
class ObjectVersion:
    """One generation of one object.

    Attributes:
        generation: Unique over all objects.
        metageneration: 1 at creation, one more with each change of metadata.
        updated: Time of the last change of metadata.
        retention_expires: Time until which a bucket's retention policy protects it; None without one.
        time_deleted: Time at which it stopped being the live version; None for a live one.
        soft_delete_time: None if it is not soft-deleted.
        hard_delete_time: Time after which a soft-deleted version cannot be restored.
        class_since: Time of the last change of the storage class; None if it never changed.
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
    class_since: str | None = None
    contexts: Contexts | None = None

    @property
    def draft(self) -> Draft:
        """The editable part."""
        return Draft(self.attributes, self.storage_class, self.holds, self.contexts)


# -------------------------------------------------------------------- conditions


@dataclass(frozen=True, slots=True)
class Conditions:
    """Up to four conditions on one object; None for no condition."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def require(self, version: ObjectVersion | None, *, reading: bool = False) -> None:
        """Refuses with 412 unless all conditions hold for a version, which is None for an absent object.

        An operation that only reads refuses with 304, "not modified", where a not-match fails.
        """
        if self is NONE:
            return
        generation = version.generation if version else 0
        metageneration = version.metageneration if version else None
        if self.generation_match not in {None, generation}:
            raise condition_failed()
        if self.metageneration_match is not None and self.metageneration_match != metageneration:
            raise condition_failed()
        # An absent object has no metageneration, so a not-match for one cannot fail.
        unwanted = self.metageneration_not_match
        if self.generation_not_match == generation or (unwanted is not None and unwanted == metageneration):
            raise not_modified() if reading else condition_failed()


NONE = Conditions()
"""No condition at all."""

OF_OBJECT = (
    *("ifGenerationMatch", "ifGenerationNotMatch"),
    *("ifMetagenerationMatch", "ifMetagenerationNotMatch"),
)
OF_SOURCE = tuple(name.replace("if", "ifSource", 1) for name in OF_OBJECT)


def integer(params: Mapping[str, str], name: str) -> int | None:
    """A query parameter that is a whole number; None if it is absent. Refuses with 400: it is not a number."""
    text = params.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise invalid(f"Invalid long value: '{text}'.", location=name) from error


def parse_conditions(params: Mapping[str, str], names: tuple[str, ...] = OF_OBJECT) -> Conditions:
    """The conditions of a query on one object. Refuses with 400: one is not a number."""
    if params.keys().isdisjoint(names):
        return NONE
    return Conditions(*[integer(params, name) for name in names])
