"""A JSON object's fields, read one by one. What is not as it should be is a `UsageError` that says where and what.

Fields that nobody asks for are let be: a page only shows what it knows, and a later program may write more. Values of a
closed set, such as verdicts and phases, are refused when they are unknown: a page must not leave out what it cannot name.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import Enum
from typing import Any, TypeVar

from shared.errors import UsageError
from shared.json_io import shown_text, shown_value
from shared.objects import parse_time

__all__ = ["Fields"]

_Value = TypeVar("_Value")
_Choice = TypeVar("_Choice", bound=Enum)

_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")
_HEX = re.compile("[0-9a-f]{64}")

LARGEST = 2**63
"""Counts below this: what a counter of any store holds, and what every reader of the page's figures can print."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one JSON object.

    Attributes:
        where: What it is and where it stands, for error messages: ``the verification: days[3].source``.
        content: The object.
    """

    where: str
    content: Mapping[str, Any]

    @staticmethod
    def of(content: object, where: str) -> "Fields":
        """Take a value that should be a JSON object.

        Raises:
            UsageError: It is something else.
        """
        if not isinstance(content, Mapping):
            raise UsageError(f"{where} is {shown_value(content)} where an object was expected")
        return Fields(where, content)

    def wrong(self, key: str, wanted: str) -> UsageError:
        """Say what is wrong with a field.

        Args:
            key: Its name; it may be missing.
            wanted: What should be there.

        Returns:
            The error to raise.
        """
        if key not in self.content:
            return UsageError(f"{self.where} has no {shown_text(key)}")
        return UsageError(f"{self._at(key)} is {shown_value(self.content[key])}; {wanted} was expected")

    def text(self, key: str) -> str:
        """A text."""
        value = self.content.get(key)
        if not isinstance(value, str):
            raise self.wrong(key, "a text")
        return value

    def hexadecimal(self, key: str) -> str:
        """A SHA-256 or digest."""
        value = self.text(key)
        if not _HEX.fullmatch(value):
            raise self.wrong(key, "64 hexadecimal digits")
        return value

    def count(self, key: str) -> int:
        """A number of things: whole, not negative."""
        value = self.content.get(key)
        if type(value) is not int or not 0 <= value < LARGEST:  # type(): true is no number
            raise self.wrong(key, "a count")
        return value

    def whole(self, key: str) -> int:
        """A whole number."""
        value = self.content.get(key)
        if type(value) is not int or abs(value) >= LARGEST:
            raise self.wrong(key, "a whole number")
        return value

    def number(self, key: str) -> float:
        """A finite number."""
        value = self.content.get(key)
        # Not a number is not below anything either. bool is a kind of int to Python, not to JSON.
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST:
            return float(value)
        raise self.wrong(key, "a number")

    def flag(self, key: str) -> bool:
        """True or false."""
        value = self.content.get(key)
        if not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return value

    def moment(self, key: str) -> datetime:
        """An RFC 3339 time."""
        try:
            moment = parse_time(self.text(key))
            # Not every time that is written can be expressed in UTC: 0001-01-01T00:00:00+01:00.
            return moment.astimezone(UTC)
        except (ValueError, OverflowError):
            raise self.wrong(key, "a time such as 2026-11-23T05:15:00Z") from None

    def day(self, key: str) -> date:
        """A calendar day, YYYY-MM-DD."""
        text = self.text(key)
        try:
            # The form alone would let 2024-02-30 through, the calendar alone 20240131.
            return date.fromisoformat(text if _DAY.fullmatch(text) else "")
        except ValueError:
            raise self.wrong(key, "a day such as 2024-01-31") from None

    def choice(self, key: str, choices: type[_Choice]) -> _Choice:
        """One of an enumeration's values."""
        value = self.content.get(key)
        for choice in choices:
            if choice.value == value:
                return choice
        raise self.wrong(key, f"one of {', '.join(choice.value for choice in choices)}")

    def optional(self, key: str, read: Callable[[str], _Value]) -> _Value | None:
        """What `read` gives, or None for null. The field has to be there."""
        if key in self.content and self.content[key] is None:
            return None
        return read(key)

    def inner(self, key: str) -> "Fields":
        """An object in a field."""
        if not isinstance(self.content.get(key), Mapping):
            raise self.wrong(key, "an object")
        return Fields(self._at(key), self.content[key])

    def texts(self, key: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self._list(key)
        if not all(isinstance(value, str) for value in values):
            raise self.wrong(key, "a list of texts")
        return tuple(values)

    def each(self, key: str) -> Iterator["Fields"]:
        """The objects of a list."""
        return (Fields.of(item, f"{self._at(key)}[{number}]") for number, item in enumerate(self._list(key)))

    def keys(self) -> tuple[str, ...]:
        """The names of its fields, which must be texts."""
        for key in self.content:
            if not isinstance(key, str):
                raise UsageError(f"{self.where} has a field {shown_value(key)}; names are texts")
        return tuple(self.content)

    def _list(self, key: str) -> list[Any]:
        value = self.content.get(key)
        if not isinstance(value, list):
            raise self.wrong(key, "a list")
        return value

    def _at(self, key: str) -> str:
        # The first field of an object follows a colon, the others a dot.
        return f"{self.where}{'.' if ':' in self.where else ': '}{shown_text(key)}"
