"""What the report page and the status page show: a verification and the migration's state, as values.

They mirror ``verification.json`` and ``state.json`` field by field; `shared.report.reading` makes them, and nothing after
it sees JSON again.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum

from shared.phase import Phase

__all__ = [
    "Certificate",
    "Contents",
    "Day",
    "DayState",
    "Example",
    "HistoryEntry",
    "Lag",
    "LagBucket",
    "Level",
    "NameDifference",
    "NameVerdict",
    "NotKept",
    "Problem",
    "Remark",
    "Run",
    "Side",
    "SideFacts",
    "SignOff",
    "State",
    "Verification",
]


class NameVerdict(Enum):
    """How the two sides of one name compare."""

    EQUAL = "equal"
    MISSING = "missing"
    CONTENT_DIFFERS = "content_differs"
    METADATA_DIFFERS = "metadata_differs"
    EXTRA = "extra"
    IN_FLIGHT = "in_flight"
    EXCLUDED = "excluded"

    @property
    def settled(self) -> bool:
        """Whether it stands in no way of a clean verification."""
        return self in {NameVerdict.EQUAL, NameVerdict.EXCLUDED}


class DayState(Enum):
    """How a day's objects compare, the worst of them; `ABSENT` when neither side has any."""

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
class Side:
    """One side's totals.

    Attributes:
        objects: How many.
        bytes: Of all of them.
        jsonl: How many of them are JSON Lines files.
        empty_jsonl: How many of those hold nothing.
        digest: Over names, sizes and checksums, in any order; 64 hexadecimal digits.
    """

    objects: int
    bytes: int
    jsonl: int
    empty_jsonl: int
    digest: str


@dataclass(frozen=True, slots=True)
class Day:
    """A day's objects; with `day` None, those that belong to no day."""

    day: date | None
    source: Side
    destination: Side
    verdicts: Mapping[NameVerdict, int]
    state: DayState


@dataclass(frozen=True, slots=True)
class Remark:
    """Something a person should know, beyond the comparison."""

    level: Level
    kind: str
    day: date | None
    text: str


@dataclass(frozen=True, slots=True)
class NotKept:
    """Something that a server-side copy cannot keep, and how it stands."""

    what: str
    text: str


@dataclass(frozen=True, slots=True)
class LagBucket:
    """Objects with a lag above the bucket before and up to this many seconds; None = without bound."""

    up_to: float | None
    objects: int


