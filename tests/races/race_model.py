"""A model of Cloud Storage small enough to explore: one object name in one bucket, as pure data.

It has only what matters to the replication rule: live and noncurrent versions, generation conditions, and a rewrite in
**two steps**. The first reads the source, the second commits at the destination. Between the two the source may change, and the
commit still writes what the first step read. Only the destination's condition is checked together with the commit. A model
with an atomic rewrite finds no violation even without any condition, and so proves nothing.

Generations are opaque here. A version carries a *token*; production code sees a number from a shuffled table. So code that
takes a larger generation for a newer one fails. Cloud Storage promises unique generations, not ordered ones.

The values are tuples, not dataclasses, because the explorer hashes hundreds of thousands of states.
"""

import base64
import hashlib
import random
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from functools import cache
from typing import NamedTuple

import google_crc32c

from shared.decision import ABSENT
from shared.objects import Metadata, ObjectState, parse_time

__all__ = [
    "Condition",
    "Place",
    "Refusal",
    "Version",
    "deleted",
    "moment",
    "number",
    "object_state",
    "patched",
    "put",
    "read",
    "read_pinned",
    "refused",
    "token",
]

Condition = int | None
"""The live version's token, `ABSENT` for "no live object", None for no condition at all."""

_crc32c: Callable[[bytes], int] = google_crc32c.value

_NUMBERS = (ABSENT, *random.Random(54).sample(range(10, 1000), 99))
_TOKENS = {generation: token for token, generation in enumerate(_NUMBERS)}


class Refusal(Enum):
    """A call that had no effect, or got no answer."""

    CONDITION_FAILED = "412: the condition does not hold"
    NOT_FOUND = "404: no such object"
    UNAVAILABLE = "no answer"


class Version(NamedTuple):
    """One version of the object.

    Attributes:
        token: Its generation, see `number`.
        write: Which of the source's writes these contents stem from. The model's knowledge: no actor sees it.
        data: Stands for the bytes.
        metadata: Stands for the metadata.
        created: When it was written, on the clock that the source's writes tick.
        metageneration: Counts metadata changes.
    """

    token: int
    write: int
    data: str
    metadata: str = ""
    created: int = 0
    metageneration: int = 1


class Place(NamedTuple):
    """One name in one bucket: the live version and, in a versioned bucket, the noncurrent ones."""

    live: Version | None = None
    noncurrent: tuple[Version, ...] = ()
    versioned: bool = False


def number(token: int) -> int:
    """Give the generation that production code sees for a token; `ABSENT` stays `ABSENT`."""
    return _NUMBERS[token]


def token(generation: int) -> int:
    """Find the token of a generation; -1, which matches nothing, for an unknown one."""
    return _TOKENS.get(generation, -1)


@cache
def object_state(version: Version, name: str) -> ObjectState:
    """Show a version as the gateway does."""
    data = version.data.encode()
    return ObjectState(
        name=name,
        generation=number(version.token),
        metageneration=version.metageneration,
        size=len(data),
        crc32c=base64.b64encode(_crc32c(data).to_bytes(4)).decode(),
        md5=base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode(),
        created=_time(version.created),
        updated=_time(version.created if version.metageneration == 1 else 2 * version.write),
        metadata=Metadata(
            content_type="application/jsonl",
            custom={"label": version.metadata} if version.metadata else {},
        ),
    )


def refused(place: Place, condition: Condition) -> bool:
    """Tell whether a generation condition on the live version fails."""
    if condition is None:
        return False
    return condition != (ABSENT if place.live is None else place.live.token)


def put(place: Place, version: Version, condition: Condition = None) -> Place | Refusal:
    """Write a version, atomically with its condition: an upload, or the second step of a rewrite."""
    if refused(place, condition):
        return Refusal.CONDITION_FAILED
    return Place(version, _retired(place), place.versioned)


def deleted(place: Place, condition: Condition = None) -> Place | Refusal:
    """Delete the live version, atomically with its condition."""
    if place.live is None:
        return Refusal.NOT_FOUND
    if refused(place, condition):
        return Refusal.CONDITION_FAILED
    return Place(None, _retired(place), place.versioned)


def patched(place: Place, metadata: str, write: int) -> Place | Refusal:
    """Change the live version's metadata: the generation stays, the metageneration grows by one."""
    live = place.live
    if live is None:
        return Refusal.NOT_FOUND
    live = live._replace(write=write, metadata=metadata, metageneration=live.metageneration + 1)
    return place._replace(live=live)


def read(place: Place, condition: Condition = None) -> Version | Refusal:
    """Take the *live* version's contents and metadata: the first step of a rewrite, ``ifSourceGenerationMatch``."""
    if place.live is None:
        return Refusal.NOT_FOUND
    if refused(place, condition):
        return Refusal.CONDITION_FAILED
    return place.live


def read_pinned(place: Place, generation: Condition) -> Version | Refusal:
    """Take a named version, live or not: the first step of a rewrite that names ``sourceGeneration``."""
    versions = (*place.noncurrent, place.live)
    found = (version for version in versions if version is not None and version.token == generation)
    return next(found, Refusal.NOT_FOUND)


def _retired(place: Place) -> tuple[Version, ...]:
    if not place.versioned or place.live is None:
        return place.noncurrent
    return (*place.noncurrent, place.live)


def moment(tick: int) -> datetime:
    """Give the time of a tick."""
    return parse_time(_time(tick))


def _time(tick: int) -> str:
    return f"2024-01-01T00:{tick // 60:02}:{tick % 60:02}Z"
