"""The JSON API over one storage: from HTTP method, target, headers and body to an answer, without waiting.

Every request passes here, and so does each part of a batch (Cloud Storage documentation, "Batch requests"). Here faults hit
it, its parameters are checked, and it is counted by API method and status. The methods of buckets, of their policies and of their
notifications are here, too. Apart from `server`, its only importer, because nothing here waits or knows a socket.
"""

import sys
import traceback
from collections import Counter
from collections.abc import Callable
from http.client import responses
from secrets import token_hex
from typing import Any
from uuid import uuid4

from multidict import CIMultiDict, CIMultiDictProxy, istr

from local_gcs.calls import (
    Call,
    Method,
    MultipartPart,
    Reply,
    Transfer,
    boundary_of,
    parse_headers,
    parse_query,
    refused_reply,
    split_parts,
)
from local_gcs.errors import RequestRefused, invalid, not_found
from local_gcs.faults import NO_HIT, Faults, Hit, RetryTests
from local_gcs.media import UploadsApi
from local_gcs.model import Storage, require_metageneration
from local_gcs.objects_api import ObjectsApi
from local_gcs.resources import Renderer, etag, json_reply, permissions_reply, require_etag
from local_gcs.rewrites import Rewriter
from local_gcs.routing import check_request, resolve

__all__ = ["SPOILT_TOKEN", "Api", "BucketsApi", "Stats", "batch"]


