"""`loaded` over days of exports against a DuckDB file: time, CPU and peak memory of the command's own process.

python bench/loaded.py --days 365 --a-day 300
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import duckdb

import local_gcs
from demo.data import DemoObject, one_submission
from demo.writer import upload_all
from shared.migration import Environment, qpi_exports

PATHS = qpi_exports(Environment.DEV)
TYPES = "{user_id: 'VARCHAR', submitted_at: 'TIMESTAMPTZ', answers: 'STRUCT(question_id VARCHAR, answer_ids VARCHAR[])[]'}"


def submissions(days: int, a_day: int) -> list[DemoObject]:
    """The exports up to yesterday."""
    rng, last = Random("loaded"), datetime.now(UTC).date() - timedelta(days=1)
    return [
        one_submission(rng, day, user, datetime(day.year, day.month, day.day, 12, tzinfo=UTC))
        for day in (last - timedelta(days=ago) for ago in range(days))
        for user in range(a_day)
    ]


def main() -> None:
    """Fill, load, compare, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--a-day", type=int, default=300)
    parser.add_argument("--lost", type=int, default=9, help="days that the consumer never loaded")
    arguments = parser.parse_args()
    objects = submissions(arguments.days, arguments.a_day)
    lost = {
        f"qpi_answers_{datetime.now(UTC).date() - timedelta(days=1 + ago):%Y%m%d}"
        for ago in range(arguments.lost)
    }
    with (
        tempfile.TemporaryDirectory() as name,
        local_gcs.running(buckets=[PATHS.source.bucket, PATHS.destination.bucket]) as server,
    ):
        folder = Path(name)
        upload_all(server.url, PATHS.source, objects)
        rows = folder / "rows.jsonl"
        rows.write_bytes(
            b"".join(each.data for each in objects if each.relative.partition("/")[0] not in lost)
        )
        with duckdb.connect(str(folder / "warehouse.duckdb")) as table:
            table.execute(
                f"SET TimeZone = 'UTC'; CREATE TABLE qpi AS SELECT * FROM read_json('{rows}', columns = {TYPES})"  # noqa: S608 -- names of ours
            )
        words = [
            sys.executable,
            "-m",
            "backfill_job",
            "loaded",
            "--env",
            "dev",
            "--last",
            str(arguments.days),
            "--no-record",
        ]
        words += ["--path", "legacy", "--database", str(folder / "warehouse.duckdb"), "--table", "qpi"]
        began = time.monotonic()
        done = subprocess.run(
            words,
            env={**os.environ, "STORAGE_EMULATOR_HOST": server.url},
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.monotonic() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(done.stdout.splitlines()[-1], done.stderr, f"exit code {done.returncode}")
        print(
            f"{len(objects):,} rows of {arguments.days} days, {sum(len(each.data) for each in objects):,} bytes"
        )
        print(
            f"wall {wall:.1f} s, CPU {used.ru_utime + used.ru_stime:.1f} s, peak {used.ru_maxrss / 1024:.0f} MiB"
        )


if __name__ == "__main__":
    main()
