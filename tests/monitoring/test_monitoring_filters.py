"""The two filter languages: what a filter takes, and that every text outside the understood part is refused."""

import re
from typing import Any

import pytest

from monitoring import log_filter
from monitoring.checks import query_problems
from monitoring.log_filter import Every, FieldComparison, Negation, Some
from monitoring.query import MetricFilter, Term, groups, metric_filter, promql, selectors
from monitoring.vocabulary import Catalog
from shared.errors import UsageError

A, B, C = (FieldComparison(name, "=", ("1",)) for name in "abc")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a=1", A),
        ("a=1 b=1", Every((A, B))),
        ("a=1 AND b=1", Every((A, B))),
        ("a=1 OR b=1", Some((A, B))),
        ("a=1 b=1 OR c=1", Every((A, Some((B, C))))),
        ("a=1 OR b=1 AND c=1", Every((Some((A, B)), C))),
        ("NOT a=1 OR b=1", Some((Negation(A), B))),
        ("-a=1 b=1", Every((Negation(A), B))),
        ("NOT (a=1 b=1)", Negation(Every((A, B)))),
        ("-(a=1 OR b=1)", Negation(Some((A, B)))),
        ("NOT NOT a=1", Negation(Negation(A))),
        ("(a=1)", A),
        ('a="1"', A),
        (r'a="x\"y\\"', FieldComparison("a", "=", ('x"y\\',))),
        ("a=(1 OR 2 OR 3)", FieldComparison("a", "=", ("1", "2", "3"))),
        ("a=(1)", A),
        ("x.y-z:*".replace("*", '"*"'), FieldComparison("x.y-z", ":", ("*",))),
        *(
            (f"a{op}1", FieldComparison("a", op, ("1",)))
            for op in ("!=", "=~", "!~", ">=", "<=", ">", "<", ":")
        ),
        ("severity>=ERROR", FieldComparison("severity", ">=", ("ERROR",))),
    ],
)
def test_a_log_filter_is_read(text: str, tree: log_filter.Filter) -> None:
    """NOT binds strongest, then OR, then AND, which may be left out."""
    assert log_filter.parse(text) == tree


REFUSED_LOG_FILTERS = [
    "", "a", "a=", "a=1)", "(a=1", "a=(1", "a=(1 2)", "a=()", "=1", "AND", "OR a=1", "a=1 OR", "a=1 AND",
    "NOT", "-", "a 1", '"a"=1', "AND=1", "OR=1", "a=1 AND AND b=1", "severity>=BAD", "severity:ERROR", "severity=~ERR", "severity!~ERR", "severity=(ERROR OR BAD)", 'a="1',
    "a=1 #comment", "a==1", "a=)", "a=NOT b", "a=1 ) b=1", "(a=1 b", "a=(1 OR 2",
]  # fmt: skip


@pytest.mark.parametrize("text", REFUSED_LOG_FILTERS)
def test_a_log_filter_that_is_not_understood_is_refused(text: str) -> None:
    """In one line that names the place; a filter that the parser cannot read is a filter that no check covers."""
    with pytest.raises(UsageError, match="the log filter is not understood at") as refusal:
        log_filter.parse(text)
    assert "\n" not in str(refusal.value)
    assert repr(text) in str(refusal.value)


@pytest.mark.parametrize(
    ("text", "place"), [("a=1 OR", "'its end'"), ("a=1)", "')'"), ("a=1 #x y", "'#x y'")]
)
def test_a_refused_log_filter_names_the_place(text: str, place: str) -> None:
    """The symbol that does not fit, the rest of the text where no symbol begins, or its end."""
    with pytest.raises(UsageError, match=re.escape(f"not understood at {place}: ")):
        log_filter.parse(text)


def test_every_comparison_is_found() -> None:
    """Below every kind of node: checks look at each of them."""
    found = log_filter.comparisons(log_filter.parse("a=1 (b=1 OR NOT c=1)"))
    assert [*found] == [A, B, C]


