"""JSON Lines in pieces, as BigQuery would load them."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.jsonl import ContentsOf, LineChecker, Severity, severity_of, unpacked

GOOD = b'{"user_id":"7","submitted_at":"2024-01-31T23:59:59Z","answers":[{"question_id":"q","answer_ids":["a"]}]}'


def checked(*pieces: bytes, max_line: int = 1_000) -> ContentsOf:
    checker = LineChecker(max_line)
    for piece in pieces:
        checker.feed(piece)
    return checker.end()


def found(*pieces: bytes, **more: int) -> list[tuple[int, str]]:
    return [(problem.line, problem.kind) for problem in checked(*pieces, **more).problems]


@pytest.mark.parametrize("data", [GOOD, GOOD + b"\n", GOOD + b"\r\n", b' {"user_id":null} \n{}\n'])
def test_what_bigquery_loads_has_no_problems(data: bytes) -> None:
    """With or without a line break at the end."""
    assert found(data) == []


@pytest.mark.parametrize(
    ("data", "problems"),
    [
        (b"", [(0, "empty")]),
        (GOOD + b"\n\n" + GOOD.replace(b'"7"', b'"8"'), [(2, "blank_line")]),
        (b"\xef\xbb\xbf" + GOOD, [(1, "byte_order_mark")]),
        (GOOD + b"\n" + GOOD[:-9], [(2, "truncated_last_line")]),
        (GOOD[:-9] + b"\n" + GOOD, [(1, "not_json")]),
        (GOOD + b"\n" + GOOD, [(2, "duplicate_user")]),
        (b'{"user_id":7}', [(1, "wrong_type")]),
        (b'{"user":"7"}', [(1, "unknown_field")]),
        (b'{"user_id":"7","user_id":"8"}', [(1, "field_twice")]),
        (b'{"submitted_at":"yesterday"}', [(1, "no_timestamp")]),
        (b'{"answers":null}', [(1, "wrong_type")]),
        (b'{"user_id":"\xff"}\n', [(1, "not_utf8")]),
        (b"[" * 500 + b"\n", [(1, "not_json")]),
        (b'{"user_id":"' + b"x" * 2_000 + b'"}\n' + GOOD, [(1, "line_too_long")]),
    ],
)
def test_every_problem_has_its_kind_and_line(data: bytes, problems: list[tuple[int, str]]) -> None:
    """However the pieces are cut."""
    assert found(data) == problems
    assert found(*(data[place : place + 1] for place in range(len(data)))) == problems
    if problems != [(0, "empty")]:
        assert found(GOOD.replace(b'"7"', b'"1"') + b"\n" + data) == [
            (line + 1, {"byte_order_mark": "truncated_last_line"}.get(kind, kind)) for line, kind in problems
        ]


def test_what_loads_all_the_same_is_a_warning() -> None:
    """A day with it can be imported."""
    assert {
        kind
        for kind in ("blank_line", "duplicate_user", "empty", "not_json", "wrong_type")
        if severity_of(kind) is Severity.WARNING
    } == {"blank_line", "duplicate_user", "empty"}


lines = st.lists(
    st.one_of(
        st.builds(lambda number: json.dumps({"user_id": str(number)}).encode(), st.integers(0, 9)),
        st.binary(max_size=12),
    ),
    max_size=6,
)


@given(lines, st.lists(st.integers(0, 80), max_size=5))
def test_cuts_change_nothing(texts: list[bytes], cuts: list[int]) -> None:
    """Whatever the contents; every line is a row or a problem, and no contents are shown."""
    data = b"\n".join(texts)
    places = sorted({min(cut, len(data)) for cut in cuts})
    pieces = [data[one:other] for one, other in zip([0, *places], [*places, len(data)], strict=True)]
    whole = checked(data)
    assert checked(*pieces) == whole
    bad_lines = sum(
        count
        for kind, count in whole.kinds.items()
        if kind not in {"duplicate_user", "byte_order_mark", "empty"}
    )
    ended = data.count(b"\n") + bool(data and not data.endswith(b"\n"))
    assert whole.rows + bad_lines == ended


def test_a_long_line_is_not_held() -> None:
    """50 MB without a line break: what is held stays below the bound."""
    checker = LineChecker(max_line=10_000)
    for _ in range(50):
        checker.feed(b"x" * 1_000_000)
        assert len(checker._held) <= 10_000
    checker.feed(b"\n" + GOOD)
    assert [(problem.line, problem.kind) for problem in checker.end().problems] == [(1, "line_too_long")]


def test_a_gzip_bomb_is_unpacked_in_pieces() -> None:
    """A thousandfold in size, and never in memory."""
    packed = gzip.compress(b"\n" * 50_000_000)
    largest = 0

    class Watching(LineChecker):
        def feed(self, piece: bytes) -> None:
            nonlocal largest
            largest = max(largest, len(piece))

    unpacked(Watching(), zlib.decompressobj(zlib.MAX_WBITS | 16), packed)
    assert 0 < largest <= 1024 * 1024
