"""Requests counted as they are billed."""

import pytest
from testing_paths import Paths

from shared.errors import ConditionFailed
from shared.gateway import Gateway
from shared.operations import Operations, OperationsCounter


@pytest.mark.parametrize(
    ("method", "path", "billed"),
    [
        ("GET", "/storage/v1/b/bucket/o?prefix=a%2Fo", Operations(1, 0)),
        ("GET", "/storage/v1/b/o/o", Operations(1, 0)),
        ("GET", "/storage/v1/b/bucket/o/o?fields=x", Operations(0, 1)),
        ("GET", "/storage/v1/b/b/o/b%2Fo", Operations(0, 1)),
        ("GET", "/download/storage/v1/b/bucket/o/a?alt=media", Operations(0, 1)),
        ("POST", "/storage/v1/b/b/o/a/rewriteTo/b/c/o/a", Operations(1, 0)),
        ("POST", "/upload/storage/v1/b/bucket/o?uploadType=multipart", Operations(1, 0)),
        ("DELETE", "/storage/v1/b/bucket/o/a", Operations(0, 0)),
    ],
)
def test_every_request_has_its_class(method: str, path: str, billed: Operations) -> None:
    """Listing and writing are class A, reading class B, deleting is free."""
    counter = OperationsCounter()
    counter.count(method, path)
    assert counter.total() == billed


def test_the_gateway_counts_refused_requests_too(paths: Paths, gateway: Gateway) -> None:
    """They are billed like any other."""
    generation = paths.put("a", b"one")
    source, destination = paths.migration.source_ref("a"), paths.migration.destination_ref("a")
    gateway.look(source)
    gateway.look(destination)
    gateway.copy(source, destination, if_source=generation, if_destination=0)
    with pytest.raises(ConditionFailed):
        gateway.copy(source, destination, if_source=generation, if_destination=0)
    list(gateway.list_pages(source.bucket, "QPI_exports/"))
    assert gateway.operations.total() == Operations(class_a=3, class_b=2)
