"""Writes after the cutover, seen in the data: on the legacy path by somebody who has not switched, and on the new path. Mergeable.

What the reverse mirror brings back is not one of them: there the new path's version is the older one. But it also brings back
what a late writer wrote and the forward mirror copied; therefore the forward mirror's own marks count, too (`shared.late_marks`).
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from backfill_job.copying.diff import DiffLine, Verdict
from shared.late_marks import newest_late_mark
from shared.migration import Migration
from shared.objects import ObjectState, is_later, time_text
from shared.phase import Phase
from shared.state import State
from shared.store import RecordStore

__all__ = ["BroughtBack", "LateWrites", "cutover_of", "late_since"]

MAX_NAMES = 20


def cutover_of(state: State) -> datetime | None:
    """When the last cutover was: the time of its entry in the history; None if there was none."""
    number = state.cutover_entry
    if number is not None:
        return state.history[number].at
    return state.since if state.phase is Phase.CUT_OVER else None


def late_since(store: RecordStore, migration: Migration, cutover: datetime | None) -> "LateWrites":
    """Begin to count since a cutover, with what the mirror saw.

    Args:
        migration: The migration, in its own direction.
        cutover: Since when the new path counts; None where it does not: nothing is late then.

    Raises:
        StorageError: The marks could not be read.
    """
    if cutover is None:
        return LateWrites()
    since = time_text(cutover)
    return LateWrites(since, newest=newest_late_mark(store, migration, since))


@dataclass(slots=True)
class LateWrites:
    """Objects that were written on the legacy path first, since some moment.

    Attributes:
        since: The moment of the cutover, as an RFC 3339 time; empty where there was none: nothing is late then.
        objects: How many of them the data shows.
        names: The first of these, below the prefix.
        newest: When the newest was written, by the data or by the mirror's marks; empty for none.
    """

    since: str = ""
    objects: int = 0
    names: list[str] = field(default_factory=list)
    newest: str = ""

    def add(self, finding: DiffLine) -> None:
        """Count a name, if it was written late."""
        source, destination = finding.source, finding.destination
        if not self.since or source is None or not is_later(source.created, self.since):
            return
        if destination is not None and _brought_back(source, destination, finding.verdict, self.since):
            return
        self.objects += 1
        if not self.newest or is_later(source.created, self.newest):
            self.newest = source.created
        if len(self.names) < MAX_NAMES:
            self.names.append(finding.relative)

    @staticmethod
    def merged(parts: Iterable["LateWrites"]) -> "LateWrites":
        """Those of several tasks together. A task that began before the cutover knows of none, and counted nothing."""
        whole = LateWrites()
        for part in parts:
            names = [*whole.names, *part.names][:MAX_NAMES]
            newest = part.newest if is_later(part.newest, whole.newest) or not whole.newest else whole.newest
            whole = LateWrites(max(whole.since, part.since), whole.objects + part.objects, names, newest)
        return whole


@dataclass(slots=True)
class BroughtBack:
    """What was written at the new path after the cutover: whether it is at the legacy path, where the reverse mirror brings it.

    Attributes:
        cutover: RFC 3339; empty where nothing is counted.
        since: From when an object that came back shows that the mirror is alive; RFC 3339.
        until: An object written later may still be on its way; RFC 3339.
        back: How many written since then came back.
        waiting: How many written since the cutover did not.
        name: The first of those that did not, below the prefix; empty for none.
    """

    cutover: str = ""
    since: str = ""
    until: str = ""
    back: int = 0
    waiting: int = 0
    name: str = ""

    def add(self, finding: DiffLine) -> None:
        """Count a name, if its version at the new path is younger than the cutover and not the forward mirror's copy."""
        source, there = finding.source, finding.destination
        if not self.cutover or there is None or not is_later(there.created, self.cutover):
            return
        came_back = source is not None and not is_later(there.created, source.created)
        if finding.verdict is Verdict.EQUAL:
            self.back += came_back and is_later(there.created, self.since)
        elif not (came_back or finding.verdict is Verdict.EXCLUDED or is_later(there.created, self.until)):
            self.waiting += 1
            self.name = min(self.name or finding.relative, finding.relative)

    @staticmethod
    def merged(parts: Iterable["BroughtBack"]) -> "BroughtBack":
        """Those of several tasks together; those of a task that began before the cutover counted nothing."""
        whole = BroughtBack()
        for part in parts:
            whole = BroughtBack(
                max(whole.cutover, part.cutover),
                max(whole.since, part.since),
                max(whole.until, part.until),
                whole.back + part.back,
                whole.waiting + part.waiting,
                min(filter(None, (whole.name, part.name)), default=""),
            )
        return whole


def _brought_back(source: ObjectState, destination: ObjectState, verdict: Verdict, since: str) -> bool:
    """Tell whether a legacy object is a copy of what was written at the new path, or older than it and about to be one."""
    if verdict is not Verdict.EQUAL:
        return is_later(destination.created, source.created)
    return is_later(destination.created, since) and not is_later(destination.created, source.created)
