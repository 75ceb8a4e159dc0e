"""What an execution would do with each name: each line of the diff with the replication rule's decision beside it.

The plan is advice. The copy looks again, so a plan of any age is safe to act on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from backfill_job.copying.diff import DiffLine, Verdict
from backfill_job.copying.lane import impossible
from shared.decision import Action, Authority, decide
from shared.erasures import NO_ERASURES, Erasures
from shared.migration import OWN_FOLDER, Migration
from shared.objects import Difference, ObjectState

__all__ = ["PlanLine", "PlanStep", "plan"]


class PlanStep(Enum):
    """The step planned for one name."""

    COPY = "copy"
    OVERWRITE = "overwrite"
    EQUAL = "equal"
    CONFLICT = "conflict"
    ERASED = "erased"
    EXTRA = "extra"
    EXCLUDED = "excluded"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One name, the step planned for it, and why.

    Attributes:
        step: COPY: the destination has nothing there. OVERWRITE: the copy replaces something different. EQUAL: nothing to do.
            CONFLICT: different, and the destination is the source of truth. ERASED: it was deleted at the destination, and is not
            brought back. EXTRA: only the destination has it. EXCLUDED: excluded on request, or never data. IMPOSSIBLE: the
            destination cannot have this name.
        source: The source object as listed, None for EXTRA.
        destination: The destination object as listed, None when absent.
        because: For OVERWRITE and CONFLICT, how the two differ. For EQUAL, why the bytes have to be compared.
        note: For IMPOSSIBLE, why. For EXCLUDED, why where it is not on request.
    """

    relative: str
    step: PlanStep
    source: ObjectState | None
    destination: ObjectState | None
    because: tuple[Difference, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        """The line for a person to check: ``copy qpi_answers_20240101/user_id_7.jsonl``."""
        reasons = ", ".join(difference.value for difference in self.because) or self.note
        return f"{self.step.value} {self.relative}" + (f" ({reasons})" if reasons else "")


_STEPS = {
    Verdict.EQUAL: PlanStep.EQUAL,
    Verdict.EXTRA: PlanStep.EXTRA,
    Verdict.EXCLUDED: PlanStep.EXCLUDED,
}
"""The steps that the verdict alone decides."""

_NEVER_DATA = f"objects of migrations in {OWN_FOLDER}"


def plan(
    lines: Iterable[DiffLine], migration: Migration, authority: Authority, erasures: Erasures = NO_ERASURES
) -> Iterator[PlanLine]:
    """Plan each line of a diff, in its order.

    Args:
        authority: The side that wins where the two differ.
        erasures: Since when an absence at the destination is an erasure.
    """
    for line in lines:
        yield _planned(line, migration, authority, erasures)


def _planned(line: DiffLine, migration: Migration, authority: Authority, erasures: Erasures) -> PlanLine:
    relative, verdict, source, destination, differing = line
    step = _STEPS.get(verdict)
    if step is not None:
        note = _NEVER_DATA if migration.is_own(relative) else ""
        return PlanLine(relative, step, source, destination, note=note)
    if destination is None:
        why = impossible(line, migration)
        erased = decide(source, None, authority, erasures.of(relative)).action is Action.ERASED
        step = PlanStep.IMPOSSIBLE if why else PlanStep.ERASED if erased else PlanStep.COPY
        return PlanLine(relative, step, source, None, note=why)
    if differing == (Difference.CRC32C_ALONE,) and authority is not Authority.SOURCE:
        return PlanLine(relative, PlanStep.EQUAL, source, destination, differing)
    conflict = decide(source, destination, authority).action is Action.CONFLICT
    return PlanLine(
        relative, PlanStep.CONFLICT if conflict else PlanStep.OVERWRITE, source, destination, differing
    )
