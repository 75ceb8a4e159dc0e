"""Which alert policy of ``monitoring/`` a log line rings, by the policies' own filters, and which lines need none."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from story_facts import LogLine

from monitoring import log_filter
from monitoring.checks import NEEDS_NO_ALERT
from monitoring.files import ProjectValues, Resource, Resources, load_files, user_metric
from monitoring.preview.entries import LogEntry
from monitoring.preview.queries import points
from monitoring.query import metric_filter

__all__ = ["GRAVE", "needs_no_alert", "rings"]

GRAVE = frozenset(log_filter.SEVERITIES[log_filter.SEVERITIES.index("WARNING") :])

_IN_FLIGHT = "in_flight"
"""A verification's names that were changed a moment ago: alert verification-difference leaves them out by its own filter."""


def needs_no_alert(line: Mapping[str, Any]) -> bool:
    """Whether `monitoring.checks` has a reason for its event, or it is below WARNING."""
    if line.get("severity") not in GRAVE:
        return True
    if line.get("event") == "verification_difference" and line.get("verdict") == _IN_FLIGHT:
        return True
    return line.get("event") in NEEDS_NO_ALERT


def rings(line: LogLine) -> tuple[str, ...]:
    """The alert policies that a line rings.

    Args:
        line: A line of the vocabulary.
    """
    content = line.content or {}
    payload = tuple((name, str(content[name])) for name in ("event", "verdict", "env") if content.get(name))
    return _rings(line.resource, line.source == "reverse", str(content.get("severity")), payload)


@cache
def _rings(resource: str, back: bool, severity: str, payload: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    values = _values()
    labels = (
        {"job_name": f"{values.jobs}backfill"}
        if resource == "cloud_run_job"
        else {"service_name": values.reverse_service if back else values.mirror_service}
    )
    entry = LogEntry(0.0, severity, "", dict(payload), resource, labels)
    return tuple(alert.stem for alert in _resources().alerts if _is_rung(alert, entry))


def _is_rung(alert: Resource, entry: LogEntry) -> bool:
    return any(found for condition in alert.content["conditions"] for found in _holds(condition, entry))


def _holds(condition: Mapping[str, Any], entry: LogEntry) -> Iterator[bool]:
    if "conditionMatchedLog" in condition:
        wanted = log_filter.parse(condition["conditionMatchedLog"]["filter"])
        yield log_filter.matches(wanted, entry.tree())
    elif "conditionThreshold" in condition:
        wanted_series = metric_filter(condition["conditionThreshold"]["filter"])
        metrics = [
            each for each in _resources().metrics if user_metric(each.content["name"]) == wanted_series.metric
        ]
        for found in points(metrics, [entry]).values():
            for point in found:
                fits = wanted_series.resource in {"", point.resource}
                yield fits and all(term.holds(point.labels) for term in wanted_series.terms)


@cache
def _values() -> ProjectValues:
    return ProjectValues.of("dev", "proj-1", "europe-west1", "https://example.com/runbook-alerts.md", tasks=4)


@cache
def _resources() -> Resources:
    return load_files(_values().by_name())
