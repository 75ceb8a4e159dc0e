"""Which API method a request asks for, and whether its parameters are understood.

Names in a path are percent-encoded, slashes included (Cloud Storage documentation, "Encoding URI path parts"), so a path
splits at its slashes before anything is decoded.

A module of its own because its tables are the list of what is served: tests compare them with Google's discovery
document, and a proxy in the tests reads rights from them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from multidict import istr

from local_gcs.discovery import google, not_modelled
from local_gcs.errors import Refused, invalid, not_found
from local_gcs.objects import OF_OBJECT, OF_SOURCE, decode
from local_gcs.resources import parse_fields

__all__ = ["MODELLED", "WITHOUT_EFFECT", "Target", "check_request", "is_meant", "known_method", "resolve"]

Target = tuple[str, tuple[str, ...]]
"""API method, and the decoded names of the path."""

OBJECT = {
    "GET": "storage.objects.get",
    "DELETE": "storage.objects.delete",
    "PATCH": "storage.objects.patch",
    "PUT": "storage.objects.update",
}
UPLOAD = {
    "POST": "storage.objects.insert",
    "PUT": "storage.objects.insert",
    "DELETE": "storage.objects.cancelUpload",
}
NOTIFICATION = {"GET": "storage.notifications.get", "DELETE": "storage.notifications.delete"}
REWRITE = {"POST": "storage.objects.rewrite"}
COPY = {"POST": "storage.objects.copy"}
MOVE = {"POST": "storage.objects.move"}
COMPOSE = {"POST": "storage.objects.compose"}
RESTORE = {"POST": "storage.objects.restore"}
OBJECT_PERMISSIONS = {"GET": "storage.objects.testIamPermissions"}
RETRY_TEST = {"GET": "retry_test.get", "DELETE": "retry_test.delete"}
DOWNLOAD = {"GET": "storage.objects.download"}
SERVICE_ACCOUNT = {"GET": "storage.projects.serviceAccount.get"}
WITHOUT_NAMES = {
    ("", "storage", "v1", "b"): {"GET": "storage.buckets.list", "POST": "storage.buckets.insert"},
    ("", "batch", "storage", "v1"): {"POST": "storage.batch"},
    ("", "batch"): {"POST": "storage.batch"},
    ("", "retry_test"): {"GET": "retry_test.list", "POST": "retry_test.insert"},
    ("", "retry_tests"): {"GET": "retry_test.list"},
}
OF_BUCKET = {
    (): {
        "GET": "storage.buckets.get",
        "DELETE": "storage.buckets.delete",
        "PATCH": "storage.buckets.patch",
        "PUT": "storage.buckets.update",
    },
    ("o",): {"GET": "storage.objects.list"},
    ("storageLayout",): {"GET": "storage.buckets.getStorageLayout"},
    ("iam",): {"GET": "storage.buckets.getIamPolicy", "PUT": "storage.buckets.setIamPolicy"},
    ("iam", "testPermissions"): {"GET": "storage.buckets.testIamPermissions"},
    ("lockRetentionPolicy",): {"POST": "storage.buckets.lockRetentionPolicy"},
    ("notificationConfigs",): {"GET": "storage.notifications.list", "POST": "storage.notifications.insert"},
    ("managedFolders",): {"GET": "storage.managedFolders.list"},
    ("folders",): {"GET": "storage.folders.list"},
}

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
            "filter",
            "includeTrailingDelimiter",
            "matchGlob",
            "maxResults",
            "softDeleted",
            "versions",
        ),
        "storage.objects.move": (*OF_OBJECT, *OF_SOURCE),
        "storage.objects.patch": (*OF_OBJECT, "generation"),
        "storage.objects.restore": (*OF_OBJECT, "generation"),
        "storage.objects.rewrite": (
            *OF_OBJECT,
            *OF_SOURCE,
            "dropContextGroups",
            "maxBytesRewrittenPerCall",
            "rewriteToken",
            "sourceGeneration",
        ),
        "storage.objects.testIamPermissions": ("generation", "permissions"),
        "storage.objects.update": (*OF_OBJECT, "generation"),
        "storage.projects.serviceAccount.get": (),
    }.items()
}
"""Each served method of Google's, and those of its own parameters that do here what they do there."""

WITHOUT_EFFECT = frozenset(
    {
        "copySourceAcl",
        "includeFoldersAsPrefixes",
        "optionsRequestedPolicyVersion",
        "projection",
        "returnPartialSuccess",
    }
)
"""Parameters that change nothing where there are neither access control lists, folders nor unreachable places."""
WITHOUT_EFFECT_HERE = {"storage.buckets.getStorageLayout": frozenset({"prefix"})}
"""The same for one method: this prefix only says for which names a permission is asked."""

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


def resolve(verb: str, path: str) -> Target:
    """The API method and names of a request.

    Args:
        verb: HTTP method.
        path: The path as sent, still percent-encoded.

    Raises:
        Refused: 404 or 405, there is no such method; 400, a name is not UTF-8, or Google serves a method there which
            this server does not model.
    """
    methods, raw = _match(path.split("/"), verb)
    method = methods.get(verb)
    if method is None:
        raise _missing(verb, path, Refused(405, "methodNotAllowed", "Method Not Allowed"))
    return method, tuple([decode(name) for name in raw])


