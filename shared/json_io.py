"""JSON, read strictly: the files that this project wrote itself, and that others may have damaged since.

`parse_json` takes what RFC 8259 allows and nothing else. Python's own parser also takes ``NaN``, keeps the last of two values
under one name, and answers deep nesting with an error that is not a `ValueError`. `convert` and `decode` then check every
field against a dataclass: a missing field, an unknown field and a value of another type are errors that name the field.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec

from shared.errors import UsageError

__all__ = [
    "OTHER_FORM",
    "Count",
    "Number",
    "Sha256",
    "convert",
    "decode",
    "parse_json",
    "reason",
    "shown_text",
    "shown_value",
]

_Value = TypeVar("_Value")

Count = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
"""A number of things."""

Number = Annotated[float, msgspec.Meta(gt=-(2.0**63), lt=2.0**63)]
"""A finite number that every reader of the figures can print."""

Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""64 hexadecimal digits."""

SHOWN = 60
"""Characters shown of a value that is not what it should be."""

LONGEST_REASON = 200
"""Characters shown of a reason, which may quote the file."""

OTHER_FORM = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""The errors that appear when code takes apart a value of another form than it expects."""

HUGE = 2**63
"""Numbers from here on are not written out."""


def decode(kind: type[_Value], contents: bytes, where: str) -> _Value:
    """Read a file as a value.

    Args:
        kind: A dataclass whose fields are the file's.
        contents: The file's.
        where: The file's name, for errors.

    Raises:
        UsageError: It is not JSON, or not such a value. The message names the file and the field.
    """
    try:
        content = parse_json(contents)
    except ValueError as error:
        raise UsageError(f"{where}: no JSON ({error})") from error
    try:
        return convert(kind, content)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def convert(kind: type[_Value], content: object) -> _Value:
    """Make a value of JSON that was parsed before.

    Args:
        kind: A dataclass, or what else msgspec knows. Its fields are the only ones that may be there.
        content: What `parse_json` returned.

    Raises:
        ValueError: It is something else. The message names the field.
    """
    try:
        found = msgspec.convert(content, kind)
    except UnicodeEncodeError as error:
        raise ValueError(f"{shown_text(error.object)} is not a text that UTF-8 can hold") from error
    except ValueError as error:
        raise ValueError(_named(error)) from error
    unknown = _unknown_field(content, msgspec.to_builtins(found))
    if unknown is not None:
        raise ValueError(f"{unknown} is an unknown field")
    return found


def parse_json(contents: bytes | str) -> Any:
    """Parse a JSON text.

    Args:
        contents: The text; as bytes, UTF-8 without a byte order mark.

    Returns:
        Its value.

    Raises:
        ValueError: It is not JSON, or ambiguous, or nested too deeply; with the reason.
    """
    try:
        text = contents.decode() if isinstance(contents, bytes) else contents
        return json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def reason(error: Exception) -> str:
    """Why a value could not be taken apart, for an error's text: on one line, printable, and short.

    Args:
        error: One of `OTHER_FORM`.
    """
    text = f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else str(error)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def shown_value(value: object) -> str:
    """Name a value that is not what it should be: on one line, printable, and short."""
    match value:
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case str():
            return shown_text(ascii(value))
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >= HUGE:
            return "a huge number"
        case int() | float():
            return str(value)
        case _:
            return f"a {type(value).__name__}"


def shown_text(text: str) -> str:
    """A text on one line, printable, and short."""
    text = text if text.isascii() and text.isprintable() else ascii(text)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice: readers of JSON differ on which of the two counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        raise ValueError(f"{shown_value(twice)} stands there twice")
    return content


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _named(error: ValueError) -> str:
    """Say a msgspec error with the field first: ``totals.source.bytes: expected `int` >= 0``."""
    what, at, place = str(error).rpartition(" - at ")
    if not at:
        return reason(error)
    field = place.replace("`key` in ", "a name in ").replace("`$.", "").replace("`$", "").rstrip("`")
    return reason(ValueError(f"{field}: {what[:1].lower()}{what[1:]}"))


def _unknown_field(content: object, known: object, path: str = "") -> str | None:
    """The first field that the value did not take over."""
    match content, known:
        case dict(), dict():
            for name, value in content.items():
                inner = f"{path}.{shown_text(name)}" if path else shown_text(name)
                if name not in known:
                    return inner
                if (found := _unknown_field(value, known[name], inner)) is not None:
                    return found
        case list(), list() | tuple():
            for number, (value, other) in enumerate(zip(content, known, strict=True)):
                if (found := _unknown_field(value, other, f"{path}[{number}]")) is not None:
                    return found
    return None
