"""Resources as JSON, whole or in part, and the editable part of a resource read back.

Integers of 64 bits are strings, as everywhere in the JSON API.

The ``fields`` parameter says which parts of an answer a client wants. Its grammar (Google API documentation, "Partial
responses")::

    selection = item ("," item)*
    item      = name ("/" name)* [ "(" selection ")" ]

``a/b`` picks b of a, ``a(b,c)`` picks several, ``*`` stands for any name. Lists are looked through: ``items/name`` picks
the name of every item. A name that Google's resource does not have is refused.
"""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from itertools import chain, repeat
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from multidict import istr

from local_gcs.buckets import Bucket
from local_gcs.calls import Call, Reply
from local_gcs.discovery import check_fields, google
from local_gcs.errors import RequestRefused, condition_failed, invalid, not_modified
from local_gcs.objects import (
    Contexts,
    Draft,
    ObjectVersion,
    check_storage_class,
    custom_time,
    parse_moment,
)

__all__ = [
    "EVERYTHING",
    "IF_MATCH",
    "IF_NONE_MATCH",
    "Renderer",
    "Selection",
    "draft_of",
    "etag",
    "json_reply",
    "object_reply",
    "parse_fields",
    "patched_draft",
    "permissions_reply",
    "require_etag",
]

# -------------------------------------------------------------------- fields

PUNCTUATION = frozenset("(),/")


class Selection:
    """The wanted part of one point of an answer, by names; None wants everything."""

    __slots__ = ("children",)

    def __init__(self, children: "dict[str, Selection] | None") -> None:
        self.children = children

    def of(self, name: str) -> "Selection | None":
        """The wanted part of a name; None if nothing of it is wanted."""
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
def parse_fields(text: str, schema: str | None = None) -> Selection:
    """The selection that a ``fields`` parameter states; an empty one wants everything.

    The schema is Google's of the answer; None checks no names. Refuses with 400: it is not well-formed, or the answer
    has no such field.
    """
    if not text or text == "*":
        return EVERYTHING
    tokens = _tokens(text)
    tree: dict[str, Any] = {}
    if _selection(tokens, tree, text) != "":
        raise _malformed(text)
    selection = _frozen(tree)
    if schema:
        _check_known(selection, google().schemas[schema], text)
    return selection


def _check_known(selection: Selection, shape: Any, text: str) -> None:
    """Refuse a selection that names what a shape does not have; below ``*`` any name passes."""
    shape = google().resolved(shape)
    for name, child in (selection.children or {}).items():
        if not isinstance(shape, dict):
            raise _malformed(text)
        part = {} if name == "*" else shape.get(name, shape.get("*"))
        if part is None:
            raise _malformed(text)
        if name != "*":
            _check_known(child, part, text)


def _tokens(text: str) -> Iterator[str]:
    """Names and punctuation, then empty strings without end."""
    found = (token.strip() for token in re.findall(r"[(),/]|[^(),/]+", text))
    return chain(filter(None, found), repeat(""))


def _selection(tokens: Iterator[str], tree: dict[str, Any], text: str) -> str:
    """Reads a selection into a tree and gives the token after it; an empty subtree wants everything."""
    while True:
        following = _item(tokens, tree, text)
        if following != ",":
            return following


def _item(tokens: Iterator[str], tree: dict[str, Any], text: str) -> str:
    """Reads one item into a tree and gives the token after it."""
    while True:
        name = next(tokens)
        if not name or name in PUNCTUATION:
            raise _malformed(text)
        # A name that is wanted whole stays whole, even if its parts are asked for, too.
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


def _malformed(text: str) -> RequestRefused:
    return invalid(f"Invalid field selection {text}", location="fields", reason="invalidParameter")


# -------------------------------------------------------------------- resources

Getter = Callable[[ObjectVersion], Any]
_Value = TypeVar("_Value")

PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch
TEXTS = {
    "contentType": "content_type",
    "contentEncoding": "content_encoding",
    "contentDisposition": "content_disposition",
    "contentLanguage": "content_language",
    "cacheControl": "cache_control",
}
"""Editable fields that are plain text, and where `Attributes` keeps them."""
EDITABLE = frozenset(
    {*TEXTS, "contexts", "customTime", "eventBasedHold", "metadata", "storageClass", "temporaryHold"}
)
SET_BY_SERVICE = frozenset(
    {"bucket", "componentCount", "crc32c", "etag", "generation", "id", "kind", "md5Hash", "mediaLink"}
    | {"metageneration", "name", "owner", "restoreToken", "selfLink", "size"}
    | {"hardDeleteTime", "retentionExpirationTime", "softDeleteTime", "timeCreated", "timeDeleted"}
    | {"timeFinalized", "timeStorageClassUpdated", "updated"}
)
"""Fields that a request may repeat and cannot change; an upload's checksums and name are checked and used."""
TAKEN = EDITABLE | SET_BY_SERVICE
LONGEST_CONTEXT_KEY = 256


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
    """Renders resources, with links to the server at an address without a slash at the end."""

    def __init__(self, base_url: str) -> None:
        self._api = f"{base_url}/storage/v1/b/"
        self._download = f"{base_url}/download/storage/v1/b/"
        self._fields = _object_fields(self._self_link, self._media_link)
        self.project = lru_cache(maxsize=256)(self._project)

    def object(self, version: ObjectVersion) -> dict[str, Any]:
        """The whole resource of a version."""
        return {name: value for name, get in self._fields if (value := get(version)) is not None}

    def _project(self, selection: Selection) -> Callable[[ObjectVersion], dict[str, Any]]:
        """A function that renders the wanted part of a version; `project` caches it."""
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
    """Percent-encodes a name for a path; a name of plain characters, the usual case, in one step."""
    if PLAIN(name):
        return name.replace("/", "%2F")
    return quote(name, safe="")


def _object_fields(self_link: Getter, media_link: Getter) -> list[tuple[str, Getter]]:
    """Every field of an object resource and its value; None leaves the field out."""
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
        ("contexts", lambda v: {"custom": v.contexts} if v.contexts else None),
        ("temporaryHold", lambda v: v.holds.temporary),
        ("eventBasedHold", lambda v: v.holds.event_based),
        ("retentionExpirationTime", lambda v: v.retention_expires),
        ("etag", lambda v: etag(v.generation, v.metageneration)),
        ("timeCreated", lambda v: v.time_created),
        ("updated", lambda v: v.updated),
        ("timeStorageClassUpdated", lambda v: v.class_since or v.time_created),
        ("timeFinalized", lambda v: v.time_created),
        ("timeDeleted", lambda v: v.time_deleted),
        ("softDeleteTime", lambda v: v.soft_delete_time),
        ("hardDeleteTime", lambda v: v.hard_delete_time),
    ]


def json_reply(call: Call, resource: Any) -> Reply:
    """An answer with a resource, or the part of it that the ``fields`` parameter asks for."""
    fields = call.params.get("fields")
    if fields:
        method = google().methods.get(call.method)
        resource = parse_fields(fields, method.response if method else None).apply(resource)
    return Reply(body=orjson.dumps(resource))


def permissions_reply(call: Call) -> Reply:
    """The answer to a question for permissions: every one is granted."""
    asked = call.text("permissions").split("\n")
    return json_reply(call, {"kind": "storage#testIamPermissionsResponse", "permissions": asked})


def object_reply(call: Call, renderer: Renderer, version: ObjectVersion) -> Reply:
    """An answer with the resource of a version, or the part of it that the ``fields`` parameter asks for."""
    selection = parse_fields(call.text("fields"), "Object")
    return Reply(body=orjson.dumps(renderer.project(selection)(version)))


IF_MATCH, IF_NONE_MATCH = istr("If-Match"), istr("If-None-Match")


def require_etag(headers: Mapping[str, str], tag: str) -> None:
    """Refuses with 412 or 304 where ``If-Match`` or ``If-None-Match`` does not hold for a tag (RFC 9110, section 13.1)."""
    if IF_MATCH in headers and not _names(headers[IF_MATCH], tag):
        raise condition_failed()
    if IF_NONE_MATCH in headers and _names(headers[IF_NONE_MATCH], tag):
        raise not_modified()


