"""The files: valid for Google's own schemas, and every damage that those do not see is found by the checks."""

import json
import logging
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from monitoring import checks
from monitoring.checks import LABEL_FIELDS, LEVELS, NEEDS_NO_ALERT, anchors, problems, unalerted
from monitoring.files import ProjectValues, Resources, load_files
from monitoring.vocabulary import event_fields
from shared.errors import UsageError
from shared.events_log import FIELD_TYPES
from shared.migration import Environment

ROOT = Path(__file__).parents[2]
RUNBOOK = (ROOT / "docs" / "runbook-alerts.md").read_text(encoding="utf-8")
VALUES = ProjectValues.of(
    "dev", "proj-1", "europe-west1", "https://example.com/runbook-alerts.md", tasks=4
).by_name()
DISCOVERED = {
    "metrics": ("logging.v2", "LogMetric"),
    "alerts": ("monitoring.v3", "AlertPolicy"),
    "dashboard": ("monitoring.v1", "Dashboard"),
}
"""The services' published schemas, as Google's discovery client carries them."""


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """A copy of the files that may be damaged."""
    for name in ("metrics", "alerts"):
        shutil.copytree(ROOT / "monitoring" / name, tmp_path / name)
    shutil.copy(ROOT / "monitoring" / "dashboard.yaml", tmp_path)
    return tmp_path


def replaced(folder: Path, file: str, old: str, new: str) -> None:
    text = (folder / file).read_text(encoding="utf-8")
    assert old in text, f"{file} no longer has {old!r}; renew this test"
    (folder / file).write_text(text.replace(old, new, 1), encoding="utf-8")


def by_kind(resources: Resources) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for metric in resources.metrics:
        yield "metrics", metric.stem, metric.content
    for alert in resources.alerts:
        yield "alerts", alert.stem, alert.content
    yield "dashboard", "dashboard", resources.dashboard.content


@pytest.mark.parametrize("environment", list(Environment))
def test_the_files_are_right_in_every_environment(environment: Environment) -> None:
    """Events, fields, metrics, labels, tiles, aligners and runbook links: nothing to complain of."""
    values = ProjectValues.of(environment.value, "proj-1", "europe-west1", "https://example.com/r.md")
    assert problems(load_files(values.by_name()), RUNBOOK) == []


