"""Listings without client objects: pages of names and states, the next one asked for while the last one is used.

A listing that fails raises; it is never cut short silently.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from backfill_job.async_api import AsyncApi, encoded
from backfill_job.march import Page
from shared.errors import BucketNotFound, ObjectNotFound, UnexpectedAnswer
from shared.migration import Location
from shared.objects import RESOURCE_FIELDS, ObjectState

_Read = TypeVar("_Read")

__all__ = ["discover", "first_name", "list_pages", "list_soft_deleted", "top_level"]

PAGE_SIZE = 1000
"""The most that Cloud Storage gives at once."""

MOST_PAGES = 30
"""Of a look at the folders: 30,000 days are 82 years."""

OBJECT_FIELDS = f"items({RESOURCE_FIELDS}),nextPageToken"


async def list_pages(
    api: AsyncApi, location: Location, *, start: str = "", end: str = ""
) -> AsyncGenerator[Page, None]:
    """List live objects in the order of their names' UTF-8 bytes. Not a snapshot. Holds two pages at most.

    Args:
        api: Whom to ask.
        location: What to list.
        start: Only names from this on (complete names, inclusive); empty for no bound.
        end: Only names before this (complete names, exclusive); empty for no bound.

    Yields:
        Pages of 1 to 1,000 objects; none for an empty location.

    Raises:
        BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: The listing is incomplete and must not be
            used for a verdict.
    """
    bounds = (f"&startOffset={encoded(start)}" if start else "") + (
        f"&endOffset={encoded(end)}" if end else ""
    )
    skip = len(location.prefix)

    def page_of(answer: dict[str, Any]) -> Page:
        states = map(ObjectState.from_resource, answer.get("items", ()))
        return [(state.name[skip:], state) for state in states]

    last: str | None = None
    async with aclosing(_answers(api, location, OBJECT_FIELDS, bounds, page_of)) as pages:
        async for page in pages:
            if page:
                _check_order(page, location, last)
                last = page[-1][0]
                yield page


async def list_soft_deleted(
    api: AsyncApi, location: Location, *, start: str = "", end: str = ""
) -> AsyncGenerator[list[tuple[str, ObjectState, str]], None]:
    """List soft-deleted generations in the order of their names; a name may have several.

    Args:
        api: Whom to ask.
        location: What to list.
        start: Only names from this on (complete names, inclusive); empty for no bound.
        end: Only names before this (complete names, exclusive); empty for no bound.

    Yields:
        Pages, never empty: name below the prefix, the object as it was, and when it will be gone for good (RFC 3339;
        empty where the service does not say).

    Raises:
        UnexpectedAnswer: Also where the bucket has no soft delete.
        BucketNotFound, PermissionDenied, Unavailable: The listing is incomplete.
    """
    bounds = (f"&startOffset={encoded(start)}" if start else "") + (
        f"&endOffset={encoded(end)}" if end else ""
    )
    fields = f"items({RESOURCE_FIELDS},hardDeleteTime),nextPageToken"
    skip = len(location.prefix)

    def page_of(answer: dict[str, Any]) -> list[tuple[str, ObjectState, str]]:
        return [
            (state.name[skip:], state, str(item.get("hardDeleteTime") or ""))
            for item in answer.get("items", ())
            for state in (ObjectState.from_resource(item),)
        ]

    async with aclosing(_answers(api, location, fields, f"&softDeleted=true{bounds}", page_of)) as pages:
        async for page in pages:
            if page:
                yield page


async def discover(api: AsyncApi, location: Location, *, most_pages: int = MOST_PAGES) -> tuple[str, ...]:
    """Find the partitions of a location: what a listing with a delimiter gives.

    Args:
        api: Whom to ask.
        location: What to list.
        most_pages: Pages after which it is left at what was found: objects without folders could be as many as there are.

    Returns:
        Its partitions below the prefix, each with its final ``/``, in order; or the first of them.

    Raises:
        BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: It is not known what there is.
    """
    found, _ = await _below(api, location, "prefixes,nextPageToken", most_pages)
    return tuple(found)


async def top_level(
    api: AsyncApi, location: Location, *, most_pages: int = MOST_PAGES
) -> tuple[tuple[str, ...], bool]:
    """Find the folders and the objects right below a location: what a listing with a delimiter gives.

    Args:
        api: Whom to ask.
        location: What to list.
        most_pages: Pages after which it is left at what was found.

    Returns:
        The names below the prefix, folders with their final ``/``, in order; and whether that is all of them.

    Raises:
        BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: It is not known what there is.
    """
    found, complete = await _below(api, location, "prefixes,items(name),nextPageToken", most_pages)
    return tuple(found), complete


async def _below(api: AsyncApi, location: Location, fields: str, most_pages: int) -> tuple[list[str], bool]:
    names: list[str] = []
    skip = len(location.prefix)
    pages = 0

    def names_of(answer: dict[str, Any]) -> list[str]:
        objects = (item["name"] for item in answer.get("items", ()))
        return sorted(str(name)[skip:] for name in (*answer.get("prefixes", ()), *objects))

    async with aclosing(_answers(api, location, fields, "&delimiter=%2F", names_of)) as answers:
        async for page in answers:
            if pages == most_pages:
                return names, False
            names += page
            pages += 1
    return names, True


async def first_name(api: AsyncApi, location: Location, start: str, end: str) -> str | None:
    """Find the first name from one on.

    Args:
        api: Whom to ask.
        location: Where.
        start: From this name on, below the prefix.
        end: Before this name, below the prefix; empty for no bound.

    Returns:
        It, below the prefix; None when there is none.

    Raises:
        BucketNotFound, PermissionDenied, Unavailable, UnexpectedAnswer: Nobody knows.
    """
    bounds = f"&startOffset={encoded(location.prefix + start)}" + (
        f"&endOffset={encoded(location.prefix + end)}" if end else ""
    )
    path = (
        f"/b/{encoded(location.bucket)}/o?prefix={encoded(location.prefix)}&fields=items(name)&maxResults=1"
        f"&projection=noAcl&prettyPrint=false{bounds}"
    )
    items = (await _asked(api, location, path)).get("items")
    return str(items[0]["name"])[len(location.prefix) :] if items else None


async def _answers(
    api: AsyncApi, location: Location, fields: str, more: str, read: Callable[[dict[str, Any]], _Read]
) -> AsyncGenerator[_Read, None]:
    """The answers of a listing, one page ahead of whoever uses them; what waits is read already, which is smaller."""
    path = (
        f"/b/{encoded(location.bucket)}/o?prefix={encoded(location.prefix)}&fields={encoded(fields)}"
        f"&maxResults={PAGE_SIZE}&projection=noAcl&prettyPrint=false{more}"
    )

    async def fetch(page: str) -> tuple[_Read, str]:
        answer = await _asked(api, location, page)
        return read(answer), answer.get("nextPageToken", "")

    ahead: asyncio.Task[tuple[_Read, str]] | None = asyncio.create_task(fetch(path))
    try:
        while ahead is not None:
            answer, token = await ahead
            ahead = asyncio.create_task(fetch(f"{path}&pageToken={encoded(token)}")) if token else None
            yield answer
    finally:
        if ahead is not None:
            ahead.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await ahead


async def _asked(api: AsyncApi, location: Location, path: str) -> dict[str, Any]:
    try:
        return await api.request("GET", path, location.uri)
    except ObjectNotFound as error:
        raise BucketNotFound(f"gs://{location.bucket}", _no_such_bucket(error)) from error


def _no_such_bucket(error: ObjectNotFound) -> str:
    return error.detail.replace("no such object", "no such bucket", 1)


def _check_order(page: Page, location: Location, last: str | None) -> None:
    for relative, _ in page:
        if last is not None and relative <= last:
            raise UnexpectedAnswer(
                f"{location.uri}{relative}", f"the listing is not sorted: {relative!r} came after {last!r}"
            )
        last = relative
