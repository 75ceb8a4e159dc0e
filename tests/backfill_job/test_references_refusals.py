"""What the analyser refuses to resolve, and what a patch refuses to change: each case exactly, with its reason."""

import re
from pathlib import Path

import pytest
from testing_references import MIGRATIONS, write_tree

from backfill_job.references.patch import propose
from backfill_job.references.scan import scan
from shared.migration import Location, Migration

TABLE = Path(__file__).with_name("references_refusals.txt")


def rows() -> list[tuple[str, dict[str, str], list[str]]]:
    """Each case's name, its files, and what is expected: a finding, a changed line, or a place left to a person."""
    found = []
    for block in TABLE.read_text().split("\n## ")[1:]:
        name, _, rest = block.partition("\n")
        lines = rest.rstrip().splitlines()
        code = "".join(f"{line}\n" for line in lines if not line.startswith("=> "))
        parts = re.split(r"(?m)^--- (.+)\n", code)
        tree = {"a.py": code} if len(parts) == 1 else dict(zip(parts[1::2], parts[2::2], strict=True))
        found.append((name, tree, [line[3:] for line in lines if line.startswith("=> ")]))
    return found


def outcome(root: Path) -> list[str]:
    """Every finding, every line that a patch changes, and every refusal of the patch."""
    result = scan([root], MIGRATIONS)
    proposal = propose(result, whole=False)
    lines = []
    for finding in result.findings:
        place = "" if finding.place.value == "code" else f"/{finding.place.value}"
        path = f"{'|'.join(finding.buckets) or '?'}/{'|'.join(finding.prefixes)}"
        note = f" ({finding.note})" if finding.note else ""
        lines.append(f"{finding.kind.value}{place} {path} {finding.path.name}:{finding.line}{note}")
    for changes in proposal.changes.values():
        for one in changes:
            written = " // ".join(one.after.strip().splitlines())
            lines.append(f"change {one.path.name}:{one.line} {written}")
    for finding, reason in proposal.refusals.items():
        said = reason.partition("; by hand")[0].replace(f"{root}/", "")
        lines.append(f"left {finding.path.name}:{finding.line} {said}")
    return lines


@pytest.mark.parametrize(("tree", "expected"), [pytest.param(*row[1:], id=row[0]) for row in rows()])
def test_every_refusal_is_exact(tree: dict[str, str], expected: list[str], tmp_path: Path) -> None:
    """A missing refusal shows as another class, another note, or a change that must not be proposed."""
    assert expected == outcome(write_tree(tmp_path, tree))


def refused(root: Path, code: str, source: str, destination: str) -> list[str]:
    """What a patch for another pair of locations leaves to a person."""
    migration = Migration(Location.parse(source), Location.parse(destination))
    proposal = propose(scan([write_tree(root, {"a.py": code})], [migration]))
    assert not proposal.changes
    return list(proposal.refusals.values())


PAIRS = {
    "the new bucket has no environment": (
        'h.list(f"lake-{env}", prefix="raw/")\n',
        ("gs://lake-dev/raw/", "gs://warehouse/clean/"),
        "its environment stands where the new bucket's name has none",
    ),
    "the new bucket has the environment twice": (
        'h.list(f"lake-{env}", prefix="raw/")\n',
        ("gs://lake-dev/raw/", "gs://dev-house-dev/clean/"),
        "its environment stands where the new bucket's name has none",
    ),
    "a prefix in two literals of another length": (
        'h.list("lake", prefix="raw_" "data/")\n',
        ("gs://lake/raw_data/", "gs://house/clean/"),
        "its name is written in several places",
    ),
    "one text for bucket and prefix": (
        'X = "lake"\nh.list(X, prefix=X)\n',
        ("gs://lake/lake/", "gs://pond/sea/"),
        "the same characters would have to become two things",
    ),
}


@pytest.mark.parametrize(
    ("code", "pair", "reason"), [pytest.param(*row, id=name) for name, row in PAIRS.items()]
)
def test_another_pair_is_refused_with_its_reason(
    code: str, pair: tuple[str, str], reason: str, tmp_path: Path
) -> None:
    """What the preset's names never meet: no place for the environment, other lengths, one text for two things."""
    assert [said.partition(";")[0] for said in refused(tmp_path, code, *pair)] == [reason]


def test_one_text_for_two_environments_that_differ_is_refused(tmp_path: Path) -> None:
    """Each migration would need another text at the same place."""
    migrations = [
        Migration(Location.parse(f"gs://lake-{env}/raw/"), Location.parse(f"gs://{new}/clean/"))
        for env, new in (("dev", "pond-dev"), ("prod", "sea-prod"))
    ]
    code = 'h.list(f"lake-{env}", prefix="raw/")\n'
    proposal = propose(scan([write_tree(tmp_path, {"a.py": code})], migrations))
    assert [said.partition(";")[0] for said in proposal.refusals.values()] == [
        "each environment would need another text here"
    ]


def test_a_part_of_a_longer_prefix_is_another_name_or_unresolved(tmp_path: Path) -> None:
    """Where the prefix has several folders, its longest one alone blocks, and a longer name of it does not."""
    migration = Migration(Location.parse("gs://lake/raw/clicks/"), Location.parse("gs://lake2/new/clicks/"))
    result = scan([write_tree(tmp_path, {"a.yaml": "a: clicks_old/\nb: clicks/\n"})], [migration])
    assert [(finding.line, finding.kind.value, finding.note) for finding in result.findings] == [
        (1, "other", "part of a longer name"),
        (2, "unresolved", "no bucket was found for it"),
    ]
