"""Helpers: a storage with short ways to use it, a plain HTTP client, and a subscriber that remembers."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import quote

import requests

from local_gcs.model import ObjectChange, Storage
from local_gcs.objects import NONE, Attributes, Conditions, Content, Draft, ObjectVersion, unordered
from local_gcs.waiting import HANGS

START = datetime(2024, 1, 1, tzinfo=UTC)


class Clock:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def move(self, **delta: float) -> None:
        self.time += timedelta(**delta)


class Lab:
    """A storage with short ways to use it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.storage = Storage(now=self.clock, generations=unordered(1))
        self.changes: list[ObjectChange] = []
        self.storage.listeners.append(self.changes.append)

    def bucket(self, name: str, **resource: Any) -> str:
        self.storage.create_bucket({"name": name, **resource})
        return name

    def put(
        self, bucket: str, name: str, data: bytes = b"x", conditions: Conditions = NONE, **attributes: Any
    ) -> ObjectVersion:
        draft = Draft(Attributes(**attributes))
        return self.storage.insert(bucket, name, Content.of(data), draft, conditions)

    def live(self, bucket: str, name: str) -> bytes | None:
        version = self.storage.buckets[bucket].live.get(name)
        return version.content.data if version else None

    def told(self) -> list[str]:
        """The changes told since the last look: kind and generation."""
        told = [f"{change.kind.value} {change.version.generation}" for change in self.changes]
        self.changes.clear()
        return told


class Http:
    """A plain client of the JSON API of one server."""

    def __init__(self, url: str, session: requests.Session) -> None:
        self.url = url
        self.session = session

    def ask(self, verb: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(verb, self.url + path, timeout=HANGS, **more)

    def bucket(self, name: str, **resource: Any) -> str:
        answer = self.ask(
            "POST", "/storage/v1/b", params={"project": "test"}, json={"name": name, **resource}
        )
        assert answer.status_code == 200, answer.text
        return name

    def object(self, verb: str, bucket: str, name: str, tail: str = "", **params: Any) -> requests.Response:
        return self.ask(verb, f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}{tail}", params=params)

    def put(self, bucket: str, name: str, data: bytes = b"x", **params: Any) -> requests.Response:
        query = {"uploadType": "media", "name": name, **params}
        return self.ask("POST", f"/upload/storage/v1/b/{bucket}/o", params=query, data=data)

    def rewrite(self, source: tuple[str, str], to: tuple[str, str], **params: Any) -> requests.Response:
        return self.object("POST", *source, f"/rewriteTo/b/{to[0]}/o/{quote(to[1], safe='')}", **params)

    def count(self, method: str) -> int:
        return int(self.ask("GET", "/_local/stats").json()["methods"].get(method, {"count": 0})["count"])

    def list(self, bucket: str, **params: Any) -> Any:
        return self.ask("GET", f"/storage/v1/b/{bucket}/o", params=params).json()


class Subscriber:
    """A small real HTTP server that remembers what is posted to it.

    Attributes:
        url: Where it listens.
        seen: Headers and JSON body of every request, in the order of arrival.
        answers: Statuses to answer with, used up one by one; 200 when there are none left. 0 hangs up.
    """

    def __init__(self) -> None:
        self.seen: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answers: list[int] = []
        self.lock = Lock()
        self.url = ""

    def answer(self, headers: dict[str, str], body: dict[str, Any]) -> int:
        with self.lock:
            self.seen.append((headers, body))
            return self.answers.pop(0) if self.answers else 200

    @property
    def identifiers(self) -> list[str]:
        return [headers["ce-id"] for headers, _ in self.seen]

    @property
    def names(self) -> list[str]:
        return [body["name"] for _, body in self.seen]


@contextmanager
def subscribing() -> Iterator[Subscriber]:
    """A subscriber for the length of a with-block."""
    subscriber = Subscriber()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = subscriber.answer(headers, json.loads(body))
            if status:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        subscriber.url = f"http://127.0.0.1:{server.server_port}/"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield subscriber
        finally:
            server.shutdown()
            thread.join()
