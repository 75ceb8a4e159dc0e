"""The commands of the document, and gcloud's own parser, asked without any network or account."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

from deploy.values import read_values
from shared.migration import Environment

__all__ = ["documented_commands", "mentioned_commands", "needs_gcloud", "not_understood"]

ROOT = Path(__file__).parent.parent.parent


def documented_commands() -> list[list[str]]:
    """The commands in the blocks of ``docs/deploy.md``, with the values of dev."""
    text = (ROOT / "docs" / "deploy.md").read_text()
    values = read_values(Environment.DEV, ROOT / "deploy")
    found = []
    for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            filled = (
                line.replace("$ENV", "dev")
                .replace("$PROJECT", values.project)
                .replace("$REGION", values.region)
                .replace("$TABLE", "project.warehouse.answers")
            )
            found.append(shlex.split(re.sub(r"\$\(.*\)", "abc", filled)))
    return found


def mentioned_commands() -> list[list[str]]:
    """The gcloud commands with flags within the prose of ``docs/deploy.md``, with a value in each place that a reader fills."""
    text = re.sub(r"```.*?```", "", (ROOT / "docs" / "deploy.md").read_text(), flags=re.DOTALL)
    filled = {
        "PROJECT": "data-platform-dev",
        "REGION": "europe-west1",
        "ENV": "dev",
        "BUCKET": "b",
        "ADDRESS": "a@example.com",
    }
    return [
        shlex.split(re.sub(rf"\b({'|'.join(filled)})\b", lambda found: filled[found[1]], command))
        for command in re.findall(r"`(gcloud [^`]* --[^`]*)`", text)
    ]


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