@pytest.mark.parametrize("kind", DISCOVERED)
def test_the_files_are_what_the_services_publish(kind: str, tmp_path: Path) -> None:
    """Validated by check-jsonschema against the discovery documents, where a key that they do not have is an error."""
    api, name = DISCOVERED[kind]
    document = files("googleapiclient.discovery_cache.documents").joinpath(f"{api}.json")
    schemas = json.loads(document.read_text(encoding="utf-8"))["schemas"]
    schema = {
        "$ref": f"#/definitions/{name}",
        "definitions": {key: strict(one) for key, one in schemas.items()},
    }
    (tmp_path / "schema.json").write_text(json.dumps(schema), encoding="utf-8")
    for one, stem, content in by_kind(load_files(VALUES)):
        if one == kind:
            (tmp_path / f"{stem}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    instances = sorted(map(str, tmp_path.glob("*.yaml")))

    def validated() -> subprocess.CompletedProcess[str]:
        command = [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--schemafile",
            str(tmp_path / "schema.json"),
            *instances,
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    assert validated().returncode == 0, validated().stdout
    Path(instances[0]).write_text(
        Path(instances[0]).read_text(encoding="utf-8") + "\nmispelt: 1\n", encoding="utf-8"
    )
    assert "mispelt" in validated().stdout


def strict(schema: Any) -> Any:
    """A discovery schema as JSON Schema: its references, and no keys but those it names."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    # Formats are Google's own, and "any" is not a type.
    found = {key: strict(one) for key, one in schema.items() if key not in {"format", "id", "properties"}}
    if isinstance(found.get("$ref"), str):
        found["$ref"] = f"#/definitions/{found['$ref']}"
    if found.get("type") == "any":
        del found["type"]
    if "properties" in schema:
        found["properties"] = {key: strict(one) for key, one in schema["properties"].items()}
        found["additionalProperties"] = False
    return found


UNREADABLE = [
    ("metrics/errors.yaml", "filter: >-", "filtre: >-", "filtre"),
    ("metrics/errors.yaml", "valueType: INT64", "valueType: INTEGER", "INTEGER"),
    ("metrics/errors.yaml", "name: qpi", "name: a\nname: qpi", "stands twice"),
    ("metrics/errors.yaml", "name: qpi", "name: [qpi", "cannot be read"),
    ("dashboard.yaml", "  columns: 48", "  columns: 48\n  columns: 24", "columns stands twice"),
    ("alerts/mirror-waiting.yaml", "thresholdValue: 300", "treshold: 300", "treshold"),
    ("alerts/mirror-waiting.yaml", "COMPARISON_GT", "COMPARISON_MORE", "COMPARISON_MORE"),
    ("alerts/mirror-lagging.yaml", "autoClose: 86400s", "autoClose: 1d", "1d"),
    ("alerts/mirror-waiting.yaml", "${MIRROR_SERVICE}", "${MIROR_SERVICE}", "MIROR_SERVICE"),
    ("alerts/deletion-outside-manifest.yaml", "${DELETION_ACCOUNT}", "me", "no file uses DELETION_ACCOUNT"),
    ("dashboard.yaml", "thresholds:", "tresholds:", "tresholds"),
    ("dashboard.yaml", "displayName", "- displayName", "cannot be read"),
]


@pytest.mark.parametrize(("file", "old", "new", "told"), UNREADABLE)
def test_what_the_services_would_refuse_or_ignore_is_refused(
    damaged: Path, file: str, old: str, new: str, told: str
) -> None:
    """A misspelt key, which gcloud ignores, as well as a wrong value, a lost key, a name without value and one unused."""
    replaced(damaged, file, old, new)
    with pytest.raises(UsageError, match=re.escape(told)) as refusal:
        load_files(VALUES, damaged)
    assert "\n" not in str(refusal.value)


def test_a_file_in_another_encoding_is_refused(damaged: Path) -> None:
    """As a file that is not YAML, in one line."""
    (damaged / "dashboard.yaml").write_bytes("displayName: Übersicht".encode("latin-1"))
    with pytest.raises(UsageError, match=r"^dashboard\.yaml cannot be read: .*can't decode byte"):
        load_files(VALUES, damaged)


FAILED = (
    'sum(increase(logging_googleapis_com:user_qpi_exports_objects_failed_sum{env="${ENV}"}[${__interval}]))'
)

SECOND = (
    (ROOT / "monitoring/alerts/mirror-waiting.yaml").read_text(encoding="utf-8").partition("conditions:\n")[2]
)

WRONG = [
    # Metrics: names, filters, fields, labels, values.
    ("metrics/errors.yaml", "qpi_exports_errors", "qpi_exports_eror", "the name is qpi_exports_eror"),
    ("metrics/errors.yaml", '"ledger_broken"', '"ledger_brocken"', "no event is called ledger_brocken"),
    ("metrics/errors.yaml", "severity>=ERROR", "severity>=BAD", "not understood"),
    ("metrics/errors.yaml", "severity>=ERROR", "severity>=ERROR)", "not understood"),
    ("metrics/errors.yaml", "jsonPayload.event)", "jsonPayload.object)", "too many values for a label"),
    ("metrics/errors.yaml", "event: EXTRACT", "other: EXTRACT", "are not the same"),
    ("metrics/errors.yaml", "INT64", "DISTRIBUTION", "a distribution, and nothing else"),
    ("metrics/errors.yaml", "DELTA", "GAUGE", "cannot be GAUGE INT64"),
    ("metrics/ledger_breaks.yaml", 'resource.type="cloud_run_job"', 'jsonPayload.env="x"', "names no resource.type"),
    ("metrics/mirror_lag_seconds.yaml", "jsonPayload.lag_s>=0", "jsonPayload.lags>=0", "has a field lags"),
    ("metrics/mirror_lag_seconds.yaml", "EXTRACT(jsonPayload.lag_s)", "EXTRACT(jsonPayload.because)", "gives no number"),
    ("metrics/mirror_lag_seconds.yaml", "EXTRACT(jsonPayload.lag_s)", "EXTRACT(jsonPayload.age_s)", "no field age_s"),
    ("metrics/objects_copied.yaml", '"run_finished"', '("run_finished" OR "mirrored")', "mirrored has no field copied"),
    ("metrics/verifications.yaml", "EXTRACT(jsonPayload.clean)", "EXTRACT(jsonPayload.outcome)", "has a field outcome"),
    ("metrics/errors.yaml", "EXTRACT(jsonPayload.event)", "EXTRACT(resource.type)", "the extractor EXTRACT(resource.type) is not understood"),
    ("metrics/errors.yaml", "severity>=ERROR", "severity>=ERROR\n  resource.labels.pod=x", "no resource in the filter has a label pod"),
    ("metrics/errors.yaml", "description: >-\n", "description: ''\nfilter_: >-\n".replace("filter_", "valueExtractor"), "description must have 1 to 8000 characters"),
    ("metrics/errors.yaml", "severity>=ERROR", f"severity>=ERROR\n  jsonPayload.event!={'x' * 20_000}", "filter must have 1 to 20000 characters"),
    ("metrics/mirror_lag_seconds.yaml", "bucketOptions:\n  exponentialBuckets:\n    numFiniteBuckets: 40\n    growthFactor: 1.5\n    scale: 0.05\n", "", "a distribution, and nothing else"),
    # The dashboard: the grid, queries, labels, aligners.
    ("dashboard.yaml", "xPos: 36", "xPos: 37", "leaves the grid"),
    ("dashboard.yaml", "xPos: 36", "xPos: 35", "lies on another tile"),
    ("dashboard.yaml", "yPos: 44\n    width: 48", "yPos: 43\n    width: 48", "lies on another tile"),
    ("dashboard.yaml", "height: 9\n    widget:\n      title: 'Reverse", "height: 8\n    widget:\n      title: 'Reverse", "mirror-back-events-now: lies on another tile"),
    ("dashboard.yaml", "height: 9", "height: 0", "leaves the grid"),
    ("dashboard.yaml", "user_qpi_exports_bytes_copied_sum", "user_qpi_exports_objects_copied_sum", "metrics/bytes_copied.yaml: neither"),
    ("dashboard.yaml", "id: mirror-lag-now", "id: mirror-dropped", "the same id"),
    ("dashboard.yaml", "user/qpi_exports_mirror_events", "user/qpi_exports_mirror_event", "qpi_exports_mirror_event"),
    ("dashboard.yaml", 'metric.label."event"!=', 'metric.label."events"!=', "has no label events"),
    ("dashboard.yaml", '!="mirror_retry"', '!="mirror_retries"', "no event is called mirror_retries"),
    ("dashboard.yaml", 'resource.label."service_name"', 'resource.label."job_name"', "has a label job_name"),
    ("dashboard.yaml", "ALIGN_DELTA", "ALIGN_MEAN", "ALIGN_MEAN does not fit"),
    ("dashboard.yaml", "ALIGN_MAX", "ALIGN_DELTA", "dashboard.yaml: mirror-oldest-event: ALIGN_DELTA does not fit"),
    ("dashboard.yaml", "REDUCE_PERCENTILE_95", "REDUCE_SUM", "makes no number"),
    ("dashboard.yaml", '- metric.label."outcome"', '- metric.label."outcomes"', "has no label outcomes"),
    ("dashboard.yaml", '- metric.label."outcome"', "- metric.outcome", "the group metric.outcome is not understood"),
    ("dashboard.yaml", "${metric.labels.outcome}", "${metric.labels.event}", "by which nothing is grouped"),
    ("dashboard.yaml", "lag_seconds_bucket", "lag_bucket", "there is no metric"),
    ("dashboard.yaml", "sum by (le)", "sum by (lee)", "has a label lee"),
    ("dashboard.yaml", 'sum{env="${ENV}"}', 'sum{environ="${ENV}"}', "has no label environ"),
    ("dashboard.yaml", "${__interval}]))", "${__interval}])", "not understood"),
    ("dashboard.yaml", "histogram_quantile(", "histogram_quantil(", "not understood"),
    ("dashboard.yaml", "direction: ABOVE", "targetAxis: Y1", "colour and a direction"),
    ("dashboard.yaml", "label: alert\n", "label: alert\n          color: RED\n", "neither colour nor direction"),
    ("dashboard.yaml", 'jsonPayload.event=("run_started"', 'jsonPayload.event=("run_start"', "called run_start"),
    ("dashboard.yaml", "        resourceNames:\n        - projects/${PROJECT}\n", "", "names no project"),
    # Alerts: links, texts, conditions that could never be true.
    ("alerts/ledger-break.yaml", "#alert-ledger-break)", "#alert-ledger)", "must lead to #alert-ledger-break"),
    ("alerts/ledger-break.yaml", "url: ${RUNBOOK}#alert-ledger-break", "url: ${RUNBOOK}", "must lead to"),
    ("alerts/ledger-break.yaml", "**What it means.**", "It means", "What it means."),
    ("alerts/ledger-break.yaml", "severity: CRITICAL\n", "", "no severity"),
    ("alerts/ledger-break.yaml", "autoClose: 86400s", "autoClose: 60s", "autoClose"),
    ("alerts/ledger-break.yaml", "combiner: OR", "combiner: OR\nnotificationChannels: [c]", "put in when it is applied"),
    ("alerts/ledger-break.yaml", "alignmentPeriod: 300s", "alignmentPeriod: 90060s", "alignmentPeriod is 60s to 90000s"),
    ("alerts/ledger-break.yaml", "duration: 0s", "duration: 30s", "duration 30s is not a multiple of 60s"),
    ("alerts/ledger-break.yaml", "autoClose: 86400s", "autoClose: 1799s", "autoClose is at least 1800s"),
    ("alerts/backfill-task-failed.yaml", 'resource.type="cloud_run_job"', 'resource.type="gcs_bucket"', "is not written on gcs_bucket"),
    ("alerts/mixed-prefix.yaml", '"mixed_prefix_found"', '"mixed_prefix"', "no event is called mixed_prefix"),
    ("alerts/ledger-break.yaml", "combiner: OR", "combiner: OR\nuserLabels: {a: b}", "put in when it is applied"),
    ("alerts/mixed-prefix.yaml", "jsonPayload.object)", "jsonPayload.objct)", "has a field objct"),
    ("alerts/mixed-prefix.yaml", "notificationRateLimit:\n    period: 300s", "notificationPrompts: [OPENED]", "stands alone"),
    ("alerts/mirror-lagging.yaml", "duration: 600s", "duration: 90s", "not a multiple of 60s"),
    ("alerts/mirror-lagging.yaml", "      disableMetricValidation: true\n", "", "in PromQL stands alone and has disableMetricValidation"),
    ("alerts/mirror-lagging.yaml", "conditions:\n", f"conditions:\n{SECOND}", "in PromQL stands alone and has disableMetricValidation"),
    ("alerts/mirror-waiting.yaml", "alignmentPeriod: 60s", "alignmentPeriod: 30s", "alignmentPeriod"),
    ("alerts/mirror-waiting.yaml", 'resource.type="pubsub_subscription" AND', "", "must name a resource.type"),
    ("alerts/mirror-waiting.yaml", "oldest_unacked_message_age", "oldest_message", "oldest_message"),
    ("alerts/mirror-lagging.yaml", 'monitored_resource="cloud_run_revision"', 'monitored_resource="gae_app"', "gae_app"),
    ("alerts/mirror-silent.yaml", "[30m]", "", "expected type matrix in call to function 'increase'"),
    ("dashboard.yaml", FAILED, FAILED.replace("increase", "").replace("[${__interval}]", ""), "needs its increase or rate"),
    ("alerts/mirror-silent.yaml", "unless", "unless on (le)", "not understood"),
    ("alerts/backfill-task-failed.yaml", '"run_stopped"', '"run_stop"', "no event is called run_stop"),
]  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new", "told"), WRONG)
def test_every_damage_that_the_services_would_accept_is_found(
    damaged: Path, file: str, old: str, new: str, told: str
) -> None:
    """A file that is valid and wrong: it would show nothing, or never wake anybody."""
    replaced(damaged, file, old, new)
    found = problems(load_files(VALUES, damaged), RUNBOOK)
    assert any(told in problem for problem in found), found


@pytest.mark.parametrize(
    "alert", sorted(path.stem for path in (ROOT / "monitoring" / "alerts").glob("*.yaml"))
)
def test_every_alert_s_heading_in_the_runbook_is_needed(alert: str) -> None:
    """Without it the link in the notification leads nowhere."""
    without = re.sub(rf"(?m)^### Alert {alert}$", "### Something else", RUNBOOK)
    assert without != RUNBOOK
    assert [
        problem
        for problem in problems(load_files(VALUES), without)
        if f"alerts/{alert}.yaml" in problem and "#alert-" in problem
    ]


def test_no_label_has_many_values() -> None:
    """Only what is one of a few: never a name, a number, a run or a sentence, each of which would be a series of its own."""
    few = {"env", "mode", "outcome", "phase", "verdict"}
    many = {name for name, types in FIELD_TYPES.items() if types != (bool,)} - few
    assert not LABEL_FIELDS & many
    assert few | {"event", "clean"} >= LABEL_FIELDS


def test_the_oldest_event_is_the_oldest() -> None:
    """Of all subscriptions and at any moment: a mean of their ages hides the one that waits."""
    resources = load_files(VALUES)
    found = [
        (one["perSeriesAligner"], one["crossSeriesReducer"])
        for each in (resources.dashboard, *resources.alerts)
        for one in aggregations_of(each.content, "oldest_unacked_message_age")
    ]
    assert set(found) == {("ALIGN_MAX", "REDUCE_MAX")}


def aggregations_of(content: Any, metric: str) -> Iterator[dict[str, Any]]:
    """How values of a metric are put together, wherever a filter names it."""
    if isinstance(content, dict):
        if metric in str(content.get("filter")):
            yield from content.get("aggregations") or [content["aggregation"]]
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from aggregations_of(each, metric)


def test_anchors_are_github_s() -> None:
    """Lower case, no punctuation, dashes for spaces."""
    assert anchors("# A b: c?\ntext # no\n### Alert x-y\n") == {"a-b-c", "alert-x-y"}


def test_every_event_is_emitted() -> None:
    """Every event of the vocabulary is named where a module emits it; a filter could count one that the code never emits."""
    code = "".join(
        path.read_text(encoding="utf-8")
        for package in ("backfill_job", "mirror_function", "shared")
        for path in (ROOT / package).rglob("*.py")
    )
    unknown = {name for name in event_fields() if name != "message" and f"Event.{name.upper()}" not in code}
    assert not unknown


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"ENV": ""}, "ENV=''"),
        ({"PROJECT": 'x" OR severity>=INFO OR "'}, "cannot stand in a filter"),
    ],
)
def test_values_hold_nothing_that_means_something_in_a_filter(change: dict[str, str], told: str) -> None:
    """They are put between quotes, where a quote would end the text."""
    plain = {"env": "dev", "project": "p", "region": "r", "runbook": "https://example.com/"}
    plain |= {name.lower(): value for name, value in change.items()}
    preset = ProjectValues.of("dev", "p", "r", "https://example.com/")
    fields = {name: getattr(preset, name) for name in ProjectValues.__dataclass_fields__} | plain
    with pytest.raises(UsageError, match=re.escape(told)):
        ProjectValues(**fields).by_name()


@pytest.mark.parametrize(
    ("level", "told"),
    [
        (logging.INFO, []),
        (logging.WARNING, ["the event new_event has no alert; add one, or its reason to NEEDS_NO_ALERT"]),
        (
            logging.ERROR,
            [
                "the event new_event has no alert; add one, or its reason to NEEDS_NO_ALERT",
                "metrics/errors.yaml: the filter leaves out the event new_event",
            ],
        ),
    ],
)
def test_a_grave_event_without_alert_or_reason_is_found(level: int, told: list[str]) -> None:
    """A metric alone wakes no person; an error is counted among the errors, too."""
    assert [*unalerted(load_files(VALUES), {**LEVELS, "new_event": level})] == told


def test_a_reason_without_need_is_found(damaged: Path) -> None:
    """For an event that is gone, is below WARNING, or has an alert: a stale list says nothing."""
    told = [
        "NEEDS_NO_ALERT has a reason for mirror_retry, which has an alert or is not an event of WARNING or above"
    ]
    without = {event: level for event, level in LEVELS.items() if event != "mirror_retry"}
    assert [*unalerted(load_files(VALUES), without)] == told
    assert [*unalerted(load_files(VALUES), {**LEVELS, "mirror_retry": logging.INFO})] == told
    replaced(
        damaged,
        "alerts/mirror-dropped-event.yaml",
        '="mirror_dropped"',
        '=("mirror_dropped" OR "mirror_retry")',
    )
    assert [*unalerted(load_files(VALUES, damaged))] == told
    assert all(NEEDS_NO_ALERT.values())


@pytest.mark.parametrize(
    ("file", "old", "new", "event"),
    [
        ("alerts/mirror-misconfigured.yaml", 'metric.label."event"="mirror_misconfigured"', 'metric.label."event"="mirrored"', "mirror_misconfigured"),
        ("alerts/mirror-misconfigured.yaml", 'metric.label."event"="mirror_mis', 'metric.label."event"!="mirror_mis', "mirror_misconfigured"),
        ("alerts/ledger-break.yaml", "user/qpi_exports_ledger_breaks", "user/qpi_exports_verifications", "ledger_broken"),
        ("alerts/mixed-prefix.yaml", '"mixed_prefix_found"', '"verification_finished"', "mixed_prefix_found"),
        ("metrics/stragglers.yaml", '("mirror_straggler" OR "object_straggler")', '"mirror_straggler"', "object_straggler"),
    ],
)  # fmt: skip
def test_an_alert_that_does_not_see_an_event_is_found(
    damaged: Path, file: str, old: str, new: str, event: str
) -> None:
    """By a condition on log lines, by a metric's filter, and by the label that a condition compares."""
    text = (damaged / file).read_text(encoding="utf-8")
    assert old in text
    (damaged / file).write_text(text.replace(old, new), encoding="utf-8")
    found = [*unalerted(load_files(VALUES, damaged))]
    assert f"the event {event} has no alert; add one, or its reason to NEEDS_NO_ALERT" in found


def test_an_alert_s_heading_without_its_file_is_found() -> None:
    """A runbook that describes an alert which no project has."""
    assert problems(load_files(VALUES), f"{RUNBOOK}\n### Alert long-gone\n") == [
        "the runbook has a heading for long-gone, which no file in alerts/ defines"
    ]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ((0, 0, 1, 1), []), ((1, 5, 1, 1), []), ((0, 0, 2, 1), []), ((1, 0, 2, 1), ["t: leaves the grid"]),
        ((0, 0, 0, 1), ["t: leaves the grid"]), ((0, 0, 1, 0), ["t: leaves the grid"]),
        ((-1, 0, 1, 1), ["t: leaves the grid"]), ((0, -1, 1, 1), ["t: leaves the grid"]),
    ],
)  # fmt: skip
def test_a_tile_lies_within_the_grid(place: tuple[int, int, int, int], told: list[str]) -> None:
    """A grid of two columns has no lower edge."""
    tile = dict(zip(("xPos", "yPos", "width", "height"), place, strict=True))
    layout = {"columns": 2, "tiles": [{**tile, "widget": {"title": "t"}}]}
    assert [*checks._layout_problems(layout)] == told


