"""Reading a verification's file and the state's: whole and strictly, or one clear line."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import report_samples as samples
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import MigrationError, PhaseUnknown, UsageError
from shared.phase import Phase
from shared.report.loading import Status
from shared.report.next_steps import CommandTarget
from shared.report.page import render_report, render_status
from shared.state import State

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
TARGET = CommandTarget("dev", samples.SOURCE, samples.DESTINATION)
SMALL = samples.compact()
STATE = samples.state()


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a JSON value below the top, but of a list's like items only the first and the last."""
    if path:
        yield path
    if isinstance(content, dict):
        for key in content:
            yield from places(content[key], (*path, key))
    elif isinstance(content, list) and content:
        for number in {0, len(content) - 1}:
            yield from places(content[number], (*path, number))


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(content)
    inner = changed
    for part in path[:-1]:
        inner = inner[part]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return changed


def report(file: Any) -> str:
    return render_report(samples.read(file))


def status(content: Any) -> str:
    return render_status(Status(TARGET, samples.read_state(content), None, NOW), NOW)


def whole_page_or_one_line(render: Callable[[], str]) -> None:
    refusal = ""
    try:
        page = render()
    except MigrationError as error:
        page, refusal = "", str(error)
    if refusal:
        assert refusal.isprintable()
        assert len(refusal) < 600
    else:
        page.encode()
        assert page.rstrip().endswith("</html>")


JUNK = st.one_of(
    st.just(...),
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 2**63, 10**400, 0.5, float("nan"), float("inf"), -0.0, 1e300]),
    st.text(max_size=20),
    st.sampled_from(
        ["", "2024-02-30", "20240101", "0001-01-01T00:00:00+14:00", "2026-11-23T05:15:00", "\ud800", "equal"]
    ),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.integers()), max_size=3),
)


@settings(max_examples=250)
@given(st.sampled_from(sorted(places(SMALL), key=str)), JUNK)
def test_a_damaged_verification_makes_a_page_or_one_clear_line(path: tuple[Any, ...], junk: Any) -> None:
    """Whatever stands wherever: never another error, never half a page."""
    whole_page_or_one_line(lambda: report(put(SMALL, path, junk)))


@settings(max_examples=120)
@given(st.sampled_from(sorted(places(STATE), key=str)), JUNK)
def test_a_damaged_state_makes_a_page_or_one_clear_line(path: tuple[Any, ...], junk: Any) -> None:
    """The same for the state."""
    whole_page_or_one_line(lambda: status(put(STATE, path, junk)))


@pytest.mark.parametrize("key", SMALL)
def test_no_field_of_a_verification_may_be_missing(key: str) -> None:
    """What a page shows has to be there; the line says what is not."""
    with pytest.raises(UsageError, match=f"the file has no '{key}'"):
        report(put(SMALL, (key,), ...))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("format",), "qpi-exports-migration/verification/2", r"format is '.*/2'; invalid enum value"),
        (("totals", "source", "bytes"), -1, r"totals\.source\.bytes is -1; expected `int` >= 0"),
        (
            ("totals", "source", "bytes"),
            2**63,
            r"totals\.source\.bytes is a huge number; expected `int` <= 92",
        ),
        (
            ("totals", "source", "objects"),
            True,
            r"totals\.source\.objects is true; expected `int`, got `bool`",
        ),
        (
            ("totals", "source", "objects"),
            1.0,
            r"totals\.source\.objects is 1.0; expected `int`, got `float`",
        ),
        (
            ("totals", "source", "digest"),
            "A" * 64,
            r"totals\.source\.digest is 'A+…; expected `str` of another form",
        ),
        (
            ("totals", "source", "digest"),
            "a" * 64 + "\n",
            r"totals\.source\.digest is 'a+…; expected `str` of another form",
        ),
        (("days", 3, "verdict"), "fine", r"days\[3\]\.verdict is 'fine'; invalid enum value"),
        (("days", 3, "day"), "2024-02-30", r"days\[3\]\.day is '2024-02-30'; invalid RFC3339 encoded date"),
        (("days", 3, "day"), None, r"days\[3\]\.day is null"),
        (
            ("days", 3, "verdicts"),
            {"lost": 1},
            r"a name in days\[3\]\.verdicts is wrong; invalid enum value 'lost'",
        ),
        (("days", 3, "day"), "2031-01-01", r"days: 2031-01-01 does not follow 2024-02-22"),
        (("undated", "day"), "2031-01-01", r"undated\.day is an unknown field"),
        (
            ("finished",),
            "2026-11-23T05:15:00",
            r"finished is '2026-11-23T05:15:00'; expected `datetime` with a timezone component",
        ),
        (
            ("finished",),
            "2026-11-23T05:15:00+01:00",
            r"finished is '2026-11-23T05:15:00\+01:00'; expected '2026-11-23T04:15:00.000Z'",
        ),
        (("started",), "0001-01-01T00:00:00+14:00", r"a time is out of range"),
        (("grace_s",), float("nan"), r"no JSON \(NaN is not a number\)"),
        (("grace_s",), 1e300, r"grace_s is 1e\+300; expected `float` < 9.22"),
        (("clean",), 1, r"clean is 1; expected `bool`, got `int`"),
        (("clean",), True, r"it contradicts itself: clean is true, and not equal: [0-9]+ names?"),
        (("counts", "missing"), ..., r"counts has no missing"),
        (("exit_code",), 0, r"contradicts itself: exit_code is 0, and clean is false"),
        (("exit_code",), 7, r"exit_code is 7; invalid enum value 7"),
        (("differences_total",), 1, r"more differences than differences_total"),
        (("lag", "buckets", 3, "up_to_s"), 0.1, r"lag is an object; buckets: expected rising bounds above 0"),
        (
            ("lag", "buckets", 3, "up_to_s"),
            None,
            r"lag is an object; buckets: expected rising bounds above 0, null only as",
        ),
        (("contents", "source_problems", "blank_line", "severity"), "fatal", r"invalid enum value 'fatal'"),
        (("undated",), None, r"undated is null; expected `object`, got `null`"),
        (("remarks", 0, "level"), "loud", r"remarks\[0\]\.level is 'loud'; invalid enum value 'loud'"),
        (
            ("differences", 0, "differences"),
            ["colour"],
            r"differences\[0\]\.differences\[0\] is 'colour'; invalid",
        ),
        (
            ("differences", 0, "source", "generation"),
            "x",
            r"source\.generation is 'x'; expected `str` of another form",
        ),
        (("later",), 1, r"verification\.json: later is an unknown field"),
        (("days", 3, "source", "later"), 1, r"days\[3\]\.source\.later is an unknown field"),
        (("remarks", 0, "\ud800"), 1, r"'\\ud800' is not a text that UTF-8 can hold"),
        (("run",), None, r"run is null; expected `str`, got `null`"),
    ],
)
def test_what_is_wrong_with_a_verification_is_said(path: tuple[Any, ...], value: Any, message: str) -> None:
    """The file, the field, what should stand there; and what to do."""
    with pytest.raises(UsageError, match=message) as caught:
        report(put(SMALL, path, value))
    assert str(caught.value).startswith("verification.json: ")
    assert str(caught.value).endswith("run verify again")


