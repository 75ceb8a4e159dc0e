"""Estimates what a migration takes: operations, money, time and the storage of the second copy. Pure arithmetic.

Each figure is a simple estimate: the prices of one table (`PRICES`), no free quota, no retries, no network charges between buckets in
two locations. `Estimate.charges` names everything else that costs, for buckets in a region and in several.

`PRICES` has what Google Cloud charges, each price with its date and its source. Prices change, and differ by region; the page of each
has today's. A public transcription of Cloud Storage's page of 2026-09-20 has the same prices in a region, for operations, storage
and retrieval.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from enum import Enum
from math import ceil, inf, log, log2
from typing import Any

from backfill_job.copying.diff import Work
from backfill_job.copying.governor import DOUBLING_SECONDS, FIRST_RATE, seconds_under_ramp
from backfill_job.dry_run.inventory import Colder, Count, Inventory
from backfill_job.dry_run.plan import PlanStep
from shared.text import dollars, duration

__all__ = [
    "GIB",
    "PRICES",
    "ByteComparisonCost",
    "Charge",
    "Cost",
    "Estimate",
    "EstimatedFigure",
    "Limit",
    "Price",
    "beside_actual",
    "estimate",
    "estimate_by_bytes",
    "estimate_colder",
    "sources",
    "work_of",
]

GIB = 2**30
TIB = 2**40


@dataclass(frozen=True, slots=True)
class Price:
    """One price.

    Attributes:
        region: Of `per` units, where the bucket lies in a single region, or for everything that is not a bucket's.
        multi: The same, where the bucket lies in a dual-region or a multi-region.
        per: How many units the price is of.
    """

    region: float
    multi: float
    per: float
    as_of: str
    source: str

    def of(self, units: float) -> tuple[float, float]:
        """What so many units cost: in a region, and in a dual- or multi-region."""
        return units / self.per * self.region, units / self.per * self.multi


_STORAGE = ("2025", "cloud.google.com/storage/pricing")
_RUN = ("2025", "cloud.google.com/run/pricing (tier 1, billed by request)")

PRICES: Mapping[str, Price] = {
    # Standard storage. List, rewrite, insert; get, and the notification about each new object.
    "class_a": Price(0.005, 0.010, 1_000, *_STORAGE),
    "class_b": Price(0.0004, 0.0004, 1_000, *_STORAGE),
    # A month.
    "storage": Price(0.020, 0.026, GIB, *_STORAGE),
    # Of what is written to a dual-region or a multi-region, by its default replication.
    "replication": Price(0.0, 0.02, GIB, *_STORAGE),
    # Publishing and delivering.
    "messages": Price(40.0, 40.0, TIB, "2025", "cloud.google.com/pubsub/pricing"),
    "invocations": Price(0.40, 0.40, 1_000_000, *_RUN),
    "vcpu_seconds": Price(0.000024, 0.000024, 1, *_RUN),
    "gib_seconds": Price(0.0000025, 0.0000025, 1, *_RUN),
    # A CPU and a GiB of a job's task, which is billed while it runs.
    "job_seconds": Price(0.000020, 0.000020, 1, "2025", "cloud.google.com/run/pricing (tier 1, jobs)"),
    "logs": Price(0.50, 0.50, GIB, "2025", "cloud.google.com/stackdriver/pricing"),
    "retrieval_nearline": Price(0.01, 0.01, GIB, *_STORAGE),
    "retrieval_coldline": Price(0.02, 0.02, GIB, *_STORAGE),
    "retrieval_archive": Price(0.05, 0.05, GIB, *_STORAGE),
}
"""Change prices only here."""


def sources(prices: Mapping[str, Price]) -> dict[str, list[str]]:
    """The sources, by the date of their prices."""
    found: dict[str, list[str]] = {}
    for day, page in dict.fromkeys((price.as_of, price.source) for price in prices.values()):
        found.setdefault(day, []).append(page)
    return found


PAGE_SIZE = 1_000
"""The most objects in the answer of a list request (Cloud Storage JSON API, "Objects: list", maxResults)."""

LOOKS_AT_FOLDERS = 2
"""List requests, one for each side, that find where to cut the key space."""

LOOKED_AGAIN = 0.01
"""A guess of the share of copies that need another look, after a write in between or a lost answer."""

READS_PER_LOOK = 2
"""One look reads the metadata of both sides."""

MAX_TASKS = 100
"""The most tasks that the estimate recommends."""

SMALL_SECONDS = 600.0
"""Work that one task does in this time does not justify a second task."""

EVENT_BYTES = 2_000
"""A guess: the body and the attributes of an object's event. A request counts as 1,000 bytes at least (Pub/Sub pricing)."""

