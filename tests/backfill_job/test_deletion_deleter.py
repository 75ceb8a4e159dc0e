"""Deletions by manifest line: every answer means one thing, and nothing but the proven generation ever goes."""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from test_bulk import CountingGovernor
from testing_authority import UntilAnotherPhase
from testing_http import NAMES
from testing_paths import Paths

from backfill_job.copying.counts import Counts
from backfill_job.deletion.delete import Deleter, Waiting
from backfill_job.deletion.manifest import ManifestLine, line_of
from backfill_job.deletion.records import DELETION, LineOutcome, LineResult
from backfill_job.deletion.run import DeletionResult
from backfill_job.run.command import ExitCode
from backfill_job.run.stopping import Stop
from local_gcs.waiting import HANGS
from shared.authority import Always, AuthoritySource
from shared.decision import Authority
from shared.errors import BucketNotFound, PermissionDenied, PhaseChanged
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi, RetryPolicy

DELETE, BATCH = "storage.objects.delete", "storage.batch"
SWIFT = RetryPolicy(deadline=HANGS, initial=0.001, maximum=0.01)


class Run:
    """Lines of a manifest, and what became of them."""

    def __init__(self, paths: Paths, gateway: Gateway) -> None:
        self.paths = paths
        self.gateway = gateway
        self.stop = Stop()
        self.governor = CountingGovernor()
        self.deleter: Deleter | None = None
        self.dice = random.Random(7)
        self.authority: AuthoritySource = Always(Authority.DESTINATION)

    def both(self, *names: str, **attributes: Any) -> None:
        for name in names:
            for side in ("source", "destination"):
                self.paths.put(name, name.encode(), side=side, **attributes)

    def lines(self) -> list[ManifestLine]:
        """What a manifest would name now."""
        return [line_of(line) for line in self.paths.diff(self.gateway)]

    def settle(
        self,
        lines: Sequence[ManifestLine] | None = None,
        *,
        url: str = "",
        following: str = "",
        retry: RetryPolicy = SWIFT,
    ) -> dict[str, LineResult]:
        results = asyncio.run(self._settled(lines or self.lines(), url, following, retry))
        assert len({result.line.name for result in results}) == len(results)
        return {result.line.name: result for result in results}

    async def _settled(
        self, lines: Sequence[ManifestLine], url: str, following: str, retry: RetryPolicy
    ) -> list[LineResult]:
        async with AsyncApi(endpoint=url or self.paths.server.url, retry=retry) as api:
            waiting = Waiting(self.governor, retry, self.dice, asyncio.sleep, lambda: 0.0)
            self.deleter = Deleter(api, self.paths.migration, self.authority, waiting, self.stop)
            return await self.deleter.settle(lines, following)

    def left(self) -> list[str]:
        return self.paths.names(side="source")


@pytest.fixture
def run(paths: Paths, gateway: Gateway) -> Run:
    return Run(paths, gateway)


def outcomes(results: dict[str, LineResult]) -> Counter[LineOutcome]:
    return Counter(result.outcome for result in results.values())


def test_a_hundred_deletions_are_one_listing_and_one_batch(run: Run, paths: Paths) -> None:
    """Whatever the names; the new path is not touched; every deletion has its slot."""
    run.both(*NAMES)
    lines, before = run.lines(), paths.names()
    paths.server.reset_stats()
    results = run.settle(lines)
    methods = {name: count["count"] for name, count in paths.server.stats()["methods"].items()}
    assert methods == {"storage.objects.list": 1, BATCH: 1, DELETE: len(NAMES)}
    assert outcomes(results) == {LineOutcome.DELETED: len(NAMES)}
    assert (run.left(), paths.names()) == ([], before)
    assert run.governor.reserved == len(NAMES)


def test_more_than_a_hundred_lines_are_refused(run: Run) -> None:
    """Cloud Storage would refuse the batch as a whole."""
    run.both("a")
    with pytest.raises(ValueError, match="101 lines"):
        run.settle(run.lines() * 101)


