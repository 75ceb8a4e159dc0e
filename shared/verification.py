"""The verification: what a comparison of both paths found, and its file ``verification.json``.

``verify`` makes this value and writes it. The report page, the status page, the gate and the next steps take it. A file is
read whole and strictly or refused with one line: half a page about a verification is worse than none. A file that
contradicts itself on what a reader relies on is refused, too.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import Enum
from typing import Annotated, Any, Final, Literal

import msgspec

from shared.errors import UsageError
from shared.json_io import Count, Number, Sha256, decode
from shared.migration import Migration
from shared.objects import Difference, ObjectRef, ObjectState, time_text
from shared.store import ContentsStore
from shared.text import counted

__all__ = [
    "FORMAT",
    "NO_OBJECTS",
    "OF_NAMES",
    "CertificateSums",
    "ContentsFound",
    "DayState",
    "DayTotals",
    "Example",
    "Lag",
    "LagBucket",
    "Level",
    "NameDifference",
    "NotKept",
    "Problem",
    "Remark",
    "Severity",
    "SideFacts",
    "SideTotals",
    "Sides",
    "Verdict",
    "Verification",
    "digest_of",
    "latest_verification_ref",
    "read_latest_verification",
    "read_verification",
    "said_of_many_erased",
    "too_many_erased",
]

FORMAT: Final = "qpi-exports-migration/verification/1"
"""What the file's ``format`` says. A new field is a new format."""

OF_NAMES = frozenset({"erased", "jsonl_missing"})
"""Kinds of remarks that follow from how the names compare, so that a later comparison of the names replaces them."""

_ADVICE = "the file is damaged, or of another version: run verify again"

_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
_Generation = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,20}\Z")]


class Verdict(Enum):
    """How the two sides of one name compare."""

    # A member is equal to itself alone, and Enum's own hash takes ten times as long.
    __hash__ = object.__hash__

    EQUAL = "equal"
    MISSING = "missing"
    CONTENT_DIFFERS = "content_differs"
    METADATA_DIFFERS = "metadata_differs"
    EXTRA = "extra"
    IN_FLIGHT = "in_flight"
    EXCLUDED = "excluded"
    ERASED = "erased"

    @property
    def settled(self) -> bool:
        """Whether a clean verification may have such names; of erased ones not `too_many_erased`."""
        return self in _SETTLED


_SETTLED = frozenset({Verdict.EQUAL, Verdict.EXCLUDED, Verdict.ERASED})

MOST_ERASED = 100
"""Erased objects above which a rule or an accident deleted them, and not a person's request; above one per cent, too."""


A_HANDFUL = 10
"""Erased objects that may be requests even where they are more than one per cent."""


def too_many_erased(erased: int, names: int) -> bool:
    """Whether so many of the compared names are erased that a rule or an accident must have done it."""
    return erased > MOST_ERASED or erased * 100 > names


def said_of_many_erased(erased: int, names: int) -> str:
    """What `too_many_erased` means, in a sentence. A handful may be requests in a small migration; only a person knows."""
    if erased > A_HANDFUL:
        return "So many are a rule or an accident, not a request."
    return f"That is more than one per cent of {counted(names, 'name')}: a person must say that each was a request."


class DayState(Enum):
    """How a day's objects compare: the worst of them. `ABSENT` when neither side has any."""

    EQUAL = "equal"
    DIFFERING = "differing"
    MISSING = "missing"
    IN_FLIGHT = "in_flight"
    ABSENT = "absent"


class Level(Enum):
    """How much a remark matters."""

    CRITICAL = "critical"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class SideTotals:
    """One side's totals.

    Attributes:
        digest: Over names, sizes and checksums, in any order; `backfill_job.verify.day_counts` defines it.
    """

    objects: Count
    bytes: Count
    jsonl: Count
    empty_jsonl: Count
    digest: Sha256

    def __add__(self, other: "SideTotals") -> "SideTotals":
        return SideTotals(
            self.objects + other.objects,
            self.bytes + other.bytes,
            self.jsonl + other.jsonl,
            self.empty_jsonl + other.empty_jsonl,
            digest_of((int(self.digest, 16), int(other.digest, 16))),
        )


def digest_of(digests: Iterable[int]) -> str:
    """The digest of a set: the sum of its members' digests, modulo 2**256."""
    return f"{sum(digests) % 2**256:064x}"


NO_OBJECTS = SideTotals(0, 0, 0, 0, digest_of(()))


