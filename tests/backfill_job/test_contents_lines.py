"""JSON Lines as BigQuery's load reads them: what is a problem, what is not, and how much memory it takes."""

import json
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.contents.lines import EXAMPLES_OF_A_KIND, Bounds, ContentsReport, LineChecker
from backfill_job.contents.rows import ProblemKind, Row
from shared.verification import Severity

GOOD = {
    "user_id": "u1",
    "submitted_at": "2024-01-01T10:00:00Z",
    "answers": [{"question_id": "q1", "answer_ids": ["a", "b"]}, {"question_id": "q2", "answer_ids": []}],
}
GOOD_LINE = json.dumps(GOOD).encode()
SECRET = "s3cr3t"
MIB = 1024 * 1024


def checked(*pieces: bytes, bounds: Bounds | None = None) -> ContentsReport:
    checker = LineChecker(bounds or Bounds())
    for piece in pieces:
        checker.feed(piece)
    return checker.close()


def kinds(*pieces: bytes, bounds: Bounds | None = None) -> dict[str, int]:
    return {kind.value: count for kind, count in checked(*pieces, bounds=bounds).counts.items()}


def row(**fields: Any) -> bytes:
    return json.dumps(GOOD | fields).encode() + b"\n"


def answer(**fields: Any) -> bytes:
    return row(answers=[{"question_id": "q", "answer_ids": ["a"]} | fields])


def test_a_good_object_has_no_problem_with_and_without_its_last_line_feed() -> None:
    """The last line needs no line feed; lines may end as Windows ends them."""
    for data in (GOOD_LINE, GOOD_LINE + b"\n", GOOD_LINE + b"\r\n", b"  " + GOOD_LINE + b"\t\n"):
        assert checked(data) == ContentsReport(1, {}, ())


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"hello\n", {"not_json": 1}),
        (b"hello", {"not_json": 1}),
        (b'{"user_id": "1",\n', {"not_json": 1}),
        (GOOD_LINE + b"," + b"\n", {"not_json": 1}),
        (GOOD_LINE + GOOD_LINE + b"\n", {"not_json": 1}),
        (b'{"user_id": "a\x01b"}\n', {"not_json": 1}),
        (b"\x00\n", {"not_json": 1}),
        (b"[" * 3000 + b"\n", {"not_json": 1}),
        (b"[" * 3000 + b"]" * 3000 + b"\n", {"not_json": 1}),
        (GOOD_LINE[:-1], {"truncated": 1}),
        (GOOD_LINE[:30], {"truncated": 1}),
        (b'{"user_id": "\xc3', {"truncated": 1}),
        (b'{"user_id": "\\ud83d', {"truncated": 1}),
        (b"[" + GOOD_LINE + b"]\n", {"not_an_object": 1}),
        (b'"text"\n', {"not_an_object": 1}),
        (b"null\n", {"not_an_object": 1}),
        (b'{"user_id": "\xff"}\n', {"invalid_utf8": 1}),
        (b'{"user_id": "\xc3\n', {"invalid_utf8": 1}),
        (GOOD_LINE.decode().encode("utf-16"), {"invalid_utf8": 1}),
        (b"\xef\xbb\xbf" + GOOD_LINE + b"\n", {"byte_order_mark": 1}),
        (GOOD_LINE + b"\n\xef\xbb\xbf" + GOOD_LINE, {"byte_order_mark": 1, "duplicate_user": 1}),
        (b'{"user_id": NaN}\n', {"not_a_number": 1}),
        (b'{"user_id": -Infinity}\n', {"not_a_number": 1}),
        (b'{"user_id": 1e400}\n', {"not_a_number": 1}),
        (b'{"user_id": "\\ud800"}\n', {"lone_surrogate": 1}),
        (GOOD_LINE + b"\n\n", {"blank_line": 1}),
        (GOOD_LINE + b"\n \t\r\n", {"blank_line": 1}),
        (b"", {"empty": 1}),
        (b"\n\n", {"blank_line": 2, "empty": 1}),
    ],
)
def test_a_line_that_is_no_row_is_said_to_be_what_it_is(data: bytes, expected: dict[str, int]) -> None:
    """One name a cause, so a reader of the report knows what to mend."""
    assert kinds(data) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (row(extra=1), {"unknown_field": 1}),
        (row(extra=None), {"unknown_field": 1}),
        (b'{"x": ' + b"[" * 1020 + b"]" * 1020 + b", " + GOOD_LINE[1:], {"unknown_field": 1}),
        (answer(extra=1), {"unknown_field": 1}),
        (row(user_id=7), {"coerced": 1}),
        (row(user_id=1.5), {"coerced": 1}),
        (row(user_id=True), {"coerced": 1}),
        (row(user_id=["u"]), {"wrong_type": 1}),
        (row(user_id={"id": "u"}), {"wrong_type": 1}),
        (row(user_id=None), {"no_value": 1}),
        (b'{"submitted_at": "2024-01-01T00:00", "answers": []}\n', {"no_value": 1}),
        (b"{}\n", {"no_value": 1}),
        (row(user_id=""), {}),
        (row(user_id="a\0b"), {"nul_character": 1}),
        (row(user_id="\\u0000"), {}),
        (row(answers=[]), {}),
        (row(answers=None), {"null_array": 1}),
        (row(answers={}), {"wrong_type": 1}),
        (row(answers="q"), {"wrong_type": 1}),
        (row(answers=[None]), {"null_in_array": 1}),
        (row(answers=["q"]), {"wrong_type": 1}),
        (row(answers=[[]]), {"wrong_type": 1}),
        (answer(question_id=None), {"no_value": 1}),
        (answer(answer_ids=None), {"null_array": 1}),
        (answer(answer_ids="a"), {"wrong_type": 1}),
        (answer(answer_ids=["a", None]), {"null_in_array": 1}),
        (answer(answer_ids=["a", 1]), {"coerced": 1}),
        (answer(answer_ids=[["a"]]), {"wrong_type": 1}),
        (row(answers=[{"question_id": "q"}]), {}),
        (b'{"USER_ID": "u", "submitted_at": "2024-01-01T00:00", "answers": []}', {"field_case": 1}),
        (
            b'{"USER_ID": {}, "submitted_at": "2024-01-01T00:00", "answers": []}',
            {"field_case": 1, "wrong_type": 1},
        ),
        (row(USER_ID="u"), {"field_case": 1, "duplicate_field": 1}),
        (b'{"user_id": "u", ' + GOOD_LINE[1:], {"duplicate_field": 1}),
        (b'{"\\u0075ser_id": "u", ' + GOOD_LINE[1:], {"duplicate_field": 1}),
        (
            GOOD_LINE.replace(b'{"question_id"', b'{"question_id" : "q", "question_id"'),
            {"duplicate_field": 1},
        ),
        (GOOD_LINE.replace(b'["a", "b"]', b'[], "answer_ids": []'), {"duplicate_field": 1}),
        (row(user_id='"user_id"', answers=[{"question_id": '"question_id"'}]), {}),
        (
            row(user_id={}, extra=1, submitted_at=""),
            {"wrong_type": 1, "unknown_field": 1, "bad_timestamp": 1},
        ),
    ],
)
def test_a_row_is_judged_by_the_schema(line: bytes, expected: dict[str, int]) -> None:
    """The table in ``rows``, a test for each line of it."""
    assert kinds(line) == expected