def test_what_was_overwritten_since_the_manifest_stays(run: Run, paths: Paths) -> None:
    """Even with the same contents: it is another generation, which nobody verified."""
    run.both("a", "b", "c")
    lines = run.lines()
    paths.put("b", b"newer")
    paths.put("c", b"c")
    results = run.settle(lines)
    assert {name: result.outcome for name, result in results.items()} == {
        "a": LineOutcome.DELETED,
        "b": LineOutcome.OVERWRITTEN_SINCE,
        "c": LineOutcome.OVERWRITTEN_SINCE,
    }
    assert paths.read("b", side="source") == b"newer"
    assert run.left() == ["b", "c"]


def test_what_came_after_the_manifest_stays(run: Run, paths: Paths) -> None:
    """Between names of the manifest, before and after them."""
    run.both("b", "d")
    lines = run.lines()
    for name in ("a", "c", "e"):
        paths.put(name, b"new")
    run.settle(lines)
    assert run.left() == ["a", "c", "e"]


def test_what_the_new_path_has_no_more_as_it_was_stays(run: Run, paths: Paths) -> None:
    """Overwritten there, even by the same contents; or gone."""
    run.both("a", "b", "c", "d")
    lines = run.lines()
    paths.put("a", b"newer", side="destination")
    paths.put("b", b"b", side="destination")
    paths.delete("c", side="destination")
    results = run.settle(lines)
    assert [results[name].outcome for name in "abcd"] == [
        *[LineOutcome.DESTINATION_CHANGED] * 3,
        LineOutcome.DELETED,
    ]
    assert "nothing is there" in results["c"].detail
    assert run.left() == ["a", "b", "c"]


def test_what_is_gone_already_is_said_by_the_service(run: Run, paths: Paths) -> None:
    """Not concluded from a listing: it is asked for, and answered with a 404."""
    run.both("a", "b")
    lines = run.lines()
    paths.delete("a")
    paths.server.reset_stats()
    assert outcomes(run.settle(lines)) == {LineOutcome.ALREADY_GONE: 1, LineOutcome.DELETED: 1}
    assert paths.requests(DELETE) == 2


@pytest.mark.parametrize("kind", ["temporary", "event-based", "retention"])
def test_what_is_protected_stays(run: Run, paths: Paths, kind: str) -> None:
    """A hold or a retention policy is about the object, and the others go."""
    run.both("a", "b")
    blob = paths.bucket("source").blob(paths.migration.source.prefix + "a")
    if kind == "retention":
        bucket = paths.bucket("source")
        bucket.retention_period = 3600
        bucket.patch()
        assert outcomes(run.settle()) == {LineOutcome.HELD: 2}
        assert run.left() == ["a", "b"]
        return
    setattr(blob, "temporary_hold" if kind == "temporary" else "event_based_hold", True)
    blob.patch()
    results = run.settle()
    assert (results["a"].outcome, results["b"].outcome) == (LineOutcome.HELD, LineOutcome.DELETED)
    assert "hold" in results["a"].detail
    assert run.left() == ["a"]


@pytest.mark.parametrize("status", [429, 500, 503, 408])
def test_a_part_that_fails_in_a_successful_batch_is_tried_again(run: Run, paths: Paths, status: int) -> None:
    """The batch's own 200 says nothing about it; the others are not sent again."""
    run.both("a", "b", "c")
    lines = run.lines()
    rule = {"method": DELETE, "name_prefix": "QPI_exports/b", "count": 2, "status": status}
    paths.server.set_faults(rules=[rule])
    paths.server.reset_stats()
    assert outcomes(run.settle(lines)) == {LineOutcome.DELETED: 3}
    assert run.left() == []
    assert paths.requests(DELETE) == 5
    assert run.governor.storms == (2 if status in {429, 503} else 0)


def test_each_repetition_may_wait_twice_as_long(run: Run, paths: Paths) -> None:
    """A service that asks for patience gets it."""
    longest: list[float] = []

    class Noting(random.Random):
        def uniform(self, a: float, b: float) -> float:
            longest.append(b)
            return a

    run.dice = Noting()
    run.both("a")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": DELETE, "count": 4, "status": 503}])
    assert outcomes(run.settle(lines, retry=RetryPolicy(initial=0.5, maximum=3.0))) == {
        LineOutcome.DELETED: 1
    }
    assert longest == [0.5, 1.0, 2.0, 3.0]


