"""Reports a wrong command line, and an error that quotes input, in one line."""

import argparse
import errno
import io
import os
import re
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date, timedelta
from difflib import get_close_matches
from typing import Any, NoReturn

from shared.text import counted, shown_value

__all__ = ["OneLineParser", "as_program", "one_line"]

CLOSED_PIPE, NO_SPACE = errno.EPIPE, errno.ENOSPC
VERSION = "0.1.0"

INTERRUPTED = 130
"""The exit code that shells give a program which Ctrl-C ended."""

NEAR = 0.66
"""How alike a word must be to one that was probably meant, as `difflib` counts: two of three letters."""

_OF_HELP = frozenset({"--help", "--help-all", "--version"})

_DIGITS_OF_ASCII = re.compile("(?![+])[!-^`-~]+(?: [!-^`-~]+)?")
"""Printable, without ``_`` and a sign before it; between a day and its time may be a space."""

_UNKNOWN = re.compile(r"(?:unrecognized arguments: |invalid choice: ')([^\s']+)")


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

    An option that takes one value, and is there twice with two, is an error: argparse would drop the first one silently.

    The parsers of its commands are of this class, too.

    Args:
        rare: Options that only ``--help-all`` explains, so that the usual help fits a screen.
    """

    def __init__(self, *, rare: Collection[str] = (), version: bool = False, **options: Any) -> None:
        super().__init__(**{"allow_abbrev": False, **options})
        self._rare = frozenset(rare)
        self._given: dict[argparse.Action, list[str]] = {}
        if rare:
            self.add_argument("--help-all", action=_HelpAll, nargs=0, help="show every option")
        if version:
            self.add_argument("--version", action="version", version=f"%(prog)s {VERSION}")

    def format_help(self) -> str:
        """The help without the rare options and the remarks; where there are such options, the last line counts them."""
        rare = [action for action in self._actions if self._rare.intersection(action.option_strings)]
        if not self._rare:
            return super().format_help()
        more = f"{counted(len(rare), 'more option')}: " if rare else "all of it: "
        rare += [action for action in self._actions if _OF_HELP.intersection(action.option_strings)]
        explained, usage, epilog = [action.help for action in rare], self.usage, self.epilog
        takes = [action.metavar or action.dest for action in self._actions if not action.option_strings]
        self.usage = " ".join(("%(prog)s", *map(str, takes), "[options]"))
        parts = (epilog or "").strip().split("\n\n")
        self.epilog = "\n\n".join(part for part in parts if part.startswith(("examples:", "exit codes:")))
        for action in rare:
            action.help = argparse.SUPPRESS
        try:
            return f"{super().format_help().rstrip()}\n\n{more}{self.prog} --help-all\n"
        finally:
            self.usage, self.epilog = usage, epilog
            for action, text in zip(rare, explained, strict=True):
                action.help = text

    def format_help_all(self) -> str:
        """The help with every option."""
        return super().format_help()

    def _get_value(self, action: argparse.Action, arg_string: str) -> Any:
        """Take a number or a time in the digits 0 to 9 alone: Python reads the digits of every script, ``1_000`` and ``+1``."""
        value = super()._get_value(action, arg_string)
        counts = isinstance(value, int | float | timedelta | date) or callable(value)
        if counts and not _DIGITS_OF_ASCII.fullmatch(arg_string):
            raise argparse.ArgumentError(
                action, f"{shown_value(arg_string)} is not written in the digits 0 to 9 alone"
            )
        return value

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        """Take the values of an option once, or the same values again."""
        value = super()._get_values(action, arg_strings)
        if action.option_strings and isinstance(action, argparse._StoreAction):  # noqa: SLF001 -- it keeps the last value alone
            before = self._given.setdefault(action, arg_strings)
            if before != arg_strings:
                both = " and ".join(shown_value(" ".join(each)) for each in (before, arg_strings))
                raise argparse.ArgumentError(action, f"it is there twice, with {both}; give it once")
        return value

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse does, but an unknown option is an error of the command to which it was given."""
        self._given = {}
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Report the error in one line, with the word that was probably meant, and exit with 2."""
        wrong = _UNKNOWN.search(message)
        close = _near(wrong[1], [*_words(self)]) if wrong else []
        meant = f"; did you mean {close[0]}?" if close else ""
        self.exit(2, f"{self.prog}: {one_line(message)}{meant} (--help shows what it takes)\n")


class _HelpAll(argparse.Action):
    """Shows the help with every option, and exits with 0."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        text = parser.format_help_all() if isinstance(parser, OneLineParser) else parser.format_help()
        sys.stdout.write(text)
        parser.exit()


def _near(wrong: str, words: list[str]) -> list[str]:
    """The words that were probably meant: they begin so, or are spelled almost so. The dashes of options do not count."""
    bare = {word.lstrip("-"): word for word in words if word.startswith("-") == wrong.startswith("-")}
    typed = wrong.lstrip("-")
    begun = [word for word in bare if typed and word.startswith(typed)]
    return [bare[word] for word in begun or get_close_matches(typed, bare, 1, NEAR)]


def _words(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The options of a parser and of its commands, and the words that they accept."""
    for action in parser._actions:  # noqa: SLF001 -- argparse has no other way to ask
        yield from action.option_strings
        yield from map(str, action.choices or ())
        if isinstance(action.choices, Mapping):
            for inner in action.choices.values():
                yield from _words(inner)
