"""Which task copies which names, and in which order."""

import json
from collections import Counter
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.run.key_ranges import (
    JOIN,
    KeyRange,
    Partition,
    assign,
    balance,
    boundaries_for,
    owner,
    ranges,
    samples_wanted,
)
from backfill_job.run.tasks import ShardMap
from shared.errors import UsageError
from shared.partitions import answers_folder

NAMES = st.text(max_size=8)
BOUNDARIES = st.lists(NAMES, max_size=40)
COUNTS = st.integers(1, 9) | st.integers(1, 1_000)
PARTITIONS = st.lists(
    st.builds(
        Partition,
        NAMES,
        st.none() | st.integers(0, 10**8),
        st.lists(NAMES, max_size=6).map(tuple),
    ),
    max_size=40,
    unique_by=lambda partition: partition.start,
)
WEEK = (1_000, 1_000, 1_000, 1_000, 1_000, 300, 200)
"""Submissions by weekday."""


def tiled(number: int) -> tuple[KeyRange, ...]:
    """So many ranges, the first one starting at no name and the others at four digits."""
    return ranges([f"{place:05}" for place in range(1, number)])


def days(number: int, *, scale: int = 1) -> list[Partition]:
    """A partition for every day from a Monday on."""
    first = date(2024, 1, 1)
    return [
        Partition(answers_folder(first + timedelta(days=day)), WEEK[day % 7] * scale) for day in range(number)
    ]


def sampled(partition: Partition, wanted: int) -> Partition:
    """The partition with so many names, evenly spread over users 1 to 1,000,000."""
    names = (
        f"{partition.start}user_id_{1_000_000 + 999_999 * number // (wanted + 1)}.jsonl"
        for number in range(1, wanted + 1)
    )
    return Partition(partition.start, partition.objects, tuple(names))


def shares(partitions: Sequence[Partition], tasks: int) -> tuple[list[float], int]:
    """Objects of every task, and the number of ranges, after partitions are sampled as far as asked for."""
    wanted = samples_wanted(partitions, tasks)
    partitions = [sampled(partition, wanted.get(partition.start, 0)) for partition in partitions]
    tiles = ranges(boundaries_for(partitions, tasks))
    loads = [0.0] * tasks
    for partition in partitions:
        # Every object, as one name for a piece of the partition between two samples.
        starts = [partition.start, *sorted(partition.samples)]
        for start in starts:
            loads[owner(tiles, start, tasks)] += (partition.objects or 0) / len(starts)
    return loads, len(tiles)


@given(BOUNDARIES, NAMES)
def test_every_name_is_in_exactly_one_range(boundaries: list[str], name: str) -> None:
    """Whatever the boundaries, the ranges tile the whole key space: no name is left over, none is in two."""
    tiles = ranges(boundaries)

    assert sum(name in tile for tile in tiles) == 1
    assert sum(boundary in tile for boundary in boundaries[:1] for tile in tiles) == len(boundaries[:1])
    assert (tiles[0].start, tiles[-1].end) == ("", "")
    assert all(one.end == other.start for one, other in pairwise(tiles))


@given(BOUNDARIES, NAMES, COUNTS)
def test_every_name_belongs_to_exactly_one_task(boundaries: list[str], name: str, count: int) -> None:
    """The owner of a name is the one task that is assigned a range with it."""
    tiles = ranges(boundaries)

    owners = [index for index in range(count) for tile in assign(tiles, index, count) if name in tile]

    assert owners == [owner(tiles, name, count)]


@given(st.integers(1, 3_000), COUNTS)
def test_assignments_cover_all_ranges_once(number: int, count: int) -> None:
    """All tasks' ranges together are all ranges, each once and its owner's, and nobody has two more than another."""
    tiles = tiled(number)

    assigned = [assign(tiles, index, count) for index in range(count)]

    assert Counter(tile for mine in assigned for tile in mine) == Counter(tiles)
    assert max(map(len, assigned)) - min(map(len, assigned)) <= 1
    assert all(
        owner(tiles, tile.start, count) == index for index, mine in enumerate(assigned) for tile in mine
    )


@given(st.integers(2, 3_000), COUNTS.filter(lambda count: count > 1))
def test_neighbours_are_different_tasks(number: int, count: int) -> None:
    """Two ranges side by side never belong to one task."""
    tiles = tiled(number)

    owners = [owner(tiles, tile.start, count) for tile in tiles]

    assert all(one != other for one, other in pairwise(owners))


