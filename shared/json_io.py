"""JSON, read strictly: the files that this project wrote itself, and that others may have damaged since.

`parse_json` takes what RFC 8259 allows and nothing else. Python's own parser also takes ``NaN``, and keeps the last of two
values under one name. It answers deep nesting with an error that is not a `ValueError`. `convert` and `decode` then check every
field against a dataclass. A missing field, an unknown field and a value of another type are errors that name the field.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import Annotated, Any, NoReturn, TypeVar

import msgspec

from shared.errors import UsageError
from shared.text import shown_text, shown_value

__all__ = [
    "OTHER_FORM",
    "Count",
    "Number",
    "Sha256",
    "convert",
    "decode",
    "decode_checked",
    "filled",
    "parse_format",
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

_STEP = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")
"""A step of a path as msgspec gives it."""

_MISSING = re.compile("Object missing required field `(.*)`")

LONGEST_REASON = 200
"""Characters shown of a reason, which may quote the file."""

OTHER_FORM = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""The errors that appear when code takes apart a value of another form than it expects."""


def filled(**fields: Any) -> dict[str, Any]:
    """The fields of a report that say something: without None, 0, False and what is empty."""
    return {name: value for name, value in fields.items() if value}


def decode_checked(
    kind: type[_Value], contents: bytes, where: str, check: Callable[[_Value, str], None], command: str
) -> _Value:
    """Read a file that a command left, strictly, completely and without contradiction, or not at all.

    Args:
        kind, contents, where: See `decode`; fields that the kind does not have are ignored.
        check: Receives the value and `where`; raises a UsageError where the value contradicts itself.
        command: What writes the file anew, for the error.

    Raises:
        UsageError: It is another file, is damaged, or contradicts itself.
    """
    try:
        found = decode(kind, contents, where, written=None)
        check(found, where)
    except UsageError as error:
        raise UsageError(f"{error}; run {command} again") from error
    return found


def decode(
    kind: type[_Value],
    contents: bytes,
    where: str,
    written: Callable[[_Value], object] | None = msgspec.to_builtins,
) -> _Value:
    """Read a file as a value; see `convert`.

    Args:
        kind: A dataclass whose fields are the file's.
        where: The file's name, for errors.
        written: How the value is written as JSON; None for a value that takes some of the file's fields only.

    Raises:
        UsageError: It is not JSON, or not such a value. The message names the file and the field.
    """
    try:
        content = parse_json(contents)
    except ValueError as error:
        raise UsageError(f"{where}: no JSON ({error})") from error
    try:
        return convert(kind, content, written)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from error


def convert(
    kind: type[_Value], content: object, written: Callable[[_Value], object] | None = msgspec.to_builtins
) -> _Value:
    """Make a value of JSON that was parsed before, and make sure that writing it again gives the same JSON.

    So an unknown field is refused, and so is a value in another form than this program's, such as a local time.

    Args:
        kind: A dataclass, or what else msgspec knows.
        written: How the value is written as JSON; None for a value that takes some of the fields only.

    Raises:
        ValueError: It is something else. The message names the field.
    """
    try:
        found = msgspec.convert(content, kind)
        differing = "" if written is None else _first_difference(content, written(found))
    except UnicodeEncodeError as error:
        raise ValueError(f"{shown_text(error.object)} is not a text that UTF-8 can hold") from error
    except OverflowError as error:
        raise ValueError("a time is out of range") from error
    except ValueError as error:
        raise ValueError(_named(error, content)) from error
    if differing:
        raise ValueError(differing)
    return found


def parse_json(contents: bytes | str) -> Any:
    """Parse a JSON text.

    Args:
        contents: The text; as bytes, UTF-8 without a byte order mark.

    Raises:
        ValueError: It is not JSON, or ambiguous, or nested too deeply; with the reason.
    """
    try:
        text = contents.decode() if isinstance(contents, bytes) else contents
        return json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def parse_format(contents: bytes, where: str, what: str, known: str) -> Any:
    """Parse a file whose field ``format`` says what it is; `where` and `what` name the file and its kind in errors.

    Raises:
        UsageError: It is something else, or of another format than `known`.
    """
    if not contents.strip():
        raise UsageError(f"{where} is not a {what} (it is empty)")
    try:
        content = parse_json(contents)
        if not isinstance(content, dict):
            raise UsageError(
                f"{where} is not a {what} (it holds {shown_value(content)}, not an object with fields)"
            )
        found = content["format"]
    except OTHER_FORM as error:
        raise UsageError(f"{where} is not a {what} ({reason(error)})") from error
    if found != known:
        raise UsageError(f"{where} has the format {shown_value(found)}; this program reads {known}")
    return content


def reason(error: Exception) -> str:
    """Why a value could not be taken apart (one of `OTHER_FORM`), for an error's text: on one line, printable, and short."""
    text = f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else str(error)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice: readers of JSON differ on which of the two counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        raise ValueError(f"{shown_value(twice)} stands there twice")
    return content


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


def _named(error: ValueError, content: object) -> str:
    """Say a msgspec error with the field and its value first: ``totals.source.bytes is -1; expected `int` >= 0``."""
    what, _, place = str(error).partition(" - at ")
    what = re.sub(" matching regex .*", " of another form", what, flags=re.DOTALL)
    path = place.removesuffix("`").rpartition("`$")[2].removeprefix(".")
    if missing := _MISSING.fullmatch(what):
        return f"{path or 'the file'} has no {missing[1]!r}"
    if not path:
        return reason(error)
    if "`key`" in place:
        return reason(ValueError(f"a name in {path} is wrong; {what[:1].lower()}{what[1:]}"))
    known, value = _value_at(content, path)
    return reason(
        ValueError(f"{path} is {shown_value(value) if known else 'wrong'}; {what[:1].lower()}{what[1:]}")
    )


def _value_at(content: Any, path: str) -> tuple[bool, object]:
    """Whether the path leads to a value, and the value."""
    try:
        for number, name in _STEP.findall(path):
            content = content[int(number)] if number else content[name]
    except (KeyError, TypeError, IndexError):
        return False, None
    return True, content


def _first_difference(content: object, written: object, path: str = "") -> str:
    """Where the JSON is not what the value is written as; empty for nowhere."""
    pairs: Iterable[tuple[str, object, object]]
    match content, written:
        case dict(), dict():
            for name in content.keys() ^ written.keys():
                inner = f"{path}.{shown_text(name)}" if path else shown_text(name)
                unknown = f"{inner} is an unknown field"
                return unknown if name in content else f"{path or 'the file'} has no {name!r}"
            pairs = ((f"{path}.{name}" if path else name, content[name], written[name]) for name in content)
        case list(), list() | tuple():
            both = zip(content, written, strict=True)
            pairs = ((f"{path}[{number}]", *each) for number, each in enumerate(both))
        case _ if content == written:
            return ""
        case _:
            return f"{path} is {shown_value(content)}; expected {shown_value(written)}"
    return next(filter(None, (_first_difference(one, other, inner) for inner, one, other in pairs)), "")
