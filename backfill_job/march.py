"""Two sorted listings side by side: the diff that everything else reads. Constant memory, whatever the number of objects.

Names are compared as they sort in Cloud Storage, by their UTF-8 bytes. Python orders texts by code points, which is the
same order (there are no surrogates in object names), so texts are compared as they are; never with anything appended.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from shared.errors import UnexpectedAnswer
from shared.migration import Location
from shared.objects import ObjectState
from shared.store import ListingStore

__all__ = ["Pair", "listed", "march"]


@dataclass(frozen=True, slots=True)
class Pair:
    """One name below the prefixes, on both sides. At least one side is there."""

    relative: str
    source: ObjectState | None
    destination: ObjectState | None


def listed(store: ListingStore, location: Location) -> Iterator[tuple[str, ObjectState]]:
    """List a location as (name below the prefix, object), sorted by name.

    Raises:
        StorageError: The listing is incomplete: no verdict may be drawn from what came so far.
    """
    skip = len(location.prefix)
    for page in store.list_pages(location.bucket, location.prefix):
        for state in page.objects:
            yield state.name[skip:], state


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
