"""How much one instance of the mirror carries: ``python bench/mirror.py [--events N] [--connections N]``.

Posts events straight to the function, as many at once as connections, and prints events a second, the function's CPU
time an event, and Cloud Storage requests an event, for three kinds: of new objects, the same ones once more, and of
objects that were overwritten since.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

import local_gcs
from demo.data import DemoObject
from demo.function import FunctionProcess, running_function
from demo.writer import load
from shared.migration import Environment, qpi_exports

MIGRATION = qpi_exports(Environment.DEV)
NEVER = datetime.fromtimestamp(0, UTC)
FIELDS = "items(name,bucket,generation,metageneration,size,crc32c,md5Hash,contentType,timeCreated,updated),nextPageToken"


@dataclass(frozen=True, slots=True)
class Figures:
    """One run's."""

    events_per_s: float
    cpu_ms: float
    requests: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, default=5_000, metavar="N")
    parser.add_argument("--connections", type=int, default=16, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    arguments = parser.parse_args(argv)
    found: dict[str, list[Figures]] = {"new": [], "duplicate": [], "overwritten": []}
    for number in range(arguments.runs):
        for kind, figures in one_run(arguments.events, arguments.connections, seed=number).items():
            found[kind].append(figures)
    print(
        f"{os.cpu_count()} cores; {arguments.events} events a run, {arguments.connections} at once, ", end=""
    )
    print(f"medians of {arguments.runs} runs\n")
    print(f"{'events of':12} {'events/s':>9} {'CPU ms/event':>13} {'requests/event':>15}")
    for kind, runs in found.items():
        middle = [median(getattr(run, name) for run in runs) for name in Figures.__slots__]
        print(f"{kind:12} {middle[0]:9.0f} {middle[1]:13.2f} {middle[2]:15.3f}")
    return 0


def one_run(events: int, connections: int, seed: int) -> dict[str, Figures]:
    """Measure the three kinds on a fresh server and a fresh instance."""
    buckets = [MIGRATION.source.bucket, MIGRATION.destination.bucket]
    with (
        tempfile.TemporaryDirectory() as folder,
        local_gcs.running(buckets=buckets, seed=seed) as server,
        running_function(server.url, MIGRATION, Path(folder) / "mirror.log") as function,
    ):
        server.fill(buckets[0], events, prefix=MIGRATION.source.prefix, days=10, seed=1)
        first = asyncio.run(listed(server.url))
        asyncio.run(
            post(function.url, first[:50], connections)
        )  # its worker's client is made at the first event
        figures = {"new": measured(server, function, first[50:], connections)}
        figures["duplicate"] = measured(server, function, first[50:], connections)
        newer = (DemoObject(relative_name(item), b"newer\n", "application/json", NEVER) for item in first)
        load(server.url, MIGRATION.source, newer)
        figures["overwritten"] = measured(server, function, asyncio.run(listed(server.url)), connections)
        return figures


def measured(
    server: local_gcs.LocalServer,
    function: FunctionProcess,
    resources: list[dict[str, Any]],
    connections: int,
) -> Figures:
    """Post events and take the figures."""
    server.reset_stats()
    cpu, began = cpu_seconds(function.pid), time.monotonic()
    asyncio.run(post(function.url, resources, connections))
    wall, cpu = time.monotonic() - began, cpu_seconds(function.pid) - cpu
    return Figures(
        len(resources) / wall, cpu / len(resources) * 1_000, server.stats()["requests"] / len(resources)
    )


def relative_name(resource: dict[str, Any]) -> str:
    """An object's name below the prefix."""
    return MIGRATION.relative(resource["name"])


async def listed(url: str) -> list[dict[str, Any]]:
    """Every source object, as events show them."""
    found: list[dict[str, Any]] = []
    token = ""
    async with aiohttp.ClientSession() as session:
        while True:
            parameters = {"prefix": MIGRATION.source.prefix, "fields": FIELDS, "pageToken": token}
            async with session.get(
                f"{url}/storage/v1/b/{MIGRATION.source.bucket}/o", params=parameters
            ) as answer:
                page = await answer.json()
            found += page.get("items", [])
            token = page.get("nextPageToken", "")
            if not token:
                return found


async def post(url: str, resources: list[dict[str, Any]], connections: int) -> None:
    """Deliver an event for each object, as Eventarc would."""
    waiting = iter(resources)

    async def deliver(session: aiohttp.ClientSession) -> None:
        for resource in waiting:
            headers = {
                "ce-id": resource["generation"],
                "ce-type": "google.cloud.storage.object.v1.finalized",
                "ce-source": f"//storage.googleapis.com/projects/_/buckets/{resource['bucket']}",
                "ce-specversion": "1.0",
                "ce-time": resource["timeCreated"],
                "Content-Type": "application/json",
            }
            async with session.post(url, data=json.dumps(resource), headers=headers) as answer:
                answer.raise_for_status()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=connections)) as session:
        await asyncio.gather(*(deliver(session) for _ in range(connections)))


def cpu_seconds(group: int) -> float:
    """CPU time of a process group's processes so far (proc(5): fields pgrp, utime, stime)."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        if int(fields[2]) == group:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
