"""Both mirrors are watched: a failure of the mirror back wakes somebody, too."""

import json
from typing import Any

import pytest

from monitoring import log_filter
from monitoring.files import ProjectValues, load_files, user_metric
from monitoring.preview.entries import LogEntry
from monitoring.preview.queries import points
from monitoring.query import metric_filter

VALUES = ProjectValues.of("dev", "proj-1", "europe-west1", "https://example.com/runbook-alerts.md", tasks=4)
RESOURCES = load_files(VALUES.by_name())


def rung(event: str, service: str) -> list[str]:
    """The policies with a condition that a line of a function rings, by the condition's own filter."""
    entry = LogEntry(0.0, "ERROR", "", {"event": event}, "cloud_run_revision", {"service_name": service})
    return [
        alert.stem
        for alert in RESOURCES.alerts
        if any(holds(each, entry) for each in alert.content["conditions"])
    ]


def holds(condition: dict[str, Any], entry: LogEntry) -> bool:
    if "conditionMatchedLog" in condition:
        return log_filter.matches(log_filter.parse(condition["conditionMatchedLog"]["filter"]), entry.tree())
    if "conditionThreshold" not in condition:
        return False
    series = metric_filter(condition["conditionThreshold"]["filter"])
    metrics = [each for each in RESOURCES.metrics if user_metric(each.content["name"]) == series.metric]
    found = [point for some in points(metrics, [entry]).values() for point in some]
    return any(all(term.holds(point.labels) for term in series.terms) for point in found)


@pytest.mark.parametrize("service", ["qpi-exports-mirror-dev", "qpi-exports-reverse-dev"])
@pytest.mark.parametrize(
    ("event", "alert"),
    [
        ("mirror_dropped", "mirror-dropped-event"),
        ("mirror_straggler", "late-writer"),
        ("mirror_misconfigured", "mirror-misconfigured"),
    ],
)
def test_a_line_of_either_mirror_rings(service: str, event: str, alert: str) -> None:
    """An event given up, a late writer, a wrong configuration; each by the name that the deployment gives the function."""
    assert rung(event, service) == [alert]


def test_a_stranger_s_line_does_not() -> None:
    """Another service's line rings nothing."""
    assert rung("mirror_dropped", "somebody-else") == []


def test_either_mirror_s_refusals_are_counted_apart() -> None:
    """Five in a hundred of one are not thinned out by the other's."""
    (alert,) = [each for each in RESOURCES.alerts if each.stem == "mirror-failing"]
    query = alert.content["conditions"][0]["conditionPrometheusQueryLanguage"]["query"]
    assert query.count('service_name=~"qpi-exports-mirror-dev|qpi-exports-reverse-dev"') == 2
    assert query.count("sum by (service_name)") == 2


def test_the_dashboard_answers_the_same_questions_of_either_mirror() -> None:
    """Alive, how far behind, what waits, what was given up: each figure of one has its twin, which asks for the other service only."""
    mine, theirs = "qpi-exports-mirror-dev", "qpi-exports-reverse-dev"
    figures = {
        tile["widget"]["id"]: tile["widget"]["scorecard"]
        for tile in RESOURCES.dashboard.content["mosaicLayout"]["tiles"]
        if tile["widget"].get("id", "").startswith("mirror-") and "scorecard" in tile["widget"]
    }
    back = {name: card for name, card in figures.items() if name.startswith("mirror-back-")}
    forth = {name: card for name, card in figures.items() if name not in back}
    assert len(forth) == 4
    assert back == {
        name.replace("mirror-", "mirror-back-", 1): json.loads(json.dumps(card).replace(mine, theirs))
        for name, card in forth.items()
    }
    assert all(mine in json.dumps(card) for card in forth.values())


@pytest.mark.parametrize("location", ["europe-west1", "eu", "eur4"])
def test_an_event_that_waits_is_seen_wherever_the_trigger_lies(location: str) -> None:
    """A trigger lies where its bucket lies, and Eventarc names its subscription after both."""
    (alert,) = [each for each in RESOURCES.alerts if each.stem == "mirror-waiting"]
    tiles = RESOURCES.dashboard.content["mosaicLayout"]["tiles"]
    filters = {
        tile["widget"]["id"]: tile["widget"]["scorecard"]["timeSeriesQuery"]["timeSeriesFilter"]["filter"]
        for tile in tiles
        if tile["widget"].get("id", "").endswith("oldest-event")
    }
    waiting = {"alert": alert.content["conditions"][0]["conditionThreshold"]["filter"], **filters}
    for name, text in waiting.items():
        for service in ("qpi-exports-mirror-dev", "qpi-exports-reverse-dev"):
            labels = {"resource.subscription_id": f"eventarc-{location}-{service}-123456-sub-789"}
            (term,) = metric_filter(text).terms
            assert term.holds(labels) is (("back" in name) == ("reverse" in service)), (name, service)


@pytest.mark.parametrize("service", ["qpi-exports-mirror-dev", "qpi-exports-reverse-dev"])
def test_either_mirror_s_errors_are_among_the_last(service: str) -> None:
    """The dashboard's panel takes a line of both functions, and of no other."""
    (panel,) = [
        tile["widget"]["logsPanel"]["filter"]
        for tile in RESOURCES.dashboard.content["mosaicLayout"]["tiles"]
        if tile["widget"].get("id") == "last-errors"
    ]
    for name, taken in ((service, True), (f"{service}-2", False)):
        entry = LogEntry(0.0, "ERROR", "", {}, "cloud_run_revision", {"service_name": name})
        assert log_filter.matches(log_filter.parse(panel), entry.tree()) is taken