@dataclass(frozen=True, slots=True)
class Sides:
    """Both sides' totals."""

    source: SideTotals
    destination: SideTotals


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotals:
    """A day's objects.

    Attributes:
        day: None for the objects that belong to no day.
        verdicts: Names by verdict; a verdict without names may be left out.
        verdict: The worst of them.
    """

    day: date | None = None
    source: SideTotals
    destination: SideTotals
    verdicts: Mapping[Verdict, Count]
    verdict: DayState

    @staticmethod
    def of(
        day: date | None, source: SideTotals, destination: SideTotals, verdicts: Mapping[Verdict, int]
    ) -> "DayTotals":
        """A day by its figures."""
        some = {verdict: verdicts[verdict] for verdict in _BY_NAME if verdicts.get(verdict)}
        worst = next((state for verdict, state in _WORST_FIRST if verdict in some), DayState.EQUAL)
        return DayTotals(
            day=day,
            source=source,
            destination=destination,
            verdicts=some,
            verdict=worst if some else DayState.ABSENT,
        )

    def __add__(self, other: "DayTotals") -> "DayTotals":
        """The figures of both, for the first one's day."""
        verdicts = Counter(self.verdicts) + Counter(other.verdicts)
        return DayTotals.of(
            self.day, self.source + other.source, self.destination + other.destination, verdicts
        )


_BY_NAME = sorted(Verdict, key=lambda verdict: verdict.value)

_WORST_FIRST = (
    (Verdict.MISSING, DayState.MISSING),
    (Verdict.CONTENT_DIFFERS, DayState.DIFFERING),
    (Verdict.METADATA_DIFFERS, DayState.DIFFERING),
    (Verdict.EXTRA, DayState.DIFFERING),
    (Verdict.IN_FLIGHT, DayState.IN_FLIGHT),
)


@dataclass(frozen=True, slots=True)
class Remark:
    """Something a person should know beside the comparison; its day is None when it is about none or several."""

    level: Level
    kind: str
    day: date | None
    text: str


@dataclass(frozen=True, slots=True)
class NotKept:
    """Something that a server-side copy does not keep, or that the comparison leaves out, and how it stands."""

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class LagBucket:
    """Objects with a lag above the bucket before and up to this many seconds; None is without bound."""

    up_to_s: Number | None
    objects: Count


@dataclass(frozen=True, slots=True)
class Lag:
    """The mirror's lag: destination creation minus source creation, in seconds.

    Attributes:
        since: Only objects written since then count; aware.
        p50_s: Half of them took at most this; None without any.
        negative: Objects whose copy is older than the source's version. The distribution leaves them out.
    """

    since: _Moment
    objects: Count
    buckets: tuple[LagBucket, ...]
    p50_s: Number | None
    p90_s: Number | None
    p99_s: Number | None
    max_s: Number | None
    negative: Count

    def __post_init__(self) -> None:
        """Refuse bounds that do not rise."""
        bounds = [bucket.up_to_s for bucket in self.buckets]
        closed = [bound for bound in bounds if bound is not None]
        if sorted(set(closed)) != closed or min(closed, default=1.0) <= 0 or None in bounds[:-1]:
            raise ValueError("buckets: expected rising bounds above 0, null only as the last")


class Severity(Enum):
    """What a problem in a JSONL object means to the consumer's load."""

    ERROR = "error"
    """The load would fail or lose a row."""
    NOT_JUDGED = "not_judged"
    """It is not known whether it loads, or as what."""
    WARNING = "warning"
    """It loads, but is odd."""


@dataclass(frozen=True, slots=True)
class Problem:
    """How much of one kind of problem reading the JSONL objects found.

    Attributes:
        lines: An object that has the problem as a whole counts as one line.
    """

    objects: Count
    lines: Count
    severity: Severity

    @property
    def error(self) -> bool:
        """Whether the import would fail or lose a row."""
        return self.severity is Severity.ERROR

    @property
    def judged(self) -> bool:
        """Whether it is known what the import makes of it."""
        return self.severity is not Severity.NOT_JUDGED

    @property
    def loads(self) -> bool:
        """Whether it is known that it loads."""
        return self.severity is Severity.WARNING

    def __add__(self, other: "Problem") -> "Problem":
        return Problem(self.objects + other.objects, self.lines + other.lines, self.severity)


