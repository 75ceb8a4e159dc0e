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

from backfill_job.ledger import Account, Balance
from shared.events_log import Event, EventLog

__all__ = ["LOG_SECONDS", "showing_progress"]

LOG_SECONDS = 10.0


@contextmanager
def showing_progress(
    console: Console, log: EventLog, *, total: int | None, monotonic: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[Balance], None]]:
    """Show how far a run is.

    Args:
        console: Gets a bar where it is a terminal, else nothing.
        log: Gets a line every `LOG_SECONDS`.
        total: Objects expected, where known.
        monotonic: Seconds that only grow.

    Yields:
        To be called with the books after every object.
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
    started = last = monotonic()

    def update(balance: Balance) -> None:
        nonlocal last
        bar.update(task, completed=balance.accounted)
        now = monotonic()
        if now - last >= LOG_SECONDS:
            last = now
            rate = balance.counts[Account.COPIED] / (now - started)
            elapsed = round(now - started, 1)
            log.emit(Event.PROGRESS, **balance.to_json(), objects_per_s=round(rate, 1), elapsed_s=elapsed)

    with bar:
        yield update
