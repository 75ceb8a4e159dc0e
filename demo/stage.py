"""The demo's screen, its local Cloud Storage, the operator's commands as processes, and the consumer's nightly job.

A module of its own because `demo.story` only says what comes next.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from urllib.parse import quote, urlencode
from urllib.request import urlopen

import duckdb
from rich.console import Console

import local_gcs
from shared.migration import Environment, Location, qpi_exports
from shared.text import counted

__all__ = ["MIGRATION", "TABLE", "Stage", "Stopped", "night"]

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


# --- the consumer's nightly job -------------------------------------------------------------------------------

TABLE = "qpi_answers_v4"
_COLUMNS = (
    "user_id VARCHAR, submitted_at TIMESTAMPTZ, answers STRUCT(question_id VARCHAR, answer_ids VARCHAR[])[]"
)


def night(url: str, path: Location, run_date: date, database: Path) -> str:
    """Play the run of a date; gives what its log would say.

    It looks for the run's own day, then appends the day before to a table: in this process, on a DuckDB file instead of BigQuery.
    Like the real one it ends green where it finds nothing.

    Args:
        url: The local Cloud Storage.
        path: Where the job's code says that the exports are.
    """
    today, yesterday = run_date, run_date - timedelta(days=1)
    if next(_names(url, path, today), None) is None:
        return f"run of {run_date}: no object in {path.uri}qpi_answers_{today:%Y%m%d}/: Empty. SUCCESS"
    rows = database.with_suffix(".jsonl")
    with rows.open("wb") as lines:
        for name in _names(url, path, yesterday):
            if name.endswith(".jsonl"):
                lines.write(_read(f"{url}/storage/v1/b/{path.bucket}/o/{quote(name, safe='')}?alt=media"))
    with duckdb.connect(str(database)) as table:
        table.execute(f"SET TimeZone = 'UTC'; CREATE TABLE IF NOT EXISTS {TABLE} ({_COLUMNS})")
        columns = (part.partition(" ") for part in _COLUMNS.split(", ", 2))
        types = ", ".join(f"{name}: '{kind}'" for name, _, kind in columns)
        (loaded,) = table.execute(
            f"INSERT INTO {TABLE} SELECT * FROM read_json(?, format = 'newline_delimited', columns = {{{types}}})",  # noqa: S608
            [str(rows)],
        ).fetchone() or (0,)
    rows.unlink()
    return f"run of {run_date}: {counted(loaded, 'row')} of {yesterday} appended. SUCCESS"


def _names(url: str, path: Location, day: date) -> Iterator[str]:
    folder, token = f"{path.prefix}qpi_answers_{day:%Y%m%d}/", ""
    while True:
        page = json.loads(
            _read(f"{url}/storage/v1/b/{path.bucket}/o?{urlencode({'prefix': folder, 'pageToken': token})}")
        )
        yield from (each["name"] for each in page.get("items", ()))
        token = page.get("nextPageToken", "")
        if not token:
            return


def _read(url: str) -> bytes:
    with urlopen(url) as answer:  # noqa: S310 -- the demo's own server
        return bytes(answer.read())
