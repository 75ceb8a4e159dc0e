"""What Google Cloud charges, US dollars: the only place of prices, each with its date and its source.

Prices change, and differ by region; the page of each has today's. Free quotas are left out, so a small migration costs less.
A public transcription of Cloud Storage's page of 2026-09-20 has the same prices in a region, for operations, storage and retrieval.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

__all__ = ["GIB", "PRICES", "Price", "sources"]

GIB = 2**30
TIB = 2**40


@dataclass(frozen=True, slots=True)
class Price:
    """One price.

    Attributes:
        region: Of `per` units, where the bucket lies in a single region, or for everything that is not a bucket's.
        multi: The same, where the bucket lies in a dual-region or a multi-region.
        per: How many units the price is of.
        as_of: When it was valid.
        source: The page that has it.
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

PRICES: Mapping[str, Price] = MappingProxyType(
    {
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
)
"""Change prices only here."""


def sources(prices: Mapping[str, Price]) -> dict[str, list[str]]:
    """The sources, by the date of their prices."""
    found: dict[str, list[str]] = {}
    for price in prices.values():
        pages = found.setdefault(price.as_of, [])
        if price.source not in pages:
            pages.append(price.source)
    return found
