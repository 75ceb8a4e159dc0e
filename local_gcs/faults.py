"""Faults on demand: rules that hit chosen requests, rates that hit any request, and scripts of a client for its own.

The vocabulary, as JSON on the command line and at ``/_local/faults`` (every part may be left out)::

    {"seed": 7,
     "rules": [{"method": "storage.objects.list", "bucket": "b", "name_prefix": "p/", "skip": 2, "count": 1,
                "status": 503, "reason": "backendError", "message": "..."}],
     "rates": {"429": 0.01, "503": 0.01, "reset_before": 0.01, "reset_after": 0.01, "truncate": 0.01},
     "latency_ms": 20, "latency_jitter_ms": 5,
     "events": {"duplicate": 2, "delay_ms": 300, "reorder": true, "drop": 0.1},
     "max_rewrite_bytes_per_call": 1048576, "rewrite_gap_ms": 50, "object_writes_per_second": 1}

- A rule lets ``skip`` matching requests pass and then hits ``count`` of them; null hits every one. Its ``method`` is a name
  of Google's: ``storage.objects.get`` includes downloads, of which ``storage.objects.download`` is the part with a
  ``/download/`` address.
- Instead of an HTTP status a rule can say ``reset_before``: nothing happens, and the connection dies. With ``reset_after``
  it happens, and the answer is lost. With ``truncate`` it happens, and half of the answer arrives, or ``after_bytes`` of it.
- With ``body`` the answer is this text as it is: an error that is not JSON, for example. Only such a rule may have the
  status 200, for a success without what it should hold; nothing happens.
- A rule matches any bucket and object that the request names. For a rewrite that is the source or the destination, for an
  upload the new object, for a listing its prefix.
- ``rewrite_gap_ms`` is the longest time between a rewrite's reading of the source and its commit; others act meanwhile.
- ``latency_ms`` is added to every request; ``latency_jitter_ms`` is the mean of an exponential tail on top.
- ``object_writes_per_second`` refuses faster writes to one object name with 429, as Google does above one a second (Cloud
  Storage documentation, "Quotas and limits").

A client can script its own calls by the protocol of Google's storage-testbench: ``POST /retry_test`` with
``{"instructions": {method: [instruction]}}`` gives an id. Each call with it as ``x-retry-test-id`` uses up one instruction
of its method.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any, Literal
from uuid import uuid4

import msgspec
import orjson

from local_gcs.calls import Amount, Call, Reply, Whole, stated
from local_gcs.errors import RequestRefused, not_found
from local_gcs.resources import json_reply
from local_gcs.routing import is_meant, known_method

__all__ = ["HEADER", "NO_HIT", "EventFaults", "FaultPlan", "Faults", "Hit", "RetryTests", "Rule"]

# -------------------- faults

NAME = re.compile(rb'"name"\s*:\s*("(?:[^"\\]|\\.)*")')
HEAD = 64 * 1024
OK = 200
CONNECTION = ("reset_before", "reset_after", "truncate")
REASONS = {
    400: ("invalid", "Invalid argument."),
    401: ("authError", "Invalid Credentials"),
    403: ("forbidden", "The caller does not have the needed permission."),
    404: ("notFound", "Not Found"),
    408: ("requestTimeout", "Request timed out."),
    412: ("conditionNotMet", "At least one of the pre-conditions you specified did not hold."),
    429: ("rateLimitExceeded", "The rate of requests is too high. Please reduce it."),
    500: ("internalError", "Internal error. Please try again."),
    502: ("backendError", "Bad gateway."),
    503: ("backendError", "We encountered an internal error. Please try again."),
    504: ("gatewayTimeout", "Gateway timeout."),
}


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests are hit, and how; the top of this file explains the fields."""

    status: int | str
    method: str | None = None
    bucket: str | None = None
    name_prefix: str | None = None
    skip: Whole = 0
    count: Whole | None = 1
    message: str | None = None
    reason: str | None = None
    after_bytes: Whole | None = None
    body: str | None = None

    def __post_init__(self) -> None:
        if self.method is not None:
            known_method(self.method)
        if self.after_bytes is not None and self.status != "truncate":
            raise ValueError("after_bytes: only with the status truncate")
        if self.body is not None and self.status in CONNECTION:
            raise ValueError("body: only with an HTTP status")
        if self.body is not None and str(self.status) == str(OK):
            return
        if self.status not in CONNECTION and not re.fullmatch("[45][0-9]{2}", str(self.status)):
            raise ValueError(f"status: an HTTP error status, {', '.join(CONNECTION)}; not {self.status!r}")

    def matches(self, call: Call) -> bool:
        """Whether the rule is meant for a request."""
        if self.method is not None and not is_meant(self.method, call.method):
            return False
        return any(
            self.bucket in {None, bucket} and name.startswith(self.name_prefix or "")
            for bucket, name in _objects_named(call)
        )


