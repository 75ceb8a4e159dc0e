"""The command `references` and the edges of what it is pointed at."""

import codecs
import contextlib
import cProfile
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from testing_references import MIGRATIONS, TREE, write_tree

from backfill_job.__main__ import main
from backfill_job.references import scan as scanning
from backfill_job.references.scan import scan

LEGACY = 'read("gs://data-bucket-dev/QPI_exports/")\n'
MIGRATED = 'read("gs://de-bigquery-data-export-dev/qpi_exports/")\n'
PACKAGES = "env/lib/python3.11/site-packages"


@dataclass(frozen=True)
class Ran:
    code: int
    out: str
    err: str


def references(*words: str | Path) -> Ran:
    """Run the command in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(["references", *map(str, words)])
        except SystemExit as exit_:  # argparse
            code = int(exit_.code or 0)
    return Ran(code, out.getvalue(), err.getvalue())


def kinds(path: Path) -> list[tuple[str, str]]:
    return [(finding.kind.value, finding.note) for finding in scan([path], MIGRATIONS).findings]


def test_a_legacy_reference_is_exit_code_1_with_the_exact_change(tmp_path: Path) -> None:
    """The report shows file, line, class, where it leads, the line before and after, and what to do."""
    ran = references(write_tree(tmp_path, {"a.py": "\n" + LEGACY}))
    assert (ran.code, ran.err) == (1, "")
    lines = [line.strip() for line in ran.out.splitlines()]
    assert any(line.startswith("2:6") and "LEGACY" in line for line in lines)
    assert "- " + LEGACY.strip() in lines
    assert "+ " + MIGRATED.strip() in lines
    assert any("gs://data-bucket-dev/QPI_exports/" in line and "dev" in line for line in lines)
    assert lines[-3].startswith("BLOCKED by 1 place")
    assert "--patch FILE" in lines[-2]
    assert lines[-1] == f"Next: python -m backfill_job references {tmp_path} --patch references.patch"


def test_a_clean_tree_is_exit_code_0(tmp_path: Path) -> None:
    """Only the new path, and a document about the old one."""
    ran = references(write_tree(tmp_path, {"a.py": MIGRATED, "README.md": LEGACY}))
    assert ran.code == 0
    assert "Clean: no code reads the legacy path" in ran.out
    assert "README.md:1" in ran.out
    assert ran.out.endswith(f"\nNext: python -m backfill_job references {tmp_path} --env prod --record\n")
    one = references(tmp_path, "--env", "dev")
    assert one.out.endswith("\nNext: python -m backfill_job status --env dev\n")


def test_what_does_not_block_is_listed_apart(tmp_path: Path) -> None:
    """Code that blocks is not among the documentation, nor is a document about the new path; ten places are shown."""
    tree = {f"docs/{number:02}.md": LEGACY for number in range(12)}
    code = LEGACY + 'foo("QPI_exports")  # references: reviewed a dashboard\n'
    root = write_tree(tmp_path, {"a.py": code, "new.md": MIGRATED, **tree})
    before, _, apart = references(root).out.partition("\nDocumentation and comments")
    lines = apart.splitlines()
    shown = [f"  {root}/docs/{number:02}.md:1  {LEGACY.strip()}" for number in range(10)]
    assert lines[0] == " that name the old path, or may; they do not block: 12 places"
    assert lines[1:13] == [*shown, "  … and 2 more", ""]
    assert lines[13:16] == [
        "Reviewed by a person, as written beside them: 1 place",
        f'  {root}/a.py:2  "QPI_exports"  (a dashboard)',
        "",
    ]
    assert f"\n{root}/a.py\n" in before
    assert "new.md" not in before + apart


def test_a_record_is_of_one_migration(tmp_path: Path) -> None:
    """Without --env it would be of three: one line, exit code 2, before the first request."""
    ran = references(write_tree(tmp_path, {"a.py": MIGRATED}), "--record")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "--record is for one migration: --env, or --source and --destination" in ran.err


def test_fix_is_refused_and_says_what_to_do_instead(tmp_path: Path) -> None:
    """The old argument changes nothing: one line, exit code 2, and neither help nor completion offers it."""
    root = write_tree(tmp_path, {"a.py": LEGACY})
    ran = references(root, "--fix")
    assert (ran.code, ran.out, len(ran.err.splitlines())) == (2, "", 1)
    assert "use --patch FILE" in ran.err
    assert "git apply FILE" in ran.err
    assert (root / "a.py").read_text() == LEGACY
    assert "--fix" not in references("--help").out


def test_what_a_patch_changes_is_clean_after_git_apply(tmp_path: Path) -> None:
    """The command says how to apply the patch; afterwards the scan is clean."""
    root = write_tree(tmp_path / "tree", {"a.py": LEGACY})
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    ran = references(root, "--patch", tmp_path / "x.patch")
    assert ran.code == 1
    (apply,) = re.findall(r"They are made by: (git .*)", ran.out)
    subprocess.run(shlex.split(apply), check=True)
    assert (root / "a.py").read_text() == MIGRATED
    assert references(root).code == 0


def test_patch_changes_nothing_but_its_file(tmp_path: Path) -> None:
    """--patch writes a diff that git takes; the tree still blocks."""
    root = write_tree(tmp_path / "tree", TREE)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    ran = references(root, "--patch", tmp_path / "x.patch")
    assert ran.code == 1
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    subprocess.run(["git", "apply", "--check", str(tmp_path / "x.patch")], cwd=root, check=True)


def test_json_holds_every_finding(tmp_path: Path) -> None:
    """The schema is versioned; classes, places, paths, changes and advice are there, for the cutover's gate."""
    root = write_tree(tmp_path / "tree", {"a.py": LEGACY, "b.md": LEGACY, "c.py": 'foo("QPI_exports/")\n'})
    references(root, "--json", tmp_path / "refs.json")
    report = json.loads((tmp_path / "refs.json").read_text())
    assert (report["schema"], report["clean"], report["files"], report["blocking"]) == (
        "references/1",
        False,
        3,
        2,
    )
    assert [
        (finding["class"], finding["place"], finding["line"], finding["blocks"])
        for finding in report["findings"]
    ] == [
        ("legacy", "code", 1, True),
        ("legacy", "documentation", 1, False),
        ("unresolved", "code", 1, True),
    ]
    first, _, second = report["findings"]
    assert (first["buckets"], first["prefixes"], first["migrations"]) == (
        ["data-bucket-dev"],
        ["QPI_exports/"],
        ["dev"],
    )
    assert first["changes"][0]["after"] == MIGRATED.strip()
    assert second["advice"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["{}/nowhere"], "nowhere does not exist"),
        (["{}", "{}/nowhere"], "nowhere does not exist"),
        (["{}", "--source", "gs://aaa/b/"], "belong together"),
        (["{}", "--source", "gs://aaa/", "--destination", "gs://bbb/c/"], "whole bucket"),
        (["{}", "--source", "aaa/b", "--destination", "gs://bbb/c/"], "gs://"),
        (["{}", "--fix", "--patch", "x"], "--fix was removed"),
        (["{}", "--env", "qa"], "invalid choice"),
        (["{}", "--patch", "{}/no/folder/x.patch"], "cannot write"),
        ([], "required"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: list[str], said: str, tmp_path: Path) -> None:
    """A PATH that is not there, half a pair, a whole bucket, two ways to write: nothing is done."""
    write_tree(tmp_path, {"a.py": LEGACY, ".git/HEAD": ""})
    ran = references(*(word.format(tmp_path) for word in words))
    assert ran.code == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_one_environment_is_looked_for_alone(tmp_path: Path) -> None:
    """--env prod: the bucket of dev is another one, a bucket with a hole may still be prod's."""
    code = (
        LEGACY + 'read("gs://data-bucket-prod/QPI_exports/")\nread(f"gs://data-bucket-{env}/QPI_exports/")\n'
    )
    root = write_tree(tmp_path / "tree", {"a.py": code})
    references(root, "--env", "prod", "--json", tmp_path / "refs.json")
    report = json.loads((tmp_path / "refs.json").read_text())
    assert [finding["class"] for finding in report["findings"]] == ["other", "legacy", "legacy"]


