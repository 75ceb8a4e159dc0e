"""Verification: nothing counts as wrong before it was looked at twice."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import pytest
from testing_paths import Paths

from backfill_job.copying.compare import MAX_DIFFERENCES, Compared, Comparison
from backfill_job.copying.counts import COPY, Counts
from backfill_job.copying.diff import DiffLine, Work
from backfill_job.copying.result import RunResult
from backfill_job.run.clock import Clock
from shared.gateway import Gateway
from shared.objects import parse_time
from shared.operations import Operations
from shared.verification import NameDifference, Verdict

BEGAN = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


@dataclass
class Hours:
    """A clock that stands still unless something sleeps; what is due happens then."""

    moment: datetime = field(default_factory=lambda: datetime.now(UTC))
    slept: list[float] = field(default_factory=list)
    due: list[Callable[[], object]] = field(default_factory=list)

    def clock(self) -> Clock:
        return Clock(lambda: self.moment, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.moment += timedelta(seconds=seconds)
        if self.due:
            self.due.pop(0)()


def check(paths: Paths, gateway: Gateway, hours: Hours, grace: float = 0.0) -> Compared:
    return compared(paths, gateway, paths.diff(gateway), hours, grace)


def compared(
    paths: Paths, gateway: Gateway, pairs: Iterable[DiffLine], hours: Hours, grace: float = 0.0
) -> Compared:
    comparison = Comparison(paths.migration, BEGAN)
    comparison.add([*pairs])
    return comparison.result(gateway, grace=timedelta(seconds=grace), clock=hours.clock())


def verdicts(found: Compared) -> dict[str, str]:
    return {difference.name: difference.verdict.value for difference in found.differences}


def later(hours: float = 1.0) -> Hours:
    return Hours(datetime.now(UTC) + timedelta(hours=hours))


def test_every_way_to_differ_has_its_verdict(paths: Paths, gateway: Gateway) -> None:
    """Missing, differing in content, differing in metadata, extra; equal and excluded are counted."""
    for relative in ("equal", "content", "metadata", "missing", ".DS_Store"):
        paths.put(relative, b"one")
    paths.put("equal", b"one", side="destination")
    paths.put("content", b"two", side="destination")
    paths.put("metadata", b"one", side="destination", content_type="text/plain")
    paths.put("extra", b"one", side="destination")
    found = check(paths, gateway, later())
    assert verdicts(found) == {
        "content": "content_differs",
        "extra": "extra",
        "metadata": "metadata_differs",
        "missing": "missing",
    }
    assert (found.counts[Verdict.EQUAL], found.counts[Verdict.EXCLUDED], found.clean) == (1, 1, False)


def test_two_equal_sides_are_clean(paths: Paths, gateway: Gateway) -> None:
    """The only way to a clean verification."""
    for side in ("source", "destination"):
        paths.put("a", b"one", side=side)
    found = check(paths, gateway, later())
    assert (found.clean, found.differences, found.counts[Verdict.EQUAL]) == (True, (), 1)


def test_what_arrived_between_the_listings_and_the_second_look_is_equal(
    paths: Paths, gateway: Gateway
) -> None:
    """A listing is not a snapshot: an object overwritten and mirrored meanwhile looks different in it and is not."""
    paths.put("a", b"one")
    pairs = paths.diff(gateway)
    paths.put("a", b"one", side="destination")
    found = compared(paths, gateway, pairs, later())
    assert (found.clean, found.counts[Verdict.EQUAL]) == (True, 1)


def test_what_is_gone_from_both_sides_is_not_counted(paths: Paths, gateway: Gateway) -> None:
    """A name on neither side proves nothing and harms nothing."""
    paths.put("a", b"one")
    pairs = paths.diff(gateway)
    paths.delete("a")
    found = compared(paths, gateway, pairs, later())
    assert (found.clean, sum(found.counts.values())) == (True, 0)


def test_a_fresh_object_is_given_its_grace_and_found_equal(paths: Paths, gateway: Gateway) -> None:
    """The mirror is a second behind; verification waits for it."""
    paths.put("a", b"one")
    hours = Hours(due=[lambda: None, lambda: paths.put("a", b"one", side="destination")])
    assert check(paths, gateway, hours, grace=60.0).clean
    assert len(hours.slept) == 2


def test_a_fresh_object_that_never_arrives_is_missing_when_its_grace_is_over(
    paths: Paths, gateway: Gateway
) -> None:
    """Waiting ends."""
    paths.put("a", b"one")
    assert verdicts(check(paths, gateway, Hours(), grace=60.0)) == {"a": "missing"}


def test_an_object_rewritten_meanwhile_is_in_flight_and_not_clean(paths: Paths, gateway: Gateway) -> None:
    """What is still in flight is not proven."""
    paths.put("a", b"one")
    hours = Hours()
    hours.due.append(lambda: paths.put("a", b"two"))
    found = check(paths, gateway, hours, grace=60.0)
    assert (verdicts(found), found.clean) == ({"a": "in_flight"}, False)


@pytest.mark.parametrize(
    ("missing", "said"),
    [(20, ""), (50, "30 more; the log names them"), (5_000, "4,980 more; the log names the first 1,000")],
)
def test_what_is_not_shown_is_said_to_be_where_it_is(missing: int, said: str) -> None:
    """The log names as many as are kept in memory, and no more."""
    names = min(missing, MAX_DIFFERENCES)
    findings = tuple(NameDifference(f"{number}", Verdict.MISSING, (), None, None) for number in range(names))
    found = Compared({**dict.fromkeys(Verdict, 0), Verdict.MISSING: missing}, findings, BEGAN)
    run = RunResult(
        Counts(COPY),
        found,
        stopped="",
        denied=False,
        copying_s=0.0,
        work=Work(),
        operations=Operations(),
    )
    more = [line for line in run.screen_lines() if "more" in line]
    assert more == ([f"  ... and {said}"] if said else [])


@pytest.mark.parametrize("both_written", [False, True])
@pytest.mark.parametrize("written_last", ["source", "destination"])
def test_a_fresh_write_is_waited_for_only_on_a_side_that_has_writers(
    paths: Paths, gateway: Gateway, written_last: str, both_written: bool
) -> None:
    """Before the cutover nobody writes at the new path: what differs there is no object in flight, but wrong."""
    for side in ("destination", "source") if written_last == "source" else ("source", "destination"):
        paths.put("a", side.encode(), side=side)
    states = {side: paths.look("a", side=side) for side in ("source", "destination")}
    times = sorted(parse_time(state.updated) for state in states.values() if state is not None)
    # Of the two writes the first is as old as the grace time, and the last younger.
    grace = times[1] - times[0]
    hours = Hours(times[1])
    comparison = Comparison(paths.migration, BEGAN)
    comparison.add(paths.diff(gateway))
    found = comparison.result(gateway, grace=grace, clock=hours.clock(), both_written=both_written)
    waited = both_written or written_last == "source"
    assert verdicts(found) == {"a": "content_differs"}
    assert bool(hours.slept) is waited


def test_tasks_together_began_when_the_first_of_them_did(paths: Paths, gateway: Gateway) -> None:
    """Whichever ended first; the moment survives the task's report, and one without a time zone is refused."""
    parts = [
        Comparison(paths.migration, BEGAN + timedelta(seconds=late)).result(
            gateway, grace=timedelta(), clock=Hours().clock()
        )
        for late in (5, 0, 9)
    ]
    read = [Compared.from_json(part.to_json()) for part in parts]
    assert read == parts
    assert Compared.merged(read).began == BEGAN
    for began in ("2026-11-20T12:00:00", "0001-01-01T00:00:00+14:00", "yesterday"):
        with pytest.raises(ValueError, match=r"time zone|calendar|isoformat"):
            Compared.from_json({**parts[0].to_json(), "began": began})


def test_a_copy_in_another_class_is_equal_and_counted(paths: Paths, gateway: Gateway) -> None:
    """A rule or Autoclass moves objects; that is no difference, and nothing is copied again for it."""
    for relative, storage_class in (("a", "STANDARD"), ("b", "NEARLINE"), ("c", "COLDLINE")):
        paths.put(relative, b"one")
        paths.put(relative, b"one", side="destination", storage_class=storage_class)

    found = check(paths, gateway, later())

    assert found.said == "both sides are equal; 2 objects in another storage class than the source's"
    assert Compared.from_json(found.to_json()) == found
    assert Compared.merged([found, found]).other_class == 4
