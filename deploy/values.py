"""What differs between the environments: the lines of ``deploy/{dev,stg,prod}.env``, read strictly.

The buckets are not among them: they follow from the environment, as everywhere (``shared.migration.qpi_exports``).
"""

import re
from dataclasses import dataclass, fields
from pathlib import Path

from backfill_job.rights import Part
from shared.errors import UsageError
from shared.json_io import shown_value
from shared.migration import Environment, Migration, qpi_exports

__all__ = ["Values", "read_values"]

_FORMS = {
    "PROJECT": r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
    "REGION": r"[a-z]+-[a-z]+[0-9]+",
    "TASKS": r"[1-9][0-9]{0,3}",
    "OPERATORS": r"(?:group|user|domain|serviceAccount):[^\s,;]+",
    "DELETERS": r"(?:group|user|serviceAccount):[^\s,;]+",
    "SWEEP_SCHEDULE": r"[0-9*/, -]+",
    "FULL_SCHEDULE": r"[0-9*/, -]+",
    "TIME_ZONE": r"[A-Za-z0-9_+/-]+",
    "RUNBOOK": r"https://[A-Za-z0-9._:/@%~-]+",
    "CHANNEL": r"projects/[^\s/]+/notificationChannels/[0-9]+",
}
"""The names of a file, and what each one's value looks like."""


@dataclass(frozen=True, slots=True)
class Values:
    """One environment's values.

    Attributes:
        env: Which environment.
        project: The project of everything, the buckets included: a trigger and its bucket share a project.
        region: Where jobs and functions run: the buckets' region, or one within their multi-region.
        tasks: Tasks of an execution of the backfill.
        operators: Who runs the migration.
        deleters: Who may delete the legacy path.
        sweep_schedule: When recent days are swept, as cron says it.
        full_schedule: When everything is.
        time_zone: Of both.
        runbook: Where ``docs/runbook-alerts.md`` can be read.
        channel: The notification channel that is told of incidents.
    """

    env: Environment
    project: str
    region: str
    tasks: int
    operators: str
    deleters: str
    sweep_schedule: str
    full_schedule: str
    time_zone: str
    runbook: str
    channel: str

    @property
    def migration(self) -> Migration:
        """From where to where."""
        return qpi_exports(self.env)

    def name(self, part: str) -> str:
        """What a job, function, topic or account of a part is called."""
        return f"qpi-exports-{part}-{self.env.value}"

    def account(self, part: Part | str) -> str:
        """A part's service account."""
        name = part.value if isinstance(part, Part) else part
        return f"{self.name(name)}@{self.project}.iam.gserviceaccount.com"

    @property
    def repository(self) -> str:
        """Where images are."""
        return f"{self.region}-docker.pkg.dev/{self.project}/qpi-exports"


def read_values(env: Environment, folder: Path) -> Values:
    """Read an environment's file.

    Args:
        env: Which environment.
        folder: Where the files lie.

    Raises:
        UsageError: It cannot be read; a line is none of ``NAME=value``, ``# comment`` or empty; a name is missing, given twice or
            unknown; a value is impossible.
    """
    path = folder / f"{env.value}.env"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no text in UTF-8 ({error.reason} at byte {error.start})") from error
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        where = f"{path.name}, line {number}"
        if not equals or name not in _FORMS:
            raise UsageError(
                f"{where}: {shown_value(line)} is none of {', '.join(_FORMS)} with '=' and a value"
            )
        if name in found:
            raise UsageError(f"{where}: {name} is given twice")
        found[name] = value.removeprefix('"').removesuffix('"')
        if not re.fullmatch(_FORMS[name], found[name]):
            raise UsageError(f"{where}: {shown_value(found[name])} is no possible value of {name}")
    missing = ", ".join(name for name in _FORMS if name not in found)
    if missing:
        raise UsageError(f"{path.name}: no value for {missing}")
    texts = {
        field.name: found[field.name.upper()]
        for field in fields(Values)
        if field.name not in {"env", "tasks"}
    }
    return Values(env=env, tasks=int(found["TASKS"]), **texts)
