"""The storage class of a copy: that of its source, unless the operator asks for another one.

A rewrite without a body carries all metadata, and gives the copy the default class of its bucket. A rewrite with a body can
name the class, but carries no metadata. So the body names all of it (Cloud Storage reference, "Objects: rewrite"). Object contexts
are carried in both cases ("Use object contexts").

Both lanes import it, and both clients.
"""

from typing import Any

from shared.objects import ObjectState

__all__ = ["CLASSES", "MINIMUM_DAYS", "STANDARD", "another_class", "in_class", "named_class", "resource_like"]

STANDARD = "STANDARD"

CLASSES = (STANDARD, "NEARLINE", "COLDLINE", "ARCHIVE")
"""The classes that a client may name (documentation, "Storage classes")."""

MINIMUM_DAYS = {"NEARLINE": 30, "COLDLINE": 90, "ARCHIVE": 365}
"""For how many days the storage of an object is billed at least (documentation, "Storage classes")."""


def in_class(source: ObjectState, storage_class: str) -> ObjectState:
    """The source as its copy shall be: in this class, or in its own where that is empty."""
    return source._replace(storage_class=storage_class) if storage_class else source


def named_class(wanted: ObjectState) -> bool:
    """Whether a copy needs its class named: a bucket's default is the standard class, until an answer shows another one."""
    return wanted.storage_class not in {"", STANDARD}


def another_class(wanted: ObjectState, copy: ObjectState) -> bool:
    """Whether a copy has another class than wanted, as far as both are known."""
    return bool(wanted.storage_class and copy.storage_class) and wanted.storage_class != copy.storage_class


def resource_like(wanted: ObjectState) -> dict[str, Any]:
    """The body of a rewrite that gives the copy this class, and all metadata that a rewrite without a body carries."""
    metadata = wanted.metadata
    named = {
        "storageClass": wanted.storage_class,
        "contentType": metadata.content_type,
        "contentEncoding": metadata.content_encoding,
        "contentDisposition": metadata.content_disposition,
        "contentLanguage": metadata.content_language,
        "cacheControl": metadata.cache_control,
        "customTime": metadata.custom_time,
        "metadata": dict(metadata.custom),
    }
    return {name: value for name, value in named.items() if value}