def test_any_pair_of_locations_can_be_looked_for(tmp_path: Path) -> None:
    """A prefix of several folders and another bucket: the same classes."""
    code = (
        'h.list("lake", prefix="raw/clicks/2024/")\nh.list("lake", prefix="raw/other/")\n'
        'h.list("lake2", prefix="raw/clicks/")\nread("gs://lake2/clicks/raw/x")\n'
    )
    root = write_tree(tmp_path / "tree", {"a.py": code})
    words = ["--source", "gs://lake/raw/clicks/", "--destination", "gs://lake2/clicks/raw/"]
    assert references(root, *words, "--json", tmp_path / "refs.json").code == 1
    report = json.loads((tmp_path / "refs.json").read_text())
    assert [(finding["line"], finding["class"]) for finding in report["findings"]] == [
        (1, "legacy"),
        (3, "mixed"),
        (4, "migrated"),
    ]


def test_a_file_that_cannot_be_read_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what it holds: an error in the report, exit code 1, and never "clean"."""
    root = write_tree(tmp_path, {"a.py": MIGRATED, "b.py": MIGRATED})
    read = Path.read_bytes

    def denied(path: Path) -> bytes:
        if path.name == "b.py":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", denied)
    ran = references(root)
    assert ran.code == 1
    assert "CANNOT READ" in ran.out
    assert "b.py: cannot be read: Permission denied" in ran.out
    assert "Clean" not in ran.out


@pytest.mark.skipif(os.geteuid() == 0, reason="the super-user may read everything")
def test_a_folder_that_cannot_be_listed_blocks(tmp_path: Path) -> None:
    """A folder without permission is an error, not an empty folder."""
    root = write_tree(tmp_path, {"in/a.py": LEGACY})
    (root / "in").chmod(0)
    try:
        assert scan([root], MIGRATIONS).errors[0].path == root / "in"
    finally:
        (root / "in").chmod(0o700)


def test_a_broken_link_blocks(tmp_path: Path) -> None:
    """A link whose target is gone cannot be read; it is an error and not nothing."""
    (tmp_path / "a.py").symlink_to(tmp_path / "gone.py")
    assert [error.path.name for error in scan([tmp_path], MIGRATIONS).errors] == ["a.py"]


def test_a_binary_file_that_holds_the_name_is_unresolved(tmp_path: Path) -> None:
    """It cannot be read as code, so a person has to look; one without the name is nothing."""
    (tmp_path / "a.pyc").write_bytes(b"\0\1\2gs://data-bucket-dev/QPI_exports/\0")
    (tmp_path / "b.bin").write_bytes(b"\0\1\2")
    assert kinds(tmp_path) == [("unresolved", "a binary file that holds the name")]


def test_a_name_over_the_edge_of_a_piece_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file is searched piece by piece, and its lines are counted across the pieces."""
    monkeypatch.setattr(scanning, "MAX_BYTES", 100)
    monkeypatch.setattr(scanning, "PIECE", 7)
    monkeypatch.setattr(scanning, "OVERLAP", 64)
    (tmp_path / "a.sql").write_text("-- filler\n" * 20 + "gs://data-bucket-dev/QPI_exports")
    (tmp_path / "b.sql").write_bytes(b"-- filler\n" * 20 + "QPI_exports".encode("utf-32-le"))
    found = scan([tmp_path], MIGRATIONS).findings
    assert [(finding.path.name, finding.line, finding.kind.value) for finding in found] == [
        ("a.sql", 21, "unresolved"),
        ("b.sql", 21, "unresolved"),
    ]


