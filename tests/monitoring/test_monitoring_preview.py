"""The preview: lines become points, points become figures and charts, and a page that a browser shows without a complaint."""

import functools
import json
import logging
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from browser import chromium, needs_chromium, visit
from hypothesis import example, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser

from monitoring.files import ProjectValues, Resource, Resources, load_files
from monitoring.preview.__main__ import draw, main
from monitoring.preview.entries import LogEntry, json_line, read_log
from monitoring.preview.queries import Evaluation, Point, PointSource, Window, lines, points, trailing
from monitoring.preview.tiles import (
    Card,
    Chart,
    Header,
    LogLines,
    Nothing,
    Series,
    TextTile,
    Tile,
    TileGroup,
    round_end,
    sections,
    tiles,
    window_of,
)
from monitoring.preview.tiles import place_series as placed
from monitoring.query import promql
from monitoring.vocabulary import Catalog, line_problems
from shared.errors import UsageError
from shared.events_log import FIELD_TYPES, Event, JsonFormatter, TextFormatter

BEGAN = datetime(2026, 11, 23, 6, 0, tzinfo=UTC).timestamp()
SOURCE, DESTINATION = "gs://old-bucket/QPI_exports/", "gs://new-bucket/qpi_exports/"
RUN = {"run": "dev-1", "env": "dev"}
HOSTILE = '</style><img src=x onerror=alert(1)>"\u202e\u2028'


def record(event: Event, seconds: float, **fields: Any) -> logging.LogRecord:
    about = {"msg": event.value.meaning, "levelname": logging.getLevelName(event.value.level)}
    payload = {"event": event.event_name, **fields}
    return logging.makeLogRecord({**about, "created": BEGAN + seconds, "json_fields": payload})


def mirrored(
    seconds: float, lag: float | None, outcome: str = "copied", bucket: str = SOURCE
) -> logging.LogRecord:
    return record(Event.MIRRORED, seconds, object=f"{bucket}x.jsonl", outcome=outcome, lag_s=lag)


JOB = [
    record(Event.RUN_STARTED, 0.2, **RUN, mode="execute", source=SOURCE, destination=DESTINATION),
    record(Event.PLAN_MADE, 1, **RUN, objects=200, bytes=1000),
    record(Event.PROGRESS, 5, **RUN, listed=50, copied=50, objects_per_s=10.0, elapsed_s=5.0),
    record(Event.OBJECT_FAILED, 8, **RUN, object=f"{SOURCE}{HOSTILE}", error="no", transient=False),
    record(Event.RUN_FINISHED, 9, **RUN, copied=190, already_equal=9, failed=1, bytes=2048, listed=200),
    record(Event.VERIFICATION_FINISHED, 9.5, **RUN, clean=False, equal=199, missing=1),
]
MIRROR = [
    *(mirrored(second, lag) for second, lag in ((1, 0.5), (2, 1.5), (3, 100.0))),
    mirrored(4, None, "ignored"),
    mirrored(4.5, 0.1, bucket=DESTINATION),
    record(Event.MIRROR_RETRY, 5, object=f"{SOURCE}y.jsonl", age_s=1.0, error="later"),
    record(
        Event.MIRROR_DROPPED, 6, object=f"{SOURCE}y.jsonl", outcome="dropped", age_s=90_000.0, error="old"
    ),
]


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    job, mirror = tmp_path / "job.log", tmp_path / "mirror.log"
    job.write_text("".join(f"{TextFormatter().format(one)}\n" for one in JOB), encoding="utf-8")
    mirror.write_text("".join(f"{JsonFormatter().format(one)}\n" for one in MIRROR), encoding="utf-8")
    return [job, mirror]


@pytest.fixture
def drawn(logs: list[Path]) -> Mapping[str, Any]:
    """What every tile shows, by its id."""
    log = read_log(logs)
    resources = resources_for(log.values)
    found = tiles(
        resources.dashboard.content, source_of(resources, logs), log.entries, window_of(log.entries)
    )
    return {tile.name: tile.content for tile in found}


