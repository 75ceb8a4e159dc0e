"""The files, read strictly: values put in, every key known to Google's own messages.

``gcloud`` and the services accept keys that nobody knows and ignore them, so that a misspelt threshold is no threshold. Here a
file becomes the service's protobuf message or is refused with the key that is wrong.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

import yaml
from google.cloud import monitoring_v3
from google.cloud.logging_v2.types import LogMetric
from google.cloud.monitoring_dashboard_v1.types import Dashboard
from google.protobuf import json_format

from monitoring.values import filled, require_all_used
from shared.errors import UsageError

__all__ = ["MESSAGES", "Resource", "Resources", "checked", "load", "raw_files", "user_metric"]

USER_METRIC = "logging.googleapis.com/user/"

MESSAGES: Mapping[str, Any] = {"metrics": LogMetric, "alerts": monitoring_v3.AlertPolicy, "": Dashboard}
"""The message that a file must be, by its folder."""


@dataclass(frozen=True, slots=True)
class Resource:
    """One file's content with values in place.

    Attributes:
        stem: The file's name without its ending.
        content: The resource, in the JSON form of its API.
    """

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
    return USER_METRIC + name


def load(values: Mapping[str, str], root: Traversable | None = None) -> Resources:
    """Read all files.

    Args:
        values: Value by name.
        root: The folder; this package's by default.

    Returns:
        Resources, each a valid message of its API.

    Raises:
        UsageError: A file is no YAML or no such resource, or names and values do not fit.
    """
    parsed = [*raw_files(root)]
    require_all_used(values, [content for _, content in parsed])
    found: dict[str, list[Resource]] = {folder: [] for folder in MESSAGES}
    for where, content in parsed:
        folder, _, file = where.rpartition("/")
        resource = Resource(file.removesuffix(".yaml"), filled(content, values, where))
        checked(MESSAGES[folder], resource.content, where)
        found[folder].append(resource)
    return Resources(tuple(found["metrics"]), tuple(found["alerts"]), found[""][0])


def raw_files(root: Traversable | None = None) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every file as it stands, parsed: its path within the folder, and its content.

    Raises:
        UsageError: One is no YAML, or no mapping.
    """
    home = root or files("monitoring")
    paths = [("dashboard.yaml", home / "dashboard.yaml")]
    for folder in ("metrics", "alerts"):
        found = sorted((home / folder).iterdir(), key=lambda path: path.name)
        paths += [(f"{folder}/{path.name}", path) for path in found if path.name.endswith(".yaml")]
    for where, path in paths:
        try:
            content = yaml.load(path.read_text(encoding="utf-8"), Loader=_StrictLoader)  # noqa: S506 -- a SafeLoader
        except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{where} cannot be read: {' '.join(str(error).split())}") from error
        if not isinstance(content, dict):
            raise UsageError(f"{where} is no mapping")
        yield where, content


def checked(message: Any, content: Mapping[str, Any], where: str) -> Any:
    """Make a message of a content; what the API does not know is refused.

    Args:
        message: The message's class.
        content: In the API's JSON form.
        where: The file, for errors.

    Returns:
        The message.

    Raises:
        UsageError: A key, value or type that the API does not know.
    """
    try:
        return message.wrap(json_format.ParseDict(content, message.pb(message())))
    except json_format.ParseError as error:
        raise UsageError(f"{where}: {' '.join(str(error).split())}") from error


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key that stands twice: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = sorted({str(key) for key in keys if keys.count(key) > 1})
        if twice:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice[0]} stands twice", node.start_mark
            )
        return super().construct_mapping(node, deep)
