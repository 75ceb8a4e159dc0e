"""What would have to be written, and where, so that a finding names the new path; and what else reads it there.

The smallest edit: of a bucket's name the parts between holes that differ, of a prefix its name. Only characters that are written
as themselves can be edited: not the result of an escape or a method.

A bucket's constant usually serves other prefixes, too. So the edited characters are followed forward: to the name that they are
assigned to, and to every place that reads it. Such a place may assign the text to a further name. Each of these readings must
be one that an edited finding was read through. Any other one forbids the edit, and so does a way of keeping a text that is
not followed here.
Only `patch` uses it, which decides over all findings together; this module judges one edit at a time.
"""

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise, takewhile
from pathlib import Path

from backfill_job.references.evaluate import Evaluator, TooDeep
from backfill_job.references.findings import Finding, Resolution
from backfill_job.references.modules import (
    FUNCTIONS,
    Frame,
    Module,
    PythonProject,
    Ref,
    Value,
    What,
    own_nodes,
    owner_of,
    positional_names,
    spelling,
)
from backfill_job.references.targets import FindingKind, NamedMigration
from backfill_job.references.texts import HOLE, PYTHON, Position, SourceText, Text, readable

__all__ = ["CannotEdit", "Edit", "Readers", "apply_edits", "edits_for", "new_bucket", "wanted"]

_PRINTS = re.compile(r"print|(?i:[\w.]*log\w*\.(debug|info|warning|error|exception|critical))")


class CannotEdit(Exception):
    """A finding that is left to a person; the text says why."""


@dataclass(frozen=True, slots=True, order=True)
class Edit:
    """Characters of a file to be replaced: those from `start` to before `end` in the decoded file.

    Attributes:
        of_bucket: Whether it is a bucket's name, not a prefix.
    """

    path: Path
    start: int
    end: int
    before: str
    after: str
    of_bucket: bool


def edits_for(
    finding: Finding, source: Callable[[Path], SourceText], *, of_bucket: bool = True
) -> tuple[Edit, ...]:
    """Find the edits that would change a blocking finding to the new path, in order.

    Args:
        of_bucket: Whether the bucket's name is edited where it is written; else only the prefix is.

    Raises:
        CannotEdit: They cannot be told.
    """
    if any(one.kind is FindingKind.UNRESOLVED for one in finding.resolutions):
        raise CannotEdit(finding.note or "one of its values could not be read")
    if any(one.kind is FindingKind.ELSEWHERE for one in finding.resolutions):
        raise CannotEdit("it reads another place: change it, or accept it by name with --record --accept")
    found: set[Edit] = set()
    for resolution in finding.resolutions:
        if resolution.kind in {FindingKind.LEGACY, FindingKind.MIXED}:
            way = partial(_resolution_edits, resolution, source=source, of_bucket=of_bucket)
            ways = {tuple(way(target)) for target in resolution.targets}
            if len(ways) != 1:
                raise CannotEdit("each environment would need another text here")
            found.update(*ways)
    edits = sorted(found)
    for one, following in pairwise(edits):
        if one.path == following.path and following.start < one.end:
            raise CannotEdit("the same characters would have to become two things")
    return tuple(edits)


def wanted(finding: Finding) -> str:
    """What a person has to write, in words: the new bucket and the new prefix; empty where that is not known."""
    for resolution in finding.resolutions:
        for target in resolution.targets if resolution.kind is not FindingKind.ELSEWHERE else ():
            bucket = None if resolution.bucket is None else new_bucket(resolution.bucket.chars, target)
            name = readable(bucket) if bucket else target.migration.destination.bucket
            return f"gs://{name}/{target.new}/"
    return ""


def apply_edits(text: str, edits: Iterable[Edit]) -> str:
    """A file's text after its edits."""
    for edit in sorted(edits, reverse=True):
        text = text[: edit.start] + edit.after + text[edit.end :]
    return text


