"""What counts as erased: what is absent after a proven comparison, and what was erased by name on record.

`shared.decision.was_erased` is the rule. It takes two moments, and this module finds them for a name:

- B, the beginning of a comparison (`shared.phase.Recorded.proven_at`), where the destination is the side that decides.
- The moment of an erasure on record (the command ``erasure``). It holds in both directions and in every phase.

The record holds digests, because a person's name must not stay in the record of its own erasure. A digest of
a name that can be guessed can be checked by guessing. It proves that a name was erased to those who know the name.

The mirror reads the record leniently: an entry that cannot be read tells nothing, and data win.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

from shared.decision import ErasedBefore
from shared.objects import parse_time, time_text

__all__ = ["DIGEST_LENGTH", "NO_ERASURES", "Erasures", "erasures_on_record", "name_digest"]

DIGEST_LENGTH = 32
"""Hexadecimal digits: 128 bits, because the head of the record holds every digest, and each mirror reads it."""


@dataclass(frozen=True, slots=True)
class Erasures:
    """Since when absences are erasures, in one direction.

    Attributes:
        proven_at: B of `shared.decision.was_erased`; None where there is no such comparison, or the source decides.
        by_name: For the digest of each name that was erased on record: what was written before this moment (RFC 3339) is erased.
    """

    proven_at: str | None = None
    by_name: Mapping[str, str] = field(default_factory=dict)

    def of(self, relative: str) -> ErasedBefore:
        """The moments for a name."""
        return ErasedBefore(self.proven_at, self.by_name.get(name_digest(relative)) if self.by_name else None)

    def on_record(self, relative: str) -> ErasedBefore:
        """The moments for a name without that of a comparison."""
        return self.of(relative)._replace(absent=None)

    def named(self, relative: str) -> bool:
        """Whether a name was erased on record."""
        return bool(self.by_name) and name_digest(relative) in self.by_name

    def and_also(self, names: Iterable[str], before: str) -> "Erasures":
        """These, and an erasure more, of names as digests."""
        return replace(self, by_name={**self.by_name, **dict.fromkeys(names, before)})


NO_ERASURES = Erasures()


def name_digest(relative: str) -> str:
    """The digest under which the record holds a name below the prefix: the first 128 bits of its SHA-256, in hexadecimal digits."""
    return sha256(relative.encode()).hexdigest()[:DIGEST_LENGTH]


def erasures_on_record(history: Sequence[Any]) -> dict[str, str]:
    """`Erasures.by_name` from the entries of a head; never raises."""
    found: dict[str, str] = {}
    for entry in history:
        erasure = entry.get("erasure") if isinstance(entry, Mapping) else None
        if not isinstance(erasure, Mapping):
            continue
        try:
            before = time_text(parse_time(erasure["before"]))
            found.update({name: before for name in erasure["names"] if isinstance(name, str)})
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return found
