"""How fast writes are sent, on a clock that only the tests move."""

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import combinations, count
from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st
from testing_ramp import simulate

from backfill_job.copying.governor import (
    BURST_SECONDS,
    HALVING_SECONDS,
    RECOVERY_SECONDS,
    STORM_WRITES,
    TICK_SECONDS,
    Governor,
    NullGovernor,
    WriteGovernor,
    seconds_under_ramp,
)

STORM = int(STORM_WRITES + 1)
"""Throttled writes at once that are a storm, whatever was sent before."""

COUNTS = st.integers(0, 10**10)
RATES = st.floats(0.5, 1e6)
CEILINGS = st.none() | st.floats(0.5, 100)
MOMENTS = st.lists(st.tuples(st.floats(0, 90), st.integers(1, 12), st.booleans()), max_size=12)
"""Idle seconds, then writes as fast as allowed, then perhaps a storm."""


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Sender:
    """Sends one write after the other, waiting as long as it is told to."""

    governor: WriteGovernor
    clock: Clock
    sent: list[float] = field(default_factory=list)
    longest_wait: float = 0.0

    def send(self, writes: int) -> None:
        for _ in range(writes):
            wait = self.governor.reserve()
            self.longest_wait = max(self.longest_wait, wait)
            self.clock.now += wait
            self.sent.append(self.clock.now)

    def send_for(self, seconds: float) -> int:
        before, end = len(self.sent), self.clock.now + seconds
        while self.clock.now < end:
            self.send(1)
        return len(self.sent) - before


def a_sender(
    *, tasks: int = 1, start: float = 1_000, doubling: float = 1_200, ceiling: float | None = None
) -> Sender:
    clock = Clock()
    return Sender(Governor(clock, tasks=tasks, start=start, doubling=doubling, ceiling=ceiling), clock)


def live(sender: Sender, moments: list[tuple[float, int, bool]]) -> None:
    for idle, writes, storm in moments:
        sender.clock.now += idle
        sender.send(writes)
        if storm:
            sender.governor.throttled(STORM)


def keep_writing(sender: Sender, seconds: int) -> None:
    """A write a second, which is enough for the ramp to go on."""
    for _ in range(seconds):
        sender.governor.reserve()
        sender.clock.now += 1


@given(MOMENTS, st.integers(1, 4), st.floats(0.5, 50), st.floats(5, 1_200), CEILINGS)
def test_never_above_the_guideline_in_any_window(
    moments: list[tuple[float, int, bool]], tasks: int, start: float, doubling: float, ceiling: float | None
) -> None:
    """Between any two writes, no more are sent than the ramp allows at the later one, and a burst of a tenth of a second."""
    sender = a_sender(tasks=tasks, start=start, doubling=doubling, ceiling=ceiling)

    live(sender, moments)

    first = sender.sent[0] if sender.sent else 0.0
    for (earlier, one), (later, other) in combinations(enumerate(sender.sent), 2):
        allowed = min(start * 2 ** ((other - first) / doubling), ceiling or inf) / tasks
        assert later - earlier + 1 <= ((other - one + BURST_SECONDS) * allowed + 1) * (1 + 1e-9)


@given(MOMENTS, st.floats(0.5, 50))
def test_nobody_starves(moments: list[tuple[float, int, bool]], start: float) -> None:
    """Whatever storms come, a task sends a write a second, or an eighth of its share of the ramp where that is less."""
    sender = a_sender(start=start)

    live(sender, moments)

    assert sender.governor.rate >= min(1.0, start / 8) * (1 - 1e-9)
    assert sender.longest_wait <= max(1.0, 8 / start) * (1 + 1e-9)


def test_the_first_second() -> None:
    """A bucket gets a thousand writes in the first second, in ticks of fifty."""
    sender = a_sender()

    assert sender.send_for(1) == pytest.approx(1_000, abs=50)
    assert sender.longest_wait == pytest.approx(TICK_SECONDS)
    assert len({*sender.sent}) == pytest.approx(1 / TICK_SECONDS, abs=2)


def test_a_slow_task_has_no_ticks() -> None:
    """Where a slot is longer than a tick, each write goes at its own time."""
    sender = a_sender(ceiling=4)

    sender.send(9)

    assert [moment - sender.sent[0] for moment in sender.sent] == [pytest.approx(n / 4) for n in range(9)]


def test_what_was_missed_is_made_up_for_only_a_little() -> None:
    """After five seconds of nothing, a tenth of a second's worth goes out at once, and no more."""
    sender = a_sender()
    sender.send(1)
    sender.clock.now += 5

    at_once = [sender.governor.reserve() for _ in range(300)].count(0.0)

    assert at_once == pytest.approx(100, abs=2)