class BucketsApi:
    """The methods of buckets, by name in `methods`; all buckets are in one project."""

    def __init__(self, storage: Storage, renderer: Renderer, project: str) -> None:
        self._storage = storage
        self._renderer = renderer
        self._project = project
        self.methods: dict[str, Method] = {
            "storage.buckets.list": self._list,
            "storage.buckets.insert": self._insert,
            "storage.buckets.get": self._get,
            "storage.buckets.patch": lambda call: self._change(call, whole=False),
            "storage.buckets.update": lambda call: self._change(call, whole=True),
            "storage.buckets.delete": self._delete,
            "storage.buckets.getStorageLayout": self._layout,
            "storage.buckets.lockRetentionPolicy": self._lock,
            "storage.buckets.getIamPolicy": self._get_policy,
            "storage.buckets.setIamPolicy": self._set_policy,
            "storage.buckets.testIamPermissions": self._test_permissions,
            "storage.folders.list": self._folders,
            "storage.managedFolders.list": self._folders,
            "storage.notifications.list": self._notifications,
            "storage.notifications.insert": self._add_notification,
            "storage.notifications.get": self._notification,
            "storage.notifications.delete": self._remove_notification,
            "storage.projects.serviceAccount.get": self._service_account,
        }

    def _list(self, call: Call) -> Reply:
        """All buckets, a page at a time; a page token is the last name given."""
        prefix, after = call.text("prefix"), call.text("pageToken")
        size, buckets = min(call.integer("maxResults") or 1000, 1000), self._storage.buckets
        names = sorted(name for name in buckets if name.startswith(prefix) and name > after)
        answer: dict[str, Any] = {"kind": "storage#buckets"}
        if names:
            answer["items"] = [self._renderer.bucket(buckets[name]) for name in names[:size]]
        if len(names) > size:
            answer["nextPageToken"] = names[size - 1]
        return json_reply(call, answer)

    def _insert(self, call: Call) -> Reply:
        return json_reply(call, self._renderer.bucket(self._storage.create_bucket(call.resource())))

    def _get(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        require_metageneration(bucket, call.conditions, reading=True)
        require_etag(call.headers, etag(1, bucket.metageneration))
        return json_reply(call, self._renderer.bucket(bucket))

    def _change(self, call: Call, *, whole: bool) -> Reply:
        """Changes the fields that the body names or, for an update, replaces the editable ones."""
        bucket = self._storage.patch_bucket(call.args[0], call.resource(), call.conditions, whole=whole)
        return json_reply(call, self._renderer.bucket(bucket))

    def _delete(self, call: Call) -> Reply:
        self._storage.delete_bucket(call.args[0], call.conditions)
        return Reply(204)

    def _layout(self, call: Call) -> Reply:
        """Location and layout of a bucket; tools ask for it before a recursive copy."""
        bucket = self._storage.bucket(call.args[0])
        layout = {"kind": "storage#storageLayout", "bucket": bucket.name}
        layout |= {name: bucket.resource[name] for name in ("location", "locationType")}
        return json_reply(call, {**layout, "hierarchicalNamespace": {"enabled": False}})

    def _lock(self, call: Call) -> Reply:
        bucket = self._storage.lock_retention(call.args[0], call.conditions)
        return json_reply(call, self._renderer.bucket(bucket))

    def _get_policy(self, call: Call) -> Reply:
        """The IAM policy, which is not enforced."""
        bucket = self._storage.bucket(call.args[0])
        empty = {"kind": "storage#policy", "resourceId": f"projects/_/buckets/{bucket.name}"}
        return json_reply(call, {**empty, "version": 1, "etag": "CAE=", "bindings": [], **bucket.policy})

    def _set_policy(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        resource = call.resource()
        bucket.policy = {key: resource[key] for key in ("bindings", "version") if key in resource}
        return self._get_policy(call)

    def _test_permissions(self, call: Call) -> Reply:
        self._storage.bucket(call.args[0])
        return permissions_reply(call)

    def _folders(self, call: Call) -> Reply:
        """A bucket without a hierarchical namespace has no folders, and this server has no managed ones."""
        self._storage.bucket(call.args[0])
        return json_reply(call, {"items": []})

    def _notifications(self, call: Call) -> Reply:
        """Notification configurations, which are kept and shown; events go to subscribers instead."""
        configurations = list(self._storage.bucket(call.args[0]).notifications.values())
        return json_reply(call, {"kind": "storage#notifications", "items": configurations})

    def _add_notification(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        identifier = uuid4().hex
        kept = {"kind": "storage#notification"} | call.resource() | {"id": identifier, "etag": identifier}
        bucket.notifications[identifier] = kept
        return json_reply(call, kept)

    def _notification(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        if call.args[1] not in bucket.notifications:
            raise not_found()
        return json_reply(call, bucket.notifications[call.args[1]])

    def _remove_notification(self, call: Call) -> Reply:
        bucket = self._storage.bucket(call.args[0])
        if bucket.notifications.pop(call.args[1], None) is None:
            raise not_found()
        return Reply(204)

    def _service_account(self, call: Call) -> Reply:
        email = f"service-1@{self._project}.iam.gserviceaccount.com"
        return json_reply(call, {"kind": "storage#serviceAccount", "email_address": email})


class Stats:
    """Counts requests; the parts of a batch count one by one."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def count(self, method: str, outcome: str) -> None:
        """Counts one request by its HTTP status, or by the way in which the answer was lost."""
        self._counts[method, outcome] += 1

    def clear(self) -> dict[str, Any]:
        """Sets all counts to 0, and gives them."""
        self._counts.clear()
        return self.snapshot()

    def snapshot(self) -> dict[str, Any]:
        """``{"requests": total, "methods": {method: {"count": n, "by_status": {status: n}}}}``."""
        methods: dict[str, dict[str, Any]] = {}
        for (method, outcome), number in sorted(self._counts.items()):
            entry = methods.setdefault(method, {"count": 0, "by_status": {}})
            entry["count"] += number
            entry["by_status"][outcome] = number
        return {"requests": self._counts.total(), "methods": methods}


# -------------------------------------------------------------------- batch

MOST_PARTS = 100
Dispatch = Callable[[str, str, CIMultiDict[str], bytes], Reply]
"""HTTP method, target, headers and body of one part to its answer."""


def batch(call: Call, dispatch: Dispatch) -> Reply:
    """Does the parts in their order and joins their answers.

    If a fault loses the answer to one part, it loses the whole answer, because all travel on one connection. Refuses
    with 400: it is malformed or has more than 100 parts.
    """
    parts = split_parts(call.body, boundary_of(call.headers.get("Content-Type", "")))
    if len(parts) > MOST_PARTS:
        raise invalid(f"The batch request has {len(parts)} calls, of which at most {MOST_PARTS} are allowed.")
    boundary = f"batch_{token_hex(12)}"
    body, wire = bytearray(), Transfer.WHOLE
    for part in parts:
        reply = _do(part, dispatch)
        if reply.wire is not Transfer.WHOLE:
            wire = reply.wire
        body += f"--{boundary}\r\n".encode() + _rendered(part, reply)
    body += f"--{boundary}--\r\n".encode()
    return Reply(200, bytes(body), f"multipart/mixed; boundary={boundary}", wire=wire)


def _do(part: MultipartPart, dispatch: Dispatch) -> Reply:
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


def _rendered(part: MultipartPart, reply: Reply) -> bytes:
    identifier = part.headers.get("content-id", "")
    head = "Content-Type: application/http\r\n"
    if identifier:
        head += f"Content-ID: <response-{identifier.removeprefix('<')}\r\n"
    head += f"\r\nHTTP/1.1 {reply.status} {responses.get(reply.status, '')}\r\n"
    if reply.body:
        head += f"Content-Type: {reply.content_type}\r\n"
    fields = {"Content-Length": str(len(reply.body))} | reply.headers
    head += "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return head.encode() + b"\r\n" + reply.body + b"\r\n"


# -------------------------------------------------------------------- dispatch

SPOILT_TOKEN = "spoilt"  # noqa: S105 - not a password
"""The one token that is refused. Every other is accepted, and so is none."""
OVERRIDE = istr("X-HTTP-Method-Override")
Step = Callable[[], Reply]
Headers = CIMultiDict[str] | CIMultiDictProxy[str]


class Api:
    """Dispatches requests; all buckets are in one project."""

    def __init__(
        self, storage: Storage, rewriter: Rewriter, faults: Faults, *, base_url: str, project: str
    ) -> None:
        self.stats = Stats()
        self.renderer = Renderer(base_url)
        self._faults = faults
        self._storage = storage
        self._retry_tests = RetryTests()
        self._methods: dict[str, Method] = {
            **ObjectsApi(storage, rewriter, self.renderer).methods,
            **BucketsApi(storage, self.renderer, project).methods,
            **UploadsApi(storage, self.renderer, base_url).methods,
            **self._retry_tests.methods,
            "storage.batch": lambda call: batch(call, self.dispatch),
        }

    def dispatch(self, verb: str, target: str, headers: Headers, body: bytes) -> Reply:
        """Answers one request; the target is path and query as sent."""
        path, _, query = target.partition("?")
        method, hit = "unknown", NO_HIT
        if verb == "POST" and OVERRIDE in headers:
            verb = headers[OVERRIDE].upper()

        def first() -> Reply:
            nonlocal method, hit
            method, args = resolve(verb, path)
            call = Call(method, args, parse_query(query), headers, body)
            hit = self._hit(call)
            if hit.refused:
                raise hit.refused
            if hit.answer:
                return hit.answer
            return Reply() if hit.connection == "reset_before" else self._answer(call)

        def take(step: Step) -> Reply:
            """Takes a step. The one that answers is counted, and its answer may be lost."""
            try:
                reply = step()
            except RequestRefused as refused:
                # Google sends the message of a failed read of content as text.
                media = verb == "GET" and (path.startswith("/download/") or "alt=media" in query)
                reply = refused_reply(refused, as_text=media)
            except Exception:  # noqa: BLE001 - a defect here must show as a 500 and a traceback, not as a hung client
                traceback.print_exc(file=sys.stderr)
                message = "local_gcs has a defect: see its standard error."
                reply = refused_reply(RequestRefused(500, "internalError", message))
            if reply.rest is not None:
                rest = reply.rest
                reply.rest = lambda: take(rest)
                return reply
            if hit.connection:
                reply.wire = Transfer.TRUNCATED if hit.connection == "truncate" else Transfer.RESET
                reply.cut = hit.cut
            self.stats.count(method, str(reply.status) if reply.wire is Transfer.WHOLE else reply.wire.value)
            return reply

        return take(first)

    def _answer(self, call: Call) -> Reply:
        if call.headers.get("Authorization") == f"Bearer {SPOILT_TOKEN}":
            raise RequestRefused(401, "authError", "Invalid Credentials")
        check_request(call.method, call.params, call.headers)
        if self._storage.requester_pays:
            self._require_payer(call)
        return self._methods[call.method](call)

    def _require_payer(self, call: Call) -> None:
        """Refuses a request to a requester-pays bucket that does not name the project that pays."""
        if "upload_id" in call.params:  # the request that began the upload named it
            return
        # The third name of four is the bucket of a copy's destination.
        buckets = call.args[::2] if len(call.args) == 4 else call.args[:1]  # noqa: PLR2004
        if "userProject" not in call.params and not self._storage.requester_pays.isdisjoint(buckets):
            message = "Bucket is requester pays bucket but no user project provided."
            raise invalid(message, reason="required")

    def _hit(self, call: Call) -> Hit:
        if self._retry_tests and (scripted := self._retry_tests.draw(call)):
            return scripted
        return self._faults.draw(call) if self._faults.active else NO_HIT
