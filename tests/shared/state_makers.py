"""States, changes, a store in memory and the states that can follow, for the tests of the record."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from hypothesis import strategies as st

from shared.errors import ConditionFailed, UsageError
from shared.migration import Location, Migration
from shared.objects import Metadata, ObjectRef, ObjectState, crc32c_of
from shared.phase import Phase, entry_ref, state_ref
from shared.server_time import ServerTime
from shared.state import (
    UNFIT,
    BegunDeletion,
    ComparisonRecord,
    DayPart,
    Light,
    Overridden,
    PrincipalUse,
    ReadersRecord,
    RunRecord,
    SeenPrincipal,
    Signatory,
    State,
)
from shared.state_changes import (
    Stamp,
    begun,
    compared,
    deletion_goes_on,
    reader_acknowledged,
    readers_seen,
    sign_off,
    with_phase,
    with_run,
    withdraw,
)
from shared.store import ListingPage

MIGRATION = Migration(Location("data-bucket-dev", "QPI_exports/"), Location("export-dev", "qpi_exports/"))
START = datetime(2025, 3, 1, 8, 30, tzinfo=UTC)
OWN = "_migration/qpi_exports/"
HEAD = state_ref(MIGRATION).name


def stamp(change: str = "c1", by: str = "Ada", minutes: int = 0) -> Stamp:
    return Stamp(change, by, START + timedelta(minutes=minutes))


INITIAL = begun(State.initial(MIGRATION), Phase.DUAL_WRITE, stamp("begun", "Eve"))
"""The state of a migration that has just begun."""


def in_phase(phase: Phase) -> State:
    """The state of a migration that was begun in a phase."""
    return begun(State.initial(MIGRATION), phase, stamp("begun", "Eve"))


def run_record(run: str = "dev-1", **facts: object) -> RunRecord:
    return replace(RunRecord(run, "migrate", START, 0, "verified: both sides are equal"), **facts)


def objects_of(state: State) -> dict[str, bytes]:
    """The objects of a state's record, by their names."""
    entries = enumerate(state.history, 1)
    return {
        HEAD: state.to_json(),
        **{
            entry_ref(MIGRATION, number, entry.phase).name: state.entry_bytes(entry)
            for number, entry in entries
        },
    }


class MemoryStore:
    """One bucket's objects, with generations that are unique and not ordered, and a clock that every answer tells.

    Attributes:
        contents: The objects by their names.
        writes: The names that were written, in their order.
        requests: How many there were.
        clock: Cloud Storage's time; None for answers without a ``Date``.
    """

    def __init__(self, contents: dict[str, bytes] | State | None = None) -> None:
        self.contents: dict[str, tuple[int, bytes]] = {}
        self.generation = 1_000_000
        self.writes: list[str] = []
        self.requests = 0
        self.clock: datetime | None = START
        self.server_time = ServerTime(lambda: START)
        for name, data in (objects_of(contents) if isinstance(contents, State) else contents or {}).items():
            self.put(name, data)

    def put(self, name: str, data: bytes) -> None:
        """Write, as somebody else would."""
        self.generation -= 1
        self.contents[name] = (self.generation, data)

    @property
    def data(self) -> dict[str, bytes]:
        """The objects without their generations."""
        return {name: data for name, (_, data) in self.contents.items()}

    def read(self, at: ObjectRef) -> bytes | None:
        found = self.read_version(at)
        return found and found[1]

    def read_version(self, at: ObjectRef) -> tuple[int, bytes] | None:
        self.answer()
        return self.contents.get(at.name)

    def list_pages(
        self, bucket: str, prefix: str, *, start: str = "", end: str = ""
    ) -> Iterator[ListingPage]:
        assert (bucket, start, end) == (MIGRATION.destination.bucket, "", "")
        self.answer()
        found = [state_of(name, *self.contents[name]) for name in sorted(self.contents)]
        yield from listing_pages(each for each in found if each.name.startswith(prefix))

    def write(self, at: ObjectRef, data: bytes, *, if_generation: int) -> None:
        self.answer()
        if if_generation != self.contents.get(at.name, (0, b""))[0]:
            raise ConditionFailed(at.uri, "its generation is not the one expected")
        self.put(at.name, data)
        self.writes.append(at.name)

    def answer(self) -> None:
        """Every request goes through here."""
        self.requests += 1
        self.server_time.note("" if self.clock is None else format_datetime(self.clock, usegmt=True))