def _names(header: str, tag: str) -> bool:
    """Whether a list of entity tags has this one; clients send it with and without quotes."""
    tags = {part.strip().removeprefix("W/").strip('"') for part in header.split(",")}
    return "*" in tags or tag in tags


def draft_of(resource: dict[str, Any]) -> Draft:
    """The whole editable part of a resource; a field that it does not name is empty. Refuses with 400."""
    draft = patched_draft(Draft(), resource)
    if draft.storage_class:
        check_storage_class(draft.storage_class)
    return draft


def patched_draft(old: Draft, resource: dict[str, Any]) -> Draft:
    """The editable part of a version after a patch: a field that is not named stays, null removes one.

    Refuses with 400: a field has the wrong type, is unknown or not modelled, or the custom time would become earlier
    or be removed.
    """
    check_fields(resource, "Object", TAKEN)
    attributes, holds, contexts = old.attributes, old.holds, old.contexts
    changes: dict[str, Any] = {
        ours: _text(resource, theirs) for theirs, ours in TEXTS.items() if theirs in resource
    }
    if "customTime" in resource:
        wanted, before = _custom_time(resource), attributes.custom_time
        if before and (not wanted or parse_moment(wanted) < parse_moment(before)):
            raise invalid("Custom time cannot be removed or set to an earlier time.", location="customTime")
        changes["custom_time"] = wanted
    if "metadata" in resource:
        changes["metadata"] = _metadata(attributes.metadata, resource["metadata"])
    if "temporaryHold" in resource:
        holds = replace(holds, temporary=_typed(resource, "temporaryHold", bool, "boolean"))
    if "eventBasedHold" in resource:
        holds = replace(holds, event_based=_typed(resource, "eventBasedHold", bool, "boolean"))
    if "contexts" in resource:
        contexts = _contexts(contexts, resource["contexts"]) or None
    storage_class = _text(resource, "storageClass") or old.storage_class
    return Draft(replace(attributes, **changes) if changes else attributes, storage_class, holds, contexts)


def _typed(resource: dict[str, Any], name: str, kind: type[_Value], called: str) -> _Value | None:
    value = resource.get(name)
    if value is not None and not isinstance(value, kind):
        raise invalid(f"Invalid value for: {name} is not a {called}", location=name)
    return value


def _text(resource: dict[str, Any], name: str) -> str | None:
    return _typed(resource, name, str, "string") or None


def _custom_time(resource: dict[str, Any]) -> str | None:
    text = _text(resource, "customTime")
    try:
        return custom_time(text) if text else None
    except ValueError as error:
        raise invalid(f"Invalid value for: customTime '{text}'", location="customTime") from error


def _metadata(old: dict[str, str] | None, changes: Any) -> dict[str, str] | None:
    """Custom metadata after a change; null removes a key, or all of them."""
    if changes is None:
        return None
    if not isinstance(changes, dict):
        raise invalid("Invalid value for: metadata is not a map", location="metadata")
    merged: dict[str, Any] = (old or {}) | changes
    return {key: str(text) for key, text in merged.items() if text is not None} or None


def _contexts(old: Contexts | None, changes: Any) -> Contexts | None:
    """Object contexts after a change: null removes one, or all; a changed one loses its times, to get new ones."""
    custom = changes.get("custom") if isinstance(changes, dict) else changes
    if custom is None:
        return None
    if not isinstance(custom, dict):
        raise invalid("Invalid value for: contexts is not a map", location="contexts")
    contexts = dict(old or {})
    for key, payload in custom.items():
        if payload is None:
            contexts.pop(key, None)
            continue
        value = payload.get("value") if isinstance(payload, dict) else None
        if not isinstance(value, str) or not key or len(key.encode()) > LONGEST_CONTEXT_KEY:
            raise invalid(f"Invalid object context: {key}", location="contexts")
        if key.startswith("google:"):
            raise invalid("Keys that start with google: are reserved.", location="contexts")
        created = {"createTime": contexts[key]["createTime"]} if key in contexts else {}
        contexts[key] = {"value": value, **created}
    return contexts
