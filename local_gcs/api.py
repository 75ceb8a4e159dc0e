"""Request counts by API method and status, so that a test can say what a tool asked for and what it cost.

Batch: many calls in one request, each with its own answer (Cloud Storage documentation, "Batch requests").

The JSON API over one storage: from HTTP method, target, headers and body to an answer, without waiting.

Here a request meets its faults and is counted; the parts of a batch pass through here one by one.
"""

import sys
import traceback
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus
from secrets import token_hex
from typing import Any

from multidict import CIMultiDict, CIMultiDictProxy

from local_gcs.buckets_api import BucketsApi
from local_gcs.calls import (
    Call,
    Method,
    Part,
    Reply,
    Wire,
    boundary_of,
    parse_headers,
    parse_query,
    refusal,
    split_parts,
)
from local_gcs.errors import Refused, invalid
from local_gcs.faults import NO_HIT, Faults, Hit, RetryTests
from local_gcs.media import UploadsApi
from local_gcs.model import Storage
from local_gcs.objects_api import ObjectsApi
from local_gcs.resources import Renderer
from local_gcs.rewrites import Rewriter
from local_gcs.routing import resolve

__all__ = ["Api", "Stats", "batch"]

# -------------------- stats


class Stats:
    """Counts requests; the parts of a batch count one by one."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, method: str, outcome: str) -> None:
        """Count one request.

        Args:
            method: API method, such as ``storage.objects.rewrite``.
            outcome: HTTP status, or how the answer was lost.
        """
        self._counts[method, outcome] += 1

    def clear(self) -> None:
        """Begin again at nothing."""
        self._counts.clear()

    def snapshot(self) -> dict[str, Any]:
        """``{"requests": total, "methods": {method: {"count": n, "by_status": {status: n}}}}``."""
        methods: dict[str, dict[str, Any]] = {}
        for (method, outcome), number in sorted(self._counts.items()):
            entry = methods.setdefault(method, {"count": 0, "by_status": {}})
            entry["count"] += number
            entry["by_status"][outcome] = number
        return {"requests": self._counts.total(), "methods": methods}


# -------------------- batch

MOST_PARTS = 100
Dispatch = Callable[[str, str, CIMultiDict[str], bytes], Reply]
"""HTTP method, target, headers and body of one part to its answer."""


def batch(call: Call, dispatch: Dispatch) -> Reply:
    """Do the parts in their order and join their answers.

    If the answer to a part is to be lost, so is the answer to the whole: they travel on one connection.

    Raises:
        Refused: 400; it is malformed or has more than 100 parts.
    """
    parts = split_parts(call.body, boundary_of(call.headers.get("Content-Type", "")))
    if len(parts) > MOST_PARTS:
        raise invalid(f"The batch request has {len(parts)} calls, of which at most {MOST_PARTS} are allowed.")
    boundary = f"batch_{token_hex(12)}"
    body, wire = bytearray(), Wire.WHOLE
    for part in parts:
        reply = _do(part, dispatch)
        if reply.wire is not Wire.WHOLE:
            wire = reply.wire
        body += f"--{boundary}\r\n".encode() + _rendered(part, reply)
    body += f"--{boundary}--\r\n".encode()
    return Reply(200, bytes(body), f"multipart/mixed; boundary={boundary}", wire=wire)


def _do(part: Part, dispatch: Dispatch) -> Reply:
    """Dispatch the HTTP request that a part holds."""
    head, _, body = part.body.replace(b"\r\n", b"\n").partition(b"\n\n")
    line, _, fields = head.partition(b"\n")
    words = line.decode("utf-8", "surrogateescape").split(" ")
    if len(words) < 2:  # noqa: PLR2004 - method and target at least
        raise invalid("Failed to parse a part of the batch.")
    target = words[1]
    if target.startswith(("http://", "https://")):
        target = "/" + target.split("/", 3)[3]
    if target.startswith(("/upload/", "/download/", "/batch", "/resumable/")):
        raise invalid("Uploads, downloads and batches cannot be parts of a batch.")
    return dispatch(words[0], target, CIMultiDict(parse_headers(fields)), body.rstrip(b"\n"))


def _rendered(part: Part, reply: Reply) -> bytes:
    """A part of the answer."""
    identifier = part.headers.get("content-id", "")
    head = "Content-Type: application/http\r\n"
    if identifier:
        head += f"Content-ID: <response-{identifier.removeprefix('<')}\r\n"
    head += f"\r\nHTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
    if reply.body:
        head += f"Content-Type: {reply.content_type}\r\n"
    fields = {"Content-Length": str(len(reply.body))} | reply.headers
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + reply.body + b"\r\n"


# -------------------- api

Step = Callable[[], Reply]
Headers = CIMultiDict[str] | CIMultiDictProxy[str]


class Api:
    """Dispatches requests.

    Args:
        storage: What they are about.
        rewriter: Does rewrites.
        faults: What may happen to them.
        base_url: Where the server listens.
        project: The one project there is.

    Attributes:
        stats: What has been asked for.
        renderer: Renders resources.
    """

    def __init__(
        self, *, storage: Storage, rewriter: Rewriter, faults: Faults, base_url: str, project: str
    ) -> None:
        self.stats = Stats()
        self.renderer = Renderer(base_url)
        self._faults = faults
        self._retry_tests = RetryTests()
        self._methods: dict[str, Method] = {
            **ObjectsApi(storage, rewriter, self.renderer).methods,
            **BucketsApi(storage, self.renderer, project).methods,
            **UploadsApi(storage, self.renderer, base_url).methods,
            **self._retry_tests.methods,
            "storage.batch": lambda call: batch(call, self.dispatch),
        }

    def dispatch(self, verb: str, target: str, headers: Headers, body: bytes) -> Reply:
        """Answer one request.

        Args:
            verb: HTTP method.
            target: Path and query as sent.
            headers: Header fields.
            body: The body, whole.
        """
        path, _, query = target.partition("?")
        method = "unknown"

        def first() -> Reply:
            nonlocal method
            method, args = resolve(verb, path)
            return self._do(Call(method, args, parse_query(query), headers, body))

        return self._counted(first, lambda: method)

    def _counted(self, step: Step, method: Callable[[], str]) -> Reply:
        """Take a step; count the request when it was the last."""
        try:
            reply = step()
        except Refused as refused:
            reply = refusal(refused)
        except Exception:  # noqa: BLE001 - a defect here must show as a 500 and a traceback, not as a hung client
            traceback.print_exc(file=sys.stderr)
            reply = refusal(Refused(500, "internalError", "local_gcs has a defect: see its standard error."))
        if reply.rest is None:
            self.stats.count(method(), str(reply.status) if reply.wire is Wire.WHOLE else reply.wire.value)
        else:
            rest = reply.rest
            reply.rest = lambda: self._counted(rest, method)
        return reply

    def _do(self, call: Call) -> Reply:
        """Do what is asked, faults included."""
        hit = self._hit(call)
        if hit is NO_HIT:
            return self._methods[call.method](call)
        if hit.refused:
            raise hit.refused
        if hit.connection == "reset_before":
            return Reply(wire=Wire.RESET)
        wire = Wire.RESET if hit.connection == "reset_after" else Wire.TRUNCATED
        return _cut(lambda: self._methods[call.method](call), wire)

    def _hit(self, call: Call) -> Hit:
        if self._retry_tests and (scripted := self._retry_tests.draw(call)):
            return scripted
        return self._faults.draw(call) if self._faults.active else NO_HIT


def _cut(step: Step, wire: Wire) -> Reply:
    """Take a step whose answer, now or after the rest, does not arrive whole."""
    try:
        reply = step()
    except Refused as refused:
        reply = refusal(refused)
    if reply.rest is None:
        reply.wire = wire
    else:
        rest = reply.rest
        reply.rest = lambda: _cut(rest, wire)
    return reply
