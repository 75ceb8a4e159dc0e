"""The reference scanner on a realistic repository: before, half-way wrong, after."""

import os
import subprocess
from pathlib import Path

from testing_references import (
    IMPORT_QPI,
    MIGRATIONS,
    SETTINGS,
    SQL,
    TREE,
    apply_changes,
    classes,
    printed,
    write_tree,
)

from backfill_job.references.patch import checkout_of, propose, unified_diff
from backfill_job.references.scan import scan

SWITCHED = IMPORT_QPI.replace("DATA_BUCKET", "EXPORT_BUCKET")
"""What went wrong the last time: the new bucket's constant, the old prefix's case."""

MIGRATED = SWITCHED.replace("QPI_exports/qpi_", "qpi_exports/qpi_").replace("QPI_exports/{", "qpi_exports/{")

GIT = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, env=GIT)


def test_before_every_reference_is_found_and_nothing_else(tmp_path: Path) -> None:
    """Bucket by import and prefix as a literal, a job's own constants, SQL, YAML and shell; no sibling is a finding."""
    dag = "orchestration/dags/jobs/import/import_qpi.py"
    uris = "FROM FILES (format = 'JSON', uris = ['gs://data-bucket-{{ params.env }}/QPI_exports/*.jsonl']);"
    assert printed(write_tree(tmp_path, TREE)) == [
        'bin/look.sh:4 legacy gcloud storage ls "gs://${BUCKET}/QPI_exports/" -> data-bucket-{…}/QPI_exports/',
        "config/jobs.yaml:4 legacy prefix: QPI_exports/  # trailing slash matters -> data-bucket-prod/QPI_exports/",
        'jobs/count_answers.py:17 legacy f"{PREFIX}/qpi_answers_20240101/" -> data-bucket-{…}/QPI_exports/',
        f'{dag}:16 legacy f"QPI_exports/qpi_answers_{{ds_nodash}}/" -> data-bucket-{{…}}/QPI_exports/',
        f'{dag}:21 other "check_qpi_exports" -> ',
        f'{dag}:25 legacy f"QPI_exports/{{ANSWERS}}/*.jsonl" -> data-bucket-{{…}}/QPI_exports/',
        "sql/load.sql:2 other LOAD DATA INTO raw.qpi_exports -> ",
        f"sql/load.sql:3 legacy {uris} -> data-bucket-{{…}}/QPI_exports/",
    ]


def test_documentation_and_comments_are_told_apart_and_do_not_block(tmp_path: Path) -> None:
    """A docstring, a comment in Python and in SQL, and a Markdown file name the old path without blocking."""
    found = scan([write_tree(tmp_path, TREE)], MIGRATIONS).findings
    apart = [finding for finding in found if finding.place.value != "code"]
    assert [(finding.path.name, finding.line, finding.place.value, finding.blocks) for finding in apart] == [
        ("qpi.md", 1, "documentation", False),
        ("import_qpi.py", 1, "documentation", False),
        ("import_qpi.py", 11, "comment", False),
        ("load.sql", 1, "comment", False),
    ]


def test_half_way_wrong_is_mixed(tmp_path: Path) -> None:
    """New bucket with the old prefix's case: the nine silent days are two blocking findings."""
    tree = {
        "orchestration/dags/config/settings.py": SETTINGS,
        "orchestration/dags/jobs/import/import_qpi.py": SWITCHED,
    }
    found = scan([write_tree(tmp_path, tree)], MIGRATIONS)
    blocking = [(finding.line, finding.kind.value, finding.buckets) for finding in found.blocking]
    assert blocking == [
        (16, "mixed", ("de-bigquery-data-export-{…}",)),
        (25, "mixed", ("de-bigquery-data-export-{…}",)),
    ]


def test_half_way_wrong_is_changed_where_the_prefix_is_written(tmp_path: Path) -> None:
    """Only the prefix is edited, and the DAG is then what a person would have written."""
    tree = {
        "orchestration/dags/config/settings.py": SETTINGS,
        "orchestration/dags/jobs/import/import_qpi.py": SWITCHED,
    }
    write_tree(tmp_path, tree)
    assert apply_changes(tmp_path) == (2, [])
    assert (tmp_path / "orchestration/dags/jobs/import/import_qpi.py").read_text() == MIGRATED
    assert (tmp_path / "orchestration/dags/config/settings.py").read_text() == SETTINGS


