"""Computes the dashboard's queries over points: a chart's lines at each step, and a figure's value. Pure.

In a project Cloud Monitoring keeps distributions in buckets and estimates percentiles from them. Here a filter takes percentiles from the
values themselves, and PromQL from the metric's own buckets. ``increase`` is the plain sum of a window, without extrapolation.

As in Prometheus, an operation on two vectors keeps the elements whose labels are the same on both sides. A number goes with every element.
A division by zero gives nothing: a chart can show neither infinity nor "not a number".

A module of its own although only `tiles` imports it: it computes numbers and knows nothing of their presentation.
"""

import math
import operator
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import promql_parser
from promql_parser import Expr, MatrixSelector, NumberLiteral

from monitoring.preview.points import Source
from monitoring.query import GROUP, Selector, metric_filter, promql, seconds, selector, selectors
from shared.errors import UsageError

__all__ = ["Evaluation", "Line", "Window", "is_local", "lines", "trailing"]

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
class Line:
    """One line of a chart.

    Attributes:
        labels: What it was grouped by: ``metric.x`` and ``resource.x``, or PromQL's names.
        values: One for each step; None where there is no value.
    """

    labels: Mapping[str, str]
    values: tuple[float | None, ...]


def is_local(query: Mapping[str, Any], source: Source) -> bool:
    """Whether every metric of a query comes from the log."""
    if "prometheusQuery" in query:
        names = [one.name for one in selectors(promql(query["prometheusQuery"]))]
        types = [source.catalog.by_prometheus_name[name][0].type for name in names]
    else:
        types = [metric_filter(_filter_of(query)["filter"]).metric]
    return all(name in source.points for name in types)


def lines(query: Mapping[str, Any], source: Source, window: Window) -> list[Line]:
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
    found = [Line(dict(key), tuple(vector.get(key) for vector in at_steps)) for key in keys]
    return sorted(found, key=lambda line: -sum(value or 0.0 for value in line.values))


def trailing(query: Mapping[str, Any], source: Source, window: Window) -> tuple[float | None, ...]:
    """A filter's figure at every step's end, over the alignment period before it; it must not be grouped."""
    found = _filter_of(query)
    wanted = _selected(found, source)
    period = seconds(found["aggregation"]["alignmentPeriod"])
    values = [[value for at, _, value in wanted if end - period < at <= end] for end in window.ends]
    return tuple(_reduced(one, found["aggregation"]) if one else None for one in values)


def _filter_of(query: Mapping[str, Any]) -> Mapping[str, Any]:
    found = query.get("timeSeriesFilter")
    if not isinstance(found, Mapping):
        raise UsageError("this kind of query cannot be drawn")
    return found


def _filtered(query: Mapping[str, Any], source: Source, window: Window) -> list[Vector]:
    steps: list[dict[Labels, list[float]]] = [{} for _ in range(window.steps)]
    for at, labels, value in _selected(query, source):
        # What happened at the very start belongs to the first step.
        number = 0 if at == window.start else math.ceil((at - window.start) / window.step) - 1
        if 0 <= number < window.steps:
            steps[number].setdefault(labels, []).append(value)
    how = query["aggregation"]
    return [{labels: _reduced(values, how) for labels, values in step.items()} for step in steps]


def _selected(query: Mapping[str, Any], source: Source) -> list[tuple[float, Labels, float]]:
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
    """All values of an alignment period as one number."""
    reducer = aggregation["crossSeriesReducer"]
    if reducer == "REDUCE_SUM":
        rate = aggregation["perSeriesAligner"] == "ALIGN_RATE"
        return sum(values) / (seconds(aggregation["alignmentPeriod"]) if rate else 1)
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

    source: Source
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
