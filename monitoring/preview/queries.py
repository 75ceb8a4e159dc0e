"""Counts what the log-based metrics would count in a log, and computes the dashboard's queries over these points. Pure.

In a project Cloud Monitoring keeps distributions in buckets and estimates percentiles from them. Here a filter takes percentiles from the
values themselves, and PromQL from the metric's own buckets. ``increase`` is the plain sum of a window, without extrapolation.

As in Prometheus, an operation on two vectors keeps the elements whose labels are the same on both sides. A number goes with every element.
A division by zero gives nothing: a chart can show neither infinity nor "not a number".
"""

import math
import operator
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import promql_parser
from promql_parser import Expr, MatrixSelector, NumberLiteral

from monitoring import log_filter
from monitoring.files import Resource, user_metric
from monitoring.preview.entries import LogEntry
from monitoring.query import GROUP, Selector, metric_filter, promql, seconds_of, selector, selectors
from monitoring.vocabulary import Catalog
from shared.errors import UsageError

__all__ = [
    "ChartLine",
    "Evaluation",
    "Point",
    "PointSource",
    "Window",
    "is_local",
    "lines",
    "points",
    "trailing",
]

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
class PointSource:
    """What queries are computed from.

    Attributes:
        points: By metric type, by time.
        bounds: Upper bounds of a distribution's finite buckets and of the bucket below them, by metric type.
    """

    points: Mapping[str, Sequence[Point]]
    catalog: Catalog
    bounds: Mapping[str, Sequence[float]]

    @staticmethod
    def of(metrics: Sequence[Resource], entries: Iterable[LogEntry]) -> "PointSource":
        """The points of log-based metrics in a log."""
        bounds = {user_metric(metric.content["name"]): _bounds(metric.content) for metric in metrics}
        return PointSource(points(metrics, entries), Catalog.of(metrics), bounds)


def points(metrics: Iterable[Resource], entries: Iterable[LogEntry]) -> dict[str, list[Point]]:
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


def _labels(content: Mapping[str, Any], tree: Mapping[str, Any], entry: LogEntry) -> dict[str, str]:
    labels = {f"resource.{name}": value for name, value in entry.labels.items()}
    for name, extractor in content.get("labelExtractors", {}).items():
        value = _extracted(extractor, tree)
        text = str(value).lower() if isinstance(value, bool) else str(value)
        labels[f"metric.{name}"] = "" if value is None else text
    return labels


def _extracted(extractor: str, tree: Mapping[str, Any]) -> Any:
    match = _EXTRACT.fullmatch(extractor)
    return None if match is None else log_filter.value_at(tree, match[1])


Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

NO_LABELS: Labels = frozenset()

_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": lambda left, right: left / right if right else math.nan,
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
    ">=": operator.ge,
    "<=": operator.le,
}
_AGGREGATES: Mapping[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
    "count": lambda values: float(len(values)),
}


@dataclass(frozen=True, slots=True)
class Window:
    """A time in `steps` steps of `step` seconds, from `start` in seconds since 1970."""

    start: float
    steps: int
    step: float

    @property
    def ends(self) -> list[float]:
        """Each step's end."""
        return [self.start + self.step * (number + 1) for number in range(self.steps)]


@dataclass(frozen=True, slots=True)
class ChartLine:
    """One line of a chart.

    Attributes:
        labels: What it was grouped by: ``metric.x`` and ``resource.x``, or PromQL's names.
        values: One for each step; None where there is no value.
    """

    labels: Mapping[str, str]
    values: tuple[float | None, ...]


def is_local(query: Mapping[str, Any], source: PointSource) -> bool:
    """Whether every metric of a query comes from the log."""
    if "prometheusQuery" in query:
        names = [one.name for one in selectors(promql(query["prometheusQuery"]))]
        types = [source.catalog.by_prometheus_name[name][0].type for name in names]
    else:
        types = [metric_filter(_filter_of(query)["filter"]).metric]
    return all(name in source.points for name in types)


def lines(query: Mapping[str, Any], source: PointSource, window: Window) -> list[ChartLine]:
    """Compute a ``timeSeriesQuery`` at every step; the lines come in order, the greatest first.

    Raises:
        UsageError: The query is not understood, or cannot be computed from a log.
    """
    if "prometheusQuery" in query:
        expression = promql(query["prometheusQuery"], window.step)
        at_steps = [Evaluation(source, end).vector(expression) for end in window.ends]
    else:
        at_steps = _filtered(_filter_of(query), source, window)
    keys = {key: None for vector in at_steps for key in vector}
    found = [ChartLine(dict(key), tuple(vector.get(key) for vector in at_steps)) for key in keys]
    return sorted(found, key=lambda line: -sum(value or 0.0 for value in line.values))