def test_after_is_clean(tmp_path: Path) -> None:
    """When everything reads the new path nothing blocks, though documents still name the old one."""
    new = {
        name: text.replace("data-bucket-prod", "de-bigquery-data-export-prod")
        .replace('"data-bucket-', '"de-bigquery-data-export-')
        .replace("gs://data-bucket-{", "gs://de-bigquery-data-export-{")
        .replace("QPI_exports", "qpi_exports")
        for name, text in TREE.items()
    }
    new["orchestration/dags/config/settings.py"] = SETTINGS
    new["orchestration/dags/jobs/import/import_qpi.py"] = MIGRATED
    result = scan([write_tree(tmp_path, new)], MIGRATIONS)
    assert (result.clean, result.blocking) == (True, ())
    assert result.counts[next(kind for kind in result.counts if kind.value == "migrated")] == 6


def test_what_can_be_changed_is_changed_exactly(tmp_path: Path) -> None:
    """The smallest edits: every other character stays as it was, comments and documents included."""
    root = write_tree(tmp_path, TREE)
    apply_changes(root)
    changed = {
        name: (root / name).read_text() for name, text in TREE.items() if (root / name).read_text() != text
    }
    assert changed == {
        # DATA_BUCKET also serves the events, and stays.
        "orchestration/dags/jobs/import/import_qpi.py": MIGRATED.replace(
            "settings import EXPORT_BUCKET", "settings import DATA_BUCKET, EXPORT_BUCKET"
        ),
        "jobs/count_answers.py": TREE["jobs/count_answers.py"]
        .replace('"data-bucket-"', '"de-bigquery-data-export-"')
        .replace('"QPI_exports"', '"qpi_exports"'),
        "sql/load.sql": SQL.replace(
            "data-bucket-{{ params.env }}/QPI", "de-bigquery-data-export-{{ params.env }}/qpi"
        ),
        "config/jobs.yaml": TREE["config/jobs.yaml"]
        .replace("bucket: data-bucket-prod", "bucket: de-bigquery-data-export-prod")
        .replace("QPI_exports/", "qpi_exports/"),
        "bin/look.sh": TREE["bin/look.sh"]
        .replace("data-bucket-$ENV", "de-bigquery-data-export-$ENV")
        .replace("QPI_exports", "qpi_exports"),
    }


def test_a_constant_that_serves_nothing_else_is_edited_where_it_is_written(tmp_path: Path) -> None:
    """Without the other DAG, and without a constant of the new bucket, the config module is edited once, for both uses."""
    tree = {name: text for name, text in TREE.items() if "events" not in name}
    settings = "orchestration/dags/config/settings.py"
    old = "".join(line for line in SETTINGS.splitlines(keepends=True) if "EXPORT" not in line)
    root = write_tree(tmp_path, tree | {settings: old})
    assert apply_changes(tmp_path) == (6, [])
    assert (root / settings).read_text() == old.replace(
        'f"data-bucket-{ENV}"', 'f"de-bigquery-data-export-{ENV}"'
    )
    assert scan([root], MIGRATIONS).clean


def test_changing_twice_changes_nothing_more(tmp_path: Path) -> None:
    """What was changed is not changed again."""
    root = write_tree(tmp_path, TREE)
    apply_changes(root)
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert apply_changes(root)[0] == 0
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_the_patch_makes_the_same_edits(tmp_path: Path) -> None:
    """`git apply` of the patch gives byte for byte what the fix writes."""
    fixed, patched = write_tree(tmp_path / "fixed", TREE), write_tree(tmp_path / "patched", TREE)
    git(patched, "init", "-q")
    proposal = propose(scan([patched], MIGRATIONS))
    top = checkout_of(proposal.contents, Path())
    (tmp_path / "x.patch").write_bytes(unified_diff(proposal.contents, top))
    assert classes(patched).count("legacy") == 6, "the patch itself changes nothing"
    git(patched, "apply", "--check", str(tmp_path / "x.patch"))
    git(patched, "apply", str(tmp_path / "x.patch"))
    apply_changes(fixed)
    assert {name: (patched / name).read_bytes() for name in TREE} == {
        name: (fixed / name).read_bytes() for name in TREE
    }
