"""Patches: the smallest edits, files as they were otherwise, and nothing that could not be resolved."""

import os
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest
import test_references_forms
import test_references_refusals
from testing_references import MIGRATIONS, apply_changes, write_tree

from backfill_job.references.patch import checkout_of, propose, unified_diff
from backfill_job.references.scan import scan

OLD = 'read("gs://data-bucket-dev/QPI_exports/")'
NEW = 'read("gs://de-bigquery-data-export-dev/qpi_exports/")'
GIT = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def refusals(root: Path, tree: dict[str, str]) -> list[str]:
    """Change a tree that nothing in can be changed; gives the reasons."""
    write_tree(root, tree)
    changed, reasons = apply_changes(root)
    assert changed == 0
    assert {name: (root / name).read_text() for name in tree} == tree
    return reasons


@pytest.mark.parametrize(
    ("head", "tail", "encoding"),
    [
        ("import os\r\n\r\n", "\r\n# end\r\n", "utf-8"),
        ("import os\r", "\rx = 1\n", "utf-8"),
        ("\ufeff# größer\n", "\n", "utf-8"),
        ("# -*- coding: latin-1 -*-\nGROSS = 'größer'; ", "", "latin-1"),
        ("x = '€ \U0001f4c1'; ", "  # no end of line", "utf-8"),
        ("\tif_tabs = 1\n".lstrip(), "\n\x0c\nx = 1\n", "utf-8"),
    ],
    ids=["CRLF", "CR", "byte order mark", "latin-1", "wide characters", "tabs and form feeds"],
)
def test_everything_but_the_edit_stays_byte_for_byte(
    head: str, tail: str, encoding: str, tmp_path: Path
) -> None:
    """Line ends, byte order mark, encoding and white space are what they were."""
    path = tmp_path / "a.py"
    path.write_bytes((head + OLD + tail).encode(encoding))
    assert apply_changes(tmp_path) == (1, [])
    assert path.read_bytes() == (head + NEW + tail).encode(encoding)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_marked_encoding_is_kept(encoding: str, tmp_path: Path) -> None:
    """A file that begins with a byte order mark is written with the same one."""
    path = tmp_path / "a.conf"
    path.write_bytes("uri = gs://data-bucket-dev/QPI_exports/\r\n".encode(encoding))
    assert apply_changes(tmp_path) == (1, [])
    assert path.read_bytes() == "uri = gs://de-bigquery-data-export-dev/qpi_exports/\r\n".encode(encoding)


def test_bytes_that_are_no_text_stay(tmp_path: Path) -> None:
    """A stray byte of another encoding is written back as it was."""
    path = tmp_path / "a.sh"
    path.write_bytes(b"# caf\xe9\ngsutil ls gs://data-bucket-dev/QPI_exports/\n")
    assert apply_changes(tmp_path) == (1, [])
    assert path.read_bytes() == b"# caf\xe9\ngsutil ls gs://de-bigquery-data-export-dev/qpi_exports/\n"


