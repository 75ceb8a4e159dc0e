"""What a migration takes: operations, money, time and the second copy's storage. Pure arithmetic.

Every figure is an estimate, on purpose a simple one: prices of one table (`PRICES`), no free quota, no retries, no
network or replication charges between regions. Buckets in dual- or multi-regions pay more for Class A operations and for storage.
"""

from dataclasses import asdict, dataclass
from math import ceil, inf
from typing import Any

from backfill_job.findings import Findings
from backfill_job.plan import Step

__all__ = [
    "PRICES",
    "Cost",
    "Estimate",
    "Prices",
    "Work",
    "estimate",
    "seconds_under_ramp",
]

PAGE_SIZE = 1_000
"""Objects a list request gives at most (Cloud Storage JSON API, "Objects: list", maxResults)."""

LOOKED_AGAIN = 0.01
"""Share of the copies that need another look, because somebody wrote in between or an answer was lost: a guess."""

READS_PER_LOOK = 2
"""One look reads the metadata of both sides."""

FIRST_RATE = 1_000.0
"""Object writes a second that a bucket takes at first ("Request rate and access distribution guidelines")."""

DOUBLING_SECONDS = 1_200.0
"""How soon the rate may double (the same guidelines: no faster than every 20 minutes)."""

GIB = 2**30
"""Bytes of the gigabyte that storage is billed by."""


@dataclass(frozen=True, slots=True)
class Prices:
    """What Cloud Storage charges, US dollars, Standard storage in a single region.

    Attributes:
        class_a: A thousand Class A operations: list, rewrite, insert.
        class_b: A thousand Class B operations: get.
        storage: A gigabyte (2**30 bytes) for a month.
        as_of: When these prices were looked up.
        source: Where.
    """

    class_a: float
    class_b: float
    storage: float
    as_of: str
    source: str


PRICES = Prices(0.005, 0.0004, 0.020, "2025", "cloud.google.com/storage/pricing-examples")
"""The one place to change; the regions' own prices are at cloud.google.com/storage/pricing."""


@dataclass(frozen=True, slots=True)
class Work:
    """What there is to do.

    Attributes:
        source_objects: Objects listed at the source.
        destination_objects: Objects listed at the destination.
        new_objects: Objects to copy to where nothing is.
        replaced_objects: Objects to copy over something else.
        second_copy_bytes: What the complete copy holds, already there or not.
    """

    source_objects: int
    destination_objects: int
    new_objects: int
    replaced_objects: int
    second_copy_bytes: int

    def __post_init__(self) -> None:
        if min(asdict(self).values()) < 0:
            raise ValueError(f"{self}: nothing is there less than zero times")

    @staticmethod
    def of(findings: Findings) -> "Work":
        """What an analysis found to do."""
        steps = findings.steps
        complete = (Step.COPY, Step.OVERWRITE, Step.EQUAL, Step.CONFLICT)
        return Work(
            findings.source.objects,
            findings.destination.objects,
            steps[Step.COPY].objects,
            steps[Step.OVERWRITE].objects,
            sum(steps[step].bytes for step in complete),
        )

    @property
    def copies(self) -> int:
        """Rewrites to be sent."""
        return self.new_objects + self.replaced_objects


@dataclass(frozen=True, slots=True)
class Cost:
    """Operations and their price.

    Attributes:
        class_a: Class A operations.
        class_b: Class B operations.
        dollars: US dollars for both.
    """

    class_a: int
    class_b: int
    dollars: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a migration takes.

    Attributes:
        dry_run: One listing of both sides.
        execute: Two listings of both sides (plan, verification) and the copies.
        seconds: Copying, as fast as both the bucket and the client can. Listing comes on top.
        ramp_seconds: What the bucket's ramp-up alone would take.
        speed: Objects a second that all tasks together were taken to copy.
        second_copy_bytes: What lies at the destination in the end.
        storage_dollars: US dollars a month for that, as long as both copies are kept.
        prices: The table used.
    """

    dry_run: Cost
    execute: Cost
    seconds: float
    ramp_seconds: float
    speed: float
    second_copy_bytes: int
    storage_dollars: float
    prices: Prices

    def to_json(self) -> dict[str, Any]:
        """The figures under their names here."""
        return asdict(self)


def estimate(work: Work, *, speed: float, tasks: int = 1, prices: Prices = PRICES) -> Estimate:
    """Estimate what a migration takes.

    Args:
        work: What there is to do.
        speed: Objects a second that one task can copy.
        tasks: How many tasks share the work.
        prices: What Cloud Storage charges.

    Returns:
        The estimate.

    Raises:
        ValueError: Speed or tasks are not above zero.
    """
    if speed <= 0 or tasks < 1:
        raise ValueError(f"{tasks} tasks at {speed} objects/s copy nothing")
    plan_pass = _pages(work.source_objects) + _pages(work.destination_objects)
    verification_pass = _pages(work.source_objects) + _pages(work.destination_objects + work.new_objects)
    reads = ceil(work.copies * LOOKED_AGAIN) * READS_PER_LOOK
    together = speed * tasks
    return Estimate(
        dry_run=_cost(plan_pass, 0, prices),
        execute=_cost(plan_pass + work.copies + verification_pass, reads, prices),
        seconds=seconds_under_ramp(work.copies, cap=together),
        ramp_seconds=seconds_under_ramp(work.copies),
        speed=together,
        second_copy_bytes=work.second_copy_bytes,
        storage_dollars=work.second_copy_bytes / GIB * prices.storage,
        prices=prices,
    )


def seconds_under_ramp(
    writes: int, *, start: float = FIRST_RATE, doubling: float = DOUBLING_SECONDS, cap: float = inf
) -> float:
    """How long a bucket takes for a number of writes that are ramped up as Cloud Storage asks.

    Source: "Request rate and access distribution guidelines": start at or below 1,000 writes/s, then double no faster than
    every 20 minutes.

    Args:
        writes: Object writes.
        start: Writes a second at first.
        doubling: Seconds until the rate doubles, and doubles again.
        cap: Writes a second that are never exceeded, such as what the client can do.

    Returns:
        Seconds.

    Raises:
        ValueError: A rate or period is not above zero, or there are fewer than no writes.
    """
    if min(start, doubling, cap) <= 0 or writes < 0:
        raise ValueError(
            f"{writes} writes from {start}/s, doubling in {doubling} s, up to {cap}/s: no such ramp"
        )
    rate, seconds, left = min(start, cap), 0.0, float(writes)
    while rate < cap and left > rate * doubling:
        left -= rate * doubling
        seconds += doubling
        rate = min(rate * 2, cap)
    return seconds + left / rate


def _pages(objects: int) -> int:
    return max(1, -(-objects // PAGE_SIZE))


def _cost(class_a: int, class_b: int, prices: Prices) -> Cost:
    return Cost(class_a, class_b, (class_a * prices.class_a + class_b * prices.class_b) / 1_000)
