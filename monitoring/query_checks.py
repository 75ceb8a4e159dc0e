"""Whether a log filter or a query names events, fields, metrics and labels that exist, and aligns values in a way that they allow.

A module of its own although only `checks` imports it: what a query may say is another question than what a file must hold.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from monitoring import log_filter
from monitoring.query import GROUP, Selector, groups, metric_filter, promql, selectors
from monitoring.vocabulary import RESOURCE_LABELS, Catalog, Metric, Points, event_fields, events_named
from shared.errors import UsageError

__all__ = ["field_problems", "log_filter_problems", "query_problems"]

ALIGNERS = {
    "ALIGN_DELTA": {Points.COUNT, Points.DISTRIBUTION},
    "ALIGN_RATE": {Points.COUNT},
    "ALIGN_SUM": {Points.COUNT, Points.GAUGE, Points.DISTRIBUTION},
    "ALIGN_MAX": {Points.GAUGE},
    "ALIGN_MIN": {Points.GAUGE},
    "ALIGN_MEAN": {Points.GAUGE},
    "ALIGN_PERCENTILE_50": {Points.DISTRIBUTION},
    "ALIGN_PERCENTILE_95": {Points.DISTRIBUTION},
    "ALIGN_PERCENTILE_99": {Points.DISTRIBUTION},
}
"""What an aligner can align (Monitoring API, Aggregation.Aligner)."""

REDUCERS = {
    "REDUCE_SUM": {Points.COUNT, Points.GAUGE},
    "REDUCE_MAX": {Points.COUNT, Points.GAUGE},
    "REDUCE_MEAN": {*Points},
    "REDUCE_PERCENTILE_50": {*Points},
    "REDUCE_PERCENTILE_95": {*Points},
    "REDUCE_PERCENTILE_99": {*Points},
}
"""What a reducer turns into one number. The sum of distributions is a distribution, which a line or a figure cannot show."""

MONITORED_RESOURCE = "monitored_resource"
"""The label that every series has in PromQL: its resource's type."""


def log_filter_problems(text: str) -> Iterator[str]:
    """What is wrong with a log filter: whether it limits the logs that it reads, and what it names."""
    try:
        compared = [*log_filter.comparisons(log_filter.parse(text))]
    except UsageError as error:
        yield str(error)
        return
    events = events_named(compared)
    for event in sorted(events - event_fields().keys()):
        yield f"no event is called {event}"
    names = {one.field for one in compared}
    yield from field_problems(
        {name.removeprefix("jsonPayload.") for name in names if name.startswith("jsonPayload.")}, events
    )
    types = {value for one in compared if one.field == "resource.type" for value in one.values}
    if not types:
        yield "the filter names no resource.type, and reads every log"
    labels = frozenset[str]().union(*(RESOURCE_LABELS.get(name, frozenset()) for name in types))
    for name in sorted(names):
        if name.startswith("resource.labels.") and name.rpartition(".")[2] not in labels:
            yield f"no resource in the filter has a label {name.rpartition('.')[2]}"


def field_problems(fields: Iterable[str], events: set[str]) -> Iterator[str]:
    """Fields that none of the events has; without events, none of all events."""
    known = event_fields()
    for name in sorted({*fields} - {"event"}):
        if not any(name in known.get(event, ()) for event in events or known):
            yield f"no event that is meant has a field {name}"


def query_problems(
    query: Mapping[str, Any], catalog: Catalog, *, one_resource: bool = False
) -> Iterator[str]:
    """What is wrong with a ``timeSeriesQuery``, a sentence for each fault; an alert's filter must name one resource."""
    try:
        if "prometheusQuery" in query:
            yield from _promql_problems(query["prometheusQuery"], catalog)
        elif "timeSeriesFilter" in query:
            yield from _filter_problems(query["timeSeriesFilter"], catalog, one_resource=one_resource)
        else:
            yield "this kind of query is not checked; use one that is"
    except UsageError as error:
        yield str(error)


def _filter_problems(query: Mapping[str, Any], catalog: Catalog, *, one_resource: bool) -> Iterator[str]:
    wanted = metric_filter(query["filter"])
    metric = catalog.metrics.get(wanted.metric)
    if metric is None:
        yield f"there is no metric {wanted.metric}"
        return
    if wanted.resource and wanted.resource not in metric.resources:
        yield f"{wanted.metric} is not written on {wanted.resource}"
    if one_resource and not wanted.resource:
        yield "the filter must name a resource.type"
    resources = {wanted.resource} & metric.resources or metric.resources
    for term in wanted.terms:
        yield from _label_problems(metric, resources, term.subject, term.label)
        if (term.subject, term.label) == ("metric", "event") and term.value not in event_fields():
            yield f"no event is called {term.value}"
    aggregation = query.get("aggregation", {})
    for group in aggregation.get("groupByFields", ()):
        match = GROUP.fullmatch(group)
        if match is None:
            yield f"the group {group} is not understood"
        else:
            yield from _label_problems(metric, resources, match[1], match[2])
    yield from _alignment_problems(metric, aggregation)


def _label_problems(metric: Metric, resources: Iterable[str], subject: str, label: str) -> Iterator[str]:
    if subject == "metric":
        if label not in metric.labels:
            yield f"{metric.type} has no label {label}"
    elif not any(label in RESOURCE_LABELS[resource] for resource in resources):
        yield f"no resource of {metric.type} has a label {label}"


def _alignment_problems(metric: Metric, aggregation: Mapping[str, Any]) -> Iterator[str]:
    aligner, reducer = aggregation.get("perSeriesAligner"), aggregation.get("crossSeriesReducer")
    if metric.points not in ALIGNERS.get(str(aligner), set()):
        yield f"{aligner} does not fit {metric.type}, which is {metric.points.value}"
        return
    aligned = Points.GAUGE if "PERCENTILE" in str(aligner) else metric.points
    if aligned not in REDUCERS.get(str(reducer), set()):
        yield f"{reducer} after {aligner} makes no number of {metric.type}"


def _promql_problems(text: str, catalog: Catalog) -> Iterator[str]:
    query = promql(text)
    labels: set[str] = set()
    for selector in selectors(query):
        found = catalog.by_prometheus_name.get(selector.name)
        if found is None:
            yield f"there is no metric {selector.name}"
        else:
            own = _prometheus_labels(*found)
            labels |= own
            yield from _selector_problems(selector, found[0], own)
    for label in sorted(groups(query) - labels):
        yield f"no series of the query has a label {label}"


def _selector_problems(selector: Selector, metric: Metric, labels: frozenset[str]) -> Iterator[str]:
    for matcher in selector.matchers:
        if matcher.name not in labels:
            yield f"{selector.name} has no label {matcher.name}"
        elif matcher.name == MONITORED_RESOURCE and matcher.value not in metric.resources:
            yield f"{selector.name} is not written on {matcher.value}"
    if selector.range is None and metric.points is not Points.GAUGE:
        yield f"{selector.name} counts; a query needs its increase or rate"


def _prometheus_labels(metric: Metric, suffix: str) -> frozenset[str]:
    resources = (RESOURCE_LABELS[resource] for resource in metric.resources)
    labels = metric.labels.union({MONITORED_RESOURCE}, *resources)
    return labels | {"le"} if suffix == "_bucket" else labels
