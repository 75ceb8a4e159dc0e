"""Scans a checkout: every file that could hold the name of a prefix is judged once.

A false "clean" is the worst outcome, because a deletion relies on it. So whatever cannot be read blocks, and every place that
holds a prefix's name, in any case, is a finding of some class. Files without a word of the name are read once and
searched as bytes.
"""

import codecs
import errno
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from backfill_job.references.findings import CodePlace, Finding, Resolution, ScanError, ScanResult
from backfill_job.references.modules import folders_above
from backfill_job.references.other_files import is_code, scan_text
from backfill_job.references.python import scan_python
from backfill_job.references.targets import FindingKind, Targets
from backfill_job.references.texts import PYTHON, SourceText, Text, decode_source, is_binary, is_broken
from shared.errors import UsageError
from shared.migration import Migration

__all__ = [
    "MAX_BYTES",
    "Checkouts",
    "Tree",
    "may_be_read",
    "read_code",
    "read_settings",
    "scan",
    "walk_files",
]

MAX_BYTES = 8 * 1024 * 1024
"""A larger file is searched, but not read as code."""

PIECE = 1024 * 1024
OVERLAP = 4 * 1024
"""A larger file is searched in such pieces; a name with four bytes a character fits into the overlap."""

SKIPPED_FOLDERS = frozenset(
    {".git", ".hg", ".svn", "node_modules", ".venv", "__pycache__", ".mypy_cache", ".ruff_cache"}
    | {".pytest_cache", ".tox", ".nox"}
)
"""What tools make: people write nothing in them by hand."""

_SETTING = re.compile(
    r"[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_]\w*)(?:=|:[ \t]+)(?P<quote>[\"']?)(?P<value>.*?)(?P=quote)[ \t]*(?<!\S)?(?:[ \t]#.*)?"
)
_REVIEWED = re.compile(r"references:[ \t]*reviewed\b[ \t:,-]*(?P<why>[^\r\n]*)", re.IGNORECASE)


@dataclass
class Tree:
    """The files to be scanned: each once, in order; what was left out, and what could not be looked at."""

    files: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    errors: list[ScanError] = field(default_factory=list)


def scan(
    paths: Sequence[Path],
    migrations: Sequence[Migration],
    *,
    skip: Sequence[str] = (),
    contents: Mapping[Path, bytes] | None = None,
    settings: Mapping[str, str] | None = None,
) -> ScanResult:
    """Find every reference to the migrations' paths in files and folders, and what could not be read; both may block.

    Args:
        skip: Shell patterns of files and folders to leave out, of their names or of their paths.
        contents: Contents to assume for some files, instead of those on disk.
        settings: The values that settings have where the code is deployed, by name.

    Raises:
        UsageError: A path does not exist, or a migration cannot be looked for.
    """
    targets = Targets(migrations, settings)
    return _Scan(targets, walk_files(paths, skip), contents or {}).run(paths, migrations)


@dataclass(frozen=True, slots=True)
class Checkouts:
    """The consumers' code that a check looks at.

    Attributes:
        paths: Files and folders; empty where none was named.
        skip: Shell patterns of what is left out.
        env_file: The settings with which the code is deployed; None where they are not given.
    """

    paths: tuple[Path, ...] = ()
    skip: tuple[str, ...] = ()
    env_file: Path | None = None

    def scan(self, migration: Migration) -> ScanResult | None:
        """Look for one migration; None where no checkout was named.

        Raises:
            UsageError: As `scan` and `read_settings`.
        """
        if not self.paths:
            return None
        return scan(self.paths, [migration], skip=self.skip, settings=read_settings(self.env_file))


