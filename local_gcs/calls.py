"""A request and its answer, as the API functions see them, without sockets and without waiting; and multipart bodies.

A multipart body may have either kind of line end. It is split without copying it more than once.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from enum import Enum
from typing import Annotated, Any, TypeVar

import msgspec
import orjson

from local_gcs.errors import RequestRefused, invalid
from local_gcs.objects import Conditions, decode_segment, integer, parse_conditions

__all__ = [
    "Amount",
    "Call",
    "Method",
    "MultipartPart",
    "Reply",
    "Transfer",
    "Whole",
    "boundary_of",
    "parse_headers",
    "parse_object",
    "parse_query",
    "refused_reply",
    "split_parts",
    "stated",
]

JSON = "application/json; charset=UTF-8"


class Transfer(Enum):
    """How an answer travels."""

    WHOLE = "whole"
    RESET = "reset"
    TRUNCATED = "truncated"


@dataclass(frozen=True, slots=True)
class Call:
    """One request of an API method, such as ``storage.objects.get``.

    Attributes:
        args: Names from the path, such as bucket and object.
        headers: Header fields; names in any case.
    """

    method: str
    args: tuple[str, ...]
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = b""

    def resource(self) -> dict[str, Any]:
        """The body as a JSON object; an empty body is an empty object. Refuses with 400: it is not a JSON object."""
        return parse_object(self.body) if self.body else {}

    def text(self, name: str) -> str:
        """A query parameter; empty if it is absent."""
        return self.params.get(name, "")

    def flag(self, name: str) -> bool:
        """Whether a query parameter is ``true``."""
        return self.params.get(name, "").lower() == "true"

    def integer(self, name: str) -> int | None:
        """A query parameter that is a whole number; None if it is absent. Refuses with 400: it is not a number."""
        return integer(self.params, name)

    @property
    def generation(self) -> int | None:
        """The version that the query names; None for the live one. Refuses with 400: it is not a number."""
        return integer(self.params, "generation")

    @property
    def conditions(self) -> Conditions:
        """The conditions of the query on the object or bucket that the path names last. Refuses as `parse_conditions`."""
        return parse_conditions(self.params)


@dataclass(slots=True)
class Reply:
    """One answer.

    Attributes:
        headers: Those besides the content type.
        cut: A truncated answer ends after so many bytes of its body; None for half of it.
        rest: The next step towards the answer, after `pause` seconds; None if this is the answer.
        pause: Seconds in which others may act before the next step.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    wire: Transfer = Transfer.WHOLE
    cut: int | None = None
    rest: "Callable[[], Reply] | None" = None
    pause: float = 0.0


Method = Callable[[Call], Reply]
"""One method of the API."""


def refused_reply(refused: RequestRefused, *, as_text: bool = False) -> Reply:
    """The answer to a request that is refused: an error body, or its message alone."""
    if refused.status == 304:  # noqa: PLR2004 - an answer of this status has no body
        return Reply(304)
    if as_text:
        return Reply(refused.status, refused.message.encode(), "text/html; charset=UTF-8")
    return Reply(refused.status, orjson.dumps(refused.body()))


def parse_object(text: bytes | str) -> dict[str, Any]:
    """A JSON object; ``null``, which Go clients send for an absent body, is an empty one. Refuses with 400."""
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise invalid(f"Parse Error: {error}", reason="parseError") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid("Parse Error: not a JSON object", reason="parseError")
    return value


Whole = Annotated[int, msgspec.Meta(ge=0)]
Amount = Whole | Annotated[float, msgspec.Meta(ge=0)]
Stated = TypeVar("Stated")


def stated(kind: type[Stated], value: object) -> Stated:
    """A value of a vocabulary of this server's own, from JSON. Refuses with 400: a field is unknown or has a wrong value."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise invalid(str(error)) from error


def parse_query(query: str) -> dict[str, str]:
    """The parameters of a query; the last of one name counts, and permissions are joined by line feeds. Refuses with 400."""
    if not query:
        return {}
    params: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not name:
            continue
        text = decode_segment(value.replace("+", " ")) if "+" in value or "%" in value else value
        params[name] = f"{params[name]}\n{text}" if name == "permissions" and name in params else text
    return params


# -------------------------------------------------------------------- multipart bodies


@dataclass(frozen=True, slots=True)
class MultipartPart:
    """One part: header fields with names in lower case, and the content without the boundary's line end."""

    headers: dict[str, str]
    body: bytes


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type names. Refuses with 400: it names none."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_param("boundary")
    if not isinstance(boundary, str) or not boundary:
        raise invalid("Multipart content without a boundary.")
    # gcloud quotes the boundary with single quotes, which are not HTTP; Google accepts them.
    return boundary.strip("'").encode()


def split_parts(body: bytes, boundary: bytes) -> list[MultipartPart]:
    """The parts of a multipart body. Refuses with 400: it does not end with the boundary."""
    mark = b"\n--" + boundary
    pieces = (b"\n" + body).split(mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):  # noqa: PLR2004 - preamble and end at least
        raise invalid("Malformed multipart body.")
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> MultipartPart:
    """A part from the text between two boundaries: a line end, headers, an empty line, the body."""
    piece = piece.removesuffix(b"\r").partition(b"\n")[2]
    if piece.startswith((b"\n", b"\r\n")):
        return MultipartPart({}, piece.partition(b"\n")[2])
    ends = [(at, len(mark)) for mark in (b"\r\n\r\n", b"\n\n") if (at := piece.find(mark)) >= 0]
    if not ends:
        return MultipartPart(parse_headers(piece), b"")
    at, length = min(ends)
    return MultipartPart(parse_headers(piece[:at]), piece[at + length :])


def parse_headers(block: bytes) -> dict[str, str]:
    """Header fields; names in lower case."""
    lines = (line.partition(":") for line in block.decode("utf-8", "replace").splitlines())
    return {name.strip().lower(): value.strip() for name, colon, value in lines if colon}
