"""Texts with holes, and the files they are written in.

A text is a string in which `HOLE` stands for what is known only when the program runs: an environment, a date. Every character
that was written down remembers its file and its offset there. So a change is made where it is written and not where it is
used. A text also remembers through which names it was read.
A file that is not UTF-8 is read so that every byte can be written back (PEP 383). A Python file is read as its coding line says.
"""

import codecs
import io
import re
import tokenize
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

__all__ = [
    "HOLE",
    "PYTHON",
    "UNKNOWN",
    "Position",
    "SourceText",
    "Span",
    "Text",
    "decode_source",
    "is_binary",
    "is_broken",
    "joined",
    "limited",
    "product",
    "readable",
    "with_holes",
]

HOLE = "\ue000"
"""One character of Unicode's private use area, which the scanned files do not use."""

MAX_VALUES = 64
"""How many values of one expression are followed."""

PYTHON = frozenset({".py", ".pyi"})
"""The suffixes of files that are read as Python."""

Position = tuple[Path, int]
"""A character in a file: its path, and its offset in the decoded text."""

_PLACEHOLDERS = re.compile(
    r"\$?\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}"  # Jinja, GitHub's workflows
    r"|\$\{[^{}\n]*\}|\$\([^()\n]*\)|\$(?:[A-Za-z_]\w*|[0-9@*])"  # shell, Terraform, string.Template
    r"|%\(\w+\)[sdr]|%[sdr](?![0-9A-Fa-f])"  # printf
    r"|#?\{[^{}\s\"']*\}"  # str.format, Ruby
    r"|%[A-Z_][A-Z0-9_]+%|\\\([^()\n]*\)"  # a batch file, Swift
    r"|<[A-Za-z_][\w-]*>",  # prose
    re.DOTALL,
)
_SNIFFED = 8_192
_LINE_END = re.compile(r"\r\n|\r|\n")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


@dataclass(frozen=True, slots=True)
class Span:
    """The characters of a text from `start` to before `end`, which stand in a file from `offset` on, one by one."""

    start: int
    end: int
    path: Path
    offset: int


@dataclass(frozen=True, slots=True)
class Text:
    """A text with holes.

    Attributes:
        spans: Where the characters are written; computed and escaped characters have none.
        loads: The names through which it was read.
        settings: The settings from outside of the code that decide it where the code is deployed; each with whether its
            default is believed here.
    """

    chars: str
    spans: tuple[Span, ...] = ()
    loads: frozenset[Position] = frozenset()
    settings: frozenset[tuple[str, bool]] = frozenset()

    @property
    def known(self) -> bool:
        """Whether anything about it is known."""
        return self.chars.strip(HOLE) != "" or not self.chars

    def __add__(self, other: "Text") -> "Text":
        """One text behind the other."""
        shift = len(self.chars)
        moved = tuple(replace(span, start=span.start + shift, end=span.end + shift) for span in other.spans)
        settings = self.settings | other.settings
        return Text(self.chars + other.chars, self.spans + moved, self.loads | other.loads, settings)

    def cut(self, start: int, end: int) -> "Text":
        """The characters from `start` to before `end`, with where they are written."""
        spans = []
        for span in self.spans:
            first, last = max(span.start, start), min(span.end, end)
            if first < last:
                spans.append(Span(first - start, last - start, span.path, span.offset + first - span.start))
        return Text(self.chars[start:end], tuple(spans), self.loads, self.settings)

    def replaced(self, pattern: re.Pattern[str], fill: Callable[[re.Match[str]], "Text | None"]) -> "Text":
        """The text with what `fill` gives for each match of a pattern; a match for which that is None stays."""
        parts, last = [], 0
        for match in pattern.finditer(self.chars):
            if (new := fill(match)) is not None:
                parts += [self.cut(last, match.start()), new]
                last = match.end()
        return joined([*parts, self.cut(last, len(self.chars))]).through(self.loads) if parts else self

    def through(self, loads: Iterable[Position]) -> "Text":
        """The same, read through more names."""
        return replace(self, loads=self.loads.union(loads))

    def decided_by(self, names: Iterable[str]) -> "Text":
        """The same, decided by settings where the code is deployed."""
        return replace(self, settings=self.settings.union((name, self.known) for name in names))

    @property
    def deciding(self) -> frozenset[str]:
        """The settings that decide it: those of which a default is believed, and of an unknown text all."""
        return frozenset(name for name, believed in self.settings if believed or not self.known)

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
    """The parts, one behind the other. The work grows with them, and not with their square."""
    chars: list[str] = []
    spans: list[Span] = []
    loads: set[Position] = set()
    settings: set[tuple[str, bool]] = set()
    length = 0
    for part in parts:
        spans += (replace(one, start=one.start + length, end=one.end + length) for one in part.spans)
        chars.append(part.chars)
        length += len(part.chars)
        loads |= part.loads
        settings |= part.settings
    return Text("".join(chars), tuple(spans), frozenset(loads), frozenset(settings))


