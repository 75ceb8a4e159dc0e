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
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, fields
from random import Random
from types import NoneType, UnionType
from typing import Any, TypeVar, get_args
from uuid import uuid4

import orjson

from local_gcs.calls import Call, Reply
from local_gcs.errors import Refused, invalid, not_found
from local_gcs.resources import json_reply
from local_gcs.routing import is_meant, known_method

__all__ = ["HEADER", "NO_HIT", "EventFaults", "FaultPlan", "Faults", "Hit", "RetryTests", "Rule"]

# -------------------- faults

NAME = re.compile(rb'"name"\s*:\s*("(?:[^"\\]|\\.)*")')
HEAD = 64 * 1024
OK = 200
CONNECTION = ("reset_before", "reset_after", "truncate")
RATES = ("429", "503", *CONNECTION)
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


@dataclass(frozen=True, slots=True)
class Rule:
    """Which requests are hit, and how; the top of this file explains the fields."""

    status: int | str
    method: str | None = None
    bucket: str | None = None
    name_prefix: str | None = None
    skip: int = 0
    count: int | None = 1
    message: str | None = None
    reason: str | None = None
    after_bytes: int | None = None
    body: str | None = None

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


@dataclass(frozen=True, slots=True)
class EventFaults:
    """Faults of event deliveries.

    Attributes:
        duplicate: Number of extra times that each event is sent.
        delay_ms: Each delivery waits a random time up to this, in milliseconds.
        reorder: Waiting events leave in random order.
        drop: The share of events that is lost.
    """

    duplicate: int = 0
    delay_ms: float = 0
    reorder: bool = False
    drop: float = 0


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """All faults; the top of this file explains the fields."""

    seed: int = 0
    rules: tuple[Rule, ...] = ()
    rates: Mapping[str, float] = field(default_factory=dict)
    latency_ms: float = 0
    latency_jitter_ms: float = 0
    events: EventFaults = EventFaults()
    max_rewrite_bytes_per_call: int | None = None
    rewrite_gap_ms: float = 0
    object_writes_per_second: float = 0

    @classmethod
    def of(cls, plan: Mapping[str, Any]) -> "FaultPlan":
        """The plan that a JSON object states.

        Raises:
            Refused: 400; it is outside the vocabulary.
        """
        _known(cls, plan)
        rates = plan.get("rates") or {}
        if (
            not isinstance(rates, dict)
            or not rates.keys() <= set(RATES)
            or not all(_fits(share, float) for share in rates.values())
            or sum(rates.values()) > 1
        ):
            raise invalid(f"rates: shares that sum to at most 1, of {', '.join(RATES)}")
        rules = plan.get("rules") or ()
        if not isinstance(rules, list | tuple):
            raise invalid("rules: a list is wanted")
        values = dict(plan)
        values["rules"] = tuple(_rule(rule) for rule in rules)
        values["events"] = _made(EventFaults, plan.get("events") or {})
        values["rates"] = rates
        return _made(cls, values)


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
    refused: Refused | None = None
    answer: Reply | None = None
    cut: int | None = None


NO_HIT = Hit()


class Faults:
    """The faults in force.

    Args:
        seed: For random choices, until a plan has its own.
        now: The time in seconds, for the limit of writes to one object.
    """

    def __init__(self, seed: int, now: Callable[[], float]) -> None:
        self._seed = seed
        self._now = now
        self.replace(FaultPlan(seed))

    def replace(self, plan: FaultPlan) -> None:
        """Puts another plan into force, with new counts and random choices."""
        self.plan = plan
        self.random = Random(plan.seed)
        self.active = bool(plan.rules or plan.rates or plan.object_writes_per_second)
        self._written: dict[tuple[str, str], float] = {}
        self.latency = bool(plan.latency_ms or plan.latency_jitter_ms)
        self._seen = [0] * len(plan.rules)

    def clear(self) -> None:
        """Removes all faults."""
        self.replace(FaultPlan(self._seed))

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
                if rule.body is not None and isinstance(rule.status, int):
                    return Hit(answer=Reply(rule.status, rule.body.encode()))
                return _hit(rule.status, rule.reason, rule.message, rule.after_bytes)
        if self.plan.object_writes_per_second and (limited := self._limit_writes(call)):
            return limited
        if not self.plan.rates:
            return NO_HIT
        point = self.random.random()
        for kind, share in self.plan.rates.items():
            if point < share:
                return _hit(int(kind) if kind.isdigit() else kind)
            point -= share
        return NO_HIT

    def _limit_writes(self, call: Call) -> Hit | None:
        """The refusal of a write that follows another one to the same object too fast; None for any other."""
        names = _objects_written(call)
        now, pause = self._now(), 1 / self.plan.object_writes_per_second
        for bucket, name in names:
            if now - self._written.get((bucket, name), -pause) < pause:
                message = (
                    f"The object {bucket}/{name} exceeded the rate limit for object mutation operations (create, "
                    "update, and delete). Please reduce your request rate."
                )
                return Hit(refused=Refused(429, "rateLimitExceeded", message))
        self._written.update(dict.fromkeys(names, now))
        return None

    def snapshot(self) -> dict[str, Any]:
        """The plan in force, and how many requests each rule has matched."""
        plan = asdict(self.plan)
        for rule, seen in zip(plan["rules"], self._seen, strict=True):
            rule["matched"] = seen
        return plan


