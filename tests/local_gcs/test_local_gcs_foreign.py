"""Clients that others wrote, against the server: ``make foreign`` installs them; a test without its client is skipped."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import foreign_tools
import pytest
from local_gcs_lab import Http

import local_gcs
from local_gcs.waiting import HANGS

pytestmark = pytest.mark.foreign

ROOT = Path(__file__).parents[2]
SCRIPTS = Path(__file__).with_name("foreign")
FOREIGN = ROOT / ".foreign"
PYTHON = FOREIGN / "bin" / "python"

Run = Callable[[list[str]], None]


@pytest.fixture
def run(server: local_gcs.LocalServer, bucket: str) -> Run:
    """Run a client's script, which fails if the server answers other than Google's service would."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    # gcsfs asks for the storage layout over gRPC unless this is off.
    environment |= {"GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false", "NODE_PATH": str(FOREIGN / "node_modules")}

    def call(command: list[str]) -> None:
        done = subprocess.run(
            [*command, server.url, bucket],
            env=environment,
            capture_output=True,
            text=True,
            timeout=HANGS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    return call


@pytest.mark.parametrize(
    ("script", "module"),
    [
        ("use_gcsfs.py", "gcsfs"),
        ("use_smart_open.py", "smart_open"),
        ("use_pyarrow.py", "pyarrow"),
        ("use_googleapiclient.py", "googleapiclient"),
    ],
)
def test_clients_in_python(run: Run, script: str, module: str) -> None:
    """gcsfs, smart_open, pyarrow (Google's C++ client) and googleapiclient, with 20 MB each."""
    if not PYTHON.exists():
        pytest.skip("make foreign has not been run")
    if subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode:
        pytest.skip(f"{module} cannot be installed here")
    run([str(PYTHON), str(SCRIPTS / script)])


def test_the_client_in_node(run: Run) -> None:
    """file.save() of 20 MB, which streams by default; copies, combinations, globs and conditions."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    if not (FOREIGN / "node_modules" / "@google-cloud" / "storage").exists():
        pytest.skip("make foreign has not been run, or npm cannot install @google-cloud/storage here")
    run(["node", str(SCRIPTS / "use_node.js")])


def test_rclone_with_20_mb(http: Http, bucket: str, server: local_gcs.LocalServer, tmp_path: Path) -> None:
    """Go's client uploads in several chunks, and cannot take 308."""
    rclone = foreign_tools.rclone(server.url, tmp_path)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "large.bin").write_bytes(os.urandom(20_000_000))
    rclone("copy", str(folder), f"local:{bucket}/files")
    assert http.object("GET", bucket, "files/large.bin").json()["size"] == "20000000"
    rclone("check", "--download", str(folder), f"local:{bucket}/files")


def test_gcloud_storage(http: Http, bucket: str, server: local_gcs.LocalServer, tmp_path: Path) -> None:
    """Parallel composite uploads, objects compose, update and describe, restore, mv, rsync and rm."""
    gcloud = foreign_tools.gcloud_storage(server.url, tmp_path)
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "large.bin").write_bytes(os.urandom(20_000_000))
    (folder / "a.txt").write_text("a")
    root = f"gs://{bucket}"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_ENABLED", "True")
        patch.setenv("CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_THRESHOLD", "5M")
        patch.setenv("CLOUDSDK_STORAGE_PARALLEL_COMPOSITE_UPLOAD_COMPONENT_SIZE", "10M")
        foreign_tools.gcloud_storage(server.url, tmp_path)("cp", "--recursive", str(folder), f"{root}/")
    large = http.object("GET", bucket, "files/large.bin").json()
    assert (large["size"], large["componentCount"]) == ("20000000", 2)
    assert [item["name"] for item in http.list(bucket)["items"]] == ["files/a.txt", "files/large.bin"]
    gcloud("cp", f"{root}/files/large.bin", str(tmp_path / "back.bin"))
    assert (tmp_path / "back.bin").read_bytes() == (folder / "large.bin").read_bytes()
    gcloud("objects", "compose", f"{root}/files/a.txt", f"{root}/files/a.txt", f"{root}/aa.txt")
    assert http.object("GET", bucket, "aa.txt", alt="media").content == b"aa"
    gcloud("objects", "update", f"{root}/aa.txt", "--content-type=text/x", "--custom-metadata=key=value")
    gcloud("objects", "update", f"{root}/aa.txt", "--storage-class=NEARLINE")
    described = json.loads(
        foreign_tools.gcloud_storage(server.url, tmp_path)(
            "objects", "describe", f"{root}/aa.txt", "--format=json"
        )
    )
    assert (described["content_type"], described["custom_fields"]) == ("text/x", {"key": "value"})
    assert described["storage_class"] == "NEARLINE"
    gcloud("mv", f"{root}/aa.txt", f"{root}/moved.txt")
    gcloud("rsync", "--recursive", f"{root}/files", f"{root}/synced")
    generation = http.object("GET", bucket, "moved.txt").json()["generation"]
    gcloud("rm", f"{root}/moved.txt")
    gcloud("restore", f"{root}/moved.txt#{generation}")
    assert http.object("GET", bucket, "moved.txt", alt="media").content == b"aa"
    gcloud("rm", "--recursive", f"{root}/files", f"{root}/synced", f"{root}/moved.txt")
    assert "items" not in http.list(bucket)
