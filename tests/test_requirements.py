"""The locked requirements fit what pyproject.toml asks for, and the function's upload works with nothing else."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from testing_locks import LOCKS, ROOT, pins

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


@pytest.mark.parametrize(
    ("file", "extras"),
    [
        ("requirements.txt", ["mirror"]),
        ("requirements-job.txt", ["job", "bigquery"]),
        ("requirements-monitoring.txt", ["monitoring"]),
        (
            "requirements-dev.txt",
            ["job", "mirror", "local", "embedded", "bigquery", "completion", "monitoring", "dev"],
        ),
    ],
)
def test_every_direct_requirement_is_locked_at_a_version_that_fits(file: str, extras: list[str]) -> None:
    """``make lock`` was run after the last change in pyproject.toml."""
    locked = {pin["name"]: pin["version"] for pin in pins(file)}
    wanted = [
        Requirement(text)
        for text in [*PROJECT["dependencies"], *(text for name in extras for text in EXTRAS[name])]
    ]
    unfit = [str(one) for one in wanted if one.name not in locked or locked[one.name] not in one.specifier]
    assert unfit == []


@pytest.mark.parametrize("file", LOCKS)
def test_every_locked_version_has_its_hashes_and_names_no_index(file: str) -> None:
    """The same packages everywhere, from whatever index a machine is set up with."""
    text = (ROOT / file).read_text()
    assert "://" not in text
    entries = re.split(r"^(?=[a-z0-9-]+==)", text, flags=re.MULTILINE)[1:]
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_function_needs_only_what_is_uploaded_with_it(tmp_path: Path) -> None:
    """The root's main.py and requirements.txt, mirror_function and shared: staged elsewhere, and loaded from there."""
    for name in ("main.py", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("mirror_function", "shared"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import sys, functions_framework\n"
        f"functions_framework.create_app('mirror_object', {str(tmp_path / 'main.py')!r}, 'cloudevent')\n"
        "names = [name for name in sys.modules if name.partition('.')[0] in ('shared', 'mirror_function')]\n"
        "assert 'shared.gateway' in names, names\n"
        f"strangers = [name for name in names if not sys.modules[name].__file__.startswith({str(tmp_path)!r})]\n"
        "assert strangers == [], strangers\n"
        "foreign = {'backfill_job', 'local_gcs', 'demo', 'rich', 'aiohttp', 'uvloop'} & {*sys.modules}\n"
        "assert not foreign, foreign\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