TAKEN = [
    *("2024-01-01 10:00:00", "2024-01-01T10:00:00", "2024/01/01 10:00", "2024-01-01T10:00", "2024-02-29T00:00"),
    *("2024-01-01T10:00:00Z", "2024-01-01 10:00:00 UTC", "2024-01-01T10:00Z", "2024-01-01T10:00:00.5"),
    *("2024-01-01T10:00:00+02:00", "2024-01-01 10:00:00 -05:00", "2024-01-01T10:00:00+02", "2024-01-01 10:00+2:30"),
    *("2024-01-01T10:00:00.123456Z", "2024-01-01T10:00:00-14:00"),
    *("0001-01-01T00:00:00Z", "0001-01-01T14:00:00+14:00", "9999-12-31T23:59:59.999999Z", "9999-12-31T09:59:59-14:00"),
    *(0, -1, 1704103200, -62135596800, 253402300799),
]  # fmt: skip
REFUSED = [
    *("", " ", "yesterday", "2024-01", "20240101T100000Z", "2024-W01-1", "01/02/2024", "2024-01/01", "2024-01-01T"),
    *("2024-13-01", "2024-02-30", "2023-02-29", "2024-01-01T24:00:00Z", "2024-01-01T10:60:00Z", "0000-01-01"),
    *("2024-01-01T10Z", "2024-01-01T10:00:00,5Z", "2024-01-01T10:00:61Z", "31-01-2024"),
    *("\u0662024-01-01", "12024-01-01", "0x10", "nan", "1 2"),
    *("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-01:00"),
]  # fmt: skip
ODD = {
    "2024-01-01": "a date without a time",
    "2024/01/01": "a date without a time",
    "2024-01-01-08:00": "a date without a time",
    "0001-01-01": "a date without a time",
    "2024-1-1T10:00:00": "a form that is not documented for loads",
    "2024-01-01 1:2:3": "a form that is not documented for loads",
    "2024-01-01t10:00:00": "a form that is not documented for loads",
    "2024-01-01T10:00:00z": "a form that is not documented for loads",
    "2024-01-01 10:00:00UTC": "a form that is not documented for loads",
    "2024-01-01T10:00:00+02:60": "a form that is not documented for loads",
    "2024-01-01T10:00:00+0200": "an offset without a colon",
    "2024-01-01T10:00:00+15:00": "an offset of more than 14 hours",
    "2024-01-01T10:00:00-14:01": "an offset of more than 14 hours",
    "2024-01-01T10:00:00.Z": "a point without digits",
    "2024-01-01T10:00:00.": "a point without digits",
    "2016-12-31T23:59:60Z": "a leap second",
    "2024-01-01T10:00:00.1234567Z": "more than six digits of a second",
    "2024-01-01 10:00:00 Europe/Paris": "the name of a time zone",
    "2024-01-01 10:00:00 CET": "the name of a time zone",
    "1704103200": "a number in a text",
    "-1.5": "a number in a text",
    "20240101": "a number in a text",
    "1704103200000": "a number in a text",
    "1e9": "a number in a text",
    1704103200.5: "a number with a point or an exponent",
    1704103200.0: "a number with a point or an exponent",
    "2024-01-01T10:00:00+01:00 ": "white space around it, or more than one space in it",
    " 2024-01-01": "white space around it, or more than one space in it",
    "2024-01-01\n": "white space around it, or more than one space in it",
    1704103200000: "a number beyond the seconds of the years 1 to 9999 (milliseconds?)",
    253402300800: "a number beyond the seconds of the years 1 to 9999 (milliseconds?)",
    -62135596801: "a number beyond the seconds of the years 1 to 9999 (milliseconds?)",
    1e300: "a number beyond the seconds of the years 1 to 9999 (milliseconds?)",
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, {}) for value in TAKEN),
        *((value, {"bad_timestamp": 1}) for value in REFUSED),
        *((value, {"odd_timestamp": 1}) for value in ODD),
        *((value, {"wrong_type": 1}) for value in (True, [], {}, ["2024-01-01"])),
        (None, {"no_value": 1}),
    ],
    ids=repr,
)
def test_a_timestamp_has_a_form_that_loads_and_exists(value: object, expected: dict[str, int]) -> None:
    """The documentation of loads decides; a form that it does not name is not judged, and a 30th of February is bad."""
    assert kinds(row(submitted_at=value)) == expected


