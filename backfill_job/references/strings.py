"""Python's strings: where their characters are written, and what its string methods do with texts that have holes.

The parser gives a string's value and where the whole expression stands. This module reads the expression again, character by
character: prefixes, quotes, escapes, the braces of f-strings, strings written side by side. It believes what it reads only if
that comes to the same value; otherwise the value is known and its place is not.
Only the evaluator uses it: the module is apart because it knows Python's notation and nothing of names and scopes.
"""

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count

from backfill_job.references.texts import HOLE, UNKNOWN, SourceText, Span, Text, product

__all__ = ["FORMAT", "METHODS", "PERCENT", "formatted", "literal", "path_join", "with_fields"]

_OPEN = re.compile(r"([A-Za-z]{0,2})('''|\"\"\"|'|\")")
_BETWEEN = re.compile(r"(?:\s|\\\r?\n|#[^\r\n]*|[()])+")
_ESCAPE = re.compile(
    r"\\(?:\r\n|[0-7]{1,3}|x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|N\{[^}]*\}|.)", re.DOTALL
)
_NO_VALUE = frozenset({"\\\n", "\\\r\n", "\\\r"})


@dataclass(frozen=True, slots=True)
class _Char:
    """A character of a value, None for braces of an f-string; and where it is written as itself, -1 where it is not."""

    value: str | None
    offset: int = -1


def literal(node: ast.Constant, source: SourceText) -> Text:
    """A string constant as a text that knows where it is written."""
    value = node.value.decode("latin-1") if isinstance(node.value, bytes) else str(node.value)
    if not isinstance(node.value, (str, bytes)) or node.end_lineno is None:
        return Text(value)
    chars = _read(node, source)
    if chars is None or "".join(char.value or "\0" for char in chars) != value:
        return Text(value)
    return _text(chars, source)


def formatted(node: ast.JoinedStr, source: SourceText) -> list[Text | ast.FormattedValue]:
    """An f-string's parts: texts that know where they are written, and what stands in braces."""
    wanted = [
        value if isinstance(value, ast.FormattedValue) else str(value.value)
        for value in node.values
        if isinstance(value, (ast.FormattedValue, ast.Constant))
    ]
    braces = [part for part in wanted if isinstance(part, ast.FormattedValue)]
    found = _split(_read(node, source) or [])
    written = "".join(char.value or "" for chars in found if chars is not None for char in chars)
    known = "".join(part for part in wanted if isinstance(part, str))
    if written != known or found.count(None) != len(braces):
        return [Text(part) if isinstance(part, str) else part for part in wanted]
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


def _text(chars: list[_Char], source: SourceText) -> Text:
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


def _read(node: ast.expr, source: SourceText) -> list[_Char] | None:
    """Read the strings of one expression; None for anything but strings."""
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


Texts = Sequence[Text]
MustKeep = Callable[[str], bool]

FORMAT = re.compile(
    r"(?P<escaped>\{\{|\}\})|\{(?:(?P<index>\d+)|(?P<name>[^{}!:]+))?(?:![rsa])?(?::[^{}]*)?\}"
)
"""The fields of ``str.format``."""

PERCENT = re.compile(r"(?P<escaped>%%)|%(?:\((?P<name>\w+)\))?[-#0-9.]*[sdifr]")
"""The conversions of ``text % args``."""


def with_fields(
    text: Text,
    fields: re.Pattern[str],
    args: Sequence[Texts],
    keywords: Mapping[str, Texts],
    must_keep: MustKeep,
) -> Texts:
    """A text with the arguments in its fields: ``text.format(*args, **keywords)``, ``text % args``."""
    counter = count()
    parts: list[Texts] = []
    last = 0
    for match in fields.finditer(text.chars):
        named = match.groupdict()
        way: Texts = [UNKNOWN]
        if named["escaped"]:
            way = [text.cut(match.start(), match.start() + 1)]
        elif named["name"]:
            way = keywords.get(named["name"], way)
        elif (index := int(named.get("index") or next(counter))) < len(args):
            way = args[index]
        parts += [[text.cut(last, match.start())], way]
        last = match.end()
    parts.append([text.cut(last, len(text.chars))])
    return product(parts, must_keep)


def path_join(parts: Sequence[Texts], must_keep: MustKeep) -> Texts:
    """``os.path.join`` and its kin: one slash between the parts; a part that begins with one replaces those before it."""
    results: list[Text] = []
    for index, values in enumerate(parts):
        if index == 0:
            results = list(values)
            continue
        slash = Text("/")
        anew = [value for value in values if value.chars.startswith("/")]
        below = [value for value in values if not value.chars.startswith("/")]
        bases = [base if base.chars.endswith("/") or not base.chars else base + slash for base in results]
        results = [*anew, *product([bases, below], must_keep)] if below else anew
    return results


def _strip(text: Text, args: Sequence[Text], *, left: bool, right: bool) -> Text:
    chars = args[0].chars if args else None
    start = len(text.chars) - len(text.chars.lstrip(chars)) if left else 0
    end = len(text.chars.rstrip(chars)) if right else len(text.chars)
    return text.cut(start, max(start, end))


def _replace(text: Text, args: Sequence[Text]) -> Text:
    if len(args) < 2 or HOLE in args[0].chars or not args[0].chars:  # noqa: PLR2004 -- old and new
        return UNKNOWN
    old, new = args[0], args[1]
    return text.replaced(re.compile(re.escape(old.chars)), lambda _: new).through(old.loads)


def _without(text: Text, args: Sequence[Text], *, prefix: bool) -> Text:
    chars = args[0].chars if args else ""
    kept = text.chars.removeprefix(chars) if prefix else text.chars.removesuffix(chars)
    return text.cut(len(text.chars) - len(kept), len(text.chars)) if prefix else text.cut(0, len(kept))


def _with_case(change: Callable[[str], str]) -> Callable[[Text, Sequence[Text]], Text]:
    def changed(text: Text, _: Sequence[Text]) -> Text:
        chars = change(text.chars)
        # It still has its places: a change there comes out here.
        spans = text.spans if len(chars) == len(text.chars) else ()
        return Text(chars, spans, text.loads, text.settings)

    return changed


METHODS: Mapping[str, Callable[[Text, Sequence[Text]], Text]] = {
    "strip": lambda text, args: _strip(text, args, left=True, right=True),
    "lstrip": lambda text, args: _strip(text, args, left=True, right=False),
    "rstrip": lambda text, args: _strip(text, args, left=False, right=True),
    "replace": _replace,
    "removeprefix": lambda text, args: _without(text, args, prefix=True),
    "removesuffix": lambda text, args: _without(text, args, prefix=False),
    **{
        each.__name__: _with_case(each)
        for each in (str.lower, str.casefold, str.upper, str.title, str.capitalize)
    },
    **dict.fromkeys(("encode", "decode", "as_posix", "as_uri"), lambda text, _: text),
}
"""Methods that make one text of one text, by their names."""
