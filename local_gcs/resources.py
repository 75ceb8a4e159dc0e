"""The ``fields`` parameter: which parts of an answer a client wants.

Grammar (Google API documentation, "Partial responses")::

    selection = item ("," item)*
    item      = name ("/" name)* [ "(" selection ")" ]

``a/b`` picks b of a, ``a(b,c)`` picks several, ``*`` stands for any name. Lists are looked through: ``items/name`` picks
the name of every item.

Resources: object versions as JSON, whole or in part, and the editable part of a resource read back.

Integers of 64 bits are strings, as everywhere in the JSON API.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import orjson

from local_gcs.buckets import Bucket
from local_gcs.calls import Call, Reply
from local_gcs.errors import Refused, invalid
from local_gcs.objects import Attributes, Draft, Holds, ObjectVersion, parse, stamp

__all__ = [
    "EVERYTHING",
    "Renderer",
    "Selection",
    "draft_of",
    "etag",
    "json_reply",
    "parse_fields",
    "patched_draft",
]

# -------------------- fields

PUNCTUATION = "(),/"


class Selection:
    """What is wanted below one point of an answer.

    Attributes:
        children: What is wanted of each name; None wants everything.
    """

    __slots__ = ("children",)

    def __init__(self, children: "dict[str, Selection] | None") -> None:
        self.children = children

    def __repr__(self) -> str:
        return f"Selection({self.children!r})"

    def of(self, name: str) -> "Selection | None":
        """What is wanted of a name; None when nothing is."""
        if self.children is None:
            return self
        return self.children.get(name) or self.children.get("*")

    def apply(self, value: Any) -> Any:
        """The wanted parts of a JSON value."""
        if self.children is None:
            return value
        if isinstance(value, list):
            return [self.apply(item) for item in value]
        if not isinstance(value, dict):
            return value
        wanted = {name: self.of(name) for name in value}
        return {name: child.apply(value[name]) for name, child in wanted.items() if child}


EVERYTHING = Selection(None)


@lru_cache(maxsize=1024)
def parse_fields(text: str) -> Selection:
    """The selection that a ``fields`` parameter states; an empty one wants everything.

    Raises:
        Refused: 400; it is not well-formed.
    """
    if not text or text == "*":
        return EVERYTHING
    tokens = _tokens(text)
    tree: dict[str, Any] = {}
    if _selection(tokens, tree, text) != "":
        raise _malformed(text)
    return _frozen(tree)


def _tokens(text: str) -> Iterator[str]:
    """Names and punctuation, then empty strings without end."""
    name = ""
    for character in text:
        if character not in PUNCTUATION:
            name += character
            continue
        if name.strip():
            yield name.strip()
        name = ""
        yield character
    if name.strip():
        yield name.strip()
    while True:
        yield ""


def _selection(tokens: Iterator[str], tree: dict[str, Any], text: str) -> str:
    """Read a selection into a tree, whose empty subtrees want everything; give the token behind it."""
    while True:
        following = _item(tokens, tree, text)
        if following != ",":
            return following


def _item(tokens: Iterator[str], tree: dict[str, Any], text: str) -> str:
    """Read one item into a tree; give the token behind it."""
    while True:
        name = next(tokens)
        if name in {"", *PUNCTUATION}:
            raise _malformed(text)
        # A name asked for as a whole stays whole, whatever is asked of its parts besides.
        known = tree.get(name)
        subtree: dict[str, Any] = {} if known == {} else tree.setdefault(name, {})
        following = next(tokens)
        if following != "/":
            break
        tree = subtree
    if following != "(":
        subtree.clear()
        return following
    if _selection(tokens, subtree, text) != ")":
        raise _malformed(text)
    return next(tokens)


def _frozen(tree: dict[str, Any]) -> Selection:
    return Selection({name: _frozen(subtree) for name, subtree in tree.items()} or None)


def _malformed(text: str) -> Refused:
    return invalid(f"Invalid field selection {text}", location="fields", reason="invalidParameter")


# -------------------- resources

Getter = Callable[[ObjectVersion], Any]

PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
TEXTS = {
    "contentType": "content_type",
    "contentEncoding": "content_encoding",
    "contentDisposition": "content_disposition",
    "contentLanguage": "content_language",
    "cacheControl": "cache_control",
}
"""Editable fields that are plain text, and where `Attributes` keeps them."""


def etag(generation: int, metageneration: int) -> str:
    """The entity tag: both numbers as a protocol buffer in base64, as Google's is."""
    out = bytearray()
    for tag, number in ((8, generation), (16, metageneration)):
        out.append(tag)
        rest = number
        while rest > 127:  # noqa: PLR2004 - seven bits a byte, by the definition of a varint
            out.append(rest & 127 | 128)
            rest >>= 7
        out.append(rest)
    return b64encode(out).decode()


