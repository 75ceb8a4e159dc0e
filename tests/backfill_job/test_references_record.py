"""The consumers' readers on record: who read the legacy path, and that each of them is on the new one, or accepted by a person."""

import json
from pathlib import Path

import pytest
from testing_commands import Commands, Ended, run_command, where
from testing_paths import Paths
from testing_references import write_tree

from shared.phase import Phase
from shared.state import EntryKind, Site
from shared.state_changes import MAX_SITES

SETTINGS = """SHARED = "{source}"
EXPORT = "{destination}"
THIRD = "lake"
"""
NIGHTLY = """from settings import SHARED


def anything_today(day):
    return any(client.bucket(SHARED).list_blobs(prefix=f"QPI_exports/qpi_answers_{day}/", max_results=1))


LOAD = {"bucket": SHARED, "source_objects": ["QPI_exports/qpi_answers_{{ ds_nodash }}/*.jsonl"]}
OTHER = {"bucket": SHARED, "source_objects": ["seeds/*.csv"]}
"""
MOVED = NIGHTLY.replace("SHARED", "EXPORT").replace("QPI_exports", "qpi_exports")
GONE = "OTHER = 1\n"
CHECK, LOAD = "nightly.py:anything_today:presence", "nightly.py:LOAD:load"


@pytest.fixture
def checkout(paths: Paths, tmp_path: Path) -> Path:
    """The consumer as it reads the legacy path."""
    buckets = {"source": paths.migration.source.bucket, "destination": paths.migration.destination.bucket}
    return write_tree(tmp_path / "dags", {"settings.py": SETTINGS.format(**buckets), "nightly.py": NIGHTLY})


def record(paths: Paths, checkout: Path, *words: str) -> Ended:
    return run_command("references", str(checkout), *where(paths), "--record", *words)


ACCEPTED = ("--reason", "retired", "--by", "Ada")


def test_a_reader_that_is_gone_is_not_clean_until_a_person_accepts_it(
    paths: Paths, commands: Commands, checkout: Path
) -> None:
    """The case moved_site: recorded once, by file, function and operation; then each is asked for."""
    first = record(paths, checkout)
    assert (first.code, CHECK in first.out, LOAD in first.out) == (1, True, True)
    assert list(commands.state.sites) == [LOAD, CHECK]
    entries = len(commands.state.history)
    record(paths, checkout)
    assert len(commands.state.history) == entries, "what is on record is not written again"

    (checkout / "nightly.py").write_text(GONE)
    ended = record(paths, checkout)
    assert (ended.code, ended.out.count("GONE")) == (1, 2)
    assert record(paths, checkout, "--accept", CHECK, *ACCEPTED).code == 1, "the load is gone, too"
    ended = record(paths, checkout, "--accept", LOAD, *ACCEPTED)
    assert ended.code == 0
    last = commands.state.history[-1]
    assert (last.kind, last.by, last.note, last.sites) == (
        EntryKind.SITES_ACCEPTED,
        "Ada",
        "retired",
        (Site("nightly.py", "LOAD", "load"),),
    )
    assert last.what == f"accepted {last.sites[0].name}: retired"

    (checkout / "nightly.py").write_text(NIGHTLY)
    record(paths, checkout)
    assert list(commands.state.sites) == [LOAD, CHECK], "it reads the legacy path again"


@pytest.mark.usefixtures("commands")
@pytest.mark.parametrize("lost", [CHECK, LOAD])
def test_each_reader_is_asked_for_by_itself(paths: Paths, checkout: Path, lost: str) -> None:
    """The outage: the load has moved, and the presence check looks nowhere; a second load does not stand for it."""
    record(paths, checkout)
    (checkout / "nightly.py").write_text(MOVED)
    assert record(paths, checkout).code == 0
    lines = MOVED.splitlines(keepends=True)
    halved = [line for line in lines if ("any(" if lost == CHECK else "LOAD =") not in line]
    (checkout / "nightly.py").write_text("".join(halved).replace("(day):\n", "(day):\n    pass\n"))
    (checkout / "more.py").write_text(MOVED.replace("anything_today", "another").replace("LOAD", "ELSE"))
    ended = record(paths, checkout)
    assert (ended.code, f"{lost}  GONE" in ended.out) == (1, True)


def test_the_gate_the_cutover_and_the_deletion_ask_for_the_same(
    paths: Paths, commands: Commands, checkout: Path
) -> None:
    """The gate records; afterwards all three say that a reader is gone, also after the cutover."""
    paths.put("a/1")
    commands.run("gate", "--repo", str(checkout), "--no-record")
    assert not commands.state.sites
    commands.run("gate", "--repo", str(checkout))
    assert list(commands.state.sites) == [LOAD, CHECK]
    (checkout / "nightly.py").write_text(GONE)
    says = "2 recorded readers of the legacy path not seen on the new one"
    for command in (("gate",), ("cutover", "--by", "Ada", "--yes")):
        assert says in " ".join(commands.run(*command, "--repo", str(checkout)).out.split())
    commands.go(Phase.CUT_OVER)
    assert says in " ".join(commands.run("delete", "--repo", str(checkout)).out.split())