def trailing(query: Mapping[str, Any], source: PointSource, window: Window) -> tuple[float | None, ...]:
    """A filter's figure at every step's end, over the alignment period before it; it must not be grouped."""
    found = _filter_of(query)
    wanted = _selected(found, source)
    period = seconds_of(found["aggregation"]["alignmentPeriod"])
    values = [[value for at, _, value in wanted if end - period < at <= end] for end in window.ends]
    return tuple(_reduced(one, found["aggregation"]) if one else None for one in values)


def _filter_of(query: Mapping[str, Any]) -> Mapping[str, Any]:
    found = query.get("timeSeriesFilter")
    if not isinstance(found, Mapping):
        raise UsageError("this kind of query cannot be drawn")
    return found


def _filtered(query: Mapping[str, Any], source: PointSource, window: Window) -> list[Vector]:
    steps: list[dict[Labels, list[float]]] = [{} for _ in range(window.steps)]
    for at, labels, value in _selected(query, source):
        # What happened at the very start belongs to the first step.
        number = 0 if at == window.start else math.ceil((at - window.start) / window.step) - 1
        if 0 <= number < window.steps:
            steps[number].setdefault(labels, []).append(value)
    how = query["aggregation"]
    return [{labels: _reduced(values, how) for labels, values in step.items()} for step in steps]


def _selected(query: Mapping[str, Any], source: PointSource) -> list[tuple[float, Labels, float]]:
    """The points that a filter selects: when, the labels they are grouped by, and their values."""
    wanted = metric_filter(query["filter"])
    grouped = query["aggregation"].get("groupByFields", ())
    names = [f"{match[1]}.{match[2]}" for name in grouped if (match := GROUP.fullmatch(name))]
    return [
        (point.at, frozenset((name, point.labels.get(name, "")) for name in names), point.value)
        for point in source.points[wanted.metric]
        if wanted.resource in {"", point.resource} and all(term.holds(point.labels) for term in wanted.terms)
    ]


def _reduced(values: list[float], aggregation: Mapping[str, Any]) -> float:
    reducer = aggregation["crossSeriesReducer"]
    if reducer == "REDUCE_SUM":
        rate = aggregation["perSeriesAligner"] == "ALIGN_RATE"
        return sum(values) / (seconds_of(aggregation["alignmentPeriod"]) if rate else 1)
    if reducer == "REDUCE_MEAN":
        return sum(values) / len(values)
    if reducer == "REDUCE_MAX":
        return max(values)
    if not reducer.startswith("REDUCE_PERCENTILE_"):
        raise UsageError(f"{reducer} cannot be drawn")
    rank = math.ceil(len(values) * int(reducer.rpartition("_")[2]) / 100)
    return sorted(values)[max(rank, 1) - 1]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """PromQL at one moment, in seconds since 1970."""

    source: PointSource
    at: float

    def vector(self, found: Expr) -> Vector:
        """A query's value; a plain number is one element without labels.

        Raises:
            UsageError: It cannot be computed from points.
        """
        value = self._value(found)
        vector = value if isinstance(value, dict) else {NO_LABELS: value}
        return {labels: number for labels, number in vector.items() if math.isfinite(number)}

    def _value(self, found: Expr) -> Vector | float:
        match found:
            case NumberLiteral(val=number):
                return number
            case promql_parser.ParenExpr(expr=inner):
                return self._value(inner)
            case promql_parser.UnaryExpr(expr=inner):
                return _combined("-", 0.0, self._value(inner))
            case promql_parser.AggregateExpr(op=op, modifier=modifier, expr=inner):
                return _aggregated(str(op), modifier.labels if modifier else [], self.vector(inner))
            case promql_parser.Call(func=function, args=arguments):
                return self._call(function.name, arguments)
            case promql_parser.BinaryExpr(op=op, lhs=left, rhs=right):
                return _combined(str(op), self._value(left), self._value(right))
        raise UsageError(f"{found.prettify()} needs an increase or a rate")

    def _call(self, function: str, arguments: list[Expr]) -> Vector | float:
        match function, arguments:
            case (("increase" | "rate"), [MatrixSelector() as series]):
                return self._increase(selector(series), per_second=function == "rate")
            case "histogram_quantile", [NumberLiteral(val=quantile), buckets]:
                return _quantiles(quantile, self.vector(buckets))
            case (("clamp_min" | "clamp_max"), [argument, NumberLiteral(val=bound)]):
                nearer = max if function == "clamp_min" else min
                return {labels: nearer(value, bound) for labels, value in self.vector(argument).items()}
            case "vector", [NumberLiteral(val=number)]:
                return {NO_LABELS: number}
        raise UsageError(f"{function} cannot be computed from a log")

    def _increase(self, wanted: Selector, *, per_second: bool) -> Vector:
        metric, suffix = self.source.catalog.by_prometheus_name[wanted.name]
        length = wanted.range or 0.0
        series: dict[Labels, list[float]] = {}
        for point in self.source.points[metric.type]:
            if self.at - length < point.at <= self.at:
                labels = {name.partition(".")[2]: value for name, value in point.labels.items()}
                labels["monitored_resource"] = point.resource
                if wanted.takes(labels):
                    series.setdefault(frozenset(labels.items()), []).append(point.value)
        bounds = self.source.bounds.get(metric.type, ())
        return {
            labels | extra: amount / (length if per_second else 1)
            for labels, values in series.items()
            for extra, amount in _amounts(values, suffix, bounds)
        }


