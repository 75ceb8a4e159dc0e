"""The days after the cutover: which are green, and how many in a row."""

from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.green_days import (
    EQUAL,
    LETTERS,
    SHOWN,
    Square,
    green_days,
    judged_before,
    parts_before,
    square_of,
)
from shared.migration import Environment, qpi_exports
from shared.phase import Phase
from shared.state import ComparisonRecord, DayPart, Light, State
from shared.state_changes import Stamp, begun, compared, comparing, with_phase

CUTOVER = datetime(2026, 11, 1, 10, tzinfo=UTC)
GREEN, RED, UNKNOWN, NONE = Light.GREEN, Light.RED, Light.NOT_KNOWN, Light.NOT_APPLICABLE
LIGHTS = {"G": GREEN, "R": RED, "?": UNKNOWN}


def parts(*lights: Light, equal: Light = GREEN) -> tuple[DayPart, ...]:
    others = (DayPart(f"part {number}", light, "why") for number, light in enumerate(lights))
    return (DayPart(EQUAL, equal, "of the names"), *others)


def cut_over(at: datetime = CUTOVER) -> State:
    before = at - timedelta(days=1)
    state = begun(State.initial(qpi_exports(Environment.DEV)), Phase.DUAL_WRITE, Stamp("b", "Ada", before))
    return with_phase(state, Phase.CUT_OVER, Stamp("c", "Ada", at))


def began(state: State, at: datetime, change: str) -> State:
    return comparing(state, Stamp(change, "verify", at), change)


def ended(state: State, at: datetime, change: str, day: Iterable[DayPart]) -> State:
    found = ComparisonRecord(change, change, "verify", at, 1, 0, 0, ())
    return compared(state, Stamp(f"{change}-ended", "verify", at), found, day)


def verified(state: State, at: datetime, day: Iterable[DayPart]) -> State:
    change = f"v{len(state.history)}"
    return ended(began(state, at, change), at, change, day)


def watched(letters: Sequence[str], state: State | None = None) -> State:
    """A verification for each letter of each day; the first day is the one after the cutover."""
    state = state or cut_over()
    for number, several in enumerate(letters, 1):
        for minute, letter in enumerate(several):
            at = CUTOVER + timedelta(days=number, minutes=minute)
            state = verified(state, at, parts(equal=LIGHTS[letter]))
    return state


def at_day(number: int) -> datetime:
    return CUTOVER + timedelta(days=number, hours=3)


def test_a_red_morning_begins_the_row_again() -> None:
    """Seven green days, a red one, and then seven more: only the last seven are in a row."""
    state = watched("GGGGGGRGGGGGGG")
    rows = {number: green_days(state_until(state, number), at_day(number)) for number in range(1, 15)}
    assert [rows[number].in_a_row for number in range(1, 15)] == [1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 6, 7]
    assert rows[14].said == "7 green days in a row (2026-11-02 to 2026-11-15: GGGGGGRGGGGGGG)"
    (red,) = (each for each in rows[14].days if each.square is Square.RED)
    assert (red.day, red.why) == (date(2026, 11, 8), f"{EQUAL}: of the names")


def state_until(state: State, number: int) -> State:
    """The state as it was on a day."""
    return state.folded([entry for entry in state.history if entry.at <= at_day(number)])


@given(
    st.lists(st.lists(st.sampled_from("GR?"), max_size=3), max_size=20).map(
        lambda days: ["".join(d) for d in days]
    )
)
def test_the_row_is_what_a_person_counts(days: list[str]) -> None:
    """Back from today, or from yesterday while today has no verification; a gap, a red and an unproven day end it."""
    found = green_days(watched(days), at_day(len(days)))
    squares = ["R" if "R" in day else "G" if "G" in day else "?" if day else "." for day in days]
    if squares and squares[-1] == ".":
        squares.pop()
    assert [LETTERS[each.square] for each in found.days] == squares
    row = "".join(squares)
    assert found.in_a_row == len(row) - len(row.rstrip("G"))
    assert found.letters == row[-SHOWN:]
    later = green_days(watched(days), at_day(len(days) + 1))
    assert later.in_a_row == (found.in_a_row if days and days[-1] else 0)


@given(st.permutations(range(5)), st.lists(st.sampled_from(["G", "R", "?"]), min_size=5, max_size=5))
def test_the_order_in_which_verifications_end_does_not_matter(order: list[int], letters: list[str]) -> None:
    """Each counts for the day on which it began."""
    state = cut_over()
    for number in range(5):
        state = began(state, at_day(number + 1), f"v{number}")
    for number in order:
        state = ended(state, at_day(number + 1), f"v{number}", parts(equal=LIGHTS[letters[number]]))
    assert green_days(state, at_day(5)).letters == "".join(letters)


