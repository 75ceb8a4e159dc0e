"""Several ranges listed at once."""

import asyncio
from collections.abc import Sequence

import pytest
from testing_paths import Paths

from backfill_job.copying.diff import DiffLine, diff
from backfill_job.run.key_ranges import KeyRange, ranges
from shared.errors import PermissionDenied
from shared.gcs.api import AsyncApi


def parts_of(paths: Paths, tiles: Sequence[KeyRange], at_once: int) -> list[list[DiffLine]]:
    async def all_parts() -> list[list[DiffLine]]:
        async with AsyncApi(endpoint=paths.server.url) as api:
            found = diff(api, paths.migration, tiles, at_once=at_once)
            return [list(pairs) async for pairs in found]

    return asyncio.run(all_parts())


@pytest.mark.parametrize("at_once", [1, 3, 50])
def test_every_name_comes_once_whatever_the_ranges(paths: Paths, at_once: int) -> None:
    """Each part is in order, and has the sides that have the name."""
    paths.server.fill(paths.migration.source.bucket, 2_500, prefix="QPI_exports/", days=3)
    paths.put("zzz", side="destination")
    names = paths.names(side="source")
    tiles = ranges([names[number] for number in (0, 3, 1_200, 2_400)])
    parts = parts_of(paths, tiles, at_once)
    assert sorted(pair.relative for part in parts for pair in part) == [*names, "zzz"]
    assert all([pair.relative for pair in part] == sorted(pair.relative for pair in part) for part in parts)
    assert [pair.relative for part in parts for pair in part if pair.destination] == ["zzz"]


def test_no_ranges_are_no_work(paths: Paths) -> None:
    """A task may have none."""
    paths.put("a")
    assert parts_of(paths, (), 4) == []


def test_a_range_that_fails_ends_the_diff(paths: Paths) -> None:
    """However many others go well: there is no verdict on a part of the listing."""
    paths.server.fill(paths.migration.source.bucket, 500, prefix="QPI_exports/", days=10)
    rule = {"method": "storage.objects.list", "skip": 7, "count": 1, "status": 403}
    paths.server.set_faults(rules=[rule])
    names = paths.names(side="source")
    with pytest.raises(PermissionDenied):
        parts_of(paths, ranges(names[::50]), 4)


def test_whoever_has_enough_can_stop(paths: Paths) -> None:
    """Listings under way are called off; nothing is asked for any more."""
    paths.server.fill(paths.migration.source.bucket, 30_000, prefix="QPI_exports/", days=10)

    async def first() -> None:
        async with AsyncApi(endpoint=paths.server.url) as api:
            found = diff(api, paths.migration, ranges(()), at_once=4)
            assert len(list(await anext(found))) == 1_000
            await found.aclose()
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(first())
    assert paths.requests("storage.objects.list") < 10
