"""Reads the files strictly: values put in, and every key known to Google's own messages.

``gcloud`` and the services ignore a key that they do not know, so a misspelt threshold has no effect. Here a file becomes the service's
protobuf message, or it is refused with the key that is wrong.

The files leave some values open, as ``${NAME}`` in capitals; ``${project}`` and ``${metric.labels.x}`` are Google's own variables and stay.
A name without a value and a value that no file uses are both refused. Values are put into texts after parsing. They hold no character
that has a meaning in a filter or a query, so a value cannot change what a file says.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from google.cloud import monitoring_v3
from google.cloud.logging_v2.types import LogMetric
from google.cloud.monitoring_dashboard_v1.types import Dashboard
from google.protobuf import json_format

from shared.env_file import DEPLOYED, deployed_name
from shared.errors import UsageError
from shared.migration import Environment, Location, qpi_exports

__all__ = ["ProjectValues", "Resource", "Resources", "checked", "load_files", "user_metric"]

MESSAGES: Mapping[str, Any] = {"metrics": LogMetric, "alerts": monitoring_v3.AlertPolicy, "": Dashboard}
"""The message that a file must be, by its folder."""

_NAME = re.compile(r"\$\{([A-Z][A-Z0-9_]*)\}")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@%~-]*")


@dataclass(frozen=True, slots=True)
class ProjectValues:
    """What differs between projects and environments.

    Attributes:
        env: As the job's lines name it in ``env``.
        mirror_service: The mirror's Cloud Run service; a function's service has the function's name.
        jobs: How the names of all Cloud Run jobs of this migration begin.
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
        paths: tuple[Location, Location] | None = None,
        tasks: int = 1,
        **names: str,
    ) -> "ProjectValues":
        """The values of an environment.

        Args:
            paths: The legacy and the new path; None for those of the preset's environment.
            names: Names other than the usual ones; an empty one is the usual one.
        """
        if paths is None:
            migration = qpi_exports(Environment(env))
            paths = (migration.source, migration.destination)
        source, destination = paths
        usual = {f"{part}_service": deployed_name(part, env) for part in ("mirror", "reverse")}
        usual["jobs"] = DEPLOYED
        usual["deletion_account"] = f"{deployed_name('deletion', env)}@{project}.iam.gserviceaccount.com"
        named = usual | {name: value for name, value in names.items() if value}
        buckets = (source.bucket, source.prefix, destination.bucket)
        return ProjectValues(env, project, region, *buckets, tasks=tasks, runbook=runbook, **named)

    def by_name(self) -> dict[str, str]:
        """The values under the names that files use.

        Raises:
            UsageError: One is empty, or holds a character that could mean something in a filter.
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


@dataclass(frozen=True, slots=True)
class Resource:
    """One file's content, in the JSON form of its API with values in place; `stem` is the file's name without its ending."""

    stem: str
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resources:
    """Everything that a project is given."""

    metrics: tuple[Resource, ...]
    alerts: tuple[Resource, ...]
    dashboard: Resource


def user_metric(name: str) -> str:
    """A log-based metric's type, as filters name it."""
    return f"logging.googleapis.com/user/{name}"


def load_files(values: Mapping[str, str], root: Traversable | None = None) -> Resources:
    """Read all files of a folder, by default this package's; each is a valid message of its API.

    Raises:
        UsageError: A file is not YAML or not such a resource, or names and values do not fit.
    """
    parsed = [*_raw_files(root or files("monitoring"))]
    unused = values.keys() - set().union(*(_names_in(content) for _, content in parsed))
    if unused:
        names = ", ".join(sorted(unused))
        raise UsageError(f"no file uses {names}; take the value away or the files are damaged")
    found: dict[str, list[Resource]] = {folder: [] for folder in MESSAGES}
    for where, content in parsed:
        folder, _, file = where.rpartition("/")
        resource = Resource(file.removesuffix(".yaml"), _filled(content, values, where))
        checked(MESSAGES[folder], resource.content, where)
        found[folder].append(resource)
    return Resources(tuple(found["metrics"]), tuple(found["alerts"]), found[""][0])


def checked(message: Any, content: Mapping[str, Any], where: str) -> Any:
    """Make a message of a class from its JSON form; an error names `where`.

    Raises:
        UsageError: A key, value or type that the API does not know.
    """
    try:
        return message.wrap(json_format.ParseDict(content, message.pb(message())))
    except json_format.ParseError as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from error


def _raw_files(home: Traversable) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every file, parsed: its path within the folder, and its content."""
    paths = [("dashboard.yaml", home / "dashboard.yaml")]
    for folder in ("metrics", "alerts"):
        found = sorted((home / folder).iterdir(), key=lambda path: path.name)
        paths += [(f"{folder}/{path.name}", path) for path in found if path.name.endswith(".yaml")]
    for where, path in paths:
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 -- a CSafeLoader
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{where} cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(content, dict):
            raise UsageError(f"{where} is not a mapping")
        yield where, content


def _filled(content: Any, values: Mapping[str, str], where: str) -> Any:
    if isinstance(content, dict):
        return {key: _filled(value, values, where) for key, value in content.items()}
    if isinstance(content, list):
        return [_filled(value, values, where) for value in content]
    if not isinstance(content, str):
        return content
    unknown = _names_in(content) - values.keys()
    if unknown:
        known = ", ".join(sorted(values))
        raise UsageError(f"{where}: there is no value for ${{{min(unknown)}}}; known: {known}")
    return _NAME.sub(lambda match: values[match[1]], content)


def _names_in(content: Any) -> set[str]:
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        return set().union(*map(_names_in, content))
    return set(_NAME.findall(content)) if isinstance(content, str) else set()


class _StrictLoader(yaml.CSafeLoader):
    """Refuses a key that stands twice: YAML would drop the first without a message. libyaml reads ten times as fast as Python."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            why = f"key {twice[0]} stands twice"
            raise yaml.constructor.ConstructorError(None, None, why, node.start_mark)
        return super().construct_mapping(node, deep)
