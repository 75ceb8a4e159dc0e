"""The reports of the tasks of one execution, without a coordinator: the task that completes the set combines them.

Every task writes its part, and then looks for all parts of its execution. Two tasks may find the set complete at once; both
write the same result. A part of an earlier execution in the same place does not count.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from backfill_job.run.reports import Reports
from backfill_job.run.settings import Settings
from shared.errors import UsageError
from shared.json_io import OTHER_FORM, decode, reason

__all__ = ["complete_set", "of_this_version", "part_name", "read_report"]


def part_name(index: int, count: int) -> str:
    """The folder of a task's reports, below those of the run: ``task-00003-of-00010``."""
    return f"task-{index:05}-of-{count:05}"


def read_report(reports: Reports, name: str) -> Mapping[str, Any] | None:
    """Read a report; None when it is absent.

    Raises:
        UsageError: The file is not a report.
    """
    data = reports.read(name)
    try:
        return None if data is None else decode(dict[str, Any], data, f"{reports.place}: {name}", None)
    except UsageError as error:
        raise UsageError(f"{error}; remove it and run again") from error


@contextmanager
def of_this_version(name: str) -> Iterator[None]:
    """Turn the errors of reading tasks' reports in the block into one line.

    Raises:
        UsageError: A report has another form.
    """
    try:
        yield
    except OTHER_FORM as error:
        raise UsageError(f"a task's {name} is not of this version ({reason(error)})") from error


def complete_set(reports: Reports, name: str, settings: Settings) -> list[Mapping[str, Any]] | None:
    """The parts of a report from all tasks of an execution.

    Returns:
        The parts in the order of the tasks; None while one is missing.

    Raises:
        MigrationError: A part cannot be read.
    """
    parts = []
    for index in range(settings.task_count):
        part = read_report(reports.part(part_name(index, settings.task_count)), name)
        if part is None or part.get("run") != settings.execution:
            return None
        parts.append(part)
    return parts
