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
PLACEHOLDERS = {
    "../airflow-dags": ".",
    "../dags": ".",
    "E": "dev",
    "ENV": "dev",
    "$ENV": "dev",
    "PHASE": "cut_over",
    "NAME": "Ada",
    "WHO": "Ada",
}
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


def in_sentences(text: str) -> Iterator[list[str]]:
    """The same for the code within sentences and tables, where a command has any argument."""
    spans = re.findall(r"`([^`]+)`", re.sub(r"(?ms)^ *```.*?^ *```", "", text))
    block = "\n".join(" ".join(span.split()) for span in spans)
    yield from (words for words in typed(f"```\n{block}\n```") if words[1:])


@by_document
def test_every_command_to_type_is_understood(path: Path) -> None:
    """With the command's own parser; a decision may tell of a command that is gone."""
    text = path.read_text()
    for name, *words in (*typed(text), *(() if path.parent.name == "decisions" else in_sentences(text))):
        if name in {"COMMAND", "--help"}:
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
    for name, least in (("README.md", 11), ("docs/commands.md", 30), ("docs/runbook.md", 30)):
        assert sum(1 for _ in typed((ROOT / name).read_text())) >= least


def test_the_readme_begins_with_the_path() -> None:
    """Six lines; then the path without a mirror: the two scripts, and one cutover between them."""
    path, without_mirror = re.findall(
        r"^```\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )[:2]
    assert [words[0] for words in typed(f"```\n{path}```")] == [
        "migrate", "migrate", "status", "cutover", "delete", "undo",
    ]  # fmt: skip
    names = [words[0] for words in typed(f"```\n{without_mirror}```")]
    assert names == ["migrate", "migrate", "cutover", "delete", "delete"]


CREATED = re.compile(
    r"gcloud (run jobs|functions|pubsub subscriptions|pubsub topics|scheduler jobs|iam service-accounts) (?:create http|create|deploy) (\S+)"
)
USED = re.compile(
    r"gcloud (run jobs|functions|pubsub subscriptions|scheduler jobs) (?!list|create|executions)[a-z-]+ (?!\{)(\S+)"
)
NAMED = re.compile(
    r"(?<![\w/-])qpi-exports-(?!migration)([a-z-]+)-(?:\$ENV|\$\{ENV\}|ENV|E|dev|stg|prod)(?![\w-])"
)
SHOWN = sorted(
    path
    for folder, kind in (
        ("", "md"),
        ("docs", "md"),
        ("monitoring", "yaml"),
        ("backfill_job", "py"),
        ("shared", "py"),
    )
    for path in (ROOT / folder).glob(f"**/*.{kind}" if folder else f"*.{kind}")
)


def test_the_names_of_deployed_things_are_those_that_the_deployment_creates() -> None:
    """In documents, alerts and whatever the code prints: each can be pasted. ``tests/deploy/golden`` has what is created."""
    created = set(CREATED.findall((ROOT / "tests" / "deploy" / "golden" / "dev.sh").read_text()))
    parts = {name.removeprefix("qpi-exports-").removesuffix("-dev") for _, name in created}
    assert {"backfill", "sweep", "full", "mirror", "reverse", "status", "dead-letters"} <= parts
    found = 0
    for path in SHOWN:
        text = (
            path.read_text()
            .replace("${JOBS}", "qpi-exports-")
            .replace("${MIRROR_SERVICE}", "qpi-exports-mirror-dev")
        )
        # What a document has somebody create has a name of its own.
        own = {name.removeprefix("qpi-exports-").partition("-")[0] for _, name in CREATED.findall(text)}
        for part in NAMED.findall(text):
            found += 1
            assert part in parts | own, (path, part)
        for kind, name in USED.findall(text):
            (part,) = NAMED.findall(name) or [name]
            assert (kind, f"qpi-exports-{part}-dev") in created, (path, kind, name)
    assert found > 60


def test_the_tiles_that_the_runbooks_name_are_on_the_dashboard() -> None:
    """By their titles."""
    dashboard = (ROOT / "monitoring" / "dashboard.yaml").read_text()
    titles = set(re.findall(r"^ +title: '?(.*?)'?$", dashboard, re.MULTILINE))
    named = [
        name
        for document in ("runbook.md", "runbook-alerts.md")
        for name in re.findall(r"\btile \*([^*]+)\*", (ROOT / "docs" / document).read_text())
    ]
    assert len(named) >= 3
    assert [name for name in named if name not in titles] == []


@pytest.mark.parametrize("document", ["runbook.md", "runbook-alerts.md"])
def test_a_runbook_s_commands_are_complete(document: str) -> None:
    """At three in the morning a command is pasted, not put together; what stands in its place is in the head of the document."""
    text = (ROOT / "docs" / document).read_text()
    words = [word for command in (*typed(text), *in_sentences(text)) for word in command]
    assert [word for word in words if "…" in word or "..." in word] == []
    assert re.findall(rf"`(?:{'|'.join(COMMANDS)}) [^`]*--?[^`]*`", text) == []


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
def test_a_link_to_a_decision_has_its_number(path: Path) -> None:
    """A reader knows decisions by their numbers."""
    links = re.findall(r"\[decision (\d+)\]\(\S*?(\d{4})-", path.read_text(), re.IGNORECASE)
    assert [link for link in links if int(link[0]) != int(link[1])] == []


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
