"""gcloud's own parser, asked without any network or account."""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

__all__ = ["needs_gcloud", "not_understood"]

needs_gcloud = pytest.mark.skipif(
    not shutil.which("gcloud"), reason="gcloud is not installed; its own parser and loader read the files"
)


def not_understood(commands: Iterable[Sequence[str]], folder: Path) -> list[tuple[str, str]]:
    """The commands that gcloud does not take, each with gcloud's words."""
    texts = [shlex.join(words) for words in commands]
    file = folder / "commands.json"
    file.write_text(json.dumps([{"command_string": text} for text in texts]))
    done = subprocess.run(
        ["gcloud", "meta", "lint-gcloud-commands", f"--commands-file={file}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "CLOUDSDK_CONFIG": str(folder)},
    )
    results = json.loads(done.stdout)
    assert len(results) == len(texts)
    return [(one["command_string"], one["error_message"]) for one in results if not one["success"]]
