"""What the DAG's steps gave on each path, the fingerprint of rows, and the verdict over a day. Pure.

The verdict::

    =====================  =====================  ================
    legacy path            new path               verdict
    =====================  =====================  ================
    nothing there          anything               ``absent``
    anything               nothing there          ``absent``
    cannot be loaded       something              ``not_loadable``
    something              cannot be loaded       ``not_loadable``
    not judged             loaded or not judged   ``not_judged``
    loaded                 not judged             ``not_judged``
    loaded                 loaded, the same       ``equal``
    loaded                 loaded, not the same   ``differs``
    =====================  =====================  ================

*The same*: as many rows, as many users, and the same fingerprint. Only ``equal`` is right. ``absent`` on the new path only
is the failure that the DAG does not notice: it takes its "Empty" branch, ends green and imports nothing.

``not_judged``: it is not known what BigQuery does with a line (`backfill_job.contents.rows`); only BigQuery can tell.
``in_flight`` is the verdict on a day that changed during every attempt.

**The fingerprint**, definition ``rows-1``, does not depend on the order of the rows or on the engine that computes it. Each
row is written as a text that no other row has:

- a text is its length in UTF-8 bytes, ``:``, and itself; NULL is ``-``;
- a row is five things: ``user_id`` as a text, ``submitted_at``, the number of answers, ``;``, and the answers in their order;
- ``submitted_at`` is in microseconds since 1970 (NULL: ``-``), followed by ``;``;
- an answer is ``question_id`` as a text, the number of its ``answer_ids``, ``;``, and these as texts, in their order.

The SHA-256 of that text is cut into eight numbers of 32 bits. Each of the eight is summed over all rows, modulo 2^32. The
fingerprint is the eight sums as 64 hexadecimal digits. A sum does not depend on the order, and unlike XOR it does not
lose a row that is there twice. Eight sums of 32-bit numbers fit 64-bit integers in either engine up to two thousand million
rows. Beyond that BigQuery reports an error and does not overflow.

Each engine computes the fingerprint in its own SQL, so the result of BigQuery can be compared with a local one. It protects
against mistakes, not against somebody who searches for collisions.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from shared.text import counted

__all__ = [
    "DEFINITION",
    "DIGITS",
    "LANES",
    "MODULUS",
    "Fingerprint",
    "ImportDay",
    "ImportVerdict",
    "Loaded",
    "NameDifferences",
    "NotJudged",
    "NotLoadable",
    "Outcome",
    "PathLoad",
    "compare_day",
]

DEFINITION = "rows-1"
"""Named in every report: fingerprints of different definitions are never compared."""

LANES = 8
DIGITS = 8
"""Hexadecimal digits of a lane."""
MODULUS = 2**32


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The fingerprint of a table's rows.

    Attributes:
        digits: 64 hexadecimal digits.
    """

    digits: str
    definition: str = DEFINITION

    @staticmethod
    def of_lanes(lanes: Sequence[int]) -> "Fingerprint":
        """Make a fingerprint from the sums of an engine's lanes, reduced or not."""
        return Fingerprint("".join(f"{lane % MODULUS:08x}" for lane in lanes))


