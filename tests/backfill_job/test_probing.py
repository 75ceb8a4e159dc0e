"""Where a giant partition is cut."""

import asyncio
import json
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testing_http import answering, http
from testing_paths import Paths

from backfill_job.run.key_ranges import Partition, assign, balance, boundaries_for, ranges, samples_wanted
from backfill_job.run.tasks import splitting_names
from shared.gcs.api import AsyncApi
from shared.migration import Location

names_below = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), max_size=30)


def cuts(url: str, location: Location, folder: str, wanted: int) -> tuple[str, ...]:
    async def found() -> tuple[str, ...]:
        async with AsyncApi(endpoint=url, connections=8) as api:
            return await splitting_names(api, location, folder, wanted)

    return asyncio.run(found())


@given(names_below, st.integers(1, 20))
def test_cuts_ascend_and_lie_in_the_folder(names: list[str], wanted: int) -> None:
    """Whatever the names: so the boundaries made of them tile the key space."""
    inside = sorted({"f/" + name for name in names})

    def answer(request: str) -> bytes:
        query = parse_qs(urlsplit(request.split(" ")[1]).query)
        start, end = query["startOffset"][0][2:], query.get("endOffset", ["p/"])[0][2:]
        found = [name for name in inside if name >= start and (not end or name < end)]
        return http(json.dumps({"items": [{"name": "p/" + found[0]}]} if found else {}).encode())

    async def found() -> tuple[str, ...]:
        async with answering(answer) as url, AsyncApi(endpoint=url, connections=4) as api:
            return await splitting_names(api, Location("bucket", "p/"), "f/", wanted)

    result = asyncio.run(found())
    assert list(result) == sorted(set(result))
    assert all(name.startswith("f/") and name != "f/" for name in result)
    assert len(ranges(result)) == len(result) + 1
    if len({name[:3] for name in inside}) > wanted:
        assert len(result) >= wanted


@pytest.mark.parametrize("tasks", [2, 10])
def test_one_giant_folder_is_shared_evenly(paths: Paths, tasks: int) -> None:
    """Submissions of 9,000 users in one folder: no task has half as much again as the mean."""
    bucket = paths.migration.source.bucket
    paths.server.fill(bucket, 9_000, prefix="QPI_exports/", days=1)
    names = paths.names(side="source")
    folder = names[0].rpartition("/")[0] + "/"
    paths.server.reset_stats()
    wanted = samples_wanted([Partition(folder)], tasks)
    samples = cuts(paths.server.url, paths.migration.source, folder, wanted[folder])
    assert paths.requests("storage.objects.list") < 25 * wanted[folder]
    tiles = ranges(boundaries_for([Partition(folder, samples=samples)], tasks))
    shares = [
        sum(name in tile for name in names for tile in assign(tiles, index, tasks)) for index in range(tasks)
    ]
    assert sum(shares) == 9_000
    assert balance(shares) < 1.5