ENTRY = {
    "severity": "ERROR",
    "jsonPayload": {"event": "mirrored", "n": 7, "t": "7", "flag": True, "off": False, "word": "Late", "none": None},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("severity=ERROR", True), ("severity=INFO", False), ("severity!=INFO", True), ("severity!=ERROR", False),
        ("severity>=ERROR", True), ("severity>=CRITICAL", False), ("severity>=INFO", True),
        ("severity<=ERROR", True), ("severity<=INFO", False), ("severity<=CRITICAL", True),
        ("severity>WARNING", True), ("severity>ERROR", False), ("severity<CRITICAL", True), ("severity<ERROR", False),
        ("jsonPayload.event=mirrored", True), ("jsonPayload.event=mirror", False), ("jsonPayload.event=(a OR mirrored)", True),
        ("jsonPayload.event!=mirrored", False), ("jsonPayload.event!=x", True),
        ('jsonPayload.event=~"^mirr"', True), ('jsonPayload.event=~"^irr"', False),
        ('jsonPayload.event!~"^mirr"', False), ('jsonPayload.event!~"^irr"', True),
        ("jsonPayload.word:late", True), ("jsonPayload.word:LAT", True), ("jsonPayload.word:ax", False), ('jsonPayload.n:"*"', True),
        ("jsonPayload.flag=true", True), ("jsonPayload.flag=True", False), ("jsonPayload.off=false", True),
        ("jsonPayload.n>6", True), ("jsonPayload.n>7", False), ("jsonPayload.n>=7", True), ("jsonPayload.n>=8", False),
        ("jsonPayload.n<8", True), ("jsonPayload.n<7", False), ("jsonPayload.n<=7", True), ("jsonPayload.n<=6", False),
        ("jsonPayload.t>6", True), ("jsonPayload.word>6", False), ("jsonPayload.n>x", False), ("jsonPayload.n>9", False),
        ("jsonPayload.absent=x", False), ("jsonPayload.absent!=x", False), ('jsonPayload.absent:"*"', False),
        ("NOT jsonPayload.absent=x", True), ("jsonPayload.none!=x", False), ("jsonPayload.event.deeper!=x", False),
        ("jsonPayload.n=7 jsonPayload.t=7", True), ("jsonPayload.n=7 jsonPayload.t=8", False),
        ("jsonPayload.n=8 OR jsonPayload.t=7", True), ("jsonPayload.n=8 OR jsonPayload.t=8", False),
    ],
)  # fmt: skip
def test_a_log_filter_takes_what_cloud_logging_would(text: str, taken: bool) -> None:
    """Each operator, on severities, texts, numbers and truth values; a missing field makes every comparison false."""
    assert log_filter.matches(log_filter.parse(text), ENTRY) is taken


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('metric.type="a"', MetricFilter("a", "", ())),
        ('metric.type="a" resource.type="r"', MetricFilter("a", "r", ())),
        ('metric.type = "a" AND resource.type= "r"', MetricFilter("a", "r", ())),
        (
            'metric.type="a" metric.label."x"="1" metric.labels.y!="2"',
            MetricFilter("a", "", (Term("metric", "x", True, "1"), Term("metric", "y", False, "2"))),
        ),
        (
            'metric.type="a" AND resource.label."x"=starts_with("p") resource.labels."y"!=has_substring( "q" )',
            MetricFilter(
                "a", "", (Term("resource", "x", True, "p", "starts_with"), Term("resource", "y", False, "q", "has_substring"))
            ),
        ),
    ],
)  # fmt: skip
def test_a_metric_filter_is_read(text: str, found: MetricFilter) -> None:
    """Labels with and without quotes, as label or labels; AND may be left out."""
    assert metric_filter(text) == found


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no metric.type"),
        ('resource.type="x"', "names no metric.type"),
        ('metric.type="a" metric.type="b"', "must name one metric type"),
        ('metric.type!="a"', "must name one metric type"),
        ('metric.type=starts_with("a")', "must name one metric type"),
        ('metric.type="a" resource.type="r" resource.type="s"', "must name one resource type"),
        ('metric.type="a" OR metric.type="b"', "not understood at 'OR metric.type=\"b\"'"),
        ('metric.type="a" metric.label.x>1', "not understood at 'metric.label.x>1'"),
        ('metric.type="a" metric.label."x="1"', "not understood"),
        ('metric.type="a" metric.label.x=ends_with("b")', "not understood"),
    ],
)
def test_a_metric_filter_that_is_not_understood_is_refused(text: str, told: str) -> None:
    """Nothing is computed from half a filter."""
    with pytest.raises(UsageError, match=re.escape(told)):
        metric_filter(text)


@pytest.mark.parametrize(
    ("term", "holds"),
    [
        (Term("metric", "x", True, "abc"), True),
        (Term("metric", "x", True, "ab"), False),
        (Term("metric", "x", False, "abc"), False),
        (Term("metric", "x", False, "ab"), True),
        (Term("metric", "x", True, "ab", "starts_with"), True),
        (Term("metric", "x", True, "bc", "starts_with"), False),
        (Term("metric", "x", False, "ab", "starts_with"), False),
        (Term("metric", "x", True, "bc", "has_substring"), True),
        (Term("metric", "x", True, "ac", "has_substring"), False),
        (Term("resource", "x", True, "abc"), False),
        (Term("resource", "x", True, ""), True),
        (Term("metric", "absent", False, "abc"), True),
    ],
)
def test_a_term_is_compared_with_its_own_label(term: Term, holds: bool) -> None:
    """The whole value or its beginning; a label that a series does not have is empty."""
    assert term.holds({"metric.x": "abc"}) is holds