REFUSED = {
    "an unresolved bucket": ('h.list(bucket, prefix="QPI_exports/")\n', "bucket could not be read|no bucket"),
    "a name put together": (
        'P = "QPI_".lower()\nread("gs://data-bucket-dev/" + P + "EXPORTS/")\n',
        "case|parts",
    ),
    "an escape": ('read("gs://data-bucket-dev/QPI\\x5fexports/")\n', "not written as they come out"),
    "a choice between both buckets": (
        'B = {"dev": "data-bucket-dev", "new": "de-bigquery-data-export-dev"}\nh.list(B[e], prefix="QPI_exports/")\n',
        "chooses between both",
    ),
    "one bucket for two objects": (
        'Op(bucket="data-bucket-dev", source_objects=["QPI_exports/", "events/"])\n',
        "other objects",
    ),
    "a bucket that a function uses again": (
        'def f(bucket):\n    h.list(bucket, prefix="QPI_exports/")\n    h.list(bucket, prefix="events/")\n\nf("data-bucket-dev")\n',
        "also read",
    ),
    "a dict that goes elsewhere": (
        'QPI = {"bucket": "data-bucket-dev"}\nh.list(QPI["bucket"], prefix="QPI_exports/")\nsend(QPI)\n',
        "",
    ),
    "a class that others read": (
        (
            'class C:\n    bucket = "data-bucket-dev"\n    def f(self):\n'
            '        h.list(self.bucket, prefix="QPI_exports/")\n'
            '    def g(self):\n        h.list(self.bucket, prefix="events/")\n'
        ),
        "also read",
    ),
    "a default": (
        'def f(prefix, bucket="data-bucket-dev"):\n    h.list(bucket, prefix=prefix)\n\nf("QPI_exports/")\n',
        "default",
    ),
    "a bucket in a function that is called for other prefixes": (
        'B = "data-bucket-dev"\n\ndef f(p):\n    h.list(B, prefix=p)\n\nf("QPI_exports/")\nf("events/")\n',
        "other calls",
    ),
    "a prefix in a function that is called for other buckets": (
        'def f(b):\n    h.list(b, prefix="QPI_exports/")\n\nf("data-bucket-dev")\nf("some-other-bucket")\n',
        "other calls",
    ),
    "a copy from one path to the other": (
        ('h.copy("data-bucket-dev", "QPI_exports/a", "de-bigquery-data-export-dev", "qpi_exports/a")\n'),
        "beside the new path",
    ),
}


@pytest.mark.parametrize(("code", "reason"), [pytest.param(*row, id=name) for name, row in REFUSED.items()])
def test_what_would_change_more_than_the_reference_is_refused(code: str, reason: str, tmp_path: Path) -> None:
    """Nothing is edited, and the reason is said with the edit that a person has to make."""
    (said, *_) = refusals(tmp_path, {"a.py": code})
    assert any(word in said for word in reason.split("|"))


def python_cases() -> dict[str, dict[str, str]]:
    """The Python cases of both tables."""
    forms = {
        name: {file: code} for name, file, code, _ in test_references_forms.rows() if file.endswith(".py")
    }
    return forms | {
        name: tree for name, tree, _ in test_references_refusals.rows() if any(map(_is_python, tree))
    }


def _is_python(name: str) -> bool:
    return name.endswith(".py")


@pytest.mark.parametrize("tree", [pytest.param(tree, id=name) for name, tree in python_cases().items()])
def test_a_file_of_a_patch_is_clean_once_it_is_applied(tree: dict[str, str], tmp_path: Path) -> None:
    """Every place of a changed file reads the new path then; a file in which one stays is not in the patch."""
    write_tree(tmp_path, tree)
    contents = propose(scan([tmp_path], MIGRATIONS)).contents
    for path, (_, after) in contents.items():
        path.write_bytes(after)
    assert not [finding for finding in scan([tmp_path], MIGRATIONS).blocking if finding.path in contents]


