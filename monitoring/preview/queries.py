"""The dashboard's queries, computed over points: what a chart's lines are at each step, and a figure's value. Pure.

In a project Cloud Monitoring keeps distributions in buckets and estimates percentiles from them; for filters they are taken from
the values themselves here, for PromQL from the metric's own buckets. ``increase`` is the plain sum of a window: nothing is
extrapolated.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from monitoring import metric_filter, promql
from monitoring.catalog import GROUP
from monitoring.preview.promql_values import Evaluation, Labels, Source, Vector
from shared.errors import UsageError

__all__ = ["Line", "Window", "is_local", "lines", "trailing"]


@dataclass(frozen=True, slots=True)
class Window:
    """When.

    Attributes:
        start: Seconds since 1970.
        steps: How many.
        step: Seconds of each.
    """

    start: float
    steps: int
    step: float

    @property
    def ends(self) -> list[float]:
        """Each step's end."""
        return [self.start + self.step * (number + 1) for number in range(self.steps)]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart.

    Attributes:
        labels: What it was grouped by: ``metric.x`` and ``resource.x``, or PromQL's names.
        values: One a step; None where there is nothing to say.
    """

    labels: Mapping[str, str]
    values: tuple[float | None, ...]


def is_local(query: Mapping[str, Any], source: Source) -> bool:
    """Whether every metric of a query comes from the log."""
    if "prometheusQuery" in query:
        named = promql.selectors(promql.parse(str(query["prometheusQuery"])))
        types = [source.catalog.by_prometheus_name[one.name][0].type for one in named]
    else:
        types = [metric_filter.parse(_filter_of(query)["filter"]).metric]
    return all(name in source.points for name in types)


def lines(query: Mapping[str, Any], source: Source, window: Window) -> list[Line]:
    """Compute a query at every step.

    Args:
        query: A ``timeSeriesQuery`` whose metrics come from the log.
        source: The points.
        window: When.

    Returns:
        The lines, the greatest first.

    Raises:
        UsageError: The query is not understood.
    """
    if "prometheusQuery" in query:
        expression = promql.parse(str(query["prometheusQuery"]))
        at_steps = [Evaluation(source, window.step, end).vector(expression) for end in window.ends]
    else:
        at_steps = _filtered(_filter_of(query), source, window)
    keys = {key: None for vector in at_steps for key in vector}
    found = [Line(dict(key), tuple(vector.get(key) for vector in at_steps)) for key in keys]
    return sorted(found, key=lambda line: -sum(value or 0.0 for value in line.values))


def _filter_of(query: Mapping[str, Any]) -> Mapping[str, Any]:
    found = query.get("timeSeriesFilter")
    if not isinstance(found, Mapping):
        raise UsageError("this kind of query cannot be drawn")
    return found


def trailing(query: Mapping[str, Any], source: Source, window: Window) -> tuple[float | None, ...]:
    """A filter's figure at every step's end, over the alignment period before it; it must not be grouped."""
    found = _filter_of(query)
    wanted = _selected(found, source)
    period = _seconds(found["aggregation"]["alignmentPeriod"])
    values = [[value for at, _, value in wanted if end - period < at <= end] for end in window.ends]
    return tuple(_reduced(one, found["aggregation"]) if one else None for one in values)


def _filtered(query: Mapping[str, Any], source: Source, window: Window) -> list[Vector]:
    steps: list[dict[Labels, list[float]]] = [{} for _ in range(window.steps)]
    for at, labels, value in _selected(query, source):
        number = math.ceil((at - window.start) / window.step) - 1
        # What happened at the very start belongs to the first step.
        number = 0 if at == window.start else number
        if 0 <= number < window.steps:
            steps[number].setdefault(labels, []).append(value)
    return [
        {labels: _reduced(values, query["aggregation"]) for labels, values in step.items()} for step in steps
    ]


def _selected(query: Mapping[str, Any], source: Source) -> list[tuple[float, Labels, float]]:
    """The points that a filter means: when, what they are grouped by, and their values."""
    wanted = metric_filter.parse(query["filter"])
    grouped = query["aggregation"].get("groupByFields", ())
    names = [f"{match[1]}.{match[2]}" for name in grouped if (match := GROUP.fullmatch(name))]
    return [
        (point.at, frozenset((name, point.labels.get(name, "")) for name in names), point.value)
        for point in source.points[wanted.metric]
        if (not wanted.resource or point.resource == wanted.resource)
        and all(term.holds(point.labels) for term in wanted.terms)
    ]


def _reduced(values: list[float], aggregation: Mapping[str, Any]) -> float:
    """Every value that an alignment period has, put together."""
    reducer = aggregation["crossSeriesReducer"]
    if reducer == "REDUCE_SUM":
        return sum(values) / (
            _seconds(aggregation["alignmentPeriod"]) if aggregation["perSeriesAligner"] == "ALIGN_RATE" else 1
        )
    if reducer == "REDUCE_MEAN":
        return sum(values) / len(values)
    if reducer == "REDUCE_MAX":
        return max(values)
    if not reducer.startswith("REDUCE_PERCENTILE_"):
        raise UsageError(f"{reducer} cannot be drawn")
    rank = math.ceil(len(values) * int(reducer.rpartition("_")[2]) / 100)
    return sorted(values)[max(rank, 1) - 1]


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