@pytest.mark.parametrize(
    ("seconds", "rate"), [(0, 1_000), (600, 1_414.2), (1_200, 2_000), (2_400, 4_000), (7_200, 64_000)]
)
def test_the_ramp_doubles_every_twenty_minutes(seconds: int, rate: float) -> None:
    """A governor that is used all the time allows twice as much after twenty minutes, evenly growing in between."""
    sender = a_sender()

    keep_writing(sender, seconds)

    assert sender.governor.rate == pytest.approx(rate, rel=1e-4)


def test_tasks_share_the_ramp_and_its_ceiling() -> None:
    """Ten tasks have a tenth each, of the first rate and of the ceiling."""
    sender = a_sender(tasks=10, ceiling=1_500)

    assert sender.governor.rate == 100
    keep_writing(sender, 3_600)
    assert sender.governor.rate == 150


def test_a_ceiling_below_the_first_rate_counts_from_the_start() -> None:
    """Who allows 50 writes/s gets 50, not a thousand."""
    assert a_sender(ceiling=50).governor.rate == 50


def test_the_ramp_begins_with_the_first_write() -> None:
    """An hour of listing before the first write makes the ramp no older."""
    sender = a_sender()

    sender.clock.now += 3_600
    sender.send(1)

    assert sender.governor.rate == 1_000


def test_a_pause_does_not_raise_the_rate() -> None:
    """An hour without a write counts as a minute of the ramp."""
    sender = a_sender()
    sender.send(1)

    sender.clock.now += 3_600
    sender.send(1)

    assert sender.governor.rate == pytest.approx(1_000 * 2 ** (60 / 1_200))


def test_looking_at_the_rate_is_no_write() -> None:
    """A progress display that asks for the rate all the time does not keep the ramp going."""
    sender = a_sender()
    sender.send(1)

    for _ in range(3_600):
        sender.clock.now += 1
        assert sender.governor.rate <= 1_000 * 2 ** (60 / 1_200) * (1 + 1e-9)


def test_one_storm_is_one_halving() -> None:
    """A thousand storms within ten seconds halve the rate once; the next one after that halves it again."""
    sender = a_sender()
    sender.send(1)

    for _ in range(1_000):
        sender.governor.throttled(STORM)
        sender.clock.now += (HALVING_SECONDS - 0.1) / 1_000
    recovered = 2 ** ((HALVING_SECONDS - 0.1) / RECOVERY_SECONDS)
    assert sender.governor.rate == pytest.approx(500 * recovered)

    sender.clock.now += 0.2
    before = sender.governor.rate
    sender.governor.throttled(1)
    assert sender.governor.rate == before
    sender.governor.throttled(STORM)
    assert sender.governor.rate == pytest.approx(before / 2)


@dataclass
class Bucket:
    """Answers each write a moment later with success, or throttles it; the sender repeats what was throttled."""

    sender: Sender
    throttles: Callable[[int, float], bool]
    done: int = 0

    def take(self, writes: int) -> float:
        """Take so many writes; gives the seconds."""
        began, number = self.sender.clock.now, count()
        while self.done < writes:
            self.sender.send(1)
            if self.throttles(next(number), self.sender.clock.now):
                self.sender.governor.throttled(1)
            else:
                self.done += 1
        return self.sender.clock.now - began


@pytest.mark.parametrize("every", [30_000, 3_000, 300, 100])
def test_lone_throttled_writes_cost_no_time(every: int) -> None:
    """Ten of 30,000, or even one in a hundred: the others go on at the full rate."""
    without = Bucket(a_sender(), lambda _number, _now: False).take(30_000)

    took = Bucket(a_sender(), lambda number, _now: number % every == 0).take(30_000)

    assert took <= 1.2 * without


def test_ten_names_at_their_limit_at_once_are_one_halving_at_most() -> None:
    """They are refused together, and that looks like the beginning of a storm."""
    without = Bucket(a_sender(start=100), lambda _number, _now: False).take(20_000)

    took = Bucket(a_sender(start=100), lambda number, _now: 1_000 <= number < 1_010).take(20_000)

    assert took <= 1.2 * without


@pytest.mark.parametrize(("accepts", "start", "tasks"), [(50, 100, 1), (10, 100, 1), (50, 1_000, 10)])
def test_a_storm_slows_down_to_what_the_bucket_takes(accepts: float, start: float, tasks: int) -> None:
    """A bucket that takes fewer writes than the guideline gets about as many; few of them are throttled in the end."""
    sender = a_sender(start=start, tasks=tasks)
    next_slot, refused = sender.clock.now, []

    def throttles(_number: int, now: float) -> bool:
        nonlocal next_slot
        if next_slot > now + TICK_SECONDS:
            refused.append(now)
            return True
        next_slot = max(next_slot, now - BURST_SECONDS) + 1 / accepts
        return False

    writes = int(accepts * 600)
    seconds = Bucket(sender, throttles).take(writes)

    assert 600 * 0.95 <= seconds <= 600 * 1.8
    later = len(sender.sent) - bisect_left(sender.sent, sender.sent[0] + 60)
    assert len([when for when in refused if when > sender.sent[0] + 60]) <= 0.25 * later
    most = start * 2 ** (seconds / 1_200) / tasks
    for first in range(0, len(sender.sent), 997):
        within = bisect_left(sender.sent, sender.sent[first] + 1.0) - first
        assert within <= (1 + BURST_SECONDS) * most + 1


