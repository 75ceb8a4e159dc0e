"""What there is to copy: counted from the lines of a diff, and mergeable. Execution, estimate and report share it."""

from collections.abc import Iterable
from dataclasses import asdict, astuple, dataclass

from backfill_job.copying.diff import Finding, Verdict

__all__ = ["Work"]


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do.

    Attributes:
        source_objects: Objects listed at the source.
        destination_objects: Objects listed at the destination.
        new_objects: Objects to copy to where nothing is.
        replaced_objects: Objects to copy over something else.
        second_copy_bytes: What the complete copy holds, already there or not.
        ranges: Pieces of the key space that are listed each by itself; 0 for the whole at once.
    """

    source_objects: int = 0
    destination_objects: int = 0
    new_objects: int = 0
    replaced_objects: int = 0
    second_copy_bytes: int = 0
    ranges: int = 0

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0:
            raise ValueError(f"{self}: nothing is there less than zero times")

    @staticmethod
    def of_diff(findings: Iterable[Finding]) -> "Work":
        """What a part of the diff shows to be done while the source has the authority."""
        source = destination = new = replaced = complete = 0
        for _, verdict, ours, theirs, _ in findings:
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
        """Rewrites to be sent."""
        return self.new_objects + self.replaced_objects
