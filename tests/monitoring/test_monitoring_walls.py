"""The walls of monitoring/, held for every module of it, however deep. The layers are import-linter's contracts in pyproject.toml."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts): path
    for path in sorted((ROOT / "monitoring").rglob("*.py"))
}
SERVICES = re.compile(r"google\.(?:cloud|api_core|auth)\b")


def imports(path: Path) -> set[str]:
    """Everything that a module names in an import: modules, and names in them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_the_walls_see_the_preview() -> None:
    """A folder within the package is not left out."""
    assert "monitoring.preview.tiles" in MODULES


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_a_module_s_name_hides_nothing_of_the_standard_library(path: Path) -> None:
    """A folder on the search path would put it before the library's own."""
    assert path.stem in {"__init__", "__main__"} or path.stem not in sys.stdlib_module_names


def test_only_two_modules_know_google_s_clients() -> None:
    """One speaks to the services, one has their messages; neither speaks to Cloud Storage."""
    users = {name: imports(path) for name, path in MODULES.items() if any(map(SERVICES.match, imports(path)))}
    assert set(users) == {"monitoring.files", "monitoring.services"}
    assert not [one for used in users.values() for one in used if "storage" in one]


def test_a_module_with_one_importer_says_why_it_is_one() -> None:
    """Or it would be a part of that importer."""
    importers = {
        name: [other for other, path in MODULES.items() if name in imports(path) and other != name]
        for name in MODULES
    }
    single = [name for name, users in importers.items() if len(users) == 1]
    unexplained = [
        name
        for name in single
        if "module of its own"
        not in " ".join(str(ast.get_docstring(ast.parse(MODULES[name].read_text()))).split())
    ]
    assert unexplained == []


def test_importing_starts_nothing() -> None:
    """No thread, whatever module is imported."""
    code = (
        "import importlib, threading\n"
        f"for name in {[*MODULES]!r}:\n"
        "    importlib.import_module(name.removesuffix('.__init__'))\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("path", MODULES.values(), ids=MODULES)
def test_facts_are_frozen(path: Path) -> None:
    """Every dataclass: a value that one part changes would surprise another."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef):
            made = [ast.unparse(one) for one in node.decorator_list if "dataclass" in ast.unparse(one)]
            assert made in ([], ["dataclass(frozen=True, slots=True)"]), node.name