def _hit(
    status: int | str, reason: str | None = None, message: str | None = None, cut: int | None = None
) -> Hit:
    if isinstance(status, str):
        return Hit(connection=status, cut=cut)
    usual_reason, usual_message = REASONS.get(status, ("unknown", f"Status {status} on demand."))
    return Hit(refused=Refused(status, reason or usual_reason, message or usual_message))


def _rule(rule: Any) -> Rule:
    if not isinstance(rule, Mapping):
        raise invalid("A fault rule is a JSON object.")
    made = _made(Rule, rule)
    if made.method is not None:
        known_method(made.method)
    if made.after_bytes is not None and made.status != "truncate":
        raise invalid("after_bytes: only with the status truncate")
    if isinstance(made.status, str) and made.status.isdigit():
        made = _made(Rule, {**rule, "status": int(made.status)})
    if made.body is not None and not isinstance(made.status, int):
        raise invalid("body: only with an HTTP status")
    if made.status == OK and made.body is not None:
        return made
    if made.status not in CONNECTION and not (isinstance(made.status, int) and 400 <= made.status <= 599):  # noqa: PLR2004 - HTTP
        raise invalid(f"status: an HTTP error status, {', '.join(CONNECTION)}; not {made.status!r}")
    return made


Made = TypeVar("Made")


def _made(kind: type[Made], values: Mapping[str, Any]) -> Made:
    _known(kind, values)
    for entry in fields(kind):  # type: ignore[arg-type]  # every kind here is a dataclass
        if entry.name in values and not _fits(values[entry.name], entry.type):
            raise invalid(f"{entry.name}: {values[entry.name]!r} is not a possible value")
    try:
        return kind(**values)
    except TypeError as error:
        raise invalid(f"Malformed faults: {error}") from error


def _fits(value: Any, wanted: Any) -> bool:
    """Whether a JSON value is of a field's type; numbers are at least 0. A value with parts was checked part by part."""
    types = set(get_args(wanted)) if isinstance(wanted, UnionType) else {wanted}
    if not types <= {int, float, bool, str, NoneType}:
        return True
    if isinstance(value, bool) or value is None:
        return type(value) in types
    if isinstance(value, int | float):
        return value >= 0 and (float in types or (int in types and isinstance(value, int)))
    return isinstance(value, str) and str in types


def _known(kind: Any, values: Any) -> None:
    if not isinstance(values, Mapping):
        raise invalid("Faults are JSON objects.")
    unknown = values.keys() - {entry.name for entry in fields(kind)}
    if unknown:
        raise invalid(f"Unknown in {kind.__name__}: {', '.join(sorted(unknown))}")


# -------------------------------------------------------------------- scripts of a client

HEADER = "x-retry-test-id"
SCRIPTED_STATUS = re.compile(r"return-(\d{3})(?:-after-\d+K)?")
SCRIPTED_CUT = re.compile(r"return-broken-stream-after-(\d+)K")
SCRIPTED = {
    "return-reset-connection": "reset_before",
    "return-reset-connection-after-effect": "reset_after",
    "return-broken-stream": "truncate",
}


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
        status, broken = SCRIPTED_STATUS.fullmatch(instruction), SCRIPTED_CUT.fullmatch(instruction)
        if status:
            message = "The retry test asked for this."
            return Hit(refused=Refused(int(status[1]), "retryTest", message))
        if broken:
            return Hit(connection="truncate", cut=int(broken[1]) * 1024)
        return Hit(connection=SCRIPTED[instruction])

    def insert(self, call: Call) -> Reply:
        """Registers a script."""
        instructions = call.resource().get("instructions")
        if not isinstance(instructions, dict):
            raise invalid("instructions: a list of instructions for each method.")
        known = {
            known_method(method): [_checked(text) for text in script]
            for method, script in instructions.items()
        }
        identifier = uuid4().hex
        self._tests[identifier] = known
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


def _checked(instruction: object) -> str:
    if not isinstance(instruction, str) or not (
        instruction in SCRIPTED
        or SCRIPTED_STATUS.fullmatch(instruction)
        or SCRIPTED_CUT.fullmatch(instruction)
    ):
        raise invalid(f"Unknown instruction: {instruction!r}")
    return instruction
