"""The verbs of the fast client, where the gateway has none of that kind (see ``test_store_contract``)."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from testing_http import NAMES, answering, header, http
from testing_paths import Paths

from shared.errors import (
    BucketNotFound,
    ConditionFailed,
    ObjectNotFound,
    PermissionDenied,
    UnexpectedAnswer,
)
from shared.gcs.api import AsyncApi, PartAnswer, RetryPolicy, Rewrite, encoded
from shared.migration import Location
from shared.objects import ObjectRef, same
from shared.operations import Operations, OperationsCounter

T = TypeVar("T")
NOWHERE = "no-such-bucket-here"


def asked(url: str, work: Callable[[AsyncApi], Awaitable[T]], **options: Any) -> T:
    async def once() -> T:
        async with AsyncApi(endpoint=url, **options) as api:
            return await work(api)

    return asyncio.run(once())


@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("QPI_exports/qpi_answers_20240101/user_id_7.jsonl")
@example("a.b-c_d~e/../%2F\n")
def test_a_name_is_one_segment_of_a_path(name: str) -> None:
    """The short way for common names gives what the standard library's gives."""
    assert encoded(name) == quote(name, safe="")


def test_every_name_arrives_as_it_is(paths: Paths) -> None:
    """Nothing between us and the server re-encodes a name or takes it for a path."""
    migration = paths.migration
    generations = {name: paths.put(name, name.encode()) for name in NAMES}

    async def all_names(api: AsyncApi) -> list[Rewrite]:
        return [
            await api.rewrite(
                migration.source_ref(name),
                migration.destination_ref(name),
                if_source=generations[name],
                if_destination=0,
            )
            for name in NAMES
        ]

    answers = asked(paths.server.url, all_names)
    assert [made.copy.name for made in answers if made.copy] == [f"qpi_exports/{name}" for name in NAMES]
    assert sorted(paths.names()) == sorted(NAMES)
    assert all(paths.read(name) == name.encode() for name in NAMES)


def test_one_call_of_a_rewrite_says_whether_it_is_done(paths: Paths) -> None:
    """A copy that takes several calls is none before the last."""
    generation = paths.put("a", bytes(2 * 1024 * 1024))
    paths.server.set_faults(max_rewrite_bytes_per_call=1024 * 1024)
    sides = paths.migration.source_ref("a"), paths.migration.destination_ref("a")

    async def calls(api: AsyncApi) -> tuple[Rewrite, Rewrite]:
        first = await api.rewrite(*sides, if_source=generation, if_destination=0)
        return first, await api.rewrite(*sides, if_source=generation, if_destination=0, token=first.token)

    first, second = asked(paths.server.url, calls)
    assert (first.copy, first.token != "") == (None, True)
    assert second.copy is not None
    assert second.copy.size == 2 * 1024 * 1024


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{}", "not done, and cannot be gone on with"),
        (b'{"done": true}', "without the object that it made"),
        (b'{"done": true, "resource": "x"}', "without the object that it made"),
        (b'{"done": true, "resource": {}}', "not an object resource"),
    ],
)
def test_a_copy_s_answer_without_what_it_should_hold_is_one_clear_error(body: bytes, said: str) -> None:
    """Never a traceback, and never a copy."""

    async def once() -> None:
        async with answering(lambda _: http(body)) as url, AsyncApi(endpoint=url) as api:
            await api.copy(ObjectRef("b", "o"), ObjectRef("c", "o"), if_source=1, if_destination=0)

    with pytest.raises(UnexpectedAnswer, match=said):
        asyncio.run(once())


def test_what_soft_delete_holds_is_restored_only_where_nothing_is(paths: Paths) -> None:
    """And a generation that it does not hold is not there."""
    at = paths.migration.source_ref("a")
    generation = paths.put("a", b"one")
    before = paths.look("a", side="source")
    paths.delete("a")
    made = asked(paths.server.url, lambda api: api.restore(at, generation))
    assert before is not None
    assert same(before, made)
    assert paths.read("a", side="source") == b"one"
    with pytest.raises(ConditionFailed):
        asked(paths.server.url, lambda api: api.restore(at, generation))
    paths.delete("a")
    with pytest.raises(ObjectNotFound):
        asked(paths.server.url, lambda api: api.restore(at, 1))


VERBS: dict[str, Callable[[AsyncApi], Awaitable[Any]]] = {
    "restore": lambda api: api.restore(ObjectRef(NOWHERE, "a"), 1),
    "whole": lambda api: api.read_range(ObjectRef(NOWHERE, "a"), 1, first=0, size=1, whole=True),
    "range": lambda api: api.read_range(ObjectRef(NOWHERE, "a"), 1, first=5, size=1),
    "bucket": lambda api: api.bucket(NOWHERE, "versioning"),
    "page": lambda api: api.list_page(NOWHERE, "a/", "items(name)"),
}


@pytest.mark.parametrize("verb", VERBS)
def test_a_missing_bucket_is_an_error_of_its_own(paths: Paths, verb: str) -> None:
    """The rule of every verb, those of the contract included: an absent object is another error."""
    with pytest.raises(BucketNotFound, match=f"gs://{NOWHERE}: no such bucket"):
        asked(paths.server.url, VERBS[verb])


def test_a_batch_whose_bucket_is_gone_says_so_of_every_deletion_with_one_question(paths: Paths) -> None:
    """A 404 of the bucket in every part; the bucket is asked once for all of them."""
    paths.server.reset_stats()
    gone = asked(
        paths.server.url,
        lambda api: api.delete_batch(Location(NOWHERE, "a/"), [(f"{number}", 1) for number in range(100)]),
    )
    assert {type(part.error) for part in gone} == {BucketNotFound}
    assert paths.requests("storage.objects.list") == 1


