"""The new bucket by a constant: one that is there already, or one that is proposed beside the old bucket's.

A bucket's constant usually serves other prefixes, too, and stays. So the place that names the legacy path gets another constant
in its stead. It must come to the new bucket's name and to nothing else. Where it lies in another module, it is imported beside the
old one. Only `patch` uses it, which checks with `edits` that nothing else reads the exchanged name.
"""

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from backfill_job.references.edits import Edit, Readers, apply_edits, edits_for, new_bucket
from backfill_job.references.evaluate import is_lookup
from backfill_job.references.findings import Finding
from backfill_job.references.modules import Binding, Frame, How, Module, Ref, What, spelling
from backfill_job.references.targets import NamedMigration
from backfill_job.references.texts import PYTHON, Text

__all__ = ["exchanged", "proposed"]


@dataclass(frozen=True)
class _Use:
    """A place that reads the legacy bucket's constant: ``BUCKET`` or ``settings.BUCKET``.

    Attributes:
        wanted: What the new bucket's constant must come to.
        bindings: The ways in which the old name gets its value there; of ``settings.BUCKET``, the first name.
        is_text: Whether it is written as a text, so that another text can stand for it.
    """

    module: Module
    node: ast.Name | ast.Attribute
    frame: Frame
    wanted: frozenset[str]
    bindings: Sequence[Binding]
    is_text: bool

    def edit(self, name: str) -> Edit:
        """Exchanges the name."""
        end = self.module.end(self.node)
        old = spelling(self.node)
        return Edit(self.module.path, end - len(old), end, old, name, of_bucket=True)


def exchanged(finding: Finding, readers: Readers) -> Iterator[tuple[Edit, ...]]:
    """Every way to use a constant that is there: of the file itself, or of a module that it imports from."""
    prefix = edits_for(finding, readers.source, of_bucket=False)
    for use in _uses(finding, readers):
        for binding, home in _homes(use, readers):
            for name in home.scope.names:
                if not use.is_text or not _comes_to(use, name, home, readers):
                    continue
                if (imported := _import(use, binding, name)) is not None:
                    yield (*prefix, use.edit(name), *imported)


def proposed(finding: Finding, readers: Readers) -> Iterator[tuple[Edit, ...]]:
    """Every way to write a new constant beside the old one, and to use it."""
    whole = edits_for(finding, readers.source)
    prefix = [edit for edit in whole if not edit.of_bucket]
    target = next(target for one in finding.resolutions for target in one.targets)
    name = re.sub(r"\W+", "_", target.new.rpartition("/")[2]).strip("_").upper() + "_BUCKET"
    for use in _uses(finding, readers):
        for binding, home in _homes(use, readers):
            old = spelling(use.node)
            if binding is not None and binding in use.bindings and isinstance(use.node, ast.Name):
                old = binding.name.rpartition(":")[2]  # where it has another name
            added = _beside(home, old, name, [edit for edit in whole if edit.of_bucket])
            is_free = name.isidentifier() and name not in home.scope.names
            if added is not None and is_free and (imported := _import(use, binding, name)) is not None:
                yield (*prefix, use.edit(name), added, *imported)


def _uses(finding: Finding, readers: Readers) -> Iterator[_Use]:
    """Where the finding's file reads the legacy bucket by a constant, the nearest to the finding first."""
    module = readers.project.module(finding.path) if finding.path.suffix in PYTHON else None
    targets = {target for one in finding.resolutions for target in one.targets}
    buckets = [one.bucket for one in finding.resolutions if one.bucket is not None]
    if module is None or len(targets) == 0 or len(buckets) != len(finding.resolutions):
        return
    loads = frozenset.intersection(*(bucket.loads for bucket in buckets))
    index = readers.index(module)
    nodes = [node for found in index.uses.values() for node in found if module.load(node) in loads]
    nodes.sort(key=lambda node: abs(module.offset(node) - finding.offset))
    for node in nodes:
        wanted = _wanted(readers.evaluator.values(node, index.frames[node]), targets)
        bindings = list(_constant(node, index.frames[node]))
        if wanted and bindings and isinstance(node, (ast.Name, ast.Attribute)):
            use = _Use(module, node, index.frames[node], wanted, bindings, is_text=True)
            homes = [(bindings, readers.evaluator.module_frame(module))]
            if isinstance(node, ast.Attribute):
                homes = [(home.scope.names.get(node.attr, []), home) for _, home in _homes(use, readers)]
            is_text = all(_is_text(found, home, readers) for found, home in homes)
            yield replace(use, is_text=is_text)


def _wanted(values: Sequence[object], targets: set[NamedMigration]) -> frozenset[str]:
    """The new bucket's name for everything that the old constant comes to; empty where one of it is not the legacy bucket."""
    found: set[str] = set()
    for value in values:
        names = {
            new_bucket(value.chars, target)
            for target in targets
            if isinstance(value, Text) and target.captures(value.chars, legacy=True) is not None
        }
        if len(names) != 1 or None in names:
            return frozenset()
        found.update(name for name in names if name is not None)
    return frozenset(found)


