"""A live writer, the mirror and the backfill on one hot prefix, with everything going wrong that can; then one sweep.

Both buckets keep every version, so that afterwards each name's history at the destination can be held against the
writer's: it may skip versions, and must never go back.
"""

import base64
import hashlib
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

import local_gcs
from demo.function import FunctionProcess, running_function
from demo.writer import LiveWriter, live_writer
from shared.migration import Environment, Location, Migration, qpi_exports

FAULTS = {
    "rates": {"503": 0.05, "reset_after": 0.01},
    "latency_ms": 1,
    "latency_jitter_ms": 3,
    # A rewrite reads the source, and commits up to this much later: as one step it would hide races.
    "rewrite_gap_ms": 40,
    "events": {"duplicate": 1, "delay_ms": 400, "reorder": True, "drop": 0.05},
}


@dataclass
class Report:
    """What a run survived, and what it found."""

    seed: int
    uploads: int = 0
    repeated_uploads: int = 0
    events: dict[str, int] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    kills: int = 0
    dead_letters: int = 0
    swept: dict[str, Any] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    stale: list[str] = field(default_factory=list)
    backwards: list[str] = field(default_factory=list)
    requests: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        return "\n".join(f"{name:17} {value}" for name, value in vars(self).items())


@dataclass
class Scenario:
    """The actors of one run."""

    seed: int
    folder: Path
    migration: Migration
    server: local_gcs.LocalServer
    function: FunctionProcess
    client: storage.Client
    report: Report

    def execute(self, name: str) -> "subprocess.Popen[bytes]":
        """Start the backfill, or a sweep: the same command."""
        environ = {**os.environ, "STORAGE_EMULATOR_HOST": self.server.url}
        command = [
            sys.executable,
            "-m",
            "backfill_job",
            "migrate",
            "--env",
            self.migration.label,
            "--execute",
            "--yes",
        ]
        command += ["--grace", "0", "--log-dir", str(self.folder), "--report", str(self.folder / name)]
        with (self.folder / f"{name}.out").open("wb") as output:
            return subprocess.Popen(command, env=environ, stdout=output, stderr=output)

    def kill_and_restart(self) -> None:
        self.function.kill()
        self.report.kills += 1
        time.sleep(0.5)
        self.function.start()


def run(folder: Path, *, seconds: float, rate: float, seed: int) -> Report:
    """Run the scenario.

    Args:
        folder: For logs and reports.
        seconds: How long the writer writes.
        rate: Uploads a second.
        seed: For everything random but the machine.

    Returns:
        What was found; `lost`, `stale` and `backwards` are empty when all is well.
    """
    with _started(folder, seed) as scenario:
        scenario.server.fill(
            scenario.migration.source.bucket, 1_000, prefix=scenario.migration.source.prefix, days=5
        )
        scenario.server.set_faults(seed=seed, **FAULTS)
        with live_writer(
            scenario.server.url, scenario.migration.source, rate=rate, regulars=20, seed=seed
        ) as writer:
            _play(scenario, seconds)
        _settle(scenario)
        _sweep(scenario)
        _judge(scenario, writer)
        return scenario.report


@contextmanager
def _started(folder: Path, seed: int) -> Iterator[Scenario]:
    migration = qpi_exports(Environment.DEV)
    buckets = [migration.source.bucket, migration.destination.bucket]
    with local_gcs.running(buckets=buckets, seed=seed) as server:
        client = storage.Client(
            project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.url}
        )
        for name in buckets:
            bucket = client.get_bucket(name)
            bucket.versioning_enabled = True
            bucket.patch()
        with running_function(server.url, migration, folder / "function.log") as function:
            server.add_subscriber(
                function.url, types=["finalized"], bucket=migration.source.bucket, concurrency=16
            )
            yield Scenario(seed, folder, migration, server, function, client, Report(seed))
        client._http.close()


def _play(scenario: Scenario, seconds: float) -> None:
    """The backfill starts a quarter in; the function is killed at random moments, about every 15 seconds."""
    rng = random.Random(scenario.seed)
    end = time.monotonic() + seconds
    time.sleep(seconds / 4)
    backfill = scenario.execute("backfill")
    kills = max(2, int(seconds / 15))
    for _ in range(kills):
        time.sleep(max(0.0, (end - time.monotonic()) / kills * rng.uniform(0.3, 0.9)))
        scenario.kill_and_restart()
    time.sleep(max(0.0, end - time.monotonic()))
    # With a writer at work it may end in 1 (in flight); it must neither crash nor call itself unable to start.
    assert backfill.wait(timeout=600) in {0, 1}, (scenario.folder / "backfill.out").read_text()


def _settle(scenario: Scenario) -> None:
    """Let every event arrive, dead letters replayed, while the storage still throws its faults."""
    scenario.server.wait_for_events(patience=300)
    scenario.report.dead_letters = len(scenario.server.dead_letters())
    scenario.server.clear_faults()
    while scenario.server.replay_dead_letters():
        scenario.server.wait_for_events(patience=300)
    assert scenario.server.dead_letters() == []
    scenario.report.events = scenario.server.events()


def _sweep(scenario: Scenario) -> None:
    """Bring what the lost events would have brought."""
    sweep = scenario.execute("sweep")
    assert sweep.wait(timeout=600) == 0, (scenario.folder / "sweep.out").read_text()
    scenario.report.swept = json.loads((scenario.folder / "sweep" / "run.json").read_text())["ledger"]


def _judge(scenario: Scenario, writer: LiveWriter) -> None:
    report, migration = scenario.report, scenario.migration
    report.uploads, report.repeated_uploads = writer.uploads, writer.repeated
    report.outcomes = Counter(line["outcome"] for line in scenario.function.lines() if "outcome" in line)
    report.requests = {name: count["count"] for name, count in scenario.server.stats()["methods"].items()}
    written, copied = (
        _history(scenario.client, location) for location in (migration.source, migration.destination)
    )
    for relative, data in writer.acknowledged.items():
        if relative not in copied:
            report.lost.append(relative)
        elif {versions[relative][-1][1] for versions in (written, copied)} != {_checksum(data)}:
            report.stale.append(relative)
    for relative, versions in copied.items():
        order = {checksum: number for number, (_, checksum) in enumerate(written[relative])}
        # Times have milliseconds; two copies in the same one may have come in either order.
        positions = [
            position for _, position in sorted((moment, order[checksum]) for moment, checksum in versions)
        ]
        if positions != sorted(positions):
            report.backwards.append(relative)


def _history(client: storage.Client, location: Location) -> dict[str, list[tuple[datetime, str]]]:
    """Every version's time and checksum by name, in the order they were written."""
    found: defaultdict[str, list[tuple[datetime, str]]] = defaultdict(list)
    for blob in client.list_blobs(location.bucket, prefix=location.prefix, versions=True):
        found[blob.name[len(location.prefix) :]].append((blob.time_created, blob.md5_hash))
    return {relative: sorted(versions) for relative, versions in found.items()}


def _checksum(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
