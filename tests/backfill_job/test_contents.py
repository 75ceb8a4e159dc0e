"""The contents check: which objects are read, how, and whose their problems are."""

import asyncio
import gzip
import json
import random
import subprocess
import sys
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import google_crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import to_builtins
from testing_http import HASTY, answering, http
from testing_paths import Paths

from backfill_job.contents.check import (
    EXAMPLES_OF_A_KIND,
    ContentsScope,
    ContentsTally,
    ProblemSide,
    check_contents,
    merged_contents,
)
from backfill_job.contents.lines import Bounds, LineProblem
from backfill_job.contents.reader import ReadLimits, Unpacking, read_back
from backfill_job.contents.rows import ProblemKind
from backfill_job.copying.diff import DiffLine, merge_pages
from backfill_job.run.stopping import Stop
from local_gcs.waiting import HANGS
from shared.errors import (
    BucketNotFound,
    Interrupted,
    PermissionDenied,
    Refused,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
    UsageError,
)
from shared.gcs.api import AsyncApi, RetryPolicy
from shared.gcs.listing import list_pages
from shared.json_io import convert
from shared.objects import Metadata, ObjectRef, ObjectState
from shared.verification import ContentsFound, Example, Problem, Severity

GET = "storage.objects.get"
DAY = "qpi_answers_20240101/"
USER = DAY + "user_id_1.jsonl"
SWIFT = RetryPolicy(deadline=HANGS, initial=0.001, maximum=0.01)
ALL = ContentsScope.parse("all")


def row(user: str = "1", **fields: Any) -> bytes:
    answers = [{"question_id": "q", "answer_ids": ["a"]}]
    made = {"user_id": user, "submitted_at": "2024-01-01T00:00:00Z", "answers": answers} | fields
    return json.dumps(made).encode() + b"\n"


BAD = row(extra=1)


@dataclass(frozen=True)
class Run:
    """Contents checks over a pair of prefixes."""

    paths: Paths

    def both(self, relative: str, data: bytes, **attributes: Any) -> None:
        self.paths.put(relative, data, side="source", **attributes)
        self.paths.put(relative, data, side="destination", **attributes)

    def pairs(self) -> list[DiffLine]:
        """Both sides as they are listed now."""

        async def listed() -> list[DiffLine]:
            async with AsyncApi(endpoint=self.paths.server.url) as api:
                sides = [list_pages(api, side) for side in (self.paths.migration.source, self.destination)]
                return [pair async for batch in merge_pages(*sides, self.paths.migration) for pair in batch]

        return asyncio.run(listed())

    @property
    def destination(self) -> Any:
        return self.paths.migration.destination

    def check(self, pairs: list[DiffLine] | None = None, **options: Any) -> ContentsFound:
        """Check what is listed now, or what was listed before."""
        given_pairs = self.pairs() if pairs is None else pairs
        self.paths.server.reset_stats()

        async def batches() -> AsyncGenerator[Iterable[DiffLine], None]:
            for begin in range(0, len(given_pairs), 7):
                yield iter(given_pairs[begin : begin + 7])

        async def once() -> ContentsFound:
            source = options.pop("batches", None) or batches()
            retry = options.pop("retry", SWIFT)
            make = options.pop("api", AsyncApi)
            async with make(endpoint=self.paths.server.url, retry=retry) as api:
                scope = options.pop("scope", ALL)
                options.setdefault("stop", Stop())
                return await check_contents(source, api, self.paths.migration, scope, **options)

        return asyncio.run(once())

    def reads(self) -> int:
        return self.paths.requests(GET)


@pytest.fixture
def run(paths: Paths) -> Run:
    return Run(paths)


def problems_of(check: ContentsFound, side: ProblemSide) -> Mapping[str, Problem]:
    return check.source_problems if side is ProblemSide.SOURCE else check.migration_problems


def names(check: ContentsFound, side: ProblemSide) -> dict[str, int]:
    return {kind: affected.objects for kind, affected in problems_of(check, side).items()}


