"""An object event, read from a CloudEvent.

The format is Google's ``google.events.cloud.storage.v1.StorageObjectData``, read by key and not strictly: live events
carry fields that the published schema does not know, and integers come as texts or as numbers.
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
        kind: What happened.
        bucket: Where.
        state: The version it happened to.
        time: When it happened.
    """

    id: str
    kind: EventKind
    bucket: str
    state: ObjectState
    time: datetime


def read_event(attributes: Mapping[str, Any], data: Any) -> ObjectEvent:
    """Read an event.

    Args:
        attributes: The CloudEvent's attributes: ``id``, ``type``, ``time``.
        data: Its body, parsed; the object resource. The object's name is read from here only: headers are not
            percent-decoded reliably on the way.

    Returns:
        The event.

    Raises:
        UsageError: It is no object event, or lacks what one must have.
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
        )
    except (StorageError, ValueError, TypeError, ArithmeticError) as error:
        raise UsageError(f"no event about a Cloud Storage object (type {kind!r}): {error}") from error


def _checked(data: Any) -> Mapping[str, Any]:
    """Refuse a body whose fields are of other kinds than the API's: nothing after this expects them."""
    if not isinstance(data, Mapping):
        raise TypeError(f"its body is {type(data).__name__}, an object resource is wanted")
    for key in ("name", "bucket"):
        if not data.get(key):
            raise ValueError(f"its body has no {key}")
    for key in _TEXTS:
        if not isinstance(data.get(key) or "", str):
            raise TypeError(f"{key} is no text")
    metadata = data.get("metadata") or {}
    if not isinstance(metadata, Mapping) or not all(isinstance(value, str) for value in metadata.values()):
        raise TypeError("metadata is no mapping of texts")
    if int(data.get("generation", 0)) < 1:
        raise ValueError(f"{data.get('generation')!r} is no generation")
    return data
