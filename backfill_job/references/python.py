"""Python files: which of them matter, what is found in them, and that every place in them is covered.

A statement at a module's top is *live* when it holds a piece of a prefix's name, or a name that leads to one. Such a name is bound by
a live statement, here or in a module that is imported. Only modules with a live statement are walked through; what they need
from others is evaluated when it is asked for.
Every place in such a file that holds a prefix's name ends as a finding. What the walk did not reach is judged as text, and is
unresolved when it could be the path. Only `scan` uses this module, and `other_files` in the same way.
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
from backfill_job.references.findings import CodePlace, Finding, Resolution
from backfill_job.references.mentions import mentions, resolve_mention
from backfill_job.references.modules import FUNCTIONS, Module, PythonProject, module_name, own_nodes, spelling
from backfill_job.references.other_files import finding_at, scan_text, within
from backfill_job.references.sites import in_module
from backfill_job.references.targets import FindingKind, Targets
from backfill_job.references.texts import Position, Text, decode_source
from backfill_job.references.walk import Walk

__all__ = ["scan_python"]

UNPARSED = "no valid Python, read as text"

_IMPORTS = re.compile(
    rb"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+import[ \t]*(\([^)]*\)|[^\n]*)|import[ \t]+([^\n]*))", re.MULTILINE
)
_SET_FROM_OUTSIDE = re.compile(
    rb"^[ \t]*(?!self\.|cls\.)[A-Za-z_]\w*\.([A-Za-z_]\w*)[ \t]*\+?=(?!=)", re.MULTILINE
)

Read = Callable[[Path], bytes]


def scan_python(
    paths: Sequence[Path],
    holding: Iterable[Path],
    read: Read,
    may_be_read: Callable[[Path], bool],
    targets: Targets,
) -> Iterator[Finding]:
    """Judge every place in every Python file that matters; gives the findings in any order.

    Args:
        holding: Those of the paths that hold a word of a prefix's name.
        may_be_read: Tells which other files an import may lead to.
    """
    project = PythonProject(paths, read, may_be_read)
    for path in paths:
        project.set_from_outside.update(name.decode() for name in _SET_FROM_OUTSIDE.findall(read(path)))
    files, unparsed = _relevant(paths, holding, read, project, targets.seed_pattern)
    spelled: Counter[str] = Counter()
    for statement in (one for file in files for one in file.statements):
        spelled.update(statement.spelled)
    walk = Walk(Evaluator(project, targets.carries, targets.setting), targets, spelled)
    for file in files:
        if any(statement.live for statement in file.statements):
            try:
                walk.module(file.module)
            except (TooDeep, RecursionError):
                unparsed.append(file.module.path)
    found = ((finding, project.module(finding.path)) for finding in walk.findings())
    findings = [finding if module is None else in_module(finding, module) for finding, module in found]
    covered = {mark for finding in findings for mark in finding.evidence()}
    yield from findings
    for file in files:
        yield from (in_module(one, file.module) for one in _left_out(file.module, covered, targets))
    for path in unparsed:
        yield from scan_text(decode_source(path, read(path)), targets, UNPARSED)


# --- which files matter ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Statement:
    bound: frozenset[str]
    spelled: Counter[str]
    live: bool


@dataclass(slots=True)
class _ParsedFile:
    """A parsed file, the words of its imports, and the names in it that lead to a prefix."""

    module: Module
    imports: frozenset[str]
    statements: list[_Statement]
    names: set[str] = field(default_factory=set)

    def enliven(self, known: set[str]) -> bool:
        """Find live statements, given other modules' names that lead to a prefix; tells whether there are more names."""
        before = len(self.names)
        self.names.update(*(one.bound for one in self.statements if one.live))
        for one in self.statements:
            if not one.live and not one.spelled.keys().isdisjoint(known | self.names):
                one.live = True
                self.names |= one.bound
        return len(self.names) > before


