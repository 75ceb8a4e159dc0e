"""Names: what may be one, and where a name stands among the others.

Python compares `str` by code point, and so does UTF-8 by byte (there are no surrogates in a valid name), so sorted
`str` is exactly the order of a Cloud Storage listing.

Times as Cloud Storage writes them: RFC 3339, UTC, milliseconds.

Kept as text: all have the same width, so they compare as times do, and nothing is formatted twice.

Generation numbers: unique over all objects, and by default in no order.

Cloud Storage documentation, "Object versioning" and "Request preconditions": there is no guarantee that generation
numbers increase for successive versions, only that each new version has a unique generation number. A tool that
compares them is wrong, and the default here shows it.

What is stored: one version of an object, as a value that never changes.

A rewrite shares `Content` and `Attributes` with its source, so a copy costs no bytes and no checksum.

Preconditions: do it only if the object is still the one I saw.

Cloud Storage documentation, "Request preconditions". An absent object has generation 0 and no metageneration: so
``ifGenerationMatch=0`` asks for absence, and ``ifMetagenerationMatch`` never holds on an absent object.
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
    "Attributes",
    "Conditions",
    "Content",
    "Draft",
    "Generations",
    "Holds",
    "ObjectVersion",
    "check_bucket_name",
    "check_object_name",
    "decode",
    "integer",
    "later",
    "ordered",
    "parse",
    "parse_conditions",
    "parse_source_conditions",
    "stamp",
    "successor",
    "unordered",
]

# -------------------- names

LONGEST = 1024
LAST = 0x10FFFF
SURROGATES = range(0xD800, 0xE000)
BUCKET = re.compile(r"(?!goog)[a-z0-9](?:[a-z0-9_.-]{1,220}[a-z0-9])")


def check_object_name(name: str) -> str:
    """The name, if an object may have it (Cloud Storage documentation, "Object naming guidelines").

    Raises:
        Refused: 400; it is empty, longer than 1,024 bytes of UTF-8, ``.`` or ``..``, or holds a line break.
    """
    if not name:
        raise invalid("Required parameter: name", location="name", reason="required")
    if name in {".", ".."} or "\n" in name or "\r" in name:
        raise invalid(f"Invalid object name: {name!r}", location="name")
    # A code point takes at most four bytes, so most names need no encoding to be measured.
    if len(name) * 4 > LONGEST and len(name.encode()) > LONGEST:
        raise invalid("The maximum object length is 1024 characters, but got a longer name.", location="name")
    return name


def check_bucket_name(name: object) -> str:
    """The name, if a bucket may have it (Cloud Storage documentation, "Bucket naming guidelines").

    Raises:
        Refused: 400.
    """
    if not isinstance(name, str) or not BUCKET.fullmatch(name):
        raise invalid(f"Invalid bucket name: {name!r}", location="name")
    return name


def decode(segment: str) -> str:
    """A percent-encoded path segment or query value as text.

    Raises:
        Refused: 400; it is not UTF-8 (a lone surrogate is not).
    """
    if "%" not in segment and segment.isascii():
        return segment
    try:
        return unquote_to_bytes(segment.encode("utf-8", "surrogateescape")).decode()
    except UnicodeDecodeError as error:
        raise invalid("A name is not valid UTF-8.") from error


def successor(prefix: str) -> str | None:
    """The first string behind everything that starts with a prefix; None when there is none."""
    for position in range(len(prefix) - 1, -1, -1):
        following = ord(prefix[position]) + 1
        if following in SURROGATES:
            following = SURROGATES.stop
        if following <= LAST:
            return prefix[:position] + chr(following)
    return None


# -------------------- times


def stamp(moment: datetime) -> str:
    """A moment as text, such as ``2024-01-02T03:04:05.678Z``.

    Args:
        moment: Any time in UTC.
    """
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def parse(text: str) -> datetime:
    """The moment a text names.

    Raises:
        ValueError: It is not RFC 3339.
    """
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def later(text: str, *, seconds: float) -> str:
    """The moment so many seconds after another."""
    return stamp(parse(text) + timedelta(seconds=seconds))


# -------------------- generations

Generations = Iterator[int]
"""An endless supply of unique 16-digit numbers; ``next`` gives one."""

FIRST = 10**15
"""The smallest number given out: Google's have 16 digits."""
BITS = 52
"""``FIRST + 2**BITS`` is below ``2**53``: every number survives a client that reads JSON numbers as doubles."""
MASK = (1 << BITS) - 1


