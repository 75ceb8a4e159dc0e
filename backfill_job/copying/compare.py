"""Compares both sides name by name, from listings made after the work to be verified.

A listing is not a snapshot, and the writer keeps writing. So no name counts as wrong until the comparison has read it a
second time, alone. A name whose source changed within the grace period gets that long to arrive. If its sides still
differ then, it counts as *in flight*.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, Protocol

from msgspec import to_builtins

from backfill_job.copying.diff import DiffLine, judge_sides
from backfill_job.run.clock import Clock, waiting
from shared.authority import AuthoritySource
from shared.decision import was_erased
from shared.erasures import NO_ERASURES, Erasures
from shared.errors import PhaseUnknown, UsageError
from shared.events_log import Event, EventLog
from shared.json_io import Count, convert
from shared.migration import Migration
from shared.objects import ObjectState, is_later, parse_time
from shared.storage_class import another_class
from shared.store import ObjectStore
from shared.text import counted
from shared.verification import NameDifference, SideFacts, Verdict, too_many_erased

__all__ = ["Compared", "Comparison", "log_comparison", "log_erased", "more_line"]

MAX_SECOND_LOOKS = 10_000
"""With more differing names than this, the paths are not equal in any case; for the rest the listings alone decide."""

RECHECK_SECONDS = 5.0

SECOND_LOOK_THREADS = 16

MAX_DIFFERENCES = 1_000
"""Names kept in memory for the report's list of differences; all are counted."""


@dataclass(frozen=True, slots=True)
class Compared:
    """What a comparison of names found: of one task, or of all tasks together.

    Attributes:
        counts: Names by verdict; every verdict is there.
        differences: The names that still differ after their second look, in no order, at most `MAX_DIFFERENCES`.
        began: Cloud Storage's time right before the listing that it judges; aware.
        crc_alone: Equal names whose contents only size and crc32c prove, because a side has no md5. Names that were
            compared by their bytes are not among them.
        erased: Names that were erased, at most `MAX_DIFFERENCES`.
        other_class: Equal names whose storage class at the destination is another one.
    """

    counts: Mapping[Verdict, int]
    differences: tuple[NameDifference, ...]
    began: datetime
    crc_alone: int = 0
    erased: tuple[str, ...] = ()
    other_class: int = 0

    @property
    def looked_at(self) -> int:
        """All names without the excluded ones."""
        return sum(self.counts.values()) - self.counts[Verdict.EXCLUDED]

    @property
    def wrong(self) -> dict[Verdict, int]:
        """Names not proven equal on both sides, by verdict.

        This includes names in flight, and erased ones where they are too many for a request.
        """
        many = too_many_erased(self.counts[Verdict.ERASED], self.looked_at)
        return {
            verdict: count
            for verdict, count in self.counts.items()
            if count and (not verdict.settled or (many and verdict is Verdict.ERASED))
        }

    @property
    def clean(self) -> bool:
        """Whether no name differs. One of several tasks may have had none to compare, so see also `nothing`."""
        return not self.wrong

    @property
    def names(self) -> int:
        """All names on either side, the excluded ones too."""
        return sum(self.counts.values())

    @property
    def nothing(self) -> bool:
        """Whether nothing was compared. Of all tasks together, that proves nothing."""
        return self.names == self.counts[Verdict.EXCLUDED]

    @property
    def said(self) -> str:
        """The verdict in words: ``both sides are equal``, or ``NOT EQUAL: 1 missing``."""
        if self.nothing:
            there = (
                f"all is excluded ({counted(self.names, 'name')})"
                if self.names
                else "there is no object on either side"
            )
            return f"nothing was compared: {there}"
        wrong = (f"{count:,} {verdict.value.replace('_', ' ')}" for verdict, count in self.wrong.items())
        alone = f" ({self.crc_alone:,} of them by size and crc32c alone)" if self.crc_alone else ""
        said = f"both sides are equal{alone}" if self.clean else f"NOT EQUAL: {', '.join(wrong)}"
        return "; ".join(filter(None, (said, self.said_of_classes)))

    @property
    def said_of_classes(self) -> str:
        """How many copies have another storage class; empty for none."""
        moved = f"{counted(self.other_class, 'object')} in another storage class than the source's"
        return moved if self.other_class else ""

    def figures(self) -> dict[str, int | bool]:
        """The figures under the names that logs and reports use."""
        counts = {verdict.value: self.counts[verdict] for verdict in Verdict}
        return {"clean": self.clean, **counts, "crc32c_alone": self.crc_alone}

    def to_json(self) -> dict[str, Any]:
        """The figures and the differences for a task's report."""
        began = self.began.isoformat()
        differences, erased = to_builtins(self.differences), list(self.erased)
        found = {**self.figures(), "differences": differences, "erased_names": erased, "began": began}
        return {**found, **({"other_class": self.other_class} if self.other_class else {})}

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Compared":
        """Read what `to_json` gave. Raises one of `OTHER_FORM` for something else."""
        return Compared(
            {verdict: convert(Count, content[verdict.value]) for verdict in Verdict},
            convert(tuple[NameDifference, ...], content["differences"]),
            _aware(content["began"]),
            convert(Count, content["crc32c_alone"]),
            convert(tuple[str, ...], content["erased_names"]),
            convert(Count, content.get("other_class", 0)),
        )

    @staticmethod
    def merged(parts: Iterable["Compared"]) -> "Compared":
        """Add up what several tasks found in their parts of the key space. It began when the first of them did."""
        all_parts = list(parts)
        differences = (difference for part in all_parts for difference in part.differences)
        return Compared(
            {verdict: sum(part.counts[verdict] for part in all_parts) for verdict in Verdict},
            tuple(islice(differences, MAX_DIFFERENCES)),
            min(part.began for part in all_parts),
            sum(part.crc_alone for part in all_parts),
            tuple(islice((name for part in all_parts for name in part.erased), MAX_DIFFERENCES)),
            sum(part.other_class for part in all_parts),
        )