SHARED = 'h.list(BUCKET, prefix="events/")\n'
CONSTANTS = {
    "beside the old one in the same module": (
        {"a.py": 'BUCKET = "data-bucket-dev"\nh.list(BUCKET, prefix="QPI_exports/")\n' + SHARED},
        {
            "a.py": 'BUCKET = "data-bucket-dev"\nQPI_EXPORTS_BUCKET = "de-bigquery-data-export-dev"\n'
            'h.list(QPI_EXPORTS_BUCKET, prefix="qpi_exports/")\n' + SHARED
        },
    ),
    "beside the old one in its module, without the old one's setting": (
        {
            "config.py": 'import os\nBUCKET = os.environ.get("BUCKET", "data-bucket-dev")  # shared\n',
            "a.py": 'from config import (\n    BUCKET,\n)\nh.list(BUCKET, prefix="QPI_exports/")\n' + SHARED,
        },
        {
            "config.py": 'import os\nBUCKET = os.environ.get("BUCKET", "data-bucket-dev")  # shared\n'
            'QPI_EXPORTS_BUCKET = "de-bigquery-data-export-dev"\n',
            "a.py": "from config import (\n    BUCKET, QPI_EXPORTS_BUCKET,\n)\n"
            'h.list(QPI_EXPORTS_BUCKET, prefix="qpi_exports/")\n' + SHARED,
        },
    ),
    "one that the file imports already": (
        {
            "config.py": 'BUCKET = "data-bucket-dev"\nNEW = "de-bigquery-data-export-dev"\n',
            "a.py": 'from config import BUCKET, NEW as THERE\nh.list(BUCKET, prefix="QPI_exports/")\n'
            + SHARED,
        },
        {"a.py": 'from config import BUCKET, NEW as THERE\nh.list(THERE, prefix="qpi_exports/")\n' + SHARED},
    ),
    "one of the same module, by its attribute": (
        {
            "config.py": 'BUCKET = "data-bucket-dev"\nNEW = "de-bigquery-data-export-dev"\n',
            "a.py": 'import config\nh.list(config.BUCKET, prefix="QPI_exports/")\nh.list(config.BUCKET, prefix="x/")\n',
        },
        {
            "a.py": 'import config\nh.list(config.NEW, prefix="qpi_exports/")\nh.list(config.BUCKET, prefix="x/")\n'
        },
    ),
    "one constant built on another": (
        {
            "a.py": 'BASE = "data-bucket-dev"\nQPI_BUCKET = BASE\nh.list(QPI_BUCKET, prefix="QPI_exports/")\n'
            'h.list(BASE, prefix="x/")\n'
        },
        {
            "a.py": 'BASE = "data-bucket-dev"\nQPI_EXPORTS_BUCKET = "de-bigquery-data-export-dev"\n'
            'QPI_BUCKET = QPI_EXPORTS_BUCKET\nh.list(QPI_BUCKET, prefix="qpi_exports/")\nh.list(BASE, prefix="x/")\n'
        },
    ),
    "under another name, annotated": (
        {
            "config.py": 'BUCKET: str = "data-bucket-dev"\n',
            "a.py": 'from config import BUCKET as B\nh.list(B, prefix="QPI_exports/")\nh.list(B, prefix="x/")\n',
        },
        {
            "config.py": 'BUCKET: str = "data-bucket-dev"\nQPI_EXPORTS_BUCKET = "de-bigquery-data-export-dev"\n',
            "a.py": "from config import BUCKET as B, QPI_EXPORTS_BUCKET\n"
            'h.list(QPI_EXPORTS_BUCKET, prefix="qpi_exports/")\nh.list(B, prefix="x/")\n',
        },
    ),
    "of the same class": (
        {
            "config.py": 'class C:\n    OLD = "data-bucket-dev"\n    NEW = "de-bigquery-data-export-dev"\n',
            "a.py": 'from config import C\nh.list(C.OLD, prefix="QPI_exports/")\nh.list(C.OLD, prefix="x/")\n',
        },
        {"a.py": 'from config import C\nh.list(C.NEW, prefix="qpi_exports/")\nh.list(C.OLD, prefix="x/")\n'},
    ),
    "an object is not a name": (
        {
            "a.py": 'NEW = "de-bigquery-data-export-dev"\nB = client.bucket("data-bucket-dev")\n'
            'B.list_blobs(prefix="QPI_exports/")\nB.list_blobs(prefix="x/")\n'
        },
        {
            "a.py": 'NEW = "de-bigquery-data-export-dev"\nB = client.bucket("data-bucket-dev")\n'
            'QPI_EXPORTS_BUCKET = client.bucket("de-bigquery-data-export-dev")\n'
            'QPI_EXPORTS_BUCKET.list_blobs(prefix="qpi_exports/")\nB.list_blobs(prefix="x/")\n'
        },
    ),
    "through a client's bucket in a local name": (
        {
            "config.py": 'BUCKET = "data-bucket-dev"\nNEW = "de-bigquery-data-export-dev"\n',
            "a.py": "from config import BUCKET\n\ndef f():\n    b = client.bucket(BUCKET)\n"
            '    return b.list_blobs(prefix="QPI_exports/")\n\n' + SHARED,
        },
        {
            "a.py": "from config import BUCKET, NEW\n\ndef f():\n    b = client.bucket(NEW)\n"
            '    return b.list_blobs(prefix="qpi_exports/")\n\n' + SHARED
        },
    ),
}


