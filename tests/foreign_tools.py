"""The real ``gcloud storage`` and ``rclone``, pointed at a local server; a test that wants an absent one is skipped."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from local_gcs.waiting import HANGS

Tool = Callable[..., str]


def gcloud_storage(url: str, folder: Path) -> Tool:
    """``gcloud storage`` with a configuration of its own in a folder; gives both its outputs."""
    binary = _found("gcloud")
    environment = gcloud_environment(url, folder)
    return lambda *arguments: _output([binary, "storage", *arguments], environment)


def gcloud_environment(url: str, folder: Path) -> dict[str, str]:
    """What points ``gcloud storage`` at a local server, with a configuration of its own in a folder."""
    _found("gcloud")
    return {
        **os.environ,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{url}/storage/v1/",
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_CONFIG": str(folder / "gcloud"),
        "CLOUDSDK_CORE_PROJECT": "test",
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_DISABLE_USAGE_REPORTING": "true",
        "CLOUDSDK_STORAGE_PROCESS_COUNT": "1",
    }


def rclone(url: str, folder: Path) -> Tool:
    """``rclone`` with the remote ``local:`` in a configuration of its own in a folder; gives both its outputs."""
    binary = _found("rclone")
    configuration = folder / "rclone.conf"
    configuration.write_text(
        f"[local]\ntype = google cloud storage\nanonymous = true\nendpoint = {url}/storage/v1/\n"
        "bucket_policy_only = true\nproject_number = 1\n"
    )
    flags = [f"--config={configuration}", "--gcs-no-check-bucket", "--fast-list", "--checksum"]
    return lambda *arguments: _output([binary, *flags, *arguments], dict(os.environ))


def _found(name: str) -> str:
    binary = shutil.which(name)
    if not binary:
        pytest.skip(f"{name} is not installed")
    return binary


def _output(command: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=HANGS, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr
