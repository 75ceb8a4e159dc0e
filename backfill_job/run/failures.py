"""Why objects failed, grouped by cause, and the next step that fits: the end of every command that copies or deletes objects."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from shared.errors import Cause, StorageError
from shared.text import counted, shown

__all__ = ["Failure", "Failures", "merged", "next_step", "to_mend"]


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
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: The content has another form.
        """
        return Failure(Cause[content["cause"].upper()], int(content["objects"]), str(content["example"]))

    def and_more(self, objects: int) -> "Failure":
        """The same with more objects."""
        return replace(self, objects=self.objects + objects)

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
        before = self._by_cause.get(cause)
        if before is not None:
            self._by_cause[cause] = before.and_more(1)
            return
        # A `StorageError` names its object.
        example = str(error) if isinstance(error, StorageError) else f"{name}: {error}"
        self._by_cause[cause] = Failure(cause, 1, example)

    def all(self) -> tuple[Failure, ...]:
        """The entries so far."""
        return tuple(self._by_cause.values())


def merged(failures: Iterable[Failure]) -> tuple[Failure, ...]:
    """Put the entries of several tasks together."""
    whole: dict[Cause, Failure] = {}
    for each in failures:
        before = whole.get(each.cause)
        whole[each.cause] = each if before is None else before.and_more(each.objects)
    return tuple(whole.values())


def to_mend(failures: Iterable[Failure]) -> int:
    """How many objects will fail again until somebody mends what the answers name."""
    return sum(failure.objects for failure in failures if not failure.cause.again)


def next_step(
    failures: Iterable[Failure],
    *,
    again: bool,
    stopped_by: Cause | None = None,
    command: str = "run the same command again",
) -> Iterator[str]:
    """Why objects failed, most frequent cause first; what the run's own end needs; and when to go on.

    Args:
        again: Whether the command can help although nothing is mended.
        stopped_by: The cause for which the run stopped before its end; None if that is not a failure of Cloud Storage.
        command: What goes on, as part of a sentence.
    """
    found = sorted(failures, key=lambda failure: -failure.objects)
    for failure in found:
        yield from failure.lines()
    if stopped_by is not None and stopped_by not in {each.cause for each in found}:
        yield from filter(None, [stopped_by.fix])
    if again:
        yield f"{command[:1].upper()}{command[1:]}."
    elif found or stopped_by:
        yield f"When that is mended, {command}."
