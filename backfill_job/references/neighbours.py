"""The bucket that belongs to a prefix in a file that is no Python: on its line, in its braces, in its block of YAML.

Only what is written is read: a value without quotes is a name in most languages, and then nobody knows what it stands for.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property

from backfill_job.references.languages import Language
from backfill_job.references.pairing import bucket_for, is_bucket_like, names_objects
from backfill_job.references.sources import Source
from backfill_job.references.texts import UNKNOWN, Span, Text, with_holes

__all__ = ["Beside", "Neighbours"]

LEVELS = 4
"""Braces and blocks around a prefix that are looked at."""

MAX_NESTING = 4
"""Variables within variables that are followed."""

_QUOTE = r"\\?[\"'`]"
_BARE = r"(?:\{\{[^}\n]*\}\}|[^\s\"'`,;)\]}\\(])"
_VALUE = rf"(?:&\w+[ \t]+)?(?:{_QUOTE}(?P<quoted>[^\"'`\\\n]*){_QUOTE}|(?P<bare>(?!-){_BARE}+))"
_ASSIGNED = r"(?:\\?[\"'`])?[ \t]*(?:=>|:=|[:=(])[ \t]*"
_PAIR = re.compile(rf"(?P<name>[A-Za-z_][\w.-]*){_ASSIGNED}{_VALUE}")
_FLAG = re.compile(rf"(?<![\w-])--?(?P<name>[A-Za-z][\w-]*)[ \t]+{_VALUE}")
_OWN_NAME = re.compile(rf".*(?<![\w.-])(?P<name>[A-Za-z_][\w.-]*){_ASSIGNED}[\[{{(]*[^\n:=,;(]*\Z")
_OWN_FLAG = re.compile(r"(?<![\w-])--?(?P<name>[A-Za-z][\w-]*)[ \t]+[^\s]*\Z")
_FLAT = re.compile(r"^[ \t]*(?:export[ \t]+|ENV[ \t]+|ARG[ \t]+|set[ \t]+)?[A-Za-z_]\w*[ \t]*=")
_KEY = re.compile(r"^[ ]*(?P<dashes>(?:-[ ]+)*)(?P<name>[\"']?[\w.$/-]+[\"']?)[ ]*:(?=\s|$)")
_NAME = re.compile(
    r"\$\{(?:var\.|local\.)?(?P<braced>\w+)(?::?[-=](?P<default>[^{}]*))?\}|\$(?P<plain>\w+)"
    r"|\{\{\s*(?P<jinja>\w+)\s*\}\}|\{(?P<field>\w+)\}"
)
_NO_STRUCTURE = re.compile(
    r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\$\{[^{}\n]*\}|\{\w*\}|\"(?:\\.|[^\"\\\n])*\"", re.DOTALL
)
"""Braces in it mean something else."""


@dataclass(frozen=True, slots=True)
class Beside:
    """The bucket found beside a prefix.

    Attributes:
        bucket: Its name.
        certain: Whether it surely is the one.
        alone: Whether it belongs to nothing else: no other object is named beside it.
        start: Where what both stand in begins.
    """

    bucket: Text
    certain: bool
    alone: bool
    start: int


@dataclass
class Neighbours:
    """What stands beside a prefix in one file.

    Attributes:
        source: The file.
        language: Its language.
        dear: Which placeholders are left as they are, for what is written in them.
    """

    source: Source
    language: Language
    dear: Callable[[str], bool]
    _values: dict[str, Text | None] = field(default_factory=dict)

    def line(self, number: int) -> Text:
        """A line with its placeholders resolved where the file says what they stand for."""
        start = self.source.starts[number - 1]
        return self.text(start, start + len(self.source.line(number)))

    def text(self, start: int, end: int, nesting: int = 0) -> Text:
        """A part of the file, likewise."""
        written = Text(self.source.text[start:end], (Span(0, end - start, self.source.path, start),))

        def lookup(match: re.Match[str]) -> Text | None:
            found = self._placeholder(match.group(), nesting, start + match.start())
            return None if found is None else found.through({(self.source.path, start + match.end())})

        return with_holes(written, self.dear, lookup)

    def own_name(self, offset: int) -> str:
        """What the text at an offset is called: the key or variable before it on its line; empty for nothing."""
        before = self.source.text[self.source.starts[self.source.line_of(offset) - 1] : offset]
        match = _OWN_FLAG.search(before) or _OWN_NAME.match(before)
        return "" if match is None else match.group("name").rpartition(".")[2]

    def bucket(self, offset: int) -> Beside | None:
        """Find the bucket that belongs to the prefix at an offset; None when there is none, or nobody can tell which."""
        name = self.own_name(offset) or "prefix"
        if self.language.blocks and (number := self._key_line(self.source.line_of(offset))):
            name = self._key(number)[0]
        for start, named, certain in self._surroundings(offset):
            found = bucket_for(name, {other: text for other, text in named.items() if is_bucket_like(other)})
            if found is not None:
                others = [text for other, text in named.items() if names_objects(other)]
                alone = certain and all(self.dear(text.chars) for text in others)
                return Beside(found[0], certain=found[1] and certain, alone=alone, start=start)
        return None

    def is_assigned(self, name: str) -> bool:
        """Tell whether the file says what a variable stands for."""
        return self._assigned(name) is not None

    # --- where to look -------------------------------------------------------------------------------------------

    def _surroundings(self, offset: int) -> Iterator[tuple[int, dict[str, Text], bool]]:
        """Where it begins, the names and values in it, and whether they surely belong to the offset; the nearest first."""
        around = sorted((pair for pair in self._braces if pair[0] < offset < pair[1]), reverse=True)
        blocks = list(self._mappings(offset)) if self.language.blocks else []
        for level, (start, end) in enumerate(around[:LEVELS]):
            yield start, self._pairs([(start + 1, end)], offset), level == 0 and self.language.data
        for level, lines in enumerate(blocks):
            spans = [self._span(number) for number in lines]
            yield min(spans)[0], self._pairs(spans, offset), level == 0
        if blocks or (around and self.language.data):
            return
        number = self.source.line_of(offset)
        yield self._span(number)[0], self._pairs([self._span(number)], offset), True
        if self.language.hash and _FLAT.match(self.source.line(number)):
            yield 0, self._pairs([(0, len(self.source.text))], offset), False

    def _span(self, number: int) -> tuple[int, int]:
        start = self.source.starts[number - 1]
        return start, start + len(self.source.line(number))

    def _pairs(self, spans: Iterable[tuple[int, int]], offset: int) -> dict[str, Text]:
        """Names and values in parts of the file, without what is in inner braces that do not hold the offset."""
        named: dict[str, Text] = {}
        for start, end in spans:
            visible = list(self.source.text[start:end])
            for first, last in self._braces:
                if start <= first and last < end and not first < offset < last:
                    visible[first - start : last + 1 - start] = " " * (last + 1 - first)
            text = "".join(visible)
            for match in (*_PAIR.finditer(text), *_FLAG.finditer(text)):
                name = match.group("name").rpartition(".")[2]
                if is_bucket_like(name) or names_objects(name):
                    value = self._value(match, start)
                    same = named.get(name, value).chars == value.chars or not is_bucket_like(name)
                    named[name] = value if same else UNKNOWN
        return named

    def _value(self, match: re.Match[str], start: int) -> Text:
        group = "quoted" if match.group("quoted") is not None else "bare"
        bare = self.language.bare_values and not match.group(group).startswith("*")  # a reference of YAML
        if group == "bare" and not bare:
            return UNKNOWN
        return self.text(start + match.start(group), start + match.end(group))

    @cached_property
    def _braces(self) -> list[tuple[int, int]]:
        """Every pair of braces that is structure: where it opens, where it closes."""
        masked = _NO_STRUCTURE.sub(lambda match: " " * len(match.group()), self.source.text)
        opened: list[int] = []
        pairs: list[tuple[int, int]] = []
        for match in re.finditer(r"[{}]", masked):
            if match.group() == "{":
                opened.append(match.start())
            elif opened:
                pairs.append((opened.pop(), match.start()))
        return pairs

    # --- YAML ----------------------------------------------------------------------------------------------------

    def _key(self, number: int) -> tuple[str, int, bool]:
        """A line's key, or nothing; the column where it begins; whether it begins an item of a list."""
        line = self.source.line(number)
        match = _KEY.match(line)
        if match is None:
            return "", len(line) - len(line.lstrip(" ")), False
        return match.group("name").strip("\"'"), match.start("name"), bool(match.group("dashes"))

    def _key_line(self, number: int) -> int:
        """The line of the key that a line belongs to; 0 for none."""
        indent = self._indent(number)
        if not self._key(number)[0]:
            number -= 1
            while number and not (self._key(number)[0] and self._indent(number) <= indent):
                number -= 1
        return number

    def _indent(self, number: int) -> int:
        line = self.source.line(number)
        return len(line) - len(line.lstrip(" "))

    def _mappings(self, offset: int) -> Iterator[list[int]]:
        """The lines of the mapping around an offset, then of those around it."""
        number = self._key_line(self.source.line_of(offset))
        for _ in range(LEVELS):
            if not number:
                return
            level = self._key(number)[1]
            yield [number, *self._siblings(number, level, -1), *self._siblings(number, level, 1)]
            number -= 1
            while number and not (self._key(number)[0] and self._key(number)[1] < level):
                number -= 1

    def _siblings(self, number: int, level: int, step: int) -> Iterator[int]:
        """The lines of the same mapping above or below a key's: at its level, and within its item of a list."""
        is_item = self._key(number)[2]
        while step > 0 or not is_item:
            number += step
            if not 1 <= number <= len(self.source.starts):
                return
            if self.source.line(number).lstrip()[:1] in {"", "#"}:
                continue
            _, other, is_item = self._key(number)
            if other < level or (other == level and step > 0 and is_item):
                return
            if other == level:
                yield number
            is_item = is_item and other == level

    # --- variables -----------------------------------------------------------------------------------------------

    def _placeholder(self, written: str, nesting: int, offset: int) -> Text | None:
        match = _NAME.fullmatch(written)
        if match is None or nesting >= MAX_NESTING:
            return None
        name = match["braced"] or match["plain"] or match["jinja"] or match["field"]
        found = self._assigned(name, nesting)
        if found is None and match["default"]:
            start = offset + match.start("default")
            return self.text(start, start + len(match["default"]), nesting + 1)
        return found

    def _assigned(self, name: str, nesting: int = 0) -> Text | None:
        """The one value that the file gives to a name; None for none, or for several."""
        if name not in self._values:
            self._values[name] = None  # while it is looked for: a name that refers to itself
            self._values[name] = self._read_assigned(re.escape(name), nesting)
        return self._values[name]

    def _read_assigned(self, name: str, nesting: int) -> Text | None:
        bare = r"|(?P<bare>[^\s\"'#;,\\]+)" if self.language.bare_values else ""
        value = rf"(?:{_QUOTE}(?P<quoted>[^\"'\\\n]*){_QUOTE}{bare})"
        before = rf"(?<![\w.${{-]){name}(?:\\?[\"'])?[ \t]*"
        pattern = rf"{before}(?::=|=|:)[ \t]*(?:&\w+[ \t]+)?{value}"
        terraform = rf"\bvariable\s+\"{name}\"\s*\{{[^{{}}]*?\bdefault\s*=\s*\"(?P<quoted>[^\"\n]*)\""
        matches = [*re.finditer(pattern, self.source.text), *re.finditer(terraform, self.source.text)]
        if re.search(rf"\b(?:read|for|getopts|mapfile)\b[^\n=]*(?<![\w$]){name}\b", self.source.text):
            return None  # a shell gives it a value that is not written here
        found: dict[str, Text] = {}
        for match in matches:
            group = "quoted" if match.group("quoted") is not None else "bare"
            text = self.text(match.start(group), match.end(group), nesting + 1)
            found[text.chars] = text
        written = len(re.findall(rf"{before}(?::=|=(?!=))", self.source.text))
        return next(iter(found.values())) if len(found) == 1 and written <= len(matches) else None