def read_settings(path: Path | None) -> dict[str, str]:
    """Read a file of settings: ``NAME=value`` or ``NAME: value`` on each line, as ``docker`` and ``gcloud`` take them.

    Raises:
        UsageError: It cannot be read, or a line is not a setting, or gives a name a second value.
    """
    found: dict[str, str] = {}
    try:
        text = "" if path is None else read_code(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--env-file {path}: cannot be read: {error}") from error
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        match = _SETTING.fullmatch(line)
        if match is None or found.get(match["name"], match["value"]) != match["value"]:
            what = "is not NAME=value" if match is None else f"gives {match['name']} a second value"
            raise UsageError(f"--env-file {path}: line {number} {what}")
        found[match["name"]] = match["value"]
    return found


def walk_files(paths: Sequence[Path], skip: Sequence[str]) -> Tree:
    """List the files of a scan. Nothing outside of the paths is looked at: a link out of them is an error, which blocks.

    Raises:
        UsageError: A path does not exist.
    """
    tree = Tree()
    seen: set[str] = set()
    roots = [os.path.realpath(path) for path in paths]
    for root in paths:
        try:
            there = root.exists()
        except OSError as error:
            raise UsageError(f"{root}: {error.strerror}; name files or folders of a checkout") from error
        if not there:
            raise UsageError(f"{root} does not exist; name files or folders of a checkout")
        waiting = [root]
        while waiting:
            path = waiting.pop()
            names = (path.name, path.as_posix())
            if path != root and any(fnmatch(name, one) for one in skip for name in names):
                tree.skipped.append(path)
                continue
            try:
                waiting += reversed(_looked_at(path, tree, seen, roots, asked=path == root))
            except OSError as error:
                tree.errors.append(ScanError(path, f"cannot be looked at: {error.strerror}"))
    return tree


def _looked_at(path: Path, tree: Tree, seen: set[str], roots: Sequence[str], *, asked: bool) -> list[Path]:
    """Note a file; gives what a folder holds, in order.

    Raises:
        OSError: It cannot be looked at.
    """
    mode = path.stat(follow_symlinks=asked).st_mode
    real = os.path.realpath(path)
    if stat.S_ISLNK(mode):
        if not _is_within(real, roots):
            why = "is a link out of what is scanned, and is not followed; scan its target, too, or leave it out with --skip"
            tree.errors.append(ScanError(path, why))
        elif path.name not in SKIPPED_FOLDERS and not _is_met(Path(real), roots):
            why = "is a link into what tools make, which is not scanned; scan its target, too, or leave it out with --skip"
            tree.errors.append(ScanError(path, why))
        else:
            path.stat()  # the walk meets its target where it lies
    elif real in seen:
        pass
    elif stat.S_ISREG(mode):
        seen.add(real)
        tree.files.append(path)
    elif stat.S_ISDIR(mode) and (asked or not _is_made_by_tools(path)):
        seen.add(real)
        return sorted(path.iterdir())
    elif stat.S_ISDIR(mode) and path.name not in SKIPPED_FOLDERS:
        tree.skipped.append(path)
    return []


def _is_made_by_tools(folder: Path) -> bool:
    return folder.name in SKIPPED_FOLDERS or _is_installed(folder)


def _is_installed(folder: Path) -> bool:
    """Whether it holds a virtual environment's packages. What else lies in the environment's folder may be a consumer."""
    homes = folder.parents[1:3]  # of Lib/site-packages and of lib/python3.11/site-packages
    return folder.name == "site-packages" and any((home / "pyvenv.cfg").exists() for home in homes)


def _is_met(real: Path, roots: Sequence[str]) -> bool:
    """Tell whether the walk comes to a path: from one of the roots, no folder on the way is made by tools."""
    inside = [len(Path(root).parts) for root in roots if _is_within(str(real), [root])]
    ways = ([real, *real.parents][: len(real.parts) - depth] for depth in inside)
    return any(not any(map(_is_made_by_tools, way)) for way in ways)


def _is_within(real: str, roots: Iterable[str]) -> bool:
    return any(real == root or real.startswith(root.rstrip("/") + "/") for root in roots)


def read_code(path: Path) -> bytes:
    """A file's bytes.

    Raises:
        OSError: It cannot be read, or is larger than `MAX_BYTES`.
    """
    if path.stat().st_size > MAX_BYTES:
        raise OSError(errno.EFBIG, f"larger than {MAX_BYTES:,} bytes")
    return path.read_bytes()


def may_be_read(paths: Sequence[Path]) -> Callable[[Path], bool]:
    """Tell whether a file that an import names lies in a scan's paths, or in the checkout of one of them."""
    tops = [os.path.realpath(folder) for path in paths for folder in folders_above(path.absolute())[-1:]]
    roots = [*map(os.path.realpath, paths), *tops]
    return lambda path: _is_within(os.path.realpath(path), roots)


class _Scan:
    def __init__(self, targets: Targets, tree: Tree, contents: Mapping[Path, bytes]) -> None:
        self._targets = targets
        self._tree = tree
        self._contents = contents
        self._errors = list(tree.errors)
        self._sources: dict[Path, SourceText] = {}

    def run(self, paths: Sequence[Path], migrations: Sequence[Migration]) -> ScanResult:
        python: list[Path] = []
        relevant: list[Path] = []
        findings: list[Finding] = []
        code: list[str] = []
        for path in self._tree.files:
            data = self._data(path, findings)
            if data is None:
                continue
            if is_code(path, data):
                code.append(os.path.realpath(path))
            if path.suffix in PYTHON:
                python.append(path)
                if _holds(data, self._targets.word_bytes):
                    relevant.append(path)
            elif _holds(data, self._targets.word_bytes):
                findings += scan_text(
                    decode_source(path, data), self._targets, is_alone=partial(self._is_alone, path)
                )
        findings += scan_python(python, relevant, self._read, may_be_read(paths), self._targets)
        final = sorted(
            (_reviewed(finding, self._line) for finding in dict.fromkeys(findings)),
            key=lambda finding: (finding.path, finding.offset, finding.kind.rank),
        )
        return ScanResult(
            paths=tuple(paths),
            migrations=tuple(migrations),
            files=len(self._tree.files),
            skipped=tuple(self._tree.skipped),
            findings=tuple(final),
            errors=tuple(self._errors),
            settings=self._targets.settings,
            code=len(code),
            without_code=tuple(
                path for path in paths if not any(_is_within(one, [os.path.realpath(path)]) for one in code)
            ),
        )

    def _read(self, path: Path) -> bytes:
        return self._contents[path] if path in self._contents else read_code(path)

    def _data(self, path: Path, findings: list[Finding]) -> bytes | None:
        """A file's bytes; None for one that was searched another way, or could not be read."""
        try:
            if path not in self._contents and path.stat().st_size > MAX_BYTES:
                findings += self._huge(path)
                return None
            data = self._read(path)
        except OSError as error:
            self._errors.append(ScanError(path, f"cannot be read: {error.strerror}"))
            return None
        if is_broken(data):
            message = "cannot be read: not in the encoding that its byte order mark says"
            self._errors.append(ScanError(path, message))
            return None
        if not is_binary(data):
            return data
        plain = data.replace(b"\0", b"")  # a text of two or four bytes a character, without a mark
        targets = self._targets
        named = (each for each in (data, plain) if _holds(each, targets.key_bytes))
        if any(targets.key_pattern.search(each.decode("latin-1")) for each in named):
            findings.append(self._unreadable(path, 0, "a binary file that holds the name"))
        return None

    def _huge(self, path: Path) -> Iterator[Finding]:
        """Search a file piece by piece, so that it needs no more memory than a small one."""
        pattern = re.compile(b"|".join(map(_in_any_width, self._targets.key_bytes)), re.IGNORECASE)
        line, data = 1, b""
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                line += data.count(b"\n", 0, max(0, len(data) - OVERLAP))
                data = data[-OVERLAP:] + piece
                if (match := pattern.search(data)) is not None:
                    line += data.count(b"\n", 0, match.start())
                    note = f"larger than {MAX_BYTES:,} bytes, searched and not read as code"
                    yield self._unreadable(path, line, note)
                    return

    def _is_alone(self, path: Path) -> bool:
        """Whether no other file names a file, so that none can source or include it."""
        name = path.name.encode()
        try:
            return not any(name in self._read(other) for other in self._tree.files if other != path)
        except OSError:
            return False

    def _unreadable(self, path: Path, line: int, note: str) -> Finding:
        resolutions = (Resolution(FindingKind.UNRESOLVED, None, Text(self._targets.prefixes[0])),)
        return Finding(path, 0, line, 0, "", FindingKind.UNRESOLVED, CodePlace.CODE, resolutions, note)

    def _line(self, path: Path, number: int) -> str:
        if path not in self._sources:
            try:
                data = self._read(path)
            except OSError:
                return ""
            self._sources[path] = decode_source(path, data)
        return self._sources[path].line(number)


def _reviewed(finding: Finding, line: Callable[[Path, int], str]) -> Finding:
    """Accept a person's review: ``references: reviewed REASON`` in the line or in the one before it.

    Only an unresolved finding can be reviewed; what is legacy, mixed or elsewhere stays what it is.
    """
    kinds = {one.kind for one in finding.resolutions}
    if (
        finding.kind is not FindingKind.UNRESOLVED
        or FindingKind.ELSEWHERE in kinds
        or finding.place is not CodePlace.CODE
    ):
        return finding
    for number in (finding.line, finding.line - 1):
        match = _REVIEWED.search(line(finding.path, number))
        if match is not None and (why := match.group("why").rstrip("*/->#} ").strip()):
            return replace(finding, reviewed=why)
    return finding


def _in_any_width(word: bytes) -> bytes:
    """A pattern for a word, whether its characters have one byte, two or four."""
    return rb"\0{0,3}".join(re.escape(bytes([byte])) for byte in word)


def _holds(data: bytes, words: Sequence[bytes]) -> bool:
    # UTF-32-LE begins as UTF-16-LE.
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)):
        data = data.replace(b"\0", b"")
    lowered = data.lower()
    return any(word in lowered for word in words)
