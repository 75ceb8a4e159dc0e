"""Which alert policy of ``monitoring/`` a log line rings, by the policies' own filters; and which lines need none, and why."""

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from story_facts import LogLine

from monitoring import log_filter, metric_filter
from monitoring.files import Resource, Resources, load, user_metric
from monitoring.preview.entries import Entry
from monitoring.preview.points import points
from monitoring.values import Values

__all__ = ["GRAVE", "NEEDS_NO_ALERT", "needs_no_alert", "rings"]

GRAVE = frozenset(log_filter.SEVERITIES[log_filter.SEVERITIES.index("WARNING") :])

NEEDS_NO_ALERT: Mapping[str, str] = {
    "mirror_retry": "the event is delivered again, and the answer was a 503: mirror-failing counts those of the service itself",
    "mirror_conflict": "nothing is lost or changed; the runbook looks at these lines every day after the cutover (9), and `verify` shows the difference",
    "object_conflict": "as mirror_conflict; the run ends with 1, which backfill-task-failed counts",
    "object_failed": "the run ends with 1, which backfill-task-failed counts by the service's own metric",
    "object_kept": "the deletion ends with 1, which backfill-task-failed counts; its operator reads the names",
    "object_not_restored": "the undo ends with 1 in front of its operator",
    "deletion_refused": "the command ends with 1 or 2 in front of its operator; nothing was deleted",
    "check_passed_over": "what its operator chose; it stands in the state and in the manifest",
}
"""Events of WARNING and above without an alert of their own, each with its reason."""

_IN_FLIGHT = "in_flight"
"""A verification's names that were changed a moment ago: alert verification-difference leaves them out by its own filter."""


def needs_no_alert(line: Mapping[str, Any]) -> bool:
    """Whether a line stands in the list, or is below WARNING."""
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
    entry = Entry(0.0, severity, "", dict(payload), resource, labels)
    return tuple(alert.stem for alert in _resources().alerts if _is_rung(alert, entry))


def _is_rung(alert: Resource, entry: Entry) -> bool:
    return any(found for condition in alert.content["conditions"] for found in _holds(condition, entry))


def _holds(condition: Mapping[str, Any], entry: Entry) -> Iterator[bool]:
    if "conditionMatchedLog" in condition:
        wanted = log_filter.parse(condition["conditionMatchedLog"]["filter"])
        yield log_filter.matches(wanted, entry.tree())
    elif "conditionThreshold" in condition:
        wanted_series = metric_filter.parse(condition["conditionThreshold"]["filter"])
        metrics = [
            each for each in _resources().metrics if user_metric(each.content["name"]) == wanted_series.metric
        ]
        for found in points(metrics, [entry]).values():
            for point in found:
                fits = wanted_series.resource in {"", point.resource}
                yield fits and all(term.holds(point.labels) for term in wanted_series.terms)


@cache
def _values() -> Values:
    return Values.of("dev", "proj-1", "europe-west1", "https://example.com/runbook-alerts.md", tasks=4)


@cache
def _resources() -> Resources:
    return load(_values().by_name())
