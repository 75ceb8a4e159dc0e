"""Cloud Storage's time: what the answers' ``Date`` says, whatever this machine's clock says."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.server_time import ServerTime

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)


def http(moment: datetime) -> str:
    return format_datetime(moment, usegmt=True)


class Local:
    """This machine's clock."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now


def test_the_newest_time_stays_the_newest() -> None:
    """Answers arrive in any order."""
    time = ServerTime(Local())
    assert time.newest() is None
    for seconds, newest in ((5, 5), (3, 5), (5, 5), (7, 7), (6, 7)):
        time.note(http(NOON + timedelta(seconds=seconds)))
        assert time.newest() == NOON + timedelta(seconds=newest)


@pytest.mark.parametrize(
    "date",
    [
        "",
        "soon",
        "Sat, 01 Mar 2025",
        "Sat, 41 Mar 2025 12:00:00 GMT",
        "2025-03-01T12:00:00Z",
        "Sat, 01 Mar 2025 12:00:00 -0000",
    ],
)
def test_what_is_not_a_time_is_left_out(date: str) -> None:
    """An answer without a readable time is an answer."""
    time = ServerTime(Local())
    time.note(date)
    assert time.newest() is None
    time.note(http(NOON))
    time.note(date)
    assert time.newest() == NOON


@given(st.text() | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ \d+:\d+:\d+ [A-Z+\-0-9]+"))
def test_no_header_is_an_error(date: str) -> None:
    """Whatever a proxy puts there."""
    time = ServerTime(Local())
    time.note(date)
    newest = time.newest()
    assert newest is None or newest.tzinfo is not None


@pytest.mark.parametrize("days", [8, -8])
def test_the_present_time_is_cloud_storage_s_where_the_local_clock_is_wrong(days: int) -> None:
    """Ages of sign-offs and of phases do not follow an operator's clock."""
    local = Local(NOON + timedelta(days=days))
    time = ServerTime(local)
    assert time.now() == local.now
    time.note(http(NOON))
    assert time.now() == NOON
    local.now += timedelta(minutes=5)
    assert time.now() == NOON + timedelta(minutes=5)


@pytest.mark.parametrize("seconds", [-2.5, 0.0, 0.9])
def test_a_local_clock_that_agrees_keeps_its_parts_of_a_second(seconds: float) -> None:
    """The header has whole seconds, and the answer was under way for a while."""
    local = Local(NOON - timedelta(seconds=seconds))
    time = ServerTime(local)
    time.note(http(NOON))
    assert time.now() == local.now


def test_a_clock_that_is_put_right_meanwhile_is_measured_again() -> None:
    """With the next newer answer."""
    local = Local(NOON + timedelta(days=8))
    time = ServerTime(local)
    time.note(http(NOON))
    local.now = NOON + timedelta(seconds=10)
    time.note(http(NOON + timedelta(seconds=10)))
    assert time.now() == local.now


def test_threads_never_set_the_newest_time_back() -> None:
    """One thread is stopped while it notes an answer of before a sleep; another notes one of after it meanwhile."""
    later = NOON + timedelta(hours=1)
    others: list[Thread] = []

    def clock() -> datetime:
        """The first call starts the other thread, and lets it run as far as it can."""
        if not others:
            others.append(Thread(target=lambda: time.note(http(later))))
            others[0].start()
            others[0].join(0.5)
        return NOON

    time = ServerTime(clock)
    time.note(http(NOON))
    others[0].join()
    assert time.newest() == later


def test_a_thread_s_own_time_is_not_another_s() -> None:
    """The age of what a thread read does not depend on what others were answered meanwhile."""
    time = ServerTime(Local())
    assert time.newest_here() is None
    time.note(http(NOON))
    other = Thread(target=time.note, args=[http(NOON + timedelta(seconds=20))])
    other.start()
    other.join()
    assert (time.newest_here(), time.newest()) == (NOON, NOON + timedelta(seconds=20))
    time.note("")
    assert time.newest_here() == NOON, "an answer without a time"
    time.note(http(NOON + timedelta(seconds=20)))
    assert time.newest_here() == NOON + timedelta(seconds=20), (
        "also where another thread noted the same before"
    )