def test_many_throttled_writes_are_a_storm_at_any_rate() -> None:
    """It counts writes and not seconds: a task of a write a second slows down, too."""
    sender = a_sender(ceiling=1)

    Bucket(sender, lambda number, _now: number % 2 == 0).take(20)

    assert sender.governor.rate < 0.9


def test_a_halved_rate_is_what_is_sent() -> None:
    """After a storm half as much goes out."""
    sender = a_sender()
    sender.send_for(1)

    sender.governor.throttled(STORM)

    assert sender.send_for(1) == pytest.approx(500, rel=0.06)


def test_the_rate_climbs_back_to_where_the_ramp_stood() -> None:
    """A halving is made good in a minute, in which the ramp stands still; then it goes on."""
    sender = a_sender()
    keep_writing(sender, 1_200)

    sender.governor.throttled(STORM)
    assert sender.governor.rate == pytest.approx(1_000)
    keep_writing(sender, 60)
    assert sender.governor.rate == pytest.approx(2_000)
    keep_writing(sender, 1_200)
    assert sender.governor.rate == pytest.approx(4_000)


def test_storms_halve_what_the_ceiling_allows() -> None:
    """Where the ceiling holds the ramp down, a storm halves the ceiling's rate and not one that nobody sends."""
    sender = a_sender(ceiling=1_000)
    keep_writing(sender, 3_600)

    sender.governor.throttled(STORM)

    assert sender.governor.rate == pytest.approx(500)


@pytest.mark.parametrize(("tasks", "floor"), [(1, 1.0), (100, 1.0), (10_000, 0.1 / 8)])
def test_a_storm_without_an_end_leaves_a_write_a_second(tasks: int, floor: float) -> None:
    """However many storms come, a write a second is left, or an eighth of the share where that is less."""
    sender = a_sender(tasks=tasks)

    for _ in range(100):
        sender.governor.throttled(STORM)
        lowest = sender.governor.rate
        sender.clock.now += HALVING_SECONDS

    # The ramp has a moment to go on where one halving is all that a storm can do.
    assert lowest == pytest.approx(floor, rel=0.01)


def test_recovery_starts_at_the_floor_and_not_below() -> None:
    """A hundred storms are made good as soon as the ten that the rate has room for."""
    sender = a_sender()
    for _ in range(100):
        sender.governor.throttled(STORM)
        sender.clock.now += HALVING_SECONDS

    keep_writing(sender, 600)

    assert sender.governor.rate >= 1_000


def test_a_week_of_writing_does_not_overflow() -> None:
    """The ramp has an end, so that a short doubling time is no arithmetic error."""
    sender = a_sender(doubling=0.001)

    keep_writing(sender, 100)

    assert sender.governor.rate == pytest.approx(1_000 * 2**40)


def test_without_a_governor_everything_goes_at_once() -> None:
    """The governor that is switched off never waits, whatever it hears."""
    sender = Sender(NullGovernor(), Clock())

    sender.send(10)
    sender.governor.throttled(STORM)
    sender.send(10)

    assert sender.sent == [1_000.0] * 20
    assert sender.governor.rate == inf


@pytest.mark.parametrize(
    ("tasks", "start", "doubling", "ceiling"),
    [(0, 1, 1, 1), (1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0), (1, nan, 1, 1), (1, 1, 1, nan)],
)
def test_impossible_governors_are_refused(
    tasks: int, start: float, doubling: float, ceiling: float | None
) -> None:
    """Nothing that never sends, or sends without a rate, is made."""
    with pytest.raises(ValueError, match="no such ramp"):
        Governor(Clock(), tasks=tasks, start=start, doubling=doubling, ceiling=ceiling)


@pytest.mark.parametrize(
    ("objects", "tasks", "minutes", "peak"),
    [
        (5_000_000, 1, 166.7, 500),
        (5_000_000, 10, 39.24, 3_886),
        (5_000_000, 100, 39.24, 3_886),
        (100_000_000, 1, 3_333.3, 500),
        (100_000_000, 10, 357.1, 5_000),
        (100_000_000, 100, 118.0, 50_000),
    ],
)
def test_millions_of_objects(objects: int, tasks: int, minutes: float, peak: float) -> None:
    """Tasks of 500 objects/s take this long, and are never faster than clients and guideline together allow."""
    found = simulate(objects, tasks, client_speed=500)

    assert found.seconds / 60 == pytest.approx(minutes, rel=1e-3)
    assert found.peak_rate == pytest.approx(peak, rel=1e-3)
    assert found.mean_rate == pytest.approx(objects / found.seconds)
    assert found.peak_rate <= min(500 * tasks, 1_000 * 2 ** (found.seconds / 1_200))


