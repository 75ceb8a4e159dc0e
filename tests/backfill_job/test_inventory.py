"""What a plan says, in numbers."""

import json
from collections.abc import Iterable
from datetime import date
from itertools import pairwise
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfill_job.copying.diff import Work
from backfill_job.dry_run import inventory
from backfill_job.dry_run.estimate import work_of
from backfill_job.dry_run.inventory import (
    NAMES,
    OTHERS,
    OUTSIDE_NAMES,
    TOP_LEVEL,
    Count,
    Inventory,
    Named,
    Period,
    Reserved,
    Sample,
    Sizes,
)
from backfill_job.dry_run.plan import PlanLine, PlanStep
from shared.objects import Difference, Metadata, ObjectState
from shared.partitions import Gap, ObjectKind

TODAY = date(2024, 3, 1)


def an_object(relative: str, size: int = 10, *keys: str) -> ObjectState:
    return ObjectState(relative, 1, 1, size, "crc", None, "", "", Metadata(custom=dict.fromkeys(keys, "1")))


def a_line(step: PlanStep, relative: str, size: int = 10, *because: Difference, note: str = "") -> PlanLine:
    source = None if step is PlanStep.EXTRA else an_object(relative, size)
    there = step in {PlanStep.EQUAL, PlanStep.OVERWRITE, PlanStep.CONFLICT, PlanStep.EXTRA}
    return PlanLine(relative, step, source, an_object(relative, size) if there else None, because, note)


def analysed(lines: Iterable[PlanLine]) -> Inventory:
    found = Inventory(TODAY)
    for line in lines:
        found.add(line)
    return found


NAMES_NEAR_QPI = st.one_of(
    st.builds(
        "qpi_answers_{}/user_id_{}.jsonl".format,
        st.sampled_from(["20240131", "20240201", "20240231", "20990101"]),
        st.integers(0, 99),
    ),
    st.sampled_from(
        ["", "qpi_answers_20240131/", "qpi_answers_20240131/x", "qpi_answers_20231231.jsonl", "a/b.c"]
    ),
    st.text(max_size=8),
)
LINES = st.lists(
    st.builds(a_line, st.sampled_from(PlanStep), NAMES_NEAR_QPI, st.integers(0, 3_000)),
    max_size=60,
    unique_by=lambda line: line.relative,
)


@given(LINES)
def test_everything_is_counted_once(lines: list[PlanLine]) -> None:
    """Steps add up to the source; days, kinds, types and sizes each add up to it without what is excluded."""
    found = analysed(lines)

    at_source = [line.source for line in lines if line.source is not None]
    assert found.source == Count(len(at_source), sum(state.size for state in at_source))
    assert found.source.objects == sum(
        count.objects for step, count in found.steps.items() if step is not PlanStep.EXTRA
    )
    described = found.source.objects - found.steps[PlanStep.EXCLUDED].objects
    assert sum(day.objects for day in found.days.values()) + found.undated.objects == described
    assert sum(month.objects for month in found.months.values()) + found.undated.objects == described
    assert sum(count.objects for count in found.kinds.values()) == described
    assert sum(count.objects for count in found.file_types.values()) == described
    assert found.sizes.objects == described
    assert found.sizes.total == found.source.bytes - found.steps[PlanStep.EXCLUDED].bytes
    assert sum(count.objects for count in found.excluded.values()) == found.steps[PlanStep.EXCLUDED].objects
    assert sum(count.objects for count in found.outside.folders.values()) == found.outside.named.total


@settings(deadline=None)
@given(LINES.flatmap(lambda lines: st.tuples(st.just(lines), st.permutations(lines))))
def test_the_order_of_lines_does_not_matter(both: tuple[list[PlanLine], list[PlanLine]]) -> None:
    """Shards may be counted in any order: the findings are the same."""
    lines, shuffled = both

    assert analysed(shuffled).to_json() == analysed(lines).to_json()


@given(LINES)
def test_findings_are_json(lines: list[PlanLine]) -> None:
    """Everything found can be written to plan.json and read back."""
    found = analysed(lines).to_json()

    assert json.dumps(json.loads(json.dumps(found))) == json.dumps(found)


def test_nothing_gives_zeros() -> None:
    """An empty plan has every step with nothing in it, no days and no sizes."""
    found = analysed([])

    assert (found.source, found.destination) == (Count(), Count())
    assert found.steps == dict.fromkeys(PlanStep, Count())
    assert (found.days, found.gaps, found.missing, found.data_days) == ({}, (), 0, ())
    assert (found.sizes.mean, found.sizes.quantile(0.5), found.sizes.empty) == (0, 0, 0)


