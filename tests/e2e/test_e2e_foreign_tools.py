"""What others say of our result: the tools that users would compare the two paths with."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import foreign_tools
import pytest

import local_gcs
from backfill_job import migrate_qpi_exports
from demo.data import generate
from demo.writer import upload_all
from shared.migration import Environment, qpi_exports

pytestmark = pytest.mark.foreign

MIGRATION = qpi_exports(Environment.DEV)
SOURCE, DESTINATION = MIGRATION.source, MIGRATION.destination


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server on which an execution has just ended."""
    with (
        local_gcs.running(buckets=[SOURCE.bucket, DESTINATION.bucket]) as server,
        pytest.MonkeyPatch.context() as patch,
    ):
        upload_all(server.url, SOURCE, generate(400, until=date(2026, 11, 22)))
        patch.setenv("STORAGE_EMULATOR_HOST", server.url)
        folder = str(tmp_path_factory.mktemp("logs"))
        assert (
            migrate_qpi_exports.COMMAND.main(["--env", "dev", "--execute", "--yes", "--log-dir", folder]) == 0
        )
        yield server.url


def test_gcloud_storage_rsync_would_copy_nothing(url: str, tmp_path: Path) -> None:
    """``gcloud storage rsync --dry-run`` between the two paths has nothing to do but what was excluded."""
    said = foreign_tools.gcloud_storage(url, tmp_path)(
        "rsync",
        "--dry-run",
        "--recursive",
        "--checksums-only",
        r"--exclude=.*\.DS_Store$",
        # Without the final slash: with it, gcloud finds the prefix's own placeholder object, too, and refuses.
        SOURCE.uri.rstrip("/"),
        DESTINATION.uri.rstrip("/"),
    )
    assert "Would copy" not in said, said


def test_rclone_check_finds_no_difference(url: str, tmp_path: Path) -> None:
    """``rclone check`` between the two paths, by checksum."""
    said = foreign_tools.rclone(url, tmp_path)(
        "check",
        "--exclude",
        ".DS_Store",
        f"local:{SOURCE.bucket}/{SOURCE.prefix}",
        f"local:{DESTINATION.bucket}/{DESTINATION.prefix}",
    )
    assert "0 differences found" in said, said
