"""Erases names: records them, waits until every copier knows the record, and deletes each version that is theirs.

Only the command ``erasure`` imports it. It is a module of its own because it deletes, and its twin `traces` only reads.

The order matters (``docs/decisions/0030``):

1. Two looks that agree say which versions there are. So the record can name a moment before which everything was seen.
2. The record. From then on no mirror, sweep, pass or undo brings such a version back where it is absent.
3. A wait, as after a change of the phase. A copier that did not know the record has decided by then.
4. The deletions: the live version on the side that decides first, then the other side, then what is noncurrent or kept.
5. Another look, and again from 4, until nothing is left that was seen, or that is a copy of it.

A version that was written after the looks, with other contents, is not erased. It is reported.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from backfill_job.deletion.traces import Held, Place, Trace, Traces, Version
from shared.erasures import Erasures, name_digest
from shared.errors import ConditionFailed, Contended, ObjectNotFound, StorageError
from shared.gateway import Gateway
from shared.objects import CONTENT_DIFFERENCES, differences, is_before, parse_time
from shared.phase import Phase
from shared.state import Erasure

__all__ = ["Erased", "agreed_look", "erase", "erasure_of"]

LOOKS = 5
"""Looks of which two in a row must agree. A name that changes in each of them is being written."""

ROUNDS = 5
"""Rounds of deletions. A copier that was under way at the first one has ended long before."""

AT_ONCE = 16


@dataclass(slots=True)
class Erased:
    """What an erasure has done.

    Attributes:
        removed: Versions that were deleted.
        left: What the last look found, without what names it.
        later: Those of `left` that were written after the looks, with other contents.
        refused: Those of `left` that could not be deleted, with the reason.
    """

    removed: set[Version] = field(default_factory=set)
    left: Traces = field(default_factory=Traces)
    later: list[Trace] = field(default_factory=list)
    refused: dict[Version, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        """Whether nothing is left that could have been deleted."""
        return all(each.held is Held.SOFT_DELETED for each in self.left.data)


def agreed_look(look: Callable[[], Traces], first: Traces) -> Traces:
    """Look until two looks in a row agree. So everything that was written before the newest time in it was seen.

    Raises:
        Contended: No two did.
        StorageError: A look failed.
    """
    for _ in range(LOOKS):
        again = look()
        if again.data == first.data:
            return again
        first = again
    raise Contended(
        first.data[0].at.uri, "is written all the time; stop its writer, and run the command again"
    )


def erasure_of(found: Traces, known: Erasures) -> Erasure | None:
    """What the record has to say, so that nothing of what was found comes back; None where it says so already."""
    new = [each for each in found.data if not _covered(each, known)]
    if not new:
        return None
    newest = max(parse_time(moment) for each in new for moment in (each.state.created, each.state.updated))
    names = sorted({name_digest(each.name) for each in new})
    return Erasure(newest + timedelta(milliseconds=1), tuple(names))


def _covered(trace: Trace, known: Erasures) -> bool:
    moment = known.on_record(trace.name)
    return moment is not None and is_before(trace.state, parse_time(moment))


def erase(gateway: Gateway, look: Callable[[], Traces], seen: Traces, phase: Callable[[], Phase]) -> Erased:
    """Delete what was seen, and every copy of it, until a look finds nothing of it. The record is written, and seen, before.

    Args:
        gateway: Deletes.
        look: Finds the versions again.
        seen: What is to go.
        phase: Tells which side decides; asked before each round.

    Raises:
        Contended: A copier brings it back in every round.
        StorageError: A look failed. What was deleted stays deleted.
    """
    done = Erased()
    for _ in range(ROUNDS):
        done.left = look()
        theirs = [each for each in done.left.data if each.held is not Held.SOFT_DELETED]
        done.later = [each for each in theirs if not _was_seen(each, seen)]
        going = [each for each in theirs if each not in done.later and each.version not in done.refused]
        if not going:
            return done
        decides = Place.LEGACY if phase().before_cutover else Place.NEW
        for some in _in_order(going, decides):
            _delete(gateway, some, done)
    raise Contended(
        done.left.data[0].at.uri, "comes back after each deletion; find its copier, and run the command again"
    )


def _was_seen(trace: Trace, seen: Traces) -> bool:
    """Whether a version was seen before the erasure, or has the contents of one that was."""
    return any(
        each.name == trace.name and not CONTENT_DIFFERENCES.intersection(differences(each.state, trace.state))
        for each in seen.data
    )


def _in_order(going: Iterable[Trace], decides: Place) -> list[Sequence[Trace]]:
    """The side that decides, the other side, and what no copier reads."""
    steps: tuple[list[Trace], list[Trace], list[Trace]] = ([], [], [])
    for each in going:
        live = each.held is Held.LIVE and each.place is not Place.KEPT
        steps[0 if live and each.place is decides else 1 if live else 2].append(each)
    return list(steps)


def _delete(gateway: Gateway, some: Sequence[Trace], done: Erased) -> None:
    def delete(trace: Trace) -> StorageError | None:
        try:
            if trace.held is Held.LIVE:
                gateway.delete(trace.at, if_generation=trace.state.generation)
            else:
                gateway.delete_version(trace.at, trace.state.generation)
        except (ConditionFailed, ObjectNotFound):
            return None  # the next look shows what is there
        except StorageError as error:
            return error
        done.removed.add(trace.version)
        return None

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for trace, error in zip(some, pool.map(delete, some), strict=True):
            if error is not None:
                done.refused[trace.version] = str(error)
