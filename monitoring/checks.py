"""Finds the faults that Google's own schemas do not see: in the files, between them, and against the log, the runbook and the grid.

Each check yields a sentence for each fault. `monitoring.apply` refuses to start when there is one, and the tests want none. A module of its
own although only `monitoring.apply` imports it: it is pure, so a change of a file is checked without a project.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from monitoring import log_filter
from monitoring.files import Resource, Resources, user_metric
from monitoring.query import GROUP, LEGEND, Selector, groups, metric_filter, promql, seconds_of, selectors
from monitoring.vocabulary import RESOURCE_LABELS, Catalog, Metric, Points, event_fields, is_counted_field
from shared.errors import UsageError
from shared.events_log import Event

__all__ = ["LABEL_FIELDS", "LEVELS", "NEEDS_NO_ALERT", "anchors", "problems", "query_problems", "unalerted"]

LABEL_FIELDS = frozenset({"env", "event", "outcome", "verdict", "clean"})
"""Fields with few values. Every combination of labels is a series of its own, for ever; a name or a number cannot be a label."""

NEEDS_NO_ALERT: Mapping[str, str] = {
    "mirror_retry": "the event is delivered again, and the answer was a 503, which mirror-failing counts by the service's own metric",
    "mirror_conflict": "nothing is lost or changed; step 9 of the runbook looks at these lines every day, and `verify` shows the difference",
    "object_conflict": "as mirror_conflict; the run ends with 1, which backfill-task-failed counts",
    "object_erased": "a person asked for it; so many that a rule did it are verification_difference lines, and the run ends with 1",
    "object_failed": "the run ends with 1, which backfill-task-failed counts by the service's own metric",
    "object_kept": "the deletion ends with 1, which backfill-task-failed counts; its operator reads the names",
    "object_not_restored": "the undo ends with 1 in front of its operator",
    "deletion_refused": "the command ends with 1 or 2 in front of its operator; nothing was deleted",
    "check_passed_over": "the operator's own choice; gate.json or the manifest has it, and the state's history",
}
"""Events of WARNING or above without an alert, each with its reason (decision 23)."""

LEVELS: Mapping[str, int] = {event.event_name: event.value.level for event in Event}
"""The log's events with their severities."""

ALERT_PARTS = ("What happened.", "What it means.", "What to do.")
MAX_ALIGNMENT = 25 * 3_600
MIN_ALIGNMENT = 60
MIN_AUTO_CLOSE = 1_800

LIMITED = {"filter": 20_000, "name": 100, "description": 8_000}
"""Most characters (Cloud Logging quotas)."""

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

_NAME = re.compile(r"qpi_exports_[a-z0-9_]+")
_EXTRACT = re.compile(r"EXTRACT\(jsonPayload\.([a-z_]+)\)")


def problems(resources: Resources, runbook: str) -> list[str]:
    """Everything that is wrong with the files and the alerts' runbook, a sentence for each fault."""
    try:
        catalog = Catalog.of(resources.metrics)
    except UsageError as error:
        return [str(error)]
    found: list[str] = []
    for metric in resources.metrics:
        found += [f"metrics/{metric.stem}.yaml: {problem}" for problem in _metric_problems(metric)]
    found += [f"dashboard.yaml: {problem}" for problem in _dashboard_problems(resources.dashboard, catalog)]
    known = anchors(runbook)
    for alert in resources.alerts:
        problems_of_alert = _alert_problems(alert, catalog, known)
        found += [f"alerts/{alert.stem}.yaml: {problem}" for problem in problems_of_alert]
    headings = {anchor.removeprefix("alert-") for anchor in known if anchor.startswith("alert-")}
    for left in sorted(headings - {alert.stem for alert in resources.alerts}):
        found.append(f"the runbook has a heading for {left}, which no file in alerts/ defines")
    # Which events an alert names can be told only from filters that are right.
    return [*found, *_unused(resources)] or [*unalerted(resources)]


