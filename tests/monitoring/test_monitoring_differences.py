"""What has to be done in a project: each refusal, each reason to update, and the lines that the operator reads."""

import re
from dataclasses import replace
from typing import Any

import pytest

from monitoring.differences import Existing, ResourceAction, Wanted, changes, fingerprint
from shared.errors import UsageError


def metric(kind: str = "DELTA", value: str = "INT64", labels: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"metricDescriptor": {"metricKind": kind, "valueType": value, "labels": [{"key": one} for one in labels]}}  # fmt: skip


def existing(
    content: dict[str, Any], of: dict[str, Any] | None = None, *, kind: str = "metric", managed: bool = True
) -> Existing:
    """What a project holds, made from a file's content `of`; by default from the very content."""
    return Existing(kind, "k", "projects/p/x", content, managed, fingerprint(content if of is None else of))


def action(wanted: dict[str, Any], there: Existing, kind: str = "alert") -> ResourceAction:
    (found,) = changes([Wanted(kind, "k", wanted)], [replace(there, kind=kind)])
    return found.action


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (metric("GAUGE"), metric(), "metricKind is GAUGE and cannot become DELTA"),
        (metric(value="DISTRIBUTION"), metric(), "valueType is DISTRIBUTION and cannot become INT64"),
        ({}, metric(), "metricKind is None and cannot become DELTA"),
        (metric(labels=("a", "b", "c")), metric(labels=("b",)), "label a, c cannot be taken away from a metric"),
    ],
)  # fmt: skip
def test_what_a_metric_never_changes_is_refused(
    before: dict[str, Any], now: dict[str, Any], told: str
) -> None:
    """The service would refuse it, or keep the old type without a word."""
    with pytest.raises(UsageError, match=re.escape(f"projects/p/x: {told}")):
        changes([Wanted("metric", "k", now)], [existing(before)])


def test_a_metric_may_get_a_label() -> None:
    """Only the other way round is refused; and nothing else is a metric."""
    assert (
        action(metric(labels=("a", "b")), existing(metric(labels=("a",))), "metric") is ResourceAction.UPDATE
    )
    assert action(metric("GAUGE"), existing(metric())) is ResourceAction.UPDATE


def test_what_is_there_twice_is_refused() -> None:
    """An update would have to guess which one is meant."""
    with pytest.raises(
        UsageError, match=r"metric k is there twice: projects/p/x and projects/p/x; delete one"
    ):
        changes([], [existing({}), existing({})])


def test_what_this_software_did_not_make_is_refused_where_it_is_in_the_way_only() -> None:
    """And it is never named as left over."""
    theirs = existing({}, managed=False)
    with pytest.raises(UsageError, match="projects/p/x is there, and this software did not make it"):
        changes([Wanted("metric", "k", {})], [theirs])
    assert changes([], [theirs]) == []
    assert [one.action for one in changes([], [existing({})])] == [ResourceAction.LEFT_OVER]


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        ({"a": 1}, {"a": 1}, ResourceAction.NOTHING),
        ({"a": 1}, {"a": 1, "b": 2}, ResourceAction.NOTHING),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, ResourceAction.NOTHING),
        ({"a": [{"b": 1}]}, {"a": [{"b": 1, "c": 2}]}, ResourceAction.NOTHING),
        ({"a": 1}, {"a": 2}, ResourceAction.UPDATE),
        ({"a": 1}, {}, ResourceAction.UPDATE),
        ({"a": {"b": 1}}, {"a": 7}, ResourceAction.UPDATE),
        ({"a": [1]}, {"a": [1, 2]}, ResourceAction.UPDATE),
        ({"a": [1, 2]}, {"a": [1]}, ResourceAction.UPDATE),
        ({"a": [1]}, {"a": 1}, ResourceAction.UPDATE),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, ResourceAction.UPDATE),
    ],
)
def test_up_to_date_is_what_holds_all_that_the_file_says(
    wanted: dict[str, Any], there: dict[str, Any], found: ResourceAction
) -> None:
    """What the service added does not count; everything else does, however deep."""
    assert action(wanted, existing(there, wanted)) is found


def test_a_file_that_says_less_than_before_is_an_update() -> None:
    """The fingerprint is of the old content, which the project holds in full."""
    assert action({"a": 1}, existing({"a": 1, "b": 2}, {"a": 1, "b": 2})) is ResourceAction.UPDATE


def test_a_fingerprint_is_of_the_content_whatever_its_order() -> None:
    """Twelve digits."""
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1}) != fingerprint({"a": 1, "b": 3})
    assert re.fullmatch("[0-9a-f]{12}", fingerprint({}))


def lines(wanted: dict[str, Any], there: Existing | None) -> list[str]:
    (found,) = changes([Wanted("alert", "k", wanted)], [there] if there else [])
    return found.lines()


def test_a_change_by_hand_is_shown_without_what_the_service_added() -> None:
    """The file is the same as before: names and defaults of the service are not a difference."""
    wanted = {"a": 1, "list": [{"b": 1}]}
    assert lines(wanted, existing({"a": 2, "z": 9, "list": [{"b": 1, "name": "n"}]}, wanted, kind="alert")) == [
        "--- project: alert k", "+++ files: alert k", "@@ -1,3 +1,3 @@", "-a: 2", "+a: 1", " list:", " - b: 1",
    ]  # fmt: skip
    assert "-a: 7" in lines({"a": {"b": 1}}, existing({"a": 7}, {"a": {"b": 1}}, kind="alert"))
    assert "-a: 7" in lines({"a": [1]}, existing({"a": 7}, {"a": [1]}, kind="alert"))
    longer = existing({"a": 1, "list": [{"b": 1}, {"c": 2}]}, wanted, kind="alert")
    assert lines(wanted, longer)[2:] == ["@@ -1,4 +1,3 @@", " a: 1", " list:", " - b: 1", "-- c: 2"]


def test_another_file_is_shown_whole() -> None:
    """A key that the file no longer says is among the lines; a new resource is all plus; an unchanged one has no lines."""
    assert "-z: 9" in lines({"a": 1}, existing({"a": 1, "z": 9}, kind="alert"))
    assert [line for line in lines({"a": 1}, None) if not line.startswith(("+", "@"))] == [
        "--- project: alert k"
    ]
    assert lines({"a": 1}, existing({"a": 1}, kind="alert")) == []
    assert lines({"b": 1, "a": "ü"}, None)[3:] == ["+a: ü", "+b: 1"]
