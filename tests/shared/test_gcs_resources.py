"""Reading pages and copies straight from bytes: exactly what the reference makes of them, its refusals too."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import UnexpectedAnswer
from shared.gcs.json_client import json_object
from shared.gcs.resources import Listed, Rewrite, read_page, read_rewrite
from shared.gcs.wire import Answer
from shared.objects import RESOURCE_FIELDS, ObjectState

URI = "gs://source/n"
USUAL = {"name": "n", "generation": "17", "size": "350", "crc32c": "AAAAAA==", "contentType": "text/plain"}

values = st.one_of(
    st.sampled_from(
        ["", "x", "1", "é", " 7 ", "-1", None, True, False, 0, 1, 2**63, 1.5, {}, [], {"k": "v"}]
    ),
    st.just({"custom": {"team": {"value": "a"}}}),
)
resources = st.fixed_dictionaries(
    {}, optional=dict.fromkeys([*RESOURCE_FIELDS.split(","), "etag"], values)
).map(lambda odd: {**USUAL, **odd})


def outcome(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except UnexpectedAnswer as error:
        return str(error)


def reference_page(answer: Answer) -> Listed:
    content = json_object(answer)
    return Listed([ObjectState.from_resource(item) for item in content["items"]], "next")


@given(st.lists(resources, max_size=3))
def test_a_page_is_read_as_the_reference_reads_it(items: list[dict[str, Any]]) -> None:
    """Numbers are texts or numbers; unset fields are absent, empty or null; whatever else they are makes no difference."""
    answer = Answer(200, orjson.dumps({"items": items, "nextPageToken": "next", "kind": "storage#objects"}))
    assert outcome(lambda: read_page(answer)) == outcome(lambda: reference_page(answer))


@given(resources)
def test_a_copy_is_read_as_the_reference_reads_it(resource: dict[str, Any]) -> None:
    """As pages are."""
    answer = Answer(200, orjson.dumps({"done": True, "resource": resource}))
    expected = outcome(lambda: Rewrite(ObjectState.of(resource, "n")))
    assert outcome(lambda: read_rewrite(answer, URI, "n")) == expected


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"done": False, "rewriteToken": "t", "resource": USUAL}, Rewrite(None, "t")),
        ({"done": "yes", "resource": USUAL}, Rewrite(None)),
        ({"rewriteToken": "t"}, Rewrite(None, "t")),
        ({"done": False}, Rewrite(None)),
        ({"done": True}, f"{URI}: a copy that is done, without the object that it made"),
        ({"done": True, "resource": "n"}, f"{URI}: a copy that is done, without the object that it made"),
    ],
)
def test_a_copy_that_is_not_done_is_none(content: dict[str, Any], expected: object) -> None:
    """Only ``true`` says that it is done."""
    assert outcome(lambda: read_rewrite(Answer(200, orjson.dumps(content)), URI, "n")) == expected


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'{"items":[', b'{"items":[]} x', b'{"kind":"\xff"}', b"\xff"]
)
def test_what_is_not_one_whole_json_object_is_incomplete(body: bytes) -> None:
    """The client asks again."""
    for read in (read_page, lambda answer: read_rewrite(answer, URI, "n")):
        with pytest.raises(ValueError, match="JSON"):
            read(Answer(200, body))