@functools.cache
def resources_for(values: ProjectValues) -> Resources:
    return load_files(values.by_name())


def source_of(resources: Resources, logs: list[Path]) -> PointSource:
    return PointSource.of(resources.metrics, read_log(logs).entries)


def value_for(name: str) -> st.SearchStrategy[Any]:
    kinds = FIELD_TYPES.get(name, (str,))
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    if list in kinds:
        return st.lists(texts, max_size=3)
    if bool in kinds:
        return st.booleans()
    return texts if str in kinds else st.integers(0, 10**12) | st.none()


@pytest.mark.parametrize("event", Event)
@settings(max_examples=20)
@given(st.data())
def test_a_line_of_a_log_file_says_what_its_json_would(event: Event, data: st.DataObject) -> None:
    """Every event with all its fields, whatever stands in them: the text is read as the very line that Cloud Logging gets."""
    fields = {name: data.draw(value_for(name)) for name in sorted(event.value.fields)}
    one = record(event, 1.25, **RUN, **fields)
    found = json_line(TextFormatter().format(one))
    assert found is not None
    assert json.loads(found) == json.loads(JsonFormatter().format(one))
    assert line_problems(found) == []


@pytest.mark.parametrize(
    "text",
    ["", "Traceback", "2026-11-23T06:00:00.000Z INFO     unheard_of: hello x=1", "2026-11-23T06:00:00.000Z INFO     progress: copying x", "2026-11-23T06:00:00.000Z INFO     progress: copying x={"],
)  # fmt: skip
def test_what_is_no_line_of_a_log_file_is_not_made_one(text: str) -> None:
    """Tracebacks, torn lines, strangers' lines."""
    assert json_line(text) is None


def test_a_library_s_line_is_read() -> None:
    """Its sentence is any text; without the logger's name at its end it is not such a line."""
    start = "2026-11-23T06:00:00.000Z WARNING  message: "
    found = json_line(f'{start}Retrying logger=x of y logger="urllib3"')
    assert found is not None
    line = json.loads(found)
    assert (line["message"], line["logger"]) == ("Retrying logger=x of y", "urllib3")
    assert json_line(f"{start}Retrying") is None
    assert json_line(f"{start}Retrying logger=") is None


def test_the_environment_with_most_lines_is_drawn(tmp_path: Path) -> None:
    """With its own paths and tasks; lines of another environment do not count, and without any the names are no project's."""
    other = {**RUN, "env": "stg", "tasks": 9}
    lines_of = [
        record(Event.RUN_STARTED, 0, **other, mode="execute", source="gs://s/s/", destination="gs://t/t/"),
        *(record(Event.PROGRESS, second, **RUN, tasks=4, listed=1) for second in (1, 2)),
        record(Event.RUN_STARTED, 3, **RUN, mode="execute", source=SOURCE, destination=DESTINATION),
    ]
    log = tmp_path / "a.log"
    log.write_text("".join(f"{JsonFormatter().format(one)}\n" for one in lines_of), encoding="utf-8")
    values = read_log([log]).values
    assert (values.env, values.tasks, values.source_bucket) == ("dev", 4, "old-bucket")
    assert (values.source_prefix, values.destination_bucket) == ("QPI_exports/", "new-bucket")
    log.write_text(f"{JsonFormatter().format(MIRROR[0])}\n", encoding="utf-8")
    values = read_log([log]).values
    assert (values.env, values.tasks, values.source_bucket) == ("local", 1, "legacy-bucket")
    assert (values.source_prefix, values.destination_bucket) == ("legacy/", "new-bucket")


def test_a_label_is_what_the_line_says() -> None:
    """A text as it is, a truth value as JSON has it, a missing field empty."""
    extractors = {name: f"EXTRACT(jsonPayload.{name})" for name in ("phase", "clean", "verdict")}
    content = {"name": "x", "filter": "severity=INFO", "labelExtractors": extractors}
    entry = LogEntry(0.0, "INFO", "", {"phase": "Both", "clean": True}, "cloud_run_job", {"job_name": "J"})
    ((point,),) = points([Resource("x", content)], [entry]).values()
    assert point.labels == {
        "resource.job_name": "J", "metric.phase": "Both", "metric.clean": "true", "metric.verdict": ""
    }  # fmt: skip


