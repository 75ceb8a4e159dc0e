"""Whether a chart's or an alert's query names metrics and labels that exist, and aligns values in a way they allow."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitoring import metric_filter, promql
from monitoring.catalog import GROUP, RESOURCE_LABELS, Catalog, Metric, Values
from monitoring.vocabulary import event_fields
from shared.errors import UsageError

__all__ = ["query_problems"]

ALIGNERS = {
    "ALIGN_DELTA": {Values.COUNT, Values.DISTRIBUTION},
    "ALIGN_RATE": {Values.COUNT},
    "ALIGN_SUM": {Values.COUNT, Values.GAUGE, Values.DISTRIBUTION},
    "ALIGN_MAX": {Values.GAUGE},
    "ALIGN_MIN": {Values.GAUGE},
    "ALIGN_MEAN": {Values.GAUGE},
    "ALIGN_PERCENTILE_50": {Values.DISTRIBUTION},
    "ALIGN_PERCENTILE_95": {Values.DISTRIBUTION},
    "ALIGN_PERCENTILE_99": {Values.DISTRIBUTION},
}
"""What an aligner can align (Monitoring API, Aggregation.Aligner)."""

REDUCERS = {
    "REDUCE_SUM": {Values.COUNT, Values.GAUGE},
    "REDUCE_MEAN": {Values.COUNT, Values.GAUGE, Values.DISTRIBUTION},
    "REDUCE_MAX": {Values.COUNT, Values.GAUGE},
    "REDUCE_PERCENTILE_50": {Values.COUNT, Values.GAUGE, Values.DISTRIBUTION},
    "REDUCE_PERCENTILE_95": {Values.COUNT, Values.GAUGE, Values.DISTRIBUTION},
    "REDUCE_PERCENTILE_99": {Values.COUNT, Values.GAUGE, Values.DISTRIBUTION},
}
"""What a reducer makes one number of. The sum of distributions is a distribution, which no line or figure can show."""

NOT_THE_METRIC_S = {"monitored_resource"}


def query_problems(
    query: Mapping[str, Any], catalog: Catalog, *, one_resource: bool = False
) -> Iterator[str]:
    """What is wrong with a query.

    Args:
        query: A ``timeSeriesQuery``.
        catalog: The metrics there are.
        one_resource: Whether the filter must say on which resource, as an alert's must.

    Yields:
        A sentence a fault.
    """
    try:
        if "prometheusQuery" in query:
            for selector in promql.selectors(promql.parse(query["prometheusQuery"])):
                yield from _selector_problems(selector, catalog)
            yield from _grouping_problems(query["prometheusQuery"], catalog)
        elif "timeSeriesFilter" in query:
            yield from _filter_problems(query["timeSeriesFilter"], catalog, one_resource=one_resource)
        else:
            yield "this kind of query is not checked; use one that is"
    except UsageError as error:
        yield str(error)


def _filter_problems(query: Mapping[str, Any], catalog: Catalog, *, one_resource: bool) -> Iterator[str]:
    wanted = metric_filter.parse(query["filter"])
    metric = catalog.metrics.get(wanted.metric)
    if metric is None:
        yield f"there is no metric {wanted.metric}"
        return
    if wanted.resource and wanted.resource not in metric.resources:
        yield f"{wanted.metric} is not written on {wanted.resource}"
    if one_resource and not wanted.resource:
        yield "the filter must name a resource.type"
    resources = {wanted.resource} if wanted.resource else metric.resources
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


def _alignment_problems(metric: Metric, aggregation: Mapping[str, Any]) -> Iterator[str]:
    aligner, reducer = aggregation.get("perSeriesAligner"), aggregation.get("crossSeriesReducer")
    if metric.values not in ALIGNERS.get(str(aligner), set()):
        yield f"{aligner} does not fit {metric.type}, which is {metric.values.value}"
        return
    aligned = Values.GAUGE if "PERCENTILE" in str(aligner) else metric.values
    if aligned not in REDUCERS.get(str(reducer), set()):
        yield f"{reducer} after {aligner} makes no number of {metric.type}"


def _label_problems(
    metric: Metric, resources: frozenset[str] | set[str], subject: str, label: str
) -> Iterator[str]:
    if subject == "metric":
        if label not in metric.labels:
            yield f"{metric.type} has no label {label}"
    elif not any(label in RESOURCE_LABELS[resource] for resource in resources):
        yield f"no resource of {metric.type} has a label {label}"


def _selector_problems(selector: promql.Selector, catalog: Catalog) -> Iterator[str]:
    found = catalog.by_prometheus_name.get(selector.name)
    if found is None:
        yield f"there is no metric {selector.name}"
        return
    metric, suffix = found
    labels = _prometheus_labels(metric, suffix)
    for matcher in selector.matchers:
        if matcher.label not in labels:
            yield f"{selector.name} has no label {matcher.label}"
        elif matcher.label == "monitored_resource" and matcher.value not in metric.resources:
            yield f"{selector.name} is not written on {matcher.value}"
    if selector.range is None and metric.values is not Values.GAUGE:
        yield f"{selector.name} counts; a query needs its increase or rate"


def _grouping_problems(text: str, catalog: Catalog) -> Iterator[str]:
    """Labels after ``by`` that none of the query's series has."""
    names = {selector.name for selector in promql.selectors(promql.parse(text))}
    labels = {
        label
        for name in names & catalog.by_prometheus_name.keys()
        for label in _prometheus_labels(*catalog.by_prometheus_name[name])
    }
    for group in re.findall(r"\bby\s*\(([^)]*)\)", text):
        for label in group.split(","):
            if label.strip() not in labels:
                yield f"no series of the query has a label {label.strip()}"


def _prometheus_labels(metric: Metric, suffix: str) -> frozenset[str]:
    labels = metric.labels | NOT_THE_METRIC_S
    labels = labels.union(*(RESOURCE_LABELS[resource] for resource in metric.resources))
    return labels | {"le"} if suffix == "_bucket" else labels
