"""One object's contents, in pieces as they arrive, checked as JSON Lines the way BigQuery would load them. Pure.

What a row must be is ``backfill_job.rows``'s business. An *error* would fail the load of the day, or lose a row; a *warning*
loads and is odd. Contents are never shown: problems have a line's number, their kind, and names of the schema's fields.

A line of more than `MAX_LINE` bytes is not held but counted as an error; BigQuery's own bound is 100 MB a row.
"""

import zlib
from collections import Counter
from dataclasses import dataclass
from enum import Enum

from backfill_job.rows import NoRow, Row, row_of

__all__ = ["MAX_LINE", "ContentsOf", "LineChecker", "Problem", "Severity", "severity_of", "unpacked"]

MAX_LINE = 2 * 1024 * 1024
"""Bytes of the longest line that is looked at. Parsed, the worst of that length takes forty times as much for a moment."""

MAX_USERS = 100_000
"""Users remembered of one object, so that a repeated one is noticed."""

MAX_PROBLEMS = 10
"""Problems of one object kept one by one; all are counted."""

UNPACKED_AT_ONCE = 1024 * 1024
"""Bytes that compressed contents are unpacked by."""

BOM = b"\xef\xbb\xbf"


class Severity(Enum):
    """What a problem means for a load."""

    ERROR = "error"
    WARNING = "warning"


_WARNINGS = frozenset({"blank_line", "duplicate_user", "empty"})


def severity_of(kind: str) -> Severity:
    """What a kind of problem means for a load."""
    return Severity.WARNING if kind in _WARNINGS else Severity.ERROR


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as it should be.

    Attributes:
        line: The line's number, from 1; 0 for the object as a whole.
        kind: Which kind of thing.
        detail: More for people, without contents.
    """

    line: int
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ContentsOf:
    """What one object holds.

    Attributes:
        rows: Lines that are rows.
        kinds: Problems by kind, all of them.
        problems: The first of them.
    """

    rows: int
    kinds: Counter[str]
    problems: tuple[Problem, ...]


class LineChecker:
    """Checks one object. Memory is bounded, whatever the object.

    Args:
        max_line: Bytes of the longest line that is looked at.
    """

    def __init__(self, max_line: int = MAX_LINE) -> None:
        self._max_line = max_line
        self._held = bytearray()
        self._skipping = False
        self._line = 1
        self._rows = 0
        self._kinds: Counter[str] = Counter()
        self._problems: list[Problem] = []
        self._users: set[int] = set()

    def feed(self, piece: bytes) -> None:
        """Take in the next piece; cut anywhere."""
        lines = piece.split(b"\n")
        for line in lines[:-1]:
            self._take(line)
            self._end_line(last=False)
        self._take(lines[-1])

    def end(self) -> ContentsOf:
        """Say what came of it."""
        if self._held or self._skipping:
            self._end_line(last=True)
        elif self._line == 1:
            self._found("empty", line=0)
        return ContentsOf(self._rows, self._kinds, tuple(self._problems))

    def note(self, kind: str, detail: str = "") -> None:
        """Note a problem of the object as a whole."""
        self._found(kind, detail, line=0)

    def _take(self, part: bytes) -> None:
        if self._skipping:
            return
        if len(self._held) + len(part) > self._max_line:
            self._skipping = True
            self._held.clear()
        else:
            self._held += part

    def _end_line(self, *, last: bool) -> None:
        if self._skipping:
            self._found("line_too_long", f"more than {self._max_line:,} bytes")
        elif not self._held.strip():
            self._found("blank_line")
        else:
            self._check(bytes(self._held), last=last)
        self._held.clear()
        self._skipping = False
        self._line += 1

    def _check(self, line: bytes, *, last: bool) -> None:
        if self._line == 1 and line.startswith(BOM):
            self._found("byte_order_mark")
            line = line.removeprefix(BOM)
        try:
            row = row_of(line)
        except NoRow as problem:
            # A whole line that is no JSON is damaged; one without its end was cut off.
            cut = last and problem.kind in {"not_json", "not_utf8"}
            self._found("truncated_last_line" if cut else problem.kind, str(problem))
            return
        self._rows += 1
        self._remember(row)

    def _remember(self, row: Row) -> None:
        if row["user_id"] is None or len(self._users) >= MAX_USERS:
            return
        user = hash(row["user_id"])
        if user in self._users:
            self._found("duplicate_user")
        self._users.add(user)

    def _found(self, kind: str, detail: str = "", *, line: int | None = None) -> None:
        self._kinds[kind] += 1
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(Problem(self._line if line is None else line, kind, detail))


def unpacked(checker: LineChecker, unpacker: "zlib._Decompress", piece: bytes) -> None:
    """Feed a piece of gzip'd contents, unpacked in bounded pieces: a bomb must not fill the memory.

    Raises:
        zlib.error: It is no gzip.
    """
    while piece:
        checker.feed(unpacker.decompress(piece, UNPACKED_AT_ONCE))
        piece = unpacker.unconsumed_tail
