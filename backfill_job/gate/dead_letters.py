"""Events that the mirror's trigger gave up: what ``gcloud pubsub subscriptions pull … --format=json`` printed, as evidence.

The messages lie in a Pub/Sub subscription, for which this project needs no client. What was printed is read strictly, and how
old it is counts: the file's own time is when somebody looked.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.errors import UsageError
from shared.json_io import parse_json

__all__ = ["DeadLetters", "read_dead_letters"]


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """What somebody saw.

    Attributes:
        messages: How many.
        objects: The objects they are about, where they say so.
        seen: When; aware.
    """

    messages: int
    objects: tuple[str, ...]
    seen: datetime


def read_dead_letters(file: Path) -> DeadLetters:
    """Read what was printed.

    Raises:
        UsageError: It is not there, or is something else. An empty file is no empty list: the command failed.
    """
    try:
        content = parse_json(file.read_bytes())
        seen = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file} is no JSON ({error})") from error
    if not isinstance(content, list) or not all(isinstance(one, dict) for one in content):
        raise UsageError(f"{file} is not what gcloud prints: a JSON list of messages, [] for none")
    objects = tuple(filter(None, map(_object_of, content)))
    return DeadLetters(len(content), objects, seen)


def _object_of(message: dict[str, Any]) -> str:
    """The object that a notification of Cloud Storage names (its documentation, "Pub/Sub notifications": attributes)."""
    inner = message.get("message")
    attributes = inner.get("attributes") if isinstance(inner, dict) else None
    name = attributes.get("objectId") if isinstance(attributes, dict) else None
    return repr(name) if isinstance(name, str) else ""