def test_a_run_of_many_years_is_simulated_too() -> None:
    """From where nothing changes any more, the rest takes no steps."""
    assert simulate(10**15, 1, client_speed=500).seconds == 2 * 10**12


@given(st.integers(0, 10**8), st.integers(1, 5), st.floats(50, 5_000), st.none() | st.floats(100, 10_000))
def test_simulated_and_calculated_times_agree(
    objects: int, tasks: int, client_speed: float, ceiling: float | None
) -> None:
    """The formula of the estimate gives the time that the governors take, less than half a hundredth apart."""
    found = simulate(objects, tasks, client_speed=client_speed, ceiling=ceiling)

    cap = min(client_speed * tasks, inf if ceiling is None else ceiling)
    assert found.seconds == pytest.approx(seconds_under_ramp(objects, cap=cap), rel=0.005)
    assert found.peak_rate <= cap * (1 + 1e-9)


@given(st.integers(1, 2_000), st.floats(1, 50), st.floats(20, 1_200))
def test_writes_one_by_one_take_the_calculated_time(writes: int, start: float, doubling: float) -> None:
    """Waiting out every slot takes as long as the formula says, give or take a slot and a tick."""
    sender = a_sender(start=start, doubling=doubling)

    sender.send(writes + 1)

    expected = seconds_under_ramp(writes, start=start, doubling=doubling)
    assert sender.clock.now - 1_000 == pytest.approx(expected, rel=0.02, abs=1 / start + TICK_SECONDS)


@pytest.mark.parametrize(("objects", "client_speed"), [(-1, 1), (1, 0), (1, nan)])
def test_impossible_runs_are_refused(objects: int, client_speed: float) -> None:
    """A run of less than nothing, or of a client at no speed, has no time."""
    with pytest.raises(ValueError, match="no such run"):
        simulate(objects, 1, client_speed=client_speed)


@pytest.mark.parametrize(
    ("writes", "seconds"), [(0, 0), (1_000, 1.0), (1_731_234, 1_200), (5_193_702, 2_400), (12_118_638, 3_600)]
)
def test_the_time_of_the_ramp(writes: int, seconds: float) -> None:
    """A bucket takes 1.7 million writes in the first twenty minutes, twice as many in the next, and so on."""
    assert seconds_under_ramp(writes) == pytest.approx(seconds, rel=1e-3)


def test_the_slower_of_bucket_and_client_counts_at_every_moment() -> None:
    """A client of 2,000 objects/s is held back for twenty minutes and then goes at its own speed."""
    assert seconds_under_ramp(1_731_234 + 20_000, cap=2_000) == pytest.approx(1_210, abs=0.01)
    assert seconds_under_ramp(5_000, cap=500) == 10


@given(COUNTS, RATES, st.floats(1, 1e5), RATES)
def test_never_faster_than_the_ramp(writes: int, start: float, doubling: float, cap: float) -> None:
    """What a ramp in a hundred steps a doubling writes in the time found is what was asked for."""
    seconds = seconds_under_ramp(writes, start=start, doubling=doubling, cap=cap)

    written, left, rate = 0.0, seconds, start
    while left > 0 and rate < cap:
        written += rate * min(left, doubling / 100)
        left, rate = left - doubling / 100, rate * 2 ** (1 / 100)
    assert written + max(left, 0) * cap == pytest.approx(writes, rel=0.01, abs=1e-6)


@given(COUNTS, RATES, RATES)
def test_neither_bucket_nor_client_is_outrun(writes: int, start: float, cap: float) -> None:
    """It takes at least as long as the ramp without a client, and as the client without a ramp."""
    seconds = seconds_under_ramp(writes, start=start, cap=cap)

    assert seconds >= seconds_under_ramp(writes, start=start, cap=inf) * (1 - 1e-9)
    assert seconds >= writes / cap * (1 - 1e-9)


@pytest.mark.parametrize(
    ("writes", "start", "doubling", "cap"), [(1, 0, 1, 1), (1, 1, 0, 1), (1, 1, 1, 0), (-1, 1, 1, 1)]
)
def test_impossible_ramps_are_refused(writes: int, start: float, doubling: float, cap: float) -> None:
    """A ramp that never ends or runs backwards is refused."""
    with pytest.raises(ValueError, match="no such ramp"):
        seconds_under_ramp(writes, start=start, doubling=doubling, cap=cap)
