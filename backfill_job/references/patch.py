"""Proposes the change of what a scan found: all of a finding's edits or none, and only where nothing else is changed by them.

Findings depend on each other: a constant may be edited when everything that reads it is edited too. So all findings are assumed
to be editable at first, and those whose edits are forbidden are dropped until only permitted ones are left. Then the tree is
scanned once more as it would be; what would still block, or block anew, is left to a person.
`unified_diff` writes a proposal as a diff that ``git apply`` takes. Nothing else is written.
"""

import ast
import difflib
import functools
import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from backfill_job.references.constants import exchanged, proposed
from backfill_job.references.edits import CannotEdit, Edit, Readers, apply_edits, edits_for, wanted
from backfill_job.references.evaluate import Evaluator, TooDeep
from backfill_job.references.findings import Finding, ScanResult
from backfill_job.references.modules import PythonProject, folders_above
from backfill_job.references.scan import may_be_read, read_code, scan, walk_files
from backfill_job.references.targets import FindingKind, Targets
from backfill_job.references.texts import PYTHON, Position, SourceText, decode_source
from shared.errors import UsageError

__all__ = ["LineChange", "Proposal", "checkout_of", "propose", "unified_diff"]

_PLAIN = re.compile(rb"[\x20!#-\[\]-~]")
"""What git writes as itself: printable ASCII without the double quote and the backslash."""


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
    """What can be changed, and what is left to a person.

    Attributes:
        changes: The lines that change for each finding.
        contents: Each file's bytes before and after.
    """

    changes: Mapping[Finding, tuple[LineChange, ...]]
    refusals: Mapping[Finding, str]
    contents: Mapping[Path, tuple[bytes, bytes]]


def propose(result: ScanResult, *, skip: Sequence[str] = (), whole: bool = True) -> Proposal:
    """Work out what can be changed; nothing is written.

    Args:
        whole: Whether a file of which one place stays is left alone. Otherwise each place is looked at for itself.

    Raises:
        UsageError: A path of the scan has disappeared.
    """
    read = functools.cache(read_code)
    planner = _Planner(
        result, skip, whole, read, functools.cache(lambda path: decode_source(path, read(path)))
    )
    planner.plan()
    changes = {finding: planner.changed_lines(edits) for finding, edits in planner.edits.items()}
    return Proposal(changes, planner.refusals, planner.contents())