def _constant(node: ast.expr, frame: Frame) -> Iterator[Binding]:
    """The bindings of a name at a module's top; nothing for a name that a function or a class binds."""
    base = node
    while isinstance(base, ast.Attribute):
        base = base.value
    at: Frame | None = frame
    while at is not None and isinstance(base, ast.Name):
        if base.id in at.scope.names:
            found = at.scope.names[base.id]
            through = {How.MEMBER, How.MODULE, How.CLASS}
            imported = through if isinstance(node, ast.Attribute) else {How.MEMBER, How.VALUE}
            is_top = isinstance(at.scope.node, ast.Module) or all(one.how is How.MEMBER for one in found)
            if is_top and all(one.how in imported for one in found):
                yield from found
            return
        at = at.outer


def _comes_to(use: _Use, name: str, frame: Frame, readers: Readers) -> bool:
    """Whether a name of a module is the new bucket's, as a text."""
    values = readers.evaluator.name(name, frame)
    texts = {value.chars for value in values if isinstance(value, Text)}
    is_new = texts == use.wanted and len(texts) == len(values)
    return is_new and _is_text(frame.scope.names[name], frame, readers)


def _is_text(bindings: Sequence[Binding], frame: Frame, readers: Readers, depth: int = 6) -> bool:
    """Whether all that a name stands for is written as a text: the evaluator takes ``client.bucket("x")`` for one, too."""
    for binding in bindings:
        node = binding.node
        if binding.how is How.MEMBER:
            package, _, member = binding.name.partition(":")
            homes = readers.project.find(package, binding.level, frame.module.path)
            frames = [readers.evaluator.module_frame(module) for module in homes]
        elif binding.how is How.VALUE and isinstance(node, ast.Name):
            member, frames = node.id, [readers.evaluator.module_frame(frame.module)]
        elif binding.how is How.VALUE and not binding.steps:
            is_made = isinstance(node, ast.Call) and not is_lookup(ast.unparse(node.func))
            if is_made or not isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp, ast.Call)):
                return False
            continue
        else:
            return False
        if depth == 0 or not frames:
            return False
        if not all(_is_text(at.scope.names.get(member, ()), at, readers, depth - 1) for at in frames):
            return False
    return bool(bindings)


def _homes(use: _Use, readers: Readers) -> Iterator[tuple[Binding | None, Frame]]:
    """The modules whose constants the place can use: its own, and those that it imports from, each with the import."""
    found = list(use.bindings)
    if isinstance(use.node, ast.Name):
        own = readers.evaluator.module_frame(use.module)
        yield None, own
        found += [one for bindings in own.scope.names.values() for one in bindings]
    owner = use.node.value if isinstance(use.node, ast.Attribute) else None
    for value in () if owner is None else readers.evaluator.values(owner, use.frame):
        if isinstance(value, Ref) and isinstance(value.node, ast.ClassDef) and value.what is What.CLASS:
            yield None, readers.evaluator.class_frame(value.node, value.frame)
    for binding in found:
        package, _, member = binding.name.partition(":")
        if owner is not None:
            written = ast.unparse(owner)
            package = written if binding.how is How.MODULE and "." in written else f"{package}.{member}"
        elif binding.how is not How.MEMBER:
            continue
        for module in readers.project.find(package, binding.level, use.module.path):
            yield binding, readers.evaluator.module_frame(module)


def _import(use: _Use, binding: Binding | None, name: str) -> tuple[Edit, ...] | None:
    """What imports a name from a module for a place: behind the name that is imported; None where it means something else there."""
    if isinstance(use.node, ast.Attribute):
        return ()
    at: Frame | None = use.frame
    while at is not None and name not in at.scope.names:
        at = at.outer
    if binding is None:
        return () if at is None or isinstance(at.scope.node, ast.Module) else None
    if at is not None or not isinstance(binding.node, ast.ImportFrom):
        return None
    alias = next(one for one in binding.node.names if one.name == binding.name.rpartition(":")[2])
    source = use.module.source
    end = source.offset(alias.end_lineno or alias.lineno, alias.end_col_offset or alias.col_offset)
    return (Edit(use.module.path, end, end, "", f", {name}", of_bucket=True),)


def _beside(home: Frame, old: str, name: str, edits: Sequence[Edit]) -> Edit | None:
    """A new constant on the line behind the old one's; None where that is not one plain line at the module's top."""
    module, source = home.module, home.module.source
    for node in module.tree.body if home.scope.node is module.tree else ():
        if not isinstance(node, (ast.Assign, ast.AnnAssign)) or node.value is None:
            continue
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        if [spelling(one) for one in targets] != [old]:
            continue
        value = node.value
        if isinstance(value, ast.Call) and is_lookup(ast.unparse(value.func)) and len(value.args) == 2:  # noqa: PLR2004
            value = value.args[1]  # the old setting must not decide the new bucket
        start, end = module.offset(value), module.end(value)
        inside = [edit for edit in edits if edit.path == module.path and start <= edit.start < end]
        if len(home.scope.names[old]) != 1 or len(inside) != len(edits) or not edits:
            return None
        moved = [replace(one, start=one.start - start, end=one.end - start) for one in inside]
        text = apply_edits(source.text[start:end], moved)
        number = source.line_of(module.end(node))
        at = source.starts[number - 1] + len(source.line(number))
        line_end = "\r\n" if source.text[at : at + 2] == "\r\n" else "\n"
        return Edit(module.path, at, at, "", f"{line_end}{name} = {text}", of_bucket=True)
    return None
