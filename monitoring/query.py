"""Reads what a chart, a figure or an alert asks for: a Cloud Monitoring filter, or PromQL.

The filter language is read here: ``metric.type="…" AND resource.type="…" AND metric.label."outcome"="failed"``. ``AND`` may be left
out, a label may stand without quotes and after ``label`` or ``labels``. A value is a text, ``starts_with("…")`` or ``has_substring("…")``.

PromQL is read by promql-parser. What the checks and the preview do not understand is refused: vector matching, subqueries, offsets,
``without``, aggregations with a parameter. A metric has Cloud Monitoring's name: ``logging.googleapis.com/user/x`` is
``logging_googleapis_com:user_x``, and a distribution also has ``_sum``, ``_count`` and ``_bucket``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import promql_parser
from promql_parser import AggModifierType, Expr, MatchOp

from shared.errors import UsageError

__all__ = [
    "GROUP",
    "LEGEND",
    "MetricFilter",
    "Selector",
    "Term",
    "groups",
    "metric_filter",
    "promql",
    "seconds_of",
    "selector",
    "selectors",
]

GROUP = re.compile(r'(metric|resource)\.labels?\."?([a-z0-9_]+)"?')
"""A label that a filter's aggregation groups by: of the metric or the resource, and its name."""

LEGEND = re.compile(r"\$\{(metric|resource)\.labels\.([a-z_]+)\}")
"""A label in a legend."""

AGGREGATIONS = frozenset({"sum", "avg", "min", "max", "count"})

_TERM = re.compile(
    r"""\s*(?:AND\s+)?
    (?P<subject>metric|resource)\.(?:(?P<type>type)|labels?\.(?P<quote>"?)(?P<label>[a-z0-9_]+)(?P=quote))
    \s*(?P<op>!?=)\s*(?:(?P<function>starts_with|has_substring)\(\s*"(?P<argument>[^"]*)"\s*\)|"(?P<value>[^"]*)")""",
    re.VERBOSE,
)
_INTERVAL = "${__interval}"


@dataclass(frozen=True, slots=True)
class Term:
    """One condition on a label.

    Attributes:
        subject: ``metric`` or ``resource``.
        equal: False where the condition must not hold.
        function: How the label has the value where it is not all of it: ``starts_with`` or ``has_substring``; else empty.
    """

    subject: str
    label: str
    equal: bool
    value: str
    function: str = ""

    def holds(self, labels: Mapping[str, str]) -> bool:
        """Whether a series fulfils the term; `labels` are named ``metric.x`` and ``resource.x``, and a missing one is empty."""
        label = labels.get(f"{self.subject}.{self.label}", "")
        match self.function:
            case "starts_with":
                found = label.startswith(self.value)
            case "has_substring":
                found = self.value in label
            case _:
                found = label == self.value
        return found is self.equal


@dataclass(frozen=True, slots=True)
class MetricFilter:
    """The series that a filter selects.

    Attributes:
        resource: The monitored resource's type; empty when the filter does not name one.
    """

    metric: str
    resource: str
    terms: tuple[Term, ...]


