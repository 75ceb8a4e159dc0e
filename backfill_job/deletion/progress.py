"""How far a deletion is: a bar on a terminal, a log line every ten seconds everywhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from backfill_job.deletion.outcomes import DeletionLedger, Outcome
from backfill_job.progress import LOG_SECONDS
from shared.events_log import Event, EventLog

__all__ = ["showing_deletion"]

SHOW_SECONDS = 0.1


@contextmanager
def showing_deletion(
    console: Console,
    log: EventLog,
    ledger: DeletionLedger,
    *,
    total: int,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[], None]]:
    """Show how far a deletion is.

    Args:
        console: Gets a bar where it is a terminal, else nothing.
        log: Gets a line every `LOG_SECONDS`.
        ledger: The books.
        total: Lines to be settled.
        monotonic: Seconds that only grow.

    Yields:
        To be called after every line; looks into the books a few times a second only.
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
    task = bar.add_task("deleting", total=total)
    started = shown = logged = monotonic()

    def update() -> None:
        nonlocal shown, logged
        now = monotonic()
        if now - shown < SHOW_SECONDS:
            return
        shown = now
        books = ledger.books()
        bar.update(task, completed=books.accounted)
        if now - logged >= LOG_SECONDS:
            logged = now
            elapsed = now - started
            rate = round(books.counts[Outcome.DELETED] / elapsed, 1)
            log.emit(
                Event.DELETION_PROGRESS, **books.to_json(), objects_per_s=rate, elapsed_s=round(elapsed, 1)
            )

    with bar:
        yield update
        bar.update(task, completed=ledger.books().accounted)
