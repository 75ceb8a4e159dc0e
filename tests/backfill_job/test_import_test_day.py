"""A day's test while the day is being written: what was loaded is known, or it is called in flight."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from test_import_test_duckdb import FOLDER, A, line
from testing_paths import Paths

from backfill_job.consumer import PRESET, read_consumer
from backfill_job.import_test.compare import ImportDay, ImportVerdict, Loaded, NotLoadable
from backfill_job.import_test.day import ATTEMPTS, Folder, try_day
from backfill_job.import_test.duckdb import EmbeddedEngine
from backfill_job.run.clock import Clock
from backfill_job.run.stopping import Stop
from shared.errors import BucketNotFound, Interrupted, PermissionDenied
from shared.gateway import Gateway
from shared.migration import Location, Migration

DAY = date(2024, 1, 31)
B = ("8", 0, [])
MINUTE = timedelta(minutes=1)
NONE = timedelta()


class Meanwhile:
    """An engine during whose loads something happens."""

    def __init__(self, engine: EmbeddedEngine, happens: Callable[[int], object], at: int) -> None:
        self.engine, self.happens, self.at, self.loads = engine, happens, at, 0
        self.tables: list[str] = []

    def load(self, folder: Folder, table: str) -> Loaded | NotLoadable:
        self.loads += 1
        self.tables.append(table)
        outcome = self.engine.load(folder, table)
        if self.loads <= self.at:
            self.happens(self.loads)
        return outcome


@pytest.fixture
def engine(gateway: Gateway) -> Iterator[EmbeddedEngine]:
    with EmbeddedEngine(gateway, readers=4, stop=Stop()) as engine:
        yield engine


def real_time() -> datetime:
    return datetime.now(UTC)


def clock_that(
    pauses: Callable[[float], object] = lambda _: None, now: Callable[[], datetime] = real_time
) -> Clock:
    return Clock(now, lambda seconds: pauses(seconds) and None)


def written(paths: Paths, name: str) -> datetime:
    state = paths.look(FOLDER + name, side="source")
    assert state is not None
    return datetime.fromisoformat(state.created)


def both(paths: Paths, name: str, data: bytes) -> None:
    paths.put(FOLDER + name, data)
    paths.put(FOLDER + name, data, side="destination")


QPI = read_consumer(PRESET)

Trial = Callable[..., ImportDay]


@pytest.fixture
def trial(paths: Paths, gateway: Gateway, engine: EmbeddedEngine) -> Trial:
    def run(
        during: Callable[[int], object] = lambda _: None,
        *,
        at: int = 0,
        grace: timedelta = NONE,
        pauses: Callable[[float], object] = lambda _: None,
        now: Callable[[], datetime] = real_time,
    ) -> ImportDay:
        return try_day(
            DAY,
            paths.migration,
            gateway,
            Meanwhile(engine, during, at),
            QPI,
            grace=grace,
            clock=clock_that(pauses, now),
        )

    return run


def test_both_paths_are_loaded_and_compared(trial: Trial, paths: Paths) -> None:
    """The same submissions, in other objects and another order: the same import."""
    paths.put(FOLDER + "a.jsonl", line(A) + line(B))
    paths.put(FOLDER + "1.jsonl", line(B), side="destination")
    paths.put(FOLDER + "2.jsonl", line(A), side="destination")
    day = trial()
    assert (day.verdict, day.attempts) == (ImportVerdict.EQUAL, 1)
    assert (day.legacy.objects, day.new.objects) == (1, 2)
    assert isinstance(day.new.outcome, Loaded)
    assert (day.new.outcome.rows, day.new.outcome.users) == (2, 2)


def test_each_path_is_asked_for_by_its_own_name(trial: Trial, paths: Paths) -> None:
    """A folder under the legacy prefix's case on the new bucket is not the new path: the mistake of the last cutover."""
    paths.put(FOLDER + "a.jsonl", line(A))
    paths.bucket("destination").blob(f"QPI_exports/{FOLDER}a.jsonl").upload_from_string(line(A))
    day = trial()
    assert day.verdict is ImportVerdict.ABSENT
    assert day.sentence.startswith("absent on the new path, where the legacy path has 1 object:")
    assert (day.names.missing, day.names.examples) == (1, ("missing a.jsonl",))


