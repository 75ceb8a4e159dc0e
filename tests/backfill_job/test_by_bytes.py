"""Objects without md5 whose crc32c are the same by construction: what equal checksums prove, and what only bytes prove."""

import json
from pathlib import Path
from typing import Any

import google_crc32c
import pytest
from testing_commands import Commands, run_command
from testing_deletion import Scene, day
from testing_paths import Paths

from backfill_job.dry_run.estimate import PRICES, estimate_by_bytes
from backfill_job.dry_run.inventory import Count
from shared.objects import Metadata, ObjectState, proves
from shared.phase import Phase

LARGE = b"0123456789abcdef" * 70_000
"""More than one request reads."""

READ = "storage.objects.get"
COPY = "storage.objects.rewrite"


def twin(data: bytes, at: int = 0) -> bytes:
    """Other bytes of the same length and crc32c: crc32c is linear, and the difference is its generator polynomial."""
    bits = f"{0x11EDC6F41:b}".ljust(40, "0")
    difference = bytes(int(bits[first : first + 8][::-1], 2) for first in range(0, 40, 8))
    changed = bytes(one ^ other for one, other in zip(data[at : at + 5], difference, strict=True))
    return data[:at] + changed + data[at + 5 :]


OLD = b'{"user_id":"7","answers":[]}\n'
NEW = twin(OLD, 12)


def composed(paths: Paths, name: str, data: bytes, side: str = "source") -> None:
    """Put an object that has no md5."""
    bucket = paths.bucket(side)
    prefix = getattr(paths.migration, side).prefix
    part = bucket.blob("part")
    part.upload_from_string(data, content_type="application/json")
    whole = bucket.blob(prefix + name)
    whole.content_type = "application/json"
    whole.compose([part])
    part.delete()


def same_and_colliding(paths: Paths) -> None:
    """One name whose newer legacy version only looks equal, and two that are equal; every copy is older than its source."""
    for name, data in ((day(1), OLD), (day(2), OLD), ("large", LARGE)):
        composed(paths, name, data, "destination")
    for name, data in ((day(1), NEW), (day(2), OLD), ("large", LARGE)):
        composed(paths, name, data)


def report_in(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_bytes())
    return content


def proofs(paths: Paths) -> list[str]:
    prefix = paths.migration.own_ref("proofs", "").name
    return [blob.name for blob in paths.bucket("destination").list_blobs(prefix=prefix)]


def test_two_texts_have_one_crc32c() -> None:
    """Else none of these tests could fail."""
    for data, other in ((OLD, NEW), (LARGE, twin(LARGE, len(LARGE) - 5))):
        assert (data != other, len(data)) == (True, len(other))
        assert google_crc32c.value(data) == google_crc32c.value(other)


@pytest.mark.parametrize(
    ("ours", "theirs", "size", "created", "proven"),
    [
        ("md5", "md5", 9, "2024-01-01T00:00:00.000Z", True),
        (None, "md5", 9, "2024-01-01T00:00:00.000Z", False),
        ("md5", None, 9, "2024-01-01T00:00:00.000Z", False),
        (None, None, 9, "2024-01-02T00:00:00.000Z", False),
        (None, None, 9, "2024-01-02T00:00:00.001Z", True),
        (None, None, 9, "", False),
        (None, None, 0, "2024-01-01T00:00:00.000Z", True),
    ],
)
def test_what_equal_checksums_prove(
    ours: str | None, theirs: str | None, size: int, created: str, proven: bool
) -> None:
    """Both md5, or a copy that was made after its source, or nothing to differ in."""
    at = "2024-01-02T00:00:00.000Z"
    source = ObjectState("a", 1, 1, size, "crc", ours, at, at, Metadata())
    assert proves(source, source._replace(md5=theirs, created=created)) is proven


def test_before_the_cutover_such_a_copy_is_made_again(
    paths: Paths, commands: Commands, tmp_path: Path
) -> None:
    """The verification says what it does not know, the dry run what it would do, and the copy settles it without reading."""
    same_and_colliding(paths)
    ended = commands.run("verify", "--contents", "all")
    assert ended.code == 1
    assert "3 content differs" in ended.out
    assert "(crc32c alone, and older than the source)" in ended.out
    planned = commands.run("migrate", "--report", str(tmp_path / "r"))
    assert "Equal by crc32c alone, without md5, and older at the destination: 3 objects" in planned.out
    plan = report_in(tmp_path / "r", "plan.json")
    assert plan["findings"]["steps"]["overwrite"]["objects"] == 3
    assert plan["by_bytes"]["requests"] == 2 * 4
    paths.server.reset_stats()
    ended = commands.run("migrate", "--execute", "--yes", "--ungoverned")
    assert ended.code == 0, ended.out
    assert "3 copied" in ended.out
    assert "both sides are equal (3 of them by size and crc32c alone)" in ended.out
    assert paths.read(day(1)) == NEW
    assert proofs(paths) == []
    verified = commands.run("verify", "--report", str(tmp_path / "v"))
    assert verified.code == 0
    assert "(3 of them by size and crc32c alone)" in report_in(tmp_path / "v", "verification.json")["summary"]
    assert "by size and crc32c alone" in (tmp_path / "v" / "report.html").read_text(encoding="utf-8")
    assert report_in(tmp_path / "v", "certificate.json")["run"]["crc32c_alone"] == 3
    newest = commands.state.newest_comparison
    assert newest is not None
    assert (newest.equal, newest.crc_alone) == (True, 3)