@dataclass(frozen=True, slots=True, order=True)
class Example:
    """Where reading found a problem.

    Attributes:
        name: Below the prefix.
        side: Where the problem arose: ``source``, or ``migration`` where only the destination has it.
        line: From 1; 0 for the object as a whole.
        kind: See `backfill_job.contents.rows.ProblemKind`.
        detail: Where and how. It never contains values of the data.
    """

    name: str
    side: str
    line: Count
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class ContentsFound:
    """What reading the JSONL objects found.

    Attributes:
        mode: Which were read: ``all``, ``sample:P``.
        clean: Everything is known to load.
        objects: Those that were read and judged.
        rows: At the destination.
        bytes: As they are stored.
        changed: Objects that changed or vanished after the listing, and were not judged.
        seconds: How long it took; of several tasks, the sum.
        source_problems: By kind: what is wrong with the data, wherever they are.
        migration_problems: By kind: what only the destination has.
    """

    mode: str
    clean: bool
    objects: Count
    rows: Count
    bytes: Count
    changed: Count
    seconds: Number
    objects_per_s: Number
    source_problems: Mapping[str, Problem]
    migration_problems: Mapping[str, Problem]
    examples: tuple[Example, ...]

    @property
    def broken(self) -> bool:
        """Whether the destination has something that is not known to load, and that the source does not have."""
        return not all(problem.loads for problem in self.migration_problems.values())


@dataclass(frozen=True, slots=True)
class SideFacts:
    """One side of one name; the times as Cloud Storage gives them, empty for unknown."""

    generation: _Generation
    size: Count
    crc32c: str | None
    md5: str | None
    created: str
    updated: str

    @staticmethod
    def of(state: ObjectState | None) -> "SideFacts | None":
        """Take them from an object; None where there is none."""
        if state is None:
            return None
        return SideFacts(
            str(state.generation), state.size, state.crc32c, state.md5, state.created, state.updated
        )


@dataclass(frozen=True, slots=True)
class NameDifference:
    """A name that is not equal on both sides.

    Attributes:
        name: Below the prefix.
        differences: In what the sides differ, where both are there.
        source: None when it is not there.
        destination: None when it is not there.
    """

    name: str
    verdict: Verdict
    differences: tuple[Difference, ...]
    source: SideFacts | None
    destination: SideFacts | None

    def __str__(self) -> str:
        """The name as a person reads it: ``missing 'qpi_answers_20240101/user_id_7.jsonl'``."""
        how = ", ".join(difference.value for difference in self.differences)
        return f"{self.verdict.value.replace('_', ' ')} {self.name!r}" + (f" ({how})" if how else "")


@dataclass(frozen=True, slots=True)
class CertificateSums:
    """The checksums by which two people compare what they verified: of all, the run included, and of the data alone."""

    sha256: Sha256
    data_sha256: Sha256


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification; its fields are those of ``verification.json``, in the same order.

    Attributes:
        env: ``dev``, ``stg``, ``prod`` or ``custom``.
        source: ``gs://bucket/prefix/``, as is the destination.
        started: Aware; the evidence is as old as this.
        finished: Aware.
        grace_s: Seconds that a changed source object had to arrive.
        clean: Something was compared, every name is equal, nothing is critical, and only the source's own data are broken.
        narrowed: What was left out on request, in words; None for nothing.
        counts: Names by verdict; every verdict is there (`Verdict.ERASED` not in older files).
        days: Every day from the first to the last.
        metadata_differences: Names by the respect in which their metadata differ.
        lag: None when it was not measured.
        contents: None when the objects were not read.
        differences: The names that are not equal, or the first of them.
        certificate: None without one: then it was not of everything.
    """

    format: Literal["qpi-exports-migration/verification/1"]
    run: str
    env: str
    source: str
    destination: str
    excludes: tuple[str, ...]
    started: _Moment
    tasks: Count
    finished: _Moment
    grace_s: Number
    exit_code: Literal[0, 1, 2]
    clean: bool
    summary: str
    narrowed: str | None
    counts: Mapping[Verdict, Count]
    totals: Sides
    days: tuple[DayTotals, ...]
    undated: DayTotals
    remarks: tuple[Remark, ...]
    not_kept: tuple[NotKept, ...]
    metadata_differences: Mapping[str, Count]
    lag: Lag | None
    contents: ContentsFound | None
    differences: tuple[NameDifference, ...]
    differences_total: Count
    certificate: CertificateSums | None

    @property
    def compared(self) -> int:
        """Names that were compared: all but the excluded ones."""
        return sum(count for verdict, count in self.counts.items() if verdict is not Verdict.EXCLUDED)

    @property
    def unsettled(self) -> int:
        """Names that were not found equal on both sides; what is still in flight is not proven."""
        unsettled = sum(count for verdict, count in self.counts.items() if not verdict.settled)
        return unsettled + self.too_many_erased

    @property
    def too_many_erased(self) -> int:
        """How many names were erased, where those are too many for a request; else 0."""
        erased = self.counts.get(Verdict.ERASED, 0)
        return erased if too_many_erased(erased, self.compared) else 0

    def to_json(self) -> dict[str, Any]:
        """The file's content."""
        content: dict[str, Any] = msgspec.to_builtins(self)
        content["started"] = self.started.astimezone(UTC).isoformat(timespec="milliseconds")
        content["finished"] = time_text(self.finished)
        if self.lag is not None:
            content["lag"]["since"] = time_text(self.lag.since)
        del content["undated"]["day"]
        return content

    def require_migration(self, source: str, destination: str, where: str) -> None:
        """Refuse another migration's verification.

        Raises:
            UsageError: Its paths are not these; `where` is the file's name, for the message.
        """
        for key, theirs, ours in (
            ("source", self.source, source),
            ("destination", self.destination, destination),
        ):
            if theirs != ours:
                raise UsageError(f"{where}: {key} is {theirs!r}; this migration's is {ours!r}")