@pytest.mark.parametrize(
    ("lights", "square"),
    [
        ([GREEN, GREEN], Square.GREEN),
        ([GREEN, NONE], Square.GREEN),
        ([NONE, NONE], Square.GREEN),
        ([GREEN, RED], Square.RED),
        ([RED, UNKNOWN], Square.RED),
        ([GREEN, UNKNOWN], Square.NOT_PROVEN),
    ],
)
def test_a_day_is_what_its_parts_are(lights: list[Light], square: Square) -> None:
    """One red part makes it red. What is not set up does not prevent green, and what is not known does."""
    assert square_of(parts(*lights)) is square
    for equal in (NONE, UNKNOWN):
        assert square_of(parts(*lights, equal=equal)) is not Square.GREEN
    assert square_of(parts(*lights)[1:]) is not Square.GREEN


@pytest.mark.parametrize(
    ("at", "first"),
    [(datetime(2026, 11, 1, tzinfo=UTC), 1), (datetime(2026, 11, 1, 0, 0, 1, tzinfo=UTC), 2), (CUTOVER, 2)],
)
def test_the_day_of_the_cutover_counts_only_where_it_is_whole(at: datetime, first: int) -> None:
    """A verification on the rest of that day is not a day."""
    state = verified(cut_over(at), datetime(2026, 11, 1, 20, tzinfo=UTC), parts())
    state = verified(state, datetime(2026, 11, 2, 20, tzinfo=UTC), parts())
    days = green_days(state, datetime(2026, 11, 2, 21, tzinfo=UTC)).days
    assert [each.day.day for each in days] == list(range(first, 3))


def test_what_began_before_the_cutover_does_not_count() -> None:
    """Whatever its time says: the order of the history decides."""
    early = began(cut_over().folded(cut_over().history[:1]), at_day(1), "early")
    state = with_phase(early, Phase.CUT_OVER, Stamp("c", "Ada", CUTOVER))
    state = ended(state, at_day(1), "early", parts())
    assert green_days(state, at_day(1)).days == ()
    assert green_days(state, at_day(2)).letters == "."
    assert judged_before(state, date(2026, 12, 1)) is None


def test_another_cutover_begins_again() -> None:
    """Green days before a rollback prove nothing about the time after it."""
    state = watched("GGG")
    state = with_phase(state, Phase.ROLLED_BACK, Stamp("r", "Ada", at_day(3)))
    state = with_phase(state, Phase.CUT_OVER, Stamp("c2", "Ada", at_day(4)))
    assert green_days(state, at_day(5)).days == ()
    assert green_days(verified(state, at_day(5), parts()), at_day(5)).letters == "G"
    assert parts_before(state, date(2026, 12, 1)) == frozenset()


def test_a_deletion_is_judged_by_its_beginning() -> None:
    """No day is recorded after it, and --anew must not wait for days that never come."""
    state = with_phase(watched("RGG"), Phase.DELETING, Stamp("d", "Ada", at_day(3)))
    assert green_days(state, at_day(40)).letters == "RGG"
    assert green_days(verified(state, at_day(3), parts(equal=RED)), at_day(40)).letters == "RGG"


def test_a_day_ahead_of_the_present_is_not_in_the_row() -> None:
    """Nor does it hide the days that are missing until now."""
    found = green_days(watched(["G", "", "", "G", "G"]), at_day(3))
    assert (found.letters, found.in_a_row) == ("G.", 0)


def test_the_last_verification_of_an_earlier_day_is_the_measure() -> None:
    """Two verifications on one day measure since the same moment."""
    state = watched(["G", "GG"])
    assert judged_before(state, date(2026, 11, 3)) == CUTOVER + timedelta(days=1)
    assert judged_before(state, date(2026, 11, 4)) == CUTOVER + timedelta(days=2, minutes=1)
    more = verified(state, at_day(3), parts(GREEN, NONE))
    assert parts_before(more, date(2026, 11, 4)) == {EQUAL}
    assert parts_before(more, date(2026, 11, 5)) == {EQUAL, "part 0"}


def test_a_state_keeps_its_days() -> None:
    """In its JSON form; and entries without a day have no such field."""
    state = watched("GR")
    read = State.from_content(state.content(), qpi_exports(Environment.DEV))
    assert (read, read.history[-1].day) == (state, parts(equal=RED))
    assert [("day" in entry) for entry in state.content()["history"]] == [False] * 3 + [True, False, True]
