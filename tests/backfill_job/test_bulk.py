"""The bulk lane: one rewrite an object, everything else handed over, everything accounted for."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from testing_authority import UntilAnotherPhase
from testing_http import HASTY, NAMES
from testing_paths import Paths

from backfill_job.copying.counts import Account
from backfill_job.copying.diff import DiffLine, Verdict, merge_pages
from backfill_job.copying.governor import NullGovernor
from backfill_job.copying.lane import LaneLimits, Result, copy_lines
from backfill_job.run.clock import Clock, system_clock
from backfill_job.run.stopping import Stop
from local_gcs.waiting import HANGS
from shared.authority import Always, AuthoritySource, Known
from shared.decision import Authority
from shared.erasures import NO_ERASURES, Erasures
from shared.errors import (
    BucketNotFound,
    Interrupted,
    PermissionDenied,
    PhaseChanged,
    PhaseUnknown,
    Refused,
    StorageError,
    Unavailable,
    UnexpectedAnswer,
)
from shared.gateway import Gateway
from shared.gcs.api import AsyncApi, RetryPolicy, Rewrite
from shared.gcs.json_client import JsonClient
from shared.gcs.listing import list_pages
from shared.gcs.wire import Answer
from shared.objects import parse_time

REWRITE = "storage.objects.rewrite"
MIB = 1024 * 1024
SWIFT = RetryPolicy(deadline=HANGS, initial=0.001, maximum=0.01)


class Spy(AsyncApi):
    """Counts the rewrites under way."""

    now = most = sent = 0

    async def rewrite(self, *sides: Any, **conditions: Any) -> Rewrite:
        self.sent += 1
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await super().rewrite(*sides, **conditions)
        finally:
            self.now -= 1


class CountingGovernor(NullGovernor):
    def __init__(self, *waits: float) -> None:
        self.waits = waits
        self.reserved = self.storms = 0

    def reserve(self) -> float:
        self.reserved += 1
        return self.waits[self.reserved % len(self.waits)] if self.waits else 0.0

    def throttled(self, writes: int) -> None:
        self.storms += writes


class Run:
    """One run of the lane over a pair of prefixes, and what it reported."""

    def __init__(self, paths: Paths, gateway: Gateway, authority: Authority = Authority.SOURCE) -> None:
        self.paths = paths
        self.gateway = gateway
        self.authority: AuthoritySource = Always(authority)
        self.results: list[Result] = []
        self.drawn = 0
        self.stop = Stop()
        self.clock = system_clock()
        self.governor = CountingGovernor()
        self.on_result: Callable[[Result], None] = lambda _: None

    def report(self, result: Result) -> None:
        self.results.append(result)
        self.on_result(result)

    def of(self, relative: str) -> Result:
        (found,) = [result for result in self.results if result.relative == relative]
        return found

    @property
    def accounts(self) -> Counter[Account]:
        return Counter(result.account for result in self.results)

    def plan(self) -> list[DiffLine]:
        """What both sides look like now, as lines to be carried out later."""
        return asyncio.run(self._planned())

    async def _planned(self) -> list[DiffLine]:
        async with AsyncApi(endpoint=self.paths.server.url) as api:
            return [line async for batch in self._batches(api) for line in batch]

    async def _batches(self, api: AsyncApi) -> AsyncGenerator[Iterable[DiffLine], None]:
        migration = self.paths.migration
        sides = list_pages(api, migration.source), list_pages(api, migration.destination)
        async with aclosing(merge_pages(*sides, migration)) as parts:
            async for lines in parts:
                yield (line for line in lines if line.verdict is not Verdict.EXTRA)

    def carry_out(
        self,
        lines: Sequence[DiffLine] | AsyncGenerator[Iterable[DiffLine], None] | None = None,
        *,
        limits: LaneLimits | None = None,
        retry: RetryPolicy = SWIFT,
    ) -> Spy:
        return asyncio.run(self._carried_out(lines, limits, retry))

    async def _carried_out(
        self,
        lines: Sequence[DiffLine] | AsyncGenerator[Iterable[DiffLine], None] | None,
        limits: LaneLimits | None,
        retry: RetryPolicy,
    ) -> Spy:
        async with Spy(endpoint=self.paths.server.url, retry=retry) as api:
            if lines is None:
                lines = self._batches(api)
            elif isinstance(lines, Sequence):
                lines = in_batches(self.counted(lines))
            await copy_lines(
                lines,
                api,
                self.gateway,
                self.paths.migration,
                self.authority,
                report=self.report,
                stop=self.stop,
                clock=self.clock,
                governor=self.governor,
                limits=limits,
            )
            return api

    def counted(self, lines: Iterable[DiffLine]) -> Iterator[DiffLine]:
        for line in lines:
            self.drawn += 1
            yield line


async def in_batches(*batches: Iterable[DiffLine]) -> AsyncGenerator[Iterable[DiffLine], None]:
    for batch in batches:
        yield batch


@pytest.fixture
def run(paths: Paths, gateway: Gateway) -> Run:
    return Run(paths, gateway)


def put_many(paths: Paths, count: int) -> list[str]:
    names = [f"day_{number % 3}/user_{number:04}.jsonl" for number in range(count)]
    paths.server.fill(
        paths.migration.source.bucket, count, prefix=paths.migration.source.prefix, size=300, days=3
    )
    return names


def test_every_object_takes_one_request_whatever_its_name(run: Run, paths: Paths) -> None:
    """A first copy asks nothing but listings and rewrites, and the copies are the same with all their metadata."""
    for name in NAMES:
        paths.put(name, name.encode(), metadata={"k": "v"}, cache_control="no-store", content_language="fr")
    paths.server.reset_stats()
    run.carry_out()
    methods = {name: count["count"] for name, count in paths.server.stats()["methods"].items()}
    assert methods == {"storage.objects.list": 2, REWRITE: len(NAMES)}
    assert run.accounts == {Account.COPIED: len(NAMES)}
    assert sorted(paths.names()) == sorted(NAMES)
    for result in run.results:
        assert result.destination == paths.look(result.relative)
        assert result.source == paths.look(result.relative, side="source")
        assert paths.read(result.relative) == result.relative.encode()
    assert {line.verdict for line in run.plan()} == {Verdict.EQUAL}


def test_after_one_copy_in_another_class_each_further_one_names_its_class_at_once(
    run: Run, paths: Paths
) -> None:
    """Where the bucket's default is another class, the first copy takes two requests, and no other one does."""
    bucket = paths.bucket("destination")
    bucket.storage_class = "COLDLINE"
    bucket.patch()
    for number in range(4):
        paths.put(f"{number}.txt")
    assert run.carry_out(limits=LaneLimits(in_flight=1)).sent == 5
    assert run.accounts == {Account.COPIED: 4}
    assert {result.destination.storage_class for result in run.results if result.destination} == {"STANDARD"}


