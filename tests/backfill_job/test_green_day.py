"""How a verification judges its day: one test for each way in which a part is not green."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from backfill_job.commands.status import green_lines
from backfill_job.copying.compare import Compared
from backfill_job.copying.diff import judge_sides as judge_line
from backfill_job.deletion.prepare import soak_check
from backfill_job.verify.green_day import LATE, LOADED, MIRROR, READER, DayEvidence, judge_day, measured_since
from backfill_job.verify.late_writes import BroughtBack, LateWrites
from shared.errors import UsageError
from shared.green_days import EQUAL, Square, square_of
from shared.loaded import LoadedDay, LoadedRecord, LoadedVerdict
from shared.migration import Environment, qpi_exports
from shared.objects import Metadata, ObjectState, time_text
from shared.phase import Phase
from shared.state import (
    ComparisonRecord,
    DayPart,
    Light,
    Overridden,
    PrincipalUse,
    ReadersRecord,
    SeenPrincipal,
    State,
)
from shared.state_changes import (
    Stamp,
    begun,
    compared,
    comparing,
    reader_acknowledged,
    readers_seen,
    with_phase,
)
from shared.verification import Verdict

QPI = qpi_exports(Environment.DEV)
CUTOVER = datetime(2026, 11, 1, 10, tzinfo=UTC)
BEGAN = datetime(2026, 11, 3, 9, tzinfo=UTC)
"""When the verification began whose day is judged; that of the day before began 24 hours earlier."""

EXCLUDES = (".DS_Store",)

GREEN, RED, UNKNOWN, NONE = Light.GREEN, Light.RED, Light.NOT_KNOWN, Light.NOT_APPLICABLE


def cut_over(*overridden: Overridden, parts: tuple[DayPart, ...] = ()) -> State:
    state = begun(State.initial(QPI), Phase.DUAL_WRITE, Stamp("b", "Ada", CUTOVER - timedelta(days=1)))
    state = with_phase(state, Phase.CUT_OVER, Stamp("c", "Ada", CUTOVER), overridden=overridden)
    at = BEGAN - timedelta(days=1)
    state = comparing(state, Stamp("v", "verify", at), "run")
    found = ComparisonRecord("v", "run", "verify", at, 5, 0, 0, EXCLUDES)
    return compared(state, Stamp("e", "verify", at), found, parts or (DayPart(EQUAL, GREEN, "x"),))


def a_loaded(verdict: LoadedVerdict = LoadedVerdict.ONCE, **changes: Any) -> LoadedRecord:
    rows, there = (10, {LoadedVerdict.ONCE: 10, LoadedVerdict.PARTLY: 4}.get(verdict, 0))
    day = LoadedDay(date(2026, 11, 2), verdict, 1, 0, rows, there, 0, 0, 0)
    sides = QPI.source.uri, QPI.destination.uri, QPI.destination.uri
    at = BEGAN - timedelta(hours=2)
    found = LoadedRecord(
        "run",
        "duckdb",
        "qpi 1",
        *sides,
        "p.d.t",
        at,
        at,
        (day,),
        passed=False,
        fingerprint_definition="rows-1",
    )
    return replace(found, **{"passed": found.right, **changes})


def seen(**changes: Any) -> DayEvidence:
    """Everything is as it should be, but for some changes."""
    counts = {**dict.fromkeys(Verdict, 0), Verdict.EQUAL: 5, **changes.pop("counts", {})}
    cutover, since = time_text(CUTOVER), time_text(BEGAN - timedelta(days=1))
    until = time_text(BEGAN - timedelta(minutes=5))
    found = DayEvidence(
        Compared(counts, (), BEGAN),
        LateWrites(cutover),
        BroughtBack(cutover, since, until, back=3),
        a_loaded(),
        EXCLUDES,
    )
    return replace(found, **changes)


def lights(found: DayEvidence, state: State | None = None) -> dict[str, Light]:
    return {part.name: part.light for part in judge_day(found, state or cut_over())}


ALL_GREEN = {EQUAL: GREEN, MIRROR: GREEN, LATE: GREEN, READER: NONE, LOADED: GREEN}


def test_a_good_day_is_green_in_each_part() -> None:
    """With its evidence in words."""
    parts = judge_day(seen(), cut_over())
    assert {part.name: part.light for part in parts} == ALL_GREEN
    assert square_of(parts) is Square.GREEN
    assert {part.name: part.evidence for part in parts} == {
        EQUAL: "5 names equal",
        MIRROR: "3 objects written at the new path since 2026-11-02 09:00 UTC came back",
        LATE: "no write at the legacy path since 2026-11-02 09:00 UTC",
        READER: "`readers` has not looked at the audit log since the cutover",
        LOADED: "1 day loaded once, 10 rows",
    }


@pytest.mark.parametrize(
    ("counts", "light"),
    [
        ({Verdict.MISSING: 1}, RED),
        ({Verdict.CONTENT_DIFFERS: 1}, RED),
        ({Verdict.METADATA_DIFFERS: 1}, RED),
        ({Verdict.ERASED: 500, Verdict.EQUAL: 500}, RED),
        ({Verdict.ERASED: 1, Verdict.EQUAL: 5_000}, GREEN),
        ({Verdict.EXTRA: 4}, GREEN),
        ({Verdict.IN_FLIGHT: 1}, UNKNOWN),
        ({Verdict.IN_FLIGHT: 1, Verdict.MISSING: 1}, RED),
        ({Verdict.EQUAL: 0}, UNKNOWN),
        ({Verdict.EQUAL: 0, Verdict.EXTRA: 3}, UNKNOWN),
        ({Verdict.EQUAL: 4}, UNKNOWN),
        ({Verdict.EQUAL: 4, Verdict.EXTRA: 1}, GREEN),
    ],
)
def test_equal_is_every_legacy_object(counts: dict[Verdict, int], light: Light) -> None:
    """What only the new path has is written after the cutover; nothing compared is nothing proven."""
    assert lights(seen(counts=counts)) == {**ALL_GREEN, EQUAL: light}


def test_names_that_were_compared_before_must_be_compared() -> None:
    """A pattern that hides what differs makes no green day."""
    assert lights(seen(excludes=(*EXCLUDES, "*.csv"))) == {**ALL_GREEN, EQUAL: UNKNOWN}
    assert lights(seen(excludes=())) == ALL_GREEN


def test_nothing_compared_proves_nothing() -> None:
    """Also where no comparison before says how many names there should be."""
    state = cut_over().folded(cut_over().history[:2])
    assert lights(seen(counts={Verdict.EQUAL: 0, Verdict.EXTRA: 3}), state)[EQUAL] is UNKNOWN


@pytest.mark.parametrize(
    ("back", "light"),
    [
        ({"back": 3, "waiting": 1, "name": "x"}, RED),
        ({"back": 0, "waiting": 1, "name": "x"}, RED),
        ({"back": 0}, NONE),
        ({"cutover": ""}, UNKNOWN),
    ],
)
def test_the_mirror_brings_back_what_is_written(back: dict[str, Any], light: Light) -> None:
    """Where nothing was written it cannot show itself."""
    usual = seen().back
    assert lights(seen(back=replace(usual, **back))) == {**ALL_GREEN, MIRROR: light}


def test_without_a_mirror_nothing_comes_back() -> None:
    """As a person said at the cutover, which has it on record."""
    state = cut_over(Overridden("mirror", "the writer is paused"))
    part = judge_day(seen(back=BroughtBack("x", "x", "x", waiting=7, name="n")), state)[1]
    assert part == DayPart(MIRROR, NONE, "cut over without a mirror: the writer is paused")


@pytest.mark.parametrize(
    ("newest", "light"),
    [
        ("2026-11-02T09:00:00.001Z", RED),
        ("2026-11-02T08:59:59.999Z", GREEN),
    ],
)
def test_a_late_write_is_red_once(newest: str, light: Light) -> None:
    """On the first day whose verification comes after it, and not on each further day."""
    late = LateWrites(time_text(CUTOVER), 1, ["a\nb"], newest)
    assert lights(seen(late=late)) == {**ALL_GREEN, LATE: light}
    if light is RED:
        assert judge_day(seen(late=late), cut_over())[2].evidence == (
            "somebody wrote at the legacy path, last at 2026-11-02 09:00 UTC, such as a\\nb"
        )
    marked = LateWrites(time_text(CUTOVER), newest=newest)  # only the mirror saw it
    assert lights(seen(late=marked))[LATE] is light
    assert lights(seen(late=LateWrites()))[LATE] is UNKNOWN


@pytest.mark.parametrize(
    ("loaded", "light"),
    [
        (a_loaded(LoadedVerdict.NEVER), RED),
        (a_loaded(LoadedVerdict.PARTLY), RED),
        (a_loaded(LoadedVerdict.NOTHING), UNKNOWN),
        (a_loaded(path=QPI.source.uri), UNKNOWN),
        (a_loaded(new="gs://other/x/"), UNKNOWN),
        (a_loaded(finished=BEGAN - timedelta(days=1)), UNKNOWN),
        (a_loaded(days=(replace(a_loaded().days[0], day=date(2026, 10, 30)),)), UNKNOWN),
        (UsageError("damaged"), UNKNOWN),
        (None, NONE),
    ],
)
def test_the_consumer_s_table_counts_while_it_is_fresh(
    loaded: LoadedRecord | UsageError | None, light: Light
) -> None:
    """Of the new path, after the verification of the day before."""
    assert lights(seen(loaded=loaded)) == {**ALL_GREEN, LOADED: light}


def looked(
    state: State, ends: datetime, *seen: datetime, begins: datetime = CUTOVER, name: str = "user:eve@x"
) -> State:
    principals = tuple(SeenPrincipal(name, PrincipalUse.READ, 1, at) for at in seen)
    stamp = Stamp(f"look {len(state.history)}", "readers", ends)
    return readers_seen(state, stamp, ReadersRecord(begins, begins, ends, principals))


DAY = timedelta(days=1)
YESTERDAY_S_LOOK = BEGAN - DAY - timedelta(minutes=30)


@pytest.mark.parametrize(
    ("ends", "read", "light"),
    [
        (BEGAN - timedelta(hours=1), (), GREEN),
        (BEGAN - timedelta(hours=1), (BEGAN - timedelta(hours=3),), RED),
        (BEGAN - timedelta(hours=1), (BEGAN - DAY - timedelta(minutes=1),), RED),
        (BEGAN - timedelta(hours=1), (YESTERDAY_S_LOOK - timedelta(seconds=1),), GREEN),
        (BEGAN - DAY - timedelta(minutes=1), (BEGAN - timedelta(days=1, minutes=2),), UNKNOWN),
    ],
    ids=["none", "this morning", "between the look and the verification", "judged the day before", "old"],
)
def test_each_use_by_a_foreign_reader_is_red_once(
    ends: datetime, read: tuple[datetime, ...], light: Light
) -> None:
    """A day counts from the end of the look that the day before was judged by."""
    state = looked(looked(cut_over(), YESTERDAY_S_LOOK), ends, *read)
    assert lights(seen(), state) == {**ALL_GREEN, READER: light}
    if light is RED:
        assert judge_day(seen(), state)[3].evidence.startswith(
            "somebody used the legacy path: user:eve@x (read, last at 2026"
        )
        known = reader_acknowledged(state, Stamp("a", "Ada", BEGAN), "user:eve@x")
        assert lights(seen(), known) == {**ALL_GREEN, READER: GREEN}


def test_a_log_that_was_off_proves_nothing() -> None:
    """And looks that were there before may not just be missing."""
    later = looked(cut_over(), BEGAN - timedelta(hours=1), begins=BEGAN - timedelta(hours=9))
    assert lights(seen(), later) == {**ALL_GREEN, READER: UNKNOWN}
    before = cut_over(parts=(DayPart(EQUAL, GREEN, "x"), DayPart(READER, GREEN, "x")))
    assert lights(seen(), before) == {**ALL_GREEN, READER: UNKNOWN}


def test_after_a_gap_an_old_result_is_not_fresh() -> None:
    """It is from after the last verification, which was days ago, and still not of today or yesterday."""
    later = replace(seen().compared, began=BEGAN + timedelta(days=3))
    found = lights(replace(seen(), compared=later), looked(cut_over(), BEGAN - timedelta(hours=1)))
    assert (found[LOADED], found[READER]) == (UNKNOWN, UNKNOWN)


def test_a_part_that_was_there_is_not_just_absent() -> None:
    """Where `loaded` judged an earlier day, its lost result is not "not set up". A quiet day without writes may be."""
    state = cut_over(
        parts=(DayPart(EQUAL, GREEN, "x"), DayPart(LOADED, RED, "x"), DayPart(MIRROR, GREEN, "x"))
    )
    found = judge_day(seen(loaded=None, back=replace(seen().back, back=0)), state)
    assert found[1].light is NONE
    assert found[4] == DayPart(LOADED, UNKNOWN, "it was there before, and now: `loaded` has left no result")


def test_two_verifications_on_a_day_measure_since_the_same_moment() -> None:
    """Since that of the day before; on the first day since the cutover."""
    state = cut_over()
    assert measured_since(state, BEGAN) == BEGAN - timedelta(days=1)
    assert measured_since(state, BEGAN - timedelta(hours=20)) == CUTOVER
    assert measured_since(state.folded(state.history[:2]), BEGAN) == CUTOVER


def an_object(created: datetime, *, crc: str = "a") -> ObjectState:
    return ObjectState("n", 1, 1, 1, crc, "md5", time_text(created), time_text(created), Metadata())


HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)


@pytest.mark.parametrize(
    ("source", "there", "expected"),
    [
        (BEGAN - HOUR + SECOND, BEGAN - HOUR, (1, 0)),
        (BEGAN - HOUR, BEGAN - HOUR, (1, 0)),
        (BEGAN - HOUR, BEGAN - HOUR + SECOND, (0, 0)),
        (CUTOVER + HOUR + SECOND, CUTOVER + HOUR, (0, 0)),
        (None, BEGAN - HOUR, (0, 1)),
        (None, CUTOVER + HOUR, (0, 1)),
        (None, BEGAN - SECOND, (0, 0)),
        (None, CUTOVER - HOUR, (0, 0)),
        (BEGAN - HOUR, None, (0, 0)),
    ],
    ids=[
        *(
            "came back",
            "in the same instant",
            "the forward mirror's copy",
            "came back long ago",
            "did not come back",
        ),
        *("did not come back for days", "on its way", "from before the cutover", "only at the legacy path"),
    ],
)
def test_what_came_back_is_seen_in_the_data(
    source: datetime | None, there: datetime | None, expected: tuple[int, int]
) -> None:
    """By the times of both sides; the backfill's copies are older than the cutover."""
    back = replace(seen().back, back=0)
    sides = (None if at is None else an_object(at) for at in (source, there))
    back.add(judge_line("n", *sides, QPI))
    assert (back.back, back.waiting) == expected
    merged = BroughtBack.merged([BroughtBack(), back, back])
    assert (merged.back, merged.waiting) == (2 * back.back, 2 * back.waiting)
    assert (merged.cutover, merged.since, merged.until, merged.name) == (
        back.cutover,
        back.since,
        back.until,
        back.name,
    )


