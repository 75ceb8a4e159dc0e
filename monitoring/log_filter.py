"""Reads and evaluates the part of Cloud Logging's query language that this project's filters use.

As in Cloud Logging, ``NOT`` binds strongest, then ``OR``, then ``AND``, which may be left out. A comparison with a field that an entry
does not have is false, ``!=`` included (Logging query language, "Missing fields"). A filter outside this part is refused, because no
check could cover it.
"""

import operator
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.errors import UsageError

__all__ = ["SEVERITIES", "FieldComparison", "Filter", "comparisons", "matches", "named", "parse", "value_at"]

SEVERITIES = ("DEFAULT", "DEBUG", "INFO", "NOTICE", "WARNING", "ERROR", "CRITICAL", "ALERT", "EMERGENCY")

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>"(?:[^"\\]|\\.)*") | (?P<op>=~|!~|!=|>=|<=|=|>|<|:) | (?P<paren>[()]) | (?P<minus>-(?=[A-Za-z(]))
        | (?P<word>[A-Za-z0-9_./][A-Za-z0-9_./-]*)
    )""",
    re.VERBOSE,
)


_ORDER: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
"""The operators that order values; a severity has no others."""


@dataclass(frozen=True, slots=True)
class FieldComparison:
    """A field compared with one or several values; one that fits is enough."""

    field: str
    op: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    """The part must not hold."""

    part: "Filter"


@dataclass(frozen=True, slots=True)
class Every:
    """All parts must hold."""

    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Some:
    """At least one part must hold."""

    parts: tuple["Filter", ...]


Filter = FieldComparison | Negation | Every | Some


def parse(text: str) -> Filter:
    """Read a filter.

    Raises:
        UsageError: It is empty, or not in the part of the language that is understood.
    """
    reader = _FilterReader(text)
    found = reader.conjunction()
    if reader.kind:
        raise reader.refusal()
    return found


def comparisons(found: Filter) -> Iterator[FieldComparison]:
    """Every comparison in a filter."""
    match found:
        case FieldComparison():
            yield found
        case Negation(part):
            yield from comparisons(part)
        case Every(parts) | Some(parts):
            for part in parts:
                yield from comparisons(part)


def named(compared: Iterable[FieldComparison], field: str) -> set[str]:
    """The values that comparisons name for a field."""
    return {value for one in compared if one.field == field for value in one.values}


def matches(found: Filter, entry: Mapping[str, Any]) -> bool:
    """Whether a filter takes a log entry: nested mappings."""
    match found:
        case FieldComparison(field, op, values):
            value = value_at(entry, field)
            return value is not None and any(_compare(field, value, op, wanted) for wanted in values)
        case Negation(part):
            return not matches(part, entry)
        case Every(parts):
            return all(matches(part, entry) for part in parts)
        case Some(parts):
            return any(matches(part, entry) for part in parts)


def value_at(entry: Mapping[str, Any], path: str) -> Any:
    """The value at ``a.b.c``; None where the entry has none."""
    value: Any = entry
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _compare(field: str, value: Any, op: str, wanted: str) -> bool:
    if field == "severity":
        return _ORDER[op](SEVERITIES.index(str(value)), SEVERITIES.index(wanted))
    text = str(value).lower() if isinstance(value, bool) else str(value)
    match op:
        case "=" | "!=":
            return _ORDER[op](text, wanted)
        case "=~" | "!~":
            return (re.search(wanted, text) is not None) is (op == "=~")
        case ":":
            return wanted == "*" or wanted.lower() in text.lower()
    try:
        return _ORDER[op](float(text), float(wanted))
    except ValueError:
        return False


class _FilterReader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self.kind, self.symbol = "", ""
        self._next()

    def conjunction(self) -> Filter:
        parts = [self._disjunction()]
        while self.kind and self.symbol != ")":
            if self._is_word("AND"):
                self._next()
            parts.append(self._disjunction())
        return parts[0] if len(parts) == 1 else Every(tuple(parts))

    def refusal(self) -> UsageError:
        return UsageError(f"the log filter is not understood at {self.symbol or 'its end'!r}: {self._text!r}")

    def _disjunction(self) -> Filter:
        parts = [self._factor()]
        while self._is_word("OR"):
            self._next()
            parts.append(self._factor())
        return parts[0] if len(parts) == 1 else Some(tuple(parts))

    def _factor(self) -> Filter:
        if self._is_word("NOT") or self.kind == "minus":
            self._next()
            return Negation(self._factor())
        if self.symbol == "(":
            self._next()
            found = self.conjunction()
            self._expect(")")
            return found
        return self._comparison()

    def _comparison(self) -> Filter:
        if self.kind != "word" or self.symbol in {"AND", "OR"}:
            raise self.refusal()
        field = self._take()
        if self.kind != "op" or (field == "severity" and self.symbol not in _ORDER):
            raise self.refusal()
        op = self._take()
        if self.symbol != "(":
            return FieldComparison(field, op, (self._value(field),))
        self._next()
        values = [self._value(field)]
        while self._is_word("OR"):
            self._next()
            values.append(self._value(field))
        self._expect(")")
        return FieldComparison(field, op, tuple(values))

    def _value(self, field: str) -> str:
        if self.kind not in {"text", "word"}:
            raise self.refusal()
        value = re.sub(r"\\(.)", r"\1", self.symbol[1:-1]) if self.kind == "text" else self.symbol
        if field == "severity" and value not in SEVERITIES:
            raise self.refusal()
        self._next()
        return value

    def _is_word(self, word: str) -> bool:
        return self.kind == "word" and self.symbol == word

    def _expect(self, symbol: str) -> None:
        if self.symbol != symbol:
            raise self.refusal()
        self._next()

    def _take(self) -> str:
        symbol = self.symbol
        self._next()
        return symbol

    def _next(self) -> None:
        match = _TOKEN.match(self._text, self._at)
        if match is None:
            self.kind, self.symbol = "", self._text[self._at :].strip()[:20]
            if self.symbol:
                raise self.refusal()
            return
        self._at = match.end()
        self.kind = match.lastgroup or ""
        self.symbol = match[self.kind]
