"""Command lines that are wrong, said in one line."""

import argparse
from typing import Any, NoReturn

__all__ = ["OneLineParser"]


class OneLineParser(argparse.ArgumentParser):
    """A parser that does not print a page of usage before it says what is wrong, and guesses at no option.

    The parsers of its commands are of this kind, too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, in one line, and end with 2."""
        self.exit(2, f"{self.prog}: {message} (--help shows what it takes)\n")