SECONDS_PER_EVENT = 0.01
"""A guess: an instance's time for an event that is not for the mirror. 16 share an instance, which is billed by 100 ms."""

GIB_OF_FUNCTION = 0.5
LINE_BYTES = 2_000
"""A guess: a line of the mirror's log, 700 bytes with its labels, and the line that Cloud Run writes about each request."""


COLDER_MONTH = {"NEARLINE": 0.010, "COLDLINE": 0.004, "ARCHIVE": 0.0012}
"""Storage of a gigabyte for a month in the colder classes, US dollars in a single region. The retrieval is in `PRICES`."""

DAYS_A_MONTH = 30

LISTED_PER_SECOND = 50_000.0
"""Names that one task lists on both sides and compares; measured, see docs/performance.md."""


def work_of(findings: Inventory, ranges: int = 0) -> Work:
    """The work that a dry run found when it listed so many ranges."""
    steps = findings.steps
    in_the_end = sum(
        steps[step].bytes for step in (PlanStep.COPY, PlanStep.OVERWRITE, PlanStep.EQUAL, PlanStep.CONFLICT)
    )
    copies = (steps[PlanStep.COPY].objects, steps[PlanStep.OVERWRITE].objects)
    return Work(findings.source.objects, findings.destination.objects, *copies, in_the_end, ranges)


@dataclass(frozen=True, slots=True)
class Cost:
    """Class A and Class B operations, and the price of both in US dollars, for buckets in a single region."""

    class_a: int
    class_b: int
    dollars: float


@dataclass(frozen=True, slots=True)
class Charge:
    """One thing that costs.

    Attributes:
        units: How many, such as operations or bytes.
        once: Whether every execution costs it, once: neither a month's storage, nor a retrieval from a colder class.
        region: US dollars, where the buckets lie in a single region.
        multi: US dollars, where they lie in a dual-region or a multi-region.
    """

    what: str
    units: float
    in_bytes: bool
    once: bool
    region: float
    multi: float


BYTES_PER_REQUEST = 1024 * 1024
"""What one request reads when objects are compared by their bytes; see `backfill_job.copying.by_bytes`."""

COMPARED_PER_SECOND = 800.0
"""Small objects that one task compares by their bytes: 64 at once, two requests of about 40 ms each, one after the other."""

READ_PER_SECOND = 100_000_000.0
"""Bytes of both sides that one task reads for that; a guess for buckets in the region of the job."""


def estimate_colder(storage_class: str, found: Colder) -> tuple[float, float]:
    """US dollars for the retrieval, which the copy needs; and for an early deletion, if the objects were deleted or replaced today."""
    retrieval, _ = PRICES[f"retrieval_{storage_class.lower()}"].of(found.bytes)
    return retrieval, found.early_byte_days / GIB * COLDER_MONTH[storage_class] / DAYS_A_MONTH


@dataclass(frozen=True, slots=True)
class ByteComparisonCost:
    """What it takes to compare objects by their bytes.

    Attributes:
        requests: Class B operations; both sides of each object are read.
        seconds: With one task.
    """

    objects: int
    bytes: int
    requests: int
    dollars: float
    seconds: float


