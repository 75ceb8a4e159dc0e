"""Whether an account's policies let it do what it must: create and overwrite on a path, or list and read it. Pure.

The external writer and the consumer get nothing from the deployment. A cutover sends both to the new path, so somebody must have granted
them access there before. A policy proves access that it gives. What it does not give may come from elsewhere: a group, a
folder, an organization, a condition that is not understood. That is said, and never counts as access.

Source of the roles: the public dump that ``tests/deploy/predefined_roles.json`` names. A test compares the two.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backfill_job.rights import Role
from shared.migration import Location, Migration

__all__ = ["OBJECT_ROLES", "Access", "Need", "access", "needs_of", "same_member"]

_CREATE, _DELETE, _GET, _LIST = (f"storage.objects.{verb}" for verb in ("create", "delete", "get", "list"))

_WITHOUT_OBJECT_PERMISSIONS = [
    "roles/owner",
    "roles/editor",
    "roles/viewer",
    "roles/artifactregistry.writer",
    "roles/bigquery.jobUser",
    "roles/cloudbuild.builds.editor",
    "roles/cloudfunctions.developer",
    "roles/cloudscheduler.admin",
    "roles/eventarc.developer",
    "roles/eventarc.eventReceiver",
    "roles/eventarc.serviceAgent",
    "roles/iam.serviceAccountTokenCreator",
    "roles/iam.serviceAccountUser",
    "roles/run.admin",
    "roles/run.developer",
    "roles/run.invoker",
    "roles/run.viewer",
    "roles/serviceusage.serviceUsageConsumer",
    "qpiExportsPause",
]
"""The basic roles, which reach objects only through a bucket's policy, as projectEditor: and the like; and what the deployment grants."""

OBJECT_ROLES: Mapping[str, frozenset[str]] = {
    "roles/storage.admin": frozenset({_CREATE, _DELETE, _GET, _LIST}),
    "roles/storage.objectAdmin": frozenset({_CREATE, _DELETE, _GET, _LIST}),
    "roles/storage.objectUser": frozenset({_CREATE, _DELETE, _GET, _LIST}),
    "roles/storage.objectCreator": frozenset({_CREATE}),
    "roles/storage.objectViewer": frozenset({_GET, _LIST}),
    "roles/storage.legacyBucketOwner": frozenset({_CREATE, _DELETE, _LIST}),
    "roles/storage.legacyBucketWriter": frozenset({_CREATE, _DELETE, _LIST}),
    "roles/storage.legacyBucketReader": frozenset({_LIST}),
    "roles/storage.legacyObjectOwner": frozenset({_GET}),
    "roles/storage.legacyObjectReader": frozenset({_GET}),
    **dict.fromkeys(_WITHOUT_OBJECT_PERMISSIONS, frozenset()),
    **{role.role_id: frozenset(role.permissions) for role in Role},
}
"""What each known role permits on objects; the deployment's own roles by their names in a project."""

_WITHOUT_OBJECTS = frozenset({"cloudtrace", "logging", "monitoring", "pubsub", "secretmanager"})
"""Services whose predefined roles permit nothing on objects. Other roles may: ``roles/composer.worker`` reads and writes them."""

_PREFIX = re.compile(r'resource\.name\.startsWith\("projects/_/buckets/([^"/]+)/objects/([^"]*)"\)')

_BASIC = {"projectOwner": "roles/owner", "projectEditor": "roles/editor", "projectViewer": "roles/viewer"}


@dataclass(frozen=True, slots=True)
class Need:
    """What an account must be able to do in one place; `what` in words, as in "create and overwrite"."""

    at: Location
    permissions: tuple[str, ...]
    what: str


@dataclass(frozen=True, slots=True)
class Access:
    """What the policies say of one need.

    Attributes:
        missing: The permissions that no policy proves.
        unsure: What may give them all the same, and cannot be resolved here: groups, conditions, roles.
    """

    missing: tuple[str, ...]
    unsure: tuple[str, ...]