@given(st.integers(2, 1_000), st.integers(1, 20))
def test_a_task_jumps(rounds: int, count: int) -> None:
    """One range after the other, a task works at least a fifth of its ranges apart."""
    tiles = tiled(rounds * count)
    mine = assign(tiles, count - 1, count)
    place = {tile: number for number, tile in enumerate(sorted(mine, key=lambda tile: tile.start))}

    assert all(abs(place[one] - place[other]) * 5 >= rounds for one, other in pairwise(mine))


def test_tasks_begin_all_over_the_key_space() -> None:
    """Ten tasks of a hundred ranges each work in ten different tenths of the key space at every moment."""
    tiles = tiled(1_000)
    place = {tile: number for number, tile in enumerate(tiles)}
    orders = [assign(tiles, index, 10) for index in range(10)]

    for moment in zip(*orders, strict=True):
        places = sorted(place[tile] for tile in moment)
        assert min(other - one for one, other in pairwise(places)) >= 20


def test_the_order_of_a_small_migration() -> None:
    """Two tasks share six ranges like this."""
    starts = [[tile.start for tile in assign(tiled(6), index, 2)] for index in range(2)]

    assert starts == [["", "00004", "00002"], ["00005", "00003", "00001"]]


@pytest.mark.parametrize("count", [*range(1, 41), 70, 99, 100])
@pytest.mark.parametrize(("rounds", "bound"), [(8, 1.3), (14, 1.15), (50, 1.07)])
def test_weekdays_are_shared_evenly(count: int, rounds: int, bound: float) -> None:
    """With eight days a task nobody has over 1.3 times the mean, with fourteen over 1.15: everyone has quiet weekends."""
    loads = [0.0] * count
    tiles = tiled(rounds * count)
    for day in range(len(tiles)):
        loads[owner(tiles, f"{day:05}", count)] += WEEK[day % 7]

    assert balance(loads) <= bound


@pytest.mark.parametrize("count", [*range(3, 41), 70, 99, 100])
def test_every_other_folder_is_shared_evenly(count: int) -> None:
    """Where big and small folders alternate, nobody gets only the big ones, from three tasks on."""
    loads = [0.0] * count
    tiles = tiled(14 * count)
    for place in range(len(tiles)):
        loads[owner(tiles, f"{place:05}", count)] += (1_000, 200)[place % 2]

    assert balance(loads) <= 1.3


@pytest.mark.parametrize("tasks", [1, 2, 7, 8, 10, 30, 100])
@pytest.mark.parametrize("number", [30, 365, 3_000])
def test_days_are_balanced(tasks: int, number: int) -> None:
    """A month, a year and eight years of days: nobody has over 1.3 times the mean, with not over 64 ranges a task."""
    loads, tiles = shares(days(number), tasks)

    assert balance(loads) <= 1.3
    assert tiles <= max(JOIN * tasks, number)


@pytest.mark.parametrize("tasks", [2, 7, 8, 10, 30, 100])
@pytest.mark.parametrize("share", [0.2, 1, 20])
def test_one_giant_partition_is_split(tasks: int, share: float) -> None:
    """A folder as big as a part, all, or twenty times of the others together is shared by all tasks."""
    others = days(200)
    total = sum(partition.objects or 0 for partition in others)
    giant = Partition("qpi_answers_20240115b/", int(total * share))

    loads, _ = shares([*others, giant], tasks)

    assert balance(loads) <= 1.3


@given(PARTITIONS, st.integers(1, 100))
def test_any_partitions_give_boundaries(partitions: list[Partition], tasks: int) -> None:
    """Whatever is found: ascending boundaries, all of them starts or samples, and never the start of the first."""
    boundaries = boundaries_for(partitions, tasks)

    known = {name for partition in partitions for name in (partition.start, *partition.samples)}
    assert list(boundaries) == sorted({*boundaries})
    assert {*boundaries} <= known - {"", min((partition.start for partition in partitions), default="")}
    assert len(boundaries) < max(1, JOIN * tasks)