class ImportVerdict(Enum):
    """How a day's import from the new path compares with that from the legacy path."""

    EQUAL = "equal"
    DIFFERS = "differs"
    ABSENT = "absent"
    NOT_LOADABLE = "not_loadable"
    NOT_JUDGED = "not_judged"
    IN_FLIGHT = "in_flight"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A day's rows, once loaded.

    Attributes:
        users: The number of different ``user_id`` in them.
    """

    rows: int
    users: int
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class NotLoadable:
    """A load that BigQuery refuses, or would.

    Attributes:
        reason: The object, the line if it is known, and what is wrong. It never quotes the object.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A load whose outcome in BigQuery is not known here.

    Attributes:
        reason: As for `NotLoadable`.
    """

    reason: str


Outcome = Loaded | NotLoadable | NotJudged


@dataclass(frozen=True, slots=True)
class PathLoad:
    """What the DAG's steps gave on one path.

    Attributes:
        objects: Objects in the day's folder. Any object satisfies step 1.
        files: The objects that step 2 loads.
        outcome: The result of the load; None when step 1 found nothing.
    """

    objects: int
    files: int
    outcome: Outcome | None

    @property
    def loaded(self) -> "Loaded | None":
        """The rows; None where none were loaded."""
        return self.outcome if isinstance(self.outcome, Loaded) else None

    def to_json(self) -> dict[str, Any]:
        """The figures for a report."""
        loaded = self.loaded
        return {
            "present": self.outcome is not None,
            "objects": self.objects,
            "files": self.files,
            "rows": loaded and loaded.rows,
            "users": loaded and loaded.users,
            "fingerprint": loaded and loaded.fingerprint.digits,
            "problem": self.outcome.reason if isinstance(self.outcome, NotLoadable | NotJudged) else None,
        }


@dataclass(frozen=True, slots=True)
class NameDifferences:
    """Where to look when rows differ: the files whose name or contents the two listings disagree about.

    Attributes:
        missing: On the legacy path only.
        extra: On the new path only.
        differing: On both paths, with different contents.
        examples: The first of them, as ``missing user_id_7.jsonl``.
    """

    missing: int = 0
    extra: int = 0
    differing: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportDay:
    """A day's test.

    Attributes:
        attempts: Attempts until both folders stayed unchanged.
        tested: When the last attempt ended.
    """

    day: date
    verdict: ImportVerdict
    legacy: PathLoad
    new: PathLoad
    names: NameDifferences
    attempts: int
    tested: datetime

    def passed(self, *, allow_empty: bool) -> bool:
        """Whether nothing is wrong with this day; with `allow_empty`, a day without any object on both paths passes."""
        absent_everywhere = self.legacy.outcome is None and self.new.outcome is None
        allowed = allow_empty and self.verdict is ImportVerdict.ABSENT and absent_everywhere
        return self.verdict is ImportVerdict.EQUAL or allowed

    @property
    def sentence(self) -> str:
        """The verdict as a person reads it."""
        match self.verdict:
            case ImportVerdict.EQUAL:
                return "equal"
            case ImportVerdict.DIFFERS:
                return f"differs: {_difference(self.legacy.outcome, self.new.outcome)}{_where(self.names)}"
            case ImportVerdict.ABSENT:
                return _absent(self.legacy, self.new)
            case ImportVerdict.NOT_LOADABLE:
                return f"not loadable {_reasons(self, NotLoadable)}"
            case ImportVerdict.NOT_JUDGED:
                return (
                    f"not judged here {_reasons(self, NotJudged)}; it is not documented what BigQuery does with it, "
                    "--engine bigquery can tell"
                )
            case ImportVerdict.IN_FLIGHT:
                return (
                    f"in flight: the day's folder changed during each of {counted(self.attempts, 'attempt')}, or what changed "
                    "last has not arrived on the other path yet; run it again when the writer has paused"
                )

    def to_json(self) -> dict[str, Any]:
        """The day for a report."""
        return {
            "day": self.day.isoformat(),
            "verdict": self.verdict.value,
            "sentence": self.sentence,
            "legacy": self.legacy.to_json(),
            "new": self.new.to_json(),
            "names": asdict(self.names),
            "attempts": self.attempts,
            "tested": self.tested.isoformat(),
        }


def compare_day(legacy: PathLoad, new: PathLoad) -> ImportVerdict:
    """Judge a day by what was loaded from each path; the table is above. No comparison shows ``in_flight``.

    Raises:
        ValueError: The fingerprints have different definitions and cannot be compared.
    """
    match legacy.outcome, new.outcome:
        case (None, _) | (_, None):
            return ImportVerdict.ABSENT
        case Loaded() as one, Loaded() as other:
            if one.fingerprint.definition != other.fingerprint.definition:
                raise ValueError(
                    f"fingerprints {one.fingerprint.definition} and {other.fingerprint.definition} cannot be compared"
                )
            return ImportVerdict.EQUAL if one == other else ImportVerdict.DIFFERS
        case (NotLoadable(), _) | (_, NotLoadable()):
            return ImportVerdict.NOT_LOADABLE
        case _:
            return ImportVerdict.NOT_JUDGED


def _absent(legacy: PathLoad, new: PathLoad) -> str:
    if legacy.outcome is None and new.outcome is None:
        return "absent on both sides: no day to import (--allow-empty if that is as it should be)"
    if new.outcome is None:
        return (
            f"absent on the new path, where the legacy path has {counted(legacy.objects, 'object')}: "
            'the DAG would take its "Empty" branch, end green and import nothing'
        )
    return f"absent on the legacy path, where the new path has {counted(new.objects, 'object')}: nothing to compare with"


def _reasons(day: ImportDay, kind: type[NotLoadable | NotJudged]) -> str:
    """Which side has an outcome of this kind, and why."""
    found = {
        side: outcome.reason
        for side, outcome in (("legacy", day.legacy.outcome), ("new", day.new.outcome))
        if isinstance(outcome, kind)
    }
    where = "both sides" if len(found) > 1 else f"the {next(iter(found))} path"
    return f"on {where}: {'; '.join(found.values())}"


def _difference(legacy: Outcome | None, new: Outcome | None) -> str:
    if not (isinstance(legacy, Loaded) and isinstance(new, Loaded)):
        raise AssertionError("a verdict of differs without two loads")  # noqa: TRY004 -- not about an argument's type
    if legacy.rows != new.rows:
        return f"{counted(legacy.rows, 'row')} on the legacy path, {new.rows:,} on the new one"
    if legacy.users != new.users:
        return f"{counted(legacy.users, 'user')} on the legacy path, {new.users:,} on the new one"
    return f"as many rows on both sides ({legacy.rows:,}), but not the same"


def _where(names: NameDifferences) -> str:
    found = ((names.missing, "missing"), (names.extra, "extra"), (names.differing, "different"))
    counts = [f"{number:,} {what}" for number, what in found if number]
    return f" (files on the new path: {', '.join(counts)})" if counts else ""
