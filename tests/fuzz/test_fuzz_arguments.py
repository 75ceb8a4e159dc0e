"""Whatever the arguments: an exit code, one line of explanation, nothing changed by what could not start, never a traceback."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from socket import AF_UNIX, socket

import pytest
from fuzzing import World, actions_of, assert_civil, examples, run_words
from hypothesis import given
from hypothesis import strategies as st
from testing_arguments import words

import local_gcs
from backfill_job.commands import COMMANDS, load

PAIR = ("--source", "gs://LEGACY/QPI_exports/", "--destination", "gs://NEW/qpi_exports/")
SWAPPED = ("--source", "gs://NEW/qpi_exports/", "--destination", "gs://LEGACY/QPI_exports/")

GOOD: dict[str, tuple[tuple[str, ...], ...]] = {
    "smoke": (PAIR,),
    "migrate": (PAIR, (*PAIR, "--execute", "--yes", "--ungoverned"), (*PAIR, "--execute")),
    "references": (("FOLDER/checkout",), ("FOLDER/checkout", "--json", "FOLDER/refs.json")),
    "readers": (
        (*PAIR, "--log-file", "FOLDER/file.json", "--days", "3"),
        (*PAIR, "--log-file", "FOLDER/empty", "--json", "--own", "user:a@x"),
        (*PAIR, "--log-file", "FOLDER/empty", "--record"),
        (*PAIR, "--acknowledge", "a@x", "--by", "Ada"),
    ),
    "import-test": ((*PAIR, "--date", "20240101", "--engine", "duckdb"), (*PAIR, "--last", "3")),
    "loaded": (
        (*PAIR, "--database", "FOLDER/file.json", "--table", "t", "--path", "legacy"),
        (*PAIR, "--database", "FOLDER/empty", "--table", "t", "--last", "3"),
    ),
    "verify": ((*PAIR, "--grace", "0"),),
    "certify": (("--check", "FOLDER/file.json"),),
    "erasure": (("a", *PAIR), ("a", *PAIR, "--execute", "--by", "Ada"), (*PAIR, "--match", "*")),
    "begin": ((*PAIR, "--by", "Ada"), (*PAIR, "--by", "Ada", "--phase", "cut_over")),
    "signoff": (("data", *PAIR, "--by", "Ada"),),
    "gate": (
        PAIR,
        (*PAIR, "--repo", "FOLDER/checkout"),
        (*PAIR, "--dead-letters", "FOLDER/file.json"),
        (*PAIR, "--writer", "serviceAccount:w@x", "--reader", "user:a@x,group:b@x"),
        (*PAIR, "--override", "path-lifecycle", "--reason", "x", "--by", "Ada"),
    ),
    "cutover": ((*PAIR, "--by", "Ada", "--yes"), PAIR),
    "rollback": (PAIR, (*PAIR, "--by", "Ada", "--yes"), (*PAIR, "--dry-run")),
    "delete": (PAIR, SWAPPED, (*PAIR, "--confirm-delete", "--ungoverned", "--soak-days", "0")),
    "undo": (PAIR, ("FOLDER/file.json",), (*PAIR, "--rehearse")),
    "status": (PAIR,),
    "completion": (("bash",),),
}
"""Arguments with which each command comes to its work."""

TYPED = (
    None,
    "",
    "yes\n",
    "no\n",
    "y\n\n\nno\n",
    "DELETE_QPI_EXPORTS\nyes\n",
    "\udcff\nno\n",
    "\x1b[A\nno\n",
)


@pytest.fixture(scope="module")
def storage() -> Iterator[local_gcs.LocalServer]:
    with local_gcs.running() as server, pytest.MonkeyPatch.context() as patch:
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def world(storage: local_gcs.LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.chdir(tmp_path)
    return World(storage, tmp_path)


def furnished(folder: Path) -> None:
    """The working folder with everything that an argument may name."""
    (folder / "checkout").mkdir()
    (folder / "checkout" / "dag.py").write_text('BUCKET = "data-bucket-dev"\nPREFIX = "QPI_exports/"\n')
    (folder / "file.json").write_text("{}\n")
    (folder / "empty").write_text("")
    (folder / "loop").symlink_to("loop")
    with socket(AF_UNIX) as listener:
        listener.bind("socket")


def filled(word: str, world: World, folder: Path) -> str:
    """A word with the example's own names in it."""
    migration = world.migration
    named = word.replace("LEGACY", migration.source.bucket).replace("NEW", migration.destination.bucket)
    named = named.replace("FOLDER", str(folder))
    # These tests may run as root, and a command writes where it is told to: nothing outside of the folder is ever named.
    for part in (named, named.partition("=")[2]):
        assert not part.startswith(("/", "~")) or part.startswith(str(folder)), part
    assert ".." not in named.split("/") or "://" in named, named
    return named


def run_example(name: str, said: list[str], typed: str | None, world: World) -> None:
    world = World(world.server, world.folder).build()
    folder = world.folder / str(world.number)
    folder.mkdir()
    os.chdir(folder)
    furnished(folder)
    before = world.objects()
    found = run_words(name, [filled(word, world, folder) for word in said], typed=typed)
    assert_civil(found, terminal=typed is not None)
    if found.code == 2:
        assert data_of(world.objects(), name) == data_of(before, name)


def data_of(objects: Mapping[str, str], command: str) -> dict[str, str]:
    """What a refused command must leave as it is. A refused deletion has compared both paths, and puts that on record."""
    record = ("/state.json", "/history/") if command == "delete" else ()
    return {
        name: generation for name, generation in objects.items() if not any(part in name for part in record)
    }


def test_every_command_has_arguments_that_lead_to_its_work() -> None:
    """Otherwise only its parser would be fuzzed."""
    assert {*GOOD} == {*COMMANDS}


@pytest.mark.parametrize("name", COMMANDS)
def test_whatever_the_arguments_a_command_ends_without_a_traceback(name: str, world: World) -> None:
    """Exit code 0, 1 or 2; 2 with one line of explanation, and nothing changed in Cloud Storage."""

    @examples(12)
    @given(words(actions_of(load(name).add_arguments), GOOD[name]), st.sampled_from(TYPED))
    def check(said: list[str], typed: str | None) -> None:
        run_example(name, said, typed, world)

    check()
