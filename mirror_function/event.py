"""Reads an object event from a CloudEvent.

The format is Google's ``google.events.cloud.storage.v1.StorageObjectData``. The reader takes the keys that it needs and
ignores others: live events carry fields that the published schema does not have. Integers come as texts or as numbers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from shared.errors import StorageError, UsageError
from shared.objects import RESOURCE_FIELDS, ObjectState, parse_time

__all__ = ["EventKind", "ObjectEvent", "read_event"]

_NUMBERS = {"generation", "metageneration", "size"}
_TEXTS = ("bucket", *(key for key in RESOURCE_FIELDS.split(",") if key not in _NUMBERS | {"metadata"}))

TYPE_PREFIX = "google.cloud.storage.object.v1."


class EventKind(Enum):
    """What happened to the object."""

    FINALIZED = "finalized"
    DELETED = "deleted"
    ARCHIVED = "archived"
    METADATA_UPDATED = "metadataUpdated"


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """One event about one object.

    Attributes:
        id: The event's identity; the same at every delivery.
        bucket: The object's bucket.
        state: The version that the event is about.
        time: When it happened.
        ended: When the version was deleted or overwritten, where the event says so; None where it does not. `time` is not
            before that.
    """

    id: str
    kind: EventKind
    bucket: str
    state: ObjectState
    time: datetime
    ended: datetime | None = None

    @property
    def deleted_at(self) -> datetime:
        """When the version ended, as well as the event tells."""
        return self.ended or self.time


def read_event(attributes: Mapping[str, Any], data: Any) -> ObjectEvent:
    """Read an event.

    Args:
        attributes: The CloudEvent's attributes: ``id``, ``type``, ``time``.
        data: Its parsed body, the object resource. The object's name comes from the body only: servers do not decode
            percent-encoded headers reliably.

    Raises:
        UsageError: It is not an object event, or a required field is missing.
    """
    kind = str(attributes.get("type", ""))
    try:
        resource = _checked(data)
        return ObjectEvent(
            id=str(attributes.get("id", "")),
            kind=EventKind(kind.removeprefix(TYPE_PREFIX)),
            bucket=resource["bucket"],
            state=ObjectState.from_resource(resource),
            time=parse_time(str(attributes.get("time", ""))),
            ended=parse_time(resource["timeDeleted"]) if resource.get("timeDeleted") else None,
        )
    except (StorageError, ValueError, TypeError, ArithmeticError) as error:
        raise UsageError(f"not an event about a Cloud Storage object (type {kind!r}): {error}") from error


def _checked(data: Any) -> Mapping[str, Any]:
    """Refuse a body whose fields have other types than the API's: later code does not expect them."""
    if not isinstance(data, Mapping):
        raise TypeError(f"its body is {type(data).__name__}, an object resource is wanted")
    for key in ("name", "bucket"):
        if not data.get(key):
            raise ValueError(f"its body has no {key}")
    for key in _TEXTS:
        if not isinstance(data.get(key) or "", str):
            raise TypeError(f"{key} is not a text")
    metadata = data.get("metadata") or {}
    if not isinstance(metadata, Mapping) or not all(isinstance(value, str) for value in metadata.values()):
        raise TypeError("metadata is not a mapping of texts")
    if int(data.get("generation", 0)) < 1:
        raise ValueError(f"{data.get('generation')!r} is not a generation")
    return data
