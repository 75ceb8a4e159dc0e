"""QPI naming: which day an object belongs to, which kind it is, and whether it is JSONL data.

What the prefix holds, by name below it:

=============================================  =============  ==========================================
name                                           kind           since
=============================================  =============  ==========================================
``qpi_answers_YYYYMMDD/user_id_<N>.jsonl``     ANSWERS        today's layout, one submission an object
``qpi_answers_YYYYMMDD/`` + anything else      STRAY          whatever else lies in a day's folder
``qpi_answers_YYYYMMDD.jsonl``                 FLAT_ANSWERS   before the folders, a day's submissions
``qpi_questions_YYYYMMDD.csv``                 QUESTIONS      before the folders
``…/``, zero bytes, or the prefix itself       PLACEHOLDER    consoles and tools that imitate folders
anything else                                  UNKNOWN        nobody remembers; data until proven otherwise
=============================================  =============  ==========================================

Case matters: ``QPI_answers_20240101/user_id_1.jsonl`` is UNKNOWN, and so is a name with a date that no calendar has;
such a date is shown, never guessed at.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from itertools import pairwise

__all__ = [
    "Classified",
    "Gap",
    "Kind",
    "answers_folder",
    "classify",
    "file_type",
    "gaps",
]

_LAYOUTS = re.compile(
    r"qpi_(?:answers_(?P<folder>[0-9]{8})/(?:(?P<user>user_id_[0-9]+\.jsonl)|(?P<other>.*))"
    r"|answers_(?P<flat>[0-9]{8})\.jsonl"
    r"|questions_(?P<questions>[0-9]{8})\.csv)",
    re.DOTALL,
)

_JSONL = ".jsonl"
_ONE_DAY = timedelta(days=1)


class Kind(Enum):
    """Which layout a name belongs to; see the table above."""

    ANSWERS = "answers"
    FLAT_ANSWERS = "flat answers"
    QUESTIONS = "questions"
    PLACEHOLDER = "placeholder"
    STRAY = "stray"
    UNKNOWN = "unknown"


_KIND_OF_GROUP = {
    "user": Kind.ANSWERS,
    "other": Kind.STRAY,
    "flat": Kind.FLAT_ANSWERS,
    "questions": Kind.QUESTIONS,
}


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
    match = _LAYOUTS.fullmatch(relative)
    day, impossible = (None, "") if match is None else _day(match)
    if size == 0 and (not relative or relative.endswith("/")):
        return Classified(Kind.PLACEHOLDER, day, critical=False, impossible_date=impossible)
    critical = relative[-len(_JSONL) :].lower() == _JSONL
    if match is None or day is None:
        return Classified(Kind.UNKNOWN, None, critical, impossible)
    return Classified(_KIND_OF_GROUP[match.lastgroup or "other"], day, critical)


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
    # Not strftime: %Y has no leading zeros everywhere.
    return f"qpi_answers_{day.isoformat().replace('-', '')}/"


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


def _day(match: re.Match[str]) -> tuple[date | None, str]:
    text = match["folder"] or match["flat"] or match["questions"]
    try:
        return date.fromisoformat(text), ""
    except ValueError:
        return None, text
