"""Which days are tested: the three ways to say it, read as days. Pure."""

from collections.abc import Sequence
from datetime import date, timedelta

from shared.errors import UsageError

__all__ = ["MAX_DAYS", "chosen_days"]

MAX_DAYS = 5_000
"""Days of one run: more than the export has, fewer than a mistyped year makes."""

_ONE_DAY = timedelta(days=1)
_DIGITS = len("YYYYMMDD")


def chosen_days(
    dates: Sequence[str],
    first: str | None,
    last: str | None,
    last_days: str | None,
    *,
    today: date,
) -> tuple[date, ...]:
    """Read which days are meant.

    Args:
        dates: What ``--date`` says, ``YYYYMMDD`` each, in any order, repeated or not.
        first: What ``--from`` says, if anything.
        last: What ``--to`` says, if anything.
        last_days: What ``--last`` says, if anything: so many days up to yesterday. Today is still being written.
        today: The current day, UTC.

    Returns:
        The days, in order, each once; at least one.

    Raises:
        UsageError: None of the three ways is used or more than one, or one of them says something impossible.
    """
    by_range = first is not None or last is not None
    if bool(dates) + by_range + (last_days is not None) != 1:
        raise UsageError(
            "say which days: --date YYYYMMDD (may be repeated), or --from YYYYMMDD --to YYYYMMDD, or --last N"
        )
    if dates:
        return tuple(sorted({_day(text, "--date") for text in dates}))
    if last_days is not None:
        return _range(today - _number(last_days) * _ONE_DAY, today - _ONE_DAY)
    if first is None or last is None:
        raise UsageError("--from and --to belong together; for a single day there is --date")
    return _range(_day(first, "--from"), _day(last, "--to"))


def _range(first: date, last: date) -> tuple[date, ...]:
    number = (last - first).days + 1
    if number < 1:
        raise UsageError(f"--from {first} comes after --to {last}")
    if number > MAX_DAYS:
        raise UsageError(f"{number:,} days from {first} to {last}; at most {MAX_DAYS:,} are tested at once")
    return tuple(first + count * _ONE_DAY for count in range(number))


def _day(text: str, option: str) -> date:
    if len(text) == _DIGITS and text.isascii() and text.isdecimal():
        try:
            return date(int(text[:4]), int(text[4:6]), int(text[6:]))
        except ValueError:
            pass
    raise UsageError(f"{option} {text!r} is no day; YYYYMMDD is wanted, such as {option} 20240131")


def _number(text: str) -> int:
    number = int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else 0
    if not 1 <= number <= MAX_DAYS:
        raise UsageError(f"--last {text!r} is no number of days from 1 to {MAX_DAYS:,}")
    return number