@dataclass
class _Planner:
    result: ScanResult
    skip: Sequence[str]
    whole: bool
    read: Callable[[Path], bytes]
    source: Callable[[Path], SourceText]
    edits: dict[Finding, tuple[Edit, ...]] = field(default_factory=dict)
    refusals: dict[Finding, str] = field(default_factory=dict)
    _ways: dict[Finding, Iterator[tuple[Edit, ...] | CannotEdit]] = field(default_factory=dict)
    _reasons: dict[Finding, list[str]] = field(default_factory=lambda: defaultdict(list))

    def plan(self) -> None:
        tree = walk_files(self.result.paths, self.skip)
        python = [path for path in tree.files if path.suffix in PYTHON and self._is_read(path)]
        project = PythonProject(python, self.read, may_be_read(self.result.paths))
        targets = Targets(self.result.migrations, self.result.settings)
        evaluator = Evaluator(project, targets.carries, targets.setting)
        readers = Readers(project, evaluator, self.read, self.source)
        scanned = set(tree.files)
        for finding in self.result.blocking:
            self._ways[finding] = self._ways_of(finding, scanned, readers)
            self._refuse(finding, "")
        self._settle(readers)
        self._rehearse(readers)

    def _ways_of(
        self, finding: Finding, scanned: set[Path], readers: Readers
    ) -> Iterator[tuple[Edit, ...] | CannotEdit]:
        """Every way to change a finding, the best first; and why there is not one."""
        ways = (
            lambda: exchanged(finding, readers),
            lambda: [edits_for(finding, self.source)],
            lambda: proposed(finding, readers),
        )
        for way in ways:
            try:
                self._check_copy(finding)
                for edits in way():
                    _check_files(edits, scanned)
                    _check_alone(finding, edits)
                    yield edits
            except (CannotEdit, TooDeep) as reason:
                yield reason if isinstance(reason, CannotEdit) else CannotEdit("it leads too deep to be read")

    def _is_read(self, path: Path) -> bool:
        try:
            self.read(path)
        except OSError:
            return False
        return True

    def contents(self) -> dict[Path, tuple[bytes, bytes]]:
        every = sorted({edit for found in self.edits.values() for edit in found})
        contents = {}
        for path, edits in groupby(every, key=lambda edit: edit.path):
            source = self.source(path)
            contents[path] = (self.read(path), source.encode(apply_edits(source.text, edits)))
        return contents

    def changed_lines(self, edits: Iterable[Edit]) -> tuple[LineChange, ...]:
        lines: dict[tuple[Path, int], list[Edit]] = defaultdict(list)
        for edit in edits:
            lines[edit.path, self.source(edit.path).line_of(edit.start)].append(edit)
        changes = []
        for (path, number), found in sorted(lines.items()):
            source = self.source(path)
            before, start = source.line(number), source.starts[number - 1]
            moved = [replace(edit, start=edit.start - start, end=edit.end - start) for edit in found]
            changes.append(LineChange(path, number, before, apply_edits(before, moved)))
        return tuple(changes)

    def _refuse(self, finding: Finding, reason: str) -> None:
        """Try a finding's next way; leave it to a person, with the reason of the second way, where there is none."""
        reasons = self._reasons[finding]
        reasons += [reason] if reason else []
        for way in self._ways[finding]:
            if not isinstance(way, CannotEdit):
                self.edits[finding] = tuple(sorted(set(way)))
                return
            reasons.append(str(way))
        self.edits.pop(finding, None)
        goal = wanted(finding)
        said = self._reasons[finding][0]
        self.refusals[finding] = f"{said}; by hand: make it {goal}" if goal else said

    def _check_copy(self, finding: Finding) -> None:
        """Leave alone what reads the old path to write the new one: it would read what it writes."""
        for other in self.result.findings:
            beside = (other.path, other.together) == (finding.path, finding.together)
            if beside and other.kind is FindingKind.MIGRATED:
                raise CannotEdit("it stands beside the new path, as in a copy from one to the other")
        targets = {target for one in finding.resolutions for target in one.targets}
        buckets = {one.bucket.chars for one in finding.resolutions if one.bucket is not None}
        old, new = (
            {one for one in buckets if any(each.captures(one, legacy=legacy) is not None for each in targets)}
            for legacy in (True, False)
        )
        if old and new - old:
            raise CannotEdit("it chooses between both paths when it runs; remove the choice")

    def _settle(self, readers: Readers) -> None:
        """Drop findings whose edits are forbidden, until all edits that are left are permitted."""
        dropped = True
        while dropped:
            dropped = False
            verdict = functools.cache(functools.partial(_verdict, readers, self._edited()))
            for finding, edits in list(self.edits.items()):
                reason = next(filter(None, map(verdict, edits)), "")
                if reason:
                    self._refuse(finding, reason)
                    dropped = True
            dropped = self._keep_whole() or dropped

    def _keep_whole(self) -> bool:
        """Leave a file alone where one of its places stays; tells whether there was one."""
        stay: dict[Path, Finding] = {}
        for finding in self.refusals if self.whole else ():
            stay.setdefault(finding.path, finding)
        parts = [
            (finding, stay[path])
            for finding, edits in self.edits.items()
            for path in (finding.path, *(edit.path for edit in edits))
            if path in stay
        ]
        for finding, other in parts:
            self._ways[finding] = iter(())
            self._reasons[finding] = [
                f"a file is changed wholly or not at all, and line {other.line} of {other.path.name} stays"
            ]
            self._refuse(finding, "")
        return bool(parts)

    def _edited(self) -> frozenset[Position]:
        """Every name that the findings to be edited were read through."""
        return frozenset(mark for one in self.edits for text in one.texts() for mark in text.loads)

    def _rehearse(self, readers: Readers) -> None:
        """Scan the tree as it would be; leave to a person what would still block, or would no longer parse."""
        before = {(finding.path, finding.line) for finding in self.result.blocking}
        while self.edits:
            contents = self.contents()
            # A file that could not be parsed before need not be parsed now.
            parsed = {path: new for path, (old, new) in contents.items() if _parses(path, old)}
            broken = {path for path, new in parsed.items() if not _parses(path, new)}
            edited = {path: new for path, (_, new) in contents.items()}
            given = self.result
            after = scan(
                given.paths, given.migrations, skip=self.skip, contents=edited, settings=given.settings
            )
            blocking = {(finding.path, finding.line) for finding in after.blocking}
            still = blocking - {(finding.path, finding.line) for finding in self.refusals}
            still |= {place for place in blocking if self.whole and place[0] in contents}
            bad = [
                finding
                for finding, edits in self.edits.items()
                if (finding.path, finding.line) in still or broken.intersection(edit.path for edit in edits)
            ]
            if blocking - before:
                bad = list(self.edits)
            if not bad:
                return
            for finding in bad:
                self._ways[finding] = iter(())
                self._refuse(finding, "the edit was tried, and the scan would not be clean there")
            self._settle(readers)


