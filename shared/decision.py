"""The replication rule's decision: what to do about one object, given both sides.

The rule: look at both sides. If they are the same, stop. Otherwise copy **on condition that the source is still the
live generation seen and the destination is still the generation seen** (0 = absent). If the condition fails, look
again. Nothing here asks which side is newer: Google promises unique generations, not ordered ones.

Who may overwrite is the *authority*: the side whose word counts where the two differ.

========  ===========  =============================  =====================================
source    destination  the source has authority       the destination has authority
========  ===========  =============================  =====================================
absent    any          nothing to do                  nothing to do
S         absent       copy if (S, 0)                 copy if (S, 0), called a straggler
S         same         already equal                  already equal
S         different    copy if (S, D)                 conflict: never overwritten, reported
========  ===========  =============================  =====================================

Forward replication (legacy → new) runs with the source's authority before the cutover and with the destination's
after it; reverse replication (new → legacy) runs with the source's, which is then the new path.
"""

from dataclasses import dataclass
from enum import Enum

from shared.objects import Difference, ObjectState, differences

__all__ = ["ABSENT", "Action", "Authority", "Decision", "decide"]

ABSENT = 0
"""The generation that stands for "no live object" in a condition (``ifGenerationMatch=0``)."""


class Authority(Enum):
    """Whose word counts where the two sides differ."""

    SOURCE = "source"
    DESTINATION = "destination"


class Action(Enum):
    """What to do about one object."""

    NOTHING = "nothing"
    EQUAL = "equal"
    COPY = "copy"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do about one object, and the conditions under which doing it is safe.

    Attributes:
        action: What to do.
        source_generation: The live source generation a copy is conditional on; `ABSENT` when there is no source.
        destination_generation: The destination generation a copy is conditional on; `ABSENT` = only if absent.
        because: How the two sides differ; empty when nothing is to be overwritten.
        straggler: A new source object arrived although the destination has the authority (a late writer).
    """

    action: Action
    source_generation: int
    destination_generation: int
    because: tuple[Difference, ...] = ()
    straggler: bool = False


def decide(source: ObjectState | None, destination: ObjectState | None, authority: Authority) -> Decision:
    """Decide by the table above.

    Args:
        source: The source as seen, None when absent.
        destination: The destination as seen, None when absent.
        authority: Whose word counts where they differ.

    Returns:
        The action with its conditions.
    """
    there = ABSENT if destination is None else destination.generation
    if source is None:
        return Decision(Action.NOTHING, ABSENT, there)
    if destination is None:
        return Decision(Action.COPY, source.generation, ABSENT, straggler=authority is Authority.DESTINATION)
    because = differences(source, destination)
    if not because:
        return Decision(Action.EQUAL, source.generation, there)
    action = Action.COPY if authority is Authority.SOURCE else Action.CONFLICT
    return Decision(action, source.generation, there, because)
