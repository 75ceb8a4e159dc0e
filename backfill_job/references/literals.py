"""Where the characters of a Python string are written.

The parser gives a string's value and where the whole expression stands. This reads the expression again, character by
character: prefixes, quotes, escapes, the braces of f-strings, strings written side by side. What it reads is believed only if it
comes to the same value; otherwise the value is known and its place is not.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from backfill_job.references.sources import Source
from backfill_job.references.texts import Span, Text

__all__ = ["formatted", "literal"]

_OPEN = re.compile(r"([A-Za-z]{0,2})('''|\"\"\"|'|\")")
_BETWEEN = re.compile(r"(?:\s|\\\r?\n|#[^\r\n]*|[()])+")
_ESCAPE = re.compile(
    r"\\(?:\r\n|[0-7]{1,3}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|N\{[^}]*\}|.)", re.DOTALL
)
_NO_VALUE = frozenset({"\\\n", "\\\r\n", "\\\r"})


@dataclass(frozen=True, slots=True)
class _Char:
    """A character of a value, and where it is written as itself; -1 where it is not. A brace pair of an f-string is ``None``."""

    value: str | None
    offset: int = -1


def literal(node: ast.Constant, source: Source) -> Text:
    """A string constant as a text that knows where it is written."""
    value = node.value.decode("latin-1") if isinstance(node.value, bytes) else str(node.value)
    if not isinstance(node.value, (str, bytes)) or node.end_lineno is None:
        return Text(value)
    chars = _read(node, source)
    if chars is None or "".join(char.value or "\0" for char in chars) != value:
        return Text(value)
    return _text(chars, source)


def formatted(node: ast.JoinedStr, source: Source) -> list[Text | ast.FormattedValue]:
    """An f-string's parts: texts that know where they are written, and what stands in braces."""
    wanted: list[str | ast.FormattedValue] = []
    for value in node.values:
        if isinstance(value, ast.FormattedValue):
            wanted.append(value)
        elif isinstance(value, ast.Constant):
            wanted.append(str(value.value))
    found = _split(_read(node, source) or [])
    texts = [chars for chars in found if chars is not None]
    known = "".join(part for part in wanted if isinstance(part, str))
    if "".join(char.value or "" for chars in texts for char in chars) != known or len(texts) != len(
        found
    ) - sum(isinstance(part, ast.FormattedValue) for part in wanted):
        return [Text(part) if isinstance(part, str) else part for part in wanted]
    return _aligned(found, [part for part in wanted if isinstance(part, ast.FormattedValue)], source)


def _aligned(
    found: list[list[_Char] | None], braces: list[ast.FormattedValue], source: Source
) -> list[Text | ast.FormattedValue]:
    following = iter(braces)
    return [next(following) if chars is None else _text(chars, source) for chars in found]


def _split(chars: list[_Char]) -> list[list[_Char] | None]:
    """Texts between braces, and None for each pair of braces."""
    parts: list[list[_Char] | None] = []
    for char in chars:
        if char.value is None:
            parts.append(None)
        elif parts and (last := parts[-1]) is not None:
            last.append(char)
        else:
            parts.append([char])
    return parts


def _text(chars: list[_Char], source: Source) -> Text:
    spans: list[Span] = []
    for index, char in enumerate(chars):
        if char.offset < 0:
            continue
        last = spans[-1] if spans else None
        if last is not None and last.end == index and last.offset + last.end - last.start == char.offset:
            spans[-1] = Span(last.start, index + 1, source.path, last.offset)
        else:
            spans.append(Span(index, index + 1, source.path, char.offset))
    return Text("".join(char.value or "" for char in chars), tuple(spans))


def _read(node: ast.expr, source: Source) -> list[_Char] | None:
    """Read the strings of one expression; None when they are not understood."""
    position = source.offset(node.lineno, node.col_offset)
    end = source.offset(node.end_lineno or node.lineno, node.end_col_offset or 0)
    chars: list[_Char] = []
    while position < end:
        between = _BETWEEN.match(source.text, position, end)
        if between is not None:
            position = between.end()
            continue
        opening = _OPEN.match(source.text, position, end)
        if opening is None:
            return None
        prefix, quote = opening.group(1).lower(), opening.group(2)
        body = re.compile(rf"(?:[^\\]|\\.)*?(?={quote})", re.DOTALL).match(source.text, opening.end(), end)
        if body is None:
            return None
        chars += _body(source.text, body.start(), body.end(), prefix)
        position = body.end() + len(quote)
    return chars


def _body(text: str, position: int, end: int, prefix: str) -> Iterator[_Char]:
    while position < end:
        char = text[position]
        if char == "\\" and "r" not in prefix:
            escape = _ESCAPE.match(text, position, end)
            written = escape.group() if escape is not None else char
            if written not in _NO_VALUE:
                yield from map(_Char, _unescaped(written, is_bytes="b" in prefix))
            position += len(written)
        elif char in "{}" and "f" in prefix:
            if text[position : position + 2] in {"{{", "}}"}:
                yield _Char(char)
                position += 2
            else:
                yield _Char(None)
                position = _behind_braces(text, position, end)
        elif char == "\r":
            yield _Char("\n")
            position += 2 if text.startswith("\r\n", position) else 1
        else:
            yield _Char(char, position)
            position += 1


def _unescaped(written: str, *, is_bytes: bool) -> str:
    try:
        value = ast.literal_eval(("b" if is_bytes else "") + f"'{written}'" if written != "\\'" else '"\'"')
    except (SyntaxError, ValueError):
        return written
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _behind_braces(text: str, position: int, end: int) -> int:
    depth = 0
    while position < end:
        char = text[position]
        if char in "'\"":
            closing = text.find(char, position + 1, end)
            position = closing if closing > 0 else end
        depth += (char == "{") - (char == "}")
        position += 1
        if depth == 0:
            break
    return position