def test_a_part_that_never_succeeds_is_a_failure(run: Run, paths: Paths) -> None:
    """And its object is there; it says that it may not be."""
    run.both("a", "b")
    lines = run.lines()
    rule = {"method": DELETE, "name_prefix": "QPI_exports/b", "count": None, "status": 503}
    paths.server.set_faults(rules=[rule])
    results = run.settle(lines, retry=RetryPolicy(deadline=0.0))
    assert (results["a"].outcome, results["b"].outcome) == (LineOutcome.DELETED, LineOutcome.FAILED)
    assert "it may have been deleted all the same" in results["b"].detail
    assert run.left() == ["b"]


@pytest.mark.parametrize("status", [429, 503, "reset_before"])
def test_a_batch_that_fails_as_a_whole_is_sent_again(run: Run, paths: Paths, status: object) -> None:
    """Nothing had its effect: everything is deleted by the second."""
    run.both("a", "b")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": BATCH, "count": 1, "status": status}])
    results = run.settle(lines)
    assert outcomes(results) == {LineOutcome.DELETED: 2}
    assert run.left() == []


@pytest.mark.parametrize("status", ["reset_after", "truncate"])
def test_a_batch_whose_answer_is_lost_is_sent_again_and_its_deletions_count_as_such(
    run: Run, paths: Paths, status: str
) -> None:
    """They are gone when asked again, and that is said."""
    run.both("a", "b")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": BATCH, "count": 1, "status": status}])
    results = run.settle(lines)
    assert outcomes(results) == {LineOutcome.DELETED: 2}
    assert all(result.answer_lost for result in results.values())
    assert run.left() == []


def test_a_retried_deletion_never_removes_a_newer_generation(run: Run, paths: Paths) -> None:
    """The answer was lost, the writer wrote the name again, the same request is sent again."""
    run.both("a", "b")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": BATCH, "count": 1, "status": "reset_after"}])

    class Writing(CountingGovernor):
        def reserve(self) -> float:
            if self.reserved == len(lines):  # the second round
                paths.put("a", b"newer")
            return super().reserve()

    run.governor = Writing()
    results = run.settle(lines)
    assert (results["a"].outcome, results["b"].outcome) == (
        LineOutcome.OVERWRITTEN_SINCE,
        LineOutcome.DELETED,
    )
    assert paths.read("a", side="source") == b"newer"


@pytest.mark.parametrize("later", ["nothing", "a newer object"])
def test_a_destination_that_changes_after_a_lost_answer_is_told_from_what_was_kept(
    run: Run, paths: Paths, later: str
) -> None:
    """The legacy object is looked at: it went with the first request, or somebody wrote it again."""
    run.both("a", "b")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": BATCH, "count": 1, "status": "reset_after"}])

    class Writing(CountingGovernor):
        def reserve(self) -> float:
            if self.reserved == len(lines):
                paths.put("a", b"newer", side="destination")
                if later == "a newer object":
                    paths.put("a", b"newer")
            return super().reserve()

    run.governor = Writing()
    result = run.settle(lines)["a"]
    expected = LineOutcome.DELETED if later == "nothing" else LineOutcome.OVERWRITTEN_SINCE
    assert (result.outcome, result.answer_lost) == (expected, later == "nothing")


def test_the_destination_is_looked_at_anew_before_every_try(run: Run, paths: Paths) -> None:
    """A pause before a repetition is time in which it can change."""
    run.both("a")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": DELETE, "count": 1, "status": 429}])

    class Writing(CountingGovernor):
        def reserve(self) -> float:
            if self.reserved == 1:
                paths.put("a", b"newer", side="destination")
            return super().reserve()

    run.governor = Writing()
    assert run.settle(lines)["a"].outcome is LineOutcome.DESTINATION_CHANGED
    assert run.left() == ["a"]


def test_a_name_the_listing_does_not_show_as_it_should_is_looked_at_by_itself(run: Run, paths: Paths) -> None:
    """A listing with a foreign generation alone keeps nothing and deletes nothing."""
    run.both("a")
    line = run.lines()[0]
    paths.server.reset_stats()
    run.settle([line._replace(destination_generation=line.destination_generation + 1)])
    assert paths.requests("storage.objects.get") == 1
    assert run.left() == ["a"]


