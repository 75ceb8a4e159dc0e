"""Files as they are read and written back: encoding, byte order mark and line ends stay as they are.

A text that is not UTF-8 is read so that every byte can be written back (PEP 383). A Python file is read as its own coding
line says.
"""

import codecs
import io
import re
import tokenize
from bisect import bisect_right
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Source", "decode", "is_binary", "is_broken"]

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
class Source:
    """A file's text.

    Attributes:
        path: The file.
        text: Its characters, line ends as they are.
        encoding: What they are encoded in.
        bom: The byte order mark before them, if there is one.
        starts: Where each line starts.
    """

    path: Path
    text: str
    encoding: str = "utf-8"
    bom: bytes = b""
    starts: tuple[int, ...] = field(default=(), repr=False)

    @staticmethod
    def of(path: Path, text: str, encoding: str = "utf-8", bom: bytes = b"") -> "Source":
        """A source with its line starts."""
        return Source(path, text, encoding, bom, (0, *(match.end() for match in _LINE_END.finditer(text))))

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


def decode(path: Path, data: bytes) -> Source:
    """Read a file's bytes as text, so that they can be written back; they are not `is_broken`."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return Source.of(path, data[len(bom) :].decode(encoding, _errors(encoding)), encoding, bom)
    encoding = _declared(data) if path.suffix in {".py", ".pyi"} else "utf-8"
    try:
        return Source.of(path, data.decode(encoding, _errors(encoding)), encoding)
    except UnicodeDecodeError:
        return Source.of(path, data.decode("utf-8", "surrogateescape"))


def is_binary(data: bytes) -> bool:
    """Tell whether bytes are no text."""
    return b"\0" in data[:_SNIFFED] and not any(data.startswith(bom) for bom, _ in _BOMS)


def is_broken(data: bytes) -> bool:
    """Tell whether bytes are not in the encoding that their byte order mark promises."""
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            try:
                data[len(bom) :].decode(encoding, _errors(encoding))
            except UnicodeDecodeError:
                return True
            return False
    return False


def _declared(data: bytes) -> str:
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError:  # an encoding that nobody knows, or bytes that are none of UTF-8
        return "utf-8"
    return "utf-8" if encoding == "utf-8-sig" else encoding


def _errors(encoding: str) -> str:
    return (
        "surrogateescape"
        if encoding.startswith("utf-8")
        else "surrogatepass"
        if "utf" in encoding
        else "strict"
    )