def errors(check: ContentsFound, side: ProblemSide) -> int:
    """Objects that are not known to load."""
    return sum(problem.objects for problem in problems_of(check, side).values() if not problem.loads)


def test_good_objects_are_read_once_and_counted(run: Run) -> None:
    """One side is read, as both have the same bytes; an object of no bytes is known without."""
    for number in range(20):
        run.both(f"{DAY}user_id_{number}.jsonl", row(str(number)) * 1)
    run.both("qpi_answers_20230101.jsonl", row("a") + row("b"))
    found = run.check()
    assert to_builtins(found) == {
        "mode": "all",
        "clean": True,
        "objects": 21,
        "rows": 22,
        "changed": 0,
        "bytes": sum(len(row(str(number))) for number in range(20)) + len(row("a") * 2),
        "seconds": to_builtins(found)["seconds"],
        "objects_per_s": to_builtins(found)["objects_per_s"],
        "source_problems": {},
        "migration_problems": {},
        "examples": (),
    }
    assert run.reads() == 21


def test_what_is_wrong_with_equal_objects_is_the_source_s_problem(run: Run) -> None:
    """The migration copied it as it was."""
    run.both(USER, BAD)
    run.both(DAY + "user_id_2.jsonl", b"cut {")
    run.both(DAY + "user_id_3.jsonl", b"")
    found = run.check()
    assert names(found, ProblemSide.SOURCE) == {"unknown_field": 1, "not_json": 1, "empty": 1}
    assert names(found, ProblemSide.MIGRATION) == {}
    assert not found.clean
    assert errors(found, ProblemSide.SOURCE) == 2
    assert errors(found, ProblemSide.MIGRATION) == 0
    assert found.examples[0] == Example(USER, "source", 1, "unknown_field", "'extra'")
    assert run.reads() == 2


@pytest.mark.parametrize(
    ("source", "destination", "of_source", "of_migration"),
    [
        (row(), row()[:-5], {}, {"truncated": 1}),
        (row()[:-5], row(), {"truncated": 1}, {}),
        (BAD, BAD[:-2], {"unknown_field": 1}, {"truncated": 1}),
        (BAD, BAD + b"\n", {"unknown_field": 1}, {"blank_line": 1}),
        (BAD, row("other", extra=2), {"unknown_field": 1}, {}),
        (BAD, BAD + row("2", extra=1), {"unknown_field": 1}, {"unknown_field": 1}),
        (row(), row("2"), {}, {}),
        (row(), b"", {}, {"empty": 1}),
    ],
)
def test_of_objects_that_differ_only_what_the_destination_has_more_is_the_migration_s(
    run: Run, source: bytes, destination: bytes, of_source: dict[str, int], of_migration: dict[str, int]
) -> None:
    """Both sides are read; what both have was there before."""
    run.paths.put(USER, source, side="source")
    run.paths.put(USER, destination, side="destination")
    found = run.check()
    assert names(found, ProblemSide.SOURCE) == of_source
    assert names(found, ProblemSide.MIGRATION) == of_migration
    assert found.bytes == len(source) + len(destination)
    assert found.objects == 1
    if len(destination) == 2 * len(source):  # of the two bad rows the second is new
        assert [(it.side, it.line) for it in found.examples] == [("migration", 2), ("source", 1)]
    shown = {(example.side, example.kind) for example in found.examples}
    assert shown == {("source", kind) for kind in of_source} | {("migration", kind) for kind in of_migration}


def test_objects_that_differ_in_metadata_only_are_read_once(run: Run) -> None:
    """Their bytes are the same."""
    run.paths.put(USER, BAD, side="source")
    run.paths.put(USER, BAD, side="destination", content_language="fr")
    assert names(run.check(), ProblemSide.SOURCE) == {"unknown_field": 1}
    assert run.reads() == 1


