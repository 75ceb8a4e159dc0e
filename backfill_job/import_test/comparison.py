"""What the DAG's steps gave on each path, and the verdict over a day. Pure.

===================  ===================  ================
legacy path          new path             verdict
===================  ===================  ================
nothing there        nothing there        ``absent``
nothing there        something            ``absent``
something            nothing there        ``absent``
cannot be loaded     something            ``not_loadable``
something            cannot be loaded     ``not_loadable``
loaded               loaded, the same     ``equal``
loaded               loaded, not so       ``differs``
===================  ===================  ================

*The same*: as many rows, as many users, the same fingerprint. Only ``equal`` is right. The third row is the trap the DAG
walks into: it takes its "Empty" branch, ends green and imports nothing.

``in_flight`` is the verdict on a day that changed during every attempt to test it.
"""

from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from backfill_job.import_test.fingerprint import Fingerprint
from backfill_job.wording import counted

__all__ = ["ImportDay", "Load", "Loaded", "NameDifferences", "NotLoadable", "Verdict", "compare"]


class Verdict(Enum):
    """How a day's import from the new path compares with that from the legacy path."""

    EQUAL = "equal"
    DIFFERS = "differs"
    ABSENT = "absent"
    NOT_LOADABLE = "not_loadable"
    IN_FLIGHT = "in_flight"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A day's rows, once loaded.

    Attributes:
        rows: How many.
        users: How many different ``user_id`` they have.
        fingerprint: Of all rows, whatever their order.
    """

    rows: int
    users: int
    fingerprint: Fingerprint


@dataclass(frozen=True, slots=True)
class NotLoadable:
    """A load that BigQuery refuses, or would.

    Attributes:
        reason: The object, the line where it is known, and what is wrong; never what the object says.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class Load:
    """What the DAG's steps gave on one path.

    Attributes:
        objects: Objects in the day's folder: step 1 is content with any.
        files: Those of them that step 2 loads.
        outcome: What loading gave; None when step 1 found nothing.
    """

    objects: int
    files: int
    outcome: Loaded | NotLoadable | None

    def to_json(self) -> dict[str, Any]:
        """The figures for a report."""
        loaded = self.outcome if isinstance(self.outcome, Loaded) else None
        return {
            "present": self.outcome is not None,
            "objects": self.objects,
            "files": self.files,
            "rows": loaded and loaded.rows,
            "users": loaded and loaded.users,
            "fingerprint": loaded and loaded.fingerprint.digits,
            "problem": self.outcome.reason if isinstance(self.outcome, NotLoadable) else None,
        }


@dataclass(frozen=True, slots=True)
class NameDifferences:
    """Where to look when rows differ: the files whose name or contents the two listings disagree about.

    Attributes:
        missing: On the legacy path only.
        extra: On the new path only.
        differing: On both, with different contents.
        examples: The first of them, as ``missing user_id_7.jsonl``.
    """

    missing: int = 0
    extra: int = 0
    differing: int = 0
    examples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The figures for a report."""
        return {
            "missing": self.missing,
            "extra": self.extra,
            "differing": self.differing,
            "examples": list(self.examples),
        }


@dataclass(frozen=True, slots=True)
class ImportDay:
    """A day's test.

    Attributes:
        day: Which day.
        verdict: How the two paths compare.
        legacy: What came from the legacy path.
        new: What came from the new path.
        names: What the listings say about it.
        attempts: How often it was tried until both folders stood still.
        tested: When the last of them ended.
    """

    day: date
    verdict: Verdict
    legacy: Load
    new: Load
    names: NameDifferences
    attempts: int
    tested: datetime

    def passed(self, *, allow_empty: bool) -> bool:
        """Whether nothing is wrong with this day.

        Args:
            allow_empty: Whether a day without a single object on either path is all right.
        """
        absent_everywhere = self.legacy.outcome is None and self.new.outcome is None
        return self.verdict is Verdict.EQUAL or (
            allow_empty and self.verdict is Verdict.ABSENT and absent_everywhere
        )

    @property
    def sentence(self) -> str:
        """The verdict as a person reads it."""
        match self.verdict:
            case Verdict.EQUAL:
                return "equal"
            case Verdict.DIFFERS:
                return f"differs: {_difference(self.legacy.outcome, self.new.outcome)}{_where(self.names)}"
            case Verdict.ABSENT:
                return _absent(self.legacy, self.new)
            case Verdict.NOT_LOADABLE:
                return _not_loadable(self.legacy.outcome, self.new.outcome)
            case Verdict.IN_FLIGHT:
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
            "names": self.names.to_json(),
            "attempts": self.attempts,
            "tested": self.tested.isoformat(),
        }


def compare(legacy: Load, new: Load) -> Verdict:
    """Judge a day by what was loaded from each path; the table is above.

    Args:
        legacy: From the legacy path.
        new: From the new path.

    Returns:
        The verdict; never ``in_flight``, which no comparison shows.

    Raises:
        ValueError: The fingerprints are of different definitions and say nothing about each other.
    """
    match legacy.outcome, new.outcome:
        case (None, _) | (_, None):
            return Verdict.ABSENT
        case Loaded() as one, Loaded() as other:
            if one.fingerprint.definition != other.fingerprint.definition:
                raise ValueError(
                    f"fingerprints {one.fingerprint.definition} and {other.fingerprint.definition} cannot be compared"
                )
            return Verdict.EQUAL if one == other else Verdict.DIFFERS
        case _:
            return Verdict.NOT_LOADABLE


def _absent(legacy: Load, new: Load) -> str:
    if legacy.outcome is None and new.outcome is None:
        return "absent on both sides: no day to import (--allow-empty if that is as it should be)"
    if new.outcome is None:
        return (
            f"absent on the new path, where the legacy path has {counted(legacy.objects, 'object')}: "
            'the DAG would take its "Empty" branch, end green and import nothing'
        )
    return f"absent on the legacy path, where the new path has {counted(new.objects, 'object')}: nothing to compare with"


def _not_loadable(legacy: Loaded | NotLoadable | None, new: Loaded | NotLoadable | None) -> str:
    match legacy, new:
        case NotLoadable(one), NotLoadable(other):
            return f"not loadable on both sides: {one}; {other}"
        case NotLoadable(reason), _:
            return f"not loadable on the legacy path: {reason}"
        case _, NotLoadable(reason):
            return f"not loadable on the new path: {reason}"
        case _:
            raise AssertionError("a verdict of not_loadable without a load that failed")


def _difference(legacy: Loaded | NotLoadable | None, new: Loaded | NotLoadable | None) -> str:
    if not (isinstance(legacy, Loaded) and isinstance(new, Loaded)):
        raise AssertionError("a verdict of differs without two loads")  # noqa: TRY004 -- not about an argument's type
    if legacy.rows != new.rows:
        return f"{counted(legacy.rows, 'row')} on the legacy path, {new.rows:,} on the new one"
    if legacy.users != new.users:
        return f"{counted(legacy.users, 'user')} on the legacy path, {new.users:,} on the new one"
    return f"as many rows on both sides ({legacy.rows:,}), but not the same"


def _where(names: NameDifferences) -> str:
    counts = [
        f"{number:,} {what}"
        for number, what in (
            (names.missing, "missing"),
            (names.extra, "extra"),
            (names.differing, "different"),
        )
        if number
    ]
    return f" (files on the new path: {', '.join(counts)})" if counts else ""