def test_a_point_outside_of_the_window_is_in_no_step() -> None:
    """Neither before it nor after it."""
    source = made_of((-5, 4.0), (1, 1.0), (700, 2.0))
    (found,) = lines(aggregated("ALIGN_DELTA", "REDUCE_SUM"), source, Window(BEGAN, 1, 600.0))
    assert found.values == (1.0,)


def test_figures_are_counted_as_written(drawn: Mapping[str, Any]) -> None:
    """Each card's figure follows from the lines above; the mirror back is another service and has figures of its own."""
    figures = {name: (one.figure, one.tone) for name, one in drawn.items() if isinstance(one, Card)}
    assert figures == {
        "verdict": ("3 findings", "bad"),
        "mirror-events-now": ("5", ""),
        "mirror-lag-now": ("1 min 45 s", "attention"),
        "mirror-dropped": ("1", "bad"),
        "mirror-back-events-now": ("1", ""),
        "mirror-back-lag-now": ("111 ms", ""),
        "backfill-part": ("25.0 %", ""),
        "backfill-remaining": ("15 s", ""),
        "backfill-speed": ("10.0/s", ""),
        "backfill-failed": ("1", "bad"),
        "verified-unequal": ("1", "bad"),
    }


def test_a_threshold_is_passed_by_what_is_more(logs: list[Path]) -> None:
    """Seven events: a mark at seven is not passed, one just below is; of those that are, the highest has its colour."""
    query = {"prometheusQuery": "sum(increase(logging_googleapis_com:user_qpi_exports_mirror_events[10s]))"}
    resources, log = resources_for(read_log(logs).values), read_log(logs)
    tones = []
    for marks in ({"YELLOW": 5, "RED": 7}, {"YELLOW": 5, "RED": 6.9}):
        thresholds = [{"value": value, "color": color} for color, value in marks.items()]
        widget = {"scorecard": {"timeSeriesQuery": query, "thresholds": thresholds}}
        dashboard = {"mosaicLayout": {"tiles": [{"widget": widget}]}}
        (tile,) = tiles(dashboard, source_of(resources, logs), log.entries, Window(BEGAN, 1, 10.0))
        assert isinstance(tile.content, Card)
        tones.append((tile.content.figure, tile.content.tone))
    assert tones == [("7", "attention"), ("7", "bad")]


def test_a_figure_without_later_lines_has_its_moment(logs: list[Path]) -> None:
    """Seven events by ten seconds, and none in the half minute after; one step alone has nothing to draw."""
    resources, log = resources_for(read_log(logs).values), read_log(logs)
    card = {"timeSeriesQuery": {"prometheusQuery": spelt("sum(increase(x:m[10s]))")}, "sparkChartView": {}}
    dashboard = {"mosaicLayout": {"tiles": [{"widget": {"scorecard": card}}]}}
    found = []
    for steps in (1, 2, 4):
        (tile,) = tiles(dashboard, source_of(resources, logs), log.entries, Window(BEGAN, steps, 10.0))
        assert isinstance(tile.content, Card)
        found.append((tile.content.figure, tile.content.note, tile.content.spark is not None))
    assert found == [
        ("7", "", False),
        ("7", "at 06:00:10, none since", True),
        ("7", "at 06:00:10, none since", True),
    ]


@pytest.mark.parametrize(
    ("moments", "window"),
    [
        ((1003.5,), Window(1003.0, 1, 1.0)),
        ((1003.0, 1062.9), Window(1003.0, 60, 1.0)),
        ((1003.0, 1063.0), Window(1002.0, 31, 2.0)),
        ((1003.0, 1303.0), Window(1000.0, 31, 10.0)),
        ((86_401.0, 86_400.0 * 200), Window(86_400.0, 199, 86_400.0)),
    ],
)
def test_a_window_begins_at_a_round_step_and_holds_every_line(
    moments: tuple[float, ...], window: Window
) -> None:
    """The shortest steps that leave less than sixty between the first and the last line; a day at most."""
    assert window_of([LogEntry(at, "INFO", "", {}, "cloud_run_job", {}) for at in moments]) == window