def _check_files(edits: Iterable[Edit], scanned: set[Path]) -> None:
    for edit in edits:
        if edit.path not in scanned:
            raise CannotEdit(f"it is written in {edit.path.as_posix()}, which was not scanned")
        if edit.path.is_symlink():
            raise CannotEdit(f"{edit.path.as_posix()} is a link out of what was scanned")


def _check_alone(finding: Finding, edits: Sequence[Edit]) -> None:
    if finding.shares_bucket and any(edit.of_bucket for edit in edits):
        raise CannotEdit("the bucket belongs to other objects, too, or to other calls of a function")
    if finding.shares_prefix and not all(edit.of_bucket for edit in edits):
        raise CannotEdit("the prefix belongs to other calls of a function, too")


def _verdict(readers: Readers, edited: frozenset[Position], edit: Edit) -> str:
    try:
        readers.check(edit, edited)
    except CannotEdit as reason:
        return str(reason)
    return ""


def _parses(path: Path, data: bytes) -> bool:
    """Whether bytes are valid for a file's suffix; anything is, where this module does not know the suffix."""
    try:
        if path.suffix == ".py":
            ast.parse(decode_source(path, data).text)
        elif path.suffix in {".json", ".ipynb"}:
            json.loads(data)
    except (SyntaxError, ValueError, RecursionError):
        return False
    return True


# --- the diff ----------------------------------------------------------------------------------------------------


def unified_diff(contents: Mapping[Path, tuple[bytes, bytes]], top: Path) -> bytes:
    """Write files' bytes before and after as a diff whose paths are relative to `top`."""
    return b"".join(
        line for path, (before, after) in contents.items() for line in _file_diff(path, before, after, top)
    )


def checkout_of(paths: Iterable[Path], here: Path) -> Path:
    """The checkout that files belong to, found by its ``.git``; `here`, the current directory, for those outside of any.

    Raises:
        UsageError: They belong to several, or lie outside of the current directory.
    """
    tops = {_top(path.absolute(), here.absolute()) for path in paths}
    if len(tops) > 1:
        names = ", ".join(sorted(map(str, tops)))
        why = f"one patch is for one checkout, and these are several: {names}; scan them one by one"
        raise UsageError(why)
    return tops.pop() if tops else here.absolute()


def _top(path: Path, here: Path) -> Path:
    if tops := folders_above(path.parent)[-1:]:
        return tops[0]
    if not path.is_relative_to(here):
        why = f"{path} is in no checkout and not below {here}: a patch could not name it; change directory"
        raise UsageError(why)
    return here


def _file_diff(path: Path, before: bytes, after: bytes, top: Path) -> Iterator[bytes]:
    name = path.absolute().relative_to(top).as_posix()
    old, new = _quoted(f"a/{name}"), _quoted(f"b/{name}")
    lines = difflib.diff_bytes(difflib.unified_diff, _lines(before), _lines(after), old, new, lineterm=b"\n")
    for index, line in enumerate(lines):
        if index < 2:  # noqa: PLR2004 -- the two lines with the file's name; git wants a tab behind one with a space
            with_space = b" " in line[4:] and not line[4:].startswith(b'"')
            yield line.rstrip(b"\n") + (b"\t\n" if with_space else b"\n")
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
    data = [bytes([byte]) for byte in name.encode("utf-8", "surrogateescape")]
    if all(map(_PLAIN.fullmatch, data)):
        return b"".join(data)
    return b'"' + b"".join(one if _PLAIN.fullmatch(one) else b"\\%03o" % one[0] for one in data) + b'"'