def test_more_than_a_page_is_copied_once_and_then_nothing_is_left_to_do(run: Run, paths: Paths) -> None:
    """Every object has one result; the second run sends no rewrite."""
    put_many(paths, 2_300)
    run.carry_out()
    assert run.accounts == {Account.COPIED: 2_300}
    assert len({result.relative for result in run.results}) == 2_300
    assert run.governor.reserved == 2_300
    run.results.clear()
    paths.server.reset_stats()
    run.carry_out()
    assert run.accounts == {Account.ALREADY_EQUAL: 2_300}
    assert paths.requests(REWRITE) == 0


def test_lines_that_call_for_no_copy_are_booked_as_they_stand(run: Run, paths: Paths) -> None:
    """Equal, excluded, and impossible ones; nothing is asked about them."""
    paths.put("equal")
    run.carry_out()
    run.results.clear()
    paths.put(".DS_Store")
    line = run.plan()[0]
    impossible = DiffLine("x" * 1_024, Verdict.MISSING, line.source, None)
    paths.server.reset_stats()
    run.carry_out([*run.plan(), impossible])
    assert run.of("equal").account is Account.ALREADY_EQUAL
    assert run.of(".DS_Store").account is Account.EXCLUDED
    result = run.of("x" * 1_024)
    assert (result.account, "1024 are allowed" in str(result.error)) == (Account.FAILED, True)
    assert run.governor.reserved == 1
    assert paths.requests(REWRITE) == paths.requests("storage.objects.get") == 0