def test_presence_is_any_object_and_loading_needs_a_file(trial: Trial, paths: Paths) -> None:
    """A placeholder satisfies the DAG's presence check, and then its load finds no file."""
    paths.put(FOLDER + "a.jsonl", line(A))
    paths.put(FOLDER, b"", side="destination")
    paths.put(FOLDER + "a.JSONL", line(A), side="destination")
    day = trial()
    assert day.verdict is ImportVerdict.NOT_LOADABLE
    assert (day.new.objects, day.new.files) == (2, 0)
    glob = f"{paths.migration.destination.uri}{FOLDER}*.jsonl"
    assert day.sentence == (
        f"not loadable on the new path: nothing in the folder matches {glob}; the load would find no file"
    )


def test_the_names_that_disagree_are_counted_and_shown(trial: Trial, paths: Paths) -> None:
    """Whoever has to mend it knows where to look; what the glob does not take is left out."""
    both(paths, "same.jsonl", line(A))
    paths.put(FOLDER + "changed.jsonl", line(A))
    paths.put(FOLDER + "changed.jsonl", line(B), side="destination")
    paths.put(FOLDER + "lost.jsonl", line(A))
    paths.put(FOLDER + "notes.txt", b"x")
    paths.put(FOLDER + "new.jsonl", line(A), side="destination")
    day = trial()
    assert day.verdict is ImportVerdict.DIFFERS
    expected = ("missing lost.jsonl", "extra new.jsonl", "different changed.jsonl")
    assert (day.names.missing, day.names.extra, day.names.differing) == (1, 1, 1)
    assert day.names.examples == expected


# --- races ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_folder_that_changes_during_the_load_is_tried_again(trial: Trial, paths: Paths, side: str) -> None:
    """Overwritten with the very same bytes even: what was loaded is only known when the versions stood still."""
    both(paths, "a.jsonl", line(A))
    waits: list[float] = []
    day = trial(lambda _: paths.put(FOLDER + "a.jsonl", line(A), side=side), at=1, pauses=waits.append)
    assert (day.verdict, day.attempts, len(waits)) == (ImportVerdict.EQUAL, 2, 1)


def test_what_arrives_during_the_load_is_part_of_the_next_try(trial: Trial, paths: Paths) -> None:
    """The figures belong to one state of the folders, the last one seen."""
    both(paths, "a.jsonl", line(A))
    day = trial(lambda _: both(paths, "b.jsonl", line(B)), at=1)
    assert (day.verdict, day.attempts) == (ImportVerdict.EQUAL, 2)
    assert isinstance(day.legacy.outcome, Loaded)
    assert day.legacy.outcome.rows == 2


def test_a_day_that_never_stands_still_is_in_flight(trial: Trial, paths: Paths) -> None:
    """No verdict is made up: not equal, though every load was."""
    both(paths, "a.jsonl", line(A))
    waits: list[float] = []
    day = trial(lambda _: paths.put(FOLDER + "a.jsonl", line(A)), at=2 * ATTEMPTS, pauses=waits.append)
    assert (day.verdict, day.attempts, len(waits)) == (ImportVerdict.IN_FLIGHT, ATTEMPTS, ATTEMPTS - 1)
    assert day.sentence.startswith("in flight")
    assert not day.passed(allow_empty=True)


def test_what_was_deleted_while_it_was_read_is_tried_again(trial: Trial, paths: Paths) -> None:
    """A deletion between listing and reading is a change of the folder, not a folder that cannot be loaded."""
    both(paths, "a.jsonl", line(A))
    both(paths, "b.jsonl", line(B))

    def delete(_: int) -> None:
        paths.delete(FOLDER + "b.jsonl", side="source")
        paths.delete(FOLDER + "b.jsonl", side="destination")

    day = trial(delete, at=1)
    assert (day.verdict, day.attempts, day.legacy.objects) == (ImportVerdict.EQUAL, 2, 1)


def test_the_mirror_is_given_its_time(trial: Trial, paths: Paths) -> None:
    """What was written a moment ago may still be on its way; once it has arrived the day is equal."""
    both(paths, "a.jsonl", line(A))
    paths.put(FOLDER + "b.jsonl", line(B))
    day = trial(grace=MINUTE, pauses=lambda _: paths.put(FOLDER + "b.jsonl", line(B), side="destination"))
    assert (day.verdict, day.attempts) == (ImportVerdict.EQUAL, 2)