@pytest.mark.parametrize(
    ("tree", "changed"), [pytest.param(*row, id=name) for name, row in CONSTANTS.items()]
)
def test_a_shared_constant_stays_and_the_new_bucket_s_is_used(
    tree: dict[str, str], changed: dict[str, str], tmp_path: Path
) -> None:
    """The constant of the new bucket where there is one, imported; else one that is proposed beside the old."""
    write_tree(tmp_path, tree)
    assert apply_changes(tmp_path)[1] == []
    assert {name: (tmp_path / name).read_text() for name in tree} == tree | changed
    assert scan([tmp_path], MIGRATIONS).clean


NOT_EXCHANGED = {
    "a function's own name for the new constant": (
        'BUCKET = "data-bucket-dev"\nNEW = "de-bigquery-data-export-dev"\n\ndef f(NEW, QPI_EXPORTS_BUCKET):\n'
        '    h.list(BUCKET, prefix="QPI_exports/")\n\n' + SHARED
    ),
    "a client's bucket that lists for others, too": (
        'NAME = "data-bucket-dev"\nNEW = "de-bigquery-data-export-dev"\n\ndef f():\n    b = client.bucket(NAME)\n'
        '    b.list_blobs(prefix="QPI_exports/")\n    b.list_blobs(prefix="events/")\n'
    ),
}


@pytest.mark.parametrize("code", NOT_EXCHANGED.values(), ids=NOT_EXCHANGED)
def test_what_would_exchange_more_than_the_reference_is_refused(code: str, tmp_path: Path) -> None:
    """A name that means something else there, and one through which other prefixes are read."""
    assert refusals(tmp_path, {"a.py": code})


def test_a_file_is_changed_wholly_or_not_at_all(tmp_path: Path) -> None:
    """The load could be changed and the presence check not: nothing is, and each place says why."""
    code = 'read("gs://data-bucket-dev/QPI_exports/")\nh.list(bucket, prefix="QPI_exports/")\n'
    first, second = refusals(tmp_path, {"a.py": code})
    assert "no bucket was found" in first or "could not be read" in first
    assert "wholly or not at all, and line 2 of a.py stays" in second


def test_a_shell_variable_that_serves_others_is_refused(tmp_path: Path) -> None:
    """The bucket's variable is read for another prefix in the same script."""
    code = 'B=data-bucket-dev\ngsutil ls "gs://$B/QPI_exports/"\ngsutil ls "gs://$B/events/"\n'
    assert "a.sh:3" in refusals(tmp_path, {"a.sh": code})[0]


def test_a_key_of_yaml_that_serves_others_is_refused(tmp_path: Path) -> None:
    """Two prefixes under one bucket: moving the bucket would move both."""
    code = "bucket: data-bucket-dev\nqpi_prefix: QPI_exports/\nevents_prefix: events/\n"
    assert len(refusals(tmp_path, {"a.yaml": code})) == 1


def test_one_edit_changes_every_use_of_a_constant(tmp_path: Path) -> None:
    """Three uses in two files, all of this prefix: the constants are edited once each."""
    tree = {
        "config.py": 'BUCKET = "data-bucket-dev"\nPREFIX = "QPI_exports/"\n',
        "a.py": 'from config import BUCKET, PREFIX\nh.list(BUCKET, prefix=PREFIX)\nh.exists(BUCKET, PREFIX + "x")\n',
        "b.py": "import config\nh.list(config.BUCKET, prefix=config.PREFIX)\n",
    }
    write_tree(tmp_path, tree)
    assert apply_changes(tmp_path) == (3, [])
    assert (tmp_path / "config.py").read_text() == (
        'BUCKET = "de-bigquery-data-export-dev"\nPREFIX = "qpi_exports/"\n'
    )
    assert (tmp_path / "a.py").read_text() == tree["a.py"]


