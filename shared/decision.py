"""The replication rule's decision: what to do about one object, given both sides.

The rule: look at both sides. If they are the same, stop. Otherwise copy **on condition that the source is still the
live generation seen and the destination is still the generation seen** (0 = absent). If the condition fails, look
again. The rule never asks which side is newer: Google promises unique generations, not ordered ones.

The *authority* says which side may overwrite where the two differ: the source, the destination, or the later write.

| source | destination        | the source wins  | the later write wins             | the destination wins       |
|--------|--------------------|------------------|----------------------------------|----------------------------|
| absent | any                | nothing to do    | nothing to do                    | nothing to do              |
| S      | absent             | copy if (S, 0)   | copy if (S, 0)                   | copy if (S, 0): straggler  |
| S      | same, made after S | already equal    | already equal                    | already equal              |
| S      | same, not after S  | copy *again*     | copy *again*                     | already equal              |
| S      | different (D)      | copy if (S, D)   | copy if (S, D) if S is later;    | conflict: reported, never  |
|        |                    |                  | else conflict, reported          | overwritten                |

*Copying again*: contents can come back ("a", then "b", then "a"). A copy of "b" may be under way on condition that the
destination is still the first "a". If another copier sees the final "a" as already equal and stops, the stale copy of
"b" can still land. But such a copy began before the last "a" was written. So the destination that it saw was made before
that, too. Hence an equal destination settles the matter only if it was made after the source version. Otherwise a copy of
the same contents replaces it, and its new generation makes every copy under way fail its condition. Both times are Cloud
Storage's own (``timeCreated``). They do not order the two sides: a wrong guess costs one needless, conditional copy.
``tests/races`` explores it.

*The later write*: while both paths have writers, or had until a moment ago, neither side always wins. There only a later
write replaces the destination. A copy carries the time at which it was made, so an old version that was copied late can
look like a later write. So a copier that makes such copies, or copies a straggler, looks at the source again, and may
replace its own copy (`shared.replicate`). A wrong guess leaves a difference that is reported, and loses nothing. A change
that Cloud Storage makes itself, such as the storage class by a lifecycle rule, is not a write (`shared.objects.last_write`).
``docs/decisions/0016`` says which side wins where.

*Erased*: where the destination decides what exists, an absent destination may mean that somebody deleted it there. Then the
copy would bring an erasure back. `was_erased` has the rule; the row "S, absent" says *erased* instead of *copy* there. What a
person has erased by name is not copied at all, also onto another object: a copy would be younger than the erasure.
"""

from enum import Enum
from typing import NamedTuple

from shared.objects import CONTENT_DIFFERENCES, Difference, ObjectState, differences, is_later, last_write

__all__ = ["ABSENT", "Action", "Authority", "Decision", "ErasedBefore", "decide", "was_erased"]

ABSENT = 0
"""The generation that means "no live object" in a condition (``ifGenerationMatch=0``)."""


class Authority(Enum):
    """Which side wins where the two differ: always one side, or the later write."""

    SOURCE = "source"
    LATER_WRITE = "later_write"
    DESTINATION = "destination"


class Action(Enum):
    """What to do about one object."""

    NOTHING = "nothing"
    EQUAL = "equal"
    COPY = "copy"
    CONFLICT = "conflict"
    ERASED = "erased"


class ErasedBefore(NamedTuple):
    """The moments (RFC 3339) before which an object must have been written to count as erased; None for never.

    Attributes:
        absent: B of `was_erased`, where the destination is the side that decides.
        by_name: When a person erased the name on record.
    """

    absent: str | None = None
    by_name: str | None = None


class Decision(NamedTuple):
    """What to do about one object, and the conditions under which doing it is safe.

    A named tuple, because a run makes one for every object: a third of a frozen dataclass's time.

    Attributes:
        source_generation: The live source generation that a copy requires; `ABSENT` when the source is absent.
        destination_generation: The destination generation that a copy requires; `ABSENT` = only if absent.
        because: How the two sides differ; empty when the decision overwrites nothing.
        straggler: A new source object arrived although the destination has the authority (a late writer).
        again: The two are the same; the copy makes older copies under way fail. Code that only compares two listings
            may read it as equal, but must not settle an event by it.
    """

    action: Action
    source_generation: int
    destination_generation: int
    because: tuple[Difference, ...] = ()
    straggler: bool = False
    again: bool = False


def decide(
    source: ObjectState | None,
    destination: ObjectState | None,
    authority: Authority,
    erased: ErasedBefore | None = None,
) -> Decision:
    """Decide by the table above; a side that is absent is None. `erased` as in `was_erased`."""
    there = ABSENT if destination is None else destination.generation
    if source is None:
        return Decision(Action.NOTHING, ABSENT, there)
    if erased is not None and was_erased(source, destination, erased):
        return Decision(Action.ERASED, source.generation, there)
    if destination is None:
        return Decision(Action.COPY, source.generation, ABSENT, straggler=authority is Authority.DESTINATION)
    because = differences(source, destination)
    if not because:
        if authority is Authority.DESTINATION or is_later(destination.created, source.created):
            return Decision(Action.EQUAL, source.generation, there)
        return Decision(Action.COPY, source.generation, there, again=True)
    overwrites = authority is Authority.SOURCE or (
        authority is Authority.LATER_WRITE and _is_later_write(source, destination, because)
    )
    return Decision(Action.COPY if overwrites else Action.CONFLICT, source.generation, there, because)


def was_erased(source: ObjectState, destination: ObjectState | None, erased: ErasedBefore) -> bool:
    """Tell whether an object was deleted on the side that decides what exists, so that it must not be brought back.

    The new path decides after a cutover (``cut_over``, ``deleting``, ``deleted``), the legacy path otherwise. Let B be the
    beginning of the newest full comparison on record that found both sides equal, and that began since that side decides. An
    object on the other side whose ``created`` and ``updated`` are both before B was there, unchanged, during that comparison.
    So the side that decides held it, too. If it is absent there now, it was deleted there since: it was erased.

    Every other absence is a gap, and is filled: data win where it cannot be told. There is no such comparison, a time is
    unknown, or the object was written or changed after B. And absence on the side that does *not* decide is always a gap.

    What a person has erased by name is erased on either side, whatever the other side holds.

    Args:
        source: On the side that follows.
        destination: On the side that decides; None when absent.
    """
    return (destination is None and _is_before(source, erased.absent)) or _is_before(source, erased.by_name)


def _is_before(source: ObjectState, moment: str | None) -> bool:
    return moment is not None and is_later(moment, source.created) and is_later(moment, source.updated)


def _is_later_write(source: ObjectState, destination: ObjectState, differing: tuple[Difference, ...]) -> bool:
    """Tell whether the source wrote later what differs: the contents, or else the metadata.

    A change that the service made itself is not a write. Where it hides when a client last changed the metadata, the
    source is not known to be later.
    """
    if CONTENT_DIFFERENCES.intersection(differing):
        return is_later(source.created, destination.created)
    return is_later(last_write(source).earliest, last_write(destination).latest)