def test_only_jsonl_on_both_sides_is_read(run: Run) -> None:
    """Other kinds are not the consumer's; what is on one side only is for the listings to judge."""
    for name in ("qpi_questions_20230101.csv", DAY, DAY + "x.json", "notes.txt", ".DS_Store"):
        run.both(name, b"no json")
    run.paths.put(USER, b"no json", side="source")
    run.paths.put(DAY + "user_id_2.jsonl", b"no json", side="destination")
    run.both("old.JSONL", row())
    found = run.check()
    assert (found.objects, found.source_problems, run.reads()) == (1, {}, 1)


def test_what_is_left_behind_is_not_read(run: Run) -> None:
    """An excluded name is not checked."""
    run.both(USER, BAD)
    run.both("backup.jsonl", BAD)
    paths = replace(run.paths, migration=replace(run.paths.migration, excludes=("backup*",)))
    assert Run(paths).check().objects == 1


def test_nothing_is_read_when_nothing_is_asked_for(run: Run) -> None:
    """``--contents none``."""
    run.both(USER, BAD)
    found = run.check(scope=ContentsScope.parse("none"))
    assert (found.mode, found.objects, run.reads()) == ("none", 0, 0)


def test_a_sample_is_the_same_for_everybody(run: Run) -> None:
    """Drawn by the names alone: read again, or by somebody else, it is of the same objects."""
    for number in range(60):
        run.both(f"{DAY}user_id_{number}.jsonl", BAD)
    for scope, wanted in (("sample:30", 20), ("sample:30", 20), ("all", 60)):
        found = run.check(scope=ContentsScope.parse(scope))
        assert found.objects == run.reads() == wanted  # of these 60 names, for ever


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=20), st.data())
def test_a_smaller_sample_is_part_of_a_larger_one(relatives: list[str], draw: st.DataObject) -> None:
    """So that more can be looked at without looking at other things."""
    percents = st.decimals("0.001", "100", places=3)
    small, large = sorted((draw.draw(percents), draw.draw(percents)))
    assert all(ContentsScope(large).takes(name) for name in relatives if ContentsScope(small).takes(name))


def test_a_sample_has_the_size_that_was_asked_for() -> None:
    """Within what chance allows."""
    relatives = [f"{DAY}user_id_{number}.jsonl" for number in range(20_000)]
    for percent in ("0.5", "10", "99"):
        taken = sum(ContentsScope.parse(f"sample:{percent}").takes(name) for name in relatives)
        assert abs(taken - 200 * Decimal(percent)) < 4 * (200 * Decimal(percent)).sqrt()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("none", "none"), ("all", "all"), ("sample:1", "sample:1"), ("sample:0.50", "sample:0.5"), ("sample:1e1", "sample:10")],
)  # fmt: skip
def test_a_scope_is_read_and_written(text: str, expected: str) -> None:
    """As the command line gives it, and as reports have it."""
    assert str(ContentsScope.parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "sample", "sample:", "sample:0", "sample:-1", "sample:100.1", "sample:x", "sample:nan", "sample:inf", "ALL", "all:5", "5"],
)  # fmt: skip
def test_what_is_no_scope_is_refused(text: str) -> None:
    """With a line that says what is wanted."""
    with pytest.raises(UsageError, match="none, all, or sample:P"):
        ContentsScope.parse(text)


def test_an_object_that_was_overwritten_or_deleted_meanwhile_is_changed(run: Run) -> None:
    """It is not judged by other bytes than were listed, on either side, and it is not an error."""
    for number in (1, 2, 3):
        run.both(f"{DAY}user_id_{number}.jsonl", row())
    run.paths.put(DAY + "user_id_4.jsonl", row(), side="source")
    run.paths.put(DAY + "user_id_4.jsonl", row("4"), side="destination")
    listed = run.pairs()
    run.paths.put(DAY + "user_id_1.jsonl", BAD, side="destination")
    run.paths.delete(DAY + "user_id_2.jsonl", side="destination")
    run.paths.put(DAY + "user_id_4.jsonl", BAD, side="source")
    found = run.check(listed)
    assert (found.changed, found.objects, found.rows) == (3, 1, 1)
    assert found.clean


