"""What the log-based metrics count in a log: points, as Cloud Logging would make them. Pure."""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from monitoring import log_filter
from monitoring.files import Resource, user_metric
from monitoring.preview.entries import Entry

__all__ = ["Point", "points"]

_EXTRACT = re.compile(r"EXTRACT\((.+)\)")


@dataclass(frozen=True, slots=True)
class Point:
    """One entry's contribution to a metric.

    Attributes:
        at: Seconds since 1970.
        resource: The monitored resource's type.
        labels: The series it belongs to: ``metric.x`` and ``resource.x``.
        value: 1 for a counter; what was extracted for a distribution.
    """

    at: float
    resource: str
    labels: Mapping[str, str]
    value: float


def points(metrics: Iterable[Resource], entries: Iterable[Entry]) -> dict[str, list[Point]]:
    """Points by metric type, each list by time; every metric is there."""
    prepared = [(metric.content, log_filter.parse(metric.content["filter"])) for metric in metrics]
    found: dict[str, list[Point]] = {user_metric(content["name"]): [] for content, _ in prepared}
    for entry in entries:
        tree = entry.tree()
        for content, wanted in prepared:
            if log_filter.matches(wanted, tree):
                value = _value(content, tree)
                if value is not None:
                    labels = _labels(content, tree, entry)
                    found[user_metric(content["name"])].append(Point(entry.at, entry.resource, labels, value))
    return found


def _value(content: Mapping[str, Any], tree: Mapping[str, Any]) -> float | None:
    """What the entry adds; None where the value cannot be extracted, and nothing is recorded."""
    if "valueExtractor" not in content:
        return 1.0
    value = _extracted(content["valueExtractor"], tree)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _labels(content: Mapping[str, Any], tree: Mapping[str, Any], entry: Entry) -> dict[str, str]:
    labels = {f"resource.{name}": value for name, value in entry.labels.items()}
    for name, extractor in content.get("labelExtractors", {}).items():
        value = _extracted(extractor, tree)
        labels[f"metric.{name}"] = (
            "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        )
    return labels


def _extracted(extractor: str, tree: Mapping[str, Any]) -> Any:
    match = _EXTRACT.fullmatch(extractor)
    return None if match is None else log_filter.value_at(tree, match[1])
