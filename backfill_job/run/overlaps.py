"""Refuses to touch objects that also belong to another migration, whose phase this one does not know.

The phase belongs to the objects, not to a pair of names. One day's prefix, or the same pair reversed by hand, is another pair
with a record of its own. In that record the migration is at its beginning, so a copy would overwrite what was written since
the real cutover.

A record lies in the new bucket at ``_migration/P/state.json``, with its history in ``_migration/P/history/``. P is its new
path's prefix. So the names in both buckets suffice to find the records of parents, of children, and of reversed pairs. What a
pair with a third bucket does leaves no trace in these two; see ``docs/decisions/0026-one-phase-for-the-objects.md``.

`open_run` is its main importer. It is a module of its own so that a command that begins a migration can ask the same.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from backfill_job.run.late_gateway import ask
from backfill_job.run.run import START_PATIENCE
from shared.errors import PhaseUnknown, StorageError, UsageError
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.json_client import way_from
from shared.gcs.listing import matching_names
from shared.json_io import parse_json, shown_value
from shared.migration import OWN_FOLDER, Location, Migration
from shared.objects import ObjectRef
from shared.operations import OperationsCounter
from shared.phase import Phase, read_phase
from shared.store import RecordStore
from shared.text import shown

__all__ = ["refuse_overlaps"]

GLOBS = (f"{OWN_FOLDER}**/state.json", f"{OWN_FOLDER}**/history/*.json")
"""The names of records. Two globs: a single one needs braces, and where they were not understood it would find nothing."""

_RECORD = re.compile(
    re.escape(OWN_FOLDER) + r"(?P<stem>.*)/(?:state\.json|history/[0-9]{8}-[a-z_]+\.json)", re.DOTALL
)
"""A head, or an entry of a history. A kept version ends in its generation, so it is never one, whatever its name."""

_WHAT_TO_DO = 'docs/runbook.md, "What if another migration has the same objects?"'


@dataclass(frozen=True, slots=True)
class _Trace:
    """The trace of a record: its bucket, and its new path's prefix without the final slashes."""

    bucket: str
    stem: str

    @property
    def head(self) -> ObjectRef:
        return ObjectRef(self.bucket, f"{OWN_FOLDER}{self.stem}/state.json")

    def overlaps(self, path: Location) -> bool:
        """Whether objects of that migration's new path can lie in a path."""
        if self.bucket != path.bucket:
            return False
        # The name does not say with how many slashes the prefix ends.
        theirs, ours = f"{self.stem}/", f"{path.prefix.rstrip('/')}/"
        return not path.prefix or theirs.startswith(ours) or ours.startswith(theirs)


def refuse_overlaps(
    migration: Migration,
    store: RecordStore,
    environ: Mapping[str, str],
    operations: OperationsCounter | None = None,
) -> None:
    """Refuse if a record of another migration is about objects of this one.

    Commands that overwrite or delete objects ask this before they write anything. One record is let through: of a migration
    that is in phase ``deleted``, where neither of its paths overlaps this one's destination.

    Raises:
        UsageError: There is such a record, or it may not be read or is damaged, or it is not known whether there is one.
    """
    api = AsyncApi(
        retry=RetryPolicy(deadline=START_PATIENCE),
        operations=operations,
        server_time=store.server_time,
        billing_project=migration.billing_project,
        **way_from(environ),
    )
    try:
        for trace in ask(api, partial(_overlapping, migration)):
            other = _read(store, trace)
            phase = _phase(store, trace, other)
            if phase is not Phase.DELETED or not _apart(other, migration):
                raise UsageError(_refusal(trace, other, phase, migration))
    except StorageError as error:
        raise UsageError(
            f"cannot start: {error} (it must be known whether another migration has a record of the same objects)"
        ) from error


async def _overlapping(migration: Migration, api: AsyncApi) -> list[_Trace]:
    """The records, other than our own, whose names overlap one of our paths."""
    paths = (migration.source, migration.destination)
    folders = sorted({(path.bucket, _folder(path)) for path in paths})
    listed = await asyncio.gather(
        *(matching_names(api, Location(*folder), glob) for folder in folders for glob in GLOBS)
    )
    buckets = [bucket for bucket, _ in folders for _ in GLOBS]
    own = migration.own_ref("state.json")
    return [
        trace
        for trace in _traces(zip(buckets, listed, strict=True))
        if trace.head != own and any(map(trace.overlaps, paths))
    ]


def _folder(path: Location) -> str:
    """Where records lie that can overlap a path: those that have its first part in common."""
    first, slash, _ = path.prefix.partition("/")
    return f"{OWN_FOLDER}{first}{slash}"


def _traces(listed: Iterable[tuple[str, list[str]]]) -> list[_Trace]:
    found = ((bucket, _RECORD.fullmatch(name)) for bucket, names in listed for name in names)
    stems = {(bucket, match["stem"]) for bucket, match in found if match is not None}
    return [_Trace(*each) for each in sorted(stems)]


def _read(store: RecordStore, trace: _Trace) -> Migration:
    """Read which migration a record is about. Every version of the head has these fields."""
    contents = store.read(trace.head)
    if contents is None:
        raise _unclear(trace, "its history is there, and the head is gone")
    try:
        content = parse_json(contents)
        other = Migration(Location.parse(content["source"]), Location.parse(content["destination"]))
    except (ValueError, KeyError, TypeError, AttributeError, UsageError) as error:
        raise _unclear(trace, f"it is damaged ({error})") from error
    if other.own_ref("state.json") != trace.head:
        raise _unclear(trace, f"its place does not fit its destination {shown_value(other.destination.uri)}")
    return other


def _phase(store: RecordStore, trace: _Trace, other: Migration) -> Phase:
    try:
        return read_phase(store, other).phase
    except PhaseUnknown as error:
        raise _unclear(trace, error.detail) from error


def _apart(other: Migration, migration: Migration) -> bool:
    """Whether neither path of another migration is where this one copies to."""
    ours = migration.destination
    return not (other.source.overlaps(ours) or other.destination.overlaps(ours))


def _unclear(trace: _Trace, why: str) -> UsageError:
    return UsageError(
        f"{shown(trace.head.uri)} is the record of another migration over the same objects, and its phase is not known: "
        f"{shown(why)}. Nothing was done; repair that record first, or see {_WHAT_TO_DO}"
    )


def _refusal(trace: _Trace, other: Migration, phase: Phase, migration: Migration) -> str:
    return (
        f"{shown(trace.head.uri)} is the record of another migration over the same objects: "
        f"{shown(other.source.uri)} to {shown(other.destination.uri)}, in phase {phase.value}. "
        f"Nothing was done; {_instead(other, phase, migration)} (see {_WHAT_TO_DO})"
    )


def _instead(other: Migration, phase: Phase, migration: Migration) -> str:
    """What to do, by how the two lie to each other."""
    if other.destination.overlaps(migration.source):
        if _apart(other, migration):
            return "finish that migration first, to its phase deleted"
        match phase:
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
