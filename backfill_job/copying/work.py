"""The amount of work, counted from the lines of a diff. The execution, the estimate and the report share it."""

from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass

from backfill_job.copying.diff import DiffLine, Verdict

__all__ = ["Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """How much there is to list and to copy. Parts of the work add up.

    Attributes:
        new_objects: Objects to copy to names where the destination has nothing.
        replaced_objects: Objects to copy over something different.
        second_copy_bytes: Bytes of the complete copy, already there or not.
        ranges: Pieces of the key space that are listed separately; 0 for one listing of the whole.
    """

    source_objects: int = 0
    destination_objects: int = 0
    new_objects: int = 0
    replaced_objects: int = 0
    second_copy_bytes: int = 0
    ranges: int = 0

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0:
            raise ValueError(f"{self}: a count is below zero")

    @staticmethod
    def of_diff(lines: Iterable[DiffLine]) -> "Work":
        """The work in a part of the diff while the source is the source of truth."""
        source = destination = new = replaced = complete = 0
        for _, verdict, ours, theirs, _ in lines:
            source += ours is not None
            destination += theirs is not None
            new += verdict is Verdict.MISSING
            replaced += verdict is Verdict.CONTENT_DIFFERS or verdict is Verdict.METADATA_DIFFERS
            if ours is not None and verdict is not Verdict.EXCLUDED:
                complete += ours.size
        return Work(source, destination, new, replaced, complete)

    def __add__(self, other: "Work") -> "Work":
        return Work(*map(sum, zip(astuple(self), astuple(other), strict=True)))

    @property
    def copies(self) -> int:
        """How many rewrites to send."""
        return self.new_objects + self.replaced_objects