def test_a_bucket_that_is_gone_is_an_error(run: Run) -> None:
    """Its 404 looks like an object's, and must not be read as a million changed objects."""
    run.both(USER, row())
    listed = run.pairs()
    run.paths.delete(USER, side="destination")
    run.paths.forget()
    run.paths.bucket("destination").delete()
    with pytest.raises(BucketNotFound, match="no such bucket"):
        run.check(listed)


@pytest.mark.parametrize(
    ("status", "expected"), [(403, PermissionDenied), (401, PermissionDenied), (503, Unavailable), (400, Refused)]
)  # fmt: skip
def test_a_read_that_fails_ends_the_check_without_a_verdict(
    run: Run, status: int, expected: type[StorageError]
) -> None:
    """What could not be read is not fine."""
    for number in range(30):
        run.both(f"{DAY}user_id_{number}.jsonl", row())
    run.paths.server.set_faults(rules=[{"method": GET, "skip": 10, "count": None, "status": status}])
    with pytest.raises(expected):
        run.check(retry=HASTY)


def test_an_error_closes_the_listings_at_once(run: Run) -> None:
    """They would go on asking for pages that are not needed."""
    run.both(USER, row())
    listed = run.pairs()
    closed = []

    async def endless() -> AsyncGenerator[Iterable[DiffLine], None]:
        try:
            while True:
                yield listed
        finally:
            closed.append(True)

    async def once() -> list[bool]:
        batches = endless()
        async with AsyncApi(endpoint=run.paths.server.url, retry=HASTY) as api:
            with pytest.raises(PermissionDenied):
                await check_contents(batches, api, run.paths.migration, ALL, stop=Stop())
        return list(closed)

    run.paths.server.set_faults(rules=[{"method": GET, "skip": 3, "count": None, "status": 403}])
    assert asyncio.run(once()) == [True]


def test_transient_faults_are_met(run: Run) -> None:
    """Nothing is lost and nothing counted twice."""
    for number in range(40):
        run.both(f"{DAY}user_id_{number}.jsonl", row())
    listed = run.pairs()
    run.paths.server.set_faults(seed=1, rates={"503": 0.1, "429": 0.1, "truncate": 0.1, "reset_before": 0.1})
    found = run.check(listed)
    assert (found.objects, found.rows, found.clean) == (40, 40, True)


def test_a_listing_that_fails_ends_the_check(run: Run) -> None:
    """Whatever was found before."""
    run.both(USER, row())
    listed = run.pairs()
    closed = []

    async def broken() -> AsyncGenerator[Iterable[DiffLine], None]:
        try:
            yield listed
            raise UnexpectedAnswer("gs://b", "not sorted")
        finally:
            closed.append(True)

    with pytest.raises(UnexpectedAnswer, match="not sorted"):
        run.check(batches=broken())
    assert closed == [True]


def test_a_stop_ends_the_check_even_when_every_request_hangs(run: Run) -> None:
    """A read may be given up at any time."""
    run.both(USER, row())
    stop = Stop()

    class Hanging(AsyncApi):
        async def read_range(self, *_: object, **__: object) -> bytes:
            stop.by = "SIGTERM"
            await asyncio.Event().wait()
            return b""

    with pytest.raises(Interrupted, match="SIGTERM"):
        run.check(stop=stop, api=Hanging, limits=ReadLimits(in_flight=1))


def test_no_more_is_under_way_than_allowed(run: Run) -> None:
    """Neither objects at all nor large ones, and their pieces are as small as was said."""
    for number in range(30):
        run.both(f"{DAY}user_id_{number}.jsonl", row() * (20 if number % 2 else 1))
    now = {"small": 0, "large": 0}
    most = dict(now)
    sizes = []

    class Counting(AsyncApi):
        async def read_range(
            self, at: ObjectRef, generation: int, *, first: int, size: int, whole: bool = False
        ) -> bytes:
            kind = "small" if whole else "large"
            now[kind] += 1
            most[kind] = max(most[kind], now[kind])
            sizes.append(size)
            try:
                return await super().read_range(at, generation, first=first, size=size, whole=whole)
            finally:
                now[kind] -= 1

    limits = ReadLimits(in_flight=6, large=500, large_in_flight=2, piece=500)
    found = run.check(api=Counting, limits=limits)
    assert found.rows == 15 + 15 * 20
    assert most["small"] <= 6
    assert most["large"] == 2
    assert max(sizes) == 500