def _match(segments: list[str], verb: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The methods of a path by HTTP method, and its names."""
    match segments:
        case ["", "storage", "v1", "b", bucket, "o", name, *rest]:
            return _object(bucket, name, rest, verb)
        case ["", "storage", "v1", "b", ""]:
            return WITHOUT_NAMES["", "storage", "v1", "b"], ()
        case ["", "storage", "v1", "b", bucket, *rest]:
            return _bucket(bucket, rest, verb)
        case ["", "upload", "storage", "v1", "b", bucket, "o"]:
            return UPLOAD, (bucket,)
        case ["", "resumable", "upload", "storage", "v1", "b", bucket, "o"]:
            return UPLOAD, (bucket,)
        case ["", "download", "storage", "v1", "b", bucket, "o", name]:
            return DOWNLOAD, (bucket, name)
        case ["", "storage", "v1", "projects", project, "serviceAccount"]:
            return SERVICE_ACCOUNT, (project,)
        case ["", "retry_test", test]:
            return RETRY_TEST, (test,)
    if tuple(segments) in WITHOUT_NAMES:
        return WITHOUT_NAMES[tuple(segments)], ()
    raise _missing(verb, "/".join(segments), not_found())


def _object(bucket: str, name: str, rest: list[str], verb: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The methods below an object."""
    match rest:
        case []:
            return OBJECT, (bucket, name)
        case ["rewriteTo", "b", to_bucket, "o", to_name]:
            return REWRITE, (bucket, name, to_bucket, to_name)
        case ["copyTo", "b", to_bucket, "o", to_name]:
            return COPY, (bucket, name, to_bucket, to_name)
        case ["moveTo", "o", to_name]:
            return MOVE, (bucket, name, to_name)
        case ["compose"]:
            return COMPOSE, (bucket, name)
        case ["restore"]:
            return RESTORE, (bucket, name)
        case ["iam", "testPermissions"]:
            return OBJECT_PERMISSIONS, (bucket, name)
    raise _missing(verb, "/".join(["/storage/v1/b", bucket, "o", name, *rest]), not_found())


def _bucket(bucket: str, rest: list[str], verb: str) -> tuple[dict[str, str], tuple[str, ...]]:
    """The methods below a bucket."""
    match rest:
        case ["notificationConfigs", identifier]:
            return NOTIFICATION, (bucket, identifier)
    if tuple(rest) in OF_BUCKET:
        return OF_BUCKET[tuple(rest)], (bucket,)
    raise _missing(verb, "/".join(["/storage/v1/b", bucket, *rest]), not_found())


def _missing(verb: str, path: str, otherwise: Refused) -> Refused:
    """The refusal of what is not served: of a method that Google has, or else as Google refuses nonsense."""
    name = google().method_of(verb, path.removeprefix("/storage/v1/"))
    return otherwise if name is None else not_modelled(f"the method {name}")


# -------------------------------------------------------------------- parameters


@dataclass(frozen=True, slots=True)
class _Parameters:
    """What a request of one method may and must name in its query."""

    accepted: frozenset[str]
    required: tuple[str, ...]
    of_google: frozenset[str]
    response: str | None


@cache
def _parameters(method: str) -> _Parameters | None:
    """What a method takes; None for a method that is not Google's."""
    name = FINER.get(method, method)
    known = google().methods.get(name)
    if known is None:
        return None
    harmless = (WITHOUT_EFFECT & known.parameters) | WITHOUT_EFFECT_HERE.get(name, frozenset())
    return _Parameters(
        MODELLED[name] | harmless | google().parameters | SYSTEM,
        known.required,
        known.parameters,
        known.response,
    )


def check_request(method: str, params: Mapping[str, str], headers: Mapping[str, str]) -> None:
    """Refuses a request that names what is unknown or not modelled, or leaves out what it must name.

    Raises:
        Refused: 400.
    """
    if REFUSED_HEADERS[0] in headers or REFUSED_HEADERS[1] in headers:
        raise not_modelled("customer-supplied encryption keys")
    known = _parameters(method)
    if known is None:
        return
    if "fields" in params:
        parse_fields(params["fields"], known.response)
    if not known.accepted.issuperset(params):
        _refuse_others(params, known)
    for name in known.required:
        if not params.get(name) and "upload_id" not in params:
            raise invalid(f"Required parameter: {name}", location=name, reason="required")


def _refuse_others(params: Mapping[str, str], known: _Parameters) -> None:
    """Refuses a parameter that is unknown, or not modelled and not turned off."""
    for name in sorted(params.keys() - known.accepted):
        if name not in known.of_google:
            raise invalid(f"Unknown parameter: {name}", location=name, reason="invalidParameter")
        if params[name].lower() not in {"", "false"}:
            raise not_modelled(f"the parameter {name}", location=name)


def is_meant(wanted: str, method: str) -> bool:
    """Whether a fault rule or a retry script for one name is meant for a request of a method."""
    return wanted == method or FINER.get(method) == wanted or ALIASES.get(wanted) == method


def known_method(name: str) -> str:
    """Gives the name back if a rule or a script may use it: a rule for a misspelt one would never hit.

    Raises:
        Refused: 400.
    """
    if name not in MODELLED and name not in FINER and name not in ALIASES and name != "storage.batch":
        raise invalid(f"method: {name!r} is not served", location="method")
    return name
