"""A lock installs as it stands, with the pip that the interpreter brings, whatever was published since.

Everything here is offline. Each lock is written anew over made-up wheels that carry the real names, versions and requirements
and hold no code. Beside each lies a newer release, as an index has one sooner or later.
"""

import hashlib
import re
import shutil
import subprocess
import sys
import zipfile
from base64 import urlsafe_b64encode
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from testing_locks import LOCKS, ROOT, pins

RESOLVED_BY_A_BUILDPACK = {"requirements.txt"}
"""The functions' buildpack runs a plain ``pip install --require-hashes``. A pip before 23.3 takes no lock that pins ``name[extra]`` so."""
PLACES_THAT_INSTALL = ("Makefile", "Dockerfile", "cloudbuild.yaml", ".ci/run")


def wanted_by(name: str) -> list[str]:
    """The requirements of an installed distribution; of one that this platform's environment lacks, none."""
    try:
        return requires(name) or []
    except PackageNotFoundError:
        return []


def made_up_wheel(folder: Path, name: str, version: str, wanted: list[str]) -> str:
    """Write a wheel without code; returns its SHA-256."""
    stem = f"{name.replace('-', '_')}-{version}"
    extras = {extra for text in wanted for extra in re.findall(r"extra == ['\"]([^'\"]+)", text)}
    head = [
        "Metadata-Version: 2.1",
        f"Name: {name}",
        f"Version: {version}",
        *(f"Provides-Extra: {extra}" for extra in sorted(extras)),
        *(f"Requires-Dist: {text}" for text in wanted),
    ]
    files = {
        f"{stem}.dist-info/METADATA": "\n".join(head) + "\n",
        f"{stem}.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = [
        f"{path},sha256={urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b'=').decode()},{len(text)}"
        for path, text in files.items()
    ]
    path = folder / f"{stem}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for inner, text in files.items():
            wheel.writestr(inner, text)
        wheel.writestr(f"{stem}.dist-info/RECORD", "\n".join([*record, f"{stem}.dist-info/RECORD,,"]) + "\n")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def index_of_tomorrow(lock: str, folder: Path) -> Path:
    """A folder with each pinned release and a newer one of each; returns the lock over the pinned ones' hashes."""
    lines = []
    for pin in pins(lock):
        name, version = pin["name"], pin["version"]
        if name == "pip":
            continue  # pip-audit asks for one; the one that is tried here stays
        wanted = wanted_by(name)
        digest = made_up_wheel(folder, name, version, wanted)
        made_up_wheel(folder, name, f"{version}.1" if "post" not in version else f"{version}9", wanted)
        lines.append(f"{name}{pin['extras'] or ''}=={version}{pin['marker'] or ''} --hash=sha256:{digest}")
    rewritten = folder / lock
    rewritten.write_text("\n".join(lines) + "\n")
    return rewritten


def pip(python: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the pip of an environment, without what this machine's settings say."""
    return subprocess.run(
        [python, "-I", "-m", "pip", "--isolated", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": "/dev/null"},
    )


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment, with nothing but the pip that the interpreter brings."""
    folder = tmp_path_factory.mktemp("fresh") / "env"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    return folder


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_installs_tomorrow_with_the_pip_that_the_interpreter_brings(
    lock: str, fresh: Path, tmp_path: Path
) -> None:
    """Without resolving, complete as it stands; the function's lock with resolving, too."""
    folder = tmp_path / "index"
    folder.mkdir()
    rewritten = index_of_tomorrow(lock, folder)
    shutil.copytree(fresh, tmp_path / "env", symlinks=True)
    python = tmp_path / "env" / "bin" / "python"
    offline = ("--no-index", "--find-links", str(folder), "--require-hashes", "--requirement", str(rewritten))

    if lock in RESOLVED_BY_A_BUILDPACK:
        resolved = pip(python, "install", "--dry-run", *offline)
        assert resolved.returncode == 0, resolved.stderr
    installed = pip(python, "install", "--no-deps", "--no-compile", *offline)
    assert installed.returncode == 0, installed.stderr
    checked = pip(python, "check")
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize("lock", LOCKS)
def test_a_pin_keeps_the_extras_that_others_ask_for(lock: str) -> None:
    """So that a newer pip resolves the lock to itself, and a reader sees why a package is there."""
    locked = {pin["name"]: set((pin["extras"] or "[]")[1:-1].split(",")) for pin in pins(lock)}
    asked = [Requirement(text) for name in locked for text in wanted_by(name) if "extra ==" not in text]
    lacking = [
        str(one)
        for one in asked
        if one.extras
        and one.name in locked
        and not one.extras <= locked[one.name]
        and (not one.marker or one.marker.evaluate())
    ]
    assert lacking == []


@pytest.mark.parametrize("place", PLACES_THAT_INSTALL)
def test_every_install_is_of_a_lock_and_resolves_nothing(place: str) -> None:
    """``pip install`` only with ``--no-deps``, of hashes or of this project itself; what is installed is then checked."""
    text = re.sub(r"\\\n\s*", " ", (ROOT / place).read_text())
    installs = [
        line
        for line in text.splitlines()
        if re.search(r"\bpip install\b", line)
        and not line.startswith("#")
        # `make foreign` has an environment of its own, which is no part of the product or of `make test`.
        and ".foreign/" not in line
    ]
    for line in installs:
        assert "--no-deps" in line, line
        assert "--require-hashes" in line or "--editable ." in line, line
    assert not installs or re.search(r"\bpip check\b", text)