def test_a_large_object_s_pieces_are_of_one_version(run: Run) -> None:
    """It is overwritten between two pieces: then it has changed, and no line is made of two versions."""
    run.both(USER, row() * 50)
    listed = run.pairs()

    class Overtaken(AsyncApi):
        async def read_range(self, *version: Any, **more: Any) -> bytes:
            data = await super().read_range(*version, **more)
            if more["first"] == 0:
                await asyncio.to_thread(run.paths.put, USER, row("2") * 50, side="destination")
            return data

    found = run.check(listed, api=Overtaken, limits=ReadLimits(piece=100))
    assert (found.changed, found.objects) == (1, 0)


def crc_of(data: bytes) -> str:
    return b64encode(google_crc32c.value(data).to_bytes(4, "big")).decode()


def test_bytes_without_the_listed_checksum_are_the_migration_s_problem(run: Run) -> None:
    """The listings agree, and the destination's bytes are others: no problem in them can be the source's."""
    run.both(USER, BAD)
    (pair,) = run.pairs()
    assert pair.source is not None
    assert pair.destination is not None
    other = crc_of(b"other")
    lying = pair._replace(
        source=pair.source._replace(crc32c=other, md5=None),
        destination=pair.destination._replace(crc32c=other, md5=None),
    )
    found = run.check([lying])
    assert names(found, ProblemSide.MIGRATION) == {"unknown_field": 1, "not_as_listed": 1}
    assert names(found, ProblemSide.SOURCE) == {}
    assert not found.clean
    assert run.reads() == 2


def state_of(data: bytes) -> ObjectState:
    return ObjectState(USER, 1, 1, len(data), crc_of(data), None, "", "", Metadata())


def test_bytes_that_suffered_on_the_way_are_read_again() -> None:
    """TCP's checksum lets a few through; that is not a problem of the object."""
    data = row()
    answers = [http(data.replace(b"1", b"7")), http(data)]

    async def once() -> Any:
        async with answering(lambda _: answers.pop(0)) as url, AsyncApi(endpoint=url) as api:
            return await read_back(api, "bucket", state_of(data))

    reading = asyncio.run(once())
    assert reading.proven
    assert reading.report.counts == {}
    assert answers == []


MEMBERS = st.lists(st.binary(max_size=3000), min_size=1, max_size=3)


@given(MEMBERS, st.integers(0, 20), st.data())
def test_gzip_is_unpacked_however_it_is_cut(members: list[bytes], zeros: int, draw: st.DataObject) -> None:
    """What gzip itself makes of it: several members, zeros behind the last."""
    packed = b"".join(gzip.compress(member) for member in members) + bytes(zeros)
    cuts = draw.draw(st.lists(st.integers(0, len(packed)), max_size=6).map(sorted))
    step = draw.draw(st.integers(1, 5000))
    unpacking = Unpacking(10**6, step)
    steps = [
        unpacked
        for begin, end in zip([0, *cuts], [*cuts, len(packed)], strict=True)
        for unpacked in unpacking.unpack(packed[begin:end])
    ]
    assert b"".join(steps) == gzip.decompress(packed) == b"".join(members)
    assert all(len(unpacked) <= step for unpacked in steps)
    assert unpacking.complete


@given(MEMBERS, st.data())
def test_gzip_that_is_cut_off_or_damaged_is_not_complete(members: list[bytes], draw: st.DataObject) -> None:
    """A changed or missing end is noticed by the checksum in it."""
    packed = bytearray(b"".join(gzip.compress(member) for member in members))
    if draw.draw(st.booleans()):
        del packed[-draw.draw(st.integers(1, 8)) :]
    else:
        packed[-draw.draw(st.integers(1, 8))] ^= draw.draw(st.integers(1, 255))
    unpacking = Unpacking(10**6)
    list(unpacking.unpack(bytes(packed)))
    assert not unpacking.complete


