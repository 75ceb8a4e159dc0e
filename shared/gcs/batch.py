"""The form of a batch request: several calls in one request, each with its own answer. Pure.

``multipart/mixed`` of ``application/http`` parts (Cloud Storage documentation, "Batch requests"). The answers come in any
order; each repeats its call's ``Content-ID``. A part that is missing, repeated or unreadable counts as no answer. The
status of the whole says nothing about a part. Only ``api`` imports the two functions; apart, they are tested without a network.
"""

import re
from collections.abc import Sequence

from shared.text import counted

__all__ = ["CONTENT_TYPE", "MOST_CALLS", "batch_body", "batch_parts"]

MOST_CALLS = 100
"""Calls that one batch may have (the documentation above)."""

_BOUNDARY = "batch_of_calls"
"""No call contains it: names are percent-encoded."""

CONTENT_TYPE = f"Content-Type: multipart/mixed; boundary={_BOUNDARY}\r\n"

_CONTENT_ID = re.compile(
    rb"^content-id:[ \t]*<?response-[^\r\n]*?\+(\d{1,9})>?[ \t]*\r?$", re.IGNORECASE | re.MULTILINE
)
_STATUS = re.compile(rb"HTTP/1\.[01] (\d{3})(?: [^\r\n]*)?\r?\n")
_BLANK = re.compile(rb"\r?\n\r?\n")


def batch_body(calls: Sequence[tuple[str, str]]) -> bytes:
    """Write calls, each a method and a target, as the body of a request with the header line `CONTENT_TYPE`.

    Raises:
        ValueError: There are none, or more than `MOST_CALLS`.
    """
    if not 0 < len(calls) <= MOST_CALLS:
        raise ValueError(f"{counted(len(calls), 'call')}; a batch has 1 to {MOST_CALLS}")
    parts = (
        f"--{_BOUNDARY}\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        f"Content-ID: <call+{number}>\r\n\r\n{method} {target} HTTP/1.1\r\n\r\n\r\n"
        for number, (method, target) in enumerate(calls)
    )
    return ("".join(parts) + f"--{_BOUNDARY}--\r\n").encode("latin-1")


def batch_parts(body: bytes, count: int) -> list[tuple[int, bytes] | None]:
    """Read the body of the answer to a batch of `count` calls.

    Returns:
        Status and body of each call's answer, in the order of the calls; None for a call without a readable answer.

    Raises:
        ValueError: The final boundary is missing, so a part of the answer was lost.
    """
    mark = body.lstrip(b"\r\n").partition(b"\n")[0].rstrip()
    pieces = (b"\n" + body).split(b"\n" + mark)
    if not mark.startswith(b"--") or len(mark) <= len(b"--") or not pieces[-1].startswith(b"--"):
        raise ValueError("not a whole multipart answer")
    found: dict[int, tuple[int, bytes] | None] = {}
    for piece in pieces[1:-1]:
        number, answer = _part(piece)
        if number is not None:
            found[number] = None if number in found else answer
    return [found.get(number) for number in range(count)]


def _part(piece: bytes) -> tuple[int | None, tuple[int, bytes] | None]:
    """The number of the call that a part answers, and its status and body."""
    head, _, rest = _split(piece)
    identifier = _CONTENT_ID.search(head)
    if identifier is None:
        return None, None
    status = _STATUS.match(rest)
    if status is None:
        return int(identifier[1]), None
    _, _, body = _split(rest)
    return int(identifier[1]), (int(status[1]), body.rstrip(b"\r\n"))


def _split(text: bytes) -> tuple[bytes, bytes, bytes]:
    """Cut at the first empty line."""
    blank = _BLANK.search(text)
    return (text, b"", b"") if blank is None else (text[: blank.start()], blank[0], text[blank.end() :])
