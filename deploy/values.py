"""The values that differ between environments: the lines of ``deploy/{dev,stg,prod}.env``, read strictly.

The buckets are not among them: they follow from the environment (``shared.migration.qpi_exports``).
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from backfill_job.rights import Part, account_of
from shared.env_file import MEMBERS, OPERATOR_FORMS, deployed_name, read_env_file
from shared.errors import UsageError
from shared.migration import Environment, Migration, qpi_exports

__all__ = ["EnvironmentValues", "read_values"]

_LOCATION = r"[a-z]+[0-9]*(?:-[a-z]+[0-9]+)?"
"""A region, a multi-region (``eu``) or a predefined dual-region (``eur4``), in the small letters of a trigger's location."""

_FORMS = {
    "PROJECT": r"[a-z][a-z0-9-]{4,28}[a-z0-9]",
    "REGION": r"[a-z]+-[a-z]+[0-9]+",
    "LEGACY_LOCATION": _LOCATION,
    "NEW_LOCATION": _LOCATION,
    "TASKS": r"[1-9][0-9]{0,3}",
    "OPERATORS": r"(?:group|user|domain|serviceAccount):[^\s,;]+",
    "BUILDERS": r"(?:group|user|serviceAccount):[^\s,;]+",
    "DELETERS": r"(?:group|user|serviceAccount):[^\s,;]+",
    "WRITER": MEMBERS,
    "CONSUMER": MEMBERS,
    "SWEEP_SCHEDULE": r"[0-9*/, -]+",
    "FULL_SCHEDULE": r"[0-9*/, -]+",
    "VERIFY_SCHEDULE": r"[0-9*/, -]+",
    "TIME_ZONE": r"[A-Za-z0-9_+/-]+",
    "RUNBOOK": r"https://[A-Za-z0-9._:/@%~-]+",
    "CHANNEL": r"projects/[^\s/]+/notificationChannels/[0-9]+",
    "MIRROR_DELETES": r"true|false",
}
"""The names in a file, each with the form of its value."""

_DEFAULTS = {"MIRROR_DELETES": "false", "VERIFY_SCHEDULE": "30 8 * * *"}
"""The values of names that a file may leave out."""


@dataclass(frozen=True, slots=True)
class EnvironmentValues:
    """One environment's values.

    Attributes:
        project: The project of all parts, the buckets included: a trigger and its bucket share a project.
        region: Where jobs and functions run: the buckets' region, or one within their multi-region.
        legacy_location: Where the legacy bucket is, and so the trigger for its events; `new_location` is the new bucket's.
        operators: The IAM member that runs the migration.
        builders: The IAM member that submits builds, which may replace the code of every part: the operators, if the file has none.
        deleters: The IAM member that may delete the legacy path.
        writer: The IAM members, separated by commas, that write the exports. Nothing here grants them anything.
        consumer: The IAM members that read the exports, likewise.
        sweep_schedule: When recent days are swept, in cron's form, as `full_schedule` is for everything.
        verify_schedule: When everything is verified, once a day, which records a day after the cutover (`shared.green_days`).
    """

    env: Environment
    project: str
    region: str
    legacy_location: str
    new_location: str
    tasks: int
    operators: str
    builders: str
    deleters: str
    writer: str
    consumer: str
    sweep_schedule: str
    full_schedule: str
    time_zone: str
    runbook: str
    channel: str
    mirror_deletes: bool = False
    verify_schedule: str = _DEFAULTS["VERIFY_SCHEDULE"]

    @property
    def schedules(self) -> Mapping[str, tuple[str, str]]:
        """The schedules by name: which job each starts, and when."""
        return {
            "sweep": ("sweep", self.sweep_schedule),
            "full": ("backfill", self.full_schedule),
            "verify": ("verify", self.verify_schedule),
        }

    @property
    def migration(self) -> Migration:
        """The source and the destination of this environment."""
        return qpi_exports(self.env)

    def name(self, part: str) -> str:
        """The name of a part's job, function, topic or account."""
        return deployed_name(part, self.env.value)

    def account(self, part: Part | str) -> str:
        """A part's service account."""
        name = part.value if isinstance(part, Part) else part
        return account_of(name, self.env.value, self.project)

    def member(self, part: Part | str) -> str:
        """A part's service account as a member of a binding."""
        return f"serviceAccount:{self.account(part)}"

    @property
    def repository(self) -> str:
        """The address of the image repository."""
        return f"{self.region}-docker.pkg.dev/{self.project}/qpi-exports"


def read_values(env: Environment, folder: Path) -> EnvironmentValues:
    """Read an environment's file.

    Raises:
        UsageError: As in `read_env_file`; or a name is missing.
    """
    path = folder / f"{env.value}.env"
    found = read_env_file(path, _FORMS | OPERATOR_FORMS)
    found = {**_DEFAULTS, "BUILDERS": found.get("OPERATORS", ""), **found}
    missing = ", ".join(name for name in _FORMS if name not in found)
    if missing:
        raise UsageError(f"{path.name}: no value for {missing}")
    texts = {
        field.name: found[field.name.upper()]
        for field in fields(EnvironmentValues)
        if field.name not in {"env", "tasks", "mirror_deletes"}
    }
    return EnvironmentValues(
        env=env, tasks=int(found["TASKS"]), mirror_deletes=found["MIRROR_DELETES"] == "true", **texts
    )
