"""Batch: many calls in one request, each with its own answer (Cloud Storage documentation, "Batch requests")."""

from collections.abc import Callable
from http import HTTPStatus
from secrets import token_hex

from multidict import CIMultiDict

from local_gcs.calls import Call, Reply, Wire
from local_gcs.errors import invalid
from local_gcs.mime import Part, boundary_of, parse_headers, split_parts

__all__ = ["batch"]

MOST_PARTS = 100
Dispatch = Callable[[str, str, CIMultiDict[str], bytes], Reply]
"""HTTP method, target, headers and body of one part to its answer."""


def batch(call: Call, dispatch: Dispatch) -> Reply:
    """Do the parts in their order and join their answers.

    If the answer to a part is to be lost, so is the answer to the whole: they travel on one connection.

    Raises:
        Refused: 400; it is malformed or has more than 100 parts.
    """
    parts = split_parts(call.body, boundary_of(call.headers.get("Content-Type", "")))
    if len(parts) > MOST_PARTS:
        raise invalid(f"The batch request has {len(parts)} calls, of which at most {MOST_PARTS} are allowed.")
    boundary = f"batch_{token_hex(12)}"
    body, wire = bytearray(), Wire.WHOLE
    for part in parts:
        reply = _do(part, dispatch)
        if reply.wire is not Wire.WHOLE:
            wire = reply.wire
        body += f"--{boundary}\r\n".encode() + _rendered(part, reply)
    body += f"--{boundary}--\r\n".encode()
    return Reply(200, bytes(body), f"multipart/mixed; boundary={boundary}", wire=wire)


def _do(part: Part, dispatch: Dispatch) -> Reply:
    """Dispatch the HTTP request that a part holds."""
    head, _, body = part.body.replace(b"\r\n", b"\n").partition(b"\n\n")
    line, _, fields = head.partition(b"\n")
    words = line.decode("utf-8", "surrogateescape").split(" ")
    if len(words) < 2:  # noqa: PLR2004 - method and target at least
        raise invalid("Failed to parse a part of the batch.")
    target = words[1]
    if target.startswith(("http://", "https://")):
        target = "/" + target.split("/", 3)[3]
    if target.startswith(("/upload/", "/download/", "/batch", "/resumable/")):
        raise invalid("Uploads, downloads and batches cannot be parts of a batch.")
    return dispatch(words[0], target, CIMultiDict(parse_headers(fields)), body.rstrip(b"\n"))


def _rendered(part: Part, reply: Reply) -> bytes:
    """A part of the answer."""
    identifier = part.headers.get("content-id", "")
    head = "Content-Type: application/http\r\n"
    if identifier:
        head += f"Content-ID: <response-{identifier.removeprefix('<')}\r\n"
    head += f"\r\nHTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
    if reply.body:
        head += f"Content-Type: {reply.content_type}\r\n"
    fields = {"Content-Length": str(len(reply.body))} | reply.headers
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + reply.body + b"\r\n"
