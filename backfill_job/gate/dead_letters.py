"""Events that the mirror's trigger gave up: what an operator saw in the dead-letter subscription.

Two forms of evidence, each read strictly:

- The answer of Cloud Monitoring's ``projects.timeSeries.list`` for the subscription's ``num_undelivered_messages``. Only this
  proves that there are none, at the time of the newest point.
- The messages, as ``gcloud pubsub subscriptions pull qpi-exports-dead-letters-ENV --format=json`` prints them, or as the answer of
  Pub/Sub's ``subscriptions.pull`` has them. They name the objects. A pull may return
  nothing although messages wait (Pub/Sub documentation, "Pull subscriptions"), so an empty pull proves nothing. The file's
  modification time is the time of the look.

Another program reads them, so this project needs neither a Pub/Sub nor a Monitoring client for this.
"""

from base64 import b64decode
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from shared.errors import UsageError
from shared.json_io import parse_json
from shared.objects import parse_time
from shared.text import shown_value

__all__ = ["COUNT", "DeadLetters", "read_dead_letters"]

COUNT = "pubsub.googleapis.com/subscription/num_undelivered_messages"
"""The metric that counts the messages of a subscription (Google Cloud documentation, "Google Cloud metrics")."""


_RESOURCE = "pubsub_subscription"
"""The monitored resource of the metric (the same page)."""

_INCOMPLETE = ("nextPageToken", "executionErrors", "unreachable")
"""Fields that say that an answer does not have every count (Cloud Monitoring reference, "ListTimeSeriesResponse")."""


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """What an operator saw in the subscription.

    Attributes:
        messages: How many there are.
        objects: The objects that the messages name; not every message names one.
        seen: When the operator looked, or when the count was taken; aware.
        counted: Whether it is the subscription's own count. Otherwise there may be more, and 0 proves nothing.
        subscriptions: Which ones were counted, as far as the answer says.
    """

    messages: int
    objects: tuple[str, ...]
    seen: datetime
    counted: bool = False
    subscriptions: tuple[str, ...] = ()


def read_dead_letters(file: Path) -> DeadLetters:
    """Read either form.

    Raises:
        UsageError: The file is missing, or has another form. An empty file means that a command failed, not "none".
    """
    try:
        content = parse_json(file.read_bytes())
        seen = datetime.fromtimestamp(file.stat().st_mtime, UTC)
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file} is not JSON ({error})") from error
    if isinstance(content, dict) and "receivedMessages" in content:
        content = content["receivedMessages"] or []
    if isinstance(content, dict):
        try:
            return _counted(content)
        except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
            raise UsageError(
                f"{file} is not Cloud Monitoring's answer about {COUNT}: {shown_value(str(error))}"
            ) from error
    if not isinstance(content, list) or not all(
        isinstance(one, dict) and one.keys() & {"ackId", "message"} for one in content
    ):
        raise UsageError(
            f"{file} is neither Cloud Monitoring's answer about {COUNT} nor a JSON list of messages"
        )
    objects = tuple(filter(None, map(_object_of, content)))
    return DeadLetters(len(content), objects, seen)


def _counted(answer: dict[str, Any]) -> DeadLetters:
    """The newest count of each subscription in an answer; the oldest of their times.

    Raises:
        KeyError, TypeError, ValueError, ArithmeticError, AttributeError: The answer has another form, no count, or a part only.
    """
    if any(answer.get(key) for key in _INCOMPLETE):
        raise ValueError("it is not complete")
    counts: list[tuple[datetime, int]] = []
    names: list[str] = []
    for series in answer["timeSeries"]:
        if series["metric"]["type"] != COUNT:
            raise ValueError("another metric")
        if series.get("metricKind", "GAUGE") != "GAUGE":
            raise ValueError("a change, and not a count")
        if series.get("resource", {}).get("type", _RESOURCE) != _RESOURCE:
            raise ValueError("of another resource than a subscription")
        points = [
            (parse_time(point["interval"]["endTime"]), _whole(point["value"]["int64Value"]))
            for point in series["points"]
        ]
        counts.append(max(points))
        if name := series.get("resource", {}).get("labels", {}).get("subscription_id"):
            names.append(str(name))
    if not counts:
        raise ValueError("it has no count")
    total, seen = sum(count for _, count in counts), min(at for at, _ in counts)
    return DeadLetters(total, (), seen, counted=True, subscriptions=tuple(names))


def _whole(value: Any) -> int:
    if not isinstance(value, str | int) or isinstance(value, bool) or int(value) < 0:
        raise ValueError("a count is a whole number")
    return int(value)


def _object_of(message: dict[str, Any]) -> str:
    """The object that a message names; empty for none.

    Its attributes name it, as a notification's or a CloudEvent's (Cloud Storage documentation, "Pub/Sub notifications"). Without
    them its data do: the object's resource, or the event that has it.
    """
    inner = message.get("message")
    inner = inner if isinstance(inner, dict) else {}
    given = inner.get("attributes")
    attributes = {str(key).lower(): value for key, value in given.items()} if isinstance(given, dict) else {}
    name = attributes.get("objectid") or str(attributes.get("ce-subject", "")).removeprefix("objects/")
    name = name or _named_in(inner.get("data"))
    return repr(name) if isinstance(name, str) and name else ""


def _named_in(data: Any) -> Any:
    """The name in a message's data; empty where it has none."""
    try:
        carried = parse_json(b64decode(data, validate=True))
        inner = carried.get("data")
        return (inner if isinstance(inner, dict) else carried).get("name", "")
    except (ValueError, TypeError, AttributeError):
        return ""