def complained(change: dict[str, Any]) -> list[str]:
    """What the checks say of a chart's query with one key changed."""
    query = {"filter": 'metric.type="run.googleapis.com/request_count"', **change}
    return [*query_problems({"timeSeriesFilter": query}, Catalog.of([]))]


@pytest.mark.parametrize(
    ("aligner", "reducer", "told"),
    [
        ("ALIGN_DELTA", "REDUCE_SUM", ""),
        ("ALIGN_RATE", "REDUCE_MAX", ""),
        ("ALIGN_MAX", "REDUCE_SUM", "ALIGN_MAX does not fit run.googleapis.com/request_count, which is DELTA INT64"),
        ("ALIGN_PERCENTILE_95", "REDUCE_SUM", "ALIGN_PERCENTILE_95 does not fit"),
        ("ALIGN_DELTA", "REDUCE_COUNT", "REDUCE_COUNT after ALIGN_DELTA makes no number of"),
    ],
)  # fmt: skip
def test_an_aligner_that_does_not_fit_is_found(aligner: str, reducer: str, told: str) -> None:
    """One complaint of each fault, and none where all is right."""
    found = complained({"aggregation": {"perSeriesAligner": aligner, "crossSeriesReducer": reducer}})
    assert len(found) == bool(told)
    assert all(problem.startswith(told) for problem in found)


def test_a_query_that_no_check_reads_is_found() -> None:
    """Such as one in Cloud Monitoring's own query language."""
    told = "this kind of query is not checked; use one that is"
    assert [*query_problems({"timeSeriesQueryLanguage": "fetch x"}, Catalog.of([]))] == [told]


@pytest.mark.parametrize(
    "text",
    [
        "x:m offset 5m", "x:m @ 5", 'x:m{a="b" or c="d"}', '{a="b"}', "rate(x:m[5m] offset 5m)", "max_over_time(x:m[1h:1m])",
        "sum without (a) (x:m)", "topk(5, x:m)", "stddev(x:m)", "x:m / on (a) y:m", "x:m / ignoring (a) y:m", "1 > bool 2",
        "x:m * on (a) group_left () y:m", 'label_replace(x:m, "a", "b", "c", "d")', '"text"', "sum(x:m offset 5m) > 1",
        "-(x:m offset 5m)", "1 + (2 * x:m @ 5)", "sum(", "nosuch(x:m)", "rate(x:m)", "increase(x:m[0s])", 'x:m{a=~"("}', "",
    ],
)  # fmt: skip
def test_a_query_that_is_not_understood_is_refused(text: str) -> None:
    """What is not PromQL, and what the checks and the preview do not understand, however deep."""
    with pytest.raises(UsageError, match="the query is not understood") as refusal:
        promql(text)
    assert repr(text) in str(refusal.value)


def test_a_query_s_selectors_are_read() -> None:
    """Below every kind of node, each once; a range in seconds, the interval being the chart's step."""
    text = '-sum(rate(a:m{x="1",y!~"2"}[10m])) / (clamp_min(b:m, 0)) > 0 unless avg by (k, l) (increase(c:m[${__interval}]))'
    query = promql(text, 1.5)
    found = [(one.name, [matcher.name for matcher in one.matchers], one.range) for one in selectors(query)]
    assert found == [("a:m", ["x", "y"], 600.0), ("b:m", [], None), ("c:m", [], 1.5)]
    assert groups(query) == {"k", "l"}
    assert groups(promql("sum(a:m)")) == set()


@pytest.mark.parametrize(
    ("matchers", "taken"),
    [
        ("", True), ('a="abc"', True), ('a="ab"', False), ('a!="ab"', True), ('a!="abc"', False), ('a=~"a.*"', True),
        ('a=~"b"', False), ('a!~"b"', True), ('a!~"a.*"', False), ('b=""', True), ('b!=""', False),
        ('a="abc",c="1"', True), ('a="abc",c="2"', False),
    ],
)  # fmt: skip
def test_a_selector_takes_what_prometheus_would(matchers: str, taken: bool) -> None:
    """A regular expression matches the whole value; a label that a series does not have is empty; all matchers must hold."""
    (found,) = selectors(promql(f"x:m{{{matchers}}}"))
    assert found.takes({"a": "abc", "c": "1"}) is taken
