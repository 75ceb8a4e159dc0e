"""Two sorted listings side by side: the diff that everything else reads. Constant memory, whatever the number of objects.

Names are compared as they sort in Cloud Storage, by their UTF-8 bytes. Python orders texts by code points, which is the
same order (there are no surrogates in object names), so texts are compared as they are; never with anything appended.
"""

import asyncio
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from itertools import islice
from operator import itemgetter
from typing import NamedTuple

from backfill_job.run.key_ranges import KeyRange
from shared.errors import UnexpectedAnswer
from shared.gcs.api import AsyncApi
from shared.gcs.listing import Page, list_pages
from shared.migration import Migration
from shared.objects import CONTENT_DIFFERENCES, Difference, ObjectState, differences
from shared.verification import Verdict

__all__ = [
    "RANGES_AT_ONCE",
    "Finding",
    "Page",
    "Pair",
    "Verdict",
    "diff",
    "judge",
    "judged",
    "march",
    "march_pages",
]

# TODO-DOC """How the two sides of one name compare: judged once, and read by the plan and by the verification."""
#

# TODO-DOC """Both prefixes listed side by side, several key ranges at once: the diff that the plan and the verification read.
#
# One range is listed page after page, and a page takes as long as the network does; several at once keep the work fed
# where that is long. What is held is a few pages for each range under way, however many objects there are.
# """
#


class Pair(NamedTuple):
    """One name below the prefixes, on both sides. At least one side is there."""

    relative: str
    source: ObjectState | None
    destination: ObjectState | None


def march(
    source: Iterable[tuple[str, ObjectState]], destination: Iterable[tuple[str, ObjectState]]
) -> Iterator[Pair]:
    """Join two listings by name, in the order of the names.

    Args:
        source: The source listing, sorted.
        destination: The destination listing, sorted.

    Yields:
        Every name that is on at least one side, once.

    Raises:
        UnexpectedAnswer: A listing is not sorted, so nothing can be concluded from it.
    """
    ours, theirs = _sorted(source), _sorted(destination)
    one, other = next(ours, None), next(theirs, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one[0] < other[0]):
            assert one is not None  # noqa: S101 -- the loop's condition, for the type checker
            yield Pair(one[0], one[1], None)
            one = next(ours, None)
        elif one is None or other[0] < one[0]:
            yield Pair(other[0], None, other[1])
            other = next(theirs, None)
        else:
            yield Pair(one[0], one[1], other[1])
            one, other = next(ours, None), next(theirs, None)


def _sorted(listing: Iterable[tuple[str, ObjectState]]) -> Iterator[tuple[str, ObjectState]]:
    last: str | None = None
    for relative, state in listing:
        if last is not None and relative <= last:
            raise UnexpectedAnswer(state.name, f"the listing is not sorted: {relative!r} came after {last!r}")
        last = relative
        yield relative, state


async def march_pages(
    source: AsyncGenerator[Page, None], destination: AsyncGenerator[Page, None]
) -> AsyncGenerator[Iterator[Pair], None]:
    """Join two listings that arrive page by page. Holds a page of each; `march` does the joining.

    Both sides are known up to the first page end of the two, so the pages are cut there and their heads joined.

    Args:
        source: The source listing; the pages follow each other in the order of the names. Closed at the end.
        destination: The destination listing, likewise.

    Yields:
        Parts of the diff, each to be used up or dropped, in the order of the names.
    """
    async with aclosing(source), aclosing(destination):
        ours: Page = []
        theirs: Page = []
        while True:
            ours = ours or await anext(source, [])
            theirs = theirs or await anext(destination, [])
            if not ours and not theirs:
                return
            known = min(page[-1][0] for page in (ours, theirs) if page)
            our_head, ours = _cut(ours, known)
            their_head, theirs = _cut(theirs, known)
            yield march(our_head, their_head)


def _cut(page: Page, known: str) -> tuple[Page, Page]:
    """Cut a page behind the last name that is not after `known`."""
    end = bisect_right(page, known, key=itemgetter(0))
    return page[:end], page[end:]


