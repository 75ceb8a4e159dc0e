"""The process's environment as a value, read once."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import UsageError

__all__ = ["PASSING_REPORTS", "Settings"]

PASSING_REPORTS = "QPI_EXPORTS_PASSING_REPORTS"
"""The variable with which the parent of local tasks says that their reports vanish after the run."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process's environment says.

    Attributes:
        cloud_run_job: The Cloud Run job's name; empty outside Cloud Run.
        execution: The name of the execution that several tasks share; empty for a single process.
        task_index: This task's number, from 0.
        passing_reports: Whether the place for reports vanishes after the run.
    """

    cloud_run_job: str = ""
    execution: str = ""
    task_index: int = 0
    task_count: int = 1
    passing_reports: bool = False

    @staticmethod
    def from_environ(environ: Mapping[str, str]) -> "Settings":
        """Read the variables that Cloud Run sets (Cloud Run documentation, "Container runtime contract": jobs).

        Raises:
            UsageError: One of them is invalid.
        """
        index, count = (
            _number(environ, "CLOUD_RUN_TASK_INDEX", 0),
            _number(environ, "CLOUD_RUN_TASK_COUNT", 1),
        )
        execution = environ.get("CLOUD_RUN_EXECUTION", "")
        if not 0 <= index < count:
            raise UsageError(
                f"CLOUD_RUN_TASK_INDEX is {index} and CLOUD_RUN_TASK_COUNT {count}; there is no such task"
            )
        if count > 1 and not execution:
            raise UsageError("CLOUD_RUN_EXECUTION is not set; several tasks need the name of their execution")
        passing = bool(environ.get(PASSING_REPORTS))
        return Settings(environ.get("CLOUD_RUN_JOB", ""), execution, index, count, passing)


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, str(default))
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"{name} is {text!r}, not a whole number")
    return int(text)
