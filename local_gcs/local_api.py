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
from dataclasses import dataclass, fields
from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import orjson

from local_gcs.api import Api
from local_gcs.calls import Reply, parse_object, parse_query, refusal
from local_gcs.errors import Refused, invalid, not_found
from local_gcs.events import Publisher, Subscription
from local_gcs.faults import FaultPlan, Faults
from local_gcs.model import Storage
from local_gcs.objects import Attributes, Content
from local_gcs.rewrites import Rewriter

__all__ = ["Clock", "Fill", "LocalApi", "fill"]

Method = Callable[[Mapping[str, str], bytes], Any]
LONGEST_TURN = 100 * 366 * 24 * 3600


class Clock:
    """The present time, in UTC, which a test can turn on and not back."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self._now = now
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        """The present time."""
        return self._now() + self._ahead

    def turn_on(self, values: Mapping[str, Any]) -> None:
        """Turns the clock on by a number of seconds.

        Raises:
            Refused: 400; it is not such a number.
        """
        seconds = values.get("seconds")
        if (
            values.keys() != {"seconds"}
            or not isinstance(seconds, int | float)
            or not 0 <= seconds < LONGEST_TURN
        ):
            raise invalid("clock: seconds is a number of at least 0.")
        self._ahead += timedelta(seconds=seconds)


class LocalApi:
    """Dispatches the requests to the server itself."""

    def __init__(
        self,
        *,
        api: Api,
        storage: Storage,
        clock: Clock,
        rewriter: Rewriter,
        faults: Faults,
        publisher: Publisher,
    ) -> None:
        self._api = api
        self._storage = storage
        self._clock = clock
        self._rewriter = rewriter
        self._faults = faults
        self._publisher = publisher
        self._methods: dict[tuple[str, str], Method] = {
            ("GET", "stats"): lambda _params, _body: api.stats.snapshot(),
            ("POST", "stats"): self._reset_stats,
            ("DELETE", "stats"): self._reset_stats,
            ("GET", "faults"): lambda _params, _body: faults.snapshot(),
            ("POST", "faults"): self._replace_faults,
            ("DELETE", "faults"): self._clear_faults,
            ("POST", "fill"): self._fill,
            ("GET", "clock"): lambda _params, _body: {"time": storage.now()},
            ("POST", "clock"): self._turn_clock,
            ("POST", "lifecycle"): lambda _params, _body: storage.run_lifecycle(),
            ("GET", "subscribers"): lambda _params, _body: publisher.subscribers(),
            ("POST", "subscribers"): self._subscribe,
            ("DELETE", "subscribers"): self._unsubscribe,
            ("GET", "events"): lambda _params, _body: publisher.counts(),
            ("GET", "dead-letters"): lambda _params, _body: {"items": publisher.dead_letters()},
            ("DELETE", "dead-letters"): lambda _params, _body: {"forgotten": publisher.forget_dead_letters()},
            ("POST", "dead-letters/replay"): lambda _params, _body: {"replayed": publisher.replay()},
        }

    def dispatch(self, verb: str, target: str, body: bytes) -> Reply:
        """Answers one request; the target is the path below ``/_local/`` and the query."""
        path, _, query = target.partition("?")
        try:
            method = self._methods.get((verb, path))
            if method is None:
                raise not_found()
            return Reply(body=orjson.dumps(method(parse_query(query), body)))
        except Refused as refused:
            return refusal(refused)

    def apply_faults(self, plan: FaultPlan) -> None:
        """Puts all parts of a plan into force."""
        self._faults.replace(plan)
        self._rewriter.limit = plan.max_rewrite_bytes_per_call
        self._rewriter.gap = self._faults.rewrite_gap if plan.rewrite_gap_ms else float

    def _reset_stats(self, _params: Mapping[str, str], _body: bytes) -> Any:
        self._api.stats.clear()
        return self._api.stats.snapshot()

    def _replace_faults(self, _params: Mapping[str, str], body: bytes) -> Any:
        self.apply_faults(FaultPlan.of(parse_object(body)))
        return self._faults.snapshot()

    def _clear_faults(self, _params: Mapping[str, str], _body: bytes) -> Any:
        self._faults.clear()
        self._rewriter.limit = None
        self._rewriter.gap = float
        return self._faults.snapshot()

    def _fill(self, _params: Mapping[str, str], body: bytes) -> Any:
        objects = fill(self._storage, Fill.of(parse_object(body)))
        # These objects stay. A garbage collection that visits a million of them would stop the server for a second.
        gc.freeze()
        return {"objects": objects}

    def _turn_clock(self, _params: Mapping[str, str], body: bytes) -> Any:
        self._clock.turn_on(parse_object(body))
        return {"time": self._storage.now()}

    def _subscribe(self, _params: Mapping[str, str], body: bytes) -> Any:
        return self._publisher.subscribe(Subscription.of(parse_object(body)))

    def _unsubscribe(self, params: Mapping[str, str], _body: bytes) -> Any:
        return {"removed": self._publisher.unsubscribe(params.get("id"))}


# -------------------------------------------------------------------- fill


@dataclass(frozen=True, slots=True)
class Fill:
    """The parameters of a bulk fill.

    Attributes:
        bucket: A bucket that exists.
        count: Number of objects.
        prefix: Prefix of every name.
        size: Approximate size of each object in bytes.
        days: Number of date partitions; 0 for none.
        first_day: The first of them, ``YYYY-MM-DD``.
        seed: The same seed makes the same objects.
        distinct: Number of different contents.
        metadata: Custom metadata of every object.
    """

    bucket: str
    count: int
    prefix: str = ""
    size: int = 350
    days: int = 1
    first_day: str = "2024-01-01"
    seed: int = 0
    distinct: int = 1000
    content_type: str = "application/json"
    metadata: dict[str, str] | None = None

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "Fill":
        """The fill that a JSON object states.

        Raises:
            Refused: 400; it states none.
        """
        unknown = values.keys() - {entry.name for entry in fields(cls)}
        if unknown:
            raise invalid(f"Unknown in fill: {', '.join(sorted(unknown))}")
        try:
            made = cls(**values)
            date.fromisoformat(made.first_day)
        except (TypeError, ValueError) as error:
            raise invalid(f"Malformed fill: {error}") from error
        if made.count < 0 or made.distinct < 1 or made.days < 0:
            raise invalid("fill: count and days are not negative, distinct is at least 1.")
        return made


def fill(storage: Storage, wanted: Fill) -> int:
    """Stores the objects.

    Returns:
        Their number.

    Raises:
        Refused: 404 for the bucket, 409 if a name is taken; then nothing is stored.
    """
    bucket = storage.bucket(wanted.bucket)
    random = Random(wanted.seed)
    contents = [_content(random, wanted.size) for _ in range(min(wanted.distinct, wanted.count))]
    attributes = Attributes(content_type=wanted.content_type, metadata=wanted.metadata or None)
    return storage.load(
        bucket, ((name, contents[n % len(contents)], attributes) for n, name in enumerate(_names(wanted)))
    )


def _names(wanted: Fill) -> Iterator[str]:
    """The names; the days alternate."""
    first = date.fromisoformat(wanted.first_day)
    folders = [
        f"{wanted.prefix}qpi_answers_{first + timedelta(days=day):%Y%m%d}/" for day in range(wanted.days)
    ] or [wanted.prefix]
    for n in range(wanted.count):
        yield f"{folders[n % len(folders)]}user_id_{n}.jsonl"


def _content(random: Random, size: int) -> Content:
    """One answered questionnaire as a line of JSON."""
    line: dict[str, Any] = {
        "user_id": str(random.randrange(10**7)),
        "submitted_at": "2024-01-01T00:00:00Z",
        "answers": [{"question_id": f"q{random.randrange(100)}", "answer_ids": [str(random.randrange(10))]}],
    }
    missing = size - len(orjson.dumps(line)) - 1
    while missing > 0:
        answer = {"question_id": f"q{random.randrange(100)}", "answer_ids": [str(random.randrange(10**6))]}
        line["answers"].append(answer)
        missing = size - len(orjson.dumps(line)) - 1
    return Content.of(orjson.dumps(line) + b"\n")
