"""The questions of `migrate`, `cutover` and `delete` on a real terminal of 80 columns: every answer, Ctrl-C and Ctrl-D.

What the terminal showed is compared with ``journeys/terminal.txt``, as the other journeys are.
"""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from testing_commands import where
from testing_gate import everybody_signs
from testing_journey import Journey
from testing_paths import Paths

import local_gcs
from shared.gateway import Gateway

COMMANDS = """
import os, shlex, sys
from dataclasses import replace
from backfill_job.commands import load, parser_of
from backfill_job.run.command import ProcessIO
os.close(os.open(os.ttyname(0), os.O_RDWR))  # the terminal sends this session its signals from now on
for line in open(sys.argv[1]):
    words = shlex.split(line)
    print("$", words[0])
    io = ProcessIO.of_process(words[1:])
    io = replace(io, stopping=lambda: None, clock=replace(io.clock, sleep=lambda _: None))
    code = load(words[0]).run(parser_of("backfill_job", [words[0]]).parse_args(words), io)
    print(f"exit code {code}", flush=True)
"""
"""Runs the commands of a file one after the other, without their waits."""

NOBODY_LOADS = """
name = "archive"
critical_is = "the only copies"
[load]
format = "none"
reason = "nothing reads the archive"
"""

ASKS = re.compile(r"\[yes/no\]|^Type ")
QUESTION = re.compile(r"(?:\[yes/no\]|to go on:|or no to end:|or no:) $")
CTRL_C, CTRL_D = "\x03", "\x04"
PHRASE, DELETE = "CUT OVER custom\n", "DELETE_QPI_EXPORTS\n"

MIGRATE: Sequence[Sequence[str]] = (("n\n",), ("maybe\n", "no\n"), (CTRL_C,), (CTRL_D,), ("y\n",), ("yes\n",))
CUTOVER: Sequence[Sequence[str]] = (("n\n",), ("yes\n", "cut over\n"), (CTRL_C,), (CTRL_D,), ("y\n", PHRASE))
DELETION: Sequence[Sequence[str]] = (
    ("n\n",),
    ("yes\n", "delete\n"),
    (CTRL_C,),
    (CTRL_D,),
    (DELETE, "y\n", "n\n"),
    (DELETE, CTRL_C),
    (DELETE, "yes\n"),
)
"""What is typed, command by command."""

LONGEST = 60.0
"""Seconds without a character after which the test gives up."""


def test_every_answer_to_every_question(
    server: local_gcs.LocalServer,
    paths: Paths,
    gateway: Gateway,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A refusal changes nothing and exits with 2; Ctrl-C with 1, and at the end of the input with 2."""
    monkeypatch.chdir(tmp_path)
    on = Journey.of("terminal", server, paths, gateway, Path())
    (tmp_path / "archive.toml").write_text(NOBODY_LOADS)
    on.put("2019/a.tar", b"a")
    on.put("2019/b.tar", b"b")
    everybody_signs(on.commands)
    pair = (*where(on.paths), "--log-dir", "logs")
    with_consumer = (*pair, "--consumer", "archive.toml")
    paused = ("--no-mirror", "--reason", "paused", "--by", "Ada")
    lines = [
        *(("migrate", *pair, "--execute") for _ in MIGRATE),
        *(("cutover", *with_consumer, *paused) for _ in CUTOVER),
        *(("delete", *with_consumer, "--soak-days", "0", "--confirm-delete") for _ in DELETION),
    ]
    file = tmp_path / "commands"
    file.write_text("".join(" ".join(f"'{word}'" for word in line) + "\n" for line in lines))
    typed = [answer for answers in (*MIGRATE, *CUTOVER, *DELETION) for answer in answers]
    on.note()
    shown = "".join(_terminal(file, typed, server.url))
    on.record += _abridged(shown.split("$ ")[1:])
    on.compare()


def _abridged(screens: Sequence[str]) -> Iterator[str]:
    """Each command's screen: the first of a command whole, the others from their question on."""
    before = ""
    for screen in screens:
        command, *lines = screen.splitlines()
        if command == before:
            asked = next(n for n, line in enumerate(lines) if ASKS.search(line))
            lines = lines[asked - ("?" not in lines[asked] and "[yes/no]" in lines[asked]) :]
        before = command
        yield "\n".join(["$ " + command, *lines, ""])


def _terminal(file: Path, typed: Sequence[str], url: str) -> Iterator[str]:
    """Run the commands on a terminal, type an answer to each question, and give what the terminal shows."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 80, 0, 0))
    environ = {**os.environ, "STORAGE_EMULATOR_HOST": url, "TERM": "dumb"}
    with subprocess.Popen(
        [sys.executable, "-c", COMMANDS, str(file)],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environ,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        try:
            answers, shown = iter(typed), ""
            while (some := _read(ours)) is not None:
                yield some
                shown = (shown + some)[-200:]
                if QUESTION.search(shown.replace("\n", " ")):
                    os.write(ours, next(answers).encode())
                    shown = ""
            assert next(answers, None) is None, "every answer was asked for"
        finally:
            process.kill()
            os.close(ours)


def _read(terminal: int) -> str | None:
    """What the terminal shows next; None after its end."""
    ready, _, _ = select.select([terminal], [], [], LONGEST)
    assert ready, "the command neither asks nor ends"
    try:
        return os.read(terminal, 4096).decode().replace("\r\n", "\n")
    except OSError:  # the last process has closed it
        return None