def test_a_huge_file_is_searched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file over the limit is not read as code; it is searched, and the line is said."""
    monkeypatch.setattr(scanning, "MAX_BYTES", 100)
    (tmp_path / "a.sql").write_text("-- filler\n" * 20 + "select 'gs://data-bucket-dev/QPI_exports/'\n")
    (tmp_path / "b.sql").write_text("-- filler\n" * 20)
    (finding,) = scan([tmp_path], MIGRATIONS).findings
    assert (finding.path.name, finding.line, finding.kind.value) == ("a.sql", 21, "unresolved")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_wide_characters_hide_no_name(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a byte order mark such a text looks binary; with one, or without, it may be larger than what is read as code."""
    text = "-- filler\n" * 20 + "select 'gs://data-bucket-dev/QPI_exports/'\n"
    (tmp_path / "a.sql").write_bytes(text.encode(encoding))
    assert kinds(tmp_path) == [("unresolved", "a binary file that holds the name")]
    monkeypatch.setattr(scanning, "MAX_BYTES", 100)
    (finding,) = scan([tmp_path], MIGRATIONS).findings
    assert (finding.line, finding.kind.value) == (21, "unresolved")


@pytest.mark.parametrize("broken", ["a.sql", "a.py"])
def test_a_text_that_is_not_in_its_encoding_blocks(broken: str, tmp_path: Path) -> None:
    """Its mark promises two bytes a character, and the last one has one: its content is unknown."""
    (tmp_path / broken).write_bytes(codecs.BOM_UTF16_LE + LEGACY.encode("utf-16-le") + b"x")
    result = scan([tmp_path], MIGRATIONS)
    assert [(error.path.name, "byte order mark" in error.message) for error in result.errors] == [
        (broken, True)
    ]
    assert not result.clean


