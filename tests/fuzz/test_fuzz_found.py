"""What the fuzz tests found, shrunk to one example each."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fuzzing import World, run_words

import local_gcs

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
    assert "is no whole number from 1 to" in found.err
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
