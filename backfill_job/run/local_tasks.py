"""The tasks of an execution as processes of this machine, the way Cloud Run would run them: ``--tasks N``."""

import argparse
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from types import FrameType
from typing import Any

from backfill_job.run.command import ExitCode, ProcessIO, migration_from
from backfill_job.run.late_gateway import LateGateway
from backfill_job.run.open_run import reports_at
from backfill_job.run.settings import PASSING_REPORTS
from backfill_job.run.task_reports import read_report
from shared.errors import UsageError
from shared.operations import OperationsCounter

__all__ = ["run_as_tasks"]

MOST_PROCESSES = 64
"""Of one machine, about 60 MB each: a slip of the finger must not bring it down. A job may have more tasks."""


def run_as_tasks(
    command: str,
    arguments: argparse.Namespace,
    io: ProcessIO,
    *,
    report: str,
    show: Callable[[Mapping[str, Any]], Sequence[str]],
) -> int:
    """Run a command as several processes of this machine, and show what they came to together.

    Args:
        command: Its name after ``python -m backfill_job``.
        arguments: The command's.
        io: The command's.
        report: The report in which the tasks' results are composed.
        show: Gives lines for people from that report.

    Returns:
        The exit code of all together: 2 only if none could start, for then nothing was done.

    Raises:
        UsageError: More processes than a machine should be given.
    """
    if arguments.tasks > MOST_PROCESSES:
        raise UsageError(
            f"--tasks {arguments.tasks:,}: at most {MOST_PROCESSES} processes are started on one machine; give a Cloud Run "
            "job more tasks instead"
        )
    execution = f"local-{io.clock.now():%Y%m%dT%H%M%S.%fZ}"
    with tempfile.TemporaryDirectory() as folder, closing(LateGateway(1, OperationsCounter())) as store:
        place = arguments.report or Path(folder)
        reports = reports_at(place, store, migration_from(arguments))
        words, environ = io.words, io.environ
        if arguments.report is None:
            words, environ = (*words, "--report", folder), {**environ, PASSING_REPORTS: "1"}
        line = [sys.executable, "-m", "backfill_job", command, *words]
        code = _run_tasks(line, arguments.tasks, execution, environ)
        whole = None if reports is None else read_report(reports, report)
    if whole is None or whole.get("run") != execution:
        print(
            f"{command}: not every task left its report; their logs say why. Run the same command again",
            file=io.stderr,
        )
        return code or ExitCode.NOT_RIGHT
    for text in show(whole):
        print(text, file=io.stdout)
    return code


def _run_tasks(arguments: Sequence[str], count: int, execution: str, environ: Mapping[str, str]) -> int:
    """Run the tasks of an execution as processes of this machine, the way Cloud Run would.

    Args:
        arguments: The command of one task, program first.
        count: How many tasks.
        execution: What they do together.
        environ: Their environment, but for what makes them tasks.

    Returns:
        The exit code of all together; a signal is passed on to all.
    """
    tasks = [
        subprocess.Popen(
            arguments,
            env={
                **environ,
                "CLOUD_RUN_EXECUTION": execution,
                "CLOUD_RUN_TASK_INDEX": str(index),
                "CLOUD_RUN_TASK_COUNT": str(count),
            },
            start_new_session=True,  # a terminal's Ctrl-C would reach them twice
        )
        for index in range(count)
    ]

    def pass_on(number: int, _frame: FrameType | None) -> None:
        for task in tasks:
            task.send_signal(number)

    before = {number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        codes = [task.wait() for task in tasks]
        return _together(codes)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _together(codes: Sequence[int]) -> int:
    """One exit code for several processes; one that a signal ended has a negative code."""
    if len(set(codes)) == 1 and codes[0] in set(ExitCode):
        return codes[0]
    return ExitCode.NOT_RIGHT
