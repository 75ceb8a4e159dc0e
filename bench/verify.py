"""Verification: names a second and CPU time a name, without contents and with them: ``python bench/verify.py``.

Both buckets of a local server hold the same objects. The command runs as a process of its own. The figures are of that process
only, and include its start.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import local_gcs
from shared.migration import Environment, qpi_exports

MIGRATION = qpi_exports(Environment.DEV)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--objects", type=int, nargs="+", default=[100_000, 1_000_000], metavar="N")
    parser.add_argument("--contents", type=int, default=50_000, metavar="N")
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    arguments = parser.parse_args(argv)
    print(f"{os.cpu_count()} cores; medians of {arguments.runs} runs; client process only")
    print(f"{'':34} {'wall s':>8} {'names/s':>10} {'CPU us/name':>12} {'MiB':>6}")
    for objects in arguments.objects:
        show("names and checksums", objects, [], arguments.runs)
    show("the same, and contents read", arguments.contents, ["--contents", "all"], arguments.runs)
    return 0


def show(what: str, objects: int, more: Sequence[str], runs: int) -> None:
    """Measure and print one line."""
    source, destination = MIGRATION.source, MIGRATION.destination
    with local_gcs.running(buckets=[source.bucket, destination.bucket], generations="ordered") as server:
        for location in (source, destination):
            server.fill(location.bucket, objects, prefix=location.prefix, days=60)
        found = [measured(server.url, more) for _ in range(runs)]
    wall, cpu, memory = (median(values) for values in zip(*found, strict=True))
    print(
        f"{f'{what} ({objects:,})':34} {wall:8.2f} {objects / wall:10,.0f} {cpu / objects * 1e6:12.1f} {memory:6.0f}"
    )


def measured(url: str, more: Sequence[str]) -> tuple[float, float, float]:
    """Run ``verify`` once; gives seconds, seconds of CPU, and MiB."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", "backfill_job", "verify", "--env", MIGRATION.label, "--no-record"]
        line += ["--grace", "0", "--log-dir", folder, *more]
        began = time.monotonic()
        with subprocess.Popen(
            line, env={**os.environ, "STORAGE_EMULATOR_HOST": url}, stdout=subprocess.PIPE, cwd=Path.cwd()
        ) as run:
            output = run.stdout.read() if run.stdout else b""
            _, status, usage = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"verify ended with {run.returncode}:\n{output.decode(errors='replace')[-2000:]}")
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1_024


if __name__ == "__main__":
    sys.exit(main())
