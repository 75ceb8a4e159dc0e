"""The Python files of a scan: parsed when they are asked for, and found by what an import calls them."""

import ast
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache
from itertools import takewhile
from pathlib import Path, PurePath

from backfill_job.references.modules import Module
from backfill_job.references.sources import decode

__all__ = ["Project", "module_name"]


class Project:
    """The Python files of a scan, parsed when they are asked for.

    Args:
        paths: The files scanned.
        read: Reads a file.
    """

    def __init__(self, paths: Iterable[Path], read: Callable[[Path], bytes]) -> None:
        self._read = read
        self._modules: dict[Path, Module | None] = {}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        self.set_from_outside: set[str] = set()
        """Names that some file sets as another module's: ``config.BUCKET = ...``."""
        self.paths = tuple(paths)
        for path in self.paths:
            self._by_name[module_name(path)].append(path)

    def module(self, path: Path) -> Module | None:
        """Parse a file; None when it cannot be read or is no Python."""
        if path not in self._modules:
            self._modules[path] = self._parse(path)
        return self._modules[path]

    def find(self, name: str, level: int, importer: Path) -> list[Module]:
        """The modules that an import may mean.

        Args:
            name: Dotted name; empty in ``from . import x``.
            level: Leading dots.
            importer: The importing file.

        Returns:
            The files nearest to the importer; several when they are equally near.
        """
        parts = tuple(part for part in name.split(".") if part)
        paths = _relative(parts, level, importer) if level else self._absolute(parts, importer)
        return [module for path in paths if (module := self.module(path)) is not None]

    def _absolute(self, parts: tuple[str, ...], importer: Path) -> list[Path]:
        if not parts:
            return []
        matching = [
            path for path in self._by_name.get(parts[-1], ()) if _dotted(path)[-len(parts) :] == parts
        ]
        if matching:
            nearness = {path: _common(path, importer) for path in matching}
            return [path for path in matching if nearness[path] == max(nearness.values())]
        for folder in _folders_above(importer):
            if found := _files(folder, parts):
                return found[:1]
        return []

    def _parse(self, path: Path) -> Module | None:
        try:
            source = decode(path, self._read(path))
            return Module(source, ast.parse(source.text))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def _common(one: PurePath, other: PurePath) -> int:
    """How many folders two paths have in common."""
    return sum(
        1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one.parts, other.parts, strict=False))
    )


def module_name(path: PurePath) -> str:
    """What imports of a file end with: its name, or the package's."""
    return path.parent.name if path.name == "__init__.py" else path.stem


def _dotted(path: PurePath) -> tuple[str, ...]:
    return path.parent.parts if path.name == "__init__.py" else (*path.parent.parts, path.stem)


def _files(folder: Path, parts: tuple[str, ...]) -> list[Path]:
    base = folder.joinpath(*parts)
    candidates = [base / "__init__.py", *([base.with_name(base.name + ".py")] if parts else [])]
    return [path for path in candidates if path.is_file()]


def _relative(parts: tuple[str, ...], level: int, importer: Path) -> list[Path]:
    folder = importer.parent
    for _ in range(level - 1):
        folder = folder.parent
    return _files(folder, parts)


@lru_cache(4_096)
def _folders_of(folder: Path) -> tuple[Path, ...]:
    above = []
    for candidate in (folder, *folder.parents):
        above.append(candidate)
        if (candidate / ".git").exists():
            return tuple(above)
    return ()


def _folders_above(importer: Path) -> tuple[Path, ...]:
    """The folders from a file's own up to the top of its checkout; none outside of a checkout."""
    return _folders_of(importer.parent.absolute())
