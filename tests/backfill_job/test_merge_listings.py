"""Two sorted listings side by side."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.copying.diff import Page, merge_listings, merge_pages
from shared.errors import UnexpectedAnswer
from shared.migration import Environment, qpi_exports
from shared.objects import Metadata, ObjectState

MIGRATION = qpi_exports(Environment.DEV)
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
    pairs = list(merge_listings(listing(ours), listing(theirs), MIGRATION))
    expected = sorted({*ours, *theirs}, key=lambda text: text.encode())
    assert [pair.relative for pair in pairs] == expected
    assert [pair.relative for pair in pairs if pair.source] == ours
    assert [pair.relative for pair in pairs if pair.destination] == theirs


@pytest.mark.parametrize("unsorted", [["b", "a"], ["a", "a"]])
def test_a_listing_out_of_order_ends_the_diff(unsorted: list[str]) -> None:
    """From a listing that is not sorted nothing can be concluded."""
    with pytest.raises(UnexpectedAnswer, match="not sorted"):
        list(merge_listings(listing(unsorted), listing([]), MIGRATION))
    with pytest.raises(UnexpectedAnswer, match="not sorted"):
        list(merge_listings(listing([]), listing(unsorted), MIGRATION))


def test_names_that_only_sort_right_as_bytes() -> None:
    """A tool that compared ``name#generation`` put these two in the wrong order."""
    ours = ["a", "a!", "a#1", "a/b", "a0", "é", "\uffee", "😀"]
    assert ours == sorted(ours, key=lambda text: text.encode())
    assert [
        pair.relative
        for pair in merge_listings(listing(ours), listing(ours), MIGRATION)
        if pair.source and pair.destination
    ] == ours


async def in_pages(whole: Page, size: int) -> AsyncGenerator[Page, None]:
    for first in range(0, len(whole), size):
        yield whole[first : first + size]


@given(names, names, st.integers(1, 4), st.integers(1, 4))
def test_two_listings_in_pages_are_joined_like_two_whole_ones(
    ours: list[str], theirs: list[str], our_size: int, their_size: int
) -> None:
    """Where the pages end makes no difference."""

    async def joined() -> list[Any]:
        parts = merge_pages(
            in_pages(listing(ours), our_size), in_pages(listing(theirs), their_size), MIGRATION
        )
        return [pair async for part in parts for pair in part]

    assert asyncio.run(joined()) == list(merge_listings(listing(ours), listing(theirs), MIGRATION))


def test_joining_holds_one_page_of_each_side() -> None:
    """A page is asked for when the one before is used up."""
    asked = {"ours": 0, "theirs": 0}

    async def counted(side: str, whole: Page) -> AsyncGenerator[Page, None]:
        async for page in in_pages(whole, 1):
            asked[side] += 1
            yield page

    async def first_part() -> list[str]:
        parts = merge_pages(
            counted("ours", listing(["a", "c"])), counted("theirs", listing(["b", "d"])), MIGRATION
        )
        first = [pair.relative for pair in await anext(parts)]
        await parts.aclose()
        return first

    assert asyncio.run(first_part()) == ["a"]
    assert asked == {"ours": 1, "theirs": 1}


def test_both_sides_are_asked_for_at_the_same_time() -> None:
    """Before either side's first page is there."""
    asked: set[str] = set()

    async def page(side: str, name: str) -> AsyncGenerator[Page, None]:
        asked.add(side)
        for _ in range(3):  # turns of the event loop, in which the other side has its own
            await asyncio.sleep(0)
        assert asked == {"ours", "theirs"}
        yield listing([name])

    async def joined() -> list[str]:
        parts = merge_pages(page("ours", "a"), page("theirs", "b"), MIGRATION)
        return [pair.relative async for part in parts for pair in part]

    assert asyncio.run(joined()) == ["a", "b"]


@pytest.mark.parametrize("broken", ["ours", "theirs"])
def test_a_side_that_fails_closes_the_other(broken: str) -> None:
    """Also where the other is still under way; their side's failure is raised when our page is there."""
    closed = []

    async def page(side: str) -> AsyncGenerator[Page, None]:
        try:
            await asyncio.sleep(0)
            if side == broken:
                raise UnexpectedAnswer("gs://b/", "half an answer")
            if side == "theirs":
                await asyncio.get_running_loop().create_future()
            yield listing(["a"])
        finally:
            closed.append(side)

    async def joined() -> None:
        parts = merge_pages(page("ours"), page("theirs"), MIGRATION)
        await anext(parts)

    with pytest.raises(UnexpectedAnswer):
        asyncio.run(joined())
    assert sorted(closed) == ["ours", "theirs"]
