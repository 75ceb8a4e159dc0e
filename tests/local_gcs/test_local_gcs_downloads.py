"""Downloads: a gzip object is unpacked for a client that does not accept gzip."""

import gzip

import pytest
from local_gcs_lab import Http

from local_gcs.waiting import HANGS

TEXT = b"some text " * 50
PACKED = gzip.compress(TEXT[:200], mtime=0) + gzip.compress(TEXT[200:], mtime=0)
PLAIN = {"Accept-Encoding": "identity"}
GZIP = {"Accept-Encoding": "gzip, deflate"}


def read(http: Http, bucket: str, headers: dict[str, str]) -> tuple[int, bytes, str | None]:
    path = f"{http.url}/storage/v1/b/{bucket}/o/a?alt=media"
    with http.session.get(path, headers=headers, stream=True, timeout=HANGS) as answer:
        return answer.status_code, answer.raw.read(), answer.headers.get("Content-Encoding")


def put(http: Http, bucket: str, data: bytes, **resource: str) -> None:
    assert http.put(bucket, "a", data).status_code == 200
    http.ask("PATCH", f"/storage/v1/b/{bucket}/o/a", json=resource)


def test_gzip_is_sent_as_stored_to_a_client_that_accepts_it(http: Http, bucket: str) -> None:
    """A range is one of the packed bytes."""
    put(http, bucket, PACKED, contentEncoding="gzip")
    assert read(http, bucket, GZIP) == (200, PACKED, "gzip")
    assert read(http, bucket, GZIP | {"Range": "bytes=3-9"}) == (206, PACKED[3:10], "gzip")


def test_gzip_is_sent_unpacked_and_whole_to_any_other_client(http: Http, bucket: str) -> None:
    """A range is ignored, as Cloud Storage does."""
    put(http, bucket, PACKED, contentEncoding="gzip")
    assert read(http, bucket, PLAIN) == (200, TEXT, None)
    assert read(http, bucket, PLAIN | {"Range": "bytes=3-9"}) == (200, TEXT, None)


@pytest.mark.parametrize(
    ("data", "resource"),
    [
        (PACKED, {}),
        (PACKED, {"contentEncoding": "gzip", "cacheControl": "private, no-transform"}),
        (TEXT, {"contentEncoding": "gzip"}),
        (TEXT, {"contentEncoding": "br"}),
        (PACKED, {"contentEncoding": "br"}),
    ],
)
def test_what_cannot_be_unpacked_is_sent_as_stored(
    http: Http, bucket: str, data: bytes, resource: dict[str, str]
) -> None:
    """It has no such encoding, the object forbids it, or the bytes are not what the encoding says."""
    put(http, bucket, data, **resource)
    assert read(http, bucket, PLAIN) == (200, data, resource.get("contentEncoding"))
