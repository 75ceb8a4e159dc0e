"""Writes on the legacy path after the cutover, seen in the data: somebody has not switched. Mergeable.

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
from shared.record import RecordStore
from shared.state import Kind, State

__all__ = ["LateWrites", "cutover_of", "late_since"]

MAX_NAMES = 20


def cutover_of(state: State) -> datetime | None:
    """When the last cutover was: the time of its entry in the history; None if there was none.

    The first entry tells of one where the migration began after its cutover. A later entry of that kind adopted it.
    """
    return next(
        (
            entry.at
            for entry in reversed(state.history)
            if entry.phase is Phase.CUT_OVER and (entry.kind is Kind.PHASE or entry is state.history[0])
        ),
        state.since if state.phase is Phase.CUT_OVER else None,
    )


def late_since(store: RecordStore, migration: Migration, cutover: datetime | None) -> "LateWrites":
    """Begin to count since a cutover, with what the mirror saw.

    Args:
        store: Holds the mirror's marks.
        migration: The migration, in its own direction.
        cutover: Since when the new path counts; None where it does not: nothing is late then.

    Raises:
        StorageError: The marks could not be read.
    """
    if cutover is None:
        return LateWrites()
    since = time_text(cutover)
    return LateWrites(since, newest=newest_late_mark(store, store, migration, since))


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


def _brought_back(source: ObjectState, destination: ObjectState, verdict: Verdict, since: str) -> bool:
    """Tell whether a legacy object is a copy of what was written at the new path, or older than it and about to be one."""
    if verdict is not Verdict.EQUAL:
        return is_later(destination.created, source.created)
    return is_later(destination.created, since) and not is_later(destination.created, source.created)
