"""Compares both sides name by name, from listings made after the work to be verified.

No name counts as wrong before it was looked at twice: a listing is not a snapshot, and the writer keeps writing. The
comparison reads names that differ again one by one. Names whose source changed within the grace period get that long to
arrive, and are called *in flight* when they still do not agree.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from msgspec import to_builtins

from backfill_job.copying.diff import Finding, Pair, judge
from backfill_job.run.clock import Clock
from shared.errors import UsageError
from shared.events_log import Event, EventLog
from shared.json_io import Count, convert
from shared.migration import Migration
from shared.objects import ObjectState, parse_time
from shared.store import ObjectStore
from shared.verification import NameDifference, SideFacts, Verdict

__all__ = ["Compared", "Comparison", "log_comparison", "more_line"]

MAX_SECOND_LOOKS = 10_000
"""With more differing names than this, the paths are plainly not equal; the listings alone judge the rest."""

RECHECK_SECONDS = 5.0

SECOND_LOOK_THREADS = 16

MAX_DIFFERENCES = 1_000
"""Names kept in memory for the report's list of differences; all are counted."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison of names found: of one task, or of all tasks together.

    Attributes:
        counts: Names by verdict; every verdict is there.
        differences: The names that got a second look and are not equal, in no order, at most `MAX_DIFFERENCES`.
    """

    counts: Mapping[Verdict, int]
    differences: tuple[NameDifference, ...]

    @property
    def wrong(self) -> dict[Verdict, int]:
        """Names that were not found equal on both sides, by verdict; what is still in flight is not proven."""
        return {verdict: count for verdict, count in self.counts.items() if count and not verdict.settled}

    @property
    def clean(self) -> bool:
        """Whether every name was found equal on both sides."""
        return not self.wrong

    @property
    def said(self) -> str:
        """What was found, in words: ``both sides are equal``, or ``NOT EQUAL: 1 missing``."""
        wrong = (f"{count:,} {verdict.value.replace('_', ' ')}" for verdict, count in self.wrong.items())
        return "both sides are equal" if self.clean else f"NOT EQUAL: {', '.join(wrong)}"

    def figures(self) -> dict[str, int | bool]:
        """The figures under the names that logs and reports use."""
        return {"clean": self.clean, **{verdict.value: self.counts[verdict] for verdict in Verdict}}

    def to_json(self) -> dict[str, Any]:
        """The figures and the differences for a task's report."""
        return {**self.figures(), "differences": to_builtins(self.differences)}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Compared":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        return Compared(
            {verdict: convert(Count, content[verdict.value]) for verdict in Verdict},
            convert(tuple[NameDifference, ...], content["differences"]),
        )

    @staticmethod
    def merged(parts: Iterable["Compared"]) -> "Compared":
        """What several tasks found in their parts of the key space."""
        all_parts = list(parts)
        differences = (difference for part in all_parts for difference in part.differences)
        return Compared(
            {verdict: sum(part.counts[verdict] for part in all_parts) for verdict in Verdict},
            tuple(islice(differences, MAX_DIFFERENCES)),
        )


def log_comparison(log: EventLog, migration: Migration, compared: Compared) -> None:
    """Write to the log what a comparison found: a line for each difference, and the figures."""
    for found in compared.differences:
        log.emit(
            Event.VERIFICATION_DIFFERENCE,
            object=migration.source_ref(found.name).uri,
            verdict=found.verdict.value,
            differences=[difference.value for difference in found.differences],
            source_generation=int(found.source.generation) if found.source else None,
            destination_generation=int(found.destination.generation) if found.destination else None,
        )
    log.emit(Event.VERIFICATION_FINISHED, **compared.figures())


def more_line(shown: int, total: int) -> str:
    """What is said where fewer differing names are shown than there are."""
    kept = "them" if total <= MAX_DIFFERENCES else f"the first {MAX_DIFFERENCES:,}"
    return f"  ... and {total - shown:,} more; the log names {kept}"


class Listener(Protocol):
    """Takes in every name when it is judged for good."""

    def add(self, findings: Sequence[Finding]) -> None:
        """Take in names that are judged for good."""
        ...


