"""The demo's screen, its local Cloud Storage, and the operator's commands as processes.

A module of its own because `demo.story` only says which command comes next.
"""

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import local_gcs
from shared.migration import Environment, qpi_exports

__all__ = ["MIGRATION", "Stage", "Stopped"]

MIGRATION = qpi_exports(Environment.DEV)
UNLOGGED = {"begin", "references", "import-test", "loaded", "readers", "signoff", "status"}
"""Commands that leave no log file."""
TRIES = 5
"""How often a command runs at most. The writer pauses from the second time on, so a busy machine needs two."""


class Stopped(Exception):
    """The demo cannot go on; the message is for the screen."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What the demo runs on; everything that is left behind goes to the folder `report`."""

    console: Console
    server: local_gcs.LocalServer
    report: Path

    def say(self, heading: str, text: str = "") -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.rule(f"[bold]{heading}", align="left")
        self.console.print(text, markup=False)

    def print(self, line: str) -> None:
        """Print a line between the commands."""
        self.console.print(line, markup=False)

    def migrate(self, *arguments: str, again: Callable[[], bool] | None = None) -> None:
        """Run ``migrate_qpi_exports`` as an operator would; see `run`."""
        self.run("migrate", *arguments, shown="migrate_qpi_exports", again=again)

    def delete(self, *arguments: str, expected: int = 0) -> None:
        """Run ``delete_old_qpi_exports`` as an operator would; see `run`."""
        self.run("delete", *arguments, shown="delete_old_qpi_exports", expected=expected)

    def run(
        self,
        command: str,
        *arguments: str,
        shown: str = "",
        env: bool = True,
        expected: int = 0,
        folder: Path | None = None,
        again: Callable[[], bool] | None = None,
    ) -> None:
        """Print an operator's command and run it as a process of its own.

        Args:
            shown: What to print instead of ``python -m backfill_job COMMAND``.
            env: It is about the demo's migration: ``--env dev`` is added.
            expected: The exit code with which the demo goes on.
            folder: The working directory, instead of the demo's.
            again: Called after exit code 1: explains it, does what the command's output advises, and says whether the command
                is to run again. None where nothing but the expected code can happen.

        Raises:
            Stopped: The command ended with another exit code.
        """
        about = [*(("--env", MIGRATION.label) if env else ()), *arguments]
        logs = () if command in UNLOGGED else ("--log-dir", str(self.report))
        program = [sys.executable, "-m", "backfill_job", command, *about, *logs]
        environ = {**os.environ, "STORAGE_EMULATOR_HOST": self.server.url}
        for _ in range(TRIES):
            words = shlex.join([*([shown] if shown else ["python", "-m", "backfill_job", command]), *about])
            self.console.print(f"\n$ {words}\n", style="bold", markup=False, highlight=False, soft_wrap=True)
            sys.stdout.flush()
            done = subprocess.run(program, env=environ, cwd=folder, stdin=subprocess.DEVNULL, check=False)
            if done.returncode == expected:
                return
            if done.returncode != 1 or again is None or not again():
                break
        raise Stopped(
            f"`{shown or command}` ended with exit code {done.returncode}, and {expected} was expected."
        )
