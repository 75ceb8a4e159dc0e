"""Fills the local Cloud Storage with the demo's exports, by uploading them as their writer would."""

import asyncio
from collections.abc import Iterable
from urllib.parse import quote

import aiohttp

from demo.data import DemoObject
from shared.migration import Location

__all__ = ["load"]

UPLOADS_AT_ONCE = 64


def load(url: str, location: Location, objects: Iterable[DemoObject]) -> int:
    """Upload objects below a prefix; returns how many.

    Raises:
        aiohttp.ClientError: The server refused one, or is gone.
    """
    return asyncio.run(_load(url, location, objects))


async def _load(url: str, location: Location, objects: Iterable[DemoObject]) -> int:
    waiting = iter(objects)
    address = f"{url}/upload/storage/v1/b/{location.bucket}/o?uploadType=media&name="

    async def upload(session: aiohttp.ClientSession) -> int:
        done = 0
        for item in waiting:  # shared by all: each takes the next one
            name = quote(location.prefix + item.relative, safe="")
            headers = {"Content-Type": item.content_type}
            async with session.post(f"{address}{name}", data=item.data, headers=headers) as answer:
                answer.raise_for_status()
            done += 1
        return done

    connector = aiohttp.TCPConnector(limit=UPLOADS_AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:
        return sum(await asyncio.gather(*(upload(session) for _ in range(UPLOADS_AT_ONCE))))
