"""Reads the answers that a copy needs for each object, a page of a listing and a rewrite's, straight from their bytes.

`ObjectState.from_resource` is the reference. msgspec reads the usual form in half its time, because it makes no dictionary for
each object. The reference reads every other form, and says what is wrong with it. The bytes are decoded first, because msgspec does
not look at the text of fields that it leaves out. This is a module of its own, because the
deployment imports `shared.objects` on a Python without packages.
"""

from typing import Any, NamedTuple

import msgspec

from shared.errors import UnexpectedAnswer
from shared.gcs.json_client import OK, json_object, listing_object
from shared.gcs.wire import Answer
from shared.objects import ObjectState, shared_metadata

__all__ = ["Listed", "Rewrite", "read_page", "read_rewrite"]


class _Usual(msgspec.Struct, rename="camel", gc=False):
    """The usual form of an object resource, with the fields of `RESOURCE_FIELDS`."""

    name: str
    generation: str | int
    size: str | int
    metageneration: str | int = 1
    crc32c: str = ""
    md5_hash: str = ""
    time_created: str = ""
    updated: str = ""
    content_type: str = ""
    content_encoding: str = ""
    content_disposition: str = ""
    content_language: str = ""
    cache_control: str = ""
    retention_expiration_time: str = ""
    time_storage_class_updated: str = ""
    storage_class: str = ""
    # An object that has one of these is read by the reference.
    custom_time: None = None
    metadata: None = None
    contexts: None = None
    temporary_hold: None = None
    event_based_hold: None = None


class _Page(msgspec.Struct, rename="camel", gc=False, forbid_unknown_fields=True):
    kind: str = ""
    items: list[_Usual] = []
    next_page_token: str = ""


class _Copied(msgspec.Struct, gc=False):
    done: bool
    resource: _Usual


_PAGE, _COPIED = msgspec.json.Decoder(_Page), msgspec.json.Decoder(_Copied)


class Listed(NamedTuple):
    """A page of a listing; its token is empty after the last page."""

    states: list[ObjectState]
    token: str


class Rewrite(NamedTuple):
    """The answer to one call of a rewrite.

    Attributes:
        copy: The destination right after the copy; None while the copy is not done.
        token: Continues the copy with the next call; empty where it cannot be continued.
    """

    copy: ObjectState | None
    token: str = ""


def read_page(answer: Answer) -> Listed:
    """Read a page of a listing.

    Raises:
        ValueError: It is not the JSON of a listing, so it is not complete.
        UnexpectedAnswer: It holds something else than objects.
    """
    try:
        if answer.status == OK:
            page = _PAGE.decode(answer.body.decode())
            return Listed([_state(each) for each in page.items], page.next_page_token)
    except ValueError:  # msgspec's errors are of this kind
        pass
    content = listing_object(answer)
    states = [ObjectState.from_resource(item) for item in content.get("items", ())]
    return Listed(states, content.get("nextPageToken", ""))


def read_rewrite(answer: Answer, uri: str, name: str) -> Rewrite:
    """Read the answer to one call of a rewrite; `name` is the destination's.

    Raises:
        ValueError: It is not JSON, so it is not complete.
        UnexpectedAnswer: It is done, and has no object, or another one.
    """
    try:
        copied = _COPIED.decode(answer.body.decode())
        if copied.done and copied.resource.name == name:
            return Rewrite(_state(copied.resource))
    except ValueError:
        pass
    content: dict[str, Any] = json_object(answer)
    if content.get("done") is not True:
        return Rewrite(None, str(content.get("rewriteToken") or ""))
    resource = content.get("resource")
    if not isinstance(resource, dict):
        raise UnexpectedAnswer(uri, "a copy that is done, without the object that it made")
    return Rewrite(ObjectState.of(resource, name))


_new = (
    tuple.__new__
)  # without the function that a named tuple's own constructor is: listings make millions of states


def _state(read: _Usual) -> ObjectState:
    """See `ObjectState.from_resource`."""
    generation, size = int(read.generation), int(read.size)
    if generation < 1 or size < 0:
        raise ValueError("impossible numbers")
    return _new(
        ObjectState,
        (
            read.name,
            generation,
            int(read.metageneration or 1),
            size,
            read.crc32c or None,
            read.md5_hash or None,
            read.time_created,
            read.updated,
            shared_metadata(
                read.content_type or None,
                read.content_encoding or None,
                read.content_disposition or None,
                read.content_language or None,
                read.cache_control or None,
            ),
            "",
            read.retention_expiration_time,
            read.time_storage_class_updated,
            read.storage_class,
        ),
    )
