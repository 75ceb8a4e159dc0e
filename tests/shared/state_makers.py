"""States, changes and a store in memory, for the tests of the state."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from hypothesis import strategies as st

from shared.errors import ConditionFailed
from shared.migration import Location, Migration
from shared.objects import ObjectRef
from shared.phase import Phase
from shared.state import UNFIT, HistoryEntry, RunRecord, Signatory, SignOff, State
from shared.state_changes import Stamp

MIGRATION = Migration(Location("data-bucket-dev", "QPI_exports/"), Location("export-dev", "qpi_exports/"))
START = datetime(2025, 3, 1, 8, 30, tzinfo=UTC)
INITIAL = State.initial(MIGRATION)


def stamp(change: str = "c1", by: str = "Ada", minutes: int = 0) -> Stamp:
    return Stamp(change, by, START + timedelta(minutes=minutes))


def run_record(run: str = "dev-1", **facts: object) -> RunRecord:
    return replace(RunRecord(run, "migrate", START, 0, "verified: both sides are equal"), **facts)


class MemoryStore:
    """One object at a time, with generations that are unique and not ordered."""

    def __init__(self, contents: bytes | None = None) -> None:
        self.contents = contents
        self.generation = 1_000
        self.writes = 0

    def read_version(self, _: ObjectRef) -> tuple[int, bytes] | None:
        return None if self.contents is None else (self.generation, self.contents)

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        if if_generation != (0 if self.contents is None else self.generation):
            raise ConditionFailed(at.uri, "its generation is not the one expected")
        self.contents, self.generation, self.writes = data, self.generation - 1, self.writes + 1


def _fit(text: str) -> bool:
    return UNFIT.search(text) is None


lines = st.text(max_size=20).filter(_fit)
names = st.text(min_size=1, max_size=8).filter(_fit)
moments = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001 -- the strategy adds the zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC]),
)
signoffs = st.builds(SignOff, st.sampled_from(Signatory), names, moments, lines)
run_records = st.builds(
    RunRecord,
    lines,
    lines,
    moments,
    st.integers(),
    lines,
    st.none() | lines,
    st.none() | st.text("0123456789abcdef", min_size=64, max_size=64),
)
entries = st.builds(HistoryEntry, moments, names, names, names)


@st.composite
def states(draw: st.DrawFn) -> State:
    """Every state that has a form, whether or not a way leads there."""
    phase = draw(st.sampled_from(Phase))
    return replace(
        INITIAL,
        phase=phase,
        since=None if phase is Phase.DUAL_WRITE else draw(moments),
        signoffs=tuple(draw(st.lists(signoffs, max_size=4, unique_by=lambda one: (one.name, one.by)))),
        runs=tuple(draw(st.lists(run_records, max_size=3, unique=True))),
        history=tuple(draw(st.lists(entries, max_size=4, unique_by=lambda one: one.change))),
    )
