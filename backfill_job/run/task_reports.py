"""The reports of the tasks of one execution, and when they make a whole. No coordinator: whoever completes the set composes.

Every task writes its part, then looks whether all parts of its execution are there. Two may find so at once and compose the
same. A part that an earlier execution left in the same place is not of this one, and does not count.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from backfill_job.run.reports import Reports
from backfill_job.run.settings import Settings
from shared.errors import UsageError
from shared.json_io import OTHER_FORM, parse_json, reason

__all__ = ["complete_set", "of_this_version", "part_name", "read_report"]


def part_name(index: int, count: int) -> str:
    """Where a task's reports go, below those of the run: ``task-00003-of-00010``."""
    return f"task-{index:05}-of-{count:05}"


def read_report(reports: Reports, name: str) -> Mapping[str, Any] | None:
    """Read a report.

    Returns:
        Its content; None when there is none.

    Raises:
        UsageError: What is there is no report.
    """
    data = reports.read(name)
    if data is None:
        return None
    try:
        content = parse_json(data)
    except ValueError as error:
        raise UsageError(f"{reports.place}: {name} is no JSON ({error}); remove it and run again") from error
    if not isinstance(content, dict):
        raise UsageError(f"{reports.place}: {name} is no report; remove it and run again")
    return content


@contextmanager
def of_this_version(name: str) -> Iterator[None]:
    """Take the tasks' reports apart in the block.

    Args:
        name: Which report.

    Raises:
        UsageError: One has another form.
    """
    try:
        yield
    except OTHER_FORM as error:
        raise UsageError(f"a task's {name} is not of this version ({reason(error)})") from error


def complete_set(reports: Reports, name: str, settings: Settings) -> list[Mapping[str, Any]] | None:
    """The parts of an execution, if all are there.

    Args:
        reports: Where the reports of the whole execution go.
        name: Which report.
        settings: Which execution, of how many tasks.

    Returns:
        The parts in the order of the tasks; None as long as one is missing.

    Raises:
        MigrationError: One cannot be read.
    """
    parts = []
    for index in range(settings.task_count):
        part = read_report(reports.part(part_name(index, settings.task_count)), name)
        if part is None or part.get("run") != settings.execution:
            return None
        parts.append(part)
    return parts
