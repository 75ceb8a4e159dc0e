"""Where names still exist: versions on both paths and among the kept ones, and reports and manifests that name them.

Only the command ``erasure`` imports it. It is a module of its own because it only reads, and its twin `erasing` only deletes.

A *trace* of a name is one of these:

- A version on the legacy path, on the new path, or kept beside the state (`Migration.kept_ref`). It is live, noncurrent or
  soft-deleted. It holds the data.
- An object of the migration, or a report of one of its runs, whose text has the name. It holds none of the data, except that a report
  of `verify --contents` may quote a line.
"""

import html
import json
import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import Any
from urllib.parse import quote

from backfill_job.bucket_settings import soft_delete_of
from backfill_job.run.workers import work
from shared.errors import ConditionFailed, ObjectNotFound, Refused, StorageError, UnexpectedAnswer, UsageError
from shared.gcs.api import AsyncApi
from shared.gcs.listing import HeldVersion, held_versions, list_pages
from shared.migration import Location, Migration, matches_any
from shared.objects import ObjectRef, ObjectState
from shared.phase import history_ref, state_ref
from shared.state import State

__all__ = ["Held", "Trace", "TracePlace", "Traces", "Version", "matching", "traces_of"]

AT_ONCE = 16
READERS = 4
PIECE = 8 * 1024 * 1024
"""Bytes of an object in memory at once, for each reader."""

LARGEST = 2**63 - 1
"""The largest generation."""

_KEPT = re.compile(r"(.+)/[0-9]+")
_LITERAL = re.compile(r"[^*?\[]*")
_NAME_GOES_ON = re.compile(rb"[\w.-]")


Version = tuple[ObjectRef, int]
"""An object, and the generation of one of its versions."""


class TracePlace(Enum):
    """Where a trace lies."""

    LEGACY = "legacy path"
    NEW = "new path"
    KEPT = "kept copy"
    TEXT = "names it"


class Held(Enum):
    """How a bucket holds an object."""

    LIVE = "live"
    NONCURRENT = "noncurrent"
    SOFT_DELETED = "soft-deleted"


@dataclass(frozen=True, slots=True)
class Trace:
    """One place where a name still exists.

    Attributes:
        name: Below the prefix.
        at: The object that holds the data, or that names it.
        until: When a soft-deleted version will be gone for good, RFC 3339; empty for any other.
    """

    name: str
    place: TracePlace
    at: ObjectRef
    held: Held
    state: ObjectState
    until: str = ""

    @property
    def version(self) -> Version:
        """Which version of which object it is."""
        return self.at, self.state.generation

    def to_json(self) -> dict[str, Any]:
        """Its fields in their JSON form."""
        return {
            "name": self.name,
            "place": self.place.value.replace(" ", "_"),
            "object": self.at.uri,
            "held": self.held.value.replace("-", "_"),
            "generation": str(self.state.generation),
            "bytes": self.state.size,
            "created": self.state.created,
            "soft_deleted_until": self.until or None,
        }


