"""The console, which imports `rich` when it has something to draw.

Plain lines for a log or a pipe need no library. The import takes a fifth of a second of CPU time, as much as the copy of two
thousand objects.
"""

from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

__all__ = ["LateConsole"]


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
        """Print lines without wrapping or markup; on a terminal in a style of `rich`."""
        for line in () if self.silent else lines:
            if self.is_terminal:
                self.rich().print(line, end=end, style=style or None, markup=False, soft_wrap=True)
            else:
                self._file.write(line + end)
                self._file.flush()

    def show(self, drawn: "RenderableType") -> None:
        """Print a table or another thing that `rich` lays out."""
        if not self.silent:
            self.rich().print(drawn)