def listing_pages(listed: Iterator[ObjectState] | list[ObjectState]) -> Iterator[ListingPage]:
    """A listing, two objects a page."""
    states = list(listed)
    for number in range(0, len(states), 2):
        yield ListingPage(states[number : number + 2])


def state_of(name: str, generation: int, data: bytes) -> ObjectState:
    """An object as a listing shows it."""
    return ObjectState(name, generation, 1, len(data), crc32c_of(data), None, "", "", Metadata())


def no_pause(_seconds: float) -> None:
    """Let the time pass at once."""


# --- strategies -----------------------------------------------------------------------------------------------


def _fit(text: str) -> bool:
    return UNFIT.search(text) is None


lines = st.text(max_size=20).filter(_fit)
names = st.text(min_size=1, max_size=8).filter(lambda text: _fit(text) and bool(text.strip()))
moments = st.datetimes(
    min_value=datetime(1970, 1, 1),  # noqa: DTZ001 -- the strategy adds the zone
    max_value=datetime(2200, 1, 1),  # noqa: DTZ001
    timezones=st.sampled_from([UTC]),
)
digests = st.text("0123456789abcdef", min_size=64, max_size=64)
run_records = st.builds(
    RunRecord, lines, lines, moments, st.integers(), lines, st.none() | lines, st.none() | digests
)
begun_manifests = st.builds(BegunDeletion, names, digests, st.integers(0, 2**63 - 1))
principals = st.lists(
    st.builds(
        SeenPrincipal, names.map(str.strip), st.sampled_from(PrincipalUse), st.integers(0, 2**63 - 1), moments
    ),
    max_size=3,
).map(tuple)
looks = st.builds(
    lambda times, found: ReadersRecord(*sorted(times), principals=found),
    st.tuples(moments, moments, moments),
    principals,
)
day_parts = st.lists(st.builds(DayPart, names, st.sampled_from(Light), names), max_size=3).map(tuple)
overrides = st.lists(st.builds(Overridden, names, names), max_size=2).map(tuple)

Step = Callable[[State, Stamp], State]


def _step(draw: st.DrawFn) -> Step:
    signatory, note = draw(st.sampled_from(Signatory)), draw(lines)
    match draw(
        st.sampled_from(
            ["phase", "phase", "sign", "sign", "withdraw", "run", "goes on", "look", "ack", "day"]
        )
    ):
        case "phase":
            phase = draw(st.sampled_from(Phase))
            details = {}
            if phase is Phase.DELETING:
                details = {"manifest": draw(begun_manifests), "overridden": draw(overrides)}
            return lambda state, at: with_phase(state, phase, at, **details)
        case "sign":
            return lambda state, at: sign_off(state, signatory, at, note)
        case "withdraw":
            return lambda state, at: withdraw(state, signatory, at, note)
        case "look":
            look = draw(looks)
            return lambda state, at: readers_seen(state, at, look)
        case "day":
            began, parts = draw(moments), draw(day_parts)
            return lambda state, at: compared(
                state, at, ComparisonRecord(at.change, "run", "verify", began, 1, 0, 0, ()), parts
            )
        case "ack":
            number = draw(st.integers(0, 2))
            return lambda state, at: reader_acknowledged(state, at, seen_name(state, number), note)
        case "run":
            record = draw(run_records)
            return lambda state, _: with_run(state, record)
        case _:
            manifest = draw(begun_manifests)
            return lambda state, at: deletion_goes_on(state, at, manifest=manifest)


def seen_name(state: State, number: int) -> str:
    """A principal of the newest look; a name that is on no record, where it has not so many."""
    seen = [each.name for look in state.readers[:1] for each in look.principals]
    return seen[number] if number < len(seen) else "not seen"


@st.composite
def chains(draw: st.DrawFn, most: int = 6) -> list[State]:
    """A migration's states from its beginning on, each made from the one before by one of the changes."""
    people = st.sampled_from(["Ada", "Bob, of Ops", "Zoë"])
    phase = draw(st.sampled_from([Phase.DUAL_WRITE, Phase.DUAL_WRITE, Phase.CUT_OVER, Phase.ROLLED_BACK]))
    states = [
        begun(State.initial(MIGRATION), phase, Stamp("begun", draw(people), draw(moments)), draw(lines))
    ]
    for number in range(draw(st.integers(0, most))):
        try:
            at = Stamp(f"c{number}", draw(people), draw(moments))
            states.append(_step(draw)(states[-1], at))
        except UsageError:
            continue
    return states


def states() -> st.SearchStrategy[State]:
    """Every kind of state to which the changes lead."""
    return chains().map(lambda found: found[-1])