@pytest.mark.parametrize("side", ["source", "destination"])
def test_what_does_not_arrive_in_time_is_in_flight_and_without_grace_a_difference(
    trial: Trial, paths: Paths, side: str
) -> None:
    """A difference that is younger than the grace period is not proven, in either direction."""
    both(paths, "a.jsonl", line(A))
    paths.put(FOLDER + "b.jsonl", line(B), side=side)
    assert trial(grace=MINUTE).verdict is ImportVerdict.IN_FLIGHT
    settled = trial()
    assert (settled.verdict, settled.attempts) == (ImportVerdict.DIFFERS, 1)


def test_an_old_difference_is_one_at_once_though_the_day_is_still_written(trial: Trial, paths: Paths) -> None:
    """Objects that agree do not keep a difference in flight, however young they are."""
    paths.put(FOLDER + "lost.jsonl", line(A))
    older = written(paths, "lost.jsonl")
    both(paths, "young.jsonl", line(B))
    while written(paths, "young.jsonl") == older:  # times have their resolution
        both(paths, "young.jsonl", line(B))
    moment = older + MINUTE + timedelta(microseconds=1)
    assert trial(grace=MINUTE, now=lambda: moment).verdict is ImportVerdict.DIFFERS
    assert trial(grace=MINUTE, now=lambda: older + MINUTE / 2).verdict is ImportVerdict.IN_FLIGHT


def test_a_day_on_neither_path_is_absent_at_once(trial: Trial) -> None:
    """Nothing is loaded, and nothing is waited for."""
    waits: list[float] = []
    day = trial(grace=MINUTE, pauses=waits.append)
    assert (day.verdict, day.attempts, waits) == (ImportVerdict.ABSENT, 1, [])
    assert day.sentence.startswith("absent on both sides")


# --- errors ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("listing", range(4))
def test_a_listing_that_fails_is_an_error_and_never_absence(trial: Trial, paths: Paths, listing: int) -> None:
    """Neither before nor after the loads, on neither path, is a failure read as an empty folder."""
    both(paths, "a.jsonl", line(A))
    paths.server.set_faults(
        rules=[{"method": "storage.objects.list", "skip": listing, "count": 1, "status": 403}]
    )
    with pytest.raises(PermissionDenied):
        trial()


def test_a_bucket_that_is_not_there_is_an_error(
    paths: Paths, gateway: Gateway, engine: EmbeddedEngine
) -> None:
    """No bucket is not an empty folder."""
    both(paths, "a.jsonl", line(A))
    elsewhere = Migration(paths.migration.source, Location("nowhere-at-all", "qpi_exports/"))
    with pytest.raises(BucketNotFound):
        try_day(DAY, elsewhere, gateway, engine, QPI, grace=NONE, clock=clock_that())


def test_somebody_who_stops_the_waiting_ends_it(trial: Trial, paths: Paths) -> None:
    """The pause between two tries is one of the moments at which Ctrl-C is heard."""

    def stop(_: float) -> None:
        raise Interrupted("stopped")

    both(paths, "a.jsonl", line(A))
    with pytest.raises(Interrupted):
        trial(lambda _: paths.put(FOLDER + "a.jsonl", line(B)), at=1, pauses=stop)


def test_tables_have_new_names_each_time(paths: Paths, gateway: Gateway, engine: EmbeddedEngine) -> None:
    """A second try never loads into what the first one left."""
    both(paths, "a.jsonl", line(A))
    meanwhile = Meanwhile(engine, lambda _: paths.put(FOLDER + "a.jsonl", line(A)), at=1)
    try_day(DAY, paths.migration, gateway, meanwhile, QPI, grace=NONE, clock=clock_that())
    assert meanwhile.tables == [
        f"{side}_qpi_answers_20240131_{attempt}" for attempt in (1, 2) for side in ("legacy", "new")
    ]


def test_nothing_in_the_buckets_is_changed(trial: Trial, paths: Paths) -> None:
    """Only lists and reads."""
    both(paths, "a.jsonl", line(A))
    paths.server.reset_stats()
    trial()
    assert set(paths.server.stats()["methods"]) == {"storage.objects.list", "storage.objects.download"}
