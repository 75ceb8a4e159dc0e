"""Verification: both sides listed again and compared name by name.

Nothing counts as wrong before it was looked at twice: a listing is not a snapshot, and the writer keeps writing. Names
that differ are read again one by one; those whose source changed within the grace period are given that long to
arrive, and are called *in flight* when they still do not agree.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from backfill_job.march import Pair
from backfill_job.run.clock import Clock
from backfill_job.verdict import Finding, Verdict, judge
from shared.errors import UsageError
from shared.events_log import Event, EventLog
from shared.migration import Migration
from shared.objects import ObjectState, parse_time
from shared.store import ObjectStore

__all__ = ["Comparison", "Verification", "more_line", "tell_verification"]

MAX_SECOND_LOOKS = 10_000
"""With more differing names than this, the paths are plainly not equal; the rest is judged by the listings alone."""

RECHECK_SECONDS = 5.0

SECOND_LOOK_THREADS = 16

MAX_FINDINGS = 1_000
"""Names kept in memory for the report's list of differences; all are counted."""


SETTLED_VERDICTS = frozenset({Verdict.EQUAL, Verdict.EXCLUDED})
"""What the listings alone may settle; everything else is looked at again."""


@dataclass(frozen=True, slots=True)
class Verification:
    """What a verification found.

    Attributes:
        counts: Names by verdict; every verdict is there.
        findings: The names behind every verdict but ``equal`` and ``excluded``, in no order, at most `MAX_FINDINGS`.
    """

    counts: dict[Verdict, int]
    findings: tuple[Finding, ...]

    @property
    def wrong(self) -> dict[Verdict, int]:
        """Names that were not found equal on both sides, by verdict; what is still in flight is not proven."""
        return {
            verdict: count
            for verdict, count in self.counts.items()
            if count and verdict not in SETTLED_VERDICTS
        }

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
        """The figures and the findings for a report."""
        return {**self.figures(), "differences": [finding.to_json() for finding in self.findings]}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Verification":
        """Read what `to_json` gave.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        return Verification(
            {verdict: int(content[verdict.value]) for verdict in Verdict},
            tuple(Finding.from_json(finding) for finding in content["differences"]),
        )

    @staticmethod
    def merged(parts: Iterable["Verification"]) -> "Verification":
        """What several tasks found in their parts of the key space."""
        all_parts = list(parts)
        findings = (finding for part in all_parts for finding in part.findings)
        return Verification(
            {verdict: sum(part.counts[verdict] for part in all_parts) for verdict in Verdict},
            tuple(islice(findings, MAX_FINDINGS)),
        )


def tell_verification(log: EventLog, migration: Migration, verification: Verification) -> None:
    """Write to the log what a verification found: a line for each finding, and the figures."""
    for finding in verification.findings:
        log.emit(
            Event.VERIFICATION_DIFFERENCE,
            object=migration.source_ref(finding.relative).uri,
            verdict=finding.verdict.value,
            differences=[difference.value for difference in finding.differing],
            source_generation=finding.source.generation if finding.source else None,
            destination_generation=finding.destination.generation if finding.destination else None,
        )
    log.emit(Event.VERIFICATION_FINISHED, **verification.figures())


def more_line(shown: int, total: int) -> str:
    """What is said where fewer differing names are shown than there are."""
    kept = "them" if total <= MAX_FINDINGS else f"the first {MAX_FINDINGS:,}"
    return f"  ... and {total - shown:,} more; the log names {kept}"


class Listener(Protocol):
    """Whoever wants to know what became of every name."""

    def add(self, findings: Sequence[Finding]) -> None:
        """Take in names that are judged for good."""
        ...


class Comparison:
    """Compares both listings name by name, and gives what differs its second look.

    Memory grows only with the names that differ, up to `MAX_SECOND_LOOKS`.

    Args:
        migration: What is asked.
        tallies: Told every name when it is judged for good; None where only verdicts are wanted.
    """

    def __init__(self, migration: Migration, tallies: Listener | None = None) -> None:
        self._migration = migration
        self._tallies = tallies
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
            if finding.verdict in SETTLED_VERDICTS or len(self._suspects) >= MAX_SECOND_LOOKS:
                self._counts[finding.verdict] += 1
                self._tell([finding])
            else:
                self._suspects.append(finding.relative)

    def result(
        self, store: ObjectStore, *, grace: timedelta, clock: Clock, both_written: bool = False
    ) -> Verification:
        """Look again at what differs, and sum up.

        Args:
            store: For the second looks.
            grace: How long after its last change a source object may take to arrive.
            clock: The time and the waiting.
            both_written: Whether the destination has writers, too, so that its changes take time to arrive as well.

        Returns:
            The counts and the findings.

        Raises:
            StorageError: A look failed: there is no verdict.
        """
        counts = Counter(self._counts)
        findings: list[Finding] = []
        looks = _second_looks(self._suspects, store, self._migration, grace, clock, both_written=both_written)
        for finding in looks:
            counts[finding.verdict] += 1
            self._tell([finding])
            if finding.verdict is not Verdict.EQUAL and len(findings) < MAX_FINDINGS:
                findings.append(finding)
        return Verification({verdict: counts[verdict] for verdict in Verdict}, tuple(findings))

    def _tell(self, findings: Sequence[Finding]) -> None:
        if self._tallies is not None:
            self._tallies.add(findings)


def _second_looks(
    suspects: list[str],
    store: ObjectStore,
    migration: Migration,
    grace: timedelta,
    clock: Clock,
    *,
    both_written: bool,
) -> Iterator[Finding]:
    """Judge suspects by single reads until they agree or their time is up. Names gone from both sides are dropped."""
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
