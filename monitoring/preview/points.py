"""Counts what the log-based metrics would count in a log: points, as Cloud Logging would make them. Pure."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from monitoring import log_filter
from monitoring.files import Resource, user_metric
from monitoring.preview.entries import Entry
from monitoring.vocabulary import Catalog

__all__ = ["Point", "Source", "points"]

_EXTRACT = re.compile(r"EXTRACT\((.+)\)")


@dataclass(frozen=True, slots=True)
class Point:
    """One entry's contribution to a metric.

    Attributes:
        at: Seconds since 1970.
        labels: Of the series it belongs to: ``metric.x`` and ``resource.x``.
        value: 1 for a counter; the extracted value for a distribution.
    """

    at: float
    resource: str
    labels: Mapping[str, str]
    value: float


@dataclass(frozen=True, slots=True)
class Source:
    """What queries are computed from.

    Attributes:
        points: By metric type, by time.
        bounds: Upper bounds of a distribution's finite buckets and of the bucket below them, by metric type.
    """

    points: Mapping[str, Sequence[Point]]
    catalog: Catalog
    bounds: Mapping[str, Sequence[float]]

    @staticmethod
    def of(metrics: Sequence[Resource], entries: Iterable[Entry]) -> "Source":
        """The points of log-based metrics in a log."""
        bounds = {user_metric(metric.content["name"]): _bounds(metric.content) for metric in metrics}
        return Source(points(metrics, entries), Catalog.of(metrics), bounds)


def points(metrics: Iterable[Resource], entries: Iterable[Entry]) -> dict[str, list[Point]]:
    """Points by metric type, each list by time; a metric without points has an empty list."""
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


def _bounds(content: Mapping[str, Any]) -> list[float]:
    if "bucketOptions" not in content:
        return []
    buckets = content["bucketOptions"]["exponentialBuckets"]
    scale, factor = buckets["scale"], buckets["growthFactor"]
    return [scale * factor**number for number in range(buckets["numFiniteBuckets"] + 1)]


def _value(content: Mapping[str, Any], tree: Mapping[str, Any]) -> float | None:
    """What the entry adds; None where no number can be extracted: Cloud Logging then records nothing."""
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
        text = str(value).lower() if isinstance(value, bool) else str(value)
        labels[f"metric.{name}"] = "" if value is None else text
    return labels


def _extracted(extractor: str, tree: Mapping[str, Any]) -> Any:
    match = _EXTRACT.fullmatch(extractor)
    return None if match is None else log_filter.value_at(tree, match[1])
