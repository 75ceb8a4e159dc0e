"""What all fuzz tests share: how many examples, the worlds they are run in, and what a command may say at its end."""

import argparse
import contextlib
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

import hypothesis
from testing_commands import without_log

import local_gcs
from backfill_job.commands import load
from backfill_job.run.clock import Clock
from backfill_job.run.command import ProcessIO
from local_gcs.waiting import HANGS
from shared.command_line import OneLineParser
from shared.errors import Interrupted
from shared.migration import Location, Migration
from shared.phase import Phase, entry_ref, state_ref
from shared.state import State
from shared.state_changes import Stamp, begun

FACTOR = int(os.environ.get("FUZZ_EXAMPLES", "1"))
"""How many times as many examples as usual: FUZZ_EXAMPLES=20 for a night."""

LONGEST_WAIT = 40
"""Waits of one command; then somebody presses Ctrl-C. No command asks for more where nothing is to be waited for."""

_numbers = itertools.count(1)


def examples(usual: int) -> hypothesis.settings:
    """Settings for a fuzz test.

    Args:
        usual: Examples in the ordinary suite. The same ones each time, so that nobody's build fails for somebody
            else's fault; more of them, and others each time, with FUZZ_EXAMPLES.
    """
    return hypothesis.settings(
        max_examples=usual * FACTOR,
        derandomize=FACTOR == 1,
        database=None,
        deadline=None,
        suppress_health_check=[
            hypothesis.HealthCheck.function_scoped_fixture,
            hypothesis.HealthCheck.too_slow,
            hypothesis.HealthCheck.data_too_large,
            hypothesis.HealthCheck.large_base_example,
        ],
    )


@dataclass(frozen=True)
class Ended:
    """How a program ended, and everything it said."""

    code: int
    out: str
    err: str


@dataclass
class _PatienceOfTests:
    """A clock on which every wait is over at once, until somebody has waited long enough."""

    waits: int = 0
    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def now(self) -> datetime:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.waits += 1
        if self.waits > LONGEST_WAIT:
            raise Interrupted("stopped by SIGINT before its end")
        self.at += timedelta(seconds=min(seconds, 3_600.0))


class Terminal(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


@contextlib.contextmanager
def caught() -> Any:
    """Collect what is written to the process's own streams, past the streams that a command is given."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield out, err


def ended(run: Callable[[], int]) -> Ended:
    """Run a program's main function as a process would: `SystemExit` is its end, anything else is a traceback."""
    with caught() as (out, err):
        try:
            code = run()
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else 1
    return Ended(code, out.getvalue(), err.getvalue())


def run_words(
    name: str,
    words: Sequence[str],
    *,
    typed: str | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Ended:
    """Run one of the operator's commands in this process, from its words to its exit code."""

    def run() -> int:
        parser = OneLineParser(prog=f"backfill_job {name}")
        command = load(name)
        command.prepare(parser)
        arguments = parser.parse_args(words)
        clock = _PatienceOfTests()
        stdin = io.StringIO() if typed is None else Terminal(typed)
        process = ProcessIO(
            {**os.environ, **environ},
            stdin,
            sys.stdout if typed is None else _on_terminal(),
            sys.stderr,
            Clock(clock.now, clock.sleep, lambda: clock.now().timestamp()),
            tuple(words),
        )
        return command.run(arguments, process)

    return ended(run)


def _on_terminal() -> Any:
    sys.stdout.isatty = lambda: True  # type: ignore[method-assign]
    return sys.stdout


def assert_civil(found: Ended, *, terminal: bool = False) -> None:
    """No traceback, an exit code that is promised, and one line of explanation for what could not start."""
    said = found.out + found.err
    assert "Traceback" not in said, said
    assert found.code in {0, 1, 2}, found
    if found.code == 2:
        lines = without_log(found.err).removesuffix("\n").split("\n")
        assert len(lines) == 1, found.err
        # A refused deletion explains itself on the screen: each check, and the verdict below them.
        assert lines[0].strip() or "BLOCKED by " in found.out, "no explanation"
    # What is given can be written, and no byte of it steers a terminal; but for a screen's own colours and bars.
    for stream in (found.err,) if terminal else (found.out, found.err):
        steering = {one for one in stream if not one.isprintable() and one not in "\n\t"}
        assert not steering, steering


@dataclass(frozen=True)
class World:
    """A pair of prefixes with two objects, and a folder, of one example alone."""

    server: local_gcs.LocalServer
    folder: Path
    number: int = field(default_factory=lambda: next(_numbers))

    @property
    def migration(self) -> Migration:
        return Migration(
            Location(f"fuzz-legacy-{self.number}", "QPI_exports/"),
            Location(f"fuzz-new-{self.number}", "qpi_exports/"),
        )

    def build(self) -> "World":
        """Make it."""
        for location in (self.migration.source, self.migration.destination):
            self._ask("POST", "/storage/v1/b?project=test", json.dumps({"name": location.bucket}).encode())
        for day, user in ((1, 1), (2, 2)):
            self.put(
                self.migration.source.bucket,
                f"QPI_exports/qpi_answers_2024010{day}/user_id_{user}.jsonl",
                b'{"user_id":"1","submitted_at":"2024-01-01T00:00:00Z","answers":[]}\n',
            )
        stamp = Stamp("begun", "test", datetime(2024, 1, 3, tzinfo=UTC))
        state = begun(State.initial(self.migration), Phase.DUAL_WRITE, stamp)
        head, entry = state_ref(self.migration), entry_ref(self.migration, 1, Phase.DUAL_WRITE)
        self.put(head.bucket, head.name, state.to_json())
        self.put(entry.bucket, entry.name, state.entry_bytes(state.history[0]))
        return self

    def put(self, bucket: str, name: str, data: bytes) -> None:
        """Write an object, whatever is there."""
        path = f"/upload/storage/v1/b/{bucket}/o?uploadType=media&name={quote(name, safe='')}"
        self._ask("POST", path, data)

    def objects(self) -> dict[str, str]:
        """Every object of both buckets, with its generation; but for reports that were asked for."""
        found = {}
        for location in (self.migration.source, self.migration.destination):
            listing = json.loads(self._ask("GET", f"/storage/v1/b/{location.bucket}/o"))
            for item in listing.get("items", ()):
                if not item["name"].startswith("reports/"):
                    found[f"{location.bucket}/{item['name']}"] = item["generation"]
        return found

    def _ask(self, method: str, path: str, data: bytes | None = None) -> bytes:
        request = Request(self.server.url + path, data, method=method)  # noqa: S310 -- our own server
        request.add_header("Content-Type", "application/json")
        with build_opener(ProxyHandler({})).open(request, timeout=HANGS) as answer:
            return bytes(answer.read())


def actions_of(add_arguments: Callable[[argparse.ArgumentParser], None]) -> list[argparse.Action]:
    """A program's arguments, as its own parser has them."""
    parser = OneLineParser(add_help=False)
    add_arguments(parser)
    return list(parser._actions)
