"""The value of a PromQL query at a moment, over points. Pure.

As in Prometheus, an operation on two vectors keeps the elements whose labels are the same on both sides, and a number goes with
every element. Dividing by zero gives nothing here, where a chart could show neither infinity nor "not a number".
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from monitoring.catalog import Catalog
from monitoring.preview.points import Point
from monitoring.promql import INTERVAL, Aggregate, Binary, Call, Expression, Number, Selector
from shared.errors import UsageError

__all__ = ["Evaluation", "Labels", "Source", "Vector"]

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]

_ARITHMETIC: Mapping[str, Callable[[float, float], float]] = {
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": lambda left, right: left / right if right else math.nan,
}
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    ">": lambda left, right: left > right,
    "<": lambda left, right: left < right,
    ">=": lambda left, right: left >= right,
    "<=": lambda left, right: left <= right,
}
_AGGREGATES: Mapping[str, Callable[[list[float]], float]] = {
    "sum": sum,
    "avg": lambda values: sum(values) / len(values),
    "min": min,
    "max": max,
    "count": lambda values: float(len(values)),
}


@dataclass(frozen=True, slots=True)
class Source:
    """What is computed over.

    Attributes:
        points: By metric type, by time.
        catalog: The metrics.
        bounds: Upper bounds of the finite buckets, by type of distribution.
    """

    points: Mapping[str, Sequence[Point]]
    catalog: Catalog
    bounds: Mapping[str, Sequence[float]]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One moment.

    Attributes:
        source: The points.
        interval: Seconds of ``${__interval}``.
        at: Seconds since 1970.
    """

    source: Source
    interval: float
    at: float

    def vector(self, found: Expression) -> Vector:
        """A query's value; a plain number is one element without labels.

        Raises:
            UsageError: It cannot be computed from points.
        """
        value = self._value(found)
        vector = value if isinstance(value, dict) else {frozenset[tuple[str, str]](): value}
        return {labels: number for labels, number in vector.items() if math.isfinite(number)}

    def _value(self, found: Expression) -> Vector | float:
        match found:
            case Number(value):
                return value
            case Aggregate(op, by, argument):
                return self._aggregate(op, by, self.vector(argument))
            case Call(function, arguments):
                return self._call(function, arguments)
            case Binary(op, left, right):
                return _combined(op, self._value(left), self._value(right))
            case Selector():
                raise UsageError(f"{found.name} needs an increase or a rate")

    def _aggregate(self, op: str, by: tuple[str, ...], vector: Vector) -> Vector:
        groups: dict[Labels, list[float]] = {}
        for labels, value in vector.items():
            groups.setdefault(frozenset(pair for pair in labels if pair[0] in by), []).append(value)
        return {key: _AGGREGATES[op](values) for key, values in groups.items()}

    def _call(self, function: str, arguments: tuple[Expression, ...]) -> Vector | float:
        match function, arguments:
            case ("increase" | "rate", (Selector() as selector,)):
                return self._increase(selector, per_second=function == "rate")
            case "histogram_quantile", (Number(quantile), buckets):
                return _quantiles(quantile, self.vector(buckets))
            case "clamp_min", (argument, Number(least)):
                return {labels: max(value, least) for labels, value in self.vector(argument).items()}
            case "vector", (Number(value),):
                return {frozenset(): value}
        raise UsageError(f"{function} cannot be computed from a log")

    def _increase(self, selector: Selector, *, per_second: bool) -> Vector:
        metric, suffix = self.source.catalog.by_prometheus_name[selector.name]
        length = self.interval if selector.range == INTERVAL else selector.range or self.interval
        series: dict[Labels, list[float]] = {}
        for point in self.source.points[metric.type]:
            if self.at - length < point.at <= self.at:
                labels = {name.partition(".")[2]: value for name, value in point.labels.items()}
                labels["monitored_resource"] = point.resource
                if all(one.holds(labels.get(one.label, "")) for one in selector.matchers):
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
        return [(frozenset(), float(len(values)))]
    if suffix != "_bucket":
        return [(frozenset(), sum(values))]
    ordered = sorted(values)
    return [
        (frozenset({("le", repr(bound))}), float(bisect_right(ordered, bound)))
        for bound in (*bounds, math.inf)
    ]


def _quantiles(quantile: float, buckets: Vector) -> Vector:
    series: dict[Labels, list[tuple[float, float]]] = {}
    for labels, count in buckets.items():
        bound = dict(labels).get("le", "inf")
        series.setdefault(frozenset(pair for pair in labels if pair[0] != "le"), []).append(
            (float(bound), count)
        )
    return {key: _quantile(quantile, sorted(counts)) for key, counts in series.items()}


def _quantile(quantile: float, counts: list[tuple[float, float]]) -> float:
    """Within the bucket that holds it, as if its values lay evenly."""
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
    sides = [
        side if isinstance(side, dict) else {frozenset[tuple[str, str]](): side} for side in (left, right)
    ]
    match op:
        case "and":
            return {labels: value for labels, value in sides[0].items() if labels in sides[1]}
        case "unless":
            return {labels: value for labels, value in sides[0].items() if labels not in sides[1]}
        case _:
            return {**sides[1], **sides[0]}


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
