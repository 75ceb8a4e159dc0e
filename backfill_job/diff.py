"""Both prefixes listed side by side, several key ranges at once: the diff that the plan and the verification read.

One range is listed page after page, and a page takes as long as the network does; several at once keep the work fed
where that is long. What is held is a few pages for each range under way, however many objects there are.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from itertools import islice

from backfill_job.march import Pair, march_pages
from backfill_job.run.key_ranges import KeyRange
from shared.gcs.api import AsyncApi
from shared.gcs.listing import list_pages
from shared.migration import Migration

__all__ = ["RANGES_AT_ONCE", "diff"]

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
