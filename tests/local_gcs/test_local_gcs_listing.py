"""Listings against a naive reference, and their cost."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from local_gcs_lab import Lab

from local_gcs.buckets import Bucket
from local_gcs.listing import ListQuery, Page, list_live, list_soft_deleted, list_versions
from local_gcs.objects import Attributes, Content

CONTENT = Content.of(b"x")
LETTERS = st.sampled_from(["a", "b", "/", "//", "é", "\ud7ff", "\ue000", "😀", "\U0010ffff", "-"])
NAMES = st.lists(LETTERS, min_size=1, max_size=6).map("".join)
PARTS = st.lists(LETTERS, max_size=3).map("".join)


def filled(names: set[str]) -> tuple[Lab, Bucket]:
    lab = Lab()
    lab.bucket("bucket")
    bucket = lab.storage.bucket("bucket")
    lab.storage.load(bucket, [(name, CONTENT, Attributes()) for name in names])
    return lab, bucket


def all_pages(bucket: Bucket, query: ListQuery, between: Callable[[], None] = lambda: None) -> list[Page]:
    pages = [list_live(bucket, query)]
    while pages[-1].next_token:
        assert len(pages) < 500, "a listing that does not end"
        between()
        pages.append(list_live(bucket, replace(query, page_token=pages[-1].next_token)))
    return pages


def expected(names: set[str], query: ListQuery) -> tuple[list[str], list[str]]:
    """Items and common prefixes, computed from all names at once."""
    items, prefixes = [], []
    for name in sorted(names, key=str.encode):
        low, high = query.start_offset, query.end_offset
        if not name.startswith(query.prefix) or name < low or (high and name >= high):
            continue
        cut = name.find(query.delimiter, len(query.prefix)) if query.delimiter else -1
        if cut < 0:
            items.append(name)
            continue
        common = name[: cut + len(query.delimiter)]
        if common not in prefixes:
            prefixes.append(common)
        if query.include_trailing_delimiter and name == common:
            items.append(name)
    return items, prefixes


QUERIES = st.builds(
    ListQuery,
    prefix=PARTS,
    delimiter=st.sampled_from(["", "/", "//", "a"]),
    start_offset=PARTS,
    end_offset=PARTS | st.none(),
    max_results=st.integers(1, 7),
    include_trailing_delimiter=st.booleans(),
)


@settings(max_examples=400)
@given(names=st.sets(NAMES, max_size=40), query=QUERIES)
@example(names={"\U0010ffff/a", "b"}, query=ListQuery(delimiter="/", max_results=1))
@example(
    names={"a/", "a/b", "a0"},
    query=ListQuery(delimiter="/", max_results=1, include_trailing_delimiter=True),
)
def test_pages_equal_the_reference(names: set[str], query: ListQuery) -> None:
    """All pages together are the naive listing, each page but the last is full, and nothing comes twice."""
    _, bucket = filled(names)
    pages = all_pages(bucket, query)
    items = [version.name for page in pages for version in page.versions]
    prefixes = [common for page in pages for common in page.prefixes]
    assert (items, prefixes) == expected(names, query)
    assert all(len(page) >= query.max_results for page in pages[:-1])


@settings(max_examples=150)
@given(
    names=st.sets(NAMES, min_size=1, max_size=30),
    delimiter=st.sampled_from(["", "/"]),
    size=st.integers(1, 5),
    data=st.data(),
)
def test_pages_survive_changes(names: set[str], delimiter: str, size: int, data: st.DataObject) -> None:
    """What is there from the first page to the last is listed exactly once, whatever else comes, goes or changes."""
    lab, bucket = filled(names)
    touched: set[str] = set()

    def change() -> None:
        name = data.draw(NAMES)
        touched.add(name)
        if name in bucket.live and data.draw(st.booleans()):
            lab.storage.delete("bucket", name)
        else:
            lab.put("bucket", name)
        overwritten = data.draw(st.sampled_from(sorted(names)))
        if overwritten in bucket.live:
            lab.put("bucket", overwritten)

    query = ListQuery(delimiter=delimiter, max_results=size)
    pages = all_pages(bucket, query, change)
    items = [version.name for page in pages for version in page.versions]
    prefixes = [common for page in pages for common in page.prefixes]
    assert len(items) == len(set(items))
    assert len(prefixes) == len(set(prefixes))
    wanted_items, wanted_prefixes = expected(names - touched, query)
    assert set(wanted_items) <= set(items)
    assert set(wanted_prefixes) <= set(prefixes)


@settings(max_examples=100)
@given(
    writes=st.lists(st.tuples(NAMES, st.booleans()), max_size=25),
    size=st.integers(1, 4),
    versioning=st.booleans(),
)
def test_versions_and_soft_deleted_page_like_the_rest(
    writes: list[tuple[str, bool]], size: int, *, versioning: bool
) -> None:
    """Every version is listed once: by name, those of a name by number, page after page."""
    lab = Lab()
    lab.bucket("bucket", versioning={"enabled": versioning})
    bucket = lab.storage.bucket("bucket")
    written = []
    for name, deleting in writes:
        written.append((name, lab.put("bucket", name).generation))
        if deleting:
            lab.storage.delete("bucket", name)
    listed = listed_by(list_versions, bucket, size)
    gone = listed_by(lambda bucket, query: list_soft_deleted(bucket, query, lab.storage.now()), bucket, size)
    assert (listed, gone) == (sorted(listed), sorted(gone))
    assert sorted(listed + gone) == sorted(written)
    if versioning:
        assert gone == []
    else:
        assert listed == [(name, version.generation) for name, version in bucket.live.items()]


def listed_by(
    lister: Callable[[Bucket, ListQuery], Page], bucket: Bucket, size: int
) -> list[tuple[str, int]]:
    """Names and generations of all pages."""
    found: list[tuple[str, int]] = []
    query = ListQuery(max_results=size)
    while True:
        assert len(found) < 500, "a listing that does not end"
        page = lister(bucket, query)
        found += [(version.name, version.generation) for version in page.versions]
        if not page.next_token:
            return found
        query = replace(query, page_token=page.next_token)


@pytest.mark.parametrize(
    ("pattern", "matching"),
    [
        ("*", {"a", "ab", "x.txt"}),
        ("a*", {"a", "ab"}),
        ("?", {"a"}),
        ("**", {"a", "ab", "x.txt", "d/a", "d/e/b.txt"}),
        ("d/**", {"d/a", "d/e/b.txt"}),
        ("**/*.txt", {"d/e/b.txt", "x.txt"}),
        ("**/a", {"a", "d/a"}),
        ("**/{a,b.txt}", {"a", "d/a", "d/e/b.txt"}),
        ("d/**/b.txt", {"d/e/b.txt"}),
        ("d/**/a", {"d/a"}),
        ("{a,x}*", {"a", "ab", "x.txt"}),
        ("[a-c]", {"a"}),
        ("[!a]*", {"x.txt"}),
        ("x.txt", {"x.txt"}),
        ("x?txt", {"x.txt"}),
        ("nothing", set()),
    ],
)
def test_globs(pattern: str, matching: set[str]) -> None:
    """A glob lists the names that it matches, with pages as ever."""
    _, bucket = filled({"a", "ab", "x.txt", "d/a", "d/e/b.txt"})
    pages = all_pages(bucket, ListQuery(match_glob=pattern, max_results=1))
    assert {version.name for page in pages for version in page.versions} == matching


@pytest.mark.parametrize("token", ["x", "eHl6", "dm5vLW51bWJlcg==", "é"])
def test_made_up_tokens(refused: Callable[..., tuple[int, str]], token: str) -> None:
    """An invented page token is refused; it does not start the listing again."""
    _, bucket = filled({"a"})
    assert refused(list_live, bucket, ListQuery(page_token=token)) == (400, "invalid")


@pytest.mark.parametrize("delimiter", ["", "/"])
def test_a_page_costs_a_page(delimiter: str) -> None:
    """The names looked at for a page do not grow with the bucket, nor with what lies below a common prefix."""
    looked = {}
    for size in (2_000, 20_000):
        _, bucket = filled({f"p{n % 5}/{n:06}" for n in range(size)} | {f"q{n:06}" for n in range(size)})
        count = 0
        names = bucket.live_names

        def counted(*args: object, names: Callable[..., object] = names, **kwargs: object) -> object:
            nonlocal count
            for name in names(*args, **kwargs):
                count += 1
                yield name

        source = type("Counted", (), {"live": bucket.live, "live_names": staticmethod(counted)})
        page = list_live(source, ListQuery(delimiter=delimiter, max_results=100))
        assert len(page) == 100
        looked[size] = count
    assert looked[2_000] == looked[20_000] <= 110
