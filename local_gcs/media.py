"""Contents on their way in and out (Cloud Storage documentation, "Uploads and downloads").

Uploads are media, multipart or resumable. A resumable upload checks its conditions when it begins and again when it ends;
the object appears only at the end.

A download of an object with ``Content-Encoding: gzip`` is unpacked and whole, and its range is ignored. It is sent as stored
if the client accepts gzip, or the object forbids it (Cloud Storage documentation, "Transcoding of gzip-compressed files").
"""

import gzip
import re
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

from multidict import istr

from local_gcs.calls import Call, Reply, boundary_of, parse_object, split_parts
from local_gcs.errors import RequestRefused, invalid
from local_gcs.model import Storage
from local_gcs.objects import Conditions, Content, ObjectVersion
from local_gcs.resources import Renderer, draft_of, etag, object_reply

__all__ = ["UploadsApi", "download"]

CONTENT_RANGE = re.compile(r"bytes (?:(\d+)-(\d+|\*)|\*)/(\d+|\*)")
QUANTUM = 256 * 1024
"""Every chunk of a resumable upload but the last is a multiple of this many bytes."""
INCOMPLETE = 308
CANCELLED = 499
HASH = istr("X-Goog-Hash")


@dataclass(slots=True)
class _Upload:
    """An upload: one at once, or a resumable one under way.

    Attributes:
        length: The size that the first request announced; empty if it announced none.
        version: The object; None until the upload is complete.
    """

    bucket: str
    resource: dict[str, Any]
    conditions: Conditions
    length: str = ""
    data: bytearray = field(default_factory=bytearray)
    version: ObjectVersion | None = None


class UploadsApi:
    """The ways to upload; the session of a resumable upload is an address below `base_url`."""

    def __init__(self, storage: Storage, renderer: Renderer, base_url: str) -> None:
        self._storage = storage
        self._renderer = renderer
        self._base_url = base_url
        self._sessions: dict[str, _Upload] = {}
        self.methods = {
            "storage.objects.insert": self.insert,
            "storage.objects.cancelUpload": self.cancel,
        }

    def insert(self, call: Call) -> Reply:
        """Uploads in the way that the query names."""
        if call.text("upload_id"):
            return self._resume(call, call.text("upload_id"))
        match call.text("uploadType"):
            case "media":
                resource = {"contentType": call.headers.get("Content-Type", "")}
                return self._store_at_once(call, resource, call.body)
            case "multipart":
                return self._multipart(call)
            case "resumable":
                return self._begin(call)
            case kind:
                raise invalid(f"Invalid upload type: '{kind}'.", location="uploadType")

    def _multipart(self, call: Call) -> Reply:
        parts = split_parts(call.body, boundary_of(call.headers.get("Content-Type", "")))
        if len(parts) != 2:  # noqa: PLR2004 - metadata and media, by definition
            raise invalid(
                "Invalid multipart request with 0 mime parts." if not parts else "Invalid multipart request."
            )
        resource = parse_object(parts[0].body)
        resource.setdefault("contentType", parts[1].headers.get("content-type"))
        return self._store_at_once(call, resource, parts[1].body)

    def _store_at_once(self, call: Call, resource: dict[str, Any], data: bytes) -> Reply:
        upload = _Upload(call.args[0], _named(call, resource), call.conditions)
        return object_reply(call, self._renderer, self._store(upload, data, call.headers))

    def _store(self, upload: _Upload, data: bytes, headers: Mapping[str, str]) -> ObjectVersion:
        """Stores the bytes that have arrived, if their checksums are those that the client names."""
        content, resource = Content.of(data), upload.resource
        if HASH in headers or "md5Hash" in resource or "crc32c" in resource:
            _check_hashes(content, resource, headers)
        draft = draft_of(resource)
        if not draft.attributes.content_type:
            attributes = replace(draft.attributes, content_type="application/octet-stream")
            draft = replace(draft, attributes=attributes)
        return self._storage.insert(upload.bucket, resource["name"], content, draft, upload.conditions)

    # ---------------------------------------------------------------- resumable

    def _begin(self, call: Call) -> Reply:
        resource = _named(call, call.resource())
        if call.headers.get("X-Upload-Content-Type"):
            resource.setdefault("contentType", call.headers["X-Upload-Content-Type"])
        conditions = call.conditions
        bucket = self._storage.destination(call.args[0], resource["name"], conditions)
        draft_of(resource)
        identifier = secrets.token_urlsafe(32)
        length = call.headers.get("X-Upload-Content-Length", "")
        self._sessions[identifier] = _Upload(bucket.name, resource, conditions, length)
        query = urlencode({"uploadType": "resumable", "name": resource["name"], "upload_id": identifier})
        address = f"{self._base_url}/upload/storage/v1/b/{bucket.name}/o?{query}"
        return Reply(headers={"Location": address, "X-GUploader-UploadID": identifier})

    def _resume(self, call: Call, identifier: str) -> Reply:
        session = self._session(identifier)
        if session.version is not None:
            return object_reply(call, self._renderer, session.version)
        total = self._receive(session, call)
        if total is None or len(session.data) < total:
            return _incomplete(session, identifier, call.headers)
        try:
            if session.length not in {"", str(total)}:
                raise invalid("The size differs from X-Upload-Content-Length.")
            session.version = self._store(session, bytes(session.data), call.headers)
        except RequestRefused:
            del self._sessions[identifier]
            raise
        session.data.clear()
        return object_reply(call, self._renderer, session.version)

    def _receive(self, session: _Upload, call: Call) -> int | None:
        """Takes a chunk in and gives the size of the whole; None as long as it is unknown.

        ``N-*`` is what a client sends that streams: the chunk goes on to the end of the request. With an unknown size,
        that is the end of the object.
        """
        header = call.headers.get("Content-Range")
        if header is None:
            session.data[:] = call.body
            return len(call.body)
        wanted = CONTENT_RANGE.fullmatch(header)
        if not wanted:
            raise invalid(f"Invalid Content-Range: {header}")
        first, last, size = wanted.groups()
        total = None if size == "*" else int(size)
        if first is None:
            return total
        begin, streamed = int(first), last == "*"
        end = begin + len(call.body) if streamed else int(last) + 1
        if end - begin != len(call.body) or (total is not None and end > total):
            raise invalid("Content-Range does not match the length of the body.")
        if begin > len(session.data):
            raise RequestRefused(503, "backendError", "Invalid request. There is a gap before this range.")
        if streamed and total is None:
            total = end
        if not streamed and end != total and (end - begin) % QUANTUM:
            raise invalid("Every chunk but the last must be a multiple of 262144 bytes.")
        session.data += call.body[len(session.data) - begin :]
        return total

    def cancel(self, call: Call) -> Reply:
        """Cancels a resumable upload."""
        identifier = call.text("upload_id")
        self._session(identifier)
        del self._sessions[identifier]
        return Reply(CANCELLED)

    def _session(self, identifier: str) -> _Upload:
        if identifier not in self._sessions:
            raise RequestRefused(404, "notFound", "No such upload session.")
        return self._sessions[identifier]


