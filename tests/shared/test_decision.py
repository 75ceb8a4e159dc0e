"""The decision table, a row a test."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.decision import ABSENT, Action, Authority, Decision, decide
from shared.objects import CONTENT_DIFFERENCES, Difference, Metadata, ObjectState

S = ObjectState(
    "a/x", 71, 1, 3, "crc-s", "md5-s", "2024-01-02T00:00:00.000Z", "", Metadata("application/json")
)
SAME = S._replace(name="b/x", generation=12, created="2024-01-02T00:00:00.001Z")
DIFFERENT = SAME._replace(crc32c="crc-d", md5="md5-d")
BECAUSE = (Difference.CRC32C, Difference.MD5)
LABELLED = SAME._replace(metadata=Metadata("text/plain"), updated=SAME.created)
TYPE = (Difference.CONTENT_TYPE,)
CLASS = "2024-01-09T00:00:00.000Z"
MOVED = S._replace(updated=CLASS, class_updated=CLASS, metageneration=2)
LEGACY, NEW, LATER = Authority.SOURCE, Authority.DESTINATION, Authority.LATER_WRITE


@pytest.mark.parametrize(
    ("source", "destination", "authority", "expected"),
    [
        (None, None, LEGACY, Decision(Action.NOTHING, ABSENT, ABSENT)),
        (None, DIFFERENT, LEGACY, Decision(Action.NOTHING, ABSENT, 12)),
        (None, None, NEW, Decision(Action.NOTHING, ABSENT, ABSENT)),
        (None, DIFFERENT, NEW, Decision(Action.NOTHING, ABSENT, 12)),
        (S, None, LEGACY, Decision(Action.COPY, 71, ABSENT)),
        (S, None, NEW, Decision(Action.COPY, 71, ABSENT, straggler=True)),
        (S, SAME, LEGACY, Decision(Action.EQUAL, 71, 12)),
        (S, SAME, NEW, Decision(Action.EQUAL, 71, 12)),
        (S, SAME._replace(created=S.created), LEGACY, Decision(Action.COPY, 71, 12, again=True)),
        (S, SAME._replace(created="2024-01-01T23:00:00Z"), LEGACY, Decision(Action.COPY, 71, 12, again=True)),
        (S, SAME._replace(created="2024-01-02T02:00:00+01:00"), LEGACY, Decision(Action.EQUAL, 71, 12)),
        (S, SAME._replace(created=""), LEGACY, Decision(Action.COPY, 71, 12, again=True)),
        (S, SAME._replace(created=""), NEW, Decision(Action.EQUAL, 71, 12)),
        (S, DIFFERENT, LEGACY, Decision(Action.COPY, 71, 12, BECAUSE)),
        (S, DIFFERENT, NEW, Decision(Action.CONFLICT, 71, 12, BECAUSE)),
        (None, DIFFERENT, LATER, Decision(Action.NOTHING, ABSENT, 12)),
        (S, None, LATER, Decision(Action.COPY, 71, ABSENT)),
        (S, SAME, LATER, Decision(Action.EQUAL, 71, 12)),
        (S, SAME._replace(created=S.created), LATER, Decision(Action.COPY, 71, 12, again=True)),
        (S, DIFFERENT, LATER, Decision(Action.CONFLICT, 71, 12, BECAUSE)),
        (S, DIFFERENT._replace(created=S.created), LATER, Decision(Action.CONFLICT, 71, 12, BECAUSE)),
        (
            S,
            DIFFERENT._replace(created="2024-01-01T23:00:00Z"),
            LATER,
            Decision(Action.COPY, 71, 12, BECAUSE),
        ),
        # Only the metadata differs: then the time of its last change decides.
        (S, LABELLED, LATER, Decision(Action.CONFLICT, 71, 12, TYPE)),
        (
            S._replace(updated="2024-01-03T00:00:00.000Z"),
            LABELLED,
            LATER,
            Decision(Action.COPY, 71, 12, TYPE),
        ),
        # A change of storage class by the service is not a write, on either side.
        (MOVED, LABELLED, LATER, Decision(Action.CONFLICT, 71, 12, TYPE)),
        (
            S._replace(updated="2024-01-03T00:00:00.000Z"),
            LABELLED._replace(updated=CLASS, class_updated=CLASS, metageneration=2),
            LATER,
            Decision(Action.COPY, 71, 12, TYPE),
        ),
        # It hides whether and when a client changed the metadata: nothing is overwritten.
        (MOVED._replace(metageneration=3), LABELLED, LATER, Decision(Action.CONFLICT, 71, 12, TYPE)),
        (
            S._replace(updated="2024-01-03T00:00:00.000Z"),
            LABELLED._replace(updated=CLASS, class_updated=CLASS, metageneration=3),
            LATER,
            Decision(Action.CONFLICT, 71, 12, TYPE),
        ),
    ],
)
def test_the_table(
    source: ObjectState | None, destination: ObjectState | None, authority: Authority, expected: Decision
) -> None:
    """Every row of the table in the module's docstring."""
    assert decide(source, destination, authority) == expected


states = st.none() | st.builds(
    ObjectState,
    name=st.just("n"),
    generation=st.integers(1, 2**62),
    metageneration=st.integers(1, 9),
    size=st.integers(0, 3),
    crc32c=st.sampled_from(["a", "b", None]),
    md5=st.sampled_from(["a", "b", None]),
    created=st.just(""),
    updated=st.just(""),
    metadata=st.builds(Metadata, content_type=st.sampled_from(["t", None])),
)


@given(source=states, destination=states, authority=st.sampled_from(Authority), delta=st.integers(1, 1000))
def test_the_order_of_generations_never_matters(
    source: ObjectState | None, destination: ObjectState | None, authority: Authority, delta: int
) -> None:
    """Google promises unique generations, not ordered ones."""
    other = None if destination is None else destination._replace(generation=destination.generation + delta)
    before, after = decide(source, destination, authority), decide(source, other, authority)
    assert (before.action, before.because) == (after.action, after.because)


@given(source=states, destination=states, authority=st.sampled_from(Authority))
def test_a_copy_is_always_conditional_on_exactly_what_was_seen(
    source: ObjectState | None, destination: ObjectState | None, authority: Authority
) -> None:
    """No decision acts on a generation without a look at it."""
    decision = decide(source, destination, authority)
    if decision.action is Action.COPY:
        assert source is not None
        assert decision.source_generation == source.generation
        assert decision.destination_generation == (ABSENT if destination is None else destination.generation)


times = st.integers(0, 99).map(lambda second: f"2024-01-01T00:{second // 60:02}:{second % 60:02}.000Z")


@given(source=states, destination=states, written=times, there=times)
def test_where_the_later_write_counts_nothing_is_replaced_by_anything_older(
    source: ObjectState | None, destination: ObjectState | None, written: str, there: str
) -> None:
    """Other contents are replaced only by those written after them."""
    here = None if source is None else source._replace(created=written)
    at = None if destination is None else destination._replace(created=there)
    decision = decide(here, at, Authority.LATER_WRITE)
    if decision.action is Action.COPY and CONTENT_DIFFERENCES.intersection(decision.because):
        assert written > there


@given(source=states, destination=states)
def test_the_destinations_authority_never_overwrites(
    source: ObjectState | None, destination: ObjectState | None
) -> None:
    """After the cutover nothing at the destination is replaced."""
    decision = decide(source, destination, Authority.DESTINATION)
    assert decision.action is not Action.COPY or decision.destination_generation == ABSENT