def test_a_version_that_did_not_come_back_waits() -> None:
    """The legacy path has an older one; where its own is the later write, nothing has to come back."""
    for at, waiting in ((BEGAN - 2 * HOUR, 1), (BEGAN - HOUR / 2, 0)):
        back = replace(seen().back, back=0)
        back.add(judge_line("n", an_object(at, crc="b"), an_object(BEGAN - HOUR), QPI))
        assert (back.back, back.waiting) == (0, waiting)


def test_a_fortnight_with_one_red_morning() -> None:
    """The deletion is refused until there are seven green days in a row; `status` shows the row."""
    state = cut_over().folded(cut_over().history[:2])
    allowed, rows = [], []
    for number in range(1, 16):
        at = CUTOVER + timedelta(days=number)
        counts = {Verdict.CONTENT_DIFFERS: 2} if number == 5 else {}
        found = seen(counts=counts, loaded=None, back=BroughtBack(time_text(CUTOVER), back=1))
        found = replace(found, compared=replace(found.compared, began=at))
        state = comparing(state, Stamp(f"v{number}", "verify", at), "run")
        record = ComparisonRecord(f"v{number}", "run", "verify", at, 5, 0, 0, EXCLUDES)
        state = compared(state, Stamp(f"e{number}", "verify", at), record, judge_day(found, state))
        check = soak_check(state, QPI, timedelta(days=7), at + HOUR)
        allowed += [number] if check.passed else []
        rows.append(list(green_lines(state, at + HOUR)))
    assert allowed == [12, 13, 14, 15]
    assert rows[6] == [
        "\n2 green days in a row (2026-11-02 to 2026-11-08: GGGGRGG)",
        "  G green, R red, ? not proven, . missing",
        "  2026-11-06 red: verified equal: 2 content differs",
    ]
    assert rows[14][0] == "\n10 green days in a row (2026-11-03 to 2026-11-16: GGGRGGGGGGGGGG)"
    refused = soak_check(state, QPI, timedelta(days=11), at + HOUR)
    assert refused.evidence == (
        "cut over 2026-11-01 10:00 UTC, 15 d 01 h ago; 10 green days in a row (2026-11-03 to 2026-11-16: GGGRGGGGGGGGGG); "
        "wants 11 (G green, R red, ? not proven, . missing)"
    )
    assert refused.next_step == (
        "a verification once a day records a day, by a schedule or by hand: python -m backfill_job verify --env dev; "
        "or run it with --soak-days 0, which wants neither green days nor a pause after a late write"
    )


@pytest.mark.parametrize(("days", "passes"), [(0, True), (0.5, True), (1, True), (1.5, False), (2, False)])
def test_a_part_of_a_day_wants_a_whole_one(days: float, *, passes: bool) -> None:
    """And the clock counts as it did: --soak-days 0 wants nothing."""
    check = soak_check(cut_over(), QPI, timedelta(days=days), BEGAN)
    assert check.passed is passes
    assert soak_check(cut_over().folded(cut_over().history[:2]), QPI, timedelta(0), CUTOVER).passed


def test_green_days_do_not_make_the_time_shorter() -> None:
    """Seven days may be recorded in six days and a minute; seven times 24 hours must have passed as well."""
    state = cut_over()
    check = soak_check(state, QPI, timedelta(days=1), BEGAN - timedelta(hours=23, minutes=30))
    assert (check.passed, check.next_step) == (
        False,
        "wait until 2026-11-02 10:00 UTC, or choose --soak-days",
    )