def test_charts_add_up(drawn: Mapping[str, Any]) -> None:
    """Legends hold each series' sum, or a line's last value; what only a project counts is said to be so."""
    keys = {
        name: [(key.name, key.figure) for key in one.keys]
        for name, one in drawn.items()
        if isinstance(one, Chart)
    }
    assert keys["mirror-outcomes"] == [("copied", "3"), ("ignored", "1"), ("dropped", "1")]
    assert keys["mirror-lag"][0] == ("p50", "last 1 min 40 s")
    assert keys["backfill-outcomes"] == [("copied", "190"), ("already equal", "9"), ("failed", "1")]
    assert keys["backfill-bytes"] == [("bytes", "2.0 KiB")]
    scale = [
        (one.top, one.middle)
        for name, one in drawn.items()
        if name in {"backfill-outcomes", "backfill-bytes"}
    ]
    assert scale == [("200", "100"), ("4.9 KiB", "2.4 KiB")]
    assert keys["errors"] == [("mirror_dropped", "1"), ("object_failed", "1")]
    assert drawn["mirror-silence"].notes == ("writes: Counted by Google Cloud itself: only in a project.",)
    assert drawn["mirror-5xx"] == Nothing("Counted by Google Cloud itself: only in a project.")
    assert drawn["ledger-breaks"] == Nothing("No such line in this log.")


def test_panels_hold_the_lines_that_their_filters_take(drawn: Mapping[str, Any]) -> None:
    """The newest first."""
    errors, diary = drawn["last-errors"], drawn["diary"]
    assert isinstance(errors, LogLines)
    assert [entry.payload["event"] for entry in errors.entries] == ["object_failed", "mirror_dropped"]
    assert [entry.payload["event"] for entry in diary.entries] == [
        "verification_finished", "run_finished", "plan_made", "run_started"
    ]  # fmt: skip


def test_a_panel_holds_a_hundred_lines_and_counts_the_rest() -> None:
    """One without any line says so."""
    entries = [LogEntry(at, "INFO", str(at), {}, "cloud_run_job", {}) for at in range(103)]
    found = []
    for severity in ("INFO", "ERROR"):
        panel = {"widget": {"logsPanel": {"filter": f"severity={severity}"}}}
        (tile,) = tiles({"mosaicLayout": {"tiles": [panel]}}, made_of(), entries, Window(0.0, 1, 103.0))
        found.append(tile.content)
    assert found == [LogLines(tuple(entries[:2:-1]), 3), Nothing("No such line in this log.")]


