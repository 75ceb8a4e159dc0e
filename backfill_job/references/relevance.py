"""Which Python files can have to do with a prefix at all, by the names in them; nothing is evaluated.

A statement at a module's top is *live* when it holds a piece of a prefix's name, or a name that leads to one: a name that a live
statement binds, here or in a module that is imported. Only modules with a live statement are walked through; what they need
from others is evaluated when it is asked for.
"""

import ast
import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from backfill_job.references.modules import FUNCTIONS, Module, own_nodes
from backfill_job.references.project import Project, module_name

__all__ = ["Relevant", "relevant_modules"]

_IMPORTS = re.compile(
    rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]*))", re.MULTILINE
)
_SET_FROM_OUTSIDE = re.compile(
    rb"^[ \t]*(?!self\.|cls\.)[A-Za-z_]\w*\.([A-Za-z_]\w*)[ \t]*\+?=(?!=)", re.MULTILINE
)


@dataclass(slots=True)
class _Statement:
    bound: frozenset[str]
    spelled: frozenset[str]
    live: bool


@dataclass(slots=True)
class _File:
    module: Module
    imports: frozenset[str]
    statements: list[_Statement]
    names: set[str] = field(default_factory=set)

    def enliven(self, known: set[str]) -> bool:
        """Find live statements, given what other modules' names lead to a prefix; tells whether there are more names."""
        before = len(self.names)
        self.names.update(*(one.bound for one in self.statements if one.live))
        for one in self.statements:
            if not one.live and not one.spelled.isdisjoint(known | self.names):
                one.live = True
                self.names |= one.bound
        return len(self.names) > before


@dataclass(frozen=True, slots=True)
class Relevant:
    """The modules to be looked at.

    Attributes:
        live: Those to be walked through.
        named: Those that may only name a prefix in comments and texts for people.
        unparsed: Files that are no valid Python.
        uses: How often each name is used in all of them, imports included.
    """

    live: tuple[Module, ...]
    named: tuple[Module, ...]
    unparsed: tuple[Path, ...]
    uses: Counter[str]


def relevant_modules(
    paths: Iterable[Path],
    holding: Iterable[Path],
    read: Callable[[Path], bytes],
    project: Project,
    words: re.Pattern[str],
) -> Relevant:
    """Find the modules that matter.

    Args:
        paths: Every Python file.
        holding: Those that hold a word of a prefix's name.
        read: Reads a file.
        project: Parses them.
        words: Finds texts that can become a part of a prefix's name.

    Returns:
        The modules.
    """
    files: dict[Path, _File] = {}
    unparsed: list[Path] = []
    waiting = set(holding)
    for path in paths:
        found = _SET_FROM_OUTSIDE.findall(read(path))
        project.set_from_outside.update(name.decode() for name in found)
    others = {path: imported_words(read(path)) for path in set(paths) - waiting}
    while waiting:
        for path in sorted(waiting):
            module = project.module(path)
            if module is None:
                unparsed.append(path)
            else:
                statements = [_statement(node, words) for node in module.tree.body]
                files[path] = _File(module, imported_words(read(path)), statements)
        exports = _follow(files.values())
        waiting = {path for path, imports in others.items() if _imports_any(path, imports, exports, read)}
        others = {path: imports for path, imports in others.items() if path not in waiting}
    uses = Counter(
        name for file in files.values() for node in ast.walk(file.module.tree) for name in _spelled(node)
    )
    ordered = [files[path] for path in sorted(files)]
    live = [file.module for file in ordered if any(one.live for one in file.statements)]
    return Relevant(tuple(live), tuple(file.module for file in ordered), tuple(unparsed), uses)


def imported_words(data: bytes) -> frozenset[str]:
    """Every word of a file's import statements."""
    words: set[str] = set()
    for match in _IMPORTS.finditer(data):
        for group in match.groups():
            if group:
                words.update(re.findall(r"\w+|\*", group.decode("utf-8", "replace")))
    return frozenset(words)


def _follow(files: Iterable[_File]) -> dict[str, set[str]]:
    """Follow names through all modules; gives those that lead to a prefix, by the name of their module."""
    exports: dict[str, set[str]] = {}
    changed = True
    while changed:
        changed = False
        for file in files:
            known = {name for word in file.imports for name in exports.get(word, ())}
            changed |= file.enliven(known)
            exports.setdefault(module_name(file.module.path), set()).update(file.names)
    return exports


def _imports_any(
    path: Path, imports: frozenset[str], exports: dict[str, set[str]], read: Callable[[Path], bytes]
) -> bool:
    """Whether a file imports one of the names, everything, or uses one as its module's: ``config.PREFIX``."""
    return any(
        "*" in imports
        or not names.isdisjoint(imports)
        or any(b"." + name.encode() in read(path) for name in names)
        for module, names in exports.items()
        if names and module in imports
    )


def _statement(node: ast.stmt, words: re.Pattern[str]) -> _Statement:
    inner = list(ast.walk(node))
    spelled = frozenset(name for one in inner for name in _spelled(one))
    bound: set[str] = set()
    for one in own_nodes([node]):
        if isinstance(one, (*FUNCTIONS, ast.ClassDef)):
            bound.add(one.name)
        elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            bound.add(one.id)
        elif isinstance(one, ast.alias):
            bound.add(one.asname or one.name.rpartition(".")[2])
    for one in inner:
        if isinstance(one, ast.Global):
            bound.update(one.names)
    seeds = (one.value for one in inner if isinstance(one, ast.Constant))
    live = not _is_remark(node) and any(_is_seed(value, words) for value in seeds)
    return _Statement(frozenset(bound), spelled, live)


def _is_remark(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_seed(value: object, words: re.Pattern[str]) -> bool:
    written = value.decode("latin-1") if isinstance(value, bytes) else value
    return isinstance(written, str) and words.search(written) is not None


def _spelled(node: ast.AST) -> tuple[str, ...]:
    match node:
        case ast.Name(ctx=ast.Load()):
            return (node.id,)
        case ast.Attribute():
            return (node.attr,)
        case ast.alias():
            return (node.name.rpartition(".")[2],)
        case _:
            return ()