@dataclass(frozen=True, slots=True)
class Selector:
    """The series that a PromQL selector means.

    Attributes:
        range: Seconds looked back; None for the latest value.
    """

    name: str
    matchers: tuple[promql_parser.Matcher, ...]
    range: float | None

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether a series fulfils all matchers; a missing label is empty, a regular expression matches the whole value."""
        return all(_holds(each, labels.get(each.name, "")) for each in self.matchers)


def metric_filter(text: str) -> MetricFilter:
    """Read a filter.

    Raises:
        UsageError: It names no metric, or is not in the part of the language that is understood.
    """
    types: dict[str, str] = {}
    terms: list[Term] = []
    at = 0
    while text[at:].strip():
        match = _TERM.match(text, at)
        if match is None:
            raise UsageError(f"the metric filter is not understood at {text[at:].strip()[:30]!r}: {text!r}")
        at = match.end()
        value = match["argument"] if match["function"] else match["value"]
        if not match["type"]:
            equal, function = match["op"] == "=", match["function"] or ""
            terms.append(Term(match["subject"], match["label"], equal, value, function))
        elif match["op"] != "=" or match["function"] or match["subject"] in types:
            raise UsageError(f"the metric filter must name one {match['subject']} type: {text!r}")
        else:
            types[match["subject"]] = value
    if "metric" not in types:
        raise UsageError(f"the metric filter names no metric.type: {text!r}")
    return MetricFilter(types["metric"], types.get("resource", ""), tuple(terms))


def promql(text: str, interval: float = 60.0) -> Expr:
    """Read a PromQL query, where ``${__interval}`` stands for `interval` seconds: a chart's step.

    Raises:
        UsageError: It is not PromQL, or not in the part that is understood.
    """
    try:
        found: Expr = promql_parser.parse(text.replace(_INTERVAL, f"{round(interval * 1_000)}ms"))
    except ValueError as error:
        raise UsageError(f"the query is not understood: {error}: {text!r}") from error
    for part in _parts(found):
        if not _is_understood(part):
            raise UsageError(f"the query is not understood at {part.prettify()!r}: {text!r}")
    return found


def selectors(found: Expr) -> Iterator[Selector]:
    """Every selector in a query."""
    for part in _parts(found):
        if isinstance(part, promql_parser.MatrixSelector | promql_parser.VectorSelector):
            yield selector(part)


def selector(found: promql_parser.VectorSelector | promql_parser.MatrixSelector) -> Selector:
    """One selector as a value."""
    if isinstance(found, promql_parser.MatrixSelector):
        inner = selector(found.vector_selector)
        return Selector(inner.name, inner.matchers, found.range.total_seconds())
    return Selector(found.name or "", tuple(found.matchers.matchers), None)


def groups(found: Expr) -> set[str]:
    """Every label that a query's aggregations group by."""
    modifiers = [part.modifier for part in _parts(found) if isinstance(part, promql_parser.AggregateExpr)]
    return {label for modifier in modifiers if modifier for label in modifier.labels}


def seconds_of(duration: str) -> float:
    """A duration in the API's JSON form, such as ``300s``."""
    return float(duration.removesuffix("s"))


def _parts(found: Expr) -> Iterator[Expr]:
    """A query and every expression within; the selector within a range belongs to the range."""
    yield found
    match found:
        case promql_parser.BinaryExpr(lhs=left, rhs=right):
            yield from (*_parts(left), *_parts(right))
        case promql_parser.Call(args=arguments):
            for argument in arguments:
                yield from _parts(argument)
        case promql_parser.AggregateExpr() | promql_parser.ParenExpr() | promql_parser.UnaryExpr():
            yield from _parts(found.expr)


def _is_understood(part: Expr) -> bool:
    match part:
        case promql_parser.MatrixSelector(vector_selector=inner):
            return _is_understood(inner)
        case promql_parser.VectorSelector(name=name, matchers=matchers, offset=offset, at=at):
            return bool(name) and not matchers.or_matchers and offset is None and at is None
        case promql_parser.AggregateExpr(op=op, param=param, modifier=modifier):
            by = modifier is None or modifier.type == AggModifierType.By
            return str(op) in AGGREGATIONS and param is None and by
        case promql_parser.BinaryExpr(modifier=modifier):
            return modifier is None or not (modifier.matching or modifier.return_bool)
    known = (
        promql_parser.Call,
        promql_parser.NumberLiteral,
        promql_parser.ParenExpr,
        promql_parser.UnaryExpr,
    )
    return isinstance(part, known)


def _holds(matcher: promql_parser.Matcher, value: str) -> bool:
    if matcher.op in (MatchOp.Equal, MatchOp.NotEqual):
        return (value == matcher.value) is (matcher.op == MatchOp.Equal)
    return (re.fullmatch(matcher.value, value) is not None) is (matcher.op == MatchOp.Re)
