"""A local Cloud Storage that enforces the rights of one part: what its account may not do is refused with 403.

A proxy in front of the real local server. As the service does, it asks for ``storage.objects.delete`` where an object would be
replaced, and answers 403 for an absent object to whoever may not list its bucket. What was used is remembered.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, quote, urlsplit

from testing_http import serving_requests

from backfill_job.rights import RIGHTS, Part, Right, location_of
from local_gcs.routing import resolve
from shared.migration import Migration

__all__ = ["Guard", "guarding"]

Need = tuple[str, str, str]
"""A permission, a bucket, and an object's name; empty for the bucket itself."""

REFUSAL = b'{"error": {"code": 403, "message": "the account has no %s", "errors": [{"reason": "forbidden"}]}}'


@dataclass
class Guard:
    """What one part may do.

    Attributes:
        part: Whose account it is; may be changed between two requests.
        migration: From where to where.
        upstream: Host and port of the server.
        refused: What was asked for and not held.
        used: The rights that were made use of, with the permission.
    """

    part: Part
    migration: Migration
    upstream: str
    refused: list[Need] = field(default_factory=list)
    used: set[tuple[Right, str]] = field(default_factory=set)

    def missing(self, verb: str, target: str, body: bytes) -> Need | None:
        """The first permission that a request needs and the part does not hold."""
        for need in self._needs(verb, target, body):
            if not self._holds(*need) and self._has_bucket(need[1]):
                self.refused.append(need)
                return need
        return None

    def _holds(self, permission: str, bucket: str, name: str) -> bool:
        found = False
        for right in RIGHTS:
            at = location_of(right.area, self.migration)
            in_reach = at.bucket == bucket and (right.area.is_bucket or (name and name.startswith(at.prefix)))
            if right.part is self.part and in_reach and permission in right.role.permissions:
                self.used.add((right, permission))
                found = True
        return found

    def permitted(self, verb: str, target: str) -> bytes | None:
        """The answer to a question about permissions; None for any other request."""
        url = urlsplit(target)
        if not url.path.endswith("/iam/testPermissions"):
            return None
        _, args = resolve(verb, url.path)
        bucket, name = (*args, "")[:2]
        asked = parse_qs(url.query)["permissions"]
        return json.dumps({"permissions": [one for one in asked if self._holds(one, bucket, name)]}).encode()

    def _needs(self, verb: str, target: str, body: bytes) -> Iterator[Need]:
        url = urlsplit(target)
        if url.path.startswith("/batch/"):
            for inner in re.findall(rb"^(?:DELETE|POST|GET) /storage\S+", body, re.MULTILINE):
                inner_verb, inner_target = inner.decode().split(" ")
                yield from self._needs(inner_verb, inner_target, b"")
            return
        method, args = resolve(verb, url.path)
        if method == "storage.objects.insert":
            yield from self._insert(verb, args[0], parse_qs(url.query), body)
        else:
            yield from self._of_method(method, *args, body=body)

    def _insert(self, verb: str, bucket: str, query: dict[str, list[str]], body: bytes) -> Iterator[Need]:
        if verb == "PUT":
            return  # a further piece of an upload that was permitted when it began
        found = re.search(rb'"name":\s*"([^"]*)"', body)
        yield from self._write(
            bucket, query["name"][0] if "name" in query else (found or [b"", b""])[1].decode()
        )

    def _of_method(
        self, method: str, bucket: str, name: str = "", *to: str, body: bytes = b""
    ) -> Iterator[Need]:
        match method:
            case "storage.objects.get" | "storage.objects.download":
                yield from self._read(bucket, name)
            case "storage.objects.rewrite":
                yield from self._read(bucket, name)
                yield from self._write(*to)
            case "storage.objects.patch":
                yield "storage.objects.update", bucket, name
            case "storage.objects.compose":
                yield from (
                    ("storage.objects.get", bucket, part["name"])
                    for part in json.loads(body)["sourceObjects"]
                )
                yield from self._write(bucket, name)
            case "storage.objects.restore":
                yield method, bucket, name
                yield from self._write(bucket, name)
            case _:
                yield method, bucket, name

    def _read(self, bucket: str, name: str) -> Iterator[Need]:
        yield "storage.objects.get", bucket, name
        if not self._is_there(bucket, name):
            yield "storage.objects.list", bucket, ""

    def _write(self, bucket: str, name: str) -> Iterator[Need]:
        yield "storage.objects.create", bucket, name
        if self._is_there(bucket, name):
            yield "storage.objects.delete", bucket, name

    def _has_bucket(self, bucket: str) -> bool:
        """Whether there is such a bucket; any account is told that there is none."""
        return self.forward("GET", f"/storage/v1/b/{bucket}", {}, b"")[0] == 200

    def _is_there(self, bucket: str, name: str) -> bool:
        status, _, _ = self.forward("GET", f"/storage/v1/b/{bucket}/o/{quote(name, safe='')}", {}, b"")
        return status == 200

    def forward(
        self, verb: str, target: str, headers: dict[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the server itself."""
        connection = HTTPConnection(self.upstream)
        try:
            connection.request(verb, target, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


@contextmanager
def guarding(guard: Guard) -> Iterator[str]:
    """Serve the guarded storage while the block runs; gives its address."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            permitted = guard.permitted(self.command, self.path)
            need = None if permitted else guard.missing(self.command, self.path, body)
            if permitted:
                status, headers, answer = 200, [("Content-Type", "application/json")], permitted
            elif need:
                answer = REFUSAL % " ".join(need).encode()
                status, headers = 403, [("Content-Type", "application/json")]
            else:
                kept = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
                status, headers, answer = guard.forward(self.command, self.path, kept, body)
            self.send_response(status)
            for name, value in headers:
                if name.lower() not in {
                    "content-length",
                    "connection",
                    "transfer-encoding",
                    "date",
                    "server",
                }:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _answer  # noqa: N815 -- the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving_requests(Handler) as address:
        yield address
