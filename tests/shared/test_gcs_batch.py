"""The form of a batch: every call's own answer, and no other's."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.gcs.api import MOST_CALLS, batch_body, batch_parts

MARK = b"--batch_Xy-1_2"


def part(number: int, status: str = "204 No Content", body: bytes = b"", identifier: str = "") -> bytes:
    said = identifier or f"<response-call+{number}>"
    head = f"Content-Type: application/http\r\nContent-ID: {said}\r\n\r\nHTTP/1.1 {status}\r\n"
    return head.encode() + b"Content-Length: %d\r\n\r\n" % len(body) + body + b"\r\n"


def answer(*parts: bytes, end: bytes = b"--\r\n") -> bytes:
    return b"".join(MARK + b"\r\n" + each for each in parts) + MARK + end


def test_calls_are_written_as_the_documentation_shows() -> None:
    """A part is an HTTP request of its own, with a number that its answer repeats."""
    body = batch_body([("DELETE", "/storage/v1/b/x/o/a%2Fb?ifGenerationMatch=7")])
    assert body == (
        b"--batch_of_calls\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        b"Content-ID: <call+0>\r\n\r\nDELETE /storage/v1/b/x/o/a%2Fb?ifGenerationMatch=7 HTTP/1.1\r\n\r\n\r\n"
        b"--batch_of_calls--\r\n"
    )


@pytest.mark.parametrize("count", [0, MOST_CALLS + 1])
def test_a_batch_has_one_to_a_hundred_calls(count: int) -> None:
    """More would be refused as a whole."""
    with pytest.raises(ValueError, match=f"{count} calls"):
        batch_body([("DELETE", "/x")] * count)


@given(st.lists(st.integers(200, 599), min_size=1, max_size=MOST_CALLS), st.randoms(use_true_random=False))
def test_answers_are_told_apart_by_their_number_and_not_by_their_order(
    statuses: list[int], dice: random.Random
) -> None:
    """They come in any order."""
    parts = [part(number, f"{status} Said", str(number).encode()) for number, status in enumerate(statuses)]
    dice.shuffle(parts)
    assert batch_parts(answer(*parts), len(statuses)) == [
        (status, str(number).encode()) for number, status in enumerate(statuses)
    ]


@given(st.sets(st.integers(0, 9)))
def test_a_missing_answer_is_none_and_moves_no_other(missing: set[int]) -> None:
    """Nothing is concluded for it."""
    parts = [part(number) for number in range(10) if number not in missing]
    found = batch_parts(answer(*parts) if parts else MARK + b"\r\n" + MARK + b"--", 10)
    assert [each is None for each in found] == [number in missing for number in range(10)]


@pytest.mark.parametrize(
    "odd",
    [
        part(0) + MARK + b"\r\n" + part(0),
        part(0).replace(b"HTTP/1.1 204", b"HTTP/2 204"),
        part(0).replace(b"HTTP/1.1 204 No Content\r\n", b""),
        part(0, identifier="<call+0>"),
        part(0, identifier="<response-call>"),
        part(0).replace(b"Content-ID", b"X-Content-ID"),
        b"",
    ],
    ids=["twice", "another protocol", "no status", "not an answer's number", "no number", "no id", "empty"],
)
def test_an_answer_that_cannot_be_read_is_none(odd: bytes) -> None:
    """It is never taken for a success; its neighbour's is read."""
    assert batch_parts(answer(odd, part(1)), 2) == [None, (204, b"")]


@pytest.mark.parametrize(
    "body", [b"", b"{}", answer(part(0))[:-4], answer(part(0))[:40], b"--\r\n--", b"<html>no</html>"]
)
def test_half_an_answer_is_an_error(body: bytes) -> None:
    """The rest of it is lost, and with it what became of some calls."""
    with pytest.raises(ValueError, match="not a whole multipart answer"):
        batch_parts(body, 1)


def test_either_line_end_is_read() -> None:
    """As mail has it, or as Unix has it."""
    body = answer(part(0, "412 Precondition Failed", b'{"error":{}}'), part(1))
    assert batch_parts(body.replace(b"\r\n", b"\n"), 2) == batch_parts(body, 2)
