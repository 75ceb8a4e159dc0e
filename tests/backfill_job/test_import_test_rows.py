"""An object's bytes as rows of the exact schema: what is taken, what is refused, and that refusals quote nothing."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.import_test.rows import BadLine, rows_of
from local_gcs.demo_data import generate

ROW = {
    "user_id": "7",
    "submitted_at": "2024-01-31T12:00:00+01:00",
    "answers": [{"question_id": "Q1", "answer_ids": ["a", "b"]}, {"question_id": "Q2", "answer_ids": []}],
}


def read(*lines: Any) -> list[Any]:
    """Rows of lines, each given as JSON to be written or as the text itself."""
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    return list(rows_of("\n".join(texts).encode()))


def refusal(line: Any) -> str:
    (bad,) = read(line)
    assert isinstance(bad, BadLine)
    return bad.why


def micros(text: str) -> int:
    (row,) = read({"submitted_at": text})
    assert not isinstance(row, BadLine), row
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


def test_lines_end_with_a_line_feed_and_blank_ones_are_no_rows() -> None:
    """A final line feed, none, a carriage return before it, blank lines: the same rows; no bytes, no rows."""
    line = b'{"user_id":"1"}'
    for data in (line, line + b"\n", line + b"\r\n", b"\n  \n" + line + b"\n\n"):
        assert [row["user_id"] for row in rows_of(data) if not isinstance(row, BadLine)] == ["1"]
    assert list(rows_of(b"")) == []


def test_the_demo_s_submissions_are_all_loadable() -> None:
    """What the writer uploads fits the schema."""
    objects = generate(400, until=datetime(2024, 3, 1, tzinfo=UTC).date(), days=5, flat_days=1)
    submissions = [item.data for item in objects if "/user_id_" in item.relative]
    assert len(submissions) > 300
    assert not [row for data in submissions for row in rows_of(data) if isinstance(row, BadLine)]


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ({"user_id": 7}, "user_id is a number, a STRING is wanted"),
        ({"user_id": True}, "user_id is a boolean, a STRING is wanted"),
        ({"user_id": ["7"]}, "user_id is an array, a STRING is wanted"),
        ({"user_id": {}}, "user_id is an object, a STRING is wanted"),
        ({"submitted_at": 1706698800}, "submitted_at is a number, a TIMESTAMP is wanted"),
        ({"submitted_at": "yesterday"}, "submitted_at is no TIMESTAMP, such as 2024-01-31T23:59:59+01:00"),
        ({"answers": None}, "answers is null, an array is wanted"),
        ({"answers": {}}, "answers is an object, an array is wanted"),
        ({"answers": [None]}, "answers[0] is null, an object is wanted"),
        ({"answers": [{}, "a"]}, "answers[1] is a string, an object is wanted"),
        ({"answers": [{"question_id": 1}]}, "answers[0].question_id is a number, a STRING is wanted"),
        ({"answers": [{"answer_ids": "a"}]}, "answers[0].answer_ids is a string, an array is wanted"),
        ({"answers": [{"answer_ids": ["a", None]}]}, "answers[0].answer_ids[1] is null, a STRING is wanted"),
        ({"comment": "x"}, "has field comment, which the schema lacks"),
        ({"answers": [{"weight": 1}]}, "has field weight in answers[0], which the schema lacks"),
        ({"Jane Doe, 12 Elm Street": 1}, "has a field, which the schema lacks"),
        ('{"user_id":"1","user_id":"2"}', "names a field twice"),
        ("[]", "the line is an array, an object is wanted"),
        ('{"user_id":"\\ud800"}', "user_id holds half a surrogate pair, which is no text"),
        ('{"user_id":NaN}', "is not JSON (NaN is none of its numbers)"),
        ('{"user_id":"1"', "is not JSON (Expecting ',' delimiter, column 15)"),
        ('{"user_id":"1"}{"user_id":"2"}', "is not JSON (Extra data, column 16)"),
        ("[" * 100_000, "is nested too deeply"),
        ('{"user_id":' + "9" * 10_000 + "}", "user_id is a number, a STRING is wanted"),
    ],
)
def test_what_bigquery_would_refuse_is_refused(line: Any, why: str) -> None:
    """Unknown fields and wrong types fail, as with ignore_unknown_values=False and the exact schema."""
    assert refusal(line) == why


def test_bytes_that_are_no_utf_8_are_refused() -> None:
    """BigQuery reads JSON as UTF-8 only; a byte order mark is not JSON either."""
    assert list(rows_of(b'{"user_id":"\xff"}')) == [BadLine(1, "is not UTF-8 (byte 13 of the line)")]
    (bad,) = rows_of(b'\xef\xbb\xbf{"user_id":"1"}')
    assert isinstance(bad, BadLine)


def test_the_first_bad_line_ends_the_object_and_has_its_number() -> None:
    """One bad record fails a load; lines count from 1, blank ones too."""
    rows = read({"user_id": "1"}, "", {"user_id": 2}, {"user_id": "3"})
    assert [row["user_id"] for row in rows[:-1]] == ["1"]
    assert rows[-1] == BadLine(3, "user_id is a number, a STRING is wanted")


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
        "2024-01-31t11:00:00z",
        "2024/1/31 11:0:0",
        "2024-01-31T12:00:00+01:00",
        "2024-01-31T12:00:00+1",
        "2024-01-31T06:30:00-04:30",
        "2024-02-01T01:00:00.0+14:00",
    ],
)
def test_one_instant_is_one_value_however_it_is_written(text: str) -> None:
    """The same moment in two notations is the same row; without an offset it is UTC."""
    assert micros(text) == 1_706_698_800_000_000


def test_fractions_keep_their_microseconds() -> None:
    """Up to six digits count, each in its place."""
    base = micros("2024-01-31")
    assert micros("2024-01-31T00:00:00.5Z") - base == 500_000
    assert micros("2024-01-31T00:00:00.000001Z") - base == 1
    assert micros("2024-01-31-08:00") - base == 8 * 3_600_000_000
    assert micros("0001-01-01") == -62_135_596_800_000_000
    assert micros("9999-12-31T23:59:59.999999Z") == 253_402_300_799_999_999


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2024-01-31T",
        "2024-01/31",
        "31-01-2024",
        "20240131",
        "2024-01-31T11:00Z",
        "2024-01-31T11:00:00.0000001Z",
        "2024-01-31T11:00:00+0100",
        "2024-01-31T11:00:00+01:00 ",
        "2024-01-31T11:00:00 Europe/Paris",
        "2024-02-30",
        "2024-01-31T24:00:00",
        "2024-01-31T11:00:60",
        "2024-01-31T11:00:00+15:00",
        "2024-01-31T11:00:00+01:99",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "٢٠٢٤-01-31",
        "1706698800",
    ],
)
def test_what_is_no_timestamp_is_refused(text: str) -> None:
    """Nothing is guessed: another form, a day no calendar has, a moment outside of BigQuery's range."""
    assert "submitted_at" in refusal({"submitted_at": text})


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
    """Whatever an object holds: rows of exactly the schema, or a refusal, and nothing else."""
    for row in read(*lines):
        if isinstance(row, BadLine):
            continue
        assert set(row) == {"user_id", "submitted_at", "answers"}
        assert isinstance(row["user_id"], str | None)
        assert isinstance(row["submitted_at"], int | None)
        for answer in row["answers"]:
            assert set(answer) == {"question_id", "answer_ids"}
            assert isinstance(answer["question_id"], str | None)
            assert all(isinstance(text, str) for text in answer["answer_ids"])


@given(st.binary(max_size=200))
def test_no_bytes_are_too_strange(data: bytes) -> None:
    """Rubbish is refused, never a crash."""
    assert all(isinstance(row, dict | BadLine) for row in rows_of(data))
