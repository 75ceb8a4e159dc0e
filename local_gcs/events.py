"""A small Eventarc: object events as CloudEvents over HTTP, at least once and in any order.

Each change of the storage goes to every subscriber whose filter it passes, as CloudEvents 1.0 in binary mode. The
attributes are ``ce-*`` headers, and the body is the object resource, with its generation as a string. Any answer but 2xx
is a failure. Then the event comes again with the same ``ce-id``, after a pause that doubles each time. After the last
attempt it becomes a dead letter, which can be replayed. (Google documentation, "Eventarc: Retry events"; there the pauses
are 10 to 600 seconds and the attempts last 24 hours.)

A subscription may ask for another form. Eventarc falls back to a raw Pub/Sub push where a name cannot be a header. A bucket
can also send Pub/Sub notifications of its own.
"""

import asyncio
import base64
from collections import Counter, deque
from dataclasses import dataclass, field
from itertools import count
from typing import Annotated, Any
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import msgspec
import orjson

from local_gcs.calls import stated
from local_gcs.errors import invalid
from local_gcs.faults import Faults
from local_gcs.model import ChangeKind, ObjectChange
from local_gcs.resources import Renderer

__all__ = ["DeliveryRetries", "Publisher", "Subscription"]

TYPE = "google.cloud.storage.object.v1."
TYPES = tuple(TYPE + kind.value for kind in ChangeKind)
FORMS = ("binary", "push", "mixed", "notification")
NOTIFIED = {
    ChangeKind.FINALIZED: "OBJECT_FINALIZE",
    ChangeKind.DELETED: "OBJECT_DELETE",
    ChangeKind.ARCHIVED: "OBJECT_ARCHIVE",
    ChangeKind.METADATA_UPDATED: "OBJECT_METADATA_UPDATE",
}
"""The ``eventType`` of a notification (Cloud Storage documentation, "Pub/Sub notifications")."""
SUCCESS = range(200, 300)
SHUFFLE_MS = 20
"""Longest wait of an event when events are reordered: there must be several to reorder."""
PRINTABLE = "!#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""Printable ASCII that a CloudEvents header does not encode, besides letters and digits."""


@dataclass(frozen=True, slots=True)
class DeliveryRetries:
    """Pauses, in seconds, and attempts of a failed delivery.

    Attributes:
        first_pause: Before the second attempt; each further pause is twice as long, up to the longest.
        attempts: After so many attempts the event is a dead letter.
        timeout: Seconds that a subscriber may take to answer.
    """

    first_pause: float = 0.1
    longest_pause: float = 5.0
    attempts: int = 10
    timeout: float = 60.0

    def pause(self, failed: int) -> float:
        """Seconds to wait after a number of failed attempts."""
        return min(self.longest_pause, self.first_pause * 2.0 ** min(failed - 1, 60))