def test_a_range_is_a_partition() -> None:
    """Where partitions are neither too big nor too many, each is a range."""
    found = days(100)

    assert boundaries_for(found, 2) == tuple(partition.start for partition in found[1:])
    assert samples_wanted(found, 2) == {}


def test_the_order_of_discovery_does_not_matter() -> None:
    """Partitions in any order give the same boundaries."""
    found = [sampled(partition, 9) for partition in days(20)]

    assert boundaries_for(found[::-1], 3) == boundaries_for(found, 3)


def test_a_single_folder_is_split_where_it_was_sampled() -> None:
    """Sixteen pieces a task are wanted; all names are taken where they are too few, evenly spread ones where there are more."""
    folder = Partition("", 1_000, tuple("abcdefghi"))

    assert samples_wanted([folder], 2) == {"": 31}
    assert boundaries_for([folder], 2) == tuple("abcdefghi")

    small = Partition("y/", 240, tuple(f"y/{letter}" for letter in "abcdefghi"))
    others = [Partition(f"x{number:02}/", 60) for number in range(18)]
    assert boundaries_for([*others, small], 1)[17:] == ("y/", "y/c", "y/g")


def test_samples_of_elsewhere_split_nothing() -> None:
    """A sample outside its partition would not halve it, and is left out."""
    folder = Partition("b/", 10, ("a", "b/", "b/5", "c/1", "z"))

    assert boundaries_for([folder, Partition("c/", 1)], 1) == ("b/5", "c/")


def test_partitions_of_unknown_size_count_as_average_ones() -> None:
    """A size that nobody knows is taken for the mean of those that are known, or all for the same."""
    known = [Partition(f"a{number}/", 100) for number in range(40)]

    assert samples_wanted([*known, Partition("b/")], 2) == {}
    assert samples_wanted([*known, Partition("b/", 10_000)], 2)["b/"] > 20
    assert samples_wanted([*known[:3], Partition("b/")], 1) == {"a0/": 3, "a1/": 3, "a2/": 3, "b/": 3}
    assert samples_wanted([Partition("a/"), Partition("b/")], 1) == {"a/": 7, "b/": 7}


def test_many_small_partitions_are_joined() -> None:
    """A hundred thousand folders for two tasks become 128 ranges of about the same size."""
    found = [Partition(f"{number:06}/", 10) for number in range(100_000)]

    boundaries = boundaries_for(found, 2)

    assert len(boundaries) + 1 == 2 * JOIN
    sizes = [int(other[:6]) - int(one[:6]) for one, other in pairwise(["000000/", *boundaries, "100000/"])]
    assert max(sizes) - min(sizes) <= 1


def test_a_giant_among_many_small_ones_is_split_as_they_are_joined() -> None:
    """Where a folder is split and others are joined, no range is much bigger than a 64th of a task's fair part."""
    small = [Partition(f"{number:04}/", 10) for number in range(1_000)]
    giant = Partition("5000/", 10_000, tuple(f"5000/{number:03}" for number in range(100)))

    tiles = ranges(boundaries_for([*small, giant], 2))

    objects_of_small = [10 * sum(partition.start in tile for partition in small) for tile in tiles]
    assert samples_wanted([*small, giant], 2) == {"5000/": 15}
    assert len([tile for tile in tiles if tile.start >= "5000/"]) == 16
    assert len(tiles) == 64 + 16
    assert max(objects_of_small) <= 20_000 / (2 * JOIN) * 1.1


def test_an_empty_prefix_is_one_range() -> None:
    """Nothing found is one range with everything, and one task's."""
    assert ranges(boundaries_for([], 5)) == (KeyRange("", ""),)
    assert samples_wanted([], 5) == {}


def test_names_that_come_later_have_a_place() -> None:
    """A new day, a flat file and the prefix's own placeholder belong to a task although no discovery saw them."""
    tiles = ranges(boundaries_for(days(10), 3))

    later = [
        f"{answers_folder(date(2031, 1, 1))}user_id_1.jsonl",
        "qpi_answers_20240103.jsonl",
        "",
        "\U0010ffff",
    ]

    for name in later:
        assert sum(name in tile for index in range(3) for tile in assign(tiles, index, 3)) == 1


def test_bounds_of_a_listing() -> None:
    """A range below a prefix is listed by complete names, and without a bound where it has none."""
    assert KeyRange("a", "b").below("x/") == ("x/a", "x/b")
    assert KeyRange("", "").below("x/") == ("", "")


