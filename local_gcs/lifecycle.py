"""Lifecycle rules: which versions a bucket deletes or moves to another storage class, and when.

Rules (Cloud Storage documentation, "Object Lifecycle Management"): all conditions of a rule must hold; Delete takes
precedence over SetStorageClass. Google applies rules at a time of its own; here a test asks for it, with a clock that it
can turn.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from local_gcs.discovery import not_modelled
from local_gcs.errors import invalid
from local_gcs.objects import ObjectVersion, check_storage_class, parse

__all__ = ["DELETE", "LifecycleRule", "due_action", "parse_lifecycle"]


@dataclass(frozen=True, slots=True)
class LifecycleRule:
    """One rule.

    Attributes:
        storage_class: The class to move a version to; None to delete it.
        conditions: The wanted value of each condition, by Google's names; all must hold.
    """

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
    """The action that is due for a version: `DELETE`, a storage class to move it to, or None.

    Of several classes the one with the lowest price at rest wins.
    """
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
    """One condition: how to read it, and its test.

    Attributes:
        parse: Gives the wanted value from JSON; TypeError or ValueError for a wrong one.
        holds: Takes that value, a version, the present time and the number of newer versions.
    """

    parse: Callable[[Any], Any]
    holds: Callable[[Any, ObjectVersion, datetime, int], bool]


def _number(value: Any) -> int:
    number = int(value)
    if number < 0 or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a number of at least 0")
    return number


def _midnight(value: Any) -> datetime:
    return datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise ValueError(f"{value!r} is not a list of texts")
    return tuple(value)


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value


def _old(time: str | None, days: int, now: datetime) -> bool:
    return time is not None and now - parse(time) >= timedelta(days=days)


def _before(time: str | None, midnight: datetime) -> bool:
    return time is not None and parse(time) < midnight


CONDITIONS: Mapping[str, _Condition] = {
    "age": _Condition(_number, lambda days, v, now, _: _old(v.time_created, days, now)),
    "createdBefore": _Condition(_midnight, lambda day, v, _now, _: _before(v.time_created, day)),
    "customTimeBefore": _Condition(_midnight, lambda day, v, _now, _: _before(v.attributes.custom_time, day)),
    "daysSinceCustomTime": _Condition(
        _number, lambda days, v, now, _: _old(v.attributes.custom_time, days, now)
    ),
    "daysSinceNoncurrentTime": _Condition(_number, lambda days, v, now, _: _old(v.time_deleted, days, now)),
    "isLive": _Condition(_flag, lambda live, v, _now, _: live is (v.time_deleted is None)),
    "matchesPrefix": _Condition(_texts, lambda texts, v, _now, _: v.name.startswith(texts)),
    "matchesStorageClass": _Condition(_texts, lambda texts, v, _now, _: v.storage_class in texts),
    "matchesSuffix": _Condition(_texts, lambda texts, v, _now, _: v.name.endswith(texts)),
    "noncurrentTimeBefore": _Condition(_midnight, lambda day, v, _now, _: _before(v.time_deleted, day)),
    "numNewerVersions": _Condition(_number, lambda wanted, _v, _now, newer: newer >= wanted),
    "sizeAboveBytes": _Condition(_number, lambda size, v, _now, _: v.content.size > size),
    "sizeBelowBytes": _Condition(_number, lambda size, v, _now, _: v.content.size < size),
}
"""Each condition that is modelled, by Google's name."""
