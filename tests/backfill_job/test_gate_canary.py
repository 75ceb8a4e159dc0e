"""The canary on a real server: it is seen or not, and whatever happens nothing is left of it, or what is left is named."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from fnmatch import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testing_paths import Paths

from backfill_job.gate.canary import ROUNDS, SETTLE_SECONDS, Flight, _in_time, canary_name, fly
from backfill_job.run.clock import Clock
from shared.errors import Interrupted
from shared.gateway import Gateway
from shared.migration import DEFAULT_EXCLUDES, Migration
from shared.objects import Metadata, ObjectRef, ObjectState
from shared.partitions import ObjectKind, answers_folder, classify

NAME = canary_name("dev-20261120T120000Z", "00c0ffee")
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def nothing(*_: object) -> None:
    """Let the time pass."""


class Flying:
    """Flies one canary on a clock that stands still; what happens while it waits is the test's."""

    def __init__(self, paths: Paths, gateway: Gateway) -> None:
        self.gateway = gateway
        self.migration: Migration = paths.migration
        self.source = self.migration.source_ref(NAME)
        self.destination = self.migration.destination_ref(NAME)
        self.pauses: list[float] = []

    def __call__(
        self,
        *,
        waiting: Callable[[], object] = nothing,
        removing: Callable[[], object] = nothing,
        limit: float = 5.0,
    ) -> Flight:
        def pause(seconds: float) -> None:
            self.pauses.append(seconds)
            removing()

        clock = Clock(lambda: NOON, lambda _: waiting() and None)
        return fly(self.gateway, self.migration, NAME, limit=limit, clock=clock, pause=pause)

    def arrives(self) -> None:
        """What a mirror does with the canary; with an event that is delivered late, nothing any more."""
        self._copy(self.source, self.destination)

    def comes_back(self) -> None:
        """What a reverse mirror does after a rollback: it brings back what is new on the new path."""
        self._copy(self.destination, self.source)

    def _copy(self, one: ObjectRef, other: ObjectRef) -> None:
        there = self.gateway.look(one)
        if there is not None and self.gateway.look(other) is None:
            self.gateway.copy(one, other, if_source=there.generation, if_destination=0)


@pytest.fixture
def flying(paths: Paths, gateway: Gateway) -> Flying:
    return Flying(paths, gateway)


def left_in(paths: Paths) -> list[str]:
    return [*paths.names(side="source"), *paths.names()]


def test_a_canary_that_arrives_is_timed_by_cloud_storage_and_removed(paths: Paths, flying: Flying) -> None:
    """From the one object's creation to the other's; both are gone, looked at again after a pause."""
    flight = flying(waiting=flying.arrives)
    assert flight.arrived is not None
    assert 0 <= flight.arrived < 5
    assert (flight.uri, flight.problem, flight.left) == (flying.source.uri, "", ())
    assert left_in(paths) == []
    assert flying.pauses == [SETTLE_SECONDS]


def test_a_canary_that_does_not_arrive_is_waited_for_until_its_limit_and_removed(
    paths: Paths, flying: Flying
) -> None:
    """Also by a clock that stands still: the waiting itself counts."""
    looks: list[int] = []
    flight = flying(waiting=lambda: looks.append(1), limit=1.0)
    assert (flight.arrived, flight.problem, flight.left) == (None, "", ())
    assert len(looks) == 3
    assert left_in(paths) == []


