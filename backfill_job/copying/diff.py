"""Compares both prefixes name by name: the diff that the plan, the copy and the verification read.

`merge_listings` walks two sorted listings side by side and `judge_sides` compares the two sides of each name. `merge_pages` does
the same for listings that arrive page by page. `diff` does it for a whole migration, several key ranges at once. A page
takes as long as the network does, so several ranges keep the work supplied. Memory holds a few pages for each of these
ranges, whatever the number of objects.

Cloud Storage sorts names by their UTF-8 bytes. Object names hold no surrogates, so Python's order of texts is the same,
and the code compares names as they are, never with anything appended.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from dataclasses import asdict, astuple, dataclass
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from backfill_job.run.key_ranges import KeyRange
from shared.errors import UnexpectedAnswer
from shared.gcs.api import AsyncApi
from shared.gcs.listing import Page, list_pages
from shared.migration import Migration
from shared.objects import CONTENT_DIFFERENCES, Difference, ObjectState, differences, proves
from shared.verification import Verdict

__all__ = [
    "RANGES_AT_ONCE",
    "DiffLine",
    "Page",
    "Verdict",
    "Work",
    "diff",
    "judge_sides",
    "merge_listings",
    "merge_pages",
]

RANGES_AT_ONCE = 4
"""Ranges listed at once: each has up to four requests under way, and up to six pages of 1,000 objects in memory."""


class DiffLine(NamedTuple):
    """One name below the prefixes, how its two sides compare, and what is there. At least one side is there.

    Attributes:
        source: The source object, None when absent.
        destination: The destination object, None when absent.
        differing: How the two sides differ; empty unless both are there.
    """

    relative: str
    verdict: Verdict
    source: ObjectState | None
    destination: ObjectState | None
    differing: tuple[Difference, ...] = ()


def judge_sides(
    relative: str, source: ObjectState | None, destination: ObjectState | None, migration: Migration
) -> DiffLine:
    """Compare the two sides of one name. Never `Verdict.IN_FLIGHT`, which takes a second look."""
    if migration.is_excluded(relative):
        return DiffLine(relative, Verdict.EXCLUDED, source, destination)
    if source is None:
        return DiffLine(relative, Verdict.EXTRA, source, destination)
    if destination is None:
        return DiffLine(relative, Verdict.MISSING, source, destination)
    differing = differences(source, destination)
    if not differing:
        if proves(source, destination):
            return DiffLine(relative, Verdict.EQUAL, source, destination)
        differing = (Difference.CRC32C_ALONE,)
    content = CONTENT_DIFFERENCES.intersection(differing)
    verdict = Verdict.CONTENT_DIFFERS if content else Verdict.METADATA_DIFFERS
    return DiffLine(relative, verdict, source, destination, differing)


def merge_listings(
    source: Iterable[tuple[str, ObjectState]],
    destination: Iterable[tuple[str, ObjectState]],
    migration: Migration,
) -> Iterator[DiffLine]:
    """Merge two sorted listings by name, and compare the two sides of each name.

    Yields:
        Every name that is on at least one side, once, in the order of the names.

    Raises:
        UnexpectedAnswer: A listing is not sorted, so it proves nothing.
    """
    ours, theirs = _sorted(source), _sorted(destination)
    one, other = next(ours, None), next(theirs, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None  # noqa: S101 -- the loop's condition, for the type checker
            yield judge_sides(one[0], one[1], None, migration)
            one = next(ours, None)
        elif one is None or other[0] < one[0]:
            yield judge_sides(other[0], None, other[1], migration)
            other = next(theirs, None)
        else:
            yield judge_sides(one[0], one[1], other[1], migration)
            one, other = next(ours, None), next(theirs, None)


def _sorted(listing: Iterable[tuple[str, ObjectState]]) -> Iterator[tuple[str, ObjectState]]:
    last: str | None = None
    for relative, state in listing:
        if last is not None and relative <= last:
            raise UnexpectedAnswer(state.name, f"the listing is not sorted: {relative!r} came after {last!r}")
        last = relative
        yield relative, state


async def merge_pages(
    source: AsyncGenerator[Page, None], destination: AsyncGenerator[Page, None], migration: Migration
) -> AsyncGenerator[Iterator[DiffLine], None]:
    """Merge two listings that arrive page by page, as `merge_listings` does. Holds one page of each.

    Both sides are known up to the earlier of the two page ends. So it cuts the pages there and merges their heads.

    Args:
        source: The source listing; pages in the order of the names. Closed at the end.

    Yields:
        Parts of the diff in the order of the names; the caller reads or drops each.
    """
    async with aclosing(source), aclosing(destination):
        ours: Page = []
        theirs: Page = []
        while True:
            if ours or theirs:
                ours, theirs = ours or await anext(source, []), theirs or await anext(destination, [])
            else:
                ours, theirs = await _both(source, destination)
            if not ours and not theirs:
                return
            known = min(page[-1][0] for page in (ours, theirs) if page)
            our_head, ours = _cut(ours, known)
            their_head, theirs = _cut(theirs, known)
            yield merge_listings(our_head, their_head, migration)


async def _both(
    source: AsyncGenerator[Page, None], destination: AsyncGenerator[Page, None]
) -> tuple[Page, Page]:
    """The next page of each side, asked for at the same time: a range of one page takes one round trip, and not two."""
    theirs = asyncio.create_task(_page(destination))
    try:
        ours = await _page(source)
    except BaseException:
        theirs.cancel()
        # A generator that still runs cannot be closed.
        await asyncio.gather(theirs, return_exceptions=True)
        raise
    return ours, await theirs


async def _page(listing: AsyncGenerator[Page, None]) -> Page:
    return await anext(listing, [])


def _cut(page: Page, known: str) -> tuple[Page, Page]:
    """Cut a page behind the last name that is not after `known`."""
    end = bisect_right(page, known, key=itemgetter(0))
    return page[:end], page[end:]


async def diff(
    api: AsyncApi, migration: Migration, ranges: Iterable[KeyRange], *, at_once: int = RANGES_AT_ONCE
) -> AsyncGenerator[Iterator[DiffLine], None]:
    """Compare both sides of a migration.

    Args:
        ranges: The pieces of the key space to compare; started in this order.
        at_once: How many of them it lists at once.

    Yields:
        Parts of the diff. The names of a part are in order. The parts of one range follow each other; those of several
        ranges mix.

    Raises:
        StorageError: A listing is incomplete. What came before it proves nothing.
    """
    waiting = iter(ranges)
    under_way: dict[asyncio.Task[Iterator[DiffLine] | None], AsyncGenerator[Iterator[DiffLine], None]] = {}
    opened: set[AsyncGenerator[Iterator[DiffLine], None]] = set()

    def go_on(parts: AsyncGenerator[Iterator[DiffLine], None]) -> None:
        opened.add(parts)
        under_way[asyncio.create_task(_next(parts))] = parts

    for first in islice(waiting, at_once):
        go_on(_range(api, migration, first))
    try:
        while under_way:
            done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                lines = task.result()
                parts = under_way.pop(task)
                if lines is not None:
                    yield lines
                    # Only now: memory holds a waiting part beside the used one. The other ranges' pages come meanwhile.
                    go_on(parts)
                    continue
                opened.remove(parts)
                if (following := next(waiting, None)) is not None:
                    go_on(_range(api, migration, following))
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for parts in opened:
            await parts.aclose()


async def _next(parts: AsyncGenerator[Iterator[DiffLine], None]) -> Iterator[DiffLine] | None:
    return await anext(parts, None)


def _range(api: AsyncApi, migration: Migration, part: KeyRange) -> AsyncGenerator[Iterator[DiffLine], None]:
    (start, end), (to_start, to_end) = (
        part.below(migration.source.prefix),
        part.below(migration.destination.prefix),
    )
    ours = list_pages(api, migration.source, start=start, end=end)
    theirs = list_pages(api, migration.destination, start=to_start, end=to_end)
    return merge_pages(ours, theirs, migration)


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to list and to copy. Parts of the work add up.

    Attributes:
        new_objects: Objects to copy to names where the destination has nothing.
        replaced_objects: Objects to copy over something different.
        second_copy_bytes: Bytes of the complete copy, already there or not.
        ranges: Pieces of the key space that are listed separately; 0 for one listing of the whole.
    """

    source_objects: int = 0
    destination_objects: int = 0
    new_objects: int = 0
    replaced_objects: int = 0
    second_copy_bytes: int = 0
    ranges: int = 0

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0:
            raise ValueError(f"{self}: a count is below zero")

    @staticmethod
    def of_diff(lines: Iterable[DiffLine]) -> "Work":
        """The work in a part of the diff while the source is the source of truth."""
        source = destination = new = replaced = complete = 0
        for _, verdict, ours, theirs, _ in lines:
            source += ours is not None
            destination += theirs is not None
            new += verdict is Verdict.MISSING
            replaced += verdict is Verdict.CONTENT_DIFFERS or verdict is Verdict.METADATA_DIFFERS
            if ours is not None and verdict is not Verdict.EXCLUDED:
                complete += ours.size
        return Work(source, destination, new, replaced, complete)

    def __add__(self, other: "Work") -> "Work":
        return Work(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    @property
    def copies(self) -> int:
        """How many rewrites to send."""
        return self.new_objects + self.replaced_objects
