"""What the fuzz tests found, shrunk to one example each."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzzing import World, run_words

import local_gcs
from local_gcs.waiting import HANGS

NAMES = ("--env", "dev")
LONG = "n" * 300


@pytest.fixture(scope="module")
def storage() -> Iterator[local_gcs.LocalServer]:
    with local_gcs.running() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def world(storage: local_gcs.LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(storage, tmp_path).build()


@pytest.mark.parametrize(
    ("command", "option", "value"),
    [
        ("migrate", "--in-flight", "99999999999999999999999999"),
        ("migrate", "--in-flight", "10001"),
        ("migrate", "--max-writes-per-second", "9" * 5_000),
        ("gate", "--import-days", "999999999"),
        ("status", "--port", "1234567890"),
    ],
)
def test_a_number_that_nothing_could_be_counted_to_is_refused_in_a_short_line(
    command: str, option: str, value: str
) -> None:
    """It was counted to: a task each, until the memory was full."""
    found = run_words(command, [*NAMES, option, value])
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "is not a whole number from 1 to" in found.err
    assert len(found.err) < 300


@pytest.mark.parametrize("command", ["migrate", "verify"])
def test_no_more_processes_are_started_than_a_machine_can_hold(command: str) -> None:
    """A process each was started, and the machine stood still."""
    execute = ("--execute", "--yes") if command == "migrate" else ()
    found = run_words(command, [*NAMES, *execute, "--tasks", "65"])
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "at most 64 processes" in found.err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("certify", ("--check", "two\nlines")),
        ("certify", ("--check", "\x1b[2J\udcff")),
        ("completion", ("two\nlines",)),
        ("references", ("two\nlines",)),
        ("undo", ("\u202etxt",)),
    ],
)
def test_what_was_typed_is_quoted_in_one_line_that_steers_no_terminal(
    command: str, said: tuple[str, ...], world: World
) -> None:
    """Line breaks and escapes were printed as they were."""
    found = run_words(command, said)
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert found.err.removesuffix("\n").isprintable()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("verify", (*NAMES, "--report", LONG)),
        ("verify", (*NAMES, "--log-dir", LONG)),
        ("gate", (*NAMES, "--repo", LONG)),
        ("references", (LONG,)),
    ],
)
def test_a_path_that_cannot_be_asked_for_is_a_wrong_argument(command: str, said: tuple[str, ...]) -> None:
    """It was a traceback: File name too long."""
    found = run_words(command, said)
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "File name too long" in found.err


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("import-test", ("--date", "20240101", "--engine", "duckdb", "--grace", "86399999999999")),
        ("import-test", ("--date", "20240101", "--engine", "duckdb", "--grace", "nan")),
        ("verify", ("--grace", "86399999999999")),
        ("gate", ("--max-age", "1e12")),
    ],
)
def test_a_time_that_leads_out_of_the_calendar_is_refused(command: str, said: tuple[str, ...]) -> None:
    """It was a traceback: date value out of range."""
    found = run_words(command, [*NAMES, *said])
    assert (found.code, found.err.count("\n")) == (2, 1)
    assert "not a number of seconds from 0 to ten years" in found.err


def program(*words: str, environ: dict[str, str], **more: Any) -> subprocess.CompletedProcess[bytes]:
    """Run a command as a process of its own, without what this one's environment says of encodings."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "LC_", "LANG"))}
    line = [sys.executable, "-m", "backfill_job", *words]
    return subprocess.run(
        line, check=False, stderr=subprocess.PIPE, env={**plain, **environ}, timeout=HANGS, **more
    )


@pytest.mark.parametrize("encoding", ["ascii:strict", "latin-1:strict", "utf-8:strict"])
@pytest.mark.parametrize("name", ["\u00fcn\u00ef", "\udcff", "\U0001f600"])
def test_a_name_that_stdout_s_encoding_has_not_is_written_escaped(
    encoding: str, name: str, world: World
) -> None:
    """It was a traceback: 'ascii' codec can't encode."""
    folder = world.folder / name
    folder.mkdir()
    (folder / "dag.py").write_text('PATH = "gs://data-bucket-dev/QPI_exports/"\n')
    environ = {"PYTHONIOENCODING": encoding, "LANG": "C", "PYTHONUTF8": "0"}
    found = program("references", name, environ=environ, stdout=subprocess.PIPE, cwd=world.folder)
    assert (found.returncode, found.stderr) == (1, b"")
    assert b"dag.py" in found.stdout


def test_whoever_has_read_enough_ends_the_program_without_a_word(world: World) -> None:
    """``| head``: it was a traceback, and exit code 120."""
    reading, writing = os.pipe()
    os.close(reading)
    found = program("completion", "bash", environ={}, stdout=writing)
    os.close(writing)
    assert (found.returncode, found.stderr) == (1, b"")


@pytest.mark.parametrize("command", ["migrate", "status", "smoke", "verify"])
def test_nobody_reading_is_no_traceback_in_any_command(command: str, world: World) -> None:
    """Neither from the command, nor from its log."""
    reading, writing = os.pipe()
    os.close(reading)
    pair = ("--source", world.migration.source.uri, "--destination", world.migration.destination.uri)
    more = ("--grace", "0") if command == "verify" else ()
    found = program(command, *pair, *more, environ={}, stdout=writing, cwd=world.folder)
    os.close(writing)
    assert found.returncode == 1
    assert b"Traceback" not in found.stderr, found.stderr.decode()
    assert b"Exception ignored" not in found.stderr
