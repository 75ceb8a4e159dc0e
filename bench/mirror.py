"""What one instance of the mirror needs for an event, beside the simplest possible function.

Usage: ``python bench/mirror.py [--events N] [--connections N] [--runs N]``.

The simplest function is the usual one: it takes the event and calls `copy_blob`, without preconditions, log lines or a
phase. So it loses data under races (``docs/races.md``). Each run starts both on one server, one after the other, and posts the
same events to each, as many at once as connections. There are three kinds of events: of new objects, the same events once
more, and of objects that were overwritten since. The table has events a second, CPU time of the function's processes, and
requests to Cloud Storage. Ratios are the medians of the runs' own ratios.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp

import local_gcs
from demo.data import DemoObject
from demo.function import FunctionProcess, running_function
from demo.writer import upload_all
from shared.migration import Environment, qpi_exports

MIGRATION = qpi_exports(Environment.DEV)
NEVER = datetime.fromtimestamp(0, UTC)
FIELDS = "items(name,bucket,generation,metageneration,size,crc32c,md5Hash,contentType,timeCreated,updated),nextPageToken"
OURS, SIMPLEST = "ours", "simplest"
KINDS = ("new", "duplicate", "overwritten")
FIRST = 50
"""Events before the measured ones: the clients are made at the first event."""

PEER = """
import os
import functions_framework
from google.cloud import storage

client = storage.Client()
SOURCE, DESTINATION = os.environ["PEER_SOURCE"], os.environ["PEER_DESTINATION"]


@functions_framework.cloud_event
def mirror_object(event):
    bucket, name = event.data["bucket"], event.data["name"]
    there, _, prefix = DESTINATION.removeprefix("gs://").partition("/")
    source = client.bucket(bucket)
    source.copy_blob(source.blob(name), client.bucket(there), prefix + name.removeprefix(SOURCE))
"""


@dataclass(frozen=True, slots=True)
class Figures:
    """What one function needed for one kind of events in one run."""

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
    runs = [one_run(arguments.events, arguments.connections, seed=number) for number in range(arguments.runs)]
    load_average = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load_average:.1f}; {arguments.events} events of a kind, ", end="")
    print(f"{arguments.connections} at once, medians of {len(runs)} runs\n")
    print(
        f"{'events of':12} {'function':9} {'events/s':>9} {'CPU ms/event':>13} {'requests/event':>15} {'CPU ratio':>10} {'events/s ratio':>15}"
    )
    for kind in KINDS:
        for name in (SIMPLEST, OURS):
            middle = [median(getattr(run[kind, name], each) for run in runs) for each in Figures.__slots__]
            line = f"{kind:12} {name:9} {middle[0]:9.0f} {middle[1]:13.3f} {middle[2]:15.3f}"
            if name == OURS:
                cpu = median(run[kind, OURS].cpu_ms / run[kind, SIMPLEST].cpu_ms for run in runs)
                rate = median(run[kind, OURS].events_per_s / run[kind, SIMPLEST].events_per_s for run in runs)
                line += f" {cpu:10.2f} {rate:15.2f}"
            print(line)
    return 0


def one_run(events: int, connections: int, seed: int) -> dict[tuple[str, str], Figures]:
    """Measure both functions, each on a fresh server; which one goes first changes from run to run."""
    found: dict[tuple[str, str], Figures] = {}
    for name in (OURS, SIMPLEST) if seed % 2 else (SIMPLEST, OURS):
        for kind, figures in one_function(name, events, connections, seed).items():
            found[kind, name] = figures
    return found


def one_function(name: str, events: int, connections: int, seed: int) -> dict[str, Figures]:
    """Measure the three kinds on a fresh server and a fresh instance of a function."""
    buckets = [MIGRATION.source.bucket, MIGRATION.destination.bucket]
    with (
        tempfile.TemporaryDirectory() as folder,
        local_gcs.running(buckets=buckets, seed=seed) as server,
        running(name, server.url, Path(folder)) as function,
    ):
        begin(server.url)
        server.fill(buckets[0], events, prefix=MIGRATION.source.prefix, days=10, seed=1)
        first = asyncio.run(listed(server.url))
        asyncio.run(post(function.url, first[:FIRST], connections))
        figures = {"new": measured(server, function, first[FIRST:], connections)}
        figures["duplicate"] = measured(server, function, first[FIRST:], connections)
        newer = (DemoObject(relative_name(item), b"newer\n", "application/json", NEVER) for item in first)
        upload_all(server.url, MIGRATION.source, newer)
        figures["overwritten"] = measured(server, function, asyncio.run(listed(server.url)), connections)
        return figures


def running(name: str, url: str, folder: Path) -> AbstractContextManager[FunctionProcess]:
    """Run one of the two functions."""
    log = folder / f"{name}.log"
    if name == OURS:
        return running_function(url, MIGRATION, log)
    main = folder / "main.py"
    main.write_text(PEER)
    peer = {"PEER_SOURCE": MIGRATION.source.prefix, "PEER_DESTINATION": MIGRATION.destination.uri}
    peer["GOOGLE_CLOUD_PROJECT"] = "bench"
    return running_function(url, MIGRATION, log, peer, main=main)


def begin(url: str) -> None:
    """Begin the migration on record: the mirror does nothing without it."""
    command = [sys.executable, "-m", "backfill_job", "begin", "--env=dev", "--by=bench"]
    environ = {**os.environ, "STORAGE_EMULATOR_HOST": url}
    subprocess.run(command, env=environ, check=True, capture_output=True)


def measured(
    server: local_gcs.LocalServer,
    function: FunctionProcess,
    resources: list[dict[str, Any]],
    connections: int,
) -> Figures:
    """Post events and take the figures. The requests for the phase count, too."""
    server.reset_stats()
    cpu, began = cpu_seconds(function.pid), time.monotonic()
    asyncio.run(post(function.url, resources, connections))
    wall, cpu = time.monotonic() - began, cpu_seconds(function.pid) - cpu
    return Figures(
        len(resources) / wall, cpu / len(resources) * 1_000, server.stats()["requests"] / len(resources)
    )


def relative_name(resource: dict[str, Any]) -> str:
    """Give an object's name below the prefix."""
    return MIGRATION.relative(resource["name"])


async def listed(url: str) -> list[dict[str, Any]]:
    """List every source object, in the form of an event's body."""
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
    """Deliver an event for each object, as Eventarc does."""
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
    """Add up the CPU time of a process group's processes so far (proc(5): fields pgrp, utime, stime)."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # the process has ended
        if int(fields[2]) == group:
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
