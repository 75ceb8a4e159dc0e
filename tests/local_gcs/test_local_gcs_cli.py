"""The command line, by real processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

import local_gcs
from local_gcs.waiting import HANGS, wait_until

COMMAND = [sys.executable, "-m", "local_gcs"]


@contextmanager
def started(*arguments: str) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def address(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    line = process.stdout.readline()
    assert line.startswith("local_gcs listening on http://127.0.0.1:")
    return line.split()[-1]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=HANGS, check=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_one_line_then_a_clean_stop(number: signal.Signals) -> None:
    """python -m local_gcs --port 0: one line with the address; a signal ends it with status 0 and no more words."""
    with started("--port", "0", "--bucket", "one-bucket") as process:
        url = address(process)
        with urlopen(f"{url}/storage/v1/b/one-bucket", timeout=HANGS) as answer:  # noqa: S310 - our own http address
            assert answer.status == 200
        process.send_signal(number)
        out, errors = process.communicate(timeout=HANGS)
    assert (process.returncode, out, errors) == (0, "", "")


def test_stops_with_connections_open() -> None:
    """python -m local_gcs: an idle connection, or a request under way, does not keep it from stopping."""
    with started("--port", "0") as process:
        server = local_gcs.LocalServer(address(process))
        # The request under way would be answered after the guard.
        server.set_faults(latency_ms=2_000 * HANGS)
        at = urlsplit(server.url)
        with (
            socket.create_connection((str(at.hostname), at.port)),
            socket.create_connection((str(at.hostname), at.port)) as asking,
        ):
            asking.sendall(b"GET /storage/v1/b HTTP/1.1\r\nHost: here\r\n\r\n")
            server.stats()  # once it answers this, it has read what was sent before
            process.send_signal(signal.SIGTERM)
            out, errors = process.communicate(timeout=HANGS)
    assert (process.returncode, out, errors) == (0, "", "")


def test_taken_port() -> None:
    """python -m local_gcs --port TAKEN: one line, status 2."""
    with local_gcs.running() as server:
        port = server.url.rpartition(":")[2]
        second = run("--port", port)
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr == f"local_gcs: cannot listen on 127.0.0.1:{port}: Address already in use\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--port", "x"],
        ["--port", "70000"],
        ["--nonsense"],
        ["--generations", "sideways"],
        ["--port", "0", "--bucket", "No Bucket"],
        ["--port", "0", "--bucket", "twice", "--bucket", "twice"],
        ["--port", "0", "--events", "nowhere"],
        ["--faults", "{"],
        ["--faults", '{"rules": [{"status": 200}]}'],
        ["--event-attempts", "0"],
        ["--host", "999.1.1.1", "--port", "0"],
    ],
)
def test_wrong_arguments(arguments: list[str]) -> None:
    """python -m local_gcs WRONG: one line that says so, status 2, no traceback."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("local_gcs: ")
    assert done.stderr.count("\n") == 1


def test_options_arrive() -> None:
    """--generations ordered, --seed, --faults and --max-rewrite-bytes-per-call do what they say."""
    arguments = ["--max-rewrite-bytes-per-call=3"]
    before = time.time()
    with local_gcs.running(
        buckets=["bucket"], generations="ordered", faults={"latency_ms": 1}, seed=5, arguments=arguments
    ) as server:
        plan = server._ask("GET", "faults")
        server.fill("bucket", 3)
        with urlopen(f"{server.url}/storage/v1/b/bucket/o?fields=items(generation)", timeout=HANGS) as answer:  # noqa: S310
            text = answer.read().decode()
    assert (plan["seed"], plan["latency_ms"], plan["max_rewrite_bytes_per_call"]) == (5, 1, 3)
    generations = [part for part in text.split('"') if part.isdigit()]
    assert generations == sorted(generations)
    assert before <= int(generations[0]) / 1e6 <= time.time()


def test_a_block_that_fails_ends_its_server() -> None:
    """with running(): an error inside the block stops the server, too."""
    with pytest.raises(KeyError), local_gcs.running() as server:
        raise KeyError
    with pytest.raises(URLError):
        server.stats()


def test_a_server_that_cannot_start() -> None:
    """with running(): a server that does not start is an error, not a wait."""
    with pytest.raises(RuntimeError, match="did not start"), local_gcs.running(buckets=["No Bucket"]):
        pass


def test_a_killed_parent_leaves_no_server(tmp_path: Path) -> None:
    """with running(): the server ends even if its parent is killed without a word."""
    code = (
        "import local_gcs, os, pathlib, sys\n"
        "with local_gcs.running() as server:\n"
        "    pathlib.Path(sys.argv[1]).write_text(server.url)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    where = tmp_path / "url"
    done = subprocess.run(
        [sys.executable, "-c", code, str(where)], env=dict(os.environ), timeout=HANGS, check=False
    )
    assert done.returncode == -signal.SIGKILL
    server = local_gcs.LocalServer(where.read_text())

    def gone() -> bool:
        try:
            server.stats()
        except (URLError, ConnectionError):
            return True
        return False

    wait_until(gone, bool, "the server's end")