@pytest.mark.parametrize(("value", "why"), ODD.items(), ids=repr)
def test_why_a_timestamp_is_not_judged_is_said(value: object, why: str) -> None:
    """A person sees what to ask BigQuery."""
    (problem,) = checked(row(submitted_at=value)).examples
    assert problem.detail == f"submitted_at: {why}"


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001 -- bounds
    st.sampled_from(["T", " "]),
    st.integers(-14 * 60, 14 * 60),
)
def test_every_time_as_python_writes_it_loads(moment: datetime, separator: str, offset: int) -> None:
    """``isoformat`` with any offset a clock may have: what a writer in Python sends."""
    zone = timezone(timedelta(minutes=offset))
    assert kinds(row(submitted_at=moment.replace(tzinfo=zone).isoformat(separator))) == {}


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
ROWS = st.fixed_dictionaries(
    {
        "user_id": TEXTS,
        "submitted_at": st.just("2024-01-01T00:00:00Z"),
        "answers": st.lists(
            st.fixed_dictionaries({"question_id": TEXTS, "answer_ids": st.lists(TEXTS, max_size=3)}),
            max_size=3,
        ),
    }
)


@given(
    st.lists(ROWS, min_size=1, max_size=5, unique_by=lambda it: it["user_id"]), st.booleans(), st.booleans()
)
def test_what_fits_the_schema_has_no_problem(rows: list[Any], ascii_only: bool, ends: bool) -> None:
    """Whatever the texts hold, escaped or not."""
    data = "\n".join(json.dumps(it, ensure_ascii=ascii_only) for it in rows) + ("\n" if ends else "")
    assert checked(data.encode()) == ContentsReport(len(rows), {}, ())


FRAGMENTS = st.one_of(
    st.binary(max_size=20),
    st.sampled_from(
        [
            GOOD_LINE,
            GOOD_LINE[:40],
            b"\n",
            b"\r\n",
            b"\xef\xbb\xbf",
            b"[" * 40,
            b"{}",
            b'{"a":',
            b"\xc3",
            b"null",
        ]
    ),
)


