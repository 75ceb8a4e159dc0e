"""How far some work is, as whoever watches the log sees it."""

import io
from typing import Any

import pytest
from rich.console import Console

from backfill_job.copying.progress import ProgressCounts, said_of, showing


class Work:
    """Some work with a clock of its own."""

    def __init__(self) -> None:
        self.time = 100.0
        self.done = 0
        self.told: list[dict[str, Any]] = []
        self.screen = io.StringIO()

    def read(self) -> ProgressCounts:
        return ProgressCounts(self.done + 5, self.done, {"copied": self.done})

    def go(self, *steps: float) -> None:
        """An object after each of these pauses, and a pause in the end."""
        console = Console(file=self.screen)
        with showing(
            console,
            "copying",
            lambda **fields: self.told.append(fields),
            total=None,
            monotonic=lambda: self.time,
        ) as update:
            for step in steps:
                self.time += step
                self.done += 1
                update(self.read)
            self.time += 1_000.0  # as a verification takes it


def test_the_log_is_told_every_ten_seconds_and_at_the_end() -> None:
    """The last line is of all that was done, at the pace at which it was done."""
    work = Work()
    work.go(4, 4, 4, 4, 4)
    assert work.told == [
        {"copied": 3, "objects_per_s": 0.2, "elapsed_s": 12.0},
        {"copied": 5, "objects_per_s": 0.2, "elapsed_s": 20.0},
    ]
    assert work.screen.getvalue() == "", "a bar is for terminals"


def test_quick_work_is_told_once() -> None:
    """Also where the time stood still."""
    work = Work()
    work.go(0, 0)
    assert work.told == [{"copied": 2, "objects_per_s": 0.0, "elapsed_s": 0.0}]


def test_no_work_is_no_line() -> None:
    """Nothing was looked at."""
    work = Work()
    work.go()
    assert work.told == []


@pytest.mark.parametrize(
    ("done", "total", "elapsed", "said"),
    [
        (5, 20, 10.0, "5 of 20, 0.5/s, 30 s left"),
        (19_999, 20_000, 4.0, "19,999 of 20,000, 5,000/s, 0.0 s left"),
        (20, 20, 4.0, "20 of 20, 5.0/s, 0.0 s left"),
        (21, 20, 4.0, "21, 5.2/s, 4.0 s so far"),
        (21, None, 4.0, "21, 5.2/s, 4.0 s so far"),
        (0, 20, 4.0, "0 of 20, 0.0/s"),
    ],
)
def test_the_bar_says_how_much_how_fast_and_how_long(
    done: int, total: int | None, elapsed: float, said: str
) -> None:
    """Never more than all of it."""
    assert said_of(ProgressCounts(done, done, {}), total, elapsed) == said


def test_the_bar_says_how_many_bytes_where_they_are_known() -> None:
    """Those that were written or deleted; a comparison moves none."""
    assert (
        said_of(ProgressCounts(20, 20, {"bytes": 3 * 1_024**2}), 40, 10.0)
        == "20 of 40, 3.0 MiB, 2.0/s, 10 s left"
    )
    assert said_of(ProgressCounts(20, 20, {"bytes": 0}), None, 10.0) == "20, 2.0/s, 10 s so far"