def _objects_named(call: Call) -> list[tuple[str, str]]:
    """Each bucket that a request names, with the object or prefix it names there."""
    match call.args:
        case (bucket, name, to_bucket, to_name):
            return [(bucket, name), (to_bucket, to_name)]
        case (bucket, name, to_name):
            return [(bucket, name), (bucket, to_name)]
        case (bucket, name):
            return [(bucket, name)]
        case (bucket,):
            return [(bucket, call.text("name") or call.text("prefix") or _name_in(call.body))]
    return [("", "")]


WRITES = frozenset(
    f"storage.objects.{verb}"
    for verb in ("insert", "patch", "update", "delete", "rewrite", "copy", "compose", "move", "restore")
)


def _objects_written(call: Call) -> list[tuple[str, str]]:
    """The objects that a request creates, updates or deletes; a resumable upload counts when it begins."""
    if call.method not in WRITES or "upload_id" in call.params:
        return []
    named = _objects_named(call)
    return named[1:] if call.method in {"storage.objects.rewrite", "storage.objects.copy"} else named


def _name_in(body: bytes) -> str:
    """The first name in the metadata of an upload, which comes before its content."""
    found = NAME.search(body, 0, HEAD)
    return str(orjson.loads(found[1])) if found else ""


class EventFaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Faults of event deliveries.

    Attributes:
        duplicate: Number of extra times that each event is sent.
        delay_ms: Each delivery waits a random time up to this, in milliseconds.
        reorder: Waiting events leave in random order.
        drop: The share of events that is lost.
    """

    duplicate: Whole = 0
    delay_ms: Amount = 0
    reorder: bool = False
    drop: Amount = 0


class FaultPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All faults; the top of this file explains the fields."""

    seed: Whole = 0
    rules: tuple[Rule, ...] = ()
    rates: dict[Literal["429", "503", "reset_before", "reset_after", "truncate"], Amount] = {}
    latency_ms: Amount = 0
    latency_jitter_ms: Amount = 0
    events: EventFaults = EventFaults()
    max_rewrite_bytes_per_call: Whole | None = None
    rewrite_gap_ms: Amount = 0
    object_writes_per_second: Amount = 0

    def __post_init__(self) -> None:
        if sum(self.rates.values()) > 1:
            raise ValueError("rates: the shares sum to more than 1")

    @classmethod
    def of(cls, plan: object) -> "FaultPlan":
        """The plan that a JSON object states. Refuses with 400: it is outside the vocabulary."""
        return stated(cls, plan)


@dataclass(frozen=True, slots=True)
class Hit:
    """The fault of one request.

    Attributes:
        connection: One of ``reset_before``, ``reset_after``, ``truncate``; empty for none.
        refused: The answer instead of the real one; None for the real one.
        answer: The same, with a body as it is.
        cut: A truncated answer ends after so many bytes of its body; None for half of it.
    """

    connection: str = ""
    refused: RequestRefused | None = None
    answer: Reply | None = None
    cut: int | None = None


NO_HIT = Hit()


class Faults:
    """The faults in force; the seed counts until a plan has its own, and the time is in seconds."""

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        self._seed = seed
        self._now = now
        self.replace(None)

    def replace(self, plan: FaultPlan | None) -> FaultPlan:
        """Puts another plan, or none, into force, with new counts and random choices; gives the plan in force."""
        plan = self.plan = plan or FaultPlan(self._seed)
        self.random = Random(plan.seed)
        self.active = bool(plan.rules or plan.rates or plan.object_writes_per_second)
        self._written: dict[tuple[str, str], float] = {}
        self.latency = bool(plan.latency_ms or plan.latency_jitter_ms)
        self._seen = [0] * len(plan.rules)
        return plan

    def delay(self) -> float:
        """Seconds for which the next request waits."""
        jitter = self.plan.latency_jitter_ms
        tail = self.random.expovariate(1 / jitter) if jitter else 0.0
        return (self.plan.latency_ms + tail) / 1000

    def rewrite_gap(self) -> float:
        """Seconds for which the next rewrite pauses between its two steps."""
        return self.random.uniform(0, self.plan.rewrite_gap_ms) / 1000

    def draw(self, call: Call) -> Hit:
        """The fault of a request: of the first rule whose turn it is, or else by chance."""
        for number, rule in enumerate(self.plan.rules):
            if not rule.matches(call):
                continue
            self._seen[number] += 1
            turn = self._seen[number] - rule.skip
            if turn > 0 and (rule.count is None or turn <= rule.count):
                if rule.body is not None:
                    return Hit(answer=Reply(int(rule.status), rule.body.encode()))
                return _hit(rule.status, rule.reason, rule.message, rule.after_bytes)
        if self.plan.object_writes_per_second and (limited := self._limit_writes(call)):
            return limited
        if not self.plan.rates:
            return NO_HIT
        point = self.random.random()
        for kind, share in self.plan.rates.items():
            if point < share:
                return _hit(kind)
            point -= share
        return NO_HIT

    def _limit_writes(self, call: Call) -> Hit | None:
        """The refusal of a write that follows another one to the same object too fast; None for any other."""
        names, now, pause = _objects_written(call), self._now(), 1 / self.plan.object_writes_per_second
        for bucket, name in names:
            if now - self._written.get((bucket, name), -pause) < pause:
                message = (
                    f"The object {bucket}/{name} exceeded the rate limit for object mutation operations (create, "
                    "update, and delete). Please reduce your request rate."
                )
                return Hit(refused=RequestRefused(429, "rateLimitExceeded", message))
        self._written.update(dict.fromkeys(names, now))
        return None

    def snapshot(self) -> dict[str, Any]:
        """The plan in force, and how many requests each rule has matched."""
        plan: dict[str, Any] = msgspec.to_builtins(self.plan)
        for rule, seen in zip(plan["rules"], self._seen, strict=True):
            rule["matched"] = seen
        return plan