def _amounts(values: list[float], suffix: str, bounds: Sequence[float]) -> list[tuple[Labels, float]]:
    """What points add to a metric's series, or to one of a distribution's three."""
    if suffix == "_count":
        return [(NO_LABELS, float(len(values)))]
    if suffix != "_bucket":
        return [(NO_LABELS, sum(values))]
    ordered = sorted(values)
    return [
        (frozenset({("le", repr(bound))}), float(bisect_right(ordered, bound)))
        for bound in (*bounds, math.inf)
    ]


def _aggregated(op: str, by: Sequence[str], vector: Vector) -> Vector:
    groups: dict[Labels, list[float]] = {}
    for labels, value in vector.items():
        groups.setdefault(frozenset(pair for pair in labels if pair[0] in by), []).append(value)
    return {key: _AGGREGATES[op](values) for key, values in groups.items()}


def _quantiles(quantile: float, buckets: Vector) -> Vector:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = float(dict(labels).get("le", "inf"))
        others = frozenset(pair for pair in labels if pair[0] != "le")
        series.setdefault(others, []).append((bound, count))
    return {key: _quantile(quantile, sorted(counts)) for key, counts in series.items()}


def _quantile(quantile: float, counts: list[tuple[float, float]]) -> float:
    """Within the bucket that holds it, as if the bucket's values lay evenly."""
    total = counts[-1][1]
    lower, below = 0.0, 0.0
    for bound, count in counts:
        if total and count >= quantile * total:
            if math.isinf(bound):
                return lower
            share = (quantile * total - below) / (count - below) if count > below else 1.0
            return lower + (bound - lower) * share
        lower, below = bound, count
    return math.nan


def _combined(op: str, left: Vector | float, right: Vector | float) -> Vector | float:
    if not isinstance(left, dict) and not isinstance(right, dict):
        if op in _ARITHMETIC:
            return _ARITHMETIC[op](left, right)
        raise UsageError(f"{op} between two numbers is not understood")
    if op in _ARITHMETIC or op in _COMPARISONS:
        return _matched(op, left, right)
    ours, theirs = (side if isinstance(side, dict) else {NO_LABELS: side} for side in (left, right))
    match op:
        case "and":
            return {labels: value for labels, value in ours.items() if labels in theirs}
        case "unless":
            return {labels: value for labels, value in ours.items() if labels not in theirs}
        case "or":
            return {**theirs, **ours}
    raise UsageError(f"{op} cannot be computed from a log")


def _matched(op: str, left: Vector | float, right: Vector | float) -> Vector:
    """Element by element; a comparison keeps the left values that pass."""
    keys = [*(left if isinstance(left, dict) else right if isinstance(right, dict) else ())]
    found: Vector = {}
    for labels in keys:
        one = left.get(labels, math.nan) if isinstance(left, dict) else left
        other = right.get(labels, math.nan) if isinstance(right, dict) else right
        if math.isnan(one) or math.isnan(other):
            continue
        if op in _ARITHMETIC:
            found[labels] = _ARITHMETIC[op](one, other)
        elif _COMPARISONS[op](one, other):
            found[labels] = one if isinstance(left, dict) else other
    return found
