"""Shows the progress of a run: a bar on a terminal, and everywhere a log line every ten seconds and at the end."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

from backfill_job.copying.counts import Account, Counts
from backfill_job.run.late_console import LateConsole
from shared.events_log import Event, EventLog

__all__ = ["Reading", "showing", "showing_progress"]

LOG_SECONDS = 10.0
SHOW_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Reading:
    """The counts at one moment.

    Attributes:
        settled: Objects accounted for.
        done: How many of them the run worked on, for the rate.
        facts: The counts for the log.
    """

    settled: int
    done: int
    facts: Mapping[str, object]


@contextmanager
def showing(
    console: LateConsole,
    what: str,
    tell: Callable[..., None],
    *,
    total: int | None,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[Callable[[], Reading]], None]]:
    """Show the progress of some work.

    Args:
        console: Shows a bar if it is a terminal, else nothing.
        what: The work, in a word.
        tell: Called every `LOG_SECONDS` and at the end with the facts, ``objects_per_s`` and ``elapsed_s``.
        total: Objects expected; None where unknown.
        monotonic: A clock in seconds that only grows.

    Yields:
        A function to call after every object. It calls its argument, which reads the counts, only a few times a second.
    """
    started = shown = logged = last = monotonic()
    latest: Callable[[], Reading] | None = None

    def update(read: Callable[[], Reading]) -> None:
        nonlocal latest, shown, logged, last
        latest = read
        now = last = monotonic()
        if now - shown < SHOW_SECONDS:
            return
        shown = now
        reading = read()
        draw(reading.settled)
        if now - logged >= LOG_SECONDS:
            logged = now
            say(reading, now)

    def say(reading: Reading, now: float) -> None:
        elapsed = now - started
        rate = round(reading.done / elapsed, 1) if elapsed else 0.0
        tell(**reading.facts, objects_per_s=rate, elapsed_s=round(elapsed, 1))

    with _bar(console, what, total) if console.is_terminal else nullcontext(_no_bar) as draw:
        yield update
        if latest is not None:
            reading = latest()
            draw(reading.settled)
            # Otherwise the last figures would show the work just before its end.
            say(reading, last)


def _no_bar(_completed: int) -> None:
    """Outside a terminal."""


@contextmanager
def _bar(console: LateConsole, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal; gives the function that moves it."""
    from rich.progress import (  # noqa: PLC0415 -- slow to import, and a log needs none
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(TextColumn("{task.description}"), *columns, console=console.rich()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda completed: bar.update(task, completed=completed)


@contextmanager
def showing_progress(
    console: LateConsole, log: EventLog, *, total: int | None, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Counts[Account]], None]]:
    """Show the progress of an execution, as `showing` does, from its counts."""
    tell = partial(log.emit, Event.PROGRESS)
    with showing(console, "copying", tell, total=total, monotonic=monotonic) as update:
        yield lambda counts: update(partial(_reading, counts))


def _reading(counts: Counts[Account]) -> Reading:
    return Reading(counts.accounted, counts.done, counts.to_json())