def test_what_reads_elsewhere_blocks_until_it_is_accepted_by_name(
    paths: Paths, commands: Commands, checkout: Path
) -> None:
    """The case third_bucket: one place is accepted; another place, more of them, or another bucket blocks again."""
    third = MOVED.replace("import EXPORT", "import EXPORT, THIRD").replace(
        '{"bucket": EXPORT, "source_objects": ["qpi_exports/',
        '{"bucket": THIRD, "source_objects": ["QPI_exports/',
    )
    (checkout / "nightly.py").write_text(third)
    assert record(paths, checkout).code == 1
    assert "no such place" in record(paths, checkout, "--accept", CHECK, *ACCEPTED).err
    ended = record(paths, checkout, "--accept", LOAD, *ACCEPTED)
    assert (ended.code, "retired, by Ada" in ended.out) == (0, True)
    assert commands.state.history[-1].sites == (Site("nightly.py", "LOAD", "load", "gs://lake/QPI_exports/"),)
    (checkout / "nightly.py").write_text(
        third.replace("QPI_exports/qpi_answers_{{", "qpi_exports/qpi_answers_{{")
    )
    assert record(paths, checkout).code == 1, "another place"
    (checkout / "nightly.py").write_text(third.replace('*.jsonl"]', '*.jsonl", "QPI_exports/x"]'))
    assert record(paths, checkout).code == 1, "one more"


def test_without_any_reader_a_person_says_that_there_is_none(
    paths: Paths, commands: Commands, checkout: Path
) -> None:
    """Where no place was ever recorded and none reads the new path, that is said and blocks."""
    (checkout / "nightly.py").write_text(GONE)
    ended = record(paths, checkout)
    assert (ended.code, "no reader of the legacy path was ever recorded" in ended.out) == (1, True)
    assert record(paths, checkout, "--accept", "NONE", *ACCEPTED).code == 0
    assert "no consumer, as Ada accepts: retired" in record(paths, checkout).out
    (checkout / "nightly.py").write_text(NIGHTLY)
    assert record(paths, checkout, "--accept", "NONE", *ACCEPTED).code == 2
    assert list(commands.state.sites) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--accept", CHECK), "belong together"),
        (("--reason", "x", "--by", "Ada"), "belong together"),
        (("--accept", "nightly.py:gone:load", *ACCEPTED), "no such place to accept"),
    ],
)
def test_an_acceptance_has_a_name_a_reason_and_a_person(
    paths: Paths, commands: Commands, checkout: Path, words: tuple[str, ...], said: str
) -> None:
    """Nothing is recorded then."""
    before = len(commands.state.history)
    ended = record(paths, checkout, *words)
    assert (ended.code, said in ended.err, len(commands.state.history)) == (2, True, before)


def test_more_places_than_the_record_takes_are_refused(
    paths: Paths, commands: Commands, checkout: Path
) -> None:
    """The state stays small; the gate does not pass either."""
    loads = "".join(
        f'L{n} = ["gs://{paths.migration.source.bucket}/QPI_exports/{n}"]\n' for n in range(MAX_SITES + 1)
    )
    (checkout / "nightly.py").write_text(loads)
    ended = record(paths, checkout)
    assert (ended.code, f"more than {MAX_SITES} places" in ended.err, commands.state.sites) == (2, True, {})


def test_skip_and_settings_are_the_same_for_the_gate_and_the_deletion(
    paths: Paths, commands: Commands, checkout: Path, tmp_path: Path
) -> None:
    """Their own scripts are left out, which the result says; a deployed setting decides instead of its default."""
    settings = SETTINGS.replace(
        'EXPORT = "{destination}"', 'import os\nEXPORT = os.environ.get("EXPORT", "{destination}")'
    )
    buckets = {"source": paths.migration.source.bucket, "destination": paths.migration.destination.bucket}
    (checkout / "settings.py").write_text(settings.format(**buckets))
    (checkout / "nightly.py").write_text(MOVED)
    write_tree(checkout, {"tmp/move.sh": f"gsutil ls {paths.migration.source.uri}\n"})
    deployed = tmp_path / "deployed.env"
    deployed.write_text("EXPORT=lake\n")
    paths.put("a/1")
    commands.go(Phase.CUT_OVER)
    for command, file in (("gate", "gate.json"), ("delete", "deletion-plan.json")):
        commands.run(command, "--repo", str(checkout), "--skip", "tmp", "--report", str(tmp_path / command))
        checks = json.loads((tmp_path / command / file).read_text())["checks"]
        said = next(check["evidence"] for check in checks if check["name"] == "references")
        assert "clean; 2 places on the new path" in said
        assert "1 path left out: " in said
        ran = commands.run(command, "--repo", str(checkout), "--skip", "tmp", "--env-file", str(deployed)).out
        assert "(elsewhere)" in ran
    ran = commands.run("delete", "--repo", str(checkout)).out
    assert "move.sh:1(legacy)" in "".join(ran.split())


def test_after_a_deletion_began_nothing_more_is_recorded(
    paths: Paths, commands: Commands, checkout: Path
) -> None:
    """Only while both paths are live."""
    commands.go(Phase.CUT_OVER, Phase.DELETING)
    record(paths, checkout)
    assert not commands.state.sites
