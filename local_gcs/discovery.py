"""The names of Google's discovery document: methods, their parameters, and the fields of every resource.

``google_storage_v1.json`` is an extract of the document without its prose; its ``revision`` says which one. A test compares
it with the document that google-api-python-client carries. `not_modelled` is the one way to refuse what Google has and
this server does not model.
"""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import msgspec

from local_gcs.errors import RequestRefused

__all__ = ["DiscoveryExtract", "GoogleMethod", "check_fields", "check_names", "google", "not_modelled"]


class GoogleMethod(msgspec.Struct, frozen=True):
    """One method of Google's JSON API.

    Attributes:
        http: HTTP method, and the path below ``/storage/v1/``; names stand in braces.
        parameters: Query parameters that the method names itself.
        required: Those of them that a request must give.
        response: The schema of the answer; None for an answer without a body.
    """

    http: str
    parameters: frozenset[str]
    required: tuple[str, ...]
    response: str | None

    @property
    def verb(self) -> str:
        """HTTP method."""
        return self.http.partition(" ")[0]

    @property
    def path(self) -> str:
        """Path below ``/storage/v1/``."""
        return self.http.partition(" ")[2]


class DiscoveryExtract(msgspec.Struct, frozen=True):
    """The extract.

    Attributes:
        parameters: Query parameters that every method takes.
        methods: By their ids, such as ``storage.objects.get``.
        schemas: The shape of each resource: its fields; ``*`` stands for any name, ``#Name`` for another schema.
    """

    parameters: frozenset[str]
    methods: dict[str, GoogleMethod]
    schemas: dict[str, Any]

    def resolved(self, shape: Any) -> Any:
        """A shape, with a reference to another schema followed."""
        return self.schemas[shape[1:]] if isinstance(shape, str) and shape.startswith("#") else shape


@cache
def google() -> DiscoveryExtract:
    """The extract, read once."""
    extract = files("local_gcs").joinpath("google_storage_v1.json").read_bytes()
    return msgspec.json.decode(extract, type=DiscoveryExtract)


def not_modelled(what: str, *, location: str = "") -> RequestRefused:
    """400: Google's service has it, this server does not model it; to ignore it would be a wrong answer."""
    return RequestRefused(400, "notModelled", f"local_gcs does not model {what}.", location=location)


def check_fields(resource: Mapping[str, Any], schema: str, modelled: frozenset[str]) -> None:
    """Refuse a resource with a field that Google does not have, or that this server does not model.

    A field that is not modelled passes when its value turns it off: null, false or nothing in it. Refuses with 400.
    """
    if modelled.issuperset(resource):
        return
    for name in sorted(resource.keys() - modelled):
        if name not in google().schemas[schema]:
            raise _unknown(name)
        if not _is_off(resource[name]):
            raise not_modelled(f"the field {name} of a {schema.lower()}", location=name)


def check_names(value: Any, shape: Any) -> None:
    """Refuse a JSON value with a field, at any depth, that a shape of Google's does not have. Refuses with 400."""
    shape = google().resolved(shape)
    if isinstance(value, list):
        for item in value:
            check_names(item, shape)
    elif isinstance(value, dict) and isinstance(shape, dict):
        for name, part in value.items():
            inner = shape.get(name, shape.get("*"))
            if inner is None:
                raise _unknown(name)
            check_names(part, inner)


def _unknown(name: str) -> RequestRefused:
    return RequestRefused(400, "invalid", f"Unknown field: {name}", location=name)


def _is_off(value: Any) -> bool:
    return all(map(_is_off, value.values())) if isinstance(value, dict) else not value
