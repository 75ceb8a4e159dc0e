"""What a contents check found, in numbers and a few examples: counted while it runs.

Results of key ranges and tasks add up to the result of the whole, in any order. Counts are added; of the examples, the
first few by name stay for each kind and side.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum

from backfill_job.contents.lines import LineProblem
from backfill_job.contents.rows import ProblemKind
from shared.verification import Contents, Example, Problem

__all__ = ["Side", "Tally", "merged"]

EXAMPLES_OF_A_KIND = 5
"""Examples of each kind and side that a result shows. All problems are counted."""

_ORDER = {kind.value: number for number, kind in enumerate(ProblemKind)}


class Side(Enum):
    """Where a problem arose."""

    SOURCE = "source"
    """The source has it; a copy keeps it."""
    MIGRATION = "migration"
    """Only the destination has it."""


class Tally:
    """Counts while a check runs; its memory does not grow with the objects."""

    def __init__(self) -> None:
        self._objects = self._rows = self._bytes = self._changed = 0
        self._problems: dict[Side, dict[str, Problem]] = {side: {} for side in Side}
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
        self, name: str, side: Side, counts: Mapping[ProblemKind, int], examples: Iterable[LineProblem]
    ) -> None:
        """Count the problems of the object `name`.

        Args:
            counts: Its lines by kind.
            examples: The first of them.
        """
        if not counts:
            return
        found = {kind.value: Problem(1, lines, kind.severity) for kind, lines in counts.items()}
        self._problems[side] = _added(self._problems[side], found)
        more = (Example(name, side.value, each.line, each.kind, each.detail) for each in examples)
        self._examples = _kept((*self._examples, *more))

    def add(self, part: Contents) -> None:
        """Count what another check found.

        Raises:
            KeyError: It has a kind of problem that this program does not know.
        """
        self._objects += part.objects
        self._rows += part.rows
        self._bytes += part.bytes
        self._changed += part.changed
        for side, problems in (
            (Side.SOURCE, part.source_problems),
            (Side.MIGRATION, part.migration_problems),
        ):
            self._problems[side] = _added(self._problems[side], problems)
        self._examples = _kept((*self._examples, *part.examples))

    def result(self, mode: str, seconds: float) -> Contents:
        """The result of everything counted so far."""
        return Contents(
            mode=mode,
            clean=all(problem.loads for problems in self._problems.values() for problem in problems.values()),
            objects=self._objects,
            rows=self._rows,
            bytes=self._bytes,
            changed=self._changed,
            seconds=round(seconds, 3),
            objects_per_s=round(self._objects / seconds, 1) if seconds > 0 else 0.0,
            source_problems=self._problems[Side.SOURCE],
            migration_problems=self._problems[Side.MIGRATION],
            examples=self._examples,
        )


def merged(parts: Sequence[Contents]) -> Contents | None:
    """The result of several checks, which counts them as one after the other; None without any.

    Raises:
        ValueError: They have different scopes.
        KeyError: See `Tally.add`.
    """
    if not parts:
        return None
    whole, mode = Tally(), parts[0].mode
    for part in parts:
        if part.mode != mode:
            raise ValueError(f"contents checked as {mode} and as {part.mode} do not add up")
        whole.add(part)
    return whole.result(mode, sum(part.seconds for part in parts))


def _added(one: Mapping[str, Problem], other: Mapping[str, Problem]) -> dict[str, Problem]:
    """The sum of each kind, in the order of the kinds."""
    found = {**one, **other} | {kind: one[kind] + other[kind] for kind in one.keys() & other.keys()}
    return dict(sorted(found.items(), key=lambda item: _ORDER[item[0]]))


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
