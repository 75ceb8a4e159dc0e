"""JSON as RFC 8259 has it, and nothing else: how this project reads what it wrote itself, and what others may have damaged since.

Python's own parser takes more (``NaN``), keeps the last of two values under one name, and answers deep nesting with an error that is no
`ValueError`. Whoever reads a file wants to hear of each of these in the one way in which it hears of a missing bracket.
"""

import json
from collections.abc import Mapping
from typing import Any, NoReturn

__all__ = ["OTHER_FORM", "parse_json", "reason", "shown_text", "shown_value"]

SHOWN = 60
"""Characters shown of a value that is not what it should be."""

LONGEST_REASON = 200
"""Characters shown of a reason, which may quote the file."""

OTHER_FORM = (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError)
"""What is raised by taking apart a value that has another form than was expected."""

HUGE = 2**63
"""Numbers from here on are not written out."""


def parse_json(contents: bytes | str) -> Any:
    """Parse a JSON text.

    Args:
        contents: The text; as bytes, UTF-8 without a byte order mark.

    Returns:
        Its value.

    Raises:
        ValueError: It is none, or ambiguous, or nested too deeply; with the reason.
    """
    try:
        text = contents.decode() if isinstance(contents, bytes) else contents
        return json.loads(text, object_pairs_hook=_unambiguous, parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is no UTF-8") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def reason(error: Exception) -> str:
    """Why a value could not be taken apart, for an error's text: on one line, printable, and not long.

    Args:
        error: One of `OTHER_FORM`.
    """
    text = f"{error.args[0]} is missing" if isinstance(error, KeyError) and error.args else str(error)
    text = text if text.isprintable() else ascii(text)
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def shown_value(value: object) -> str:
    """Name a value that is not what it should be: on one line, printable, and not long."""
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
    """A text on one line, printable, and not long."""
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
