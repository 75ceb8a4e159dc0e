"""Listings as streams of pages, without a client object for each name.

The next page is requested while the caller uses the last one. A listing that fails raises; it is never cut short silently.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, NamedTuple, TypeVar

from shared.errors import ConditionFailed, UnexpectedAnswer
from shared.gcs.api import AsyncApi, encoded
from shared.gcs.json_client import listing_object
from shared.gcs.resources import read_page
from shared.gcs.wire import Answer
from shared.migration import Location
from shared.objects import RESOURCE_FIELDS, ObjectRef, ObjectState

_Read = TypeVar("_Read")

__all__ = [
    "HeldVersion",
    "Page",
    "ended_versions",
    "first_name",
    "held_versions",
    "list_pages",
    "matching_names",
    "top_level",
]

Page = list[tuple[str, ObjectState]]
"""Names below a prefix, with the objects' states, in the order of the names."""

MOST_PAGES = 30
"""Of a look at the folders: 30,000 days are 82 years."""


async def list_pages(
    api: AsyncApi, location: Location, *, start: str = "", end: str = ""
) -> AsyncGenerator[Page, None]:
    """List live objects in the order of their names' UTF-8 bytes. Not a snapshot. Holds two pages at most.

    Args:
        start: Only names from this on (complete names, inclusive); empty for no bound.
        end: Only names before this (complete names, exclusive); empty for no bound.

    Yields:
        Pages of 1 to 1,000 objects; none for an empty location.

    Raises:
        BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: The listing is incomplete and must not be
            used for a verdict.
    """
    skip = len(location.prefix)

    def page_of(answer: Answer) -> tuple[Page, str]:
        states, token = read_page(answer)
        for state in (*states[:1], *states[-1:]):
            if not state.name.startswith(location.prefix):
                raise UnexpectedAnswer(
                    location.uri, f"the listing has a name of another place: {state.name!r}"
                )
        return [(state.name[skip:], state) for state in states], token

    last: str | None = None
    fields = f"items({RESOURCE_FIELDS})"
    answers = _answers(api, location, fields, page_of, start=start, end=end)
    async with aclosing(answers) as pages:
        async for page in pages:
            if page:
                _check_order(page, location, last)
                last = page[-1][0]
                yield page


class HeldVersion(NamedTuple):
    """A version that a bucket holds.

    Attributes:
        ended: When it was deleted or overwritten, RFC 3339; empty for a live one.
        until: When a soft-deleted one will be gone for good, RFC 3339; empty for any other, and where the service does not say.
    """

    state: ObjectState
    ended: str = ""
    until: str = ""


async def held_versions(
    api: AsyncApi, location: Location, *, soft_deleted: bool, start: str = "", end: str = ""
) -> AsyncGenerator[list[HeldVersion], None]:
    """List the versions below a location: the live and the noncurrent ones, or the soft-deleted ones. Bounds as in `list_pages`.

    Raises:
        UnexpectedAnswer, ConditionFailed, Refused: Also where the bucket has no soft delete.
        BucketNotFound, PermissionDenied, Unavailable: The listing is incomplete.
    """

    def page_of(answer: dict[str, Any]) -> list[HeldVersion]:
        return [
            HeldVersion(
                ObjectState.from_resource(item),
                str(item.get("timeDeleted") or ""),
                str(item.get("hardDeleteTime") or ""),
            )
            for item in answer.get("items", ())
        ]

    fields = f"items({RESOURCE_FIELDS},timeDeleted,hardDeleteTime)"
    more = "&softDeleted=true" if soft_deleted else "&versions=true"
    answers = _answers(api, location, fields, _of_json(page_of), start=start, end=end, more=more)
    async with aclosing(answers) as pages:
        async for page in pages:
            yield page


async def ended_versions(api: AsyncApi, at: ObjectRef) -> list[tuple[ObjectState, str]]:
    """List what a bucket still holds of one object's deleted and overwritten versions: soft-deleted and noncurrent ones.

    Returns:
        Each version with the time at which it ended (RFC 3339; empty where the service does not say).

    Raises:
        BucketNotFound, PermissionDenied, Unavailable: They are not known.
    """
    found: list[tuple[ObjectState, str]] = []
    for soft_deleted in (True, False):
        # No name with a printable character more comes before the end.
        pages = held_versions(
            api, Location(at.bucket, ""), soft_deleted=soft_deleted, start=at.name, end=at.name + " "
        )
        # A bucket without soft delete refuses that listing. What it does not show is not deleted.
        with suppress(UnexpectedAnswer, ConditionFailed):
            async with aclosing(pages):
                async for page in pages:
                    found += [
                        (each.state, each.ended) for each in page if each.ended and each.state.name == at.name
                    ]
    return found