def _resolution_edits(
    resolution: Resolution, target: NamedMigration, source: Callable[[Path], SourceText], of_bucket: bool
) -> Iterator[Edit]:
    if resolution.prefix.chars != target.new:
        yield from _replaced(resolution.prefix, target.new, source, of_bucket=False)
    bucket = resolution.bucket
    if not of_bucket or bucket is None or target.captures(bucket.chars, legacy=False) is not None:
        return
    new = new_bucket(bucket.chars, target)
    if new is None:
        raise CannotEdit("its environment stands where the new bucket's name has none")
    position = 0
    for old_part, new_part in zip(bucket.chars.split(HOLE), new.split(HOLE), strict=True):
        part = bucket.cut(position, position + len(old_part))
        if old_part != new_part:
            yield from _replaced(part, new_part, source, of_bucket=True)
        position += len(old_part) + 1


def new_bucket(bucket: str, target: NamedMigration) -> str | None:
    """The new bucket's name with the legacy one's holes; None where they do not fit."""
    captures = target.captures(bucket, legacy=True)
    if captures is None:
        return target.migration.destination.bucket if HOLE not in bucket else bucket
    rest, made = target.migration.destination.bucket, ""
    for capture in captures:
        if not capture or rest.count(capture) != 1:
            return None
        before, _, rest = rest.partition(capture)
        made += before + HOLE
    return made + rest


def _replaced(
    text: Text, new: str, source: Callable[[Path], SourceText], *, of_bucket: bool
) -> Iterator[Edit]:
    before, after = _in_common(text.chars, new) if of_bucket else (0, 0)
    part = text.cut(before, len(text.chars) - after)
    new = new[before : len(new) - after]
    if not part.chars or sum(span.end - span.start for span in part.spans) != len(part.chars):
        raise CannotEdit("it is put together from parts that are not written as they come out")
    if len(part.spans) > 1 and len(new) != len(part.chars):
        raise CannotEdit("its name is written in several places")
    for span in part.spans:
        old = part.chars[span.start : span.end]
        changed = new[span.start : span.end] if len(part.spans) > 1 else new
        end = span.offset + len(old)
        if source(span.path).text[span.offset : end] != old:
            raise CannotEdit("it is not written as it comes out: something changes its case or its slashes")
        if old != changed:
            yield Edit(span.path, span.offset, end, old, changed, of_bucket)


def _in_common(old: str, new: str) -> tuple[int, int]:
    """How many characters both have in common at the beginning and at the end, in whole parts of the name."""
    start = _same(re.findall(r"[^-._]*[-._]?", old), re.findall(r"[^-._]*[-._]?", new))
    olds, news = (re.findall(r"[-._]?[^-._]*", name[start:])[-2::-1] for name in (old, new))
    return start, min(_same(olds, news), min(len(old), len(new)) - start)


def _same(olds: Sequence[str], news: Sequence[str]) -> int:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(olds, news, strict=False))
    return sum(len(old) for old, _ in same)


_DECLARES = re.compile(r"\b(?:const|let|var|val|final|static|string|my|dim|declare)\b|:=", re.IGNORECASE)
"""A variable of a language that reads it by its plain name."""


# --- what else reads it ------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Index:
    """A module's names: where each is read, its names after an import, which are looked up as texts; every node's parent and frame."""

    uses: dict[str, list[ast.expr]] = field(default_factory=lambda: defaultdict(list))
    aliases: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    looked_up: set[str] = field(default_factory=set)
    parents: dict[ast.AST, ast.AST] = field(default_factory=dict)
    frames: dict[ast.AST, Frame] = field(default_factory=dict)


