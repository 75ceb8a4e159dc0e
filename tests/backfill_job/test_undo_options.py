"""What can be brought back: the table, row by row."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.deletion.manifest import ManifestLine
from backfill_job.undo.options import RestoreOption, RestoreWay, restore_option
from backfill_job.undo.restore import RestorePlan
from backfill_job.undo.screen import day_lines, end_lines
from shared.gcs.listing import HeldVersion
from shared.objects import Metadata, ObjectState, same

UNTIL = "2027-01-08T00:00:00.000Z"
LINE = ManifestLine("n", 7, 3, "AAAA==", None, "t", Metadata("a/b"), 9)
SAME = LINE.state._replace(generation=70, created="later")
OTHER = SAME._replace(crc32c="BBBB==")
RETYPED = SAME._replace(metadata=Metadata("x/y"))
HELD, ODD = HeldVersion(LINE.state, until=UNTIL), HeldVersion(OTHER, until=UNTIL)


@pytest.mark.parametrize(
    ("legacy", "shelf", "new", "way"),
    [
        (SAME, HELD, SAME, RestoreWay.THERE),
        (SAME, None, None, RestoreWay.THERE),
        (OTHER, HELD, SAME, RestoreWay.OCCUPIED),
        (RETYPED, None, SAME, RestoreWay.OCCUPIED),
        (None, HELD, SAME, RestoreWay.SOFT_DELETE),
        (None, HELD, None, RestoreWay.SOFT_DELETE),
        (None, HELD, OTHER, RestoreWay.SOFT_DELETE),
        (None, None, SAME, RestoreWay.NEW_PATH),
        (None, ODD, SAME, RestoreWay.NEW_PATH),
        (None, None, OTHER, RestoreWay.LOST),
        (None, None, RETYPED, RestoreWay.LOST),
        (None, ODD, None, RestoreWay.LOST),
        (None, None, None, RestoreWay.LOST),
    ],
    ids=range(13),
)
def test_the_table(
    legacy: ObjectState | None, shelf: HeldVersion | None, new: ObjectState | None, way: RestoreWay
) -> None:
    """Each row has its way, and whatever cannot be brought back says why."""
    found = restore_option(LINE, legacy, shelf, new)
    assert found.way is way
    assert bool(found.because) is (way in {RestoreWay.LOST, RestoreWay.OCCUPIED})
    assert found.until == (UNTIL if shelf is HELD else "")
    assert found.same_at_new_path is (new is SAME)


states = st.none() | st.sampled_from([SAME, OTHER, RETYPED])


@given(states, st.none() | st.sampled_from([HELD, ODD]), states)
def test_nothing_that_is_there_is_ever_in_the_way_of_a_write(
    legacy: ObjectState | None, shelf: HeldVersion | None, new: ObjectState | None
) -> None:
    """Something is written only where nothing is, and only what is the same as the manifest says."""
    found = restore_option(LINE, legacy, shelf, new)
    if found.way in {RestoreWay.SOFT_DELETE, RestoreWay.NEW_PATH}:
        assert legacy is None
        brought = shelf.state if found.way is RestoreWay.SOFT_DELETE and shelf else new
        assert brought is not None
        assert same(LINE.state, brought)


def test_what_cannot_be_listed_is_not_said_to_be_gone() -> None:
    """Nobody knows what soft delete holds then; somebody who may look may still restore it."""
    found = restore_option(LINE, None, None, None, soft_delete_unavailable="refused")
    assert found.because == "what soft delete holds cannot be listed (refused), and the new path has none"


def option(way: RestoreWay, day: int, until: str = "", *, size: int = 3, new: bool = False) -> RestoreOption:
    line = LINE._replace(name=f"qpi_answers_2024010{day}/user_id_1.jsonl", size=size)
    return RestoreOption(line, way, until, new, None, "" if until else "why")


def test_a_plan_says_when_soft_delete_lets_go_first_and_last() -> None:
    """Of all lines, and of each day the first; an object that comes back in another way has no such time."""
    early, middle, late = (f"2027-01-0{number}T10:00:00Z" for number in (1, 2, 3))
    plan = RestorePlan()
    for day, until in ((1, middle), (1, late), (2, late), (2, early), (1, middle)):
        plan.add(option(RestoreWay.SOFT_DELETE, day, until))
    plan.add(option(RestoreWay.OCCUPIED, 3, "2026-01-01T10:00:00Z"))
    assert plan.until == {date(2024, 1, 1): middle, date(2024, 1, 2): early}
    assert "Soft delete holds the first until 2027-01-01 10:00 UTC, the last until 2027-01-03 10:00 UTC." in (
        end_lines(plan, None)
    )
    content = plan.to_json()
    assert (content["first_until"], content["last_until"]) == (early, late)


def test_a_plan_counts_lines_and_bytes_by_what_can_be_done() -> None:
    """And how many are the same at the new path; what cannot be brought back is there by name."""
    plan = RestorePlan()
    plan.counts.list(4)
    for each in (
        option(RestoreWay.NEW_PATH, 1, size=10, new=True),
        option(RestoreWay.NEW_PATH, 1, size=20, new=True),
        option(RestoreWay.THERE, 1, size=400, new=True),
        option(RestoreWay.LOST, 2, size=3_000),
    ):
        plan.add(replace(each, because=each.because if each.way is RestoreWay.LOST else ""))
    nothing = dict.fromkeys((way.value for way in RestoreWay), 0)
    assert plan.to_json() == {
        "selected": 4,
        "ways": {**nothing, "new_path": 2, "there": 1, "lost": 1},
        "bytes": {**nothing, "new_path": 30, "there": 400, "lost": 3_000},
        "same_at_new_path": 3,
        "first_until": None,
        "last_until": None,
        "no_soft_delete": None,
        "hopeless": ["lost qpi_answers_20240102/user_id_1.jsonl: why"],
    }
    assert not plan.possible
    assert day_lines(plan) == [
        "  2024-01-01: 3 objects, 2 at the new path, 1 there",
        "  2024-01-02: 1 object, 1 LOST",
    ]
