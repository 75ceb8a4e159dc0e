"""Which API method a request asks for.

Names in a path are percent-encoded, slashes included (Cloud Storage documentation, "Encoding URI path parts"), so a path
splits at its slashes before anything is decoded.
"""

from local_gcs.errors import Refused, not_found
from local_gcs.objects import decode

__all__ = ["Target", "resolve"]

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
VERBS = ("GET", "POST", "PUT", "PATCH", "DELETE")
OBJECT_ACCESS = dict.fromkeys(VERBS, "storage.objectAccessControls")
BUCKET_ACCESS = dict.fromkeys(VERBS, "storage.bucketAccessControls")
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
FOLDERS = {"GET": "storage.folders.list"}
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
    ("managedFolders",): FOLDERS,
    ("folders",): FOLDERS,
}


def resolve(verb: str, path: str) -> Target:
    """The API method and names of a request.

    Args:
        verb: HTTP method.
        path: The path as sent, still percent-encoded.

    Raises:
        Refused: 404 or 405, there is no such method; 400, a name is not UTF-8.
    """
    methods, raw = _match(path.split("/"))
    method = methods.get(verb)
    if method is None:
        raise Refused(405, "methodNotAllowed", "Method Not Allowed")
    return method, tuple([decode(name) for name in raw])


def _match(segments: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The methods of a path by HTTP method, and its names."""
    match segments:
        case ["", "storage", "v1", "b", bucket, "o", name, *rest]:
            return _object(bucket, name, rest)
        case ["", "storage", "v1", "b", bucket, *rest]:
            return _bucket(bucket, rest)
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
    return _fixed(WITHOUT_NAMES, segments), ()


def _fixed(table: dict[tuple[str, ...], dict[str, str]], segments: list[str]) -> dict[str, str]:
    """The methods of a path, or of the rest of one, that holds no names."""
    try:
        return table[tuple(segments)]
    except KeyError:
        raise not_found() from None


def _object(bucket: str, name: str, rest: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
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
        case ["acl", *_]:
            return OBJECT_ACCESS, (bucket, name)
    raise not_found()


def _bucket(bucket: str, rest: list[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """The methods below a bucket."""
    match rest:
        case ["notificationConfigs", identifier]:
            return NOTIFICATION, (bucket, identifier)
        case ["acl" | "defaultObjectAcl", *_]:
            return BUCKET_ACCESS, (bucket,)
    return _fixed(OF_BUCKET, rest), (bucket,)
