"""Sentences on a screen are wrapped at 80 columns: on a terminal, by one function. What cannot be wrapped stays whole."""

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from backfill_job.run.late_console import COMMAND_IN_TEXT, WIDEST, LateConsole, wrapped

JOURNEYS = Path(__file__).parent / "journeys"
ROOT = Path(__file__).parent.parent.parent

TYPED = re.compile(r"(.*(?:\[yes/no\]|to go on:|or no to end:|or no:) )")
"""A question, before what is typed behind it."""


def shown_on_a_terminal() -> Iterator[str]:
    """The lines of the screens of ``terminal.txt``, without what a person typed, and without what is not on a screen."""
    for line in (JOURNEYS / "terminal.txt").read_text().split("\n\n--- ")[0].splitlines():
        question = TYPED.match(line)
        if not line.startswith("$ "):
            yield question[1].rstrip() if question else line


def shown_elsewhere() -> Iterator[str]:
    """The lines of the screens of every journey, each as one string is printed."""
    for file in sorted(JOURNEYS.glob("*.txt")):
        for part in re.split(r"(?m)^\$ ", file.read_text()):
            screen = re.search(r"(?ms)^--- screen\n(.*?)(?=^--- |\Z)", part)
            yield from screen[1].splitlines() if screen else ()


def unbreakable(line: str) -> bool:
    """Whether a line has a command or a word that takes it beyond 80 columns, and little before it."""
    command = COMMAND_IN_TEXT.search(line)
    start = re.match(r"\s*\S*(?:, when that is fixed)?:? ?", line)
    before = len(start[0]) if start else 0
    if command is not None:
        return len(line[: command.start()].split()) <= 6
    longest = max(map(len, re.findall(r"`[^`]*`|\S+", line)), default=0)
    return longest + before > WIDEST or line.startswith(("log: ", "$ "))


def test_no_sentence_of_a_terminal_is_wider_than_80_columns() -> None:
    """Tables are drawn for the terminal. A command and an address stay on one line, to be copied."""
    lines = [*shown_on_a_terminal()]
    assert len(lines) > 100
    for line in lines:
        assert len(line) <= WIDEST or unbreakable(line), line
        assert wrapped(line) == line or COMMAND_IN_TEXT.search(line), line


def test_every_sentence_that_a_command_prints_would_be_wrapped_on_a_terminal() -> None:
    """Of every journey: the function leaves no line that is too wide and could be broken."""
    lines = [*shown_elsewhere()]
    wide = [line for line in lines if len(line) > WIDEST]
    assert len(wide) > 100
    for line in wide:
        for part in wrapped(line).split("\n"):
            assert len(part) <= WIDEST or unbreakable(part), part
        assert " ".join(wrapped(line).split()) == " ".join(line.split()), "not a word is lost"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("short", "short"),
        ("", ""),
        ("  aaaa bbbb cccc", "  aaaa bbbb\n    cccc"),
        ("  1. aaaa bbbb cccc", "  1. aaaa\n     bbbb\n     cccc"),
        ("aaaa bbbb cccc dddd? [yes/no] ", "aaaa bbbb\ncccc dddd?\n[yes/no] "),
        ("\naaaa bbbb cccc", "\naaaa bbbb\ncccc"),
        ("Next: python -m backfill_job status", "Next: python -m backfill_job status"),
        ("do so: python -m backfill_job status, or", "do so:\npython -m backfill_job status,\nor"),
        ("so: python -m backfill_job status, or", "so: python -m backfill_job status,\nor"),
        ("aa `bb cc dd ee ff` gg", "aa\n`bb cc dd ee ff`\ngg"),
        ("log: /a/long/path/of/a.log", "log: /a/long/path/of/a.log"),
        ("load it: bq load x 'a, b' && bq query `c`", "load it:\nbq load x 'a, b' && bq query `c`"),
        ("see gs://bucket/a-long-prefix/ now", "see\ngs://bucket/a-long-prefix/\nnow"),
    ],
)
def test_a_sentence_is_wrapped_between_words(text: str, expected: str) -> None:
    """Not in a command, in a name or at a hyphen; the blank before the cursor stays."""
    assert wrapped(text, 13) == expected


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("file", "lines"), [(_Terminal(), 2), (io.StringIO(), 1)])
def test_only_a_terminal_is_wrapped_for(file: io.StringIO, lines: int) -> None:
    """In a file or a pipe a sentence is one line, to be searched."""
    LateConsole(file, 100).say("word " * 20 + "end")
    assert len(file.getvalue().splitlines()) == lines


def test_no_other_module_wraps_sentences() -> None:
    """One place. Help texts are argparse's."""
    folders = (ROOT / "backfill_job", ROOT / "shared")
    found = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in folder.rglob("*.py")
        if "textwrap" in path.read_text()
    }
    assert found == {"backfill_job/run/late_console.py"}
