"""Which API method a request asks for, and whether its parameters are understood.

Names in a path are percent-encoded, slashes included (Cloud Storage documentation, "Encoding URI path parts"). So a path
splits at its slashes before anything is decoded.

Apart from `api` because its tables are the list of what is served. Tests compare them with Google's discovery document, and
a proxy in the tests reads from them which rights a request needs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from operator import itemgetter

from multidict import istr

from local_gcs.discovery import GoogleMethod, google, not_modelled
from local_gcs.errors import RequestRefused, invalid, not_found
from local_gcs.objects import OF_OBJECT, OF_SOURCE, decode_segment
from local_gcs.resources import parse_fields

__all__ = ["MODELLED", "WITHOUT_EFFECT", "Target", "check_request", "is_meant", "known_method", "resolve"]

Target = tuple[str, tuple[str, ...]]
"""API method, and the decoded names of the path."""

UPLOADS = ("/upload/storage/v1/b/{bucket}/o", "/resumable/upload/storage/v1/b/{bucket}/o")
OWN_PATHS = {
    "storage.objects.download": ("GET /download/storage/v1/b/{bucket}/o/{object}",),
    "storage.objects.insert": tuple(f"{verb} {path}" for path in UPLOADS for verb in ("POST", "PUT")),
    "storage.objects.cancelUpload": tuple(f"DELETE {path}" for path in UPLOADS),
    "storage.buckets.list": ("GET /storage/v1/b/",),
    "storage.buckets.insert": ("POST /storage/v1/b/",),
    "storage.batch": ("POST /batch/storage/v1", "POST /batch"),
    "retry_test.insert": ("POST /retry_test",),
    "retry_test.list": ("GET /retry_test", "GET /retry_tests"),
    "retry_test.get": ("GET /retry_test/{id}",),
    "retry_test.delete": ("DELETE /retry_test/{id}",),
}
"""Paths besides those of the discovery document: contents, batches, a slash at the end, and retry scripts."""

OF_BUCKET_CONDITIONS = ("ifMetagenerationMatch", "ifMetagenerationNotMatch")
OF_LISTING = ("delimiter", "endOffset", "pageToken", "prefix", "startOffset")
MODELLED: Mapping[str, frozenset[str]] = {
    method: frozenset(names)
    for method, names in {
        "storage.buckets.delete": OF_BUCKET_CONDITIONS,
        "storage.buckets.get": OF_BUCKET_CONDITIONS,
        "storage.buckets.getIamPolicy": (),
        "storage.buckets.getStorageLayout": (),
        "storage.buckets.insert": ("project",),
        "storage.buckets.list": ("maxResults", "pageToken", "prefix", "project"),
        "storage.buckets.lockRetentionPolicy": ("ifMetagenerationMatch",),
        "storage.buckets.patch": OF_BUCKET_CONDITIONS,
        "storage.buckets.setIamPolicy": (),
        "storage.buckets.testIamPermissions": ("permissions",),
        "storage.buckets.update": OF_BUCKET_CONDITIONS,
        "storage.folders.list": (*OF_LISTING, "pageSize"),
        "storage.managedFolders.list": ("pageSize", "pageToken", "prefix"),
        "storage.notifications.delete": (),
        "storage.notifications.get": (),
        "storage.notifications.insert": (),
        "storage.notifications.list": (),
        "storage.objects.compose": ("dropContextGroups", "ifGenerationMatch", "ifMetagenerationMatch"),
        "storage.objects.copy": (*OF_OBJECT, *OF_SOURCE, "sourceGeneration"),
        "storage.objects.delete": (*OF_OBJECT, "generation"),
        "storage.objects.get": (*OF_OBJECT, "generation", "softDeleted"),
        "storage.objects.insert": (*OF_OBJECT, "contentEncoding", "name"),
        "storage.objects.list": (
            *OF_LISTING,
            *("filter", "includeTrailingDelimiter", "matchGlob", "maxResults", "softDeleted", "versions"),
        ),
        "storage.objects.move": (*OF_OBJECT, *OF_SOURCE),
        "storage.objects.patch": (*OF_OBJECT, "generation"),
        "storage.objects.restore": (*OF_OBJECT, "generation"),
        "storage.objects.rewrite": (
            *(*OF_OBJECT, *OF_SOURCE, "sourceGeneration"),
            *("dropContextGroups", "maxBytesRewrittenPerCall", "rewriteToken"),
        ),
        "storage.objects.testIamPermissions": ("generation", "permissions"),
        "storage.objects.update": (*OF_OBJECT, "generation"),
        "storage.projects.serviceAccount.get": (),
    }.items()
}
"""Each served method of Google's, and those of its own parameters that do here what they do there."""

WITHOUT_EFFECT = frozenset(
    {"copySourceAcl", "includeFoldersAsPrefixes", "optionsRequestedPolicyVersion"}
    | {"projection", "returnPartialSuccess"}
)
"""Parameters that change nothing where there are neither access control lists, folders nor unreachable places."""
WITHOUT_EFFECT_HERE = {"storage.buckets.getStorageLayout": frozenset({"prefix"})}
"""The same for one method: this prefix only says for which names a permission is asked."""

