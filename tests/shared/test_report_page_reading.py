"""Reading the two JSON files: whole and strictly, or one clear line."""

import copy
import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import pytest
import report_samples as samples
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import UsageError
from shared.phase import Phase
from shared.report import Target, render_report, render_status
from shared.report.facts import State
from shared.report.reading import read_state, read_verification

NOW = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
TARGET = Target("dev", samples.SOURCE, samples.DESTINATION)
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


def whole_page_or_one_line(render: Callable[[], str]) -> None:
    refusal = ""
    try:
        page = render()
    except UsageError as error:
        page, refusal = "", str(error)
    if refusal:
        assert refusal.isprintable()
        assert len(refusal) < 500
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
    whole_page_or_one_line(lambda: render_report(put(SMALL, path, junk)))


@settings(max_examples=120)
@given(st.sampled_from(sorted(places(STATE), key=str)), JUNK)
def test_a_damaged_state_makes_a_page_or_one_clear_line(path: tuple[Any, ...], junk: Any) -> None:
    """The same for the state."""
    damaged = put(STATE, path, junk)
    whole_page_or_one_line(lambda: render_status(damaged, None, target=TARGET, now=NOW, refreshed=NOW))


@pytest.mark.parametrize("key", SMALL)
def test_no_field_of_a_verification_may_be_missing(key: str) -> None:
    """What a page shows has to be there; the line says what is not."""
    with pytest.raises(UsageError, match=f"the verification has no {key}"):
        render_report(put(SMALL, (key,), ...))


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("format",),
            "qpi-exports-migration/verification/2",
            r"format is '.*/2'; '.*/1', which this program reads,",
        ),
        (
            ("totals", "source", "bytes"),
            -1,
            r"the verification: totals\.source\.bytes is -1; a count was expected",
        ),
        (("totals", "source", "objects"), True, r"totals\.source\.objects is true; a count"),
        (("totals", "source", "digest"), "A" * 64, r"digest is 'A+…; 64 hexadecimal digits"),
        (("days", 3, "verdict"), "fine", r"days\[3\]\.verdict is 'fine'; one of equal, differing, missing"),
        (("days", 3, "day"), "2024-02-30", r"days\[3\]\.day is '2024-02-30'; a day such as"),
        (("days", 3, "verdicts"), {"lost": 1}, r"days\[3\]\.verdicts\.lost is 1; one of equal, missing"),
        (("days", 3, "day"), "2031-01-01", r"days: 2031-01-01 does not follow 2024-02-22"),
        (("finished",), "2026-11-23T05:15:00", r"finished is '2026-11-23T05:15:00'; a time such as"),
        (("grace_s",), float("nan"), r"grace_s is nan; a number"),
        (("clean",), 1, r"clean is 1; true or false"),
        (
            ("clean",),
            True,
            r"contradicts itself: clean is true, and 79 names|contradicts itself: clean is true",
        ),
        (("exit_code",), 0, r"contradicts itself: exit_code is 0, and clean is false"),
        (("exit_code",), 7, r"contradicts itself: exit_code is 7"),
        (("differences_total",), 1, r"more differences than differences_total"),
        (("lag", "buckets", 3, "up_to_s"), 0.1, r"lag\.buckets is a list; a list with rising bounds"),
        (("lag", "buckets", 3, "up_to_s"), None, r"null only as the last"),
        (
            ("contents", "source_problems", "blank_line", "severity"),
            "fatal",
            r"one of error, not_judged, warning",
        ),
        (("undated",), None, r"undated is null; an object"),
        (("remarks", 0, "level"), "loud", r"level is 'loud'; one of critical, warning, note"),
    ],
)
def test_what_is_wrong_with_a_verification_is_said(path: tuple[Any, ...], value: Any, message: str) -> None:
    """Where, what stands there, what should; and what to do."""
    with pytest.raises(UsageError, match=message) as caught:
        render_report(put(SMALL, path, value))
    if path != ("format",):
        assert str(caught.value).endswith("the file is damaged: run verify again")


@pytest.mark.parametrize(
    ("state", "message"),
    [("equal", "is called equal, and is not"), ("absent", "is called absent, and has objects")],
)
def test_a_day_that_contradicts_itself_is_refused(state: str, message: str) -> None:
    """No cell looks well over counts that are not."""
    at = next(number for number, day in enumerate(SMALL["days"]) if day["verdict"] == "differing")
    with pytest.raises(UsageError, match=message):
        render_report(put(SMALL, ("days", at, "verdict"), state))


@pytest.mark.parametrize("content", [[], "text", None, 7])
def test_what_is_no_object_is_refused(content: Any) -> None:
    """A foreign file."""
    for render in (render_report, read_state):
        with pytest.raises(UsageError, match="where an object was expected"):
            render(content)


def test_fields_of_a_later_program_are_let_be() -> None:
    """Both files may grow."""
    assert read_verification(SMALL | {"later": [1]}) == read_verification(SMALL)
    assert read_state(STATE | {"later": {}}) == read_state(STATE)


def test_a_file_is_read_to_the_last_field() -> None:
    """The values are the file's: spot checks at every depth."""
    found = read_verification(json.loads(json.dumps(SMALL)))
    assert found.days[0].day == date(2024, 2, 20)
    assert found.days[0].source.digest == SMALL["days"][0]["source"]["digest"]
    assert found.finished == datetime(2026, 11, 23, 5, 16, 42, 500_000, UTC)
    assert found.lag is not None
    assert found.lag.buckets[-1].up_to is None
    assert found.contents is not None
    assert [(problem.error, problem.judged) for problem in found.contents.source_problems] == [
        (True, True),
        (False, False),
        (False, True),
    ]
    assert found.differences[0].destination is None
    stands = read_state(STATE | {"phase": "cut_over", "since": "2026-11-23T01:00:00+01:00"})
    assert (stands.phase, stands.since) == (Phase.CUT_OVER, datetime(2026, 11, 23, 0, 0, tzinfo=UTC))
    assert stands.signoffs[0].by == "I. Okafor"
    assert (
        read_state({"phase": "dual_write", "since": None, "signoffs": [], "runs": [], "history": []})
        == State()
    )


@pytest.mark.parametrize("key", ["source", "destination"])
@pytest.mark.parametrize("which", ["state", "verification"])
def test_another_migration_s_file_is_refused(key: str, which: str) -> None:
    """A page about one pair of paths must not show another's verdict."""
    files: dict[str, Callable[[], Any]] = {"state": samples.state, "verification": samples.clean}
    given_files = {name: make() for name, make in files.items()}
    given_files[which][key] = "gs://another-bucket/exports/"
    with pytest.raises(
        UsageError, match=f"the {which}: {key} is 'gs://another-bucket/exports/'; this migration's"
    ):
        render_status(**given_files, target=TARGET, now=NOW, refreshed=NOW)