async def top_level(
    api: AsyncApi, location: Location, *, most_pages: int = MOST_PAGES
) -> tuple[tuple[str, ...], bool]:
    """Find the folders and the objects right below a location.

    Args:
        most_pages: Stops after so many pages: there may be millions of objects beside the folders.

    Returns:
        The names below the prefix, folders with their final ``/``, in order; and whether these are all of them.

    Raises:
        BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: The names are not known.
    """
    names: list[str] = []
    skip = len(location.prefix)
    pages = 0

    def names_of(answer: dict[str, Any]) -> list[str]:
        objects = (item["name"] for item in answer.get("items", ()))
        return sorted(str(name)[skip:] for name in (*answer.get("prefixes", ()), *objects))

    answers = _answers(api, location, "prefixes,items(name)", _of_json(names_of), more="&delimiter=%2F")
    async with aclosing(answers) as parts:
        async for page in parts:
            if pages == most_pages:
                return tuple(names), False
            names += page
            pages += 1
    return tuple(names), True


async def first_name(api: AsyncApi, location: Location, start: str, end: str) -> str | None:
    """Find the first name from `start` on and before `end` (empty for no bound), all below the prefix; None when there is none.

    Raises:
        BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: It is not known.
    """
    above = location.prefix
    end = above + end if end else ""
    answer = await api.list_page(location.bucket, above, "items(name)", start=above + start, end=end, limit=1)
    items = answer.get("items")
    return str(items[0]["name"])[len(above) :] if items else None


async def matching_names(api: AsyncApi, location: Location, glob: str) -> list[str]:
    """Find all complete names in a location that match a glob, in order; the service filters them.

    Args:
        glob: Of complete names (Cloud Storage documentation, "List objects and prefixes using glob"); ``**`` also matches ``/``.

    Raises:
        BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: They are not known.
    """

    def names_of(answer: dict[str, Any]) -> list[str]:
        return [str(item["name"]) for item in answer.get("items", ())]

    names: list[str] = []
    more = f"&matchGlob={encoded(glob)}"
    answers = _answers(api, location, "items(name)", _of_json(names_of), more=more)
    async with aclosing(answers) as pages:
        async for page in pages:
            names += page
    return names


async def _answers(
    api: AsyncApi,
    location: Location,
    fields: str,
    read: Callable[[Answer], tuple[_Read, str]],
    **query: str,
) -> AsyncGenerator[_Read, None]:
    """The answers of a listing, read one page ahead; a page that waits is read already, which is smaller.

    `read` gives what was read and the token of the next page. `query` is passed on to `AsyncApi.list_page`.
    """
    fields = f"{fields},nextPageToken"

    async def fetch(token: str) -> tuple[_Read, str]:
        where = location.bucket, location.prefix, fields
        answer: tuple[_Read, str] = await api.list_page(*where, token=token, read=read, **query)  # type: ignore[arg-type]  # never its limit
        return answer

    ahead: asyncio.Task[tuple[_Read, str]] | None = asyncio.create_task(fetch(""))
    try:
        while ahead is not None:
            answer, token = await ahead
            ahead = asyncio.create_task(fetch(token)) if token else None
            yield answer
    finally:
        if ahead is not None:
            ahead.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await ahead


def _of_json(read: Callable[[dict[str, Any]], _Read]) -> Callable[[Answer], tuple[_Read, str]]:
    """Reads a page from its JSON object."""

    def both(answer: Answer) -> tuple[_Read, str]:
        content = listing_object(answer)
        return read(content), content.get("nextPageToken", "")

    return both


def _check_order(page: Page, location: Location, last: str | None) -> None:
    for relative, _ in page:
        if last is not None and relative <= last:
            raise UnexpectedAnswer(
                f"{location.uri}{relative}", f"the listing is not sorted: {relative!r} came after {last!r}"
            )
        last = relative
