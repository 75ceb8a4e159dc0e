"""Nonsense of every kind is refused, never answered with a 500."""

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st
from multidict import CIMultiDict

from local_gcs.server import Options, Server

NUMBERS = st.sampled_from(["0", "1", "-1", "x", "", "1.5", "9" * 40, "true"])
TEXTS = st.sampled_from(
    ["", "a", "/", "b/", "*", "[", "{a", "%", "%FF", "%F0%9F%98%80", "media", "resumable", "multipart"]
)
PARAMETERS = st.dictionaries(
    st.sampled_from(
        [
            "generation",
            "ifGenerationMatch",
            "ifGenerationNotMatch",
            "ifMetagenerationMatch",
            "ifSourceGenerationMatch",
            "sourceGeneration",
            "maxResults",
            "maxBytesRewrittenPerCall",
            "pageToken",
            "rewriteToken",
            "prefix",
            "delimiter",
            "startOffset",
            "endOffset",
            "matchGlob",
            "fields",
            "versions",
            "softDeleted",
            "uploadType",
            "upload_id",
            "name",
            "alt",
            "project",
            "filter",
            "dropContextGroups",
            "userProject",
            "generatoin",
        ]
    ),
    NUMBERS | TEXTS,
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from(["", "a", "7", "2024-01-01T00:00:00Z"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["a", "enabled", "rule", "action", "condition", "type", "custom", "value", "age"]
            ),
            inner,
        )
    ),
    max_leaves=4,
)
FIELDS = [
    "name",
    "contentType",
    "metadata",
    "customTime",
    "storageClass",
    "temporaryHold",
    "eventBasedHold",
    "sourceObjects",
    "destination",
    "labels",
    "softDeletePolicy",
    "retentionPolicy",
    "versioning",
    "location",
    "bindings",
    "md5Hash",
    "crc32c",
    "instructions",
    "contexts",
    "lifecycle",
    "billing",
    "kmsKeyName",
    "deleteSourceObjects",
]
BODIES = st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3) | JSON
NAMES = st.sampled_from(["bucket", "a", "none", "", ".", "%2F", "%ED%A0%80", "d%2Fb"])
PATHS = st.sampled_from(
    [
        "/storage/v1/b",
        "/storage/v1/b/{0}",
        "/storage/v1/b/{0}/o",
        "/storage/v1/b/{0}/o/{1}",
        "/storage/v1/b/{0}/o/{1}/rewriteTo/b/{0}/o/{2}",
        "/storage/v1/b/{0}/o/{1}/copyTo/b/{0}/o/{2}",
        "/storage/v1/b/{0}/o/{1}/moveTo/o/{2}",
        "/storage/v1/b/{0}/o/{1}/compose",
        "/storage/v1/b/{0}/o/{1}/restore",
        "/storage/v1/b/{0}/o/{1}/acl",
        "/storage/v1/b/{0}/iam",
        "/storage/v1/b/{0}/iam/testPermissions",
        "/storage/v1/b/{0}/storageLayout",
        "/storage/v1/b/{0}/lockRetentionPolicy",
        "/storage/v1/b/{0}/notificationConfigs",
        "/storage/v1/b/{0}/notificationConfigs/{1}",
        "/upload/storage/v1/b/{0}/o",
        "/download/storage/v1/b/{0}/o/{1}",
        "/batch",
        "/retry_test",
        "/retry_test/{1}",
    ]
)


@settings(max_examples=600)
@given(
    verb=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE"]),
    path=PATHS,
    names=st.tuples(st.sampled_from(["bucket", "bucket", "no-such"]), NAMES, NAMES),
    parameters=PARAMETERS,
    body=BODIES,
    content_type=st.sampled_from(
        ["application/json", "multipart/related; boundary=x", "multipart/mixed", ""]
    ),
)
def test_never_a_500(  # noqa: PLR0917 - one argument a part of a request, all given by name
    verb: str,
    path: str,
    names: tuple[str, str, str],
    parameters: dict[str, str],
    body: object,
    content_type: str,
) -> None:
    """Whatever is sent, the server knows what it did with it."""

    server = Server(Options(), "http://127.0.0.1:1")
    server.storage.create_bucket({"name": "bucket"})
    query = "&".join(f"{name}={value}" for name, value in parameters.items())
    headers = CIMultiDict({"Content-Type": content_type})
    put = "/upload/storage/v1/b/bucket/o?uploadType=media&name=a"
    assert server._api.dispatch("POST", put, headers, b"x").status == 200
    reply = server._api.dispatch(verb, f"{path.format(*names)}?{query}", headers, orjson.dumps(body))
    assert reply.status != 500, reply.body
