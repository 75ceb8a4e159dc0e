"""Listings page by page; ``test_store_contract`` has what the gateway's do, too."""

import asyncio
import json
from typing import Any

import pytest
from testing_http import HASTY, answering, http
from testing_paths import Paths

from local_gcs.waiting import wait_until_async
from shared.errors import BucketNotFound, UnexpectedAnswer
from shared.gcs.api import AsyncApi
from shared.gcs.listing import Page, first_name, list_pages, matching_names, top_level
from shared.migration import Location

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
                await api.bucket(source.bucket, "name")
            asked = paths.requests("storage.objects.list")
            await listing.aclose()
            return len(page), asked

    assert asyncio.run(first_page()) == (1_000, 2)


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


def test_names_that_match_are_found_on_every_page(paths: Paths) -> None:
    """The service filters: of 2,500 objects, those that match take as many pages as they are."""
    bucket = paths.migration.source.bucket
    paths.server.fill(bucket, 2_500, prefix="a/b/")
    for name in ("a/x.json", "a/b/c/x.json", "a/b/x.json/17", "c/x.json", "a/b/xx.json"):
        paths.client.bucket(bucket).blob(name).upload_from_string(b"")

    async def found(prefix: str, glob: str) -> list[str]:
        async with AsyncApi(endpoint=paths.server.url) as api:
            return await matching_names(api, Location(bucket, prefix), glob)

    assert asyncio.run(found("a/", "a/**/x.json")) == ["a/b/c/x.json", "a/x.json"]
    assert len(asyncio.run(found("a/", "a/b/**"))) == 2_503


def test_a_page_without_a_match_is_not_the_end_of_the_names() -> None:
    """Cloud Storage may answer with no items and a token."""

    async def found() -> list[str]:
        left = [{"nextPageToken": "t"}, {"items": [{"name": "p/x"}]}]
        answers = [http(json.dumps(answer).encode()) for answer in left]
        async with answering(lambda _: answers.pop(0)) as url, AsyncApi(endpoint=url, retry=HASTY) as api:
            return await matching_names(api, PLACE, "p/*")

    assert asyncio.run(found()) == ["p/x"]


def test_something_that_is_no_resource_ends_the_listing() -> None:
    """What cannot be read is not left out."""
    with pytest.raises(UnexpectedAnswer, match="not an object resource"):
        canned_listing({"items": [{"name": "p/a"}]})


def test_partitions_are_found_however_many_pages_they_take(paths: Paths) -> None:
    """Up to a bound; objects beside them are named, too."""
    source = paths.migration.source
    paths.server.fill(source.bucket, 1_200, prefix=source.prefix, days=1_200)

    async def partitions(most_pages: int) -> tuple[str, ...]:
        async with AsyncApi(endpoint=paths.server.url) as api:
            names, complete = await top_level(api, source, most_pages=most_pages)
            assert complete is (most_pages > 1)
            return names

    paths.put("zzz.jsonl")
    found = asyncio.run(partitions(2))
    assert (len(found), found[-1]) == (1_201, "zzz.jsonl")
    assert found[0] == "qpi_answers_20240101/"
    assert found == tuple(sorted(found))
    assert asyncio.run(partitions(1)) == found[:1_000]


def test_folders_and_first_names_of_a_missing_bucket_are_not_known(paths: Paths) -> None:
    """Listings as a whole are in ``test_store_contract``."""
    nowhere = Location("no-such-bucket-here", "QPI_exports/")

    async def ask(which: int) -> None:
        async with AsyncApi(endpoint=paths.server.url) as api:
            await (top_level(api, nowhere) if which else first_name(api, nowhere, "", ""))

    for which in range(2):
        with pytest.raises(BucketNotFound):
            asyncio.run(ask(which))
