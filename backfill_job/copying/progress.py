"""Shows the progress of work: a bar on a terminal, and for some work a log line every ten seconds and at the end.

The bar says how much of how much is done, how fast, and how long the rest takes. It appears after a second.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from backfill_job.copying.counts import Account, Counts
from backfill_job.run.late_console import LateConsole
from shared.events_log import Event, EventLog
from shared.text import byte_count, duration

__all__ = ["ProgressCounts", "counting", "said_of", "showing", "showing_progress"]

LOG_SECONDS = 10.0
SHOW_SECONDS = 0.1

BAR_AFTER_SECONDS = 1.0
"""What takes less needs no bar."""

BAR_WIDTH = 20


@dataclass(frozen=True, slots=True)
class ProgressCounts:
    """The counts at one moment.

    Attributes:
        done: How many of them the run worked on, for the rate.
        facts: The counts for the log; `bytes` stands in the bar, too.
    """

    settled: int
    done: int
    facts: Mapping[str, object]

    @staticmethod
    def of(counts: Counts[Any]) -> "ProgressCounts":
        """What counts say."""
        return ProgressCounts(counts.accounted, counts.done, counts.to_json())


@contextmanager
def showing(
    console: LateConsole,
    what: str,
    tell: Callable[..., None] = lambda **_: None,
    *,
    total: int | None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[Callable[[], ProgressCounts]], None]]:
    """Show the progress of some work.

    Args:
        console: Shows a bar if it is a terminal, else nothing.
        tell: Called every `LOG_SECONDS` and at the end with the facts, ``objects_per_s`` and ``elapsed_s``; by default nothing is.
        total: Objects expected; None where unknown. Where there are more, the bar ends with those.

    Yields:
        A function to call after every object. It calls its argument, which reads the counts, only a few times a second.
    """
    started = shown = logged = last = monotonic()
    latest: Callable[[], ProgressCounts] | None = None
    draw: Callable[[ProgressCounts, float], None] | None = None

    def update(read: Callable[[], ProgressCounts]) -> None:
        nonlocal latest, draw, shown, logged, last
        latest = read
        now = last = monotonic()
        if now - shown < SHOW_SECONDS:
            return
        shown = now
        reading = read()
        if console.is_terminal and now - started >= BAR_AFTER_SECONDS and not console.is_dumb:
            draw = draw or bar.enter_context(_bar(console, what, total))
            draw(reading, now - started)
        if now - logged >= LOG_SECONDS:
            logged = now
            say(reading, now)

    def say(reading: ProgressCounts, now: float) -> None:
        elapsed = now - started
        rate = round(_rate(reading, elapsed), 1)
        tell(**reading.facts, objects_per_s=rate, elapsed_s=round(elapsed, 1))

    with ExitStack() as bar:
        yield update
        if latest is not None:
            reading = latest()
            # Otherwise the last figures would show the work just before its end.
            say(reading, last)


def _rate(reading: ProgressCounts, elapsed: float) -> float:
    return reading.done / elapsed if elapsed else 0.0


def said_of(reading: ProgressCounts, total: int | None, elapsed: float) -> str:
    """How much of how much is done, how fast, and how long the rest takes: for a terminal of 80 columns."""
    settled, rate, size = reading.settled, _rate(reading, elapsed), reading.facts.get("bytes")
    fast = f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s"  # noqa: PLR2004 -- tenths are still of interest
    if isinstance(size, int) and size:
        fast = f"{byte_count(size)}, {fast}"
    if total is None or total < settled:
        return f"{settled:,}, {fast}, {duration(elapsed)} so far"
    left = f", {duration((total - settled) * elapsed / settled)} left" if settled else ""
    return f"{settled:,} of {total:,}, {fast}{left}"


@contextmanager
def _bar(
    console: LateConsole, what: str, total: int | None
) -> Iterator[Callable[[ProgressCounts, float], None]]:
    """A bar on a terminal, which goes away in the end; gives the function that moves it."""
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 -- slow to import, and a log needs none

    columns = TextColumn("{task.description}"), BarColumn(BAR_WIDTH), TextColumn("{task.fields[said]}")
    with Progress(*columns, console=console.rich(), transient=True) as bar:
        task = bar.add_task(what, total=total, said="")

        def draw(reading: ProgressCounts, elapsed: float) -> None:
            most = None if total is None else max(total, reading.settled)
            bar.update(task, total=most, completed=reading.settled, said=said_of(reading, total, elapsed))

        yield draw


@contextmanager
def counting(console: LateConsole, what: str, *, total: int | None) -> Iterator[Callable[..., None]]:
    """Show the progress of work that the log does not follow; gives the function that adds to what is done, with its bytes if known."""
    done = moved = 0
    with showing(console, what, total=total) as update:

        def add(more: int, size: int = 0) -> None:
            nonlocal done, moved
            done += more
            moved += size
            update(lambda: ProgressCounts(done, done, {"bytes": moved}))

        yield add


@contextmanager
def showing_progress(
    console: LateConsole, log: EventLog, *, total: int | None
) -> Iterator[Callable[[Counts[Account]], None]]:
    """Show the progress of an execution, as `showing` does, from its counts."""
    tell = partial(log.emit, Event.PROGRESS)
    with showing(console, "copying", tell, total=total) as update:
        yield lambda counts: update(partial(ProgressCounts.of, counts))