class Renderer:
    """Renders resources, whose links lead back to this server.

    Args:
        base_url: Where the server listens, without a slash at the end.
    """

    def __init__(self, base_url: str) -> None:
        self._api = f"{base_url}/storage/v1/b/"
        self._download = f"{base_url}/download/storage/v1/b/"
        self._fields = _object_fields(self._self_link, self._media_link)
        self.project = lru_cache(maxsize=256)(self._project)

    def object(self, version: ObjectVersion) -> dict[str, Any]:
        """The whole resource of a version."""
        return {name: value for name, get in self._fields if (value := get(version)) is not None}

    def _project(self, selection: Selection) -> Callable[[ObjectVersion], dict[str, Any]]:
        """A function that renders the wanted part of a version; ask `project`, which remembers it."""
        if selection is EVERYTHING:
            return self.object
        wanted = [(name, get, child) for name, get in self._fields if (child := selection.of(name))]
        whole = [(name, get) for name, get, child in wanted if child.children is None]

        def render(version: ObjectVersion) -> dict[str, Any]:
            return {name: value for name, get in whole if (value := get(version)) is not None}

        if len(whole) == len(wanted):
            return render
        return lambda version: selection.apply(self.object(version))

    def bucket(self, bucket: Bucket) -> dict[str, Any]:
        """The resource of a bucket."""
        links = {"selfLink": self._api + bucket.name, "etag": etag(1, bucket.metageneration)}
        return bucket.resource | links

    def _self_link(self, version: ObjectVersion) -> str:
        return f"{self._api}{version.bucket}/o/{_quoted(version.name)}"

    def _media_link(self, version: ObjectVersion) -> str:
        name = _quoted(version.name)
        return f"{self._download}{version.bucket}/o/{name}?generation={version.generation}&alt=media"


def _quoted(name: str) -> str:
    """A name percent-encoded for a path; names of plain characters, which most are, in one step."""
    if PLAIN(name):
        return name.replace("/", "%2F")
    return quote(name, safe="")


def _object_fields(self_link: Getter, media_link: Getter) -> list[tuple[str, Getter]]:
    """Every field of an object resource and how to get it; None leaves it out."""
    return [
        ("kind", lambda _: "storage#object"),
        ("id", lambda v: f"{v.bucket}/{v.name}/{v.generation}"),
        ("selfLink", self_link),
        ("mediaLink", media_link),
        ("name", lambda v: v.name),
        ("bucket", lambda v: v.bucket),
        ("generation", lambda v: str(v.generation)),
        ("metageneration", lambda v: str(v.metageneration)),
        ("contentType", lambda v: v.attributes.content_type),
        ("storageClass", lambda v: v.storage_class),
        ("size", lambda v: str(v.content.size)),
        ("md5Hash", lambda v: v.content.md5),
        ("crc32c", lambda v: v.content.crc32c),
        ("componentCount", lambda v: v.content.components),
        ("contentEncoding", lambda v: v.attributes.content_encoding),
        ("contentDisposition", lambda v: v.attributes.content_disposition),
        ("contentLanguage", lambda v: v.attributes.content_language),
        ("cacheControl", lambda v: v.attributes.cache_control),
        ("customTime", lambda v: v.attributes.custom_time),
        ("metadata", lambda v: v.attributes.metadata),
        ("temporaryHold", lambda v: v.holds.temporary),
        ("eventBasedHold", lambda v: v.holds.event_based),
        ("retentionExpirationTime", lambda v: v.retention_expires),
        ("etag", lambda v: etag(v.generation, v.metageneration)),
        ("timeCreated", lambda v: v.time_created),
        ("updated", lambda v: v.updated),
        ("timeStorageClassUpdated", lambda v: v.time_created),
        ("timeFinalized", lambda v: v.time_created),
        ("timeDeleted", lambda v: v.time_deleted),
        ("softDeleteTime", lambda v: v.soft_delete_time),
        ("hardDeleteTime", lambda v: v.hard_delete_time),
    ]