QUERIES = [
    ('sum(increase(x:m{service_name="qpi-exports-mirror-dev"}[10s]))', 6.0),
    ('sum(increase(x:m{event="mirror_retry"}[10s])) / 2', 0.5),
    ("sum(increase(x:m[1s]))", None),
    ("sum(rate(x:m[10s])) * 10", 7.0),
    ('count(sum by (outcome) (increase(x:m{event!~"mirror_(retry|dropped)"}[10s])))', 2.0),
    ("sum(increase(x:m[10s])) > 6", 7.0),
    ("sum(increase(x:m[10s])) > 7", None),
    ('sum(increase(x:m[10s])) unless sum(increase(x:m{event="mirrored"}[10s]))', None),
    ("sum(increase(x:m[1s])) or vector(0)", 0.0),
    ("clamp_min(3 - sum(increase(x:m[10s])), 0)", 0.0),
    ("clamp_max(sum(increase(x:m[10s])), 3)", 3.0),
    ("max(increase(x:m[10s])) - min(increase(x:m[10s]))", 2.0),
    ("sum(increase(x:m[10s])) / 0", None),
    ("2 + 3 * 4 - (1 + 1)", 12.0),
    ("-sum(increase(x:m[10s])) + 10", 3.0),
    ("10 > sum(increase(x:m[10s]))", 7.0),
    ("7 > sum(increase(x:m[10s]))", None),
    ("sum(increase(x:m[10s])) >= 7", 7.0),
    ("sum(increase(x:m[10s])) <= 7", 7.0),
    ("sum(increase(x:m[10s])) < 7", None),
    ("sum(increase(x:m[10s])) == 7", 7.0),
    ("sum(increase(x:m[10s])) != 7", None),
    ("avg(sum by (service_name) (increase(x:m[10s])))", 3.5),
    ("min(sum by (service_name) (increase(x:m[10s])))", 1.0),
    ("sum(increase(x:m[10s])) + sum(increase(x:m[1s]))", None),
    ("vector(1) and vector(2)", 1.0),
    ("vector(1) and sum(increase(x:m[1s]))", None),
    ("vector(1) or vector(2)", 1.0),
    ("vector(1) unless sum(increase(x:m[1s]))", 1.0),
    ("vector(1) unless 2 * vector(2)", None),
    ("clamp_min(sum(increase(x:m[10s])), 9)", 9.0),
    ("histogram_quantile(0.5, sum by (le) (increase(x:l_bucket[10s])))", 0.05 * 1.5**6),
    ("histogram_quantile(0.4, sum by (le) (increase(x:l_bucket[10s])))", 0.4 * 0.05 * 1.5**5 + 0.6 * 0.05 * 1.5**6),
    ("histogram_quantile(0.5, sum by (le) (increase(x:l_bucket[1s])))", None),
    ('histogram_quantile(1, sum by (le) (increase(x:l_bucket{service_name="qpi-exports-mirror-dev"}[10s])))', 0.05 * 1.5**19),
    ("sum(increase(x:l_count[10s]))", 4.0),
    ("sum(increase(x:l_sum[10s]))", 102.1),
]  # fmt: skip


@pytest.mark.parametrize(("query", "value"), QUERIES)
def test_promql_is_computed_as_prometheus_does(query: str, value: float | None, logs: list[Path]) -> None:
    """Windows, label matchers, arithmetic, comparisons that filter, sets; at ten seconds, where the log has ended."""
    resources = resources_for(read_log(logs).values)
    vector = Evaluation(source_of(resources, logs), BEGAN + 10).vector(promql(spelt(query)))
    assert [*vector.values()] == ([] if value is None else [pytest.approx(value)])


def spelt(query: str) -> str:
    """With the full names of the mirror's metrics: ``x:m`` counts events, ``x:l`` holds lags."""
    prefix = "logging_googleapis_com:user_qpi_exports_mirror_"
    return query.replace("x:m", f"{prefix}events").replace("x:l", f"{prefix}lag_seconds")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("x:m", "needs an increase or a rate"),
        ("sum(x:m) + 1", "needs an increase or a rate"),
        ("x:m[5m]", "needs an increase or a rate"),
        ("absent(x:m)", "absent cannot be computed from a log"),
        ("histogram_quantile(scalar(x:m), x:m)", "histogram_quantile cannot be computed from a log"),
        ("clamp_min(increase(x:m[10s]), scalar(x:m))", "clamp_min cannot be computed from a log"),
        ("increase(x:m[10s]) ^ 2", "^ cannot be computed from a log"),
        ("2 ^ 2", "^ between two numbers is not understood"),
    ],
)
def test_promql_that_cannot_be_computed_is_refused(query: str, told: str, logs: list[Path]) -> None:
    """It is right, and a project would compute it; a wrong figure would be worse than none."""
    resources = resources_for(read_log(logs).values)
    with pytest.raises(UsageError, match=re.escape(told)):
        Evaluation(source_of(resources, logs), BEGAN + 10).vector(promql(spelt(query)))


@pytest.mark.parametrize("language", ["timeSeriesQueryLanguage", "timeSeriesFilterRatio"])
def test_a_query_of_another_kind_is_refused(language: str) -> None:
    """Neither lines nor a figure are guessed."""
    for computed in (lines, trailing):
        with pytest.raises(UsageError, match="this kind of query cannot be drawn"):
            computed({language: "x"}, made_of(), Window(BEGAN, 1, 1.0))