@dataclass(frozen=True, slots=True)
class Lag:
    """The mirror's lag: destination creation minus source finalization, in seconds.

    Attributes:
        since: Only objects finalized since then count.
        objects: How many those are.
        buckets: Their distribution.
        p50: Half of them took at most this; None without any.
        p90: Nine in ten.
        p99: 99 in 100.
        max: The longest.
        negative: Objects whose copy is older than the source's version, left out of the distribution.
    """

    since: datetime
    objects: int
    buckets: tuple[LagBucket, ...]
    p50: float | None
    p90: float | None
    p99: float | None
    max: float | None
    negative: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One kind of problem in the contents of JSON Lines files.

    Attributes:
        kind: Its name.
        objects: In how many objects.
        lines: In how many lines of them.
        error: Whether the import would fail or lose a row over it.
        judged: Whether it is known what the import makes of it.
    """

    kind: str
    objects: int
    lines: int
    error: bool
    judged: bool = True


@dataclass(frozen=True, slots=True)
class Example:
    """Where a problem with contents was found."""

    name: str
    side: str
    line: int | None
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Contents:
    """What reading the JSON Lines files found.

    Attributes:
        mode: Which were read: ``all``, ``sample:P``.
        objects: How many were read.
        rows: In them.
        bytes: Of them.
        changed: Objects that changed meanwhile and were left out.
        objects_per_second: How fast; None when it was not measured.
        source_problems: What is wrong at the source already.
        migration_problems: What only the destination has.
        examples: Some places.
    """

    mode: str
    objects: int
    rows: int
    bytes: int
    changed: int
    objects_per_second: float | None
    source_problems: tuple[Problem, ...]
    migration_problems: tuple[Problem, ...]
    examples: tuple[Example, ...]


@dataclass(frozen=True, slots=True)
class SideFacts:
    """One side of one name."""

    generation: str
    size: int
    crc32c: str | None
    md5: str | None
    created: str
    updated: str


@dataclass(frozen=True, slots=True)
class NameDifference:
    """A name that is not equal on both sides.

    Attributes:
        name: Below the prefix.
        verdict: How the sides compare.
        differing: In what respects.
        source: The source's facts; None when it is not there.
        destination: The destination's.
    """

    name: str
    verdict: NameVerdict
    differing: tuple[str, ...]
    source: SideFacts | None
    destination: SideFacts | None


@dataclass(frozen=True, slots=True)
class Certificate:
    """The checksums by which two people compare what they verified.

    Attributes:
        sha256: Of the certificate, the run's identity included.
        data_sha256: Of what it says about the data.
    """

    sha256: str
    data_sha256: str


@dataclass(frozen=True, slots=True)
class Verification:
    """A verification, as its report file has it.

    Attributes:
        run: Its name.
        env: ``dev``, ``stg``, ``prod`` or ``custom``.
        source: ``gs://bucket/prefix/``.
        destination: ``gs://bucket/prefix/``.
        excludes: Shell patterns of what was left out.
        started: When; aware.
        finished: When; aware.
        grace: Seconds that a changed source object had to arrive.
        tasks: Among how many tasks it was shared.
        exit_code: How the command ended.
        clean: Every name was found equal.
        summary: In one sentence.
        counts: Names by verdict; every verdict is there.
        source_total: All of the source's objects.
        destination_total: All of the destination's.
        days: Every day from the first to the last.
        undated: The objects that belong to no day.
        remarks: What a person should know besides.
        not_kept: What a copy cannot keep.
        metadata_differences: Names by the respect in which their metadata differ.
        lag: The mirror's lag; None when it was not measured.
        contents: What reading the files found; None when they were not read.
        differences: The names that are not equal, or the first of them.
        differences_total: How many there are.
        certificate: Its checksums; None without one.
    """

    run: str
    env: str
    source: str
    destination: str
    excludes: tuple[str, ...]
    started: datetime
    finished: datetime
    grace: float
    tasks: int
    exit_code: int
    clean: bool
    summary: str
    counts: Mapping[NameVerdict, int]
    source_total: Side
    destination_total: Side
    days: tuple[Day, ...]
    undated: Day
    remarks: tuple[Remark, ...]
    not_kept: tuple[NotKept, ...]
    metadata_differences: Mapping[str, int]
    lag: Lag | None
    contents: Contents | None
    differences: tuple[NameDifference, ...]
    differences_total: int
    certificate: Certificate | None

    @property
    def compared(self) -> int:
        """Names that were compared: all but the excluded ones."""
        return sum(count for verdict, count in self.counts.items() if verdict is not NameVerdict.EXCLUDED)


@dataclass(frozen=True, slots=True)
class SignOff:
    """One person's consent to the cutover."""

    name: str
    by: str
    at: datetime
    note: str


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command."""

    run: str
    command: str
    finished: datetime
    exit_code: int
    summary: str
    report: str | None


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One change of the state."""

    at: datetime
    what: str
    by: str


@dataclass(frozen=True, slots=True)
class State:
    """Where the migration stands.

    Attributes:
        phase: Its phase.
        since: Since when; None as long as nothing was changed.
        signoffs: Who consented to the cutover.
        runs: The newest runs, oldest first.
        history: What people decided, oldest first.
    """

    phase: Phase = Phase.DUAL_WRITE
    since: datetime | None = None
    signoffs: tuple[SignOff, ...] = ()
    runs: tuple[Run, ...] = ()
    history: tuple[HistoryEntry, ...] = ()
