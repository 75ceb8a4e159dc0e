"""The operator: gives the commands of the runbook, as processes, and again where one ends with 1.

Every command writes to files of its own: ``commands/012-verify.out`` and ``.err``, its reports to ``reports/012-verify/``. What is repeated is
counted. A command that ends with 2 could not start: nobody repeats that, and the story fails with what it said.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path as File
from typing import Any

from story_facts import Happening

__all__ = ["JOB", "Attempt", "Operator", "Stopped"]

ROOT = File(__file__).parents[2]
JOB = {"CLOUD_RUN_JOB": "qpi-exports-backfill-dev"}
PATIENCE = 900.0
"""Seconds that one command may take: far more than any needs, so that only a hanging one is caught."""
POLL = 0.02
WITHOUT_LOG = frozenset({"signoff", "import-test", "references", "status"})
"""Commands that leave no log lines on stdout."""


class Stopped(AssertionError):
    """The story cannot go on."""


@dataclass(slots=True)
class Attempt:
    """One process of a command.

    Attributes:
        name: The command's.
        number: Of the command in this run.
        began: Before it was started.
        out: Its stdout.
        report: Where its reports go.
        ended: After it ended.
        code: Its exit code; negative for a signal.
    """

    name: str
    number: int
    began: datetime
    out: File
    report: File
    ended: datetime | None = None
    code: int | None = None

    def said(self) -> str:
        """What a person reads: the end of both outputs."""
        texts = [path.read_text(errors="replace") for path in (self.out, self.out.with_suffix(".err"))]
        return "\n".join(text[-2_000:] for text in texts)

    def read(self, name: str) -> Any:
        """One of its reports."""
        return json.loads((self.report / name).read_text())


@dataclass
class Operator:
    """Whoever gives the commands.

    Attributes:
        folder: For everything that they leave.
        url: The local Cloud Storage's.
        attempts: Every process, in the order of their beginning.
        repeated: How often which command had to be given again.
        happenings: Told what was done.
        processes: Of all attempts.
    """

    folder: File
    url: str
    attempts: list[Attempt] = field(default_factory=list)
    repeated: Counter[str] = field(default_factory=Counter)
    happenings: list[Happening] = field(default_factory=list)
    processes: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def run(
        self,
        *words: str,
        tries: int = 4,
        accepted: Callable[[Attempt], bool] = lambda attempt: attempt.code == 0,
        between: Callable[[], None] = lambda: None,
        environ: Mapping[str, str] | None = None,
    ) -> Attempt:
        """Give a command until it ends as it should.

        Args:
            words: The command and its arguments.
            tries: How often at most.
            accepted: Whether it ended as it should.
            between: What the runbook does before it is given again.
            environ: More environment variables.

        Raises:
            Stopped: It never did, or could not start.
        """
        for number in range(tries):
            if number:
                self.repeated[words[0]] += 1
                between()
            attempt, process = self.begin(*words, environ=environ)
            self.wait(attempt, process)
            if accepted(attempt):
                return attempt
            if attempt.code != 1:
                break
        raise Stopped(
            f"{' '.join(words)} ended with {attempt.code}, after {number + 1} tries:\n{attempt.said()}"
        )

    def begin(
        self, *words: str, environ: Mapping[str, str] | None = None, report: str | None = None
    ) -> "tuple[Attempt, subprocess.Popen[bytes]]":
        """Start a command; reports go to a folder of its own unless `report` names another place."""
        name, number = words[0], len(self.attempts) + 1
        home = self.folder / "commands"
        home.mkdir(exist_ok=True)
        reports = self.folder / "reports" / f"{number:03}-{name}"
        attempt = Attempt(name, number, datetime.now(UTC), home / f"{number:03}-{name}.out", reports)
        program = [sys.executable, "-m", "backfill_job", *words]
        if name not in WITHOUT_LOG:
            program += ["--log-format", "json", "--log-dir", str(self.folder / "logs")]
        if name not in {"signoff", "references", "certify", "status"}:
            program += ["--report", report or str(reports)]
        self.attempts.append(attempt)
        self.tell(f"{number:03} {' '.join(words)}: started")
        with attempt.out.open("wb") as out, attempt.out.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                program,
                env={**os.environ, **(environ or {}), "STORAGE_EMULATOR_HOST": self.url},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=ROOT,
            )
        self.processes.append(process)
        return attempt, process

    def wait(self, attempt: Attempt, process: "subprocess.Popen[bytes]") -> None:
        """Wait for its end.

        Raises:
            Stopped: It hangs.
        """
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Stopped(f"{attempt.name} did not end within {PATIENCE:.0f} s:\n{attempt.said()}") from None
        self.ended(attempt, code)

    def ended(self, attempt: Attempt, code: int) -> None:
        """Note how it ended."""
        attempt.ended, attempt.code = datetime.now(UTC), code
        self.tell(f"{attempt.number:03} {attempt.name}: ended with {code}")

    def kill(self, attempt: Attempt, process: "subprocess.Popen[bytes]") -> None:
        """Kill it at once, signal 9."""
        process.send_signal(signal.SIGKILL)
        self.tell(f"{attempt.number:03} {attempt.name}: killed -9")
        process.wait()
        self.ended(attempt, process.returncode)

    def close(self) -> None:
        """Leave no process behind, however the story ended."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def tell(self, what: str) -> None:
        """Note what was done."""
        self.happenings.append(Happening(datetime.now(UTC), what))

    def until(self, done: Callable[[], bool], what: str, patience: float = PATIENCE) -> None:
        """Wait for something that has to happen.

        Raises:
            Stopped: It did not.
        """
        end = time.monotonic() + patience
        while not done():
            if time.monotonic() > end:
                raise Stopped(f"{what}: not within {patience:.0f} s")
            time.sleep(POLL)