def test_after_the_cutover_bytes_are_compared_once_and_nothing_is_copied(
    paths: Paths, commands: Commands
) -> None:
    """The equal pairs are on record, so only the others are read again."""
    same_and_colliding(paths)
    commands.go(Phase.CUT_OVER)
    paths.server.reset_stats()
    unrecorded = commands.run("verify", "--no-record")
    assert (unrecorded.code, proofs(paths)) == (1, [])
    paths.server.reset_stats()
    ended = commands.run("verify")
    assert ended.code == 1
    assert "3 names compared; NOT EQUAL: 1 content differs" in ended.out
    assert f"content differs '{day(1)}' (bytes)" in ended.out
    assert len(proofs(paths)) == 1
    assert paths.requests(COPY) == 0
    first = paths.requests(READ)
    assert commands.run("verify").code == 1
    again = paths.requests(READ) - first
    assert first - again == 2 + 4  # a small object, and one of two pieces, on both sides
    composed(paths, day(1), OLD)  # its writer writes the old contents again
    paths.server.reset_stats()
    ended = commands.run("verify")
    assert ended.code == 0
    assert "3 names compared: both sides are equal" in ended.out
    assert "crc32c alone" not in ended.out  # each was compared by its bytes
    assert len(proofs(paths)) == 2


def test_a_difference_in_the_last_piece_of_a_large_object_is_found(paths: Paths, commands: Commands) -> None:
    """Every piece is compared, not the first one alone."""
    composed(paths, "large", LARGE, "destination")
    composed(paths, "large", twin(LARGE, len(LARGE) - 5))
    commands.go(Phase.CUT_OVER)
    ended = commands.run("verify")
    assert (ended.code, proofs(paths)) == (1, [])
    assert "content differs 'large' (bytes)" in ended.out


def test_a_record_of_proofs_that_is_damaged_or_foreign_is_refused(paths: Paths, commands: Commands) -> None:
    """A proof counts as it was written, or not at all."""
    same_and_colliding(paths)
    commands.go(Phase.CUT_OVER)
    commands.run("verify")
    (name,) = proofs(paths)
    blob = paths.bucket("destination").blob(name)
    right = blob.download_as_bytes()
    for wrong, why in (
        (right[:-9], "its pairs are then compared again"),
        (right.replace(b'"legacy":"gs://', b'"legacy":"gs://another-'), "remove it"),
        (right.replace(b"proofs/1", b"proofs/2"), "its pairs are then compared again"),
    ):
        blob.upload_from_string(wrong)
        ended = commands.run("verify")
        assert ended.code != 0
        assert why in ended.err
    blob.delete()
    assert "(bytes)" in commands.run("verify").out


def test_a_deletion_keeps_the_newest_version_of_what_only_looks_equal(scene: Scene) -> None:
    """The newest version was written on the legacy path; the new path has a colliding older one."""
    same_and_colliding(scene.paths)
    scene.cut_over(days_ago=0)
    dry = scene.run()
    assert "2 equal; NOT EQUAL: 1 content differs" in dry.out
    assert proofs(scene.paths) == []  # a dry run changes nothing
    refused = scene.delete(2)
    assert refused.code == 2
    assert scene.paths.read(day(1), side="source") == NEW
    scene.paths.delete(day(1))
    scene.paths.server.reset_stats()
    assert scene.delete(2).code == 0
    assert scene.legacy() == {}
    assert len(proofs(scene.paths)) == 1


def test_a_certificate_is_not_confirmed_by_checksums_alone(
    paths: Paths, commands: Commands, tmp_path: Path
) -> None:
    """The data of the certificate are the same, and the bytes are not."""
    for side in ("destination", "source"):
        composed(paths, day(1), OLD, side)
    commands.go(Phase.CUT_OVER)
    assert commands.run("verify", "--report", str(tmp_path / "r")).code == 0

    def check() -> tuple[int, str]:
        certificate = str(tmp_path / "r" / "certificate.json")
        ended = run_command("certify", "--check", certificate, "--log-dir", str(tmp_path / "logs"))
        return ended.code, ended.out

    assert check()[0] == 0
    composed(paths, day(1), NEW)
    code, said = check()
    assert code == 1
    assert "NOT proven: the checksums of 1 name are equal" in said


def test_a_pass_brings_the_later_write_over_and_keeps_what_it_replaces(
    paths: Paths, commands: Commands
) -> None:
    """On the way back the new path's version is the newer one; equal bytes are left alone."""
    for name in (day(1), day(2)):
        composed(paths, name, OLD)
    commands.go(Phase.CUT_OVER)
    composed(paths, day(1), NEW, "destination")
    composed(paths, day(2), OLD, "destination")
    paths.server.reset_stats()
    ended = commands.run("rollback", "--refresh", "--ungoverned")
    assert ended.code == 0, ended.out
    assert "2 objects looked at, 1 brought over" in ended.out
    assert paths.read(day(1), side="source") == NEW
    assert paths.requests(COPY) == 2  # the copy, and what it replaced
    kept = paths.migration.own_ref("replaced", "").name
    assert [blob.download_as_bytes() for blob in paths.bucket("destination").list_blobs(prefix=kept)] == [OLD]
    # The way forward has the same pair on record.
    (name,) = proofs(paths)
    (pair,) = json.loads(paths.bucket("destination").blob(name).download_as_bytes())["pairs"]
    legacy, new = paths.look(day(2), side="source"), paths.look(day(2))
    assert legacy is not None
    assert new is not None
    assert pair == [day(2), str(legacy.generation), str(new.generation)]


def test_the_estimate_of_comparing_by_bytes() -> None:
    """Two requests for each small object, at the price of Class B operations."""
    cost = estimate_by_bytes(Count(50_000, 50_000 * 700))
    assert cost.requests == 2 * (50_000 + 33)
    assert cost.dollars == pytest.approx(PRICES["class_b"].of(cost.requests)[0])
