"""The backfill as a Cloud Run job runs it: tasks that share nothing but their environment, killed and started again."""

import subprocess
import time
from collections import Counter
from random import Random

from story_operator import JOB, PATIENCE, POLL, Attempt, Operator, Stopped

__all__ = ["run_tasks"]

TASKS = 4


def run_tasks(
    operator: Operator, rng: Random, *, execution: str, report: str, kills: int, killed: Counter[str]
) -> None:
    """Run an execution of four tasks until each has ended by itself.

    Args:
        operator: Starts them.
        rng: Says who is killed, and when.
        execution: Its name.
        report: Where the tasks' reports meet.
        kills: How many.
        killed: Counted there.

    Raises:
        Stopped: A task could not start, or does not come to its end.
    """

    def start(index: int) -> tuple[Attempt, "subprocess.Popen[bytes]"]:
        environ = {
            **JOB,
            "CLOUD_RUN_EXECUTION": execution,
            "CLOUD_RUN_TASK_INDEX": str(index),
            "CLOUD_RUN_TASK_COUNT": str(TASKS),
        }
        # Few at once, so that there is something to kill. Ungoverned: the governor takes the weather for the service, and halves.
        words = (
            "migrate",
            "--env",
            "dev",
            "--execute",
            "--yes",
            "--grace",
            "2",
            "--ungoverned",
            "--in-flight",
            "3",
        )
        return operator.begin(*words, environ=environ, report=report)

    running = {index: start(index) for index in range(TASKS)}
    left, strike = kills, time.monotonic() + rng.uniform(1.5, 3.5)
    end = time.monotonic() + PATIENCE
    while running:
        for index, (attempt, process) in sorted(running.items()):
            code = process.poll()
            if code is None:
                continue
            operator.ended(attempt, code)
            # With a writer at work it may end in 1: something is in flight.
            if code not in {0, 1}:
                raise Stopped(f"task {index} ended with {code}:\n{attempt.said()}")
            del running[index]
        if left and running and time.monotonic() > strike:
            index = rng.choice(sorted(running))
            operator.kill(*running[index])
            killed["backfill task"] += 1
            left -= 1
            strike = time.monotonic() + rng.uniform(0.7, 2.5)
            running[index] = start(index)
        if time.monotonic() > end:
            raise Stopped(f"tasks {sorted(running)} did not end")
        time.sleep(POLL)
