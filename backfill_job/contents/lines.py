"""An object's lines as a BigQuery load reads them: bytes in, problems and rows out. Pure.

A `LineChecker` takes the bytes of one object in pieces, cut anywhere, and is then closed. It holds one unfinished line,
up to a bound. It drops the rest of a longer line, and that line counts as not judged. orjson parses each line, and `rows`
judges it. Only a line that orjson refuses is parsed again, to find out why.

Memory does not grow with the object: problems are counted by kind and the first few of each kind are kept. Users are
compared by 64-bit hashes, up to a bounded number; beyond it the report says that later users were not compared.
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from backfill_job.contents.rows import ROWS, ProblemKind, Problems, Row
from shared.text import counted
from shared.verification import Severity

__all__ = ["BOUNDS", "Bounds", "ContentsReport", "LineChecker", "LineProblem"]

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

EXAMPLES_OF_A_KIND = 3
"""Problems of each kind that a report shows. All are counted."""

_NAMES_ONCE = (b'"user_id"', b'"submitted_at"', b'"answers"')
_NAMES_ONCE_AN_ANSWER = (b'"question_id"', b'"answer_ids"')


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much is held for one object.

    Attributes:
        line: Bytes of the longest line that is parsed. For a moment, the worst line takes forty times as much.
        users: Users to remember; each takes about 60 bytes.
    """

    line: int = 2 * 1024 * 1024
    users: int = 200_000


BOUNDS = Bounds()


@dataclass(frozen=True, slots=True, order=True)
class LineProblem:
    """One thing that is wrong.

    Attributes:
        line: The line, from 1; 0 for the object as a whole.
        kind: The value of a `ProblemKind`.
        detail: Where and how. It never contains values of the data.
    """

    line: int
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class ContentsReport:
    """What is in one object.

    Attributes:
        rows: Lines that are not blank.
        counts: Lines by the kinds of their problems; a problem of the object as a whole counts as one line.
        examples: The first few problems of each kind, in the order of the lines.
    """

    rows: int
    counts: Mapping[ProblemKind, int]
    examples: tuple[LineProblem, ...]

    def first(self, severity: Severity) -> LineProblem | None:
        """The first problem of a severity; None where there is none."""
        return next((each for each in self.examples if ProblemKind(each.kind).severity is severity), None)


class LineChecker:
    """Checks the bytes of one object.

    Args:
        take_row: Called with each row that loads; None where only the problems matter.
    """

    def __init__(self, bounds: Bounds = BOUNDS, take_row: Callable[[Row], object] | None = None) -> None:
        self._bounds = bounds
        self._take_row = take_row
        self._held: list[bytes] = []
        self._held_size = 0
        self._line = 0
        self._rows = 0
        self._counts: Counter[ProblemKind] = Counter()
        self._examples: list[LineProblem] = []
        self._users: set[int] = set()

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        start = 0
        if self._held_size:
            end = data.find(b"\n")
            if end < 0:
                self._hold(data)
                return
            self._hold(data[:end])
            self._end_line()
            start = end + 1
        while (end := data.find(b"\n", start)) >= 0:
            self._judge(data[start:end], end - start)
            start = end + 1
        if start < len(data):
            self._hold(data[start:])

    def note(self, kind: ProblemKind, detail: str) -> None:
        """Note a problem of the object as a whole; each kind counts once."""
        if not self._counts[kind]:
            self._found(kind, detail, 0)

    def close(self, *, complete: bool = True) -> ContentsReport:
        """Take the end of the object, and report.

        Args:
            complete: Whether all of its bytes came. If so, the last line needs no line feed; if not, an unfinished last
                line is not judged.
        """
        if self._held_size and complete:
            self._end_line(last=True)
        if not self._rows:
            self.note(ProblemKind.EMPTY, "no row in it")
        counts = {kind: count for kind, count in self._counts.items() if count}
        return ContentsReport(self._rows, counts, tuple(sorted(self._examples)))

    def _hold(self, data: bytes) -> None:
        self._held_size += len(data)
        if self._held_size <= self._bounds.line:
            self._held.append(data)
        else:
            self._held.clear()

    def _end_line(self, *, last: bool = False) -> None:
        line, size = b"".join(self._held), self._held_size
        self._held.clear()
        self._held_size = 0
        self._judge(line, size, last=last)

    def _found(self, kind: ProblemKind, detail: str, line: int) -> None:
        self._counts[kind] += 1
        if self._counts[kind] <= EXAMPLES_OF_A_KIND:
            self._examples.append(LineProblem(line, kind.value, detail))

    def _judge(self, line: bytes, size: int, *, last: bool = False) -> None:
        """Judge one line. Of a line longer than the bound only the size is known."""
        self._line += 1
        if size > self._bounds.line:
            self._rows += 1
            detail = f"{counted(size, 'byte')}, {self._bounds.line:,} are judged"
            self._found(ProblemKind.LINE_TOO_LONG, detail, self._line)
            return
        found: Problems = {}
        if line.startswith(BYTE_ORDER_MARK):
            found[ProblemKind.BYTE_ORDER_MARK] = "at the beginning of the line"
            line = line[len(BYTE_ORDER_MARK) :]
        try:
            parsed = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if line.strip(b" \t\r"):
                self._rows += 1
                kind, detail = _why_refused(line, error, last=last)
                found[kind] = detail
            else:
                found[ProblemKind.BLANK_LINE] = "nothing in it"
        else:
            self._rows += 1
            self._judge_row(parsed, line, found)
        for kind, detail in found.items():
            self._found(kind, detail, self._line)

    def _judge_row(self, parsed: Any, line: bytes, found: Problems) -> None:
        if not isinstance(parsed, dict):
            found[ProblemKind.NOT_AN_OBJECT] = "a JSON value, but not an object"
            return
        ROWS.judge(parsed, found)
        if _may_repeat_a_name(parsed, line, found) and _repeats_a_name(line):
            found.setdefault(ProblemKind.DUPLICATE_FIELD, "one name more than once in an object")
        user = parsed.get("user_id")
        if user is not None:
            self._compare_user(str(user), found)
        if self._take_row is not None and all(kind.severity is Severity.WARNING for kind in found):
            self._take_row(ROWS.row(parsed))

    def _compare_user(self, user: str, found: Problems) -> None:
        key = hash(user)
        if key in self._users:
            found[ProblemKind.DUPLICATE_USER] = "the user of an earlier line"
        elif len(self._users) < self._bounds.users:
            self._users.add(key)
        else:
            self.note(ProblemKind.USERS_NOT_COMPARED, f"users after the first {self._bounds.users:,}")


