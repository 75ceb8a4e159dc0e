"""What Python does with strings, done with texts that have holes."""

import re
from collections.abc import Callable, Mapping, Sequence

from backfill_job.references.texts import HOLE, UNKNOWN, Text, joined, product

__all__ = ["METHODS", "format_fields", "path_join", "percent"]

Values = Sequence[Text]
Dear = Callable[[str], bool]

_FIELD = re.compile(r"\{\{|\}\}|\{([^{}!:]*)(?:![rsa])?(?::[^{}]*)?\}")
_CONVERSION = re.compile(r"%%|%\((\w+)\)[-#0-9.]*[sdifr]|%[-#0-9.]*[sdifr]")


def format_fields(text: Text, args: Sequence[Values], keywords: Mapping[str, Values], dear: Dear) -> Values:
    """``text.format(*args, **keywords)``."""
    counter = iter(range(len(text.chars)))

    def field(match: re.Match[str]) -> Values:
        name = match.group(1)
        if name is None:
            return [text.cut(match.start(), match.start() + 1)]
        if name == "" or name.isdigit():
            index = int(name) if name else next(counter)
            return args[index] if index < len(args) else [UNKNOWN]
        return keywords.get(name, [UNKNOWN])

    return _filled(text, _FIELD, field, dear)


def percent(text: Text, args: Sequence[Values], keywords: Mapping[str, Values], dear: Dear) -> Values:
    """``text % args``, or ``text % keywords``."""
    counter = iter(range(len(text.chars)))

    def field(match: re.Match[str]) -> Values:
        if match.group() == "%%":
            return [text.cut(match.start(), match.start() + 1)]
        if match.group(1) is not None:
            return keywords.get(match.group(1), [UNKNOWN])
        index = next(counter)
        return args[index] if index < len(args) else [UNKNOWN]

    return _filled(text, _CONVERSION, field, dear)


def path_join(parts: Sequence[Values], dear: Dear) -> Values:
    """``os.path.join`` and its kin: one slash between the parts; a part that begins with one starts anew."""
    results: list[Text] = []
    for index, values in enumerate(parts):
        if index == 0:
            results = list(values)
            continue
        slash = Text("/")
        anew = [value for value in values if value.chars.startswith("/")]
        below = [value for value in values if not value.chars.startswith("/")]
        bases = [base if base.chars.endswith("/") or not base.chars else base + slash for base in results]
        results = [*anew, *product([bases, below], dear)] if below else anew
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
    parts, last = [], 0
    for match in re.finditer(re.escape(old.chars), text.chars):
        parts += [text.cut(last, match.start()), new]
        last = match.end()
    return joined([*parts, text.cut(last, len(text.chars))]).through(text.loads | old.loads)


def _without_prefix(text: Text, args: Sequence[Text]) -> Text:
    start = len(args[0].chars) if args and text.chars.startswith(args[0].chars) else 0
    return text.cut(start, len(text.chars))


def _without_suffix(text: Text, args: Sequence[Text]) -> Text:
    suffix = args[0].chars if args else ""
    end = len(text.chars) - len(suffix) if suffix and text.chars.endswith(suffix) else len(text.chars)
    return text.cut(0, end)


def _with_case(change: Callable[[str], str]) -> Callable[[Text, Sequence[Text]], Text]:
    def changed(text: Text, _: Sequence[Text]) -> Text:
        chars = change(text.chars)
        # Still written where it was written: what is mended there comes out here.
        return Text(chars, text.spans if len(chars) == len(text.chars) else (), text.loads)

    return changed


METHODS: Mapping[str, Callable[[Text, Sequence[Text]], Text]] = {
    "strip": lambda text, args: _strip(text, args, left=True, right=True),
    "lstrip": lambda text, args: _strip(text, args, left=True, right=False),
    "rstrip": lambda text, args: _strip(text, args, left=False, right=True),
    "replace": _replace,
    "removeprefix": _without_prefix,
    "removesuffix": _without_suffix,
    "lower": _with_case(str.lower),
    "casefold": _with_case(str.casefold),
    "upper": _with_case(str.upper),
    "title": _with_case(str.title),
    "capitalize": _with_case(str.capitalize),
    "encode": lambda text, _: text,
    "decode": lambda text, _: text,
    "as_posix": lambda text, _: text,
    "as_uri": lambda text, _: text,
}
"""Methods that make one text of one text, by their names."""


def _filled(
    text: Text, pattern: re.Pattern[str], field: Callable[[re.Match[str]], Values], dear: Dear
) -> Values:
    parts: list[Values] = []
    last = 0
    for match in pattern.finditer(text.chars):
        parts += [[text.cut(last, match.start())], field(match)]
        last = match.end()
    parts.append([text.cut(last, len(text.chars))])
    return product(parts, dear)
