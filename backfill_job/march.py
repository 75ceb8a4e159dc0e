"""Two sorted listings side by side: the diff that everything else reads. Constant memory, whatever the number of objects.

Names are compared as they sort in Cloud Storage, by their UTF-8 bytes. Python orders texts by code points, which is the
same order (there are no surrogates in object names), so texts are compared as they are; never with anything appended.
"""

from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import aclosing
from operator import itemgetter
from typing import NamedTuple

from shared.errors import UnexpectedAnswer
from shared.gcs.listing import Page
from shared.objects import ObjectState

__all__ = ["Page", "Pair", "march", "march_pages"]


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
