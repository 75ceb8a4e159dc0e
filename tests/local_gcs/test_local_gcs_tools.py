"""The real ``gcloud storage`` and ``rclone`` against the server."""

import os
from pathlib import Path

import foreign_tools
import pytest
from foreign_tools import Tool
from local_gcs_lab import Http

import local_gcs

pytestmark = pytest.mark.foreign

NAMES = ["a.txt", "sub/b c#é%2F.txt", "sub/deep/c.txt", "sub/empty"]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A few small files and one large enough for a resumable upload."""
    root = tmp_path / "files"
    for name in NAMES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("" if name.endswith("empty") else name)
    (root / "large.bin").write_bytes(os.urandom(9_000_000))
    return root


@pytest.fixture
def gcloud(server: local_gcs.LocalServer, tmp_path: Path) -> Tool:
    return foreign_tools.gcloud_storage(server.url, tmp_path)


@pytest.fixture
def rclone(server: local_gcs.LocalServer, tmp_path: Path) -> Tool:
    return foreign_tools.rclone(server.url, tmp_path)


def names(http: Http, bucket: str) -> list[str]:
    return [item["name"] for item in http.list(bucket).get("items", [])]


def test_gcloud(http: Http, bucket: str, other: str, gcloud: Tool, files: Path) -> None:
    """gcloud storage cp, ls, rsync, cp back, mv and rm do what they do on Google's service."""
    gcloud("cp", "--recursive", str(files), f"gs://{bucket}/")
    expected = sorted(f"files/{name}" for name in [*NAMES, "large.bin"])
    assert names(http, bucket) == expected
    listed = gcloud("ls", "--recursive", f"gs://{bucket}/files/sub/").split("\n")
    assert f"gs://{bucket}/files/sub/deep/c.txt" in listed
    gcloud("rsync", "--recursive", f"gs://{bucket}/files", f"gs://{other}/copy")
    assert names(http, other) == [name.replace("files/", "copy/", 1) for name in expected]
    copies = http.count("storage.objects.rewrite")
    gcloud("rsync", "--recursive", f"gs://{bucket}/files", f"gs://{other}/copy")
    assert (copies, http.count("storage.objects.rewrite")) == (5, 5)
    gcloud("cp", f"gs://{other}/copy/large.bin", str(files / "back.bin"))
    assert (files / "back.bin").read_bytes() == (files / "large.bin").read_bytes()
    gcloud("mv", f"gs://{other}/copy/a.txt", f"gs://{other}/moved.txt")
    assert ("moved.txt" in names(http, other), "copy/a.txt" in names(http, other)) == (True, False)
    gcloud("rm", "--recursive", f"gs://{other}/copy")
    assert names(http, other) == ["moved.txt"]


def test_rclone(http: Http, bucket: str, other: str, rclone: Tool, files: Path) -> None:
    """rclone copy, check, ls and delete do what they do on Google's service."""
    rclone("copy", str(files), f"local:{bucket}/files")
    assert names(http, bucket) == sorted(f"files/{name}" for name in [*NAMES, "large.bin"])
    rclone("check", "--download", str(files), f"local:{bucket}/files")
    rclone("copy", f"local:{bucket}/files", f"local:{other}/copy")
    rclone("check", f"local:{bucket}/files", f"local:{other}/copy")
    assert "  9000000 large.bin" in rclone("ls", f"local:{other}/copy")
    rclone("delete", f"local:{other}/copy")
    assert names(http, other) == []