def test_a_canary_that_is_gone_at_once_is_not_one_that_did_not_arrive(
    paths: Paths, flying: Flying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes on the legacy path: that is what a person has to find out."""
    write = Gateway.write

    def written_and_deleted(self: Gateway, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        write(self, at, data, if_generation=if_generation)
        paths.delete(NAME)

    monkeypatch.setattr(Gateway, "write", written_and_deleted)
    flight = flying(waiting=flying.arrives)
    assert (flight.arrived, flight.left) == (None, ())
    assert "gone right after it was written; find out who deletes there" in flight.problem


@pytest.mark.parametrize(
    ("copied", "arrived"),
    [("12:00:05.000Z", 5.0), ("12:00:05.001Z", None), ("11:59:59.999Z", 0.0)],
)
def test_a_copy_after_the_limit_did_not_arrive_in_time(copied: str, arrived: float | None) -> None:
    """However soon it is looked for; clocks of two buckets may differ by a little."""
    written = ObjectState("a", 1, 1, 1, "crc", None, "2026-11-20T12:00:00.000Z", "", Metadata())
    copy = written._replace(created=f"2026-11-20T{copied}")
    assert _in_time(written, copy, ObjectRef("b", "a"), 5.0) == arrived


def test_a_copy_that_is_finished_after_the_removal_is_removed_too(paths: Paths, flying: Flying) -> None:
    """One that was begun before: the places are looked at again after a pause."""
    begun = [True]

    def finish() -> None:
        if begun:
            begun.clear()
            paths.put(NAME, b"the copy", side="destination")

    assert flying(waiting=nothing, removing=finish, limit=0.0).left == ()
    assert left_in(paths) == []


def test_where_new_writes_are_brought_back_neither_stays(paths: Paths, flying: Flying) -> None:
    """After a rollback a reverse mirror may have brought the copy back to the legacy path between the two removals."""
    brought = [True]

    def resurrect() -> None:
        if brought:
            brought.clear()
            paths.put(NAME, b"back again")
            flying.arrives()

    assert flying(waiting=flying.arrives, removing=resurrect).left == ()
    assert left_in(paths) == []


def test_what_always_comes_back_is_left_and_named(paths: Paths, flying: Flying) -> None:
    """It is not removed for ever."""
    flight = flying(waiting=flying.arrives, removing=lambda: paths.put(NAME))
    assert flight.left == (flying.source.uri, flying.destination.uri)
    assert "something brings it again" in flight.why_left
    assert len(flying.pauses) == ROUNDS


def test_a_canary_that_cannot_be_removed_is_named_with_the_reason(paths: Paths, flying: Flying) -> None:
    """The other one is removed all the same."""
    rule = {
        "method": "storage.objects.delete",
        "bucket": paths.migration.source.bucket,
        "count": None,
        "status": 403,
    }
    paths.server.set_faults(rules=[rule])
    flight = flying(waiting=flying.arrives)
    assert flight.arrived is not None
    assert flight.left == (flying.source.uri,)
    assert "permission" in flight.why_left
    assert paths.names() == []


def test_whoever_stops_it_leaves_nothing(paths: Paths, flying: Flying) -> None:
    """Ctrl-C while it waits: removed first, then stopped."""

    def stop() -> None:
        flying.arrives()
        raise Interrupted("stopped by SIGINT before its end")

    with pytest.raises(Interrupted, match=r"stopped by SIGINT before its end$"):
        flying(waiting=stop)
    assert left_in(paths) == []


def test_whoever_stops_it_where_it_cannot_be_removed_is_told_what_to_remove(
    paths: Paths, flying: Flying
) -> None:
    """With the command."""

    def stop() -> None:
        paths.server.set_faults(rules=[{"method": "storage.objects.delete", "count": None, "status": 403}])
        raise Interrupted("stopped by SIGINT before its end")

    with pytest.raises(Interrupted) as stopped:
        flying(waiting=stop)
    assert str(stopped.value).endswith(f": gcloud storage rm '{flying.source.uri}'")


def test_an_unforeseen_error_leaves_nothing_either(paths: Paths, flying: Flying) -> None:
    """It goes on after the removal."""

    def fail() -> None:
        raise RuntimeError("a fault of the program")

    with pytest.raises(RuntimeError):
        flying(waiting=fail)
    assert left_in(paths) == []


def test_a_canary_that_may_not_be_written_says_so(paths: Paths, flying: Flying) -> None:
    """That says nothing about the mirror."""
    paths.server.set_faults(rules=[{"method": "storage.objects.insert", "count": None, "status": 403}])
    flight = flying()
    assert flight.arrived is None
    assert "permission" in flight.problem
    assert flight.left == ()


def test_a_lost_answer_to_its_own_writing_is_no_problem(paths: Paths, flying: Flying) -> None:
    """The repetition finds the object there: nobody else knows its name."""
    paths.server.set_faults(
        rules=[{"method": "storage.objects.insert", "name_prefix": "QPI_exports/", "status": "reset_after"}]
    )
    flight = flying(waiting=flying.arrives)
    assert (flight.arrived is not None, flight.problem) == (True, "")
    assert left_in(paths) == []


def test_a_look_that_fails_is_a_problem_and_leaves_nothing(paths: Paths, flying: Flying) -> None:
    """It is never taken for "not there"."""
    rule = {"method": "storage.objects.get", "bucket": paths.migration.destination.bucket, "status": 403}
    paths.server.set_faults(rules=[rule])
    flight = flying()
    assert "permission" in flight.problem
    assert left_in(paths) == []


def test_what_arrives_is_compared(paths: Paths, flying: Flying) -> None:
    """Something else under its name is no arrival."""
    flight = flying(waiting=lambda: paths.put(NAME, b"something else", side="destination"))
    assert flight.arrived is None
    assert "not as it was written (size" in flight.problem
    assert left_in(paths) == []


@given(st.text(alphabet="abcdef0123456789-TZ", min_size=1, max_size=40), st.dates())
def test_no_consumer_can_see_a_canary(run: str, day: date) -> None:
    """No day's folder, no glob of the load, no layout, no data; and nothing leaves it out by default."""
    name = canary_name(run, "00c0ffee")
    assert not name.startswith(answers_folder(day))
    assert not fnmatch(name, "qpi_answers_*")
    assert not fnmatch(name, "*.jsonl")
    what = classify(name, 50)
    assert (what.kind, what.day, what.critical) == (ObjectKind.UNKNOWN, None, False)
    assert DEFAULT_EXCLUDES == (".DS_Store",)
