"""Names: what may be one, and where a name stands among the others.

Python compares `str` by code point, and so does UTF-8 by byte (there are no surrogates in a valid name), so sorted
`str` is exactly the order of a Cloud Storage listing.
"""

import re
from urllib.parse import unquote_to_bytes

from local_gcs.errors import invalid

__all__ = ["check_bucket_name", "check_object_name", "decode", "successor"]

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
