"""How the two sides of one name compare: judged once, and read by the plan and by the verification."""

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any, NamedTuple

from backfill_job.march import Pair
from backfill_job.run.reports import side, state_of_side
from shared.migration import Migration
from shared.objects import CONTENT_DIFFERENCES, Difference, ObjectState, differences

__all__ = ["Finding", "Verdict", "judge", "judged"]


class Verdict(Enum):
    """How the two sides of one name compare."""

    EQUAL = "equal"
    MISSING = "missing"
    CONTENT_DIFFERS = "content_differs"
    METADATA_DIFFERS = "metadata_differs"
    EXTRA = "extra"
    IN_FLIGHT = "in_flight"
    EXCLUDED = "excluded"


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

    def __str__(self) -> str:
        """The finding as a person reads it: ``missing 'qpi_answers_20240101/user_id_7.jsonl'``."""
        how = ", ".join(difference.value for difference in self.differing)
        return f"{self.verdict.value.replace('_', ' ')} {self.relative!r}" + (f" ({how})" if how else "")

    def to_json(self) -> dict[str, Any]:
        """The finding for a report."""
        return {
            "name": self.relative,
            "verdict": self.verdict.value,
            "differences": [difference.value for difference in self.differing],
            "source": side(self.source),
            "destination": side(self.destination),
        }

    @staticmethod
    def from_json(content: Mapping[str, Any]) -> "Finding":
        """Read what `to_json` gave; of the objects, as much as it tells.

        Raises:
            KeyError, TypeError, ValueError: It is something else.
        """
        name = content["name"]
        return Finding(
            name,
            Verdict(content["verdict"]),
            state_of_side(name, content["source"]),
            state_of_side(name, content["destination"]),
            tuple(Difference(difference) for difference in content["differences"]),
        )


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