@pytest.mark.parametrize(
    ("mark", "encoding"),
    [
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF16_LE, "utf-16-le"),
        (codecs.BOM_UTF16_BE, "utf-16-be"),
        (codecs.BOM_UTF32_LE, "utf-32-le"),
        (codecs.BOM_UTF32_BE, "utf-32-be"),
    ],
)
def test_every_byte_order_mark_is_understood(mark: bytes, encoding: str, tmp_path: Path) -> None:
    """A marked file is a text in its encoding, not a binary file."""
    (tmp_path / "a.sql").write_bytes(mark + "select 'gs://data-bucket-dev/QPI_exports/'".encode(encoding))
    assert kinds(tmp_path) == [("legacy", "")]


def test_what_cannot_even_be_looked_at_blocks(tmp_path: Path) -> None:
    """Such as a link to a name that no file system takes."""
    (tmp_path / "a.py").symlink_to("x" * 300)
    (error,) = scan([tmp_path], MIGRATIONS).errors
    assert (error.path.name, error.message) == ("a.py", "cannot be looked at: File name too long")


def test_python_that_does_not_parse_is_read_as_text_and_says_so(tmp_path: Path) -> None:
    """A syntax error hides nothing: a full URL is still resolved, and the finding says how it was read."""
    write_tree(tmp_path, {"a.py": 'print "old"\n' + LEGACY})
    assert kinds(tmp_path) == [("legacy", "no valid Python, read as text")]


@pytest.mark.parametrize(
    "data",
    [
        b"# coding: nonsense\n" + LEGACY.encode(),
        b"# caf\xe9\n" + LEGACY.encode(),
        b"# coding: ascii\n# caf\xe9\n" + LEGACY.encode(),
        b"# coding: shift_jis\n# caf\xff\n" + LEGACY.encode(),
        b"\xff\xfe" + LEGACY.encode("utf-16-le"),
        b"x = (" * 500 + b"\n" + LEGACY.encode(),
        b"x = " + b"-" * 5000 + b"1\n" + LEGACY.encode(),
    ],
    ids=[
        "unknown coding",
        "wrong coding",
        "not ASCII as it says",
        "not Japanese as it says",
        "UTF-16",
        "too many parentheses",
        "too deep",
    ],
)
def test_a_file_that_python_cannot_read_is_still_searched(data: bytes, tmp_path: Path) -> None:
    """Whatever is wrong with the file, the reference in it blocks."""
    (tmp_path / "a.py").write_bytes(data)
    result = scan([tmp_path], MIGRATIONS)
    assert [finding.kind.value for finding in result.blocking] == ["legacy"]


def test_what_tools_make_is_not_scanned(tmp_path: Path) -> None:
    """.git, node_modules, .venv and any virtual environment are left alone; a folder that is named by the user is not."""
    tree = {
        f"{folder}/a.py": LEGACY
        for folder in [".git", "node_modules", ".venv", "__pycache__", PACKAGES, "w/Lib/site-packages"]
    }
    root = write_tree(tmp_path, tree | {"env/pyvenv.cfg": "", "w/pyvenv.cfg": ""})
    result = scan([root], MIGRATIONS)
    assert result.findings == ()
    assert result.left_out == f", 2 paths left out: {root}/{PACKAGES}, {root}/w/Lib/site-packages"
    assert len(scan([root / "node_modules"], MIGRATIONS).blocking) == 1