def test_each_deletion_of_a_batch_has_its_own_answer(paths: Paths) -> None:
    """Deleted, overwritten, absent: in the order of the calls."""
    one, old = paths.put("one"), paths.put("two")
    paths.put("two", b"newer")
    deletions = [("one", one), ("two", old), ("three", 1)]
    parts = asked(paths.server.url, lambda api: api.delete_batch(paths.migration.source, deletions))
    assert [type(part.error) for part in parts] == [type(None), ConditionFailed, ObjectNotFound]
    assert parts[0] == PartAnswer(204, None)
    assert paths.names(side="source") == ["two"]


def test_a_batch_of_deletions_is_not_billed(paths: Paths) -> None:
    """Deleting is free; what asks for the bucket after an unclear 404 is not."""
    counter = OperationsCounter()
    generation = paths.put("a")
    asked(
        paths.server.url,
        lambda api: api.delete_batch(paths.migration.source, [("a", generation)]),
        operations=counter,
    )
    assert counter.total() == Operations()


def test_fields_of_a_bucket_are_read(paths: Paths) -> None:
    """Those, and no others."""
    bucket = paths.migration.source.bucket
    assert asked(paths.server.url, lambda api: api.bucket(bucket, "name")) == {"name": bucket}


def read(paths: Paths, relative: str, generation: int, first: int, size: int, **options: Any) -> bytes:
    whole = options.pop("whole", False)
    at = paths.migration.source_ref(relative)
    return asked(
        paths.server.url,
        lambda api: api.read_range(at, generation, first=first, size=size, whole=whole),
        **options,
    )


@pytest.mark.parametrize("name", ["a", "q?mark&x=1", "ünï/日本", "../..", "pct%20lit"])
def test_contents_are_read_whole_or_in_part_under_any_name(paths: Paths, name: str) -> None:
    """The bytes asked for, and no others."""
    data = bytes(range(256))
    generation = paths.put(name, data)
    assert read(paths, name, generation, 0, 256, whole=True) == data
    assert read(paths, name, generation, 10, 3) == data[10:13]
    assert read(paths, name, generation, 255, 1) == data[255:]
    assert read(paths, name, generation, 0, 256) == data


def test_contents_come_as_they_are_stored(paths: Paths) -> None:
    """The checksum that is listed is that of the packed bytes, and a range of them is asked for."""
    packed = gzip.compress(b"some text " * 50, mtime=0)
    generation = paths.put("a", packed, content_encoding="gzip")
    assert read(paths, "a", generation, 0, len(packed), whole=True) == packed
    assert read(paths, "a", generation, 5, 7) == packed[5:12]


def test_contents_are_those_of_the_version_named(paths: Paths) -> None:
    """An object that was overwritten is not there any more: the parts of two versions must not be joined."""
    generation = paths.put("a", b"first")
    newer = paths.put("a", b"other")
    with pytest.raises(ObjectNotFound):
        read(paths, "a", generation, 0, 5)
    assert read(paths, "a", newer, 0, 5) == b"other"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http(b"x" * 300_000), "longer than what was asked for"),
        (http(b"x" * 300_000, "206 Partial Content"), "longer than what was asked for"),
        (http(b"abc"), "a part was asked for"),
        (http(b"ab", "206 Partial Content"), "3 bytes were asked for, 2 came"),
        (http(b"abcd", "206 Partial Content"), "3 bytes were asked for, 4 came"),
    ],
)
def test_other_contents_than_were_asked_for_are_refused(answer: bytes, said: str) -> None:
    """A server that takes no notice of a range would have its first bytes read over and over."""
    heads: list[str] = []

    async def once() -> bytes:
        def reply(head: str) -> bytes:
            heads.append(head)
            return answer

        retry = RetryPolicy(deadline=0.1, initial=0.001)
        async with answering(reply) as url, AsyncApi(endpoint=url, retry=retry) as api:
            return await api.read_range(ObjectRef("b", "o"), 1, first=2, size=3)

    with pytest.raises(UnexpectedAnswer, match=f"gs://b/o: .*{said}"):
        asyncio.run(once())
    (head,) = heads  # asking again would not help
    assert head.startswith("GET /storage/v1/b/b/o/o?generation=1&alt=media HTTP/1.1")
    assert header(head, "Range") == "bytes=2-4"
    assert header(head, "Accept-Encoding") == "gzip"


@pytest.mark.parametrize("fault", [429, 503, "truncate", "reset_before"])
def test_contents_are_read_again_after_a_transient_fault(paths: Paths, fault: int | str) -> None:
    """Half of the contents are none of them."""
    data = b"x" * 1000
    generation = paths.put("a", data)
    paths.server.set_faults(rules=[{"count": 3, "status": fault}])
    retry = RetryPolicy(initial=0.001)
    assert read(paths, "a", generation, 0, 1000, whole=True, retry=retry) == data


def test_a_refusal_of_contents_says_why(paths: Paths) -> None:
    """Its words may be longer than the few bytes that were asked for."""
    generation = paths.put("a", b"x")
    paths.server.set_faults(rules=[{"count": None, "status": 403, "message": "no " + "w" * 5000}])
    with pytest.raises(PermissionDenied, match="no wwww"):
        read(paths, "a", generation, 0, 1, whole=True)
