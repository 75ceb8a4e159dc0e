"""The environment, read once, at the edge."""

from collections.abc import Mapping
from dataclasses import dataclass

from shared.errors import UsageError

__all__ = ["Settings"]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process's environment says.

    Attributes:
        cloud_run_job: The Cloud Run job's name, empty outside of Cloud Run.
        execution: The job's execution, empty outside of Cloud Run.
        task_count: How many tasks the execution has; 1 outside of Cloud Run.
    """

    cloud_run_job: str = ""
    execution: str = ""
    task_count: int = 1

    @staticmethod
    def from_environ(environ: Mapping[str, str]) -> "Settings":
        """Read the variables that Cloud Run sets (Cloud Run documentation, "Container runtime contract": jobs).

        Raises:
            UsageError: One of them is not what it should be.
        """
        count = environ.get("CLOUD_RUN_TASK_COUNT", "1")
        if not count.isdecimal() or int(count) < 1:
            raise UsageError(f"CLOUD_RUN_TASK_COUNT is {count!r}; a whole number from 1 is wanted")
        return Settings(environ.get("CLOUD_RUN_JOB", ""), environ.get("CLOUD_RUN_EXECUTION", ""), int(count))
