"""The metrics that can be named: the log-based ones that the files define, and Google Cloud's own that the files use.

The second kind is a table: what a test cannot ask the service is written down once, with the labels that filters may use.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum

from monitoring import log_filter
from monitoring.files import USER_METRIC, Resource
from shared.errors import UsageError

__all__ = ["BUILT_IN", "GROUP", "LEGEND", "RESOURCE_LABELS", "Catalog", "Metric", "Values", "prometheus_name"]

GROUP = re.compile(r'(metric|resource)\.labels?\."?([a-z0-9_]+)"?')
"""How a query names a label to group by: whose label, and which."""

LEGEND = re.compile(r"\$\{(metric|resource)\.labels\.([a-z_]+)\}")
"""How a legend names one."""


class Values(Enum):
    """What a metric's points are."""

    COUNT = "DELTA INT64"
    GAUGE = "GAUGE INT64"
    DISTRIBUTION = "DELTA DISTRIBUTION"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Attributes:
        type: Its type, as filters name it.
        values: What its points are.
        labels: Its own labels.
        resources: Types of the monitored resources it is written on.
    """

    type: str
    values: Values
    labels: frozenset[str]
    resources: frozenset[str]


RESOURCE_LABELS: Mapping[str, frozenset[str]] = {
    "cloud_run_job": frozenset({"project_id", "job_name", "location"}),
    "cloud_run_revision": frozenset(
        {"project_id", "service_name", "revision_name", "location", "configuration_name"}
    ),
    "gcs_bucket": frozenset({"project_id", "bucket_name", "location"}),
    "pubsub_subscription": frozenset({"project_id", "subscription_id"}),
}
"""Labels by type of monitored resource."""


def _built_in(name: str, values: Values, resource: str, labels: str = "") -> Metric:
    return Metric(name, values, frozenset(labels.split()), frozenset({resource}))


BUILT_IN = (
    _built_in(
        "run.googleapis.com/request_count",
        Values.COUNT,
        "cloud_run_revision",
        "response_code response_code_class",
    ),
    _built_in(
        "run.googleapis.com/job/completed_task_attempt_count", Values.COUNT, "cloud_run_job", "result attempt"
    ),
    _built_in("storage.googleapis.com/api/request_count", Values.COUNT, "gcs_bucket", "method response_code"),
    _built_in(
        "pubsub.googleapis.com/subscription/oldest_unacked_message_age", Values.GAUGE, "pubsub_subscription"
    ),
)


def prometheus_name(metric: str) -> str:
    """A metric's name in PromQL: the first slash becomes a colon, everything else that is no letter an underscore."""
    domain, _, path = metric.partition("/")
    return ":".join("".join(c if c.isalnum() else "_" for c in part) for part in (domain, path))


@dataclass(frozen=True, slots=True)
class Catalog:
    """All metrics that can be named.

    Attributes:
        metrics: By type.
        by_prometheus_name: By name in PromQL; a distribution under its three.
    """

    metrics: Mapping[str, Metric]
    by_prometheus_name: Mapping[str, tuple[Metric, str]] = field(init=False)

    def __post_init__(self) -> None:
        names: dict[str, tuple[Metric, str]] = {}
        for metric in self.metrics.values():
            distribution = metric.values is Values.DISTRIBUTION
            for suffix in ("_sum", "_count", "_bucket") if distribution else ("",):
                names[prometheus_name(metric.type) + suffix] = (metric, suffix)
        object.__setattr__(self, "by_prometheus_name", names)

    @staticmethod
    def of(log_metrics: Iterable[Resource]) -> "Catalog":
        """The catalog with these log-based metrics.

        Raises:
            UsageError: A metric's filter is not understood.
        """
        known = {metric.type: metric for metric in BUILT_IN}
        for resource in log_metrics:
            metric = _log_based(resource)
            known[metric.type] = metric
        return Catalog(known)


def _log_based(resource: Resource) -> Metric:
    content = resource.content
    descriptor = content.get("metricDescriptor", {})
    kind = f"{descriptor.get('metricKind')} {descriptor.get('valueType')}"
    if kind not in {Values.COUNT.value, Values.DISTRIBUTION.value}:
        raise UsageError(f"metrics/{resource.stem}.yaml: a log-based metric cannot be {kind}")
    types = [
        value
        for comparison in log_filter.comparisons(log_filter.parse(content["filter"]))
        if comparison.field == "resource.type"
        for value in comparison.values
    ]
    labels = frozenset(label["key"] for label in descriptor.get("labels", ()))
    return Metric(USER_METRIC + content["name"], Values(kind), labels, frozenset(types))