def test_a_link_out_of_the_tree_is_not_written_through(tmp_path: Path) -> None:
    """What a link points at belongs to somebody else: it is not read, and a patch does not name it."""
    outside = write_tree(tmp_path / "outside", {"config.py": 'B = "data-bucket-dev"\n'})
    root = write_tree(
        tmp_path / "tree", {"a.py": 'from linked.config import B\nh.list(B, prefix="QPI_exports/")\n'}
    )
    (root / "linked").symlink_to(outside)
    changed, refused = apply_changes(root)
    assert (changed, (outside / "config.py").read_text()) == (0, 'B = "data-bucket-dev"\n')
    assert len(refused) == 1


AWKWARD = {
    "plain.py": OLD + "\n",
    "no end.py": "x = 1\n" + OLD,
    "crlf.py": "x = 1\r\n" + OLD + "\r\n",
    "größe.py": OLD + "\n",
    'quote".sh': "gsutil ls gs://data-bucket-dev/QPI_exports/\n",
    "deep/er/conf.yaml": "a: 1\n" * 50 + "uri: gs://data-bucket-dev/QPI_exports/\n" + "b: 2\n" * 50,
    "two.sql": dedent("""\
        LOAD DATA FROM FILES (uris = ['gs://data-bucket-dev/QPI_exports/a']);
        -- gs://data-bucket-dev/QPI_exports/
        LOAD DATA FROM FILES (uris = ['gs://de-bigquery-data-export-dev/QPI_exports/b']);
    """),
}


def test_git_takes_the_patch_of_awkward_files(tmp_path: Path) -> None:
    """No newline at the end, CRLF, spaces, quotes and letters beyond ASCII in names: `git apply` gives the proposed contents."""
    fixed, patched = write_tree(tmp_path / "fixed", AWKWARD), write_tree(tmp_path / "patched", AWKWARD)
    subprocess.run(["git", "init", "-q"], cwd=patched, check=True, env=GIT)
    proposal = propose(scan([patched / "deep", *sorted(patched.glob("*.*"))], MIGRATIONS))
    (tmp_path / "x.patch").write_bytes(
        unified_diff(proposal.contents, checkout_of(proposal.contents, tmp_path))
    )
    assert {name: (patched / name).read_bytes() for name in AWKWARD} == {
        name: text.encode() for name, text in AWKWARD.items()
    }
    subprocess.run(["git", "apply", str(tmp_path / "x.patch")], cwd=patched, check=True, env=GIT)
    assert apply_changes(fixed) == (8, [])
    assert {name: (patched / name).read_bytes() for name in AWKWARD} == {
        name: (fixed / name).read_bytes() for name in AWKWARD
    }


def test_two_environments_in_one_place_are_edited_each(tmp_path: Path) -> None:
    """A dict of buckets for each environment: every one of them becomes its own new bucket."""
    code = (
        'B = {"dev": "data-bucket-dev", "prod": "data-bucket-prod"}\nh.list(B[env], prefix="QPI_exports/")\n'
    )
    write_tree(tmp_path, {"a.py": code})
    assert apply_changes(tmp_path) == (1, [])
    assert (tmp_path / "a.py").read_text() == (
        'B = {"dev": "de-bigquery-data-export-dev", "prod": "de-bigquery-data-export-prod"}\n'
        'h.list(B[env], prefix="qpi_exports/")\n'
    )


def test_nested_calls_without_end_are_left_to_a_person(tmp_path: Path) -> None:
    """Functions that call each other and lead on and on give no verdict, and no crash."""
    chain = "".join(f"def f{i}(p):\n    return f{i + 1}(p + 'x')\n\n" for i in range(30))
    write_tree(tmp_path, {"a.py": chain + 'h.list("data-bucket-dev", prefix=f0("QPI_exports/"))\n'})
    assert [finding.kind.value for finding in scan([tmp_path], MIGRATIONS).blocking] == ["unresolved"]
