"""Command lines that are wrong, and errors that name what was typed or read: said in one line."""

import argparse
from typing import Any, NoReturn

__all__ = ["OneLineParser", "one_line"]


def one_line(text: str) -> str:
    """Make an error's text one line that steers no terminal: line breaks, escapes and half characters are escaped.

    What was typed, or stands in a file, may be quoted in it.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class OneLineParser(argparse.ArgumentParser):
    """A parser that does not print a page of usage before it says what is wrong, and guesses at no option.

    The parsers of its commands are of this kind, too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, in one line, and end with 2."""
        self.exit(2, f"{self.prog}: {one_line(message)} (--help shows what it takes)\n")
