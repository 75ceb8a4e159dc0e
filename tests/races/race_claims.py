"""The claims of every interleaving, and the sentence for each that does not hold."""

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import NamedTuple

from race_model import Place, Version, object_state
from race_replay import DESTINATION, SOURCE, Answer, Call, Copy, Ended, Look, Side, shown

from shared.decision import Authority
from shared.errors import Contended
from shared.objects import ObjectRef, ObjectState, same
from shared.replicate import DeletePropagation, Outcome, Replication

__all__ = ["Claim", "Wrong", "about_commit", "about_end", "about_quiet"]


class Claim(Enum):
    """A claim about every interleaving."""

    ENDS_EQUAL = "at quiescence both sides are the same, or the source is absent"
    FORWARD = "the destination's contents never go from a newer source version back to an older one"
    BOOKS_TRUE = "every outcome names what the destination really held"
    CREATE_ONLY = (
        "once the destination has the authority, nothing there is overwritten but what was just copied there"
    )
    LATER_STAYS = "where the later write counts, no write is replaced by an earlier one"
    ENDS = "replicate ends within its attempts"
    ERASED = "where deletions are followed, no copy of a deleted source is left"
    PROVEN = "no copy differs from the source version it was meant to be"


class Wrong(NamedTuple):
    """A claim that does not hold."""

    claim: Claim
    sentence: str


def about_commit(
    there: Version | None, version: Version, authority: Authority, before: Version | None
) -> Wrong | None:
    """Judge a rewrite's commit over the version at the destination.

    Args:
        there: The version at the destination; its ``write`` is 0 if a client wrote it there.
        version: The copy.
        before: The version at the destination at the beginning.
    """
    if there is None:
        return None
    change = f"from {shown(there)} to {shown(version)}"
    if authority is Authority.DESTINATION and (there.write == 0 or _same(there, before)):
        return Wrong(Claim.CREATE_ONLY, f"the destination was overwritten {change}")
    if authority is Authority.LATER_WRITE and there.write == 0 and there.created > 2 * version.write:
        return Wrong(Claim.LATER_STAYS, f"a later write was replaced {change}")
    if version.write < there.write and version[2:4] != there[2:4]:
        return Wrong(Claim.FORWARD, f"the destination went backwards {change}")
    return None


def _same(one: Version, other: Version | None) -> bool:
    """Whether they are one version. The explorer renames tokens, so it does not compare them."""
    return other is not None and (one.write, one.created) == (other.write, other.created)


def about_quiet(
    source: Version | None, there: Version | None, authority: Authority, *, follows: bool = False
) -> Wrong | None:
    """Judge both sides when no step is possible any more.

    With `follows` deletions are followed. Once the destination has the authority it may differ, but must not be absent. Where the later write wins, the
    destination may only differ by a later write.
    """
    if source is None:
        left = follows and there is not None and there.write > 0
        return Wrong(Claim.ERASED, f"it ends with {shown(there)} left of a deleted source") if left else None
    if there is not None:
        if authority is Authority.DESTINATION:
            return None
        if authority is Authority.LATER_WRITE and there.write == 0 and there.created > source.created:
            return None
        if same(object_state(source, SOURCE.name), object_state(there, DESTINATION.name)):
            return None
    return Wrong(
        Claim.ENDS_EQUAL, f"it ends with {shown(source)} at the source and {shown(there)} at the destination"
    )


def about_end(sources: Iterable[Place], history: tuple[Answer, ...], ended: Ended) -> Wrong | None:
    """Compare an actor's result with what the model knows."""
    if isinstance(ended.error, Contended):
        return Wrong(Claim.ENDS, f"it gave up: {ended.error}")
    if ended.error is not None:
        return Wrong(Claim.PROVEN, f"it failed: {ended.error}")
    result = ended.result.replication if isinstance(ended.result, DeletePropagation) else ended.result
    if result is None:
        return None
    problem = _untrue(result, sources, list(zip(ended.calls, history, strict=True)))
    return None if problem is None else Wrong(Claim.BOOKS_TRUE, f"{result.outcome.value}, but {problem}")


def _untrue(result: Replication, sources: Iterable[Place], answered: list[tuple[Call, Answer]]) -> str | None:
    """Describe what is untrue in a result, by the versions that the model really had."""
    if result.outcome is Outcome.SUPERSEDED:
        looks = [answer for call, answer in answered if call == Look(Side.SOURCE)]
        return None if looks[-1:] == [None] else "the source was there, or was never looked at"
    here = _known(result.source, [place.live for place in sources], SOURCE)
    there = _known(result.destination, [answer for _, answer in answered], DESTINATION)
    if here is None or there is None:
        return "it names a version that never was"
    equal = same(object_state(here, SOURCE.name), object_state(there, DESTINATION.name))
    if equal is (result.outcome is Outcome.CONFLICT):
        return f"there is {shown(here)} at the source and {shown(there)} at the destination"
    if result.outcome is Outcome.COPIED and not any(
        isinstance(call, Copy) and answer == there for call, answer in answered
    ):
        return "it copied nothing"
    return None


def _known(state: ObjectState | None, answers: Sequence[Answer], at: ObjectRef) -> Version | None:
    """Find the model's version that a state describes exactly."""
    versions = (answer for answer in answers if isinstance(answer, Version))
    return next((version for version in versions if object_state(version, at.name) == state), None)