def test_what_unpacks_to_more_than_is_judged_is_stopped() -> None:
    """A bomb is defused at its bound, step by step."""
    packed = gzip.compress(bytes(50_000_000))
    unpacking = Unpacking(100_000, 1000)
    sizes = [len(unpacked) for unpacked in unpacking.unpack(packed)]
    assert (sum(sizes), max(sizes)) == (100_001, 1000)
    assert unpacking.stopped
    assert not unpacking.complete
    last = Unpacking(5)  # one byte too many, and then the member ends
    assert [len(unpacked) for unpacked in last.unpack(gzip.compress(bytes(6)))] == [6]
    assert (last.stopped, last.complete) == (True, False)
    exact = Unpacking(1000, 100)
    assert sum(len(unpacked) for unpacked in exact.unpack(gzip.compress(bytes(1000)))) == 1000
    assert exact.complete


PACKED = gzip.compress(row() + row("2"), mtime=0)


@pytest.mark.parametrize(
    ("data", "encoding", "expected"),
    [
        (PACKED, "gzip", {"compressed"}),
        (PACKED, None, {"compressed"}),
        (gzip.compress(BAD, mtime=0), "gzip", {"compressed", "unknown_field"}),
        (PACKED[:-9], "gzip", {"compressed", "bad_encoding"}),
        (gzip.compress(row()[:-9], mtime=0)[:-1], "gzip", {"compressed", "bad_encoding", "empty"}),
        (row(), "gzip", {"bad_encoding"}),
        (row(), "identity", set()),
        (b"\x1b whatever", "br", {"other_encoding", "not_json"}),
        (gzip.compress(row() * 1000, mtime=0), "gzip", {"compressed", "too_large"}),
    ],
)
def test_packed_objects_are_read_as_stored_and_unpacked(
    run: Run, data: bytes, encoding: str | None, expected: set[str]
) -> None:
    """The checksum is of the packed bytes; a load opens what is gzip and nothing else."""
    run.both(USER, data, content_encoding=encoding)
    found = run.check(limits=ReadLimits(piece=100, unpacked=50_000))
    assert set(names(found, ProblemSide.SOURCE)) - {"duplicate_user"} == expected
    assert found.migration_problems == {}
    assert found.bytes == len(data)


def test_a_line_too_long_leaves_no_clean_verdict(run: Run) -> None:
    """It was not judged."""
    run.both(USER, row(user="x" * 5000) + row())
    found = run.check(limits=ReadLimits(piece=100, bounds=Bounds(line=1000)))
    assert names(found, ProblemSide.SOURCE) == {"line_too_long": 1}
    assert found.rows == 2
    assert not found.clean


CHILD = """
import asyncio, json, re, sys
from pathlib import Path
from msgspec import to_builtins
from shared.gcs.api import AsyncApi
from shared.gcs.listing import list_pages
from backfill_job.contents.check import Scope, check_contents
from backfill_job.copying.diff import merge_pages
from backfill_job.run.stopping import Stop
from shared.migration import Location, Migration

def peak():  # of this program; getrusage would start with the peak of the parent process
    return int(re.search("VmHWM:\\s*([0-9]+) kB", Path("/proc/self/status").read_text())[1])

async def main():
    migration = Migration(*map(Location.parse, sys.argv[2:]))
    async with AsyncApi(endpoint=sys.argv[1]) as api:
        sides = [list_pages(api, side) for side in (migration.source, migration.destination)]
        before = peak()
        found = await check_contents(merge_pages(*sides, migration), api, migration, Scope.parse("all"), stop=Stop())
        after = peak()
        print(json.dumps({"grown_kib": after - before, "found": to_builtins(found)}))

asyncio.run(main())
"""


