"""Multipart bodies: split without copying more than once, with either kind of line end."""

from dataclasses import dataclass
from email.message import Message

from local_gcs.errors import invalid

__all__ = ["Part", "boundary_of", "parse_headers", "split_parts"]


@dataclass(frozen=True, slots=True)
class Part:
    """One part.

    Attributes:
        headers: Header fields; names in lower case.
        body: The rest, without the line end that belongs to the boundary.
    """

    headers: dict[str, str]
    body: bytes


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names.

    Raises:
        Refused: 400; there is none.
    """
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise invalid("Multipart content without a boundary.")
    # gcloud quotes the boundary as Python does, with single quotes, which HTTP does not know; Google accepts it.
    return boundary.strip("'").encode()


def split_parts(body: bytes, boundary: bytes) -> list[Part]:
    """The parts of a multipart body.

    Raises:
        Refused: 400; it does not end as one.
    """
    mark = b"\n--" + boundary
    pieces = (b"\n" + body).split(mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):  # noqa: PLR2004 - preamble and end at least
        raise invalid("Malformed multipart body.")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    """A part from what stands between two boundaries: a line end, headers, an empty line, the body."""
    piece = piece.removesuffix(b"\r").partition(b"\n")[2]
    if piece.startswith((b"\n", b"\r\n")):
        return Part({}, piece.partition(b"\n")[2])
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := piece.find(mark)) >= 0]
    if not ends:
        return Part(parse_headers(piece), b"")
    at, length = min(ends)
    return Part(parse_headers(piece[:at]), piece[at + length :])


def parse_headers(block: bytes) -> dict[str, str]:
    """Header fields; names in lower case."""
    lines = (line.partition(":") for line in block.decode("utf-8", "replace").splitlines())
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}