@pytest.mark.parametrize("packages", [{}, {"dags/lib/python3.11/site-packages/c.py": LEGACY}])
def test_a_virtual_environment_hides_no_consumer_beside_its_packages(
    packages: dict[str, str], tmp_path: Path
) -> None:
    """Only its packages are left out: people make one in the folder of their own code, too."""
    tree = {"dags/pyvenv.cfg": "", "dags/a.py": LEGACY, "dags/lib/b.py": LEGACY, **packages}
    result = scan([write_tree(tmp_path, tree)], MIGRATIONS)
    assert [finding.path.name for finding in result.blocking] == ["a.py", "b.py"]
    assert bool(result.left_out) == bool(packages)


@pytest.mark.parametrize(
    ("head", "line"),
    [
        ("bucket: data-bucket-dev\n", "table_{0}_prefix: QPI_exports/{0}/\n"),
        ("bucket: data-bucket-dev\na:\n  b:\n", "    t{0}: QPI_exports/{0}/\n"),
        ("bucket: data-bucket-dev\n", "t{0}: {{prefix: QPI_exports/{0}/}}\n"),
        ("bucket: data-bucket-dev\nprefixes:\n", "  - QPI_exports/{0}/\n"),
        ("bucket: data-bucket-dev\nscript: |\n", "  run --prefix QPI_exports/{0}/\n"),
    ],
)
def test_the_work_grows_with_the_file_and_not_with_its_square(head: str, line: str, tmp_path: Path) -> None:
    """By the calls that are made: each place is judged beside every other, which is read once."""
    calls = []
    for count in (50, 400):
        (tmp_path / "a.yaml").write_text(head + "".join(line.format(number) for number in range(count)))
        with cProfile.Profile() as profile:
            result = scan([tmp_path], MIGRATIONS)
        assert [finding.kind.value for finding in result.findings] == ["legacy"] * count
        calls.append(sum(entry.callcount for entry in profile.getstats()))
    assert calls[1] < 12 * calls[0], calls


def test_links_are_followed_once(tmp_path: Path) -> None:
    """A link to a file of the tree, and a link to the tree itself, give no second finding and no endless walk."""
    root = write_tree(tmp_path / "tree", {"a/x.py": LEGACY})
    (root / "0.py").symlink_to(root / "a" / "x.py")
    (root / "a" / "loop").symlink_to(root)
    assert [finding.path for finding in scan([root], MIGRATIONS).findings] == [root / "a" / "x.py"]
    assert len(scan([root / "a", root, root / "0.py"], MIGRATIONS).findings) == 1


@pytest.mark.parametrize("linked", ["x.py", "."], ids=["a file", "a folder"])
def test_a_link_out_of_the_tree_is_not_followed_and_blocks(linked: str, tmp_path: Path) -> None:
    """Nothing outside is read; what it holds is unknown, so it blocks until it is scanned, too, or left out."""
    outside = write_tree(tmp_path / "outside", {"x.py": LEGACY})
    root = write_tree(tmp_path / "tree", {"a.py": MIGRATED})
    (root / "code.py").symlink_to(outside / linked)
    result = scan([root], MIGRATIONS)
    assert [(finding.path.name, finding.kind.value) for finding in result.findings] == [("a.py", "migrated")]
    assert [error.path.name for error in result.errors] == ["code.py"]
    assert "link out of what is scanned" in result.errors[0].message
    assert len(scan([root, outside], MIGRATIONS).blocking) == 1
    assert scan([root], MIGRATIONS, skip=["code.py"]).clean


@pytest.mark.parametrize("folder", [".venv", PACKAGES, "node_modules/x"])
def test_a_link_into_what_tools_make_blocks(folder: str, tmp_path: Path) -> None:
    """The walk does not come to its target; where a person names the folder, it does."""
    tree = {"a.py": MIGRATED, f"{folder}/x.py": LEGACY, "env/pyvenv.cfg": ""}
    root = write_tree(tmp_path, tree)
    (root / "code.py").symlink_to(root / folder / "x.py")
    (root / ".tox").symlink_to(root / "env")
    result = scan([root], MIGRATIONS)
    assert [(error.path.name, "link into what tools make" in error.message) for error in result.errors] == [
        ("code.py", True)
    ]
    assert len(scan([root, root / folder], MIGRATIONS).blocking) == 1


