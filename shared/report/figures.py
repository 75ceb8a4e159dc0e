"""Figures as a reader of a page wants them."""

from datetime import datetime

from shared.text import byte_count, counted

__all__ = ["age", "byte_count", "count", "counted", "moment", "seconds", "seconds_short"]

_SCALES = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s"))


def count(number: int) -> str:
    """``1,234``."""
    return f"{number:,}"


def seconds(value: float) -> str:
    """``42 ms``, ``1.5 s``, ``42 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d``: two units are enough."""
    if value < 0:
        return f"−{seconds(-value)}"  # noqa: RUF001 -- a minus sign
    if round(value, 3) < 1:
        return f"{value * 1_000:.0f} ms"
    if round(value, 1) < 10:  # noqa: PLR2004 -- tenths are still of interest
        return f"{round(value, 1):g} s"
    for size, unit, small, small_unit in _SCALES:
        rounded = round(value / small) * small
        if rounded >= size:
            rest = rounded % size // small
            return f"{rounded // size:,} {unit}" + (f" {rest:02} {small_unit}" if rest else "")
    return f"{value:.0f} s"


def seconds_short(value: float) -> str:
    """A bound on an axis, as short as can be: ``50ms``, ``0.5s``, ``5m``, ``1h``."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value * 1_000:g}ms" if value < 0.1 else f"{value:g}s"  # noqa: PLR2004 -- 0.1s is as short as 100ms


def moment(value: datetime) -> str:
    """``2026-11-23 05:15:00 UTC``; the value is in UTC."""
    return f"{value.replace(tzinfo=None).isoformat(' ', 'seconds')} UTC"


def age(value: datetime, now: datetime) -> str:
    """``12 s ago``, ``3 h 05 min ago``; ``just now`` for the last seconds and for clocks that disagree."""
    passed = (now - value).total_seconds()
    return "just now" if passed < 5 else f"{seconds(passed)} ago"  # noqa: PLR2004 -- a page takes a moment to load