class Finding(NamedTuple):
    """One name, how its two sides compare, and both sides' facts.

    Attributes:
        relative: The name below the prefixes.
        verdict: How they compare.
        source: The source object, None when absent.
        destination: The destination object, None when absent.
        differing: Where both are there, in what they differ.
    """

    relative: str
    verdict: Verdict
    source: ObjectState | None
    destination: ObjectState | None
    differing: tuple[Difference, ...] = ()


def judge(pair: Pair, migration: Migration) -> Finding:
    """Compare the two sides of one name.

    Args:
        pair: The name and what is there.
        migration: What is asked.

    Returns:
        Any verdict but `Verdict.IN_FLIGHT`, which takes a second look.
    """
    relative, source, destination = pair
    if migration.is_excluded(relative):
        return Finding(relative, Verdict.EXCLUDED, source, destination)
    if source is None:
        return Finding(relative, Verdict.EXTRA, source, destination)
    if destination is None:
        return Finding(relative, Verdict.MISSING, source, destination)
    differing = differences(source, destination)
    if not differing:
        return Finding(relative, Verdict.EQUAL, source, destination)
    content = CONTENT_DIFFERENCES.intersection(differing)
    verdict = Verdict.CONTENT_DIFFERS if content else Verdict.METADATA_DIFFERS
    return Finding(relative, verdict, source, destination, differing)


def judged(pairs: Iterable[Pair], migration: Migration) -> Iterator[Finding]:
    """Compare the two sides of every name of a diff, in its order; see `judge`."""
    for pair in pairs:
        yield judge(pair, migration)


RANGES_AT_ONCE = 4
"""Ranges listed at once: each has up to four requests under way, and up to six pages of 1,000 objects in memory."""


async def diff(
    api: AsyncApi, migration: Migration, ranges: Iterable[KeyRange], *, at_once: int = RANGES_AT_ONCE
) -> AsyncGenerator[Iterator[Pair], None]:
    """Compare both sides of a migration.

    Args:
        api: Whom to ask.
        migration: What is asked.
        ranges: The pieces of the key space to look at; begun in this order.
        at_once: How many of them are listed at once.

    Yields:
        Parts of the diff. A part's names are in order; the parts of one range follow each other, those of several
        mingle.

    Raises:
        StorageError: A listing is incomplete: no verdict may be drawn from what came so far.
    """
    waiting = iter(ranges)
    under_way: dict[asyncio.Task[Iterator[Pair] | None], AsyncGenerator[Iterator[Pair], None]] = {}

    opened: set[AsyncGenerator[Iterator[Pair], None]] = set()

    def go_on(pieces: AsyncGenerator[Iterator[Pair], None]) -> None:
        opened.add(pieces)
        under_way[asyncio.create_task(_next(pieces))] = pieces

    for first in islice(waiting, at_once):
        go_on(_range(api, migration, first))
    try:
        while under_way:
            done, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                pairs = task.result()
                pieces = under_way.pop(task)
                if pairs is not None:
                    yield pairs
                    # Only now: what waits would be held beside what is used. The other ranges' pages come meanwhile.
                    go_on(pieces)
                    continue
                opened.remove(pieces)
                if (following := next(waiting, None)) is not None:
                    go_on(_range(api, migration, following))
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        for pieces in opened:
            await pieces.aclose()


async def _next(pieces: AsyncGenerator[Iterator[Pair], None]) -> Iterator[Pair] | None:
    return await anext(pieces, None)


async def _range(api: AsyncApi, migration: Migration, part: KeyRange) -> AsyncGenerator[Iterator[Pair], None]:
    source, destination = migration.source, migration.destination
    from_start, from_end = part.below(source.prefix)
    to_start, to_end = part.below(destination.prefix)
    ours = list_pages(api, source, start=from_start, end=from_end)
    theirs = list_pages(api, destination, start=to_start, end=to_end)
    async with aclosing(march_pages(ours, theirs)) as pieces:
        async for pairs in pieces:
            yield pairs
