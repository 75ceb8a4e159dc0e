"""The documents are true: the parsers accept their commands, their links lead to a heading, their make targets exist."""

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from backfill_job.commands import COMMANDS, PROGRAMS, load
from backfill_job.deletion.prepare import OVERRIDABLE

ROOT = Path(__file__).parent.parent
DOCUMENTS = sorted(
    [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("deploy/*.md"), *ROOT.glob("monitoring/*.md")]
)
PLACEHOLDERS = {"../airflow-dags": ".", "../dags": ".", "E": "dev", "$ENV": "dev"}
"""What an operator has, or puts in its place."""
FOLDERS = (
    "backfill_job",
    "bench",
    "demo",
    "deploy",
    "docs",
    "local_gcs",
    "mirror_function",
    "monitoring",
    "shared",
    "tests",
)

by_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())


def code_lines(text: str) -> Iterator[str]:
    """The lines of code blocks, continued lines put together."""
    for block in re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL):
        yield from block.replace("\\\n", " ").splitlines()


def typed(text: str) -> Iterator[list[str]]:
    """Every command of this project that a document has somebody type, from the command's name on."""
    for line in code_lines(text):
        try:
            words = shlex.split(line, comments=True)
        except ValueError:
            continue
        for number, word in enumerate(words):
            name = Path(word).name
            if name in PROGRAMS and not word.endswith(".py"):
                yield [PROGRAMS[name], *words[number + 1 :]]
            elif (
                name == "backfill_job"
                and words[number + 1 :]
                and "".join(words[number - 1 : number]) in {"", "-m"}
            ):
                yield words[number + 1 :]


@by_document
def test_every_command_to_type_is_understood(path: Path) -> None:
    """With the command's own parser."""
    for name, *words in typed(path.read_text()):
        if name in {"COMMAND", "--help"} or "…" in words:
            continue
        assert name in COMMANDS, name
        parser = argparse.ArgumentParser(exit_on_error=False)
        load(name).prepare(parser)
        until = next(
            (number for number, word in enumerate(words) if word in {"|", ">", "&&", ";"}), len(words)
        )
        parser.parse_args([PLACEHOLDERS.get(word, word) for word in words[:until]])


def test_commands_are_found_at_all() -> None:
    """Else the test above would be content with nothing."""
    assert sum(1 for _ in typed((ROOT / "README.md").read_text())) >= 15
    assert sum(1 for _ in typed((ROOT / "docs" / "runbook.md").read_text())) >= 10


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_stands_in_the_readme(name: str) -> None:
    """As it is typed, in a block or in a sentence."""
    programs = [program for program, command in PROGRAMS.items() if command == name]
    text = (ROOT / "README.md").read_text()
    assert any(re.search(rf"\b{typed}\b", text) for typed in (f"backfill_job {name}", *programs))


def test_the_runbook_knows_the_checks_that_can_be_overridden() -> None:
    """Its table of the deletion's checks says what to do when one is red."""
    _, _, part = (ROOT / "docs" / "runbook.md").read_text().partition("\n## 10. Deletion\n")
    first_cells = re.findall(r"^\| ([a-z, -]+) \|", part, re.MULTILINE)
    assert {*OVERRIDABLE} <= {name for cell in first_cells for name in cell.split(", ")}


@by_document
def test_every_link_leads_to_a_file_and_a_heading(path: Path) -> None:
    """Those within the project."""
    text = path.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (path.parent / place) if place else path
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, target


@by_document
def test_every_file_that_is_named_exists(path: Path) -> None:
    """With its folder, from the project's root. `test_architecture.py` looks at the architecture document."""
    if path.name == "architecture.md":
        return
    named = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`", path.read_text())
    assert [name for name in named if "NAME" not in name and not (ROOT / name).exists()] == []


@by_document
def test_every_make_target_exists(path: Path) -> None:
    """As the documents name them."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = path.read_text()
    named = {*re.findall(r"`make ([a-z]+)", text), *re.findall(r"^make ([a-z]+)", text, re.MULTILINE)}
    assert named <= targets