def test_a_different_destination_is_replaced_and_said_so(run: Run, paths: Paths) -> None:
    """On condition that it is still the one listed."""
    old = paths.put("a", b"old", side="destination")
    paths.put("a", b"new")
    run.carry_out()
    result = run.of("a")
    assert result.account is Account.COPIED
    assert result.replaced is not None
    assert result.replaced.generation == old
    assert paths.read("a") == b"new"


def test_what_the_rule_replaces_is_said_as_well(paths: Paths, gateway: Gateway) -> None:
    """Where the later write wins, each copy is made by the rule; only what it replaced is said to be replaced."""
    run = Run(paths, gateway, Authority.LATER_WRITE)
    old = paths.put("a", b"old", side="destination")
    paths.put("a", b"new")
    paths.put("b", b"older")
    paths.put("b", b"later", side="destination")
    run.carry_out()
    replaced = {result.relative: result.replaced and result.replaced.generation for result in run.results}
    assert replaced == {"a": old, "b": None}


def test_a_source_written_between_plan_and_copy_is_copied_as_it_is_now(run: Run, paths: Paths) -> None:
    """The condition fails, and the rule looks again."""
    paths.put("a", b"one")
    lines = run.plan()
    generation = paths.put("a", b"two")
    run.carry_out(lines)
    result = run.of("a")
    assert result.account is Account.COPIED
    assert result.source is not None
    assert result.source.generation == generation
    assert paths.read("a") == b"two"


def test_a_source_deleted_between_plan_and_copy_is_superseded(run: Run, paths: Paths) -> None:
    """There is nothing to copy any more."""
    paths.put("a")
    lines = run.plan()
    paths.delete("a")
    run.carry_out(lines)
    assert run.of("a").account is Account.SUPERSEDED
    assert paths.names() == []


def test_a_destination_written_between_plan_and_copy_is_looked_at_again(run: Run, paths: Paths) -> None:
    """The mirror's copy is found equal; something else is replaced under new conditions."""
    paths.put("mirrored", b"same")
    paths.put("other", b"source")
    lines = run.plan()
    paths.put("mirrored", b"same", side="destination")
    paths.put("other", b"something", side="destination")
    run.carry_out(lines)
    assert run.of("mirrored").account is Account.ALREADY_EQUAL
    assert run.of("other").account is Account.COPIED
    assert paths.read("other") == b"source"


def test_under_the_destination_s_authority_nothing_is_overwritten(paths: Paths, gateway: Gateway) -> None:
    """A new source object is copied and called a straggler; what was written meanwhile is a conflict."""
    run = Run(paths, gateway, Authority.DESTINATION)
    paths.put("late", b"late")
    paths.put("both", b"source")
    lines = run.plan()
    paths.put("both", b"destination", side="destination")
    run.carry_out(lines)
    assert run.of("late").account is Account.COPIED
    assert run.of("late").straggler
    assert run.of("both").account is Account.CONFLICT
    assert paths.read("both") == b"destination"


def test_a_cutover_while_it_runs_is_heeded(run: Run, paths: Paths) -> None:
    """A plan of before the cutover: what was written on the new path since is not overwritten."""
    phase = [Authority.SOURCE]

    class Changing:
        """A source of truth that is read anew, and changes."""

        def current(self) -> Authority:
            return phase[0]

        def known(self) -> Known | None:
            return None

        def erasures(self) -> Erasures:
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()  # it may have to read, and that would block the loop
            return NO_ERASURES

    paths.put("both", b"legacy")
    paths.put("both", b"old copy", side="destination")
    lines = run.plan()
    paths.put("both", b"first write on the new path", side="destination")
    phase[0] = Authority.DESTINATION
    run.authority = Changing()
    run.carry_out(lines)
    assert run.of("both").account is Account.CONFLICT
    assert paths.read("both") == b"first write on the new path"