@dataclass(slots=True)
class Traces:
    """What was found.

    Attributes:
        data: Versions that hold data of the names, in the order of names and places.
        texts: Objects that name them.
        unread: Objects and folders that may name them and could not be read, with the reason.
        elsewhere: Folders outside Cloud Storage in which runs left reports; they are not read.
    """

    data: tuple[Trace, ...] = ()
    texts: list[Trace] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    elsewhere: tuple[str, ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The names that have a trace."""
        return frozenset(each.name for each in (*self.data, *self.texts))


async def matching(api: AsyncApi, migration: Migration, glob: str) -> frozenset[str]:
    """The names that match a shell pattern, by the rules of ``--exclude``, and of which a bucket holds a version. Lists both paths.

    A kept copy under a digest, and a name that only a report has, match nothing: those names must be said in full.

    Raises:
        StorageError: A listing failed.
    """
    found: set[str] = set()
    # A pattern without a slash also matches the last part of a name, so its beginning tells nothing.
    literal = _LITERAL.match(glob)[0] if "/" in glob else ""  # type: ignore[index]  # matches the empty text, too
    for side in (migration.source, migration.destination):
        skip = len(side.prefix)
        async for _, each, _ in _held(api, Location(side.bucket, ""), side.prefix + literal):
            found.add(each.state.name[skip:])
    folder = migration.own_ref("replaced", "")
    async for _, each, _ in _held(api, Location(folder.bucket, ""), folder.name + literal):
        kept = _KEPT.fullmatch(each.state.name[len(folder.name) :])
        found.update(kept.groups() if kept else ())
    return frozenset(name for name in found if not migration.is_own(name) and matches_any((glob,), name))


async def _held(
    api: AsyncApi, bucket: Location, prefix: str, *, end: str = ""
) -> AsyncIterator[tuple[str, HeldVersion, bool]]:
    """Every version whose name begins with a text, which need not be a folder: bucket, version, and whether it is soft-deleted."""
    for soft_deleted in (False, True):
        pages = held_versions(api, bucket, soft_deleted=soft_deleted, start=prefix, end=end or _after(prefix))
        try:
            async with aclosing(pages):
                async for page in pages:
                    for each in page:
                        if each.state.name.startswith(prefix):
                            yield bucket.bucket, each, soft_deleted
        except (UnexpectedAnswer, ConditionFailed, Refused):
            # Without soft delete a bucket refuses to list soft-deleted objects, and holds none.
            if not soft_deleted or soft_delete_of(await api.bucket(bucket.bucket, "softDeletePolicy")):
                raise


def _after(prefix: str) -> str:
    """The end of the names that begin with a text; empty for no bound, which only lists more."""
    last = ord(prefix[-1]) + 1 if prefix else 0
    return prefix[:-1] + chr(last) if 0 < last < 0xD800 else ""  # noqa: PLR2004 -- the first surrogate


async def traces_of(
    api: AsyncApi, migration: Migration, names: Iterable[str], state: State | None = None
) -> Traces:
    """Find the traces of names.

    Args:
        state: Of the migration, for the objects that name them; None where only versions are wanted.

    Raises:
        StorageError: A listing failed, so it is not known where the names exist.
    """
    wanted = sorted(names)
    data: dict[str, list[Trace]] = {}

    async def look(name: str) -> None:
        data[name] = await _versions(api, migration, name)

    await work(wanted, look, workers=AT_ONCE)
    found = Traces(tuple(each for name in wanted for each in data[name]))
    if state is not None:
        await _read_texts(api, migration, wanted, state, found)
    return found


async def _versions(api: AsyncApi, migration: Migration, name: str) -> list[Trace]:
    """The versions of one name: on the legacy path, on the new path, and kept."""
    wanted = [(TracePlace.LEGACY, migration.source_ref(name))]
    with suppress(UsageError):  # a name that the new path cannot have
        wanted.append((TracePlace.NEW, migration.destination_ref(name)))
    found: list[Trace] = []
    for place, at in wanted:
        one = Location(at.bucket, "")
        # No name with a printable character more comes before the end.
        held = [
            each
            async for each in _held(api, one, at.name, end=at.name + " ")
            if each[1].state.name == at.name
        ]
        found += sorted((_trace(name, place, each) for each in held), key=_order)
    # The copies of a long name lie under its digest; which names are long depends on the generation.
    for folder in {
        migration.kept_ref(name, generation).name.rpartition("/")[0] for generation in (0, LARGEST)
    }:
        own, skip = Location(migration.own_ref("").bucket, ""), len(folder) + 1
        held = [each async for each in _held(api, own, folder + "/") if each[1].state.name[skip:].isdecimal()]
        found += sorted((_trace(name, TracePlace.KEPT, each) for each in held), key=_order)
    return found


def _order(trace: Trace) -> tuple[int, str]:
    """Live, noncurrent, soft-deleted; and the older ones first."""
    return [*Held].index(trace.held), trace.state.created


def _trace(name: str, place: TracePlace, found: tuple[str, HeldVersion, bool]) -> Trace:
    bucket, version, soft_deleted = found
    held = Held.SOFT_DELETED if soft_deleted else Held.NONCURRENT if version.ended else Held.LIVE
    return Trace(name, place, ObjectRef(bucket, version.state.name), held, version.state, version.until)


async def _read_texts(
    api: AsyncApi, migration: Migration, names: Sequence[str], state: State, found: Traces
) -> None:
    """Read the migration's own objects, and the reports of its runs, for the names."""
    own = migration.own_ref("")
    places = {Location(own.bucket, own.name)}
    reports = {run.report for run in state.runs if run.report}
    places |= {Location.parse(each.rstrip("/") + "/") for each in reports if each.startswith("gs://")}
    found.elsewhere = tuple(sorted(each for each in reports if not each.startswith("gs://")))
    not_texts = (
        state_ref(migration).name,
        history_ref(migration).name,
        migration.own_ref("replaced", "").name,
    )
    objects: dict[ObjectRef, ObjectState] = {}
    for place in sorted(places, key=lambda each: each.uri):
        pages = list_pages(api, place)
        try:
            async with aclosing(pages):
                async for page in pages:
                    for _, each in page:
                        if place.bucket != own.bucket or not each.name.startswith(not_texts):
                            objects[ObjectRef(place.bucket, each.name)] = each
        except StorageError as error:
            found.unread.append(str(error))
    needles = {form: name for name in names for form in _forms(name)}

    async def read(item: tuple[ObjectRef, ObjectState]) -> None:
        at, text = item
        try:
            named = await _named_in(api, at, text, needles)
        except ObjectNotFound:
            return  # it was deleted or replaced since the listing
        except StorageError as error:
            found.unread.append(str(error))
            return
        found.texts += [Trace(name, TracePlace.TEXT, at, Held.LIVE, text) for name in sorted(named)]

    await work(objects.items(), read, workers=READERS)
    found.texts.sort(key=lambda each: (each.name, each.at.uri))


def _forms(name: str) -> set[bytes]:
    """How a name may be written: in JSON, in a page, in an address."""
    texts = (
        json.dumps(name)[1:-1],
        json.dumps(name, ensure_ascii=False)[1:-1],
        html.escape(name),
        quote(name, safe=""),
        quote(name),
    )
    return {text.encode() for text in texts}


async def _named_in(
    api: AsyncApi, at: ObjectRef, text: ObjectState, needles: Mapping[bytes, str]
) -> set[str]:
    """Which names stand in an object."""
    found: set[str] = set()
    overlap = max(map(len, needles)) + 1
    before = b""
    for first in range(0, text.size, PIECE):
        size = min(PIECE, text.size - first)
        part = before + await api.read_range(
            at, text.generation, first=first, size=size, whole=size == text.size
        )
        found.update(
            name for needle, name in needles.items() if name not in found and _stands_in(part, needle)
        )
        before = part[-overlap:]
    return found


def _stands_in(text: bytes, needle: bytes) -> bool:
    """Whether a name stands there, and not as a part of a longer one."""
    at = text.find(needle)
    while at >= 0:
        around = (text[at - 1 : at] if at else b"", text[at + len(needle) :][:1])
        if not any(map(_NAME_GOES_ON.match, around)):
            return True
        at = text.find(needle, at + 1)
    return False
