"""The console, which imports `rich` when it has something to draw; and the one place that wraps sentences for a screen.

Plain lines for a log or a pipe need no library. The import takes a fifth of a second of CPU time, as much as the copy of two
thousand objects.
"""

import re
import textwrap
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["COMMAND_IN_TEXT", "WIDEST", "LateConsole", "wrapped"]

WIDEST = 80
"""Columns of a sentence on a screen, however wide the terminal is."""

COMMAND_IN_TEXT = re.compile(r"(?<!`)\b((?:gcloud|python -m) (?:'[^']*'|[^'])*?)(?=[,;] | \(|$)")
"""A command in a text. It stays on one line, so that it can be pasted."""

_LABEL = r"(?:^\w+(?:, when that is fixed)?: )"
_WHOLE = re.compile(rf"{_LABEL}?{COMMAND_IN_TEXT.pattern}|\bbq .*|{_LABEL}\S+|`[^`]*`")
"""What is not broken: a label and its one word, what stands between backquotes, a command."""
_SPACE = "\0"


def wrapped(text: str, width: int = WIDEST, *, first: str = "", margin: str | None = None) -> str:
    """Wrap the lines of a text between words. A command, and what stands between backquotes, is not broken; nor is a word.

    Args:
        width: Columns.
        first: What the first line begins with.
        margin: What each further line begins with. None for two spaces more than its line, where that is indented; behind a
            number ("1. "), for as much as the number takes.
    """
    lines = [
        _wrapped_line(line, width, first if not number else margin or "", margin)
        for number, line in enumerate(text.split("\n"))
    ]
    return "\n".join(lines)


def _wrapped_line(line: str, width: int, first: str, margin: str | None) -> str:
    bare = line.strip(" ")
    indent, end = line[: len(line) - len(line.lstrip(" "))], line[len(line.rstrip(" ")) :]
    if not bare or len(first) + len(line) <= width:
        return first + line
    return (
        textwrap.fill(
            _WHOLE.sub(lambda found: found[0].replace(" ", _SPACE), bare),
            width,
            initial_indent=first + indent,
            subsequent_indent=_hanging(indent, bare) if margin is None else margin,
            break_long_words=False,
            break_on_hyphens=False,
        ).replace(_SPACE, " ")
        + end
    )


def _hanging(indent: str, bare: str) -> str:
    number = re.match(r"\d+\. ", bare)
    return indent + " " * (len(number[0]) if number else 2 if indent else 0)


class LateConsole:
    """Prints for the operator.

    Args:
        width: Columns outside a terminal.
        only_progress: Prints no text, and draws progress: for a command that another one runs.

    Attributes:
        silent: Whether it prints no text.
    """

    def __init__(self, file: TextIO, width: int, *, quiet: bool = False, only_progress: bool = False) -> None:
        self.is_terminal = file.isatty()
        self._file = file
        self._width = None if self.is_terminal else width
        self._quiet = quiet
        self.silent = quiet or only_progress
        self._console: Console | None = None

    @property
    def width(self) -> int:
        """Columns."""
        return self.rich().width

    @property
    def is_dumb(self) -> bool:
        """Whether the terminal cannot draw over what it shows (``TERM=dumb``)."""
        return self.rich().is_dumb_terminal

    def rich(self) -> "Console":
        """The console itself, for tables and bars."""
        if self._console is None:
            from rich.console import Console  # noqa: PLC0415 -- slow to import, see above

            self._console = Console(file=self._file, width=self._width, quiet=self._quiet, highlight=False)
        return self._console

    def say(self, *lines: str, style: str = "", end: str = "\n") -> None:
        """Print lines without markup; on a terminal wrapped, and in a style of `rich`."""
        for line in () if self.silent else lines:
            if self.is_terminal:
                self.rich().print(
                    wrapped(line, min(self.width, WIDEST)),
                    end=end,
                    style=style or None,
                    markup=False,
                    soft_wrap=True,
                )
            else:
                self._file.write(line + end)
                self._file.flush()

    def show(self, drawn: "RenderableType") -> None:
        """Print a table or another thing that `rich` lays out."""
        if not self.silent:
            self.rich().print(drawn)
