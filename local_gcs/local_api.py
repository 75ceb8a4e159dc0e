"""``/_local/*``: what a test or a demo asks of the server itself. These requests are not counted, and no fault hits them.

| path | GET | POST | DELETE |
|---|---|---|---|
| ``stats`` | counts | reset | reset |
| ``faults`` | the plan | replace it | clear it |
| ``fill`` | | bulk fill | |
| ``clock`` | the time | turn it on: ``{"seconds": n}`` | |
| ``lifecycle`` | | apply the lifecycle rules now | |
| ``subscribers`` | all | add | remove (``?id=``), or all |
| ``events`` | counts | | |
| ``dead-letters`` | all | | remove them |
| ``dead-letters/replay`` | | send again | |

A bulk fill makes many objects at once for benchmarks and demos, without events; the same seed makes the same objects. Names
are those of the migration's subject, ``PREFIX qpi_answers_YYYYMMDD/user_id_N.jsonl``, spread evenly over days. Contents are
lines of JSON of the wanted size. Only a bounded number of them is distinct, which saves a million checksums.

Apart from `server`, its only importer, because nothing here is Google's.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime, timedelta
from random import Random
from typing import Annotated, Any

import msgspec
import orjson

from local_gcs.api import Api
from local_gcs.calls import Reply, Whole, parse_object, parse_query, refusal, stated
from local_gcs.errors import Refused, not_found
from local_gcs.events import Publisher, Subscription
from local_gcs.faults import FaultPlan, Faults
from local_gcs.model import Storage
from local_gcs.objects import Attributes, Content, stamp
from local_gcs.rewrites import Rewriter

__all__ = ["Clock", "Fill", "LocalApi", "fill"]

Method = Callable[[Mapping[str, Any]], Any]
"""Takes the JSON body of a request or, where there is none, its query."""
LONGEST_TURN = 100 * 366 * 24 * 3600


class Turn(msgspec.Struct, forbid_unknown_fields=True):
    """How far to turn the clock on."""

    seconds: Annotated[float, msgspec.Meta(ge=0, lt=LONGEST_TURN)]


class Clock:
    """The present time, in UTC, which a test can turn on and not back."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        """The present time."""
        return self._now() + self._ahead

    def turn_on(self, turn: Turn) -> datetime:
        """Turns the clock on, and gives the time then."""
        self._ahead += timedelta(seconds=turn.seconds)
        return self()


class LocalApi:
    """Dispatches the requests to the server itself."""

    def __init__(
        self,
        api: Api,
        storage: Storage,
        clock: Clock,
        *,
        rewriter: Rewriter,
        faults: Faults,
        publisher: Publisher,
    ) -> None:
        self._rewriter = rewriter
        self._faults = faults
        self._methods: dict[tuple[str, str], Method] = {
            ("GET", "stats"): lambda _: api.stats.snapshot(),
            ("POST", "stats"): lambda _: api.stats.clear(),
            ("DELETE", "stats"): lambda _: api.stats.clear(),
            ("GET", "faults"): lambda _: faults.snapshot(),
            ("POST", "faults"): lambda plan: self.apply_faults(FaultPlan.of(plan)),
            ("DELETE", "faults"): lambda _: self.apply_faults(None),
            ("POST", "fill"): lambda wanted: {"objects": fill(storage, stated(Fill, wanted))},
            ("GET", "clock"): lambda _: {"time": storage.now()},
            ("POST", "clock"): lambda turn: {"time": stamp(clock.turn_on(stated(Turn, turn)))},
            ("POST", "lifecycle"): lambda _: storage.run_lifecycle(),
            ("GET", "subscribers"): lambda _: publisher.subscribers(),
            ("POST", "subscribers"): lambda wanted: publisher.subscribe(Subscription.of(wanted)),
            ("DELETE", "subscribers"): lambda query: {"removed": publisher.unsubscribe(query.get("id"))},
            ("GET", "events"): lambda _: publisher.counts(),
            ("GET", "dead-letters"): lambda _: {"items": publisher.dead_letters()},
            ("DELETE", "dead-letters"): lambda _: {"forgotten": publisher.forget_dead_letters()},
            ("POST", "dead-letters/replay"): lambda _: {"replayed": publisher.replay()},
        }

    def dispatch(self, verb: str, target: str, body: bytes) -> Reply:
        """Answers one request; the target is the path below ``/_local/`` and the query."""
        path, _, query = target.partition("?")
        try:
            method = self._methods.get((verb, path))
            if method is None:
                raise not_found()
            return Reply(body=orjson.dumps(method(parse_object(body) if body else parse_query(query))))
        except Refused as refused:
            return refusal(refused)

    def apply_faults(self, plan: FaultPlan | None) -> dict[str, Any]:
        """Puts all parts of a plan into force; None removes all faults."""
        plan = self._faults.replace(plan)
        self._rewriter.limit = plan.max_rewrite_bytes_per_call
        self._rewriter.gap = self._faults.rewrite_gap if plan.rewrite_gap_ms else float
        return self._faults.snapshot()


# -------------------------------------------------------------------- fill


class Fill(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The parameters of a bulk fill.

    Attributes:
        bucket: A bucket that exists.
        count: Number of objects.
        prefix: Prefix of every name.
        size: Approximate size of each object in bytes.
        days: Number of date partitions; 0 for none.
        first_day: The first of them.
        seed: The same seed makes the same objects.
        distinct: Number of different contents.
        metadata: Custom metadata of every object.
        composite: Whether every object is a composite one, which has no md5.
    """

    bucket: str
    count: Whole
    prefix: str = ""
    size: int = 350
    days: Whole = 1
    first_day: date = date(2024, 1, 1)
    seed: int = 0
    distinct: Annotated[int, msgspec.Meta(ge=1)] = 1000
    content_type: str = "application/json"
    metadata: dict[str, str] | None = None
    composite: bool = False


def fill(storage: Storage, wanted: Fill) -> int:
    """Stores the objects and gives their number. Refuses with 404, or 409 if a name is taken: nothing is stored."""
    random = Random(wanted.seed)
    contents = [_content(random, wanted.size) for _ in range(min(wanted.distinct, wanted.count))]
    if wanted.composite:
        contents = [Content.of(content.data, components=1) for content in contents]
    attributes = Attributes(content_type=wanted.content_type, metadata=wanted.metadata or None)
    objects = ((name, contents[n % len(contents)], attributes) for n, name in enumerate(_names(wanted)))
    number = storage.load(storage.bucket(wanted.bucket), objects)
    # These objects stay. A garbage collection that visits a million of them would stop the server for a second.
    gc.freeze()
    return number


def _names(wanted: Fill) -> Iterator[str]:
    """The names; the days alternate."""
    days = [wanted.first_day + timedelta(days=day) for day in range(wanted.days)]
    folders = [f"{wanted.prefix}qpi_answers_{day:%Y%m%d}/" for day in days] or [wanted.prefix]
    for n in range(wanted.count):
        yield f"{folders[n % len(folders)]}user_id_{n}.jsonl"


def _content(random: Random, size: int) -> Content:
    """One answered questionnaire as a line of JSON."""
    answers: list[dict[str, Any]] = []
    line = {
        "user_id": str(random.randrange(10**7)),
        "submitted_at": "2024-01-01T00:00:00Z",
        "answers": answers,
    }
    most = 10
    while not answers or len(orjson.dumps(line)) + 1 < size:
        answers.append(
            {"question_id": f"q{random.randrange(100)}", "answer_ids": [str(random.randrange(most))]}
        )
        most = 10**6
    return Content.of(orjson.dumps(line) + b"\n")