def test_names_that_only_the_new_path_has_are_passed_by(run: Run, paths: Paths) -> None:
    """However many lie between and behind the lines."""
    run.both("b", "y")
    lines = run.lines()
    paths.server.fill(paths.migration.destination.bucket, 2_500, prefix=paths.migration.destination.prefix)
    assert outcomes(run.settle(lines)) == {LineOutcome.DELETED: 2}


def test_a_phase_that_forbids_it_ends_it_and_nothing_more_is_deleted(run: Run, paths: Paths) -> None:
    """The deleter reads the phase for each batch, after its look at the destination."""
    run.both("a", "b")
    lines = run.lines()
    run.authority = UntilAnotherPhase(Authority.DESTINATION, 1)
    assert outcomes(run.settle(lines[:1])) == {LineOutcome.DELETED: 1}
    results = run.settle(lines[1:])
    assert outcomes(results) == {LineOutcome.FAILED: 1}
    assert results["b"].detail == "gs://new/_migration/state.json: the phase is another one now"
    assert run.left() == ["b"]
    assert run.deleter is not None
    assert isinstance(run.deleter.error, PhaseChanged)
    assert paths.requests(BATCH) == 1


def test_a_missing_permission_ends_it_and_nothing_is_deleted(run: Run, paths: Paths) -> None:
    """It concerns every object, and is no hold."""
    run.both("a", "b")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": DELETE, "count": None, "status": 403}])
    results = run.settle(lines)
    assert outcomes(results) == {LineOutcome.FAILED: 2}
    assert run.deleter is not None
    assert isinstance(run.deleter.error, PermissionDenied)
    assert run.left() == ["a", "b"]
    results = asyncio.run(_once_more(run, lines))
    assert outcomes(results) == {LineOutcome.FAILED: 2}


async def _once_more(run: Run, lines: list[ManifestLine]) -> dict[str, LineResult]:
    assert run.deleter is not None
    return {result.line.name: result for result in await run.deleter.settle(lines, "")}


def test_a_new_path_that_cannot_be_listed_deletes_nothing(run: Run, paths: Paths) -> None:
    """What was proven cannot be looked at again."""
    run.both("a")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": "storage.objects.list", "count": None, "status": 403}])
    assert outcomes(run.settle(lines)) == {LineOutcome.FAILED: 1}
    paths.server.clear_faults()
    assert run.left() == ["a"]


def test_a_bucket_that_is_gone_is_no_deletion(run: Run, paths: Paths) -> None:
    """A 404 about the bucket is never read as "already gone"."""
    run.both("a")
    lines = run.lines()
    fault = {
        "method": DELETE,
        "count": None,
        "status": 404,
        "message": "The specified bucket does not exist.",
    }
    paths.server.set_faults(
        rules=[
            fault,
            {**fault, "method": "storage.objects.list", "bucket": paths.migration.source.bucket},
        ]
    )
    assert outcomes(run.settle(lines)) == {LineOutcome.FAILED: 1}
    assert run.deleter is not None
    assert isinstance(run.deleter.error, BucketNotFound)


def test_a_404_for_what_is_listed_is_a_failure(run: Run, paths: Paths) -> None:
    """Two answers that contradict each other prove nothing."""
    run.both("a")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": DELETE, "count": None, "status": 404, "message": "Not Found"}])
    result = run.settle(lines)["a"]
    assert (result.outcome, "but it is listed" in result.detail) == (LineOutcome.FAILED, True)


@pytest.mark.parametrize("status", [404, 412, 400])
def test_a_batch_refused_as_a_whole_says_nothing_of_its_objects(run: Run, paths: Paths, status: int) -> None:
    """Whatever answers instead of Cloud Storage: its 404 is not every object's."""
    run.both("a", "b")
    lines = run.lines()
    paths.server.set_faults(rules=[{"method": BATCH, "count": None, "status": status}])
    results = run.settle(lines)
    assert outcomes(results) == {LineOutcome.FAILED: 2}
    assert "refused as a whole" in results["a"].detail


