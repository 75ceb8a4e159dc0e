"""The backfill against the tools its users would pick: ``make bench [N=50000]``.

Everything runs on one local server per run, as processes of their own, one after the other: a first copy, and a second run with
nothing to do. Figures are of the client's process only, medians of paired runs. ``--latency`` adds a run of ours with 50 ms
added to every request.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import local_gcs
from shared.migration import Environment, qpi_exports

MIGRATION = qpi_exports(Environment.DEV)
SOURCE, DESTINATION = MIGRATION.source, MIGRATION.destination
JITTER_MS = 5.0
"""Of each injected delay, on average. With exactly the same for everybody, the local server's one event loop answers all
requests under way in step, and what is measured is the step."""
SLOW = "first copy, {} ms a request"
IN_FLIGHT = 256

Command = Callable[[str, Path], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Figures:
    """One process's.

    Attributes:
        wall: Seconds.
        cpu: Milliseconds of CPU an object, user and system.
        requests: Requests an object, listings included.
        listings: List requests.
        memory: MiB, the largest process's peak.
        copying: Seconds, ours only: listing and copying, without start and verification.
    """

    wall: float
    cpu: float
    requests: float
    listings: int
    memory: float
    copying: float


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--objects", type=int, default=50_000, metavar="N")
    parser.add_argument(
        "--gcloud-objects", type=int, default=3_000, metavar="N", help="gcloud takes 8 ms an object"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--only", choices=["ours", "rclone", "gcloud"], help="leave the others out")
    parser.add_argument(
        "--latency",
        type=float,
        nargs="?",
        const=50.0,
        metavar="MS",
        help="ours once more, with so many milliseconds a request (50), as one task and as two",
    )
    arguments = parser.parse_args(argv)
    tools: dict[str, tuple[Command, int]] = {"ours": (ours, arguments.objects)}
    if shutil.which("rclone"):
        tools["rclone"] = (rclone, arguments.objects)
    if shutil.which("gcloud"):
        tools["gcloud"] = (gcloud, arguments.gcloud_objects)
    if arguments.only:
        tools = {arguments.only: tools[arguments.only]}
    print(
        f"{os.cpu_count()} cores; objects of 350 bytes; medians of {arguments.runs} runs; client process only\n"
    )
    found: dict[tuple[str, str], list[Figures]] = {}
    for _ in range(arguments.runs):
        for name, (command, objects) in tools.items():
            for phase, figures in measured(command, objects).items():
                found.setdefault((phase, f"{name} ({objects:,})"), []).append(figures)
        if arguments.latency:
            for name, command in (("ours", ours), ("ours, 2 tasks", two_tasks)):
                delay = {"latency_ms": arguments.latency - JITTER_MS, "latency_jitter_ms": JITTER_MS}
                slow = measured(command, arguments.objects, delay)["first copy"]
                found.setdefault(
                    (SLOW.format(f"{arguments.latency:g}"), f"{name} ({arguments.objects:,})"), []
                ).append(slow)
    show(found)
    return 0


def show(found: dict[tuple[str, str], list[Figures]]) -> None:
    """Print the table, grouped by phase."""
    heading = (
        f"{'':24} {'wall s':>8} {'objects/s':>10} {'CPU ms/object':>14} {'requests/object':>16} {'MiB':>6}"
    )
    for phase in dict.fromkeys(phase for phase, _ in found):
        print(f"{phase}\n{heading}")
        for (its, name), runs in found.items():
            if its == phase:
                objects = int(name.partition("(")[2].rstrip(")").replace(",", ""))
                wall, cpu, requests, memory, copying = (
                    median(getattr(run, figure) for run in runs)
                    for figure in ("wall", "cpu", "requests", "memory", "copying")
                )
                rest = f"; copying alone {objects / copying:,.0f}/s" if copying else ""
                print(
                    f"  {name:22} {wall:8.2f} {objects / wall:10.0f} {cpu:14.4f} {requests:16.4f} {memory:6.0f}{rest}"
                )
        print()


def measured(command: Command, objects: int, faults: Mapping[str, float] | None = None) -> dict[str, Figures]:
    """A first copy and a second run on a fresh server."""
    with (
        tempfile.TemporaryDirectory() as folder,
        local_gcs.running(buckets=[SOURCE.bucket, DESTINATION.bucket], generations="ordered") as server,
    ):
        server.fill(SOURCE.bucket, objects, prefix=SOURCE.prefix, days=60)
        found = {}
        for phase in ("first copy", "nothing to do"):
            server.reset_stats()
            server.set_faults(**(faults or {}))
            found[phase] = timed(*command(server.url, Path(folder)), server, objects)
            server.clear_faults()
        return found


def timed(line: list[str], environ: dict[str, str], server: local_gcs.LocalServer, objects: int) -> Figures:
    """Run a command and take its figures from the operating system."""
    began = time.monotonic()
    with subprocess.Popen(
        line, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as run:
        output = run.stdout.read() if run.stdout else b""
        _, status, usage = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - began
    if run.returncode:
        raise SystemExit(f"{line[0]} ended with {run.returncode}:\n{output.decode(errors='replace')[-2000:]}")
    stats = server.stats()
    return Figures(
        wall=wall,
        cpu=(usage.ru_utime + usage.ru_stime) / objects * 1_000,
        requests=stats["requests"] / objects,
        listings=server.count("storage.objects.list"),
        memory=usage.ru_maxrss / 1_024,
        copying=float(said[1]) if (said := re.search(rb" copying_s=([0-9.]+)", output)) else 0.0,
    )


def ours(url: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Our own command: copy, then verify by listing both sides again."""
    line = [sys.executable, "-m", "backfill_job", "migrate", "--env", MIGRATION.label, "--execute", "--yes"]
    line += ["--ungoverned", "--grace", "0", "--in-flight", str(IN_FLIGHT), "--log-dir", str(folder)]
    return line, {"STORAGE_EMULATOR_HOST": url}


def two_tasks(url: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Our own command as two processes, each with as many objects under way as one has alone."""
    line, environ = ours(url, folder)
    return [*line, "--tasks", "2"], environ


def rclone(url: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """``rclone copy --checksum``, which does not verify."""
    configuration = folder / "rclone.conf"
    configuration.write_text(
        f"[local]\ntype = google cloud storage\nanonymous = true\nendpoint = {url}/storage/v1/\n"
        "bucket_policy_only = true\nproject_number = 1\n"
    )
    line = ["rclone", f"--config={configuration}", "--gcs-no-check-bucket", "--fast-list", "--checksum"]
    line += ["--transfers", "64", "--checkers", "64", "copy"]
    return [*line, *(f"local:{place.bucket}/{place.prefix}" for place in (SOURCE, DESTINATION))], {}


def gcloud(url: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """``gcloud storage rsync --recursive``, which does not verify."""
    line = ["gcloud", "storage", "rsync", "--recursive", SOURCE.uri.rstrip("/"), DESTINATION.uri.rstrip("/")]
    return line, {
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{url}/storage/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CONFIG": str(folder / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": "test",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
    }


if __name__ == "__main__":
    sys.exit(main())