@pytest.mark.parametrize(
    "line", ["from up import BUCKET", "from ..up import BUCKET", "from .linked.up import BUCKET"]
)
def test_an_import_reads_nothing_outside_of_the_checkout(line: str, tmp_path: Path) -> None:
    """Dots that lead out of it, and a folder that is only linked: the bucket stays unknown."""
    write_tree(tmp_path, {"up.py": 'BUCKET = "de-bigquery-data-export-dev"\n'})
    root = write_tree(
        tmp_path / "tree", {"a.py": f'{line}\nh.list(BUCKET, prefix="qpi_exports/")\n', ".git/HEAD": ""}
    )
    (root / "linked").symlink_to(tmp_path)
    found = scan([root], MIGRATIONS, skip=["linked"]).findings
    assert [finding.kind.value for finding in found] == ["unresolved"]


def test_a_folder_that_may_not_be_looked_into_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The super-user of a test may look everywhere, so the system's answer is given here."""
    root = write_tree(tmp_path, {"a.py": MIGRATED, "in/b.py": LEGACY})
    iterdir = Path.iterdir

    def denied(path: Path) -> Iterator[Path]:
        if path.name == "in":
            raise PermissionError(13, "Permission denied", str(path))
        return iterdir(path)

    monkeypatch.setattr(Path, "iterdir", denied)
    ran = references(root)
    assert (ran.code, ran.err) == (1, "")
    assert ran.out.count("CANNOT READ") == 1
    assert "in: cannot be looked at: Permission denied" in ran.out


@pytest.mark.parametrize(
    "tree", [{"NOTES": "nothing\n"}, {"README.md": LEGACY}, {"a.py": "\n"}, {"x.csv": "a,b\n"}]
)
def test_a_scan_without_code_is_not_a_verdict(tree: dict[str, str], tmp_path: Path) -> None:
    """As a mistyped folder: exit code 2 and one line, also where another path has code."""
    root = write_tree(tmp_path / "tree", tree)
    ran = references(root)
    assert (ran.code, ran.out) == (2, "")
    assert "no code was read in" in ran.err
    assert references(root, write_tree(tmp_path / "code", {"a.py": MIGRATED})).code == 2


def test_where_everything_is_left_out_there_is_no_verdict(tmp_path: Path) -> None:
    """--skip that matches all of it proves nothing."""
    ran = references(write_tree(tmp_path, {"a.py": MIGRATED}), "--skip", "*.py")
    assert ran.code == 2
    assert "1 path left out: " in ran.err


def test_code_that_reads_neither_path_is_not_called_clean(tmp_path: Path) -> None:
    """The consumer may be gone: nothing blocks, and the last line says what that means."""
    ran = references(write_tree(tmp_path, {"a.py": 'h.list("lake", prefix="events/")\n'}))
    assert ran.code == 0
    assert "Clean" not in ran.out
    assert "nothing reads the new path either" in ran.out


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    """--skip leaves out what it matches and the report says so: a reader must not take it for scanned."""
    root = write_tree(tmp_path / "tree", {"tests/a.py": LEGACY, "b.py": MIGRATED})
    ran = references(root, "--skip", "tests", "--json", tmp_path / "x.json")
    assert ran.code == 0
    assert "1 path left out: " in ran.out
    assert json.loads((tmp_path / "x.json").read_text())["skipped"] == [f"{root}/tests"]


def test_a_name_with_control_characters_cannot_write_on_the_terminal(tmp_path: Path) -> None:
    """A file's name and its code are shown with escapes."""
    write_tree(tmp_path, {"a\x1b[31m.py": 'read("gs://data-bucket-dev/QPI_exports/\x1b[2J")\n'})
    assert "\x1b" not in references(tmp_path).out


def test_it_runs_as_a_process(tmp_path: Path) -> None:
    """python -m backfill_job references PATH."""
    write_tree(tmp_path, {"a.py": LEGACY})
    ran = subprocess.run(
        [sys.executable, "-m", "backfill_job", "references", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "BLOCKED" in ran.stdout


def test_json_to_what_is_no_file_is_written_into_it(tmp_path: Path) -> None:
    """A pipe stays a pipe, and ``--json /dev/null`` by a super-user leaves the machine its null device."""
    root, pipe = write_tree(tmp_path / "tree", {"a.py": LEGACY}), tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert references(root, "--json", pipe).code == 1
        assert json.loads(os.read(reader, 1 << 16))["findings"]
    finally:
        os.close(reader)
    assert pipe.is_fifo()