def alert_with(stem: str, **keys: Any) -> list[str]:
    """What the checks say when one alert has other keys."""
    resources = load_files(VALUES)
    alerts = [
        replace(alert, content={**alert.content, **keys}) if alert.stem == stem else alert
        for alert in resources.alerts
    ]
    return problems(replace(resources, alerts=tuple(alerts)), RUNBOOK)


def test_a_condition_that_no_check_reads_is_found() -> None:
    """Absence, for one: it would be as good as unchecked."""
    absent = {"displayName": "c", "conditionAbsent": {"filter": 'metric.type="x"'}}
    told = "alerts/ledger-break.yaml: c: this kind of condition is not checked; use one that is"
    assert told in alert_with("ledger-break", conditions=[absent])


def test_a_condition_on_log_lines_stands_alone() -> None:
    """The service refuses a second one; a limit of notifications belongs to it."""
    (alert,) = [alert for alert in load_files(VALUES).alerts if alert.stem == "mixed-prefix"]
    (condition,) = alert.content["conditions"]
    told = f"alerts/mixed-prefix.yaml: {condition['displayName']}: a condition on log lines stands alone and has a notificationRateLimit"
    assert alert_with("mixed-prefix", conditions=[condition] * 2) == [told, told]
    assert alert_with("mixed-prefix", alertStrategy={"autoClose": "86400s"}) == [told]


@pytest.mark.parametrize("key", ["displayName", "severity", "combiner", "conditions"])
def test_an_alert_without_a_key_is_found(key: str) -> None:
    """Each that a policy cannot do without."""
    assert f"alerts/ledger-break.yaml: no {key}" in alert_with(
        "ledger-break", **{key: None if key != "conditions" else []}
    )


def test_a_limit_is_what_it_says() -> None:
    """The longest description that Cloud Logging takes is right, and so is the shortest time to close."""
    resources = load_files(VALUES)
    (metric,) = [metric for metric in resources.metrics if metric.stem == "ledger_breaks"]
    longest = replace(metric, content={**metric.content, "description": "x" * 8_000})
    others = tuple(longest if one is metric else one for one in resources.metrics)
    assert problems(replace(resources, metrics=others), RUNBOOK) == []
    assert alert_with("ledger-break", alertStrategy={"autoClose": "1800s"}) == []
