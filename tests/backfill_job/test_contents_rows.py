"""Lines as rows of the exact schema: what BigQuery would hold, and that problems quote nothing."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.contents.lines import ContentsReport, LineChecker
from backfill_job.contents.rows import Row
from demo.data import generate
from shared.verification import Severity

ROW = {
    "user_id": "7",
    "submitted_at": "2024-01-31T12:00:00+01:00",
    "answers": [{"question_id": "Q1", "answer_ids": ["a", "b"]}, {"question_id": "Q2", "answer_ids": []}],
}


def rows_of(data: bytes) -> tuple[list[Row], ContentsReport]:
    rows: list[Row] = []
    checker = LineChecker(take_row=rows.append)
    checker.feed(data)
    return rows, checker.close()


def read(*lines: Any) -> list[Row]:
    """Rows of lines, each given as JSON to be written or as the text itself."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return rows_of("\n".join(texts).encode())[0]


def refusal(line: Any) -> str:
    """Why a line is not known to load."""
    rows, report = rows_of((line if isinstance(line, str) else json.dumps(line)).encode())
    assert rows == []
    problem = report.first(Severity.ERROR) or report.first(Severity.NOT_JUDGED)
    assert problem is not None
    return problem.detail


def micros(text: Any) -> int:
    (row,) = read({"submitted_at": text})
    return int(row["submitted_at"])


def test_a_submission_becomes_a_row_of_the_schema() -> None:
    """Texts as they are, the instant in microseconds, the lists in their order."""
    (row,) = read(ROW)
    assert row == {**ROW, "submitted_at": 1_706_698_800_000_000}


def test_what_is_missing_or_null_is_null_or_empty() -> None:
    """Nothing is required: a missing array is an empty one, as BigQuery stores it."""
    nothing = {"user_id": None, "submitted_at": None, "answers": []}
    assert read({}, {"user_id": None, "submitted_at": None}) == [nothing, nothing]
    (row,) = read({"answers": [{}]})
    assert row["answers"] == [{"question_id": None, "answer_ids": []}]


def test_lines_end_with_a_line_feed_or_with_the_object() -> None:
    """A final line feed, none, a carriage return before it: the same rows; no bytes, no rows."""
    line = b'{"user_id":"1"}'
    for data in (line, line + b"\n", line + b"\r\n"):
        assert [row["user_id"] for row in rows_of(data)[0]] == ["1"]
    assert rows_of(b"")[0] == []


def test_the_demo_s_submissions_are_all_loadable() -> None:
    """What the writer uploads fits the schema."""
    objects = generate(400, until=datetime(2024, 3, 1, tzinfo=UTC).date(), days=5, flat_days=1)
    submissions = [item.data for item in objects if "/user_id_" in item.relative]
    assert len(submissions) > 300
    for data in submissions:
        rows, report = rows_of(data)
        assert len(rows) == report.rows == 1


def test_a_problem_names_the_field_by_its_place_in_the_schema() -> None:
    """And the types; a name in another form than the schema's may be an answer, and is not shown."""
    for line, detail in (
        ({"user_id": 7}, "user_id: number where STRING is wanted"),
        ({"user_id": {}}, "user_id: object where STRING is wanted"),
        ({"answers": {}}, "answers: object where array is wanted"),
        ({"answers": [{}, "a"]}, "answers: string where object is wanted"),
        ({"answers": [{"question_id": True}]}, "answers.question_id: boolean where STRING is wanted"),
        ({"answers": [{"answer_ids": ["a", None]}]}, "answers.answer_ids"),
        ({"comment": "x"}, "'comment'"),
        ({"answers": [{"weight": 1}]}, "answers.'weight'"),
        ({"Jane Doe, 12 Elm Street": 1}, "a field whose name may be an answer"),
        ({"x" * 65: 1}, "a field whose name may be an answer"),
    ):
        assert refusal(line) == detail


def test_a_field_named_in_another_case_is_read_as_the_column() -> None:
    """Column names ignore case, at every level."""
    assert read({"USER_ID": "7", "Answers": [{"Question_Id": "Q1", "answer_IDS": ["a"]}]}) == [
        {"user_id": "7", "submitted_at": None, "answers": [{"question_id": "Q1", "answer_ids": ["a"]}]}
    ]


def test_null_where_a_list_is_is_an_empty_list() -> None:
    """Documented: a list may be null; BigQuery stores no difference."""
    assert read({"answers": None}, {"answers": [{"answer_ids": None}]}) == [
        {"user_id": None, "submitted_at": None, "answers": []},
        {"user_id": None, "submitted_at": None, "answers": [{"question_id": None, "answer_ids": []}]},
    ]


@given(st.text(alphabet="SECRETé0123", min_size=4))
def test_a_refusal_never_quotes_what_the_line_says(secret: str) -> None:
    """Contents are people's answers: they do not go into logs and reports."""
    for line in (
        {"submitted_at": secret},
        {"user_id": [secret]},
        {"answers": secret},
        {"answers": [secret]},
        {secret + " ": 1},
        '{"user_id":"' + secret,
        secret,
    ):
        assert secret not in refusal(line)


# --- TIMESTAMP ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-31T11:00:00Z",
        "2024-01-31T11:00:00.000000+00:00",
        "2024-01-31 11:00:00 UTC",
        "2024-01-31T11:00",
        "2024/01/31 11:00:00",
        1_706_698_800,
        "2024-01-31T12:00:00+01:00",
        "2024-01-31T12:00:00+1",
        "2024-01-31T12:00:00 +01:00",
        "2024-01-31T06:30:00-04:30",
        "2024-02-01T01:00:00.0+14:00",
    ],
)
def test_one_instant_is_one_value_however_it_is_written(text: object) -> None:
    """The same moment in two notations is the same row; without an offset it is UTC."""
    assert micros(text) == 1_706_698_800_000_000


def test_fractions_keep_their_microseconds() -> None:
    """Up to six digits count, each in its place."""
    base = micros("2024-01-31T00:00")
    assert micros("2024-01-31T00:00:00.5Z") - base == 500_000
    assert micros("2024-01-31T00:00:00.000001Z") - base == 1
    assert micros("2024-01-31 00:00-08:00") - base == 8 * 3_600_000_000
    assert micros("0001-01-01 00:00") == -62_135_596_800_000_000
    assert micros("9999-12-31T23:59:59.999999Z") == 253_402_300_799_999_999


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=OFFSETS),  # noqa: DTZ001 -- bounds
    OFFSETS,
)
def test_iso_8601_with_any_offset_is_read_as_its_instant(moment: datetime, elsewhere: timezone) -> None:
    """Whatever offset the writer uses, two notations of one instant are one value."""
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert micros(moment.isoformat()) == micros(moment.astimezone(elsewhere).isoformat(" ")) == expected


# --- anything -------------------------------------------------------------------------------------------------

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["user_id", "submitted_at", "answers", "question_id", "answer_ids", "x"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(st.lists(JSON_VALUES, max_size=4))
def test_every_row_given_has_the_schema_s_form(lines: list[Any]) -> None:
    """Whatever an object holds: rows of exactly the schema, and nothing else."""
    for row in read(*lines):
        assert set(row) == {"user_id", "submitted_at", "answers"}
        assert isinstance(row["user_id"], str | None)
        assert isinstance(row["submitted_at"], int | None)
        for answer in row["answers"]:
            assert set(answer) == {"question_id", "answer_ids"}
            assert isinstance(answer["question_id"], str | None)
            assert all(isinstance(text, str) for text in answer["answer_ids"])
