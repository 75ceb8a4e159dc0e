"""Every form in which code names a bucket and a prefix, from the table beside this file."""

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
