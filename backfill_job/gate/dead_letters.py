"""Events that the mirror's trigger gave up: what ``gcloud pubsub subscriptions pull … --format=json`` printed, as evidence.

The messages lie in a Pub/Sub subscription, for which this project needs no client. What was printed is read strictly, and how
old it is counts: the file's own time is when somebody looked.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from backfill_job.gate.check import SHOWN, Check, Limits, failed, hours, not_run, passed
from backfill_job.wording import counted, listed
from shared.errors import UsageError
from shared.json_io import parse_json

__all__ = ["DeadLetters", "dead_letters_check", "read_dead_letters"]

NAME = "dead letters"

LOOK = (
    "gcloud pubsub subscriptions pull DEAD_LETTER_SUBSCRIPTION --limit=100 --format=json > FILE, "
    "then --dead-letters FILE"
)


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


def dead_letters_check(found: DeadLetters | None, now: datetime, limits: Limits) -> Check:
    """Nothing was given up, as far as somebody saw a short time ago. Pure."""
    if found is None:
        return not_run(NAME, "nobody has looked", LOOK)
    if found.messages:
        about = f", about {listed(found.objects, SHOWN)}" if found.objects else ""
        return failed(
            NAME,
            f"at least {counted(found.messages, 'event')} given up by the trigger{about}",
            "migrate --execute brings what they were about; then acknowledge them (pull with --auto-ack), and look again",
        )
    seen = f"at {found.seen:%Y-%m-%d %H:%M}Z"
    if not timedelta() <= now - found.seen <= limits.max_age:
        return failed(NAME, f"none {seen}: not of the last {hours(limits.max_age)}", LOOK)
    return passed(NAME, f"none {seen}")


def _object_of(message: dict[str, Any]) -> str:
    """The object that a notification of Cloud Storage names (its documentation, "Pub/Sub notifications": attributes)."""
    inner = message.get("message")
    attributes = inner.get("attributes") if isinstance(inner, dict) else None
    name = attributes.get("objectId") if isinstance(attributes, dict) else None
    return repr(name) if isinstance(name, str) else ""
