"""What can be brought back: the table, row by row."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backfill_job.deletion.manifest import ManifestLine
from backfill_job.undo.options import RestoreWay, restore_option
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
