"""What Google's own schemas do not see: whether the files fit the log's vocabulary, each other, the runbook and the grid.

Each check gives sentences, one a fault; nothing found is an empty list. The tests ask for that, and `monitoring.apply` before it
changes anything.
"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from monitoring import log_filter
from monitoring.alert_checks import alert_problems
from monitoring.catalog import Catalog
from monitoring.dashboard_checks import dashboard_problems
from monitoring.files import Resource, Resources
from monitoring.log_filter_checks import field_problems, log_filter_problems
from monitoring.vocabulary import event_fields, events_named, is_number
from shared.errors import UsageError

__all__ = ["LABEL_FIELDS", "anchors", "problems"]

LABEL_FIELDS = frozenset({"env", "event", "outcome", "verdict", "clean"})
"""Fields with few values. Every combination of labels is a series of its own, for ever: names and numbers are none."""

LIMITED = {"filter": 20_000, "name": 100, "description": 8_000}
"""Characters, at most (Cloud Logging quotas)."""

_NAME = re.compile(r"qpi_exports_[a-z0-9_]+")
_EXTRACT = re.compile(r"EXTRACT\(jsonPayload\.([a-z_]+)\)")


def problems(resources: Resources, runbook: str) -> list[str]:
    """Everything that is wrong with the files.

    Args:
        resources: The files, with values in place.
        runbook: The runbook's Markdown.

    Returns:
        A sentence a fault.
    """
    try:
        catalog = Catalog.of(resources.metrics)
    except UsageError as error:
        return [str(error)]
    found = [
        f"metrics/{metric.stem}.yaml: {problem}"
        for metric in resources.metrics
        for problem in _metric_problems(metric)
    ]
    found += [f"dashboard.yaml: {problem}" for problem in dashboard_problems(resources.dashboard, catalog)]
    known = anchors(runbook)
    for alert in resources.alerts:
        found += [f"alerts/{alert.stem}.yaml: {problem}" for problem in alert_problems(alert, catalog, known)]
    return [*found, *_unused(resources)]


def anchors(markdown: str) -> set[str]:
    """The anchors of a Markdown text's headings, as GitHub makes them."""
    headings = re.findall(r"^#+\s+(.*?)\s*$", markdown, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _unused(resources: Resources) -> Iterator[str]:
    """Metrics that are counted and paid for, and that nobody looks at."""
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
    yield from log_filter_problems(content.get("filter", ""))
    yield from _extractor_problems(content)


def _extractor_problems(content: Mapping[str, Any]) -> Iterator[str]:
    events = events_named(log_filter.comparisons(log_filter.parse(content["filter"])))
    descriptor, extractors = content["metricDescriptor"], content.get("labelExtractors", {})
    declared = [label["key"] for label in descriptor.get("labels", ())]
    if sorted(declared) != sorted(extractors):
        yield f"labels {declared} and extractors {sorted(extractors)} are not the same"
    for label, extractor in extractors.items():
        match = _EXTRACT.fullmatch(extractor)
        if match is None:
            yield f"the extractor {extractor} is not understood"
            continue
        yield from field_problems([match[1]], events)
        if match[1] not in LABEL_FIELDS:
            yield f"label {label}: {match[1]} has too many values for a label"
    distribution = descriptor["valueType"] == "DISTRIBUTION"
    if distribution != ("valueExtractor" in content) or distribution != ("bucketOptions" in content):
        yield "a distribution, and nothing else, has a value extractor and buckets"
        return
    if distribution:
        match = _EXTRACT.fullmatch(content["valueExtractor"])
        if match is None or not is_number(match[1]):
            yield f"{content['valueExtractor']} gives no number"
            return
        missing = {event for event in events if match[1] not in event_fields()[event]}
        if missing:
            yield f"{', '.join(sorted(missing))} has no field {match[1]}"
