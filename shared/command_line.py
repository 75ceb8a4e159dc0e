"""Command lines that are wrong, and errors that name what was typed or read: said in one line."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["OneLineParser", "as_program", "one_line"]

NOBODY_READS, NO_SPACE = errno.EPIPE, errno.ENOSPC
INTERRUPTED = 130
"""As shells number a program that Ctrl-C ended."""


def as_program(run: Callable[[], int]) -> int:
    """Run a program's main part on this process's streams, so that no stream makes a traceback.

    A character that stdout's encoding has not is written escaped. A reader who has seen enough (``| head``) and a full disk
    behind stdout end the program, as Ctrl-C does where nobody waits for it.

    Args:
        run: The main part; gives the exit code.

    Returns:
        The exit code; 1 where stdout took no more, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        try:
            return run()
        finally:
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("stopped by Ctrl-C\n")
        return INTERRUPTED
    except OSError as error:
        if error.errno not in {NOBODY_READS, NO_SPACE}:
            raise
        # What is left in stdout's buffer would be written, and complained about, once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == NO_SPACE:
            sys.stderr.write(f"stdout cannot be written: {error.strerror}\n")
        return 1


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