def json_reply(call: Call, resource: Any) -> Reply:
    """An answer with a resource, or the part of it that the ``fields`` parameter asks for."""
    fields = call.params.get("fields")
    if fields:
        resource = parse_fields(fields).apply(resource)
    return Reply(body=orjson.dumps(resource))


def draft_of(resource: dict[str, Any]) -> Draft:
    """The editable part of an object resource, all of it: what is not named is empty.

    Raises:
        Refused: 400; a field has the wrong type.
    """
    metadata = resource.get("metadata")
    texts = {ours: _text(resource, theirs) for theirs, ours in TEXTS.items()}
    attributes = Attributes(**texts, custom_time=_custom_time(resource), metadata=_metadata(metadata) or None)
    holds = Holds(_flag(resource, "temporaryHold"), _flag(resource, "eventBasedHold"))
    return Draft(attributes, _text(resource, "storageClass"), holds)


def patched_draft(version: ObjectVersion, resource: dict[str, Any]) -> Draft:
    """The editable part of a version after a patch: what is not named stays, null removes.

    Raises:
        Refused: 400; a field has the wrong type, or the custom time goes back or away.
    """
    old, holds = version.attributes, version.holds
    changes: dict[str, Any] = {
        ours: _text(resource, theirs) for theirs, ours in TEXTS.items() if theirs in resource
    }
    if "customTime" in resource:
        changes["custom_time"] = _custom_time(resource)
        if old.custom_time and (changes["custom_time"] or "") < old.custom_time:
            raise invalid("Custom time cannot be removed or set to an earlier time.", location="customTime")
    if "metadata" in resource:
        changes["metadata"] = _merged(old.metadata, resource["metadata"])
    if "temporaryHold" in resource:
        holds = replace(holds, temporary=_flag(resource, "temporaryHold"))
    if "eventBasedHold" in resource:
        holds = replace(holds, event_based=_flag(resource, "eventBasedHold"))
    return Draft(replace(old, **changes) if changes else old, version.storage_class, holds)


def _text(resource: dict[str, Any], name: str) -> str | None:
    value = resource.get(name)
    if value is not None and not isinstance(value, str):
        raise invalid(f"Invalid value for: {name} is not a string", location=name)
    return value or None


def _flag(resource: dict[str, Any], name: str) -> bool | None:
    value = resource.get(name)
    if value is not None and not isinstance(value, bool):
        raise invalid(f"Invalid value for: {name} is not a boolean", location=name)
    return value


def _custom_time(resource: dict[str, Any]) -> str | None:
    text = _text(resource, "customTime")
    try:
        return stamp(parse(text)) if text else None
    except ValueError as error:
        raise invalid(f"Invalid value for: customTime '{text}'", location="customTime") from error


def _merged(old: dict[str, str] | None, changes: Any) -> dict[str, str] | None:
    """Custom metadata after a patch, in which null removes a key, or everything."""
    if changes is None:
        return None
    if not isinstance(changes, dict):
        raise invalid("Invalid value for: metadata is not a map", location="metadata")
    return _metadata((old or {}) | changes) or None


def _metadata(value: Any) -> dict[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise invalid("Invalid value for: metadata is not a map", location="metadata")
    return {key: str(text) for key, text in value.items() if text is not None}
