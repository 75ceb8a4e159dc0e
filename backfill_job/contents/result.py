"""What a contents check found, in numbers and a few examples: counted while it runs, and the result.

Results of key ranges and tasks add up to the result of the whole, in any order. Counts are added; of the examples, the
first few by name stay for each kind and side.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from backfill_job.contents.lines import Problem
from backfill_job.contents.rows import ProblemKind, Severity
from shared.json_io import OTHER_FORM, reason

__all__ = ["Affected", "ContentsCheck", "Example", "Side", "Tally"]

EXAMPLES_OF_A_KIND = 5
"""Examples of each kind and side that a result shows. All problems are counted."""


class Side(Enum):
    """Where a problem arose."""

    SOURCE = "source"
    """The source has it; a copy keeps it."""
    MIGRATION = "migration"
    """Only the destination has it."""


@dataclass(frozen=True, slots=True)
class Affected:
    """How much has a problem.

    Attributes:
        lines: An object that has the problem as a whole counts as one line.
    """

    objects: int
    lines: int

    def __add__(self, other: "Affected") -> "Affected":
        return Affected(self.objects + other.objects, self.lines + other.lines)


@dataclass(frozen=True, slots=True, order=True)
class Example:
    """One problem of one object.

    Attributes:
        name: Its name below the prefix.
        side: The value of a `Side`.
        line: The line, from 1; 0 for the object as a whole.
        kind: The value of a `ProblemKind`.
        detail: Where and how. It never contains values of the data.
    """

    name: str
    side: str
    line: int
    kind: str
    detail: str

    def to_json(self) -> dict[str, Any]:
        """The example for a report."""
        return {name: getattr(self, name) for name in ("name", "side", "line", "kind", "detail")}


Problems = Mapping[ProblemKind, Affected]


@dataclass(frozen=True, slots=True)
class ContentsCheck:
    """What a contents check found.

    Attributes:
        mode: The scope: ``none``, ``sample:P``, ``all``.
        objects: Objects whose contents were read and judged.
        rows: Rows in them, at the destination.
        bytes: Bytes read, as they are stored.
        changed: Objects that changed or vanished after the listing, and were not judged.
        source: Problems that the source has.
        migration: Problems that only the destination has.
        examples: A few of each kind and side, by name.
        seconds: How long it took; of several checks, the sum.
    """

    mode: str
    objects: int = 0
    rows: int = 0
    bytes: int = 0
    changed: int = 0
    source: Problems = field(default_factory=dict)
    migration: Problems = field(default_factory=dict)
    examples: tuple[Example, ...] = ()
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """Whether everything loads: no side has a problem of severity ``error`` or ``not_judged``."""
        return not self.errors(Side.SOURCE) and not self.errors(Side.MIGRATION)

    def errors(self, side: Side) -> int:
        """Objects of this side that do not load or are not judged; one with two such kinds counts twice."""
        problems = self.source if side is Side.SOURCE else self.migration
        return sum(
            affected.objects for kind, affected in problems.items() if kind.severity is not Severity.WARNING
        )

    @property
    def objects_per_s(self) -> float:
        """Objects a second. Several checks count as one after the other."""
        return self.objects / self.seconds if self.seconds > 0 else 0.0

    def __add__(self, other: "ContentsCheck") -> "ContentsCheck":
        """The result of both.

        Raises:
            ValueError: They have different scopes.
        """
        if self.mode != other.mode:
            raise ValueError(f"contents checked as {self.mode} and as {other.mode} do not add up")
        return ContentsCheck(
            self.mode,
            self.objects + other.objects,
            self.rows + other.rows,
            self.bytes + other.bytes,
            self.changed + other.changed,
            _added(self.source, other.source),
            _added(self.migration, other.migration),
            _kept((*self.examples, *other.examples)),
            self.seconds + other.seconds,
        )

    def to_json(self) -> dict[str, Any]:
        """The result under the names that logs and reports use; `from_json` reads it back."""
        return {
            "mode": self.mode,
            "clean": self.clean,
            "objects": self.objects,
            "rows": self.rows,
            "bytes": self.bytes,
            "changed": self.changed,
            "seconds": round(self.seconds, 3),
            "objects_per_s": round(self.objects_per_s, 1),
            "source_problems": _problems_to_json(self.source),
            "migration_problems": _problems_to_json(self.migration),
            "examples": [example.to_json() for example in self.examples],
        }

    @staticmethod
    def from_json(resource: Mapping[str, Any]) -> "ContentsCheck":
        """Read a result that another task wrote.

        Raises:
            ValueError: It is not a result.
        """
        try:
            return ContentsCheck(
                mode=str(resource["mode"]),
                objects=int(resource["objects"]),
                rows=int(resource["rows"]),
                bytes=int(resource["bytes"]),
                changed=int(resource["changed"]),
                source=_problems_from_json(resource["source_problems"]),
                migration=_problems_from_json(resource["migration_problems"]),
                examples=tuple(Example(**example) for example in resource["examples"]),
                seconds=float(resource["seconds"]),
            )
        except OTHER_FORM as error:
            raise ValueError(f"not a contents check's result ({reason(error)})") from error


class Tally:
    """Counts while a check runs; its memory does not grow with the objects."""

    def __init__(self) -> None:
        self._objects = self._rows = self._bytes = self._changed = 0
        self._problems: dict[Side, dict[ProblemKind, Affected]] = {side: {} for side in Side}
        self._examples: tuple[Example, ...] = ()

    def changed(self) -> None:
        """Count an object that changed or vanished."""
        self._changed += 1

    def checked(self, rows: int, size: int) -> None:
        """Count an object that was judged.

        Args:
            size: Bytes read for it, of one side or of both.
        """
        self._objects += 1
        self._rows += rows
        self._bytes += size

    def book(
        self, name: str, side: Side, counts: Mapping[ProblemKind, int], examples: Iterable[Problem]
    ) -> None:
        """Count an object's problems.

        Args:
            name: Its name below the prefix.
            counts: Its lines by kind.
            examples: The first of them.
        """
        if not counts:
            return
        self._problems[side] = _added(
            self._problems[side], {kind: Affected(1, lines) for kind, lines in counts.items()}
        )
        more = (Example(name, side.value, each.line, each.kind, each.detail) for each in examples)
        self._examples = _kept((*self._examples, *more))

    def result(self, mode: str, seconds: float) -> ContentsCheck:
        """The result of everything counted so far."""
        return ContentsCheck(
            mode,
            self._objects,
            self._rows,
            self._bytes,
            self._changed,
            self._problems[Side.SOURCE],
            self._problems[Side.MIGRATION],
            self._examples,
            seconds,
        )


def _added(one: Problems, other: Problems) -> dict[ProblemKind, Affected]:
    none = Affected(0, 0)
    return {
        kind: one.get(kind, none) + other.get(kind, none)
        for kind in ProblemKind
        if kind in one or kind in other
    }


def _kept(examples: Iterable[Example]) -> tuple[Example, ...]:
    """The first few of each kind and side, in the order of the names."""
    room: Counter[tuple[str, str]] = Counter()
    kept = []
    for example in sorted(examples):
        place = (example.side, example.kind)
        room[place] += 1
        if room[place] <= EXAMPLES_OF_A_KIND:
            kept.append(example)
    return tuple(kept)


def _problems_to_json(problems: Problems) -> dict[str, dict[str, int | str]]:
    return {
        kind.value: {"objects": affected.objects, "lines": affected.lines, "severity": kind.severity.value}
        for kind, affected in problems.items()
    }


def _problems_from_json(resource: Mapping[str, Mapping[str, Any]]) -> dict[ProblemKind, Affected]:
    return {
        ProblemKind(name): Affected(int(found["objects"]), int(found["lines"]))
        for name, found in resource.items()
    }