def unordered(seed: int) -> Generations:
    """Unique numbers in a seeded order that tells nothing about age.

    Each step of the mixing (odd multiplication modulo a power of two, xor with an own right shift) can be undone, so
    two counters never give the same number; nothing has to be remembered.

    Args:
        seed: Same seed, same numbers.
    """
    random = Random(seed)
    start, first, second = (
        random.getrandbits(BITS),
        random.getrandbits(BITS) | 1,
        random.getrandbits(BITS) | 1,
    )
    for n in count(start):
        mixed = (n * first) & MASK
        mixed ^= mixed >> 27
        mixed = (mixed * second) & MASK
        yield FIRST + (mixed ^ (mixed >> 26))


def ordered(microseconds: Callable[[], int]) -> Generations:
    """Increasing numbers that look like microseconds, for tools that expect them.

    Args:
        microseconds: The time since 1970 in microseconds.
    """
    last = 0
    while True:
        last = max(last + 1, microseconds())
        yield last


# -------------------- objects


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


# -------------------- conditions


@dataclass(frozen=True, slots=True)
class Conditions:
    """Up to four conditions on one object; None asks nothing."""

    generation_match: int | None = None
    generation_not_match: int | None = None
    metageneration_match: int | None = None
    metageneration_not_match: int | None = None

    def require(self, version: ObjectVersion | None, *, reading: bool = False) -> None:
        """Let the operation go on only if all hold.

        Args:
            version: What is there, None when nothing is.
            reading: The operation only reads: a failed not-match then means "not modified".

        Raises:
            Refused: 412, or 304 for a failed not-match while reading.
        """
        if self is NONE:
            return
        generation = version.generation if version else 0
        metageneration = version.metageneration if version else None
        if self.generation_match not in {None, generation}:
            raise condition_failed()
        if self.metageneration_match is not None and self.metageneration_match != metageneration:
            raise condition_failed()
        if self.generation_not_match == generation or (
            self.metageneration_not_match is not None and self.metageneration_not_match == metageneration
        ):
            raise not_modified() if reading else condition_failed()


NONE = Conditions()
"""No condition at all."""

OF_OBJECT = (
    "ifGenerationMatch",
    "ifGenerationNotMatch",
    "ifMetagenerationMatch",
    "ifMetagenerationNotMatch",
)
OF_SOURCE = tuple(name.replace("if", "ifSource", 1) for name in OF_OBJECT)


def integer(params: Mapping[str, str], name: str) -> int | None:
    """A query parameter that is a whole number, None when it is not given.

    Raises:
        Refused: 400; it is something else.
    """
    text = params.get(name)
    if text is None:
        return None
    try:
        return int(text)
    except ValueError as error:
        raise invalid(f"Invalid long value: '{text}'.", location=name) from error


def parse_conditions(params: Mapping[str, str]) -> Conditions:
    """The conditions of a query on the object written, read or deleted.

    Raises:
        Refused: 400; one is not a number.
    """
    return _parse(params, OF_OBJECT)


def parse_source_conditions(params: Mapping[str, str]) -> Conditions:
    """The conditions of a query on the object copied.

    Raises:
        Refused: 400; one is not a number.
    """
    return _parse(params, OF_SOURCE)


def _parse(params: Mapping[str, str], names: tuple[str, ...]) -> Conditions:
    if params.keys().isdisjoint(names):
        return NONE
    return Conditions(*[integer(params, name) for name in names])
