"""Reads an object event from a CloudEvent, or from the Pub/Sub message that carries one.

The format is Google's ``google.events.cloud.storage.v1.StorageObjectData``. The reader takes the keys that it needs and
ignores others: live events carry fields that the published schema does not have. Integers come as texts or as numbers.

An object's name may have characters that a header cannot carry. Then the event arrives as a raw Pub/Sub push: a message whose
attributes are the CloudEvent's (``ce-*``), and whose data are its body. A notification of the bucket to a topic has attributes
of its own (``eventType``, ``bucketId``, ``objectId``; Cloud Storage documentation, "Pub/Sub notifications").
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

from shared.errors import StorageError, UsageError
from shared.migration import MAX_NAME_BYTES
from shared.objects import RESOURCE_FIELDS, Metadata, ObjectRef, ObjectState, parse_time
from shared.text import counted

__all__ = ["MESSAGE_TYPE", "EventKind", "ObjectEvent", "object_named", "read_event", "unwrapped"]

_NUMBERS = {"generation", "metageneration", "size"}
_OTHERS = {"metadata", "contexts", "temporaryHold", "eventBasedHold"}
_TEXTS = ("bucket", *(key for key in RESOURCE_FIELDS.split(",") if key not in _NUMBERS | _OTHERS))

TYPE_PREFIX = "google.cloud.storage.object.v1."
MESSAGE_TYPE = "google.cloud.pubsub.topic.v1.messagePublished"

LARGEST_NUMBER = 2**63 - 1
"""Of the API's integers."""

CLOCKS_DIFFER = timedelta(hours=1)
"""An event from further in the future is forged or damaged. Its age would never reach the give-up age."""


class EventKind(Enum):
    """What happened to the object."""

    FINALIZED = "finalized"
    DELETED = "deleted"
    ARCHIVED = "archived"
    METADATA_UPDATED = "metadataUpdated"


_NOTIFIED = {
    "OBJECT_FINALIZE": EventKind.FINALIZED,
    "OBJECT_DELETE": EventKind.DELETED,
    "OBJECT_ARCHIVE": EventKind.ARCHIVED,
    "OBJECT_METADATA_UPDATE": EventKind.METADATA_UPDATED,
}
"""The ``eventType`` of a notification."""


@dataclass(frozen=True, slots=True)
class ObjectEvent:
    """One event about one object.

    Attributes:
        id: The event's identity; the same at every delivery.
        complete: False where the event only names the object, without size and checksums, or has no checksum.
        ended: When the version was deleted or overwritten, where the event says so; None where it does not. `time` is not
            before that.
    """

    id: str
    kind: EventKind
    bucket: str
    state: ObjectState
    time: datetime
    complete: bool = True
    ended: datetime | None = None

    @property
    def deleted_at(self) -> datetime:
        """When the version ended, as well as the event tells."""
        return self.ended or self.time


NAMED = object()
"""Stands for the body of a message's event that has none: the attributes name the object, exactly."""


def unwrapped(attributes: Mapping[str, Any], data: Any) -> tuple[Mapping[str, Any], Any]:
    """Take an object's event out of a Pub/Sub message.

    Returns:
        Attributes and body of the object's event; the body is `NAMED` where the message has none, or an empty one. Both as
        they were given where this is not such a message.
    """
    message = (
        data.get("message") if isinstance(data, Mapping) and attributes.get("type") == MESSAGE_TYPE else None
    )
    if not isinstance(message, Mapping):
        return attributes, data
    carried = _lower(message["attributes"]) if isinstance(message.get("attributes"), Mapping) else {}
    body = _decoded(message.get("data"))
    came = {
        "id": message.get("messageId") or message.get("message_id") or attributes.get("id") or "",
        "time": message.get("publishTime") or message.get("publish_time") or attributes.get("time", ""),
    }
    event = {key[3:]: value for key, value in carried.items() if key.startswith("ce-")}
    if "type" in event:
        return came | event, body
    if "eventtype" in carried:
        kind = _NOTIFIED.get(str(carried["eventtype"]))
        return {
            "id": came["id"],
            "type": TYPE_PREFIX + kind.value if kind else str(carried["eventtype"]),
            "time": carried.get("eventtime") or came["time"],
            "bucket": carried.get("bucketid", ""),
            "subject": f"objects/{carried.get('objectid', '')}",
            "generation": carried.get("objectgeneration", ""),
        }, body
    if (
        isinstance(body, Mapping) and "specversion" in body and "type" in body
    ):  # the whole event is the message's data
        return came | {key: value for key, value in body.items() if key not in _CONTENTS}, _contents(body)
    return attributes, data


_CONTENTS = frozenset({"data", "data_base64"})


def _contents(event: Mapping[str, Any]) -> Any:
    """The body of an event in the structured form; `NAMED` where it has none (CloudEvents, "JSON Event Format")."""
    return event.get("data") or _decoded(event.get("data_base64"))


