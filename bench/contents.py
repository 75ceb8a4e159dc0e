"""How fast contents are read and checked: ``python bench/contents.py [--objects N] [--in-flight N]``.

It fills a local Cloud Storage with objects of 350 bytes, lists them, and then reads and checks all of them. It measures three
things: checking bytes that are in memory, reading without checking, and both. It prints objects a second, CPU time an object and
peak memory, of this process only.
"""

import argparse
import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import uvloop

import local_gcs
from backfill_job.contents.check import ContentsScope, check_contents
from backfill_job.contents.lines import LineChecker
from backfill_job.contents.reader import LIMITS
from backfill_job.copying.diff import DiffLine, merge_pages
from backfill_job.run.stopping import Stop
from shared.gcs.api import AsyncApi
from shared.gcs.listing import list_pages
from shared.migration import Environment, qpi_exports
from shared.objects import ObjectRef, ObjectState

MIGRATION = qpi_exports(Environment.DEV)
PAGE = 1000


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one run."""

    objects_per_s: float
    cpu_us: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--objects", type=int, default=50_000, metavar="N")
    parser.add_argument("--in-flight", type=int, default=LIMITS.in_flight, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--latency-ms", type=float, default=0.0, metavar="MS", help="added to every request")
    arguments = parser.parse_args(argv)
    found: dict[str, list[Figures]] = {}
    buckets = [MIGRATION.source.bucket, MIGRATION.destination.bucket]
    with local_gcs.running(buckets=buckets) as server:
        for location in (MIGRATION.source, MIGRATION.destination):
            server.fill(location.bucket, arguments.objects, prefix=location.prefix, days=10, seed=1)
        pairs = uvloop.run(listed(server.url))
        if arguments.latency_ms:
            server.set_faults(latency_ms=arguments.latency_ms)
        for _ in range(arguments.runs):
            for name, figures in one_run(server.url, pairs, arguments.in_flight).items():
                found.setdefault(name, []).append(figures)
    print(
        f"{os.cpu_count()} cores; {arguments.objects} objects of 350 bytes, {arguments.in_flight} at once, "
        f"{arguments.latency_ms:g} ms added to a request; medians of {arguments.runs} runs; client process only, "
        f"peak memory {peak_mib():.0f} MiB with all names listed\n"
    )
    print(f"{'':24} {'objects/s':>10} {'CPU us/object':>14}")
    for name, runs in found.items():
        print(
            f"{name:24} {median(run.objects_per_s for run in runs):10.0f} {median(run.cpu_us for run in runs):14.1f}"
        )
    return 0


def one_run(url: str, pairs: list[DiffLine], in_flight: int) -> dict[str, Figures]:
    """Measure the parts and the whole."""
    return {
        "checking alone": measured(len(pairs), lambda: only_check(url, pairs)),
        "reading alone": measured(len(pairs), lambda: only_read(url, pairs, in_flight)),
        "reading and checking": measured(len(pairs), lambda: read_and_check(url, pairs, in_flight)),
    }


def measured(
    objects: int, work: Callable[[], Coroutine[Any, Any, Callable[[], Coroutine[Any, Any, None]]]]
) -> Figures:
    """Prepare some work, do it, and take the figures of the doing."""

    async def timed() -> Figures:
        do = await work()
        cpu, began = time.process_time(), time.monotonic()
        await do()
        return Figures(
            objects / (time.monotonic() - began), (time.process_time() - cpu) / objects * 1_000_000
        )

    return uvloop.run(timed())


async def only_check(url: str, pairs: list[DiffLine]) -> Callable[[], Coroutine[Any, Any, None]]:
    """Check one object's bytes as often as there are objects."""
    destination = pairs[0].destination
    if destination is None:
        raise ValueError("the destination was not filled")
    async with AsyncApi(endpoint=url) as api:
        data = await api.read_range(*version_of(destination), first=0, size=destination.size, whole=True)

    async def do() -> None:
        for _ in pairs:
            checker = LineChecker()
            checker.feed(data)
            checker.close()

    return do


async def only_read(
    url: str, pairs: list[DiffLine], in_flight: int
) -> Callable[[], Coroutine[Any, Any, None]]:
    """Read all objects and drop what comes."""
    waiting = iter(pairs)

    async def worker(api: AsyncApi) -> None:
        for pair in waiting:
            if pair.destination is not None:
                version, size = version_of(pair.destination), pair.destination.size
                await api.read_range(*version, first=0, size=size, whole=True)

    async def do() -> None:
        async with AsyncApi(endpoint=url) as api:
            await asyncio.gather(*(worker(api) for _ in range(in_flight)))

    return do


async def read_and_check(
    url: str, pairs: list[DiffLine], in_flight: int
) -> Callable[[], Coroutine[Any, Any, None]]:
    """What ``--contents all`` does."""

    async def batches() -> AsyncGenerator[Iterable[DiffLine], None]:
        for begin in range(0, len(pairs), PAGE):
            yield pairs[begin : begin + PAGE]

    async def do() -> None:
        limits = replace(LIMITS, in_flight=in_flight)
        async with AsyncApi(endpoint=url) as api:
            found = await check_contents(
                batches(), api, MIGRATION, ContentsScope.parse("all"), stop=Stop(), limits=limits
            )
        if found.objects != len(pairs) or not found.clean:
            raise ValueError(f"not what was expected: {found}")

    return do


async def listed(url: str) -> list[DiffLine]:
    """Every name with both sides."""
    async with AsyncApi(endpoint=url) as api:
        sides = list_pages(api, MIGRATION.source), list_pages(api, MIGRATION.destination)
        return [pair async for batch in merge_pages(*sides, MIGRATION) for pair in batch]


def version_of(state: ObjectState) -> tuple[ObjectRef, int]:
    """An object of the destination, and its version."""
    return ObjectRef(MIGRATION.destination.bucket, state.name), state.generation


def peak_mib() -> float:
    """Peak memory of this process (proc(5): VmHWM), in MiB."""
    found = re.search(r"VmHWM:\s*([0-9]+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


if __name__ == "__main__":
    sys.exit(main())