class Subscription(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A subscriber and the events that it wants.

    Attributes:
        types: Event types, whole or their last word such as ``finalized``; empty for all.
        bucket: Only events of this bucket; None for all.
        form: ``binary``: a CloudEvent in headers. ``push``: a raw Pub/Sub push with the CloudEvent's attributes. ``mixed``: a
            push where the name cannot be a header, else binary. ``notification``: the push of a bucket's notification.
    """

    url: Annotated[str, msgspec.Meta(pattern="^https?://")]
    types: tuple[str, ...] = ()
    bucket: str | None = None
    concurrency: Annotated[int, msgspec.Meta(ge=1)] = 8
    form: str = "binary"

    @classmethod
    def of(cls, values: object) -> "Subscription":
        """The subscription that a JSON object states. Refuses with 400: it states none."""
        made = stated(cls, values)
        types = tuple(TYPE + text.removeprefix(TYPE) for text in made.types)
        if not set(types) <= set(TYPES):
            raise invalid(f"types: of {', '.join(TYPES)}")
        if made.form not in FORMS:
            raise invalid(f"form: of {', '.join(FORMS)}")
        return msgspec.structs.replace(made, types=types)

    def wants(self, change: ObjectChange) -> bool:
        """Whether the subscriber wants a change."""
        if self.bucket not in {None, change.version.bucket}:
            return False
        return not self.types or TYPE + change.kind.value in self.types


@dataclass(slots=True)
class _Delivery:
    identifier: str
    change: ObjectChange
    failed: int = 0
    error: str = ""


@dataclass(slots=True)
class _Subscriber:
    """A subscription, its deliveries, and the workers, each of which makes one at a time.

    Attributes:
        pending: Number of deliveries that are neither made nor given up.
    """

    identifier: str
    subscription: Subscription
    pending: int = 0
    waiting: deque[_Delivery] = field(default_factory=deque)
    awake: asyncio.Event = field(default_factory=asyncio.Event)
    workers: list[asyncio.Task[None]] = field(default_factory=list)

    def enqueue(self, delivery: _Delivery) -> None:
        """Queues a delivery for the next free worker."""
        self.waiting.append(delivery)
        self.awake.set()


class Publisher:
    """Delivers events; lives on one event loop, from `start` to `stop`."""

    def __init__(self, *, renderer: Renderer, faults: Faults, policy: DeliveryRetries) -> None:
        self._renderer = renderer
        self._faults = faults
        self._policy = policy
        self._subscribers: dict[str, _Subscriber] = {}
        self._dead: list[tuple[_Subscriber, _Delivery]] = []
        self._counts: Counter[str] = Counter()
        self._identifiers = count(10**15)
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Prepares deliveries."""
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=self._policy.timeout),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def stop(self) -> None:
        """Drops the deliveries that are not made yet."""
        self.unsubscribe(None)
        if self._session:
            await self._session.close()

    # ---------------------------------------------------------------- subscribers

    def subscribe(self, subscription: Subscription) -> dict[str, Any]:
        """Adds a subscriber, which gets all changes from now on."""
        subscriber = _Subscriber(uuid4().hex, subscription)
        self._subscribers[subscriber.identifier] = subscriber
        subscriber.workers = [
            asyncio.create_task(self._work(subscriber)) for _ in range(subscription.concurrency)
        ]
        return {"id": subscriber.identifier, **msgspec.to_builtins(subscription)}

    def unsubscribe(self, identifier: str | None) -> int:
        """Removes a subscriber, or all for None, and drops its deliveries; gives the number of removed ones."""
        gone = [identifier] if identifier else list(self._subscribers)
        removed = [subscriber for key in gone if (subscriber := self._subscribers.pop(key, None))]
        for subscriber in removed:
            for worker in subscriber.workers:
                worker.cancel()
        return len(removed)

    def subscribers(self) -> dict[str, Any]:
        """All subscribers."""
        items = [
            {"id": each.identifier, "pending": each.pending, **msgspec.to_builtins(each.subscription)}
            for each in self._subscribers.values()
        ]
        return {"items": items}

    # ---------------------------------------------------------------- publishing

    def publish(self, change: ObjectChange) -> None:
        """Sends a change to all subscribers that want it; a listener of the storage."""
        for subscriber in self._subscribers.values():
            if subscriber.subscription.wants(change):
                self._send(subscriber, change)

    def _send(self, subscriber: _Subscriber, change: ObjectChange) -> None:
        self._counts["published"] += 1
        faults, random = self._faults.plan.events, self._faults.random
        if faults.drop and random.random() < faults.drop:
            self._counts["dropped"] += 1
            return
        self._counts["duplicated"] += faults.duplicate
        identifier = str(next(self._identifiers))
        longest = max(faults.delay_ms, SHUFFLE_MS if faults.reorder else 0) / 1000
        for _ in range(1 + faults.duplicate):
            subscriber.pending += 1
            delivery = _Delivery(identifier, change)
            if longest:
                asyncio.get_running_loop().call_later(
                    random.uniform(0, longest), subscriber.enqueue, delivery
                )
            else:
                subscriber.enqueue(delivery)

    # ---------------------------------------------------------------- delivering

    async def _work(self, subscriber: _Subscriber) -> None:
        while True:
            while not subscriber.waiting:
                subscriber.awake.clear()
                await subscriber.awake.wait()
            if self._faults.plan.events.reorder:
                subscriber.waiting.rotate(self._faults.random.randrange(len(subscriber.waiting)))
            delivery = subscriber.waiting.popleft()
            delivery.error = await self._attempt(subscriber.subscription, delivery)
            self._settle(subscriber, delivery)

    async def _attempt(self, subscription: Subscription, delivery: _Delivery) -> str:
        """Posts an event once; gives the reason of a failure, which is empty for a success."""
        if self._session is None:
            return "not started"
        headers, body = self._rendered(delivery, subscription.form)
        try:
            async with self._session.post(subscription.url, data=body, headers=headers) as answer:
                await answer.read()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        return "" if answer.status in SUCCESS else f"status {answer.status}"

    def _settle(self, subscriber: _Subscriber, delivery: _Delivery) -> None:
        """Records an attempt: done, to be tried again after a pause, or a dead letter."""
        if not delivery.error:
            subscriber.pending -= 1
            self._counts["delivered"] += 1
            return
        delivery.failed += 1
        self._counts["failed"] += 1
        if delivery.failed >= self._policy.attempts:
            subscriber.pending -= 1
            self._counts["dead"] += 1
            self._dead.append((subscriber, delivery))
            return
        pause = self._policy.pause(delivery.failed)
        asyncio.get_running_loop().call_later(pause, subscriber.enqueue, delivery)

    def _rendered(self, delivery: _Delivery, form: str) -> tuple[dict[str, str], bytes]:
        """The event as HTTP headers and body, in a form of `FORMS`."""
        if form == "binary" or (form == "mixed" and _can_be_header(delivery.change.version.name)):
            return self._binary(delivery)
        return {"Content-Type": "application/json"}, self._push(delivery, form)

    def _push(self, delivery: _Delivery, form: str) -> bytes:
        """A raw Pub/Sub push: the attributes carry the event, and the data are the object resource."""
        change, version = delivery.change, delivery.change.version
        if form == "notification":
            attributes = {
                "eventType": NOTIFIED[change.kind],
                "bucketId": version.bucket,
                "objectId": version.name,
                "objectGeneration": str(version.generation),
                "eventTime": change.time,
                "payloadFormat": "JSON_API_V1",
            }
        else:
            headers, _ = self._binary(delivery)
            attributes = {key: value for key, value in headers.items() if key.startswith("ce-")}
            attributes["ce-subject"] = "objects/" + version.name
        data = orjson.dumps(self._renderer.object(version))
        message = {
            "attributes": attributes,
            "data": base64.b64encode(data).decode(),
            "messageId": delivery.identifier,
            "publishTime": change.time,
        }
        return orjson.dumps({"message": message, "subscription": "projects/local/subscriptions/events"})

    def _binary(self, delivery: _Delivery) -> tuple[dict[str, str], bytes]:
        """The event as HTTP headers, percent-encoded, and body (CloudEvents, "HTTP protocol binding", 3.1, binary mode)."""
        change = delivery.change
        version = change.version
        headers = {
            "Content-Type": "application/json",
            "ce-specversion": "1.0",
            "ce-id": delivery.identifier,
            "ce-type": TYPE + change.kind.value,
            "ce-source": f"//storage.googleapis.com/projects/_/buckets/{version.bucket}",
            "ce-subject": "objects/" + quote(version.name, safe=PRINTABLE),
            "ce-time": change.time,
            "ce-bucket": version.bucket,
        }
        return headers, orjson.dumps(self._renderer.object(version))

    # ---------------------------------------------------------------- looking

    def counts(self) -> dict[str, int]:
        """The numbers of events that are pending, and of each outcome so far."""
        outcomes = ("published", "delivered", "failed", "dead", "duplicated", "dropped")
        pending = sum(subscriber.pending for subscriber in self._subscribers.values())
        return {"pending": pending} | {outcome: self._counts[outcome] for outcome in outcomes}

    def dead_letters(self) -> list[dict[str, Any]]:
        """The events that were given up, each with its last error."""
        letters = []
        for subscriber, delivery in self._dead:
            headers, body = self._rendered(delivery, subscriber.subscription.form)
            failure = {"attempts": delivery.failed, "error": delivery.error}
            sent = {"url": subscriber.subscription.url, "headers": headers, "body": orjson.loads(body)}
            letters.append(sent | failure)
        return letters

    def forget_dead_letters(self) -> int:
        """Removes the dead letters and gives their number."""
        number = len(self._dead)
        self._dead.clear()
        return number

    def replay(self) -> int:
        """Sends the dead letters again as new events and gives their number; those of removed subscribers stay."""
        letters, self._dead = self._dead, []
        for subscriber, delivery in letters:
            if subscriber.identifier not in self._subscribers:
                self._dead.append((subscriber, delivery))
                continue
            delivery.failed = 0
            subscriber.pending += 1
            subscriber.enqueue(delivery)
        return len(letters) - len(self._dead)


def _can_be_header(name: str) -> bool:
    """Whether a name is a header value as it is: printable ASCII, without a space at an end."""
    return name.isascii() and name.isprintable() and name == name.strip()
