"""Compares what the files say with what a project holds, and says what has to be done. Pure.

A resource carries a fingerprint of the file's content that it was made from. It is up to date when the fingerprint is the file's and it
holds everything that the file says. What the service added does not count, so a second application changes nothing. A key that was
taken out of a file is a difference, and so is a change that somebody made by hand.
"""

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import yaml

from shared.errors import UsageError

__all__ = ["Existing", "ResourceAction", "ResourceChange", "Wanted", "changes", "fingerprint"]


class ResourceAction(Enum):
    """What happens to one resource."""

    CREATE = "create"
    UPDATE = "update"
    NOTHING = "unchanged"
    LEFT_OVER = "left over"


@dataclass(frozen=True, slots=True)
class Wanted:
    """One resource as a file says it: a ``metric``, ``dashboard`` or ``alert``.

    Attributes:
        key: Unique within its kind and environment.
        content: In the API's JSON form, as the API itself would write it; without the fingerprint.
    """

    kind: str
    key: str
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Existing:
    """One resource of the project.

    Attributes:
        name: The service's full name for it.
        content: As in `Wanted`, with what the service added.
        fingerprint: That of the file it was made from; empty when not known.
        etag: What an update has to name; empty where the service has none.
    """

    kind: str
    key: str
    name: str
    content: Mapping[str, Any]
    managed: bool
    fingerprint: str
    etag: str = ""


@dataclass(frozen=True, slots=True)
class ResourceChange:
    """What has to be done with one resource.

    Attributes:
        wanted: None for a resource that is left over.
        existing: None for a resource that is created.
    """

    action: ResourceAction
    wanted: Wanted | None
    existing: Existing | None = None

    def lines(self) -> list[str]:
        """The difference as a unified diff of YAML; empty where nothing is changed."""
        if self.action not in {ResourceAction.CREATE, ResourceAction.UPDATE} or self.wanted is None:
            return []
        before: Any = {}
        if self.existing is not None:
            before = self.existing.content
            if self.existing.fingerprint == fingerprint(self.wanted.content):
                # The file is the same: only what somebody changed is a difference, not what the service added.
                before = _like(before, self.wanted.content)
        name = f"{self.wanted.kind} {self.wanted.key}"
        after = _yaml(self.wanted.content)
        found = difflib.unified_diff(_yaml(before), after, f"project: {name}", f"files: {name}")
        return [line.rstrip("\n") for line in found]


def fingerprint(content: Mapping[str, Any]) -> str:
    """Twelve hexadecimal digits of a content, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def changes(wanted: Iterable[Wanted], existing: Iterable[Existing]) -> list[ResourceChange]:
    """Compare; gives one change for each resource, in the order of `wanted`, and then what is left over.

    Raises:
        UsageError: A resource of somebody else is in the way, or a metric would have to change what it cannot.
    """
    there: dict[tuple[str, str], Existing] = {}
    for one in existing:
        if (one.kind, one.key) in there:
            raise UsageError(
                f"{one.kind} {one.key} is there twice: {there[one.kind, one.key].name} and {one.name}; delete one of them"
            )
        there[one.kind, one.key] = one
    found = [_change(one, there.pop((one.kind, one.key), None)) for one in wanted]
    left = [ResourceChange(ResourceAction.LEFT_OVER, None, one) for one in there.values() if one.managed]
    return found + left


def _change(wanted: Wanted, existing: Existing | None) -> ResourceChange:
    if existing is None:
        return ResourceChange(ResourceAction.CREATE, wanted)
    if not existing.managed:
        raise UsageError(
            f"{existing.name} is there, and this software did not make it; it is not touched: rename or delete it"
        )
    if wanted.kind == "metric":
        _refuse_another_type(wanted, existing)
    same = existing.fingerprint == fingerprint(wanted.content)
    same = same and _like(existing.content, wanted.content) == wanted.content
    return ResourceChange(ResourceAction.NOTHING if same else ResourceAction.UPDATE, wanted, existing)


def _refuse_another_type(wanted: Wanted, existing: Existing) -> None:
    before, now = (one.content.get("metricDescriptor", {}) for one in (existing, wanted))
    for key in ("metricKind", "valueType"):
        if (was := before.get(key)) != (becomes := now.get(key)):
            raise UsageError(
                f"{existing.name}: {key} is {was} and cannot become {becomes}; a metric never changes it: give the file another name"
            )
    had, has = ({label["key"] for label in one.get("labels", ())} for one in (before, now))
    if had - has:
        raise UsageError(
            f"{existing.name}: label {', '.join(sorted(had - has))} cannot be taken away from a metric; give the file another name"
        )


def _like(existing: Any, wanted: Any) -> Any:
    """The part of what is there that the file speaks of: equal to `wanted` where everything wanted is there."""
    if isinstance(wanted, Mapping) and isinstance(existing, Mapping):
        return {key: _like(existing[key], value) for key, value in wanted.items() if key in existing}
    if isinstance(wanted, list) and isinstance(existing, list) and len(wanted) == len(existing):
        return [_like(one, other) for one, other in zip(existing, wanted, strict=True)]
    return existing


def _yaml(content: Mapping[str, Any]) -> list[str]:
    if not content:
        return []
    text: str = yaml.safe_dump(content, sort_keys=True, allow_unicode=True, width=110)
    return text.splitlines(keepends=True)