@dataclass
class Readers:
    """Finds what reads a text."""

    project: PythonProject
    evaluator: Evaluator
    read: Callable[[Path], bytes]
    source: Callable[[Path], SourceText]
    _indexes: dict[Path, _Index] = field(default_factory=dict)
    _naming: dict[str, list[Path]] = field(default_factory=dict)

    def check(self, edit: Edit, edited: frozenset[Position]) -> None:
        """Make sure that an edit changes only what is being edited: what was read through the names `edited`.

        Raises:
            CannotEdit: Something else reads it, or that cannot be told.
        """
        module = self.project.module(edit.path) if edit.path.suffix in PYTHON else None
        if module is None:
            _check_text(self.source(edit.path), edit, edited)
        else:
            _Way(self, edit, edited).follow(module, edit.start)

    def index(self, module: Module) -> _Index:
        """Everything about a module's names."""
        if module.path not in self._indexes:
            index = self._indexes[module.path] = _Index()
            self._collect(module.tree, self.evaluator.module_frame(module), index)
        return self._indexes[module.path]

    def naming(self, name: str, own: Path) -> list[Path]:
        """The files that hold a word."""
        if name not in self._naming:
            word = name.encode()
            self._naming[name] = [path for path in self.project.paths if word in self.read(path)]
        return list(dict.fromkeys((*self._naming[name], own)))

    def _collect(self, node: ast.AST, frame: Frame, index: _Index) -> None:
        for child in ast.iter_child_nodes(node):
            inner = frame
            index.parents[child], index.frames[child] = node, frame
            if isinstance(child, FUNCTIONS):
                inner = self.evaluator.entered(child, frame, owner_of(frame))
            elif isinstance(child, ast.ClassDef):
                inner = self.evaluator.class_frame(child, frame)
            elif isinstance(child, (ast.Name, ast.Attribute)) and isinstance(child.ctx, ast.Load):
                index.uses[spelling(child)].append(child)
            elif isinstance(child, ast.alias) and child.asname:
                index.aliases[child.name].add(child.asname)
            elif isinstance(child, ast.Call):
                index.looked_up |= _looked_up(child)
            self._collect(child, inner, index)


