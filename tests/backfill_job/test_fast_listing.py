"""Listings page by page, and two of them side by side."""

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_async_api import HASTY, NAMES, answering, http
from testing_paths import Paths

from backfill_job.async_api import AsyncApi
from backfill_job.fast_listing import discover, list_pages
from backfill_job.march import Page, march, march_pages
from local_gcs.waiting import wait_until_async
from shared.errors import BucketNotFound, Unavailable, UnexpectedAnswer
from shared.gateway import Gateway
from shared.migration import Location
from shared.objects import Metadata, ObjectState

PLACE = Location("bucket", "p/")


def pages_of(url: str, location: Location, **options: Any) -> list[Page]:
    bounds = {key: options.pop(key) for key in ("start", "end") if key in options}

    async def all_pages() -> list[Page]:
        async with AsyncApi(endpoint=url, **options) as api:
            return [page async for page in list_pages(api, location, **bounds)]

    return asyncio.run(all_pages())


def resource(name: str) -> dict[str, str]:
    return {"name": name, "generation": "1", "size": "0"}


def canned_listing(*answers: dict[str, Any]) -> list[Page]:
    async def all_pages() -> list[Page]:
        left = [http(json.dumps(answer).encode()) for answer in answers]
        async with answering(lambda _: left.pop(0)) as url, AsyncApi(endpoint=url, retry=HASTY) as api:
            return [page async for page in list_pages(api, PLACE)]

    return asyncio.run(all_pages())


def test_a_listing_gives_what_the_gateway_s_gives(paths: Paths, gateway: Gateway) -> None:
    """The same objects in the same order with the same states, whatever their names."""
    for name in NAMES:
        paths.put(name, name.encode(), metadata={"k": name[:5]}, content_language="fr")
    paths.bucket("source").blob("QPI_exports_old/x").upload_from_string(b"sibling")
    source = paths.migration.source
    theirs = [state for page in gateway.list_pages(source.bucket, source.prefix) for state in page.objects]
    (page,) = pages_of(paths.server.url, source)
    assert [state for _, state in page] == theirs
    assert [relative for relative, _ in page] == sorted(NAMES, key=lambda name: name.encode())


def test_a_listing_can_be_bounded(paths: Paths) -> None:
    """From start (inclusive) to end (exclusive), as complete names."""
    for name in ("a", "b &=%", "c", "d"):
        paths.put(name)
    bounds = {"start": "QPI_exports/b &=%", "end": "QPI_exports/d"}
    (page,) = pages_of(paths.server.url, paths.migration.source, **bounds)
    assert [relative for relative, _ in page] == ["b &=%", "c"]
    assert pages_of(paths.server.url, paths.migration.source, start="QPI_exports/e") == []


def test_the_next_page_is_asked_for_while_one_is_used_and_no_more(paths: Paths) -> None:
    """Two pages at most are held, whatever the number of objects."""
    source = paths.migration.source
    paths.server.fill(source.bucket, 5_000, prefix=source.prefix)

    async def first_page() -> tuple[int, int]:
        async with AsyncApi(endpoint=paths.server.url) as api:
            listing = list_pages(api, source)
            page = await anext(listing)
            await wait_until_async(
                lambda: paths.requests("storage.objects.list"), lambda asked: asked >= 2, "the second page"
            )
            for _ in range(20):  # a third request would be sent and counted before these
                await api.request("GET", f"/b/{source.bucket}", source.uri)
            asked = paths.requests("storage.objects.list")
            await listing.aclose()
            return len(page), asked

    assert asyncio.run(first_page()) == (1_000, 2)


def test_a_listing_that_breaks_off_raises_after_the_pages_that_came(paths: Paths) -> None:
    """It is never cut short silently."""
    source = paths.migration.source
    paths.server.fill(source.bucket, 2_500, prefix=source.prefix)
    paths.server.set_faults(
        rules=[{"method": "storage.objects.list", "skip": 2, "count": None, "status": 503}]
    )
    sizes: list[int] = []

    async def read() -> None:
        async with AsyncApi(endpoint=paths.server.url, retry=HASTY) as api:
            async for page in list_pages(api, source):
                sizes.append(len(page))  # noqa: PERF401 -- what came before the error is the point

    with pytest.raises(Unavailable):
        asyncio.run(read())
    assert sizes == [1_000, 1_000]


