"""Python files: which of them matter, what was found in them, and that no place was left out.

Every place in such a file that holds a prefix's name ends as a finding: what the walk through the code did not reach is
judged as text, and is unresolved when it could be the path.

Which Python files can have to do with a prefix at all, by the names in them; nothing is evaluated.

A statement at a module's top is *live* when it holds a piece of a prefix's name, or a name that leads to one: a name that a live
statement binds, here or in a module that is imported. Only modules with a live statement are walked through; what they need
from others is evaluated when it is asked for.
"""

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backfill_job.references.evaluate import Evaluator, TooDeep
from backfill_job.references.findings import Finding, Place, Resolution
from backfill_job.references.mentions import mentions, resolve
from backfill_job.references.modules import FUNCTIONS, Module, Project, module_name, own_nodes
from backfill_job.references.other_files import finding_at, scan_text
from backfill_job.references.targets import Kind, Targets
from backfill_job.references.texts import Position, Span, Text, decode, with_holes
from backfill_job.references.walk import Judge, Walk

__all__ = ["PythonCode", "Relevant", "relevant_modules"]

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


UNPARSED = "no valid Python, read as text"


class PythonCode:
    """The Python files of a scan.

    Args:
        paths: Every Python file.
        holding: Those that hold a word of a prefix's name.
        read: Reads a file.
        targets: What is looked for.
    """

    def __init__(
        self, paths: Sequence[Path], holding: Iterable[Path], read: Callable[[Path], bytes], targets: Targets
    ) -> None:
        self._paths = paths
        self._holding = list(holding)
        self._read = read
        self._targets = targets

    def scan(self) -> Iterator[Finding]:
        """Judge every place in every file that matters.

        Yields:
            The findings, in no order.
        """
        project = Project(self._paths, self._read)
        relevant = relevant_modules(
            self._paths, self._holding, self._read, project, self._targets.seed_pattern
        )
        unparsed = list(relevant.unparsed)
        walk = Walk(Judge(Evaluator(project, self._targets.carries), self._targets), relevant.uses)
        for module in relevant.live:
            try:
                walk.module(module)
            except (TooDeep, RecursionError):
                unparsed.append(module.path)
        findings = walk.findings()
        covered = {mark for finding in findings for mark in finding.evidence()}
        yield from findings
        for module in relevant.named:
            yield from self._left_out(module, covered)
        for path in unparsed:
            yield from scan_text(decode(path, self._read(path)), self._targets, UNPARSED)

    def _left_out(self, module: Module, covered: set[Position]) -> Iterator[Finding]:
        source = module.source
        places = [
            match
            for match in self._targets.key_pattern.finditer(source.text)
            if not any((source.path, offset) in covered for offset in range(match.start(), match.end()))
        ]
        if not places:
            return
        strings, comments = _tokens(module)
        docstrings = _docstrings(module)
        for match in places:
            offset = match.start()
            if _is_inside(comments, offset):
                yield self._as_text(module, offset, Place.COMMENT)
            elif _is_inside(docstrings, offset):
                yield self._as_text(module, offset, Place.DOCUMENTATION)
            elif _is_inside(strings, offset):
                yield self._as_text(module, offset, Place.CODE)
            else:
                text = Text(match.group(), (Span(0, len(match.group()), source.path, offset),))
                other = Resolution(Kind.OTHER, None, text)
                yield finding_at(source, offset, other, Place.CODE, "a name in the code")

    def _as_text(self, module: Module, offset: int, place: Place) -> Finding:
        source = module.source
        number = source.line_of(offset)
        start = source.starts[number - 1]
        line = source.line(number)
        written = with_holes(Text(line, (Span(0, len(line), source.path, start),)), self._targets.carries)
        for mention in mentions(written, self._targets):
            prefix = written.cut(mention.start, mention.end)
            if (source.path, offset) in prefix.positions():
                resolution = resolve(written, mention, None, self._targets)
                note = mention.other or (
                    "no use of it with a bucket was found" if resolution.kind is Kind.UNRESOLVED else ""
                )
                return finding_at(source, offset, resolution, place, note)
        resolution = Resolution(Kind.UNRESOLVED, None, Text(line))
        return finding_at(source, offset, resolution, place, "it could not be read")


def _tokens(module: Module) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Where strings and comments are."""
    strings: list[tuple[int, int]] = []
    comments: list[tuple[int, int]] = []
    source = module.source
    try:
        for token in tokenize.generate_tokens(io.StringIO(source.text, newline="").readline):
            start = source.starts[token.start[0] - 1] + token.start[1]
            end = source.starts[token.end[0] - 1] + token.end[1]
            if token.type == tokenize.COMMENT:
                comments.append((start, end))
            elif token.type == tokenize.STRING or tokenize.tok_name[token.type].startswith("FSTRING"):
                strings.append((start, end))
    except (tokenize.TokenError, IndentationError, IndexError):
        return [(0, len(source.text))], []
    return strings, comments


def _docstrings(module: Module) -> list[tuple[int, int]]:
    return [
        (module.offset(node.value), module.end(node.value))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    ]


def _is_inside(spans: Iterable[tuple[int, int]], offset: int) -> bool:
    return any(start <= offset < end for start, end in spans)