def test_days_and_months_say_what_is_planned() -> None:
    """A day counts its objects, JSONL and bytes, and what is to be copied, replaced, equal or in conflict; a month sums its days."""
    january, february = "qpi_answers_20240131", "qpi_answers_20240201"

    found = analysed(
        [
            a_line(PlanStep.EQUAL, f"{january}/", 0),
            a_line(PlanStep.COPY, f"{january}/user_id_1.jsonl", 100),
            a_line(PlanStep.OVERWRITE, f"{january}/user_id_2.jsonl", 200),
            a_line(PlanStep.CONFLICT, f"{january}/user_id_3.jsonl", 300),
            a_line(PlanStep.COPY, "qpi_answers_20240130.jsonl", 1_000),
            a_line(PlanStep.EQUAL, f"{february}/user_id_1.jsonl", 50),
            a_line(PlanStep.COPY, "notes.txt", 7),
        ]
    )

    day = Period(objects=4, jsonl=3, bytes=600, copy=1, overwrite=1, equal=1, conflict=1)
    assert found.days[date(2024, 1, 31)] == day
    assert day.differs == 2
    assert list(found.days) == [date(2024, 1, 30), date(2024, 1, 31), date(2024, 2, 1)]
    assert found.months == {
        "2024-01": Period(objects=5, jsonl=4, bytes=1_600, copy=2, overwrite=1, equal=1, conflict=1),
        "2024-02": Period(objects=1, jsonl=1, bytes=50, equal=1),
    }
    assert found.undated == Period(objects=1, bytes=7, copy=1)


def test_missing_days_are_days_without_answers() -> None:
    """A day that has only a placeholder is missing; days of the future and impossible dates open no gap."""
    found = analysed(
        [
            a_line(PlanStep.COPY, "qpi_answers_20240110.jsonl"),
            a_line(PlanStep.COPY, "qpi_answers_20240112/", 0),
            a_line(PlanStep.COPY, "qpi_answers_20240114/user_id_1.jsonl"),
            a_line(PlanStep.COPY, "qpi_answers_20240231/user_id_1.jsonl"),
            a_line(PlanStep.COPY, "qpi_answers_20240301/user_id_1.jsonl"),
            a_line(PlanStep.COPY, "qpi_answers_20990101/user_id_1.jsonl"),
        ]
    )

    assert found.gaps == (
        Gap(date(2024, 1, 11), date(2024, 1, 13)),
        Gap(date(2024, 1, 15), date(2024, 2, 29)),
    )
    assert found.missing == 3 + 46
    assert found.data_days == (date(2024, 1, 10), date(2024, 1, 14), TODAY)
    assert found.future_days == (date(2099, 1, 1),)
    assert found.impossible_dates == {"20240231": Count(1, 10)}
    in_json = found.to_json()
    assert (in_json["first_day"], in_json["last_day"], in_json["missing_days"]) == (
        "2024-01-10",
        "2024-03-01",
        49,
    )


def test_what_is_not_routine_is_named_with_its_reasons() -> None:
    """Overwrites and conflicts are named with their differences, impossible names with why, extra ones plainly."""
    found = analysed(
        [
            a_line(PlanStep.OVERWRITE, "b", 1, Difference.SIZE, Difference.CRC32C),
            a_line(PlanStep.OVERWRITE, "a", 1, Difference.CONTENT_TYPE),
            a_line(PlanStep.CONFLICT, "c", 1, Difference.MD5),
            a_line(PlanStep.EXTRA, "d"),
            a_line(PlanStep.IMPOSSIBLE, "e", note="too long"),
            a_line(PlanStep.COPY, "f"),
            a_line(PlanStep.EQUAL, "g"),
        ]
    )

    assert found.named == {
        PlanStep.OVERWRITE: Named(2, [Sample("a", ("content type",)), Sample("b", ("size", "crc32c"))]),
        PlanStep.CONFLICT: Named(1, [Sample("c", ("md5",))]),
        PlanStep.EXTRA: Named(1, [Sample("d")]),
        PlanStep.ERASED: Named(),
        PlanStep.IMPOSSIBLE: Named(1, [Sample("e", ("too long",))]),
    }


@settings(deadline=None)
@given(st.permutations(range(NAMES + 30)))
def test_names_are_bounded(order: list[int]) -> None:
    """However many there are and in whatever order they come, the first hundred by name are kept and all are counted."""
    found = analysed(a_line(PlanStep.EXTRA, f"{number:04}") for number in order)

    kept = found.named[PlanStep.EXTRA]
    assert kept.total == NAMES + 30
    assert [sample.relative for sample in kept.first] == [f"{number:04}" for number in range(NAMES)]


