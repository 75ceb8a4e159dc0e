"""Refuses to touch objects that also belong to another migration, whose phase this one does not know.

The phase belongs to the objects, not to a pair of names. One day's prefix, or the same pair reversed by hand, is another pair
with a record of its own. In that record the migration is at its beginning, so a copy would overwrite what was written since
the real cutover.

A record lies in the new bucket at ``_migration/P/state.json``, with its history in ``_migration/P/history/``. P is its new
path's prefix. So the names in both buckets suffice to find the records of parents, of children, and of reversed pairs. What a
pair with a third bucket does leaves no trace in these two; see ``docs/decisions/0025-one-phase-for-the-objects.md``.

`open_run` is its main importer. It is a module of its own so that a command that begins a migration can ask the same.
"""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass

import uvloop

from backfill_job.run.run import START_PATIENCE, Run, open_api
from shared.errors import StorageError, UsageError
from shared.gcs.listing import matching_names
from shared.json_io import parse_json, shown_value
from shared.migration import OWN_FOLDER, Location, Migration
from shared.objects import ObjectRef
from shared.phase import Phase
from shared.text import shown

__all__ = ["refuse_overlaps"]

GLOBS = (f"{OWN_FOLDER}**/state.json", f"{OWN_FOLDER}**/history/*.json")
"""The names of records. Two globs: a single one needs braces, and where they were not understood it would find nothing."""

_RECORD = re.compile(
    re.escape(OWN_FOLDER)
    + r"(?P<stem>.*)/(?:state\.json|history/(?P<number>[0-9]{8})-(?P<phase>[a-z_]+)\.json)",
    re.DOTALL,
)
"""A head, or an entry of a history. A kept version ends in its generation, so it is never one, whatever its name."""

_WHAT_TO_DO = 'docs/runbook.md, "What if another migration has the same objects?"'


@dataclass(frozen=True, slots=True)
class _Found:
    """The trace of a record: where it lies, and the phase of its newest entry (empty without one)."""

    bucket: str
    stem: str
    newest: str = ""

    @property
    def head(self) -> ObjectRef:
        return ObjectRef(self.bucket, f"{OWN_FOLDER}{self.stem}/state.json")


@dataclass(frozen=True, slots=True)
class _Other:
    """The migration that a record is about."""

    source: Location
    destination: Location
    phase: Phase

    def leaves_free(self, migration: Migration) -> bool:
        """Whether it has ended, and none of its paths is where this migration copies to: the next link of a chain."""
        ours = migration.destination
        apart = not (self.source.overlaps(ours) or self.destination.overlaps(ours))
        return apart and self.phase is Phase.DELETED


def refuse_overlaps(run: Run) -> None:
    """Refuse if a record of another migration is about objects of this one.

    Commands that overwrite or delete objects ask this before they write anything. One record is let through: of a migration
    that is in phase ``deleted``, where neither of its paths overlaps this one's destination.

    Raises:
        UsageError: There is such a record, or it may not be read or is damaged, or it is not known whether there is one.
    """
    try:
        found = uvloop.run(_overlapping(run))
        for record in found:
            contents = run.gateway.read(record.head)
            other = _read(contents, record)
            if not other.leaves_free(run.migration):
                raise UsageError(_refusal(record, other, run.migration))
    except StorageError as error:
        raise UsageError(f"cannot start: {error} (records of other migrations must be known)") from error


async def _overlapping(run: Run) -> list[_Found]:
    """The records, other than our own, whose names overlap one of our paths."""
    paths = (run.migration.source, run.migration.destination)
    async with open_api(run, patience=START_PATIENCE) as api:
        wanted = [(folder, glob) for folder in sorted({*map(_folder, paths)}, key=str) for glob in GLOBS]
        listed = await asyncio.gather(*(matching_names(api, folder, glob) for folder, glob in wanted))
    names = {(folder.bucket, name) for (folder, _), each in zip(wanted, listed, strict=True) for name in each}
    own = run.migration.own_ref("state.json")
    return [
        record
        for record in _records(names)
        if record.head != own and any(_name_overlaps(record, path) for path in paths)
    ]


def _folder(path: Location) -> Location:
    """Where records lie that can overlap a path: those that have its first part in common."""
    first, slash, _ = path.prefix.partition("/")
    return Location(path.bucket, f"{OWN_FOLDER}{first}{slash}")


def _records(names: Iterable[tuple[str, str]]) -> list[_Found]:
    records: dict[tuple[str, str], _Found] = {}
    # In the order of the names: entries ascend by their number.
    for bucket, name in sorted(names):
        match = _RECORD.fullmatch(name)
        if match is not None:
            at = (bucket, match["stem"])
            before = records.get(at, _Found(*at))
            records[at] = _Found(*at, match["phase"] or before.newest)
    return [records[at] for at in sorted(records)]


def _name_overlaps(record: _Found, path: Location) -> bool:
    if record.bucket != path.bucket:
        return False
    # The name does not say with how many slashes the prefix ends.
    theirs, ours = f"{record.stem}/", f"{path.prefix.rstrip('/')}/"
    return not path.prefix or theirs.startswith(ours) or ours.startswith(theirs)


def _read(contents: bytes | None, record: _Found) -> _Other:
    """Read a head. Only the fields that every version of the form has.

    Raises:
        UsageError: It is missing or damaged, or contradicts its place or its history.
    """
    if contents is None:
        raise _unclear(record, "its history is there, but the head is missing")
    try:
        content = parse_json(contents)
        source, destination = Location.parse(content["source"]), Location.parse(content["destination"])
        phase = Phase(content["phase"])
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise _unclear(record, f"damaged: {error}") from error
    if (destination.bucket, destination.prefix.rstrip("/")) != (record.bucket, record.stem):
        raise _unclear(record, f"its place does not fit its destination {shown_value(destination.uri)}")
    if record.newest not in {"", phase.value}:
        raise _unclear(record, f"its phase is {phase.value}, and in its history {record.newest}")
    return _Other(source, destination, phase)


def _unclear(record: _Found, why: str) -> UsageError:
    return UsageError(
        f"{shown(record.head.uri)} is the record of another migration over the same objects, and its phase is not known: "
        f"{why}. Nothing was done; repair that record first, or see {_WHAT_TO_DO}"
    )


def _refusal(record: _Found, other: _Other, migration: Migration) -> str:
    return (
        f"{shown(record.head.uri)} is the record of another migration over the same objects: "
        f"{shown(other.source.uri)} to {shown(other.destination.uri)}, in phase {other.phase.value}. "
        f"Nothing was done; {_instead(other, migration)} (see {_WHAT_TO_DO})"
    )


def _instead(other: _Other, migration: Migration) -> str:
    """What to do, by how the two lie to each other."""
    if other.destination.overlaps(migration.source):
        if not other.source.overlaps(migration.destination):
            return "finish that migration first, to its phase deleted"
        match other.phase:
            case Phase.CUT_OVER | Phase.ROLLED_BACK:
                return "to bring objects back, use the command `rollback` of that migration"
            case Phase.DELETING | Phase.DELETED:
                return "to bring objects back, use the command `undo` with the manifest of that migration"
            case _:
                return "that one copies in the other direction, and its source is the source of truth"
    if other.destination.contains(migration.destination):
        return "use that pair, with --since for the newest days or --exclude for what to leave out"
    return (
        "that one is about a part of these objects, and has a phase of its own: end it, or retire its record"
    )