@pytest.mark.parametrize(
    "error", [PhaseChanged("gs://new/_migration/state.json", "deleting"), PhaseUnknown("gs://new/x", "gone")]
)
def test_a_phase_that_forbids_the_pass_ends_it(run: Run, paths: Paths, error: StorageError) -> None:
    """It concerns every object, also those that the destination lacks. What was copied before stays."""
    for name in "abc":
        paths.put(name)
    run.authority = UntilAnotherPhase(Authority.LATER_WRITE, 3, error)  # what one object asks
    with pytest.raises(type(error)):
        run.carry_out(limits=LaneLimits(in_flight=1))
    assert paths.names() == ["a"]
    assert run.accounts == {Account.COPIED: 1, Account.FAILED: 1}
    assert run.of("b").error is error


def test_an_authority_that_cannot_be_read_fails_the_object(run: Run, paths: Paths) -> None:
    """The state cannot be read: nothing is copied on a guess."""

    class Unknown:
        """An authority that a fault hides."""

        def current(self) -> Authority:
            raise Unavailable("gs://new/_migration/state.json", "no answer")

        def known(self) -> Known | None:
            return None

        def erasures(self) -> Erasures:
            return NO_ERASURES

    paths.put("both", b"legacy")
    paths.put("both", b"old copy", side="destination")
    lines = run.plan()
    run.authority = Unknown()
    run.carry_out(lines)
    assert run.of("both").account is Account.FAILED
    assert paths.read("both") == b"old copy"


def test_where_the_later_write_counts_every_object_is_replicated(run: Run, paths: Paths) -> None:
    """It takes more than one request: what is replaced is kept."""
    generation = paths.put("both", b"earlier", side="destination")
    paths.put("both", b"later")
    run.authority = Always(Authority.LATER_WRITE)
    run.carry_out()
    assert run.of("both").account is Account.COPIED
    assert run.gateway.read(paths.migration.kept_ref("both", generation)) == b"earlier"


@pytest.mark.parametrize("fault", ["reset_after", "truncate"])
def test_a_copy_whose_answer_was_lost_is_found_and_not_booked_as_copied(
    run: Run, paths: Paths, fault: str
) -> None:
    """The repetition's condition fails against the lane's own copy; the rule finds the two equal."""
    for number in range(20):
        paths.put(f"{number}", f"{number}".encode())
    paths.server.set_faults(rules=[{"method": REWRITE, "status": fault, "count": 5}])
    run.carry_out()
    assert run.accounts == {Account.COPIED: 15, Account.ALREADY_EQUAL: 5}
    assert all(paths.read(f"{number}") == f"{number}".encode() for number in range(20))


