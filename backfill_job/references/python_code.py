"""Python files: which of them matter, what was found in them, and that no place was left out.

Every place in such a file that holds a prefix's name ends as a finding: what the walk through the code did not reach is
judged as text, and is unresolved when it could be the path.
"""

import ast
import io
import tokenize
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from backfill_job.references.evaluate import Evaluator, TooDeep
from backfill_job.references.findings import Finding, Place, Resolution
from backfill_job.references.judgement import Judge
from backfill_job.references.mentions import mentions, resolve
from backfill_job.references.modules import Module
from backfill_job.references.project import Project
from backfill_job.references.relevance import relevant_modules
from backfill_job.references.sources import decode
from backfill_job.references.targets import Kind, Targets
from backfill_job.references.text import finding_at, scan_text
from backfill_job.references.texts import Position, Span, Text, with_holes
from backfill_job.references.walk import Walk

__all__ = ["PythonCode"]

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
            if _holds(comments, offset):
                yield self._as_text(module, offset, Place.COMMENT)
            elif _holds(docstrings, offset):
                yield self._as_text(module, offset, Place.DOCUMENTATION)
            elif _holds(strings, offset):
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


def _holds(spans: Iterable[tuple[int, int]], offset: int) -> bool:
    return any(start <= offset < end for start, end in spans)