def anchors(markdown: str) -> set[str]:
    """The anchors of a Markdown text's headings, as GitHub makes them."""
    headings = re.findall(r"^#+\s+(.*?)\s*$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def unalerted(resources: Resources, levels: Mapping[str, int] = LEVELS) -> Iterator[str]:
    """Events of WARNING or above without an alert or a reason, reasons without such an event, and errors that are not counted."""
    alerted = {
        event
        for alert in resources.alerts
        for condition in alert.content.get("conditions", ())
        for event in _events_of(condition, resources)
    }
    grave = {event for event, level in levels.items() if level >= logging.WARNING}
    for event in sorted(grave - alerted - NEEDS_NO_ALERT.keys()):
        yield f"the event {event} has no alert; add one, or its reason to NEEDS_NO_ALERT"
    for event in sorted(NEEDS_NO_ALERT.keys() - (grave - alerted)):
        yield f"NEEDS_NO_ALERT has a reason for {event}, which has an alert or is not an event of WARNING or above"
    errors = {event for event, level in levels.items() if level >= logging.ERROR}
    for metric in resources.metrics:
        if metric.stem == "errors":
            for event in sorted(errors - _events_in(metric.content["filter"])):
                yield f"metrics/errors.yaml: the filter leaves out the event {event}"


def _events_of(condition: Mapping[str, Any], resources: Resources) -> set[str]:
    """The events whose lines alone can make a condition true; a query in PromQL compares counts and has none."""
    if "conditionMatchedLog" in condition:
        return _events_in(condition["conditionMatchedLog"]["filter"])
    if "conditionThreshold" not in condition:
        return set()
    wanted = metric_filter(condition["conditionThreshold"]["filter"])
    events = {
        event
        for metric in resources.metrics
        if user_metric(metric.content["name"]) == wanted.metric
        for event in _events_in(metric.content["filter"])
    }
    terms = [term for term in wanted.terms if (term.subject, term.label) == ("metric", "event")]
    return {event for event in events if all(term.holds({"metric.event": event}) for term in terms)}


def _events_in(text: str) -> set[str]:
    return log_filter.named(log_filter.comparisons(log_filter.parse(text)), "jsonPayload.event")


def _unused(resources: Resources) -> Iterator[str]:
    """Metrics that are counted and paid for, and that neither the dashboard nor an alert shows."""
    contents = [resources.dashboard.content, *(alert.content for alert in resources.alerts)]
    named = {name for content in contents for name in _NAME.findall(json.dumps(content))}
    for metric in resources.metrics:
        name = metric.content.get("name", "")
        if named.isdisjoint({name, f"{name}_sum", f"{name}_count", f"{name}_bucket"}):
            yield f"metrics/{metric.stem}.yaml: neither the dashboard nor an alert uses it"


def _metric_problems(metric: Resource) -> Iterator[str]:
    content = metric.content
    if content.get("name") != f"qpi_exports_{metric.stem}" or not _NAME.fullmatch(content["name"]):
        yield f"the name is {content.get('name')}, not qpi_exports_{metric.stem}"
    for key, most in LIMITED.items():
        if not 0 < len(content.get(key, "")) <= most:
            yield f"{key} must have 1 to {most} characters"
    yield from _log_filter_problems(content.get("filter", ""))
    yield from _extractor_problems(content)


def _extractor_problems(content: Mapping[str, Any]) -> Iterator[str]:
    events = _events_in(content["filter"])
    descriptor, extractors = content["metricDescriptor"], content.get("labelExtractors", {})
    declared = [label["key"] for label in descriptor.get("labels", ())]
    if sorted(declared) != sorted(extractors):
        yield f"labels {declared} and extractors {sorted(extractors)} are not the same"
    for label, extractor in extractors.items():
        match = _EXTRACT.fullmatch(extractor)
        if match is None:
            yield f"the extractor {extractor} is not understood"
            continue
        yield from _field_problems([match[1]], events)
        if match[1] not in LABEL_FIELDS:
            yield f"label {label}: {match[1]} has too many values for a label"
    distribution = descriptor["valueType"] == "DISTRIBUTION"
    if distribution != ("valueExtractor" in content) or distribution != ("bucketOptions" in content):
        yield "a distribution, and nothing else, has a value extractor and buckets"
    elif distribution:
        match = _EXTRACT.fullmatch(content["valueExtractor"])
        if match is None or not is_counted_field(match[1]):
            yield f"{content['valueExtractor']} gives no number"
            return
        missing = {event for event in events if match[1] not in event_fields().get(event, ())}
        if missing:
            yield f"{', '.join(sorted(missing))} has no field {match[1]}"


def _dashboard_problems(dashboard: Resource, catalog: Catalog) -> Iterator[str]:
    layout = dashboard.content["mosaicLayout"]
    yield from _layout_problems(layout)
    ids = [tile["widget"]["id"] for tile in layout["tiles"] if "id" in tile["widget"]]
    if len(ids) != len(set(ids)):
        yield "two widgets have the same id"
    for tile in layout["tiles"]:
        widget = tile["widget"]
        for problem in _widget_problems(widget, catalog):
            yield f"{widget.get('id') or widget.get('title')}: {problem}"


def _layout_problems(layout: Mapping[str, Any]) -> Iterator[str]:
    taken: set[tuple[int, int]] = set()
    groups: list[set[tuple[int, int]]] = []
    for number, tile in enumerate(layout["tiles"]):
        x, y, width, height = (int(tile.get(key, 0)) for key in ("xPos", "yPos", "width", "height"))
        name = tile["widget"].get("id") or tile["widget"].get("title") or f"tile {number}"
        if width < 1 or height < 1 or x < 0 or y < 0 or x + width > int(layout["columns"]):
            yield f"{name}: leaves the grid"
            continue
        cells = {(column, row) for column in range(x, x + width) for row in range(y, y + height)}
        torn = any(cells & group and not cells <= group for group in groups)
        if "collapsibleGroup" in tile["widget"]:
            # Its members are the tiles within its area, which follow it.
            torn = bool(cells & taken.union(*groups))
            groups.append(cells)
        elif not torn:
            torn = bool(cells & taken)
            taken |= cells
        if torn:
            yield f"{name}: lies on another tile"


def _widget_problems(widget: Mapping[str, Any], catalog: Catalog) -> Iterator[str]:
    if "logsPanel" in widget:
        yield from _log_filter_problems(widget["logsPanel"].get("filter", ""))
        if not widget["logsPanel"].get("resourceNames"):
            yield "the panel names no project"
    if "scorecard" in widget:
        card = widget["scorecard"]
        yield from query_problems(card["timeSeriesQuery"], catalog)
        for threshold in card.get("thresholds", ()):
            if "targetAxis" in threshold or not {"color", "direction"} <= threshold.keys():
                yield "a scorecard's threshold has a colour and a direction, and no axis"
    if "xyChart" in widget:
        chart = widget["xyChart"]
        for threshold in chart.get("thresholds", ()):
            if threshold.keys() & {"color", "direction"}:
                yield "a chart's threshold has neither colour nor direction"
        for one in chart["dataSets"]:
            yield from query_problems(one["timeSeriesQuery"], catalog)
            yield from _legend_problems(one)


def _legend_problems(data_set: Mapping[str, Any]) -> Iterator[str]:
    aggregation = data_set["timeSeriesQuery"].get("timeSeriesFilter", {}).get("aggregation", {})
    kept = {re.sub(r'labels?\.|"', "", name) for name in aggregation.get("groupByFields", [])}
    for subject, label in LEGEND.findall(data_set.get("legendTemplate", "")):
        if f"{subject}.{label}" not in kept:
            yield f"the legend names {subject} label {label}, by which nothing is grouped"


def _alert_problems(alert: Resource, catalog: Catalog, known: set[str]) -> Iterator[str]:
    """Whether the conditions can be true, and whether text and links help the person who is woken; `known` are the runbook's anchors."""
    content = alert.content
    yield from _documentation_problems(content.get("documentation", {}), f"alert-{alert.stem}", known)
    for key in ("displayName", "severity", "combiner", "conditions"):
        if not content.get(key):
            yield f"no {key}"
    if "notificationChannels" in content or "userLabels" in content:
        yield "channels and labels are put in when it is applied"
    if seconds_of(content.get("alertStrategy", {}).get("autoClose", "0s")) < MIN_AUTO_CLOSE:
        yield f"autoClose is at least {MIN_AUTO_CLOSE}s"
    for condition in content.get("conditions", ()):
        for problem in _condition_problems(condition, content, catalog):
            yield f"{condition.get('displayName')}: {problem}"


def _documentation_problems(documentation: Mapping[str, Any], anchor: str, known: set[str]) -> Iterator[str]:
    text = documentation.get("content", "")
    if anchor not in known:
        yield f"the runbook has no heading with the anchor #{anchor}"
    linked = [link["url"].partition("#")[2] for link in documentation.get("links", ())]
    if linked != [anchor] or f"#{anchor})" not in text:
        yield f"text and links must lead to #{anchor}"
    for part in ALERT_PARTS:
        if f"**{part}**" not in text:
            yield f"the documentation does not say {part!r}"


def _condition_problems(
    condition: Mapping[str, Any], alert: Mapping[str, Any], catalog: Catalog
) -> Iterator[str]:
    match condition:
        case {"conditionMatchedLog": matched}:
            wrong = [*_log_filter_problems(matched["filter"])]
            yield from wrong
            for extractor in () if wrong else matched.get("labelExtractors", {}).values():
                if "(jsonPayload." in extractor:
                    field = extractor.removeprefix("EXTRACT(jsonPayload.").removesuffix(")")
                    yield from _field_problems([field], _events_in(matched["filter"]))
            if len(alert["conditions"]) > 1 or "notificationRateLimit" not in alert.get("alertStrategy", {}):
                yield "a condition on log lines stands alone and has a notificationRateLimit"
        case {"conditionPrometheusQueryLanguage": query}:
            yield from query_problems({"prometheusQuery": query["query"]}, catalog)
            yield from _duration_problems(query.get("duration", "0s"))
            # The service says "can only have a single condition", and refuses a metric that has no data yet.
            if len(alert["conditions"]) > 1 or query.get("disableMetricValidation") is not True:
                yield "a condition in PromQL stands alone and has disableMetricValidation: true"
        case {"conditionThreshold": threshold}:
            (aggregation,) = threshold["aggregations"]
            query = {"timeSeriesFilter": {"filter": threshold["filter"], "aggregation": aggregation}}
            yield from query_problems(query, catalog, one_resource=True)
            yield from _duration_problems(threshold.get("duration", "0s"))
            if not MIN_ALIGNMENT <= seconds_of(aggregation["alignmentPeriod"]) <= MAX_ALIGNMENT:
                yield f"alignmentPeriod is {MIN_ALIGNMENT}s to {MAX_ALIGNMENT}s"
        case _:
            yield "this kind of condition is not checked; use one that is"


def _duration_problems(duration: str) -> Iterator[str]:
    if seconds_of(duration) % 60:
        yield f"duration {duration} is not a multiple of 60s"


# --- filters and queries ---------------------------------------------------------------------------------------------


def _log_filter_problems(text: str) -> Iterator[str]:
    """What is wrong with a log filter: whether it limits the logs that it reads, and what it names."""
    try:
        compared = [*log_filter.comparisons(log_filter.parse(text))]
    except UsageError as error:
        yield str(error)
        return
    events = log_filter.named(compared, "jsonPayload.event")
    for event in sorted(events - event_fields().keys()):
        yield f"no event is called {event}"
    names = {one.field for one in compared}
    yield from _field_problems(
        {name.removeprefix("jsonPayload.") for name in names if name.startswith("jsonPayload.")}, events
    )
    types = log_filter.named(compared, "resource.type")
    if not types:
        yield "the filter names no resource.type, and reads every log"
    labels = frozenset[str]().union(*(RESOURCE_LABELS.get(name, frozenset()) for name in types))
    for name in sorted(names):
        if name.startswith("resource.labels.") and name.rpartition(".")[2] not in labels:
            yield f"no resource in the filter has a label {name.rpartition('.')[2]}"


def _field_problems(fields: Iterable[str], events: set[str]) -> Iterator[str]:
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