def _check_hashes(content: Content, resource: Mapping[str, Any], headers: Mapping[str, str]) -> None:
    """Refuses content whose checksums are not those that the resource, or the last request, names."""
    expected = [(name, resource.get(name)) for name in ("md5Hash", "crc32c")]
    named = (part.strip().partition("=") for part in headers.get(HASH, "").split(","))
    expected += [("md5Hash" if kind == "md5" else kind, value) for kind, _, value in named]
    for name, value in expected:
        found = content.md5 if name == "md5Hash" else content.crc32c
        if value and value != found:
            raise invalid(f'Provided {name} "{value}" doesn\'t match calculated {name} "{found}".')


def _incomplete(session: _Upload, identifier: str, headers: Mapping[str, str]) -> Reply:
    """308, or for a client that cannot take it, such as Go's, 200 with 308 in a header."""
    answer = {"X-GUploader-UploadID": identifier}
    if session.data:
        answer["Range"] = f"bytes=0-{len(session.data) - 1}"
    if headers.get("X-GUploader-No-308", "").lower() == "yes":
        return Reply(headers=answer | {"X-HTTP-Status-Code-Override": str(INCOMPLETE)})
    return Reply(INCOMPLETE, headers=answer)


def _named(call: Call, resource: Mapping[str, Any]) -> dict[str, Any]:
    named = dict(resource)
    named["name"] = call.text("name") or resource.get("name") or ""
    if not isinstance(named["name"], str):
        raise invalid("Invalid value for: name is not a string", location="name")
    if call.text("contentEncoding"):
        named["contentEncoding"] = call.text("contentEncoding")
    return named


# -------------------------------------------------------------------- downloads

RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def download(version: ObjectVersion, headers: Mapping[str, str]) -> Reply:
    """The content of a version, or the range that the request names. Refuses with 416: the range begins after the end."""
    data, size = version.content.data, version.content.size
    answer = _headers(version)
    reply = Reply(200, data, version.attributes.content_type or "application/octet-stream", answer)
    unpacked = _unpacked(data) if _is_to_be_unpacked(version, headers) else None
    if unpacked is not None:
        del answer["Content-Encoding"]
        answer["Warning"] = "214 UploadServer gunzipped"
        answer["X-GUploader-Response-Body-Transformations"] = "gunzipped"
        reply.body = unpacked
        return reply
    wanted = RANGE.fullmatch(headers.get("Range", ""))
    if not wanted or wanted.groups() == ("", ""):
        return reply
    first, last = _bounds(*wanted.groups(), size=size)
    if first >= size or first > last:
        raise RequestRefused(
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
    """The unpacked content; None if it is not gzip, in spite of its encoding: then it is sent as stored."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error):
        return None


def _bounds(first: str, last: str, *, size: int) -> tuple[int, int]:
    """First and last byte of a range; a range without a first byte means the last so many bytes."""
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
