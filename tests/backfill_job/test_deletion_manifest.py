"""The deletion manifest's form: the same bytes for the same lines, and nothing read that was changed."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.checks import Override
from backfill_job.copying.diff import judge_sides
from backfill_job.deletion.manifest import (
    CHUNK_LINES,
    ChunkIndex,
    Manifest,
    ManifestLine,
    chunk_lines,
    line_of,
    line_row,
    read_manifest,
)
from shared.errors import UsageError
from shared.migration import Location, Migration
from shared.objects import Metadata, ObjectState

MIGRATION = Migration(Location("legacy", "QPI_exports/"), Location("new", "qpi_exports/"), label="dev")

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
metadata = st.builds(
    Metadata,
    *(st.none() | texts for _ in range(6)),
    custom=st.dictionaries(texts, texts, max_size=3),
    contexts=st.dictionaries(texts, texts, max_size=3),
)
lines = st.builds(
    ManifestLine,
    texts.filter(lambda name: not name.endswith(".DS_Store")),
    st.integers(1, 2**63),
    st.integers(0, 2**50),
    texts,
    st.none() | texts,
    texts,
    metadata,
    st.integers(1, 2**63),
)


def made(some: list[ManifestLine]) -> tuple[Manifest, bytes]:
    """A manifest of these lines, and the lines' file."""
    index, data = ChunkIndex(), b""
    for line in some:
        index.add(line.name, line_row(line))
        data += line_row(line)
    whole = index.close()
    manifest = Manifest(
        "m.json",
        "r",
        "2027-01-01",
        "Ada",
        MIGRATION,
        len(some),
        5,
        0,
        index.length,
        whole,
        tuple(index.chunks),
        (Override("soak", "because", "Ada", "too soon"),),
        {"days": {}},
    )
    return manifest, data


def numbered(count: int) -> list[ManifestLine]:
    return [
        ManifestLine(f"{number:06}", number + 1, 3, "AAAA==", None, "t", Metadata("a/b"), 9)
        for number in range(count)
    ]


@given(st.lists(lines, min_size=1, max_size=30, unique_by=lambda line: line.name))
def test_what_is_written_is_read(some: list[ManifestLine]) -> None:
    """Whatever names, checksums and metadata hold; the same manifest is the same bytes."""
    some.sort(key=lambda line: line.name)
    manifest, data = made(some)
    assert read_manifest(manifest.to_json(), "m.json") == manifest
    assert manifest.sha256 == sha256(data).hexdigest()
    assert chunk_lines(manifest, 0, data) == some
    assert data.count(b"\n") == len(some)