def _relevant(
    paths: Iterable[Path], holding: Iterable[Path], read: Read, project: PythonProject, words: re.Pattern[str]
) -> tuple[list[_ParsedFile], list[Path]]:
    """Find the files that matter by the names in them, in order; and those that are not valid Python."""
    files: dict[Path, _ParsedFile] = {}
    unparsed: list[Path] = []
    waiting = set(holding)
    others = {path: _imported_words(read(path)) for path in set(paths) - waiting}
    while waiting:
        for path in sorted(waiting):
            module = project.module(path)
            if module is None:
                unparsed.append(path)
            else:
                statements = [_statement(node, words) for node in module.tree.body]
                files[path] = _ParsedFile(module, _imported_words(read(path)), statements)
        exports = _follow(files.values())
        waiting = {path for path, imports in others.items() if _imports_any(path, imports, exports, read)}
        others = {path: imports for path, imports in others.items() if path not in waiting}
    return [files[path] for path in sorted(files)], unparsed


def _imported_words(data: bytes) -> frozenset[str]:
    groups = (group for match in _IMPORTS.finditer(data) for group in match.groups() if group)
    written = " ".join(group.decode("utf-8", "replace") for group in groups)
    return frozenset(re.findall(r"\w+|\*", written))


def _follow(files: Iterable[_ParsedFile]) -> dict[str, set[str]]:
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


def _imports_any(path: Path, imports: frozenset[str], exports: dict[str, set[str]], read: Read) -> bool:
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
    spelled = Counter(name for one in inner for name in _spelled(one))
    bound: set[str] = set()
    for one in own_nodes([node]):
        if isinstance(one, (*FUNCTIONS, ast.ClassDef)):
            bound.add(one.name)
        elif isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store):
            bound.add(one.id)
        elif isinstance(one, ast.alias):
            bound.add(one.asname or one.name.rpartition(".")[2])
    bound.update(name for one in inner if isinstance(one, ast.Global) for name in one.names)
    is_remark = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    live = not is_remark and any(_is_seed(one, words) for one in inner)
    return _Statement(frozenset(bound), spelled, live)


def _is_seed(node: ast.AST, words: re.Pattern[str]) -> bool:
    """Whether a node holds a piece of a name; or names an enumeration's member, or a field that a setting of the environment fills."""
    if isinstance(node, ast.Assign):
        is_member = isinstance(node.value, ast.Call) and spelling(node.value.func) == "auto"
        return is_member and any(words.fullmatch(spelling(target)) for target in node.targets)
    if isinstance(node, ast.AnnAssign):
        return words.fullmatch(spelling(node.target)) is not None
    written = node.value if isinstance(node, ast.Constant) else None
    written = written.decode("latin-1") if isinstance(written, bytes) else written
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


# --- what the walk did not reach -----------------------------------------------------------------------------------


def _left_out(module: Module, covered: set[Position], targets: Targets) -> Iterator[Finding]:
    source = module.source
    places = [
        match
        for match in targets.key_pattern.finditer(source.text)
        if not any((source.path, offset) in covered for offset in range(*match.span()))
    ]
    if not places:
        return
    strings, comments = _tokens(module)
    docstrings = _docstrings(module)
    kinds = ((comments, CodePlace.COMMENT), (docstrings, CodePlace.DOCUMENTATION), (strings, CodePlace.CODE))
    for match in places:
        offset = match.start()
        place = next((place for spans, place in kinds if within(spans, offset)), None)
        if place is None:
            other = Resolution(FindingKind.OTHER, None, source.piece(*match.span()))
            yield finding_at(source, offset, other, CodePlace.CODE, "a name in the code")
        else:
            yield _as_text(module, offset, place, targets)


def _as_text(module: Module, offset: int, place: CodePlace, targets: Targets) -> Finding:
    source = module.source
    number = source.line_of(offset)
    start, line = source.starts[number - 1], source.line(number)
    written = targets.read(source.piece(start, start + len(line)))
    for mention in mentions(written, targets):
        if (source.path, offset) in written.cut(mention.start, mention.end).positions():
            resolution = resolve_mention(written, mention, None, targets)
            unresolved = resolution.kind is FindingKind.UNRESOLVED
            note = mention.other or ("no use of it with a bucket was found" if unresolved else "")
            return finding_at(source, offset, resolution, place, note)
    resolution = Resolution(FindingKind.UNRESOLVED, None, Text(line))
    return finding_at(source, offset, resolution, place, "it could not be read")


def _tokens(module: Module) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
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
    texts = [node.value for node in ast.walk(module.tree) if isinstance(node, ast.Expr)]
    strings = (one for one in texts if isinstance(one, ast.Constant) and isinstance(one.value, str))
    return sorted((module.offset(one), module.end(one)) for one in strings)