def test_outside_the_layouts() -> None:
    """Unknown objects are counted by top-level folder and the first of them named; strays of a day are named apart."""
    found = analysed(
        [
            *(a_line(PlanStep.COPY, f"backup/{number:03}.txt", 5) for number in range(30)),
            a_line(PlanStep.COPY, "notes", 7),
            a_line(PlanStep.COPY, "qpi_answers_20240131/x.jsonl", 3),
        ]
    )

    assert found.outside.folders == {"backup/": Count(30, 150), TOP_LEVEL: Count(1, 7)}
    assert found.outside.named.total == 31
    assert len(found.outside.named.first) == OUTSIDE_NAMES
    assert found.strays == Named(1, [Sample("qpi_answers_20240131/x.jsonl")])
    assert found.kinds == {ObjectKind.UNKNOWN: Count(31, 157), ObjectKind.STRAY: Count(1, 3)}
    assert found.file_types == {".txt": Count(30, 150), "(none)": Count(1, 7), ".jsonl": Count(1, 3)}


def test_groups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders, types and excluded names beyond a bound are counted together, so that no naming scheme fills the memory."""
    monkeypatch.setattr(inventory, "GROUPS", 2)

    found = analysed(a_line(PlanStep.COPY, f"{number}/x.t{number}") for number in range(5))

    assert found.outside.folders == {OTHERS: Count(3, 30), "0/": Count(1, 10), "1/": Count(1, 10)}
    assert found.file_types == {OTHERS: Count(3, 30), ".t0": Count(1, 10), ".t1": Count(1, 10)}


def test_excluded_objects_are_counted_by_file_name_and_nowhere_else() -> None:
    """Excluded objects count in the totals and by file name; one that only the destination has counts there alone."""
    found = analysed(
        [
            PlanLine(".DS_Store", PlanStep.EXCLUDED, an_object("x", 6), None),
            PlanLine("a/.DS_Store", PlanStep.EXCLUDED, an_object("x", 7), an_object("x", 8)),
            PlanLine("b/.DS_Store", PlanStep.EXCLUDED, None, an_object("x", 9)),
        ]
    )

    assert found.excluded == {".DS_Store": Count(2, 13)}
    assert found.steps[PlanStep.EXCLUDED] == found.source == Count(2, 13)
    assert found.destination == Count(2, 17)
    assert (found.kinds, found.file_types, found.sizes.objects, found.outside.named.total) == ({}, {}, 0, 0)


def test_reserved_metadata_keys_are_reported_by_side() -> None:
    """Keys that Google's tools stamp are counted for each side; others are not mentioned."""
    stamp = "goog-reserved-file-mtime"

    found = analysed(
        [
            PlanLine("a", PlanStep.EQUAL, an_object("a"), an_object("a", 1, stamp)),
            PlanLine("b", PlanStep.EQUAL, an_object("b", 1, stamp), an_object("b", 1, stamp, "own")),
            PlanLine("c", PlanStep.EXTRA, None, an_object("c", 1, "x-goog-reserved-x")),
        ]
    )

    assert found.reserved == {
        "goog-reserved-file-mtime": Reserved(source=1, destination=2),
        "x-goog-reserved-x": Reserved(source=0, destination=1),
    }


@given(st.lists(st.integers(0, 2**45), min_size=1), st.floats(0, 1))
def test_quantiles_are_within_a_power_of_two(sizes: list[int], share: float) -> None:
    """An estimated quantile has the true one's number of bits and lies between the smallest and the largest size."""
    found = analysed(a_line(PlanStep.COPY, str(number), size) for number, size in enumerate(sizes)).sizes

    true = sorted(sizes)[max(1, ceil(share * len(sizes))) - 1]
    low, high = Sizes.bounds(true.bit_length())
    assert low <= found.quantile(share) <= high
    assert found.smallest <= found.quantile(share) <= found.largest
    assert (found.smallest, found.largest, found.mean) == (min(sizes), max(sizes), sum(sizes) / len(sizes))
    assert found.empty == sizes.count(0)


def test_the_histogram_leaves_no_size_out() -> None:
    """The bounds of the powers of two follow each other without gap or overlap."""
    bounds = [Sizes.bounds(bits) for bits in range(45)]

    assert bounds[:4] == [(0, 0), (1, 1), (2, 3), (4, 7)]
    assert all(one[1] + 1 == two[0] for one, two in pairwise(bounds))


def test_the_work_to_do() -> None:
    """What is new is told from what is replaced, and the second copy holds neither excluded nor impossible objects."""
    found = analysed(
        [
            a_line(PlanStep.COPY, "a", 1),
            a_line(PlanStep.OVERWRITE, "b", 20),
            a_line(PlanStep.EQUAL, "c", 300),
            a_line(PlanStep.CONFLICT, "d", 4_000),
            a_line(PlanStep.EXTRA, "e", 50_000),
            a_line(PlanStep.EXCLUDED, "f", 600_000),
            a_line(PlanStep.IMPOSSIBLE, "g", 7_000_000),
        ]
    )

    assert work_of(found) == Work(
        source_objects=6, destination_objects=4, new_objects=1, replaced_objects=1, second_copy_bytes=4_321
    )