def test_somebody_who_stops_is_obeyed_before_the_batch(run: Run) -> None:
    """What was not asked for is not deleted, and says so."""
    run.both("a")
    lines = run.lines()
    run.stop.by = "SIGTERM"
    result = run.settle(lines)["a"]
    assert (result.outcome, "stopped before" in result.detail) == (LineOutcome.FAILED, True)
    assert run.left() == ["a"]


def multipart(parts: Sequence[tuple[int, int]]) -> bytes:
    """A batch's answer with these calls' numbers and statuses."""
    body = b"".join(
        b"--m\r\nContent-Type: application/http\r\nContent-ID: <response-call+%d>\r\n\r\n"
        b"HTTP/1.1 %d Said\r\nContent-Length: 0\r\n\r\n\r\n" % part
        for part in parts
    )
    return b"".join((b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body + b"--m--"), body, b"--m--"))


@pytest.mark.parametrize(
    ("first", "asked"),
    [
        (multipart([(1, 204)]), [2, 1]),
        (multipart([(0, 204), (0, 204), (1, 204)]), [2, 1]),
        (multipart([(1, 204), (0, 503)]), [2, 1]),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", [2, 2]),
    ],
    ids=["a part is missing", "a part is there twice", "out of order, one fails", "no multipart"],
)
def test_only_a_part_that_can_be_read_is_an_answer(run: Run, first: bytes, asked: list[int]) -> None:
    """Against a server that answers as none should: what has no answer is asked again, and nothing else."""
    run.both("a", "b")
    lines = run.lines()
    sent: list[int] = []
    answers = [first]

    def answer(head: str) -> bytes:
        if head.startswith("POST /batch/"):
            length = int(head.lower().partition("content-length: ")[2].partition("\r\n")[0])
            return _answer_of(length)
        items = ",".join(
            f'{{"name":"qpi_exports/{line.name}","generation":"{line.destination_generation}","size":"1"}}'
            for line in lines
        )
        return _json(f'{{"items":[{items}]}}')

    def _answer_of(length: int) -> bytes:
        # Two calls are about twice as long as one.
        count = 1 if length < 400 else 2
        sent.append(count)
        return answers.pop(0) if answers else multipart([(number, 204) for number in range(count)])

    results = asyncio.run(_against(run, lines, answer))
    assert outcomes(results) == {LineOutcome.DELETED: 2}
    assert sent == asked


def _json(text: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text.encode())


async def _against(
    run: Run, lines: list[ManifestLine], answer: Callable[[str], bytes]
) -> dict[str, LineResult]:
    """Settle against a server of its own, which reads the bodies that batches have."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
                await reader.readexactly(int(length or 0))
                writer.write(answer(head))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        results = await run._settled(lines, url, "", SWIFT)
    return {result.line.name: result for result in results}


@pytest.mark.parametrize(
    ("changes", "one", "several"),
    [
        ({}, ExitCode.DONE, ExitCode.DONE),
        ({"chunks_left": 1}, ExitCode.NOT_RIGHT, ExitCode.DONE),
        ({"own_done": False}, ExitCode.DONE, ExitCode.NOT_RIGHT),
        ({"stopped": "by SIGTERM"}, ExitCode.NOT_RIGHT, ExitCode.NOT_RIGHT),
        ({"back": 1}, ExitCode.NOT_RIGHT, ExitCode.NOT_RIGHT),
        ({"listed": 2}, ExitCode.NOT_RIGHT, ExitCode.NOT_RIGHT),
    ],
    ids=[
        "settled",
        "others are left",
        "some of its own",
        "stopped",
        "back again",
        "a line is not accounted for",
    ],
)
def test_the_exit_code_of_a_part(changes: dict[str, Any], one: ExitCode, several: ExitCode) -> None:
    """One process ends well with the whole, and one of several with its own part; never with counts that do not balance."""
    counts = Counts(DELETION)
    counts.list(changes.pop("listed", 1))
    counts.add(LineOutcome.DELETED)
    result = replace(DeletionResult(counts, counts, 0, (), "", own_done=True), **changes)
    assert (result.exit_code(1), result.exit_code(3)) == (one, several)
