"""Figures and names, written for people."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

__all__ = [
    "age",
    "byte_count",
    "counted",
    "dollars",
    "duration",
    "listed",
    "minute_text",
    "second_text",
    "shown",
    "shown_text",
    "shown_value",
    "without_names",
]

SHOWN = 60
"""Characters shown of a value that is not what it should be."""

HUGE = 2**63
"""Numbers from here on are not written out."""

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB", "EiB")


def shown(text: str) -> str:
    r"""Make a text from a bucket, such as an object name, printable and unambiguous.

    Unprintable characters and the backslash are escaped as in Python. Spaces at either end, which are invisible, become
    ``\x20``. So two different texts never look the same because of an invisible character.
    """
    inner = text.strip(" ")
    start = len(text) - len(text.lstrip(" ")) if inner else 0
    end = len(text) - len(inner) - start
    return "\\x20" * start + "".join(map(_printable, inner)) + "\\x20" * end


def counted(number: float, noun: str) -> str:
    """``1 object``, ``1,000 objects``, ``2 entries``: a number before a noun is written by this function alone."""
    if number == 1:
        return f"1 {noun}"
    many = f"{noun[:-1]}ies" if noun.endswith("y") and noun[-2:-1] not in set("aeiou") else f"{noun}s"
    return f"{number:,} {many}" if isinstance(number, int) else f"{number:,g} {many}"


def listed(items: Iterable[str], limit: int) -> str:
    """The first items, separated by commas, and the number of further ones."""
    everything = list(items)
    more = len(everything) - limit
    return ", ".join(everything[:limit]) + (f" … and {more:,} more" if more > 0 else "")


def byte_count(number: int) -> str:
    """``1,000 B``, ``1.5 KiB``, ``2.0 GiB``: units of 1,024."""
    if number < 1_024:  # noqa: PLR2004 -- what the units are made of
        return f"{number:,} B"
    scaled, units = number / 1_024, iter(_UNITS)
    unit = next(units)
    # From 1,023.95 on the format would round up to 1,024.0.
    while scaled >= 1_023.95 and unit != _UNITS[-1]:  # noqa: PLR2004 -- see above
        scaled, unit = scaled / 1_024, next(units)
    return f"{scaled:,.1f} {unit}"


def duration(seconds: float) -> str:
    """``42 ms``, ``1.5 s``, ``42 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d``: two units are enough."""
    if seconds < 0:
        return f"−{duration(-seconds)}"  # noqa: RUF001 -- a minus sign
    if round(seconds, 3) < 1:
        return f"{seconds * 1_000:.0f} ms"
    if round(seconds, 1) < 10:  # noqa: PLR2004 -- tenths are still of interest
        return f"{round(seconds, 1):g} s"
    for size, unit, small, small_unit in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        rounded = round(seconds / small) * small
        if rounded >= size:
            rest = rounded % size // small
            return f"{rounded // size:,} {unit}" + (f" {rest:02} {small_unit}" if rest else "")
    return f"{seconds:.0f} s"


def without_names(patterns: Iterable[str]) -> str:
    """``without names like *.tmp, _old/``; empty for no pattern."""
    said = ", ".join(map(shown_text, patterns))
    return f"without names like {said}" if said else ""


def minute_text(moment: datetime) -> str:
    """An aware time for people: ``2026-12-05 12:55 UTC``, the minute that has begun."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def second_text(moment: datetime) -> str:
    """An aware time on a page: ``2026-11-23 05:15:00 UTC``."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def age(moment: datetime, now: datetime) -> str:
    """``12 s ago``, ``3 h 05 min ago``; ``just now`` for the last seconds and for clocks that disagree."""
    passed = (now - moment).total_seconds()
    return "just now" if passed < 5 else f"{duration(passed)} ago"  # noqa: PLR2004 -- a page takes a moment to load


def dollars(amount: float) -> str:
    """``$1,234.50``; an amount above 0 and below a cent is ``under $0.01``."""
    return "under $0.01" if 0 < amount < 0.01 else f"${amount:,.2f}"  # noqa: PLR2004 -- a cent


def shown_value(value: object) -> str:
    """Name a value that is not what it should be: on one line, printable, and short."""
    match value:
        case Mapping():
            return "an object"
        case list() | tuple():
            return "a list"
        case str():
            return shown_text(ascii(value))
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() if abs(value) >= HUGE:
            return "a huge number"
        case int() | float():
            return str(value)
        case _:
            return f"a {type(value).__name__}"


def shown_text(text: str) -> str:
    """A text on one line, printable, and short."""
    text = text if text.isascii() and text.isprintable() else ascii(text)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _printable(character: str) -> str:
    if character.isprintable() and character != "\\":
        return character
    return character.encode("unicode_escape").decode()
