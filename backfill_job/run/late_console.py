"""The console, which imports `rich` when it has something to draw.

Plain lines for a log or a pipe need no library. The import takes a fifth of a second of CPU time, as much as the copy of two
thousand objects.
"""

from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

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

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as `rich.console.Console.print` does. A plain line outside a terminal goes out as it is."""
        plain = options.get("soft_wrap") and options.get("markup") is False and not self.is_terminal
        if self.silent:
            return
        if plain and len(objects) == 1 and isinstance(objects[0], str):
            self._file.write(objects[0] + options.get("end", "\n"))
            self._file.flush()
        else:
            self.rich().print(*objects, **options)
