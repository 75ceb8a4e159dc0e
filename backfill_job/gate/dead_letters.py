"""Events that the mirror's trigger gave up, as ``gcloud pubsub subscriptions pull … --format=json`` prints them.

The messages lie in a Pub/Sub subscription, and gcloud reads them, so this project needs no Pub/Sub client. This module reads
the output strictly. The file's modification time is the time of the look, because the gate limits its age.
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
    """What an operator saw in the subscription.

    Attributes:
        messages: How many there are.
        objects: The objects that the messages name; not every message names one.
        seen: When the operator looked; aware.
    """

    messages: int
    objects: tuple[str, ...]
    seen: datetime


def read_dead_letters(file: Path) -> DeadLetters:
    """Read the output of gcloud.

    Raises:
        UsageError: The file is missing, or has another form. An empty file means that gcloud failed, not "none".
    """
    try:
        content = parse_json(file.read_bytes())
        seen = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file} is not JSON ({error})") from error
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