@dataclass
class _Way:
    readers: Readers
    edit: Edit
    edited: frozenset[Position]
    _seen: set[Position] = field(default_factory=set)

    def follow(self, module: Module, offset: int, *, given: bool = False) -> None:
        """Follow the text from one place where it stands, or is read; `given` to a parameter, whose value is unknown there."""
        if (module.path, offset) in self._seen:
            return
        self._seen.add((module.path, offset))
        for name, local in self._kept_as(module, offset, given=given):
            for other, use in self._uses(name, (module.path, offset), local=local):
                self._continue(name, other, use)

    def _continue(self, name: str, module: Module, node: ast.expr, *, given: bool = False) -> None:
        if module.load(node) not in self.edited:
            raise CannotEdit(f"{name} is also read at {_place(module, node)}")
        self.follow(module, module.end(node) - 1, given=given)

    def _kept_as(self, module: Module, offset: int, *, given: bool) -> Iterator[tuple[str, bool]]:
        """The names that what stands at an offset is read through from there, and whether each is local to a function."""
        index, inner = self.readers.index(module), None
        node = _innermost(module, offset)
        while node is not None:
            match node:
                case ast.Call():
                    _check_shared(module, node, inner)
                    self._check_partial(module, node, inner)
                    self._check_parameters(module, node, inner)
                case ast.Assign(value=ast.expr() as value) | ast.AnnAssign(value=ast.expr() as value) if (
                    value is inner
                ):
                    if self._comes_to(module, value, (module.path, offset), given=given):
                        yield from _targets(node, module, index.frames[node])
                case ast.NamedExpr(target=target):
                    yield target.id, _is_local(target, index.frames[node])
                case ast.arguments():
                    raise CannotEdit(f"it is a parameter's default at {_place(module, inner or node)}")
                case (
                    ast.Return(value=ast.expr() as value)
                    | ast.Yield(value=ast.expr() as value)
                    | ast.AugAssign(value=value)
                    | ast.For(iter=value)
                    | ast.AsyncFor(iter=value)
                    | ast.comprehension(iter=value)
                ) if value is inner and self._comes_to(module, value, (module.path, offset), given=given):
                    raise CannotEdit(f"it goes on in a way that is not followed at {_place(module, value)}")
                case _:
                    pass
            node, inner = index.parents.get(node), node

    def _check_parameters(self, module: Module, call: ast.Call, argument: ast.AST | None) -> None:
        """Make sure that a function which is given the text reads it for nothing else."""
        if argument is None or argument is call.func:
            return
        for callee in self.readers.evaluator.values(call.func, self.readers.index(module).frames[call]):
            if not isinstance(callee, Ref) or callee.what not in {What.FUNCTION, What.CLASS}:
                continue
            names = positional_names(callee)
            name = argument.arg if isinstance(argument, ast.keyword) else None
            if argument in call.args and call.args.index(argument) < len(names):
                name = names[call.args.index(argument)]
            if name is None or not isinstance(callee.node, FUNCTIONS):
                raise CannotEdit(f"it is given to a class, or in a list, at {_place(module, call)}")
            for node in ast.walk(callee.node):
                if isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Load):
                    self._continue(name, callee.frame.module, node, given=True)

    def _check_partial(self, module: Module, call: ast.Call, argument: ast.AST | None) -> None:
        """Make sure that no other call goes on with a partial one: it has all of its arguments."""
        if spelling(call.func) != "partial" or argument is None or argument is call.func:
            return
        whole = call.args[0] if call.args else call.func
        callees = self.readers.evaluator.values(whole, self.readers.index(module).frames[call])
        known = [len(positional_names(one)) for one in callees if isinstance(one, Ref)]
        if not known or max(known) == 0 or max(known) > len(call.args) - 1 + len(call.keywords):
            raise CannotEdit(f"a partial call keeps it at {_place(module, call)}")

    def _uses(self, name: str, at: Position, *, local: bool) -> Iterator[tuple[Module, ast.expr]]:
        """Every place in the tree that reads a name and comes to the text; a local name is read in its own module alone."""
        for path in [at[0]] if local else self.readers.naming(name, at[0]):
            module = self.readers.project.module(path)
            if module is None:
                raise CannotEdit(f"{name} is named in {path.as_posix()}, which is not valid Python")
            index = self.readers.index(module)
            if name in index.looked_up and not local:
                raise CannotEdit(f"{name} is looked up by its name in {path.as_posix()}")
            for known_as in (name, *sorted(index.aliases[name])):
                for use in index.uses.get(known_as, ()):
                    if not _is_printed(use, index) and self._comes_to(module, use, at):
                        yield module, use

    def _comes_to(self, module: Module, node: ast.expr, at: Position, *, given: bool = False) -> bool:
        """Tell whether an expression may be the text, or hold it."""
        try:
            values = self.readers.evaluator.values(node, self.readers.index(module).frames[node])
        except (TooDeep, RecursionError):
            return True
        has_hole = any(isinstance(value, Text) and HOLE in value.chars for value in values)
        return (given and has_hole) or any(self._is_it(value, at) for value in values)

    def _is_it(self, value: Value, at: Position) -> bool:
        if isinstance(value, Text):
            # A name that is exchanged for another one is read at its end, see Module.load.
            exchanged = (self.edit.path, self.edit.end) in value.loads
            return exchanged or (self.edit.path, self.edit.start) in value.positions()
        module = value.frame.module
        if value.what not in {What.CONTAINER, What.INSTANCE} or not isinstance(value.node, ast.expr):
            return False
        if value.what is What.INSTANCE and value.made_by is None and isinstance(value.node, ast.Call):
            called = self.readers.evaluator.qualified(value.node.func, value.frame).rpartition(".")[2]
            if called not in {"dict", "SimpleNamespace"}:
                return False  # an operator or a hook has taken the text; its attributes are not read back
        start, end = module.offset(value.node), module.end(value.node)
        marks = (at, (self.edit.path, self.edit.start))
        return any(path == module.path and start <= offset < end for path, offset in marks)


