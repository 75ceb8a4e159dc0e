"""The operator's commands, run in this process on a test's own pair of prefixes."""

import argparse
import io
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

from testing_paths import Paths

from backfill_job.commands import load
from backfill_job.run.clock import Clock
from backfill_job.run.command import ProcessIO
from shared.gateway import Gateway
from shared.phase import Phase
from shared.record import read_state, update
from shared.state import State
from shared.state_changes import Stamp, with_phase

__all__ = ["Commands", "Ended", "run_command", "where", "without_log"]

_LOG_LINE = re.compile(r"\d{4}-\d\d-\d\dT\S+Z (?:INFO|WARNING|ERROR|CRITICAL) ")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def words(self) -> str:
        """The screen in one line, also what is wrapped there."""
        return " ".join(self.out.split())

    @property
    def log(self) -> str:
        """Its log file, which the first line names."""
        return Path(self.out.splitlines()[0].removeprefix("log: ")).read_text()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _no_pause(_seconds: float) -> None:
    """Let the time pass at once."""


def _now() -> datetime:
    return datetime.now(UTC)


def run_command(
    command: str,
    *arguments: str,
    typed: str | None = None,
    stdin: TextIO | None = None,
    now: Callable[[], datetime] = _now,
    sleep: Callable[[float], None] = _no_pause,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Ended:
    """Run a command to its end, on a terminal where `typed` is what is typed on it; else without, or reading `stdin`."""
    parser = argparse.ArgumentParser(prog=command)
    load(command).prepare(parser)
    out = io.StringIO() if typed is None else _Terminal()
    err = _Terminal()  # no log lines: they are in the log file
    stdin = stdin or (io.StringIO() if typed is None else _Terminal(typed))
    slept = [0.0]

    def pause(seconds: float) -> None:
        slept[0] += seconds
        sleep(seconds)

    clock = Clock(now, pause, lambda: slept[0])
    process = ProcessIO({**os.environ, **environ}, stdin, out, err, clock, words=arguments)
    code = load(command).run(parser.parse_args(arguments), process)
    return Ended(code, out.getvalue(), err.getvalue())


def without_log(stderr: str) -> str:
    """What a process said on stderr besides the log lines that a pipe gets."""
    return "".join(line for line in stderr.splitlines(keepends=True) if not _LOG_LINE.match(line))


def where(paths: Paths) -> tuple[str, ...]:
    """The arguments that name a test's own pair of prefixes."""
    return ("--source", paths.migration.source.uri, "--destination", paths.migration.destination.uri)


@dataclass
class Commands:
    """Runs commands.

    Attributes:
        paths: The pair of prefixes they are about.
        folder: Where their log files go.
        gateway: For looks at what they leave.
        pauses: Called instead of waiting, with the seconds.
        waited: The seconds waited for, so far.
        now: The operator's clock.
    """

    paths: Paths
    folder: Path
    gateway: Gateway
    pauses: Callable[[float], None] = _no_pause
    waited: list[float] = field(default_factory=list)
    now: Callable[[], datetime] = _now

    @property
    def state(self) -> State:
        """The migration's state as it is now."""
        return read_state(self.gateway, self.paths.migration)

    @property
    def decided(self) -> State:
        """The state without the commands' comparisons and runs: what people decided."""
        return replace(self.state, history=self.state.decisions, runs=())

    def go(self, *phases: Phase) -> None:
        """Take the migration from phase to phase, without what belongs to it."""
        for phase in phases:
            stamp = Stamp(f"{phase.value} {len(self.state.history)}", "test", datetime.now(UTC))

            def change(state: State, phase: Phase = phase, stamp: Stamp = stamp) -> State:
                return with_phase(state, phase, stamp)

            update(self.gateway, self.paths.migration, change)

    def run(
        self, command: str, *arguments: str, typed: str | None = None, stdin: TextIO | None = None
    ) -> Ended:
        """Run one; `typed` is what is typed on a terminal, None for no terminal; or `stdin` is read."""
        quick = () if "--grace" in arguments else ("--grace", "0")
        logs = () if command == "import-test" else ("--log-dir", str(self.folder / "logs"))
        words = (*where(self.paths), *quick, *logs, *arguments)
        return run_command(command, *words, typed=typed, stdin=stdin, now=self.now, sleep=self._sleep)

    def mirrors_work(self, _seconds: float) -> None:
        """A pause in which the mirrors handle everything that waits for them, however long they take."""
        self.paths.server.wait_for_events()

    def _sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.pauses(seconds)
