"""Cut over, roll back, cut over again, with real processes: live writers who switch late, both mirrors, the operator's commands."""

import base64
import hashlib
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from time import sleep

from google.auth.credentials import AnonymousCredentials
from google.cloud import storage

import local_gcs
from demo.function import running_function
from demo.writer import LiveWriter, live_writer
from local_gcs.demo_data import one_submission
from shared.gateway import Gateway
from shared.migration import Environment, Location, qpi_exports
from shared.phase import Phase
from shared.state import Signatory, read_state

MIGRATION = qpi_exports(Environment.DEV)
LEGACY, NEW = MIGRATION.source, MIGRATION.destination


@dataclass
class Stage:
    """What the story is told with."""

    folder: Path
    server: local_gcs.LocalServer
    client: storage.Client
    gateway: Gateway

    def command(self, *words: str, tries: int = 1) -> str:
        """Run one of the operator's commands, as a process; again if it ends with 1, as the runbook says."""
        environ = {**os.environ, "STORAGE_EMULATOR_HOST": self.server.url}
        logs = () if words[0] in {"signoff", "import-test"} else ("--log-dir", str(self.folder))
        program = [sys.executable, "-m", "backfill_job", *words, "--env", "dev", *logs]
        while True:
            done = subprocess.run(
                program, env=environ, capture_output=True, text=True, timeout=120, check=False
            )
            tries -= 1
            if done.returncode == 0 or not tries:
                break
        assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def phase(self) -> Phase:
        return read_state(self.gateway, MIGRATION).phase

    def checksums(self, path: Location) -> dict[str, str]:
        """What lies on a path, by name below it."""
        blobs = self.client.list_blobs(path.bucket, prefix=path.prefix)
        return {blob.name[len(path.prefix) :]: blob.md5_hash for blob in blobs}

    def kept(self) -> set[str]:
        """The contents that were kept before they were replaced."""
        prefix = MIGRATION.own_ref("replaced").name
        return {blob.md5_hash for blob in self.client.list_blobs(NEW.bucket, prefix=prefix)}


@contextmanager
def started(folder: Path) -> Iterator[Stage]:
    """Both buckets with a week of exports, both mirrors as processes, everything delivered twice and out of order."""
    with local_gcs.running(buckets=[LEGACY.bucket, NEW.bucket]) as server:
        client = storage.Client(
            project="test", credentials=AnonymousCredentials(), client_options={"api_endpoint": server.url}
        )
        os.environ["STORAGE_EMULATOR_HOST"] = server.url
        gateway = Gateway()
        rng, now = Random(1), datetime.now(UTC)
        for day in range(8):
            for user in range(10):
                item = one_submission(rng, (now - timedelta(days=day)).date(), user, now)
                blob = client.bucket(LEGACY.bucket).blob(LEGACY.prefix + item.relative)
                blob.upload_from_string(item.data, content_type=item.content_type)
        with (
            running_function(server.url, MIGRATION, folder / "forward.log") as forward,
            running_function(
                server.url, MIGRATION, folder / "reverse.log", {"MIRROR_REVERSE": "true"}
            ) as reverse,
        ):
            for path, function in ((LEGACY, forward), (NEW, reverse)):
                server.add_subscriber(function.url, types=["finalized"], bucket=path.bucket, concurrency=8)
            server.set_faults(
                seed=7,
                rewrite_gap_ms=5,
                events={"duplicate": 1, "delay_ms": 100, "reorder": True},
            )
            yield Stage(folder, server, client, gateway)
        gateway.close()
        client._http.close()


def test_there_and_back_and_there_again(tmp_path: Path) -> None:
    """At the end every acknowledged write is in its last version on the new path and on the legacy path, or kept."""
    with started(tmp_path) as stage:
        ready = prepared(stage)
        with live_writer(stage.server.url, LEGACY, rate=40, overwrites=0.5, regulars=12, days=1) as writer:
            sleep(1)
            cut_over(stage, ready)
            switch(writer, NEW)
            print(stage.command("rollback", "--by", "Ada", "--yes", "--ungoverned"))  # noqa: T201 -- for pytest -rP
            assert stage.phase() is Phase.ROLLED_BACK
            switch(writer, LEGACY)
            cut_over(stage, ready)
            switch(writer, NEW)
        stage.server.wait_for_events(patience=60)
        print(stage.command("cutover", "--by", "Ada", "--yes", "--ungoverned"))  # noqa: T201 -- for pytest -rP
        stage.server.wait_for_events(patience=60)
        judge(stage, writer)


def prepared(stage: Stage) -> tuple[str, ...]:
    """The history copied, the import tested; gives the gate's arguments."""
    stage.command("migrate", "--execute", "--yes", "--ungoverned", "--grace", "10")
    stage.command("import-test", "--last", "7")
    checkout, letters = stage.folder / "checkout", stage.folder / "letters.json"
    checkout.mkdir()
    (checkout / "config.py").write_text(f'PATH = "{NEW.uri}"\n')
    letters.write_text("[]")
    return ("--repo", str(checkout), "--canary", "20", "--dead-letters", str(letters))


def cut_over(stage: Stage, ready: tuple[str, ...]) -> None:
    """While the writer writes: verified, signed, and over."""
    # What late writers wrote on the other path may still be on its way, and then it is extra.
    stage.command("verify", "--grace", "20", "--mirror-since", "1m", tries=5)
    for name in Signatory:
        stage.command("signoff", name.value, "--by", "Ada")
    print(stage.command("cutover", "--by", "Ada", "--yes", "--ungoverned", *ready))  # noqa: T201 -- for pytest -rP
    assert stage.phase() is Phase.CUT_OVER


def switch(writer: LiveWriter, path: Location) -> None:
    """Not all writers at once."""
    sleep(1)
    for share in (0.3, 0.6, 1.0):
        writer.switch(path, share=share)
        sleep(1)


def judge(stage: Stage, writer: LiveWriter) -> None:
    legacy, new, kept = stage.checksums(LEGACY), stage.checksums(NEW), stage.kept()
    found: Counter[str] = Counter()
    for relative, data in writer.acknowledged.items():
        wanted = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()
        places = [new.get(relative) == wanted, legacy.get(relative) == wanted]
        if places == [True, True]:
            found["on both paths"] += 1
        elif wanted in {new.get(relative), legacy.get(relative), *kept}:
            found[f"new {places[0]}, legacy {places[1]}, kept {wanted in kept}"] += 1
        else:
            found["LOST"] += 1
    print(writer.uploads, "uploads,", dict(found), len(kept), "kept")  # noqa: T201 -- for pytest -rP
    assert not found["LOST"]
    assert found["on both paths"] >= 0.98 * len(writer.acknowledged)
    assert found.total() == len(writer.acknowledged)
