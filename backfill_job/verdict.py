"""How the two sides of one name compare: judged once, and read by the plan and by the verification."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from backfill_job.march import Pair
from shared.migration import Migration
from shared.objects import CONTENT_DIFFERENCES, Difference, ObjectState, differences
from shared.verification import Verdict

__all__ = ["Finding", "Verdict", "judge", "judged"]


class Finding(NamedTuple):
    """One name, how its two sides compare, and both sides' facts.

    Attributes:
        relative: The name below the prefixes.
        verdict: How they compare.
        source: The source object, None when absent.
        destination: The destination object, None when absent.
        differing: Where both are there, in what they differ.
    """

    relative: str
    verdict: Verdict
    source: ObjectState | None
    destination: ObjectState | None
    differing: tuple[Difference, ...] = ()


def judge(pair: Pair, migration: Migration) -> Finding:
    """Compare the two sides of one name.

    Args:
        pair: The name and what is there.
        migration: What is asked.

    Returns:
        Any verdict but `Verdict.IN_FLIGHT`, which takes a second look.
    """
    relative, source, destination = pair
    if migration.is_excluded(relative):
        return Finding(relative, Verdict.EXCLUDED, source, destination)
    if source is None:
        return Finding(relative, Verdict.EXTRA, source, destination)
    if destination is None:
        return Finding(relative, Verdict.MISSING, source, destination)
    differing = differences(source, destination)
    if not differing:
        return Finding(relative, Verdict.EQUAL, source, destination)
    content = CONTENT_DIFFERENCES.intersection(differing)
    verdict = Verdict.CONTENT_DIFFERS if content else Verdict.METADATA_DIFFERS
    return Finding(relative, verdict, source, destination, differing)


def judged(pairs: Iterable[Pair], migration: Migration) -> Iterator[Finding]:
    """Compare the two sides of every name of a diff, in its order; see `judge`."""
    for pair in pairs:
        yield judge(pair, migration)
