"""Narrows a sweep to recent days, by their names.

It leaves out only folders and flat files with an older day in their names (`shared.partitions`), and includes everything else. It
also includes the day before, because the writer's midnight is not always UTC's midnight.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import groupby

from backfill_job.run.key_ranges import KeyRange
from shared.errors import UsageError
from shared.partitions import classify
from shared.text import minute_text

__all__ = ["begun_by", "moment_of", "narrowed_to", "without_older_days"]

_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])", re.ASCII)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment_of(text: str) -> Callable[[datetime], datetime]:
    """Read a time, or a duration that ends now.

    Args:
        text: ``2026-11-01``, ``2026-11-01T06:00:00Z`` (UTC where no offset is given), or ``90m``, ``36h``, ``7d``, ``2w``.

    Returns:
        A function from the present time to the time that the text means.

    Raises:
        ValueError: The text is neither.
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
    try:
        aware.astimezone(UTC)
    except OverflowError as error:
        raise ValueError(f"{text!r} is outside the calendar") from error
    return lambda _: aware


def begun_by(option: str, since: Callable[[datetime], datetime], now: datetime) -> datetime:
    """The time that an option means, which must have begun: in no time zone is the day after tomorrow a present day.

    Raises:
        UsageError: It has not, so nothing can have happened since.
    """
    moment = since(now)
    if moment > now + timedelta(days=1):
        raise UsageError(
            f"{option} {minute_text(moment)} is in the future: there is nothing since then to look at"
        )
    return moment


def narrowed_to(since: Callable[[datetime], datetime] | None, started: datetime) -> str:
    """What a run is narrowed to, in words; empty where it covers all names. `since` is what `moment_of` gave."""
    return "" if since is None else f"since {minute_text(since(started))} only"


def without_older_days(
    tiles: Iterable[KeyRange], top_level: Sequence[str], since: datetime
) -> tuple[KeyRange, ...]:
    """Leave out the names of older days.

    Args:
        top_level: The folders, each with its final ``/``, and the objects directly below the prefix, of both sides, in
            order. An older day's name that is not among them stays included.
        since: The result lacks days that end more than a day before this.

    Returns:
        The rest of the pieces, in their order.
    """
    left = tuple(tiles)
    for skipped in _skipped(top_level, since.astimezone(UTC).date()):
        left = tuple(piece for tile in left for piece in _minus(tile, skipped))
    return left


def _back(now: datetime, duration: timedelta) -> datetime:
    try:
        return now - duration
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _skipped(top_level: Sequence[str], day: date) -> Iterable[KeyRange]:
    """One range for neighbours that all have older days, because no other name lies between them."""
    if day <= date(1, 1, 2):
        return
    first = day - timedelta(days=1)
    for older, names in groupby(top_level, lambda name: _is_older(name, first)):
        if older:
            neighbours = list(names)
            yield KeyRange(neighbours[0], _after(neighbours[-1]))


def _is_older(name: str, first: date) -> bool:
    # Not with size 0, because a placeholder has no day, but the names in its folder have one.
    day = classify(name, 1).day
    return day is not None and day < first


def _after(name: str) -> str:
    """The first name after an object, or after everything in a folder."""
    return name[:-1] + chr(ord("/") + 1) if name.endswith("/") else name + "\0"


def _minus(tile: KeyRange, skipped: KeyRange) -> Iterable[KeyRange]:
    if (tile.end and tile.end <= skipped.start) or tile.start >= skipped.end:
        yield tile
        return
    if tile.start < skipped.start:
        yield KeyRange(tile.start, skipped.start)
    if not tile.end or skipped.end < tile.end:
        yield KeyRange(max(tile.start, skipped.end), tile.end)
