"""Which lifecycle rules can delete a live object below a prefix: compared with what the local server's rules do.

One direction is safety: a rule that deletes a live object is always found. The other keeps the check usable: for every rule that
is found, there is an object that the rule deletes.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from testing_commands import Commands
from testing_paths import Paths

from backfill_job.bucket_settings import RECORD, Below, deleting_rules, lifecycle_checks
from backfill_job.checks import Standing
from local_gcs.buckets import CONDITIONS, DELETE, due_action, parse_lifecycle
from local_gcs.objects import NO_ATTRIBUTES, Content, ObjectVersion
from shared.errors import PermissionDenied
from shared.migration import Environment, qpi_exports

NOW = datetime(2027, 3, 1, tzinfo=UTC)
LONG_AGO = "1990-01-01T00:00:00.000Z"
CLASSES = ("STANDARD", "NEARLINE", "COLDLINE", "ARCHIVE")
PREFIXES = (
    "",
    "_",
    "_migration/",
    "_migration/qpi_exports/",
    "_migration/qpi_exports/state",
    "q",
    "qpi_exports/",
    "qpi_exports/a/",
)
SUFFIXES = ("", "n", ".json", "state.json", ".jsonl", ".html", "7", "/17", ".csv", ".tmp", "x")
DATA = Below("qpi_exports/")

days = st.integers(0, 4_000)
dates = st.dates(date(2020, 1, 1), date(2030, 1, 1)).map(date.isoformat)
some = {
    "age": days,
    "createdBefore": dates,
    "customTimeBefore": dates,
    "daysSinceCustomTime": days,
    "daysSinceNoncurrentTime": days,
    "isLive": st.booleans(),
    "matchesPrefix": st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=3),
    "matchesStorageClass": st.lists(st.sampled_from(CLASSES), min_size=1, max_size=2),
    "matchesSuffix": st.lists(st.sampled_from(SUFFIXES), min_size=1, max_size=3),
    "noncurrentTimeBefore": dates,
    "numNewerVersions": st.integers(0, 3),
    "sizeAboveBytes": st.integers(0, 20).map(str),
    "sizeBelowBytes": st.integers(0, 20).map(str),
}
conditions = st.fixed_dictionaries({}, optional=some).filter(bool)
belows = st.sampled_from([RECORD, DATA])


def bucket(*conditions: dict[str, Any], action: str = "Delete") -> dict[str, Any]:
    return {
        "name": "b",
        "lifecycle": {"rule": [{"action": {"type": action}, "condition": one} for one in conditions]},
    }


def found(condition: dict[str, Any], below: Below = RECORD) -> bool:
    return deleting_rules(bucket(condition), below) == (1,)


def deletes(condition: dict[str, Any], version: ObjectVersion) -> bool:
    """Whether the local server would delete a live version."""
    return due_action(parse_lifecycle(bucket(condition)["lifecycle"]), version, NOW, 0) == DELETE


def live(name: str, **fields: Any) -> ObjectVersion:
    custom_time = fields.pop("custom_time", None)
    created = fields.pop("time_created", LONG_AGO)
    version = ObjectVersion(
        "b",
        name,
        1,
        1,
        Content.of(b""),
        replace(NO_ATTRIBUTES, custom_time=custom_time),
        "STANDARD",
        created,
        created,
    )
    return replace(version, **fields)


def test_the_conditions_tried_here_are_all_that_the_server_knows() -> None:
    """So a condition that it learns is tried, too."""
    assert some.keys() == CONDITIONS.keys()


@given(
    conditions,
    belows,
    st.sampled_from(["", "qpi_exports/", "a/", "a/state"]),
    st.sampled_from([*RECORD.endings, "/deletions/m.json", "_1.jsonl"]),
    st.integers(0, 3_000).map(lambda ago: NOW - timedelta(days=ago)),
    st.sampled_from(CLASSES),
    st.binary(max_size=25),
)
def test_a_rule_that_deletes_a_live_object_is_found(  # noqa: PLR0917 -- the object's parts
    condition: dict[str, Any],
    below: Below,
    middle: str,
    ending: str,
    created: datetime,
    storage_class: str,
    contents: bytes,
) -> None:
    """Whatever the object is, as long as it is named as those below the prefix are."""
    stamp = created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    version = live(
        f"{below.prefix}{middle}{ending}",
        time_created=stamp,
        custom_time=stamp if below.custom_times else None,
        storage_class=storage_class,
        content=Content.of(contents),
    )
    assert found(condition, below) or not deletes(condition, version)


@given(conditions, belows)
def test_a_rule_that_is_found_deletes_some_live_object(condition: dict[str, Any], below: Below) -> None:
    """So no rule stands in the way that could do no harm."""
    assume(found(condition, below))
    above, under = int(condition.get("sizeAboveBytes", -1)), int(condition.get("sizeBelowBytes", 99))
    assume(above + 1 < under)
    names = [
        f"{max(prefix, below.prefix, key=len)}x{ending}{suffix}"
        for prefix in condition.get("matchesPrefix", [""])
        for suffix in [
            "",
            *condition.get("matchesSuffix", []),
        ]  # it may be a part of an ending: ``n`` of ``.json``
        for ending in ("", *below.endings)
    ]
    names = [name for name in names if not below.endings or name.endswith(below.endings)]
    version = live(
        "x",
        custom_time=LONG_AGO if below.custom_times else None,
        storage_class=condition.get("matchesStorageClass", ["STANDARD"])[0],
        content=Content.of(b"x" * (above + 1)),
    )
    assert any(deletes(condition, replace(version, name=name)) for name in names), names


@pytest.mark.parametrize(
    ("condition", "record", "data"),
    [
        ({}, True, True),
        ({"age": 0}, True, True),
        ({"age": 36_500}, True, True),
        ({"createdBefore": "2019-01-01"}, True, True),
        ({"isLive": True}, True, True),
        ({"isLive": False, "age": 1}, False, False),
        ({"numNewerVersions": 0}, True, True),
        ({"numNewerVersions": 1}, False, False),
        ({"daysSinceNoncurrentTime": 0}, False, False),
        ({"noncurrentTimeBefore": "2999-01-01"}, False, False),
        ({"customTimeBefore": "2024-01-01"}, False, True),
        ({"daysSinceCustomTime": 0}, False, True),
        ({"matchesStorageClass": ["ARCHIVE"]}, True, True),
        ({"matchesPrefix": ["qpi_exports/"], "age": 1}, False, True),
        ({"matchesPrefix": ["QPI_exports/"], "age": 1}, False, False),
        ({"matchesPrefix": ["tmp/", "_mig"], "age": 1}, True, False),
        ({"matchesPrefix": ["tmp/", "_migration/qpi_exports/st"], "age": 1}, True, False),
        ({"matchesPrefix": ["qpi_exports/qpi_answers_2019"], "age": 1}, False, True),
        ({"matchesPrefix": [""], "age": 1}, True, True),
        ({"matchesPrefix": [], "age": 1}, True, True),
        ({"matchesSuffix": [".csv"], "age": 1}, False, True),
        ({"matchesSuffix": [".tmp", "son"], "age": 1}, True, True),
        ({"matchesSuffix": ["state.json"], "age": 1}, True, True),
        # Not known, malformed, or not set: fail closed.
        ({"matchesPattern": "^tmp/"}, True, True),
        ({"phaseOfTheMoon": "full"}, True, True),
        ({"numNewerVersions": True}, True, True),
        ({"numNewerVersions": "1"}, True, True),
        ({"isLive": None, "age": 1}, True, True),
        ({"daysSinceNoncurrentTime": None, "age": 1}, True, True),
        ({"matchesPrefix": "tmp/"}, True, True),
        ({"matchesPrefix": [7]}, True, True),
    ],
    ids=str,
)
def test_each_condition(condition: dict[str, Any], *, record: bool, data: bool) -> None:
    """As the documentation describes it."""
    assert (found(condition, RECORD), found(condition, DATA)) == (record, data)


@pytest.mark.parametrize(
    ("action", "deleting"),
    [
        ("Delete", True),
        ("SetStorageClass", False),
        ("AbortIncompleteMultipartUpload", False),
        ("Shred", True),
        (None, True),
    ],
)
def test_each_action(action: str, *, deleting: bool) -> None:
    """An unknown one counts as deleting."""
    assert bool(deleting_rules(bucket({"age": 1}, action=action), RECORD)) is deleting


@pytest.mark.parametrize(
    "resource", [{}, {"lifecycle": None}, {"lifecycle": {}}, {"lifecycle": {"rule": []}}]
)
def test_a_bucket_without_rules(resource: dict[str, Any]) -> None:
    """In each form in which the API may show it."""
    assert deleting_rules(resource, RECORD) == ()


def test_the_rule_is_named_with_its_conditions_and_what_to_do() -> None:
    """The operator has to find it among the bucket's rules."""
    resource = bucket({"isLive": False}, {"age": 30, "matchesPrefix": ["_migration/"]})
    record, path = lifecycle_checks(resource, qpi_exports(Environment.DEV))
    assert (record.standing, path.standing) == (Standing.FAIL, Standing.PASS)
    assert 'rule 2 {"age": 30, "matchesPrefix": ["_migration/"]}' in record.evidence
    assert "gcloud storage buckets update gs://b --lifecycle-file=FILE" in record.next_step


