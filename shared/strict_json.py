"""JSON that every reader takes for the same: no name twice, no number that is none, UTF-8."""

import json
from typing import Any, NoReturn

__all__ = ["shown_value", "strictly_parsed"]

SHOWN = 60
"""Characters shown of a value that is not what it should be."""


def strictly_parsed(contents: bytes) -> Any:
    """Parse a JSON text.

    Args:
        contents: The text, encoded.

    Returns:
        Its value.

    Raises:
        ValueError: It is no JSON, or readers may differ on what it says.
        RecursionError: It is nested deeper than anything here.
    """
    return json.loads(contents.decode(), object_pairs_hook=_unambiguous, parse_constant=_no_number)


def shown_value(value: Any) -> str:
    """Name a JSON value in an error: on one line, printable, and not long."""
    match value:
        case dict():
            return "an object"
        case list():
            return "a list"
        case _:
            text = ascii(value)
            return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a name that stands twice: readers of JSON differ on which of the two counts."""
    content = dict(pairs)
    if len(content) < len(pairs):
        twice = next(name for number, (name, _) in enumerate(pairs) if name in dict(pairs[:number]))
        raise ValueError(f"{shown_value(twice)} stands there twice")
    return content


def _no_number(name: str) -> NoReturn:
    """Refuse what Python takes for a number and JSON does not."""
    raise ValueError(f"{name} is no number")
