"""Both sides of every day, counted: order-independent, mergeable, and nothing can hide in it."""

import json
import random
from dataclasses import replace
from datetime import date, timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.copying.diff import DiffLine, judge_sides
from backfill_job.verify.day_counts import DayCounts, LagCounts, line_digest
from shared.migration import Environment, qpi_exports
from shared.objects import Metadata, ObjectState, parse_time
from shared.partitions import answers_folder
from shared.verification import NO_OBJECTS, SideTotals

MIGRATION = qpi_exports(Environment.DEV)
DAY = date(2024, 1, 1)


def state(name: str, size: int = 1, crc32c: str | None = "AAAAAA==", created: str = "") -> ObjectState:
    return ObjectState(name, 1, 1, size, crc32c, None, created, "", Metadata())


names = st.one_of(
    st.builds(
        lambda day, user: f"{answers_folder(day)}user_id_{user}.jsonl",
        st.dates(DAY, DAY + timedelta(days=9)),
        st.integers(1, 50),
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)
pairs = st.builds(
    lambda name, sizes, crcs: judge_sides(
        name,
        *(None if size is None else state(name, size, crc) for size, crc in zip(sizes, crcs, strict=True)),
        MIGRATION,
    ),
    names,
    st.tuples(st.none() | st.integers(0, 3), st.none() | st.integers(0, 3)).filter(
        lambda sizes: sizes != (None, None)
    ),
    st.tuples(*[st.sampled_from([None, "AAAAAA==", "BBBBBB=="])] * 2),
)
diffs = st.lists(pairs, max_size=30, unique_by=lambda pair: pair.relative)


def counted(diff: list[DiffLine]) -> DayCounts:
    found = DayCounts()
    found.add(diff)
    return found


@given(diffs, st.integers(1, 4), st.randoms())
def test_tasks_and_their_order_change_nothing(diff: list[DiffLine], tasks: int, dice: random.Random) -> None:
    """Any split of the names over tasks, in any order, through JSON, gives the same."""
    shuffled = diff[:]
    dice.shuffle(shuffled)
    parts = [counted(shuffled[number::tasks]) for number in range(tasks)]
    through_json = [DayCounts.from_json(json.loads(json.dumps(part.to_json()))) for part in parts]
    assert DayCounts.merged(through_json).to_json() == counted(diff).to_json()


@given(diffs)
def test_every_name_is_counted_once_on_each_side_that_has_it(diff: list[DiffLine]) -> None:
    """The days and what has none add up to the whole."""
    total = counted(diff).total()
    kept = [pair for pair in diff if not MIGRATION.is_excluded(pair.relative)]
    assert sum(total.verdicts.values()) == len(kept)
    for side in ("source", "destination"):
        states = [getattr(pair, side) for pair in kept if getattr(pair, side) is not None]
        found: SideTotals = getattr(total, side)
        assert (found.objects, found.bytes) == (len(states), sum(each.size for each in states))


@given(diffs.filter(bool), st.data())
def test_any_change_of_one_object_changes_the_digest(diff: list[DiffLine], data: st.DataObject) -> None:
    """Missing, twice, renamed, another size, another checksum."""
    kept = [pair for pair in diff if pair.source is not None and not MIGRATION.is_excluded(pair.relative)]
    if not kept:
        return
    before = counted(kept).total().source.digest
    victim = data.draw(st.sampled_from(kept))
    assert victim.source is not None
    others = [pair for pair in kept if pair is not victim]
    for changed in (
        others,
        [*kept, victim],
        [*others, victim._replace(relative=victim.relative + "x")],
        [*others, victim._replace(source=victim.source._replace(size=7))],
        [*others, victim._replace(source=victim.source._replace(crc32c="CCCCCC=="))],
    ):
        assert counted(changed).total().source.digest != before


def test_the_digest_is_what_its_definition_says() -> None:
    """So that anybody can compute it: SHA-256 of ``SIZE CRC32C NAME``, added up modulo 2**256."""
    assert line_digest("é/x", state("", 5, "AAAAAA==")) == int(
        sha256("5 AAAAAA== é/x".encode()).hexdigest(), 16
    )
    assert line_digest("x", state("", 0, None)) == int(sha256(b"0 - x").hexdigest(), 16)
    full, two = (replace(NO_OBJECTS, digest=f"{digest:064x}") for digest in (2**256 - 1, 2))
    assert (full + two).digest == f"{1:064x}"
    counted_twice = counted(
        [judge_sides("x", state("", 0), None, MIGRATION), judge_sides("y", state("", 5), None, MIGRATION)]
    )
    digests = line_digest("x", state("", 0)) + line_digest("y", state("", 5))
    assert counted_twice.total().source.digest == f"{digests % 2**256:064x}"


def test_no_two_different_lines_look_alike() -> None:
    """A name with spaces cannot pass for another size or checksum."""
    assert line_digest("2 AAAAAA== x", state("", 1)) != line_digest("x", state("", 1, "AAAAAA== 2"))


@pytest.mark.parametrize("damage", [{"days": {"2024-13-01": {}}}, {"lag": 7}, {"held": "x"}, {"undated": {}}])
def test_damaged_counts_are_refused(damage: dict[str, object]) -> None:
    """By whoever reads a task's report."""
    with pytest.raises((KeyError, TypeError, ValueError, AttributeError)):
        DayCounts.from_json({**counted([]).to_json(), **damage})


# --- lag ------------------------------------------------------------------------------------------------------


def copied(lag: float, created: str = "2024-01-02T00:00:00.000Z") -> tuple[ObjectState, ObjectState]:
    moment = timedelta(seconds=lag)
    later = (parse_time(created) + moment).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return state("a", created=created), state("b", created=later)


def test_lags_of_older_objects_do_not_count() -> None:
    """The backfill copied them: they tell nothing about the mirror."""
    lag = LagCounts("2024-01-02T00:00:00.000Z")
    lag.add(*copied(5.0, "2024-01-01T23:59:59.999Z"))
    lag.add(*copied(5.0, "2024-01-02T00:00:00.001Z"))
    assert (lag.objects, lag.largest) == (1, 5.0)


@given(st.lists(st.integers(0, 5_000_000), min_size=1, max_size=60), st.sampled_from([1, 50, 90, 99, 100]))
def test_a_percentile_is_at_most_a_tenth_too_much(milliseconds: list[int], percent: int) -> None:
    """And never too little."""
    lag = LagCounts("2024-01-01T00:00:00.000Z")
    for number in milliseconds:
        lag.add(*copied(number / 1_000))
    exact = sorted(milliseconds)[-(-len(milliseconds) * percent // 100) - 1] / 1_000
    assert exact - 1e-9 <= lag.percentile(percent) <= max(exact, 0.001) * 1.1 + 1e-9
    shown = lag.lag()
    assert sum(bucket.objects for bucket in shown.buckets) == len(milliseconds)
    assert shown.max_s == max(milliseconds) / 1_000


def test_a_copy_older_than_its_source_is_counted_apart() -> None:
    """Contents that came back: equal, and no lag at all."""
    lag = LagCounts("2024-01-01T00:00:00.000Z")
    lag.add(*copied(-1.0))
    assert (lag.objects, lag.negative, lag.percentile(99)) == (0, 1, 0.0)