def test_a_reducer_or_a_widget_that_cannot_be_drawn_is_refused() -> None:
    """By its name."""
    with pytest.raises(UsageError, match="REDUCE_COUNT cannot be drawn"):
        lines(aggregated("ALIGN_DELTA", "REDUCE_COUNT"), made_of((1, 1.0)), Window(BEGAN, 1, 600.0))
    dashboard = {"mosaicLayout": {"tiles": [{"widget": {"title": "A pie", "pieChart": {}}}]}}
    with pytest.raises(UsageError, match=r"dashboard\.yaml: A pie: this widget cannot be drawn"):
        tiles(dashboard, made_of(), [], Window(BEGAN, 1, 1.0))


@given(st.lists(st.floats(0.08, 4_000), min_size=1, max_size=50), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_from_buckets_is_within_the_bucket_of_the_true_one(
    values: list[float], quantile: float
) -> None:
    """Half as much again, as the metric's buckets are."""
    resources = resources_for(ProjectValues.of("dev", "p", "r", "https://example.com/"))
    name = "logging.googleapis.com/user/qpi_exports_mirror_lag_seconds"
    found = {name: [Point(BEGAN, "cloud_run_revision", {}, value) for value in values]}
    source = PointSource(
        found, Catalog.of(resources.metrics), {name: [0.05 * 1.5**number for number in range(41)]}
    )
    query = f"histogram_quantile({quantile}, sum by (le) (increase(logging_googleapis_com:user_qpi_exports_mirror_lag_seconds_bucket[10s])))"
    (estimate,) = Evaluation(source, BEGAN).vector(promql(query)).values()
    rank = max(1, -int(-(len(values) * quantile) // 1))
    true = sorted(values)[rank - 1]
    assert true / 1.51 <= estimate <= true * 1.51


def test_stacked_bars_stand_on_each_other() -> None:
    """Each begins where all below it end, not only the last; what is nothing takes no place."""
    bars = placed([Series((value, 5.0), stacked=True) for value in (1.0, 2.0, None, 2.0)]).bars
    first = [(bar.y, bar.height, bar.colour) for bar in bars if bar.x < 50]
    assert first == [(95.0, 5.0, 0), (85.0, 10.0, 1), (75.0, 10.0, 3)]


@given(
    st.lists(st.lists(st.floats(0, 1e9) | st.none(), min_size=5, max_size=5), min_size=1, max_size=4),
    st.booleans(),
)
@example([[None, 0.0, 0.0, 0.0, 5e-324]], False)
def test_nothing_is_drawn_outside_of_a_chart(rows: list[list[float | None]], stacked: bool) -> None:
    """Bars lie upon each other within 100 by 100, and the axis ends at a round number above them all."""
    found = placed([Series(tuple(row), stacked) for row in rows])
    assert found.end == pytest.approx(round_end(found.end))
    for bar in found.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= 100.01
        assert bar.y >= -0.01
        assert bar.y + bar.height <= 100.02
    for path, _ in found.paths:
        assert all(-0.01 <= float(number) <= 100.01 for number in re.findall(r"[ML]?([\d.]+)", path))
    if stacked:
        total = max(sum(value or 0 for value in column) for column in zip(*rows, strict=True))
        assert total <= found.end or total == pytest.approx(found.end)


@given(st.floats(1e-6, 1e15))
def test_an_axis_ends_at_one_two_or_five(highest: float) -> None:
    """And at no more than two and a half times what it has to show."""
    end = round_end(highest)
    assert highest <= end <= highest * 2.5001


def test_only_a_number_is_a_distribution_s_value() -> None:
    """As Cloud Logging records nothing of a truth value, a text, or nothing; nor of a number that is none, or too large for one."""
    content = {
        "name": "x",
        "filter": 'resource.type="cloud_run_job"',
        "valueExtractor": "EXTRACT(jsonPayload.copied)",
    }
    entries = [
        LogEntry(at, "INFO", "", {"copied": value}, "cloud_run_job", {})
        for at, value in enumerate((True, "7", None, 7, float("inf"), float("nan"), 10**400, 2.5))
    ]
    (found,) = points([Resource("x", content)], entries).values()
    assert [point.value for point in found] == [7.0, 2.5]


def made_of(*moments_and_values: tuple[float, float]) -> PointSource:
    """A metric ``x`` with points at seconds after the beginning."""
    found = [Point(BEGAN + second, "cloud_run_job", {}, value) for second, value in moments_and_values]
    return PointSource({"x": found}, Catalog({}), {})


def aggregated(aligner: str, reducer: str, period: str = "600s") -> dict[str, Any]:
    aggregation = {"alignmentPeriod": period, "perSeriesAligner": aligner, "crossSeriesReducer": reducer}
    return {"timeSeriesFilter": {"filter": 'metric.type="x"', "aggregation": aggregation}}


def test_a_figure_looks_back_no_further_than_its_period() -> None:
    """At each end, what happened after the period before it began: not the moment itself, nor anything older."""
    source = made_of((1, 1.0), (600, 2.0), (601, 4.0), (1200, 8.0))
    query = aggregated("ALIGN_DELTA", "REDUCE_SUM")
    assert trailing(query, source, Window(BEGAN, 4, 600.0)) == (3.0, 12.0, None, None)
    assert trailing(query, source, Window(BEGAN, 2, 900.0)) == (6.0, None)


def test_a_filter_s_resource_is_asked_for() -> None:
    """A job's and a function's points of one metric are told apart, where the filter names one of them."""
    query = aggregated("ALIGN_DELTA", "REDUCE_SUM")
    found = []
    for resource in ("cloud_run_job", "cloud_run_revision"):
        query["timeSeriesFilter"]["filter"] = f'metric.type="x" resource.type="{resource}"'
        found += lines(query, made_of((1, 8.0)), Window(BEGAN, 1, 600.0))
    assert [line.values for line in found] == [(8.0,)]


@pytest.mark.parametrize(
    ("aligner", "reducer", "value"),
    [
        ("ALIGN_DELTA", "REDUCE_SUM", 15.0),
        ("ALIGN_RATE", "REDUCE_SUM", 0.025),
        ("ALIGN_MEAN", "REDUCE_MEAN", 3.75),
        ("ALIGN_MAX", "REDUCE_MAX", 8.0),
        ("ALIGN_DELTA", "REDUCE_PERCENTILE_50", 2.0),
        ("ALIGN_DELTA", "REDUCE_PERCENTILE_99", 8.0),
    ],
)
def test_a_reducer_makes_the_number_that_it_names(aligner: str, reducer: str, value: float) -> None:
    """Of four values in one period."""
    source = made_of((1, 8.0), (2, 1.0), (3, 2.0), (4, 4.0))
    (found,) = lines(aggregated(aligner, reducer), source, Window(BEGAN, 1, 600.0))
    assert found.values == (value,)


def test_every_point_is_in_one_step(logs: list[Path]) -> None:
    """Also one that lies at the window's very start."""
    resources = resources_for(read_log(logs).values)
    query = {
        "timeSeriesFilter": {
            "filter": 'metric.type="logging.googleapis.com/user/qpi_exports_mirror_events"',
            "aggregation": {"perSeriesAligner": "ALIGN_DELTA", "crossSeriesReducer": "REDUCE_SUM"},
        }
    }
    (found,) = lines(query, source_of(resources, logs), Window(BEGAN + 1, 3, 2.0))
    assert found.values == (3.0, 3.0, 1.0)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "cannot be read: No such file"),
        ("", "no line of the structured log"),
        ("hello\n{}\n[1]\n", "no line of the structured log"),
        (
            '{"event": "progress", "severity": "INFO", "time": "x", "message": "m"}\n',
            "no line of the structured log",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_line_and_two(
    content: str | None, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing file, and files without any line of the log."""
    log = tmp_path / "a.log"
    if content is not None:
        log.write_text(content, encoding="utf-8")
    assert main([str(log), "--out", str(tmp_path / "page.html")]) == 2
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1
    assert not (tmp_path / "page.html").exists()


def test_a_page_that_cannot_be_written_is_one_line_and_two(
    logs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The folder is not there."""
    assert main([*map(str, logs), "--out", str(tmp_path / "none" / "page.html")]) == 2
    assert "choose another --out" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@needs_chromium
def test_a_browser_shows_it_without_a_complaint(logs: list[Path], tmp_path: Path, browser: Browser) -> None:
    """One file, nothing loaded or run, nothing sideways on a phone, axe content in both schemes; hostile names are text."""
    assert main([*map(str, logs), "--out", str(tmp_path / "page.html")]) == 0
    with visit(browser, tmp_path / "page.html", width=1440, color_scheme="light") as seen:
        assert seen.axe() == []
        seen.page.emulate_media(color_scheme="dark")
        assert seen.axe("color-contrast") == []
        assert "onerror=alert(1)" in seen.page.locator("#last-errors").inner_text()
        assert seen.page.locator("script, img, [style]").count() == 0
        seen.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        assert seen.unreadable() == []
        for width in (1440, 1000, 999, 360):
            seen.page.set_viewport_size({"width": width, "height": 900})
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
        assert (seen.console, seen.requests, seen.dialogs) == ([], [(tmp_path / "page.html").as_uri()], [])


@needs_chromium
def test_tiles_stand_in_the_dashboard_s_rows(logs: list[Path], tmp_path: Path, browser: Browser) -> None:
    """In its order and as high; those of a row share the place of the empty ones, which are folded. None is cut off."""
    (tmp_path / "page.html").write_text(draw(logs), encoding="utf-8")
    layout = resources_for(read_log(logs).values).dashboard.content["mosaicLayout"]
    rows: dict[int, list[tuple[float, float, int]]] = {}
    with visit(browser, tmp_path / "page.html", width=1440) as seen:
        for tile in layout["tiles"]:
            name = tile["widget"].get("id")
            if name and seen.page.locator(f"section#{name}").count():
                box = seen.page.locator(f"#{name}").bounding_box()
                assert box is not None, name
                height = tile["height"] * 17 - 10
                lower = "logsPanel" in tile["widget"] and box["height"] <= height
                assert lower or box["height"] == pytest.approx(height, abs=2), name
                rows.setdefault(tile["yPos"], []).append((box["x"], box["width"], tile["width"]))
        cut = seen.page.evaluate(
            "[...document.querySelectorAll('.grid section')].filter((one) => one.scrollHeight > one.clientHeight + 1).map((one) => one.id)"
        )
        assert cut == []
        assert seen.page.locator(".empty:not([open]) #ledger-breaks").count() == 1
        assert seen.page.locator("details:not([open]) #deletion-outcomes").count() == 1
        assert seen.page.locator("details[open] section#mirror-back-lag-now").count() == 1
    assert len(rows) > 5
    for row in rows.values():
        assert row == sorted(row)
        across = sum(width for _, width, _ in row)
        for _, width, share in row:
            assert width / across == pytest.approx(share / sum(each for *_, each in row), abs=0.01)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3), st.sampled_from("hgne")), max_size=12))
def test_every_tile_is_in_one_section(drawn: list[tuple[int, int, str]]) -> None:
    """Drawn or only named, below its header or within its group; none twice."""
    contents = {"h": Header(""), "g": TileGroup(collapsed=True), "n": Nothing("why"), "e": TextTile("text")}
    found = [Tile(str(at), x, y, 1, 2, "", contents[kind]) for at, (y, x, kind) in enumerate(drawn)]
    parts = sections(found)
    named = [part.head for part in parts if part.head]
    named += [tile for part in parts for row in (*part.rows, part.empty) for tile in row]
    assert sorted(tile.name for tile in named) == sorted(tile.name for tile in found)
    for part in parts:
        below = [tile for row in (*part.rows, part.empty) for tile in row]
        if part.head and isinstance(part.head.content, TileGroup):
            assert all(part.head.y <= tile.y < part.head.y + part.head.height for tile in below)
