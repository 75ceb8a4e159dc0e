"""The replication rule's decision: what to do about one object, given both sides.

The rule: look at both sides. If they are the same, stop. Otherwise copy **on condition that the source is still the
live generation seen and the destination is still the generation seen** (0 = absent). If the condition fails, look
again. Nothing here asks which side is newer: Google promises unique generations, not ordered ones.

Who may overwrite is the *authority*: the side whose word counts where the two differ.

========  ====================  ==========================  =====================================
source    destination           the source has authority    the destination has authority
========  ====================  ==========================  =====================================
absent    any                   nothing to do               nothing to do
S         absent                copy if (S, 0)              copy if (S, 0), called a straggler
S         same, made after S    already equal               already equal
S         same, not after S     copy *again* if (S, D)      already equal
S         different             copy if (S, D)              conflict: never overwritten, reported
========  ====================  ==========================  =====================================

*Copying again*: contents can come back (a, then b, then a). A copy of b may be under way on condition that the
destination is still the first a; whoever then finds the last a equal to the first and goes away lets b win. But such a
copy began before the last a was written, so the destination it saw was made before that, too. Hence an equal
destination settles the matter only if it was made after the source version; otherwise it is replaced by a copy of the
same contents, whose new generation makes whatever is under way fail its condition. The two times are Cloud Storage's
own (``timeCreated``). They decide nothing about order between the sides: a wrong guess costs one needless, conditional
copy. ``tests/races`` explores it.

Forward replication (legacy → new) runs with the source's authority before the cutover and with the destination's
after it; reverse replication (new → legacy) runs with the source's, which is then the new path.
"""

from dataclasses import dataclass
from enum import Enum

from shared.objects import Difference, ObjectState, differences, is_later

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
        again: The two are the same; the copy is to make older copies under way fail. Who only compares two listings
            may read it as equal: no event is settled by it.
    """

    action: Action
    source_generation: int
    destination_generation: int
    because: tuple[Difference, ...] = ()
    straggler: bool = False
    again: bool = False


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
        if authority is Authority.DESTINATION or is_later(destination.created, source.created):
            return Decision(Action.EQUAL, source.generation, there)
        return Decision(Action.COPY, source.generation, there, again=True)
    action = Action.COPY if authority is Authority.SOURCE else Action.CONFLICT
    return Decision(action, source.generation, there, because)