def product(parts: Sequence[Sequence[Text]], must_keep: Callable[[str], bool]) -> tuple[Text, ...]:
    """Every way to join one value of each part: at most `MAX_VALUES`, and `UNKNOWN` where there were more.

    Args:
        must_keep: Tells which texts must stay when there are too many.
    """
    results: list[Text] = [Text("")]
    for values in parts:
        results = limited([result + value for result in results for value in values], must_keep)
    return tuple(results)


def limited(values: Sequence[Text], must_keep: Callable[[str], bool]) -> list[Text]:
    """The distinct values, at most `MAX_VALUES`: those that must stay come first."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) <= MAX_VALUES:
        return distinct
    distinct.sort(key=lambda text: not must_keep(text.chars))
    return [*distinct[: MAX_VALUES - 1], UNKNOWN]


def with_holes(
    text: Text,
    must_keep: Callable[[str], bool],
    lookup: Callable[[re.Match[str]], Text | None] = lambda _: None,
) -> Text:
    """Make a hole of every placeholder written in a text: ``{{ env }}``, ``${ENV}``, ``%s``, ``{env}``.

    Args:
        must_keep: Tells which placeholders stay where it is not known what they stand for, because of what is written in them.
        lookup: What a placeholder stands for; None when that is not known.
    """
    return text.replaced(
        _PLACEHOLDERS, lambda match: lookup(match) or (None if must_keep(match.group()) else UNKNOWN)
    )


def readable(chars: str) -> str:
    """A text as a person reads it: ``data-bucket-{…}``."""
    return re.sub(f"{HOLE}+", "{…}", chars)


# --- files -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SourceText:
    """A file's text, with its line ends as they are.

    Attributes:
        bom: The byte order mark before it; empty for none.
    """

    path: Path
    text: str
    encoding: str = "utf-8"
    bom: bytes = b""
    starts: tuple[int, ...] = field(default=(), repr=False)

    @staticmethod
    def of(path: Path, text: str, encoding: str = "utf-8", bom: bytes = b"") -> "SourceText":
        """A source with its line starts."""
        return SourceText(
            path, text, encoding, bom, (0, *(match.end() for match in _LINE_END.finditer(text)))
        )

    def encode(self, text: str) -> bytes:
        """Another text in this file's form.

        Raises:
            UnicodeEncodeError: The file's encoding does not have a character.
        """
        return self.bom + text.encode(self.encoding, _errors(self.encoding))

    def line_of(self, offset: int) -> int:
        """The number of the line that an offset is in, from 1."""
        return bisect_right(self.starts, offset)

    def column_of(self, offset: int) -> int:
        """The column of an offset, from 1."""
        return offset - self.starts[self.line_of(offset) - 1] + 1

    def line(self, number: int) -> str:
        """A line without its end; empty for one that is not there."""
        if not 1 <= number <= len(self.starts):
            return ""
        end = self.starts[number] if number < len(self.starts) else len(self.text)
        return self.text[self.starts[number - 1] : end].rstrip("\r\n")

    def offset(self, number: int, column: int) -> int:
        """Where Python's parser means: a line from 1, a column in UTF-8 bytes from 0."""
        start = self.starts[number - 1]
        line = self.text[start : start + column]
        if line.isascii():
            return start + column
        whole = self.line(number).encode("utf-8", "surrogatepass")
        return start + len(whole[:column].decode("utf-8", "surrogatepass"))

    def piece(self, start: int, end: int) -> Text:
        """A part of the file as a text that knows where it is written."""
        return Text(self.text[start:end], (Span(0, end - start, self.path, start),))


def decode_source(path: Path, data: bytes) -> SourceText:
    """Read a file's bytes as text, so that they can be written back; they are not `is_broken`."""
    bom, encoding = _mark(data)
    if bom:
        return SourceText.of(path, data[len(bom) :].decode(encoding, _errors(encoding)), encoding, bom)
    encoding = _declared(data) if path.suffix in PYTHON else "utf-8"
    try:
        return SourceText.of(path, data.decode(encoding, _errors(encoding)), encoding)
    except UnicodeDecodeError:
        return SourceText.of(path, data.decode("utf-8", "surrogateescape"))


def is_binary(data: bytes) -> bool:
    """Tell whether bytes are not a text."""
    return b"\0" in data[:_SNIFFED] and not _mark(data)[0]


def is_broken(data: bytes) -> bool:
    """Tell whether bytes are not in the encoding that their byte order mark says."""
    bom, encoding = _mark(data)
    try:
        if bom:
            data[len(bom) :].decode(encoding, _errors(encoding))
    except UnicodeDecodeError:
        return True
    return False


def _mark(data: bytes) -> tuple[bytes, str]:
    """The byte order mark that bytes begin with, and its encoding; both are empty where there is none."""
    return next((mark for mark in _BOMS if data.startswith(mark[0])), (b"", ""))


def _declared(data: bytes) -> str:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError:  # an unknown encoding, or bytes that are not UTF-8
        return "utf-8"
    return "utf-8" if encoding == "utf-8-sig" else encoding


def _errors(encoding: str) -> str:
    if encoding.startswith("utf-8"):
        return "surrogateescape"
    return "surrogatepass" if "utf" in encoding else "strict"
