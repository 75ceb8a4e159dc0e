"""How many deletions a mirror that follows them misses under faults: ``python bench/deletions.py [--objects N] [--runs N]``.

Writers upload objects and delete them again, while requests fail, and events come twice, late, out of order or never. The mirror
follows deletions (``MIRROR_DELETES=true``). When no event is left, copies whose source is gone are counted: at once, and after a
sweep with ``--follow-deletions``, which runs without faults.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import aiohttp

import local_gcs
from demo.function import running_function
from shared.migration import Environment, Location, qpi_exports

MIGRATION = qpi_exports(Environment.DEV)
AT_ONCE = 48
ATTEMPTS = 50


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--objects", type=int, default=240, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument(
        "--drop", type=float, default=0.03, metavar="SHARE", help="events that are never sent"
    )
    parser.add_argument(
        "--sweep", nargs="*", default=["--follow-deletions"], help="more options of the sweep"
    )
    arguments = parser.parse_args(argv)
    print(f"{arguments.objects} objects uploaded and deleted; events dropped: {arguments.drop:.0%}")
    print(f"{'seed':>4} {'copies left':>12} {'after the sweep':>16}")
    for seed in range(arguments.runs):
        left, swept = one_run(arguments.objects, arguments.drop, arguments.sweep, seed)
        print(f"{seed:4} {left:12} {swept:16}", flush=True)
    return 0


def one_run(objects: int, drop: float, sweep: Sequence[str], seed: int) -> tuple[int, int]:
    """Copies whose source is gone: before and after the sweep."""
    buckets = [MIGRATION.source.bucket, MIGRATION.destination.bucket]
    with (
        tempfile.TemporaryDirectory() as folder,
        local_gcs.running(buckets=buckets, seed=seed) as server,
    ):
        environ = {**os.environ, "STORAGE_EMULATOR_HOST": server.url}
        command = [sys.executable, "-m", "backfill_job"]
        # A program of before the command `begin` begins by itself.
        subprocess.run(
            [*command, "begin", "--env", "dev", "--by", "bench"],
            env=environ,
            check=False,
            capture_output=True,
        )
        mirror = running_function(server.url, MIGRATION, Path(folder) / "log", {"MIRROR_DELETES": "true"})
        with mirror as function:
            server.add_subscriber(function.url, bucket=MIGRATION.source.bucket)
            server.set_faults(**faults(seed, drop))
            asyncio.run(write_and_delete(server.url, objects, seed))
            server.clear_faults()
            server.wait_for_events()
        left = len(orphans(server))
        words = [
            "migrate",
            "--env",
            "dev",
            "--execute",
            "--yes",
            "--ungoverned",
            "--allow-empty",
            "--grace",
            "0",
        ]
        log = ["--log-dir", folder]
        subprocess.run([*command, *words, *log, *sweep], env=environ, check=False, capture_output=True)
        return left, len(orphans(server))


def faults(seed: int, drop: float) -> dict[str, Any]:
    """The storm of the whole story (``tests/e2e/story_weather.py``), with slower rewrites, and each event once."""
    rates = {"429": 0.01, "503": 0.02, "reset_before": 0.005, "reset_after": 0.005, "truncate": 0.003}
    events = {"duplicate": 0, "delay_ms": 300, "reorder": True, "drop": drop}
    return {"seed": seed, "rates": rates, "latency_ms": 2, "rewrite_gap_ms": 300, "events": events}


def orphans(server: local_gcs.LocalServer) -> set[str]:
    """Names that only the new path has."""
    legacy, new = (asyncio.run(names(server.url, side)) for side in (MIGRATION.source, MIGRATION.destination))
    return new - legacy


async def names(url: str, side: Location) -> set[str]:
    """Names below a prefix."""
    parameters = {"prefix": side.prefix, "fields": "items(name)"}
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"{url}/storage/v1/b/{side.bucket}/o", params=parameters) as answer,
    ):
        return {item["name"][len(side.prefix) :] for item in (await answer.json()).get("items", [])}


async def write_and_delete(url: str, objects: int, seed: int) -> None:
    """Upload each object, and delete it after up to 1.5 seconds."""
    rng, waiting = Random(seed), iter(range(objects))
    upload = f"{url}/upload/storage/v1/b/{MIGRATION.source.bucket}/o"
    address = f"{url}/storage/v1/b/{MIGRATION.source.bucket}/o"

    async def writer(session: aiohttp.ClientSession) -> None:
        for number in waiting:
            name = f"{MIGRATION.source.prefix}qpi_answers_20260101/user_id_{number}.jsonl"
            data = f'{{"user_id":"{number}"}}\n'.encode()
            await sent(session, "POST", upload, params={"uploadType": "media", "name": name}, data=data)
            await asyncio.sleep(rng.uniform(0, 1.5))
            await sent(session, "DELETE", f"{address}/{name.replace('/', '%2F')}")

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(writer(session) for _ in range(AT_ONCE)))


async def sent(session: aiohttp.ClientSession, verb: str, url: str, **options: Any) -> None:
    """Repeat a request until it has had its effect: a 404 to a repeated deletion says so."""
    from yarl import URL  # noqa: PLC0415 -- keeps %2F as it is

    for _ in range(ATTEMPTS):
        try:
            async with session.request(verb, URL(url, encoded=True), **options) as answer:
                await answer.read()
                if answer.status < 400 or (verb == "DELETE" and answer.status == 404):  # noqa: PLR2004
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.01)
    raise RuntimeError(f"{verb} {url} had no success")


if __name__ == "__main__":
    sys.exit(main())
