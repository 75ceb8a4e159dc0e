"""Narrowing a sweep to recent days, by their names.

Only days before the one asked for are left out, and only where the name says the day (``shared.partitions``): whatever else
lies there is always looked at. The day before is looked at, too: the writer's midnight may not be UTC's.
"""

import re
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta

from backfill_job.sharding import KeyRange

__all__ = ["moment_of", "narrowed_to", "without_older_days"]

DATED = ("qpi_answers_", "qpi_questions_")
"""What stands before the date in every layout that has one; folders and flat files alike."""

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_of(text: str) -> Callable[[datetime], datetime]:
    """Read a time, or a duration that ends now.

    Args:
        text: ``2026-11-01``, ``2026-11-01T06:00:00Z`` (UTC where no offset is given), or ``90m``, ``36h``, ``7d``, ``2w``.

    Returns:
        Gives the time it means, from the time it is now.

    Raises:
        ValueError: It is neither.
    """
    duration = _DURATION.fullmatch(text)
    if duration:
        try:
            back = timedelta(**{_UNITS[duration[2]]: float(duration[1])})
        except OverflowError as error:
            raise ValueError(f"{text!r} is longer than a calendar") from error
        return lambda now: _back(now, back)
    moment = datetime.fromisoformat(text)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return lambda _: aware


def narrowed_to(since: Callable[[datetime], datetime] | None, started: datetime) -> str:
    """Say to what a run is narrowed; empty where it is about everything.

    Args:
        since: What `moment_of` gave; None where nothing was asked for.
        started: When the run began.
    """
    return "" if since is None else f"since {since(started):%Y-%m-%d %H:%M} only"


def without_older_days(tiles: Iterable[KeyRange], since: datetime) -> tuple[KeyRange, ...]:
    """Leave out the names of older days.

    Args:
        tiles: Pieces of the key space.
        since: Days that end more than a day before this are left out.

    Returns:
        What is left of the pieces, in their order.
    """
    left = tuple(tiles)
    for skipped in _skipped(since.astimezone(UTC).date()):
        left = tuple(piece for tile in left for piece in _minus(tile, skipped))
    return left


def _back(now: datetime, duration: timedelta) -> datetime:
    try:
        return now - duration
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _skipped(day: date) -> Iterable[KeyRange]:
    if day <= date(1, 1, 2):
        return
    first = (day - timedelta(days=1)).isoformat().replace("-", "")
    for name in DATED:
        # From the first digit on: a name without a date is no day's. The earliest date is 00010101.
        yield KeyRange(f"{name}0", f"{name}{first}")


def _minus(tile: KeyRange, skipped: KeyRange) -> Iterable[KeyRange]:
    if (tile.end and tile.end <= skipped.start) or tile.start >= skipped.end:
        yield tile
        return
    if tile.start < skipped.start:
        yield KeyRange(tile.start, skipped.start)
    if not tile.end or skipped.end < tile.end:
        yield KeyRange(max(tile.start, skipped.end), tile.end)
