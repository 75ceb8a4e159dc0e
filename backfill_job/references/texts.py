"""Texts with holes: what an expression evaluates to when parts of it are known only at run time.

A text is a string in which `HOLE` stands for what nobody knows before the program runs: an environment, a date. Every
character that was written down remembers where: its file and its offset there, so that a finding can be mended where it is
written and not where it is used. A text also remembers through which names it was read.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

__all__ = ["HOLE", "UNKNOWN", "Position", "Span", "Text", "joined", "product", "readable", "with_holes"]

HOLE = "\ue000"
"""One character of Unicode's private use area, which no source file of ours needs for itself."""

MAX_VALUES = 64
"""How many values of one expression are followed."""

Position = tuple[Path, int]
"""A character in a file: its path, and its offset in the decoded text."""

_PLACEHOLDERS = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}"  # Jinja
    r"|\$\{[^{}\n]*\}|\$\([^()\n]*\)|\$(?:[A-Za-z_]\w*|[0-9@*])"  # shell, Terraform, string.Template
    r"|%\(\w+\)[sdr]|%[sdr](?![0-9A-Fa-f])"  # printf
    r"|\{[^{}\s\"']*\}"  # str.format
    r"|<[A-Za-z_][\w-]*>",  # prose
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Span:
    """Characters of a text that stand in a file, one by one.

    Attributes:
        start: The first one's index in the text.
        end: The index behind the last one.
        path: The file.
        offset: The first one's offset in the file.
    """

    start: int
    end: int
    path: Path
    offset: int


@dataclass(frozen=True, slots=True)
class Text:
    """A text with holes.

    Attributes:
        chars: The characters; `HOLE` for what is not known.
        spans: Where they are written; what is computed or escaped is written nowhere.
        loads: The names through which it was read.
    """

    chars: str
    spans: tuple[Span, ...] = ()
    loads: frozenset[Position] = frozenset()

    @property
    def known(self) -> bool:
        """Whether anything about it is known."""
        return self.chars.strip(HOLE) != "" or not self.chars

    def __add__(self, other: "Text") -> "Text":
        """One text behind the other."""
        shift = len(self.chars)
        moved = tuple(replace(span, start=span.start + shift, end=span.end + shift) for span in other.spans)
        return Text(self.chars + other.chars, self.spans + moved, self.loads | other.loads)

    def cut(self, start: int, end: int) -> "Text":
        """The characters from `start` to before `end`, with where they are written."""
        spans = []
        for span in self.spans:
            first, last = max(span.start, start), min(span.end, end)
            if first < last:
                spans.append(Span(first - start, last - start, span.path, span.offset + first - span.start))
        return Text(self.chars[start:end], tuple(spans), self.loads)

    def through(self, loads: Iterable[Position]) -> "Text":
        """The same, read through more names."""
        return replace(self, loads=self.loads.union(loads))

    def evidence(self) -> set[Position]:
        """Every place that it is written at, and every name it was read through."""
        return self.positions() | self.loads

    def positions(self) -> set[Position]:
        """Every place in a file that it is written at."""
        return {
            (span.path, span.offset + index) for span in self.spans for index in range(span.end - span.start)
        }


UNKNOWN = Text(HOLE)
"""Nothing is known."""


def joined(parts: Iterable[Text]) -> Text:
    """The parts, one behind the other."""
    return sum(parts, Text(""))


def product(parts: Sequence[Sequence[Text]], dear: Callable[[str], bool]) -> tuple[Text, ...]:
    """Every way to join one value of each part.

    Args:
        parts: The values of each part.
        dear: Which results must not be lost when there are too many.

    Returns:
        At most `MAX_VALUES` texts; where there were more, one of them is `UNKNOWN`.
    """
    results: list[Text] = [Text("")]
    for values in parts:
        results = limited([result + value for result in results for value in values], dear)
    return tuple(results)


def limited(values: Sequence[Text], dear: Callable[[str], bool]) -> list[Text]:
    """The distinct values, and at most `MAX_VALUES`: the dear ones first."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) <= MAX_VALUES:
        return distinct
    distinct.sort(key=lambda text: not dear(text.chars))
    return [*distinct[: MAX_VALUES - 1], UNKNOWN]


def with_holes(
    text: Text, dear: Callable[[str], bool], lookup: Callable[[re.Match[str]], Text | None] = lambda _: None
) -> Text:
    """Make a hole of every placeholder written in a text: ``{{ env }}``, ``${ENV}``, ``%s``, ``{env}``.

    Args:
        text: As it is written.
        dear: Which placeholders are left as they are, for what is written in them.
        lookup: What a placeholder stands for; None when nobody knows.

    Returns:
        The text with holes.
    """
    parts, last = [], 0
    for match in _PLACEHOLDERS.finditer(text.chars):
        if not dear(match.group()):
            parts += [text.cut(last, match.start()), lookup(match) or UNKNOWN]
            last = match.end()
    if not parts:
        return text
    return joined([*parts, text.cut(last, len(text.chars))]).through(text.loads)


def readable(chars: str) -> str:
    """A text as a person reads it: ``data-bucket-{…}``."""
    return re.sub(f"{HOLE}+", "{…}", chars)
