"""Times as Cloud Storage writes them: RFC 3339, UTC, milliseconds.

Kept as text: all have the same width, so they compare as times do, and nothing is formatted twice.
"""

from datetime import UTC, datetime, timedelta

__all__ = ["later", "parse", "stamp"]


def stamp(moment: datetime) -> str:
    """A moment as text, such as ``2024-01-02T03:04:05.678Z``.

    Args:
        moment: Any time in UTC.
    """
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def parse(text: str) -> datetime:
    """The moment a text names.

    Raises:
        ValueError: It is not RFC 3339.
    """
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def later(text: str, *, seconds: float) -> str:
    """The moment so many seconds after another."""
    return stamp(parse(text) + timedelta(seconds=seconds))