def test_memory_stays_bounded_however_large_the_objects_are(run: Run) -> None:
    """A real process reads a long file, a line of 50 MB and a bomb, and grows by a fraction of any of them."""
    mib = 1024 * 1024
    many = b"".join(row(f"{number:0400}") for number in range(130_000))
    line = row("x" * (50 * mib)) + row()
    bomb = gzip.compress(bytes(400 * mib), 1)
    for name, data in (("many", many), ("line", line), ("bomb", bomb)):
        run.paths.put(f"{name}.jsonl", data)
        source = run.paths.bucket("source")
        source.copy_blob(
            source.blob(f"QPI_exports/{name}.jsonl"),
            run.paths.bucket("destination"),
            f"qpi_exports/{name}.jsonl",
        )
    migration = run.paths.migration
    command = [
        sys.executable,
        "-c",
        CHILD,
        run.paths.server.url,
        migration.source.uri,
        migration.destination.uri,
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["found"]["rows"] == 130_000 + 2 + 1
    assert answer["found"]["bytes"] == len(many) + len(line) + len(bomb)
    problems = answer["found"]["source_problems"]
    assert {name: found["lines"] for name, found in problems.items()} == {"line_too_long": 2, "compressed": 1}
    assert answer["grown_kib"] < 60 * 1024


KINDS = st.sampled_from([ProblemKind.NOT_JSON, ProblemKind.COERCED, ProblemKind.EMPTY])
BOOKINGS = st.lists(
    st.tuples(
        st.text("ab", max_size=4),
        st.sampled_from(ProblemSide),
        st.dictionaries(KINDS, st.integers(1, 9), max_size=2),
        st.integers(0, 3),
    ),
    max_size=30,
)


def tallied(bookings: Iterable[Any], seconds: float = 1.0) -> ContentsFound:
    tally = ContentsTally()
    for name, side, counts, line in bookings:
        tally.checked(2, 10)
        if line == 1:
            tally.changed()
        examples = [LineProblem(line, kind.value, "here") for kind in counts]
        tally.book(name, side, counts, examples)
    return tally.result("all", seconds)


@given(BOOKINGS, st.integers(0, 30), st.randoms(use_true_random=False))
def test_parts_add_up_to_the_whole_in_any_order(bookings: list[Any], cut: int, dice: random.Random) -> None:
    """Key ranges and tasks may be cut anywhere and end in any order, and travel as JSON in between."""
    whole = tallied(bookings, 2.0)
    shuffled = dice.sample(bookings, len(bookings))
    one, other = tallied(shuffled[:cut]), tallied(shuffled[cut:])
    travelled = convert(ContentsFound, json.loads(json.dumps(to_builtins(other))))
    assert merged_contents([one, travelled]) == merged_contents([travelled, one]) == whole
    assert all(
        sum((example.side, example.kind) == (side.value, kind.value) for example in whole.examples)
        <= EXAMPLES_OF_A_KIND
        for side in ProblemSide
        for kind in ProblemKind
    )


def test_a_result_says_how_many_objects_and_lines_have_a_problem_and_how_bad_it_is() -> None:
    """The form that reports and the certificate have."""
    found = tallied(
        [
            ("b", ProblemSide.SOURCE, {ProblemKind.COERCED: 3}, 1),
            ("c", ProblemSide.SOURCE, {ProblemKind.EMPTY: 1}, 0),
            ("a", ProblemSide.MIGRATION, {ProblemKind.TRUNCATED: 1}, 4),
        ],
        0.5,
    )
    assert to_builtins(found) == {
        "mode": "all",
        "clean": False,
        "objects": 3,
        "rows": 6,
        "bytes": 30,
        "changed": 1,
        "seconds": 0.5,
        "objects_per_s": 6.0,
        "source_problems": {
            "coerced": {"objects": 1, "lines": 3, "severity": "not_judged"},
            "empty": {"objects": 1, "lines": 1, "severity": "warning"},
        },
        "migration_problems": {"truncated": {"objects": 1, "lines": 1, "severity": "error"}},
        "examples": (
            {"name": "a", "side": "migration", "line": 4, "kind": "truncated", "detail": "here"},
            {"name": "b", "side": "source", "line": 1, "kind": "coerced", "detail": "here"},
            {"name": "c", "side": "source", "line": 0, "kind": "empty", "detail": "here"},
        ),
    }


def test_warnings_leave_a_result_clean() -> None:
    """What loads is fine, however odd; what was not judged is not known to load."""
    assert tallied([("a", ProblemSide.SOURCE, {ProblemKind.NULL_ARRAY: 1}, 1)]).clean
    for side in ProblemSide:
        unknown = tallied([("a", side, {ProblemKind.COERCED: 1}, 1)])
        assert (unknown.clean, errors(unknown, side)) == (False, 1)
    assert tallied([]).clean


def test_results_of_different_questions_do_not_add_up() -> None:
    """A sample and the whole are not parts of one thing."""
    with pytest.raises(ValueError, match="do not add up"):
        merged_contents([tallied([]), ContentsTally().result("sample:5", 1.0)])


@pytest.mark.parametrize("damage", [lambda it: it.pop("mode"), lambda it: it.update(examples=[{"a": 1}]), lambda it: it.update(source_problems={"x": {}})])  # fmt: skip
def test_what_is_no_result_is_not_read_as_one(damage: Callable[[dict[str, Any]], object]) -> None:
    """Another version of this program may have written it."""
    resource = to_builtins(tallied([("a", ProblemSide.SOURCE, {ProblemKind.EMPTY: 1}, 0)]))
    damage(resource)
    with pytest.raises(ValueError, match=r"mode|examples|source_problems"):
        convert(ContentsFound, resource)


def test_a_kind_of_problem_that_is_not_known_is_not_added_up() -> None:
    """Another version of this program may have written it."""
    resource = to_builtins(tallied([("a", ProblemSide.SOURCE, {ProblemKind.EMPTY: 1}, 0)]))
    resource["source_problems"]["new_kind"] = resource["source_problems"].pop("empty")
    with pytest.raises(KeyError, match="new_kind"):
        merged_contents([convert(ContentsFound, resource)])


def test_a_problem_of_the_source_s_is_not_shown_as_the_migration_s(run: Run) -> None:
    """The same kind of problem as often on both sides, in another line; the destination has one of another kind more."""
    run.paths.put(USER, BAD + row("2"), side="source")
    run.paths.put(USER, row("2") + BAD + b"{", side="destination")
    found = run.check()
    (kind,) = names(found, ProblemSide.MIGRATION)
    assert kind != "unknown_field"
    assert [(it.kind, it.line) for it in found.examples if it.side == "migration"] == [(kind, 3)]
    assert names(found, ProblemSide.SOURCE) == {"unknown_field": 1}


def test_of_each_kind_and_side_the_first_few_names_are_shown_and_all_are_counted() -> None:
    """In the order of the names, and no more than a person reads."""
    names_of = [f"user_id_{number}.jsonl" for number in range(EXAMPLES_OF_A_KIND + 2)]
    bookings = [
        (name, side, {ProblemKind.NOT_JSON: 2}, 3) for name in reversed(names_of) for side in ProblemSide
    ]
    found = tallied(bookings)
    for side in ProblemSide:
        shown = [example.name for example in found.examples if example.side == side.value]
        assert shown == names_of[:EXAMPLES_OF_A_KIND]
        assert problems_of(found, side) == {
            "not_json": Problem(len(names_of), 2 * len(names_of), Severity.ERROR)
        }


@pytest.mark.parametrize(
    ("size", "encoding", "large"),
    [(64 * 1024, None, False), (64 * 1024 + 1, None, True), (1, "gzip", True), (1, None, False)],
)
def test_an_object_is_large_by_its_size_or_because_it_may_be_packed(
    size: int, encoding: str | None, large: bool
) -> None:
    """What it unpacks to is not known before it is read."""
    state = ObjectState(USER, 1, 1, size, None, None, "", "", Metadata(content_encoding=encoding))
    assert ReadLimits().is_large(state) is large
