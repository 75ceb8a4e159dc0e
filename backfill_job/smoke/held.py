"""Which permissions an account holds, by area, and how they compare with those that its part needs.

Cloud Storage is asked about an object of each area. Some areas have no object, and Cloud Storage may not answer. Then requests
that cannot succeed show it. Each names an absent object, with a precondition that no object meets. A 404 or a 412 means that the
account may send such a request. A 403 means that it may not (Cloud Storage documentation, "HTTP status and error codes for JSON").
Only the command uses this module, as it uses `observe`: each looks at one thing, and the command decides which.
"""

import secrets
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from backfill_job.checks import Check, failed, not_run, passed
from backfill_job.rights import RIGHTS, Area, Part, location_of
from shared.errors import Cause, ConditionFailed, ObjectNotFound, PermissionDenied, StorageError
from shared.gateway import Gateway
from shared.migration import Location, Migration
from shared.objects import ObjectRef

__all__ = ["AROUND", "ASKED", "TRIED", "held_permissions", "rights_checks"]

ASKED = (
    "storage.buckets.delete",
    "storage.buckets.get",
    "storage.buckets.getIamPolicy",
    "storage.buckets.setIamPolicy",
    "storage.buckets.update",
    "storage.objects.create",
    "storage.objects.delete",
    "storage.objects.get",
    "storage.objects.list",
    "storage.objects.restore",
    "storage.objects.setIamPolicy",
    "storage.objects.update",
)
"""The permissions to ask about: those that some part needs, and those that no part should hold."""

OF_OBJECTS = tuple(
    name for name in ASKED if name.startswith("storage.objects.") and not name.endswith(".list")
)
"""The permissions that an account can hold on an object."""

AROUND = {
    Area.CANARY: Area.LEGACY_PATH,
    Area.REHEARSAL: Area.RECORDS,
    Area.MARKS: Area.OWN,
    Area.SMOKE: Area.OWN,
}
"""Areas that lie within another area; a permission on the outer one holds in the inner one, too."""

IMPOSSIBLE = 1
"""A generation that no object has: they are numbers of 16 digits."""


def _restore(gateway: Gateway, at: ObjectRef) -> object:
    def restore(bucket: Any) -> object:
        return bucket.restore_blob(at.name, generation=IMPOSSIBLE, if_generation_match=0)

    return gateway.ask(at.bucket, at.uri, restore)


def _patch(gateway: Gateway, at: ObjectRef) -> object:
    def patch(bucket: Any) -> object:
        return bucket.blob(at.name).patch(if_metageneration_match=IMPOSSIBLE)

    return gateway.ask(at.bucket, at.uri, patch)


TRIED: Mapping[str, Callable[[Gateway, ObjectRef], object]] = {
    "storage.objects.get": lambda gateway, at: gateway.look(at),
    "storage.objects.create": lambda gateway, at: gateway.write(at, b"", if_generation=IMPOSSIBLE),
    "storage.objects.delete": lambda gateway, at: gateway.delete(at, if_generation=IMPOSSIBLE),
    "storage.objects.restore": _restore,
    "storage.objects.update": _patch,
}
"""The requests that cannot succeed, by the permission that each needs; nothing is there that they could change."""


def rights_checks(
    part: Part, held: Mapping[Area, frozenset[str] | str], tried: Collection[Area] = ()
) -> Iterator[Check]:
    """Compare the permissions that an account holds with those that its part needs.

    Args:
        held: By area, the permissions that the account holds there, or why they are unknown.
        tried: The areas in which requests were tried that cannot succeed.
    """
    for area in (one for one in Area if one in held):
        name, has, around = f"rights on {area.value}", held[area], (area, AROUND.get(area))
        how = " (tried)" if area in tried else ""
        rights = [right for right in RIGHTS if right.part is part and right.area in around]
        needs = {permission for right in rights for permission in right.role.permissions}
        if isinstance(has, str):
            if any(right.area is area for right in rights):
                why = (
                    "run it again; where that does not help, the canary and the first execution will show it"
                )
                yield not_run(name, f"not known: {has}", why)
            continue
        missing, more = sorted(needs - has), sorted(has - needs)
        if missing:
            step = f"`python -m deploy --env ENV project` grants them; is this the account of the part {part.value}?"
            yield failed(name, f"missing: {', '.join(missing)}{how}", step)
        elif more:
            seen = f"more than the part {part.value} needs: {', '.join(more)}{how}"
            yield passed(name, seen, "take it away, or use the part's own account")
        else:
            yield passed(name, (", ".join(sorted(needs)) or "none, as it should be") + how)


def held_permissions(
    gateway: Gateway, migration: Migration
) -> tuple[dict[Area, frozenset[str] | str], set[Area]]:
    """The permissions of the account in use in every area, and the areas in which requests had to be tried.

    Raises:
        StorageError: A bucket does not say which permissions the account holds on it.
    """
    held: dict[Area, frozenset[str] | str] = {}
    tried = set()
    for area in Area:
        at = location_of(area, migration)
        if area.is_bucket:
            # No part needs more on the whole bucket than listing; a permission there holds on every object.
            held[area] = gateway.permitted(at.bucket, "", ASKED)
            continue
        within = tuple(location_of(one, migration).prefix for one, outer in AROUND.items() if outer is area)
        said = _said_of_an_object(gateway, at, within)
        if said is None:
            tried.add(area)
        held[area] = _by_trying(gateway, at) if said is None else said
    return held, tried


def _said_of_an_object(gateway: Gateway, at: Location, within: tuple[str, ...]) -> frozenset[str] | None:
    """The permissions on one object of a prefix that lies in none of the inner areas; None where they are not said."""
    try:
        for page in gateway.list_pages(at.bucket, at.prefix):
            for state in page.objects:
                if not state.name.startswith(within):
                    return gateway.permitted(at.bucket, state.name, OF_OBJECTS)
    except StorageError:
        pass
    return None


def _by_trying(gateway: Gateway, at: Location) -> frozenset[str] | str:
    """The permissions of `TRIED` that the account holds; or why this is not known."""
    absent = ObjectRef(at.bucket, f"{at.prefix}smoke-{secrets.token_hex(8)}")
    held = set()
    for permission, request in TRIED.items():
        try:
            request(gateway, absent)
        except PermissionDenied:
            continue
        except (ConditionFailed, ObjectNotFound):
            pass
        except StorageError as error:
            if error.cause is not Cause.SOFT_DELETE:
                return str(error)
        held.add(permission)
    return frozenset(held)