class Comparison:
    """Compares both listings name by name, and gives what differs its second look.

    Memory grows only with the names that differ, up to `MAX_SECOND_LOOKS`.

    Args:
        listener: Gets every name when it is judged for good; None where only verdicts are wanted.
    """

    def __init__(self, migration: Migration, listener: Listener | None = None) -> None:
        self._migration = migration
        self._listener = listener
        self._counts: Counter[Verdict] = Counter()
        self._suspects: list[str] = []

    def add(self, findings: Sequence[Finding]) -> None:
        """Take in names as listed on both sides after the work to be verified."""
        equal = [finding for finding in findings if finding.verdict is Verdict.EQUAL]
        self._counts[Verdict.EQUAL] += len(equal)
        self._tell(equal)
        for finding in findings if len(equal) < len(findings) else ():
            if finding.verdict is Verdict.EQUAL:
                continue
            if finding.verdict.settled or len(self._suspects) >= MAX_SECOND_LOOKS:
                self._counts[finding.verdict] += 1
                self._tell([finding])
            else:
                self._suspects.append(finding.relative)

    def result(
        self, store: ObjectStore, *, grace: timedelta, clock: Clock, both_written: bool = False
    ) -> Compared:
        """Look again at what differs, and sum up.

        Args:
            store: For the second looks.
            grace: How long after its last change a source object may take to arrive.
            clock: The time and the waiting.
            both_written: The destination has writers, too, so its changes also take time to arrive.

        Raises:
            StorageError: A look failed: there is no verdict.
        """
        counts = Counter(self._counts)
        differences: list[NameDifference] = []
        looks = _second_looks(self._suspects, store, self._migration, grace, clock, both_written=both_written)
        for finding in looks:
            counts[finding.verdict] += 1
            self._tell([finding])
            if finding.verdict is not Verdict.EQUAL and len(differences) < MAX_DIFFERENCES:
                differences.append(_difference(finding))
        return Compared({verdict: counts[verdict] for verdict in Verdict}, tuple(differences))

    def _tell(self, findings: Sequence[Finding]) -> None:
        if self._listener is not None:
            self._listener.add(findings)


def _difference(finding: Finding) -> NameDifference:
    source, destination = SideFacts.of(finding.source), SideFacts.of(finding.destination)
    return NameDifference(finding.relative, finding.verdict, finding.differing, source, destination)


def _second_looks(
    suspects: list[str],
    store: ObjectStore,
    migration: Migration,
    grace: timedelta,
    clock: Clock,
    *,
    both_written: bool,
) -> Iterator[Finding]:
    """Judge suspects by single reads until they agree or their time is up. Drops names gone from both sides."""
    deadline = clock.now() + grace
    with ThreadPoolExecutor(SECOND_LOOK_THREADS, thread_name_prefix="verify") as pool:
        while suspects:
            unripe = []
            for finding in pool.map(lambda relative: _look_again(relative, store, migration), suspects):
                if finding is None:
                    continue
                moment = clock.now() - grace
                changed = _changed_since(finding.source, moment) or (
                    both_written and _changed_since(finding.destination, moment)
                )
                if finding.verdict is Verdict.EQUAL or not changed:
                    yield finding
                elif clock.now() >= deadline:
                    yield finding._replace(verdict=Verdict.IN_FLIGHT)
                else:
                    unripe.append(finding.relative)
            suspects = unripe
            if suspects:
                clock.sleep(RECHECK_SECONDS)


def _look_again(relative: str, store: ObjectStore, migration: Migration) -> Finding | None:
    source = store.look(migration.source_ref(relative))
    try:
        destination = store.look(migration.destination_ref(relative))
    except UsageError:
        destination = None  # a name that the destination cannot have is missing there
    if source is None and destination is None:
        return None
    return judge(Pair(relative, source, destination), migration)


def _changed_since(there: ObjectState | None, moment: datetime) -> bool:
    return there is not None and bool(there.updated) and parse_time(there.updated) > moment
