"""Proposes the change of what a scan found: the smallest edits, all of a finding's or none, and only where nothing else is changed by them.

Findings lean on each other: a constant may be edited when everything that reads it is being mended. So all of them are
assumed to be mended first, and those whose edits are forbidden are dropped until no more are; then the tree is scanned once
more as it would be, and what would still block, or block anew, is not written.

The same edits as a unified diff that ``git apply`` takes; nothing is changed.

Paths in it start at the checkout's top, found by its ``.git``; without one, at the current directory.
"""

import ast
import difflib
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from backfill_job.references.edits import Audit, CannotEdit, Edit, apply_edits, edits_for, wanted
from backfill_job.references.evaluate import Evaluator
from backfill_job.references.findings import Finding, ScanResult
from backfill_job.references.modules import Project
from backfill_job.references.scan import MAX_BYTES, scan, walk_files
from backfill_job.references.targets import Kind, Targets
from backfill_job.references.texts import Position, Source, decode
from shared.errors import UsageError

__all__ = ["LineChange", "Proposal", "checkout_of", "propose", "unified_diff"]

_PLAIN = re.compile(rb"[\x20!#-\[\]-~]")
"""What git writes as itself: printable ASCII but for the double quote and the backslash."""


def unified_diff(contents: Mapping[Path, tuple[bytes, bytes]], top: Path) -> bytes:
    """Write files' changes as a diff.

    Args:
        contents: Each file's bytes before and after.
        top: What the paths are relative to.

    Returns:
        The diff.
    """
    return b"".join(
        line for path, (before, after) in contents.items() for line in _file(path, before, after, top)
    )


def checkout_of(paths: Mapping[Path, object], here: Path) -> Path:
    """The checkout that files belong to.

    Args:
        paths: The files.
        here: The current directory, for files of no checkout.

    Raises:
        UsageError: They belong to several, or lie outside of the current directory.
    """
    tops = {_top(path.absolute(), here.absolute()) for path in paths}
    if len(tops) > 1:
        names = ", ".join(sorted(map(str, tops)))
        raise UsageError(
            f"one patch is for one checkout, and these are several: {names}; scan them one by one"
        )
    return tops.pop() if tops else here.absolute()


def _top(path: Path, here: Path) -> Path:
    for folder in path.parents:
        if (folder / ".git").exists():
            return folder
    if not path.is_relative_to(here):
        raise UsageError(
            f"{path} is in no checkout and not below {here}: a patch could not name it; change directory"
        )
    return here


def _file(path: Path, before: bytes, after: bytes, top: Path) -> Iterator[bytes]:
    name = path.absolute().relative_to(top).as_posix()
    lines = difflib.diff_bytes(
        difflib.unified_diff,
        _lines(before),
        _lines(after),
        _quoted(f"a/{name}"),
        _quoted(f"b/{name}"),
        lineterm=b"\n",
    )
    for index, line in enumerate(lines):
        if index < 2:  # noqa: PLR2004 -- the two lines that name the file: no time stamps, which difflib would leave a space for
            yield line.rstrip(b"\n") + (
                b"\t\n" if b" " in line[4:] and not line[4:].startswith(b'"') else b"\n"
            )
        elif line.endswith(b"\n"):
            yield line
        else:
            yield line + b"\n\\ No newline at end of file\n"


def _lines(data: bytes) -> list[bytes]:
    """Lines as git counts them: only a line feed ends one."""
    parts = data.split(b"\n")
    return [part + b"\n" for part in parts[:-1]] + ([parts[-1]] if parts[-1] else [])


def _quoted(name: str) -> bytes:
    """A path as git writes it in a diff: in quotes, and in octal, where it has other than printable ASCII."""
    data = name.encode("utf-8", "surrogateescape")
    plain = [_PLAIN.fullmatch(bytes([byte])) is not None for byte in data]
    if all(plain):
        return data
    escaped = (
        bytes([byte]) if is_plain else b"\\%03o" % byte for byte, is_plain in zip(data, plain, strict=True)
    )
    return b'"' + b"".join(escaped) + b'"'


