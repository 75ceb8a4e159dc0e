"""Two sorted listings side by side."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.march import march
from shared.errors import UnexpectedAnswer
from shared.objects import Metadata, ObjectState

names = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), unique=True).map(
    lambda texts: sorted(texts, key=lambda text: text.encode())
)


def state(name: str) -> ObjectState:
    return ObjectState(name, 1, 1, 0, "crc", None, "", "", Metadata())


def listing(names: list[str]) -> list[tuple[str, ObjectState]]:
    return [(name, state(name)) for name in names]


@given(names, names)
def test_every_name_comes_once_in_utf8_order_with_the_sides_that_have_it(
    ours: list[str], theirs: list[str]
) -> None:
    """The diff is the union of both sides."""
    pairs = list(march(listing(ours), listing(theirs)))
    expected = sorted({*ours, *theirs}, key=lambda text: text.encode())
    assert [pair.relative for pair in pairs] == expected
    assert [pair.relative for pair in pairs if pair.source] == ours
    assert [pair.relative for pair in pairs if pair.destination] == theirs


@pytest.mark.parametrize("unsorted", [["b", "a"], ["a", "a"]])
def test_a_listing_out_of_order_ends_the_diff(unsorted: list[str]) -> None:
    """From a listing that is not sorted nothing can be concluded."""
    with pytest.raises(UnexpectedAnswer, match="not sorted"):
        list(march(listing(unsorted), listing([])))
    with pytest.raises(UnexpectedAnswer, match="not sorted"):
        list(march(listing([]), listing(unsorted)))


def test_names_that_only_sort_right_as_bytes() -> None:
    """A tool that compared ``name#generation`` put these two in the wrong order."""
    ours = ["a", "a!", "a#1", "a/b", "a0", "é", "\uffee", "😀"]
    assert ours == sorted(ours, key=lambda text: text.encode())
    assert [
        pair.relative for pair in march(listing(ours), listing(ours)) if pair.source and pair.destination
    ] == ours
