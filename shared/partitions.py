"""QPI naming: the day and the kind of an object, and whether it is JSONL data.

`LAYOUTS` is the one table of the known names. These lie outside it:

=============================================  =============  ==========================================
name below the prefix                          kind           since
=============================================  =============  ==========================================
``…/``, zero bytes, or the prefix itself       PLACEHOLDER    consoles and tools that imitate folders
anything else                                  UNKNOWN        not documented; data until proven otherwise
=============================================  =============  ==========================================

Case matters: ``QPI_answers_20240101/user_id_1.jsonl`` is UNKNOWN. So is a name with a date that does not exist: the
reports show such a date and never guess it.

To add a layout, add its row to `LAYOUTS`, raise `LAYOUTS_VERSION`, and copy it and `DAY_PATTERN` into
``docs/recompute-certificate.sh``.
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
    "Layout",
    "ObjectKind",
    "answers_folder",
    "classify",
    "file_type",
    "gaps",
]

_JSONL = ".jsonl"
_ONE_DAY = timedelta(days=1)


class ObjectKind(Enum):
    """The kind of an object, by its name."""

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
"""The texts that a hole of a layout's template matches. Each layout has exactly one day."""


@dataclass(frozen=True, slots=True)
class Layout:
    """One known form of names below the prefix; its template has holes (`_HOLES`) for its day and for what varies."""

    template: str
    kind: ObjectKind
    since: str

    @property
    def pattern(self) -> str:
        """The names as a regular expression for a full match; its one group is the text of the day."""
        parts = re.split(r"(\{[^}]+\})", self.template)
        return "".join(_HOLES.get(part) or re.escape(part) for part in parts)

    def name(self, day: date, number: int = 1, anything: str = "") -> str:
        """The name of an object of that day."""
        iso = day.isoformat()  # not strftime: %Y has no leading zeros everywhere
        filled = self.template.replace("{YYYYMMDD}", iso.replace("-", "")).replace("{YYYY-MM-DD}", iso)
        return filled.replace("{N}", str(number)).replace("{anything}", anything)


_ANSWERS = Layout(
    "qpi_answers_{YYYYMMDD}/user_id_{N}.jsonl", ObjectKind.ANSWERS, "today, one submission an object"
)

LAYOUTS = (
    _ANSWERS,
    Layout("qpi_answers_{YYYYMMDD}/{anything}", ObjectKind.STRAY, "whatever else lies in a day's folder"),
    Layout(
        "qpi_answers_{YYYYMMDD}.jsonl", ObjectKind.FLAT_ANSWERS, "before the folders, a day's submissions"
    ),
    Layout("qpi_questions_{YYYYMMDD}.csv", ObjectKind.QUESTIONS, "before the folders"),
)
"""The first row that matches applies."""

LAYOUTS_VERSION = 1
"""Of `LAYOUTS`. A certificate counts by day, so it names the version: another table may give an object another day."""

DAY_PATTERN = "|".join(dict.fromkeys(layout.pattern for layout in LAYOUTS if layout is not _ANSWERS))
"""The names that have a day, as a regular expression for a full match, in Python's syntax."""

_PATTERNS = tuple((layout.kind, re.compile(layout.pattern)) for layout in LAYOUTS)


@dataclass(frozen=True, slots=True)
class Classified:
    """What the name of an object tells.

    Attributes:
        day: None if the layout has no day.
        critical: It is JSONL data in any layout: the name ends in ``.jsonl``, upper or lower case.
        impossible_date: The text at the place of the date, if that day does not exist; else empty.
    """

    kind: ObjectKind
    day: date | None
    critical: bool
    impossible_date: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive days that are missing, from `first` to `last`."""

    first: date
    last: date

    @property
    def days(self) -> int:
        """The number of missing days."""
        return (self.last - self.first).days + 1


def classify(relative: str, size: int) -> Classified:
    """Classify a name below the prefix. Every text has an answer.

    Args:
        relative: The name below the prefix; empty for the prefix's own placeholder.
        size: Bytes. It only tells placeholders from objects with the name of one.
    """
    kind, text = ObjectKind.UNKNOWN, ""
    for known, pattern in _PATTERNS:
        if match := pattern.fullmatch(relative):
            kind, text = known, match[1]
            break
    day = _day(text) if text else None
    impossible = "" if day else text
    if size == 0 and (not relative or relative.endswith("/")):
        return Classified(ObjectKind.PLACEHOLDER, day, critical=False, impossible_date=impossible)
    critical = relative[-len(_JSONL) :].lower() == _JSONL
    return Classified(kind if day else ObjectKind.UNKNOWN, day, critical, impossible)


def file_type(relative: str) -> str:
    """Name the type of a file by the extension of its name's last part.

    Returns:
        The extension in lower case (``.jsonl``; ``.ds_store`` for ``.DS_Store``), or ``(none)``. ``folder/`` for a name
        that ends in ``/``, and for the prefix itself.
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
    """Find the days that are missing between the first and the last day, in order.

    A long gap, such as one after a mistyped year, costs nothing extra.

    Args:
        days: The days that are present, in any order, repeated or not.

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
