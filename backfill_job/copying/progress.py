"""Shows the progress of a run: a bar on a terminal, and everywhere a log line every ten seconds and at the end."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from backfill_job.copying.counts import Account, Counts
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
    console: Console,
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
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    task = bar.add_task(what, total=total)
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
        bar.update(task, completed=reading.settled)
        if now - logged >= LOG_SECONDS:
            logged = now
            say(reading, now)

    def say(reading: Reading, now: float) -> None:
        elapsed = now - started
        rate = round(reading.done / elapsed, 1) if elapsed else 0.0
        tell(**reading.facts, objects_per_s=rate, elapsed_s=round(elapsed, 1))

    with bar:
        yield update
        if latest is not None:
            reading = latest()
            bar.update(task, completed=reading.settled)
            # Otherwise the last figures would show the work just before its end.
            say(reading, last)


@contextmanager
def showing_progress(
    console: Console, log: EventLog, *, total: int | None, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Counts[Account]], None]]:
    """Show the progress of an execution, as `showing` does, from its counts."""
    tell = partial(log.emit, Event.PROGRESS)
    with showing(console, "copying", tell, total=total, monotonic=monotonic) as update:
        yield lambda counts: update(partial(_reading, counts))


def _reading(counts: Counts[Account]) -> Reading:
    return Reading(counts.accounted, counts.done, counts.to_json())