def test_a_missing_bucket_is_an_error_and_never_an_empty_listing(paths: Paths, gateway: Gateway) -> None:
    """In the gateway's words."""
    nowhere = Location("no-such-bucket-here", "QPI_exports/")
    with pytest.raises(BucketNotFound) as theirs:
        list(gateway.list_pages(nowhere.bucket, nowhere.prefix))
    with pytest.raises(BucketNotFound) as ours:
        pages_of(paths.server.url, nowhere)
    assert str(ours.value) == str(theirs.value)

    async def partitions() -> tuple[str, ...]:
        async with AsyncApi(endpoint=paths.server.url) as api:
            return await discover(api, nowhere)

    with pytest.raises(BucketNotFound):
        asyncio.run(partitions())


@pytest.mark.parametrize(
    "pages",
    [[["p/b", "p/a"]], [["p/a", "p/a"]], [["p/b"], ["p/a"]], [["p/a"], ["p/a"]], [["p/b"], [], ["p/a"]]],
)
def test_a_listing_out_of_order_is_refused(pages: list[list[str]]) -> None:
    """Within a page or across pages: nothing can be concluded from it."""
    answers: list[dict[str, Any]] = [
        {"items": [resource(name) for name in names], "nextPageToken": "more"} for names in pages
    ]
    with pytest.raises(UnexpectedAnswer, match=r"gs://bucket/p/\w: the listing is not sorted"):
        canned_listing(*answers)


def test_an_empty_page_is_not_the_end() -> None:
    """Only a page without a token is."""
    pages = canned_listing(
        {"nextPageToken": "1"},
        {"items": [resource("p/a")], "nextPageToken": "2"},
        {"items": [], "nextPageToken": "3"},
        {"items": [resource("p/b")]},
    )
    assert [[relative for relative, _ in page] for page in pages] == [["a"], ["b"]]


def test_something_that_is_no_resource_ends_the_listing() -> None:
    """What cannot be read is not left out."""
    with pytest.raises(UnexpectedAnswer, match="not an object resource"):
        canned_listing({"items": [{"name": "p/a"}]})


def test_partitions_are_found_however_many_pages_they_take(paths: Paths) -> None:
    """Up to a bound; objects beside them are not named."""
    source = paths.migration.source
    paths.server.fill(source.bucket, 1_200, prefix=source.prefix, days=1_200)

    async def partitions(most_pages: int) -> tuple[str, ...]:
        async with AsyncApi(endpoint=paths.server.url) as api:
            return await discover(api, source, most_pages=most_pages)

    paths.put("zzz.jsonl")
    found = asyncio.run(partitions(2))
    assert len(found) == 1_200
    assert found[0] == "qpi_answers_20240101/"
    assert found == tuple(sorted(found))
    assert asyncio.run(partitions(1)) == found[:1_000]


names = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3), unique=True).map(sorted)


def listing(ours: list[str]) -> Page:
    return [(name, ObjectState(name, 1, 1, 0, "crc", None, "", "", Metadata())) for name in ours]


async def in_pages(whole: Page, size: int) -> AsyncGenerator[Page, None]:
    for first in range(0, len(whole), size):
        yield whole[first : first + size]


@given(names, names, st.integers(1, 4), st.integers(1, 4))
def test_two_listings_in_pages_are_joined_like_two_whole_ones(
    ours: list[str], theirs: list[str], our_size: int, their_size: int
) -> None:
    """Where the pages end makes no difference."""

    async def joined() -> list[Any]:
        parts = march_pages(in_pages(listing(ours), our_size), in_pages(listing(theirs), their_size))
        return [pair async for part in parts for pair in part]

    assert asyncio.run(joined()) == list(march(listing(ours), listing(theirs)))


def test_joining_holds_one_page_of_each_side() -> None:
    """A page is asked for when the one before is used up."""
    asked = {"ours": 0, "theirs": 0}

    async def counted(side: str, whole: Page) -> AsyncGenerator[Page, None]:
        async for page in in_pages(whole, 1):
            asked[side] += 1
            yield page

    async def first_part() -> list[str]:
        parts = march_pages(counted("ours", listing(["a", "c"])), counted("theirs", listing(["b", "d"])))
        first = [pair.relative for pair in await anext(parts)]
        await parts.aclose()
        return first

    assert asyncio.run(first_part()) == ["a"]
    assert asked == {"ours": 1, "theirs": 1}
