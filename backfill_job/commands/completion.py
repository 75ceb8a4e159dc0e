"""The command ``completion``: print the shell code that completes commands, options and file names.

Put ``eval "$(backfill_job completion bash)"`` into ``~/.bashrc``, or the same with ``zsh`` into ``~/.zshrc``. The code comes from
the parsers of the commands, so it is always up to date.
"""

import argparse
from collections.abc import Iterator

from backfill_job.commands import PROGRAMS, load, parser_of
from backfill_job.run.command import Command, ExitCode, ProcessIO
from shared.command_line import OneLineParser
from shared.errors import UsageError

__all__ = ["COMMAND"]

NAME = "completion"

SHELLS = ("bash", "zsh")

EXAMPLES = """
examples:
  eval "$(backfill_job completion bash)"     in this shell; in ~/.bashrc for every one
  eval "$(backfill_job completion zsh)"      the same for zsh, after compinit

exit codes:
  0  printed
  2  the package shtab, which writes it, is not installed
"""

FILES, FOLDERS = ("FILE", "PATH", "MANIFEST"), ("DIR", "DIR|gs://…/")
"""The metavars of arguments that name files and folders."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument("shell", choices=SHELLS, help="the shell")


def _run(arguments: argparse.Namespace, io: ProcessIO) -> ExitCode:
    try:
        import shtab  # noqa: PLC0415 -- optional: only this command needs it
    except ImportError as error:
        raise UsageError("the package shtab is not installed: pip install -e '.[job,completion]'") from error
    for parser in _programs():
        for action in _actions(parser):
            if action.metavar in FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        print(shtab.complete(parser, shell=arguments.shell), file=io.stdout)
    return ExitCode.DONE


def _programs() -> Iterator[argparse.ArgumentParser]:
    yield parser_of("backfill_job")
    for program, command in PROGRAMS.items():
        parser = OneLineParser(prog=program)
        load(command).prepare(parser)
        yield parser


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Every argument, including those of a parser's commands."""
    for action in parser._actions:  # noqa: SLF001 -- argparse has no other way to ask
        yield action
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for inner in action.choices.values():
                yield from _actions(inner)


COMMAND = Command(NAME, __doc__, EXAMPLES, add_arguments, _run)
