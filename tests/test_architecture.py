"""The project's walls, kept standing."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from testing_locks import pins

ROOT = Path(__file__).parent.parent
PACKAGES = ("shared", "backfill_job", "mirror_function", "local_gcs", "monitoring", "demo", "deploy")
MODULES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
PACKAGES_WITH_FOLDERS = sorted(path.parent for path in MODULES if path.name == "__init__.py")


def test_no_installed_distribution_provides_our_package_names() -> None:
    """An installed ``shared`` would win over the uploaded folder in the function's runtime."""
    providers = importlib.metadata.packages_distributions()
    foreign = [name for name in PACKAGES if set(providers.get(name, [])) - {"qpi-exports-migration"}]
    assert foreign == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_s_name_hides_nothing_of_the_standard_library(path: Path) -> None:
    """``python backfill_job/x.py`` puts that folder first on the search path."""
    assert path.stem not in sys.stdlib_module_names


def test_a_name_has_one_meaning() -> None:
    """A class or a public function says what it is without its folder, so no two share a name.

    Each command's module has `add_arguments`, and each program its `main`.
    """
    places: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            function = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name[0] != "_"
            if function or isinstance(node, ast.ClassDef):
                places.setdefault(node.name, []).append(path.relative_to(ROOT).as_posix())
    twins = {name: found for name, found in places.items() if len(found) > 1}
    assert twins.keys() <= {"add_arguments", "main"}, twins


@pytest.mark.parametrize("package", ["google.cloud.storage"])
def test_only_the_gateway_speaks_to_cloud_storage(package: str) -> None:
    """Retry, pool and error policies are in one place because nobody goes around it."""
    users = [
        path.relative_to(ROOT).as_posix()
        for path in MODULES
        if path.relative_to(ROOT).parts[0] in {"shared", "backfill_job", "mirror_function"}
        and re.search(
            r"^\s*(from google\.cloud import storage|import google\.cloud\.storage|from google\.cloud\.storage)",
            path.read_text(),
            re.MULTILINE,
        )
    ]
    assert users == ["shared/gateway.py"]


def test_only_the_fast_client_writes_api_paths() -> None:
    """A caller names objects; the client's verbs make paths of them, and know what their 404 means.

    ``demo`` plays the external writer, which has HTTP of its own, and ``local_gcs`` is the server.
    """
    path_of_the_api = re.compile(r"""["'][^"'\n]*(?:/storage/v1|/b/\{|/o/\{|/rewriteTo/|/o\?)""")
    writers = sorted(
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        if package not in {"demo", "local_gcs"}
        for path in (ROOT / package).rglob("*.py")
        if path_of_the_api.search(path.read_text())
    )
    assert writers == ["shared/gcs/api.py"]


def test_the_mirror_function_installs_what_the_fast_client_needs() -> None:
    """In the job's versions. Without uvloop and httptools the framework's server would use slower ones, and say nothing."""
    needed = {"httptools", "uvloop", "orjson"}
    mirror, job = (
        {pin["name"]: pin["version"] for pin in pins(file) if pin["name"] in needed}
        for file in ("requirements.txt", "requirements-job.txt")
    )
    assert mirror == job
    assert mirror.keys() == needed


def test_importing_starts_nothing() -> None:
    """No threads at import: the function's parent process imports before it forks."""
    code = (
        "import importlib, pkgutil, threading\n"
        "before = threading.active_count()\n"
        f"for package in {PACKAGES!r}:\n"
        "    root = importlib.import_module(package)\n"
        "    for module in pkgutil.walk_packages(root.__path__, f'{package}.'):\n"
        "        if not module.name.endswith('__main__'):\n"
        "            importlib.import_module(module.name)\n"
        "assert threading.active_count() == before, threading.enumerate()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("package", PACKAGES_WITH_FOLDERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_package_s_docstring_names_its_modules(package: Path) -> None:
    """Each module and each folder of it, and nothing that is gone."""
    text = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    there = {path.stem for path in package.glob("*.py")} - {"__init__"}
    there |= {path.parent.name for path in package.glob("*/__init__.py")}
    named = set(re.findall(r"^- `(\w+)`", text, re.MULTILINE))
    assert named == there


def test_the_architecture_document_has_the_layers_that_are_checked() -> None:
    """Row by row, within the package of the commands."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [each["layers"] for each in contracts if each.get("containers") == ["backfill_job"]]
    document = (ROOT / "docs" / "architecture.md").read_text()
    assert "\n".join(["within backfill_job", *layers, "```"]) in document


def test_the_architecture_document_names_only_what_is_there() -> None:
    """A document that names what was removed lies."""
    document = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:\w+/)+\w*(?:\.py)?)`", document))
    assert sorted(name for name in named if not (ROOT / name.replace("*", "")).exists()) == []
