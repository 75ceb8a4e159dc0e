"""Every form in which code names a bucket and a prefix, from the table beside this file."""

import re
from pathlib import Path

import pytest
from testing_references import MIGRATIONS, write_tree

from backfill_job.references.scan import scan

TABLE = Path(__file__).with_name("references_forms.txt")


def rows() -> list[tuple[str, str, str, list[str]]]:
    """Each form's name, its file, its code, and what is to be found: ``CLASS BUCKET/PREFIX line N``."""
    found = []
    for block in TABLE.read_text().split("\n## ")[1:]:
        title, *lines = block.rstrip().splitlines()
        name, _, file = title.partition(" | ")
        code = [line for line in lines if not line.startswith("=> ")]
        expected = [line[3:] for line in lines if line.startswith("=> ")]
        found.append((name, file or "code.py", "\n".join(code) + "\n", expected))
    return found


DOCUMENT = Path(__file__).parents[2] / "docs" / "references.md"
ROW = re.compile(r"\| (?P<form>[^|]+) \| (?P<file>[\w.]+) \| `(?P<code>.+)` \| (?P<verdict>[^|]+) \|")


@pytest.mark.parametrize(
    "row", [pytest.param(row, id=row["form"]) for row in ROW.finditer(DOCUMENT.read_text())]
)
def test_the_document_s_table_is_what_the_scan_says(row: re.Match[str], tmp_path: Path) -> None:
    """Every form that is not Python, with its verdict."""
    result = scan([write_tree(tmp_path, {row["file"]: row["code"].replace("⏎", "\n") + "\n"})], MIGRATIONS)
    found = [(finding.kind.value, finding.place.value) for finding in result.findings]
    said = [kind if place == "code" else f"{kind} ({place})" for kind, place in dict.fromkeys(found)]
    assert said == [row["verdict"]]


@pytest.mark.parametrize(("file", "code", "expected"), [pytest.param(*row[1:], id=row[0]) for row in rows()])
def test_every_form_is_resolved_or_left_to_a_person(
    file: str, code: str, expected: list[str], tmp_path: Path
) -> None:
    """Whatever form bucket and prefix are written in, they are paired, or unresolved; never nothing, never clean."""
    result = scan([write_tree(tmp_path, {file: code})], MIGRATIONS)
    found = []
    for finding in result.findings:
        place = "" if finding.place.value == "code" else f"/{finding.place.value}"
        path = f"{'|'.join(finding.buckets) or '?'}/{'|'.join(finding.prefixes)}"
        found.append(f"{finding.kind.value}{place} {path} line {finding.line}")
    assert expected == found


@pytest.mark.parametrize(
    ("job", "blocks"),
    [("gsutil ls gs://lake/x/\n", False), ('. ./lib.sh\ngsutil ls "gs://lake/$P/"\n', True)],
)
def test_a_shell_s_variable_is_open_where_another_file_may_read_it(
    job: str, blocks: bool, tmp_path: Path
) -> None:
    """Its own file resolves every use; a file that names this one may use it with any bucket."""
    lib = 'B=de-bigquery-data-export-dev\nP=qpi_exports\ngsutil ls "gs://$B/$P/"\n'
    result = scan([write_tree(tmp_path, {"lib.sh": lib, "job.sh": job})], MIGRATIONS)
    assert [one.kind.value for one in result.blocking] == (["unresolved"] if blocks else [])
