"""Where the demo is told: the screen, the local Cloud Storage, and the operator's commands as processes."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

import local_gcs
from shared.migration import Environment, qpi_exports

__all__ = ["MIGRATION", "Stage"]

MIGRATION = qpi_exports(Environment.DEV)
UNLOGGED = {"references", "import-test", "signoff", "status"}
"""Commands that leave no log file."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story is told.

    Attributes:
        console: The reader's screen.
        server: The local Cloud Storage.
        report: The folder for everything that is left behind.
    """

    console: Console
    server: local_gcs.LocalServer
    report: Path

    def say(self, heading: str, text: str) -> None:
        """Begin a chapter."""
        self.console.print()
        self.console.rule(f"[bold]{heading}", align="left")
        self.console.print(text, markup=False)

    def print(self, line: str) -> None:
        """Say something between the commands."""
        self.console.print(line, markup=False)

    def wait(self, seconds: float) -> None:
        """Let others do something."""
        time.sleep(seconds)

    def migrate(self, *arguments: str) -> None:
        """Run ``migrate_qpi_exports`` as an operator would; see `run`."""
        self.run("migrate", *arguments, shown="migrate_qpi_exports")

    def delete(self, *arguments: str, expected: int = 0) -> None:
        """Run ``delete_old_qpi_exports`` as an operator would; see `run`."""
        self.run("delete", *arguments, shown="delete_old_qpi_exports", expected=expected)

    def run(
        self, command: str, *arguments: str, shown: str = "", env: bool = True, expected: int = 0
    ) -> None:
        """Print an operator's command and run it as a process of its own.

        Args:
            command: Its name.
            arguments: Its arguments.
            shown: What to print instead of ``python -m backfill_job COMMAND``.
            env: It is about the demo's migration: ``--env dev`` is added.
            expected: The exit code with which the story goes on.

        Raises:
            SystemExit: It ended with another exit code; with 1 or that code.
        """
        about = [*(("--env", MIGRATION.label) if env else ()), *arguments]
        self._show([*([shown] if shown else ["python", "-m", "backfill_job", command]), *about])
        logs = () if command in UNLOGGED else ("--log-dir", str(self.report))
        program = [sys.executable, "-m", "backfill_job", command, *about, *logs]
        environ = {**os.environ, "STORAGE_EMULATOR_HOST": self.server.url}
        code = subprocess.run(program, env=environ, stdin=subprocess.DEVNULL, check=False).returncode
        if code != expected:
            self.print(f"\nThe command ended with exit code {code}; the demo stops here.")
            raise SystemExit(code or 1)

    def _show(self, words: Iterable[str]) -> None:
        self.console.print(f"\n$ {shlex.join(words)}\n", style="bold", markup=False, highlight=False)
        sys.stdout.flush()
