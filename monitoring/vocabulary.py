"""Everything that the files may name: the log's events and fields, metrics, and the labels of both.

Google Cloud's own metrics are a table, because a test cannot ask the service. It has each metric that the files use, with its labels.
"""

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any

from monitoring import log_filter
from monitoring.files import Resource, user_metric
from shared.errors import UsageError
from shared.events_log import CONTEXT_FIELDS, FIELD_TYPES, Event
from shared.json_io import parse_json
from shared.text import counted

__all__ = [
    "LIBRARY",
    "MAX_LINE",
    "RESOURCE_LABELS",
    "Catalog",
    "Metric",
    "Points",
    "event_fields",
    "is_counted_field",
    "line_problems",
]

MAX_LINE = 100 * 1_024
"""Largest line in bytes. An entry may have 256 KiB, including what Cloud Logging adds."""

LIBRARY = "message"
"""The event of a line that another library wrote; its other field is the logger's name."""

OWN = frozenset({"severity", "time", "message", "event"})

RESOURCE_LABELS: Mapping[str, frozenset[str]] = {
    "cloud_run_job": frozenset({"project_id", "job_name", "location"}),
    "cloud_run_revision": frozenset(
        {"project_id", "service_name", "revision_name", "location", "configuration_name"}
    ),
    "gcs_bucket": frozenset({"project_id", "bucket_name", "location"}),
    "pubsub_subscription": frozenset({"project_id", "subscription_id"}),
}
"""Labels by type of monitored resource."""


class Points(Enum):
    """What a metric's points are: its kind and value type."""

    COUNT = "DELTA INT64"
    GAUGE = "GAUGE INT64"
    DISTRIBUTION = "DELTA DISTRIBUTION"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric, with its type as filters name it.

    Attributes:
        labels: Its own, without its resources'.
        resources: Types of the monitored resources that it is written on.
    """

    type: str
    points: Points
    labels: frozenset[str]
    resources: frozenset[str]


def _built_in(name: str, points: Points, resource: str, labels: str = "") -> Metric:
    return Metric(name, points, frozenset(labels.split()), frozenset({resource}))


BUILT_IN = (
    _built_in("run.googleapis.com/request_count", Points.COUNT, "cloud_run_revision", "response_code response_code_class"),
    _built_in("run.googleapis.com/job/completed_task_attempt_count", Points.COUNT, "cloud_run_job", "result attempt"),
    _built_in("storage.googleapis.com/api/request_count", Points.COUNT, "gcs_bucket", "method response_code"),
    _built_in("pubsub.googleapis.com/subscription/oldest_unacked_message_age", Points.GAUGE, "pubsub_subscription"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Catalog:
    """All metrics that can be named, by type.

    Attributes:
        by_prometheus_name: By name in PromQL, with the suffix that the name has; a distribution is there under its three names.
    """

    metrics: Mapping[str, Metric]
    by_prometheus_name: Mapping[str, tuple[Metric, str]] = field(init=False)

    def __post_init__(self) -> None:
        names: dict[str, tuple[Metric, str]] = {}
        for metric in self.metrics.values():
            distribution = metric.points is Points.DISTRIBUTION
            for suffix in ("_sum", "_count", "_bucket") if distribution else ("",):
                names[_prometheus_name(metric.type) + suffix] = (metric, suffix)
        object.__setattr__(self, "by_prometheus_name", names)

    @staticmethod
    def of(log_metrics: Iterable[Resource]) -> "Catalog":
        """Google Cloud's metrics and these log-based ones.

        Raises:
            UsageError: A metric's filter or type is not understood.
        """
        return Catalog({metric.type: metric for metric in (*BUILT_IN, *map(_log_based, log_metrics))})


def _prometheus_name(metric: str) -> str:
    """The first slash becomes a colon; every other character that is not a letter or digit becomes an underscore."""
    domain, _, path = metric.partition("/")
    return ":".join("".join(c if c.isalnum() else "_" for c in part) for part in (domain, path))


def _log_based(resource: Resource) -> Metric:
    content = resource.content
    descriptor = content.get("metricDescriptor", {})
    kind = f"{descriptor.get('metricKind')} {descriptor.get('valueType')}"
    if kind not in {Points.COUNT.value, Points.DISTRIBUTION.value}:
        raise UsageError(f"metrics/{resource.stem}.yaml: a log-based metric cannot be {kind}")
    compared = log_filter.comparisons(log_filter.parse(content["filter"]))
    types = frozenset(log_filter.named(compared, "resource.type"))
    labels = frozenset(label["key"] for label in descriptor.get("labels", ()))
    return Metric(user_metric(content["name"]), Points(kind), labels, types)


@functools.cache
def event_fields() -> Mapping[str, frozenset[str]]:
    """Fields by event, including those of the context."""
    known = {event.event_name: event.value.fields | CONTEXT_FIELDS for event in Event}
    return {**known, LIBRARY: frozenset({"logger"})}


def is_counted_field(name: str) -> bool:
    """Whether a field can be a distribution's value."""
    return FIELD_TYPES.get(name, (str,))[0] in {int, float}


def line_problems(text: str) -> list[str]:
    """What is wrong with a line of the structured log, by the vocabulary and Cloud Logging's limits: a sentence for each fault."""
    size = len(text.encode(errors="surrogatepass"))
    if size > MAX_LINE:
        return [f"the line has {counted(size, 'byte')}, more than {MAX_LINE:,}"]
    try:
        line = parse_json(text)
    except ValueError:
        return ["the line is not JSON"]
    if not isinstance(line, dict):
        return ["the line is not a JSON object"]
    return [*_own_problems(line), *_field_problems(line)]


def _own_problems(line: Mapping[str, Any]) -> list[str]:
    found = [f"no {name}" for name in sorted(OWN) if not isinstance(line.get(name), str)]
    if line.get("severity") not in log_filter.SEVERITIES:
        found.append(f"Cloud Logging has no severity {line.get('severity')!r}")
    if isinstance(line.get("time"), str) and not _is_moment(line["time"]):
        found.append(f"time {line['time']!r} is not a time with an offset")
    event = line.get("event")
    if isinstance(event, str) and event not in event_fields():
        found.append(f"no event is called {event}")
    return found


def _field_problems(line: Mapping[str, Any]) -> list[str]:
    known = event_fields().get(str(line.get("event")), frozenset())
    found = []
    for name, value in line.items():
        if name in OWN or name.startswith("logging.googleapis.com/"):
            continue
        if name not in known:
            found.append(f"{line.get('event')} has no field {name}")
        elif value is not None and name in FIELD_TYPES and not _fits(value, FIELD_TYPES[name]):
            found.append(f"{name} is {value!r}")
    return found


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _fits(value: Any, types: tuple[type, ...]) -> bool:
    # To Python a truth value is an integer; in JSON it is not.
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)