@given(st.lists(FRAGMENTS, max_size=12).map(b"".join), st.data())
def test_where_the_bytes_are_cut_makes_no_difference(data: bytes, draw: st.DataObject) -> None:
    """Any bytes, cut anywhere, have the report that they have in one piece; none makes the checker fail."""
    cuts = draw.draw(st.lists(st.integers(0, len(data)), max_size=8).map(sorted))
    pieces = [data[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    bounds = Bounds(line=draw.draw(st.integers(1, 400)), users=2)
    assert checked(*pieces, bounds=bounds) == checked(data, bounds=bounds)


@given(st.lists(FRAGMENTS, max_size=12).map(b"".join))
def test_every_line_is_a_row_or_blank_and_what_is_no_json_object_does_not_load(data: bytes) -> None:
    """A second parser agrees on which lines hold an object."""
    report = checked(data)
    lines = data.split(b"\n")
    assert report.rows == sum(bool(line.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r")) for line in lines)
    errors = sum(count for kind, count in report.counts.items() if kind.severity is not Severity.WARNING)
    assert errors >= sum(not _is_object(line) for line in lines if line.strip(b" \t\r"))


def _is_object(line: bytes) -> bool:
    def refuse(text: str) -> None:
        raise ValueError(text)

    try:
        value = json.loads(line.decode(), parse_constant=refuse)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)


def test_a_report_says_which_lines_and_keeps_a_few_of_each_kind() -> None:
    """All are counted; the first are shown."""
    data = GOOD_LINE + b"\n" + b"x\n" * 10 + b'{"user_id": 1}\n'
    report = checked(data)
    assert report.counts[ProblemKind.NOT_JSON] == 10
    shown = [problem.line for problem in report.examples if problem.kind == "not_json"]
    assert shown == list(range(2, 2 + EXAMPLES_OF_A_KIND))
    assert {problem.line for problem in report.examples if problem.kind == "coerced"} == {12}


def test_where_a_value_is_wrong_is_said_by_the_schema_s_names() -> None:
    """A person finds it without seeing the data."""
    data = answer(answer_ids=[{}]) + row(submitted_at="1.1.2024") + b'{"user_id": "a\xffb"}'
    details = {problem.kind: problem.detail for problem in checked(data).examples}
    assert details["wrong_type"] == "answers.answer_ids: object where STRING is wanted"
    assert details["bad_timestamp"] == "submitted_at: a text of 8 characters in no form of a TIMESTAMP"
    assert details["invalid_utf8"] == "at byte 15 of the line"


@pytest.mark.parametrize(
    "data",
    [
        row(user_id=SECRET) * 2,
        row(user_id=[SECRET]),
        row(submitted_at=SECRET),
        row(user_id=SECRET + "\0"),
        row(extra=SECRET),
        row(answers=[SECRET]),
        SECRET.encode(),
        b'{"user_id": "' + SECRET.encode() + b"\xff",
        b'{"user_id": "' + SECRET.encode() + b'\\ud800"}',
        b'{"user_id": ' + SECRET.encode(),
        b'{"user_id": "' + SECRET.encode(),
    ],
)
def test_no_report_holds_values(data: bytes) -> None:
    """Answers to questionnaires concern only the consumer."""
    report = checked(data)
    assert report.examples
    assert SECRET not in repr(report)


def test_an_unknown_field_s_name_is_cut_short_and_made_harmless() -> None:
    """A whole message may have been taken for a name, and a terminal obeys control characters."""
    (problem,) = checked(row(**{"\x1b[31m" + "x" * 30_000: 1})).examples
    assert problem.kind == "unknown_field"
    assert len(problem.detail) < 60
    assert "\x1b" not in problem.detail


def test_a_user_s_second_row_in_one_object_is_noticed() -> None:
    """A warning: it loads, and then stands there twice."""
    lines = [row(user_id=user) for user in ("a", "b", "a", "a")]
    report = checked(*lines)
    assert report.counts == {ProblemKind.DUPLICATE_USER: 2}
    assert [problem.line for problem in report.examples] == [3, 4]
    assert ProblemKind.DUPLICATE_USER.severity is Severity.WARNING


def test_users_are_remembered_up_to_a_bound_and_the_report_says_that_it_was_reached() -> None:
    """A file of millions of rows fits; nothing that was not compared is taken for compared."""
    users = ["a", "b", "c", "a", "c"]
    lines = [row(user_id=user) for user in users]
    assert kinds(*lines, bounds=Bounds(users=3)) == {"duplicate_user": 2}
    assert kinds(*lines, bounds=Bounds(users=2)) == {"duplicate_user": 1, "users_not_compared": 1}


def test_a_line_up_to_the_bound_is_judged_and_a_longer_one_is_reported() -> None:
    """It may be anything. The lines around it are judged as ever."""
    longest = GOOD_LINE + b" " * 100
    bounds = Bounds(line=len(longest))
    assert kinds(longest, bounds=bounds) == kinds(longest + b"\n", bounds=bounds) == {}
    for end in (b"", b"\n"):
        assert kinds(longest, b" " + end, bounds=bounds) == {"line_too_long": 1}
    report = checked(b"x\n" + longest * 9 + b"\n" + row(extra=1), bounds=bounds)
    assert [(problem.line, problem.kind) for problem in report.examples] == [
        (1, "not_json"),
        (2, "line_too_long"),
        (3, "unknown_field"),
    ]
    assert report.rows == 3
    assert ProblemKind.LINE_TOO_LONG.severity is Severity.NOT_JUDGED


def traced_peak(pieces: Iterable[bytes], bounds: Bounds) -> tuple[ContentsReport, int]:
    checker = LineChecker(bounds)
    tracemalloc.start()
    for piece in pieces:
        checker.feed(piece)
    report = checker.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return report, peak


def test_a_line_of_fifty_megabytes_is_not_held() -> None:
    """It is counted while it goes by; memory stays at the bound."""
    pieces = [b'{"user_id": "', *(b"x" * 65536 for _ in range(800)), b'"}\n', row()]
    report, peak = traced_peak(pieces, Bounds(line=MIB))
    assert report.rows == 2
    assert report.counts == {ProblemKind.LINE_TOO_LONG: 1}
    assert peak < 3 * MIB


def test_memory_does_not_grow_with_the_problems() -> None:
    """Thousands of bad lines, each bad in its own way, are counted and not kept."""
    pieces = (b'{"field_%d": 1}\nno json %d\n\n' % (n, n) for n in range(5_000))
    report, peak = traced_peak(pieces, Bounds())
    assert report.counts[ProblemKind.UNKNOWN_FIELD] == report.counts[ProblemKind.NOT_JSON] == 5_000
    assert len(report.examples) == 4 * EXAMPLES_OF_A_KIND
    assert peak < MIB / 4


def test_every_kind_has_the_verdict_of_the_table() -> None:
    """What would fail the load or was not judged must not pass for odd; and what is unknown is not refused."""
    found = {
        severity: {kind.value for kind in ProblemKind if kind.severity is severity} for severity in Severity
    }
    assert found == {
        Severity.WARNING: {
            *("field_case", "null_array", "no_value", "empty", "compressed"),
            *("duplicate_user", "users_not_compared"),
        },
        Severity.NOT_JUDGED: {
            *(
                "coerced",
                "duplicate_field",
                "nul_character",
                "lone_surrogate",
                "not_a_number",
                "odd_timestamp",
            ),
            *(
                "invalid_utf8",
                "byte_order_mark",
                "blank_line",
                "line_too_long",
                "other_encoding",
                "too_large",
            ),
        },
        Severity.ERROR: {
            *("not_json", "truncated", "not_an_object", "unknown_field", "wrong_type", "null_in_array"),
            *("bad_timestamp", "bad_encoding", "not_as_listed"),
        },
    }


def test_the_first_problem_of_a_severity_is_found_in_the_order_of_the_lines() -> None:
    """For a verdict over the object: the worst counts, and the first of them is shown."""
    report = checked(row(user_id=1) + row(user_id="2", answers=None) + row(user_id=["3"]) + b"x\n")
    shown = {severity: report.first(severity) for severity in Severity}
    assert {severity: found and (found.line, found.kind) for severity, found in shown.items()} == {
        Severity.ERROR: (3, "wrong_type"),
        Severity.NOT_JUDGED: (1, "coerced"),
        Severity.WARNING: (2, "null_array"),
    }
    assert checked(GOOD_LINE).first(Severity.WARNING) is None


def taken(*pieces: bytes, bounds: Bounds | None = None) -> list[Row]:
    rows: list[Row] = []
    checker = LineChecker(bounds or Bounds(), rows.append)
    for piece in pieces:
        checker.feed(piece)
    checker.close()
    return rows


def test_rows_that_load_are_given_and_no_others() -> None:
    """A reader of rows gets exactly what BigQuery would hold; what is not judged is not among them."""
    lines = (GOOD_LINE + b"\n", row(user_id=7), row(extra=1), b"\n", row(user_id="u2", answers=None), b"[]\n")
    assert [found["user_id"] for found in taken(*lines, b"?")] == ["u1", "u2"]
