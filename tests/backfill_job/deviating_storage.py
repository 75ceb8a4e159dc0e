"""A local Cloud Storage that answers one thing in another way than it should: a proxy in front of the real local server."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from typing import Any

from testing_http import serving_requests

__all__ = ["DEVIATIONS", "Deviation", "deviating"]


@dataclass(frozen=True)
class Request:
    """A request as it came."""

    verb: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """An answer as it goes."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def with_json(self, change: Callable[[Any], None]) -> "Answer":
        if not self.body.startswith(b"{"):
            return self
        content = json.loads(self.body)
        change(content)
        return replace(self, body=json.dumps(content).encode())


@dataclass(frozen=True)
class Deviation:
    """What is changed of requests and answers, and the rows that must find it."""

    rows: frozenset[str]
    asked: Callable[[Request], Request] = lambda request: request
    told: Callable[[Request, Answer], Answer] = lambda _, answer: answer


def without(*names: str, of: str) -> Callable[[Request], Request]:
    """Leaves out parameters of the requests whose method and target match."""
    pattern = re.compile("|".join(rf"&?\b{name}=[^&\s]*" for name in names))

    def ignored(request: Request) -> Request:
        if not re.search(of, f"{request.verb} {request.target}"):
            return request
        body = request.body
        if "/batch/" in request.target:
            body = pattern.sub("", body.decode()).encode()
        return replace(request, target=pattern.sub("", request.target), body=body)

    return ignored


def answering(of: str, change: Callable[[Any], None]) -> Callable[[Request, Answer], Answer]:
    """Changes the JSON of the answers to the requests whose method and target match."""

    def changed(request: Request, answer: Answer) -> Answer:
        found = re.search(of, f"{request.verb} {request.target}")
        return answer.with_json(change) if found and answer.status < 500 else answer

    return changed


def _resources(content: Any) -> list[Any]:
    inner = content.get("resource") or content
    return inner.get("items") or [inner]


def dropped(name: str) -> Callable[[Any], None]:
    """Leaves a field out of every resource."""
    return lambda content: [one.pop(name, None) for one in (*_resources(content), content)] and None


def _other_words(_: Request, answer: Answer) -> Answer:
    return (
        replace(answer, body=answer.body.replace(b"No such object", b"Not Found"))
        if answer.status == 404
        else answer
    )


def _no_reason(_: Request, answer: Answer) -> Answer:
    if answer.status != 412:
        return answer
    return replace(answer, body=b'{"error": {"code": 412, "message": "no"}}')


def _forbidden(_: Request, answer: Answer) -> Answer:
    return replace(answer, status=403) if answer.status == 401 else answer


def _new_field(content: Any) -> None:
    if content.get("kind") == "storage#object":
        content["shelfNumber"] = "7"


def _same_updated(content: Any) -> None:
    content["updated"] = content.get("timeCreated")


def _created_long_ago(content: Any) -> None:
    for one in _resources(content):
        one["timeCreated"] = "2020-01-01T00:00:00.000Z"


def _whole(request: Request) -> Request:
    return replace(
        request, headers={name: value for name, value in request.headers.items() if name.lower() != "range"}
    )


LISTING = r"^GET .*/o\?"
REWRITE = r"/rewriteTo/"
RESTORE = r"/restore\?"
DEVIATIONS = {
    "a page's token is left out": Deviation(
        frozenset({"every-name"}), told=answering(LISTING, dropped("nextPageToken"))
    ),
    "endOffset is ignored": Deviation(frozenset({"bounds"}), asked=without("endOffset", of=LISTING)),
    "a missing object is called otherwise": Deviation(
        frozenset({"absent", "rewrite-absent"}), told=_other_words
    ),
    "a field that is not known": Deviation(frozenset({"fields"}), told=answering("", _new_field)),
    "a copy loses its custom time": Deviation(
        frozenset({"rewrite-new"}), told=answering(REWRITE, dropped("customTime"))
    ),
    "a copy is as old as can be": Deviation(
        frozenset({"rewrite-times"}), told=answering(REWRITE, _created_long_ago)
    ),
    "the destination's condition is ignored": Deviation(
        frozenset({"rewrite-there", "rewrite-destination"}), asked=without("ifGenerationMatch", of=REWRITE)
    ),
    "the source's condition is ignored": Deviation(
        frozenset({"rewrite-source"}), asked=without("ifSourceGenerationMatch", of=REWRITE)
    ),
    "412 without a reason": Deviation(frozenset({"rewrite-there", "insert-there"}), told=_no_reason),
    "a batch ignores conditions": Deviation(
        frozenset({"batch", "batch-effect"}), asked=without("ifGenerationMatch", of="/batch/")
    ),
    "soft-deleted objects have no end": Deviation(
        frozenset({"soft-deleted", "soft-overwritten"}),
        told=answering("softDeleted", dropped("hardDeleteTime")),
    ),
    "a restore replaces a live object": Deviation(
        frozenset({"restore-live"}), asked=without("ifGenerationMatch", of=RESTORE)
    ),
    "a restored object is as old as the lost one": Deviation(
        frozenset({"restore"}), told=answering(RESTORE, _created_long_ago)
    ),
    "a patch does not move updated": Deviation(
        frozenset({"patch", "patch-order"}), told=answering("^PATCH", _same_updated)
    ),
    "an upload in pieces replaces an object": Deviation(
        frozenset({"resumable-there"}), asked=without("ifGenerationMatch", of="uploadType=resumable")
    ),
    "a range is ignored": Deviation(frozenset({"range-gzip"}), asked=_whole),
    "a spoilt token is answered with 403": Deviation(
        frozenset({"token-renewed", "token-refused"}), told=_forbidden
    ),
}
"""One change each."""


@contextmanager
def deviating(upstream: str, deviation: Deviation) -> Iterator[str]:
    """Serve the deviating storage while the block runs; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kept = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            asked = deviation.asked(Request(self.command, self.path, kept, body))
            answer = deviation.told(asked, _forwarded(upstream, asked))
            self.send_response(answer.status)
            for name, value in answer.headers:
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer  # noqa: N815 -- the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving_requests(Handler) as address:
        yield address


def _forwarded(upstream: str, request: Request) -> Answer:
    connection = HTTPConnection(upstream.removeprefix("http://"))
    try:
        headers = {name: value for name, value in request.headers.items() if name.lower() != "content-length"}
        connection.request(request.verb, request.target, request.body, headers)
        answer = connection.getresponse()
        hop = {"content-length", "connection", "transfer-encoding", "date", "server"}
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in hop]
        return Answer(answer.status, kept, answer.read())
    finally:
        connection.close()
