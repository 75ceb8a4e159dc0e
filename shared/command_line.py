"""Reports a wrong command line, and an error that quotes input, in one line."""

import argparse
import errno
import io
import os
import sys
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = ["OneLineParser", "as_program", "one_line"]

CLOSED_PIPE, NO_SPACE = errno.EPIPE, errno.ENOSPC
INTERRUPTED = 130
"""The exit code that shells give a program which Ctrl-C ended."""


def as_program(run: Callable[[], int]) -> int:
    """Run a program's main part on this process's streams, so that no stream causes a traceback.

    A character that stdout's encoding lacks is written escaped. A reader that closes the pipe (``| head``) ends the
    program quietly. So does a full disk behind stdout, and Ctrl-C where the program does not handle it.

    Returns:
        The exit code of `run`; 1 where stdout accepts no more, 130 after Ctrl-C.
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
        if error.errno not in {CLOSED_PIPE, NO_SPACE}:
            raise
        # At exit Python writes the rest of stdout's buffer, and would report the same error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == NO_SPACE:
            sys.stderr.write(f"stdout cannot be written: {error.strerror}\n")
        return 1


def one_line(text: str) -> str:
    """Make an error's text one line: escape line breaks, terminal escapes and half characters.

    The text may quote input from the command line or a file.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


class OneLineParser(argparse.ArgumentParser):
    """A parser that reports an error without a page of usage, and does not complete abbreviated options.

    The parsers of its commands are of this class, too.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})

    def error(self, message: str) -> NoReturn:
        """Report the error in one line, and exit with 2."""
        self.exit(2, f"{self.prog}: {one_line(message)} (--help shows what it takes)\n")
