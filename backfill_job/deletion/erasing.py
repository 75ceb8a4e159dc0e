"""Erases names: records them, waits until every copier knows the record, and deletes each version that is theirs.

Only the command ``erasure`` imports it. It is a module of its own because it deletes, and its twin `traces` only reads.

The order matters (``docs/decisions/0031``):

1. Two looks that agree say which versions there are. So the record can name a moment before which everything was seen.
2. The record. Who knows it copies no version of before that moment: no mirror, sweep, pass or undo.
3. A wait, as after a change of the phase. A copier that did not know the record has decided by then. If it has made a younger copy,
   that copy goes on record, too, and the wait begins again.
4. The deletions: the live version on the side that decides first, then the other side, then what is noncurrent or kept.
5. Another look, and again from 4, until nothing is left that was seen, or that is a copy of it.

A version that was written after the looks, with other contents, is not erased. It is reported.
"""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta

from backfill_job.deletion.traces import Held, Trace, TracePlace, Traces, Version
from shared.decision import was_erased
from shared.erasures import Erasures, name_digest
from shared.errors import ConditionFailed, Contended, ObjectNotFound, StorageError
from shared.gateway import Gateway
from shared.objects import CONTENT_DIFFERENCES, ObjectState, differences, parse_time, time_text
from shared.phase import Phase
from shared.state import Erasure

__all__ = ["Erased", "Means", "deleted_by", "erase"]

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


@dataclass(frozen=True, slots=True)
class Means:
    """What an erasure works with. The race tests bring another one, so that they explore `erase` itself.

    Attributes:
        wait: Waits until every copier knows the record.
        delete: Deletes versions, each on condition of its generation; gives each one's error, or None.
    """

    look: Callable[[], Traces]
    record: Callable[[Erasure], None]
    wait: Callable[[], None]
    phase: Callable[[], Phase]
    delete: Callable[[Sequence[Trace]], Iterable[StorageError | None]]


def erase(found: Traces, known: Erasures, means: Means) -> Erased:
    """Erase what a first look has found, and every copy of it.

    Args:
        found: By a look of a moment ago; it has at least one version.
        known: What is on record already.

    Raises:
        Contended: No two looks agree, or a copier brings a name back in every round.
        UsageError: The record does not allow it.
        StorageError: What was recorded and deleted stays so.
    """
    seen = _agreed_look(means.look, found)
    contents = _Contents(seen)
    theirs = seen.data
    waited = False
    for _ in range(ROUNDS):
        erasure = _erasure_of(theirs, known)
        if erasure is not None:
            means.record(erasure)
            known = known.and_also(erasure.names, time_text(erasure.before))
        elif waited or all(each.held is Held.SOFT_DELETED for each in theirs):
            return _delete_all(contents, means)
        means.wait()
        waited = True
        # A copier that did not know the record may have made a copy meanwhile. That one is younger than the moment on record.
        theirs = contents.without_later_writes(_agreed_look(means.look, means.look()))
    raise _contended(found)


def _agreed_look(look: Callable[[], Traces], first: Traces) -> Traces:
    """Look until two looks in a row agree. So everything that was written before the newest time in it was seen."""
    found = first
    for _ in range(LOOKS):
        again = look()
        if again.data == first.data:
            return again
        first = again
    raise _contended(found if found.data else first)


def _contended(found: Traces) -> Contended:
    at = found.data[0].at.uri
    return Contended(at, "this name or another one is written all the time; stop its writer or copier")


class _Contents:
    """What the first looks have seen of each name: a version with the same contents is a copy of it, however young."""

    def __init__(self, seen: Traces) -> None:
        self._seen: dict[str, list[ObjectState]] = {}
        for each in seen.data:
            self._seen.setdefault(each.name, []).append(each.state)

    def have(self, trace: Trace) -> bool:
        """Whether a version is one that was seen, or a copy of one."""
        return any(
            not CONTENT_DIFFERENCES.intersection(differences(state, trace.state))
            for state in self._seen.get(trace.name, ())
        )

    def without_later_writes(self, found: Traces) -> tuple[Trace, ...]:
        """The versions of names of which there is no later write. A moment that covers its copies would cover that write, too."""
        written = {each.name for each in found.data if not self.have(each)}
        return tuple(each for each in found.data if each.name not in written)


def _erasure_of(theirs: Sequence[Trace], known: Erasures) -> Erasure | None:
    """What the record has to say, so that nothing of these comes back; None where it says so already."""
    new = [each for each in theirs if not was_erased(each.state, None, known.on_record(each.name))]
    if not new:
        return None
    newest = max(parse_time(moment) for each in new for moment in (each.state.created, each.state.updated))
    names = sorted({name_digest(each.name) for each in new})
    return Erasure(newest + timedelta(milliseconds=1), tuple(names))


def _delete_all(contents: _Contents, means: Means) -> Erased:
    """Delete what was seen, and every copy of it, until a look finds nothing of it."""
    done = Erased()
    for _ in range(ROUNDS):
        done.left = means.look()
        still = [each for each in done.left.data if each.held is not Held.SOFT_DELETED]
        done.later = [each for each in still if not contents.have(each)]
        going = [each for each in still if contents.have(each) and each.version not in done.refused]
        if not going:
            return done
        decides = TracePlace.LEGACY if means.phase().before_cutover else TracePlace.NEW
        for some in _in_order(going, decides):
            for each, error in zip(some, means.delete(some), strict=True):
                if error is None:
                    done.removed.add(each.version)
                elif not isinstance(error, (ConditionFailed, ObjectNotFound)):
                    done.refused[each.version] = str(error)
    raise _contended(done.left)


def _in_order(going: Iterable[Trace], decides: TracePlace) -> list[Sequence[Trace]]:
    """The side that decides, the other side, and what no copier reads."""
    steps: tuple[list[Trace], list[Trace], list[Trace]] = ([], [], [])
    for each in going:
        live = each.held is Held.LIVE and each.place is not TracePlace.KEPT
        steps[0 if live and each.place is decides else 1 if live else 2].append(each)
    return list(steps)


def deleted_by(gateway: Gateway) -> Callable[[Sequence[Trace]], list[StorageError | None]]:
    """Delete each version on condition of its generation; gives each one's error, or None."""

    def delete(trace: Trace) -> StorageError | None:
        try:
            if trace.held is Held.LIVE:
                gateway.delete(trace.at, if_generation=trace.state.generation)
            else:
                gateway.delete_version(trace.at, trace.state.generation)
        except StorageError as error:
            return error
        return None

    def delete_all(some: Sequence[Trace]) -> list[StorageError | None]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(delete, some))

    return delete_all