def _aware(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text} lies outside the calendar") from error


def log_comparison(log: EventLog, migration: Migration, compared: Compared, *, extras: bool = True) -> None:
    """Log what a comparison found: an event for each difference, and the figures.

    Args:
        extras: Whether a name that only the destination has is a difference; a deletion leaves such names.
    """
    for found in compared.differences:
        if found.verdict is Verdict.EXTRA and not extras:
            continue
        log.emit(
            Event.VERIFICATION_DIFFERENCE,
            object=migration.source_ref(found.name).uri,
            verdict=found.verdict.value,
            differences=[difference.value for difference in found.differences],
            source_generation=int(found.source.generation) if found.source else None,
            destination_generation=int(found.destination.generation) if found.destination else None,
        )
    for name in compared.erased if Verdict.ERASED in compared.wrong else ():
        at = migration.source_ref(name).uri
        log.emit(Event.VERIFICATION_DIFFERENCE, object=at, verdict=Verdict.ERASED.value, differences=[])
    log.emit(Event.VERIFICATION_FINISHED, **compared.figures())


def log_erased(log: EventLog, migration: Migration, compared: Compared) -> None:
    """Log an event for each object that was erased."""
    for name in compared.erased:
        log.emit(Event.OBJECT_ERASED, object=migration.source_ref(name).uri)


def more_line(shown: int, total: int) -> str:
    """The line below a list that shows fewer names than differ."""
    kept = "them" if total <= MAX_DIFFERENCES else f"the first {MAX_DIFFERENCES:,}"
    return f"  ... and {total - shown:,} more; the log names {kept}"


class Listener(Protocol):
    """Receives every name when its verdict is final."""

    def add(self, lines: Sequence[DiffLine]) -> None:
        """Receive names whose verdict is final."""
        ...


class Comparison:
    """Compares both listings name by name, and reads each name that differs a second time.

    Memory grows only with the names that differ, up to `MAX_SECOND_LOOKS`.

    Args:
        began: Cloud Storage's time right before the listing that it judges; aware.
        listener: Receives every name when its verdict is final; None where only the counts matter.
        known: Gives a line as its bytes say, where they were compared; for second looks.
    """

    def __init__(
        self,
        migration: Migration,
        began: datetime,
        listener: Listener | None = None,
        *,
        known: Callable[[DiffLine], DiffLine] = lambda line: line,
    ) -> None:
        self._migration = migration
        self._began = began
        self._listener = listener
        self._known = known
        self._crc_alone = 0
        self._other_class = 0
        self._counts: Counter[Verdict] = Counter()
        self._suspects: list[str] = []

    def add(self, lines: Sequence[DiffLine]) -> None:
        """Receive names as both sides list them after the work to be verified."""
        equal = [line for line in lines if line.verdict is Verdict.EQUAL]
        self._counts[Verdict.EQUAL] += len(equal)
        self._crc_alone += sum(map(_crc_alone, equal))
        self._other_class += sum(map(_other_class, equal))
        self._tell(equal)
        for line in lines if len(equal) < len(lines) else ():
            if line.verdict is Verdict.EQUAL:
                continue
            if line.verdict.settled or len(self._suspects) >= MAX_SECOND_LOOKS:
                self._counts[line.verdict] += 1
                self._tell([line])
            else:
                self._suspects.append(line.relative)

    def result(
        self,
        store: ObjectStore,
        *,
        grace: timedelta,
        clock: Clock,
        both_written: bool = False,
        authority: AuthoritySource | None = None,
        say: Callable[[str], None] = lambda _: None,
    ) -> Compared:
        """Look again at what differs, and sum up.

        Args:
            grace: How long after its last change a source object may take to arrive.
            both_written: The destination has writers, too, so its changes also take time to arrive.
            authority: Tells what was erased, and is asked only where a name is missing. None: what is missing is missing.
            say: Tells the operator what it waits for; once.

        Raises:
            StorageError: A second look failed, so there is no verdict.
        """
        counts = Counter(self._counts)
        differences: list[NameDifference] = []
        crc_alone = self._crc_alone

        def look(relative: str) -> DiffLine | None:
            line = _look_again(relative, store, self._migration)
            return None if line is None else self._known(line)

        looks = _second_looks(self._suspects, look, grace, clock, say, both_written=both_written)
        erased: list[str] = []
        for line in _without_erased(looks, authority):
            counts[line.verdict] += 1
            crc_alone += line.verdict is Verdict.EQUAL and _crc_alone(line)
            self._tell([line])
            if line.verdict is Verdict.ERASED:
                erased += [line.relative] if len(erased) < MAX_DIFFERENCES else []
            elif line.verdict is not Verdict.EQUAL and len(differences) < MAX_DIFFERENCES:
                sides = SideFacts.of(line.source), SideFacts.of(line.destination)
                differences.append(NameDifference(line.relative, line.verdict, line.differing, *sides))
        by_verdict = {verdict: counts[verdict] for verdict in Verdict}
        return Compared(
            by_verdict, tuple(differences), self._began, crc_alone, tuple(erased), self._other_class
        )

    def _tell(self, lines: Sequence[DiffLine]) -> None:
        if self._listener is not None:
            self._listener.add(lines)