def _hit(
    status: int | str, reason: str | None = None, message: str | None = None, cut: int | None = None
) -> Hit:
    if status in CONNECTION:
        return Hit(connection=str(status), cut=cut)
    usual_reason, usual_message = REASONS.get(int(status), ("unknown", f"Status {status} on demand."))
    return Hit(refused=RequestRefused(int(status), reason or usual_reason, message or usual_message))


# -------------------------------------------------------------------- scripts of a client

HEADER = "x-retry-test-id"
SCRIPTED = {
    "return-reset-connection": "reset_before",
    "return-reset-connection-after-effect": "reset_after",
    "return-broken-stream": "truncate",
}
INSTRUCTION = re.compile(
    rf"return-(?P<status>\d{{3}})(?:-after-\d+K)?|return-broken-stream-after-(?P<kibibytes>\d+)K|{'|'.join(SCRIPTED)}"
)


class Script(msgspec.Struct):
    """The instructions of one script by method, in the order of the calls that use them up."""

    instructions: dict[str, list[Annotated[str, msgspec.Meta(pattern=rf"^(?:{INSTRUCTION.pattern})\Z")]]]


class RetryTests:
    """The registered scripts: by id, the instructions left for each method."""

    def __init__(self) -> None:
        self._tests: dict[str, dict[str, list[str]]] = {}
        self.methods = {
            "retry_test.insert": self.insert,
            "retry_test.list": self.list,
            "retry_test.get": self.get,
            "retry_test.delete": self.delete,
        }

    def __bool__(self) -> bool:
        return bool(self._tests)

    def draw(self, call: Call) -> Hit | None:
        """Uses up the next instruction for a call; None if it has none."""
        script = self._tests.get(call.headers.get(HEADER, ""), {})
        waiting = next(
            (left for method, left in script.items() if left and is_meant(method, call.method)), None
        )
        if waiting is None:
            return None
        instruction = waiting.pop(0)
        if instruction in SCRIPTED:
            return Hit(connection=SCRIPTED[instruction])
        found = INSTRUCTION.fullmatch(instruction)
        if found and found["status"]:
            return Hit(
                refused=RequestRefused(int(found["status"]), "retryTest", "The retry test asked for this.")
            )
        return Hit(connection="truncate", cut=int(found["kibibytes"]) * 1024 if found else None)

    def insert(self, call: Call) -> Reply:
        """Registers a script."""
        instructions = stated(Script, call.resource()).instructions
        identifier = uuid4().hex
        self._tests[identifier] = {known_method(method): left for method, left in instructions.items()}
        return json_reply(call, self._resource(identifier))

    def list(self, call: Call) -> Reply:
        """All scripts."""
        return json_reply(call, {"retry_test": [self._resource(identifier) for identifier in self._tests]})

    def get(self, call: Call) -> Reply:
        """The instructions left of a script."""
        return json_reply(call, self._resource(call.args[0]))

    def delete(self, call: Call) -> Reply:
        """Removes a script."""
        if self._tests.pop(call.args[0], None) is None:
            raise not_found()
        return json_reply(call, {})

    def _resource(self, identifier: str) -> dict[str, Any]:
        if identifier not in self._tests:
            raise not_found()
        left = self._tests[identifier]
        return {"id": identifier, "instructions": left, "completed": not any(left.values())}
