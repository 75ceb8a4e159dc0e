"""Which places of the consumers' code read a path: file, function, and what it does there.

A place keeps its name when its line or its expression changes. So it is found again after the change to the new path. The record has the
legacy path's readers (`shared.state.Site`), and those of another place that a person accepts.
"""

import ast
import os
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from backfill_job.references.findings import CodePlace, Finding, ScanResult
from backfill_job.references.modules import FUNCTIONS, Module, folders_above, spelling
from backfill_job.references.targets import FindingKind
from backfill_job.references.texts import readable
from shared.state import UNFIT, Site, State

__all__ = ["gone_sites", "in_module", "in_text", "sites_of", "with_accepted"]

LONGEST = 200
"""Characters of a file's or a function's name; of a longer one, the end counts."""

_PRESENCE = frozenset(
    {"exists", "object_exists", "blob_exists", "any", "bool", "is_file", "isfile", "is_dir"}
)
_LISTS = frozenset({"list", "list_blobs", "list_by_timespan", "ls", "glob", "iglob", "rglob", "walk", "find"})
_LOADS = re.compile(
    r"(load|read|download|open|copy|copy_blob|rewrite|sync|provide_file|source_(objects?|uris?)|uris?)(_\w+)?|\w*(ToBigQuery|Load|Copy)\w*"
)
_IN_TEXT = {
    "presence": re.compile(r"\b(stat|exists|describe)\b|\btest -|\[ -"),
    "load": re.compile(r"(?i)\bload\b|external|\buris?\b|source_?(uris?|objects?)|\b(cp|mv|rsync|cat|bq)\b"),
    "list": re.compile(r"\bls\b|\blist\b"),
}


def in_module(finding: Finding, module: Module) -> Finding:
    """A finding with the function around it, and what it does."""
    around = list(_around(module, finding.offset))
    names = [node.name for node in around if isinstance(node, (*FUNCTIONS, ast.ClassDef))]
    inner = [node for node in around if not (isinstance(node, ast.stmt) and hasattr(node, "body"))]
    if not any(isinstance(node, FUNCTIONS) for node in around):
        assigned = [target for node in inner if isinstance(node, ast.Assign) for target in node.targets]
        names += [spelling(target) for target in assigned if spelling(target)][:1]
    return replace(finding, scope=".".join(names), operation=_operation(inner))


def in_text(finding: Finding, line: str) -> Finding:
    """A finding with what its line does; the file is its scope."""
    found = (operation for operation, pattern in _IN_TEXT.items() if pattern.search(line))
    return replace(finding, operation=next(found, "read"))


def sites_of(result: ScanResult, kind: FindingKind) -> tuple[Site, ...]:
    """The places of a class, in order, each with how many of them there are."""
    found: Counter[Site] = Counter()
    for finding in result.findings:
        if finding.kind is kind and finding.place is CodePlace.CODE:
            found[site_of(finding, result.paths)] += 1
    ordered = sorted(found.items(), key=lambda one: one[0].name)
    return tuple(replace(site, places=count) for site, count in ordered)


def with_accepted(result: ScanResult, state: State) -> ScanResult:
    """The result, with the places that read elsewhere and that a person accepts by name; others at the same name still block."""
    counted = {(site.name, site.reads): site for site in sites_of(result, FindingKind.ELSEWHERE)}

    def accepted(finding: Finding) -> Finding:
        if finding.kind is not FindingKind.ELSEWHERE or finding.place is not CodePlace.CODE:
            return finding
        site = site_of(finding, result.paths)
        entry = state.acceptance(counted[site.name, site.reads])
        return finding if entry is None else replace(finding, accepted=f"{entry.note}, by {entry.by}")

    return replace(result, findings=tuple(map(accepted, result.findings)))


def gone_sites(result: ScanResult, state: State) -> tuple[Site, ...]:
    """The recorded places that are neither seen on the new path now nor accepted elsewhere, each with how many there were."""
    there = Counter({site.name: site.places for site in sites_of(result, FindingKind.MIGRATED)})
    for finding in result.findings:
        if finding.accepted:
            there[site_of(finding, result.paths).name] += 1
    return tuple(site for site in state.sites.values() if there[site.name] < site.places)


def site_of(finding: Finding, paths: Sequence[Path]) -> Site:
    """A finding's place by its name, in the checkout that one of a scan's paths belongs to."""
    elsewhere = finding.kind is FindingKind.ELSEWHERE
    named = ((one.bucket, one.prefix) for one in finding.resolutions if elsewhere)
    reads = {f"gs://{readable(at.chars)}/{readable(prefix.chars)}/" for at, prefix in named if at is not None}
    return Site(
        file=_fit(_below_top(finding.path, paths)),
        scope=_fit(finding.scope),
        operation=finding.operation,
        reads=_fit(" or ".join(sorted(reads))),
    )


def _below_top(path: Path, paths: Iterable[Path]) -> str:
    """A file's path below the top of its checkout; where there is none, below the path that was scanned."""
    top = next(iter(folders_above(path.absolute().parent)[-1:]), None)
    if top is None:
        roots = [root for root in paths if root == path or root in path.parents]
        top = max(roots, key=lambda root: len(root.parts), default=path)
        top = (top.parent if top == path else top).absolute()
    return Path(os.path.relpath(path.absolute(), top)).as_posix()


def _fit(text: str) -> str:
    return UNFIT.sub("\N{REPLACEMENT CHARACTER}", text)[-LONGEST:]


def _around(module: Module, offset: int) -> Iterator[ast.AST]:
    """The nodes around an offset, from the module's top to the innermost."""
    node: ast.AST | None = module.tree
    while node is not None:
        yield node
        inside = (part for part in _parts(node) if module.offset(part) <= offset < module.end(part))
        node = next(inside, None)


def _parts(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.expr, ast.stmt)):
            yield child
        else:
            yield from _parts(child)


def _operation(around: Sequence[ast.AST]) -> str:
    words: list[str] = []
    one = False
    for node in reversed(around):
        if isinstance(node, ast.Call):
            keywords = {keyword.arg or "": keyword.value for keyword in node.keywords}
            words += [spelling(node.func), *keywords]
            most = keywords.get("max_results")
            one = one or (isinstance(most, ast.Constant) and most.value == 1)
        elif isinstance(node, ast.Dict):
            words += [
                key.value for key in node.keys if isinstance(key, ast.Constant) and isinstance(key.value, str)
            ]
    if one or any(word in _PRESENCE or word.endswith("Sensor") for word in words):
        return "presence"
    if any(word in _LISTS for word in words[:1]):
        return "list"
    if any(_LOADS.fullmatch(word) for word in words):
        return "load"
    return "list" if any(word in _LISTS for word in words) else "read"