def _check_shared(module: Module, call: ast.Call, argument: ast.AST | None) -> None:
    """Make sure that a call does not keep its argument for others: an option's default, a parameter of templates."""
    name = argument.arg if isinstance(argument, ast.keyword) else None
    function = spelling(call.func)
    if name == "default" and function in {"add_argument", "option", "argument"}:
        raise CannotEdit(f"it is an option's default at {_place(module, call)}")
    if name == "params":
        raise CannotEdit(f"it is a parameter of templates at {_place(module, call)}")


def _check_text(source: SourceText, edit: Edit, edited: frozenset[Position]) -> None:
    """Make sure that the variable which the text is assigned to is read for nothing else in its file."""
    before = source.text[source.starts[source.line_of(edit.start) - 1] : edit.start]
    assigned = re.search(r"(\w+)(?:\\?[\"'])?[ \t]*(?::?=|:)[ \t]*(?:\\?[\"'])?[^\s\"'=:]*\Z", before)
    if assigned is None:
        return
    name = re.escape(assigned.group(1))
    own = source.line_of(edit.start)
    if _DECLARES.search(before):
        for match in re.finditer(rf"(?<![\w$.]){name}\b", source.text):
            if source.line_of(match.start()) != own:
                place = f"{edit.path.as_posix()}:{source.line_of(match.start())}"
                raise CannotEdit(f"{assigned.group(1)} is also read at {place}")
    reading = rf"\$\{{?(?:var\.|local\.)?{name}\b(?:[^}}\n]*?\}})?|\{{\{{\s*{name}\s*\}}\}}|\{{{name}\}}"
    for match in re.finditer(reading, source.text):
        if (edit.path, match.end()) not in edited and (edit.path, _end_of(match)) not in edited:
            place = f"{edit.path.as_posix()}:{source.line_of(match.start())}"
            raise CannotEdit(f"{assigned.group(1)} is also read at {place}")


def _end_of(match: re.Match[str]) -> int:
    """Where ``$NAME`` ends whose closing brace belongs to something else."""
    bare = re.match(r"\$\w+", match.group())
    return match.end() if bare is None else match.start() + bare.end()


def _innermost(module: Module, offset: int) -> ast.AST | None:
    best: ast.AST | None = None
    for node in ast.walk(module.tree):
        if isinstance(node, ast.expr) and module.offset(node) <= offset < module.end(node):
            best = node  # breadth first: the last one is the innermost
    return best


def _targets(node: ast.Assign | ast.AnnAssign, module: Module, frame: Frame) -> Iterator[tuple[str, bool]]:
    for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
        if not isinstance(target, (ast.Name, ast.Attribute)):
            raise CannotEdit(f"it is put into a container at {_place(module, node)}")
        yield spelling(target), _is_local(target, frame)


def _is_local(target: ast.expr, frame: Frame) -> bool:
    """Whether an assignment makes a name of a function's own, which no other module can reach."""
    function = frame.scope.node
    if not isinstance(target, ast.Name) or not isinstance(function, FUNCTIONS):
        return False
    shared = (node for node in own_nodes(function.body) if isinstance(node, (ast.Global, ast.Nonlocal)))
    return not any(target.id in node.names for node in shared)


def _looked_up(call: ast.Call) -> set[str]:
    """The names that a call has as texts, and may read: ``getattr(config, "BUCKET")``."""
    if spelling(call.func) not in {"getattr", "attrgetter", "import_string"}:
        return set()
    texts = [part.value for part in call.args if isinstance(part, ast.Constant)]
    return {text.rpartition(".")[2] for text in texts if isinstance(text, str)}


def _is_printed(node: ast.AST, index: _Index) -> bool:
    inner, outer = node, index.parents.get(node)
    while isinstance(outer, (ast.FormattedValue, ast.JoinedStr, ast.BinOp)):
        inner, outer = outer, index.parents.get(outer)
    if not isinstance(outer, ast.Call) or inner is outer.func:
        return False
    return _PRINTS.fullmatch(ast.unparse(outer.func)) is not None


def _place(module: Module, node: ast.AST) -> str:
    return f"{module.path.as_posix()}:{getattr(node, 'lineno', 1)}"
