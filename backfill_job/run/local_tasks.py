"""Runs the tasks of an execution as processes of this machine, as Cloud Run would: ``--tasks N``."""

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

from backfill_job.run.command import ExitCode, ProcessIO
from backfill_job.run.late_gateway import LateGateway
from backfill_job.run.logs import LogFormat
from backfill_job.run.open_run import reports_at
from backfill_job.run.reports import read_report
from backfill_job.run.settings import PASSING_REPORTS
from shared.errors import UsageError
from shared.migration import Migration
from shared.operations import OperationsCounter
from shared.server_time import ServerTime

__all__ = ["run_as_tasks", "with_options", "without_options"]

MOST_PROCESSES = 64
"""The most processes of one machine, at about 60 MB each, so that a typing error cannot exhaust it. A job may have more tasks."""


def run_as_tasks(
    command: str,
    arguments: argparse.Namespace,
    io: ProcessIO,
    *,
    migration: Migration,
    report: str,
    show: Callable[[Mapping[str, Any]], Sequence[str]] = lambda _: (),
) -> int:
    """Run a command as several processes of this machine. The exit code is 2 only if no task could start.

    Args:
        command: Its name after ``python -m backfill_job``.
        report: The name of the report that combines the tasks' results.
        show: Makes the lines for the operator from that report; by default the last task has said all.

    Raises:
        UsageError: More than `MOST_PROCESSES` tasks.
    """
    if arguments.tasks > MOST_PROCESSES:
        raise UsageError(
            f"--tasks {arguments.tasks:,}: one machine starts at most {MOST_PROCESSES} processes; give a Cloud Run "
            "job more tasks instead"
        )
    execution = f"local-{io.clock.now():%Y%m%dT%H%M%S.%fZ}"
    with (
        tempfile.TemporaryDirectory() as folder,
        closing(
            LateGateway(io.environ, 1, OperationsCounter(), ServerTime(), migration.billing_project)
        ) as store,
    ):
        place = arguments.report or Path(folder)
        reports = reports_at(place, store, migration)
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
    if io.log_format(arguments.log_format) is not LogFormat.JSON:
        io.console().say(*show(whole))
    return code


def with_options(words: Sequence[str], more: Sequence[str], without: Mapping[str, int]) -> tuple[str, ...]:
    """A command's words with the options in `more` in the place of its own, and `without` some, as `without_options` takes them."""
    replaced = dict(without)
    name = ""
    for word in more:
        if word.startswith("--"):
            name = word
        replaced[name] = 0 if word == name else replaced[name] + 1
    return (*without_options(words, replaced), *more)


def without_options(words: Sequence[str], options: Mapping[str, int]) -> tuple[str, ...]:
    """A command's words without some of its options, each given with the number of its values. The tasks get every other one."""
    kept: list[str] = []
    values = 0
    for word in words:
        name, equals, _ = word.partition("=")
        if values:
            values -= 1
        elif name in options:
            values = 0 if equals else options[name]
        else:
            kept.append(word)
    return tuple(kept)


def _run_tasks(arguments: Sequence[str], count: int, execution: str, environ: Mapping[str, str]) -> int:
    """Start the tasks with the variables that Cloud Run sets, pass signals on to all, and wait; gives the combined exit code."""
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
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    # A process that a signal ended has a negative code.
    same = len(set(codes)) == 1 and codes[0] in set(ExitCode)
    return codes[0] if same else ExitCode.NOT_RIGHT
