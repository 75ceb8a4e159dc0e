"""Texts that a program in another language than Python puts together: with an operator, by a function, side by side in a shell.

Pure. A part that is not read is a hole, so the name that it cuts short is still looked at. Only `other_files` uses it. It is a
module of its own because it knows the forms of languages, and nothing of files and findings.
"""

import re
from collections.abc import Callable

from backfill_job.references.texts import UNKNOWN, Text, joined

__all__ = ["CONTINUED", "OPERANDS", "PUT_TOGETHER", "joins_by_call", "put_together", "side_by_side"]

_QUOTE = r"[\"'`]"
_OPERATOR = r"(?:\+|\|\||<>|\.\.(?!\.)|(?<=[ \t])[.&~](?=[ \t]))"
_TEXT = r"(?:\"[^\"\n]*\"|'[^'\n]*'|`[^`\n]*`)"
_NAME = r"[A-Za-z_$@][\w.$]*"
_OPERAND = rf"(?:{_NAME}(?:\([^()\n]*\))?|{_TEXT}\.{_NAME}\([^()\n]*\))"
_CALL = re.compile(r"\b(?:concat|paste0|str_c|strcat)\s*\(|!join\b|\(str\b", re.IGNORECASE)
"""Functions that join their arguments."""
_JOINS = re.compile(
    rf"\b(?:join|implode|concat_ws)\s*\(\s*{_QUOTE}(?P<first>[^\"'`\n]*){_QUOTE}\s*,"
    rf"|\b(?:join|mkString|joinToString)\s*\(\s*{_QUOTE}(?P<last>[^\"'`\n]*){_QUOTE}\s*\)"
)
"""Functions that join texts with another one between them."""


def _between(operator: str) -> str:
    """What stands between two texts that are joined, from the first one's last quote to the second one's first."""
    return rf"{_QUOTE}\s*{operator}\s*(?:{_OPERAND}\s*{operator}\s*)*{_QUOTE}"


_BEHIND = rf"{_QUOTE}\s*{_OPERATOR}\s*(?P<behind>{_OPERAND}(?:\s*{_OPERATOR}\s*{_OPERAND})*)(?![\w.$(]|\s*{_OPERATOR})"
_BEFORE = rf"(?<![\w.$])(?P<before>{_NAME})\s*{_OPERATOR}\s*{_QUOTE}"
_ARGUMENTS = rf"(?:,|[ ]|{_OPERATOR})"
_NEIGHBOURS = rf"(?:{_OPERATOR}|[ ])"
_JOINED, _JOINED_BY_CALL, _SIDE_BY_SIDE = (
    re.compile(_between(operator)) for operator in (_OPERATOR, _ARGUMENTS, _NEIGHBOURS)
)
_AT_AN_END = re.compile(rf"{_BEHIND}|{_BEFORE}")
_INNER_QUOTES = re.compile(r"(?<=[^\s=\"'(\[{,;:])[\"'](?=[^\s\"')\]},;:])")

OPERANDS = re.compile(rf"{_TEXT}|{_OPERAND}")
"""The texts and other parts that are joined."""

CONTINUED = re.compile(rf"(?:\s*{_OPERATOR}\s*(?:{_TEXT}|{_OPERAND}))+")
"""What follows a text that is only the first of several."""

PUT_TOGETHER = re.compile(
    rf"\$[\w{{(]|\{{\w|%\w+%|{_QUOTE}\s*{_OPERATOR}|{_OPERATOR}\s*{_QUOTE}|{_CALL.pattern}"
    r"|\b(?:join|implode|concat_ws|mkString|joinToString)\b|[\"'][^\s\"']+[\"']\S|\"[ ]\"",
    re.IGNORECASE,
)
"""Where a line may put a text together, of a variable's value or of parts."""


def put_together(text: Text, value: Callable[[str], Text | None], *, adjacent: bool = False) -> Text:
    """A text in which quoted parts that are joined are one, without the quotes between them.

    Args:
        value: What a variable stands for; None where that is not known.
        adjacent: Whether two texts side by side are one, as in C.
    """
    joins = _JOINS.search(text.chars)
    separator = Text("" if joins is None else joins["first"] or joins["last"] or "")

    def between(match: re.Match[str]) -> Text:
        values = [value(one) or UNKNOWN for one in OPERANDS.findall(match.group()[1:-1])]
        if not separator.chars or "," not in match.group():
            return joined(values)
        return joined([separator, *(part for one in values for part in (one, separator))])

    def at_an_end(match: re.Match[str]) -> Text | None:
        values = list(map(value, OPERANDS.findall(match["behind"] or match["before"])))
        return joined(one or UNKNOWN for one in values) if any(values) else None

    pattern = _SIDE_BY_SIDE if adjacent else _JOINED
    if joins is not None or _CALL.search(text.chars):
        pattern = _JOINED_BY_CALL
    return text.replaced(pattern, between).replaced(_AT_AN_END, at_an_end)


def joins_by_call(text: Text) -> bool:
    """Tell whether a function in a text joins texts."""
    return any(pattern.search(text.chars) for pattern in (_CALL, _JOINS))


def side_by_side(text: Text) -> Text:
    """A shell's line without the quotes within its words: ``"gs://b/"$X"_exports"`` is one word."""
    return text.replaced(_INNER_QUOTES, lambda _: Text(""))
