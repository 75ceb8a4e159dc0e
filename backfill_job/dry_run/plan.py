"""What would be done, name by name: each finding of the diff with the replication rule's decision beside it.

The plan is advice. The copy looks again, so a plan of any age is safe to act on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from backfill_job.copying.diff import Finding, Verdict
from shared.decision import Action, Authority, decide
from shared.errors import UsageError
from shared.migration import Migration
from shared.objects import Difference, ObjectState

__all__ = ["PlanLine", "Step", "plan"]


class Step(Enum):
    """What is planned for one name."""

    COPY = "copy"
    OVERWRITE = "overwrite"
    EQUAL = "equal"
    CONFLICT = "conflict"
    EXTRA = "extra"
    EXCLUDED = "excluded"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class PlanLine:
    """One name, what is planned for it, and why.

    Attributes:
        relative: The name below the prefixes.
        step: COPY: the destination has nothing there. OVERWRITE: it has something different, which is replaced.
            EQUAL: nothing to do. CONFLICT: different, and the destination has the authority. EXTRA: only the
            destination has it. EXCLUDED: left behind on request. IMPOSSIBLE: it cannot have its name there.
        source: The source object as listed, None for EXTRA.
        destination: The destination object as listed, None when absent.
        because: For OVERWRITE and CONFLICT, how the two differ.
        note: For IMPOSSIBLE, why.
    """

    relative: str
    step: Step
    source: ObjectState | None
    destination: ObjectState | None
    because: tuple[Difference, ...] = ()
    note: str = ""

    def __str__(self) -> str:
        """The line as a person checks it: ``copy qpi_answers_20240101/user_id_7.jsonl``."""
        reasons = ", ".join(difference.value for difference in self.because) or self.note
        return f"{self.step.value} {self.relative}" + (f" ({reasons})" if reasons else "")


_STEPS = {
    Verdict.EQUAL: Step.EQUAL,
    Verdict.EXTRA: Step.EXTRA,
    Verdict.EXCLUDED: Step.EXCLUDED,
}
"""What a verdict alone decides."""


def plan(findings: Iterable[Finding], migration: Migration, authority: Authority) -> Iterator[PlanLine]:
    """Plan for every name of a diff, in its order.

    Args:
        findings: The diff of both listings, judged.
        migration: What is asked.
        authority: Whose word counts where the two sides differ.

    Yields:
        One line a name.
    """
    for finding in findings:
        yield _planned(finding, migration, authority)


def _planned(finding: Finding, migration: Migration, authority: Authority) -> PlanLine:
    relative, verdict, source, destination, differing = finding
    step = _STEPS.get(verdict)
    if step is not None:
        return PlanLine(relative, step, source, destination)
    if destination is None:
        try:
            migration.destination_ref(relative)
        except UsageError as error:
            return PlanLine(relative, Step.IMPOSSIBLE, source, None, note=str(error))
        return PlanLine(relative, Step.COPY, source, None)
    conflict = decide(source, destination, authority).action is Action.CONFLICT
    return PlanLine(relative, Step.CONFLICT if conflict else Step.OVERWRITE, source, destination, differing)
