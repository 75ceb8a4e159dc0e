"""Whether an alert policy's conditions can be true, and whether its text and links help whoever is woken by it."""

from collections.abc import Iterator, Mapping
from typing import Any

from monitoring.catalog import Catalog
from monitoring.files import Resource
from monitoring.log_filter import comparisons, parse
from monitoring.log_filter_checks import field_problems, log_filter_problems
from monitoring.query_checks import query_problems
from monitoring.vocabulary import events_named

__all__ = ["alert_problems"]

MAX_ALIGNMENT = 25 * 3_600
MIN_AUTO_CLOSE = 1_800


def alert_problems(alert: Resource, catalog: Catalog, known: set[str]) -> Iterator[str]:
    """What is wrong with an alert policy, a sentence a fault; `known` are the runbook's anchors."""
    content = alert.content
    yield from _documentation_problems(content.get("documentation", {}), f"alert-{alert.stem}", known)
    for key in ("displayName", "severity", "combiner", "conditions"):
        if not content.get(key):
            yield f"no {key}"
    if "notificationChannels" in content or "userLabels" in content:
        yield "channels and labels are put in when it is applied"
    if _seconds(content.get("alertStrategy", {}).get("autoClose", "0s")) < MIN_AUTO_CLOSE:
        yield f"autoClose is at least {MIN_AUTO_CLOSE}s"
    for condition in content.get("conditions", ()):
        for problem in _condition_problems(condition, content, catalog):
            yield f"{condition.get('displayName')}: {problem}"


def _documentation_problems(documentation: Mapping[str, Any], anchor: str, known: set[str]) -> Iterator[str]:
    if anchor not in known:
        yield f"the runbook has no heading with the anchor #{anchor}"
    links = [link["url"] for link in documentation.get("links", ())]
    if [link.partition("#")[2] for link in links] != [anchor] or f"#{anchor})" not in documentation.get(
        "content", ""
    ):
        yield f"text and links must lead to #{anchor}"
    for part in ("What happened.", "What it means.", "What to do."):
        if f"**{part}**" not in documentation.get("content", ""):
            yield f"the documentation does not say {part!r}"


def _condition_problems(
    condition: Mapping[str, Any], alert: Mapping[str, Any], catalog: Catalog
) -> Iterator[str]:
    if "conditionMatchedLog" in condition:
        matched = condition["conditionMatchedLog"]
        yield from log_filter_problems(matched["filter"])
        for extractor in matched.get("labelExtractors", {}).values():
            field = extractor.removeprefix("EXTRACT(jsonPayload.").removesuffix(")")
            if field != extractor.removesuffix(")"):
                events = events_named(comparisons(parse(matched["filter"])))
                yield from field_problems([field], events)
        if len(alert["conditions"]) > 1 or "notificationRateLimit" not in alert.get("alertStrategy", {}):
            yield "a condition on log lines stands alone and has a notificationRateLimit"
    elif "conditionPrometheusQueryLanguage" in condition:
        query = condition["conditionPrometheusQueryLanguage"]
        yield from query_problems({"prometheusQuery": query["query"]}, catalog)
        yield from _duration_problems(query.get("duration", "0s"))
    elif "conditionThreshold" in condition:
        threshold = condition["conditionThreshold"]
        (aggregation,) = threshold["aggregations"]
        query = {"timeSeriesFilter": {"filter": threshold["filter"], "aggregation": aggregation}}
        yield from query_problems(query, catalog, one_resource=True)
        yield from _duration_problems(threshold.get("duration", "0s"))
        if not 60 <= _seconds(aggregation["alignmentPeriod"]) <= MAX_ALIGNMENT:  # noqa: PLR2004 -- a minute
            yield f"alignmentPeriod is 60s to {MAX_ALIGNMENT}s"
    else:
        yield "this kind of condition is not checked; use one that is"


def _duration_problems(duration: str) -> Iterator[str]:
    if _seconds(duration) % 60:
        yield f"duration {duration} is no multiple of 60s"


def _seconds(duration: str) -> float:
    return float(duration.removesuffix("s"))
