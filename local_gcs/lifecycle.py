"""Lifecycle rules: which versions a bucket deletes or moves to another storage class, and when.

Rules (Cloud Storage documentation, "Object Lifecycle Management"): all conditions of a rule must hold; Delete takes
precedence over SetStorageClass. Google applies rules at a time of its own; here a test asks for it, with a clock that it
can turn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import msgspec

from local_gcs.calls import Whole
from local_gcs.discovery import not_modelled
from local_gcs.errors import invalid
from local_gcs.objects import ObjectVersion, check_storage_class, parse

__all__ = ["DELETE", "LifecycleRule", "due_action", "parse_lifecycle"]


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """One rule: moves a version to a storage class, or deletes it (None), if all conditions, by Google's names, hold."""

    storage_class: str | None
    conditions: Mapping[str, Any]

    def applies(self, version: ObjectVersion, now: datetime, newer: int) -> bool:
        """Whether all conditions hold for a version, of whose name there are so many newer versions."""
        return all(
            CONDITIONS[name].holds(wanted, version, now, newer) for name, wanted in self.conditions.items()
        )


DELETE = "Delete"
CHEAPEST_FIRST = ("ARCHIVE", "COLDLINE", "NEARLINE", "STANDARD")


def due_action(
    rules: tuple[LifecycleRule, ...], version: ObjectVersion, now: datetime, newer: int
) -> str | None:
    """The action that is due: `DELETE`, the storage class of lowest price at rest to move to, or None."""
    due = {rule.storage_class or DELETE for rule in rules if rule.applies(version, now, newer)}
    if DELETE in due:
        return DELETE
    classes = [name for name in CHEAPEST_FIRST if name in due] or sorted(due)
    return classes[0] if classes and classes[0] != version.storage_class else None


def parse_lifecycle(lifecycle: Any) -> tuple[LifecycleRule, ...]:
    """The rules of a bucket resource. Refuses with 400: a rule is malformed, or not modelled."""
    try:
        return tuple(_rule(rule) for rule in (lifecycle or {}).get("rule") or ())
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise invalid(f"Invalid lifecycle configuration: {error}", location="lifecycle") from error


def _rule(rule: Mapping[str, Any]) -> LifecycleRule:
    kind, storage_class = rule["action"]["type"], rule["action"].get("storageClass")
    given = {name: wanted for name, wanted in rule["condition"].items() if wanted is not None}
    if kind not in {"Delete", "SetStorageClass"}:
        raise not_modelled(f"the lifecycle action {kind}", location="lifecycle")
    for name in sorted(given.keys() - CONDITIONS.keys()):
        raise not_modelled(f"the lifecycle condition {name}", location="lifecycle")
    if not given or (kind == "SetStorageClass") != bool(storage_class):
        raise ValueError("a rule has a condition, and SetStorageClass has a storage class")
    conditions = {name: CONDITIONS[name].parse(wanted) for name, wanted in given.items()}
    return LifecycleRule(check_storage_class(storage_class) if storage_class else None, conditions)


@dataclass(frozen=True, slots=True)
class _Condition:
    """The kind of a wanted value, and a test of it, a version, the present time and the number of newer versions."""

    kind: Any
    holds: Callable[[Any, ObjectVersion, datetime, int], bool]

    def parse(self, value: object) -> Any:
        """The wanted value from JSON, where a number may be text; ValueError for a wrong one."""
        return msgspec.convert(value, self.kind, strict=self.kind is not Whole)


def _old(time: str | None, days: int, now: datetime) -> bool:
    return time is not None and now - parse(time) >= timedelta(days=days)


def _before(time: str | None, day: date) -> bool:
    return time is not None and parse(time).date() < day


CONDITIONS: Mapping[str, _Condition] = {
    "age": _Condition(Whole, lambda days, v, now, _: _old(v.time_created, days, now)),
    "createdBefore": _Condition(date, lambda day, v, _now, _: _before(v.time_created, day)),
    "customTimeBefore": _Condition(date, lambda day, v, _now, _: _before(v.attributes.custom_time, day)),
    "daysSinceCustomTime": _Condition(
        Whole, lambda days, v, now, _: _old(v.attributes.custom_time, days, now)
    ),
    "daysSinceNoncurrentTime": _Condition(Whole, lambda days, v, now, _: _old(v.time_deleted, days, now)),
    "isLive": _Condition(bool, lambda live, v, _now, _: live is (v.time_deleted is None)),
    "matchesPrefix": _Condition(tuple[str, ...], lambda texts, v, _now, _: v.name.startswith(texts)),
    "matchesStorageClass": _Condition(tuple[str, ...], lambda texts, v, _now, _: v.storage_class in texts),
    "matchesSuffix": _Condition(tuple[str, ...], lambda texts, v, _now, _: v.name.endswith(texts)),
    "noncurrentTimeBefore": _Condition(date, lambda day, v, _now, _: _before(v.time_deleted, day)),
    "numNewerVersions": _Condition(Whole, lambda wanted, _v, _now, newer: newer >= wanted),
    "sizeAboveBytes": _Condition(Whole, lambda size, v, _now, _: v.content.size > size),
    "sizeBelowBytes": _Condition(Whole, lambda size, v, _now, _: v.content.size < size),
}
"""Each condition that is modelled, by Google's name."""
