"""Why objects failed, grouped by cause, and the next step that fits: the end of every command that copies or deletes objects."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.errors import Cause, StorageError
from shared.text import counted, shown

__all__ = ["Failure", "Failures", "merged_failures", "next_step", "to_mend"]


@dataclass(frozen=True, slots=True)
class Failure:
    """The objects that failed for one cause; `example` is one of them, with the error."""

    cause: Cause
    objects: int
    example: str

    def to_json(self) -> dict[str, Any]:
        """The entry of a report."""
        return {"cause": self.cause.name.lower(), "objects": self.objects, "example": self.example}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Failure":
        """Read what `to_json` gave. Raises one of `OTHER_FORM` for something else."""
        return Failure(Cause[content["cause"].upper()], int(content["objects"]), str(content["example"]))

    def lines(self) -> Iterator[str]:
        """Why they failed, and what to do about it."""
        yield f"{counted(self.objects, 'object')} failed: {self.cause.value}. For example {shown(self.example)}"
        if self.cause.fix:
            yield f"  {self.cause.fix}"


class Failures:
    """Collects the failures of a run: one entry for each cause."""

    def __init__(self) -> None:
        self._by_cause: dict[Cause, Failure] = {}

    def note(self, name: str, cause: Cause, error: object) -> None:
        """Note one object; only the first of each cause is kept as the example."""
        # A `StorageError` names its object.
        example = str(error) if isinstance(error, StorageError) else f"{name}: {error}"
        self.add(Failure(cause, 1, example))

    def add(self, found: Failure) -> None:
        """Add the failures of one cause."""
        before = self._by_cause.setdefault(found.cause, replace(found, objects=0))
        self._by_cause[found.cause] = replace(before, objects=before.objects + found.objects)

    def all(self) -> tuple[Failure, ...]:
        """The entries so far."""
        return tuple(self._by_cause.values())


def merged_failures(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """Put the entries of several tasks together."""
    whole = Failures()
    for each in failures:
        whole.add(each)
    return whole.all()


def to_mend(failures: Iterable[Failure]) -> int:
    """How many objects will fail again until somebody mends what the answers name."""
    return sum(failure.objects for failure in failures if not failure.cause.again)


def next_step(
    failures: Iterable[Failure],
    *,
    again: bool,
    stopped_by: Cause | None = None,
) -> Iterator[str]:
    """Why objects failed, most frequent cause first; what the run's own end needs; and when to go on.

    Args:
        again: Whether the command can help although nothing is mended.
        stopped_by: The cause for which the run stopped before its end; None if that is not a failure of Cloud Storage.
    """
    found = sorted(failures, key=lambda failure: -failure.objects)
    for failure in found:
        yield from failure.lines()
    if stopped_by is not None and stopped_by not in {each.cause for each in found}:
        yield from filter(None, [stopped_by.fix])
    if again:
        yield "Run the same command again."
    elif found or stopped_by:
        yield "When that is mended, run the same command again."