def needs_of(migration: Migration, *, consumer: bool, legacy: bool = True) -> tuple[Need, ...]:
    """What the writer, or the consumer, must be able to do.

    Args:
        legacy: Whether the consumer must also read the legacy path: until it is deleted, a rollback sends it back there.
    """
    if not consumer:
        return (Need(migration.destination, (_CREATE, _DELETE), "create and overwrite"),)
    paths = (migration.destination, migration.source) if legacy else (migration.destination,)
    return tuple(Need(at, (_LIST, _GET), "list and read") for at in paths)


def access(
    member: str, need: Need, bucket: Mapping[str, Any], project: Mapping[str, Any] | None = None
) -> Access:
    """Resolve a need from the policies.

    Args:
        member: As in a binding, ``serviceAccount:…``.
        bucket: The policy of the bucket, as ``buckets.getIamPolicy`` shows it.
        project: The policy of the bucket's project; None where it is not known.
    """
    bindings = [*_bindings(bucket), *_bindings(project or {})]
    missing: list[str] = []
    unsure: dict[str, None] = {}
    for permission in need.permissions:
        answers = [_gives(binding, member, permission, need.at, project) for binding in bindings]
        if True not in answers:
            missing.append(permission)
            unsure.update(dict.fromkeys(one for one in answers if isinstance(one, str)))
    return Access(tuple(missing), tuple(unsure))


def same_member(one: str, other: str) -> bool:
    """Whether two members of bindings are the same account. IAM stores addresses in small letters; other identifiers have a case."""
    return one == other or (not one.startswith("principal") and one.lower() == other.lower())


def _bindings(policy: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from policy.get("bindings") or ()


def _gives(
    binding: Mapping[str, Any],
    member: str,
    permission: str,
    at: Location,
    project: Mapping[str, Any] | None,
) -> bool | str:
    """Whether a binding gives a permission; a text says what it depends on, where that cannot be resolved."""
    role = str(binding.get("role", ""))
    own = role.rpartition("/")[2] if role.startswith(("projects/", "organizations/")) else role
    if own in OBJECT_ROLES and permission not in OBJECT_ROLES[own]:
        return False
    if own not in OBJECT_ROLES and own.removeprefix("roles/").partition(".")[0] in _WITHOUT_OBJECTS:
        return False
    doubts = [
        _reaches(binding.get("condition"), permission, at),
        _means(binding.get("members") or (), member, project),
        True if own in OBJECT_ROLES else f"the role {role}",
    ]
    if False in doubts:
        return False
    texts = [doubt for doubt in doubts if isinstance(doubt, str)]
    return ", ".join(texts) if texts else True


def _reaches(condition: Mapping[str, Any] | None, permission: str, at: Location) -> bool | str:
    if not condition:
        return True
    found = _PREFIX.fullmatch(str(condition.get("expression", "")).strip())
    if found is None:
        return f"the condition {condition.get('title') or condition.get('expression')}"
    bucket, prefix = found.groups()
    # To list is a permission on the bucket, whose name does not begin with an object's.
    if bucket != at.bucket or permission == _LIST:
        return False
    if at.prefix.startswith(prefix):
        return True
    return f"a condition that reaches only {prefix}" if prefix.startswith(at.prefix) else False


def _means(members: Iterable[str], member: str, project: Mapping[str, Any] | None) -> bool | str:
    answers = [_is(each, member, project) for each in members]
    if True in answers:
        return True
    texts = [one for one in answers if isinstance(one, str)]
    return f"membership in {' or '.join(texts)}" if texts else False


def _is(each: str, member: str, project: Mapping[str, Any] | None) -> bool | str:
    kind, _, name = each.partition(":")
    if same_member(each, member):
        return True
    if each in {"allUsers", "allAuthenticatedUsers"}:
        return f"{each}, which gives nothing where public access is prevented"
    if kind in _BASIC:
        if project is None:
            return each
        holders: Sequence[str] = [
            one
            for binding in _bindings(project)
            if binding.get("role") == _BASIC[kind] and not binding.get("condition")
            for one in binding.get("members") or ()
        ]
        return _means(holders, member, {})
    if kind == "domain":
        own, _, address = member.partition(":")
        return own == "user" and address.endswith(f"@{name}")
    return each if kind in {"group", "principalSet"} else False
