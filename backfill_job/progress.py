"""How far a run is: a bar on a terminal, a log line every ten seconds everywhere."""

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

from backfill_job.ledger import Account, Ledger
from shared.events_log import Event, EventLog

__all__ = ["LOG_SECONDS", "showing_progress"]

LOG_SECONDS = 10.0
SHOW_SECONDS = 0.1


@contextmanager
def showing_progress(
    console: Console, log: EventLog, *, total: int | None, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Ledger], None]]:
    """Show how far a run is.

    Args:
        console: Gets a bar where it is a terminal, else nothing.
        log: Gets a line every `LOG_SECONDS`.
        total: Objects expected, where known.
        monotonic: Seconds that only grow.

    Yields:
        To be called with the books after every object; looks into them a few times a second only.
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
    task = bar.add_task("copying", total=total)
    started = shown = logged = monotonic()
    books: Ledger | None = None

    def update(ledger: Ledger) -> None:
        nonlocal books, shown, logged
        books = ledger
        now = monotonic()
        if now - shown < SHOW_SECONDS:
            return
        shown = now
        balance = ledger.balance()
        bar.update(task, completed=balance.accounted)
        if now - logged >= LOG_SECONDS:
            logged = now
            elapsed = now - started
            rate = round(balance.counts[Account.COPIED] / elapsed, 1)
            log.emit(Event.PROGRESS, **balance.to_json(), objects_per_s=rate, elapsed_s=round(elapsed, 1))

    with bar:
        yield update
        if books is not None:
            bar.update(task, completed=books.balance().accounted)