SERVED = MODELLED.keys() | OWN_PATHS.keys()
BUSY = {f"storage.objects.{verb}" for verb in ("delete", "get", "insert", "patch", "rewrite", "update")}
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
SYSTEM = frozenset({"$.xgafv", "access_token", "callback", "upload_id", "upload_protocol", "userProject"})
"""Parameters of Google's front end, and the project that pays, which the API checks for requester-pays buckets."""
REFUSED_HEADERS = (istr("X-Goog-Encryption-Algorithm"), istr("X-Goog-Copy-Source-Encryption-Algorithm"))

FINER = {
    "storage.objects.download": "storage.objects.get",
    "storage.objects.cancelUpload": "storage.objects.insert",
}
"""Names under which this server counts a part of a method of Google's."""
ALIASES = {"storage.serviceaccount.get": "storage.projects.serviceAccount.get"}
"""Names of Google's storage-testbench that its discovery document does not have."""


@dataclass(frozen=True, slots=True)
class _Route:
    """One path of one method: the segments that are not names, how to pick these, and the positions of the names."""

    method: str
    literals: tuple[str, ...]
    pick: Callable[[list[str]], tuple[str, ...]]
    names: tuple[int, ...]


@cache
def _routes() -> dict[tuple[str, int], list[_Route]]:
    """All paths, by HTTP method and number of segments; those of Google's methods that are not modelled, too."""
    paths = [(name, f"{facts.verb} /storage/v1/{facts.path}") for name, facts in google().methods.items()]
    routes: dict[tuple[str, int], list[_Route]] = {}
    for name, path in [*paths, *((name, path) for name, own in OWN_PATHS.items() for path in own)]:
        verb, _, rest = path.partition(" ")
        segments = rest.split("/")
        names = tuple(n for n, segment in enumerate(segments) if segment.startswith("{"))
        fixed = [n for n in range(len(segments)) if n not in names]
        route = _Route(name, tuple(segments[n] for n in fixed), itemgetter(*fixed), names)
        routes.setdefault((verb, len(segments)), []).append(route)
    for found in routes.values():
        # The more of a path is fixed, the better it fits; of equals, a busy method comes first.
        found.sort(key=lambda route: (-len(route.literals), route.method not in BUSY))
    return routes


def resolve(verb: str, path: str) -> Target:
    """The API method and names of a request, whose path is still percent-encoded.

    Refuses with 404 or 405 if there is no such method, or 400 if a name is not UTF-8 or the method is not modelled.
    """
    segments = path.split("/")
    route = _route(verb, segments)
    if route is None:
        if any(_route(other, segments) for other in VERBS):
            raise RequestRefused(405, "methodNotAllowed", "Method Not Allowed")
        raise not_found()
    if route.method not in SERVED:
        raise not_modelled(f"the method {route.method}")
    return route.method, tuple([decode_segment(segments[n]) for n in route.names])


def _route(verb: str, segments: list[str]) -> _Route | None:
    for route in _routes().get((verb, len(segments)), ()):
        if route.pick(segments) == route.literals:
            return route
    return None


# -------------------------------------------------------------------- parameters


@cache
def _accepted(name: str) -> frozenset[str]:
    """The parameters that a request of one of Google's methods may have."""
    harmless = (WITHOUT_EFFECT & google().methods[name].parameters) | WITHOUT_EFFECT_HERE.get(
        name, frozenset()
    )
    return MODELLED[name] | harmless | google().parameters | SYSTEM


def check_request(method: str, params: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Refuses with 400 a request that names what is unknown or not modelled, or leaves out what it must name."""
    if REFUSED_HEADERS[0] in headers or REFUSED_HEADERS[1] in headers:
        raise not_modelled("customer-supplied encryption keys")
    name = FINER.get(method, method)
    known = google().methods.get(name)
    if known is None:
        return
    if "fields" in params:
        parse_fields(params["fields"], known.response)
    accepted = _accepted(name)
    if not accepted.issuperset(params):
        _refuse_others(params, accepted, known)
    for parameter in known.required:
        if not params.get(parameter) and "upload_id" not in params:
            raise invalid(f"Required parameter: {parameter}", location=parameter, reason="required")


def _refuse_others(params: Mapping[str, str], accepted: frozenset[str], known: GoogleMethod) -> None:
    """Refuses a parameter that is unknown, or not modelled and not turned off."""
    for name in sorted(params.keys() - accepted):
        if name not in known.parameters:
            raise invalid(f"Unknown parameter: {name}", location=name, reason="invalidParameter")
        if params[name].lower() not in {"", "false"}:
            raise not_modelled(f"the parameter {name}", location=name)


def is_meant(wanted: str, method: str) -> bool:
    """Whether a fault rule or a retry script for one name is meant for a request of a method."""
    return wanted == method or FINER.get(method) == wanted or ALIASES.get(wanted) == method


def known_method(name: str) -> str:
    """Gives a name back that a rule may use; refuses with 400, because a rule for a misspelt one would never hit."""
    if name not in MODELLED and name not in FINER and name not in ALIASES and name != "storage.batch":
        raise invalid(f"method: {name!r} is not served", location="method")
    return name
