"""The backfill as a Cloud Run job runs it: tasks that share nothing but their environment, killed and started again."""

import subprocess
from collections import Counter
from random import Random

from story_operator import JOB, Attempt, Operator, Stopped

import local_gcs
from local_gcs.waiting import HANGS, wait_until

__all__ = ["run_tasks"]

TASKS = 4
REWRITE = "storage.objects.rewrite"


def run_tasks(
    operator: Operator,
    server: local_gcs.LocalServer,
    rng: Random,
    *,
    execution: str,
    report: str,
    kills: int,
    killed: Counter[str],
) -> None:
    """Run an execution of four tasks until each has ended by itself.

    A kill comes when some objects have been copied since the last kill, and takes a task that has begun. It does not wait for the
    other tasks: on a busy machine the first ones have copied everything before the last has started.

    Args:
        operator: Starts the tasks.
        server: Counts the copies.
        rng: Chooses the victims, and how many copies lie between two kills.
        execution: Its name.
        report: Where the tasks' reports meet.
        kills: How many tasks are killed at most.
        killed: Counts them.

    Raises:
        Stopped: A task could not start.
        NothingMoved: No task comes to its end.
    """

    def start(index: int) -> tuple[Attempt, "subprocess.Popen[bytes]"]:
        environ = {
            **JOB,
            "CLOUD_RUN_EXECUTION": execution,
            "CLOUD_RUN_TASK_INDEX": str(index),
            "CLOUD_RUN_TASK_COUNT": str(TASKS),
        }
        # Few at once, so that there is something to kill. Ungoverned: the governor takes the faults for throttling, and halves.
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

    last_kill = server.count(REWRITE)
    running = {index: start(index) for index in range(TASKS)}
    left = kills

    def copied() -> int:
        return server.count(REWRITE)

    def end_of_tasks() -> bool:
        """Note the tasks that have ended; returns whether there was one."""
        ended = [index for index, (_, process) in sorted(running.items()) if process.poll() is not None]
        for index in ended:
            attempt, process = running.pop(index)
            operator.ended(attempt, process.returncode)
            # With a writer at work a task may end with 1: something is in flight.
            if process.returncode not in {0, 1}:
                raise Stopped(f"task {index} ended with {process.returncode}:\n{attempt.said()}")
        return bool(ended)

    def begun() -> list[int]:
        return [index for index, (attempt, _) in sorted(running.items()) if attempt.out.stat().st_size]

    while running:
        wait_until(lambda: end_of_tasks() or begun(), bool, "a task's start", still=HANGS)
        strike = last_kill + rng.randrange(30, 100)
        wait_until(
            lambda: (end_of_tasks(), copied()),
            # Without a kill to come, only the tasks' ends are awaited.
            lambda seen: seen[0] or not running or (left and seen[1] >= strike and begun()),  # noqa: B023 -- of this turn
            "the tasks' copies",
        )
        if left and copied() >= strike and (victims := begun()):
            index = rng.choice(victims)
            operator.kill(*running[index])
            killed["backfill task"] += 1
            last_kill = copied()
            left -= 1
            running[index] = start(index)