def test_names_that_are_all_equal_with_nothing_else_wrong_are_clean() -> None:
    """A file that calls them not clean is damaged; something critical or broken is a reason."""
    file = samples.clean(3) | {"clean": False, "exit_code": 1}
    with pytest.raises(UsageError, match="clean is false, and not equal: 0 names"):
        samples.read(file)
    critical = {"level": "critical", "kind": "x", "day": None, "text": "t"}
    assert not samples.read(file | {"remarks": [critical]}).clean
    broken = samples.contents(migration_problems={"x": {"objects": 1, "lines": 1, "severity": "error"}})
    assert not samples.read(file | {"contents": broken}).clean
    with pytest.raises(UsageError, match="clean is false, and not equal: 0 names"):
        samples.read(file | {"contents": samples.contents()})


@pytest.mark.parametrize(
    ("state", "message"),
    [("equal", "is called equal, and is not"), ("absent", "is called absent, and has objects")],
)
def test_a_day_that_contradicts_itself_is_refused(state: str, message: str) -> None:
    """No cell looks well over counts that are not."""
    at = next(number for number, day in enumerate(SMALL["days"]) if day["verdict"] == "differing")
    with pytest.raises(UsageError, match=message):
        report(put(SMALL, ("days", at, "verdict"), state))


@pytest.mark.parametrize("content", [[], "text", None, 7])
def test_what_is_no_object_is_refused(content: Any) -> None:
    """A foreign file."""
    with pytest.raises(UsageError, match="Expected `object`"):
        samples.read(content)
    with pytest.raises(PhaseUnknown, match="where an object was expected"):
        samples.read_state(content)


def test_a_file_is_read_to_the_last_field() -> None:
    """The values are the file's, and what is read is what was written."""
    found = samples.read(SMALL)
    assert json.loads(json.dumps(found.to_json())) == SMALL
    assert list(found.to_json()) == list(SMALL)
    assert found.days[0].day == date(2024, 2, 20)
    assert found.days[0].source.digest == SMALL["days"][0]["source"]["digest"]
    assert found.finished == datetime(2026, 11, 23, 5, 16, 42, 500_000, UTC)
    assert found.lag is not None
    assert found.lag.buckets[-1].up_to_s is None
    assert found.contents is not None
    assert [(problem.error, problem.judged) for problem in found.contents.source_problems.values()] == [
        (True, True),
        (False, False),
        (False, True),
    ]
    assert found.differences[0].destination is None
    stands = samples.read_state(samples.state(phase="cut_over", since="2026-11-23T00:00:00Z"))
    assert (stands.phase, stands.since) == (Phase.CUT_OVER, datetime(2026, 11, 23, 0, 0, tzinfo=UTC))
    assert stands.signoffs[0].by == "I. Okafor"


def test_without_a_state_the_migration_has_not_begun() -> None:
    """Nothing is written down yet."""
    known = Status(TARGET, None, None, NOW).known_state
    assert known == State(samples.SOURCE, samples.DESTINATION)
    assert not known.begun


@pytest.mark.parametrize("key", ["source", "destination"])
def test_another_migration_s_file_is_refused(key: str) -> None:
    """A page about one pair of paths must not show another's verdict."""
    foreign = "gs://another-bucket/exports/"
    with pytest.raises(UsageError, match=f"v.json: {key} is '{foreign}'; this migration's is 'gs://"):
        samples.read(SMALL | {key: foreign}).require_migration(samples.SOURCE, samples.DESTINATION, "v.json")
    with pytest.raises(PhaseUnknown, match=f"its {key} is '{foreign}', this one's is gs://"):
        samples.read_state(STATE | {key: foreign})
