"""The operator: runs the commands of the runbook as processes, and repeats a command that ends with 1.

Every command writes to files of its own: ``commands/012-verify.out`` and ``.err``, its reports to ``reports/012-verify/``. Repetitions are
counted. A command that ends with 2 could not start: the operator does not repeat it, and the story fails with its output.
"""

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path as File
from typing import Any

from story_facts import Happening

from local_gcs.waiting import HANGS

__all__ = ["JOB", "Attempt", "Operator", "Stopped"]

ROOT = File(__file__).parents[2]
JOB = {"CLOUD_RUN_JOB": "qpi-exports-backfill-dev"}
WITHOUT_LOG = frozenset({"begin", "signoff", "import-test", "references", "status", "erasure"})
"""Commands that leave no log lines on stdout."""


class Stopped(AssertionError):
    """The story cannot go on."""


@dataclass(slots=True)
class Attempt:
    """One process of a command.

    Attributes:
        number: Counts the commands of this run.
        began: A time before its start.
        ended: A time after its end.
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
        """The end of both outputs, as a person reads it."""
        texts = [path.read_text(errors="replace") for path in (self.out, self.out.with_suffix(".err"))]
        return "\n".join(text[-2_000:] for text in texts)

    def read(self, name: str) -> Any:
        """One of its reports."""
        return json.loads((self.report / name).read_text())


@dataclass
class Operator:
    """The person who runs the commands.

    Attributes:
        folder: For everything that the commands leave.
        attempts: Every process, in the order of their start.
        repeated: How often each command had to run again.
        happenings: What was done, and when.
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
        """Run a command until it ends as it should.

        Args:
            words: The command and its arguments.
            tries: How often at most.
            accepted: Whether it ended as it should.
            between: What the runbook does before the command runs again.
            environ: More environment variables.

        Raises:
            Stopped: The command never ended as it should, or could not start.
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
        self,
        *words: str,
        environ: Mapping[str, str] | None = None,
        report: str | None = None,
        program: Sequence[str] = ("-m", "backfill_job"),
    ) -> "tuple[Attempt, subprocess.Popen[bytes]]":
        """Start a command; reports go to a folder of its own unless `report` names another place.

        Args:
            program: What Python runs, with the command's words.
        """
        name, number = words[0], len(self.attempts) + 1
        home = self.folder / "commands"
        home.mkdir(exist_ok=True)
        reports = self.folder / "reports" / f"{number:03}-{name}"
        attempt = Attempt(name, number, datetime.now(UTC), home / f"{number:03}-{name}.out", reports)
        line = [sys.executable, *program, *words]
        if name not in WITHOUT_LOG:
            line += ["--log-format", "json", "--log-dir", str(self.folder / "logs")]
        if name not in {"begin", "signoff", "references", "certify", "status", "erasure"}:
            line += ["--report", report or str(reports)]
        self.attempts.append(attempt)
        self.tell(f"{number:03} {' '.join(words)}: started")
        with attempt.out.open("wb") as out, attempt.out.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                line,
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
            code = process.wait(HANGS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise Stopped(f"{attempt.name} did not end within {HANGS:.0f} s:\n{attempt.said()}") from None
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
        """Leave no process behind, however the story ends."""
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()

    def tell(self, what: str) -> None:
        """Note what was done."""
        self.happenings.append(Happening(datetime.now(UTC), what))