def _without_erased(lines: Iterable[DiffLine], authority: AuthoritySource | None) -> Iterator[DiffLine]:
    """The lines, where what is missing because it was erased has that verdict. Reads the phase after the first such look."""
    erasures: Erasures | None = None
    for line in lines:
        if line.verdict is not Verdict.MISSING or line.source is None:
            yield line
            continue
        erasures = _erasures(authority) if erasures is None else erasures
        erased = was_erased(line.source, line.destination, erasures.of(line.relative))
        yield line._replace(verdict=Verdict.ERASED) if erased else line


def _erasures(authority: AuthoritySource | None) -> Erasures:
    try:
        return NO_ERASURES if authority is None else authority.erasures()
    except PhaseUnknown:
        return NO_ERASURES


def _crc_alone(line: DiffLine) -> bool:
    """Whether size and crc32c alone prove an equal line. One whose copy is older was compared by its bytes."""
    _, _, source, destination, _ = line
    return (
        source is not None
        and destination is not None
        and (source.md5 is None or destination.md5 is None)
        and is_later(destination.created, source.created)
    )


def _other_class(line: DiffLine) -> bool:
    """Whether an equal line's copy has another storage class; a class of the service itself, as Autoclass sets it, counts."""
    _, _, source, destination, _ = line
    return source is not None and destination is not None and another_class(source, destination)


def _second_looks(
    suspects: list[str],
    look: Callable[[str], DiffLine | None],
    grace: timedelta,
    clock: Clock,
    say: Callable[[str], None],
    *,
    both_written: bool,
) -> Iterator[DiffLine]:
    """Read suspects one by one until their sides agree or their time is up. Drops names gone from both sides."""
    deadline, said = clock.now() + grace, False
    with ThreadPoolExecutor(SECOND_LOOK_THREADS, thread_name_prefix="verify") as pool:
        while suspects:
            unripe = []
            for line in pool.map(look, suspects):
                if line is None:
                    continue
                moment = clock.now() - grace
                changed = _changed_since(line.source, moment) or (
                    both_written and _changed_since(line.destination, moment)
                )
                if line.verdict is Verdict.EQUAL or not changed:
                    yield line
                elif clock.now() >= deadline:
                    yield line._replace(verdict=Verdict.IN_FLIGHT)
                else:
                    unripe.append(line.relative)
            suspects = unripe
            if suspects and not said:
                verb = "is" if len(suspects) == 1 else "are"
                why = f"{counted(len(suspects), 'object')} {verb} younger than {grace.total_seconds():g} s"
                say(waiting((deadline - clock.now()).total_seconds(), clock, why))
                said = True
            if suspects:
                clock.sleep(RECHECK_SECONDS)


def _look_again(relative: str, store: ObjectStore, migration: Migration) -> DiffLine | None:
    source = store.look(migration.source_ref(relative))
    try:
        destination = store.look(migration.destination_ref(relative))
    except UsageError:
        destination = None  # a name that the destination cannot have is missing there
    if source is None and destination is None:
        return None
    return judge_sides(relative, source, destination, migration)


def _changed_since(there: ObjectState | None, moment: datetime) -> bool:
    return there is not None and bool(there.updated) and parse_time(there.updated) > moment
