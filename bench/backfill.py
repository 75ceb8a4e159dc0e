"""The backfill against the tools that its users would pick: ``make bench [N=50000]``.

Ours runs as a user runs it, and once more with ``--ungoverned``. Each tool is a process of its own on a fresh local server, one
after the other. It makes a first copy, and a second run with nothing to do. The figures are of the client's process only. A round runs each
tool once. The table has the medians of the rounds, and the median of each round's ratio to rclone.

``--latency`` adds runs of ours with 50 ms added to every request. ``--against`` adds another checkout of this project.
"""

import argparse
import compileall
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import local_gcs
from shared.migration import Environment, qpi_exports

MIGRATION = qpi_exports(Environment.DEV)
SOURCE, DESTINATION = MIGRATION.source, MIGRATION.destination
JITTER_MS = 5.0
"""The jitter of each injected delay, on average. Without it, the server's one event loop answers all requests under way in step.
The benchmark would measure the step."""
SLOW = "first copy, {} ms a request"
OURS, RCLONE = "ours", "rclone"
BESIDE = (RCLONE, "ours, ungoverned")
"""Beside which tool the others are shown: the first of them that ran."""

Command = Callable[[str, Path], tuple[list[str], dict[str, str]]]


@dataclass(frozen=True, slots=True)
class Figures:
    """The figures of one process.

    Attributes:
        wall: Seconds.
        cpu: Milliseconds of CPU an object, user and system.
        requests: Requests an object, listings included.
        listings: List requests.
        memory: MiB, the largest process's peak.
        copying: Seconds, ours only: listing and copying, without start and verification.
        objects: How many the source held.
    """

    wall: float
    cpu: float
    requests: float
    listings: int
    memory: float
    copying: float
    objects: int


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark and print its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--objects", type=int, default=50_000, metavar="N")
    parser.add_argument(
        "--gcloud-objects",
        type=int,
        default=3_000,
        metavar="N",
        help="gcloud takes 8 ms an object; 0 leaves it out",
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N")
    parser.add_argument("--only", choices=[OURS, RCLONE, "gcloud"], help="leave the others out")
    parser.add_argument(
        "--latency",
        type=float,
        nargs="?",
        const=50.0,
        metavar="MS",
        help="ours once more, with so many milliseconds a request (50), as one task and as two",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="another checkout of this project, run with the same Python",
    )
    arguments = parser.parse_args(argv)
    tools = tools_of(arguments)
    for checkout in filter(None, (Path(__file__).parent.parent, arguments.against)):
        compile_modules(checkout)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start; objects of 350 bytes; "
        f"medians of {arguments.runs} rounds; client process only\n"
    )
    found: dict[str, dict[str, list[Figures]]] = {}
    for _ in range(arguments.runs):
        for name, (command, objects) in tools.items():
            for phase, figures in measured(command, objects).items():
                found.setdefault(phase, {}).setdefault(name, []).append(figures)
        if arguments.latency:
            delay = {"latency_ms": arguments.latency - JITTER_MS, "latency_jitter_ms": JITTER_MS}
            phase = SLOW.format(f"{arguments.latency:g}")
            for name, command in (("ours, ungoverned", ungoverned), ("the same, 2 tasks", two_tasks)):
                slow = measured(command, arguments.objects, delay)["first copy"]
                found.setdefault(phase, {}).setdefault(name, []).append(slow)
    for phase, by_tool in found.items():
        show(phase, by_tool)
    print(f"load {os.getloadavg()[0]:.1f} at the end")
    return 0


def compile_modules(checkout: Path) -> None:
    """Compile a checkout as an installation does. Where ``PYTHONDONTWRITEBYTECODE`` is set, each run would do it anew: 0.17 s of CPU."""
    for package in ("shared", "backfill_job"):
        compileall.compile_dir(checkout / package, quiet=2)


def tools_of(arguments: argparse.Namespace) -> dict[str, tuple[Command, int]]:
    """The commands to run, with the number of objects for each."""
    tools: dict[str, tuple[Command, int]] = {
        OURS: (ours, arguments.objects),
        "ours, ungoverned": (ungoverned, arguments.objects),
    }
    if arguments.against:
        tools["other checkout"] = (partial(ours, checkout=arguments.against), arguments.objects)
        tools["other, ungoverned"] = (partial(ungoverned, checkout=arguments.against), arguments.objects)
    if shutil.which("rclone"):
        tools[RCLONE] = (rclone, arguments.objects)
    if shutil.which("gcloud") and arguments.gcloud_objects:
        tools["gcloud"] = (gcloud, arguments.gcloud_objects)
    return {name: tool for name, tool in tools.items() if name.startswith(arguments.only or "")}


def show(phase: str, by_tool: Mapping[str, Sequence[Figures]]) -> None:
    """Print the table of a phase. A ratio is the median of the rounds' ratios of CPU time to the last of `BESIDE` that ran."""
    beside = next((name for name in BESIDE if name in by_tool), "")
    print(
        f"{phase}\n{'':20} {'objects':>8} {'wall s':>8} {'objects/s':>10} {'CPU ms/object':>14} {'requests/object':>16} "
        f"{'MiB':>6} {'CPU to ' + beside if beside else '':>18}"
    )
    for name, runs in by_tool.items():
        wall, cpu, requests, memory, copying = (
            median(getattr(run, figure) for run in runs)
            for figure in ("wall", "cpu", "requests", "memory", "copying")
        )
        objects = runs[0].objects
        pairs = zip(runs, by_tool.get(beside, ()), strict=False)
        ratio = f"{median(run.cpu / other.cpu for run, other in pairs):18.2f}" if beside else ""
        rest = f"; copying alone {objects / copying:,.0f}/s" if copying else ""
        print(
            f"  {name:18} {objects:8,} {wall:8.2f} {objects / wall:10.0f} {cpu:14.4f} {requests:16.4f} {memory:6.0f} "
            f"{ratio}{rest}"
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
        objects=objects,
    )


def ours(url: str, folder: Path, checkout: Path | None = None) -> tuple[list[str], dict[str, str]]:
    """Our own command at its defaults: copy, then verify by listing both sides again."""
    line = [sys.executable, "-m", "backfill_job", "migrate", "--env", MIGRATION.label, "--execute", "--yes"]
    line += ["--grace", "0", "--log-dir", str(folder)]
    # The working directory would come first on the module path.
    safe = {"PYTHONSAFEPATH": "1", "PYTHONPATH": str(checkout or Path(__file__).parent.parent)}
    return line, {"STORAGE_EMULATOR_HOST": url, **safe}


def ungoverned(url: str, folder: Path, checkout: Path | None = None) -> tuple[list[str], dict[str, str]]:
    """Our own command as fast as it goes."""
    line, environ = ours(url, folder, checkout)
    return [*line, "--ungoverned"], environ


def two_tasks(url: str, folder: Path) -> tuple[list[str], dict[str, str]]:
    """Our own command as two processes, each with as many objects under way as one has alone."""
    line, environ = ungoverned(url, folder)
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
