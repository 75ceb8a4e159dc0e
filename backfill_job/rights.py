"""Which part needs which permission, and where: the least with which each part does its work.

The deployment grants exactly these (``deploy/project.py``), ``smoke`` asks Cloud Storage for them, and the table in
``docs/deploy.md`` comes from them. The deployment runs on a Python without packages, so this module imports no library. Three
facts of Cloud Storage shape it:

- Replacing an object takes ``storage.objects.delete`` on it. So an account that keeps a copy up to date can delete there.
- An account that may not list a bucket gets 403 and not 404 for an absent object. Without listing it cannot know absence.
- Listing is a permission on the bucket. The others are on its objects, so only those can be limited to a prefix. It also lists
  soft-deleted and noncurrent versions. So ``--follow-deletions`` needs no right that the backfill does not hold: it lists the
  legacy bucket, and deletes on the new path.

On the legacy path only the deletion and the way back hold ``storage.objects.delete``. The way back is the reverse mirror and the
rollback, which replace objects that changed on the new path. The operators hold it on the canary's folder.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from shared.env_file import deployed_name
from shared.migration import LATE_WRITES, OWN_FOLDER, Location, Migration

__all__ = [
    "CANARY_FOLDER",
    "REHEARSAL_FOLDER",
    "RIGHTS",
    "SMOKE_FOLDER",
    "Area",
    "Part",
    "Right",
    "Role",
    "account_of",
    "location_of",
]

CANARY_FOLDER = "_canary/"
"""The folder of canaries (``backfill_job.gate.canary``), below the legacy prefix."""

SMOKE_FOLDER = "smoke/"
"""The folder of ``smoke --wire``, among the migration's own objects."""

REHEARSAL_FOLDER = "_migration/undo-rehearsal/"
"""The folder in which the rehearsal of an undo (``backfill_job.undo.rehearsal``) deletes and restores its own objects."""


class Part(Enum):
    """The parts with an account of their own, by the account's name."""

    BACKFILL = "backfill"
    VERIFY = "verify"
    DELETION = "deletion"
    MIRROR = "mirror"
    REVERSE = "reverse"
    STATUS = "status"
    OPERATOR = "operator"


def account_of(part: str, env: str, project: str) -> str:
    """The service account of a part, by its name, as the deployment makes it."""
    return f"{deployed_name(part, env)}@{project}.iam.gserviceaccount.com"


class Area(Enum):
    """Where a permission holds."""

    LEGACY_BUCKET = "the legacy bucket"
    LEGACY_PATH = "the legacy path"
    CANARY = "the canary's folder on the legacy path"
    RECORDS = "the records in the legacy bucket"
    REHEARSAL = "the undo rehearsal's folder in the legacy bucket"
    NEW_BUCKET = "the new bucket"
    NEW_PATH = "the new path"
    OWN = "the migration's own objects"
    MARKS = "the marks of late writes"
    SMOKE = "the smoke test's folder"

    @property
    def is_bucket(self) -> bool:
        """Whether it is a whole bucket."""
        return self in {Area.LEGACY_BUCKET, Area.NEW_BUCKET}


class Role(Enum):
    """A custom role's name in a project, and its permissions."""

    LIST = ("qpiExportsList", ("storage.objects.list",))
    INSPECT = ("qpiExportsInspect", ("storage.buckets.get", "storage.objects.list"))
    AUDIT = (
        "qpiExportsAudit",
        ("storage.buckets.get", "storage.buckets.getIamPolicy", "storage.objects.list"),
    )
    READ = ("qpiExportsRead", ("storage.objects.get",))
    WRITE = ("qpiExportsWrite", ("storage.objects.create", "storage.objects.delete", "storage.objects.get"))
    TRY = (
        "qpiExportsTry",
        (
            "storage.objects.create",
            "storage.objects.delete",
            "storage.objects.get",
            "storage.objects.restore",
            "storage.objects.update",
        ),
    )
    MARK = ("qpiExportsMark", ("storage.objects.create", "storage.objects.delete"))
    DELETE = (
        "qpiExportsDelete",
        (
            "storage.objects.create",
            "storage.objects.delete",
            "storage.objects.get",
            "storage.objects.restore",
        ),
    )

    def __init__(self, role_id: str, permissions: tuple[str, ...]) -> None:
        self.role_id = role_id
        self.permissions = permissions


@dataclass(frozen=True, slots=True)
class Right:
    """One role that one part holds in one place."""

    part: Part
    area: Area
    role: Role


def _rights() -> Iterator[Right]:
    # For each part: legacy bucket and path, new bucket and path, the migration's own objects.
    held = {
        Part.BACKFILL: ((Role.LIST, Role.READ), (Role.LIST, Role.WRITE), Role.WRITE),
        Part.VERIFY: ((Role.LIST, Role.READ), (Role.LIST, Role.READ), Role.WRITE),
        Part.DELETION: ((Role.INSPECT, Role.DELETE), (Role.INSPECT, Role.READ), Role.WRITE),
        Part.MIRROR: ((Role.LIST, Role.READ), (Role.LIST, Role.WRITE), Role.READ),
        Part.REVERSE: ((Role.LIST, Role.WRITE), (Role.LIST, Role.READ), Role.WRITE),
        Part.STATUS: ((), (Role.LIST,), Role.READ),
        Part.OPERATOR: ((Role.AUDIT, Role.READ), (Role.AUDIT, Role.WRITE), Role.WRITE),
    }
    sides = ((Area.LEGACY_BUCKET, Area.LEGACY_PATH), (Area.NEW_BUCKET, Area.NEW_PATH))
    for part, (legacy, new, own) in held.items():
        for areas, roles in zip(sides, (legacy, new), strict=True):
            yield from (Right(part, area, role) for area, role in zip(areas, roles, strict=False))
        yield Right(part, Area.OWN, own)
    yield Right(Part.OPERATOR, Area.CANARY, Role.WRITE)
    yield Right(Part.OPERATOR, Area.SMOKE, Role.TRY)
    yield Right(Part.DELETION, Area.REHEARSAL, Role.DELETE)
    # Before they overwrite or delete (backfill_job.run.overlaps). A record in the new bucket that overlaps always refuses, so
    # none of them needs to read it.
    for part in (Part.BACKFILL, Part.DELETION, Part.REVERSE, Part.OPERATOR):
        yield Right(part, Area.RECORDS, Role.READ)
    yield Right(Part.MIRROR, Area.MARKS, Role.MARK)


RIGHTS = tuple(_rights())
"""Every right that the deployment grants."""


def location_of(area: Area, migration: Migration) -> Location:
    """The prefix of an area."""
    source, destination = migration.source, migration.destination
    own = migration.own_ref("")
    return {
        Area.LEGACY_BUCKET: Location(source.bucket, ""),
        Area.LEGACY_PATH: source,
        Area.CANARY: Location(source.bucket, source.prefix + CANARY_FOLDER),
        Area.RECORDS: Location(source.bucket, OWN_FOLDER),
        Area.REHEARSAL: Location(source.bucket, REHEARSAL_FOLDER),
        Area.NEW_BUCKET: Location(destination.bucket, ""),
        Area.NEW_PATH: destination,
        Area.OWN: Location(own.bucket, own.name),
        Area.MARKS: Location(own.bucket, f"{own.name}{LATE_WRITES}/"),
        Area.SMOKE: Location(own.bucket, f"{own.name}{SMOKE_FOLDER}"),
    }[area]
