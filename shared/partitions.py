"""QPI naming: which day an object belongs to, which kind it is, and whether it is JSONL data.

`LAYOUTS` is the one table of the names that are known. What lies outside it:

=============================================  =============  ==========================================
name below the prefix                          kind           since
=============================================  =============  ==========================================
``…/``, zero bytes, or the prefix itself       PLACEHOLDER    consoles and tools that imitate folders
anything else                                  UNKNOWN        not documented; data until proven otherwise
=============================================  =============  ==========================================

Case matters: ``QPI_answers_20240101/user_id_1.jsonl`` is UNKNOWN. So is a name with a date that no calendar has: such a date is
shown, and never guessed.

To add a layout, add its row to `LAYOUTS`, raise `LAYOUTS_VERSION`, and copy `DAY_PATTERN` into ``docs/recompute-certificate.sh``.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from itertools import pairwise

__all__ = [
    "DAY_PATTERN",
    "LAYOUTS",
    "LAYOUTS_VERSION",
    "Classified",
    "Gap",
    "Kind",
    "Layout",
    "answers_folder",
    "classify",
    "file_type",
    "gaps",
]

_JSONL = ".jsonl"
_ONE_DAY = timedelta(days=1)


class Kind(Enum):
    """What an object is, by its name."""

    ANSWERS = "answers"
    FLAT_ANSWERS = "flat answers"
    QUESTIONS = "questions"
    PLACEHOLDER = "placeholder"
    STRAY = "stray"
    UNKNOWN = "unknown"


_HOLES = {
    "{YYYYMMDD}": r"([0-9]{8})",
    "{YYYY-MM-DD}": r"([0-9]{4}-[0-9]{2}-[0-9]{2})",
    "{N}": r"[0-9]+",
    "{anything}": r"[\s\S]*",
}
"""What may stand in a hole of a layout's template. Each layout has exactly one day."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One known form of names below the prefix.

    Attributes:
        template: The name, with holes (`_HOLES`) for its day and for what varies.
        kind: What such an object is.
        since: When it was used, for people.
    """

    template: str
    kind: Kind
    since: str

    @property
    def pattern(self) -> str:
        """The names as a regular expression for a full match; its one group is the day's text."""
        parts = re.split(r"(\{[^}]+\})", self.template)
        return "".join(_HOLES.get(part) or re.escape(part) for part in parts)

    def name(self, day: date, number: int = 1, anything: str = "") -> str:
        """The name of an object of that day."""
        iso = day.isoformat()  # not strftime: %Y has no leading zeros everywhere
        filled = self.template.replace("{YYYYMMDD}", iso.replace("-", "")).replace("{YYYY-MM-DD}", iso)
        return filled.replace("{N}", str(number)).replace("{anything}", anything)


_ANSWERS = Layout("qpi_answers_{YYYYMMDD}/user_id_{N}.jsonl", Kind.ANSWERS, "today, one submission an object")

LAYOUTS = (
    _ANSWERS,
    Layout("qpi_answers_{YYYYMMDD}/{anything}", Kind.STRAY, "whatever else lies in a day's folder"),
    Layout("qpi_answers_{YYYYMMDD}.jsonl", Kind.FLAT_ANSWERS, "before the folders, a day's submissions"),
    Layout("qpi_questions_{YYYYMMDD}.csv", Kind.QUESTIONS, "before the folders"),
)
"""The first that matches counts."""

LAYOUTS_VERSION = 1
"""Of `LAYOUTS`. A certificate names it, since it counts by day: another table may put an object under another day."""

DAY_PATTERN = "|".join(dict.fromkeys(layout.pattern for layout in LAYOUTS if layout is not _ANSWERS))
"""A name that has a day, as a regular expression for a full match, in the dialect of Python."""

_PATTERNS = tuple((layout.kind, re.compile(layout.pattern)) for layout in LAYOUTS)


@dataclass(frozen=True, slots=True)
class Classified:
    """What a name says.

    Attributes:
        kind: Its layout.
        day: The day it belongs to, None when its layout has none.
        critical: It is JSONL data, whatever its layout: the name ends in ``.jsonl``, in any case.
        impossible_date: The eight digits where a known layout has its date, when no calendar has that day; else empty.
    """

    kind: Kind
    day: date | None
    critical: bool
    impossible_date: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive days that are missing.

    Attributes:
        first: The first of them.
        last: The last of them.
    """

    first: date
    last: date

    @property
    def days(self) -> int:
        """How many days are missing."""
        return (self.last - self.first).days + 1


def classify(relative: str, size: int) -> Classified:
    """Say what a name below the prefix is. Any text has an answer.

    Args:
        relative: The name below the prefix; empty for the prefix's own placeholder.
        size: Bytes. Only tells placeholders from objects that have the name of one.

    Returns:
        Kind, day, and whether it is JSONL data.
    """
    kind, text = Kind.UNKNOWN, ""
    for known, pattern in _PATTERNS:
        if match := pattern.fullmatch(relative):
            kind, text = known, match[1]
            break
    day = _day(text) if text else None
    impossible = "" if day else text
    if size == 0 and (not relative or relative.endswith("/")):
        return Classified(Kind.PLACEHOLDER, day, critical=False, impossible_date=impossible)
    critical = relative[-len(_JSONL) :].lower() == _JSONL
    return Classified(kind if day else Kind.UNKNOWN, day, critical, impossible)


def file_type(relative: str) -> str:
    """Name the type of a file by its extension.

    Args:
        relative: The name below the prefix.

    Returns:
        The last part's extension in lower case (``.jsonl``; ``.ds_store`` for ``.DS_Store``), ``(none)`` without one,
        ``folder/`` for a name that ends in ``/`` and for the prefix itself.
    """
    last = relative.rpartition("/")[2]
    if not last:
        return "folder/"
    extension = last.rpartition(".")[2] if "." in last else ""
    return f".{extension.lower()}" if extension else "(none)"


def answers_folder(day: date) -> str:
    """The folder of a day's submissions, below the prefix: ``qpi_answers_YYYYMMDD/``."""
    return _ANSWERS.name(day).partition("/")[0] + "/"


def gaps(days: Iterable[date]) -> tuple[Gap, ...]:
    """Find what is missing between the first and the last day, as stretches.

    Costs nothing for a long stretch, such as one that a mistyped year opens.

    Args:
        days: The days that are there, in any order, repeated or not.

    Returns:
        The stretches in between, in order.
    """
    there = sorted(set(days))
    return tuple(
        Gap(day + _ONE_DAY, following - _ONE_DAY)
        for day, following in pairwise(there)
        if following - day > _ONE_DAY
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
