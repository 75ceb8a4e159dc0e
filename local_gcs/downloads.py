"""Content on its way out: ranges, unpacking, and the headers that tell a client what it gets.

What is stored with ``Content-Encoding: gzip`` leaves unpacked and whole, whatever range is named, unless the client says
that it takes gzip or the object forbids it (Cloud Storage documentation, "Transcoding of gzip-compressed files").
"""

import gzip
import re
import zlib
from collections.abc import Mapping

from local_gcs.calls import Reply
from local_gcs.errors import Refused
from local_gcs.objects import ObjectVersion
from local_gcs.resources import etag

__all__ = ["download"]

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def download(version: ObjectVersion, headers: Mapping[str, str]) -> Reply:
    """The content of a version, or the range of it that the request names.

    Raises:
        Refused: 416; the range begins behind the end.
    """
    data, size = version.content.data, version.content.size
    answer = _headers(version)
    if _is_to_be_unpacked(version, headers):
        unpacked = _unpacked(data)
        if unpacked is not None:
            del answer["Content-Encoding"]
            answer["Warning"] = "214 UploadServer gunzipped"
            return Reply(200, unpacked, version.attributes.content_type or "application/octet-stream", answer)
    wanted = RANGE.fullmatch(headers.get("Range", ""))
    reply = Reply(200, data, version.attributes.content_type or "application/octet-stream", answer)
    if not wanted or wanted.groups() == ("", ""):
        return reply
    first, last = _bounds(*wanted.groups(), size=size)
    if first >= size or first > last:
        raise Refused(
            416, "requestedRangeNotSatisfiable", "Request range not satisfiable", location="If-Range"
        )
    answer["Content-Range"] = f"bytes {first}-{last}/{size}"
    reply.status, reply.body = 206, data[first : last + 1]
    return reply


def _is_to_be_unpacked(version: ObjectVersion, headers: Mapping[str, str]) -> bool:
    return (
        version.attributes.content_encoding == "gzip"
        and "gzip" not in headers.get("Accept-Encoding", "")
        and "no-transform" not in (version.attributes.cache_control or "")
    )


def _unpacked(data: bytes) -> bytes | None:
    """What was packed; None for content that is not what its encoding says, which leaves as it is."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return None


def _bounds(first: str, last: str, *, size: int) -> tuple[int, int]:
    """First and last byte of a range; without a first, the last so many bytes."""
    if not first:
        return max(0, size - int(last)), size - 1
    return int(first), min(int(last), size - 1) if last else size - 1


def _headers(version: ObjectVersion) -> dict[str, str]:
    content, attributes = version.content, version.attributes
    hashes = f"crc32c={content.crc32c}" + (f",md5={content.md5}" if content.md5 else "")
    headers = {
        "ETag": etag(version.generation, version.metageneration),
        "Accept-Ranges": "bytes",
        "x-goog-generation": str(version.generation),
        "x-goog-metageneration": str(version.metageneration),
        "x-goog-hash": hashes,
        "x-goog-stored-content-length": str(content.size),
        "x-goog-stored-content-encoding": attributes.content_encoding or "identity",
        "x-goog-storage-class": version.storage_class,
    }
    optional = {
        "Content-Encoding": attributes.content_encoding,
        "Content-Disposition": attributes.content_disposition,
        "Content-Language": attributes.content_language,
        "Cache-Control": attributes.cache_control,
    }
    return headers | {name: value for name, value in optional.items() if value}