def test_a_copy_in_several_calls_is_finished_by_the_rule(run: Run, paths: Paths) -> None:
    """An answer that is not done is no success."""
    content = bytes(range(256)) * (3 * MIB // 256)
    paths.put("big", content)
    paths.server.set_faults(max_rewrite_bytes_per_call=MIB)
    run.carry_out()
    assert run.accounts == {Account.COPIED: 1}
    assert paths.read("big") == content


def test_a_large_object_is_left_to_the_rule_from_the_start(run: Run, paths: Paths) -> None:
    """Its copy may take several calls, and a long one must not be repeated for nothing."""
    paths.put("small", b"1234")
    paths.put("large", b"12345")
    assert run.carry_out(limits=LaneLimits(largest=4)).sent == 1
    assert run.accounts == {Account.COPIED: 2}


def test_an_answer_that_shows_something_else_is_no_success(run: Run, paths: Paths) -> None:
    """The source's metadata was changed after the listing: the generation is the same, the copy is not."""
    paths.put("a")
    lines = run.plan()
    blob = paths.bucket("source").blob("QPI_exports/a")
    blob.metadata = {"late": "change"}
    blob.patch()
    run.carry_out(lines)
    result = run.of("a")
    assert result.source is not None
    assert result.source.metadata.custom == {"late": "change"}
    assert result.account in {Account.COPIED, Account.ALREADY_EQUAL}
    assert paths.requests("storage.objects.get") > 0


LOOKS_RIGHT = {
    "name": "qpi_exports/a",
    "generation": "1",
    "size": "0",
    "crc32c": "AAAAAA==",
    "contentType": "text/plain",
}


@pytest.mark.parametrize(
    "answer",
    [{}, {"done": True}, {"done": True, "resource": {}}, {"done": True, "resource": "x"}]
    + [{"done": done, "resource": LOOKS_RIGHT} for done in (False, None, "yes")],
)
def test_an_answer_nobody_planned_for_is_no_success(
    run: Run, paths: Paths, monkeypatch: pytest.MonkeyPatch, answer: dict[str, Any]
) -> None:
    """The rule has the last word."""
    paths.put("a", b"", content_type="text/plain")
    lines = run.plan()

    async def strange(*words: Any, **_: Any) -> Any:
        return words[-1](Answer(200, json.dumps(answer).encode()))

    monkeypatch.setattr(JsonClient, "exchange", strange)
    run.carry_out(lines)
    assert run.accounts == {Account.COPIED: 1}
    assert paths.names() == ["a"]


def test_what_the_lane_gave_up_the_rule_tries_again(run: Run, paths: Paths) -> None:
    """Faults that outlast the lane's patience are not yet failures."""
    paths.put("a")
    paths.server.set_faults(rules=[{"method": REWRITE, "status": 503, "count": 2}])
    run.carry_out(retry=HASTY)
    assert run.accounts == {Account.COPIED: 1}


def test_an_object_that_fails_does_not_keep_the_others(run: Run, paths: Paths) -> None:
    """It is booked with its error."""
    for name in "abc":
        paths.put(name)
    rule = {"method": REWRITE, "name_prefix": "QPI_exports/b", "status": 400, "count": None}
    paths.server.set_faults(rules=[rule])
    run.carry_out()
    assert run.accounts == {Account.COPIED: 2, Account.FAILED: 1}
    assert isinstance(run.of("b").error, Refused)


def test_no_more_are_under_way_than_allowed(run: Run, paths: Paths) -> None:
    """And as many as allowed."""
    put_many(paths, 60)
    paths.server.set_faults(latency_ms=5)
    spy = run.carry_out(limits=LaneLimits(in_flight=7))
    assert spy.most == 7
    assert run.accounts == {Account.COPIED: 60}


def test_no_more_lines_are_held_than_are_under_way(run: Run, paths: Paths) -> None:
    """Memory does not grow with the number of objects."""
    put_many(paths, 300)
    most = 0

    def look(_: Result) -> None:
        nonlocal most
        most = max(most, run.drawn - len(run.results) + 1)

    lines = run.plan()
    run.on_result = look
    run.carry_out(lines, limits=LaneLimits(in_flight=5))
    assert most == 5


def test_a_lost_permission_stops_the_run(run: Run, paths: Paths) -> None:
    """The rest is not tried; everything taken has a result."""
    put_many(paths, 200)
    lines = run.plan()
    paths.server.set_faults(rules=[{"method": REWRITE, "status": 403, "skip": 50, "count": None}])
    with pytest.raises(PermissionDenied):
        run.carry_out(lines, limits=LaneLimits(in_flight=4))
    assert run.accounts[Account.COPIED] == 50
    assert 1 <= run.accounts[Account.FAILED] <= 50
    assert len(run.results) == run.drawn < 150


def test_a_bucket_that_is_gone_stops_the_run(run: Run, paths: Paths) -> None:
    """A 404 about the bucket is not one about the object."""
    put_many(paths, 200)
    lines = run.plan()
    gone = {"status": 404, "count": None, "message": "The specified bucket does not exist."}
    paths.server.set_faults(
        rules=[{**gone, "method": REWRITE, "skip": 50}, {**gone, "method": "storage.objects.list"}]
    )
    with pytest.raises(BucketNotFound):
        run.carry_out(lines, limits=LaneLimits(in_flight=4))
    assert run.accounts[Account.COPIED] == 50
    assert len(run.results) == run.drawn < 150


def test_a_storm_of_throttling_is_told_and_outlived(run: Run, paths: Paths) -> None:
    """Every answer 429 reaches the governor; every repetition takes a slot; all is copied in the end."""
    put_many(paths, 100)
    paths.server.set_faults(rules=[{"method": REWRITE, "status": 429, "count": 70}])
    run.carry_out()
    assert run.accounts == {Account.COPIED: 100}
    assert run.governor.storms == 70
    assert run.governor.reserved == 170


def test_slots_are_waited_out_one_after_the_other(run: Run, paths: Paths) -> None:
    """A slot reserved far ahead would know nothing of a storm in between."""
    put_many(paths, 30)
    slept: list[float] = []
    under_way = 0
    original = asyncio.sleep

    async def sleep(seconds: float, *_: object) -> None:
        nonlocal under_way
        under_way += 1
        slept.append(seconds)
        assert under_way == 1
        await original(0)
        under_way -= 1

    lines = run.plan()
    paths.server.set_faults(rules=[{"method": REWRITE, "status": 429, "count": 30}])
    run.governor = CountingGovernor(0.25, 0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("backfill_job.copying.lane.asyncio.sleep", sleep)
        run.carry_out(lines)
    assert slept == [0.25] * 30
    assert run.accounts == {Account.COPIED: 30}


def test_a_listing_that_fails_ends_the_run_after_what_is_under_way(run: Run, paths: Paths) -> None:
    """No verdict is drawn from a part, and no copy is forgotten."""
    put_many(paths, 50)
    lines = run.plan()

    async def broken() -> AsyncGenerator[Iterable[DiffLine], None]:
        yield iter(lines[:20])
        raise Unavailable("gs://b", "listing broke off")

    with pytest.raises(Unavailable, match="listing broke off"):
        run.carry_out(broken())
    assert run.accounts == {Account.COPIED: 20}


def test_a_plan_that_fails_half_way_through_a_batch_ends_the_run_likewise(run: Run, paths: Paths) -> None:
    """A listing out of order shows while lines are drawn."""
    put_many(paths, 50)
    lines = run.plan()

    def broken() -> Iterator[DiffLine]:
        yield from lines[:20]
        raise UnexpectedAnswer("gs://b", "not sorted")

    with pytest.raises(UnexpectedAnswer, match="not sorted"):
        run.carry_out(in_batches(broken(), lines[20:]))
    assert run.accounts == {Account.COPIED: 20}


def test_a_stop_takes_nothing_new_and_reports_what_is_under_way(run: Run, paths: Paths) -> None:
    """Everything drawn has a result, and it is true."""
    put_many(paths, 300)
    lines = run.plan()

    def stop(_: Result) -> None:
        if len(run.results) == 20:
            run.stop.by = "SIGTERM"

    run.on_result = stop
    with pytest.raises(Interrupted, match="SIGTERM"):
        run.carry_out(lines, limits=LaneLimits(in_flight=8))
    assert run.accounts == {Account.COPIED: run.drawn}
    assert 20 <= run.drawn <= 28
    assert len(paths.names()) == run.drawn


def test_what_hangs_beyond_its_time_after_a_stop_is_reported_as_unknown(
    run: Run, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed soon after: the report must not wait for an answer that may never come."""
    put_many(paths, 300)
    lines = run.plan()

    async def hang(*_: object, **__: object) -> Rewrite:
        if run.drawn == 8:
            run.stop.by = "SIGTERM"
        await asyncio.Event().wait()
        return Rewrite(None)

    monkeypatch.setattr(Spy, "rewrite", hang)
    with pytest.raises(Interrupted):
        run.carry_out(lines, limits=LaneLimits(in_flight=8, finish_within=0.01))
    assert run.accounts == {Account.FAILED: 8}
    assert run.drawn == 8
    assert all("may or may not have been copied" in str(result.error) for result in run.results)


def test_a_report_that_fails_ends_the_run(run: Run, paths: Paths) -> None:
    """A full disk must not be copied over."""
    put_many(paths, 300)
    lines = run.plan()

    def full(_: Result) -> None:
        raise OSError("no space left")

    run.on_result = full
    with pytest.raises(OSError, match="no space left"):
        run.carry_out(lines, limits=LaneLimits(in_flight=4))
    assert run.drawn < 20


@dataclass
class Hand:
    """A clock that a test moves by hand; ``during`` happens in each wait."""

    time: datetime
    during: Callable[[], object] = lambda: None
    waits: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.during()
        self.time += timedelta(seconds=seconds)


@pytest.fixture
def late(run: Run, paths: Paths) -> tuple[Run, Hand]:
    """The source's version is a second old, and was made after another one at the destination."""
    run.authority = Always(Authority.LATER_WRITE)
    paths.put("q", b"later", side="destination")
    paths.put("q", b"early, and copied late")
    state = paths.look("q", side="source")
    assert state is not None
    hand = Hand(parse_time(state.updated) + timedelta(seconds=1))
    run.clock = Clock(lambda: hand.time, hand.sleep)
    return run, hand


def test_a_young_version_replaces_nothing_until_it_is_old_enough(
    late: tuple[Run, Hand], paths: Paths
) -> None:
    """Whoever made it, as a late copy, brings over the later version meanwhile."""
    run, hand = late
    hand.during = lambda: paths.put("q", b"later")
    run.carry_out()
    assert hand.waits == [4.0]
    assert (paths.read("q", side="source"), paths.read("q")) == (b"later", b"later")
    assert b"early, and copied late" not in {paths.read(name) for name in paths.names()}


def test_a_version_that_stays_is_taken_for_a_later_write(late: tuple[Run, Hand], paths: Paths) -> None:
    """It waits once, and keeps what it replaces."""
    run, hand = late
    run.carry_out()
    assert hand.waits == [4.0]
    assert paths.read("q") == b"early, and copied late"
    assert run.accounts == {Account.COPIED: 1}


@pytest.mark.parametrize(("age", "waits"), [(5, []), (1_000_000, []), (-1_000_000, [5.0, 5.0, 5.0])])
def test_the_waiting_has_an_end_though_clocks_tick_apart(
    late: tuple[Run, Hand], paths: Paths, age: int, waits: list[float]
) -> None:
    """An old version is not waited for; one of the future three times."""
    run, hand = late
    hand.time += timedelta(seconds=age - 1)
    run.carry_out()
    assert hand.waits == waits
    assert paths.read("q") == b"early, and copied late"


def test_what_is_under_way_at_a_stop_may_finish(
    run: Run, paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers that come after the stop was seen, and within the time they are given, are waited for."""
    put_many(paths, 40)
    lines = run.plan()
    real, asked = Spy.rewrite, []

    async def rewrite(self: Spy, *sides: Any, **conditions: Any) -> Rewrite:
        asked.append(sides)
        first = len(asked) == 1
        answer = await real(self, *sides, **conditions)
        while not first and not run.stop.by:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.0 if first else 0.5)
        return answer

    def stop(_: Result) -> None:
        run.stop.by = "SIGTERM"

    monkeypatch.setattr(Spy, "rewrite", rewrite)
    run.on_result = stop
    with pytest.raises(Interrupted, match="SIGTERM"):
        run.carry_out(lines, limits=LaneLimits(in_flight=8, finish_within=60.0))
    assert run.accounts == {Account.COPIED: run.drawn}
    assert len(paths.names()) == run.drawn == len(asked) == 8