def latest_verification_ref(migration: Migration) -> ObjectRef:
    """Where a migration's latest verification is."""
    return migration.own_ref("latest", "verification.json")


def read_latest_verification(store: ContentsStore, migration: Migration) -> Verification | None:
    """Read a migration's latest verification; None when there is none.

    Raises:
        UsageError: It is damaged, contradicts itself, or is another migration's.
        StorageError: It could not be read.
    """
    at = latest_verification_ref(migration)
    contents = store.read(at)
    if contents is None:
        return None
    found = read_verification(contents, at.uri)
    found.require_migration(migration.source.uri, migration.destination.uri, at.uri)
    return found


def read_verification(contents: bytes, where: str) -> Verification:
    """Read ``verification.json``. Raises `UsageError` where it is damaged, something else, or contradicts itself."""
    try:
        found = decode(Verification, contents, where, Verification.to_json)
        _check(found)
    except UsageError as error:
        raise UsageError(f"{error}; {_ADVICE}") from error
    except ValueError as error:
        raise UsageError(f"{where}: {error}; {_ADVICE}") from error
    return found


def _check(found: Verification) -> None:
    """Refuse a verification that contradicts itself on what a reader relies on."""
    for verdict in Verdict:
        if verdict not in found.counts and verdict is not Verdict.ERASED:
            raise ValueError(f"counts has no {verdict.value}")
    clean = str(found.clean).lower()
    # The headline shows a critical remark beside clean names, and never calls that good.
    if found.clean is not (found.unsettled == 0) and (found.clean or not _spoilt(found)):
        raise ValueError(
            f"it contradicts itself: clean is {clean}, and not equal: {counted(found.unsettled, 'name')}"
        )
    if found.clean and not found.compared:
        raise ValueError("it contradicts itself: clean is true, and nothing was compared")
    if found.exit_code == 0 and not found.clean and found.compared:
        raise ValueError(f"it contradicts itself: exit_code is {found.exit_code}, and clean is {clean}")
    if len(found.differences) > found.differences_total:
        raise ValueError("it contradicts itself: more differences than differences_total")
    _check_calendar(found)
    for day in (*found.days, found.undated):
        _check_day(day)


def _spoilt(found: Verification) -> bool:
    """Whether something other than the names prevents a clean verification."""
    broken = found.contents is not None and found.contents.broken
    return broken or not found.compared or any(remark.level is Level.CRITICAL for remark in found.remarks)


def _check_calendar(found: Verification) -> None:
    for number, day in enumerate(found.days):
        if day.day is None:
            raise ValueError(f"days[{number}].day is null")
        before = found.days[number - 1].day if number else None
        if before is not None and day.day - before != timedelta(days=1):
            raise ValueError(f"days: {day.day} does not follow {before}")


def _check_day(day: DayTotals) -> None:
    which = "what belongs to no day" if day.day is None else day.day.isoformat()
    unsettled = any(count and not verdict.settled for verdict, count in day.verdicts.items())
    if day.verdict is DayState.EQUAL and unsettled:
        raise ValueError(f"it contradicts itself: {which} is called equal, and is not")
    if day.verdict is DayState.ABSENT and (unsettled or day.source.objects or day.destination.objects):
        raise ValueError(f"it contradicts itself: {which} is called absent, and has objects")