def test_names_are_ordered_by_their_bytes() -> None:
    """Beyond the basic plane, UTF-16 would order differently; UTF-8 and Python do not."""
    assert ranges(["\U0001f600", "\uffee"]) == (
        KeyRange("", "\uffee"),
        KeyRange("\uffee", "\U0001f600"),
        KeyRange("\U0001f600", ""),
    )


@pytest.mark.parametrize(
    ("sizes", "expected"), [([], 1.0), ([0, 0], 1.0), ([5], 1.0), ([1, 1], 1.0), ([3, 1], 1.5)]
)
def test_balance(sizes: list[float], expected: float) -> None:
    """The largest share over the mean; nothing at all is even."""
    assert balance(sizes) == expected


@pytest.mark.parametrize(("index", "count"), [(0, 0), (-1, 2), (2, 2)])
def test_there_is_no_such_task(index: int, count: int) -> None:
    """An index out of range is refused: it would silently copy what another task copies, or nothing."""
    with pytest.raises(ValueError, match="no task"):
        assign(tiled(3), index, count)


def test_nobody_owns_nothing() -> None:
    """Without a task there is no owner and nobody to share with."""
    with pytest.raises(ValueError, match="own nothing"):
        owner(tiled(3), "a", 0)
    with pytest.raises(ValueError, match="share nothing"):
        boundaries_for([], 0)


def test_an_empty_range_is_refused() -> None:
    """A range that ends where it starts would be listed as one without an end."""
    with pytest.raises(ValueError, match="no name lies"):
        KeyRange("a", "a")


@given(BOUNDARIES, COUNTS, st.text(min_size=1))
def test_a_map_is_read_as_it_was_written(boundaries: list[str], tasks: int, run: str) -> None:
    """All tasks have the same ranges, whoever wrote the map."""
    written = ShardMap(run, tasks, tuple(sorted({*boundaries} - {""})))

    found = ShardMap.from_json(written.to_json(), run=run, tasks=tasks)

    assert found == written
    assert found.to_json() == written.to_json()
    assert found.ranges_of(tasks - 1) == assign(ranges(boundaries), tasks - 1, tasks)


GOOD = {"version": 1, "run": "job-abc", "tasks": 2, "boundaries": ["a", "b"]}


def test_the_form_of_a_map() -> None:
    """A map is JSON with these four."""
    assert json.loads(ShardMap("job-abc", 2, ("a", "b")).to_json()) == GOOD


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not JSON"),
        (ShardMap("job-abc", 2, ("a", "b")).to_json()[:-5], "not JSON"),
        (b"\xff\xff", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "without version"),
        ("{}", "without version"),
        ({**GOOD, "extra": 1}, "something else"),
        ({**GOOD, "version": 2}, "version 2"),
        ({**GOOD, "version": True}, "damaged"),
        ({**GOOD, "version": "1"}, "damaged"),
        ({**GOOD, "run": None}, "damaged"),
        ({**GOOD, "run": ""}, "no such execution"),
        ({**GOOD, "run": "job-xyz"}, "'job-xyz'.*'job-abc' with 2 was expected"),
        ({**GOOD, "tasks": 0}, "no such execution"),
        ({**GOOD, "tasks": 2.0}, "damaged"),
        ({**GOOD, "tasks": 3}, "with 3 tasks, where"),
        ({**GOOD, "boundaries": "ab"}, "not names"),
        ({**GOOD, "boundaries": ["a", 1]}, "not names"),
        ({**GOOD, "boundaries": ["b", "a"]}, "do not ascend"),
        ({**GOOD, "boundaries": ["a", "a"]}, "do not ascend"),
        ({**GOOD, "boundaries": ["", "a"]}, "do not ascend"),
        ({**GOOD, "boundaries": ["\ud800"]}, "no object name"),
    ],
)
def test_a_damaged_or_foreign_map_is_refused(text: bytes | str | dict[str, object], reason: str) -> None:
    """A map that is not exactly this execution's stops the task, with the reason: it would copy other names."""
    contents = json.dumps(text) if isinstance(text, dict) else text

    with pytest.raises(UsageError, match=reason):
        ShardMap.from_json(contents, run="job-abc", tasks=2)