def _may_repeat_a_name(row: dict[str, Any], line: bytes, found: Mapping[ProblemKind, str]) -> bool:
    """Whether a line must be parsed again with every name kept, which takes five times as long.

    orjson keeps the last value of a repeated name. A line repeats no name if it has known names only, and each of them
    at most once for each object that can hold it. An escape may hide a name.
    """
    answers = row.get("answers")
    objects = len(answers) if isinstance(answers, list) else 0
    return (
        ProblemKind.UNKNOWN_FIELD in found
        or ProblemKind.FIELD_CASE in found
        or b"\\u" in line
        or any(line.count(name) > 1 for name in _NAMES_ONCE)
        or any(line.count(name) > objects for name in _NAMES_ONCE_AN_ANSWER)
    )


def _repeats_a_name(line: bytes) -> bool:
    repeated = False

    def look(pairs: list[tuple[str, Any]]) -> None:
        nonlocal repeated
        repeated = repeated or len({name for name, _ in pairs}) < len(pairs)

    with suppress(RecursionError):  # deeper than the schema allows, so the line has a problem already
        _thoroughly_parsed(line, object_pairs_hook=look)
    return repeated


def _why_refused(line: bytes, error: orjson.JSONDecodeError, *, last: bool) -> tuple[ProblemKind, str]:
    try:
        line.decode()
    except UnicodeDecodeError as wrong:
        if last and wrong.reason == "unexpected end of data":
            return ProblemKind.TRUNCATED, "ends within a character"
        return ProblemKind.INVALID_UTF8, f"at byte {wrong.start + 1} of the line"
    where = f"at character {error.pos + 1} of the line"
    if error.pos >= len(error.doc):
        if last:
            return ProblemKind.TRUNCATED, "the object ends within it"
        return ProblemKind.NOT_JSON, f"ends too early, {where}"
    try:
        value = _thoroughly_parsed(line)
    except _NoNumber:
        return ProblemKind.NOT_A_NUMBER, "NaN or Infinity"
    except (ValueError, RecursionError):
        return ProblemKind.NOT_JSON, where
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return ProblemKind.LONE_SURROGATE, where
    except RecursionError:
        return ProblemKind.NOT_JSON, where
    return ProblemKind.NOT_A_NUMBER, f"beyond what a double holds, {where}"


class _NoNumber(Exception):
    pass


def _no_number(_: str) -> NoReturn:
    raise _NoNumber


def _thoroughly_parsed(line: bytes, **options: Any) -> Any:
    """Parse with the standard library, which accepts more than JSON and shows every pair of an object."""
    return json.loads(line.decode(), parse_constant=_no_number, parse_int=float, **options)