@given(lines)
def test_a_line_is_canonical_json(line: ManifestLine) -> None:
    """Keys sorted, no spaces, UTF-8: two people write the same."""
    row = line_row(line)
    canonical = json.dumps(json.loads(row), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert row == canonical.encode() + b"\n"


@pytest.mark.parametrize("count", [1, CHUNK_LINES - 1, CHUNK_LINES, CHUNK_LINES + 1, 3 * CHUNK_LINES])
def test_chunks_leave_nothing_out(count: int) -> None:
    """Each can be read alone; together they are the lines."""
    some = numbered(count)
    manifest, data = made(some)
    read = [
        line
        for number, chunk in enumerate(manifest.chunks)
        for line in chunk_lines(manifest, number, data[chunk.offset : chunk.offset + chunk.length])
    ]
    assert read == some
    assert manifest.chunks[-1].offset + manifest.chunks[-1].length == len(data)
    firsts = [manifest.following(number) for number in range(len(manifest.chunks))]
    assert firsts == [*(chunk.first for chunk in manifest.chunks[1:]), ""]


@given(st.integers(0, 10**6), st.integers(1, 255))
def test_one_changed_byte_of_the_lines_is_refused(where: int, by: int) -> None:
    """Nothing of that chunk is deleted."""
    manifest, data = made(numbered(3))
    changed = bytearray(data)
    changed[where % len(data)] ^= by
    with pytest.raises(UsageError, match="chunk 0 was changed since the manifest was written"):
        chunk_lines(manifest, 0, bytes(changed))


def test_names_out_of_order_are_never_written() -> None:
    """A listing that is not sorted makes no manifest."""
    index = ChunkIndex()
    index.add("b", b"{}\n")
    for name in ("b", "a"):
        with pytest.raises(ValueError, match="came after"):
            index.add(name, b"{}\n")


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    content = json.loads(made(numbered(CHUNK_LINES + 5))[0].to_json())
    change(content)
    return json.dumps(content).encode()


@pytest.mark.parametrize(
    ("contents", "said"),
    [
        (b"", "is not a deletion manifest"),
        (b"[]", "is not a deletion manifest"),
        (b'{"format": 1}', "has the format 1; this program reads"),
        (changed(lambda c: c.update(format="qpi-exports-migration/deletion-manifest/2")), "has the format"),
        (changed(lambda c: c.pop("objects")), "damaged"),
        (changed(lambda c: c.update(objects="7")), "where int was expected"),
        (changed(lambda c: c.update(objects=True)), "where int was expected"),
        (changed(lambda c: c.update(objects=7)), "where 7 and"),
        (changed(lambda c: c["chunks"].pop()), "its chunks are 1,000 lines"),
        (changed(lambda c: c["chunks"].reverse()), "chunk 0 does not follow"),
        (changed(lambda c: c["chunks"][1].update(first="000001")), "chunk 1 does not follow"),
        (changed(lambda c: c["chunks"][1].update(offset=3)), "chunk 1 does not follow"),
        (changed(lambda c: c["chunks"][0].update(extra=1)), "damaged"),
        (changed(lambda c: c["lines"].update(name="../m.jsonl")), "its lines are called"),
        (
            changed(lambda c: c.update(name="a/m.json", lines={**c["lines"], "name": "a/m.jsonl"})),
            "lines are",
        ),
        (changed(lambda c: c.update(source="gs://legacy/QPI_exports")), "a prefix ends in"),
    ],
    ids=range(16),
)
def test_a_damaged_or_foreign_head_is_refused_with_a_reason(contents: bytes, said: str) -> None:
    """It is never guessed at."""
    with pytest.raises(UsageError) as refused:
        read_manifest(contents, "m.json")
    assert said in str(refused.value)


def rebound(line: ManifestLine, **facts: object) -> tuple[Manifest, bytes]:
    """A manifest whose checksums fit a line that no program of ours would write."""
    content = {**json.loads(line_row(line)), **facts}
    row = json.dumps(content).encode() + b"\n"
    manifest = made([line])[0]
    chunk = replace(manifest.chunks[0], length=len(row), sha256=sha256(row).hexdigest())
    return replace(manifest, chunks=(chunk,)), row


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"generation": "0"}, "is not a generation"),
        ({"generation": 7}, "is not a generation"),
        ({"destination_generation": "-1"}, "is not a generation"),
        ({"name": "other"}, "has other names than the manifest says"),
        ({"metadata": {"colour": "red"}}, "is damaged"),
        ({"size": "3"}, "is damaged"),
    ],
    ids=range(6),
)
def test_a_line_that_could_not_be_meant_is_refused(facts: dict[str, object], said: str) -> None:
    """Generation 0 would mean "no object" in a condition."""
    manifest, row = rebound(numbered(1)[0], **facts)
    with pytest.raises(UsageError, match=said):
        chunk_lines(manifest, 0, row)


def test_a_name_that_was_never_migrated_is_refused() -> None:
    """It has no copy, whatever the manifest says."""
    manifest, data = made([numbered(1)[0]._replace(name="a/.DS_Store")])
    with pytest.raises(UsageError, match="which was never migrated"):
        chunk_lines(manifest, 0, data)
    manifest, data = made([numbered(1)[0]._replace(name="_migration/other/state.json")])
    assert chunk_lines(manifest, 0, data)
    whole = Migration(Location("legacy", ""), MIGRATION.destination)
    with pytest.raises(UsageError, match="which was never migrated"):
        chunk_lines(replace(manifest, migration=whole), 0, data)


def state(**facts: Any) -> ObjectState:
    return ObjectState("n", 7, 1, 3, "AAAA==", "md5", "t", "t", Metadata())._replace(**facts)


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        (state(), None),
        (None, state()),
        (state(), state(size=4)),
        (state(), state(metadata=Metadata("x"))),
        (state(crc32c=None), state(crc32c=None)),
        (state(md5=None), state()),
    ],
    ids=["missing", "extra", "another size", "other metadata", "no checksum", "crc32c alone"],
)
def test_only_what_is_proven_equal_becomes_a_line(
    source: ObjectState | None, destination: ObjectState | None
) -> None:
    """Anything else is an error of the program, and ends the run."""
    with pytest.raises(ValueError, match="is not proven equal"):
        line_of(judge_sides("n", source, destination, MIGRATION))
    assert line_of(judge_sides("n", state(), state(generation=8), MIGRATION)).destination_generation == 8
