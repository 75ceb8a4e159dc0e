"""Names, generation numbers and times."""

from base64 import b64decode
from collections.abc import Callable
from itertools import islice, pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from local_gcs.objects import (
    check_bucket_name,
    check_object_name,
    decode_segment,
    ordered,
    successor,
    unordered,
)
from local_gcs.resources import etag

Refusal = Callable[..., tuple[int, str]]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@given(prefix=TEXT, rest=TEXT, other=TEXT)
@example(prefix="a\ud7ff", rest="z", other="\ue000")
@example(prefix="a\U0010ffff", rest="z", other="b")
def test_successor(prefix: str, rest: str, other: str) -> None:
    """The successor is behind everything that starts with the prefix, and before everything else that follows."""
    following = successor(prefix)
    if following is None:
        assert set(prefix) <= {"\U0010ffff"}
        return
    assert prefix + rest < following
    assert following.encode()
    if other > prefix and not other.startswith(prefix):
        assert other >= following


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("a", True),
        ("x" * 1024, True),
        ("x" * 1025, False),
        ("😀" * 256, True),
        ("😀" * 256 + "x", False),
        ("", False),
        (".", False),
        ("..", False),
        ("...", True),
        ("a\nb", False),
        ("a\rb", False),
        ("a/./b", True),
        (".well-known/acme-challenge/x", False),
        (".well-known/acme-challenge", True),
    ],
)
def test_object_names(refused: Refusal, name: str, *, good: bool) -> None:
    """Length is measured in bytes; line breaks, nothing, one dot and two dots are no names."""
    if good:
        assert check_object_name(name) == name
    else:
        assert refused(check_object_name, name)[0] == 400


def test_bucket_names(refused: Refusal) -> None:
    """Bucket names are lower-case and neither too short nor Google's own."""
    for good in ("abc", "a-b_c.d", "0abc", "x" * 63):
        assert check_bucket_name(good) == good
    for bad in ("ab", "Abc", "-abc", "abc-", "goog-x", "a b", None, 7):
        assert refused(check_bucket_name, bad) == (400, "invalid")


@pytest.mark.parametrize("segment", ["%ED%A0%80", "%FF", "\udcff", "a%C3"])
def test_names_that_are_not_utf8(refused: Refusal, segment: str) -> None:
    """A lone surrogate, however encoded, and other broken UTF-8 is refused."""
    assert refused(decode_segment, segment) == (400, "invalid")


def test_names_are_decoded_once() -> None:
    """Percent signs and plus signs of a name survive."""
    assert [decode_segment(text) for text in ("%252F", "a+b", "%F0%9F%98%80", "é")] == [
        "%2F",
        "a+b",
        "😀",
        "é",
    ]


def test_unordered_generations() -> None:
    """Numbers are unique, have 16 digits, say nothing about age, and are the same for the same seed."""
    numbers = list(islice(unordered(7), 20_000))
    assert len(set(numbers)) == len(numbers)
    assert {len(str(number)) for number in numbers} == {16}
    rising = sum(before < after for before, after in pairwise(numbers))
    assert 0.4 < rising / len(numbers) < 0.6
    assert list(islice(unordered(7), 100)) == numbers[:100]
    assert set(islice(unordered(8), 1000)).isdisjoint(numbers[:1000])


def test_ordered_generations() -> None:
    """Ordered numbers rise even while the clock stands still or goes back."""
    clock = iter([1000, 1000, 5, 2000])
    assert list(islice(ordered(lambda: next(clock)), 4)) == [1000, 1001, 1002, 2000]


@given(st.integers(1, 2**63 - 1), st.integers(1, 2**63 - 1))
def test_etag(generation: int, metageneration: int) -> None:
    """An etag is both numbers as a protocol buffer: field 1 and field 2, seven bits a byte, lowest first."""
    numbers = [0, 0]
    field = shift = -1
    for byte in b64decode(etag(generation, metageneration)):
        if shift < 0:
            assert byte in {1 << 3, 2 << 3}
            field, shift = (byte >> 3) - 1, 0
            continue
        numbers[field] |= (byte & 127) << shift
        shift = shift + 7 if byte & 128 else -1
    assert numbers == [generation, metageneration]
