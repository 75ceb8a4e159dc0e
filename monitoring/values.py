"""The values that the files leave open, and putting them in: ``${NAME}``, strictly.

A name that no value is given for, and a value that no file asks for, are both errors: either is a file that says
something else than its author meant. Values are put into texts that were parsed before, and hold no character with a meaning
in a filter or query, so none can change what a file says. Names are capitals; ``${project}`` and ``${metric.labels.x}`` are
Google's own variables, and stay.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from shared.errors import UsageError
from shared.migration import Environment, qpi_exports

__all__ = ["Values", "filled", "names_in", "require_all_used"]

_NAME = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@%~-]*")


@dataclass(frozen=True, slots=True)
class Values:
    """What differs between projects and environments.

    Attributes:
        env: The environment, as the job's lines name it in ``env``.
        project: The project that the job and the function run in.
        region: Where they run.
        source_bucket: The legacy path's bucket.
        source_prefix: Its prefix.
        destination_bucket: The new path's bucket.
        mirror_service: The mirror's Cloud Run service; a function's is named like the function.
        reverse_service: The service of the mirror back to the legacy path.
        jobs: What the names of all Cloud Run jobs of this migration begin with.
        tasks: Tasks of one execution of the backfill.
        deletion_account: The service account that deletes the legacy path.
        runbook: Where the alerts' runbook can be read.
    """

    env: str
    project: str
    region: str
    source_bucket: str
    source_prefix: str
    destination_bucket: str
    mirror_service: str
    reverse_service: str
    jobs: str
    tasks: int
    deletion_account: str
    runbook: str

    @staticmethod
    def of(
        env: str,
        project: str,
        region: str,
        runbook: str,
        *,
        mirror_service: str = "",
        reverse_service: str = "",
        jobs: str = "",
        tasks: int = 1,
        deletion_account: str = "",
    ) -> "Values":
        """The values of one of the preset's environments; what is left empty has its usual name."""
        migration = qpi_exports(Environment(env))
        return Values(
            env=env,
            project=project,
            region=region,
            source_bucket=migration.source.bucket,
            source_prefix=migration.source.prefix,
            destination_bucket=migration.destination.bucket,
            mirror_service=mirror_service or f"qpi-exports-mirror-{env}",
            reverse_service=reverse_service or f"qpi-exports-reverse-{env}",
            jobs=jobs or "qpi-exports-",
            tasks=tasks,
            deletion_account=deletion_account
            or f"qpi-exports-deletion-{env}@{project}.iam.gserviceaccount.com",
            runbook=runbook,
        )

    def by_name(self) -> dict[str, str]:
        """The values under the names that files use.

        Raises:
            UsageError: One is empty, or holds what could be more than a value.
        """
        texts = {name.upper(): str(value) for name, value in asdict(self).items()}
        for name, text in texts.items():
            if not _PLAIN.fullmatch(text):
                raise UsageError(
                    f"the value {name}={text!r} cannot stand in a filter; use letters, digits and . _ : / @ % ~ -"
                )
        if self.tasks < 1:
            raise UsageError(f"TASKS={self.tasks}: an execution has at least one task")
        return texts


def filled(content: Any, values: Mapping[str, str], where: str) -> Any:
    """Put values into every text of a parsed file.

    Args:
        content: What was parsed: mappings, lists, texts, numbers.
        values: Value by name.
        where: The file, for errors.

    Returns:
        The same with values in place of names.

    Raises:
        UsageError: A name without a value.
    """
    if isinstance(content, dict):
        return {key: filled(value, values, where) for key, value in content.items()}
    if isinstance(content, list):
        return [filled(value, values, where) for value in content]
    if not isinstance(content, str):
        return content

    def value_of(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise UsageError(
                f"{where}: nobody gives a value for ${{{match[1]}}}; known: {', '.join(sorted(values))}"
            )
        return values[match[1]]

    return _NAME.sub(value_of, content)


def names_in(content: Any) -> set[str]:
    """The names that a parsed file asks values for."""
    if isinstance(content, dict):
        return names_in(list(content.values()))
    if isinstance(content, list):
        return set().union(*map(names_in, content))
    return set(_NAME.findall(content)) if isinstance(content, str) else set()


def require_all_used(values: Mapping[str, str], contents: Iterable[Any]) -> None:
    """Refuse values that no file asks for.

    Raises:
        UsageError: There is one.
    """
    unused = values.keys() - set().union(*map(names_in, contents))
    if unused:
        raise UsageError(
            f"no file uses {', '.join(sorted(unused))}; take the value away or the files are damaged"
        )
