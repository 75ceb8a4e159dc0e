"""The ``fields`` parameter."""

from collections.abc import Callable
from typing import Any

import pytest
from local_gcs_lab import Http

from local_gcs.resources import parse_fields

ANSWER: dict[str, Any] = {
    "kind": "k",
    "nextPageToken": "t",
    "items": [{"name": "a", "size": "1", "metadata": {"x": "1", "y": "2"}}, {"name": "b", "size": "2"}],
}


@pytest.mark.parametrize(
    ("fields", "left"),
    [
        ("", ANSWER),
        ("*", ANSWER),
        ("kind", {"kind": "k"}),
        ("kind,nextPageToken", {"kind": "k", "nextPageToken": "t"}),
        ("items", {"items": ANSWER["items"]}),
        ("items/name", {"items": [{"name": "a"}, {"name": "b"}]}),
        ("items(name)", {"items": [{"name": "a"}, {"name": "b"}]}),
        (
            "items(name,size),kind",
            {"kind": "k", "items": [{"name": "a", "size": "1"}, {"name": "b", "size": "2"}]},
        ),
        ("items(metadata/x),items/size", {"items": [{"size": "1", "metadata": {"x": "1"}}, {"size": "2"}]}),
        ("items/metadata(x,y)", {"items": [{"metadata": {"x": "1", "y": "2"}}, {}]}),
        ("items/*", {"items": ANSWER["items"]}),
        (
            "items(*/x)",
            {"items": [{"name": "a", "size": "1", "metadata": {"x": "1"}}, {"name": "b", "size": "2"}]},
        ),
        ("items,items/name", {"items": ANSWER["items"]}),
        ("items/name,items", {"items": ANSWER["items"]}),
        (" items ( name , size ) ", {"items": [{"name": "a", "size": "1"}, {"name": "b", "size": "2"}]}),
        ("nothing", {}),
        ("items(nothing)", {"items": [{}, {}]}),
    ],
)
def test_selection(fields: str, left: dict[str, Any]) -> None:
    """A selection leaves what it names, through lists and at any depth."""
    assert parse_fields(fields).apply(ANSWER) == left


@pytest.mark.parametrize(
    "fields", ["items(", "items(name", "items)", "items()", ",", "a,,b", "a/", "/a", "a(b)c", "(a)"]
)
def test_malformed(refused: Callable[..., tuple[int, str]], fields: str) -> None:
    """What is not a selection is refused, not guessed at."""
    assert refused(parse_fields, fields) == (400, "invalidParameter")


def test_over_http(http: Http, bucket: str) -> None:
    """Listings, resources and rewrites are cut down to what is asked for, and a forgotten page token is forgotten."""
    http.put(bucket, "a")
    http.put(bucket, "b")
    listed = http.list(bucket, fields="items(name,size)", maxResults=1)
    assert listed == {"items": [{"name": "a", "size": "1"}]}
    assert http.object("GET", bucket, "a", fields="name,bucket").json() == {"name": "a", "bucket": bucket}
    answer = http.rewrite((bucket, "a"), (bucket, "c"), fields="done,resource/name").json()
    assert answer == {"done": True, "resource": {"name": "c"}}
    assert http.put(bucket, "d", fields="name").json() == {"name": "d"}
    assert http.list(bucket, fields="items(")["error"]["code"] == 400
