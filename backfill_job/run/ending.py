"""How a command ends on the screen: the last two lines are the verdict and the one command to type next.

Every command that is printed can be pasted into a shell.
"""

import shlex
from collections.abc import Sequence
from dataclasses import replace

from backfill_job.run.late_console import LateConsole
from backfill_job.run.local_tasks import without_options
from backfill_job.run.run import Run
from shared.migration import DEFAULT_EXCLUDES, Migration
from shared.report.next_steps import CommandTarget, shown_command

__all__ = ["command_line", "next_line", "next_of", "of_consumer", "same_command", "say_end", "say_verdict"]


def say_end(run: Run, verdict: str, command: str, *, good: bool, fix_first: bool = False) -> None:
    """Print the last two lines of a command, which with `fix_first` helps only after what stands above is fixed."""
    say_verdict(run.console, verdict, good=good)
    run.say(next_line(command, fix_first=fix_first))


def next_of(migration: Migration, name: str, words: Sequence[str], *, good: bool) -> str:
    """The last line of a command without a run: `status`, or the same again after a fix."""
    if good:
        return next_line(command_line(migration, "status"))
    return next_line(shown_command(name, *words) or name, fix_first=True)


def of_consumer(migration: Migration, name: str, words: Sequence[str], *, good: bool) -> str:
    """The same, for a command that works as the consumer does, without excludes."""
    return next_of(replace(migration, excludes=DEFAULT_EXCLUDES), name, words, good=good)


def say_verdict(console: LateConsole, verdict: str, *, good: bool) -> None:
    """Print how a command ended: on a terminal in colour."""
    console.print(verdict, markup=False, soft_wrap=True, style="bold green" if good else "bold red")


def next_line(command: str, *, fix_first: bool = False) -> str:
    """The last line: what to type next."""
    return f"Next, when that is fixed: {command}" if fix_first else f"Next: {command}"


def command_line(migration: Migration, name: str, *options: str) -> str:
    """One of the operator's commands for this migration, as it can be pasted into a shell."""
    return (
        CommandTarget.of(migration).command(name, *options)
        or f"python -m backfill_job {name} {shlex.join(options)}"
    )


def same_command(run: Run, name: str, *more: str) -> str:
    """The command line of a command with this run's arguments, and `more` of them; without ``--dry-run``."""
    words = without_options(run.io.words, {"--dry-run": 0})
    return shown_command(name, *words, *more) or command_line(run.migration, name, *more)