def _lower(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes by their names in lower case, which CloudEvents wants and senders of headers do not always keep."""
    return {str(key).lower(): value for key, value in attributes.items()}


def _decoded(data: Any) -> Any:
    """The JSON of a message's data; `NAMED` where there are none; the data themselves where they are not JSON.

    Protocol Buffers' JSON reads base64 of either alphabet, with and without padding ("ProtoJSON format", bytes).
    """
    if not data:
        return NAMED
    try:
        digits = "".join(data.split()).rstrip("=").replace("-", "+").replace("_", "/")
        return json.loads(base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)) or NAMED
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError):
        return data


def object_named(attributes: Mapping[str, Any], data: Any) -> str:
    """The object that an event is about, as ``gs://bucket/name``; empty where the event does not tell.

    For the log: a header may have another form of the name than the body. Of a message without attributes, its data count.
    """
    message = data.get("message") if isinstance(data, Mapping) else None
    if isinstance(message, Mapping) and isinstance(carried := _decoded(message.get("data")), Mapping):
        data = carried
    bucket, name = _named(attributes, data)
    return ObjectRef(bucket or "?", name).uri if name else ""


def _named(attributes: Mapping[str, Any], data: Any) -> tuple[str, str]:
    body = data if isinstance(data, Mapping) else {}
    _, _, of_source = str(attributes.get("source", "")).partition("/buckets/")
    # "objects/NAME", or "storage.googleapis.com/projects/_/buckets/BUCKET/objects/NAME" of an audit log's event.
    _, _, in_subject = f"/{attributes.get('subject', '')}".partition("/objects/")
    bucket, name = body.get("bucket"), body.get("name")
    return (
        bucket if isinstance(bucket, str) and bucket else str(attributes.get("bucket") or of_source),
        name if isinstance(name, str) and name else in_subject,
    )


def read_event(attributes: Mapping[str, Any], data: Any, now: datetime) -> ObjectEvent:
    """Read an event.

    Args:
        attributes: The CloudEvent's attributes: ``id``, ``type``, ``time``.
        data: Its parsed body, the object resource. The object's name comes from the body: servers do not decode
            percent-encoded headers reliably. `NAMED` for the attributes of a message without data, which are exact.

    Raises:
        UsageError: It is not an object event, a required field is missing, or a field has an impossible value.
    """
    kind = str(attributes.get("type", ""))
    try:
        time = _moment(_time_of(attributes, data), now)
        if isinstance(data, Mapping) and data.get("timeCreated") is None:
            data = {**data, "timeCreated": time.isoformat()}
        resource = _checked(data, now)
        state = _only_named(attributes, time) if data is NAMED else ObjectState.from_resource(resource)
        _check_name(state.name)
        return ObjectEvent(
            id=str(attributes.get("id", "")),
            kind=EventKind(kind.removeprefix(TYPE_PREFIX)),
            bucket=_named(attributes, data)[0],
            state=state,
            time=time,
            complete=state.crc32c is not None,
            ended=_moment(resource["timeDeleted"], now) if resource.get("timeDeleted") else None,
        )
    except (StorageError, ValueError, TypeError, ArithmeticError) as error:
        raise UsageError(f"not an event about a Cloud Storage object (type {kind!r}): {error}") from error


def _time_of(attributes: Mapping[str, Any], data: Any) -> str:
    """An event's time; its object's where it has none, because ``time`` is optional (CloudEvents specification, "Optional attributes")."""
    body = data if isinstance(data, Mapping) else {}
    times = (attributes.get("time"), body.get("timeDeleted"), body.get("updated"), body.get("timeCreated"))
    return next((str(each) for each in times if each), "")


def _only_named(attributes: Mapping[str, Any], time: datetime) -> ObjectState:
    """What an event without a body says about its object."""
    bucket, name = _named(attributes, None)
    if not bucket or not name:
        raise TypeError("it has neither a body nor attributes that name the object")
    generation = _number(attributes.get("generation") or 0, 0)
    moment = time.isoformat()
    return ObjectState(name, generation, 1, 0, None, None, moment, moment, Metadata())


def _moment(text: str, now: datetime) -> datetime:
    """A time of an event."""
    moment = parse_time(text.upper()).astimezone(UTC)  # RFC 3339 allows "z"
    if moment > now + CLOCKS_DIFFER:
        raise ValueError(f"{text} is in the future")
    return moment


def _number(value: Any, least: int) -> int:
    number = int(value)
    if not least <= number <= LARGEST_NUMBER:
        raise ValueError(f"{value!r} is not a number of the API")
    return number


def _check_name(name: str) -> None:
    """Refuse a name that no object can have (Cloud Storage documentation, "Object names")."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise ValueError("the name is not valid Unicode") from None
    if size > MAX_NAME_BYTES:
        raise ValueError(f"the name has {counted(size, 'byte')}; {MAX_NAME_BYTES:,} are allowed")
    if "\n" in name or "\r" in name or name in {".", ".."}:
        raise ValueError("no object can have this name")


def _checked(data: Any, now: datetime) -> Mapping[str, Any]:
    """Refuse a body whose fields have other types than the API's, or impossible values: later code does not expect them."""
    if data is NAMED:
        return {}
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
    _number(data.get("generation", 0), 1)
    _number(data.get("metageneration") or 1, 1)
    _number(data.get("size", -1), 0)
    _moment(data["timeCreated"] or "", now)
    return data