@dataclass(frozen=True, slots=True)
class LineChange:
    """One line as it is and as it is to be."""

    path: Path
    line: int
    before: str
    after: str

    def to_json(self) -> dict[str, str | int]:
        """The change for a report."""
        return {"path": self.path.as_posix(), "line": self.line, "before": self.before, "after": self.after}


@dataclass(frozen=True, slots=True)
class Proposal:
    """What can be mended, and what is left to a person.

    Attributes:
        changes: The lines that mend each finding.
        refusals: Why the others are not mended.
        contents: Each file to be written: what it holds, and what it is to hold.
    """

    changes: Mapping[Finding, tuple[LineChange, ...]]
    refusals: Mapping[Finding, str]
    contents: Mapping[Path, tuple[bytes, bytes]]


def propose(result: ScanResult, *, skip: Sequence[str] = ()) -> Proposal:
    """Work out what can be mended.

    Args:
        result: A scan's.
        skip: What that scan left out.

    Returns:
        The proposal; nothing is written.

    Raises:
        UsageError: A path of the scan is gone.
    """
    planner = _Planner(result, skip)
    planner.plan()
    return planner.proposal()


@dataclass
class _Planner:
    result: ScanResult
    skip: Sequence[str]
    wanted: dict[Finding, tuple[Edit, ...]] = field(default_factory=dict)
    refusals: dict[Finding, str] = field(default_factory=dict)
    _data: dict[Path, bytes] = field(default_factory=dict)
    _sources: dict[Path, Source] = field(default_factory=dict)

    def plan(self) -> None:
        tree = walk_files(self.result.paths, self.skip)
        scanned = set(tree.files)
        python = [path for path in tree.files if path.suffix in {".py", ".pyi"}]
        targets = Targets(self.result.migrations)
        project = Project(python, self.read)
        self._audit = Audit(project, Evaluator(project, targets.carries), self.read, self.source)
        for finding in self.result.blocking:
            try:
                self.wanted[finding] = edits_for(finding, self.source)
                self._check_files(self.wanted[finding], scanned)
                self._check_alone(finding)
                self._check_copy(finding)
            except CannotEdit as reason:
                self._refuse(finding, str(reason))
        self._settle()
        self._rehearse()

    def proposal(self) -> Proposal:
        changes = {finding: self._changed_lines(edits) for finding, edits in self.wanted.items()}
        return Proposal(changes, dict(self.refusals), self._contents())

    def read(self, path: Path) -> bytes:
        if path not in self._data:
            self._data[path] = path.read_bytes()
        return self._data[path]

    def source(self, path: Path) -> Source:
        if path not in self._sources:
            self._sources[path] = decode(path, self.read(path))
        return self._sources[path]

    def _refuse(self, finding: Finding, reason: str) -> None:
        self.wanted.pop(finding, None)
        goal = wanted(finding)
        self.refusals[finding] = f"{reason}; by hand: make it {goal}" if goal else reason

    def _check_files(self, edits: Sequence[Edit], scanned: set[Path]) -> None:
        for edit in edits:
            if edit.path not in scanned:
                raise CannotEdit(f"it is written in {edit.path.as_posix()}, which was not scanned")
            if edit.path.is_symlink():
                raise CannotEdit(f"{edit.path.as_posix()} is a link out of what was scanned")

    def _check_alone(self, finding: Finding) -> None:
        edits = self.wanted[finding]
        if finding.shares_bucket and any(edit.of_bucket for edit in edits):
            raise CannotEdit("the bucket belongs to other objects, too, or to other calls of a function")
        if finding.shares_prefix and not all(edit.of_bucket for edit in edits):
            raise CannotEdit("the prefix belongs to other calls of a function, too")

    def _check_copy(self, finding: Finding) -> None:
        """Leave alone what reads the old path to write the new one: it would read what it writes."""
        for other in self.result.findings:
            if (other.path, other.together) == (
                finding.path,
                finding.together,
            ) and other.kind is Kind.MIGRATED:
                raise CannotEdit("it stands beside the new path, as in a copy from one to the other")
        targets = {target for one in finding.resolutions for target in one.targets}
        buckets = {one.bucket.chars for one in finding.resolutions if one.bucket is not None}
        old, new = (
            {
                bucket
                for bucket in buckets
                for target in targets
                if target.captures(bucket, legacy=legacy) is not None
            }
            for legacy in (True, False)
        )
        if old and new - old:
            raise CannotEdit("it chooses between both paths when it runs; remove the choice")

    def _settle(self) -> None:
        """Drop findings whose edits are forbidden, until those that are left forbid nothing."""
        dropped = True
        while dropped:
            dropped = False
            mended = self._mended()
            verdicts: dict[Edit, str] = {}
            for finding in list(self.wanted):
                reason = next(
                    filter(None, (self._verdict(edit, mended, verdicts) for edit in self.wanted[finding])), ""
                )
                if reason:
                    self._refuse(finding, reason)
                    dropped = True

    def _mended(self) -> frozenset[Position]:
        marks: set[Position] = set()
        for finding in self.wanted:
            for one in finding.resolutions:
                for text in (one.bucket, one.prefix):
                    marks |= text.loads if text is not None else set()
        return frozenset(marks)

    def _verdict(self, edit: Edit, mended: frozenset[Position], verdicts: dict[Edit, str]) -> str:
        if edit not in verdicts:
            try:
                self._audit.check(edit, mended)
                verdicts[edit] = ""
            except CannotEdit as reason:
                verdicts[edit] = str(reason)
        return verdicts[edit]

    def _rehearse(self) -> None:
        """Scan the tree as it would be; whatever would still block, or a file that would no longer parse, is left alone."""
        while self.wanted:
            contents = self._contents()
            broken = {
                path for path, (before, after) in contents.items() if not _still_parses(path, before, after)
            }
            edited = {path: after for path, (_, after) in contents.items()}
            after = scan(self.result.paths, self.result.migrations, skip=self.skip, contents=edited)
            blocking = {(finding.path, finding.line) for finding in after.blocking}
            before = {(finding.path, finding.line) for finding in self.result.blocking}
            bad = [
                finding
                for finding, edits in self.wanted.items()
                if ((finding.path, finding.line) in blocking and not self._has_unmended_neighbour(finding))
                or broken.intersection(edit.path for edit in edits)
            ]
            if blocking - before:
                bad = list(self.wanted)
            if not bad:
                return
            for finding in bad:
                self._refuse(finding, "the edit was tried, and the scan would not be clean there")
            self._settle()

    def _has_unmended_neighbour(self, finding: Finding) -> bool:
        place = (finding.path, finding.line)
        return any((other.path, other.line) == place for other in self.refusals)

    def _contents(self) -> dict[Path, tuple[bytes, bytes]]:
        edits: dict[Path, set[Edit]] = defaultdict(set)
        for found in self.wanted.values():
            for edit in found:
                edits[edit.path].add(edit)
        contents = {}
        for path in sorted(edits):
            source = self.source(path)
            contents[path] = (self.read(path), source.encode(apply_edits(source.text, edits[path])))
        return contents

    def _changed_lines(self, edits: Sequence[Edit]) -> tuple[LineChange, ...]:
        lines: dict[tuple[Path, int], list[Edit]] = defaultdict(list)
        for edit in edits:
            lines[edit.path, self.source(edit.path).line_of(edit.start)].append(edit)
        changes = []
        for (path, number), found in sorted(lines.items()):
            source = self.source(path)
            start = source.starts[number - 1]
            moved = [
                Edit(path, edit.start - start, edit.end - start, edit.before, edit.after, edit.of_bucket)
                for edit in found
            ]
            changes.append(
                LineChange(path, number, source.line(number), apply_edits(source.line(number), moved))
            )
        return tuple(changes)


def _still_parses(path: Path, before: bytes, after: bytes) -> bool:
    parsers: Mapping[str, Callable[[bytes], object]] = {
        ".py": lambda data: ast.parse(decode(path, data).text),
        ".json": json.loads,
        ".ipynb": json.loads,
    }
    parser = parsers.get(path.suffix)
    if parser is None or len(before) > MAX_BYTES:
        return True
    try:
        parser(before)
    except (SyntaxError, ValueError, RecursionError):
        return True  # it did not parse before either
    try:
        parser(after)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True
