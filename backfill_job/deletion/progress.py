"""How far a deletion is: a bar on a terminal, a log line every ten seconds and at the end everywhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from rich.console import Console

from backfill_job.copying.progress import Reading, showing
from backfill_job.deletion.outcomes import DeletionLedger, Outcome
from shared.events_log import Event, EventLog

__all__ = ["showing_deletion"]


@contextmanager
def showing_deletion(
    console: Console,
    log: EventLog,
    ledger: DeletionLedger,
    *,
    total: int,
    monotonic: Callable[[], float] = time.monotonic,
) -> Iterator[Callable[[], None]]:
    """Show how far a deletion is, as `showing` does.

    Args:
        console: Gets a bar where it is a terminal, else nothing.
        log: Gets the lines.
        ledger: The books.
        total: Lines to be settled.
        monotonic: Seconds that only grow.

    Yields:
        To be called after every line.
    """

    def read() -> Reading:
        books = ledger.books()
        return Reading(books.accounted, books.counts[Outcome.DELETED], books.to_json())

    tell = partial(log.emit, Event.DELETION_PROGRESS)
    with showing(console, "deleting", tell, total=total, monotonic=monotonic) as update:
        yield lambda: update(read)
        update(read)