def estimate_by_bytes(unproven: Count) -> ByteComparisonCost:
    """Estimate what it takes to compare objects by their bytes; each takes at least one request a side."""
    requests = 2 * (unproven.objects + unproven.bytes // BYTES_PER_REQUEST)
    seconds = max(unproven.objects / COMPARED_PER_SECOND, 2 * unproven.bytes / READ_PER_SECOND)
    return ByteComparisonCost(
        unproven.objects, unproven.bytes, requests, _cost(0, requests, PRICES).dollars, seconds
    )


class Limit(Enum):
    """What decides how fast a run copies."""

    GUIDELINE = "guideline"
    CLIENT = "client"
    LATENCY = "latency"
    CEILING = "ceiling"


@dataclass(frozen=True, slots=True)
class Estimate:
    """The estimate of a migration.

    Attributes:
        dry_run: One listing of both sides.
        execute: Two listings of both sides (plan, verification) and the copies.
        seconds: For copying with these tasks, as fast as both the bucket and the client can.
        listing_seconds: For listing both sides once with these tasks. The copying runs at the same time.
        ramp_seconds: For the bucket's ramp-up alone.
        speed: The assumed objects a second of all these tasks together.
        recommended_tasks: How many tasks make sense; more of them would only wait for the bucket.
        second_copy_bytes: Bytes at the destination in the end.
        storage_dollars: US dollars a month for them, as long as both copies exist.
        limit: What decides how fast these tasks copy for most of the time; None where there is nothing to copy.
        request_seconds: How long one request takes; None where that is not known.
    """

    dry_run: Cost
    execute: Cost
    tasks: int
    seconds: float
    listing_seconds: float
    ramp_seconds: float
    speed: float
    one_task_seconds: float
    recommended_tasks: int
    recommended_seconds: float
    second_copy_bytes: int
    storage_dollars: float
    charges: tuple[Charge, ...]
    prices: Mapping[str, Price]
    limit: Limit | None = None
    request_seconds: float | None = None

    @property
    def once_dollars(self) -> float:
        """US dollars for a dry run and the execution, with the events and log lines that it causes; in a single region."""
        return self.dry_run.dollars + sum(charge.region for charge in self.charges if charge.once)

    def to_json(self) -> dict[str, Any]:
        """The figures under these names."""
        return {**asdict(self), "limit": self.limit and self.limit.value}


@dataclass(frozen=True, slots=True)
class EstimatedFigure:
    """One figure of the estimate beside the actual one; `what` is ``class_a``, ``class_b``, ``dollars`` or ``seconds``."""

    what: str
    estimated: float
    actual: float

    def __str__(self) -> str:
        """The line for a person: ``Class A operations: 1,004 estimated, 1,030 counted (+2.6 %)``."""
        label, counted, wording = _COMPARED[self.what]
        off = f" ({self.actual / self.estimated - 1:+.1%})".replace("%", " %") if self.estimated else ""
        return f"{label}: {wording(self.estimated)} estimated, {wording(self.actual)} {counted}{off}"

    @property
    def far_off(self) -> bool:
        """Whether one is more than twice the other."""
        low, high = sorted((self.estimated, self.actual))
        return high > 2 * low

    def to_json(self) -> dict[str, Any]:
        """The figures under these names."""
        return asdict(self)


_COMPARED: dict[str, tuple[str, str, Callable[[float], str]]] = {
    "class_a": ("Class A operations", "counted", "{:,.0f}".format),
    "class_b": ("Class B operations", "counted", "{:,.0f}".format),
    "dollars": ("operations cost", "by the same prices", dollars),
    "seconds": ("copying", "taken", duration),
}


def estimate(
    work: Work,
    *,
    speed: float,
    tasks: int = 1,
    ceiling: float | None = None,
    prices: Mapping[str, Price] = PRICES,
    in_flight: int = 1,
    request_seconds: float | None = None,
) -> Estimate:
    """Estimate what a migration takes.

    Args:
        speed: Objects a second that one task can copy.
        ceiling: The most object writes a second of all tasks together; None for the bucket's ramp alone.
        in_flight: Objects under way at once in one task.
        request_seconds: How long one request takes; None where that is not known.

    Raises:
        ValueError: Speed, tasks or ceiling are not above zero.
    """
    if speed <= 0 or tasks < 1:
        raise ValueError(f"{tasks} tasks at {speed} objects/s copy nothing")
    at_source, there = work.source_objects, work.destination_objects
    plan_pass = LOOKS_AT_FOLDERS + _pages(at_source, work.ranges) + _pages(there, work.ranges)
    verification_pass = _pages(at_source, work.ranges) + _pages(there + work.new_objects, work.ranges)
    reads = ceil(work.copies * LOOKED_AGAIN) * READS_PER_LOOK
    bound = inf if ceiling is None else ceiling
    client, speed = speed, min(speed, in_flight / request_seconds if request_seconds else inf)

    def seconds_with(count: int) -> float:
        return seconds_under_ramp(work.copies, cap=min(speed * count, bound))

    copying = seconds_with(tasks)
    listing = max(at_source, there) / (LISTED_PER_SECOND * tasks)
    recommended = _recommended_tasks(work.copies, speed, bound, seconds_with(1))
    operations = plan_pass + work.copies + verification_pass
    return Estimate(
        dry_run=_cost(plan_pass, 0, prices),
        execute=_cost(operations, reads, prices),
        tasks=tasks,
        seconds=copying,
        listing_seconds=listing,
        ramp_seconds=seconds_under_ramp(work.copies),
        speed=min(speed * tasks, bound),
        one_task_seconds=seconds_with(1),
        recommended_tasks=recommended,
        recommended_seconds=seconds_with(recommended),
        second_copy_bytes=work.second_copy_bytes,
        storage_dollars=prices["storage"].of(work.second_copy_bytes)[0],
        charges=tuple(_charges(work, operations, reads, tasks * (max(copying, listing) + listing), prices)),
        prices=prices,
        limit=_limit(work.copies, client, speed, tasks, bound),
        request_seconds=request_seconds,
    )


def _limit(writes: int, client: float, speed: float, tasks: int, bound: float) -> Limit | None:
    """What decides for most of the time: the ramp, or the cap that ends it."""
    if not writes:
        return None
    cap = min(speed * tasks, bound)
    on_the_ramp = DOUBLING_SECONDS * log2(max(1.0, cap / FIRST_RATE))
    if on_the_ramp > seconds_under_ramp(writes, cap=cap) / 2:
        return Limit.GUIDELINE
    if bound < speed * tasks:
        return Limit.CEILING
    return Limit.LATENCY if speed < client else Limit.CLIENT


def beside_actual(
    estimated: Estimate, class_a: int, class_b: int, seconds: float
) -> tuple[EstimatedFigure, ...]:
    """Put the operations of all tasks, and the time from the first copy to the last, beside the estimate for as many tasks.

    Returns:
        Operations, their price, and the time of copying, for lines on a screen or for JSON.
    """
    expected, counted = estimated.execute, _cost(class_a, class_b, estimated.prices)
    return (
        EstimatedFigure("class_a", expected.class_a, counted.class_a),
        EstimatedFigure("class_b", expected.class_b, counted.class_b),
        EstimatedFigure("dollars", expected.dollars, counted.dollars),
        EstimatedFigure("seconds", max(estimated.seconds, estimated.listing_seconds), seconds),
    )


def _recommended_tasks(writes: int, speed: float, bound: float, alone: float) -> int:
    """The fewest tasks that keep up with the ramp until the end; one, if one task does not take long."""
    if alone <= SMALL_SECONDS:
        return 1
    # The ramp's rate at the last object.
    needed = min(FIRST_RATE + writes * log(2) / DOUBLING_SECONDS, bound)
    return max(1, min(ceil(needed / speed), MAX_TASKS))


def _pages(objects: int, ranges: int) -> int:
    """Requests that list so many objects, spread about evenly over the ranges; an empty range takes a request, too."""
    ranges = max(ranges, 1)
    return ranges * max(1, ceil(objects / ranges / PAGE_SIZE))


AT_MOST = {
    "retrieval at most, of a Nearline source": "retrieval_nearline",
    "of a Coldline source": "retrieval_coldline",
    "of an Archive source": "retrieval_archive",
}
"""Charges if everything lay in one class. A screen that knows the classes (`estimate_colder`) leaves them out."""


def _charges(
    work: Work, class_a: int, class_b: int, task_seconds: float, prices: Mapping[str, Price]
) -> Iterator[Charge]:
    """Everything that an execution costs. Each copy is an event to the reverse mirror, which does nothing with it before the cutover."""
    copies, copied = work.copies, work.second_copy_bytes
    seconds = copies * SECONDS_PER_EVENT
    for what, units, name in (
        ("Class A operations", class_a, "class_a"),
        ("Class B operations", class_b, "class_b"),
        ("the job's task seconds", task_seconds, "job_seconds"),
        ("replication within several regions", copied, "replication"),
        ("copies' events to the reverse mirror", copies, "class_b"),
        ("the events' messages", 2 * EVENT_BYTES * copies, "messages"),
        ("the reverse mirror's invocations", copies, "invocations"),
        ("its CPU seconds", seconds, "vcpu_seconds"),
        ("its memory, GiB seconds", seconds * GIB_OF_FUNCTION, "gib_seconds"),
        ("its log lines", LINE_BYTES * copies, "logs"),
        ("second copy, a month", copied, "storage"),
        *((what, copied, name) for what, name in AT_MOST.items()),
    ):
        not_once = name == "storage" or name.startswith("retrieval")
        in_bytes = not_once or name in {"messages", "logs", "replication"}
        yield Charge(what, units, in_bytes, not not_once, *prices[name].of(units))


def _cost(class_a: int, class_b: int, prices: Mapping[str, Price]) -> Cost:
    return Cost(class_a, class_b, prices["class_a"].of(class_a)[0] + prices["class_b"].of(class_b)[0])