def test_settings_that_cannot_be_read_are_not_run() -> None:
    """Both block."""
    checks = lifecycle_checks(PermissionDenied("gs://b", "no"), qpi_exports(Environment.DEV))
    assert [check.standing for check in checks] == [Standing.NOT_RUN] * 2
    assert all(check.blocks for check in checks)


@pytest.mark.parametrize(
    "condition",
    [
        {"age": 0},
        {"age": 0, "matchesPrefix": ["_migration/"]},
        {"age": 0, "matchesPrefix": ["qpi_exports/"]},
        {"age": 0, "matchesSuffix": [".jsonl"]},
        {"age": 0, "matchesSuffix": [".csv"]},
        {"isLive": False},
        {"numNewerVersions": 0},
        {"numNewerVersions": 1},
        {"daysSinceCustomTime": 7},
    ],
    ids=str,
)
def test_the_server_deletes_where_the_check_says_so(
    paths: Paths, commands: Commands, condition: dict[str, Any]
) -> None:
    """A real bucket with the rule: the record and the data are gone where the check failed, and only there."""
    migration = paths.migration
    record = [migration.own_ref("state.json"), migration.own_ref("deletions", "m.jsonl")]
    for at in record:
        commands.gateway.put(at, b"{}")
    paths.put("a.jsonl", side="destination", custom_time=datetime(2024, 1, 1, tzinfo=UTC))
    paths.put("a.csv", side="destination")
    paths.set_rules(condition)
    checks = lifecycle_checks(commands.gateway.bucket_resource(migration.destination.bucket), migration)
    paths.server.run_lifecycle()
    paths.set_rules()
    left = [all(commands.gateway.look(at) for at in record), len(paths.names()) == 2]
    assert [check.passed for check in checks] == left
